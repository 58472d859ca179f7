//! What bursts took, collected until there is time to make an estimate of it.
//!
//! An estimate costs some dozens of instructions, which a burst of cheap packets cannot carry for every
//! stage. Adding to three sums costs a few.

/// Burst sizes whose reciprocals are at hand.
const SIZES: usize = 65;

const RECIPROCALS: [f64; SIZES] = {
    let mut table = [0.0; SIZES];
    let mut n = 1;
    while n < SIZES {
        table[n] = 1.0 / n as f64;
        n += 1;
    }
    table
};

/// Sums over bursts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    count: u64,
    bursts: u64,
    sum: f64,
    squares: f64,
}

/// What a [`Tally`] comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// How many samples there were.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Their variance; `None` if one burst alone tells nothing of it.
    pub variance: Option<f64>,
}

impl Tally {
    /// A burst of `count` samples came to `total` together; what each of them was is not known.
    #[inline(always)]
    pub fn add_total(&mut self, total: f64, count: usize) {
        self.count += count as u64;
        self.bursts += 1;
        self.sum += total;
        // No division, and never out of the table.
        self.squares += total * total * RECIPROCALS[count % SIZES];
    }

    /// A burst of `count` samples of the same value.
    #[inline(always)]
    pub fn add_same(&mut self, value: f64, count: usize) {
        let total = value * count as f64;
        self.count += count as u64;
        self.bursts += 1;
        self.sum += total;
        self.squares += total * value;
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The sum of all samples.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Of samples added by [`add_total`](Tally::add_total): from how far the means of bursts lie apart follows how
    /// far the samples do. Samples are multiplied by `unit`.
    pub fn of_totals(&self, unit: f64) -> Spread {
        let mean = self.mean();
        let apart = self.squares - self.sum * mean;
        let variance = apart.max(0.0) / (self.bursts.max(2) - 1) as f64;
        Spread {
            count: self.count,
            mean: mean * unit,
            variance: (self.bursts > 1).then_some(variance * unit * unit),
        }
    }

    /// Of samples added by [`add_same`](Tally::add_same).
    pub fn of_same(&self) -> Spread {
        let mean = self.mean();
        let variance = self.squares / self.count.max(1) as f64 - mean * mean;
        Spread {
            count: self.count,
            mean,
            variance: Some(variance.max(0.0)),
        }
    }

    fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::super::Ewma;
    use super::*;

    #[test]
    fn ip10_bursts_of_any_size_tell_mean_and_variance_of_their_packets() {
        // 1 with chance 0.9, 11 with chance 0.1: mean 2, variance 9.
        let mut state = 77u64;
        let mut draw = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut ewma = Ewma::new(1.0 / 64.0);
        let (mut mean, mut variance) = (0.0, 0.0);
        for _ in 0..5_000 {
            let mut tally = Tally::default();
            for _ in 0..16 {
                let count = 1 + draw(64) as usize;
                let sample =
                    |draw: &mut dyn FnMut(u64) -> u64| if draw(10) == 0 { 11.0 } else { 1.0 };
                let total: f64 = (0..count).map(|_| sample(&mut draw)).sum();
                tally.add_total(total, count);
            }
            ewma.add_spread(tally.of_totals(1.0));
            mean += ewma.mean() / 5_000.0;
            variance += ewma.variance() / 5_000.0;
        }
        assert!((mean - 2.0).abs() < 0.02, "{mean}");
        assert!((variance - 9.0).abs() < 0.9, "{variance}");
    }

    #[test]
    fn the_same_for_all_of_a_burst_is_as_many_samples() {
        let mut tally = Tally::default();
        tally.add_same(10.0, 3);
        tally.add_same(50.0, 1);
        let spread = tally.of_same();
        assert_eq!((spread.count, spread.mean), (4, 20.0));
        assert_eq!(spread.variance, Some(300.0));
        assert_eq!(tally.sum(), 80.0);
    }

    #[test]
    fn one_burst_says_nothing_of_the_spread() {
        let mut tally = Tally::default();
        assert!(tally.is_empty());
        tally.add_total(64.0, 32);
        let spread = tally.of_totals(0.5);
        assert_eq!((spread.mean, spread.variance), (1.0, None));
    }
}
