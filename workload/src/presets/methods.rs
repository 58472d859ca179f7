//! Ten thousand methods: how popular each is, and how long it takes.

use crate::random::Random;

/// How many methods there are.
pub const METHODS: usize = 10_000;

/// Ends of the slices (ranks from 1), and the share of the calls of each slice.
const SLICES: [(usize, f64); 4] = [(1, 0.28), (10, 0.30), (100, 0.33), (METHODS, 0.09)];

/// Which method is called. Ranks from 0, the most popular first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Popularity;

impl Popularity {
    /// The rank of the method of one call.
    #[inline]
    pub fn draw(self, random: &mut Random) -> usize {
        let mut at = random.unit();
        let mut begin = 0;
        for (end, share) in SLICES {
            if at <= share || end == METHODS {
                return begin + random.below((end - begin) as u64) as usize;
            }
            at -= share;
            begin = end;
        }
        0
    }

    /// Of all calls, the share that a method has.
    pub fn share(self, rank: usize) -> f64 {
        let mut begin = 0;
        for (end, share) in SLICES {
            if rank < end {
                return share / (end - begin) as f64;
            }
            begin = end;
        }
        0.0
    }
}

/// The methods' times.
#[derive(Debug, Clone, PartialEq)]
pub struct Methods {
    /// Medians by popularity, nanoseconds.
    medians: Vec<f64>,
    /// The deviation of the logarithm, for each of them.
    sigma: f64,
    /// What the times were divided by.
    divisor: f64,
}

/// Share of the methods, slowest last, and the median there, nanoseconds: 0.1 to 100 ms, 10.7 ms and more
/// for nine in ten.
const MEDIANS: [(f64, f64); 3] = [(0.0, 0.1e6), (0.1, 10.7e6), (1.0, 100e6)];

/// From a median of 10.7 ms to 225 ms at the 99th percentile.
const SIGMA: f64 = 1.31;

/// Of the 100 fastest methods, how many stand in each slice of popularity: together they have 40 % of the
/// calls.
const FASTEST: [usize; 4] = [1, 3, 5, 91];

impl Methods {
    /// The methods of the fleet.
    pub fn fleet() -> Methods {
        let mut random = Random::named(0, "methods", 0);
        let mut fastest = Vec::new();
        let mut others = Vec::new();
        let mut begin = 0;
        for ((end, _), fast) in SLICES.into_iter().zip(FASTEST) {
            fastest.extend(begin..begin + fast);
            others.extend(begin + fast..end);
            begin = end;
        }
        random.shuffle(&mut fastest);
        random.shuffle(&mut others);
        let mut medians = vec![0.0; METHODS];
        for (place, rank) in fastest.into_iter().chain(others).enumerate() {
            if let Some(median) = medians.get_mut(rank) {
                *median = median_at((place as f64 + 0.5) / METHODS as f64);
            }
        }
        Methods {
            medians,
            sigma: SIGMA,
            divisor: 1.0,
        }
    }

    /// The name, as it is read.
    pub fn name(&self) -> String {
        if self.divisor == 1.0 {
            "fleet-time-mix".into()
        } else {
            format!("fleet-time-mix/{}", self.divisor)
        }
    }

    /// The median time of the method with this rank of popularity, nanoseconds.
    pub fn median(&self, rank: usize) -> f64 {
        self.medians.get(rank).copied().unwrap_or(0.0)
    }

    /// The time of one call of a method.
    #[inline]
    pub fn sample_of(&self, rank: usize, random: &mut Random) -> f64 {
        self.median(rank) * (self.sigma * random.normal()).exp()
    }

    /// The time of one call.
    #[inline]
    pub fn sample(&self, random: &mut Random) -> f64 {
        let rank = Popularity.draw(random);
        self.sample_of(rank, random)
    }

    /// The mean time of a call.
    pub fn mean(&self) -> f64 {
        let medians: f64 = self
            .medians
            .iter()
            .enumerate()
            .map(|(rank, median)| Popularity.share(rank) * median)
            .sum();
        medians * (self.sigma * self.sigma / 2.0).exp()
    }

    /// The same, every time multiplied.
    pub fn scaled(&self, factor: f64) -> Methods {
        Methods {
            medians: self.medians.iter().map(|median| median * factor).collect(),
            sigma: self.sigma,
            divisor: self.divisor / factor,
        }
    }
}

/// The median of the method that is slower than a share of the others: a straight line in the logarithm
/// between the points.
fn median_at(share: f64) -> f64 {
    for pair in MEDIANS.windows(2) {
        if let [(p, a), (q, b)] = pair
            && share <= *q
        {
            return a * (b / a).powf((share - p) / (q - p));
        }
    }
    MEDIANS[MEDIANS.len() - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_every_method_has_a_time() {
        let sum: f64 = (0..METHODS).map(|rank| Popularity.share(rank)).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        let methods = Methods::fleet();
        assert!((0..METHODS).all(|rank| methods.median(rank) >= 0.1e6));
        assert_eq!(methods, Methods::fleet());
        let mut random = Random::new(1, 1);
        let sum: f64 = (0..1_000_000).map(|_| methods.sample(&mut random)).sum();
        assert!((sum / 1e6 / methods.mean() - 1.0).abs() < 0.02);
    }
}
