//! Commands of the `route` stage.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::config::{NeighbourConfig, RouteConfig, RouteConfigEntry};
use super::control::{RouteControl, hop_of};
use super::neighbours::State;
use super::version::{Hop, link_local};
use crate::chain::{CommandError, read_arguments};
use crate::check::{CheckContext, JsonPath, PortFacts, Problems};
use crate::dpdk::TxChecksums;
use crate::wire::{MacAddr, Prefix};

const VERBS: [&str; 9] = [
    "show",
    "routes",
    "neighbours",
    "addresses",
    "add",
    "delete",
    "neighbour_add",
    "neighbour_delete",
    "neighbour_flush",
];

impl RouteControl {
    pub(super) fn run_command(
        &mut self,
        verb: &str,
        arguments: &Value,
    ) -> Result<Value, CommandError> {
        match verb {
            "show" => Ok(json!({
                "mode": self.config.mode,
                "addresses": self.show_addresses(),
                "routes": self.show_routes(),
                "neighbours": self.show_neighbours(),
            })),
            "routes" => Ok(self.show_routes()),
            "neighbours" => Ok(self.show_neighbours()),
            "addresses" => Ok(self.show_addresses()),
            "add" => self.add_route(read_arguments(arguments)?),
            "delete" => self.delete_route(arguments),
            "neighbour_add" => self.add_neighbour(read_arguments(arguments)?),
            "neighbour_delete" => self.delete_neighbour(arguments),
            "neighbour_flush" => Ok(json!({
                "removed": self
                    .neighbours
                    .remove_if(|neighbour| neighbour.state != State::Static),
            })),
            _ => Err(CommandError::unknown(verb, &VERBS)),
        }
    }

    /// What the API shows without being asked for lists.
    pub(super) fn summary(&self) -> Value {
        let mut states = Map::new();
        for neighbour in self.neighbours.list() {
            let count = states
                .entry(neighbour.state.as_str())
                .or_insert_with(|| json!(0));
            *count = json!(count.as_u64().unwrap_or(0) + 1);
        }
        json!({
            "mode": self.config.mode,
            "addresses": self.show_addresses(),
            "routes": self.routes.len() + self.connected.len(),
            "neighbours": states,
            "versions_pending": self.pending(),
        })
    }

    fn port_name(&self, port: u16) -> &str {
        let port = self.ports.get(usize::from(port));
        port.map_or("?", |port| port.name.as_str())
    }

    fn show_addresses(&self) -> Value {
        let shown = self.ports.iter().map(|port| {
            let own = self.config.addresses.get(&port.name);
            let addresses: Vec<_> = own.into_iter().flatten().collect();
            let with_v6 = addresses.iter().any(|own| own.address().is_ipv6());
            json!({
                "port": port.name,
                "mac": MacAddr(port.mac),
                "mtu": port.mtu,
                "up": port.up,
                "addresses": addresses,
                "link_local": with_v6.then(|| link_local(MacAddr(port.mac))),
            })
        });
        shown.collect()
    }

    fn show_routes(&self) -> Value {
        let connected = self.connected.iter().map(|(prefix, hop)| match hop {
            Hop::Link(port) => {
                json!({ "prefix": prefix, "kind": "connected", "port": self.port_name(*port) })
            }
            Hop::Own => json!({ "prefix": prefix, "kind": "own" }),
            _ => json!({ "prefix": prefix, "kind": "broadcast" }),
        });
        let configured = self
            .routes
            .iter()
            .filter(|(prefix, _)| !self.connected.contains_key(prefix))
            .map(|(prefix, route)| {
                match hop_of(&self.config, &self.ports, route) {
                    Some(Hop::Via(key)) => {
                        json!({ "prefix": prefix, "kind": "via", "via": key.address(),
                        "port": self.port_name(key.port) })
                    }
                    Some(Hop::Link(port)) => {
                        json!({ "prefix": prefix, "kind": "port", "port": self.port_name(port) })
                    }
                    Some(_) => json!({ "prefix": prefix, "kind": "blackhole" }),
                    // Its port has lost the network that the router is in.
                    None => json!({ "prefix": prefix, "kind": "unusable", "via": route.via }),
                }
            });
        connected.chain(configured).collect()
    }

