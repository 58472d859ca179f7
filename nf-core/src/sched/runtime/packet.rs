//! A packet core: what it takes up next, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::actor::{ActorId, Cell, Gate, Message, Own, Work};
use super::super::policy::{Helping, Place};
use super::super::shuffle::Ready;
use super::super::stats::{Ewma, GROUP_WEIGHT};
use super::job::{Job, Running, Send};
use super::post::{Lost, Post};
use super::shared::{Group, Live, ROLE_DRR, Shared};
use crate::publish::Reader;

/// The only core visits the round robin after so many messages of the other group, also if more wait.
const VISIT_EVERY: u32 = 64;

/// A core of the round-robin group looks at what comes in at least every so many turns.
const INGRESS_EVERY: u32 = 8;

/// One packet core's end of the scheduler. Moved to its thread, and used by it alone.
pub struct PacketCore<W: Work> {
    core: usize,
    pub(super) shared: Arc<Shared<W>>,
    pub(super) post: Post<W>,
    live: Reader<Live>,
    pub(super) latency: Ewma,
    period: u64,
    turns: u32,
    /// The last question of the managing core that was answered.
    answered: u64,
    /// The actor whose turn of the round robin goes on. One that runs on several cores has had its token
    /// put back meanwhile; what this core still takes is of the same deficit.
    continuing: Option<Arc<Cell<W>>>,
    /// What follows the message of its key that this core executed.
    following: Option<(Arc<Cell<W>>, W::Message)>,
    spare: Vec<Job<W>>,
    /// Actors that this core calls when they want to be.
    attended: Vec<Arc<Cell<W>>>,
    /// What it is busy with is known from the jobs it has done.
    pub(super) accounts_itself: bool,
}

impl<W: Work> PacketCore<W> {
    pub(super) fn new(core: usize, shared: Arc<Shared<W>>) -> PacketCore<W> {
        PacketCore {
            core,
            post: Post::new(shared.clone(), Some(core)),
            live: shared.live.reader(),
            shared,
            latency: Ewma::new(GROUP_WEIGHT),
            period: 0,
            turns: 0,
            answered: 0,
            continuing: None,
            following: None,
            spare: Vec::new(),
            attended: Vec::new(),
            accounts_itself: true,
        }
    }

    /// Its number.
    pub fn core(&self) -> usize {
        self.core
    }

    /// Its group now.
    pub fn group(&self) -> Group {
        self.shared.role(self.core)
    }

    /// Something was published: takes it over.
    pub fn refresh(&mut self) {
        self.post.refresh();
        self.live.refresh();
        self.attended.clear();
        for cell in self.post.table().cells.iter().flatten() {
            if cell.spec.attended_by.map(usize::from) == Some(self.core)
                && cell.gate() != Gate::Closed
            {
                self.attended.push(cell.clone());
            }
        }
    }

    /// Whether there are actors that this core calls when they want to be.
    #[inline]
    pub fn attends(&self) -> bool {
        !self.attended.is_empty()
    }

    /// Sends `call` to those of them that are due. Returns how many there were.
    pub fn attend(&mut self, now: u64, mut call: impl FnMut() -> W::Message) -> usize {
        let due = |cell: &&Arc<Cell<W>>| cell.gate() != Gate::Closed && cell.take_wake(now);
        let called = self.attended.iter().filter(due);
        called.fold(0, |count, cell| {
            self.post.to(cell, call());
            count + 1
        })
    }

    /// A message has come in. Gives it back when there is no room; it is the driver's to count.
    pub fn put(&mut self, message: W::Message) -> Result<(), W::Message> {
        let source = if self.shared.config.central {
            0
        } else {
            self.core
        };
        // What is not executed as it comes goes where it waits at once, and not only when a core has become
        // free and come to it: or it would wait twice, behind what it is to be told apart from. But it may
        // not overtake its key.
        if let Some(cell) = message.actor().and_then(|id| self.post.table().get(id))
            && cell.gate() != Gate::Open(Place::Fcfs)
            && self.shared.shuffle.is_idle(source, message.key())
        {
            let cell = cell.clone();
            self.post.to(&cell, message);
            return Ok(());
        }
        self.shared.shuffle.put(source, message)
    }

