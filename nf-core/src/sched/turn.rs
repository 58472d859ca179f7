//! Whose turn an actor is: at most one core runs it, nobody waits for it, and no message is forgotten.

use super::sync::{AtomicU32, Ordering};

const PHASE: u32 = 3;
const IDLE: u32 = 0;
const QUEUED: u32 = 1;
const RUNNING: u32 = 2;
const SEIZED: u32 = 3;
/// Something arrived since the turn began, or since it was queued.
const NEWS: u32 = 4;

/// The right to run one actor, and to take from its queue.
///
/// Idle, or queued (one token of it stands in a queue of runnable actors), or running on one core, or
/// seized by the core that manages. Every arrival is a read-modify-write, in every phase: so whoever
/// gives the turn up sees it, or sees its news, and a message that was put into the queue before
/// [`arrived`](Turn::arrived) is found by the one or the other.
#[derive(Debug)]
pub struct Turn(AtomicU32);

impl Default for Turn {
    fn default() -> Turn {
        Turn::new()
    }
}

impl Turn {
    /// Idle.
    pub fn new() -> Turn {
        Turn(AtomicU32::new(IDLE))
    }

    /// Replaces the state by `next` of it; returns what it was.
    #[inline]
    fn change(&self, next: impl Fn(u32) -> u32) -> u32 {
        let mut state = self.0.load(Ordering::Relaxed);
        loop {
            let wanted = next(state);
            let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
            match self
                .0
                .compare_exchange_weak(state, wanted, success, failure)
            {
                Ok(before) => return before,
                Err(now) => state = now,
            }
        }
    }

    /// A message was put into the actor's queue. True: a token has to be put into a queue of runnable
    /// actors, by the caller.
    #[inline]
    #[must_use]
    pub fn arrived(&self) -> bool {
        let before = self.change(|state| match state & PHASE {
            IDLE => QUEUED,
            _ => state | NEWS,
        });
        before & PHASE == IDLE
    }

    /// Takes the turn if nobody has it and nothing is queued: to run a message at once.
    #[inline]
    #[must_use]
    pub fn try_begin(&self) -> bool {
        let (success, failure) = (Ordering::Acquire, Ordering::Relaxed);
        self.0
            .compare_exchange(IDLE, RUNNING, success, failure)
            .is_ok()
    }

    /// Takes the turn for a token that came out of a queue. False: the token is void.
    #[inline]
    #[must_use]
    pub fn begin(&self) -> bool {
        let before = self.change(|state| match state & PHASE {
            QUEUED => RUNNING,
            _ => state,
        });
        before & PHASE == QUEUED
    }

    /// Ends the turn with nothing left in the queue, as far as the caller saw. True: something has
    /// arrived since; the actor is queued again, and the caller has to put its token back.
    #[inline]
    #[must_use]
    pub fn end(&self) -> bool {
        let before = self.change(|state| match state & NEWS {
            0 => IDLE,
            _ => QUEUED,
        });
        before & NEWS != 0
    }

    /// Ends the turn with something left: the caller has to put a token into a queue.
    #[inline]
    pub fn end_queued(&self) {
        self.change(|_| QUEUED);
    }

    /// Takes the turn away for good, until [`give_back`](Turn::give_back); false while it runs. A token
    /// that stands in a queue becomes void.
    #[must_use]
    pub fn seize(&self) -> bool {
        let before = self.change(|state| match state & PHASE {
            IDLE | QUEUED => SEIZED,
            _ => state,
        });
        matches!(before & PHASE, IDLE | QUEUED)
    }

    /// Ends [`seize`](Turn::seize). True: something arrived meanwhile; the actor is queued, and the
    /// caller has to put its token into a queue.
    #[must_use]
    pub fn give_back(&self) -> bool {
        self.end()
    }

    /// Whether it is neither queued nor running nor seized.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.0.load(Ordering::Acquire) & PHASE == IDLE
    }
}

#[cfg(all(test, not(sluice_loom)))]
mod tests {
    use super::*;

    #[test]
    fn ip22_there_is_one_token_however_much_arrives() {
        let turn = Turn::new();
        assert!(turn.arrived());
        assert!(!turn.arrived() && !turn.arrived());
        assert!(turn.begin());
        assert!(!turn.begin(), "a second token would be void");
        assert!(!turn.arrived(), "it runs: no token");
        assert!(turn.end(), "but it is queued again");
        assert!(turn.begin());
        assert!(!turn.end());
        assert!(turn.try_begin(), "idle");
    }

    #[test]
    fn a_seized_turn_belongs_to_nobody_else() {
        let turn = Turn::new();
        assert!(turn.try_begin());
        assert!(!turn.seize(), "it runs");
        assert!(!turn.end());
        assert!(turn.seize());
        assert!(!turn.try_begin() && !turn.begin() && !turn.seize());
        assert!(!turn.arrived());
        assert!(turn.give_back(), "what arrived is not forgotten");
        assert!(turn.begin());
        turn.end_queued();
        assert!(turn.seize(), "nobody runs it");
        assert!(!turn.begin(), "and its token is void");
    }
}
