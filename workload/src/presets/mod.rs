//! Workloads as they were measured in a fleet of 10,000 RPC methods (Seemakhupt et al., "A Cloud-Scale
//! Characterization of Remote Procedure Calls", SOSP 2023), and of two stores on our own machine.
//!
//! Published are quantiles, shares and ratios; what lies between them is drawn by [`crate::quantile`].
//! [`verify`] draws from each preset and compares with what was published. Where a preset needs a number
//! that was not published, its description says so.

mod errors;
mod measured;
mod methods;
mod services;
mod verify;

use std::sync::Arc;

use crate::distribution::{Distribution, Mixture, Unit};
use crate::quantile::QuantileTable;

pub use errors::{Errors, Outcome};
pub use methods::{METHODS, Methods, Popularity};
pub use services::{Component, SERVICES, Service, service};
pub use verify::{Check, verify};

/// The payload bytes of one fragment: what a network function that sees single packets sees.
pub const FRAGMENT_BYTES: f64 = 1424.0;

/// Blocks of the fleet's most frequent method, a disk write.
pub const WRITE_BLOCK_BYTES: f64 = 32_000.0;

/// Of all calls, the share that method has.
pub const WRITE_SHARE: f64 = 0.28;

/// After which share of the answers a hedged request is sent a second time.
pub const HEDGE_QUANTILE: f64 = 0.95;

/// A named workload.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it is a distribution of; `None` for those that are not distributions.
    pub unit: Option<Unit>,
    /// What it is, and what of it was not published.
    pub summary: &'static str,
}

const fn preset(name: &'static str, unit: Option<Unit>, summary: &'static str) -> Preset {
    Preset {
        name,
        unit,
        summary,
    }
}

/// All presets but those of single services, which [`SERVICES`] has.
pub const PRESETS: &[Preset] = &[
    preset(
        "fleet-size-req",
        Some(Unit::Bytes),
        "request sizes: 64 B at least, median 1530 B, p90 11.8 kB, p99 196 kB; cap 4 MiB (ours)",
    ),
    preset(
        "fleet-size-resp",
        Some(Unit::Bytes),
        "response sizes: 64 B at least, median 315 B, p90 10 kB, p99 563 kB; cap 4 MiB (ours)",
    ),
    preset(
        "fleet-size-small",
        Some(Unit::Bytes),
        "request sizes, cut at one fragment of 1424 B",
    ),
    preset(
        "fleet-size-small-resp",
        Some(Unit::Bytes),
        "response sizes, cut at one fragment of 1424 B",
    ),
    preset(
        "fleet-storage-write",
        Some(Unit::Bytes),
        "sizes where 28 % of the calls are one write method with blocks of 32 kB, the rest fleet-size-req",
    ),
    preset(
        "fleet-time-bimodal",
        Some(Unit::Time),
        "98.9 % short calls, 1.1 % calls 727 times as long on average, which take 89 % of the time; \
         mean of the short ones 100 us (ours), both exponential (ours)",
    ),
    preset(
        "fleet-time-mix",
        Some(Unit::Time),
        "methods by popularity, each with its own median from 0.1 to 100 ms, 90 % of them 10.7 ms and \
         more, log-normal with sigma 1.31 (10.7 ms to 225 ms at p99); the 100 fastest methods have \
         40 % of the calls; which of the others is how fast is ours",
    ),
    preset(
        "fleet-queue",
        Some(Unit::Time),
        "queueing: median 360 us, p99 102 ms; cap 200 ms",
    ),
    preset(
        "fleet-net",
        Some(Unit::Time),
        "wire, processing and stack: median 398 us, p99 115 ms; cap 826 ms",
    ),
    preset(
        "fleet-tree",
        Some(Unit::Bytes),
        "descendants of a call: median 13, p90 105, p99 1155; cap 20,000 (ours). Counts, not bytes",
    ),
    preset(
        "memcached-get",
        Some(Unit::Time),
        "a get of one object of 64 B, as measured of memcached 1.6 (data and command in measured.txt)",
    ),
    preset(
        "memcached-scan",
        Some(Unit::Time),
        "a get of 100 such objects, measured alike",
    ),
    preset(
        "redis-get",
        Some(Unit::Time),
        "a GET of one object of 64 B, as measured of Redis 7.0 (data and command in measured.txt)",
    ),
    preset(
        "redis-scan",
        Some(Unit::Time),
        "an MGET of 100 such objects, measured alike",
    ),
    preset(
        "fleet-popularity",
        None,
        "10,000 methods: the first has 28 % of the calls, the next 9 have 30 %, the next 90 have 33 %, \
         the rest 9 %; equal inside a slice (ours)",
    ),
    preset(
        "fleet-errors",
        None,
        "1.9 % of the calls fail: 45 % of these cancelled, 20 % not found, 35 % otherwise",
    ),
    preset(
        "fleet-hedge",
        None,
        "a second copy to another server once 95 % of the answers would have come",
    ),
];

