//! Time for the data path: the time-stamp counter, virtual time, and timers.
//!
//! All times are nanoseconds since the clock was made, monotonic, in a `u64` (584 years). A
//! [`Clock`] is read once a turn of a core's loop; stages get that reading and read no clock.

mod bucket;
mod tsc;
mod virtual_time;
mod wall;
mod wheel;

use std::sync::OnceLock;
use std::time::Instant;

pub use self::bucket::Bucket;
pub use self::tsc::{TscClock, TscUnfit};
pub use self::virtual_time::VirtualClock;
pub use self::wall::WallClock;
pub use self::wheel::{Timer, TimerId, Wheel, WheelFull};

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The processor's time-stamp counter: one `rdtsc`, a multiplication and a shift.
    Tsc(TscClock),
    /// The kernel's monotonic clock since that instant, where the counter is not fit for it:
    /// some 25 ns a reading.
    Kernel(Instant),
    /// Time that moves only by hand, for tests and simulation.
    Virtual(VirtualClock),
}

impl Clock {
    /// The clock of this process: calibrated at the first call, which takes 20 ms; the same for
    /// every caller. Falls back to the kernel's clock, with a warning in the log, where the
    /// time-stamp counter is not invariant.
    pub fn system() -> Self {
        static SYSTEM: OnceLock<Clock> = OnceLock::new();
        SYSTEM
            .get_or_init(|| match TscClock::calibrate() {
                Ok(clock) => Self::Tsc(clock),
                Err(why) => {
                    tracing::warn!("reading the kernel's clock, which is slower: {why}");
                    Self::Kernel(Instant::now())
                }
            })
            .clone()
    }

    /// Nanoseconds now. Never less than an earlier reading on the same thread.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        match self {
            Self::Tsc(clock) => clock.now(),
            Self::Kernel(start) => kernel_now(start),
            Self::Virtual(clock) => clock.now(),
        }
    }

    /// A reading for measuring what something costs, in units of [`cycles_hz`](Self::cycles_hz).
    #[inline(always)]
    pub fn cycles(&self) -> u64 {
        match self {
            Self::Tsc(clock) => clock.cycles(),
            Self::Kernel(start) => kernel_now(start),
            Self::Virtual(clock) => clock.now(),
        }
    }

    /// The time of a reading of [`cycles`](Self::cycles), in nanoseconds: what
    /// [`now`](Self::now) would have said.
    #[inline(always)]
    pub fn at_cycles(&self, cycles: u64) -> u64 {
        match self {
            Self::Tsc(clock) => clock.at_cycles(cycles),
            Self::Kernel(_) | Self::Virtual(_) => cycles,
        }
    }

    /// Nanoseconds in so many [`cycles`](Self::cycles).
    #[inline(always)]
    pub fn duration(&self, cycles: u64) -> u64 {
        match self {
            Self::Tsc(clock) => clock.duration(cycles),
            Self::Kernel(_) | Self::Virtual(_) => cycles,
        }
    }

    /// How many cycles make a second.
    pub fn cycles_hz(&self) -> f64 {
        match self {
            Self::Tsc(clock) => clock.hz(),
            Self::Kernel(_) | Self::Virtual(_) => 1e9,
        }
    }

    /// How readings of this clock translate to the time of day, as of now. In virtual time the
    /// clock's zero is 1970, unless it was [stepped](VirtualClock::step_wall).
    pub fn wall_clock(&self) -> WallClock {
        match self {
            Self::Tsc(_) | Self::Kernel(_) => WallClock::sample(|| self.now()),
            Self::Virtual(clock) => clock.wall_clock(),
        }
    }
}

#[cold]
fn kernel_now(start: &Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn every_source_moves_forward() {
        for clock in [Clock::system(), Clock::Kernel(Instant::now())] {
            let mut last = clock.now();
            for _ in 0..100_000 {
                let now = clock.now();
                assert!(now >= last);
                last = now;
            }
            let started = clock.now();
            std::thread::sleep(Duration::from_millis(5));
            assert!(clock.now() - started >= 5_000_000);
        }
    }

    #[test]
    fn the_system_clock_is_one_for_all() {
        let here = Clock::system().now();
        let there = std::thread::spawn(|| Clock::system().now()).join().unwrap();
        assert!(there.abs_diff(here) < 10_000_000_000);
    }

    #[test]
    fn cycles_and_time_agree() {
        let clock = Clock::system();
        let (cycles, now) = (clock.cycles(), clock.now());
        assert!(clock.at_cycles(cycles) <= now);
        std::thread::sleep(Duration::from_millis(10));
        let cycles = (clock.cycles() - cycles) as f64;
        let ns = (clock.now() - now) as f64;
        let from_cycles = cycles / clock.cycles_hz() * 1e9;
        assert!((from_cycles - ns).abs() < 5e6, "{from_cycles} and {ns}");
    }

    #[test]
    fn time_of_day() {
        let clock = Clock::system();
        let wall = clock.wall_clock();
        let ours = wall.system_time(clock.now());
        let theirs = SystemTime::now();
        let apart = theirs.duration_since(ours).unwrap_or_else(|e| e.duration());
        assert!(apart < Duration::from_millis(500), "{apart:?}");

        let virtual_clock = VirtualClock::new();
        virtual_clock.advance(5);
        let wall = Clock::Virtual(virtual_clock.clone()).wall_clock();
        assert_eq!(wall.unix_ns(virtual_clock.now()), 5);
    }
}
