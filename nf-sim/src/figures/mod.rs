//! The figures of the NetClone paper, and those that it lacks, drawn from simulated racks, and figures of the
//! scheduler of actors, each with a verdict against what is to be expected of it.
//!
//! What is expected comes from the paper where a rack without its machines can show it, else from a queueing
//! model of the same rack (docs/nf-sim.md has both in a table).

mod adversity;
mod curves;
mod filter;
mod latency;
mod model;
mod scheduler;
mod schemes;
mod state;
mod stores;
mod table;
mod timeline;
mod workers;

use std::sync::Arc;

use nf_core::dpdk::Eal;
use serde::Serialize;

use crate::kinds::Kinds;
use crate::rig::{Rig, Run, run};
use crate::sweep::sweep;

/// Above this load, runs of the same rack differ much.
const HIGH_LOAD: f64 = 0.85;

/// Repetitions whose mean can be compared where runs differ much.
const MANY: u64 = 10;

/// How thoroughly a figure is drawn.
#[derive(Clone)]
pub struct Settings {
    /// Requests measured at each point.
    pub requests: u64,
    /// Repetitions of each point, each with another seed.
    pub repetitions: u64,
    /// Loads instead of the figure's own, as shares of the capacity.
    pub loads: Option<Vec<f64>>,
    /// The seed of the first repetition.
    pub seed: u64,
    /// Threads that runs are spread over.
    pub threads: usize,
    /// Stages and programs.
    pub kinds: Arc<Kinds>,
    /// DPDK's environment.
    pub eal: &'static Eal,
}

impl Settings {
    /// The loads: those asked for, or these.
    fn loads(&self, own: &[f64]) -> Vec<f64> {
        self.loads.clone().unwrap_or_else(|| own.to_vec())
    }

    /// Repetitions of a point: at high load runs are so far apart that a mean takes ten.
    fn repetitions_at(&self, load: f64) -> u64 {
        match load > HIGH_LOAD {
            true => self.repetitions.max(MANY),
            false => self.repetitions,
        }
    }

    /// The same with ten repetitions of each point: where chance has a large say in each run.
    fn repeated(&self) -> Settings {
        Settings {
            repetitions: self.repetitions.max(MANY),
            ..self.clone()
        }
    }

    /// Runs racks; their order is kept.
    fn run(&self, rigs: &[Rig]) -> Result<Vec<Run>, String> {
        let runs = sweep(self.eal, self.threads, rigs, |rig| {
            run(rig, &self.kinds, self.eal)
        });
        runs.into_iter()
            .map(|run| {
                let run = run?;
                match run.violations.first() {
                    Some(violation) => Err(format!("a run went wrong: {violation}")),
                    None => Ok(run),
                }
            })
            .collect()
    }

    /// The command that draws a figure again.
    fn command(&self, name: &str) -> String {
        let mut text = format!(
            "nf-sim figure {name} --requests {} --repetitions {} --seed {}",
            self.requests, self.repetitions, self.seed
        );
        if let Some(loads) = &self.loads {
            let loads: Vec<String> = loads.iter().map(f64::to_string).collect();
            text.push_str(&format!(" --loads {}", loads.join(",")));
        }
        text
    }
}

/// What was expected of a figure, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Of what.
    pub of: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// Whether it is so.
    pub ok: bool,
}

impl Verdict {
    /// Whether something holds.
    fn new(
        of: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        ok: bool,
    ) -> Verdict {
        Verdict {
            of: of.into(),
            expected: expected.into(),
            found: found.into(),
            ok,
        }
    }

    /// A number must be at least so large.
    fn at_least(of: impl Into<String>, least: f64, found: Option<f64>) -> Verdict {
        let text = found.map_or("nothing".into(), |found| format!("{found:.2}"));
        let ok = found.is_some_and(|found| found >= least);
        Verdict::new(of, format!("at least {least}"), text, ok)
    }

    /// A number must be this, give or take a share of it.
    fn near(of: impl Into<String>, expected: f64, share: f64, found: Option<f64>) -> Verdict {
        let text = found.map_or("nothing".into(), |found| format!("{found:.2}"));
        let ok = found.is_some_and(|found| (found / expected - 1.0).abs() <= share);
        let expected = format!("{expected} within {:.0} %", share * 100.0);
        Verdict::new(of, expected, text, ok)
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.ok { "ok  " } else { "MISS" };
        write!(
            f,
            "{word} {}: {}; expected {}",
            self.of, self.found, self.expected
        )
    }
}

/// A part of a figure: one picture and its numbers.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What comes behind the figure's name in names of files; empty for the only one.
    pub suffix: String,
    /// The numbers.
    pub csv: String,
    /// The pictures, each with what comes behind the panel's name.
    pub pictures: Vec<(String, String)>,
    /// A table for people.
    pub table: String,
}

/// A figure, drawn.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// Its parts.
    pub panels: Vec<Panel>,
    /// What is to be said of it.
    pub verdicts: Vec<Verdict>,
}

/// A figure that can be drawn.
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// Draws it.
    pub draw: fn(&Settings, &'static str, &'static str) -> Result<Drawn, String>,
}

impl Figure {
    /// Draws it.
    pub fn draw(&self, settings: &Settings) -> Result<Drawn, String> {
        (self.draw)(settings, self.name, self.title)
    }
}

