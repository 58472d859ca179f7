//! What fails around the clone stage as a gateway: servers, links, the appliance, who controls it. Clients go
//! on, and nothing is lost.

use std::io::Write;
use std::time::Duration;

use clone_rig::control::{command, count, lost, self_test, server, show, state};
use clone_rig::{Bed, Links, Load, Mode, Plan, Service};
use serde_json::json;
use testkit::{Endpoint, Need, require, wait_for};

const LIMIT: Duration = Duration::from_secs(30);

fn gateway(servers: u8) -> Bed {
    Bed::new(Mode::Gateway, Links::Tap, servers).unwrap()
}

#[test]
fn x06_x07_servers_die_and_come_back_and_nothing_is_lost() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(4);
    let mut service = Service::start(&bed, &json!({})).unwrap();
    let tally = service.under_load(Plan::default(), all_die_and_come_back);
    let tally = tally.unwrap();
    assert!(tally.retransmissions > 0, "{tally:?}");
}

fn all_die_and_come_back(service: &mut Service<'_>, load: &Load) {
    let Service {
        sluice, servers, ..
    } = service;
    let sluice = &*sluice;
    let groups = show(sluice)["groups"].clone();
    load.wait_flowing(500, LIMIT).unwrap();
    let found = count(sluice, "server_down");
    servers.kill(1);
    state(sluice, 1, "down").unwrap();
    assert_eq!(count(sluice, "server_down"), found + 1);
    // Its groups have another server now; clients have not been told anything.
    load.wait_flowing(500, LIMIT).unwrap();
    assert_eq!(show(sluice)["groups"], groups);
    let sent_to = |sid| {
        let shown = server(sluice, sid);
        shown["fwd_orig"].as_u64().unwrap() + shown["fwd_clone"].as_u64().unwrap()
    };
    let before = sent_to(1);
    load.wait_flowing(500, LIMIT).unwrap();
    assert_eq!(sent_to(1), before);
    // All but one, which is never sent a clone.
    servers.kill(2);
    servers.kill(3);
    state(sluice, 2, "down").unwrap();
    state(sluice, 3, "down").unwrap();
    load.wait_flowing(200, LIMIT).unwrap();
    let cloned = count(sluice, "req_cloned");
    load.wait_flowing(200, LIMIT).unwrap();
    assert_eq!(count(sluice, "req_cloned"), cloned);
    // All; clients are told so, and try again.
    servers.kill(0);
    state(sluice, 0, "down").unwrap();
    wait_for("a refusal", LIMIT, || {
        (count(sluice, "no_server") > 0).then_some(())
    })
    .unwrap();
    for sid in 0..4 {
        servers.start_one(sid).unwrap();
    }
    for sid in 0..4 {
        state(sluice, sid, "up").unwrap();
    }
    load.wait_flowing(1_000, LIMIT).unwrap();
    for sid in 0..4 {
        assert!(servers.totals(sid).unwrap().answered > 0, "server {sid}");
    }
}

#[test]
fn x08_killed_and_started_again_under_load_it_drops_nothing_wrongly() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let mut service = Service::start(&bed, &json!({})).unwrap();
    let tally = service.under_load(Plan::default(), killed_three_times);
    let tally = tally.unwrap();
    assert!(tally.retransmissions > 0, "{tally:?}");
}

fn killed_three_times(service: &mut Service<'_>, load: &Load) {
    let Service { bed, sluice, .. } = service;
    for _ in 0..3 {
        load.wait_flowing(500, LIMIT).unwrap();
        let epoch = show(sluice)["epoch"].clone();
        bed.restart(sluice).unwrap();
        assert_ne!(show(sluice)["epoch"], epoch);
        load.wait_flowing(500, LIMIT).unwrap();
    }
    self_test(sluice).unwrap();
    let before = count(sluice, "req_total");
    let repeated = count(sluice, "resp_stale_epoch");
    load.wait_flowing(2_000, LIMIT).unwrap();
    assert!(count(sluice, "req_total") > before);
    assert_eq!(
        count(sluice, "resp_stale_epoch"),
        repeated,
        "the old epoch's answers have all come"
    );
}

#[test]
fn x11_servers_change_their_mac_address_and_nothing_is_lost() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let mut service = Service::start(&bed, &json!({})).unwrap();
    let tally = service.under_load(Plan::default(), |service, load| {
        load.wait_flowing(300, LIMIT).unwrap();
        service.bed.move_servers("02:00:00:86:07:07").unwrap();
        load.wait_flowing(1_000, LIMIT).unwrap();
    });
    tally.unwrap();
    // All of them move at once: for a moment there may be no server, of which clients are told.
    let sluice = &service.sluice;
    assert_eq!(lost(sluice), count(sluice, "no_server"));
}

#[test]
fn x05_a_link_that_goes_down_takes_its_servers_with_it_and_brings_them_back() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let mut service = Service::start(&bed, &json!({})).unwrap();
    let level = service.sluice.packets_in_use();
    let tally = service.under_load(Plan::default(), |Service { bed, sluice, .. }, load| {
        load.wait_flowing(300, LIMIT).unwrap();
        bed.hosts.ip(&["link", "set", "dev", "servers", "down"]);
        for sid in 0..3 {
            state(sluice, sid, "down").unwrap();
        }
        wait_for("a refusal", LIMIT, || {
            (count(sluice, "no_server") > 0).then_some(())
        })
        .unwrap();
        bed.hosts.ip(&["link", "set", "dev", "servers", "up"]);
        bed.hosts
            .ip(&["route", "replace", "default", "via", "10.86.2.254"]);
        for sid in 0..3 {
            state(sluice, sid, "up").unwrap();
        }
        load.wait_flowing(500, LIMIT).unwrap();
    });
    tally.unwrap();
    service.sluice.assert_conserved(level + 64);
}

/// Control and data path are one process; what can die alone is who asks it for something.
#[test]
fn x10_whoever_controls_it_may_die_in_the_middle_of_a_command() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let mut service = Service::start(&bed, &json!({})).unwrap();
    let tally = service.under_load(Plan::default(), half_told);
    tally.unwrap();
}

fn half_told(service: &mut Service<'_>, load: &Load) {
    let sluice = &service.sluice;
    let Endpoint::Unix(socket) = sluice.control() else {
        panic!("no socket")
    };
    let head = "POST /api/v1/stages/clone/drain HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\n";
    let whole = format!("{head}{{\"sid\":1}}");
    for length in (0..whole.len()).step_by(3) {
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        stream.write_all(&whole.as_bytes()[..length]).unwrap();
        // Gone without a word.
        drop(stream);
        assert_eq!(server(sluice, 1)["state"], "up", "after {length} bytes");
    }
    load.wait_flowing(500, LIMIT).unwrap();
    command(sluice, "drain", &json!({ "sid": 1 })).unwrap();
    state(sluice, 1, "drained").unwrap();
}
