//! What the hybrid does when what comes in changes: an actor whose messages take longer for a while, and one whose
//! handler misbehaves.

use std::fmt::Write;

use nf_core::sched::policy::{Action, Thresholds};
use nf_core::sched::runtime::{Event, Way};

use super::{Drawn, Lines, Settings, Verdict};
use crate::scheduler::{Phase, Story, Stream, Told};
use crate::sweep::sweep;

/// When it begins, milliseconds.
const BEGINS_MS: u64 = 500;

/// When the step ends.
const ENDS_MS: u64 = 1_000;

/// When everything ends.
const OVER_MS: u64 = 1_500;

/// An actor has to have left after so many milliseconds.
const LEFT_WITHIN_MS: f64 = 100.0;

/// The actor of which it is told, by number.
const ODD: u16 = 2;

/// Windows of the picture, milliseconds.
const WINDOW_MS: u64 = 20;

fn streams(service_us: f64, rate: f64) -> Vec<Stream> {
    let stream = |actor, rate, service_us| Stream {
        actor,
        rate,
        service_us,
    };
    vec![
        stream(None, 400_000.0, 1.0),
        stream(Some(0), 20_000.0, 5.0),
        stream(Some(1), 20_000.0, 5.0),
        stream(Some(usize::from(ODD)), rate, service_us),
    ]
}

fn story(settings: &Settings, packet_cores: usize, tail_ns: f64, phases: Vec<Phase>) -> Story {
    Story {
        packet_cores,
        workers: 1,
        actors: vec!["steady 1", "steady 2", "odd"],
        thresholds: Thresholds {
            mean_ns: 10_000.0,
            tail_ns,
        },
        phases,
        seed: settings.seed,
    }
}

/// The actor takes four times as long and gets four times as much for half a second. Only the mean decides.
fn step(settings: &Settings) -> Story {
    let phase = |until_ms, service_us, rate| Phase {
        until_ms,
        streams: streams(service_us, rate),
    };
    let phases = vec![
        phase(BEGINS_MS, 5.0, 10_000.0),
        phase(ENDS_MS, 20.0, 45_000.0),
        phase(OVER_MS, 5.0, 10_000.0),
    ];
    story(settings, 2, 1e9, phases)
}

/// The actor's handler begins to take this long, and goes on with it.
fn misbehaves(settings: &Settings, service_us: f64, rate: f64) -> Story {
    let phase = |until_ms, service_us, rate| Phase {
        until_ms,
        streams: streams(service_us, rate),
    };
    let phases = vec![
        phase(BEGINS_MS, 5.0, 10_000.0),
        phase(OVER_MS, service_us, rate),
    ];
    story(settings, 3, 40_000.0, phases)
}

/// When the odd actor was moved, milliseconds: between groups as decided, to and from workers as done; and whether
/// to a worker, from one, or between groups.
fn moves(told: &Told) -> Vec<(f64, &'static str)> {
    let of = |event: &Event| match event {
        Event::Decided { at, decision, .. } => {
            let what = match decision.action {
                Action::Downgrade { actor: ODD } => "to round robin",
                Action::Upgrade { actor: ODD } => "from round robin",
                _ => return None,
            };
            Some((*at as f64 / 1e6, what))
        }
        Event::Migrated { at, name, way, .. } if &**name == "odd" => {
            let what = match way {
                Way::Push(_) => "to a worker",
                Way::Pull(_) => "from a worker",
            };
            Some((*at as f64 / 1e6, what))
        }
        Event::Migrated { .. } | Event::Failed { .. } => None,
    };
    told.events.iter().filter_map(of).collect()
}

/// What happened, one line each.
fn log(told: &Told) -> String {
    let mut text = String::new();
    for event in &told.events {
        let _ = match event {
            Event::Decided { at, decision, name } => writeln!(
                text,
                "  {:9.3} ms {:?} {} because of {:?}: {:.2}, limit {:.2}",
                *at as f64 / 1e6,
                decision.action,
                name.as_deref().unwrap_or(""),
                decision.rule,
                decision.measured,
                decision.limit
            ),
            Event::Failed { at, name, failure } => {
                writeln!(
                    text,
                    "  {:9.3} ms {name} failed: {failure:?}",
                    *at as f64 / 1e6
                )
            }
            Event::Migrated {
                at,
                name,
                way,
                ended,
                phases_ns,
            } => writeln!(
                text,
                "  {:9.3} ms {name} {way:?}: {ended:?}, phases {phases_ns:?} ns",
                *at as f64 / 1e6
            ),
        };
    }
    text
}

