//! `scheduler`: which stages run where, and who decides.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sched::policy::{Pin, Settings, Thresholds};

/// Moves stages away from the packet cores when their work makes others wait, and back. Left out, every
/// stage runs on the packet core that received the packet, whatever it costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulerConfig {
    /// Microseconds that a packet may take on average from its arrival to the end of what the packet
    /// core does with it. Above that, the stage that uses most of the packet cores goes to a worker; a fifth
    /// below it, stages come back.
    #[schemars(range(min = 0.1, max = 1_000_000.0))]
    pub slo_mean_us: f64,
    /// The same of the tail, taken as the mean and three deviations: above that, the stage whose service
    /// times vary most is run by deficit round robin, apart from the others.
    #[schemars(range(min = 0.1, max = 1_000_000.0))]
    pub slo_tail_us: f64,
    /// Milliseconds of processor time that a stage may take for what it is given at once. One that takes longer is
    /// taken out of service: packets pass it, and an alarm is raised.
    #[schemars(range(min = 1, max = 60_000))]
    pub watchdog_ms: u32,
    /// How it decides.
    pub policy: Settings,
    /// What is special about a stage, by its name in the chain.
    pub stages: BTreeMap<String, StagePlacement>,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            slo_mean_us: 50.0,
            slo_tail_us: 200.0,
            watchdog_ms: 10,
            policy: Settings::default(),
            stages: BTreeMap::new(),
        }
    }
}

impl SchedulerConfig {
    /// The thresholds: mean and tail, nanoseconds.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds {
            mean_ns: self.slo_mean_us * 1e3,
            tail_ns: self.slo_tail_us * 1e3,
        }
    }

    /// What is said of a stage, or the defaults.
    pub fn stage(&self, name: &str) -> StagePlacement {
        self.stages.get(name).copied().unwrap_or_default()
    }
}

/// What the scheduler has to know of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StagePlacement {
    /// Where it has to stay.
    pub pin: Pin,
    /// Packets that wait for one of its shards, at most, while it does not run inline.
    #[schemars(range(min = 2, max = 65_536))]
    pub mailbox: u32,
    /// Packets that wait, at most, while one of its shards is being moved.
    #[schemars(range(min = 2, max = 1_048_576))]
    pub hold_back: u32,
}

impl Default for StagePlacement {
    fn default() -> Self {
        Self {
            pin: Pin::Free,
            mailbox: 1024,
            hold_back: 8192,
        }
    }
}
