//! A packet core of an appliance: its queues, its chain, and what it costs.
//!
//! A core that is free looks at its queues the moment something comes, takes up to a burst from each port,
//! runs it to completion, and sends what came out when the burst's time is over. What comes meanwhile waits
//! for its next look, as it would in a loop that polls.

use std::collections::VecDeque;

use nf_core::chain::{Chain, CorePortSide, Env, Output};
use nf_core::packet::{Batch, Packet};
use nf_core::publish::Watch;

use super::Identity;
use super::appliance::ApplianceCounters;
use crate::engine::{Fabric, FrameId, Frames, What};
use crate::scenario::ApplianceSpec;

/// A packet core that is up.
pub struct Core {
    /// Its chain.
    pub chain: Chain,
    env: Env,
    watch: Watch,
    index: u32,
    /// Frames that wait, by port.
    queues: Vec<VecDeque<FrameId>>,
    waiting: usize,
    /// An event to look at the queues is on its way.
    polls: bool,
    free_at: u64,
    stalled_until: u64,
    /// When the next timer event is; `u64::MAX` for none.
    timer_at: u64,
}

/// What all cores of an appliance have in common while one of them runs.
pub struct Around<'a> {
    /// Who the appliance is.
    pub identity: Identity,
    /// Its description.
    pub spec: &'a ApplianceSpec,
    /// Its ports' sides.
    pub sides: &'a [CorePortSide],
    /// What it has done.
    pub counters: &'a mut ApplianceCounters,
    /// Frames that leave, with the ports they leave by; empty between two runs.
    pub outbox: &'a mut Vec<(u16, FrameId)>,
    /// Links, frames and events.
    pub fabric: &'a mut Fabric,
}

/// Takes what leaves a chain out of its packets.
struct Outbox<'a> {
    ports: usize,
    frames: &'a mut Frames,
    sent: &'a mut Vec<(u16, FrameId)>,
}

impl Output for Outbox<'_> {
    fn send(&mut self, env: &mut Env, port: u16, batch: &mut Batch) {
        if usize::from(port) >= self.ports {
            return env.drop_without_port(batch);
        }
        for packet in &*batch {
            let frame = self.frames.alloc();
            let bytes = self.frames.buffer(frame);
            for segment in packet.segments() {
                bytes.extend_from_slice(segment);
            }
            self.sent.push((port, frame));
        }
        batch.clear();
    }
}

impl Core {
    /// A core with that chain.
    pub fn new(index: usize, chain: Chain, env: Env, watch: Watch, ports: usize) -> Core {
        Core {
            chain,
            env,
            watch,
            index: index as u32,
            queues: vec![VecDeque::new(); ports],
            waiting: 0,
            polls: false,
            free_at: 0,
            stalled_until: 0,
            timer_at: u64::MAX,
        }
    }

    /// It does nothing until then.
    pub fn stall(&mut self, until: u64) {
        self.stalled_until = self.stalled_until.max(until);
    }

    /// Starts its stages.
    pub fn start(&mut self, around: &mut Around<'_>) {
        self.run(around, |core, outbox| {
            core.chain.start(&mut core.env, outbox);
            0
        });
        self.arm(around);
    }

    /// A frame has arrived at a port.
    #[inline]
    pub fn arrive(&mut self, port: u16, frame: FrameId, around: &mut Around<'_>) {
        let room = around.spec.queue as usize;
        let queue = self.queues.get_mut(usize::from(port));
        let Some(queue) = queue.filter(|queue| queue.len() < room) else {
            around.counters.queue_full += 1;
            return around.fabric.frames.free(frame);
        };
        queue.push_back(frame);
        self.waiting += 1;
        around.counters.most_waiting = around.counters.most_waiting.max(self.waiting as u64);
        self.look(around);
    }

    /// When it can do something at the earliest.
    fn ready_at(&self, now: u64) -> u64 {
        now.max(self.free_at).max(self.stalled_until)
    }

    /// Sees to it that it looks at its queues.
    fn look(&mut self, around: &mut Around<'_>) {
        if !self.polls && self.waiting > 0 {
            self.polls = true;
            let at = self.ready_at(around.fabric.now);
            let Identity { node, life } = around.identity;
            around
                .fabric
                .events
                .push(at, What::Poll, node, life, 0, self.index);
        }
    }

