//! Wire format v1: 40 bytes between the UDP header and the application's payload.
//!
//! | offset | bytes | field | rules |
//! |--:|--:|---|---|
//! | 0 | 2 | MAGIC | 0x4E43, "NC" |
//! | 2 | 1 | VER_HLEN | high nibble: version, 1; low nibble: header length in 32-bit words, 10 to 15; words over 10 are skipped and kept |
//! | 3 | 1 | TYPE | 1 REQ, 2 RESP, 3 WREQ, 4 WRESP, 5 PING, 6 PONG, 7 CFG, 8 NACK |
//! | 4 | 1 | FLAGS | bit 0 CID, 1 NOCLONE, 2 RETX, 3 DET; the others 0, and kept |
//! | 5 | 1 | CLO | 0 not cloned, 1 the original of a pair, 2 the clone |
//! | 6 | 1 | IDX | filter table |
//! | 7 | 1 | reserved | 0 |
//! | 8 | 2 | SWID | 0 from the client; then the id of the appliance that owns the request |
//! | 10 | 2 | SID | server; 0xFFFF from the client |
//! | 12 | 4 | GRP | group of candidate servers, from 0 |
//! | 16 | 2 | LOAD | waiting requests; 0 idle, 0xFFFE most, 0xFFFF draining |
//! | 18 | 1 | PKT_IDX | packet of the message, from 0 |
//! | 19 | 1 | PKT_CNT | packets in the message, 1 to 255 |
//! | 20 | 2 | CFG_GEN | generation of the group table that the client believes in, 0 unknown |
//! | 22 | 2 | reserved | 0 |
//! | 24 | 8 | REQ_ID | 0 from the client unless CID is set; never 0 after the appliance |
//! | 32 | 4 | CLIENT_ID | one per client process |
//! | 36 | 4 | CLIENT_SEQ | the client's own count, to match and to tell duplicates |
//!
//! All fields are big-endian.

use std::fmt;

use thiserror::Error;

/// Bytes of the header without extra words.
pub const HEADER_LEN: usize = 40;

/// First two bytes of every message.
pub const MAGIC: u16 = 0x4e43;

/// The version of this format.
pub const VERSION: u8 = 1;

/// Offsets of the fields, for who changes them in place.
pub mod field {
    /// MAGIC, 2 bytes.
    pub const MAGIC: usize = 0;
    /// VER_HLEN, 1 byte.
    pub const VER_HLEN: usize = 2;
    /// TYPE, 1 byte.
    pub const TYPE: usize = 3;
    /// FLAGS, 1 byte.
    pub const FLAGS: usize = 4;
    /// CLO, 1 byte.
    pub const CLO: usize = 5;
    /// IDX, 1 byte.
    pub const IDX: usize = 6;
    /// SWID, 2 bytes.
    pub const SWID: usize = 8;
    /// SID, 2 bytes.
    pub const SID: usize = 10;
    /// GRP, 4 bytes.
    pub const GRP: usize = 12;
    /// LOAD, 2 bytes.
    pub const LOAD: usize = 16;
    /// PKT_IDX, 1 byte.
    pub const PKT_IDX: usize = 18;
    /// PKT_CNT, 1 byte.
    pub const PKT_CNT: usize = 19;
    /// CFG_GEN, 2 bytes.
    pub const CFG_GEN: usize = 20;
    /// REQ_ID, 8 bytes.
    pub const REQ_ID: usize = 24;
    /// CLIENT_ID, 4 bytes.
    pub const CLIENT_ID: usize = 32;
    /// CLIENT_SEQ, 4 bytes.
    pub const CLIENT_SEQ: usize = 36;
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A request that may run twice: a read.
    Request = 1,
    /// Its answer.
    Response = 2,
    /// A request that is never cloned: a write.
    WriteRequest = 3,
    /// Its answer.
    WriteResponse = 4,
    /// From the appliance to a server: are you there?
    Ping = 5,
    /// Its answer, with the server's LOAD.
    Pong = 6,
    /// From the appliance to a client: GRP is the number of groups now, IDX the number of filter
    /// tables, CFG_GEN the generation of the group table.
    Config = 7,
    /// From the appliance to a client, in place of an answer: LOAD says why ([`nack`]); the other
    /// fields as in [`Config`](Kind::Config), CLIENT_ID and CLIENT_SEQ as in the request.
    Nack = 8,
}

