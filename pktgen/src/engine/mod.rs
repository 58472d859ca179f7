//! The machine: DPDK's environment, ports and pools that stay, and runs on them.
//!
//! An [`Engine`] is opened once per process; [`Engine::run`] can be called again and again, as RFC 2544
//! needs it. Each run has its own number in the signatures, so stragglers of the one before are
//! told apart.

pub mod echo;
pub mod neighbour;
pub mod plan;
pub mod ports;
mod receive;
mod transmit;
mod worker;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nf_core::clock::Clock;
use nf_core::control::config::{DpdkLogLevel, Hugepages, Idle};
use nf_core::dpdk::{
    Eal, EalConfig, HugepagePolicy, LcoreThread, LogLevel, MbufRing, Mempool, Port, PortStats,
    RxQueue, TxQueue,
};
use nf_core::packet::{Batch, Packet};
use nf_core::telemetry::{View, Writer};
use nf_core::wire::Layers;

use crate::profile::Profile;
use crate::stats::{
    ReceiveCounters, ReceiveSnapshot, TransmitCounters, TransmitSnapshot, WorkCounters,
    WorkSnapshot,
};
use crate::template::Template;
use crate::tracker::Flow;
use neighbour::{Hosts, Question};
use plan::{Plan, PortInfo, Source, StreamPlan};
use receive::{ReceiveSettings, Receiver};
use transmit::{StreamSender, Transmitter};
use worker::{Harvest, Signals, Worker};

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
/// Longest wait for a gateway's answer.
const GATEWAY_PATIENCE: Duration = Duration::from_secs(5);

/// EAL's settings from the configuration's.
fn eal_config(profile: &Profile) -> EalConfig {
    let config = &profile.eal;
    let pci = profile.ports.iter().filter_map(|port| match &port.device {
        nf_core::control::config::Device::Pci(pci) => Some(pci.address.as_str().to_owned()),
        _ => None,
    });
    let name = profile.name.as_ref().map_or("pktgen", |name| name);
    EalConfig {
        prefix: format!("{name}-{}", std::process::id()),
        memory_mib: config.memory_mb,
        hugepages: match config.hugepages {
            Hugepages::Auto => HugepagePolicy::Auto,
            Hugepages::Required => HugepagePolicy::Required,
            Hugepages::Off => HugepagePolicy::Off,
        },
        in_memory: config.in_memory,
        pci: pci.collect(),
        log_level: match config.dpdk_log_level {
            level if level <= DpdkLogLevel::Error => LogLevel::Error,
            level if level <= DpdkLogLevel::Warning => LogLevel::Warning,
            level if level <= DpdkLogLevel::Info => LogLevel::Info,
            _ => LogLevel::Debug,
        },
        telemetry: config.dpdk_telemetry,
        ..EalConfig::default()
    }
}

impl Engine {
    /// Starts DPDK and opens the profile's ports. With `self_test`, two ring ports wired to each other
    /// take the place of the profile's.
    pub fn open(profile: Profile, self_test: bool) -> Result<Engine, String> {
        let eal = match Eal::get() {
            Some(eal) => eal,
            None => Eal::init(&eal_config(&profile)).map_err(|error| error.to_string())?,
        };
        Engine::open_on(eal, profile, self_test)
    }

    /// As [`Engine::open`], on an environment that already runs.
    pub fn open_on(
        eal: &'static Eal,
        mut profile: Profile,
        self_test: bool,
    ) -> Result<Engine, String> {
        let largest = plan::largest_frame(&profile).max(replayed_frame(&profile));
        let (transmit, receive) = (profile.cores.transmit.len(), profile.cores.receive.len());
        let queues = u16::try_from(transmit.max(receive)).map_err(|_| "too many cores")?;
        if self_test {
            let port = |name| ports::parse(name, "ring");
            profile.ports = vec![port("left")?, port("right")?];
        }
        let slots: usize = profile
            .ports
            .iter()
            .map(|port| {
                let queues = usize::from(port.queues.unwrap_or(queues));
                queues * usize::from(port.rx_descriptors.max(port.tx_descriptors))
            })
            .sum();
        let packets = profile.mempool.packets.max((slots * 2 + 4096) as u32);
        let room = u32::try_from(largest + 256).unwrap_or(u32::MAX);
        let room = profile.mempool.data_room_bytes.max(room).min(65_535) as u16;
        let cache = profile.mempool.cache;
        let id = unique();
        let pool = |kind: &str| {
            Mempool::create(eal, &format!("pg_{kind}_{id}"), packets, room, cache).map_err(
                |error| {
                    format!(
                        "no memory for {packets} packet buffers of {room} bytes: {error}; raise \
                     eal.memory_mb or lower mempool.packets"
                    )
                },
            )
        };
        let (send_pool, receive_pool) = (pool("tx")?, pool("rx")?);
        let opened = if self_test {
            open_wired(eal, &profile, &receive_pool, queues, largest, id)?
        } else {
            profile
                .ports
                .iter()
                .map(|config| {
                    let queues = config.queues.unwrap_or(queues);
                    Port::open(eal, &ports::spec(config, queues, largest), &receive_pool)
                        .map_err(|error| error.to_string())
                })
                .collect::<Result<Vec<Port>, String>>()?
        };
        Ok(Engine {
            eal,
            profile,
            ports: opened,
            send_pool,
            receive_pool,
            prepared: None,
            clock: Clock::system(),
            runs: 0,
            gateways: Vec::new(),
        })
    }

