//! The synchronisation this module is built on: the standard one, or the model checker's.

#[cfg(not(sluice_loom))]
pub(super) use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

#[cfg(sluice_loom)]
pub(super) use loom::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
