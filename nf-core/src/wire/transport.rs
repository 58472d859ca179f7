//! Full transport checksums of a parsed packet: checked, or computed and stored.

use std::iter;

use super::{
    Layers, Transport,
    checksum::{self, Sum},
    ipv4::protocol,
};

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The checksum is right.
    Good,
    /// The checksum is wrong; also a UDP checksum of zero over IPv6 (RFC 8200, section 8.1).
    Bad,
    /// UDP over IPv4 without checksum.
    Absent,
    /// It cannot be told: no transport header, a fragment, or a source-routed packet, whose last
    /// destination is not looked up.
    Unknown,
}

/// Whether the checksum of an IPv4 header with its options is right. `false` without IPv4.
#[inline]
pub fn ipv4_checksum_ok(frame: &[u8], layers: &Layers) -> bool {
    let at = layers.network_at();
    let Some(header) = layers.ipv4(frame) else {
        return false;
    };
    let bytes = frame.get(at..at + header.header_len()).unwrap_or_default();
    checksum::ipv4_header_is_valid(bytes)
}

/// Computes the checksum of an IPv4 header with its options and stores it. `false` without IPv4.
#[inline]
pub fn fill_ipv4_checksum(frame: &mut [u8], layers: &Layers) -> bool {
    let at = layers.network_at();
    let Some(mut header) = layers.ipv4_mut(frame) else {
        return false;
    };
    header.set_checksum(0);
    let length = header.header_len();
    let mut sum = Sum::new();
    sum.add_bytes(frame.get(at..at + length).unwrap_or_default());
    if let Some(mut header) = layers.ipv4_mut(frame) {
        header.set_checksum(sum.checksum());
    }
    true
}

/// Checks the transport checksum of a contiguous frame.
#[inline]
pub fn check_transport_checksum(frame: &[u8], layers: &Layers) -> Verdict {
    check_transport_checksum_of(layers, frame, iter::empty())
}

/// Checks the transport checksum of a packet in segments, each of any length: the `head`, which was
/// parsed, and the `rest`.
#[inline]
pub fn check_transport_checksum_of<'a>(
    layers: &Layers,
    head: &'a [u8],
    rest: impl Iterator<Item = &'a [u8]>,
) -> Verdict {
    if layers.transport() == Transport::Udp
        && layers
            .udp(head)
            .is_some_and(|header| header.checksum() == 0)
    {
        return if layers.is_ipv4() {
            Verdict::Absent
        } else {
            Verdict::Bad
        };
    }
    match transport_sum(layers, head, rest) {
        Some(sum) if sum.is_valid() => Verdict::Good,
        Some(_) => Verdict::Bad,
        None => Verdict::Unknown,
    }
}

/// Computes the transport checksum of a contiguous frame and stores it. `false`, and nothing
/// changed, where [`check_transport_checksum`] would say [`Verdict::Unknown`].
#[inline]
pub fn fill_transport_checksum(frame: &mut [u8], layers: &Layers) -> bool {
    let Some(field) = checksum_at(layers).and_then(|at| frame.get_mut(at..)?.first_chunk_mut())
    else {
        return false;
    };
    let before: [u8; 2] = std::mem::take(field);
    let checksum = transport_sum(layers, frame, iter::empty()).map(|sum| store(layers, sum));
    let Some(field) = checksum_at(layers).and_then(|at| frame.get_mut(at..)?.first_chunk_mut())
    else {
        return false;
    };
    *field = checksum.unwrap_or(before);
    checksum.is_some()
}

/// The transport checksum, in host order, that a packet in segments should carry, whatever its
/// field says. `None` where [`check_transport_checksum_of`] would say [`Verdict::Unknown`].
#[inline]
pub fn transport_checksum_of<'a>(
    layers: &Layers,
    head: &'a [u8],
    rest: impl Iterator<Item = &'a [u8]>,
) -> Option<u16> {
    let field: [u8; 2] = *head.get(checksum_at(layers)?..)?.first_chunk()?;
    let mut sum = transport_sum(layers, head, rest)?;
    // The field stands at an even position in every header: taking it out is adding its complement.
    sum.add_u16(!u16::from_be_bytes(field));
    let [a, b] = store(layers, sum);
    Some(u16::from_be_bytes([a, b]))
}

fn store(layers: &Layers, sum: Sum) -> [u8; 2] {
    match layers.transport() {
        Transport::Udp => sum.udp_checksum().to_be_bytes(),
        _ => sum.checksum().to_be_bytes(),
    }
}

fn checksum_at(layers: &Layers) -> Option<usize> {
    Some(
        layers.transport_at()
            + match layers.transport() {
                Transport::Udp => 6,
                Transport::Tcp => 16,
                Transport::Icmp | Transport::Icmpv6 => 2,
                Transport::None => return None,
            },
    )
}

/// The sum over pseudo-header, transport header and data as they stand.
#[inline]
fn transport_sum<'a>(
    layers: &Layers,
    head: &'a [u8],
    rest: impl Iterator<Item = &'a [u8]>,
) -> Option<Sum> {
    if layers.fragment() != super::Fragment::None || layers.is_source_routed() {
        return None;
    }
    let (protocol, length) = match layers.transport() {
        // UDP may be shorter than the IP packet that carries it.
        Transport::Udp => (protocol::UDP, layers.payload_len() + super::udp::HEADER_LEN),
        Transport::Tcp => (protocol::TCP, layers.transport_len()),
        Transport::Icmp => (protocol::ICMP, layers.transport_len()),
        Transport::Icmpv6 => (protocol::ICMPV6, layers.transport_len()),
        Transport::None => return None,
    };
    let mut sum = Sum::new();
    if layers.transport() != Transport::Icmp {
        if let Some(header) = layers.ipv4(head) {
            let (source, destination) = (header.source(), header.destination());
            sum.add_ipv4_pseudo(source, destination, protocol, length as u16);
        } else {
            let header = layers.ipv6(head)?;
            let (source, destination) = (header.source(), header.destination());
            sum.add_ipv6_pseudo(source, destination, protocol, length as u32);
        }
    }
    let mut missing = length;
    for segment in iter::once(head.get(layers.transport_at()..)?).chain(rest) {
        let part = segment.get(..missing).unwrap_or(segment);
        sum.add_bytes(part);
        missing -= part.len();
        if missing == 0 {
            return Some(sum);
        }
    }
    // Segments are missing.
    None
}
