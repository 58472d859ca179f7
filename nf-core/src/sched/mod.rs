//! The scheduler: which actor runs where, after iPipe.
//!
//! An *actor* is the unit that is run, measured and moved; every shard of a stage is one. Actors
//! run first come, first served on the packet cores as long as their service times are alike.
//! One whose service times would spoil the tail of the others is put under deficit round robin
//! ([`drr`]); one that the packet cores cannot carry is moved to a worker core. Who is moved when is
//! decided in [`policy`] from nothing but measured values ([`stats`]) and time, so that a test and
//! the simulator decide as the appliance does.
//!
//! After Liu et al., "Offloading distributed applications onto SmartNICs using iPipe" (SIGCOMM
//! 2019), section 3; where it is silent or its listings are incomplete, the modules say what is done.

mod actor;
pub mod channel;
pub mod dmo;
pub mod drr;
mod lanes;
pub mod policy;
pub mod runtime;
mod shuffle;
pub mod stats;
mod sync;
mod turn;
pub mod virtual_cores;

pub use self::actor::{
    ActorId, ActorSpec, Failure, Hitch, Loss, Message, Neighbours, Status, Work,
};
