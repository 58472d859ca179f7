//! What two looks say together: rates.

use serde::Serialize;

use crate::sched::Sched;

use super::sample::{Drop, Latency, Pair, Port, Sample, Stage};

/// Rates a second over the time between two looks, and the states of the later one.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Picture {
    /// The appliance's name.
    pub name: String,
    /// Of Sluice and DPDK.
    pub versions: String,
    /// Since the start.
    pub uptime_seconds: f64,
    /// What is wrong.
    pub problems: Vec<String>,
    /// Seconds between the looks.
    pub seconds: f64,
    /// What comes in for either direction.
    pub flow: [Flow; 2],
    /// The stages.
    pub stages: Vec<StageRate>,
    /// The ports.
    pub ports: Vec<PortRate>,
    /// The drops, the fastest growing first.
    pub drops: Vec<DropRate>,
    /// The cores.
    pub cores: Vec<CoreState>,
    /// Where the stages run; `None` without a scheduler.
    pub sched: Option<Sched>,
}

/// What comes in for one direction: index 0 to the servers, 1 to the clients.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Flow {
    /// Packets a second.
    pub packets: f64,
    /// Bits a second, `None` where ports of both sides make it unknown.
    pub bits: Option<f64>,
    /// Transit times: those of the slowest core.
    pub p50_ns: Option<u64>,
    /// The same.
    pub p99_ns: Option<u64>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct StageRate {
    pub name: String,
    pub kind: String,
    /// Packets a second, to server and to client.
    pub input: [f64; 2],
    /// Turned around, a second.
    pub back: f64,
    /// Made, a second.
    pub made: f64,
    /// Dropped, a second.
    pub dropped: f64,
    /// Dropped since the start.
    pub dropped_total: u64,
    pub held: u64,
    pub cycles_per_packet: f64,
    pub mean_batch: f64,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct PortRate {
    pub name: String,
    pub side: String,
    pub device: String,
    pub state: String,
    pub link_up: bool,
    pub speed_mbps: Option<u64>,
    pub rx_packets: f64,
    /// Unknown where the device counts packets but no bytes, as rings do.
    pub rx_bits: Option<f64>,
    pub tx_packets: f64,
    /// The same.
    pub tx_bits: Option<f64>,
    /// Dropped or missed, a second.
    pub dropped: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DropRate {
    pub place: String,
    pub reason: String,
    /// A second.
    pub rate: f64,
    pub total: u64,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct CoreState {
    pub core: u64,
    pub cpu: u64,
    pub running: bool,
    pub busy: f64,
    /// Of the polls between the looks.
    pub polls_empty: f64,
    /// Of the polls between the looks.
    pub polls_full: f64,
    pub p50_ns: [Option<u64>; 2],
    pub p99_ns: [Option<u64>; 2],
    pub p999_ns: [Option<u64>; 2],
}

impl Picture {
    /// From the look before (`None` for the first: all rates are zero) and the look now.
    pub fn new(before: Option<&Sample>, now: &Sample) -> Picture {
        // Counts of another process have nothing to do with those of this one.
        let before = before.filter(|before| before.version.pid == now.version.pid);
        let seconds = before.map_or(0.0, |before| (now.at - before.at).as_secs_f64());
        let rate = |now: u64, before: Option<u64>| match before {
            Some(before) if seconds > 0.0 => now.saturating_sub(before) as f64 / seconds,
            _ => 0.0,
        };
        let stages = now.chain.iter().map(|stage| {
            let old =
                before.and_then(|before| before.chain.iter().find(|old| old.name == stage.name));
            stage_rate(stage, old, &rate)
        });
        let ports: Vec<PortRate> = now
            .ports
            .iter()
            .map(|port| {
                let old =
                    before.and_then(|before| before.ports.iter().find(|old| old.name == port.name));
                port_rate(port, old, &rate)
            })
            .collect();
        let stages: Vec<StageRate> = stages.collect();
        let mut drops: Vec<DropRate> = now
            .drops
            .iter()
            .map(|drop| {
                let same = |old: &&Drop| old.stage == drop.stage && old.reason == drop.reason;
                // A reason that was not there before had dropped nothing.
                let old = before
                    .map(|before| before.drops.iter().find(same).map_or(0, |old| old.packets));
                DropRate {
                    place: drop.stage.clone(),
                    reason: drop.reason.clone(),
                    rate: rate(drop.packets, old),
                    total: drop.packets,
                }
            })
            .collect();
        drops.sort_by(|a, b| b.rate.total_cmp(&a.rate).then(b.total.cmp(&a.total)));
        let cores = now.cores.iter().map(|core| {
            let old =
                before.and_then(|before| before.cores.iter().find(|old| old.core == core.core));
            let polls = rate(core.polls, old.map(|old| old.polls));
            let part = |part: f64| if polls > 0.0 { part / polls } else { 0.0 };
            CoreState {
                core: core.core,
                cpu: core.cpu,
                running: core.running,
                busy: core.busy_share,
                polls_empty: part(rate(core.polls_empty, old.map(|old| old.polls_empty))),
                polls_full: part(rate(core.polls_full, old.map(|old| old.polls_full))),
                p50_ns: times(&core.transit, |latency| latency.p50_ns),
                p99_ns: times(&core.transit, |latency| latency.p99_ns),
                p999_ns: times(&core.transit, |latency| latency.p999_ns),
            }
        });
        let cores: Vec<CoreState> = cores.collect();
        let mut sched = now.sched.clone();
        let old = before.and_then(|before| before.sched.as_ref());
        for actor in sched.iter_mut().flat_map(|sched| &mut sched.actors) {
            let old = old.and_then(|old| old.actor(&actor.name));
            actor.lost_rate = rate(actor.lost(), old.map(|old| old.lost()));
        }
        Picture {
            name: now.version.name.clone(),
            versions: format!("sluice {}, {}", now.version.version, now.version.dpdk),
            uptime_seconds: now.version.uptime_seconds,
            problems: now.health.problems.clone(),
            seconds,
            flow: [0, 1].map(|direction| flow(direction, &stages, &ports, &cores)),
            stages,
            ports,
            drops,
            cores,
            sched,
        }
    }
}

fn flow(direction: usize, stages: &[StageRate], ports: &[PortRate], cores: &[CoreState]) -> Flow {
    let side = ["client", "server"][direction];
    let of_side = || ports.iter().filter(|port| port.side == side);
    let mixed = ports.iter().any(|port| port.side == "any");
    let slowest = |of: fn(&CoreState) -> [Option<u64>; 2]| {
        cores.iter().filter_map(|core| of(core)[direction]).max()
    };
    // Where a port is for both sides, only the chain knows which way its packets went. The first
    // stage that a direction meets saw them all.
    let first = if direction == 0 {
        stages.first()
    } else {
        stages.last()
    };
    Flow {
        packets: match (mixed, first) {
            (true, Some(stage)) => stage.input[direction],
            _ => of_side().map(|port| port.rx_packets).sum(),
        },
        bits: match mixed {
            true => None,
            false => of_side().map(|port| port.rx_bits).sum(),
        },
        p50_ns: slowest(|core| core.p50_ns),
        p99_ns: slowest(|core| core.p99_ns),
    }
}

fn times(transit: &Pair<Latency>, of: fn(&Latency) -> u64) -> [Option<u64>; 2] {
    [transit.to_server, transit.to_client]
        .map(|latency| (latency.packets > 0).then(|| of(&latency)))
}

fn stage_rate(
    now: &Stage,
    old: Option<&Stage>,
    rate: &impl Fn(u64, Option<u64>) -> f64,
) -> StageRate {
    let both = |pair: &Pair<u64>| pair.to_server + pair.to_client;
    let dropped = |stage: &Stage| stage.dropped.values().sum::<u64>();
    StageRate {
        name: now.name.clone(),
        kind: now.kind.clone(),
        input: [
            rate(now.input.to_server, old.map(|old| old.input.to_server)),
            rate(now.input.to_client, old.map(|old| old.input.to_client)),
        ],
        back: rate(both(&now.back), old.map(|old| both(&old.back))),
        made: rate(both(&now.originated), old.map(|old| both(&old.originated))),
        dropped: rate(dropped(now), old.map(dropped)),
        dropped_total: dropped(now),
        held: now.held,
        cycles_per_packet: now.cycles_per_packet,
        mean_batch: now.mean_batch,
    }
}

fn port_rate(now: &Port, old: Option<&Port>, rate: &impl Fn(u64, Option<u64>) -> f64) -> PortRate {
    let dropped = |port: &Port| {
        let (counters, device) = (&port.counters, &port.device_stats);
        counters.tx_full + counters.port_down + device.rx_missed + device.rx_no_mbuf
    };
    let of = |of: fn(&Port) -> u64| rate(of(now), old.map(of));
    let (counted, device) = (&now.counters, &now.device_stats);
    let knows = |bytes: u64, packets: u64| bytes > 0 || packets == 0;
    PortRate {
        name: now.name.clone(),
        side: now.side.clone(),
        device: now.device.clone(),
        state: now.state.clone(),
        link_up: now.link.up,
        speed_mbps: now.link.speed_mbps,
        rx_packets: of(|port| port.counters.rx_packets),
        rx_bits: knows(device.rx_bytes, counted.rx_packets)
            .then(|| of(|port| port.device_stats.rx_bytes) * 8.0),
        tx_packets: of(|port| port.counters.tx_packets),
        tx_bits: knows(device.tx_bytes, counted.tx_packets)
            .then(|| of(|port| port.device_stats.tx_bytes) * 8.0),
        dropped: rate(dropped(now), old.map(dropped)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;

    /// A look `after` seconds, with counts that grow with the time.
    pub fn sample(start: Instant, after: u64, pid: u64) -> Sample {
        let n = after;
        let stage = |name: &str, kind: &str, denied: u64| {
            json!({
                "name": name, "kind": kind,
                "input": {"to_server": 1_200_000 * n, "to_client": 900_000 * n},
                "back": {"to_server": 10 * n, "to_client": 0}, "originated": {"to_server": 0, "to_client": 0},
                "dropped": {"denied": denied, "malformed": 0}, "held": 3, "cycles_per_packet": 41.5,
                "mean_batch": 17.25,
            })
        };
        let port = |name: &str, side: &str, up: bool| {
            json!({
                "name": name, "side": side, "device": "tap", "state": if up { "attached" } else { "lost" },
                "link": {"up": up, "speed_mbps": 10_000},
                "counters": {
                    "rx_packets": 1_200_000 * n, "tx_packets": 900_000 * n, "tx_full": 7 * n,
                    "port_down": 0,
                },
                "device_stats": {
                    "rx_bytes": 1_200_000 * 64 * n, "tx_bytes": 900_000 * 1500 * n, "rx_missed": 0,
                    "rx_no_mbuf": 0,
                },
            })
        };
        let latency = json!({"packets": 5, "p50_ns": 2_100, "p99_ns": 8_400, "p999_ns": 31_000, "max_ns": 90_000});
        Sample {
            at: start + Duration::from_secs(after),
            version: serde_json::from_value(json!({
                "name": "edge", "version": "0.1.0", "dpdk": "DPDK 22.11.9", "uptime_seconds": 7500.0, "pid": pid
            }))
            .unwrap(),
            health: serde_json::from_value(json!({"ok": true, "problems": []})).unwrap(),
            chain: serde_json::from_value(json!([
                stage("capture", "capture", 0),
                stage("front", "acl", 40 * n),
                stage("route", "route", 0)
            ]))
            .unwrap(),
            ports: serde_json::from_value(json!([
                port("clients", "client", true),
                port("servers", "server", after < 100)
            ]))
            .unwrap(),
            drops: serde_json::from_value(json!([
                {"stage": "port clients", "reason": "tx_full", "packets": 7 * n},
                {"stage": "front", "reason": "denied", "packets": 40 * n},
                {"stage": "chain", "reason": "no_port", "packets": 12},
            ]))
            .unwrap(),
            cores: serde_json::from_value(json!([{
                "core": 0, "cpu": 1, "running": true, "busy_share": 0.434, "polls": 1000 * n,
                "polls_empty": 400 * n, "polls_full": 100 * n,
                "transit": {"to_server": latency, "to_client": {"packets": 0}},
            }]))
            .unwrap(),
            sched: None,
        }
    }

    #[test]
    fn rates_are_differences_over_the_time() {
        let start = Instant::now();
        let picture = Picture::new(Some(&sample(start, 1, 7)), &sample(start, 3, 7));
        assert_eq!(picture.seconds, 2.0);
        assert_eq!(picture.flow[0].packets, 1.2e6);
        assert_eq!(picture.flow[0].bits, Some(1.2e6 * 64.0 * 8.0));
        assert_eq!(
            (picture.flow[0].p99_ns, picture.flow[1].p99_ns),
            (Some(8_400), None)
        );
        assert_eq!(picture.stages[1].dropped, 40.0);
        assert_eq!(picture.ports[0].dropped, 7.0);
        assert_eq!(picture.drops[0].reason, "denied");
        assert_eq!(picture.drops[2].rate, 0.0);
        assert_eq!(
            (picture.cores[0].polls_empty, picture.cores[0].polls_full),
            (0.4, 0.1)
        );
    }

    #[test]
    fn what_an_actor_loses_is_a_rate() {
        let start = Instant::now();
        let (mut before, mut now) = (sample(start, 1, 7), sample(start, 3, 7));
        before.sched = serde_json::from_value(crate::sched::tests::answer()).unwrap();
        now.sched.clone_from(&before.sched);
        now.sched.as_mut().unwrap().actors[1].losses = vec![2, 0, 11, 0];
        let sched = Picture::new(Some(&before), &now).sched.unwrap();
        let rates: Vec<f64> = sched.actors.iter().map(|actor| actor.lost_rate).collect();
        assert_eq!(rates, [0.0, 3.0, 0.0]);
    }

    #[test]
    fn the_first_look_and_a_restart_have_no_rates() {
        let start = Instant::now();
        let (now, other) = (sample(start, 3, 7), sample(start, 1, 8));
        for before in [None, Some(&other)] {
            let picture = Picture::new(before, &now);
            assert_eq!(picture.flow[0].packets, 0.0);
            assert!(picture.drops.iter().all(|drop| drop.rate == 0.0));
            assert_eq!(picture.drops[0].total, 120);
        }
    }

    #[test]
    fn a_new_reason_has_grown_from_nothing() {
        let start = Instant::now();
        let mut before = sample(start, 1, 7);
        before.drops.clear();
        let picture = Picture::new(Some(&before), &sample(start, 2, 7));
        assert_eq!(picture.drops[0].rate, 80.0);
    }

    #[test]
    fn bits_are_unknown_where_the_device_counts_no_bytes() {
        let start = Instant::now();
        let (mut before, mut now) = (sample(start, 1, 7), sample(start, 2, 7));
        for sample in [&mut before, &mut now] {
            sample.ports[0].device_stats.rx_bytes = 0;
        }
        let picture = Picture::new(Some(&before), &now);
        let (port, other) = (&picture.ports[0], &picture.ports[1]);
        assert_eq!((port.rx_packets, port.rx_bits), (1.2e6, None));
        assert!(port.tx_bits.is_some_and(|bits| bits > 0.0) && other.rx_bits.is_some());
        assert_eq!(picture.flow[0].bits, None, "not the sum of the others");
        // Nothing received is no bits, not an unknown number.
        now.ports[0].counters.rx_packets = 0;
        assert_eq!(Picture::new(None, &now).ports[0].rx_bits, Some(0.0));
    }

    #[test]
    fn a_port_of_both_sides_leaves_the_counting_to_the_chain() {
        let start = Instant::now();
        let (mut before, mut now) = (sample(start, 1, 7), sample(start, 2, 7));
        for sample in [&mut before, &mut now] {
            sample
                .ports
                .iter_mut()
                .for_each(|port| port.side = "any".into());
        }
        let picture = Picture::new(Some(&before), &now);
        assert_eq!((picture.flow[1].packets, picture.flow[1].bits), (9e5, None));
    }
}
