//! Packet trace: marked at ingress, told stage by stage, shown by the control side.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use serde::Serialize;

use super::{Direction, Note};
use crate::packet::{Batch, Packet};

/// Chooses which packets are traced.
pub type TraceFilter = Arc<dyn Fn(&Packet) -> bool + Send + Sync>;

/// Bytes of a received packet that a trace shows.
pub const HEAD_BYTES: usize = 64;

/// After the last packet was marked, stages go on telling for this long, nanoseconds.
const LINGER_NS: u64 = 1_000_000_000;

/// What happened to a traced packet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TraceEvent {
    /// It came in by a port.
    Received {
        /// Port index.
        port: u16,
        /// Bytes of the packet.
        len: u32,
        /// Its first bytes.
        #[serde(skip)]
        head: [u8; HEAD_BYTES],
    },
    /// A stage said something of it.
    Note(Note),
    /// A stage let it go on.
    Forward,
    /// A stage turned it around.
    Back,
    /// A stage made it (a copy of a traced packet, or an answer).
    Emitted,
    /// A stage kept it.
    Held,
    /// It ended here.
    Dropped {
        /// The reason, as in the metric's label.
        reason: &'static str,
    },
    /// It was handed to a port.
    Sent {
        /// Port index.
        port: u16,
    },
}

/// One line of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TraceRecord {
    /// The packet's trace id.
    pub id: u32,
    /// When, nanoseconds of the chain's clock.
    pub ns: u64,
    /// Core that handled it.
    pub core: u16,
    /// Position of the stage in the chain, `None` for ports and the chain itself.
    pub stage: Option<u8>,
    /// Which way the packet went.
    pub direction: Direction,
    /// What happened.
    #[serde(flatten)]
    pub event: TraceEvent,
}

/// A request to trace, shared by all cores and the control side.
pub struct TraceSession {
    remaining: AtomicU32,
    next_id: AtomicU32,
    lost: AtomicU64,
    filter: Option<TraceFilter>,
    records: ArrayQueue<TraceRecord>,
}

impl std::fmt::Debug for TraceSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceSession")
            .field("remaining", &self.remaining)
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}

impl TraceSession {
    /// Traces the next `count` packets that pass `filter`, with room for `records` lines until
    /// somebody takes them.
    pub fn new(count: u32, filter: Option<TraceFilter>, records: usize) -> Arc<TraceSession> {
        Arc::new(TraceSession {
            remaining: AtomicU32::new(count),
            next_id: AtomicU32::new(1),
            lost: AtomicU64::new(0),
            filter,
            records: ArrayQueue::new(records.max(1)),
        })
    }

    /// Packets still to be marked.
    pub fn remaining(&self) -> u32 {
        self.remaining.load(Ordering::Relaxed)
    }

    /// Lines that found no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Takes the next line.
    pub fn pop(&self) -> Option<TraceRecord> {
        self.records.pop()
    }

    /// An id for one more packet, while there are any left.
    fn claim(&self) -> Option<u32> {
        self.remaining
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .ok()
            .map(|_| self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    fn push(&self, record: TraceRecord) {
        if self.records.push(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A core's side of a trace session.
#[derive(Debug, Clone)]
pub struct Traced {
    session: Arc<TraceSession>,
    core: u16,
    done_at: Option<u64>,
}

impl Traced {
    pub(super) fn new(session: Arc<TraceSession>, core: u16) -> Traced {
        Traced {
            session,
            core,
            done_at: None,
        }
    }

    /// Marks packets of a received batch. False when the session is over for this core.
    pub(super) fn mark(&mut self, batch: &mut Batch, direction: Direction, now: u64) -> bool {
        if self.session.remaining() == 0 {
            let done_at = *self.done_at.get_or_insert(now.saturating_add(LINGER_NS));
            return now < done_at;
        }
        for packet in batch.iter_mut() {
            if self
                .session
                .filter
                .as_ref()
                .is_some_and(|wanted| !wanted(packet))
            {
                continue;
            }
            let Some(id) = self.session.claim() else {
                break;
            };
            let mut head = [0; HEAD_BYTES];
            packet.copy_out(0, &mut head);
            packet.meta_mut().trace = id;
            let (port, len) = (packet.meta().port, packet.len() as u32);
            self.tell(
                id,
                now,
                None,
                direction,
                TraceEvent::Received { port, len, head },
            );
        }
        true
    }

    #[cold]
    pub(super) fn tell(
        &self,
        id: u32,
        ns: u64,
        stage: Option<u8>,
        direction: Direction,
        event: TraceEvent,
    ) {
        self.session.push(TraceRecord {
            id,
            ns,
            core: self.core,
            stage,
            direction,
            event,
        });
    }

    /// One event for a packet, if it is traced.
    pub(super) fn packet(
        &self,
        packet: &Packet,
        ns: u64,
        stage: Option<u8>,
        direction: Direction,
        event: TraceEvent,
    ) {
        if packet.meta().trace != 0 {
            self.tell(packet.meta().trace, ns, stage, direction, event);
        }
    }
}
