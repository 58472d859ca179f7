//! A stage of one core's chain: the shard, and everything of its own that goes with it.

use super::Direction;
use super::cx::{Cx, Env};
use super::stage::Stage;
use super::trace::TraceEvent;
use crate::clock::Wheel;
use crate::packet::{Batch, Packet};
use crate::publish::{Hub, Watch};
use crate::sched::stats::Tally;
use crate::telemetry::{Block, StageCounters, Writer};

/// Resolution of the stages' timers, nanoseconds.
const TIMER_TICK_NS: u64 = 1024;

/// A stage of a core's chain: its shard with its timers and counters. It can be handed to another core as
/// one value.
pub struct ChainStage {
    /// Its name in the config.
    pub name: String,
    /// The core's shard.
    pub shard: Box<dyn Stage>,
    /// The shard's counters.
    pub counters: Writer<StageCounters>,
    pub(super) timers: Wheel<u64>,
    /// Expendable packets of it that did not leave for want of room, since it was last told.
    pub(super) undelivered: u64,
    pub(super) home: Home,
    /// Cycles that bursts took, while it runs inline under a scheduler.
    pub(super) tally: Tally,
    /// Says when something was published, while it may run on any core.
    watch: Option<Watch>,
}

/// Where a shard belongs, wherever it runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home {
    /// Number of the packet core.
    pub core: usize,
    /// Its place in that core's chain.
    pub position: u8,
}

impl std::fmt::Debug for ChainStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainStage")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl ChainStage {
    /// The shard of packet core `core`, from 0, with up to `timers` timers at a time.
    pub fn new(
        name: impl Into<String>,
        core: usize,
        shard: Box<dyn Stage>,
        counters: Writer<StageCounters>,
        timers: usize,
    ) -> ChainStage {
        ChainStage {
            name: name.into(),
            shard,
            counters,
            timers: Wheel::new(timers, TIMER_TICK_NS),
            undelivered: 0,
            home: Home { core, position: 0 },
            tally: Tally::default(),
            watch: None,
        }
    }

    /// The same, at its place in the chain, and ready to run on any core.
    pub fn as_actor(mut self, position: u8, hub: &Hub) -> ChainStage {
        self.home.position = position;
        self.watch = Some(hub.watch());
        self
    }

    /// Takes over what was published.
    pub(super) fn refresh(&mut self) {
        self.shard.refresh();
    }

    /// The same, if something was since it last looked.
    pub(super) fn refresh_if_changed(&mut self) {
        if self.watch.as_mut().is_some_and(Watch::changed) {
            self.shard.refresh();
        }
    }

    /// When its next timer expires, nanoseconds; `u64::MAX` without one.
    pub(super) fn wakes_ns(&self) -> u64 {
        self.timers.next_expiry().unwrap_or(u64::MAX)
    }

    /// Runs a batch through the shard. What stays in it goes on. Returns the cycles that it took.
    #[inline(always)]
    pub(super) fn process(
        &mut self,
        env: &mut Env,
        direction: Direction,
        batch: &mut Batch,
    ) -> u64 {
        let counters = &*self.counters;
        counters.input.add(direction as usize, batch.len() as u64);
        counters.batch_size.record(batch.len());
        let mut cx = Cx {
            env,
            counters,
            timers: &mut self.timers,
            undelivered: &mut self.undelivered,
            home: self.home,
            direction,
        };
        self.shard.process(&mut cx, batch);
        let cycles = env.lap();
        counters.cycles.add(cycles);
        counters.forward.add(direction as usize, batch.len() as u64);
        cycles
    }

    /// The same, telling what became of each traced packet.
    #[cold]
    pub(super) fn process_traced(
        &mut self,
        env: &mut Env,
        direction: Direction,
        batch: &mut Batch,
    ) -> u64 {
        let mut before = [0u32; Batch::CAPACITY];
        for (slot, packet) in before.iter_mut().zip(batch.iter()) {
            *slot = packet.meta().trace;
        }
        env.forget_ended();
        let cycles = self.process(env, direction, batch);
        let Some(traced) = &env.traced else {
            return cycles;
        };
        let (now, stage) = (env.stamp_ns(), Some(self.home.position));
        for packet in batch.iter() {
            traced.packet(packet, now, stage, direction, TraceEvent::Forward);
        }
        // What is neither in the batch nor emitted nor dropped was kept.
        for id in before.into_iter().filter(|&id| id != 0) {
            let has = |packet: &Packet| packet.meta().trace == id;
            let went_on = batch.iter().chain(&env.pending).any(has);
            if !went_on && !env.has_ended(id) {
                traced.tell(id, now, stage, direction, TraceEvent::Held);
            }
        }
        cycles
    }

    /// Calls the shard with no packet before it, and accounts its time.
    pub(super) fn call(&mut self, env: &mut Env, call: impl FnOnce(&mut dyn Stage, &mut Cx<'_>)) {
        env.lap();
        let counters = &*self.counters;
        let mut cx = Cx {
            env,
            counters,
            timers: &mut self.timers,
            undelivered: &mut self.undelivered,
            home: self.home,
            direction: Direction::ToServer,
        };
        call(&mut *self.shard, &mut cx);
        counters.cycles.add(env.lap());
    }

    /// The token of a timer that has expired by `now`, if any has.
    pub(super) fn take_expired(&mut self, now: u64) -> Option<u64> {
        self.timers.pop(now).map(|timer| timer.payload)
    }

    /// Counts what the shard has not let go of as dropped: it will not any more.
    pub(super) fn close_books(&mut self) {
        let held = self.counters.snapshot().held();
        self.counters.dropped(usize::MAX, held);
    }
}
