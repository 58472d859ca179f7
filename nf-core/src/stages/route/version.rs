//! What the cores look into: published as a whole, then only read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::config::Mode;
use super::neighbours::{Key, Pace};
use crate::dpdk::{Fib4, Fib6};
use crate::packet::Direction;
use crate::wire::MacAddr;

/// Where a prefix leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hop {
    /// No route.
    None,
    /// Dropped on purpose.
    Blackhole,
    /// An address of the router itself.
    Own,
    /// The broadcast address of an own network, or the network's address.
    Broadcast,
    /// The destination itself is behind this port.
    Link(u16),
    /// A router.
    Via(Key),
}

/// A port as the router sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its MAC address.
    pub mac: MacAddr,
    /// Largest IP packet.
    pub mtu: u16,
    /// IPv4 addresses with their masks.
    pub v4: Vec<(Ipv4Addr, u32)>,
    /// IPv6 addresses with their masks.
    pub v6: Vec<(Ipv6Addr, u128)>,
    /// The link-local address, derived from the MAC address (RFC 4291, appendix A); there is one
    /// where there is another IPv6 address.
    pub link_local: Option<Ipv6Addr>,
    /// Which way packets of the router's own go to leave here.
    pub towards: Direction,
    /// Whether it has carrier.
    pub up: bool,
}

impl Interface {
    /// Whether an address is the router's own at this port.
    pub fn is_own(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.iter().any(|own| own.0 == address),
            IpAddr::V6(address) => {
                self.link_local == Some(address) || self.v6.iter().any(|own| own.0 == address)
            }
        }
    }

    /// Whether an address is, or could be, a neighbour's at this port.
    pub fn is_on_link(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.iter().any(|(own, mask)| {
                let (bits, host) = (address.to_bits(), address.to_bits() & !mask);
                (own.to_bits() ^ bits) & mask == 0 && (*mask >= !1 || host != 0 && host != !mask)
            }),
            IpAddr::V6(address) => {
                (address.is_unicast_link_local() && self.link_local.is_some())
                    || self
                        .v6
                        .iter()
                        .any(|(own, mask)| (own.to_bits() ^ address.to_bits()) & mask == 0)
            }
        }
    }

    /// The own address from which to ask for a neighbour.
    pub fn source4(&self, target: Ipv4Addr) -> Option<Ipv4Addr> {
        let near = self
            .v4
            .iter()
            .find(|(own, mask)| (own.to_bits() ^ target.to_bits()) & mask == 0);
        near.or_else(|| self.v4.first()).map(|own| own.0)
    }

    /// The same for IPv6.
    pub fn source6(&self, target: Ipv6Addr) -> Option<Ipv6Addr> {
        if target.is_unicast_link_local() {
            return self.link_local;
        }
        let near = self
            .v6
            .iter()
            .find(|(own, mask)| (own.to_bits() ^ target.to_bits()) & mask == 0);
        near.map(|own| own.0).or(self.link_local)
    }
}

/// The link-local address of a MAC address.
pub fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let interface = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(interface))
}

/// A version of everything.
#[derive(Debug)]
pub struct Version {
    /// Router or bump in the wire.
    pub mode: Mode,
    /// IPv4 prefixes.
    pub fib4: Option<Arc<Fib4>>,
    /// IPv6 prefixes.
    pub fib6: Option<Arc<Fib6>>,
    /// What the tables' next hops mean.
    pub hops: Box<[Hop]>,
    /// By port index.
    pub interfaces: Box<[Interface]>,
    /// When neighbours are asked.
    pub pace: Pace,
    /// Packets held for one neighbour.
    pub held_per_neighbour: usize,
    /// Requests a core may send a second.
    pub requests_per_second: u32,
    /// ICMP errors a core may send a second.
    pub icmp_per_second: u32,
    /// Goes up when the own addresses are to be announced.
    pub announcement: u64,
}

impl Version {
    /// The hop of a table's answer.
    #[inline(always)]
    pub fn hop(&self, index: u64) -> Hop {
        self.hops.get(index as usize).copied().unwrap_or(Hop::None)
    }

    /// The port of that index.
    #[inline(always)]
    pub fn interface(&self, port: u16) -> Option<&Interface> {
        self.interfaces.get(usize::from(port))
    }

    /// The address from which to report an error about a packet that came in by `port`.
    pub fn reporter4(&self, port: u16) -> Option<Ipv4Addr> {
        let here = self.interface(port).and_then(|here| here.v4.first());
        let mut all = self.interfaces.iter().flat_map(|other| &other.v4);
        here.or_else(|| all.next()).map(|own| own.0)
    }

    /// The same for IPv6.
    pub fn reporter6(&self, port: u16) -> Option<Ipv6Addr> {
        let here = self.interface(port).and_then(|here| here.v6.first());
        let mut all = self.interfaces.iter().flat_map(|other| &other.v6);
        here.or_else(|| all.next()).map(|own| own.0)
    }
}
