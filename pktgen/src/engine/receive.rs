//! The receiving half of a core: finds signatures, follows flows, measures latency.

use nf_core::dpdk::{Mempool, RxQueue};
use nf_core::packet::{Batch, Packet};
use nf_core::telemetry::Writer;
use nf_core::wire::{Layers, Verdict, check_transport_checksum_of, ipv4_checksum_ok};

use super::neighbour::{ANSWER_BYTES, Hosts};
use crate::signature::Signature;
use crate::stats::ReceiveCounters;
use crate::template::FCS_BYTES;
use crate::tracker::{Arrival, Flow, Tracker};

/// What a received packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Signed(Signature),
    Broken,
    Foreign,
}

/// A packet that another core follows.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    flow: u32,
    sequence: u32,
    latency: u64,
}

/// A queue that a core receives from, and what it needs to answer neighbours there.
pub struct Source {
    /// The queue.
    pub queue: RxQueue,
    /// The hosts behind the port's streams.
    pub hosts: Hosts,
    /// To the core that sends on the port.
    pub replies: Option<rtrb::Producer<Packet>>,
}

/// What all receive cores of a run share.
#[derive(Debug, Clone)]
pub struct ReceiveSettings {
    /// The run's number in the signatures.
    pub run: u8,
    /// Number of tracked flows.
    pub flows: u32,
    /// Sequence numbers that a flow's window covers; as many as memory allows if `None`.
    pub window: Option<u64>,
    /// Whether checksums are verified.
    pub verify: bool,
    /// Most packets taken at once.
    pub burst: usize,
    /// This core's number among the receive cores, and how many there are: flow `f` is followed by
    /// core `f % cores`.
    pub core: u32,
    /// See `core`.
    pub cores: u32,
    /// Where signatures are in transport payloads: the lengths of the streams' prefixes.
    pub prefixes: Vec<usize>,
}

/// The receiving half of a core.
pub struct Receiver {
    sources: Vec<Source>,
    batch: Batch,
    follower: Follower,
    from: Vec<rtrb::Consumer<Report>>,
}

/// What does not depend on where a packet came from.
struct Follower {
    /// Packets for answers.
    pool: Mempool,
    settings: ReceiveSettings,
    tracker: Tracker,
    /// Where the last signature was found.
    hint: usize,
    to: Vec<Option<rtrb::Producer<Report>>>,
    counters: Writer<ReceiveCounters>,
}

/// How far the clocks of two cores may be apart, nanoseconds.
const CLOCK_SLACK_NS: u64 = 1_000_000;

impl Receiver {
    /// A receiver from `sources`. `to` and `from` connect it with the other receive cores; its own
    /// place in `to` is empty.
    pub fn new(
        sources: Vec<Source>,
        pool: Mempool,
        settings: ReceiveSettings,
        to: Vec<Option<rtrb::Producer<Report>>>,
        from: Vec<rtrb::Consumer<Report>>,
        counters: Writer<ReceiveCounters>,
    ) -> Receiver {
        let own = settings.flows.div_ceil(settings.cores.max(1));
        let tracker = match settings.window {
            Some(window) => Tracker::with_window(own, window),
            None => Tracker::new(own),
        };
        let follower = Follower {
            pool,
            settings,
            tracker,
            hint: 42,
            to,
            counters,
        };
        Receiver {
            sources,
            batch: Batch::new(),
            follower,
            from,
        }
    }

    /// Takes what has come; `clock` is read once per burst. Says whether anything had.
    #[inline(always)]
    pub fn poll(&mut self, clock: &impl Fn() -> u64) -> bool {
        let Receiver {
            sources,
            batch,
            follower,
            from,
        } = self;
        let mut busy = false;
        for source in sources {
            let count = source.queue.burst(batch, follower.settings.burst);
            if count == 0 {
                continue;
            }
            busy = true;
            let now = clock();
            let bytes: usize = batch.iter().map(|packet| packet.len()).sum();
            follower.counters.packets.add(count as u64);
            follower
                .counters
                .bytes
                .add((bytes + count * FCS_BYTES as usize) as u64);
            for packet in batch.iter() {
                if !follower.take(packet, now) {
                    follower.foreign(packet, source);
                }
            }
            batch.clear();
        }
        for reports in from {
            while let Ok(report) = reports.pop() {
                busy = true;
                follower.record(report);
            }
        }
        busy
    }

