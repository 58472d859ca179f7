//! A log in objects: records of any length, numbered, appended at one end and trimmed at the other.
//!
//! It is a chain of segments. A record is never divided; one that is larger than a segment gets one
//! of its own size. Trimming frees whole segments; the records that a segment has before the first
//! one that counts stay in memory until the segment goes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{DmoError, ObjectId, Region};

const TAG: u32 = 0x6c6f_6731;

/// Bytes before a record: its length.
const LENGTH_BYTES: usize = 4;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Root {
    tag: u32,
    /// Usual size of a segment.
    segment_bytes: u32,
    /// Number of the oldest record that counts.
    first: u64,
    /// Number of the next record.
    next: u64,
    /// Bytes of all segments, and how many there may be.
    bytes: u64,
    most_bytes: u64,
    oldest: ObjectId,
    newest: ObjectId,
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Segment {
    /// The one after it.
    next: ObjectId,
    /// Number of its first record.
    first: u64,
    /// Bytes in use, with this header.
    used: u32,
    /// Records.
    count: u32,
}

/// A log, by the id of its root.
#[derive(Debug, Clone, Copy)]
pub struct DmoLog {
    root: ObjectId,
}

impl DmoLog {
    /// An empty one, in segments of `segment_bytes`, that takes at most `most_bytes`.
    ///
    /// # Errors
    ///
    /// Those of [`Region::alloc`].
    pub fn new(
        region: &mut Region,
        segment_bytes: usize,
        most_bytes: usize,
    ) -> Result<DmoLog, DmoError> {
        super::region::length(segment_bytes)?;
        let root = region.alloc_value(&Root {
            tag: TAG,
            segment_bytes: segment_bytes as u32,
            first: 0,
            next: 0,
            bytes: 0,
            most_bytes: most_bytes as u64,
            oldest: ObjectId::NONE,
            newest: ObjectId::NONE,
        })?;
        Ok(DmoLog { root })
    }

    /// The one with this root.
    ///
    /// # Errors
    ///
    /// [`DmoError::Layout`] if it is none; those of [`Region::get`].
    pub fn open(region: &Region, root: ObjectId) -> Result<DmoLog, DmoError> {
        match region.view::<Root>(root)?.tag {
            TAG => Ok(DmoLog { root }),
            _ => Err(DmoError::Layout { id: root }),
        }
    }

    /// The root's id: what [`open`](DmoLog::open) wants.
    pub fn id(&self) -> ObjectId {
        self.root
    }

    /// The number of the oldest record, and of the next one.
    ///
    /// # Errors
    ///
    /// Those of [`Region::get`], here and below.
    pub fn range(&self, region: &Region) -> Result<std::ops::Range<u64>, DmoError> {
        let root: &Root = region.view(self.root)?;
        Ok(root.first..root.next)
    }

    /// Appends a record, and gives its number.
    ///
    /// # Errors
    ///
    /// [`DmoError::Full`] if the log would take more than it may; those of [`Region::alloc`].
    /// Nothing changes.
    pub fn append(&self, region: &mut Region, record: &[u8]) -> Result<u64, DmoError> {
        super::region::length(record.len())?;
        let root: Root = *region.view(self.root)?;
        let needed = LENGTH_BYTES + record.len();
        let newest = match root.newest.is_none() {
            true => None,
            false => {
                let segment: Segment = *region.view(root.newest)?;
                let free = region.get(root.newest)?.len() - segment.used as usize;
                (free >= needed).then_some((root.newest, segment))
            }
        };
        let (id, segment) = match newest {
            Some(found) => found,
            None => self.extend(region, &root, needed)?,
        };
        let at = segment.used as usize;
        region.write_value(id, at, &(record.len() as u32))?;
        region.write(id, at + LENGTH_BYTES, record)?;
        let segment: &mut Segment = region.view_mut(id)?;
        segment.used += needed as u32;
        segment.count += 1;
        region.view_mut::<Root>(self.root)?.next = root.next + 1;
        Ok(root.next)
    }

    /// A new segment at the end.
    fn extend(
        &self,
        region: &mut Region,
        root: &Root,
        needed: usize,
    ) -> Result<(ObjectId, Segment), DmoError> {
        let header = size_of::<Segment>();
        let bytes = (root.segment_bytes as usize).max(header + needed);
        if root.bytes + bytes as u64 > root.most_bytes {
            return Err(DmoError::Full);
        }
        let id = region.alloc(bytes)?;
        let segment = Segment {
            next: ObjectId::NONE,
            first: root.next,
            used: header as u32,
            count: 0,
        };
        *region.view_mut(id)? = segment;
        if root.newest.is_none() {
            region.view_mut::<Root>(self.root)?.oldest = id;
        } else {
            region.view_mut::<Segment>(root.newest)?.next = id;
        }
        let root: &mut Root = region.view_mut(self.root)?;
        root.newest = id;
        root.bytes += bytes as u64;
        Ok((id, segment))
    }

    /// A record; `None` if it was trimmed or has not been appended.
    ///
    /// # Errors
    ///
    /// Those of [`range`](DmoLog::range).
    pub fn get<'r>(&self, region: &'r Region, number: u64) -> Result<Option<&'r [u8]>, DmoError> {
        let mut found = None;
        self.for_each(region, number, |at, record| {
            found = (at == number).then_some(record);
            false
        })?;
        Ok(found)
    }

    /// Calls `each` with number and bytes of the records from `from` on, in order, until it says
    /// false.
    ///
    /// # Errors
    ///
    /// Those of [`range`](DmoLog::range).
    pub fn for_each<'r>(
        &self,
        region: &'r Region,
        from: u64,
        mut each: impl FnMut(u64, &'r [u8]) -> bool,
    ) -> Result<(), DmoError> {
        let root: &Root = region.view(self.root)?;
        let from = from.max(root.first);
        let mut id = root.oldest;
        while !id.is_none() {
            let segment: &Segment = region.view(id)?;
            if segment.first + u64::from(segment.count) > from {
                let bytes = region.get(id)?;
                let mut at = size_of::<Segment>();
                for number in (segment.first..).take(segment.count as usize) {
                    let len: u32 = region.read_value(id, at)?;
                    let start = at + LENGTH_BYTES;
                    at = start + len as usize;
                    let record = bytes.get(start..at).ok_or(DmoError::Layout { id })?;
                    if number >= from && !each(number, record) {
                        return Ok(());
                    }
                }
            }
            id = segment.next;
        }
        Ok(())
    }

    /// Ends the records before this number.
    ///
    /// # Errors
    ///
    /// Those of [`range`](DmoLog::range).
    pub fn trim(&self, region: &mut Region, before: u64) -> Result<(), DmoError> {
        let mut root: Root = *region.view(self.root)?;
        root.first = root.first.max(before.min(root.next));
        while !root.oldest.is_none() {
            let segment: Segment = *region.view(root.oldest)?;
            if segment.first + u64::from(segment.count) > root.first {
                break;
            }
            root.bytes -= region.get(root.oldest)?.len() as u64;
            region.free(root.oldest)?;
            root.oldest = segment.next;
            if segment.next.is_none() {
                root.newest = ObjectId::NONE;
            }
        }
        *region.view_mut(self.root)? = root;
        Ok(())
    }

    /// Frees it.
    ///
    /// # Errors
    ///
    /// Those of [`range`](DmoLog::range).
    pub fn destroy(self, region: &mut Region) -> Result<(), DmoError> {
        self.trim(region, u64::MAX)?;
        region.free(self.root)
    }
}
