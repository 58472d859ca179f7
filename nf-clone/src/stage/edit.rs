//! Edits of messages that keep their checksums right, and the clone.

use std::net::IpAddr;

use nf_core::chain::Cx;
use nf_core::packet::Packet;
use nf_core::wire::checksum::Delta;
use nf_core::wire::rewrite::{self, End};
use nf_core::wire::{Ethernet, Layers, MacAddr, Tci, Transport, vlan};

/// The address that a packet goes to.
#[inline(always)]
pub(crate) fn destination(frame: &[u8], layers: &Layers) -> Option<IpAddr> {
    if let Some(header) = layers.ipv4(frame) {
        return Some(IpAddr::V4(header.destination()));
    }
    Some(IpAddr::V6(layers.ipv6(frame)?.destination()))
}

/// The address that a packet comes from.
#[inline(always)]
pub(crate) fn source(frame: &[u8], layers: &Layers) -> Option<IpAddr> {
    if let Some(header) = layers.ipv4(frame) {
        return Some(IpAddr::V4(header.source()));
    }
    Some(IpAddr::V6(layers.ipv6(frame)?.source()))
}

/// Sets the destination and mends the checksums, that of UDP also by what else was changed. An address of
/// the other IP version changes nothing.
#[inline(always)]
pub(crate) fn set_destination(frame: &mut [u8], layers: &Layers, to: IpAddr, changed: Delta) {
    let mut changed = changed;
    match to {
        IpAddr::V4(to) => {
            if let Some(mut header) = layers.ipv4_mut(frame) {
                let before = header.destination();
                header.set_destination(to);
                header.update_checksum(Delta::new().ipv4(before, to));
                changed = changed.ipv4(before, to);
            }
        }
        IpAddr::V6(to) => {
            if let Some(mut header) = layers.ipv6_mut(frame) {
                let before = header.destination();
                header.set_destination(to);
                changed = changed.ipv6(before, to);
            }
        }
    }
    mend_udp(frame, layers, changed);
}

/// The same for the source.
#[inline(always)]
pub(crate) fn set_source(frame: &mut [u8], layers: &Layers, from: IpAddr) {
    match from {
        IpAddr::V4(from) => rewrite::set_ipv4(frame, layers, End::Source, from),
        IpAddr::V6(from) => rewrite::set_ipv6(frame, layers, End::Source, from),
    };
}

/// Mends the transport checksum by what was changed under it.
#[inline(always)]
pub(crate) fn mend_udp(frame: &mut [u8], layers: &Layers, changed: Delta) {
    if let Some(mut header) = layers.udp_mut(frame) {
        header.update_checksum(changed);
    } else if let Some(mut header) = layers.tcp_mut(frame) {
        header.update_checksum(changed);
    }
}

/// Leaves the checksum of a changed datagram to the port that sends it; of what is none, or could not be
/// left, the checksums stay as they are, which is right too. The packet was parsed when it had `len` bytes,
/// and may have got or lost a tag since.
#[inline]
pub(crate) fn leave_udp(packet: &mut Packet, layers: &Layers, len: usize) {
    if layers.transport() == Transport::Udp && !layers.is_source_routed() {
        let link_len = (layers.network_at() + packet.len()).saturating_sub(len);
        let network_len = layers.transport_at().saturating_sub(layers.network_at());
        packet.leave_udp_checksum(link_len, network_len);
    }
}

/// Sets the MAC address that a frame goes to.
#[inline(always)]
pub(crate) fn set_mac(frame: &mut [u8], to: MacAddr) {
    if let Some(mut link) = Ethernet::new_mut(frame) {
        link.set_destination(to);
    }
}

/// Puts a packet into a VLAN: changes the tag that it has, or adds one. False without room.
#[cold]
pub(crate) fn set_vlan(packet: &mut Packet, id: u16) -> bool {
    let tci = Tci::new(id, 0);
    if vlan::set_tci(packet.data_mut(), tci) {
        return true;
    }
    if packet.prepend(vlan::TAG_LEN).is_none() {
        return false;
    }
    vlan::push(
        packet.data_mut(),
        nf_core::wire::ethernet::ethertype::VLAN,
        tci,
    )
}

/// Takes a packet out of its VLAN.
#[cold]
pub(crate) fn clear_vlan(packet: &mut Packet) {
    if vlan::pop(packet.data_mut()).is_some() {
        packet.trim_front(vlan::TAG_LEN);
    }
}

/// A second packet with the same bytes, of which at least the first `headers` are its own: a copy up to
/// `copy_max` bytes, else headers before a shared payload. `None` when there is no buffer.
#[inline(always)]
pub(crate) fn duplicate(
    cx: &mut Cx<'_>,
    packet: &mut Packet,
    headers: usize,
    copy_max: usize,
) -> Option<Packet> {
    let mut clone = match packet.len() <= copy_max || packet.len() <= headers {
        true => cx.copy(packet),
        false => cx.split(packet, headers),
    }?;
    clone.meta_mut().expendable = true;
    Some(clone)
}
