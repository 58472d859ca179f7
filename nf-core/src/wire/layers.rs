//! Parsing once: where each header of a frame starts, what it is, and how far the packet goes.
//!
//! [`Layers`] is 24 bytes of offsets without a borrow, so it can travel with the packet. It checks
//! every length that the headers state, so the views that it hands out need no check but the
//! slice's own end.

use super::{
    Arp, Ethernet, Icmp, Icmpv6, Ipv4, Ipv6, Malformed, Tci, Tcp, Udp, arp,
    bytes::{chunk, chunk_mut},
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
            _ => {
                self.transport_at = at as u16;
                self.payload_at = at as u16;
                self.end = u32::try_from(packet_len).unwrap_or(u32::MAX);
                self.payload_len = self.end - at as u32;
                match kind {
                    ethertype::ARP if head.len() < at + arp::PACKET_LEN => {
                        Err(Malformed::Truncated)
                    }
                    _ => Ok(()),
                }
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
                (_, next_header::AUTHENTICATION) => 4,
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
            if length > end - at {
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

/// What the parser found.
impl Layers {
    /// Bytes of the link header with its tags: 14, 18 or 22; also where the network header starts.
    #[inline(always)]
    pub const fn link_len(&self) -> usize {
        self.link_len as usize
    }

    /// The type after all tags; below 0x600 an 802.3 length.
    #[inline(always)]
    pub const fn ethertype(&self) -> u16 {
        self.ethertype
    }

    /// How many VLAN tags there are, up to two.
    #[inline(always)]
    pub const fn tag_count(&self) -> usize {
        (self.link_len as usize).saturating_sub(ethernet::HEADER_LEN) / vlan::TAG_LEN
    }

    /// The outermost tag.
    #[inline(always)]
    pub const fn outer_tag(&self) -> Option<Tci> {
        if self.tag_count() > 0 {
            Some(Tci(self.outer))
        } else {
            None
        }
    }

    /// The second tag.
    #[inline(always)]
    pub const fn inner_tag(&self) -> Option<Tci> {
        if self.tag_count() > 1 {
            Some(Tci(self.inner))
        } else {
            None
        }
    }

    /// Where the network header starts.
    #[inline(always)]
    pub const fn network_at(&self) -> usize {
        self.link_len as usize
    }

    /// The IP version, 4 or 6; 0 if there is no (valid) IP header.
    #[inline(always)]
    pub const fn ip_version(&self) -> u8 {
        self.version
    }

    /// Whether there is a valid IPv4 header.
    #[inline(always)]
    pub const fn is_ipv4(&self) -> bool {
        self.version == 4
    }

    /// Whether there is a valid IPv6 header.
    #[inline(always)]
    pub const fn is_ipv6(&self) -> bool {
        self.version == 6
    }

    /// Whether the frame is ARP, whole in length.
    #[inline(always)]
    pub const fn is_arp(&self) -> bool {
        self.ethertype == ethertype::ARP && self.problem().is_none()
    }

    /// The protocol after all extension headers; 0 without IP.
    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The transport header found, if any.
    #[inline(always)]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether the IP packet is a fragment.
    #[inline(always)]
    pub const fn fragment(&self) -> Fragment {
        self.fragment
    }

    /// Where the transport header starts, or would: after options and extension headers.
    #[inline(always)]
    pub const fn transport_at(&self) -> usize {
        self.transport_at as usize
    }

    /// Bytes of transport header and data by the IP header's length; without IP, of the data.
    #[inline(always)]
    pub const fn transport_len(&self) -> usize {
        (self.end as usize).saturating_sub(self.transport_at as usize)
    }

    /// Where the data after the last understood header starts.
    #[inline(always)]
    pub const fn payload_at(&self) -> usize {
        self.payload_at as usize
    }

    /// Bytes of the data, without Ethernet's padding. UDP's own length counts where it is shorter
    /// than IP's.
    #[inline(always)]
    pub const fn payload_len(&self) -> usize {
        self.payload_len as usize
    }

    /// One past the last byte of the IP packet; what follows in the frame is padding.
    #[inline(always)]
    pub const fn end(&self) -> usize {
        self.end as usize
    }

    /// Bytes of the IP packet, headers included. 0 without IP.
    #[inline(always)]
    pub const fn ip_len(&self) -> usize {
        match self.version {
            0 => 0,
            _ => (self.end as usize).saturating_sub(self.link_len as usize),
        }
    }

    /// Whether an IPv6 routing header names further stops, so that the destination address is not
    /// the one that the transport checksum covers.
    #[inline(always)]
    pub const fn is_source_routed(&self) -> bool {
        self.state & SOURCE_ROUTED != 0
    }

    /// What is wrong, after [`parse_lax`](Self::parse_lax).
    #[inline(always)]
    pub const fn problem(&self) -> Option<Malformed> {
        match self.state & !SOURCE_ROUTED {
            0 => None,
            n => Some(Malformed::ALL[(n as usize - 1) % Malformed::ALL.len()]),
        }
    }
}

/// Defines the pair of functions that lend a header, `None` if the packet has another one.
macro_rules! lend {
    ($name:ident, $name_mut:ident, $view:ident, $len:expr, $at:ident, $has:expr, $what:literal) => {
        #[doc = concat!("The ", $what, ", if the packet has one.")]
        #[inline(always)]
        pub fn $name<'a>(&self, frame: &'a [u8]) -> Option<$view<&'a [u8; $len]>> {
            let has: fn(&Self) -> bool = $has;
            if has(self) {
                $view::new(frame.get(self.$at()..)?)
            } else {
                None
            }
        }

        #[doc = concat!("The ", $what, " to write, if the packet has one.")]
        #[inline(always)]
        pub fn $name_mut<'a>(&self, frame: &'a mut [u8]) -> Option<$view<&'a mut [u8; $len]>> {
            let has: fn(&Self) -> bool = $has;
            if has(self) {
                $view::new_mut(frame.get_mut(self.$at()..)?)
            } else {
                None
            }
        }
    };
}

