//! What all cores see.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::Thread;

use crossbeam_queue::ArrayQueue;
use serde::Serialize;

use super::super::actor::{ActorId, ActorSpec, Cell, Failure, Gate, Held, Status, Work};
use super::super::drr::QuantumTable;
use super::super::policy::{Helping, Pin, Place, Settings};
use super::super::shuffle::{Ready, Shuffle};
use super::super::stats::Estimate;
use super::job::Running;
use super::manage::{Event, FromCore, Order};
use super::packet::PacketCore;
use super::worker::{ToWorker, WorkerCore};
use crate::publish::{Hub, Publisher};

/// Orders that wait, at most.
const ORDERS: usize = 256;

/// Events that wait for whoever keeps the log, at most.
pub(super) const EVENTS: usize = 1024;

/// What a core does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// A packet core, first come, first served.
    Fcfs,
    /// A packet core, deficit round robin.
    Drr,
    /// A worker core.
    Worker,
}

/// The size of a scheduler.
#[derive(Debug, Clone)]
pub struct Config {
    /// Packet cores.
    pub packet_cores: usize,
    /// Worker cores.
    pub workers: usize,
    /// Actors at a time, at most.
    pub actors: usize,
    /// All packet cores share one queue of what comes in, behind one that dispatches.
    pub central: bool,
    /// Stripes that what comes in is sorted into, for each packet core; one, if `central`.
    pub stripes: usize,
    /// Messages that a stripe takes.
    pub stripe_depth: usize,
    /// Messages on their way to one worker, or back to one packet core, at most.
    pub channel: usize,
    /// What is decided how.
    pub settings: Settings,
    /// What a turn of the round robin is worth.
    pub quanta: QuantumTable,
    /// Messages of an actor's mailbox that one core handles together under first come, first served.
    pub drain_burst: usize,
    /// For how long an actor that is being moved works on what had arrived before; the rest goes with it.
    pub drain_limit_ns: u64,
    /// After what time a migration is given up that the other side does not answer.
    pub commit_limit_ns: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            packet_cores: 1,
            workers: 0,
            actors: 256,
            central: true,
            stripes: 256,
            stripe_depth: 256,
            channel: 4096,
            settings: Settings::default(),
            quanta: QuantumTable::default(),
            drain_burst: 16,
            drain_limit_ns: 2_000_000,
            commit_limit_ns: 100_000_000,
        }
    }
}

/// Parameters that cores read while they run.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub helping: Helping,
    pub drr_burst: u16,
    pub quanta: QuantumTable,
    pub drain_burst: usize,
}

/// The actors, by their place in the table.
pub(super) struct Table<W: Work> {
    pub cells: Vec<Option<Arc<Cell<W>>>>,
    /// How often each place has been given away.
    pub generations: Vec<u16>,
}

impl<W: Work> Table<W> {
    /// The actor of that id, not of another generation.
    pub fn get(&self, id: ActorId) -> Option<&Arc<Cell<W>>> {
        self.at(id.index).filter(|cell| cell.id == id)
    }

    pub fn at(&self, index: u16) -> Option<&Arc<Cell<W>>> {
        self.cells.get(usize::from(index))?.as_ref()
    }
}

impl<W: Work> Clone for Table<W> {
    fn clone(&self) -> Self {
        Table {
            cells: self.cells.clone(),
            generations: self.generations.clone(),
        }
    }
}

/// What a packet core says of itself; written by it alone.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct CoreBlock {
    pub busy_ns: AtomicU64,
    /// The last question of the managing core that it has answered, between two turns: of where actors
    /// were before it was asked, it remembers nothing.
    pub answered: AtomicU64,
    /// Latency of its operations: mean and deviation as bits, samples, and of which period.
    pub latency: [AtomicU64; 4],
}

/// What a worker core says of itself; written by it alone.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct WorkerBlock {
    pub busy_ns: AtomicU64,
    /// As of a packet core.
    pub answered: AtomicU64,
    /// It sends messages: it has actors, and is awake. Changed and asked by read-modify-write only, so that
    /// a worker that turns active after it was asked sees all that was done before.
    pub active: AtomicU32,
    /// When it was last at the top of a turn, nanoseconds.
    pub seen_ns: AtomicU64,
    pub asleep: AtomicBool,
    pub thread: OnceLock<Thread>,
}

pub(super) const ROLE_FCFS: u8 = 0;
pub(super) const ROLE_DRR: u8 = 1;

