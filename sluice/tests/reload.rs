//! Reloading a configuration under load.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{Body, Ends, Need, Sluice, require, wait_for};

const LIMIT: Duration = Duration::from_secs(15);

fn config_of(sluice: &Sluice<'_>) -> Value {
    serde_json::from_slice(&std::fs::read(sluice.config_file()).unwrap()).unwrap()
}

fn rewrite(sluice: &Sluice<'_>, change: impl FnOnce(&mut Value)) {
    let mut config = config_of(sluice);
    change(&mut config);
    std::fs::write(sluice.config_file(), format!("{config:#}")).unwrap();
}

fn reload(sluice: &Sluice<'_>) -> testkit::Response {
    sluice.request(sluice.control(), "POST", "/api/v1/reload", Body::Empty)
}

#[test]
fn a_broken_file_changes_nothing_and_says_why_and_no_packet_is_lost() {
    require!(Need::Root, Need::Tun);
    let ends = Ends::new();
    let mut config = ends.tap_config();
    config["chain"] = json!([{ "stage": "pass" }]);
    let mut sluice = Sluice::start(config);
    ends.adopt();
    ends.ping(2, 56);
    let good = std::fs::read_to_string(sluice.config_file()).unwrap();
    let running = sluice.json("/api/v1/config");
    let level = sluice.packets_in_use();
    // Something may have been sent before the interfaces were up.
    let drops = sluice.json("/api/v1/drops");
    {
        let _echo = ends.echo();
        let traffic = ends.traffic(300, Duration::from_micros(500));
        traffic.wait_flowing(50, LIMIT).unwrap();

        let broken = [
            ("{ \"ports\": [", "not JSON"),
            ("", "not JSON"),
            ("{}", "ports"),
            (
                &good
                    .replace("\"client\"", "\"cleint\"")
                    .replace("\"pass\"", "\"pas\""),
                "cleint",
            ),
        ];
        for (text, word) in broken {
            std::fs::write(sluice.config_file(), text).unwrap();
            let answer = reload(&sluice);
            assert_eq!(answer.status, 422, "{text}: {}", answer.text());
            let body = answer.json();
            let error = body["error"].as_str().unwrap();
            assert!(error.contains("the old one stays in force"), "{error}");
            let problems = body["problems"].to_string();
            assert!(problems.contains(word), "{word}: {problems}");
            // By signal as well: told in the log.
            sluice.process().signal(Signal::HUP);
            assert_eq!(sluice.json("/api/v1/config"), running);
        }
        // Both mistakes of the last one at once.
        let body = reload(&sluice).json();
        assert!(body["problems"].as_array().unwrap().len() >= 2, "{body:#}");
        sluice
            .process()
            .wait_for_log("the old configuration stays in force", LIMIT)
            .unwrap();
        std::fs::remove_file(sluice.config_file()).unwrap();
        let answer = reload(&sluice);
        assert_eq!(answer.status, 422);
        assert!(answer.text().contains("config.json"), "{}", answer.text());
        std::fs::write(sluice.config_file(), &good).unwrap();
        let answer = reload(&sluice);
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({ "changed": [] }))
        );
        traffic.wait_flowing(50, LIMIT).unwrap();
        assert_eq!(traffic.damaged(), 0);
    }
    assert_eq!(sluice.json("/api/v1/drops"), drops);
    sluice.assert_conserved(level);
    assert_eq!(sluice.get("/healthz").status, 200);
}

fn null_config() -> Value {
    let port = |name: &str, side: &str| json!({ "name": name, "side": side, "device": { "type": "null" } });
    json!({ "ports": [port("a", "client"), port("b", "server")], "chain": [{ "stage": "pass" }] })
}

#[test]
fn the_log_level_changes_live() {
    let mut sluice = Sluice::start(null_config());
    rewrite(&sluice, |config| {
        config["log"] = json!({ "level": "debug" })
    });
    let answer = reload(&sluice);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json(), json!({ "changed": ["$.log.level"] }));
    assert_eq!(sluice.json("/api/v1/config")["log"]["level"], "debug");
    // And by signal.
    rewrite(&sluice, |config| config["log"]["level"] = json!("info"));
    sluice.process().signal(Signal::HUP);
    sluice.process().wait_for_log("$.log.level", LIMIT).unwrap();
    wait_for("the level", LIMIT, || {
        (sluice.json("/api/v1/config")["log"]["level"] == "info").then_some(())
    })
    .unwrap();
    // Quiet from now on, also at the end.
    rewrite(&sluice, |config| config["log"]["level"] = json!("error"));
    assert_eq!(reload(&sluice).status, 200);
    let (status, log) = sluice.stop();
    assert!(status.success() && !log.contains("stopped"), "{log}");
}

#[test]
fn what_needs_a_restart_is_named_and_nothing_is_changed() {
    let sluice = Sluice::start(null_config());
    rewrite(&sluice, |config| {
        config["log"] = json!({ "level": "debug" });
        config["mempool"]["packets"] = json!(10_000);
        config["ports"][1]["mtu"] = json!(2000);
    });
    let running = sluice.json("/api/v1/config");
    let answer = reload(&sluice);
    assert_eq!(answer.status, 422, "{}", answer.text());
    let body = answer.json();
    let named: Vec<&str> = body["needs_restart"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(named, ["$.mempool.packets", "$.ports[1].mtu"]);
    assert!(
        body["error"]
            .as_str()
            .unwrap()
            .contains("$.mempool.packets")
    );
    assert_eq!(sluice.json("/api/v1/config"), running);
    let before = sluice.port_count("b", "tx_packets");
    wait_for("packets", LIMIT, || {
        (sluice.port_count("b", "tx_packets") > before).then_some(())
    })
    .unwrap();
}
