//! The machine: DPDK's environment, ports and pools that stay, and runs on them.
//!
//! An [`Engine`] is opened once per process; [`Engine::run`] can be called again and again, as RFC 2544
//! needs it. Each run has its own number in the signatures, so stragglers of the one before are
//! told apart.

pub mod echo;
mod gateways;
mod launch;
pub mod neighbour;
mod open;
pub mod plan;
pub mod ports;
mod receive;
mod running;
mod transmit;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use nf_core::clock::Clock;
use nf_core::dpdk::{Eal, Mempool, Port, PortStats};

use crate::departures::merge;
use crate::endpoints::port::Queues;
use crate::profile::Profile;
use crate::stats::{ReceiveSnapshot, TransmitSnapshot, WorkSnapshot};
use crate::template::{SizeInfo, Template};
use crate::tracker::Flow;
use plan::{Plan, PortInfo, Source, StreamPlan};
use worker::Harvest;

/// Open ports, and what runs on them.
pub struct Engine {
    eal: &'static Eal,
    profile: Profile,
    ports: Vec<Port>,
    /// Packets that are sent; their payload filler is written once.
    send_pool: Mempool,
    /// Packets that are received.
    receive_pool: Mempool,
    /// Filler that the packets of `send_pool` hold.
    prepared: Option<Filler>,
    clock: Clock,
    runs: u8,
    gateways: Vec<Option<[u8; 6]>>,
}

/// How the filler of a frame is made.
type Filler = crate::profile::packet::Payload;

/// What has been counted so far, seen from the control thread.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Seconds since the first packet was due.
    pub elapsed_s: f64,
    /// All streams on all cores.
    pub sent: TransmitSnapshot,
    /// Per stream, all cores.
    pub streams: Vec<TransmitSnapshot>,
    /// All receive cores.
    pub received: ReceiveSnapshot,
    /// Per core: CPU, where its time went.
    pub work: Vec<(usize, WorkSnapshot)>,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Final counts.
    pub progress: Progress,
    /// When the last packet left, seconds since the start.
    pub last_sent_s: f64,
    /// When the last core had nothing left to send, seconds since the start.
    pub ended_s: f64,
    /// Of each tracked flow: packets sent, what was received.
    pub flows: Vec<(u64, Flow)>,
    /// Sequence numbers that the tracking window covered.
    pub window: u64,
    /// Of each port: device counters at the end less those at the start.
    pub ports: Vec<PortStats>,
    /// When the first packets left, nanoseconds since the start; as many as the plan says.
    pub departures: Vec<u64>,
    /// Whether the user ended it.
    pub interrupted: bool,
}

/// What a [`Engine::run`] tells while it goes on, and how it is ended early.
pub trait Observer {
    /// Called about every `interval`; answers whether to go on.
    fn progress(&mut self, progress: &Progress) -> bool;

    /// How often to be called.
    fn interval(&self) -> Duration {
        Duration::from_millis(100)
    }
}

impl Observer for () {
    fn progress(&mut self, _: &Progress) -> bool {
        true
    }
}

/// Longest wait for a link to come up: a memif client tries once a second.
const LINK_PATIENCE: Duration = Duration::from_secs(5);

impl Engine {
    /// DPDK's folder for this process's run-time files.
    pub fn runtime_folder(&self) -> std::path::PathBuf {
        std::path::Path::new("/var/run/dpdk").join(open::eal_config(&self.profile).prefix)
    }

    /// The profile it was opened with.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Changes what the next runs send; the ports stay as they are.
    pub fn change(&mut self, change: impl FnOnce(&mut Profile)) {
        change(&mut self.profile);
    }

    /// The open ports.
    pub fn ports(&self) -> Vec<PortInfo> {
        self.ports
            .iter()
            .map(|port| PortInfo {
                name: port.name().to_owned(),
                mac: port.mac(),
                link: port.link(),
                driver: port.driver(),
            })
            .collect()
    }

    /// Packets of both pools that are in use; the same after every run.
    pub fn packets_in_use(&self) -> u32 {
        self.send_pool.in_use() + self.receive_pool.in_use()
    }

