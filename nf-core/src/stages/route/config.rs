//! Settings of the `route` stage.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{CheckContext, JsonPath, Problems};
use crate::wire::{InterfaceAddr, MacAddr, Prefix};

/// What the stage does with packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Forwards IP packets by longest prefix; answers for its own addresses.
    #[default]
    Router,
    /// A bump in the wire: every packet, of whatever kind, leaves untouched by the peer of its port.
    Wire,
}

/// What the `route` stage does: a router between the ports, or a bump in the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteConfig {
    /// Router or bump in the wire.
    pub mode: Mode,
    /// The router's own addresses, by port: `{ "clients": ["10.1.0.1/24", "fd00:1::1/64"] }`. Their
    /// networks are reached through that port.
    pub addresses: BTreeMap<String, Vec<InterfaceAddr>>,
    /// Where further networks are reached.
    pub routes: Vec<RouteConfigEntry>,
    /// Neighbours whose MAC address is not asked for.
    pub neighbours: Vec<NeighbourConfig>,
    /// Announce the own addresses (gratuitous ARP, unsolicited advertisements) after the start and
    /// when a port comes up or changes its MAC address.
    pub announce: bool,
    /// How neighbours are found and kept.
    pub timers: Timers,
    /// What the stage may use up.
    pub limits: Limits,
}

impl Default for RouteConfig {
    fn default() -> RouteConfig {
        RouteConfig {
            mode: Mode::Router,
            addresses: BTreeMap::new(),
            routes: Vec::new(),
            neighbours: Vec::new(),
            announce: true,
            timers: Timers::default(),
            limits: Limits::default(),
        }
    }
}

/// A route: a prefix, and a neighbouring router, a port, or nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfigEntry {
    /// The network, like 10.2.0.0/16; 0.0.0.0/0 and ::/0 are everything.
    pub prefix: Prefix,
    /// The router to send to. It must be in a network of one of the ports, or link-local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The port to send through. Without "via", every host of the prefix is asked for there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Drop what goes there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blackhole: bool,
}

/// A neighbour whose MAC address is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeighbourConfig {
    /// Its address, in a network of one of the ports.
    pub address: IpAddr,
    /// Its MAC address.
    pub mac: MacAddr,
    /// The port it is behind; needed for link-local addresses only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
}

/// How neighbours are found and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timers {
    /// Milliseconds between two requests for the same neighbour.
    #[schemars(range(min = 10, max = 60000))]
    pub retry_ms: u32,
    /// Requests without an answer before a neighbour counts as unreachable.
    #[schemars(range(min = 1, max = 100))]
    pub retries: u8,
    /// Seconds after which a neighbour in use is asked again whether it is there. It is used
    /// meanwhile.
    #[schemars(range(min = 1, max = 86400))]
    pub refresh_s: u32,
    /// Milliseconds for which packets to an unreachable neighbour are dropped before it is asked
    /// again.
    #[schemars(range(min = 10, max = 600000))]
    pub unreachable_ms: u32,
    /// Seconds after which a neighbour that has not been heard of is forgotten.
    #[schemars(range(min = 10, max = 864000))]
    pub forget_s: u32,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers {
            retry_ms: 1000,
            retries: 3,
            refresh_s: 30,
            unreachable_ms: 3000,
            forget_s: 600,
        }
    }
}

/// What the stage may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Neighbours to remember. Changes with a restart.
    #[schemars(range(min = 16, max = 262144))]
    pub neighbours: u32,
    /// Packets a core holds for one neighbour while it is asked for.
    #[schemars(range(min = 1, max = 1024))]
    pub held_per_neighbour: u32,
    /// Packets a core holds for all such neighbours. Changes with a restart.
    #[schemars(range(min = 1, max = 16384))]
    pub held_packets: u32,
    /// ARP requests and neighbor solicitations a core sends a second.
    #[schemars(range(min = 1, max = 1000000))]
    pub requests_per_second: u32,
    /// ICMP errors a core sends a second.
    #[schemars(range(min = 0, max = 1000000))]
    pub icmp_per_second: u32,
    /// IPv4 prefixes, own networks and addresses included. Changes with a restart.
    #[schemars(range(min = 16, max = 4000000))]
    pub routes_v4: u32,
    /// IPv6 prefixes. Changes with a restart.
    #[schemars(range(min = 16, max = 1000000))]
    pub routes_v6: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            neighbours: 1024,
            held_per_neighbour: 16,
            held_packets: 512,
            requests_per_second: 200,
            icmp_per_second: 1000,
            routes_v4: 8192,
            routes_v6: 2000,
        }
    }
}

