//! Which flow a packet belongs to: its five-tuple, and 32-bit hashes of it.
//!
//! The hashes are part of the interface: the same bytes give the same value on every machine and
//! in every version, so that they may be stored, compared and documented. `mix(a, b)` multiplies
//! `a ^ K1` by `b ^ K2` to 128 bits and folds the halves with exclusive or (K1, K2 below). Then
//!
//! * IPv4: `mix(source << 32 | destination, ports << 8 | protocol)`,
//! * IPv6: the same of `mix(source high, source low)` and `mix(destination high, destination low)`
//!   in the place of the addresses, joined as `mix(mix(s, d), ports << 8 | protocol)`,
//! * else: `mix(destination MAC << 16 | ethertype, source MAC)`,
//!
//! where `ports` is `source << 16 | destination`, zero without UDP or TCP and **zero for every
//! fragment**, so that all fragments of a packet fall together. The result is the exclusive or of
//! the two 32-bit halves. The symmetric hash first puts the numerically smaller end, address then
//! port, in the source's place.

use std::net::IpAddr;

use super::{Ethernet, Fragment, Layers, bytes::chunk};

const K1: u64 = 0xa076_1d64_78bd_642f;
const K2: u64 = 0xe703_7ed1_a0b4_28db;

/// Source, destination, protocol and ports of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiveTuple {
    /// The source address.
    pub source: IpAddr,
    /// The destination address, of the same version.
    pub destination: IpAddr,
    /// The protocol, after IPv6 extension headers.
    pub protocol: u8,
    /// The source port; 0 without UDP or TCP header.
    pub source_port: u16,
    /// The destination port; 0 without UDP or TCP header.
    pub destination_port: u16,
}

impl FiveTuple {
    /// The five-tuple of a parsed frame, `None` without IP. A later fragment has no ports.
    #[inline]
    pub fn of(frame: &[u8], layers: &Layers) -> Option<Self> {
        let (source, destination) = if let Some(header) = layers.ipv4(frame) {
            (
                IpAddr::V4(header.source()),
                IpAddr::V4(header.destination()),
            )
        } else {
            let header = layers.ipv6(frame)?;
            (
                IpAddr::V6(header.source()),
                IpAddr::V6(header.destination()),
            )
        };
        let (source_port, destination_port) = layers.ports(frame).unwrap_or_default();
        let protocol = layers.protocol();
        Some(Self {
            source,
            destination,
            protocol,
            source_port,
            destination_port,
        })
    }

    /// The five-tuple of the opposite direction.
    #[inline]
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }
}

/// The hash of the flow in this direction.
#[inline]
pub fn flow_hash(frame: &[u8], layers: &Layers) -> u32 {
    hash::<false>(frame, layers)
}

/// The hash of the flow that is the same in both directions.
#[inline]
pub fn symmetric_flow_hash(frame: &[u8], layers: &Layers) -> u32 {
    hash::<true>(frame, layers)
}

#[inline(always)]
fn hash<const SYMMETRIC: bool>(frame: &[u8], layers: &Layers) -> u32 {
    let (source_port, destination_port) = match layers.fragment() {
        Fragment::None => layers.ports(frame).unwrap_or_default(),
        _ => (0, 0),
    };
    let hash = if let Some(header) = layers.ipv4(frame) {
        let mut from = (header.source().to_bits(), source_port);
        let mut to = (header.destination().to_bits(), destination_port);
        if SYMMETRIC && to < from {
            (from, to) = (to, from);
        }
        let addresses = u64::from(from.0) << 32 | u64::from(to.0);
        mix(addresses, tail(from.1, to.1, layers.protocol()))
    } else if let Some(header) = layers.ipv6(frame) {
        let mut from = (header.source().to_bits(), source_port);
        let mut to = (header.destination().to_bits(), destination_port);
        if SYMMETRIC && to < from {
            (from, to) = (to, from);
        }
        let addresses = mix(halves(from.0), halves(to.0));
        mix(addresses, tail(from.1, to.1, layers.protocol()))
    } else {
        link_hash::<SYMMETRIC>(frame, layers)
    };
    (hash >> 32) as u32 ^ hash as u32
}

#[inline(always)]
fn tail(from: u16, to: u16, protocol: u8) -> u64 {
    u64::from(from) << 24 | u64::from(to) << 8 | u64::from(protocol)
}

