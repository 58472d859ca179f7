//! Parsing once: where each header of a frame starts, what it is, and how far the packet goes.
//!
//! [`Layers`] is 24 bytes of offsets without a borrow, so it can travel with the packet. It checks
//! every length that the headers state, so the views that it hands out need no check but the
//! slice's own end.

mod access;
pub(super) mod common;
mod extensions;
#[cfg(test)]
mod tests;

use self::extensions::{Chain, is_extension, read_tags};
use super::{
    Ethernet, Ipv4, Ipv6, Malformed, Tcp, Udp, arp,
    ethernet::{self, ethertype},
    icmp, icmpv6, ipv4,
    ipv4::protocol,
    ipv6, tcp, udp, vlan,
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
    #[inline(always)]
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        Self::parse_head(frame, frame.len())
    }

    /// Parses a frame of which only the `head` is at hand, the first segment of a packet of
    /// `packet_len` bytes. Headers have to lie in `head`; lengths may go up to `packet_len`.
    #[inline(always)]
    pub fn parse_head(head: &[u8], packet_len: usize) -> Result<Self, Malformed> {
        if let Some(layers) = common::parse(head, packet_len) {
            return Ok(layers);
        }
        let layers = Self::parse_any(head, packet_len);
        match layers.problem() {
            None => Ok(layers),
            Some(problem) => Err(problem),
        }
    }

    /// As [`parse_head`](Self::parse_head), but a malformed frame yields what was understood
    /// before its [`problem`](Self::problem). What was not reached is absent: the version is zero,
    /// the transport is none.
    #[inline(always)]
    pub fn parse_lax(head: &[u8], packet_len: usize) -> Self {
        match common::parse(head, packet_len) {
            Some(layers) => layers,
            None => Self::parse_any(head, packet_len),
        }
    }

    /// Parses frames of every shape, as [`parse_lax`](Self::parse_lax).
    #[inline(never)]
    fn parse_any(head: &[u8], packet_len: usize) -> Self {
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
        self.ethertype = link.ethertype();
        let mut at = ethernet::HEADER_LEN;
        if vlan::is_tag(self.ethertype) {
            let tags = read_tags(head).ok_or(Malformed::Truncated)?;
            (self.outer, self.inner) = (tags.outer, tags.inner);
            (self.ethertype, at) = (tags.ethertype, tags.link_len);
        }
        self.link_len = at as u8;
        match self.ethertype {
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

    #[inline(always)]
    fn read_ipv4(&mut self, head: &[u8], at: usize, packet_len: usize) -> Result<(), Malformed> {
        let header = Ipv4::new(head.get(at..).unwrap_or_default()).ok_or(Malformed::Truncated)?;
        if header.version() != 4 {
            return Err(Malformed::BadVersion);
        }
        let header_len = header.header_len();
        let total_len = usize::from(header.total_len());
        let (transport_at, end) = (at + header_len, at + total_len);
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
        let flags = header.flags();
        if flags & ipv4::FRAGMENT_OFFSET != 0 {
            self.fragment = Fragment::Later;
        } else if flags & ipv4::MORE_FRAGMENTS != 0 {
            self.fragment = Fragment::First;
        }
        self.read_data(head, transport_at, end)
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
        self.read_data(head, transport_at, end)
    }

    /// Reads what follows the IP header, from `at` to `end`.
    #[inline(always)]
    fn read_data(&mut self, head: &[u8], mut at: usize, end: usize) -> Result<(), Malformed> {
        if is_extension(self.version, self.protocol) {
            let (protocol, fragment) = (self.protocol, self.fragment);
            let mut chain = Chain {
                protocol,
                at,
                fragment,
                source_routed: false,
            };
            let followed = chain.follow(head, self.version, end);
            at = chain.at;
            (self.protocol, self.fragment) = (chain.protocol, chain.fragment);
            if chain.source_routed {
                self.state |= SOURCE_ROUTED;
            }
            if let Err(problem) = followed {
                self.set_data(at, end);
                return Err(problem);
            }
        }
        self.set_data(at, end);
        if self.fragment == Fragment::Later {
            return Ok(());
        }
        self.read_transport(head, at, end)
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
