//! The source of a copy: makes frames of a region's objects, and keeps the objects until they are
//! acknowledged.
//!
//! | source | destination |
//! |---|---|
//! | [`Region::start_copy`]: the region is *moving*, nothing can be used | |
//! | [`Outgoing::fill`], frame by frame | [`Incoming::accept`](super::incoming::Incoming::accept) |
//! | | all has arrived: a [`Receipt`]; nothing can be used yet |
//! | [`Region::commit_copy`]: the region is *remote*, its memory is freed; a [`Commit`] | |
//! | | [`Arrived::activate`](super::incoming::Arrived::activate): the region is *local* |
//!
//! So at no time can both copies be used. If the source gives up before it has committed
//! ([`Region::abort_copy`]), it is local again; the destination never gets a commit, and drops what
//! it has. After the commit there is only one way, forward. If the commit is lost, no copy can be
//! used until it is sent again, which is always right.

use zerocopy::IntoBytes;

use super::id::ObjectId;
use super::record::{Begin, Commit, HEAD_BYTES, Head, LEAST_FRAME, Receipt, Writer, digest, kind};
use super::table::{NO_SLOT, Phase};
use super::{DmoError, Place, Region, TransferError};

/// What is sent next.
#[derive(Debug, Clone, Copy)]
enum Next {
    Begin,
    /// The free slots from this one on, which is the given one of them.
    Free {
        slot: u32,
        place: u32,
    },
    /// The objects from this slot on, the first one from this byte on.
    Objects {
        slot: usize,
        at: u32,
    },
    End,
    Done,
}

/// How far a copy has got.
#[derive(Debug)]
pub struct Outgoing {
    transfer: u32,
    /// The one slot that is sent, or all.
    only: Option<usize>,
    next: Next,
    digest: u32,
    objects: u32,
    bytes: u64,
}

/// Free slots that one record lists at most.
const FREE_PER_RECORD: usize = 64;

/// An object is begun in a frame only if at least this much of it fits, bytes.
const LEAST_PART: usize = 64;

impl Region {
    /// Begins to copy all objects. `transfer` tells this copy from others that the destination may
    /// still hear of.
    ///
    /// # Errors
    ///
    /// [`DmoError::Moving`], [`DmoError::Remote`], [`DmoError::Leaving`].
    pub fn start_copy(&mut self, transfer: u32) -> Result<Outgoing, DmoError> {
        self.movable()?;
        self.set_place(Place::Moving);
        Ok(Outgoing::new(transfer, None))
    }

    /// Begins to copy one object, to the region of another actor that only messages reach;
    /// [`IncomingObject`](super::incoming::IncomingObject) is the other end. The object is
    /// *moving*; the others are as they were.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Region::get).
    pub fn start_copy_of(&mut self, id: ObjectId, transfer: u32) -> Result<Outgoing, DmoError> {
        self.find(id)?;
        if let Some(entry) = self.entry_mut(id.slot()) {
            entry.set_phase(Phase::Moving);
        }
        self.set_leaving(self.leaving() + 1);
        Ok(Outgoing::new(transfer, Some(id.slot())))
    }

    /// Makes what was copied usable again, and voids the copy.
    pub fn abort_copy(&mut self, outgoing: Outgoing) {
        match outgoing.only {
            None if self.place() == Place::Moving => self.set_place(Place::Local),
            Some(slot) => {
                if let Some(entry) = self.entry_mut(slot)
                    && entry.phase == Phase::Moving
                {
                    entry.set_phase(Phase::Local);
                    self.set_leaving(self.leaving().saturating_sub(1));
                }
            }
            None => {}
        }
    }

