//! The settings of `wire: none`: which services the appliance stands in front of.

use nf_core::check::{JsonPath, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::{CloneConfig, PolicyName, WireFormat};
use crate::groups::ServerSet;
use crate::plain::{self, Limits, Rules, Service};

/// How a service's messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolName {
    /// memcached over UDP: what `get`, `gets`, `mg` and their binary relatives only read is cloned.
    Memcached,
    /// DNS over UDP: queries are cloned; zone transfers, updates and notifications are not.
    Dns,
    /// Any service whose every request may run twice and is one datagram, one at a time for each client
    /// port.
    Flow,
}

/// Where requests go that change something, or that are not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Writes {
    /// Nowhere: they are dropped and counted. For servers that are filled another way.
    #[default]
    Drop,
    /// On, with the address they came with.
    Pass,
    /// To this server (its SID), always.
    Server(u8),
}

/// A service whose clients and servers know nothing of cloning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// The UDP port of the VIP that clients send to.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// How its messages are read.
    pub protocol: ProtocolName,
    /// The servers that have it, by SID; by default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub servers: Option<Vec<u8>>,
    /// The servers' port; by default that of the VIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub server_port: Option<u16>,
    /// Where requests go that change something, or that are not understood.
    #[serde(default)]
    pub writes: Writes,
    /// Whether an answer may be several datagrams; for protocol `flow`, which cannot see it.
    #[serde(default)]
    pub many_datagrams: bool,
}

/// Most services.
pub(super) const MAX_SERVICES: usize = 16;

impl ServiceConfig {
    /// The servers' port.
    pub fn server_port(&self) -> u16 {
        self.server_port.unwrap_or(self.port)
    }

    /// The SIDs of its servers.
    pub fn members(&self, config: &CloneConfig) -> ServerSet {
        match &self.servers {
            Some(sids) => sids.iter().copied().collect(),
            None => config.servers.iter().map(|server| server.sid).collect(),
        }
    }

    /// What the decisions need to know of it.
    pub fn service(&self, config: &CloneConfig) -> Service {
        let protocol = match self.protocol {
            ProtocolName::Memcached => plain::Protocol::Memcached,
            ProtocolName::Dns => plain::Protocol::Dns,
            ProtocolName::Flow => plain::Protocol::Flow {
                many: self.many_datagrams,
            },
        };
        let writes = match self.writes {
            Writes::Drop => plain::Writes::Drop,
            Writes::Pass => plain::Writes::Pass,
            Writes::Server(sid) => plain::Writes::Server(sid),
        };
        let idle_threshold = match config.policy {
            PolicyName::Always => u64::MAX,
            _ => config.idle_threshold.into(),
        };
        Service {
            rules: Rules {
                writes,
                cloning: config.clones(),
                shorter: matches!(config.policy, PolicyName::Jsq | PolicyName::NetCloneJsq),
                idle_threshold,
                // Stays the same when services before it come or go.
                ..Rules::new(self.port, protocol)
            },
            members: self.members(config),
        }
    }
}

/// Sizes and times of the table of requests.
pub(super) fn limits(config: &CloneConfig) -> Limits {
    Limits {
        slots_log2: config.requests_log2.into(),
        answer_timeout: u64::from(config.answer_timeout_us) * 1000,
        forget: u64::from(config.forget_us) * 1000,
        ..Limits::default()
    }
}

/// Adds the mistakes of services, and of settings that mean nothing with this wire format.
pub(super) fn check(config: &CloneConfig, path: &JsonPath, problems: &mut Problems) {
    let default = CloneConfig::default();
    if config.wire != WireFormat::None {
        for (key, given) in [
            ("services", !config.services.is_empty()),
            (
                "requests_log2",
                config.requests_log2 != default.requests_log2,
            ),
            (
                "answer_timeout_us",
                config.answer_timeout_us != default.answer_timeout_us,
            ),
            ("forget_us", config.forget_us != default.forget_us),
        ] {
            if given {
                problems
                    .error(&path.key(key), "only for wire \"none\"")
                    .help("take it out, or set wire to \"none\"");
            }
        }
        return;
    }
    for (key, given) in [
        ("l4_ports", config.l4_ports != default.l4_ports),
        ("groups", config.groups != default.groups),
        ("filter_mode", config.filter_mode != default.filter_mode),
        ("tables", config.tables != default.tables),
        ("state_scope", config.state_scope != default.state_scope),
        (
            "state_max_age_us",
            config.state_max_age_us != default.state_max_age_us,
        ),
        (
            "on_server_fail",
            config.on_server_fail != default.on_server_fail,
        ),
        ("epoch_file", config.epoch_file != default.epoch_file),
        ("rewrite_resp_src", config.rewrite_resp_src == Some(false)),
    ] {
        if given {
            problems
                .error(&path.key(key), "means nothing with wire \"none\"")
                .help("take it out");
        }
    }
    if config.vip.is_empty() {
        problems
            .error(
                &path.key("vip"),
                "wire \"none\" needs the service's address",
            )
            .allowed("one address of each IP version");
    }
    if config.forget_us < config.answer_timeout_us {
        problems
            .error(
                &path.key("forget_us"),
                "shorter than answer_timeout_us: a request would be forgotten before it is given up",
            )
            .found(config.forget_us);
    }
    let services = path.key("services");
    if config.services.is_empty() {
        problems
            .error(&services, "wire \"none\" needs a service")
            .help("name one: { \"port\": 11211, \"protocol\": \"memcached\" }");
    }
    for (n, service) in config.services.iter().enumerate() {
        check_service(config, n, service, &services.index(n), problems);
    }
}

fn check_service(
    config: &CloneConfig,
    n: usize,
    service: &ServiceConfig,
    path: &JsonPath,
    problems: &mut Problems,
) {
    let before = config.services.get(..n).unwrap_or_default();
    if before.iter().any(|other| other.port == service.port) {
        problems
            .error(&path.key("port"), "another service has this port")
            .found(service.port);
    }
    let exists = |sid: u8| config.servers.iter().any(|server| server.sid == sid);
    let sids = service.servers.as_deref().unwrap_or_default();
    for (at, sid) in sids.iter().enumerate() {
        let path = path.key("servers").index(at);
        if !exists(*sid) {
            problems.error(&path, "there is no such server").found(sid);
        }
        if sids.iter().take(at).any(|other| other == sid) {
            problems
                .error(&path, "the server stands here twice")
                .found(sid);
        }
    }
    let members = service.members(config);
    if members.len() == 1 && config.clones() {
        problems.warning(&path.key("servers"), "with one server nothing is cloned");
    }
    let overlaps = |other: &&ServiceConfig| {
        other.server_port() == service.server_port()
            && !other.members(config).and(&members).is_empty()
    };
    if let Some(other) = before.iter().find(overlaps) {
        problems
            .error(
                &path.key("server_port"),
                "another service has the same port on the same server: an answer would not say whose \
                 it is",
            )
            .found(service.server_port())
            .help(format_args!("the other is the service of port {}", other.port));
    }
    if let Writes::Server(sid) = service.writes
        && !members.has(sid)
    {
        problems
            .error(&path.key("writes"), "not a server of this service")
            .found(sid);
    }
    if service.many_datagrams && service.protocol != ProtocolName::Flow {
        problems
            .error(
                &path.key("many_datagrams"),
                "only for protocol \"flow\": the others' messages say it themselves",
            )
            .help("take it out");
    }
}