fn table(points: &[(f64, f64)], cap: f64) -> Result<Distribution, String> {
    QuantileTable::new(points, cap).map(Distribution::Quantiles)
}

fn log_normal(median: f64, p99: f64, cap: f64) -> Distribution {
    Distribution::LogNormal {
        median,
        sigma: (p99 / median).ln() / 2.326_347_874,
        cap,
    }
}

const MIB: f64 = 1024.0 * 1024.0;
const MS: f64 = 1e6;

fn requests() -> Result<Distribution, String> {
    let points = [(0.0, 64.0), (0.5, 1530.0), (0.9, 11_800.0), (0.99, 196e3)];
    table(&points, 4.0 * MIB)
}

fn responses() -> Result<Distribution, String> {
    let points = [(0.0, 64.0), (0.5, 315.0), (0.9, 10_000.0), (0.99, 563e3)];
    table(&points, 4.0 * MIB)
}

/// The distribution that a preset's name stands for; with `/NUMBER` behind it, divided by the number:
/// `fleet-queue/1000` fits a laboratory run. `Err(None)` if there is no such preset.
pub fn distribution(name: &str, unit: Unit) -> Result<Distribution, Option<String>> {
    let (name, divisor) = match name.split_once('/') {
        None => (name, 1.0),
        Some((name, divisor)) => match divisor.trim().parse::<f64>() {
            Ok(number) if (1e-6..=1e9).contains(&number) => (name, number),
            _ => {
                return Err(Some(format!(
                    "a preset is divided by a number such as 1000, found {divisor:?}"
                )));
            }
        },
    };
    let found = if let Some(service) = service(name) {
        match unit {
            Unit::Time => Ok(service.time()),
            Unit::Bytes => Ok(Distribution::Constant(service.bytes)),
        }
    } else {
        let preset = PRESETS
            .iter()
            .find(|preset| preset.name == name)
            .ok_or(None)?;
        match preset.unit {
            Some(own) if own == unit => {}
            Some(own) => {
                return Err(Some(format!(
                    "{name} is a distribution of {own}, not of {unit}"
                )));
            }
            None => return Err(Some(format!("{name} is not a distribution"))),
        }
        match name {
            "fleet-size-req" => requests(),
            "fleet-size-resp" => responses(),
            "fleet-size-small" => requests().map(|d| d.capped(FRAGMENT_BYTES)),
            "fleet-size-small-resp" => responses().map(|d| d.capped(FRAGMENT_BYTES)),
            "fleet-storage-write" => requests().and_then(|others| {
                let blocks = Distribution::Constant(WRITE_BLOCK_BYTES);
                Mixture::new(vec![(WRITE_SHARE, blocks), (1.0 - WRITE_SHARE, others)])
                    .map(Distribution::Mixture)
            }),
            "fleet-time-bimodal" => Mixture::new(vec![
                (0.989, Distribution::Exponential(0.1 * MS)),
                (0.011, Distribution::Exponential(72.7 * MS)),
            ])
            .map(Distribution::Mixture),
            "fleet-time-mix" => Ok(Distribution::Methods(Arc::new(Methods::fleet()))),
            "fleet-queue" => Ok(log_normal(0.36 * MS, 102.0 * MS, 200.0 * MS)),
            "fleet-net" => Ok(log_normal(0.398 * MS, 115.0 * MS, 826.0 * MS)),
            "fleet-tree" => table(
                &[(0.0, 1.0), (0.5, 13.0), (0.9, 105.0), (0.99, 1155.0)],
                20_000.0,
            ),
            name => measured::measured(name).ok_or(None)?,
        }
    };
    let found = found.map_err(Some)?;
    Ok(if divisor == 1.0 {
        found
    } else {
        found.scaled(1.0 / divisor)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_named_distribution_is_there_and_can_be_divided() {
        for preset in PRESETS {
            let Some(unit) = preset.unit else {
                assert!(
                    distribution(preset.name, Unit::Time).is_err(),
                    "{}",
                    preset.name
                );
                continue;
            };
            let whole = distribution(preset.name, unit).unwrap();
            let text = format!("{}/100", preset.name);
            let hundredth = Distribution::parse(&text, unit).unwrap();
            let ratio = whole.mean() / hundredth.mean();
            assert!((ratio - 100.0).abs() < 1e-6, "{}: {ratio}", preset.name);
        }
    }

    #[test]
    fn names_that_do_not_fit_are_told() {
        for (text, unit, expected) in [
            ("fleet-queue", Unit::Bytes, "of time, not of size"),
            ("fleet-errors", Unit::Time, "is not a distribution"),
            ("fleet-queue/0", Unit::Time, "divided by a number"),
            ("fleet-queues", Unit::Time, "expected such as"),
        ] {
            let error = Distribution::parse(text, unit).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
