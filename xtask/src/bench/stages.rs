//! What one more empty stage costs, in instructions per packet, counted by callgrind.
//!
//! The packet thread's instructions by the packets that it has received. Those are the calls of the
//! null driver's receive function times the burst, since that driver always gives a full burst; both
//! figures stand in the same profile, so nothing depends on when it is looked at.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use testkit::Sluice;

use super::harness::{Better, Case, Effort, Outcome};
use super::{Report, ours};
use crate::programs;

/// Instructions per packet and stage that an empty stage may cost.
const LIMIT: f64 = 4.0;
const BURST: f64 = 32.0;
/// Callgrind is slow: for less, what the thread does before its first packet would count too much.
const LEAST: Duration = Duration::from_secs(2);
/// The function of DPDK's null driver that fills a burst.
pub const NULL_RECEIVE: &str = "eth_null_rx";

/// One, two, four and eight empty stages. What one more costs is the difference between neighbours. The
/// first costs more, because with it there is a chain at all: that is told too, without a limit.
pub fn stages(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    let mut before = (0u8, instructions_per_packet(0, effort.window)?);
    for count in [1u8, 2, 4, 8] {
        let now = instructions_per_packet(count, effort.window)?;
        let each = (now - before.1) / f64::from(count - before.0);
        eprintln!(
            "{count} stages: {now:.2} instructions per packet; with {}: {:.2}",
            before.0, before.1
        );
        let first = before.0 == 0;
        let mut outcome = Outcome::new(Case {
            bench: "stages",
            case: format!("null-64B-{}-to-{count}-empty", before.0),
            unit: "instructions per packet and stage",
            peer_name: if first { "none" } else { "limit" }.to_owned(),
            better: Better::Lower,
        });
        // Under callgrind the count is the same each time, so once is enough.
        outcome.add(each, if first { f64::NAN } else { LIMIT });
        report.add(outcome);
        before = (count, now);
    }
    Ok(())
}

fn instructions_per_packet(stages: u8, window: Duration) -> Result<f64> {
    let chain: Vec<Value> = (0..stages)
        .map(|number| json!({ "stage": "pass", "name": format!("pass{number}") }))
        .collect();
    let config = ours::config(
        &vec![json!({ "type": "null", "packet_bytes": 64 }); 2],
        json!(chain),
    );
    count_instructions(config, NULL_RECEIVE, window)
}

/// The instructions of the packet thread by the packets that it receives, when it runs this. `receive` is
/// the driver's function that gives a full burst at every call.
pub fn count_instructions(config: Value, receive: &str, window: Duration) -> Result<f64> {
    under_callgrind(config, receive, window, &[], |text| {
        let profile = Profile::parse(text).context("no profile")?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Ok(profile.instructions as f64)
    })
}

/// What callgrind is told to count each address by itself.
pub const EACH_INSTRUCTION: [&str; 2] = ["--dump-instr=yes", "--compress-pos=no"];

/// What `count` finds in the profile of the packet thread, by the packets that it has received.
pub fn under_callgrind(
    mut config: Value,
    receive: &str,
    window: Duration,
    arguments: &[&str],
    count: impl Fn(&str) -> Result<f64>,
) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let profile = folder.path().join("callgrind.out");
    // Valgrind cannot give DPDK the address space that huge pages want. It counts instructions, not
    // time, so that does not matter.
    config["eal"]["hugepages"] = json!("off");

    let output = format!("--callgrind-out-file={}", profile.display());
    let mut valgrind = vec![
        "valgrind",
        "--tool=callgrind",
        "--separate-threads=yes",
        // Valgrind runs one thread at a time. A polling core would keep the others from running at all.
        "--fair-sched=yes",
        &output,
    ];
    valgrind.extend(arguments);
    let mut sluice = Sluice::builder(config)
        .program(programs::path("sluice")?)
        .under(&valgrind)
        .patience(Duration::from_secs(120))
        .try_start()
        .map_err(|error| anyhow!(error))?;
    thread::sleep(window.max(LEAST));
    let stopped = sluice.process().terminate(Duration::from_secs(60));
    stopped.map_err(|error| anyhow!("{error}; its output:\n{}", sluice.process().log()))?;

    // One file a thread; the packet thread's is the one that has received.
    for entry in fs::read_dir(folder.path())? {
        let path = entry?.path();
        if is_profile(&path) {
            let text = fs::read_to_string(&path)?;
            let profile = Profile::parse(&text).with_context(|| path.display().to_string())?;
            let bursts = profile.calls_of(receive);
            if bursts > 10_000 {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
                return Ok(count(&text)? / (bursts as f64 * BURST));
            }
        }
    }
    bail!(
        "no thread has received packets; its output:\n{}",
        sluice.process().log()
    )
}

fn is_profile(path: &Path) -> bool {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.is_some_and(|name| name.starts_with("callgrind.out-"))
}

/// What we read of a profile in callgrind's format.
struct Profile {
    instructions: u64,
    /// Calls by the name of the function called.
    calls: HashMap<String, u64>,
}

impl Profile {
    fn parse(text: &str) -> Option<Profile> {
        // A name stands beside its number the first time only: `cfn=(12) name`, then `cfn=(12)`.
        let mut names: HashMap<&str, &str> = HashMap::new();
        let mut calls = HashMap::new();
        let mut instructions = None;
        let mut called = None;
        for line in text.lines() {
            if let Some(rest) = line
                .strip_prefix("summary: ")
                .or(line.strip_prefix("totals: "))
            {
                instructions = instructions.or(rest.trim().parse().ok());
            } else if let Some((key, rest)) = line.split_once('=')
                && matches!(key, "fn" | "cfn")
            {
                let (number, name) = rest.split_once(' ').unwrap_or((rest, ""));
                if !name.is_empty() {
                    names.insert(number, name);
                }
                if key == "cfn" {
                    called = names.get(number).copied();
                }
            } else if let Some(rest) = line.strip_prefix("calls=")
                && let Some(name) = called.take()
            {
                let count: u64 = rest.split_whitespace().next()?.parse().ok()?;
                *calls.entry(name.to_owned()).or_insert(0) += count;
            }
        }
        Some(Profile {
            instructions: instructions?,
            calls,
        })
    }

    /// Recursion and clones of the compiler add a suffix: `name'2`, `name.constprop.0`.
    fn calls_of(&self, function: &str) -> u64 {
        let is_it = |name: &str| {
            name.strip_prefix(function)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['\'', '.']))
        };
        self.calls
            .iter()
            .filter(|(name, _)| is_it(name))
            .map(|(_, count)| count)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile() {
        let text = "events: Ir\nsummary: 640\n\nfn=(1) main\n16 400\ncfn=(2) eth_null_rx\n\
            calls=3 50 \n16 400\nfn=(3) other\ncfn=(2)\ncalls=2 1\n+1 9\n\
            cfn=(4) eth_null_rx_other\ncalls=9 1\n";
        let profile = Profile::parse(text).unwrap();
        assert_eq!(profile.instructions, 640);
        assert_eq!(profile.calls_of("eth_null_rx"), 5);
        assert!(Profile::parse("no profile").is_none());
    }
}
