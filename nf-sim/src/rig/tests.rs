//! What a whole rack must survive.

use serde_json::{Value, json};
use workload::emulator::ServerCounters;
use workload::rpc::Measured;
use workload::scheme::Scheme;

use super::run::{measured, servers};
use super::{APPLIANCE, Rig};
use crate::scenario::Scenario;
use crate::testing::{eal, kinds, scenario, world};

/// What came of a rack.
struct Came {
    measured: Measured,
    servers: ServerCounters,
    /// What the stage `clone` of each appliance counted.
    clones: Vec<(String, nf_core::telemetry::StageSnapshot)>,
}

impl Came {
    fn counted(&self, appliance: &str, name: &str) -> u64 {
        let mut clones = self.clones.iter();
        clones
            .find(|(known, _)| known == appliance)
            .map_or(0, |(_, stage)| stage.custom.get(name))
    }
}

/// Runs a rack to its end; everything must be accounted for.
fn come(scenario: Scenario) -> Came {
    let names: Vec<String> = scenario
        .appliances
        .iter()
        .map(|spec| spec.name.clone())
        .collect();
    let mut world = world(scenario);
    world.run();
    let clones = names.into_iter().map(|name| {
        let snapshot = world.appliance(&name).unwrap().snapshot();
        (name, snapshot.stage("clone").unwrap().total.clone())
    });
    let clones = clones.collect();
    let came = Came {
        measured: measured(&world),
        servers: servers(&world),
        clones,
    };
    assert_eq!(world.finish().violations, [""; 0]);
    came
}

/// Three servers of four workers, 20,000 requests a second for 300 ms.
fn small(faults: Value) -> Rig {
    let mut rig = Rig::new(Scheme::NetClone, 20_000.0);
    rig.workers = vec![4; 3];
    rig.warm_up_us = 0;
    rig.measure_us = 300_000;
    rig.faults = serde_json::from_value(faults).unwrap();
    rig
}

/// The same with clients that ask again, for ten seconds.
fn patient(faults: Value) -> Rig {
    let mut rig = small(faults);
    rig.timeout_us = 5_000;
    rig.retries = 10;
    rig.settle_us = 8_000_000;
    rig
}

fn all_answered(came: &Came) {
    let counts = &came.measured.counts;
    assert!(
        counts.offered > 5_500 && counts.lost() == 0 && counts.unsent == 0,
        "{counts:?}"
    );
}

#[test]
fn x01_requests_and_answers_that_are_lost_are_asked_for_again() {
    for (there, back) in [(0.05, 0.0), (0.0, 0.05), (0.2, 0.2)] {
        let mut rig = patient(json!([]));
        rig.client_links = json!({ "loss": there });
        rig.server_links = json!({ "loss": back });
        let came = come(rig.scenario().unwrap());
        all_answered(&came);
        let counts = &came.measured.counts;
        assert!(counts.retransmissions > 0, "{counts:?}");
        assert!(
            counts.redundant + counts.late <= counts.retransmissions,
            "{counts:?}"
        );
    }
}

#[test]
fn x02_answers_twice_out_of_order_or_a_second_late_are_never_dropped_wrongly() {
    for (link, most) in [
        (json!({ "duplicate": 0.05 }), 900),
        (json!({ "reorder": 0.2, "reorder_ns": 100_000 }), 0),
        (json!({ "reorder": 0.05, "reorder_ns": 1_000_000_000 }), 900),
    ] {
        let mut rig = small(json!([]));
        rig.server_links = link.clone();
        // Slots are used again every 50 ms.
        rig.clone = json!({ "slots_log2": 10 });
        rig.tables = 1;
        rig.settle_us = 1_500_000;
        let came = come(rig.scenario().unwrap());
        all_answered(&came);
        let redundant = came.measured.counts.redundant;
        assert!(redundant <= most, "{link}: {redundant}");
    }
}

#[test]
fn x03_clones_that_servers_drop_leave_no_wrong_drop_behind() {
    let mut rig = Rig::new(Scheme::AlwaysClone, 1.0);
    rig.rate = 0.85 * rig.capacity().unwrap();
    rig.clone = json!({ "slots_log2": 10 });
    let came = come(rig.requests(60_000).scenario().unwrap());
    assert!(came.servers.clones_dropped > 40_000, "{:?}", came.servers);
    assert_eq!(came.measured.counts.lost(), 0, "{:?}", came.measured.counts);
}

#[test]
fn x06_servers_that_hang_are_slow_lose_or_come_and_go() {
    for health in ["hang", "slow:10", "drop:30%", "kill"] {
        let ill = |at: u64| {
            json!({ "at_us": at, "what": {
            "action": "health", "node": "server1", "health": health, "for_us": 40_000 } })
        };
        let came = come(
            patient(json!([ill(50_000), ill(120_000), ill(200_000)]))
                .scenario()
                .unwrap(),
        );
        all_answered(&came);
        let down = came.counted(APPLIANCE, "server_down");
        assert!(
            down > 0 || health.starts_with("slow") || health.starts_with("drop"),
            "{health}: {down}"
        );
        assert_eq!(
            came.counted(APPLIANCE, "server_up"),
            down,
            "{health}: it came back as often"
        );
    }
}

