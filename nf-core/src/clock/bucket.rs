//! A token bucket: how many messages a second a core may send.

const SECOND_NS: u64 = 1_000_000_000;

/// Tokens of one core; a tenth of a second's worth may be saved up, and at least one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    /// Tokens, in units of a billionth.
    level: u64,
    at: u64,
}

impl Bucket {
    /// A full bucket.
    pub fn new() -> Bucket {
        Bucket {
            level: u64::MAX,
            at: 0,
        }
    }

    fn refill(&mut self, now: u64, per_second: u32) {
        let rate = u64::from(per_second);
        let passed = now.saturating_sub(self.at).min(SECOND_NS);
        let most = (rate * SECOND_NS / 10).max(if rate > 0 { SECOND_NS } else { 0 });
        self.level = self.level.saturating_add(passed * rate).min(most);
        self.at = now;
    }

    /// Whether there is a token.
    #[inline]
    pub fn has(&mut self, now: u64, per_second: u32) -> bool {
        self.refill(now, per_second);
        self.level >= SECOND_NS
    }

    /// Takes a token; false if there is none.
    #[inline]
    pub fn take(&mut self, now: u64, per_second: u32) -> bool {
        let has = self.has(now, per_second);
        if has {
            self.level -= SECOND_NS;
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_after_a_small_burst() {
        let mut bucket = Bucket::new();
        let taken = |bucket: &mut Bucket, now| (0..1000).filter(|_| bucket.take(now, 100)).count();
        assert_eq!(taken(&mut bucket, 0), 10);
        assert_eq!(taken(&mut bucket, SECOND_NS / 100), 1);
        assert_eq!(taken(&mut bucket, 10 * SECOND_NS), 10);
        let sum: usize = (1..=1000)
            .map(|ms| taken(&mut bucket, 10 * SECOND_NS + ms * 1_000_000))
            .sum();
        assert_eq!(sum, 100);
        assert!(!Bucket::new().take(0, 0), "none is none");
        assert!(Bucket::new().take(0, 1));
    }
}
