//! All blocks of counters of one appliance, summed and rendered on the control side.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::{
    Block, ByDirection, Collection, CoreCounters, CoreSnapshot, CounterDesc, Family, Kind,
    PortCounters, PortSnapshot, Source, StageCounters, StageSnapshot, View, Writer,
};

macro_rules! families {
    ($($name:ident = $text:literal, $kind:ident, $labels:expr, $help:literal;)+) => {
        $(static $name: Family = Family::new($text, $help, Kind::$kind, &$labels);)+

        /// The families every appliance has, for the docs and their test.
        fn fixed_families() -> Vec<Family> {
            vec![$($name.clone()),+]
        }
    };
}

families! {
    STAGE_INPUT = "sluice_stage_input_packets_total", Counter, ["stage", "direction"],
        "Packets given to a stage.";
    STAGE_FORWARD = "sluice_stage_forward_packets_total", Counter, ["stage", "direction"],
        "Packets a stage let go on in their direction.";
    STAGE_BACK = "sluice_stage_back_packets_total", Counter, ["stage", "direction"],
        "Packets a stage turned round, by the direction they came in.";
    STAGE_ORIGINATED = "sluice_stage_originated_packets_total", Counter, ["stage", "direction"],
        "Packets a stage made, new ones and copies, by the direction they are for.";
    STAGE_DROPPED = "sluice_stage_dropped_packets_total", Counter, ["stage", "reason"],
        "Packets a stage dropped, by reason.";
    STAGE_HELD = "sluice_stage_held_packets", Gauge, ["stage"],
        "Packets a stage has taken and neither let go nor dropped.";
    STAGE_CYCLES = "sluice_stage_cycles_total", Counter, ["stage"],
        "Cycles of the time-stamp counter spent in a stage.";
    STAGE_BATCH = "sluice_stage_batch_packets", Histogram, ["stage"],
        "Packets in the batches given to a stage.";
    CORE_LOOPS = "sluice_core_loops_total", Counter, ["core"],
        "Turns of a core's loop.";
    CORE_POLLS = "sluice_core_polls_total", Counter, ["core", "result"],
        "Receive queues asked for packets, by result: empty, partial, or full (more may wait).";
    CORE_BUSY = "sluice_core_busy_seconds_total", Counter, ["core"],
        "Time in turns of the loop that had something to do.";
    CORE_IDLE = "sluice_core_idle_seconds_total", Counter, ["core"],
        "Time in turns of the loop that had nothing to do, and asleep.";
    CORE_SLEEPS = "sluice_core_sleeps_total", Counter, ["core"],
        "Times a core slept because it had nothing to do.";
    CORE_TIMERS = "sluice_core_timers_total", Counter, ["core"],
        "Timers that expired on a core.";
    CORE_REFRESHES = "sluice_core_refreshes_total", Counter, ["core"],
        "Times a core took over a published change.";
    CORE_INBOX = "sluice_core_inbox_commands_total", Counter, ["core"],
        "Commands of the control side that a core obeyed.";
    CORE_ALLOC_FAILED = "sluice_core_alloc_failed_total", Counter, ["core"],
        "Packets asked for when the mempool had none left.";
    TRANSIT = "sluice_transit_seconds", Histogram, ["direction"],
        "Time from a packet's receipt to its hand-over to the transmit port.";
    PORT_RX_PACKETS = "sluice_port_receive_packets_total", Counter, ["port", "queue"],
        "Packets received from a port.";
    PORT_RX_BURSTS = "sluice_port_receive_bursts_total", Counter, ["port", "queue"],
        "Receive bursts with at least one packet.";
    PORT_TX_PACKETS = "sluice_port_transmit_packets_total", Counter, ["port", "queue"],
        "Packets a port took for sending.";
    PORT_TX_BURSTS = "sluice_port_transmit_bursts_total", Counter, ["port", "queue"],
        "Transmit bursts handed to a port.";
    PORT_DROPPED = "sluice_port_dropped_packets_total", Counter, ["port", "queue", "reason"],
        "Packets dropped because a port could not take them, by reason.";
    DEVICE_RX_BYTES = "sluice_port_receive_bytes_total", Counter, ["port"],
        "Bytes received, as the device counts them, sampled every second; ring ports count none.";
    DEVICE_TX_BYTES = "sluice_port_transmit_bytes_total", Counter, ["port"],
        "Bytes sent, as the device counts them, sampled every second; ring ports count none.";
    DEVICE_MISSED = "sluice_port_receive_missed_packets_total", Counter, ["port"],
        "Packets the device dropped because its receive queue was full.";
    DEVICE_NO_MBUF = "sluice_port_receive_no_mbuf_total", Counter, ["port"],
        "Receives that failed because the mempool was exhausted.";
    DEVICE_RX_ERRORS = "sluice_port_receive_errors_total", Counter, ["port"],
        "Broken packets, as the device counts them.";
    DEVICE_TX_ERRORS = "sluice_port_transmit_errors_total", Counter, ["port"],
        "Packets that the device could not send.";
    DEVICE_LOSSES = "sluice_port_losses_total", Counter, ["port"],
        "Times the device behind a port was gone.";
    DEVICE_UP = "sluice_port_up", Gauge, ["port"],
        "1 while a port is in service and has carrier, else 0.";
    MEMPOOL_PACKETS = "sluice_mempool_packets", Gauge, [],
        "Packets that the pool has.";
    MEMPOOL_IN_USE = "sluice_mempool_in_use_packets", Gauge, [],
        "Packets of the pool in use; those in the caches of cores count as free.";
    INFO = "sluice_info", Gauge, ["name", "version", "dpdk"],
        "Always 1; the labels say which program this is.";
    TSC = "sluice_tsc_hertz", Gauge, [],
        "Cycles of the time-stamp counter a second.";
}

