//! From a packet description to header bytes, and to where its varying fields lie in them.

use crate::profile::packet::{IcmpKind, Packet};

use super::{Sequence, TemplateError};

/// A field's place in the header bytes: the low `bits` of the `bytes` bytes at `offset`, big-endian.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub values: Sequence,
    pub offset: usize,
    pub bytes: usize,
    pub bits: u32,
}

impl Place {
    /// Writes `value` into `image`.
    pub fn write(&self, image: &mut [u8], value: u128) {
        let Some(field) = image.get_mut(self.offset..self.offset + self.bytes) else {
            return;
        };
        let mask = if self.bits >= 128 {
            u128::MAX
        } else {
            (1 << self.bits) - 1
        };
        let old = field.iter().fold(0u128, |v, &b| v << 8 | u128::from(b));
        let new = (old & !mask) | (value & mask);
        let bytes = new.to_be_bytes();
        field.copy_from_slice(&bytes[16 - self.bytes..]);
    }
}

/// Which transport, as far as lengths and checksums differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp { checksum: bool },
    Tcp,
    Icmp,
    Icmpv6,
    None,
}

/// Header bytes and the offsets that the writer needs. All offsets are even.
#[derive(Debug, Clone)]
pub(super) struct Headers {
    pub image: Vec<u8>,
    pub places: Vec<Place>,
    /// Start of the IP header, or of the payload if there is none.
    pub l3: usize,
    pub version: Version,
    pub protocol: u8,
    /// Start of the transport header.
    pub l4: usize,
    pub transport: Transport,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
    None,
}

/// Addresses that the port supplies where the packet names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacDefaults {
    /// Source address.
    pub source: [u8; 6],
    /// Destination address.
    pub destination: [u8; 6],
}

struct Builder {
    image: Vec<u8>,
    places: Vec<Place>,
}

impl Builder {
    fn bytes(&mut self, bytes: &[u8]) {
        self.image.extend_from_slice(bytes);
    }

    /// Appends a field of `bytes` bytes with the values' first value, and remembers it if it varies.
    fn field(&mut self, values: &Sequence, bytes: usize) {
        let offset = self.image.len();
        self.image.resize(offset + bytes, 0);
        self.place(values, offset, bytes, bytes as u32 * 8);
    }

    fn place(&mut self, values: &Sequence, offset: usize, bytes: usize, bits: u32) {
        let place = Place {
            values: values.clone(),
            offset,
            bytes,
            bits,
        };
        place.write(&mut self.image, values.value(0, 0));
        if values.len() > 1 {
            self.places.push(place);
        }
    }
}

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMPV6: u8 = 58;
/// Reserved for experiments (RFC 3692): what an IP packet without transport carries by default.
const PROTOCOL_EXPERIMENT: u8 = 253;
/// Local experimental EtherType (IEEE 802): what a packet without IP carries by default.
const ETHER_TYPE_EXPERIMENT: u16 = 0x88b5;

