//! The shape that nearly every packet has, recognised in few instructions: untagged, IPv4 without
//! options or IPv6 without extension headers, whole, UDP or TCP. It is small enough to be inlined
//! where packets are parsed; whatever is not of this shape, sound or not, is left to the parser
//! that knows everything.

use super::{Fragment, Layers, Transport};
use crate::wire::{
    bytes::{chunk, u16_at, u32_at},
    ethernet,
    ethernet::ethertype,
    ipv4,
    ipv4::protocol,
    ipv6, tcp, udp,
};

/// Bytes that the frame has to have: up to TCP over IPv4, or to the end of the IPv6 header.
const START_LEN: usize = 54;

/// Type, version and header length of IPv4 without tags and options.
const PLAIN_IPV4: u32 = (ethertype::IPV4 as u32) << 16 | 0x4500;
/// Type and version of IPv6 without tags.
const PLAIN_IPV6: u32 = (ethertype::IPV6 as u32) << 16 | 0x6000;

const IPV4_DATA_AT: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
const IPV6_DATA_AT: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN;

/// The layers of a sound frame of the common shape.
#[inline(always)]
pub(super) fn parse(head: &[u8], packet_len: usize) -> Option<Layers> {
    let start: &[u8; START_LEN] = head.first_chunk()?;
    let packet_len = packet_len.max(head.len());
    let word = u32_at::<12, _>(start);
    let (version, kind, at, available) = if word & 0xffff_ff00 == PLAIN_IPV4 {
        if u16_at::<20, _>(start) & (ipv4::MORE_FRAGMENTS | ipv4::FRAGMENT_OFFSET) != 0 {
            return None;
        }
        let available = usize::from(u16_at::<16, _>(start)).checked_sub(ipv4::HEADER_LEN)?;
        (4, start[23], IPV4_DATA_AT, available)
    } else if word & 0xffff_f000 == PLAIN_IPV6 {
        (
            6,
            start[20],
            IPV6_DATA_AT,
            usize::from(u16_at::<18, _>(start)),
        )
    } else {
        return None;
    };
    let end = at + available;
    if end > packet_len {
        return None;
    }
    let (transport, header_len) = match kind {
        protocol::UDP => {
            let header = chunk::<{ udp::HEADER_LEN }>(head, at)?;
            if usize::from(u16_at::<4, _>(header)) != available || available < udp::HEADER_LEN {
                return None;
            }
            (Transport::Udp, udp::HEADER_LEN)
        }
        protocol::TCP => {
            let header = chunk::<{ tcp::HEADER_LEN }>(head, at)?;
            let length = usize::from(header[12] >> 4) * 4;
            if length < tcp::HEADER_LEN || length > available || at + length > head.len() {
                return None;
            }
            (Transport::Tcp, length)
        }
        _ => return None,
    };
    Some(Layers {
        end: end as u32,
        payload_len: (available - header_len) as u32,
        ethertype: (word >> 16) as u16,
        outer: 0,
        inner: 0,
        transport_at: at as u16,
        payload_at: (at + header_len) as u16,
        link_len: ethernet::HEADER_LEN as u8,
        version,
        protocol: kind,
        fragment: Fragment::None,
        transport,
        state: 0,
    })
}
