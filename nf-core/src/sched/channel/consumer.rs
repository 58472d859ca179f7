//! The end of a ring that takes messages out.

use zerocopy::IntoBytes;

use super::Settings;
use super::header::{Envelope, HANDOFF, HEADER_BYTES, HEADER_WORDS, Header, SKIP, VERSION};
use super::ring::{self, Ring};
use super::sync::Arc;

/// What a consumer counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsumerStats {
    /// Messages taken out.
    pub received: u64,
    /// Messages that never came out, by their numbers.
    pub lost: u64,
    /// Looks at a message that did not verify.
    pub unverified: u64,
    /// Times that a message did not verify however often it was looked at.
    pub broken: u64,
    /// Times that everything had to begin anew after that.
    pub restarts: u64,
    /// Times that the producer was told how much was consumed.
    pub credits: u64,
}

/// A message, as long as it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// What the sender said of it.
    pub envelope: Envelope,
    /// Its number; they have no gaps unless messages were lost.
    pub sequence: u64,
    /// What it holds.
    pub payload: &'a [u8],
    pub(super) has_value: bool,
}

/// The end that takes messages out. One thread has it.
pub struct Consumer {
    pub(super) ring: Arc<Ring>,
    settings: Settings,
    /// Position of the next message.
    pub(super) tail: u64,
    /// Position that the producer was told.
    returned: u64,
    /// Number of the next message.
    expected: u64,
    /// Looks at the next message that did not verify.
    looks: u32,
    restart: u64,
    is_waiting: bool,
    payload: Box<[u64]>,
    stats: ConsumerStats,
}

/// A message that is in the buffer.
struct Found {
    header: Header,
    envelope: Envelope,
    words: usize,
}

impl Consumer {
    pub(super) fn new(ring: Arc<Ring>, settings: Settings) -> Consumer {
        Consumer {
            payload: vec![0; ring.len() / 4].into(),
            ring,
            settings,
            tail: 0,
            returned: 0,
            expected: 0,
            looks: 0,
            restart: 0,
            is_waiting: false,
            stats: ConsumerStats::default(),
        }
    }

    /// The next message, if there is one. Without one, the producer is told how much was consumed.
    pub fn recv(&mut self) -> Option<Received<'_>> {
        let found = self.next()?;
        let bytes = (found.header.length as usize).saturating_sub(HEADER_BYTES);
        Some(Received {
            envelope: found.envelope,
            sequence: found.header.sequence,
            payload: self.payload.as_bytes().get(..bytes).unwrap_or_default(),
            has_value: found.header.flags & HANDOFF != 0,
        })
    }

    /// Whether nothing comes any more: the producer is gone. What it had sent can still be
    /// received.
    pub fn is_closed(&self) -> bool {
        self.ring.is_producer_gone()
    }

    /// What was counted.
    pub fn stats(&self) -> ConsumerStats {
        self.stats
    }

    fn next(&mut self) -> Option<Found> {
        if self.is_waiting && !self.has_restarted() {
            return None;
        }
        let found = loop {
            let place = self.ring.place(self.tail);
            let first = self.ring.first(place);
            if first == 0 {
                self.idle();
                return None;
            }
            let to_end = self.ring.len() - place;
            if first == Header::skip((to_end * 8) as u32).words()[0] {
                self.advance(to_end);
                self.give_credit();
                continue;
            }
            if let Some(found) = self.read(place, first) {
                break found;
            }
            self.stats.unverified += 1;
            self.looks += 1;
            if self.looks <= self.settings.looks {
                return None;
            }
            if !self.pass_over(first) {
                return None;
            }
        };
        self.looks = 0;
        self.stats.received += 1;
        self.stats.lost += found.header.sequence - self.expected;
        self.expected = found.header.sequence + 1;
        self.advance(found.words);
        if self.tail - self.returned >= self.ring.len() as u64 / 2 {
            self.give_credit();
        }
        Some(found)
    }

    /// Reads the message at a place into the buffer; `None` if it is not what was sent.
    fn read(&mut self, place: usize, first: u64) -> Option<Found> {
        let words = self.words(place, first)?;
        let mut header = [first, 0, 0, 0];
        ring::load(
            self.ring.span(place + 1, HEADER_WORDS - 1),
            &mut header[1..],
        );
        let header = Header::of(header);
        let envelope = header.envelope()?;
        // A number that is not among those that can be in the ring is no number.
        let ahead = header.sequence.checked_sub(self.expected)?;
        if ahead > (self.ring.len() / HEADER_WORDS) as u64 {
            return None;
        }
        let body = self.ring.span(place + HEADER_WORDS, words - HEADER_WORDS);
        ring::load(body, &mut self.payload);
        if self.settings.checksum {
            let bytes = (header.length as usize).checked_sub(HEADER_BYTES)?;
            let payload = self.payload.as_bytes().get(..bytes)?;
            if header.sum(payload) != header.checksum {
                return None;
            }
        }
        Some(Found {
            header,
            envelope,
            words,
        })
    }

    /// The words that a message with this first word takes; `None` if there is no such message.
    fn words(&self, place: usize, first: u64) -> Option<usize> {
        let header = Header::of([first, 0, 0, 0]);
        let length = header.length as usize;
        let words = length.div_ceil(8);
        let is_possible = length >= HEADER_BYTES
            && words <= self.ring.len() / 4
            && place + words <= self.ring.len()
            && header.kind != SKIP
            && header.version == VERSION;
        is_possible.then_some(words)
    }

    fn advance(&mut self, words: usize) {
        self.ring.set(self.ring.place(self.tail), 0);
        self.tail += words as u64;
    }

    /// Nothing is there: the producer may wait for room without knowing that there is.
    fn idle(&mut self) {
        // What it knows, not what it was told: so a lost message is made up for.
        if self.tail != self.returned || self.ring.credit() != self.tail {
            self.give_credit();
        }
    }

    fn give_credit(&mut self) {
        self.ring.set_credit(self.tail);
        self.returned = self.tail;
        self.stats.credits += 1;
    }

    /// A message does not verify, and will not: goes on behind it if the next one is there and is
    /// its successor; otherwise lets everything begin anew.
    #[cold]
    fn pass_over(&mut self, first: u64) -> bool {
        self.stats.broken += 1;
        self.looks = 0;
        let place = self.ring.place(self.tail);
        if let Some(words) = self.words(place, first) {
            let next = self.ring.place(self.tail + words as u64);
            let its_first = self.ring.first(next);
            let successor = self.expected + 1;
            if its_first != 0
                && let Some(found) = self.read(next, its_first)
                && found.header.sequence == successor
            {
                self.advance(words);
                return true;
            }
        }
        self.restart += 1;
        self.is_waiting = true;
        self.stats.restarts += 1;
        self.ring.ask(self.restart);
        false
    }

    fn has_restarted(&mut self) -> bool {
        let Some((position, sequence)) = self.ring.restarted(self.restart) else {
            return false;
        };
        self.is_waiting = false;
        self.stats.lost += sequence.saturating_sub(self.expected);
        self.expected = sequence;
        self.tail = position;
        self.give_credit();
        true
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.ring.consumer_goes();
    }
}
