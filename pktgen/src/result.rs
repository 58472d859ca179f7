//! What a run found, in the shape that is printed as JSON. Every number names its unit.

use serde::Serialize;

use crate::engine::plan::{Plan, PortInfo};
use crate::engine::{Outcome, Progress};
use crate::latency::{Distribution, Summary};
use crate::profile::Profile;
use crate::template::L1_OVERHEAD_BYTES;
use crate::verdict::{Facts, Verdict, judge};

/// A moment of a run: rates and latency since the moment before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Sample {
    /// End of the interval, seconds since the start.
    pub t_s: f64,
    /// Packets sent per second.
    pub tx_pps: f64,
    /// Packets received per second.
    pub rx_pps: f64,
    /// Bits of frames sent per second.
    pub tx_bps: f64,
    /// Bits of frames received per second.
    pub rx_bps: f64,
    /// Median latency in the interval, nanoseconds; 0 without.
    pub p50_ns: u64,
    /// 99th percentile of the latency in the interval.
    pub p99_ns: u64,
    /// Greatest latency in the interval.
    pub max_ns: u64,
}

impl Sample {
    /// What happened from `before` to `now`.
    pub fn between(before: &Progress, now: &Progress) -> Sample {
        let seconds = now.elapsed_s - before.elapsed_s;
        if seconds <= 0.0 {
            return Sample {
                t_s: now.elapsed_s,
                ..Sample::default()
            };
        }
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let latency = now.received.latency.since(&before.received.latency);
        Sample {
            t_s: now.elapsed_s,
            tx_pps: rate(now.sent.packets, before.sent.packets),
            rx_pps: rate(now.received.packets, before.received.packets),
            tx_bps: rate(now.sent.bytes, before.sent.bytes) * 8.0,
            rx_bps: rate(now.received.bytes, before.received.bytes) * 8.0,
            p50_ns: latency.quantile(0.5),
            p99_ns: latency.quantile(0.99),
            max_ns: latency.quantile(1.0),
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Asked {
    /// Packets per second of all streams together; `null` for as fast as possible.
    pub packets_per_second: Option<f64>,
    /// Seconds; `null` without a limit.
    pub duration_s: Option<f64>,
    /// Packets; `null` without a limit.
    pub packets: Option<u64>,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sent {
    /// Packets that ports took.
    pub packets: u64,
    /// Bytes of their frames, check sequences included.
    pub bytes: u64,
    /// Packets per second.
    pub packets_per_second: f64,
    /// Bits of frames per second (L2).
    pub bits_per_second: f64,
    /// Bits on the wire per second, with preamble and gap (L1).
    pub bits_per_second_l1: f64,
    /// Achieved rate over asked rate, less 1; `null` for as fast as possible. A Poisson process
    /// varies by 1 / sqrt(packets) by its nature.
    pub rate_error: Option<f64>,
    /// Packets with a signature.
    pub tracked_packets: u64,
    /// Packets that left later than `late_after_ns` past their intended time.
    pub late_packets: u64,
    /// Slack before a packet counts as late, nanoseconds.
    pub late_after_ns: u64,
    /// Slots of the schedule that were never used.
    pub missed_slots: u64,
    /// Packets made but given up at the end, because the port never took them.
    pub dropped_packets: u64,
    /// Packets that the port did not take at first.
    pub refused_packets: u64,
    /// Times the pool of packet buffers was empty.
    pub pool_empty: u64,
    /// How late packets left; `null` without a schedule.
    pub lateness: Option<Summary>,
}

/// What was received.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Received {
    /// All packets.
    pub packets: u64,
    /// Bytes of their frames, with 4 for each check sequence.
    pub bytes: u64,
    /// Packets per second, over the time of sending.
    pub packets_per_second: f64,
    /// Bits of frames per second (L2), over the time of sending.
    pub bits_per_second: f64,
    /// Tracked packets of this run, each counted once.
    pub unique_packets: u64,
    /// Packets without a signature.
    pub foreign_packets: u64,
    /// Packets of an earlier run or another generator.
    pub stale_packets: u64,
    /// Packets with wrong checksums.
    pub corrupted_packets: u64,
    /// Packets that could not be followed.
    pub untracked_packets: u64,
    /// ARP and neighbour requests answered.
    pub neighbour_requests: u64,
}

/// What became of the tracked packets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loss {
    /// Tracked packets sent of which no copy came in time.
    pub lost_packets: u64,
    /// Lost over tracked packets sent; 0 without any.
    pub loss_ratio: f64,
    /// Further copies of packets received (RFC 5560).
    pub duplicate_packets: u64,
    /// Packets after one with a greater sequence number (RFC 4737).
    pub reordered_packets: u64,
    /// Reordered over received packets.
    pub reordered_ratio: f64,
    /// Packets older than the window: counted as lost.
    pub too_late_packets: u64,
    /// Greatest distance of a reordered packet behind the front, in sequence numbers.
    pub greatest_lag: u32,
}

/// Interarrival jitter (RFC 3550) over flows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Jitter {
    /// Mean of the flows' jitter, weighted by packets, nanoseconds.
    pub mean_ns: f64,
    /// Greatest of the flows' jitter, nanoseconds.
    pub max_ns: u64,
}

/// A flow that something happened to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FlowReport {
    /// Tracked flow number, as in the signature.
    pub flow: u32,
    /// Stream it belongs to.
    pub stream: String,
    /// Packets sent.
    pub sent: u64,
    /// Packets received, each counted once.
    pub received: u64,
    /// Packets lost.
    pub lost: u64,
    /// Further copies.
    pub duplicates: u32,
    /// Packets out of order.
    pub reordered: u32,
    /// Greatest lag, in sequence numbers.
    pub greatest_lag: u32,
    /// RFC 3550 jitter, nanoseconds.
    pub jitter_ns: u64,
}

