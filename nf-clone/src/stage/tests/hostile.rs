//! Bad input: counted, dropped or passed by policy, never more.

use nf_core::testing::hostile;
use nf_core::wire::fill_transport_checksum;
use serde_json::json;

use super::*;
use crate::wire::Flags;
use crate::wire::v1::field;

/// Runs a frame; gives which counter rose and whether anything left.
fn refused(bench: &mut StageBench, port: u16, frame: Vec<u8>, count: &str) {
    let before = bench.counter(count);
    let sent = bench.run(port, &[frame]);
    let to_server = sent.iter().filter(|sent| sent.port == SERVERS).count();
    assert_eq!(to_server, 0, "{count}: {sent:?}");
    assert_eq!(bench.counter(count), before + 1, "{count}");
    check_invariants(bench);
}

#[test]
fn b02_b03_b07_b10_headers_that_are_none() {
    let mut bench = gateway(6, json!({}));
    let good = request(7, 1);
    for (at, bytes, count) in [
        (field::MAGIC, &[0x4e, 0x44][..], "bad_magic"),
        (field::VER_HLEN, &[0x2a], "bad_version"),
        (field::VER_HLEN, &[0x19], "bad_hlen"),
        (field::VER_HLEN, &[0x1f], "bad_hlen"),
        (field::TYPE, &[0], "bad_type"),
        (field::TYPE, &[9], "bad_type"),
        (field::TYPE, &[255], "bad_type"),
        (field::TYPE, &[2], "bad_direction"),
        (field::TYPE, &[4], "bad_direction"),
        (field::TYPE, &[5], "bad_direction"),
        (field::TYPE, &[6], "bad_direction"),
        (field::TYPE, &[7], "bad_direction"),
        (field::TYPE, &[8], "bad_direction"),
        (field::CLO, &[1], "bad_clo"),
        (field::CLO, &[2], "bad_clo"),
        (field::CLO, &[3], "bad_clo"),
        (field::IDX, &[2], "bad_idx"),
        (field::IDX, &[255], "bad_idx"),
        (field::GRP, &[0, 0, 0, 30], "bad_grp"),
        (field::GRP, &[255, 255, 255, 255], "bad_grp"),
        (field::SWID, &[0, 1], "loop"),
        (field::PKT_CNT, &[0], "bad_packet_number"),
        (field::PKT_IDX, &[1], "bad_packet_number"),
        (field::FLAGS, &[1], "bad_req_id"),
    ] {
        refused(&mut bench, CLIENTS, patched(&good, at, bytes), count);
    }
    let more: u64 = ["bad_message", "bad_request", "loop"]
        .iter()
        .map(|reason| bench.dropped(reason))
        .sum();
    assert_eq!(more, 24);
    bench.assert_conserved();
}

#[test]
fn b01_short_messages() {
    let mut bench = gateway(6, json!({}));
    let payload = Header::new(Kind::Request).encode();
    for len in 0..40 {
        let frame = Frame::udp("10.0.0.11:50000", "10.0.0.100:9043")
            .macs(CLIENT_MAC, OUR_MACS[0])
            .payload(&payload[..len])
            .build();
        refused(&mut bench, CLIENTS, frame, "truncated");
    }
    bench.assert_conserved();
}

#[test]
fn b04_a_group_of_another_generation_is_told_so() {
    let mut bench = gateway(6, json!({}));
    let stale = Header {
        grp: 99,
        cfg_gen: 77,
        ..Header::new(Kind::Request)
    };
    let sent = bench.run(CLIENTS, &[request_with(stale)]);
    let kinds: Vec<Kind> = sent.iter().map(|sent| header(&sent.bytes).kind).collect();
    assert_eq!(kinds, [Kind::Config, Kind::Nack]);
    assert!(sent.iter().all(|sent| sent.port == CLIENTS));
    assert_eq!(destination(&sent[0].bytes), CLIENT);
    bench.assert_conserved();
}

