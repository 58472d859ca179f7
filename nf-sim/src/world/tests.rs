//! Worlds of the stages that come with the framework, and of simple programs.

use serde_json::{Value, json};

use super::*;
use crate::node::{host_mac, port_mac};
use crate::program::{Ticker, TickerResults};
use crate::sweep::sweep;
use crate::testing::{eal, kinds, rack, route, scenario, world};

fn ticker(outcome: &Outcome, host: &str) -> TickerResults {
    serde_json::from_value(outcome.results(host)[0].clone()).unwrap()
}

/// Runs a rack to its end; nothing may be amiss.
fn run(value: Value) -> Outcome {
    let mut world = world(scenario(value));
    world.run();
    let outcome = world.finish();
    assert_eq!(outcome.violations, [""; 0]);
    outcome
}

fn with(mut value: Value, pointer: &str, key: &str, entry: Value) -> Value {
    value.pointer_mut(pointer).unwrap()[key] = entry;
    value
}

#[test]
fn hosts_find_each_other_through_a_router_and_every_packet_takes_its_time() {
    let outcome = run(rack(3, route()));
    for host in ["client1", "client2", "client3"] {
        let seen = ticker(&outcome, host);
        assert!(seen.sent > 9_500, "{seen:?}");
        assert!(seen.sent - seen.received < 10, "{seen:?}");
        assert_eq!((seen.wrong, seen.late), (0, 0));
        // Four hops of 1 us, and twice 100 ns in the appliance, which may be busy with others.
        assert!((4_200..5_500).contains(&seen.shortest_ns), "{seen:?}");
    }
    let NodeOutcome::Appliance {
        telemetry,
        counters,
        ..
    } = &outcome.nodes[5]
    else {
        panic!("{:?}", outcome.nodes[5]);
    };
    let route = &telemetry.stage("route").unwrap().total;
    assert!(
        route.forward[0] > 28_000 && route.forward[1] > 28_000,
        "{route:?}"
    );
    assert!(counters.busy_ns >= 100 * counters.received && counters.queue_full == 0);
}

#[test]
fn neighbors_are_found_over_ipv6_too() {
    let mut value = rack(
        1,
        json!([{ "stage": "route", "config": {
        "addresses": { "clients": ["fd00::1/64"], "servers": ["fd00:1::1/64"] } } }]),
    );
    value["hosts"][0]["addresses"] = json!(["fd00::10/64"]);
    value["hosts"][0]["gateways"] = json!(["fd00::1"]);
    value["hosts"][0]["program"]["settings"]["to"] = json!("[fd00:1::10]:7");
    value["hosts"][1]["addresses"] = json!(["fd00:1::10/64"]);
    value["hosts"][1]["gateways"] = json!(["fd00:1::1"]);
    let seen = ticker(&run(value), "client1");
    assert!(seen.received > 9_500 && seen.wrong == 0, "{seen:?}");
}

#[test]
fn one_seed_is_one_world_on_any_number_of_threads() {
    let jobs: Vec<u64> = (1..=6).collect();
    let hashes = |threads| {
        sweep(eal(), threads, &jobs, |&seed| {
            let lossy = json!({ "delay_ns": 1_000, "loss": 0.01, "duplicate": 0.01, "reorder": 0.1,
                "corrupt": 0.01 });
            let mut value = rack(
                3,
                json!([
                    { "stage": "impair", "config": { "seed": 5, "to_server": { "loss": { "probability": 0.01 } } } },
                    { "stage": "route", "config": route()[0]["config"] },
                ]),
            );
            value["seed"] = json!(seed);
            value["links"][0]["link"] = lossy;
            value["appliances"][0]["cores"] = json!(3);
            let outcome = run(value);
            (outcome.trace_hash, outcome.delivered)
        })
    };
    let one = hashes(1);
    assert_eq!(one, hashes(2), "two threads");
    assert_eq!(one, hashes(1), "the same again");
    for (n, hash) in one.iter().enumerate() {
        assert!(!one[..n].contains(hash), "each seed is another world");
    }
}

#[test]
fn another_node_leaves_the_chance_of_the_others_alone() {
    let lost = |clients| {
        let mut value = rack(clients, json!([{ "stage": "pass" }]));
        value["links"][0]["link"] = json!({ "delay_ns": 1_000, "loss": 0.1 });
        value["hosts"][0]["neighbours"] = json!({ "10.0.0.1": "02:00:00:00:00:99" });
        let outcome = run(value);
        let name = "client1-near";
        let link = outcome.links.iter().find(|link| link.name == name).unwrap();
        link.there
    };
    assert_eq!(lost(1), lost(3));
}

