//! Each preset against what was published.

use serde::Serialize;

use super::{
    Errors, METHODS, Methods, Outcome, Popularity, SERVICES, WRITE_BLOCK_BYTES, distribution,
};
use crate::distribution::{Distribution, Unit};
use crate::random::Random;

/// A published number, and what the preset draws.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The preset.
    pub preset: String,
    /// Which number: `p99`, or what it is a share of.
    pub point: String,
    /// What the numbers are: `ns`, `bytes`, `count`, or `ratio`.
    pub unit: &'static str,
    /// As published, or where the point says so, as we have set it.
    pub published: f64,
    /// As drawn.
    pub achieved: f64,
}

impl Check {
    /// How far off, as a share of the published number.
    pub fn error(&self) -> f64 {
        self.achieved / self.published - 1.0
    }
}

/// Draws from each preset, `samples` times, and compares. With 10^6 samples every number comes within 5 %.
pub fn verify(samples: usize, seed: u64) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut add = |preset: &str, point: String, published: f64, achieved: f64| {
        checks.push(Check {
            preset: preset.into(),
            unit: unit_of(preset, &point),
            point,
            published,
            achieved,
        });
    };
    let drawn = |name: &str, unit| {
        let mut random = Random::named(seed, name, 0);
        let mut values: Vec<f64> = distribution(name, unit).map_or(Vec::new(), |preset| {
            (0..samples).map(|_| preset.sample(&mut random)).collect()
        });
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    for (name, unit, points) in QUANTILES {
        let values = drawn(name, *unit);
        for &(p, published) in *points {
            add(name, percentile(p), published, quantile(&values, p));
        }
    }
    for name in STORES {
        if let Ok(Distribution::Quantiles(table)) = distribution(name, Unit::Time) {
            let values = drawn(name, Unit::Time);
            for p in [0.5, 0.9, 0.99] {
                let drawn = quantile(&values, p);
                add(name, percentile(p), table.quantile(p), drawn);
            }
        }
    }
    for service in SERVICES {
        let values = drawn(service.name, Unit::Time);
        let ratio = quantile(&values, 0.95) / quantile(&values, 0.5);
        add(
            service.name,
            if service.name == "svc-f1" {
                "p95 over median".into()
            } else {
                "p95 over median (ours)".into()
            },
            service.p95_over_median,
            ratio,
        );
        let bytes = drawn(service.name, Unit::Bytes);
        add(
            service.name,
            "bytes".into(),
            service.bytes,
            quantile(&bytes, 0.5),
        );
    }
    let blocks = drawn("fleet-storage-write", Unit::Bytes);
    let writes = blocks.iter().filter(|b| **b == WRITE_BLOCK_BYTES).count();
    add(
        "fleet-storage-write",
        "share of blocks of 32 kB".into(),
        0.28,
        writes as f64 / samples as f64,
    );
    bimodal(&drawn("fleet-time-bimodal", Unit::Time), &mut add);
    let mut random = Random::named(seed, "popularity", 0);
    let mut calls = vec![0u64; METHODS];
    for _ in 0..samples {
        if let Some(count) = calls.get_mut(Popularity.draw(&mut random)) {
            *count += 1;
        }
    }
    for (methods, share) in [(1, 0.28), (10, 0.58), (100, 0.91)] {
        let sum: u64 = calls.iter().take(methods).sum();
        add(
            "fleet-popularity",
            format!("calls of the first {methods}"),
            share,
            sum as f64 / samples as f64,
        );
    }
    mix(samples, seed, &mut add);
    let mut random = Random::named(seed, "errors", 0);
    let mut outcomes = [0u64; 4];
    for _ in 0..samples {
        if let Some(count) = outcomes.get_mut(Errors::FLEET.draw(&mut random) as usize) {
            *count += 1;
        }
    }
    let failed = samples as u64 - outcomes[Outcome::Ok as usize];
    let of_failed = |outcome: Outcome| outcomes[outcome as usize] as f64 / failed.max(1) as f64;
    add(
        "fleet-errors",
        "failed".into(),
        0.019,
        failed as f64 / samples as f64,
    );
    add(
        "fleet-errors",
        "cancelled, of these".into(),
        0.45,
        of_failed(Outcome::Cancelled),
    );
    add(
        "fleet-errors",
        "not found, of these".into(),
        0.20,
        of_failed(Outcome::NotFound),
    );
    checks
}

