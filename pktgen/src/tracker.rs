//! What became of each flow's packets: loss, duplication, reordering, jitter.
//!
//! Memory is bounded: per flow a few numbers and a bitmap of the last `window` sequence numbers.
//!
//! - *Lost*: sent, and no copy received by the end of the run, or only one later than the window.
//! - *Duplicate*: a further copy of a packet already received (RFC 5560).
//! - *Reordered*: a packet that arrives after one with a greater sequence number, first copies only
//!   (RFC 4737 section 3, Type-P-Reordered). Its *lag* is how far behind the greatest it was, in
//!   sequence numbers.
//! - *Too late*: a packet older than the window. Whether it is a duplicate can no longer be known, so it is
//!   counted apart, neither as received nor as a duplicate.
//! - *Jitter*: the smoothed interarrival jitter of RFC 3550, section 6.4.1, in the integer form of
//!   its appendix A.8, over the flow's packets in the order of arrival.

/// What one packet turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The first copy, in order; gaps before it may still fill.
    InOrder,
    /// The first copy, after one with a greater sequence number.
    Reordered,
    /// A copy of a packet already received.
    Duplicate,
    /// Older than the window.
    TooLate,
    /// No such flow.
    Unknown,
}

impl Arrival {
    /// Whether this was the first copy of a packet.
    #[inline]
    pub fn is_new(self) -> bool {
        matches!(self, Arrival::InOrder | Arrival::Reordered)
    }
}

/// The state of one flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flow {
    /// One above the greatest sequence number seen, not wrapped to 32 bits (`NextExp` in RFC 4737).
    pub next: u64,
    /// Packets received, each counted once.
    pub received: u64,
    /// Further copies.
    pub duplicates: u32,
    /// Packets that came after one with a greater sequence number.
    pub reordered: u32,
    /// Packets older than the window.
    pub too_late: u32,
    /// Greatest lag of a reordered packet, in sequence numbers.
    pub greatest_lag: u32,
    /// Sixteen times the jitter in nanoseconds.
    jitter16: u64,
    last_transit: i64,
}

impl Flow {
    /// RFC 3550 jitter in nanoseconds.
    pub fn jitter_ns(&self) -> u64 {
        self.jitter16 >> 4
    }

    fn transit(&mut self, transit: i64) {
        if self.received > 1 {
            let difference = transit.wrapping_sub(self.last_transit).unsigned_abs();
            self.jitter16 = self
                .jitter16
                .saturating_add(difference)
                .saturating_sub((self.jitter16.saturating_add(8)) >> 4);
        }
        self.last_transit = transit;
    }
}

/// Follows a number of flows.
#[derive(Debug)]
pub struct Tracker {
    flows: Vec<Flow>,
    bits: Vec<u64>,
    /// 64-bit words of bitmap per flow; a power of two.
    words: usize,
}

/// Bits that all flows' windows together may use: 32 MiB.
const WINDOW_BUDGET_BITS: u64 = 1 << 28;

/// Sequence numbers that a window of `flows` flows covers: from 64 for a million flows to 65 536.
pub fn window_for(flows: u32) -> u64 {
    let share = WINDOW_BUDGET_BITS / u64::from(flows.max(1));
    let power = if share == 0 {
        0
    } else {
        63 - share.leading_zeros()
    };
    (1u64 << power).clamp(64, 65_536)
}

impl Tracker {
    /// A tracker of flows `0..flows`, with a window that fits their number.
    pub fn new(flows: u32) -> Tracker {
        Tracker::with_window(flows, window_for(flows))
    }

    /// A tracker whose window is at least `window` sequence numbers, rounded up to a power of two.
    pub fn with_window(flows: u32, window: u64) -> Tracker {
        let words = (window.max(64).next_power_of_two() / 64) as usize;
        Tracker {
            flows: vec![Flow::default(); flows as usize],
            bits: vec![0; words * flows as usize],
            words,
        }
    }

    /// How many sequence numbers the window covers.
    pub fn window(&self) -> u64 {
        self.words as u64 * 64
    }

