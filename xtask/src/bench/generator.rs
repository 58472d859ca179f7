//! pktgen: how fast it can send, and how exactly it keeps a rate.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use testkit::{Process, wait_for};

use super::cpu::Thread;
use super::harness::{Better, Case, Effort, Outcome, compare};
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

fn profile(device: Value, streams: &Value, window: Duration) -> Value {
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

/// Runs a profile to its end; gives its report and the share of the processor that its thread had.
fn pktgen(profile: &Value, window: Duration) -> Result<(Value, f64)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("profile.json");
    let answer = folder.path().join("answer.json");
    fs::write(&file, profile.to_string())?;
    let mut command = Command::new("sh");
    // Its output and its messages apart.
    let script = format!(
        "exec {} \"$0\" run \"$1\" --json > \"$2\"",
        favour().join(" ")
    );
    command
        .arg("-c")
        .arg(script)
        .arg(programs::path("pktgen")?)
        .arg(&file)
        .arg(&answer);
    let mut process = Process::spawn("pktgen", &mut command)?;
    let name = format!("pktgen-{PACKET_CORE}");
    let thread = wait_for("pktgen's thread", Duration::from_secs(10), || {
        Thread::named(process.pid(), &[&name]).ok()
    })
    .map_err(|error| anyhow!("{error}; its output:\n{}", process.log()))?;
    let margin = window / 10;
    thread::sleep(margin);
    let (start, before) = (Instant::now(), thread.cpu_ns()?);
    thread::sleep(window - 2 * margin);
    let (wall, after) = (start.elapsed(), thread.cpu_ns()?);
    let status = process
        .wait(Duration::from_secs(20))
        .map_err(|error| anyhow!("{error}; its output:\n{}", process.log()))?;
    if !status.success() {
        bail!("pktgen failed ({status}); its output:\n{}", process.log());
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of seconds fit a double")]
    let share = (after - before) as f64 / wall.as_nanos() as f64;
    let text = fs::read_to_string(&answer)?;
    let report = serde_json::from_str(text.lines().last().unwrap_or_default())
        .or_else(|_| serde_json::from_str(&text))
        .with_context(|| format!("pktgen's report: {text}"))?;
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

/// Rates from 10 kpps to 5 Mpps, constant and Poisson.
///
/// The error is what a second program sees: the port is a capture file, in which DPDK's driver
/// notes the time of each packet. Up to a million packets a second that driver keeps up; above, the count over time is
/// pktgen's own.
pub fn rate(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    for rate in [10_000u32, 100_000, 1_000_000, 5_000_000] {
        for spacing in ["constant", "poisson"] {
            one_rate(rate, spacing, effort, report)?;
        }
    }
    Ok(())
}

/// Relative error of the rate that may be.
const RATE_LIMIT: f64 = 0.001;

fn one_rate(rate: u32, spacing: &str, effort: Effort, report: &mut Report) -> Result<()> {
    let recorded = rate <= 1_000_000;
    // In memory, lest a disk slow the sender down.
    let folder = tempfile::Builder::new()
        .prefix("sluice-bench-")
        .tempdir_in("/dev/shm")?;
    let file = folder.path().join("sent.pcap");
    let device = if recorded {
        json!({ "type": "pcap", "tx_file": file })
    } else {
        json!({ "type": "null" })
    };
    let streams = json!([{ "size": 64, "rate": format!("{rate}pps"), "spacing": spacing }]);
    let (answer, _) = pktgen(&profile(device, &streams, effort.window), effort.window)?;
    let gaps = if recorded { gaps(&file)? } else { Vec::new() };
    let (packets, seconds) = sent(&answer)?;
    #[expect(clippy::cast_precision_loss, reason = "counts of seconds fit a double")]
    let achieved = if recorded {
        gaps.len() as f64 / gaps.iter().sum::<f64>()
    } else {
        packets as f64 / seconds
    };
    let wanted = f64::from(rate);
    let name = format!(
        "{}-{rate}pps-{spacing}",
        if recorded { "pcap" } else { "null" }
    );
    let case = |case: String, unit, peer_name: &str| Case {
        bench: "pktgen-rate",
        case,
        unit,
        peer_name: peer_name.to_owned(),
        better: Better::Lower,
    };
    let mut outcome = Outcome::new(case(name.clone(), "relative error of the rate", "limit"));
    // A Poisson process of N packets has by nature a relative error of about 1/sqrt(N) in its rate, so
    // the limit widens by three of those.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let chance = if spacing == "poisson" {
        3.0 / (packets as f64).sqrt()
    } else {
        0.0
    };
    outcome.add(
        ((achieved - wanted) / wanted).abs().max(1e-9),
        RATE_LIMIT + chance,
    );
    report.add(outcome);

    if spacing == "poisson" && recorded {
        let sample = thin(&gaps, 10_000);
        let distance = distance_from_exponential(&sample, wanted);
        let mut outcome = Outcome::new(case(
            format!("{name}-kolmogorov-smirnov"),
            "largest distance of distributions",
            "limit at 1 % significance",
        ));
        #[expect(clippy::cast_precision_loss, reason = "at most 10 000")]
        outcome.add(distance, 1.628 / (sample.len() as f64).sqrt());
        report.add(outcome);
    }
    Ok(())
}

/// At most `count` values, from all over the list.
fn thin(values: &[f64], count: usize) -> Vec<f64> {
    let step = values.len().div_ceil(count).max(1);
    values.iter().copied().step_by(step).collect()
}

/// The statistic of Kolmogorov and Smirnov against gaps of a Poisson process of this rate.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn distance_from_exponential(gaps: &[f64], rate: f64) -> f64 {
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let mut distance = 0f64;
    for (rank, gap) in sorted.iter().enumerate() {
        let ideal = 1.0 - (-rate * gap).exp();
        let (below, above) = (rank as f64 / count, (rank + 1) as f64 / count);
        distance = distance
            .max((ideal - below).abs())
            .max((above - ideal).abs());
    }
    distance
}

