//! Responses: state, the filter, epochs, several packets, several cores.

use serde_json::json;

use super::*;
use crate::wire::Flags;

/// A cloned request of group 7: what went to servers 1 and 3.
fn cloned(bench: &mut StageBench, seq: u32) -> [Vec<u8>; 2] {
    let sent = bench.run(CLIENTS, &[request(7, seq)]);
    assert_eq!(servers_of(&sent), [1, 3]);
    [sent[0].bytes.clone(), sent[1].bytes.clone()]
}

/// How many answers reach the client.
fn answers(bench: &mut StageBench, frames: &[Vec<u8>]) -> usize {
    let sent = bench.run(SERVERS, frames);
    for sent in &sent {
        assert_eq!(sent.port, CLIENTS);
        assert_eq!(destination(&sent.bytes), CLIENT);
        assert_eq!(source(&sent.bytes), VIP);
        header(&sent.bytes);
    }
    sent.len()
}

#[test]
fn f08_exactly_one_of_two_responses_reaches_the_client() {
    let mut bench = gateway(6, json!({}));
    for seq in 0..200 {
        let [one, three] = cloned(&mut bench, seq);
        let mut frames = vec![response(&one, 1, 0), response(&three, 3, 0)];
        if seq % 2 == 1 {
            frames.reverse();
        }
        assert_eq!(answers(&mut bench, &frames), 1);
    }
    assert_eq!(bench.counter("resp_first"), 200);
    assert_eq!(bench.counter("resp_filtered"), 200);
    assert_eq!(bench.counter("slot_overwrite"), 0);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn f09_f10_collisions_overwrite_and_tables_are_apart() {
    // 2^10 slots: requests 1024 apart share a slot of their table.
    let mut bench = gateway(6, json!({ "slots_log2": 10, "tables": 3 }));
    let first = cloned(&mut bench, 1);
    for seq in 0..1023 {
        bench.run(CLIENTS, &[request(7, seq + 10)]);
    }
    let colliding = cloned(&mut bench, 2);
    let ids = [&first, &colliding].map(|pair| header(&pair[0]).req_id & 0x3ff);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(answers(&mut bench, &[response(&first[0], 1, 0)]), 1);
    assert_eq!(answers(&mut bench, &[response(&colliding[0], 1, 0)]), 1);
    assert_eq!(bench.counter("slot_overwrite"), 1);
    // The slower answer of the first leaks, that of the second too: redundant, never lost.
    assert_eq!(answers(&mut bench, &[response(&first[1], 3, 0)]), 1);
    // In another table nothing of this happens.
    let in_table_2 = request_with(Header {
        idx: 2,
        grp: 7,
        ..Header::new(Kind::Request)
    });
    let sent = bench.run(CLIENTS, &[in_table_2]);
    let both = [
        response(&sent[0].bytes, 1, 0),
        response(&sent[1].bytes, 3, 0),
    ];
    assert_eq!(answers(&mut bench, &both), 1);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn f07_every_answer_updates_the_state() {
    let mut bench = gateway(6, json!({}));
    let busy = |bench: &mut StageBench| bench.run(CLIENTS, &[request(7, 99)]).len() == 1;
    let [one, _] = cloned(&mut bench, 1);
    // Of a cloned request, of one that was not, of a write.
    bench.run(SERVERS, &[response(&one, 1, 3)]);
    assert!(busy(&mut bench));
    let sent = bench.run(CLIENTS, &[request(7, 2)]);
    bench.run(SERVERS, &[response(&sent[0].bytes, 1, 0)]);
    assert!(!busy(&mut bench));
    let write = message_from(
        "10.0.0.11:50000",
        "10.0.1.102:9043",
        Header::new(Kind::WriteRequest),
    );
    let sent = bench.run(CLIENTS, &[write]);
    let answer = response(&sent[0].bytes, 1, 7);
    let sent = bench.run(SERVERS, &[answer]);
    assert_eq!(source(&sent[0].bytes), "10.0.1.102", "as it was addressed");
    assert!(busy(&mut bench));
    assert_eq!(bench.counter("write_resp"), 1);
    assert_eq!(bench.counter("state_updates"), 3);
    bench.assert_conserved();
}

#[test]
fn f15_only_its_own_requests_are_an_appliances_business() {
    let mut bench = gateway(6, json!({ "switch_id": 5 }));
    let sent = bench.run(CLIENTS, &[request(7, 1)]);
    assert_eq!(header(&sent[0].bytes).swid, 5);
    // A request that another appliance owns goes where it is addressed.
    let foreign = message_from(
        "10.0.0.11:50000",
        "10.0.1.105:9043",
        Header {
            swid: 9,
            clo: 1,
            ..Header::new(Kind::Request)
        },
    );
    let sent = bench.run(CLIENTS, std::slice::from_ref(&foreign));
    assert_eq!(servers_of(&sent), [4]);
    assert_eq!(header(&sent[0].bytes), header(&foreign));
    // And so does its answer, unfiltered, from the server's own address.
    for _ in 0..2 {
        let answer = response(&sent[0].bytes, 4, 3);
        let back = bench.run(SERVERS, &[answer]);
        assert_eq!(
            (back.len(), source(&back[0].bytes).as_str()),
            (1, "10.0.1.105")
        );
    }
    assert_eq!(
        (bench.counter("req_foreign"), bench.counter("resp_foreign")),
        (1, 2)
    );
    assert_eq!(bench.counter("state_updates"), 0);
    bench.assert_conserved();
}

#[test]
fn f15_of_two_appliances_in_series_one_acts() {
    let mut near = gateway(6, json!({ "switch_id": 1 }));
    let mut far = gateway(6, json!({ "switch_id": 2, "vip": ["10.0.0.99"] }));
    let to_far = |sent: &[Sent]| -> Vec<Vec<u8>> {
        let at_far = |sent: &Sent| {
            let mut frame = sent.bytes.clone();
            frame[..6].copy_from_slice(&OUR_MACS[0].0);
            frame
        };
        sent.iter().map(at_far).collect()
    };
    let sent = near.run(CLIENTS, &[request(7, 1)]);
    let copies = far.run(CLIENTS, &to_far(&sent));
    assert_eq!(servers_of(&copies), [1, 3], "passed as they are");
    assert_eq!(header(&copies[0].bytes).swid, 1);
    assert_eq!(far.counter("req_total"), 0);
    assert_eq!(far.counter("req_foreign"), 2);
    near.assert_conserved();
    far.assert_conserved();
}

#[test]
fn f23_responses_on_two_cores_are_filtered() {
    let mut bench = gateway_on(2, settings(6, json!({})));
    for seq in 0..100 {
        let sent = bench.run_on((seq % 2) as usize, CLIENTS, &[request(7, seq)]);
        let one = response(&sent[0].bytes, 1, 0);
        let three = response(&sent[1].bytes, 3, 0);
        let passed =
            bench.run_on(0, SERVERS, &[one]).len() + bench.run_on(1, SERVERS, &[three]).len();
        assert_eq!(passed, 1);
    }
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn x01_lost_requests_and_responses_leave_nothing_stuck() {
    let mut bench = gateway(6, json!({ "slots_log2": 10 }));
    for seq in 0..5000 {
        let [one, three] = cloned(&mut bench, seq);
        // None, the one, the other, both: what the network loses varies.
        let frames = match seq % 4 {
            0 => vec![],
            1 => vec![response(&one, 1, 0)],
            2 => vec![response(&three, 3, 0)],
            _ => vec![response(&one, 1, 0), response(&three, 3, 0)],
        };
        let expected = usize::from(!frames.is_empty());
        assert_eq!(answers(&mut bench, &frames), expected, "{seq}");
    }
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn x02_duplicates_and_late_ones_cost_one_redundant_answer_at_most() {
    let mut bench = gateway(6, json!({ "slots_log2": 10 }));
    let [one, three] = cloned(&mut bench, 1);
    let (a, b) = (response(&one, 1, 0), response(&three, 3, 0));
    // The first answer twice: its copy is taken for the slower one, which then leaks.
    assert_eq!(answers(&mut bench, &[a.clone(), a.clone(), b]), 2);
    // An answer that comes after its slot has been used a thousand times over.
    let [old, _] = cloned(&mut bench, 2);
    for seq in 0..2048 {
        let [one, three] = cloned(&mut bench, seq + 10);
        let frames = [response(&one, 1, 0), response(&three, 3, 0)];
        assert_eq!(answers(&mut bench, &frames), 1);
    }
    assert_eq!(answers(&mut bench, &[response(&old, 1, 0)]), 1);
    // It left its fingerprint; a new request in that slot gets its answer all the same.
    for seq in 0..2048 {
        let [one, three] = cloned(&mut bench, seq);
        let frames = [response(&one, 1, 0), response(&three, 3, 0)];
        assert_eq!(answers(&mut bench, &frames), 1);
    }
    bench.assert_conserved();
}

#[test]
fn x08_answers_of_an_earlier_start_pass_and_leave_no_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = json!({ "epoch_file": folder.path().join("epoch") });
    let mut before = gateway(6, config.clone());
    let old: Vec<_> = (0..100).map(|seq| cloned(&mut before, seq)).collect();
    before.assert_conserved();
    let mut after = gateway(6, config);
    for pair in &old {
        let frames = [response(&pair[0], 1, 0), response(&pair[1], 3, 0)];
        assert_eq!(answers(&mut after, &frames), 2, "unfiltered");
    }
    assert_eq!(after.counter("resp_stale_epoch"), 200);
    for seq in 0..100 {
        let [one, three] = cloned(&mut after, seq);
        let frames = [response(&one, 1, 0), response(&three, 3, 0)];
        assert_eq!(answers(&mut after, &frames), 1);
    }
    assert_eq!(after.counter("slot_overwrite"), 0);
    after.assert_conserved();
}

#[test]
fn b05_a_response_with_an_unknown_table_passes() {
    let mut bench = gateway(6, json!({}));
    let [one, _] = cloned(&mut bench, 1);
    let odd = response_with(&one, 1, |header| Header { idx: 9, ..header });
    assert_eq!(answers(&mut bench, &[odd.clone(), odd]), 2);
    assert_eq!(bench.counter("resp_bad_idx"), 2);
    bench.assert_conserved();
}

#[test]
fn b09_an_unstamped_response_passes_without_state() {
    let mut bench = gateway(6, json!({}));
    let [one, _] = cloned(&mut bench, 1);
    let odd = response_with(&one, 1, |header| Header {
        swid: 0,
        load: 9,
        ..header
    });
    assert_eq!(answers(&mut bench, &[odd.clone(), odd]), 2);
    assert_eq!(bench.counter("resp_unstamped"), 2);
    assert_eq!(bench.counter("state_updates"), 0);
    bench.assert_conserved();
}

#[test]
fn f30_an_answer_of_a_cache_in_front_changes_nothing() {
    let mut bench = gateway(6, json!({}));
    let [one, _] = cloned(&mut bench, 1);
    let hit = response_with(&one, 1, |header| Header {
        clo: 0,
        sid: 0xffff,
        load: 9,
        ..header
    });
    assert_eq!(bench.run(SERVERS, &[hit.clone(), hit]).len(), 2);
    assert_eq!(bench.counter("state_updates"), 0);
    let [_, _] = cloned(&mut bench, 2);
    bench.assert_conserved();
}

/// An answer of three packets, with an id of the client's own.
fn long_answers(bench: &mut StageBench, flags: Flags, seq: u32) -> [Vec<Vec<u8>>; 2] {
    let sent = bench.run(
        CLIENTS,
        &[request_with(Header {
            flags: Flags::CID,
            grp: 7,
            client_id: 9,
            client_seq: seq,
            req_id: 9 << 32 | u64::from(seq),
            ..Header::new(Kind::Request)
        })],
    );
    let ordered = flags.has(Flags::DET);
    let of = |at: usize, sid: u16| {
        let packet = |pkt_idx: u8| {
            response_with(&sent[at].bytes, sid, |header| Header {
                pkt_idx,
                pkt_cnt: 3,
                flags: header.flags.with(flags),
                idx: if ordered { pkt_idx } else { header.idx },
                ..header
            })
        };
        (0..3).map(packet).collect()
    };
    [of(0, 1), of(1, 3)]
}

#[test]
fn f17_by_default_long_answers_pass_unfiltered() {
    let mut bench = gateway(6, json!({}));
    let [one, three] = long_answers(&mut bench, Flags::NONE, 1);
    assert_eq!(answers(&mut bench, &[one, three].concat()), 6);
    assert_eq!(bench.counter("resp_unfiltered"), 6);
    bench.assert_conserved();
}

#[test]
fn f17_ordered_tables_filter_each_packet_of_equal_answers() {
    let mut bench = gateway(6, json!({ "filter_mode": "ordered", "tables": 4 }));
    let [one, three] = long_answers(&mut bench, Flags::DET, 1);
    let frames = [&one[0], &three[0], &three[1], &one[1], &one[2], &three[2]];
    assert_eq!(answers(&mut bench, &frames.map(Clone::clone)), 3);
    // Answers that may differ are not mixed: they pass.
    let [one, three] = long_answers(&mut bench, Flags::NONE, 2);
    assert_eq!(answers(&mut bench, &[one, three].concat()), 6);
    bench.assert_conserved();
    // More packets than tables: what is over passes.
    let mut bench = gateway(6, json!({ "filter_mode": "ordered", "tables": 2 }));
    let [one, three] = long_answers(&mut bench, Flags::DET, 1);
    assert_eq!(answers(&mut bench, &[one, three].concat()), 4);
    bench.assert_conserved();
}

#[test]
fn f17_with_a_winner_all_packets_are_of_one_server() {
    let mut bench = gateway(6, json!({ "filter_mode": "winner" }));
    let [one, three] = long_answers(&mut bench, Flags::NONE, 1);
    let frames = [&three[0], &one[0], &one[1], &three[1], &three[2], &one[2]];
    let sent = bench.run(SERVERS, &frames.map(Clone::clone));
    let sids: Vec<u16> = sent.iter().map(|sent| header(&sent.bytes).sid).collect();
    assert_eq!(sids, [3, 3, 3]);
    // Short answers are filtered as ever.
    let [one, three] = cloned(&mut bench, 5);
    let frames = [response(&one, 1, 0), response(&three, 3, 0)];
    assert_eq!(answers(&mut bench, &frames), 1);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn f25_without_the_filter_both_pass() {
    let mut bench = gateway(6, json!({ "filter": false }));
    let [one, three] = cloned(&mut bench, 1);
    let frames = [response(&one, 1, 0), response(&three, 3, 0)];
    assert_eq!(answers(&mut bench, &frames), 2);
    bench.assert_conserved();
}

#[test]
fn an_id_of_a_client_never_meets_one_of_ours() {
    // The same 64 bits, once as a client's id and once as ours.
    let folder = tempfile::tempdir().expect("a folder");
    let config = json!({ "epoch_file": folder.path().join("epoch"), "slots_log2": 10 });
    let mut bench = gateway(6, config);
    let [one, three] = cloned(&mut bench, 1);
    let id = header(&one).req_id;
    let own = Header {
        flags: Flags::CID,
        grp: 7,
        client_id: (id >> 32) as u32,
        client_seq: id as u32,
        req_id: id,
        ..Header::new(Kind::Request)
    };
    let sent = bench.run(CLIENTS, &[request_with(own)]);
    assert_eq!(answers(&mut bench, &[response(&one, 1, 0)]), 1);
    assert_eq!(answers(&mut bench, &[response(&sent[0].bytes, 1, 0)]), 1);
    assert_eq!(answers(&mut bench, &[response(&three, 3, 0)]), 0);
    assert_eq!(answers(&mut bench, &[response(&sent[1].bytes, 3, 0)]), 0);
    bench.assert_conserved();
}
