//! Real traffic of the kernel's stack through a bump in the wire, over every kind of port.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Ends, FrameSocket, Need, Netns, Sluice, require, wait_for};

const LIMIT: Duration = Duration::from_secs(10);

/// Pings and datagrams of several sizes, both ways; then every packet is accounted for.
fn exchange(ends: &Ends, sluice: &Sluice<'_>, mtu: u32) {
    let level = sluice.packets_in_use();
    for bytes in [0, 56, 1000, mtu - 28] {
        ends.ping(5, bytes);
    }
    let echo = ends.echo();
    for bytes in [8, 333, mtu as usize - 28] {
        let traffic = ends.traffic(bytes, Duration::from_millis(1));
        traffic.wait_flowing(100, LIMIT).unwrap();
        assert_eq!(traffic.damaged(), 0);
    }
    drop(echo);
    sluice.assert_conserved(level);
    let (clients, servers) = (sluice.port("clients"), sluice.port("servers"));
    for (from, to) in [(&clients, &servers), (&servers, &clients)] {
        let (from, to) = (&from["counters"], &to["counters"]);
        assert!(from["rx_packets"].as_u64() >= Some(300));
        let out = ["tx_packets", "tx_full", "port_down"].map(|key| to[key].as_u64().unwrap());
        assert_eq!(
            from["rx_packets"].as_u64().unwrap(),
            out.iter().sum::<u64>()
        );
    }
}

#[test]
fn over_tap() {
    require!(Need::Root, Need::Tun);
    let ends = Ends::new();
    let sluice = Sluice::start(ends.tap_config());
    ends.adopt();
    exchange(&ends, &sluice, 1500);
    // The interfaces are in other namespaces, and their state is seen all the same.
    for port in ["clients", "servers"] {
        assert_eq!(sluice.port(port)["link"]["up"], true, "{port}");
    }
    ends.servers
        .ip(&["link", "set", "dev", &ends.server_interface, "down"]);
    let link = |up: bool| {
        wait_for("the link's state", LIMIT, || {
            (sluice.port("servers")["link"]["up"] == up).then_some(())
        })
        .unwrap();
    };
    link(false);
    ends.servers
        .ip(&["link", "set", "dev", &ends.server_interface, "up"]);
    link(true);
    ends.ping(3, 56);
}

/// The driver of TAP ports sends no more than 1522 bytes, whatever its MTU; who asks for more is told.
#[test]
fn jumbo_frames_over_tap_are_refused_in_one_sentence() {
    require!(Need::Root, Need::Tun);
    let ends = Ends::new();
    let mut config = ends.tap_config();
    config["ports"][0]["mtu"] = json!(9000);
    let error = Sluice::builder(config).try_start().unwrap_err();
    assert!(error.contains("an mtu of 9000 was asked for"), "{error}");
}

/// Two packet cores, each with a queue of either port and a shard of the chain of its own.
#[test]
fn over_tap_with_two_cores() {
    require!(Need::Root, Need::Tun, Need::Cpus(2));
    let ends = Ends::new();
    let mut config = ends.tap_config();
    config["cores"] = json!({ "packet": [0, 1] });
    config["chain"] = json!([{ "stage": "pass" }]);
    for port in 0..2 {
        config["ports"][port]["queues"] = json!(2);
        config["ports"][port]["rx_descriptors"] = json!(256);
    }
    let sluice = Sluice::start(config);
    ends.adopt();
    let level = sluice.packets_in_use();
    {
        let _echo = ends.echo();
        // The kernel chooses a queue by the flow: with this many, both are used.
        let flows: Vec<_> = (0..16)
            .map(|_| ends.traffic(64, Duration::from_millis(5)))
            .collect();
        for flow in &flows {
            flow.wait_flowing(20, LIMIT).unwrap();
        }
    }
    sluice.assert_conserved(level);
    for core in sluice.json("/api/v1/cores").as_array().unwrap() {
        let polls = |key: &str| core[key].as_u64().unwrap();
        assert!(polls("polls") > polls("polls_empty"), "idle: {core}");
    }
}

fn veth_config(ends: &Ends, kind: &str) -> Value {
    json!({
        "ports": [
            { "name": "clients", "side": "client", "device": { "type": kind, "interface": ends.client_interface } },
            { "name": "servers", "side": "server", "device": { "type": kind, "interface": ends.server_interface } },
        ],
        "chain": [],
    })
}

#[test]
fn over_veth_with_af_packet() {
    require!(Need::Root);
    let (ends, middle) = (Ends::new(), Netns::quiet("middle"));
    ends.join(&middle, 1500);
    let sluice = Sluice::builder(veth_config(&ends, "af_packet"))
        .netns(&middle)
        .start();
    exchange(&ends, &sluice, 1500);
}

