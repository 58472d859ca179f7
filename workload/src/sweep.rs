//! Load points, repeated, of several schemes: what a latency-throughput plot shows.

use serde::Serialize;

use crate::rpc::{Measured, RunSummary};
use crate::statistics::{Interval, LoadPoint, Objective, knee, mean_gain};

/// One load point of one scheme, over its repetitions.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// The load as a share of the capacity, where one is known.
    pub load: Option<f64>,
    /// Requests a second meant to be sent.
    pub offered_rps: Interval,
    /// Distinct requests answered a second.
    pub throughput_rps: Interval,
    /// Percentiles of latency, from the intended send time, nanoseconds.
    pub p50_ns: Interval,
    /// 90th percentile.
    pub p90_ns: Interval,
    /// 99th percentile.
    pub p99_ns: Interval,
    /// 99.9th percentile.
    pub p99_9_ns: Interval,
    /// The greatest latency of all repetitions, nanoseconds.
    pub max_ns: u64,
    /// 99th percentile from the actual send time, nanoseconds.
    pub p99_sent_ns: Interval,
    /// Requests answered, of all repetitions.
    pub completed: u64,
    /// The share of the requests that were never answered.
    pub lost: f64,
    /// Further answers to a request, as a share of the requests answered.
    pub redundant: f64,
    /// The share of the requests answered that had been cloned.
    pub cloned: f64,
    /// The repetitions.
    pub runs: Vec<RunSummary>,
}

impl Point {
    /// From the repetitions of one load.
    pub fn of(load: Option<f64>, runs: &[Measured]) -> Point {
        let over = |value: &dyn Fn(&Measured) -> f64| Interval::of(runs.iter().map(value));
        // A run without any answer says nothing about latency.
        let answered = || runs.iter().filter(|run| !run.latency.is_empty());
        let quantile = |p: f64| Interval::of(answered().map(|run| run.latency.quantile(p) as f64));
        let sum = |value: &dyn Fn(&Measured) -> u64| runs.iter().map(value).sum::<u64>();
        let share = |part: u64, of: u64| part as f64 / of.max(1) as f64;
        let completed = sum(&|run| run.counts.completed);
        Point {
            load,
            offered_rps: over(&Measured::offered),
            throughput_rps: over(&Measured::throughput),
            p50_ns: quantile(0.5),
            p90_ns: quantile(0.9),
            p99_ns: quantile(0.99),
            p99_9_ns: quantile(0.999),
            max_ns: answered()
                .map(|run| run.latency.quantile(1.0))
                .max()
                .unwrap_or(0),
            p99_sent_ns: Interval::of(answered().map(|run| run.latency_sent.quantile(0.99) as f64)),
            completed,
            lost: share(
                sum(&|run| run.counts.lost()),
                sum(&|run| run.counts.offered),
            ),
            redundant: share(sum(&|run| run.counts.redundant), completed),
            cloned: share(sum(&|run| run.counts.cloned), completed),
            runs: runs.iter().map(Measured::summary).collect(),
        }
    }

    /// As the knee finder takes it.
    pub fn load_point(&self) -> LoadPoint {
        LoadPoint {
            offered: self.offered_rps.mean,
            answered: self.throughput_rps.mean,
            p99_ns: if self.completed == 0 {
                f64::INFINITY
            } else {
                self.p99_ns.mean
            },
        }
    }
}

/// One scheme's line.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// The scheme, and what sets this line apart from others of it.
    pub name: String,
    /// By ascending load.
    pub points: Vec<Point>,
    /// The best throughput under the objective.
    pub knee: Option<LoadPoint>,
}

/// Several schemes on the same workload.
#[derive(Debug, Clone, Serialize)]
pub struct Sweep {
    /// What it is: `rpc`.
    pub kind: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// What it shows.
    pub title: String,
    /// The command that repeats it.
    pub command: String,
    /// Its seed.
    pub seed: u64,
    /// The servers and what they do, in words.
    pub workload: String,
    /// Requests a second that the servers can serve, where it is known.
    pub capacity_rps: Option<f64>,
    /// What the knee is the best throughput under.
    pub objective: Option<Objective>,
    /// What else there is to know.
    pub notes: Vec<String>,
    /// The lines.
    pub curves: Vec<Curve>,
}

