//! The requests that are on their way: a table of fixed size that all packet cores share.
//!
//! It is set-associative: the key's hash names a set of eight slots, and a request is in one of them
//! or not in the table. A slot is a word that says everything that changes (see `entry.rs`) and three
//! that are only written while the word says "being written".
//!
//! **One slot, two cores.** A reply is one compare-and-exchange of the word: whoever of two servers'
//! replies comes first becomes the winner, and the other reads that. A request takes the slot by an
//! exchange to "being written" in a new generation, writes the other words, and gives the slot back;
//! who finds it taken looks again, a bounded number of times. A reader loads the word, then the key,
//! and its exchange fails when the generation is no longer the one under which it read the key. So
//! exactly one server wins, unless the entry goes away in between; then replies pass.
//!
//! **Full.** When no slot of the set may be reused, the request is not recorded: it goes to one
//! server, and its reply passes. Reusable are, in this order: free slots and those older than
//! `forget`; requests answered by everybody who was asked; those that had their answer and are older
//! than the answer timeout; those without an answer that are older than it. A flood of made-up
//! clients therefore costs memory to nobody and cloning to itself and others for one answer timeout.
//!
//! **Time.** After the answer timeout, a request no longer counts as its servers' load. After
//! `forget`, it is not known any more, and a reply passes whoever sent it. Both need
//! [`Table::sweep`] to be called now and then.

mod entry;
mod loads;

#[cfg(all(test, sluice_loom))]
mod model;
#[cfg(all(test, not(sluice_loom)))]
mod tests;

use self::entry::{Choice, Entry, Shift, Word};
use crate::groups::ServerSet;
use crate::sync::{AtomicU64, Ordering};

pub use self::entry::{Expect, Part, Verdict};
pub use self::loads::Loads;

/// Slots of a set.
#[cfg(not(sluice_loom))]
const WAYS: usize = 8;
/// As few as the models need.
#[cfg(sluice_loom)]
const WAYS: usize = 1;

/// How often a slot that another core changes is looked at again before the packet passes. The other
/// core needs three stores; it takes longer only when it was interrupted in between.
#[cfg(not(sluice_loom))]
const PATIENCE: usize = 64;
#[cfg(sluice_loom)]
const PATIENCE: usize = 4;

/// Between two looks at a slot that another core is writing.
fn pause() {
    #[cfg(not(sluice_loom))]
    std::hint::spin_loop();
    #[cfg(sluice_loom)]
    loom::thread::yield_now();
}

/// What a transaction is known by: a keyed hash of client, service and the protocol's own id. With
/// 96 bits of a hash whose key the clients don't know, two transactions are never the same by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Names the set, and is compared.
    pub tag: u64,
    /// Is compared.
    pub check: u32,
}

/// A request, as the table needs it.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// What it is known by.
    pub key: Key,
    /// Hash of its bytes: the same for a retransmission.
    pub digest: u32,
    /// Who is asked.
    pub first: u8,
    /// Who may be asked as well, or instead.
    pub second: Option<u8>,
    /// Only `first` may be asked.
    pub fixed: bool,
    /// It may run more than once: a retransmission may go to another server.
    pub repeatable: bool,
    /// Both are asked, when the id is free. If the second is not `live`, its answer is not waited for.
    pub clone: bool,
    /// Whether there will be an answer.
    pub expect: Expect,
    /// Servers that are thought to answer.
    pub live: &'a ServerSet,
}

/// Where an entry is, to take the clone back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    slot: usize,
    generation: u64,
}

/// Whom a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To both servers.
    Both(Ticket),
    /// To the first alone.
    First,
    /// To this one: the same request once more.
    Retry(u8),
    /// To this one: a new request under an id that is not settled.
    Follow(u8),
    /// To the first, and the table knows nothing of it: no room.
    Full,
    /// The same: another core was changing the slot.
    Contended,
}

/// What the table knows about a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Its request.
    Yes(Verdict),
    /// No request: none was recorded, or it was forgotten.
    No,
    /// Another core was changing the slot.
    Contended,
}

/// What a sweep has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Requests given up.
    pub given_up: u32,
    /// Entries forgotten.
    pub forgotten: u32,
}

/// One request. Half a cache line.
#[derive(Debug)]
#[cfg_attr(not(sluice_loom), repr(C, align(32)))]
struct Slot {
    word: AtomicU64,
    tag: AtomicU64,
    /// The key's check in the upper half, the request's digest in the lower.
    mark: AtomicU64,
    /// When the last request came, nanoseconds.
    stamp: AtomicU64,
}

