//! How the map grows and shrinks: buckets are split and merged, the directory doubles and halves.

use zerocopy::FromBytes;

use super::{Bucket, DmoMap, ID_BYTES, Root, hash};
use crate::sched::dmo::{DmoError, ObjectId, Plain, Region};

impl<K: Plain, V: Plain> DmoMap<K, V> {
    /// Puts a bucket behind one that cannot be split.
    pub(super) fn lengthen(region: &mut Region, first: ObjectId) -> Result<(), DmoError> {
        let more = region.alloc(Self::BYTES)?;
        let Bucket { depth, next, .. } = *region.view(first)?;
        *region.view_mut(more)? = Bucket {
            depth,
            count: 0,
            next,
        };
        region.view_mut::<Bucket>(first)?.next = more;
        Ok(())
    }

    /// Splits a bucket by one more bit. `place` is one of those that it has in the directory.
    pub(super) fn split(
        &self,
        region: &mut Region,
        place: usize,
        low: ObjectId,
    ) -> Result<(), DmoError> {
        let bit = region.view::<Bucket>(low)?.depth;
        let high = region.alloc(Self::BYTES)?;
        if bit == region.view::<Root>(self.root)?.depth {
            self.double(region).inspect_err(|_| {
                let _ = region.free(high);
            })?;
        }
        region.view_mut::<Bucket>(low)?.depth = bit + 1;
        region.view_mut::<Bucket>(high)?.depth = bit + 1;
        let (depth, seed) = {
            let root: &mut Root = region.view_mut(self.root)?;
            if bit + 1 == root.depth {
                root.deepest += 2;
            }
            (root.depth, root.seed)
        };
        let first_high = (place & ((1 << bit) - 1)) | 1 << bit;
        self.redirect(region, first_high, bit + 1, depth, high)?;
        let (from, to) = region.pair_mut(low, high)?;
        let is_high = |key: &[u8]| (hash(seed, key) >> bit) & 1 == 1;
        Self::move_pairs(from, to, is_high);
        Ok(())
    }

    /// Doubles the directory.
    fn double(&self, region: &mut Region) -> Result<(), DmoError> {
        let Root {
            depth, directory, ..
        } = *region.view(self.root)?;
        let half = ID_BYTES << depth;
        region.resize(directory, half * 2)?;
        region.move_bytes(directory, half, directory, 0, half)?;
        let root: &mut Root = region.view_mut(self.root)?;
        root.depth = depth + 1;
        root.deepest = 0;
        Ok(())
    }

    /// Lets all places of the directory that share `bits` bits with `first` name `bucket`.
    fn redirect(
        &self,
        region: &mut Region,
        first: usize,
        bits: u32,
        depth: u32,
        bucket: ObjectId,
    ) -> Result<(), DmoError> {
        let directory = region.view::<Root>(self.root)?.directory;
        let places = region.slice_mut::<ObjectId>(directory)?;
        let places = places.iter_mut().take(1 << depth).skip(first);
        for place in places.step_by(1 << bits) {
            *place = bucket;
        }
        Ok(())
    }

    /// Moves the pairs whose key is of one kind from a bucket to another, as far as there is room.
    fn move_pairs(from: &mut [u8], to: &mut [u8], is_kind: impl Fn(&[u8]) -> bool) {
        let Ok((from_header, from_pairs)) = Bucket::mut_from_prefix(from) else {
            return;
        };
        let Ok((to_header, to_pairs)) = Bucket::mut_from_prefix(to) else {
            return;
        };
        let bytes = |pair: usize| pair * Self::PAIR_BYTES..(pair + 1) * Self::PAIR_BYTES;
        let mut pair = 0;
        while pair < from_header.count as usize {
            let Some(source) = from_pairs.get(bytes(pair)) else {
                return;
            };
            let target = to_pairs.get_mut(bytes(to_header.count as usize));
            match (target, source.get(..size_of::<K>())) {
                (Some(target), Some(key)) if is_kind(key) => {
                    target.copy_from_slice(source);
                    to_header.count += 1;
                    from_header.count -= 1;
                    // The last one takes its place.
                    let last = bytes(from_header.count as usize);
                    from_pairs.copy_within(last, bytes(pair).start);
                }
                _ => pair += 1,
            }
        }
    }

    /// Merges a key's bucket with its buddies, as long as they are half empty together.
    pub(super) fn merge(&self, region: &mut Region, key: &K) -> Result<(), DmoError> {
        loop {
            let (place, bucket) = self.locate(region, key)?;
            let Bucket { depth, count, next } = *region.view(bucket)?;
            let Some(bit) = depth.checked_sub(1) else {
                return Ok(());
            };
            let root: Root = *region.view(self.root)?;
            let other: ObjectId =
                region.read_value(root.directory, (place ^ 1 << bit) * ID_BYTES)?;
            let buddy: Bucket = *region.view(other)?;
            let is_little = (count + buddy.count) as usize <= Self::PAIRS / 2;
            if buddy.depth != depth || !is_little || !next.is_none() || !buddy.next.is_none() {
                return Ok(());
            }
            let (from, to) = region.pair_mut(other, bucket)?;
            Self::move_pairs(from, to, |_| true);
            region.view_mut::<Bucket>(bucket)?.depth = bit;
            self.redirect(region, place & ((1 << bit) - 1), bit, root.depth, bucket)?;
            region.free(other)?;
            if depth == root.depth {
                let root: &mut Root = region.view_mut(self.root)?;
                root.deepest -= 2;
                if root.deepest == 0 {
                    self.halve(region)?;
                }
            }
        }
    }

    /// Halves the directory: no bucket needs its last bit.
    fn halve(&self, region: &mut Region) -> Result<(), DmoError> {
        let Root {
            depth, directory, ..
        } = *region.view(self.root)?;
        let Some(depth) = depth.checked_sub(1) else {
            return Ok(());
        };
        let mut deepest = 0;
        for place in 0..1_usize << depth {
            let bucket: ObjectId = region.read_value(directory, place * ID_BYTES)?;
            // Such a bucket has one place only.
            deepest += u64::from(region.view::<Bucket>(bucket)?.depth == depth);
        }
        let root: &mut Root = region.view_mut(self.root)?;
        root.depth = depth;
        root.deepest = deepest;
        // If there is no room for both sizes now, its second half is left unused.
        let _ = region.resize(directory, ID_BYTES << depth);
        Ok(())
    }
}