    /// The flows' state.
    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }

    /// Takes note of a packet of `flow` with `sequence`; `transit_ns` is its arrival less its intended send
    /// time.
    #[inline]
    pub fn record(&mut self, flow: u32, sequence: u32, transit_ns: i64) -> Arrival {
        let start = flow as usize * self.words;
        let (Some(state), Some(bits)) = (
            self.flows.get_mut(flow as usize),
            self.bits.get_mut(start..start + self.words),
        ) else {
            return Arrival::Unknown;
        };
        let window = self.words as u64 * 64;
        // Distance on the 32-bit circle; a window is far smaller than half of it.
        let ahead = sequence.wrapping_sub(state.next as u32) as i32;
        let arrival = if ahead >= 0 {
            let position = state.next + ahead as u64;
            clear(bits, state.next, ahead as u64 + 1);
            set(bits, position);
            state.next = position + 1;
            Arrival::InOrder
        } else {
            let behind = u64::from(ahead.unsigned_abs());
            if behind > window || behind > state.next {
                state.too_late = state.too_late.saturating_add(1);
                return Arrival::TooLate;
            }
            if set(bits, state.next - behind) {
                state.duplicates = state.duplicates.saturating_add(1);
                return Arrival::Duplicate;
            }
            state.reordered = state.reordered.saturating_add(1);
            // The greatest seen is `next - 1`.
            state.greatest_lag = state.greatest_lag.max((behind - 1) as u32);
            Arrival::Reordered
        };
        state.received += 1;
        state.transit(transit_ns);
        arrival
    }
}

/// Sets the bit of `position`; says whether it was set.
#[inline]
fn set(bits: &mut [u64], position: u64) -> bool {
    let index = (position / 64) as usize & (bits.len() - 1);
    let mask = 1 << (position % 64);
    let Some(word) = bits.get_mut(index) else {
        return false;
    };
    let was = *word & mask != 0;
    *word |= mask;
    was
}

