//! Which servers are up, by the pings they answer and by their silence (a pure state machine: time and
//! totals in, pings and changes out).
//!
//! Every server is pinged every `interval`; after `fail` pings in a row without an answer it is down, after
//! `restore` answers in a row it is up again. A ping has no answer when none came within the interval, or
//! within the round trip as measured (RFC 6298, section 2) if that is longer: a server that is far away is
//! not down. That takes a while, so there is a shorter way for a server
//! under load: when a window of 10 ms has seen at least 32 requests go to it and no answer come, it
//! is pinged every millisecond, and `fail` of those unanswered are enough. And a server that does answer pings
//! but no request for long enough hangs: it is down too, for a second at first, twice as long each time it
//! does so again.

use crate::round_trip::{RoundTrip, SentAt, UNDER_WAY};

/// How often [`Health::step`] should be called, nanoseconds.
pub const STEP_NS: u64 = 1_000_000;

/// Length of the windows in which silence is looked for.
const WINDOW_NS: u64 = 10_000_000;

/// So many requests in a window without an answer are suspicious.
const SUSPICIOUS: u64 = 32;

/// A suspect is pinged so often.
const SUSPECT_INTERVAL_NS: u64 = 1_000_000;

/// How long a server that hangs stays down the first time, and at most.
const HANG_NS: u64 = 1_000_000_000;
const MAX_HANG_NS: u64 = 60_000_000_000;

/// What the state machine is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Nanoseconds between pings; 0 for no pings, so that only silence tells.
    pub interval_ns: u64,
    /// Unanswered pings in a row after which a server is down.
    pub fail: u32,
    /// Answered pings in a row after which it is up again.
    pub restore: u32,
    /// A server that gets requests and answers none for so many nanoseconds hangs, whatever its pings say;
    /// 0 for never.
    pub silence_ns: u64,
}

/// What the function knows of a server now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds.
    pub now: u64,
    /// Requests sent to it since the start, clones not counted: those it may drop.
    pub forwarded: u64,
    /// Its answers since the start.
    pub answered: u64,
    /// Number of the last ping that it answered.
    pub ponged: u64,
}

/// Why a server is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It does not answer pings.
    Pings,
    /// It answers no requests.
    Silence,
}

/// What has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Send the ping of that number.
    pub ping: Option<u64>,
    /// It is down from now on, or up again (`None`).
    pub change: Option<Option<Cause>>,
}

/// One server.
#[derive(Debug, Clone, Default)]
pub struct Health {
    down: Option<Cause>,
    /// Number of the last ping sent, and when; 0 if the next one is due at once.
    pinged: u64,
    pinged_at: u64,
    /// When each ping that is under way was sent, by its number.
    sent_at: SentAt,
    /// Number of the last ping of which is known whether it was answered in time.
    judged: u64,
    /// Number of the last answer seen.
    heard: u64,
    round_trip: RoundTrip,
    misses: u32,
    hits: u32,
    suspect: bool,
    window_began: u64,
    window_forwarded: u64,
    window_answered: u64,
    silent_windows: u32,
    /// For a server that hangs: when it may be tried again, and how long it is down next time.
    until: u64,
    next_hang_ns: u64,
    /// Up again after a hang, not heard since.
    on_trial: bool,
    started: bool,
}

impl Health {
    /// A server that is up until it is found not to be.
    pub fn new() -> Health {
        Health::default()
    }

    /// Why it is down; `None` when it is up.
    pub fn down(&self) -> Option<Cause> {
        self.down
    }

    /// Whether it is being looked at more closely.
    pub fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// To be called every [`STEP_NS`] or so.
    pub fn step(&mut self, pace: &Pace, seen: &Now) -> Outcome {
        if !self.started {
            self.started = true;
            // Answers to one that had this SID before are none of it.
            (self.pinged, self.judged, self.heard) = (seen.ponged, seen.ponged, seen.ponged);
            self.begin_window(seen);
        }
        let mut change = self.windows(pace, seen);
        let ping = self.pings(pace, seen, &mut change);
        if let Some(cause) = change {
            self.down = cause;
            (self.suspect, self.misses, self.hits, self.silent_windows) = (false, 0, 0, 0);
        }
        Outcome { ping, change }
    }

