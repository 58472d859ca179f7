//! From a scenario to a world.

use std::collections::BTreeMap;
use std::sync::Arc;

use nf_core::dpdk::Eal;

use super::World;
use crate::engine::{Fabric, Link, What};
use crate::kinds::Kinds;
use crate::node::{Appliance, BuildFailed, Host, Node, Segment, host_mac};
use crate::program::{Program, ProgramContext};
use crate::random::seed_of;
use crate::scenario::{HostSpec, Scenario};

fn failed(node: &str, why: impl Into<String>) -> BuildFailed {
    BuildFailed {
        node: node.to_owned(),
        why: why.into(),
    }
}

/// The program of a host in one of its lives.
pub(super) fn program(
    kinds: &Kinds,
    seed: u64,
    spec: &HostSpec,
    life: u32,
) -> Result<Box<dyn Program>, BuildFailed> {
    let kind = kinds.programs.get(&spec.program.kind);
    let kind = kind.ok_or_else(|| {
        failed(
            &spec.name,
            format!("there is no program {:?}", spec.program.kind),
        )
    })?;
    let context = ProgramContext {
        host: &spec.name,
        addresses: &spec.addresses,
        seed: seed_of(seed_of(seed, &spec.name), &format!("life {life}")),
        life,
    };
    kind.build(&spec.program.settings, &context)
        .map_err(|why| failed(&spec.name, why))
}

pub(super) fn build(
    scenario: Scenario,
    kinds: &Arc<Kinds>,
    eal: &'static Eal,
) -> Result<World, BuildFailed> {
    let mut world = World {
        scenario: Arc::new(scenario),
        kinds: kinds.clone(),
        nodes: Vec::new(),
        by_name: BTreeMap::new(),
        links: BTreeMap::new(),
        fabric: Fabric::default(),
        before: BTreeMap::new(),
        delivered: 0,
        events: 0,
        violations: Vec::new(),
        answers: Vec::new(),
    };
    let scenario = world.scenario.clone();
    for (index, spec) in scenario.hosts.iter().enumerate() {
        let mac = spec.mac.unwrap_or(host_mac(index));
        world.add(&spec.name, |node| {
            Ok(Node::Host(Box::new(Host::new(node, mac, spec.clone()))))
        })?;
    }
    for spec in &scenario.segments {
        world.add(&spec.name, |node| {
            Ok(Node::Segment(Box::new(Segment::new(node, &spec.name))))
        })?;
    }
    for (index, spec) in scenario.appliances.iter().enumerate() {
        let seed = seed_of(scenario.seed, &spec.name);
        world.add(&spec.name, |node| {
            let appliance = Appliance::new(node, index, spec.clone(), seed, kinds.clone(), eal)?;
            Ok(Node::Appliance(Box::new(appliance)))
        })?;
    }
    for spec in &scenario.links {
        let name = spec.name();
        let [a, b] = &spec.between;
        let (a, b) = (world.end(&name, a)?, world.end(&name, b)?);
        let back = spec.back.unwrap_or(spec.link);
        let there = Link::new(
            &name,
            b,
            spec.link,
            scenario.seed,
            &format!("link {name} there"),
        );
        let back = Link::new(&name, a, back, scenario.seed, &format!("link {name} back"));
        let both = [
            world.fabric.add_link(a, there),
            world.fabric.add_link(b, back),
        ];
        if world.links.insert(name.clone(), both).is_some() {
            return Err(failed(&name, "two links have this name"));
        }
    }
    for (number, fault) in scenario.faults.iter().enumerate() {
        let at = fault.at_us.saturating_mul(1_000);
        world
            .fabric
            .events
            .push(at, What::Fault, 0, 0, 0, number as u32);
    }
    // Links are there before the first node says something.
    for index in 0..world.nodes.len() {
        world.start(index)?;
    }
    while let Some(delivery) = world.fabric.at_once() {
        world.deliver(delivery);
    }
    Ok(world)
}

impl World {
    fn add(
        &mut self,
        name: &str,
        node: impl FnOnce(u32) -> Result<Node, BuildFailed>,
    ) -> Result<(), BuildFailed> {
        let index = self.nodes.len() as u32;
        if self.by_name.insert(name.to_owned(), index).is_some() {
            return Err(failed(name, "two nodes have this name"));
        }
        self.nodes.push(node(index)?);
        Ok(())
    }

    /// The node and port at the end of a link.
    fn end(&mut self, link: &str, end: &str) -> Result<(u32, u16), BuildFailed> {
        let (name, port) = match end.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (end, None),
        };
        let index = self.by_name.get(name).copied();
        let index = index.ok_or_else(|| failed(link, format!("there is no node {name:?}")))?;
        let number = match (self.nodes.get_mut(index as usize), port) {
            (Some(Node::Segment(segment)), None) => segment.add_port(),
            (Some(Node::Host(_)), None) => 0,
            (Some(Node::Appliance(appliance)), Some(port)) => {
                let mut ports = appliance.spec.ports.iter();
                let number = ports.position(|known| known.name == port);
                number.ok_or_else(|| failed(link, format!("{name} has no port {port:?}")))? as u16
            }
            _ => return Err(failed(link, format!("{end:?} is no end of a link"))),
        };
        if self.fabric.link_of(index, number).is_some() {
            return Err(failed(link, format!("{end} has a link already")));
        }
        Ok((index, number))
    }

    /// Starts a node.
    pub(super) fn start(&mut self, index: usize) -> Result<(), BuildFailed> {
        let (kinds, seed) = (self.kinds.clone(), self.scenario.seed);
        match self.nodes.get_mut(index) {
            Some(Node::Host(host)) => {
                let program = program(&kinds, seed, &host.spec, host.identity.life)?;
                host.start(program, &mut self.fabric);
                Ok(())
            }
            Some(Node::Appliance(appliance)) => appliance.start(&mut self.fabric),
            Some(Node::Segment(segment)) => {
                segment.set_up(true);
                Ok(())
            }
            None => Ok(()),
        }
    }
}
