//! One packet's decision: what the stage asks for every request and every reply.

use std::fmt;

use super::key::{self, Client, Seed};
use super::matcher::Class;
use super::outstanding::{
    Ask, Asked, Expect, Key, Known, Loads, Part, Swept, Table, Ticket, Verdict,
};
use super::service::{Candidates, Service, Standing, Writes};
use super::silence::Silence;

/// Sizes and times of [`Plain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The table has 2^this slots of 32 bytes.
    pub slots_log2: u32,
    /// After this, a request without an answer is nobody's load, nanoseconds.
    pub answer_timeout: u64,
    /// After this, a request is not known any more, nanoseconds.
    pub forget: u64,
    /// A server that is down is tried with a clone this often, nanoseconds.
    pub trial_interval: u64,
}

impl Default for Limits {
    /// 65,536 slots (2 MiB), 100 ms, 2 s, 10 ms.
    fn default() -> Self {
        Limits {
            slots_log2: 16,
            answer_timeout: 100_000_000,
            forget: 2_000_000_000,
            trial_interval: 10_000_000,
        }
    }
}

/// A client's datagram, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What it is.
    pub class: Class,
    key: Key,
    digest: u32,
}

/// A server's datagram, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    key: Key,
    part: Part,
}

/// Everything about a request's addressees that the decision needs.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The service it is for.
    pub service: &'a Service,
    /// [`Service::standing`].
    pub standing: &'a Standing,
    /// [`Standing::candidates`].
    pub candidates: Option<Candidates>,
    /// Whether a second packet can be had: if not, nothing is cloned.
    pub may_clone: bool,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// To both. If the second packet cannot be had after all, say so with [`Plain::retract`].
    Clone {
        /// Gets the original.
        first: u8,
        /// Gets the clone.
        second: u8,
        /// For [`Plain::retract`].
        ticket: Ticket,
    },
    /// To one server.
    Single(u8, Single),
    /// Past this stage, untouched: a write that the user wants elsewhere.
    Pass,
    /// Nowhere: a write, and the user wants none.
    Refuse,
    /// Nowhere: the service has no server.
    NoServer,
}

/// Why a request was not cloned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Single {
    /// One of the candidates, or both, are busy.
    Busy,
    /// There is no second server, or cloning is off.
    Alone,
    /// There was no buffer for the clone.
    NoBuffer,
    /// It only reads, but is not worth two.
    Once,
    /// A write, for the server that takes them.
    Write,
    /// Not a request that the matcher knows; not noted.
    Malformed,
    /// The same request once more, without an answer in between.
    Retry,
    /// Its id is still in use by an older request.
    Follow,
    /// No room in the table; not noted, its reply passes.
    Full,
    /// Another core held the slot; not noted, its reply passes.
    Contended,
}

impl Single {
    /// The reason in a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Single::Busy => "busy",
            Single::Alone => "alone",
            Single::NoBuffer => "no buffer",
            Single::Once => "once",
            Single::Write => "write",
            Single::Malformed => "malformed",
            Single::Retry => "retry",
            Single::Follow => "follow",
            Single::Full => "full",
            Single::Contended => "contended",
        }
    }
}

/// What becomes of a reply. Its source is the service's address in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To the client.
    Forward(Verdict),
    /// Nowhere.
    Filter(Verdict),
    /// To the client, because nothing is known about it.
    Unknown,
    /// The same; another core held the slot.
    Contended,
    /// Nowhere: nothing is known about it, and its server is one that is only tried.
    TooLate,
}

impl Answer {
    /// Whether the reply goes to the client.
    #[must_use]
    pub fn forwards(self) -> bool {
        !matches!(self, Answer::Filter(_) | Answer::TooLate)
    }

    /// What it is if its server is down while others are not. Requests that such a server should answer are
    /// known; what is not is older, and its client may have been answered by another.
    #[must_use]
    pub fn of_server_that_is_down(self) -> Answer {
        match self {
            Answer::Unknown => Answer::TooLate,
            answer => answer,
        }
    }
}

macro_rules! counters {
    ($($name:ident $text:literal $help:literal,)*) => {
        /// What is counted, as an index into [`Counter::ALL`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Counter {
            $(#[doc = $help] $name,)*
        }

        impl Counter {
            /// Name and explanation of each counter, in order.
            pub const ALL: &'static [(&'static str, &'static str)] = &[$(($text, $help),)*];
        }
    };
}

