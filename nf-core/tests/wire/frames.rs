//! Arbitrary sound frames, their headers and checksums written by `etherparse`.

use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpFragOffset, IpNumber,
    Ipv4Header, Ipv4Options, Ipv6Header, TcpHeader, UdpHeader,
};
use proptest::{collection::vec, prelude::*};

/// Where a packet stands among its fragments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Piece {
    Whole,
    First,
    Later,
}

/// What comes after the network headers.
#[derive(Clone, Debug)]
pub enum Inner {
    Udp {
        ports: (u16, u16),
        checksum: bool,
        spare: usize,
    },
    Tcp {
        ports: (u16, u16),
        options: usize,
        flags: u8,
    },
    /// ICMP or ICMPv6, whichever fits.
    Echo {
        id: u16,
        sequence: u16,
        reply: bool,
    },
    Other(u8),
}

/// An IPv6 extension header.
#[derive(Clone, Debug)]
pub enum Extension {
    Options(u8),
    Routing {
        units: u8,
        segments_left: u8,
    },
    Authentication(u8),
    /// A fragment header that does not make a fragment.
    Atomic,
}

#[derive(Clone, Debug)]
pub enum Net {
    V4 {
        addresses: [[u8; 4]; 2],
        options: usize,
        class: u8,
        ttl: u8,
        id: u16,
    },
    V6 {
        addresses: [[u8; 16]; 2],
        hop_by_hop: bool,
        chain: Vec<Extension>,
        class: u8,
        ttl: u8,
    },
}

/// The plan of a frame.
#[derive(Clone, Debug)]
pub struct Plan {
    pub tags: Vec<(bool, u16)>,
    pub net: Net,
    pub piece: Piece,
    pub inner: Inner,
    pub payload: Vec<u8>,
    pub padding: usize,
}

pub fn net() -> impl Strategy<Value = Net> {
    let extension = prop_oneof![
        3 => (0u8..4).prop_map(Extension::Options),
        1 => (0u8..4, 0u8..3)
            .prop_map(|(units, segments_left)| Extension::Routing { units, segments_left }),
        1 => (1u8..5).prop_map(Extension::Authentication),
        1 => Just(Extension::Atomic),
    ];
    prop_oneof![
        (
            any::<[[u8; 4]; 2]>(),
            0usize..=10,
            any::<u8>(),
            any::<u8>(),
            any::<u16>()
        )
            .prop_map(|(addresses, options, class, ttl, id)| Net::V4 {
                addresses,
                options,
                class,
                ttl,
                id
            }),
        (
            any::<[[u8; 16]; 2]>(),
            any::<bool>(),
            prop_oneof![Just(vec![]), vec(extension, 0..6)],
            any::<u8>(),
            any::<u8>()
        )
            .prop_map(|(addresses, hop_by_hop, chain, class, ttl)| Net::V6 {
                addresses,
                hop_by_hop: hop_by_hop && !chain.is_empty(),
                chain,
                class,
                ttl
            }),
    ]
}

pub fn inner() -> impl Strategy<Value = Inner> {
    prop_oneof![
        4 => (any::<(u16, u16)>(), any::<bool>(), prop_oneof![Just(0), 0usize..5])
            .prop_map(|(ports, checksum, spare)| Inner::Udp { ports, checksum, spare }),
        4 => (any::<(u16, u16)>(), 0usize..=10, any::<u8>())
            .prop_map(|(ports, options, flags)| Inner::Tcp { ports, options, flags }),
        2 => any::<(u16, u16, bool)>()
            .prop_map(|(id, sequence, reply)| Inner::Echo { id, sequence, reply }),
        1 => prop_oneof![Just(47), Just(50), Just(59), Just(132)].prop_map(Inner::Other),
    ]
}

pub fn plan() -> impl Strategy<Value = Plan> {
    let piece =
        prop_oneof![6 => Just(Piece::Whole), 1 => Just(Piece::First), 1 => Just(Piece::Later)];
    let payload = prop_oneof![4 => vec(any::<u8>(), 1..70), 1 => vec(any::<u8>(), 1300..1310),
        1 => Just(vec![])];
    (
        vec(any::<(bool, u16)>(), 0..=2),
        net(),
        piece,
        inner(),
        payload,
        0usize..9,
    )
        .prop_map(|(tags, net, piece, inner, payload, padding)| Plan {
            tags,
            net,
            piece,
            inner,
            payload,
            padding,
        })
}

/// A plan of a packet that is not a fragment.
pub fn whole_plan() -> impl Strategy<Value = Plan> {
    plan().prop_map(|plan| Plan {
        piece: Piece::Whole,
        ..plan
    })
}

impl Plan {
    /// Whether a routing header with segments left hides the last destination.
    pub fn is_source_routed(&self) -> bool {
        matches!(&self.net, Net::V6 { chain, .. } if chain.iter().any(
            |extension| matches!(extension, Extension::Routing { segments_left: 1.., .. })))
    }

