//! Packets that are held: those with a time to leave at, and those that are held back until others
//! have gone ahead. All memory is taken at the start.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use super::config::MOST_OVERTAKING;
use crate::packet::{Direction, Packet};

/// A packet and when it leaves.
struct Due {
    at: u64,
    /// Of two that leave at one time, the one held first goes first.
    order: u64,
    direction: Direction,
    packet: Packet,
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A packet that others go ahead of.
struct Back {
    /// When it would have left.
    at: u64,
    /// It leaves once this many packets of its direction have been seen.
    overtaken_at: u64,
    /// It leaves then whatever comes.
    deadline: u64,
    packet: Packet,
}

/// The packets that one core's shard holds.
pub(super) struct Held {
    due: BinaryHeap<Reverse<Due>>,
    back: [VecDeque<Back>; 2],
    most: usize,
    order: u64,
}

impl Held {
    /// Room for `most` packets.
    pub fn new(most: usize) -> Held {
        let back = || VecDeque::with_capacity(MOST_OVERTAKING.min(most));
        Held {
            due: BinaryHeap::with_capacity(most),
            back: [back(), back()],
            most,
            order: 0,
        }
    }

    /// Packets held now.
    #[inline]
    pub fn len(&self) -> usize {
        self.due.len() + self.back.iter().map(VecDeque::len).sum::<usize>()
    }

    /// Holds a packet until `at`; gives it back when there is no room.
    #[inline]
    pub fn until(&mut self, at: u64, direction: Direction, packet: Packet) -> Result<(), Packet> {
        if self.len() >= self.most {
            return Err(packet);
        }
        self.order += 1;
        self.due.push(Reverse(Due {
            at,
            order: self.order,
            direction,
            packet,
        }));
        Ok(())
    }

    /// Holds a packet back that would leave at `at`, until `overtaken_at` packets have been seen or
    /// the deadline is over; gives it back when there is no room.
    pub fn back(
        &mut self,
        at: u64,
        overtaken_at: u64,
        deadline: u64,
        direction: Direction,
        packet: Packet,
    ) -> Result<(), Packet> {
        let full = self.len() >= self.most;
        let queue = &mut self.back[direction as usize];
        if full || queue.len() == queue.capacity() {
            return Err(packet);
        }
        queue.push_back(Back {
            at,
            overtaken_at,
            deadline,
            packet,
        });
        Ok(())
    }

    /// The next packet of a direction that `seen` packets have gone ahead of, and when it would
    /// have left.
    #[inline]
    pub fn overtaken(&mut self, seen: u64, direction: Direction) -> Option<(u64, Packet)> {
        let queue = &mut self.back[direction as usize];
        if queue.front()?.overtaken_at > seen {
            return None;
        }
        queue.pop_front().map(|back| (back.at, back.packet))
    }

    /// The next packet whose time has come.
    #[inline]
    pub fn pop(&mut self, now: u64) -> Option<(Direction, Packet)> {
        for direction in Direction::ALL {
            let queue = &mut self.back[direction as usize];
            if queue.front().is_some_and(|back| back.deadline <= now) {
                return queue.pop_front().map(|back| (direction, back.packet));
            }
        }
        if self.due.peek()?.0.at > now {
            return None;
        }
        self.due
            .pop()
            .map(|Reverse(due)| (due.direction, due.packet))
    }

    /// When the next packet leaves at the latest.
    #[inline]
    pub fn next(&self) -> Option<u64> {
        let fronts = self.back.iter().filter_map(|queue| queue.front());
        let due = self.due.peek().map(|due| due.0.at);
        fronts.map(|back| back.deadline).chain(due).min()
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
