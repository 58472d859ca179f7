//! What is to be moved, decided from measured values and time alone.
//!
//! [`Policy::step`] is called by the core that manages, once a control period, with a [`View`] of
//! everything measured. It answers with [`Decision`]s, each with the rule that fired, what was measured
//! and the limit, and changes nothing itself. It reads no clock, takes no chance and keeps only what
//! damping needs, so equal views give equal decisions.
//!
//! iPipe's listings test after every message, move the actor that happens to run, and have no damping:
//! followed to the letter they lose to plain first come, first served by factors. Here the victim is
//! the actor whose *service* time is most dispersed, it must stand out from the others, and after
//! each move nothing is judged until enough new messages have been seen.

mod cooldown;
mod decision;
mod groups;
mod overload;
mod settings;
mod side;
mod step;
#[cfg(test)]
mod tests;
mod view;

pub use self::decision::{Action, Decision, Rule};
pub use self::settings::{Helping, Settings, Thresholds};
pub use self::step::Policy;
pub use self::view::{ActorView, GroupView, Pin, Place, PortView, View, WorkerView};
