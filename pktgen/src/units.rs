//! Rates, durations and sizes as people write them: `1.5Mpps`, `40%`, `10Gbit/s L1`, `500ms`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use workload::format::{read_nanoseconds, split};

pub use workload::format::{nanoseconds, si};

use crate::template::L1_OVERHEAD_BYTES;

/// What a bit rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Everything on the wire: the frame, and 20 bytes of preamble and gap around each.
    L1,
    /// The frame, from the Ethernet header to the check sequence.
    L2,
}

/// A rate asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Packets per second.
    Packets(f64),
    /// Bits per second.
    Bits(f64, Layer),
    /// Percent of the port's line rate, counted on the wire (L1).
    Percent(f64),
    /// As fast as the core and the port can.
    Max,
}

/// A [`Rate`] in the terms of a schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Packets per second.
    Packets(f64),
    /// Bits per second; each frame weighs its bits, those of `overhead` bytes included.
    Bits {
        /// Bits per second.
        rate: f64,
        /// Bytes added to each frame's size.
        overhead: u32,
    },
    /// No schedule.
    Max,
}

impl Rate {
    /// The rate for a port of `line_rate` bits per second; `None` for a percentage of an unknown
    /// line rate.
    pub fn pace(self, line_rate: Option<f64>) -> Option<Pace> {
        Some(match self {
            Rate::Packets(rate) => Pace::Packets(rate),
            Rate::Bits(rate, Layer::L1) => Pace::Bits {
                rate,
                overhead: L1_OVERHEAD_BYTES,
            },
            Rate::Bits(rate, Layer::L2) => Pace::Bits { rate, overhead: 0 },
            Rate::Percent(percent) => Pace::Bits {
                rate: line_rate? * percent / 100.0,
                overhead: L1_OVERHEAD_BYTES,
            },
            Rate::Max => Pace::Max,
        })
    }
}

impl Pace {
    /// Units of the schedule that a frame of `size` bytes (with check sequence) weighs.
    #[inline]
    pub fn weight(self, size: u32) -> u32 {
        match self {
            Pace::Bits { overhead, .. } => (size + overhead) * 8,
            Pace::Packets(_) | Pace::Max => 1,
        }
    }

    /// Units per second; `None` for [`Pace::Max`].
    pub fn rate(self) -> Option<f64> {
        match self {
            Pace::Packets(rate) | Pace::Bits { rate, .. } => Some(rate),
            Pace::Max => None,
        }
    }

    /// Packets per second for frames of `mean_size` bytes on average.
    pub fn packets_per_second(self, mean_size: f64) -> Option<f64> {
        match self {
            Pace::Packets(rate) => Some(rate),
            Pace::Bits { rate, overhead } => Some(rate / ((mean_size + f64::from(overhead)) * 8.0)),
            Pace::Max => None,
        }
    }
}

