//! Figures 16 and E-28: what happens over time when the appliance, or a server, dies and comes back.
//!
//! One client after the other sends at the same rate, so that each measures its own part of the time.

use serde_json::json;
use workload::rpc::{Client, Measured};
use workload::scheme::Scheme;

use super::table::Chart;
use super::{Drawn, Settings, Verdict};
use crate::rig::{APPLIANCE, Rig, clone_counters, programs};
use crate::scenario::{Fault, FaultAction};
use crate::world::World;

const SECOND_US: u64 = 1_000_000;

/// Throughput is looked at so often, nanoseconds.
const STEP_NS: u64 = 100_000_000;

/// What came of a timeline.
struct Timeline {
    /// Requests answered a second, by the second at which a step ends.
    answered: Vec<(f64, f64)>,
    /// What each part measured.
    parts: Vec<Measured>,
    /// When the stage first found a server to be down, nanoseconds.
    found_down: Option<u64>,
    violations: Vec<String>,
    rate: f64,
}

/// Runs a rack in which something dies; a client measures in each part of the time, seconds from and to.
fn timeline(
    settings: &Settings,
    fault: FaultAction,
    at_s: u64,
    parts: &[(f64, f64)],
) -> Result<Timeline, String> {
    let end = parts.last().map_or(0.0, |part| part.1);
    // Ten points' worth of requests, spread over the time.
    let rate = settings.requests as f64 * 10.0 / end.max(1.0);
    let mut rig = Rig::new(Scheme::NetClone, rate);
    rig.clients = parts.len();
    rig.seed = settings.seed;
    rig.faults = vec![Fault {
        at_us: at_s * SECOND_US,
        what: fault,
    }];
    let mut scenario = rig.scenario()?;
    scenario.duration_us = (end * 1e6) as u64 + 500_000;
    for (host, (from, to)) in scenario.hosts.iter_mut().zip(parts) {
        let us = |seconds: f64| json!((seconds * 1e6) as u64);
        let settings = &mut host.program.settings;
        for (key, value) in [
            ("start_us", us(*from)),
            ("warm_up_us", json!(0)),
            ("measure_us", us(to - from)),
            ("rate", json!(rate)),
            ("settle_us", json!(400_000)),
        ] {
            settings[key] = value;
        }
    }
    let mut world =
        World::new(scenario, &settings.kinds, settings.eal).map_err(|error| error.to_string())?;
    let mut answered = Vec::new();
    let mut before = 0;
    let mut found_down = None;
    let total = |world: &World| -> u64 {
        let clients = world.hosts().flat_map(programs::<Client>);
        clients
            .map(|client| client.progress().answered_in_time)
            .sum()
    };
    while world.now() < (end * 1e9) as u64 {
        let until = world.now() + STEP_NS;
        let dying = at_s * 1_000_000_000;
        // Millisecond by millisecond while it is not known yet that a server is down.
        while (dying..dying + 1_000_000_000).contains(&world.now())
            && found_down.is_none()
            && world.now() < until
        {
            world.run_until((world.now() + 1_000_000).min(until));
            if clone_counters(&world).custom.get("server_down") > 0 {
                found_down = Some(world.now());
            }
        }
        world.run_until(until);
        let now = total(&world);
        let rate = (now - before) as f64 * 1e9 / STEP_NS as f64;
        answered.push((world.now() as f64 / 1e9, rate));
        before = now;
    }
    world.run();
    let hosts = world
        .hosts()
        .filter_map(|host| programs::<Client>(host).next());
    let parts = hosts.map(Client::measured).collect();
    Ok(Timeline {
        answered,
        parts,
        found_down,
        violations: world.finish().violations,
        rate,
    })
}

impl Timeline {
    fn p99_us(&self, part: usize) -> f64 {
        self.parts
            .get(part)
            .map_or(0.0, |part| part.latency.quantile(0.99) as f64 / 1e3)
    }

    fn lost(&self, part: usize) -> u64 {
        self.parts.get(part).map_or(0, |part| part.counts.lost())
    }

    fn redundant(&self, part: usize) -> f64 {
        self.parts.get(part).map_or(0.0, |part| {
            part.counts.redundant as f64 / part.counts.completed.max(1) as f64
        })
    }

