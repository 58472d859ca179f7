//! Distributions of service times and sizes, as people write them: `exp(25us)`,
//! `bimodal(90%:25us,10%:250us)`, `lognormal(median=10us,p99=200us)`, `const(10us)`,
//! `quantiles(0%:64,50%:1530,99%:196kB,cap=4MiB)`, or the name of a preset.

mod text;

use std::sync::Arc;

use crate::presets::Methods;
use crate::quantile::QuantileTable;
use crate::random::Random;

pub(crate) use text::share;
pub use text::{Unit, read_bytes};

/// A distribution of positive values: nanoseconds, or bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Distribution {
    /// Always the same.
    Constant(f64),
    /// Exponential of this mean.
    Exponential(f64),
    /// Log-normal.
    LogNormal {
        /// The median.
        median: f64,
        /// The deviation of the logarithm.
        sigma: f64,
        /// The greatest value there can be; infinite for none.
        cap: f64,
    },
    /// Given by quantiles.
    Quantiles(QuantileTable),
    /// One of several, each with its share of the draws.
    Mixture(Mixture),
    /// A fleet's methods, each with its own times.
    Methods(Arc<Methods>),
    /// Another one's, but at most this.
    Capped(Box<Distribution>, f64),
}

/// Several distributions with their shares.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// Shares, which add up to 1, and what they are shares of.
    parts: Vec<(f64, Distribution)>,
}

impl Mixture {
    /// Parts whose shares add up to 1 (a thousandth more or less is evened out).
    pub fn new(parts: Vec<(f64, Distribution)>) -> Result<Mixture, String> {
        if parts.is_empty() {
            return Err("at least one part is needed".into());
        }
        if let Some((share, _)) = parts.iter().find(|part| !(part.0 > 0.0 && part.0 <= 1.0)) {
            return Err(format!(
                "a share is more than 0% and at most 100%, found {}%",
                share * 100.0
            ));
        }
        let sum: f64 = parts.iter().map(|part| part.0).sum();
        if (sum - 1.0).abs() > 1e-3 {
            return Err(format!(
                "the shares add up to {}%, not to 100%",
                sum * 100.0
            ));
        }
        Ok(Mixture {
            parts: parts
                .into_iter()
                .map(|(share, part)| (share / sum, part))
                .collect(),
        })
    }

    /// Shares and parts.
    pub fn parts(&self) -> &[(f64, Distribution)] {
        &self.parts
    }

    /// Which part a draw is of.
    pub(crate) fn choose(&self, random: &mut Random) -> usize {
        let mut at = random.unit();
        for (index, (share, _)) in self.parts.iter().enumerate() {
            if at <= *share {
                return index;
            }
            at -= share;
        }
        self.parts.len().saturating_sub(1)
    }
}

impl Distribution {
    /// A draw.
    pub fn sample(&self, random: &mut Random) -> f64 {
        match self {
            Distribution::Constant(value) => *value,
            Distribution::Exponential(mean) => mean * random.exponential(),
            Distribution::LogNormal { median, sigma, cap } => {
                (median * (sigma * random.normal()).exp()).min(*cap)
            }
            Distribution::Quantiles(table) => table.sample(random),
            Distribution::Mixture(mixture) => {
                let part = mixture.parts.get(mixture.choose(random));
                part.map_or(0.0, |(_, part)| part.sample(random))
            }
            Distribution::Methods(methods) => methods.sample(random),
            Distribution::Capped(of, cap) => of.sample(random).min(*cap),
        }
    }

    /// A draw as a whole number, at least 1.
    #[inline]
    pub fn sample_whole(&self, random: &mut Random) -> u64 {
        (self.sample(random).round() as u64).max(1)
    }

    /// The mean, which capacities are computed from.
    pub fn mean(&self) -> f64 {
        match self {
            Distribution::Constant(value) => *value,
            Distribution::Exponential(mean) => *mean,
            Distribution::LogNormal { median, sigma, cap } => {
                log_normal_mean(*median, *sigma, *cap)
            }
            Distribution::Quantiles(table) => table.mean(),
            Distribution::Mixture(mixture) => mixture
                .parts
                .iter()
                .map(|(share, part)| share * part.mean())
                .sum(),
            Distribution::Methods(methods) => methods.mean(),
            Distribution::Capped(of, cap) => capped_mean(of, *cap),
        }
    }

    /// The same, every value times `factor`.
    pub fn scaled(&self, factor: f64) -> Distribution {
        match self {
            Distribution::Constant(value) => Distribution::Constant(value * factor),
            Distribution::Exponential(mean) => Distribution::Exponential(mean * factor),
            Distribution::LogNormal { median, sigma, cap } => Distribution::LogNormal {
                median: median * factor,
                sigma: *sigma,
                cap: cap * factor,
            },
            Distribution::Quantiles(table) => Distribution::Quantiles(table.scaled(factor)),
            Distribution::Mixture(mixture) => Distribution::Mixture(Mixture {
                parts: mixture
                    .parts
                    .iter()
                    .map(|(share, part)| (*share, part.scaled(factor)))
                    .collect(),
            }),
            Distribution::Methods(methods) => {
                Distribution::Methods(Arc::new(methods.scaled(factor)))
            }
            Distribution::Capped(of, cap) => {
                Distribution::Capped(Box::new(of.scaled(factor)), cap * factor)
            }
        }
    }

