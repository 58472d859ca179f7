//! A skip list in objects: keys in order, values of any length. What a log-structured store keeps
//! in memory.
//!
//! It is the worked example of iPipe, section 3.3: a node has its key, the *id* of its value, and
//! the *ids* of the nodes after it on its levels. A node is on the next higher level with
//! probability 1/4; the generator's state is in the root, so that a list that was moved goes on as
//! it would have.

use std::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{DmoError, ObjectId, Plain, Region};

const TAG: u32 = 0x736b_6931;

/// Levels at most: enough for 4²⁰ keys.
const LEVELS: usize = 20;

const ID_BYTES: usize = size_of::<ObjectId>();

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Root {
    tag: u32,
    key_bytes: u32,
    len: u64,
    random: u64,
    /// Levels in use.
    height: u64,
    first: [ObjectId; LEVELS],
}

/// What a node begins with. Behind it are the ids of its successors, one for each level, and its
/// key.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Node {
    value: ObjectId,
    height: u64,
}

/// A map from `K`s, in their order, to bytes, by the id of its root.
#[derive(Debug)]
pub struct DmoSkipList<K> {
    root: ObjectId,
    keys: PhantomData<fn(K) -> K>,
}

impl<K> Clone for DmoSkipList<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for DmoSkipList<K> {}

/// On each level the last node before a key; none: the key comes first there.
type Path = [ObjectId; LEVELS];

impl<K: Plain + Ord> DmoSkipList<K> {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// Those of [`Region::alloc`].
    pub fn new(region: &mut Region, seed: u64) -> Result<DmoSkipList<K>, DmoError> {
        let root = region.alloc_value(&Root {
            tag: TAG,
            key_bytes: size_of::<K>() as u32,
            len: 0,
            random: seed,
            height: 0,
            first: [ObjectId::NONE; LEVELS],
        })?;
        Ok(DmoSkipList {
            root,
            keys: PhantomData,
        })
    }

    /// The one with this root.
    ///
    /// # Errors
    ///
    /// [`DmoError::Layout`] if it is none, or one of keys of another size; those of
    /// [`Region::get`].
    pub fn open(region: &Region, root: ObjectId) -> Result<DmoSkipList<K>, DmoError> {
        let found: &Root = region.view(root)?;
        if found.tag != TAG || found.key_bytes as usize != size_of::<K>() {
            return Err(DmoError::Layout { id: root });
        }
        Ok(DmoSkipList {
            root,
            keys: PhantomData,
        })
    }

    /// The root's id: what [`open`](DmoSkipList::open) wants.
    pub fn id(&self) -> ObjectId {
        self.root
    }

    /// How many keys there are.
    ///
    /// # Errors
    ///
    /// Those of [`Region::get`], here and below.
    pub fn len(&self, region: &Region) -> Result<usize, DmoError> {
        Ok(region.view::<Root>(self.root)?.len as usize)
    }

    /// Whether there are none.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoSkipList::len).
    pub fn is_empty(&self, region: &Region) -> Result<bool, DmoError> {
        Ok(self.len(region)? == 0)
    }

    /// Where the id is of what comes after a node, or first, on a level.
    fn link(&self, node: ObjectId, level: usize) -> (ObjectId, usize) {
        if node.is_none() {
            (
                self.root,
                std::mem::offset_of!(Root, first) + level * ID_BYTES,
            )
        } else {
            (node, size_of::<Node>() + level * ID_BYTES)
        }
    }

    fn after(&self, region: &Region, node: ObjectId, level: usize) -> Result<ObjectId, DmoError> {
        let (object, at) = self.link(node, level);
        region.read_value(object, at)
    }

    fn set_after(
        &self,
        region: &mut Region,
        node: ObjectId,
        level: usize,
        next: ObjectId,
    ) -> Result<(), DmoError> {
        let (object, at) = self.link(node, level);
        region.write_value(object, at, &next)
    }

    fn key(region: &Region, node: ObjectId) -> Result<K, DmoError> {
        let height = region.view::<Node>(node)?.height as usize;
        region.read_value(node, size_of::<Node>() + height * ID_BYTES)
    }

    /// The way to a key, and the node that has it, if there is one.
    fn find(&self, region: &Region, key: &K) -> Result<(Path, Option<ObjectId>), DmoError> {
        let height = region.view::<Root>(self.root)?.height as usize;
        let mut path = [ObjectId::NONE; LEVELS];
        let mut before = ObjectId::NONE;
        let mut next = ObjectId::NONE;
        for (level, step) in path.iter_mut().enumerate().take(height).rev() {
            loop {
                next = self.after(region, before, level)?;
                if next.is_none() || Self::key(region, next)? >= *key {
                    break;
                }
                before = next;
            }
            *step = before;
        }
        let is_it = !next.is_none() && Self::key(region, next)? == *key;
        Ok((path, is_it.then_some(next)))
    }

