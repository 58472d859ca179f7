//! Actors: what they are called, what they are like, where they are, and where messages for them wait.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_queue::ArrayQueue;
use serde::Serialize;

use super::drr::Account;
use super::lanes::Lanes;
use super::policy::{Pin, Place};
use super::runtime::Phase;
use super::stats::{Book, BookReader, Estimate};
use super::turn::Turn;

/// An actor's place in the table, and which of those that have had it.
///
/// The generation is what keeps a late message for one that was deleted from reaching its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct ActorId {
    /// Place in the table.
    pub index: u16,
    /// How often the place had been given away before.
    pub generation: u16,
}

impl ActorId {
    /// As one number: the generation above the place.
    pub const fn to_bits(self) -> u32 {
        self.index as u32 | (self.generation as u32) << 16
    }

    /// From what [`to_bits`](ActorId::to_bits) gave.
    pub const fn from_bits(bits: u32) -> ActorId {
        ActorId {
            index: bits as u16,
            generation: (bits >> 16) as u16,
        }
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// What the scheduler wants to know of a message.
pub trait Message: Send {
    /// Whom it is for; `None` for what is only forwarded.
    fn actor(&self) -> Option<ActorId>;
    /// Messages with the same key are handled in the order they arrived.
    fn key(&self) -> u64;
    /// When it arrived, nanoseconds, with all waiting; `u64::MAX` for one whose time nobody measures.
    fn arrived_ns(&self) -> u64;
    /// Its length, bytes.
    fn bytes(&self) -> u32;
    /// The packet core by which it leaves the box, in the order in which it was handled; `None` if it may
    /// leave by whichever core handled it last.
    fn home(&self) -> Option<usize> {
        None
    }
}

/// What kind of messages and actors a scheduler has.
pub trait Work: 'static {
    /// What is sent.
    type Message: Message;
    /// What an actor that runs on one core at a time consists of; it moves with it.
    type Body: Send;
    /// What an actor consists of that runs on several cores at once.
    type Shared: Send + Sync;

    /// An actor was taken out of service, and is dropped next: closes its books. Not called on a core.
    fn retire(body: &mut Self::Body) {
        let _ = body;
    }

    /// An actor changes sides: called with nothing else running it, after its last message there and before its
    /// first one here, by the worker that it goes to or comes from.
    ///
    /// # Errors
    ///
    /// It stays where it was, or cannot go on at all.
    fn changes_sides(body: &mut Self::Body) -> Result<(), Hitch> {
        let _ = body;
        Ok(())
    }
}

/// Why an actor has not changed sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hitch {
    /// It is as it was before, and stays where it was.
    Stays,
    /// It cannot go on.
    Fails(Failure),
}

/// What an actor is like, said when it is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorSpec {
    /// For people: in the event log, in metrics and in `sluice top`.
    pub name: Arc<str>,
    /// Where it has to stay.
    pub pin: Pin,
    /// Messages that wait for it at most, on either side.
    pub mailbox: usize,
    /// Messages that wait at most while it is moved.
    pub hold_back: usize,
    /// Where it stands among others whose messages go from one to the next: neighbours that have to leave the
    /// packet cores go to the same worker, if it can carry them.
    pub neighbours: Option<Neighbours>,
    /// The packet core that calls it, wherever it is, when it wants to be called without a message; `None` if
    /// somebody else sees to that.
    pub attended_by: Option<u16>,
}

/// A place in a line of actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbours {
    /// Which line.
    pub line: u16,
    /// The place in it; neighbours are one apart.
    pub position: u16,
}

impl Neighbours {
    /// Whether messages go straight from the one to the other.
    pub fn is_beside(self, other: Neighbours) -> bool {
        self.line == other.line && self.position.abs_diff(other.position) == 1
    }
}

impl ActorSpec {
    /// With the usual limits.
    pub fn new(name: impl Into<Arc<str>>) -> ActorSpec {
        ActorSpec {
            name: name.into(),
            pin: Pin::Free,
            mailbox: 1024,
            hold_back: 8192,
            neighbours: None,
            attended_by: None,
        }
    }
}

/// Where messages for an actor go. One word, so that it changes in one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It is there, or its mailbox is.
    Open(Place),
    /// It is being moved: they are held back.
    Hold,
    /// It is no more: they end.
    Closed,
}

const HOLD: u32 = 1 << 16;
const CLOSED: u32 = HOLD + 1;
const FCFS: u32 = HOLD + 2;
const DRR: u32 = HOLD + 3;

impl Gate {
    fn word(self) -> u32 {
        match self {
            Gate::Open(Place::Fcfs) => FCFS,
            Gate::Open(Place::Drr) => DRR,
            Gate::Open(Place::Worker(worker)) => u32::from(worker),
            Gate::Hold => HOLD,
            Gate::Closed => CLOSED,
        }
    }

    fn of(word: u32) -> Gate {
        match word {
            HOLD => Gate::Hold,
            FCFS => Gate::Open(Place::Fcfs),
            DRR => Gate::Open(Place::Drr),
            worker if worker < HOLD => Gate::Open(Place::Worker(worker as u16)),
            _ => Gate::Closed,
        }
    }
}

