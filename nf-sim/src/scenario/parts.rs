//! The parts of a world.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nf_core::check::Side;
use nf_core::control::config::ChainEntry;
use nf_core::wire::{InterfaceAddr, MacAddr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::engine::LinkSettings;

/// The program of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgramSpec {
    /// The kind of program.
    pub kind: String,
    /// The program's settings; those of its kind.
    #[serde(default = "empty_object")]
    pub settings: Value,
}

fn empty_object() -> Value {
    Value::Object(Map::new())
}

/// A machine that runs a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostSpec {
    /// Its name.
    pub name: String,
    /// Its addresses with the prefix length of their network, like `10.0.0.11/24`.
    pub addresses: Vec<InterfaceAddr>,
    /// Where packets go that leave its networks, for each version of IP.
    #[serde(default)]
    pub gateways: Vec<IpAddr>,
    /// Its MAC address; left out, one that follows from its place in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// MAC addresses it knows and does not ask for.
    #[serde(default)]
    pub neighbours: BTreeMap<IpAddr, MacAddr>,
    /// What receiving costs.
    #[serde(default)]
    pub receive: ReceiveSpec,
    /// What sending costs.
    #[serde(default)]
    pub send: SendSpec,
    /// One processor receives and sends; otherwise there is one for each.
    #[serde(default)]
    pub one_processor: bool,
    /// Nanoseconds that its monotonic clock shows when the world begins.
    #[serde(default)]
    pub clock_offset_ns: u64,
    /// What runs on it.
    pub program: ProgramSpec,
}

/// What it costs a host to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReceiveSpec {
    /// Nanoseconds a packet.
    pub cost_ns: u64,
    /// Packets that may wait; what comes beyond is dropped.
    #[schemars(range(min = 1))]
    pub queue: u32,
}

impl Default for ReceiveSpec {
    fn default() -> ReceiveSpec {
        ReceiveSpec {
            cost_ns: 0,
            queue: 4096,
        }
    }
}

/// What it costs a host to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SendSpec {
    /// Nanoseconds a packet.
    pub cost_ns: u64,
    /// Packets that may wait; sending fails beyond.
    #[schemars(range(min = 1))]
    pub queue: u32,
}

impl Default for SendSpec {
    fn default() -> SendSpec {
        SendSpec {
            cost_ns: 0,
            queue: 4096,
        }
    }
}

/// A learning switch: what one link brings goes where its destination was heard of, or everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SegmentSpec {
    /// Its name.
    pub name: String,
}

/// Which packet core receives a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Steering {
    /// By a hash of addresses, ports and protocol, as RSS does.
    #[default]
    FiveTuple,
    /// By a hash of the client's address and port alone, so that a request and all its answers meet on one
    /// core: the source of what comes from the clients' side, the destination of all else.
    Client,
}

/// A port of an appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortSpec {
    /// Its name.
    pub name: String,
    /// Who is behind it.
    pub side: Side,
    /// The port that packets leave by which came in here, where it is not the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Its MAC address; left out, one that follows from its place in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// Largest IP packet, bytes.
    #[serde(default = "default_mtu")]
    #[schemars(range(min = 68, max = 9600))]
    pub mtu: u16,
}

fn default_mtu() -> u16 {
    1500
}

/// An appliance: packet cores with a chain of stages each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplianceSpec {
    /// Its name.
    pub name: String,
    /// Its ports.
    pub ports: Vec<PortSpec>,
    /// The stages, client side first, with the settings that they have in an appliance's own
    /// configuration.
    #[serde(default)]
    pub chain: Vec<ChainEntry>,
    /// Packet cores.
    #[serde(default = "default_cores")]
    #[schemars(range(min = 1, max = 64))]
    pub cores: u16,
    /// Which of them receives a packet.
    #[serde(default)]
    pub steering: Steering,
    /// Nanoseconds that a packet takes on a core.
    #[serde(default)]
    pub packet_cost_ns: u64,
    /// Nanoseconds that a burst takes beside its packets.
    #[serde(default)]
    pub burst_cost_ns: u64,
    /// Most packets of a port that a core takes at once.
    #[serde(default = "default_burst")]
    #[schemars(range(min = 1, max = 64))]
    pub burst: u16,
    /// Packets that may wait at a port for a core; what comes beyond is dropped.
    #[serde(default = "default_queue")]
    #[schemars(range(min = 1))]
    pub queue: u32,
    /// Packets in its pool.
    #[serde(default = "default_pool")]
    #[schemars(range(min = 64, max = 1000000))]
    pub pool: u32,
    /// Timers that a shard of a stage may have set at a time.
    #[serde(default = "default_timers")]
    #[schemars(range(min = 1, max = 1000000))]
    pub timers: u32,
    /// Microseconds from one tick of the control side to the next.
    #[serde(default = "default_tick")]
    #[schemars(range(min = 1))]
    pub tick_us: u64,
    /// Nanoseconds that its monotonic clock shows when the world begins.
    #[serde(default)]
    pub clock_offset_ns: u64,
}

fn default_cores() -> u16 {
    1
}

fn default_burst() -> u16 {
    32
}

fn default_queue() -> u32 {
    1024
}

fn default_pool() -> u32 {
    4095
}

fn default_timers() -> u32 {
    4096
}

fn default_tick() -> u64 {
    100_000
}

/// A link between two nodes. Of an appliance, the port is named too: `APPLIANCE:PORT`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// Its name; left out, its ends with a dash between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The two ends.
    pub between: [String; 2],
    /// How it behaves.
    #[serde(default)]
    pub link: LinkSettings,
    /// How it behaves from the second end to the first, where that is not the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<LinkSettings>,
}

impl LinkSpec {
    /// Its name.
    pub fn name(&self) -> String {
        let [a, b] = &self.between;
        self.name.clone().unwrap_or_else(|| format!("{a}-{b}"))
    }
}
