//! A hash map in objects: extendible hashing, so that it grows and shrinks by one bucket at a time.
//!
//! A directory of 2^*depth* ids, itself an object, gives the bucket by the low bits of the key's
//! hash. A bucket knows how many of these bits all of its keys share. A full one is split by one
//! more bit; only if it shared all *depth* bits does the directory double. Buddies that are half
//! empty together are merged, and the directory halves when no bucket needs its last bit. (Fagin et
//! al., "Extendible hashing", ACM TODS 1979.) At its greatest depth it grows no more; buckets get
//! others behind them then.
//!
//! The hash is SipHash-1-3 with a seed in the root: it is the same on every side, and nobody who
//! sends keys can make them meet. Keys are compared as bytes.

mod growth;

use std::hash::Hasher;
use std::marker::PhantomData;

use siphasher::sip::SipHasher13;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::sched::dmo::{DmoError, ObjectId, Plain, Region};

const TAG: u32 = 0x6d61_7031;

/// Bits of the hash that a directory uses at most.
pub const MOST_DEPTH: u32 = 20;

/// Bytes of a bucket, about.
const BUCKET_BYTES: usize = 512;

const ID_BYTES: usize = size_of::<ObjectId>();

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Root {
    tag: u32,
    key_bytes: u32,
    value_bytes: u32,
    depth: u32,
    len: u64,
    /// Buckets that share all `depth` bits.
    deepest: u64,
    seed: [u64; 2],
    directory: ObjectId,
    most_depth: u64,
}

/// What a bucket begins with; behind it are its pairs, key and value.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Bucket {
    /// Bits that its keys share.
    depth: u32,
    /// Pairs.
    count: u32,
    /// More of the same.
    next: ObjectId,
}

/// A map from `K`s to `V`s, by the id of its root.
#[derive(Debug)]
pub struct DmoMap<K, V> {
    root: ObjectId,
    pairs: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for DmoMap<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for DmoMap<K, V> {}

/// A key's hash.
fn hash(seed: [u64; 2], key: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(seed[0], seed[1]);
    hasher.write(key);
    hasher.finish()
}

/// Where a pair is.
#[derive(Debug, Clone, Copy)]
struct Found {
    bucket: ObjectId,
    /// The bucket that it is behind.
    before: ObjectId,
    /// Which pair of the bucket.
    pair: usize,
}

impl<K: Plain, V: Plain> DmoMap<K, V> {
    const PAIR_BYTES: usize = size_of::<K>() + size_of::<V>();

    const PAIRS: usize = {
        let pair = if Self::PAIR_BYTES == 0 {
            1
        } else {
            Self::PAIR_BYTES
        };
        let pairs = (BUCKET_BYTES - size_of::<Bucket>()) / pair;
        if pairs < 4 { 4 } else { pairs }
    };

    const BYTES: usize = size_of::<Bucket>() + Self::PAIRS * Self::PAIR_BYTES;

    /// An empty one. The seed should be random where keys come from the network.
    ///
    /// # Errors
    ///
    /// Those of [`Region::alloc`].
    pub fn new(region: &mut Region, seed: [u64; 2]) -> Result<DmoMap<K, V>, DmoError> {
        Self::with_depth(region, seed, MOST_DEPTH)
    }

    /// An empty one with a directory of at most 2^`most_depth` ids, which is at most
    /// [`MOST_DEPTH`].
    ///
    /// # Errors
    ///
    /// Those of [`Region::alloc`].
    pub fn with_depth(
        region: &mut Region,
        seed: [u64; 2],
        most_depth: u32,
    ) -> Result<DmoMap<K, V>, DmoError> {
        let bucket = region.alloc(Self::BYTES)?;
        let directory = region.alloc_value(&bucket).inspect_err(|_| {
            let _ = region.free(bucket);
        })?;
        let root = region
            .alloc_value(&Root {
                tag: TAG,
                key_bytes: size_of::<K>() as u32,
                value_bytes: size_of::<V>() as u32,
                depth: 0,
                len: 0,
                deepest: 1,
                seed,
                directory,
                most_depth: u64::from(most_depth.min(MOST_DEPTH)),
            })
            .inspect_err(|_| {
                let _ = region.free(directory).and(region.free(bucket));
            })?;
        Ok(DmoMap {
            root,
            pairs: PhantomData,
        })
    }

