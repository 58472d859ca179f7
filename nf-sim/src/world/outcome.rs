//! What came of a run.

use nf_core::telemetry::Snapshot;
use serde::Serialize;
use serde_json::Value;

use super::World;
use crate::engine::LinkCounters;
use crate::node::{ApplianceCounters, HostCounters, Node, SegmentCounters, StackCounters};

/// What came of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// Its seed.
    pub seed: u64,
    /// Hash of everything that happened: two runs with the same hash were the same run.
    pub trace_hash: String,
    /// Nanoseconds of virtual time.
    pub virtual_ns: u64,
    /// Events that happened.
    pub events: u64,
    /// Frames that reached a host or an appliance.
    pub delivered: u64,
    /// The nodes, in the scenario's order.
    pub nodes: Vec<NodeOutcome>,
    /// The links, by name; from the first end to the second, and back.
    pub links: Vec<LinkOutcome>,
    /// What orders were answered.
    pub answers: Vec<(u64, Result<Value, String>)>,
    /// What must not be. Empty after a good run.
    pub violations: Vec<String>,
}

/// A link's two directions.
#[derive(Debug, Clone, Serialize)]
pub struct LinkOutcome {
    /// Its name.
    pub name: String,
    /// From the first end to the second.
    pub there: LinkCounters,
    /// From the second end to the first.
    pub back: LinkCounters,
}

/// What came of a node.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "node", rename_all = "snake_case")]
pub enum NodeOutcome {
    /// A host.
    Host {
        /// Its name.
        name: String,
        /// What it has done.
        counters: HostCounters,
        /// What its stack has done, life by life.
        stacks: Vec<StackCounters>,
        /// What its program has measured, life by life.
        results: Vec<Value>,
    },
    /// An appliance.
    Appliance {
        /// Its name.
        name: String,
        /// What it has done beside its stages.
        counters: ApplianceCounters,
        /// What its stages have done, in all its lives.
        telemetry: Box<Snapshot>,
    },
    /// A segment.
    Segment {
        /// Its name.
        name: String,
        /// What it has done.
        counters: SegmentCounters,
    },
}

impl Outcome {
    /// The results of a host's program, life by life.
    pub fn results(&self, host: &str) -> &[Value] {
        let mut hosts = self.nodes.iter().filter_map(|node| match node {
            NodeOutcome::Host { name, results, .. } if name == host => Some(results.as_slice()),
            _ => None,
        });
        hosts.next().unwrap_or_default()
    }
}

impl World {
    /// Ends the world: looks whether everything is accounted for, and gives what came of it.
    pub fn finish(mut self) -> Outcome {
        let mut nodes = Vec::new();
        for node in &mut self.nodes {
            nodes.push(match node {
                Node::Host(host) => {
                    let outcome = NodeOutcome::Host {
                        name: host.spec.name.clone(),
                        counters: host.counters,
                        stacks: host.stacks().collect(),
                        results: host.programs().map(|program| program.results()).collect(),
                    };
                    host.crash(&mut self.fabric);
                    outcome
                }
                Node::Appliance(appliance) => {
                    let telemetry = Box::new(appliance.snapshot());
                    appliance.crash(&mut self.fabric);
                    for violation in appliance.violations.drain(..) {
                        self.violations
                            .push(format!("{}: {violation}", appliance.spec.name));
                    }
                    NodeOutcome::Appliance {
                        name: appliance.spec.name.clone(),
                        counters: appliance.counters,
                        telemetry,
                    }
                }
                Node::Segment(segment) => NodeOutcome::Segment {
                    name: segment.name.clone(),
                    counters: segment.counters,
                },
            });
        }
        self.check_frames();
        let counters = |index: u32| {
            self.fabric
                .links
                .get(index as usize)
                .map(|link| link.counters)
        };
        let links = self.links.iter().map(|(name, [there, back])| LinkOutcome {
            name: name.clone(),
            there: counters(*there).unwrap_or_default(),
            back: counters(*back).unwrap_or_default(),
        });
        Outcome {
            scenario: self.scenario.name.clone(),
            seed: self.scenario.seed,
            trace_hash: format!("{:016x}", self.fabric.trace.value()),
            virtual_ns: self.fabric.now,
            events: self.events,
            delivered: self.delivered,
            nodes,
            links: links.collect(),
            answers: self.answers,
            violations: self.violations,
        }
    }

    /// With all nodes gone, the frames that there are must be those on the links.
    fn check_frames(&mut self) {
        let left = self.fabric.frames.in_use();
        let on_links = self.fabric.events.frames();
        if left != on_links {
            let text = format!("{left} frames have not ended, and {on_links} are on links");
            self.violations.push(text);
        }
    }
}