/// The family of a stage's own counter. Samples of stages of the same kind differ by `stage`.
fn custom_family(kind: &str, desc: &CounterDesc) -> Family {
    let word = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    Family {
        name: Cow::Owned(format!("sluice_{}_{}_total", word(kind), word(desc.name))),
        help: Cow::Borrowed(desc.help),
        kind: Kind::Counter,
        labels: &["stage"],
    }
}

/// Blocks that count the same thing one after the other: after a core is started again, the new
/// block begins at zero and the sum goes on.
struct Series<B: Block> {
    ended: B::Snapshot,
    live: Vec<View<B>>,
}

impl<B: Block<Snapshot: Default>> Default for Series<B> {
    fn default() -> Self {
        Self {
            ended: B::Snapshot::default(),
            live: Vec::new(),
        }
    }
}

impl<B: Block<Snapshot: Clone>> Series<B> {
    fn add(&mut self, block: B) -> Writer<B> {
        let writer = Writer::new(block);
        self.live.push(writer.view());
        writer
    }

    /// The sum; blocks whose writing end is gone are folded into it for good.
    fn total(&mut self, merge: impl Fn(&mut B::Snapshot, &B::Snapshot)) -> B::Snapshot {
        for view in std::mem::take(&mut self.live) {
            match view.into_final() {
                Ok(last) => merge(&mut self.ended, &last),
                Err(view) => self.live.push(view),
            }
        }
        let mut total = self.ended.clone();
        for view in &self.live {
            merge(&mut total, &view.snapshot());
        }
        total
    }
}

struct Stage {
    name: String,
    kind: String,
    counters: &'static [CounterDesc],
    cores: BTreeMap<usize, Series<StageCounters>>,
}

#[derive(Default)]
struct Inner {
    stages: Vec<Stage>,
    cores: BTreeMap<usize, Series<CoreCounters>>,
    ports: BTreeMap<(String, u16), Series<PortCounters>>,
    sources: Vec<Arc<dyn Source>>,
    facts: Facts,
}

/// What nobody counts packet by packet: the control side samples it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The appliance's name, its version, and DPDK's.
    pub info: [String; 3],
    /// Packets of the pool, and how many are in use.
    pub mempool: [u64; 2],
    /// The devices behind the ports.
    pub devices: Vec<DeviceFacts>,
}

/// What a device says of itself.
#[derive(Clone, Debug, Default)]
pub struct DeviceFacts {
    /// Name of the port.
    pub port: String,
    /// Bytes received and sent.
    pub bytes: [u64; 2],
    /// Packets dropped because the receive queue was full.
    pub missed: u64,
    /// Receives that failed because the mempool was exhausted.
    pub no_mbuf: u64,
    /// Receive and transmit errors.
    pub errors: [u64; 2],
    /// Times the device was gone.
    pub losses: u64,
    /// In service, with carrier.
    pub up: bool,
}

/// All counters of one appliance. A handle: clones are the same set.
#[derive(Clone)]
pub struct Telemetry {
    inner: Arc<Mutex<Inner>>,
    tsc_hz: f64,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("tsc_hz", &self.tsc_hz)
            .finish_non_exhaustive()
    }
}

