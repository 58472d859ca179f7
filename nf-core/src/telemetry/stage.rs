//! What one stage does on one core.

use std::ops::AddAssign;

use serde::Serialize;

use super::{BatchSizes, BatchSizesSnapshot, Block, ByDirection, Counter, CounterSet};

/// A counter of a stage's own: `sluice_KIND_NAME_total` in Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterDesc {
    /// Snake case, without prefix and without `_total`.
    pub name: &'static str,
    /// One sentence for the `# HELP` line and the docs.
    pub help: &'static str,
}

/// The reason of drops whose reason the stage has not declared.
pub const OTHER_REASON: &str = "other";

/// The counters of one stage on one core.
///
/// At rest, `input + originated = forward + back + dropped + held`.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct StageCounters {
    /// Packets given to the stage, by their direction.
    pub input: ByDirection,
    /// Packets that went on, by their direction.
    pub forward: ByDirection,
    /// Packets turned round, by the direction they came in.
    pub back: ByDirection,
    /// Packets the stage made (new ones and copies), by the direction they are for.
    pub originated: ByDirection,
    /// Time-stamp counter cycles spent in the stage.
    pub cycles: Counter,
    /// Batches by size. A call without packets (a timer) is not a batch.
    pub batch_size: BatchSizes,
    /// The stage's own counters, by their index in what it declared.
    pub custom: CounterSet,
    /// By reason; one more than the stage declared, for [`OTHER_REASON`].
    dropped: CounterSet,
    reasons: &'static [&'static str],
    counters: &'static [CounterDesc],
}

impl StageCounters {
    /// Counters at zero for a stage with these drop reasons and counters of its own.
    pub fn new(reasons: &'static [&'static str], counters: &'static [CounterDesc]) -> Self {
        Self {
            input: ByDirection::default(),
            forward: ByDirection::default(),
            back: ByDirection::default(),
            originated: ByDirection::default(),
            cycles: Counter::new(),
            batch_size: BatchSizes::new(),
            custom: CounterSet::new(counters.len()),
            dropped: CounterSet::new(reasons.len() + 1),
            reasons,
            counters,
        }
    }

    /// Counts `n` packets dropped for the reason of that index. An index the stage has not
    /// declared counts as [`OTHER_REASON`]: no drop goes uncounted.
    #[inline(always)]
    pub fn dropped(&self, reason: usize, n: u64) {
        self.dropped.add(reason.min(self.reasons.len()), n);
    }

    /// The name of the reason of that index.
    pub fn reason(&self, reason: usize) -> &'static str {
        self.reasons.get(reason).copied().unwrap_or(OTHER_REASON)
    }
}

impl Block for StageCounters {
    type Snapshot = StageSnapshot;

    fn snapshot(&self) -> StageSnapshot {
        // What leaves is read before what enters: a packet in between is held, not missing.
        let names = self.reasons.iter().copied().chain([OTHER_REASON]);
        let dropped = names
            .zip(self.dropped.iter())
            .filter(|(reason, count)| *count > 0 || *reason != OTHER_REASON)
            .collect();
        let back = self.back.get();
        let forward = self.forward.get();
        StageSnapshot {
            dropped: Named(dropped),
            back,
            forward,
            originated: self.originated.get(),
            input: self.input.get(),
            cycles: self.cycles.get(),
            batch_size: self.batch_size.snapshot(),
            custom: Named(
                self.counters
                    .iter()
                    .map(|c| c.name)
                    .zip(self.custom.iter())
                    .collect(),
            ),
        }
    }
}

/// Counts by name, in the order of declaration; a JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named(Vec<(&'static str, u64)>);

impl Named {
    /// Name and count, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().copied()
    }

    /// The count of that name; zero if there is none.
    pub fn get(&self, name: &str) -> u64 {
        self.0
            .iter()
            .find(|(own, _)| *own == name)
            .map_or(0, |(_, count)| *count)
    }

    /// All counts.
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    fn merge(&mut self, other: &Self) {
        for (name, count) in other.iter() {
            match self.0.iter_mut().find(|(own, _)| *own == name) {
                Some((_, own)) => *own += count,
                None => self.0.push((name, count)),
            }
        }
    }
}

