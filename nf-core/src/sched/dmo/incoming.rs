//! The destination of a copy: makes a region, or one object, of the frames that arrive.
//!
//! Nothing that arrives is believed: every record has its checksum, must be the next one, and is
//! checked against the quota and the table's size before it takes memory. On an error, drop what
//! there is; nobody has used it.

use zerocopy::FromBytes;

use super::id::{MOST_SLOTS, ObjectId};
use super::record::{Begin, Commit, Head, Receipt, digest, kind, next_record};
use super::table::{Phase, SLOT_BYTES};
use super::{DmoError, Place, Region, TransferError};
use crate::sched::ActorId;

/// An object that has not arrived completely.
#[derive(Debug, Clone, Copy)]
struct Partly {
    id: ObjectId,
    at: u32,
}

/// What all records have in common: one transfer, and a digest.
#[derive(Debug, Default)]
struct Line {
    transfer: u32,
    digest: u32,
    ended: bool,
}

impl Line {
    /// Notes a record that is not the last; of the first one also which transfer it is.
    fn note(&mut self, head: &Head, first: bool) -> Result<(), TransferError> {
        if first {
            self.transfer = head.transfer;
        }
        if self.ended || head.transfer != self.transfer {
            return Err(TransferError::Unexpected);
        }
        self.digest = digest(self.digest, head.crc);
        Ok(())
    }

    fn end(&mut self, head: &Head) -> Result<(), TransferError> {
        if self.ended || head.transfer != self.transfer {
            return Err(TransferError::Unexpected);
        }
        if head.size != self.digest {
            return Err(TransferError::Gap);
        }
        self.ended = true;
        Ok(())
    }
}

/// A region that arrives.
#[derive(Debug)]
pub struct Incoming {
    most_quota: usize,
    line: Line,
    begin: Begin,
    region: Option<Region>,
    free: u32,
    partly: Option<Partly>,
}

/// A region that has arrived, and that nobody can use before its source has given it up.
#[derive(Debug)]
pub struct Arrived {
    region: Region,
    receipt: Receipt,
}

impl Incoming {
    /// For a region whose quota is at most `most_quota` bytes.
    pub fn new(most_quota: usize) -> Incoming {
        Incoming {
            most_quota,
            line: Line::default(),
            begin: Begin::default(),
            region: None,
            free: 0,
            partly: None,
        }
    }

    /// Takes a frame in. True: it was the last one.
    ///
    /// # Errors
    ///
    /// Any [`TransferError`]; what there is has to be dropped then.
    pub fn accept(&mut self, mut frame: &[u8]) -> Result<bool, TransferError> {
        while !frame.is_empty() {
            let (head, bytes) = next_record(&mut frame)?;
            match head.kind {
                kind::BEGIN => self.begin(&head, bytes)?,
                kind::FREE => self.free(&head, bytes)?,
                kind::PART => self.part(&head, bytes)?,
                kind::END => self.end(&head)?,
                _ => return Err(TransferError::Unexpected),
            }
        }
        Ok(self.line.ended)
    }

    fn begin(&mut self, head: &Head, bytes: &[u8]) -> Result<(), TransferError> {
        if self.region.is_some() {
            return Err(TransferError::Unexpected);
        }
        let begin = Begin::read_from_bytes(bytes).map_err(|_| TransferError::Unexpected)?;
        self.line.note(head, true)?;
        let quota = usize::try_from(begin.quota).unwrap_or(usize::MAX);
        if quota > self.most_quota {
            return Err(TransferError::Object(DmoError::Quota {
                asked: quota,
                left: self.most_quota,
            }));
        }
        if begin.slots > MOST_SLOTS || begin.slots as usize > quota / SLOT_BYTES {
            return Err(TransferError::Object(DmoError::NoSlot));
        }
        let mut region = Region::new(head.id.actor(), quota);
        region.take_over(begin.root, begin.violations);
        region.grow(begin.slots)?;
        region.set_place(Place::Moving);
        self.begin = begin;
        self.region = Some(region);
        Ok(())
    }

