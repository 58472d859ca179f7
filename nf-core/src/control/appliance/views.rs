//! What the API shows: plain values, named as in the configuration and the metrics.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Appliance;
use super::ports::State;
use crate::chain::Direction;
use crate::check::Side;
use crate::dpdk::{LinkState, PortStats};
use crate::telemetry::{HistogramSnapshot, Named, PortSnapshot, StageSnapshot};

/// Which program this is, and what it runs on.
#[derive(Debug, Clone, Serialize)]
pub struct VersionInfo {
    /// The appliance's name in the configuration.
    pub name: String,
    /// Version of the program.
    pub version: &'static str,
    /// Version of DPDK, as it calls itself.
    pub dpdk: String,
    /// Seconds since the start.
    pub uptime_seconds: f64,
    /// Process id.
    pid: u32,
}

/// Whether all is as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    /// No problem is known.
    pub ok: bool,
    /// What is wrong, a sentence each.
    pub problems: Vec<String>,
}

/// A value for each direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ByDirection<T> {
    /// From clients to servers.
    pub to_server: T,
    /// From servers to clients.
    pub to_client: T,
}

impl From<[u64; 2]> for ByDirection<u64> {
    fn from([to_server, to_client]: [u64; 2]) -> ByDirection<u64> {
        ByDirection {
            to_server,
            to_client,
        }
    }
}

/// A stage of the chain.
#[derive(Debug, Clone, Serialize)]
pub struct StageView {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its place, from 0 at the clients' end.
    pub position: usize,
    /// Packets given to it.
    pub input: ByDirection<u64>,
    /// Packets that went on.
    pub forward: ByDirection<u64>,
    /// Packets it turned around, by the direction they came in.
    pub back: ByDirection<u64>,
    /// Packets it made.
    pub originated: ByDirection<u64>,
    /// Packets it dropped, by reason.
    pub dropped: Named,
    /// Packets it has and has not let go of.
    pub held: u64,
    /// Mean cycles it takes for a packet.
    pub cycles_per_packet: f64,
    /// Mean packets of a batch.
    pub mean_batch: f64,
    /// Its own counters.
    pub counters: Named,
    /// What it says of itself.
    pub status: serde_json::Value,
}

/// A port.
#[derive(Debug, Clone, Serialize)]
pub struct PortView {
    /// Its name.
    pub name: String,
    /// Its index, as traces show it.
    pub index: usize,
    /// Who is behind it.
    pub side: Side,
    /// Its device's type.
    pub device: &'static str,
    /// DPDK's driver.
    pub driver: String,
    /// Its MAC address.
    pub mac: String,
    /// Largest layer-3 packet, bytes.
    pub mtu: u16,
    /// Queue pairs.
    pub queues: u16,
    /// `attached`, `detaching`, `lost` or `down`.
    pub state: &'static str,
    /// Why it is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often its device was lost.
    pub losses: u64,
    /// Its link.
    pub link: LinkState,
    /// What the cores counted.
    pub counters: PortSnapshot,
    /// What the device counted, as of the last second.
    pub device_stats: PortStats,
    /// The driver's extended counters.
    pub xstats: BTreeMap<String, u64>,
}

/// Packets that ended somewhere for a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DropView {
    /// The stage, `chain`, or `port NAME`.
    pub stage: String,
    /// The reason.
    pub reason: String,
    /// How many.
    pub packets: u64,
}

/// Times from receipt to transmission over the last second, nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LatencyView {
    /// Packets measured.
    pub packets: u64,
    /// Median.
    pub p50_ns: u64,
    /// 99 %.
    pub p99_ns: u64,
    /// 99.9 %.
    pub p999_ns: u64,
    /// Longest.
    pub max_ns: u64,
}

impl From<&HistogramSnapshot> for LatencyView {
    fn from(histogram: &HistogramSnapshot) -> LatencyView {
        LatencyView {
            packets: histogram.count(),
            p50_ns: histogram.quantile(0.5),
            p99_ns: histogram.quantile(0.99),
            p999_ns: histogram.quantile(0.999),
            max_ns: histogram.max(),
        }
    }
}

/// A packet core.
#[derive(Debug, Clone, Serialize)]
pub struct CoreView {
    /// Its number, from 0.
    pub core: usize,
    /// CPU it is pinned to.
    pub cpu: usize,
    /// The operating system's thread id.
    pub tid: i32,
    /// Whether its loop runs.
    pub running: bool,
    /// Share of the last second in which it had something to do, 0 to 1.
    pub busy_share: f64,
    /// Turns of its loop.
    pub loops: u64,
    /// Receive bursts asked for.
    pub polls: u64,
    /// Those that brought nothing.
    pub polls_empty: u64,
    /// Those that brought as many packets as were asked for.
    pub polls_full: u64,
    /// Cycles with something to do.
    pub busy_cycles: u64,
    /// Cycles with nothing to do.
    pub idle_cycles: u64,
    /// Times it slept.
    pub sleeps: u64,
    /// Times the pool had no packet for it.
    pub alloc_failed: u64,
    /// Transit times over the last second.
    pub transit: ByDirection<LatencyView>,
}

/// Packet memory.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MemoryView {
    /// Packets the pool has.
    pub packets: u32,
    /// Packets in use; those in the caches of cores count as free.
    pub in_use: u32,
    /// Whether they are in huge pages.
    pub hugepages: bool,
    /// Replaced versions that some core may still see.
    pub pending_versions: usize,
}

