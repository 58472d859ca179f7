//! Parsing once: where each header of a frame starts, what it is, and how far the packet goes.
//!
//! [`Layers`] is 24 bytes of offsets without a borrow, so it can travel with the packet. It checks
//! every length that the headers state, so the views that it hands out need no check but the
//! slice's own end.

mod access;
#[cfg(test)]
mod tests;

use super::{
    Ethernet, Ipv4, Ipv6, Malformed, Tcp, Udp, arp,
    bytes::chunk,
    ethernet::{self, ethertype},
    icmp, icmpv6, ipv4,
    ipv4::protocol,
    ipv6::{self, next_header},
    tcp, udp, vlan,
};

/// How many extension headers are followed before the packet counts as malformed. RFC 8200 knows
/// six kinds, of which one may come twice.
pub const MAX_EXTENSIONS: usize = 8;

/// Whether an IP packet is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Fragment {
    /// Not fragmented (also IPv6 with an atomic fragment header, RFC 6946).
    #[default]
    None,
    /// The first fragment: it has the transport header, but not all of the data.
    First,
    /// A later fragment: data without a transport header.
    Later,
}

/// The transport header that was found and checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Transport {
    /// None: not IP, another protocol, a later fragment, or malformed.
    #[default]
    None,
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// ICMP over IPv4.
    Icmp,
    /// ICMPv6 over IPv6.
    Icmpv6,
}

/// Offsets and kinds of a frame's headers. Offsets count from the frame's first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    end: u32,
    payload_len: u32,
    ethertype: u16,
    outer: u16,
    inner: u16,
    transport_at: u16,
    payload_at: u16,
    link_len: u8,
    version: u8,
    protocol: u8,
    fragment: Fragment,
    transport: Transport,
    /// Zero, or one more than the problem's index, with [`SOURCE_ROUTED`] as the top bit.
    state: u8,
}

/// An IPv6 routing header names further stops.
const SOURCE_ROUTED: u8 = 0x80;

