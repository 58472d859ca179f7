//! Mean and variance in which old samples fade.

use super::Spread;

/// An exponentially weighted mean and variance.
///
/// With a weight `w`, a sample `x` changes them by `d = x - m; m += w·d; v = (1 - w)·(v + w·d²)`. The
/// first `1/w` samples weigh `1/n` each, so that the first estimates are plain averages and not
/// drawn towards zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ewma {
    weight: f64,
    mean: f64,
    variance: f64,
    samples: u64,
}

/// What an [`Ewma`] says now. Units are those of its samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
    /// How many samples it has seen since it was made or reset.
    pub samples: u64,
}

impl Estimate {
    /// Mean and three deviations: what is taken for the tail, in measuring as in calibrating. Near the
    /// 99th percentile for a normal distribution, and for no other.
    pub fn tail(&self) -> f64 {
        self.mean + 3.0 * self.deviation
    }

    /// What several cores measured, as one: each weighs by its number of samples.
    pub fn pooled(parts: impl Iterator<Item = Estimate> + Clone) -> Estimate {
        let samples: u64 = parts.clone().map(|part| part.samples).sum();
        if samples == 0 {
            return Estimate::default();
        }
        let share = |part: &Estimate| part.samples as f64 / samples as f64;
        let mean: f64 = parts.clone().map(|part| share(&part) * part.mean).sum();
        let variance: f64 = parts
            .map(|part| share(&part) * (part.deviation.powi(2) + (part.mean - mean).powi(2)))
            .sum();
        Estimate {
            mean,
            deviation: variance.max(0.0).sqrt(),
            samples,
        }
    }
}

impl Ewma {
    /// Without samples; `weight` is what one of them weighs, over 0 and at most 1.
    pub const fn new(weight: f64) -> Ewma {
        Ewma {
            weight,
            mean: 0.0,
            variance: 0.0,
            samples: 0,
        }
    }

    /// Takes a sample in.
    #[inline]
    pub fn add(&mut self, sample: f64) {
        self.samples += 1;
        let weight = self.weight.max(1.0 / self.samples as f64);
        self.shift(sample, weight);
    }

    /// Takes `count` samples of the same value in: what a burst of packets is, whose time is known
    /// as a whole. The same as adding them one after the other.
    #[inline]
    pub fn add_many(&mut self, sample: f64, count: u64) {
        if count > 0 {
            let weight = self.weight_of(count);
            self.shift(sample, weight);
        }
    }

    /// Takes `count` samples in of which only the mean is known: what the service times of the packets of a
    /// burst are. How far such means lie from what was expected says how far the samples themselves do: a
    /// mean of n varies by an n-th of what one sample does.
    #[inline]
    pub fn add_mean(&mut self, mean: f64, count: u64) {
        if count <= 1 || self.samples == 0 {
            return self.add_many(mean, count);
        }
        let weight = self.weight_of(count);
        let apart = mean - self.mean;
        self.mean += weight * apart;
        // The mean so far varies as well, by w / (2 - w) of what that of the burst does.
        let found = count as f64 * apart * apart * (1.0 - weight / 2.0);
        self.variance += weight * (found - self.variance);
    }

    /// Takes samples in of which mean and variance are known.
    pub fn add_spread(&mut self, spread: Spread) {
        let Some(variance) = spread.variance.filter(|_| spread.count > 0) else {
            return self.add_mean(spread.mean, spread.count);
        };
        let weight = self.weight_of(spread.count);
        let apart = spread.mean - self.mean;
        self.mean += weight * apart;
        let kept = 1.0 - weight;
        self.variance = kept * (self.variance + weight * apart * apart) + weight * variance;
    }

    /// What `count` new samples weigh together; counts them.
    #[inline]
    fn weight_of(&mut self, count: u64) -> f64 {
        let before = self.samples;
        self.samples += count;
        let steady = (1.0 / self.weight) as u64;
        // What the old samples keep: the product of (1 - w) over the new ones.
        let young = self.samples.min(steady).saturating_sub(before);
        let old = count - young;
        let mut kept = 1.0;
        if young > 0 {
            kept = before as f64 / (before + young) as f64;
        }
        if old > 0 {
            kept *= (1.0 - self.weight).powi(old.min(i32::MAX as u64) as i32);
        }
        1.0 - kept
    }

    #[inline]
    fn shift(&mut self, sample: f64, weight: f64) {
        let apart = sample - self.mean;
        self.mean += weight * apart;
        self.variance = (1.0 - weight) * (self.variance + weight * apart * apart);
    }

    /// What it says now.
    #[inline]
    pub fn estimate(&self) -> Estimate {
        Estimate {
            mean: self.mean,
            deviation: self.variance().sqrt(),
            samples: self.samples,
        }
    }