impl Appliance {
    /// Which program this is.
    pub fn version(&self) -> VersionInfo {
        VersionInfo {
            name: self.name().to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            dpdk: self.eal.version(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            pid: std::process::id(),
        }
    }

    /// Whether all is as it should be.
    pub fn health(&self) -> Health {
        let mut problems = Vec::new();
        problems.extend(
            self.cores
                .dead()
                .iter()
                .map(|core| format!("packet core {core} has ended")),
        );
        for slot in &self.ports.list {
            if let State::Lost(why) = &slot.state {
                problems.push(format!("port {:?} is lost: {why}", slot.spec.name));
            }
        }
        if let Some(scheduling) = &self.scheduling {
            problems.extend(scheduling.problems());
        }
        Health {
            ok: problems.is_empty(),
            problems,
        }
    }

    /// The stages, client side first.
    pub fn chain(&self) -> Vec<StageView> {
        let snapshot = self.telemetry.snapshot();
        let view = |(position, stage): (usize, &super::StageSlot)| {
            let total = snapshot
                .stage(&stage.name)
                .map(|entry| entry.total.clone())
                .unwrap_or_default();
            let held = total.held();
            let cycles_per_packet = total.cycles_per_packet();
            let StageSnapshot {
                input,
                forward,
                back,
                originated,
                dropped,
                batch_size,
                custom,
                ..
            } = total;
            StageView {
                name: stage.name.clone(),
                kind: stage.kind.clone(),
                position,
                input: input.into(),
                forward: forward.into(),
                back: back.into(),
                originated: originated.into(),
                dropped,
                held,
                cycles_per_packet,
                mean_batch: batch_size.mean(),
                counters: custom,
                status: stage.control.status(),
            }
        };
        self.stages.iter().enumerate().map(view).collect()
    }

    /// The ports.
    pub fn ports(&self) -> Vec<PortView> {
        let snapshot = self.telemetry.snapshot();
        let view = |(index, slot): (usize, &super::ports::Slot)| {
            let (state, reason) = match &slot.state {
                State::Attached => ("attached", None),
                State::Detaching { .. } => ("detaching", None),
                State::Lost(why) => ("lost", Some(why.clone())),
                State::Down => ("down", None),
            };
            let [a, b, c, d, e, f] = slot.mac;
            PortView {
                name: slot.spec.name.clone(),
                index,
                side: slot.config.side,
                device: slot.config.device.kind(),
                driver: slot.driver.clone(),
                mac: format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
                mtu: slot.spec.mtu,
                queues: slot.spec.queues,
                state,
                reason,
                losses: slot.losses,
                link: slot.link,
                counters: snapshot.port(&slot.spec.name),
                device_stats: slot.stats,
                xstats: slot.xstats().into_iter().collect(),
            }
        };
        self.ports.list.iter().enumerate().map(view).collect()
    }

    /// Every reason for which a packet was dropped, with its count; none that is zero.
    pub fn drops(&self) -> Vec<DropView> {
        let snapshot = self.telemetry.snapshot();
        let mut drops = Vec::new();
        let mut add = |stage: &str, reason: &str, packets: u64| {
            if packets > 0 {
                drops.push(DropView {
                    stage: stage.to_owned(),
                    reason: reason.to_owned(),
                    packets,
                });
            }
        };
        for entry in &snapshot.stages {
            for (reason, packets) in entry.total.dropped.iter() {
                add(&entry.name, reason, packets);
            }
        }
        for slot in &self.ports.list {
            let name = format!("port {}", slot.spec.name);
            for (reason, packets) in snapshot.port(&slot.spec.name).dropped() {
                add(&name, reason, packets);
            }
            add(&name, "rx_missed", slot.stats.rx_missed);
            add(&name, "rx_no_mbuf", slot.stats.rx_no_mbuf);
            add(&name, "rx_errors", slot.stats.rx_errors);
        }
        drops
    }

    /// The packet cores.
    pub fn cores(&self) -> Vec<CoreView> {
        let snapshot = self.telemetry.snapshot();
        let dead = self.cores.dead();
        let view = |core: &super::cores::Core| {
            let now = snapshot.cores.get(&core.index).cloned().unwrap_or_default();
            let latency =
                |direction: Direction| LatencyView::from(&core.transit[direction as usize]);
            CoreView {
                core: core.index,
                cpu: core.cpu,
                tid: core.tid,
                running: !dead.contains(&core.index),
                busy_share: core.busy_share,
                loops: now.loops,
                polls: now.polls,
                polls_empty: now.polls_empty,
                polls_full: now.polls_full,
                busy_cycles: now.busy_cycles,
                idle_cycles: now.idle_cycles,
                sleeps: now.sleeps,
                alloc_failed: now.alloc_failed,
                transit: ByDirection {
                    to_server: latency(Direction::ToServer),
                    to_client: latency(Direction::ToClient),
                },
            }
        };
        self.cores.list.iter().map(view).collect()
    }

    /// Packet memory.
    pub fn memory(&self) -> MemoryView {
        MemoryView {
            packets: self.pool.packets(),
            in_use: self.pool.in_use(),
            hugepages: self.eal.uses_hugepages(),
            pending_versions: self.hub.pending(),
        }
    }
}
