//! Who is at which MAC address: one table for all cores, without locks.
//!
//! An answer may be heard by another core than the one that waits for it, so the table is shared.
//! It is made of atomics: each entry has a sequence number, odd while somebody writes. A reader that
//! sees it odd or changed takes the entry for absent, a writer that loses the race to another leaves
//! the entry alone; neither ever waits. What is lost that way is asked for again.
//!
//! Entries are in sets of eight, chosen by a hash of port and address, so that every operation looks
//! at eight cache lines at most and nothing ever moves.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::wire::MacAddr;

const WAYS: usize = 8;

/// A neighbour: an address behind a port. IPv4 addresses are mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The port's index.
    pub port: u16,
    bits: u128,
}

impl Key {
    /// The key of an address behind a port.
    #[inline(always)]
    pub fn new(port: u16, address: IpAddr) -> Key {
        let bits = match address {
            IpAddr::V4(address) => 0xffff_0000_0000 | u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        Key { port, bits }
    }

    /// The address.
    pub fn address(self) -> IpAddr {
        let address = Ipv6Addr::from_bits(self.bits);
        address
            .to_ipv4_mapped()
            .map_or(IpAddr::V6(address), IpAddr::V4)
    }

    #[inline(always)]
    fn hash(self) -> usize {
        let (high, low) = ((self.bits >> 64) as u64, self.bits as u64);
        let mixed = (low ^ high.rotate_left(23) ^ u64::from(self.port) << 48)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize
    }
}

/// What is known of a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Nothing: the entry is free.
    Empty = 0,
    /// It is being asked for.
    Incomplete = 1,
    /// It has answered.
    Reachable = 2,
    /// It has not answered.
    Unreachable = 3,
    /// The config says where it is.
    Static = 4,
}

impl State {
    fn from_bits(bits: u32) -> State {
        match bits & 7 {
            1 => State::Incomplete,
            2 => State::Reachable,
            3 => State::Unreachable,
            4 => State::Static,
            _ => State::Empty,
        }
    }

    /// The word in status and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Empty => "empty",
            State::Incomplete => "incomplete",
            State::Reachable => "reachable",
            State::Unreachable => "unreachable",
            State::Static => "static",
        }
    }
}

/// A copy of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Who.
    pub key: Key,
    /// What is known.
    pub state: State,
    /// Where, if known.
    pub mac: MacAddr,
    /// When it was last heard of, nanoseconds.
    pub confirmed: u64,
    /// When it may be asked again, nanoseconds.
    pub next: u64,
    /// How often it was asked since it was last heard of.
    pub attempts: u8,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Entry {
    sequence: AtomicU32,
    /// Port, state and attempts: 16, 8 and 8 bits.
    head: AtomicU32,
    high: AtomicU64,
    low: AtomicU64,
    mac: AtomicU64,
    confirmed: AtomicU64,
    next: AtomicU64,
}

impl Entry {
    /// A consistent copy and its sequence number; `None` while somebody writes.
    #[inline(always)]
    fn read(&self) -> Option<(u32, Neighbour)> {
        let before = self.sequence.load(Ordering::Acquire);
        let head = self.head.load(Ordering::Relaxed);
        let bits = u128::from(self.high.load(Ordering::Relaxed)) << 64
            | u128::from(self.low.load(Ordering::Relaxed));
        let mac = self.mac.load(Ordering::Relaxed).to_be_bytes();
        let confirmed = self.confirmed.load(Ordering::Relaxed);
        let next = self.next.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        if before & 1 != 0 || self.sequence.load(Ordering::Relaxed) != before {
            return None;
        }
        let [_, _, a, b, c, d, e, f] = mac;
        let neighbour = Neighbour {
            key: Key {
                port: (head >> 16) as u16,
                bits,
            },
            state: State::from_bits(head >> 8),
            mac: MacAddr([a, b, c, d, e, f]),
            confirmed,
            next,
            attempts: head as u8,
        };
        Some((before, neighbour))
    }

