//! RPC workloads on real networks: clients of every scheme, emulated servers, LÆDGE's coordinator.
//!
//! What they do is in the crate `workload`; here their flags are read, their datagrams carried, and their
//! results told.

pub mod commands;
mod coordinate;
#[cfg(test)]
mod documented;
pub mod plan;
pub mod read;
mod run;
mod serve;
mod sweep;

pub use coordinate::coordinate;
pub use run::Live;
pub use serve::{ServeResult, serve};
pub use sweep::{Runner, sweep};
