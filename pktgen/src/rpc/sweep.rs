//! Load points, one after the other: which are run, in which order, and what is made of them.

use workload::Scheme;
use workload::arrival::Arrival;
use workload::random::mix;
use workload::rpc::Measured;
use workload::scheme::Route;
use workload::statistics::{KneeSearch, Objective};
use workload::sweep::{Curve, Point, Sweep};

use super::plan::{Capacity, Plan, Points};

/// One run of the clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The scheme.
    pub scheme: Scheme,
    /// How requests follow one another.
    pub arrival: Arrival,
    /// Requests a second of all clients together; 0 in a closed loop.
    pub rate: f64,
    /// Seed of this run.
    pub seed: u64,
    /// What it is, for people.
    pub title: String,
}

/// Runs clients.
pub trait Runner {
    /// Makes ready for a scheme.
    fn prepare(&mut self, scheme: Scheme) -> Result<(), String>;

    /// Carries out a run; `None` when the user has ended it.
    fn run(&mut self, run: &Run) -> Result<Option<Measured>, String>;
}

/// How closely the knee is searched for.
const KNEE_RESOLUTION: f64 = 0.02;

/// The first load that a search tries, and the greatest, as shares of the capacity.
const SEARCH: (f64, f64) = (0.1, 1.2);

/// The seed of a repetition: the same for every scheme and load, so that they are compared on the same
/// arrivals.
fn seed_of(seed: u64, repetition: u32) -> u64 {
    match repetition {
        0 => seed,
        repetition => mix(seed ^ mix(repetition.into())) >> 11,
    }
}

struct Sweeper<'a> {
    plan: &'a Plan,
    runner: &'a mut dyn Runner,
    told: &'a mut dyn FnMut(&str, &Point),
    interrupted: bool,
}

