//! An actor on its way: the four phases of iPipe, with what is missing there.
//!
//! 1. *Prepare*: the gate closes, new messages are held back. When every packet core has answered, between two
//!    turns, none of them is still about to send by the old way.
//! 2. *Ready*: the actor works on what had arrived, for a limited time; what is left goes along.
//! 3. *Gone*: it is handed to the other side, which says that it has started: from then on there is no way
//!    back. If it does not say so in time, the actor is taken back, and all is as before.
//! 4. *Clean*: what is left, and then what was held back, is sent after it in order; when nothing is
//!    held back any more, the gate opens to the new place, in the same moment.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::super::actor::{ActorId, Cell, Gate, Loss, Work};
use super::super::drr::Account;
use super::super::policy::Place;
use super::super::stats::Book;
use super::job::Running;
use super::packet::PacketCore;
use super::shared::Shared;
use super::worker::ToWorker;

/// Where an actor goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// To that worker.
    Push(u16),
    /// From that worker to the packet cores.
    Pull(u16),
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// New messages are held back; those that are being sent arrive.
    Prepare,
    /// The actor works on what it has.
    Ready,
    /// It is handed over.
    Gone,
    /// What was held back follows.
    Clean,
}

type Contents<W> = (Arc<Cell<W>>, Running<W>, Book, Account);

/// An actor between two cores. Whoever takes it out has it.
pub(super) struct Parcel<W: Work>(Mutex<Inside<W>>);

struct Inside<W: Work> {
    contents: Option<Contents<W>>,
    rest: VecDeque<W::Message>,
}

impl<W: Work> Parcel<W> {
    pub fn empty() -> Arc<Parcel<W>> {
        Arc::new(Parcel(Mutex::new(Inside {
            contents: None,
            rest: VecDeque::new(),
        })))
    }

    pub fn of(contents: Contents<W>) -> Arc<Parcel<W>> {
        let parcel = Parcel::empty();
        parcel.inside().contents = Some(contents);
        parcel
    }

    fn inside(&self) -> std::sync::MutexGuard<'_, Inside<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn take(&self) -> Option<Contents<W>> {
        self.inside().contents.take()
    }

    pub fn put(
        &self,
        cell: Arc<Cell<W>>,
        running: Running<W>,
        book: Book,
        account: Account,
        rest: VecDeque<W::Message>,
    ) {
        let mut inside = self.inside();
        inside.contents = Some((cell, running, book, account));
        inside.rest = rest;
    }

    /// Whoever has taken it out puts it back.
    pub fn give_back(&self, contents: Contents<W>) {
        self.inside().contents = Some(contents);
    }

    pub fn take_rest(&self) -> VecDeque<W::Message> {
        std::mem::take(&mut self.inside().rest)
    }
}

/// How a migration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It is there.
    Done,
    /// It is where it was.
    RolledBack,
    /// It was taken out of service on its way.
    Gone,
}

/// The migration that is under way; there is one at most.
pub(super) struct Migration<W: Work> {
    pub cell: Arc<Cell<W>>,
    pub way: Way,
    pub phase: Phase,
    from: Place,
    /// What every packet core has to answer before none can send by the old way any more.
    question: u64,
    /// When each phase began.
    pub began: [u64; 4],
    carried: VecDeque<W::Message>,
    parcel: Option<Arc<Parcel<W>>>,
    pub answered: bool,
    /// The actor cannot change sides.
    pub refused: bool,
    /// The worker has been told what it is to do; its way may have been full.
    told: bool,
    /// It stays where it was.
    rolls_back: bool,
}