/// Shared by all cores.
pub(super) struct Shared<W: Work> {
    pub shuffle: Shuffle<W::Message>,
    pub runnable: ArrayQueue<u16>,
    pub roles: Box<[AtomicU8]>,
    pub blocks: Box<[CoreBlock]>,
    pub workers: Box<[WorkerBlock]>,
    /// What goes to each worker. One queue for all senders: messages of one key may come by way of
    /// several cores, one after the other, and stay in order only in one queue.
    pub to_workers: Box<[ArrayQueue<ToWorker<W>>]>,
    /// What leaves by each packet core and was executed elsewhere.
    pub homes: Box<[ArrayQueue<W::Message>]>,
    /// Cores that execute work of the round-robin group now.
    pub in_drr: AtomicU32,
    /// How often the managing core has asked whether all has been sent.
    pub asked: AtomicU64,
    /// Latencies of earlier periods are forgotten.
    pub period: AtomicU64,
    pub to_manager: Mutex<Vec<FromCore<W>>>,
    pub has_news: AtomicU32,
    /// Says to cores that sleep, or that have actors in their own hands, that something has changed.
    pub hub: Hub,
    /// What is left of actors that were taken out of service: it is dropped by whoever has time, not here.
    pub graveyard: Mutex<Vec<(ActorId, Running<W>)>>,
    /// What the managing core has been asked to do.
    pub orders: ArrayQueue<Order>,
    /// What has happened, for whoever keeps the log; the oldest give way.
    pub events: ArrayQueue<Event>,
    pub live: Publisher<Live>,
    pub table: Publisher<Table<W>>,
    /// Held while the table is changed.
    pub inserting: Mutex<()>,
    pub config: Config,
}

impl<W: Work> Shared<W> {
    pub fn role(&self, core: usize) -> Group {
        match self
            .roles
            .get(core)
            .map(|role| role.load(Ordering::Acquire))
        {
            Some(ROLE_DRR) => Group::Drr,
            _ => Group::Fcfs,
        }
    }

    /// Cores of a group.
    pub fn cores_of(&self, role: u8) -> u32 {
        let of_group = |cell: &&AtomicU8| cell.load(Ordering::Acquire) == role;
        self.roles.iter().filter(of_group).count() as u32
    }

    /// Puts the token of an actor where those look for it that run it.
    pub fn make_runnable(&self, core: usize, index: u16, place: Place) {
        match place {
            Place::Drr => {
                let _has_room = self.runnable.push(index);
                debug_assert!(_has_room.is_ok(), "one token for each actor");
            }
            Place::Fcfs | Place::Worker(_) => self.shuffle.make_ready(core, Ready::Actor(index)),
        }
    }

    /// Whether something waits that packet core `core` may take up.
    #[inline]
    pub fn has_ready(&self, core: usize) -> bool {
        !self.runnable.is_empty() || self.shuffle.has_ready(core)
    }

