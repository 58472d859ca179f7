//! Reloading a configuration under load.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{Body, Echo, Endpoint, Ends, Need, Sluice, Traffic, cargo_binary, require, wait_for};

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

/// The settings of the chain of [`every_stage_takes_new_settings_under_load`], the `n`th of many: port 7 is
/// always allowed, port 9 never, port 11 every second time, each by other rules than before.
fn chain(sluice_folder: &std::path::Path, n: u16) -> Value {
    let deny =
        |port: u16| json!({ "action": "deny", "protocol": "udp", "destination_ports": port });
    let allow = |ports: String| json!({ "action": "allow", "destination_ports": ports });
    let mut rules: Vec<Value> = (0..n % 50).map(|more| deny(20_000 + more)).collect();
    rules.push(deny(9));
    rules.push(match n % 2 {
        0 => allow("7-11".to_owned()),
        _ => deny(11),
    });
    let impair = match n % 4 {
        0 => json!({}),
        1 => json!({ "both": { "delay": { "time": { "constant_us": 300 } } } }),
        2 => json!({
            "to_server": { "delay": { "keep_order": false,
                                      "time": { "uniform": { "min_us": 10, "max_us": 900 } } } },
            "to_client": { "filter": "udp port 4000", "loss": { "every_nth": 1 } },
        }),
        _ => json!({ "to_client": { "rate": { "bits_per_second": 100_000_000 } } }),
    };
    let capture = match n % 3 {
        0 => json!({}),
        more => {
            json!({ "file": sluice_folder.join(format!("{more}.pcapng")), "filter": "udp port 7",
                        "snap_bytes": 64 + n })
        }
    };
    let mut routes = vec![json!({ "prefix": "10.99.0.0/16", "via": "10.78.0.2" })];
    routes.extend(
        (0..n % 7)
            .map(|net| json!({ "prefix": format!("10.{}.0.0/16", 100 + net), "blackhole": true })),
    );
    json!([
        { "stage": "capture", "config": capture },
        { "stage": "acl", "config": { "rules": rules } },
        { "stage": "impair", "config": impair },
        { "stage": "route", "config": {
            "addresses": { "clients": ["10.77.0.254/24"], "servers": ["10.78.0.254/24"] },
            "routes": routes } },
    ])
}

#[test]
fn every_stage_takes_new_settings_under_load() {
    const RELOADS: u16 = 120;
    require!(Need::Root, Need::Tun);
    let ends = Ends::new();
    let folder = tempfile::tempdir().unwrap();
    let mut config = ends.tap_config();
    config["chain"] = chain(folder.path(), 0);
    let sluice = Sluice::start(config);
    ends.adopt();
    let (client, server) = (&ends.client_interface, &ends.server_interface);
    ends.servers.ip(&["address", "flush", "dev", server]);
    ends.servers
        .ip(&["address", "add", "10.78.0.2/24", "dev", server]);
    ends.servers
        .ip(&["route", "add", "10.77.0.0/24", "via", "10.78.0.254"]);
    ends.clients.ip(&[
        "route",
        "add",
        "10.78.0.0/24",
        "via",
        "10.77.0.254",
        "dev",
        client,
    ]);
    let level = sluice.packets_in_use();
    let echo = |port: u16| SocketAddr::from(([10, 78, 0, 2], port));
    let flow = |port: u16| {
        let local = SocketAddr::from(([10, 77, 0, 1], 0));
        Traffic::start(
            &ends.clients,
            local,
            echo(port),
            200,
            Duration::from_millis(2),
        )
    };
    let _echoes = [7, 9, 11].map(|port| Echo::start(&ends.servers, echo(port)));
    // Both ends know each other's MAC address before anything is counted.
    flow(7).wait_flowing(20, LIMIT).unwrap();
    let before = sluice.json("/api/v1/drops");
    let denied = |drops: &Value| {
        let drops = drops.as_array().unwrap().iter();
        let denied = drops.filter(|drop| drop["reason"] == "denied");
        denied
            .map(|drop| drop["packets"].as_u64().unwrap())
            .sum::<u64>()
    };
    let mut flows = [7, 9, 11].map(flow);
    let Endpoint::Unix(socket) = sluice.control() else {
        panic!("no socket")
    };
    for n in 1..=RELOADS {
        rewrite(&sluice, |config| config["chain"] = chain(folder.path(), n));
        let output = Command::new(cargo_binary("sluice"))
            .args(["ctl", "--socket", socket.to_str().unwrap(), "reload"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "reload {n}: {text}");
        assert_eq!(
            sluice.json("/api/v1/config")["chain"],
            chain(folder.path(), n)
        );
    }
    flows[0].wait_flowing(50, LIMIT).unwrap();
    flows.iter_mut().for_each(Traffic::end);
    let [allowed, forbidden, sometimes] = &flows;
    let settled = wait_for("every datagram that the rules allow", LIMIT, || {
        let stopped = denied(&sluice.json("/api/v1/drops")) - denied(&before);
        (allowed.returned() == allowed.sent()
            && stopped == forbidden.sent() + sometimes.sent() - sometimes.returned())
        .then_some(())
    });
    let counts = || {
        flows
            .iter()
            .map(|flow| (flow.sent(), flow.returned()))
            .collect::<Vec<_>>()
    };
    settled.unwrap_or_else(|error| {
        let drops = sluice.json("/api/v1/drops");
        panic!(
            "{error}: sent and returned {:?}, {before:#} {drops:#}",
            counts()
        )
    });
    assert_eq!(forbidden.returned(), 0, "{:?}", counts());
    assert!(
        sometimes.returned() > 0 && sometimes.returned() < sometimes.sent(),
        "{:?}",
        counts()
    );
    assert!(flows.iter().all(|flow| flow.damaged() == 0));
    sluice.assert_conserved(level);
}
