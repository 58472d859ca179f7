//! What is sent to shards, and what they are to the scheduler.

use crate::chain::chain::ChainReason;
use crate::chain::shard::ChainStage;
use crate::packet::Packet;
use crate::sched::{ActorId, Loss, Message, Work};

/// What the scheduler of an appliance moves and runs.
#[derive(Debug, Clone, Copy)]
pub struct ChainWork;

impl Work for ChainWork {
    type Message = Mail;
    type Body = Body;
    type Shared = ();

    fn retire(body: &mut Body) {
        match body {
            Body::Stage(stage) => stage.close_books(),
        }
    }
}

/// An actor of an appliance.
#[derive(Debug)]
pub enum Body {
    /// A shard of a stage.
    Stage(Box<ChainStage>),
}

/// What is sent to one.
#[derive(Debug)]
pub enum Mail {
    /// A packet to be handled, or that has been handled; its metadata say where in the chain.
    Packet {
        /// The packet core it leaves by.
        home: u16,
        /// The packet.
        packet: Packet,
    },
    /// Time has passed, or something was published: the shard is to look.
    Tick,
    /// So many expendable packets of the shard found no room.
    Undelivered(u64),
}

impl Mail {
    /// The packet, if it is one.
    pub fn into_packet(self) -> Option<Packet> {
        match self {
            Mail::Packet { packet, .. } => Some(packet),
            Mail::Tick | Mail::Undelivered(_) => None,
        }
    }
}

impl Message for Mail {
    fn actor(&self) -> Option<ActorId> {
        None
    }

    fn key(&self) -> u64 {
        match self {
            Mail::Packet { packet, .. } => u64::from(packet.meta().flow_hash),
            Mail::Tick | Mail::Undelivered(_) => 0,
        }
    }

    fn arrived_ns(&self) -> u64 {
        match self {
            Mail::Packet { packet, .. } => packet.meta().ingress_ns,
            // Counted as no waiting at all.
            Mail::Tick | Mail::Undelivered(_) => u64::MAX,
        }
    }

    fn bytes(&self) -> u32 {
        match self {
            Mail::Packet { packet, .. } => packet.len() as u32,
            Mail::Tick | Mail::Undelivered(_) => 0,
        }
    }

    fn home(&self) -> Option<usize> {
        match self {
            Mail::Packet { home, .. } => Some(usize::from(*home)),
            Mail::Tick | Mail::Undelivered(_) => None,
        }
    }
}

/// The chain's reason for a packet that ended on its way to or from an actor.
pub(in crate::chain) fn lost_reason(loss: Loss) -> ChainReason {
    match loss {
        Loss::MailboxFull => ChainReason::MailboxFull,
        Loss::HoldBackFull => ChainReason::HoldBackFull,
        Loss::WorkerFull => ChainReason::WorkerFull,
        Loss::Gone | Loss::Unknown => ChainReason::ActorGone,
    }
}
