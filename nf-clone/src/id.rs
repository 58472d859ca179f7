//! Request ids: never 0, never twice.
//!
//! An id that repeats while an answer to its first bearer is still under way, or its fingerprint still in
//! the filter, makes the filter drop the only answer to a request. So an id says when and where it was
//! given: `epoch:16 | core:8 | seq:40`. The epoch changes with every start and whenever the filter is
//! cleared; each core counts for itself.

/// Bits of the count of one core: 30 hours at ten million a second.
const SEQ_BITS: u32 = 40;

/// The last count of an epoch.
const LAST_SEQ: u64 = (1 << SEQ_BITS) - 1;

/// The ids of one core under format v1.
#[derive(Debug, Clone)]
pub struct IdSource {
    core: u8,
    /// The last one given.
    seq: u64,
}

/// A new id, with what the filter needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextId {
    /// The id.
    Id(u64),
    /// This core has given all ids of the epoch: nothing can be cloned until there is another one.
    Exhausted,
}

impl IdSource {
    /// The first id of the core has `seq` 1.
    pub fn new(core: u8) -> IdSource {
        IdSource { core, seq: 0 }
    }

    /// Goes on after `seq`, as if so many ids had been given.
    pub fn starting_after(core: u8, seq: u64) -> IdSource {
        IdSource {
            core,
            seq: seq & LAST_SEQ,
        }
    }

    /// The next id of this core in `epoch`.
    #[inline(always)]
    pub fn give(&mut self, epoch: u16) -> NextId {
        if self.seq == LAST_SEQ {
            return NextId::Exhausted;
        }
        self.seq += 1;
        NextId::Id(u64::from(epoch) << 48 | u64::from(self.core) << SEQ_BITS | self.seq)
    }

    /// A new epoch has begun: counts from the start.
    pub fn begin(&mut self) {
        self.seq = 0;
    }
}

/// The epoch of an id.
#[inline(always)]
pub const fn epoch(id: u64) -> u16 {
    (id >> 48) as u16
}

/// Where the fingerprint of an appliance's id goes before the filter masks it: ids of all cores lie
/// densely beside each other, so that none collide until a second answer is as many ids late as there
/// are slots.
#[inline(always)]
pub const fn dense_index(id: u64, cores: u64) -> u64 {
    let seq = id & LAST_SEQ;
    let core = id >> SEQ_BITS & 0xff;
    seq.wrapping_mul(cores).wrapping_add(core)
}

/// Where a fingerprint goes if ids are not dense: those that clients choose.
#[inline(always)]
pub const fn hashed_index(id: u64) -> u64 {
    // The finaliser of SplitMix64: every bit of the id moves every bit of the index.
    let id = (id ^ id >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let id = (id ^ id >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    id ^ id >> 31
}

/// The epoch after `epoch`. 0 is never one, so that no id is 0.
pub const fn next_epoch(epoch: u16) -> u16 {
    match epoch.wrapping_add(1) {
        0 => 1,
        next => next,
    }
}

/// The ids of one core under profile `compat28`: 32 bits, striped over the cores. They do wrap, after
/// 2^32 requests; the prototype's own wrap after 10^8.
#[derive(Debug, Clone)]
pub struct CompatIds {
    next: u32,
    core: u32,
    cores: u32,
}

impl CompatIds {
    /// The ids of a core among `cores`.
    pub fn new(core: u32, cores: u32) -> CompatIds {
        CompatIds {
            next: 1 + core,
            core,
            cores: cores.max(1),
        }
    }

    /// Goes on at `next` or the first id of this core after it.
    pub fn starting_at(core: u32, cores: u32, next: u32) -> CompatIds {
        let mut ids = CompatIds::new(core, cores);
        let stripe = (next.wrapping_sub(1 + core)).div_ceil(ids.cores);
        ids.next = match stripe
            .checked_mul(ids.cores)
            .and_then(|ids| ids.checked_add(1 + core))
        {
            Some(next) => next,
            None => 1 + core,
        };
        ids
    }

    /// The next id; never 0.
    #[inline(always)]
    pub fn give(&mut self) -> u32 {
        let id = self.next;
        // Past the end it begins again with this core's own stripe.
        self.next = id.checked_add(self.cores).unwrap_or(1 + self.core);
        id
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn id(next: NextId) -> u64 {
        match next {
            NextId::Id(id) => id,
            NextId::Exhausted => panic!("no id"),
        }
    }

    #[test]
    fn f06_ids_are_unique_over_cores_and_epochs_and_never_zero() {
        let mut seen = HashSet::new();
        for epoch in [1, 2, u16::MAX] {
            for core in [0, 1, 255] {
                let mut ids = IdSource::new(core);
                for _ in 0..1000 {
                    let id = id(ids.give(epoch));
                    assert!(id != 0 && seen.insert(id));
                    assert_eq!(super::epoch(id), epoch);
                }
            }
        }
    }

    #[test]
    fn f06_epochs_skip_zero() {
        assert_eq!(next_epoch(1), 2);
        assert_eq!(next_epoch(u16::MAX), 1);
    }

    #[test]
    fn f06_the_worked_example() {
        let mut ids = IdSource::starting_after(0, 6);
        assert_eq!(ids.give(1), NextId::Id(0x0001_0000_0000_0007));
        assert_eq!(dense_index(0x0001_0000_0000_0007, 1), 7);
    }

    #[test]
    fn x12_near_its_end_the_count_stops_instead_of_repeating() {
        let mut ids = IdSource::starting_after(3, (1 << 40) - 1000);
        let mut seen = HashSet::new();
        for _ in 0..999 {
            let id = id(ids.give(9));
            assert!(seen.insert(id));
            assert_eq!((epoch(id), id >> 40 & 0xff), (9, 3));
        }
        assert_eq!(ids.give(9), NextId::Exhausted);
        ids.begin();
        assert_eq!(id(ids.give(10)) & LAST_SEQ, 1);
    }

    #[test]
    fn x12_compat_ids_skip_zero_when_they_wrap() {
        for cores in [1, 2, 3, 7] {
            let mut seen = HashSet::new();
            for core in 0..cores {
                let mut ids = CompatIds::starting_at(core, cores, u32::MAX - 1000);
                let stripe = |id: u32| (id - 1) % cores;
                for _ in 0..700 {
                    let id = ids.give();
                    assert_ne!(id, 0);
                    assert_eq!(stripe(id), core, "{cores} cores");
                    assert!(seen.insert(id), "{id} twice with {cores} cores");
                }
            }
        }
    }

    #[test]
    fn dense_ids_do_not_collide_within_a_filter() {
        let cores = 4;
        let mut slots = HashSet::new();
        for core in 0..4 {
            let mut ids = IdSource::new(core);
            for _ in 0..1024 {
                assert!(slots.insert(dense_index(id(ids.give(1)), cores) & 4095));
            }
        }
    }
}
