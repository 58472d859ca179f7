//! When each packet is meant to leave.
//!
//! A [`Schedule`] is pure: it knows no clock, only the asked rate and the seed, and yields intended
//! send times in nanoseconds since the start of the run. Times are kept with 64 fractional bits, so
//! that the thousandth and the thousand-millionth packet are equally exact. A transmitter that falls
//! behind does not move the schedule: late packets keep their intended times, which is what makes a
//! stall visible in the latency (no co-ordinated omission).

use crate::random::Random;

/// How packets are spaced at a given rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spacing {
    /// Equal gaps.
    Constant,
    /// A Poisson process: independent, exponentially distributed gaps of the same mean.
    Poisson,
    /// Bursts of `packets`, `gap_ns` apart within the burst; bursts are spaced so that the asked
    /// rate holds on average.
    Burst {
        /// Packets in a burst, at least 1.
        packets: u32,
        /// Distance between intended send times within a burst, in nanoseconds; 0 is back to back.
        gap_ns: u64,
    },
}

/// A rate that starts at `from` and grows or shrinks linearly for `over_ns`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    /// Rate at the start, in units per second.
    pub from: f64,
    /// How long until the schedule's own rate is reached, in nanoseconds.
    pub over_ns: u64,
}

/// What a [`Schedule`] is made from. A unit is a packet for rates in packets per second and a bit for
/// rates in bits per second; the caller says with each packet how many units it weighs.
#[derive(Debug, Clone, Copy)]
pub struct ScheduleConfig {
    /// Units per second; more than 0 and finite.
    pub rate: f64,
    /// How packets are spaced.
    pub spacing: Spacing,
    /// Rate change at the start of the run.
    pub ramp: Option<Ramp>,
    /// Delay of the first packet, as a share of one unit's interval: cores that share a rate are
    /// staggered by it.
    pub phase: f64,
    /// Seed of the random gaps.
    pub seed: u64,
}

/// Why a schedule cannot be made.
#[derive(Debug, Clone, PartialEq)]
pub enum ScheduleError {
    /// The rate is not a positive, finite number, or so small that a packet takes over an hour.
    Rate(f64),
    /// The ramp's first rate is negative or not finite.
    RampRate(f64),
    /// A burst of no packets.
    EmptyBurst,
}

impl std::fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ScheduleError::Rate(rate) => {
                write!(f, "a rate of {rate} per second cannot be scheduled")
            }
            ScheduleError::RampRate(rate) => {
                write!(f, "a ramp cannot start at {rate} per second")
            }
            ScheduleError::EmptyBurst => write!(f, "a burst has at least 1 packet"),
        }
    }
}

impl std::error::Error for ScheduleError {}

/// Nanoseconds with 64 fractional bits.
type Fixed = u128;

const ONE: f64 = 18_446_744_073_709_551_616.0; // 2^64

/// Yields intended send times. See the module's description.
#[derive(Debug, Clone)]
pub struct Schedule {
    spacing: Spacing,
    /// Interval of one unit at the final rate.
    step: Fixed,
    /// Intended time of the next packet, or of its burst's first packet.
    next: Fixed,
    /// Packets of the current burst already taken, and their weight.
    burst_taken: u32,
    burst_weight: u64,
    ramp: Option<Ramping>,
    random: Random,
}

/// State while the rate still changes: position in units, kept apart from time.
#[derive(Debug, Clone)]
struct Ramping {
    position: f64,
    from: f64,
    /// Change of the rate, in units per second per second.
    slope: f64,
    over_s: f64,
    /// Units that pass during the ramp.
    total: f64,
}

impl Ramping {
    /// Time in nanoseconds at which `position` units have passed, while within the ramp: the inverse
    /// of `from * t + slope * t^2 / 2`, in the form that stays exact for small slopes.
    fn time_ns(&self, position: f64) -> f64 {
        let root = (self.from * self.from + 2.0 * self.slope * position)
            .max(0.0)
            .sqrt();
        if self.from + root <= 0.0 {
            return 0.0;
        }
        2.0 * position / (self.from + root) * 1e9
    }
}

