//! The settings of the `clone` stage.

mod check;
#[cfg(test)]
mod tests;
mod types;

use std::net::IpAddr;
use std::path::PathBuf;

use nf_core::chain::StagePort;
use nf_core::dpdk::TxChecksums;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use types::{
    CloneCopy, FilterMode, Groups, Mode, OnServerFail, PassOrDrop, PolicyName, ServerConfig,
    SlotIndex, StateScope, UdpChecksum, WireFormat,
};

use super::services::ServiceConfig;
use crate::wire::DEFAULT_PORT;

/// Clones requests to two idle servers and lets only the faster answer through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CloneConfig {
    /// When requests are cloned, and where they go if not.
    pub policy: PolicyName,
    /// Whether the second answer ends here.
    pub filter: bool,
    /// How the second answer is found.
    pub filter_mode: FilterMode,
    /// Filter tables. A change clears the filter and begins a new epoch.
    #[schemars(range(min = 1, max = 16))]
    pub tables: u8,
    /// Slots of a table, as a power of two; 8 bytes each. A change clears the filter and begins a new
    /// epoch.
    #[schemars(range(min = 10, max = 24))]
    pub slots_log2: u8,
    /// Where an id goes in its table.
    pub slot_index: SlotIndex,
    /// Who shares what is known of servers. Changes with a restart.
    pub state_scope: StateScope,
    /// A server last heard longer ago counts as idle, microseconds; 0 for no limit.
    #[schemars(range(max = 3_600_000_000_u64))]
    pub state_max_age_us: u64,
    /// A server with at most so many waiting requests is idle.
    #[schemars(range(max = 65533))]
    pub idle_threshold: u16,
    /// The probability to go to the first candidate although its queue seems longer, so that one
    /// believed busy is heard of again.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub jsq_probe: f64,
    /// UDP ports of the service; TCP to them goes through unread.
    #[schemars(length(min = 1, max = 8), inner(range(min = 1)))]
    pub l4_ports: Vec<u16>,
    /// What messages look like. Changes with a restart.
    pub wire: WireFormat,
    /// Addresses of the service, at most one of each IP version. Without any, requests to every address are
    /// taken.
    #[schemars(length(max = 2))]
    pub vip: Vec<IpAddr>,
    /// How the appliance stands between clients and servers. Changes with a restart.
    pub mode: Mode,
    /// Whether answers come from the VIP instead of the server's address; by default in mode `gateway`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite_resp_src: Option<bool>,
    /// This appliance's number among all that requests may pass.
    #[schemars(range(min = 1))]
    pub switch_id: u16,
    /// The servers.
    #[schemars(length(min = 1, max = 256))]
    pub servers: Vec<ServerConfig>,
    /// The candidates of each group.
    pub groups: Groups,
    /// What becomes of groups that name a dead server.
    pub on_server_fail: OnServerFail,
    /// Microseconds between pings of a server; 0 for no pings, so that only silence tells. Profile
    /// `compat28` has none.
    #[schemars(range(max = 60_000_000))]
    pub probe_interval_us: u32,
    /// Unanswered pings in a row after which a server is down.
    #[schemars(range(min = 1, max = 100))]
    pub probe_fail: u32,
    /// Answered pings in a row after which it is up again; with wire `none`, answered requests.
    #[schemars(range(min = 1, max = 100))]
    pub probe_restore: u32,
    /// A server that gets requests but answers none for so many microseconds is down, whatever its pings
    /// say, for a second at first; 0 for never. By default 1,000,000, or 50,000 without pings. It has to be
    /// longer than the longest request takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 3_600_000_000_u64))]
    pub silence_us: Option<u64>,
    /// How the clone is made.
    pub clone_copy: CloneCopy,
    /// The longest frame that `auto` copies whole, bytes.
    #[schemars(range(min = 64, max = 65535))]
    pub clone_copy_max: u32,
    /// Most clones a second, over all cores; 0 for no limit.
    pub clone_budget_pps: u32,
    /// Whether checksums of messages are looked at. They are mended in any case, so that a wrong one
    /// stays wrong; but what a damaged answer says of its server would be believed.
    pub verify_checksums: bool,
    /// Who computes the UDP checksum of a packet that was changed.
    pub udp_csum: UdpChecksum,
    /// Fragments to or from the service's ports.
    pub fragments: PassOrDrop,
    /// Messages that are not understood.
    pub bad_input: PassOrDrop,
    /// Room for messages of several packets on each core, as a power of two. Changes with a restart.
    #[schemars(range(min = 4, max = 20))]
    pub msg_table_log2: u8,
    /// How long such a message is remembered, microseconds.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub msg_ttl_us: u32,
    /// The services of wire `none`.
    #[schemars(length(max = 16))]
    pub services: Vec<ServiceConfig>,
    /// Room for the requests of wire `none` that are on their way, as a power of two; 32 bytes each.
    /// Changes with a restart.
    #[schemars(range(min = 6, max = 24))]
    pub requests_log2: u8,
    /// After so long without an answer a request no longer counts as its server's load, microseconds.
    /// Changes with a restart.
    #[schemars(range(min = 1000, max = 60_000_000))]
    pub answer_timeout_us: u32,
    /// So long is a request known: a slower answer that comes later passes. Microseconds. Changes
    /// with a restart.
    #[schemars(range(min = 1000, max = 600_000_000))]
    pub forget_us: u32,
    /// Where the epoch of request ids is kept from start to start; by default it comes from the time of day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch_file: Option<PathBuf>,
}

