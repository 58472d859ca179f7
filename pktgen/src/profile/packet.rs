//! The headers and the payload of a stream, as a profile describes them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Byte, FlowLabel, Long, Mac, Port, V4, V6, Values, VlanId, Word};

/// Headers from the outside in. Without an IP section the packet is UDP over IPv4 between
/// 198.18.0.1 and 198.19.0.1, the addresses that RFC 2544 sets aside for benchmarks.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Packet {
    /// The Ethernet header.
    pub ethernet: Ethernet,
    /// VLAN tags, outermost first; two make QinQ.
    pub vlans: Vec<Vlan>,
    /// The IPv4 header.
    pub ipv4: Option<Ipv4>,
    /// The IPv6 header.
    pub ipv6: Option<Ipv6>,
    /// The UDP header; also the default where an IP section stands alone.
    pub udp: Option<Udp>,
    /// The TCP header.
    pub tcp: Option<Tcp>,
    /// ICMP over IPv4, ICMPv6 over IPv6: an echo message.
    pub icmp: Option<Icmp>,
    /// Bytes before the signature, in hexadecimal digits, an even number of bytes: the header of an
    /// application, for devices that look at it. The same in all packets of the stream.
    pub prefix: String,
    /// What fills the payload behind the signature.
    pub payload: Payload,
}

/// The Ethernet header.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ethernet {
    /// Source address; by default the address of the port that sends.
    pub source: Option<Values<Mac>>,
    /// Destination address; by default that of the gateway if the stream names one, else of the port
    /// that receives, else broadcast.
    pub destination: Option<Values<Mac>>,
    /// EtherType of a packet without IP; given only with neither `ipv4` nor `ipv6`.
    pub ether_type: Option<u16>,
}

/// A VLAN tag.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vlan {
    /// The VLAN identifier.
    pub id: Values<VlanId>,
    /// Priority code point, 0 to 7.
    #[serde(default)]
    pub priority: u8,
    /// Tag protocol: 33024 (0x8100, 802.1Q) by default; 34984 (0x88a8) for the outer tag of 802.1ad.
    #[serde(default = "tpid_8021q")]
    pub tpid: u16,
}

fn tpid_8021q() -> u16 {
    0x8100
}

/// The IPv4 header.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ipv4 {
    /// Source address.
    pub source: Values<V4>,
    /// Destination address.
    pub destination: Values<V4>,
    /// Time to live.
    pub ttl: Values<Byte>,
    /// Differentiated services code point, 0 to 63.
    pub dscp: u8,
    /// Identification field.
    pub identification: Values<Word>,
    /// The don't-fragment flag.
    pub dont_fragment: bool,
    /// Protocol number of a packet with neither UDP, TCP nor ICMP.
    pub protocol: Option<u8>,
}

impl Default for Ipv4 {
    fn default() -> Self {
        Ipv4 {
            source: Values::one(0xc612_0001),
            destination: Values::one(0xc613_0001),
            ttl: Values::one(64),
            dscp: 0,
            identification: Values::one(0),
            dont_fragment: true,
            protocol: None,
        }
    }
}

/// The IPv6 header.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ipv6 {
    /// Source address; by default 2001:2::1, of the benchmark prefix of RFC 5180.
    pub source: Values<V6>,
    /// Destination address; by default 2001:2:0:1::1.
    pub destination: Values<V6>,
    /// Hop limit.
    pub hop_limit: Values<Byte>,
    /// Traffic class, 0 to 255.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: Values<FlowLabel>,
    /// Next-header number of a packet with neither UDP, TCP nor ICMP.
    pub protocol: Option<u8>,
}

impl Default for Ipv6 {
    fn default() -> Self {
        let prefix = 0x2001_0002_u128 << 96;
        Ipv6 {
            source: Values::one(prefix | 1),
            destination: Values::one(prefix | 1 << 64 | 1),
            hop_limit: Values::one(64),
            traffic_class: 0,
            flow_label: Values::one(0),
            protocol: None,
        }
    }
}

