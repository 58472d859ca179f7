//! The loop of a packet core: receive, run to completion, send.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;

use super::Direction;
use super::actors::{ChainWork, Mail, Sends, account_for_lost, execute};
use super::chain::Chain;
use super::cx::Env;
use super::egress::{EgressTable, Output};
use super::ring_wait::RingWait;
use super::trace::TraceSession;
use crate::dpdk::{MbufRing, RxQueue, TxQueue};
use crate::packet::{Batch, Packet};
use crate::publish::{Hub, Watch};
use crate::sched::runtime::{Manager, PacketCore};
use crate::telemetry::{PortCounters, Writer};

/// Commands that fit into a core's inbox.
const INBOX: usize = 1024;

/// Every so many busy turns the core's time is accounted.
const ACCOUNT_EVERY: u32 = 16;

/// Every so many turns a core looks for what the scheduler has for it, while all its stages are its own.
const LOOK_EVERY: u32 = 4;

/// Jobs of the scheduler's that are run in a turn, at most.
const JOBS_PER_TURN: usize = 8;

/// No other job is begun in a turn in which they have taken so long, nanoseconds.
const JOBS_NS: u64 = 20_000;

/// Empty turns before an adaptive core sleeps.
const SPIN_TURNS: u32 = 2_000;

/// What an idle core does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdlePolicy {
    /// Polls on: lowest latency, a whole CPU.
    #[default]
    Poll,
    /// Sleeps for tens of microseconds at a time after a while without packets.
    Adaptive,
}

/// Which way packets go that a port receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorePortSide {
    /// All in one direction.
    One(Direction),
    /// The chain's stages say for each.
    Classified,
}

/// A core's queue pair of a port, or its way to a core that has one.
///
/// A port with more queues than there are cores stands several times in a core's list; a core that
/// has none of its queues hands packets over to one that has.
#[derive(Debug)]
pub struct CorePort {
    /// Index of the port.
    pub index: u16,
    /// Which way its packets go.
    pub side: CorePortSide,
    /// Its queues; `None` while the port is detached, or when this core has none.
    pub queues: Option<(RxQueue, TxQueue)>,
    /// Between cores, for a port with fewer queues than there are cores.
    pub handover: Option<Handover>,
    /// Counters of the queue pair.
    pub counters: Writer<PortCounters>,
}

/// How packets reach a port of which only some cores have a queue.
#[derive(Debug)]
pub enum Handover {
    /// This core has no queue: packets for the port go into the ring.
    Into(MbufRing),
    /// This core has one, and sends what it finds in the ring.
    From(MbufRing),
}

/// What the control side may ask of a core.
#[derive(Debug)]
pub enum Command {
    /// Give the queues of a port back, each as [`Retired::Queues`], and then [`Retired::Detached`].
    Detach {
        /// Port index.
        port: u16,
    },
    /// Use these queues for a port.
    Attach {
        /// Port index.
        port: u16,
        /// The queues.
        queues: (RxQueue, TxQueue),
    },
    /// Use another table of default egress ports; the old one comes back as [`Retired::Egress`].
    Egress(EgressTable),
    /// Start a trace, or end it.
    Trace(Option<Arc<TraceSession>>),
    /// Hand a packet to a stage.
    Inject {
        /// Position of the stage.
        position: u8,
        /// Which way the packet goes.
        direction: Direction,
        /// The packet.
        packet: Packet,
    },
}

/// What a core gives back, so that nothing is closed or freed on it.
#[derive(Debug)]
pub enum Retired {
    /// Queues of a detached port.
    Queues {
        /// Port index.
        port: u16,
        /// The queues.
        queues: (RxQueue, TxQueue),
    },
    /// The core has no queue of that port any more.
    Detached {
        /// Port index.
        port: u16,
    },
    /// A table that is no longer used.
    Egress(EgressTable),
}

/// Shared between a core's loop and the control side.
#[derive(Debug)]
struct Shared {
    inbox: ArrayQueue<Command>,
    retired: ArrayQueue<Retired>,
    stop: AtomicBool,
}

/// The control side's handle on a core's loop.
#[derive(Debug, Clone)]
pub struct CoreHandle {
    shared: Arc<Shared>,
    hub: Hub,
}

