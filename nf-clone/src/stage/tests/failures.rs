//! Servers that die, hang and come back; buffers that run out; counters near their end.

use serde_json::json;

use super::*;

/// Servers that answer pings, as a rack with some of them dead would. Gives the sequence of frames that
/// left otherwise.
fn run_for(bench: &mut StageBench, ms: u64, dead: &[u16]) -> Vec<Sent> {
    let mut others = Vec::new();
    for _ in 0..ms {
        for sent in bench.advance(1_000_000) {
            let is_ping = sent.port == SERVERS && header(&sent.bytes).kind == Kind::Ping;
            if !is_ping {
                others.push(sent);
                continue;
            }
            let sid = header(&sent.bytes).sid;
            if !dead.contains(&sid) {
                assert_eq!(bench.run(SERVERS, &[response(&sent.bytes, sid, 0)]), []);
            }
        }
    }
    others
}

fn with_pings(n: u16) -> StageBench {
    gateway(n, json!({ "probe_interval_us": 10_000 }))
}

/// The first candidates of all groups.
fn firsts(bench: &mut StageBench, n: u32) -> Vec<u16> {
    (0..n * (n - 1))
        .map(|group| {
            let sent = bench.run(CLIENTS, &[request(group, group)]);
            assert_eq!(sent.len(), 2);
            let servers = servers_of(&sent);
            assert_ne!(servers[0], servers[1]);
            servers[0]
        })
        .collect()
}

#[test]
fn f22_f29_pings_find_the_dead_and_the_living() {
    let mut bench = with_pings(6);
    assert_eq!(run_for(&mut bench, 100, &[]), []);
    // The first left when the core started, before anybody listened.
    assert_eq!(bench.sent_at_start().len(), 6);
    assert_eq!(bench.counter("pings"), bench.counter("pongs") + 6);
    let selftest = bench.command("selftest", json!(null)).expect("an answer");
    assert_eq!(selftest["result"], "passed");
    run_for(&mut bench, 45, &[2]);
    assert_eq!(bench.counter("server_down"), 1);
    let before = firsts(&mut bench, 6);
    assert!(!before.contains(&2));
    assert_eq!(before.len(), 30, "as many groups as before");
    let servers = bench.command("servers", json!(null)).expect("an answer");
    assert_eq!(servers["servers"][2]["state"], "down");
    assert_eq!(servers["servers"][1]["state"], "up");
    run_for(&mut bench, 80, &[]);
    assert_eq!(bench.counter("server_up"), 1);
    for sid in 0..6 {
        says(&mut bench, sid, 0);
    }
    let after = firsts(&mut bench, 6);
    assert_eq!(after.iter().filter(|&&sid| sid == 2).count(), 5);
    bench.assert_conserved();
}

#[test]
fn f29_the_selftest_tells_when_answers_do_not_come_back() {
    let mut bench = with_pings(3);
    run_for(&mut bench, 20, &[0, 1, 2]);
    let selftest = bench.command("selftest", json!(null)).expect("an answer");
    assert_eq!(selftest["result"], "waiting");
    assert_eq!(selftest["no_pong_from"], json!([0, 1, 2]));
    bench.assert_conserved();
}

#[test]
fn x06_a_server_that_dies_under_load_is_found_and_costs_no_further_request() {
    let mut bench = with_pings(6);
    run_for(&mut bench, 100, &[]);
    let mut lost = 0;
    for ms in 0..100u32 {
        for n in 0..20 {
            let sent = bench.run(CLIENTS, &[request((ms * 20 + n) % 30, n)]);
            let mut answers = Vec::new();
            for sent in &sent {
                let sid = servers_of(std::slice::from_ref(sent))[0];
                if sid != 4 {
                    answers.push(response(&sent.bytes, sid, 0));
                }
            }
            let passed = bench.run(SERVERS, &answers).len();
            assert!(passed <= 1);
            lost += usize::from(passed == 0);
        }
        run_for(&mut bench, 1, &[4]);
    }
    assert_eq!(bench.counter("server_down"), 1);
    // Clones have saved what went to the dead one.
    assert_eq!(lost, 0);
    bench.assert_conserved();
}

#[test]
fn x06_a_server_that_flaps_stays_out_until_it_is_steady() {
    let mut bench = with_pings(6);
    run_for(&mut bench, 100, &[]);
    run_for(&mut bench, 50, &[1]);
    for _ in 0..10 {
        run_for(&mut bench, 20, &[]);
        run_for(&mut bench, 20, &[1]);
    }
    assert_eq!(bench.counter("server_down"), 1);
    assert_eq!(bench.counter("server_up"), 0);
    bench.assert_conserved();
}