impl Telemetry {
    /// No counters yet. `tsc_hz` is how many of the cycles given to the counters make a second.
    pub fn new(tsc_hz: f64) -> Self {
        Self {
            inner: Arc::default(),
            tsc_hz,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters of a stage on a core. `name` is the stage's in the config, `kind` that of its
    /// type. Asked for again, the counts go on from where they were.
    pub fn stage(
        &self,
        name: &str,
        kind: &str,
        core: usize,
        reasons: &'static [&'static str],
        counters: &'static [CounterDesc],
    ) -> Writer<StageCounters> {
        let mut inner = self.lock();
        let known = inner.stages.iter().position(|stage| stage.name == name);
        let index = known.unwrap_or_else(|| {
            inner.stages.push(Stage {
                name: name.to_owned(),
                kind: String::new(),
                counters: &[],
                cores: BTreeMap::new(),
            });
            inner.stages.len() - 1
        });
        let stage = &mut inner.stages[index];
        kind.clone_into(&mut stage.kind);
        stage.counters = counters;
        stage
            .cores
            .entry(core)
            .or_default()
            .add(StageCounters::new(reasons, counters))
    }

    /// The counters of a core's loop. Asked for again, the counts go on from where they were.
    pub fn core(&self, core: usize) -> Writer<CoreCounters> {
        self.lock()
            .cores
            .entry(core)
            .or_default()
            .add(CoreCounters::default())
    }

    /// The counters of a port's queue pair. Asked for again, the counts go on.
    pub fn port(&self, port: &str, queue: u16) -> Writer<PortCounters> {
        let mut inner = self.lock();
        inner
            .ports
            .entry((port.to_owned(), queue))
            .or_default()
            .add(PortCounters::default())
    }

    /// Replaces what was sampled.
    pub fn set_facts(&self, facts: Facts) {
        self.lock().facts = facts;
    }

    /// Adds a source of further metrics.
    pub fn add_source(&self, source: Arc<dyn Source>) {
        self.lock().sources.push(source);
    }

    /// All numbers as they are now. Sums never go back, also across restarts of cores.
    pub fn snapshot(&self) -> Snapshot {
        let mut inner = self.lock();
        let stages = inner.stages.iter_mut().map(|stage| {
            let mut total = StageSnapshot::default();
            let mut cores = BTreeMap::new();
            for (core, series) in &mut stage.cores {
                let own = series.total(StageSnapshot::merge);
                total.merge(&own);
                cores.insert(*core, own);
            }
            StageEntry {
                name: stage.name.clone(),
                kind: stage.kind.clone(),
                total,
                cores,
            }
        });
        let stages = stages.collect();
        let cores = inner
            .cores
            .iter_mut()
            .map(|(core, series)| (*core, series.total(CoreSnapshot::merge)))
            .collect();
        let ports = inner
            .ports
            .iter_mut()
            .map(|((port, queue), series)| PortEntry {
                port: port.clone(),
                queue: *queue,
                counters: series.total(PortSnapshot::merge),
            });
        let ports = ports.collect();
        Snapshot {
            stages,
            cores,
            ports,
        }
    }

    /// The families this appliance has, with those of its stages and sources.
    pub fn families(&self) -> Vec<Family> {
        let mut families = fixed_families();
        let inner = self.lock();
        for stage in &inner.stages {
            families.extend(
                stage
                    .counters
                    .iter()
                    .map(|desc| custom_family(&stage.kind, desc)),
            );
        }
        families.extend(inner.sources.iter().flat_map(|source| source.families()));
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families.dedup_by(|a, b| a.name == b.name);
        families
    }

    /// The families every appliance has, whatever its chain.
    pub fn fixed_families() -> Vec<Family> {
        fixed_families()
    }

    /// The families of the counters that a stage of this kind declares.
    pub fn stage_families(kind: &str, counters: &[CounterDesc]) -> Vec<Family> {
        counters
            .iter()
            .map(|desc| custom_family(kind, desc))
            .collect()
    }

    /// All metrics in the Prometheus text format.
    pub fn render(&self) -> String {
        let mut out = Collection::new();
        let snapshot = self.snapshot();
        out.gauge(&TSC, &[], self.tsc_hz);
        collect_facts(&mut out, &self.lock().facts);
        for stage in &snapshot.stages {
            collect_stage(&mut out, stage);
        }
        let (customs, sources) = {
            let inner = self.lock();
            let customs: Vec<_> = inner
                .stages
                .iter()
                .map(|stage| (stage.name.clone(), stage.kind.clone(), stage.counters))
                .collect();
            (customs, inner.sources.clone())
        };
        for (name, kind, counters) in customs {
            let Some(stage) = snapshot.stage(&name) else {
                continue;
            };
            for desc in counters {
                let value = stage.total.custom.get(desc.name) as f64;
                out.counter(&custom_family(&kind, desc), &[&name], value);
            }
        }
        for (core, counters) in &snapshot.cores {
            collect_core(&mut out, &core.to_string(), counters, self.tsc_hz);
        }
        if !snapshot.cores.is_empty() {
            for (index, direction) in ByDirection::LABELS.iter().enumerate() {
                let mut transit = super::HistogramSnapshot::default();
                for core in snapshot.cores.values() {
                    transit.merge(&core.transit[index]);
                }
                out.histogram(
                    &TRANSIT,
                    &[direction],
                    transit.cumulative(),
                    transit.count(),
                    transit.sum() as f64 / 1e9,
                );
            }
        }
        for entry in &snapshot.ports {
            collect_port(&mut out, entry);
        }
        for source in sources {
            source.collect(&mut out);
        }
        out.into_text()
    }
}

fn collect_stage(out: &mut Collection, stage: &StageEntry) {
    let name = stage.name.as_str();
    let counts = &stage.total;
    for (family, pair) in [
        (&STAGE_INPUT, counts.input),
        (&STAGE_FORWARD, counts.forward),
        (&STAGE_BACK, counts.back),
        (&STAGE_ORIGINATED, counts.originated),
    ] {
        for (direction, value) in ByDirection::LABELS.iter().zip(pair) {
            out.counter(family, &[name, direction], value as f64);
        }
    }
    for (reason, count) in counts.dropped.iter() {
        out.counter(&STAGE_DROPPED, &[name, reason], count as f64);
    }
    out.gauge(&STAGE_HELD, &[name], counts.held() as f64);
    out.counter(&STAGE_CYCLES, &[name], counts.cycles as f64);
    let sizes = &counts.batch_size;
    let (batches, packets) = (sizes.batches(), sizes.packets() as f64);
    out.histogram(&STAGE_BATCH, &[name], sizes.cumulative(), batches, packets);
}

fn collect_core(out: &mut Collection, core: &str, counts: &CoreSnapshot, tsc_hz: f64) {
    let (empty, full) = (counts.polls_empty, counts.polls_full);
    let partial = counts.polls.saturating_sub(empty + full);
    for (result, polls) in [("empty", empty), ("partial", partial), ("full", full)] {
        out.counter(&CORE_POLLS, &[core, result], polls as f64);
    }
    for (family, value) in [
        (&CORE_LOOPS, counts.loops as f64),
        (&CORE_BUSY, counts.busy_cycles as f64 / tsc_hz),
        (&CORE_IDLE, counts.idle_cycles as f64 / tsc_hz),
        (&CORE_SLEEPS, counts.sleeps as f64),
        (&CORE_TIMERS, counts.timers as f64),
        (&CORE_REFRESHES, counts.refreshes as f64),
        (&CORE_INBOX, counts.inbox as f64),
        (&CORE_ALLOC_FAILED, counts.alloc_failed as f64),
    ] {
        out.counter(family, &[core], value);
    }
}

fn collect_facts(out: &mut Collection, facts: &Facts) {
    let [name, version, dpdk] = &facts.info;
    out.gauge(&INFO, &[name, version, dpdk], 1.0);
    out.gauge(&MEMPOOL_PACKETS, &[], facts.mempool[0] as f64);
    out.gauge(&MEMPOOL_IN_USE, &[], facts.mempool[1] as f64);
    for device in &facts.devices {
        let port = [device.port.as_str()];
        for (family, value) in [
            (&DEVICE_RX_BYTES, device.bytes[0]),
            (&DEVICE_TX_BYTES, device.bytes[1]),
            (&DEVICE_MISSED, device.missed),
            (&DEVICE_NO_MBUF, device.no_mbuf),
            (&DEVICE_RX_ERRORS, device.errors[0]),
            (&DEVICE_TX_ERRORS, device.errors[1]),
            (&DEVICE_LOSSES, device.losses),
        ] {
            out.counter(family, &port, value as f64);
        }
        out.gauge(&DEVICE_UP, &port, f64::from(u8::from(device.up)));
    }
}

fn collect_port(out: &mut Collection, entry: &PortEntry) {
    let (port, queue) = (entry.port.as_str(), entry.queue.to_string());
    let counts = &entry.counters;
    for (family, value) in [
        (&PORT_RX_PACKETS, counts.rx_packets),
        (&PORT_RX_BURSTS, counts.rx_bursts),
        (&PORT_TX_PACKETS, counts.tx_packets),
        (&PORT_TX_BURSTS, counts.tx_bursts),
    ] {
        out.counter(family, &[port, &queue], value as f64);
    }
    for (reason, count) in counts.dropped() {
        out.counter(&PORT_DROPPED, &[port, &queue, reason], count as f64);
    }
}

/// All numbers of one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// Stages in the order in which they were added.
    pub stages: Vec<StageEntry>,
    /// Cores by number.
    pub cores: BTreeMap<usize, CoreSnapshot>,
    /// Queues of ports, by name and number.
    pub ports: Vec<PortEntry>,
}

