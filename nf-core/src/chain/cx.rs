//! What a stage sees of the world while it runs.

use std::sync::Arc;

use super::actors::{ChainWork, Mail};
use super::chain::ChainReason;
use super::guard::{self, Vitals};
use super::note::Note;
use super::shard::Home;
use super::trace::{TraceEvent, Traced};
use super::{CHAIN_REASONS, Direction};
use crate::clock::{Clock, TimerId, Wheel};
use crate::dpdk::Mempool;
use crate::packet::{Batch, Label, Meta, NO_PORT, Packet};
use crate::sched::ActorId;
use crate::sched::runtime::PacketCore;
use crate::sched::stats::Tally;
use crate::telemetry::{CoreCounters, StageCounters, Writer};

/// Most packets that stages may have emitted and the chain not yet taken on.
const PENDING: usize = 4096;

/// Most traced packets that one call of a stage may drop and the trace tells apart from held ones.
const ENDED: usize = 256;

/// How often a packet may be turned around before it is taken for a loop.
const MAX_TURNS: u8 = 16;

/// What a core gives to its chain.
#[derive(Debug)]
pub struct EnvConfig {
    /// Number of the core in the config's list, from 0.
    pub core: usize,
    /// Where packets come from.
    pub pool: Mempool,
    /// The clock of the chain.
    pub clock: Clock,
    /// Seed of the random source; every core gets another one.
    pub seed: u64,
    /// Counters of the core.
    pub counters: Writer<CoreCounters>,
    /// Counters of the chain itself, with [`CHAIN_REASONS`].
    pub chain_counters: Writer<StageCounters>,
}

