//! Which servers are up, by the pings they answer and by their silence (a pure state machine: time and
//! totals in, pings and changes out).
//!
//! Every server is pinged every `interval`; after `fail` pings in a row without an answer it is down, after
//! `restore` answers in a row it is up again. That takes a while, so there is a shorter way for a server
//! under load: when a window of 10 ms has seen at least 32 requests go to it and no answer come, it
//! is pinged every millisecond, and `fail` of those unanswered are enough. And a server that does answer pings
//! but no request for long enough hangs: it is down too, for a second at first, twice as long each time it
//! does so again.

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
    /// Number of the last ping sent, and when.
    pinged: u64,
    pinged_at: u64,
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
            // Pings that were missed before are no part of the closer look.
            (self.suspect, self.misses) = (true, 0);
            self.pinged_at = 0;
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
        if self.pinged_at != 0 && seen.now.saturating_sub(self.pinged_at) < interval {
            return None;
        }
        if self.pinged_at != 0 {
            if seen.ponged >= self.pinged {
                (self.hits, self.misses) = (self.hits.saturating_add(1), 0);
            } else {
                (self.misses, self.hits) = (self.misses.saturating_add(1), 0);
            }
            if change.is_none() {
                *change = match self.down {
                    None if self.misses >= pace.fail => Some(Some(Cause::Pings)),
                    Some(_) if self.hits >= pace.restore && may_return => {
                        self.on_trial = self.down == Some(Cause::Silence);
                        Some(None)
                    }
                    _ => None,
                };
            }
        }
        self.pinged += 1;
        self.pinged_at = seen.now.max(1);
        Some(self.pinged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        interval_ns: 10_000_000,
        fail: 3,
        restore: 5,
        silence_ns: 50_000_000,
    };

    /// What a server is like for a while.
    #[derive(Clone, Copy)]
    struct Like {
        pongs: bool,
        requests_per_ms: u64,
        answers: bool,
    }

    const WELL: Like = Like {
        pongs: true,
        requests_per_ms: 100,
        answers: true,
    };
    const DEAD: Like = Like {
        pongs: false,
        requests_per_ms: 100,
        answers: false,
    };
    const HUNG: Like = Like {
        pongs: true,
        ..DEAD
    };

    struct World {
        health: Health,
        pace: Pace,
        seen: Now,
        pings: u64,
    }

    impl World {
        fn new(pace: Pace) -> World {
            let seen = Now {
                now: 1,
                forwarded: 0,
                answered: 0,
                ponged: 0,
            };
            World {
                health: Health::new(),
                pace,
                seen,
                pings: 0,
            }
        }

        /// Runs for so many milliseconds; gives when (ms from now) it changed, and to what.
        fn run(&mut self, ms: u64, like: Like) -> Vec<(u64, Option<Cause>)> {
            let mut changes = Vec::new();
            for at in 0..ms {
                let outcome = self.health.step(&self.pace, &self.seen);
                if let Some(change) = outcome.change {
                    changes.push((at, change));
                }
                self.pings += u64::from(outcome.ping.is_some());
                if let (Some(ping), true) = (outcome.ping, like.pongs) {
                    self.seen.ponged = ping;
                }
                self.seen.now += STEP_NS;
                // Nothing is sent to a server that is down.
                let requests = match self.health.down() {
                    None => like.requests_per_ms,
                    Some(_) => 0,
                };
                self.seen.forwarded += requests;
                self.seen.answered += if like.answers { requests } else { 0 };
            }
            changes
        }
    }

    #[test]
    fn f22_a_dead_server_under_load_is_found_within_50_ms() {
        let mut world = World::new(PACE);
        assert_eq!(world.run(500, WELL), []);
        let changes = world.run(500, DEAD);
        let [(after, Some(Cause::Pings))] = changes[..] else {
            panic!("{changes:?}");
        };
        assert!(after < 50, "{after} ms");
    }

    #[test]
    fn f22_a_dead_server_without_load_is_found_too() {
        let idle = Like {
            requests_per_ms: 0,
            ..WELL
        };
        let mut world = World::new(PACE);
        assert_eq!(world.run(500, idle), []);
        let changes = world.run(
            500,
            Like {
                pongs: false,
                ..idle
            },
        );
        assert_eq!(changes.len(), 1);
        assert!(changes[0].0 <= 40, "{changes:?}");
    }

    #[test]
    fn f22_five_answers_in_a_row_bring_it_back() {
        let mut world = World::new(PACE);
        world.run(100, DEAD);
        assert_eq!(world.health.down(), Some(Cause::Pings));
        // Every other ping is answered: never five in a row.
        for _ in 0..20 {
            assert_eq!(world.run(10, WELL), []);
            assert_eq!(world.run(10, DEAD), []);
        }
        let changes = world.run(200, WELL);
        let [(after, None)] = changes[..] else {
            panic!("{changes:?}");
        };
        assert!((40..=70).contains(&after), "{after} ms");
    }

    #[test]
    fn x06_a_server_that_hangs_is_found_by_its_silence() {
        let mut world = World::new(PACE);
        assert_eq!(world.run(500, WELL), []);
        let changes = world.run(900, HUNG);
        let [(after, Some(Cause::Silence))] = changes[..] else {
            panic!("{changes:?}");
        };
        assert!(after <= 70, "{after} ms");
        // It is tried again after a second, and found out again.
        let changes = world.run(1000, HUNG);
        assert_eq!(changes.len(), 2, "{changes:?}");
        assert!(changes[1].0 - changes[0].0 <= 70, "{changes:?}");
        // The next time only after two seconds.
        assert_eq!(world.run(1100, HUNG), []);
        let changes = world.run(2000, WELL);
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!(world.health.down(), None);
    }

    #[test]
    fn x06_without_a_limit_a_silent_server_that_answers_pings_stays() {
        let mut world = World::new(Pace {
            silence_ns: 0,
            ..PACE
        });
        assert_eq!(world.run(5000, HUNG), []);
    }

    #[test]
    fn x06_a_slow_server_is_not_a_dead_one() {
        // A tenth of the answers, but some in every window.
        let mut world = World::new(PACE);
        for _ in 0..100 {
            let slow = Like {
                answers: false,
                ..WELL
            };
            assert_eq!(world.run(9, slow), []);
            assert_eq!(world.run(1, WELL), []);
        }
    }

    #[test]
    fn without_pings_silence_tells_and_time_brings_back() {
        let mut world = World::new(Pace {
            interval_ns: 0,
            ..PACE
        });
        assert_eq!(world.run(200, WELL), []);
        let changes = world.run(100, DEAD);
        let [(after, Some(Cause::Silence))] = changes[..] else {
            panic!("{changes:?}");
        };
        assert!(after <= 60, "{after} ms");
        assert_eq!(world.pings, 0);
        let changes = world.run(2000, WELL);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].1, None);
    }

    #[test]
    fn x13_time_that_stands_still_or_jumps_does_no_harm() {
        let mut world = World::new(PACE);
        world.run(100, WELL);
        for _ in 0..1000 {
            assert_eq!(world.health.step(&world.pace, &world.seen).change, None);
        }
        // An hour passes in which nothing ran: one missed ping at most.
        world.seen.now += 3_600_000_000_000;
        assert_eq!(world.run(100, WELL), []);
    }
}
