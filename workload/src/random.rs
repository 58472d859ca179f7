//! The seeded random source of a run: the same seed gives the same requests at the same times.
//!
//! xoshiro256++ (Blackman and Vigna), seeded through SplitMix64 as its authors advise. Not for secrets.

/// A stream of random numbers, fixed by its seed.
#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
}

/// One step of SplitMix64: turns a counter into well-mixed bits.
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// A source that depends on `seed` and `purpose` only, so that, say, packet sizes do not change
    /// when spacing is switched to Poisson.
    pub fn new(seed: u64, purpose: u64) -> Random {
        let base = mix(seed ^ mix(purpose));
        let mut state = [0; 4];
        for (i, word) in (0u64..).zip(state.iter_mut()) {
            *word = mix(base.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        }
        Random { state }
    }

    /// A source of its own for each `name` and `index`: what one part draws does not change when another
    /// part draws more or less.
    pub fn named(seed: u64, name: &str, index: u64) -> Random {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Random::new(seed, mix(hash).wrapping_add(mix(index)))
    }

    /// The next 64 bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }

    /// A number in `0..bound`; 0 for a bound of 0. The bias is below 2^-32 for bounds up to 2^32.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `(0, 1]`, so that its logarithm is finite.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        ((self.next_u64() >> 11) + 1) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// True with probability `p`.
    #[inline]
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() <= p
    }

    /// A draw from the normal distribution of mean 0 and deviation 1 (Box and Muller; one of the pair).
    #[inline]
    pub fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A draw from the exponential distribution of mean 1.
    #[inline]
    pub fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }

    /// Puts `items` in a random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_numbers_other_seed_other_numbers() {
        let draw = |seed, purpose| {
            let mut random = Random::new(seed, purpose);
            (0..8).map(|_| random.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(8, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        let named = |name, index| Random::named(7, name, index).next_u64();
        assert_eq!(named("service", 0), named("service", 0));
        assert_ne!(named("service", 0), named("service", 1));
        assert_ne!(named("service", 0), named("size", 0));
    }

    #[test]
    fn normal_has_its_mean_and_its_tails() {
        let mut random = Random::new(9, 1);
        let draws: Vec<f64> = (0..200_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.01, "{mean}");
        let above = draws.iter().filter(|x| **x > 2.3263).count();
        assert!(
            (1_850..2_150).contains(&above),
            "{above} of 2000 expected above the 99th percentile"
        );
        assert!((0..1000).all(|_| !random.chance(0.0) && random.chance(1.0)));
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut random = Random::new(1, 1);
        let mut seen = [0u32; 10];
        for _ in 0..100_000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(
            seen.iter().all(|&n| (9_500..10_500).contains(&n)),
            "{seen:?}"
        );
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn exponential_has_mean_one_and_is_finite() {
        let mut random = Random::new(3, 1);
        let draws: Vec<f64> = (0..200_000).map(|_| random.exponential()).collect();
        assert!(draws.iter().all(|x| x.is_finite() && *x >= 0.0));
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
    }
}
