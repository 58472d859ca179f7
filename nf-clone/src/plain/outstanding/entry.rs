//! What is remembered of one transaction id of one client, in one word: who was asked, who has
//! answered, and whose answers must not be taken for those to a newer request.
//!
//! A server is in the entry as a *racer*, whose answer may be the client's, or as a *debtor*, who may
//! still answer an older request of the same id. The first place always holds a racer; the second a
//! racer, a debtor, or nobody.
//!
//! | bits | meaning |
//! |--:|---|
//! | 0..2 | phase: free, being written, live |
//! | 2..4 | winner: none, first, second |
//! | 4..23 | first place: role (2), server (8), pending (3), owes (3), wanted (3) |
//! | 23..42 | second place |
//! | 42..64 | generation: one more whenever the slot is written |

use crate::groups::ServerSet;

/// `owes` that cannot be counted: an answer of several datagrams, or too many requests. It goes
/// away with the entry.
const UNCOUNTED: u8 = 7;

/// How a server is in an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
enum Role {
    #[default]
    Nobody = 0,
    Racer = 1,
    Debtor = 2,
}

/// One of the two places of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Place {
    role: Role,
    server: u8,
    /// Requests that count as load of the server; never more than `owes`.
    pending: u8,
    /// Answers that may still come.
    owes: u8,
    /// How many of those the client waits for: not the second answer to a repeated request.
    wanted: u8,
}

/// What a live entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entry {
    winner: Option<u8>,
    places: [Place; 2],
}

/// What part of an answer a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The whole answer.
    Whole,
    /// The first of several datagrams.
    First,
    /// A later one of several.
    Later,
}

/// What a reply is to the entry of its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The first answer to the request: forward.
    First,
    /// More from the server that answered first: forward.
    Further,
    /// From the server that did not answer first: filter.
    Slower,
    /// An answer to an older request that had the same id, or of a server that was only tried: filter.
    Stale,
    /// A second answer of a server to one request: filter.
    Duplicate,
    /// From a server that was not asked: an answer to something older than the entry. Filter.
    NotAsked,
}

impl Verdict {
    /// Whether the reply goes to the client.
    #[must_use]
    pub fn forwards(self) -> bool {
        matches!(self, Verdict::First | Verdict::Further)
    }
}

/// Changes of servers' loads that go with a change of an entry: at most three servers, each with
/// what it has less or more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shift {
    items: [(u8, i8); 3],
    len: usize,
}

impl Shift {
    fn push(&mut self, server: u8, by: i8) {
        if by == 0 {
            return;
        }
        if let Some(item) = self.items.get_mut(self.len) {
            *item = (server, by);
            self.len += 1;
        }
    }

    /// Server and change; never 0.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u8, i8)> + '_ {
        self.items.iter().take(self.len).copied()
    }
}

/// How a request is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expect {
    /// One answer, of one or more datagrams, which say so.
    Answer,
    /// An answer of datagrams that do not say where it ends.
    Answers,
    /// Perhaps no answer at all: the server's load is not touched.
    Perhaps,
}

/// Who may be asked, as far as an entry needs to know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) first: u8,
    pub(super) second: Option<u8>,
    /// Only `first` will do.
    pub(super) fixed: bool,
    pub(super) live: &'a ServerSet,
    pub(super) expect: Expect,
}

impl Choice<'_> {
    fn other_than(&self, avoid: impl Fn(u8) -> bool) -> Option<u8> {
        [Some(self.first), self.second]
            .into_iter()
            .flatten()
            .find(|server| !avoid(*server))
    }
}

impl Entry {
    /// One server is asked.
    pub(super) fn single(server: u8, expect: Expect) -> (Entry, Shift) {
        let mut entry = Entry::default();
        let mut shift = Shift::default();
        entry.places[0] = Place::racer(server);
        entry.ask(0, expect, true, &mut shift);
        (entry, shift)
    }

    /// Two servers are asked.
    pub(super) fn pair(first: u8, second: u8, expect: Expect) -> (Entry, Shift) {
        let (mut entry, mut shift) = Entry::single(first, expect);
        entry.places[1] = Place::racer(second);
        entry.ask(1, expect, true, &mut shift);
        (entry, shift)
    }

    /// The second server, who is asked, is only tried: its answer is not the client's, because one that
    /// hung may still have older requests to answer.
    pub(super) fn only_try_second(&mut self) {
        self.places[1].becomes_debtor();
    }

    /// Whether nobody owes an answer, so that the id may be used as if it were new.
    pub(super) fn is_settled(&self) -> bool {
        self.places.iter().all(|place| place.owes == 0)
    }

    /// Whether the client has an answer to its newest request.
    pub(super) fn is_answered(&self) -> bool {
        self.winner.is_some()
    }

