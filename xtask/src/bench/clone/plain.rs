//! Services that know nothing of cloning (`wire: none`): memcached's reads over UDP, and their answers.
//!
//! The ports take turns, a burst each, so each burst of requests is followed by a burst of its answers from
//! each server: what is on its way never grows.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::super::harness::Effort;
use super::super::{Report, ours, traffic};
use super::frames::{CLIENT, FRAMES, VIP, datagram, server};
use super::rack::{self, Share, begin, server_mac_text, testpmd, text};
use super::{MODE, throughput};

/// The port of the service.
const MEMCACHED: u16 = 11_211;

/// How many servers are asked, and what then is counted.
const CASES: [(&str, u8, &[Share]); 2] = [
    (
        "pcap-none-memcached-get-not-cloned",
        1,
        &[(&["req_single"], 0.5), (&["resp_total"], 0.5)],
    ),
    (
        "pcap-none-memcached-get-cloned",
        2,
        &[
            (&["req_cloned"], 1.0 / 3.0),
            (&["resp_total"], 2.0 / 3.0),
            (&["resp_filtered"], 1.0 / 3.0),
        ],
    ),
];

/// Reads and their answers, beside testpmd with the same frames.
pub fn plain(effort: Effort, report: &mut Report) -> Result<()> {
    for (name, servers, counts) in CASES {
        let folder = tempfile::tempdir()?;
        let files = files(folder.path(), servers)?;
        let config = config(&files);
        let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        let mut peer = testpmd(&paths, MODE);
        if files.len() % 2 == 1 {
            // Each port sends what it has received.
            peer.args.push("--port-topology=loop".to_owned());
        }
        let ours = || {
            begin(folder.path())?;
            rack::received(&config, effort.window, counts)
        };
        let peer = || peer.measure(effort.window);
        report.add(throughput("clone", name.to_owned(), effort, ours, peer)?);
        report.add(rack::instructions(
            config.clone(),
            effort.window,
            name.to_owned(),
        )?);
    }
    Ok(())
}

/// What the clients send, and what each server answers.
fn files(folder: &Path, servers: u8) -> Result<Vec<PathBuf>> {
    (0..=servers)
        .map(|port| {
            let frames: Vec<Vec<u8>> = (0..FRAMES).map(|number| frame(port, number)).collect();
            let path = folder.join(format!("port{port}"));
            traffic::write_frames(&path, &frames).context("capture file")?;
            Ok(path)
        })
        .collect()
}

/// A read, at the clients' port 0, or the answer to it of the server at another port.
fn frame(port: u8, number: u32) -> Vec<u8> {
    // Request id, which datagram of the message, how many there are, nothing (memcached, doc/protocol.txt).
    let [id_high, id_low] = ((number % FRAMES) as u16).to_be_bytes();
    let mut body = vec![id_high, id_low, 0, 0, 0, 1, 0, 0];
    let client = (CLIENT, 1024 + (number % 50_000) as u16);
    let key = format!("object:{number:08}");
    if port == 0 {
        body.extend_from_slice(format!("get {key}\r\n").as_bytes());
        return datagram(0, client, (VIP, MEMCACHED), &body);
    }
    let value = "v".repeat(32);
    body.extend_from_slice(format!("VALUE {key} 0 32\r\n{value}\r\nEND\r\n").as_bytes());
    datagram(port.into(), (server(port - 1), MEMCACHED), client, &body)
}

fn config(files: &[PathBuf]) -> Value {
    let devices: Vec<Value> = files
        .iter()
        .map(|file| json!({ "type": "pcap", "rx_file": file, "loop": true }))
        .collect();
    let names = ["b", "c"];
    let servers: Vec<Value> = (0u8..)
        .zip(names)
        .take(files.len() - 1)
        .map(|(sid, port)| {
            json!({ "sid": sid, "ip": text(server(sid)), "mac": server_mac_text(sid), "port": port })
        })
        .collect();
    let mut config = ours::config(
        &devices,
        json!([{ "stage": "clone", "config": {
            "wire": "none",
            "mode": "inline",
            "vip": [text(VIP)],
            "servers": servers,
            // One server alone cannot be cloned to, and the stage wants that to be said.
            "policy": if servers.len() > 1 { "netclone" } else { "random" },
            // A burst of requests is under way at a time.
            "idle_threshold": 1000,
            "services": [{ "port": MEMCACHED, "protocol": "memcached" }],
        } }]),
    );
    if let Some(port) = config["ports"]
        .as_array_mut()
        .and_then(|ports| ports.get_mut(2))
    {
        port["peer"] = json!("a");
    }
    config
}