/// The loop's end of the same.
#[derive(Debug)]
pub struct CoreControl {
    shared: Arc<Shared>,
    hub: Watch,
}

impl CoreHandle {
    /// A handle and the loop's end of it. `hub` is what publishers announce their versions on.
    pub fn new(hub: &Hub) -> (CoreHandle, CoreControl) {
        let shared = Arc::new(Shared {
            inbox: ArrayQueue::new(INBOX),
            retired: ArrayQueue::new(INBOX),
            stop: AtomicBool::new(false),
        });
        (
            CoreHandle {
                shared: shared.clone(),
                hub: hub.clone(),
            },
            CoreControl {
                shared,
                hub: hub.watch(),
            },
        )
    }

    /// Puts a command into the core's inbox; gives it back when the inbox is full.
    pub fn send(&self, command: Command) -> Result<(), Command> {
        self.shared.inbox.push(command)?;
        self.hub.announce();
        Ok(())
    }

    /// Takes back what the core has given up.
    pub fn retired(&self) -> Option<Retired> {
        self.shared.retired.pop()
    }

    /// Asks the loop to end.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.hub.announce();
    }
}

impl CoreControl {
    /// Whether anything was published or commanded since the last call.
    #[inline(always)]
    pub(super) fn changed(&mut self) -> bool {
        self.hub.changed()
    }

    /// The next command.
    pub(super) fn command(&self) -> Option<Command> {
        self.shared.inbox.pop()
    }

    /// Whether the loop shall end.
    pub(super) fn is_stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire)
    }

    /// Gives something back to the control side.
    fn retire(&self, retired: Retired) {
        // As large as the inbox and emptied by the thread that fills that one; if it is full all the
        // same, the thing is closed here, which is slow but right.
        drop(self.shared.retired.push(retired));
    }
}

/// The ports of a core as the chain's way out.
#[derive(Debug)]
struct Ports {
    ports: Vec<CorePort>,
    /// Index into `ports` by port index; the first entry where there are several.
    by_index: Vec<Option<usize>>,
    /// For each entry of `ports`, the entry that its packets leave by when there are no stages.
    direct: Vec<Option<usize>>,
    /// Entries that send what other cores hand over.
    handed_over: Vec<usize>,
}

impl Output for Ports {
    #[inline]
    fn send(&mut self, env: &mut Env, port: u16, batch: &mut Batch) {
        match self.by_index.get(usize::from(port)).copied().flatten() {
            Some(slot) => self.send_by(slot, env, batch),
            None => env.drop_without_port(batch),
        }
    }
}

impl Ports {
    /// Sends out of an entry of `ports`.
    #[inline(always)]
    fn send_by(&mut self, slot: usize, env: &mut Env, batch: &mut Batch) {
        let Some(port) = self.ports.get_mut(slot) else {
            return env.drop_without_port(batch);
        };
        let counters = &*port.counters;
        let Some((_, tx)) = &mut port.queues else {
            if let Some(Handover::Into(ring)) = &port.handover {
                ring.enqueue(batch);
                counters.tx_full.add(batch.len() as u64);
                env.not_delivered(batch);
            } else {
                counters.port_down.add(batch.len() as u64);
            }
            return batch.clear();
        };
        let sent = tx.burst(batch);
        if !batch.is_empty() {
            counters.tx_full.add(batch.len() as u64);
            env.not_delivered(batch);
            batch.clear();
        }
        counters.tx_bursts.add(1);
        counters.tx_packets.add(sent as u64);
    }
}

/// One packet core: its ports, its chain, and the loop over them.
pub struct CoreLoop {
    control: CoreControl,
    ports: Ports,
    chain: Chain,
    env: Env,
    burst: usize,
    idle: IdlePolicy,
    /// On the core that decides where stages run.
    manager: Option<Box<Manager<ChainWork>>>,
    sends: Sends,
    /// What jobs of this turn let go on.
    outs: Vec<Packet>,
    /// The scheduler had something to do at the last look.
    looks_again: bool,
    /// Cycles of turns that had something to do.
    busy_cycles: u64,
    /// How long packets wait in the receive ring of each entry of the ports.
    waits: Vec<RingWait>,
    /// The last turn had nothing to do: every ring was seen empty a moment ago.
    was_empty: bool,
}