impl Snapshot {
    /// The stage of that name.
    pub fn stage(&self, name: &str) -> Option<&StageEntry> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// The port of that name, its queues summed.
    pub fn port(&self, name: &str) -> PortSnapshot {
        let mut total = PortSnapshot::default();
        for entry in self.ports.iter().filter(|entry| entry.port == name) {
            total.merge(&entry.counters);
        }
        total
    }
}

/// The numbers of one stage.
#[derive(Clone, Debug, Serialize)]
pub struct StageEntry {
    /// Its name in the config.
    pub name: String,
    /// The name of its type.
    pub kind: String,
    /// Of all cores.
    pub total: StageSnapshot,
    /// Of each core.
    pub cores: BTreeMap<usize, StageSnapshot>,
}

/// The numbers of one queue of a port.
#[derive(Clone, Debug, Serialize)]
pub struct PortEntry {
    /// The port's name in the config.
    pub port: String,
    /// Number of the queue.
    pub queue: u16,
    /// Its numbers.
    pub counters: PortSnapshot,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const REASONS: &[&str] = &["denied"];
    const COUNTERS: &[CounterDesc] = &[CounterDesc {
        name: "lookups",
        help: "Rules looked up.",
    }];

    struct Info;

    impl Source for Info {
        fn families(&self) -> Vec<Family> {
            vec![Family::new(
                "sluice_build_info",
                "The build.",
                Kind::Gauge,
                &["version"],
            )]
        }

