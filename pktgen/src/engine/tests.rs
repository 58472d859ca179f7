//! Runs on real ring ports of this process.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, OnceLock};

use nf_core::check::Problems;
use nf_core::dpdk::{EalConfig, HugepagePolicy, MbufRing};
use nf_core::packet::{Batch, Packet};
use serde_json::{Value, json};

use super::open::unique;
use super::*;

/// The environment, and the right to use the processors: runs that keep time cannot share them.
fn lab() -> (&'static Eal, MutexGuard<'static, ()>) {
    static LAB: OnceLock<(&'static Eal, Mutex<()>)> = OnceLock::new();
    let (eal, turn) = LAB.get_or_init(|| {
        let config = EalConfig {
            prefix: format!("pktgen-test-{}", std::process::id()),
            memory_mib: 512,
            hugepages: HugepagePolicy::Auto,
            ..EalConfig::default()
        };
        (Eal::init(&config).expect("EAL"), Mutex::new(()))
    });
    (
        eal,
        turn.lock().unwrap_or_else(|poisoned| poisoned.into_inner()),
    )
}

fn profile(value: Value) -> Profile {
    let mut problems = Problems::new();
    let profile = crate::profile::parse(&value, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    profile
}

fn run(value: Value) -> (Outcome, Plan) {
    let (eal, _turn) = lab();
    let mut engine = Engine::open_on(eal, profile(value), true).unwrap();
    let level = engine.packets_in_use();
    let plan = engine.plan(1).unwrap();
    let outcome = engine.run(&plan, &mut ()).unwrap();
    assert_eq!(engine.packets_in_use(), level, "packets have leaked");
    (outcome, plan)
}

/// Nothing lost, nothing twice, and the flows' numbers add up to the totals.
fn assert_clean(outcome: &Outcome) {
    let (sent, received) = (&outcome.progress.sent, &outcome.progress.received);
    assert_eq!(received.packets, sent.packets);
    assert_eq!(received.bytes, sent.bytes);
    assert_eq!(received.unique, sent.tracked);
    assert_eq!(
        (
            received.duplicates,
            received.reordered,
            received.too_late,
            received.broken
        ),
        (0, 0, 0, 0)
    );
    assert_eq!(
        (received.foreign, received.stale, received.untracked),
        (0, 0, 0)
    );
    assert_eq!(outcome.flows.iter().map(|f| f.0).sum::<u64>(), sent.tracked);
    for (index, (sent, flow)) in outcome.flows.iter().enumerate() {
        assert_eq!((*sent, *sent), (flow.received, flow.next), "flow {index}");
    }
    assert_eq!(received.latency.count(), received.unique);
}

#[test]
fn a_paced_run_is_exact_and_loses_nothing() {
    let (outcome, _) = run(json!({
        "duration": "500ms", "streams": [{"rate": "200kpps"}]
    }));
    assert_clean(&outcome);
    // Every slot of the schedule is used or counted as missed: on a machine that stands still at
    // the end, slots may be left over.
    let sent = &outcome.progress.sent;
    assert_eq!(sent.packets + sent.missed + sent.dropped, 100_000);
    assert_eq!(
        sent.missed, 0,
        "the machine stood still for more than 100 ms"
    );
    assert_eq!(sent.lateness.count(), sent.packets);
}

#[test]
fn departures_are_recorded_in_order_and_never_before_their_time() {
    let (eal, _turn) = lab();
    let mut engine = Engine::open_on(
        eal,
        profile(json!({
            "cores": {"transmit": [0, 1], "receive": [1]},
            "packets": 20_000, "streams": [{"rate": "100kpps"}]
        })),
        true,
    )
    .unwrap();
    let mut plan = engine.plan(1).unwrap();
    for (most, expected) in [(0, 0), (5_000, 5_000), (50_000, 20_000)] {
        plan.departures = most;
        let outcome = engine.run(&plan, &mut ()).unwrap();
        assert_clean(&outcome);
        let times = outcome.departures;
        assert_eq!(times.len(), expected);
        for (number, time) in (0u64..).zip(&times) {
            assert!(*time >= number * 10_000, "packet {number} left at {time}");
        }
        assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
        let last = times.last().copied().unwrap_or(0) as f64 / 1e9;
        assert!(
            last <= outcome.ended_s + 0.001,
            "{last} {}",
            outcome.ended_s
        );
    }
}

#[test]
fn many_flows_sizes_and_spacings_at_once() {
    let (outcome, plan) = run(json!({
        "duration": "300ms",
        "streams": [
            {"name": "v4", "rate": "50kpps", "spacing": "poisson", "size": "imix", "flows": 5000,
             "flow_order": "random",
             "packet": {"ipv4": {"source": {"from": "10.0.0.1", "count": 100}},
                        "udp": {"source_port": {"from": 1000, "count": 100}}}},
            {"name": "v6", "rate": "100Mbit/s", "size": {"from": 84, "to": 1518, "step": 7},
             "packet": {"ipv6": {}, "tcp": {}, "payload": "counter", "vlans": []}},
            {"name": "burst", "port": "right", "rate": "20kpps",
             "spacing": {"burst": {"packets": 16}}, "packet": {"icmp": {}}}
        ]
    }));
    assert_eq!(plan.flows, 5002);
    let (sent, received) = (&outcome.progress.sent, &outcome.progress.received);
    assert_eq!(received.packets, sent.packets);
    assert_eq!((received.unique, received.broken), (sent.tracked, 0));
    let names: Vec<u64> = outcome.progress.streams.iter().map(|s| s.packets).collect();
    assert!(names.iter().all(|&n| n > 1000), "{names:?}");
    assert_eq!(names[2] % 16, 0);
}

#[test]
fn as_fast_as_possible_and_by_number_of_packets() {
    let (outcome, _) = run(json!({"packets": 300_001, "streams": [{"rate": "max"}]}));
    assert_clean(&outcome);
    assert_eq!(outcome.progress.sent.packets, 300_001);
}

#[test]
fn several_cores_share_flows_and_rate() {
    let (outcome, plan) = run(json!({
        "cores": {"transmit": [0, 1], "receive": [1, 0]}, "packets": 40_000,
        "streams": [
            {"rate": "100kpps", "packet": {"udp": {"source_port": {"from": 1, "count": 7}}}},
            {"rate": "100kpps"}
        ]
    }));
    assert_eq!(plan.flows, 9);
    assert_clean(&outcome);
    assert_eq!(outcome.progress.sent.packets, 40_000);
    assert!(
        outcome.flows.iter().all(|f| f.0 > 1000),
        "every flow was sent"
    );
    assert_eq!(outcome.progress.work.len(), 2);
}

#[test]
fn runs_follow_each_other_on_the_same_ports() {
    let (eal, _turn) = lab();
    let mut engine = Engine::open_on(
        eal,
        profile(json!({"packets": 5_000, "streams": [{"rate": "max"}]})),
        true,
    )
    .unwrap();
    for round in 0..3u16 {
        engine.change(|profile| {
            profile.streams[0].size =
                crate::profile::stream::Size::from_json(&json!(64 + round * 100)).unwrap();
        });
        let plan = engine.plan(1).unwrap();
        let outcome = engine.run(&plan, &mut ()).unwrap();
        assert_clean(&outcome);
        assert_eq!(
            outcome.progress.sent.bytes,
            5_000 * u64::from(64 + round * 100)
        );
    }
}

#[test]
fn the_same_seed_sends_the_same_packets() {
    let sent = |seed| {
        let (eal, _turn) = lab();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sent.pcap");
        let mut engine = Engine::open_on(
            eal,
            profile(json!({
                "packets": 500, "seed": seed,
                "ports": [{"name": "out", "device": {"type": "pcap", "tx_file": file}}],
                "receive": {"settle": "0s"},
                "streams": [{
                    "rate": "1Mpps", "spacing": "poisson", "size": "imix", "flow_order": "random",
                    "packet": {"ethernet": {"source": "02:00:00:00:00:01"},
                        "udp": {"source_port": {"from": 1, "count": 64, "order": "random"}}}
                }]
            })),
            false,
        )
        .unwrap();
        let plan = engine.plan(seed).unwrap();
        engine.run(&plan, &mut ()).unwrap();
        drop(engine);
        let capture = crate::pcap::read(&std::fs::read(file).unwrap()).unwrap();
        // The stamps are absolute; what counts is their distance from the first.
        let stamp =
            |bytes: &[u8]| crate::signature::Signature::read(&bytes[42..]).map_or(0, |s| s.sent_ns);
        let first = stamp(&capture.frames[0].bytes);
        capture
            .frames
            .into_iter()
            .map(|frame| {
                let since = stamp(&frame.bytes) - first;
                let mut bytes = frame.bytes;
                bytes[40..42].fill(0);
                bytes[52..60].copy_from_slice(&since.to_be_bytes());
                bytes[44] = 0;
                bytes
            })
            .collect::<Vec<_>>()
    };
    let first = sent(5);
    assert_eq!(first.len(), 500);
    assert!(first == sent(5), "the same seed");
    assert!(first != sent(6), "another seed");
}

#[test]
fn captures_are_replayed_at_their_own_times_and_in_a_loop() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.pcap");
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1] {
        bytes.extend(word.to_le_bytes());
    }
    for i in 0..50u32 {
        let length = 60 + i;
        for word in [7, i * 1000, length, length] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(std::iter::repeat_n(i as u8, length as usize));
    }
    std::fs::write(&file, bytes).unwrap();
    let replay = |more: Value| {
        let mut stream = json!({"replay": {"file": file}});
        stream["replay"]
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        stream
    };
    // 50 frames, 1 ms apart.
    let (once, _) = run(json!({"streams": [replay(json!({}))]}));
    assert_eq!(once.progress.sent.packets, 50);
    assert_eq!(once.progress.received.foreign, 50);
    assert!(
        (0.048..0.25).contains(&once.last_sent_s),
        "{}",
        once.last_sent_s
    );
    let (fast, _) = run(json!({"streams": [replay(json!({"speed": 10.0}))]}));
    assert!(
        fast.last_sent_s < once.last_sent_s / 2.0,
        "{} {}",
        fast.last_sent_s,
        once.last_sent_s
    );
    let (looped, _) = run(json!({"duration": "125ms", "streams": [replay(json!({"loop": true}))]}));
    assert_eq!(looped.progress.sent.packets, 125);
    let stream = replay(json!({"timing": "rate", "loop": true}));
    let (paced, _) = run(json!({"packets": 777, "streams": [stream]}));
    assert_eq!(paced.progress.sent.packets, 777);
}

