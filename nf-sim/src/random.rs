//! Seeds: one for every node and link, from the seed of the world and the name alone, so that a node more in
//! the rack leaves the chance of the others as it was.

use workload::random::Random;

/// A seed of its own for what has this name, in a world of this seed.
pub fn seed_of(seed: u64, name: &str) -> u64 {
    Random::named(seed, name, 0).next_u64()
}

/// The random stream of what has this name, in a world of this seed.
pub fn stream_of(seed: u64, name: &str) -> Random {
    Random::named(seed, name, 0)
}

/// True with that probability. Draws nothing when it is zero, so that what is off changes nothing.
#[inline]
pub fn chance(random: &mut Random, probability: f64) -> bool {
    probability > 0.0 && random.chance(probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_follow_from_seed_and_name_alone() {
        assert_eq!(seed_of(1, "a"), seed_of(1, "a"));
        let all = [
            seed_of(1, "a"),
            seed_of(1, "b"),
            seed_of(2, "a"),
            seed_of(1, "ab"),
            seed_of(1, ""),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(!all[..n].contains(one));
        }
    }

    #[test]
    fn what_is_off_draws_nothing() {
        let (mut one, mut other) = (stream_of(1, "a"), stream_of(1, "a"));
        assert!(!chance(&mut one, 0.0) && chance(&mut other, 1.0));
        assert_ne!(one.next_u64(), other.next_u64());
    }
}
