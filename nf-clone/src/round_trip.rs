//! How long pings take, and so how long one waits for its answer.

use crate::health::STEP_NS;

/// So many pings may be under way.
pub(crate) const UNDER_WAY: u64 = 64;

/// How long a ping waits for its answer at least, as long as no answer has ever come, nanoseconds.
const FIRST_WAIT_NS: u64 = 25_000_000;

/// How long it waits at most, but for a longer interval.
const MAX_WAIT_NS: u64 = 1_000_000_000;

/// When the last [`UNDER_WAY`] pings were sent, by their numbers.
#[derive(Debug, Clone)]
pub(crate) struct SentAt([u64; UNDER_WAY as usize]);

impl Default for SentAt {
    fn default() -> SentAt {
        SentAt([0; UNDER_WAY as usize])
    }
}

impl SentAt {
    /// When that one was sent, nanoseconds.
    pub(crate) fn get(&self, number: u64) -> u64 {
        self.0[(number % UNDER_WAY) as usize]
    }

    /// It is sent at that time.
    pub(crate) fn set(&mut self, number: u64, at: u64) {
        self.0[(number % UNDER_WAY) as usize] = at;
    }
}

/// The round trip of pings, smoothed, and how far it strays, nanoseconds (RFC 6298, section 2).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RoundTrip(Option<(u64, u64)>);

impl RoundTrip {
    /// One has taken so long, nanoseconds.
    pub(crate) fn learn(&mut self, took: u64) {
        self.0 = Some(match self.0 {
            None => (took, took / 2),
            Some((smooth, strays)) => (
                smooth - smooth / 8 + took / 8,
                strays - strays / 4 + smooth.abs_diff(took) / 4,
            ),
        });
    }

    /// How long a ping waits for its answer when one is sent every `interval`, nanoseconds.
    pub(crate) fn wait(self, interval: u64) -> u64 {
        let needed = match self.0 {
            None => FIRST_WAIT_NS,
            // Answers are seen once a step.
            Some((smooth, strays)) => smooth.saturating_add(strays.saturating_mul(4)) + STEP_NS,
        };
        needed.min(MAX_WAIT_NS).max(interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn f22_the_wait_follows_the_round_trip() {
        let mut trip = RoundTrip::default();
        assert_eq!(trip.wait(10 * MS), FIRST_WAIT_NS);
        assert_eq!(trip.wait(100 * MS), 100 * MS);
        trip.learn(8 * MS);
        // RFC 6298, 2.2: the deviation is half of the first one.
        assert_eq!(trip.wait(MS), (8 + 4 * 4) * MS + STEP_NS);
        (0..100).for_each(|_| trip.learn(8 * MS));
        assert!(trip.wait(MS) < 10 * MS, "{trip:?}");
        trip.learn(u64::MAX / 16);
        assert_eq!(trip.wait(MS), MAX_WAIT_NS);
        assert_eq!(trip.wait(2 * MAX_WAIT_NS), 2 * MAX_WAIT_NS);
    }
}
