//! Packets that go on: rewritten, by the right port, to the right neighbour; and in wire mode.

use super::*;
use crate::check::Side;
use crate::packet::Packet;
use crate::testing::{BenchOptions, hostile, notes};
use crate::wire::{Verdict, check_transport_checksum, ipv4_checksum_ok};

#[test]
fn packets_go_on_with_new_mac_addresses_and_one_hop_less() {
    let mut bench = with_hosts();
    for (from, to, there, back) in [
        ("10.0.0.2:7", "10.0.1.2:80", S, C),
        ("[fd00::2]:7", "[fd00:1::2]:80", S, C),
    ] {
        for (source, destination, ingress, egress) in
            [(from, to, back, there), (to, from, there, back)]
        {
            for frame in [
                Frame::udp(source, destination).payload(b"data"),
                Frame::tcp(source, destination).ttl(2),
                Frame::udp(source, destination).payload(b"x").pad_to(60),
            ] {
                let bytes = frame.at(ingress).build();
                let sent = bench.run(ingress, &[&bytes]);
                assert_eq!(sent.len(), 1, "{:?}", bench.counters().dropped);
                let out = &sent[0].bytes;
                assert_eq!(sent[0].port, egress);
                assert_eq!(
                    macs(out),
                    (Frame::port_mac(egress), Frame::host_mac(egress))
                );
                let layers = Layers::parse(out).expect("well-formed");
                assert_eq!(check_transport_checksum(out, &layers), Verdict::Good);
                if layers.is_ipv4() {
                    assert!(ipv4_checksum_ok(out, &layers));
                    assert_eq!(ipv4(out).ttl() + 1, ipv4(&bytes).ttl());
                } else {
                    assert_eq!(ipv6(out).hop_limit() + 1, ipv6(&bytes).hop_limit());
                }
                assert_eq!(out[34..], bytes[34..], "everything else is untouched");
            }
        }
    }
    assert_eq!(bench.counter("forwarded"), 12);
    bench.assert_conserved();
}

#[test]
fn the_longest_prefix_leads_to_one_of_many_ports() {
    let options = BenchOptions {
        ports: (0..5u16)
            .map(|n| {
                BenchOptions::port(
                    n,
                    &format!("p{n}"),
                    if n == 0 { Side::Client } else { Side::Server },
                )
            })
            .collect(),
        ..BenchOptions::default()
    };
    let addresses: Vec<(String, Value)> = (0..5u8)
        .map(|n| {
            (
                format!("p{n}"),
                json!([format!("10.0.{n}.1/24"), format!("fd00:{n}::1/64")]),
            )
        })
        .collect();
    let neighbours: Vec<Value> = (1..5u16)
        .flat_map(|n| {
            [format!("10.0.{n}.2"), format!("fd00:{n}::2")]
                .map(|address| json!({ "address": address, "mac": Frame::host_mac(n) }))
        })
        .collect();
    let routes = json!([
        { "prefix": "0.0.0.0/0", "via": "10.0.1.2" },
        { "prefix": "20.0.0.0/8", "via": "10.0.2.2" },
        { "prefix": "20.1.0.0/16", "via": "10.0.3.2" },
        { "prefix": "20.1.1.7/32", "via": "10.0.4.2" },
        { "prefix": "20.1.2.0/24", "blackhole": true },
        { "prefix": "::/0", "via": "fd00:1::2" },
        { "prefix": "2001:db8::/32", "via": "fd00:2::2" },
        { "prefix": "2001:db8:0:7::/64", "via": "fd00:3::2" },
        { "prefix": "2001:db8:0:7::9/128", "via": "fd00:4::2" },
    ]);
    let settings = json!({ "addresses": addresses.into_iter().collect::<serde_json::Map<_, _>>(),
        "announce": false, "neighbours": neighbours, "routes": routes });
    let mut bench = StageBench::with(&RouteKind, settings, options);
    for (to, port) in [
        ("8.8.8.8:1", 1),
        ("20.2.0.1:1", 2),
        ("20.1.0.1:1", 3),
        ("20.1.1.7:1", 4),
        ("20.1.1.6:1", 3),
        ("10.0.3.2:1", 3),
        ("[2002::1]:1", 1),
        ("[2001:db8:1::1]:1", 2),
        ("[2001:db8:0:7::1]:1", 3),
        ("[2001:db8:0:7::9]:1", 4),
    ] {
        let from = if to.starts_with('[') {
            "[fd00::2]:9"
        } else {
            "10.0.0.2:9"
        };
        let sent = bench.run(0, &[Frame::udp(from, to).build()]);
        assert_eq!((sent.len(), sent[0].port), (1, port), "{to}");
        assert_eq!(macs(&sent[0].bytes).1, Frame::host_mac(port), "{to}");
    }
    dropped_for(
        &mut bench,
        0,
        &[("blackhole", Frame::udp("10.0.0.2:9", "20.1.2.3:1").build())],
    );
    // All together, in one burst: each leaves by its own port.
    let burst: Vec<Vec<u8>> = (0..60)
        .map(|n| Frame::udp("10.0.0.2:9", &format!("10.0.{}.2:1", n % 4 + 1)).build())
        .collect();
    let sent = bench.run(0, &burst);
    for port in 1..5 {
        assert_eq!(sent.iter().filter(|sent| sent.port == port).count(), 15);
    }
    bench.assert_conserved();
}

