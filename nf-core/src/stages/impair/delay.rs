//! How long a packet takes: times drawn from distributions, alike or not from packet to packet.

use super::chance::Chance;
use super::config::{DelayTime, LONGEST_US};

/// What delays remember from packet to packet: where the last one stood in its distribution, as a
/// standard normal variable.
#[derive(Clone, Debug, Default)]
pub(super) struct DelayState {
    score: Option<f64>,
}

impl DelayState {
    /// The next packet's time, nanoseconds.
    ///
    /// Correlated times are a Gaussian copula: an autoregressive normal variable is carried over to
    /// the distribution by its rank, so that the distribution stays exactly what it is.
    #[inline]
    pub fn next(&mut self, time: &DelayTime, correlation: f64, chance: &mut Chance) -> u64 {
        let us = match time {
            DelayTime::ConstantUs(us) => *us,
            DelayTime::Uniform(time) => {
                time.min_us + self.rank(correlation, chance) * (time.max_us - time.min_us)
            }
            DelayTime::Normal(time) => {
                time.mean_us + self.score(correlation, chance) * time.deviation_us
            }
            DelayTime::Exponential(time) => {
                -time.mean_us * (1.0 - self.rank(correlation, chance)).ln()
            }
            DelayTime::Pareto(time) => {
                time.min_us * (1.0 - self.rank(correlation, chance)).powf(-1.0 / time.shape)
            }
            DelayTime::LogNormal(time) => {
                time.median_us * (self.score(correlation, chance) * time.sigma).exp()
            }
        };
        // What is not a number (nothing times infinity) becomes 0 in the conversion.
        (us.clamp(0.0, LONGEST_US) * 1000.0) as u64
    }

    #[inline]
    fn score(&mut self, correlation: f64, chance: &mut Chance) -> f64 {
        let fresh = chance.normal();
        if correlation == 0.0 {
            return fresh;
        }
        let score = match self.score {
            Some(last) => correlation * last + (1.0 - correlation * correlation).sqrt() * fresh,
            None => fresh,
        };
        self.score = Some(score);
        score
    }

    /// Uniform in 0 to 1.
    #[inline]
    fn rank(&mut self, correlation: f64, chance: &mut Chance) -> f64 {
        if correlation == 0.0 {
            chance.unit()
        } else {
            normal_cdf(self.score(correlation, chance))
        }
    }
}

