//! Actors that are no stages: what a user programs after iPipe's table of calls.
//!
//! An actor does two things with a message: it works on its own state, and it sends messages to other actors
//! or packets out of the box. It shares memory with nobody. Its state is in objects of its own
//! [`Region`], so that the scheduler can move it to another core, or copy it, at any time.
//!
//! | iPipe | here |
//! |---|---|
//! | `actor_create`, `actor_register` | [`Actors::create`], [`Actors::register`] |
//! | `actor_init` | [`Actor::init`], called by the runtime |
//! | `actor_delete`, `actor_migrate` | [`Actors::delete`], [`Actors::migrate`] |
//! | `dmo_malloc`, `dmo_free` | [`ActorCx::dmo_alloc`], [`ActorCx::dmo_free`] |
//! | `dmo_mmset`, `dmo_mmcpy`, `dmo_mmmove` | [`ActorCx::dmo_set`], [`ActorCx::dmo_copy`], [`ActorCx::dmo_move`] |
//! | `dmo_migrate` | [`ActorCx::dmo_migrate`], [`Actor::on_object`] |
//! | `msg_write`, `msg_read` | [`ActorCx::send`], [`Actor::exec`] |
//! | `nstack_new_wqe` | [`ActorCx::alloc`] |
//! | `nstack_hdr_cap` | [`ActorCx::encapsulate`], [`Udp`] |
//! | `nstack_send` | [`ActorCx::tx`], [`ActorCx::reply`], [`ActorCx::forward`] |
//! | `nstack_get_wqe` | [`Packet::label`] and [`Packet::meta`] |
//! | `nstack_recv` | the chain: a stage that [dispatches](Actors::dispatch) hands packets to actors |

mod body;
mod control;
mod cx;
mod dispatch;
mod errand;
mod net;
mod rules;
#[cfg(test)]
mod tests;

pub use self::body::ActorBody;
pub use self::control::{ActorError, Actors, NewActor, Side, Transfer};
pub use self::cx::ActorCx;
pub use self::errand::Errand;
pub use self::net::{EncapError, Udp};
pub use self::rules::{Magic, Match};

use crate::packet::Packet;
use crate::sched::ActorId;
use crate::sched::dmo::{DmoError, ObjectId, Region};

/// Code that handles messages, one at a time, on whichever core it is.
///
/// What is in `self` is for what can be made anew: it goes with the actor when it is handed over, and is lost
/// when it is copied. What has to last is in the actor's [`Region`], which it finds by
/// [`root`](Region::root).
///
/// ```
/// use nf_core::chain::actor::{Actor, ActorCx, ActorError, Actors, Match, NewActor};
/// use nf_core::packet::Packet;
/// use nf_core::sched::dmo::DmoError;
///
/// struct Echo;
///
/// impl Actor for Echo {
///     fn init(&mut self, cx: &mut ActorCx<'_>) -> Result<(), DmoError> {
///         let count = cx.dmo_alloc(8)?;
///         cx.region_mut().set_root(count)
///     }
///
///     fn exec(&mut self, cx: &mut ActorCx<'_>, message: Packet) {
///         let root = cx.region().root();
///         if let Ok(count) = cx.region_mut().view_mut::<u64>(root) {
///             *count += 1;
///         }
///         cx.reply(message);
///     }
/// }
///
/// fn start(actors: &Actors) -> Result<(), ActorError> {
///     let echo = actors.create(NewActor::new("echo"), || Box::new(Echo))?;
///     actors.register(echo, &[Match::udp(7)])
/// }
/// ```
pub trait Actor: Send {
    /// Called once, before anything else, on the core that the actor begins on: makes its state and sets
    /// its timers.
    ///
    /// # Errors
    ///
    /// The actor is taken out of service.
    fn init(&mut self, cx: &mut ActorCx<'_>) -> Result<(), DmoError> {
        let _ = cx;
        Ok(())
    }

    /// Handles a message. Who sent it, and what it is, is in its [`label`](Packet::label); what the actor does
    /// not send on it has to [drop](ActorCx::drop), or it counts as held, and against the actor's quota.
    fn exec(&mut self, cx: &mut ActorCx<'_>, message: Packet);

    /// A timer that it set has expired; `token` is the one it gave. Timers go with the actor.
    fn on_timer(&mut self, cx: &mut ActorCx<'_>, token: u64) {
        let _ = (cx, token);
    }

    /// Called before it changes sides: writes into objects what else it has to know there. No message comes
    /// in between. To be short; no watchdog looks at it.
    ///
    /// # Errors
    ///
    /// It stays where it is.
    fn on_suspend(&mut self, region: &mut Region) -> Result<(), DmoError> {
        let _ = region;
        Ok(())
    }

    /// Called after it has changed sides, before the first message there; also where it is, if the move was
    /// called off. Of an actor that is copied, `self` is new.
    ///
    /// # Errors
    ///
    /// The actor is taken out of service.
    fn on_resume(&mut self, cx: &mut ActorCx<'_>) -> Result<(), DmoError> {
        let _ = cx;
        Ok(())
    }

    /// Another actor has given it an object, which is in its region now. `kind` is between the two.
    fn on_object(&mut self, cx: &mut ActorCx<'_>, from: ActorId, object: ObjectId, kind: u32) {
        let _ = (cx, from, object, kind);
    }

    /// An object that it gave away has arrived, and is called `new` there; or could not, and is here again
    /// under its old id, with the reason.
    fn on_given(&mut self, cx: &mut ActorCx<'_>, old: ObjectId, new: Result<ObjectId, DmoError>) {
        let _ = (cx, old, new);
    }
}