    /// The one with this root.
    ///
    /// # Errors
    ///
    /// [`DmoError::Layout`] if it is none, or keys or values have another size; those of
    /// [`Region::get`].
    pub fn open(region: &Region, root: ObjectId) -> Result<DmoMap<K, V>, DmoError> {
        let found: &Root = region.view(root)?;
        let sizes = (found.key_bytes as usize, found.value_bytes as usize);
        if found.tag != TAG || sizes != (size_of::<K>(), size_of::<V>()) {
            return Err(DmoError::Layout { id: root });
        }
        Ok(DmoMap {
            root,
            pairs: PhantomData,
        })
    }

    /// The root's id: what [`open`](DmoMap::open) wants.
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
    /// Those of [`len`](DmoMap::len).
    pub fn is_empty(&self, region: &Region) -> Result<bool, DmoError> {
        Ok(self.len(region)? == 0)
    }

    /// The place in the directory of a key, and its bucket.
    fn locate(&self, region: &Region, key: &K) -> Result<(usize, ObjectId), DmoError> {
        let root: &Root = region.view(self.root)?;
        let at = hash(root.seed, key.as_bytes()) as usize & ((1 << root.depth.min(MOST_DEPTH)) - 1);
        Ok((at, region.read_value(root.directory, at * ID_BYTES)?))
    }

    /// Where a pair begins in its bucket.
    fn pair_at(pair: usize) -> usize {
        size_of::<Bucket>() + pair * Self::PAIR_BYTES
    }

    fn find(&self, region: &Region, key: &K) -> Result<Option<Found>, DmoError> {
        let (_, mut bucket) = self.locate(region, key)?;
        let mut before = ObjectId::NONE;
        let key = key.as_bytes();
        while !bucket.is_none() {
            let header: &Bucket = region.view(bucket)?;
            let bytes = region.get(bucket)?;
            for pair in 0..header.count as usize {
                let at = Self::pair_at(pair);
                if bytes.get(at..at + key.len()) == Some(key) {
                    return Ok(Some(Found {
                        bucket,
                        before,
                        pair,
                    }));
                }
            }
            before = bucket;
            bucket = header.next;
        }
        Ok(None)
    }

    fn value_at(found: &Found) -> usize {
        Self::pair_at(found.pair) + size_of::<K>()
    }

    /// A key's value.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoMap::len).
    pub fn get(&self, region: &Region, key: &K) -> Result<Option<V>, DmoError> {
        match self.find(region, key)? {
            Some(found) => region
                .read_value(found.bucket, Self::value_at(&found))
                .map(Some),
            None => Ok(None),
        }
    }

    /// Changes a key's value, and gives the new one; `None` if it has none.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoMap::len).
    pub fn update(
        &self,
        region: &mut Region,
        key: &K,
        change: impl FnOnce(V) -> V,
    ) -> Result<Option<V>, DmoError> {
        let Some(found) = self.find(region, key)? else {
            return Ok(None);
        };
        let at = Self::value_at(&found);
        let value = change(region.read_value(found.bucket, at)?);
        region.write_value(found.bucket, at, &value)?;
        Ok(Some(value))
    }

    /// Gives a key a value, and gives the one it had.
    ///
    /// # Errors
    ///
    /// Those of [`Region::alloc`]; the keys and values stay as they were.
    pub fn insert(&self, region: &mut Region, key: K, value: V) -> Result<Option<V>, DmoError> {
        if let Some(found) = self.find(region, &key)? {
            let at = Self::value_at(&found);
            let old = region.read_value(found.bucket, at)?;
            region.write_value(found.bucket, at, &value)?;
            return Ok(Some(old));
        }
        loop {
            let (place, first) = self.locate(region, &key)?;
            if let Some((bucket, count)) = Self::room(region, first)? {
                let at = Self::pair_at(count);
                region.write_value(bucket, at, &key)?;
                region.write_value(bucket, at + size_of::<K>(), &value)?;
                region.view_mut::<Bucket>(bucket)?.count += 1;
                region.view_mut::<Root>(self.root)?.len += 1;
                return Ok(None);
            }
            let most_depth = region.view::<Root>(self.root)?.most_depth;
            if u64::from(region.view::<Bucket>(first)?.depth) < most_depth {
                self.split(region, place, first)?;
            } else {
                Self::lengthen(region, first)?;
            }
        }
    }

