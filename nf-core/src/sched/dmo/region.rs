//! An actor's memory: its table of objects, its quota, and the way from an id to the bytes.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::block::Store;
use super::id::{ObjectId, owner_word};
use super::table::{Entry, FreeSlots, Phase, SLOT_BYTES};
use super::{DmoError, MOST_BYTES};
use crate::sched::ActorId;

/// Where the objects of a region are, as seen from one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Here. The only place in which they can be used.
    Local,
    /// Still or already here, but perhaps also there: nothing may be touched until that is settled.
    Moving,
    /// Elsewhere.
    Remote,
}

/// All objects of an actor.
///
/// The way from an id to the bytes is one bounds check and two comparisons (owner, and which of the
/// slot's objects): no hashing. What it gives is borrowed from the region, so **a handler resolves
/// an id once and uses the slice until it returns**, and nothing can keep one beyond that, nor
/// while the region is moved:
///
/// ```
/// # fn main() -> Result<(), nf_core::sched::dmo::DmoError> {
/// use nf_core::sched::{ActorId, dmo::Region};
/// let mut region = Region::new(ActorId { index: 1, generation: 0 }, 1 << 20);
/// let id = region.alloc(64)?;
/// let bytes = region.get(id)?;
/// assert_eq!(bytes.len(), 64);
/// let there = region.hand_over()?;
/// assert!(there.get(id).is_ok() && region.get(id).is_err());
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0502
/// # fn main() -> Result<(), nf_core::sched::dmo::DmoError> {
/// # use nf_core::sched::{ActorId, dmo::Region};
/// # let mut region = Region::new(ActorId { index: 1, generation: 0 }, 1 << 20);
/// # let id = region.alloc(64)?;
/// let bytes = region.get(id)?;
/// let there = region.hand_over()?;
/// assert_eq!(bytes.len(), 64); // still borrowed
/// # Ok(())
/// # }
/// ```
///
/// Whoever has `&Region` may read, whoever has `&mut Region` may write; a region that several cores
/// use is behind a lock that its actor chooses.
pub struct Region {
    /// The owner's word while local; no id's otherwise.
    open: u64,
    pub(super) owner: u32,
    place: Place,
    pub(super) entries: Vec<Entry>,
    pub(super) free: FreeSlots,
    pub(super) store: Store,
    pub(super) objects: u32,
    pub(super) bytes: u64,
    root: ObjectId,
    /// Objects on their way to other actors.
    leaving: u32,
    violations: AtomicU64,
}

/// [`Region::open`] while it is not local.
const SHUT: u64 = u64::MAX;

impl Region {
    /// An empty one, whose objects, with their slots of the table, take at most `quota` bytes.
    pub fn new(owner: ActorId, quota: usize) -> Region {
        let mut region = Region {
            open: SHUT,
            owner: owner_word(owner),
            place: Place::Local,
            entries: Vec::new(),
            free: FreeSlots::default(),
            store: Store::new(quota),
            objects: 0,
            bytes: 0,
            root: ObjectId::NONE,
            leaving: 0,
            violations: AtomicU64::new(0),
        };
        region.set_place(Place::Local);
        region
    }

    /// What stands for the objects of an actor that are elsewhere.
    pub fn remote(owner: ActorId) -> Region {
        let mut region = Region::new(owner, 0);
        region.set_place(Place::Remote);
        region
    }

    /// The quota of each of `actors`, when all get the same share of what the runtime leaves, bytes
    /// (iPipe, section 3.5).
    pub fn equal_share(memory: usize, runtime: usize, actors: usize) -> usize {
        memory.saturating_sub(runtime) / actors.max(1)
    }

    /// Whose it is.
    pub fn owner(&self) -> ActorId {
        ObjectId::new(self.owner, 0, 0).actor()
    }

    /// Where the objects are.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The most that objects and slots may take, bytes.
    pub fn quota(&self) -> usize {
        self.store.quota()
    }

    /// What they take: blocks in use and slots, bytes.
    pub fn used(&self) -> usize {
        self.store.used()
    }

    /// Blocks that are kept for reuse, bytes.
    pub fn kept(&self) -> usize {
        self.store.kept()
    }

    /// How many objects there are.
    pub fn objects(&self) -> usize {
        self.objects as usize
    }

    /// The sum of their lengths, bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How often another actor's object was asked for.
    pub fn violations(&self) -> u64 {
        self.violations.load(Ordering::Relaxed)
    }

    /// The object from which the actor finds all others, as it said itself.
    pub fn root(&self) -> ObjectId {
        self.root
    }

    /// Says which object that is. It goes with the region, so an actor that starts at the
    /// destination of a copy needs nothing else; what else it knows, it writes into that object
    /// before the region is moved.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Region::get); [`ObjectId::NONE`] is allowed.
    pub fn set_root(&mut self, root: ObjectId) -> Result<(), DmoError> {
        if !root.is_none() {
            self.find(root)?;
        }
        self.root = root;
        Ok(())
    }

