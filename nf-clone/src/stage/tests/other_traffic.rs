//! What is not the function's, what it leaves unread, checksums of all kinds, and the other profile.

use nf_core::testing::Frame;
use serde_json::json;

use super::*;
use crate::wire::compat28;

#[test]
fn f02_other_traffic_passes_untouched() {
    let tagged = |ids: &[u16]| {
        let frame = Frame::udp("10.0.0.11:50000", "10.0.1.101:53");
        ids.iter().fold(frame, |frame, &id| frame.vlan(id))
    };
    let frames = [
        Frame::udp("10.0.0.11:50000", "10.0.1.101:53")
            .payload(b"who?")
            .build(),
        tagged(&[7]).build(),
        tagged(&[7, 8]).build(),
        Frame::udp("10.0.0.11:50000", "10.0.1.101:53")
            .options(&[7, 4, 0, 0])
            .build(),
        Frame::udp("[fd00::11]:50000", "[fd00:1::101]:53").build(),
        Frame::tcp("10.0.0.11:50000", "10.0.1.101:80").build(),
        Frame::ping("10.0.0.11", "10.0.1.101").build(),
        Frame::ping("fd00::11", "fd00:1::101").build(),
        Frame::ip("10.0.0.11", "10.0.1.101", 47).build(),
        // The service's port at another address.
        Frame::udp("10.0.0.11:50000", "10.0.1.101:9043")
            .payload(b"not for the service")
            .build(),
        vec![0xff; 60],
        vec![1, 2, 3],
    ];
    let mut bench = inline(6, json!({}));
    let sent = bench.run(CLIENTS, &frames);
    let bytes: Vec<_> = sent.iter().map(|sent| &sent.bytes).collect();
    assert_eq!(bytes, frames.iter().collect::<Vec<_>>());
    assert_eq!(bench.counter("passthrough"), frames.len() as u64);
    let back = bench.run(SERVERS, &frames[..6]);
    assert_eq!(back.len(), 6);
    bench.assert_conserved();
}

#[test]
fn f02_behind_the_router_only_ttl_macs_and_checksum_change() {
    let mut bench = gateway(6, json!({}));
    let frame = Frame::udp("10.0.0.11:50000", "10.0.1.101:53")
        .macs(CLIENT_MAC, OUR_MACS[0])
        .payload(b"who?")
        .build();
    let sent = bench.run(CLIENTS, std::slice::from_ref(&frame));
    let mut expected = frame.clone();
    expected[..6].copy_from_slice(&server_mac(0).0);
    expected[6..12].copy_from_slice(&OUR_MACS[1].0);
    let layers = Layers::parse(&expected).expect("a frame");
    nf_core::wire::rewrite::decrement_ttl(&mut expected, &layers);
    assert_eq!(sent[0].bytes, expected);
    bench.assert_conserved();
}

#[test]
fn f18_all_segments_of_a_tcp_connection_go_to_one_server() {
    let mut bench = gateway(6, json!({}));
    let mut used = std::collections::HashSet::new();
    for port in 0..60 {
        let client = format!("10.0.0.11:{}", 50000 + port);
        let segment = |payload: &[u8]| {
            Frame::tcp(&client, "10.0.0.100:9043")
                .macs(CLIENT_MAC, OUR_MACS[0])
                .payload(payload)
                .build()
        };
        let first = bench.run(CLIENTS, &[segment(b"")]);
        let [server] = servers_of(&first)[..] else {
            panic!("never cloned");
        };
        used.insert(server);
        for n in 1..5 {
            says(&mut bench, server, n);
            let sent = bench.run(CLIENTS, &[segment(&[n as u8; 100])]);
            assert_eq!(servers_of(&sent), [server]);
            let layers = Layers::parse(&sent[0].bytes).expect("a frame");
            let verdict = check_transport_checksum(&sent[0].bytes, &layers);
            assert_eq!(verdict, Verdict::Good);
        }
        says(&mut bench, server, 0);
        let answer = Frame::tcp(&format!("{}:9043", server_ip(server)), &client)
            .macs(server_mac(server), OUR_MACS[1])
            .payload(b"data")
            .build();
        let sent = bench.run(SERVERS, &[answer]);
        assert_eq!(source(&sent[0].bytes), VIP);
        let layers = Layers::parse(&sent[0].bytes).expect("a frame");
        assert_eq!(
            check_transport_checksum(&sent[0].bytes, &layers),
            Verdict::Good
        );
    }
    assert_eq!(used.len(), 6, "all servers are used");
    assert_eq!(bench.counter("req_total"), 0);
    bench.assert_conserved();
}

