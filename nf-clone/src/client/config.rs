//! What a client is told before it begins.

use std::time::Duration;

use thiserror::Error;

use crate::message::DEFAULT_PACKET_PAYLOAD;
use crate::random::Random;
use crate::reassembly::Limits;

/// Most filter tables that an appliance has.
pub const MAX_TABLES: u8 = 16;

/// Settings of a [`Client`](super::Client).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// CLIENT_ID, not 0. Has to differ from every other client's, and from that of the same program before
    /// it was started again: late responses would be taken for answers.
    pub client_id: u32,
    /// The first CLIENT_SEQ.
    pub first_seq: u32,
    /// Groups of the appliance, at least 1: n(n-1) with n servers. One number too high gets requests
    /// refused, one too low leaves servers without a part of the load.
    pub groups: u32,
    /// Filter tables of the appliance, 1 to 16.
    pub tables: u8,
    /// CFG_GEN: the generation of the group table that `groups` is from, 0 when not known.
    pub cfg_gen: u16,
    /// How long the first answer is waited for, not 0.
    pub timeout: Duration,
    /// How often a request is sent again before it is given up. Never done with writes that may not run
    /// twice.
    pub retries: u32,
    /// Each wait is this many times the one before: 1 or more.
    pub backoff: u32,
    /// The last 2^n requests are remembered to tell duplicates from answers: 1 to 24. At most as many can
    /// be in flight. 4 bytes each.
    pub window_log2: u8,
    /// Requests carry an id that the client chooses (flag CID). Those of several packets always do.
    pub client_ids: bool,
    /// Forbids cloning.
    pub no_clone: bool,
    /// Payload bytes in a packet, at least 1.
    pub packet_payload: usize,
    /// Answers of several packets that are put together at a time.
    pub reassembly: Limits,
}

impl Config {
    /// Defaults for an appliance with that many groups: 2 tables, a fresh CLIENT_ID, 3 retries after
    /// 100 ms, 200 ms, ..., a window of 2^20.
    pub fn new(groups: u32) -> Config {
        Config {
            client_id: fresh_client_id(),
            first_seq: 0,
            groups,
            tables: 2,
            cfg_gen: 0,
            timeout: Duration::from_millis(100),
            retries: 3,
            backoff: 2,
            window_log2: 20,
            client_ids: false,
            no_clone: false,
            packet_payload: DEFAULT_PACKET_PAYLOAD,
            reassembly: Limits::default(),
        }
    }

    /// Groups of `servers` servers: every ordered pair.
    pub const fn groups_of(servers: u32) -> u32 {
        servers.saturating_mul(servers.saturating_sub(1))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let (what, is_right) = [
            ("client_id must not be 0", self.client_id != 0),
            ("groups must be at least 1", self.groups >= 1),
            (
                "tables must be 1 to 16",
                (1..=MAX_TABLES).contains(&self.tables),
            ),
            ("timeout must not be 0", !self.timeout.is_zero()),
            ("retries must be at most 32", self.retries <= 32),
            ("backoff must be at least 1", self.backoff >= 1),
            (
                "window_log2 must be 1 to 24",
                (1..=24).contains(&self.window_log2),
            ),
            (
                "packet_payload must be at least 1",
                self.packet_payload >= 1,
            ),
        ]
        .into_iter()
        .find(|(_, is_right)| !is_right)
        .unwrap_or(("", true));
        if is_right {
            Ok(())
        } else {
            Err(ConfigError(what))
        }
    }
}

/// A random CLIENT_ID for a process that starts.
pub fn fresh_client_id() -> u32 {
    let seed = Random::fresh_seed();
    ((seed >> 32) as u32 ^ seed as u32).max(1)
}

/// A setting that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConfigError(pub &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_are_refused() {
        let right = Config::new(30);
        assert_eq!(right.check(), Ok(()));
        assert_eq!(Config::groups_of(6), 30);
        assert_eq!(Config::groups_of(0), 0);
        let wrong = [
            Config {
                client_id: 0,
                ..right.clone()
            },
            Config {
                groups: 0,
                ..right.clone()
            },
            Config {
                tables: 0,
                ..right.clone()
            },
            Config {
                tables: 17,
                ..right.clone()
            },
            Config {
                timeout: Duration::ZERO,
                ..right.clone()
            },
            Config {
                retries: 33,
                ..right.clone()
            },
            Config {
                backoff: 0,
                ..right.clone()
            },
            Config {
                window_log2: 0,
                ..right.clone()
            },
            Config {
                window_log2: 25,
                ..right.clone()
            },
            Config {
                packet_payload: 0,
                ..right.clone()
            },
        ];
        for config in wrong {
            assert!(config.check().is_err(), "{config:?}");
        }
        assert_ne!(fresh_client_id(), fresh_client_id());
    }
}
