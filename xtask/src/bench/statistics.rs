//! What the spacing of packets is judged by: the statistic of Kolmogorov and Smirnov, for times that
//! are known to a step of a loop, and slopes.

/// At most `count` values, from all over the list.
pub fn thin(values: &[f64], count: usize) -> Vec<f64> {
    let step = values.len().div_ceil(count).max(1);
    values.iter().copied().step_by(step).collect()
}

/// The value that this share of a sorted list is below; 0 of none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a list"
)]
pub fn quantile(sorted: &[u64], share: f64) -> u64 {
    let last = sorted.len().saturating_sub(1);
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(last)).copied().unwrap_or(0)
}

/// The gaps of a process that was looked at every `step` only, moved back to where within the last
/// step it may have happened: evenly, and not at random, so that the same gaps give the same answer.
///
/// Each gap was rounded up to a multiple of the step, more or less. Without this, the staircase of the
/// loop would be all that a test of the distribution sees once a step is no longer small.
pub fn unround(gaps: &[f64], step: f64) -> Vec<f64> {
    // Multiples of the golden ratio, less their whole part, fill the interval evenly (Weyl).
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let mut part = 0.0f64;
    gaps.iter()
        .map(|gap| {
            part = (part + GOLDEN).fract();
            gap - part * step
        })
        .collect()
}

/// How much longer than `least` the gaps are that are no shorter. Of a Poisson process these are
/// distributed as all its gaps are, because it has no memory: this is how a process is tested whose
/// shorter gaps its instrument cannot show.
pub fn beyond(gaps: &[f64], least: f64) -> Vec<f64> {
    gaps.iter()
        .filter(|gap| **gap >= least)
        .map(|gap| gap - least)
        .collect()
}

/// The statistic of Kolmogorov and Smirnov against gaps of a Poisson process of this rate.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub fn distance_from_exponential(gaps: &[f64], rate: f64) -> f64 {
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let mut distance = 0f64;
    for (rank, gap) in sorted.iter().enumerate() {
        let ideal = 1.0 - (-rate * gap).exp();
        let (below, above) = (rank as f64 / count, (rank + 1) as f64 / count);
        distance = distance
            .max((ideal - below).abs())
            .max((above - ideal).abs());
    }
    distance
}

/// The distance that one in a hundred samples of this size exceeds by chance.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub fn distance_at_one_percent(count: usize) -> f64 {
    1.628 / (count as f64).sqrt()
}

/// The slope of the straight line that is nearest to the points by least squares; NaN for fewer than
/// two.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let (mut above, mut below) = (0.0, 0.0);
    for point in points {
        above += (point.0 - x) * (point.1 - y);
        below += (point.0 - x).powi(2);
    }
    above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quantiles of the exponential distribution themselves, in an order without a pattern.
    fn exponential(count: u32, rate: f64) -> Vec<f64> {
        (0..count)
            .map(|rank| f64::from(u64::from(rank) as u32 * 7919 % count))
            .map(|rank| -(1.0 - (rank + 0.5) / f64::from(count)).ln() / rate)
            .collect()
    }

    #[test]
    fn exponential_gaps_are_near_and_others_far() {
        assert!(distance_from_exponential(&exponential(1000, 50.0), 50.0) < 0.001);
        assert!(distance_from_exponential(&exponential(1000, 50.0), 60.0) > 0.05);
        assert!(distance_from_exponential(&[0.02; 1000], 50.0) > 0.5);
        let uniform: Vec<f64> = (0..1000).map(|n| f64::from(n) * 0.04 / 1000.0).collect();
        assert!(distance_from_exponential(&uniform, 50.0) > 0.1);
    }

    #[test]
    fn a_cut_process_is_as_the_whole() {
        let gaps = exponential(10_000, 50.0);
        let cut = beyond(&gaps, 0.02);
        assert!((3600..3700).contains(&cut.len()), "1/e of {}", cut.len());
        assert!(distance_from_exponential(&cut, 50.0) < 0.001);
        // What cannot be so short piles up at the shortest, and is found to if it is not cut away.
        let slow: Vec<f64> = gaps.iter().map(|gap| gap.max(0.002)).collect();
        assert!(distance_from_exponential(&slow, 50.0) > 0.05);
        assert!(distance_from_exponential(&beyond(&slow, 0.0021), 50.0) < 0.001);
        // The cut hides no other distribution.
        assert!(distance_from_exponential(&beyond(&[0.02; 1000], 0.01), 50.0) > 0.3);
    }

    #[test]
    fn rounding_up_is_undone_and_nothing_else() {
        let step = 0.002;
        let rounded = |gaps: &[f64]| -> Vec<f64> {
            gaps.iter().map(|gap| (gap / step).ceil() * step).collect()
        };
        let steps = rounded(&exponential(10_000, 50.0));
        assert!(distance_from_exponential(&steps, 50.0) > 0.09);
        let undone = unround(&steps, step);
        assert!(distance_from_exponential(&undone, 50.0) < 0.004);
        assert!(undone.iter().zip(&steps).all(|(new, old)| {
            let back = old - new;
            (0.0..=step).contains(&back)
        }));
        let other = unround(&rounded(&exponential(10_000, 60.0)), step);
        assert!(distance_from_exponential(&other, 50.0) > 0.05);
        let constant = unround(&[0.02; 10_000], step);
        assert!(distance_from_exponential(&constant, 50.0) > 0.5);
    }

    #[test]
    fn thinning_keeps_to_the_limit() {
        assert_eq!(thin(&[1.0, 2.0, 3.0, 4.0, 5.0], 2), [1.0, 4.0]);
        assert_eq!(thin(&[1.0], 10), [1.0]);
    }

    #[test]
    fn the_limit_shrinks_with_the_sample() {
        assert!((distance_at_one_percent(10_000) - 0.016_28).abs() < 1e-9);
    }

    #[test]
    fn quantiles() {
        assert_eq!(quantile(&[], 0.5), 0);
        let values: Vec<u64> = (0..10).collect();
        assert_eq!(
            [0.0, 0.5, 0.9, 1.0].map(|share| quantile(&values, share)),
            [0, 5, 9, 9]
        );
    }

    #[test]
    fn slopes() {
        let line: Vec<(f64, f64)> = (0..10)
            .map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x)))
            .collect();
        assert!((slope(&line) - 2.0).abs() < 1e-12);
        // Noise around the line averages out.
        let noisy: Vec<(f64, f64)> = (0..1000)
            .map(|x| (f64::from(x), f64::from(2 * x + x % 2)))
            .collect();
        assert!((slope(&noisy) - 2.0).abs() < 1e-5);
        assert!(slope(&[(1.0, 1.0)]).is_nan());
    }
}