/// Why a message for an actor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Its mailbox was full.
    MailboxFull,
    /// It was being moved, and as many were held back as may be.
    HoldBackFull,
    /// The way to the worker was full.
    WorkerFull,
    /// It was deleted or killed.
    Gone,
    /// There was no such actor, or not any more.
    Unknown,
}

/// Why an actor was taken out of service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Its handler panicked, and said so.
    Panic(String),
    /// Its handler ran for longer than any may.
    Overrun,
    /// It said itself that it cannot go on, and why.
    GaveUp(String),
    /// Somebody wanted it.
    Deleted,
}

/// How many kinds of [`Loss`] are counted with an actor: all but the last.
const LOSSES: usize = 4;

/// What executes messages, and what goes with it.
pub(super) enum Held<W: Work> {
    /// On one core at a time; `None` while it runs or has been moved.
    Exclusive(Option<Box<W::Body>>),
    /// On several at once.
    Shared(Arc<W::Shared>),
}

/// What only the core that has the actor's turn touches.
pub(super) struct Own<W: Work> {
    pub held: Held<W>,
    pub account: Account,
    pub book: Book,
    /// Messages that it has handled in the turn of the round robin that is going on.
    pub served: u16,
    /// What is executed now, of an actor that runs on several cores.
    pub lanes: Lanes<W::Message>,
}

/// An actor on the packet cores' side, and the address of one that is elsewhere.
pub(super) struct Cell<W: Work> {
    pub id: ActorId,
    pub spec: ActorSpec,
    pub exclusive: bool,
    gate: AtomicU32,
    pub turn: Turn,
    pub mailbox: ArrayQueue<W::Message>,
    held_back: Mutex<VecDeque<W::Message>>,
    /// Messages that are executed now, or follow one of them as soon as it is done.
    pub in_flight: AtomicU32,
    own: Mutex<Own<W>>,
    pub books: BookReader,
    /// When it wants to be called without a message, nanoseconds; `u64::MAX` for never.
    pub wakes_ns: AtomicU64,
    losses: [AtomicU64; LOSSES],
    /// Messages a second, as bits; by the managing core.
    rate: AtomicU64,
    /// Share of a core that it uses, as bits; likewise.
    load: AtomicU64,
    /// It is no more, and nothing is left of it: its place may be given away.
    buried: AtomicBool,
    /// How far it is on its way, one more than the [`Phase`]'s number; 0 if it is not.
    phase: AtomicU8,
}

