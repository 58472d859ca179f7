//! The values a header field takes: one, a range, or a list, in order or in a seeded shuffle.

use crate::random::mix;

/// Values of one field; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sequence {
    /// Always the same.
    One(u128),
    /// `from`, `from + step`, ... `count` values.
    Range {
        /// First value.
        from: u128,
        /// Distance between values.
        step: u128,
        /// How many; at least 1.
        count: u64,
        /// Visit them in a seeded random order instead of upwards.
        shuffled: bool,
    },
    /// The values listed.
    List {
        /// At least one value.
        values: Vec<u128>,
        /// Visit them in a seeded random order instead of as listed.
        shuffled: bool,
    },
}

impl Sequence {
    /// How many values there are.
    pub fn len(&self) -> u64 {
        match self {
            Sequence::One(_) => 1,
            Sequence::Range { count, .. } => *count,
            Sequence::List { values, .. } => values.len() as u64,
        }
    }

    /// Whether there are none; a checked sequence never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at position `index`, counted modulo the length. A shuffled sequence visits every value
    /// exactly once in `len()` positions.
    pub fn value(&self, index: u64, seed: u64) -> u128 {
        let place = |shuffled: bool| {
            let position = index % self.len().max(1);
            if shuffled {
                permute(position, self.len(), seed)
            } else {
                position
            }
        };
        match self {
            Sequence::One(value) => *value,
            Sequence::Range {
                from,
                step,
                shuffled,
                ..
            } => from.wrapping_add(step.wrapping_mul(u128::from(place(*shuffled)))),
            Sequence::List { values, shuffled } => values
                .get(place(*shuffled) as usize)
                .copied()
                .unwrap_or_default(),
        }
    }
}

/// A seeded bijection of `0..len`: a four-round Feistel network over the next even number of bits,
/// walked until it lands inside.
fn permute(index: u64, len: u64, seed: u64) -> u64 {
    if len < 2 {
        return 0;
    }
    let bits = 64 - (len - 1).leading_zeros();
    let half = bits.div_ceil(2);
    let mask = (1u64 << half) - 1;
    let mut x = index;
    loop {
        let (mut left, mut right) = (x >> half, x & mask);
        for round in 0..4 {
            (left, right) = (right, left ^ (mix(right ^ mix(seed ^ round)) & mask));
        }
        x = left << half | right;
        if x < len {
            return x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn ranges_and_lists_repeat() {
        let range = Sequence::Range {
            from: 10,
            step: 2,
            count: 3,
            shuffled: false,
        };
        let seen: Vec<_> = (0..5).map(|i| range.value(i, 0)).collect();
        assert_eq!(seen, [10, 12, 14, 10, 12]);
        let list = Sequence::List {
            values: vec![7, 3],
            shuffled: false,
        };
        assert_eq!(
            (0..3).map(|i| list.value(i, 0)).collect::<Vec<_>>(),
            [7, 3, 7]
        );
    }

    #[test]
    fn a_shuffle_of_a_million_visits_each_once() {
        let range = Sequence::Range {
            from: 0,
            step: 1,
            count: 1_000_000,
            shuffled: true,
        };
        let mut seen = vec![false; 1_000_000];
        for i in 0..1_000_000 {
            seen[range.value(i, 9) as usize] = true;
        }
        assert!(seen.iter().all(|&x| x));
        assert_ne!(range.value(0, 9), range.value(0, 10));
    }

    proptest! {
        #[test]
        fn shuffles_are_bijections(len in 1u64..5000, seed: u64) {
            let seen: HashSet<u64> = (0..len).map(|i| permute(i, len, seed)).collect();
            prop_assert_eq!(seen.len() as u64, len);
            prop_assert!(seen.iter().all(|&x| x < len));
        }
    }
}
