//! So many packets a second, over all cores: a token bucket as one word.

use std::sync::atomic::{AtomicU64, Ordering};

/// Units of a nanosecond.
const SCALE: u32 = 8;

/// A token bucket in the form of the generic cell rate algorithm (ITU-T I.371): what is stored is
/// the time at which the bucket will be full again. Shared by the cores, without a lock; a packet
/// that is refused costs a load.
#[derive(Debug)]
pub(super) struct Limiter {
    start: u64,
    full_at: AtomicU64,
    /// Time a packet takes, 1/256 ns.
    interval: u64,
    /// Time a full bucket is worth.
    depth: u64,
}

impl Limiter {
    /// `per_second` packets a second, a tenth of it (but at least one) at once, from the clock's
    /// reading `now` on.
    pub fn new(per_second: u32, now: u64) -> Limiter {
        let interval = (1_000_000_000u64 << SCALE) / u64::from(per_second.max(1));
        Limiter {
            start: now,
            full_at: AtomicU64::new(0),
            interval,
            depth: interval * u64::from((per_second / 10).max(1)),
        }
    }

    /// Whether one more packet may be taken at `now`, nanoseconds.
    #[inline]
    pub fn take(&self, now: u64) -> bool {
        let now = now.saturating_sub(self.start).saturating_mul(1 << SCALE);
        self.full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                let next = full_at.max(now).saturating_add(self.interval);
                (next - now <= self.depth).then_some(next)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_at_once_and_then_the_rate() {
        let limiter = Limiter::new(1000, 5);
        let at_once = (0..500).filter(|_| limiter.take(5)).count();
        assert_eq!(at_once, 100);
        // Offered at ten times the rate for ten seconds.
        let taken = (1..=100_000u64)
            .filter(|n| limiter.take(5 + n * 100_000))
            .count();
        assert!((10_000 - 1..=10_000 + 1).contains(&taken), "{taken}");
    }

    #[test]
    fn slow_and_fast() {
        let slow = Limiter::new(1, 0);
        let taken = (0..100u64).filter(|n| slow.take(n * 100_000_000)).count();
        assert_eq!(taken, 10);
        let fast = Limiter::new(3_000_000, 0);
        let taken = (0..10_000_000u64).filter(|n| fast.take(n * 100)).count();
        assert!(
            (3_300_000 - 30..=3_300_000 + 30).contains(&taken),
            "{taken}"
        );
    }

    #[test]
    fn cores_share_it() {
        let limiter = Limiter::new(10_000, 0);
        let taken: usize = std::thread::scope(|scope| {
            let count = || (0..20_000).filter(|_| limiter.take(0)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(taken, 1000);
    }
}
