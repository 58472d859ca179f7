//! The control side of the `route` stage: addresses, routes and neighbours, and their changes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::config::{NeighbourConfig, RouteConfig, RouteConfigEntry, Timers};
use super::hops::Hops;
use super::neighbours::{Key, Neighbours, Pace};
use super::stage::RouteShard;
use super::tables::{Flushed, Pair};
use super::version::{Hop, Interface, Version, link_local};
use crate::chain::{
    BuildContext, BuildError, Claims, ReloadError, Stage, StageControl, StagePort, read_reloaded,
};
use crate::check::Side;
use crate::clock::Clock;
use crate::dpdk::{DpdkError, Fib4, Fib6};
use crate::packet::Direction;
use crate::publish::Publisher;
use crate::wire::{InterfaceAddr, MacAddr, Prefix};

/// How long a command waits until all cores act on a change.
const FENCE: Duration = Duration::from_millis(20);

/// The control side.
#[derive(Debug)]
pub struct RouteControl {
    /// The settings but for routes and static neighbours, which commands change.
    pub(super) config: RouteConfig,
    pub(super) ports: Vec<StagePort>,
    pub(super) routes: BTreeMap<Prefix, RouteConfigEntry>,
    pub(super) statics: Vec<NeighbourConfig>,
    pub(super) neighbours: Arc<Neighbours>,
    pub(super) clock: Clock,
    claims: Claims,
    /// Own networks and addresses.
    pub(super) connected: BTreeMap<Prefix, Hop>,
    /// What the tables hold, or will when no core is in the way: the hop's number.
    installed: BTreeMap<Prefix, (Hop, u16)>,
    hops: Hops,
    table4: Pair<Fib4>,
    table6: Pair<Fib6>,
    publisher: Publisher<Version>,
    announcement: u64,
    /// A table could not be changed yet because a core still looks into it.
    dirty: bool,
    ticks: u32,
}

impl RouteControl {
    /// Builds the first version.
    pub fn new(config: RouteConfig, context: &BuildContext) -> Result<RouteControl, BuildError> {
        let (mut table4, mut table6) = (
            Pair::new(context.eal, config.limits.routes_v4),
            Pair::new(context.eal, config.limits.routes_v6),
        );
        let mut hops = Hops::new();
        let failed = |error: DpdkError| BuildError(no_room(error));
        let connected = connected(&config, &context.ports);
        let routes: BTreeMap<Prefix, RouteConfigEntry> = config
            .routes
            .iter()
            .map(|route| (route.prefix, route.clone()))
            .collect();
        let mut installed = BTreeMap::new();
        for (prefix, hop) in desired(&config, &context.ports, &routes, &connected) {
            let number = hops
                .take(hop)
                .ok_or_else(|| BuildError(TOO_MANY_HOPS.into()))?;
            match prefix.is_ipv4() {
                true => table4.change(prefix, Some(number)),
                false => table6.change(prefix, Some(number)),
            }
            installed.insert(prefix, (hop, number));
        }
        table4.flush().map_err(failed)?;
        table6.flush().map_err(failed)?;
        let neighbours = Arc::new(Neighbours::new(config.limits.neighbours));
        let version = Version {
            mode: config.mode,
            fib4: table4.active(),
            fib6: table6.active(),
            hops: hops.list(),
            interfaces: interfaces(&config, &context.ports),
            pace: pace(&config.timers),
            held_per_neighbour: config.limits.held_per_neighbour as usize,
            requests_per_second: config.limits.requests_per_second,
            icmp_per_second: config.limits.icmp_per_second,
            announcement: u64::from(config.announce),
        };
        let control = RouteControl {
            statics: config.neighbours.clone(),
            announcement: version.announcement,
            publisher: Publisher::new(&context.hub, version),
            config,
            ports: context.ports.clone(),
            routes,
            neighbours,
            clock: context.clock.clone(),
            claims: context.claims.clone(),
            connected,
            installed,
            hops,
            table4,
            table6,
            dirty: false,
            ticks: 0,
        };
        control
            .enter_statics(&control.statics)
            .map_err(BuildError)?;
        Ok(control)
    }

    pub(super) fn pace(&self) -> Pace {
        pace(&self.config.timers)
    }

    /// The port that an address is behind.
    pub(super) fn key_of(&self, address: IpAddr, port: Option<&String>) -> Option<Key> {
        key_of(&self.config, &self.ports, address, port)
    }