    /// Asks all packet cores; returns the number of the question.
    pub fn ask(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Whether all who send, but packet core `me`, have answered.
    pub fn all_answered(&self, question: u64, me: usize) -> bool {
        let answered = |(core, block): (usize, &CoreBlock)| {
            core == me || block.answered.load(Ordering::Acquire) >= question
        };
        let silent = |block: &WorkerBlock| {
            block.active.fetch_or(0, Ordering::AcqRel) == 0
                || block.answered.load(Ordering::Acquire) >= question
        };
        self.blocks.iter().enumerate().all(answered) && self.workers.iter().all(silent)
    }

    /// Sends something to a worker, and wakes it; gives it back if there is no room.
    pub fn send_to_worker(&self, worker: u16, what: ToWorker<W>) -> Result<(), ToWorker<W>> {
        let Some(way) = self.to_workers.get(usize::from(worker)) else {
            return Err(what);
        };
        way.push(what)?;
        fence(Ordering::SeqCst);
        if let Some(block) = self.workers.get(usize::from(worker))
            && block.asleep.load(Ordering::Relaxed)
            && block.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = block.thread.get()
        {
            thread.unpark();
        }
        Ok(())
    }

    /// Something has changed that cores look at only when they are told to.
    pub fn stir(&self) {
        self.hub.announce();
    }

    /// Takes an actor out of service: from now on messages for it end. Whoever has its turn brings what it was
    /// made of.
    pub fn bury(&self, cell: &Cell<W>, body: Running<W>, failure: Failure) {
        let is_news = cell.gate() != Gate::Closed;
        cell.set_gate(Gate::Closed);
        let mut graveyard = self.graveyard.lock().unwrap_or_else(|e| e.into_inner());
        graveyard.push((cell.id, body));
        drop(graveyard);
        if is_news {
            self.tell_manager(FromCore::Failed(cell.id, failure));
        }
        self.stir();
    }

    pub fn tell_manager(&self, news: FromCore<W>) {
        let mut list = self.to_manager.lock().unwrap_or_else(|e| e.into_inner());
        list.push(news);
        self.has_news.store(1, Ordering::Release);
    }

    /// The latency of the first come, first served operations of this period, of all cores.
    pub fn latency(&self) -> Estimate {
        let period = self.period.load(Ordering::Acquire);
        let parts = self.blocks.iter().map(move |block| {
            let [mean, deviation, samples, of] = &block.latency;
            match of.load(Ordering::Acquire) == period {
                true => Estimate {
                    mean: f64::from_bits(mean.load(Ordering::Relaxed)),
                    deviation: f64::from_bits(deviation.load(Ordering::Relaxed)),
                    samples: samples.load(Ordering::Relaxed),
                },
                false => Estimate::default(),
            }
        });
        Estimate::pooled(parts)
    }
}

/// A scheduler before its cores are handed to threads.
pub struct Scheduler<W: Work> {
    pub(super) shared: Arc<Shared<W>>,
}

impl<W: Work> Clone for Scheduler<W> {
    fn clone(&self) -> Self {
        Scheduler {
            shared: self.shared.clone(),
        }
    }
}

/// The table of actors is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no room for another actor: the table takes {capacity}")]
pub struct TableFull {
    /// Actors that it takes.
    pub capacity: usize,
}

impl<W: Work> Scheduler<W> {
    /// A scheduler of that size, and its cores.
    pub fn new(
        config: Config,
        hub: &Hub,
    ) -> (Scheduler<W>, Vec<PacketCore<W>>, Vec<WorkerCore<W>>) {
        let cores = config.packet_cores.max(1);
        let queues = if config.central { 1 } else { cores };
        let actors = config.actors.clamp(1, usize::from(u16::MAX));
        let live = Live {
            helping: config.settings.helping,
            drr_burst: config.settings.drr_burst,
            quanta: config.quanta,
            drain_burst: config.drain_burst,
        };
        let shared = Arc::new(Shared {
            shuffle: Shuffle::new(queues, config.stripes, config.stripe_depth, queues, actors),
            // One token for each actor, and void ones of actors that were taken out of the queue.
            runnable: ArrayQueue::new(4 * actors),
            roles: (0..cores).map(|_| AtomicU8::new(ROLE_FCFS)).collect(),
            blocks: (0..cores).map(|_| CoreBlock::default()).collect(),
            workers: (0..config.workers)
                .map(|_| WorkerBlock::default())
                .collect(),
            to_workers: (0..config.workers)
                .map(|_| ArrayQueue::new(config.channel.max(1)))
                .collect(),
            homes: (0..cores)
                .map(|_| ArrayQueue::new(config.channel.max(1)))
                .collect(),
            in_drr: AtomicU32::new(0),
            asked: AtomicU64::new(0),
            period: AtomicU64::new(0),
            to_manager: Mutex::default(),
            has_news: AtomicU32::new(0),
            hub: hub.clone(),
            graveyard: Mutex::default(),
            orders: ArrayQueue::new(ORDERS),
            events: ArrayQueue::new(EVENTS),
            live: Publisher::new(hub, live),
            table: Publisher::new(
                hub,
                Table {
                    cells: Vec::new(),
                    generations: vec![0; actors],
                },
            ),
            inserting: Mutex::default(),
            config,
        });
        let packet = (0..cores)
            .map(|core| PacketCore::new(core, shared.clone()))
            .collect();
        let workers = (0..shared.config.workers)
            .map(|worker| WorkerCore::new(worker, shared.clone()))
            .collect();
        (Scheduler { shared }, packet, workers)
    }

    /// Registers an actor that runs on one core at a time. From then on messages reach it.
    pub fn register(&self, spec: ActorSpec, body: W::Body) -> Result<ActorId, TableFull> {
        self.insert(spec, |_| Held::Exclusive(Some(Box::new(body))))
    }

