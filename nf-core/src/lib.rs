//! The framework of Sluice: ports, packets, headers, stages, chains and their control side.
//!
//! The modules stand on each other in this order; a module may use those above it in the list,
//! never those below.

pub mod console;

pub mod wire;

pub mod dpdk;

pub mod packet;

pub mod filter;

pub mod clock;

pub mod publish;

pub mod telemetry;

pub mod check;

pub mod sched;

pub mod chain;

pub mod stages;

pub mod control;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