/// What the rest of a check needs to know of the addresses.
struct Own<'a> {
    networks: Vec<(&'a str, InterfaceAddr)>,
}

impl Own<'_> {
    /// Ports whose networks hold the address.
    fn ports_of(&self, address: IpAddr) -> Vec<&str> {
        let of = self.networks.iter();
        of.filter(|(_, own)| own.network().contains(address))
            .map(|(port, _)| *port)
            .collect()
    }
}

pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

impl RouteConfig {
    /// Adds every mistake beyond the shape to `problems`.
    pub fn check(&self, path: &JsonPath, context: &CheckContext, problems: &mut Problems) {
        if self.mode == Mode::Wire {
            let used = [
                ("addresses", !self.addresses.is_empty()),
                ("routes", !self.routes.is_empty()),
                ("neighbours", !self.neighbours.is_empty()),
            ];
            for (key, _) in used.iter().filter(|(_, used)| *used) {
                problems
                    .error(&path.key(key), "a bump in the wire has no such thing")
                    .found("mode \"wire\"")
                    .help("leave it out, or set \"mode\" to \"router\"");
            }
            return;
        }
        let own = self.check_addresses(path, context, problems);
        self.check_routes(path, context, &own, problems);
        for (index, neighbour) in self.neighbours.iter().enumerate() {
            let path = path.key("neighbours").index(index);
            if !neighbour.mac.is_unicast() {
                problems
                    .error(&path.key("mac"), "not the address of one station")
                    .found(neighbour.mac);
            }
            check_port(&neighbour.port, &path, context, problems);
            self.check_on_link(
                neighbour.address,
                &neighbour.port,
                &path.key("address"),
                &own,
                problems,
            );
        }
    }

