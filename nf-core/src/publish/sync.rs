//! The synchronisation this module is built on: the standard one, or the model checker's.

#[cfg(not(sluice_loom))]
pub(super) use std::sync::{
    Arc, Mutex,
    atomic::{AtomicPtr, AtomicU64, Ordering, fence},
};

#[cfg(sluice_loom)]
pub(super) use loom::sync::{
    Arc, Mutex,
    atomic::{AtomicPtr, AtomicU64, Ordering, fence},
};