impl Sweeper<'_> {
    /// All repetitions of a point; `None` when it was ended before the first was over.
    fn point(
        &mut self,
        scheme: Scheme,
        load: Option<f64>,
        rate: f64,
    ) -> Result<Option<Point>, String> {
        let mut runs = Vec::new();
        for repetition in 0..self.plan.repetitions {
            let of = match self.plan.repetitions {
                1 => String::new(),
                all => format!(", {} of {all}", repetition + 1),
            };
            let at = match load {
                _ if rate == 0.0 => self.plan.client.arrival.to_string(),
                Some(load) => format!("{:.0} % load", load * 100.0),
                None => format!("{}rps", workload::format::si(rate)),
            };
            let run = Run {
                scheme,
                arrival: self.plan.client.arrival,
                rate,
                seed: seed_of(self.plan.seed, repetition),
                title: format!("{scheme}, {at}{of}"),
            };
            match self.runner.run(&run)? {
                Some(measured) => runs.push(measured),
                None => {
                    self.interrupted = true;
                    break;
                }
            }
        }
        if runs.is_empty() {
            return Ok(None);
        }
        let point = Point::of(load, &runs);
        (self.told)(scheme.name(), &point);
        Ok(Some(point))
    }

    /// What the servers can do, by a closed loop that keeps all of them busy.
    fn measure_capacity(&mut self) -> Result<Option<f64>, String> {
        let plan = self.plan;
        let scheme = if plan.client.cluster.servers.is_empty() {
            plan.schemes.first().copied().unwrap_or(Scheme::Baseline)
        } else {
            Scheme::Baseline
        };
        debug_assert!(scheme.route() == Route::Servers || plan.schemes.contains(&scheme));
        self.runner.prepare(scheme)?;
        let each = (plan.workers * 4).div_ceil(plan.clients.into()).max(16);
        let run = Run {
            scheme,
            arrival: Arrival::Closed {
                outstanding: u32::try_from(each).unwrap_or(u32::MAX).min(65_536),
            },
            rate: 0.0,
            seed: plan.seed,
            title: "capacity, closed loop".into(),
        };
        let measured = self.runner.run(&run)?;
        if measured.is_none() {
            self.interrupted = true;
        }
        match measured.map(|measured| measured.throughput()) {
            Some(0.0) => Err(
                "no request was answered while the capacity was measured; are the servers there?"
                    .into(),
            ),
            capacity => Ok(capacity),
        }
    }

    fn search(
        &mut self,
        scheme: Scheme,
        objective: Objective,
        capacity: f64,
    ) -> Result<Vec<Point>, String> {
        let (first, most) = (capacity * SEARCH.0, capacity * SEARCH.1);
        let mut search = KneeSearch::new(objective, first, most, KNEE_RESOLUTION);
        let mut points = Vec::new();
        while let Some(rate) = search.next() {
            let Some(point) = self.point(scheme, Some(rate / capacity), rate)? else {
                break;
            };
            search.report(point.load_point());
            points.push(point);
            if self.interrupted {
                break;
            }
        }
        points.sort_by(|a, b| a.offered_rps.mean.total_cmp(&b.offered_rps.mean));
        Ok(points)
    }

    fn curve(&mut self, scheme: Scheme, capacity: Option<f64>) -> Result<Curve, String> {
        self.runner.prepare(scheme)?;
        let known = capacity.unwrap_or(0.0);
        let points: Vec<(Option<f64>, f64)> = match &self.plan.points {
            Points::Loads(loads) => loads
                .iter()
                .map(|load| (Some(*load), load * known))
                .collect(),
            Points::Rates(rates) => rates
                .iter()
                .map(|rate| (capacity.map(|capacity| rate / capacity), *rate))
                .collect(),
            Points::Closed => vec![(None, 0.0)],
            Points::Search => {
                let objective = self.plan.objective;
                let objective = objective.ok_or("a search needs an objective")?;
                let points = self.search(scheme, objective, known)?;
                return Ok(Curve {
                    name: scheme.name().into(),
                    points,
                    knee: None,
                });
            }
        };
        let mut curve = Curve {
            name: scheme.name().into(),
            points: Vec::new(),
            knee: None,
        };
        for (load, rate) in points {
            if self.interrupted {
                break;
            }
            curve.points.extend(self.point(scheme, load, rate)?);
        }
        Ok(curve)
    }
}

/// With a larger share of the time busy than this, a client's own delay shows in what it measures.
const BUSY: f64 = 0.5;

/// Whether the clients were themselves what was slow, in words.
fn honest_notes(curves: &[Curve]) -> Vec<String> {
    let mut notes = Vec::new();
    let runs = || {
        let points = curves
            .iter()
            .flat_map(|curve| curve.points.iter().map(move |point| (curve, point)));
        points.flat_map(|(curve, point)| point.runs.iter().map(move |run| (curve, run)))
    };
    let busiest = runs()
        .filter_map(|(curve, run)| Some((run.client_busy?, curve, run)))
        .filter(|(busy, _, _)| *busy > BUSY)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((busy, curve, run)) = busiest {
        notes.push(format!(
            "A client was busy {:.0} % of the time ({}, {}rps): its own delay is part of the latencies. More \
             --clients, or fewer requests.",
            busy * 100.0,
            curve.name,
            workload::format::si(run.offered_rps)
        ));
    }
    let late = runs()
        .filter_map(|(curve, run)| Some((run.lateness?.p99_ns, run.latency?.p99_ns, curve, run)))
        .filter(|(lateness, latency, _, _)| *lateness > latency / 5)
        .max_by_key(|(lateness, _, _, _)| *lateness);
    if let Some((lateness, _, curve, run)) = late {
        notes.push(format!(
            "Requests left late, by {} at the 99th percentile ({}, {}rps): latency counts from when they were \
             meant to leave. Something else wanted the client's processor.",
            workload::format::nanoseconds(lateness as f64),
            curve.name,
            workload::format::si(run.offered_rps)
        ));
    }
    notes
}