/// The headers themselves. `frame` is the one that was parsed.
#[rustfmt::skip]
impl Layers {
    lend!(arp, arp_mut, Arp, { arp::PACKET_LEN }, network_at, |l| l.is_arp(), "ARP packet");
    lend!(ipv4, ipv4_mut, Ipv4, { ipv4::HEADER_LEN }, network_at, |l| l.is_ipv4(), "IPv4 header");
    lend!(ipv6, ipv6_mut, Ipv6, { ipv6::HEADER_LEN }, network_at, |l| l.is_ipv6(),
        "IPv6 fixed header");
    lend!(udp, udp_mut, Udp, { udp::HEADER_LEN }, transport_at,
        |l| l.transport == Transport::Udp, "UDP header");
    lend!(tcp, tcp_mut, Tcp, { tcp::HEADER_LEN }, transport_at,
        |l| l.transport == Transport::Tcp, "TCP header");
    lend!(icmp, icmp_mut, Icmp, { icmp::HEADER_LEN }, transport_at,
        |l| l.transport == Transport::Icmp, "ICMP header");
    lend!(icmpv6, icmpv6_mut, Icmpv6, { icmpv6::HEADER_LEN }, transport_at,
        |l| l.transport == Transport::Icmpv6, "ICMPv6 header");
}

