//! The settings of `work`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{JsonPath, Problems};
use crate::filter::check_filter;

/// The settings of a `work` stage. All of them change live.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorkConfig {
    /// Which packets cost anything, in tcpdump's language: `"udp port 53"`. Left out, all do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// What packets cost: each entry is a share of them and their time. What the shares leave over costs
    /// nothing.
    #[schemars(length(max = 16))]
    pub times: Vec<WorkTime>,
    /// What goes wrong, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// What a share of the packets costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkTime {
    /// Share of the packets, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
    /// Microseconds of processor time for each.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub us: f64,
    /// Each takes another time, exponentially distributed around `us`, instead of the same.
    #[serde(default)]
    pub exponential: bool,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// In which way.
    pub kind: FaultKind,
    /// At which packet of each shard, counted from when these settings came into force.
    #[schemars(range(min = 1))]
    pub at_packet: u64,
}

/// In which way a stage fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The handler panics.
    Panic,
    /// The handler never ends, but lets itself be stopped.
    Loop,
    /// The handler never ends, and cannot be stopped.
    Hang,
}

impl WorkConfig {
    pub(super) fn check(&self, path: &JsonPath, problems: &mut Problems) {
        if let Some(filter) = &self.filter {
            check_filter(filter, &path.key("filter"), "udp port 53", problems);
        }
        let shares: f64 = self.times.iter().map(|time| time.share).sum();
        if shares > 1.0 + 1e-9 {
            problems
                .error(&path.key("times"), "the shares are more than the whole")
                .found(shares)
                .allowed("at most 1, all together");
        }
    }
}
