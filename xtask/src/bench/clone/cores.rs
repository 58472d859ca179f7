//! The stage on two cores, and what its cores share.
//!
//! Answers to a request come from two servers. Where a network card steers both to one core, the two cores
//! touch slots of the filter that are their own; where it does not, each slot goes from core to core.
//! The worst of it: each id is answered once on either core. The best of it: two appliances with a core each,
//! which share nothing at all; no filter without atomic exchanges could do better than that by more than
//! the exchanges themselves cost, and those are counted.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use testkit::Sluice;

use super::super::cpu::Thread;
use super::super::harness::{Better, Case, Effort, Outcome, compare};
use super::super::{MAIN_CORE, PACKET_CORE, Rate, Report, WARM_UP, locked, ours};
use super::frames::Kind;
use super::rack::{self, Class, Rack, begin};
use super::{CLASSES, NOT_CLONED, PASSTHROUGH};
use crate::programs;

/// Requests that are cloned, and first responses, in turn.
const CLONED: Class = Class {
    name: "mix-cloned",
    kinds: [Kind::Requests, Kind::First],
    counts: &[],
};
/// Each id is answered once on each core that receives this. What is sent needs queues for both cores, which a
/// silent port does not have: so other traffic comes from the clients.
const ANSWERS_APART: Class = Class {
    name: "response-pairs-apart",
    kinds: [Kind::Others, Kind::Once],
    counts: &[],
};
/// Each id is answered twice on one core.
const ANSWERS_TOGETHER: Class = Class {
    name: "response-pairs-together",
    kinds: [Kind::Others, Kind::Pairs],
    counts: &[],
};

/// One core against two, what is shared against nothing shared, and locked instructions by class.
pub fn cores(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    for class in [NOT_CLONED, CLONED, PASSTHROUGH] {
        let folder = tempfile::tempdir()?;
        let one = one_core(class, folder.path(), PACKET_CORE)?;
        let two = two_cores(class, folder.path())?;
        let case = case(
            format!("pcap-128B-{}-2-cores", class.name),
            "ours on one core",
        );
        report.add(compare(
            &case,
            effort.pairs,
            || together(&[&two], folder.path(), effort.window),
            || together(&[&one], folder.path(), effort.window),
        )?);
    }
    for (with, without) in [(NOT_CLONED, NOT_CLONED), (ANSWERS_APART, ANSWERS_TOGETHER)] {
        // The same names of files, so a folder each.
        let (folder, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let shared = two_cores(with, folder.path())?;
        let first = one_core(without, other.path(), PACKET_CORE)?;
        let second = one_core(without, other.path(), MAIN_CORE)?;
        let case = case(
            format!("pcap-128B-{}-2-cores-shared", with.name),
            "two of ours with a core each: nothing shared",
        );
        report.add(compare(
            &case,
            effort.pairs,
            || together(&[&shared], folder.path(), effort.window),
            || together(&[&first, &second], other.path(), effort.window),
        )?);
    }
    for class in CLASSES {
        let folder = tempfile::tempdir()?;
        let config = one_core(class, folder.path(), PACKET_CORE)?;
        begin(folder.path())?;
        let each = locked::locked_per_packet(config, rack::RECEIVE, effort.window)?;
        let mut outcome = Outcome::new(Case {
            bench: "clone-cores",
            case: format!("pcap-128B-{}", class.name),
            unit: "locked instructions per packet received",
            peer_name: "none".to_owned(),
            better: Better::Lower,
        });
        outcome.add(each, f64::NAN);
        report.add(outcome);
    }
    Ok(())
}

fn case(case: String, peer: &str) -> Case {
    Case {
        bench: "clone-cores",
        case,
        unit: "cpu-Mpps received by all cores",
        peer_name: peer.to_owned(),
        better: Better::Higher,
    }
}

fn one_core(class: Class, folder: &Path, core: usize) -> Result<Value> {
    let rack = Rack::of(class);
    let files = rack.files(folder)?;
    let mut config = rack.config(folder, &files)?;
    config["cores"]["packet"] = json!([core]);
    Ok(config)
}

/// Each core receives the whole of the files.
fn two_cores(class: Class, folder: &Path) -> Result<Value> {
    let mut config = one_core(class, folder, PACKET_CORE)?;
    config["cores"]["packet"] = json!([PACKET_CORE, MAIN_CORE]);
    Ok(config)
}

/// What these appliances receive at the same time, by the mean processor time of their packet threads.
fn together(configs: &[&Value], folder: &Path, window: Duration) -> Result<Rate> {
    let mut running = Vec::new();
    for config in configs {
        begin(folder)?;
        running.push(ours::start((*config).clone(), None)?);
    }
    let threads: Vec<Thread> = running
        .iter_mut()
        .map(ours::packet_threads)
        .collect::<Result<Vec<_>>>()?
        .concat();
    let cpu = || -> Result<u64> {
        let times: Result<Vec<u64>> = threads.iter().map(|thread| thread.cpu_ns()).collect();
        Ok(times?.iter().sum::<u64>() / threads.len().max(1) as u64)
    };
    let received =
        |running: &[Sluice<'_>]| -> Result<u64> { running.iter().map(ours::all_received).sum() };
    thread::sleep(WARM_UP);
    let (start, before, first) = (Instant::now(), cpu()?, received(&running)?);
    thread::sleep(window);
    let (wall, after, last) = (start.elapsed(), cpu()?, received(&running)?);
    Rate::new(last - first, after - before, wall)
}
