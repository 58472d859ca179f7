//! What objects look like on their way: frames of records, each with its own CRC32C.
//!
//! A frame is a number of records, one behind the other; a record is a head of 32 bytes and the
//! bytes it announces. Numbers are in the machine's byte order: both sides are on one machine.

use std::mem;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::DmoError;
use super::id::ObjectId;

/// The shortest frame that [`Outgoing::fill`](super::outgoing::Outgoing::fill) can work with,
/// bytes.
pub const LEAST_FRAME: usize = 2 * HEAD_BYTES + 64;

pub(super) const HEAD_BYTES: usize = mem::size_of::<Head>();

/// Kinds of records.
pub(super) mod kind {
    /// A region begins: [`Begin`](super::Begin).
    pub const BEGIN: u32 = 0x5e61_0001;
    /// Free slots in their order, each as the index field of its last object.
    pub const FREE: u32 = 0x5e61_0002;
    /// A part of an object.
    pub const PART: u32 = 0x5e61_0003;
    /// That was all; `size` is the digest of what was before.
    pub const END: u32 = 0x5e61_0004;
    /// An object on its own begins.
    pub const ONE: u32 = 0x5e61_0005;
    /// All has arrived.
    pub const RECEIPT: u32 = 0x5e61_0006;
    /// The source has given it up.
    pub const COMMIT: u32 = 0x5e61_0007;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Head {
    /// CRC32C of all that follows, head and bytes.
    pub crc: u32,
    pub kind: u32,
    pub id: ObjectId,
    /// Bytes of the whole object.
    pub size: u32,
    /// Where in it the bytes belong.
    pub at: u32,
    /// Bytes behind the head.
    pub len: u32,
    pub transfer: u32,
}

/// What a region is like.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Begin {
    pub quota: u64,
    pub bytes: u64,
    pub violations: u64,
    pub root: ObjectId,
    pub slots: u32,
    pub objects: u32,
}

/// The checksum of a record, whose first field it is.
fn checksum(record: &[u8]) -> u32 {
    record.get(size_of::<u32>()..).map_or(0, crc32c::crc32c)
}

/// The digest of records, of which the last one has this checksum. Each of them changes it, and so
/// does their order.
pub(super) fn digest(before: u32, crc: u32) -> u32 {
    (before ^ crc).wrapping_mul(0x9e37_79b1).rotate_left(13)
}

/// Writes records one behind the other.
pub(super) struct Writer<'a> {
    left: &'a mut [u8],
    pub written: usize,
}

impl<'a> Writer<'a> {
    pub fn new(frame: &'a mut [u8]) -> Writer<'a> {
        Writer {
            left: frame,
            written: 0,
        }
    }

    /// Bytes that a record's head could announce now; `None` if not even the head fits.
    pub fn room(&self) -> Option<usize> {
        self.left.len().checked_sub(HEAD_BYTES)
    }

    /// Writes a record, whose `crc` and `len` are filled in. Gives the checksum; `None` if it does
    /// not fit.
    pub fn put(&mut self, head: Head, bytes: &[u8]) -> Option<u32> {
        let head = Head {
            len: u32::try_from(bytes.len()).ok()?,
            ..head
        };
        let whole = HEAD_BYTES.checked_add(bytes.len())?;
        if whole > self.left.len() {
            return None;
        }
        let (record, left) = mem::take(&mut self.left).split_at_mut(whole);
        let (front, back) = record.split_at_mut(HEAD_BYTES);
        front.copy_from_slice(head.as_bytes());
        back.copy_from_slice(bytes);
        let crc = checksum(record);
        if let Some(field) = record.first_chunk_mut() {
            *field = crc.to_ne_bytes();
        }
        self.left = left;
        self.written += whole;
        Some(crc)
    }
}

/// Takes the first record off a frame, and checks it.
pub(super) fn next_record<'a>(frame: &mut &'a [u8]) -> Result<(Head, &'a [u8]), TransferError> {
    let (head, _) = Head::read_from_prefix(frame).map_err(|_| TransferError::Truncated)?;
    let (record, rest) = frame
        .split_at_checked(HEAD_BYTES + head.len as usize)
        .ok_or(TransferError::Truncated)?;
    if checksum(record) != head.crc {
        return Err(TransferError::Checksum);
    }
    *frame = rest;
    Ok((head, record.get(HEAD_BYTES..).unwrap_or_default()))
}