impl std::fmt::Debug for CoreLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CoreLoop")
            .field("env", &self.env)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

impl CoreLoop {
    /// A loop over `ports` with `burst` (at most 64) packets a receive.
    pub fn new(
        control: CoreControl,
        ports: Vec<CorePort>,
        chain: Chain,
        env: Env,
        burst: usize,
        idle: IdlePolicy,
    ) -> CoreLoop {
        let count = ports
            .iter()
            .map(|port| usize::from(port.index) + 1)
            .max()
            .unwrap_or(0);
        let mut by_index = vec![None; count];
        for (slot, port) in ports.iter().enumerate() {
            by_index[usize::from(port.index)].get_or_insert(slot);
        }
        let is_source = |port: &CorePort| matches!(port.handover, Some(Handover::From(_)));
        let handed_over = (0..ports.len())
            .filter(|&slot| is_source(&ports[slot]))
            .collect();
        let burst = burst.clamp(1, Batch::CAPACITY);
        let mut core = CoreLoop {
            control,
            ports: Ports {
                ports,
                direct: Vec::new(),
                by_index,
                handed_over,
            },
            chain,
            env,
            burst,
            idle,
            manager: None,
            sends: Sends::new(),
            outs: Vec::new(),
            looks_again: false,
            busy_cycles: 0,
            waits: Vec::new(),
            was_empty: false,
        };
        core.waits
            .resize(core.ports.ports.len(), RingWait::default());
        core.find_direct();
        core
    }

    /// With its end of a scheduler, whose actors are the stages of the chain; and with what decides, on the
    /// one core that does.
    pub fn with_scheduler(
        mut self,
        core: PacketCore<ChainWork>,
        manager: Option<Manager<ChainWork>>,
    ) -> CoreLoop {
        let mut core = core;
        core.refresh();
        self.env.sched = Some(Box::new(core));
        self.manager = manager.map(Box::new);
        self
    }

    /// Looks up once where packets go that no stage sees.
    fn find_direct(&mut self) {
        let direct = self.ports.ports.iter().map(|port| {
            let direction = match port.side {
                CorePortSide::One(direction) => direction,
                // As the chain decides where no stage does.
                CorePortSide::Classified => Direction::ToServer,
            };
            let egress = self.chain.default_egress(port.index, direction);
            self.ports
                .by_index
                .get(usize::from(egress))
                .copied()
                .flatten()
        });
        self.ports.direct = direct.collect();
    }

    /// Runs until [`CoreHandle::stop`]. Returns the chain, whose stages may hold packets.
    pub fn run(mut self) -> Chain {
        let mut turns_empty = 0u32;
        let mut turns_since_account = 0u32;
        let mut was_busy = false;
        let mut accounted = self.env.clock.cycles();
        let mut batch = Box::<Batch>::default();
        self.chain.start(&mut self.env, &mut self.ports);
        loop {
            if self.control.changed() && self.turn_of_control() {
                break;
            }
            let mut received = 0;
            for slot in 0..self.ports.ports.len() {
                received += self.poll(slot, &mut batch);
            }
            for entry in 0..self.ports.handed_over.len() {
                received += self.send_handed_over(entry, &mut batch);
            }
            if self.chain.has_timers() {
                self.env.tick();
                let expired = self.chain.expire(&mut self.env, &mut self.ports);
                self.env.counters.timers.add(expired);
                received += expired as usize;
            }
            if self.env.sched.is_some() {
                received += self.turn_of_scheduler(turns_since_account);
            }
            self.env.counters.loops.add(1);
            // Time is read when the core turns busy or idle, and every few turns in between: a
            // reading every turn would cost a tenth of what an empty chain does.
            let busy = received > 0;
            turns_since_account += 1;
            if busy != was_busy || turns_since_account >= ACCOUNT_EVERY {
                let now = self.env.clock.cycles();
                let counters = &self.env.counters;
                let spent = if was_busy {
                    &counters.busy_cycles
                } else {
                    &counters.idle_cycles
                };
                let cycles = now.wrapping_sub(accounted);
                spent.add(cycles);
                if was_busy {
                    self.busy_cycles = self.busy_cycles.wrapping_add(cycles);
                }
                accounted = now;
                if self.env.sched.is_some() {
                    self.manage();
                }
                was_busy = busy;
                turns_since_account = 0;
            }
            self.was_empty = !busy;
            if busy {
                turns_empty = 0;
            } else {
                turns_empty = turns_empty.saturating_add(1);
                if self.idle == IdlePolicy::Adaptive && turns_empty > SPIN_TURNS {
                    self.sleep(turns_empty - SPIN_TURNS);
                } else {
                    std::hint::spin_loop();
                }
            }
        }
        batch.clear();
        self.chain.let_go(&mut self.env);
        self.chain
    }

