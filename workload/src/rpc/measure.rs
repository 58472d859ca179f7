//! What a client measures.

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency that is told apart, nanoseconds: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// A distribution of times: three digits exact, the least and the greatest all.
#[derive(Debug, Clone)]
pub struct Times {
    histogram: Histogram<u64>,
    min: u64,
    max: u64,
}

impl Default for Times {
    fn default() -> Times {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3)
            .expect("three digits from a nanosecond to an hour are bounds that exist");
        Times {
            histogram,
            min: u64::MAX,
            max: 0,
        }
    }
}

impl Times {
    /// Adds a time, nanoseconds.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns.clamp(1, LONGEST_NS));
        self.min = self.min.min(ns);
        self.max = self.max.max(ns);
    }

    /// Adds the times of `other`.
    pub fn add(&mut self, other: &Times) {
        let _ = self.histogram.add(&other.histogram);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.histogram.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// The time that a share of them does not exceed; 0 of none.
    pub fn quantile(&self, share: f64) -> u64 {
        // A histogram's value stands for a range, whose end may lie beyond all that was recorded.
        self.histogram.value_at_quantile(share).min(self.max)
    }

    /// What is told of them; `None` of none.
    pub fn summary(&self) -> Option<Latency> {
        (!self.is_empty()).then(|| Latency {
            count: self.len(),
            min_ns: self.min,
            mean_ns: self.histogram.mean(),
            p50_ns: self.quantile(0.5),
            p90_ns: self.quantile(0.9),
            p95_ns: self.quantile(0.95),
            p99_ns: self.quantile(0.99),
            p99_9_ns: self.quantile(0.999),
            max_ns: self.max,
        })
    }
}

/// A distribution of times in a few numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[allow(missing_docs)] // the names say it
pub struct Latency {
    pub count: u64,
    pub min_ns: u64,
    pub mean_ns: f64,
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p95_ns: u64,
    pub p99_ns: u64,
    pub p99_9_ns: u64,
    pub max_ns: u64,
}

/// Counts. Those of requests are of the requests meant to be sent while it was measured, unless they say
/// otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Requests meant to be sent.
    pub offered: u64,
    /// Of these, not sent: too many were under way for the client's window.
    pub unsent: u64,
    /// Of these, answered by the end; each counted once.
    pub completed: u64,
    /// Answers to distinct requests that arrived while it was measured, whenever their requests were sent.
    pub answered_in_time: u64,
    /// Failed, of the completed: cancelled, not found, other.
    pub failed: [u64; 3],
    /// Of the completed, those answered by a clone (CLO 2).
    pub by_clone: u64,
    /// Of the completed, those that were cloned (CLO 1 or 2).
    pub cloned: u64,
    /// Packets of further answers to them.
    pub redundant: u64,
    /// Answers to requests given up before, of the whole run.
    pub late: u64,
    /// Requests sent again, of the whole run.
    pub retransmissions: u64,
    /// Second copies sent because the answer was late, of the whole run.
    pub hedged: u64,
    /// Refusals by the appliance, of the whole run.
    pub refused: u64,
    /// Datagrams that were no answers, of the whole run.
    pub malformed: u64,
    /// Datagrams that the network did not take, of the whole run.
    pub not_taken: u64,
}

impl Counts {
    /// Requests that were never answered.
    pub fn lost(&self) -> u64 {
        self.offered.saturating_sub(self.completed)
    }

    fn add(&mut self, other: &Counts) {
        self.offered += other.offered;
        self.unsent += other.unsent;
        self.completed += other.completed;
        self.answered_in_time += other.answered_in_time;
        for (mine, theirs) in self.failed.iter_mut().zip(other.failed) {
            *mine += theirs;
        }
        self.by_clone += other.by_clone;
        self.cloned += other.cloned;
        self.redundant += other.redundant;
        self.late += other.late;
        self.retransmissions += other.retransmissions;
        self.hedged += other.hedged;
        self.refused += other.refused;
        self.malformed += other.malformed;
        self.not_taken += other.not_taken;
    }
}

/// What one client, or several together, have measured.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// How long, nanoseconds; the same for clients that run together.
    pub window_ns: u64,
    /// Counts.
    pub counts: Counts,
    /// From the intended send time to the first answer: what a user waits, whatever held the client up.
    pub latency: Times,
    /// From the actual send time.
    pub latency_sent: Times,
    /// How late requests left.
    pub lateness: Times,
    /// Service times, as the servers tell.
    pub service: Times,
    /// Waiting times at the servers, as they tell.
    pub waited: Times,
    /// The share of the time that the busiest client was busy, where somebody has measured it.
    pub client_busy: Option<f64>,
}

impl Measured {
    /// Adds what another client has measured at the same time.
    pub fn add(&mut self, other: &Measured) {
        self.window_ns = self.window_ns.max(other.window_ns);
        self.counts.add(&other.counts);
        self.latency.add(&other.latency);
        self.latency_sent.add(&other.latency_sent);
        self.lateness.add(&other.lateness);
        self.service.add(&other.service);
        self.waited.add(&other.waited);
        self.client_busy = match (self.client_busy, other.client_busy) {
            (Some(mine), Some(theirs)) => Some(mine.max(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
    }

    /// Distinct requests answered a second.
    pub fn throughput(&self) -> f64 {
        self.per_second(self.counts.answered_in_time)
    }

    /// Requests a second meant to be sent.
    pub fn offered(&self) -> f64 {
        self.per_second(self.counts.offered)
    }

    fn per_second(&self, count: u64) -> f64 {
        if self.window_ns == 0 {
            return 0.0;
        }
        count as f64 * 1e9 / self.window_ns as f64
    }

    /// As it is told in results.
    pub fn summary(&self) -> RunSummary {
        RunSummary {
            seconds: self.window_ns as f64 / 1e9,
            offered_rps: self.offered(),
            throughput_rps: self.throughput(),
            lost: self.counts.lost(),
            counts: self.counts,
            latency: self.latency.summary(),
            latency_sent: self.latency_sent.summary(),
            lateness: self.lateness.summary(),
            service: self.service.summary(),
            waited: self.waited.summary(),
            client_busy: self.client_busy,
        }
    }
}

/// One run, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RunSummary {
    /// How long it was measured.
    pub seconds: f64,
    /// Requests a second meant to be sent.
    pub offered_rps: f64,
    /// Distinct requests answered a second.
    pub throughput_rps: f64,
    /// Requests never answered.
    pub lost: u64,
    /// Counts.
    pub counts: Counts,
    /// From the intended send time.
    pub latency: Option<Latency>,
    /// From the actual send time.
    pub latency_sent: Option<Latency>,
    /// How late requests left.
    pub lateness: Option<Latency>,
    /// Service times, as the servers tell.
    pub service: Option<Latency>,
    /// Waiting times at the servers, as they tell.
    pub waited: Option<Latency>,
    /// The share of the time that the busiest client was busy.
    pub client_busy: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_and_the_greatest_are_exact() {
        let mut times = Times::default();
        assert!(times.is_empty() && times.summary().is_none());
        assert_eq!(times.quantile(0.99), 0);
        for ns in [500_001, 700_003, 1_000_007] {
            times.record(ns);
        }
        let mut other = Times::default();
        other.record(300_009);
        times.add(&other);
        times.add(&Times::default());
        let summary = times.summary().unwrap();
        assert_eq!((summary.min_ns, summary.max_ns), (300_009, 1_000_007));
        assert_eq!((summary.count, times.quantile(1.0)), (4, 1_000_007));
        assert!((summary.p50_ns as f64 / 500_001.0 - 1.0).abs() < 1e-3);
    }
}