    /// The mean.
    #[inline]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The variance; never below zero.
    #[inline]
    pub fn variance(&self) -> f64 {
        self.variance.max(0.0)
    }

    /// Forgets everything: something has changed so much that old samples mislead.
    pub fn reset(&mut self) {
        *self = Ewma::new(self.weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, with all samples at hand.
    fn reference(samples: &[f64], weight: f64) -> (f64, f64) {
        let mut weights: Vec<f64> = Vec::new();
        for n in 1..=samples.len() {
            let w = weight.max(1.0 / n as f64);
            weights.iter_mut().for_each(|old| *old *= 1.0 - w);
            weights.push(w);
        }
        let mean: f64 = weights.iter().zip(samples).map(|(w, x)| w * x).sum();
        let square = |(w, x): (&f64, &f64)| w * (x - mean).powi(2);
        (mean, weights.iter().zip(samples).map(square).sum())
    }

    proptest! {
        #[test]
        fn ip10_mean_and_variance_match_the_definition(
            samples in prop::collection::vec(0.0f64..1e6, 1..400),
            weight in prop::sample::select(vec![1.0 / 4.0, 1.0 / 64.0, 1.0 / 256.0]),
        ) {
            let mut ewma = Ewma::new(weight);
            samples.iter().for_each(|x| ewma.add(*x));
            let (mean, variance) = reference(&samples, weight);
            let got = ewma.estimate();
            prop_assert!((got.mean - mean).abs() <= 1e-9 * mean.max(1.0));
            prop_assert!((got.deviation.powi(2) - variance).abs() <= 1e-6 * variance.max(1.0));
            prop_assert_eq!(got.samples, samples.len() as u64);
        }

        #[test]
        fn ip10_a_burst_counts_as_its_packets(
            bursts in prop::collection::vec((0.0f64..1e5, 0u64..70), 0..40),
        ) {
            let (mut one, mut many) = (Ewma::new(1.0 / 64.0), Ewma::new(1.0 / 64.0));
            for (sample, count) in bursts {
                (0..count).for_each(|_| one.add(sample));
                many.add_many(sample, count);
            }
            let (one, many) = (one.estimate(), many.estimate());
            prop_assert!((one.mean - many.mean).abs() <= 1e-7 * one.mean.max(1.0));
            prop_assert!((one.deviation - many.deviation).abs() <= 1e-4 * one.deviation.max(1.0));
            prop_assert_eq!(one.samples, many.samples);
        }
    }

    #[test]
    fn a_constant_has_no_deviation() {
        let mut ewma = Ewma::new(1.0 / 64.0);
        (0..1000).for_each(|_| ewma.add(17.0));
        assert_eq!(ewma.estimate().tail(), 17.0);
        ewma.reset();
        assert_eq!(ewma.estimate(), Estimate::default());
    }

    #[test]
    fn old_samples_fade() {
        let mut ewma = Ewma::new(1.0 / 64.0);
        (0..1000).for_each(|_| ewma.add(100.0));
        (0..640).for_each(|_| ewma.add(5.0));
        assert!((ewma.mean() - 5.0).abs() < 0.01, "{}", ewma.mean());
    }

    #[test]
    fn cores_are_pooled_by_their_samples() {
        let part = |mean, deviation, samples| Estimate {
            mean,
            deviation,
            samples,
        };
        let all = Estimate::pooled([part(10.0, 0.0, 300), part(50.0, 0.0, 100)].into_iter());
        assert_eq!((all.mean, all.samples), (20.0, 400));
        // Between the two: 3/4 · 10² + 1/4 · 30².
        assert!((all.deviation - 300f64.sqrt()).abs() < 1e-9);
        assert_eq!(Estimate::pooled(std::iter::empty()), Estimate::default());
    }

    #[test]
    fn ip10_means_of_bursts_say_how_far_single_samples_vary() {
        // 1 with chance 0.9, 11 with chance 0.1: mean 2, deviation 3.
        let mut state = 9u64;
        let mut sample = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if state.is_multiple_of(10) { 11.0 } else { 1.0 }
        };
        for count in [1u64, 4, 32] {
            let mut ewma = Ewma::new(1.0 / 64.0);
            let (mut mean, mut variance) = (0.0, 0.0);
            for _ in 0..20_000 {
                let burst: f64 = (0..count).map(|_| sample()).sum();
                ewma.add_mean(burst / count as f64, count);
                mean += ewma.mean() / 20_000.0;
                variance += ewma.variance() / 20_000.0;
            }
            assert!((mean - 2.0).abs() < 0.05, "{count}: {mean}");
            assert!((variance.sqrt() - 3.0).abs() < 0.15, "{count}: {variance}");
        }
    }
}
