//! Edits of a whole packet that keep every checksum right: addresses, ports, TTL, DSCP.
//!
//! Transport checksums cover the IP addresses through their pseudo-header, so an edit of an address
//! mends UDP, TCP and ICMPv6 too, where the packet has their header: later fragments have none, and
//! the sum stands in the first. A checksum that was wrong before stays wrong by the same amount; a
//! UDP checksum of zero stays zero (over IPv4 it means "none", over IPv6 it stays invalid).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    Layers, Transport,
    bytes::chunk_mut,
    checksum::Delta,
    layers::common::{self, swap_macs},
};

/// Which end of a packet an edit means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The sender's.
    Source,
    /// The receiver's.
    Destination,
}

/// Sets an IPv4 address. `false`, and nothing changed, if the packet is not IPv4.
#[inline]
pub fn set_ipv4(frame: &mut [u8], layers: &Layers, end: End, address: Ipv4Addr) -> bool {
    let Some(mut header) = layers.ipv4_mut(frame) else {
        return false;
    };
    let old = match end {
        End::Source => header.source(),
        End::Destination => header.destination(),
    };
    match end {
        End::Source => header.set_source(address),
        End::Destination => header.set_destination(address),
    }
    let delta = Delta::new().ipv4(old, address);
    header.update_checksum(delta);
    // ICMP over IPv4 has no pseudo-header.
    mend_transport(frame, layers, delta);
    true
}

/// Sets an IPv6 address of the fixed header. `false`, and nothing changed, if the packet is not
/// IPv6. The destination of a source-routed packet is a stop on its way, which no checksum covers.
#[inline]
pub fn set_ipv6(frame: &mut [u8], layers: &Layers, end: End, address: Ipv6Addr) -> bool {
    let Some(mut header) = layers.ipv6_mut(frame) else {
        return false;
    };
    let old = match end {
        End::Source => header.source(),
        End::Destination => header.destination(),
    };
    match end {
        End::Source => header.set_source(address),
        End::Destination => header.set_destination(address),
    }
    if end == End::Source || !layers.is_source_routed() {
        mend_transport(frame, layers, Delta::new().ipv6(old, address));
    }
    true
}

/// Sets a UDP or TCP port. `false`, and nothing changed, if the packet has none.
#[inline]
pub fn set_port(frame: &mut [u8], layers: &Layers, end: End, port: u16) -> bool {
    match (layers.transport(), end) {
        (Transport::Udp, _) => {
            let Some(mut header) = layers.udp_mut(frame) else {
                return false;
            };
            match end {
                End::Source => header.rewrite_source_port(port),
                End::Destination => header.rewrite_destination_port(port),
            }
        }
        (Transport::Tcp, _) => {
            let Some(mut header) = layers.tcp_mut(frame) else {
                return false;
            };
            match end {
                End::Source => header.rewrite_source_port(port),
                End::Destination => header.rewrite_destination_port(port),
            }
        }
        _ => return false,
    }
    true
}

/// Takes one hop from the TTL or hop limit and returns what remains. `None`, and nothing changed,
/// without IP or if none remains to take (0); a packet with 1 becomes 0 and must not go on.
#[inline]
pub fn decrement_ttl(frame: &mut [u8], layers: &Layers) -> Option<u8> {
    if let Some(mut header) = layers.ipv4_mut(frame) {
        let ttl = header.ttl().checked_sub(1)?;
        header.rewrite_ttl(ttl);
        return Some(ttl);
    }
    let mut header = layers.ipv6_mut(frame)?;
    let limit = header.hop_limit().checked_sub(1)?;
    header.set_hop_limit(limit);
    Some(limit)
}

/// Sets TTL or hop limit. `false` without IP.
#[inline]
pub fn set_ttl(frame: &mut [u8], layers: &Layers, ttl: u8) -> bool {
    if let Some(mut header) = layers.ipv4_mut(frame) {
        header.rewrite_ttl(ttl);
        return true;
    }
    let Some(mut header) = layers.ipv6_mut(frame) else {
        return false;
    };
    header.set_hop_limit(ttl);
    true
}

/// Sets the code point, its low six bits, and leaves ECN. `false` without IP.
#[inline]
pub fn set_dscp(frame: &mut [u8], layers: &Layers, dscp: u8) -> bool {
    if let Some(mut header) = layers.ipv4_mut(frame) {
        header.rewrite_dscp(dscp);
        return true;
    }
    let Some(mut header) = layers.ipv6_mut(frame) else {
        return false;
    };
    header.set_dscp(dscp);
    true
}

/// Finds the headers of a packet of `packet_len` bytes, of which `head` is the first segment, and
/// turns it around with [`swap_five_tuple`]: at a quarter of the cost of the two for packets of
/// the commonest shapes. Of a malformed packet, what was understood is exchanged.
#[inline(always)]
pub fn turn_around(head: &mut [u8], packet_len: usize) -> bool {
    common::swap_five_tuple(head, packet_len) || turn_any_around(head, packet_len)
}

#[inline(never)]
fn turn_any_around(head: &mut [u8], packet_len: usize) -> bool {
    swap_five_tuple(head, &Layers::parse_lax(head, packet_len))
}

/// Exchanges MAC addresses, IP addresses, and UDP or TCP ports: the packet turns around. Every
/// checksum stays as right as it was, because sums do not depend on the order of words. What the
/// packet does not have is left out. For a source-routed IPv6 packet the sum would change, so only
/// its MAC addresses are exchanged and `false` is returned.
#[inline]
pub fn swap_five_tuple(frame: &mut [u8], layers: &Layers) -> bool {
    if let Some(addresses) = chunk_mut::<12>(frame, 0) {
        swap_macs(addresses);
    }
    if let Some(mut header) = layers.ipv4_mut(frame) {
        header.swap_addresses();
    } else if let Some(mut header) = layers.ipv6_mut(frame) {
        if layers.is_source_routed() {
            return false;
        }
        header.swap_addresses();
    }
    if let Some(ports) = layers.ports_mut(frame) {
        *ports = u32::from_ne_bytes(*ports).rotate_left(16).to_ne_bytes();
    }
    true
}

/// Applies a change of covered words to the transport checksum, where the packet has one.
#[inline]
fn mend_transport(frame: &mut [u8], layers: &Layers, delta: Delta) {
    match layers.transport() {
        Transport::Udp => {
            if let Some(mut header) = layers.udp_mut(frame) {
                header.update_checksum(delta);
            }
        }
        Transport::Tcp => {
            if let Some(mut header) = layers.tcp_mut(frame) {
                header.update_checksum(delta);
            }
        }
        Transport::Icmpv6 => {
            if let Some(mut header) = layers.icmpv6_mut(frame) {
                header.update_checksum(delta);
            }
        }
        Transport::Icmp | Transport::None => {}
    }
}