/// All flows in a few numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flows {
    /// Tracked flows.
    pub count: u32,
    /// Flows of which packets were sent.
    pub sent: u32,
    /// Flows that lost packets.
    pub with_loss: u32,
    /// Flows with duplicates.
    pub with_duplicates: u32,
    /// Flows with reordering.
    pub with_reordering: u32,
    /// Sequence numbers that the tracking window covers.
    pub window: u64,
    /// The flows to which most happened, at most 20.
    pub worst: Vec<FlowReport>,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamReport {
    /// Name.
    pub name: String,
    /// Port that sent it.
    pub port: String,
    /// Rate as asked for.
    pub rate: String,
    /// Flows that its headers tell apart.
    pub flows: u32,
    /// Frame sizes, bytes.
    pub mean_frame_bytes: f64,
    /// Packets sent.
    pub packets: u64,
    /// Packets per second.
    pub packets_per_second: f64,
    /// Tracked packets lost; `null` without tracked packets.
    pub lost_packets: Option<u64>,
}

/// One port, by its device's own counters.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)] // the device's own words
pub struct PortReport {
    pub name: String,
    pub driver: String,
    pub mac: String,
    pub link_mbps: Option<u32>,
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_missed: u64,
    pub rx_no_buffer: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
}

/// One core.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CoreReport {
    /// Processor.
    pub cpu: usize,
    /// Share of the time spent sending, 0 to 1.
    pub transmit_busy: f64,
    /// Share of the time spent on received packets, 0 to 1.
    pub receive_busy: f64,
}

/// Everything about a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunResult {
    /// `"run"`.
    pub kind: &'static str,
    /// Version of pktgen.
    pub version: &'static str,
    /// Name of the profile.
    pub name: String,
    /// Seed that repeats the run.
    pub seed: u64,
    /// Length of the sending, seconds.
    pub duration_seconds: f64,
    /// Whether the user ended it.
    pub interrupted: bool,
    /// Sentences that the user should read.
    pub notes: Vec<String>,
    /// What was asked for.
    pub asked: Asked,
    /// What was sent.
    pub sent: Sent,
    /// What was received.
    pub received: Received,
    /// What became of the tracked packets.
    pub loss: Loss,
    /// From intended send time to receipt; `null` without tracked packets received.
    pub latency: Option<Summary>,
    /// The percentile curve: share of packets, nanoseconds.
    pub latency_curve: Vec<(f64, u64)>,
    /// All of the latencies as an HDR histogram (V2, deflated, base64); `null` without.
    pub latency_hdr: Option<String>,
    /// Jitter; `null` without tracked packets received.
    pub jitter: Option<Jitter>,
    /// Flows.
    pub flows: Flows,
    /// Streams.
    pub streams: Vec<StreamReport>,
    /// Ports.
    pub ports: Vec<PortReport>,
    /// Cores.
    pub cores: Vec<CoreReport>,
    /// The run over time.
    pub series: Vec<Sample>,
    /// Who was the limit.
    pub verdict: Verdict,
}

