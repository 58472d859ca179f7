//! What one core's loop does.

use serde::Serialize;

use super::{Block, Counter, Histogram, HistogramSnapshot};

/// The counters of one core's loop.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct CoreCounters {
    /// Turns of the loop.
    pub loops: Counter,
    /// Receive queues asked for packets.
    pub polls: Counter,
    /// Polls that brought nothing.
    pub polls_empty: Counter,
    /// Polls that brought as many packets as were asked for: more may be waiting.
    pub polls_full: Counter,
    /// Cycles in turns of the loop that had something to do.
    pub busy_cycles: Counter,
    /// Cycles in turns that had nothing to do, and asleep.
    pub idle_cycles: Counter,
    /// Times the core slept because it had nothing to do.
    pub sleeps: Counter,
    /// Timers that expired.
    pub timers: Counter,
    /// Times the core took over something published.
    pub refreshes: Counter,
    /// Packets that came through the core's inbox.
    pub inbox: Counter,
    /// Times a packet was asked for and the mempool had none.
    pub alloc_failed: Counter,
    /// Nanoseconds from a packet's receipt to its hand-over to the transmit port; index 0 to the
    /// server, 1 to the client.
    pub transit: [Histogram; 2],
}

impl Block for CoreCounters {
    type Snapshot = CoreSnapshot;

    fn snapshot(&self) -> CoreSnapshot {
        CoreSnapshot {
            loops: self.loops.get(),
            // In this order, so that empty and full are never more than all.
            polls_empty: self.polls_empty.get(),
            polls_full: self.polls_full.get(),
            polls: self.polls.get(),
            busy_cycles: self.busy_cycles.get(),
            idle_cycles: self.idle_cycles.get(),
            sleeps: self.sleeps.get(),
            timers: self.timers.get(),
            refreshes: self.refreshes.get(),
            inbox: self.inbox.get(),
            alloc_failed: self.alloc_failed.get(),
            transit: [self.transit[0].snapshot(), self.transit[1].snapshot()],
        }
    }
}

/// The numbers of a core; the fields are those of [`CoreCounters`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of CoreCounters")]
pub struct CoreSnapshot {
    pub loops: u64,
    pub polls: u64,
    pub polls_empty: u64,
    pub polls_full: u64,
    pub busy_cycles: u64,
    pub idle_cycles: u64,
    pub sleeps: u64,
    pub timers: u64,
    pub refreshes: u64,
    pub inbox: u64,
    pub alloc_failed: u64,
    pub transit: [HistogramSnapshot; 2],
}

impl CoreSnapshot {
    /// Adds the numbers of the same core before a restart, or of another.
    pub fn merge(&mut self, other: &Self) {
        self.loops += other.loops;
        self.polls += other.polls;
        self.polls_empty += other.polls_empty;
        self.polls_full += other.polls_full;
        self.busy_cycles += other.busy_cycles;
        self.idle_cycles += other.idle_cycles;
        self.sleeps += other.sleeps;
        self.timers += other.timers;
        self.refreshes += other.refreshes;
        self.inbox += other.inbox;
        self.alloc_failed += other.alloc_failed;
        for (own, more) in self.transit.iter_mut().zip(&other.transit) {
            own.merge(more);
        }
    }

    /// Share of its time the core had something to do, 0 to 1, since it started.
    pub fn busy_share(&self) -> f64 {
        match self.busy_cycles + self.idle_cycles {
            0 => 0.0,
            all => self.busy_cycles as f64 / all as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_adds_every_field() {
        let core = CoreCounters::default();
        for (counter, n) in [
            (&core.loops, 1),
            (&core.polls, 2),
            (&core.polls_empty, 3),
            (&core.polls_full, 4),
            (&core.busy_cycles, 5),
            (&core.idle_cycles, 15),
            (&core.sleeps, 6),
            (&core.timers, 7),
            (&core.refreshes, 8),
            (&core.inbox, 9),
            (&core.alloc_failed, 10),
        ] {
            counter.add(n);
        }
        core.transit[1].record(1000);
        let once = serde_json::to_value(core.snapshot()).unwrap();
        let mut sum = core.snapshot();
        sum.merge(&core.snapshot());
        assert_eq!(sum.busy_share(), 0.25);
        let twice = serde_json::to_value(&sum).unwrap();
        for (name, value) in once.as_object().unwrap() {
            if let Some(value) = value.as_u64() {
                assert_ne!(value, 0, "{name} is not covered");
                assert_eq!(twice[name], value * 2, "{name}");
            }
        }
        assert_eq!(sum.transit[1].count(), 2);
    }

    #[test]
    fn an_unused_core_is_not_busy() {
        assert_eq!(CoreSnapshot::default().busy_share(), 0.0);
    }
}
