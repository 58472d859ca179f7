//! An appliance that is killed leaves nothing that stops the next one; one that is asked to stop
//! leaves nothing at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{Ends, Need, Sluice, require, wait_for};

const LIMIT: Duration = Duration::from_secs(15);
const PACE: Duration = Duration::from_millis(1);

/// Two appliances, joined by memif, each with a TAP at its other end.
fn near_and_far(ends: &Ends, folder: &Path) -> (Value, Value) {
    let memif = |name: &str, side: &str, role: &str| {
        json!({
            "name": name, "side": side,
            "device": { "type": "memif", "role": role, "socket": folder.join("memif.sock") },
        })
    };
    let near = json!({
        "ports": [ends.client_tap(), memif("servers", "server", "server")], "chain": [],
    });
    let far = json!({
        "ports": [memif("clients", "client", "client"), ends.server_tap()], "chain": [],
    });
    (near, far)
}

#[test]
fn killed_while_traffic_flows_and_started_again_it_forwards_again() {
    require!(Need::Root, Need::Tun);
    let ends = Ends::new();
    let folder = tempfile::tempdir().unwrap();
    let (near, far) = near_and_far(&ends, folder.path());
    let mut near = Sluice::start(near);
    let mut far = Sluice::builder(far).unhealthy_too().start();
    ends.adopt();
    let mut echo = ends.echo();
    let traffic = ends.traffic(200, PACE);
    traffic.wait_flowing(50, LIMIT).unwrap();
    for round in 0..3 {
        // The memif server, with its socket and its TAP; then the client.
        near.process().kill();
        assert!(folder.path().join("memif.sock").exists());
        near.start_again();
        ends.adopt_client();
        traffic
            .wait_flowing(50, LIMIT)
            .unwrap_or_else(|error| panic!("server, round {round}: {error}"));
        far.process().kill();
        far.start_again();
        drop(echo);
        ends.adopt_server();
        echo = ends.echo();
        traffic
            .wait_flowing(50, LIMIT)
            .unwrap_or_else(|error| panic!("client, round {round}: {error}"));
    }
    assert_eq!(traffic.damaged(), 0);
    for sluice in [near, far] {
        let (status, log) = sluice.stop();
        assert!(status.success(), "{log}");
    }
}

/// Where DPDK keeps the run-time files of an instance.
fn prefix_folder(name: &str) -> PathBuf {
    Path::new("/var/run/dpdk").join(name)
}

fn stops_cleanly(label: &str, signal: Signal, in_memory: bool) {
    let ends = Ends::new();
    let folder = tempfile::tempdir().unwrap();
    let memif = folder.path().join("memif.sock");
    let mut config = ends.tap_config();
    config["ports"].as_array_mut().unwrap().push(json!({
        "name": "other", "side": "server", "peer": "clients",
        "device": { "type": "memif", "role": "server", "socket": memif },
    }));
    config["ports"][0]["peer"] = json!("servers");
    config["ports"][1]["peer"] = json!("clients");
    let name = format!("stop-{}-{label}", std::process::id());
    config["name"] = json!(name);
    config["eal"] = json!({
        "dpdk_telemetry": true, "memory_mb": 64, "hugepages": if in_memory { "auto" } else { "off" },
    });
    config["mempool"] = json!({ "packets": 8000, "cache": 64 });
    for port in 0..3 {
        config["ports"][port]["rx_descriptors"] = json!(256);
        config["ports"][port]["tx_descriptors"] = json!(256);
    }
    if !in_memory {
        config["eal"]["memory_mb"] = json!(96);
    }
    let mut sluice = Sluice::start(config);
    ends.adopt();
    let echo = ends.echo();
    let traffic = ends.traffic(100, PACE);
    traffic.wait_flowing(20, LIMIT).unwrap();

    let control = sluice.folder().join("control.sock");
    assert!(control.exists() && memif.exists());
    sluice.process().signal(signal);
    let status = sluice.process().wait(LIMIT).unwrap();
    let log = sluice.process().log();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.lines().any(|line| line.contains("stopping")), "{log}");
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("stopped"), "{log}");
    for port in ["clients", "servers", "other"] {
        let line = log.lines().find(|line| {
            line.contains("port closed") && line.contains(&format!("port=\"{port}\""))
        });
        let line = line.unwrap_or_else(|| panic!("no word of {port}: {log}"));
        assert_eq!(line.contains("rx_packets=0 "), port == "other", "{line}");
    }
    assert!(!log.contains("not given back"), "{log}");
    assert!(!log.contains("WARN") || !in_memory, "{log}");
    drop((traffic, echo));
    for (netns, interface) in [
        (&ends.clients, &ends.client_interface),
        (&ends.servers, &ends.server_interface),
    ] {
        assert!(netns.try_ip(&["link", "show", "dev", interface]).is_err());
    }
    let left: Vec<_> = std::fs::read_dir(sluice.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "config.json")
        .collect();
    assert_eq!(left, Vec::<std::ffi::OsString>::new());
    assert!(!memif.exists());
    assert!(!prefix_folder(&name).exists());
}

#[test]
fn sigterm_leaves_nothing_behind() {
    require!(Need::Root, Need::Tun);
    stops_cleanly("term", Signal::TERM, true);
}

#[test]
fn sigint_leaves_nothing_behind() {
    require!(Need::Root, Need::Tun);
    stops_cleanly("int", Signal::INT, true);
}

#[test]
fn without_huge_pages_nothing_is_left_behind_either() {
    require!(Need::Root, Need::Tun);
    stops_cleanly("pages", Signal::TERM, false);
}

/// A second signal while it stops changes nothing.
#[test]
fn impatience_is_harmless() {
    let sluice = |side: &str| json!({ "name": side, "side": side, "device": { "type": "null" } });
    let mut sluice = Sluice::start(json!({
        "ports": [sluice("client"), sluice("server")], "chain": [{ "stage": "pass" }],
    }));
    for _ in 0..5 {
        sluice.process().signal(Signal::TERM);
        sluice.process().signal(Signal::INT);
    }
    let status = sluice.process().wait(LIMIT).unwrap();
    assert_eq!(status.code(), Some(0), "{}", sluice.process().log());
    wait_for("the lock's end", LIMIT, || {
        (!sluice.folder().join("control.lock").exists()).then_some(())
    })
    .unwrap();
}