impl Slot {
    fn empty() -> Slot {
        Slot {
            word: AtomicU64::new(0),
            tag: AtomicU64::new(0),
            mark: AtomicU64::new(0),
            stamp: AtomicU64::new(0),
        }
    }

    // The words beside the first are stored with release and loaded with acquire: who reads what the
    // next generation wrote sees its "being written" too, and so fails to exchange the word.

    fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    fn exchange(&self, from: Word, to: Word) -> bool {
        self.word
            .compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    fn holds(&self, key: &Key) -> bool {
        self.tag.load(Ordering::Acquire) == key.tag
            && (self.mark.load(Ordering::Acquire) >> 32) as u32 == key.check
    }

    fn digest(&self) -> u32 {
        self.mark.load(Ordering::Acquire) as u32
    }

    fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.stamp.load(Ordering::Acquire))
    }
}

/// How gladly a slot is given to another request; the lowest is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    None,
    Settled,
    Answered,
    Unanswered,
}

/// What a look through a set found.
enum Found {
    /// The key's slot.
    Here(usize, Word),
    /// Not the key, but this slot can be had.
    Room(usize, Word),
    /// Neither.
    Full,
    /// Perhaps the key: a slot is being written.
    Busy,
}

/// The table.
#[derive(Debug)]
pub struct Table {
    slots: Box<[Slot]>,
    /// Number of sets, less one: a mask.
    sets: u64,
    answer_timeout: u64,
    forget: u64,
}

impl Table {
    /// A table of 2^`slots_log2` slots (at least one set's), 32 bytes each. Times in nanoseconds;
    /// `forget` is at least `answer_timeout`.
    #[must_use]
    pub fn new(slots_log2: u32, answer_timeout: u64, forget: u64) -> Table {
        let slots = (1_usize << slots_log2.min(28)).max(WAYS);
        Table {
            slots: (0..slots).map(|_| Slot::empty()).collect(),
            sets: (slots / WAYS) as u64 - 1,
            answer_timeout,
            forget: forget.max(answer_timeout),
        }
    }

    /// Slots there are.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Loads the first slot of the key's set, so that the lines of a burst's keys are under way
    /// together.
    #[inline]
    pub fn touch(&self, key: &Key) {
        if let Some(slot) = self.slots.get(self.base(key)) {
            std::hint::black_box(slot.word.load(Ordering::Relaxed));
        }
    }

    /// Records a request and says whom it goes to.
    pub fn request(&self, now: u64, ask: &Ask<'_>, loads: &Loads) -> Asked {
        for _ in 0..PATIENCE {
            let (index, word, same_key) = match self.look(now, &ask.key) {
                Found::Here(index, word) => (index, word, true),
                Found::Room(index, word) => (index, word, false),
                Found::Full => return Asked::Full,
                Found::Busy => {
                    pause();
                    continue;
                }
            };
            let Some(slot) = self.slots.get(index) else {
                return Asked::Full;
            };
            let mut old = word.entry();
            let unsettled = same_key && !old.is_settled();
            let retry = unsettled && ask.repeatable && slot.digest() == ask.digest;
            let taken = word.taken();
            if !slot.exchange(word, taken) {
                continue;
            }
            let (entry, shift, asked) = if unsettled {
                let choice = Choice {
                    first: ask.first,
                    second: ask.second,
                    fixed: ask.fixed,
                    live: ask.live,
                    expect: ask.expect,
                };
                let mut entry = old;
                if retry && !old.is_answered() {
                    let (server, shift) = entry.retry(&choice, |server| loads.outstanding(server));
                    (entry, shift, Asked::Retry(server))
                } else {
                    let (server, shift) = entry.follow(&choice);
                    (entry, shift, Asked::Follow(server))
                }
            } else {
                if word.is_live() {
                    self.apply(&old.give_up(), loads);
                }
                match ask.second.filter(|_| ask.clone && !ask.fixed) {
                    Some(second) => {
                        let (mut entry, shift) = Entry::pair(ask.first, second, ask.expect);
                        if !ask.live.has(second) {
                            entry.only_try_second();
                        }
                        let ticket = Ticket {
                            slot: index,
                            generation: taken.generation(),
                        };
                        (entry, shift, Asked::Both(ticket))
                    }
                    None => {
                        let (entry, shift) = Entry::single(ask.first, ask.expect);
                        (entry, shift, Asked::First)
                    }
                }
            };
            // Before anybody can answer: nobody subtracts what was not added.
            self.apply(&shift, loads);
            slot.tag.store(ask.key.tag, Ordering::Release);
            let mark = u64::from(ask.key.check) << 32 | u64::from(ask.digest);
            slot.mark.store(mark, Ordering::Release);
            slot.stamp.store(now, Ordering::Release);
            slot.word.store(taken.with(&entry).0, Ordering::Release);
            return asked;
        }
        Asked::Contended
    }

