//! The waiting line of a server: first come, first served, bounded.

use std::collections::VecDeque;

use crate::wire::{DRAINING, MAX_LOAD};

/// Requests that wait for a worker. Those in service are not in it.
#[derive(Debug, Clone)]
pub struct Fcfs<J> {
    waiting: VecDeque<J>,
    limit: usize,
}

impl<J> Fcfs<J> {
    /// Room for `limit` requests.
    pub fn new(limit: usize) -> Fcfs<J> {
        Fcfs {
            waiting: VecDeque::new(),
            limit,
        }
    }

    /// Puts a request at the end; returns it when there is no room.
    pub fn push(&mut self, job: J) -> Result<(), J> {
        if self.waiting.len() >= self.limit {
            return Err(job);
        }
        self.waiting.push_back(job);
        Ok(())
    }

    /// The request that came first.
    pub fn pop(&mut self) -> Option<J> {
        self.waiting.pop_front()
    }

    /// Requests that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// LOAD for a server with that many requests waiting.
///
/// Taken when the answer is built, before its worker takes its next request: so do the paper's programs.
pub fn load(waiting: usize, draining: bool) -> u16 {
    if draining {
        DRAINING
    } else {
        waiting.min(MAX_LOAD.into()) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f11_load_saturates_and_says_draining() {
        assert_eq!(load(0, false), 0);
        assert_eq!(load(7, false), 7);
        assert_eq!(load(0xfffe, false), 0xfffe);
        assert_eq!(load(0xffff, false), 0xfffe);
        assert_eq!(load(usize::MAX, false), 0xfffe);
        assert_eq!(load(0, true), 0xffff);
    }

    #[test]
    fn f11_first_come_first_served_up_to_a_limit() {
        let mut line = Fcfs::new(2);
        assert!(line.is_empty());
        assert_eq!(line.push('a'), Ok(()));
        assert_eq!(line.push('b'), Ok(()));
        assert_eq!(line.push('c'), Err('c'));
        assert_eq!(
            (line.len(), line.pop(), line.pop(), line.pop()),
            (2, Some('a'), Some('b'), None)
        );
    }
}
