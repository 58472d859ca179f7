//! What the cores look into: published as a whole, then only read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nf_core::chain::StagePort;
use nf_core::check::Side;
use nf_core::packet::NO_PORT;
use nf_core::wire::MacAddr;

use super::config::{
    CloneConfig, CloneCopy, FilterMode, Mode, PassOrDrop, PolicyName, ServerConfig, SlotIndex,
    UdpChecksum, WireFormat,
};
use super::directory::Directory;
use crate::decide::Policy;
use crate::filter::Filter;
use crate::groups::MAX_SERVERS;
use crate::health::Pace;
use crate::plain::Plain;
use crate::servers::{CoreServers, Servers};

/// What all cores share and change, besides the published version.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Who can be chosen; and what they said, unless each core has its own.
    pub servers: Arc<Servers>,
    /// What each core counts of each server.
    pub cores: Box<[CoreServers]>,
    /// A core is near the last id of the epoch.
    pub wants_epoch: AtomicBool,
    /// The requests of `wire: none`.
    pub plain: Option<Plain>,
}

/// A server as the data path needs it.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Server {
    pub address: IpAddr,
    pub weight: u16,
    /// Port by which it is reached; [`NO_PORT`] for the chain's default.
    pub egress: u16,
    /// VLAN, 0 none.
    pub vlan: u16,
    /// Its MAC address, if it is configured.
    pub mac: Option<MacAddr>,
}

/// A server over IPv4 without VLAN, as its fields lie in packets.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))]
pub(crate) struct FastServer {
    /// 0 for a server that is none of these.
    pub raw_ip4: u32,
    pub weight: u16,
    pub egress: u16,
    /// The MAC address to be set, in mode `inline`.
    pub raw_mac: Option<[u8; 6]>,
}

/// The UDP ports of the service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    first: u16,
    /// All of them; 0 is no port, and fills the rest.
    ports: [u16; 8],
}

impl Ports {
    pub fn new(list: &[u16]) -> Ports {
        let mut ports = [0; 8];
        for (slot, port) in ports.iter_mut().zip(list) {
            *slot = *port;
        }
        Ports {
            first: ports[0],
            ports,
        }
    }

    #[inline(always)]
    pub fn has(&self, port: u16) -> bool {
        port == self.first || self.has_further(port)
    }

    /// Most services have one port.
    #[inline(always)]
    fn has_further(&self, port: u16) -> bool {
        self.ports[1] != 0 && port != 0 && self.ports.contains(&port)
    }

    pub fn first(&self) -> u16 {
        self.first
    }
}

/// The two filters: of ids that appliances give, and of those that clients choose. Apart, so that no two
/// equal ids of different makers can meet.
#[derive(Debug)]
pub(crate) struct Filters {
    pub given: Filter,
    pub chosen: Filter,
}

impl Filters {
    pub fn new(tables: u8, slots_log2: u8) -> Option<Filters> {
        Some(Filters {
            given: Filter::new(tables, slots_log2)?,
            chosen: Filter::new(tables, slots_log2)?,
        })
    }
}

/// A version of everything.
#[derive(Debug)]
pub(crate) struct Version {
    pub wire: WireFormat,
    pub inline: bool,
    pub ports: Ports,
    pub vip4: Option<Ipv4Addr>,
    pub vip6: Option<Ipv6Addr>,
    /// Whether requests to any address are taken.
    pub any_vip: bool,
    pub rewrites_source: bool,
    pub switch_id: u16,
    pub policy: Policy,
    /// Of 2^32.
    pub jsq_probe: u32,
    pub state_max_age_ns: u64,
    pub groups: Box<[(u8, u8)]>,
    pub cfg_gen: u16,
    pub servers: Box<[Option<Server>]>,
    pub filtering: bool,
    pub filter_mode: FilterMode,
    pub dense: bool,
    pub filters: Arc<Filters>,
    pub epoch: u16,
    pub copy_max: usize,
    /// Clones a second on each core; 0 no limit.
    pub budget: u32,
    pub verify: bool,
    /// Whether checksums of changed datagrams are left to the ports.
    pub offload: bool,
    pub drops_fragments: bool,
    pub drops_bad_input: bool,
    pub msg_ttl_ns: u64,
    pub pace: Pace,
    /// The IPv4 VIP as it lies in a packet; 0 for none, which no packet comes from.
    pub raw_vip4: u32,
    /// The servers that need nothing unusual, for the common case.
    fast_servers: Box<[FastServer; MAX_SERVERS]>,
    /// The appliance's ports.
    pub interfaces: Box<[Interface]>,
    /// Tells pings of this run from those of others.
    pub instance: u32,
    /// The services of `wire: none`.
    pub directory: Option<Directory>,
}

/// A port of the appliance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interface {
    pub mac: MacAddr,
    pub side: Side,
}