/// The destination has everything: what the source waits for before it gives the objects up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Which transfer.
    pub transfer: u32,
    /// Objects that arrived.
    pub objects: u32,
    /// The sum of their lengths, bytes.
    pub bytes: u64,
    /// Over all records.
    pub digest: u32,
    /// Of an object that was moved on its own, the id at its new owner.
    pub id: ObjectId,
}

/// The source has given the objects up: what the destination waits for before it uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    pub(super) transfer: u32,
}

const RECEIPT_BYTES: usize = HEAD_BYTES + 8;

impl Receipt {
    /// As a frame.
    pub fn encode(&self) -> [u8; RECEIPT_BYTES] {
        let mut frame = [0; RECEIPT_BYTES];
        let head = Head {
            crc: 0,
            kind: kind::RECEIPT,
            id: self.id,
            size: self.objects,
            at: self.digest,
            len: 0,
            transfer: self.transfer,
        };
        // It fits, by its size.
        let _ = Writer::new(&mut frame).put(head, self.bytes.as_bytes());
        frame
    }

    /// From [`encode`](Receipt::encode).
    ///
    /// # Errors
    ///
    /// [`TransferError::Truncated`], [`TransferError::Checksum`], [`TransferError::Unexpected`].
    pub fn decode(mut frame: &[u8]) -> Result<Receipt, TransferError> {
        let (head, bytes) = next_record(&mut frame)?;
        match u64::read_from_bytes(bytes) {
            Ok(bytes) if head.kind == kind::RECEIPT => Ok(Receipt {
                transfer: head.transfer,
                objects: head.size,
                bytes,
                digest: head.at,
                id: head.id,
            }),
            _ => Err(TransferError::Unexpected),
        }
    }
}

impl Commit {
    /// As a frame.
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut frame = [0; HEAD_BYTES];
        let head = Head {
            crc: 0,
            kind: kind::COMMIT,
            id: ObjectId::NONE,
            size: 0,
            at: 0,
            len: 0,
            transfer: self.transfer,
        };
        // It fits, by its size.
        let _ = Writer::new(&mut frame).put(head, &[]);
        frame
    }

    /// From [`encode`](Commit::encode).
    ///
    /// # Errors
    ///
    /// [`TransferError::Truncated`], [`TransferError::Checksum`], [`TransferError::Unexpected`].
    pub fn decode(mut frame: &[u8]) -> Result<Commit, TransferError> {
        let (head, _) = next_record(&mut frame)?;
        if head.kind != kind::COMMIT {
            return Err(TransferError::Unexpected);
        }
        Ok(Commit {
            transfer: head.transfer,
        })
    }
}

/// Why a copy cannot go on. The source makes its objects local again; the destination drops what it
/// has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// A frame ends within a record.
    #[error("a frame ends within a record")]
    Truncated,
    /// A record is not what was sent.
    #[error("the checksum of a record is wrong")]
    Checksum,
    /// A record is missing, or came twice.
    #[error("a record is missing, or came twice")]
    Gap,
    /// A record that has no business here, or of another transfer.
    #[error("a record does not belong here")]
    Unexpected,
    /// What was acknowledged is not what was sent.
    #[error("what has arrived is not what was sent")]
    Receipt,
    /// It is not complete yet.
    #[error("it has not arrived completely")]
    Incomplete,
    /// The frame is shorter than [`LEAST_FRAME`].
    #[error("a frame needs at least {LEAST_FRAME} bytes")]
    FrameTooShort,
    /// It cannot be had at the destination, or the source is not in the state for it.
    #[error(transparent)]
    Object(#[from] DmoError),
}