fn conserved(name: &str, told: &Told) -> Verdict {
    let accounted = told.executed() + told.lost() + told.refused;
    Verdict::new(
        format!("messages lost, {name}"),
        "none, and every one accounted for",
        format!(
            "{} lost, {} refused, {} executed of {}",
            told.lost(),
            told.refused,
            told.executed(),
            told.offered
        ),
        told.lost() + told.refused == 0 && accounted == told.offered,
    )
}

fn of_step(told: &Told) -> Vec<Verdict> {
    let moves = moves(told);
    let (begins, ends) = (BEGINS_MS as f64, ENDS_MS as f64);
    let there = moves
        .iter()
        .find(|(at, what)| *at >= begins && *what == "to a worker");
    let back = moves
        .iter()
        .find(|(at, what)| *at >= ends && *what == "from a worker");
    let after = |found: Option<&(f64, &str)>, since: f64| {
        found.map_or("never".to_owned(), |(at, _)| {
            format!("{:.1} ms after", at - since)
        })
    };
    let sides = moves.iter().filter(|(_, what)| what.contains("worker"));
    let count = sides.count();
    vec![
        Verdict::new(
            "the actor leaves the packet cores after a step",
            format!("within {LEFT_WITHIN_MS} ms"),
            after(there, begins),
            there.is_some_and(|(at, _)| at - begins <= LEFT_WITHIN_MS),
        ),
        Verdict::new(
            "the actor comes back after the step",
            "it does",
            after(back, ends),
            back.is_some(),
        ),
        Verdict::new(
            "moves to and from a worker",
            "2, and at most one bounce: 4",
            format!("{count}"),
            (2..=4).contains(&count),
        ),
        conserved("step", told),
    ]
}

fn of_misbehaviour(name: &str, told: &Told) -> Vec<Verdict> {
    let (begins, over) = (BEGINS_MS as f64, OVER_MS as f64);
    let moves = moves(told);
    let mut since = moves.iter().filter(|(at, _)| *at >= begins);
    let first = since.clone().next();
    let last = since.next_back();
    let quiet = told.transit(100.0, begins).quantile(0.99) / 1e3;
    let worst = told.transit(begins, begins + 100.0).quantile(0.99) / 1e3;
    let settled = last.map_or(over, |(at, _)| *at);
    let after = told.transit(settled + 10.0, over).quantile(0.99) / 1e3;
    vec![
        Verdict::new(
            format!("p99 of transit once the actor has been moved, {name}, us"),
            format!("at most 2 times the quiet one, {quiet:.1}"),
            format!("{after:.1}; in the first 100 ms {worst:.1}"),
            first.is_some() && after > 0.0 && after <= 2.0 * quiet,
        ),
        Verdict::new(
            format!("the actor is moved, {name}"),
            format!("within {LEFT_WITHIN_MS} ms"),
            match (first, last) {
                (Some((at, what)), Some((end, then))) => format!(
                    "{what} {:.1} ms after, last {then} {:.1} ms after",
                    at - begins,
                    end - begins
                ),
                _ => "never".to_owned(),
            },
            first.is_some_and(|(at, _)| at - begins <= LEFT_WITHIN_MS),
        ),
        conserved(name, told),
    ]
}

pub(crate) fn figure_adapt(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let stories = [
        ("step", step(settings)),
        ("100 us handler", misbehaves(settings, 100.0, 2_000.0)),
        ("10 ms handler", misbehaves(settings, 10_000.0, 50.0)),
    ];
    let told = sweep(settings.eal, settings.threads, &stories, |(_, story)| {
        story.tell()
    });
    let told: Vec<Told> = told.into_iter().collect::<Result<_, _>>()?;
    let mut lines = Vec::new();
    let mut verdicts = Vec::new();
    let mut table = String::new();
    for ((what, _), told) in stories.iter().zip(&told) {
        let window = |at: u64| {
            let samples = told.transit(at as f64, (at + WINDOW_MS) as f64);
            (at as f64, samples.quantile(0.99) / 1e3)
        };
        let points = (0..OVER_MS).step_by(WINDOW_MS as usize).map(window);
        lines.push(((*what).to_owned(), points.collect()));
        verdicts.extend(match *what {
            "step" => of_step(told),
            what => of_misbehaviour(what, told),
        });
        let _ = writeln!(table, "{what}:\n{}", log(told));
    }
    let chart = Lines {
        title: title.to_owned(),
        x: "ms",
        y: "p99 of transit, us",
        lines,
    };
    let mut panel = chart.panel(settings, name, "");
    panel.table = format!("{title}\n{table}");
    Ok(Drawn {
        panels: vec![panel],
        verdicts,
    })
}
