//! `nf-sim run` and `nf-sim check`.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use nf_core::dpdk::Eal;
use serde_json::Value;

use super::{RunArgs, STATUS_FOUND, print, read, write};
use crate::kinds::Kinds;
use crate::world::{NodeOutcome, Outcome, World};

pub(super) fn check(path: &Path) -> Result<ExitCode, String> {
    read(path, &Kinds::all())?;
    print(&format!("{}: no problem found\n", path.display()))
}

pub(super) fn run(
    args: &RunArgs,
    eal: impl FnOnce() -> Result<&'static Eal, String>,
) -> Result<ExitCode, String> {
    let kinds = Arc::new(Kinds::all());
    let mut scenario = read(&args.scenario, &kinds)?;
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    let mut world = World::new(scenario, &kinds, eal()?).map_err(|error| error.to_string())?;
    world.run();
    let outcome = world.finish();
    let value = serde_json::to_value(&outcome).map_err(|error| error.to_string())?;
    if let Some(path) = &args.json {
        write(path, &format!("{value:#}\n"))?;
    }
    if let Some(path) = &args.csv {
        write(path, &csv(&value))?;
    }
    if args.json.is_none() && args.csv.is_none() {
        print(&text(&outcome))?;
    }
    for violation in &outcome.violations {
        eprintln!("nf-sim: {violation}");
    }
    Ok(match outcome.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(STATUS_FOUND),
    })
}

/// For people: each node in a few lines.
fn text(outcome: &Outcome) -> String {
    let mut text = format!(
        "{}: seed {}, {:.3} s of virtual time, {} events, {} frames delivered, trace {}\n",
        outcome.scenario,
        outcome.seed,
        outcome.virtual_ns as f64 / 1e9,
        outcome.events,
        outcome.delivered,
        outcome.trace_hash
    );
    for node in &outcome.nodes {
        let (name, lines) = match node {
            NodeOutcome::Host { name, results, .. } => (name, results.iter().collect::<Vec<_>>()),
            NodeOutcome::Appliance { name, .. } | NodeOutcome::Segment { name, .. } => {
                (name, Vec::new())
            }
        };
        let _ = writeln!(text, "{name}:");
        for (life, result) in lines.into_iter().enumerate() {
            let _ = writeln!(text, "  life {}: {result}", life + 1);
        }
        match node {
            NodeOutcome::Appliance {
                counters,
                telemetry,
                ..
            } => {
                let _ = writeln!(
                    text,
                    "  {} packets in, {} out",
                    counters.received, counters.sent
                );
                for stage in &telemetry.stages {
                    let total = &stage.total;
                    let _ = write!(
                        text,
                        "  {}: to server {}, to client {}, back {}, originated {}",
                        stage.name,
                        total.forward[0],
                        total.forward[1],
                        total.back[0] + total.back[1],
                        total.originated[0] + total.originated[1]
                    );
                    for (reason, count) in total.dropped.iter().filter(|(_, count)| *count > 0) {
                        let _ = write!(text, ", dropped {reason} {count}");
                    }
                    text.push('\n');
                }
            }
            NodeOutcome::Segment { counters, .. } => {
                let _ = writeln!(
                    text,
                    "  forwarded {}, flooded {}, dropped {}",
                    counters.forwarded, counters.flooded, counters.dropped
                );
            }
            NodeOutcome::Host { .. } => {}
        }
    }
    for (at, answer) in &outcome.answers {
        let _ = match answer {
            Ok(value) => writeln!(text, "order at {:.6} s: {value}", *at as f64 / 1e9),
            Err(why) => writeln!(text, "order at {:.6} s failed: {why}", *at as f64 / 1e9),
        };
    }
    text
}

/// Every number of the outcome, with the path to it.
fn csv(outcome: &Value) -> String {
    let mut text = String::from("node,name,value\n");
    for part in ["nodes", "links"] {
        for entry in outcome
            .get(part)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let name = entry
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            numbers(entry, name, "", &mut text);
        }
    }
    text
}

fn numbers(value: &Value, node: &str, path: &str, text: &mut String) {
    let below = |key: &str| match path.is_empty() {
        true => key.to_owned(),
        false => format!("{path}.{key}"),
    };
    match value {
        Value::Number(number) => {
            let _ = writeln!(text, "{},{path},{number}", quoted(node));
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                numbers(entry, node, &below(&index.to_string()), text);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                numbers(member, node, &below(key), text);
            }
        }
        _ => {}
    }
}

/// A field as RFC 4180 has it.
fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{rack, route, scenario, world};

    fn outcome() -> Outcome {
        let mut value = rack(1, route());
        value["duration_us"] = json!(1_000);
        let mut world = world(scenario(value));
        world.run();
        world.finish()
    }

    #[test]
    fn results_are_told_as_text_and_csv() {
        let outcome = outcome();
        let text = text(&outcome);
        for words in [
            "client1:",
            "\"received\":",
            "route: to server",
            "near:",
            "trace ",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        let csv = csv(&serde_json::to_value(&outcome).unwrap());
        for words in [
            "node,name,value\n",
            "client1,results.0.sent,",
            "sw,counters.received,",
            "client1-near,there.frames,",
        ] {
            assert!(csv.contains(words), "{words}: {csv}");
        }
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
