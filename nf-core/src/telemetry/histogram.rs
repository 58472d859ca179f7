//! A distribution of times with fixed memory and a fixed relative resolution.
//!
//! Log-linear, as HDR histograms are: each power of two is cut into 64 equal buckets, so a bucket
//! is never wider than 1/64 (1.6 %) of its values; below 128 ns every nanosecond has its own.

use serde::Serialize;

use super::{Block, Counter};

/// Buckets a power of two is cut into.
const SUB: u64 = 64;
const SUB_BITS: u32 = SUB.trailing_zeros();
/// Largest value that is told apart: 2^43 - 1 ns, 2.4 hours.
const MAX_BITS: u32 = 43;
const MAX: u64 = (1 << MAX_BITS) - 1;
const BUCKETS: usize = ((MAX_BITS - SUB_BITS) as usize + 1) * SUB as usize;

/// Bounds for Prometheus: 125 ns · 2^k. Each of them is a bucket's border, so nothing is lost.
const FIRST_BOUND: u64 = 125;
const BOUNDS: u32 = 24;

/// Bucket of a value.
#[inline(always)]
fn index(value: u64) -> usize {
    let value = value.min(MAX);
    // Highest set bit, at least bit 6: values below 128 are their own bucket.
    let high = 63 - (value | (2 * SUB - 1)).leading_zeros();
    let shift = high - SUB_BITS;
    (u64::from(shift) * SUB + (value >> shift)) as usize
}

/// Smallest value of a bucket.
fn lowest(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / SUB).saturating_sub(1);
    (index - shift * SUB) << shift
}

/// Largest value of a bucket.
fn highest(index: usize) -> u64 {
    lowest(index + 1) - 1
}