        fn collect(&self, out: &mut Collection) {
            out.gauge(&self.families()[0], &["1"], 1.0);
        }
    }

    fn full() -> (Telemetry, Vec<Box<dyn std::any::Any>>) {
        let telemetry = Telemetry::new(1e9);
        let mut writers: Vec<Box<dyn std::any::Any>> = Vec::new();
        for core in [1, 2] {
            let stage = telemetry.stage("front", "acl", core, REASONS, COUNTERS);
            stage.input.add(0, 10);
            stage.forward.add(0, 7);
            stage.dropped(0, 2);
            stage.custom.add(0, 10);
            stage.batch_size.record(10);
            writers.push(Box::new(stage));
            let own = telemetry.core(core);
            own.polls.add(10);
            own.polls_empty.add(6);
            own.polls_full.add(1);
            own.busy_cycles.add(1_500_000_000);
            own.transit[0].record(1500);
            writers.push(Box::new(own));
            let port = telemetry.port("clients", core as u16 - 1);
            port.rx_packets.add(10);
            port.tx_full.add(3);
            writers.push(Box::new(port));
        }
        telemetry.add_source(Arc::new(Info));
        telemetry.set_facts(Facts {
            info: ["edge", "0.1.0", "DPDK"].map(str::to_owned),
            mempool: [100, 7],
            devices: vec![DeviceFacts {
                port: "clients".into(),
                bytes: [640, 0],
                up: true,
                ..DeviceFacts::default()
            }],
        });
        (telemetry, writers)
    }

