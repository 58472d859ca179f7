//! How long a request takes at its server: a distribution, and now and then many times as long.

use std::fmt;
use std::str::FromStr;

use crate::distribution::{Distribution, Unit};
use crate::payload::Ask;
use crate::random::Random;

/// What happens to some requests besides their own work: a pause of the collector, an interrupt, the
/// scheduler. The time is multiplied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter {
    /// Of how many requests, as a share.
    pub probability: f64,
    /// By how much.
    pub factor: f64,
}

impl Default for Jitter {
    /// High variability as the NetClone paper has it: one request in a hundred takes 15 times as long.
    fn default() -> Jitter {
        Jitter {
            probability: 0.01,
            factor: 15.0,
        }
    }
}

impl Jitter {
    /// None.
    pub const NONE: Jitter = Jitter {
        probability: 0.0,
        factor: 1.0,
    };

    /// The mean of the factor.
    pub fn mean(&self) -> f64 {
        1.0 + self.probability * (self.factor - 1.0)
    }
}

impl FromStr for Jitter {
    type Err = String;

    /// `1%x15`, `0.001x15`, or `none`.
    fn from_str(text: &str) -> Result<Jitter, String> {
        if text.trim() == "none" {
            return Ok(Jitter::NONE);
        }
        let wrong =
            || format!("{text:?} is not a jitter; expected SHARExFACTOR such as 1%x15, or none");
        let (share, factor) = text.split_once('x').ok_or_else(wrong)?;
        let probability = crate::distribution::share(share).map_err(|_| wrong())?;
        let factor: f64 = factor.trim().parse().map_err(|_| wrong())?;
        if !(0.0..=1.0).contains(&probability) || !(1.0..=1e6).contains(&factor) {
            return Err(format!(
                "a jitter's share is from 0 to 100% and its factor from 1 to 1000000, found {text:?}"
            ));
        }
        Ok(Jitter {
            probability,
            factor,
        })
    }
}

impl fmt::Display for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.probability == 0.0 {
            return f.write_str("none");
        }
        write!(f, "{}%x{}", self.probability * 100.0, self.factor)
    }
}

/// Who draws a request's time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DrawMode {
    /// Each copy's server draws for itself.
    #[default]
    Independent,
    /// The client draws the time and sends it along: it belongs to the request, and only the jitter is
    /// the server's.
    RequestBound,
    /// The client draws which part of a mixture the request is and sends that along: a request that
    /// reads much does so at each server, and each server draws how long it takes.
    KindBound,
}

impl DrawMode {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            DrawMode::Independent => "independent",
            DrawMode::RequestBound => "request-bound",
            DrawMode::KindBound => "kind-bound",
        }
    }
}

impl FromStr for DrawMode {
    type Err = String;

    fn from_str(text: &str) -> Result<DrawMode, String> {
        match text {
            "independent" => Ok(DrawMode::Independent),
            "request-bound" => Ok(DrawMode::RequestBound),
            "kind-bound" => Ok(DrawMode::KindBound),
            _ => Err(format!(
                "{text:?} is not a way to draw; expected independent, request-bound or kind-bound"
            )),
        }
    }
}

/// Service times.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceTime {
    /// Of the work itself, nanoseconds.
    pub distribution: Distribution,
    /// Of everything else.
    pub jitter: Jitter,
}

impl ServiceTime {
    /// Times of a distribution, with jitter.
    pub fn new(distribution: Distribution, jitter: Jitter) -> ServiceTime {
        ServiceTime {
            distribution,
            jitter,
        }
    }

    /// The work of one request, without jitter, nanoseconds.
    #[inline]
    pub fn base(&self, random: &mut Random) -> u64 {
        self.distribution.sample_whole(random)
    }

    /// Which part of the mixture a request is, from 1; 0 where the times are no mixture, or one of more parts
    /// than a message can tell.
    #[inline]
    pub fn kind(&self, random: &mut Random) -> u8 {
        match &self.distribution {
            Distribution::Mixture(mixture) => {
                u8::try_from(mixture.choose(random) + 1).unwrap_or_default()
            }
            _ => 0,
        }
    }

    /// The work of one request of a kind, as [`base`](Self::base).
    fn base_of(&self, kind: u8, random: &mut Random) -> u64 {
        let part = match &self.distribution {
            Distribution::Mixture(mixture) if kind > 0 => {
                mixture.parts().get(usize::from(kind) - 1)
            }
            _ => None,
        };
        match part {
            Some((_, part)) => part.sample_whole(random),
            None => self.base(random),
        }
    }

