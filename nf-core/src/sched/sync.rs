//! The atomics this module is built on: the standard ones, or the model checker's.

#[cfg(not(sluice_loom))]
pub(super) use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(sluice_loom)]
pub(super) use loom::sync::atomic::{AtomicU32, Ordering};
