//! All metrics in the Prometheus text format.

use super::families::*;
use super::{Facts, PortEntry, StageEntry, Telemetry};
use crate::telemetry::{ByDirection, Collection, CoreSnapshot, HistogramSnapshot};

impl Telemetry {
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
                let mut transit = HistogramSnapshot::default();
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