/// Why a request was refused: LOAD of a [`Kind::Nack`].
pub mod nack {
    /// No server is live.
    pub const NO_SERVER: u16 = 1;
    /// GRP is not a group.
    pub const BAD_GROUP: u16 = 2;
    /// IDX is not a filter table.
    pub const BAD_TABLE: u16 = 3;
    /// A write went to the service's address: writes go to the server that replication wants.
    pub const WRITE_TO_VIP: u16 = 4;
}

impl Kind {
    /// The kind of a TYPE byte.
    #[inline(always)]
    pub const fn of(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Request,
            2 => Kind::Response,
            3 => Kind::WriteRequest,
            4 => Kind::WriteResponse,
            5 => Kind::Ping,
            6 => Kind::Pong,
            7 => Kind::Config,
            8 => Kind::Nack,
            _ => return None,
        })
    }

    /// Whether it goes towards a server (to the port, not from it).
    #[inline(always)]
    pub const fn is_to_server(self) -> bool {
        matches!(self, Kind::Request | Kind::WriteRequest | Kind::Ping)
    }
}

/// The FLAGS byte.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// None.
    pub const NONE: Flags = Flags(0);
    /// REQ_ID is CLIENT_ID and CLIENT_SEQ, chosen by the client.
    pub const CID: Flags = Flags(1);
    /// The client forbids cloning.
    pub const NOCLONE: Flags = Flags(2);
    /// A retransmission.
    pub const RETX: Flags = Flags(4);
    /// The response has the same bytes on every replica.
    pub const DET: Flags = Flags(8);

    /// Whether all flags of `other` are set.
    #[inline(always)]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[inline(always)]
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Flags::CID, "CID"),
            (Flags::NOCLONE, "NOCLONE"),
            (Flags::RETX, "RETX"),
            (Flags::DET, "DET"),
        ];
        let set: Vec<&str> = names
            .iter()
            .filter(|(flag, _)| self.has(*flag))
            .map(|(_, name)| *name)
            .collect();
        write!(f, "Flags({:#04x} {})", self.0, set.join("|"))
    }
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum WireError {
    /// Fewer bytes than the header has.
    #[error("shorter than the header")]
    Truncated,
    /// MAGIC is another.
    #[error("MAGIC is not 0x4e43")]
    BadMagic,
    /// Another version of the format.
    #[error("version {0}, not 1")]
    BadVersion(u8),
    /// A header length under 10 words, or beyond the message.
    #[error("header length of {0} words")]
    BadHeaderLength(u8),
    /// TYPE is none of the kinds.
    #[error("TYPE {0} is not known")]
    BadType(u8),
    /// CLO over 2.
    #[error("CLO {0}, over 2")]
    BadClo(u8),
    /// PKT_CNT is 0, or PKT_IDX not below it.
    #[error("packet {0} of {1}")]
    BadPacketNumber(u8, u8),
}

/// A message in place: its header has been checked, its fields are read where they lie.
#[derive(Clone, Copy)]
pub struct View<'a> {
    fixed: &'a [u8; HEADER_LEN],
    /// Bytes of the header with its extra words.
    len: usize,
    kind: Kind,
}

