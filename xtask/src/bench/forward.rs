//! Packets through one core: plain forwarding, rewriting, routing, access lists.

use std::net::Ipv4Addr;

use anyhow::Result;
use serde_json::{Value, json};

use super::harness::{Better, Case, Effort, compare};
use super::testpmd::Testpmd;
use super::{Report, ours, traffic};
use crate::programs;

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
    programs::build()?;
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
    programs::build()?;
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

/// A route per packet, among a thousand, half of them through either port.
pub fn route(effort: Effort, report: &mut Report) -> Result<()> {
    let routes: Vec<Value> = (0..NETWORKS)
        .map(|number| {
            let via = NEIGHBOURS[usize::from(number >= NETWORKS / 2)];
            json!({ "prefix": format!("{}/24", network(number, 0)), "via": via })
        })
        .collect();
    let neighbours =
        NEIGHBOURS.map(|address| json!({ "address": address, "mac": "02:00:00:00:00:99" }));
    let chain = json!([{ "stage": "route", "config": {
        "addresses": { "a": ["10.80.1.1/24"], "b": ["10.80.2.1/24"] },
        "routes": routes,
        "neighbours": neighbours,
        "announce": false,
    } }]);
    against_macswap(effort, report, "route", "pcap-64B-1k-prefixes", chain)
}

/// An access list of a thousand rules for every packet. None of them matches, so that every packet has
/// to be told apart from all.
pub fn acl(effort: Effort, report: &mut Report) -> Result<()> {
    let rules: Vec<Value> = (0..NETWORKS)
        .map(|number| {
            json!({ "action": "deny", "protocol": "udp",
                    "destination": format!("{}/32", network(number, 9)),
                    "destination_ports": "9-99" })
        })
        .collect();
    let chain = json!([{ "stage": "acl", "config": { "rules": rules, "default": "allow" } }]);
    against_macswap(effort, report, "acl", "pcap-64B-1k-rules", chain)
}

/// Networks that packets go to.
const NETWORKS: u32 = 1000;
/// The hosts next to the two ports.
const NEIGHBOURS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 80, 1, 2), Ipv4Addr::new(10, 80, 2, 2)];
/// The addresses that DPDK's pcap driver gives its first two ports.
const PORTS: [[u8; 6]; 2] = [
    [2, b'p', b'c', b'a', b'p', 0],
    [2, b'p', b'c', b'a', b'p', 1],
];

/// The address `host` of one of the /24 networks.
fn network(number: u32, host: u8) -> Ipv4Addr {
    let [_, _, high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 100 + high, low, host)
}

/// Both sides receive the same capture files for ever; what they send is thrown away. What comes in at one
/// port is for the networks behind the other.
fn against_macswap(
    effort: Effort,
    report: &mut Report,
    bench: &'static str,
    name: &str,
    chain: Value,
) -> Result<()> {
    programs::build()?;
    let folder = tempfile::tempdir()?;
    let files = ["a", "b"].map(|name| folder.path().join(name));
    for (side, file) in files.iter().enumerate() {
        let first = if side == 0 { NETWORKS / 2 } else { 0 };
        traffic::write(file, 1024, PORTS[side], NEIGHBOURS[side], |number| {
            network(first + number % (NETWORKS / 2), 7)
        })?;
    }
    let devices = files
        .each_ref()
        .map(|file| json!({ "type": "pcap", "rx_file": file, "loop": true }));
    let vdev = |number: usize| {
        format!(
            "net_pcap{number},rx_pcap={},infinite_rx=1",
            files[number].display()
        )
    };
    let peer = Testpmd::new(&[&vdev(0), &vdev(1)], "macswap");
    let config = ours::config(&devices, chain);
    pair(
        report,
        effort,
        &case(bench, name, "macswap"),
        &config,
        &peer,
    )
}
