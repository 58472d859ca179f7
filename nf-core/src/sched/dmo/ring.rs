//! A ring in an object: a queue of bounded length.

use std::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{DmoError, ObjectId, Plain, Region};

const TAG: u32 = 0x7269_6e31;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Root {
    tag: u32,
    element_bytes: u32,
    capacity: u64,
    /// Place of the oldest element.
    first: u64,
    len: u64,
    elements: ObjectId,
}

/// A queue of at most so many `T`s, by the id of its root.
#[derive(Debug)]
pub struct DmoRing<T> {
    root: ObjectId,
    elements: PhantomData<fn(T) -> T>,
}

impl<T> Clone for DmoRing<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for DmoRing<T> {}

impl<T: Plain> DmoRing<T> {
    /// An empty one, for at most `capacity` elements. All its memory is taken now.
    ///
    /// # Errors
    ///
    /// Those of [`Region::alloc`].
    pub fn new(region: &mut Region, capacity: usize) -> Result<DmoRing<T>, DmoError> {
        let capacity = capacity.max(1);
        let elements = region.alloc(capacity.saturating_mul(size_of::<T>()))?;
        let root = region
            .alloc_value(&Root {
                tag: TAG,
                element_bytes: size_of::<T>() as u32,
                capacity: capacity as u64,
                first: 0,
                len: 0,
                elements,
            })
            .inspect_err(|_| {
                let _ = region.free(elements);
            })?;
        Ok(DmoRing {
            root,
            elements: PhantomData,
        })
    }

    /// The one with this root.
    ///
    /// # Errors
    ///
    /// [`DmoError::Layout`] if it is none, or one of elements of another size; those of
    /// [`Region::get`].
    pub fn open(region: &Region, root: ObjectId) -> Result<DmoRing<T>, DmoError> {
        let found: &Root = region.view(root)?;
        if found.tag != TAG || found.element_bytes as usize != size_of::<T>() || found.capacity == 0
        {
            return Err(DmoError::Layout { id: root });
        }
        Ok(DmoRing {
            root,
            elements: PhantomData,
        })
    }

    /// The root's id: what [`open`](DmoRing::open) wants.
    pub fn id(&self) -> ObjectId {
        self.root
    }

    /// How many elements there are.
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
    /// Those of [`len`](DmoRing::len).
    pub fn is_empty(&self, region: &Region) -> Result<bool, DmoError> {
        Ok(self.len(region)? == 0)
    }

    /// Where the element is that so many others are older than.
    fn place(root: &Root, older: u64) -> usize {
        ((root.first + older) % root.capacity.max(1)) as usize * size_of::<T>()
    }

    /// The element that `index` others are older than; `None` beyond the youngest.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoRing::len).
    pub fn get(&self, region: &Region, index: usize) -> Result<Option<T>, DmoError> {
        let root: &Root = region.view(self.root)?;
        if index as u64 >= root.len {
            return Ok(None);
        }
        let at = Self::place(root, index as u64);
        region.read_value(root.elements, at).map(Some)
    }

    /// Puts an element behind the youngest.
    ///
    /// # Errors
    ///
    /// [`DmoError::Full`], and those of [`len`](DmoRing::len).
    pub fn push(&self, region: &mut Region, value: T) -> Result<(), DmoError> {
        let root: Root = *region.view(self.root)?;
        if root.len >= root.capacity {
            return Err(DmoError::Full);
        }
        region.write_value(root.elements, Self::place(&root, root.len), &value)?;
        region.view_mut::<Root>(self.root)?.len = root.len + 1;
        Ok(())
    }

    /// As [`push`](DmoRing::push), but takes the oldest out, and gives it, if there is no room.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoRing::len).
    pub fn push_over(&self, region: &mut Region, value: T) -> Result<Option<T>, DmoError> {
        let root: &Root = region.view(self.root)?;
        let oldest = match root.len >= root.capacity {
            true => self.pop(region)?,
            false => None,
        };
        self.push(region, value)?;
        Ok(oldest)
    }

    /// Takes the oldest element.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoRing::len).
    pub fn pop(&self, region: &mut Region) -> Result<Option<T>, DmoError> {
        let oldest = self.get(region, 0)?;
        if oldest.is_some() {
            let root: &mut Root = region.view_mut(self.root)?;
            root.first = (root.first + 1) % root.capacity.max(1);
            root.len -= 1;
        }
        Ok(oldest)
    }

    /// Frees it; not the objects that elements name.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoRing::len).
    pub fn destroy(self, region: &mut Region) -> Result<(), DmoError> {
        let elements = region.view::<Root>(self.root)?.elements;
        region.free(elements)?;
        region.free(self.root)
    }
}
