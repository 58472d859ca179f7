//! Ports whose device disappears while traffic flows, and comes back.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Ends, Need, Netns, Sluice, require, wait_for};

const LIMIT: Duration = Duration::from_secs(15);
const PACE: Duration = Duration::from_millis(1);

fn wait_for_state(sluice: &Sluice<'_>, port: &str, state: &str) {
    let mut last = Value::Null;
    wait_for("the port's state", LIMIT, || {
        last = sluice.port(port);
        (last["state"] == state).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {state} wanted: {last:#}"));
}

fn wait_for_health(sluice: &Sluice<'_>, status: u16) -> Value {
    wait_for("the health", LIMIT, || {
        let answer = sluice.get("/healthz");
        (answer.status == status).then(|| answer.json())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", sluice.get("/healthz").text()))
}

#[test]
fn a_deleted_tap_is_made_again_and_the_other_ports_forward_on() {
    require!(Need::Root, Need::Tun);
    // Two wires through one appliance.
    let (ends, others) = (Ends::new(), Ends::new());
    let renamed = |mut port: Value, name: &str, peer: &str| {
        port["name"] = json!(name);
        port["peer"] = json!(peer);
        port["rx_descriptors"] = json!(256);
        port["tx_descriptors"] = json!(256);
        port
    };
    let sluice = Sluice::start(json!({
        "ports": [
            renamed(ends.client_tap(), "clients", "servers"),
            renamed(ends.server_tap(), "servers", "clients"),
            renamed(others.client_tap(), "other-clients", "other-servers"),
            renamed(others.server_tap(), "other-servers", "other-clients"),
        ],
        "chain": [{ "stage": "pass" }],
    }));
    ends.adopt();
    others.adopt();
    let mut echo = ends.echo();
    let _other_echo = others.echo();
    let traffic = ends.traffic(200, PACE);
    let other_traffic = others.traffic(200, PACE);
    traffic.wait_flowing(50, LIMIT).unwrap();
    let level = sluice.packets_in_use();
    for round in 1..=3 {
        ends.servers
            .ip(&["link", "del", "dev", &ends.server_interface]);
        // It is seen, and the port made anew where it was made the first time.
        wait_for("the loss", LIMIT, || {
            (sluice.port("servers")["losses"] == round).then_some(())
        })
        .unwrap();
        wait_for_state(&sluice, "servers", "attached");
        let before = other_traffic.returned();
        drop(echo);
        ends.adopt_server();
        echo = ends.echo();
        traffic.wait_flowing(50, LIMIT).unwrap_or_else(|error| {
            panic!("round {round}: {error}\n{:#}", sluice.json("/api/v1/ports"))
        });
        wait_for_health(&sluice, 200);
        assert!(other_traffic.returned() > before);
        other_traffic.wait_flowing(20, LIMIT).unwrap();
        assert_eq!(sluice.port("other-servers")["losses"], 0);
    }
    drop((traffic, other_traffic));
    sluice.assert_conserved(level);
}

#[test]
fn a_tap_that_cannot_be_made_again_is_lost_until_it_can() {
    require!(Need::Root, Need::Tun);
    let (ends, middle) = (Ends::new(), Netns::quiet("middle"));
    let sluice = Sluice::builder(ends.tap_config()).netns(&middle).start();
    let adopt = |netns: &Netns, interface: &str, address: &str| {
        netns
            .try_adopt_from(&middle, interface, &[address])
            .unwrap();
    };
    adopt(&ends.clients, &ends.client_interface, "10.77.0.1/24");
    adopt(&ends.servers, &ends.server_interface, "10.77.0.2/24");
    ends.ping(3, 56);
    // Another interface takes the name before the TAP goes.
    let name = &ends.server_interface;
    middle.ip(&["link", "add", name, "type", "veth", "peer", "name", "other"]);
    ends.servers
        .ip(&["link", "del", "dev", &ends.server_interface]);
    wait_for_state(&sluice, "servers", "lost");
    let health = wait_for_health(&sluice, 503).to_string();
    assert!(
        health.contains("servers") && health.contains("lost"),
        "{health}"
    );
    // What is sent to it is counted.
    let dropped = || sluice.port_count("servers", "port_down");
    let before = dropped();
    wait_for("a drop", LIMIT, || {
        let _ = ends
            .clients
            .command("ping")
            .args(["-c1", "-W1", "10.77.0.2"])
            .output();
        (dropped() > before).then_some(())
    })
    .unwrap();
    assert!(
        sluice
            .json("/api/v1/drops")
            .to_string()
            .contains("port_down")
    );
    middle.ip(&["link", "del", "dev", &ends.server_interface]);
    wait_for_state(&sluice, "servers", "attached");
    adopt(&ends.servers, &ends.server_interface, "10.77.0.2/24");
    wait_for_health(&sluice, 200);
    ends.ping(3, 56);
}

#[test]
fn a_tap_in_another_namespace_is_not_lost() {
    require!(Need::Root, Need::Tun);
    let ends = Ends::new();
    let sluice = Sluice::start(ends.tap_config());
    ends.adopt();
    ends.ping(3, 56);
    // Around once more, and renamed.
    let third = Netns::quiet("third");
    let name = &ends.server_interface;
    third.try_adopt_from(&ends.servers, name, &[]).unwrap();
    third.ip(&["link", "set", "dev", name, "down"]);
    third.ip(&["link", "set", "dev", name, "name", "eth7"]);
    ends.servers
        .try_adopt_from(&third, "eth7", &["10.77.0.2/24"])
        .unwrap();
    ends.ping(20, 56);
    for port in ["clients", "servers"] {
        let port = sluice.port(port);
        assert_eq!(
            (&port["state"], &port["losses"]),
            (&json!("attached"), &json!(0))
        );
    }
    wait_for_health(&sluice, 200);
}

fn veth_goes_and_comes(kind: &str) {
    let (ends, middle) = (Ends::new(), Netns::quiet("middle"));
    ends.join(&middle, 1500);
    let device = |interface: &str| json!({ "type": kind, "interface": interface });
    let sluice = Sluice::builder(json!({
        "ports": [
            { "name": "clients", "side": "client", "device": device(&ends.client_interface) },
            { "name": "servers", "side": "server", "device": device(&ends.server_interface) },
        ],
        "chain": [],
    }))
    .netns(&middle)
    .start();
    ends.ping(5, 56);
    for _ in 0..3 {
        let interface = &ends.server_interface;
        middle.ip(&["link", "del", "dev", interface]);
        wait_for_state(&sluice, "servers", "lost");
        wait_for_health(&sluice, 503);
        ends.servers
            .join((interface, &["10.77.0.2/24"]), &middle, (interface, &[]));
        wait_for_state(&sluice, "servers", "attached");
        wait_for_health(&sluice, 200);
        // The kernel at the other end had a neighbour that is gone.
        ends.clients.ip(&["neigh", "flush", "all"]);
        ends.ping(5, 56);
    }
    let (status, log) = sluice.stop();
    assert!(status.success(), "{log}");
}

#[test]
fn a_veth_that_goes_and_comes_back_is_opened_again() {
    require!(Need::Root);
    veth_goes_and_comes("af_packet");
}

#[test]
fn a_veth_under_an_af_xdp_port_that_goes_and_comes_back_is_opened_again() {
    require!(Need::Root, Need::AfXdp);
    veth_goes_and_comes("af_xdp");
}

/// Two appliances joined by memif, each with a TAP at its other end; the one of that role is killed
/// and started again 20 times.
fn memif_peer_restarts(killed: &str) {
    let ends = Ends::new();
    let folder = tempfile::tempdir().unwrap();
    let stays = if killed == "server" {
        "client"
    } else {
        "server"
    };
    let memif = |name: &str, side: &str, role: &str| {
        json!({
            "name": name, "side": side, "rx_descriptors": 256, "tx_descriptors": 256,
            "device": { "type": "memif", "role": role, "socket": folder.path().join("memif.sock") },
        })
    };
    let small = |mut port: Value| {
        port["rx_descriptors"] = json!(256);
        port["tx_descriptors"] = json!(256);
        port
    };
    let with = |ports: Value| {
        json!({
            "eal": { "memory_mb": 64 }, "mempool": { "packets": 4096 },
            "ports": ports, "chain": [{ "stage": "pass" }],
        })
    };
    let near = with(json!([
        small(ends.client_tap()),
        memif("servers", "server", killed)
    ]));
    let far = with(json!([
        memif("clients", "client", stays),
        small(ends.server_tap())
    ]));
    // The one that is killed has the clients' TAP, whose address is not bound to.
    let (mut near, mut far) = if killed == "server" {
        let near = Sluice::start(near);
        (near, Sluice::builder(far).unhealthy_too().start())
    } else {
        let far = Sluice::start(far);
        (Sluice::start(near), far)
    };
    ends.adopt();
    let echo = ends.echo();
    let traffic = ends.traffic(200, PACE);
    traffic.wait_flowing(50, LIMIT).unwrap();
    let mut descriptors = 0;
    for round in 0..20 {
        near.start_again();
        ends.adopt_client();
        traffic
            .wait_flowing(20, LIMIT)
            .unwrap_or_else(|error| panic!("round {round}: {error}\n{}", far.process().log()));
        if round == 1 {
            // Those that are opened lazily are open by now.
            descriptors = far.descriptors();
        }
    }
    let now = far.descriptors();
    assert!(
        now <= descriptors + 2,
        "{descriptors} descriptors became {now}"
    );
    drop((traffic, echo));
    // Its TAP and its memif hold some; 20 restarts add none.
    let most = 256 + 64;
    far.assert_conserved(most);
    wait_for_health(&far, 200);
    let (status, log) = far.stop();
    assert!(status.success() && !log.contains("not given back"), "{log}");
}

#[test]
fn a_memif_server_survives_twenty_clients() {
    require!(Need::Root, Need::Tun);
    memif_peer_restarts("client");
}

#[test]
fn a_memif_client_finds_its_server_after_twenty_restarts() {
    require!(Need::Root, Need::Tun);
    memif_peer_restarts("server");
}

/// A client that is there first waits for its server, says so, and connects when it comes.
#[test]
fn a_memif_client_waits_for_its_server() {
    for abstract_socket in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let memif = |role: &str| {
            json!({
                "name": "m", "side": "server", "rx_descriptors": 256, "tx_descriptors": 256,
                "device": {
                    "type": "memif", "role": role, "abstract": abstract_socket,
                    "socket": folder.path().join("m.sock"),
                },
            })
        };
        let config = |role: &str| {
            json!({
                "eal": { "memory_mb": 64 }, "mempool": { "packets": 4096 },
                "ports": [
                    { "name": "n", "side": "client", "rx_descriptors": 256, "tx_descriptors": 256,
                      "device": { "type": "ring" } },
                    memif(role),
                ],
                "chain": [],
            })
        };
        let client = Sluice::builder(config("client")).unhealthy_too().start();
        wait_for_state(&client, "m", "lost");
        let health = wait_for_health(&client, 503).to_string();
        assert!(health.contains("no memif server answers"), "{health}");
        let server = Sluice::start(config("server"));
        wait_for_state(&client, "m", "attached");
        wait_for("the link", LIMIT, || {
            (client.port("m")["link"]["up"] == true && server.port("m")["link"]["up"] == true)
                .then_some(())
        })
        .unwrap();
        wait_for_health(&client, 200);
    }
}

#[test]
fn ports_go_down_and_up_by_command() {
    require!(Need::Root, Need::Tun);
    let ends = Ends::new();
    let folder = tempfile::tempdir().unwrap();
    let mut config = ends.tap_config();
    let port = |name: &str, device: Value| {
        json!({
            "name": name, "side": "server", "peer": "clients", "device": device,
            "rx_descriptors": 256, "tx_descriptors": 256,
        })
    };
    let ports = config["ports"].as_array_mut().unwrap();
    ports[0]["peer"] = json!("servers");
    ports[1]["peer"] = json!("clients");
    ports.push(port(
        "memif",
        json!({ "type": "memif", "role": "server", "socket": folder.path().join("m.sock") }),
    ));
    ports.push(port("ring", json!({ "type": "ring" })));
    let mut sluice = Sluice::start(config);
    ends.adopt();
    ends.ping(3, 56);
    let command = |sluice: &Sluice<'_>, port: &str, verb: &str| {
        let answer = sluice.post(&format!("/api/v1/ports/{port}/{verb}"), &json!({}));
        assert_eq!(answer.status, 200, "{port} {verb}: {}", answer.text());
    };
    let mut first = (0, 0);
    for round in 0..5 {
        for port in ["servers", "memif", "ring"] {
            command(&sluice, port, "down");
            command(&sluice, port, "down");
            wait_for_state(&sluice, port, "down");
            // By command is no fault.
            wait_for_health(&sluice, 200);
            command(&sluice, port, "up");
            command(&sluice, port, "up");
            wait_for_state(&sluice, port, "attached");
        }
        // The TAP was made anew.
        ends.adopt_server();
        ends.clients.ip(&["neigh", "flush", "all"]);
        ends.ping(3, 56);
        if round == 0 {
            first = (sluice.packets_in_use(), sluice.descriptors());
        }
    }
    sluice.assert_conserved(first.0);
    // DPDK's driver keeps the descriptor that a memif server listened on: one for each of four times.
    let now = sluice.descriptors();
    assert!(
        now <= first.1 + 4 + 1,
        "{} descriptors became {now}",
        first.1
    );
    let missing = sluice.post("/api/v1/ports/nosuch/down", &json!({}));
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("memif"), "{}", missing.text());
}

/// DPDK's driver keeps some 2000 packet buffers each time that an AF_XDP port is closed: they are taken
/// back, and neither the common pool nor the port's own runs dry.
#[test]
fn an_af_xdp_port_goes_down_and_up_as_often_as_one_likes() {
    const TIMES: usize = 12;
    require!(Need::Root, Need::AfXdp);
    let (ends, middle) = (Ends::new(), Netns::quiet("middle"));
    ends.join(&middle, 1500);
    let device = |interface: &str| json!({ "type": "af_xdp", "interface": interface });
    let sluice = Sluice::builder(json!({
        "ports": [
            { "name": "clients", "side": "client", "device": device(&ends.client_interface) },
            { "name": "servers", "side": "server", "device": device(&ends.server_interface) },
        ],
        "chain": [{ "stage": "impair", "config": { "both": { "delay": { "time": { "constant_us": 200 } } } } }],
    }))
    .netns(&middle)
    .start();
    let level = sluice.packets_in_use();
    for _ in 0..TIMES {
        ends.ping(3, 56);
        for (verb, state) in [("down", "down"), ("up", "attached")] {
            let answer = sluice.post(&format!("/api/v1/ports/servers/{verb}"), &json!({}));
            assert_eq!(answer.status, 200, "{verb}: {}", answer.text());
            wait_for_state(&sluice, "servers", state);
        }
    }
    let _echo = ends.echo();
    let traffic = ends.traffic(500, PACE);
    traffic.wait_flowing(200, LIMIT).unwrap();
    assert_eq!(traffic.damaged(), 0);
    drop(traffic);
    sluice.assert_conserved(level);
    let (status, log) = sluice.stop();
    assert!(status.success(), "{log}");
    assert!(!log.contains("not given back"), "{log}");
}