    pub(super) fn enter_statics(&self, statics: &[NeighbourConfig]) -> Result<(), String> {
        for neighbour in statics {
            let key = self.key_of(neighbour.address, neighbour.port.as_ref());
            let entered =
                key.is_some_and(|key| self.neighbours.set_static(key, neighbour.mac, &self.pace()));
            if !entered {
                return Err(format!(
                    "no room for the neighbour {}: raise limits.neighbours",
                    neighbour.address
                ));
            }
        }
        Ok(())
    }

    /// Sets where a prefix leads, or removes it, at the next [`apply`](Self::apply).
    pub(super) fn set(&mut self, prefix: Prefix, hop: Option<Hop>) -> Result<(), String> {
        let old = self.installed.get(&prefix).copied();
        if old.map(|(hop, _)| hop) == hop {
            return Ok(());
        }
        let number = match hop {
            Some(hop) => Some(self.hops.take(hop).ok_or(TOO_MANY_HOPS)?),
            None => None,
        };
        match prefix.is_ipv4() {
            true => self.table4.change(prefix, number),
            false => self.table6.change(prefix, number),
        }
        if let Some((_, number)) = old {
            self.hops.give_back(number);
        }
        match hop.zip(number) {
            Some(entry) => self.installed.insert(prefix, entry),
            None => self.installed.remove(&prefix),
        };
        Ok(())
    }

    /// Brings the tables up to date and publishes a version. A table that a core still looks into
    /// is changed later, by the tick.
    pub(super) fn apply(&mut self) -> Result<(), String> {
        self.publisher.reclaim();
        let flushed = (self.table4.flush(), self.table6.flush());
        let (four, six) = match flushed {
            (Ok(four), Ok(six)) => (four, six),
            (four, six) => {
                let error = four.err().or(six.err());
                // The other table may have been changed.
                self.publish();
                return Err(error.map_or_else(String::new, no_room));
            }
        };
        self.dirty = four == Flushed::Busy || six == Flushed::Busy;
        self.publish();
        if !self.dirty {
            self.hops.settle();
        }
        Ok(())
    }

    fn publish(&mut self) {
        let version = Version {
            mode: self.config.mode,
            fib4: self.table4.active(),
            fib6: self.table6.active(),
            hops: self.hops.list(),
            interfaces: interfaces(&self.config, &self.ports),
            pace: self.pace(),
            held_per_neighbour: self.config.limits.held_per_neighbour as usize,
            requests_per_second: self.config.limits.requests_per_second,
            icmp_per_second: self.config.limits.icmp_per_second,
            announcement: self.announcement,
        };
        self.publisher.publish(version);
    }

    /// Applies changes and waits until the cores act on them; whether they do.
    pub(super) fn apply_and_wait(&mut self) -> Result<bool, String> {
        self.apply()?;
        let adopted = self.publisher.wait_adopted(FENCE).is_ok();
        if self.dirty && adopted {
            self.apply()?;
            return Ok(!self.dirty && self.publisher.wait_adopted(FENCE).is_ok());
        }
        Ok(adopted && !self.dirty)
    }

    /// Makes the tables hold what the settings ask for.
    fn set_all(&mut self) -> Result<(), String> {
        let wanted = desired(&self.config, &self.ports, &self.routes, &self.connected);
        let gone: Vec<Prefix> = self
            .installed
            .keys()
            .filter(|prefix| !wanted.contains_key(*prefix))
            .copied()
            .collect();
        for prefix in gone {
            self.set(prefix, None)?;
        }
        for (prefix, hop) in wanted {
            self.set(prefix, Some(hop))?;
        }
        self.apply()
    }

    /// Takes over other settings, ports and routes; on failure everything is as before.
    fn take_over(
        &mut self,
        config: RouteConfig,
        ports: Vec<StagePort>,
        routes: BTreeMap<Prefix, RouteConfigEntry>,
    ) -> Result<(), String> {
        let old_config = std::mem::replace(&mut self.config, config);
        let old_ports = std::mem::replace(&mut self.ports, ports);
        let old_routes = std::mem::replace(&mut self.routes, routes);
        self.connected = connected(&self.config, &self.ports);
        self.set_all().map_err(|problem| {
            self.config = old_config;
            self.ports = old_ports;
            self.routes = old_routes;
            self.connected = connected(&self.config, &self.ports);
            self.recover(problem)
        })
    }

    /// After a failed change, when the settings are what they were before: makes the tables hold
    /// that again. Gives back the problem.
    pub(super) fn recover(&mut self, problem: String) -> String {
        self.forget_installed();
        // It fitted before.
        match self.set_all() {
            Ok(()) => problem,
            Err(worse) => format!("{problem}; and going back failed: {worse}"),
        }
    }