    /// Gives up what was copied, and frees its memory.
    ///
    /// # Errors
    ///
    /// The copy, which is to be aborted, and why: [`TransferError::Receipt`] if the receipt does
    /// not acknowledge what was sent, [`TransferError::Incomplete`], [`TransferError::Unexpected`]
    /// if nothing is being copied here.
    pub fn commit_copy(
        &mut self,
        outgoing: Outgoing,
        receipt: &Receipt,
    ) -> Result<Commit, (Outgoing, TransferError)> {
        if let Err(error) = outgoing.check(receipt) {
            return Err((outgoing, error));
        }
        match outgoing.only {
            None if self.place() == Place::Moving => *self = Region::remote(self.owner()),
            Some(slot) if self.place() == Place::Local => {
                let block = self.unseat(slot);
                self.store_mut().put(block);
                self.set_leaving(self.leaving().saturating_sub(1));
            }
            _ => return Err((outgoing, TransferError::Unexpected)),
        }
        Ok(Commit {
            transfer: outgoing.transfer,
        })
    }

    /// Hands the region itself over: the value that is returned is the actor's memory, and this one
    /// is remote. Nothing is copied.
    ///
    /// # Errors
    ///
    /// Those of [`start_copy`](Region::start_copy).
    pub fn hand_over(&mut self) -> Result<Region, DmoError> {
        self.movable()?;
        let remote = Region::remote(self.owner());
        Ok(std::mem::replace(self, remote))
    }

    fn movable(&self) -> Result<(), DmoError> {
        self.usable()?;
        match self.leaving() {
            0 => Ok(()),
            count => Err(DmoError::Leaving { count }),
        }
    }
}

impl Outgoing {
    pub(super) fn new(transfer: u32, only: Option<usize>) -> Outgoing {
        Outgoing {
            transfer,
            only,
            next: Next::Begin,
            digest: 0,
            objects: 0,
            bytes: 0,
        }
    }

    /// Whether all frames have been made.
    pub fn is_done(&self) -> bool {
        matches!(self.next, Next::Done)
    }

    /// Makes the next frame, and gives its length; 0 when all have been made. Frames have to arrive
    /// all and in order.
    ///
    /// # Errors
    ///
    /// [`TransferError::FrameTooShort`], and [`TransferError::Object`] if `region` is not being
    /// copied.
    pub fn fill(&mut self, region: &Region, frame: &mut [u8]) -> Result<usize, TransferError> {
        if frame.len() < LEAST_FRAME {
            return Err(TransferError::FrameTooShort);
        }
        match (region.place(), self.only) {
            (Place::Moving, None) | (Place::Local, Some(_)) => {}
            (Place::Remote, _) => return Err(DmoError::Remote.into()),
            _ => return Err(TransferError::Unexpected),
        }
        let mut writer = Writer::new(frame);
        while let Some(next) = self.step(region, &mut writer) {
            self.next = next;
        }
        Ok(writer.written)
    }

    /// Writes one record, and says what comes next; `None` if the frame is full, or everything
    /// written.
    fn step(&mut self, region: &Region, writer: &mut Writer<'_>) -> Option<Next> {
        match self.next {
            Next::Begin => self.begin(region, writer),
            Next::Free { slot, place } => self.free(region, writer, slot, place),
            Next::Objects { slot, at } => self.part(region, writer, slot, at),
            Next::End => {
                let head = Head {
                    size: self.digest,
                    ..self.head(kind::END, ObjectId::NONE)
                };
                writer.put(head, &[])?;
                Some(Next::Done)
            }
            Next::Done => None,
        }
    }

    fn begin(&mut self, region: &Region, writer: &mut Writer<'_>) -> Option<Next> {
        let owner = region.owner_word();
        if let Some(slot) = self.only {
            let entry = region.entries().get(slot)?;
            let id = ObjectId::new(owner, slot as u32, entry.serial);
            let head = Head {
                size: entry.len,
                ..self.head(kind::ONE, id)
            };
            self.put(writer, head, &[])?;
            return Some(Next::Objects { slot, at: 0 });
        }
        let begin = Begin {
            quota: region.quota() as u64,
            bytes: region.bytes(),
            violations: region.violations(),
            root: region.root(),
            slots: region.entries().len() as u32,
            objects: region.objects() as u32,
        };
        let head = self.head(kind::BEGIN, ObjectId::new(owner, 0, 0));
        self.put(writer, head, begin.as_bytes())?;
        Some(Next::Free {
            slot: region.free_slots().head,
            place: 0,
        })
    }

