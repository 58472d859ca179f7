//! What the cores and the writer share of one capture.

use std::sync::atomic::{AtomicBool, Ordering};

use super::config::{CaptureConfig, CaptureDirection};
use super::limit::Limiter;
use super::pcapng::Statistics;
use crate::filter::{Filter, FilterError};
use crate::packet::Direction;
use crate::telemetry::Counter;

/// One capture, from start to stop.
#[derive(Debug)]
pub(super) struct Session {
    /// Its number, in every record.
    pub id: u32,
    /// Which packets.
    pub filter: Option<Filter>,
    /// Bytes of each.
    pub snap: u32,
    /// Packets a second.
    pub limiter: Option<Limiter>,
    /// Which directions.
    pub directions: [bool; 2],
    /// Somebody takes what is captured. The cores look before each batch.
    wanted: AtomicBool,
    /// By core, then by interface; each core writes its own.
    counts: Box<[CoreCounts]>,
}

/// What one core counts for one session.
#[derive(Debug)]
#[repr(align(128))]
struct CoreCounts(Box<[PortCounts]>);

/// What one core counts of one interface.
#[derive(Debug, Default)]
pub(super) struct PortCounts {
    /// Packets that passed.
    pub received: Counter,
    /// Packets that passed the filter.
    pub accepted: Counter,
    /// Packets for which the ring had no room.
    pub missed: Counter,
    /// Packets that were more than there may be in a second.
    pub limited: Counter,
}

impl Session {
    /// A session with these settings; `ports` is the number of ports.
    pub fn new(
        id: u32,
        config: &CaptureConfig,
        cores: usize,
        ports: usize,
        now: u64,
    ) -> Result<Session, FilterError> {
        // One interface more: for packets that no port received.
        let core = || CoreCounts((0..=ports).map(|_| PortCounts::default()).collect());
        Ok(Session {
            id,
            filter: config.filter.as_deref().map(Filter::compile).transpose()?,
            snap: config.snap_bytes,
            limiter: config.max_packets_per_second.map(|n| Limiter::new(n, now)),
            directions: match config.direction {
                CaptureDirection::Both => [true, true],
                CaptureDirection::ToServer => [true, false],
                CaptureDirection::ToClient => [false, true],
            },
            wanted: AtomicBool::new(false),
            counts: (0..cores).map(|_| core()).collect(),
        })
    }

    /// Whether packets of that direction are wanted now.
    #[inline]
    pub fn wants(&self, direction: Direction) -> bool {
        self.directions[direction as usize] && self.wanted.load(Ordering::Relaxed)
    }

    /// Says whether packets are wanted.
    pub fn set_wanted(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// The counts of a core, of the interface that stands for a port.
    #[inline]
    pub fn counts(&self, core: usize, port: u16) -> Option<&PortCounts> {
        let ports = &self.counts.get(core)?.0;
        ports.get(self.interface(port) as usize)
    }

    /// The interface that stands for a port: the last one for packets that no port received.
    #[inline]
    pub fn interface(&self, port: u16) -> u32 {
        let interfaces = self.counts.first().map_or(1, |core| core.0.len());
        usize::from(port).min(interfaces.saturating_sub(1)) as u32
    }

    /// What each interface has seen so far, over all cores.
    pub fn statistics(&self) -> Vec<Statistics> {
        let interfaces = self.counts.first().map_or(0, |core| core.0.len());
        (0..interfaces)
            .map(|interface| {
                let mut sum = Statistics::default();
                for counts in self.counts.iter().filter_map(|core| core.0.get(interface)) {
                    sum.received += counts.received.get();
                    sum.accepted += counts.accepted.get();
                    sum.dropped += counts.missed.get() + counts.limited.get();
                }
                sum
            })
            .collect()
    }

    /// Packets missed and limited so far, over all cores and interfaces.
    pub fn lost(&self) -> (u64, u64) {
        let all = || self.counts.iter().flat_map(|core| core.0.iter());
        (
            all().map(|counts| counts.missed.get()).sum(),
            all().map(|counts| counts.limited.get()).sum(),
        )
    }
}