/// The UDP header.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Udp {
    /// Source port.
    pub source_port: Values<Port>,
    /// Destination port; by default 9, discard.
    pub destination_port: Values<Port>,
    /// Whether to send a checksum; without one the field is 0, which only IPv4 allows.
    pub checksum: bool,
}

impl Default for Udp {
    fn default() -> Self {
        Udp {
            source_port: Values::one(49152),
            destination_port: Values::one(9),
            checksum: true,
        }
    }
}

/// The TCP header. There is no connection behind it: the numbers are those given here.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tcp {
    /// Source port.
    pub source_port: Values<Port>,
    /// Destination port; by default 80.
    pub destination_port: Values<Port>,
    /// Sequence number.
    pub sequence: Values<Long>,
    /// Acknowledgement number.
    pub acknowledgement: Values<Long>,
    /// Flags, one letter each: `F`in, `S`yn, `R`st, `P`sh, `A`ck, `U`rg, `E`ce, `C`wr.
    pub flags: String,
    /// Window.
    pub window: Values<Word>,
}

impl Default for Tcp {
    fn default() -> Self {
        Tcp {
            source_port: Values::one(49152),
            destination_port: Values::one(80),
            sequence: Values::one(1),
            acknowledgement: Values::one(1),
            flags: "A".into(),
            window: Values::one(65535),
        }
    }
}

/// An ICMP or ICMPv6 echo message.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Icmp {
    /// Request or reply.
    pub kind: IcmpKind,
    /// Identifier.
    pub identifier: Values<Word>,
    /// Sequence number in the ICMP header; the tracked one is in the signature.
    pub sequence: Values<Word>,
}

impl Default for Icmp {
    fn default() -> Self {
        Icmp {
            kind: IcmpKind::EchoRequest,
            identifier: Values::one(1),
            sequence: Values::one(1),
        }
    }
}

/// Which echo message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IcmpKind {
    /// What `ping` sends.
    EchoRequest,
    /// What is sent back.
    EchoReply,
}

/// What fills a payload behind the signature.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Zero bytes.
    #[default]
    Zeros,
    /// The low byte of each byte's offset in the frame.
    Counter,
    /// Bytes that do not compress; the same in each packet.
    Random,
    /// A repeated pattern, in hexadecimal digits.
    Hex(String),
}

impl Packet {
    /// The bytes of `prefix`; `None` if they are not an even number of bytes in hexadecimal digits.
    pub fn prefix_bytes(&self) -> Option<Vec<u8>> {
        if self.prefix.is_empty() {
            return Some(Vec::new());
        }
        unhex(&self.prefix).filter(|bytes| bytes.len() % 2 == 0)
    }
}

/// Bytes of their hexadecimal digits; `None` of none, of other letters, or of an odd number of digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect();
    let digits = digits.filter(|d| !d.is_empty() && d.len() % 2 == 0)?;
    let bytes = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    Some(bytes.collect())
}

impl Payload {
    /// The byte at `offset` of the frame; `pattern` is the decoded form of [`Payload::Hex`].
    pub fn byte(&self, offset: usize, pattern: &[u8]) -> u8 {
        match self {
            Payload::Zeros => 0,
            Payload::Counter => offset as u8,
            Payload::Random => crate::random::mix(offset as u64) as u8,
            Payload::Hex(_) if pattern.is_empty() => 0,
            Payload::Hex(_) => pattern.get(offset % pattern.len()).copied().unwrap_or(0),
        }
    }

    /// The pattern's bytes; `None` if its digits are not an even number of hexadecimal ones. Other
    /// kinds have none.
    pub fn pattern(&self) -> Option<Vec<u8>> {
        match self {
            Payload::Hex(text) => unhex(text),
            _ => Some(Vec::new()),
        }
    }
}