#[test]
fn x07_all_servers_but_one_die_then_all_then_all_come_back() {
    let dies = |at: u64, server: usize| {
        json!({ "at_us": at, "what": {
        "action": "crash", "node": Rig::server(server), "for_us": 200_000 - at } })
    };
    let came = come(
        patient(json!([dies(50_000, 0), dies(60_000, 1), dies(130_000, 2)]))
            .scenario()
            .unwrap(),
    );
    all_answered(&came);
    assert!(
        came.counted(APPLIANCE, "no_server") > 0,
        "for a while there was none"
    );
    assert_eq!(came.counted(APPLIANCE, "server_down"), 3);
    assert_eq!(came.counted(APPLIANCE, "server_up"), 3);
}

#[test]
fn x08_an_appliance_that_is_killed_again_and_again() {
    let dies = |at: u64| {
        json!({ "at_us": at, "what": {
        "action": "crash", "node": APPLIANCE, "for_us": 20_000 } })
    };
    let mut rig = patient(json!([dies(50_000), dies(100_000), dies(150_000)]));
    // Answers from before a start arrive long after it.
    rig.server_links = json!({ "reorder": 0.05, "reorder_ns": 100_000_000 });
    rig.clone = json!({ "slots_log2": 10 });
    let came = come(rig.scenario().unwrap());
    all_answered(&came);
    assert!(came.counted(APPLIANCE, "resp_stale_epoch") > 0);
}

#[test]
fn x09_policy_servers_and_filter_change_under_load_and_nothing_is_lost() {
    let order = |at: u64, verb: &str, arguments: Value| {
        json!({ "at_us": at, "what": {
        "action": "command", "node": APPLIANCE, "stage": "clone", "verb": verb, "arguments": arguments } })
    };
    let mut rig = small(json!([]));
    let base = rig.scenario().unwrap().appliances[0].chain[0]
        .config
        .clone();
    let reload = |at: u64, slots: u8| {
        let mut settings = base.clone();
        settings["slots_log2"] = json!(slots);
        json!({ "at_us": at, "what": {
            "action": "reload", "node": APPLIANCE, "stage": "clone", "settings": settings } })
    };
    rig.faults = serde_json::from_value(json!([
        order(30_000, "drain", json!({ "sid": 0 })),
        order(60_000, "policy", json!({ "policy": "netclone+jsq" })),
        reload(90_000, 12),
        order(120_000, "restore", json!({ "sid": 0 })),
        order(150_000, "policy", json!({ "policy": "always" })),
        reload(180_000, 17),
    ]))
    .unwrap();
    rig.cores = 2;
    let came = come(rig.scenario().unwrap());
    all_answered(&came);
    assert!(came.counted(APPLIANCE, "epoch_rolls") >= 2);
}

#[test]
fn x13_the_time_of_day_jumps_and_nobody_notices() {
    let jumps = |at: u64, by: i64| {
        json!({ "at_us": at, "what": {
        "action": "clock_step", "node": APPLIANCE, "by_ns": by } })
    };
    let plain = come(small(json!([])).scenario().unwrap());
    let jumped = come(
        small(json!([
            jumps(50_000, 3_600_000_000_000),
            jumps(100_000, -7_200_000_000_000)
        ]))
        .scenario()
        .unwrap(),
    );
    all_answered(&jumped);
    assert_eq!(jumped.measured.counts, plain.measured.counts);
    assert_eq!(
        jumped.measured.latency.quantile(0.99),
        plain.measured.latency.quantile(0.99)
    );
    assert_eq!(jumped.counted(APPLIANCE, "server_down"), 0);
}

#[test]
fn x14_one_core_stalls_for_100_ms_and_the_others_go_on() {
    let mut rig = small(json!([
        { "at_us": 100_000, "what": { "action": "stall", "node": APPLIANCE, "core": 1, "for_us": 100_000 } },
    ]));
    rig.rate = 5_000.0;
    rig.cores = 4;
    let came = come(rig.scenario().unwrap());
    let counts = &came.measured.counts;
    assert!(counts.offered > 1_300 && counts.lost() == 0, "{counts:?}");
    assert!(
        came.measured.latency.quantile(1.0) > 90_000_000,
        "some waited for it"
    );
    assert!(
        came.measured.latency.quantile(0.75) < 1_000_000,
        "most did not"
    );
}