    fn free(&mut self, head: &Head, bytes: &[u8]) -> Result<(), TransferError> {
        let region = self.region.as_mut().ok_or(TransferError::Unexpected)?;
        self.line.note(head, false)?;
        if head.at != self.free || !bytes.len().is_multiple_of(size_of::<u32>()) {
            return Err(TransferError::Gap);
        }
        for index in bytes.chunks_exact(size_of::<u32>()) {
            let index = u32::read_from_bytes(index).map_err(|_| TransferError::Gap)?;
            let id = ObjectId::from_bits(u64::from(index));
            // A slot of the list has been used, and is in it once.
            let entry = region.entry_mut(id.slot()).ok_or(TransferError::Gap)?;
            if id.serial() == 0 || entry.serial != 0 {
                return Err(TransferError::Gap);
            }
            entry.serial = id.serial();
            region.rest(id.slot() as u32);
            self.free += 1;
        }
        Ok(())
    }

    fn part(&mut self, head: &Head, bytes: &[u8]) -> Result<(), TransferError> {
        let region = self.region.as_mut().ok_or(TransferError::Unexpected)?;
        self.line.note(head, false)?;
        let id = head.id;
        if id.owner_word() != region.owner_word() {
            return Err(TransferError::Unexpected);
        }
        if head.at == 0 && self.partly.is_none() {
            let entry = region.entry_mut(id.slot()).ok_or(TransferError::Gap)?;
            if id.serial() == 0 || entry.serial != 0 {
                return Err(TransferError::Gap);
            }
            super::region::length(head.size as usize)?;
            region.seat_at(id.slot(), id.serial(), head.size)?;
            self.partly = Some(Partly { id, at: 0 });
        }
        let entry = region.entry_mut(id.slot()).ok_or(TransferError::Gap)?;
        let expected = self.partly.ok_or(TransferError::Gap)?;
        self.partly = put_part(expected, head, bytes, entry.bytes_mut())?;
        Ok(())
    }

    fn end(&mut self, head: &Head) -> Result<(), TransferError> {
        let region = self.region.as_ref().ok_or(TransferError::Unexpected)?;
        let objects = region.objects() as u32;
        let is_all = self.partly.is_none()
            && objects == self.begin.objects
            && region.bytes() == self.begin.bytes
            && objects + self.free == self.begin.slots;
        if !is_all {
            return Err(TransferError::Gap);
        }
        self.line.end(head)
    }

    /// The region, once its last frame was taken in, to be acknowledged.
    ///
    /// # Errors
    ///
    /// [`TransferError::Incomplete`].
    pub fn finish(self) -> Result<Arrived, TransferError> {
        match self.region {
            Some(region) if self.line.ended => Ok(Arrived {
                receipt: Receipt {
                    transfer: self.line.transfer,
                    objects: self.begin.objects,
                    bytes: self.begin.bytes,
                    digest: self.line.digest,
                    id: ObjectId::NONE,
                },
                region,
            }),
            _ => Err(TransferError::Incomplete),
        }
    }
}

impl Arrived {
    /// Whose region it is.
    pub fn owner(&self) -> ActorId {
        self.region.owner()
    }

    /// What is to be sent to the source.
    pub fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// Makes the region usable: its source has given it up.
    ///
    /// # Errors
    ///
    /// What has arrived, if the commit is another transfer's.
    pub fn activate(mut self, commit: &Commit) -> Result<Region, Box<Arrived>> {
        if commit.transfer != self.receipt.transfer {
            return Err(Box::new(self));
        }
        self.region.set_place(Place::Local);
        Ok(self.region)
    }
}

