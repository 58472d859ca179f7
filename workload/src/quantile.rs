//! A distribution given by some of its quantiles.
//!
//! Published measurements give a median, a 90th and a 99th percentile, and no law. Between the points
//! given, the logarithm of the value is a straight line over -ln(1-p), which is what long tails look like;
//! beyond the last one the line goes on, up to a cap. The mean of such a tail is set by its cap, so there
//! always is one.

use crate::random::Random;

/// Quantiles, and what lies between them.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileTable {
    /// (-ln(1-p), ln value), ascending in both.
    knots: Vec<(f64, f64)>,
    /// As given: (p, value).
    points: Vec<(f64, f64)>,
    cap: f64,
}

impl QuantileTable {
    /// A table of (p, value) with p from 0 and below 1, ascending, values above 0 and not descending.
    pub fn new(points: &[(f64, f64)], cap: f64) -> Result<QuantileTable, String> {
        if points.len() < 2 {
            return Err("a table of quantiles has at least two points".into());
        }
        if points.first().is_none_or(|first| first.0 != 0.0) {
            return Err("a table of quantiles begins with the least value, at 0".into());
        }
        for &(p, value) in points {
            if !(0.0..1.0).contains(&p) {
                return Err(format!("a quantile is from 0 to less than 1, found {p}"));
            }
            if !value.is_finite() || value <= 0.0 {
                return Err(format!("a value is more than 0, found {value}"));
            }
        }
        for pair in points.windows(2) {
            if let [(p, a), (q, b)] = pair
                && (p >= q || a > b)
            {
                return Err(format!(
                    "quantiles ascend: {p}:{a} cannot stand before {q}:{b}"
                ));
            }
        }
        let greatest = points.last().map_or(0.0, |last| last.1);
        if !cap.is_finite() || cap < greatest {
            return Err(format!(
                "the cap is at least the last value, {greatest}, found {cap}"
            ));
        }
        Ok(QuantileTable {
            knots: points
                .iter()
                .map(|&(p, value)| (-(1.0 - p).ln(), value.ln()))
                .collect(),
            points: points.to_vec(),
            cap,
        })
    }

    /// The points as given, (p, value).
    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    /// The greatest value there can be.
    pub fn cap(&self) -> f64 {
        self.cap
    }

    /// The value at -ln(1-p) = `x`.
    fn at(&self, x: f64) -> f64 {
        let last = self.knots.len().saturating_sub(1);
        // The segment in which x lies, the last one for what lies beyond.
        let end = self
            .knots
            .iter()
            .position(|knot| knot.0 >= x)
            .unwrap_or(last)
            .max(1);
        let (Some(a), Some(b)) = (self.knots.get(end - 1), self.knots.get(end)) else {
            return self.cap;
        };
        let ln = a.1 + (b.1 - a.1) * (x - a.0) / (b.0 - a.0);
        ln.exp().min(self.cap)
    }

    /// The value that a share `p` of the draws lies below.
    pub fn quantile(&self, p: f64) -> f64 {
        self.at(-(1.0 - p.clamp(0.0, 1.0 - 1e-15)).ln())
    }

    /// A draw. -ln(1-p) of a uniform p is exponential, so no logarithm is needed twice.
    #[inline]
    pub fn sample(&self, random: &mut Random) -> f64 {
        self.at(random.exponential())
    }

    /// The same, every value times `factor`.
    pub(crate) fn scaled(&self, factor: f64) -> QuantileTable {
        QuantileTable {
            knots: self
                .knots
                .iter()
                .map(|k| (k.0, k.1 + factor.ln()))
                .collect(),
            points: self.points.iter().map(|p| (p.0, p.1 * factor)).collect(),
            cap: self.cap * factor,
        }
    }

    /// The mean, cap included.
    pub fn mean(&self) -> f64 {
        self.capped_mean(self.cap)
    }

