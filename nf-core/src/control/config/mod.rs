//! The configuration: one JSON file that says the whole appliance.
//!
//! The types here are the truth: the JSON schema, the page `docs/config.md` and the checks of a
//! file's shape are all generated from them, so a doc comment on a field is what the user reads.

mod chain;
pub mod check;
mod control;
mod cores;
pub mod diff;
mod eal;
mod log;
mod mempool;
pub mod page;
mod ports;
mod scheduler;
pub mod schema;
mod spec;
mod telemetry;
mod values;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::check::Side;
pub use chain::ChainEntry;
pub use check::{Checked, Checker, MemoryNeed, Outcome};
pub use control::ControlConfig;
pub use cores::{CoresConfig, Idle};
pub use diff::{ReloadPlan, diff};
pub use eal::{DpdkLogLevel, EalConfig, Hugepages};
pub use log::{LogConfig, LogFormat, LogLevel};
pub use mempool::MempoolConfig;
pub use page::page;
pub use ports::{
    AfPacketDevice, AfXdpDevice, Device, MemifDevice, MemifRole, NullDevice, OffloadsConfig,
    PcapDevice, PciDevice, PortConfig, RingDevice, Rss, TapDevice,
};
pub use scheduler::{SchedulerConfig, StagePlacement};
pub use schema::schema;
pub(crate) use spec::own_pool_packets;
pub use telemetry::TelemetryConfig;
pub use values::{FileMode, Identifier, Interface, MacAddress, PciAddress, Secret};

/// The configuration of one Sluice appliance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The schema of this file, for editors: `"schema.json"`. Sluice does not read it.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The name of this appliance: part of its socket's path, its DPDK file prefix and its
    /// metrics. Appliances that run side by side need different names.
    #[serde(default = "default_name")]
    pub name: Identifier,
    /// What this appliance is for, in your own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// DPDK's environment: memory, huge pages, its logs.
    #[serde(default)]
    pub eal: EalConfig,
    /// Which processors do what.
    #[serde(default)]
    pub cores: CoresConfig,
    /// The pool of packet buffers.
    #[serde(default)]
    pub mempool: MempoolConfig,
    /// The ports, at least one.
    #[schemars(length(min = 1, max = 64))]
    pub ports: Vec<PortConfig>,
    /// The stages between clients and servers. Requests pass them in this order, responses in
    /// reverse. Without a stage, packets go straight from a port to its peer.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub chain: Vec<ChainEntry>,
    /// Who decides where stages run. Left out, they run where the packets come in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<SchedulerConfig>,
    /// Metrics and states for reading.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// The socket through which a running appliance is changed.
    #[serde(default)]
    pub control: ControlConfig,
    /// What Sluice writes to standard error.
    #[serde(default)]
    pub log: LogConfig,
}

fn default_name() -> Identifier {
    Identifier::from_static("sluice")
}
