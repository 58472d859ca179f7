//! Profile `compat28`: the 28-byte header of the paper's public prototype, seven big-endian 32-bit
//! words.
//!
//! | offset | field | rules |
//! |--:|---|---|
//! | 0 | OP | 0 request, 1 response, 2 write, 3 its answer |
//! | 4 | SEQ | the request's id, set by the appliance; never 0 after it |
//! | 8 | GRP | group, from **1** |
//! | 12 | SID | server, from 0 |
//! | 16 | LOAD | waiting requests, 0 idle |
//! | 20 | CLO | 0, 1 or 2 |
//! | 24 | IDX | filter table, from 0 |
//!
//! There is no SWID, no id of the client, no magic number and no version.

use super::{Kind, WireError};

/// Bytes of the header.
pub const HEADER_LEN: usize = 28;

/// Offsets of the fields, 4 bytes each.
pub mod field {
    /// OP.
    pub const OP: usize = 0;
    /// SEQ.
    pub const SEQ: usize = 4;
    /// GRP, from 1.
    pub const GRP: usize = 8;
    /// SID.
    pub const SID: usize = 12;
    /// LOAD.
    pub const LOAD: usize = 16;
    /// CLO.
    pub const CLO: usize = 20;
    /// IDX.
    pub const IDX: usize = 24;
}

/// The fields of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// OP: request, response, and the two of writes.
    pub kind: Kind,
    /// SEQ: the request's id.
    pub seq: u32,
    /// GRP as it stands in the message: from 1.
    pub grp: u32,
    /// SID: server.
    pub sid: u32,
    /// LOAD: waiting requests.
    pub load: u32,
    /// CLO: 0, 1 or 2.
    pub clo: u8,
    /// IDX: filter table.
    pub idx: u32,
}

impl Header {
    /// Reads the header at the start of a UDP payload.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Header, WireError> {
        let bytes: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(WireError::Truncated)?;
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let kind = match word(field::OP) {
            0 => Kind::Request,
            1 => Kind::Response,
            2 => Kind::WriteRequest,
            3 => Kind::WriteResponse,
            other => return Err(WireError::BadType(other.try_into().unwrap_or(u8::MAX))),
        };
        let clo = match word(field::CLO) {
            clo @ 0..=2 => clo as u8,
            other => return Err(WireError::BadClo(other.try_into().unwrap_or(u8::MAX))),
        };
        Ok(Header {
            kind,
            seq: word(field::SEQ),
            grp: word(field::GRP),
            sid: word(field::SID),
            load: word(field::LOAD),
            clo,
            idx: word(field::IDX),
        })
    }

    /// The header's bytes. A kind that the profile has not is a request.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let op = match self.kind {
            Kind::Response => 1,
            Kind::WriteRequest => 2,
            Kind::WriteResponse => 3,
            _ => 0u32,
        };
        let words = [
            op,
            self.seq,
            self.grp,
            self.sid,
            self.load,
            self.clo.into(),
            self.idx,
        ];
        let mut bytes = [0; HEADER_LEN];
        for (out, word) in bytes.chunks_exact_mut(4).zip(words) {
            out.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn f28_headers_are_seven_big_endian_words() {
        let header = Header {
            kind: Kind::Response,
            seq: 0x0102_0304,
            grp: 30,
            sid: 5,
            load: 9,
            clo: 2,
            idx: 1,
        };
        let bytes = header.encode();
        assert_eq!(
            bytes,
            [
                0, 0, 0, 1, 1, 2, 3, 4, 0, 0, 0, 30, 0, 0, 0, 5, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 1
            ]
        );
        assert_eq!(Header::decode(&bytes), Ok(header));
    }

    proptest! {
        #[test]
        fn f28_no_bytes_are_too_odd(bytes: Vec<u8>) {
            if let Ok(header) = Header::decode(&bytes) {
                prop_assert_eq!(&header.encode()[..], &bytes[..HEADER_LEN]);
            }
        }
    }
}