    /// Verdicts of every timeline: before and after are alike, nothing is lost in either.
    fn verdicts(&self) -> Vec<Verdict> {
        let (before, after) = (self.p99_us(0), self.p99_us(2));
        vec![
            Verdict::new(
                "requests lost before and after",
                "none",
                format!("{} and {}", self.lost(0), self.lost(2)),
                self.lost(0) + self.lost(2) == 0,
            ),
            Verdict::near(
                "p99 afterwards, us",
                (before * 10.0).round() / 10.0,
                0.1,
                Some(after),
            ),
            Verdict::new(
                "redundant answers a request before and after",
                "at most 1 in 10,000",
                format!("{:.1e} and {:.1e}", self.redundant(0), self.redundant(2)),
                self.redundant(0) <= 1e-4 && self.redundant(2) <= 1e-4,
            ),
            Verdict::new(
                "packets and published versions unaccounted for",
                "none",
                format!("{}", self.violations.len()),
                self.violations.is_empty(),
            ),
        ]
    }

    fn panel(&self, settings: &Settings, name: &str, title: &str) -> super::Panel {
        let chart = Chart {
            title: title.to_owned(),
            x: "seconds",
            y: "requests answered a second",
            log: false,
            lines: vec![("netclone".into(), self.answered.clone())],
        };
        chart.panel(settings, name, "")
    }
}

pub(super) fn figure_16(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let fault = FaultAction::Crash {
        node: APPLIANCE.into(),
        for_us: Some(2 * SECOND_US),
    };
    let drawn = timeline(settings, fault, 5, &[(0.1, 4.9), (4.9, 8.0), (8.0, 25.0)])?;
    let back = drawn
        .answered
        .iter()
        .find(|(at, rate)| *at > 7.05 && *rate > 0.9 * drawn.rate);
    let mut verdicts = drawn.verdicts();
    let text = back.map_or("never".into(), |(at, _)| {
        format!("{:.1} s after it started", at - 7.0)
    });
    verdicts.push(Verdict::new(
        "throughput is back",
        "at most 3 s after it started again",
        text,
        back.is_some_and(|(at, _)| *at <= 10.0),
    ));
    let lost = drawn.lost(1) as f64 / drawn.rate;
    verdicts.push(Verdict::new(
        "requests lost meanwhile, without retries, as seconds of the rate",
        "the two seconds for which it was gone, within 5 %",
        format!("{lost:.2}"),
        (lost / 2.0 - 1.0).abs() < 0.05,
    ));
    Ok(Drawn {
        panels: vec![drawn.panel(settings, name, title)],
        verdicts,
    })
}

pub(super) fn figure_e28(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let fault = FaultAction::Crash {
        node: Rig::server(2),
        for_us: Some(7 * SECOND_US),
    };
    let drawn = timeline(settings, fault, 5, &[(0.1, 4.9), (4.9, 12.5), (12.5, 17.0)])?;
    let mut verdicts = drawn.verdicts();
    let took = drawn.found_down.map(|at| (at as f64 - 5e9) / 1e6);
    verdicts.push(Verdict::new(
        "the appliance finds out, milliseconds after the server died",
        "less than 50",
        took.map_or("never".into(), |took| format!("{took:.0}")),
        took.is_some_and(|took| took < 50.0),
    ));
    let lost = drawn.lost(1) as f64 / drawn.rate * 1e3;
    verdicts.push(Verdict::new(
        "requests lost, without retries, as milliseconds of the rate",
        "at most a third of what came until it was found out: 17",
        format!("{lost:.2}"),
        lost <= 17.0,
    ));
    verdicts.push(Verdict::new(
        "p99 while one of six is gone, us",
        "at most twice that before",
        format!("{:.1} against {:.1}", drawn.p99_us(1), drawn.p99_us(0)),
        drawn.p99_us(1) <= 2.0 * drawn.p99_us(0),
    ));
    Ok(Drawn {
        panels: vec![drawn.panel(settings, name, title)],
        verdicts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{eal, kinds};

    fn settings() -> Settings {
        Settings {
            requests: 20_000,
            repetitions: 1,
            loads: None,
            seed: 1,
            threads: 1,
            kinds: kinds(),
            eal: eal(),
        }
    }

    fn assert_ok(drawn: &Drawn) {
        for verdict in &drawn.verdicts {
            assert!(verdict.ok, "{verdict}");
        }
    }

    #[test]
    fn x08_an_appliance_that_is_killed_under_load_leaves_no_trace() {
        let (name, title) = ("netclone-16", "x");
        assert_ok(&figure_16(&settings(), name, title).unwrap());
    }

    #[test]
    fn x06_a_server_that_is_killed_is_found_out_and_comes_back() {
        assert_ok(&figure_e28(&settings(), "netclone-e28", "x").unwrap());
    }
}