    /// The bucket from this one on that has room, and how many pairs it has.
    fn room(region: &Region, first: ObjectId) -> Result<Option<(ObjectId, usize)>, DmoError> {
        let mut bucket = first;
        while !bucket.is_none() {
            let header: &Bucket = region.view(bucket)?;
            let count = header.count as usize;
            if count < Self::PAIRS {
                return Ok(Some((bucket, count)));
            }
            bucket = header.next;
        }
        Ok(None)
    }

    /// Takes a key out, and gives its value.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoMap::len).
    pub fn remove(&self, region: &mut Region, key: &K) -> Result<Option<V>, DmoError> {
        let Some(found) = self.find(region, key)? else {
            return Ok(None);
        };
        let value = region.read_value(found.bucket, Self::value_at(&found))?;
        let header: &mut Bucket = region.view_mut(found.bucket)?;
        header.count -= 1;
        let Bucket { count, next, .. } = *header;
        let (last, hole) = (Self::pair_at(count as usize), Self::pair_at(found.pair));
        region.move_bytes(found.bucket, hole, found.bucket, last, Self::PAIR_BYTES)?;
        region.view_mut::<Root>(self.root)?.len -= 1;
        if count == 0 && !found.before.is_none() {
            region.view_mut::<Bucket>(found.before)?.next = next;
            region.free(found.bucket)?;
        }
        self.merge(region, key)?;
        Ok(Some(value))
    }

    /// Calls `each` with all pairs, in no order.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoMap::len).
    pub fn for_each(&self, region: &Region, mut each: impl FnMut(K, V)) -> Result<(), DmoError> {
        self.for_each_bucket(region, |id, bucket| {
            for pair in 0..bucket.count as usize {
                let at = Self::pair_at(pair);
                let key = region.read_value(id, at)?;
                each(key, region.read_value(id, at + size_of::<K>())?);
            }
            Ok(())
        })
    }

    /// Calls `each` with all buckets, once each; those behind others too.
    fn for_each_bucket(
        &self,
        region: &Region,
        mut each: impl FnMut(ObjectId, &Bucket) -> Result<(), DmoError>,
    ) -> Result<(), DmoError> {
        let root: &Root = region.view(self.root)?;
        for place in 0..1_usize << root.depth.min(MOST_DEPTH) {
            let mut id: ObjectId = region.read_value(root.directory, place * ID_BYTES)?;
            // The first of its places stands for it.
            if place >> region.view::<Bucket>(id)?.depth != 0 {
                continue;
            }
            while !id.is_none() {
                let bucket: &Bucket = region.view(id)?;
                each(id, bucket)?;
                id = bucket.next;
            }
        }
        Ok(())
    }

    /// Frees it, with all its objects; not those that keys and values name.
    ///
    /// # Errors
    ///
    /// Those of [`len`](DmoMap::len).
    pub fn destroy(self, region: &mut Region) -> Result<(), DmoError> {
        let Root {
            depth, directory, ..
        } = *region.view(self.root)?;
        // From behind: the first of a bucket's places, which frees it, comes last.
        for place in (0..1_usize << depth.min(MOST_DEPTH)).rev() {
            let mut id: ObjectId = region.read_value(directory, place * ID_BYTES)?;
            if place >> region.view::<Bucket>(id)?.depth != 0 {
                continue;
            }
            while !id.is_none() {
                let next = region.view::<Bucket>(id)?.next;
                region.free(id)?;
                id = next;
            }
        }
        region.free(directory)?;
        region.free(self.root)
    }

    /// The directory's depth, if every key is where it belongs and all counts are right.
    #[cfg(test)]
    pub(super) fn sound_depth(&self, region: &Region) -> Result<Option<u32>, DmoError> {
        let root: &Root = region.view(self.root)?;
        let (mut pairs, mut deepest) = (0_u64, 0_u64);
        let mut is_sound = true;
        for place in 0..1_usize << root.depth {
            let id: ObjectId = region.read_value(root.directory, place * ID_BYTES)?;
            let bucket: &Bucket = region.view(id)?;
            is_sound &= bucket.depth <= root.depth;
            let first = place & ((1 << bucket.depth) - 1);
            is_sound &= region.read_value::<ObjectId>(root.directory, first * ID_BYTES)? == id;
            deepest += u64::from(bucket.depth == root.depth);
        }
        self.for_each(region, |key, _| {
            pairs += 1;
            is_sound &= self.find(region, &key).is_ok_and(|found| found.is_some());
        })?;
        is_sound &= pairs == root.len && deepest == root.deepest;
        Ok(is_sound.then_some(root.depth))
    }
}