    /// Replaces the entry if nobody has written to it since `sequence` was read.
    fn write(&self, sequence: u32, neighbour: &Neighbour) -> bool {
        let claimed = self.sequence.compare_exchange(
            sequence,
            sequence.wrapping_add(1),
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        if claimed.is_err() {
            return false;
        }
        // No reader may see what follows with the old, even number.
        fence(Ordering::Release);
        let head = u32::from(neighbour.key.port) << 16
            | (neighbour.state as u32) << 8
            | u32::from(neighbour.attempts);
        let [a, b, c, d, e, f] = neighbour.mac.0;
        self.head.store(head, Ordering::Relaxed);
        self.high
            .store((neighbour.key.bits >> 64) as u64, Ordering::Relaxed);
        self.low.store(neighbour.key.bits as u64, Ordering::Relaxed);
        let mac = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        self.mac.store(mac, Ordering::Relaxed);
        self.confirmed.store(neighbour.confirmed, Ordering::Relaxed);
        self.next.store(neighbour.next, Ordering::Relaxed);
        self.sequence
            .store(sequence.wrapping_add(2), Ordering::Release);
        true
    }
}

/// When neighbours are asked, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two requests.
    pub retry: u64,
    /// Requests without an answer before it counts as unreachable.
    pub retries: u8,
    /// From the last answer to the next request.
    pub refresh: u64,
    /// For how long it counts as unreachable.
    pub unreachable: u64,
    /// From the last answer to when the entry may go.
    pub forget: u64,
}

/// What to do with a packet for a neighbour, and whether to ask for the neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send it there.
    Send(MacAddr),
    /// Send it there, and ask the neighbour whether it is still there.
    SendAndAsk(MacAddr),
    /// Hold it.
    Wait,
    /// Hold it, and ask everybody who it is.
    WaitAndAsk,
    /// The neighbour does not answer.
    Unreachable,
    /// There is no room for one more neighbour, or no leave to ask.
    Refuse,
}

/// What came of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// Somebody waited for it.
    Resolved,
    /// It was known, there or elsewhere.
    Confirmed,
    /// It was new.
    Added,
    /// Nobody wanted to know.
    Ignored,
    /// There is no room.
    Full,
}

/// The table.
#[derive(Debug)]
pub struct Neighbours {
    sets: Box<[[Entry; WAYS]]>,
}

impl Neighbours {
    /// A table for about that many neighbours.
    pub fn new(neighbours: u32) -> Neighbours {
        // Four times the room, so that hardly any set of eight gets more than its share.
        let sets = (neighbours as usize * 4).div_ceil(WAYS).next_power_of_two();
        Neighbours {
            sets: (0..sets).map(|_| Default::default()).collect(),
        }
    }

    #[inline(always)]
    fn set(&self, key: Key) -> &[Entry; WAYS] {
        // The length is a power of two and not zero.
        &self.sets[key.hash() & (self.sets.len() - 1)]
    }

    /// The neighbour's entry, if it has one.
    #[inline(always)]
    fn find(&self, key: Key) -> Option<(&Entry, u32, Neighbour)> {
        self.set(key).iter().find_map(|entry| {
            let (sequence, neighbour) = entry.read()?;
            (neighbour.key == key && neighbour.state != State::Empty)
                .then_some((entry, sequence, neighbour))
        })
    }

    /// What is known of a neighbour.
    pub fn get(&self, key: Key) -> Option<Neighbour> {
        self.find(key).map(|(_, _, neighbour)| neighbour)
    }

    /// What to do with a packet for this neighbour now. `may_ask` says whether a request may be
    /// sent; the caller sends it if the answer says so.
    #[inline(always)]
    pub fn step(&self, key: Key, now: u64, pace: &Pace, may_ask: bool) -> Step {
        let Some((entry, sequence, neighbour)) = self.find(key) else {
            return self.start(key, now, pace, may_ask);
        };
        match neighbour.state {
            State::Static => Step::Send(neighbour.mac),
            State::Reachable if now.saturating_sub(neighbour.confirmed) < pace.refresh => {
                Step::Send(neighbour.mac)
            }
            _ => ask(entry, sequence, neighbour, now, pace, may_ask),
        }
    }

    /// Makes an entry for a neighbour that is not known.
    #[cold]
    fn start(&self, key: Key, now: u64, pace: &Pace, may_ask: bool) -> Step {
        if !may_ask {
            return Step::Refuse;
        }
        let neighbour = Neighbour {
            key,
            state: State::Incomplete,
            mac: MacAddr::ZERO,
            confirmed: now,
            next: now.saturating_add(pace.retry),
            attempts: 1,
        };
        match self.insert(&neighbour, now, pace, true) {
            Inserted::Yes => Step::WaitAndAsk,
            Inserted::Busy => Step::Wait,
            Inserted::Full => Step::Refuse,
        }
    }

