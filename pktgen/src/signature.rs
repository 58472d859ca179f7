//! The mark that tracked packets carry at the start of their transport payload.
//!
//! 18 bytes, so that it fits into a 64-byte frame of UDP over IPv4; all fields big-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | magic, `0x5347` |
//! | 2 | 1 | run: differs between the trials of one process |
//! | 3 | 3 | flow, 0 to 2^24 - 1 |
//! | 6 | 4 | sequence number within the flow, from 0, wrapping |
//! | 10 | 8 | intended send time, nanoseconds of the sender's clock |

/// Length of the signature in bytes.
pub const SIGNATURE_BYTES: usize = 18;

/// First two bytes of every signature.
pub const MAGIC: u16 = 0x5347;

/// Number of flow identifiers that exist.
pub const MAX_TRACKED_FLOWS: u32 = 1 << 24;

/// What a tracked packet says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Which trial of the process it belongs to.
    pub run: u8,
    /// Tracked flow; below 2^24.
    pub flow: u32,
    /// Sequence number within the flow.
    pub sequence: u32,
    /// Intended send time in nanoseconds of the sender's clock.
    pub sent_ns: u64,
}

impl Signature {
    /// Reads a signature from the start of `payload`; `None` if there is none.
    #[inline]
    pub fn read(payload: &[u8]) -> Option<Signature> {
        let bytes: &[u8; SIGNATURE_BYTES] = payload.first_chunk()?;
        if bytes[..2] != MAGIC.to_be_bytes() {
            return None;
        }
        let word = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
        let sequence = u32::from_be_bytes([bytes[6], bytes[7], bytes[8], bytes[9]]);
        let sent_ns = u64::from_be_bytes([
            bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15], bytes[16], bytes[17],
        ]);
        Some(Signature {
            run: (word >> 24) as u8,
            flow: word & 0x00ff_ffff,
            sequence,
            sent_ns,
        })
    }

    /// The signature's bytes.
    #[inline]
    pub fn to_bytes(self) -> [u8; SIGNATURE_BYTES] {
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes[..2].copy_from_slice(&MAGIC.to_be_bytes());
        let word = u32::from(self.run) << 24 | (self.flow & 0x00ff_ffff);
        bytes[2..6].copy_from_slice(&word.to_be_bytes());
        bytes[6..10].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[10..].copy_from_slice(&self.sent_ns.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn layout_is_as_documented() {
        let signature = Signature {
            run: 0xaa,
            flow: 0x01_02_03,
            sequence: 0x0405_0607,
            sent_ns: 0x08090a0b_0c0d0e0f,
        };
        let expected = [
            0x53, 0x47, 0xaa, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xb, 0xc, 0xd, 0xe, 0xf,
        ];
        assert_eq!(signature.to_bytes(), expected);
    }

    proptest! {
        #[test]
        fn reads_what_was_written(
            run: u8, flow in 0..MAX_TRACKED_FLOWS, sequence: u32, sent_ns: u64,
        ) {
            let signature = Signature { run, flow, sequence, sent_ns };
            prop_assert_eq!(Signature::read(&signature.to_bytes()), Some(signature));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(signature) = Signature::read(&bytes) {
                prop_assert_eq!(&signature.to_bytes()[..], &bytes[..SIGNATURE_BYTES]);
            }
        }
    }
}