impl<'a> View<'a> {
    /// Checks the header at the start of `bytes`, the UDP payload. Nothing behind the header is looked
    /// at.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<View<'a>, WireError> {
        let fixed: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(WireError::Truncated)?;
        if u16::from_be_bytes([fixed[0], fixed[1]]) != MAGIC {
            return Err(WireError::BadMagic);
        }
        let ver_hlen = fixed[field::VER_HLEN];
        if ver_hlen >> 4 != VERSION {
            return Err(WireError::BadVersion(ver_hlen >> 4));
        }
        let len = usize::from(ver_hlen & 0xf) * 4;
        if len < HEADER_LEN || len > bytes.len() {
            return Err(WireError::BadHeaderLength(ver_hlen & 0xf));
        }
        let kind = Kind::of(fixed[field::TYPE]).ok_or(WireError::BadType(fixed[field::TYPE]))?;
        if fixed[field::CLO] > 2 {
            return Err(WireError::BadClo(fixed[field::CLO]));
        }
        if fixed[field::PKT_IDX] >= fixed[field::PKT_CNT] {
            return Err(WireError::BadPacketNumber(
                fixed[field::PKT_IDX],
                fixed[field::PKT_CNT],
            ));
        }
        Ok(View { fixed, len, kind })
    }

    /// TYPE.
    #[inline(always)]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// FLAGS.
    #[inline(always)]
    pub fn flags(&self) -> Flags {
        Flags(self.fixed[field::FLAGS])
    }

    /// CLO: 0, 1 or 2.
    #[inline(always)]
    pub fn clo(&self) -> u8 {
        self.fixed[field::CLO]
    }

    /// IDX.
    #[inline(always)]
    pub fn idx(&self) -> u8 {
        self.fixed[field::IDX]
    }

    /// SWID.
    #[inline(always)]
    pub fn swid(&self) -> u16 {
        self.u16(field::SWID)
    }

    /// SID.
    #[inline(always)]
    pub fn sid(&self) -> u16 {
        self.u16(field::SID)
    }

    /// GRP.
    #[inline(always)]
    pub fn grp(&self) -> u32 {
        self.u32(field::GRP)
    }

    /// LOAD.
    #[inline(always)]
    pub fn load(&self) -> u16 {
        self.u16(field::LOAD)
    }

    /// PKT_IDX, below PKT_CNT.
    #[inline(always)]
    pub fn pkt_idx(&self) -> u8 {
        self.fixed[field::PKT_IDX]
    }

    /// PKT_CNT, at least 1.
    #[inline(always)]
    pub fn pkt_cnt(&self) -> u8 {
        self.fixed[field::PKT_CNT]
    }

    /// CFG_GEN.
    #[inline(always)]
    pub fn cfg_gen(&self) -> u16 {
        self.u16(field::CFG_GEN)
    }

    /// REQ_ID.
    #[inline(always)]
    pub fn req_id(&self) -> u64 {
        u64::from(self.u32(field::REQ_ID)) << 32 | u64::from(self.u32(field::REQ_ID + 4))
    }

    /// CLIENT_ID.
    #[inline(always)]
    pub fn client_id(&self) -> u32 {
        self.u32(field::CLIENT_ID)
    }

    /// CLIENT_SEQ.
    #[inline(always)]
    pub fn client_seq(&self) -> u32 {
        self.u32(field::CLIENT_SEQ)
    }

    /// Bytes of the header, extra words included: where the payload begins.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        self.len
    }

    /// All fields.
    pub fn header(&self) -> Header {
        Header {
            kind: self.kind,
            flags: self.flags(),
            clo: self.clo(),
            idx: self.idx(),
            swid: self.swid(),
            sid: self.sid(),
            grp: self.grp(),
            load: self.load(),
            pkt_idx: self.pkt_idx(),
            pkt_cnt: self.pkt_cnt(),
            cfg_gen: self.cfg_gen(),
            req_id: self.req_id(),
            client_id: self.client_id(),
            client_seq: self.client_seq(),
        }
    }

    #[inline(always)]
    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.fixed[at], self.fixed[at + 1]])
    }

    #[inline(always)]
    fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) << 16 | u32::from(self.u16(at + 2))
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header().fmt(f)
    }
}

