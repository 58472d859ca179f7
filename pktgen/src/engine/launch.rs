//! Handing a plan's work to the cores: queues, streams, flows and the links between them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nf_core::control::config::Idle;
use nf_core::dpdk::{LcoreThread, RxQueue, TxQueue};
use nf_core::packet::Packet;
use nf_core::telemetry::Writer;

use super::Engine;
use super::neighbour::Hosts;
use super::plan::{Plan, Source};
use super::receive::{self, ReceiveSettings, Receiver};
use super::running::{Running, Views};
use super::transmit::{StreamSender, Transmitter};
use super::worker::{Signals, Worker};
use crate::departures::Departures;
use crate::stats::{ReceiveCounters, TransmitCounters, WorkCounters};

impl Engine {
    /// Builds the cores' work and starts their threads.
    pub(super) fn launch(&self, plan: &Plan, fill: bool) -> Result<Running, String> {
        let cores = &self.profile.cores;
        let signals = Arc::new(Signals::default());
        let mut cpus: Vec<u16> = cores
            .transmit
            .iter()
            .chain(&cores.receive)
            .copied()
            .collect();
        cpus.sort_unstable();
        cpus.dedup();
        let busy = || "a queue is in use: another run has not ended".to_owned();
        let (transmitters, receivers) = (cores.transmit.len(), cores.receive.len());
        let receives = |name: &str| match &self.profile.receive.ports {
            Some(names) => names.iter().any(|n| **n == *name),
            None => true,
        };

        // Answers to neighbours go from the receive core of a port to the first core that sends.
        let mut replies_to: Vec<Option<rtrb::Producer<Packet>>> = Vec::new();
        let mut replies_from = Vec::new();
        for (index, port) in self.ports.iter().enumerate() {
            if self.profile.receive.answer_neighbours && receives(port.name()) {
                let (producer, consumer) = rtrb::RingBuffer::new(64);
                replies_to.push(Some(producer));
                replies_from.push((index, consumer));
            } else {
                replies_to.push(None);
            }
        }
        let mut views = Views::default();
        let mut halves: Vec<(u16, Option<Transmitter>, Option<Receiver>)> =
            cpus.iter().map(|&cpu| (cpu, None, None)).collect();
        let half = |cpu: u16| cpus.binary_search(&cpu).unwrap_or(0);

        for (core, &cpu) in cores.transmit.iter().enumerate() {
            let queues = self
                .ports
                .iter()
                .map(|port| port.tx_queue(core as u16).ok_or_else(busy))
                .collect::<Result<Vec<TxQueue>, String>>()?;
            let mut senders = Vec::new();
            for (index, stream) in plan.streams.iter().enumerate() {
                if core > 0 && matches!(stream.source, Source::Replay { .. }) {
                    continue;
                }
                let counters = Writer::new(TransmitCounters::default());
                views.transmit.push((index, counters.view()));
                let sender = StreamSender::new(
                    stream,
                    core as u32,
                    transmitters as u32,
                    stream.port,
                    self.runs,
                    plan.seed,
                    fill,
                    counters,
                );
                senders.push(sender.map_err(|e| format!("{}: {e}", stream.name))?);
            }
            let replies = if core == 0 {
                std::mem::take(&mut replies_from)
            } else {
                Vec::new()
            };
            let burst = usize::from(cores.burst);
            let (length, late) = (plan.duration_ns, plan.late_after_ns);
            let pool = self.send_pool.clone();
            let departures = Departures::new(self.clock.clone(), plan.departures)
                .ok_or_else(|| format!("no memory for {} departures", plan.departures))?;
            if let Some(slot) = halves.get_mut(half(cpu)) {
                slot.1 = Some(Transmitter::new(
                    senders, queues, replies, pool, departures, length, late, burst,
                ));
            }
        }

        let mut links = mesh(receivers);
        let mut sources: Vec<Vec<receive::Source>> = (0..receivers).map(|_| Vec::new()).collect();
        let mut turn = 0;
        for (index, port) in self.ports.iter().enumerate() {
            if !receives(port.name()) {
                continue;
            }
            let streams = self
                .profile
                .streams
                .iter()
                .filter(|stream| match &stream.port {
                    Some(name) => **name == *port.name(),
                    None => index == 0,
                });
            let mut hosts = Hosts::of(streams, port.mac());
            if self.profile.streams.is_empty() && index == 0 {
                hosts = Hosts::of([&Default::default()], port.mac());
            }
            for queue in 0..port.spec().queues {
                let queue: RxQueue = port.rx_queue(queue).ok_or_else(busy)?;
                // Only one queue of a port answers: a device without RSS has no other.
                let replies = replies_to.get_mut(index).and_then(Option::take);
                let source = receive::Source {
                    queue,
                    hosts: hosts.clone(),
                    replies,
                };
                if let Some(list) = sources.get_mut(turn % receivers) {
                    list.push(source);
                }
                turn += 1;
            }
        }
        for (core, &cpu) in cores.receive.iter().enumerate() {
            let settings = ReceiveSettings {
                run: self.runs,
                flows: plan.flows,
                window: self.profile.receive.window,
                verify: self.profile.receive.verify_checksums,
                burst: usize::from(cores.burst),
                core: core as u32,
                cores: receivers as u32,
                prefixes: self.profile.prefixes(),
            };
            let counters = Writer::new(ReceiveCounters::default());
            views.receive.push(counters.view());
            let (to, from) = links.get_mut(core).map(std::mem::take).unwrap_or_default();
            let own = sources
                .get_mut(core)
                .map(std::mem::take)
                .unwrap_or_default();
            let pool = self.receive_pool.clone();
            // Looking where nothing can come from would make each turn of a sending core longer.
            let idle = own.is_empty() && receivers == 1;
            if let Some(slot) = halves.get_mut(half(cpu))
                && !idle
            {
                slot.2 = Some(Receiver::new(own, pool, settings, to, from, counters));
            }
        }

        let mut threads = Vec::new();
        for (cpu, transmitter, receiver) in halves {
            let work = Writer::new(WorkCounters::default());
            views.work.push((usize::from(cpu), work.view()));
            let worker = Worker {
                transmitter,
                receiver,
                work,
                clock: self.clock.clone(),
                signals: Arc::clone(&signals),
                adaptive: cores.idle == Idle::Adaptive,
            };
            let name = format!("pktgen-{cpu}");
            let thread =
                LcoreThread::spawn(self.eal, &name, usize::from(cpu), move || worker.run());
            match thread {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    signals.stop.store(true, Ordering::Relaxed);
                    threads.into_iter().for_each(|thread| drop(thread.join()));
                    return Err(error.to_string());
                }
            }
        }
        let streams = plan.streams.len();
        Ok(Running {
            signals,
            threads,
            views,
            streams,
            transmitters: transmitters as u64,
        })
    }
}

/// Connects every receive core with every other: per core, its ways out and in.
#[allow(clippy::type_complexity)] // spelled out once, here
fn mesh(
    cores: usize,
) -> Vec<(
    Vec<Option<rtrb::Producer<receive::Report>>>,
    Vec<rtrb::Consumer<receive::Report>>,
)> {
    let mut links: Vec<(Vec<_>, Vec<_>)> = (0..cores).map(|_| (Vec::new(), Vec::new())).collect();
    for from in 0..cores {
        for to in 0..cores {
            let (producer, consumer) = match from == to {
                true => (None, None),
                false => {
                    let (producer, consumer) = rtrb::RingBuffer::new(8192);
                    (Some(producer), Some(consumer))
                }
            };
            if let Some(link) = links.get_mut(from) {
                link.0.push(producer);
            }
            if let Some(link) = links.get_mut(to) {
                link.1.extend(consumer);
            }
        }
    }
    links
}
