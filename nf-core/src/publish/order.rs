//! The three pairs of memory orderings that make publishing sound, in one place.
//!
//! They are functions so that the model can weaken one at a time and see that it is needed.

use super::sync::Ordering;

/// One of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pair {
    /// The publisher stores the pointer to a new version, a reader loads it: the reader sees the
    /// version's contents.
    Publish,
    /// A reader stores the number of the version it is at, the publisher loads it: the reader is
    /// done with older ones when they are freed.
    Pass,
    /// The publisher counts the hub's generation up after storing the pointer, a core sees the
    /// new generation before it loads the pointer: no change is overlooked.
    Announce,
}

#[cfg(not(sluice_loom))]
mod strength {
    use super::{Ordering, Pair};

    #[inline(always)]
    pub fn of(_: Pair, ordering: Ordering) -> Ordering {
        ordering
    }

    #[inline(always)]
    pub fn has_fence(_: Pair) -> bool {
        true
    }
}

/// The model runs one execution at a time, so a global says which pair is weakened.
#[cfg(sluice_loom)]
pub(super) mod strength {
    use std::sync::Mutex;

    use super::{Ordering, Pair};

    pub static WEAKENED: Mutex<Option<Pair>> = Mutex::new(None);

    fn weakened(pair: Pair) -> bool {
        *WEAKENED
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            == Some(pair)
    }

    pub fn of(pair: Pair, ordering: Ordering) -> Ordering {
        if weakened(pair) {
            Ordering::Relaxed
        } else {
            ordering
        }
    }

    pub fn has_fence(pair: Pair) -> bool {
        !weakened(pair)
    }
}

/// For the store or the addition of the pair.
#[inline(always)]
pub(super) fn release(pair: Pair) -> Ordering {
    strength::of(pair, Ordering::Release)
}

/// For the load of the pair.
#[inline(always)]
pub(super) fn acquire(pair: Pair) -> Ordering {
    strength::of(pair, Ordering::Acquire)
}

/// Makes the relaxed load before it one that acquires.
#[inline(always)]
pub(super) fn acquire_fence(pair: Pair) {
    if strength::has_fence(pair) {
        super::sync::fence(Ordering::Acquire);
    }
}