/// Counts times in nanoseconds; one writer, 19 KiB.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[Counter]>,
    sum: Counter,
    max: Counter,
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Counter::new()).collect(),
            sum: Counter::new(),
            max: Counter::new(),
        }
    }

    /// Counts one value of `ns` nanoseconds; above 2.4 hours it counts in the last bucket.
    #[inline(always)]
    pub fn record(&self, ns: u64) {
        self.record_many(ns, 1);
    }

    /// Counts `n` values of `ns` nanoseconds each.
    #[inline(always)]
    pub fn record_many(&self, ns: u64, n: u64) {
        if let Some(bucket) = self.buckets.get(index(ns)) {
            bucket.add(n);
        }
        self.sum.add(ns.wrapping_mul(n));
        self.max.raise(ns);
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Block for Histogram {
    type Snapshot = HistogramSnapshot;

    fn snapshot(&self) -> HistogramSnapshot {
        let buckets: Vec<u64> = self.buckets.iter().map(Counter::get).collect();
        HistogramSnapshot {
            count: buckets.iter().sum(),
            buckets,
            sum: self.sum.get(),
            max: self.max.get(),
        }
    }
}

/// The counts of a [`Histogram`], or of several merged. Serialises as its summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "Summary")]
pub struct HistogramSnapshot {
    buckets: Vec<u64>,
    count: u64,
    sum: u64,
    max: u64,
}

/// What JSON shows of a histogram.
#[derive(Serialize)]
struct Summary {
    count: u64,
    mean_ns: f64,
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
}

impl From<HistogramSnapshot> for Summary {
    fn from(from: HistogramSnapshot) -> Self {
        Self {
            count: from.count(),
            mean_ns: from.mean(),
            p50_ns: from.quantile(0.5),
            p90_ns: from.quantile(0.9),
            p99_ns: from.quantile(0.99),
            p999_ns: from.quantile(0.999),
            max_ns: from.max(),
        }
    }
}

impl HistogramSnapshot {
    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sum of the values in nanoseconds, exact.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Largest value in nanoseconds, exact.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Mean in nanoseconds; zero if there is no value.
    pub fn mean(&self) -> f64 {
        match self.count {
            0 => 0.0,
            count => self.sum as f64 / count as f64,
        }
    }

    /// The value in nanoseconds that a share of `quantile` (0 to 1) of all values does not exceed,
    /// at most 1.6 % too high; zero if there is no value.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let rank = ((quantile.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                let last = index + 1 == self.buckets.len();
                return if last {
                    self.max
                } else {
                    highest(index).min(self.max)
                };
            }
        }
        self.max
    }

    /// Adds the values of another.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (own, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += more;
        }
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// The values that came after `earlier` was taken from the same histogram. The maximum is
    /// that of the highest bucket with a new value.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut buckets = self.buckets.clone();
        for (own, less) in buckets.iter_mut().zip(&earlier.buckets) {
            *own = own.saturating_sub(*less);
        }
        let max = match buckets.iter().rposition(|count| *count > 0) {
            Some(index) if index + 1 < buckets.len() => highest(index).min(self.max),
            Some(_) => self.max,
            None => 0,
        };
        Self {
            count: buckets.iter().sum(),
            buckets,
            sum: self.sum.wrapping_sub(earlier.sum),
            max,
        }
    }

    /// For Prometheus: (bound in seconds, values below it), bounds 125 ns · 2^k up to 1.05 s.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let mut seen = 0;
        let mut next = 0;
        (0..BOUNDS).map(move |power| {
            let bound = FIRST_BOUND << power;
            let end = index(bound);
            seen += self.buckets.iter().take(end).skip(next).sum::<u64>();
            next = end;
            (bound as f64 / 1e9, seen)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        assert_eq!(index(0), 0);
        assert_eq!(index(MAX) + 1, BUCKETS);
        assert_eq!(index(u64::MAX) + 1, BUCKETS);
        const { assert!(MAX > 3600 * 1_000_000_000) };
        for i in 0..BUCKETS {
            let (low, high) = (lowest(i), highest(i));
            assert_eq!((index(low), index(high)), (i, i));
            assert!(high - low <= low / 64, "bucket {i}: {low}..={high}");
        }
    }

    #[test]
    fn prometheus_bounds_are_borders() {
        for power in 0..BOUNDS {
            let bound = FIRST_BOUND << power;
            assert_eq!(lowest(index(bound)), bound);
        }
    }

    #[test]
    fn empty_is_zero_everywhere() {
        for snapshot in [Histogram::new().snapshot(), HistogramSnapshot::default()] {
            assert_eq!(snapshot.count(), 0);
            assert_eq!(snapshot.quantile(0.99), 0);
            assert_eq!(snapshot.mean(), 0.0);
            assert_eq!(snapshot.cumulative().map(|(_, n)| n).sum::<u64>(), 0);
        }
    }

    #[test]
    fn values_beyond_the_range_keep_their_maximum() {
        let histogram = Histogram::new();
        histogram.record(u64::MAX);
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count(), snapshot.max()), (1, u64::MAX));
        assert_eq!(snapshot.quantile(0.5), u64::MAX);
    }

    #[test]
    fn difference_of_two_snapshots() {
        let histogram = Histogram::new();
        histogram.record(1_000_000);
        let earlier = histogram.snapshot();
        histogram.record_many(100, 3);
        let since = histogram.snapshot().since(&earlier);
        assert_eq!((since.count(), since.sum(), since.max()), (3, 300, 100));
        assert_eq!(since.quantile(1.0), 100);
    }

    fn times() -> impl Strategy<Value = Vec<u64>> {
        let time = (0u32..42, any::<u64>()).prop_map(|(bits, x)| x & ((1 << bits) - 1));
        prop::collection::vec(time, 1..300)
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_list(mut values in times(), more in times(), q in 0.0..=1.0f64) {
            let (one, two) = (Histogram::new(), Histogram::new());
            values.iter().for_each(|v| one.record(*v));
            more.iter().for_each(|v| two.record(*v));
            let mut merged = one.snapshot();
            merged.merge(&two.snapshot());
            values.extend(&more);
            values.sort_unstable();

            prop_assert_eq!(merged.count(), values.len() as u64);
            prop_assert_eq!(merged.sum(), values.iter().sum::<u64>());
            prop_assert_eq!(merged.max(), *values.last().unwrap());
            let rank = ((q * values.len() as f64).ceil() as usize).max(1);
            let exact = values[rank - 1];
            let ours = merged.quantile(q);
            prop_assert!(ours >= exact && ours - exact <= exact / 64, "{ours} for {exact}");
            for (bound, count) in merged.cumulative() {
                let bound = (bound * 1e9).round() as u64;
                prop_assert_eq!(count, values.iter().filter(|v| **v < bound).count() as u64);
            }
        }
    }
}
