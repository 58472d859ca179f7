//! Latency over load: low dispersion, and the shapes of high dispersion, with one class for each actor and with
//! all classes at each; at last with workers.

use nf_core::sched::policy::Helping;

use super::{Drawn, Lines, Settings, Verdict, at_most, run};
use crate::scheduler::{Class, Discipline, Outcome, Trial, Workload};

const LOADS: [f64; 7] = [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95];

/// The load at which they are judged.
const JUDGED: f64 = 0.9;

const CORES: [usize; 2] = [4, 12];

const HYBRID: Discipline = Discipline::Hybrid(Helping::Half);

const COMPARED: [Discipline; 3] = [Discipline::Fcfs, Discipline::Drr, HYBRID];

/// Mean of the shapes, microseconds, as far as they can be scaled.
const S: f64 = 32.0;

/// What is expected of a shape besides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// As first come, first served.
    Alike,
    /// As first come, first served too: the modes are too near to each other for anybody to stand out. Round robin
    /// for all serves the short mode sooner.
    Near,
    /// As first come, first served too: all actors are alike in that they have both classes.
    Mixed,
    /// The short class gains.
    ShortGains,
    /// And so few are long that all together do.
    AllGain,
}

/// A shape: what it is called in names of files, what comes in, and what to expect.
struct Shape {
    suffix: &'static str,
    workload: Workload,
    expected: Expected,
}

fn shapes() -> Vec<Shape> {
    let shape = |suffix, workload, expected| Shape {
        suffix,
        workload,
        expected,
    };
    let two = |long_share, modes| Workload::two("", long_share, modes);
    let named = |name, workload| Workload { name, ..workload };
    vec![
        shape("-low", Workload::alike(), Expected::Alike),
        shape(
            "-i-50",
            named("50 % 35 us, 50 % 60 us", two(0.5, [35.0, 60.0])),
            Expected::Near,
        ),
        shape(
            "-i-90",
            named("90 % 35 us, 10 % 60 us", two(0.1, [35.0, 60.0])),
            Expected::Near,
        ),
        shape(
            "-ii",
            named("90 % 16 us, 10 % 176 us", two(0.1, [S / 2.0, 5.5 * S])),
            Expected::ShortGains,
        ),
        shape(
            "-iii",
            named("99.5 % 5 us, 0.5 % 500 us", two(0.005, [5.0, 500.0])),
            Expected::AllGain,
        ),
        shape(
            "-iv",
            named(
                "99.9 % 16 us, 0.1 % 16 ms",
                two(0.001, [S / 2.0, 500.0 * S]),
            ),
            Expected::AllGain,
        ),
    ]
}

/// All trials of one shape.
fn trials(settings: &Settings, workload: &Workload, loads: &[f64]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for cores in CORES {
        for discipline in COMPARED {
            trials.extend(loads.iter().enumerate().map(|(place, load)| Trial {
                requests: settings.requests,
                seed: settings.seed + 1_000 * place as u64,
                ..Trial::new(workload, discipline, cores, *load)
            }));
        }
    }
    trials
}

/// What came of them: by cores, discipline and load.
struct Ran<'a> {
    shape: &'a Shape,
    mixed: bool,
    loads: &'a [f64],
    outcomes: Vec<Outcome>,
}

impl Ran<'_> {
    fn at(&self, cores: usize, discipline: Discipline) -> &[Outcome] {
        let of = |all: &[Discipline]| all.iter().position(|own| *own == discipline);
        let cores = CORES.iter().position(|own| *own == cores).unwrap_or(0);
        let line = cores * COMPARED.len() + of(&COMPARED).unwrap_or(0);
        let from = line * self.loads.len();
        self.outcomes
            .get(from..from + self.loads.len())
            .unwrap_or(&[])
    }

    fn judged(&self, cores: usize, discipline: Discipline) -> Option<&Outcome> {
        let at = self
            .loads
            .iter()
            .position(|load| (load - JUDGED).abs() < 1e-6)?;
        self.at(cores, discipline).get(at)
    }

    fn lines(&self, value: impl Fn(&Outcome) -> f64) -> Vec<(String, Vec<(f64, f64)>)> {
        let mut lines = Vec::new();
        for cores in CORES {
            for discipline in COMPARED {
                let outcomes = self.at(cores, discipline);
                let points = self
                    .loads
                    .iter()
                    .zip(outcomes)
                    .map(|(load, one)| (*load, value(one)));
                lines.push((
                    format!("{}, {cores} cores", discipline.name()),
                    points.collect(),
                ));
            }
        }
        lines
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        let actors = if self.mixed {
            "mixed actors"
        } else {
            "one class an actor"
        };
        for cores in CORES {
            let p99 = |discipline, all: bool| {
                let outcome = self.judged(cores, discipline);
                outcome.map(|outcome| match all {
                    true => outcome.all.latency_us(0.99),
                    false => outcome.short_p99(),
                })
            };
            let both = |all| {
                Some((
                    p99(Discipline::Fcfs, all)?,
                    p99(Discipline::Drr, all)?,
                    p99(HYBRID, all)?,
                ))
            };
            let (Some((fcfs, drr, hybrid)), Some((fcfs_all, _, hybrid_all))) =
                (both(false), both(true))
            else {
                continue;
            };
            let of = |what: &str| {
                let workload = self.shape.workload.name;
                format!(
                    "p99 {what}, hybrid, {workload}, {actors}, {cores} cores, load {JUDGED}, us"
                )
            };
            let expected = match self.mixed {
                true => Expected::Mixed,
                false => self.shape.expected,
            };
            let better = ("the better of fcfs and drr", fcfs.min(drr));
            match expected {
                Expected::Near | Expected::Mixed => {
                    verdicts.push(at_most(of("of the short"), hybrid, 1.05, ("fcfs", fcfs)))
                }
                Expected::Alike => {
                    verdicts.push(at_most(of("of all"), hybrid, 1.05, ("fcfs", fcfs)));
                    verdicts.push(at_most(of("of all"), hybrid, 1.0, ("drr", drr)));
                }
                Expected::ShortGains | Expected::AllGain => {
                    verdicts.push(at_most(of("of the short"), hybrid, 0.6, ("fcfs", fcfs)));
                    verdicts.push(at_most(of("of the short"), hybrid, 1.3, better));
                }
            }
            if expected == Expected::AllGain {
                verdicts.push(at_most(of("of all"), hybrid_all, 1.0, ("fcfs", fcfs_all)));
            }
        }
        verdicts
    }
}