/// Two appliances one behind the other, each with the stage `clone` and this number. The second takes requests
/// to these addresses.
fn in_series(first: u16, second: u16, second_vip: Value) -> Scenario {
    let server_ips = ["10.0.2.101", "10.0.2.102", "10.0.2.103"];
    let appliance = |name: &str, id: u16, near: &str, far: &str, vip: Value, routes: Value| {
        let servers: Vec<Value> = server_ips
            .iter()
            .enumerate()
            .map(|(sid, ip)| json!({ "sid": sid, "ip": ip }))
            .collect();
        json!({
            "name": name,
            "ports": [{ "name": "clients", "side": "client" }, { "name": "servers", "side": "server" }],
            "chain": [
                { "stage": "clone", "config": {
                    "vip": vip, "switch_id": id, "servers": servers, "probe_interval_us": 0 } },
                { "stage": "route", "config": {
                    "addresses": { "clients": [near], "servers": [far] }, "routes": routes } },
            ],
        })
    };
    let mut hosts = vec![json!({
        "name": "client", "addresses": ["10.0.0.11/24"], "gateways": ["10.0.0.1"],
        "program": { "kind": "rpc_client", "settings": {
            "scheme": "netclone", "service_address": "10.0.0.1:9043",
            "servers": server_ips.map(|ip| format!("{ip}:9043")),
            "rate": 20_000, "warm_up_us": 10_000, "measure_us": 100_000, "settle_us": 50_000 } },
    })];
    let mut links = vec![
        json!({ "between": ["client", "first:clients"], "link": { "delay_ns": 1_000 } }),
        json!({ "between": ["first:servers", "second:clients"], "link": { "delay_ns": 1_000 } }),
        json!({ "between": ["second:servers", "servers"] }),
    ];
    for (sid, ip) in server_ips.iter().enumerate() {
        hosts.push(json!({
            "name": Rig::server(sid), "addresses": [format!("{ip}/24")], "gateways": ["10.0.2.1"],
            "program": { "kind": "rpc_server", "settings":
                { "sid": sid, "service": { "time": "exp(25us)" } } },
        }));
        links.push(
            json!({ "between": [Rig::server(sid), "servers"], "link": { "delay_ns": 1_000 } }),
        );
    }
    scenario(json!({
        "duration_us": 200_000,
        "hosts": hosts,
        "segments": [{ "name": "servers" }],
        "appliances": [
            appliance("first", first, "10.0.0.1/24", "10.0.1.1/24", json!(["10.0.0.1"]),
                json!([{ "prefix": "10.0.2.0/24", "via": "10.0.1.2" }])),
            appliance("second", second, "10.0.1.2/24", "10.0.2.1/24", second_vip,
                json!([{ "prefix": "10.0.0.0/24", "via": "10.0.1.1" }])),
        ],
        "links": links,
    }))
}

#[test]
fn f15_of_two_appliances_in_series_exactly_one_acts() {
    let came = come(in_series(1, 2, json!(["10.0.1.2"])));
    let counts = &came.measured.counts;
    assert!(
        counts.offered > 1_900 && counts.lost() == 0 && counts.redundant == 0,
        "{counts:?}"
    );
    assert!(
        came.counted("first", "req_cloned") > 1_900
            && came.counted("first", "resp_filtered") > 1_900
    );
    assert_eq!(
        came.counted("second", "req_cloned") + came.counted("second", "req_single"),
        0
    );
    assert!(came.counted("second", "req_foreign") >= 2 * came.counted("first", "req_cloned"));
    assert!(came.counted("second", "resp_foreign") > 3_800);
}

#[test]
fn x16_two_appliances_of_one_number_are_found_out() {
    let came = come(in_series(7, 7, json!([])));
    assert_eq!(
        came.measured.counts.completed, 0,
        "nothing goes round and round"
    );
    assert!(
        came.counted("second", "loop") > 1_900,
        "{:?}",
        came.clones[1].1.custom
    );
}

#[test]
fn f25_a_rack_is_the_same_on_one_thread_and_on_two() {
    let rigs: Vec<Rig> = (1..=4)
        .map(|seed| {
            let mut rig = small(json!([
                { "at_us": 20_000, "what": { "action": "crash", "node": APPLIANCE, "for_us": 20_000 } },
            ]));
            rig.measure_us = 60_000;
            rig.cores = 3;
            rig.server_links = json!({ "loss": 0.01, "duplicate": 0.01, "reorder": 0.1 });
            rig.seed = seed;
            rig
        })
        .collect();
    let kinds = kinds();
    let hashes = |threads| -> Vec<u64> {
        let runs = crate::sweep::sweep(eal(), threads, &rigs, |rig| super::run(rig, &kinds, eal()));
        runs.into_iter()
            .map(|run| run.unwrap().trace_hash)
            .collect()
    };
    let one = hashes(1);
    assert_eq!(one, hashes(2));
    assert!(one.windows(2).all(|pair| pair[0] != pair[1]));
}
