//! Millions of packets of garbage, and of every header cut off at every length, through every stage
//! there is, as fast as they come.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Ends, FrameSocket, Need, Sluice, cargo_binary, require, wait_for};

const LIMIT: Duration = Duration::from_secs(90);

/// Packets of each run.
const PACKETS: u64 = 10_000_000;

/// A generator that gives the same numbers in every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Well-formed beginnings of packets: every kind of header that the stages look at.
fn heads() -> Vec<Vec<u8>> {
    let mac: &[u8] = &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    let tag: &[u8] = &[0x81, 0x00, 0x00, 0x64];
    let outer: &[u8] = &[0x88, 0xa8, 0x00, 0x0a];
    let ip4 = |first: u8, fragment: [u8; 2], ttl: u8, protocol: u8| -> Vec<u8> {
        [
            &[8, 0, first, 0, 0, 120, 0, 1],
            &fragment[..],
            &[ttl, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 1, 1],
        ]
        .concat()
    };
    let ip6 = |next: u8, hops: u8| -> Vec<u8> {
        let mut bytes = vec![0x86, 0xdd, 0x60, 0, 0, 0, 0, 80, next, hops];
        bytes.extend([0xfd; 32]);
        bytes
    };
    let udp: &[u8] = &[0, 7, 0, 7, 0, 100, 0, 0];
    let tcp: &[u8] = &[
        0, 7, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x80, 2, 0, 9, 0, 0, 0, 0, 2, 4, 5, 180, 1, 3, 3, 7,
    ];
    let arp: &[u8] = &[
        8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
    ];
    // Hop-by-hop, routing, fragment and destination options in a row.
    let extensions: &[u8] = &[
        43, 0, 1, 4, 0, 0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 1, 0, 0, 0, 1, 17, 0, 1, 4, 0,
        0, 0, 0,
    ];
    let solicitation: &[u8] = &[135, 0, 0, 0, 0, 0, 0, 0];
    let mut heads: Vec<Vec<u8>> = vec![
        mac.to_vec(),
        [mac, arp].concat(),
        [mac, &ip4(0x45, [0, 0], 64, 17), udp].concat(),
        [mac, &ip4(0x45, [0, 0], 1, 6), tcp].concat(),
        [mac, &ip4(0x45, [0, 0], 0, 1), &[8, 0, 0, 0, 0, 1, 0, 1]].concat(),
        [mac, &ip4(0x4f, [0, 0], 64, 17), &[1; 40], udp].concat(),
        [mac, &ip4(0x45, [0x20, 0], 64, 17), udp].concat(),
        [mac, &ip4(0x45, [0, 9], 64, 17)].concat(),
        [mac, &ip6(17, 64), udp].concat(),
        [mac, &ip6(6, 1), tcp].concat(),
        [mac, &ip6(0, 64), extensions, udp].concat(),
        [mac, &ip6(58, 255), solicitation, &[0xfd; 16]].concat(),
    ];
    for head in heads.clone() {
        heads.push([mac, tag, &head[12..]].concat());
        heads.push([mac, outer, tag, &head[12..]].concat());
    }
    heads
}

/// Every head at every length, and changed by chance; and noise.
fn garbage(seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random(seed);
    let mut frames = Vec::new();
    for head in heads() {
        for length in 1..=head.len() {
            frames.push(head[..length].to_vec());
        }
        for _ in 0..100 {
            let mut frame = head.clone();
            frame.extend((0..random.below(200)).map(|n| n as u8));
            for _ in 0..=random.below(8) {
                let at = random.below(frame.len());
                frame[at] = random.next() as u8;
            }
            frame.truncate(1 + random.below(frame.len()));
            frames.push(frame);
        }
    }
    for _ in 0..500 {
        let length = 1 + random.below(1514);
        frames.push((0..length).map(|_| random.next() as u8).collect());
    }
    frames
}

/// A pcap file (microseconds, Ethernet) of these frames.
fn write_pcap(path: &Path, frames: &[Vec<u8>]) {
    let mut file: Vec<u8> = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_536, 1] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        let length = frame.len() as u32;
        for word in [0, 0, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    std::fs::write(path, file).unwrap();
}

/// The kinds of stages that the program knows, by its own list.
fn kinds() -> Vec<String> {
    let output = Command::new(cargo_binary("sluice"))
        .arg("schema")
        .output()
        .unwrap();
    let schema = String::from_utf8(output.stdout).unwrap();
    let known = ["pass", "swap", "acl", "route", "capture", "impair", "work"];
    let named = |kind: &&&str| schema.contains(&format!("\"{kind}\""));
    known
        .iter()
        .filter(named)
        .map(|kind| (*kind).to_owned())
        .collect()
}