    #[test]
    fn sums_cores_and_renders() {
        let (telemetry, _writers) = full();
        let text = telemetry.render();
        for line in [
            "sluice_stage_input_packets_total{stage=\"front\",direction=\"to_server\"} 20",
            "sluice_stage_dropped_packets_total{stage=\"front\",reason=\"denied\"} 4",
            "sluice_stage_held_packets{stage=\"front\"} 2",
            "sluice_stage_batch_packets_bucket{stage=\"front\",le=\"8\"} 0",
            "sluice_stage_batch_packets_bucket{stage=\"front\",le=\"16\"} 2",
            "sluice_acl_lookups_total{stage=\"front\"} 20",
            "sluice_core_polls_total{core=\"1\",result=\"partial\"} 3",
            "sluice_core_busy_seconds_total{core=\"2\"} 1.5",
            "sluice_transit_seconds_bucket{direction=\"to_server\",le=\"0.000001\"} 0",
            "sluice_transit_seconds_bucket{direction=\"to_server\",le=\"0.000002\"} 2",
            "sluice_transit_seconds_sum{direction=\"to_server\"} 0.000003",
            "sluice_port_receive_packets_total{port=\"clients\",queue=\"1\"} 10",
            "sluice_port_dropped_packets_total{port=\"clients\",queue=\"0\",reason=\"tx_full\"} 3",
            "sluice_build_info{version=\"1\"} 1",
            "sluice_mempool_in_use_packets 7",
            "sluice_port_receive_bytes_total{port=\"clients\"} 640",
            "sluice_port_up{port=\"clients\"} 1",
            "sluice_info{name=\"edge\",version=\"0.1.0\",dpdk=\"DPDK\"} 1",
            "sluice_tsc_hertz 1000000000",
        ] {
            assert!(text.lines().any(|l| l == line), "missing {line} in\n{text}");
        }
    }

    #[test]
    fn every_sample_is_of_a_listed_family_and_there_once() {
        let (telemetry, _writers) = full();
        let text = telemetry.render();
        let rendered: BTreeSet<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split(' ').next())
            .map(str::to_owned)
            .collect();
        let listed: BTreeSet<_> = telemetry
            .families()
            .into_iter()
            .map(|family| family.name.into_owned())
            .collect();
        assert_eq!(rendered, listed);
        let mut series = BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (labels, _) = line.rsplit_once(' ').unwrap();
            assert!(series.insert(labels), "{labels} twice");
        }
    }

    #[test]
    fn names_follow_the_conventions() {
        let (telemetry, _writers) = full();
        for family in telemetry.families() {
            assert!(family.name.starts_with("sluice_"), "{}", family.name);
            let total = family.name.ends_with("_total");
            assert_eq!(total, family.kind == Kind::Counter, "{}", family.name);
            assert!(family.help.ends_with('.'), "{}", family.name);
            let wrong = [
                "ms",
                "us",
                "ns",
                "milliseconds",
                "nanoseconds",
                "count",
                "sum",
            ];
            let words: Vec<&str> = family.name.split('_').collect();
            assert!(
                !words.iter().any(|word| wrong.contains(word)),
                "{}",
                family.name
            );
        }
    }

    #[test]
    fn counts_survive_restarts_of_cores() {
        let telemetry = Telemetry::new(1e9);
        for run in 1..=5 {
            let core = telemetry.core(3);
            let port = telemetry.port("p", 0);
            let stage = telemetry.stage("s", "acl", 3, REASONS, COUNTERS);
            core.loops.add(10);
            port.rx_packets.add(10);
            stage.input.add(1, 10);
            stage.custom.add(0, 1);
            let seen = telemetry.snapshot();
            assert_eq!(seen.cores[&3].loops, run * 10);
            drop((core, port, stage));
            let seen = telemetry.snapshot();
            assert_eq!(seen.cores[&3].loops, run * 10);
            assert_eq!(seen.port("p").rx_packets, run * 10);
            assert_eq!(seen.stage("s").unwrap().total.input[1], run * 10);
            assert_eq!(seen.stage("s").unwrap().total.custom.get("lookups"), run);
        }
        let inner = telemetry.lock();
        assert!(
            inner.cores[&3].live.is_empty(),
            "ended blocks are folded and freed"
        );
        assert!(inner.stages[0].cores[&3].live.is_empty());
    }

    #[test]
    fn custom_names_are_made_fit_for_prometheus() {
        let desc = CounterDesc {
            name: "hits",
            help: "Hits.",
        };
        assert_eq!(
            custom_family("kv-cache", &desc).name,
            "sluice_kv_cache_hits_total"
        );
    }

    #[test]
    fn promtool_finds_nothing_to_complain_about() {
        use std::io::Write;
        use std::process::{Command, Stdio};

        let (telemetry, _writers) = full();
        let child = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("SKIPPED: promtool is not installed (package prometheus)");
            return;
        };
        child
            .stdin
            .take()
            .unwrap()
            .write_all(telemetry.render().as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.trim().is_empty(), "{said}");
    }
}
