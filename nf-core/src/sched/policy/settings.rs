//! The parameters, all of which can be changed while it runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When the groups help each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Helping {
    /// Never: each core does the work of its own group, as published.
    Strict,
    /// An idle core of the round-robin group takes what comes in; an idle core of the other group helps
    /// as long as at most half of them do.
    #[default]
    Half,
    /// Without a limit.
    Full,
}

/// What latency is too much, nanoseconds, for the operations of the first come, first served group.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Limit of the mean.
    pub mean_ns: f64,
    /// Limit of the tail: mean and three deviations.
    pub tail_ns: f64,
}

/// How the scheduler decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Hysteresis: something that was moved at a threshold is moved back below this share less of it.
    #[schemars(range(min = 0.01, max = 0.99))]
    pub hysteresis: f64,
    /// How far an actor's service time must stand out from the others' before it is moved between the
    /// groups: mean and three deviations, as a multiple.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub stand_out: f64,
    /// Share of its mailbox that an actor under round robin may fill before it is moved to a worker.
    #[schemars(range(min = 0.01, max = 0.99))]
    pub mailbox_share: f64,
    /// Microseconds between decisions.
    #[schemars(range(min = 50, max = 1_000_000))]
    pub control_period_us: u64,
    /// After a move between groups, so many new messages must have been seen before the next decision…
    #[schemars(range(min = 1, max = 10_000_000))]
    pub hold_off_samples: u64,
    /// …and so many milliseconds have passed…
    #[schemars(range(min = 0, max = 60_000))]
    pub hold_off_ms: u64,
    /// …but after so many milliseconds it is judged in any case.
    #[schemars(range(min = 1, max = 60_000))]
    pub hold_off_at_most_ms: u64,
    /// After a migration an actor stays where it is for so many milliseconds. Doubles each time it is
    /// moved back and forth…
    #[schemars(range(min = 0, max = 60_000))]
    pub cool_down_ms: u64,
    /// …up to this.
    #[schemars(range(min = 0, max = 600_000))]
    pub cool_down_at_most_ms: u64,
    /// Messages of an actor that are handled in one turn of the round robin, as far as its deficit goes.
    #[schemars(range(min = 1, max = 64))]
    pub drr_burst: u16,
    /// What the use of the packet cores may be, at most, after an actor has been pulled back.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub pull_headroom: f64,
    /// Use of a group from which on it asks the other for a core.
    #[schemars(range(min = 0.1, max = 1.0))]
    pub group_full: f64,
    /// Milliseconds between two cores that change groups, at least.
    #[schemars(range(min = 1, max = 60_000))]
    pub scaling_period_ms: u64,
    /// When the groups help each other.
    pub helping: Helping,
    /// Whether actors are moved between first come, first served and round robin.
    pub grouping: bool,
    /// Whether actors are moved to and from worker cores.
    pub migration: bool,
    /// Milliseconds between samples for overload and for starved transit traffic.
    #[schemars(range(min = 1, max = 60_000))]
    pub overload_period_ms: u64,
    /// How much slower than usual an actor must be to count as overloaded, as a share.
    #[schemars(range(min = 0.01, max = 10.0))]
    pub overload_share: f64,
    /// For how many samples in a row.
    #[schemars(range(min = 1, max = 100))]
    pub overload_samples: u32,
    /// Packets waiting in a port's receive ring that count as a standing queue.
    #[schemars(range(min = 1, max = 65_535))]
    pub standing_queue: u32,
    /// Share of one core from which on an actor that runs on one core at a time is reported as too
    /// busy: no scheduler helps it, it has to be split.
    #[schemars(range(min = 0.1, max = 1.0))]
    pub one_core_alarm: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hysteresis: 0.2,
            stand_out: 2.0,
            mailbox_share: 0.5,
            control_period_us: 500,
            hold_off_samples: 2_000,
            hold_off_ms: 5,
            hold_off_at_most_ms: 1_000,
            cool_down_ms: 100,
            cool_down_at_most_ms: 10_000,
            drr_burst: 8,
            pull_headroom: 0.8,
            group_full: 0.95,
            scaling_period_ms: 10,
            helping: Helping::Half,
            grouping: true,
            migration: true,
            overload_period_ms: 50,
            overload_share: 0.2,
            overload_samples: 3,
            standing_queue: 64,
            one_core_alarm: 0.9,
        }
    }
}
