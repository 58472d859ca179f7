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

/// What a hash that spreads evenly lets through: another answer comes into a slot while its second answer is
/// awaited.
fn by_chance(run: &Run, slots: u8, tables: u8) -> f64 {
    let counts = &run.measured.counts;
    let completed = counts.completed.max(1) as f64;
    let cloned = counts.cloned as f64 / completed;
    let awaited = run.measured.throughput() * cloned * GAP_NS / 1e9;
    let places = f64::from(1u32 << slots) * f64::from(tables);
    cloned * awaited / places
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
                // The model has 1e-4 from 2^12 slots, from 2^14 with its hash, and 2e-3 with 2^10. Its numbers
                // are those of a hash that sends ids given one after the other to different slots; ours does
                // not, as that of the paper need not, so that two ids meet as often as chance has it.
                let model = match (index, slots) {
                    ("dense", 12..) | (_, 14..) => 1e-4,
                    _ => 2e-3,
                };
                let (most, expected) = match index {
                    "dense" => (model, format!("at most {model:.0e}")),
                    _ => {
                        let chance = by_chance(&run, slots, tables);
                        // Two requests that meet let both of their second answers pass: what leaks comes in
                        // pairs, so its deviation is larger than that of as many single ones.
                        let completed = counts.completed.max(1) as f64;
                        let deviation = (2.0 * chance / completed).sqrt();
                        let most = 1.25 * chance + 4.0 * deviation + 5.0 / completed;
                        let text = format!(
                            "at most {most:.1e}: by chance {chance:.1e} (the model: {model:.0e})"
                        );
                        (most, text)
                    }
                };
                if tables == 1 || leak > most {
                    verdicts.push(Verdict::new(
                        format!("redundant answers a request, {index}, 2^{slots} slots in {tables} tables"),
                        expected,
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
