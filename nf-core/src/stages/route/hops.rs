//! Next hops by number, as the tables of prefixes hold them.

use std::collections::HashMap;

use super::version::Hop;
use crate::dpdk::MAX_HOP;

/// Every next hop in use has a number from 1; 0 means that there is none. A number is given to another
/// hop only after the tables have let go of it.
#[derive(Debug)]
pub struct Hops {
    list: Vec<Hop>,
    users: Vec<u32>,
    numbers: HashMap<Hop, u16>,
    retired: Vec<u16>,
    free: Vec<u16>,
}

impl Hops {
    /// None yet.
    pub fn new() -> Hops {
        Hops {
            list: vec![Hop::None],
            users: vec![1],
            numbers: HashMap::new(),
            retired: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The number of a hop, which gets one more user; `None` when all numbers are in use.
    pub fn take(&mut self, hop: Hop) -> Option<u16> {
        if let Some(&number) = self.numbers.get(&hop) {
            if let Some(users) = self.users.get_mut(usize::from(number)) {
                *users += 1;
            }
            return Some(number);
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                let number = u16::try_from(self.list.len()).ok();
                let number = number.filter(|&number| number <= MAX_HOP)?;
                self.list.push(Hop::None);
                self.users.push(0);
                number
            }
        };
        if let (Some(slot), Some(users)) = (
            self.list.get_mut(usize::from(number)),
            self.users.get_mut(usize::from(number)),
        ) {
            (*slot, *users) = (hop, 1);
        }
        self.numbers.insert(hop, number);
        Some(number)
    }

    /// A hop has one user less.
    pub fn give_back(&mut self, number: u16) {
        if let Some(users) = self.users.get_mut(usize::from(number)) {
            *users = users.saturating_sub(1);
            if *users == 0 {
                self.retired.push(number);
            }
        }
    }

    /// No table refers to hops without users any more.
    pub fn settle(&mut self) {
        for number in std::mem::take(&mut self.retired) {
            let index = usize::from(number);
            if self.users.get(index) == Some(&0) && !self.free.contains(&number) {
                if let Some(hop) = self.list.get_mut(index) {
                    self.numbers.remove(hop);
                    *hop = Hop::None;
                }
                self.free.push(number);
            }
        }
    }

    /// By number, for a version.
    pub fn list(&self) -> Box<[Hop]> {
        self.list.as_slice().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shared_and_come_back_after_they_settle() {
        let mut hops = Hops::new();
        let first = hops.take(Hop::Link(1)).expect("a number");
        assert_eq!(hops.take(Hop::Link(1)), Some(first));
        let second = hops.take(Hop::Link(2)).expect("a number");
        assert_ne!((first, first), (second, 0));
        hops.give_back(first);
        hops.give_back(first);
        let third = hops.take(Hop::Link(3)).expect("a number");
        assert!(third != first && third != second, "not settled yet");
        assert_eq!(
            hops.take(Hop::Link(1)),
            Some(first),
            "and still what it was"
        );
        hops.settle();
        assert_eq!(hops.list()[usize::from(first)], Hop::Link(1));
        hops.give_back(first);
        hops.settle();
        assert_eq!(hops.take(Hop::Blackhole), Some(first));
    }
}
