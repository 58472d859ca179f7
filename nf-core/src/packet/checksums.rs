//! Checksums that ports deal with: what the receiving port found, and what is left to the sending one.
//!
//! The flags, lengths and the pseudo-header's sum are those of DPDK's mbuf library ("Meta Information" in
//! its programmer's guide, and `rte_mbuf_core.h`).

use super::Packet;
use crate::wire::checksum::Sum;
use crate::wire::ipv4::protocol;
use crate::wire::{Ipv4, Ipv6, Layers, Transport, Udp, transport_checksum_of, udp};

/// All that a packet asks of its port about checksums.
const LEFT: u64 = dpdk_sys::SLUICE_MBUF_F_TX_IP_CKSUM
    | dpdk_sys::SLUICE_MBUF_F_TX_IPV4
    | dpdk_sys::SLUICE_MBUF_F_TX_IPV6
    | dpdk_sys::SLUICE_MBUF_F_TX_L4_MASK;

/// What the receiving port said.
const FOUND: u64 =
    dpdk_sys::SLUICE_MBUF_F_RX_IP_CKSUM_MASK | dpdk_sys::SLUICE_MBUF_F_RX_L4_CKSUM_MASK;

/// Longest headers that an mbuf can tell its port of, bytes: 7 bits for layer 2, 9 for layer 3.
const MOST_LINK: usize = 0x7f;
const MOST_NETWORK: usize = 0x1ff;

impl Packet {
    /// Whether the receiving port has found the checksums right: that of TCP or UDP, and with IPv4 that of
    /// its header. False where it has not looked, or has found none: then it is for software to look.
    #[inline(always)]
    pub fn checksums_are_good(&self, is_ipv4: bool) -> bool {
        let transport = dpdk_sys::SLUICE_MBUF_F_RX_L4_CKSUM_GOOD;
        let good = match is_ipv4 {
            true => transport | dpdk_sys::SLUICE_MBUF_F_RX_IP_CKSUM_GOOD,
            false => transport,
        };
        let looked_at = match is_ipv4 {
            true => FOUND,
            false => dpdk_sys::SLUICE_MBUF_F_RX_L4_CKSUM_MASK,
        };
        self.offload_flags() & looked_at == good
    }

    /// Leaves the checksum of a UDP datagram, and that of its IPv4 header, to the sending port, which has to
    /// [offer](crate::chain::StagePort::tx_checksums) both. For a packet that may be written, with
    /// checksums that are right: those of the header stays, that of the datagram is replaced by the sum of
    /// the pseudo-header.
    ///
    /// The IP header begins after `link_len` bytes, and UDP's `network_len` bytes behind that. False, and
    /// nothing changed, where there is no checksum (zero over IPv4) or a port could not be told: the packet
    /// then leaves with the checksums that it has.
    ///
    /// The port computes over what it is given. What is changed behind this call is covered by the
    /// checksum, mistakes too: see that the packet was sound before.
    #[inline]
    pub fn leave_udp_checksum(&mut self, link_len: usize, network_len: usize) -> bool {
        if link_len > MOST_LINK || network_len > MOST_NETWORK {
            return false;
        }
        let frame = self.data_mut();
        let Some((network, transport)) = frame
            .get_mut(link_len..)
            .and_then(|rest| rest.split_at_mut_checked(network_len))
        else {
            return false;
        };
        let Some(mut header) = Udp::new_mut(transport) else {
            return false;
        };
        let length = header.length();
        let mut sum = Sum::new();
        let version = network.first().map_or(0, |first| first >> 4);
        let flags = if let (4, Some(ip)) = (version, Ipv4::new(network)) {
            // A datagram that is shorter than its packet has something behind it that ports may add.
            let whole = usize::from(ip.total_len()) == network_len + usize::from(length);
            if header.checksum() == 0 || !whole || ip.header_len() != network_len {
                return false;
            }
            sum.add_ipv4_pseudo(ip.source(), ip.destination(), protocol::UDP, length);
            dpdk_sys::SLUICE_MBUF_F_TX_IPV4 | dpdk_sys::SLUICE_MBUF_F_TX_IP_CKSUM
        } else if let (6, Some(ip)) = (version, Ipv6::new(network)) {
            let behind = network_len - crate::wire::ipv6::HEADER_LEN;
            if usize::from(ip.payload_len()) != behind + usize::from(length) {
                return false;
            }
            sum.add_ipv6_pseudo(ip.source(), ip.destination(), protocol::UDP, length.into());
            dpdk_sys::SLUICE_MBUF_F_TX_IPV6
        } else {
            return false;
        };
        header.set_checksum(!sum.checksum());
        let flags = self.offload_flags() & !LEFT | flags | dpdk_sys::SLUICE_MBUF_F_TX_UDP_CKSUM;
        self.set_offload_flags(flags);
        self.set_tx_offload(link_len as u8, network_len as u16, udp::HEADER_LEN as u8);
        true
    }

