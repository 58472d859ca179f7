//! How long packets have waited in a receive ring before they were taken.
//!
//! A time stamp taken at the receive burst says nothing of the time before: while a core is inside a handler,
//! packets pile up in the ring, and all of that would be invisible to whoever looks for overload. Drivers
//! that stamp packets are rare, so it is estimated: what has come since the ring was last seen empty has come evenly.
//! Of a full burst it is not known how much is left behind it; as much again is taken for granted, so that
//! the estimate is rather too low.

/// The estimate for one receive queue.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RingWait {
    /// When the ring was last seen empty, nanoseconds.
    empty_ns: u64,
    /// Packets taken since.
    taken: u64,
}

impl RingWait {
    /// At `now` a poll for up to `burst` packets brought `received`. Returns how long these have waited on
    /// average, nanoseconds.
    #[inline]
    pub fn polled(&mut self, now: u64, received: usize, burst: usize) -> u64 {
        let full = received == burst;
        let (count, left) = (received as u64, if full { received as u64 } else { 0 });
        let all = self.taken + count + left;
        // Those after the middle of this burst have come while it waited.
        let later = all - self.taken - count / 2;
        let since = now.saturating_sub(self.empty_ns);
        if full {
            self.taken += count;
        } else {
            self.empty(now);
        }
        since * later / all.max(1)
    }

    /// The ring is empty.
    #[inline]
    pub fn empty(&mut self, now: u64) {
        self.empty_ns = now;
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ip11_packets_that_came_while_the_core_was_busy_have_waited() {
        let mut ring = RingWait::default();
        ring.empty(1_000);
        // A handler of 100 µs; meanwhile 8 packets have come.
        assert_eq!(ring.polled(101_000, 8, 32), 50_000);
        // The next poll comes at once.
        assert_eq!(ring.polled(101_100, 1, 32), 100);
    }

    #[test]
    fn ip11_behind_full_bursts_the_wait_grows() {
        let mut ring = RingWait::default();
        ring.empty(0);
        // Each burst takes 70 µs for each of its packets, and more come than are handled.
        let burst_ns = 32 * 70_000;
        let waits: Vec<u64> = (1..10).map(|n| ring.polled(n * burst_ns, 32, 32)).collect();
        assert!(waits.iter().all(|wait| *wait >= burst_ns / 2), "{waits:?}");
        ring.empty(20 * burst_ns);
        assert_eq!(ring.polled(20 * burst_ns, 32, 32), 0);
    }

    #[test]
    fn nothing_received_has_waited_for_nothing() {
        let mut ring = RingWait::default();
        assert_eq!(ring.polled(5, 0, 32), 0);
    }
}