#[test]
fn ending_early_is_clean() {
    struct Impatient(u32);
    impl Observer for Impatient {
        fn progress(&mut self, _: &Progress) -> bool {
            self.0 += 1;
            self.0 < 2
        }
    }
    let (eal, _turn) = lab();
    let profile = profile(json!({"duration": "1h", "streams": [{"rate": "50kpps"}]}));
    let mut engine = Engine::open_on(eal, profile, true).unwrap();
    let level = engine.packets_in_use();
    let plan = engine.plan(1).unwrap();
    let outcome = engine.run(&plan, &mut Impatient(0)).unwrap();
    assert!(outcome.interrupted && outcome.ended_s < 2.0);
    assert_clean(&outcome);
    assert!(
        outcome.progress.sent.missed < 5_000,
        "only what was due counts"
    );
    assert_eq!(engine.packets_in_use(), level);
}

#[test]
fn a_port_that_takes_nothing_is_told_apart_from_a_lossy_network() {
    let (eal, _turn) = lab();
    let folder = tempfile::tempdir().unwrap();
    // A memif server without a client: its link is down.
    let socket = folder.path().join("nobody.sock");
    let profile = profile(json!({
        "ports": [{"name": "nobody", "device": {"type": "memif", "role": "server", "socket": socket}}],
        "duration": "50ms", "streams": [{"rate": "10kpps"}], "receive": {"settle": "0s"}
    }));
    let mut engine = Engine::open_on(eal, profile, false).unwrap();
    let level = engine.packets_in_use();
    let plan = engine.plan(1).unwrap();
    let outcome = engine.run(&plan, &mut ()).unwrap();
    let sent = &outcome.progress.sent;
    assert_eq!(sent.packets, 0);
    assert!(sent.dropped >= 1 && sent.refusals > 0);
    assert_eq!(
        sent.dropped + sent.missed,
        500,
        "every slot is accounted for"
    );
    assert_eq!(
        outcome.flows[0].0, 0,
        "what never left is not lost on the way"
    );
    assert_eq!(engine.packets_in_use(), level);
}

