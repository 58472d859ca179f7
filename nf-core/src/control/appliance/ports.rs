//! The ports of the appliance: opened at start, watched, closed when their device goes, opened again
//! when it comes back.

use std::time::{Duration, Instant};

use super::PortCommandError;
use super::cores::Cores;
use crate::chain::{Command, Retired, StagePort};
use crate::control::config::{self, PortConfig};
use crate::dpdk::{
    Device, DriverPool, Eal, LinkState, Mempool, Port, PortError, PortSpec, PortStats, TapWatch,
    interface_index, memif_server_listens,
};
use crate::packet::{Batch, Packet};
use crate::wire::{Layers, fill_ipv4_checksum, fill_transport_checksum};

/// How often a device that is gone is looked for.
const RETRY: Duration = Duration::from_millis(250);

/// How long a memif client's link may be down before it is opened anew.
const MEMIF_PATIENCE: Duration = Duration::from_secs(1);

/// How often, and after what pause, an AF_XDP port that was closed just now is tried again.
const AF_XDP_TRIES: u32 = 25;
const AF_XDP_PAUSE: Duration = Duration::from_millis(20);

/// What a port is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// In service.
    Attached,
    /// Leaving: that many cores have still to give their queues back. Where to it goes then.
    Detaching { cores: usize, then: Box<State> },
    /// The device is gone; tried again.
    Lost(String),
    /// Out of service by command.
    Down,
}

/// One port of the configuration.
pub(super) struct Slot {
    pub config: PortConfig,
    pub spec: PortSpec,
    pub state: State,
    port: Option<Port>,
    /// What the port receives into, where its driver needs a pool of its own; kept for the next
    /// opening, since packets of it may still be on their way. Behind the port, which uses it.
    pool: Option<DriverPool>,
    pub link: LinkState,
    pub link_since: Instant,
    pub mac: [u8; 6],
    pub driver: String,
    /// The device's counters: those of earlier openings, and of this one.
    stats_before: PortStats,
    pub stats: PortStats,
    pub losses: u64,
    tap: Option<TapWatch>,
    /// The kernel's index of the interface that the port was opened on.
    interface_index: u32,
    tried: Instant,
}

/// All ports.
#[derive(Default)]
pub(super) struct Ports {
    pub list: Vec<Slot>,
    packet_cores: usize,
}

impl Ports {
    /// Opens all ports.
    pub fn open(
        eal: &'static Eal,
        pool: &Mempool,
        configs: &[PortConfig],
        packet_cores: usize,
    ) -> Result<Ports, PortError> {
        let mut ports = Ports {
            list: Vec::new(),
            packet_cores,
        };
        for config in configs {
            let spec = config.port_spec(config.queue_pairs(packet_cores), config.mtu);
            let mut slot = Slot {
                config: config.clone(),
                spec,
                state: State::Down,
                port: None,
                pool: None,
                link: LinkState::default(),
                link_since: Instant::now(),
                mac: [0; 6],
                driver: String::new(),
                stats_before: PortStats::default(),
                stats: PortStats::default(),
                losses: 0,
                tap: None,
                interface_index: 0,
                tried: Instant::now(),
            };
            slot.state = match slot.open(eal, pool) {
                Ok(()) => State::Attached,
                Err(error) => match slot.waits_for() {
                    Some(why) => {
                        tracing::warn!(port = slot.spec.name, "{why}; waiting for it");
                        State::Lost(why)
                    }
                    None => return Err(error),
                },
            };
            ports.list.push(slot);
        }
        Ok(ports)
    }

    pub fn names(&self) -> Vec<String> {
        self.list
            .iter()
            .map(|slot| slot.spec.name.clone())
            .collect()
    }

    pub fn port(&self, index: usize) -> Option<&Port> {
        self.list.get(index).and_then(|slot| slot.port.as_ref())
    }

