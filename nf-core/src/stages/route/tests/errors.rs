//! Packets that end here, each for its reason, and what their senders are told.

use super::*;
use crate::packet::Packet;
use crate::testing::BenchOptions;
use crate::wire::{Verdict, check_transport_checksum, icmp, icmpv6, ipv4_checksum_ok};

/// Type and code of the ICMP message, and the rest of its header.
fn message(frame: &[u8]) -> (u8, u8, u32) {
    let layers = Layers::parse(frame).expect("well-formed");
    let found = match layers.is_ipv4() {
        true => {
            assert!(ipv4_checksum_ok(frame, &layers));
            layers
                .icmp(frame)
                .map(|icmp| (icmp.kind(), icmp.code(), icmp.rest()))
        }
        false => layers
            .icmpv6(frame)
            .map(|icmp| (icmp.kind(), icmp.code(), icmp.rest())),
    };
    assert_eq!(check_transport_checksum(frame, &layers), Verdict::Good);
    found.expect("an ICMP message")
}

/// The one packet that the sender gets back.
fn told(bench: &mut StageBench, frame: &[u8]) -> Vec<u8> {
    let mut sent = bench.run(C, &[frame]);
    assert_eq!(sent.len(), 1, "{:?}", bench.counters().dropped);
    let sent = sent.remove(0);
    assert_eq!(
        (sent.port, macs(&sent.bytes)),
        (C, (Frame::port_mac(C), Frame::host_mac(C)))
    );
    sent.bytes
}

#[test]
fn senders_are_told_what_went_wrong() {
    let mut bench = with_hosts();
    for (frame, expected, reason) in [
        (
            Frame::udp("10.0.0.2:1", "10.0.1.2:2").ttl(1),
            (icmp::kind::TIME_EXCEEDED, 0, 0),
            "ttl_exceeded",
        ),
        (
            Frame::udp("10.0.0.2:1", "10.0.1.2:2").ttl(0),
            (icmp::kind::TIME_EXCEEDED, 0, 0),
            "ttl_exceeded",
        ),
        (
            Frame::udp("10.0.0.2:1", "9.9.9.9:2"),
            (icmp::kind::UNREACHABLE, 0, 0),
            "no_route",
        ),
        (
            Frame::udp("10.0.0.2:1", "10.0.0.1:2"),
            (icmp::kind::UNREACHABLE, 3, 0),
            "no_service",
        ),
        (
            Frame::tcp("10.0.0.2:1", "10.0.1.1:2"),
            (icmp::kind::UNREACHABLE, 3, 0),
            "no_service",
        ),
        (
            Frame::ip("10.0.0.2", "10.0.0.1", 47),
            (icmp::kind::UNREACHABLE, 2, 0),
            "no_service",
        ),
        (
            Frame::udp("10.0.0.2:1", "10.0.1.2:2")
                .fragment(0x4000)
                .payload_len(1600),
            (icmp::kind::UNREACHABLE, 4, 1500),
            "too_big",
        ),
        (
            Frame::udp("[fd00::2]:1", "[fd00:1::2]:2").ttl(1),
            (icmpv6::kind::TIME_EXCEEDED, 0, 0),
            "ttl_exceeded",
        ),
        (
            Frame::udp("[fd00::2]:1", "[2001::2]:2"),
            (icmpv6::kind::UNREACHABLE, 0, 0),
            "no_route",
        ),
        (
            Frame::udp("[fd00::2]:1", "[fd00::1]:2"),
            (icmpv6::kind::UNREACHABLE, 4, 0),
            "no_service",
        ),
        (
            Frame::udp("[fd00::2]:1", "[fd00:1::2]:2").payload_len(1600),
            (icmpv6::kind::PACKET_TOO_BIG, 0, 1500),
            "too_big",
        ),
        (
            Frame::udp("[fe80::2]:1", "[fd00:1::2]:2"),
            (icmpv6::kind::UNREACHABLE, 2, 0),
            "link_local",
        ),
    ] {
        let before = bench.dropped(reason);
        let bytes = frame.build();
        let error = told(&mut bench, &bytes);
        assert_eq!(
            (message(&error), bench.dropped(reason)),
            (expected, before + 1),
            "{frame:?}"
        );
        let from = match error[12] {
            0x08 => ipv4(&error).source().to_string(),
            _ => ipv6(&error).source().to_string(),
        };
        assert!(
            ["10.0.0.1", "fd00::1"].contains(&from.as_str()),
            "from the port's own address: {from}"
        );
    }
    bench.assert_conserved();
}

