//! The clone stage as a gateway: clients and servers on kernel UDP sockets, an appliance on TAP
//! interfaces between them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use clone_rig::control::{command, count, reload, self_test, server, show, state};
use clone_rig::{Bed, Links, Load, Mode, Plan, Servers};
use serde_json::{Value, json};
use testkit::{Endpoint, Need, Sluice, cargo_binary, require, wait_for};

const LIMIT: Duration = Duration::from_secs(30);

/// Drops that are no loss: the slower answers, and pongs.
const EXPECTED: [&str; 2] = ["filtered", "consumed"];

struct Rig<'a> {
    sluice: Sluice<'a>,
    servers: Servers<'a>,
}

fn start<'a>(bed: &'a Bed, settings: &Value) -> Rig<'a> {
    let mut stage = bed.stage();
    for (key, value) in settings.as_object().unwrap() {
        stage[key] = value.clone();
    }
    let sluice = bed.start(&stage, None).unwrap();
    let servers = Servers::start(bed, 4).unwrap();
    self_test(&sluice).unwrap();
    Rig { sluice, servers }
}

fn gateway(servers: u8) -> Bed {
    Bed::new(Mode::Gateway, Links::Tap, servers).unwrap()
}

/// Packets that the stage dropped for a reason other than those.
fn lost_in(sluice: &Sluice<'_>, stage: &str) -> u64 {
    let drops = sluice.json("/api/v1/drops");
    let here = drops.as_array().unwrap().iter().filter(|drop| {
        drop["stage"] == stage && !EXPECTED.contains(&drop["reason"].as_str().unwrap())
    });
    here.map(|drop| drop["packets"].as_u64().unwrap()).sum()
}

#[test]
fn f05_f08_f24_every_answer_is_right_and_the_slower_one_ends_in_the_appliance() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let Rig { sluice, servers } = start(&bed, &json!({}));
    let level = sluice.packets_in_use();
    let load = Load::start(&bed, Plan::default()).unwrap();
    load.wait_flowing(5_000, LIMIT).unwrap();
    let tally = load.end().unwrap();
    tally.check().unwrap();
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
    assert_eq!(lost_in(&sluice, "clone"), 0);
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
    let Rig {
        sluice,
        servers: _servers,
    } = start(&bed, &json!({ "filter_mode": "winner" }));
    let plan = Plan {
        longest: 12_000,
        in_flight: 4,
        ..Plan::default()
    };
    let load = Load::start(&bed, plan).unwrap();
    load.wait_flowing(1_000, LIMIT).unwrap();
    let tally = load.end().unwrap();
    tally.check().unwrap();
    assert!(tally.cloned > 0, "{tally:?}");
    assert!(count(&sluice, "msg_insert") > 0 && count(&sluice, "msg_hit") > 0);
    assert!(count(&sluice, "resp_filtered") > 0);
}

#[test]
fn x06_x07_servers_die_and_come_back_and_nothing_is_lost() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(4);
    let Rig {
        sluice,
        mut servers,
    } = start(&bed, &json!({}));
    let groups = show(&sluice)["groups"].clone();
    let load = Load::start(&bed, Plan::default()).unwrap();
    load.wait_flowing(500, LIMIT).unwrap();
    let found = count(&sluice, "server_down");
    servers.kill(1);
    state(&sluice, 1, "down").unwrap();
    assert_eq!(count(&sluice, "server_down"), found + 1);
    // Its groups have another server now; clients have not been told anything.
    load.wait_flowing(500, LIMIT).unwrap();
    assert_eq!(show(&sluice)["groups"], groups);
    let sent_to = |sid| {
        let shown = server(&sluice, sid);
        shown["fwd_orig"].as_u64().unwrap() + shown["fwd_clone"].as_u64().unwrap()
    };
    let before = sent_to(1);
    load.wait_flowing(500, LIMIT).unwrap();
    assert_eq!(sent_to(1), before);
    // All but one, which is never sent a clone.
    servers.kill(2);
    servers.kill(3);
    state(&sluice, 2, "down").unwrap();
    state(&sluice, 3, "down").unwrap();
    load.wait_flowing(200, LIMIT).unwrap();
    let cloned = count(&sluice, "req_cloned");
    load.wait_flowing(200, LIMIT).unwrap();
    assert_eq!(count(&sluice, "req_cloned"), cloned);
    // All; clients are told so, and try again.
    servers.kill(0);
    state(&sluice, 0, "down").unwrap();
    wait_for("a refusal", LIMIT, || {
        (count(&sluice, "no_server") > 0).then_some(())
    })
    .unwrap();
    for sid in 0..4 {
        servers.start_one(sid).unwrap();
    }
    for sid in 0..4 {
        state(&sluice, sid, "up").unwrap();
    }
    load.wait_flowing(1_000, LIMIT).unwrap();
    for sid in 0..4 {
        assert!(servers.totals(sid).unwrap().answered > 0, "server {sid}");
    }
    let tally = load.end().unwrap();
    tally.check().unwrap();
    assert!(tally.retransmissions > 0, "{tally:?}");
}

