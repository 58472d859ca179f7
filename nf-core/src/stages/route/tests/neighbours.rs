//! ARP and neighbor discovery: answering, asking, waiting, and storms.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::testing::BenchOptions;

fn arp_request(mac: MacAddr, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut out = vec![0; 60];
    arp::write_request(
        &mut out,
        MacAddr::BROADCAST,
        mac,
        sender.into(),
        target.into(),
    )
    .expect("room");
    out
}

fn solicit(mac: MacAddr, source: &str, target: &str) -> Vec<u8> {
    let mut out = vec![0; 86];
    let (source, target): (Ipv6Addr, Ipv6Addr) = (
        source.parse().expect("an address"),
        target.parse().expect("an address"),
    );
    let length = neighbor::write_solicit(&mut out, None, mac, source, target).expect("room");
    out.truncate(length);
    out
}

#[test]
fn arp_is_answered_for_own_addresses_on_their_port_only() {
    let mut bench = router(json!({}));
    let asker = Frame::host_mac(C);
    let sent = bench.run(C, &[arp_request(asker, [10, 0, 0, 2], [10, 0, 0, 1])]);
    assert_eq!((sent.len(), sent[0].port, sent[0].bytes.len()), (1, C, 60));
    let reply = Layers::parse(&sent[0].bytes).expect("well-formed");
    let reply = reply.arp(&sent[0].bytes).expect("ARP");
    assert_eq!(
        (reply.operation(), reply.sender_mac(), reply.target_mac()),
        (arp::REPLY, Frame::port_mac(C), asker)
    );
    assert_eq!(
        (reply.sender_ip(), reply.target_ip()),
        (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2))
    );
    assert_eq!(macs(&sent[0].bytes), (Frame::port_mac(C), asker));
    dropped_for(
        &mut bench,
        C,
        &[
            (
                "not_our_address",
                arp_request(asker, [10, 0, 0, 2], [10, 0, 0, 3]),
            ),
            (
                "not_our_address",
                arp_request(asker, [10, 0, 0, 2], [10, 0, 1, 1]),
            ),
            (
                "bad_arp",
                arp_request(MacAddr::BROADCAST, [10, 0, 0, 2], [10, 0, 0, 1]),
            ),
            ("consumed", arp_request(asker, [10, 0, 0, 1], [10, 0, 0, 1])),
        ],
    );
    assert_eq!(bench.counter("address_conflicts"), 1);
    // A probe before an address is used (RFC 5227) is answered, and nobody is remembered for it.
    assert_eq!(
        bench
            .run(C, &[arp_request(asker, [0; 4], [10, 0, 0, 1])])
            .len(),
        1
    );
    // Who asked is known now: a packet to it needs no request.
    let sent = bench.run(S, &[Frame::udp("10.0.1.9:1", "10.0.0.2:2").at(S).build()]);
    assert_eq!((sent.len(), macs(&sent[0].bytes).1), (1, asker));
    assert_eq!(
        (
            bench.counter("arp_replies"),
            bench.counter("neighbours_learned")
        ),
        (2, 1)
    );
    bench.assert_conserved();
}

#[test]
fn solicitations_are_answered_for_own_addresses() {
    let mut bench = router(json!({}));
    let asker = Frame::host_mac(C);
    let link_local = "fe80::ff:fe00:0";
    for (source, target) in [
        ("fd00::2", "fd00::1"),
        ("fe80::2", link_local),
        ("fe80::2", "fd00::1"),
    ] {
        let sent = bench.run(C, &[solicit(asker, source, target)]);
        assert_eq!(
            (sent.len(), sent[0].port),
            (1, C),
            "{source} {target}: {:?}",
            bench.counters().dropped
        );
        let layers = Layers::parse(&sent[0].bytes).expect("well-formed");
        let Some(neighbor::Message::Advert {
            target: said,
            link,
            router,
            solicited,
            ..
        }) = neighbor::parse(&sent[0].bytes, &layers)
        else {
            panic!("an advertisement");
        };
        assert_eq!(
            (said.to_string(), link, router, solicited),
            (target.into(), Some(Frame::port_mac(C)), true, true)
        );
        assert_eq!(ipv6(&sent[0].bytes).destination().to_string(), source);
    }
    // Duplicate address detection is answered to all nodes (RFC 4861, section 7.2.4).
    let sent = bench.run(C, &[solicit(asker, "::", "fd00::1")]);
    assert_eq!(ipv6(&sent[0].bytes).destination(), neighbor::ALL_NODES);
    let mut wrong_hops = solicit(asker, "fd00::2", "fd00::1");
    wrong_hops[21] = 254;
    dropped_for(
        &mut bench,
        C,
        &[
            ("not_our_address", solicit(asker, "fd00::2", "fd00::3")),
            ("not_our_address", solicit(asker, "fd00::2", "fd00:1::1")),
            ("bad_nd", wrong_hops),
            (
                "multicast",
                Frame::udp("[fd00::2]:1", "[ff02::1]:2")
                    .macs(asker, MacAddr([0x33, 0x33, 0, 0, 0, 1]))
                    .build(),
            ),
        ],
    );
    bench.assert_conserved();
}