#[test]
fn nobody_is_told_of_errors_groups_and_later_fragments() {
    let mut bench = with_hosts();
    let mut unreachable = Frame::ping("10.0.0.2", "10.9.9.9").build();
    unreachable[34] = icmp::kind::UNREACHABLE;
    dropped_for(
        &mut bench,
        C,
        &[
            ("no_route", unreachable),
            (
                "no_route",
                Frame::udp("10.0.0.2:1", "10.9.9.9:2")
                    .fragment(8)
                    .payload(&[0; 32])
                    .build(),
            ),
            (
                "ttl_exceeded",
                Frame::udp("10.0.0.2:1", "10.0.1.2:2")
                    .ttl(1)
                    .fragment(8)
                    .payload(&[0; 32])
                    .build(),
            ),
        ],
    );
    bench.assert_conserved();
}

#[test]
fn icmp_errors_are_limited() {
    let mut bench = router(json!({ "limits": { "icmp_per_second": 100 } }));
    let frame = Frame::udp("10.0.0.2:1", "10.0.1.2:2").ttl(1).build();
    let mut sent = 0;
    for _ in 0..1000 {
        sent += bench.run(C, &[&frame; 10]).len();
        bench.advance(MS);
    }
    assert!((100..=120).contains(&sent), "{sent} in a second");
    assert_eq!(bench.counter("icmp_errors"), sent as u64);
    assert_eq!(bench.counter("icmp_limited"), 10_000 - sent as u64);
    assert_eq!(bench.dropped("ttl_exceeded"), 10_000);
    bench.assert_conserved();
}

#[test]
fn every_reason_has_its_packet() {
    let mut bench = with_hosts();
    let udp = || Frame::udp("10.0.0.2:1", "10.0.1.2:2");
    let udp6 = || Frame::udp("[fd00::2]:1", "[fd00:1::2]:2");
    let edit = |frame: Frame, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = frame.build();
        change(&mut bytes);
        bytes
    };
    let group = MacAddr([1, 0, 0x5e, 0, 0, 1]);
    dropped_for(
        &mut bench,
        C,
        &[
            (
                "not_for_us",
                udp()
                    .macs(Frame::host_mac(C), MacAddr([2, 9, 9, 9, 9, 9]))
                    .build(),
            ),
            (
                "not_for_us",
                udp().macs(Frame::host_mac(C), Frame::port_mac(S)).build(),
            ),
            (
                "link_broadcast",
                udp().macs(Frame::host_mac(C), MacAddr::BROADCAST).build(),
            ),
            (
                "link_broadcast",
                udp6().macs(Frame::host_mac(C), group).build(),
            ),
            ("vlan", udp().vlan(5).build()),
            ("vlan", udp().vlan(5).vlan(6).build()),
            ("unknown_ethertype", edit(udp(), &|frame| frame[12] = 0x88)),
            ("truncated", edit(udp(), &|frame| frame.truncate(30))),
            (
                "truncated",
                edit(udp().payload(&[0; 40]), &|frame| frame.truncate(50)),
            ),
            ("truncated", edit(udp6(), &|frame| frame.truncate(55))),
            ("truncated", vec![0; 10]),
            ("truncated", Vec::new()),
            ("bad_version", edit(udp(), &|frame| frame[14] = 0x65)),
            ("bad_version", edit(udp6(), &|frame| frame[14] = 0x45)),
            ("bad_header_length", edit(udp(), &|frame| frame[14] = 0x44)),
            ("bad_total_length", edit(udp(), &|frame| frame[17] = 19)),
            ("bad_checksum", edit(udp(), &|frame| frame[24] ^= 1)),
            (
                "bad_checksum",
                edit(Frame::ping("10.0.0.2", "10.0.0.1"), &|frame| frame[36] ^= 1),
            ),
            (
                "bad_checksum",
                edit(Frame::ping("fd00::2", "fd00::1"), &|frame| frame[56] ^= 1),
            ),
            (
                "martian_source",
                Frame::udp("127.0.0.1:1", "10.0.1.2:2").build(),
            ),
            (
                "martian_source",
                Frame::udp("0.0.0.0:68", "10.0.1.2:67").build(),
            ),
            (
                "martian_source",
                Frame::udp("224.0.0.1:1", "10.0.1.2:2").build(),
            ),
            (
                "martian_source",
                Frame::udp("255.255.255.255:1", "10.0.1.2:2").build(),
            ),
            (
                "martian_source",
                Frame::udp("10.0.1.1:1", "10.0.0.1:2").build(),
            ),
            (
                "martian_source",
                Frame::udp("[::1]:1", "[fd00:1::2]:2").build(),
            ),
            (
                "martian_source",
                Frame::udp("[::]:1", "[fd00:1::2]:2").build(),
            ),
            (
                "martian_source",
                Frame::udp("[ff02::1]:1", "[fd00:1::2]:2").build(),
            ),
            (
                "martian_source",
                Frame::udp("[::ffff:10.0.0.2]:1", "[fd00:1::2]:2").build(),
            ),
            (
                "martian_destination",
                Frame::udp("10.0.0.2:1", "127.0.0.1:2").build(),
            ),
            (
                "martian_destination",
                Frame::udp("10.0.0.2:1", "0.1.2.3:2").build(),
            ),
            (
                "martian_destination",
                Frame::udp("10.0.0.2:1", "240.0.0.1:2").build(),
            ),
            (
                "martian_destination",
                Frame::udp("[fd00::2]:1", "[::1]:2").build(),
            ),
            (
                "martian_destination",
                Frame::udp("[fd00::2]:1", "[::ffff:1.2.3.4]:2").build(),
            ),
            (
                "link_local",
                Frame::udp("[fe80::2]:1", "[fe80::3]:2").build(),
            ),
            (
                "multicast",
                Frame::udp("10.0.0.2:1", "224.0.0.251:5353")
                    .macs(Frame::host_mac(C), group)
                    .build(),
            ),
            (
                "broadcast",
                Frame::udp("10.0.0.2:1", "255.255.255.255:67")
                    .macs(Frame::host_mac(C), MacAddr::BROADCAST)
                    .build(),
            ),
            (
                "broadcast",
                Frame::udp("10.0.0.2:1", "10.0.1.255:7").build(),
            ),
            ("broadcast", Frame::udp("10.0.0.2:1", "10.0.1.0:7").build()),
            (
                "consumed",
                edit(Frame::ping("10.0.0.2", "10.0.0.1"), &|frame| {
                    frame[34] = 0;
                    frame[36] = frame[36].wrapping_add(8);
                }),
            ),
            (
                "no_service",
                Frame::ping("10.0.0.2", "10.0.0.1")
                    .fragment(0x2000)
                    .payload(&[0; 64])
                    .build(),
            ),
        ],
    );
    bench.assert_conserved();
}

