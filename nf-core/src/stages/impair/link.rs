//! A link of limited rate: a token bucket that packets wait for in order.

use std::collections::VecDeque;

use super::config::Rate;

/// What is to be done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It leaves the link at that time, nanoseconds.
    Departs(u64),
    /// As many wait as may.
    Full,
}

/// The link of one direction. As packets leave in order, each one's departure is known when it
/// arrives.
#[derive(Debug)]
pub(super) struct Link {
    /// Bytes that could have passed at `at`.
    tokens: f64,
    /// When the last packet departed, or is going to, nanoseconds; `None` before the first.
    at: Option<u64>,
    /// Departures still to come.
    waiting: VecDeque<u64>,
}

impl Link {
    /// An idle link with room for `most` waiting packets.
    pub fn new(most: usize) -> Link {
        Link {
            tokens: 0.0,
            at: None,
            waiting: VecDeque::with_capacity(most),
        }
    }

    /// A packet of `bytes` arrives.
    #[inline]
    pub fn arrive(&mut self, rate: &Rate, now: u64, bytes: usize) -> Admission {
        while self.waiting.front().is_some_and(|at| *at <= now) {
            self.waiting.pop_front();
        }
        let most = (rate.queue_packets as usize).min(self.waiting.capacity());
        let bytes_per_ns = rate.bits_per_second as f64 / 8e9;
        let burst = f64::from(rate.burst_bytes);
        let (start, tokens) = match self.at {
            None => (now, burst),
            Some(last) => {
                let start = now.max(last);
                let more = (start - last) as f64 * bytes_per_ns;
                (start, (self.tokens + more).min(burst))
            }
        };
        let bytes = bytes as f64;
        let (departs, left) = if tokens >= bytes {
            (start, tokens - bytes)
        } else {
            let wait = ((bytes - tokens) / bytes_per_ns).ceil();
            // The bit of a nanosecond too many is kept, so that it does not add up.
            let left = tokens + wait * bytes_per_ns - bytes;
            (start.saturating_add(wait as u64), left)
        };
        if departs > now {
            if self.waiting.len() >= most {
                return Admission::Full;
            }
            self.waiting.push_back(departs);
        }
        self.at = Some(departs);
        self.tokens = left;
        Admission::Departs(departs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(bits_per_second: u64, burst_bytes: u32, queue_packets: u32) -> Rate {
        Rate {
            bits_per_second,
            burst_bytes,
            queue_packets,
        }
    }

    #[test]
    fn a_burst_passes_and_the_rest_waits_for_its_turn() {
        // A byte a microsecond.
        let rate = rate(8_000_000, 1000, 10);
        let mut link = Link::new(100);
        assert_eq!(link.arrive(&rate, 5, 600), Admission::Departs(5));
        assert_eq!(link.arrive(&rate, 5, 400), Admission::Departs(5));
        assert_eq!(link.arrive(&rate, 5, 100), Admission::Departs(100_005));
        assert_eq!(link.arrive(&rate, 5, 100), Admission::Departs(200_005));
        // Larger than the bucket.
        assert_eq!(link.arrive(&rate, 5, 9000), Admission::Departs(9_200_005));
        // Idle long enough for a full bucket.
        let later = 11_000_000;
        assert_eq!(link.arrive(&rate, later, 1000), Admission::Departs(later));
        assert_eq!(
            link.arrive(&rate, later, 1),
            Admission::Departs(later + 1000)
        );
    }

    #[test]
    fn the_queue_is_as_long_as_it_says() {
        let rate = rate(8_000_000, 0, 3);
        let mut link = Link::new(100);
        for n in 1..=3 {
            assert_eq!(link.arrive(&rate, 0, 100), Admission::Departs(n * 100_000));
        }
        assert_eq!(link.arrive(&rate, 0, 100), Admission::Full);
        assert_eq!(link.arrive(&rate, 99_999, 100), Admission::Full);
        assert_eq!(
            link.arrive(&rate, 100_000, 100),
            Admission::Departs(400_000)
        );
    }

    #[test]
    fn the_rate_is_exact_in_the_long_run() {
        for bits in [1_000_000u64, 3_333_333, 9_999_999_937] {
            let rate = rate(bits, 1514, 1000);
            let mut link = Link::new(1000);
            let (mut now, mut bytes, mut last) = (0, 0usize, 0);
            // Offered at twice the rate.
            for n in 0..100_000usize {
                let len = 64 + n % 1400;
                if let Admission::Departs(at) = link.arrive(&rate, now, len) {
                    bytes += len;
                    last = at;
                }
                now += (len as f64 * 4e9 / bits as f64) as u64;
            }
            let seen = (bytes - 1514) as f64 * 8e9 / last as f64;
            let error = seen / bits as f64 - 1.0;
            assert!(error.abs() < 1e-4, "{bits} bit/s: off by {error}");
        }
    }
}