#[test]
fn a_next_hop_is_asked_for_and_packets_wait_for_it_in_order() {
    for (from, to) in [
        ("10.0.0.2:7", "10.0.1.9:8"),
        ("[fd00::2]:7", "[fd00:1::9]:8"),
    ] {
        let mut bench = router(json!({}));
        let frames: Vec<_> = (0..3u8)
            .map(|n| Frame::udp(from, to).payload(&[n; 20]).build())
            .collect();
        let asked = bench.run(C, &frames);
        assert_eq!((asked.len(), asked[0].port), (1, S), "one request");
        assert_eq!(bench.counters().held(), 3);
        let station = MacAddr([2, 9, 9, 9, 9, 9]);
        let answer = answer_of(&asked[0], station).expect("a request");
        let sent = bench.run(S, &[&answer]);
        let payloads: Vec<u8> = sent
            .iter()
            .map(|sent| sent.bytes[sent.bytes.len() - 1])
            .collect();
        assert_eq!(payloads, [0, 1, 2]);
        assert!(
            sent.iter()
                .all(|sent| sent.port == S && macs(&sent.bytes).1 == station)
        );
        assert_eq!(
            bench.run(C, &frames).len(),
            3,
            "from now on without waiting"
        );
        assert_eq!(
            (bench.counter("requests"), bench.counter("forwarded")),
            (1, 6)
        );
        bench.assert_conserved();
    }
}

#[test]
fn an_answer_that_another_core_hears_is_acted_on_within_two_milliseconds() {
    let options = BenchOptions {
        cores: 3,
        ..BenchOptions::default()
    };
    let mut bench = StageBench::with(&RouteKind, config(json!({})), options);
    let frame = Frame::udp("10.0.0.2:7", "10.0.1.9:8").build();
    let asked = bench.run_on(1, C, &[&frame]);
    assert!(
        bench.run_on(2, C, &[&frame]).is_empty(),
        "one core asks for all"
    );
    assert_eq!(asked.len(), 1);
    let answer = answer_of(&asked[0], Frame::host_mac(S)).expect("a request");
    assert!(bench.run_on(0, S, &[&answer]).is_empty());
    let mut sent = bench.advance(2 * MS);
    sent.sort_by_key(|sent| sent.core);
    assert_eq!(
        sent.iter()
            .map(|sent| (sent.core, sent.port))
            .collect::<Vec<_>>(),
        [(1, S), (2, S)]
    );
    bench.assert_conserved();
}

#[test]
fn who_does_not_answer_is_unreachable_and_the_sender_is_told() {
    for (from, to, back) in [
        ("10.0.0.2:7", "10.0.1.9:8", "10.0.0.2"),
        ("[fd00::2]:7", "[fd00:1::9]:8", "fd00::2"),
    ] {
        let mut bench = with_hosts();
        let frame = Frame::udp(from, to).payload(b"data").build();
        assert_eq!(bench.run(C, &[&frame, &frame]).len(), 1);
        let asked = bench.advance(2900 * MS);
        assert_eq!(asked.len(), 2, "again after one second and two");
        assert!(
            asked
                .iter()
                .all(|sent| sent.port == S && answer_of(sent, Frame::host_mac(S)).is_some())
        );
        let told = bench.advance(200 * MS);
        assert_eq!(told.len(), 2);
        for sent in &told {
            assert_eq!(sent.port, C);
            let layers = Layers::parse(&sent.bytes).expect("well-formed");
            let kind = match layers.is_ipv4() {
                true => {
                    assert_eq!(ipv4(&sent.bytes).destination().to_string(), back);
                    layers
                        .icmp(&sent.bytes)
                        .map(|icmp| (icmp.kind(), icmp.code()))
                }
                false => {
                    assert_eq!(ipv6(&sent.bytes).destination().to_string(), back);
                    layers
                        .icmpv6(&sent.bytes)
                        .map(|icmp| (icmp.kind(), icmp.code()))
                }
            };
            assert_eq!(kind, Some(if layers.is_ipv4() { (3, 1) } else { (1, 3) }));
        }
        assert_eq!(
            (bench.dropped("unresolved"), bench.counters().held()),
            (2, 0)
        );
        assert_eq!(
            bench.run(C, &[&frame]).len(),
            1,
            "told at once while it counts as unreachable"
        );
        assert_eq!(bench.dropped("unresolved"), 3);
        bench.advance(3 * SECOND);
        let asked = bench.run(C, &[&frame]);
        assert_eq!(
            (asked.len(), asked[0].port),
            (1, S),
            "then it is asked for again"
        );
        bench.advance(10 * SECOND);
        bench.assert_conserved();
    }
}

