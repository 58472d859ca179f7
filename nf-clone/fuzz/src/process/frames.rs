//! Frames of clients and servers, and what scripts do to them.

use std::net::{IpAddr, SocketAddr};

use nf_clone::wire::{Flags, Header, Kind, compat28};
use nf_core::wire::{
    Layers, MacAddr, ethernet, ethertype, fill_ipv4_checksum, fill_transport_checksum, ipv4, ipv6,
    protocol, udp,
};

use super::rack::{OUR_MACS, Rack, SIDS, Wire};

/// Kinds of v1 for bytes that choose one that fits badly.
const KINDS: [Kind; 8] = [
    Kind::Request,
    Kind::Response,
    Kind::WriteRequest,
    Kind::WriteResponse,
    Kind::Ping,
    Kind::Pong,
    Kind::Config,
    Kind::Nack,
];

/// Lengths of what follows a header.
const BODIES: [usize; 8] = [8, 8, 0, 1, 64, 600, 1400, 3000];

/// A UDP datagram as a frame, with right checksums.
pub fn datagram(
    (from_mac, to_mac): (MacAddr, MacAddr),
    from: SocketAddr,
    to: SocketAddr,
    ttl: u8,
    payload: &[u8],
) -> Vec<u8> {
    const ROOM: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN + udp::HEADER_LEN;
    let mut frame = vec![0; ROOM + payload.len()];
    let udp_len = (udp::HEADER_LEN + payload.len()) as u16;
    let written = || -> Option<usize> {
        let at = ethernet::HEADER_LEN;
        let (kind, network) = match (from.ip(), to.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = ipv4::Repr {
                    source,
                    destination,
                    protocol: protocol::UDP,
                    payload_len: udp_len,
                    ttl,
                    traffic_class: 0,
                    identification: 7,
                    dont_fragment: false,
                };
                (ethertype::IPV4, header.emit(&mut frame[at..])?)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = ipv6::Repr {
                    source,
                    destination,
                    next_header: protocol::UDP,
                    payload_len: udp_len,
                    hop_limit: ttl,
                    traffic_class: 0,
                    flow_label: 0,
                };
                (ethertype::IPV6, header.emit(&mut frame[at..])?)
            }
            _ => return None,
        };
        ethernet::write(&mut frame, to_mac, from_mac, kind)?;
        let at = at + network;
        udp::write(
            &mut frame[at..],
            from.port(),
            to.port(),
            payload.len() as u16,
        )?;
        let at = at + udp::HEADER_LEN;
        frame[at..at + payload.len()].copy_from_slice(payload);
        Some(at + payload.len())
    };
    let length = { written }();
    frame.truncate(length.unwrap_or(0));
    mend(&mut frame);
    frame
}

/// Makes the checksums of a frame right.
pub fn mend(frame: &mut [u8]) {
    let layers = Layers::parse_lax(frame, frame.len());
    fill_ipv4_checksum(frame, &layers);
    fill_transport_checksum(frame, &layers);
}