/// Flows listed one by one.
const WORST: usize = 20;

impl RunResult {
    /// Sums up `outcome` of `plan`.
    pub fn new(
        profile: &Profile,
        plan: &Plan,
        ports: &[PortInfo],
        outcome: &Outcome,
        series: Vec<Sample>,
    ) -> RunResult {
        let (sent, received) = (&outcome.progress.sent, &outcome.progress.received);
        let rates: Option<Vec<f64>> = plan
            .streams
            .iter()
            .map(|stream| stream.packets_per_second())
            .collect();
        let asked_pps = rates.map(|rates| asked_mean(plan, &rates, outcome));
        let seconds = length(plan, outcome, asked_pps);
        let per_second = |count: u64| {
            if seconds > 0.0 {
                count as f64 / seconds
            } else {
                0.0
            }
        };
        let wire = sent.bytes + sent.packets * u64::from(L1_OVERHEAD_BYTES);
        let lost = sent.tracked.saturating_sub(received.unique);
        let latency = received.latency.summary();
        let lateness = sent.lateness.summary();
        let share = |part: u64, whole: u64| {
            if whole == 0 {
                0.0
            } else {
                part as f64 / whole as f64
            }
        };
        let cores: Vec<CoreReport> = outcome
            .progress
            .work
            .iter()
            .map(|(cpu, work)| CoreReport {
                cpu: *cpu,
                transmit_busy: work.transmit_share(),
                receive_busy: work.receive_share(),
            })
            .collect();
        let busiest = |cpus: &[u16]| {
            cores
                .iter()
                .filter(|core| cpus.iter().any(|&cpu| usize::from(cpu) == core.cpu))
                // A core that does both has only one time.
                .map(|core| core.transmit_busy + core.receive_busy)
                .fold(0.0, f64::max)
        };
        let facts = Facts {
            asked_pps,
            sent_pps: per_second(sent.packets),
            sent: sent.packets,
            tracked: sent.tracked,
            unique: received.unique,
            received: received.packets,
            missed: sent.missed + sent.dropped,
            late: sent.late,
            late_after_ns: plan.late_after_ns,
            lateness_p99_ns: lateness.map_or(0, |s| s.p99_ns),
            latency_p99_ns: latency.map_or(0, |s| s.p99_ns),
            refusals: sent.refusals,
            pool_empty: sent.pool_empty,
            transmit_busy: busiest(&profile.cores.transmit),
            receive_busy: busiest(&profile.cores.receive),
            port_dropped: outcome
                .ports
                .iter()
                .map(|p| p.rx_missed + p.rx_no_mbuf)
                .sum(),
            untracked: received.untracked,
            broken: received.broken,
            too_late: received.too_late,
            interrupted: outcome.interrupted,
        };
        RunResult {
            kind: "run",
            version: env!("CARGO_PKG_VERSION"),
            name: profile
                .name
                .as_ref()
                .map_or_else(|| "pktgen".into(), |name| name.to_string()),
            seed: plan.seed,
            duration_seconds: seconds,
            interrupted: outcome.interrupted,
            notes: plan.notes.clone(),
            asked: Asked {
                packets_per_second: asked_pps,
                duration_s: plan.duration_ns.map(|ns| ns as f64 / 1e9),
                packets: profile.packets,
            },
            sent: Sent {
                packets: sent.packets,
                bytes: sent.bytes,
                packets_per_second: per_second(sent.packets),
                bits_per_second: per_second(sent.bytes) * 8.0,
                bits_per_second_l1: per_second(wire) * 8.0,
                rate_error: asked_pps
                    .filter(|_| !outcome.interrupted)
                    .map(|asked| per_second(sent.packets) / asked - 1.0),
                tracked_packets: sent.tracked,
                late_packets: sent.late,
                late_after_ns: plan.late_after_ns,
                missed_slots: sent.missed,
                dropped_packets: sent.dropped,
                refused_packets: sent.refused,
                pool_empty: sent.pool_empty,
                lateness,
            },
            received: Received {
                packets: received.packets,
                bytes: received.bytes,
                packets_per_second: per_second(received.packets),
                bits_per_second: per_second(received.bytes) * 8.0,
                unique_packets: received.unique,
                foreign_packets: received.foreign,
                stale_packets: received.stale,
                corrupted_packets: received.broken,
                untracked_packets: received.untracked,
                neighbour_requests: received.neighbours,
            },
            loss: Loss {
                lost_packets: lost,
                loss_ratio: share(lost, sent.tracked),
                duplicate_packets: received.duplicates,
                reordered_packets: received.reordered,
                reordered_ratio: share(received.reordered, received.unique),
                too_late_packets: received.too_late,
                greatest_lag: outcome
                    .flows
                    .iter()
                    .map(|f| f.1.greatest_lag)
                    .max()
                    .unwrap_or(0),
            },
            latency,
            latency_curve: received.latency.curve(),
            latency_hdr: hdr_text(&received.latency),
            jitter: jitter(outcome),
            flows: flows(plan, outcome),
            streams: streams(plan, ports, outcome, seconds),
            ports: ports.iter().zip(&outcome.ports).map(port_report).collect(),
            cores,
            series,
            verdict: judge(&facts),
        }
    }
}