#[test]
fn a_live_neighbour_never_black_holes() {
    let mut bench = router(json!({ "timers": { "refresh_s": 5, "forget_s": 20 } }));
    for (from, to) in [
        ("10.0.0.2:7", "10.0.1.9:8"),
        ("[fd00::2]:7", "[fd00:1::9]:8"),
    ] {
        let frame = Frame::udp(from, to).payload(b"data").build();
        let asked = bench.run(C, &[&frame]);
        let answer = answer_of(&asked[0], Frame::host_mac(S)).expect("a request");
        assert_eq!(bench.run(S, &[&answer]).len(), 1);
        let mut requests = 0;
        for tenth in 0..3000 {
            let sent = bench.run(C, &[&frame]);
            assert_eq!(
                sent.iter()
                    .filter(|sent| sent.bytes.len() == frame.len())
                    .count(),
                1,
                "after {tenth} tenths of a second"
            );
            for asked in sent
                .iter()
                .filter_map(|sent| answer_of(sent, Frame::host_mac(S)).map(|answer| (sent, answer)))
            {
                assert_eq!(
                    macs(&asked.0.bytes).1,
                    Frame::host_mac(S),
                    "asked by itself, not all"
                );
                requests += 1;
                // The host is slow, and the first answer is lost.
                if requests % 2 == 0 {
                    bench.advance(30 * MS);
                    bench.run(S, &[&asked.1]);
                }
            }
            bench.advance(100 * MS);
        }
        assert!(
            (80..=130).contains(&requests),
            "{requests} requests in 300 s"
        );
        assert_eq!(
            (bench.dropped("unresolved"), bench.counters().held()),
            (0, 0)
        );
    }
    bench.assert_conserved();
}

#[test]
fn a_neighbour_that_moved_is_followed() {
    let mut bench = router(json!({}));
    let frame = Frame::udp("10.0.0.2:7", "10.0.1.9:8").build();
    bench.run(C, &[&frame]);
    let (old, new) = (MacAddr([2, 1, 1, 1, 1, 1]), MacAddr([2, 2, 2, 2, 2, 2]));
    let announce = |mac| arp_request(mac, [10, 0, 1, 9], [10, 0, 1, 9]);
    assert_eq!(
        bench.run(S, &[announce(old)]).len(),
        1,
        "an announcement is an answer too"
    );
    bench.run(S, &[announce(new)]);
    assert_eq!(macs(&bench.run(C, &[&frame])[0].bytes).1, new);
    // Nobody is remembered who only announces itself, or is elsewhere.
    bench.run(
        S,
        &[
            arp_request(new, [10, 0, 1, 77], [10, 0, 1, 77]),
            arp_request(new, [10, 7, 7, 7], [10, 0, 1, 1]),
        ],
    );
    assert_eq!(bench.counter("neighbours_learned"), 1);
    bench.assert_conserved();
}

#[test]
fn packets_held_are_limited_and_the_latest_are_kept() {
    let mut bench = router(
        json!({ "limits": { "held_per_neighbour": 4, "held_packets": 10, "requests_per_second": 1000 } }),
    );
    let frame = |host: u8, n: u8| {
        Frame::udp("10.0.0.2:7", &format!("10.0.1.{host}:8"))
            .payload(&[n; 20])
            .build()
    };
    let frames: Vec<_> = (0..6).map(|n| frame(9, n)).collect();
    let asked = bench.run(C, &frames);
    assert_eq!(
        (bench.counters().held(), bench.dropped("resolve_limit")),
        (4, 2)
    );
    bench.run(C, &(10..40).map(|host| frame(host, 0)).collect::<Vec<_>>());
    assert_eq!(bench.counters().held(), 10, "no more in all");
    let sent = bench.run(
        S,
        &[answer_of(&asked[0], Frame::host_mac(S)).expect("a request")],
    );
    let payloads: Vec<u8> = sent
        .iter()
        .map(|sent| sent.bytes[sent.bytes.len() - 1])
        .collect();
    assert_eq!(payloads, [2, 3, 4, 5]);
    bench.assert_conserved();
}