/// A client's message.
pub fn ask(rack: &Rack, with: [u8; 7]) -> Vec<u8> {
    let [how, group, sizes, who, seq, odd, kind] = with;
    let body = BODIES[usize::from(who >> 2 & 7)];
    let payload = match rack.wire {
        Wire::V1 => {
            let (client, seq) = (u32::from(who & 3) + 1, u32::from(seq));
            let header = Header {
                flags: Flags(how & 15),
                clo: [0, 0, 1, 2][usize::from(odd >> 4 & 3)],
                idx: sizes & 15,
                swid: [0, 0, 1, 7][usize::from(odd & 3)],
                grp: group.into(),
                pkt_idx: who >> 5,
                pkt_cnt: 1 + (sizes >> 4),
                cfg_gen: [0, 0, 1, 2][usize::from(odd >> 2 & 3)],
                req_id: match odd >> 6 {
                    0 => 0,
                    1 => u64::from(client) << 32 | u64::from(seq),
                    2 => 1 << 48 | u64::from(seq),
                    _ => seq.into(),
                },
                client_id: client,
                client_seq: seq,
                ..Header::new(match kind {
                    0..192 => Kind::Request,
                    _ => KINDS[usize::from(kind % 8)],
                })
            };
            with_body(&header.encode(), body)
        }
        Wire::Compat28 => {
            let header = compat28::Header {
                kind: match kind {
                    0..192 => Kind::Request,
                    _ => KINDS[usize::from(kind % 4)],
                },
                seq: seq.into(),
                grp: group.into(),
                sid: 0,
                load: 0,
                clo: [0, 0, 1, 2][usize::from(odd >> 4 & 3)],
                idx: (sizes & 15).into(),
            };
            with_body(&header.encode(), body)
        }
        Wire::Memcached => {
            let text: &[u8] = match group % 12 {
                0..=3 => b"get key\r\n",
                4 => b"gets key other\r\n",
                5 => b"mg key v q\r\n",
                6 => b"set key 0 0 1\r\nx\r\n",
                7 => b"mg key T30\r\n",
                8 => b"version\r\n",
                9 => b"get a\r\nget b\r\n",
                10 => &[
                    0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'k',
                ],
                _ => b"",
            };
            let part = if odd & 1 == 0 {
                [0, 1]
            } else {
                [sizes & 15, sizes >> 4]
            };
            [&[0, seq & 7, 0, part[0], 0, part[1], 0, 0], text].concat()
        }
        Wire::Dns => {
            let flags = match kind {
                0..192 => 1,
                _ => kind,
            };
            let counts = [0, 1, 0, 0, 0, 0, 0, odd & 1];
            let name: &[u8] = match group % 4 {
                0 | 1 => b"\x03wWw\x07example\0\0\x01\0\x01",
                2 => b"\x01a\0\0\x01\0\x01",
                _ => b"\xc0\x0c\0\x01\0\x01",
            };
            [&[0, seq & 7, flags, 0][..], &counts, name].concat()
        }
        Wire::Flow => with_body(&[seq], body),
    };
    let ttl = [64, 64, 2, 1][usize::from(how >> 4 & 3)];
    let destination = match how & 0x40 {
        0 => SocketAddr::new(rack.vip(), rack.port()),
        _ => SocketAddr::new(rack.server(usize::from(group % 4)), rack.server_port()),
    };
    let (macs, source) = match how & 0x80 {
        0 => ((Rack::client_mac(who), OUR_MACS[0]), rack.client(who)),
        // A server is a client of the service.
        _ => {
            let place = usize::from(who & 3);
            ((Rack::server_mac(place), OUR_MACS[1]), rack.server(place))
        }
    };
    let port = 50_000 + u16::from(who & 3);
    datagram(
        macs,
        SocketAddr::new(source, port),
        destination,
        ttl,
        &payload,
    )
}

/// What the server that a datagram went to answers, if it understands it.
pub fn answer(rack: &Rack, asked: &[u8], with: [u8; 7]) -> Option<Vec<u8>> {
    let [_, who, load, part, kind, flags, fields] = with;
    let layers = Layers::parse_lax(asked, asked.len());
    let (from, to) = layers.ports(asked)?;
    let (source, destination) = ends(asked, &layers)?;
    let told = layers.payload(asked);
    let right = (0..SIDS.len()).find(|&place| rack.server(place) == destination);
    let place = match who & 0x80 {
        0 => right.unwrap_or(usize::from(who % 4)),
        _ => usize::from(who % 4),
    };
    let parts = (part & 15, (part >> 4) + 1);
    let payload = match rack.wire {
        Wire::V1 => {
            let (header, at) = Header::decode(told).ok()?;
            let kind = match (kind, header.kind) {
                (200.., _) => KINDS[usize::from(kind % 8)],
                (_, Kind::WriteRequest) => Kind::WriteResponse,
                (_, Kind::Ping) => Kind::Pong,
                _ => Kind::Response,
            };
            let changed = Header {
                kind,
                flags: Flags(header.flags.0 ^ flags & 15),
                sid: match who & 0x40 {
                    0 => SIDS[place].into(),
                    _ => u16::from(who & 63) * 61,
                },
                load: loads(load),
                pkt_idx: if part == 0 { header.pkt_idx } else { parts.0 },
                pkt_cnt: if part == 0 { header.pkt_cnt } else { parts.1 },
                idx: if fields & 0x80 == 0 {
                    header.idx
                } else {
                    fields & 15
                },
                clo: if fields & 0x40 == 0 {
                    header.clo
                } else {
                    fields & 3
                },
                ..header
            };
            [&changed.encode()[..], told.get(at..)?].concat()
        }
        Wire::Compat28 => {
            let header = compat28::Header::decode(told).ok()?;
            let changed = compat28::Header {
                kind: match (kind, header.kind) {
                    (200.., _) => KINDS[usize::from(kind % 4)],
                    (_, Kind::WriteRequest) => Kind::WriteResponse,
                    _ => Kind::Response,
                },
                sid: match who & 0x40 {
                    0 => SIDS[place].into(),
                    _ => u32::from(who & 63) * 61,
                },
                load: loads(load).into(),
                idx: if fields & 0x80 == 0 {
                    header.idx
                } else {
                    (fields & 15).into()
                },
                clo: if fields & 0x40 == 0 {
                    header.clo
                } else {
                    fields % 3
                },
                ..header
            };
            [&changed.encode()[..], told.get(compat28::HEADER_LEN..)?].concat()
        }
        Wire::Memcached => {
            let (id, _) = told.split_first_chunk::<2>()?;
            let of = if part == 0 { (0, 1) } else { parts };
            [&id[..], &[0, of.0, 0, of.1, 0, 0], b"END\r\n"].concat()
        }
        Wire::Dns => {
            let mut reply = told.to_vec();
            *reply.get_mut(2)? |= 0x80;
            *reply.get_mut(3)? ^= flags & 0x8f;
            reply
        }
        Wire::Flow => told.to_vec(),
    };
    let server = SocketAddr::new(rack.server(place), to);
    let client = SocketAddr::new(source, from);
    let macs = (Rack::server_mac(place), OUR_MACS[1]);
    Some(datagram(macs, server, client, 64, &payload))
}

