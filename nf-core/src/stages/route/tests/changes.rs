//! Routes, addresses and neighbours that change while packets flow; wrong settings.

use std::time::Instant;

use super::*;
use crate::testing::{BenchOptions, Load, UnderLoad, check};

#[test]
fn routes_come_and_go_by_command() {
    let mut bench = with_hosts();
    let frame = Frame::udp("10.0.0.2:1", "20.1.2.3:2").build();
    let goes = |bench: &mut StageBench| {
        bench.advance(200 * MS);
        bench.run(C, &[&frame]).first().map(|sent| sent.port)
    };
    assert_eq!(
        goes(&mut bench),
        Some(C),
        "the sender is told that there is no route"
    );
    for round in 0..5 {
        let done = bench
            .command("add", json!({ "prefix": "20.0.0.0/8", "via": "10.0.1.2" }))
            .expect("added");
        assert_eq!(done["prefix"], "20.0.0.0/8");
        assert_eq!(goes(&mut bench), Some(S), "{round}");
        bench
            .command("add", json!({ "prefix": "20.1.0.0/16", "blackhole": true }))
            .expect("added");
        assert_eq!(goes(&mut bench), None);
        bench
            .command("delete", json!({ "prefix": "20.1.0.0/16" }))
            .expect("deleted");
        assert_eq!(goes(&mut bench), Some(S));
        bench
            .command("delete", json!({ "prefix": "20.0.0.0/8" }))
            .expect("deleted");
        assert_eq!(goes(&mut bench), Some(C));
    }
    let shown = bench.command("routes", Value::Null).expect("shown");
    let kinds: Vec<_> = shown
        .as_array()
        .expect("a list")
        .iter()
        .map(|route| route["kind"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(
        (
            kinds.len(),
            kinds.iter().filter(|kind| **kind == "connected").count()
        ),
        (12, 4)
    );
    bench.assert_conserved();
}

#[test]
fn neighbours_come_and_go_by_command() {
    let mut bench = router(json!({}));
    let frame = Frame::udp("10.0.0.2:1", "10.0.1.9:2").build();
    let mac = MacAddr([2, 3, 3, 3, 3, 3]);
    bench
        .command(
            "neighbour_add",
            json!({ "address": "10.0.1.9", "mac": mac }),
        )
        .expect("added");
    assert_eq!(macs(&bench.run(C, &[&frame])[0].bytes).1, mac);
    assert_eq!(
        bench
            .command("neighbour_flush", Value::Null)
            .expect("flushed")["removed"],
        0
    );
    let shown = bench.command("neighbours", Value::Null).expect("shown");
    assert_eq!(shown[0]["state"], "static");
    bench
        .command("neighbour_delete", json!({ "address": "10.0.1.9" }))
        .expect("deleted");
    let asked = bench.run(C, &[&frame]);
    assert!(answer_of(&asked[0], mac).is_some(), "it is asked for now");
    bench.advance(10 * SECOND);
    bench.assert_conserved();
}

#[test]
fn commands_refuse_what_makes_no_sense_and_change_nothing() {
    let mut bench = with_hosts();
    let before = bench.command("show", Value::Null).expect("shown");
    for (verb, arguments, message) in [
        ("frob", json!({}), "there is no command"),
        ("add", json!({}), "missing field `prefix`"),
        (
            "add",
            json!({ "prefix": "20.0.0.0/8" }),
            "the route leads nowhere",
        ),
        (
            "add",
            json!({ "prefix": "20.0.0.0/8", "via": "30.0.0.1" }),
            "in no network of the own addresses",
        ),
        (
            "add",
            json!({ "prefix": "20.0.0.0/8", "via": "fd00::2" }),
            "of another IP version",
        ),
        (
            "add",
            json!({ "prefix": "20.0.0.0/8", "via": "10.0.1.1" }),
            "this is an own address",
        ),
        (
            "add",
            json!({ "prefix": "20.0.0.0/8", "port": "nowhere" }),
            "there is no such port",
        ),
        (
            "add",
            json!({ "prefix": "20.0.0.0/8", "port": "clients", "blackhole": true }),
            "a blackhole leads",
        ),
        (
            "add",
            json!({ "prefix": "10.0.1.0/24", "via": "10.0.0.2" }),
            "own network",
        ),
        (
            "add",
            json!({ "prefix": "10.0.1.1/32", "via": "10.0.0.2" }),
            "own network or address",
        ),
        (
            "add",
            json!({ "prefix": "fd01::/64", "via": "fe80::1" }),
            "needs a port",
        ),
        (
            "delete",
            json!({ "prefix": "20.0.0.0/8" }),
            "there is no route for",
        ),
        ("delete", json!({ "prefix": "20.0.0.1/8" }), "host bits"),
        (
            "neighbour_add",
            json!({ "address": "9.9.9.9", "mac": "02:00:00:00:00:01" }),
            "in no network",
        ),
        (
            "neighbour_add",
            json!({ "address": "10.0.1.9", "mac": "ff:ff:ff:ff:ff:ff" }),
            "not the address of one station",
        ),
        (
            "neighbour_delete",
            json!({ "address": "10.0.1.9" }),
            "there is no neighbour",
        ),
    ] {
        let error = bench
            .command(verb, arguments.clone())
            .expect_err(verb)
            .to_string();
        assert!(error.contains(message), "{verb} {arguments}: {error}");
    }
    assert_eq!(bench.command("show", Value::Null).expect("shown"), before);
    bench.assert_conserved();
}

#[test]
fn a_full_table_of_routes_refuses_and_keeps_what_it_had() {
    let mut bench = router(json!({ "neighbours": hosts(), "limits": { "routes_v4": 16 } }));
    let mut added = 0;
    let error = loop {
        let prefix = format!("20.{added}.0.0/16");
        match bench.command("add", json!({ "prefix": prefix, "via": "10.0.1.2" })) {
            Ok(_) => added += 1,
            Err(error) => break error.to_string(),
        }
        bench.advance(200 * MS);
        bench.run(C, &[Frame::udp("10.0.0.2:1", "10.0.1.2:2").build()]);
        assert!(added < 100);
    };
    assert_eq!(added, 16 - 8);
    assert!(error.contains("raise limits.routes_v4"), "{error}");
    bench.advance(200 * MS);
    for n in 0..added {
        let sent = bench.run(
            C,
            &[Frame::udp("10.0.0.2:1", &format!("20.{n}.0.1:2")).build()],
        );
        assert_eq!(sent[0].port, S, "{n}");
    }
    bench
        .command("delete", json!({ "prefix": "20.0.0.0/16" }))
        .expect("deleted");
    bench.advance(200 * MS);
    bench.run(C, &[Frame::udp("10.0.0.2:1", "10.0.1.2:2").build()]);
    bench
        .command(
            "add",
            json!({ "prefix": "20.200.0.0/16", "via": "10.0.1.2" }),
        )
        .expect("room again");
    bench.assert_conserved();
}

#[test]
fn settings_are_taken_over_live() {
    let mut bench = with_hosts();
    let frame = Frame::udp("10.0.0.2:1", "20.1.2.3:2").build();
    let with = |more: Value| {
        let mut settings = config(json!({ "neighbours": hosts() }));
        settings
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        settings
    };
    bench
        .reload(&with(
            json!({ "routes": [ { "prefix": "0.0.0.0/0", "via": "10.0.1.2" } ] }),
        ))
        .expect("reloaded");
    assert_eq!(bench.run(C, &[&frame])[0].port, S);
    bench.advance(200 * MS);
    bench.reload(&with(json!({}))).expect("reloaded");
    bench.advance(200 * MS);
    assert_eq!(bench.run(C, &[&frame])[0].port, C);
    bench.advance(200 * MS);
    bench.reload(&json!({ "mode": "wire" })).expect("reloaded");
    bench.advance(200 * MS);
    assert_eq!(bench.run(C, &[&frame])[0].bytes, frame, "untouched");
    let error = bench
        .reload(&json!({ "limits": { "neighbours": 99, "routes_v6": 99 } }))
        .expect_err("refused");
    assert_eq!(
        error.to_string(),
        "needs a restart to change: limits.neighbours, limits.routes_v6"
    );
    bench.assert_conserved();
}

#[test]
fn wrong_settings_are_all_told_with_their_place() {
    let settings = json!({
        "addresses": { "clients": ["10.0.0.1/24", "10.0.0.1/24", "10.0.0.255/24", "10.0.3.0/24", "127.0.0.1/8", "fe80::1/64", "ff02::1/64"],
            "servers": ["10.0.0.9/16"], "nowhere": ["10.7.0.1/24"] },
        "routes": [
            { "prefix": "20.0.0.0/8" },
            { "prefix": "20.0.0.0/8", "via": "10.0.0.1" },
            { "prefix": "30.0.0.0/8", "via": "fd00::1" },
            { "prefix": "40.0.0.0/8", "via": "99.0.0.1" },
            { "prefix": "50.0.0.0/8", "port": "elsewhere" },
            { "prefix": "10.0.0.0/24", "via": "10.0.0.2" },
            { "prefix": "60.0.0.0/8", "via": "10.0.0.2", "blackhole": true },
            { "prefix": "fd07::/64", "via": "fe80::2" },
        ],
        "neighbours": [ { "address": "10.0.0.2", "mac": "01:00:00:00:00:01" }, { "address": "88.0.0.1", "mac": "02:00:00:00:00:01" } ],
    });
    let problems = check(&RouteKind, &settings, &BenchOptions::default());
    let found: Vec<String> = problems
        .iter()
        .map(|problem| problem.path.to_string())
        .collect();
    for path in [
        "$.addresses.clients[1]",
        "$.addresses.clients[2]",
        "$.addresses.clients[3]",
        "$.addresses.clients[4]",
        "$.addresses.clients[5]",
        "$.addresses.clients[6]",
        "$.addresses.servers[0]",
        "$.addresses.nowhere",
        "$.routes[0]",
        "$.routes[1].prefix",
        "$.routes[1].via",
        "$.routes[2].via",
        "$.routes[3].via",
        "$.routes[4]",
        "$.routes[5].prefix",
        "$.routes[6]",
        "$.routes[7].via",
        "$.neighbours[0].mac",
        "$.neighbours[1].address",
    ] {
        assert!(found.iter().any(|place| place == path), "{path}: {found:?}");
    }
    for (settings, path) in [
        (json!({ "modes": "wire" }), "$"),
        (json!({ "mode": "bridge" }), "$.mode"),
        (
            json!({ "mode": "wire", "routes": [ { "prefix": "0.0.0.0/0", "blackhole": true } ] }),
            "$.routes",
        ),
        (
            json!({ "addresses": { "clients": ["10.0.0.1"] } }),
            "$.addresses.clients[0]",
        ),
        (
            json!({ "addresses": { "clients": ["10.0.0.1/33"] } }),
            "$.addresses.clients[0]",
        ),
        (
            json!({ "routes": [ { "prefix": "10.0.0.1/8", "blackhole": true } ] }),
            "$.routes[0].prefix",
        ),
        (
            json!({ "routes": [ { "via": "10.0.0.1" } ] }),
            "$.routes[0]",
        ),
        (
            json!({ "neighbours": [ { "address": "10.0.0.2", "mac": "02:00" } ] }),
            "$.neighbours[0].mac",
        ),
        (json!({ "timers": { "retry_ms": 0 } }), "$.timers.retry_ms"),
        (
            json!({ "limits": { "neighbours": 1 } }),
            "$.limits.neighbours",
        ),
    ] {
        let problems = check(&RouteKind, &settings, &BenchOptions::default());
        assert!(
            problems
                .iter()
                .any(|problem| problem.path.to_string().starts_with(path)),
            "{settings}: {problems:?}"
        );
    }
    assert!(
        !check(
            &RouteKind,
            &config(json!({ "neighbours": hosts() })),
            &BenchOptions::default()
        )
        .has_errors()
    );
}

/// A core routes without a pause while routes change 100 000 times: packets on routes that do not
/// change all arrive, nothing is leaked, and the core never waits.
#[test]
fn a_hundred_thousand_changes_under_load() {
    const CHANGES: u32 = 100_000;
    let settings = config(
        json!({ "neighbours": hosts(), "limits": { "icmp_per_second": 0 },
        "routes": [ { "prefix": "20.0.0.0/8", "via": "10.0.1.2" }, { "prefix": "2001:db8::/32", "via": "fd00:1::2" } ] }),
    );
    let frames = [
        Frame::udp("10.0.0.2:9", "20.0.0.7:80"),
        Frame::udp("[fd00::2]:9", "[2001:db8::7]:80"),
        Frame::udp("10.0.0.2:9", "20.1.0.7:80"),
        Frame::udp("[fd00::2]:9", "[2001:db8:1::7]:80"),
    ];
    let frames = frames.map(|frame| frame.build()).to_vec();
    let mut under_load = UnderLoad::start(&RouteKind, &settings, frames);
    let control = under_load.control();
    let start = Instant::now();
    for n in 0..CHANGES {
        let round = n / 2;
        let prefix = match round % 3 {
            0 => "20.1.0.0/24".to_owned(),
            1 => "2001:db8:1::/48".to_owned(),
            _ => format!("{}.{}.0.0/16", 30 + round % 100, round / 100 % 256),
        };
        let (verb, arguments) = match n % 2 {
            0 => ("add", json!({ "prefix": prefix, "blackhole": true })),
            _ => ("delete", json!({ "prefix": prefix })),
        };
        control.command(verb, &arguments).expect("changed");
    }
    let took = start.elapsed();
    let Load {
        given,
        sent,
        bursts,
        counted,
        ..
    } = under_load.stop();
    let blackholed = counted.dropped.get("blackhole");
    assert_eq!(counted.dropped.sum(), blackholed, "{:?}", counted.dropped);
    assert_eq!(
        sent[1] + blackholed,
        given.iter().sum::<u64>(),
        "nothing is lost"
    );
    assert!(
        blackholed > 0 && blackholed <= given[2] + given[3],
        "only where routes changed"
    );
    assert!(bursts > u64::from(CHANGES) / 100, "the core kept running");
    println!("{CHANGES} changes in {took:?}, {given:?} packets, {blackholed} in a blackhole");
}