/// The fields of a header, for who builds one or keeps one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// TYPE.
    pub kind: Kind,
    /// FLAGS.
    pub flags: Flags,
    /// CLO: 0, 1 or 2.
    pub clo: u8,
    /// IDX: filter table.
    pub idx: u8,
    /// SWID: the appliance that owns the request; 0 none.
    pub swid: u16,
    /// SID: server.
    pub sid: u16,
    /// GRP: group, from 0.
    pub grp: u32,
    /// LOAD: waiting requests.
    pub load: u16,
    /// PKT_IDX: packet of the message, from 0.
    pub pkt_idx: u8,
    /// PKT_CNT: packets in the message, at least 1.
    pub pkt_cnt: u8,
    /// CFG_GEN: generation of the group table.
    pub cfg_gen: u16,
    /// REQ_ID.
    pub req_id: u64,
    /// CLIENT_ID.
    pub client_id: u32,
    /// CLIENT_SEQ.
    pub client_seq: u32,
}

impl Header {
    /// A message of that kind as a client begins it: one packet, no server, no ids.
    pub const fn new(kind: Kind) -> Header {
        Header {
            kind,
            flags: Flags::NONE,
            clo: 0,
            idx: 0,
            swid: 0,
            sid: super::NO_SERVER,
            grp: 0,
            load: 0,
            pkt_idx: 0,
            pkt_cnt: 1,
            cfg_gen: 0,
            req_id: 0,
            client_id: 0,
            client_seq: 0,
        }
    }

    /// The fields at the start of a UDP payload, and where the application's payload begins in it.
    pub fn decode(bytes: &[u8]) -> Result<(Header, usize), WireError> {
        let view = View::new(bytes)?;
        Ok((view.header(), view.header_len()))
    }