pub(super) fn build(packet: &Packet, macs: &MacDefaults) -> Result<Headers, TemplateError> {
    let no_ip = packet.ipv4.is_none() && packet.ipv6.is_none();
    let transports = [
        packet.udp.is_some(),
        packet.tcp.is_some(),
        packet.icmp.is_some(),
    ];
    if packet.ipv4.is_some() && packet.ipv6.is_some() {
        return Err(TemplateError::Conflict("`ipv4` and `ipv6`"));
    }
    if transports.iter().filter(|&&t| t).count() > 1 {
        return Err(TemplateError::Conflict(
            "more than one of `udp`, `tcp` and `icmp`",
        ));
    }
    if packet.ethernet.ether_type.is_some() && (!no_ip || transports.contains(&true)) {
        return Err(TemplateError::Conflict("`ether_type` and an IP packet"));
    }
    let protocol_given = packet.ipv4.as_ref().is_some_and(|ip| ip.protocol.is_some())
        || packet.ipv6.as_ref().is_some_and(|ip| ip.protocol.is_some());
    if protocol_given && transports.contains(&true) {
        return Err(TemplateError::Conflict("`protocol` and a transport header"));
    }

    let default_v4 = crate::profile::packet::Ipv4::default();
    let default_udp = crate::profile::packet::Udp::default();
    let raw = packet.ethernet.ether_type;
    let ipv4 = match (&packet.ipv4, &packet.ipv6, raw) {
        (None, None, None) => Some(&default_v4),
        (ipv4, _, _) => ipv4.as_ref(),
    };
    let ipv6 = packet.ipv6.as_ref();
    let udp = match &packet.udp {
        None if raw.is_none() && !protocol_given && !transports.contains(&true) => {
            Some(&default_udp)
        }
        udp => udp.as_ref(),
    };

    let mut b = Builder {
        image: Vec::with_capacity(128),
        places: Vec::new(),
    };
    let mac = |bytes: [u8; 6]| Sequence::One(bytes.iter().fold(0, |v, &b| v << 8 | u128::from(b)));
    let destination = packet
        .ethernet
        .destination
        .as_ref()
        .map(|v| v.sequence.clone());
    let source = packet.ethernet.source.as_ref().map(|v| v.sequence.clone());
    b.field(&destination.unwrap_or_else(|| mac(macs.destination)), 6);
    b.field(&source.unwrap_or_else(|| mac(macs.source)), 6);
    for vlan in &packet.vlans {
        if vlan.priority > 7 {
            return Err(TemplateError::Range("`priority`", "0 to 7"));
        }
        b.bytes(&vlan.tpid.to_be_bytes());
        let offset = b.image.len();
        b.bytes(&(u16::from(vlan.priority) << 13).to_be_bytes());
        b.place(&vlan.id.sequence, offset, 2, 12);
    }
    let ether_type = match (ipv4, ipv6) {
        (Some(_), _) => 0x0800,
        (_, Some(_)) => 0x86dd,
        _ => raw.unwrap_or(ETHER_TYPE_EXPERIMENT),
    };
    b.bytes(&ether_type.to_be_bytes());

    let v6 = ipv6.is_some();
    let transport = match (&packet.tcp, &packet.icmp, udp) {
        (Some(_), _, _) => Transport::Tcp,
        (_, Some(_), _) if v6 => Transport::Icmpv6,
        (_, Some(_), _) => Transport::Icmp,
        (_, _, Some(udp)) => Transport::Udp {
            checksum: udp.checksum,
        },
        _ => Transport::None,
    };
    if v6 && transport == (Transport::Udp { checksum: false }) {
        return Err(TemplateError::Conflict(
            "UDP over IPv6 and `checksum: false` (RFC 8200)",
        ));
    }
    let protocol = match transport {
        Transport::Udp { .. } => PROTOCOL_UDP,
        Transport::Tcp => PROTOCOL_TCP,
        Transport::Icmp => PROTOCOL_ICMP,
        Transport::Icmpv6 => PROTOCOL_ICMPV6,
        Transport::None => ipv4
            .and_then(|ip| ip.protocol)
            .or(ipv6.and_then(|ip| ip.protocol))
            .unwrap_or(PROTOCOL_EXPERIMENT),
    };

    let l3 = b.image.len();
    if let Some(ip) = ipv4 {
        if ip.dscp > 63 {
            return Err(TemplateError::Range("`dscp`", "0 to 63"));
        }
        b.bytes(&[0x45, ip.dscp << 2, 0, 0]);
        b.field(&ip.identification.sequence, 2);
        b.bytes(if ip.dont_fragment {
            &[0x40, 0]
        } else {
            &[0, 0]
        });
        b.field(&ip.ttl.sequence, 1);
        b.bytes(&[protocol, 0, 0]);
        b.field(&ip.source.sequence, 4);
        b.field(&ip.destination.sequence, 4);
    } else if let Some(ip) = ipv6 {
        let offset = b.image.len();
        b.bytes(&(6 << 28 | u32::from(ip.traffic_class) << 20).to_be_bytes());
        b.place(&ip.flow_label.sequence, offset, 4, 20);
        b.bytes(&[0, 0, protocol]);
        b.field(&ip.hop_limit.sequence, 1);
        b.field(&ip.source.sequence, 16);
        b.field(&ip.destination.sequence, 16);
    }

    let l4 = b.image.len();
    if let (Transport::Udp { .. }, Some(udp)) = (transport, udp) {
        b.field(&udp.source_port.sequence, 2);
        b.field(&udp.destination_port.sequence, 2);
        b.bytes(&[0; 4]);
    }
    if let Some(tcp) = &packet.tcp {
        b.field(&tcp.source_port.sequence, 2);
        b.field(&tcp.destination_port.sequence, 2);
        b.field(&tcp.sequence.sequence, 4);
        b.field(&tcp.acknowledgement.sequence, 4);
        b.bytes(&[0x50, tcp_flags(&tcp.flags)?]);
        b.field(&tcp.window.sequence, 2);
        b.bytes(&[0; 4]);
    }
    if let Some(icmp) = &packet.icmp {
        let kind = match (icmp.kind, v6) {
            (IcmpKind::EchoRequest, false) => 8,
            (IcmpKind::EchoReply, false) => 0,
            (IcmpKind::EchoRequest, true) => 128,
            (IcmpKind::EchoReply, true) => 129,
        };
        b.bytes(&[kind, 0, 0, 0]);
        b.field(&icmp.identifier.sequence, 2);
        b.field(&icmp.sequence.sequence, 2);
    }
    let version = match (ipv4, ipv6) {
        (Some(_), _) => Version::V4,
        (_, Some(_)) => Version::V6,
        _ => Version::None,
    };
    Ok(Headers {
        image: b.image,
        places: b.places,
        l3,
        version,
        protocol,
        l4,
        transport,
    })
}

fn tcp_flags(text: &str) -> Result<u8, TemplateError> {
    text.chars()
        .try_fold(0, |flags, letter| match "FSRPAUEC".find(letter) {
            Some(bit) => Ok(flags | 1 << bit),
            None => Err(TemplateError::Range("`flags`", "letters of FSRPAUEC")),
        })
}
