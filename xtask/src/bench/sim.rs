//! The simulated rack: packets that one core carries in a second, in virtual time.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::harness::{Better, Case, Effort, Outcome};
use super::{PACKET_CORE, Report, favour};
use crate::programs;

/// Millions of packets a second that are asked for.
const AT_LEAST: f64 = 1.0;

/// A rack of six servers with fifteen workers each, at the simulator's own load.
pub fn sim(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    let case = |case: &str, unit, peer: &str, better| Case {
        bench: "sim",
        case: case.to_owned(),
        unit,
        peer_name: peer.to_owned(),
        better,
    };
    let mut speed = Outcome::new(case(
        "rack-6x15-netclone",
        "simulated Mpps",
        "to reach",
        Better::Higher,
    ));
    let mut growth = Outcome::new(case(
        "rack-6x15-netclone-memory-growth",
        "KiB",
        "none",
        Better::Lower,
    ));
    for _ in 0..effort.pairs {
        let told = run()?;
        let number = |key: &str| {
            let value = told[key].as_f64();
            value.with_context(|| format!("no {key} in {told}"))
        };
        speed.add(number("packets_per_second")? / 1e6, AT_LEAST);
        growth.add(number("resident_growth_kib")?, f64::NAN);
    }
    report.add(speed);
    report.add(growth);
    Ok(())
}

/// What `nf-sim speed` says.
fn run() -> Result<Value> {
    let mut words = favour();
    let core = PACKET_CORE.to_string();
    words.extend(["taskset", "-c", &core]);
    let output = Command::new(words[0])
        .args(&words[1..])
        .arg(programs::path("nf-sim")?)
        .args(["speed", "--json"])
        .output()
        .context("nf-sim speed")?;
    if !output.status.success() {
        bail!("nf-sim failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
