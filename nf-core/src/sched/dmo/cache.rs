//! A software cache of values that belong to an actor on the other side.
//!
//! iPipe names one, to make the link between the sides matter less. It is bounded, belongs to one
//! actor, and promises no coherence. Two ways to use it:
//!
//! - *Read mostly*: [`fill`](Cache::fill) it with what the owner answered, [`get`](Cache::get)
//!   until the owner says otherwise ([`invalidate`](Cache::invalidate)). What has not been looked
//!   at for long makes room.
//! - *Write behind*: [`change`](Cache::change) values here, and send them to the owner by
//!   [`flush`](Cache::flush), at the end of a window, say. Nothing that was changed is ever
//!   dropped: if there is no room but in place of a changed value, that one is handed out, to be
//!   sent at once.
//!
//! Before the owner is moved, [`retire`](Cache::retire) sends what was changed and forgets
//! everything; the cache takes nothing in until the owner is at home again
//! ([`resume`](Cache::resume)).
//!
//! Memory is taken when it is made; nothing is allocated after that.

use std::collections::HashMap;
use std::hash::Hash;

/// What a cache counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Looks that found a value.
    pub hits: u64,
    /// Looks that found none.
    pub misses: u64,
    /// Values that made room for others.
    pub evicted: u64,
    /// Values sent to the owner.
    pub flushed: u64,
}

#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
    /// Looked at since the hand came by.
    used: bool,
    /// Not known to the owner.
    changed: bool,
}

/// What became of a value that was put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put<K, V> {
    /// It is in.
    In,
    /// It is in, in place of one that the owner does not know: send it.
    InPlaceOf(K, V),
    /// It is not in: the owner is being moved.
    Retired,
}

/// At most so many values, by key.
#[derive(Debug)]
pub struct Cache<K, V> {
    slots: Vec<Slot<K, V>>,
    index: HashMap<K, usize>,
    most: usize,
    hand: usize,
    is_retired: bool,
    stats: CacheStats,
}