    /// How long a server takes for a request, nanoseconds, of which `base_ns` or `kind` may have come with it.
    #[inline]
    pub fn draw(&self, ask: &Ask, random: &mut Random) -> u64 {
        let base = match ask.base_ns {
            0 => self.base_of(ask.kind, random),
            base => base,
        };
        if self.jitter.probability > 0.0 && random.chance(self.jitter.probability) {
            (base as f64 * self.jitter.factor) as u64
        } else {
            base
        }
    }

    /// The mean, jitter included, nanoseconds.
    pub fn mean_ns(&self) -> f64 {
        self.distribution.mean() * self.jitter.mean()
    }

    /// The same, `divisor` times as fast: milliseconds become microseconds that a laboratory run can
    /// hold.
    pub fn scaled(&self, divisor: f64) -> ServiceTime {
        ServiceTime {
            distribution: self.distribution.scaled(1.0 / divisor),
            jitter: self.jitter,
        }
    }

    /// Requests a second that `workers` can serve.
    pub fn capacity(&self, workers: u64) -> f64 {
        workers as f64 * 1e9 / self.mean_ns()
    }
}

impl fmt::Display for ServiceTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, jitter {}",
            self.distribution.text(Unit::Time),
            self.jitter
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f26_a_request_of_a_kind_takes_as_long_as_its_kind_does() {
        let text = "mix(99%:const(10us),1%:exp(1ms))";
        let service =
            ServiceTime::new(Distribution::parse(text, Unit::Time).unwrap(), Jitter::NONE);
        let mut random = Random::named(1, "kind", 0);
        let kinds: Vec<u8> = (0..100_000).map(|_| service.kind(&mut random)).collect();
        assert!(kinds.iter().all(|kind| [1, 2].contains(kind)));
        let scans = kinds.iter().filter(|kind| **kind == 2).count();
        assert!((850..1150).contains(&scans), "{scans}");
        let of = |kind| Ask {
            kind,
            ..Ask::default()
        };
        assert!((0..100).all(|_| service.draw(&of(1), &mut random) == 10_000));
        let long: u64 = (0..10_000).map(|_| service.draw(&of(2), &mut random)).sum();
        assert!((9_500_000_000..10_500_000_000).contains(&long), "{long}");
        // What is not a kind of this server's is drawn as if nothing had been said.
        let odd = (0..1_000).filter(|_| service.draw(&of(9), &mut random) == 10_000);
        assert!(odd.count() > 900);
        let simple = ServiceTime::new(Distribution::Exponential(1.0), Jitter::NONE);
        assert_eq!(simple.kind(&mut random), 0);
    }

    #[test]
    fn f26_jitter_multiplies_its_share_of_the_times() {
        let service = ServiceTime::new(Distribution::Constant(10_000.0), Jitter::default());
        let mut random = Random::named(1, "jitter", 0);
        let long = (0..1_000_000)
            .map(|_| service.draw(&Ask::default(), &mut random))
            .inspect(|ns| assert!([10_000, 150_000].contains(ns), "{ns}"))
            .filter(|ns| *ns == 150_000)
            .count();
        assert!((9_700..10_300).contains(&long), "{long}");
    }

    #[test]
    fn f26_a_time_that_came_with_the_request_is_kept() {
        let none = ServiceTime::new(Distribution::Exponential(25_000.0), Jitter::NONE);
        let mut random = Random::named(1, "draw", 0);
        let ask = |base_ns| Ask {
            base_ns,
            ..Ask::default()
        };
        assert!((0..100).all(|_| none.draw(&ask(777), &mut random) == 777));
        let jitter = ServiceTime {
            jitter: Jitter {
                probability: 1.0,
                factor: 15.0,
            },
            ..none
        };
        assert_eq!(jitter.draw(&ask(100), &mut random), 1500);
    }

    #[test]
    fn jitter_is_read_as_it_is_written() {
        for text in ["1%x15", "none", "0.1%x15"] {
            assert_eq!(text.parse::<Jitter>().unwrap().to_string(), text);
        }
        assert_eq!("0.01x15".parse(), Ok(Jitter::default()));
        for text in ["", "1%", "x", "1%x", "200%x15", "1%x0.5", "1%xNaN"] {
            assert!(text.parse::<Jitter>().is_err(), "{text}");
        }
        assert!("twice".parse::<DrawMode>().is_err());
        for mode in [
            DrawMode::Independent,
            DrawMode::RequestBound,
            DrawMode::KindBound,
        ] {
            assert_eq!(mode.name().parse(), Ok(mode));
        }
    }
}
