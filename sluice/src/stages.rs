//! `sluice stages`: the kinds of stages there are.

use std::io::Write;
use std::process::ExitCode;

use nf_core::chain::StageKind;
use nf_core::telemetry::Telemetry;
use serde_json::{Value, json};

use crate::cli::StagesArgs;
use crate::failure::Failure;

/// Runs the command.
pub fn run(args: &StagesArgs) -> Result<ExitCode, Failure> {
    let registry = sluice::registry();
    let mut out = std::io::stdout().lock();
    if args.json {
        let kinds: Vec<Value> = registry.iter().map(as_json).collect();
        writeln!(out, "{:#}", Value::from(kinds))?;
    } else {
        for (index, kind) in registry.iter().enumerate() {
            let gap = if index > 0 { "\n" } else { "" };
            write!(out, "{gap}{}", as_text(kind))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(kind: &dyn StageKind) -> Value {
    let counters: Vec<Value> = kind
        .counters()
        .iter()
        .zip(Telemetry::stage_families(kind.name(), kind.counters()))
        .map(|(counter, family)| {
            json!({ "name": counter.name, "help": counter.help, "metric": family.name })
        })
        .collect();
    json!({
        "kind": kind.name(),
        "summary": kind.summary(),
        "drop_reasons": kind.reasons(),
        "counters": counters,
    })
}

fn as_text(kind: &dyn StageKind) -> String {
    let mut text = format!("{}: {}\n", kind.name(), kind.summary());
    if !kind.reasons().is_empty() {
        text += &format!("  drops for: {}\n", kind.reasons().join(", "));
    }
    let width = kind
        .counters()
        .iter()
        .map(|counter| counter.name.len())
        .max()
        .unwrap_or(0);
    if width > 0 {
        text += "  counters:\n";
    }
    for counter in kind.counters() {
        text += &format!("    {:width$}  {}\n", counter.name, counter.help);
    }
    text
}
