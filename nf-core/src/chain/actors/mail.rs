//! What is sent to actors, and what they are to the scheduler.

use super::slot::BYPASSED;
use crate::chain::actor::{ActorBody, Errand};
use crate::chain::chain::ChainReason;
use crate::chain::cx::Env;
use crate::chain::shard::ChainStage;
use crate::packet::Packet;
use crate::sched::runtime::{PacketCore, WorkerCore};
use crate::sched::{ActorId, Hitch, Loss, Message, Work};

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
            Body::Actor(actor) => actor.close_books(),
        }
    }

    fn changes_sides(body: &mut Body) -> Result<(), Hitch> {
        match body {
            Body::Stage(_) => Ok(()),
            Body::Actor(actor) => actor.changes_sides(),
        }
    }
}

/// An actor of an appliance.
#[derive(Debug)]
pub enum Body {
    /// A shard of a stage.
    Stage(Box<ChainStage>),
    /// Any other.
    Actor(Box<ActorBody>),
}

/// What is sent to one.
#[derive(Debug)]
pub enum Mail {
    /// A packet to be handled by a stage, or that has been handled; its metadata say where in the chain.
    Packet {
        /// The packet core it leaves by.
        home: u16,
        /// The packet.
        packet: Packet,
    },
    /// A message to an actor that is no stage: a packet with a label.
    Letter(Packet),
    /// An object on its way to an actor, or news of it on the way back.
    Errand(Box<Errand>),
    /// Time has passed, or something was published: the actor is to look.
    Tick,
    /// So many expendable packets of the shard found no room.
    Undelivered(u64),
}

const _: () = assert!(size_of::<Mail>() <= 16, "queues are full of it");

impl Mail {
    /// The packet, if it is one.
    pub fn into_packet(self) -> Option<Packet> {
        match self {
            Mail::Packet { packet, .. } | Mail::Letter(packet) => Some(packet),
            Mail::Errand(_) | Mail::Tick | Mail::Undelivered(_) => None,
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
            Mail::Letter(packet) => packet.label().key,
            Mail::Errand(_) | Mail::Tick | Mail::Undelivered(_) => 0,
        }
    }

    fn arrived_ns(&self) -> u64 {
        match self {
            Mail::Packet { packet, .. } => packet.meta().ingress_ns,
            Mail::Letter(packet) => packet.label().sent_ns,
            // Counted as no waiting at all.
            Mail::Errand(_) | Mail::Tick | Mail::Undelivered(_) => u64::MAX,
        }
    }

    fn bytes(&self) -> u32 {
        match self {
            Mail::Packet { packet, .. } | Mail::Letter(packet) => packet.len() as u32,
            Mail::Errand(_) | Mail::Tick | Mail::Undelivered(_) => 0,
        }
    }

    fn home(&self) -> Option<usize> {
        match self {
            Mail::Packet { home, .. } => Some(usize::from(*home)),
            Mail::Letter(packet) => Some(usize::from(packet.label().home)),
            Mail::Errand(_) | Mail::Tick | Mail::Undelivered(_) => None,
        }
    }
}

/// The chain's reason for a packet that ended on its way to or from an actor.
fn lost_reason(loss: Loss) -> ChainReason {
    match loss {
        Loss::MailboxFull => ChainReason::MailboxFull,
        Loss::HoldBackFull => ChainReason::HoldBackFull,
        Loss::WorkerFull => ChainReason::WorkerFull,
        Loss::Gone | Loss::Unknown => ChainReason::ActorGone,
    }
}

/// A core's end of the scheduler, as far as mail is concerned.
pub(in crate::chain) trait PostOffice {
    /// What ended here.
    fn next_lost(&mut self) -> Option<(Option<ActorId>, Loss, Mail)>;
    /// Sends to an actor.
    fn post(&mut self, to: ActorId, mail: Mail);
    /// The packet core that it is, if it is one.
    fn home(&self) -> Option<u16>;
}

impl PostOffice for PacketCore<ChainWork> {
    fn next_lost(&mut self) -> Option<(Option<ActorId>, Loss, Mail)> {
        self.pop_lost()
    }

    fn post(&mut self, to: ActorId, mail: Mail) {
        self.deliver(to, mail);
    }

    fn home(&self) -> Option<u16> {
        Some(self.core() as u16)
    }
}

impl PostOffice for WorkerCore<ChainWork> {
    fn next_lost(&mut self) -> Option<(Option<ActorId>, Loss, Mail)> {
        self.pop_lost()
    }

    fn post(&mut self, to: ActorId, mail: Mail) {
        self.deliver(to, mail);
    }

    fn home(&self) -> Option<u16> {
        None
    }
}

/// Whether a packet goes on as if it had not been for its actor: that is no more, and the packet came from the
/// chain of this core.
fn is_passed(packet: &Packet, loss: Loss, home: Option<u16>) -> bool {
    let label = packet.label();
    matches!(loss, Loss::Gone | Loss::Unknown) && label.from == label.to && home == Some(label.home)
}

/// Accounts for what ended on this core: packets are dropped for a reason, objects go back to whom they came from.
pub(in crate::chain) fn account_for_lost(env: &mut Env, office: &mut impl PostOffice) {
    // What goes back may be lost once more: that is for the next turn.
    let mut again = Vec::new();
    while let Some((to, loss, mail)) = office.next_lost() {
        match mail {
            Mail::Errand(errand) => again.extend(errand.is_lost(to, loss)),
            Mail::Letter(packet) if is_passed(&packet, loss, office.home()) => {
                env.chain_counters.custom.add(BYPASSED, 1);
                env.pending.push(packet);
            }
            mail => {
                if let Some(packet) = mail.into_packet() {
                    let direction = packet.meta().direction;
                    env.drop_by_chain(packet, direction, lost_reason(loss));
                }
            }
        }
    }
    for (to, errand) in again {
        office.post(to, Mail::Errand(errand));
    }
}