    /// What the scheduler has for this core: stages that come or go, packets that come back from elsewhere,
    /// and somebody's stage to run. Returns how much there was.
    #[inline]
    fn turn_of_scheduler(&mut self, turn: u32) -> usize {
        // While all stages are here, there is seldom anything: a look every few turns is enough.
        if !turn.is_multiple_of(LOOK_EVERY) && !self.chain.has_stages_away() && !self.looks_again {
            return 0;
        }
        let done = self.schedule();
        self.looks_again = done > 0;
        done
    }

    fn schedule(&mut self) -> usize {
        let mut done = 0;
        if self.chain.has_stages_away() {
            self.env.tick();
            done += self.chain.take_returned(&mut self.env, &mut self.ports);
            self.chain.look_after(&mut self.env, &mut self.ports);
        }
        done += self.attend();
        let has_work = self.env.sched.as_ref().is_some_and(|core| core.has_work());
        if has_work && let Some(mut core) = self.env.sched.take() {
            done += self.work(&mut core);
            let pending = &mut self.env.pending;
            done += core.take_returned(&mut |mail| pending.extend(mail.into_packet()));
            self.env.sched = Some(core);
            self.chain.run_emitted(&mut self.env, &mut self.ports);
        }
        if self
            .manager
            .as_ref()
            .is_some_and(|manager| manager.is_migrating())
        {
            self.manage();
        }
        done
    }

    /// Calls actors that want to be called by now, wherever they are.
    #[inline]
    fn attend(&mut self) -> usize {
        if !self.env.sched.as_ref().is_some_and(|core| core.attends()) {
            return 0;
        }
        let now = self.env.tick();
        let core = self.env.sched.as_mut();
        core.map_or(0, |core| core.attend(now, || Mail::Tick))
    }

    /// Runs what the scheduler gives it, an actor's messages at a time; what leaves by this core is pending
    /// afterwards.
    fn work(&mut self, core: &mut PacketCore<ChainWork>) -> usize {
        let mut done = 0;
        // Bounded: what comes in has its turn before long.
        let began = self.env.tick();
        while done < JOBS_PER_TURN {
            let now = self.env.tick();
            if now.saturating_sub(began) > JOBS_NS {
                break;
            }
            let Some(mut job) = core.begin(now) else {
                break;
            };
            done += 1;
            execute(&mut self.env, &mut job, &mut self.sends);
            self.env.lap();
            let end = self.env.stamp_ns();
            // Not pending before all jobs are done: what is pending during one is what it emits.
            let outs = &mut self.outs;
            core.finish(job, end, self.sends.drain(..), &mut |mail| {
                outs.extend(mail.into_packet());
            });
        }
        self.env.pending.append(&mut self.outs);
        account_for_lost(&mut self.env, core);
        done
    }

    /// Tells the scheduler how busy this core is, and on the one that decides, lets it.
    fn manage(&mut self) {
        self.chain.report(&mut self.env);
        let Some(mut core) = self.env.sched.take() else {
            return;
        };
        core.worked(self.env.clock.duration(self.busy_cycles));
        if let Some(manager) = &mut self.manager {
            manager.step(&mut core, &[], self.env.clock.now());
        }
        self.env.sched = Some(core);
    }

