//! A worker core: runs what was moved off the packet cores.
//!
//! It receives nothing from ports. Everything that is sent to it comes by one queue, and an actor's state,
//! what waits for it and its books are the worker's own as long as it is here. It never decides who goes
//! where: that is for the side that suffers from too much load (iPipe, section 3.2).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use super::super::actor::{ActorId, Cell, Failure, Gate, Hitch, Loss, Work};
use super::super::drr::Account;
use super::super::stats::Book;
use super::job::{Job, Running, Send};
use super::manage::FromCore;
use super::migrate::Parcel;
use super::post::{Lost, Post};
use super::shared::{Group, Shared, WorkerBlock};

/// What is sent to a worker.
pub(super) enum ToWorker<W: Work> {
    /// A message for an actor that is there.
    Message(ActorId, W::Message),
    /// An actor comes. What is in the parcel is taken out, if it has not been taken back.
    Arrive(Arc<Parcel<W>>),
    /// The actor is to go back. Whatever was sent to it before has been sent.
    Release(ActorId, Arc<Parcel<W>>),
    /// The actor is no more: what is left of it is buried.
    Close(ActorId),
}

struct Resident<W: Work> {
    cell: Arc<Cell<W>>,
    running: Option<Running<W>>,
    book: Book,
    account: Account,
    queue: VecDeque<W::Message>,
    /// The way back, and until when it works on what waits.
    leaves: Option<(Arc<Parcel<W>>, u64)>,
}

/// One worker's end of the scheduler. Moved to its thread, and used by it alone.
pub struct WorkerCore<W: Work> {
    worker: usize,
    shared: Arc<Shared<W>>,
    post: Post<W>,
    residents: Vec<Option<Resident<W>>>,
    resident: usize,
    /// The order in which messages arrived: an actor, and how many of it in a row.
    order: VecDeque<(u16, u32)>,
    /// Actors on their way back.
    leaving: u32,
    /// The managing core has been told that this one sends messages.
    active: bool,
    /// The last question of the managing core that was answered.
    answered: u64,
    spare: Vec<Job<W>>,
}

/// Messages taken from the queue in a turn.
const TAKEN: usize = 256;

/// Messages of one actor that are executed together, at most…
const BURST: usize = 32;

/// …and how long they may be expected to take together, nanoseconds, unless it is only one.
const BURST_NS: f64 = 20_000.0;

impl<W: Work> WorkerCore<W> {
    pub(super) fn new(worker: usize, shared: Arc<Shared<W>>) -> WorkerCore<W> {
        WorkerCore {
            worker,
            post: Post::new(shared.clone(), None),
            shared,
            residents: Vec::new(),
            resident: 0,
            order: VecDeque::new(),
            leaving: 0,
            active: false,
            answered: 0,
            spare: Vec::new(),
        }
    }

    /// Its number.
    pub fn worker(&self) -> usize {
        self.worker
    }

    fn block(&self) -> Option<&WorkerBlock> {
        self.shared.workers.get(self.worker)
    }

    fn inbox(&self) -> Option<&crossbeam_queue::ArrayQueue<ToWorker<W>>> {
        self.shared.to_workers.get(self.worker)
    }

    /// Whether nothing waits here.
    pub fn is_idle(&self) -> bool {
        self.order.is_empty()
            && self.leaving == 0
            && self.inbox().is_none_or(|inbox| inbox.is_empty())
            && self.post.is_empty()
    }

    /// Says which thread it is: from then on it can sleep.
    pub fn awakens(&mut self) {
        if let Some(block) = self.block() {
            let _already_known = block.thread.set(std::thread::current());
        }
    }

    /// Sleeps until somebody sends it something, but no longer than `at_most`. Meanwhile nobody need wait for what
    /// it might be sending.
    pub fn sleep(&mut self, at_most: Duration) {
        self.set_active(false);
        let Some(block) = self.shared.workers.get(self.worker) else {
            return;
        };
        block.asleep.store(true, Ordering::SeqCst);
        // Whoever sends first puts the message into the queue, and then looks whether it has to wake somebody.
        fence(Ordering::SeqCst);
        if self.is_idle() {
            std::thread::park_timeout(at_most);
        }
        block.asleep.store(false, Ordering::SeqCst);
    }

    /// Something was published: takes it over.
    pub fn refresh(&mut self) {
        self.post.refresh();
    }

    /// Sends a message to an actor, wherever it is. It never runs at once.
    pub fn deliver(&mut self, id: ActorId, message: W::Message) {
        self.post.deliver(id, message);
    }