const RATE_HELP: &str = "packets per second (\"10kpps\", \"1.5Mpps\"), bits per second of frames \
    (\"1Gbit/s\") or on the wire with preamble and gaps (\"1Gbit/s L1\"), percent of the line rate \
    (\"40%\"), or \"max\"";

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let wrong = || format!("{text:?} is not a rate; expected {RATE_HELP}");
        if text.trim().eq_ignore_ascii_case("max") {
            return Ok(Rate::Max);
        }
        let (number, unit) = split(text).ok_or_else(wrong)?;
        if number <= 0.0 {
            return Err(format!("a rate is more than 0, found {text:?}"));
        }
        let unit = unit.to_ascii_lowercase();
        if unit == "%" {
            if number > 100.0 {
                return Err(format!("at most 100% of the line rate, found {text:?}"));
            }
            return Ok(Rate::Percent(number));
        }
        let (unit, layer) = match unit.strip_suffix("l1").or_else(|| unit.strip_suffix("l2")) {
            Some(rest) if unit.ends_with('1') => (rest.trim(), Layer::L1),
            Some(rest) => (rest.trim(), Layer::L2),
            None => (unit.as_str(), Layer::L2),
        };
        let (scale, base) = match unit.chars().next() {
            Some('k') => (1e3, unit.get(1..)),
            Some('m') => (1e6, unit.get(1..)),
            Some('g') => (1e9, unit.get(1..)),
            Some('t') => (1e12, unit.get(1..)),
            _ => (1.0, Some(unit)),
        };
        match base {
            Some("pps" | "p/s") => Ok(Rate::Packets(number * scale)),
            Some("bit/s" | "bit" | "bps" | "b/s") => Ok(Rate::Bits(number * scale, layer)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rate::Packets(rate) => write!(f, "{}pps", si(*rate)),
            Rate::Bits(rate, Layer::L1) => write!(f, "{}bit/s L1", si(*rate)),
            Rate::Bits(rate, Layer::L2) => write!(f, "{}bit/s", si(*rate)),
            Rate::Percent(percent) => write!(f, "{percent}% of line rate"),
            Rate::Max => write!(f, "max"),
        }
    }
}

/// A length of time as written in a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub Duration);

impl Time {
    /// In nanoseconds.
    pub fn nanoseconds(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Time, String> {
        read_nanoseconds(text).map(|ns| Time(Duration::from_nanos(ns)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&nanoseconds(self.0.as_nanos() as f64))
    }
}

macro_rules! from_string {
    ($kind:ty, $name:literal, $description:literal) => {
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $kind {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $description })
            }
        }
    };
}

from_string!(
    Rate,
    "Rate",
    "Packets per second (\"1Mpps\"), bits per second of frames (\"1Gbit/s\") or on the wire \
     (\"1Gbit/s L1\"), percent of the line rate (\"40%\"), or \"max\"."
);
from_string!(
    Time,
    "Time",
    "A length of time: \"10s\", \"500ms\", \"2min\"."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, expected) in [
            ("1Mpps", Rate::Packets(1e6)),
            ("10 kpps", Rate::Packets(1e4)),
            ("14_880_952pps", Rate::Packets(14_880_952.0)),
            ("1Gbit/s", Rate::Bits(1e9, Layer::L2)),
            ("2.5gbps L1", Rate::Bits(2.5e9, Layer::L1)),
            ("100Mbit l2", Rate::Bits(1e8, Layer::L2)),
            ("40%", Rate::Percent(40.0)),
            ("MAX", Rate::Max),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "", "fast", "0pps", "-1pps", "10", "101%", "1e6pps", "5 Xpps",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn bit_rates_say_what_they_count() {
        let pps = |text: &str| {
            let pace = text.parse::<Rate>().unwrap().pace(Some(10e9)).unwrap();
            pace.packets_per_second(64.0).unwrap()
        };
        // 10 Gb/s of 64-byte frames: the well-known 14.88 Mpps on the wire.
        assert!((pps("10Gbit/s L1") - 14_880_952.38).abs() < 0.01);
        assert!((pps("100%") - 14_880_952.38).abs() < 0.01);
        assert!((pps("10Gbit/s") - 19_531_250.0).abs() < 0.01);
        assert_eq!("5%".parse::<Rate>().unwrap().pace(None), None);
        assert_eq!(
            Pace::Bits {
                rate: 1.0,
                overhead: 20
            }
            .weight(64),
            672
        );
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, nanoseconds) in [
            ("10s", 10_000_000_000),
            ("500ms", 500_000_000),
            ("1.5us", 1500),
            ("2min", 120_000_000_000),
        ] {
            assert_eq!(text.parse::<Time>().unwrap().nanoseconds(), nanoseconds);
        }
        for text in ["", "s", "10 parsecs", "99999999999h"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }

    #[test]
    fn rates_for_people() {
        assert_eq!("1Mpps".parse::<Rate>().unwrap().to_string(), "1 Mpps");
    }
}
