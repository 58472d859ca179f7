//! Packets through one core: plain forwarding, rewriting, routing, access lists.

use anyhow::Result;
use serde_json::{Value, json};

use super::harness::{Better, Case, Effort, compare};
use super::testpmd::Testpmd;
use super::{Report, ours};

/// Packets put into each ring before the start, ours and testpmd's (its bursts of 32).
const SEED: u32 = 512;

fn case(bench: &'static str, name: &str, mode: &str) -> Case {
    Case {
        bench,
        case: name.to_owned(),
        unit: "cpu-Mpps",
        peer_name: format!("testpmd {mode}"),
        better: Better::Higher,
    }
}

fn null() -> Vec<Value> {
    vec![json!({ "type": "null", "packet_bytes": 64 }); 2]
}

fn null_copy() -> Vec<Value> {
    vec![json!({ "type": "null", "packet_bytes": 64, "copy": true }); 2]
}

fn ring() -> Vec<Value> {
    vec![json!({ "type": "ring", "seed_packets": SEED }); 2]
}

fn peer_null(mode: &'static str) -> Testpmd {
    Testpmd::new(&["net_null0,size=64", "net_null1,size=64"], mode)
}

fn peer_null_copy(mode: &'static str) -> Testpmd {
    Testpmd::new(
        &["net_null0,size=64,copy=1", "net_null1,size=64,copy=1"],
        mode,
    )
}

fn peer_ring(mode: &'static str) -> Testpmd {
    Testpmd {
        start: format!("start tx_first {}", SEED / 32),
        ..Testpmd::new(&["net_ring0", "net_ring1"], mode)
    }
}

fn pair(
    report: &mut Report,
    effort: Effort,
    case: &Case,
    config: &Value,
    peer: &Testpmd,
) -> Result<()> {
    let outcome = compare(
        case,
        effort.pairs,
        || ours::measure(config, effort.window),
        || peer.measure(effort.window),
    )?;
    report.add(outcome);
    Ok(())
}

/// `rx → tx`, nothing between.
pub fn forward(effort: Effort, report: &mut Report) -> Result<()> {
    ours::build()?;
    for (name, devices, peer) in [
        ("null-64B", null(), peer_null("io")),
        ("ring-64B", ring(), peer_ring("io")),
    ] {
        let config = ours::config(&devices, json!([]));
        pair(report, effort, &case("forward", name, "io"), &config, &peer)?;
    }
    Ok(())
}

/// Addresses and ports swapped, from Ethernet to UDP.
pub fn rewrite(effort: Effort, report: &mut Report) -> Result<()> {
    ours::build()?;
    let chain = json!([{ "stage": "swap" }]);
    for (name, devices, peer) in [
        ("null-64B-copy", null_copy(), peer_null_copy("5tswap")),
        ("ring-64B", ring(), peer_ring("5tswap")),
    ] {
        let config = ours::config(&devices, chain.clone());
        pair(
            report,
            effort,
            &case("rewrite", name, "5tswap"),
            &config,
            &peer,
        )?;
    }
    Ok(())
}