    /// A key's value.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoSkipList::len).
    pub fn get<'r>(&self, region: &'r Region, key: &K) -> Result<Option<&'r [u8]>, DmoError> {
        match self.find(region, key)?.1 {
            Some(node) => region.get(region.view::<Node>(node)?.value).map(Some),
            None => Ok(None),
        }
    }

    /// Gives a key a value. True: it had one, which is replaced.
    ///
    /// # Errors
    ///
    /// Those of [`Region::alloc`]; nothing changes.
    pub fn insert(&self, region: &mut Region, key: K, value: &[u8]) -> Result<bool, DmoError> {
        let (path, found) = self.find(region, &key)?;
        if let Some(node) = found {
            let object = region.view::<Node>(node)?.value;
            region.resize(object, value.len())?;
            region.write(object, 0, value)?;
            return Ok(true);
        }
        let root: &mut Root = region.view_mut(self.root)?;
        let height = height(&mut root.random);
        let object = region.alloc_value(value)?;
        let links = height * ID_BYTES;
        let node = region
            .alloc(size_of::<Node>() + links + size_of::<K>())
            .inspect_err(|_| {
                let _ = region.free(object);
            })?;
        *region.view_mut(node)? = Node {
            value: object,
            height: height as u64,
        };
        region.write_value(node, size_of::<Node>() + links, &key)?;
        for (level, before) in path.iter().enumerate().take(height) {
            let next = self.after(region, *before, level)?;
            self.set_after(region, node, level, next)?;
            self.set_after(region, *before, level, node)?;
        }
        let root: &mut Root = region.view_mut(self.root)?;
        root.len += 1;
        root.height = root.height.max(height as u64);
        Ok(false)
    }

    /// Takes a key out, with its value. False: there was none.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoSkipList::len).
    pub fn remove(&self, region: &mut Region, key: &K) -> Result<bool, DmoError> {
        let (path, found) = self.find(region, key)?;
        let Some(node) = found else {
            return Ok(false);
        };
        let Node { value, height } = *region.view(node)?;
        for (level, before) in path.iter().enumerate().take(height as usize) {
            let next = self.after(region, node, level)?;
            self.set_after(region, *before, level, next)?;
        }
        region.free(value)?;
        region.free(node)?;
        let root: &mut Root = region.view_mut(self.root)?;
        root.len -= 1;
        while let Some(top) = root.height.checked_sub(1)
            && root.first.get(top as usize).is_none_or(|id| id.is_none())
        {
            root.height = top;
        }
        Ok(true)
    }

    /// Takes the first key out, and gives it.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoSkipList::len).
    pub fn pop_first(&self, region: &mut Region) -> Result<Option<K>, DmoError> {
        let first = self.after(region, ObjectId::NONE, 0)?;
        if first.is_none() {
            return Ok(None);
        }
        let key = Self::key(region, first)?;
        self.remove(region, &key)?;
        Ok(Some(key))
    }

    /// Calls `each` with the keys from `from` on, in order, and their values, until it says false.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoSkipList::len).
    pub fn for_each<'r>(
        &self,
        region: &'r Region,
        from: Option<&K>,
        mut each: impl FnMut(K, &'r [u8]) -> bool,
    ) -> Result<(), DmoError> {
        let before = match from {
            Some(key) => self.find(region, key)?.0[0],
            None => ObjectId::NONE,
        };
        let mut node = self.after(region, before, 0)?;
        while !node.is_none() {
            let value = region.get(region.view::<Node>(node)?.value)?;
            if !each(Self::key(region, node)?, value) {
                break;
            }
            node = self.after(region, node, 0)?;
        }
        Ok(())
    }

    /// Frees it, with keys and values.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoSkipList::len).
    pub fn destroy(self, region: &mut Region) -> Result<(), DmoError> {
        let mut node = self.after(region, ObjectId::NONE, 0)?;
        while !node.is_none() {
            let next = self.after(region, node, 0)?;
            region.free(region.view::<Node>(node)?.value)?;
            region.free(node)?;
            node = next;
        }
        region.free(self.root)
    }

    /// Whether every level is in order and part of the one below, and the length is right.
    #[cfg(test)]
    pub(super) fn is_sound(&self, region: &Region) -> Result<bool, DmoError> {
        let root: &Root = region.view(self.root)?;
        let mut below: Option<Vec<K>> = None;
        for level in 0..LEVELS {
            let mut keys = Vec::new();
            let mut node = self.after(region, ObjectId::NONE, level)?;
            while !node.is_none() {
                keys.push(Self::key(region, node)?);
                node = self.after(region, node, level)?;
            }
            let is_part = below
                .as_ref()
                .is_none_or(|below| keys.iter().all(|key| below.binary_search(key).is_ok()));
            let is_used = (level as u64) < root.height;
            if !keys.is_sorted() || !is_part || keys.is_empty() == is_used {
                return Ok(false);
            }
            if level == 0 && keys.len() as u64 != root.len {
                return Ok(false);
            }
            below = Some(keys);
        }
        Ok(true)
    }
}

/// The height of the next node; moves the generator on (SplitMix64).
fn height(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let random = mixed ^ (mixed >> 31);
    // Two zero bits are one level more.
    (1 + random.trailing_zeros() as usize / 2).min(LEVELS)
}