#[test]
fn b06_b08_responses_that_are_none() {
    let mut bench = gateway(6, json!({}));
    let sent = bench.run(CLIENTS, &[request(7, 1)]);
    let good = response(&sent[0].bytes, 1, 0);
    for (change, count) in [
        (
            Box::new(|header| Header { sid: 6, ..header }) as Box<dyn Fn(Header) -> Header>,
            "bad_sid",
        ),
        (Box::new(|header| Header { sid: 300, ..header }), "bad_sid"),
        (
            Box::new(|header| Header { sid: 3, ..header }),
            "sid_ip_mismatch",
        ),
        (
            Box::new(|header| Header {
                req_id: 0,
                ..header
            }),
            "bad_req_id",
        ),
    ] {
        let frame = response_with(&sent[0].bytes, 1, change);
        let before = bench.counter(count);
        assert_eq!(bench.run(SERVERS, &[frame]), [], "{count}");
        assert_eq!(bench.counter(count), before + 1, "{count}");
    }
    // Nobody but a server plants an id that would end its answer.
    let spoofed = {
        let mut frame = good.clone();
        let layers = Layers::parse(&frame).expect("a frame");
        nf_core::wire::rewrite::set_ipv4(
            &mut frame,
            &layers,
            nf_core::wire::rewrite::End::Source,
            "10.0.0.66".parse().expect("an address"),
        );
        frame
    };
    assert_eq!(bench.run(SERVERS, &[spoofed]), []);
    assert_eq!(bench.run(SERVERS, &[good]).len(), 1);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn b12_sources_destinations_and_hops_that_cannot_be() {
    let mut bench = gateway(6, json!({}));
    let from = |source: &str| message_from(source, "10.0.0.100:9043", Header::new(Kind::Request));
    refused(&mut bench, CLIENTS, from("10.0.0.100:5000"), "bad_source");
    refused(&mut bench, CLIENTS, from("224.0.0.5:5000"), "bad_source");
    refused(
        &mut bench,
        CLIENTS,
        from("255.255.255.255:5000"),
        "bad_source",
    );
    for ttl in [0, 1] {
        let mut payload = Header::new(Kind::Request).encode().to_vec();
        payload.extend(b"x");
        let frame = Frame::udp("10.0.0.11:50000", "10.0.0.100:9043")
            .macs(CLIENT_MAC, OUR_MACS[0])
            .payload(&payload)
            .ttl(ttl)
            .build();
        refused(&mut bench, CLIENTS, frame, "ttl_expired");
    }
    // To a group: not the service's.
    let frame = message_from(
        "10.0.0.11:50000",
        "224.0.0.9:9043",
        Header::new(Kind::Request),
    );
    assert_eq!(bench.run(CLIENTS, &[frame]), []);
    bench.assert_conserved();
}

#[test]
fn b12_fragments_pass_or_end_unread() {
    let fragment = |flags| {
        Frame::udp("10.0.0.11:50000", "10.0.0.100:9043")
            .macs(CLIENT_MAC, OUR_MACS[0])
            .payload(&Header::new(Kind::Request).encode())
            .fragment(flags)
            .build()
    };
    for (policy, dropped) in [("pass", 0), ("drop", 2)] {
        let config = inline_settings(6, json!({ "fragments": policy }));
        let mut bench = StageBench::with(&CloneKind, config, options(1));
        let frames = [fragment(0x2000), fragment(0x0010)];
        let sent = bench.run(CLIENTS, &frames);
        assert_eq!(sent.len() as u64, 2 - dropped);
        assert!(
            sent.iter()
                .zip(&frames)
                .all(|(sent, frame)| sent.bytes == *frame)
        );
        assert_eq!(bench.counter("fragment"), 2);
        assert_eq!(bench.dropped("fragment"), dropped);
        assert_eq!(bench.counter("req_total"), 0);
        bench.assert_conserved();
    }
}

#[test]
fn b13_wrong_checksums() {
    let mut bench = gateway(6, json!({}));
    let good = request(7, 1);
    let last = good.len() - 1;
    let mut damaged = good.clone();
    damaged[last] ^= 1;
    refused(&mut bench, CLIENTS, damaged.clone(), "csum_bad");
    // Not looked at, it stays wrong by as much: the server sees it.
    bench.command("servers", json!(null)).expect("an answer");
    bench.assert_conserved();
    let mut bench = gateway(6, json!({ "verify_checksums": false }));
    let sent = bench.run(CLIENTS, &[damaged]);
    assert_eq!(sent.len(), 2);
    for sent in sent {
        let layers = Layers::parse(&sent.bytes).expect("a frame");
        assert_eq!(check_transport_checksum(&sent.bytes, &layers), Verdict::Bad);
        let mut mended = sent.bytes.clone();
        let end = mended.len() - 1;
        mended[end] ^= 1;
        assert_eq!(check_transport_checksum(&mended, &layers), Verdict::Good);
    }
    bench.assert_conserved();
}

#[test]
fn b13_over_ipv6_there_has_to_be_a_checksum() {
    let servers = json!([
        { "sid": 0, "ip": "fd00:1::101", "mac": "02:00:00:00:02:00" },
        { "sid": 1, "ip": "fd00:1::102", "mac": "02:00:00:00:02:01" },
    ]);
    let config = inline_settings(2, json!({ "servers": servers, "vip": ["fd00::100"] }));
    let mut bench = StageBench::with(&CloneKind, config, options(1));
    let mut frame = Frame::udp("[fd00::11]:50000", "[fd00::100]:9043")
        .macs(CLIENT_MAC, OUR_MACS[0])
        .payload(&Header::new(Kind::Request).encode())
        .build();
    assert_eq!(bench.run(CLIENTS, &[frame.clone()]).len(), 2);
    let layers = Layers::parse(&frame).expect("a frame");
    frame[layers.transport_at() + 6..layers.transport_at() + 8].fill(0);
    assert_eq!(bench.run(CLIENTS, &[frame]), []);
    assert_eq!(bench.counter("csum_bad"), 1);
    bench.assert_conserved();
}

#[test]
fn b14_a_request_from_the_services_port_is_told_by_its_type() {
    let mut bench = gateway(6, json!({}));
    let both = |kind| {
        message_from(
            "10.0.0.11:9043",
            "10.0.0.100:9043",
            Header {
                grp: 7,
                ..Header::new(kind)
            },
        )
    };
    let sent = bench.run(CLIENTS, &[both(Kind::Request)]);
    assert_eq!(servers_of(&sent), [1, 3]);
    // A reflected "response" of nobody's.
    let frame = both(Kind::Response);
    let sent = bench.run(CLIENTS, &[frame]);
    assert!(sent.iter().all(|sent| sent.port != SERVERS), "{sent:?}");
    assert_eq!(bench.counter("state_updates"), 0);
    bench.assert_conserved();
}

#[test]
fn bad_input_can_pass_instead() {
    let config = inline_settings(6, json!({ "bad_input": "pass" }));
    let mut bench = StageBench::with(&CloneKind, config, options(1));
    let odd = patched(&request(7, 1), field::MAGIC, &[0, 0]);
    let sent = bench.run(CLIENTS, std::slice::from_ref(&odd));
    assert_eq!((sent.len(), &sent[0].bytes), (1, &odd));
    assert_eq!(bench.counter("bad_magic"), 1);
    bench.assert_conserved();
}

#[test]
fn b01_frames_of_every_broken_kind() {
    for wire in ["v1", "compat28"] {
        for mut bench in [
            gateway(6, json!({ "wire": wire, "l4_ports": [9043, 53, 80] })),
            inline(6, json!({ "wire": wire, "l4_ports": [9043, 53, 80] })),
        ] {
            for port in [CLIENTS, SERVERS] {
                bench.run(port, &hostile::samples(port));
                let truncated: Vec<_> = hostile::truncated(port).collect();
                bench.run(port, &truncated);
                let mutated: Vec<_> = hostile::mutated(port, 11, 3000).collect();
                bench.run(port, &mutated);
            }
            bench.advance(10_000_000);
            bench.check_conserved();
        }
    }
}

#[test]
fn b08_messages_with_any_bytes_flipped_lose_nothing_but_themselves() {
    let mut bench = gateway(6, json!({}));
    let sent = bench.run(CLIENTS, &[request(7, 1)]);
    let good = [
        (CLIENTS, request(7, 1)),
        (SERVERS, response(&sent[0].bytes, 1, 0)),
    ];
    let mut random = 88172645463325252u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..20_000 {
        let (port, frame) = &good[(next() % 2) as usize];
        let mut frame = frame.clone();
        for _ in 0..=next() % 3 {
            let at = 14 + (next() as usize) % (frame.len() - 14);
            frame[at] = next() as u8;
        }
        // Half of them with a right checksum, so that they come further.
        if let (Ok(layers), 0) = (Layers::parse(&frame), next() % 2) {
            nf_core::wire::fill_ipv4_checksum(&mut frame, &layers);
            fill_transport_checksum(&mut frame, &layers);
        }
        bench.run(*port, &[frame]);
    }
    // Everything said about draining and loads is forgotten; then all is as ever.
    bench.advance(100_000_000);
    for sid in 0..6 {
        says(&mut bench, sid, 0);
    }
    check_invariants(&bench);
    let flags = Flags::NONE;
    let sent = bench.run(
        CLIENTS,
        &[request_with(Header {
            flags,
            grp: 7,
            ..Header::new(Kind::Request)
        })],
    );
    assert_eq!(servers_of(&sent), [1, 3]);
    bench.assert_conserved();
}
