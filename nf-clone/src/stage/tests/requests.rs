//! Where requests go: groups, states, clones, policies, messages of several packets.

use std::collections::HashSet;

use serde_json::json;

use super::*;
use crate::groups;
use crate::wire::{DRAINING, Flags};

#[test]
fn f04_clones_only_when_both_candidates_are_idle() {
    for (first, second) in [(0, 0), (0, 3), (3, 0), (3, 3)] {
        let mut bench = gateway(6, json!({}));
        says(&mut bench, 3, first);
        says(&mut bench, 1, second);
        let before = bench.counter("req_cloned");
        let group = groups::number(3, 1, 6) as u32;
        let sent = bench.run(CLIENTS, &[request(group, 1)]);
        let expected: &[u16] = match (first, second) {
            (0, 0) => &[3, 1],
            _ => &[3],
        };
        assert_eq!(servers_of(&sent), expected, "{first} and {second} waiting");
        let cloned = bench.counter("req_cloned") - before;
        assert_eq!(cloned, u64::from(expected.len() == 2));
        check_invariants(&bench);
        bench.assert_conserved();
    }
}

#[test]
fn f04_the_worked_example_of_the_paper() {
    // Servers 1 to 4, of which 2 is busy; group (3, 1) is cloned, group (3, 2) is not.
    let servers: Vec<Value> = (1..=4)
        .map(|sid| json!({ "sid": sid, "ip": server_ip(sid) }))
        .collect();
    let groups = json!([[3, 1], [3, 2], [2, 1]]);
    let mut bench = gateway(4, json!({ "servers": servers, "groups": groups }));
    let sent = bench.run(CLIENTS, &[request(2, 1)]);
    bench.run(SERVERS, &[response(&sent[0].bytes, 2, 1)]);
    let sent = bench.run(CLIENTS, &[request(0, 2)]);
    assert_eq!(servers_of(&sent), [3, 1]);
    let sent = bench.run(CLIENTS, &[request(1, 3)]);
    assert_eq!(servers_of(&sent), [3]);
    bench.assert_conserved();
}

#[test]
fn f05_original_and_clone_differ_in_clo_and_destination_only() {
    let mut bench = gateway(6, json!({}));
    let sent = bench.run(CLIENTS, &[request(7, 5)]);
    assert_eq!(servers_of(&sent), [1, 3]);
    let (original, clone) = (header(&sent[0].bytes), header(&sent[1].bytes));
    assert_eq!((original.clo, clone.clo), (1, 2));
    assert_eq!(Header { clo: 2, ..original }, clone);
    assert_eq!((original.sid, original.swid), (3, 1));
    assert_ne!(original.req_id, 0);
    let payload = |sent: &Sent| {
        let layers = Layers::parse(&sent.bytes).expect("a frame");
        layers.payload(&sent.bytes)[40..].to_vec()
    };
    assert_eq!(payload(&sent[0]), b"ABCDEFGH");
    assert_eq!(payload(&sent[1]), b"ABCDEFGH");
    bench.assert_conserved();
}

#[test]
fn f06_ids_are_unique_over_cores_and_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let epoch_file = folder.path().join("epoch");
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let mut bench = gateway_on(2, settings(6, json!({ "epoch_file": epoch_file })));
        for n in 0..200 {
            let sent = bench.run_on(n as usize % 2, CLIENTS, &[request(n % 30, n)]);
            let id = header(&sent[0].bytes).req_id;
            assert!(id != 0 && seen.insert(id), "{id:#x}");
        }
        bench.assert_conserved();
    }
}

#[test]
fn f13_racksched_takes_the_shorter_queue() {
    for (policy, clones) in [("jsq", false), ("netclone+jsq", true)] {
        for first in 0..4 {
            for second in 0..4 {
                let mut bench = gateway(6, json!({ "policy": policy, "jsq_probe": 0.0 }));
                // Told by answers to requests of other groups.
                for (sid, load) in [(3, first), (1, second)] {
                    let group = groups::number(usize::from(sid), 0, 6) as u32;
                    let sent = bench.run(CLIENTS, &[request(group, 1)]);
                    bench.run(SERVERS, &[response(&sent[0].bytes, sid, load)]);
                }
                let group = groups::number(3, 1, 6) as u32;
                let sent = bench.run(CLIENTS, &[request(group, 2)]);
                let expected: &[u16] = match (first, second) {
                    (0, 0) if clones => &[3, 1],
                    _ if first > second => &[1],
                    _ => &[3],
                };
                assert_eq!(servers_of(&sent), expected, "{policy} {first} {second}");
                check_invariants(&bench);
                bench.assert_conserved();
            }
        }
    }
}