/// Clears the bits of `count` positions from `from` on.
#[inline]
fn clear(bits: &mut [u64], from: u64, count: u64) {
    if count == 1 {
        let index = (from / 64) as usize & (bits.len() - 1);
        if let Some(word) = bits.get_mut(index) {
            *word &= !(1 << (from % 64));
        }
        return;
    }
    if count >= bits.len() as u64 * 64 {
        bits.fill(0);
        return;
    }
    let (mut position, end) = (from, from + count);
    while position < end {
        let index = (position / 64) as usize & (bits.len() - 1);
        let low = position % 64;
        let span = (64 - low).min(end - position);
        let mask = if span == 64 {
            u64::MAX
        } else {
            ((1 << span) - 1) << low
        };
        if let Some(word) = bits.get_mut(index) {
            *word &= !mask;
        }
        position += span;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// The definitions, word for word, with unbounded memory.
    #[derive(Default)]
    struct Naive {
        seen: HashSet<u64>,
        greatest: Option<u64>,
        received: u64,
        duplicates: u32,
        reordered: u32,
        too_late: u32,
        lag: u64,
    }

    impl Naive {
        fn record(&mut self, sequence: u64, window: u64) {
            let next = self.greatest.map_or(0, |g| g + 1);
            if sequence + window < next {
                self.too_late += 1;
            } else if !self.seen.insert(sequence) {
                self.duplicates += 1;
            } else {
                self.received += 1;
                if sequence < next {
                    self.reordered += 1;
                    self.lag = self.lag.max(next - 1 - sequence);
                } else {
                    self.greatest = Some(sequence);
                }
            }
        }
    }

    fn compare(arrivals: &[u64], window: u64) {
        let mut tracker = Tracker::with_window(2, window);
        let mut naive = Naive::default();
        for &sequence in arrivals {
            tracker.record(1, sequence as u32, 0);
            naive.record(sequence, tracker.window());
        }
        let flow = tracker.flows()[1];
        assert_eq!(flow.received, naive.received);
        assert_eq!(flow.duplicates, naive.duplicates);
        assert_eq!(flow.reordered, naive.reordered);
        assert_eq!(flow.too_late, naive.too_late);
        assert_eq!(u64::from(flow.greatest_lag), naive.lag);
        assert_eq!(flow.next, naive.greatest.map_or(0, |g| g + 1));
        assert_eq!(
            tracker.flows()[0],
            Flow::default(),
            "the other flow is untouched"
        );
    }

    #[test]
    fn a_clean_flow_is_clean() {
        let mut tracker = Tracker::new(1);
        for sequence in 0..100_000 {
            assert_eq!(tracker.record(0, sequence, 1000), Arrival::InOrder);
        }
        let flow = tracker.flows()[0];
        assert_eq!(
            (flow.received, flow.next, flow.jitter_ns()),
            (100_000, 100_000, 0)
        );
    }

    #[test]
    fn each_fault_is_told_apart() {
        let mut tracker = Tracker::with_window(1, 64);
        let arrivals: Vec<Arrival> = [0, 1, 3, 2, 3, 200, 4, 150]
            .iter()
            .map(|&s| tracker.record(0, s, 0))
            .collect();
        use Arrival::*;
        let expected = [
            InOrder, InOrder, InOrder, Reordered, Duplicate, InOrder, TooLate, Reordered,
        ];
        assert_eq!(arrivals, expected);
        assert_eq!(tracker.flows()[0].greatest_lag, 50);
        assert_eq!(tracker.record(1, 0, 0), Unknown);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut tracker = Tracker::with_window(1, 64);
        // Steps of less than half the circle bring the flow to the edge.
        for sequence in [0x7fff_ffff, 0xffff_fffe, 0xffff_ffff, 0, 1] {
            assert_eq!(tracker.record(0, sequence, 0), Arrival::InOrder);
        }
        assert_eq!(tracker.flows()[0].next, (1 << 32) + 2);
        assert_eq!(tracker.record(0, 0xffff_fffd, 0), Arrival::Reordered);
        assert_eq!(tracker.record(0, 0xffff_ffff, 0), Arrival::Duplicate);
    }

    #[test]
    fn windows_fit_the_budget() {
        assert_eq!(window_for(1), 65_536);
        assert_eq!(window_for(10_000), 16_384);
        assert_eq!(window_for(1 << 20), 256);
        assert_eq!(window_for(1 << 24), 64);
        for flows in [1, 100, 10_000, 1 << 20, 1 << 22] {
            assert!(window_for(flows) * u64::from(flows) <= WINDOW_BUDGET_BITS);
        }
    }

    #[test]
    fn jitter_is_that_of_rfc_3550() {
        let mut tracker = Tracker::new(1);
        let mut reference = 0.0f64;
        let mut last = None;
        let mut random = Random::new(1, 1);
        for sequence in 0..10_000 {
            let transit = 10_000 + random.below(2_000) as i64;
            tracker.record(0, sequence, transit);
            if let Some(last) = last.replace(transit) {
                reference += ((transit - last).abs() as f64 - reference) / 16.0;
            }
        }
        let measured = tracker.flows()[0].jitter_ns() as f64;
        assert!(
            (measured - reference).abs() < 2.0,
            "{measured} against {reference}"
        );
        assert!(
            (500.0..900.0).contains(&measured),
            "a third of the width: {measured}"
        );
    }

    #[test]
    fn a_faulty_network_is_seen_as_it_is() {
        // Loss, duplication and displacement at once, for many seeds.
        for seed in 0..50 {
            let mut random = Random::new(seed, 2);
            let mut arrivals: Vec<(u64, u64)> = Vec::new();
            for sequence in 0..5_000u64 {
                if random.below(100) < 3 {
                    continue;
                }
                let shift = if random.below(10) == 0 {
                    random.below(300)
                } else {
                    0
                };
                arrivals.push((sequence + shift, sequence));
                if random.below(50) == 0 {
                    arrivals.push((sequence + random.below(300), sequence));
                }
            }
            arrivals.sort_by_key(|a| a.0);
            let order: Vec<u64> = arrivals.into_iter().map(|a| a.1).collect();
            compare(&order, 64);
            compare(&order, 1024);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definitions(
            arrivals in proptest::collection::vec(0u64..400, 0..600), window in 1u64..300,
        ) {
            compare(&arrivals, window);
        }

        #[test]
        fn anything_at_all_does_no_harm(
            arrivals in proptest::collection::vec(any::<(u8, u32, i64)>(), 0..200),
        ) {
            let mut tracker = Tracker::new(4);
            for (flow, sequence, transit) in arrivals {
                tracker.record(u32::from(flow), sequence, transit);
            }
        }
    }
}
