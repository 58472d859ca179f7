//! Distributed memory objects: the state of an actor that goes with it when it is moved.
//!
//! After iPipe (Liu et al., SIGCOMM 2019, section 3.3), and section 3.5 for the quota. The rules:
//!
//! - An object belongs to the actor that made it, and to no other. Every use says whose it is, in
//!   the id; another actor's is refused and counted ([`DmoError::Foreign`]).
//! - At any time one copy of an object can be used, on one side. While it is copied it cannot be
//!   used at all. Nothing is ever read or written across the link between the sides.
//! - Data structures hold [`ObjectId`]s, never pointers. An id stays the same wherever its actor
//!   is. [`vector`], [`map`], [`skiplist`], [`log`] and [`ring`] are made that way, so that nobody
//!   has to make them again.
//! - An id becomes a slice once per handler; the borrow checker ends it with the handler
//!   ([`Region`]).
//! - Each actor has a [`Region`] with a quota, and what would exceed it fails and changes nothing.
//!   A freed block is used again without the system's allocator ([`block_bytes`] says how sizes are
//!   rounded).
//!
//! | iPipe | here |
//! |---|---|
//! | `dmo_malloc`, `dmo_free` | [`Region::alloc`], [`Region::free`] |
//! | `dmo_mmset` | [`Region::set`] |
//! | `dmo_mmcpy`, `dmo_mmmove` | [`Region::copy`], [`Region::move_bytes`] |
//! | `dmo_migrate` | [`Region::migrate`]; across a channel [`Region::detach`], [`outgoing`] and [`Region::adopt`] |
//! | objects move with their actor | [`Region::hand_over`], or [`outgoing`] and [`incoming`] as a copy |
//!
//! A region moves in one of two ways. *Handoff*: the value itself goes, and with it the memory;
//! nothing is copied. *Copy*: [`outgoing`] makes frames of bounded size, [`incoming`] makes a
//! region of them.

mod block;
mod bytes;
pub mod cache;
mod detached;
mod id;
pub mod incoming;
pub mod log;
pub mod map;
pub mod outgoing;
mod record;
mod region;
pub mod ring;
pub mod skiplist;
mod table;
pub mod vector;

#[cfg(test)]
mod tests;

pub use self::block::{GRANULE, KEPT_BYTES, block_bytes};
pub use self::detached::{Departed, Detached};
pub use self::id::{MOST_SLOTS, ObjectId};
pub use self::record::{Commit, LEAST_FRAME, Receipt, TransferError};
pub use self::region::{Place, Region};
pub use self::table::{RESTING_SLOTS, SLOT_BYTES};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::sched::ActorId;

/// What containers can hold: values that are nothing but their bytes, ids of objects among them.
pub trait Plain: FromBytes + IntoBytes + Immutable + Copy {}

impl<T: FromBytes + IntoBytes + Immutable + Copy> Plain for T {}

/// Bytes that an object can have.
pub const MOST_BYTES: usize = 1 << 30;

/// Why something could not be done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DmoError {
    /// [`ObjectId::NONE`] was used.
    #[error("there is no object")]
    NoObject,
    /// It is another actor's.
    #[error("object {id} does not belong to actor {actor}")]
    Foreign {
        /// Which.
        id: ObjectId,
        /// Who asked.
        actor: ActorId,
    },
    /// There has never been such an object.
    #[error("object {id} does not exist")]
    Unknown {
        /// Which.
        id: ObjectId,
    },
    /// It was freed, or has gone to another actor.
    #[error("object {id} does not exist any more")]
    Stale {
        /// Which.
        id: ObjectId,
    },
    /// It is being moved, or its region is.
    #[error("it is being moved")]
    Moving,
    /// It is on the other side, with its region.
    #[error("it is on the other side")]
    Remote,
    /// Objects are on their way to other actors, so that the region cannot be moved yet.
    #[error("{count} objects are on their way to other actors")]
    Leaving {
        /// How many.
        count: u32,
    },
    /// The range goes beyond the object.
    #[error("{len} bytes from {at} on are not within the {size} bytes of object {id}")]
    Bounds {
        /// Which object.
        id: ObjectId,
        /// Beginning of the range, bytes.
        at: usize,
        /// Its length, bytes.
        len: usize,
        /// The object's length, bytes.
        size: usize,
    },
    /// Source and target of a copy overlap.
    #[error("source and target overlap in object {id}")]
    Overlap {
        /// Which object.
        id: ObjectId,
    },
    /// Two different objects are needed.
    #[error("object {id} was named twice")]
    SameObject {
        /// Which.
        id: ObjectId,
    },
    /// The object cannot be looked at as the type that was asked for, or is not of the container's
    /// kind.
    #[error("object {id} does not have the layout that was asked for")]
    Layout {
        /// Which.
        id: ObjectId,
    },
    /// It would exceed the actor's quota.
    #[error("{asked} bytes are more than the {left} that are left of the quota")]
    Quota {
        /// Bytes.
        asked: usize,
        /// Bytes.
        left: usize,
    },
    /// An object cannot be as large as that.
    #[error("{bytes} bytes are more than an object can have ({MOST_BYTES})")]
    TooLarge {
        /// Bytes.
        bytes: usize,
    },
    /// The system has no memory.
    #[error("the system has no {bytes} bytes left")]
    NoMemory {
        /// Bytes.
        bytes: usize,
    },
    /// The actor has as many objects as ids can tell apart.
    #[error("there are no more ids for objects")]
    NoSlot,
    /// A bounded container is full.
    #[error("it is full")]
    Full,
}