#[test]
fn b11_a_probe_corrects_an_absurd_load() {
    let mut bench = gateway(6, json!({ "policy": "jsq", "jsq_probe": 0.1 }));
    says(&mut bench, 3, 0xfffe);
    let group = groups::number(3, 1, 6) as u32;
    let to_first = (0..1000)
        .filter(|&n| servers_of(&bench.run(CLIENTS, &[request(group, n)])) == [3])
        .count();
    assert!((50..200).contains(&to_first), "{to_first} of 1000 probes");
    // Others are not touched by it.
    let group = groups::number(4, 5, 6) as u32;
    assert_eq!(servers_of(&bench.run(CLIENTS, &[request(group, 1)])), [4]);
    bench.assert_conserved();
}

#[test]
fn f14_writes_and_what_its_client_forbids_are_never_cloned() {
    let mut bench = gateway(6, json!({}));
    let noclone = Header {
        flags: Flags::NOCLONE,
        grp: 7,
        ..Header::new(Kind::Request)
    };
    assert_eq!(
        servers_of(&bench.run(CLIENTS, &[request_with(noclone)])),
        [1]
    );
    let own = Header {
        flags: Flags::CID,
        grp: 7,
        client_id: 5,
        client_seq: 9,
        req_id: 5 << 32 | 9,
        ..Header::new(Kind::Request)
    };
    let sent = bench.run(CLIENTS, &[request_with(own)]);
    assert_eq!(servers_of(&sent), [1, 3]);
    assert_eq!(
        header(&sent[0].bytes).req_id,
        5 << 32 | 9,
        "the client's id stays"
    );
    let again = Header {
        flags: Flags::CID.with(Flags::RETX),
        ..own
    };
    let sent = bench.run(CLIENTS, &[request_with(again)]);
    assert_eq!(servers_of(&sent), [1]);
    assert_eq!(bench.counter("req_noclone_flag"), 2);
    // An appliance's id is a new one each time, so that a retransmission may be cloned.
    let again = Header {
        flags: Flags::RETX,
        grp: 7,
        ..Header::new(Kind::Request)
    };
    assert_eq!(
        servers_of(&bench.run(CLIENTS, &[request_with(again)])),
        [1, 3]
    );
    let write = message_from(
        "10.0.0.11:50000",
        "10.0.1.105:9043",
        Header::new(Kind::WriteRequest),
    );
    let sent = bench.run(CLIENTS, &[write]);
    assert_eq!(servers_of(&sent), [4], "a write goes where it is sent");
    let stamped = header(&sent[0].bytes);
    assert_eq!((stamped.clo, stamped.swid, stamped.req_id), (0, 1, 0));
    assert_eq!(bench.counter("write_req"), 1);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn f14_a_write_to_the_vip_is_refused_with_the_reason() {
    let mut bench = gateway(6, json!({}));
    let sent = bench.run(CLIENTS, &[request_with(Header::new(Kind::WriteRequest))]);
    assert_eq!(sent.len(), 1);
    let told = header(&sent[0].bytes);
    assert_eq!(
        (sent[0].port, told.kind, told.load),
        (CLIENTS, Kind::Nack, 4)
    );
    assert_eq!(bench.dropped("bad_request"), 1);
    bench.assert_conserved();
}

#[test]
fn f25_policies_of_comparison() {
    let mut bench = gateway(6, json!({ "policy": "random" }));
    assert_eq!(servers_of(&bench.run(CLIENTS, &[request(7, 1)])), [1]);
    bench.assert_conserved();
    let mut bench = gateway(6, json!({ "policy": "always" }));
    says(&mut bench, 1, 9);
    assert_eq!(servers_of(&bench.run(CLIENTS, &[request(7, 1)])), [1, 3]);
    bench.assert_conserved();
}

#[test]
fn f25_state_of_each_core_alone() {
    let mut bench = gateway_on(2, settings(6, json!({ "state_scope": "per-core" })));
    let sent = bench.run_on(0, CLIENTS, &[request(7, 1)]);
    bench.run_on(0, SERVERS, &[response(&sent[0].bytes, 1, 5)]);
    let on =
        |bench: &mut StageBench, core| servers_of(&bench.run_on(core, CLIENTS, &[request(7, 2)]));
    assert_eq!(on(&mut bench, 0), [1], "the core that heard");
    assert_eq!(on(&mut bench, 1), [1, 3], "the core that did not");
    bench.assert_conserved();
    let mut bench = gateway_on(2, settings(6, json!({})));
    let sent = bench.run_on(0, CLIENTS, &[request(7, 1)]);
    bench.run_on(0, SERVERS, &[response(&sent[0].bytes, 1, 5)]);
    assert_eq!(on(&mut bench, 1), [1], "shared");
    bench.assert_conserved();
}

/// A packet of a request of three, with an id of the client's own.
fn part(seq: u32, pkt_idx: u8, pkt_cnt: u8) -> Vec<u8> {
    request_with(Header {
        flags: Flags::CID,
        grp: 7,
        client_id: 9,
        client_seq: seq,
        req_id: 9 << 32 | u64::from(seq),
        pkt_idx,
        pkt_cnt,
        ..Header::new(Kind::Request)
    })
}

#[test]
fn f16_all_packets_of_a_request_follow_its_first() {
    let mut bench = gateway(6, json!({}));
    assert_eq!(servers_of(&bench.run(CLIENTS, &[part(1, 0, 3)])), [1, 3]);
    says(&mut bench, 1, 9);
    assert_eq!(servers_of(&bench.run(CLIENTS, &[part(1, 1, 3)])), [1, 3]);
    assert_eq!(servers_of(&bench.run(CLIENTS, &[part(1, 2, 3)])), [1, 3]);
    // The next request begins when the server is busy, and is not cloned when it is idle again.
    assert_eq!(servers_of(&bench.run(CLIENTS, &[part(2, 0, 3)])), [1]);
    says(&mut bench, 1, 0);
    assert_eq!(servers_of(&bench.run(CLIENTS, &[part(2, 1, 3)])), [1]);
    assert_eq!(bench.counter("msg_hit"), 2);
    assert_eq!(bench.counter("msg_insert"), 1);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn f16_a_late_first_packet_a_full_table_and_expiry() {
    let mut bench = gateway(6, json!({ "msg_table_log2": 4 }));
    assert_eq!(
        servers_of(&bench.run(CLIENTS, &[part(1, 2, 3)])),
        [1],
        "unknown"
    );
    assert_eq!(
        servers_of(&bench.run(CLIENTS, &[part(1, 0, 3)])),
        [1, 3],
        "late"
    );
    bench.advance(11_000_000);
    assert_eq!(
        servers_of(&bench.run(CLIENTS, &[part(1, 1, 3)])),
        [1],
        "expired"
    );
    assert_eq!(bench.counter("msg_expired"), 1);
    let cloned = (10..100)
        .filter(|&seq| bench.run(CLIENTS, &[part(seq, 0, 3)]).len() == 2)
        .count();
    assert_eq!(cloned, 16, "as many as there is room for");
    assert_eq!(bench.counter("msg_full"), 74);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn f16_without_an_id_of_the_client_long_requests_are_not_cloned() {
    let mut bench = gateway(6, json!({}));
    let part = Header {
        grp: 7,
        pkt_cnt: 3,
        ..Header::new(Kind::Request)
    };
    assert_eq!(servers_of(&bench.run(CLIENTS, &[request_with(part)])), [1]);
    bench.assert_conserved();
}

#[test]
fn f16_queues_choose_for_whole_messages() {
    let mut bench = gateway(6, json!({ "policy": "jsq", "jsq_probe": 0.0 }));
    says(&mut bench, 1, 9);
    assert_eq!(servers_of(&bench.run(CLIENTS, &[part(1, 0, 2)])), [3]);
    says(&mut bench, 1, 0);
    assert_eq!(servers_of(&bench.run(CLIENTS, &[part(1, 1, 2)])), [3]);
    bench.assert_conserved();
}

#[test]
fn b10_a_message_that_changes_its_count_is_refused() {
    let mut bench = gateway(6, json!({}));
    bench.run(CLIENTS, &[part(1, 0, 3)]);
    assert_eq!(bench.run(CLIENTS, &[part(1, 1, 4)]), []);
    assert_eq!(bench.counter("bad_packet_number"), 1);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn b16_a_flood_of_messages_is_forwarded_without_clones() {
    let mut bench = gateway(6, json!({ "msg_table_log2": 6 }));
    let mut cloned = 0;
    for client_id in 0..2000u32 {
        let first = Header {
            flags: Flags::CID,
            grp: 7,
            client_id,
            client_seq: 1,
            req_id: u64::from(client_id) << 32 | 1,
            pkt_cnt: 200,
            ..Header::new(Kind::Request)
        };
        let sent = bench.run(CLIENTS, &[request_with(first)]);
        assert!(!sent.is_empty());
        cloned += usize::from(sent.len() == 2);
    }
    assert!(cloned <= 64, "{cloned} of them");
    bench.assert_conserved();
}

#[test]
fn f20_jumbo_and_multi_segment_packets_are_cloned() {
    for (copy, len) in [
        ("auto", 9000),
        ("full", 9000),
        ("split", 9000),
        ("split", 300),
    ] {
        let config = inline_settings(6, json!({ "clone_copy": copy }));
        let mut options = options(1);
        for port in &mut options.ports {
            port.mtu = 9500;
        }
        let mut bench = StageBench::with(&CloneKind, config, options);
        let mut payload = Header {
            grp: 7,
            ..Header::new(Kind::Request)
        }
        .encode()
        .to_vec();
        payload.extend((0..len).map(|n| n as u8));
        let frame = Frame::udp("10.0.0.11:50000", "10.0.0.100:9043")
            .macs(CLIENT_MAC, OUR_MACS[0])
            .payload(&payload)
            .build();
        let sent = bench.run(CLIENTS, &[frame]);
        assert_eq!(servers_of(&sent), [1, 3], "{copy}");
        for (sent, clo) in sent.iter().zip([1, 2]) {
            assert_eq!(header(&sent.bytes).clo, clo);
            let layers = Layers::parse(&sent.bytes).expect("a frame");
            assert_eq!(layers.payload(&sent.bytes)[40..], payload[40..]);
        }
        bench.assert_conserved();
    }
}

/// A packet of two segments, the first of which ends within the message's header.
fn in_pieces(bench: &StageBench, frame: &[u8]) -> nf_core::packet::Packet {
    let packet = |bytes| nf_core::packet::Packet::from_bytes(bench.pool(), bytes);
    let mut head = packet(&frame[..60]).expect("a packet");
    let tail = packet(&frame[60..]).expect("a packet");
    assert!(head.chain(nf_core::dpdk::Mbuf::from(tail)).is_ok());
    head
}

#[test]
fn b01_a_header_across_segments_is_gathered() {
    let mut bench = gateway(6, json!({}));
    let head = in_pieces(&bench, &request(7, 1));
    let sent = bench.run_packets(0, CLIENTS, vec![head]);
    assert_eq!(servers_of(&sent), [1, 3]);

    // To a server itself: a write is stamped, and a request that was here before ends.
    let to_server = |kind, swid| {
        let header = Header {
            swid,
            ..Header::new(kind)
        };
        let server = format!("{}:9043", server_ip(2));
        message_from(&format!("{CLIENT}:50000"), &server, header)
    };
    let write = in_pieces(&bench, &to_server(Kind::WriteRequest, 0));
    let sent = bench.run_packets(0, CLIENTS, vec![write]);
    assert_eq!(servers_of(&sent), [2]);
    assert_eq!(header(&sent[0].bytes).swid, 1);
    let again = in_pieces(&bench, &to_server(Kind::Request, 1));
    assert_eq!(bench.run_packets(0, CLIENTS, vec![again]), []);
    assert_eq!(bench.dropped("loop"), 1);
    bench.assert_conserved();
}

#[test]
fn f30_a_shared_buffer_is_copied_before_it_is_written() {
    let mut bench = gateway(6, json!({}));
    let frame = request(7, 1);
    let packet = nf_core::packet::Packet::from_bytes(bench.pool(), &frame).expect("a packet");
    let mirror = packet.share(bench.pool()).expect("a packet");
    let sent = bench.run_packets(0, CLIENTS, vec![packet]);
    assert_eq!(servers_of(&sent), [1, 3]);
    assert_eq!(mirror.data(), frame, "what a mirror holds is untouched");
    drop(mirror);
    bench.assert_conserved();
}

#[test]
fn x15_the_budget_bounds_clones() {
    let mut bench = gateway(6, json!({ "clone_budget_pps": 1000 }));
    // Half a second of 20,000 requests a second to idle servers.
    for n in 0..500 {
        let burst: Vec<_> = (0..20).map(|k| request(7, n * 20 + k)).collect();
        bench.run(CLIENTS, &burst);
        // Or they would be taken for dead.
        says(&mut bench, 1, 0);
        says(&mut bench, 3, 0);
        bench.advance(1_000_000);
    }
    let cloned = bench.counter("req_cloned");
    assert!((400..=650).contains(&cloned), "{cloned}");
    assert_eq!(bench.counter("req_unclone_budget") + cloned, 10_000);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn f07_f22_a_draining_server_gets_nothing_more() {
    let mut bench = gateway(6, json!({}));
    says(&mut bench, 1, DRAINING);
    let sent: Vec<_> = (0..30)
        .flat_map(|grp| bench.run(CLIENTS, &[request(grp, grp)]))
        .collect();
    assert!(!servers_of(&sent).contains(&1));
    assert_eq!(sent.len(), 60, "every group still has two servers");
    bench.assert_conserved();
}