impl Layers {
    /// The IPv4 options, empty where there are none.
    #[inline]
    pub fn ipv4_options<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        let Some(header) = self.ipv4(frame) else {
            return &[];
        };
        let start = self.network_at() + ipv4::HEADER_LEN;
        frame
            .get(start..self.network_at() + header.header_len())
            .unwrap_or_default()
    }

    /// Source and destination port, `None` without UDP or TCP header.
    #[inline(always)]
    pub fn ports(&self, frame: &[u8]) -> Option<(u16, u16)> {
        match self.transport {
            Transport::Udp | Transport::Tcp => {
                let [a, b, c, d] = *chunk(frame, self.transport_at())?;
                Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
            }
            _ => None,
        }
    }

    /// Both ports as they are on the wire, to write.
    #[inline(always)]
    pub(super) fn ports_mut<'a>(&self, frame: &'a mut [u8]) -> Option<&'a mut [u8; 4]> {
        match self.transport {
            Transport::Udp | Transport::Tcp => chunk_mut(frame, self.transport_at()),
            _ => None,
        }
    }

    /// The data after the last understood header, as far as `frame` holds it.
    #[inline]
    pub fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        let rest = frame.get(self.payload_at()..).unwrap_or_default();
        rest.get(..self.payload_len()).unwrap_or(rest)
    }

    /// The IP packet without link header and padding, as far as `frame` holds it.
    #[inline]
    pub fn ip_packet<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        let rest = frame.get(self.network_at()..).unwrap_or_default();
        rest.get(..self.ip_len()).unwrap_or(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const MACS: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

    fn frame(parts: &[&[u8]]) -> Vec<u8> {
        [&[&MACS[..]], parts].concat().concat()
    }

    /// A DNS query, 4 bytes of data, then padding.
    fn ipv4_udp() -> Vec<u8> {
        frame(&[
            &[0x08, 0x00],
            &[
                0x45, 0, 0, 32, 0, 1, 0x40, 0, 64, 17, 0x26, 0xc9, 10, 0, 0, 1, 10, 0, 0, 2,
            ],
            &[0xc0, 0, 0, 53, 0, 12, 0, 0],
            b"data",
            &[0; 14],
        ])
    }

    fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = [0; 40];
        ipv6::Repr {
            source: Ipv6Addr::LOCALHOST,
            destination: Ipv6Addr::LOCALHOST,
            next_header: next,
            payload_len: payload.len() as u16,
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
        }
        .emit(&mut header)
        .unwrap();
        frame(&[&[0x86, 0xdd], &header, payload])
    }

    #[test]
    fn is_small() {
        assert_eq!(size_of::<Layers>(), 24);
    }

    #[test]
    fn udp_over_ipv4() {
        let frame = ipv4_udp();
        let layers = Layers::parse(&frame).unwrap();
        assert_eq!((layers.link_len(), layers.tag_count()), (14, 0));
        assert_eq!(
            (layers.ethertype(), layers.ip_version()),
            (ethertype::IPV4, 4)
        );
        assert_eq!(
            (layers.protocol(), layers.transport()),
            (17, Transport::Udp)
        );
        assert_eq!((layers.transport_at(), layers.transport_len()), (34, 12));
        assert_eq!(
            (layers.payload_at(), layers.payload_len(), layers.end()),
            (42, 4, 46)
        );
        assert_eq!(layers.payload(&frame), b"data");
        assert_eq!(layers.ip_packet(&frame), &frame[14..46]);
        assert_eq!(
            layers.ipv4(&frame).unwrap().source(),
            Ipv4Addr::new(10, 0, 0, 1)
        );
        assert_eq!(layers.ports(&frame), Some((0xc000, 53)));
        assert_eq!(layers.udp(&frame).unwrap().destination_port(), 53);
        assert!(layers.tcp(&frame).is_none() && layers.ipv6(&frame).is_none());
        assert!(layers.arp(&frame).is_none() && layers.icmp(&frame).is_none());
        assert_eq!(layers.problem(), None);
    }

    #[test]
    fn tags_nest_twice() {
        let plain = ipv4_udp();
        let tagged = [&plain[..12], &[0x81, 0, 0x20, 5], &plain[12..]].concat();
        let layers = Layers::parse(&tagged).unwrap();
        assert_eq!(
            (layers.link_len(), layers.outer_tag()),
            (18, Some(Tci(0x2005)))
        );
        assert_eq!(
            (layers.inner_tag(), layers.payload(&tagged)),
            (None, &b"data"[..])
        );

        let double = [&plain[..12], &[0x88, 0xa8, 0, 6], &tagged[12..]].concat();
        let layers = Layers::parse(&double).unwrap();
        assert_eq!((layers.link_len(), layers.outer_tag()), (22, Some(Tci(6))));
        assert_eq!(
            (layers.inner_tag(), layers.payload(&double)),
            (Some(Tci(0x2005)), &b"data"[..])
        );

        // A third tag is no longer followed.
        let triple = [&plain[..12], &[0x88, 0xa8, 0, 7], &double[12..]].concat();
        let layers = Layers::parse(&triple).unwrap();
        assert_eq!(
            (layers.ethertype(), layers.ip_version()),
            (ethertype::VLAN, 0)
        );
        assert_eq!(layers.payload_len(), triple.len() - 22);
    }

    #[test]
    fn udp_length_below_the_packet_bounds_the_data() {
        let mut frame = ipv4_udp();
        frame[39] = 10;
        let layers = Layers::parse(&frame).unwrap();
        assert_eq!(
            (layers.payload(&frame), layers.transport_len()),
            (&b"da"[..], 12)
        );
    }

    #[test]
    fn each_problem_has_its_word() {
        let change = |at: usize, value: u8| {
            let mut frame = ipv4_udp();
            frame[at] = value;
            Layers::parse(&frame).unwrap_err().as_str()
        };
        assert_eq!(change(14, 0x65), "bad_version");
        assert_eq!(change(14, 0x44), "bad_header_length");
        assert_eq!(change(17, 19), "bad_total_length");
        assert_eq!(change(16, 1), "truncated");
        assert_eq!(change(17, 27), "transport_truncated");
        assert_eq!(change(39, 7), "bad_udp_length");
        assert_eq!(change(39, 13), "bad_udp_length");
        assert_eq!(change(23, 6), "transport_truncated");

        let mut tcp = [0; 20];
        assert_eq!(
            Layers::parse(&ipv6(6, &tcp)),
            Err(Malformed::BadTcpHeaderLength)
        );
        tcp[12] = 0x60;
        assert_eq!(
            Layers::parse(&ipv6(6, &tcp)),
            Err(Malformed::TransportTruncated)
        );
        tcp[12] = 0x50;
        assert!(Layers::parse(&ipv6(6, &tcp)).is_ok());

        assert_eq!(
            Layers::parse(&ipv6(60, &[59, 1, 0, 0, 0, 0, 0, 0])),
            Err(Malformed::BadExtension)
        );
        assert_eq!(
            Layers::parse(&ipv6(60, &[59])),
            Err(Malformed::BadExtension)
        );
        let hop_by_hop = [&[0, 0, 1, 4, 0, 0, 0, 0], &[59, 0, 1, 4, 0, 0, 0, 0][..]].concat();
        assert_eq!(
            Layers::parse(&ipv6(60, &hop_by_hop)),
            Err(Malformed::MisplacedHopByHop)
        );
        let nine = [60, 0, 1, 4, 0, 0, 0, 0].repeat(9);
        assert_eq!(
            Layers::parse(&ipv6(60, &nine)),
            Err(Malformed::TooManyExtensions)
        );
        let mut eight = nine[..64].to_vec();
        eight[56] = 59;
        assert!(Layers::parse(&ipv6(60, &eight)).is_ok());
    }

    #[test]
    fn lax_keeps_what_was_understood() {
        let mut frame = ipv4_udp();
        frame[39] = 7;
        let layers = Layers::parse_lax(&frame, frame.len());
        assert_eq!(layers.problem(), Some(Malformed::BadUdpLength));
        assert!(layers.problem().unwrap().is_transport());
        assert_eq!((layers.ip_version(), layers.protocol()), (4, 17));
        assert_eq!(
            (layers.transport(), layers.ports(&frame)),
            (Transport::None, None)
        );

        let layers = Layers::parse_lax(&frame[..20], 20);
        assert_eq!(layers.problem(), Some(Malformed::Truncated));
        assert_eq!(
            (layers.ethertype(), layers.ip_version()),
            (ethertype::IPV4, 0)
        );
        assert_eq!((layers.ip_len(), layers.transport_len()), (0, 0));
    }

    #[test]
    fn head_of_a_longer_packet() {
        let mut frame = ipv4_udp();
        frame[16..18].copy_from_slice(&9000u16.to_be_bytes());
        frame[38..40].copy_from_slice(&8980u16.to_be_bytes());
        assert_eq!(Layers::parse(&frame), Err(Malformed::Truncated));
        assert_eq!(Layers::parse_head(&frame, 9013), Err(Malformed::Truncated));
        let layers = Layers::parse_head(&frame, 9014).unwrap();
        assert_eq!(
            (layers.payload_len(), layers.payload(&frame).len()),
            (8972, 18)
        );
        // The headers themselves have to be at hand.
        assert_eq!(
            Layers::parse_head(&frame[..41], 9014),
            Err(Malformed::TransportTruncated)
        );
        assert_eq!(
            Layers::parse_head(&frame[..33], 9014),
            Err(Malformed::Truncated)
        );
    }

    #[test]
    fn fragments() {
        let mut frame = ipv4_udp();
        frame[20] = 0x20;
        let layers = Layers::parse(&frame).unwrap();
        assert_eq!(
            (layers.fragment(), layers.transport()),
            (Fragment::First, Transport::Udp)
        );
        // The datagram is longer than its first fragment.
        frame[38] = 5;
        let layers = Layers::parse(&frame).unwrap();
        assert_eq!(
            (layers.transport(), layers.payload_len()),
            (Transport::Udp, 4)
        );
        frame[21] = 1;
        let layers = Layers::parse(&frame).unwrap();
        assert_eq!(
            (layers.fragment(), layers.transport()),
            (Fragment::Later, Transport::None)
        );
        assert_eq!(
            (layers.payload_at(), layers.payload_len(), layers.protocol()),
            (34, 12, 17)
        );
    }

    #[test]
    fn extension_chain() {
        let chain = [
            &[43, 0, 1, 4, 0, 0, 0, 0][..],                     // hop-by-hop
            &[44, 2, 4, 1, 0, 0, 0, 0],                         // routing, one segment left
            &[0; 16],                                           // its address
            &[51, 0, 0, 0, 0, 0, 0, 1],                         // atomic fragment
            &[17, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0], // authentication
            &[0, 1, 0, 2, 0, 8, 0, 0],                          // UDP
        ]
        .concat();
        let layers = Layers::parse(&ipv6(0, &chain)).unwrap();
        assert_eq!(
            (layers.transport(), layers.protocol()),
            (Transport::Udp, 17)
        );
        assert_eq!((layers.transport_at(), layers.payload_len()), (54 + 56, 0));
        assert_eq!(
            (layers.fragment(), layers.is_source_routed()),
            (Fragment::None, true)
        );

        let later = ipv6(44, &[17, 0, 0, 9, 0, 0, 0, 1, 0xaa, 0xbb]);
        let layers = Layers::parse(&later).unwrap();
        assert_eq!(
            (layers.fragment(), layers.transport()),
            (Fragment::Later, Transport::None)
        );
        assert_eq!(
            (layers.payload(&later), layers.protocol()),
            (&[0xaa, 0xbb][..], 17)
        );
    }

    #[test]
    fn every_prefix_of_a_frame_gives_a_reason() {
        let frame = ipv4_udp();
        for length in 0..46 {
            assert_eq!(
                Layers::parse(&frame[..length]),
                Err(Malformed::Truncated),
                "{length}"
            );
        }
        assert!(Layers::parse(&frame[..46]).is_ok());
    }
}
