//! Time that stands still until somebody moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock moved by hand. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(Arc<AtomicU64>);

impl VirtualClock {
    /// A clock at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nanoseconds now.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Moves the time forward by `ns`; it stops at `u64::MAX`.
    pub fn advance(&self, ns: u64) {
        // The closure always gives a value, so this cannot fail.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                Some(now.saturating_add(ns))
            });
    }

    /// Moves the time forward to `ns`; does nothing if it is already later.
    pub fn advance_to(&self, ns: u64) {
        self.0.fetch_max(ns, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_only_forward_and_for_all() {
        let clock = VirtualClock::new();
        let other = clock.clone();
        clock.advance(10);
        other.advance_to(7);
        assert_eq!(clock.now(), 10);
        other.advance_to(12);
        assert_eq!(clock.now(), 12);
        clock.advance(u64::MAX);
        assert_eq!(other.now(), u64::MAX);
    }
}