/// Puts a part where it belongs, and says what is still expected of the object.
fn put_part(
    expected: Partly,
    head: &Head,
    bytes: &[u8],
    object: &mut [u8],
) -> Result<Option<Partly>, TransferError> {
    if expected.id != head.id || expected.at != head.at || head.size as usize != object.len() {
        return Err(TransferError::Gap);
    }
    let start = head.at as usize;
    let end = start + bytes.len();
    let target = object.get_mut(start..end).ok_or(TransferError::Gap)?;
    target.copy_from_slice(bytes);
    let complete = end == object.len();
    if bytes.is_empty() && !complete {
        return Err(TransferError::Gap);
    }
    Ok((!complete).then_some(Partly {
        id: head.id,
        at: end as u32,
    }))
}

/// One object that arrives from another actor's region. It has its place in the region of its new
/// owner from the first frame on, so that nothing can fail after the source has given it up.
#[derive(Debug, Default)]
pub struct IncomingObject {
    line: Line,
    size: u32,
    /// In the new owner's region; none before the first frame.
    id: Option<ObjectId>,
    partly: Option<Partly>,
}

impl IncomingObject {
    /// Takes a frame in. The receipt, once it was the last one: the object is in `region`, and
    /// cannot be used yet.
    ///
    /// # Errors
    ///
    /// Any [`TransferError`]; [`discard`](IncomingObject::discard) it then.
    pub fn accept(
        &mut self,
        region: &mut Region,
        mut frame: &[u8],
    ) -> Result<Option<Receipt>, TransferError> {
        while !frame.is_empty() {
            let (head, bytes) = next_record(&mut frame)?;
            match head.kind {
                kind::ONE => self.begin(region, &head)?,
                kind::PART => {
                    self.line.note(&head, false)?;
                    let expected = self.partly.ok_or(TransferError::Gap)?;
                    let slot = self.id.ok_or(TransferError::Gap)?.slot();
                    let entry = region.entry_mut(slot).ok_or(TransferError::Gap)?;
                    self.partly = put_part(expected, &head, bytes, entry.bytes_mut())?;
                }
                kind::END if self.partly.is_none() => self.line.end(&head)?,
                kind::END => return Err(TransferError::Gap),
                _ => return Err(TransferError::Unexpected),
            }
        }
        Ok(match self.id {
            Some(id) if self.line.ended => Some(Receipt {
                transfer: self.line.transfer,
                objects: 1,
                bytes: u64::from(self.size),
                digest: self.line.digest,
                id,
            }),
            _ => None,
        })
    }

    fn begin(&mut self, region: &mut Region, head: &Head) -> Result<(), TransferError> {
        if self.id.is_some() {
            return Err(TransferError::Unexpected);
        }
        self.line.note(head, true)?;
        let id = region.alloc(head.size as usize)?;
        if let Some(entry) = region.entry_mut(id.slot()) {
            entry.set_phase(Phase::Moving);
        }
        region.set_leaving(region.leaving() + 1);
        self.size = head.size;
        self.id = Some(id);
        self.partly = Some(Partly { id: head.id, at: 0 });
        Ok(())
    }

    /// Makes the object usable: its former owner has given it up. Gives its id.
    ///
    /// # Errors
    ///
    /// [`TransferError::Incomplete`], [`TransferError::Unexpected`] if the commit is another
    /// transfer's; nothing changes.
    pub fn activate(
        &mut self,
        region: &mut Region,
        commit: &Commit,
    ) -> Result<ObjectId, TransferError> {
        let id = self.id.ok_or(TransferError::Incomplete)?;
        if !self.line.ended {
            return Err(TransferError::Incomplete);
        }
        if commit.transfer != self.line.transfer {
            return Err(TransferError::Unexpected);
        }
        self.id = None;
        if let Some(entry) = region.entry_mut(id.slot()) {
            entry.set_phase(Phase::Local);
        }
        region.set_leaving(region.leaving().saturating_sub(1));
        Ok(id)
    }

    /// Ends an arrival that fails: gives its memory back.
    pub fn discard(mut self, region: &mut Region) {
        if let Some(id) = self.id.take() {
            region.set_leaving(region.leaving().saturating_sub(1));
            let block = region.unseat(id.slot());
            region.store_mut().put(block);
        }
    }
}
