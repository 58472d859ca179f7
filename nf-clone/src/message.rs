//! A message on its way out: one header, and a payload that goes in one packet or in several.

use std::ops::Range;

use thiserror::Error;

use crate::wire::{HEADER_LEN, Header};

/// Most packets in a message (PKT_CNT is one byte).
pub const MAX_PACKETS: usize = 255;

/// Payload bytes in a packet unless set otherwise: what an Ethernet frame of 1500 bytes holds behind the
/// headers of IPv6, UDP and NetClone.
pub const DEFAULT_PACKET_PAYLOAD: usize = 1500 - 40 - 8 - HEADER_LEN;

/// A payload needs more than [`MAX_PACKETS`] packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{len} bytes are more than 255 packets of {packet_payload} hold")]
pub struct TooLong {
    /// Bytes of the payload.
    pub len: usize,
    /// Payload bytes in a packet.
    pub packet_payload: usize,
}

/// A message, without its payload: the caller keeps that, and hands it in for each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    header: Header,
    len: usize,
    packet_payload: usize,
    packets: u8,
    ordered: bool,
}

impl Outgoing {
    /// A message of `len` payload bytes, at most `packet_payload` (at least 1) in a packet.
    ///
    /// With `ordered`, packet i names filter table i, so that each packet is filtered in a table of its own.
    pub fn new(
        header: Header,
        len: usize,
        packet_payload: usize,
        ordered: bool,
    ) -> Result<Outgoing, TooLong> {
        let too_long = TooLong {
            len,
            packet_payload,
        };
        if packet_payload == 0 {
            return Err(too_long);
        }
        let packets = len.div_ceil(packet_payload).max(1);
        let packets = u8::try_from(packets).map_err(|_| too_long)?;
        Ok(Outgoing {
            header,
            len,
            packet_payload,
            packets,
            ordered,
        })
    }

    /// Packets in the message, at least 1.
    pub fn packets(&self) -> u8 {
        self.packets
    }

    /// Bytes of the payload.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no payload.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The fields that all packets share; PKT_IDX and PKT_CNT are of the first.
    pub fn first_header(&self) -> Header {
        self.header(0)
    }

    /// The header of a packet.
    pub fn header(&self, packet: u8) -> Header {
        Header {
            pkt_idx: packet,
            pkt_cnt: self.packets,
            idx: if self.ordered {
                packet
            } else {
                self.header.idx
            },
            ..self.header
        }
    }

    /// Which bytes of the payload a packet carries.
    pub fn range(&self, packet: u8) -> Range<usize> {
        let begin = (usize::from(packet) * self.packet_payload).min(self.len);
        begin..(begin + self.packet_payload).min(self.len)
    }

    /// Writes a packet, header and its part of `payload` (the whole message's), over what is in `out`.
    ///
    /// # Panics
    /// When `payload` is shorter than the message was said to be.
    pub fn encode(&self, packet: u8, payload: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.header(packet).encode());
        out.extend_from_slice(&payload[self.range(packet)]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Kind;

    proptest! {
        #[test]
        fn packets_hold_the_whole_payload_once(payload: Vec<u8>, packet_payload in 1usize..40) {
            let header = Header { idx: 9, ..Header::new(Kind::Request) };
            let Ok(message) = Outgoing::new(header, payload.len(), packet_payload, false) else {
                prop_assert!(payload.len() > 255 * packet_payload);
                return Ok(());
            };
            let mut all = Vec::new();
            let mut bytes = Vec::new();
            for packet in 0..message.packets() {
                message.encode(packet, &payload, &mut bytes);
                let (header, at) = Header::decode(&bytes).expect("a message");
                prop_assert_eq!((header.pkt_idx, header.idx), (packet, 9));
                prop_assert_eq!(header.pkt_cnt, message.packets());
                prop_assert!(bytes.len() - at <= packet_payload);
                all.extend_from_slice(&bytes[at..]);
            }
            prop_assert_eq!(all, payload);
        }
    }

    #[test]
    fn the_longest_message_has_255_packets() {
        let new = |len| Outgoing::new(Header::new(Kind::Request), len, 10, false);
        assert_eq!(new(0).map(|m| m.packets()), Ok(1));
        assert_eq!(new(2550).map(|m| m.packets()), Ok(255));
        assert!(new(2551).is_err());
        assert!(Outgoing::new(Header::new(Kind::Request), 0, 0, false).is_err());
    }

    #[test]
    fn f17_in_order_packet_i_names_table_i() {
        let header = Header::new(Kind::Response);
        let message = Outgoing::new(header, 35, 10, true).expect("4 packets");
        let tables: Vec<u8> = (0..4).map(|i| message.header(i).idx).collect();
        assert_eq!(tables, [0, 1, 2, 3]);
    }
}