    fn free(
        &mut self,
        region: &Region,
        writer: &mut Writer<'_>,
        mut slot: u32,
        place: u32,
    ) -> Option<Next> {
        let left = region.free_slots().count - place;
        if left == 0 {
            return Some(Next::Objects { slot: 0, at: 0 });
        }
        let mut list = [0_u32; FREE_PER_RECORD];
        let most = (writer.room()? / size_of::<u32>()).min(left as usize);
        if most == 0 {
            return None;
        }
        let mut count = 0;
        for listed in list.iter_mut().take(most) {
            let entry = region.entries().get(slot as usize)?;
            *listed = ObjectId::new(0, slot, entry.serial).index();
            slot = entry.len;
            count += 1;
        }
        let head = Head {
            at: place,
            ..self.head(kind::FREE, ObjectId::NONE)
        };
        self.put(writer, head, list.get(..count)?.as_bytes())?;
        debug_assert!(slot != NO_SLOT || count == left as usize);
        Some(Next::Free {
            slot,
            place: place + count as u32,
        })
    }

    fn part(
        &mut self,
        region: &Region,
        writer: &mut Writer<'_>,
        slot: usize,
        at: u32,
    ) -> Option<Next> {
        let wanted = match self.only {
            Some(_) => Phase::Moving,
            None => Phase::Local,
        };
        let ahead = region.entries().get(slot..).unwrap_or_default();
        let found = ahead.iter().position(|entry| entry.phase == wanted);
        let Some((slot, entry)) = found.and_then(|ahead| {
            let slot = slot + ahead;
            Some((slot, region.entries().get(slot)?))
        }) else {
            return Some(Next::End);
        };
        let left = entry.bytes().get(at as usize..)?;
        let room = writer.room()?;
        if room < left.len().min(LEAST_PART) {
            return None;
        }
        let part = left.get(..room.min(left.len()))?;
        let head = Head {
            size: entry.len,
            at,
            ..self.head(
                kind::PART,
                ObjectId::new(region.owner_word(), slot as u32, entry.serial),
            )
        };
        self.put(writer, head, part)?;
        if part.len() < left.len() {
            let at = at + part.len() as u32;
            return Some(Next::Objects { slot, at });
        }
        self.objects += 1;
        self.bytes += u64::from(entry.len);
        Some(match self.only {
            Some(_) => Next::End,
            None => Next::Objects {
                slot: slot + 1,
                at: 0,
            },
        })
    }

    fn head(&self, kind: u32, id: ObjectId) -> Head {
        Head {
            kind,
            crc: 0,
            id,
            size: 0,
            at: 0,
            len: 0,
            transfer: self.transfer,
        }
    }

    fn put(&mut self, writer: &mut Writer<'_>, head: Head, bytes: &[u8]) -> Option<()> {
        let crc = writer.put(head, bytes)?;
        self.digest = digest(self.digest, crc);
        Some(())
    }

    /// Whether a receipt acknowledges what was sent.
    fn check(&self, receipt: &Receipt) -> Result<(), TransferError> {
        let sent = Receipt {
            transfer: self.transfer,
            objects: self.objects,
            bytes: self.bytes,
            digest: self.digest,
            id: receipt.id,
        };
        if !self.is_done() {
            return Err(TransferError::Incomplete);
        }
        if sent != *receipt || self.only.is_some() == receipt.id.is_none() {
            return Err(TransferError::Receipt);
        }
        Ok(())
    }
}

/// A frame always holds the largest record that cannot be divided.
const _: () = assert!(
    LEAST_FRAME >= HEAD_BYTES + size_of::<Begin>() && LEAST_FRAME >= HEAD_BYTES + LEAST_PART
);
