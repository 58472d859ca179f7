//! The end of a ring that puts messages in.

use super::header::{Envelope, HEADER_BYTES, HEADER_WORDS, Header};
use super::ring::{self, Ring};
use super::sync::Arc;
use super::{SendError, Settings};

/// What a producer counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProducerStats {
    /// Messages put in.
    pub sent: u64,
    /// Times that the ring was full.
    pub full: u64,
    /// Batches published.
    pub flushes: u64,
    /// Times that the consumer had lost its way and everything began anew.
    pub restarts: u64,
}

/// The end that puts messages in. One thread has it.
///
/// A message is seen by the consumer when its batch is published: when it is full, when its first
/// message has waited for [`Settings::batch_ns`] at the time of a [`send`](Producer::send) or
/// [`poll`](Producer::poll), and by [`flush`](Producer::flush), which belongs at the end of the
/// loop's turn.
pub struct Producer {
    pub(super) ring: Arc<Ring>,
    settings: Settings,
    /// Position of the next message.
    pub(super) head: u64,
    /// Position up to which the consumer was done when it was last looked at.
    credit: u64,
    /// Number of the next message.
    pub(super) sequence: u64,
    restart: u64,
    /// Place and first word of the batch that is not published.
    held: Option<(usize, u64)>,
    pending: u32,
    since_ns: u64,
    stats: ProducerStats,
}

impl Producer {
    pub(super) fn new(ring: Arc<Ring>, settings: Settings) -> Producer {
        Producer {
            ring,
            settings,
            head: 0,
            credit: 0,
            sequence: 0,
            restart: 0,
            held: None,
            pending: 0,
            since_ns: 0,
            stats: ProducerStats::default(),
        }
    }

    /// Bytes of payload that a message can have: a quarter of the ring with the header.
    pub fn most_payload(&self) -> usize {
        self.ring.len() * 8 / 4 - HEADER_BYTES
    }

    /// Puts a message in. The payload is copied. `now_ns` is the time of the loop's turn.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] at once when there is no room: it never waits. [`SendError::TooLarge`]:
    /// such a payload is cut by its sender, as frames of objects are. [`SendError::Closed`].
    pub fn send(
        &mut self,
        envelope: &Envelope,
        payload: &[u8],
        now_ns: u64,
    ) -> Result<(), SendError> {
        self.write(envelope, 0, payload, now_ns)?;
        self.poll(now_ns);
        Ok(())
    }

    /// Publishes the batch if it is full or has waited long enough.
    #[inline]
    pub fn poll(&mut self, now_ns: u64) {
        let is_due = self.pending >= self.settings.batch.max(1)
            || now_ns.saturating_sub(self.since_ns) >= self.settings.batch_ns;
        if self.pending > 0 && is_due {
            self.flush();
        }
    }

    /// Publishes what there is.
    pub fn flush(&mut self) {
        if self.ring.asked() != self.restart {
            self.begin_anew();
            return;
        }
        if let Some((place, word)) = self.held.take() {
            self.ring.publish(place, word);
            self.stats.flushes += 1;
        }
        self.pending = 0;
    }

    /// Messages that are not published.
    pub fn pending(&self) -> usize {
        self.pending as usize
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.ring.is_consumer_gone()
    }

    /// What was counted.
    pub fn stats(&self) -> ProducerStats {
        self.stats
    }

    /// Puts a message in, and publishes nothing.
    pub(super) fn write(
        &mut self,
        envelope: &Envelope,
        flags: u8,
        payload: &[u8],
        now_ns: u64,
    ) -> Result<(), SendError> {
        let most = self.most_payload();
        if payload.len() > most {
            return Err(SendError::TooLarge {
                bytes: payload.len(),
                most,
            });
        }
        let words = HEADER_WORDS + payload.len().div_ceil(8);
        let rest = self.make_room(words)?;
        if rest > 0 {
            let [first, ..] = Header::skip((rest * 8) as u32).words();
            self.begin(first);
            self.head += rest as u64;
        }
        let length = (HEADER_BYTES + payload.len()) as u32;
        let mut header = Header::new(envelope, self.sequence, flags, length);
        if self.settings.checksum {
            header.checksum = header.sum(payload);
        }
        let [first, others @ ..] = header.words();
        let place = self.ring.place(self.head);
        for (at, word) in others.into_iter().enumerate() {
            self.ring.set(place + 1 + at, word);
        }
        let body = self.ring.span(place + HEADER_WORDS, words - HEADER_WORDS);
        ring::store(body, payload);
        // What is behind it is no message, before it becomes one itself.
        let next = self.head + words as u64;
        self.ring.set(self.ring.place(next), 0);
        self.begin(first);
        self.head = next;
        if self.pending == 0 {
            self.since_ns = now_ns;
        }
        self.pending += 1;
        self.sequence += 1;
        self.stats.sent += 1;
        Ok(())
    }

    /// Sees to it that a message of so many words fits, with a word behind it that says that there
    /// is no other. Gives the words that are left out at the end of the ring.
    fn make_room(&mut self, words: usize) -> Result<usize, SendError> {
        for attempt in 0..2 {
            let place = self.ring.place(self.head);
            let to_end = self.ring.len() - place;
            let rest = if words > to_end { to_end } else { 0 };
            let needed = (rest + words + 1) as u64;
            if self.head + needed <= self.credit + self.ring.len() as u64 {
                return Ok(rest);
            }
            if attempt == 0 {
                if self.ring.asked() != self.restart {
                    self.begin_anew();
                }
                self.credit = self.credit.max(self.ring.credit());
            }
        }
        self.stats.full += 1;
        // Room can come only of what the consumer sees.
        self.flush();
        Err(match self.is_closed() {
            true => SendError::Closed,
            false => SendError::Full,
        })
    }

    /// Stores the first word of a message, or keeps it if that would publish the batch.
    fn begin(&mut self, word: u64) {
        let place = self.ring.place(self.head);
        match self.held {
            None => self.held = Some((place, word)),
            Some(_) => self.ring.set(place, word),
        }
    }

    /// The consumer cannot make sense of the ring: what is in it is lost, and the next message
    /// begins at the ring's beginning.
    #[cold]
    fn begin_anew(&mut self) {
        self.held = None;
        self.pending = 0;
        self.head = self.head.next_multiple_of(self.ring.len() as u64);
        self.credit = self.head;
        self.restart = self.ring.asked();
        self.ring.restart(self.restart, self.head, self.sequence);
        self.stats.restarts += 1;
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.flush();
        self.ring.producer_goes();
    }
}
