//! `work`: spends processor time on packets, as a stage with such service times would, and fails in
//! the ways a stage can fail. It stands in for a function that is not there yet, shows what a chain does under
//! heavy-tailed work, and what the scheduler and the watchdog make of it.

mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use config::{Fault, FaultKind, WorkConfig, WorkTime};
pub use stage::Work;
