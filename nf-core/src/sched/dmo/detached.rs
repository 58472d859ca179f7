//! One object to another actor, its memory with it: `dmo_migrate` of iPipe.
//!
//! The object gets a new id, since the id says whose it is; the old one is refused as stale. Only
//! its bytes move: ids of other objects among them still name objects of the old owner, and are
//! refused there.
//!
//! The source keeps the object's slot, in the state *moving*, and its share of the quota until it
//! knows that the object has arrived, so that taking it back cannot fail.

use std::fmt;

use super::block::Block;
use super::id::ObjectId;
use super::table::Phase;
use super::{DmoError, Region};

/// The memory of an object between two owners. It goes on with [`Region::adopt`], or back with
/// [`Region::reattach`].
#[must_use]
pub struct Detached {
    block: Block,
    len: u32,
    id: ObjectId,
}

impl Detached {
    /// What it was called at its former owner.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Its length, bytes.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detached")
            .field("id", &self.id)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// An object has a new owner: what the former one waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Departed {
    old: ObjectId,
    /// What it is called now.
    pub id: ObjectId,
    block: usize,
}

impl Departed {
    /// What it was called at its former owner.
    pub fn old(&self) -> ObjectId {
        self.old
    }
}

impl Region {
    /// Moves one object to another actor's region without copying it, and gives its id there.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Region::get) here, and of [`alloc`](Region::alloc) there; nothing changes.
    pub fn migrate(&mut self, id: ObjectId, to: &mut Region) -> Result<ObjectId, DmoError> {
        let detached = self.detach(id)?;
        match to.adopt(detached) {
            Ok(departed) => {
                self.settle(departed)?;
                Ok(departed.id)
            }
            Err((detached, error)) => {
                self.reattach(detached)?;
                Err(error)
            }
        }
    }

    /// Takes an object out, for an owner on another core. It cannot be used here any more.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Region::get).
    pub fn detach(&mut self, id: ObjectId) -> Result<Detached, DmoError> {
        self.find(id)?;
        let entry = self.entry_mut(id.slot()).ok_or(DmoError::Unknown { id })?;
        entry.set_phase(Phase::Moving);
        let block = std::mem::take(&mut entry.block);
        let len = entry.len;
        self.set_leaving(self.leaving() + 1);
        Ok(Detached { block, len, id })
    }

    /// Takes an object in that another actor had. It can be used from now on.
    ///
    /// # Errors
    ///
    /// Those of [`alloc`](Region::alloc), with the object.
    pub fn adopt(&mut self, detached: Detached) -> Result<Departed, (Detached, DmoError)> {
        if let Err(error) = self.usable() {
            return Err((detached, error));
        }
        let slot = match self.new_slot() {
            Ok(slot) => slot,
            Err(error) => return Err((detached, error)),
        };
        if let Err(error) = self.store_mut().charge(detached.block.len()) {
            self.rest(slot);
            return Err((detached, error));
        }
        let (old, block) = (detached.id, detached.block.len());
        let id = self.seat_in(slot, detached.block, detached.len);
        Ok(Departed { old, id, block })
    }

    /// Ends what [`detach`](Region::detach) began: the object has arrived.
    ///
    /// # Errors
    ///
    /// [`DmoError::Stale`] if no such object is on its way.
    pub fn settle(&mut self, departed: Departed) -> Result<(), DmoError> {
        self.leaver(departed.old)?;
        self.set_leaving(self.leaving().saturating_sub(1));
        let _empty = self.unseat(departed.old.slot());
        self.store_mut().discharge(departed.block);
        Ok(())
    }

    /// Undoes [`detach`](Region::detach).
    ///
    /// # Errors
    ///
    /// [`DmoError::Stale`] if it is not from here; it is gone then.
    pub fn reattach(&mut self, detached: Detached) -> Result<(), DmoError> {
        self.leaver(detached.id)?;
        if let Some(entry) = self.entry_mut(detached.id.slot()) {
            entry.block = detached.block;
            entry.set_phase(Phase::Local);
        }
        self.set_leaving(self.leaving().saturating_sub(1));
        Ok(())
    }

    /// Whether the object with this id is on its way from here.
    fn leaver(&mut self, id: ObjectId) -> Result<(), DmoError> {
        let is_ours = id.owner_word() == self.owner_word();
        match self.entry_mut(id.slot()) {
            Some(entry)
                if is_ours && entry.phase == Phase::Moving && entry.serial == id.serial() =>
            {
                Ok(())
            }
            _ => Err(DmoError::Stale { id }),
        }
    }
}
