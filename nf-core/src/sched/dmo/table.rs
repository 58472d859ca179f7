//! The table of a region: a slot for each object, and the slots that wait to be used again.

use std::mem;

use super::block::Block;
use super::id::{MOST_SLOTS, ObjectId, next_serial};
use super::region::no_memory;
use super::{DmoError, Region};

/// Slots that stay unused after their objects were freed, as long as the table can grow: what makes
/// it unlikely that a stale id is taken for its successor.
pub const RESTING_SLOTS: u32 = 64;

/// What each slot of the table costs of the quota, bytes. Slots are never given back, so this also
/// bounds the number of objects of no length.
pub const SLOT_BYTES: usize = 32;

/// End of the list of free slots.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Free,
    Local,
    /// On its way to another actor.
    Moving,
}

/// [`Entry::live`] of one that cannot be used; no id has it.
const DEAD: u16 = 1 << 8;

/// A slot of the table.
pub(super) struct Entry {
    pub block: Block,
    /// Bytes of the object; of a free slot, the next free one.
    pub len: u32,
    /// The serial number of the object if it can be used, and [`DEAD`] if not.
    pub live: u16,
    /// The serial number of the last object.
    pub serial: u8,
    pub phase: Phase,
}

impl Entry {
    fn unused() -> Entry {
        Entry {
            block: Block::default(),
            len: NO_SLOT,
            live: DEAD,
            serial: 0,
            phase: Phase::Free,
        }
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.block
            .bytes()
            .get(..self.len as usize)
            .unwrap_or_default()
    }

    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.len as usize;
        self.block.bytes_mut().get_mut(..len).unwrap_or_default()
    }

    pub fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.live = match phase {
            Phase::Local => u16::from(self.serial),
            Phase::Free | Phase::Moving => DEAD,
        };
    }
}

/// Free slots, the one that has rested longest first; chained through the entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct FreeSlots {
    pub head: u32,
    tail: u32,
    pub count: u32,
}

impl Default for FreeSlots {
    fn default() -> FreeSlots {
        FreeSlots {
            head: NO_SLOT,
            tail: NO_SLOT,
            count: 0,
        }
    }
}

impl Region {
    /// Gives a block of this region's store a slot and an id.
    pub(super) fn seat(&mut self, block: Block, len: u32) -> Result<ObjectId, DmoError> {
        match self.new_slot() {
            Ok(slot) => Ok(self.seat_in(slot, block, len)),
            Err(error) => {
                self.store.put(block);
                Err(error)
            }
        }
    }

    /// As [`seat`](Region::seat), with a slot from [`new_slot`](Region::new_slot).
    pub(super) fn seat_in(&mut self, slot: u32, block: Block, len: u32) -> ObjectId {
        let Some(entry) = self.entries.get_mut(slot as usize) else {
            return ObjectId::NONE;
        };
        entry.block = block;
        entry.len = len;
        entry.serial = next_serial(entry.serial);
        entry.set_phase(Phase::Local);
        let id = ObjectId::new(self.owner, slot, entry.serial);
        self.objects += 1;
        self.bytes += u64::from(len);
        id
    }

    /// Ends the object in a slot and gives its block.
    pub(super) fn unseat(&mut self, slot: usize) -> Block {
        let Some(entry) = self.entries.get_mut(slot) else {
            return Block::default();
        };
        self.objects -= 1;
        self.bytes -= u64::from(entry.len);
        let block = mem::take(&mut entry.block);
        self.rest(slot as u32);
        block
    }

    /// Puts a slot at the end of the free ones.
    pub(super) fn rest(&mut self, slot: u32) {
        if let Some(entry) = self.entries.get_mut(slot as usize) {
            entry.len = NO_SLOT;
            // One that was never used counts as used: that is how the free ones are told when they
            // are copied.
            entry.serial = entry.serial.max(1);
            entry.set_phase(Phase::Free);
        }
        match self.entries.get_mut(self.free.tail as usize) {
            Some(last) if self.free.count > 0 => last.len = slot,
            _ => self.free.head = slot,
        }
        self.free.tail = slot;
        self.free.count += 1;
    }

    /// A slot that is in nobody's list: it is to be used, or to [`rest`](Region::rest).
    pub(super) fn new_slot(&mut self) -> Result<u32, DmoError> {
        if self.free.count > RESTING_SLOTS {
            return self.rested();
        }
        match self.grow(1) {
            Err(_) if self.free.count > 0 => self.rested(),
            slot => slot,
        }
    }

    fn rested(&mut self) -> Result<u32, DmoError> {
        let slot = self.free.head;
        let entry = self.entries.get(slot as usize).ok_or(DmoError::NoSlot)?;
        self.free.head = entry.len;
        self.free.count -= 1;
        Ok(slot)
    }

    /// More slots, which are in nobody's list; gives the first of them.
    pub(super) fn grow(&mut self, count: u32) -> Result<u32, DmoError> {
        let first = self.entries.len() as u32;
        if count > MOST_SLOTS - first {
            return Err(DmoError::NoSlot);
        }
        let (bytes, count) = (count as usize * SLOT_BYTES, count as usize);
        self.store.charge(bytes)?;
        if self.entries.try_reserve(count).is_err() {
            self.store.discharge(bytes);
            return Err(no_memory(bytes));
        }
        let slots = self.entries.len() + count;
        self.entries.resize_with(slots, Entry::unused);
        Ok(first)
    }

    /// Puts an object into a slot of its own choice, as it was at the source.
    pub(super) fn seat_at(&mut self, slot: usize, serial: u8, len: u32) -> Result<(), DmoError> {
        let block = self.store.take(len as usize)?;
        match self.entries.get_mut(slot) {
            Some(entry) if entry.phase == Phase::Free => {
                entry.block = block;
                entry.len = len;
                entry.serial = serial;
                entry.set_phase(Phase::Local);
            }
            _ => {
                self.store.put(block);
                return Err(DmoError::NoSlot);
            }
        }
        self.objects += 1;
        self.bytes += u64::from(len);
        Ok(())
    }
}