/// Every kind of checksum: a UDP checksum of 0, payloads of even and odd length, and all words that make the
/// sum come out as 0 or 0xffff now and then.
#[test]
fn f19_checksums_are_right_after_every_rewrite() {
    for v6 in [false, true] {
        let (config, client, vip) = match v6 {
            false => (
                inline_settings(6, json!({ "rewrite_resp_src": true })),
                "10.0.0.11",
                VIP,
            ),
            true => {
                let servers: Vec<Value> = (0..6)
                    .map(|sid| {
                        json!({
                            "sid": sid,
                            "ip": format!("fd00:1::{:x}", 0x101 + sid),
                            "mac": server_mac(sid).to_string(),
                        })
                    })
                    .collect();
                let more = json!({
                    "servers": servers, "vip": ["fd00::100"], "rewrite_resp_src": true,
                });
                (inline_settings(6, more), "[fd00::11]", "[fd00::100]")
            }
        };
        let mut bench = StageBench::with(&CloneKind, config, options(1));
        let mut zeros = 0;
        for n in 0..3000u32 {
            let mut payload = Header {
                grp: n % 30,
                client_id: n.wrapping_mul(0x9e37_79b9),
                client_seq: n,
                ..Header::new(Kind::Request)
            }
            .encode()
            .to_vec();
            payload.extend(n.to_be_bytes().iter().take((n % 5) as usize));
            let build = || {
                Frame::udp(&format!("{client}:50000"), &format!("{vip}:9043"))
                    .macs(CLIENT_MAC, OUR_MACS[0])
                    .payload(&payload)
                    .build()
            };
            let mut frame = build();
            let without = n % 7 == 0 && !v6;
            if without {
                let at = Layers::parse(&frame).expect("a frame").transport_at();
                frame[at + 6..at + 8].fill(0);
            }
            let sent = bench.run(CLIENTS, &[frame]);
            assert!(!sent.is_empty());
            for sent in &sent {
                let layers = Layers::parse(&sent.bytes).expect("a frame");
                let verdict = check_transport_checksum(&sent.bytes, &layers);
                let expected = if without {
                    Verdict::Absent
                } else {
                    Verdict::Good
                };
                assert_eq!(verdict, expected, "{n}");
                assert!(v6 || ipv4_checksum_ok(&sent.bytes, &layers));
                zeros += u32::from(without);
            }
        }
        assert!(v6 || zeros > 0);
        bench.assert_conserved();
    }
}

/// A message of the prototype's profile.
fn compat(source: &str, destination: &str, header: compat28::Header) -> Vec<u8> {
    let mut payload = header.encode().to_vec();
    payload.extend([7; 24]);
    let from_server = header.kind == Kind::Response;
    let (from, to) = match from_server {
        true => (server_mac(0), OUR_MACS[1]),
        false => (CLIENT_MAC, OUR_MACS[0]),
    };
    Frame::udp(source, destination)
        .macs(from, to)
        .payload(&payload)
        .build()
}

fn compat_header(frame: &[u8]) -> compat28::Header {
    let layers = Layers::parse(frame).expect("a sound frame");
    assert_eq!(check_transport_checksum(frame, &layers), Verdict::Good);
    compat28::Header::decode(layers.payload(frame)).expect("a message")
}

#[test]
fn f28_the_prototypes_messages_are_cloned_and_filtered() {
    // Its clients send to any server's address, its groups begin at 1, and its port is 1000.
    let config = json!({
        "wire": "compat28", "l4_ports": [1000], "vip": [], "rewrite_resp_src": false,
        "groups": [[0, 1], [0, 2], [1, 2], [1, 0], [2, 0], [2, 1]],
    });
    let mut bench = gateway(3, config);
    let request = compat28::Header {
        kind: Kind::Request,
        seq: 0,
        grp: 3,
        sid: 0,
        load: 0,
        clo: 0,
        idx: 1,
    };
    for n in 1..=100 {
        let sent = bench.run(
            CLIENTS,
            &[compat("10.0.0.11:50000", "10.0.1.101:1000", request)],
        );
        assert_eq!(servers_of(&sent), [1, 2]);
        let (original, clone) = (compat_header(&sent[0].bytes), compat_header(&sent[1].bytes));
        assert_eq!((original.clo, clone.clo, original.sid), (1, 2, 2));
        assert_eq!((original.seq, clone.seq), (n, n));
        let answer = |sid: u16, from: &compat28::Header| {
            compat(
                &format!("{}:1000", server_ip(sid)),
                "10.0.0.11:50000",
                compat28::Header {
                    kind: Kind::Response,
                    sid: sid.into(),
                    ..*from
                },
            )
        };
        let passed = bench.run(SERVERS, &[answer(2, &clone), answer(1, &original)]);
        assert_eq!(passed.len(), 1);
        assert_eq!(source(&passed[0].bytes), "10.0.1.103", "not rewritten");
    }
    // Group 0 and one too many.
    for grp in [0, 7, u32::MAX] {
        let odd = compat28::Header { grp, ..request };
        let sent = bench.run(
            CLIENTS,
            &[compat("10.0.0.11:50000", "10.0.1.101:1000", odd)],
        );
        assert_eq!(sent, []);
    }
    assert_eq!(bench.counter("bad_grp"), 3);
    check_invariants(&bench);
    bench.assert_conserved();
}
