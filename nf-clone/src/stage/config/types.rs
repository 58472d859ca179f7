//! The words of the settings of the `clone` stage, its servers and groups.

use std::net::IpAddr;

use nf_core::wire::MacAddr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When requests are cloned, and where they go if not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum PolicyName {
    /// To both candidates when both are idle, else to the first.
    #[default]
    #[serde(rename = "netclone")]
    NetClone,
    /// To both candidates when both are idle, else to the one with the shorter queue.
    #[serde(rename = "netclone+jsq")]
    NetCloneJsq,
    /// Never cloned: to the candidate with the shorter queue (RackSched).
    #[serde(rename = "jsq")]
    Jsq,
    /// Never cloned: to the first candidate.
    #[serde(rename = "random")]
    Random,
    /// Always cloned, whatever the servers' state: for comparison.
    #[serde(rename = "always")]
    Always,
}

/// How the second answer is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilterMode {
    /// Answers of one packet; longer ones pass unfiltered.
    #[default]
    Single,
    /// Each packet of an answer in a table of its own, by its IDX. Only answers that are the same on every
    /// server (flag DET): the client may get packets of both.
    Ordered,
    /// The first server to answer wins, and all packets of the other end.
    Winner,
}

/// Where an id goes in its filter table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SlotIndex {
    /// The ids of all cores beside each other: no two collide until one is as many ids late as
    /// there are slots.
    #[default]
    Dense,
    /// By a hash, as in the paper: for comparison.
    Hash,
}

/// Who shares what is known of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum StateScope {
    /// All cores.
    #[default]
    #[serde(rename = "shared")]
    Shared,
    /// Each core knows only what came to itself: for comparison.
    #[serde(rename = "per-core")]
    PerCore,
}

/// What messages look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WireFormat {
    /// Format v1: 40 bytes (docs/netclone-wire.md).
    #[default]
    V1,
    /// The header of the paper's public prototype: 28 bytes.
    Compat28,
    /// None: clients and servers know nothing of cloning, and `services` says what they speak.
    None,
}

/// How the appliance stands between clients and servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// As a router of two networks: a `route` stage behind this one does MAC addresses, TTL, ARP and
    /// neighbor discovery, and has the VIPs among its own addresses.
    #[default]
    Gateway,
    /// As a wire between two ports on one network: this stage sets the server's MAC address itself,
    /// and answers for the VIPs.
    Inline,
}

/// What becomes of groups that name a dead server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnServerFail {
    /// There are as many groups as before; a live server takes its place, group by group. Clients
    /// notice nothing.
    #[default]
    Remap,
    /// There are fewer groups, and clients are told (message CFG).
    Shrink,
}

/// How the clone is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloneCopy {
    /// By copy up to `clone_copy_max` bytes of frame, above by `split`.
    #[default]
    Auto,
    /// The whole packet is copied.
    Full,
    /// Headers are copied, the payload is shared.
    Split,
}

/// Who computes the UDP checksum of a packet that was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UdpChecksum {
    /// This stage, from the old checksum and what was changed (RFC 1624): damage that was done before stays
    /// visible.
    #[default]
    Incremental,
    /// The port that sends it, anew. Every port has to offer that, and have `offloads.checksum` on. Checksums
    /// are looked at before, by the receiving port or here, whatever `verify_checksums` says.
    Offload,
}

/// What becomes of packets that are not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PassOrDrop {
    /// They go on as they are.
    Pass,
    /// They end here.
    Drop,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Its number, which it puts into its answers.
    pub sid: u8,
    /// Its address.
    pub ip: IpAddr,
    /// Its MAC address, for mode `inline`; found by ARP or neighbor discovery if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// The appliance's port that it is behind, for mode `inline` with several; by default the first
    /// on the servers' side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The VLAN that it is in, for mode `inline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4094))]
    pub vlan: Option<u16>,
    /// How much it can take relative to the others, when queues are compared.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u16,
}

fn one() -> u16 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_one(weight: &u16) -> bool {
    *weight == 1
}

/// The candidates of each group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Groups {
    /// Every ordered pair of servers.
    #[default]
    #[serde(with = "auto")]
    #[schemars(with = "auto::Auto")]
    Auto,
    /// These pairs of SIDs, from group 0.
    List(Vec<[u8; 2]>),
}

mod auto {
    //! The word `auto`.

    use schemars::JsonSchema;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Auto {
        /// Every ordered pair of servers.
        Auto,
    }

    pub fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        Auto::Auto.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        Auto::deserialize(deserializer).map(|_| ())
    }
}