    fn begin_window(&mut self, seen: &Now) {
        self.window_began = seen.now;
        (self.window_forwarded, self.window_answered) = (seen.forwarded, seen.answered);
    }

    /// Looks whether the server is silent under load.
    fn windows(&mut self, pace: &Pace, seen: &Now) -> Option<Option<Cause>> {
        if seen.now.saturating_sub(self.window_began) < WINDOW_NS {
            return None;
        }
        let forwarded = seen.forwarded.wrapping_sub(self.window_forwarded);
        let answered = seen.answered.wrapping_sub(self.window_answered);
        self.begin_window(seen);
        if self.down.is_some() {
            return None;
        }
        if answered > 0 {
            (self.suspect, self.silent_windows) = (false, 0);
            if self.on_trial {
                (self.on_trial, self.next_hang_ns) = (false, 0);
            }
            return None;
        }
        if forwarded < SUSPICIOUS {
            return None;
        }
        if !self.suspect {
            // Pings of before are no part of the closer look.
            (self.suspect, self.misses) = (true, 0);
            (self.judged, self.pinged_at) = (self.pinged, 0);
        }
        self.silent_windows += 1;
        let silent_ns = u64::from(self.silent_windows) * WINDOW_NS;
        if pace.silence_ns == 0 || silent_ns < pace.silence_ns {
            return None;
        }
        let hang = self.next_hang_ns.clamp(HANG_NS, MAX_HANG_NS);
        self.until = seen.now.saturating_add(hang);
        self.next_hang_ns = hang.saturating_mul(2).min(MAX_HANG_NS);
        Some(Some(Cause::Silence))
    }

    /// Sends pings, and draws conclusions from their answers.
    fn pings(
        &mut self,
        pace: &Pace,
        seen: &Now,
        change: &mut Option<Option<Cause>>,
    ) -> Option<u64> {
        let may_return = self.down != Some(Cause::Silence) || seen.now >= self.until;
        if pace.interval_ns == 0 {
            if self.down.is_some() && may_return && change.is_none() {
                (*change, self.on_trial) = (Some(None), true);
            }
            return None;
        }
        let interval = match self.suspect {
            true => pace.interval_ns.min(SUSPECT_INTERVAL_NS),
            false => pace.interval_ns,
        };
        self.measure(seen);
        let wait = self.round_trip.wait(interval);
        while self.judged < self.pinged && change.is_none() {
            let number = self.judged + 1;
            let age = seen.now.saturating_sub(self.sent_at.get(number));
            let answered = seen.ponged >= number;
            // An answered one is judged in its turn too: an answer to a later ping is none to it.
            if age < if answered { interval } else { wait } {
                break;
            }
            self.judged = number;
            match answered {
                true => (self.hits, self.misses) = (self.hits.saturating_add(1), 0),
                false => (self.misses, self.hits) = (self.misses.saturating_add(1), 0),
            }
            *change = match self.down {
                None if self.misses >= pace.fail => Some(Some(Cause::Pings)),
                Some(_) if self.hits >= pace.restore && may_return => {
                    self.on_trial = self.down == Some(Cause::Silence);
                    Some(None)
                }
                _ => None,
            };
            if !answered {
                // After a pause of our own, answers to the others may be here before the next step.
                break;
            }
        }
        let is_due = self.pinged_at == 0 || seen.now.saturating_sub(self.pinged_at) >= interval;
        if !is_due || self.pinged - self.judged >= UNDER_WAY {
            return None;
        }
        self.pinged += 1;
        self.pinged_at = seen.now.max(1);
        self.sent_at.set(self.pinged, seen.now);
        Some(self.pinged)
    }

    /// Measures the round trip of the last ping that was answered.
    fn measure(&mut self, seen: &Now) {
        let is_new = seen.ponged > self.heard && seen.ponged <= self.pinged;
        self.heard = self.heard.max(seen.ponged);
        if is_new && self.pinged - seen.ponged < UNDER_WAY {
            let took = seen.now.saturating_sub(self.sent_at.get(seen.ponged));
            self.round_trip.learn(took);
        }
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
