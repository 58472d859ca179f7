//! Figure E-24: how many redundant answers get through, by the size of the filter.

use serde_json::json;
use workload::scheme::Scheme;

use super::table::Chart;
use super::{Drawn, Settings, Verdict};
use crate::rig::{Rig, Run};

/// Slots of a table, as powers of two; fewer than 2^10 cannot be configured.
const SLOTS: [u8; 6] = [10, 11, 12, 13, 14, 17];

const TABLES: [u8; 4] = [1, 2, 4, 8];

/// Mean nanoseconds from the first answer to the second: the difference of two draws of Exp(25 us), of which
/// one in a hundred takes 15 times as long.
const GAP_NS: f64 = 32_000.0;

/// What a hash that spreads evenly lets through at most: another answer comes into a slot while its second
/// answer is awaited, with two and a half times that for what chance adds.
fn by_chance(run: &Run, slots: u8, tables: u8) -> f64 {
    let counts = &run.measured.counts;
    let completed = counts.completed.max(1) as f64;
    let cloned = counts.cloned as f64 / completed;
    let awaited = run.measured.throughput() * cloned * GAP_NS / 1e9;
    let places = f64::from(1u32 << slots) * f64::from(tables);
    2.5 * cloned * awaited / places + 5.0 / completed
}

pub(super) fn figure_e24(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let capacity = Rig::new(Scheme::NetClone, 1.0).capacity()?;
    let load = settings.loads(&[0.6]).first().copied().unwrap_or(0.6);
    let mut rigs = Vec::new();
    for index in ["dense", "hash"] {
        for tables in TABLES {
            for slots in SLOTS {
                let rig = Rig {
                    tables,
                    seed: settings.seed,
                    clone: json!({ "slots_log2": slots, "slot_index": index }),
                    ..Rig::new(Scheme::NetClone, load * capacity)
                };
                rigs.push(rig.requests(settings.requests));
            }
        }
    }
    let mut runs = settings.run(&rigs)?.into_iter();
    let mut lines = Vec::new();
    let mut verdicts = Vec::new();
    for index in ["dense", "hash"] {
        for tables in TABLES {
            let mut points = Vec::new();
            for (slots, run) in SLOTS.into_iter().zip(runs.by_ref()) {
                let counts = &run.measured.counts;
                let leak = counts.redundant as f64 / counts.completed.max(1) as f64;
                points.push((f64::from(slots), leak));
                let most = match (index, slots) {
                    ("dense", 12..) => 1e-4,
                    ("dense", _) => 4e-3,
                    _ => by_chance(&run, slots, tables),
                };
                if tables == 1 || leak > most {
                    verdicts.push(Verdict::new(
                        format!("redundant answers a request, {index}, 2^{slots} slots in {tables} tables"),
                        format!("at most {most:.1e}"),
                        format!("{leak:.1e}"),
                        leak <= most,
                    ));
                }
            }
            lines.push((format!("{index}, {tables} tables"), points));
        }
    }
    let chart = Chart {
        title: format!("{title}, load {load}"),
        x: "slots of a table, power of two",
        y: "redundant answers a request",
        log: true,
        lines,
    };
    Ok(Drawn {
        panels: vec![chart.panel(settings, name, "")],
        verdicts,
    })
}