/// A router's addresses are told to its links by itself, not only once somebody has sent a packet.
#[test]
fn a_router_announces_its_addresses_at_the_start() {
    require!(Need::Root);
    let (ends, middle) = (Ends::new(), Netns::quiet("middle"));
    ends.join(&middle, 1500);
    let mut config = veth_config(&ends, "af_packet");
    config["chain"] = json!([{ "stage": "route", "config": { "addresses": {
        "clients": ["10.77.0.254/24"], "servers": ["10.78.0.254/24"] } } }]);
    let client = FrameSocket::open(&ends.clients, &ends.client_interface);
    let server = FrameSocket::open(&ends.servers, &ends.server_interface);
    let _sluice = Sluice::builder(config).netns(&middle).start();
    for (socket, address) in [(client, [10, 77, 0, 254]), (server, [10, 78, 0, 254])] {
        // A gratuitous ARP request: sender and target are the same (RFC 5227).
        let announced = socket.receive_matching(LIMIT, |frame| {
            frame.get(12..14) == Some(&[8, 6]) && frame.get(28..32) == Some(&address)
        });
        let announced = announced.expect("an announcement");
        assert_eq!(announced[..6], [0xff; 6]);
        assert_eq!(announced[38..42], address);
    }
}

#[test]
fn jumbo_frames_over_veth_with_af_packet() {
    require!(Need::Root);
    let (ends, middle) = (Ends::new(), Netns::quiet("middle"));
    ends.join(&middle, 9000);
    let mut config = veth_config(&ends, "af_packet");
    config["mempool"] = json!({ "data_room_bytes": 9344, "packets": 6000 });
    for port in 0..2 {
        config["ports"][port]["mtu"] = json!(9000);
    }
    let sluice = Sluice::builder(config).netns(&middle).start();
    exchange(&ends, &sluice, 9000);
}

#[test]
fn over_veth_with_af_xdp() {
    require!(Need::Root, Need::AfXdp);
    let (ends, middle) = (Ends::new(), Netns::quiet("middle"));
    ends.join(&middle, 1500);
    let sluice = Sluice::builder(veth_config(&ends, "af_xdp"))
        .netns(&middle)
        .start();
    exchange(&ends, &sluice, 1500);
}

/// Two appliances, joined by memif, each with a TAP at its other end.
#[test]
fn over_memif_between_two_appliances() {
    require!(Need::Root, Need::Tun);
    let ends = Ends::new();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("memif.sock");
    let memif = |name: &str, side: &str, role: &str| {
        json!({
            "name": name, "side": side,
            "device": { "type": "memif", "role": role, "socket": socket },
        })
    };
    let near = Sluice::start(json!({
        "ports": [ends.client_tap(), memif("servers", "server", "server")], "chain": [],
    }));
    let far = Sluice::start(json!({
        "ports": [memif("clients", "client", "client"), ends.server_tap()], "chain": [],
    }));
    ends.adopt();
    let level = far.packets_in_use();
    exchange(&ends, &near, 1500);
    far.assert_conserved(level);
    // What one sent, the other has received.
    let count = |sluice: &Sluice<'_>, port: &str, key: &str| sluice.port_count(port, key);
    assert_eq!(
        count(&near, "servers", "tx_packets"),
        count(&far, "clients", "rx_packets")
    );
    assert_eq!(
        count(&far, "clients", "tx_packets"),
        count(&near, "servers", "rx_packets")
    );
}

/// Frames of many kinds and lengths, each with a number in it.
fn odd_frames(longest: usize) -> Vec<Vec<u8>> {
    const MAC: [u8; 12] = [2, 0, 0, 0, 0, 0xcc, 2, 0, 0, 0, 0, 0xbb];
    let kinds: [&[u8]; 12] = [
        // Nothing but a type; LLC and a length; an unknown type.
        &[0x08, 0x00],
        &[0x00, 0x26, 0x42, 0x42, 0x03],
        &[0x88, 0xb5],
        // One tag, a priority tag, two tags of either kind, three.
        &[0x81, 0x00, 0x00, 0x64, 0x08, 0x00],
        &[0x81, 0x00, 0xe0, 0x00, 0x08, 0x00],
        &[0x88, 0xa8, 0x00, 0x0a, 0x81, 0x00, 0x20, 0x14, 0x08, 0x00],
        &[0x81, 0x00, 0x00, 0x0a, 0x81, 0x00, 0x00, 0x14, 0x86, 0xdd],
        &[
            0x88, 0xa8, 0, 1, 0x88, 0xa8, 0, 2, 0x81, 0, 0, 3, 0x08, 0x00,
        ],
        // A tag with nothing behind it; broken IPv4, IPv6, ARP.
        &[0x81, 0x00, 0x00],
        &[0x08, 0x00, 0x4f, 0xff, 0xff, 0xff],
        &[0x86, 0xdd, 0x6f, 0xff, 0xff],
        &[0x08, 0x06, 0x00, 0x01, 0x08],
    ];
    let mut frames = Vec::new();
    for (number, kind) in kinds.iter().enumerate() {
        for length in [0, 60, 61, 127, 128, 1000, longest] {
            let mut frame = [&MAC[..], kind].concat();
            let tags = 4 * kind.len().min(10) / 5;
            let length = if length == longest {
                longest.min(1514 + tags)
            } else {
                length
            };
            frame.extend((frame.len()..length).map(|n| (n * 7 + number) as u8));
            frames.push(frame);
        }
    }
    frames
}