    /// The header's bytes, without extra words.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[field::MAGIC..][..2].copy_from_slice(&MAGIC.to_be_bytes());
        bytes[field::VER_HLEN] = VERSION << 4 | (HEADER_LEN / 4) as u8;
        bytes[field::TYPE] = self.kind as u8;
        bytes[field::FLAGS] = self.flags.0;
        bytes[field::CLO] = self.clo;
        bytes[field::IDX] = self.idx;
        bytes[field::SWID..][..2].copy_from_slice(&self.swid.to_be_bytes());
        bytes[field::SID..][..2].copy_from_slice(&self.sid.to_be_bytes());
        bytes[field::GRP..][..4].copy_from_slice(&self.grp.to_be_bytes());
        bytes[field::LOAD..][..2].copy_from_slice(&self.load.to_be_bytes());
        bytes[field::PKT_IDX] = self.pkt_idx;
        bytes[field::PKT_CNT] = self.pkt_cnt;
        bytes[field::CFG_GEN..][..2].copy_from_slice(&self.cfg_gen.to_be_bytes());
        bytes[field::REQ_ID..][..8].copy_from_slice(&self.req_id.to_be_bytes());
        bytes[field::CLIENT_ID..][..4].copy_from_slice(&self.client_id.to_be_bytes());
        bytes[field::CLIENT_SEQ..][..4].copy_from_slice(&self.client_seq.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The NetClone part of a request as a client sends it, and as the appliance sends it on.
    const FROM_CLIENT: &str =
        "4e431a01000001000000ffff0000000700000001000000000000000000000000000000aa00000005";
    const TO_SERVER: &str =
        "4e431a0100010100000100030000000700000001000000000001000000000007000000aa00000005";
    const FROM_SERVER: &str =
        "4e431a0200010100000100010000000700040001000000000001000000000007000000aa00000005";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2)
            .map(|n| u8::from_str_radix(&hex[2 * n..][..2], 16).expect("hexadecimal"))
            .collect()
    }

    fn from_client() -> Header {
        Header {
            idx: 1,
            grp: 7,
            client_id: 0xaa,
            client_seq: 5,
            ..Header::new(Kind::Request)
        }
    }

    #[test]
    fn f01_headers_are_byte_exact() {
        let to_server = Header {
            clo: 1,
            sid: 3,
            swid: 1,
            req_id: 0x0001_0000_0000_0007,
            ..from_client()
        };
        let from_server = Header {
            kind: Kind::Response,
            sid: 1,
            load: 4,
            ..to_server
        };
        for (header, hex) in [
            (from_client(), FROM_CLIENT),
            (to_server, TO_SERVER),
            (from_server, FROM_SERVER),
        ] {
            assert_eq!(header.encode()[..], bytes(hex));
            assert_eq!(Header::decode(&bytes(hex)), Ok((header, HEADER_LEN)));
        }
    }

    proptest! {
        #[test]
        fn f01_what_is_encoded_is_decoded(
            kind in 1u8..=8, flags: u8, clo in 0u8..=2, idx: u8, swid: u16, sid: u16, grp: u32,
            load: u16, cnt in 1u8..=255, cfg_gen: u16, req_id: u64, client_id: u32, client_seq: u32,
            pkt: u8, rest: Vec<u8>,
        ) {
            let header = Header {
                kind: Kind::of(kind).expect("a kind"), flags: Flags(flags), clo, idx, swid, sid, grp,
                load, pkt_idx: pkt % cnt, pkt_cnt: cnt, cfg_gen, req_id, client_id, client_seq,
            };
            let mut message = header.encode().to_vec();
            message.extend(rest);
            prop_assert_eq!(Header::decode(&message), Ok((header, HEADER_LEN)));
        }

        #[test]
        fn f01_no_bytes_are_too_odd(bytes: Vec<u8>) {
            if let Ok((header, at)) = Header::decode(&bytes) {
                prop_assert!(at <= bytes.len() && header.clo <= 2 && header.pkt_idx < header.pkt_cnt);
            }
        }
    }

    #[test]
    fn extra_words_are_skipped() {
        let mut message = from_client().encode().to_vec();
        message[field::VER_HLEN] = 0x1c;
        message.extend([0xee; 8]);
        message.extend(b"payload");
        let (header, at) = Header::decode(&message).expect("a message");
        assert_eq!(header, from_client());
        assert_eq!(&message[at..], b"payload");
    }

    #[test]
    fn b01_short_messages_are_refused() {
        let whole = from_client().encode();
        for len in 0..HEADER_LEN {
            assert_eq!(Header::decode(&whole[..len]), Err(WireError::Truncated));
        }
    }

    #[test]
    fn b02_other_formats_are_refused() {
        let with = |at: usize, byte: u8| {
            let mut message = from_client().encode();
            message[at] = byte;
            Header::decode(&message)
        };
        assert_eq!(with(0, 0), Err(WireError::BadMagic));
        assert_eq!(with(1, 0x44), Err(WireError::BadMagic));
        assert_eq!(with(2, 0x2a), Err(WireError::BadVersion(2)));
        assert_eq!(with(2, 0x0a), Err(WireError::BadVersion(0)));
        assert_eq!(with(2, 0x19), Err(WireError::BadHeaderLength(9)));
        assert_eq!(with(2, 0x1b), Err(WireError::BadHeaderLength(11)));
    }

    #[test]
    fn b03_unknown_types_are_refused() {
        for byte in [0].into_iter().chain(9..=255) {
            let mut message = from_client().encode();
            message[field::TYPE] = byte;
            assert_eq!(Header::decode(&message), Err(WireError::BadType(byte)));
        }
    }

    #[test]
    fn b07_clo_over_two_is_refused() {
        for byte in 3..=255 {
            let mut message = from_client().encode();
            message[field::CLO] = byte;
            assert_eq!(Header::decode(&message), Err(WireError::BadClo(byte)));
        }
    }

    #[test]
    fn b10_packet_numbers_that_cannot_be_are_refused() {
        for (idx, cnt) in [(0, 0), (1, 1), (7, 3), (255, 255)] {
            let mut message = from_client().encode();
            (message[field::PKT_IDX], message[field::PKT_CNT]) = (idx, cnt);
            assert_eq!(
                Header::decode(&message),
                Err(WireError::BadPacketNumber(idx, cnt))
            );
        }
    }
}
