//! Changes while traffic goes on: servers, policy, filter, VIP.

use nf_core::chain::{CommandError, ReloadError};
use serde_json::json;

use super::*;

/// Whether every group's request gets an answer, and one only. Gives who answered first.
fn round(bench: &mut StageBench, groups: u32) -> Vec<u16> {
    (0..groups)
        .map(|group| {
            let sent = bench.run(CLIENTS, &[request(group, group)]);
            let to: Vec<u16> = servers_of(&sent);
            let answers: Vec<_> = sent
                .iter()
                .zip(&to)
                .map(|(sent, &sid)| response(&sent.bytes, sid, 0))
                .collect();
            let back = bench.run(SERVERS, &answers);
            assert_eq!(back.len(), 1, "group {group}");
            to[0]
        })
        .collect()
}

fn shown(bench: &mut StageBench) -> Value {
    bench.command("show", json!(null)).expect("an answer")
}

#[test]
fn f21_servers_come_and_go_and_nothing_is_lost() {
    let mut bench = gateway(4, json!({}));
    assert_eq!(round(&mut bench, 12).len(), 12);
    let in_flight = bench.run(CLIENTS, &[request(0, 1)]);
    bench
        .command("remove", json!({ "sid": 0 }))
        .expect("removed");
    // Clients know of 12 groups still: each is as good as before.
    assert!(!round(&mut bench, 12).contains(&0));
    // What was under way to the removed server comes back.
    let answers = [
        response(&in_flight[0].bytes, 0, 0),
        response(&in_flight[1].bytes, 1, 0),
    ];
    assert_eq!(bench.run(SERVERS, &answers).len(), 1);
    bench
        .command("add", json!({ "sid": 9, "ip": server_ip(9) }))
        .expect("added");
    let firsts = round(&mut bench, 12);
    assert_eq!(
        firsts.iter().filter(|&&sid| sid == 9).count(),
        3,
        "in its place"
    );
    assert_eq!(shown(&mut bench)["groups"], 12);
    bench
        .command("add", json!({ "sid": 10, "ip": server_ip(10) }))
        .expect("added");
    let shown = shown(&mut bench);
    assert_eq!(
        (&shown["groups"], &shown["cfg_gen"]),
        (&json!(20), &json!(2))
    );
    assert_eq!(
        round(&mut bench, 20)
            .iter()
            .filter(|&&sid| sid == 10)
            .count(),
        4
    );
    assert_eq!(bench.counter("bad_grp") + bench.counter("bad_sid"), 0);
    // After its farewell, the removed one is nobody.
    bench.advance(11_000_000_000);
    assert_eq!(
        bench.run(SERVERS, &[response(&in_flight[0].bytes, 0, 0)]),
        []
    );
    assert_eq!(bench.counter("bad_sid"), 1);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn f22_drain_and_restore() {
    let mut bench = gateway(3, json!({}));
    let answer = bench
        .command("drain", json!({ "sid": 1 }))
        .expect("drained");
    assert_eq!(answer["servers"][1]["live"], false);
    assert!(!round(&mut bench, 6).contains(&1));
    assert_eq!(answer["servers"][1]["state"], "drained");
    bench
        .command("restore", json!({ "sid": 1 }))
        .expect("restored");
    assert!(round(&mut bench, 6).contains(&1));
    bench.assert_conserved();
}

#[test]
fn f22_a_server_that_drops_clones_is_drained_all_the_same() {
    let mut bench = gateway(3, json!({ "probe_interval_us": 0 }));
    let sent = bench.run(CLIENTS, &[request(0, 1)]);
    let to = servers_of(&sent);
    bench.run(SERVERS, &[response(&sent[0].bytes, to[0], 0)]);
    let answer = bench
        .command("drain", json!({ "sid": to[1] }))
        .expect("drained");
    let state = |answer: &Value| answer["servers"][usize::from(to[1])]["state"].clone();
    assert_eq!(state(&answer), "draining");
    bench.advance(500_000_000);
    assert_eq!(state(&shown(&mut bench)), "draining");
    bench.advance(600_000_000);
    assert_eq!(state(&shown(&mut bench)), "drained");
    bench.assert_conserved();
}

#[test]
fn f21_policy_changes_between_two_requests() {
    let mut bench = gateway(3, json!({}));
    assert_eq!(bench.run(CLIENTS, &[request(0, 1)]).len(), 2);
    let answer = bench
        .command("policy", json!({ "policy": "jsq", "jsq_probe": 0.5 }))
        .expect("changed");
    assert_eq!(
        (&answer["policy"], &answer["jsq_probe"]),
        (&json!("jsq"), &json!(0.5))
    );
    assert_eq!(bench.run(CLIENTS, &[request(0, 2)]).len(), 1);
    bench
        .command("policy", json!({ "filter": false }))
        .expect("changed");
    bench.assert_conserved();
}

#[test]
fn x09_another_filter_begins_another_epoch() {
    let mut bench = gateway(3, json!({}));
    let old = bench.run(CLIENTS, &[request(0, 1)]);
    let before = shown(&mut bench)["epoch"].clone();
    bench
        .reload(&settings(3, json!({ "slots_log2": 12, "tables": 4 })))
        .expect("reloaded");
    let new = bench.run(CLIENTS, &[request(0, 2)]);
    assert_ne!(shown(&mut bench)["epoch"], before);
    let ids = [&old, &new].map(|sent| header(&sent[0].bytes).req_id);
    assert_ne!(ids[0] >> 48, ids[1] >> 48);
    // Answers under the old epoch pass, both; those of the new one are filtered.
    let answers = |sent: &[Sent]| -> Vec<Vec<u8>> {
        let sids = servers_of(sent);
        let each = sent.iter().zip(sids);
        each.map(|(sent, sid)| response(&sent.bytes, sid, 0))
            .collect()
    };
    assert_eq!(bench.run(SERVERS, &answers(&old)).len(), 2);
    assert_eq!(bench.run(SERVERS, &answers(&new)).len(), 1);
    bench.advance(2_000_000);
    assert_eq!(bench.counter("epoch_rolls"), 1);
    bench.assert_conserved();
}

#[test]
fn f21_vip_and_ports_change_live() {
    let mut bench = gateway(3, json!({}));
    bench
        .reload(&settings(3, json!({ "l4_ports": [9043, 9050] })))
        .expect("reloaded");
    let on_9050 = message_from(
        "10.0.0.11:50000",
        "10.0.0.100:9050",
        Header::new(Kind::Request),
    );
    assert_eq!(bench.run(CLIENTS, &[on_9050]).len(), 2);
    bench.assert_conserved();
}

#[test]
fn f21_what_needs_a_restart_is_named() {
    let mut bench = gateway(3, json!({}));
    let told = bench
        .reload(&settings(
            3,
            json!({ "wire": "compat28", "msg_table_log2": 5 }),
        ))
        .expect_err("refused");
    let ReloadError::NeedsRestart(keys) = told else {
        panic!("{told}");
    };
    assert_eq!(keys, ["wire", "msg_table_log2"]);
    assert_eq!(bench.run(CLIENTS, &[request(0, 1)]).len(), 2, "as it was");
    bench.assert_conserved();
}

#[test]
fn commands_say_what_is_wrong_and_change_nothing() {
    let mut bench = gateway(2, json!({}));
    for (verb, arguments, told) in [
        ("remove", json!({ "sid": 7 }), "there is no server 7: 0, 1"),
        ("remove", json!({ "sid": 0 }), "cloning needs two servers"),
        (
            "add",
            json!({ "sid": 0, "ip": "10.0.1.9" }),
            "another server has this number",
        ),
        ("add", json!({ "sid": 5, "ip": "10.0.0.100" }), "a VIP"),
        (
            "policy",
            json!({ "policy": "sometimes" }),
            "unknown variant",
        ),
        ("policy", json!({ "polcy": "jsq" }), "unknown field"),
        ("drain", json!({}), "missing field"),
    ] {
        let error = bench.command(verb, arguments).expect_err("refused");
        assert!(error.to_string().contains(told), "{verb}: {error}");
    }
    let unknown = bench.command("clone", json!(null)).expect_err("refused");
    assert!(matches!(unknown, CommandError::Unknown { .. }));
    assert_eq!(round(&mut bench, 2), [0, 1]);
    bench.assert_conserved();
}

#[test]
fn f24_the_servers_table_counts_what_was_sent_and_answered() {
    let mut bench = gateway(3, json!({}));
    round(&mut bench, 6);
    let table = bench.command("servers", json!(null)).expect("an answer");
    let sum = |key: &str| -> u64 {
        let servers = table["servers"].as_array().expect("a list");
        servers
            .iter()
            .filter_map(|server| server[key].as_u64())
            .sum()
    };
    assert_eq!((sum("fwd_orig"), sum("fwd_clone"), sum("resp")), (6, 6, 12));
    assert_eq!(bench.counter("req_total"), 6);
    assert_eq!(bench.counter("resp_total"), 12);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn f24_counters_have_the_names_that_are_promised() {
    let promised = "req_total req_cloned req_single req_jsq_second req_noclone_flag \
        req_unclone_nomem req_unclone_budget resp_total resp_first resp_filtered resp_uncloned \
        resp_stale_epoch resp_bad_idx resp_unstamped slot_overwrite state_updates write_req \
        write_resp passthrough bad_magic bad_version bad_hlen truncated bad_type bad_direction \
        bad_clo bad_grp bad_idx bad_sid sid_ip_mismatch bad_req_id loop fragment ttl_expired \
        csum_bad no_server msg_hit msg_insert msg_full msg_expired server_down server_up \
        epoch_rolls";
    for name in promised.split_whitespace() {
        let found = super::super::COUNTERS.iter().any(|desc| desc.name == name);
        assert!(found, "{name}");
    }
}