impl Layers {
    /// Parses a whole frame. Fails with the first thing that is wrong.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        Self::parse_head(frame, frame.len())
    }

    /// Parses a frame of which only the `head` is at hand, the first segment of a packet of
    /// `packet_len` bytes. Headers have to lie in `head`; lengths may go up to `packet_len`.
    #[inline]
    pub fn parse_head(head: &[u8], packet_len: usize) -> Result<Self, Malformed> {
        let mut layers = Self::default();
        match layers.read(head, packet_len) {
            Ok(()) => Ok(layers),
            Err(problem) => Err(problem),
        }
    }

    /// As [`parse_head`](Self::parse_head), but a malformed frame yields what was understood
    /// before its [`problem`](Self::problem). What was not reached is absent: the version is zero,
    /// the transport is none.
    #[inline]
    pub fn parse_lax(head: &[u8], packet_len: usize) -> Self {
        let mut layers = Self::default();
        if let Err(problem) = layers.read(head, packet_len) {
            layers.state |= problem.index() as u8 + 1;
        }
        layers
    }

    #[inline(always)]
    fn read(&mut self, head: &[u8], packet_len: usize) -> Result<(), Malformed> {
        let packet_len = packet_len.max(head.len());
        let link = Ethernet::new(head).ok_or(Malformed::Truncated)?;
        let mut kind = link.ethertype();
        let mut at = ethernet::HEADER_LEN;
        if vlan::is_tag(kind) {
            (kind, at) = self.read_tags(head)?;
        }
        self.ethertype = kind;
        self.link_len = at as u8;
        match kind {
            ethertype::IPV4 => self.read_ipv4(head, at, packet_len),
            ethertype::IPV6 => self.read_ipv6(head, at, packet_len),
            ethertype::ARP => {
                if head.len() < at + arp::PACKET_LEN {
                    return Err(Malformed::Truncated);
                }
                self.set_data(at, at + arp::PACKET_LEN);
                Ok(())
            }
            _ => {
                self.set_data(at, packet_len.min(u32::MAX as usize));
                Ok(())
            }
        }
    }

    /// Reads up to two tags. A third stays as the type, and what follows it as data.
    #[cold]
    fn read_tags(&mut self, head: &[u8]) -> Result<(u16, usize), Malformed> {
        let mut at = ethernet::HEADER_LEN;
        let [t0, t1, k0, k1] = *chunk(head, at).ok_or(Malformed::Truncated)?;
        self.outer = u16::from_be_bytes([t0, t1]);
        let mut kind = u16::from_be_bytes([k0, k1]);
        at += vlan::TAG_LEN;
        if vlan::is_tag(kind) {
            let [t0, t1, k0, k1] = *chunk(head, at).ok_or(Malformed::Truncated)?;
            self.inner = u16::from_be_bytes([t0, t1]);
            kind = u16::from_be_bytes([k0, k1]);
            at += vlan::TAG_LEN;
        }
        Ok((kind, at))
    }

    #[inline(always)]
    fn read_ipv4(&mut self, head: &[u8], at: usize, packet_len: usize) -> Result<(), Malformed> {
        let header = Ipv4::new(head.get(at..).unwrap_or_default()).ok_or(Malformed::Truncated)?;
        if header.version() != 4 {
            return Err(Malformed::BadVersion);
        }
        let header_len = header.header_len();
        let total_len = usize::from(header.total_len());
        let transport_at = at + header_len;
        let end = at + total_len;
        if header_len < ipv4::HEADER_LEN {
            return Err(Malformed::BadHeaderLength);
        }
        if total_len < header_len {
            return Err(Malformed::BadTotalLength);
        }
        if end > packet_len || transport_at > head.len() {
            return Err(Malformed::Truncated);
        }
        self.version = 4;
        self.protocol = header.protocol();
        self.set_data(transport_at, end);
        let flags = header.flags();
        if flags & (ipv4::MORE_FRAGMENTS | ipv4::FRAGMENT_OFFSET) != 0 {
            if flags & ipv4::FRAGMENT_OFFSET != 0 {
                self.fragment = Fragment::Later;
                return Ok(());
            }
            self.fragment = Fragment::First;
        }
        if self.protocol == protocol::AUTHENTICATION {
            return self.read_extensions(head, transport_at, end);
        }
        self.read_transport(head, transport_at, end)
    }

    #[inline(always)]
    fn read_ipv6(&mut self, head: &[u8], at: usize, packet_len: usize) -> Result<(), Malformed> {
        let header = Ipv6::new(head.get(at..).unwrap_or_default()).ok_or(Malformed::Truncated)?;
        if header.version() != 6 {
            return Err(Malformed::BadVersion);
        }
        let transport_at = at + ipv6::HEADER_LEN;
        let end = transport_at + usize::from(header.payload_len());
        if end > packet_len {
            return Err(Malformed::Truncated);
        }
        self.version = 6;
        self.protocol = header.next_header();
        self.set_data(transport_at, end);
        match self.protocol {
            protocol::UDP | protocol::TCP | protocol::ICMPV6 => {
                self.read_transport(head, transport_at, end)
            }
            _ => self.read_extensions(head, transport_at, end),
        }
    }

    /// Walks the extension headers that start at `at`, the first of kind `self.protocol`.
    #[cold]
    fn read_extensions(&mut self, head: &[u8], mut at: usize, end: usize) -> Result<(), Malformed> {
        let mut followed = 0;
        loop {
            let fixed = match (self.version, self.protocol) {
                // IPv4 has the authentication header alone.
                (_, next_header::AUTHENTICATION) => 12,
                (6, next_header::HOP_BY_HOP) if followed > 0 => {
                    return Err(Malformed::MisplacedHopByHop);
                }
                (
                    6,
                    next_header::HOP_BY_HOP
                    | next_header::ROUTING
                    | next_header::FRAGMENT
                    | next_header::DESTINATION_OPTIONS
                    | next_header::MOBILITY
                    | next_header::HIP
                    | next_header::SHIM6,
                ) => 8,
                _ => return self.read_transport(head, at, end),
            };
            if followed == MAX_EXTENSIONS {
                return Err(Malformed::TooManyExtensions);
            }
            followed += 1;
            if end - at < fixed {
                return Err(Malformed::BadExtension);
            }
            let [next, units, a, b] = *chunk(head, at).ok_or(Malformed::Truncated)?;
            let length = match self.protocol {
                next_header::FRAGMENT => 8,
                // Its length is in words of four bytes, less two (RFC 4302, section 2.2).
                next_header::AUTHENTICATION => (usize::from(units) + 2) * 4,
                _ => (usize::from(units) + 1) * 8,
            };
            if length < fixed || length > end - at {
                return Err(Malformed::BadExtension);
            }
            if self.protocol == next_header::ROUTING && b != 0 {
                self.state |= SOURCE_ROUTED;
            }
            if self.protocol == next_header::FRAGMENT {
                let word = u16::from_be_bytes([a, b]);
                if word & !7 != 0 {
                    self.fragment = Fragment::Later;
                } else if word & 1 != 0 {
                    self.fragment = Fragment::First;
                }
            }
            at += length;
            if at > head.len() {
                return Err(Malformed::Truncated);
            }
            self.protocol = next;
            self.set_data(at, end);
            if self.fragment == Fragment::Later {
                return Ok(());
            }
        }
    }

    /// Checks the transport header at `at`, of kind `self.protocol`, in a packet that ends at
    /// `end`.
    #[inline(always)]
    fn read_transport(&mut self, head: &[u8], at: usize, end: usize) -> Result<(), Malformed> {
        let available = end - at;
        let bytes = head.get(at..).unwrap_or_default();
        let header_len = match (self.protocol, self.version) {
            (protocol::UDP, _) => {
                let header = Udp::new(bytes).ok_or(Malformed::TransportTruncated)?;
                if available < udp::HEADER_LEN {
                    return Err(Malformed::TransportTruncated);
                }
                let length = usize::from(header.length());
                if length < udp::HEADER_LEN {
                    return Err(Malformed::BadUdpLength);
                }
                if length != available && self.fragment == Fragment::None {
                    if length > available {
                        return Err(Malformed::BadUdpLength);
                    }
                    self.transport = Transport::Udp;
                    self.payload_at = (at + udp::HEADER_LEN) as u16;
                    self.payload_len = (length - udp::HEADER_LEN) as u32;
                    return Ok(());
                }
                self.transport = Transport::Udp;
                udp::HEADER_LEN
            }
            (protocol::TCP, _) => {
                let header = Tcp::new(bytes).ok_or(Malformed::TransportTruncated)?;
                let length = header.header_len();
                if available < tcp::HEADER_LEN {
                    return Err(Malformed::TransportTruncated);
                }
                if length < tcp::HEADER_LEN {
                    return Err(Malformed::BadTcpHeaderLength);
                }
                if length > available || length > bytes.len() {
                    return Err(Malformed::TransportTruncated);
                }
                self.transport = Transport::Tcp;
                length
            }
            (protocol::ICMP, 4) => {
                if available.min(bytes.len()) < icmp::HEADER_LEN {
                    return Err(Malformed::TransportTruncated);
                }
                self.transport = Transport::Icmp;
                icmp::HEADER_LEN
            }
            (protocol::ICMPV6, 6) => {
                if available.min(bytes.len()) < icmpv6::HEADER_LEN {
                    return Err(Malformed::TransportTruncated);
                }
                self.transport = Transport::Icmpv6;
                icmpv6::HEADER_LEN
            }
            _ => return Ok(()),
        };
        self.payload_at = (at + header_len) as u16;
        self.payload_len = (available - header_len) as u32;
        Ok(())
    }

    /// Notes that what follows the network headers goes from `at` to `end`; the payload is all of
    /// it until a transport header is found. Both fit: `at` is below 17 KiB in any packet, as
    /// [`MAX_EXTENSIONS`] headers of at most 2 KiB go before it.
    #[inline(always)]
    fn set_data(&mut self, at: usize, end: usize) {
        self.transport_at = at as u16;
        self.payload_at = at as u16;
        self.end = end as u32;
        self.payload_len = (end - at) as u32;
    }
}