#[test]
fn damaged_frames_never_reach_a_program_and_lost_ones_are_counted() {
    // Known to each other, as the retries of ARP take longer than this world lasts.
    let mut value = rack(1, route());
    value["appliances"][0]["chain"][0]["config"]["neighbours"] =
        json!([{ "address": "10.0.1.10", "mac": host_mac(1) }]);
    value["hosts"][1]["neighbours"] = json!({ "10.0.1.1": port_mac(0, 1) });
    let bad = json!({ "delay_ns": 1_000, "corrupt": 0.2, "loss": 0.1, "duplicate": 0.05 });
    let value = with(value, "/links/2", "link", bad);
    let outcome = run(value);
    let seen = ticker(&outcome, "client1");
    assert!(seen.received > 5_000 && seen.wrong == 0, "{seen:?}");
    let link = &outcome
        .links
        .iter()
        .find(|link| link.name == "sw:servers-server")
        .unwrap();
    assert!(link.there.corrupted > 1_500 && link.there.lost > 800 && link.there.duplicated > 300);
}

#[test]
fn an_appliance_that_dies_loses_what_it_knew_and_comes_back() {
    let value = with(
        rack(1, route()),
        "",
        "faults",
        json!([
            { "at_us": 2_000, "what": { "action": "crash", "node": "sw", "for_us": 3_000 } },
        ]),
    );
    let outcome = run(value);
    let seen = ticker(&outcome, "client1");
    let missing = seen.sent - seen.received;
    assert!(
        (2_950..3_100).contains(&missing),
        "3 ms of a datagram a microsecond: {seen:?}"
    );
    let NodeOutcome::Appliance { counters, .. } = &outcome.nodes[3] else {
        panic!()
    };
    assert!(counters.while_down > 2_900, "{counters:?}");
}

#[test]
fn a_host_that_dies_starts_its_program_anew() {
    let value = with(
        rack(1, route()),
        "",
        "faults",
        json!([
            { "at_us": 2_000, "what": { "action": "crash", "node": "client1", "for_us": 1_000 } },
            { "at_us": 2_500, "what": { "action": "crash", "node": "server", "for_us": 1_000 } },
        ]),
    );
    let outcome = run(value);
    let lives = outcome.results("client1");
    assert_eq!(lives.len(), 2);
    let sent: Vec<_> = lives
        .iter()
        .map(|life| life["sent"].as_u64().unwrap())
        .collect();
    assert!(
        (1_900..2_000).contains(&sent[0]) && (6_900..7_000).contains(&sent[1]),
        "{sent:?}"
    );
    assert_eq!(outcome.results("server").len(), 2);
}

#[test]
fn what_stalls_catches_up() {
    for node in ["sw", "client1", "server"] {
        let value = with(
            rack(1, route()),
            "",
            "faults",
            json!([
                { "at_us": 2_000, "what": { "action": "stall", "node": node, "for_us": 500 } },
            ]),
        );
        let seen = ticker(&run(value), "client1");
        assert!(seen.sent - seen.received < 10, "{node}: {seen:?}");
        let least = if node == "client1" { 3_000 } else { 490_000 };
        assert!(seen.longest_ns > least, "{node}: {seen:?}");
    }
}

#[test]
fn one_core_stalls_alone() {
    let mut value = with(
        rack(1, route()),
        "",
        "faults",
        json!([
            { "at_us": 2_000, "what": { "action": "stall", "node": "sw", "core": 0, "for_us": 500 } },
        ]),
    );
    value["appliances"][0]["cores"] = json!(2);
    let seen = ticker(&run(value), "client1");
    assert!(
        seen.late > 50,
        "packets of the other core overtake: {seen:?}"
    );
    assert!(seen.sent - seen.received < 10, "{seen:?}");
}

#[test]
fn links_and_partitions_go_down_and_come_back() {
    for what in [
        json!({ "action": "link_down", "link": "sw:servers-server", "for_us": 1_000 }),
        json!({ "action": "partition", "nodes": ["client1", "near"], "for_us": 1_000 }),
        json!({ "action": "link_change", "link": "client1-near", "settings": { "loss": 1.0 }, "for_us": 1_000 }),
    ] {
        let faults = json!([{ "at_us": 3_000, "what": what }]);
        let seen = ticker(
            &run(with(rack(1, route()), "", "faults", faults)),
            "client1",
        );
        let missing = seen.sent - seen.received;
        assert!((980..1_020).contains(&missing), "{what}: {seen:?}");
    }
}

#[test]
fn orders_reach_the_stages() {
    let blocked = json!({ "default": "deny" });
    let chain = json!([{ "stage": "acl", "config": { "default": "allow" } }, route()[0]]);
    let value = with(
        rack(1, chain),
        "",
        "faults",
        json!([
            { "at_us": 4_000, "what": { "action": "reload", "node": "sw", "stage": "acl", "settings": blocked } },
            { "at_us": 5_000, "what": { "action": "command", "node": "sw", "stage": "route", "verb": "neighbours" } },
            { "at_us": 5_000, "what": { "action": "command", "node": "sw", "stage": "other", "verb": "x" } },
        ]),
    );
    let outcome = run(value);
    let seen = ticker(&outcome, "client1");
    assert!((3_900..4_100).contains(&seen.received), "{seen:?}");
    assert!(outcome.answers[0].1.is_ok(), "{:?}", outcome.answers);
    assert!(outcome.answers[2].1.is_err(), "{:?}", outcome.answers);
}

