//! Headers of actors' packets: UDP over IPv4 or IPv6, put before a payload or taken off.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::packet::Packet;
use crate::wire::{
    Ethernet, Layers, MacAddr, ethernet, ethertype, fill_transport_checksum, ipv4, ipv6, protocol,
    udp,
};

/// Why headers could not be put before a payload; the packet is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncapError {
    /// One address is IPv4, the other IPv6.
    #[error("source and destination are of different IP versions")]
    Versions,
    /// There is not enough room before the payload.
    #[error("{needed} bytes of headers do not fit into {room} bytes of headroom")]
    NoRoom {
        /// Bytes.
        needed: usize,
        /// Bytes.
        room: usize,
    },
    /// The payload is longer than a datagram can be, or not in one segment.
    #[error("the payload is too long, or in several segments")]
    Payload,
    /// Others share the packet's bytes.
    #[error("the packet's bytes are shared")]
    Shared,
}

/// Where a datagram comes from and goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Udp {
    /// Source MAC address.
    pub source_mac: MacAddr,
    /// Destination MAC address.
    pub destination_mac: MacAddr,
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// Time to live, or hop limit.
    pub ttl: u8,
}

impl Udp {
    /// The headers of a datagram, and where its payload is in the packet's first segment (from, length,
    /// bytes); `None` if it is none, or not whole.
    pub fn read(packet: &Packet) -> Option<(Udp, usize, usize)> {
        let frame = packet.data();
        let layers = Layers::parse_head(frame, packet.len()).ok()?;
        let header = layers.udp(frame)?;
        let link = Ethernet::new(frame)?;
        let (source, destination, ttl): (IpAddr, IpAddr, u8) = match layers.ipv4(frame) {
            Some(ip) => (ip.source().into(), ip.destination().into(), ip.ttl()),
            None => {
                let ip = layers.ipv6(frame)?;
                (ip.source().into(), ip.destination().into(), ip.hop_limit())
            }
        };
        let read = Udp {
            source_mac: link.source(),
            destination_mac: link.destination(),
            source: SocketAddr::new(source, header.source_port()),
            destination: SocketAddr::new(destination, header.destination_port()),
            ttl,
        };
        let (from, len) = (layers.payload_at(), layers.payload_len());
        (from + len <= frame.len()).then_some((read, from, len))
    }

    /// The way back.
    #[must_use]
    pub fn turned(self) -> Udp {
        Udp {
            source_mac: self.destination_mac,
            destination_mac: self.source_mac,
            source: self.destination,
            destination: self.source,
            ttl: 64,
        }
    }

    /// Takes headers (and padding) off: the packet is its payload then.
    pub fn strip(packet: &mut Packet) -> Option<Udp> {
        let (read, from, len) = Udp::read(packet)?;
        let behind = packet.len() - from - len;
        (packet.trim_back(behind) && packet.trim_front(from)).then_some(read)
    }

    /// Puts headers with checksums before the payload that the packet is.
    ///
    /// # Errors
    ///
    /// The packet is as it was.
    pub fn put(&self, packet: &mut Packet) -> Result<(), EncapError> {
        if !packet.is_writable() {
            return Err(EncapError::Shared);
        }
        let payload = match u16::try_from(packet.len()) {
            Ok(len) if packet.is_contiguous() && len <= u16::MAX - udp::HEADER_LEN as u16 => len,
            _ => return Err(EncapError::Payload),
        };
        let (ip_len, kind) = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(_), IpAddr::V4(_)) => (ipv4::HEADER_LEN, ethertype::IPV4),
            (IpAddr::V6(_), IpAddr::V6(_)) => (ipv6::HEADER_LEN, ethertype::IPV6),
            _ => return Err(EncapError::Versions),
        };
        let needed = ethernet::HEADER_LEN + ip_len + udp::HEADER_LEN;
        if usize::from(payload) + needed > usize::from(u16::MAX) {
            return Err(EncapError::Payload);
        }
        let room = packet.headroom();
        let head = packet
            .prepend(needed)
            .ok_or(EncapError::NoRoom { needed, room })?;
        if self.write(head, ip_len, kind, payload).is_none() {
            packet.trim_front(needed);
            return Err(EncapError::Payload);
        }
        let frame = packet.data_mut();
        let layers = Layers::parse_lax(frame, frame.len());
        fill_transport_checksum(frame, &layers);
        Ok(())
    }

    fn write(&self, head: &mut [u8], ip_len: usize, kind: u16, payload: u16) -> Option<()> {
        let (link, rest) = head.split_at_mut_checked(ethernet::HEADER_LEN)?;
        let (network, transport) = rest.split_at_mut_checked(ip_len)?;
        ethernet::write(link, self.destination_mac, self.source_mac, kind)?;
        let datagram = payload + udp::HEADER_LEN as u16;
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => ipv4::Repr {
                source,
                destination,
                protocol: protocol::UDP,
                payload_len: datagram,
                ttl: self.ttl,
                traffic_class: 0,
                identification: 0,
                dont_fragment: true,
            }
            .emit(network)?,
            (IpAddr::V6(source), IpAddr::V6(destination)) => ipv6::Repr {
                source,
                destination,
                next_header: protocol::UDP,
                payload_len: datagram,
                hop_limit: self.ttl,
                traffic_class: 0,
                flow_label: 0,
            }
            .emit(network)?,
            _ => return None,
        };
        udp::write(
            transport,
            self.source.port(),
            self.destination.port(),
            payload,
        )?;
        Some(())
    }
}
