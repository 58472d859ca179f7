//! From the data path's clock to the time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Translates a clock's nanoseconds to the time of day: an offset, taken once.
///
/// The time of day can be set while the data path's clock only runs; whoever stamps for long takes
/// a new one now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// Unix time in nanoseconds at the clock's zero, modulo 2^64.
    offset: u64,
}

impl WallClock {
    /// The translation under which the clock's reading `ns` is `unix_ns`, nanoseconds since 1970.
    pub fn from_unix_ns(ns: u64, unix_ns: u64) -> Self {
        Self {
            offset: unix_ns.wrapping_sub(ns),
        }
    }

    /// Reads both clocks. The tightest of a few tries counts, as the thread may be interrupted.
    pub(super) fn sample(now: impl Fn() -> u64) -> Self {
        let mut best = (u64::MAX, Self { offset: 0 });
        for _ in 0..16 {
            let before = now();
            // A clock before 1970 is not set at all; what it says does not matter then.
            let unix = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let width = now().saturating_sub(before);
            if width < best.0 {
                let unix = unix.as_nanos() as u64;
                best = (width, Self::from_unix_ns(before + width / 2, unix));
            }
        }
        best.1
    }

    /// Nanoseconds since 1970 at the clock's reading `ns`.
    #[inline]
    pub fn unix_ns(&self, ns: u64) -> u64 {
        self.offset.wrapping_add(ns)
    }

    /// The time of day at the clock's reading `ns`.
    pub fn system_time(&self, ns: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.unix_ns(ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_an_offset() {
        let wall = WallClock::from_unix_ns(500, 1_700_000_000_000_000_000);
        assert_eq!(wall.unix_ns(500), 1_700_000_000_000_000_000);
        assert_eq!(wall.unix_ns(501), 1_700_000_000_000_000_001);
        assert_eq!(
            wall.system_time(1_000_000_500),
            UNIX_EPOCH + Duration::from_secs(1_700_000_001)
        );
        let negative = WallClock::from_unix_ns(500, 100);
        assert_eq!(negative.unix_ns(600), 200);
    }

    #[test]
    fn sampling_survives_a_clock_that_stands_still() {
        assert!(WallClock::sample(|| 7).unix_ns(7) > 1_600_000_000_000_000_000);
    }
}