/// Settings with which each kind looks at packets as deeply as it can.
fn settings(kind: &str, folder: &Path, [client, server]: [&str; 2]) -> Value {
    match kind {
        // Some packets are for itself, some for a neighbour that it knows, the rest for nobody.
        "route" => json!({
            "addresses": {
                client: ["10.0.0.2/24", "fdfd:fdfd:fdfd:fdfd::1/64"], server: ["10.0.1.254/24"],
            },
            "neighbours": [
                { "address": "10.0.1.1", "mac": "02:00:00:00:00:09", "port": server },
                { "address": "10.0.0.1", "mac": "02:00:00:00:00:08", "port": client },
            ],
        }),
        "acl" => json!({ "rules": [
            { "action": "deny", "protocol": "tcp", "destination_ports": "80" },
            { "action": "allow", "source": "10.0.0.0/8" },
            { "action": "deny", "source": "fd00::/8", "protocol": "udp" },
        ] }),
        "capture" => json!({ "file": folder.join("captured.pcapng") }),
        _ => json!({}),
    }
}

/// The chain of all kinds that run with these settings as they are.
fn chain(folder: &Path, ports: [&str; 2]) -> Vec<Value> {
    let stage = |kind: &String| json!({ "stage": kind, "config": settings(kind, folder, ports) });
    let mut stages: Vec<Value> = kinds().iter().map(stage).collect();
    stages.push(json!({ "stage": "pass", "name": "last" }));
    stages
}

fn files(folder: &Path) -> [PathBuf; 2] {
    [1, 2].map(|seed| {
        let path = folder.join(format!("garbage-{seed}.pcap"));
        write_pcap(&path, &garbage(seed));
        path
    })
}

#[test]
fn millions_of_broken_packets_go_through_every_stage() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = files(folder.path());
    let port = |name: &str, side: &str, file: &Path| {
        json!({
            "name": name, "side": side,
            "device": { "type": "pcap", "rx_file": file, "loop": true },
        })
    };
    let mut sluice = Sluice::start(json!({
        "mempool": { "packets": 32768 },
        "ports": [port("a", "client", &one), port("b", "server", &other)],
        "chain": chain(folder.path(), ["a", "b"]),
    }));
    wait_for("the packets", LIMIT, || {
        if let Some(status) = sluice.process().ended() {
            return Some(Err(status));
        }
        let received = |port| sluice.port_count(port, "rx_packets");
        (received("a") + received("b") >= PACKETS).then_some(Ok(()))
    })
    .unwrap()
    .unwrap();
    assert_eq!(sluice.get("/healthz").status, 200);
    for stage in sluice.json("/api/v1/chain").as_array().unwrap() {
        assert!(stage["input"]["to_server"].as_u64() > Some(0), "{stage:#}");
    }
    // Without a source, all that came is accounted for.
    for port in ["a", "b"] {
        let answer = sluice.post(&format!("/api/v1/ports/{port}/down"), &json!({}));
        assert_eq!(answer.status, 200);
    }
    wait_for("both ports down", LIMIT, || {
        ["a", "b"]
            .iter()
            .all(|port| sluice.port(port)["state"] == "down")
            .then_some(())
    })
    .unwrap();
    sluice.assert_conserved(64);
    let (status, log) = sluice.stop();
    assert!(status.success() && !log.contains("not given back"), "{log}");
}

/// The same frames from the kernel's side, as far as it sends them.
#[test]
fn broken_packets_from_a_tap_go_through_every_stage() {
    require!(Need::Root, Need::Tun);
    let folder = tempfile::tempdir().unwrap();
    let ends = Ends::new();
    let mut config = ends.tap_config();
    config["chain"] = json!(chain(folder.path(), ["clients", "servers"]));
    let sluice = Sluice::start(config);
    ends.adopt();
    let level = sluice.packets_in_use();
    let (client, server) = (
        FrameSocket::open(&ends.clients, &ends.client_interface),
        FrameSocket::open(&ends.servers, &ends.server_interface),
    );
    let mut sent = 0;
    for frame in garbage(3) {
        for socket in [&client, &server] {
            sent += u64::from(socket.send(&frame).is_ok());
        }
    }
    assert!(sent > 10_000);
    sluice.assert_conserved(level);
    assert_eq!(sluice.get("/healthz").status, 200);
    let (status, log) = sluice.stop();
    assert!(status.success() && !log.contains("not given back"), "{log}");
}