    /// The ports as stages see them.
    pub fn stage_ports(&self) -> Vec<StagePort> {
        let ports = self.list.iter().map(|slot| StagePort {
            name: slot.spec.name.clone(),
            side: slot.config.side,
            mac: slot.mac,
            mtu: slot.spec.mtu,
            up: slot.in_service(),
            tx_checksums: slot.port.as_ref().map(Port::tx_checksums),
        });
        ports.collect()
    }

    fn find(&self, name: &str) -> Result<usize, PortCommandError> {
        let found = self.list.iter().position(|slot| slot.spec.name == name);
        found.ok_or_else(|| PortCommandError::Unknown {
            name: name.to_owned(),
            known: self.names(),
        })
    }

    /// Takes a port out of service.
    pub fn set_down(&mut self, name: &str, cores: &Cores) -> Result<(), PortCommandError> {
        let index = self.find(name)?;
        match &mut self.list[index].state {
            State::Attached => self.detach(index, State::Down, cores),
            State::Detaching { then, .. } => **then = State::Down,
            state => *state = State::Down,
        }
        Ok(())
    }

    /// Takes a port into service.
    pub fn set_up(
        &mut self,
        name: &str,
        eal: &'static Eal,
        pool: &Mempool,
        cores: &Cores,
    ) -> Result<(), PortCommandError> {
        let index = self.find(name)?;
        match &mut self.list[index].state {
            State::Attached => Ok(()),
            State::Detaching { then, .. } => {
                **then = State::Lost("to be opened again".into());
                Ok(())
            }
            _ => Ok(self.attach(index, eal, pool, cores)?),
        }
    }

    /// Looks after all ports; true when one changed its state, link or address.
    pub fn watch(&mut self, eal: &'static Eal, pool: &Mempool, cores: &Cores) -> bool {
        let mut changed = self.take_back(cores);
        for index in 0..self.list.len() {
            match self.list[index].state.clone() {
                State::Attached => {
                    changed |= self.list[index].watch_link();
                    if let Some(why) = self.list[index].lost() {
                        tracing::warn!(
                            port = self.list[index].spec.name,
                            "the port is lost: {why}"
                        );
                        self.list[index].losses += 1;
                        self.detach(index, State::Lost(why), cores);
                        changed = true;
                    }
                }
                State::Detaching { cores: 0, then } => {
                    self.list[index].close();
                    self.list[index].state = *then;
                    changed = true;
                }
                State::Lost(_) if self.list[index].tried.elapsed() >= RETRY => {
                    self.list[index].tried = Instant::now();
                    if self.list[index].worth_a_try() {
                        match self.attach(index, eal, pool, cores) {
                            Ok(()) => {
                                tracing::info!(
                                    port = self.list[index].spec.name,
                                    "the port is back"
                                );
                                changed = true;
                            }
                            Err(error) => self.list[index].state = State::Lost(error.to_string()),
                        }
                    }
                }
                _ => {}
            }
        }
        changed
    }

    /// Takes the devices' counters.
    pub fn sample(&mut self) {
        self.list.iter_mut().for_each(Slot::take_stats);
    }

    /// Closes all ports; the cores have given their queues back.
    pub fn close(&mut self) {
        for slot in &mut self.list {
            slot.close();
            slot.state = State::Down;
        }
    }

    fn detach(&mut self, index: usize, then: State, cores: &Cores) {
        let port = index as u16;
        let asked = (0..cores.list.len())
            .filter(|&core| cores.send(core, Command::Detach { port }))
            .count();
        self.list[index].state = State::Detaching {
            cores: asked,
            then: Box::new(then),
        };
    }

    /// Collects what the cores have given up. Queues are closed here, by being dropped.
    fn take_back(&mut self, cores: &Cores) -> bool {
        let mut changed = false;
        for core in &cores.list {
            while let Some(retired) = core.handle.retired() {
                if let Retired::Detached { port } = retired
                    && let Some(Slot {
                        state: State::Detaching { cores, .. },
                        ..
                    }) = self.list.get_mut(usize::from(port))
                {
                    *cores = cores.saturating_sub(1);
                    changed = true;
                }
            }
        }
        changed
    }