/// Runs a plan. `told` hears of each point when it is done.
pub fn sweep(
    plan: &Plan,
    command: &str,
    title: &str,
    runner: &mut dyn Runner,
    told: &mut dyn FnMut(&str, &Point),
) -> Result<Sweep, String> {
    let mut sweeper = Sweeper {
        plan,
        runner,
        told,
        interrupted: false,
    };
    let capacity = match plan.capacity {
        Capacity::Declared(_)
            if plan.client.cluster.servers.is_empty() && plan.points == Points::Closed =>
        {
            None
        }
        Capacity::Declared(capacity) => Some(capacity),
        Capacity::Measured => sweeper.measure_capacity()?,
    };
    let mut curves = Vec::new();
    for scheme in &plan.schemes {
        if sweeper.interrupted {
            break;
        }
        curves.push(sweeper.curve(*scheme, capacity)?);
    }
    let mut notes = plan.notes.clone();
    notes.extend(honest_notes(&curves));
    if sweeper.interrupted {
        notes.push("Ended early: points that were not begun are left out.".into());
    }
    let mut sweep = Sweep {
        kind: "rpc",
        version: env!("CARGO_PKG_VERSION"),
        title: title.to_owned(),
        command: command.to_owned(),
        seed: plan.seed,
        workload: plan.workload.clone(),
        capacity_rps: capacity,
        objective: plan.objective,
        notes,
        curves,
    };
    sweep.find_knees();
    Ok(sweep)
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::args;
    use super::*;

    /// A queue with 1000 requests a second for the baseline and twice that for others, which is asked
    /// and logged.
    struct Fake {
        prepared: Vec<Scheme>,
        runs: Vec<Run>,
        ends_after: Option<usize>,
        busy: f64,
        late_by: u64,
    }

    impl Default for Fake {
        fn default() -> Fake {
            Fake {
                prepared: Vec::new(),
                runs: Vec::new(),
                ends_after: None,
                busy: 0.2,
                late_by: 100,
            }
        }
    }

    impl Runner for Fake {
        fn prepare(&mut self, scheme: Scheme) -> Result<(), String> {
            self.prepared.push(scheme);
            Ok(())
        }

        fn run(&mut self, run: &Run) -> Result<Option<Measured>, String> {
            if self.ends_after.is_some_and(|most| self.runs.len() >= most) {
                return Ok(None);
            }
            self.runs.push(run.clone());
            let capacity = if run.scheme == Scheme::Baseline {
                1000.0
            } else {
                2000.0
            };
            let offered = if run.arrival.is_closed() {
                capacity
            } else {
                run.rate
            };
            let mut measured = Measured {
                window_ns: 1_000_000_000,
                ..Measured::default()
            };
            measured.counts.offered = offered as u64;
            measured.counts.completed = offered.min(capacity) as u64;
            measured.counts.answered_in_time = measured.counts.completed;
            let p99 = if offered < capacity {
                4.6 / (capacity - offered) * 1e9
            } else {
                1e12
            };
            measured.latency.record(p99 as u64);
            measured.lateness.record(p99 as u64 / self.late_by.max(1));
            measured.client_busy = Some(self.busy);
            Ok(Some(measured))
        }
    }

    fn run(flags: &str, fake: &mut Fake) -> (Sweep, Vec<String>) {
        let plan = Plan::new(&args(flags).unwrap(), 7).unwrap();
        let mut told = Vec::new();
        let sweep = sweep(&plan, "pktgen rpc", "test", fake, &mut |name, point| {
            told.push(format!("{name} {:?}", point.load));
        });
        (sweep.unwrap(), told)
    }

    const SERVERS: &str = "--servers 127.0.1.101+2 --capacity 1000";

    #[test]
    fn f25_schemes_run_the_same_points_with_the_same_seeds() {
        let mut fake = Fake::default();
        let (sweep, told) = run(
            &format!("{SERVERS} --scheme M0,M1 --load 50%,90% --repetitions 3 --objective 20ms"),
            &mut fake,
        );
        assert_eq!(fake.prepared, [Scheme::Baseline, Scheme::CClone]);
        assert_eq!(fake.runs.len(), 12);
        let seeds = |from: usize| -> Vec<u64> {
            fake.runs[from..from + 3]
                .iter()
                .map(|run| run.seed)
                .collect()
        };
        assert_eq!(seeds(0)[0], 7);
        assert!(seeds(0)[0] != seeds(0)[1] && seeds(0)[1] != seeds(0)[2]);
        assert_eq!(seeds(0), seeds(6));
        assert_eq!((fake.runs[0].rate, fake.runs[3].rate), (500.0, 900.0));
        assert_eq!(told.len(), 4);
        assert_eq!(sweep.curves[0].points[0].p99_ns.repetitions, 3);
        assert_eq!(sweep.curves[0].knee.unwrap().offered, 500.0);
        assert_eq!(sweep.curves[1].knee.unwrap().offered, 900.0);
    }

    #[test]
    fn f25_the_search_finds_each_schemes_knee() {
        let mut fake = Fake::default();
        let (sweep, _) = run(
            &format!("{SERVERS} --scheme M0,M1 --find-knee --objective 20ms"),
            &mut fake,
        );
        // 1000 - 4.6 / 0.02 requests a second.
        let knee = sweep.curves[0].knee.unwrap().offered;
        assert!((750.0..=770.0).contains(&knee), "{knee}");
        // As far as a search goes.
        assert_eq!(sweep.curves[1].knee.unwrap().offered.round(), 1200.0);
        let offered: Vec<f64> = sweep.curves[0]
            .points
            .iter()
            .map(|point| point.offered_rps.mean)
            .collect();
        assert!(offered.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn the_capacity_can_be_measured() {
        let mut fake = Fake::default();
        let flags =
            "--servers 127.0.1.101+2 --capacity measured --load 50% --scheme M1 --workers 15,8";
        let (sweep, _) = run(flags, &mut fake);
        assert_eq!(sweep.capacity_rps, Some(1000.0));
        assert_eq!(fake.runs[0].arrival, Arrival::Closed { outstanding: 92 });
        assert_eq!(fake.runs[1].rate, 500.0);
    }

    #[test]
    fn ended_early_keeps_what_is_done() {
        let mut fake = Fake {
            ends_after: Some(1),
            ..Fake::default()
        };
        let flags = format!("{SERVERS} --scheme M0,M1 --load 50%,90%");
        let (sweep, told) = run(&flags, &mut fake);
        assert_eq!(told.len(), 1);
        assert_eq!(sweep.curves.len(), 1);
        assert!(sweep.notes[0].contains("Ended early"));
    }

    #[test]
    fn clients_that_were_the_limit_are_told_of() {
        let flags = format!("{SERVERS} --load 50%");
        let (fine, _) = run(&flags, &mut Fake::default());
        assert!(fine.notes.is_empty(), "{:?}", fine.notes);
        let mut slow = Fake {
            busy: 0.9,
            late_by: 2,
            ..Fake::default()
        };
        let (slow, _) = run(&flags, &mut slow);
        assert!(slow.notes[0].contains("busy 90 %"), "{:?}", slow.notes);
        assert!(slow.notes[1].contains("left late"), "{:?}", slow.notes);
    }

    #[test]
    fn a_closed_loop_is_one_point() {
        let mut fake = Fake::default();
        let (sweep, _) = run("--servers 127.0.1.101+2 --arrival closed:8", &mut fake);
        assert_eq!(sweep.curves[0].points.len(), 1);
        assert_eq!(fake.runs[0].arrival, Arrival::Closed { outstanding: 8 });
    }
}
