//! The shape that nearly every packet has, recognised in few instructions: untagged, IPv4 without
//! options or IPv6 without extension headers, whole, UDP or TCP; and frames that are neither IP nor
//! ARP. It is small enough to be inlined
//! where packets are parsed; whatever is not of this shape, sound or not, is left to the parser
//! that knows everything.

use super::{Fragment, Layers, Transport};
use crate::wire::{
    bytes::{array_at, chunk, set_array, u16_at, u32_at},
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

/// Whether a frame may be IP, ARP or tagged, by the word that its type begins. In two comparisons:
/// IPv4 and ARP lie close together, IPv6 and the tags high up.
#[inline(always)]
fn may_be_read_further(word: u32) -> bool {
    const { assert!(ethertype::IPV4 & !6 == 0x800 && ethertype::ARP & !6 == 0x800) };
    const { assert!(ethertype::VLAN >= 0x8100 && ethertype::QINQ >= 0x8100) };
    const { assert!(ethertype::IPV6 >= 0x8100) };
    if word & 0xfff9_0000 == 0x0800_0000 {
        return true;
    }
    word >= 0x8100_0000
}

/// A frame of a type that nothing here reads further: it has data behind its link header, and that
/// is all there is to say.
#[inline(always)]
fn other(word: u32, packet_len: usize) -> Option<Layers> {
    let kind = (word >> 16) as u16;
    if may_be_read_further(word) {
        return None;
    }
    let end = packet_len.min(u32::MAX as usize) as u32;
    Some(Layers {
        end,
        payload_len: end - ethernet::HEADER_LEN as u32,
        ethertype: kind,
        transport_at: ethernet::HEADER_LEN as u16,
        payload_at: ethernet::HEADER_LEN as u16,
        link_len: ethernet::HEADER_LEN as u8,
        ..Layers::default()
    })
}

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
        return other(word, packet_len);
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

/// Length, fragment bits and protocol of an IPv4 header in its bytes 2 to 9, as one big-endian number.
const IPV4_KIND: u64 = ((ipv4::MORE_FRAGMENTS | ipv4::FRAGMENT_OFFSET) as u64) << 16 | 0xff;
/// What is left of that number, the length aside, of unfragmented UDP and TCP.
const WHOLE_UDP: u64 = protocol::UDP as u64;
const WHOLE_TCP: u64 = protocol::TCP as u64;

/// Exchanges the addresses and ports of a sound frame of the commonest shapes: UDP and TCP over plain
/// IPv4, and what is neither IP nor ARP. False, and nothing changed, for any other: then the
/// [`Layers`] have to be found. Makes the same of a frame as they would.
#[inline(always)]
pub(in crate::wire) fn swap_five_tuple(head: &mut [u8], packet_len: usize) -> bool {
    let head_len = head.len();
    let Some(start) = head.first_chunk_mut::<START_LEN>() else {
        return false;
    };
    let word = u32_at::<12, _>(start);
    if word & 0xffff_ff00 != PLAIN_IPV4 {
        let other = !may_be_read_further(word);
        if other {
            swap_macs(start);
        }
        return other;
    }
    let kind = u64::from_be_bytes(array_at::<16, 8, _>(start));
    let total_len = (kind >> 48) as usize;
    let sound = match kind & IPV4_KIND {
        WHOLE_UDP => {
            let length = usize::from(u16_at::<38, _>(start));
            length >= udp::HEADER_LEN && length + ipv4::HEADER_LEN == total_len
        }
        WHOLE_TCP => {
            let header_end = ipv4::HEADER_LEN + usize::from(start[46] >> 4) * 4;
            header_end >= ipv4::HEADER_LEN + tcp::HEADER_LEN
                && header_end <= total_len
                && ethernet::HEADER_LEN + header_end <= head_len
        }
        _ => false,
    };
    if !sound || ethernet::HEADER_LEN + total_len > packet_len {
        return false;
    }
    swap_macs(start);
    let addresses = u64::from_ne_bytes(array_at::<26, 8, _>(start)).rotate_left(32);
    set_array::<26, 8, _>(start, addresses.to_ne_bytes());
    let ports = u32::from_ne_bytes(array_at::<34, 4, _>(start)).rotate_left(16);
    set_array::<34, 4, _>(start, ports.to_ne_bytes());
    true
}

/// Exchanges the first six bytes with the next six.
#[inline(always)]
pub(in crate::wire) fn swap_macs<const N: usize>(bytes: &mut [u8; N]) {
    // One shuffle where the processor has it.
    let [a, b, c, d, e, f, g, h, i, j, k, l] = array_at::<0, 12, _>(bytes);
    set_array::<0, 12, _>(bytes, [g, h, i, j, k, l, a, b, c, d, e, f]);
}