    /// One receive burst of one port, run to completion. Returns how many packets came.
    #[inline(always)]
    fn poll(&mut self, slot: usize, batch: &mut Batch) -> usize {
        let Some(port) = self.ports.ports.get_mut(slot) else {
            return 0;
        };
        let (index, side) = (port.index, port.side);
        let Some((rx, _)) = port.queues.as_mut() else {
            return 0;
        };
        let received = rx.burst(batch, self.burst);
        let core = &self.env.counters;
        core.polls.add(1);
        if self.env.sched.is_some()
            && let Some(wait) = self.waits.get_mut(slot)
        {
            let now = self.env.stamp_ns();
            if self.was_empty {
                wait.empty(now);
            }
            self.env.ring_wait = wait.polled(now, received, self.burst);
        }
        if received == 0 {
            core.polls_empty.add(1);
            return 0;
        }
        if received == self.burst {
            core.polls_full.add(1);
        }
        port.counters.rx_bursts.add(1);
        port.counters.rx_packets.add(received as u64);
        if self.chain.is_idle(&self.env)
            && let Some(&Some(out)) = self.ports.direct.get(slot)
        {
            self.ports.send_by(out, &mut self.env, batch);
            return received;
        }
        rx.prefetch(batch);
        match side {
            CorePortSide::One(direction) => {
                self.chain
                    .run(&mut self.env, index, direction, batch, &mut self.ports);
            }
            CorePortSide::Classified => {
                self.chain
                    .run_classified(&mut self.env, index, batch, &mut self.ports);
            }
        }
        self.env.ring_wait = 0;
        received
    }

    /// Sends packets of other cores out of a queue of ours.
    fn send_handed_over(&mut self, entry: usize, batch: &mut Batch) -> usize {
        let Some(&slot) = self.ports.handed_over.get(entry) else {
            return 0;
        };
        let Some(port) = self.ports.ports.get(slot) else {
            return 0;
        };
        let (index, Some(Handover::From(ring))) = (port.index, &port.handover) else {
            return 0;
        };
        let count = ring.dequeue(batch);
        if count > 0 {
            self.ports.send(&mut self.env, index, batch);
        }
        count
    }

    /// Takes over what was published and what is in the inbox. True when the loop shall end.
    #[cold]
    fn turn_of_control(&mut self) -> bool {
        self.env.counters.refreshes.add(1);
        if let Some(sched) = &mut self.env.sched {
            sched.refresh();
        }
        self.chain.yield_up(&mut self.env);
        self.chain.refresh(&mut self.env);
        while let Some(command) = self.control.command() {
            self.env.counters.inbox.add(1);
            self.obey(command);
        }
        self.control.is_stopped()
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Detach { port } => {
                for slot in self
                    .ports
                    .ports
                    .iter_mut()
                    .filter(|slot| slot.index == port)
                {
                    if let Some(queues) = slot.queues.take() {
                        self.control.retire(Retired::Queues { port, queues });
                    }
                }
                self.control.retire(Retired::Detached { port });
            }
            Command::Attach { port, queues } => {
                let mut slots = self.ports.ports.iter_mut();
                match slots.find(|slot| slot.index == port && slot.queues.is_none()) {
                    Some(slot) => slot.queues = Some(queues),
                    None => self.control.retire(Retired::Queues { port, queues }),
                }
            }
            Command::Egress(table) => {
                let old = self.chain.set_egress(table);
                self.find_direct();
                self.control.retire(Retired::Egress(old));
            }
            Command::Trace(session) => self.chain.trace(&mut self.env, session),
            Command::Inject {
                position,
                direction,
                packet,
            } => {
                self.env.tick();
                self.chain
                    .inject(&mut self.env, position, direction, packet, &mut self.ports);
            }
        }
    }

    /// Sleeps for 10 to 100 µs, the longer the longer nothing came, but not past the next timer.
    #[cold]
    fn sleep(&mut self, turns: u32) {
        let mut ns = 10_000 + u64::from(turns.min(90)) * 1_000;
        if let Some(next) = self.chain.next_expiry() {
            ns = ns.min(next.saturating_sub(self.env.clock.now()));
        }
        if ns > 0 {
            self.env.counters.sleeps.add(1);
            std::thread::sleep(Duration::from_nanos(ns));
        }
    }
}
