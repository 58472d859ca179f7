//! A stage between ports that are not there, in virtual time.

use std::sync::Arc;

use serde_json::Value;

use super::port::on_the_wire;
use super::{Frame, eal, pool, unique};
use crate::chain::{
    BuildContext, CHAIN_REASONS, Chain, ChainStage, Claims, CommandError, Direction, EgressTable,
    Env, EnvConfig, Output, ReloadError, Stage, StageControl, StageKind, StagePort, TraceEvent,
    TraceRecord, TraceSession,
};
use crate::check::{CheckContext, JsonPath, PortFacts, Problems, Side};
use crate::clock::{Clock, VirtualClock};
use crate::dpdk::{Mempool, TxChecksums};
use crate::packet::{Batch, Packet};
use crate::publish::{Hub, Watch};
use crate::stages::builtin;
use crate::telemetry::{CounterDesc, StageSnapshot, Telemetry};

/// The stage's name on the bench.
const NAME: &str = "stage";

/// Timers that a shard may have at a time.
const TIMERS: usize = 4096;

/// How often the control side's tick is called, nanoseconds of virtual time.
const TICK_NS: u64 = 100_000_000;

/// How far virtual time moves at once, nanoseconds.
const STEP_NS: u64 = 1_000_000;

/// A packet that left by a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The port's index.
    pub port: u16,
    /// Which core sent it.
    pub core: usize,
    /// The frame, all segments; with the checksums that were left to the port.
    pub bytes: Vec<u8>,
    /// Whether they were.
    pub leaves_checksums: bool,
}

/// What a bench is made of, where the default does not fit.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// The ports; by default `clients` and `servers`, of those sides, with an MTU of 1500 and the MAC
    /// addresses of [`Frame::port_mac`].
    pub ports: Vec<StagePort>,
    /// Packet cores, each with a shard; by default one.
    pub cores: usize,
    /// Packets in the pool.
    pub packets: u32,
    /// A pool to take instead of one of its own: a new one takes longer than most tests. Nobody else may
    /// have packets of it when conservation is checked.
    pub pool: Option<Mempool>,
    /// Seed of the random source.
    pub seed: u64,
    /// Built-in stages behind the one on the bench, towards the servers: kind and settings. Each has its
    /// kind as its name.
    pub behind: Vec<(&'static str, Value)>,
}

impl Default for BenchOptions {
    fn default() -> BenchOptions {
        BenchOptions {
            ports: vec![
                BenchOptions::port(0, "clients", Side::Client),
                BenchOptions::port(1, "servers", Side::Server),
            ],
            cores: 1,
            packets: 4095,
            pool: None,
            seed: 7,
            behind: Vec::new(),
        }
    }
}

impl BenchOptions {
    /// A port as the bench makes them.
    pub fn port(index: u16, name: &str, side: Side) -> StagePort {
        StagePort {
            name: name.into(),
            side,
            mac: Frame::port_mac(index).0,
            mtu: 1500,
            up: true,
            tx_checksums: Some(TxChecksums::default()),
        }
    }
}

/// What the stages of a kind count: reasons for drops, and counters.
type Counts = (&'static [&'static str], &'static [CounterDesc]);

/// A stage behind the one on the bench.
pub(super) struct Behind {
    name: &'static str,
    control: Box<dyn StageControl>,
    counts: Counts,
}

/// A core whose chain is one stage, or begins with it.
pub(super) struct Core {
    pub(super) chain: Chain,
    pub(super) env: Env,
    watch: Watch,
}

/// What all cores of a bench share.
pub(super) struct Shared {
    pub(super) pool: Mempool,
    pub(super) clock: Clock,
    pub(super) hub: Hub,
    pub(super) telemetry: Telemetry,
    pub(super) claims: Claims,
}

impl Shared {
    pub(super) fn new(pool: Mempool, clock: Clock) -> Shared {
        Shared {
            pool,
            clock,
            hub: Hub::new(),
            telemetry: Telemetry::new(1e9),
            claims: Claims::default(),
        }
    }

