//! The scheduler of actors in virtual time: what it decides and does, as it is, on cores that are events.
//!
//! Packet cores, workers, policy and runtime are those of the appliance (`nf_core::sched`). Simulated are what
//! comes in, how long a message takes, and time. Nothing costs anything but executing: no dispatch, no
//! cache, no lock; so differences between disciplines are theirs alone.

pub mod discipline;
pub mod explore;
pub mod item;
mod naive;
pub mod outcome;
pub mod story;
pub mod trial;
pub mod workload;

pub use discipline::Discipline;
pub use outcome::{Outcome, Samples};
pub use story::{Phase, Story, Stream, Told};
pub use trial::Trial;
pub use workload::{Class, Mapping, Service, Workload};