    /// The same, of one that wants to know its own id.
    pub fn register_with(
        &self,
        spec: ActorSpec,
        body: impl FnOnce(ActorId) -> W::Body,
    ) -> Result<ActorId, TableFull> {
        self.insert(spec, |id| Held::Exclusive(Some(Box::new(body(id)))))
    }

    /// Registers an actor that may run on several cores at once.
    pub fn register_shared(&self, spec: ActorSpec, body: W::Shared) -> Result<ActorId, TableFull> {
        self.insert(spec, |_| Held::Shared(Arc::new(body)))
    }

    fn insert(
        &self,
        spec: ActorSpec,
        held: impl FnOnce(ActorId) -> Held<W>,
    ) -> Result<ActorId, TableFull> {
        let capacity = self.shared.config.actors.clamp(1, usize::from(u16::MAX));
        let _one_at_a_time = self.inserting();
        let mut table = self.shared.table.with_newest(Table::clone);
        // Places that nobody has had come first, so that people see for long what became of an actor.
        let is_free = |cell: &Option<Arc<Cell<W>>>| cell.as_ref().is_none_or(|it| it.is_buried());
        let free = (table.cells.len() >= capacity)
            .then(|| table.cells.iter().position(is_free))
            .flatten();
        let index = free.unwrap_or(table.cells.len());
        if index >= capacity {
            return Err(TableFull { capacity });
        }
        let given = table.generations.get_mut(index);
        let generation = given.map_or(0, |given| {
            *given = given.wrapping_add(1);
            *given
        });
        let id = ActorId {
            index: index as u16,
            generation,
        };
        let cell = Arc::new(Cell::new(id, spec, held(id), Place::Fcfs));
        debug_assert!(cell.spec.pin != Pin::Worker || self.shared.config.workers > 0);
        if index == table.cells.len() {
            table.cells.push(Some(cell));
        } else {
            table.cells[index] = Some(cell);
        }
        self.shared.table.publish(table);
        Ok(id)
    }

    /// Keeps others from changing the table.
    fn inserting(&self) -> MutexGuard<'_, ()> {
        let lock = &self.shared.inserting;
        lock.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Packet cores, and worker cores.
    pub fn cores(&self) -> (usize, usize) {
        (self.shared.blocks.len(), self.shared.workers.len())
    }

    /// The actors, in the order of the table.
    pub fn status(&self) -> Vec<Status> {
        let cells = self.shared.table.with_newest(|table| table.cells.clone());
        cells.iter().flatten().map(|cell| cell.status()).collect()
    }

    /// Asks the managing core to do something; false if too much waits already.
    pub fn order(&self, order: Order) -> bool {
        let taken = self.shared.orders.push(order).is_ok();
        self.shared.stir();
        taken
    }

    /// Drops what is left of actors that were taken out of service. A panic meanwhile is the actor's last.
    pub fn clear_graveyard(&self) {
        let bodies = {
            let mut graveyard = self
                .shared
                .graveyard
                .lock()
                .unwrap_or_else(|e| e.into_inner());
            std::mem::take(&mut *graveyard)
        };
        for (id, body) in bodies {
            let drop_it = AssertUnwindSafe(|| {
                let mut body = body;
                if let Running::Exclusive(body) = &mut body {
                    W::retire(body);
                }
            });
            if catch_unwind(drop_it).is_err() {
                tracing::warn!(
                    "an actor that was taken out of service panicked once more when it was dropped"
                );
            }
            self.shared.table.with_newest(|table| {
                if let Some(cell) = table.get(id) {
                    cell.set_buried();
                }
            });
        }
    }

    /// The oldest event that nobody has taken yet.
    pub fn take_event(&self) -> Option<Event> {
        self.shared.events.pop()
    }

    /// The group of a packet core.
    pub fn group(&self, core: usize) -> Group {
        self.shared.role(core)
    }

    /// Latency of the operations of the first come, first served group, nanoseconds, since the last change.
    pub fn latency(&self) -> Estimate {
        self.shared.latency()
    }

    /// How busy worker cores have been so far, nanoseconds each.
    pub fn workers_busy_ns(&self) -> Vec<u64> {
        let busy = |block: &WorkerBlock| block.busy_ns.load(Ordering::Relaxed);
        self.shared.workers.iter().map(busy).collect()
    }

    /// Messages that came in and wait.
    pub fn waiting(&self) -> usize {
        self.shared.shuffle.len()
    }

    /// How often a core took what had come in at another.
    pub fn steals(&self) -> u64 {
        self.shared.shuffle.steals()
    }
}
