//! A world: its nodes, what lies between them, and its time.

mod build;
mod faults;
mod outcome;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use nf_core::dpdk::Eal;

use crate::engine::{Delivery, Event, Fabric, FrameId, LinkSettings, What};
use crate::kinds::Kinds;
use crate::node::{Appliance, Host, Node};
use crate::scenario::Scenario;

pub use outcome::{LinkOutcome, NodeOutcome, Outcome};

/// Events at one and the same nanosecond after which a world is taken to be stuck.
const STUCK: u64 = 10_000_000;

/// A world in virtual time. Everything in it follows from its scenario, its seed included.
pub struct World {
    scenario: Arc<Scenario>,
    kinds: Arc<Kinds>,
    nodes: Vec<Node>,
    by_name: BTreeMap<String, u32>,
    /// By name of a link, its two directions; and the ends (node, port) they lead away from.
    links: BTreeMap<String, [u32; 2]>,
    fabric: Fabric,
    /// By number of a fault, what links were before it.
    before: BTreeMap<u32, Vec<(u32, LinkSettings)>>,
    delivered: u64,
    events: u64,
    violations: Vec<String>,
    answers: Vec<(u64, Result<serde_json::Value, String>)>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("scenario", &self.scenario.name)
            .field("now", &self.fabric.now)
            .finish_non_exhaustive()
    }
}

impl World {
    /// Builds the world of a scenario that has passed its check, and starts its nodes.
    pub fn new(
        scenario: Scenario,
        kinds: &Arc<Kinds>,
        eal: &'static Eal,
    ) -> Result<World, crate::node::BuildFailed> {
        build::build(scenario, kinds, eal)
    }

    /// Nanoseconds since it began.
    pub fn now(&self) -> u64 {
        self.fabric.now
    }

    /// Its description.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Frames that have reached a host or an appliance.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Events that have happened, deliveries over links without delay aside.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Hash of all that has happened.
    pub fn trace_hash(&self) -> u64 {
        self.fabric.trace.value()
    }

    /// Buffers for frames there are: the most that were on their way at a time.
    pub fn frame_buffers(&self) -> usize {
        self.fabric.frames.buffers()
    }

    /// What commands have answered, with the nanosecond at which they ran.
    pub fn answers(&self) -> &[(u64, Result<serde_json::Value, String>)] {
        &self.answers
    }

    /// Lets time pass until `until`, nanoseconds; what happens at that very moment still happens.
    pub fn run_until(&mut self, until: u64) {
        let mut at_once = 0u64;
        while let Some(event) = self.fabric.events.pop(until) {
            at_once = if event.at == self.fabric.now {
                at_once + 1
            } else {
                0
            };
            if at_once > STUCK {
                let text = format!(
                    "nothing but events at {} ns: a program's time does not go on",
                    event.at
                );
                self.violations.push(text);
                return;
            }
            self.fabric.now = event.at;
            self.events += 1;
            self.happen(event);
            while let Some(delivery) = self.fabric.at_once() {
                self.deliver(delivery);
            }
        }
        self.fabric.now = self.fabric.now.max(until);
    }

    /// Lets all of the scenario's time pass.
    pub fn run(&mut self) {
        self.run_until(self.scenario.duration_us.saturating_mul(1_000));
    }

    #[inline]
    fn happen(&mut self, event: Event) {
        let Event {
            node,
            life,
            argument,
            port,
            what,
            ..
        } = event;
        if what == What::Arrive {
            return self.deliver(Delivery {
                node,
                port,
                frame: FrameId(argument),
            });
        }
        let who = u64::from(node) << 32 | u64::from(argument);
        self.fabric.trace.add(event.at, who ^ (what as u64) << 56);
        match what {
            What::Arrive => {}
            What::Fault => self.fault(argument),
            What::Mend => self.mend(argument),
            What::Restart => self.restart(node, life),
            _ => {
                let fabric = &mut self.fabric;
                match (self.nodes.get_mut(node as usize), what) {
                    (Some(Node::Host(host)), _) if host.identity.life != life => {}
                    (Some(Node::Appliance(appliance)), _) if appliance.identity.life != life => {}
                    (Some(Node::Host(host)), What::Received) => host.received(fabric),
                    (Some(Node::Host(host)), What::Timer) => host.timer(fabric),
                    (Some(Node::Appliance(appliance)), What::Poll) => {
                        appliance.poll(argument, fabric)
                    }
                    (Some(Node::Appliance(appliance)), What::Expire) => {
                        appliance.expire(argument, fabric)
                    }
                    (Some(Node::Appliance(appliance)), What::Tick) => appliance.tick(fabric),
                    _ => {}
                }
            }
        }
    }

    #[inline]
    fn deliver(&mut self, delivery: Delivery) {
        let Delivery { node, port, frame } = delivery;
        let fabric = &mut self.fabric;
        fabric
            .trace
            .add(fabric.now, u64::from(node) << 16 | u64::from(port));
        fabric.trace.add_bytes(fabric.frames.bytes(frame));
        match self.nodes.get_mut(node as usize) {
            Some(Node::Segment(segment)) => return segment.arrive(port, frame, fabric),
            Some(Node::Host(host)) => host.arrive(frame, fabric),
            Some(Node::Appliance(appliance)) => appliance.arrive(port, frame, fabric),
            None => fabric.frames.free(frame),
        }
        self.delivered += 1;
    }

    fn node_of(&self, name: &str) -> Option<&Node> {
        self.nodes.get(*self.by_name.get(name)? as usize)
    }

    fn node_of_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.nodes.get_mut(*self.by_name.get(name)? as usize)
    }

    /// The host of that name.
    pub fn host(&self, name: &str) -> Option<&Host> {
        match self.node_of(name)? {
            Node::Host(host) => Some(host),
            _ => None,
        }
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Host(host) => Some(&**host),
            _ => None,
        })
    }

    /// The appliance of that name.
    pub fn appliance(&self, name: &str) -> Option<&Appliance> {
        match self.node_of(name)? {
            Node::Appliance(appliance) => Some(appliance),
            _ => None,
        }
    }

    /// The appliance of that name, to command.
    pub fn appliance_mut(&mut self, name: &str) -> Option<&mut Appliance> {
        match self.node_of_mut(name)? {
            Node::Appliance(appliance) => Some(appliance),
            _ => None,
        }
    }
}