#[test]
fn echo_requests_to_own_addresses_are_answered() {
    let mut bench = with_hosts();
    for (from, to) in [
        ("10.0.0.2", "10.0.0.1"),
        ("10.0.0.2", "10.0.1.1"),
        ("fd00::2", "fd00::1"),
        ("fd00::2", "fd00:1::1"),
        ("fe80::2", "fe80::ff:fe00:0"),
    ] {
        for length in [0, 1, 56, 1400] {
            let bytes = Frame::ping(from, to).payload_len(length).build();
            let reply = told(&mut bench, &bytes);
            let (kind, code, rest) = message(&reply);
            assert_eq!((code, rest), (0, 0x1234_0001));
            assert!(kind == icmp::kind::ECHO_REPLY || kind == icmpv6::kind::ECHO_REPLY);
            assert_eq!(reply[reply.len() - length..], bytes[bytes.len() - length..]);
            let source = match kind {
                0 => ipv4(&reply).source().to_string(),
                _ => ipv6(&reply).source().to_string(),
            };
            assert_eq!(source, to);
        }
    }
    assert_eq!(bench.counter("echo_replies"), 20);
    bench.assert_conserved();
    let mut options = BenchOptions::default();
    options.ports.iter_mut().for_each(|port| port.mtu = 9000);
    let mut jumbo = StageBench::with(&RouteKind, config(json!({})), options);
    let bytes = Frame::ping("10.0.0.2", "10.0.0.1")
        .payload_len(8000)
        .build();
    assert_eq!(
        message(&told(&mut jumbo, &bytes)).0,
        icmp::kind::ECHO_REPLY,
        "over several segments"
    );
    jumbo.assert_conserved();
}