    /// Messages that ended on this core without being handled, for the driver to account for.
    pub fn take_lost(&mut self) -> std::vec::Drain<'_, Lost<W::Message>> {
        self.post.take_lost()
    }

    /// One of them, the latest first.
    pub fn pop_lost(&mut self) -> Option<Lost<W::Message>> {
        self.post.pop_lost()
    }

    /// The top of a turn: takes what was sent, and returns what it is to execute, if anything.
    pub fn begin(&mut self, now: u64) -> Option<Job<W>> {
        self.set_active(self.resident > 0 || !self.post.is_empty());
        self.synchronise(now);
        self.post.send_unsent();
        self.take(TAKEN, now);
        self.let_go(now);
        if self.post.is_backed_up() {
            return None;
        }
        while let Some((index, count)) = self.order.pop_front() {
            let Some(resident) = self.resident(index) else {
                continue;
            };
            let affordable = BURST_NS / resident.book.service_ns().max(1.0);
            let most = (affordable as usize).clamp(1, BURST).min(count as usize);
            let most = most.min(resident.queue.len());
            if most == 0 {
                continue;
            }
            let Some(running) = resident.running.take() else {
                continue; // cannot be: it is taken out for one job at a time
            };
            if resident.cell.gate() == Gate::Closed {
                let id = resident.cell.id;
                self.bury(Some(id), running, Failure::Deleted);
                continue;
            }
            let cell = resident.cell.clone();
            let mut job = self.spare.pop().unwrap_or_else(|| Job::empty(now));
            if let Some(resident) = self.resident(index) {
                job.messages.extend(resident.queue.drain(..most));
            }
            if most < count as usize {
                self.order.push_front((index, count - most as u32));
            }
            job.renew(Some(cell), running, Group::Worker, None, now);
            return Some(job);
        }
        None
    }

    /// A job is done, at `now`; what it sends goes its ways, through `out` if it may leave by any core.
    pub fn finish(
        &mut self,
        mut job: Job<W>,
        now: u64,
        sends: impl IntoIterator<Item = Send<W::Message>>,
        out: &mut impl FnMut(W::Message),
    ) {
        let service = now.saturating_sub(job.began);
        if let Some(block) = self.block() {
            let busy = block.busy_ns.load(Ordering::Relaxed);
            block.busy_ns.store(busy + service, Ordering::Relaxed);
        }
        for send in sends {
            match send {
                Send::To(id, message) => self.post.deliver(id, message),
                Send::Out(message) => self.post.leave(message, out),
            }
        }
        let booked = job.booked(now);
        let running = job.take_running();
        if let Some(failure) = job.failed.take() {
            self.bury(job.actor, running, failure);
        } else if let Some(resident) = job.actor.and_then(|id| self.resident(id.index)) {
            resident.running = Some(running);
            resident.book.enter(booked);
            resident.cell.wakes(job.wakes);
        }
        self.spare.push(job.emptied());
        self.let_go(now);
    }

    /// An actor cannot go on: what waits for it ends.
    fn bury(&mut self, id: Option<ActorId>, running: Running<W>, failure: Failure) {
        let place = id.and_then(|id| self.residents.get_mut(usize::from(id.index)));
        let Some(resident) = place.and_then(Option::take) else {
            return;
        };
        self.resident -= 1;
        self.leaving -= u32::from(resident.leaves.is_some());
        self.shared.bury(&resident.cell, running, failure);
        for message in resident.queue {
            self.post.lose(&resident.cell, Loss::Gone, message);
        }
    }

    fn resident(&mut self, index: u16) -> Option<&mut Resident<W>> {
        self.residents.get_mut(usize::from(index))?.as_mut()
    }

    fn set_active(&mut self, active: bool) {
        if self.active == active {
            return;
        }
        self.active = active;
        if let Some(block) = self.block() {
            block.active.swap(u32::from(active), Ordering::AcqRel);
        }
    }

    /// Tells the managing core, if it asks, that everything sent before has been sent.
    fn synchronise(&mut self, now: u64) {
        let asked = self.shared.asked.load(Ordering::Acquire);
        if let Some(block) = self.shared.workers.get(self.worker) {
            block.seen_ns.store(now, Ordering::Relaxed);
            if asked != self.answered {
                self.answered = asked;
                block.answered.store(asked, Ordering::Release);
            }
        }
    }

    fn take(&mut self, most: usize, now: u64) {
        for _ in 0..most {
            let Some(came) = self.inbox().and_then(|inbox| inbox.pop()) else {
                return;
            };
            match came {
                ToWorker::Message(id, message) => self.arrived(id, message),
                ToWorker::Arrive(parcel) => self.arrive(&parcel),
                ToWorker::Release(id, parcel) => self.release(id, parcel, now),
                ToWorker::Close(id) => self.close(id),
            }
        }
    }

    fn arrived(&mut self, id: ActorId, message: W::Message) {
        let place = self.residents.get_mut(usize::from(id.index));
        let resident = match place.and_then(Option::as_mut) {
            Some(resident) if resident.cell.id == id => resident,
            // Whoever sent it was held up for longer than anybody waits; it goes after the actor.
            _ => return self.post.deliver(id, message),
        };
        let spec = &resident.cell.spec;
        if resident.queue.len() >= spec.mailbox + spec.hold_back {
            let cell = resident.cell.clone();
            return self.post.lose(&cell, Loss::MailboxFull, message);
        }
        resident.queue.push_back(message);
        match self.order.back_mut() {
            Some((last, count)) if *last == id.index => *count += 1,
            _ => self.order.push_back((id.index, 1)),
        }
    }

    fn arrive(&mut self, parcel: &Arc<Parcel<W>>) {
        // Before it can send anything.
        self.set_active(true);
        let Some((cell, mut running, book, account)) = parcel.take() else {
            return; // taken back: the managing core waited too long
        };
        let id = cell.id;
        match changes_sides(&mut running) {
            Ok(()) => {}
            Err(Hitch::Stays) => {
                parcel.give_back((cell, running, book, account));
                return self.shared.tell_manager(FromCore::Refused(parcel.clone()));
            }
            Err(Hitch::Fails(failure)) => return self.shared.bury(&cell, running, failure),
        }
        let index = usize::from(id.index);
        if self.residents.len() <= index {
            self.residents.resize_with(index + 1, || None);
        }
        self.resident += 1;
        self.residents[index] = Some(Resident {
            cell,
            running: Some(running),
            book,
            account,
            queue: VecDeque::new(),
            leaves: None,
        });
        self.shared.tell_manager(FromCore::Started(id));
    }

    fn release(&mut self, id: ActorId, parcel: Arc<Parcel<W>>, now: u64) {
        let until = now + self.shared.config.drain_limit_ns;
        if let Some(resident) = self.resident(id.index).filter(|r| r.cell.id == id) {
            resident.leaves = Some((parcel, until));
            self.leaving += 1;
        }
        self.let_go(now);
    }

    /// Sends back actors that are done with what they had, or have had their time.
    fn let_go(&mut self, now: u64) {
        // What they sent has to be on its way before them.
        if self.leaving == 0 || !self.post.is_empty() {
            return;
        }
        let mut failed = Vec::new();
        for slot in &mut self.residents {
            let goes = |resident: &mut Resident<W>| {
                let (_, until) = resident.leaves.as_ref()?;
                let done = resident.queue.is_empty() || now >= *until;
                (done && resident.running.is_some()).then_some(())
            };
            if slot.as_mut().and_then(goes).is_none() {
                continue;
            }
            if let Some(resident) = slot.as_mut()
                && let Some(running) = &mut resident.running
                && let Err(hitch) = changes_sides(running)
            {
                let leaves = resident.leaves.take().map(|(parcel, _)| parcel);
                self.leaving -= 1;
                match (hitch, leaves) {
                    (Hitch::Stays, Some(parcel)) => {
                        self.shared.tell_manager(FromCore::Refused(parcel));
                    }
                    (Hitch::Stays, None) => {} // cannot be: it leaves
                    (Hitch::Fails(failure), _) => failed.push((resident.cell.id, failure)),
                }
                continue;
            }
            let Some(resident) = slot.take() else {
                continue;
            };
            let Resident {
                cell,
                running: Some(running),
                book,
                account,
                queue,
                leaves: Some((parcel, _)),
            } = resident
            else {
                continue;
            };
            // Its remaining entries in the order are skipped, because it has no queue here any more.
            parcel.put(cell, running, book, account, queue);
            self.leaving -= 1;
            self.resident -= 1;
            self.shared.tell_manager(FromCore::Returned(parcel));
        }
        for (id, failure) in failed {
            self.end(id, failure);
        }
    }

    fn close(&mut self, id: ActorId) {
        if self.resident(id.index).is_some_and(|it| it.cell.id == id) {
            self.end(id, Failure::Deleted);
        }
    }

    /// Ends an actor that nobody runs.
    fn end(&mut self, id: ActorId, failure: Failure) {
        let running = self.resident(id.index).and_then(|it| it.running.take());
        if let Some(running) = running {
            self.bury(Some(id), running, failure);
        }
    }
}

/// An actor goes, or comes.
fn changes_sides<W: Work>(running: &mut Running<W>) -> Result<(), Hitch> {
    match running {
        Running::Exclusive(body) => W::changes_sides(body),
        Running::Shared(_) | Running::Transit => Ok(()),
    }
}