impl Default for CloneConfig {
    fn default() -> CloneConfig {
        CloneConfig {
            policy: PolicyName::default(),
            filter: true,
            filter_mode: FilterMode::default(),
            tables: 2,
            slots_log2: 17,
            slot_index: SlotIndex::default(),
            state_scope: StateScope::default(),
            state_max_age_us: 0,
            idle_threshold: 0,
            jsq_probe: 0.02,
            l4_ports: vec![DEFAULT_PORT],
            wire: WireFormat::default(),
            vip: Vec::new(),
            mode: Mode::default(),
            rewrite_resp_src: None,
            switch_id: 1,
            servers: Vec::new(),
            groups: Groups::default(),
            on_server_fail: OnServerFail::default(),
            probe_interval_us: 10_000,
            probe_fail: 3,
            probe_restore: 5,
            silence_us: None,
            clone_copy: CloneCopy::default(),
            clone_copy_max: 2048,
            clone_budget_pps: 0,
            verify_checksums: true,
            udp_csum: UdpChecksum::default(),
            fragments: PassOrDrop::Pass,
            bad_input: PassOrDrop::Drop,
            msg_table_log2: 16,
            msg_ttl_us: 10_000,
            services: Vec::new(),
            requests_log2: 16,
            answer_timeout_us: 100_000,
            forget_us: 2_000_000,
            epoch_file: None,
        }
    }
}

impl CloneConfig {
    /// Microseconds between pings, 0 for none.
    pub fn ping_interval_us(&self) -> u32 {
        match self.wire {
            WireFormat::V1 => self.probe_interval_us,
            WireFormat::Compat28 | WireFormat::None => 0,
        }
    }

    /// How long a silent server is believed in, microseconds; 0 for ever.
    pub fn silence_us(&self) -> u64 {
        let default = match self.ping_interval_us() {
            0 => 50_000,
            _ => 1_000_000,
        };
        self.silence_us.unwrap_or(default)
    }

    /// The UDP ports of the service, or of all services.
    pub fn ports(&self) -> Vec<u16> {
        match self.wire {
            WireFormat::None => self.services.iter().map(|service| service.port).collect(),
            WireFormat::V1 | WireFormat::Compat28 => self.l4_ports.clone(),
        }
    }

    /// Whether any request may be cloned.
    pub fn clones(&self) -> bool {
        !matches!(self.policy, PolicyName::Jsq | PolicyName::Random)
    }

    /// Whether checksums are looked at.
    pub fn verifies(&self) -> bool {
        self.verify_checksums || self.udp_csum == UdpChecksum::Offload
    }

    /// The first port, with what it offers, that could not do what `udp_csum` leaves to it. One without a
    /// device offers what it will.
    pub fn lacks_offload<'a>(
        &self,
        ports: &'a [StagePort],
    ) -> Option<(&'a StagePort, TxChecksums)> {
        if self.udp_csum == UdpChecksum::Incremental {
            return None;
        }
        ports.iter().find_map(|port| {
            let offered = port.tx_checksums?;
            (!offered.serve_udp()).then_some((port, offered))
        })
    }

    /// Whether answers come from the VIP.
    pub fn rewrites_source(&self) -> bool {
        // Clients that know nothing of us take answers only from where they asked.
        self.wire == WireFormat::None
            || self
                .rewrite_resp_src
                .unwrap_or(self.mode == Mode::Gateway && !self.vip.is_empty())
    }
}
