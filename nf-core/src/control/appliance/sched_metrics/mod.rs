//! The scheduler's metrics: read from it at each scrape, beside what its events add up to.

mod families;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;

use self::families::*;
use crate::control::config::SchedulerConfig;
use crate::sched::policy::{Place, Rule, Thresholds};
use crate::sched::runtime::{Ended, Event, Group, Phase, Scheduler, Way};
use crate::sched::{Failure, Loss, Status, Work};
use crate::telemetry::{Block, Collection, Family, Histogram, Source};

pub use self::families::sched_families;

const PHASES: [Phase; 4] = [Phase::Prepare, Phase::Ready, Phase::Gone, Phase::Clean];

/// As [`Status`] counts them.
const LOSSES: [Loss; 4] = [
    Loss::MailboxFull,
    Loss::HoldBackFull,
    Loss::WorkerFull,
    Loss::Gone,
];

/// What the policy may decide, and by which rules: these are there from the start, at 0.
const DECIDED: [(&str, &[Rule]); 7] = [
    ("downgrade", &[Rule::Tail]),
    ("upgrade", &[Rule::TailLow]),
    (
        "push",
        &[Rule::Mean, Rule::Mailbox, Rule::Starvation, Rule::Overload],
    ),
    ("pull", &[Rule::MeanLow]),
    ("core_to_drr", &[Rule::FirstDrrCore, Rule::GroupFull]),
    ("core_to_fcfs", &[Rule::NoDrrActor, Rule::GroupFull]),
    ("alarm", &[Rule::OneCore]),
];

/// The metrics of one scheduler. A scrape asks the scheduler itself, and waits for nobody but, for a
/// moment, for the control thread's entries here.
pub(super) struct SchedMetrics<W: Work>(Mutex<State<W>>);