    /// After a failed change: what the tables hold is what counts, not what was asked for.
    fn forget_installed(&mut self) {
        self.table4.cancel();
        self.table6.cancel();
        let tables = self.table4.content().chain(self.table6.content());
        let held: BTreeMap<Prefix, u16> = tables.collect();
        let list = self.hops.list();
        let mut hops = Vec::new();
        for (prefix, (_, number)) in &self.installed {
            if held.get(prefix) != Some(number) {
                hops.push(*number);
            }
        }
        let asked = std::mem::take(&mut self.installed);
        for (prefix, number) in held {
            let hop = list.get(usize::from(number)).copied().unwrap_or(Hop::None);
            if asked.get(&prefix).map(|(_, number)| *number) != Some(number) {
                // It was given back when the change was asked for.
                let _ = self.hops.take(hop);
            }
            self.installed.insert(prefix, (hop, number));
        }
        for number in hops {
            self.hops.give_back(number);
        }
    }

    /// Versions that were replaced and that some core may still see.
    pub(super) fn pending(&self) -> usize {
        self.publisher.pending()
    }
}

const TOO_MANY_HOPS: &str = "more than 32767 different next hops";

fn no_room(error: DpdkError) -> String {
    // DPDK calls it an invalid argument when there is no memory for a table.
    let is_new = error.call.ends_with("_create");
    match error.errno {
        libc::ENOSPC => {
            "the table of routes is full: raise limits.routes_v4 or limits.routes_v6".into()
        }
        errno if is_new || errno == libc::ENOMEM => format!(
            "no memory for a table of routes, which takes 40 MiB or more: raise eal.memory_mb, or \
             lower limits.routes_v4 and limits.routes_v6 ({error})"
        ),
        _ => error.to_string(),
    }
}

impl StageControl for RouteControl {
    fn shard(&mut self, core: usize) -> Box<dyn Stage> {
        let held = self.config.limits.held_packets as usize;
        let neighbours = Arc::clone(&self.neighbours);
        Box::new(RouteShard::new(
            self.publisher.reader(),
            neighbours,
            held,
            core,
            self.claims.clone(),
        ))
    }

    fn reload(&mut self, config: &serde_json::Value) -> Result<(), ReloadError> {
        let config: RouteConfig = read_reloaded(config)?;
        let (old, new) = (&self.config.limits, &config.limits);
        ReloadError::unless_fixed(&[
            ("limits.neighbours", old.neighbours != new.neighbours),
            ("limits.held_packets", old.held_packets != new.held_packets),
            ("limits.routes_v4", old.routes_v4 != new.routes_v4),
            ("limits.routes_v6", old.routes_v6 != new.routes_v6),
        ])?;
        let routes = config
            .routes
            .iter()
            .map(|route| (route.prefix, route.clone()));
        let (routes, ports) = (routes.collect(), self.ports.clone());
        let statics = config.neighbours.clone();
        let moved = config.announce && config.addresses != self.config.addresses;
        self.announcement += u64::from(moved);
        self.take_over(config, ports, routes)
            .map_err(ReloadError::Refused)?;
        // Learned neighbours stay as long as they are on the link of their port.
        let here = interfaces(&self.config, &self.ports);
        self.neighbours.remove_if(|neighbour| {
            neighbour.state == super::neighbours::State::Static
                || here
                    .get(usize::from(neighbour.key.port))
                    .is_none_or(|port| !port.is_on_link(neighbour.key.address()))
        });
        self.statics = statics;
        self.enter_statics(&self.statics)
            .map_err(ReloadError::Refused)
    }

    fn command(
        &mut self,
        verb: &str,
        arguments: &serde_json::Value,
    ) -> Result<serde_json::Value, crate::chain::CommandError> {
        self.run_command(verb, arguments)
    }

    fn status(&self) -> serde_json::Value {
        self.summary()
    }

    fn tick(&mut self) {
        if self.dirty
            && let Err(problem) = self.apply()
        {
            self.dirty = false;
            let problem = self.recover(problem);
            tracing::error!("routes could not be brought up to date: {problem}");
        }
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(10) {
            self.neighbours.forget(self.clock.now(), &self.pace());
        }
    }