impl<K: Copy + Eq + Hash, V: Copy> Cache<K, V> {
    /// For at most `most` values.
    pub fn new(most: usize) -> Cache<K, V> {
        let most = most.max(1);
        Cache {
            slots: Vec::with_capacity(most),
            // Twice as many, so that places that were given up never make it grow.
            index: HashMap::with_capacity(2 * most),
            most,
            hand: 0,
            is_retired: false,
            stats: CacheStats::default(),
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many of them the owner does not know.
    pub fn changed(&self) -> usize {
        self.slots.iter().filter(|slot| slot.changed).count()
    }

    /// What was counted.
    pub fn stats(&self) -> CacheStats {
        self.stats
    }

    /// A key's value. It may be older than the owner's.
    pub fn get(&mut self, key: &K) -> Option<V> {
        let found = self.index.get(key).and_then(|at| self.slots.get_mut(*at));
        match found {
            Some(slot) => {
                slot.used = true;
                self.stats.hits += 1;
                Some(slot.value)
            }
            None => {
                self.stats.misses += 1;
                None
            }
        }
    }

    /// Takes in what the owner has answered. A value that was changed here stays as it is.
    pub fn fill(&mut self, key: K, value: V) -> Put<K, V> {
        match self.slot(&key) {
            Some(slot) => {
                if !slot.changed {
                    slot.value = value;
                }
                Put::In
            }
            None => self.put(key, value, false),
        }
    }

    /// Changes a key's value, from `or` if there is none; the owner is told later.
    pub fn change(&mut self, key: K, or: V, change: impl FnOnce(V) -> V) -> Put<K, V> {
        match self.slot(&key) {
            Some(slot) => {
                slot.value = change(slot.value);
                slot.changed = true;
                slot.used = true;
                Put::In
            }
            None => self.put(key, change(or), true),
        }
    }

    /// Forgets a key: its owner has another value. Gives the value if it was changed here.
    pub fn invalidate(&mut self, key: &K) -> Option<V> {
        let at = self.index.remove(key)?;
        let slot = self.slots.swap_remove(at);
        if let Some(moved) = self.slots.get(at) {
            self.index.insert(moved.key, at);
        }
        slot.changed.then_some(slot.value)
    }

    /// Hands the changed values to `send`, until it says false: that one and the others stay
    /// changed. True: none is left.
    pub fn flush(&mut self, mut send: impl FnMut(&K, &V) -> bool) -> bool {
        for slot in &mut self.slots {
            if slot.changed {
                if !send(&slot.key, &slot.value) {
                    return false;
                }
                slot.changed = false;
                self.stats.flushed += 1;
            }
        }
        true
    }

    /// As [`flush`](Cache::flush), and takes each value out, so that the next change begins anew:
    /// for differences, as counters are.
    pub fn drain(&mut self, mut send: impl FnMut(&K, &V) -> bool) -> bool {
        while let Some(slot) = self.slots.last() {
            if slot.changed {
                if !send(&slot.key, &slot.value) {
                    return false;
                }
                self.stats.flushed += 1;
            }
            self.index.remove(&slot.key);
            self.slots.pop();
        }
        true
    }

    /// The owner is to be moved: nothing is taken in any more, what was changed is sent, the rest
    /// forgotten. False: `send` said false; to be called again before the owner is moved.
    pub fn retire(&mut self, send: impl FnMut(&K, &V) -> bool) -> bool {
        self.is_retired = true;
        self.drain(send)
    }

    /// The owner is at home again.
    pub fn resume(&mut self) {
        self.is_retired = false;
    }

    fn slot(&mut self, key: &K) -> Option<&mut Slot<K, V>> {
        // While it is retired, nothing is changed that may have been sent.
        if self.is_retired {
            return None;
        }
        self.index.get(key).and_then(|at| self.slots.get_mut(*at))
    }

    fn put(&mut self, key: K, value: V, changed: bool) -> Put<K, V> {
        if self.is_retired {
            return Put::Retired;
        }
        let new = Slot {
            key,
            value,
            // The hand has just been here. Only a second look counts.
            used: false,
            changed,
        };
        if self.slots.len() < self.most {
            self.index.insert(key, self.slots.len());
            self.slots.push(new);
            return Put::In;
        }
        let at = self.victim();
        let Some(slot) = self.slots.get_mut(at) else {
            return Put::In;
        };
        let old = std::mem::replace(slot, new);
        self.index.remove(&old.key);
        self.index.insert(key, at);
        self.stats.evicted += 1;
        match old.changed {
            true => {
                self.stats.flushed += 1;
                Put::InPlaceOf(old.key, old.value)
            }
            false => Put::In,
        }
    }

    /// The next slot that was not looked at since the hand came by, the owner's values first.
    fn victim(&mut self) -> usize {
        let mut changed = None;
        // The first turn takes the marks away, the second finds something.
        for _ in 0..2 * self.most {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.most;
            let Some(slot) = self.slots.get_mut(at) else {
                continue;
            };
            if slot.used {
                slot.used = false;
            } else if slot.changed {
                changed = changed.or(Some(at));
            } else {
                return at;
            }
        }
        changed.unwrap_or(self.hand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let mut cache = Cache::new(4);
        assert_eq!(cache.get(&1), None);
        for key in 0..4 {
            assert_eq!(cache.fill(key, key * 10), Put::In);
        }
        assert_eq!(cache.fill(4, 40), Put::In);
        assert_eq!(cache.len(), 4);
        for key in 5..20 {
            assert_eq!(cache.get(&4), Some(40), "it was used each time");
            cache.fill(key, 0);
        }
        assert_eq!(cache.len(), 4);
        assert_eq!(cache.stats().evicted, 16);
        let capacity = cache.index.capacity();
        for key in 0..10_000 {
            cache.fill(key, 0);
            cache.invalidate(&(key / 2));
        }
        assert_eq!(cache.index.capacity(), capacity, "nothing is allocated");
    }

    #[test]
    fn a_changed_value_is_never_dropped() {
        let mut cache = Cache::new(3);
        let mut owner = HashMap::<u32, u64>::new();
        let mut expected = HashMap::<u32, u64>::new();
        for n in 0..1000_u32 {
            let key = n * n % 17;
            *expected.entry(key).or_default() += 1;
            match cache.change(key, 0, |count: u64| count + 1) {
                Put::In => {}
                Put::InPlaceOf(key, count) => *owner.entry(key).or_default() += count,
                Put::Retired => panic!("it is not"),
            }
            // Only now and then there is room to send.
            if n % 100 == 99 {
                let mut room = 2;
                cache.drain(|key, count| {
                    if room == 0 {
                        return false;
                    }
                    room -= 1;
                    *owner.entry(*key).or_default() += *count;
                    true
                });
            }
        }
        assert!(cache.drain(|key, count| {
            *owner.entry(*key).or_default() += *count;
            true
        }));
        assert_eq!(owner, expected);
        assert!(cache.is_empty());
    }

    #[test]
    fn flush_sends_each_change_once() {
        let mut cache = Cache::new(8);
        cache.fill(1, 10);
        cache.change(2, 0, |_| 20);
        cache.change(1, 0, |value| value + 1);
        assert_eq!(cache.changed(), 2);
        assert_eq!(cache.fill(1, 99), Put::In);
        assert_eq!(
            cache.get(&1),
            Some(11),
            "the owner's answer is older than the change"
        );
        assert!(!cache.flush(|_, _| false));
        assert_eq!(cache.changed(), 2);
        let mut sent = Vec::new();
        assert!(cache.flush(|key, value| {
            sent.push((*key, *value));
            true
        }));
        assert_eq!(sent, [(1, 11), (2, 20)]);
        assert!(cache.flush(|_, _| panic!("nothing is left")));
        assert_eq!(cache.get(&2), Some(20), "it stays to be read");
    }

    #[test]
    fn invalidate_forgets_one() {
        let mut cache = Cache::new(8);
        for key in 0..5 {
            cache.fill(key, key);
        }
        assert_eq!(cache.invalidate(&1), None);
        assert_eq!(cache.invalidate(&1), None);
        cache.change(3, 0, |_| 33);
        assert_eq!(cache.invalidate(&3), Some(33));
        assert_eq!(
            [0, 1, 2, 3, 4].map(|key| cache.get(&key)),
            [Some(0), None, Some(2), None, Some(4)]
        );
    }

    #[test]
    fn it_is_empty_before_its_owner_moves() {
        let mut cache = Cache::new(8);
        cache.fill(1, 1);
        cache.change(2, 0, |_| 2);
        assert!(!cache.retire(|_, _| false), "there is no room to send");
        assert_eq!(cache.change(2, 0, |_| 9), Put::Retired);
        assert_eq!(cache.fill(3, 3), Put::Retired);
        let mut sent = Vec::new();
        assert!(cache.retire(|key, value| {
            sent.push((*key, *value));
            true
        }));
        assert_eq!(sent, [(2, 2)]);
        assert_eq!(cache.get(&1), None);
        assert_eq!(cache.fill(1, 1), Put::Retired);
        cache.resume();
        assert_eq!(cache.fill(1, 5), Put::In);
        assert_eq!(cache.get(&1), Some(5));
    }
}
