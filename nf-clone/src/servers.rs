//! What all cores know of the servers: which can be chosen, how long their queues are, when they were
//! last heard.
//!
//! It is shared on purpose. With a table for each core a server would be known by a fraction of its answers
//! only, and a server believed busy would never be heard of again. Every word is soft state: written
//! with one relaxed store, by whoever heard last; two cores that write at once may leave the older word,
//! and the next answer mends it.

use std::sync::atomic::{AtomicU64, Ordering};

use nf_core::telemetry::Counter;

use crate::groups::{MAX_SERVERS, ServerSet};
use crate::wire::DRAINING;

/// Why a server cannot be chosen, one set of bits for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bar {
    /// Health says that it is down.
    Down,
    /// An operator drains it.
    Drained,
    /// The server itself asks not to be chosen (LOAD 0xFFFF).
    Unwilling,
    /// Nobody has said yet where it is on the link.
    Unresolved,
}

const WORDS: usize = MAX_SERVERS / 64;

/// A set of servers that any core changes.
#[derive(Debug, Default)]
struct SharedSet([AtomicU64; WORDS]);

impl SharedSet {
    fn get(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        for (word, shared) in words.iter_mut().zip(&self.0) {
            *word = shared.load(Ordering::Relaxed);
        }
        words
    }

    fn has(&self, sid: u8) -> bool {
        ServerSet::from_words(self.get()).has(sid)
    }

    /// Puts the server in or takes it out; true if that was a change.
    fn set(&self, sid: u8, member: bool) -> bool {
        let Some(word) = self.0.get(usize::from(sid >> 6)) else {
            return false;
        };
        let bit = 1 << (sid & 63);
        let before = match member {
            true => word.fetch_or(bit, Ordering::Relaxed),
            false => word.fetch_and(!bit, Ordering::Relaxed),
        };
        (before & bit != 0) != member
    }
}

/// One server's word, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Word {
    /// `microseconds:48 | load:16`, when it was last heard and what it said.
    heard: AtomicU64,
    /// `set:1 | ... | mac:48`, where it is, if the function finds that out itself.
    mac: AtomicU64,
    /// The number of the last ping that it answered.
    ponged: AtomicU64,
}

impl Word {
    const fn new() -> Word {
        Word {
            heard: AtomicU64::new(0),
            mac: AtomicU64::new(0),
            ponged: AtomicU64::new(0),
        }
    }
}

/// Times wrap after 2^48 microseconds, nine years.
const TIME_BITS: u32 = 48;
const LOAD_BITS: u32 = 16;

/// What is known of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Waiting requests, as it last said.
    pub load: u16,
    /// When, in microseconds of the chain's clock; 0 never.
    pub at_us: u64,
}

/// The servers of one stage, by SID.
#[derive(Debug)]
pub struct Servers {
    configured: SharedSet,
    down: SharedSet,
    drained: SharedSet,
    unwilling: SharedSet,
    unresolved: SharedSet,
    words: Box<[Word; MAX_SERVERS]>,
}

impl Default for Servers {
    fn default() -> Servers {
        Servers::new()
    }
}

impl Servers {
    /// Nobody is configured.
    pub fn new() -> Servers {
        Servers {
            configured: SharedSet::default(),
            down: SharedSet::default(),
            drained: SharedSet::default(),
            unwilling: SharedSet::default(),
            unresolved: SharedSet::default(),
            words: Box::new([const { Word::new() }; MAX_SERVERS]),
        }
    }

    /// The servers that can be chosen now.
    #[inline(always)]
    pub fn live(&self) -> ServerSet {
        let mut words = self.configured.get();
        for bar in [&self.down, &self.drained, &self.unwilling, &self.unresolved] {
            for (word, barred) in words.iter_mut().zip(bar.get()) {
                *word &= !barred;
            }
        }
        ServerSet::from_words(words)
    }

    /// The servers that could be chosen if they were not down.
    #[inline(always)]
    pub fn silent(&self) -> ServerSet {
        let mut words = self.configured.get();
        let down = self.down.get();
        let barred = [&self.drained, &self.unwilling, &self.unresolved].map(SharedSet::get);
        for (at, word) in words.iter_mut().enumerate() {
            *word &= down[at] & !(barred[0][at] | barred[1][at] | barred[2][at]);
        }
        ServerSet::from_words(words)
    }

    /// All servers that are configured.
    pub fn configured(&self) -> ServerSet {
        ServerSet::from_words(self.configured.get())
    }

