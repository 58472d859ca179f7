//! Time that stands still until somebody moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::WallClock;

/// A clock moved by hand. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(Arc<Both>);

#[derive(Debug, Default)]
struct Both {
    now: AtomicU64,
    /// The time of day when `now` was zero, nanoseconds since 1970, modulo 2^64.
    day: AtomicU64,
}

impl VirtualClock {
    /// A clock at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nanoseconds now.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        self.0.now.load(Ordering::Acquire)
    }

    /// Moves the time forward by `ns`; it stops at `u64::MAX`.
    pub fn advance(&self, ns: u64) {
        // The closure always gives a value, so this cannot fail.
        let _ = self
            .0
            .now
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                Some(now.saturating_add(ns))
            });
    }

    /// Moves the time forward to `ns`; does nothing if it is already later.
    pub fn advance_to(&self, ns: u64) {
        self.0.now.fetch_max(ns, Ordering::AcqRel);
    }

    /// Moves the time of day by `ns`, in either direction; [`now`](Self::now) stays as it is.
    pub fn step_wall(&self, ns: i64) {
        self.0.day.fetch_add(ns.cast_unsigned(), Ordering::AcqRel);
    }

    /// How readings translate to the time of day. The zero is 1970, and what
    /// [`step_wall`](Self::step_wall) has moved it by.
    pub fn wall_clock(&self) -> WallClock {
        WallClock::from_unix_ns(0, self.0.day.load(Ordering::Acquire))
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

    #[test]
    fn the_time_of_day_steps_alone() {
        let clock = VirtualClock::new();
        clock.advance(1_000);
        clock.step_wall(500);
        clock.step_wall(-200);
        assert_eq!(clock.now(), 1_000);
        assert_eq!(clock.wall_clock().unix_ns(clock.now()), 1_300);
    }
}