    /// Whether the entry counts in any server's load.
    pub(super) fn is_pending(&self) -> bool {
        self.places.iter().any(|place| place.pending > 0)
    }

    /// Whether `server` is asked under this entry.
    #[cfg(test)]
    pub(super) fn holds(&self, server: u8) -> bool {
        self.places
            .iter()
            .any(|place| place.role != Role::Nobody && place.server == server)
    }

    /// A datagram from `server`.
    pub(super) fn reply(&mut self, server: u8, part: Part) -> (Verdict, Shift) {
        let mut shift = Shift::default();
        // A server that is both answers in the order in which it was asked.
        let debtor = self.place_of(server, Role::Debtor);
        let racer = self.place_of(server, Role::Racer);
        let Some(index) = debtor.or(racer) else {
            return (Verdict::NotAsked, shift);
        };
        let winner = self.winner;
        let place = &mut self.places[index];
        let wanted = place.wanted > 0 || place.owes == UNCOUNTED;
        if part != Part::Later {
            place.wanted = place.wanted.saturating_sub(1);
        }
        if part != Part::Later && place.pending > 0 {
            place.pending -= 1;
            shift.push(server, -1);
        }
        match part {
            Part::Whole if place.owes != UNCOUNTED => place.owes = place.owes.saturating_sub(1),
            Part::Whole => {}
            Part::First | Part::Later => place.owes = UNCOUNTED,
        }
        if debtor.is_some() {
            if place.owes == 0 {
                *place = Place::default();
            }
            return (Verdict::Stale, shift);
        }
        let verdict = match winner {
            None => {
                self.winner = Some(index as u8);
                Verdict::First
            }
            Some(winner) if usize::from(winner) != index => Verdict::Slower,
            Some(_) if wanted || part != Part::Whole => Verdict::Further,
            Some(_) => Verdict::Duplicate,
        };
        (verdict, shift)
    }

    /// The same request once more, and the client has no answer: one more server is asked, or one
    /// of those that were. Whoever answers first wins.
    pub(super) fn retry(&mut self, choice: &Choice<'_>, load: impl Fn(u8) -> u64) -> (u8, Shift) {
        let [first, second] = self.places;
        if self.winner.is_some() || choice.fixed {
            return self.follow(choice);
        }
        let mut shift = Shift::default();
        if second.role == Role::Debtor {
            // A third server would push out the debtor, whose old answer could then be mistaken.
            if !choice.live.has(first.server) {
                return self.follow(choice);
            }
            self.ask(0, choice.expect, false, &mut shift);
            return (first.server, shift);
        }
        if second.role == Role::Nobody {
            if let Some(other) = choice.other_than(|server| server == first.server) {
                self.places[1] = Place::racer(other);
                self.ask(1, choice.expect, true, &mut shift);
                return (other, shift);
            }
            self.ask(0, choice.expect, false, &mut shift);
            return (first.server, shift);
        }
        let index = match (
            choice.live.has(first.server),
            choice.live.has(second.server),
        ) {
            (true, true) => usize::from(load(second.server) < load(first.server)),
            (true, false) => 0,
            (false, true) => 1,
            (false, false) => return self.follow(choice),
        };
        self.ask(index, choice.expect, false, &mut shift);
        (self.places[index].server, shift)
    }

    /// A new request under an id that is not settled: one server is asked, and what others still
    /// owe is not taken for its answer. A server that owes the client an answer keeps the client, so
    /// that answers come in the order of the requests, as without an appliance.
    pub(super) fn follow(&mut self, choice: &Choice<'_>) -> (u8, Shift) {
        let mut shift = Shift::default();
        let mut last = None;
        if let Some(winner) = self.winner.take() {
            let winner = usize::from(winner) & 1;
            self.places[winner ^ 1].becomes_debtor();
            let place = &mut self.places[winner];
            if place.wanted == 0 {
                last = Some(place.server).filter(|server| choice.live.has(*server));
                place.becomes_debtor();
            }
        }
        let places = self.places;
        let unfinished = places
            .iter()
            .find(|place| place.role == Role::Racer && choice.live.has(place.server))
            .map(|place| place.server);
        let owes = |server: u8| {
            places
                .iter()
                .any(|place| place.role == Role::Debtor && place.server == server)
        };
        let target = match unfinished {
            _ if choice.fixed => choice.first,
            Some(server) => server,
            // If all owe something, the one whose answer was complete enough for the client.
            None => choice.other_than(owes).or(last).unwrap_or(choice.first),
        };
        let kept = places
            .iter()
            .position(|place| place.role == Role::Racer && place.server == target);
        let racer = kept.map_or(Place::racer(target), |index| places[index]);
        let mut debtor = Place::default();
        for (index, mut place) in places.into_iter().enumerate() {
            if Some(index) == kept || place.role == Role::Nobody {
                continue;
            }
            place.becomes_debtor();
            // What cannot be counted would hide the new answer for ever.
            let hides = place.server == target && place.owes == UNCOUNTED;
            let matters_more = debtor.role == Role::Nobody || place.server == target;
            if hides || place.role == Role::Nobody {
                shift.push(place.server, -(place.pending as i8));
            } else if matters_more {
                shift.push(debtor.server, -(debtor.pending as i8));
                debtor = place;
            } else {
                shift.push(place.server, -(place.pending as i8));
            }
        }
        self.places = [racer, debtor];
        self.ask(0, choice.expect, true, &mut shift);
        (target, shift)
    }