    /// The flows' final state: tracked flow, what became of it.
    pub fn finish(self) -> Vec<(u32, Flow)> {
        let Follower {
            settings, tracker, ..
        } = self.follower;
        let cores = settings.cores.max(1);
        let flow = |(i, flow): (usize, &Flow)| (i as u32 * cores + settings.core, *flow);
        tracker.flows().iter().enumerate().map(flow).collect()
    }
}

impl Follower {
    /// Follows a packet; `false` if it has no signature.
    #[inline(always)]
    fn take(&mut self, packet: &Packet, now: u64) -> bool {
        let signature = match self.inspect(packet) {
            Kind::Signed(signature) => signature,
            Kind::Broken => {
                self.counters.broken.add(1);
                return true;
            }
            Kind::Foreign => return false,
        };
        // A packet of this run names one of its flows and a time that has passed.
        if signature.run != self.settings.run
            || signature.flow >= self.settings.flows
            || signature.sent_ns > now + CLOCK_SLACK_NS
        {
            self.counters.stale.add(1);
            return true;
        }
        let report = Report {
            flow: signature.flow,
            sequence: signature.sequence,
            latency: now.saturating_sub(signature.sent_ns),
        };
        let owner = signature.flow % self.settings.cores.max(1);
        match self.to.get_mut(owner as usize) {
            Some(Some(other)) if owner != self.settings.core => {
                if other.push(report).is_err() {
                    self.counters.untracked.add(1);
                }
            }
            _ => self.record(report),
        }
        true
    }

    #[inline(always)]
    fn record(&mut self, report: Report) {
        let local = report.flow / self.settings.cores.max(1);
        let arrival = self
            .tracker
            .record(local, report.sequence, report.latency as i64);
        if arrival.is_new() {
            self.counters.unique.add(1);
            self.counters.latency.record(report.latency);
        }
        match arrival {
            Arrival::InOrder => {}
            Arrival::Reordered => self.counters.reordered.add(1),
            Arrival::Duplicate => self.counters.duplicates.add(1),
            Arrival::TooLate => self.counters.too_late.add(1),
            Arrival::Unknown => self.counters.stale.add(1),
        }
    }

    #[inline(always)]
    fn inspect(&mut self, packet: &Packet) -> Kind {
        let data = packet.data();
        if !self.settings.verify
            && let Some(signature) = data.get(self.hint..).and_then(Signature::read)
            && signature.run == self.settings.run
        {
            return Kind::Signed(signature);
        }
        let layers = Layers::parse_lax(data, packet.len());
        if self.settings.verify {
            // What cannot be parsed to the end was cut or corrupted.
            let header_broken = layers.is_ipv4() && !ipv4_checksum_ok(data, &layers);
            let segments = packet.segments().skip(1);
            let verdict = check_transport_checksum_of(&layers, data, segments);
            if header_broken || verdict == Verdict::Bad || layers.problem().is_some() {
                return Kind::Broken;
            }
        }
        let payload = layers.payload(data);
        for &prefix in &self.settings.prefixes {
            if let Some(signature) = payload.get(prefix..).and_then(Signature::read) {
                self.hint = layers.payload_at() + prefix;
                return Kind::Signed(signature);
            }
        }
        Kind::Foreign
    }

    /// A packet without a signature: perhaps a neighbour's question.
    #[cold]
    fn foreign(&mut self, packet: &Packet, source: &mut Source) {
        self.counters.foreign.add(1);
        let Source {
            hosts,
            replies: Some(replies),
            ..
        } = source
        else {
            return;
        };
        let layers = Layers::parse_lax(packet.data(), packet.len());
        let mut out = [0; ANSWER_BYTES];
        let Some(answer) = hosts
            .answer(packet.data(), &layers, &mut out)
            .and_then(|length| out.get(..length))
        else {
            return;
        };
        // Without a packet, or with a full queue, the neighbour asks again.
        let Some(mut reply) = Packet::alloc(&self.pool) else {
            return;
        };
        let Some(room) = reply.append(answer.len().max(60)) else {
            return;
        };
        room.fill(0);
        if let Some(head) = room.get_mut(..answer.len()) {
            head.copy_from_slice(answer);
        }
        if replies.push(reply).is_ok() {
            self.counters.neighbours.add(1);
        }
    }
}
