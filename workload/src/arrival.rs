//! When requests are sent.
//!
//! Open loop: the times follow from the rate and the seed alone, and no answer that is missing moves them.
//! Closed loop: so many requests are always under way, and an answer is what sends the next one.

use std::fmt;
use std::str::FromStr;

use crate::format::{read_nanoseconds, write_nanoseconds};
use crate::random::Random;
use crate::schedule::{Schedule, ScheduleConfig, ScheduleError, Spacing};

/// How requests follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Arrival {
    /// Independently of each other: exponential gaps.
    #[default]
    Poisson,
    /// In equal gaps.
    Constant,
    /// In bursts, back to back.
    Burst {
        /// Requests in a burst.
        requests: u32,
    },
    /// In on-periods, with nothing between: Poisson while on. The periods are heavy-tailed (Pareto of
    /// index 1.5, the longest 100 times the shortest), the pauses exponential.
    OnOff {
        /// Mean length of an on-period, nanoseconds.
        on_ns: u64,
        /// Share of the time that is on, above 0 and below 1.
        share: f64,
    },
    /// Closed loop.
    Closed {
        /// Requests under way.
        outstanding: u32,
    },
}

impl Arrival {
    /// Whether answers send the next requests, so that there is no rate to ask for.
    pub fn is_closed(self) -> bool {
        matches!(self, Arrival::Closed { .. })
    }
}

impl FromStr for Arrival {
    type Err = String;

    /// `poisson`, `constant`, `burst:32`, `on-off:1ms/10%`, `closed:16`.
    fn from_str(text: &str) -> Result<Arrival, String> {
        let wrong = || {
            format!(
                "{text:?} is not a way to arrive; expected poisson, constant, burst:REQUESTS, \
                 on-off:TIME/SHARE such as on-off:1ms/10%, or closed:REQUESTS"
            )
        };
        let count = |text: &str, most: u32| {
            text.parse()
                .ok()
                .filter(|n| (1..=most).contains(n))
                .ok_or_else(wrong)
        };
        match text.split_once(':') {
            None if text == "poisson" => Ok(Arrival::Poisson),
            None if text == "constant" => Ok(Arrival::Constant),
            Some(("burst", requests)) => Ok(Arrival::Burst {
                requests: count(requests, 65_536)?,
            }),
            Some(("closed", requests)) => Ok(Arrival::Closed {
                outstanding: count(requests, 1 << 20)?,
            }),
            Some(("on-off", periods)) => {
                let (on, share) = periods.split_once('/').ok_or_else(wrong)?;
                let on_ns = read_nanoseconds(on)?;
                let share = crate::distribution::share(share).map_err(|_| wrong())?;
                if on_ns == 0 || !(share > 0.0 && share < 1.0) {
                    return Err(wrong());
                }
                Ok(Arrival::OnOff { on_ns, share })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arrival::Poisson => f.write_str("poisson"),
            Arrival::Constant => f.write_str("constant"),
            Arrival::Burst { requests } => write!(f, "burst:{requests}"),
            Arrival::OnOff { on_ns, share } => write!(
                f,
                "on-off:{}/{}%",
                write_nanoseconds(*on_ns as f64),
                share * 100.0
            ),
            Arrival::Closed { outstanding } => write!(f, "closed:{outstanding}"),
        }
    }
}

/// Index of the on-periods' Pareto distribution.
const INDEX: f64 = 1.5;

/// The longest on-period over the shortest.
const LONGEST: f64 = 100.0;

/// Intended send times of an open loop, in nanoseconds since its start.
#[derive(Debug, Clone)]
pub struct Arrivals {
    schedule: Schedule,
    periods: Option<Periods>,
}

/// On-periods laid end to end are the schedule's time; what lies between them is added.
#[derive(Debug, Clone)]
struct Periods {
    random: Random,
    shortest_ns: f64,
    off_mean_ns: f64,
    /// End of this on-period, in the schedule's time.
    end: f64,
    /// All pauses so far.
    pauses: f64,
}

impl Periods {
    fn new(on_ns: u64, share: f64, seed: u64, index: u64) -> Periods {
        // The mean of a Pareto distribution of least value 1 that is cut at LONGEST.
        let mean = (INDEX - LONGEST.powf(1.0 - INDEX)) / (INDEX - 1.0);
        let mut periods = Periods {
            random: Random::named(seed, "on-off", index),
            shortest_ns: on_ns as f64 / mean,
            off_mean_ns: on_ns as f64 * (1.0 - share) / share,
            end: 0.0,
            pauses: 0.0,
        };
        periods.end = periods.on();
        periods
    }

    fn on(&mut self) -> f64 {
        self.shortest_ns * self.random.unit().powf(-1.0 / INDEX).min(LONGEST)
    }

