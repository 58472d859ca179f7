//! The settings of the `clone` stage.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;

use nf_core::check::{CheckContext, JsonPath, Problems, Side};
use nf_core::wire::MacAddr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::services::{self, ServiceConfig};
use crate::filter::WINNER_SLOTS_LOG2;
use crate::groups::{self, MAX_SERVERS};
use crate::wire::DEFAULT_PORT;

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

    /// Whether answers come from the VIP.
    pub fn rewrites_source(&self) -> bool {
        // Clients that know nothing of us take answers only from where they asked.
        self.wire == WireFormat::None
            || self
                .rewrite_resp_src
                .unwrap_or(self.mode == Mode::Gateway && !self.vip.is_empty())
    }

    /// Adds every mistake beyond the shape to `problems`.
    pub fn check(&self, path: &JsonPath, context: Option<&CheckContext>, problems: &mut Problems) {
        self.check_servers(path, context, problems);
        self.check_groups(path, problems);
        self.check_addresses(path, problems);
        services::check(self, path, problems);
        for (n, port) in self.l4_ports.iter().enumerate() {
            let path = path.key("l4_ports").index(n);
            if self.l4_ports.iter().take(n).any(|other| other == port) {
                problems
                    .error(&path, "the port stands here twice")
                    .found(port);
            }
            if (32768..=60999).contains(port) {
                problems
                    .warning(
                        &path,
                        "clients may use this port as their own, and their requests would be taken for \
                         responses",
                    )
                    .found(port)
                    .allowed("best below 32768");
            }
        }
        if self.filter_mode == FilterMode::Winner && self.slots_log2 < WINNER_SLOTS_LOG2 {
            problems
                .error(
                    &path.key("slots_log2"),
                    "too few slots for filter_mode \"winner\", which tells requests apart by what \
                     the number of the slot leaves over",
                )
                .found(self.slots_log2)
                .allowed(format_args!("{WINNER_SLOTS_LOG2} to 24"));
        }
        if self.filter_mode == FilterMode::Ordered && self.tables < 2 {
            problems
                .warning(
                    &path.key("tables"),
                    "with one table, only the first packet of an answer is filtered",
                )
                .found(self.tables);
        }
        if !self.filter && self.clones() {
            problems.warning(
                &path.key("filter"),
                "clients will get both answers to every cloned request",
            );
        }
    }

    fn check_servers(
        &self,
        path: &JsonPath,
        context: Option<&CheckContext>,
        problems: &mut Problems,
    ) {
        let servers = path.key("servers");
        if self.servers.len() < 2 && self.clones() {
            problems
                .error(&servers, "cloning needs two servers")
                .found(self.servers.len())
                .allowed("2 to 256 servers")
                .help("add a server, or set policy to \"random\"");
        }
        let (mut sids, mut ips) = (HashSet::new(), HashSet::new());
        for (n, server) in self.servers.iter().enumerate() {
            let path = servers.index(n);
            if !sids.insert(server.sid) {
                problems
                    .error(&path.key("sid"), "another server has this number")
                    .found(server.sid)
                    .allowed(format_args!(
                        "a number of its own, 0 to {}",
                        MAX_SERVERS - 1
                    ));
            }
            if !ips.insert(server.ip) {
                problems
                    .error(&path.key("ip"), "another server has this address")
                    .found(server.ip);
            }
            if server.ip.is_unspecified() || server.ip.is_multicast() || server.ip.is_loopback() {
                problems
                    .error(&path.key("ip"), "not the address of a server")
                    .found(server.ip);
            }
            if self.vip.contains(&server.ip) {
                problems
                    .error(&path.key("ip"), "a VIP, which is the appliance's")
                    .found(server.ip);
            }
            if let (Some(name), Some(context)) = (&server.port, context) {
                match context.port(name) {
                    Some(_) => {}
                    None => {
                        problems
                            .error(&path.key("port"), "there is no such port")
                            .found(format_args!("{name:?}"));
                    }
                }
            }
            if self.mode == Mode::Gateway {
                for (key, given) in [
                    ("mac", server.mac.is_some()),
                    ("port", server.port.is_some()),
                    ("vlan", server.vlan.is_some()),
                ] {
                    if given {
                        problems
                            .error(
                                &path.key(key),
                                "in mode \"gateway\" the route stage knows this",
                            )
                            .help("take it out, or set mode to \"inline\"");
                    }
                }
            }
        }
        if self.mode == Mode::Gateway
            && let Some(context) = context
            && !context
                .chain
                .iter()
                .skip(context.position + 1)
                .any(|kind| kind == "route")
        {
            problems
                .error(
                    &path.key("mode"),
                    "mode \"gateway\" needs a route stage behind this one",
                )
                .help("add { \"stage\": \"route\" } to the chain, or set mode to \"inline\"");
        }
        if self.mode == Mode::Inline
            && let Some(context) = context
            && !context.ports.iter().any(|port| port.side != Side::Client)
        {
            problems.error(&path.key("mode"), "no port leads to the servers");
        }
    }

    fn check_groups(&self, path: &JsonPath, problems: &mut Problems) {
        let Groups::List(list) = &self.groups else {
            return;
        };
        let path = path.key("groups");
        if list.is_empty() || list.len() > groups::count(MAX_SERVERS) {
            problems
                .error(&path, "not a usable number of groups")
                .found(list.len())
                .allowed(format_args!("1 to {} groups", groups::count(MAX_SERVERS)));
        }
        for (n, [first, second]) in list.iter().enumerate() {
            if first == second && self.servers.len() > 1 {
                problems
                    .error(&path.index(n), "both servers of the group are the same")
                    .found(format_args!("[{first}, {second}]"));
            }
            for (at, sid) in [first, second].into_iter().enumerate() {
                if !self.servers.iter().any(|server| server.sid == *sid) {
                    problems
                        .error(&path.index(n).index(at), "there is no such server")
                        .found(sid);
                }
            }
        }
    }

    fn check_addresses(&self, path: &JsonPath, problems: &mut Problems) {
        for (n, vip) in self.vip.iter().enumerate() {
            let path = path.key("vip").index(n);
            let same = |other: &&IpAddr| other.is_ipv4() == vip.is_ipv4();
            if self.vip.iter().take(n).any(|other| same(&other)) {
                problems
                    .error(&path, "there is a VIP of this IP version already")
                    .found(vip)
                    .help("an answer does not say which address its request went to");
            }
            if vip.is_unspecified() || vip.is_multicast() || vip.is_loopback() {
                problems
                    .error(&path, "not the address of a service")
                    .found(vip);
            }
        }
        if self.vip.is_empty() {
            if self.rewrite_resp_src == Some(true) {
                problems
                    .error(
                        &path.key("rewrite_resp_src"),
                        "there is no VIP to come from",
                    )
                    .help("name one in vip");
            }
            return;
        }
        for (n, server) in self.servers.iter().enumerate() {
            if !self
                .vip
                .iter()
                .any(|vip| vip.is_ipv4() == server.ip.is_ipv4())
            {
                problems
                    .error(
                        &path.key("servers").index(n).key("ip"),
                        "there is no VIP of this IP version",
                    )
                    .found(server.ip);
            }
        }
        let (four, six): (Vec<_>, Vec<_>) =
            self.servers.iter().partition(|server| server.ip.is_ipv4());
        if !four.is_empty() && !six.is_empty() {
            problems
                .error(
                    &path.key("servers"),
                    "servers of both IP versions in one service",
                )
                .help("a request can only go to servers of its own version: use two stages");
        }
    }
}