impl<W: Work> Migration<W> {
    /// Closes the gate. None if the actor is not where the migration begins.
    pub fn begin(
        cell: Arc<Cell<W>>,
        way: Way,
        shared: &Shared<W>,
        now: u64,
    ) -> Option<Migration<W>> {
        let from = match (cell.gate(), way) {
            (Gate::Open(place @ (Place::Fcfs | Place::Drr)), Way::Push(_)) => place,
            (Gate::Open(place @ Place::Worker(at)), Way::Pull(from)) if at == from => place,
            _ => return None,
        };
        cell.set_gate(Gate::Hold);
        cell.set_phase(Some(Phase::Prepare));
        shared.stir();
        Some(Migration {
            cell,
            way,
            phase: Phase::Prepare,
            from,
            question: shared.ask(),
            began: [now; 4],
            carried: VecDeque::new(),
            parcel: None,
            answered: false,
            refused: false,
            told: false,
            rolls_back: false,
        })
    }

    pub fn id(&self) -> ActorId {
        self.cell.id
    }

    /// Whether it waits for that parcel.
    pub fn is(&self, parcel: &Arc<Parcel<W>>) -> bool {
        self.parcel
            .as_ref()
            .is_some_and(|ours| Arc::ptr_eq(ours, parcel))
    }

    fn enter(&mut self, phase: Phase, now: u64) {
        self.phase = phase;
        self.cell.set_phase(Some(phase));
        for began in self.began.iter_mut().skip(phase as usize) {
            *began = now;
        }
    }

    /// Goes as far as it can without waiting.
    pub fn step(&mut self, core: &mut PacketCore<W>, now: u64) -> Option<Ended> {
        if self.cell.gate() == Gate::Closed {
            let held_back = self.cell.take_held_back();
            for message in self.carried.drain(..).chain(held_back) {
                core.post.lose(&self.cell, Loss::Gone, message);
            }
            return Some(Ended::Gone);
        }
        loop {
            let before = (self.phase, self.told);
            match self.phase {
                Phase::Prepare => self.prepare(core, now),
                Phase::Ready => self.ready(core, now),
                Phase::Gone => self.gone(core, now),
                Phase::Clean => {
                    if let Some(ended) = self.clean(core) {
                        return Some(ended);
                    }
                }
            }
            if before == (self.phase, self.told) {
                return None;
            }
        }
    }

    fn prepare(&mut self, core: &mut PacketCore<W>, now: u64) {
        if core.shared.all_answered(self.question, core.core()) {
            self.enter(Phase::Ready, now);
        } else if self.is_late(core, now) {
            self.roll_back(now);
        }
    }

    /// Whether the phase that it is in has taken too long.
    fn is_late(&self, core: &PacketCore<W>, now: u64) -> bool {
        let limit = core.shared.config.commit_limit_ns;
        now.saturating_sub(self.began[self.phase as usize]) >= limit
    }

    fn roll_back(&mut self, now: u64) {
        self.rolls_back = true;
        self.enter(Phase::Clean, now);
    }

    fn ready(&mut self, core: &mut PacketCore<W>, now: u64) {
        if let Way::Pull(_) = self.way {
            self.parcel = Some(Parcel::empty());
            return self.enter(Phase::Gone, now);
        }
        let limit = core.shared.config.drain_limit_ns;
        let late = now.saturating_sub(self.began[Phase::Ready as usize]) >= limit;
        if !self.cell.mailbox.is_empty() && !late {
            return;
        }
        // Nobody may take from the mailbox while its rest is put aside: it would overtake that.
        if self.cell.in_flight.load(Ordering::Acquire) > 0 || !self.cell.turn.seize() {
            if self.is_late(core, now) {
                self.roll_back(now);
            }
            return;
        }
        self.carried
            .extend(std::iter::from_fn(|| self.cell.mailbox.pop()));
        let mut own = self.cell.own();
        let Some(running) = Running::of(&mut own.held) else {
            return; // cannot be: nobody else has the turn
        };
        let book = std::mem::take(&mut own.book);
        let account = std::mem::take(&mut own.account);
        drop(own);
        self.parcel = Some(Parcel::of((self.cell.clone(), running, book, account)));
        self.enter(Phase::Gone, now);
    }