    /// Writes a new entry over the one of its set that is missed least.
    fn insert(&self, new: &Neighbour, now: u64, pace: &Pace, wanted: bool) -> Inserted {
        let mut best: Option<(u64, &Entry, u32)> = None;
        for entry in self.set(new.key) {
            let Some((sequence, old)) = entry.read() else {
                // It may be this very neighbour.
                return Inserted::Busy;
            };
            let age = now.saturating_sub(old.confirmed);
            let worth = match old.state {
                State::Empty => 0,
                State::Unreachable => 1,
                State::Reachable if age > pace.forget => 2,
                // In use or not, it can be asked for again.
                State::Reachable if wanted && age > pace.refresh * 2 => u64::MAX - age,
                _ => continue,
            };
            if best.is_none_or(|(least, ..)| worth < least) {
                best = Some((worth, entry, sequence));
            }
        }
        match best {
            Some((_, entry, sequence)) if entry.write(sequence, new) => Inserted::Yes,
            Some(_) => Inserted::Busy,
            None => Inserted::Full,
        }
    }

    /// A neighbour has said where it is. `add`: it is to be remembered even if nobody asked.
    /// `overrides`: it takes the place of another MAC address.
    pub fn learn(
        &self,
        key: Key,
        mac: MacAddr,
        now: u64,
        pace: &Pace,
        (add, overrides): (bool, bool),
    ) -> Learned {
        let new = Neighbour {
            key,
            state: State::Reachable,
            mac,
            confirmed: now,
            next: 0,
            attempts: 0,
        };
        let Some((entry, sequence, old)) = self.find(key) else {
            if !add {
                return Learned::Ignored;
            }
            return match self.insert(&new, now, pace, false) {
                Inserted::Yes => Learned::Added,
                Inserted::Busy => Learned::Ignored,
                Inserted::Full => Learned::Full,
            };
        };
        let known = old.state == State::Reachable;
        if old.state == State::Static || known && !overrides && old.mac != mac {
            return Learned::Ignored;
        }
        entry.write(sequence, &new);
        match known {
            true => Learned::Confirmed,
            false => Learned::Resolved,
        }
    }

    /// Enters a neighbour whose address is given. False if there is no room.
    pub fn set_static(&self, key: Key, mac: MacAddr, pace: &Pace) -> bool {
        let new = Neighbour {
            key,
            state: State::Static,
            mac,
            confirmed: 0,
            next: 0,
            attempts: 0,
        };
        // Cores may write to the same entry meanwhile, but not for ever.
        (0..100).any(|_| match self.find(key) {
            Some((entry, sequence, _)) => entry.write(sequence, &new),
            None => self.insert(&new, u64::MAX, pace, true) == Inserted::Yes,
        })
    }

    /// Removes a neighbour. False if it is not there.
    pub fn remove(&self, key: Key) -> bool {
        (0..100).any(|_| match self.find(key) {
            Some((entry, sequence, neighbour)) => entry.write(sequence, &emptied(neighbour)),
            None => false,
        })
    }

    /// Removes those that `gone` names; returns how many. One that is just being written stays.
    pub fn remove_if(&self, mut gone: impl FnMut(&Neighbour) -> bool) -> usize {
        let entries = self.sets.iter().flatten();
        entries
            .filter(|entry| match entry.read() {
                Some((sequence, neighbour))
                    if neighbour.state != State::Empty && gone(&neighbour) =>
                {
                    entry.write(sequence, &emptied(neighbour))
                }
                _ => false,
            })
            .count()
    }

    /// Removes what has not been heard of, or asked for, for long.
    pub fn forget(&self, now: u64, pace: &Pace) -> usize {
        self.remove_if(|neighbour| {
            let age = now.saturating_sub(neighbour.confirmed);
            match neighbour.state {
                State::Static | State::Empty => false,
                State::Reachable => age > pace.forget,
                State::Incomplete | State::Unreachable => {
                    now > neighbour.next.saturating_add(pace.retry.saturating_mul(10))
                }
            }
        })
    }

    /// All neighbours, in no particular order.
    pub fn list(&self) -> Vec<Neighbour> {
        let entries = self.sets.iter().flatten();
        entries
            .filter_map(|entry| entry.read().map(|(_, neighbour)| neighbour))
            .filter(|neighbour| neighbour.state != State::Empty)
            .collect()
    }
}

