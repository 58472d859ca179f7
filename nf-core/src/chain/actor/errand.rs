//! An object on its way from one actor to another: forth, and the news back.
//!
//! One allocation takes both ways. The source keeps the object's slot and its share of the quota until it
//! hears; so taking it back cannot fail.

use crate::sched::dmo::{Departed, Detached, DmoError};
use crate::sched::{ActorId, Loss};

/// What is sent for an object that goes from one actor to another.
#[derive(Debug)]
pub struct Errand {
    pub(super) from: ActorId,
    pub(super) kind: u32,
    pub(super) load: Load,
}

/// How far it is.
#[derive(Debug)]
pub(super) enum Load {
    /// On its way.
    Forth(Detached),
    /// It has arrived.
    Arrived(Departed),
    /// It could not, and comes back.
    Back(Detached, DmoError),
}

impl Errand {
    /// It was not delivered: whom it goes to now, if anybody is left who wants it.
    pub(in crate::chain) fn is_lost(
        mut self: Box<Self>,
        to: Option<ActorId>,
        loss: Loss,
    ) -> Option<(ActorId, Box<Errand>)> {
        let source_is_gone = matches!(loss, Loss::Gone | Loss::Unknown);
        let error = match source_is_gone {
            true => DmoError::Remote,
            false => DmoError::Full,
        };
        let source = self.from;
        self.load = match self.load {
            Load::Forth(detached) => Load::Back(detached, error),
            // Of an actor that is no more nothing is expected; else it is tried until it is through.
            _ if source_is_gone && to == Some(source) => return None,
            load => load,
        };
        Some((source, self))
    }
}
