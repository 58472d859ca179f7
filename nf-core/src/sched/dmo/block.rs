//! Where objects' bytes are: blocks of few sizes, kept for reuse, under a quota.
//!
//! A block is a whole number of granules of 16 bytes, so that any type of up to that alignment can
//! be looked at in place. Sizes up to 128 bytes are rounded up to a granule, those above to a
//! quarter of a power of two: **a block is less than 16 bytes, or a quarter, larger than what is
//! asked for**. Blocks of up to [`KEPT_BYTES`] that were freed are kept by size and used again
//! without the system's allocator; larger ones are rounded to a granule only, and go back at once.
//!
//! Kept blocks count against the quota, but are given back to the system when a new one of another
//! size would not fit beside them. So **free memory is never lost between the sizes**: what is
//! asked for fits exactly if the blocks in use and the new one are within the quota.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::DmoError;

/// Bytes of a granule, and the greatest alignment that a view of an object can have.
pub const GRANULE: usize = 16;

/// Blocks up to this many bytes are kept for reuse.
pub const KEPT_BYTES: usize = 1 << 20;

/// Granules from which a new block is zeroed by the system.
const ZEROED_BY_SYSTEM: usize = 1024;

/// Sizes of blocks that are kept: 8 up to 128 bytes, then four for each power of two.
const CLASSES: usize = 8 + 4 * 13;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(16))]
struct Granule([u8; GRANULE]);

/// Memory of an object.
#[derive(Default)]
pub(super) struct Block(Box<[Granule]>);

impl Block {
    fn zeroed(granules: usize) -> Result<Block, DmoError> {
        let none = DmoError::NoMemory {
            bytes: granules * GRANULE,
        };
        // The system has zeroed pages, but is slow to say whether a small block is on one.
        if granules >= ZEROED_BY_SYSTEM {
            return match <[Granule]>::new_box_zeroed_with_elems(granules) {
                Ok(block) => Ok(Block(block)),
                Err(_) => Err(none),
            };
        }
        let mut block = Vec::new();
        block.try_reserve_exact(granules).map_err(|_| none)?;
        block.resize(granules, Granule([0; GRANULE]));
        Ok(Block(block.into_boxed_slice()))
    }

    /// All of it: at least as long as the object.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.as_mut_bytes()
    }

    /// Its size.
    pub fn len(&self) -> usize {
        self.0.len() * GRANULE
    }
}

/// The size of the block for an object of this many bytes, in granules, and where such blocks are
/// kept.
fn fit(bytes: usize) -> (usize, Option<usize>) {
    let granules = bytes.div_ceil(GRANULE);
    if granules <= 8 {
        return (granules, granules.checked_sub(1));
    }
    if bytes > KEPT_BYTES {
        return (granules, None);
    }
    // 9 and 10 granules go into a block of 10, 11 and 12 into one of 12, and so on.
    let exponent = (granules - 1).ilog2();
    let step = exponent - 2;
    let quarter = ((granules - 1) >> step) - 3;
    let class = 8 + 4 * (exponent as usize - 3) + quarter - 1;
    ((4 + quarter) << step, Some(class))
}

/// Bytes of the block that an object of this many bytes gets.
pub fn block_bytes(bytes: usize) -> usize {
    fit(bytes).0 * GRANULE
}

/// All blocks of a region, and its quota.
pub(super) struct Store {
    quota: usize,
    /// Charged now: blocks in use, blocks kept, and what else the region charges.
    charged: usize,
    /// Of that, blocks that are kept.
    kept: usize,
    /// Kept blocks by size.
    free: Box<[Vec<Block>]>,
}

impl Store {
    pub fn new(quota: usize) -> Store {
        Store {
            quota,
            charged: 0,
            kept: 0,
            free: (0..CLASSES).map(|_| Vec::new()).collect(),
        }
    }

    pub fn quota(&self) -> usize {
        self.quota
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.charged - self.kept
    }

    /// Bytes that are kept for reuse.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Charges bytes that are not a block's.
    pub fn charge(&mut self, bytes: usize) -> Result<(), DmoError> {
        let over = DmoError::Quota {
            asked: bytes,
            left: self.quota.saturating_sub(self.used()),
        };
        let used = self.used().checked_add(bytes).ok_or(over)?;
        if used > self.quota {
            return Err(over);
        }
        if self.charged + bytes > self.quota {
            self.give_back(self.charged + bytes - self.quota);
        }
        self.charged += bytes;
        Ok(())
    }

