//! Why the `route` stage drops packets, and what it counts.

use crate::telemetry::CounterDesc;
use crate::wire::Malformed;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $word:literal,)*) => {
        /// The words, by index.
        pub const REASONS: &[&str] = &[$($word),*];

        /// Indexes into [`REASONS`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }
    };
}

reasons! {
    /// The frame is for another station.
    NotForUs "not_for_us",
    /// Sent to all stations, but the IP packet is for one host (RFC 1122, section 3.3.6).
    LinkBroadcast "link_broadcast",
    /// It has a VLAN tag.
    Vlan "vlan",
    /// Neither IP nor ARP.
    UnknownEthertype "unknown_ethertype",
    /// The frame ends inside a header, or before its IP length says.
    Truncated "truncated",
    /// The IP version is not the one that the Ethernet type announced.
    BadVersion "bad_version",
    /// The IPv4 header length is below 20 bytes.
    BadHeaderLength "bad_header_length",
    /// The IPv4 total length is below that of its header.
    BadTotalLength "bad_total_length",
    /// The IPv4 header's checksum, or that of a message for the router itself, is wrong.
    BadChecksum "bad_checksum",
    /// From an address that no packet on a link may have.
    MartianSource "martian_source",
    /// To an address that no packet on a link may have.
    MartianDestination "martian_destination",
    /// A link-local address must not be forwarded.
    LinkLocal "link_local",
    /// To a group; multicast is not routed.
    Multicast "multicast",
    /// To all hosts of a network.
    Broadcast "broadcast",
    /// No prefix matches.
    NoRoute "no_route",
    /// A route says so.
    Blackhole "blackhole",
    /// The TTL or hop limit ran out here.
    TtlExceeded "ttl_exceeded",
    /// Too long for the next link, and must not be fragmented.
    TooBig "too_big",
    /// Its fragments went on in its place.
    Fragmented "fragmented",
    /// The next hop does not answer.
    Unresolved "unresolved",
    /// Too many packets wait for a next hop, or too many next hops are asked for.
    ResolveLimit "resolve_limit",
    /// For the router itself, which has no such service.
    NoService "no_service",
    /// For the router itself, which has taken notice: an answer to its request, an error message.
    Consumed "consumed",
    /// An ARP request or solicitation for an address that is not the router's.
    NotOurAddress "not_our_address",
    /// An ARP packet that makes no sense.
    BadArp "bad_arp",
    /// A neighbor discovery message that must be discarded.
    BadNd "bad_nd",
    /// The packet pool is exhausted.
    NoBuffer "no_buffer",
}

impl Reason {
    /// The reason for a header that the router needs and that is wrong.
    pub const fn of(problem: Malformed) -> Reason {
        match problem {
            Malformed::BadVersion => Reason::BadVersion,
            Malformed::BadHeaderLength => Reason::BadHeaderLength,
            Malformed::BadTotalLength => Reason::BadTotalLength,
            _ => Reason::Truncated,
        }
    }
}

macro_rules! counters {
    ($($name:ident $word:literal $help:literal,)*) => {
        /// The stage's own counters, by index.
        pub const COUNTERS: &[CounterDesc] = &[$(CounterDesc { name: $word, help: $help }),*];

        /// Indexes into [`COUNTERS`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Count {
            $($name,)*
        }
    };
}

counters! {
    Forwarded "forwarded" "Packets routed to a port.",
    ArpReplies "arp_replies" "ARP requests for own addresses, answered.",
    Adverts "neighbor_adverts" "Neighbor solicitations for own addresses, answered.",
    EchoReplies "echo_replies" "Echo requests to own addresses, answered.",
    Requests "requests" "ARP requests and neighbor solicitations sent.",
    RequestsLimited "requests_limited" "Requests not sent because of the limit a second.",
    IcmpErrors "icmp_errors" "ICMP errors sent.",
    IcmpLimited "icmp_limited" "ICMP errors not sent because of the limit a second.",
    Learned "neighbours_learned" "Neighbours that answered or made themselves known.",
    TableFull "neighbours_full" "Neighbours not remembered because there was no room.",
    Conflicts "address_conflicts" "Packets of other stations that claim an own address.",
    Fragments "fragments" "Fragments made of packets too long for the next link.",
}
