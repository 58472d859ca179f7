//! `wire: none`: lost answers, servers and appliances that fail, and settings that change.

use serde_json::json;

use super::plain::*;
use super::*;

const MS: u64 = 1_000_000;

#[test]
fn x01_a_request_without_answer_is_given_up_and_a_late_answer_still_passes_once() {
    let mut bench = memcached(2, json!({}));
    let sent = bench.run(CLIENTS, &[get(5)]);
    assert_eq!(bench.run(CLIENTS, &[get(6)]).len(), 1, "both are busy");
    bench.advance(250 * MS);
    assert_eq!(bench.counter("plain_given_up"), 2);
    assert_eq!(bench.run(CLIENTS, &[get(7)]).len(), 2, "nobody is busy");
    assert_eq!(
        bench
            .run(SERVERS, &[answer(&sent[0]), answer(&sent[1])])
            .len(),
        1
    );
    bench.advance(2_500 * MS);
    no_load(&mut bench);
    // Forgotten: whatever comes now passes.
    assert_eq!(
        bench
            .run(SERVERS, &[answer(&sent[0]), answer(&sent[1])])
            .len(),
        2
    );
    assert_eq!(bench.counter("plain_unknown"), 2);
    bench.assert_conserved();
}

#[test]
fn a_retransmission_goes_to_another_server() {
    let mut bench = memcached(3, json!({ "policy": "random" }));
    for id in 0..20 {
        let first = bench.run(CLIENTS, &[get(id)]);
        let again = bench.run(CLIENTS, &[get(id)]);
        assert_ne!(servers_of(&first), servers_of(&again));
        let back = bench.run(SERVERS, &[answer(&again[0]), answer(&first[0])]);
        assert_eq!(back.len(), 1);
    }
    assert_eq!(bench.counter("plain_retry"), 20);
    bench.assert_conserved();
}

#[test]
fn x06_a_server_that_falls_silent_is_left_out_and_comes_back_by_trials() {
    let mut bench = memcached(3, json!({}));
    let dead = "10.0.1.102";
    let mut id = 0;
    let mut round = |bench: &mut StageBench, alive: bool| {
        id += 1;
        let sent = bench.run(CLIENTS, &[get(id)]);
        let answers: Vec<_> = sent
            .iter()
            .filter(|sent| alive || destination(&sent.bytes) != dead)
            .map(answer)
            .collect();
        let back = bench.run(SERVERS, &answers);
        bench.advance(MS);
        (sent, back.len())
    };
    for _ in 0..300 {
        round(&mut bench, false);
    }
    assert_eq!(bench.counter("server_down"), 1);
    // From now on nothing is lost, and the dead server gets a clone now and then.
    bench.advance(200 * MS);
    let mut trials = 0;
    for _ in 0..100 {
        let (sent, back) = round(&mut bench, false);
        assert_eq!(back, 1);
        trials += sent
            .iter()
            .filter(|sent| destination(&sent.bytes) == dead)
            .count();
    }
    assert!((5..=20).contains(&trials), "{trials}");
    for _ in 0..100 {
        assert_eq!(round(&mut bench, true).1, 1);
    }
    assert_eq!(bench.counter("server_up"), 1);
    let shown = bench.command("servers", json!(null)).expect("an answer");
    assert!(
        shown["servers"]
            .as_array()
            .expect("servers")
            .iter()
            .all(|s| s["live"] == true)
    );
    bench.assert_conserved();
}

