//! What a publisher and its readers share.
//!
//! Versions are numbered from 0. A reader's slot holds the number of the version its pointer may
//! be at, or [`GONE`]. The one rule: **a version is freed only when every slot holds a higher
//! number.** A reader at number *k* that is about to load the pointer to the newest version can
//! only get one of *k* or above, since the pointer never goes back; none of those is freed before
//! the reader has stored a number above it. So no step of a reader needs to be undone or
//! repeated, and none needs a stronger ordering than release and acquire.

use std::collections::VecDeque;
use std::sync::PoisonError;

use crossbeam_utils::CachePadded;

use super::hub::Reclaim;
use super::order::{Pair, acquire, release};
use super::sync::{Arc, AtomicPtr, AtomicU64, Mutex, Ordering};

/// In a slot: the reader does not exist any more.
const GONE: u64 = u64::MAX;

pub(super) struct Version<T> {
    pub number: u64,
    pub value: T,
}

/// Where a reader says what it is at, on cache lines of its own: written by the reader alone.
pub(super) struct Slot(CachePadded<AtomicU64>);

impl Slot {
    /// The reader is at this version from now on and has let go of all before.
    #[inline]
    pub fn pass(&self, number: u64) {
        self.0.store(number, release(Pair::Pass));
    }

    /// The reader has let go of all versions for good.
    pub fn leave(&self) {
        self.pass(GONE);
    }

    fn number(&self) -> u64 {
        self.0.load(acquire(Pair::Pass))
    }
}

/// What only the control side touches.
struct Ledger<T> {
    slots: Vec<Arc<Slot>>,
    /// Replaced versions, oldest first: number and pointer. Not boxes: readers still look at
    /// them, and a box claims to be the only way to what it owns.
    replaced: VecDeque<(u64, *mut Version<T>)>,
    /// Number of the newest version.
    newest: u64,
    /// The publisher is gone: no further reader and no further version.
    closed: bool,
}

pub(super) struct Shared<T> {
    /// The newest version, from `Box::into_raw`; null once it is freed after closing.
    current: CachePadded<AtomicPtr<Version<T>>>,
    ledger: Mutex<Ledger<T>>,
}

// SAFETY: the pointer stands for an owned box. Readers on other threads get `&T` (Sync), and the
// value may be dropped on another thread than the one it came from (Send).
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above; all else is behind the mutex.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(value: T) -> Self {
        let first = Box::into_raw(Box::new(Version { number: 0, value }));
        Self {
            current: CachePadded::new(AtomicPtr::new(first)),
            ledger: Mutex::new(Ledger {
                slots: Vec::new(),
                replaced: VecDeque::new(),
                newest: 0,
                closed: false,
            }),
        }
    }

    /// The newest version; null only after closing, when no slot is in use.
    #[inline]
    pub fn current(&self) -> *const Version<T> {
        self.current.load(acquire(Pair::Publish))
    }

    /// A slot for a new reader and the version it is at, which is not freed before the slot says
    /// so.
    pub fn register(&self) -> (Arc<Slot>, *const Version<T>) {
        self.with(|ledger| {
            // Under the lock nobody publishes, so the number is the pointer's.
            let slot = Arc::new(Slot(CachePadded::new(AtomicU64::new(ledger.newest))));
            ledger.slots.push(Arc::clone(&slot));
            (slot, self.current())
        })
    }

    /// Makes `value` the newest version; returns its number.
    pub fn publish(&self, value: T) -> u64 {
        let mut version = Box::new(Version { number: 0, value });
        self.with(|ledger| {
            ledger.newest += 1;
            version.number = ledger.newest;
            let old = self
                .current
                .swap(Box::into_raw(version), release(Pair::Publish));
            ledger.replaced.push_back((ledger.newest - 1, old));
            ledger.newest
        })
    }

    /// No reader and no version comes any more.
    pub fn close(&self) {
        self.with(|ledger| ledger.closed = true);
    }

    /// Number of the newest version, and how many readers are not there yet.
    pub fn lagging(&self, number: u64) -> usize {
        self.with(|ledger| {
            ledger
                .slots
                .iter()
                .filter(|slot| slot.number() < number)
                .count()
        })
    }

    pub fn newest(&self) -> u64 {
        self.with(|ledger| ledger.newest)
    }

    /// Lends the newest value out. Nothing is published or freed meanwhile.
    pub fn with_newest<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|_| {
            // SAFETY: called by the publisher, so it is not closed and the pointer not null. The
            // newest version is replaced only under the lock, which is held.
            f(unsafe { &(*self.current()).value })
        })
    }

    fn with<R>(&self, f: impl FnOnce(&mut Ledger<T>) -> R) -> R {
        f(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes out what no reader can be at any more, to be dropped without the lock held.
    fn take_free(&self) -> (Vec<Box<Version<T>>>, bool) {
        self.with(|ledger| {
            let mut oldest = GONE;
            ledger.slots.retain(|slot| {
                let number = slot.number();
                oldest = oldest.min(number);
                number != GONE
            });
            let passed = ledger
                .replaced
                .partition_point(|(number, _)| *number < oldest);
            let mut free: Vec<_> = ledger
                .replaced
                .drain(..passed)
                // SAFETY: it came from `Box::into_raw` and is only here. No reader is at it, by
                // the rule above, and none can come to it: it is not the newest.
                .map(|(_, version)| unsafe { Box::from_raw(version) })
                .collect();
            if ledger.closed && ledger.slots.is_empty() {
                let last = self.current.swap(std::ptr::null_mut(), Ordering::Relaxed);
                if !last.is_null() {
                    // SAFETY: it came from `Box::into_raw`, no reader is left, and none can be
                    // registered after closing.
                    free.push(unsafe { Box::from_raw(last) });
                }
                return (free, false);
            }
            (free, true)
        })
    }
}

impl<T: Send + Sync> Reclaim for Arc<Shared<T>> {
    fn reclaim(&self) -> bool {
        let (free, more) = self.take_free();
        drop(free);
        more
    }

    fn pending(&self) -> usize {
        self.with(|ledger| ledger.replaced.len())
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Something is left only if publisher and hub went before the last reader did.
        let last = self.current.swap(std::ptr::null_mut(), Ordering::Relaxed);
        let replaced = self.with(|ledger| std::mem::take(&mut ledger.replaced));
        for version in replaced
            .into_iter()
            .map(|(_, version)| version)
            .chain([last])
        {
            if !version.is_null() {
                // SAFETY: it came from `Box::into_raw`, and nobody else is left.
                drop(unsafe { Box::from_raw(version) });
            }
        }
    }
}