#[test]
fn long_packets_are_fragmented_and_nothing_of_them_is_missing() {
    let mut options = BenchOptions::default();
    options.ports[1].mtu = 576;
    let mut bench = StageBench::with(
        &RouteKind,
        config(json!({ "neighbours": hosts() })),
        options,
    );
    for (length, options, offset) in [
        (600usize, &[][..], 0u16),
        (1400, &[7, 7, 4, 0, 0, 0, 0, 0x83, 3, 4][..], 0),
        (1400, &[][..], 0x2000),
        (1408, &[][..], 100),
    ] {
        let frame = Frame::udp("10.0.0.2:1", "10.0.1.2:2")
            .payload_len(length)
            .options(options)
            .fragment(offset)
            .identification(77);
        let bytes = frame.build();
        let header = ipv4(&bytes);
        let (header_len, first_offset, more) = (
            header.header_len(),
            header.fragment_offset(),
            header.more_fragments(),
        );
        let data = &bytes[14 + header_len..];
        let sent = bench.run(C, &[&bytes]);
        assert!(sent.len() > 1);
        let mut joined = Vec::new();
        for (n, fragment) in sent.iter().enumerate() {
            let layers = Layers::parse(&fragment.bytes).expect("well-formed");
            assert!(ipv4_checksum_ok(&fragment.bytes, &layers));
            let own = ipv4(&fragment.bytes);
            assert!(
                usize::from(own.total_len()) <= 576
                    && own.ttl() == 63
                    && own.identification() == 77
            );
            assert_eq!(own.fragment_offset(), first_offset + joined.len());
            assert_eq!(own.more_fragments(), more || n + 1 < sent.len());
            let own_options = &fragment.bytes[34..14 + header_len];
            match n {
                0 => assert_eq!(own_options, &bytes[34..14 + header_len]),
                _ if !options.is_empty() => {
                    assert_eq!(own_options[..10], [1, 1, 1, 1, 1, 1, 1, 0x83, 3, 4])
                }
                _ => {}
            }
            joined.extend_from_slice(&fragment.bytes[14 + header_len..]);
        }
        assert_eq!(joined, data);
    }
    assert_eq!(bench.dropped("fragmented"), 4);
    bench.assert_conserved();
}

#[test]
fn an_exhausted_pool_loses_single_packets_with_a_reason_and_recovers() {
    let options = BenchOptions {
        packets: 255,
        ..BenchOptions::default()
    };
    let mut bench = StageBench::with(
        &RouteKind,
        config(json!({ "neighbours": hosts() })),
        options,
    );
    let frame = Frame::udp("10.0.0.2:1", "10.0.1.2:2").payload(b"x").build();
    let original = Packet::from_bytes(bench.pool(), &frame).expect("a packet");
    let shared = original.share(bench.pool()).expect("a packet");
    let long = Frame::udp("10.0.0.2:1", "10.0.1.2:2")
        .payload_len(1800)
        .build();
    let long = Packet::from_bytes(bench.pool(), &long).expect("a packet");
    let expired = Packet::from_bytes(
        bench.pool(),
        &Frame::udp("10.0.0.2:1", "10.0.1.2:2").ttl(1).build(),
    )
    .expect("a packet");
    let unknown = Packet::from_bytes(
        bench.pool(),
        &Frame::udp("10.0.0.2:1", "10.0.1.77:2").build(),
    )
    .expect("a packet");
    let hoard: Vec<Packet> = std::iter::from_fn(|| Packet::alloc(bench.pool())).collect();
    bench.run_packets(0, C, vec![shared, long, expired, unknown]);
    assert_eq!(bench.dropped("ttl_exceeded"), 1);
    assert!(
        bench.dropped("no_buffer") >= 1,
        "{:?}",
        bench.counters().dropped
    );
    drop((hoard, original));
    assert_eq!(bench.run(C, &[&frame]).len(), 1);
    bench.advance(10 * SECOND);
    bench.assert_conserved();
}

#[test]
fn a_checksum_that_was_left_to_the_port_is_computed_before_a_packet_is_cut() {
    let mut options = BenchOptions::default();
    for port in &mut options.ports {
        port.tx_checksums = Some(crate::dpdk::TxChecksums::ALL);
        port.mtu = 576;
    }
    let mut bench = StageBench::with(
        &RouteKind,
        config(json!({ "neighbours": hosts() })),
        options,
    );
    let frame = Frame::udp("10.0.0.2:1", "10.0.1.2:2")
        .payload_len(1000)
        .build();
    let whole = bench.run(C, &[&frame]);
    let mut packet = Packet::from_bytes(bench.pool(), &frame).unwrap();
    assert!(packet.leave_udp_checksum(14, 20));
    let left = bench.run_packets(0, C, vec![packet]);
    assert_eq!(whole.len(), 2);
    assert_eq!(left, whole);
    bench.assert_conserved();
}
