//! What the stage adds to the time through the appliance: one way over memif, at shares of the measured capacity.
//!
//! `pktgen` sends requests from one side and responses from the other, at once, and measures the time of
//! each packet from the moment at which it was meant to be sent. The appliance has one processor, pktgen the
//! other. The peer is the same appliance with an empty chain at the same rates, so the difference is what
//! the stage adds; what memif, loop and bursts cost is in both.
//!
//! Every thread here polls and is never alone on a shared machine: what pktgen's and the appliance's threads
//! waited for their processors is measured too, and told in a row of its own.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use testkit::{Sluice, wait_for};

use super::super::cpu::Thread;
use super::super::harness::{Better, Case, Effort, Outcome, median};
use super::super::{MAIN_CORE, Report, generator, ours};
use super::NOT_CLONED;
use super::frames::{CLIENT, PORT, VIP, request, response, server};
use super::rack::{Rack, begin, text};
use crate::programs;

/// Shares of the capacity, percent.
const LOADS: [u32; 3] = [10, 50, 90];
/// What the stage may add to the first percentiles at half of the capacity, microseconds.
const ADDED: [(&str, f64); 2] = [("p50", 3.0), ("p99", 10.0)];
/// The percentiles: their names, and pktgen's.
const PERCENTILES: [(&str, &str); 3] =
    [("p50", "p50_ns"), ("p99", "p99_ns"), ("p99.9", "p99_9_ns")];
/// Frames, with their check sequence.
const BYTES: usize = 128;
/// Source ports of the client.
const PORTS: u32 = 64;
/// Where the capacity is searched, millions of packets a second, and how closely.
const SEARCH: (f64, f64) = (0.25, 16.0);
const RESOLUTION: f64 = 1.06;
/// The share of packets that may be lost, or not sent, at a rate that still counts as carried.
const LOST: f64 = 0.01;

/// Requests and responses: the queue length that the servers tell decides whether requests are cloned.
const MIXES: [(&str, u16); 2] = [("cloned", 0), ("not-cloned", 3)];

/// Capacity, then the three loads.
pub fn latency(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    for (mix, load) in MIXES {
        let capacity = capacity(load, effort, mix, report)?;
        for share in LOADS {
            let rate = capacity * f64::from(share) / 100.0;
            at_load(
                &format!("memif-{BYTES}B-{mix}-{share}%"),
                load,
                rate,
                share,
                effort,
                report,
            )?;
        }
    }
    Ok(())
}

/// The most that crosses with hardly a loss, beside an empty chain; millions of packets a second.
fn capacity(load: u16, effort: Effort, mix: &str, report: &mut Report) -> Result<f64> {
    let mut outcome = Outcome::new(case(
        format!("memif-{BYTES}B-{mix}-capacity"),
        "Mpps that cross",
        "ours with an empty chain",
        Better::Higher,
    ));
    let mut found = Vec::new();
    for pair in 0..effort.pairs.min(3) {
        eprintln!("clone-latency capacity, {mix}: pair {}", pair + 1);
        let (with, without) = in_turn(pair, |stage| most(stage, load, effort.window / 2))?;
        found.push(with);
        outcome.add(with, without);
    }
    report.add(outcome);
    Ok(median(&found))
}

/// Searches the highest rate that crosses. The generator may well be what gives up first.
fn most(with_stage: bool, load: u16, window: Duration) -> Result<f64> {
    let (mut good, mut bad) = SEARCH;
    let crosses = |rate: f64| -> Result<bool> {
        // A machine that stands still for a moment is not full.
        for _ in 0..2 {
            if run(with_stage, load, rate, window)?.has_crossed() {
                return Ok(true);
            }
        }
        Ok(false)
    };
    while bad / good > RESOLUTION {
        let middle = (good * bad).sqrt();
        match crosses(middle)? {
            true => good = middle,
            false => bad = middle,
        }
    }
    Ok(good)
}

