//! What is wrong with settings beyond their shape.

use std::collections::HashSet;
use std::net::IpAddr;

use nf_core::check::{CheckContext, JsonPath, Problems, Side};

use super::super::services;
use super::{CloneConfig, FilterMode, Groups, Mode, UdpChecksum};
use crate::filter::WINNER_SLOTS_LOG2;
use crate::groups::{self, MAX_SERVERS};

impl CloneConfig {
    /// Adds every mistake beyond the shape to `problems`.
    pub fn check(&self, path: &JsonPath, context: Option<&CheckContext>, problems: &mut Problems) {
        self.check_servers(path, context, problems);
        self.check_groups(path, problems);
        self.check_addresses(path, problems);
        services::check(self, path, problems);
        self.check_offload(path, context, problems);
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

    /// What the ports' settings say; what their devices offer is known when they are open.
    fn check_offload(
        &self,
        path: &JsonPath,
        context: Option<&CheckContext>,
        problems: &mut Problems,
    ) {
        let ports = context.map_or(&[][..], |context| &context.ports);
        if let Some(port) = ports.iter().find(|port| !port.checksum_offload)
            && self.udp_csum == UdpChecksum::Offload
        {
            problems
                .error(
                    &path.key("udp_csum"),
                    "\"offload\" needs ports that fill in checksums",
                )
                .found(format_args!("port {:?} is not asked to", port.name))
                .help("set \"offloads\": { \"checksum\": true } of every port, or udp_csum to \"incremental\"");
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
