//! The `acl` stage over real packets: what rules match, and what becomes of odd packets.

mod changes;
mod classifier;

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::AclKind;
use crate::testing::{Frame, StageBench, hostile};
use crate::wire::{Malformed, Prefix};

const C: u16 = StageBench::CLIENTS;
const S: u16 = StageBench::SERVERS;

fn bench(config: Value) -> StageBench {
    StageBench::new(&AclKind, config)
}

/// Which of the frames, received by `port`, the stage lets through.
fn passes(bench: &mut StageBench, port: u16, frames: &[Frame]) -> Vec<bool> {
    frames
        .iter()
        .map(|frame| {
            let bytes = frame.clone().at(port).build();
            let sent = bench.run(port, &[&bytes]);
            if let Some(sent) = sent.first() {
                assert_eq!(sent.bytes, bytes, "an allowed packet is not touched");
                assert_ne!(sent.port, port);
            }
            !sent.is_empty()
        })
        .collect()
}

#[test]
fn the_first_rule_that_matches_decides() {
    let mut bench = bench(json!({ "default": "deny", "rules": [
        { "action": "deny", "source": "10.0.0.66/32" },
        { "action": "allow", "source": "10.0.0.0/24", "destination": "10.0.1.0/24", "protocol": "tcp",
          "destination_ports": "80-81" },
        { "action": "allow", "protocol": "udp", "source_ports": 53 },
        { "action": "deny", "protocol": "icmp" },
        { "action": "allow", "source": "fd00::/16", "destination": "fd00:1::/64" },
    ] }));
    let frames = [
        Frame::tcp("10.0.0.1:9", "10.0.1.1:80"),
        Frame::tcp("10.0.0.1:9", "10.0.1.1:81"),
        Frame::tcp("10.0.0.1:9", "10.0.1.1:82"),
        Frame::tcp("10.0.0.66:9", "10.0.1.1:80"),
        Frame::tcp("10.0.2.1:9", "10.0.1.1:80"),
        Frame::udp("10.0.0.1:53", "10.9.9.9:7"),
        Frame::udp("[2001::1]:53", "[2001::2]:7"),
        Frame::ping("10.0.0.1", "10.0.1.1"),
        Frame::ping("fd00::1", "fd00:1::1"),
        Frame::ping("fd00::1", "fd00:2::1"),
    ];
    assert_eq!(
        passes(&mut bench, C, &frames),
        [
            true, true, false, false, false, true, true, false, true, false
        ]
    );
    assert_eq!(
        (bench.dropped("denied"), bench.dropped("default_denied")),
        (2, 3)
    );
    let shown = bench.command("show", Value::Null).expect("shown");
    let hits: Vec<_> = shown["rules"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| &r["hits"])
        .collect();
    assert_eq!(hits, [1, 2, 2, 1, 1]);
    assert_eq!(
        (bench.counter("allowed"), bench.counter("default_allowed")),
        (5, 0)
    );
    bench.assert_conserved();
}

#[test]
fn rules_are_for_directions() {
    let mut bench = bench(json!({ "default": "allow", "rules": [
        { "action": "deny", "direction": "to_server", "protocol": "tcp", "destination_ports": 22 },
        { "action": "deny", "direction": "to_client", "protocol": "udp" },
    ] }));
    let frames = [
        Frame::tcp("10.0.0.1:9", "10.0.1.1:22"),
        Frame::udp("10.0.0.1:9", "10.0.1.1:22"),
    ];
    assert_eq!(passes(&mut bench, C, &frames), [false, true]);
    assert_eq!(passes(&mut bench, S, &frames), [true, false]);
    bench.assert_conserved();
}

#[test]
fn tagged_packets_are_matched_by_what_they_carry() {
    let mut bench =
        bench(json!({ "rules": [ { "action": "deny", "destination": "10.0.1.1/32" } ] }));
    let frames = [
        Frame::udp("10.0.0.1:1", "10.0.1.1:2").vlan(5),
        Frame::udp("10.0.0.1:1", "10.0.1.1:2").vlan(5).vlan(6),
        Frame::udp("10.0.0.1:1", "10.0.1.2:2").vlan(5).vlan(6),
    ];
    assert_eq!(passes(&mut bench, C, &frames), [false, false, true]);
    bench.assert_conserved();
}

#[test]
fn later_fragments_have_no_ports() {
    let rules = json!([
        { "action": "deny", "protocol": "udp", "destination_ports": "0-1023" },
        { "action": "allow", "protocol": "udp" },
    ]);
    let mut bench = bench(json!({ "default": "deny", "rules": rules }));
    for (from, to) in [
        ("10.0.0.1:9", "10.0.0.2:80"),
        ("[fd00::1]:9", "[fd00::2]:80"),
    ] {
        let frames = [
            Frame::udp(from, to).fragment(0x2000).payload(&[0; 64]),
            Frame::udp(from, to).fragment(0x0004).payload(&[0; 64]),
            Frame::udp(from, &to.replace(":80", ":8080"))
                .fragment(0x2000)
                .payload(&[0; 64]),
        ];
        assert_eq!(passes(&mut bench, C, &frames), [false, true, true]);
    }
    bench.assert_conserved();
}