fn at_load(
    name: &str,
    load: u16,
    rate: f64,
    share: u32,
    effort: Effort,
    report: &mut Report,
) -> Result<()> {
    let mut times = PERCENTILES.map(|(percentile, _)| {
        Outcome::new(case(
            format!("{name}-{percentile}"),
            "us one way",
            "ours with an empty chain",
            Better::Lower,
        ))
    });
    let mut added = ADDED.map(|(percentile, limit)| {
        let limit = if share == 50 { limit } else { f64::NAN };
        let peer = if limit.is_nan() { "none" } else { "limit" };
        let name = format!("{name}-{percentile}-added");
        (
            Outcome::new(case(name, "us one way", peer, Better::Lower)),
            limit,
        )
    });
    let mut waited = Outcome::new(case(
        format!("{name}-waiting-for-processors"),
        "% of the time of both threads",
        "ours with an empty chain",
        Better::Lower,
    ));
    let mut busy = Outcome::new(case(
        format!("{name}-appliance-busy"),
        "% of the appliance's time",
        "ours with an empty chain",
        Better::Lower,
    ));
    for pair in 0..effort.pairs {
        eprintln!(
            "clone-latency {name}: pair {} of {}",
            pair + 1,
            effort.pairs
        );
        let (with, without) = in_turn(pair, |stage| run(stage, load, rate, effort.window))?;
        for (place, (_, key)) in PERCENTILES.iter().enumerate() {
            let (ours, peer) = (with.percentile(key)?, without.percentile(key)?);
            times[place].add(ours, peer);
            if let Some((added, limit)) = added.get_mut(place) {
                added.add(ours - peer, *limit);
            }
        }
        waited.add(with.waited(), without.waited());
        busy.add(with.busy(), without.busy());
        for (run, chain) in [(&with, "the stage"), (&without, "an empty chain")] {
            if !run.has_crossed() {
                eprintln!("note: with {chain} not all of {rate:.2} Mpps crossed");
            }
        }
    }
    for times in times {
        report.add(times);
    }
    for (added, _) in added {
        report.add(added);
    }
    report.add(busy);
    report.add(waited);
    Ok(())
}

/// With the stage and without it, the order changing from pair to pair.
fn in_turn<T>(pair: usize, mut run: impl FnMut(bool) -> Result<T>) -> Result<(T, T)> {
    if pair.is_multiple_of(2) {
        let with = run(true)?;
        return Ok((with, run(false)?));
    }
    let without = run(false)?;
    Ok((run(true)?, without))
}

fn case(case: String, unit: &'static str, peer: &str, better: Better) -> Case {
    Case {
        bench: "clone-latency",
        case,
        unit,
        peer_name: peer.to_owned(),
        better,
    }
}

/// What crosses the appliance in one run: the packets' times, and what the threads waited for.
fn run(with_stage: bool, load: u16, rate: f64, window: Duration) -> Result<Run> {
    let folder = tempfile::tempdir()?;
    let mut sluice = ours::start(config(with_stage, folder.path())?, None)?;
    let profile = profile(load, rate, folder.path(), window);
    let mut pktgen = generator::start(&profile, &[])?;
    let threads = [ours::packet_thread(&mut sluice)?, pktgen.thread(MAIN_CORE)?];
    wait_for("packets over memif", Duration::from_secs(10), || {
        ours::all_received(&sluice).ok().filter(|count| *count > 0)
    })
    .map_err(|error| anyhow!(error))?;
    // What is there before the first packets and after the last is none of the rate.
    let margin = window / 8;
    thread::sleep(margin);
    let before = Look::at(&sluice, threads)?;
    thread::sleep(window - 3 * margin);
    let after = Look::at(&sluice, threads)?;
    let report = pktgen.finish(Duration::from_secs(20))?;
    Ok(Run {
        before,
        after,
        report,
    })
}

/// One run.
struct Run {
    before: Look,
    after: Look,
    /// pktgen's.
    report: Value,
}

#[expect(clippy::cast_precision_loss, reason = "counts of seconds fit a double")]
impl Run {
    /// Whether what was asked for was sent and came through, but for [`LOST`].
    fn has_crossed(&self) -> bool {
        let number = |value: &Value| value.as_f64().unwrap_or(1.0);
        number(&self.report["sent"]["rate_error"]).abs() < LOST
            && number(&self.report["loss"]["loss_ratio"]) < LOST
    }

