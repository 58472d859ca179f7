//! Counts over the last few slots of time, in objects.

use nf_core::sched::dmo::map::DmoMap;
use nf_core::sched::dmo::{DmoError, ObjectId, Region};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::tuples::Word;

/// Slots of a window.
pub const SLOTS: usize = 8;

type Counts = [u32; SLOTS];

/// What the window's root says.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Root {
    map: ObjectId,
    /// When the slot began, nanoseconds.
    began: u64,
    /// Which slot it is.
    slot: u32,
    /// Reports so far.
    reports: u32,
}

/// A window, by its root, which is its region's.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    root: ObjectId,
    map: DmoMap<Word, Counts>,
}

impl Window {
    /// An empty one, which is all that is in the region.
    ///
    /// # Errors
    ///
    /// Those of [`Region::alloc`], here and below those of [`Region::get`], too.
    pub fn new(region: &mut Region, seed: [u64; 2], now: u64) -> Result<Window, DmoError> {
        let map = DmoMap::new(region, seed)?;
        let root = region.alloc_value(&Root {
            map: map.id(),
            began: now,
            slot: 0,
            reports: 0,
        })?;
        region.set_root(root)?;
        Ok(Window { root, map })
    }

    /// The one that is in the region.
    ///
    /// # Errors
    ///
    /// [`DmoError::Layout`] if there is none.
    pub fn open(region: &Region) -> Result<Window, DmoError> {
        let root = region.root();
        let map = DmoMap::open(region, region.view::<Root>(root)?.map)?;
        Ok(Window { root, map })
    }

    /// Counts a word so many times, in this slot.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Window::new); nothing is counted.
    pub fn add(&self, region: &mut Region, word: &Word, count: u32) -> Result<(), DmoError> {
        let slot = region.view::<Root>(self.root)?.slot as usize % SLOTS;
        let add = |mut counts: Counts| {
            counts[slot] = counts[slot].saturating_add(count);
            counts
        };
        if self.map.update(region, word, add)?.is_none() {
            self.map.insert(region, *word, add([0; SLOTS]))?;
        }
        Ok(())
    }

    /// Ends slots of `slot_ns` nanoseconds that are over by `now`, and forgets what was said too long ago.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Window::new).
    pub fn advance(&self, region: &mut Region, now: u64, slot_ns: u64) -> Result<(), DmoError> {
        let Root { began, slot, .. } = *region.view(self.root)?;
        let over = now.saturating_sub(began) / slot_ns.max(1);
        if over == 0 {
            return Ok(());
        }
        let root: &mut Root = region.view_mut(self.root)?;
        root.began = began + over * slot_ns.max(1);
        root.slot = slot.wrapping_add(over as u32) % SLOTS as u32;
        let gone = over.min(SLOTS as u64) as usize;
        let mut words = Vec::new();
        self.map.for_each(region, |word, _| words.push(word))?;
        for word in words {
            let forget = |mut counts: Counts| {
                for past in 1..=gone {
                    counts[(slot as usize + past) % SLOTS] = 0;
                }
                counts
            };
            if self.map.update(region, &word, forget)? == Some([0; SLOTS]) {
                self.map.remove(region, &word)?;
            }
        }
        Ok(())
    }

    /// Calls `each` with every word of the window, and how often it was said.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Window::new).
    pub fn for_each(
        &self,
        region: &Region,
        mut each: impl FnMut(Word, u64),
    ) -> Result<(), DmoError> {
        self.map.for_each(region, |word, counts| {
            each(word, counts.iter().copied().map(u64::from).sum());
        })
    }

    /// The number of the next report.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Window::new).
    pub fn next_report(&self, region: &mut Region) -> Result<u32, DmoError> {
        let root: &mut Root = region.view_mut(self.root)?;
        root.reports = root.reports.wrapping_add(1);
        Ok(root.reports)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tuples::word;
    use nf_core::sched::ActorId;

    #[test]
    fn what_was_said_too_long_ago_is_forgotten() {
        let owner = ActorId {
            index: 1,
            generation: 1,
        };
        let mut region = Region::new(owner, 1 << 20);
        let window = Window::new(&mut region, [1, 2], 0).expect("room");
        let mut said: Vec<(u64, Word)> = Vec::new();
        let mut random = 7_u64;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        let mut now = 0;
        for _ in 0..5_000 {
            now += next(30) * next(30) * next(2);
            window.advance(&mut region, now, 100).expect("its own");
            let it = word(&format!("#{}", next(40)));
            window.add(&mut region, &it, 1).expect("room");
            said.push((now, it));
            let first = (now / 100 + 1).saturating_sub(SLOTS as u64);
            let mut expected = BTreeMap::<Word, u64>::new();
            for (_, it) in said.iter().rev().take_while(|(at, _)| at / 100 >= first) {
                *expected.entry(*it).or_default() += 1;
            }
            let mut found = BTreeMap::new();
            let window = Window::open(&region).expect("it");
            window
                .for_each(&region, |word, count| {
                    found.insert(word, count);
                })
                .expect("its own");
            assert_eq!(found, expected);
        }
        window
            .advance(&mut region, now + 800, 100)
            .expect("its own");
        window
            .for_each(&region, |_, _| panic!("all is over"))
            .expect("its own");
    }
}