    /// The control sides of the stages behind the one on the bench.
    fn build_behind(&self, options: &BenchOptions) -> Vec<Behind> {
        let registry = builtin();
        let kinds = options.behind.iter().map(|(name, config)| {
            let kind = registry.get(name).expect("a built-in stage");
            Behind {
                name,
                control: self.build(kind, config, options),
                counts: (kind.reasons(), kind.counters()),
            }
        });
        kinds.collect()
    }

    /// The control side of a stage of that kind.
    pub(super) fn build(
        &self,
        kind: &dyn StageKind,
        config: &Value,
        options: &BenchOptions,
    ) -> Box<dyn StageControl> {
        let context = BuildContext {
            name: unique(NAME),
            ports: options.ports.clone(),
            cores: options.cores,
            eal: eal(),
            pool: self.pool.clone(),
            clock: self.clock.clone(),
            hub: self.hub.clone(),
            claims: self.claims.clone(),
            actors: None,
        };
        kind.build(config, &context).expect("the stage is built")
    }

    /// A core with that shard, and those of the stages behind it, between the ports.
    pub(super) fn core(
        &self,
        core: usize,
        shard: Box<dyn Stage>,
        (reasons, counters): Counts,
        behind: &mut [Behind],
        options: &BenchOptions,
    ) -> Core {
        let sides: Vec<_> = options.ports.iter().map(|port| (port.side, None)).collect();
        let telemetry = &self.telemetry;
        let first = telemetry.stage(NAME, "test", core, reasons, counters);
        let mut stages = vec![ChainStage::new(NAME, core, shard, first, TIMERS)];
        stages.extend(behind.iter_mut().map(|stage| {
            let (reasons, counters) = stage.counts;
            let counters = telemetry.stage(stage.name, "test", core, reasons, counters);
            ChainStage::new(
                stage.name,
                core,
                stage.control.shard(core),
                counters,
                TIMERS,
            )
        }));
        Core {
            chain: Chain::new(stages, EgressTable::new(&sides)),
            env: Env::new(EnvConfig {
                core,
                pool: self.pool.clone(),
                clock: self.clock.clone(),
                seed: options.seed.wrapping_add(core as u64),
                counters: telemetry.core(core),
                chain_counters: telemetry.stage("chain", "chain", core, CHAIN_REASONS, &[]),
            }),
            watch: self.hub.watch(),
        }
    }

    /// What the stage has counted, summed over cores.
    pub(super) fn counted(&self) -> StageSnapshot {
        let snapshot = self.telemetry.snapshot();
        snapshot
            .stage(NAME)
            .expect("the stage counts")
            .total
            .clone()
    }

    /// With control side and cores gone: every packet is back in the pool, every version freed.
    pub(super) fn assert_nothing_left(self) {
        self.hub.reclaim();
        assert_eq!(self.hub.pending(), 0, "every published version was freed");
        assert_eq!(self.pool.in_use(), 0, "every packet is back in the pool");
    }
}

/// Collects what leaves.
#[derive(Default)]
struct Sink {
    core: usize,
    sent: Vec<Sent>,
    /// Packets for which ports have room until somebody looks; `None` for any number.
    room: Option<usize>,
    /// The checksums that each port fills in.
    offered: Vec<Option<TxChecksums>>,
}

impl Output for Sink {
    fn send(&mut self, env: &mut Env, port: u16, batch: &mut Batch) {
        let fits = self.room.map_or(batch.len(), |room| {
            room.saturating_sub(self.sent.len()).min(batch.len())
        });
        let mut place = 0;
        let mut left = Batch::new();
        batch.sift(|packet| {
            place += 1;
            if place <= fits {
                return Some(packet);
            }
            left.push(packet).err()
        });
        env.not_delivered(&left);
        for packet in batch.drain() {
            let offered = self.offered.get(usize::from(port)).copied().flatten();
            self.sent.push(Sent {
                port,
                core: self.core,
                bytes: on_the_wire(&packet, offered),
                leaves_checksums: packet.leaves_checksums(),
            });
        }
    }
}

