//! What is sent. Numbers are in network byte order.
//!
//! Tuples, as clients send them and the filter sends them on: `RTA1`, number of words (u16), two bytes of zero,
//! and the words, [`WORD`] bytes each, filled up with zeros.
//!
//! A report, or ranks: [`Head`], and for each word the word and its count (u64).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a payload of tuples begins with.
pub const MAGIC: [u8; 4] = *b"RTA1";

/// Bytes before the words.
pub const HEAD: usize = 8;

/// Bytes of a word.
pub const WORD: usize = 16;

/// A word, filled up with zeros.
pub type Word = [u8; WORD];

/// Entries of a report's part, or of ranks, at most.
pub const MOST_ENTRIES: usize = 50;

/// The word of a text; cut off if it is too long.
pub fn word(text: &str) -> Word {
    let mut word = [0; WORD];
    for (to, from) in word.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    word
}

/// A payload of these words.
pub fn payload(words: &[Word]) -> Vec<u8> {
    let count = words.len().min(usize::from(u16::MAX)) as u16;
    let mut payload = MAGIC.to_vec();
    payload.extend(count.to_be_bytes());
    payload.extend([0, 0]);
    payload.extend(words.iter().take(usize::from(count)).flatten());
    payload
}

/// The words of a payload; `None` if it is shorter than it says, or none of ours.
pub fn words(payload: &[u8]) -> Option<&[Word]> {
    let (head, rest) = payload.split_at_checked(HEAD)?;
    if head.get(..4) != Some(&MAGIC[..]) {
        return None;
    }
    let count = u16::from_be_bytes([*head.get(4)?, *head.get(5)?]);
    let (words, _) = rest.as_chunks::<WORD>();
    words.get(..usize::from(count))
}

/// What a report's part, or ranks, begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Head {
    number: [u8; 4],
    entries: [u8; 2],
    last: [u8; 2],
    total: [u8; 8],
}

impl Head {
    /// Of part of the report of that number; `total` is how many tuples the window has.
    pub fn new(number: u32, entries: usize, last: bool, total: u64) -> Head {
        Head {
            number: number.to_be_bytes(),
            entries: (entries as u16).to_be_bytes(),
            last: u16::from(last).to_be_bytes(),
            total: total.to_be_bytes(),
        }
    }

    /// Which report.
    pub fn number(&self) -> u32 {
        u32::from_be_bytes(self.number)
    }

    /// Whether it is its last part.
    pub fn is_last(&self) -> bool {
        self.last != [0, 0]
    }

    /// Tuples of the window.
    pub fn total(&self) -> u64 {
        u64::from_be_bytes(self.total)
    }
}

/// A word, and how often it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Entry {
    /// The word.
    pub word: Word,
    count: [u8; 8],
}

impl Entry {
    /// Bytes of one.
    pub const BYTES: usize = size_of::<Entry>();

    /// That word, so often.
    pub fn new(word: Word, count: u64) -> Entry {
        Entry {
            word,
            count: count.to_be_bytes(),
        }
    }

    /// How often.
    pub fn count(&self) -> u64 {
        u64::from_be_bytes(self.count)
    }

    /// More often first; of those said alike, by the word.
    pub fn ranks(&self, other: &Entry) -> std::cmp::Ordering {
        let often = other.count().cmp(&self.count());
        often.then_with(|| self.word.cmp(&other.word))
    }
}

/// A report's part, or ranks; `None` if they are shorter than they say.
pub fn report(payload: &[u8]) -> Option<(Head, &[Entry])> {
    let (head, rest) = Head::read_from_prefix(payload).ok()?;
    let count = usize::from(u16::from_be_bytes(head.entries));
    let entries = rest.get(..count * Entry::BYTES)?;
    Some((head, <[Entry]>::ref_from_bytes(entries).ok()?))
}