#[inline(always)]
fn halves(address: u128) -> u64 {
    mix((address >> 64) as u64, address as u64)
}

#[cold]
fn link_hash<const SYMMETRIC: bool>(frame: &[u8], layers: &Layers) -> u64 {
    let Some(link) = Ethernet::new(frame) else {
        return 0;
    };
    let (mut from, mut to) = (link.source(), link.destination());
    if SYMMETRIC && to < from {
        (from, to) = (to, from);
    }
    let number = |mac: [u8; 6]| {
        chunk::<6>(&mac, 0).map_or(0, |&[a, b, c, d, e, f]| {
            u64::from_be_bytes([0, 0, a, b, c, d, e, f])
        })
    };
    mix(
        number(to.0) << 16 | u64::from(layers.ethertype()),
        number(from.0),
    )
}

#[inline(always)]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ K1) * u128::from(b ^ K2);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp_frame() -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00];
        frame.extend([
            0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ]);
        frame.extend([0xc0, 0, 0, 53, 0, 8, 0, 0]);
        frame
    }

    fn ipv6_frame() -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd];
        frame.extend([0x60, 0, 0, 0, 0, 8, 17, 64]);
        frame.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        frame.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        frame.extend([0xc0, 0, 0, 53, 0, 8, 0, 0]);
        frame
    }

    fn arp_frame() -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x06];
        frame.extend([0; 28]);
        frame
    }

    #[test]
    fn five_tuple() {
        let frame = udp_frame();
        let tuple = FiveTuple::of(&frame, &Layers::parse(&frame).unwrap()).unwrap();
        assert_eq!(tuple.source, IpAddr::from([10, 0, 0, 1]));
        assert_eq!(tuple.destination, IpAddr::from([10, 0, 0, 2]));
        assert_eq!(
            (tuple.protocol, tuple.source_port, tuple.destination_port),
            (17, 0xc000, 53)
        );
        assert_eq!(tuple.reversed().source_port, 53);
        assert_eq!(tuple.reversed().reversed(), tuple);
        let frame = arp_frame();
        assert_eq!(FiveTuple::of(&frame, &Layers::parse(&frame).unwrap()), None);
    }

    /// The values were computed from the module's description by another program.
    #[test]
    fn hashes_are_stable() {
        for (mut frame, hash, symmetric, reverse) in [
            (udp_frame(), 0x444d_aa83, 0x444d_aa83, 0xd372_cde0),
            (ipv6_frame(), 0xe744_8bb6, 0xe744_8bb6, 0x2ae6_063b),
            (arp_frame(), 0x1681_d251, 0x1681_d251, 0x62aa_f3ee),
        ] {
            let layers = Layers::parse(&frame).unwrap();
            assert_eq!(flow_hash(&frame, &layers), hash);
            assert_eq!(symmetric_flow_hash(&frame, &layers), symmetric);
            super::super::swap_five_tuple(&mut frame, &layers);
            assert_eq!(flow_hash(&frame, &layers), reverse);
            assert_eq!(symmetric_flow_hash(&frame, &layers), symmetric);
        }
    }

    #[test]
    fn fragments_of_a_packet_fall_together() {
        let mut first = udp_frame();
        first[20] = 0x20;
        let mut later = udp_frame();
        later[21] = 9;
        later[34..42].fill(0xee);
        let hash = |frame: &[u8]| flow_hash(frame, &Layers::parse(frame).unwrap());
        assert_eq!(hash(&first), hash(&later));
        assert_ne!(hash(&first), hash(&udp_frame()));
    }

    #[test]
    fn neighbouring_flows_spread() {
        let mut buckets = [0u32; 64];
        let mut frame = udp_frame();
        let layers = Layers::parse(&frame).unwrap();
        for i in 0..64_000u32 {
            frame[28..30].copy_from_slice(&((i / 1000) as u16).to_be_bytes());
            frame[34..36].copy_from_slice(&((i % 1000) as u16).to_be_bytes());
            buckets[flow_hash(&frame, &layers) as usize % 64] += 1;
        }
        // A thousand each; the standard deviation of a fair throw is 31.
        assert!(
            buckets.iter().all(|n| (850..1150).contains(n)),
            "{buckets:?}"
        );
    }
}