#[test]
fn x07_all_but_one_dead_all_dead_all_back() {
    let mut bench = with_pings(3);
    run_for(&mut bench, 100, &[]);
    run_for(&mut bench, 60, &[0, 1]);
    for group in 0..6 {
        let sent = bench.run(CLIENTS, &[request(group, 1)]);
        assert_eq!(servers_of(&sent), [2], "alone, never cloned");
        assert_eq!(header(&sent[0].bytes).clo, 0);
    }
    run_for(&mut bench, 60, &[0, 1, 2]);
    let sent = bench.run(CLIENTS, &[request(0, 1)]);
    let told = header(&sent[0].bytes);
    assert_eq!(
        (sent[0].port, told.kind, told.load),
        (CLIENTS, Kind::Nack, 1)
    );
    assert_eq!(bench.dropped("no_server"), 1);
    run_for(&mut bench, 80, &[]);
    assert_eq!(firsts(&mut bench, 3).len(), 6);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn f22_groups_can_shrink_instead_and_clients_are_told() {
    let shrink = json!({ "on_server_fail": "shrink", "probe_interval_us": 10_000 });
    let mut bench = gateway(6, shrink);
    run_for(&mut bench, 200, &[]);
    run_for(&mut bench, 200, &[5]);
    let status = bench.control().status();
    assert_eq!(
        (&status["groups"], &status["cfg_gen"]),
        (&json!(20), &json!(2))
    );
    // A group that is no more, of a client that knows the old generation.
    let old = Header {
        grp: 29,
        cfg_gen: 1,
        client_seq: 8,
        ..Header::new(Kind::Request)
    };
    let sent = bench.run(CLIENTS, &[request_with(old)]);
    let told: Vec<Header> = sent.iter().map(|sent| header(&sent.bytes)).collect();
    assert_eq!(
        told.len(),
        2,
        "that there are fewer, and that this one is none"
    );
    assert_eq!((told[0].kind, told[1].kind), (Kind::Config, Kind::Nack));
    for told in told {
        assert_eq!(
            (told.grp, told.idx, told.cfg_gen, told.client_seq),
            (20, 2, 2, 8)
        );
    }
    // A group that there still is goes on as well.
    let old = Header { grp: 3, ..old };
    let sent = bench.run(CLIENTS, &[request_with(old)]);
    assert_eq!(sent.len(), 3);
    bench.assert_conserved();
}

#[test]
fn x04_without_buffers_originals_still_flow_and_it_recovers() {
    let config = inline_settings(6, json!({}));
    let (mut bench, taken) = with_one_buffer(config);
    for n in 0..10 {
        // The one buffer that there is is the request's.
        let sent = bench.run(CLIENTS, &[request(7, n)]);
        assert_eq!(servers_of(&sent), [1]);
        let original = header(&sent[0].bytes);
        assert_eq!((original.clo, original.sid, original.swid), (0, 0xffff, 1));
        assert_ne!(original.req_id, 0);
    }
    assert_eq!(bench.counter("req_unclone_nomem"), 10);
    drop(taken);
    assert_eq!(servers_of(&bench.run(CLIENTS, &[request(7, 1)])), [1, 3]);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn x05_where_a_port_has_no_room_clones_are_dropped_before_originals() {
    let mut bench = gateway(6, json!({}));
    // A burst of 32 requests, 64 packets, and room for 40.
    let burst: Vec<_> = (0..32).map(|n| request(n % 30, n)).collect();
    bench.set_room(40);
    let sent = bench.run(CLIENTS, &burst);
    let clo = |clo: u8| {
        let of = |sent: &&Sent| header(&sent.bytes).clo == clo;
        sent.iter().filter(of).count()
    };
    assert_eq!((clo(1), clo(2)), (32, 8));
    // The stage hears of it at its next burst.
    bench.run(CLIENTS, &[request(0, 1)]);
    assert_eq!(bench.counter("clone_tx_drop"), 24);
    let out = bench.counter("req_total") + bench.counter("req_cloned");
    assert_eq!(out, 32 + 32 + 2);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn x13_a_stalled_core_finds_everybody_alive() {
    let mut bench = with_pings(6);
    run_for(&mut bench, 100, &[]);
    // Nothing runs for a second: one ping is unanswered, which is no reason.
    bench.advance(1_000_000);
    run_for(&mut bench, 100, &[]);
    assert_eq!(bench.counter("server_down"), 0);
    bench.assert_conserved();
}

#[test]
fn x14_a_core_that_stalls_holds_up_nobody() {
    let mut bench = gateway_on(2, settings(6, json!({})));
    // Core 1 does not turn while the settings change again and again.
    for n in 0..50 {
        let policy = if n % 2 == 0 { "random" } else { "netclone" };
        bench
            .command("policy", json!({ "policy": policy }))
            .expect("changed");
        let expected = if n % 2 == 0 { 1 } else { 2 };
        let sent = bench.run_on(0, CLIENTS, &[request(7, n)]);
        assert_eq!(sent.len(), expected);
    }
    let sent = bench.run_on(1, CLIENTS, &[request(7, 1)]);
    assert_eq!(sent.len(), 2, "it follows when it turns");
    bench.assert_conserved();
}

#[test]
fn x16_two_appliances_with_one_number_are_a_loop() {
    let mut bench = gateway(6, json!({}));
    let sent = bench.run(CLIENTS, &[request(7, 1)]);
    let mut again = sent[0].bytes.clone();
    again[..6].copy_from_slice(&OUR_MACS[0].0);
    // Back to the VIP, as the other appliance would send it.
    let looped = Header { ..header(&again) };
    assert_eq!(bench.run(CLIENTS, &[request_with(looped)]), []);
    assert_eq!(bench.counter("loop"), 1);
    assert_eq!(bench.dropped("loop"), 1);
    // Or on to its server, as it does where the two stand in series.
    assert_eq!(bench.run(CLIENTS, &[again]), []);
    assert_eq!(bench.counter("loop"), 2);
    check_invariants(&bench);
    bench.assert_conserved();
}