impl Schedule {
    /// A schedule whose first packet is due at the start of the run (after a random gap with Poisson
    /// spacing).
    pub fn new(config: &ScheduleConfig) -> Result<Schedule, ScheduleError> {
        let interval = 1e9 / config.rate;
        if config.rate <= 0.0 || !interval.is_finite() || interval <= 0.0 || interval > 3.6e12 {
            return Err(ScheduleError::Rate(config.rate));
        }
        if let Spacing::Burst { packets: 0, .. } = config.spacing {
            return Err(ScheduleError::EmptyBurst);
        }
        let ramp = match config.ramp {
            Some(ramp) if ramp.over_ns > 0 => {
                if !ramp.from.is_finite() || ramp.from < 0.0 {
                    return Err(ScheduleError::RampRate(ramp.from));
                }
                let over_s = ramp.over_ns as f64 / 1e9;
                Some(Ramping {
                    position: 0.0,
                    from: ramp.from,
                    slope: (config.rate - ramp.from) / over_s,
                    over_s,
                    total: (ramp.from + config.rate) / 2.0 * over_s,
                })
            }
            _ => None,
        };
        let step = interval_of(config.rate);
        let mut schedule = Schedule {
            spacing: config.spacing,
            step,
            next: 0,
            burst_taken: 0,
            burst_weight: 0,
            ramp,
            random: Random::new(config.seed, 0x5c4e_d01e),
        };
        schedule.pass(config.phase.clamp(0.0, 1e6));
        if schedule.spacing == Spacing::Poisson {
            let gap = schedule.random.exponential();
            schedule.pass(gap);
        }
        Ok(schedule)
    }

    /// Intended send time of the next packet, in nanoseconds since the start of the run.
    #[inline]
    pub fn peek(&self) -> u64 {
        let start = (self.next >> 64) as u64;
        match self.spacing {
            Spacing::Burst { gap_ns, .. } => {
                start.saturating_add(gap_ns.saturating_mul(u64::from(self.burst_taken)))
            }
            _ => start,
        }
    }

    /// Takes the next slot for a packet of `weight` units: 1 for a rate in packets, the frame's bits
    /// for a rate in bits.
    #[inline]
    pub fn advance(&mut self, weight: u32) {
        match self.spacing {
            Spacing::Constant if self.ramp.is_none() => {
                self.next += self.step * Fixed::from(weight);
            }
            Spacing::Constant => self.pass(f64::from(weight)),
            Spacing::Poisson => {
                let gap = self.random.exponential() * f64::from(weight);
                self.pass(gap);
            }
            Spacing::Burst { packets, .. } => {
                self.burst_taken += 1;
                self.burst_weight += u64::from(weight);
                if self.burst_taken == packets {
                    self.burst_taken = 0;
                    let weight = std::mem::take(&mut self.burst_weight);
                    self.pass(weight as f64);
                }
            }
        }
    }

    /// Lets `units` pass.
    fn pass(&mut self, units: f64) {
        if let Some(ramp) = &mut self.ramp {
            ramp.position += units;
            if ramp.position < ramp.total {
                self.next = (ramp.time_ns(ramp.position) * ONE) as Fixed;
                return;
            }
            let rest = ramp.position - ramp.total;
            self.next = (ramp.over_s * 1e9 * ONE) as Fixed + scale(self.step, rest);
            self.ramp = None;
            return;
        }
        self.next += scale(self.step, units);
    }
}

/// The interval at `rate`, exact and rounded up for whole rates: so a second of 3000 packets holds
/// the slots 0 to 2999, and not a sliver of the next.
fn interval_of(rate: f64) -> Fixed {
    if rate.fract() == 0.0 && rate < 9e15 {
        (1_000_000_000u128 << 64).div_ceil((rate as u128).max(1))
    } else {
        (1e9 / rate * ONE) as Fixed
    }
}