/// One stage in a chain of its own, with its control side.
pub struct StageBench {
    control: Option<Box<dyn StageControl>>,
    behind: Vec<Behind>,
    cores: Vec<Core>,
    ports: Vec<StagePort>,
    sink: Sink,
    sent_at_start: Vec<Sent>,
    shared: Shared,
    time: VirtualClock,
    ticked: u64,
}

impl std::fmt::Debug for StageBench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StageBench").finish_non_exhaustive()
    }
}

impl StageBench {
    /// Index of the port to the clients.
    pub const CLIENTS: u16 = 0;
    /// Index of the port to the servers.
    pub const SERVERS: u16 = 1;

    /// A stage of this kind between the default ports on one core. Panics with the whole list of
    /// problems if the settings do not pass the kind's check.
    pub fn new(kind: &dyn StageKind, config: Value) -> StageBench {
        StageBench::with(kind, config, BenchOptions::default())
    }

    /// The same with other ports, more cores, and so on.
    pub fn with(kind: &dyn StageKind, config: Value, options: BenchOptions) -> StageBench {
        let problems = check(kind, &config, &options);
        assert!(
            !problems.has_errors(),
            "settings do not pass the check: {problems:?}"
        );
        let (time, shared) = StageBench::shared(&options);
        let mut control = shared.build(kind, &config, &options);
        let shards = (0..options.cores).map(|core| control.shard(core)).collect();
        let counts = (kind.reasons(), kind.counters());
        let behind = shared.build_behind(&options);
        let mut bench = StageBench::assemble(shards, counts, behind, options, time, shared);
        bench.control = Some(control);
        bench
    }