    /// Whether checksums are [left](Self::leave_udp_checksum) to the sending port.
    #[inline(always)]
    pub fn leaves_checksums(&self) -> bool {
        self.offload_flags() & dpdk_sys::SLUICE_MBUF_F_TX_L4_MASK != 0
    }

    /// Computes here what was left to the sending port, and forgets what the receiving one has found: for
    /// a packet whose bytes are to be cut up, or damaged on purpose. Does nothing to other packets; one
    /// that leaves its checksums has a first segment that may be written.
    pub fn settle_checksums(&mut self) {
        if self.leaves_checksums() {
            let layers = Layers::parse_lax(self.data(), self.len());
            let mut segments = self.segments();
            let head = segments.next().unwrap_or_default();
            let sum = transport_checksum_of(&layers, head, segments);
            if let (Some(sum), Transport::Udp) = (sum, layers.transport())
                && let Some(mut header) = layers.udp_mut(self.data_mut())
            {
                header.set_checksum(sum);
            }
        }
        let flags = self.offload_flags();
        if flags & (LEFT | FOUND) != 0 {
            self.set_offload_flags(flags & !(LEFT | FOUND));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Frame, pool};
    use crate::wire::{Verdict, check_transport_checksum, ipv4_checksum_ok};

    const V4: (&str, &str) = ("10.0.0.1:1000", "10.0.0.2:2000");
    const V6: (&str, &str) = ("[fd00::1]:1000", "[fd00::2]:2000");

    fn lengths(frame: &[u8]) -> (usize, usize) {
        let layers = Layers::parse_lax(frame, frame.len());
        let link = layers.network_at();
        (link, layers.transport_at() - link)
    }

    #[test]
    fn what_is_left_and_settled_again_is_as_before() {
        let pool = pool(64);
        for (from, to) in [V4, V6] {
            for payload in [&b""[..], b"odd", &[0xa5; 1400]] {
                for vlan in [None, Some(7)] {
                    let frame = Frame::udp(from, to).payload(payload);
                    let frame = match vlan {
                        Some(vlan) => frame.vlan(vlan).build(),
                        None => frame.build(),
                    };
                    let mut packet = Packet::from_bytes(&pool, &frame).unwrap();
                    let (link, network) = lengths(&frame);
                    assert!(packet.leave_udp_checksum(link, network));
                    assert!(packet.leaves_checksums());
                    assert_ne!(packet.data(), frame, "the pseudo-header's sum stands there");
                    packet.settle_checksums();
                    assert_eq!(packet.data(), frame);
                    assert!(!packet.leaves_checksums());
                    assert_eq!(packet.offload_flags(), 0);
                }
            }
        }
    }

    #[test]
    fn the_field_holds_the_sum_of_the_pseudo_header_and_the_header_keeps_its_checksum() {
        let pool = pool(64);
        let frame = Frame::udp(V4.0, V4.1).payload(b"abcd").build();
        let mut packet = Packet::from_bytes(&pool, &frame).unwrap();
        assert!(packet.leave_udp_checksum(14, 20));
        // 0a00 + 0001 + 0a00 + 0002 + 17 + 12, by hand.
        assert_eq!(packet.data()[40..42], 0x1420u16.to_be_bytes());
        assert!(ipv4_checksum_ok(
            packet.data(),
            &Layers::parse_lax(packet.data(), packet.len())
        ));
        let flags = packet.offload_flags();
        let wanted = dpdk_sys::SLUICE_MBUF_F_TX_IPV4
            | dpdk_sys::SLUICE_MBUF_F_TX_IP_CKSUM
            | dpdk_sys::SLUICE_MBUF_F_TX_UDP_CKSUM;
        assert_eq!(flags, wanted);
        assert_eq!(packet.tx_offload(), 14 | 20 << 7 | 8 << 16);
        let copy = packet.copy(&pool).unwrap();
        assert_eq!(
            (copy.offload_flags(), copy.tx_offload()),
            (flags, packet.tx_offload())
        );
        let second = packet.split(&pool, 42).unwrap();
        assert_eq!(
            (second.offload_flags(), second.tx_offload()),
            (flags, packet.tx_offload())
        );
    }

    #[test]
    fn what_a_port_could_not_finish_is_not_left_to_it() {
        let pool = pool(64);
        let whole = Frame::udp(V4.0, V4.1).payload(b"abcd").build();
        let mut none = whole.clone();
        none[40..42].fill(0);
        let mut shorter = whole.clone();
        shorter[38..40].copy_from_slice(&10u16.to_be_bytes());
        for (frame, link, network) in [
            (&none, 14, 20),
            (&shorter, 14, 20),
            (&whole, 128, 20),
            (&whole, 14, 512),
            (&whole, 14, 28),
            (&whole, 0, 34),
            (&whole[..40].to_vec(), 14, 20),
            (&Vec::new(), 14, 20),
        ] {
            let mut packet = Packet::from_bytes(&pool, frame).unwrap();
            assert!(
                !packet.leave_udp_checksum(link, network),
                "{link} {network}"
            );
            assert_eq!(packet.data(), frame);
            assert_eq!(packet.offload_flags(), 0);
        }
    }

    #[test]
    fn settling_reads_every_segment() {
        let pool = pool(64);
        let mut frame = Frame::udp(V4.0, V4.1).payload(&[3; 3000]).build();
        let mut packet = Packet::from_bytes(&pool, &frame).unwrap();
        assert!(!packet.is_contiguous());
        assert!(packet.leave_udp_checksum(14, 20));
        packet.settle_checksums();
        packet.copy_out(0, &mut frame);
        let layers = Layers::parse_lax(&frame, frame.len());
        assert_eq!(check_transport_checksum(&frame, &layers), Verdict::Good);
    }

    #[test]
    fn the_ports_word_counts_only_where_it_has_found_both_right() {
        let pool = pool(64);
        let mut packet = Packet::from_bytes(&pool, &[0; 60]).unwrap();
        let (ip_good, ip_bad) = (
            dpdk_sys::SLUICE_MBUF_F_RX_IP_CKSUM_GOOD,
            dpdk_sys::SLUICE_MBUF_F_RX_IP_CKSUM_BAD,
        );
        let (good, bad) = (
            dpdk_sys::SLUICE_MBUF_F_RX_L4_CKSUM_GOOD,
            dpdk_sys::SLUICE_MBUF_F_RX_L4_CKSUM_BAD,
        );
        for (flags, v4, v6) in [
            (0, false, false),
            (good, false, true),
            (ip_good, false, false),
            (ip_good | good, true, true),
            (ip_good | bad, false, false),
            (ip_bad | good, false, true),
            // Both bits: the header has no checksum.
            (ip_good | good | bad, false, false),
        ] {
            packet.set_offload_flags(flags);
            let told = (
                packet.checksums_are_good(true),
                packet.checksums_are_good(false),
            );
            assert_eq!(told, (v4, v6), "{flags:#x}");
        }
        packet.settle_checksums();
        assert!(!packet.checksums_are_good(true) && !packet.checksums_are_good(false));
    }
}
