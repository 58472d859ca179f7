//! pktgen: how fast it can send.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Process, wait_for};

use super::cpu::Thread;
use super::harness::{Better, Case, Effort, compare};
use super::testpmd::Testpmd;
use super::{PACKET_CORE, Rate, Report, favour};
use crate::programs;

/// As fast as it goes, beside testpmd's two generators.
pub fn transmit(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    let one_flow = json!([{ "size": 64, "rate": "max" }]);
    let many_flows = json!([{
        "size": 64,
        "rate": "max",
        "packet": { "udp": { "source_port": "1024-2047" } },
    }]);
    for (name, streams, mode) in [
        ("null-64B-1-flow", one_flow, "txonly"),
        ("null-64B-1024-flows", many_flows, "flowgen"),
    ] {
        let case = Case {
            bench: "pktgen-tx",
            case: name.to_owned(),
            unit: "cpu-Mpps",
            peer_name: format!("testpmd {mode}"),
            better: Better::Higher,
        };
        let peer = Testpmd::new(&["net_null0,size=64"], mode);
        let outcome = compare(
            &case,
            effort.pairs,
            || send_fast(&streams, effort.window),
            || peer.measure(effort.window),
        )?;
        report.add(outcome);
    }
    Ok(())
}

/// A profile that sends `streams` on one port and receives nothing, with testpmd's pool and burst.
pub fn profile(device: Value, streams: &Value, window: Duration) -> Value {
    json!({
        "eal": { "memory_mb": 256, "hugepages": "required" },
        "cores": { "transmit": [PACKET_CORE], "receive": [PACKET_CORE], "idle": "poll", "burst": 32 },
        "mempool": { "packets": 16384, "cache": 256 },
        "ports": [{ "name": "out", "device": device }],
        "streams": streams,
        "receive": { "ports": [] },
        "duration": format!("{}s", window.as_secs_f64()),
        "seed": 1,
    })
}

/// A pktgen that runs a profile.
pub struct Running {
    process: Process,
    answer: PathBuf,
    _folder: TempDir,
}

/// Starts pktgen with a profile and more arguments.
pub fn start(profile: &Value, arguments: &[OsString]) -> Result<Running> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("profile.json");
    let answer = folder.path().join("answer.json");
    fs::write(&file, profile.to_string())?;
    let mut command = Command::new("sh");
    // Its output and its messages apart.
    let script = format!(
        "answer=\"$1\"; shift; exec {} \"$0\" run \"$@\" --json > \"$answer\"",
        favour().join(" ")
    );
    command
        .arg("-c")
        .arg(script)
        .arg(programs::path("pktgen")?)
        .arg(&answer)
        .arg(&file)
        .args(arguments);
    Ok(Running {
        process: Process::spawn("pktgen", &mut command)?,
        answer,
        _folder: folder,
    })
}

impl Running {
    /// The thread of the processor `core`.
    pub fn thread(&mut self, core: usize) -> Result<Thread> {
        let process = &mut self.process;
        let name = format!("pktgen-{core}");
        wait_for("pktgen's thread", Duration::from_secs(10), || {
            Thread::named(process.pid(), &[&name]).ok()
        })
        .map_err(|error| anyhow!("{error}; its output:\n{}", process.log()))
    }

    /// Waits for its end; gives its report.
    pub fn finish(mut self, patience: Duration) -> Result<Value> {
        let process = &mut self.process;
        let status = process
            .wait(patience)
            .map_err(|error| anyhow!("{error}; its output:\n{}", process.log()))?;
        if !status.success() {
            bail!("pktgen failed ({status}); its output:\n{}", process.log());
        }
        let text = fs::read_to_string(&self.answer)?;
        serde_json::from_str(text.lines().last().unwrap_or_default())
            .or_else(|_| serde_json::from_str(&text))
            .with_context(|| format!("pktgen's report: {text}"))
    }
}

/// Runs a profile to its end; gives its report and the share of the processor that its thread had.
fn pktgen(profile: &Value, window: Duration) -> Result<(Value, f64)> {
    let mut running = start(profile, &[])?;
    let thread = running.thread(PACKET_CORE)?;
    let margin = window / 10;
    thread::sleep(margin);
    let (start, before) = (Instant::now(), thread.cpu_ns()?);
    thread::sleep(window - 2 * margin);
    let (wall, after) = (start.elapsed(), thread.cpu_ns()?);
    let report = running.finish(Duration::from_secs(20))?;
    #[expect(clippy::cast_precision_loss, reason = "counts of seconds fit a double")]
    let share = (after - before) as f64 / wall.as_nanos() as f64;
    Ok((report, share))
}

fn send_fast(streams: &Value, window: Duration) -> Result<Rate> {
    let device = json!({ "type": "null" });
    let (report, share) = pktgen(&profile(device, streams, window), window)?;
    let (packets, seconds) = sent(&report)?;
    #[expect(clippy::cast_precision_loss, reason = "counts of seconds fit a double")]
    let wall_mpps = packets as f64 / seconds / 1e6;
    Ok(Rate {
        cpu_mpps: wall_mpps / share,
        wall_mpps,
    })
}

/// Packets sent, and for how long.
fn sent(report: &Value) -> Result<(u64, f64)> {
    let packets = report["sent"]["packets"].as_u64();
    let seconds = report["duration_seconds"].as_f64();
    packets
        .zip(seconds)
        .with_context(|| format!("no packets and seconds in {report}"))
}
