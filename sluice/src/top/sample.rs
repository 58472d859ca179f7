//! One look at an appliance: what its API said at one moment.

use std::time::Instant;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::Endpoint;
use crate::failure::Failure;
use crate::sched::Sched;

/// A number for each direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pair<T> {
    /// From clients to servers.
    pub to_server: T,
    /// From servers to clients.
    pub to_client: T,
}

/// `/api/v1/version`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Version {
    /// The appliance's name.
    pub name: String,
    /// Of Sluice.
    pub version: String,
    /// Of DPDK.
    pub dpdk: String,
    /// Since the start.
    pub uptime_seconds: f64,
    /// A restart gives another one.
    pub pid: u64,
}

/// `/healthz`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Health {
    /// What is wrong.
    pub problems: Vec<String>,
}

/// One of `/api/v1/chain`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Packets given to it.
    pub input: Pair<u64>,
    /// Packets it turned around.
    pub back: Pair<u64>,
    /// Packets it made.
    pub originated: Pair<u64>,
    /// Packets it dropped, by reason.
    pub dropped: std::collections::BTreeMap<String, u64>,
    /// Packets it keeps.
    pub held: u64,
    /// Mean cost.
    pub cycles_per_packet: f64,
    /// Mean packets of a batch.
    pub mean_batch: f64,
}

/// Of a port.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Link {
    /// Carrier.
    pub up: bool,
    /// When known.
    pub speed_mbps: Option<u64>,
}

/// What the cores counted at a port.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PortCounters {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub tx_full: u64,
    pub port_down: u64,
}

/// What the device counted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DeviceStats {
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_missed: u64,
    pub rx_no_mbuf: u64,
}

/// One of `/api/v1/ports`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// `client`, `server` or `any`.
    pub side: String,
    /// Its device's type.
    pub device: String,
    /// `attached`, ...
    pub state: String,
    /// Its link.
    pub link: Link,
    /// What the cores counted.
    pub counters: PortCounters,
    /// What the device counted.
    pub device_stats: DeviceStats,
}

/// One of `/api/v1/drops`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Drop {
    /// A stage, `chain`, or `port NAME`.
    pub stage: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub packets: u64,
}

/// Transit times of the last second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Latency {
    pub packets: u64,
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub p999_ns: u64,
    pub max_ns: u64,
}

/// One of `/api/v1/cores`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Core {
    pub core: u64,
    pub cpu: u64,
    pub running: bool,
    pub busy_share: f64,
    pub polls: u64,
    pub polls_empty: u64,
    pub polls_full: u64,
    pub transit: Pair<Latency>,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When it was taken.
    pub at: Instant,
    pub version: Version,
    pub health: Health,
    pub chain: Vec<Stage>,
    pub ports: Vec<Port>,
    pub drops: Vec<Drop>,
    pub cores: Vec<Core>,
    /// `None` without a scheduler.
    pub sched: Option<Sched>,
}

impl Sample {
    /// Looks.
    pub fn take(endpoint: &Endpoint) -> Result<Sample, Failure> {
        fn get<T: DeserializeOwned>(endpoint: &Endpoint, path: &str) -> Result<T, Failure> {
            Ok(serde_json::from_value(endpoint.get(path)?)?)
        }
        Ok(Sample {
            version: get(endpoint, "/api/v1/version")?,
            health: get(endpoint, "/healthz")?,
            at: Instant::now(),
            chain: get(endpoint, "/api/v1/chain")?,
            ports: get(endpoint, "/api/v1/ports")?,
            drops: get(endpoint, "/api/v1/drops")?,
            cores: get(endpoint, "/api/v1/cores")?,
            sched: get(endpoint, "/api/v1/sched")?,
        })
    }
}
