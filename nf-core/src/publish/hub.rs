//! One word that says whether anything was published, and the place where old versions end.

use std::fmt;
use std::sync::PoisonError;

use crossbeam_utils::CachePadded;

use super::order::{Pair, acquire_fence, release};
use super::sync::{Arc, AtomicU64, Mutex, Ordering};

/// What the hub knows of a publisher, whatever it publishes.
pub(super) trait Reclaim: Send {
    /// Frees what can be freed; false when nothing is left to free, now or later.
    fn reclaim(&self) -> bool;

    /// Versions replaced and not freed yet.
    fn pending(&self) -> usize;
}

struct Inner {
    // Read by every core in every turn of its loop, written when something is published.
    generation: CachePadded<AtomicU64>,
    publishers: Mutex<Vec<Box<dyn Reclaim>>>,
}

/// What the publishers of an appliance have in common. A handle: clones are the same hub.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

impl Hub {
    /// A hub without publishers.
    #[expect(
        clippy::new_without_default,
        reason = "two of them by accident would be a mistake"
    )]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            generation: CachePadded::new(AtomicU64::new(0)),
            publishers: Mutex::new(Vec::new()),
        }))
    }

    /// A core's view of the hub. Its first [`Watch::changed`] is true if anything is published
    /// after this call, and may be true otherwise.
    pub fn watch(&self) -> Watch {
        let seen = self.0.generation.load(Ordering::Relaxed);
        Watch {
            hub: self.clone(),
            seen,
        }
    }

    /// Frees every replaced version that no reader can see any more, of all publishers, also of
    /// those that are gone. For the control thread's tick.
    pub fn reclaim(&self) {
        // Taken out, so that a value whose drop publishes something does not find the lock held.
        let mut publishers = std::mem::take(&mut *self.lock());
        publishers.retain(|publisher| publisher.reclaim());
        self.lock().append(&mut publishers);
    }

    /// Versions replaced and not freed yet, of all publishers.
    pub fn pending(&self) -> usize {
        self.lock()
            .iter()
            .map(|publisher| publisher.pending())
            .sum()
    }

    pub(super) fn add(&self, publisher: Box<dyn Reclaim>) {
        self.lock().push(publisher);
    }

    /// Tells the cores that there is something to take over.
    pub(crate) fn announce(&self) {
        self.0.generation.fetch_add(1, release(Pair::Announce));
    }

    #[cfg(not(sluice_loom))]
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Reclaim>>> {
        self.0
            .publishers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(sluice_loom)]
    fn lock(&self) -> loom::sync::MutexGuard<'_, Vec<Box<dyn Reclaim>>> {
        self.0
            .publishers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

/// What a core's loop asks whether to refresh its readers.
#[derive(Debug)]
pub struct Watch {
    hub: Hub,
    seen: u64,
}

impl Watch {
    /// Whether anything was published since the last call: one relaxed load. If so, readers that
    /// are refreshed after this call take over all of it.
    #[inline(always)]
    pub fn changed(&mut self) -> bool {
        let now = self.hub.0.generation.load(Ordering::Relaxed);
        if now == self.seen {
            return false;
        }
        acquire_fence(Pair::Announce);
        self.seen = now;
        true
    }
}
