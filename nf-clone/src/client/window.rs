//! Which of the client's sequence numbers are in flight or done, for the last 2^n of them.

/// What is known of a sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not one of the last 2^n that were given out.
    Outside,
    /// In flight; the request's place.
    Flying(u32),
    /// Answered.
    Answered,
    /// Given up.
    GivenUp,
}

const ANSWERED: u32 = u32::MAX;
const GIVEN_UP: u32 = u32::MAX - 1;
const NEVER: u32 = 0;

/// A ring of the last 2^n sequence numbers, 4 bytes each.
#[derive(Debug)]
pub(super) struct Window {
    /// A request's place + 1, or one of the constants.
    slots: Vec<u32>,
    next: u32,
    given_out: u32,
}

impl Window {
    /// A ring of 2^`log2` numbers (1 to 24), the first of which is `first`.
    pub(super) fn new(log2: u8, first: u32) -> Window {
        Window {
            slots: vec![NEVER; 1 << log2.clamp(1, 24)],
            next: first,
            given_out: 0,
        }
    }

    /// The number that comes next, unless the one it takes the place of is still in flight.
    pub(super) fn peek(&self) -> Option<u32> {
        match self.slots.get(self.index(self.next)) {
            Some(&(NEVER | ANSWERED | GIVEN_UP)) => Some(self.next),
            _ => None,
        }
    }

    /// Gives out the number that [`peek`](Self::peek) named. True when the numbers begin again after it.
    pub(super) fn push(&mut self, place: u32) -> bool {
        self.set(self.next, place + 1);
        self.next = self.next.wrapping_add(1);
        self.given_out = self.given_out.saturating_add(1);
        self.next == 0
    }

    pub(super) fn state(&self, seq: u32) -> State {
        let age = self.next.wrapping_sub(1).wrapping_sub(seq);
        if age >= self.given_out || age as usize >= self.slots.len() {
            return State::Outside;
        }
        match self.slots.get(self.index(seq)) {
            Some(&ANSWERED) => State::Answered,
            Some(&GIVEN_UP) => State::GivenUp,
            Some(&place) if place != NEVER => State::Flying(place - 1),
            _ => State::Outside,
        }
    }

    /// Whether a number of the window was given out before the numbers began again.
    pub(super) fn is_before_wrap(&self, seq: u32) -> bool {
        seq >= self.next
    }

    pub(super) fn answered(&mut self, seq: u32) {
        self.set(seq, ANSWERED);
    }

    pub(super) fn given_up(&mut self, seq: u32) {
        self.set(seq, GIVEN_UP);
    }

    fn index(&self, seq: u32) -> usize {
        seq as usize & (self.slots.len() - 1)
    }

    fn set(&mut self, seq: u32, value: u32) {
        let index = self.index(seq);
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f12_numbers_outside_the_window_are_known_as_such() {
        let mut window = Window::new(3, 100);
        assert_eq!(window.state(99), State::Outside);
        assert_eq!(window.state(100), State::Outside);
        for place in 0..8 {
            assert_eq!(window.peek(), Some(100 + place));
            window.push(place);
        }
        assert_eq!(window.peek(), None, "100 is in flight still");
        assert_eq!(window.state(100), State::Flying(0));
        assert_eq!(window.state(107), State::Flying(7));
        assert_eq!(window.state(108), State::Outside);
        window.answered(100);
        window.given_up(101);
        assert_eq!(window.state(100), State::Answered);
        assert_eq!(window.state(101), State::GivenUp);
        window.push(0);
        assert_eq!(window.state(100), State::Outside);
        assert_eq!(window.state(108), State::Flying(0));
    }

    #[test]
    fn f12_numbers_begin_again_after_the_last() {
        let mut window = Window::new(3, u32::MAX - 1);
        assert!(!window.push(0));
        assert!(window.push(1));
        assert!(!window.push(2));
        assert_eq!(window.state(u32::MAX), State::Flying(1));
        assert_eq!(window.state(0), State::Flying(2));
        assert_eq!(window.state(1), State::Outside);
        assert_eq!(window.state(u32::MAX - 2), State::Outside);
        assert!(window.is_before_wrap(u32::MAX) && !window.is_before_wrap(0));
    }
}
