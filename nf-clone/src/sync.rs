//! The atomics that cores share: the standard ones, or the model checker's.

#[cfg(not(sluice_loom))]
pub(super) use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(sluice_loom)]
pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
