//! What one core does: look whether a packet is wanted, and copy it into the core's ring.

use std::sync::Arc;

use super::ring::{Inlet, Record};
use super::session::Session;
use crate::chain::{Cx, Note, Stage};
use crate::packet::Batch;
use crate::publish::Reader;
use crate::telemetry::CounterDesc;

pub(super) const COUNTERS: &[CounterDesc] = &[
    CounterDesc {
        name: "packets",
        help: "Packets that were captured.",
    },
    CounterDesc {
        name: "bytes",
        help: "Bytes of packets that were captured.",
    },
    CounterDesc {
        name: "missed",
        help: "Packets that were wanted but not captured because the core's buffer was full.",
    },
    CounterDesc {
        name: "limited",
        help: "Packets that were wanted but more than may be captured in a second.",
    },
];
const PACKETS: usize = 0;
const BYTES: usize = 1;
const MISSED: usize = 2;
const LIMITED: usize = 3;

/// The session that runs, if any.
pub(super) type Current = Option<Arc<Session>>;

/// One core's share of the stage.
pub(super) struct CaptureShard {
    current: Reader<Current>,
    /// Whether there is a session: all that an idle stage looks at.
    active: bool,
    inlet: Inlet,
    captured: u64,
}

impl CaptureShard {
    pub fn new(current: Reader<Current>, inlet: Inlet) -> CaptureShard {
        CaptureShard {
            active: current.get().is_some(),
            current,
            inlet,
            captured: 0,
        }
    }

    #[inline(never)]
    fn capture(&mut self, cx: &mut Cx<'_>, batch: &Batch) {
        let Some(session) = self.current.get() else {
            return;
        };
        let direction = cx.direction();
        if !session.wants(direction) {
            return;
        }
        let (mut packets, mut bytes, mut missed, mut limited) = (0, 0, 0, 0);
        for packet in batch {
            let meta = packet.meta();
            let Some(counts) = session.counts(cx.core(), meta.port) else {
                continue;
            };
            counts.received.add(1);
            if let Some(filter) = &session.filter
                && !filter.matches(packet)
            {
                continue;
            }
            counts.accepted.add(1);
            if let Some(limiter) = &session.limiter
                && !limiter.take(cx.now())
            {
                counts.limited.add(1);
                limited += 1;
                continue;
            }
            let original = packet.len() as u32;
            let record = Record {
                session: session.id,
                captured: original.min(session.snap),
                original,
                trace: meta.trace,
                ns: cx.now(),
                number: (cx.core() as u64) << 48 | self.captured,
                port: meta.port,
                direction,
            };
            if !self.inlet.put(record, packet) {
                counts.missed.add(1);
                missed += 1;
                cx.note(packet, || Note::new("missed"));
                continue;
            }
            self.captured += 1;
            packets += 1;
            bytes += u64::from(record.captured);
            cx.note(packet, || {
                Note::new("captured").with("bytes", u64::from(record.captured))
            });
        }
        for (counter, n) in [
            (PACKETS, packets),
            (BYTES, bytes),
            (MISSED, missed),
            (LIMITED, limited),
        ] {
            if n > 0 {
                cx.count(counter, n);
            }
        }
    }
}

impl Stage for CaptureShard {
    #[inline]
    fn process(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        if self.active {
            self.capture(cx, batch);
        }
    }

    fn refresh(&mut self) {
        if self.current.refresh() {
            self.active = self.current.get().is_some();
        }
    }
}