#[test]
fn a_fragment_must_not_overwrite_the_ports_of_the_first() {
    let mut bench = bench(json!({}));
    let tcp = |offset| {
        Frame::tcp("10.0.0.1:9", "10.0.0.2:80")
            .fragment(offset)
            .payload(&[0; 64])
    };
    assert_eq!(
        passes(&mut bench, C, &[tcp(1), tcp(2), tcp(3)]),
        [false, false, true]
    );
    assert_eq!(bench.dropped("tiny_fragment"), 2);
    bench.assert_conserved();
}

#[test]
fn what_is_not_ip_passes_unless_it_is_denied() {
    for (action, expected) in [("allow", true), ("deny", false)] {
        let mut bench = bench(json!({ "default": "deny", "non_ip": action }));
        let mut arp = vec![0; 60];
        let (sender, target) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        crate::wire::arp::write_request(
            &mut arp,
            Frame::port_mac(0),
            Frame::host_mac(0),
            sender,
            target,
        );
        assert_eq!(!bench.run(C, &[&arp]).is_empty(), expected);
        assert_eq!(bench.dropped("non_ip"), u64::from(!expected));
        assert_eq!(bench.counter("unmatched"), u64::from(expected));
        bench.assert_conserved();
    }
}

#[test]
fn malformed_packets_are_dropped_for_what_is_wrong() {
    let mut bench = bench(json!({}));
    let good = Frame::tcp("10.0.0.1:9", "10.0.0.2:80").build();
    let mut edits: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut edit = |reason, change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = good.clone();
        change(&mut frame);
        edits.push((reason, frame));
    };
    edit("truncated", &|frame| frame.truncate(20));
    edit("bad_version", &|frame| frame[14] = 0x55);
    edit("bad_header_length", &|frame| frame[14] = 0x44);
    edit("bad_total_length", &|frame| frame[17] = 19);
    edit("transport_truncated", &|frame| frame[17] = 30);
    edit("bad_tcp_header_length", &|frame| frame[14 + 20 + 12] = 0x40);
    for (reason, frame) in &edits {
        assert!(bench.run(C, &[frame]).is_empty(), "{reason}");
        assert_eq!(bench.dropped(reason), 1, "{reason}");
    }
    bench.assert_conserved();

    let mut lax = self::bench(json!({ "malformed": "allow", "rules": [
        { "action": "deny", "source": "10.0.0.1/32" } ] }));
    let sent: Vec<_> = edits
        .iter()
        .map(|(_, frame)| lax.run(C, &[frame]).len())
        .collect();
    assert_eq!(
        sent,
        [1, 1, 1, 1, 0, 0],
        "what could be read is still matched"
    );
    lax.assert_conserved();
}

#[test]
fn hostile_frames_are_counted_and_never_lost() {
    let mut bench = bench(json!({ "default": "deny", "non_ip": "deny", "rules": [
        { "action": "allow", "protocol": "udp", "destination_ports": 80 },
        { "action": "deny", "source": "fd00::/16", "protocol": "tcp" } ] }));
    let (mut sent, mut given) = (0, 0);
    for frame in hostile::truncated(C).chain(hostile::mutated(C, 11, 30_000)) {
        sent += bench.run(C, &[&frame]).len() as u64;
        given += 1;
    }
    let counters = bench.counters();
    assert_eq!(counters.input[0], given);
    assert_eq!(counters.dropped.sum() + sent, given);
    assert_eq!(
        counters.dropped.get("other"),
        0,
        "every drop has its reason"
    );
    for reason in [
        "truncated",
        "non_ip",
        "denied",
        "default_denied",
        "bad_extension",
    ] {
        assert!(counters.dropped.get(reason) > 0, "{reason}");
    }
    bench.assert_conserved();
}

#[test]
fn thousands_of_rules() {
    let rules: Vec<Value> = (0..5000u32)
        .map(|n| {
            let source = Prefix::host(Ipv4Addr::from_bits(0x0a00_0000 + n * 7).into());
            json!({ "action": if n % 2 == 0 { "allow" } else { "deny" }, "source": source, "protocol": "tcp",
                "destination_ports": n % 60_000 + 1 })
        })
        .collect();
    let mut bench = bench(json!({ "default": "deny", "rules": rules }));
    for n in (0..5000u32).step_by(97) {
        let source = format!("{}:9", Ipv4Addr::from_bits(0x0a00_0000 + n * 7));
        let frame = Frame::tcp(&source, &format!("10.0.0.2:{}", n + 1));
        assert_eq!(passes(&mut bench, C, &[frame]), [n % 2 == 0], "{n}");
    }
    bench.assert_conserved();
}

#[test]
fn every_word_of_the_parser_is_a_reason() {
    for word in Malformed::REASONS {
        assert!(super::REASONS.contains(&word));
    }
}