/// What the number of a point is: percentiles and byte counts have a unit, shares have none.
fn unit_of(preset: &str, point: &str) -> &'static str {
    let percentile = point.starts_with('p') && !point.contains("over");
    match preset {
        "fleet-tree" => "count",
        _ if point == "bytes" => "bytes",
        _ if percentile && preset.starts_with("fleet-size") => "bytes",
        _ if percentile || point.starts_with("median") => "ns",
        _ => "ratio",
    }
}

/// Presets that were measured on our own machine: what was found there counts as published.
const STORES: [&str; 4] = ["memcached-get", "memcached-scan", "redis-get", "redis-scan"];

/// Presets that are given by quantiles, and these.
type Quantiles = (&'static str, Unit, &'static [(f64, f64)]);

const QUANTILES: &[Quantiles] = &[
    (
        "fleet-size-req",
        Unit::Bytes,
        &[(0.5, 1530.0), (0.9, 11_800.0), (0.99, 196e3)],
    ),
    (
        "fleet-size-resp",
        Unit::Bytes,
        &[(0.5, 315.0), (0.9, 10e3), (0.99, 563e3)],
    ),
    (
        "fleet-size-small-resp",
        Unit::Bytes,
        &[(0.5, 315.0), (0.9, 1424.0)],
    ),
    ("fleet-size-small", Unit::Bytes, &[(0.5, 1424.0)]),
    ("fleet-queue", Unit::Time, &[(0.5, 0.36e6), (0.99, 102e6)]),
    ("fleet-net", Unit::Time, &[(0.5, 0.398e6), (0.99, 115e6)]),
    (
        "fleet-tree",
        Unit::Bytes,
        &[(0.5, 13.0), (0.9, 105.0), (0.99, 1155.0)],
    ),
];

/// The long calls are those of the second exponential; told apart by what is far beyond the first.
fn bimodal(values: &[f64], add: &mut impl FnMut(&str, String, f64, f64)) {
    const SHORT_NS: f64 = 0.1e6;
    // Nothing of the short ones is longer than this; of the long ones the share exp(-20/727) is.
    let border = 20.0 * SHORT_NS;
    let long: Vec<f64> = values.iter().copied().filter(|v| *v > border).collect();
    let share = long.len() as f64 / values.len().max(1) as f64 / (-20.0f64 / 727.0).exp();
    let time: f64 = long.iter().sum::<f64>() / values.iter().sum::<f64>();
    add(
        "fleet-time-bimodal",
        "share of long calls".into(),
        0.011,
        share,
    );
    add(
        "fleet-time-bimodal",
        "time of long calls".into(),
        0.89,
        time,
    );
}

fn mix(samples: usize, seed: u64, add: &mut impl FnMut(&str, String, f64, f64)) {
    let methods = Methods::fleet();
    let mut order: Vec<usize> = (0..METHODS).collect();
    order.sort_by(|a, b| methods.median(*a).total_cmp(&methods.median(*b)));
    let tenth = order.get(METHODS / 10).copied().unwrap_or(0);
    add(
        "fleet-time-mix",
        "median that 90 % reach".into(),
        10.7e6,
        methods.median(tenth),
    );
    let fastest: f64 = order
        .iter()
        .take(100)
        .map(|rank| Popularity.share(*rank))
        .sum();
    add(
        "fleet-time-mix",
        "calls of the 100 fastest".into(),
        0.40,
        fastest,
    );
    let mut random = Random::named(seed, "fleet-time-mix", 0);
    let mut values: Vec<f64> = (0..samples)
        .map(|_| methods.sample_of(tenth, &mut random))
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    add(
        "fleet-time-mix",
        "p50 of that method".into(),
        10.7e6,
        quantile(&values, 0.5),
    );
    add(
        "fleet-time-mix",
        "p99 of that method".into(),
        225e6,
        quantile(&values, 0.99),
    );
}

fn percentile(p: f64) -> String {
    format!("p{}", (p * 1000.0).round() / 10.0)
}

fn quantile(sorted: &[f64], p: f64) -> f64 {
    let at = (p * sorted.len() as f64) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f26_each_preset_reproduces_its_published_numbers() {
        let checks = verify(1_000_000, 1);
        for check in &checks {
            assert!(check.error().abs() < 0.05, "{check:?}");
            let is_time =
                check.preset.starts_with("fleet-queue") || check.point.starts_with("p50 of");
            assert!(!is_time || check.unit == "ns", "{check:?}");
        }
        for name in super::super::PRESETS.iter().map(|preset| preset.name) {
            assert!(
                name == "fleet-hedge" || checks.iter().any(|check| check.preset == name),
                "{name} is not checked"
            );
        }
    }
}
