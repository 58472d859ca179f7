//! The processor's time-stamp counter as a clock.

use std::fs;
use std::time::{Duration, Instant};

/// How long the two readings of a calibration are apart. Each is good to about 10 ns.
const CALIBRATION: Duration = Duration::from_millis(20);
/// Tries for each reading; the one with the least time in between counts.
const TRIES: usize = 200;
/// Fraction bits of the factor; leaves room for counters down to 16 MHz.
const SHIFT: u32 = 58;

/// Why the time-stamp counter cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TscUnfit {
    /// The counter changes its rate, or stops when the processor idles.
    #[error("the processor's time-stamp counter is not invariant ({0} is missing in its flags)")]
    NotInvariant(&'static str),
    /// The kernel has found the counters of the processors apart.
    #[error("the kernel has found the processor's time-stamp counter unreliable")]
    Unreliable,
    /// The counter did not move as one does.
    #[error("the processor's time-stamp counter ran at {0} Hz while it was calibrated")]
    Rate(u64),
}

/// Nanoseconds from the time-stamp counter, at a rate measured once.
#[derive(Clone, Copy, Debug)]
pub struct TscClock {
    /// Reading at zero nanoseconds.
    start: u64,
    /// Nanoseconds a cycle, times 2^58.
    factor: u64,
}

impl TscClock {
    /// Measures the counter's rate against the kernel's monotonic clock; takes 20 ms.
    pub fn calibrate() -> Result<Self, TscUnfit> {
        check(
            fs::read_to_string("/proc/cpuinfo").ok().as_deref(),
            fs::read_to_string(
                "/sys/devices/system/clocksource/clocksource0/available_clocksource",
            )
            .ok()
            .as_deref(),
        )?;
        let origin = Instant::now();
        let (start, start_ns) = reading(&origin);
        std::thread::sleep(CALIBRATION);
        let (end, end_ns) = reading(&origin);
        Self::from_readings(start, end, end_ns.saturating_sub(start_ns))
    }

    /// The clock whose counter went from `start` to `end` in `ns` nanoseconds.
    fn from_readings(start: u64, end: u64, ns: u64) -> Result<Self, TscUnfit> {
        let cycles = u128::from(end.saturating_sub(start));
        let hz = (cycles * 1_000_000_000)
            .checked_div(u128::from(ns))
            .unwrap_or(0);
        if !(20_000_000..1_000_000_000_000).contains(&hz) {
            return Err(TscUnfit::Rate(hz as u64));
        }
        // Fits: there are at most 50 nanoseconds a cycle.
        let factor = ((u128::from(ns) << SHIFT) + cycles / 2) / cycles;
        Ok(Self {
            start,
            factor: factor as u64,
        })
    }

    /// Nanoseconds since the calibration began.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        self.at_cycles(self.cycles())
    }

    /// The counter.
    #[inline(always)]
    pub fn cycles(&self) -> u64 {
        dpdk_sys::rdtsc()
    }

    /// Nanoseconds at a reading of the counter.
    #[inline(always)]
    pub fn at_cycles(&self, cycles: u64) -> u64 {
        self.duration(cycles.saturating_sub(self.start))
    }

    /// Nanoseconds in so many cycles.
    #[inline(always)]
    pub fn duration(&self, cycles: u64) -> u64 {
        ((u128::from(cycles) * u128::from(self.factor)) >> SHIFT) as u64
    }

    /// Cycles a second.
    pub fn hz(&self) -> f64 {
        1e9 * (1u64 << SHIFT) as f64 / self.factor as f64
    }
}

/// The counter and the kernel's nanoseconds since `origin` at the same moment.
fn reading(origin: &Instant) -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..TRIES {
        let before = dpdk_sys::rdtsc();
        let ns = origin.elapsed().as_nanos() as u64;
        let width = dpdk_sys::rdtsc().saturating_sub(before);
        if width < best.0 {
            best = (width, before + width / 2, ns);
        }
    }
    (best.1, best.2)
}

/// Whether the counter has a constant rate, never stops, and is the same on all processors, by
/// `/proc/cpuinfo` and the kernel's list of clock sources, each where it can be read.
fn check(cpuinfo: Option<&str>, clock_sources: Option<&str>) -> Result<(), TscUnfit> {
    let flags = cpuinfo
        .and_then(|text| text.lines().find(|line| line.starts_with("flags")))
        .and_then(|line| line.split_once(':'))
        .map_or("", |(_, flags)| flags);
    for needed in ["constant_tsc", "nonstop_tsc"] {
        if !flags.split_whitespace().any(|flag| flag == needed) {
            return Err(TscUnfit::NotInvariant(needed));
        }
    }
    // The kernel takes a counter it has found wanting off the list.
    match clock_sources {
        Some(list) if !list.split_whitespace().any(|name| name == "tsc") => {
            Err(TscUnfit::Unreliable)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_an_invariant_counter() {
        let good = "processor: 0\nflags\t\t: fpu tsc constant_tsc nonstop_tsc\n";
        assert_eq!(check(Some(good), Some("tsc acpi_pm\n")), Ok(()));
        assert_eq!(check(Some(good), None), Ok(()));
        assert_eq!(
            check(Some(good), Some("kvm-clock acpi_pm\n")),
            Err(TscUnfit::Unreliable)
        );
        assert_eq!(
            check(Some("flags : tsc constant_tsc\n"), Some("tsc")),
            Err(TscUnfit::NotInvariant("nonstop_tsc"))
        );
        assert_eq!(
            check(None, Some("tsc")),
            Err(TscUnfit::NotInvariant("constant_tsc"))
        );
    }

    #[test]
    fn refuses_impossible_rates() {
        for (start, end, ns) in [
            (5, 5, 1000),
            (5, 4, 1000),
            (0, 1000, 0),
            (0, 10, 1_000_000_000),
        ] {
            assert!(TscClock::from_readings(start, end, ns).is_err());
        }
    }

    #[test]
    fn converts_without_drift_or_overflow() {
        for hz in [24_000_000u64, 1_000_000_000, 2_595_124_000, 5_000_000_000] {
            // Twenty milliseconds, as calibrated.
            let clock = TscClock::from_readings(1000, 1000 + hz / 50, 20_000_000).unwrap();
            assert!((clock.hz() / hz as f64 - 1.0).abs() < 1e-9);
            assert_eq!(clock.at_cycles(1000), 0);
            assert_eq!(
                clock.at_cycles(10),
                0,
                "a counter a little behind does not wrap"
            );
            let year = 365 * 86_400;
            let ns = clock.at_cycles(1000 + hz * year);
            assert!(
                ns.abs_diff(year * 1_000_000_000) < year,
                "1 ns a second at {hz}: {ns}"
            );
        }
    }

    #[test]
    fn follows_the_kernels_clock() {
        // Neighbours on the machine disturb this; one quiet try of five has to do.
        let mut worst = 0.0f64;
        for _ in 0..5 {
            let clock = match TscClock::calibrate() {
                Ok(clock) => clock,
                Err(why) => {
                    eprintln!("SKIPPED: {why}");
                    return;
                }
            };
            let origin = Instant::now();
            let (first, first_ns) = reading(&origin);
            std::thread::sleep(Duration::from_millis(100));
            let (last, last_ns) = reading(&origin);
            let ours = (clock.at_cycles(last) - clock.at_cycles(first)) as f64;
            let kernel = (last_ns - first_ns) as f64;
            worst = (ours / kernel - 1.0).abs();
            if worst < 3e-6 {
                return;
            }
        }
        panic!("{:.1} ppm off", worst * 1e6);
    }
}