/// The standard normal distribution function, within 1.2e-7: Chebyshev fit of the complementary
/// error function (Press et al., "Numerical Recipes", section 6.2).
fn normal_cdf(z: f64) -> f64 {
    const COEFFICIENTS: [f64; 10] = [
        -1.26551223,
        1.00002368,
        0.37409196,
        0.09678418,
        -0.18628806,
        0.27886807,
        -1.13520398,
        1.48851587,
        -0.82215223,
        0.17087277,
    ];
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let polynomial = COEFFICIENTS.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let tail = 0.5 * t * (-x * x + polynomial).exp();
    if z < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::super::config::{LogNormal, MeanTime, NormalTime, Pareto, UniformTime};
    use super::*;

    const DRAWS: usize = 20_000;

    fn draw(time: &DelayTime, correlation: f64, seed: u64) -> Vec<f64> {
        let (mut state, mut chance) = (DelayState::default(), Chance::new(seed, 0, 0));
        let mut next = || state.next(time, correlation, &mut chance) as f64 / 1000.0;
        (0..DRAWS).map(|_| next()).collect()
    }

    /// Largest distance of the sample's distribution function from `cdf` (Kolmogorov-Smirnov).
    fn distance(mut sample: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
        sample.sort_by(f64::total_cmp);
        let n = sample.len() as f64;
        sample
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let at = cdf(*x);
                (at - i as f64 / n)
                    .abs()
                    .max(((i + 1) as f64 / n - at).abs())
            })
            .fold(0.0, f64::max)
    }

    /// The distribution function of a sum of many products is checked against integration.
    #[test]
    fn the_normal_distribution_function() {
        let density = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let (mut sum, step) = (0.0, 1e-4);
        let mut x = -8.0;
        while x < 4.0 {
            assert!((normal_cdf(x) - sum).abs() < 3e-6, "at {x}");
            for _ in 0..2500 {
                sum += density(x + step / 2.0) * step;
                x += step;
            }
        }
    }

    type DistributionFunction = Box<dyn Fn(f64) -> f64>;

    fn distributions() -> Vec<(DelayTime, DistributionFunction)> {
        vec![
            (
                DelayTime::Uniform(UniformTime {
                    min_us: 100.0,
                    max_us: 300.0,
                }),
                Box::new(|x: f64| ((x - 100.0) / 200.0).clamp(0.0, 1.0)),
            ),
            (
                DelayTime::Normal(NormalTime {
                    mean_us: 1000.0,
                    deviation_us: 100.0,
                }),
                Box::new(|x: f64| normal_cdf((x - 1000.0) / 100.0)),
            ),
            (
                DelayTime::Exponential(MeanTime { mean_us: 500.0 }),
                Box::new(|x: f64| 1.0 - (-x / 500.0).exp()),
            ),
            (
                DelayTime::Pareto(Pareto {
                    min_us: 50.0,
                    shape: 1.5,
                }),
                Box::new(|x: f64| {
                    if x < 50.0 {
                        0.0
                    } else {
                        1.0 - (50.0 / x).powf(1.5)
                    }
                }),
            ),
            (
                DelayTime::LogNormal(LogNormal {
                    median_us: 200.0,
                    sigma: 0.8,
                }),
                Box::new(|x: f64| normal_cdf((x / 200.0).ln() / 0.8)),
            ),
        ]
    }

    #[test]
    fn every_distribution_is_what_it_says() {
        // Critical value at 1 %.
        let critical = 1.628 / (DRAWS as f64).sqrt();
        for (seed, (time, cdf)) in distributions().into_iter().enumerate() {
            let d = distance(draw(&time, 0.0, seed as u64), cdf);
            assert!(d < critical, "{time:?}: distance {d}, critical {critical}");
        }
        let constant = DelayTime::ConstantUs(12.5);
        assert!(draw(&constant, 0.5, 1).iter().all(|us| *us == 12.5));
    }

    #[test]
    fn correlation_changes_the_sequence_and_not_the_distribution() {
        let rho = 0.7;
        // Draws that depend on each other tell less: their effective number is n (1-rho)/(1+rho).
        let effective = DRAWS as f64 * (1.0 - rho) / (1.0 + rho);
        let critical = 1.628 / effective.sqrt();
        for (seed, (time, cdf)) in distributions().into_iter().enumerate() {
            let sample = draw(&time, rho, 100 + seed as u64);
            let scores: Vec<f64> = sample.iter().map(|x| cdf(*x)).collect();
            let d = distance(sample, cdf);
            assert!(d < critical, "{time:?}: distance {d}, critical {critical}");
            // Ranks of normal variables that correlate by rho do so by 6/pi asin(rho/2).
            let pairs = scores.windows(2).map(|w| (w[0] - 0.5) * (w[1] - 0.5));
            let seen = 12.0 * pairs.sum::<f64>() / (DRAWS - 1) as f64;
            let expected = 6.0 / std::f64::consts::PI * (rho / 2.0_f64).asin();
            assert!(
                (seen - expected).abs() < 0.03,
                "{time:?}: {seen}, {expected}"
            );
        }
        let same = draw(&distributions()[0].0, 1.0, 3);
        assert!(same.iter().all(|us| *us == same[0]));
    }

    #[test]
    fn no_time_is_negative_or_endless() {
        let wild = [
            DelayTime::Normal(NormalTime {
                mean_us: 0.0,
                deviation_us: LONGEST_US,
            }),
            DelayTime::Pareto(Pareto {
                min_us: LONGEST_US,
                shape: 0.1,
            }),
            DelayTime::LogNormal(LogNormal {
                median_us: 0.0,
                sigma: 10.0,
            }),
            DelayTime::LogNormal(LogNormal {
                median_us: LONGEST_US,
                sigma: 10.0,
            }),
        ];
        for time in wild {
            assert!(
                draw(&time, 0.3, 1)
                    .iter()
                    .all(|us| (0.0..=LONGEST_US).contains(us))
            );
        }
    }
}
