//! Filling objects and copying between them: `dmo_mmset`, `dmo_mmcpy` and `dmo_mmmove` of iPipe.
//!
//! Every range is checked against its object's length before a byte is touched, and no length at
//! all is a range like any other, even at an object's end.

use std::ops::Range;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::id::ObjectId;
use super::{DmoError, Region};

fn range(id: ObjectId, size: usize, at: usize, len: usize) -> Result<Range<usize>, DmoError> {
    match at.checked_add(len) {
        Some(end) if end <= size => Ok(at..end),
        _ => Err(DmoError::Bounds { id, at, len, size }),
    }
}

impl Region {
    /// Sets `len` bytes from `at` on to `value`.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Region::get), and [`DmoError::Bounds`]; nothing changes.
    pub fn set(&mut self, id: ObjectId, at: usize, value: u8, len: usize) -> Result<(), DmoError> {
        let bytes = self.get_mut(id)?;
        let range = range(id, bytes.len(), at, len)?;
        if let Some(bytes) = bytes.get_mut(range) {
            bytes.fill(value);
        }
        Ok(())
    }

    /// Writes `bytes` into an object from `at` on.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Region::set).
    pub fn write(&mut self, id: ObjectId, at: usize, bytes: &[u8]) -> Result<(), DmoError> {
        let target = self.get_mut(id)?;
        let range = range(id, target.len(), at, bytes.len())?;
        if let Some(target) = target.get_mut(range) {
            target.copy_from_slice(bytes);
        }
        Ok(())
    }

    /// The bytes from `at` on as a `T`, however they are aligned.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Region::get), and [`DmoError::Bounds`].
    #[inline]
    pub fn read_value<T: FromBytes>(&self, id: ObjectId, at: usize) -> Result<T, DmoError> {
        let bytes = self.get(id)?;
        let value = bytes
            .get(at..)
            .and_then(|bytes| T::read_from_prefix(bytes).ok());
        match value {
            Some((value, _)) => Ok(value),
            None => Err(DmoError::Bounds {
                id,
                at,
                len: size_of::<T>(),
                size: bytes.len(),
            }),
        }
    }

    /// Writes a `T` from `at` on, however that is aligned.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Region::set).
    #[inline]
    pub fn write_value<T: IntoBytes + Immutable>(
        &mut self,
        id: ObjectId,
        at: usize,
        value: &T,
    ) -> Result<(), DmoError> {
        self.write(id, at, value.as_bytes())
    }

    /// Copies `len` bytes of `from`, from `from_at` on, to `to`, from `to_at` on. The two may be
    /// the same object if the ranges are apart.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Region::set), and [`DmoError::Overlap`]; nothing changes.
    pub fn copy(
        &mut self,
        to: ObjectId,
        to_at: usize,
        from: ObjectId,
        from_at: usize,
        len: usize,
    ) -> Result<(), DmoError> {
        if to == from && len > to_at.abs_diff(from_at) {
            // What is out of bounds is said to be that, here as elsewhere.
            let size = self.get(to)?.len();
            range(to, size, to_at, len)?;
            range(from, size, from_at, len)?;
            return Err(DmoError::Overlap { id: to });
        }
        self.move_bytes(to, to_at, from, from_at, len)
    }

    /// As [`copy`](Region::copy), but the ranges may overlap: the target becomes what the source
    /// was.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Region::set); nothing changes.
    pub fn move_bytes(
        &mut self,
        to: ObjectId,
        to_at: usize,
        from: ObjectId,
        from_at: usize,
        len: usize,
    ) -> Result<(), DmoError> {
        if to == from {
            let bytes = self.get_mut(to)?;
            let target = range(to, bytes.len(), to_at, len)?;
            let source = range(from, bytes.len(), from_at, len)?;
            bytes.copy_within(source, target.start);
            return Ok(());
        }
        let (target, source) = self.pair_mut(to, from)?;
        let to_range = range(to, target.len(), to_at, len)?;
        let from_range = range(from, source.len(), from_at, len)?;
        if let (Some(target), Some(source)) = (target.get_mut(to_range), source.get(from_range)) {
            target.copy_from_slice(source);
        }
        Ok(())
    }
}