    fn attach(
        &mut self,
        index: usize,
        eal: &'static Eal,
        pool: &Mempool,
        cores: &Cores,
    ) -> Result<(), PortError> {
        let slot = &mut self.list[index];
        slot.open(eal, pool)?;
        slot.state = State::Attached;
        for queue in 0..slot.spec.queues {
            let Some(queues) = slot
                .port
                .as_ref()
                .and_then(|port| port.rx_queue(queue).zip(port.tx_queue(queue)))
            else {
                continue;
            };
            let core = usize::from(queue) % self.packet_cores.max(1);
            if !cores.send(
                core,
                Command::Attach {
                    port: index as u16,
                    queues,
                },
            ) {
                tracing::error!(port = slot.spec.name, core, "the core's inbox is full");
            }
        }
        Ok(())
    }
}

/// A pool for the driver of an AF_XDP port alone, with buffers like those of the common one.
fn own_pool(eal: &'static Eal, spec: &PortSpec, common: &Mempool) -> Result<DriverPool, PortError> {
    let descriptors = u32::from(spec.rx_descriptors) + u32::from(spec.tx_descriptors);
    let packets = config::own_pool_packets(spec.queues, descriptors);
    DriverPool::create(eal, packets, common.data_room(), common.cache()).map_err(|error| {
        PortError::Pool {
            port: spec.name.clone(),
            packets,
            error,
        }
    })
}

impl Slot {
    fn open(&mut self, eal: &'static Eal, pool: &Mempool) -> Result<(), PortError> {
        let port = match &self.spec.device {
            Device::AfXdp { .. } => self.open_af_xdp(eal, pool)?,
            _ => Port::open(eal, &self.spec, pool)?,
        };
        self.mac = port.mac();
        self.driver = port.driver();
        self.link = port.link();
        self.link_since = Instant::now();
        if let Device::Tap { interface, .. } = &self.spec.device {
            self.tap = TapWatch::new(interface);
        }
        seed(&port, &self.config.device, pool);
        self.interface_index = self.kernel_interface().map_or(0, interface_index);
        self.port = Some(port);
        Ok(())
    }

    /// On a pool of its own. The kernel lets go of a closed socket's queue a little later, so what was
    /// open before gets more than one try.
    fn open_af_xdp(&mut self, eal: &'static Eal, common: &Mempool) -> Result<Port, PortError> {
        let (own, mut tries) = match &self.pool {
            Some(own) => (own.clone(), AF_XDP_TRIES),
            None => {
                let own = own_pool(eal, &self.spec, common)?;
                (self.pool.insert(own).clone(), 1)
            }
        };
        loop {
            tries -= 1;
            match Port::open_with(eal, &self.spec, &own) {
                Err(PortError::Setup { .. }) if tries > 0 => std::thread::sleep(AF_XDP_PAUSE),
                result => return result,
            }
        }
    }

    fn close(&mut self) {
        self.take_stats();
        self.stats_before = self.stats;
        self.tap = None;
        self.port = None;
        self.link = LinkState::default();
    }

    /// Attached, with carrier.
    pub fn in_service(&self) -> bool {
        self.state == State::Attached && self.link.up
    }

    /// The driver's extended counters.
    pub fn xstats(&self) -> Vec<(String, u64)> {
        self.port.as_ref().map(Port::xstats).unwrap_or_default()
    }

    fn take_stats(&mut self) {
        let Some(port) = &self.port else { return };
        let (now, before) = (port.stats(), &self.stats_before);
        self.stats = PortStats {
            rx_packets: before.rx_packets + now.rx_packets,
            tx_packets: before.tx_packets + now.tx_packets,
            rx_bytes: before.rx_bytes + now.rx_bytes,
            tx_bytes: before.tx_bytes + now.tx_bytes,
            rx_missed: before.rx_missed + now.rx_missed,
            rx_errors: before.rx_errors + now.rx_errors,
            tx_errors: before.tx_errors + now.tx_errors,
            rx_no_mbuf: before.rx_no_mbuf + now.rx_no_mbuf,
        };
    }