    /// A server begins to exist, or ceases to; it starts idle, unheard, and without bars.
    pub fn configure(&self, sid: u8, exists: bool) {
        if self.configured.has(sid) == exists {
            return;
        }
        self.reset(sid);
        for bar in [Bar::Down, Bar::Drained, Bar::Unwilling, Bar::Unresolved] {
            self.bar(sid, bar, false);
        }
        self.words[usize::from(sid)].mac.store(0, Ordering::Relaxed);
        self.configured.set(sid, exists);
    }

    fn bars(&self, bar: Bar) -> &SharedSet {
        match bar {
            Bar::Down => &self.down,
            Bar::Drained => &self.drained,
            Bar::Unwilling => &self.unwilling,
            Bar::Unresolved => &self.unresolved,
        }
    }

    /// Sets or lifts a bar; true if that was a change.
    pub fn bar(&self, sid: u8, bar: Bar, barred: bool) -> bool {
        self.bars(bar).set(sid, barred)
    }

    /// Whether a server is barred.
    pub fn is_barred(&self, sid: u8, bar: Bar) -> bool {
        self.bars(bar).has(sid)
    }

    /// A server says how long its queue is. A LOAD of 0xFFFF bars it, any other lifts that bar.
    #[inline(always)]
    pub fn hear(&self, sid: u8, load: u16, now: u64) {
        self.hear_at(sid, load, now / 1000);
    }

    /// The same at a time in microseconds.
    #[inline(always)]
    pub fn hear_at(&self, sid: u8, load: u16, now_us: u64) {
        let word = &self.words[usize::from(sid)];
        let before = word.heard.load(Ordering::Relaxed);
        let heard = now_us << LOAD_BITS | u64::from(load);
        // Of a burst most answers say the same again: who reads on another core keeps the line then.
        if before != heard {
            word.heard.store(heard, Ordering::Relaxed);
        }
        let before = before as u16;
        if (before == DRAINING) != (load == DRAINING) {
            self.bar(sid, Bar::Unwilling, load == DRAINING);
        }
    }

    /// What a server last said of its queue; idle if nothing, or longer than `max_age_ns` ago (0: no
    /// limit).
    #[inline(always)]
    pub fn load(&self, sid: u8, now: u64, max_age_ns: u64) -> u16 {
        let word = &self.words[usize::from(sid)];
        let heard = word.heard.load(Ordering::Relaxed);
        if max_age_ns != 0 {
            let age_us = (now / 1000).wrapping_sub(heard >> LOAD_BITS) & ((1 << TIME_BITS) - 1);
            if age_us > max_age_ns / 1000 {
                return 0;
            }
        }
        heard as u16
    }

    /// What a server last said, and when.
    pub fn heard(&self, sid: u8) -> Heard {
        let heard = self.words[usize::from(sid)].heard.load(Ordering::Relaxed);
        Heard {
            load: heard as u16,
            at_us: heard >> LOAD_BITS,
        }
    }

    /// Forgets what a server said: it is idle.
    pub fn reset(&self, sid: u8) {
        self.words[usize::from(sid)]
            .heard
            .store(0, Ordering::Relaxed);
    }

    /// The MAC address of a server, if it is known.
    #[inline(always)]
    pub fn mac(&self, sid: u8) -> Option<[u8; 6]> {
        let word = &self.words[usize::from(sid)];
        let [known, _, mac @ ..] = word.mac.load(Ordering::Relaxed).to_be_bytes();
        (known != 0).then_some(mac)
    }

    /// Notes where a server is; true if that is new.
    #[inline(always)]
    pub fn set_mac(&self, sid: u8, mac: [u8; 6]) -> bool {
        let word = &self.words[usize::from(sid)];
        let [a, b, c, d, e, f] = mac;
        let value = u64::from_be_bytes([1, 0, a, b, c, d, e, f]);
        if word.mac.load(Ordering::Relaxed) == value {
            return false;
        }
        word.mac.store(value, Ordering::Relaxed);
        true
    }

    /// The server has answered ping number `ping`.
    pub fn pong(&self, sid: u8, ping: u64) {
        let word = &self.words[usize::from(sid)];
        word.ponged.fetch_max(ping, Ordering::Relaxed);
    }

    /// The number of the last ping that the server has answered; 0 none.
    pub fn ponged(&self, sid: u8) -> u64 {
        self.words[usize::from(sid)].ponged.load(Ordering::Relaxed)
    }
}