/// Seconds between the packets of a capture file in the classic format.
fn gaps(file: &Path) -> Result<Vec<f64>> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    times(&bytes)
        .map(|times| times.windows(2).map(|pair| pair[1] - pair[0]).collect())
        .with_context(|| format!("{} is no capture file", file.display()))
}

fn times(bytes: &[u8]) -> Option<Vec<f64>> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let fraction = match word(0)? {
        0xa1b2_c3d4 => 1e-6,
        0xa1b2_3c4d => 1e-9,
        _ => return None,
    };
    let (mut times, mut at, mut first) = (Vec::new(), 24, None);
    while let (Some(seconds), Some(part), Some(length)) = (word(at), word(at + 4), word(at + 8)) {
        // Counted from the first packet's second, to keep a double's precision for the fraction.
        let origin = *first.get_or_insert(seconds);
        times.push(f64::from(seconds.wrapping_sub(origin)) + f64::from(part) * fraction);
        at += 16 + usize::try_from(length).ok()?;
    }
    Some(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_gaps_are_near_and_constant_ones_far() {
        // The quantiles of the exponential distribution themselves.
        let ideal: Vec<f64> = (0..1000)
            .map(|rank| -(1.0 - (f64::from(rank) + 0.5) / 1000.0).ln() / 50.0)
            .collect();
        assert!(distance_from_exponential(&ideal, 50.0) < 0.001);
        assert!(distance_from_exponential(&ideal, 60.0) > 0.05);
        assert!(distance_from_exponential(&[0.02; 1000], 50.0) > 0.5);
    }

    #[test]
    fn times_of_a_capture() {
        let mut bytes = vec![0; 24];
        bytes[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
        for (seconds, nanoseconds) in [(100u32, 999_999_999u32), (101, 9)] {
            for word in [seconds, nanoseconds, 2, 2] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
            bytes.extend_from_slice(&[0, 0]);
        }
        let times = times(&bytes).unwrap();
        assert!((times[1] - times[0] - 10e-9).abs() < 1e-12, "{times:?}");
        assert_eq!(super::times(b"nonsense"), None);
    }

    #[test]
    fn thinning_keeps_to_the_limit() {
        assert_eq!(thin(&[1.0, 2.0, 3.0, 4.0, 5.0], 2), [1.0, 4.0]);
        assert_eq!(thin(&[1.0], 10), [1.0]);
    }
}