    /// DPDK's folder for this process's run-time files.
    pub fn runtime_folder(&self) -> std::path::PathBuf {
        std::path::Path::new("/var/run/dpdk").join(eal_config(&self.profile).prefix)
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

    /// Asks for the MAC addresses of the streams' gateways.
    pub fn resolve_gateways(&mut self) -> Result<(), String> {
        let mut gateways = Vec::new();
        for (index, stream) in self.profile.streams.iter().enumerate() {
            let port = match &stream.port {
                Some(name) => self.ports.iter().find(|port| port.name() == &**name),
                None => self.ports.first(),
            };
            let question = port.and_then(|port| Question::of(stream, port.mac()));
            gateways.push(match (question, port) {
                (Some(question), Some(port)) => Some(
                    self.ask(port, &question)
                        .ok_or_else(|| no_answer(index, question.gateway, port.name()))?,
                ),
                _ => None,
            });
        }
        self.gateways = gateways;
        Ok(())
    }

    fn ask(&self, port: &Port, question: &Question) -> Option<[u8; 6]> {
        let (mut rx, mut tx) = (port.rx_queue(0)?, port.tx_queue(0)?);
        let streams = self.profile.streams.iter();
        let hosts = Hosts::of(streams, port.mac());
        let deadline = Instant::now() + GATEWAY_PATIENCE;
        let mut next = Instant::now();
        let mut batch = Batch::new();
        let send = |tx: &mut TxQueue, frame: &[u8]| {
            let mut batch = Batch::new();
            if let Some(packet) = Packet::from_bytes(&self.receive_pool, frame) {
                let _ = batch.push(packet);
                tx.burst(&mut batch);
            }
        };
        while Instant::now() < deadline {
            let mut frame = [0; neighbour::ANSWER_BYTES];
            if Instant::now() >= next {
                next = Instant::now() + Duration::from_millis(200);
                let length = question.write(&mut frame)?;
                send(&mut tx, frame.get(..length.max(60))?);
            }
            rx.burst(&mut batch, Batch::CAPACITY);
            for packet in &batch {
                let layers = Layers::parse_lax(packet.data(), packet.len());
                if let Some(mac) = question.answered(packet.data(), &layers) {
                    return Some(mac);
                }
                if let Some(length) = hosts.answer(packet.data(), &layers, &mut frame) {
                    send(&mut tx, frame.get(..length.max(60))?);
                }
            }
            batch.clear();
            std::thread::sleep(Duration::from_micros(200));
        }
        None
    }

    /// The plan of the profile as it is now.
    pub fn plan(&self, seed: u64) -> Result<Plan, String> {
        plan::compile(&self.profile, &self.ports(), &self.gateways, seed)
    }

    /// Makes sure that every packet of the sending pool holds the filler of `streams`. False if
    /// streams differ in it, so that each packet has to be filled as it is sent.
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
        if templates
            .iter()
            .any(|template| template.payload() != first.payload())
        {
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

        let mut flows: Vec<(u64, Flow)> = vec![(0, Flow::default()); plan.flows as usize];
        for harvest in harvests {
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
            interrupted,
        })
    }

