//! A hierarchical timer wheel: the timers of one core.
//!
//! Level 0 has a slot for each of the next 64 ticks, level 1 for each of the next 64 blocks of 64
//! ticks, and so on; eleven levels span all of a `u64`. A timer lies in the level of the highest
//! digit (base 64) in which its tick differs from the wheel's position. When the position enters
//! a block, the block's timers move down. Inserting and cancelling take constant time, a timer
//! moves down at most ten times, and nothing is allocated after creation.
//!
//! After Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7.

use std::fmt;

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = u64::BITS.div_ceil(BITS) as usize;
/// No node.
const NIL: u32 = u32::MAX;

/// A timer set in a [`Wheel`]; good for cancelling it, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

/// A timer that has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer<T> {
    /// The id it was inserted under, no longer valid.
    pub id: TimerId,
    /// When it should have expired, in nanoseconds, as it was inserted.
    pub deadline: u64,
    /// What it was inserted with.
    pub payload: T,
}

/// All timers of the wheel are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all {capacity} timers of the core are in use")]
pub struct WheelFull {
    /// How many there are.
    pub capacity: usize,
}

#[derive(Clone, Copy)]
struct List {
    first: u32,
    last: u32,
}

const EMPTY: List = List {
    first: NIL,
    last: NIL,
};

struct Node<T> {
    /// Present while the timer is set.
    payload: Option<T>,
    deadline: u64,
    tick: u64,
    generation: u32,
    /// Neighbours in the slot; `next` also links the free nodes.
    next: u32,
    previous: u32,
    level: u8,
    slot: u8,
}

/// Timers that expire in the order of their ticks, those of one tick in the order of insertion.
///
/// A timer never expires early, and late by less than one tick of the resolution plus the time
/// until the next poll.
pub struct Wheel<T> {
    nodes: Box<[Node<T>]>,
    free: u32,
    len: usize,
    slots: Box<[[List; SLOTS]; LEVELS]>,
    /// Bit *n* of element *l*: slot *n* of level *l* has timers.
    occupied: [u64; LEVELS],
    /// Bit *l*: level *l* has timers.
    levels: u16,
    /// Nanoseconds to ticks.
    shift: u32,
    /// Position, in ticks. No timer is set for before, no undone block begins at or before it.
    elapsed: u64,
    /// Latest tick that was polled for.
    polled: u64,
    /// Nanoseconds before which a poll has nothing to do.
    next: u64,
}

impl<T> Wheel<T> {
    /// A wheel for up to `capacity` timers at a time, whose tick is `resolution` nanoseconds,
    /// rounded up to a power of two.
    pub fn new(capacity: usize, resolution: u64) -> Self {
        let capacity = capacity.min(NIL as usize);
        let nodes = (0..capacity).map(|index| Node {
            payload: None,
            deadline: 0,
            tick: 0,
            generation: 0,
            next: if index + 1 < capacity {
                index as u32 + 1
            } else {
                NIL
            },
            previous: NIL,
            level: 0,
            slot: 0,
        });
        Self {
            nodes: nodes.collect(),
            free: if capacity > 0 { 0 } else { NIL },
            len: 0,
            slots: Box::new([[EMPTY; SLOTS]; LEVELS]),
            occupied: [0; LEVELS],
            levels: 0,
            shift: resolution
                .clamp(1, 1 << 62)
                .next_power_of_two()
                .trailing_zeros(),
            elapsed: 0,
            polled: 0,
            next: u64::MAX,
        }
    }

    /// The tick in nanoseconds.
    pub fn resolution(&self) -> u64 {
        1 << self.shift
    }

    /// Timers set now.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many timers can be set at a time.
    pub fn capacity(&self) -> usize {
        self.nodes.len()
    }

    /// Sets a timer for `deadline`, in nanoseconds of the clock the wheel is polled with. One
    /// that is due already expires at the first tick after the latest that was polled for: a
    /// timer that sets itself anew cannot hold a poll up.
    pub fn insert(&mut self, deadline: u64, payload: T) -> Result<TimerId, WheelFull> {
        let index = self.free;
        let Some(node) = self.nodes.get_mut(index as usize) else {
            return Err(WheelFull {
                capacity: self.nodes.len(),
            });
        };
        self.free = node.next;
        // Up: never early. The last tick of all begins before the last nanosecond does.
        let tick = (deadline >> self.shift)
            .saturating_add(u64::from(deadline & ((1 << self.shift) - 1) != 0))
            .max(self.polled.saturating_add(1))
            .min(u64::MAX >> self.shift);
        node.payload = Some(payload);
        node.deadline = deadline;
        node.tick = tick;
        let id = TimerId {
            index,
            generation: node.generation,
        };
        self.len += 1;
        self.link(index, tick);
        self.find_next();
        Ok(id)
    }

