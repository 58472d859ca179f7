//! The two message formats as the data path sees them.

use nf_core::wire::checksum::Delta;

use crate::id;
use crate::wire::v1::{self, View, field};
use crate::wire::{Flags, Kind, WireError, compat28};

/// What the data path needs of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    pub kind: Kind,
    pub flags: Flags,
    pub clo: u8,
    /// Filter table; 255 if the field is larger than any.
    pub idx: u8,
    pub swid: u16,
    pub sid: u16,
    /// Group from 0; `u32::MAX` if the field means none.
    pub group: u32,
    pub load: u16,
    pub packet: u8,
    pub packets: u8,
    pub cfg_gen: u16,
    pub id: u64,
    pub client: u32,
    pub seq: u32,
}

/// What the appliance writes into a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub clo: u8,
    pub swid: u16,
    pub sid: u16,
    pub id: u64,
}

/// A message format.
pub(crate) trait Format {
    /// Whether messages name the appliance that owns them.
    const HAS_SWID: bool;
    /// Whether ids carry an epoch, and clients numbers of their own.
    const HAS_EPOCH: bool;
    /// Bytes that the appliance may change.
    const LEN: usize;

    /// Checks and reads a header.
    fn read(payload: &[u8]) -> Result<Message, WireError>;

    /// Writes into a request's header, of which at least [`LEN`](Self::LEN) bytes are there; says what
    /// that changes in the checksum.
    fn stamp(header: &mut [u8], before: &Message, stamp: &Stamp) -> Delta;

    /// Changes CLO alone; adds to what has changed in the checksum before.
    fn set_clo(header: &mut [u8], clo: u8, changed: Delta) -> Delta;
}

/// Format v1.
pub(crate) struct V1;

/// Profile compat28.
pub(crate) struct Compat28;

#[inline(always)]
fn word_at(bytes: &[u8; v1::HEADER_LEN], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

impl Format for V1 {
    const HAS_SWID: bool = true;
    const HAS_EPOCH: bool = true;
    const LEN: usize = v1::HEADER_LEN;

    #[inline(always)]
    fn read(payload: &[u8]) -> Result<Message, WireError> {
        let view = View::new(payload)?;
        Ok(Message {
            kind: view.kind(),
            flags: view.flags(),
            clo: view.clo(),
            idx: view.idx(),
            swid: view.swid(),
            sid: view.sid(),
            group: view.grp(),
            load: view.load(),
            packet: view.pkt_idx(),
            packets: view.pkt_cnt(),
            cfg_gen: view.cfg_gen(),
            id: view.req_id(),
            client: view.client_id(),
            seq: view.client_seq(),
        })
    }

    #[inline(always)]
    fn stamp(header: &mut [u8], before: &Message, stamp: &Stamp) -> Delta {
        let Some(header) = header.first_chunk_mut::<{ v1::HEADER_LEN }>() else {
            return Delta::new();
        };
        let flags = u16::from(before.flags.0) << 8;
        let mut delta = Delta::new()
            .word(flags | u16::from(before.clo), flags | u16::from(stamp.clo))
            .word(before.swid, stamp.swid)
            .word(before.sid, stamp.sid);
        if before.id != stamp.id {
            delta = delta
                .double_word((before.id >> 32) as u32, (stamp.id >> 32) as u32)
                .double_word(before.id as u32, stamp.id as u32);
            header[field::REQ_ID..field::REQ_ID + 8].copy_from_slice(&stamp.id.to_be_bytes());
        }
        header[field::CLO] = stamp.clo;
        header[field::SWID..field::SWID + 2].copy_from_slice(&stamp.swid.to_be_bytes());
        header[field::SID..field::SID + 2].copy_from_slice(&stamp.sid.to_be_bytes());
        delta
    }

    #[inline(always)]
    fn set_clo(header: &mut [u8], clo: u8, changed: Delta) -> Delta {
        let Some(header) = header.first_chunk_mut::<{ v1::HEADER_LEN }>() else {
            return changed;
        };
        let before = word_at(header, field::FLAGS);
        header[field::CLO] = clo;
        changed.word(before, word_at(header, field::FLAGS))
    }
}

impl Format for Compat28 {
    const HAS_SWID: bool = false;
    const HAS_EPOCH: bool = false;
    const LEN: usize = compat28::HEADER_LEN;

    #[inline(always)]
    fn read(payload: &[u8]) -> Result<Message, WireError> {
        let header = compat28::Header::decode(payload)?;
        Ok(Message {
            kind: header.kind,
            flags: Flags::NONE,
            clo: header.clo,
            idx: header.idx.try_into().unwrap_or(u8::MAX),
            swid: 0,
            sid: header.sid.try_into().unwrap_or(u16::MAX),
            // From 1 in the message; 0 means none.
            group: header.grp.wrapping_sub(1),
            load: header
                .load
                .try_into()
                .unwrap_or(crate::wire::MAX_LOAD)
                .min(crate::wire::MAX_LOAD),
            packet: 0,
            packets: 1,
            cfg_gen: 0,
            id: header.seq.into(),
            client: 0,
            seq: 0,
        })
    }

    #[inline(always)]
    fn stamp(header: &mut [u8], _: &Message, stamp: &Stamp) -> Delta {
        let mut delta = Delta::new();
        for (at, value) in [
            (compat28::field::SEQ, stamp.id as u32),
            (compat28::field::SID, stamp.sid.into()),
            (compat28::field::CLO, stamp.clo.into()),
        ] {
            delta = set_word(header, at, value, delta);
        }
        delta
    }

    #[inline(always)]
    fn set_clo(header: &mut [u8], clo: u8, changed: Delta) -> Delta {
        set_word(header, compat28::field::CLO, clo.into(), changed)
    }
}

#[inline(always)]
fn set_word(header: &mut [u8], at: usize, value: u32, delta: Delta) -> Delta {
    let Some(word) = header
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut::<4>())
    else {
        return delta;
    };
    let before = u32::from_be_bytes(*word);
    *word = value.to_be_bytes();
    delta.double_word(before, value)
}

/// Where the id of a message goes in the filter, before it is reduced to the size of a table.
#[inline(always)]
pub(crate) fn index<F: Format>(id: u64, dense: bool, cores: u64) -> u64 {
    match (dense, F::HAS_EPOCH) {
        (true, true) => id::dense_index(id, cores),
        (true, false) => id,
        (false, _) => id::hashed_index(id),
    }
}
