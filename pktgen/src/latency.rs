//! Distributions of times: written by one core without a lock, read by any, exact to 0.1 %.
//!
//! Laid out as HDR histograms are: below 2048 ns every nanosecond has its own bucket, above, each
//! power of two is cut into 1024. The control side turns counts into a [`hdrhistogram::Histogram`]
//! for percentiles and export.

use hdrhistogram::Histogram as Hdr;
use nf_core::telemetry::{Block, Counter};
use serde::Serialize;

const SUB_BITS: u32 = 10;
const SUB: u64 = 1 << SUB_BITS;
/// Times from 2^36 ns, 68 s, on are not told apart.
const MAX_BITS: u32 = 36;
const BUCKETS: usize = ((MAX_BITS - SUB_BITS) as usize + 1) * SUB as usize;

/// The longest time told apart, nanoseconds.
pub const LONGEST_NS: u64 = (1 << MAX_BITS) - 1;

#[inline(always)]
fn index(value: u64) -> usize {
    let value = value.min(LONGEST_NS);
    let shift = (63 - (value | (2 * SUB - 1)).leading_zeros()) - SUB_BITS;
    (u64::from(shift) * SUB + (value >> shift)) as usize
}

/// The middle of a bucket.
fn middle(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / SUB).saturating_sub(1);
    ((index - shift * SUB) << shift) + ((1 << shift) >> 1)
}

/// Counts of times in nanoseconds; one writer, 221 KB.
#[derive(Debug)]
pub struct Latency {
    buckets: Box<[Counter]>,
    sum: Counter,
    max: Counter,
    /// 2^64 - 1 less the least value, so that it can only be raised.
    inverse_min: Counter,
}

impl Default for Latency {
    fn default() -> Self {
        Latency {
            buckets: (0..BUCKETS).map(|_| Counter::new()).collect(),
            sum: Counter::new(),
            max: Counter::new(),
            inverse_min: Counter::new(),
        }
    }
}

impl Latency {
    /// Counts a time.
    #[inline(always)]
    pub fn record(&self, ns: u64) {
        if let Some(bucket) = self.buckets.get(index(ns)) {
            bucket.add(1);
        }
        self.sum.add(ns);
        self.max.raise(ns);
        self.inverse_min.raise(u64::MAX - ns);
    }
}

impl Block for Latency {
    type Snapshot = Distribution;

    fn snapshot(&self) -> Distribution {
        let buckets: Vec<u64> = self.buckets.iter().map(Counter::get).collect();
        Distribution {
            count: buckets.iter().sum(),
            buckets,
            sum: u128::from(self.sum.get()),
            max: self.max.get(),
            min: u64::MAX - self.inverse_min.get(),
        }
    }
}

/// The counts of a [`Latency`], or of several together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    max: u64,
    min: u64,
}

impl Distribution {
    /// Number of times counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Distribution) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other.clone();
            return;
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
        self.min = self.min.min(other.min);
    }

    /// What came since `earlier`, an older state of the same distribution. Its greatest and least values
    /// are those of the buckets, exact to 0.1 %.
    pub fn since(&self, earlier: &Distribution) -> Distribution {
        if earlier.count == 0 {
            return self.clone();
        }
        let buckets: Vec<u64> = self
            .buckets
            .iter()
            .zip(&earlier.buckets)
            .map(|(a, b)| a.saturating_sub(*b))
            .collect();
        Distribution {
            count: buckets.iter().sum(),
            sum: self.sum.saturating_sub(earlier.sum),
            max: buckets.iter().rposition(|&n| n > 0).map_or(0, middle),
            min: buckets.iter().position(|&n| n > 0).map_or(0, middle),
            buckets,
        }
    }

    /// As an HDR histogram of three significant digits.
    pub fn hdr(&self) -> Option<Hdr<u64>> {
        let mut hdr = Hdr::new_with_bounds(1, LONGEST_NS, 3).ok()?;
        for (index, &count) in self.buckets.iter().enumerate().filter(|(_, n)| **n > 0) {
            // The ends are known exactly.
            hdr.saturating_record_n(middle(index).clamp(self.min, self.max.max(self.min)), count);
        }
        Some(hdr)
    }

    /// The time that a share `quantile` (0 to 1) of all does not exceed; 0 without any.
    pub fn quantile(&self, quantile: f64) -> u64 {
        if self.count == 0 {
            return 0;
        }
        let rank = ((self.count as f64 * quantile).ceil() as u64).clamp(1, self.count);
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle(index).clamp(self.min, self.max.max(self.min));
            }
        }
        self.max
    }

    /// Mean in nanoseconds, exact; 0 without any.
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum as f64 / self.count as f64
        }
    }

    /// Minimum, percentiles, maximum; `None` without any.
    pub fn summary(&self) -> Option<Summary> {
        (self.count > 0).then(|| Summary {
            count: self.count,
            min_ns: self.min,
            mean_ns: self.mean(),
            p50_ns: self.quantile(0.5),
            p90_ns: self.quantile(0.9),
            p99_ns: self.quantile(0.99),
            p99_9_ns: self.quantile(0.999),
            p99_99_ns: self.quantile(0.9999),
            max_ns: self.max,
        })
    }

    /// Points of the percentile curve: share of packets, time in nanoseconds. Closer together the
    /// nearer to 1.
    pub fn curve(&self) -> Vec<(f64, u64)> {
        if self.count == 0 {
            return Vec::new();
        }
        let mut points = vec![(0.0, self.min)];
        // Forty points a decade of (1 - quantile), as long as a packet is left to stand for it.
        for step in 1..=240 {
            let rest = 10f64.powf(-f64::from(step) / 40.0);
            if rest * (self.count as f64) < 1.0 {
                break;
            }
            points.push((1.0 - rest, self.quantile(1.0 - rest)));
        }
        points.push((1.0 - 1.0 / (self.count as f64 * 2.0), self.max));
        points
    }
}