    /// Waits until the links are up. The names of those that stay down are returned: sending to
    /// them may still be what is wanted.
    pub fn wait_for_links(&self) -> Vec<String> {
        let deadline = Instant::now() + LINK_PATIENCE;
        loop {
            let down: Vec<String> = self
                .ports
                .iter()
                .filter(|port| !port.link().up)
                .map(|port| port.name().to_owned())
                .collect();
            if down.is_empty() || Instant::now() >= deadline {
                return down;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The plan of the profile as it is now.
    pub fn plan(&self, seed: u64) -> Result<Plan, String> {
        plan::compile(&self.profile, &self.ports(), &self.gateways, seed)
    }

    /// Makes sure that every packet of the sending pool holds the filler of `streams`. False if
    /// streams differ in it, or in where it begins, so that each packet has to be filled as it is sent.
    fn prepare(&mut self, streams: &[StreamPlan]) -> bool {
        let mut templates: Vec<&Arc<Template>> = Vec::new();
        for stream in streams {
            match &stream.source {
                Source::Template(template) => templates.push(template),
                // Replayed frames overwrite what lies in the packets.
                Source::Replay { .. } => {
                    self.prepared = None;
                    return false;
                }
            }
        }
        let Some(first) = templates.first() else {
            return true;
        };
        // Where heads differ in length, what the longer one wrote would be found behind the shorter one by
        // who gets the packet next.
        let mut rooms = templates
            .iter()
            .flat_map(|template| template.sizes())
            .map(SizeInfo::room);
        let room = rooms.next();
        let differ = |template: &&Arc<Template>| template.payload() != first.payload();
        if rooms.any(|other| Some(other) != room) || templates.iter().any(differ) {
            self.prepared = None;
            return false;
        }
        if self.prepared.as_ref() == Some(first.payload()) {
            return true;
        }
        let mut held = Vec::new();
        while let Some(mut packet) = self.send_pool.alloc() {
            let room = packet.tailroom();
            if let Some(frame) = packet.append(room) {
                for (offset, byte) in frame.iter_mut().enumerate() {
                    *byte = first.filler(offset);
                }
            }
            held.push(packet);
        }
        self.prepared = Some(first.payload().clone());
        true
    }

    /// The first queue of the first port, for who sends and receives alone.
    pub fn queues(&self) -> Result<Queues, String> {
        let port = self.ports.first().ok_or("no port is open")?;
        let (Some(rx), Some(tx)) = (port.rx_queue(0), port.tx_queue(0)) else {
            return Err(format!("port `{}`: its queue is in use", port.name()));
        };
        Ok(Queues {
            rx,
            tx,
            pool: self.receive_pool.clone(),
            mac: port.mac(),
            longest: usize::from(port.spec().mtu) + nf_core::wire::ethernet::HEADER_LEN,
        })
    }

    /// DPDK's environment, and the first of the processors that send.
    pub fn lcore(&self) -> (&'static Eal, usize) {
        let cpu = self.profile.cores.transmit.first().copied().unwrap_or(0);
        (self.eal, usize::from(cpu))
    }

    /// Carries out `plan`.
    pub fn run(&mut self, plan: &Plan, observer: &mut dyn Observer) -> Result<Outcome, String> {
        let fill = !self.prepare(&plan.streams);
        self.runs = self.runs.wrapping_add(1);
        let before: Vec<PortStats> = self.ports.iter().map(Port::stats).collect();
        let mut running = self.launch(plan, fill)?;
        let result = running.watch(&self.clock, observer, &self.profile);
        let (progress, harvests, interrupted) = result;
        let last =
            |time: fn(&Harvest) -> u64| harvests.iter().map(time).max().unwrap_or(0) as f64 / 1e9;
        let (last_sent_s, ended_s) = (last(|h| h.last_sent_ns), last(|h| h.ended_ns));

        let mut departures = Vec::new();
        let mut flows: Vec<(u64, Flow)> = vec![(0, Flow::default()); plan.flows as usize];
        for harvest in harvests {
            departures.push(harvest.departures);
            for (flow, sent) in harvest.sent {
                if let Some(slot) = flows.get_mut(flow as usize) {
                    slot.0 += sent;
                }
            }
            for (flow, state) in harvest.flows {
                if let Some(slot) = flows.get_mut(flow as usize) {
                    slot.1 = state;
                }
            }
        }
        let receivers = self.profile.cores.receive.len().max(1) as u32;
        let own = plan.flows.div_ceil(receivers);
        let window = match self.profile.receive.window {
            Some(window) => window.max(64).next_power_of_two(),
            None => crate::tracker::window_for(own),
        };
        let ports = self
            .ports
            .iter()
            .zip(before)
            .map(|(port, b)| difference(port.stats(), b));
        Ok(Outcome {
            progress,
            last_sent_s,
            ended_s,
            flows,
            window,
            ports: ports.collect(),
            departures: merge(departures, plan.departures),
            interrupted,
        })
    }
}

fn difference(now: PortStats, before: PortStats) -> PortStats {
    PortStats {
        rx_packets: now.rx_packets.wrapping_sub(before.rx_packets),
        tx_packets: now.tx_packets.wrapping_sub(before.tx_packets),
        rx_bytes: now.rx_bytes.wrapping_sub(before.rx_bytes),
        tx_bytes: now.tx_bytes.wrapping_sub(before.tx_bytes),
        rx_missed: now.rx_missed.wrapping_sub(before.rx_missed),
        rx_errors: now.rx_errors.wrapping_sub(before.rx_errors),
        tx_errors: now.tx_errors.wrapping_sub(before.tx_errors),
        rx_no_mbuf: now.rx_no_mbuf.wrapping_sub(before.rx_no_mbuf),
    }
}

#[cfg(test)]
mod tests;
