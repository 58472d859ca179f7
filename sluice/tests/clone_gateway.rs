//! The clone stage as a gateway: clients and servers on kernel UDP sockets, an appliance on TAP
//! interfaces between them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use clone_rig::control::{command, count, lost, reload, self_test, server, show, state};
use clone_rig::{Bed, Links, Load, Mode, Plan, Servers, Service};
use serde_json::json;
use testkit::{Endpoint, Need, cargo_binary, require, wait_for};

const LIMIT: Duration = Duration::from_secs(30);

fn gateway(servers: u8) -> Bed {
    Bed::new(Mode::Gateway, Links::Tap, servers).unwrap()
}

#[test]
fn f05_f08_f24_every_answer_is_right_and_the_slower_one_ends_in_the_appliance() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let mut service = Service::start(&bed, &json!({})).unwrap();
    let level = service.sluice.packets_in_use();
    let tally = service.under_load(Plan::default(), |_, load| {
        load.wait_flowing(5_000, LIMIT).unwrap();
    });
    let tally = tally.unwrap();
    let Service {
        sluice, servers, ..
    } = service;
    assert!(tally.cloned > 0 && tally.by_clone > 0, "{tally:?}");
    assert_eq!(tally.by_sid.len(), 3, "{tally:?}");
    sluice.assert_conserved(level + 8);
    let all = tally.sent + tally.retransmissions;
    let [total, cloned, single, first, uncloned] = [
        "req_total",
        "req_cloned",
        "req_single",
        "resp_first",
        "resp_uncloned",
    ]
    .map(|counter| count(&sluice, counter));
    assert_eq!((total, total), (all, cloned + single));
    // Each cloned request has a first answer, each other one its only one.
    assert_eq!((first, uncloned), (cloned, single));
    // A second one comes unless its server found others waiting; the last of them after the load has ended.
    let executed = || -> u64 {
        (0..3)
            .map(|sid| servers.totals(sid).unwrap().answered)
            .sum()
    };
    wait_for("every second answer", LIMIT, || {
        let filtered = count(&sluice, "resp_filtered");
        (filtered == executed() - first - uncloned).then_some(())
    })
    .unwrap();
    let filtered = count(&sluice, "resp_filtered");
    assert!(filtered > 0, "no answer was filtered");
    if tally.retransmissions == 0 {
        assert_eq!(tally.redundant, 0, "{tally:?}");
    }
    assert_eq!(lost(&sluice), 0);
    // The table of servers says the same.
    let sum = |key: &str| -> u64 {
        let shown = show(&sluice);
        let servers = shown["servers"].as_array().unwrap();
        servers
            .iter()
            .map(|server| server[key].as_u64().unwrap())
            .sum()
    };
    assert_eq!((sum("fwd_orig"), sum("fwd_clone")), (total, cloned));
    assert_eq!(sum("resp"), executed());
}

#[test]
fn f16_messages_of_several_packets_come_whole() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let mut service = Service::start(&bed, &json!({ "filter_mode": "winner" })).unwrap();
    let plan = Plan {
        longest: 12_000,
        in_flight: 4,
        ..Plan::default()
    };
    let tally = service.under_load(plan, |_, load| load.wait_flowing(1_000, LIMIT).unwrap());
    let (tally, sluice) = (tally.unwrap(), &service.sluice);
    assert!(tally.cloned > 0, "{tally:?}");
    assert!(count(sluice, "msg_insert") > 0 && count(sluice, "msg_hit") > 0);
    assert!(count(sluice, "resp_filtered") > 0);
}

#[test]
fn f22_a_drained_server_gets_no_further_requests_whoever_says_so() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let mut service = Service::start(&bed, &json!({})).unwrap();
    let tally = service.under_load(Plan::default(), drained_by_either);
    let tally = tally.unwrap();
    assert_eq!(tally.retransmissions, 0, "nothing had to be repeated");
}

fn drained_by_either(service: &mut Service<'_>, load: &Load) {
    let Service {
        sluice, servers, ..
    } = service;
    let sluice = &*sluice;
    load.wait_flowing(500, LIMIT).unwrap();
    let taken = |sid| servers.totals(sid).unwrap().received.reads;
    command(sluice, "drain", &json!({ "sid": 1 })).unwrap();
    state(sluice, 1, "drained").unwrap();
    let before = taken(1);
    load.wait_flowing(1_000, LIMIT).unwrap();
    assert_eq!(taken(1), before);
    command(sluice, "restore", &json!({ "sid": 1 })).unwrap();
    load.wait_flowing(1_000, LIMIT).unwrap();
    assert!(taken(1) > before);
    // The server itself says so.
    servers.set_draining(2, true);
    state(sluice, 2, "unwilling").unwrap();
    wait_for("the last request", LIMIT, || {
        let before = taken(2);
        load.wait_flowing(300, LIMIT).unwrap();
        (taken(2) == before).then_some(())
    })
    .unwrap();
    servers.set_draining(2, false);
    state(sluice, 2, "up").unwrap();
    let before = taken(2);
    load.wait_flowing(1_000, LIMIT).unwrap();
    assert!(taken(2) > before);
}