#[test]
fn f22_a_drained_server_gets_no_further_requests_whoever_says_so() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let Rig { sluice, servers } = start(&bed, &json!({}));
    let load = Load::start(&bed, Plan::default()).unwrap();
    load.wait_flowing(500, LIMIT).unwrap();
    let taken = |sid| servers.totals(sid).unwrap().received.reads;
    command(&sluice, "drain", &json!({ "sid": 1 })).unwrap();
    state(&sluice, 1, "drained").unwrap();
    let before = taken(1);
    load.wait_flowing(1_000, LIMIT).unwrap();
    assert_eq!(taken(1), before);
    command(&sluice, "restore", &json!({ "sid": 1 })).unwrap();
    load.wait_flowing(1_000, LIMIT).unwrap();
    assert!(taken(1) > before);
    // The server itself says so.
    servers.set_draining(2, true);
    state(&sluice, 2, "unwilling").unwrap();
    wait_for("the last request", LIMIT, || {
        let before = taken(2);
        load.wait_flowing(300, LIMIT).unwrap();
        (taken(2) == before).then_some(())
    })
    .unwrap();
    servers.set_draining(2, false);
    state(&sluice, 2, "up").unwrap();
    let before = taken(2);
    load.wait_flowing(1_000, LIMIT).unwrap();
    assert!(taken(2) > before);
    let tally = load.end().unwrap();
    tally.check().unwrap();
    assert_eq!(tally.retransmissions, 0, "nothing had to be repeated");
}

#[test]
fn f21_x09_servers_policy_and_settings_change_under_load_and_nothing_is_lost() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let Rig {
        sluice,
        mut servers,
    } = start(&bed, &json!({}));
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
    assert_eq!(lost_in(&sluice, "clone"), 0);
}

#[test]
fn x08_killed_and_started_again_under_load_it_drops_nothing_wrongly() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let Rig {
        mut sluice,
        servers: _servers,
    } = start(&bed, &json!({}));
    let load = Load::start(&bed, Plan::default()).unwrap();
    for _ in 0..3 {
        load.wait_flowing(500, LIMIT).unwrap();
        let epoch = show(&sluice)["epoch"].clone();
        bed.restart(&mut sluice).unwrap();
        assert_ne!(show(&sluice)["epoch"], epoch);
        load.wait_flowing(500, LIMIT).unwrap();
    }
    self_test(&sluice).unwrap();
    let before = count(&sluice, "req_total");
    let repeated = count(&sluice, "resp_stale_epoch");
    load.wait_flowing(2_000, LIMIT).unwrap();
    assert!(count(&sluice, "req_total") > before);
    assert_eq!(
        count(&sluice, "resp_stale_epoch"),
        repeated,
        "the old epoch's answers have all come"
    );
    let tally = load.end().unwrap();
    tally.check().unwrap();
    assert!(tally.retransmissions > 0, "{tally:?}");
}

#[test]
fn f18_a_tcp_connection_keeps_its_server() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let Rig {
        sluice,
        servers: _servers,
    } = start(&bed, &json!({}));
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
    let Rig {
        sluice,
        servers: _servers,
    } = start(&bed, &json!({}));
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
    assert_eq!(lost_in(&sluice, "clone"), 0);
}

#[test]
fn x11_servers_change_their_mac_address_and_nothing_is_lost() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let Rig {
        sluice,
        servers: _servers,
    } = start(&bed, &json!({}));
    let load = Load::start(&bed, Plan::default()).unwrap();
    load.wait_flowing(300, LIMIT).unwrap();
    bed.move_servers("02:00:00:86:07:07").unwrap();
    load.wait_flowing(1_000, LIMIT).unwrap();
    let tally = load.end().unwrap();
    tally.check().unwrap();
    assert_eq!(lost_in(&sluice, "clone"), 0);
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
    let Rig {
        sluice,
        servers: _servers,
    } = start(&bed, &json!({}));
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

#[test]
fn x05_a_link_that_goes_down_takes_its_servers_with_it_and_brings_them_back() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let Rig {
        sluice,
        servers: _servers,
    } = start(&bed, &json!({}));
    let level = sluice.packets_in_use();
    let load = Load::start(&bed, Plan::default()).unwrap();
    load.wait_flowing(300, LIMIT).unwrap();
    bed.hosts.ip(&["link", "set", "dev", "servers", "down"]);
    for sid in 0..3 {
        state(&sluice, sid, "down").unwrap();
    }
    wait_for("a refusal", LIMIT, || {
        (count(&sluice, "no_server") > 0).then_some(())
    })
    .unwrap();
    bed.hosts.ip(&["link", "set", "dev", "servers", "up"]);
    bed.hosts
        .ip(&["route", "replace", "default", "via", "10.86.2.254"]);
    for sid in 0..3 {
        state(&sluice, sid, "up").unwrap();
    }
    load.wait_flowing(500, LIMIT).unwrap();
    load.end().unwrap().check().unwrap();
    sluice.assert_conserved(level + 64);
}

/// Control and data path are one process; what can die alone is who asks it for something.
#[test]
fn x10_whoever_controls_it_may_die_in_the_middle_of_a_command() {
    require!(Need::Root, Need::Tun);
    let bed = gateway(3);
    let Rig {
        sluice,
        servers: _servers,
    } = start(&bed, &json!({}));
    let Endpoint::Unix(socket) = sluice.control() else {
        panic!("no socket")
    };
    let load = Load::start(&bed, Plan::default()).unwrap();
    let head = "POST /api/v1/stages/clone/drain HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\n";
    let whole = format!("{head}{{\"sid\":1}}");
    for length in (0..whole.len()).step_by(3) {
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        stream.write_all(&whole.as_bytes()[..length]).unwrap();
        // Gone without a word.
        drop(stream);
        assert_eq!(server(&sluice, 1)["state"], "up", "after {length} bytes");
    }
    load.wait_flowing(500, LIMIT).unwrap();
    command(&sluice, "drain", &json!({ "sid": 1 })).unwrap();
    state(&sluice, 1, "drained").unwrap();
    load.end().unwrap().check().unwrap();
}