#[test]
fn packets_wait_for_a_slow_core_and_are_dropped_beyond_its_queue() {
    let mut value = rack(1, route());
    value["appliances"][0]["packet_cost_ns"] = json!(2_000);
    value["appliances"][0]["queue"] = json!(100);
    let outcome = run(value);
    let seen = ticker(&outcome, "client1");
    let NodeOutcome::Appliance { counters, .. } = &outcome.nodes[3] else {
        panic!()
    };
    assert!(
        counters.queue_full > 2_000 && counters.most_waiting >= 100,
        "{counters:?}"
    );
    assert!(
        counters.received.div_ceil(counters.bursts) > 10,
        "it takes bursts: {counters:?}"
    );
    // At 2 us a packet the core forwards 5,000 in 10 ms.
    assert!((2_000..2_600).contains(&seen.received), "{seen:?}");
    assert!(seen.longest_ns > 200_000, "{seen:?}");
}

#[test]
fn a_processor_takes_one_packet_after_the_other() {
    let mut value = rack(1, route());
    value["hosts"][1]["receive"] = json!({ "cost_ns": 2_000, "queue": 50 });
    value["hosts"][1]["send"] = json!({ "cost_ns": 500 });
    let outcome = run(value.clone());
    let seen = ticker(&outcome, "client1");
    assert!((4_900..5_010).contains(&seen.received), "{seen:?}");
    assert!(
        (100_000..120_000).contains(&seen.longest_ns),
        "it waits behind 50: {seen:?}"
    );
    value["hosts"][1]["one_processor"] = json!(true);
    let seen = ticker(&run(value), "client1");
    assert!(
        (3_900..4_010).contains(&seen.received),
        "2.5 us each: {seen:?}"
    );
}

#[test]
fn clocks_are_their_own() {
    let mut value = rack(1, route());
    for (node, offset) in [
        ("/hosts/0", 1_000_000_007u64),
        ("/hosts/1", 5),
        ("/appliances/0", 77_000),
    ] {
        value.pointer_mut(node).unwrap()["clock_offset_ns"] = json!(offset);
    }
    value["faults"] = json!([
        { "at_us": 3_000, "what": { "action": "clock_step", "node": "sw", "by_ns": -3_600_000_000_000i64 } },
    ]);
    let (shifted, plain) = (run(value), run(rack(1, route())));
    let (mut shifted, plain) = (ticker(&shifted, "client1"), ticker(&plain, "client1"));
    assert!(
        shifted.received.abs_diff(plain.received) < 5,
        "{shifted:?} {plain:?}"
    );
    (shifted.sent, shifted.received) = (plain.sent, plain.received);
    assert_eq!(shifted, plain);
}

#[test]
fn memory_stays_flat() {
    let mut world = world(scenario(rack(3, route())));
    world.run_until(2_000_000);
    let before = world.frame_buffers();
    world.run_until(60_000_000);
    assert_eq!(world.frame_buffers(), before);
    assert!(world.delivered() > 600_000);
    let host = world.host("client1").unwrap().programs().next().unwrap() as &dyn std::any::Any;
    assert!(host.downcast_ref::<Ticker>().unwrap().seen().received > 59_000);
    assert_eq!(world.finish().violations, [""; 0]);
}

#[test]
fn what_cannot_be_built_is_said() {
    for (pointer, wrong, words) in [
        (
            "/links/0/between",
            json!(["nobody", "near"]),
            "there is no node \"nobody\"",
        ),
        (
            "/links/0/between",
            json!(["sw", "near"]),
            "no end of a link",
        ),
        (
            "/links/0/between",
            json!(["sw:x", "near"]),
            "has no port \"x\"",
        ),
        (
            "/links/0/between",
            json!(["server", "near"]),
            "has a link already",
        ),
        (
            "/segments/0/name",
            json!("server"),
            "two nodes have this name",
        ),
        (
            "/hosts/0/program/kind",
            json!("x"),
            "there is no program \"x\"",
        ),
        (
            "/appliances/0/chain/0/stage",
            json!("x"),
            "there is no stage \"x\"",
        ),
    ] {
        let mut value = rack(1, route());
        *value.pointer_mut(pointer).unwrap() = wrong;
        let failed = World::new(scenario(value), &kinds(), eal())
            .unwrap_err()
            .to_string();
        assert!(failed.contains(words), "{failed}");
    }
}