#[test]
fn f21_x09_servers_policy_and_settings_change_under_load_and_nothing_is_lost() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let Service {
        sluice,
        mut servers,
        ..
    } = Service::start(&bed, &json!({})).unwrap();
    let level = sluice.packets_in_use();
    let load = Load::start(&bed, Plan::default()).unwrap();
    load.wait_flowing(500, LIMIT).unwrap();
    command(&sluice, "remove", &json!({ "sid": 0 })).unwrap();
    load.wait_flowing(300, LIMIT).unwrap();
    // A server that clients never heard of: they are told that there are more groups.
    servers.start_one(3).unwrap();
    for sid in [0, 3] {
        let server = json!({ "sid": sid, "ip": bed.server(sid) });
        command(&sluice, "add", &server).unwrap();
        load.wait_flowing(300, LIMIT).unwrap();
    }
    state(&sluice, 3, "up").unwrap();
    wait_for("an answer of the new server", LIMIT, || {
        (servers.totals(3).unwrap().answered > 0).then_some(())
    })
    .unwrap();
    assert_eq!(show(&sluice)["groups"], 12);
    for policy in ["netclone+jsq", "jsq", "random", "always", "netclone"] {
        let answer = command(&sluice, "policy", &json!({ "policy": policy })).unwrap();
        assert_eq!(answer["policy"], policy);
        let before = count(&sluice, "req_cloned");
        load.wait_flowing(300, LIMIT).unwrap();
        let clones = count(&sluice, "req_cloned") > before;
        assert_eq!(clones, !["jsq", "random"].contains(&policy), "{policy}");
    }
    // Larger and more tables: another filter, and another epoch.
    let epoch = show(&sluice)["epoch"].clone();
    let stale = count(&sluice, "resp_stale_epoch");
    for n in 0..10 {
        reload(&sluice, |stage| {
            stage["tables"] = json!(4 + n);
            stage["slots_log2"] = json!(12 + n % 3);
            stage["servers"]
                .as_array_mut()
                .unwrap()
                .retain(|server| server["sid"] != 3);
            stage["servers"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "sid": 3, "ip": bed.server(3) }));
        })
        .unwrap();
        load.wait_flowing(200, LIMIT).unwrap();
    }
    assert_ne!(show(&sluice)["epoch"], epoch);
    let tally = load.end().unwrap();
    // Of requests under way when the filter changed, both answers may come.
    let stale = count(&sluice, "resp_stale_epoch") - stale;
    assert_eq!(
        (tally.answered, tally.wrong, tally.lost, tally.twice),
        (tally.sent, 0, 0, 0),
        "{tally:?}"
    );
    assert_eq!(tally.retransmissions, 0, "{tally:?}");
    assert!(tally.redundant <= stale, "{tally:?}, {stale} of old epochs");
    sluice.assert_conserved(level + 8);
    assert_eq!(lost(&sluice), 0);
}

#[test]
fn f18_a_tcp_connection_keeps_its_server() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let Service {
        sluice,
        servers: _servers,
        ..
    } = Service::start(&bed, &json!({})).unwrap();
    let listeners: Vec<TcpListener> = (0..3)
        .map(|sid| {
            let address = (bed.server(sid), Bed::PORT);
            bed.hosts.run(|| TcpListener::bind(address)).unwrap()
        })
        .collect();
    for (sid, listener) in listeners.into_iter().enumerate() {
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.write_all(&[sid as u8]).unwrap();
                let mut all = Vec::new();
                stream.read_to_end(&mut all).unwrap();
                stream.write_all(&all).unwrap();
            }
        });
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..16 {
        let service = bed.service();
        let mut stream = bed
            .clients
            .run(|| TcpStream::connect_timeout(&service, LIMIT))
            .unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut sid = [0];
        stream.read_exact(&mut sid).unwrap();
        seen.insert(sid[0]);
        let sent: Vec<u8> = (0..50_000_u32).map(|n| (n % 251) as u8).collect();
        stream.write_all(&sent).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert_eq!(back, sent);
    }
    assert!(seen.len() > 1, "connections are spread: {seen:?}");
    assert!(count(&sluice, "tcp") > 0);
    assert_eq!(count(&sluice, "req_total"), 0);
}

#[test]
fn f02_f29_the_vip_answers_and_other_traffic_of_servers_is_routed() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(2);
    let Service {
        sluice,
        servers: _servers,
        ..
    } = Service::start(&bed, &json!({})).unwrap();
    for address in [bed.vip(), bed.server(0), bed.server(1)] {
        let output = bed
            .clients
            .command("ping")
            .args(["-n", "-c3", "-i0.05", "-W5", &address.to_string()])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(" 3 received"), "{address}: {text}");
    }
    assert!(count(&sluice, "passthrough") > 0);
    assert_eq!(lost(&sluice), 0);
}

