//! How many packets the batches had: one counter for each size.

use serde::Serialize;

use super::{Block, Counter};

/// The most packets a batch has.
pub const MAX_BATCH: usize = 64;

/// Counts batches by their size, 0 to [`MAX_BATCH`], exactly.
#[derive(Debug)]
pub struct BatchSizes([Counter; MAX_BATCH + 1]);

impl BatchSizes {
    /// All counts zero.
    pub const fn new() -> Self {
        Self([const { Counter::new() }; MAX_BATCH + 1])
    }

    /// Counts one batch of `packets`; a larger one counts as [`MAX_BATCH`].
    #[inline(always)]
    pub fn record(&self, packets: usize) {
        self.0[packets.min(MAX_BATCH)].add(1);
    }
}

impl Default for BatchSizes {
    fn default() -> Self {
        Self::new()
    }
}

impl Block for BatchSizes {
    type Snapshot = BatchSizesSnapshot;

    fn snapshot(&self) -> BatchSizesSnapshot {
        BatchSizesSnapshot(self.0.iter().map(Counter::get).collect())
    }
}

/// The counts of a [`BatchSizes`]: element *n* is the number of batches of *n* packets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchSizesSnapshot(Vec<u64>);

impl BatchSizesSnapshot {
    /// Batches by size.
    pub fn counts(&self) -> &[u64] {
        &self.0
    }

    /// Number of batches.
    pub fn batches(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Number of packets in them.
    pub fn packets(&self) -> u64 {
        self.0
            .iter()
            .zip(0..)
            .map(|(count, size)| count * size)
            .sum()
    }

    /// Mean size; zero if there was no batch.
    pub fn mean(&self) -> f64 {
        match self.batches() {
            0 => 0.0,
            batches => self.packets() as f64 / batches as f64,
        }
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (own, more) in self.0.iter_mut().zip(&other.0) {
            *own += more;
        }
    }

    /// For Prometheus: (bound, batches of at most that many packets), bounds 0, 1, 2, 4, … 64.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        [0usize, 1, 2, 4, 8, 16, 32, 64]
            .into_iter()
            .map(|bound| (bound as f64, self.0.iter().take(bound + 1).sum()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_every_size_exactly() {
        let sizes = BatchSizes::new();
        for packets in [0, 1, 1, 32, 64, 65, usize::MAX] {
            sizes.record(packets);
        }
        let snapshot = sizes.snapshot();
        assert_eq!(snapshot.batches(), 7);
        assert_eq!(snapshot.packets(), 2 + 32 + 3 * 64);
        assert_eq!((snapshot.counts()[1], snapshot.counts()[64]), (2, 3));
        let cumulative: Vec<_> = snapshot.cumulative().collect();
        assert_eq!(cumulative.first(), Some(&(0.0, 1)));
        assert_eq!(cumulative[1], (1.0, 3));
        assert_eq!(cumulative[6], (32.0, 4));
        assert_eq!(cumulative.last(), Some(&(64.0, 7)));
    }

    #[test]
    fn merges_into_an_empty_one() {
        let sizes = BatchSizes::new();
        sizes.record(3);
        let mut sum = BatchSizesSnapshot::default();
        assert_eq!(sum.mean(), 0.0);
        sum.merge(&sizes.snapshot());
        sum.merge(&sizes.snapshot());
        assert_eq!((sum.batches(), sum.packets()), (2, 6));
        assert_eq!(sum.mean(), 3.0);
    }
}