    /// Transport header and data, with the number of their protocol.
    fn transport(&self) -> (u8, Vec<u8>) {
        let payload = &self.payload;
        match &self.inner {
            Inner::Udp {
                ports,
                checksum,
                spare,
            } => {
                let mut header = UdpHeader {
                    source_port: ports.0,
                    destination_port: ports.1,
                    length: (8 + payload.len()) as u16,
                    checksum: 0,
                };
                header.checksum = match &self.net {
                    Net::V4 { .. } if !checksum => 0,
                    Net::V4 {
                        addresses: [from, to],
                        ..
                    } => header.calc_checksum_ipv4_raw(*from, *to, payload).unwrap(),
                    Net::V6 {
                        addresses: [from, to],
                        ..
                    } => header.calc_checksum_ipv6_raw(*from, *to, payload).unwrap(),
                };
                // The IP packet may be longer than the datagram in it.
                (
                    17,
                    [&header.to_bytes(), &payload[..], &vec![0xee; *spare]].concat(),
                )
            }
            Inner::Tcp {
                ports,
                options,
                flags,
            } => {
                let mut header = TcpHeader::new(ports.0, ports.1, 0x0102_0304, 0x1000);
                header.set_options_raw(&vec![1; options * 4]).unwrap();
                (header.syn, header.ack) = (flags & 1 != 0, flags & 2 != 0);
                (header.cwr, header.fin) = (flags & 4 != 0, flags & 8 != 0);
                header.checksum = match &self.net {
                    Net::V4 {
                        addresses: [from, to],
                        ..
                    } => header.calc_checksum_ipv4_raw(*from, *to, payload).unwrap(),
                    Net::V6 {
                        addresses: [from, to],
                        ..
                    } => header.calc_checksum_ipv6_raw(*from, *to, payload).unwrap(),
                };
                (6, [&header.to_bytes(), &payload[..]].concat())
            }
            Inner::Echo {
                id,
                sequence,
                reply,
            } => {
                let echo = IcmpEchoHeader {
                    id: *id,
                    seq: *sequence,
                };
                match &self.net {
                    Net::V4 { .. } => {
                        let kind = match reply {
                            true => Icmpv4Type::EchoReply(echo),
                            false => Icmpv4Type::EchoRequest(echo),
                        };
                        let header = Icmpv4Header::with_checksum(kind, payload);
                        (1, [&header.to_bytes(), &payload[..]].concat())
                    }
                    Net::V6 {
                        addresses: [from, to],
                        ..
                    } => {
                        let kind = match reply {
                            true => Icmpv6Type::EchoReply(echo),
                            false => Icmpv6Type::EchoRequest(echo),
                        };
                        let header =
                            Icmpv6Header::with_checksum(kind, *from, *to, payload).unwrap();
                        (58, [&header.to_bytes(), &payload[..]].concat())
                    }
                }
            }
            Inner::Other(protocol) => (*protocol, payload.clone()),
        }
    }

    pub fn frame(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        for (service, tci) in &self.tags {
            frame.extend(if *service { [0x88, 0xa8] } else { [0x81, 0x00] });
            frame.extend(tci.to_be_bytes());
        }
        let (protocol, transport) = self.transport();
        match &self.net {
            Net::V4 {
                addresses: [source, destination],
                options,
                class,
                ttl,
                id,
            } => {
                frame.extend([0x08, 0x00]);
                let mut header = Ipv4Header {
                    time_to_live: *ttl,
                    protocol: IpNumber(protocol),
                    source: *source,
                    destination: *destination,
                    identification: *id,
                    options: Ipv4Options::try_from(&vec![1; options * 4][..]).unwrap(),
                    more_fragments: self.piece == Piece::First,
                    dont_fragment: self.piece == Piece::Whole,
                    fragment_offset: IpFragOffset::try_new(if self.piece == Piece::Later {
                        185
                    } else {
                        0
                    })
                    .unwrap(),
                    ..Default::default()
                };
                header.dscp = (class >> 2).try_into().unwrap();
                header.ecn = (class & 3).try_into().unwrap();
                header.set_payload_len(transport.len()).unwrap();
                header.header_checksum = header.calc_header_checksum();
                frame.extend(header.to_bytes());
            }
            Net::V6 {
                addresses: [source, destination],
                hop_by_hop,
                chain,
                class,
                ttl,
            } => {
                frame.extend([0x86, 0xdd]);
                let mut kinds = vec![];
                let mut bodies: Vec<Vec<u8>> = vec![];
                let options = |units: u8| {
                    [&[0, units, 1, 4], &vec![0; 4 + usize::from(units) * 8][..]].concat()
                };
                if *hop_by_hop {
                    kinds.push(0);
                    bodies.push(options(0));
                }
                for extension in chain {
                    let (kind, body) = match *extension {
                        Extension::Options(units) => (60, options(units)),
                        Extension::Routing {
                            units,
                            segments_left,
                        } => {
                            let mut body = options(units);
                            (body[2], body[3]) = (4, segments_left);
                            (43, body)
                        }
                        Extension::Authentication(icv) => (
                            51,
                            [&[0, icv + 1], &vec![0; 10 + usize::from(icv) * 4][..]].concat(),
                        ),
                        Extension::Atomic => (44, vec![0, 0, 0, 0, 0, 0, 0, 1]),
                    };
                    kinds.push(kind);
                    bodies.push(body);
                }
                if self.piece != Piece::Whole {
                    kinds.push(44);
                    let word = if self.piece == Piece::Later {
                        185 << 3
                    } else {
                        1u16
                    };
                    let [a, b] = word.to_be_bytes();
                    bodies.push(vec![0, 0, a, b, 0, 0, 0, 1]);
                }
                kinds.push(protocol);
                let length = bodies.iter().map(Vec::len).sum::<usize>() + transport.len();
                let header = Ipv6Header {
                    traffic_class: *class,
                    flow_label: 0x12345.try_into().unwrap(),
                    payload_length: length as u16,
                    next_header: IpNumber(kinds[0]),
                    hop_limit: *ttl,
                    source: *source,
                    destination: *destination,
                };
                frame.extend(header.to_bytes());
                for (body, next) in bodies.iter_mut().zip(&kinds[1..]) {
                    body[0] = *next;
                    frame.extend(&*body);
                }
            }
        }
        frame.extend(&transport);
        // A payload length of zero makes the other parser take the padding for data.
        if !matches!(self.net, Net::V6 { .. }) || !transport.is_empty() {
            frame.extend(vec![0x5a; self.padding]);
        }
        frame
    }
}
