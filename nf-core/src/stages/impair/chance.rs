//! Where chance comes from: xoshiro256++, seeded by splitmix64 (Blackman and Vigna, "Scrambled
//! Linear Pseudorandom Number Generators", 2021). One generator for each core and direction, so
//! that what happens in one does not depend on how it is interleaved with others.

use std::f64::consts::TAU;

/// A generator of random numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chance([u64; 4]);

impl Chance {
    /// The generator of one core and direction.
    pub fn new(seed: u64, core: usize, direction: usize) -> Chance {
        let stream = (core as u64) << 1 | (direction as u64 & 1);
        // Mixed once before the stream is added, so that seeds next to each other share none.
        let mut state = splitmix(&mut seed.clone()).wrapping_add(stream);
        Chance(std::array::from_fn(|_| splitmix(&mut state)))
    }

    /// The next 64 bits.
    #[inline]
    pub fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in [0, 1).
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// True with this probability; nothing is drawn when it cannot be.
    #[inline]
    pub fn hits(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// Uniform in 0..`n`; 0 for none.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        // Lemire's multiplication without the rejection: the bias is below n / 2^64.
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// Normally distributed, mean 0, deviation 1 (Box and Muller 1958).
    #[inline]
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the reference implementations in C.
    #[test]
    fn reference_vectors() {
        let mut chance = Chance([1, 2, 3, 4]);
        for expected in [
            41943041,
            58720359,
            3588806011781223,
            3591011842654386,
            9228616714210784205,
            9973669472204895162,
            14011001112246962877,
            12406186145184390807,
            15849039046786891736,
            10450023813501588000,
        ] {
            assert_eq!(chance.next(), expected);
        }
        let mut state = 1477776061723855037;
        for expected in [
            1985237415132408290,
            2979275885539914483,
            13511426838097143398,
            8488337342461049707,
            15141737807933549159,
            17093170987380407015,
        ] {
            assert_eq!(splitmix(&mut state), expected);
        }
    }

    #[test]
    fn every_core_direction_and_seed_is_its_own() {
        let mut firsts: Vec<u64> = (0..50u64)
            .flat_map(|seed| (0..8).map(move |n| Chance::new(seed, n / 2, n % 2).next()))
            .collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 400);
        assert_eq!(Chance::new(7, 1, 0), Chance::new(7, 1, 0));
    }

    #[test]
    fn below_is_even() {
        let mut chance = Chance::new(1, 0, 0);
        let mut counts = [0u32; 10];
        for _ in 0..100_000 {
            counts[chance.below(10) as usize] += 1;
        }
        let expected = 10_000.0;
        let chi2: f64 = counts
            .iter()
            .map(|&n| (f64::from(n) - expected).powi(2) / expected)
            .sum();
        assert!(chi2 < 21.67, "chi-square {chi2}, 9 degrees of freedom, 1 %");
        assert_eq!(chance.below(0), 0);
    }

    #[test]
    fn what_cannot_be_draws_nothing() {
        let mut chance = Chance::new(1, 0, 0);
        let before = chance.clone();
        assert!(!chance.hits(0.0));
        assert_eq!(chance, before);
        assert!((0..1000).all(|_| chance.hits(1.0)));
    }
}