    /// Gives what is kept for reuse back to the system.
    pub fn trim(&mut self) {
        self.store.trim();
    }

    /// Sees to it that `count` more objects of so many bytes can be had without the system's
    /// allocator.
    ///
    /// # Errors
    ///
    /// [`DmoError::Quota`], [`DmoError::NoMemory`]; what could be had stays reserved.
    pub fn reserve(&mut self, bytes: usize, count: usize) -> Result<(), DmoError> {
        self.usable()?;
        self.entries
            .try_reserve(count)
            .map_err(|_| no_memory(count * SLOT_BYTES))?;
        self.store.reserve(bytes, count)
    }

    /// A new object, whose bytes are zero. None at all (`bytes == 0`) is allowed.
    ///
    /// # Errors
    ///
    /// [`DmoError::Quota`] and nothing changes; [`DmoError::TooLarge`], [`DmoError::NoMemory`],
    /// [`DmoError::NoSlot`], and [`DmoError::Moving`] or [`DmoError::Remote`] if the region is not
    /// local.
    pub fn alloc(&mut self, bytes: usize) -> Result<ObjectId, DmoError> {
        self.usable()?;
        let len = length(bytes)?;
        let block = self.store.take(bytes)?;
        self.seat(block, len)
    }

    /// A new object that holds `value`.
    ///
    /// # Errors
    ///
    /// Those of [`alloc`](Region::alloc).
    pub fn alloc_value<T: IntoBytes + Immutable + ?Sized>(
        &mut self,
        value: &T,
    ) -> Result<ObjectId, DmoError> {
        let bytes = value.as_bytes();
        let id = self.alloc(bytes.len())?;
        self.get_mut(id)?.copy_from_slice(bytes);
        Ok(id)
    }

    /// Ends an object; its id is refused from now on.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Region::get).
    pub fn free(&mut self, id: ObjectId) -> Result<(), DmoError> {
        self.find(id)?;
        let block = self.unseat(id.slot());
        self.store.put(block);
        Ok(())
    }

    /// Changes an object's length; its id and its bytes, as far as they go, stay. New bytes are
    /// zero.
    ///
    /// # Errors
    ///
    /// Those of [`alloc`](Region::alloc) (there must be room for both sizes for a moment) and
    /// [`get`](Region::get); nothing changes.
    pub fn resize(&mut self, id: ObjectId, bytes: usize) -> Result<(), DmoError> {
        let old = self.find(id)?.bytes().len();
        let len = length(bytes)?;
        let Some(entry) = self.entries.get_mut(id.slot()) else {
            return Err(DmoError::Stale { id });
        };
        if super::block::block_bytes(bytes) == entry.block.len() {
            entry.len = len;
            if let Some(new) = entry.bytes_mut().get_mut(old..) {
                new.fill(0);
            }
        } else {
            let mut block = self.store.take(bytes)?;
            let (both, target) = (old.min(bytes), block.bytes_mut());
            if let (Some(to), Some(from)) = (target.get_mut(..both), entry.bytes().get(..both)) {
                to.copy_from_slice(from);
            }
            entry.len = len;
            let before = mem::replace(&mut entry.block, block);
            self.store.put(before);
        }
        self.bytes = self.bytes - old as u64 + bytes as u64;
        Ok(())
    }

    /// An object's bytes.
    ///
    /// # Errors
    ///
    /// [`DmoError::NoObject`], [`DmoError::Foreign`] (counted), [`DmoError::Unknown`],
    /// [`DmoError::Stale`], [`DmoError::Moving`], [`DmoError::Remote`].
    #[inline]
    pub fn get(&self, id: ObjectId) -> Result<&[u8], DmoError> {
        self.find(id).map(Entry::bytes)
    }

    /// An object's bytes, to be written.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Region::get).
    #[inline]
    pub fn get_mut(&mut self, id: ObjectId) -> Result<&mut [u8], DmoError> {
        self.find(id)?;
        match self.entries.get_mut(id.slot()) {
            Some(entry) => Ok(entry.bytes_mut()),
            None => Err(DmoError::Unknown { id }),
        }
    }

    /// The bytes of two objects at once, to be written.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Region::get), and [`DmoError::SameObject`].
    pub fn pair_mut(
        &mut self,
        a: ObjectId,
        b: ObjectId,
    ) -> Result<(&mut [u8], &mut [u8]), DmoError> {
        self.find(a)?;
        self.find(b)?;
        match self.entries.get_disjoint_mut([a.slot(), b.slot()]) {
            Ok([a, b]) => Ok((a.bytes_mut(), b.bytes_mut())),
            Err(_) => Err(DmoError::SameObject { id: a }),
        }
    }

