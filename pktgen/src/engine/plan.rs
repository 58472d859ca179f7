//! From a profile to what each core has to do, once the ports' addresses and speeds are known.

use std::sync::Arc;

use nf_core::dpdk::LinkState;

use crate::pcap;
use crate::profile::stream::{Stream, Timing};
use crate::profile::{FlowOrder, Profile};
use crate::schedule::{Ramp, Spacing};
use crate::signature::MAX_TRACKED_FLOWS;
use crate::template::{FCS_BYTES, MacDefaults, Sizes, Template};
use crate::units::{Layer, Pace, Rate};

/// What is known of an open port.
#[derive(Debug, Clone)]
pub struct PortInfo {
    /// Its name.
    pub name: String,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Its link.
    pub link: LinkState,
    /// The driver behind it.
    pub driver: String,
}

/// What a stream sends.
#[derive(Debug, Clone)]
pub enum Source {
    /// Packets from a template.
    Template(Arc<Template>),
    /// Frames of a capture file.
    Replay {
        /// The frames, with their times.
        frames: Arc<Vec<pcap::Frame>>,
        /// Whether the recorded times hold.
        timing: Timing,
        /// Divisor of the recorded times.
        speed: f64,
        /// Start again at the end.
        repeat: bool,
    },
}

/// One stream, ready to be sent.
#[derive(Debug, Clone)]
pub struct StreamPlan {
    /// Name in reports.
    pub name: String,
    /// Index of its port.
    pub port: usize,
    /// What it sends.
    pub source: Source,
    /// Frame sizes.
    pub sizes: Sizes,
    /// The rate as asked for.
    pub rate: Rate,
    /// The rate in a schedule's terms.
    pub pace: Pace,
    /// Distances between packets.
    pub spacing: Spacing,
    /// Rate at the start.
    pub ramp: Option<Ramp>,
    /// Order of the flows.
    pub flow_order: FlowOrder,
    /// First of its tracked flow numbers.
    pub first_flow: u32,
    /// How many it has; on several cores, a stream with fewer flows than cores has one set a core.
    pub tracked_flows: u32,
    /// Most packets to send.
    pub budget: Option<u64>,
}

impl StreamPlan {
    /// Number of flows that the packets' headers tell apart.
    pub fn flows(&self) -> u32 {
        match &self.source {
            Source::Template(template) => template.flows(),
            Source::Replay { .. } => 0,
        }
    }

    /// Mean frame size, check sequence included.
    pub fn mean_size(&self) -> f64 {
        match &self.source {
            Source::Template(_) => self.sizes.mean(),
            Source::Replay { frames, .. } => {
                let bytes: usize = frames
                    .iter()
                    .map(|f| f.bytes.len() + FCS_BYTES as usize)
                    .sum();
                bytes as f64 / frames.len().max(1) as f64
            }
        }
    }

    /// Packets per second asked for, if a rate is.
    pub fn packets_per_second(&self) -> Option<f64> {
        match &self.source {
            Source::Replay {
                frames,
                timing: Timing::Recorded,
                speed,
                ..
            } => {
                let last = frames.last()?.at_ns;
                (last > 0).then(|| (frames.len() - 1) as f64 * 1e9 / last as f64 * speed)
            }
            _ => self.pace.packets_per_second(self.mean_size()),
        }
    }
}

/// A run, ready to go.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The streams.
    pub streams: Vec<StreamPlan>,
    /// Tracked flows of all streams.
    pub flows: u32,
    /// How long to send, nanoseconds; until the packets are out if `None`.
    pub duration_ns: Option<u64>,
    /// Seed of everything random.
    pub seed: u64,
    /// Slack before a packet counts as late, nanoseconds.
    pub late_after_ns: u64,
    /// How many packets' times of departure are recorded: the first ones.
    pub departures: usize,
    /// Sentences that the user should read.
    pub notes: Vec<String>,
}

/// Reads the frames of a stream's capture file.
fn load(stream: &Stream, at: &str, notes: &mut Vec<String>) -> Result<Option<Source>, String> {
    let Some(replay) = &stream.replay else {
        return Ok(None);
    };
    let path = replay.file.display();
    let bytes = std::fs::read(&replay.file).map_err(|e| format!("{at}: {path}: {e}"))?;
    let capture = pcap::read(&bytes).map_err(|e| format!("{at}: {path}: {e}"))?;
    for (count, what) in [
        (
            capture.truncated,
            "were captured in part and are sent as short as that",
        ),
        (capture.not_ethernet, "are not Ethernet and are left out"),
        (
            capture.back_in_time,
            "have an earlier time than the one before and follow it at once",
        ),
    ] {
        if count > 0 {
            notes.push(format!("{path}: {count} frames {what}"));
        }
    }
    if let Some(longest) = capture.frames.iter().map(|f| f.bytes.len()).max()
        && longest > 16_124
    {
        return Err(format!(
            "{at}: {path}: a frame of {longest} bytes; at most 16124 can be sent"
        ));
    }
    Ok(Some(Source::Replay {
        frames: Arc::new(capture.frames),
        timing: replay.timing,
        speed: replay.speed,
        repeat: replay.repeat,
    }))
}

