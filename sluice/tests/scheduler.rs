//! The scheduler in a running appliance: packet core and worker on real processors, real traffic of the kernel's.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Body, Ends, Need, Sluice, require, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

/// A chain between two TAP ports on packet core 1, with worker core 0.
fn scheduled(ends: &Ends, chain: Value, scheduler: Value) -> Value {
    let mut config = ends.tap_config();
    config["cores"] = json!({ "packet": [1], "workers": [0], "control": 0, "idle": "adaptive" });
    config["chain"] = chain;
    config["scheduler"] = scheduler;
    config
}

fn actor(sluice: &Sluice<'_>, name: &str) -> Value {
    let sched = sluice.json("/api/v1/sched");
    let actors = sched["actors"].as_array().expect("actors");
    let found = actors.iter().find(|actor| actor["name"] == name);
    found.cloned().unwrap_or_else(|| panic!("{name}: {sched}"))
}

fn is_at_worker(sluice: &Sluice<'_>, name: &str) -> bool {
    actor(sluice, name)["place"]["group"] == "worker"
}

fn order(sluice: &Sluice<'_>, name: &str, what: &str) -> testkit::Response {
    let path = format!("/api/v1/sched/{name}/{what}");
    sluice.request(sluice.control(), "POST", &path, Body::Empty)
}

/// Thresholds that nothing reaches: only what is asked for by hand is moved.
fn by_hand() -> Value {
    json!({ "slo_mean_us": 1e6, "slo_tail_us": 1e6, "policy": { "migration": false } })
}

#[test]
fn ip33_stages_go_to_a_worker_and_back_under_traffic_and_lose_nothing() {
    require!(Need::Root, Need::Tun, Need::Cpus(2));
    let ends = Ends::new();
    let chain = json!([{ "stage": "pass", "name": "first" }, { "stage": "acl", "config": { "rules": [] } }]);
    let sluice = Sluice::start(scheduled(&ends, chain, by_hand()));
    ends.adopt();
    ends.ping(2, 56);
    let level = sluice.packets_in_use();
    let drops = sluice.json("/api/v1/drops");
    {
        let _echo = ends.echo();
        let traffic = ends.traffic(200, Duration::from_micros(200));
        traffic.wait_flowing(100, LIMIT).unwrap();
        for round in 0..20 {
            let name = ["first", "acl"][round / 2 % 2];
            let (what, there) = [("push", true), ("pull", false)][round % 2];
            assert_eq!(order(&sluice, name, what).status, 200);
            let moved = || (is_at_worker(&sluice, name) == there).then_some(());
            wait_for(what, LIMIT, moved).unwrap_or_else(|error| panic!("{name}: {error}"));
            traffic.wait_flowing(20, LIMIT).unwrap();
        }
        assert_eq!(traffic.damaged(), 0);
    }
    sluice.assert_conserved(level);
    assert_eq!(sluice.json("/api/v1/drops"), drops, "nothing was dropped");
    let events = sluice.json("/api/v1/sched")["events"].clone();
    let moves = events.as_array().unwrap().iter();
    let done = moves.filter(|event| event["event"] == "migrated" && event["ended"] == "done");
    assert_eq!(done.count(), 20, "{events}");
    let refused = order(&sluice, "frist", "push");
    assert!(refused.text().contains("first"), "{}", refused.text());
}

/// A stage whose packets are heavy now and then is found out, and leaves the packet core; when they are no
/// more, it comes back.
#[test]
fn ip28_a_heavy_stage_is_pushed_by_what_was_measured_and_comes_back() {
    require!(Need::Root, Need::Tun, Need::Cpus(2));
    let ends = Ends::new();
    let heavy = |us: u32| json!({ "times": [{ "share": 0.5, "us": us }] });
    let chain = json!([
        { "stage": "pass", "name": "light" },
        { "stage": "work", "name": "heavy", "config": heavy(800) },
    ]);
    let policy = json!({ "cool_down_ms": 200, "hold_off_samples": 50, "hold_off_at_most_ms": 200 });
    let scheduler =
        json!({ "slo_mean_us": 200, "slo_tail_us": 1e6, "watchdog_ms": 200, "policy": policy });
    let sluice = Sluice::start(scheduled(&ends, chain, scheduler));
    ends.adopt();
    let _echo = ends.echo();
    let traffic = ends.traffic(100, Duration::from_millis(1));
    let moved = |there: bool| {
        let reached = || (is_at_worker(&sluice, "heavy") == there).then_some(());
        wait_for("the move", LIMIT, reached)
            .unwrap_or_else(|error| panic!("{error}: {}", sluice.json("/api/v1/sched")));
    };
    moved(true);
    assert!(!is_at_worker(&sluice, "light"));
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(sluice.config_file()).unwrap()).unwrap();
    config["chain"][1]["config"] = heavy(0);
    std::fs::write(sluice.config_file(), config.to_string()).unwrap();
    let reloaded = sluice.request(sluice.control(), "POST", "/api/v1/reload", Body::Empty);
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    moved(false);
    assert_eq!(traffic.damaged(), 0);
    let events = sluice.json("/api/v1/sched")["events"].clone();
    let rules: Vec<&str> = events
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["event"] == "decided" && event["name"] == "heavy")
        .filter_map(|event| event["rule"].as_str())
        .collect();
    assert!(
        rules.contains(&"mean") && rules.contains(&"mean_low"),
        "{events}"
    );
}

/// A stage that fails in each of the ways there are: traffic goes on without it, and the operator is told.
#[test]
fn ip44_ip45_a_failing_stage_is_taken_out_of_service_and_traffic_goes_on() {
    require!(Need::Root, Need::Tun, Need::Cpus(2));
    for (kind, at_worker) in [
        ("panic", false),
        ("panic", true),
        ("loop", false),
        ("loop", true),
    ] {
        let ends = Ends::new();
        let chain = json!([
            { "stage": "pass", "name": "good" },
            { "stage": "work", "name": "bad", "config": { "filter": "udp", "fault": { "kind": kind, "at_packet": 200 } } },
        ]);
        let mut scheduler = by_hand();
        scheduler["watchdog_ms"] = json!(20);
        if at_worker {
            scheduler["stages"] = json!({ "bad": { "pin": "worker" } });
        }
        let sluice = Sluice::start(scheduled(&ends, chain, scheduler));
        ends.adopt();
        if at_worker {
            wait_for("the pinned place", LIMIT, || {
                is_at_worker(&sluice, "bad").then_some(())
            })
            .unwrap();
        }
        let _echo = ends.echo();
        let traffic = ends.traffic(100, Duration::from_micros(500));
        let out = || (actor(&sluice, "bad")["out_of_service"] == true).then_some(());
        wait_for("the end of it", LIMIT, out).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let before = traffic.returned();
        wait_for("traffic after it", LIMIT, || {
            (traffic.returned() > before + 200).then_some(())
        })
        .unwrap_or_else(|error| panic!("{kind}, {at_worker}: {error}"));
        let health = sluice.get("/healthz");
        assert_eq!(health.status, 503);
        assert!(
            health.text().contains("bad was taken out of service"),
            "{}",
            health.text()
        );
        let failed = sluice.json("/api/v1/sched")["events"].clone();
        let failed = failed
            .as_array()
            .unwrap()
            .iter()
            .find(|event| event["event"] == "failed");
        assert_eq!(
            failed.map(|event| event["name"].clone()),
            Some(json!("bad"))
        );
    }
}