/// A distribution in a few numbers, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Packets measured.
    pub count: u64,
    /// Least, exact.
    pub min_ns: u64,
    /// Mean, exact.
    pub mean_ns: f64,
    /// Median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p99_9_ns: u64,
    /// 99.99th percentile.
    pub p99_99_ns: u64,
    /// Greatest, exact.
    pub max_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;

    #[test]
    fn buckets_are_continuous_and_narrow() {
        for value in (0..5000).chain((13..36).flat_map(|p| [(1 << p) - 1, 1 << p, (1 << p) + 7])) {
            let middle = middle(index(value));
            let error = (middle as f64 - value as f64).abs();
            assert!(error <= value as f64 / 1000.0, "{value}: {middle}");
        }
        assert_eq!(index(u64::MAX), BUCKETS - 1);
        assert_eq!(index(LONGEST_NS), BUCKETS - 1);
    }

    #[test]
    fn ends_and_mean_are_exact() {
        let latency = Latency::default();
        for ns in [12_345, 1_000_001, 77_777_777] {
            latency.record(ns);
        }
        let summary = latency.snapshot().summary().unwrap();
        assert_eq!(
            (summary.min_ns, summary.max_ns, summary.count),
            (12_345, 77_777_777, 3)
        );
        assert_eq!(
            summary.mean_ns,
            (12_345 + 1_000_001 + 77_777_777) as f64 / 3.0
        );
        assert!(Latency::default().snapshot().summary().is_none());
    }

    #[test]
    fn a_planted_stall_shows_up_in_p99() {
        // 100 kpps for a second; the receiver stands still for 50 ms. Measured from the intended times,
        // the 5000 packets that pile up meanwhile all count, not only the first.
        let latency = Latency::default();
        for packet in 0..100_000u64 {
            let intended = packet * 10_000;
            let stalled = (500_000_000..550_000_000).contains(&intended);
            let arrival = if stalled { 550_000_000 } else { intended } + 20_000;
            latency.record(arrival - intended);
        }
        let summary = latency.snapshot().summary().unwrap();
        assert!((19_980..=20_020).contains(&summary.p50_ns), "{summary:?}");
        assert!(
            (39_000_000..41_000_000).contains(&summary.p99_ns),
            "{summary:?}"
        );
        assert!(summary.max_ns >= 50_000_000);
    }

    #[test]
    fn differences_and_sums() {
        let latency = Latency::default();
        (1..=100).for_each(|ns| latency.record(ns));
        let first = latency.snapshot();
        (1001..=1100).for_each(|ns| latency.record(ns));
        let second = latency.snapshot();
        let between = second.since(&first);
        assert_eq!((between.count(), between.quantile(0.5)), (100, 1050));
        let mut sum = first.clone();
        sum.add(&between);
        assert_eq!(sum.summary(), second.summary());
        assert_eq!(first.since(&Distribution::default()), first);
    }

    #[test]
    fn the_curve_rises_to_the_maximum() {
        let latency = Latency::default();
        let mut random = Random::new(1, 1);
        (0..100_000).for_each(|_| latency.record(10_000 + (random.exponential() * 1e4) as u64));
        let snapshot = latency.snapshot();
        let curve = snapshot.curve();
        assert!(
            curve
                .windows(2)
                .all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1)
        );
        assert_eq!(curve.last().unwrap().1, snapshot.summary().unwrap().max_ns);
        assert!(curve.len() > 150);
    }

    proptest! {
        #[test]
        fn quantiles_agree_with_hdrhistogram(
            values in proptest::collection::vec(1u64..10_000_000_000, 1..300),
            quantile in 0.0..=1.0f64,
        ) {
            let latency = Latency::default();
            let mut reference = Hdr::<u64>::new_with_bounds(1, LONGEST_NS, 3).unwrap();
            for &value in &values {
                latency.record(value);
                reference.record(value).unwrap();
            }
            let snapshot = latency.snapshot();
            let (ours, theirs) = (snapshot.quantile(quantile), reference.value_at_quantile(quantile));
            prop_assert!((ours as f64 / theirs as f64 - 1.0).abs() < 2.5e-3, "{ours} {theirs}");
            let exported = snapshot.hdr().unwrap();
            prop_assert_eq!(exported.len(), values.len() as u64);
        }
    }
}