#[cfg(test)]
mod tests {
    use nf_core::check::check_settings;
    use serde_json::{Value, json};

    use super::*;

    fn two() -> Value {
        json!({
            "vip": ["10.0.0.100"],
            "servers": [{ "sid": 0, "ip": "10.0.1.101" }, { "sid": 1, "ip": "10.0.1.102" }],
        })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut config = two();
        config[key] = value;
        config
    }

    fn problems(config: &Value) -> String {
        let mut problems = Problems::new();
        let meaning = |config: &CloneConfig, path: &JsonPath, problems: &mut Problems| {
            config.check(path, None, problems);
        };
        check_settings(config, &JsonPath::root(), &mut problems, meaning);
        problems.to_string()
    }

    #[test]
    fn the_least_settings_are_enough() {
        assert_eq!(problems(&two()), "");
    }

    #[test]
    fn b15_every_mistake_is_told_where_it_is() {
        let server = |sid: u8, ip: &str| json!({ "sid": sid, "ip": ip });
        for (key, value, told) in [
            (
                "servers",
                json!([server(0, "10.0.1.1")]),
                "$.servers\n  cloning needs two servers",
            ),
            (
                "servers",
                json!([server(0, "10.0.1.1"), server(0, "10.0.1.2")]),
                "$.servers[1].sid\n  another server has this number",
            ),
            (
                "servers",
                json!([server(0, "10.0.1.1"), server(1, "10.0.1.1")]),
                "$.servers[1].ip\n  another server has this address",
            ),
            (
                "servers",
                json!([server(0, "10.0.1.1"), server(1, "10.0.0.100")]),
                "$.servers[1].ip\n  a VIP",
            ),
            (
                "servers",
                json!([server(0, "10.0.1.1"), server(1, "fd00::1")]),
                "there is no VIP of this IP version",
            ),
            (
                "groups",
                json!([[0, 0]]),
                "$.groups[0]\n  both servers of the group are the same",
            ),
            (
                "groups",
                json!([[0, 7]]),
                "$.groups[0][1]\n  there is no such server",
            ),
            ("slots_log2", json!(9), "$.slots_log2"),
            ("slots_log2", json!(25), "$.slots_log2"),
            ("tables", json!(17), "$.tables"),
            ("switch_id", json!(0), "$.switch_id"),
            (
                "l4_ports",
                json!([40000]),
                "$.l4_ports[0]\n  clients may use this port",
            ),
            (
                "l4_ports",
                json!([9043, 9043]),
                "$.l4_ports[1]\n  the port stands here twice",
            ),
            ("l4_ports", json!([]), "$.l4_ports"),
            (
                "vip",
                json!(["10.0.0.1", "10.0.0.2"]),
                "$.vip[1]\n  there is a VIP",
            ),
            ("policy", json!("netclon"), "$.policy"),
            ("mode", json!("one-arm"), "$.mode"),
            (
                "filter",
                json!(false),
                "$.filter\n  clients will get both answers",
            ),
            ("nonsense", json!(1), "nonsense"),
        ] {
            let told_all = problems(&with(key, value));
            assert!(
                told_all.contains(told),
                "{key}: {told_all:?} lacks {told:?}"
            );
        }
        let mut winner = with("filter_mode", json!("winner"));
        winner["slots_log2"] = json!(12);
        assert!(problems(&winner).contains("$.slots_log2\n  too few slots"));
    }

    #[test]
    fn groups_are_auto_or_a_list() {
        let read = |value: Value| serde_json::from_value::<Groups>(value);
        assert_eq!(read(json!("auto")).ok(), Some(Groups::Auto));
        assert_eq!(read(json!([[0, 1]])).ok(), Some(Groups::List(vec![[0, 1]])));
        assert!(read(json!("none")).is_err());
        assert_eq!(serde_json::to_value(Groups::Auto).ok(), Some(json!("auto")));
    }
}
