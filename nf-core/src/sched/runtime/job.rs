//! A piece of work, from where it is taken up to where it is done.

use std::sync::Arc;

use super::super::actor::{ActorId, Cell, Failure, Held, Message, Work};
use super::super::stats::Booked;
use super::shared::Group;

/// What executes the messages of a [`Job`].
pub enum Running<W: Work> {
    /// An actor that runs on one core at a time.
    Exclusive(Box<W::Body>),
    /// An actor that runs on several.
    Shared(Arc<W::Shared>),
    /// No actor: the message is forwarded.
    Transit,
}

impl<W: Work> Running<W> {
    pub(super) fn of(held: &mut Held<W>) -> Option<Running<W>> {
        match held {
            Held::Exclusive(body) => body.take().map(Running::Exclusive),
            Held::Shared(shared) => Some(Running::Shared(shared.clone())),
        }
    }

    /// Puts back what was taken out.
    pub(super) fn into_held(self, held: &mut Held<W>) {
        if let (Running::Exclusive(body), Held::Exclusive(slot)) = (self, held) {
            *slot = Some(body);
        }
    }
}

/// Messages that are executed together, and what executes them.
pub struct Job<W: Work> {
    /// The actor; `None` for what is only forwarded.
    pub actor: Option<ActorId>,
    /// What executes.
    pub running: Running<W>,
    /// What is to be executed, first come first. The driver empties it.
    pub messages: Vec<W::Message>,
    /// When the actor wants to be called again without a message, nanoseconds; said by the driver. `u64::MAX`
    /// for never.
    pub wakes: u64,
    /// Why the actor cannot go on; said by the driver. It is taken out of service then.
    pub failed: Option<Failure>,
    pub(super) cell: Option<Arc<Cell<W>>>,
    pub(super) group: Group,
    /// The stripe of what comes in that is kept until the end.
    pub(super) stripe: Option<u32>,
    pub(super) began: u64,
    count: u64,
    /// Sum of when each message arrived, as a distance before the beginning.
    waited: u64,
    pub(super) arrived: Vec<u64>,
    pub(super) bytes: u64,
    /// The key of the first message.
    pub(super) key: u64,
    /// What it was charged for, under round robin.
    pub(super) expected: f64,
}

impl<W: Work> Job<W> {
    /// Where it is executed.
    pub fn group(&self) -> Group {
        self.group
    }

    /// When it was taken up.
    pub fn began_ns(&self) -> u64 {
        self.began
    }

    /// Nothing to do, yet.
    pub(super) fn empty(now: u64) -> Job<W> {
        Job {
            actor: None,
            running: Running::Transit,
            messages: Vec::new(),
            wakes: u64::MAX,
            failed: None,
            cell: None,
            group: Group::Fcfs,
            stripe: None,
            began: now,
            count: 0,
            waited: 0,
            arrived: Vec::new(),
            bytes: 0,
            key: 0,
            expected: 0.0,
        }
    }

    /// Begins with the messages that are in it; notes what they were, before they are gone.
    pub(super) fn renew(
        &mut self,
        cell: Option<Arc<Cell<W>>>,
        running: Running<W>,
        group: Group,
        stripe: Option<u32>,
        now: u64,
    ) {
        self.actor = cell.as_ref().map(|cell| cell.id);
        self.running = running;
        self.wakes = u64::MAX;
        self.failed = None;
        self.cell = cell;
        self.group = group;
        self.stripe = stripe;
        self.began = now;
        self.count = self.messages.len() as u64;
        self.expected = 0.0;
        self.key = self.messages.first().map_or(0, Message::key);
        self.arrived.clear();
        (self.waited, self.bytes) = (0, 0);
        for message in &self.messages {
            let arrived = message.arrived_ns();
            self.waited += now.saturating_sub(arrived);
            self.bytes += u64::from(message.bytes());
            if group == Group::Fcfs && arrived != u64::MAX {
                self.arrived.push(arrived);
            }
        }
    }

    /// What the actor's books get of it, if it ends at `now`.
    pub(super) fn booked(&self, now: u64) -> Booked {
        let service = now.saturating_sub(self.began);
        Booked {
            messages: self.count,
            service_ns: service,
            sojourn_ns: self.waited / self.count.max(1) + service,
            bytes: self.bytes,
        }
    }

    pub(super) fn take_running(&mut self) -> Running<W> {
        std::mem::replace(&mut self.running, Running::Transit)
    }

    /// For another time: whatever the driver left in it is dropped.
    pub(super) fn emptied(mut self) -> Job<W> {
        self.messages.clear();
        self.cell = None;
        self
    }
}

/// What an execution sends.
#[derive(Debug)]
pub enum Send<M> {
    /// To an actor.
    To(ActorId, M),
    /// Out of the box.
    Out(M),
}