/// Those of them that the kernel takes: it drops frames with a tag and next to nothing behind it.
fn odd_frames_for_the_kernel() -> Vec<Vec<u8>> {
    let mut frames = odd_frames(1514);
    frames.retain(|frame| frame.len() >= 20 || !matches!(frame[12..14], [0x81, 0] | [0x88, 0xa8]));
    frames
}

/// Sends every frame at one end and expects it, byte by byte, at the other.
fn frames_arrive_unchanged(ends: &Ends, frames: &[Vec<u8>]) {
    let client = FrameSocket::open(&ends.clients, &ends.client_interface);
    let server = FrameSocket::open(&ends.servers, &ends.server_interface);
    for (from, to) in [(&client, &server), (&server, &client)] {
        for frame in frames {
            from.send(frame).unwrap_or_else(|error| {
                panic!("{} bytes {:02x?}: {error}", frame.len(), &frame[12..])
            });
            let got = to.receive_matching(LIMIT, |got| got.get(..12) == frame.get(..12));
            assert_eq!(got.as_ref(), Some(frame), "sent {:02x?}", &frame[12..]);
        }
    }
}

#[test]
fn odd_and_tagged_frames_pass_a_wire_of_taps_unchanged() {
    require!(Need::Root, Need::Tun);
    let ends = Ends::new();
    let sluice = Sluice::start(ends.tap_config());
    ends.adopt();
    let level = sluice.packets_in_use();
    frames_arrive_unchanged(&ends, &odd_frames_for_the_kernel());
    sluice.assert_conserved(level);
}

#[test]
fn odd_and_tagged_frames_pass_a_wire_of_packet_sockets_unchanged() {
    require!(Need::Root);
    let (ends, middle) = (Ends::new(), Netns::quiet("middle"));
    ends.join(&middle, 1500);
    let sluice = Sluice::builder(veth_config(&ends, "af_packet"))
        .netns(&middle)
        .start();
    let level = sluice.packets_in_use();
    let mut frames = odd_frames_for_the_kernel();
    // The kernel takes the outer tag out; the driver puts it back, but always as 0x8100.
    frames.retain(|frame| frame[12..14] != [0x88, 0xa8]);
    frames_arrive_unchanged(&ends, &frames);
    sluice.assert_conserved(level);
}

/// A pcap file (microseconds, Ethernet) of these frames.
fn write_pcap(path: &Path, frames: &[Vec<u8>]) {
    let mut file: Vec<u8> = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_536, 1] {
        file.extend(word.to_le_bytes());
    }
    for (number, frame) in frames.iter().enumerate() {
        let length = frame.len() as u32;
        for word in [number as u32, 0, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    std::fs::write(path, file).unwrap();
}

/// The frames of a pcap file of either time resolution.
fn read_pcap(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(path).unwrap();
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let mut frames = Vec::new();
    let mut at = 24;
    while at + 16 <= file.len() {
        let length = word(at + 8);
        assert_eq!(length, word(at + 12), "a frame was cut");
        frames.push(file[at + 16..at + 16 + length].to_vec());
        at += 16 + length;
    }
    assert_eq!(at, file.len());
    frames
}

#[test]
fn a_capture_file_comes_out_as_it_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (
        folder.path().join("in.pcap"),
        folder.path().join("out.pcap"),
    );
    let mut frames = odd_frames(1514);
    frames.push((0..9000).map(|n| n as u8).collect());
    write_pcap(&input, &frames);
    let sluice = Sluice::start(json!({
        "ports": [
            { "name": "from", "side": "client", "mtu": 9000, "device": { "type": "pcap", "rx_file": input } },
            { "name": "to", "side": "server", "mtu": 9000, "device": { "type": "pcap", "tx_file": output } },
        ],
        "chain": [],
    }));
    wait_for("all frames", LIMIT, || {
        (sluice.port_count("to", "tx_packets") >= frames.len() as u64).then_some(())
    })
    .unwrap();
    assert_eq!(sluice.unaccounted(), 0);
    let (status, log) = sluice.stop();
    assert!(status.success(), "{log}");
    // The file is closed with the port.
    let got = read_pcap(&output);
    assert_eq!(got.len(), frames.len());
    for (got, sent) in got.iter().zip(&frames) {
        assert_eq!(got, sent);
    }
}