/// A device between two rings with planted faults: of a thousand packets it loses the 11th, doubles
/// the 21st, and lets five overtake the 31st; and once it stands still for 60 ms.
fn faulty_device(
    from: &MbufRing,
    to: &MbufRing,
    pool: &Mempool,
    stop: &std::sync::atomic::AtomicBool,
) {
    let (mut batch, mut out) = (Batch::new(), Batch::new());
    let mut held: Option<(u64, Packet)> = None;
    let mut number = 0u64;
    while !stop.load(Ordering::Relaxed) {
        from.dequeue(&mut batch);
        if batch.is_empty() {
            std::thread::yield_now();
        }
        for packet in batch.drain() {
            let mut send = |packet| {
                out.push(packet).expect("an empty batch");
                while !out.is_empty() {
                    to.enqueue(&mut out);
                }
            };
            match number % 1000 {
                10 => drop(packet),
                20 => {
                    let copy = packet.copy(pool).expect("a packet for the copy");
                    send(packet);
                    send(copy);
                }
                30 => held = Some((number + 5, packet)),
                _ => send(packet),
            }
            if held.as_ref().is_some_and(|(until, _)| *until == number)
                && let Some((_, packet)) = held.take()
            {
                send(packet);
            }
            if number == 20_000 {
                std::thread::sleep(Duration::from_millis(60));
            }
            number += 1;
        }
    }
}