    /// The same, but no value above `cap`.
    pub fn capped(self, cap: f64) -> Distribution {
        Distribution::Capped(Box::new(self), cap)
    }
}

/// The mean of a log-normal distribution whose values above `cap` are `cap`.
fn log_normal_mean(median: f64, sigma: f64, cap: f64) -> f64 {
    let mean = median * (sigma * sigma / 2.0).exp();
    if !cap.is_finite() || sigma <= 0.0 {
        return mean.min(cap);
    }
    let z = (cap / median).ln() / sigma;
    mean * normal_below(z - sigma) + cap * (1.0 - normal_below(z))
}

/// The share of a normal distribution below `z` (Abramowitz and Stegun 26.2.17, error below 7.5e-8).
fn normal_below(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let series = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let above = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt() * series;
    if z >= 0.0 { 1.0 - above } else { above }
}

/// The mean of `of` with values above `cap` cut: in closed form where there is one, else from draws of
/// a fixed seed.
fn capped_mean(of: &Distribution, cap: f64) -> f64 {
    match of {
        Distribution::Constant(value) => value.min(cap),
        Distribution::Exponential(mean) => mean * (1.0 - (-cap / mean).exp()),
        Distribution::LogNormal {
            median,
            sigma,
            cap: own,
        } => log_normal_mean(*median, *sigma, own.min(cap)),
        Distribution::Quantiles(table) => table.capped_mean(cap),
        Distribution::Mixture(mixture) => mixture
            .parts
            .iter()
            .map(|(share, part)| share * capped_mean(part, cap))
            .sum(),
        Distribution::Capped(inner, own) => capped_mean(inner, own.min(cap)),
        Distribution::Methods(_) => {
            let mut random = Random::named(1, "capped mean", 0);
            let draws = 100_000;
            let sum: f64 = (0..draws).map(|_| of.sample(&mut random).min(cap)).sum();
            sum / f64::from(draws)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(distribution: &Distribution, draws: u32) -> f64 {
        let mut random = Random::named(11, "mean", 0);
        let sum: f64 = (0..draws).map(|_| distribution.sample(&mut random)).sum();
        sum / f64::from(draws)
    }

    #[test]
    fn f26_each_distribution_has_the_mean_it_says() {
        for text in [
            "const(10us)",
            "exp(25us)",
            "bimodal(90%:25us,10%:250us)",
            "lognormal(median=20us,sigma=0.8)",
            "lognormal(median=20us,sigma=1.5,cap=1ms)",
            "quantiles(0%:1us,50%:10us,99%:100us,cap=1ms)",
            "mix(98.9%:exp(10us),1.1%:exp(200us))",
            "cap(exp(25us),30us)",
            "cap(quantiles(0%:1us,50%:10us,99%:100us,cap=1ms),50us)",
            "cap(mix(50%:exp(10us),50%:lognormal(median=20us,sigma=1)),30us)",
        ] {
            let distribution = Distribution::parse(text, Unit::Time).unwrap();
            let (drawn, said) = (mean_of(&distribution, 400_000), distribution.mean());
            assert!((drawn / said - 1.0).abs() < 0.01, "{text}: {drawn}, {said}");
            let double = distribution.scaled(2.0);
            assert!((double.mean() / said - 2.0).abs() < 1e-6, "{text}");
        }
    }

    #[test]
    fn f26_a_bimodal_draws_its_two_values_by_their_shares() {
        let bimodal = Distribution::parse("bimodal(90%:25us,10%:250us)", Unit::Time).unwrap();
        let mut random = Random::named(1, "bimodal", 0);
        let long = (0..100_000)
            .map(|_| bimodal.sample_whole(&mut random))
            .inspect(|value| assert!([25_000, 250_000].contains(value), "{value}"))
            .filter(|value| *value == 250_000)
            .count();
        assert!((9_700..10_300).contains(&long), "{long}");
    }

    #[test]
    fn capacities_of_the_papers_workloads() {
        // Workers over the mean with jitter, 6 servers of 15 workers, millions a second.
        for (text, capacity) in [
            ("exp(25us)", 3.158),
            ("bimodal(90%:25us,10%:250us)", 1.662),
            ("exp(50us)", 1.579),
            ("bimodal(90%:50us,10%:500us)", 0.831),
            ("exp(500us)", 0.158),
        ] {
            let service = crate::service::ServiceTime::new(
                Distribution::parse(text, Unit::Time).unwrap(),
                crate::service::Jitter::default(),
            );
            let found = 90.0 * 1e3 / service.mean_ns();
            assert!((found - capacity).abs() < 1e-3, "{text}: {found}");
        }
    }
}
