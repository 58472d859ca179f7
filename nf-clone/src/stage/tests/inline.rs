//! Mode `inline`: a bump in the wire that answers for the VIP and finds the servers itself.

use nf_core::wire::{arp, icmpv6, neighbor};
use serde_json::json;

use super::*;

fn unresolved(n: u16, more: Value) -> StageBench {
    let config = settings(n, merged(json!({ "mode": "inline" }), more));
    StageBench::with(&CloneKind, config, options(1))
}

fn arp_request(from: MacAddr, source: &str, target: &str) -> Vec<u8> {
    let mut frame = vec![0; 60];
    arp::write_request(
        &mut frame,
        MacAddr::BROADCAST,
        from,
        source.parse().expect("an address"),
        target.parse().expect("an address"),
    )
    .expect("room");
    frame
}

#[test]
fn requests_get_the_servers_mac_and_nothing_else_of_the_link() {
    let mut bench = inline(6, json!({}));
    let frame = request(7, 1);
    let sent = bench.run(CLIENTS, std::slice::from_ref(&frame));
    assert_eq!(servers_of(&sent), [1, 3]);
    for (sent, sid) in sent.iter().zip([1, 3]) {
        assert_eq!(sent.bytes[..6], server_mac(sid).0);
        assert_eq!(sent.bytes[6..12], CLIENT_MAC.0);
        let ttl = |frame: &[u8]| {
            let layers = Layers::parse(frame).expect("a frame");
            layers.ipv4(frame).expect("IPv4").ttl()
        };
        assert_eq!(ttl(&sent.bytes), ttl(&frame));
    }
    // The answer keeps its server's address.
    let answer = response(&sent[0].bytes, 1, 0);
    let back = bench.run(SERVERS, std::slice::from_ref(&answer));
    assert_eq!((back[0].port, &back[0].bytes), (CLIENTS, &answer));
    let answer = response(&sent[1].bytes, 3, 0);
    assert_eq!(bench.run(SERVERS, &[answer]), []);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn f29_the_vip_is_answered_for_by_arp() {
    let mut bench = inline(2, json!({}));
    let ask = arp_request(CLIENT_MAC, CLIENT, VIP);
    let sent = bench.run(CLIENTS, &[ask]);
    assert_eq!((sent.len(), sent[0].port), (1, CLIENTS));
    let layers = Layers::parse(&sent[0].bytes).expect("a frame");
    let reply = layers.arp(&sent[0].bytes).expect("ARP");
    assert_eq!(reply.operation(), arp::REPLY);
    assert_eq!(reply.sender_mac(), OUR_MACS[0]);
    assert_eq!(reply.sender_ip().to_string(), VIP);
    // Other questions pass.
    let other = arp_request(CLIENT_MAC, CLIENT, "10.0.0.7");
    let sent = bench.run(CLIENTS, std::slice::from_ref(&other));
    assert_eq!((sent[0].port, &sent[0].bytes), (SERVERS, &other));
    assert_eq!(bench.counter("neighbour_answers"), 1);
    bench.assert_conserved();
}

#[test]
fn f29_the_vip_is_answered_for_by_neighbor_discovery() {
    let servers = json!([
        { "sid": 0, "ip": "fd00::101" },
        { "sid": 1, "ip": "fd00::102", "mac": "02:00:00:00:02:01" },
    ]);
    let mut bench = unresolved(2, json!({ "servers": servers, "vip": ["fd00::100"] }));
    let mut frame = vec![0; 128];
    let address = |text: &str| text.parse().expect("an address");
    let length = neighbor::write_solicit(
        &mut frame,
        None,
        CLIENT_MAC,
        address("fd00::11"),
        address("fd00::100"),
    )
    .expect("room");
    frame.truncate(length);
    let sent = bench.run(CLIENTS, &[frame]);
    assert_eq!((sent.len(), sent[0].port), (1, CLIENTS));
    let layers = Layers::parse(&sent[0].bytes).expect("a frame");
    let kind = layers.icmpv6(&sent[0].bytes).expect("ICMPv6").kind();
    assert_eq!(kind, icmpv6::kind::NEIGHBOR_ADVERT);
    // The server that is not known is solicited, and its advertisement taken.
    let solicits: Vec<_> = bench
        .sent_at_start()
        .into_iter()
        .filter(|sent| {
            let layers = Layers::parse(&sent.bytes).expect("a frame");
            let message = neighbor::parse(&sent.bytes, &layers);
            matches!(message, Some(neighbor::Message::Solicit { .. }))
        })
        .collect();
    let [solicit] = &solicits[..] else {
        panic!("{solicits:?}");
    };
    assert_eq!(solicit.port, SERVERS);
    let layers = Layers::parse(&solicit.bytes).expect("a frame");
    let mut advert = vec![0; 128];
    let length = neighbor::write_advert(&solicit.bytes, &layers, server_mac(0), false, &mut advert)
        .expect("room");
    advert.truncate(length);
    assert_eq!(bench.run(SERVERS, &[advert]), []);
    bench.advance(2_000_000);
    let servers = bench.command("servers", json!(null)).expect("an answer");
    assert_eq!(servers["servers"][0]["state"], "up");
    bench.assert_conserved();
}

#[test]
fn f29_x11_servers_are_found_by_arp_and_followed() {
    let mut bench = unresolved(2, json!({}));
    // Nobody is known: nobody can be chosen.
    let sent = bench.run(CLIENTS, &[request(0, 1)]);
    assert_eq!(header(&sent[0].bytes).kind, Kind::Nack);
    let state = |bench: &mut StageBench| {
        let shown = bench.command("servers", json!(null)).expect("an answer");
        shown["servers"][0]["state"].clone()
    };
    assert_eq!(state(&mut bench), "unresolved");
    let asked = bench.advance(110_000_000);
    assert!(!asked.is_empty());
    for sent in &asked {
        assert_eq!(sent.port, SERVERS);
        let layers = Layers::parse(&sent.bytes).expect("a frame");
        let question = layers.arp(&sent.bytes).expect("ARP");
        let target = question.target_ip().to_string();
        let sid = if target == server_ip(0) { 0 } else { 1 };
        let mut reply = vec![0; 60];
        arp::write_reply(&sent.bytes, &layers, server_mac(sid), &mut reply).expect("room");
        assert_eq!(bench.run(SERVERS, &[reply]), []);
    }
    bench.advance(2_000_000);
    assert_eq!(state(&mut bench), "up");
    let sent = bench.run(CLIENTS, &[request(0, 2)]);
    assert_eq!(servers_of(&sent), [0, 1]);
    assert_eq!(sent[0].bytes[..6], server_mac(0).0);
    // The server moves to another station: its next packet, or its announcement, tells.
    let moved = MacAddr([2, 0, 0, 0, 9, 9]);
    let mut announcement = vec![0; 60];
    let ip = server_ip(0).parse().expect("an address");
    arp::write_announcement(&mut announcement, moved, ip).expect("room");
    bench.run(SERVERS, &[announcement]);
    let sent = bench.run(CLIENTS, &[request(0, 3)]);
    assert_eq!(sent[0].bytes[..6], moved.0);
    let mut answer = response(&sent[0].bytes, 0, 0);
    answer[6..12].copy_from_slice(&server_mac(0).0);
    bench.run(SERVERS, &[answer]);
    let sent = bench.run(CLIENTS, &[request(0, 4)]);
    assert_eq!(sent[0].bytes[..6], server_mac(0).0);
    bench.assert_conserved();
}

#[test]
fn x11_a_server_that_moved_silently_is_asked_for_again() {
    let mut bench = unresolved(2, json!({ "probe_interval_us": 10_000 }));
    for question in bench.advance(110_000_000) {
        let layers = Layers::parse(&question.bytes).expect("a frame");
        let mut reply = vec![0; 60];
        arp::write_reply(&question.bytes, &layers, server_mac(0), &mut reply).expect("room");
        bench.run(SERVERS, &[reply]);
    }
    // Pings to where it was are not answered.
    bench.advance(200_000_000);
    let everybody = bench.advance(200_000_000).into_iter().any(|sent| {
        let layers = Layers::parse(&sent.bytes).expect("a frame");
        layers.arp(&sent.bytes).is_some() && sent.bytes[..6] == [0xff; 6]
    });
    assert!(everybody);
    bench.assert_conserved();
}

#[test]
fn pings_go_straight_to_the_servers() {
    let mut bench = inline(2, json!({ "probe_interval_us": 10_000 }));
    let mut answered = 0;
    for _ in 0..50 {
        for sent in bench.advance(1_000_000) {
            let ping = header(&sent.bytes);
            assert_eq!((sent.port, ping.kind), (SERVERS, Kind::Ping));
            assert_eq!(sent.bytes[..6], server_mac(ping.sid).0);
            assert_eq!(sent.bytes[6..12], OUR_MACS[1].0);
            assert_eq!(source(&sent.bytes), VIP);
            answered += 1;
            let pong = response(&sent.bytes, ping.sid, 0);
            assert_eq!(bench.run(SERVERS, &[pong]), []);
        }
    }
    assert_eq!(bench.counter("pongs"), answered);
    assert!(answered >= 8);
    bench.assert_conserved();
}

#[test]
fn the_vip_answers_echo_requests() {
    let mut bench = inline(2, json!({}));
    let ping = Frame::ping(CLIENT, VIP)
        .macs(CLIENT_MAC, OUR_MACS[0])
        .build();
    let sent = bench.run(CLIENTS, &[ping]);
    assert_eq!((sent.len(), sent[0].port), (1, CLIENTS));
    assert_eq!(source(&sent[0].bytes), VIP);
    bench.assert_conserved();
}

#[test]
fn a_server_in_a_vlan_gets_a_tag_and_its_answer_loses_it() {
    let servers = json!([
        { "sid": 0, "ip": server_ip(0), "mac": server_mac(0).to_string(), "vlan": 7 },
        { "sid": 1, "ip": server_ip(1), "mac": server_mac(1).to_string() },
    ]);
    let mut bench = unresolved(2, json!({ "servers": servers }));
    let sent = bench.run(CLIENTS, &[request(0, 1)]);
    assert_eq!(servers_of(&sent), [0, 1]);
    let tag = |frame: &[u8]| {
        let layers = Layers::parse(frame).expect("a frame");
        layers.outer_tag().map(|tag| tag.id())
    };
    assert_eq!(tag(&sent[0].bytes), Some(7));
    assert_eq!(tag(&sent[1].bytes), None);
    assert_eq!(header(&sent[0].bytes).clo, 1);
    let answer = response(&sent[0].bytes, 0, 0);
    let mut tagged = answer.clone();
    tagged.splice(12..12, [0x81, 0, 0, 7]);
    let back = bench.run(SERVERS, &[tagged]);
    assert_eq!(back[0].bytes, answer);
    bench.assert_conserved();
}

#[test]
fn a_request_that_came_in_a_vlan_keeps_its_tag() {
    let mut bench = inline(2, json!({}));
    let mut frame = request(0, 1);
    frame.splice(12..12, [0x81, 0, 0, 9]);
    let sent = bench.run(CLIENTS, &[frame]);
    assert_eq!(servers_of(&sent), [0, 1]);
    for sent in &sent {
        let layers = Layers::parse(&sent.bytes).expect("a frame");
        assert_eq!(layers.outer_tag().map(|tag| tag.id()), Some(9));
        header(&sent.bytes);
    }
    bench.assert_conserved();
}
