//! What will happen, in the order of time; at the same time, in the order in which it was said.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A frame reaches a port of the node. `argument` is the frame.
    Arrive,
    /// The host's processor has taken in the frame it works on.
    Received,
    /// A program's time has come.
    Timer,
    /// A packet core looks at its queues. `argument` is the core.
    Poll,
    /// Timers of a packet core's stages are due. `argument` is the core.
    Expire,
    /// The control side of an appliance ticks.
    Tick,
    /// A fault of the scenario. `argument` is its number; `node` means nothing.
    Fault,
    /// The node starts again.
    Restart,
    /// A fault ends. `argument` is its number; `node` means nothing.
    Mend,
}

/// Something that will happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When, nanoseconds.
    pub at: u64,
    /// Later than everything said before for the same time.
    order: u64,
    /// Whom it concerns.
    pub node: u32,
    /// The life of the node in which it was said; one that started again does not know of it.
    pub life: u32,
    /// By kind.
    pub argument: u32,
    /// The node's port.
    pub port: u16,
    /// What.
    pub what: What,
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Event) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    /// The sooner, the greater, for a heap that gives the greatest first.
    #[inline]
    fn cmp(&self, other: &Event) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// Events in a total order: by time, then as they were put in.
#[derive(Debug, Default)]
pub struct EventQueue {
    heap: BinaryHeap<Event>,
    said: u64,
}

impl EventQueue {
    /// Puts in an event.
    #[inline]
    pub fn push(&mut self, at: u64, what: What, node: u32, life: u32, port: u16, argument: u32) {
        self.said += 1;
        self.heap.push(Event {
            at,
            order: self.said,
            node,
            life,
            argument,
            port,
            what,
        });
    }

    /// Takes the next event if it is due at `until` or before.
    #[inline]
    pub fn pop(&mut self, until: u64) -> Option<Event> {
        if self.heap.peek()?.at > until {
            return None;
        }
        self.heap.pop()
    }

    /// Frames that are on their way to a node.
    pub fn frames(&self) -> usize {
        self.heap
            .iter()
            .filter(|event| event.what == What::Arrive)
            .count()
    }

    /// Events to come.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing will happen any more.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_comes_first_then_the_order_of_saying() {
        let mut queue = EventQueue::default();
        for (at, argument) in [(20, 1), (10, 2), (20, 3), (10, 4), (5, 5)] {
            queue.push(at, What::Timer, 0, 0, 0, argument);
        }
        let mut seen = Vec::new();
        while let Some(event) = queue.pop(10) {
            seen.push((event.at, event.argument));
        }
        assert_eq!(seen, [(5, 5), (10, 2), (10, 4)]);
        assert_eq!(queue.pop(20).map(|event| event.argument), Some(1));
        assert_eq!(queue.pop(19), None);
        assert_eq!((queue.len(), queue.is_empty()), (1, false));
    }
}
