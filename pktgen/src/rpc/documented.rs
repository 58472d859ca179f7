//! Every key of the JSON output stands in docs/pktgen.md.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use serde_json::Value;
use workload::rpc::Measured;
use workload::statistics::Objective;
use workload::sweep::{Curve, Point, Sweep};

use super::{coordinate, serve};
use crate::cli::{Cli, Command};

const PAGE: &str = include_str!("../../../docs/pktgen.md");

/// Paths of all values, in the page's way of writing.
fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let dot = if at.is_empty() { "" } else { "." };
                paths(value, &format!("{at}{dot}{key}"), found);
            }
        }
        Value::Array(items) => match items.first() {
            Some(item) => paths(item, &format!("{at}[]"), found),
            None => found.push(format!("{at}[]")),
        },
        _ => found.push(at.to_owned()),
    }
}

/// Keys that are neither there with their whole path, nor alone.
fn missing(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    paths(value, "", &mut found);
    found.retain(|path| {
        let last = path.rsplit('.').next().unwrap_or(path);
        // The page says of `total` that it has the keys of a server.
        let of_server = format!("`servers[].{last}`");
        [format!("`{path}`"), format!("`{last}`"), of_server]
            .iter()
            .all(|key| !PAGE.contains(key))
    });
    found
}

fn command(line: &str) -> Command {
    Cli::try_parse_from(line.split_whitespace())
        .unwrap()
        .command
}

#[test]
fn every_key_of_the_json_output_is_documented() {
    let mut run = Measured {
        window_ns: 1,
        ..Measured::default()
    };
    run.counts.completed = 1;
    for times in [&mut run.latency, &mut run.latency_sent, &mut run.service] {
        times.record(1);
    }
    let objective = Objective::p99(1.0);
    let mut sweep = Sweep {
        kind: "rpc",
        version: "0",
        title: String::new(),
        command: String::new(),
        seed: 1,
        workload: String::new(),
        capacity_rps: None,
        objective: Some(objective),
        notes: vec![String::new()],
        curves: vec![Curve {
            name: "baseline".into(),
            points: vec![Point::of(None, &[run.clone(), run])],
            knee: None,
        }],
    };
    sweep.find_knees();
    assert!(sweep.curves[0].knee.is_some());
    assert_eq!(missing(&serde_json::to_value(sweep).unwrap()), [""; 0]);
    let stop = Arc::new(AtomicBool::new(true));
    let Command::Serve(args) = command("pktgen serve --servers 127.76.0.1 --udp-ports 0 -q") else {
        panic!("serve");
    };
    let served = serve(&args, 1, &stop).unwrap();
    assert_eq!(missing(&serde_json::to_value(served).unwrap()), [""; 0]);
    let line = "pktgen laedge --listen 127.76.0.2:0 --servers 127.76.0.1+2 -q";
    let Command::Laedge(args) = command(line) else {
        panic!("laedge");
    };
    let coordinated = coordinate(&args, 1, &stop).unwrap();
    assert_eq!(
        missing(&serde_json::to_value(coordinated).unwrap()),
        [""; 0]
    );
}

#[test]
fn every_scheme_preset_and_flag_is_documented() {
    for scheme in workload::Scheme::ALL {
        assert!(PAGE.contains(&format!("| {} | `{}` |", scheme.id(), scheme.name())));
    }
    let presets = workload::presets::PRESETS.iter().map(|preset| preset.name);
    let services = workload::presets::SERVICES
        .iter()
        .map(|service| service.name);
    for name in presets.chain(services) {
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
}