impl Serialize for Named {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// The numbers of a stage, of one core or of several merged. Pairs are to server, to client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StageSnapshot {
    /// Packets given to the stage.
    pub input: [u64; 2],
    /// Packets that went on.
    pub forward: [u64; 2],
    /// Packets turned round, by the direction they came in.
    pub back: [u64; 2],
    /// Packets the stage made.
    pub originated: [u64; 2],
    /// Packets dropped, by reason.
    pub dropped: Named,
    /// Cycles spent.
    pub cycles: u64,
    /// Batches by size.
    pub batch_size: BatchSizesSnapshot,
    /// The stage's own counters.
    pub custom: Named,
}

impl StageSnapshot {
    /// Adds the numbers of another core, or of the same stage before a restart.
    pub fn merge(&mut self, other: &Self) {
        add_pair(&mut self.input, other.input);
        add_pair(&mut self.forward, other.forward);
        add_pair(&mut self.back, other.back);
        add_pair(&mut self.originated, other.originated);
        self.dropped.merge(&other.dropped);
        self.cycles.add_assign(other.cycles);
        self.batch_size.merge(&other.batch_size);
        self.custom.merge(&other.custom);
    }

    /// Packets the stage has and has not let go of.
    pub fn held(&self) -> u64 {
        let sum = |pair: [u64; 2]| pair[0] + pair[1];
        (sum(self.input) + sum(self.originated))
            .saturating_sub(sum(self.forward) + sum(self.back) + self.dropped.sum())
    }

    /// Mean cycles a packet; zero if there was none.
    pub fn cycles_per_packet(&self) -> f64 {
        match self.input[0] + self.input[1] {
            0 => 0.0,
            packets => self.cycles as f64 / packets as f64,
        }
    }
}

fn add_pair(own: &mut [u64; 2], more: [u64; 2]) {
    own[0] += more[0];
    own[1] += more[1];
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASONS: &[&str] = &["denied", "malformed"];
    const COUNTERS: &[CounterDesc] = &[CounterDesc {
        name: "lookups",
        help: "Rules looked up.",
    }];

    #[test]
    fn every_packet_is_accounted_for() {
        let stage = StageCounters::new(REASONS, COUNTERS);
        stage.input.add(0, 10);
        stage.input.add(1, 5);
        stage.originated.add(1, 2);
        stage.forward.add(0, 6);
        stage.back.add(0, 1);
        stage.dropped(0, 2);
        stage.dropped(7, 1);
        stage.custom.add(0, 9);
        let seen = stage.snapshot();
        assert_eq!(seen.held(), 7);
        assert_eq!(seen.dropped.get("denied"), 2);
        assert_eq!(seen.dropped.get("malformed"), 0);
        assert_eq!(seen.dropped.get(OTHER_REASON), 1);
        assert_eq!(seen.custom.get("lookups"), 9);
        assert_eq!(
            (stage.reason(1), stage.reason(2)),
            ("malformed", OTHER_REASON)
        );
    }

    #[test]
    fn undeclared_reason_shows_only_when_it_happened() {
        let seen = StageCounters::new(REASONS, &[]).snapshot();
        let names: Vec<_> = seen.dropped.iter().map(|(name, _)| name).collect();
        assert_eq!(names, REASONS);
    }

    #[test]
    fn merges_by_name() {
        let old = StageCounters::new(&["denied"], &[]);
        old.input.add(0, 1);
        old.dropped(0, 1);
        let new = StageCounters::new(&["malformed", "denied"], &[]);
        new.input.add(0, 5);
        new.dropped(1, 3);
        new.cycles.add(60);
        let mut sum = old.snapshot();
        sum.merge(&new.snapshot());
        assert_eq!(sum.dropped.get("denied"), 4);
        assert_eq!(sum.held(), 2);
        assert_eq!(sum.cycles_per_packet(), 10.0);
    }

    #[test]
    fn json_names_the_reasons() {
        let stage = StageCounters::new(REASONS, COUNTERS);
        stage.dropped(1, 3);
        let json = serde_json::to_value(stage.snapshot()).unwrap();
        assert_eq!(
            json["dropped"],
            serde_json::json!({"denied": 0, "malformed": 3})
        );
        assert_eq!(json["custom"], serde_json::json!({"lookups": 0}));
    }
}