/// Bytes of the largest frame that the profile sends, without check sequence.
pub fn largest_frame(profile: &Profile) -> usize {
    let largest = |stream: &Stream| usize::from(stream.size.0.largest());
    profile
        .streams
        .iter()
        .map(largest)
        .max()
        .unwrap_or(64)
        .max(1518)
        - FCS_BYTES as usize
}

/// Makes the plan for `profile` on `ports`, for `cores` transmit cores. `gateways` holds the MAC
/// address of each stream's gateway.
pub fn compile(
    profile: &Profile,
    ports: &[PortInfo],
    gateways: &[Option<[u8; 6]>],
    seed: u64,
) -> Result<Plan, String> {
    let cores = profile.cores.transmit.len().max(1) as u32;
    let mut notes = Vec::new();
    let mut streams = Vec::new();
    let mut flows: u32 = 0;
    let default = [Stream::default()];
    let asked: &[Stream] = if profile.streams.is_empty() {
        &default
    } else {
        &profile.streams
    };
    for (index, stream) in asked.iter().enumerate() {
        let at = format!("stream {index}");
        let name = stream
            .name
            .as_ref()
            .map_or(format!("stream{index}"), |name| name.to_string());
        let port = match &stream.port {
            Some(name) => ports
                .iter()
                .position(|port| port.name == **name)
                .ok_or_else(|| format!("{at}: there is no port `{name}`"))?,
            None => 0,
        };
        let info = ports.get(port).ok_or("there is no port")?;
        let line_rate = match profile.line_rates.get(&info.name) {
            Some(Rate::Bits(rate, _)) => Some(*rate),
            _ => info.link.speed_mbps.map(|mbps| f64::from(mbps) * 1e6),
        };
        let pace = stream.rate.pace(line_rate).ok_or_else(|| {
            format!(
                "{at}: `{}`, but port `{}` does not say how fast it is: give its `line_rates`",
                stream.rate, info.name
            )
        })?;
        let source = match load(stream, &at, &mut notes)? {
            Some(source) => source,
            None => {
                let macs = MacDefaults {
                    source: info.mac,
                    destination: gateways
                        .get(index)
                        .copied()
                        .flatten()
                        .unwrap_or_else(|| default_destination(port, ports)),
                };
                let template = Template::compile(
                    &stream.packet,
                    &stream.size.0.distinct,
                    stream.flows,
                    stream.combine,
                    &macs,
                    seed,
                )
                .map_err(|error| format!("{at}: {error}"))?;
                let least = template.least_tracked_size();
                let (smallest, largest) = (
                    usize::from(stream.size.0.distinct.first().copied().unwrap_or(0)),
                    usize::from(stream.size.0.largest()),
                );
                if largest < least {
                    notes.push(format!(
                        "{name}: frames of {largest} bytes have no room for a signature behind \
                         these headers ({least} bytes would): packets are counted, but loss per \
                         flow, reordering and latency are not measured"
                    ));
                } else if smallest < least {
                    notes.push(format!(
                        "{name}: frames below {least} bytes have no room for a signature behind \
                         these headers: they are counted, and the others are measured"
                    ));
                }
                Source::Template(Arc::new(template))
            }
        };
        let ramp = stream.ramp.and_then(|ramp| {
            let from = match ramp.from {
                Rate::Packets(rate) | Rate::Bits(rate, Layer::L1 | Layer::L2) => rate,
                Rate::Percent(_) | Rate::Max => return None,
            };
            Some(Ramp {
                from,
                over_ns: ramp.over.nanoseconds(),
            })
        });
        let mut plan = StreamPlan {
            name,
            port,
            source,
            sizes: stream.size.0.clone(),
            rate: stream.rate,
            pace,
            spacing: stream.spacing.schedule(),
            ramp,
            flow_order: stream.flow_order,
            first_flow: flows,
            tracked_flows: 0,
            budget: None,
        };
        plan.tracked_flows = match plan.flows() {
            0 => 0,
            few if few < cores => few * cores,
            many => many,
        };
        flows = flows
            .checked_add(plan.tracked_flows)
            .filter(|&flows| flows <= MAX_TRACKED_FLOWS)
            .ok_or_else(|| format!("more than {MAX_TRACKED_FLOWS} flows in all streams"))?;
        streams.push(plan);
    }
    share_budget(&mut streams, profile.packets);
    let endless =
        |stream: &StreamPlan| !matches!(stream.source, Source::Replay { repeat: false, .. });
    let duration_ns = match (profile.duration, profile.packets) {
        (Some(duration), _) => Some(duration.nanoseconds()),
        (None, Some(_)) => None,
        (None, None) if !streams.iter().any(endless) => None,
        (None, None) => Some(10_000_000_000),
    };
    Ok(Plan {
        streams,
        flows,
        duration_ns,
        seed,
        late_after_ns: profile.late_after.nanoseconds(),
        departures: 0,
        notes,
    })
}

