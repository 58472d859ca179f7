//! What happens to the nodes and links of a world, and what its operators do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use workload::emulator::Health;

use crate::engine::LinkSettings;

/// How an emulated server is, in a word: `up`, `drain`, `kill`, `hang`, `slow:10`, `drop:5%`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct HealthWord(String);

impl HealthWord {
    /// What it means.
    pub fn health(&self) -> Health {
        self.0.parse().unwrap_or_default()
    }
}

impl TryFrom<String> for HealthWord {
    type Error = String;

    fn try_from(text: String) -> Result<HealthWord, String> {
        text.parse::<Health>().map(|_| HealthWord(text))
    }
}

impl From<HealthWord> for String {
    fn from(word: HealthWord) -> String {
        word.0
    }
}

/// Something that happens at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When, microseconds after the world's begin.
    pub at_us: u64,
    /// What.
    pub what: FaultAction,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultAction {
    /// A node dies and loses what it knew. After a while it starts anew from its settings.
    Crash {
        /// The node.
        node: String,
        /// For how long it is gone; left out, for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_us: Option<u64>,
    },
    /// A node, or one packet core of it, does nothing for a while; what comes meanwhile waits.
    Stall {
        /// The node.
        node: String,
        /// The packet core; left out, all of the node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        core: Option<u16>,
        /// For how long.
        for_us: u64,
    },
    /// A link is down.
    LinkDown {
        /// The link's name.
        link: String,
        /// For how long; left out, for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_us: Option<u64>,
    },
    /// Links behave otherwise for a while.
    LinkChange {
        /// The link's name.
        link: String,
        /// How it behaves meanwhile, in both directions.
        settings: LinkSettings,
        /// For how long; left out, for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_us: Option<u64>,
    },
    /// No link passes anything between these nodes and all others.
    Partition {
        /// The nodes on one side.
        nodes: Vec<String>,
        /// For how long; left out, for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_us: Option<u64>,
    },
    /// A node's time of day is set. Its monotonic clock goes on as before.
    ClockStep {
        /// The node.
        node: String,
        /// By how much, nanoseconds, forward or back.
        by_ns: i64,
    },
    /// An emulated server is ill, or well again.
    Health {
        /// The host.
        node: String,
        /// How it is: `up`, `drain`, `kill`, `hang`, `slow:10`, `drop:5%`.
        health: HealthWord,
        /// For how long; left out, for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_us: Option<u64>,
    },
    /// An appliance's operator runs a command of a stage.
    Command {
        /// The appliance.
        node: String,
        /// The stage's name.
        stage: String,
        /// The command.
        verb: String,
        /// Its arguments.
        #[serde(default)]
        arguments: Value,
    },
    /// An appliance's operator gives a stage new settings.
    Reload {
        /// The appliance.
        node: String,
        /// The stage's name.
        stage: String,
        /// The new settings.
        settings: Value,
    },
}
