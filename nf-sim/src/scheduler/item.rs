//! What is sent to actors here: a message that knows how long it will take.

use nf_core::sched::runtime::Group;
use nf_core::sched::{ActorId, Message, Work};

/// A message.
#[derive(Debug, Clone)]
pub struct Item {
    /// Whom it is for; `None` for what is only forwarded.
    pub to: Option<ActorId>,
    /// Messages of the same key stay in order.
    pub key: u64,
    /// Which it is, of all that came in.
    pub number: u64,
    /// When it came in, nanoseconds.
    pub arrived: u64,
    /// How long it takes to execute, nanoseconds.
    pub service: u64,
    /// Its class in the workload.
    pub class: u8,
    /// Where it was executed.
    pub group: Group,
}

impl Message for Item {
    fn actor(&self) -> Option<ActorId> {
        self.to
    }
    fn key(&self) -> u64 {
        self.key
    }
    fn arrived_ns(&self) -> u64 {
        self.arrived
    }
    fn bytes(&self) -> u32 {
        64
    }
}

/// Actors without a state of their own, that run on one core at a time or on several.
#[derive(Debug)]
pub struct Items;

impl Work for Items {
    type Message = Item;
    type Body = ();
    type Shared = ();
}