impl Sweep {
    /// Finds each curve's knee anew.
    pub fn find_knees(&mut self) {
        let Some(objective) = self.objective else {
            return;
        };
        for curve in &mut self.curves {
            let points: Vec<LoadPoint> = curve.points.iter().map(Point::load_point).collect();
            curve.knee = knee(&points, objective);
        }
    }

    /// How many times smaller the 99th percentile of `of` is than that of `than`, on average over the loads
    /// that both have.
    pub fn p99_gain(&self, than: &str, of: &str) -> Option<f64> {
        let find = |name: &str| self.curves.iter().find(|curve| curve.name == name);
        let (than, of) = (find(than)?, find(of)?);
        let mut pairs = (Vec::new(), Vec::new());
        for point in &than.points {
            let same = of
                .points
                .iter()
                .find(|other| match (point.load, other.load) {
                    (Some(a), Some(b)) => (a - b).abs() < 1e-6,
                    _ => (other.offered_rps.mean / point.offered_rps.mean - 1.0).abs() < 0.02,
                });
            if let Some(same) = same.filter(|same| same.completed > 0 && point.completed > 0) {
                pairs.0.push(point.p99_ns.mean);
                pairs.1.push(same.p99_ns.mean);
            }
        }
        mean_gain(&pairs.0, &pairs.1)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run of 1000 requests a second in which latencies go up to `slowest`.
    pub(crate) fn run(offered: u64, answered: u64, slowest_ns: u64) -> Measured {
        let mut measured = Measured {
            window_ns: 1_000_000_000,
            ..Measured::default()
        };
        measured.counts.offered = offered;
        measured.counts.completed = answered;
        measured.counts.answered_in_time = answered;
        for index in 1..=100 {
            measured.latency.record(slowest_ns * index / 100);
            measured.latency_sent.record(slowest_ns * index / 200);
        }
        measured
    }

    pub(crate) fn sweep() -> Sweep {
        let curve = |name: &str, slower: u64| Curve {
            name: name.into(),
            points: [100u64, 500, 900]
                .into_iter()
                .map(|rate| {
                    let slowest = slower * 10_000 * 1000 / (1000 - rate);
                    let runs = [
                        run(rate, rate, slowest),
                        run(rate, rate - 1, slowest + 5_000),
                    ];
                    Point::of(Some(rate as f64 / 1000.0), &runs)
                })
                .collect(),
            knee: None,
        };
        let mut sweep = Sweep {
            kind: "rpc",
            version: "0.1.0",
            title: "Exp(25) <test>".into(),
            command: "pktgen rpc --seed 42 --scheme baseline,netclone".into(),
            seed: 42,
            workload: "3 servers of 15 workers, exp(25us)".into(),
            capacity_rps: Some(1000.0),
            objective: Some(Objective::p99(50_000.0)),
            notes: vec!["a note".into()],
            curves: vec![curve("baseline", 2), curve("netclone", 1)],
        };
        sweep.find_knees();
        sweep
    }

    #[test]
    fn points_sum_up_their_repetitions() {
        let point = &sweep().curves[0].points[0];
        assert_eq!(point.offered_rps.mean, 100.0);
        assert_eq!(point.throughput_rps.mean, 99.5);
        assert_eq!(point.p99_ns.repetitions, 2);
        assert!(point.p99_ns.half_width.unwrap() > 0.0);
        assert_eq!(point.completed, 199);
        assert!((point.lost - 1.0 / 200.0).abs() < 1e-9);
    }

    #[test]
    fn knees_and_gains() {
        let sweep = sweep();
        let knee = |index: usize| sweep.curves[index].knee.map(|knee| knee.offered);
        assert_eq!((knee(0), knee(1)), (Some(500.0), Some(500.0)));
        let gain = sweep.p99_gain("baseline", "netclone").unwrap();
        assert!((gain - 2.0).abs() < 0.2, "{gain}");
        assert_eq!(sweep.p99_gain("baseline", "laedge"), None);
    }

    #[test]
    fn nothing_answered_is_no_good_point() {
        let dead = Point::of(
            None,
            &[run(100, 0, 1)].map(|mut run| {
                run.latency = Default::default();
                run
            }),
        );
        assert_eq!(dead.lost, 1.0);
        assert!(dead.load_point().p99_ns.is_infinite());
        assert_eq!(dead.p99_ns.repetitions, 0);
    }
}
