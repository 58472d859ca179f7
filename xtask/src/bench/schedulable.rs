//! What it costs that stages could be moved: the same appliance with a scheduler, every stage inline, and
//! without.

use anyhow::Result;
use serde_json::{Value, json};

use super::harness::{Better, Case, Effort, Outcome, compare};
use super::stages::{NULL_RECEIVE, count_instructions};
use super::{Report, ours};
use crate::programs;

/// Share of the throughput without a scheduler that has to be left.
const AT_LEAST: f64 = 0.97;

/// Instructions for each packet and stage that it may cost.
const AT_MOST: f64 = 8.0;

fn null(copy: bool) -> Vec<Value> {
    vec![json!({ "type": "null", "packet_bytes": 64, "copy": copy }); 2]
}

fn empty(stages: u8) -> Value {
    let stage = |number| json!({ "stage": "pass", "name": format!("pass{number}") });
    (0..stages).map(stage).collect()
}

/// With a scheduler that has nothing to decide: one packet core, and nowhere to move anything.
fn scheduled(config: &Value) -> Value {
    let mut config = config.clone();
    config["scheduler"] = json!({ "slo_mean_us": 1e6, "slo_tail_us": 1e6, "watchdog_ms": 60_000 });
    config
}

/// Throughput of packets through chains, and instructions by stage, with a scheduler against without.
pub fn schedulable(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    for (name, config) in [
        ("forward-null-64B", ours::config(&null(false), json!([]))),
        ("pass4-null-64B", ours::config(&null(false), empty(4))),
        (
            "swap-null-64B-copy",
            ours::config(&null(true), json!([{ "stage": "swap" }])),
        ),
    ] {
        let case = Case {
            bench: "schedulable",
            case: name.to_owned(),
            unit: "cpu-Mpps",
            peer_name: format!("without a scheduler, {AT_LEAST} of it to reach"),
            better: Better::Higher,
        };
        let with = scheduled(&config);
        report.add(compare(
            &case,
            effort.pairs,
            || ours::measure(&with, effort.window),
            || ours::measure(&config, effort.window),
        )?);
    }
    for stages in [1u8, 4] {
        let config = ours::config(&null(false), empty(stages));
        let without = count_instructions(config.clone(), NULL_RECEIVE, effort.window)?;
        let with = count_instructions(scheduled(&config), NULL_RECEIVE, effort.window)?;
        eprintln!(
            "{stages} stages: {with:.2} instructions per packet; without a scheduler: {without:.2}"
        );
        let mut outcome = Outcome::new(Case {
            bench: "schedulable",
            case: format!("null-64B-{stages}-empty"),
            unit: "instructions per packet and stage",
            peer_name: "limit".to_owned(),
            better: Better::Lower,
        });
        outcome.add((with - without) / f64::from(stages), AT_MOST);
        report.add(outcome);
    }
    Ok(())
}