#[test]
fn a_faulty_device_is_measured_as_it_is() {
    let (eal, _turn) = lab();
    let profile = profile(json!({
        "packets": 40_000,
        "streams": [{"rate": "20kpps", "packet": {"udp": {"source_port": "1+4"}}}]
    }));
    let mut engine = Engine::open_on(eal, profile, true).unwrap();
    let level = engine.packets_in_use();
    // The ports are wired to the device instead of to each other.
    let id = unique();
    let ring = |name: &str| MbufRing::create(eal, &format!("pg_{name}_{id}"), 4096).unwrap();
    let (there, back, idle) = (ring("there"), ring("back"), ring("idle"));
    let open = |name: &str, rx: &MbufRing, tx: &MbufRing| {
        let spec = ports::spec(&ports::parse(name, "ring").unwrap(), 1, 1514);
        let pool = &engine.receive_pool;
        Port::open_rings(eal, &spec, pool, vec![rx.clone()], vec![tx.clone()]).unwrap()
    };
    let wired = vec![open("near", &idle, &there), open("far", &back, &idle)];
    engine.ports = wired;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let device = {
        let (from, to, stop) = (there.clone(), back.clone(), Arc::clone(&stop));
        let pool = engine.receive_pool.clone();
        std::thread::spawn(move || faulty_device(&from, &to, &pool, &stop))
    };
    let plan = engine.plan(1).unwrap();
    let outcome = engine.run(&plan, &mut ()).unwrap();
    stop.store(true, Ordering::Relaxed);
    device.join().unwrap();

    let (sent, received) = (&outcome.progress.sent, &outcome.progress.received);
    assert_eq!((sent.packets, received.packets), (40_000, 40_000));
    assert_eq!(received.unique, 39_960, "one in a thousand is lost");
    assert_eq!(received.duplicates, 40);
    assert_eq!(received.reordered, 40);
    let (mut lost, mut lag) = (0, 0);
    for (sent, flow) in &outcome.flows {
        lost += sent - flow.received;
        lag = lag.max(flow.greatest_lag);
    }
    assert_eq!(lost, 40);
    // Of the five that overtake, with four flows in turn, one or two are of the same flow.
    assert!((1..=2).contains(&lag), "{lag}");
    let p99 = received.latency.quantile(0.99);
    assert!(
        p99 > 30_000_000,
        "a stall of 60 ms in 2 s is 3 % of the packets: {p99} ns"
    );
    assert_eq!(engine.packets_in_use(), level);
}

#[test]
fn streams_with_prefixes_of_their_own_are_followed() {
    let udp = |port: u16| json!({ "destination_port": port });
    let (outcome, _) = run(json!({
        "packets": 3000,
        "streams": [
            { "rate": "50kpps", "size": 128, "packet": { "udp": udp(9), "prefix": "4e431a01" } },
            { "rate": "50kpps", "size": 128, "packet": { "udp": udp(10), "prefix": "4e431a0212345678" } },
            { "rate": "50kpps", "size": 128, "packet": { "udp": udp(11) } }
        ]
    }));
    assert_clean(&outcome);
}
