//! How messages get to where they belong, from whichever core they are sent.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::actor::{ActorId, Cell, Gate, Loss, Message, Work};
use super::super::policy::Place;
use super::shared::{Shared, Table};
use super::worker::ToWorker;
use crate::publish::Reader;

/// Messages that may wait for another core to send them out before a core executes nothing more that
/// could add to them.
const UNSENT_AT_MOST: usize = 1024;

/// A message that ended instead of being handled: whom it was for, and why.
pub type Lost<M> = (Option<ActorId>, Loss, M);

/// What one core, packet or worker, sends by.
pub(super) struct Post<W: Work> {
    shared: Arc<Shared<W>>,
    table: Reader<Table<W>>,
    /// Where tokens of actors are put that become ready.
    core: usize,
    /// The packet core it is, if it is one.
    home: Option<usize>,
    /// What did not fit into the way to the core that it leaves by, first come first.
    unsent: Vec<VecDeque<W::Message>>,
    waiting: usize,
    /// Messages that ended here, for the driver to account for.
    lost: Vec<Lost<W::Message>>,
}

impl<W: Work> Post<W> {
    /// Of packet core `home`, or of a worker.
    pub fn new(shared: Arc<Shared<W>>, home: Option<usize>) -> Post<W> {
        Post {
            table: shared.table.reader(),
            core: home.unwrap_or(0),
            home,
            unsent: shared.blocks.iter().map(|_| VecDeque::new()).collect(),
            waiting: 0,
            lost: Vec::new(),
            shared,
        }
    }

    /// Takes over the newest table of actors.
    pub fn refresh(&mut self) {
        self.table.refresh();
    }

    pub fn table(&self) -> &Table<W> {
        self.table.get()
    }

    pub fn cell(&self, id: ActorId) -> Option<Arc<Cell<W>>> {
        self.table.get().get(id).cloned()
    }

    /// What ended here.
    pub fn take_lost(&mut self) -> std::vec::Drain<'_, Lost<W::Message>> {
        self.lost.drain(..)
    }

    /// One of them.
    pub fn pop_lost(&mut self) -> Option<Lost<W::Message>> {
        self.lost.pop()
    }

    /// Whether something ended here that nobody has accounted for.
    pub fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Whether so much waits for other cores that nothing should be executed that adds to it.
    pub fn is_backed_up(&self) -> bool {
        self.waiting > UNSENT_AT_MOST
    }

    /// Whether everything has gone where it belongs.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Ends a message, and counts it with its actor.
    pub fn lose(&mut self, cell: &Cell<W>, loss: Loss, message: W::Message) {
        cell.lose(loss, 1);
        self.lost.push((Some(cell.id), loss, message));
    }

    /// Sends a message to an actor, wherever it is. It never runs at once.
    pub fn deliver(&mut self, id: ActorId, message: W::Message) {
        match self.cell(id) {
            Some(cell) => self.to(&cell, message),
            None => self.lost.push((Some(id), Loss::Unknown, message)),
        }
    }

    /// Puts a message where those for the actor wait.
    pub fn to(&mut self, cell: &Cell<W>, message: W::Message) {
        let mut message = message;
        loop {
            match cell.gate() {
                Gate::Hold => match cell.hold_back(message) {
                    Ok(()) => return,
                    Err((Some(loss), back)) => return self.lose(cell, loss, back),
                    Err((None, back)) => message = back,
                },
                Gate::Closed => return self.lose(cell, Loss::Gone, message),
                Gate::Open(Place::Worker(worker)) => {
                    let what = ToWorker::Message(cell.id, message);
                    if let Err(ToWorker::Message(_, back)) =
                        self.shared.send_to_worker(worker, what)
                    {
                        self.lose(cell, Loss::WorkerFull, back);
                    }
                    return;
                }
                Gate::Open(place) => return self.enqueue(cell, message, place),
            }
        }
    }

    /// Puts a message into the mailbox whatever the gate says, and sees to it that it is run there.
    pub fn enqueue(&mut self, cell: &Cell<W>, message: W::Message, place: Place) {
        if let Err(back) = cell.mailbox.push(message) {
            return self.lose(cell, Loss::MailboxFull, back);
        }
        if cell.turn.arrived() {
            self.shared.make_runnable(self.core, cell.id.index, place);
        }
    }

    /// Sends a message out of the box: by the core it leaves by, in order; or here and now, through `out`.
    pub fn leave(&mut self, message: W::Message, out: &mut impl FnMut(W::Message)) {
        match message.home() {
            Some(home) if self.home != Some(home) && home < self.unsent.len() => {
                self.send_home(home, message);
            }
            Some(_) => {
                // What was executed elsewhere before is in the queue by now.
                self.take_returned(out);
                out(message);
            }
            None => out(message),
        }
    }

    /// Whether others executed something that leaves by this core.
    #[inline]
    pub fn has_returned(&self) -> bool {
        let queue = self.home.and_then(|home| self.shared.homes.get(home));
        queue.is_some_and(|queue| !queue.is_empty())
    }

    /// What others executed and leaves by this core. Returns how many there were.
    pub fn take_returned(&mut self, out: &mut impl FnMut(W::Message)) -> usize {
        let Some(queue) = self.home.and_then(|home| self.shared.homes.get(home)) else {
            return 0;
        };
        // Bounded: only what is there now.
        let count = queue.len();
        std::iter::from_fn(|| queue.pop()).take(count).for_each(out);
        count
    }

    fn send_home(&mut self, home: usize, message: W::Message) {
        let (Some(queue), Some(waiting)) = (self.shared.homes.get(home), self.unsent.get_mut(home))
        else {
            return;
        };
        let message = match waiting.is_empty() {
            true => match queue.push(message) {
                Ok(()) => return,
                Err(back) => back,
            },
            false => message,
        };
        waiting.push_back(message);
        self.waiting += 1;
    }

    /// Tries again to send what had no room.
    pub fn send_unsent(&mut self) {
        if self.waiting == 0 {
            return;
        }
        for (waiting, queue) in self.unsent.iter_mut().zip(&self.shared.homes) {
            while let Some(message) = waiting.pop_front() {
                if let Err(message) = queue.push(message) {
                    waiting.push_front(message);
                    break;
                }
                self.waiting -= 1;
            }
        }
    }
}
