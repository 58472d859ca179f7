//! The stage `clone`, class by class: what a request, its clone, a response and a filtered response cost.
//!
//! Both sides receive the same capture files for ever, from memory; a rate is of packets *received* by
//! the processor time of the packet thread, because a request may leave twice and a response not at all.

mod cores;
mod frames;
mod latency;
mod plain;
mod rack;

pub use cores::cores;
pub use latency::latency;

use anyhow::Result;

use super::Report;
use super::harness::{Better, Case, Effort, Outcome, Sample, compare};
use crate::programs;
use frames::{Kind, SHORTEST};
use rack::{Class, Rack};

/// What testpmd does.
const MODE: &str = "5tswap";

/// Requests to busy servers and responses in turn: the load of a busy rack.
const NOT_CLONED: Class = Class {
    name: "mix-not-cloned",
    kinds: [Kind::Requests, Kind::Responses],
    counts: &[(&["req_single"], 0.5), (&["resp_uncloned"], 0.5)],
};
const REQUEST_SINGLE: Class = Class {
    name: "request-single",
    kinds: [Kind::Requests, Kind::Busy],
    counts: &[(&["req_single"], 1.0)],
};
const REQUEST_CLONED: Class = Class {
    name: "request-cloned",
    kinds: [Kind::Requests, Kind::Nothing],
    counts: &[(&["req_cloned"], 1.0)],
};
const RESPONSE_UNCLONED: Class = Class {
    name: "response-uncloned",
    kinds: [Kind::Nothing, Kind::Responses],
    counts: &[(&["resp_uncloned"], 1.0)],
};
const RESPONSE_FIRST: Class = Class {
    name: "response-first",
    kinds: [Kind::Nothing, Kind::First],
    counts: &[(&["resp_first"], 1.0)],
};
const RESPONSE_PAIRS: Class = Class {
    name: "response-pairs",
    kinds: [Kind::Nothing, Kind::Pairs],
    counts: &[(&["resp_first"], 0.5), (&["resp_filtered"], 0.5)],
};
const PASSTHROUGH: Class = Class {
    name: "passthrough",
    kinds: [Kind::Others, Kind::Others],
    counts: &[(&["passthrough"], 1.0)],
};

/// All classes.
const CLASSES: [Class; 7] = [
    NOT_CLONED,
    REQUEST_SINGLE,
    REQUEST_CLONED,
    RESPONSE_UNCLONED,
    RESPONSE_FIRST,
    RESPONSE_PAIRS,
    PASSTHROUGH,
];

/// All classes at 128 bytes, each beside testpmd's `5tswap` of the same frames; and services that know nothing of it.
pub fn clone(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    for class in CLASSES {
        let name = format!("pcap-128B-{}", class.name);
        of_class(&Rack::of(class), &name, effort, report)?;
    }
    let gateway = Rack {
        gateway: true,
        ..Rack::of(NOT_CLONED)
    };
    of_class(&gateway, "pcap-128B-mix-not-cloned-gateway", effort, report)?;
    plain::plain(effort, report)
}

/// Throughput and instructions.
fn of_class(rack: &Rack, name: &str, effort: Effort, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let files = rack.files(folder.path())?;
    let config = rack.config(folder.path(), &files)?;
    let peer = rack.peer(&files, MODE);
    let ours = || rack.received(folder.path(), &config, effort.window);
    let peer = || peer.measure(effort.window);
    report.add(throughput("clone", name.to_owned(), effort, ours, peer)?);
    let name = name.to_owned();
    report.add(rack.instructions(folder.path(), config.clone(), effort.window, name)?);
    Ok(())
}

/// All classes by the size of the frame, with its check sequence.
pub fn sizes(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    for bytes in [64, 256, 512, 1024, 1500] {
        for class in CLASSES {
            // No message fits into 64 bytes.
            let bytes = match class.name {
                "passthrough" => bytes,
                _ => bytes.max(SHORTEST),
            };
            let rack = Rack {
                bytes,
                ..Rack::of(class)
            };
            let folder = tempfile::tempdir()?;
            let files = rack.files(folder.path())?;
            let config = rack.config(folder.path(), &files)?;
            let peer = rack.peer(&files, MODE);
            let name = format!("pcap-{bytes}B-{}", class.name);
            let ours = || rack.received(folder.path(), &config, effort.window);
            let peer = || peer.measure(effort.window);
            report.add(throughput("clone-sizes", name, effort, ours, peer)?);
        }
    }
    Ok(())
}

/// The two ways to make a clone, by the size of the frame: all bytes copied, or own headers before a payload
/// that both packets share.
pub fn copy(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    for bytes in [SHORTEST, 128, 256, 512, 1024, 1500, 2048, 4096, 9000] {
        let of = |copy: &'static str| Rack {
            bytes,
            copy,
            ..Rack::of(REQUEST_CLONED)
        };
        let (full, split) = (of("full"), of("split"));
        let folder = tempfile::tempdir()?;
        let files = full.files(folder.path())?;
        let configs = [full, split].map(|rack| rack.config(folder.path(), &files));
        let [full_config, split_config] = configs;
        let (full_config, split_config) = (full_config?, split_config?);
        let case = Case {
            bench: "clone-copy",
            case: format!("pcap-{bytes}B-request-cloned-full-copy"),
            unit: "cpu-Mpps received",
            peer_name: "ours with clone_copy split".to_owned(),
            better: Better::Higher,
        };
        report.add(compare(
            &case,
            effort.pairs,
            || full.received(folder.path(), &full_config, effort.window),
            || split.received(folder.path(), &split_config, effort.window),
        )?);
    }
    Ok(())
}

/// A case of packets received by processor time, beside testpmd's.
fn throughput<T: Into<Sample>>(
    bench: &'static str,
    case: String,
    effort: Effort,
    ours: impl FnMut() -> Result<T>,
    peer: impl FnMut() -> Result<T>,
) -> Result<Outcome> {
    let case = Case {
        bench,
        case,
        unit: "cpu-Mpps received",
        peer_name: format!("testpmd {MODE}"),
        better: Better::Higher,
    };
    compare(&case, effort.pairs, ours, peer)
}
