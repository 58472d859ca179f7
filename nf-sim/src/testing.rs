//! What the tests of this crate share: one environment a process, and a small rack.

use std::sync::Arc;
use std::sync::OnceLock;

use nf_core::dpdk::{Eal, HugepagePolicy};
use serde_json::{Value, json};

use crate::kinds::Kinds;
use crate::scenario::Scenario;
use crate::start_eal;
use crate::world::World;

/// The process's environment, on normal pages so that tests run anywhere.
pub fn eal() -> &'static Eal {
    static EAL: OnceLock<&'static Eal> = OnceLock::new();
    EAL.get_or_init(|| start_eal(1024, HugepagePolicy::Off).expect("EAL starts on normal pages"))
}

/// All kinds.
pub fn kinds() -> Arc<Kinds> {
    Arc::new(Kinds::all())
}

/// The scenario in this JSON text.
pub fn scenario(value: Value) -> Scenario {
    serde_json::from_value(value).expect("a scenario")
}

/// The world of a scenario.
pub fn world(scenario: Scenario) -> World {
    World::new(scenario, &kinds(), eal()).expect("a world")
}

/// A rack: hosts `client1`.. tick through the appliance `sw`, with `chain`, to an echo on `server`.
pub fn rack(clients: usize, chain: Value) -> Value {
    let client = |n: usize| {
        json!({
            "name": format!("client{n}"),
            "addresses": [format!("10.0.0.{}/24", 10 + n)],
            "gateways": ["10.0.0.1"],
            "program": { "kind": "ticker", "settings":
                { "to": "10.0.1.10:7", "every_ns": 1_000 + 7 * n, "ports": 16 } },
        })
    };
    let mut hosts: Vec<Value> = (1..=clients).map(client).collect();
    hosts.push(json!({
        "name": "server", "addresses": ["10.0.1.10/24"], "gateways": ["10.0.1.1"],
        "program": { "kind": "echo" },
    }));
    let slow = json!({ "delay_ns": 1_000 });
    let mut links: Vec<Value> = (1..=clients)
        .map(|n| json!({ "between": [format!("client{n}"), "near"], "link": slow }))
        .collect();
    links.push(json!({ "between": ["near", "sw:clients"] }));
    links.push(json!({ "between": ["sw:servers", "server"], "link": slow }));
    json!({
        "duration_us": 10_000,
        "hosts": hosts,
        "segments": [{ "name": "near" }],
        "appliances": [{
            "name": "sw",
            "ports": [{ "name": "clients", "side": "client" }, { "name": "servers", "side": "server" }],
            "chain": chain,
            "packet_cost_ns": 100,
        }],
        "links": links,
    })
}

/// The chain of a router between the two networks of [`rack`].
pub fn route() -> Value {
    json!([{ "stage": "route", "config": {
        "addresses": { "clients": ["10.0.0.1/24"], "servers": ["10.0.1.1/24"] } } }])
}
