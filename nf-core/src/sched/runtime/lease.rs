//! An actor in the hands of the loop that dispatches to it.
//!
//! A loop that is the only one to send messages to an actor, and runs it first come, first served, need not
//! go through a queue: it takes the actor's turn once, keeps it, and calls the actor itself. It gives the actor
//! back as soon as the scheduler wants it elsewhere, and sends it messages as anybody does until it
//! is here again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::actor::{ActorId, Cell, Failure, Gate, Work};
use super::super::drr::Account;
use super::super::policy::Place;
use super::super::stats::{Book, Spread};
use super::job::Running;
use super::packet::PacketCore;

/// An actor, for those who send to it again and again.
pub struct Handle<W: Work>(pub(super) Arc<Cell<W>>);

impl<W: Work> Handle<W> {
    /// Its id.
    pub fn id(&self) -> ActorId {
        self.0.id
    }

    /// Whether it runs first come, first served, on the packet cores.
    #[inline]
    pub fn is_here(&self) -> bool {
        self.0.gate() == Gate::Open(Place::Fcfs)
    }

    /// Whether it is no more.
    pub fn is_closed(&self) -> bool {
        self.0.gate() == Gate::Closed
    }

    /// Whether it asked to be called by now without a message; it is asked once.
    pub fn take_wake(&self, now: u64) -> bool {
        self.0.take_wake(now)
    }
}

/// An actor's books and place, while a loop has it. The body is the loop's own meanwhile.
pub struct Lease<W: Work> {
    cell: Arc<Cell<W>>,
    book: Book,
    account: Account,
}

impl<W: Work> Lease<W> {
    /// Enters what the actor has done: service times, the mean from arrival to the end, and the length of its
    /// messages, nanoseconds and bytes.
    pub fn book(&mut self, service: Spread, sojourn_ns: f64, bytes: f64) {
        self.book.enter_spread(service, sojourn_ns, bytes);
    }

    /// The oldest message that waits for the actor.
    pub fn take_waiting(&self) -> Option<W::Message> {
        self.cell.mailbox.pop()
    }

    /// Whether it has to be given back: the scheduler wants it elsewhere, or somebody has sent it a message.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.cell.gate() != Gate::Open(Place::Fcfs) || !self.cell.mailbox.is_empty()
    }
}

impl<W: Work> PacketCore<W> {
    /// An actor, to send to.
    pub fn handle(&self, id: ActorId) -> Option<Handle<W>> {
        self.post.cell(id).map(Handle)
    }

    /// Takes an actor into the caller's own hands, if it belongs to the packet cores and runs nowhere, and if what
    /// waits for it will be done in `at_most_ns`, as far as that can be foreseen. What waits is the caller's
    /// to [take](Lease::take_waiting) and to execute before anything else.
    pub fn lease(
        &mut self,
        handle: &Handle<W>,
        at_most_ns: f64,
    ) -> Option<(Lease<W>, Box<W::Body>)> {
        let cell = &handle.0;
        let waiting = cell.mailbox.len() as f64;
        let done_soon = waiting == 0.0 || waiting * cell.books.service().mean <= at_most_ns;
        // The token of one that is queued becomes void.
        if !handle.is_here() || !done_soon || !(cell.turn.try_begin() || cell.turn.begin()) {
            return None;
        }
        cell.in_flight.fetch_add(1, Ordering::AcqRel);
        // It may have been moved before the turn was taken.
        let still = handle.is_here();
        let mut own = cell.own();
        let running = still.then(|| Running::of(&mut own.held)).flatten();
        let Some(Running::Exclusive(body)) = running else {
            drop(own);
            cell.in_flight.fetch_sub(1, Ordering::AcqRel);
            self.end_turn(cell);
            return None;
        };
        let lease = Lease {
            cell: cell.clone(),
            book: std::mem::take(&mut own.book),
            account: std::mem::take(&mut own.account),
        };
        Some((lease, body))
    }

    /// Gives an actor back. `wakes` is when it wants to be called without a message, nanoseconds.
    pub fn give_back(&mut self, lease: Lease<W>, body: Box<W::Body>, wakes: u64) {
        let Lease {
            cell,
            book,
            account,
        } = lease;
        cell.wakes(wakes);
        let mut own = cell.own();
        Running::Exclusive(body).into_held(&mut own.held);
        own.book = book;
        own.account = account;
        drop(own);
        cell.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.end_turn(&cell);
    }

    /// Takes an actor out of service that the caller has in its hands, and that cannot go on.
    pub fn bury(&mut self, lease: Lease<W>, body: Box<W::Body>, failure: Failure) {
        let Lease { cell, .. } = lease;
        self.shared.bury(&cell, Running::Exclusive(body), failure);
        cell.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.end_turn(&cell);
    }

    /// Sends a message to an actor.
    #[inline]
    pub fn send(&mut self, handle: &Handle<W>, message: W::Message) {
        self.post.to(&handle.0, message);
    }

    /// Enters how long operations took that the caller ran itself, from arrival to end, nanoseconds.
    pub fn book_latency(&mut self, latency: Spread) {
        self.renew_period();
        self.latency.add_spread(latency);
        self.show_latency();
    }

    /// Says how long this core has worked altogether, nanoseconds; from then on that is all that is counted.
    pub fn worked(&mut self, busy_ns: u64) {
        self.accounts_itself = false;
        if let Some(block) = self.shared.blocks.get(self.core()) {
            block.busy_ns.store(busy_ns, Ordering::Relaxed);
        }
    }

    /// Whether there is anything to do but what the caller does itself.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.post.has_returned()
            || self.shared.has_ready(self.core())
            || self.is_asked()
            || !self.post.is_empty()
            || self.post.has_lost()
            || self.is_continuing()
    }
}