fn emptied(neighbour: Neighbour) -> Neighbour {
    Neighbour {
        state: State::Empty,
        ..neighbour
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inserted {
    Yes,
    /// Somebody writes to the set just now.
    Busy,
    Full,
}

/// A neighbour that is not known, or not for sure.
#[cold]
fn ask(entry: &Entry, sequence: u32, old: Neighbour, now: u64, pace: &Pace, may_ask: bool) -> Step {
    let is_due = now >= old.next;
    let use_it = old.state == State::Reachable;
    let asked = Neighbour {
        attempts: old.attempts.saturating_add(1),
        next: now.saturating_add(pace.retry),
        ..old
    };
    let (new, step) = match old.state {
        State::Reachable if !is_due => return Step::Send(old.mac),
        State::Reachable if old.attempts < pace.retries => (asked, Step::SendAndAsk(old.mac)),
        State::Incomplete if !is_due => return Step::Wait,
        State::Incomplete if old.attempts < pace.retries => (asked, Step::WaitAndAsk),
        State::Incomplete => {
            let new = Neighbour {
                state: State::Unreachable,
                next: now.saturating_add(pace.unreachable),
                ..old
            };
            // Needs no leave: nothing is sent.
            entry.write(sequence, &new);
            return Step::Unreachable;
        }
        State::Unreachable if !is_due => return Step::Unreachable,
        // It was there and does not answer, or did not and is tried again.
        _ => {
            let new = Neighbour {
                state: State::Incomplete,
                attempts: 1,
                ..asked
            };
            (new, Step::WaitAndAsk)
        }
    };
    if may_ask && entry.write(sequence, &new) {
        return step;
    }
    // Another core asks, or nobody may now.
    match old.state {
        State::Reachable if use_it => Step::Send(old.mac),
        State::Unreachable => Step::Unreachable,
        _ => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const PACE: Pace = Pace {
        retry: SECOND,
        retries: 3,
        refresh: 30 * SECOND,
        unreachable: 3 * SECOND,
        forget: 600 * SECOND,
    };
    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

    fn key(n: u32) -> Key {
        Key::new(1, IpAddr::V4((0x0a00_0000 + n).into()))
    }

    #[test]
    fn a_neighbour_is_asked_for_once_a_second_and_three_times() {
        let table = Neighbours::new(16);
        let step = |at: u64| table.step(key(1), at, &PACE, true);
        assert_eq!(step(0), Step::WaitAndAsk);
        assert_eq!(step(SECOND / 2), Step::Wait);
        assert_eq!(step(SECOND), Step::WaitAndAsk);
        assert_eq!(step(2 * SECOND), Step::WaitAndAsk);
        assert_eq!(step(3 * SECOND), Step::Unreachable);
        assert_eq!(step(5 * SECOND), Step::Unreachable);
        assert_eq!(step(6 * SECOND), Step::WaitAndAsk, "and then again");
        assert_eq!(
            table.learn(key(1), MAC, 6 * SECOND, &PACE, (false, true)),
            Learned::Resolved
        );
        assert_eq!(step(7 * SECOND), Step::Send(MAC));
    }

    #[test]
    fn a_live_neighbour_is_asked_again_and_used_meanwhile() {
        let table = Neighbours::new(16);
        table.learn(key(1), MAC, 0, &PACE, (true, true));
        let step = |at: u64| table.step(key(1), at, &PACE, true);
        assert_eq!(step(29 * SECOND), Step::Send(MAC));
        assert_eq!(step(30 * SECOND), Step::SendAndAsk(MAC));
        assert_eq!(step(30 * SECOND + 1), Step::Send(MAC));
        assert_eq!(step(31 * SECOND), Step::SendAndAsk(MAC));
        assert_eq!(
            table.learn(key(1), MAC, 31 * SECOND, &PACE, (false, false)),
            Learned::Confirmed
        );
        assert_eq!(step(60 * SECOND), Step::Send(MAC));
        for second in [61, 62, 63] {
            assert_eq!(step(second * SECOND), Step::SendAndAsk(MAC));
        }
        assert_eq!(step(64 * SECOND), Step::WaitAndAsk, "it is gone");
    }

    #[test]
    fn without_leave_nothing_is_asked_and_nothing_changes() {
        let table = Neighbours::new(16);
        assert_eq!(table.step(key(1), 0, &PACE, false), Step::Refuse);
        assert!(table.list().is_empty());
        table.learn(key(1), MAC, 0, &PACE, (true, true));
        assert_eq!(
            table.step(key(1), 40 * SECOND, &PACE, false),
            Step::Send(MAC)
        );
        assert_eq!(
            table.step(key(1), 40 * SECOND, &PACE, true),
            Step::SendAndAsk(MAC)
        );
    }

    #[test]
    fn strangers_never_push_out_who_is_in_use() {
        let table = Neighbours::new(16);
        let capacity = table.sets.len() * WAYS;
        for n in 0..10_000 {
            table.learn(key(n), MAC, SECOND, &PACE, (true, true));
        }
        let known = table.list();
        assert!(known.len() <= capacity && known.len() > capacity / 2);
        // Nobody asked for: a full set takes no more.
        for n in 10_000..20_000 {
            table.learn(key(n), MAC, 2 * SECOND, &PACE, (true, true));
        }
        // Unknown hosts that packets are for.
        for n in 20_000..30_000 {
            table.step(key(n), 2 * SECOND, &PACE, true);
        }
        for neighbour in known {
            assert_eq!(
                table.get(neighbour.key).map(|found| found.state),
                Some(State::Reachable)
            );
        }
    }

    #[test]
    fn static_neighbours_stay() {
        let table = Neighbours::new(16);
        assert!(table.set_static(key(1), MAC, &PACE));
        let other = MacAddr([2, 0, 0, 0, 0, 8]);
        assert_eq!(
            table.learn(key(1), other, 0, &PACE, (true, true)),
            Learned::Ignored
        );
        table.forget(u64::MAX, &PACE);
        assert_eq!(
            table.step(key(1), 900 * SECOND, &PACE, true),
            Step::Send(MAC)
        );
        assert!(table.remove(key(1)));
        assert!(!table.remove(key(1)));
    }

    #[test]
    fn what_is_not_heard_of_is_forgotten() {
        let table = Neighbours::new(16);
        table.learn(key(1), MAC, 0, &PACE, (true, true));
        table.step(key(2), 0, &PACE, true);
        assert_eq!(table.forget(5 * SECOND, &PACE), 0);
        assert_eq!(table.forget(12 * SECOND, &PACE), 1, "nobody asks any more");
        assert_eq!(table.forget(601 * SECOND, &PACE), 1);
        assert!(table.list().is_empty());
    }

    #[test]
    fn an_advertisement_that_does_not_override_changes_nothing() {
        let table = Neighbours::new(16);
        let other = MacAddr([2, 0, 0, 0, 0, 8]);
        table.learn(key(1), MAC, 0, &PACE, (true, true));
        assert_eq!(
            table.learn(key(1), other, 1, &PACE, (true, false)),
            Learned::Ignored
        );
        assert_eq!(
            table.learn(key(1), other, 1, &PACE, (false, true)),
            Learned::Confirmed
        );
        assert_eq!(table.get(key(1)).map(|found| found.mac), Some(other));
    }

    /// Writers on several threads, each with MAC addresses that name the neighbour: a reader never
    /// sees one neighbour's MAC address under another's key.
    #[test]
    fn threads_never_see_a_torn_entry() {
        let table = Neighbours::new(16);
        let mac_of = |n: u32| {
            let [a, b, c, d] = n.to_be_bytes();
            MacAddr([2, a, b, c, d, a ^ b ^ c ^ d])
        };
        std::thread::scope(|scope| {
            for thread in 0..4u32 {
                let table = &table;
                scope.spawn(move || {
                    let mut state = thread.wrapping_mul(2_654_435_761) | 1;
                    for round in 0..50_000u64 {
                        state ^= state << 13;
                        state ^= state >> 17;
                        state ^= state << 5;
                        let n = state % 300;
                        match state >> 29 {
                            0 => drop(table.remove(key(n))),
                            1..=3 => {
                                table.learn(key(n), mac_of(n), round, &PACE, (true, true));
                            }
                            _ => {
                                if let Step::Send(mac) = table.step(key(n), round, &PACE, true) {
                                    assert_eq!(mac, mac_of(n));
                                }
                            }
                        }
                    }
                });
            }
        });
    }
}