    /// What other cores handled and leaves the box by this one. To be taken at the top of every turn. Returns
    /// how many there were.
    pub fn take_returned(&mut self, out: &mut impl FnMut(W::Message)) -> usize {
        self.post.take_returned(out)
    }

    /// Messages that ended on this core without being handled, for the driver to account for.
    pub fn take_lost(&mut self) -> std::vec::Drain<'_, Lost<W::Message>> {
        self.post.take_lost()
    }

    /// One of them, the latest first.
    pub fn pop_lost(&mut self) -> Option<Lost<W::Message>> {
        self.post.pop_lost()
    }

    /// The top of a turn: from here on the core holds nothing that it learned before of where actors
    /// are. Returns what it is to execute, if anything.
    pub fn begin(&mut self, now: u64) -> Option<Job<W>> {
        self.synchronise();
        self.turns = self.turns.wrapping_add(1);
        self.post.send_unsent();
        if self.post.is_backed_up() {
            return None;
        }
        if let Some((cell, message)) = self.following.take() {
            return self.follow(cell, message, now);
        }
        let helping = self.live.get().helping;
        match self.group() {
            Group::Drr => {
                if let Some(job) = self.go_on(now) {
                    return Some(job);
                }
                let ingress_first = self.turns.is_multiple_of(INGRESS_EVERY);
                if ingress_first && let Some(job) = self.ingress(now) {
                    return Some(job);
                }
                self.visit(now).or_else(|| match helping {
                    Helping::Strict => None,
                    Helping::Half | Helping::Full => self.ingress(now),
                })
            }
            _ => {
                let alone = self.shared.cores_of(ROLE_DRR) == 0;
                if alone
                    && self.turns.is_multiple_of(VISIT_EVERY)
                    && let Some(job) = self.go_on(now).or_else(|| self.visit(now))
                {
                    return Some(job);
                }
                if let Some(job) = self.ingress(now) {
                    // Its own work comes first, after every message of the other group.
                    self.let_be();
                    return Some(job);
                }
                if !alone && !self.may_help(helping) {
                    self.let_be();
                    return None;
                }
                self.go_on(now).or_else(|| self.visit(now))
            }
        }
    }

    /// The next message of the actor whose turn of the round robin goes on.
    fn go_on(&mut self, now: u64) -> Option<Job<W>> {
        let cell = self.continuing.take()?;
        self.serve(cell, true, now)
    }

    /// Ends the turn of the round robin that goes on; what is left of the deficit is kept.
    fn let_be(&mut self) {
        if let Some(cell) = self.continuing.take().filter(|cell| cell.exclusive) {
            self.end_turn(&cell);
        }
    }

    /// Tells the managing core, if it asks, that everything sent before has been sent.
    #[inline]
    fn synchronise(&mut self) {
        let asked = self.shared.asked.load(Ordering::Acquire);
        if asked != self.answered {
            self.answered = asked;
            if let Some(block) = self.shared.blocks.get(self.core) {
                block.answered.store(asked, Ordering::Release);
            }
        }
    }

    /// Whether an idle core of the first come, first served group may help the other.
    fn may_help(&self, helping: Helping) -> bool {
        let busy = self.shared.in_drr.load(Ordering::Relaxed);
        let drr = self.shared.cores_of(ROLE_DRR);
        let fcfs = self.shared.roles.len() as u32 - drr;
        match helping {
            Helping::Strict => false,
            Helping::Half => busy < drr + fcfs / 2,
            Helping::Full => true,
        }
    }

    /// Work that came in, or of an actor's mailbox, first come, first served.
    fn ingress(&mut self, now: u64) -> Option<Job<W>> {
        // Bounded: every token that is only passed on shortens a queue.
        for _ in 0..64 {
            let job = match self.shared.shuffle.take(self.core)? {
                Ready::Stripe(stripe) => self.run_stripe(stripe, now),
                Ready::Actor(index) => self.run_mailbox(index, now),
            };
            if job.is_some() {
                return job;
            }
        }
        None
    }

    fn run_stripe(&mut self, stripe: u32, now: u64) -> Option<Job<W>> {
        let Some(message) = self.shared.shuffle.first(stripe) else {
            self.shared.shuffle.give_back(stripe);
            return None;
        };
        let job = self.direct(message, stripe, now);
        if job.is_none() {
            self.shared.shuffle.give_back(stripe);
        }
        job
    }

    /// Executes a message at once if its actor is here and free; else puts it where it waits.
    fn direct(&mut self, message: W::Message, stripe: u32, now: u64) -> Option<Job<W>> {
        let Some(id) = message.actor() else {
            return Some(self.job(None, Running::Transit, [message], Some(stripe), now));
        };
        let Some(cell) = self.post.cell(id) else {
            self.post.deliver(id, message);
            return None;
        };
        let free = cell.gate() == Gate::Open(Place::Fcfs) && cell.mailbox.is_empty();
        if !(free && (!cell.exclusive || cell.turn.try_begin())) {
            self.post.to(&cell, message);
            return None;
        }
        cell.in_flight.fetch_add(1, Ordering::AcqRel);
        // It may have been closed to be moved since it was looked at.
        let still = cell.gate() == Gate::Open(Place::Fcfs);
        let mut own = cell.own();
        // Messages leave the mailbox of an actor of several cores under this lock: what was there before this one
        // has either been entered, or is there still.
        let free = cell.exclusive || cell.mailbox.is_empty();
        let entered = still && free && (cell.exclusive || own.lanes.try_enter(message.key()));
        let running = entered.then(|| Running::of(&mut own.held)).flatten();
        drop(own);
        let Some(running) = running else {
            cell.in_flight.fetch_sub(1, Ordering::AcqRel);
            if cell.exclusive {
                self.end_turn(&cell);
            }
            self.post.to(&cell, message);
            return None;
        };
        Some(self.job(Some(cell), running, [message], Some(stripe), now))
    }

    fn run_mailbox(&mut self, index: u16, now: u64) -> Option<Job<W>> {
        let cell = self.post.table().at(index)?.clone();
        if !cell.turn.begin() {
            return None;
        }
        if cell.gate() == Gate::Open(Place::Drr) {
            // It was downgraded since.
            cell.turn.end_queued();
            self.shared.make_runnable(self.core, index, Place::Drr);
            return None;
        }
        if !cell.exclusive {
            return self.run_shared(cell, now);
        }
        let most = self.live.get().drain_burst;
        let messages: Vec<W::Message> = std::iter::from_fn(|| cell.mailbox.pop())
            .take(most)
            .collect();
        if messages.is_empty() {
            self.end_turn(&cell);
            return None;
        }
        cell.in_flight.fetch_add(1, Ordering::AcqRel);
        let running = Running::of(&mut cell.own().held);
        let Some(running) = running else {
            // It has gone, and whoever sent these was held up for longer than anybody waits: they go after it.
            cell.in_flight.fetch_sub(1, Ordering::AcqRel);
            for message in messages {
                self.post.to(&cell, message);
            }
            self.end_turn(&cell);
            return None;
        };
        Some(self.job(Some(cell), running, messages, None, now))
    }

    /// The next message of an actor of several cores, of which others can take the one after it at once.
    fn run_shared(&mut self, cell: Arc<Cell<W>>, now: u64) -> Option<Job<W>> {
        let most = self.live.get().drain_burst;
        let mut own = cell.own();
        let message = self.next_of(&cell, &mut own, most);
        let running = Running::of(&mut own.held);
        drop(own);
        self.end_turn(&cell);
        let (message, running) = message.zip(running)?;
        Some(self.job(Some(cell), running, [message], None, now))
    }

    /// Takes a message out of the mailbox, to be executed now: of an actor of several cores, one of a key of
    /// which no other is executed. Looks at so many, at most.
    fn next_of(&self, cell: &Cell<W>, own: &mut Own<W>, most: usize) -> Option<W::Message> {
        for _ in 0..most.max(1) {
            if own.lanes.aside() >= cell.mailbox.capacity() {
                return None;
            }
            let message = cell.mailbox.pop()?;
            // What is set aside is in flight too: it follows before the actor can be moved.
            cell.in_flight.fetch_add(1, Ordering::AcqRel);
            if cell.exclusive {
                return Some(message);
            }
            if let Some(message) = own.lanes.enter(message) {
                return Some(message);
            }
        }
        None
    }

    /// Executes a message after another of its key.
    fn follow(&mut self, cell: Arc<Cell<W>>, message: W::Message, now: u64) -> Option<Job<W>> {
        let mut own = cell.own();
        let round_robin = cell.gate() == Gate::Open(Place::Drr);
        let expected = own.book.service_ns();
        if round_robin {
            own.account.charge(expected);
        }
        let running = Running::of(&mut own.held);
        drop(own);
        let job = self.job(Some(cell), running?, [message], None, now);
        Some(match round_robin {
            true => self.of_round_robin(job, expected),
            false => job,
        })
    }

    fn of_round_robin(&self, mut job: Job<W>, expected: f64) -> Job<W> {
        self.shared.in_drr.fetch_add(1, Ordering::Relaxed);
        job.group = Group::Drr;
        job.expected = expected;
        job
    }

    /// One message of the actor whose turn of the round robin it is.
    fn visit(&mut self, now: u64) -> Option<Job<W>> {
        for _ in 0..64 {
            let index = self.shared.runnable.pop()?;
            let Some(cell) = self.post.table().at(index).cloned() else {
                continue;
            };
            if cell.turn.begin()
                && let Some(job) = self.serve(cell, false, now)
            {
                return Some(job);
            }
        }
        None
    }

    /// A message of an actor under round robin, if its deficit lasts: in a new turn, or in one that goes on.
    fn serve(&mut self, cell: Arc<Cell<W>>, continues: bool, now: u64) -> Option<Job<W>> {
        // Whether the core has the actor's turn; of several cores that go on, none has.
        let has_turn = cell.exclusive || !continues;
        if !has_turn && cell.gate() != Gate::Open(Place::Drr) {
            return None;
        }
        if cell.gate() == Gate::Open(Place::Fcfs) {
            // It was upgraded since.
            cell.turn.end_queued();
            self.shared
                .make_runnable(self.core, cell.id.index, Place::Fcfs);
            return None;
        }
        let live = self.live.get();
        let mut own = cell.own();
        let quantum = live.quanta.quantum(own.book.message_bytes());
        let expected = own.book.service_ns();
        if !continues {
            own.served = 0;
            if !cell.mailbox.is_empty() {
                own.account.begin_turn(quantum, expected);
            }
        }
        let may_run = own.served < live.drr_burst && own.account.affords(expected);
        let most = live.drain_burst;
        let message = may_run
            .then(|| self.next_of(&cell, &mut own, most))
            .flatten();
        let Some(message) = message else {
            if !has_turn {
                return None;
            }
            if cell.mailbox.is_empty() {
                own.account.lapse();
                drop(own);
                self.end_turn(&cell);
            } else {
                drop(own);
                cell.turn.end_queued();
                self.shared
                    .make_runnable(self.core, cell.id.index, Place::Drr);
            }
            return None;
        };
        let Some(running) = Running::of(&mut own.held) else {
            drop(own);
            cell.in_flight.fetch_sub(1, Ordering::AcqRel);
            self.post.to(&cell, message);
            self.end_turn(&cell);
            return None;
        };
        own.account.charge(expected);
        own.served += 1;
        drop(own);
        if has_turn && !cell.exclusive {
            self.end_turn(&cell);
        }
        let job = self.job(Some(cell), running, [message], None, now);
        Some(self.of_round_robin(job, expected))
    }

    fn job(
        &mut self,
        cell: Option<Arc<Cell<W>>>,
        running: Running<W>,
        messages: impl IntoIterator<Item = W::Message>,
        stripe: Option<u32>,
        now: u64,
    ) -> Job<W> {
        let mut job = self.spare.pop().unwrap_or_else(|| Job::empty(now));
        job.messages.extend(messages);
        job.renew(cell, running, Group::Fcfs, stripe, now);
        job
    }

    /// A job is done, at `now`; what it sends goes its ways, through `out` if it leaves by this core.
    pub fn finish(
        &mut self,
        mut job: Job<W>,
        now: u64,
        sends: impl IntoIterator<Item = Send<W::Message>>,
        out: &mut impl FnMut(W::Message),
    ) {
        let service = now.saturating_sub(job.began);
        if self.accounts_itself
            && let Some(block) = self.shared.blocks.get(self.core)
        {
            block.busy_ns.store(
                block.busy_ns.load(Ordering::Relaxed) + service,
                Ordering::Relaxed,
            );
        }
        if job.group == Group::Fcfs {
            self.book_jobs_latency(&job.arrived, now);
        }
        // What it sends goes before its turn ends: the next execution may be on another core.
        for send in sends {
            match send {
                Send::To(id, message) => self.post.deliver(id, message),
                Send::Out(message) => self.post.leave(message, out),
            }
        }
        let booked = job.booked(now);
        let running = job.take_running();
        if let Some(cell) = job.cell.take() {
            cell.wakes(job.wakes);
            let mut own = cell.own();
            own.book.enter(booked);
            if job.group == Group::Drr {
                let quantum = self.live.get().quanta.quantum(own.book.message_bytes());
                own.account.settle(job.expected, service as f64, quantum);
                self.shared.in_drr.fetch_sub(1, Ordering::Relaxed);
            }
            match job.failed.take() {
                None => running.into_held(&mut own.held),
                Some(failure) => self.shared.bury(&cell, running, failure),
            }
            let next = match cell.exclusive {
                true => None,
                false => own.lanes.leave(job.key),
            };
            drop(own);
            // It is in flight already.
            self.following = next.map(|next| (cell.clone(), next));
            cell.in_flight.fetch_sub(1, Ordering::AcqRel);
            if job.group == Group::Drr {
                self.continuing = Some(cell);
            } else if cell.exclusive {
                self.end_turn(&cell);
            }
        }
        if let Some(stripe) = job.stripe.take() {
            self.shared.shuffle.give_back(stripe);
        }
        self.spare.push(job.emptied());
    }

    /// Ends the turn of an actor; queues it again if something waits.
    pub(super) fn end_turn(&self, cell: &Cell<W>) {
        let more = !cell.mailbox.is_empty();
        if more {
            cell.turn.end_queued();
        }
        if more || cell.turn.end() {
            let place = match cell.gate() {
                Gate::Open(Place::Drr) => Place::Drr,
                _ => Place::Fcfs,
            };
            self.shared.make_runnable(self.core, cell.id.index, place);
        }
    }

    fn book_jobs_latency(&mut self, arrived: &[u64], now: u64) {
        self.renew_period();
        for at in arrived {
            self.latency.add(now.saturating_sub(*at) as f64);
        }
        self.show_latency();
    }

    /// Forgets what was measured before the last change.
    pub(super) fn renew_period(&mut self) {
        let period = self.shared.period.load(Ordering::Acquire);
        if period != self.period {
            self.period = period;
            self.latency.reset();
        }
    }

    pub(super) fn show_latency(&self) {
        if let Some(block) = self.shared.blocks.get(self.core) {
            let estimate = self.latency.estimate();
            let [mean, deviation, samples, of] = &block.latency;
            mean.store(estimate.mean.to_bits(), Ordering::Relaxed);
            deviation.store(estimate.deviation.to_bits(), Ordering::Relaxed);
            samples.store(estimate.samples, Ordering::Relaxed);
            of.store(self.period, Ordering::Release);
        }
    }

    /// Whether the managing core waits for an answer.
    pub(super) fn is_asked(&self) -> bool {
        self.shared.asked.load(Ordering::Acquire) != self.answered
    }

    /// Whether an actor's turn of the round robin goes on here.
    pub(super) fn is_continuing(&self) -> bool {
        self.continuing.is_some() || self.following.is_some()
    }

    /// Sends a message to an actor, wherever it is. It never runs at once.
    pub fn deliver(&mut self, id: ActorId, message: W::Message) {
        self.post.deliver(id, message);
    }

    pub(super) fn cell(&self, index: u16) -> Option<Arc<Cell<W>>> {
        self.post.table().at(index).cloned()
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = &Arc<Cell<W>>> {
        self.post.table().cells.iter().flatten()
    }
}
