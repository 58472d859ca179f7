//! When packets left, one time each: what a check of the spacing needs, and distributions cannot give.
//!
//! A file of departures is nothing but 64-bit little-endian numbers: nanoseconds since the start of
//! the run, in the order of departure.

use std::io::{self, BufWriter, Write};

use nf_core::clock::Clock;

/// The departures of one core: the first so many, in memory that was there before the run.
#[derive(Debug)]
pub struct Departures {
    clock: Clock,
    times: Vec<u64>,
    used: usize,
}

impl Departures {
    /// Room for `most` departures, 0 for none at all; `None` if there is not as much memory.
    pub fn new(clock: Clock, most: usize) -> Option<Departures> {
        let mut times = Vec::new();
        times.try_reserve_exact(most).ok()?;
        // Not zeros: the kernel would hand those pages out one by one, in the middle of the run.
        times.resize(most, u64::MAX);
        Some(Departures {
            clock,
            times,
            used: 0,
        })
    }

    /// The clock, for what leaves next; `None` if nothing is recorded any more, which costs no
    /// reading of it.
    #[inline(always)]
    pub fn now(&self) -> Option<u64> {
        (self.used < self.times.len()).then(|| self.clock.now())
    }

    /// Records that `packets` left at `time`, as far as there is room.
    #[inline(always)]
    pub fn record(&mut self, time: u64, packets: usize) {
        let end = self.used.saturating_add(packets).min(self.times.len());
        if let Some(slots) = self.times.get_mut(self.used..end) {
            slots.fill(time);
            self.used = end;
        }
    }

    /// What was recorded.
    pub fn into_times(mut self) -> Vec<u64> {
        self.times.truncate(self.used);
        self.times
    }
}

/// The first `most` departures of all cores, in order, from the first `most` of each.
pub fn merge(cores: impl IntoIterator<Item = Vec<u64>>, most: usize) -> Vec<u64> {
    let mut all: Vec<u64> = cores.into_iter().flatten().collect();
    all.sort_unstable();
    all.truncate(most);
    all
}

/// Writes a file of departures.
pub fn write(times: &[u64], to: impl Write) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    for time in times {
        to.write_all(&time.to_le_bytes())?;
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use nf_core::clock::VirtualClock;

    use super::*;

    #[test]
    fn the_first_are_kept_and_no_more() {
        let clock = VirtualClock::new();
        let mut departures = Departures::new(Clock::Virtual(clock), 3).unwrap();
        assert_eq!(departures.now(), Some(0));
        departures.record(5, 0);
        departures.record(7, 2);
        departures.record(9, 4);
        assert_eq!(departures.now(), None, "full");
        departures.record(11, 1);
        assert_eq!(departures.into_times(), [7, 7, 9]);
    }

    #[test]
    fn none_are_kept_unless_asked_for() {
        let mut departures = Departures::new(Clock::Virtual(VirtualClock::new()), 0).unwrap();
        assert_eq!(departures.now(), None);
        departures.record(1, 1);
        assert!(departures.into_times().is_empty());
    }

    #[test]
    fn more_than_memory_is_refused() {
        assert!(Departures::new(Clock::Virtual(VirtualClock::new()), usize::MAX).is_none());
    }

    #[test]
    fn cores_are_merged_in_order() {
        assert_eq!(merge([vec![1, 4, 9], vec![2, 3, 5]], 4), [1, 2, 3, 4]);
        assert!(merge([vec![], vec![]], 4).is_empty());
    }

    #[test]
    fn the_file_is_numbers_and_nothing_else() {
        let mut bytes = Vec::new();
        write(&[1, 0x0102_0304_0506_0708], &mut bytes).unwrap();
        assert_eq!(bytes, [1, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
    }
}
