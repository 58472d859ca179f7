//! Which servers answer: unmodified servers send no probes' answers, so silence has to do.
//!
//! Packet cores count what they ask and note answers ([`Silence`]); the control side judges now and
//! then ([`Judge`]). A server that is down is still tried: now and then a read is cloned to it, which
//! costs its client nothing, and its answers bring it back.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::groups::{MAX_SERVERS, ServerSet};

/// One server, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Server {
    /// Requests since the last answer.
    asked: AtomicU32,
    /// Answers to requests that are known, all in all; wraps around.
    answers: AtomicU32,
    /// When the first request after the last answer was sent.
    since: AtomicU64,
    /// When a server that is down is tried again.
    trial: AtomicU64,
}

/// Requests and answers of each server. Shared by all packet cores; soft: a count may be lost where
/// two cores write at once.
#[derive(Debug)]
pub struct Silence(Box<[Server]>);

impl Default for Silence {
    fn default() -> Self {
        Silence::new()
    }
}

impl Silence {
    /// Nobody was asked.
    #[must_use]
    pub fn new() -> Silence {
        Silence((0..MAX_SERVERS).map(|_| Server::default()).collect())
    }

    /// `server` was sent a request that it should answer.
    #[inline]
    pub fn asked(&self, server: u8, now: u64) {
        if let Some(server) = self.0.get(usize::from(server)) {
            let asked = server.asked.load(Ordering::Relaxed);
            if asked == 0 {
                server.since.store(now, Ordering::Relaxed);
            }
            server
                .asked
                .store(asked.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// `server` sent something, whatever it is.
    #[inline]
    pub fn heard(&self, server: u8) {
        if let Some(server) = self.0.get(usize::from(server))
            && server.asked.load(Ordering::Relaxed) != 0
        {
            server.asked.store(0, Ordering::Relaxed);
        }
    }

    /// `server` answered a request that is known.
    #[inline]
    pub fn answered(&self, server: u8) {
        self.heard(server);
        if let Some(server) = self.0.get(usize::from(server)) {
            let answers = server.answers.load(Ordering::Relaxed);
            server
                .answers
                .store(answers.wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Requests since the last answer, and how long ago the first of them was sent, nanoseconds.
    #[must_use]
    pub fn of(&self, server: u8, now: u64) -> (u32, u64) {
        self.0.get(usize::from(server)).map_or((0, 0), |server| {
            let asked = server.asked.load(Ordering::Relaxed);
            let since = server.since.load(Ordering::Relaxed);
            (
                asked,
                if asked == 0 {
                    0
                } else {
                    now.saturating_sub(since)
                },
            )
        })
    }

    /// Answers to known requests so far; wraps around.
    #[must_use]
    pub fn answers(&self, server: u8) -> u32 {
        self.0
            .get(usize::from(server))
            .map_or(0, |server| server.answers.load(Ordering::Relaxed))
    }

    /// Whether `server`, which is down, is to be tried now; true for one caller every `interval`.
    #[inline]
    #[must_use]
    pub fn try_now(&self, server: u8, now: u64, interval: u64) -> bool {
        self.0.get(usize::from(server)).is_some_and(|server| {
            let due = server.trial.load(Ordering::Relaxed);
            now >= due
                && server
                    .trial
                    .compare_exchange(due, now + interval, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
        })
    }
}

/// How long silence is borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A server is down when it was sent at least 32 requests and has answered none for so long,
    /// nanoseconds; or at least 3, and twenty times as long. 0: never.
    pub silence: u64,
    /// Answers that bring it back, to requests that are known: a server that hung first says what it has
    /// to say of older ones, while it still counts as down.
    pub answers: u32,
}

/// So many requests without an answer are suspicious.
const MANY: u32 = 32;
/// So many are, after a longer time.
const FEW: u32 = 3;
const LONGER: u64 = 20;

/// Who is down, by the control side's judgement.
#[derive(Debug)]
pub struct Judge {
    down: ServerSet,
    /// Answers when the server went down.
    answers: Box<[u32]>,
}

impl Default for Judge {
    fn default() -> Self {
        Judge::new()
    }
}

impl Judge {
    /// Nobody is down.
    #[must_use]
    pub fn new() -> Judge {
        Judge {
            down: ServerSet::EMPTY,
            answers: vec![0; MAX_SERVERS].into(),
        }
    }

    /// Who is down.
    #[must_use]
    pub fn down(&self) -> &ServerSet {
        &self.down
    }

    /// Looks at `server` once more: `Some(true)` if it went down, `Some(false)` if it came back.
    pub fn look(
        &mut self,
        now: u64,
        patience: Patience,
        silence: &Silence,
        server: u8,
    ) -> Option<bool> {
        let (asked, age) = silence.of(server, now);
        let answers = silence.answers(server);
        let at_fall = self.answers.get_mut(usize::from(server))?;
        if self.down.has(server) {
            if answers.wrapping_sub(*at_fall) < patience.answers {
                return None;
            }
            self.down.remove(server);
            return Some(false);
        }
        let limit = patience.silence;
        let is_silent = (asked >= MANY && age >= limit)
            || (asked >= FEW && age >= limit.saturating_mul(LONGER));
        if !is_silent || limit == 0 {
            return None;
        }
        self.down.insert(server);
        *at_fall = answers;
        Some(true)
    }

    /// Forgets what it thought of `server`.
    pub fn forget(&mut self, server: u8) {
        self.down.remove(server);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const PATIENCE: Patience = Patience {
        silence: 10 * MS,
        answers: 5,
    };

    #[test]
    fn x06_a_server_that_is_asked_and_silent_is_down_and_its_answers_bring_it_back() {
        let silence = Silence::new();
        let mut judge = Judge::new();
        for n in 0..40 {
            silence.asked(1, n * MS / 10);
            silence.asked(2, n * MS / 10);
            silence.answered(2);
        }
        let mut look = |at: u64, server: u8| judge.look(at * MS, PATIENCE, &silence, server);
        assert_eq!([1, 2, 3].map(|server| look(9, server)), [None; 3]);
        assert_eq!(
            [1, 2, 3].map(|server| look(10, server)),
            [Some(true), None, None]
        );
        assert_eq!(look(11, 1), None);
        for _ in 0..5 {
            assert_eq!(look(12, 1), None);
            silence.answered(1);
        }
        assert_eq!(look(13, 1), Some(false));
        // Down again only after silence again.
        assert_eq!(look(500, 1), None);
        for n in 500..540 {
            silence.asked(1, n * MS);
        }
        assert_eq!(look(540, 1), Some(true));
        assert!(judge.down().has(1) && !judge.down().has(2));
        judge.forget(1);
        assert!(!judge.down().has(1));
    }

    #[test]
    fn a_quiet_service_takes_longer_and_a_lost_packet_is_no_death() {
        let silence = Silence::new();
        let mut judge = Judge::new();
        silence.asked(1, 0);
        silence.asked(1, MS);
        assert_eq!(judge.look(5_000 * MS, PATIENCE, &silence, 1), None);
        silence.asked(1, 2 * MS);
        assert_eq!(judge.look(199 * MS, PATIENCE, &silence, 1), None);
        assert_eq!(judge.look(200 * MS, PATIENCE, &silence, 1), Some(true));
    }

    #[test]
    fn patience_without_end() {
        let silence = Silence::new();
        (0..100).for_each(|_| silence.asked(1, 0));
        let patience = Patience {
            silence: 0,
            answers: 1,
        };
        assert_eq!(Judge::new().look(u64::MAX, patience, &silence, 1), None);
    }

    #[test]
    fn a_server_that_is_down_is_tried_once_an_interval() {
        let silence = Silence::new();
        assert!(silence.try_now(1, 10, 100));
        assert!(!silence.try_now(1, 109, 100));
        assert!(silence.try_now(1, 110, 100));
        assert!(silence.try_now(2, 110, 100));
    }
}
