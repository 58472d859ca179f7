//! Which packets are lost.

use super::chance::Chance;
use super::config::Loss;

/// What loss remembers from packet to packet.
#[derive(Clone, Debug, Default)]
pub(super) struct LossState {
    /// The line is bad (Gilbert-Elliott).
    bad: bool,
    /// Packets since the last one lost (every nth).
    since: u32,
}

impl LossState {
    /// Whether the next packet is lost.
    #[inline]
    pub fn next(&mut self, loss: &Loss, chance: &mut Chance) -> bool {
        match loss {
            Loss::Probability(probability) => chance.hits(*probability),
            Loss::GilbertElliott(model) => {
                let change = if self.bad { model.r } else { model.p };
                self.bad ^= chance.hits(change);
                let loss = if self.bad {
                    model.bad_loss
                } else {
                    model.good_loss
                };
                chance.hits(loss)
            }
            Loss::EveryNth(n) => {
                self.since = self.since.saturating_add(1);
                let lost = self.since >= *n;
                if lost {
                    self.since = 0;
                }
                lost
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::GilbertElliott;
    use super::*;

    const PACKETS: usize = 200_000;

    fn losses(loss: &Loss, seed: u64) -> Vec<bool> {
        let (mut state, mut chance) = (LossState::default(), Chance::new(seed, 0, 0));
        (0..PACKETS)
            .map(|_| state.next(loss, &mut chance))
            .collect()
    }

    /// Lengths of the runs of `what`.
    fn runs(outcome: &[bool], what: bool) -> Vec<usize> {
        outcome
            .chunk_by(|a, b| a == b)
            .filter(|run| run[0] == what)
            .map(<[bool]>::len)
            .collect()
    }

    fn share(outcome: &[bool]) -> f64 {
        outcome.iter().filter(|lost| **lost).count() as f64 / outcome.len() as f64
    }

    /// Chi-square of run lengths against the geometric distribution with this ending probability.
    fn geometric_chi2(runs: &[usize], end: f64, bins: usize) -> f64 {
        let total = runs.len() as f64;
        (1..=bins)
            .map(|length| {
                let (expected, seen) = if length < bins {
                    let p = (1.0 - end).powi(length as i32 - 1) * end;
                    (p, runs.iter().filter(|run| **run == length).count())
                } else {
                    let p = (1.0 - end).powi(length as i32 - 1);
                    (p, runs.iter().filter(|run| **run >= length).count())
                };
                (seen as f64 - expected * total).powi(2) / (expected * total)
            })
            .sum()
    }

    #[test]
    fn independent_loss_has_its_probability_and_no_memory() {
        for (seed, p) in [(1, 0.01), (2, 0.2), (3, 0.5), (4, 0.97)] {
            let outcome = losses(&Loss::Probability(p), seed);
            let deviation = (p * (1.0 - p) / PACKETS as f64).sqrt();
            assert!((share(&outcome) - p).abs() < 3.0 * deviation, "{p}");
            if p < 0.9 {
                // Between two losses there is a geometric number of packets: 7 degrees of freedom.
                let chi2 = geometric_chi2(&runs(&outcome, false), p, 8);
                assert!(chi2 < 18.48, "p {p}: chi-square {chi2}");
            }
        }
        assert!(losses(&Loss::Probability(1.0), 1).iter().all(|lost| *lost));
        assert!(!losses(&Loss::Probability(0.0), 1).iter().any(|lost| *lost));
    }

    #[test]
    fn gilbert_elliott_loses_in_bursts() {
        let (p, r) = (0.02, 0.25);
        let model = |good_loss, bad_loss| {
            Loss::GilbertElliott(GilbertElliott {
                p,
                r,
                good_loss,
                bad_loss,
            })
        };
        let outcome = losses(&model(0.0, 1.0), 5);
        let bursts = runs(&outcome, true);
        let mean = bursts.iter().sum::<usize>() as f64 / bursts.len() as f64;
        assert!((mean - 1.0 / r).abs() < 0.2, "bursts of {mean} packets");
        // Lengths of bursts are geometric with r, those of gaps with p.
        let chi2 = geometric_chi2(&bursts, r, 10);
        assert!(chi2 < 21.67, "bursts: chi-square {chi2}");
        let chi2 = geometric_chi2(&runs(&outcome, false), p, 10);
        assert!(chi2 < 21.67, "gaps: chi-square {chi2}");
        // In the long run the line is bad for p / (p + r) of the packets.
        let bad = p / (p + r);
        assert!((share(&outcome) - bad).abs() < 0.004);
        let outcome = losses(&model(0.05, 0.6), 6);
        let expected = bad * 0.6 + (1.0 - bad) * 0.05;
        assert!((share(&outcome) - expected).abs() < 0.004);
    }

    #[test]
    fn every_nth_is_exact() {
        let outcome = losses(&Loss::EveryNth(10), 1);
        assert!(
            outcome
                .iter()
                .enumerate()
                .all(|(n, lost)| *lost == (n % 10 == 9))
        );
        assert!(losses(&Loss::EveryNth(1), 1).iter().all(|lost| *lost));
    }
}