/// A server hangs for longer than requests are known, and then answers them all.
#[test]
fn x06_answers_that_a_hung_server_gives_too_late_end_here() {
    let mut bench = memcached(2, json!({}));
    let hung = "10.0.1.102";
    let mut waiting = Vec::new();
    for id in 0..400 {
        let sent = bench.run(CLIENTS, &[get(id)]);
        let (late, answers): (Vec<_>, Vec<_>) = sent
            .iter()
            .partition(|sent| destination(&sent.bytes) == hung);
        waiting.extend(late.into_iter().map(answer));
        let answers: Vec<_> = answers.into_iter().map(answer).collect();
        bench.run(SERVERS, &answers);
        bench.advance(MS);
    }
    assert_eq!(bench.counter("server_down"), 1);
    bench.advance(2_500 * MS);
    assert!(waiting.len() > 32, "{}", waiting.len());
    assert_eq!(bench.run(SERVERS, &waiting).len(), 0);
    assert_eq!(bench.counter("plain_too_late"), waiting.len() as u64);
    // Nor is it back by them.
    bench.advance(100 * MS);
    assert_eq!(bench.counter("server_up"), 0);
    for id in 1000..1200 {
        let sent = bench.run(CLIENTS, &[get(id)]);
        let answers: Vec<_> = sent.iter().map(answer).collect();
        assert_eq!(bench.run(SERVERS, &answers).len(), 1);
        bench.advance(MS);
    }
    assert_eq!(bench.counter("server_up"), 1);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn x07_with_all_servers_down_all_are_asked_and_with_all_drained_none() {
    let mut bench = memcached(2, json!({}));
    for id in 0..300 {
        bench.run(CLIENTS, &[get(id)]);
        bench.advance(MS);
    }
    assert_eq!(bench.counter("server_down"), 2);
    assert!(!bench.run(CLIENTS, &[get(1000)]).is_empty());
    for sid in [0, 1] {
        bench
            .command("drain", json!({ "sid": sid }))
            .expect("drained");
    }
    assert_eq!(bench.run(CLIENTS, &[get(1001)]).len(), 0);
    assert_eq!(bench.dropped("no_server"), 1);
    bench
        .command("restore", json!({ "sid": 1 }))
        .expect("restored");
    assert_eq!(servers_of(&bench.run(CLIENTS, &[get(1002)])), [1]);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn f21_servers_are_drained_removed_and_added_and_no_answer_is_lost() {
    let mut bench = memcached(3, json!({}));
    let mut id = 0;
    let mut round = |bench: &mut StageBench| {
        id += 1;
        let sent = bench.run(CLIENTS, &[get(id)]);
        let answers: Vec<_> = sent.iter().map(answer).collect();
        assert_eq!(bench.run(SERVERS, &answers).len(), 1);
        servers_of(&sent)
    };
    let under_way = bench.run(CLIENTS, &[get(5000)]);
    bench
        .command("drain", json!({ "sid": 0 }))
        .expect("drained");
    for _ in 0..50 {
        assert!(!round(&mut bench).contains(&0));
    }
    bench
        .command("add", json!({ "sid": 7, "ip": server_ip(7) }))
        .expect("added");
    for sid in [0, 1] {
        bench
            .command("remove", json!({ "sid": sid }))
            .expect("removed");
    }
    let seen: Vec<u16> = (0..50).flat_map(|_| round(&mut bench)).collect();
    assert!(seen.contains(&7) && seen.contains(&2) && !seen.contains(&1));
    // Those who have left still answer what they were asked, as the service.
    let answers: Vec<_> = under_way.iter().map(answer).collect();
    let back = bench.run(SERVERS, &answers);
    assert_eq!(back.len(), 1);
    assert_from_service(&back[0], 11211, 40000);
    bench.assert_conserved();
}

#[test]
fn x04_without_buffers_reads_go_to_one_server_and_nobody_is_believed_busy() {
    let service = json!({ "port": 11211, "protocol": "memcached" });
    let config = inline_settings(
        2,
        json!({ "wire": "none", "services": [service], "policy": "netclone+jsq" }),
    );
    let (mut bench, taken) = with_one_buffer(config);
    for id in 0..10 {
        let sent = bench.run(CLIENTS, &[get(id)]);
        assert_eq!(sent.len(), 1);
        assert_eq!(bench.run(SERVERS, &[answer(&sent[0])]).len(), 1);
    }
    assert_eq!(bench.counter("req_unclone_nomem"), 10);
    drop(taken);
    assert_eq!(bench.run(CLIENTS, &[get(11)]).len(), 2);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn x15_a_budget_for_clones() {
    let mut bench = memcached(3, json!({ "clone_budget_pps": 10, "policy": "always" }));
    let sent = (0..1000)
        .map(|id| bench.run(CLIENTS, &[get(id)]).len() as u64)
        .sum::<u64>();
    assert_eq!(sent, 1000 + bench.counter("req_cloned"));
    assert!(bench.counter("req_unclone_budget") > 900);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn x08_answers_to_requests_of_before_a_restart_pass() {
    let mut before = memcached(2, json!({}));
    let sent = before.run(CLIENTS, &[get(5)]);
    let mut after = memcached(2, json!({}));
    let back = after.run(SERVERS, &[answer(&sent[0]), answer(&sent[1])]);
    assert_eq!(back.len(), 2, "one too many is better than none");
    for back in &back {
        assert_from_service(back, 11211, 40000);
    }
    before.assert_conserved();
    after.assert_conserved();
}

#[test]
fn f23_answers_that_come_to_two_cores_are_one() {
    let service = json!({ "port": 11211, "protocol": "memcached" });
    let mut bench = gateway_on(2, plain_settings(3, service, json!({})));
    for id in 0..50 {
        let sent = bench.run_on(usize::from(id % 2), CLIENTS, &[get(id)]);
        assert_eq!(sent.len(), 2);
        let first = bench.run_on(0, SERVERS, &[answer(&sent[0])]);
        let second = bench.run_on(1, SERVERS, &[answer(&sent[1])]);
        assert_eq!((first.len(), second.len()), (1, 0));
    }
    bench.advance(2_500 * MS);
    no_load(&mut bench);
    bench.assert_conserved();
}

#[test]
fn settings_change_under_traffic_or_say_what_cannot() {
    let mut bench = memcached(2, json!({}));
    let with = |port: u16, more: Value| {
        let service = json!({ "port": port, "protocol": "memcached" });
        plain_settings(2, service, more)
    };
    bench.reload(&with(11300, json!({}))).expect("a reload");
    // An address of the router's own, and nobody there any more.
    let refused = bench.run(CLIENTS, &[get(1)]);
    assert!(refused.iter().all(|sent| sent.port == CLIENTS));
    let moved = Frame::udp(&format!("{CLIENT}:40000"), &format!("{VIP}:11300"))
        .macs(CLIENT_MAC, OUR_MACS[0])
        .payload(&framed(1, [0, 1], "get key\r\n"))
        .build();
    assert_eq!(servers_of(&bench.run(CLIENTS, &[moved])).len(), 2);
    for key in ["requests_log2", "answer_timeout_us", "forget_us"] {
        let value = match key {
            "requests_log2" => 10,
            _ => 3_000_000,
        };
        let more = json!({ key: value, "forget_us": 4_000_000 });
        let error = bench.reload(&with(11300, more)).expect_err(key).to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn b15_mistakes_in_services_are_told_where_they_are() {
    let service = |more: Value| merged(json!({ "port": 11211, "protocol": "memcached" }), more);
    for (more, told) in [
        (json!({ "services": [] }), "wire \"none\" needs a service"),
        (json!({ "vip": [] }), "needs the service's address"),
        (
            json!({ "services": [service(json!({})), service(json!({ "server_port": 5 }))] }),
            "another service has this port",
        ),
        (
            json!({ "services": [service(json!({})), service(json!({ "port": 5, "server_port": 11211 }))] }),
            "the same port on the same server",
        ),
        (
            json!({ "services": [service(json!({ "servers": [1, 9] }))] }),
            "there is no such server",
        ),
        (
            json!({ "services": [service(json!({ "servers": [1, 1] }))] }),
            "stands here twice",
        ),
        (
            json!({ "services": [service(json!({ "servers": [0, 1], "writes": { "server": 2 } }))] }),
            "not a server of this service",
        ),
        (
            json!({ "services": [service(json!({ "many_datagrams": true }))] }),
            "only for protocol",
        ),
        (
            json!({ "services": [service(json!({ "protocol": "http" }))] }),
            "http",
        ),
        (
            json!({ "filter_mode": "winner" }),
            "means nothing with wire \"none\"",
        ),
        (
            json!({ "rewrite_resp_src": false }),
            "means nothing with wire \"none\"",
        ),
        (
            json!({ "forget_us": 1000 }),
            "shorter than answer_timeout_us",
        ),
        (json!({ "wire": "v1" }), "only for wire \"none\""),
    ] {
        let config = merged(plain_settings(3, service(json!({})), json!({})), more);
        let options = BenchOptions {
            behind: vec![("route", json!({}))],
            ..options(1)
        };
        let problems = nf_core::testing::check(&CloneKind, &config, &options);
        let text = problems.to_string();
        assert!(
            problems.has_errors() && text.contains(told),
            "{told}: {text}"
        );
    }
}