    /// A bench of a shard without control side, on one core between the default ports.
    pub fn of_shard(
        shard: Box<dyn Stage>,
        reasons: &'static [&'static str],
        counters: &'static [CounterDesc],
    ) -> StageBench {
        let options = BenchOptions::default();
        let (time, shared) = StageBench::shared(&options);
        let counts = (reasons, counters);
        StageBench::assemble(vec![shard], counts, Vec::new(), options, time, shared)
    }

    fn shared(options: &BenchOptions) -> (VirtualClock, Shared) {
        let time = VirtualClock::new();
        let clock = Clock::Virtual(time.clone());
        let own = || pool(options.packets);
        let pool = options.pool.clone().unwrap_or_else(own);
        (time, Shared::new(pool, clock))
    }

    fn assemble(
        shards: Vec<Box<dyn Stage>>,
        counts: Counts,
        mut behind: Vec<Behind>,
        options: BenchOptions,
        time: VirtualClock,
        shared: Shared,
    ) -> StageBench {
        let cores = shards.into_iter().enumerate();
        let cores =
            cores.map(|(core, shard)| shared.core(core, shard, counts, &mut behind, &options));
        let mut cores: Vec<Core> = cores.collect();
        let mut sink = Sink {
            offered: options.ports.iter().map(|port| port.tx_checksums).collect(),
            ..Sink::default()
        };
        for (core, slot) in cores.iter_mut().enumerate() {
            sink.core = core;
            slot.chain.start(&mut slot.env, &mut sink);
        }
        StageBench {
            control: None,
            behind,
            cores,
            ports: options.ports,
            sent_at_start: std::mem::take(&mut sink.sent),
            sink,
            shared,
            time,
            ticked: 0,
        }
    }

    /// What left when the cores [started](Stage::start), once.
    pub fn sent_at_start(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent_at_start)
    }

    /// Receives frames by a port on core 0, in bursts of up to 64; gives what left meanwhile.
    pub fn run(&mut self, port: u16, frames: &[impl AsRef<[u8]>]) -> Vec<Sent> {
        self.run_on(0, port, frames)
    }

    /// The same on any core.
    pub fn run_on(&mut self, core: usize, port: u16, frames: &[impl AsRef<[u8]>]) -> Vec<Sent> {
        let mut sent = Vec::new();
        for burst in frames.chunks(Batch::CAPACITY) {
            let packets = burst.iter().map(|frame| {
                Packet::from_bytes(&self.shared.pool, frame.as_ref())
                    .expect("the pool has a packet")
            });
            let packets = packets.collect();
            sent.append(&mut self.run_packets(core, port, packets));
        }
        sent
    }

    /// The same with packets that the test has made itself (shared, in segments, with offload flags).
    pub fn run_packets(&mut self, core: usize, port: u16, packets: Vec<Packet>) -> Vec<Sent> {
        self.sink.core = core;
        let direction = match self.ports[usize::from(port)].side {
            Side::Client => Some(Direction::ToServer),
            Side::Server => Some(Direction::ToClient),
            Side::Any => None,
        };
        let slot = &mut self.cores[core];
        slot.refresh();
        let mut batch = Batch::new();
        let mut running = None;
        for packet in packets {
            let direction = direction.unwrap_or_else(|| slot.chain.classify(&packet));
            if batch.is_full() || running.is_some_and(|running| running != direction) {
                let before = running.unwrap_or(direction);
                slot.chain
                    .run(&mut slot.env, port, before, &mut batch, &mut self.sink);
            }
            running = Some(direction);
            batch.push(packet).expect("room");
        }
        if let Some(direction) = running {
            slot.chain
                .run(&mut slot.env, port, direction, &mut batch, &mut self.sink);
        }
        assert!(batch.is_empty(), "the chain takes whole batches");
        std::mem::take(&mut self.sink.sent)
    }

    /// Lets time pass, in steps of a millisecond: timers expire on every core, and the control side
    /// ticks ten times a second. Gives what left meanwhile.
    pub fn advance(&mut self, ns: u64) -> Vec<Sent> {
        let end = self.time.now().saturating_add(ns);
        while self.time.now() < end {
            self.time.advance(STEP_NS.min(end - self.time.now()));
            self.turn();
        }
        std::mem::take(&mut self.sink.sent)
    }

    /// One turn of every core's loop without packets.
    fn turn(&mut self) {
        let now = self.time.now();
        if now >= self.ticked + TICK_NS {
            self.ticked = now;
            let behind = self.behind.iter_mut().map(|stage| &mut stage.control);
            for control in self.control.iter_mut().chain(behind) {
                control.tick();
            }
            self.shared.hub.reclaim();
        }
        for (core, slot) in self.cores.iter_mut().enumerate() {
            self.sink.core = core;
            slot.refresh();
            slot.env.tick();
            slot.chain.expire(&mut slot.env, &mut self.sink);
        }
    }

    /// Gives the ports room for so many packets in all, at each of the calls that give what left.
    pub fn set_room(&mut self, packets: usize) {
        self.sink.room = Some(packets);
    }

    /// Nanoseconds of virtual time.
    pub fn now(&self) -> u64 {
        self.time.now()
    }

    /// The stage's control side; panics for a bench [of a shard](Self::of_shard).
    pub fn control(&mut self) -> &mut dyn StageControl {
        &mut **self.control.as_mut().expect("a control side")
    }

    /// Runs a command of the stage; the cores take over what it published at their next turn.
    pub fn command(&mut self, verb: &str, arguments: Value) -> Result<Value, CommandError> {
        self.control().command(verb, &arguments)
    }

    /// Gives the stage new settings.
    pub fn reload(&mut self, config: &Value) -> Result<(), ReloadError> {
        self.control().reload(config)
    }

    /// Tells the stage that ports changed.
    pub fn set_ports(&mut self, ports: Vec<StagePort>) {
        self.control().ports_changed(&ports);
        for stage in &mut self.behind {
            stage.control.ports_changed(&ports);
        }
        self.sink.offered = ports.iter().map(|port| port.tx_checksums).collect();
        self.ports = ports;
    }

    /// The stage's counters, summed over cores.
    pub fn counters(&self) -> StageSnapshot {
        self.shared.counted()
    }

    /// Packets dropped by the stage for that reason.
    pub fn dropped(&self, reason: &str) -> u64 {
        self.counters().dropped.get(reason)
    }

    /// The stage's own counter of that name.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters().custom.get(name)
    }

    /// Starts tracing the next `count` packets on core 0; read it with [`notes`].
    pub fn trace(&mut self, count: u32) -> Arc<TraceSession> {
        self.trace_into(TraceSession::new(count, None, 4096))
    }

    /// The same with a session that the test has made.
    pub fn trace_into(&mut self, session: Arc<TraceSession>) -> Arc<TraceSession> {
        let slot = &mut self.cores[0];
        slot.chain.trace(&mut slot.env, Some(session.clone()));
        session
    }

    /// The pool that packets come from.
    pub fn pool(&self) -> &Mempool {
        &self.shared.pool
    }

    /// Packets in = packets out + dropped + held so far; what the shards say they hold is what the
    /// counters say.
    pub fn check_conserved(&self) {
        let mut all_held = 0;
        for entry in &self.shared.telemetry.snapshot().stages {
            let total = &entry.total;
            let ins: u64 = total.input.iter().chain(&total.originated).sum();
            let outs: u64 = total.forward.iter().chain(&total.back).sum();
            let out = outs + total.dropped.sum();
            assert!(
                ins >= out,
                "{}: {ins} packets in, {out} out or dropped",
                entry.name
            );
            let stages = self.cores.iter().flat_map(|core| core.chain.stages());
            let named = stages.filter(|stage| stage.name == entry.name);
            let held: usize = named.map(|stage| stage.shard.held()).sum();
            assert!(
                total.held() == held as u64 || entry.name == "chain",
                "{}: held by the counters, by the shards {held}: {total:?}",
                entry.name
            );
            all_held += held;
        }
        let in_use = self.shared.pool.in_use() as usize;
        assert_eq!(in_use, all_held, "packets in use are those held");
    }

    /// As [`check_conserved`](Self::check_conserved); then drops everything and checks that every
    /// packet is back in the pool and every published version freed.
    pub fn assert_conserved(mut self) {
        self.check_conserved();
        if let Some(control) = &mut self.control {
            control.stop();
        }
        let StageBench {
            control,
            behind,
            cores,
            shared,
            ..
        } = self;
        drop((control, behind, cores));
        shared.assert_nothing_left();
    }
}