    /// The mean with values above `cap` cut to it, where that is below the table's own cap.
    ///
    /// In x = -ln(1-p), where p has the density e^-x, each segment is e^(c + s x): its part of the mean is an
    /// integral of e^(c + (s-1) x).
    pub(crate) fn capped_mean(&self, cap: f64) -> f64 {
        let cap = cap.min(self.cap);
        let mut mean = 0.0;
        let last = self.knots.len().saturating_sub(2);
        for (index, pair) in self.knots.windows(2).enumerate() {
            let [a, b] = pair else { continue };
            let slope = (b.1 - a.1) / (b.0 - a.0);
            // The last segment goes on for ever; where the cap is reached, the value stays.
            let end = if index == last { f64::INFINITY } else { b.0 };
            let capped = if a.1 >= cap.ln() {
                a.0
            } else if slope > 0.0 {
                a.0 + (cap.ln() - a.1) / slope
            } else {
                f64::INFINITY
            };
            mean += integral(a.1 - slope * a.0, slope - 1.0, a.0, end.min(capped));
            if capped < end {
                return mean + (-capped).exp() * cap;
            }
        }
        mean
    }
}

/// The integral of e^(c + k x) from `a` to `b`; k is below 0 where `b` is infinite.
fn integral(c: f64, k: f64, a: f64, b: f64) -> f64 {
    if k.abs() < 1e-12 {
        return c.exp() * (b - a);
    }
    ((c + k * b).exp() - (c + k * a).exp()) / k
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> QuantileTable {
        let points = [(0.0, 64.0), (0.5, 1530.0), (0.9, 11_800.0), (0.99, 196e3)];
        QuantileTable::new(&points, 4.0 * 1024.0 * 1024.0).unwrap()
    }

    #[test]
    fn points_are_met_and_what_lies_between_is_a_line() {
        let table = requests();
        for &(p, value) in table.points() {
            assert!((table.quantile(p) / value - 1.0).abs() < 1e-9, "{p}");
        }
        // Half way between 0.9 and 0.99 in -ln(1-p), half way in the logarithm.
        let p = 1.0 - 10f64.powf(-1.5);
        let middle = (11_800.0f64 * 196e3).sqrt();
        assert!((table.quantile(p) / middle - 1.0).abs() < 1e-9);
        // Beyond the last point it goes on as before, and ends at the cap.
        assert!((table.quantile(0.999) / (196e3 * 196.0 / 11.8) - 1.0).abs() < 1e-9);
        assert_eq!(table.quantile(0.999_99), table.cap());
        assert_eq!(table.quantile(1.0), table.cap());
    }

    #[test]
    fn mean_is_that_of_the_draws() {
        let table = requests();
        let mut random = Random::new(5, 1);
        let n = 1_000_000;
        let sum: f64 = (0..n).map(|_| table.sample(&mut random)).sum();
        let mean = sum / f64::from(n);
        assert!(
            (mean / table.mean() - 1.0).abs() < 0.02,
            "{mean} {}",
            table.mean()
        );
        let flat = QuantileTable::new(&[(0.0, 7.0), (0.5, 7.0)], 7.0).unwrap();
        assert!((flat.mean() - 7.0).abs() < 1e-9);
    }

    #[test]
    fn wrong_tables_are_refused() {
        for (points, cap, expected) in [
            (&[(0.0, 1.0)][..], 1.0, "at least two"),
            (&[(0.1, 1.0), (0.5, 2.0)], 2.0, "least value"),
            (&[(0.0, 1.0), (1.0, 2.0)], 2.0, "less than 1"),
            (&[(0.0, 0.0), (0.5, 2.0)], 2.0, "more than 0"),
            (&[(0.0, 3.0), (0.5, 2.0)], 3.0, "ascend"),
            (&[(0.0, 1.0), (0.5, 2.0)], 1.0, "cap"),
            (&[(0.0, 1.0), (f64::NAN, 2.0)], 3.0, "less than 1"),
        ] {
            let error = QuantileTable::new(points, cap).unwrap_err();
            assert!(error.contains(expected), "{points:?}: {error}");
        }
    }
}