    /// Looks at its queues: a burst of each port, run to completion.
    pub fn poll(&mut self, around: &mut Around<'_>) {
        self.polls = false;
        if self.ready_at(around.fabric.now) > around.fabric.now {
            return self.look(around);
        }
        self.refresh();
        for port in 0..self.queues.len() {
            self.poll_port(port, around);
        }
        self.arm(around);
        self.look(around);
    }

    /// Takes over what was published.
    fn refresh(&mut self) {
        if self.watch.changed() {
            self.chain.refresh(&mut self.env);
        }
    }

    fn poll_port(&mut self, port: usize, around: &mut Around<'_>) {
        let Some(queue) = self.queues.get_mut(port) else {
            return;
        };
        if queue.is_empty() {
            return;
        }
        let take = queue.len().min(usize::from(around.spec.burst));
        let mut batch = Batch::new();
        for frame in queue.drain(..take) {
            let bytes = around.fabric.frames.bytes(frame);
            let pushed =
                Packet::from_bytes(self.env.pool(), bytes).map(|packet| batch.push(packet));
            around.counters.no_buffer += u64::from(pushed.is_none());
            around.fabric.frames.free(frame);
        }
        self.waiting -= take;
        around.counters.bursts += 1;
        around.counters.received += batch.len() as u64;
        let side = around.sides.get(port).copied();
        let index = port as u16;
        self.run(around, |core, outbox| {
            let packets = batch.len() as u64;
            match side {
                Some(CorePortSide::One(direction)) => {
                    core.chain
                        .run(&mut core.env, index, direction, &mut batch, outbox);
                }
                _ => core
                    .chain
                    .run_classified(&mut core.env, index, &mut batch, outbox),
            }
            packets
        });
    }

    /// Timers of stages may be due.
    pub fn expire(&mut self, around: &mut Around<'_>) {
        if self.timer_at != around.fabric.now {
            return; // a sooner event has taken its place
        }
        self.timer_at = u64::MAX;
        if self.ready_at(around.fabric.now) <= around.fabric.now {
            self.refresh();
            self.run(around, |core, outbox| {
                core.env.tick();
                core.chain.expire(&mut core.env, outbox);
                0
            });
        }
        self.arm(around);
    }

    /// Lets `run` work, which says how many packets it handled, and sends what comes out of it when their
    /// time is over.
    #[inline]
    fn run(
        &mut self,
        around: &mut Around<'_>,
        run: impl FnOnce(&mut Core, &mut Outbox<'_>) -> u64,
    ) {
        let fabric = &mut *around.fabric;
        let mut outbox = Outbox {
            ports: around.sides.len(),
            frames: &mut fabric.frames,
            sent: around.outbox,
        };
        let packets = run(self, &mut outbox);
        let cost = match packets {
            0 => 0,
            _ => around.spec.burst_cost_ns + packets * around.spec.packet_cost_ns,
        };
        around.counters.busy_ns += cost;
        self.free_at = self.free_at.max(fabric.now) + cost;
        around.counters.sent += around.outbox.len() as u64;
        for (port, frame) in around.outbox.drain(..) {
            fabric.transmit(around.identity.node, port, self.free_at, frame);
        }
    }

    /// Sees to it that there is an event when a timer is due.
    #[inline]
    fn arm(&mut self, around: &mut Around<'_>) {
        let Some(next) = self.chain.next_expiry() else {
            return;
        };
        let now = around.fabric.now;
        // Never at once: what is due now has just been looked at.
        let due = next.saturating_sub(around.spec.clock_offset_ns);
        let due = self.ready_at(due).max(now + 1);
        if due < self.timer_at {
            self.timer_at = due;
            let Identity { node, life } = around.identity;
            around
                .fabric
                .events
                .push(due, What::Expire, node, life, 0, self.index);
        }
    }

    /// It dies: frames that wait go with it. Packets that its stages hold go when it is dropped.
    pub fn end(&mut self, fabric: &mut Fabric) {
        for frame in self.queues.iter_mut().flat_map(|queue| queue.drain(..)) {
            fabric.frames.free(frame);
        }
    }
}
