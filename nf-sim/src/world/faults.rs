//! What happens to nodes and links.

use std::any::Any;

use workload::emulator::{Emulator, Health};

use super::World;
use crate::engine::{LinkSettings, What};
use crate::node::Node;
use crate::scenario::FaultAction;

impl World {
    fn fault_of(&self, number: u32) -> Option<FaultAction> {
        self.scenario
            .faults
            .get(number as usize)
            .map(|fault| fault.what.clone())
    }

    fn after(&self, us: u64) -> u64 {
        self.fabric.now.saturating_add(us.saturating_mul(1_000))
    }

    /// A fault begins.
    pub(super) fn fault(&mut self, number: u32) {
        let Some(action) = self.fault_of(number) else {
            return;
        };
        let ends = match action {
            FaultAction::Crash { node, for_us } => {
                self.crash(&node, for_us);
                None
            }
            FaultAction::Stall { node, core, for_us } => {
                let until = self.after(for_us);
                match self.node_of_mut(&node) {
                    Some(Node::Host(host)) => host.stall(until),
                    Some(Node::Appliance(appliance)) => appliance.stall(core, until),
                    _ => {}
                }
                None
            }
            FaultAction::LinkDown { link, for_us } => {
                self.hold_down(&self.links_called(&link), true);
                for_us
            }
            FaultAction::Partition { nodes, for_us } => {
                self.hold_down(&self.links_across(&nodes), true);
                for_us
            }
            FaultAction::LinkChange {
                link,
                settings,
                for_us,
            } => {
                let before = self.links_called(&link).into_iter();
                let before = before.filter_map(|index| {
                    let link = self.fabric.links.get_mut(index as usize)?;
                    Some((index, std::mem::replace(&mut link.settings, settings)))
                });
                let before: Vec<(u32, LinkSettings)> = before.collect();
                self.before.insert(number, before);
                for_us
            }
            FaultAction::ClockStep { node, by_ns } => {
                if let Some(Node::Appliance(appliance)) = self.node_of_mut(&node) {
                    appliance.step_clock(by_ns);
                }
                None
            }
            FaultAction::Health {
                node,
                health,
                for_us,
            } => {
                self.set_health(&node, health.health());
                for_us
            }
            FaultAction::Command {
                node,
                stage,
                verb,
                arguments,
            } => {
                self.order(&node, |appliance| {
                    appliance.command(&stage, &verb, &arguments)
                });
                None
            }
            FaultAction::Reload {
                node,
                stage,
                settings,
            } => {
                self.order(&node, |appliance| {
                    appliance
                        .reload(&stage, &settings)
                        .map(|()| serde_json::Value::Null)
                });
                None
            }
        };
        if let Some(us) = ends {
            self.fabric
                .events
                .push(self.after(us), What::Mend, 0, 0, 0, number);
        }
    }

    /// A fault ends.
    pub(super) fn mend(&mut self, number: u32) {
        match self.fault_of(number) {
            Some(FaultAction::LinkDown { link, .. }) => {
                self.hold_down(&self.links_called(&link), false);
            }
            Some(FaultAction::Partition { nodes, .. }) => {
                self.hold_down(&self.links_across(&nodes), false);
            }
            Some(FaultAction::Health { node, .. }) => self.set_health(&node, Health::Up),
            Some(FaultAction::LinkChange { .. }) => {
                for (index, settings) in self.before.remove(&number).unwrap_or_default() {
                    if let Some(link) = self.fabric.links.get_mut(index as usize) {
                        link.settings = settings;
                    }
                }
            }
            _ => {}
        }
    }

    /// The servers that a host emulates are ill, or well again.
    fn set_health(&mut self, node: &str, health: Health) {
        let Some(Node::Host(host)) = self.node_of_mut(node) else {
            return;
        };
        if let Some(program) = host.program_mut()
            && let Some(emulator) = (program as &mut dyn Any).downcast_mut::<Emulator>()
        {
            for server in 0..emulator.servers() {
                emulator.set_health(server, health);
            }
        }
    }

    fn order(
        &mut self,
        node: &str,
        order: impl FnOnce(&mut crate::node::Appliance) -> Result<serde_json::Value, String>,
    ) {
        let answer = match self.node_of_mut(node) {
            Some(Node::Appliance(appliance)) => order(appliance),
            _ => Err(format!("{node} is no appliance")),
        };
        self.answers.push((self.fabric.now, answer));
    }

    fn links_called(&self, name: &str) -> Vec<u32> {
        self.links
            .get(name)
            .copied()
            .into_iter()
            .flatten()
            .collect()
    }

    /// Links between these nodes and all others.
    fn links_across(&self, names: &[String]) -> Vec<u32> {
        let inside: Vec<u32> = names
            .iter()
            .filter_map(|name| self.by_name.get(name).copied())
            .collect();
        let across = self.links.values().filter(|both| {
            let ends =
                both.map(|index| self.fabric.links.get(index as usize).map(|link| link.node));
            let within = ends.map(|end| end.is_some_and(|node| inside.contains(&node)));
            within[0] != within[1]
        });
        across.flatten().copied().collect()
    }

    /// Takes links down, or lets go of them; each is up when nothing holds it down any more. The cards
    /// at both ends see it.
    fn hold_down(&mut self, links: &[u32], hold: bool) {
        for &index in links {
            let Some(link) = self.fabric.links.get_mut(index as usize) else {
                continue;
            };
            let was_up = link.down == 0;
            link.down = if hold {
                link.down + 1
            } else {
                link.down.saturating_sub(1)
            };
            let (up, node, port) = (link.down == 0, link.node, link.port);
            if up != was_up
                && let Some(Node::Appliance(appliance)) = self.nodes.get_mut(node as usize)
            {
                appliance.link_changed(port, up);
            }
        }
    }

    fn crash(&mut self, name: &str, for_us: Option<u64>) {
        let Some(&index) = self.by_name.get(name) else {
            return;
        };
        let fabric = &mut self.fabric;
        let life = match self.nodes.get_mut(index as usize) {
            Some(Node::Host(host)) => {
                host.crash(fabric);
                host.identity.life
            }
            Some(Node::Appliance(appliance)) => {
                appliance.crash(fabric);
                appliance.identity.life
            }
            Some(Node::Segment(segment)) => {
                segment.set_up(false);
                0
            }
            None => return,
        };
        if let Some(us) = for_us {
            self.fabric
                .events
                .push(self.after(us), What::Restart, index, life, 0, 0);
        }
    }

    /// A node starts again, if it has not died once more meanwhile.
    pub(super) fn restart(&mut self, node: u32, life: u32) {
        let dead = match self.nodes.get(node as usize) {
            Some(Node::Host(host)) => host.identity.life == life && !host.is_up(),
            Some(Node::Appliance(appliance)) => {
                appliance.identity.life == life && !appliance.is_up()
            }
            Some(Node::Segment(_)) => true,
            None => false,
        };
        if dead && let Err(error) = self.start(node as usize) {
            self.violations
                .push(format!("it did not start again: {error}"));
        }
    }
}