/// What one core counts of a server. Only that core adds.
#[derive(Debug)]
#[repr(align(32))]
pub struct ServerCounters {
    /// Requests sent to it that were not clones.
    pub originals: Counter,
    /// Clones sent to it.
    pub clones: Counter,
    /// Answers of it.
    pub responses: Counter,
}

impl ServerCounters {
    const fn new() -> ServerCounters {
        ServerCounters {
            originals: Counter::new(),
            clones: Counter::new(),
            responses: Counter::new(),
        }
    }
}

/// What one core counts of all servers, by SID.
#[derive(Debug)]
pub struct CoreServers(Box<[ServerCounters; MAX_SERVERS]>);

impl Default for CoreServers {
    fn default() -> CoreServers {
        CoreServers(Box::new([const { ServerCounters::new() }; MAX_SERVERS]))
    }
}

impl CoreServers {
    /// The counters of a server.
    #[inline(always)]
    pub fn of(&self, sid: u8) -> &ServerCounters {
        // 256 of them, and the index has eight bits.
        &self.0[usize::from(sid)]
    }
}

/// The sums over cores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerTotals {
    /// Requests sent to it that were not clones.
    pub originals: u64,
    /// Clones sent to it.
    pub clones: u64,
    /// Answers of it.
    pub responses: u64,
}

impl ServerTotals {
    /// Adds up what the cores counted of a server.
    pub fn sum<'a>(cores: impl IntoIterator<Item = &'a CoreServers>, sid: u8) -> ServerTotals {
        cores
            .into_iter()
            .fold(ServerTotals::default(), |sum, core| {
                let here = core.of(sid);
                ServerTotals {
                    originals: sum.originals.wrapping_add(here.originals.get()),
                    clones: sum.clones.wrapping_add(here.clones.get()),
                    responses: sum.responses.wrapping_add(here.responses.get()),
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn six() -> Servers {
        let servers = Servers::new();
        for sid in 0..6 {
            servers.configure(sid, true);
        }
        servers
    }

    #[test]
    fn a_server_is_live_when_nothing_bars_it() {
        let servers = six();
        assert_eq!(servers.live().len(), 6);
        for bar in [Bar::Down, Bar::Drained, Bar::Unwilling] {
            assert!(servers.bar(2, bar, true) && !servers.bar(2, bar, true));
            assert!(!servers.live().has(2));
        }
        servers.bar(2, Bar::Down, false);
        servers.bar(2, Bar::Drained, false);
        assert!(!servers.live().has(2), "one bar is enough");
        servers.bar(2, Bar::Unwilling, false);
        assert!(servers.live().has(2));
    }

    #[test]
    fn f22_a_server_that_says_draining_is_not_chosen_until_it_says_otherwise() {
        let servers = six();
        servers.hear(1, DRAINING, 1000);
        assert!(!servers.live().has(1));
        servers.hear(1, 0, 2000);
        assert!(servers.live().has(1));
    }

    #[test]
    fn servers_start_idle_and_old_news_are_forgotten_by_age() {
        let servers = six();
        assert_eq!(servers.load(0, 5_000_000, 0), 0);
        servers.hear(0, 7, 5_000_000);
        assert_eq!(servers.load(0, 900_000_000, 0), 7, "no limit");
        assert_eq!(servers.load(0, 5_900_000, 1_000_000), 7);
        assert_eq!(servers.load(0, 6_002_000, 1_000_000), 0);
    }

    #[test]
    fn b11_an_absurd_load_is_its_own_servers_matter() {
        let servers = six();
        servers.hear(3, 0xfffe, 1000);
        assert!(servers.live().has(3));
        assert_eq!(servers.load(3, 1000, 0), 0xfffe);
        assert_eq!(servers.load(2, 1000, 0), 0);
    }

    #[test]
    fn a_server_that_comes_back_starts_afresh() {
        let servers = six();
        servers.hear(5, DRAINING, 1000);
        servers.set_mac(5, [2, 0, 0, 0, 0, 5]);
        servers.configure(5, false);
        assert!(!servers.live().has(5));
        servers.configure(5, true);
        assert!(servers.live().has(5));
        assert_eq!((servers.load(5, 1000, 0), servers.mac(5)), (0, None));
    }

    #[test]
    fn macs_are_noted_once() {
        let servers = six();
        let mac = [0, 0, 0, 0, 0, 0];
        assert_eq!(servers.mac(255), None);
        assert!(servers.set_mac(255, mac) && !servers.set_mac(255, mac));
        assert_eq!(servers.mac(255), Some(mac));
    }
}