counters! {
    Cloned "plain_cloned" "Requests of unmodified services that went to two servers.",
    Busy "plain_busy" "Reads that were not cloned because a candidate was busy.",
    Alone "plain_alone" "Reads that were not cloned because there was no second server.",
    NoBuffer "plain_no_buffer" "Reads that were not cloned because there was no buffer.",
    Once "plain_once" "Requests that only read but are not cloned.",
    Write "plain_write" "Requests that went to the server that takes writes.",
    WritePassed "plain_write_passed" "Writes that went past the stage.",
    WriteRefused "plain_write_refused" "Writes that were dropped.",
    Malformed "plain_malformed" "Requests that the matcher does not know.",
    Retry "plain_retry" "Requests repeated by their client before any answer.",
    Follow "plain_follow" "Requests whose id was still in use by an older one.",
    Full "plain_full" "Requests that found no room in the table.",
    Contended "plain_contended" "Requests and replies that met another core's change of the slot.",
    NoServer "plain_no_server" "Requests of services without servers.",
    First "plain_first" "First replies, forwarded.",
    Further "plain_further" "Further replies of the server that answered first, forwarded.",
    Slower "plain_slower" "Replies of the server that did not answer first, filtered.",
    Stale "plain_stale" "Replies to an older request of the same id, or to a trial of a server that is down, filtered.",
    Duplicate "plain_duplicate" "Second replies of one server to one request, filtered.",
    NotAsked "plain_not_asked" "Replies of servers that the request did not go to, filtered.",
    Unknown "plain_unknown" "Replies without a request in the table, forwarded.",
    TooLate "plain_too_late" "Replies without a request in the table, of a server that is down, filtered.",
    Unreadable "plain_unreadable" "Datagrams of servers that are no replies, forwarded.",
    GivenUp "plain_given_up" "Requests without an answer in time.",
}

impl Decision {
    /// What to count.
    #[must_use]
    pub fn counter(&self) -> Counter {
        match self {
            Decision::Clone { .. } => Counter::Cloned,
            Decision::Pass => Counter::WritePassed,
            Decision::Refuse => Counter::WriteRefused,
            Decision::NoServer => Counter::NoServer,
            Decision::Single(_, why) => match why {
                Single::Busy => Counter::Busy,
                Single::Alone => Counter::Alone,
                Single::NoBuffer => Counter::NoBuffer,
                Single::Once => Counter::Once,
                Single::Write => Counter::Write,
                Single::Malformed => Counter::Malformed,
                Single::Retry => Counter::Retry,
                Single::Follow => Counter::Follow,
                Single::Full => Counter::Full,
                Single::Contended => Counter::Contended,
            },
        }
    }
}

impl Answer {
    /// What to count.
    #[must_use]
    pub fn counter(&self) -> Counter {
        match self {
            Answer::Unknown => Counter::Unknown,
            Answer::Contended => Counter::Contended,
            Answer::TooLate => Counter::TooLate,
            Answer::Forward(verdict) | Answer::Filter(verdict) => match verdict {
                Verdict::First => Counter::First,
                Verdict::Further => Counter::Further,
                Verdict::Slower => Counter::Slower,
                Verdict::Stale => Counter::Stale,
                Verdict::Duplicate => Counter::Duplicate,
                Verdict::NotAsked => Counter::NotAsked,
            },
        }
    }
}

/// What all packet cores share: the table, the loads, who is silent.
pub struct Plain {
    table: Table,
    loads: Loads,
    silence: Silence,
    seed: Seed,
    trial_interval: u64,
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain")
            .field("slots", &self.table.slots())
            .finish_non_exhaustive()
    }
}

impl Plain {
    /// Everything empty. `seed` is the secret of the table's hashes: random, and nobody's business.
    #[must_use]
    pub fn new(limits: &Limits, seed: [u64; 2]) -> Plain {
        Plain {
            table: Table::new(limits.slots_log2, limits.answer_timeout, limits.forget),
            loads: Loads::default(),
            silence: Silence::new(),
            seed: Seed(seed),
            trial_interval: limits.trial_interval,
        }
    }

    /// The servers' loads.
    #[must_use]
    pub fn loads(&self) -> &Loads {
        &self.loads
    }