    /// The beginning of an object as a `T`, in place.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Region::get), and [`DmoError::Layout`] if it is shorter than a `T`, or the
    /// type is aligned to more than [`GRANULE`](super::GRANULE).
    #[inline]
    pub fn view<T: FromBytes + Immutable + KnownLayout>(
        &self,
        id: ObjectId,
    ) -> Result<&T, DmoError> {
        match T::ref_from_prefix(self.get(id)?) {
            Ok((value, _)) => Ok(value),
            Err(_) => Err(DmoError::Layout { id }),
        }
    }

    /// As [`view`](Region::view), to be written.
    ///
    /// # Errors
    ///
    /// Those of [`view`](Region::view).
    #[inline]
    pub fn view_mut<T: FromBytes + IntoBytes + KnownLayout>(
        &mut self,
        id: ObjectId,
    ) -> Result<&mut T, DmoError> {
        match T::mut_from_prefix(self.get_mut(id)?) {
            Ok((value, _)) => Ok(value),
            Err(_) => Err(DmoError::Layout { id }),
        }
    }

    /// A whole object as an array of `T`, in place.
    ///
    /// # Errors
    ///
    /// Those of [`view`](Region::view); [`DmoError::Layout`] also if it is no whole number of them.
    pub fn slice<T: FromBytes + Immutable>(&self, id: ObjectId) -> Result<&[T], DmoError> {
        <[T]>::ref_from_bytes(self.get(id)?).map_err(|_| DmoError::Layout { id })
    }

    /// As [`slice`](Region::slice), to be written.
    ///
    /// # Errors
    ///
    /// Those of [`slice`](Region::slice).
    pub fn slice_mut<T: FromBytes + IntoBytes>(
        &mut self,
        id: ObjectId,
    ) -> Result<&mut [T], DmoError> {
        <[T]>::mut_from_bytes(self.get_mut(id)?).map_err(|_| DmoError::Layout { id })
    }

    /// Calls `each` with all objects, by slot.
    pub fn for_each(&self, mut each: impl FnMut(ObjectId, &[u8])) {
        for (slot, entry) in self.entries.iter().enumerate() {
            if entry.phase == Phase::Local {
                each(
                    ObjectId::new(self.owner, slot as u32, entry.serial),
                    entry.bytes(),
                );
            }
        }
    }

    #[inline]
    pub(super) fn find(&self, id: ObjectId) -> Result<&Entry, DmoError> {
        if let Some(entry) = self.entries.get(id.slot())
            && self.open == u64::from(id.owner_word())
            && entry.live == u16::from(id.serial())
        {
            return Ok(entry);
        }
        Err(self.refuse(id))
    }

    /// Why an id is not served.
    #[cold]
    fn refuse(&self, id: ObjectId) -> DmoError {
        if id.is_none() {
            return DmoError::NoObject;
        }
        if id.owner_word() != self.owner {
            self.violations.fetch_add(1, Ordering::Relaxed);
            return DmoError::Foreign {
                id,
                actor: self.owner(),
            };
        }
        if let Err(error) = self.usable() {
            return error;
        }
        match self.entries.get(id.slot()) {
            None => DmoError::Unknown { id },
            Some(entry) if entry.phase == Phase::Moving && entry.serial == id.serial() => {
                DmoError::Moving
            }
            Some(_) => DmoError::Stale { id },
        }
    }

    #[inline]
    pub(super) fn usable(&self) -> Result<(), DmoError> {
        match self.place {
            Place::Local => Ok(()),
            Place::Moving => Err(DmoError::Moving),
            Place::Remote => Err(DmoError::Remote),
        }
    }
}

/// What the modules that move objects need.
impl Region {
    pub(super) fn set_place(&mut self, place: Place) {
        self.place = place;
        self.open = match place {
            Place::Local => u64::from(self.owner),
            Place::Moving | Place::Remote => SHUT,
        };
    }

    pub(super) fn owner_word(&self) -> u32 {
        self.owner
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn entry_mut(&mut self, slot: usize) -> Option<&mut Entry> {
        self.entries.get_mut(slot)
    }

    pub(super) fn free_slots(&self) -> FreeSlots {
        self.free
    }

    pub(super) fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    pub(super) fn leaving(&self) -> u32 {
        self.leaving
    }

    pub(super) fn set_leaving(&mut self, count: u32) {
        self.leaving = count;
    }

    /// What a copy takes over from its source.
    pub(super) fn take_over(&mut self, root: ObjectId, violations: u64) {
        self.root = root;
        self.violations = AtomicU64::new(violations);
    }
}

pub(super) fn length(bytes: usize) -> Result<u32, DmoError> {
    match u32::try_from(bytes) {
        Ok(len) if bytes <= MOST_BYTES => Ok(len),
        _ => Err(DmoError::TooLarge { bytes }),
    }
}

pub(super) fn no_memory(bytes: usize) -> DmoError {
    DmoError::NoMemory { bytes }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region")
            .field("owner", &self.owner())
            .field("place", &self.place)
            .field("objects", &self.objects)
            .field("used", &self.used())
            .field("quota", &self.quota())
            .finish_non_exhaustive()
    }
}
