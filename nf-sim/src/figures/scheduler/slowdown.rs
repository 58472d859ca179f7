//! Slowdown of each request class over load, for the mixes that schedulers of this field are compared with.

use nf_core::sched::policy::Helping;

use super::{Drawn, Lines, Settings, Verdict, run};
use crate::scheduler::workload::mixes;
use crate::scheduler::{Discipline, Outcome, Trial};

const LOADS: [f64; 6] = [0.1, 0.3, 0.5, 0.7, 0.8, 0.9];

const CORES: usize = 12;

const HYBRID: Discipline = Discipline::Hybrid(Helping::Half);

const COMPARED: [Discipline; 2] = [Discipline::Fcfs, HYBRID];

/// From this load on the shortest class must not lose.
const JUDGED_FROM: f64 = 0.7;

pub(crate) fn figure_slowdown(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let loads = settings.loads(&LOADS);
    let mut drawn = Drawn {
        panels: Vec::new(),
        verdicts: Vec::new(),
    };
    for workload in mixes() {
        let mut trials = Vec::new();
        for discipline in COMPARED {
            trials.extend(loads.iter().enumerate().map(|(place, load)| Trial {
                requests: settings.requests,
                seed: settings.seed + 1_000 * place as u64,
                ..Trial::new(&workload, discipline, CORES, *load)
            }));
        }
        let outcomes = run(settings, &trials)?;
        let of = |discipline: usize| {
            outcomes
                .iter()
                .skip(discipline * loads.len())
                .take(loads.len())
        };
        let slowdown = |outcome: &Outcome, class: usize| {
            outcome
                .classes
                .get(class)
                .map_or(0.0, |class| class.slowdown(0.999))
        };
        let mut lines = Vec::new();
        for (at, discipline) in COMPARED.into_iter().enumerate() {
            for (class, one) in workload.classes.iter().enumerate() {
                let points = loads
                    .iter()
                    .zip(of(at))
                    .map(|(load, outcome)| (*load, slowdown(outcome, class)));
                lines.push((
                    format!("{}, {}", one.name, discipline.name()),
                    points.collect(),
                ));
            }
        }
        let suffix: String = workload
            .name
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() {
                    letter.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .collect();
        let chart = Lines {
            title: format!("{title}: {}, {CORES} cores", workload.name),
            x: "load",
            y: "p99.9 slowdown",
            lines,
        };
        drawn
            .panels
            .push(chart.panel(settings, name, &format!("-{suffix}")));
        for ((load, fcfs), hybrid) in loads.iter().zip(of(0)).zip(of(1)) {
            let [fcfs, hybrid] = [fcfs, hybrid].map(|outcome| slowdown(outcome, 0));
            let judged = *load >= JUDGED_FROM - 1e-6;
            let class = workload.classes.first().map_or("", |class| class.name);
            let bound = if judged { 1.05 } else { 1.3 };
            drawn.verdicts.push(Verdict::new(
                format!(
                    "p99.9 slowdown of {class}, hybrid, {}, load {load}",
                    workload.name
                ),
                format!("at most {bound} of fcfs, {fcfs:.1}"),
                format!("{hybrid:.1}"),
                hybrid <= bound * fcfs,
            ));
        }
    }
    Ok(drawn)
}
