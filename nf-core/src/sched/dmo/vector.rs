//! A vector in objects: chunks of one size, and a directory of their ids.
//!
//! No element moves when it grows: only the directory does, and doubles each time. One empty chunk
//! is kept at the end, so that growing and shrinking around a chunk's boundary costs nothing.

use std::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{DmoError, ObjectId, Plain, Region};

/// Bytes of a chunk, about.
const CHUNK_BYTES: usize = 4096;

const TAG: u32 = 0x7665_6331;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Root {
    tag: u32,
    element_bytes: u32,
    len: u64,
    directory: ObjectId,
}

/// A vector of `T`s, by the id of its root: all of it that an actor has to remember.
#[derive(Debug)]
pub struct DmoVec<T> {
    root: ObjectId,
    elements: PhantomData<fn(T) -> T>,
}

impl<T> Clone for DmoVec<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for DmoVec<T> {}

impl<T: Plain> DmoVec<T> {
    const PER_CHUNK: usize = {
        let per_chunk = CHUNK_BYTES
            / if size_of::<T>() == 0 {
                1
            } else {
                size_of::<T>()
            };
        if per_chunk == 0 { 1 } else { per_chunk }
    };

    /// An empty one.
    ///
    /// # Errors
    ///
    /// Those of [`Region::alloc`].
    pub fn new(region: &mut Region) -> Result<DmoVec<T>, DmoError> {
        let directory = region.alloc(0)?;
        let root = region
            .alloc_value(&Root {
                tag: TAG,
                element_bytes: size_of::<T>() as u32,
                len: 0,
                directory,
            })
            .inspect_err(|_| {
                let _ = region.free(directory);
            })?;
        Ok(Self::at(root))
    }

    /// The one with this root.
    ///
    /// # Errors
    ///
    /// [`DmoError::Layout`] if it is none, or one of elements of another size; those of
    /// [`Region::get`].
    pub fn open(region: &Region, root: ObjectId) -> Result<DmoVec<T>, DmoError> {
        let found: &Root = region.view(root)?;
        if found.tag != TAG || found.element_bytes as usize != size_of::<T>() {
            return Err(DmoError::Layout { id: root });
        }
        Ok(Self::at(root))
    }

    fn at(root: ObjectId) -> DmoVec<T> {
        DmoVec {
            root,
            elements: PhantomData,
        }
    }

    /// The root's id: what [`open`](DmoVec::open) wants.
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
    /// Those of [`len`](DmoVec::len).
    pub fn is_empty(&self, region: &Region) -> Result<bool, DmoError> {
        Ok(self.len(region)? == 0)
    }

    /// The chunk of an element, and where in it the element is.
    fn place(index: usize) -> (usize, usize) {
        (
            index / Self::PER_CHUNK,
            index % Self::PER_CHUNK * size_of::<T>(),
        )
    }

    fn chunk(region: &Region, root: &Root, chunk: usize) -> Result<ObjectId, DmoError> {
        region.read_value(root.directory, chunk * size_of::<ObjectId>())
    }

    /// An element; `None` beyond the end.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoVec::len).
    pub fn get(&self, region: &Region, index: usize) -> Result<Option<T>, DmoError> {
        let root: &Root = region.view(self.root)?;
        if index as u64 >= root.len {
            return Ok(None);
        }
        let (chunk, at) = Self::place(index);
        let chunk = Self::chunk(region, root, chunk)?;
        region.read_value(chunk, at).map(Some)
    }

    /// Replaces an element. False, and nothing done, beyond the end.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoVec::len).
    pub fn set(&self, region: &mut Region, index: usize, value: T) -> Result<bool, DmoError> {
        let root: &Root = region.view(self.root)?;
        if index as u64 >= root.len {
            return Ok(false);
        }
        let (chunk, at) = Self::place(index);
        let chunk = Self::chunk(region, root, chunk)?;
        region.write_value(chunk, at, &value)?;
        Ok(true)
    }

    /// Puts an element at the end.
    ///
    /// # Errors
    ///
    /// Those of [`Region::alloc`]; nothing changes.
    pub fn push(&self, region: &mut Region, value: T) -> Result<(), DmoError> {
        let root: Root = *region.view(self.root)?;
        let (chunk, at) = Self::place(root.len as usize);
        let chunks = region.get(root.directory)?.len() / size_of::<ObjectId>();
        if chunk >= chunks {
            let more = (chunks * 2).max(4);
            region.resize(root.directory, more * size_of::<ObjectId>())?;
        }
        let mut target = Self::chunk(region, &root, chunk)?;
        if target.is_none() {
            target = region.alloc(Self::PER_CHUNK * size_of::<T>())?;
            region.write_value(root.directory, chunk * size_of::<ObjectId>(), &target)?;
        }
        region.write_value(target, at, &value)?;
        region.view_mut::<Root>(self.root)?.len = root.len + 1;
        Ok(())
    }

    /// Takes the last element.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoVec::len).
    pub fn pop(&self, region: &mut Region) -> Result<Option<T>, DmoError> {
        let root: Root = *region.view(self.root)?;
        let Some(last) = root.len.checked_sub(1) else {
            return Ok(None);
        };
        let (chunk, at) = Self::place(last as usize);
        let value = region.read_value(Self::chunk(region, &root, chunk)?, at)?;
        region.view_mut::<Root>(self.root)?.len = last;
        if at == 0 {
            // This one is empty now and stays; the one behind it goes.
            let behind = (chunk + 1) * size_of::<ObjectId>();
            if let Ok(spare) = region.read_value::<ObjectId>(root.directory, behind)
                && !spare.is_none()
            {
                region.free(spare)?;
                region.write_value(root.directory, behind, &ObjectId::NONE)?;
            }
        }
        Ok(Some(value))
    }

    /// Calls `each` with the elements in order.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoVec::len).
    pub fn for_each(&self, region: &Region, mut each: impl FnMut(T)) -> Result<(), DmoError> {
        for index in 0..self.len(region)? {
            if let Some(value) = self.get(region, index)? {
                each(value);
            }
        }
        Ok(())
    }

    /// Frees it, with all its objects; not those that elements name.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoVec::len).
    pub fn destroy(self, region: &mut Region) -> Result<(), DmoError> {
        let directory = region.view::<Root>(self.root)?.directory;
        let chunks = region.get(directory)?.len() / size_of::<ObjectId>();
        for chunk in 0..chunks {
            let chunk: ObjectId = region.read_value(directory, chunk * size_of::<ObjectId>())?;
            if !chunk.is_none() {
                region.free(chunk)?;
            }
        }
        region.free(directory)?;
        region.free(self.root)
    }
}
