//! All numbers of one moment.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::telemetry::{CoreSnapshot, PortSnapshot, StageSnapshot};

/// All numbers of one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// Stages in the order in which they were added.
    pub stages: Vec<StageEntry>,
    /// Cores by number.
    pub cores: BTreeMap<usize, CoreSnapshot>,
    /// Queues of ports, by name and number.
    pub ports: Vec<PortEntry>,
}

impl Snapshot {
    /// The stage of that name.
    pub fn stage(&self, name: &str) -> Option<&StageEntry> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// The port of that name, its queues summed.
    pub fn port(&self, name: &str) -> PortSnapshot {
        let mut total = PortSnapshot::default();
        for entry in self.ports.iter().filter(|entry| entry.port == name) {
            total.merge(&entry.counters);
        }
        total
    }
}

/// The numbers of one stage.
#[derive(Clone, Debug, Serialize)]
pub struct StageEntry {
    /// Its name in the config.
    pub name: String,
    /// The name of its type.
    pub kind: String,
    /// Of all cores.
    pub total: StageSnapshot,
    /// Of each core.
    pub cores: BTreeMap<usize, StageSnapshot>,
}

/// The numbers of one queue of a port.
#[derive(Clone, Debug, Serialize)]
pub struct PortEntry {
    /// The port's name in the config.
    pub port: String,
    /// Number of the queue.
    pub queue: u16,
    /// Its numbers.
    pub counters: PortSnapshot,
}