    /// Takes back the second half of [`Asked::Both`]: there was no buffer for it.
    pub fn retract(&self, ticket: &Ticket, loads: &Loads) {
        let Some(slot) = self.slots.get(ticket.slot) else {
            return;
        };
        for _ in 0..PATIENCE {
            let word = slot.word();
            if !word.is_live() || word.generation() != ticket.generation {
                return;
            }
            let mut entry = word.entry();
            let shift = entry.retract();
            if slot.exchange(word, word.with(&entry)) {
                self.apply(&shift, loads);
                return;
            }
        }
    }

    /// A datagram of `server` that answers `key`.
    pub fn reply(&self, now: u64, key: &Key, server: u8, part: Part, loads: &Loads) -> Known {
        for _ in 0..PATIENCE {
            let (slot, word) = match self.look(now, key) {
                Found::Here(index, word) => match self.slots.get(index) {
                    Some(slot) => (slot, word),
                    None => return Known::No,
                },
                Found::Room(..) | Found::Full => return Known::No,
                Found::Busy => {
                    pause();
                    continue;
                }
            };
            let mut entry = word.entry();
            let (verdict, shift) = entry.reply(server, part);
            // An exchange even if nothing changes: it shows that the key was this generation's.
            if slot.exchange(word, word.with(&entry)) {
                self.apply(&shift, loads);
                return Known::Yes(verdict);
            }
        }
        Known::Contended
    }

    /// Looks after `count` slots from `cursor` on: gives up what was not answered in time, and forgets
    /// what is old. Any core may do it, for any part of the table.
    pub fn sweep(&self, now: u64, cursor: &mut usize, count: usize, loads: &Loads) -> Swept {
        let mut swept = Swept::default();
        for _ in 0..count.min(self.slots.len()) {
            if *cursor >= self.slots.len() {
                *cursor = 0;
            }
            let Some(slot) = self.slots.get(*cursor) else {
                break;
            };
            *cursor += 1;
            let word = slot.word();
            if !word.is_live() {
                continue;
            }
            let age = slot.age(now);
            let mut entry = word.entry();
            let forget = age >= self.forget;
            if !forget && (age < self.answer_timeout || !entry.is_pending()) {
                continue;
            }
            let pending = entry.is_pending();
            let shift = entry.give_up();
            let to = if forget {
                word.freed()
            } else {
                word.with(&entry)
            };
            if slot.exchange(word, to) {
                self.apply(&shift, loads);
                swept.given_up += u32::from(pending);
                swept.forgotten += u32::from(forget);
            }
        }
        swept
    }

    /// Entries in use at the moment. Reads the whole table: for status and tests.
    #[must_use]
    pub fn occupied(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| !slot.word().is_free())
            .count()
    }

    fn base(&self, key: &Key) -> usize {
        (key.tag & self.sets) as usize * WAYS
    }

    fn look(&self, now: u64, key: &Key) -> Found {
        let base = self.base(key);
        let mut busy = false;
        let mut room: Option<(Use, u64, usize, Word)> = None;
        let set = self.slots.get(base..base + WAYS).unwrap_or_default();
        for (index, slot) in set.iter().enumerate() {
            let word = slot.word();
            if word.is_busy() {
                busy = true;
                continue;
            }
            let age = slot.age(now);
            let old = word.is_free() || age >= self.forget;
            if !old && slot.holds(key) {
                return Found::Here(base + index, word);
            }
            let entry = word.entry();
            let late = age >= self.answer_timeout;
            let used = if old {
                Use::None
            } else if entry.is_settled() {
                Use::Settled
            } else if late && entry.is_answered() {
                Use::Answered
            } else if late {
                Use::Unanswered
            } else {
                continue;
            };
            let best = room.is_none_or(|(best, oldest, ..)| {
                used < best || (used == best && used != Use::None && age > oldest)
            });
            if best {
                room = Some((used, age, base + index, word));
            }
        }
        match room {
            _ if busy => Found::Busy,
            Some((_, _, index, word)) => Found::Room(index, word),
            None => Found::Full,
        }
    }

    fn apply(&self, shift: &Shift, loads: &Loads) {
        for (server, by) in shift.iter() {
            loads.shift(server, by);
        }
    }
}