/// Jumbo frames in several packet buffers each, over memif from one appliance to another.
#[test]
fn jumbo_frames_over_memif() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let frames: Vec<Vec<u8>> = (0..200)
        .map(|n| (0..14 + n * 45).map(|at| (at * 7 + n) as u8).collect())
        .collect();
    write_pcap(&file("in.pcap"), &frames);
    let memif = |name: &str, side: &str, role: &str| {
        json!({
            "name": name, "side": side, "mtu": 9000,
            "device": { "type": "memif", "role": role, "socket": file("memif.sock") },
        })
    };
    let receiver = Sluice::start(json!({
        "ports": [
            memif("from", "client", "server"),
            { "name": "to", "side": "server", "mtu": 9000,
              "device": { "type": "pcap", "tx_file": file("out.pcap") } },
        ],
        "chain": [],
    }));
    let sender = Sluice::start(json!({
        "ports": [
            { "name": "from", "side": "client", "mtu": 9000,
              "device": { "type": "pcap", "rx_file": file("in.pcap") } },
            memif("to", "server", "client"),
        ],
        "chain": [],
    }));
    wait_for("the link", LIMIT, || {
        (sender.port("to")["link"]["up"] == true && receiver.port("from")["link"]["up"] == true)
            .then_some(())
    })
    .unwrap();
    let level = receiver.packets_in_use();
    // What was read before the link was up is lost; opened again, the file begins anew.
    for verb in ["down", "up"] {
        let answer = sender.post(&format!("/api/v1/ports/from/{verb}"), &json!({}));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let count = frames.len() as u64;
    wait_for("all frames", LIMIT, || {
        (sender.port_count("from", "rx_packets") == 2 * count && sender.unaccounted() == 0)
            .then_some(())
    })
    .unwrap();
    let sent = sender.port_count("to", "tx_packets");
    wait_for("all frames", LIMIT, || {
        (receiver.port_count("to", "tx_packets") == sent).then_some(())
    })
    .unwrap();
    receiver.assert_conserved(level);
    assert!(receiver.stop().0.success());
    let got = read_pcap(&file("out.pcap"));
    assert!(got.len() >= frames.len());
    for (got, sent) in got[got.len() - frames.len()..].iter().zip(&frames) {
        assert!(got == sent, "{} bytes came as {}", sent.len(), got.len());
    }
}

/// Packets go round between two rings for ever, none lost.
#[test]
fn rings_keep_their_packets() {
    let ring = |name: &str, side: &str| {
        json!({
            "name": name, "side": side,
            "device": { "type": "ring", "slots": 256, "seed_packets": 32 },
        })
    };
    let sluice = Sluice::start(json!({
        "ports": [ring("a", "client"), ring("b", "server")], "chain": [],
    }));
    wait_for("100 000 packets", LIMIT, || {
        (sluice.port_count("b", "tx_packets") > 100_000).then_some(())
    })
    .unwrap();
    assert_eq!(sluice.json("/api/v1/drops"), json!([]));
    // All of them still go round.
    assert!(sluice.packets_in_use() >= 64);
}

/// The null ports' endless packets through two cores; nothing stays in the pool afterwards.
#[test]
fn null_ports_with_two_cores() {
    require!(Need::Cpus(2));
    let endless = |name: &str, side: &str| json!({ "name": name, "side": side, "queues": 2, "device": { "type": "null", "copy": true } });
    let sluice = Sluice::start(json!({
        "cores": { "packet": [0, 1] },
        "mempool": { "packets": 16384 },
        "ports": [endless("a", "client"), endless("b", "server")],
        "chain": [{ "stage": "pass" }, { "stage": "swap" }],
    }));
    wait_for("a million packets", LIMIT, || {
        (sluice.port_count("b", "tx_packets") > 1_000_000).then_some(())
    })
    .unwrap();
    let (status, log) = sluice.stop();
    assert!(status.success(), "{log}");
    assert!(!log.contains("not given back"), "{log}");
}