    /// Builds the cores' work and starts their threads.
    fn launch(&self, plan: &Plan, fill: bool) -> Result<Running, String> {
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
            if let Some(slot) = halves.get_mut(half(cpu)) {
                slot.1 = Some(Transmitter::new(
                    senders, queues, replies, pool, length, late, burst,
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
            };
            let counters = Writer::new(ReceiveCounters::default());
            views.receive.push(counters.view());
            let (to, from) = links.get_mut(core).map(std::mem::take).unwrap_or_default();
            let own = sources
                .get_mut(core)
                .map(std::mem::take)
                .unwrap_or_default();
            let pool = self.receive_pool.clone();
            if let Some(slot) = halves.get_mut(half(cpu)) {
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

fn no_answer(stream: usize, gateway: IpAddr, port: &str) -> String {
    format!(
        "stream {stream}: the gateway {gateway} did not answer on port `{port}` within {} s; is it \
         there, and is the stream's source address one of its network?",
        GATEWAY_PATIENCE.as_secs()
    )
}

/// Longest frame of the profile's capture files, as far as they can be read; reading them again is for
/// the plan, which also tells what is wrong with them.
fn replayed_frame(profile: &Profile) -> usize {
    let files = profile
        .streams
        .iter()
        .filter_map(|stream| stream.replay.as_ref());
    files
        .filter_map(|replay| std::fs::read(&replay.file).ok())
        .filter_map(|bytes| crate::pcap::read(&bytes).ok())
        .flat_map(|capture| capture.frames.into_iter().map(|frame| frame.bytes.len()))
        .max()
        .unwrap_or(0)
}

/// A number that no other engine of the process has.
fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Two ring ports, each of which receives what the other sends.
fn open_wired(
    eal: &'static Eal,
    profile: &Profile,
    pool: &Mempool,
    queues: u16,
    largest: usize,
    id: u64,
) -> Result<Vec<Port>, String> {
    let rings = |side: &str| {
        (0..queues)
            .map(|queue| MbufRing::create(eal, &format!("pg_{side}_{id}_{queue}"), 4096))
            .collect::<Result<Vec<MbufRing>, _>>()
            .map_err(|error| error.to_string())
    };
    let (one, other) = (rings("a")?, rings("b")?);
    let mut ports = Vec::new();
    for (config, rx, tx) in [
        (profile.ports.first(), &one, &other),
        (profile.ports.get(1), &other, &one),
    ] {
        let config = config.ok_or("a self-test has two ports")?;
        let spec = ports::spec(config, queues, largest);
        let port = Port::open_rings(eal, &spec, pool, rx.clone(), tx.clone());
        ports.push(port.map_err(|error| error.to_string())?);
    }
    Ok(ports)
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

#[derive(Default)]
struct Views {
    /// Stream, its counters on one core.
    transmit: Vec<(usize, View<TransmitCounters>)>,
    receive: Vec<View<ReceiveCounters>>,
    work: Vec<(usize, View<WorkCounters>)>,
}

/// A run whose cores have started.
struct Running {
    signals: Arc<Signals>,
    threads: Vec<LcoreThread<Harvest>>,
    views: Views,
    streams: usize,
    transmitters: u64,
}

impl Running {
    fn progress(&self, elapsed_s: f64) -> Progress {
        let mut streams = vec![TransmitSnapshot::default(); self.streams];
        let mut sent = TransmitSnapshot::default();
        for (stream, view) in &self.views.transmit {
            let snapshot = view.snapshot();
            sent.add(&snapshot);
            if let Some(stream) = streams.get_mut(*stream) {
                stream.add(&snapshot);
            }
        }
        let mut received = ReceiveSnapshot::default();
        for view in &self.views.receive {
            received.add(&view.snapshot());
        }
        let work = self
            .views
            .work
            .iter()
            .map(|(cpu, view)| (*cpu, view.snapshot()));
        Progress {
            elapsed_s,
            sent,
            streams,
            received,
            work: work.collect(),
        }
    }

    /// Gives the start, watches until all is sent and the rest has settled, and stops the cores.
    fn watch(
        &mut self,
        clock: &Clock,
        observer: &mut dyn Observer,
        profile: &Profile,
    ) -> (Progress, Vec<Harvest>, bool) {
        // Every core has the same start, a little ahead, so that none begins late.
        let start = clock.now() + 5_000_000;
        self.signals.start.store(start, Ordering::Release);
        let elapsed = || clock.now().saturating_sub(start) as f64 / 1e9;
        let interval = observer.interval();
        let mut next = Instant::now() + interval;
        let mut interrupted = false;
        while self.signals.done.load(Ordering::Acquire) < self.transmitters {
            let pause = next.saturating_duration_since(Instant::now());
            std::thread::sleep(pause.min(Duration::from_millis(2)));
            if Instant::now() >= next {
                next += interval;
                if !observer.progress(&self.progress(elapsed())) && !interrupted {
                    interrupted = true;
                    self.signals.stop_sending.store(true, Ordering::Relaxed);
                }
            }
        }
        let seconds = elapsed();
        // What is still under way may take its time, but once everything is back there is nothing to
        // wait for.
        let settled = Instant::now() + profile.receive.settle.0;
        while Instant::now() < settled {
            let progress = self.progress(seconds);
            let back = progress.received.unique + progress.received.too_late;
            if progress.sent.tracked > 0
                && progress.sent.tracked == progress.sent.packets
                && back >= progress.sent.tracked
            {
                // A little longer, for duplicates.
                std::thread::sleep(Duration::from_millis(20).min(profile.receive.settle.0));
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.signals.stop.store(true, Ordering::Relaxed);
        let harvests = self
            .threads
            .drain(..)
            .filter_map(LcoreThread::join)
            .collect();
        let progress = self.progress(seconds);
        observer.progress(&progress);
        (progress, harvests, interrupted)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signals.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