    fn watch_link(&mut self) -> bool {
        let Some(port) = &self.port else { return false };
        let mut link = port.link();
        if let Some(tap) = &self.tap {
            // The driver asks by name, which means nothing once the interface is in another network
            // namespace.
            link.up = tap.is_up();
            tap.nudge();
        }
        if link == self.link {
            return false;
        }
        if link.up != self.link.up {
            tracing::info!(port = self.spec.name, up = link.up, "the link changed");
            self.link_since = Instant::now();
        }
        self.link = link;
        true
    }

    /// The interface of the kernel that the port needs and did not make.
    fn kernel_interface(&self) -> Option<&str> {
        match &self.spec.device {
            Device::AfXdp { interface, .. } | Device::AfPacket { interface, .. } => Some(interface),
            _ => None,
        }
    }

    /// Why the device behind the port is gone, if it is.
    fn lost(&self) -> Option<String> {
        if let Some(interface) = self.kernel_interface() {
            let index = interface_index(interface);
            if index != self.interface_index {
                return Some(format!("the interface {interface} is gone"));
            }
        }
        match (&self.spec.device, &self.tap) {
            (Device::Tap { interface, .. }, Some(tap)) if tap.is_gone() => {
                Some(format!("the interface {interface} was deleted"))
            }
            // A memif client connects once; when the server was restarted it has to begin anew.
            (
                Device::Memif {
                    server: false,
                    socket,
                    ..
                },
                _,
            ) if !self.link.up && self.link_since.elapsed() > MEMIF_PATIENCE => {
                Some(format!("no memif server answers at {socket}"))
            }
            _ => None,
        }
    }

    /// What a port waits for that may open later, as its kind of device is meant to: a memif client
    /// for its server.
    fn waits_for(&self) -> Option<String> {
        match &self.spec.device {
            Device::Memif {
                server: false,
                socket,
                abstract_socket,
                ..
            } if !memif_server_listens(socket, *abstract_socket) => {
                Some(format!("no memif server answers at {socket}"))
            }
            _ => None,
        }
    }

    /// Whether opening the port again has a chance, so that failures are not logged four times a
    /// second.
    fn worth_a_try(&self) -> bool {
        self.waits_for().is_none()
            && self
                .kernel_interface()
                .is_none_or(|interface| interface_index(interface) != 0)
    }
}

/// Puts a ring port's seed packets into its rings.
fn seed(port: &Port, device: &config::Device, pool: &Mempool) {
    let config::Device::Ring(ring) = device else {
        return;
    };
    let queues = u32::from(port.spec().queues.max(1));
    for queue in 0..port.spec().queues {
        let Some(mut tx) = port.tx_queue(queue) else {
            continue;
        };
        for n in 0..ring.seed_packets / queues {
            let mut batch = Batch::new();
            let frame = seed_frame((n % 256) as u8);
            if let Some(packet) = Packet::from_bytes(pool, &frame)
                && batch.push(packet).is_ok()
            {
                tx.burst(&mut batch);
            }
        }
    }
}

/// A UDP packet of 60 bytes (64 with the check sequence) between addresses of RFC 5737, the source
/// port varying.
fn seed_frame(n: u8) -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14..34].copy_from_slice(&[
        0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1,
    ]);
    frame[34..42].copy_from_slice(&[0x10, n, 0, 9, 0, 26, 0, 0]);
    if let Ok(layers) = Layers::parse(&frame) {
        fill_ipv4_checksum(&mut frame, &layers);
        fill_transport_checksum(&mut frame, &layers);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Verdict, check_transport_checksum, ipv4_checksum_ok};

    #[test]
    fn seed_frames_are_valid_udp_packets_of_many_flows() {
        for n in [0, 7, 255] {
            let frame = seed_frame(n);
            let layers = Layers::parse(&frame).expect("well formed");
            assert_eq!(
                layers.udp(&frame).expect("UDP").source_port(),
                0x1000 + u16::from(n)
            );
            assert!(ipv4_checksum_ok(&frame, &layers));
            assert_eq!(check_transport_checksum(&frame, &layers), Verdict::Good);
        }
    }
}