/// Without the way back through the appliance, cloning works and filtering does not: the self-test says
/// so.
#[test]
fn f29_the_self_test_finds_answers_that_go_another_way() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(2);
    let stage = bed.stage();
    let sluice = bed.start(&stage, None).unwrap();
    let mut servers = Servers::none(&bed, 1);
    servers.start_one(0).unwrap();
    wait_for("a pong", LIMIT, || {
        (server(&sluice, 0)["answers_pings"] == true).then_some(())
    })
    .unwrap();
    let told = command(&sluice, "selftest", &json!({})).unwrap();
    assert_eq!(told, json!({ "result": "waiting", "no_pong_from": [1] }));
    servers.start_one(1).unwrap();
    self_test(&sluice).unwrap();
}

#[test]
fn f24_the_commands_as_a_user_types_them() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let Service {
        sluice,
        servers: _servers,
        ..
    } = Service::start(&bed, &json!({})).unwrap();
    let Endpoint::Unix(socket) = sluice.control() else {
        panic!("no socket")
    };
    let ctl = |words: &str| {
        let output = Command::new(cargo_binary("sluice"))
            .args(["ctl", "--socket", socket.to_str().unwrap()])
            .args(words.split_whitespace())
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), out, error)
    };
    let ok = |words: &str| {
        let (success, out, error) = ctl(words);
        assert!(success, "{words}: {out}{error}");
        out
    };
    let table = ok("clone servers");
    for word in ["sid", "state", "fwd_orig", "10.86.2.101", "up"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert!(ok("clone show").contains("epoch"));
    assert!(ok("clone drain sid=2").contains("drained"));
    assert!(!ok("clone restore sid=2").contains("drained"));
    assert!(!ok("clone remove sid=2").contains("10.86.2.103"));
    assert!(ok("clone add sid=2 ip=10.86.2.103").contains("10.86.2.103"));
    assert!(ok("clone policy policy=jsq idle_threshold=1").contains("jsq"));
    wait_for("the self-test", LIMIT, || {
        ok("clone selftest").contains("passed").then_some(())
    })
    .unwrap();
    for (words, told) in [
        ("clone drain sid=9", "there is no server 9: 0, 1, 2"),
        (
            "clone add sid=1 ip=10.86.2.109",
            "another server has this number",
        ),
        ("clone add sid=4 ip=10.86.0.100", "a VIP"),
        ("clone policy policy=best", "policy"),
        ("clone explode", "selftest"),
    ] {
        let (success, out, error) = ctl(words);
        assert!(!success && error.contains(told), "{words}: {out}{error}");
    }
    // The same by the HTTP API, for reading.
    let stage = sluice.json("/api/v1/stages/clone");
    assert_eq!(stage["kind"], "clone");
    assert_eq!(stage["status"]["policy"], "jsq");
    assert_eq!(stage["status"]["live"], 3);
    let text = sluice.get("/metrics").text();
    assert!(text.contains("sluice_clone_req_total"));
}

/// Kernels look at the checksums of what comes out of a TAP interface, whose driver computes those that are
/// left to it.
#[test]
fn f19_ports_compute_the_checksums_that_kernels_look_at() {
    require!(Need::Root, Need::Tun);
    for mode in [Mode::Gateway, Mode::Gateway6] {
        let bed = Bed::new(mode, Links::Tap, 3).unwrap();
        let offload = json!({ "udp_csum": "offload" });
        let Service {
            sluice,
            servers: _servers,
            ..
        } = Service::start(&bed, &offload).unwrap();
        let load = Load::start(&bed, Plan::default()).unwrap();
        load.wait_flowing(3_000, LIMIT).unwrap();
        let tally = load.end().unwrap();
        tally.check().unwrap();
        assert!(tally.cloned > 0 && tally.by_clone > 0, "{tally:?}");
        assert_eq!(count(&sluice, "csum_bad"), 0);
        assert_eq!(lost(&sluice), 0);
    }
}

#[test]
fn b15_a_port_that_computes_no_checksums_is_told_at_the_start() {
    require!(Need::Root);
    let bed = Bed::new(Mode::Gateway, Links::Veth, 2).unwrap();
    let mut stage = bed.stage();
    stage["udp_csum"] = json!("offload");
    let told = bed
        .start(&stage, None)
        .map(drop)
        .expect_err("AF_PACKET does not");
    let expected = "udp_csum: \"offload\" needs ports that fill in the checksums of IPv4 and UDP, and port \
                    \"clients\" offers: none";
    assert!(told.contains(expected), "{told}");
}
