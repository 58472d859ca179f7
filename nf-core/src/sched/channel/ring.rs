//! What the two ends of a ring share: words, and how far each has got.
//!
//! The words are atomics, so that a reader of a message that is being damaged reads wrong numbers
//! and nothing worse. They are stored and loaded relaxed, which costs what plain accesses cost; the
//! first word of a batch publishes all of it ([`Pair::Publish`]).
//!
//! Positions count words from the beginning of time; a position's place is its remainder by the
//! ring's size. **The word at the position behind the last published message is always 0**: the
//! producer clears it before it publishes. So what an earlier lap left in the ring is never taken
//! for a message.

use crossbeam_utils::CachePadded;

use super::order::{Pair, acquire, release};
use super::sync::{AtomicU64, Ordering};

pub(super) struct Ring {
    words: Box<[AtomicU64]>,
    /// Written by the consumer.
    consumer: CachePadded<ConsumerWords>,
    /// Written by the producer.
    producer: CachePadded<ProducerWords>,
}

struct ConsumerWords {
    /// Position up to which everything was read.
    credit: AtomicU64,
    /// The restart it waits for.
    asked: AtomicU64,
    gone: AtomicU64,
}

struct ProducerWords {
    /// The last restart.
    restart: AtomicU64,
    /// Where it began.
    position: AtomicU64,
    /// The number of the first message after it.
    sequence: AtomicU64,
    gone: AtomicU64,
}

impl Ring {
    /// With so many words, which is a power of two.
    pub fn new(words: usize) -> Ring {
        let zero = || AtomicU64::new(0);
        Ring {
            words: (0..words).map(|_| zero()).collect(),
            consumer: CachePadded::new(ConsumerWords {
                credit: zero(),
                asked: zero(),
                gone: zero(),
            }),
            producer: CachePadded::new(ProducerWords {
                restart: zero(),
                position: zero(),
                sequence: zero(),
                gone: zero(),
            }),
        }
    }

    /// Its size, words.
    #[inline]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// The place of a position.
    #[inline]
    pub fn place(&self, position: u64) -> usize {
        position as usize & (self.words.len() - 1)
    }

    /// The words of a message. Empty if it would go beyond the end.
    #[inline]
    pub fn span(&self, place: usize, words: usize) -> &[AtomicU64] {
        self.words.get(place..place + words).unwrap_or_default()
    }

    #[inline]
    pub fn set(&self, place: usize, word: u64) {
        if let Some(slot) = self.words.get(place) {
            slot.store(word, Ordering::Relaxed);
        }
    }

    /// Stores the first word of a batch: the consumer sees all of it.
    #[inline]
    pub fn publish(&self, place: usize, word: u64) {
        if let Some(slot) = self.words.get(place) {
            slot.store(word, release(Pair::Publish));
        }
    }

    /// The first word of a message; 0 if there is none.
    #[inline]
    pub fn first(&self, place: usize) -> u64 {
        self.words
            .get(place)
            .map_or(0, |word| word.load(acquire(Pair::Publish)))
    }

    #[inline]
    pub fn credit(&self) -> u64 {
        self.consumer.credit.load(acquire(Pair::Credit))
    }

    pub fn set_credit(&self, position: u64) {
        self.consumer.credit.store(position, release(Pair::Credit));
    }

    /// The restart that the consumer waits for.
    #[inline]
    pub fn asked(&self) -> u64 {
        // Acquire: it reads nothing any more of what the restart overwrites.
        self.consumer.asked.load(acquire(Pair::Credit))
    }

    pub fn ask(&self, restart: u64) {
        self.consumer.asked.store(restart, release(Pair::Credit));
    }

    /// Begins anew at a position, with a message of this number.
    pub fn restart(&self, restart: u64, position: u64, sequence: u64) {
        self.set(self.place(position), 0);
        self.producer.position.store(position, Ordering::Relaxed);
        self.producer.sequence.store(sequence, Ordering::Relaxed);
        self.producer.restart.store(restart, release(Pair::Restart));
    }

    /// Position and number of the first message after this restart, once it has been made.
    pub fn restarted(&self, restart: u64) -> Option<(u64, u64)> {
        if self.producer.restart.load(acquire(Pair::Restart)) != restart {
            return None;
        }
        let position = self.producer.position.load(Ordering::Relaxed);
        Some((position, self.producer.sequence.load(Ordering::Relaxed)))
    }

    pub fn consumer_goes(&self) {
        self.consumer.gone.store(1, Ordering::Release);
    }

    pub fn producer_goes(&self) {
        self.producer.gone.store(1, Ordering::Release);
    }

    pub fn is_consumer_gone(&self) -> bool {
        self.consumer.gone.load(Ordering::Acquire) != 0
    }

    pub fn is_producer_gone(&self) -> bool {
        self.producer.gone.load(Ordering::Acquire) != 0
    }
}

/// Stores bytes as words; the last word is filled up with zeros.
pub(super) fn store(words: &[AtomicU64], bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks::<8>();
    let mut words = words.iter();
    for (bytes, word) in whole.iter().zip(&mut words) {
        word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
    }
    if let (false, Some(word)) = (rest.is_empty(), words.next()) {
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        word.store(u64::from_ne_bytes(last), Ordering::Relaxed);
    }
}

/// Loads as many words as both have.
pub(super) fn load(words: &[AtomicU64], to: &mut [u64]) {
    for (to, word) in to.iter_mut().zip(words) {
        *to = word.load(Ordering::Relaxed);
    }
}
