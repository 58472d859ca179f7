//! The order of keys, for an actor that runs on several cores.

use std::collections::VecDeque;

use super::actor::Message;

/// The keys of which a message is being executed: one at a time of each. What comes for a key meanwhile is
/// set aside, and follows on the same core.
///
/// There are as many as cores execute the actor, so that they are simply looked through.
#[derive(Debug)]
pub(super) struct Lanes<M> {
    busy: Vec<Lane<M>>,
    aside: usize,
}

#[derive(Debug)]
struct Lane<M> {
    key: u64,
    waiting: VecDeque<M>,
}

impl<M> Default for Lanes<M> {
    fn default() -> Self {
        Lanes {
            busy: Vec::new(),
            aside: 0,
        }
    }
}

impl<M: Message> Lanes<M> {
    fn at(&self, key: u64) -> Option<usize> {
        self.busy.iter().position(|lane| lane.key == key)
    }

    /// Gives the message back if it is to be executed now; else it is set aside.
    pub fn enter(&mut self, message: M) -> Option<M> {
        let key = message.key();
        if self.try_enter(key) {
            return Some(message);
        }
        let lane = self.busy.iter_mut().find(|lane| lane.key == key)?;
        lane.waiting.push_back(message);
        self.aside += 1;
        None
    }

    /// Whether a message of that key may be executed now, which it then is.
    pub fn try_enter(&mut self, key: u64) -> bool {
        let free = self.at(key).is_none();
        if free {
            let waiting = VecDeque::new();
            self.busy.push(Lane { key, waiting });
        }
        free
    }

    /// A message of that key has been executed. Returns the one to be executed after it.
    pub fn leave(&mut self, key: u64) -> Option<M> {
        let at = self.at(key)?;
        let next = self.busy[at].waiting.pop_front();
        match next {
            Some(_) => self.aside -= 1,
            None => drop(self.busy.swap_remove(at)),
        }
        next
    }

    /// Messages that were set aside.
    pub fn aside(&self) -> usize {
        self.aside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::ActorId;

    #[derive(Debug, PartialEq)]
    struct Item(u64, u64);

    impl Message for Item {
        fn actor(&self) -> Option<ActorId> {
            None
        }
        fn key(&self) -> u64 {
            self.0
        }
        fn arrived_ns(&self) -> u64 {
            0
        }
        fn bytes(&self) -> u32 {
            0
        }
    }

    #[test]
    fn ip05_one_message_of_a_key_at_a_time_in_order() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.enter(Item(1, 0)), Some(Item(1, 0)));
        assert_eq!(lanes.enter(Item(2, 0)), Some(Item(2, 0)), "another key");
        assert_eq!(lanes.enter(Item(1, 1)), None);
        assert_eq!(lanes.enter(Item(1, 2)), None);
        assert_eq!((lanes.aside(), lanes.try_enter(1)), (2, false));
        assert_eq!(lanes.leave(1), Some(Item(1, 1)));
        assert_eq!(lanes.enter(Item(1, 3)), None, "behind the one that waits");
        assert_eq!(lanes.leave(2), None);
        assert!(lanes.try_enter(2));
        assert_eq!(lanes.leave(1), Some(Item(1, 2)));
        assert_eq!(lanes.leave(1), Some(Item(1, 3)));
        assert_eq!(lanes.leave(1), None);
        assert_eq!((lanes.aside(), lanes.try_enter(1)), (0, true));
    }
}