    fn ports_changed(&mut self, ports: &[StagePort]) {
        let news = ports
            .iter()
            .zip(&self.ports)
            .any(|(new, old)| new.mac != old.mac || new.up && !old.up);
        self.announcement += u64::from(news && self.config.announce);
        let (config, routes) = (self.config.clone(), self.routes.clone());
        if let Err(problem) = self.take_over(config, ports.to_vec(), routes) {
            tracing::error!("a change of the ports could not be taken over: {problem}");
        }
    }
}

fn pace(timers: &Timers) -> Pace {
    const MS: u64 = 1_000_000;
    Pace {
        retry: u64::from(timers.retry_ms) * MS,
        retries: timers.retries,
        refresh: u64::from(timers.refresh_s) * 1000 * MS,
        unreachable: u64::from(timers.unreachable_ms) * MS,
        forget: u64::from(timers.forget_s) * 1000 * MS,
    }
}

fn interfaces(config: &RouteConfig, ports: &[StagePort]) -> Box<[Interface]> {
    let interface = |port: &StagePort| {
        let none = Vec::new();
        let addresses = config.addresses.get(&port.name).unwrap_or(&none);
        let mac = MacAddr(port.mac);
        let mask = |own: &InterfaceAddr| own.network().length();
        let v4: Vec<_> = addresses
            .iter()
            .filter_map(|own| match own.address() {
                IpAddr::V4(address) => {
                    let host = u32::MAX.checked_shr(mask(own).into()).unwrap_or(0);
                    Some((address, !host))
                }
                IpAddr::V6(_) => None,
            })
            .collect();
        let v6: Vec<_> = addresses
            .iter()
            .filter_map(|own| match own.address() {
                IpAddr::V6(address) => {
                    let host = u128::MAX.checked_shr(mask(own).into()).unwrap_or(0);
                    Some((address, !host))
                }
                IpAddr::V4(_) => None,
            })
            .collect();
        Interface {
            mac,
            mtu: port.mtu,
            link_local: (!v6.is_empty()).then(|| link_local(mac)),
            v4,
            v6,
            towards: match port.side {
                Side::Client => Direction::ToClient,
                Side::Server | Side::Any => Direction::ToServer,
            },
            up: port.up,
        }
    };
    ports.iter().map(interface).collect()
}

/// Prefixes of the own addresses.
fn connected(config: &RouteConfig, ports: &[StagePort]) -> BTreeMap<Prefix, Hop> {
    let mut all = BTreeMap::new();
    let mut own = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        for interface in config.addresses.get(&port.name).into_iter().flatten() {
            let network = interface.network();
            own.push(Prefix::host(interface.address()));
            if network != Prefix::host(interface.address()) {
                all.insert(network, Hop::Link(index as u16));
            }
            if let Some(broadcast) = network.ipv4_broadcast() {
                all.insert(Prefix::host(broadcast.into()), Hop::Broadcast);
                all.insert(Prefix::host(network.address()), Hop::Broadcast);
            }
        }
    }
    all.extend(own.into_iter().map(|own| (own, Hop::Own)));
    all
}

fn key_of(
    config: &RouteConfig,
    ports: &[StagePort],
    address: IpAddr,
    port: Option<&String>,
) -> Option<Key> {
    let index = ports.iter().position(|candidate| match port {
        Some(name) => candidate.name == *name,
        None => {
            let own = config.addresses.get(&candidate.name);
            own.into_iter()
                .flatten()
                .any(|own| own.network().contains(address))
        }
    })?;
    Some(Key::new(index as u16, address))
}

/// The next hop of a configured route.
pub(super) fn hop_of(
    config: &RouteConfig,
    ports: &[StagePort],
    route: &RouteConfigEntry,
) -> Option<Hop> {
    if route.blackhole {
        return Some(Hop::Blackhole);
    }
    match (route.via, &route.port) {
        (Some(via), port) => key_of(config, ports, via, port.as_ref()).map(Hop::Via),
        (None, Some(port)) => {
            let index = ports.iter().position(|other| other.name == *port)?;
            Some(Hop::Link(index as u16))
        }
        (None, None) => None,
    }
}

/// Everything the tables are to hold. Own networks and addresses come before routes.
fn desired(
    config: &RouteConfig,
    ports: &[StagePort],
    routes: &BTreeMap<Prefix, RouteConfigEntry>,
    connected: &BTreeMap<Prefix, Hop>,
) -> BTreeMap<Prefix, Hop> {
    let routes = routes
        .iter()
        .filter_map(|(prefix, route)| Some((*prefix, hop_of(config, ports, route)?)));
    let mut all: BTreeMap<Prefix, Hop> = routes.collect();
    all.extend(connected);
    all
}