/// An actor, for people.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Its id.
    pub id: ActorId,
    /// Its name.
    pub name: Arc<str>,
    /// Where it is; `None` while it is moved, and when it is no more.
    pub place: Option<Place>,
    /// It was deleted, or failed.
    pub out_of_service: bool,
    /// Where it has to stay.
    pub pin: Pin,
    /// How far its migration is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Service time of a message, nanoseconds.
    pub service: Estimate,
    /// From a message's arrival to its end, nanoseconds.
    pub sojourn: Estimate,
    /// Mean length of a message, bytes.
    pub message_bytes: f64,
    /// Messages a second.
    pub rate: f64,
    /// Share of one core that it uses.
    pub load: f64,
    /// Messages that wait for it on the packet cores.
    pub waiting: usize,
    /// Messages that its mailbox takes.
    pub mailbox: usize,
    /// Messages that are held back, at most, while it is moved.
    pub hold_back: usize,
    /// Messages handled.
    pub messages: u64,
    /// Time spent on them, nanoseconds.
    pub busy_ns: u64,
    /// Messages that ended: mailbox full, held back too many, way to the worker full, gone.
    pub losses: [u64; LOSSES],
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<W: Work> Cell<W> {
    pub fn new(id: ActorId, spec: ActorSpec, held: Held<W>, place: Place) -> Cell<W> {
        let book = Book::new();
        Cell {
            id,
            exclusive: matches!(held, Held::Exclusive(_)),
            gate: AtomicU32::new(Gate::Open(place).word()),
            turn: Turn::new(),
            mailbox: ArrayQueue::new(spec.mailbox.max(1)),
            held_back: Mutex::default(),
            in_flight: AtomicU32::new(0),
            books: book.reader(),
            own: Mutex::new(Own {
                held,
                account: Account::default(),
                book,
                served: 0,
                lanes: Lanes::default(),
            }),
            // Somebody who is attended to is called once, to begin with.
            wakes_ns: AtomicU64::new(match spec.attended_by {
                Some(_) => 0,
                None => u64::MAX,
            }),
            buried: AtomicBool::new(false),
            losses: Default::default(),
            rate: AtomicU64::new(0),
            load: AtomicU64::new(0),
            phase: AtomicU8::new(0),
            spec,
        }
    }

    /// Where messages go now.
    #[inline]
    pub fn gate(&self) -> Gate {
        Gate::of(self.gate.load(Ordering::Acquire))
    }

    pub fn set_gate(&self, gate: Gate) {
        self.gate.store(gate.word(), Ordering::Release);
    }

    /// What belongs to whoever has the turn; contended only for a moment, by who reads figures.
    pub fn own(&self) -> MutexGuard<'_, Own<W>> {
        lock(&self.own)
    }

    /// Says when it wants to be called without a message.
    #[inline]
    pub fn wakes(&self, at: u64) {
        self.wakes_ns.store(at, Ordering::Release);
    }

    /// Whether it asked to be called by now without a message; it is asked once.
    pub fn take_wake(&self, now: u64) -> bool {
        let due = self.wakes_ns.load(Ordering::Acquire) <= now;
        if due {
            self.wakes(u64::MAX);
        }
        due
    }

    /// Whether its place may be given away.
    pub fn is_buried(&self) -> bool {
        self.buried.load(Ordering::Acquire)
    }

    /// What it was made of is gone.
    pub fn set_buried(&self) {
        self.buried.store(true, Ordering::Release);
    }

    /// Counts a message that ends here.
    pub fn lose(&self, loss: Loss, count: u64) {
        if let Some(counter) = self.losses.get(loss as usize) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Messages that ended, by [`Loss`] in order.
    pub fn losses(&self) -> [u64; LOSSES] {
        std::array::from_fn(|n| self.losses[n].load(Ordering::Relaxed))
    }

    /// Keeps a message until the actor has been moved. Gives it back with the reason if there is no room;
    /// without one if the gate has changed, and it is to be delivered anew.
    pub fn hold_back(&self, message: W::Message) -> Result<(), (Option<Loss>, W::Message)> {
        let mut held = lock(&self.held_back);
        if self.gate() != Gate::Hold {
            return Err((None, message));
        }
        if held.len() >= self.spec.hold_back {
            return Err((Some(Loss::HoldBackFull), message));
        }
        held.push_back(message);
        Ok(())
    }

    /// Hands the messages that were held back to `sink`, until it gives one back. When none is left, opens
    /// the gate in the same moment, and returns true: nothing can come in between.
    pub fn release(
        &self,
        to: Gate,
        mut sink: impl FnMut(W::Message) -> Result<(), W::Message>,
    ) -> bool {
        let mut held = lock(&self.held_back);
        while let Some(message) = held.pop_front() {
            if let Err(back) = sink(message) {
                held.push_front(back);
                return false;
            }
        }
        // Unless it was closed meanwhile: then nothing opens it again.
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        let _closed = self
            .gate
            .compare_exchange(HOLD, to.word(), success, failure);
        true
    }

    /// Takes what was held back, when nothing more can be.
    pub fn take_held_back(&self) -> VecDeque<W::Message> {
        std::mem::take(&mut *lock(&self.held_back))
    }

    /// Says how many messages it gets a second, and what share of a core it has used for them.
    pub fn set_rate(&self, rate: f64, load: f64) {
        self.rate.store(rate.to_bits(), Ordering::Relaxed);
        self.load.store(load.to_bits(), Ordering::Relaxed);
    }

    /// Says how far it is on its way.
    pub fn set_phase(&self, phase: Option<Phase>) {
        let number = phase.map_or(0, |phase| phase as u8 + 1);
        self.phase.store(number, Ordering::Relaxed);
    }

    /// What people want to know of it.
    pub fn status(&self) -> Status {
        let rate = f64::from_bits(self.rate.load(Ordering::Relaxed));
        let service = self.books.service();
        Status {
            id: self.id,
            name: self.spec.name.clone(),
            place: match self.gate() {
                Gate::Open(place) => Some(place),
                Gate::Hold | Gate::Closed => None,
            },
            out_of_service: self.gate() == Gate::Closed,
            pin: self.spec.pin,
            phase: match self.phase.load(Ordering::Relaxed) {
                1 => Some(Phase::Prepare),
                2 => Some(Phase::Ready),
                3 => Some(Phase::Gone),
                4 => Some(Phase::Clean),
                _ => None,
            },
            load: f64::from_bits(self.load.load(Ordering::Relaxed)),
            rate,
            service,
            sojourn: self.books.sojourn(),
            message_bytes: self.books.message_bytes(),
            waiting: self.waiting() + self.waiting_back(),
            mailbox: self.spec.mailbox,
            hold_back: self.spec.hold_back,
            messages: self.books.messages(),
            busy_ns: self.books.busy_ns(),
            losses: self.losses(),
        }
    }

    /// Messages that wait on the packet cores.
    pub fn waiting(&self) -> usize {
        let aside = match self.exclusive {
            true => 0,
            false => self.own().lanes.aside(),
        };
        self.mailbox.len() + aside
    }

    /// Messages that are held back.
    pub fn waiting_back(&self) -> usize {
        lock(&self.held_back).len()
    }
}

impl<W: Work> fmt::Debug for Cell<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell")
            .field("id", &self.id)
            .field("name", &self.spec.name)
            .field("gate", &self.gate())
            .finish_non_exhaustive()
    }
}