impl Version {
    /// What follows from the settings; `known` are the servers and those that have just left.
    pub fn new(
        config: &CloneConfig,
        known: &[ServerConfig],
        groups: &[(u8, u8)],
        (ports, cores): (&[StagePort], usize),
        made: Made,
    ) -> Version {
        let mut servers = vec![None; MAX_SERVERS];
        let mut fast_servers = Box::new([FastServer::default(); MAX_SERVERS]);
        let inline = config.mode == Mode::Inline;
        for server in known {
            let egress = ports
                .iter()
                .position(|port| Some(&port.name) == server.port.as_ref());
            servers[usize::from(server.sid)] = Some(Server {
                address: server.ip,
                weight: server.weight,
                egress: egress.map_or(NO_PORT, |at| at as u16),
                vlan: server.vlan.unwrap_or(0),
                mac: server.mac,
            });
            // Where the MAC address has to be looked up, or a tag set, it is the way of all packets.
            if let IpAddr::V4(ip) = server.ip
                && server.vlan.is_none()
                && (!inline || server.mac.is_some())
            {
                fast_servers[usize::from(server.sid)] = FastServer {
                    raw_ip4: u32::from_ne_bytes(ip.octets()),
                    weight: server.weight,
                    egress: egress.map_or(NO_PORT, |at| at as u16),
                    raw_mac: server.mac.filter(|_| inline).map(|mac| mac.0),
                };
            }
        }
        let vip4 = config.vip.iter().find_map(|vip| match vip {
            IpAddr::V4(vip) => Some(*vip),
            IpAddr::V6(_) => None,
        });
        let vip6 = config.vip.iter().find_map(|vip| match vip {
            IpAddr::V6(vip) => Some(*vip),
            IpAddr::V4(_) => None,
        });
        let budget = match config.clone_budget_pps {
            0 => 0,
            all => (all / cores.max(1) as u32).max(1),
        };
        Version {
            wire: config.wire,
            inline,
            // Those of `wire: none` are in the directory.
            ports: match config.wire {
                WireFormat::None => Ports::new(&[]),
                WireFormat::V1 | WireFormat::Compat28 => Ports::new(&config.l4_ports),
            },
            vip4,
            vip6,
            any_vip: config.vip.is_empty(),
            rewrites_source: config.rewrites_source(),
            switch_id: config.switch_id,
            policy: Policy {
                clones: config.clones(),
                always: config.policy == PolicyName::Always,
                shortest_queue: matches!(config.policy, PolicyName::Jsq | PolicyName::NetCloneJsq),
                idle_threshold: config.idle_threshold,
            },
            jsq_probe: (config.jsq_probe * f64::from(u32::MAX)) as u32,
            state_max_age_ns: config.state_max_age_us.saturating_mul(1000),
            groups: groups.into(),
            cfg_gen: made.cfg_gen,
            servers: servers.into_boxed_slice(),
            filtering: config.filter,
            filter_mode: config.filter_mode,
            dense: config.slot_index == SlotIndex::Dense,
            filters: made.filters,
            epoch: made.epoch,
            copy_max: match config.clone_copy {
                CloneCopy::Auto => config.clone_copy_max as usize,
                CloneCopy::Full => usize::MAX,
                CloneCopy::Split => 0,
            },
            budget,
            verify: config.verifies(),
            offload: config.udp_csum == UdpChecksum::Offload
                && config.lacks_offload(ports).is_none(),
            drops_fragments: config.fragments == PassOrDrop::Drop,
            drops_bad_input: config.bad_input == PassOrDrop::Drop,
            msg_ttl_ns: u64::from(config.msg_ttl_us) * 1000,
            pace: Pace {
                interval_ns: u64::from(config.ping_interval_us()) * 1000,
                fail: config.probe_fail,
                restore: config.probe_restore,
                silence_ns: config.silence_us().saturating_mul(1000),
            },
            raw_vip4: vip4.map_or(0, |vip| u32::from_ne_bytes(vip.octets())),
            fast_servers,
            interfaces: ports
                .iter()
                .map(|port| Interface {
                    mac: MacAddr(port.mac),
                    side: port.side,
                })
                .collect(),
            instance: made.instance,
            directory: match config.wire {
                WireFormat::None => Some(Directory::new(config, known)),
                WireFormat::V1 | WireFormat::Compat28 => None,
            },
        }
    }

    #[inline(always)]
    pub fn server(&self, sid: u8) -> Option<&Server> {
        self.servers.get(usize::from(sid))?.as_ref()
    }

    /// A server of the common case.
    #[inline(always)]
    pub fn fast_server(&self, sid: u8) -> Option<&FastServer> {
        let server = &self.fast_servers[usize::from(sid)];
        (server.raw_ip4 != 0).then_some(server)
    }

    /// Whether an address is the service's.
    #[inline(always)]
    pub fn is_vip(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.vip4 == Some(address),
            IpAddr::V6(address) => self.vip6 == Some(address),
        }
    }

    /// The appliance's own address of the version of `peer`.
    pub fn own_address(&self, peer: IpAddr) -> Option<IpAddr> {
        match peer {
            IpAddr::V4(_) => self.vip4.map(IpAddr::V4),
            IpAddr::V6(_) => self.vip6.map(IpAddr::V6),
        }
    }
}

/// What a version has that does not follow from the settings.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub filters: Arc<Filters>,
    pub epoch: u16,
    pub cfg_gen: u16,
    pub instance: u32,
}
