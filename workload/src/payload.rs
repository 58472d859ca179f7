//! What requests and responses carry behind NetClone's header: how long the request takes, how large its
//! answer is, and what the server found.
//!
//! Request, 16 bytes at least:
//!
//! | offset | bytes | field |
//! |--:|--:|---|
//! | 0 | 8 | service time without jitter, nanoseconds; 0 when the server draws it |
//! | 8 | 4 | payload bytes of the response; 0 for the least |
//! | 12 | 1 | which part of the server's mixture of service times it is, from 1; 0 when the server chooses |
//! | 13 | 3 | 0 |
//!
//! Response, 24 bytes at least:
//!
//! | offset | bytes | field |
//! |--:|--:|---|
//! | 0 | 8 | service time, nanoseconds |
//! | 8 | 8 | how long the request waited at the server, nanoseconds |
//! | 16 | 1 | outcome: 0 well, 1 cancelled, 2 not found, 3 other failure |
//! | 17 | 7 | 0 |
//!
//! Everything behind is padding. All fields are big-endian.

use crate::presets::Outcome;

/// The least bytes of a request's payload.
pub const REQUEST_LEN: usize = 16;

/// The least bytes of a response's payload.
pub const RESPONSE_LEN: usize = 24;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ask {
    /// Service time without jitter, nanoseconds; 0 when the server draws it.
    pub base_ns: u64,
    /// Payload bytes of the response; 0 for the least.
    pub response_bytes: u32,
    /// Which part of the server's mixture of service times it is, from 1; 0 when the server chooses.
    pub kind: u8,
}

impl Ask {
    /// Writes it over the start of `out`, as far as that goes.
    pub fn write(&self, out: &mut [u8]) {
        let mut bytes = [0; REQUEST_LEN];
        bytes[..8].copy_from_slice(&self.base_ns.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.response_bytes.to_be_bytes());
        bytes[12] = self.kind;
        out.iter_mut()
            .zip(bytes)
            .for_each(|(out, byte)| *out = byte);
    }

    /// Reads it. A shorter payload asks for nothing: the server draws, and answers with the least.
    pub fn read(payload: &[u8]) -> Ask {
        let Some(bytes) = payload.first_chunk::<REQUEST_LEN>() else {
            return Ask::default();
        };
        Ask {
            base_ns: big_endian(&bytes[..8]),
            response_bytes: big_endian(&bytes[8..12]) as u32,
            kind: bytes[12],
        }
    }
}

/// What a response tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Service time, nanoseconds.
    pub service_ns: u64,
    /// How long the request waited, nanoseconds.
    pub waited_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
}

impl Answer {
    /// Writes it over the start of `out`, as far as that goes.
    pub fn write(&self, out: &mut [u8]) {
        let mut bytes = [0; RESPONSE_LEN];
        bytes[..8].copy_from_slice(&self.service_ns.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.waited_ns.to_be_bytes());
        bytes[16] = self.outcome as u8;
        out.iter_mut()
            .zip(bytes)
            .for_each(|(out, byte)| *out = byte);
    }

    /// Reads it; `None` of a payload that is too short.
    pub fn read(payload: &[u8]) -> Option<Answer> {
        let bytes = payload.first_chunk::<RESPONSE_LEN>()?;
        Some(Answer {
            service_ns: big_endian(&bytes[..8]),
            waited_ns: big_endian(&bytes[8..16]),
            outcome: Outcome::from_byte(bytes[16]),
        })
    }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let ask = Ask {
            base_ns: 0x0102_0304_0506_0708,
            response_bytes: 1424,
            kind: 2,
        };
        let mut bytes = [9; 40];
        ask.write(&mut bytes);
        assert_eq!(Ask::read(&bytes), ask);
        assert_eq!(&bytes[..4], [1, 2, 3, 4]);
        let answer = Answer {
            service_ns: 25_000,
            waited_ns: 7,
            outcome: Outcome::NotFound,
        };
        answer.write(&mut bytes);
        assert_eq!(Answer::read(&bytes), Some(answer));
    }

    #[test]
    fn short_payloads_are_no_panic() {
        for len in 0..RESPONSE_LEN {
            let mut bytes = vec![7; len];
            assert_eq!(Answer::read(&bytes), None);
            let _ = Ask::read(&bytes);
            Ask::default().write(&mut bytes);
        }
        assert_eq!(Ask::read(&[]), Ask::default());
    }
}
