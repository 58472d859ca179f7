//! The pairs of memory orderings that make the ring sound, in one place.
//!
//! They are functions so that the model can weaken one at a time and see that it is needed.

use super::sync::Ordering;

/// One of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pair {
    /// The producer stores the first word of a batch, the consumer loads it: it sees all of the
    /// batch.
    Publish,
    /// The consumer stores how much it has consumed, the producer loads it: it has read all of
    /// that. (A machine may not be able to break this one; the language allows it.)
    Credit,
    /// The producer stores the number of a new beginning, the consumer loads it: it sees where that
    /// is.
    Restart,
}

#[cfg(not(sluice_loom))]
mod strength {
    use super::{Ordering, Pair};

    #[inline(always)]
    pub fn of(_: Pair, ordering: Ordering) -> Ordering {
        ordering
    }
}

/// The model runs one execution at a time, so a global says which pair is weakened.
#[cfg(sluice_loom)]
pub(super) mod strength {
    use std::sync::{Mutex, PoisonError};

    use super::{Ordering, Pair};

    pub static WEAKENED: Mutex<Option<Pair>> = Mutex::new(None);

    pub fn of(pair: Pair, ordering: Ordering) -> Ordering {
        let weakened = *WEAKENED.lock().unwrap_or_else(PoisonError::into_inner);
        if weakened == Some(pair) {
            Ordering::Relaxed
        } else {
            ordering
        }
    }
}

/// For the store of the pair.
#[inline(always)]
pub(super) fn release(pair: Pair) -> Ordering {
    strength::of(pair, Ordering::Release)
}

/// For the load of the pair.
#[inline(always)]
pub(super) fn acquire(pair: Pair) -> Ordering {
    strength::of(pair, Ordering::Acquire)
}