    /// Who answers.
    #[must_use]
    pub fn silence(&self) -> &Silence {
        &self.silence
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Reads a client's datagram, and sends for the memory that [`Plain::on_request`] will look at:
    /// read a whole burst before the first decision.
    #[inline]
    #[must_use]
    pub fn read_request(&self, service: &Service, client: &Client, payload: &[u8]) -> Request {
        let mut hasher = self.seed.key(service.rules.number, client);
        let class = service.rules.protocol.request(payload, &mut hasher);
        let key = key::finish(&hasher);
        if class == Class::Malformed {
            return Request {
                class,
                key,
                digest: 0,
            };
        }
        self.table.touch(&key);
        let digest = self.seed.digest(payload);
        Request { class, key, digest }
    }

    /// Reads a datagram of one of the service's servers to `client`, and sends for memory as
    /// [`Plain::read_request`] does. `None`: it is no reply; let it pass as [`Answer::Unknown`],
    /// and count [`Counter::Unreadable`].
    #[inline]
    #[must_use]
    pub fn read_reply(&self, service: &Service, client: &Client, payload: &[u8]) -> Option<Reply> {
        let mut hasher = self.seed.key(service.rules.number, client);
        let part = service.rules.protocol.reply(payload, &mut hasher)?;
        let key = key::finish(&hasher);
        self.table.touch(&key);
        Some(Reply { key, part })
    }

    /// Where `request` goes; it is noted. `now` is nanoseconds of a clock that does not go back.
    #[must_use]
    pub fn on_request(&self, now: u64, request: &Request, asking: &Asking<'_>) -> Decision {
        let service = asking.service;
        if request.class == Class::Write {
            return match service.rules.writes {
                Writes::Drop => Decision::Refuse,
                Writes::Pass => Decision::Pass,
                Writes::Server(server) => {
                    let only = Candidates {
                        first: server,
                        second: None,
                    };
                    self.record(now, request, asking, only, true, Err(Single::Write))
                }
            };
        }
        let Some(mut candidates) = asking.candidates else {
            return Decision::NoServer;
        };
        let mut cloning = Err(Single::Once);
        match request.class {
            Class::Malformed => return Decision::Single(candidates.first, Single::Malformed),
            Class::Read | Class::ReadMany if !asking.may_clone => cloning = Err(Single::NoBuffer),
            Class::Read | Class::ReadMany => {
                if let Some(server) = self.trial(now, asking.standing) {
                    candidates.second = Some(server);
                    cloning = Ok(());
                } else {
                    cloning = self.balance(&mut candidates, service);
                }
            }
            Class::Once | Class::Quiet | Class::Write => {
                let _ = self.balance(&mut candidates, service);
            }
        }
        self.record(now, request, asking, candidates, false, cloning)
    }

    /// The second packet of a [`Decision::Clone`] could not be had: only the first server was asked.
    pub fn retract(&self, ticket: &Ticket) {
        self.table.retract(ticket, &self.loads);
    }

    /// What becomes of a reply of `server`.
    #[must_use]
    pub fn on_reply(&self, now: u64, reply: &Reply, server: u8) -> Answer {
        let known = self
            .table
            .reply(now, &reply.key, server, reply.part, &self.loads);
        match known {
            Known::Yes(_) => self.silence.answered(server),
            Known::No | Known::Contended => self.silence.heard(server),
        }
        match known {
            Known::Yes(verdict) if verdict.forwards() => Answer::Forward(verdict),
            Known::Yes(verdict) => Answer::Filter(verdict),
            Known::No => Answer::Unknown,
            Known::Contended => Answer::Contended,
        }
    }

    /// Looks after `count` slots of the table from `cursor` on; to be called every few milliseconds,
    /// so often that the whole table is seen well within the answer timeout.
    pub fn sweep(&self, now: u64, cursor: &mut usize, count: usize) -> Swept {
        self.table.sweep(now, cursor, count, &self.loads)
    }

    /// A server that is down and due to be tried.
    #[inline]
    fn trial(&self, now: u64, standing: &Standing) -> Option<u8> {
        if standing.down.is_empty() {
            return None;
        }
        let mut down = standing.down.iter();
        down.find(|server| self.silence.try_now(*server, now, self.trial_interval))
    }

    /// Puts the less busy candidate first, and says whether both are idle.
    fn balance(&self, candidates: &mut Candidates, service: &Service) -> Result<(), Single> {
        let Some(second) = candidates.second else {
            return Err(Single::Alone);
        };
        let loads = [candidates.first, second].map(|server| self.loads.outstanding(server));
        if loads[1] < loads[0] && service.rules.shorter {
            *candidates = Candidates {
                first: second,
                second: Some(candidates.first),
            };
        }
        if !service.rules.cloning {
            Err(Single::Alone)
        } else if loads
            .iter()
            .all(|load| *load <= service.rules.idle_threshold)
        {
            Ok(())
        } else {
            Err(Single::Busy)
        }
    }

    fn record(
        &self,
        now: u64,
        request: &Request,
        asking: &Asking<'_>,
        candidates: Candidates,
        fixed: bool,
        cloning: Result<(), Single>,
    ) -> Decision {
        let expect = match request.class {
            Class::Quiet => Expect::Perhaps,
            Class::ReadMany => Expect::Answers,
            Class::Read | Class::Once | Class::Write | Class::Malformed => Expect::Answer,
        };
        let ask = Ask {
            key: request.key,
            digest: request.digest,
            first: candidates.first,
            second: candidates.second,
            fixed,
            repeatable: matches!(request.class, Class::Read | Class::ReadMany | Class::Once),
            clone: cloning.is_ok(),
            expect,
            live: &asking.standing.live,
        };
        let asked = self.table.request(now, &ask, &self.loads);
        let why = cloning.err().unwrap_or(Single::Alone);
        let (server, why) = match (asked, candidates.second) {
            (Asked::Both(ticket), Some(second)) => {
                self.silence.asked(candidates.first, now);
                self.silence.asked(second, now);
                return Decision::Clone {
                    first: candidates.first,
                    second,
                    ticket,
                };
            }
            (Asked::Both(_) | Asked::First, _) => (candidates.first, why),
            (Asked::Retry(server), _) => (server, Single::Retry),
            (Asked::Follow(server), _) => (server, Single::Follow),
            (Asked::Full, _) => (candidates.first, Single::Full),
            (Asked::Contended, _) => (candidates.first, Single::Contended),
        };
        if expect != Expect::Perhaps {
            self.silence.asked(server, now);
        }
        Decision::Single(server, why)
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