    /// Ends [`charge`](Store::charge).
    pub fn discharge(&mut self, bytes: usize) {
        self.charged -= bytes;
    }

    /// Gives kept blocks back to the system, large ones first, until `bytes` are free or none is
    /// left.
    fn give_back(&mut self, bytes: usize) {
        let mut freed = 0;
        for blocks in self.free.iter_mut().rev() {
            while freed < bytes {
                let Some(block) = blocks.pop() else { break };
                freed += block.len();
            }
        }
        self.kept -= freed;
        self.charged -= freed;
    }

    /// A block for an object of so many bytes, which are zero.
    pub fn take(&mut self, bytes: usize) -> Result<Block, DmoError> {
        let (granules, class) = fit(bytes);
        if let Some(block) = class.and_then(|class| self.free.get_mut(class)?.pop()) {
            let mut block = block;
            self.kept -= block.len();
            if let Some(dirty) = block.bytes_mut().get_mut(..bytes) {
                dirty.fill(0);
            }
            return Ok(block);
        }
        self.charge(granules * GRANULE)?;
        Block::zeroed(granules).inspect_err(|_| self.discharge(granules * GRANULE))
    }

    /// Takes a block back.
    pub fn put(&mut self, block: Block) {
        let class = fit(block.len()).1;
        match class.and_then(|class| self.free.get_mut(class)) {
            Some(free) => {
                self.kept += block.len();
                free.push(block);
            }
            None => self.charged -= block.len(),
        }
    }

    /// Sees to it that `count` objects of so many bytes can be had, and freed, without the system's
    /// allocator.
    pub fn reserve(&mut self, bytes: usize, count: usize) -> Result<(), DmoError> {
        let (granules, Some(class)) = fit(bytes) else {
            return Ok(());
        };
        let have = self.free.get(class).map_or(0, Vec::len);
        for _ in have..count {
            self.charge(granules * GRANULE)?;
            let block =
                Block::zeroed(granules).inspect_err(|_| self.discharge(granules * GRANULE))?;
            self.put(block);
        }
        Ok(())
    }

    /// Gives all kept blocks back to the system.
    pub fn trim(&mut self) {
        self.give_back(self.kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ip47_a_block_is_at_most_a_quarter_too_large() {
        for bytes in (0..5000).chain([KEPT_BYTES - 1, KEPT_BYTES, KEPT_BYTES + 1, 3 << 20]) {
            let size = block_bytes(bytes);
            assert!(size >= bytes, "{bytes}");
            let spare = size - bytes;
            assert!(spare < GRANULE.max(size.div_ceil(5)), "{bytes} in {size}");
            assert_eq!(
                fit(size),
                fit(bytes),
                "a block goes back to where it came from"
            );
        }
        let mut classes: Vec<_> = (1..=KEPT_BYTES / GRANULE)
            .filter_map(|granules| fit(granules * GRANULE).1)
            .collect();
        classes.dedup();
        assert_eq!(classes, (0..CLASSES).collect::<Vec<_>>());
    }

    #[test]
    fn ip47_no_memory_is_lost_between_sizes() {
        let mut store = Store::new(64 << 10);
        let small: Vec<_> = (0..1024).map(|_| store.take(64).unwrap()).collect();
        assert!(matches!(
            store.take(16),
            Err(DmoError::Quota { asked: 16, left: 0 })
        ));
        small.into_iter().for_each(|block| store.put(block));
        assert_eq!((store.used(), store.kept()), (0, 64 << 10));
        let large = store.take(60 << 10).unwrap();
        assert_eq!(store.used(), 64 << 10, "60 KiB go into a block of 64");
        assert_eq!(store.kept(), 0);
        store.put(large);
        assert!(store.take(16).is_ok());
        store.trim();
        assert_eq!((store.used(), store.kept()), (16, 0));
    }

    #[test]
    fn a_block_comes_back_clean() {
        let mut store = Store::new(1 << 20);
        let mut block = store.take(100).unwrap();
        block.bytes_mut().fill(0xff);
        store.put(block);
        assert!(
            store.take(100).unwrap().bytes()[..100]
                .iter()
                .all(|byte| *byte == 0)
        );
    }

    #[test]
    fn ip47_an_absurd_size_is_refused() {
        let mut store = Store::new(usize::MAX);
        assert!(matches!(
            store.take(1 << 62),
            Err(DmoError::NoMemory { .. })
        ));
        assert_eq!(store.used(), 0);
    }
}