    /// The share of the time for which the appliance's packet thread had packets, percent.
    fn busy(&self) -> f64 {
        let busy = (self.after.busy - self.before.busy) as f64;
        100.0 * busy / (busy + (self.after.idle - self.before.idle) as f64)
    }

    /// One of pktgen's percentiles, microseconds.
    fn percentile(&self, key: &str) -> Result<f64> {
        let ns = self.report["latency"][key].as_f64();
        Ok(ns.with_context(|| format!("no {key} in {}", self.report))? / 1e3)
    }

    /// The share of the time for which the threads wanted their processors and did not have them, percent.
    fn waited(&self) -> f64 {
        let waited = (self.after.waited - self.before.waited) as f64;
        let had = (self.after.cpu - self.before.cpu) as f64;
        100.0 * waited / (waited + had)
    }
}

/// The counters at a moment.
struct Look {
    /// Of both threads: time on a processor, and waiting for one.
    cpu: u64,
    waited: u64,
    /// The cycles in which the appliance's packet thread had packets, or none.
    busy: u64,
    idle: u64,
}

impl Look {
    fn at(sluice: &Sluice<'_>, threads: [Thread; 2]) -> Result<Look> {
        let cores = sluice.json("/api/v1/cores");
        let cycles = |key: &str| {
            let value = cores[0][key].as_u64();
            value.with_context(|| format!("no {key} in {cores}"))
        };
        let [own, other] = threads;
        Ok(Look {
            cpu: own.cpu_ns()? + other.cpu_ns()?,
            waited: own.waited_ns()? + other.waited_ns()?,
            busy: cycles("busy_cycles")?,
            idle: cycles("idle_cycles")?,
        })
    }
}

/// An appliance between two memif ports, the stage `clone` in its chain or nothing.
fn config(with_stage: bool, folder: &Path) -> Result<Value> {
    begin(folder)?;
    let socket = folder.join("memif.sock");
    let devices: Vec<Value> = (0..2)
        .map(|id| json!({ "type": "memif", "role": "server", "socket": socket, "id": id }))
        .collect();
    let chain = match with_stage {
        true => Rack::of(NOT_CLONED).chain(folder),
        false => json!([]),
    };
    Ok(ours::config(&devices, chain))
}

/// What pktgen sends: requests from the clients' side and responses from the servers', as many of either, at
/// `rate` millions a second in all.
fn profile(load: u16, rate: f64, folder: &Path, window: Duration) -> Value {
    let socket = folder.join("memif.sock");
    let device = |id: u8| json!({ "type": "memif", "role": "client", "socket": socket, "id": id });
    let rate = format!("{}pps", rate * 1e6 / 2.0);
    let stream = |port: &str, ipv4: Value, udp: Value, header: &[u8]| {
        let prefix: String = header.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "port": port, "size": BYTES, "rate": rate, "spacing": "poisson",
            "packet": { "ipv4": ipv4, "udp": udp, "prefix": prefix },
        })
    };
    let clients = format!("1024+{PORTS}");
    // Few streams are quick to send. The first group's first server is the one that answers, so what it says of
    // its queue decides.
    let streams = json!([
        stream(
            "clients",
            json!({ "source": text(CLIENT), "destination": text(VIP) }),
            json!({ "source_port": clients, "destination_port": PORT }),
            &request(0, 0),
        ),
        stream(
            "servers",
            json!({ "source": text(server(0)), "destination": text(CLIENT) }),
            json!({ "source_port": PORT, "destination_port": clients }),
            &response(0, 0, load, 1, 0),
        ),
    ]);
    let mut profile = generator::profile(device(0), &streams, window);
    profile["cores"] = json!({
        "transmit": [MAIN_CORE], "receive": [MAIN_CORE], "idle": "poll", "burst": 32
    });
    profile["ports"] = json!([
        { "name": "clients", "device": device(0) }, { "name": "servers", "device": device(1) }
    ]);
    profile["receive"] =
        json!({ "verify_checksums": false, "answer_neighbours": false, "window": 4096 });
    profile
}