/// All figures.
pub const FIGURES: &[Figure] = &[
    Figure {
        name: "netclone-7a",
        title: "Exp(25 us), one in 100 takes 15 times as long",
        draw: latency::figure_7a,
    },
    Figure {
        name: "netclone-7b",
        title: "Bimodal(90 %: 25 us, 10 %: 250 us), one in 100 takes 15 times as long",
        draw: latency::figure_7b,
    },
    Figure {
        name: "netclone-7c",
        title: "Exp(50 us), one in 100 takes 15 times as long",
        draw: latency::figure_7c,
    },
    Figure {
        name: "netclone-7d",
        title: "Bimodal(90 %: 50 us, 10 %: 500 us) and Exp(500 us), one in 100 takes 15 times as long",
        draw: latency::figure_7d,
    },
    Figure {
        name: "netclone-8",
        title: "A coordinator: five servers, Exp(25 us)",
        draw: schemes::figure_8,
    },
    Figure {
        name: "netclone-9",
        title: "Two, four and six servers, Exp(25 us)",
        draw: workers::figure_9,
    },
    Figure {
        name: "netclone-10",
        title: "With RackSched, on equal and unequal servers",
        draw: schemes::figure_10,
    },
    Figure {
        name: "netclone-11",
        title: "Redis, service times measured",
        draw: stores::figure_11,
    },
    Figure {
        name: "netclone-12",
        title: "memcached, service times measured",
        draw: stores::figure_12,
    },
    Figure {
        name: "netclone-13a",
        title: "Answers that report an empty queue",
        draw: state::figure_13a,
    },
    Figure {
        name: "netclone-13b",
        title: "Load 0.9, ten runs",
        draw: state::figure_13b,
    },
    Figure {
        name: "netclone-14",
        title: "Low variability: one in 1000 takes 15 times as long",
        draw: latency::figure_14,
    },
    Figure {
        name: "netclone-15",
        title: "Without the filter, where the client is the bottleneck",
        draw: schemes::figure_15,
    },
    Figure {
        name: "netclone-16",
        title: "The appliance is killed at 5 s and starts again at 7 s",
        draw: timeline::figure_16,
    },
    Figure {
        name: "netclone-e24",
        title: "Redundant answers by slots, tables and slot index",
        draw: filter::figure_e24,
    },
    Figure {
        name: "netclone-e25",
        title: "State shared by the cores, or kept by each",
        draw: state::figure_e25,
    },
    Figure {
        name: "netclone-e26",
        title: "Always cloning, and never dropping clones",
        draw: schemes::figure_e26,
    },
    Figure {
        name: "netclone-e27",
        title: "Workers of a server: up to which load cloning pays",
        draw: workers::figure_e27,
    },
    Figure {
        name: "netclone-e28",
        title: "One of six servers is killed at 5 s and starts again at 12 s",
        draw: timeline::figure_e28,
    },
    Figure {
        name: "netclone-e29",
        title: "Service times that belong to the request",
        draw: latency::figure_e29,
    },
    Figure {
        name: "netclone-e30",
        title: "Loss, duplicates and reordering of answers",
        draw: adversity::figure_e30,
    },
    Figure {
        name: "netclone-e31",
        title: "Time from host to appliance",
        draw: adversity::figure_e31,
    },
    Figure {
        name: "ipipe-scheduler",
        title: "Disciplines for actors at load 0.9",
        draw: scheduler::figure_table,
    },
    Figure {
        name: "ipipe-loads",
        title: "Disciplines for actors by load",
        draw: scheduler::figure_loads,
    },
    Figure {
        name: "ipipe-slowdown",
        title: "Slowdown of each request class",
        draw: scheduler::figure_slowdown,
    },
    Figure {
        name: "ipipe-adapt",
        title: "An actor becomes slow, and its place changes",
        draw: scheduler::figure_adapt,
    },
];

/// The figure of that name.
pub fn find(name: &str) -> Option<&'static Figure> {
    FIGURES
        .iter()
        .find(|figure| figure.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{eal, kinds};

    fn settings(requests: u64) -> Settings {
        Settings {
            requests,
            repetitions: 1,
            loads: None,
            seed: 1,
            threads: 2,
            kinds: kinds(),
            eal: eal(),
        }
    }

    #[test]
    fn f27_figure_7a_is_as_the_model_has_it() {
        let mut settings = settings(60_000);
        settings.loads = Some(vec![0.1, 0.5, 0.7]);
        let drawn = find("netclone-7a").unwrap().draw(&settings).unwrap();
        for verdict in &drawn.verdicts {
            assert!(verdict.ok, "{verdict}");
        }
        let panel = &drawn.panels[0];
        assert!(panel.csv.lines().count() >= 10, "{}", panel.csv);
        assert!(panel.pictures[0].1.contains("<svg"));
    }

    #[test]
    fn every_figure_can_be_drawn() {
        let mut settings = settings(2_000);
        settings.loads = Some(vec![0.3]);
        for figure in FIGURES
            .iter()
            .filter(|figure| !figure.name.ends_with("-7a"))
        {
            let drawn = figure.draw(&settings).unwrap();
            assert!(!drawn.verdicts.is_empty(), "{}", figure.name);
            for panel in &drawn.panels {
                assert!(
                    panel.csv.lines().count() > 2,
                    "{}: {}",
                    figure.name,
                    panel.csv
                );
                assert!(!panel.pictures.is_empty(), "{}", figure.name);
                assert!(
                    panel.pictures.iter().all(|(_, svg)| svg.contains("<svg")),
                    "{}",
                    figure.name
                );
            }
        }
    }

    #[test]
    fn verdicts_say_what_was_missed() {
        let miss = Verdict::at_least("gain", 1.3, Some(1.2));
        assert_eq!(miss.to_string(), "MISS gain: 1.20; expected at least 1.3");
        assert!(Verdict::near("p99", 100.0, 0.1, Some(109.0)).ok);
        assert!(!Verdict::near("p99", 100.0, 0.1, Some(111.0)).ok);
        assert!(!Verdict::near("p99", 100.0, 0.1, None).ok);
    }
}