    fn worker(&self) -> u16 {
        match self.way {
            Way::Push(worker) | Way::Pull(worker) => worker,
        }
    }

    /// False if the way is full; then nothing was sent.
    fn tell_worker(&mut self, core: &mut PacketCore<W>, what: ToWorker<W>) -> bool {
        core.shared.send_to_worker(self.worker(), what).is_ok()
    }

    fn gone(&mut self, core: &mut PacketCore<W>, now: u64) {
        let (Some(parcel), id) = (self.parcel.clone(), self.id()) else {
            return;
        };
        if !self.told {
            let what = match self.way {
                Way::Push(_) => ToWorker::Arrive(parcel.clone()),
                Way::Pull(_) => ToWorker::Release(id, parcel.clone()),
            };
            self.told = self.tell_worker(core, what);
        }
        if self.answered {
            if let Way::Pull(_) = self.way {
                self.carried = parcel.take_rest();
                if let Some(contents) = parcel.take() {
                    self.install(contents, core);
                }
            }
            return self.enter(Phase::Clean, now);
        }
        if self.refused {
            if let Way::Push(_) = self.way
                && let Some(contents) = parcel.take()
            {
                self.install(contents, core);
            }
            return self.roll_back(now);
        }
        let late = self.is_late(core, now);
        // A worker that has taken it will answer, when it is done with what it does now. Of a pull there is
        // nothing to take back: the worker has the actor.
        if late
            && let Way::Push(_) = self.way
            && let Some(contents) = parcel.take()
        {
            self.install(contents, core);
            self.roll_back(now);
        }
    }

    /// The actor is on the packet cores again, and may run there.
    fn install(&self, (_, running, book, account): Contents<W>, core: &PacketCore<W>) {
        let mut own = self.cell.own();
        running.into_held(&mut own.held);
        own.book = book;
        own.account = account;
        own.served = 0;
        drop(own);
        if self.cell.turn.give_back() {
            core.shared
                .make_runnable(core.core(), self.cell.id.index, Place::Fcfs);
        }
    }

    fn clean(&mut self, core: &mut PacketCore<W>) -> Option<Ended> {
        let (to, ended) = match (self.rolls_back, self.way) {
            (true, _) => (self.from, Ended::RolledBack),
            (false, Way::Push(worker)) => (Place::Worker(worker), Ended::Done),
            (false, Way::Pull(_)) => (Place::Fcfs, Ended::Done),
        };
        let followed = match to {
            Place::Worker(worker) => self.follow_to_worker(core, worker),
            place => self.follow(core, place),
        };
        followed.then_some(ended)
    }

    /// Sends after the actor what it left behind, as far as there is room. True when that is all, and the
    /// gate is open.
    fn follow_to_worker(&mut self, core: &mut PacketCore<W>, worker: u16) -> bool {
        let shared = &core.shared;
        let id = self.cell.id;
        while let Some(message) = self.carried.pop_front() {
            let what = ToWorker::Message(id, message);
            if let Err(ToWorker::Message(_, back)) = shared.send_to_worker(worker, what) {
                self.carried.push_front(back);
                return false;
            }
        }
        let sink = |message| match shared.send_to_worker(worker, ToWorker::Message(id, message)) {
            Err(ToWorker::Message(_, back)) => Err(back),
            _ => Ok(()),
        };
        self.cell.release(Gate::Open(Place::Worker(worker)), sink)
    }

    /// The same within the packet cores.
    fn follow(&mut self, core: &mut PacketCore<W>, place: Place) -> bool {
        let cell = &self.cell;
        let mut sink = |message| {
            if cell.mailbox.is_full() {
                return Err(message);
            }
            core.post.enqueue(cell, message, place);
            Ok(())
        };
        while let Some(message) = self.carried.pop_front() {
            if let Err(back) = sink(message) {
                self.carried.push_front(back);
                return false;
            }
        }
        cell.release(Gate::Open(place), sink)
    }
}