    /// The second server is not asked after all.
    pub(super) fn retract(&mut self) -> Shift {
        let mut shift = Shift::default();
        let second = self.places[1];
        if second.role != Role::Nobody && self.winner != Some(1) {
            shift.push(second.server, -(second.pending as i8));
            self.places[1] = Place::default();
        }
        shift
    }

    /// Nobody's load any more: no answer came in time. What servers owe stays.
    pub(super) fn give_up(&mut self) -> Shift {
        let mut shift = Shift::default();
        for place in &mut self.places {
            shift.push(place.server, -(place.pending as i8));
            place.pending = 0;
        }
        shift
    }

    fn place_of(&self, server: u8, role: Role) -> Option<usize> {
        self.places
            .iter()
            .position(|place| place.role == role && place.server == server)
    }

    fn ask(&mut self, index: usize, expect: Expect, wanted: bool, shift: &mut Shift) {
        let place = &mut self.places[index];
        place.wanted = (place.wanted + u8::from(wanted)).min(UNCOUNTED);
        place.owes = match expect {
            Expect::Answer => (place.owes + 1).min(UNCOUNTED),
            Expect::Answers | Expect::Perhaps => UNCOUNTED,
        };
        if expect != Expect::Perhaps && place.pending < UNCOUNTED {
            place.pending += 1;
            shift.push(place.server, 1);
        }
    }
}

impl Place {
    fn racer(server: u8) -> Place {
        Place {
            role: Role::Racer,
            server,
            pending: 0,
            owes: 0,
            wanted: 0,
        }
    }

    fn becomes_debtor(&mut self) {
        if self.owes > 0 {
            self.role = Role::Debtor;
            self.wanted = 0;
        } else {
            *self = Place::default();
        }
    }

    fn bits(self) -> u64 {
        self.role as u64
            | u64::from(self.server) << 2
            | u64::from(self.pending & 7) << 10
            | u64::from(self.owes & 7) << 13
            | u64::from(self.wanted & 7) << 16
    }

    fn of(bits: u64) -> Place {
        Place {
            role: match bits & 3 {
                1 => Role::Racer,
                2 => Role::Debtor,
                _ => Role::Nobody,
            },
            server: (bits >> 2) as u8,
            pending: (bits >> 10) as u8 & 7,
            owes: (bits >> 13) as u8 & 7,
            wanted: (bits >> 16) as u8 & 7,
        }
    }
}

/// A slot's word: an entry, its phase and its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

/// Bits of the generation.
const GENERATION: u64 = u64::MAX << 42;

/// One generation.
const STEP: u64 = 1 << 42;

impl Word {
    pub(super) fn is_free(self) -> bool {
        self.0 & 3 == 0
    }

    pub(super) fn is_busy(self) -> bool {
        self.0 & 3 == 1
    }

    pub(super) fn is_live(self) -> bool {
        self.0 & 3 == 2
    }

    /// The generation, to recognise the slot's content.
    pub(super) fn generation(self) -> u64 {
        self.0 & GENERATION
    }

    /// The next generation, being written.
    pub(super) fn taken(self) -> Word {
        Word((self.0 & GENERATION).wrapping_add(STEP) | 1)
    }

    /// Nothing, in the same generation.
    pub(super) fn freed(self) -> Word {
        Word(self.0 & GENERATION)
    }

    /// `entry`, in the same generation.
    pub(super) fn with(self, entry: &Entry) -> Word {
        let winner = entry.winner.map_or(0, |winner| u64::from(winner & 1) + 1);
        Word(
            self.0 & GENERATION
                | 2
                | winner << 2
                | entry.places[0].bits() << 4
                | entry.places[1].bits() << 23,
        )
    }

    pub(super) fn entry(self) -> Entry {
        Entry {
            winner: match self.0 >> 2 & 3 {
                1 => Some(0),
                2 => Some(1),
                _ => None,
            },
            places: [
                Place::of(self.0 >> 4 & 0x7_ffff),
                Place::of(self.0 >> 23 & 0x7_ffff),
            ],
        }
    }
}

#[cfg(all(test, not(sluice_loom)))]
#[path = "entry_tests.rs"]
mod tests;