/// Packets per second asked for over the whole of the run: ramps lower the mean.
fn asked_mean(plan: &Plan, rates: &[f64], outcome: &Outcome) -> f64 {
    let seconds = plan
        .duration_ns
        .map_or(outcome.last_sent_s, |ns| ns as f64 / 1e9);
    plan.streams
        .iter()
        .zip(rates)
        .map(|(stream, &rate)| match (stream.ramp, stream.pace.rate()) {
            (Some(ramp), Some(last)) if seconds > 0.0 && last > 0.0 => {
                let over = (ramp.over_ns as f64 / 1e9).min(seconds);
                let whole = ramp.over_ns as f64 / 1e9;
                let reached = ramp.from + (last - ramp.from) * over / whole.max(1e-9);
                let units = (ramp.from + reached) / 2.0 * over + last * (seconds - over);
                rate * units / (last * seconds)
            }
            _ => rate,
        })
        .sum()
}

/// How long the sending took: the time asked for if it was used up, else until the last packet and
/// the gap that belongs to it.
fn length(plan: &Plan, outcome: &Outcome, asked_pps: Option<f64>) -> f64 {
    let budget: Option<u64> = plan.streams.iter().map(|stream| stream.budget).sum();
    let gap = asked_pps.map_or(0.0, |pps| 1.0 / pps.max(1e-9));
    match plan.duration_ns {
        _ if outcome.interrupted => outcome.ended_s,
        Some(ns) if budget.is_none_or(|packets| outcome.progress.sent.packets < packets) => {
            // Late slots are sent after the end; then it took as long as that.
            (ns as f64 / 1e9).max(outcome.last_sent_s)
        }
        _ => outcome.last_sent_s + gap,
    }
}

fn jitter(outcome: &Outcome) -> Option<Jitter> {
    let (mut weight, mut sum, mut max) = (0, 0.0, 0);
    for (_, flow) in outcome.flows.iter().filter(|(_, flow)| flow.received > 1) {
        weight += flow.received;
        sum += flow.received as f64 * flow.jitter_ns() as f64;
        max = max.max(flow.jitter_ns());
    }
    (weight > 0).then(|| Jitter {
        mean_ns: sum / weight as f64,
        max_ns: max,
    })
}

