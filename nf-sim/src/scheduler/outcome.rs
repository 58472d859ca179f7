//! What came of a trial.

use nf_core::sched::Status;
use nf_core::sched::policy::Place;
use nf_core::sched::runtime::Event;

/// Measured values, all of them.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    sorted: Vec<u32>,
}

impl Samples {
    pub(super) fn of(mut values: Vec<u32>) -> Samples {
        values.sort_unstable();
        Samples { sorted: values }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The value that this share lies at or below; 0 of nothing.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        let at = (share * self.sorted.len() as f64).ceil() as usize;
        let value = self.sorted.get(at.saturating_sub(1).min(last));
        value.map_or(0.0, |value| f64::from(*value))
    }

    /// The mean; 0 of nothing.
    pub fn mean(&self) -> f64 {
        let sum: f64 = self.sorted.iter().map(|value| f64::from(*value)).sum();
        sum / self.sorted.len().max(1) as f64
    }
}

/// What was measured of one class.
#[derive(Debug, Clone, Default)]
pub struct OfClass {
    /// From arrival to the end, nanoseconds.
    pub latency: Samples,
    /// The same divided by how long the message takes by itself, in thousandths.
    pub slowdown: Samples,
}

impl OfClass {
    /// A percentile of the latency, microseconds.
    pub fn latency_us(&self, share: f64) -> f64 {
        self.latency.quantile(share) / 1e3
    }

    /// Mean latency, microseconds.
    pub fn mean_us(&self) -> f64 {
        self.latency.mean() / 1e3
    }

    /// A percentile of the slowdown.
    pub fn slowdown(&self, share: f64) -> f64 {
        self.slowdown.quantile(share) / 1e3
    }
}

/// What came of a trial.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// By class of the workload.
    pub classes: Vec<OfClass>,
    /// Of all classes together.
    pub all: OfClass,
    /// Messages that came in.
    pub offered: u64,
    /// Messages that were executed.
    pub done: u64,
    /// Messages that ended without: what came in had no room, or an actor's losses.
    pub lost: u64,
    /// Actors when the last message came in.
    pub under_load: Vec<Status>,
    /// Actors at the end, when nothing has come in for long.
    pub actors: Vec<Status>,
    /// What the scheduler did, oldest first; the last thousand of it.
    pub events: Vec<Event>,
    /// How often an actor changed groups.
    pub regrouped: u64,
}

impl Outcome {
    /// 99th percentile of the short class, microseconds.
    pub fn short_p99(&self) -> f64 {
        self.p99(0)
    }

    /// 99th percentile of a class, microseconds.
    pub fn p99(&self, class: usize) -> f64 {
        let class = self.classes.get(class);
        class.map_or(0.0, |class| class.latency_us(0.99))
    }

    /// Whether an actor was on a worker when the last message came in.
    pub fn is_on_worker(&self, actor: usize) -> bool {
        let status = self.under_load.get(actor);
        status.is_some_and(|status| matches!(status.place, Some(Place::Worker(_))))
    }

    /// A number that is the same if everything was the same.
    pub fn fingerprint(&self) -> u64 {
        let values = self
            .all
            .latency
            .sorted
            .iter()
            .map(|value| u64::from(*value));
        let rest = [self.offered, self.done, self.lost, self.regrouped];
        values.chain(rest).fold(0, |hash, value| {
            workload::random::mix(hash ^ value.wrapping_add(0x1234_5678))
        })
    }
}