#[test]
fn options_fragments_and_extensions_go_on_as_they_are() {
    let mut bench = with_hosts();
    for frame in [
        Frame::udp("10.0.0.2:1", "10.0.1.2:2").options(&[0x83, 7, 4, 10, 0, 0, 9]),
        Frame::udp("10.0.0.2:1", "10.0.1.2:2").options(&[1; 40]),
        Frame::udp("10.0.0.2:1", "10.0.1.2:2")
            .fragment(0x2000)
            .payload(&[0; 64]),
        Frame::udp("10.0.0.2:1", "10.0.1.2:2")
            .fragment(0x0008)
            .payload(&[0; 64]),
        Frame::ip("10.0.0.2", "10.0.1.2", 47).payload(b"GRE"),
        Frame::ip("10.0.0.2", "10.0.1.2", 6).payload(b"cut"),
        Frame::tcp("[fd00::2]:1", "[fd00:1::2]:2").extension(0, &[0, 1, 4, 0, 0, 0, 0]),
        Frame::udp("[fd00::2]:1", "[fd00:1::2]:2")
            .fragment(0x2000)
            .payload(&[0; 64]),
        Frame::ip("fd00::2", "fd00:1::2", 59),
    ] {
        let bytes = frame.build();
        let sent = bench.run(C, &[&bytes]);
        assert_eq!(sent.len(), 1, "{:?}", bench.counters().dropped);
        let layers = Layers::parse_lax(&sent[0].bytes, bytes.len());
        assert!(!layers.is_ipv4() || ipv4_checksum_ok(&sent[0].bytes, &layers));
        assert_eq!(sent[0].bytes[34..], bytes[34..]);
    }
    bench.assert_conserved();
}

#[test]
fn shared_packets_are_copied_and_segments_stay_together() {
    let mut bench = with_hosts();
    let bytes = Frame::udp("10.0.0.2:1", "10.0.1.2:2")
        .payload_len(1400)
        .build();
    let packet = Packet::from_bytes(bench.pool(), &bytes).expect("a packet");
    let shared = packet.share(bench.pool()).expect("a packet");
    let sent = bench.run_packets(0, C, vec![shared]);
    assert_eq!(sent[0].bytes[42..], bytes[42..]);
    assert_eq!(
        packet.data(),
        bytes,
        "the other owner's bytes are untouched"
    );
    drop(packet);
    let mut options = BenchOptions::default();
    options.ports.iter_mut().for_each(|port| port.mtu = 9000);
    let mut jumbo = StageBench::with(
        &RouteKind,
        config(json!({ "neighbours": hosts() })),
        options,
    );
    let bytes = Frame::udp("10.0.0.2:1", "10.0.1.2:2")
        .payload_len(8900)
        .build();
    let sent = jumbo.run(C, &[&bytes]);
    assert_eq!(sent[0].bytes[42..], bytes[42..]);
    jumbo.assert_conserved();
    bench.assert_conserved();
}

#[test]
fn a_bump_in_the_wire_touches_nothing() {
    let mut bench = StageBench::new(&RouteKind, json!({ "mode": "wire" }));
    let mut given = 0;
    for port in [C, S] {
        for frame in hostile::truncated(port).chain(hostile::samples(port)) {
            let sent = bench.run(port, &[&frame]);
            assert_eq!((sent.len(), sent[0].port), (1, 1 - port));
            assert_eq!(sent[0].bytes, frame);
            given += 1;
        }
    }
    let counters = bench.counters();
    assert_eq!(counters.forward.iter().sum::<u64>(), given);
    assert_eq!(counters.dropped.sum(), 0);
    bench.assert_conserved();
}

#[test]
fn hostile_frames_are_counted_and_never_lost() {
    let mut bench = with_hosts();
    let (mut left, mut given) = (0, 0);
    for port in [C, S] {
        for frame in hostile::truncated(port).chain(hostile::mutated(port, 5, 30_000)) {
            left += bench.run(port, &[&frame]).len() as u64;
            given += 1;
            if given % 1000 == 0 {
                left += bench.advance(MS).len() as u64;
            }
        }
    }
    left += bench.advance(20 * SECOND).len() as u64;
    let counters = bench.counters();
    assert_eq!(counters.input.iter().sum::<u64>(), given);
    assert_eq!(counters.held(), 0, "nothing waits for ever");
    assert_eq!(
        given + counters.originated.iter().sum::<u64>(),
        counters.dropped.sum() + left
    );
    assert_eq!(
        counters.dropped.get("other"),
        0,
        "every drop has its reason"
    );
    for reason in [
        "truncated",
        "bad_checksum",
        "vlan",
        "unknown_ethertype",
        "ttl_exceeded",
        "bad_version",
        "no_route",
        "fragmented",
    ] {
        assert!(
            counters.dropped.get(reason) > 0,
            "{reason}: {:?}",
            counters.dropped
        );
    }
    bench.assert_conserved();
}

#[test]
fn a_trace_says_where_a_packet_went() {
    let mut bench = with_hosts();
    let session = bench.trace(2);
    bench.run(
        C,
        &[
            Frame::udp("10.0.0.2:1", "10.0.1.2:2").build(),
            Frame::udp("10.0.0.2:1", "10.9.9.9:2").build(),
        ],
    );
    let lines = notes(&session);
    assert!(
        lines
            .iter()
            .any(|line| line == "routed port=1 neighbour=10.0.1.2 mac=02:00:00:00:01:01"),
        "{lines:?}"
    );
    assert!(
        lines.iter().any(|line| line == "dropped no_route"),
        "{lines:?}"
    );
    bench.assert_conserved();
}