    fn show_neighbours(&self) -> Value {
        let now = self.clock.now();
        let mut list = self.neighbours.list();
        list.sort_by_key(|neighbour| (neighbour.key.port, neighbour.key.address()));
        let shown = list.iter().map(|neighbour| {
            let known = matches!(neighbour.state, State::Reachable | State::Static);
            let age = (neighbour.state == State::Reachable)
                .then(|| now.saturating_sub(neighbour.confirmed) as f64 / 1e9);
            json!({
                "address": neighbour.key.address(),
                "port": self.port_name(neighbour.key.port),
                "state": neighbour.state.as_str(),
                "mac": known.then_some(neighbour.mac),
                "heard_seconds_ago": age,
            })
        });
        shown.collect()
    }

    /// Checks parts of a config by the rules of the whole.
    fn check(&self, config: &RouteConfig) -> Result<(), CommandError> {
        let facts = self.ports.iter().map(|port| PortFacts {
            name: port.name.clone(),
            side: port.side,
            mtu: port.mtu.into(),
            checksum_offload: port.tx_checksums.is_some_and(TxChecksums::serve_udp),
        });
        let context = CheckContext {
            ports: facts.collect(),
            ..CheckContext::default()
        };
        let mut problems = Problems::new();
        config.check(&JsonPath::root(), &context, &mut problems);
        let errors = problems.errors();
        match problems.iter().next() {
            Some(problem) if errors > 0 => Err(CommandError::Arguments(problem.to_string())),
            _ => Ok(()),
        }
    }

    /// The settings with nothing but addresses.
    fn bare(&self) -> RouteConfig {
        RouteConfig {
            mode: self.config.mode,
            addresses: self.config.addresses.clone(),
            ..RouteConfig::default()
        }
    }

    fn add_route(&mut self, route: RouteConfigEntry) -> Result<Value, CommandError> {
        let prefix = route.prefix;
        self.check(&RouteConfig {
            routes: vec![route.clone()],
            ..self.bare()
        })?;
        if self.connected.contains_key(&prefix) {
            return Err(CommandError::Failed(format!(
                "{prefix} is an own network or address, which needs no route"
            )));
        }
        let hop = hop_of(&self.config, &self.ports, &route);
        let replaced = self.routes.insert(prefix, route);
        self.change(prefix, hop).map_err(|problem| {
            match replaced {
                Some(old) => self.routes.insert(prefix, old),
                None => self.routes.remove(&prefix),
            };
            CommandError::Failed(self.recover(problem))
        })
    }

    fn delete_route(&mut self, arguments: &Value) -> Result<Value, CommandError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Delete {
            prefix: Prefix,
        }
        let Delete { prefix } = read_arguments(arguments)?;
        let Some(old) = self.routes.remove(&prefix) else {
            return Err(CommandError::Failed(format!(
                "there is no route for {prefix}"
            )));
        };
        let connected = self.connected.get(&prefix).copied();
        self.change(prefix, connected).map_err(|problem| {
            self.routes.insert(prefix, old);
            CommandError::Failed(self.recover(problem))
        })
    }

    fn change(&mut self, prefix: Prefix, hop: Option<Hop>) -> Result<Value, String> {
        self.set(prefix, hop)?;
        let in_force = self.apply_and_wait()?;
        Ok(json!({ "prefix": prefix, "in_force": in_force }))
    }

    fn add_neighbour(&mut self, neighbour: NeighbourConfig) -> Result<Value, CommandError> {
        self.check(&RouteConfig {
            neighbours: vec![neighbour.clone()],
            ..self.bare()
        })?;
        self.enter_statics(std::slice::from_ref(&neighbour))
            .map_err(CommandError::Failed)?;
        self.statics
            .retain(|other| (other.address, &other.port) != (neighbour.address, &neighbour.port));
        self.statics.push(neighbour.clone());
        Ok(json!(neighbour))
    }

    fn delete_neighbour(&mut self, arguments: &Value) -> Result<Value, CommandError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Delete {
            address: IpAddr,
            port: Option<String>,
        }
        let Delete { address, port } = read_arguments(arguments)?;
        let key = self.key_of(address, port.as_ref());
        if !key.is_some_and(|key| self.neighbours.remove(key)) {
            return Err(CommandError::Failed(format!(
                "there is no neighbour {address}; `neighbours` lists those there are"
            )));
        }
        self.statics
            .retain(|other| other.address != address || port.is_some() && other.port != port);
        Ok(json!({ "removed": address }))
    }
}