/// `step * units` with 32 fractional bits of `units`.
#[inline]
fn scale(step: Fixed, units: f64) -> Fixed {
    let whole = units as u64;
    let fraction = ((units - whole as f64) * 4_294_967_296.0) as u64;
    step * Fixed::from(whole) + (step >> 32) * Fixed::from(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config(rate: f64, spacing: Spacing) -> ScheduleConfig {
        ScheduleConfig {
            rate,
            spacing,
            ramp: None,
            phase: 0.0,
            seed: 42,
        }
    }

    fn times(config: &ScheduleConfig, count: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(config).unwrap();
        (0..count)
            .map(|_| {
                let time = schedule.peek();
                schedule.advance(1);
                time
            })
            .collect()
    }

    #[test]
    fn constant_rate_has_no_accumulated_error() {
        for rate in [10_000.0, 33_333.0, 1e6, 3.7e6, 5e6, 14_880_952.38] {
            let mut schedule = Schedule::new(&config(rate, Spacing::Constant)).unwrap();
            let count = 20_000_000u64;
            for _ in 0..count {
                schedule.advance(1);
            }
            let ideal = count as f64 * 1e9 / rate;
            let error = (schedule.peek() as f64 - ideal).abs();
            assert!(
                error <= 2.0,
                "rate {rate}: {error} ns after {count} packets"
            );
        }
    }

    #[test]
    fn a_second_holds_as_many_slots_as_the_rate_says() {
        for rate in [1u32, 3, 7, 3_000, 33_333, 48_611, 1_000_003] {
            let mut schedule = Schedule::new(&config(f64::from(rate), Spacing::Constant)).unwrap();
            let mut slots = 0;
            while schedule.peek() < 1_000_000_000 {
                schedule.advance(1);
                slots += 1;
            }
            assert_eq!(slots, rate);
        }
    }

    #[test]
    fn constant_gaps_differ_by_at_most_one_nanosecond() {
        let times = times(&config(3e6, Spacing::Constant), 10_000);
        assert_eq!(times[0], 0);
        for pair in times.windows(2) {
            assert!((333..=334).contains(&(pair[1] - pair[0])), "{pair:?}");
        }
    }

    /// Kolmogorov-Smirnov distance of sorted samples from a distribution function.
    fn ks_distance(samples: &mut [f64], cdf: impl Fn(f64) -> f64) -> f64 {
        samples.sort_by(f64::total_cmp);
        let n = samples.len() as f64;
        samples.iter().enumerate().fold(0.0, |worst: f64, (i, &x)| {
            let f = cdf(x);
            worst
                .max((f - i as f64 / n).abs())
                .max(((i + 1) as f64 / n - f).abs())
        })
    }

    #[test]
    fn poisson_gaps_pass_a_kolmogorov_smirnov_test() {
        for (rate, seed) in [(10_000.0, 1), (100_000.0, 2), (1e6, 3), (2.5e5, 4)] {
            let times = times(
                &ScheduleConfig {
                    seed,
                    ..config(rate, Spacing::Poisson)
                },
                100_001,
            );
            let mut gaps: Vec<f64> =
                // The times are whole nanoseconds; half a nanosecond centres the rounding.
                times.windows(2).map(|w| (w[1] - w[0]) as f64 + 0.5).collect();
            let distance = ks_distance(&mut gaps, |x| 1.0 - (-x * rate / 1e9).exp());
            // Critical value at the 1 % level, plus what rounding to a nanosecond can add.
            let critical = 1.63 / (gaps.len() as f64).sqrt() + rate / 1e9;
            assert!(
                distance < critical,
                "rate {rate}: {distance} against {critical}"
            );
        }
    }

    #[test]
    fn poisson_arrivals_in_a_window_have_the_variance_of_a_poisson_process() {
        let times = times(&config(1e6, Spacing::Poisson), 1_000_000);
        let mut counts = vec![0u32; (times.last().unwrap() / 100_000) as usize];
        for time in times {
            if let Some(count) = counts.get_mut((time / 100_000) as usize) {
                *count += 1;
            }
        }
        let n = counts.len() as f64;
        let mean = counts.iter().map(|&c| f64::from(c)).sum::<f64>() / n;
        let variance = counts
            .iter()
            .map(|&c| (f64::from(c) - mean).powi(2))
            .sum::<f64>()
            / n;
        assert!((mean - 100.0).abs() < 0.5, "{mean}");
        assert!(
            (variance / mean - 1.0).abs() < 0.06,
            "index of dispersion {}",
            variance / mean
        );
    }

    #[test]
    fn a_deterministic_schedule_fails_the_same_test() {
        let times = times(&config(1e5, Spacing::Constant), 10_001);
        let mut gaps: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        assert!(ks_distance(&mut gaps, |x| 1.0 - (-x * 1e5 / 1e9).exp()) > 0.3);
    }

    #[test]
    fn bursts_have_their_shape_and_the_asked_rate() {
        let spacing = Spacing::Burst {
            packets: 32,
            gap_ns: 5,
        };
        let times = times(&config(1e6, spacing), 32 * 1000 + 1);
        for (burst, members) in times.chunks(32).enumerate() {
            for (i, &time) in members.iter().enumerate() {
                assert_eq!(time, burst as u64 * 32_000 + i as u64 * 5);
            }
        }
    }

    #[test]
    fn a_ramp_sends_what_the_area_under_it_says() {
        let ramp = Some(Ramp {
            from: 0.0,
            over_ns: 2_000_000_000,
        });
        let times = times(
            &ScheduleConfig {
                ramp,
                ..config(100_000.0, Spacing::Constant)
            },
            250_000,
        );
        let before = |t: u64| times.iter().filter(|&&x| x < t).count() as f64;
        // N(t) = slope * t^2 / 2 with slope 50 000/s^2, then 100 000/s.
        assert!((before(1_000_000_000) - 25_000.0).abs() <= 1.0);
        assert!((before(2_000_000_000) - 100_000.0).abs() <= 1.0);
        assert!((before(3_000_000_000) - 200_000.0).abs() <= 2.0);
        assert!(times.windows(2).all(|w| w[0] <= w[1]));
    }

    #[test]
    fn a_ramp_down_works_too() {
        let ramp = Some(Ramp {
            from: 100_000.0,
            over_ns: 1_000_000_000,
        });
        let times = times(
            &ScheduleConfig {
                ramp,
                ..config(50_000.0, Spacing::Constant)
            },
            100_000,
        );
        let first_second = times.iter().filter(|&&x| x < 1_000_000_000).count() as f64;
        assert!((first_second - 75_000.0).abs() <= 1.0, "{first_second}");
    }

    #[test]
    fn cores_that_share_a_rate_interleave() {
        let mut all: Vec<u64> = (0..4)
            .flat_map(|core| {
                let phase = f64::from(core) / 4.0;
                times(
                    &ScheduleConfig {
                        phase,
                        ..config(250_000.0, Spacing::Constant)
                    },
                    1000,
                )
            })
            .collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|w| w[1] - w[0] == 1000));
    }

    #[test]
    fn a_bit_rate_spaces_by_frame_length() {
        let mut schedule = Schedule::new(&config(1e9, Spacing::Constant)).unwrap();
        schedule.advance(64 * 8);
        assert_eq!(schedule.peek(), 512);
        schedule.advance(1518 * 8);
        assert_eq!(schedule.peek(), 512 + 12_144);
    }

    #[test]
    fn same_seed_same_times() {
        let poisson = |seed| {
            times(
                &ScheduleConfig {
                    seed,
                    ..config(1e6, Spacing::Poisson)
                },
                1000,
            )
        };
        assert_eq!(poisson(5), poisson(5));
        assert_ne!(poisson(5), poisson(6));
    }

    #[test]
    fn impossible_schedules_are_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-6] {
            assert!(
                Schedule::new(&config(rate, Spacing::Constant)).is_err(),
                "{rate}"
            );
        }
        let empty = Spacing::Burst {
            packets: 0,
            gap_ns: 0,
        };
        assert_eq!(
            Schedule::new(&config(1.0, empty)).unwrap_err(),
            ScheduleError::EmptyBurst
        );
    }

    proptest! {
        #[test]
        fn any_rate_is_exact_to_a_tenth_of_a_percent(
            rate in 10_000.0..5e6f64, poisson in any::<bool>(), seed in any::<u64>(),
        ) {
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Constant };
            let count = 400_000;
            let times = times(&ScheduleConfig { seed, ..config(rate, spacing) }, count);
            prop_assert!(times.windows(2).all(|w| w[0] <= w[1]));
            let achieved = (count - 1) as f64 * 1e9 / (times[count - 1] - times[0]) as f64;
            // A Poisson process of n arrivals is only exact to 1/sqrt(n); allow five of those.
            let tolerance = if poisson { 5.0 / (count as f64).sqrt() } else { 1e-3 };
            prop_assert!((achieved / rate - 1.0).abs() < tolerance, "{achieved} for {rate}");
        }
    }
}