fn flows(plan: &Plan, outcome: &Outcome) -> Flows {
    let name = |flow: u32| {
        plan.streams
            .iter()
            .rfind(|stream| stream.tracked_flows > 0 && stream.first_flow <= flow)
            .map_or_else(String::new, |stream| stream.name.clone())
    };
    let mut all: Vec<(u64, u32)> = Vec::new();
    let (mut sent, mut loss, mut duplicates, mut reordering) = (0, 0, 0, 0);
    for (index, (packets, flow)) in outcome.flows.iter().enumerate() {
        let lost = packets.saturating_sub(flow.received);
        sent += u32::from(*packets > 0);
        loss += u32::from(lost > 0);
        duplicates += u32::from(flow.duplicates > 0);
        reordering += u32::from(flow.reordered > 0);
        let trouble = lost + u64::from(flow.duplicates) + u64::from(flow.reordered);
        if trouble > 0 {
            all.push((trouble, index as u32));
        }
    }
    all.sort_unstable_by(|a, b| b.cmp(a));
    let worst = all
        .into_iter()
        .take(WORST)
        .filter_map(|(_, index)| {
            let (sent, flow) = outcome.flows.get(index as usize)?;
            Some(FlowReport {
                flow: index,
                stream: name(index),
                sent: *sent,
                received: flow.received,
                lost: sent.saturating_sub(flow.received),
                duplicates: flow.duplicates,
                reordered: flow.reordered,
                greatest_lag: flow.greatest_lag,
                jitter_ns: flow.jitter_ns(),
            })
        })
        .collect();
    Flows {
        count: plan.flows,
        sent,
        with_loss: loss,
        with_duplicates: duplicates,
        with_reordering: reordering,
        window: outcome.window,
        worst,
    }
}

fn streams(plan: &Plan, ports: &[PortInfo], outcome: &Outcome, seconds: f64) -> Vec<StreamReport> {
    plan.streams
        .iter()
        .zip(&outcome.progress.streams)
        .map(|(stream, counts)| {
            let range =
                stream.first_flow as usize..(stream.first_flow + stream.tracked_flows) as usize;
            let own = outcome.flows.get(range).unwrap_or_default();
            let lost = own
                .iter()
                .map(|(sent, flow)| sent.saturating_sub(flow.received))
                .sum();
            StreamReport {
                name: stream.name.clone(),
                port: ports
                    .get(stream.port)
                    .map(|port| port.name.clone())
                    .unwrap_or_default(),
                rate: stream.rate.to_string(),
                flows: stream.flows(),
                mean_frame_bytes: stream.mean_size(),
                packets: counts.packets,
                packets_per_second: if seconds > 0.0 {
                    counts.packets as f64 / seconds
                } else {
                    0.0
                },
                lost_packets: (counts.tracked > 0).then_some(lost),
            }
        })
        .collect()
}

fn port_report((info, stats): (&PortInfo, &nf_core::dpdk::PortStats)) -> PortReport {
    PortReport {
        name: info.name.clone(),
        driver: info.driver.clone(),
        mac: nf_core::wire::MacAddr(info.mac).to_string(),
        link_mbps: info.link.speed_mbps,
        rx_packets: stats.rx_packets,
        tx_packets: stats.tx_packets,
        rx_missed: stats.rx_missed,
        rx_no_buffer: stats.rx_no_mbuf,
        rx_errors: stats.rx_errors,
        tx_errors: stats.tx_errors,
    }
}

/// An HDR histogram as the tools of that name exchange it.
fn hdr_text(latency: &Distribution) -> Option<String> {
    use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
    if latency.count() == 0 {
        return None;
    }
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(&latency.hdr()?, &mut bytes)
        .ok()?;
    Some(base64(&bytes))
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group
            .iter()
            .fold(0u32, |word, &byte| word << 8 | u32::from(byte))
            << (8 * (3 - group.len()));
        for digit in 0..4 {
            if digit <= group.len() {
                let index = (word >> (18 - 6 * digit) & 63) as usize;
                text.push(char::from(DIGITS.get(index).copied().unwrap_or(b'A')));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn the_histogram_can_be_read_back() {
        use nf_core::telemetry::Block;
        let latency = crate::latency::Latency::default();
        (1..10_000).for_each(|ns| latency.record(ns * 100));
        let text = hdr_text(&latency.snapshot()).unwrap();
        assert!(
            text.starts_with("HISTFAAA"),
            "the tag of a compressed V2 histogram: {text}"
        );
        assert!(hdr_text(&Distribution::default()).is_none());
    }
}
