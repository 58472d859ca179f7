//! What an object is called: 64 bits that name its owner, its slot, and which of the slot's objects
//! it is.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::sched::ActorId;

/// Slots that a region can have: the index field gives 24 of its 32 bits to the slot.
pub const MOST_SLOTS: u32 = 1 << 24;

const SLOT_BITS: u32 = 24;

/// The name of an object. It is the only reference that may stand in an object's bytes or in an
/// actor's state, since it stays the same wherever the object is.
///
/// From the top: 16 bits place of the owner in the table of actors, 16 bits its generation, 32 bits
/// index. The index is 8 bits *use* and 24 bits slot. The use counts the objects that the slot has
/// had, from 1 to 255 and then 1 again; the id of an object that was freed is refused until the
/// same slot has been used 255 times more, and a slot that was freed rests until
/// [`RESTING_SLOTS`](super::RESTING_SLOTS) others have been freed after it (unless the region can
/// get no new one). So a stale id goes unnoticed only after some 16,000 allocations, at the
/// earliest.
///
/// The use is never 0, so that no object is called 0: zeroed bytes hold [`NONE`](ObjectId::NONE).
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub struct ObjectId(u64);

impl ObjectId {
    /// No object; what a null pointer would be.
    pub const NONE: ObjectId = ObjectId(0);

    /// From what [`to_bits`](ObjectId::to_bits) gave.
    pub const fn from_bits(bits: u64) -> ObjectId {
        ObjectId(bits)
    }

    /// As a number.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Whether it is [`NONE`](ObjectId::NONE).
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The actor the object belongs to.
    pub const fn actor(self) -> ActorId {
        ActorId {
            index: (self.0 >> 48) as u16,
            generation: (self.0 >> 32) as u16,
        }
    }

    /// The 32 bits below the actor: use and slot.
    pub const fn index(self) -> u32 {
        self.0 as u32
    }

    pub(super) const fn new(owner: u32, slot: u32, serial: u8) -> ObjectId {
        let index = (serial as u32) << SLOT_BITS | slot & (MOST_SLOTS - 1);
        ObjectId((owner as u64) << 32 | index as u64)
    }

    /// The actor's 32 bits, as one word to compare.
    #[inline]
    pub(super) const fn owner_word(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    pub(super) const fn slot(self) -> usize {
        (self.0 as u32 & (MOST_SLOTS - 1)) as usize
    }

    /// Which of the slot's objects.
    #[inline]
    pub(super) const fn serial(self) -> u8 {
        (self.0 as u32 >> SLOT_BITS) as u8
    }
}

/// An actor's 32 bits at the top of its objects' ids.
pub(super) const fn owner_word(actor: ActorId) -> u32 {
    (actor.index as u32) << 16 | actor.generation as u32
}

/// The use after this one; never 0.
pub(super) const fn next_serial(serial: u8) -> u8 {
    match serial.wrapping_add(1) {
        0 => 1,
        next => next,
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        write!(f, "{}/{}.{}", self.actor(), self.slot(), self.serial())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ip36_an_id_has_its_three_fields() {
        let actor = ActorId {
            index: 0xabcd,
            generation: 0x1234,
        };
        let id = ObjectId::new(owner_word(actor), 0x00fe_dcba, 7);
        assert_eq!(id.to_bits(), 0xabcd_1234_07fe_dcba);
        assert_eq!(id.actor(), actor);
        assert_eq!(id.index(), 0x07fe_dcba);
        assert_eq!((id.slot(), id.serial()), (0x00fe_dcba, 7));
        assert_eq!(ObjectId::from_bits(id.to_bits()), id);
        assert_eq!(id.to_string(), "43981.4660/16702650.7");
    }

    #[test]
    fn ip36_zeroed_bytes_hold_no_id() {
        assert_eq!(ObjectId::read_from_bytes(&[0; 8]).unwrap(), ObjectId::NONE);
        let mut serial = 0;
        for _ in 0..1000 {
            serial = next_serial(serial);
            assert!(!ObjectId::new(0, 0, serial).is_none());
        }
    }
}