impl Core {
    /// Takes over what was published.
    pub(super) fn refresh(&mut self) {
        if self.watch.changed() {
            self.chain.refresh(&mut self.env);
        }
    }
}

/// The problems that the kind finds in these settings.
pub fn check(kind: &dyn StageKind, config: &Value, options: &BenchOptions) -> Problems {
    let ports = options.ports.iter().map(|port| PortFacts {
        name: port.name.clone(),
        side: port.side,
        mtu: port.mtu.into(),
        checksum_offload: port.tx_checksums != Some(TxChecksums::default()),
    });
    let context = CheckContext {
        ports: ports.collect(),
        packet_cores: options.cores,
        stage: NAME.into(),
        chain: std::iter::once(kind.name())
            .chain(options.behind.iter().map(|(name, _)| *name))
            .map(str::to_owned)
            .collect(),
        ..CheckContext::default()
    };
    let mut problems = Problems::new();
    kind.check(config, &JsonPath::root(), &context, &mut problems);
    problems
}

/// The lines of a trace so far: each note, decision and drop as text.
pub fn notes(session: &TraceSession) -> Vec<String> {
    let records: Vec<TraceRecord> = std::iter::from_fn(|| session.pop()).collect();
    let text = |record: &TraceRecord| match &record.event {
        TraceEvent::Note(note) => note.to_string(),
        TraceEvent::Dropped { reason } => format!("dropped {reason}"),
        event => format!("{event:?}"),
    };
    records.iter().map(text).collect()
}