    /// Takes a timer back; `None` if it has expired or been cancelled.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let node = self.nodes.get(id.index as usize)?;
        if node.generation != id.generation || node.payload.is_none() {
            return None;
        }
        self.unlink(id.index);
        self.find_next();
        self.release(id.index)
    }

    /// The next timer that has expired at `now`, nanoseconds; to be called until it gives `None`.
    /// Timers inserted in between wait for a later tick.
    #[inline]
    pub fn pop(&mut self, now: u64) -> Option<Timer<T>> {
        let tick = now >> self.shift;
        self.polled = self.polled.max(tick);
        if now < self.next {
            self.elapsed = self.elapsed.max(tick);
            return None;
        }
        self.pop_due()
    }

    /// Gives every timer that has expired at `now`, nanoseconds, to `expired`.
    pub fn poll(&mut self, now: u64, mut expired: impl FnMut(Timer<T>)) {
        while let Some(timer) = self.pop(now) {
            expired(timer);
        }
    }

    /// The time in nanoseconds up to which a poll has nothing to do; `None` without timers. No
    /// timer expires before it; one that is far off may expire later than it.
    pub fn next_expiry(&self) -> Option<u64> {
        (self.len > 0).then_some(self.next)
    }

    fn pop_due(&mut self) -> Option<Timer<T>> {
        while let Some((level, slot, tick)) = self.first_slot() {
            if tick > self.polled {
                break;
            }
            self.elapsed = tick;
            if level == 0 {
                let index = self.slots[0][slot].first;
                self.unlink(index);
                self.find_next();
                let node = &self.nodes[index as usize];
                let id = TimerId {
                    index,
                    generation: node.generation,
                };
                let deadline = node.deadline;
                if let Some(payload) = self.release(index) {
                    return Some(Timer {
                        id,
                        deadline,
                        payload,
                    });
                }
            } else {
                self.move_down(level, slot);
            }
        }
        self.elapsed = self.elapsed.max(self.polled);
        self.find_next();
        None
    }

    /// Moves the timers of a block that the position has entered, in their order.
    fn move_down(&mut self, level: usize, slot: usize) {
        let mut index = self.slots[level][slot].first;
        self.slots[level][slot] = EMPTY;
        self.clear(level, slot);
        while index != NIL {
            let node = &self.nodes[index as usize];
            let (next, tick) = (node.next, node.tick);
            self.link(index, tick);
            index = next;
        }
    }

    /// The first slot with timers: level, number, and its first tick. Every slot of a level comes
    /// before every slot of the next.
    fn first_slot(&self) -> Option<(usize, usize, u64)> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        let slot = self.occupied[level].trailing_zeros() as usize;
        let low = BITS * level as u32;
        // The digits above this level's are the position's, those below are zero.
        let above = self.elapsed.checked_shr(low + BITS).unwrap_or(0);
        let block = (above << BITS) | slot as u64;
        Some((level, slot, block << low))
    }

    fn find_next(&mut self) {
        self.next = match self.first_slot() {
            Some((_, _, tick)) => tick << self.shift,
            None => u64::MAX,
        };
    }

    /// Appends a node to the slot of its tick.
    fn link(&mut self, index: u32, tick: u64) {
        let differ = (tick ^ self.elapsed) | 1;
        let level = ((u64::BITS - 1 - differ.leading_zeros()) / BITS) as usize;
        let slot = (tick >> (BITS * level as u32)) as usize % SLOTS;
        let list = &mut self.slots[level][slot];
        let last = std::mem::replace(&mut list.last, index);
        if last == NIL {
            list.first = index;
            self.occupied[level] |= 1 << slot;
            self.levels |= 1 << level;
        } else {
            self.nodes[last as usize].next = index;
        }
        let node = &mut self.nodes[index as usize];
        node.previous = last;
        node.next = NIL;
        node.level = level as u8;
        node.slot = slot as u8;
    }

    /// Takes a node out of its slot.
    fn unlink(&mut self, index: u32) {
        let node = &self.nodes[index as usize];
        let (previous, next) = (node.previous, node.next);
        let (level, slot) = (usize::from(node.level), usize::from(node.slot));
        match previous {
            NIL => self.slots[level][slot].first = next,
            _ => self.nodes[previous as usize].next = next,
        }
        match next {
            NIL => self.slots[level][slot].last = previous,
            _ => self.nodes[next as usize].previous = previous,
        }
        if self.slots[level][slot].first == NIL {
            self.clear(level, slot);
        }
    }

    fn clear(&mut self, level: usize, slot: usize) {
        self.occupied[level] &= !(1 << slot);
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// Puts a node that is in no slot back among the free; its id is void from now on.
    fn release(&mut self, index: u32) -> Option<T> {
        let node = &mut self.nodes[index as usize];
        node.generation = node.generation.wrapping_add(1);
        node.next = self.free;
        self.free = index;
        self.len -= 1;
        node.payload.take()
    }
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("len", &self.len)
            .field("capacity", &self.nodes.len())
            .field("resolution", &self.resolution())
            .field("next_expiry", &self.next_expiry())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
