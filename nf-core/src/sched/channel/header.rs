//! What stands before every message in a ring: 32 bytes, four words.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::ActorId;

/// Words of 8 bytes that a header has.
pub(super) const HEADER_WORDS: usize = 4;

/// Bytes that a header has.
pub const HEADER_BYTES: usize = HEADER_WORDS * 8;

/// The version of this format.
pub(super) const VERSION: u16 = 1;

/// [`Header::flags`]: what belongs to the message is not in the ring, but is handed over beside it.
pub(super) const HANDOFF: u8 = 1;

/// [`Header::kind`] of the rest of the ring, when a message does not fit before its end.
pub(super) const SKIP: u8 = 0x7f;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// From an actor to an actor.
    Data = 1,
    /// How much was consumed of another channel.
    Credit = 2,
    /// From runtime to runtime.
    Control = 3,
    /// A worker's figures.
    Stats = 4,
    /// A frame of an actor that is moved.
    Migrate = 5,
}

impl Kind {
    fn of(kind: u8) -> Option<Kind> {
        Some(match kind {
            1 => Kind::Data,
            2 => Kind::Credit,
            3 => Kind::Control,
            4 => Kind::Stats,
            5 => Kind::Migrate,
            _ => return None,
        })
    }
}

/// What the sender says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// What it is.
    pub kind: Kind,
    /// Whom it is for.
    pub to: ActorId,
    /// Whom it is from.
    pub from: ActorId,
    /// When it came into the appliance: the low 32 bits of the time stamp counter, so that the time
    /// in the ring counts as waiting. Differences are taken with [`elapsed`].
    pub arrived: u32,
}

/// Ticks from one stamp to a later one, if less than 2³² lie between (1.4 s at 3 GHz).
pub fn elapsed(from: u32, to: u32) -> u32 {
    to.wrapping_sub(from)
}

/// As it is in the ring, in the machine's byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    /// Bytes of header and payload. Not 0: its word is what makes the message valid.
    pub length: u32,
    pub kind: u8,
    pub flags: u8,
    pub version: u16,
    pub to: [u16; 2],
    pub from: [u16; 2],
    pub sequence: u64,
    pub arrived: u32,
    /// CRC32C of the header, with this field zero, and the payload; 0 where it is switched off.
    pub checksum: u32,
}

fn pair(actor: ActorId) -> [u16; 2] {
    [actor.index, actor.generation]
}

fn actor([index, generation]: [u16; 2]) -> ActorId {
    ActorId { index, generation }
}

impl Header {
    /// Of a message. `bytes` is what the header counts.
    pub fn new(envelope: &Envelope, sequence: u64, flags: u8, bytes: u32) -> Header {
        Header {
            length: bytes,
            kind: envelope.kind as u8,
            flags,
            version: VERSION,
            to: pair(envelope.to),
            from: pair(envelope.from),
            sequence,
            arrived: envelope.arrived,
            checksum: 0,
        }
    }

    /// Of the rest of the ring.
    pub fn skip(bytes: u32) -> Header {
        Header {
            length: bytes,
            kind: SKIP,
            flags: 0,
            version: VERSION,
            to: [0; 2],
            from: [0; 2],
            sequence: 0,
            arrived: 0,
            checksum: 0,
        }
    }

    pub fn words(self) -> [u64; HEADER_WORDS] {
        zerocopy::transmute!(self)
    }

    pub fn of(words: [u64; HEADER_WORDS]) -> Header {
        zerocopy::transmute!(words)
    }

    /// What `checksum` has to be.
    pub fn sum(&self, payload: &[u8]) -> u32 {
        let zeroed = Header {
            checksum: 0,
            ..*self
        };
        crc32c::crc32c_append(crc32c::crc32c(zeroed.as_bytes()), payload)
    }

    /// What the sender said; `None` if it is of no kind or version that is known.
    pub fn envelope(&self) -> Option<Envelope> {
        if self.version != VERSION || self.flags & !HANDOFF != 0 {
            return None;
        }
        Some(Envelope {
            kind: Kind::of(self.kind)?,
            to: actor(self.to),
            from: actor(self.from),
            arrived: self.arrived,
        })
    }
}

#[cfg(all(test, not(sluice_loom)))]
mod tests {
    use super::*;

    #[test]
    fn ip41_the_header_has_its_32_bytes_in_order() {
        let id = |index, generation| ActorId { index, generation };
        let envelope = Envelope {
            kind: Kind::Stats,
            to: id(0x0102, 0x0304),
            from: id(0x0506, 0x0708),
            arrived: 0x0a0b_0c0d,
        };
        let mut header = Header::new(&envelope, 0x1112_1314_1516_1718, HANDOFF, 40);
        header.checksum = 0x2122_2324;
        let mut expected = Vec::new();
        expected.extend(40_u32.to_ne_bytes());
        expected.extend([4, 1]);
        for field in [1_u16, 0x0102, 0x0304, 0x0506, 0x0708] {
            expected.extend(field.to_ne_bytes());
        }
        expected.extend(0x1112_1314_1516_1718_u64.to_ne_bytes());
        expected.extend(0x0a0b_0c0d_u32.to_ne_bytes());
        expected.extend(0x2122_2324_u32.to_ne_bytes());
        assert_eq!(header.as_bytes(), expected);
        assert_eq!(Header::of(header.words()), header);
        assert_eq!(header.envelope(), Some(envelope));
        let strange = Header { kind: 9, ..header };
        assert_eq!(strange.envelope(), None);
        let newer = Header {
            version: 2,
            ..header
        };
        assert_eq!(newer.envelope(), None);
    }

    #[test]
    fn ip41_the_checksum_is_crc32c() {
        // The check value of RFC 3720, appendix B.4: 32 bytes of zeros.
        let header = Header::of([0; HEADER_WORDS]);
        assert_eq!(header.sum(&[]), 0x8a91_36aa);
        assert_ne!(header.sum(&[0]), header.sum(&[]));
        let filled = Header {
            checksum: 5,
            ..header
        };
        assert_eq!(filled.sum(&[]), 0x8a91_36aa, "its own field does not count");
    }

    #[test]
    fn stamps_wrap() {
        assert_eq!(elapsed(u32::MAX - 9, 10), 20);
    }
}