/// What a core has besides its stages: time, packets, timers, chance, and the trace.
pub struct Env {
    pub(super) now: u64,
    /// The last reading of the cycle counter. Each reading is the end of one step and the start of the
    /// next, because a reading costs as much as forwarding a packet.
    stamp: u64,
    pub(super) core: usize,
    pub(super) pool: Mempool,
    pub(super) clock: Clock,
    random: u64,
    pub(super) pending: Vec<Packet>,
    /// Messages that stages sent to actors, and that have not been posted yet.
    pub(super) posted: Vec<(ActorId, Packet)>,
    pub(super) traced: Option<Traced>,
    /// Traced packets that the running stage dropped.
    ended: Vec<u32>,
    /// Expendable packets for which a port had no room, by the stage that emitted them.
    undelivered: Box<[u64; 256]>,
    pub(super) counters: Writer<CoreCounters>,
    pub(super) chain_counters: Writer<StageCounters>,
    /// How long the packets of the burst that is being run have waited in their receive ring, nanoseconds; known
    /// under a scheduler only.
    pub(super) ring_wait: u64,
    /// How long packets took from their arrival, since the scheduler was last told.
    pub(super) latency: Tally,
    /// Length of a packet of the last burst, bytes.
    pub(super) sample_bytes: u32,
    /// What the watchdog sees of this core.
    pub(super) vitals: Arc<Vitals>,
    /// The core's end of the scheduler, if there is one.
    pub(super) sched: Option<Box<PacketCore<ChainWork>>>,
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env")
            .field("core", &self.core)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl Env {
    /// The environment of one core.
    pub fn new(config: EnvConfig) -> Env {
        let stamp = config.clock.cycles();
        Env {
            now: config.clock.at_cycles(stamp),
            stamp,
            core: config.core,
            pool: config.pool,
            // Zero is the one state that a xorshift generator never leaves.
            random: config.seed | 1,
            pending: Vec::with_capacity(PENDING),
            posted: Vec::new(),
            clock: config.clock,
            traced: None,
            ended: Vec::with_capacity(ENDED),
            undelivered: Box::new([0; 256]),
            counters: config.counters,
            chain_counters: config.chain_counters,
            ring_wait: 0,
            latency: Tally::default(),
            sample_bytes: 0,
            vitals: Arc::default(),
            sched: None,
        }
    }

    /// Reads the clock; what stages see as now until the next reading.
    #[inline(always)]
    pub fn tick(&mut self) -> u64 {
        self.stamp = self.clock.cycles();
        self.now = self.clock.at_cycles(self.stamp);
        self.now
    }

    /// Reads the cycle counter, but leaves [`Cx::now`] as it is; returns the cycles since the last
    /// reading.
    #[inline(always)]
    pub(super) fn lap(&mut self) -> u64 {
        let before = std::mem::replace(&mut self.stamp, self.clock.cycles());
        self.stamp.wrapping_sub(before)
    }

    /// The time of the last reading.
    #[inline(always)]
    pub(super) fn stamp_ns(&self) -> u64 {
        self.clock.at_cycles(self.stamp)
    }

    /// The last reading of the cycle counter.
    pub(super) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Notes how long `count` packets took that this core ran to completion, or sent elsewhere: from `came` to the
    /// last reading of the clock.
    #[inline(always)]
    pub(super) fn note_latency(&mut self, came: u64, count: usize) {
        let latency = self.stamp_ns().saturating_sub(came) + self.ring_wait;
        self.latency.add_same(latency as f64, count);
    }

    /// Counts how long the packets of a batch took through the chain; `ingress` is when they came, if
    /// all came at one moment.
    #[inline(always)]
    pub(super) fn record_transit(&self, direction: Direction, ingress: Option<u64>, batch: &Batch) {
        let histogram = &self.counters.transit[direction as usize];
        let now = self.stamp_ns();
        match ingress {
            Some(at) => histogram.record_many(now.saturating_sub(at), batch.len() as u64),
            None => {
                for packet in batch {
                    histogram.record(now.saturating_sub(packet.meta().ingress_ns));
                }
            }
        }
    }

    /// A port has no room for these packets: remembers how many of them were expendable, and whose.
    #[cold]
    pub fn not_delivered(&mut self, batch: &Batch) {
        for packet in batch {
            let meta = packet.meta();
            self.undelivered[usize::from(meta.position)] += u64::from(meta.expendable);
        }
    }

    /// What a watchdog looks at.
    pub fn vitals(&self) -> Arc<Vitals> {
        self.vitals.clone()
    }

    /// The pool of the core.
    pub fn pool(&self) -> &Mempool {
        &self.pool
    }

    /// Takes how many expendable packets of the stage at `position` found no room.
    #[inline(always)]
    pub(super) fn take_undelivered(&mut self, position: u8) -> u64 {
        std::mem::take(&mut self.undelivered[usize::from(position)])
    }

    #[inline]
    pub(super) fn next_random(&mut self) -> u64 {
        // xorshift64*, Vigna 2016: fast, and good enough for sampling and jitter.
        let mut x = self.random;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random = x;
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn forget_ended(&mut self) {
        self.ended.clear();
    }

    pub(super) fn has_ended(&self, id: u32) -> bool {
        self.ended.contains(&id)
    }

    /// A traced packet ends; told to the trace by the caller.
    fn end(&mut self, id: u32) {
        if id != 0 && self.ended.len() < ENDED {
            self.ended.push(id);
        }
    }

    /// Hands what stages sent to actors to the scheduler.
    #[cold]
    pub(super) fn post(&mut self) {
        let mut posted = std::mem::take(&mut self.posted);
        for (to, packet) in posted.drain(..) {
            match &mut self.sched {
                Some(sched) => sched.deliver(to, Mail::Letter(packet)),
                None => {
                    let direction = packet.meta().direction;
                    self.drop_by_chain(packet, direction, ChainReason::ActorGone);
                }
            }
        }
        self.posted = posted;
    }

    /// For an [`Output`](super::Output): drops packets whose stage chose a port that does not exist.
    #[cold]
    pub fn drop_without_port(&mut self, batch: &mut Batch) {
        for packet in batch.drain() {
            let direction = packet.meta().direction;
            self.drop_by_chain(packet, direction, ChainReason::NoEgress);
        }
    }

    /// Drops a packet for a reason of the chain's own.
    pub(super) fn drop_by_chain(
        &mut self,
        packet: Packet,
        direction: Direction,
        reason: ChainReason,
    ) {
        self.chain_counters.input.add(direction as usize, 1);
        self.chain_counters.dropped(reason as usize, 1);
        if let Some(traced) = &self.traced {
            let event = TraceEvent::Dropped {
                reason: CHAIN_REASONS[reason as usize],
            };
            traced.packet(&packet, self.stamp_ns(), None, direction, event);
            self.end(packet.meta().trace);
        }
    }
}

/// What a stage sees of the world: time, packets, timers, counters, chance, and where its packets
/// go. Valid for one call.
pub struct Cx<'a> {
    pub(super) env: &'a mut Env,
    pub(super) counters: &'a StageCounters,
    pub(super) timers: &'a mut Wheel<u64>,
    pub(super) undelivered: &'a mut u64,
    pub(super) home: Home,
    pub(super) direction: Direction,
}

impl Cx<'_> {
    /// Now, nanoseconds of a clock that never goes back. The same for a whole batch.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        self.env.now
    }

    /// Which way the packets of this batch go; `ToServer` in a timer.
    #[inline(always)]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Number of the packet core that the shard belongs to, from 0: the shard's index, wherever it runs.
    #[inline(always)]
    pub fn core(&self) -> usize {
        self.home.core
    }

    /// The core's packet pool, for [`Packet::ensure_writable`] and the like.
    #[inline(always)]
    pub fn pool(&self) -> &Mempool {
        &self.env.pool
    }

    /// Sends a packet on in the direction of the batch, behind the packets that stay in it.
    #[inline]
    pub fn forward(&mut self, packet: Packet) {
        self.emit(self.direction, packet);
    }

    /// Turns a packet around: it passes the stages on the side it came from, in reverse order, and
    /// leaves by the port it came in by.
    #[inline]
    pub fn back(&mut self, packet: Packet) {
        self.emit(self.direction.reverse(), packet);
    }

    /// Sends a packet on from this stage in either direction.
    pub fn emit(&mut self, direction: Direction, mut packet: Packet) {
        let meta = packet.meta_mut();
        // Its own direction, not that of the call: a timer has packets of either.
        let came = meta.direction;
        let forward = came == direction;
        if !forward {
            meta.direction = direction;
            meta.turns = meta.turns.saturating_add(1);
        }
        meta.position = self.home.position;
        let turns = meta.turns;
        if forward {
            &self.counters.forward
        } else {
            &self.counters.back
        }
        .add(came as usize, 1);
        if let Some(traced) = &self.env.traced {
            let event = match forward {
                true => TraceEvent::Emitted,
                false => TraceEvent::Back,
            };
            traced.packet(
                &packet,
                self.env.stamp_ns(),
                Some(self.home.position),
                direction,
                event,
            );
        }
        if turns > MAX_TURNS {
            self.env.drop_by_chain(packet, direction, ChainReason::Loop);
        } else if self.env.pending.len() == PENDING {
            self.env
                .drop_by_chain(packet, direction, ChainReason::BacklogFull);
        } else {
            self.env.pending.push(packet);
        }
    }

    /// Sends a packet to an actor, as a message of this kind and key. It leaves the chain here; what the actor
    /// lets go on goes on behind this stage, on this core. Where there is no scheduler, it ends as `actor_gone`.
    pub fn send(&mut self, to: ActorId, kind: u32, key: u64, mut packet: Packet) {
        let meta = packet.meta_mut();
        let came = meta.direction;
        meta.position = self.home.position;
        let bits = to.to_bits();
        *packet.label_mut() = Label {
            sent_ns: self.env.now,
            key,
            from: bits,
            to: bits,
            kind,
            home: self.home.core as u16,
            spare: 0,
        };
        self.counters.forward.add(came as usize, 1);
        if let Some(traced) = &self.env.traced {
            let (now, at) = (self.env.stamp_ns(), Some(self.home.position));
            traced.packet(&packet, now, at, self.direction, TraceEvent::Held);
        }
        if self.env.posted.len() < PENDING {
            self.env.posted.push((to, packet));
        } else {
            self.env
                .drop_by_chain(packet, came, ChainReason::BacklogFull);
        }
    }

    /// Ends a packet. `reason` is an index into the stage's list of reasons.
    #[inline]
    pub fn drop(&mut self, packet: Packet, reason: usize) {
        self.counters.dropped(reason, 1);
        if let Some(traced) = &self.env.traced {
            let event = TraceEvent::Dropped {
                reason: self.counters.reason(reason),
            };
            traced.packet(
                &packet,
                self.env.stamp_ns(),
                Some(self.home.position),
                self.direction,
                event,
            );
            self.env.end(packet.meta().trace);
        }
        drop(packet);
    }

    /// An empty packet of the stage's own, to be emitted or dropped; `None` (counted) when the pool is
    /// exhausted. It leaves by the first port of the side it goes to unless the stage sets
    /// [`Meta::egress`].
    #[inline]
    pub fn alloc(&mut self) -> Option<Packet> {
        let Some(mut packet) = Packet::alloc(&self.env.pool) else {
            self.env.counters.alloc_failed.add(1);
            return None;
        };
        packet.reset_meta(Meta::received(self.env.now, NO_PORT, self.direction));
        self.counters.originated.add(self.direction as usize, 1);
        Some(packet)
    }

    /// A deep copy of a packet with the same metadata, to be emitted or dropped; `None` (counted) when
    /// the pool is exhausted.
    #[inline]
    pub fn copy(&mut self, packet: &Packet) -> Option<Packet> {
        let Some(copy) = packet.copy(&self.env.pool) else {
            self.env.counters.alloc_failed.add(1);
            return None;
        };
        self.counters.originated.add(self.direction as usize, 1);
        Some(copy)
    }

    /// A second packet whose first `headers` bytes are its own and whose payload is shared, as
    /// [`Packet::split`]; `None` (counted) when the pool is exhausted.
    pub fn split(&mut self, packet: &mut Packet, headers: usize) -> Option<Packet> {
        let Some(second) = packet.split(&self.env.pool, headers) else {
            self.env.counters.alloc_failed.add(1);
            return None;
        };
        self.counters.originated.add(self.direction as usize, 1);
        Some(second)
    }

    /// Makes a packet writable, as [`Packet::ensure_writable`], from the core's pool.
    #[inline(always)]
    #[must_use]
    pub fn ensure_writable(&mut self, packet: &mut Packet) -> bool {
        packet.ensure_writable(&self.env.pool)
    }

    /// Changes every packet of a batch. Those that share their bytes with others get their own first;
    /// for want of a buffer they are dropped, for `no_buffer`, an index into the stage's reasons.
    #[inline(always)]
    pub fn edit(&mut self, batch: &mut Batch, no_buffer: usize, mut edit: impl FnMut(&mut Packet)) {
        const { assert!(Batch::CAPACITY <= 64, "one bit for each packet") };
        let mut failed = 0u64;
        for (at, packet) in batch.iter_mut().enumerate() {
            if packet.is_writable() || self.unshare(packet) {
                edit(packet);
            } else {
                failed |= 1 << at;
            }
        }
        if failed != 0 {
            self.drop_marked(batch, failed, no_buffer);
        }
    }

    #[cold]
    fn unshare(&mut self, packet: &mut Packet) -> bool {
        self.ensure_writable(packet)
    }

    /// Ends the packets of a batch whose bits are set.
    #[cold]
    fn drop_marked(&mut self, batch: &mut Batch, mut marked: u64, reason: usize) {
        batch.sift(|packet| {
            let is_marked = marked & 1 != 0;
            marked >>= 1;
            if !is_marked {
                return Some(packet);
            }
            self.drop(packet, reason);
            None
        });
    }

    /// How many [expendable](Meta::expendable) packets of this stage did not leave for want of room since
    /// it last asked.
    #[inline(always)]
    pub fn take_undelivered(&mut self) -> u64 {
        std::mem::take(self.undelivered)
    }

    /// Calls [`Stage::on_timer`](super::Stage::on_timer) with `token` in `after_ns` nanoseconds;
    /// `None` when all timers of the shard are in use.
    #[inline]
    pub fn timer(&mut self, after_ns: u64, token: u64) -> Option<TimerId> {
        let at = self.env.now.saturating_add(after_ns);
        self.timers.insert(at, token).ok()
    }

    /// Cancels a timer; false when it has expired already.
    #[inline]
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.timers.cancel(timer).is_some()
    }

    /// To be called now and then by a handler that may take long: ends it, without returning, if it has run
    /// for longer than any may. Costs two loads.
    #[inline(always)]
    pub fn checkpoint(&self) {
        guard::checkpoint(self.env);
    }

    /// Keeps the core busy for that long, nanoseconds, with a [checkpoint](Cx::checkpoint) in every turn. In virtual
    /// time it is over at once.
    pub fn spend(&self, ns: u64) {
        if matches!(self.env.clock, Clock::Virtual(_)) {
            return;
        }
        let began = self.env.clock.cycles();
        while self
            .env
            .clock
            .duration(self.env.clock.cycles().wrapping_sub(began))
            < ns
        {
            self.checkpoint();
            std::hint::spin_loop();
        }
    }

    /// Adds to one of the stage's own counters, by its index in the stage's list.
    #[inline(always)]
    pub fn count(&mut self, counter: usize, n: u64) {
        self.counters.custom.add(counter, n);
    }

    /// A random number; the sequence follows from the seed of the core.
    #[inline]
    pub fn random(&mut self) -> u64 {
        self.env.next_random()
    }

    /// Says something of a packet in its trace. The note is made only if the packet is traced.
    #[inline(always)]
    pub fn note(&mut self, packet: &Packet, note: impl FnOnce() -> Note) {
        if let Some(traced) = &self.env.traced
            && packet.meta().trace != 0
        {
            let event = TraceEvent::Note(note());
            traced.tell(
                packet.meta().trace,
                self.env.stamp_ns(),
                Some(self.home.position),
                self.direction,
                event,
            );
        }
    }

    /// Whether this core traces packets now.
    #[inline(always)]
    pub fn is_tracing(&self) -> bool {
        self.env.traced.is_some()
    }
}