/// Where a packet comes from and goes to.
pub fn ends(frame: &[u8], layers: &Layers) -> Option<(IpAddr, IpAddr)> {
    if let Some(header) = layers.ipv4(frame) {
        return Some((header.source().into(), header.destination().into()));
    }
    let header = layers.ipv6(frame)?;
    Some((header.source().into(), header.destination().into()))
}

/// Mostly short queues; sometimes what no queue is.
fn loads(byte: u8) -> u16 {
    match byte {
        0..200 => (byte % 4).into(),
        200..220 => 0x8000,
        220..240 => 0xfffe,
        _ => 0xffff,
    }
}

fn with_body(header: &[u8], length: usize) -> Vec<u8> {
    let body = (0..length).map(|n| n as u8 | 0x40);
    header.iter().copied().chain(body).collect()
}

/// What a script does to the next frame.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    patches: Vec<[u8; 7]>,
    tag: Option<u16>,
    cut: Option<usize>,
    pad: usize,
    /// In two segments, the first of which has so many bytes.
    pub pieces: Option<usize>,
    /// Somebody else has the same buffer.
    pub shared: bool,
}

impl Edits {
    pub fn patch(&mut self, with: [u8; 7]) {
        if self.patches.len() < 4 {
            self.patches.push(with);
        }
    }

    pub fn shape(&mut self, with: [u8; 7]) {
        let [what, low, high, ..] = with;
        let number = u16::from_le_bytes([low, high]);
        match what % 8 {
            0 | 1 => self.pieces = Some(usize::from(number) % 160),
            2 => self.shared = true,
            3 => self.tag = Some(number & 0x0fff),
            4 => self.cut = Some(usize::from(number) % 200),
            5 => self.pad = usize::from(low),
            _ => {
                self.pieces = Some(usize::from(low) % 160);
                self.shared = true;
            }
        }
    }

    /// The frame as edited.
    pub fn apply(&self, mut frame: Vec<u8>) -> Vec<u8> {
        for patch in &self.patches {
            let [place, offset, first, second, how, ..] = *patch;
            let layers = Layers::parse_lax(&frame, frame.len());
            let base = match place % 4 {
                0 => 0,
                1 => layers.network_at(),
                2 => layers.transport_at(),
                _ => layers.payload_at(),
            };
            let at = base + usize::from(offset) % 64;
            for (at, change) in [(at, first), (at + 1, second)] {
                if let Some(byte) = frame.get_mut(at) {
                    match how & 1 {
                        0 => *byte ^= change,
                        _ => *byte = change,
                    }
                }
            }
            if how & 6 != 0 {
                mend(&mut frame);
            }
        }
        if let Some(tag) = self.tag
            && let Some(kind) = frame.get(12..14)
        {
            let tag = [[0x81, 0], tag.to_be_bytes()].concat();
            debug_assert_eq!(kind.len(), 2);
            frame.splice(12..12, tag);
        }
        if let Some(cut) = self.cut {
            frame.truncate(frame.len().saturating_sub(cut));
        }
        frame.resize(frame.len() + self.pad, 0);
        frame
    }
}