    /// Starts on-periods until the schedule's time `at` lies in one.
    fn reach(&mut self, at: u64) {
        while at as f64 >= self.end {
            self.pauses += self.off_mean_ns * self.random.exponential();
            self.end += self.on();
        }
    }
}

impl Arrivals {
    /// The times at `rate` requests a second. `index` tells clients apart that share a seed.
    ///
    /// `None` for a closed loop, which has no times of its own.
    pub fn new(
        arrival: Arrival,
        rate: f64,
        seed: u64,
        index: u64,
    ) -> Result<Option<Arrivals>, ScheduleError> {
        let (spacing, rate, on) = match arrival {
            Arrival::Poisson => (Spacing::Poisson, rate, None),
            Arrival::Constant => (Spacing::Constant, rate, None),
            Arrival::Burst { requests } => (
                Spacing::Burst {
                    packets: requests,
                    gap_ns: 0,
                },
                rate,
                None,
            ),
            Arrival::OnOff { on_ns, share } => {
                (Spacing::Poisson, rate / share, Some((on_ns, share)))
            }
            Arrival::Closed { .. } => return Ok(None),
        };
        let mut random = Random::named(seed, "arrivals", index);
        let schedule = Schedule::new(&ScheduleConfig {
            rate,
            spacing,
            ramp: None,
            // Clients with equal gaps do not send all at once.
            phase: random.unit(),
            seed: random.next_u64(),
        })?;
        let mut arrivals = Arrivals {
            schedule,
            periods: on.map(|(on_ns, share)| Periods::new(on_ns, share, seed, index)),
        };
        arrivals.reach();
        Ok(Some(arrivals))
    }

    fn reach(&mut self) {
        if let Some(periods) = &mut self.periods {
            periods.reach(self.schedule.peek());
        }
    }

    /// When the next request is meant to be sent.
    #[inline]
    pub fn peek(&self) -> u64 {
        let pauses = self.periods.as_ref().map_or(0.0, |p| p.pauses);
        self.schedule.peek() + pauses as u64
    }

    /// Goes on to the next.
    #[inline]
    pub fn advance(&mut self) {
        self.schedule.advance(1);
        self.reach();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(arrival: Arrival, rate: f64, end_ns: u64) -> Vec<u64> {
        let mut arrivals = Arrivals::new(arrival, rate, 3, 0).unwrap().unwrap();
        let mut times = Vec::new();
        while arrivals.peek() < end_ns {
            times.push(arrivals.peek());
            arrivals.advance();
        }
        times
    }

    #[test]
    fn each_way_keeps_the_rate() {
        for arrival in [
            Arrival::Poisson,
            Arrival::Constant,
            Arrival::Burst { requests: 32 },
            Arrival::OnOff {
                on_ns: 1_000_000,
                share: 0.1,
            },
        ] {
            let times = until(arrival, 50_000.0, 40_000_000_000);
            let rate = times.len() as f64 / 40.0;
            assert!((rate / 50_000.0 - 1.0).abs() < 0.03, "{arrival}: {rate}");
            assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{arrival}");
        }
    }

    #[test]
    fn on_off_is_silent_between_its_bursts() {
        let arrival = Arrival::OnOff {
            on_ns: 1_000_000,
            share: 0.1,
        };
        let times = until(arrival, 50_000.0, 2_000_000_000);
        let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let silent: u64 = gaps.iter().filter(|gap| **gap > 100_000).sum();
        assert!(silent > 1_500_000_000, "{silent} of 2000000000");
        // Inside, ten times the rate.
        let inside = gaps.iter().filter(|gap| **gap <= 100_000);
        let mean = inside.clone().sum::<u64>() as f64 / inside.count() as f64;
        assert!((1_800.0..2_300.0).contains(&mean), "{mean}");
    }

    #[test]
    fn clients_of_one_seed_differ_and_a_closed_loop_has_no_times() {
        let first = |index| {
            let arrivals = Arrivals::new(Arrival::Poisson, 1000.0, 3, index).unwrap();
            arrivals.unwrap().peek()
        };
        assert_ne!(first(0), first(1));
        assert_eq!(first(0), first(0));
        let closed = Arrivals::new(Arrival::Closed { outstanding: 4 }, 0.0, 3, 0);
        assert!(closed.unwrap().is_none());
        assert!(Arrivals::new(Arrival::Poisson, 0.0, 3, 0).is_err());
    }

    #[test]
    fn ways_are_read_as_they_are_written() {
        for text in [
            "poisson",
            "constant",
            "burst:32",
            "on-off:1ms/10%",
            "closed:16",
        ] {
            assert_eq!(text.parse::<Arrival>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "burst",
            "burst:0",
            "closed:x",
            "on-off:1ms",
            "on-off:1ms/100%",
        ] {
            assert!(text.parse::<Arrival>().is_err(), "{text}");
        }
    }
}
