//! What [`Layers`] says of a frame, and the headers that it lends.

use super::{Fragment, Layers, SOURCE_ROUTED, Transport};
use crate::wire::{
    Arp, Icmp, Icmpv6, Ipv4, Ipv6, Malformed, Tci, Tcp, Udp, arp,
    bytes::{chunk, chunk_mut},
    ethernet::{self, ethertype},
    icmp, icmpv6, ipv4, ipv6, tcp, udp, vlan,
};

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

    /// One past the last byte of the IP or ARP packet; what follows in the frame is padding. Of other
    /// kinds of packet the length is not known, and the frame's end counts.
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
                $view::new(frame.get(self.$at()..self.$at() + $len)?)
            } else {
                None
            }
        }

        #[doc = concat!("The ", $what, " to write, if the packet has one.")]
        #[inline(always)]
        pub fn $name_mut<'a>(&self, frame: &'a mut [u8]) -> Option<$view<&'a mut [u8; $len]>> {
            let has: fn(&Self) -> bool = $has;
            if has(self) {
                $view::new_mut(frame.get_mut(self.$at()..self.$at() + $len)?)
            } else {
                None
            }
        }
    };
}

/// The headers themselves. `frame` is the one that was parsed.
#[rustfmt::skip]
impl Layers {
    lend!(arp, arp_mut, Arp, arp::PACKET_LEN, network_at, |l| l.is_arp(), "ARP packet");
    lend!(ipv4, ipv4_mut, Ipv4, ipv4::HEADER_LEN, network_at, |l| l.is_ipv4(), "IPv4 header");
    lend!(ipv6, ipv6_mut, Ipv6, ipv6::HEADER_LEN, network_at, |l| l.is_ipv6(),
        "IPv6 fixed header");
    lend!(udp, udp_mut, Udp, udp::HEADER_LEN, transport_at,
        |l| l.transport == Transport::Udp, "UDP header");
    lend!(tcp, tcp_mut, Tcp, tcp::HEADER_LEN, transport_at,
        |l| l.transport == Transport::Tcp, "TCP header");
    lend!(icmp, icmp_mut, Icmp, icmp::HEADER_LEN, transport_at,
        |l| l.transport == Transport::Icmp, "ICMP header");
    lend!(icmpv6, icmpv6_mut, Icmpv6, icmpv6::HEADER_LEN, transport_at,
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
    pub(in crate::wire) fn ports_mut<'a>(&self, frame: &'a mut [u8]) -> Option<&'a mut [u8; 4]> {
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