#[test]
fn a_scan_of_unknown_hosts_is_bounded_and_disturbs_nobody() {
    let mut bench = with_hosts();
    let frame = Frame::udp("10.0.0.2:7", "10.0.1.9:8").build();
    let asked = bench.run(C, &[&frame]);
    bench.run(
        S,
        &[answer_of(&asked[0], Frame::host_mac(S)).expect("a request")],
    );
    let before = bench.counter("requests");
    let mut requests = 0;
    for burst in 0..1000u32 {
        let scan: Vec<_> = (0..60u32)
            .map(|n| {
                let host = burst * 60 + n;
                match n % 2 {
                    0 => Frame::udp("10.0.0.2:7", &format!("10.0.1.{}:8", host % 250 + 3)).build(),
                    _ => Frame::udp(
                        "[fd00::2]:7",
                        &format!("[fd00:1::{:x}:{:x}]:8", host >> 8, host & 0xff),
                    )
                    .build(),
                }
            })
            .collect();
        bench.run(C, &scan);
        requests += bench
            .run(C, &[&frame])
            .iter()
            .filter(|sent| sent.bytes.len() != frame.len())
            .count();
        bench.advance(2 * MS);
    }
    assert_eq!(requests, 0, "who is known is sent to without a request");
    let sent = bench.counter("requests") - before;
    assert!(sent <= 200 * 2 + 20, "{sent} requests in two seconds");
    assert!(bench.counters().held() <= 512);
    assert!(bench.dropped("resolve_limit") > 10_000);
    let known = bench.command("neighbours", Value::Null).expect("a list");
    assert!(known.as_array().expect("a list").len() <= 2048);
    bench.advance(30 * SECOND);
    assert_eq!(bench.counters().held(), 0);
    let known = bench.command("neighbours", Value::Null).expect("a list");
    assert_eq!(
        known.as_array().expect("a list").len(),
        5,
        "those without an answer are forgotten"
    );
    bench.assert_conserved();
}

#[test]
fn an_arp_storm_is_answered_and_exhausts_nothing() {
    let mut bench = with_hosts();
    let storm: Vec<_> = (0..20_000u32)
        .map(|n| {
            let [_, b, c, d] = n.to_be_bytes();
            let target = if n % 3 == 0 {
                [10, 0, 0, 1]
            } else {
                [10, 0, 0, d]
            };
            arp_request(MacAddr([2, 7, b, c, d, 1]), [10, 0, 0, 3 + d % 250], target)
        })
        .collect();
    let sent = bench.run(C, &storm);
    let counters = bench.counters();
    assert_eq!(sent.len() as u64, counters.custom.get("arp_replies"));
    assert_eq!(counters.back[0] + counters.dropped.sum(), 20_000);
    let sent = bench.run(S, &[Frame::udp("10.0.1.2:1", "10.0.0.2:2").at(S).build()]);
    assert_eq!(macs(&sent[0].bytes).1, Frame::host_mac(C));
    bench.assert_conserved();
}

#[test]
fn own_addresses_are_announced_at_start_and_when_a_port_changes() {
    let mut bench = router(json!({ "announce": true }));
    // Two IPv4, two IPv6 and two link-local addresses, before any packet.
    let announced = bench.sent_at_start();
    assert_eq!(announced.len(), 6, "{announced:?}");
    assert!(bench.advance(SECOND).is_empty(), "once");
    let mut ports = BenchOptions::default().ports;
    ports[1].mac = [2, 5, 5, 5, 5, 5];
    bench.set_ports(ports);
    let announced = bench.advance(SECOND);
    assert_eq!(announced.len(), 6);
    let at_servers = announced.iter().filter(|sent| sent.port == S);
    assert!(
        at_servers
            .clone()
            .all(|sent| macs(&sent.bytes).0 == MacAddr([2, 5, 5, 5, 5, 5]))
    );
    bench.assert_conserved();
}

#[test]
fn own_addresses_are_not_announced_on_a_link_that_is_down() {
    let mut options = BenchOptions::default();
    options.ports[1].up = false;
    let mut bench = StageBench::with(&RouteKind, config(json!({ "announce": true })), options);
    let announced = bench.sent_at_start();
    assert_eq!(announced.len(), 3);
    assert!(announced.iter().all(|sent| sent.port == C));
    bench.set_ports(BenchOptions::default().ports);
    let announced = bench.advance(SECOND);
    assert!(announced.iter().any(|sent| sent.port == S), "now it is up");
    bench.assert_conserved();
}