/// Checks what of a stream needs no port: that its headers agree, and that frames and flows fit.
pub fn check_stream(index: usize, stream: &Stream, problems: &mut nf_core::check::Problems) {
    let at = nf_core::check::JsonPath::root().key("streams").index(index);
    let macs = MacDefaults {
        source: [2, 0, 0, 0, 0, 1],
        destination: [2, 0, 0, 0, 0, 2],
    };
    let mut notes = Vec::new();
    let result = match load(stream, "replay", &mut notes) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Template::compile(
            &stream.packet,
            &stream.size.0.distinct,
            stream.flows,
            stream.combine,
            &macs,
            0,
        )
        .map(drop)
        .map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        problems.error(&at, error);
    }
    for note in notes {
        problems.warning(&at, note);
    }
}

/// Where packets go when the profile does not say: to the only other port, else to everybody.
fn default_destination(port: usize, ports: &[PortInfo]) -> [u8; 6] {
    match ports {
        [_, other] if port == 0 => other.mac,
        [other, _] if port == 1 => other.mac,
        _ => [0xff; 6],
    }
}

/// Splits a number of packets among streams by their rates, so that they end together.
fn share_budget(streams: &mut [StreamPlan], packets: Option<u64>) {
    let Some(packets) = packets else { return };
    // A stream without a rate counts as one of the mean rate.
    let rates: Vec<Option<f64>> = streams.iter().map(StreamPlan::packets_per_second).collect();
    let known: Vec<f64> = rates.iter().copied().flatten().collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let weight = |rate: Option<f64>| rate.unwrap_or(if mean > 0.0 { mean } else { 1.0 });
    let total: f64 = rates.iter().map(|&rate| weight(rate)).sum();
    let mut left = packets;
    let count = streams.len();
    for (index, (stream, rate)) in streams.iter_mut().zip(rates).enumerate() {
        let share = (packets as f64 * weight(rate) / total).round() as u64;
        let share = if index + 1 == count {
            left
        } else {
            share.min(left)
        };
        stream.budget = Some(share);
        left -= share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nf_core::check::Problems;
    use serde_json::{Value, json};

    fn ports() -> Vec<PortInfo> {
        let port = |name: &str, last: u8, speed_mbps| PortInfo {
            name: name.into(),
            mac: [2, 0, 0, 0, 0, last],
            link: LinkState {
                up: true,
                full_duplex: true,
                speed_mbps,
            },
            driver: "net_test".into(),
        };
        vec![port("a", 1, Some(10_000)), port("b", 2, None)]
    }

    fn plan(profile: Value) -> Result<Plan, String> {
        let mut problems = Problems::new();
        let profile = crate::profile::parse(&profile, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        compile(&profile, &ports(), &[], 1)
    }

    #[test]
    fn percent_of_the_line_rate() {
        let plan1 = plan(json!({"streams": [{"rate": "10%"}]})).unwrap();
        let pps = plan1.streams[0].packets_per_second().unwrap();
        assert!((pps - 1_488_095.2).abs() < 1.0, "{pps}");
        let error = plan(json!({"streams": [{"rate": "10%", "port": "b"}]})).unwrap_err();
        assert!(error.contains("`line_rates`"), "{error}");
        let given =
            json!({"streams": [{"rate": "10%", "port": "b"}], "line_rates": {"b": "1Gbit/s"}});
        assert!(plan(given).is_ok());
    }

    #[test]
    fn packets_are_shared_out_exactly() {
        let plan = plan(json!({
            "packets": 1001, "streams": [{"rate": "1kpps"}, {"rate": "2kpps"}, {"rate": "max"}]
        }))
        .unwrap();
        let budgets: Vec<u64> = plan.streams.iter().map(|s| s.budget.unwrap()).collect();
        assert_eq!(budgets.iter().sum::<u64>(), 1001);
        assert!(budgets[1] > budgets[0]);
        assert_eq!(plan.duration_ns, None);
    }

    #[test]
    fn flows_of_several_streams_and_cores_do_not_overlap() {
        let plan = plan(json!({
            "cores": {"transmit": [1, 2]},
            "streams": [
                {"packet": {"udp": {"source_port": {"from": 1, "count": 100}}}},
                {},
                {"packet": {"udp": {"source_port": {"from": 1, "count": 3}}}}
            ]
        }))
        .unwrap();
        let flows: Vec<_> = plan
            .streams
            .iter()
            .map(|s| (s.first_flow, s.tracked_flows))
            .collect();
        assert_eq!(flows, [(0, 100), (100, 2), (102, 3)]);
        assert_eq!(plan.flows, 105);
    }

    #[test]
    fn frames_without_room_for_a_signature_are_said_to_be() {
        let note = |stream: Value| plan(json!({"streams": [stream]})).unwrap().notes.concat();
        assert_eq!(note(json!({})), "");
        assert!(note(json!({"packet": {"vlans": [{"id": 1}]}})).contains("not measured"));
        let mixed = json!({"size": [68, 128], "packet": {"ipv6": {}}});
        assert!(note(mixed).contains("the others are measured"));
    }

    #[test]
    fn a_missing_capture_file_is_named() {
        let error = plan(json!({"streams": [{"replay": {"file": "/nowhere/x.pcap"}}]}));
        assert!(error.unwrap_err().contains("/nowhere/x.pcap"));
    }
}
