//! A world's description: hosts, appliances, segments, the links between them, and what happens to them.

pub mod check;
mod fault;
mod parts;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use fault::{Fault, FaultAction, HealthWord};
pub use parts::{
    ApplianceSpec, HostSpec, LinkSpec, PortSpec, ProgramSpec, ReceiveSpec, SegmentSpec, SendSpec,
    Steering,
};

/// A world and how long it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// For editors.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Its name, in results.
    #[serde(default = "default_name")]
    pub name: String,
    /// What it is for, in your own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Seed of everything that happens by chance.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// How long it runs, microseconds.
    #[schemars(range(min = 1))]
    pub duration_us: u64,
    /// Machines that run a program each.
    #[serde(default)]
    pub hosts: Vec<HostSpec>,
    /// Appliances.
    #[serde(default)]
    pub appliances: Vec<ApplianceSpec>,
    /// Learning switches.
    #[serde(default)]
    pub segments: Vec<SegmentSpec>,
    /// What connects them.
    #[serde(default)]
    pub links: Vec<LinkSpec>,
    /// What happens to them.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

fn default_name() -> String {
    "scenario".into()
}

fn default_seed() -> u64 {
    1
}

impl Scenario {
    /// The JSON schema of a scenario.
    pub fn schema() -> schemars::Schema {
        schemars::schema_for!(Scenario)
    }
}
