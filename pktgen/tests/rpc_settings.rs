//! Schemes that are settings of the appliance or of the servers, through a real appliance: each core with
//! its own idea of the servers (M9), and servers that take every clone (M8).

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Need, Netns, Process, Sluice};

const PKTGEN: &str = env!("CARGO_BIN_EXE_pktgen");

const LIMIT: Duration = Duration::from_secs(60);

/// Clients, an appliance of two cores with that scope of its state, and four servers.
struct Rack {
    clients: Netns,
    servers: Netns,
    sluice: Sluice<'static>,
}

impl Rack {
    fn new(state_scope: &str) -> Rack {
        let (clients, servers) = (Netns::quiet("set-c"), Netns::quiet("set-s"));
        let (one, two) = (testkit::interface_name("c"), testkit::interface_name("s"));
        let tap = |name: &str, side: &str, interface: &str| {
            json!({
                "name": name, "side": side, "queues": 2, "rx_descriptors": 256,
                "device": { "type": "tap", "interface": interface },
            })
        };
        let list: Vec<Value> = (0..4)
            .map(|sid| json!({ "sid": sid, "ip": format!("10.2.0.{}", 100 + sid) }))
            .collect();
        let sluice = Sluice::start(json!({
            "cores": { "packet": [0, 1] },
            "ports": [tap("clients", "client", &one), tap("servers", "server", &two)],
            "chain": [
                { "stage": "clone", "config": {
                    "vip": ["10.1.9.1"], "servers": list, "state_scope": state_scope,
                } },
                { "stage": "route", "config": { "addresses": {
                    "clients": ["10.1.0.1/24", "10.1.9.1/32"], "servers": ["10.2.0.1/24"],
                } } },
            ],
        }));
        clients.adopt(&one, &["10.1.0.2/24"]);
        clients.ip(&["route", "add", "default", "via", "10.1.0.1"]);
        let addresses: Vec<String> = (100..104).map(|last| format!("10.2.0.{last}/24")).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        servers.adopt(&two, &addresses);
        servers.ip(&["route", "add", "default", "via", "10.2.0.1"]);
        Rack {
            clients,
            servers,
            sluice,
        }
    }

    /// Runs one scheme against servers with these flags; gives its load point, what the servers counted,
    /// and what the appliance shows of servers meanwhile.
    fn run(&self, scheme: &str, flags: &str) -> (Value, Value, Value) {
        let mut command = self.servers.command(PKTGEN);
        let serve = format!(
            "serve --servers 10.2.0.100+4 --workers 1 --service-time exp(2ms) --jitter none --json {flags}"
        );
        command.args(serve.split_whitespace());
        let mut emulator = Process::spawn("serve", &mut command).expect("pktgen starts");
        emulator.wait_for_log("capacity", LIMIT).expect("it serves");
        let mut command = self.clients.command(PKTGEN);
        let rpc = format!(
            "rpc --servers 10.2.0.100+4 --vip 10.1.9.1 --scheme {scheme} --rate 500 -d 2s --warm-up 300ms \
             --timeout 2s --settle 10s --clients 2 --source-ports 16 --seed 5 --json --quiet"
        );
        command.args(rpc.split_whitespace());
        let output = command.output().expect("pktgen starts");
        let result: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let shown = self
            .sluice
            .post("/api/v1/stages/clone/servers", &json!(null))
            .json();
        emulator.terminate(LIMIT).expect("it ends");
        let log = emulator.log();
        let line = log.lines().rfind(|line| line.starts_with('{'));
        let served: Value = serde_json::from_str(line.unwrap_or_default())
            .unwrap_or_else(|error| panic!("{error}: {log}"));
        let point = result["curves"][0]["points"][0].clone();
        assert_eq!(point["lost"], 0.0, "{point}");
        let counts = &point["runs"][0]["counts"];
        assert_eq!(counts["completed"], counts["offered"], "{point}");
        assert!(
            point["cloned"].as_f64().is_some_and(|cloned| cloned > 0.1),
            "{point}"
        );
        (point, served, shown["servers"].clone())
    }
}

/// How many servers the appliance as a whole has heard.
fn heard(servers: &Value) -> usize {
    let list = servers.as_array().expect("a list");
    assert_eq!(list.len(), 4);
    list.iter()
        .filter(|server| !server["last_seen_us"].is_null())
        .count()
}

#[test]
fn f25_m8_servers_take_every_clone_and_m9_each_core_knows_what_came_to_itself() {
    testkit::require!(Need::Root, Need::Tun, Need::Cpus(2));
    let rack = Rack::new("shared");
    let (_, served, shown) = rack.run("netclone", "");
    let total = &served["total"];
    assert!(total["clones_dropped"].as_u64().unwrap() > 0, "{served}");
    assert_eq!(heard(&shown), 4, "{shown}");
    let (_, served, _) = rack.run("netclone-nodrop", "--no-drop");
    let total = &served["total"];
    assert!(total["clones"].as_u64().unwrap() > 100, "{served}");
    assert_eq!(total["clones_dropped"], 0, "{served}");
    drop(rack);
    // What a core hears stays with it: there is nothing that the appliance as a whole has heard.
    let rack = Rack::new("per-core");
    let (_, _, shown) = rack.run("netclone-percore", "");
    assert_eq!(heard(&shown), 0, "{shown}");
}