    fn check_addresses(
        &self,
        path: &JsonPath,
        context: &CheckContext,
        problems: &mut Problems,
    ) -> Own<'_> {
        let path = path.key("addresses");
        let mut own = Own {
            networks: Vec::new(),
        };
        let mut seen: HashMap<IpAddr, JsonPath> = HashMap::new();
        for (port, addresses) in &self.addresses {
            let path = path.key(port);
            check_port(&Some(port.clone()), &path, context, problems);
            for (index, interface) in addresses.iter().enumerate() {
                let path = path.index(index);
                let address = interface.address();
                if let Some(why) = unfit(interface) {
                    problems.error(&path, why).found(interface);
                } else if let Some(first) = seen.get(&address) {
                    problems
                        .error(&path, "the address is given twice")
                        .found(interface)
                        .help(format_args!("see {first}"));
                } else if let Some((other, network)) =
                    own.networks.iter().find(|(other, network)| {
                        other != port && overlap(network.network(), interface.network())
                    })
                {
                    problems
                        .error(&path, "the network overlaps with that of another port")
                        .found(interface)
                        .help(format_args!("port {other} has {network}"));
                }
                seen.entry(address).or_insert(path);
                own.networks.push((port, *interface));
            }
        }
        if self.addresses.values().all(Vec::is_empty) {
            problems
                .warning(&path, "a router without addresses forwards nothing")
                .help("give the ports addresses, or set \"mode\" to \"wire\"");
        }
        own
    }

    fn check_routes(
        &self,
        path: &JsonPath,
        context: &CheckContext,
        own: &Own<'_>,
        problems: &mut Problems,
    ) {
        let path = path.key("routes");
        let mut seen = HashMap::new();
        for (index, route) in self.routes.iter().enumerate() {
            let path = path.index(index);
            if let Some(first) = seen.insert(route.prefix, index) {
                problems
                    .error(
                        &path.key("prefix"),
                        "there is another route for this prefix",
                    )
                    .found(route.prefix)
                    .help(format_args!("see $.routes[{first}] of the stage"));
            }
            if own
                .networks
                .iter()
                .any(|(_, interface)| interface.network() == route.prefix)
            {
                problems
                    .error(&path.key("prefix"), "this is the own network of a port")
                    .found(route.prefix)
                    .help("networks of own addresses need no route");
            }
            check_port(&route.port, &path, context, problems);
            match (route.via, &route.port, route.blackhole) {
                (None, None, false) => {
                    problems
                        .error(&path, "the route leads nowhere")
                        .allowed("\"via\" a router, a \"port\", or \"blackhole\": true");
                }
                (via, port, true) if via.is_some() || port.is_some() => {
                    problems.error(&path, "a blackhole leads through no port and no router");
                }
                (Some(via), port, false) => {
                    if via.is_ipv4() != route.prefix.is_ipv4() {
                        problems
                            .error(&path.key("via"), "of another IP version than the prefix")
                            .found(via);
                    } else {
                        self.check_on_link(via, port, &path.key("via"), own, problems);
                    }
                }
                _ => {}
            }
        }
        let v4 = self.routes.iter().filter(|route| route.prefix.is_ipv4());
        let v4 = v4.count();
        for (count, limit, key) in [
            (v4, self.limits.routes_v4, "routes_v4"),
            (self.routes.len() - v4, self.limits.routes_v6, "routes_v6"),
        ] {
            if count > limit as usize {
                problems
                    .error(&path, "more routes than there is room for")
                    .found(format_args!("{count} routes"))
                    .allowed(format_args!("up to {limit} routes"))
                    .help(format_args!("raise limits.{key}"));
            }
        }
    }

    /// A next hop or neighbour has to be on the link of the port it is reached through.
    fn check_on_link(
        &self,
        address: IpAddr,
        port: &Option<String>,
        path: &JsonPath,
        own: &Own<'_>,
        problems: &mut Problems,
    ) {
        let ports = own.ports_of(address);
        if own
            .networks
            .iter()
            .any(|(_, interface)| interface.address() == address)
        {
            problems
                .error(path, "this is an own address")
                .found(address);
        } else if is_link_local(address) {
            if port.is_none() {
                problems
                    .error(path, "a link-local address needs a port beside it")
                    .found(address);
            }
        } else if let Some(port) = port {
            if !ports.contains(&port.as_str()) {
                problems
                    .error(path, "not in a network of that port")
                    .found(format_args!("{address} behind port {port}"));
            }
        } else if ports.is_empty() {
            problems
                .error(path, "in no network of the own addresses")
                .found(address)
                .help("give a port an address of that network");
        }
    }
}

fn overlap(one: Prefix, other: Prefix) -> bool {
    one.contains(other.address()) || other.contains(one.address())
}

/// Why an address cannot be a router's own.
fn unfit(interface: &InterfaceAddr) -> Option<&'static str> {
    let network = interface.network();
    match interface.address() {
        IpAddr::V4(address) => {
            let first = address.octets()[0];
            if first == 0 || first == 127 || first >= 224 {
                return Some("not the address of one host");
            }
            if network.length() < 31 && address == network_address(network) {
                return Some("the address of the network itself");
            }
            (network.ipv4_broadcast() == Some(address)).then_some("the broadcast address")
        }
        IpAddr::V6(address) => {
            if address.is_multicast() || address.is_unspecified() || address.is_loopback() {
                return Some("not the address of one host");
            }
            address
                .is_unicast_link_local()
                .then_some("every port with IPv6 has a link-local address of its own")
        }
    }
}

fn network_address(network: Prefix) -> std::net::Ipv4Addr {
    match network.address() {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => std::net::Ipv4Addr::UNSPECIFIED,
    }
}

fn check_port(
    port: &Option<String>,
    path: &JsonPath,
    context: &CheckContext,
    problems: &mut Problems,
) {
    let Some(port) = port else { return };
    if context.port(port).is_none() && !context.ports.is_empty() {
        let names: Vec<_> = context
            .ports
            .iter()
            .map(|port| port.name.as_str())
            .collect();
        problems
            .error(path, "there is no such port")
            .found(format_args!("{port:?}"))
            .allowed(names.join(", "));
    }
}
