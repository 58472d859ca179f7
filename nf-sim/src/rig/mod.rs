//! The rack of the NetClone paper: clients, servers with many workers, and an appliance between them.
//!
//! Clients are in 10.0.0.0/24, servers in 10.0.1.0/24, each behind a segment; the appliance routes between
//! them. What the paper's figures vary is a field of [`Rig`].

use std::net::SocketAddr;

use serde_json::{Value, json};
use workload::scheme::Scheme;
use workload::service::DrawMode;

use crate::node::host_mac;
use crate::program::rpc::{CLONE_PORT, PLAIN_PORT};
use crate::scenario::{Fault, Scenario, Steering};

mod run;
#[cfg(test)]
mod tests;

pub use run::{Run, run};
pub(crate) use run::{clone_counters, measured, programs};

/// The service's address, which the appliance owns.
const SERVICE: &str = "10.0.0.1";

/// The name of the appliance.
pub const APPLIANCE: &str = "appliance";

/// A rack, and what it is to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Rig {
    /// The scheme.
    pub scheme: Scheme,
    /// Workers of each server.
    pub workers: Vec<u32>,
    /// Service times: the work itself, in words.
    pub service: String,
    /// Service times: everything else, in words.
    pub jitter: String,
    /// Who draws the times: whether a request's copies take equally long, jitter aside, or are of one kind.
    pub draw: DrawMode,
    /// Clients.
    pub clients: usize,
    /// Requests a second of all clients together.
    pub rate: f64,
    /// Microseconds that clients send before they measure.
    pub warm_up_us: u64,
    /// Microseconds for which they measure.
    pub measure_us: u64,
    /// Microseconds that they wait at the end for answers.
    pub settle_us: u64,
    /// Nanoseconds from host to appliance and back.
    pub hop_ns: u64,
    /// Nanoseconds that a server takes to receive a packet.
    pub server_receive_ns: u64,
    /// Nanoseconds that a client takes to receive a packet.
    pub client_receive_ns: u64,
    /// Nanoseconds that the coordinator takes for a packet received.
    pub coordinator_ns: u64,
    /// Requests that the coordinator gives a server at a time.
    pub slots_per_server: u32,
    /// When clients send again, microseconds; 0: never.
    pub timeout_us: u64,
    /// How often they do.
    pub retries: u32,
    /// Packet cores of the appliance.
    pub cores: u16,
    /// Which of them receives a packet.
    pub steering: Steering,
    /// Nanoseconds that a packet takes on such a core.
    pub packet_ns: u64,
    /// Further settings of the stage `clone`; they win over those of the scheme.
    pub clone: Value,
    /// Filter tables.
    pub tables: u8,
    /// Further settings of the links from the servers: what happens to answers on their first way.
    pub server_links: Value,
    /// Further settings of the links from the clients: what happens to requests on their first way.
    pub client_links: Value,
    /// What happens meanwhile.
    pub faults: Vec<Fault>,
    /// The seed.
    pub seed: u64,
}

impl Rig {
    /// The set-up behind the model of figure 7a: six servers of 15 workers, Exp(25 us) with one request in a
    /// hundred taking 15 times as long, 1 us a hop, 0.15 us a packet at a server, 0.25 us at a client.
    pub fn new(scheme: Scheme, rate: f64) -> Rig {
        Rig {
            scheme,
            workers: vec![15; 6],
            service: "exp(25us)".into(),
            jitter: "1%x15".into(),
            draw: DrawMode::Independent,
            clients: 2,
            rate,
            warm_up_us: 20_000,
            measure_us: 200_000,
            settle_us: 20_000,
            hop_ns: 1_000,
            server_receive_ns: 150,
            client_receive_ns: 250,
            coordinator_ns: 200,
            slots_per_server: 15,
            timeout_us: 0,
            retries: 0,
            cores: 1,
            steering: Steering::FiveTuple,
            packet_ns: 0,
            clone: json!({}),
            tables: 2,
            server_links: json!({}),
            client_links: json!({}),
            faults: Vec::new(),
            seed: 1,
        }
    }

    /// Requests a second that the servers can serve.
    pub fn capacity(&self) -> Result<f64, String> {
        let service = crate::program::rpc::ServiceSettings {
            time: self.service.clone(),
            jitter: self.jitter.clone(),
        };
        let workers: u32 = self.workers.iter().sum();
        Ok(service.read()?.capacity(workers.into()))
    }

    /// Measures so many requests instead of so long, after a tenth of that as warm-up.
    #[must_use]
    pub fn requests(mut self, requests: u64) -> Rig {
        self.measure_us = (requests as f64 / self.rate * 1e6).ceil() as u64;
        // The rack itself needs a while: neighbours are found, every worker gets its first request.
        self.warm_up_us = (self.measure_us / 10).max(5_000);
        self
    }

    /// The name of a client, from 0.
    pub fn client(index: usize) -> String {
        format!("client{index}")
    }

    /// The name of a server, from 0.
    pub fn server(index: usize) -> String {
        format!("server{index}")
    }

    fn server_address(index: usize) -> String {
        format!("10.0.1.{}", 101 + index)
    }

