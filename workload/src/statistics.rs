//! What repetitions say about a number, and where a server's best load lies.

use serde::Serialize;

/// A mean over repetitions, and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The true mean lies within this much of it, with a confidence of 95 %. `None` with a single
    /// repetition.
    pub half_width: Option<f64>,
    /// How many repetitions.
    pub repetitions: usize,
}

/// Student's t for 95 % on both sides, by degrees of freedom from 1.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

impl Interval {
    /// From the repetitions' values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Interval {
        let values: Vec<f64> = values.into_iter().collect();
        let n = values.len();
        if n == 0 {
            return Interval::default();
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        Interval {
            mean,
            half_width: deviation(&values).map(|deviation| {
                let t = STUDENT.get(n - 2).copied().unwrap_or(1.960);
                t * deviation / (n as f64).sqrt()
            }),
            repetitions: n,
        }
    }

    /// The least and the greatest the mean may be.
    pub fn bounds(&self) -> (f64, f64) {
        let half = self.half_width.unwrap_or(0.0);
        (self.mean - half, self.mean + half)
    }
}

/// The deviation of a sample; `None` of fewer than two values.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (n - 1) as f64).sqrt())
}

/// How many times smaller `of` is than `than` on average over the load points that both have: the mean of the
/// ratios.
pub fn mean_gain(than: &[f64], of: &[f64]) -> Option<f64> {
    let n = than.len().min(of.len());
    if n == 0 {
        return None;
    }
    let sum: f64 = than.iter().zip(of).map(|(than, of)| than / of).sum();
    Some(sum / n as f64)
}

/// What is asked of a load point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Objective {
    /// The 99th percentile of latency is at most this, nanoseconds.
    pub p99_ns: f64,
    /// Of the offered requests, at least this share is answered.
    pub answered: f64,
}

impl Objective {
    /// A bound on the 99th percentile; 99 % of the requests answered.
    pub fn p99(p99_ns: f64) -> Objective {
        Objective {
            p99_ns,
            answered: 0.99,
        }
    }

    /// Whether a point meets it: requests a second offered and answered, and the 99th percentile.
    pub fn met(&self, offered: f64, answered: f64, p99_ns: f64) -> bool {
        p99_ns <= self.p99_ns && answered >= offered * self.answered
    }
}

/// One load point, as far as the knee is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LoadPoint {
    /// Requests a second asked for.
    pub offered: f64,
    /// Requests a second answered.
    pub answered: f64,
    /// 99th percentile of latency, nanoseconds.
    pub p99_ns: f64,
}

/// The best throughput under an objective: of the points that meet it, the one that answers most.
pub fn knee(points: &[LoadPoint], objective: Objective) -> Option<LoadPoint> {
    points
        .iter()
        .copied()
        .filter(|point| objective.met(point.offered, point.answered, point.p99_ns))
        .max_by(|a, b| a.answered.total_cmp(&b.answered))
}

/// A search for the knee that asks for one point after the other.
///
/// It doubles the load until the objective is missed, and then halves the distance between the best load and
/// the least one that failed.
#[derive(Debug, Clone)]
pub struct KneeSearch {
    objective: Objective,
    /// The first load tried.
    first: f64,
    /// The greatest load worth trying.
    most: f64,
    /// Ends when good and bad are this close, as a share of the bad one.
    resolution: f64,
    good: f64,
    bad: Option<f64>,
    next: f64,
    points: Vec<LoadPoint>,
}

impl KneeSearch {
    /// A search from the load `first` up to `most`, requests a second.
    pub fn new(objective: Objective, first: f64, most: f64, resolution: f64) -> KneeSearch {
        KneeSearch {
            objective,
            first: first.min(most),
            most,
            resolution: resolution.max(1e-4),
            good: 0.0,
            bad: None,
            next: first.min(most),
            points: Vec::new(),
        }
    }

    /// The load to try next; `None` when the search has ended.
    pub fn next(&self) -> Option<f64> {
        match self.bad {
            Some(bad) if bad - self.good <= self.resolution * bad => None,
            // Nothing is good.
            Some(bad) if bad < self.first * self.resolution => None,
            None if self.good >= self.most => None,
            _ => Some(self.next),
        }
    }

