//! What the cores count while a run goes on.
//!
//! Each block has one writer, a core; the control thread reads them all.

use nf_core::telemetry::{Block, Counter};
use serde::Serialize;

use crate::latency::{Distribution, Latency};

/// One stream on one transmit core.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct TransmitCounters {
    /// Packets that the port took.
    pub packets: Counter,
    /// Their bytes, frame check sequences included.
    pub bytes: Counter,
    /// Of the packets, those that carry a signature.
    pub tracked: Counter,
    /// Packets that left later than `late_after` past their intended time.
    pub late: Counter,
    /// Times the port took fewer packets than it was given.
    pub refusals: Counter,
    /// Packets that the port did not take at first.
    pub refused: Counter,
    /// Times the pool of packet buffers was empty.
    pub pool_empty: Counter,
    /// Slots of the schedule that were never used.
    pub missed: Counter,
    /// Packets given up at the end because the port never took them.
    pub dropped: Counter,
    /// How far behind the schedule packets left, nanoseconds.
    pub lateness: Latency,
}

/// The numbers of [`TransmitCounters`].
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)] // as above
pub struct TransmitSnapshot {
    pub packets: u64,
    pub bytes: u64,
    pub tracked: u64,
    pub late: u64,
    pub refusals: u64,
    pub refused: u64,
    pub pool_empty: u64,
    pub missed: u64,
    pub dropped: u64,
    pub lateness: Distribution,
}

impl Block for TransmitCounters {
    type Snapshot = TransmitSnapshot;

    fn snapshot(&self) -> TransmitSnapshot {
        TransmitSnapshot {
            packets: self.packets.get(),
            bytes: self.bytes.get(),
            tracked: self.tracked.get(),
            late: self.late.get(),
            refusals: self.refusals.get(),
            refused: self.refused.get(),
            pool_empty: self.pool_empty.get(),
            missed: self.missed.get(),
            dropped: self.dropped.get(),
            lateness: self.lateness.snapshot(),
        }
    }
}

impl TransmitSnapshot {
    /// Adds the numbers of `other`.
    pub fn add(&mut self, other: &TransmitSnapshot) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.tracked += other.tracked;
        self.late += other.late;
        self.refusals += other.refusals;
        self.refused += other.refused;
        self.pool_empty += other.pool_empty;
        self.missed += other.missed;
        self.dropped += other.dropped;
        self.lateness.add(&other.lateness);
    }
}

/// One receive core.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ReceiveCounters {
    /// Packets received.
    pub packets: Counter,
    /// Their bytes, with 4 for each frame check sequence.
    pub bytes: Counter,
    /// Packets of this run, each counted once.
    pub unique: Counter,
    /// Further copies.
    pub duplicates: Counter,
    /// Packets that came after one with a greater sequence number.
    pub reordered: Counter,
    /// Packets older than the tracking window.
    pub too_late: Counter,
    /// Packets without a signature.
    pub foreign: Counter,
    /// Packets of an earlier run, or of another generator.
    pub stale: Counter,
    /// Packets with a wrong checksum.
    pub broken: Counter,
    /// ARP and neighbour requests answered.
    pub neighbours: Counter,
    /// Packets that another core should have followed, but whose queue was full.
    pub untracked: Counter,
    /// From the intended send time to the receipt, nanoseconds.
    pub latency: Latency,
}

/// The numbers of [`ReceiveCounters`].
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)] // as above
pub struct ReceiveSnapshot {
    pub packets: u64,
    pub bytes: u64,
    pub unique: u64,
    pub duplicates: u64,
    pub reordered: u64,
    pub too_late: u64,
    pub foreign: u64,
    pub stale: u64,
    pub broken: u64,
    pub neighbours: u64,
    pub untracked: u64,
    pub latency: Distribution,
}

impl Block for ReceiveCounters {
    type Snapshot = ReceiveSnapshot;

    fn snapshot(&self) -> ReceiveSnapshot {
        ReceiveSnapshot {
            packets: self.packets.get(),
            bytes: self.bytes.get(),
            unique: self.unique.get(),
            duplicates: self.duplicates.get(),
            reordered: self.reordered.get(),
            too_late: self.too_late.get(),
            foreign: self.foreign.get(),
            stale: self.stale.get(),
            broken: self.broken.get(),
            neighbours: self.neighbours.get(),
            untracked: self.untracked.get(),
            latency: self.latency.snapshot(),
        }
    }
}

impl ReceiveSnapshot {
    /// Adds the numbers of `other`.
    pub fn add(&mut self, other: &ReceiveSnapshot) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.unique += other.unique;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
        self.too_late += other.too_late;
        self.foreign += other.foreign;
        self.stale += other.stale;
        self.broken += other.broken;
        self.neighbours += other.neighbours;
        self.untracked += other.untracked;
        self.latency.add(&other.latency);
    }
}

/// One core's loop.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkCounters {
    /// Clock cycles spent sending.
    pub transmit: Counter,
    /// Clock cycles spent on received packets.
    pub receive: Counter,
    /// All clock cycles.
    pub total: Counter,
}

/// The numbers of [`WorkCounters`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // as above
pub struct WorkSnapshot {
    pub transmit: u64,
    pub receive: u64,
    pub total: u64,
}

impl Block for WorkCounters {
    type Snapshot = WorkSnapshot;

    fn snapshot(&self) -> WorkSnapshot {
        WorkSnapshot {
            transmit: self.transmit.get(),
            receive: self.receive.get(),
            // Last, so that the parts are never more than the whole.
            total: self.total.get(),
        }
    }
}

impl WorkSnapshot {
    fn share(part: u64, total: u64) -> f64 {
        if total == 0 {
            0.0
        } else {
            (part as f64 / total as f64).min(1.0)
        }
    }

    /// Share of the time spent sending.
    pub fn transmit_share(&self) -> f64 {
        WorkSnapshot::share(self.transmit, self.total)
    }

    /// Share of the time spent on received packets.
    pub fn receive_share(&self) -> f64 {
        WorkSnapshot::share(self.receive, self.total)
    }
}