struct State<W: Work> {
    /// `None` when it has been stopped: what its actors hold is not to be kept alive from here.
    scheduler: Option<Scheduler<W>>,
    packet_cores: usize,
    thresholds: Thresholds,
    parameters: Vec<(String, f64)>,
    /// Busy share of each worker over the last second.
    shares: Vec<f64>,
    decisions: BTreeMap<(String, String), u64>,
    migrations: BTreeMap<(&'static str, String), u64>,
    failures: BTreeMap<&'static str, u64>,
    phases: [Histogram; 4],
}

impl<W: Work> SchedMetrics<W> {
    pub fn new(
        scheduler: Scheduler<W>,
        packet_cores: usize,
        config: &SchedulerConfig,
        thresholds: Thresholds,
    ) -> SchedMetrics<W> {
        let decisions = DECIDED.iter().flat_map(|(action, rules)| {
            let key = |rule: &Rule| (((*action).to_owned(), word(rule)), 0);
            rules.iter().map(key)
        });
        let migrations = ["push", "pull"].into_iter().flat_map(|way| {
            [Ended::Done, Ended::RolledBack].map(|outcome| ((way, word(outcome)), 0))
        });
        SchedMetrics(Mutex::new(State {
            scheduler: Some(scheduler),
            packet_cores,
            thresholds,
            parameters: parameters(config),
            shares: Vec::new(),
            decisions: decisions.collect(),
            migrations: migrations.collect(),
            failures: ["panic", "overrun", "gave_up", "deleted"]
                .map(|why| (why, 0))
                .into(),
            phases: Default::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has happened.
    pub fn count(&self, event: &Event) {
        let mut state = self.state();
        match event {
            Event::Decided { decision, .. } => {
                let key = (word(decision.action), word(decision.rule));
                *state.decisions.entry(key).or_default() += 1;
            }
            Event::Failed { failure, .. } => {
                let why = match failure {
                    Failure::Panic(_) => "panic",
                    Failure::Overrun => "overrun",
                    Failure::GaveUp(_) => "gave_up",
                    Failure::Deleted => "deleted",
                };
                *state.failures.entry(why).or_default() += 1;
            }
            Event::Migrated {
                way,
                ended,
                phases_ns,
                ..
            } => {
                let way = match way {
                    Way::Push(_) => "push",
                    Way::Pull(_) => "pull",
                };
                *state.migrations.entry((way, word(ended))).or_default() += 1;
                for (histogram, ns) in state.phases.iter().zip(phases_ns) {
                    histogram.record(*ns);
                }
            }
        }
    }

    /// How busy the workers were over the last second.
    pub fn set_shares(&self, shares: Vec<f64>) {
        self.state().shares = shares;
    }

    /// Other parameters are in force.
    pub fn set(&self, config: &SchedulerConfig, thresholds: Thresholds) {
        let mut state = self.state();
        state.parameters = parameters(config);
        state.thresholds = thresholds;
    }

    /// Lets go of the scheduler.
    pub fn close(&self) {
        let scheduler = self.state().scheduler.take();
        // Outside the lock: what its actors hold may take long to free.
        drop(scheduler);
    }
}

impl<W: Work> Source for SchedMetrics<W> {
    fn families(&self) -> Vec<Family> {
        sched_families()
    }

    fn collect(&self, out: &mut Collection) {
        let state = self.state();
        let Some(scheduler) = &state.scheduler else {
            return;
        };
        let actors = scheduler.status();
        for actor in &actors {
            collect_actor(out, actor);
        }
        collect_groups(out, scheduler, &actors, state.packet_cores);
        collect_workers(out, scheduler, &actors, &state.shares);
        let phase = actors.iter().find_map(|actor| actor.phase);
        for (this, histogram) in PHASES.iter().zip(&state.phases) {
            let name = word(this);
            out.gauge(&MIGRATION_PHASE, &[&name], flag(phase == Some(*this)));
            let took = histogram.snapshot();
            let (count, seconds) = (took.count(), took.sum() as f64 / 1e9);
            let buckets = took.cumulative();
            out.histogram(&MIGRATION_PHASE_SECONDS, &[&name], buckets, count, seconds);
        }
        for ((way, outcome), count) in &state.migrations {
            out.counter(&MIGRATIONS, &[way, outcome], *count as f64);
        }
        for ((action, rule), count) in &state.decisions {
            out.counter(&DECISIONS, &[action, rule], *count as f64);
        }
        for (why, count) in &state.failures {
            out.counter(&FAILURES, &[why], *count as f64);
        }
        let latency = scheduler.latency();
        for (family, value) in [
            (&LATENCY_MEAN, latency.mean / 1e9),
            (&LATENCY_TAIL, latency.tail() / 1e9),
            (&LATENCY_SAMPLES, latency.samples as f64),
            (&THRESHOLD_MEAN, state.thresholds.mean_ns / 1e9),
            (&THRESHOLD_TAIL, state.thresholds.tail_ns / 1e9),
        ] {
            out.gauge(family, &[], value);
        }
        for (name, value) in &state.parameters {
            out.gauge(&PARAMETER, &[name], *value);
        }
    }
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

fn collect_actor(out: &mut Collection, actor: &Status) {
    let name = &*actor.name;
    out.counter(&ACTOR_MESSAGES, &[name], actor.messages as f64);
    out.counter(&ACTOR_BUSY, &[name], actor.busy_ns as f64 / 1e9);
    for (family, value) in [
        (&ACTOR_SERVICE_MEAN, actor.service.mean / 1e9),
        (&ACTOR_SERVICE_DEVIATION, actor.service.deviation / 1e9),
        (&ACTOR_SOJOURN_MEAN, actor.sojourn.mean / 1e9),
        (&ACTOR_SOJOURN_DEVIATION, actor.sojourn.deviation / 1e9),
        (&ACTOR_BYTES, actor.message_bytes),
        (&ACTOR_LOAD, actor.load),
        (&ACTOR_WAITING, actor.waiting as f64),
        (&ACTOR_MAILBOX, actor.mailbox as f64),
        (&ACTOR_HOLD_BACK, actor.hold_back as f64),
    ] {
        out.gauge(family, &[name], value);
    }
    for (reason, count) in LOSSES.iter().zip(actor.losses) {
        out.counter(&ACTOR_LOST, &[name, &word(reason)], count as f64);
    }
    for (place, is_there) in [
        ("fcfs", actor.place == Some(Place::Fcfs)),
        ("drr", actor.place == Some(Place::Drr)),
        ("moving", actor.place.is_none() && !actor.out_of_service),
        ("out_of_service", actor.out_of_service),
    ] {
        out.gauge(&ACTOR_PLACE, &[name, place, ""], flag(is_there));
    }
    if let Some(Place::Worker(worker)) = actor.place {
        out.gauge(&ACTOR_PLACE, &[name, "worker", &worker.to_string()], 1.0);
    }
}

fn collect_groups<W: Work>(
    out: &mut Collection,
    scheduler: &Scheduler<W>,
    actors: &[Status],
    packet_cores: usize,
) {
    let groups = [Group::Fcfs, Group::Drr, Group::Worker];
    let mut cores = [0u32, 0, scheduler.workers_busy_ns().len() as u32];
    for core in 0..packet_cores {
        let of = scheduler.group(core);
        let number = core.to_string();
        for (group, count) in groups.iter().zip(&mut cores).take(2) {
            *count += u32::from(of == *group);
            out.gauge(&CORE_GROUP, &[&number, &word(group)], flag(of == *group));
        }
    }
    for (group, cores) in groups.iter().zip(cores) {
        let there = actors
            .iter()
            .filter(|actor| actor.place.map(group_of) == Some(*group));
        let name = word(group);
        let label = [name.as_str()];
        out.gauge(&GROUP_CORES, &label, f64::from(cores));
        out.gauge(&GROUP_ACTORS, &label, there.clone().count() as f64);
        let load = there.fold(0.0, |sum, actor| sum + actor.load);
        out.gauge(&GROUP_LOAD, &label, load);
    }
}

fn collect_workers<W: Work>(
    out: &mut Collection,
    scheduler: &Scheduler<W>,
    actors: &[Status],
    shares: &[f64],
) {
    for (worker, busy_ns) in (0u16..).zip(scheduler.workers_busy_ns()) {
        let label = worker.to_string();
        let here = |actor: &&Status| actor.place == Some(Place::Worker(worker));
        let there = actors.iter().filter(here).count();
        let share = shares.get(usize::from(worker)).copied().unwrap_or(0.0);
        out.counter(&WORKER_BUSY_SECONDS, &[&label], busy_ns as f64 / 1e9);
        out.gauge(&WORKER_BUSY, &[&label], share);
        out.gauge(&WORKER_ACTORS, &[&label], there as f64);
    }
}

fn group_of(place: Place) -> Group {
    match place {
        Place::Fcfs => Group::Fcfs,
        Place::Drr => Group::Drr,
        Place::Worker(_) => Group::Worker,
    }
}

/// The word by which the API and the log call it as well.
fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    let word = value.as_str().or_else(|| value["action"].as_str());
    word.unwrap_or_default().to_owned()
}

/// Every parameter by its key, in base units. Taken from the document, so that none can be forgotten.
fn parameters(config: &SchedulerConfig) -> Vec<(String, f64)> {
    let mut all = Vec::new();
    let document = serde_json::to_value(config).unwrap_or_default();
    for (key, value) in document.as_object().into_iter().flatten() {
        match value {
            // What is said of single stages stands with their actors.
            Value::Object(members) if key == "policy" => {
                all.extend(
                    members
                        .iter()
                        .filter_map(|(key, value)| parameter(key, value)),
                );
            }
            // A path is no figure.
            Value::String(_) => {}
            value => all.extend(parameter(key, value)),
        }
    }
    all
}

fn parameter(key: &str, value: &Value) -> Option<(String, f64)> {
    let number = match value {
        Value::Bool(on) => flag(*on),
        Value::String(word) => return Some((format!("{key}_{word}"), 1.0)),
        value => value.as_f64()?,
    };
    for (unit, of_a_second) in [("_us", 1e6), ("_ms", 1e3)] {
        if let Some(name) = key.strip_suffix(unit) {
            return Some((format!("{name}_seconds"), number / of_a_second));
        }
    }
    Some((key.to_owned(), number))
}