    /// The settings of the stage `clone` under this scheme.
    fn clone_settings(&self) -> Value {
        let servers: Vec<Value> = (0..self.workers.len())
            .map(|sid| json!({ "sid": sid, "ip": Rig::server_address(sid) }))
            .collect();
        let policy = match self.scheme {
            Scheme::RackSched => "jsq",
            Scheme::NetCloneRackSched => "netclone+jsq",
            Scheme::AlwaysClone => "always",
            _ if self.workers.len() < 2 => "random",
            _ => "netclone",
        };
        let mut settings = json!({
            "vip": [SERVICE],
            "servers": servers,
            "policy": policy,
            "filter": self.scheme != Scheme::NetCloneNoFilter,
            "state_scope": match self.scheme {
                Scheme::NetClonePerCore => "per-core",
                _ => "shared",
            },
            "tables": self.tables,
            // The model's: there is no chance in it where a scheme has none.
            "jsq_probe": 0.0,
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut settings, &self.clone) {
            all.extend(more.clone());
        }
        settings
    }

    fn link(&self, more: &Value) -> Value {
        let mut link = json!({ "delay_ns": self.hop_ns });
        if let (Value::Object(all), Value::Object(more)) = (&mut link, more) {
            all.extend(more.clone());
        }
        link
    }

    /// Microseconds that the whole takes.
    pub fn duration_us(&self) -> u64 {
        self.warm_up_us + self.measure_us + self.settle_us
    }

    /// The world.
    pub fn scenario(&self) -> Result<Scenario, String> {
        let port = match self.scheme.route() {
            workload::scheme::Route::Service => CLONE_PORT,
            _ => PLAIN_PORT,
        };
        let servers: Vec<SocketAddr> = (0..self.workers.len())
            .filter_map(|sid| format!("{}:{port}", Rig::server_address(sid)).parse().ok())
            .collect();
        let service = json!({ "time": self.service, "jitter": self.jitter });
        let mut hosts = Vec::new();
        let mut links = Vec::new();
        for index in 0..self.clients {
            let mut settings = json!({
                "scheme": self.scheme,
                "service_address": format!("{SERVICE}:{CLONE_PORT}"),
                "coordinator": format!("10.0.1.100:{PLAIN_PORT}"),
                "servers": servers,
                "rate": self.rate / self.clients as f64,
                "warm_up_us": self.warm_up_us,
                "measure_us": self.measure_us,
                "settle_us": self.settle_us,
                "timeout_us": self.timeout_us,
                "retries": self.retries,
                "tables": self.tables,
                "window_log2": 18,
            });
            match self.draw {
                DrawMode::Independent => {}
                DrawMode::RequestBound => settings["request_bound"] = service.clone(),
                DrawMode::KindBound => settings["kind_bound"] = service.clone(),
            }
            hosts.push(json!({
                "name": Rig::client(index),
                "addresses": [format!("10.0.0.{}/24", 11 + index)],
                "gateways": [SERVICE],
                "receive": { "cost_ns": self.client_receive_ns, "queue": 65_536 },
                "program": { "kind": "rpc_client", "settings": settings },
            }));
            links.push(json!({
                "between": [Rig::client(index), "clients"], "link": self.link(&self.client_links),
                "back": self.link(&json!({})) }));
        }
        for (sid, workers) in self.workers.iter().enumerate() {
            hosts.push(json!({
                "name": Rig::server(sid),
                "addresses": [format!("{}/24", Rig::server_address(sid))],
                "gateways": ["10.0.1.1"],
                "receive": { "cost_ns": self.server_receive_ns, "queue": 65_536 },
                "program": { "kind": "rpc_server", "settings": {
                    "sid": sid,
                    "workers": workers,
                    "service": service,
                    "drop_clones": self.scheme.servers_drop_clones(),
                } },
            }));
            links.push(json!({
                "between": [Rig::server(sid), "servers"], "link": self.link(&self.server_links),
                "back": self.link(&json!({})) }));
        }
        if self.scheme == Scheme::Laedge {
            hosts.push(json!({
                "name": "coordinator",
                "addresses": ["10.0.1.100/24"],
                "gateways": ["10.0.1.1"],
                "one_processor": true,
                "receive": { "cost_ns": self.coordinator_ns, "queue": 65_536 },
                "program": { "kind": "laedge", "settings": {
                    "servers": servers, "slots_per_server": self.slots_per_server } },
            }));
            links.push(
                json!({ "between": ["coordinator", "servers"], "link": self.link(&json!({})) }),
            );
        }
        let neighbours: Vec<Value> = hosts
            .iter()
            .enumerate()
            .filter_map(|(index, host)| {
                let address = host["addresses"][0].as_str()?.split('/').next()?;
                Some(json!({ "address": address, "mac": host_mac(index) }))
            })
            .collect();
        links.push(json!({ "between": ["clients", "appliance:clients"] }));
        links.push(json!({ "between": ["appliance:servers", "servers"] }));
        let scenario = json!({
            "name": format!("{} at {:.0} requests a second", self.scheme, self.rate),
            "seed": self.seed,
            "duration_us": self.duration_us(),
            "hosts": hosts,
            "segments": [{ "name": "clients" }, { "name": "servers" }],
            "appliances": [{
                "name": APPLIANCE,
                "ports": [{ "name": "clients", "side": "client" }, { "name": "servers", "side": "server" }],
                "cores": self.cores,
                "steering": self.steering,
                "packet_cost_ns": self.packet_ns,
                "chain": [
                    { "stage": "clone", "config": self.clone_settings() },
                    { "stage": "route", "config": {
                        "addresses": { "clients": [format!("{SERVICE}/24")], "servers": ["10.0.1.1/24"] },
                        "neighbours": neighbours,
                    } },
                ],
            }],
            "links": links,
            "faults": self.faults,
        });
        serde_json::from_value(scenario).map_err(|error| error.to_string())
    }
}