    /// Takes the point that [`next`](Self::next) asked for.
    pub fn report(&mut self, point: LoadPoint) {
        if self
            .objective
            .met(point.offered, point.answered, point.p99_ns)
        {
            self.good = self.good.max(self.next);
        } else {
            self.bad = Some(self.bad.map_or(self.next, |bad| bad.min(self.next)));
        }
        self.next = match self.bad {
            Some(bad) => (self.good + bad) / 2.0,
            None => (self.good * 2.0).min(self.most),
        };
        self.points.push(point);
    }

    /// The points so far.
    pub fn points(&self) -> &[LoadPoint] {
        &self.points
    }

    /// The best point so far.
    pub fn knee(&self) -> Option<LoadPoint> {
        knee(&self.points, self.objective)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn intervals_hold_the_true_mean_as_often_as_they_say() {
        let mut random = Random::new(4, 4);
        let rounds = 4000;
        let held = (0..rounds)
            .filter(|_| {
                let values = (0..5).map(|_| 10.0 + random.normal()).collect::<Vec<_>>();
                let (low, high) = Interval::of(values).bounds();
                low <= 10.0 && 10.0 <= high
            })
            .count() as f64;
        let share = held / f64::from(rounds);
        assert!((0.935..0.965).contains(&share), "{share}");
        assert_eq!(Interval::of([3.0]).half_width, None);
        assert_eq!(Interval::of([]).repetitions, 0);
        let many = Interval::of((0..100).map(f64::from));
        assert!((many.half_width.unwrap() - 1.96 * 29.011 / 10.0).abs() < 0.01);
    }

    /// An M/M/1 queue of 1000 requests a second: its 99th percentile, and what it answers.
    fn queue(offered: f64) -> LoadPoint {
        let answered = offered.min(1000.0);
        let p99_ns = if offered < 1000.0 {
            100f64.ln() / (1000.0 - offered) * 1e9
        } else {
            1e12
        };
        LoadPoint {
            offered,
            answered,
            p99_ns,
        }
    }

    #[test]
    fn the_search_finds_the_knee_of_a_queue() {
        // 20 ms at the 99th percentile is reached at 1000 - ln 100 / 0.02 requests a second.
        let exact = 1000.0 - 100f64.ln() / 0.02;
        let mut search = KneeSearch::new(Objective::p99(20e6), 50.0, 5000.0, 0.01);
        let mut steps = 0;
        while let Some(load) = search.next() {
            search.report(queue(load));
            steps += 1;
            assert!(steps < 30);
        }
        let knee = search.knee().unwrap();
        assert!(
            knee.offered <= exact && knee.offered > exact * 0.99,
            "{knee:?}"
        );
    }

    #[test]
    fn the_search_ends_where_nothing_fails_and_where_nothing_is_good() {
        let mut search = KneeSearch::new(Objective::p99(1e12), 50.0, 500.0, 0.01);
        while let Some(load) = search.next() {
            search.report(queue(load));
        }
        assert_eq!(search.knee().unwrap().offered, 500.0);
        let mut search = KneeSearch::new(Objective::p99(1.0), 50.0, 500.0, 0.01);
        let mut steps = 0;
        while let Some(load) = search.next() {
            search.report(queue(load));
            steps += 1;
            if steps > 40 {
                break;
            }
        }
        assert_eq!(search.knee(), None);
        assert!(steps <= 40, "it ends");
    }

    #[test]
    fn the_knee_of_a_sweep_is_its_best_point() {
        let points: Vec<LoadPoint> = [100.0, 500.0, 700.0, 900.0, 1100.0].map(queue).into();
        assert_eq!(knee(&points, Objective::p99(20e6)).unwrap().offered, 700.0);
        assert_eq!(mean_gain(&[100.0, 150.0], &[50.0, 100.0]), Some(1.75));
        assert_eq!(mean_gain(&[], &[1.0]), None);
    }
}