/// The shapes of high dispersion, of four short actors and a long one, on one packet core with one worker. The tail has a
/// threshold that is not reached, so that it is the mean that decides.
fn with_workers(settings: &Settings) -> Result<Vec<Verdict>, String> {
    let shapes = shapes();
    let gain = [Expected::ShortGains, Expected::AllGain];
    let high: Vec<Workload> = shapes
        .iter()
        .filter(|shape| gain.contains(&shape.expected))
        .map(|shape| {
            let mut workload = shape.workload.clone();
            let counts = [4, 1];
            for (class, actors) in workload.classes.iter_mut().zip(counts) {
                *class = Class { actors, ..*class };
            }
            workload
        })
        .collect();
    let mut trials = Vec::new();
    for workload in &high {
        let plain = Trial {
            requests: settings.requests,
            seed: settings.seed,
            ..Trial::new(workload, Discipline::Fcfs, 1, JUDGED)
        };
        trials.push(Trial {
            discipline: HYBRID,
            workers: 1,
            tail: 1e9,
            ..plain.clone()
        });
        trials.push(plain);
    }
    let outcomes = run(settings, &trials)?;
    let mut verdicts = Vec::new();
    for (workload, pair) in high.iter().zip(outcomes.chunks(2)) {
        let [moved, plain] = pair else { continue };
        let at_workers =
            |range: std::ops::Range<usize>| range.filter(|n| moved.is_on_worker(*n)).count();
        let (short, long) = (at_workers(0..4), at_workers(4..5));
        let name = workload.name;
        verdicts.push(Verdict::new(
            format!("actors at a worker under load, {name}, one worker"),
            "the long one",
            format!("long {long}, short {short}; {} messages lost", moved.lost),
            long == 1,
        ));
        let [moved, plain] = [moved, plain].map(|outcome| outcome.all.latency_us(0.99));
        let of = format!("p99 of all, hybrid, {name}, one worker, us");
        verdicts.push(at_most(of, moved, 1.0, ("fcfs without", plain)));
    }
    Ok(verdicts)
}

pub(crate) fn figure_loads(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let loads = settings.loads(&LOADS);
    let shapes = shapes();
    let mut drawn = Drawn {
        panels: Vec::new(),
        verdicts: Vec::new(),
    };
    for shape in &shapes {
        for mixed in [false, true] {
            if mixed && shape.expected == Expected::Alike {
                continue;
            }
            let workload = match mixed {
                true => shape.workload.clone().mixed(),
                false => shape.workload.clone(),
            };
            let ran = Ran {
                shape,
                mixed,
                loads: &loads,
                outcomes: run(settings, &trials(settings, &workload, &loads))?,
            };
            let suffix = format!("{}{}", shape.suffix, if mixed { "-mixed" } else { "" });
            let actors = if mixed { ", mixed within actors" } else { "" };
            let chart = |y, lines| Lines {
                title: format!("{title}: {}{actors}", shape.workload.name),
                x: "load",
                y,
                lines,
            };
            let p99 = chart("p99 of the short class, us", ran.lines(Outcome::short_p99));
            let mut panel = p99.panel(settings, name, &suffix);
            for (y, more) in [
                (
                    "mean of the short class, us",
                    ran.lines(|one| one.classes.first().map_or(0.0, |class| class.mean_us())),
                ),
                ("p99 of the long class, us", ran.lines(|one| one.p99(1))),
                ("p99 of all, us", ran.lines(|one| one.all.latency_us(0.99))),
            ] {
                panel.table.push_str(&chart(y, more).table());
            }
            drawn.panels.push(panel);
            drawn.verdicts.extend(ran.verdicts());
        }
    }
    if loads.iter().any(|load| (load - JUDGED).abs() < 1e-6) {
        drawn.verdicts.extend(with_workers(settings)?);
    }
    if drawn.verdicts.is_empty() {
        drawn.verdicts.push(Verdict::new(
            "judged",
            format!("at load {JUDGED} only"),
            "not drawn",
            true,
        ));
    }
    Ok(drawn)
}
