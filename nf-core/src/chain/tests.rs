//! Chains over real packets: every way a packet can go, and that none is lost.

use std::sync::{Arc, Mutex};

use super::*;
use crate::check::Side;
use crate::clock::{Clock, VirtualClock};
use crate::dpdk::tests::{eal, pool, unique};
use crate::dpdk::{Device, LcoreThread, MbufRing, Mempool, Port, PortSpec, available_cpus};
use crate::packet::{Batch, Packet};
use crate::publish::Hub;
use crate::telemetry::{StageSnapshot, Telemetry};

const REASONS: &[&str] = &["first", "second"];

/// What a test stage does with a packet.
type Act = Box<dyn FnMut(&mut Cx<'_>, Packet) -> Option<Packet> + Send>;

/// A stage made of a closure; a timer releases what it holds.
struct Test {
    name: &'static str,
    act: Act,
    held: Arc<Mutex<Vec<Packet>>>,
    log: Arc<Mutex<Vec<&'static str>>>,
}

impl Stage for Test {
    fn process(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        self.log.lock().expect("log").push(self.name);
        batch.sift(|packet| (self.act)(cx, packet));
    }

    fn on_timer(&mut self, cx: &mut Cx<'_>, token: u64) {
        let direction = if token == 1 {
            Direction::ToClient
        } else {
            Direction::ToServer
        };
        for packet in self.held.lock().expect("held").drain(..) {
            cx.emit(direction, packet);
        }
    }

    fn classify(&self, packet: &Packet) -> Option<Direction> {
        match packet.data().first() {
            Some(b'c') => Some(Direction::ToClient),
            _ => None,
        }
    }
}

/// Where a test's packets end: (port, first byte).
#[derive(Default)]
struct Sink(Vec<(u16, u8)>);

impl Output for Sink {
    fn send(&mut self, _env: &mut Env, port: u16, batch: &mut Batch) {
        self.0.extend(
            batch
                .iter()
                .map(|packet| (port, packet.data().first().copied().unwrap_or(0))),
        );
        batch.clear();
    }
}

/// A chain of closures between port 0 (clients) and port 1 (servers), in virtual time.
struct Bench {
    chain: Chain,
    env: Env,
    sink: Sink,
    pool: Mempool,
    time: VirtualClock,
    telemetry: Telemetry,
    held: Arc<Mutex<Vec<Packet>>>,
    log: Arc<Mutex<Vec<&'static str>>>,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

impl Bench {
    fn new(acts: Vec<Act>) -> Bench {
        let time = VirtualClock::new();
        let telemetry = Telemetry::new(1e9);
        let pool = pool(2047);
        let (held, log) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(Mutex::new(Vec::new())),
        );
        let stages = acts.into_iter().zip(NAMES).map(|(act, name)| ChainStage {
            name: name.into(),
            shard: Box::new(Test {
                name,
                act,
                held: held.clone(),
                log: log.clone(),
            }),
            counters: telemetry.stage(name, "test", 0, REASONS, &[]),
        });
        let egress = EgressTable::new(&[(Side::Client, None), (Side::Server, None)]);
        let chain = Chain::new(stages.collect(), egress);
        let env = Env::new(EnvConfig {
            core: 0,
            pool: pool.clone(),
            clock: Clock::Virtual(time.clone()),
            seed: 7,
            timers: 16,
            counters: telemetry.core(0),
            chain_counters: telemetry.stage("chain", "chain", 0, CHAIN_REASONS, &[]),
        });
        Bench {
            chain,
            env,
            sink: Sink::default(),
            pool,
            time,
            telemetry,
            held,
            log,
        }
    }

    fn run(&mut self, port: u16, direction: Direction, packets: &[&[u8]]) -> Vec<(u16, u8)> {
        let mut batch = Batch::new();
        for bytes in packets {
            batch
                .push(Packet::from_bytes(&self.pool, bytes).expect("a packet"))
                .expect("room");
        }
        self.chain
            .run(&mut self.env, port, direction, &mut batch, &mut self.sink);
        assert!(batch.is_empty());
        std::mem::take(&mut self.sink.0)
    }

    fn stage(&self, name: &str) -> StageSnapshot {
        self.telemetry
            .snapshot()
            .stage(name)
            .map(|entry| entry.total.clone())
            .unwrap_or_default()
    }

    /// Packets in = packets out + held + dropped at every stage, and the pool is back at its level.
    fn assert_conserved(self) {
        for entry in &self.telemetry.snapshot().stages {
            let total = &entry.total;
            let ins: u64 = total.input.iter().sum::<u64>() + total.originated.iter().sum::<u64>();
            let outs: u64 = total.forward.iter().sum::<u64>()
                + total.back.iter().sum::<u64>()
                + total.dropped.sum();
            assert_eq!(ins, outs + total.held(), "{}", entry.name);
        }
        let Bench {
            chain,
            env,
            pool,
            held,
            ..
        } = self;
        held.lock().expect("held").clear();
        drop((chain, env, held));
        assert_eq!(pool.in_use(), 0, "every packet is back in the pool");
    }
}

fn pass() -> Act {
    Box::new(|_, packet| Some(packet))
}

#[test]
fn requests_pass_in_order_and_responses_in_reverse() {
    let mut bench = Bench::new(vec![pass(), pass(), pass()]);
    assert_eq!(
        bench.run(0, Direction::ToServer, &[b"1", b"2"]),
        [(1, b'1'), (1, b'2')]
    );
    assert_eq!(bench.run(1, Direction::ToClient, &[b"3"]), [(0, b'3')]);
    assert_eq!(
        *bench.log.lock().expect("log"),
        ["a", "b", "c", "c", "b", "a"]
    );
    assert_eq!(bench.stage("b").input, [2, 1]);
    bench.assert_conserved();
}

#[test]
fn a_chain_without_stages_forwards_untouched() {
    let mut bench = Bench::new(vec![]);
    assert_eq!(bench.run(0, Direction::ToServer, &[b"x"]), [(1, b'x')]);
    bench.assert_conserved();
}

#[test]
fn drops_are_counted_by_reason() {
    let act: Act = Box::new(|cx, packet| match packet.data()[0] {
        b'1' => {
            cx.drop(packet, 0);
            None
        }
        b'2' => {
            cx.drop(packet, 1);
            None
        }
        b'9' => {
            cx.drop(packet, 99);
            None
        }
        _ => Some(packet),
    });
    let mut bench = Bench::new(vec![act]);
    assert_eq!(
        bench.run(0, Direction::ToServer, &[b"1", b"2", b"2", b"9", b"x"]),
        [(1, b'x')]
    );
    let dropped = bench.stage("a").dropped;
    assert_eq!(
        (
            dropped.get("first"),
            dropped.get("second"),
            dropped.get("other")
        ),
        (1, 2, 1)
    );
    bench.assert_conserved();
}

#[test]
fn an_answer_passes_only_the_stages_nearer_to_the_client() {
    let answer: Act = Box::new(|cx, packet| {
        if cx.direction() == Direction::ToServer && packet.data()[0] == b'q' {
            cx.back(packet);
            return None;
        }
        Some(packet)
    });
    let mut bench = Bench::new(vec![pass(), answer, pass()]);
    assert_eq!(
        bench.run(0, Direction::ToServer, &[b"q", b"x"]),
        [(1, b'x'), (0, b'q')]
    );
    assert_eq!(*bench.log.lock().expect("log"), ["a", "b", "c", "a"]);
    assert_eq!(bench.stage("b").back, [1, 0]);
    assert_eq!(bench.stage("a").input, [2, 1]);
    bench.assert_conserved();
}

#[test]
fn one_becomes_two_and_the_original_leaves_first() {
    let multiply: Act = Box::new(|cx, packet| {
        if let Some(mut copy) = cx.copy(&packet) {
            copy.data_mut()[0] = b'C';
            cx.forward(copy);
        }
        Some(packet)
    });
    let mut bench = Bench::new(vec![multiply, pass()]);
    let many: Vec<&[u8]> = vec![b"o"; 64];
    let out = bench.run(0, Direction::ToServer, &many);
    assert_eq!(out.len(), 128, "a burst of 64 emits 128");
    assert!(
        out[..64].iter().all(|&(_, byte)| byte == b'o')
            && out[64..].iter().all(|&(_, byte)| byte == b'C')
    );
    assert_eq!(bench.stage("a").originated, [64, 0]);
    bench.assert_conserved();
}

#[test]
fn held_packets_leave_by_a_timer_in_either_direction() {
    for (token, port) in [(0, 1), (1, 0)] {
        let holder = Arc::new(Mutex::new(Vec::new()));
        let mut bench = Bench::new(vec![pass()]);
        let keep = holder.clone();
        let act: Act = Box::new(move |cx, packet| {
            keep.lock().expect("held").push(packet);
            cx.timer(5_000, token).expect("a free timer");
            None
        });
        let stage = Test {
            name: "b",
            act,
            held: holder,
            log: bench.log.clone(),
        };
        let first = bench.telemetry.stage("a", "test", 0, REASONS, &[]);
        let second = bench.telemetry.stage("b", "test", 0, REASONS, &[]);
        let egress = EgressTable::new(&[(Side::Client, None), (Side::Server, None)]);
        let pass_through = Test {
            name: "a",
            act: pass(),
            held: bench.held.clone(),
            log: bench.log.clone(),
        };
        bench.chain = Chain::new(
            vec![
                ChainStage {
                    name: "a".into(),
                    shard: Box::new(pass_through),
                    counters: first,
                },
                ChainStage {
                    name: "b".into(),
                    shard: Box::new(stage),
                    counters: second,
                },
            ],
            egress,
        );
        assert!(bench.run(0, Direction::ToServer, &[b"h"]).is_empty());
        assert_eq!(bench.stage("b").held(), 1);
        bench.time.advance(100_000);
        bench.env.tick();
        assert_eq!(bench.chain.expire(&mut bench.env, &mut bench.sink), 1);
        assert_eq!(std::mem::take(&mut bench.sink.0), [(port, b'h')]);
        assert_eq!(bench.stage("b").held(), 0);
        bench.assert_conserved();
    }
}

#[test]
fn a_stage_originates_packets_of_its_own() {
    let originate: Act = Box::new(|cx, packet| {
        let mut own = cx.alloc().expect("a packet");
        own.append(1).expect("room")[0] = b'n';
        cx.emit(Direction::ToClient, own);
        Some(packet)
    });
    let mut bench = Bench::new(vec![pass(), originate]);
    assert_eq!(
        bench.run(0, Direction::ToServer, &[b"x"]),
        [(1, b'x'), (0, b'n')]
    );
    bench.assert_conserved();
}

#[test]
fn an_exhausted_pool_is_counted_and_the_original_still_goes() {
    let copy: Act = Box::new(|cx, packet| {
        if let Some(copy) = cx.copy(&packet) {
            cx.forward(copy);
        }
        Some(packet)
    });
    let mut bench = Bench::new(vec![copy]);
    let hoard: Vec<Packet> = std::iter::from_fn(|| Packet::alloc(&bench.pool))
        .take(2046)
        .collect();
    assert_eq!(bench.run(0, Direction::ToServer, &[b"x"]), [(1, b'x')]);
    assert_eq!(bench.telemetry.snapshot().cores[&0].alloc_failed, 1);
    drop(hoard);
    assert_eq!(
        bench.run(0, Direction::ToServer, &[b"x"]).len(),
        2,
        "recovered"
    );
    bench.assert_conserved();
}

#[test]
fn stages_choose_egress_ports_packet_by_packet() {
    let spread: Act = Box::new(|_, mut packet| {
        packet.meta_mut().egress = u16::from(packet.data()[0] % 3);
        Some(packet)
    });
    let mut bench = Bench::new(vec![spread]);
    let out = bench.run(
        0,
        Direction::ToServer,
        &[b"0", b"1", b"2", b"3", b"4", b"5"],
    );
    let of = |port| {
        out.iter()
            .filter(|sent| sent.0 == port)
            .map(|sent| sent.1)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (of(0), of(1), of(2)),
        (vec![b'0', b'3'], vec![b'1', b'4'], vec![b'2', b'5'])
    );
    bench.assert_conserved();
}

#[test]
fn packets_that_go_nowhere_are_counted_as_no_egress() {
    let mut bench = Bench::new(vec![pass()]);
    bench
        .chain
        .set_egress(EgressTable::new(&[(Side::Client, None)]));
    assert!(bench.run(0, Direction::ToServer, &[b"x", b"y"]).is_empty());
    assert_eq!(bench.stage("chain").dropped.get("no_egress"), 2);
    bench.assert_conserved();
}

#[test]
fn two_stages_that_bounce_a_packet_do_not_hang_the_core() {
    let bounce = || -> Act {
        Box::new(|cx, packet| {
            cx.back(packet);
            None
        })
    };
    let mut bench = Bench::new(vec![bounce(), bounce()]);
    assert_eq!(
        bench.run(0, Direction::ToServer, &[b"x"]),
        [(0, b'x')],
        "turned once"
    );
    let inner: Act = Box::new(|cx, packet| {
        if cx.direction() == Direction::ToServer {
            cx.back(packet);
            return None;
        }
        Some(packet)
    });
    let outer: Act = Box::new(|cx, packet| {
        if cx.direction() == Direction::ToClient {
            cx.back(packet);
            return None;
        }
        Some(packet)
    });
    let mut looping = Bench::new(vec![outer, inner]);
    assert!(looping.run(0, Direction::ToServer, &[b"x"]).is_empty());
    assert_eq!(looping.stage("chain").dropped.get("loop"), 1);
    bench.assert_conserved();
    looping.assert_conserved();
}

#[test]
fn a_stage_that_emits_without_end_is_bounded() {
    let flood: Act = Box::new(|cx, packet| {
        for _ in 0..100 {
            if let Some(copy) = cx.copy(&packet) {
                cx.forward(copy);
            }
        }
        Some(packet)
    });
    let mut bench = Bench::new(vec![flood]);
    let out = bench.run(0, Direction::ToServer, &[&b"x"[..]; 15]);
    assert_eq!(out.len(), 15 * 101);
    bench.assert_conserved();
}

#[test]
fn the_same_seed_gives_the_same_random_numbers() {
    let draw = || {
        let drawn = Arc::new(Mutex::new(Vec::new()));
        let into = drawn.clone();
        let act: Act = Box::new(move |cx, packet| {
            into.lock().expect("drawn").push(cx.random());
            Some(packet)
        });
        let mut bench = Bench::new(vec![act]);
        bench.run(0, Direction::ToServer, &[&b"x"[..]; 8]);
        bench.assert_conserved();
        Arc::try_unwrap(drawn)
            .expect("sole owner")
            .into_inner()
            .expect("drawn")
    };
    let (first, second) = (draw(), draw());
    assert_eq!(first, second);
    assert!(first.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn a_trace_tells_what_every_stage_did_and_why_it_ended() {
    let decide: Act = Box::new(|cx, packet| {
        cx.note(&packet, || {
            Note::new("saw").with("byte", u64::from(packet.data()[0]))
        });
        match packet.data()[0] {
            b'd' => {
                cx.drop(packet, 1);
                None
            }
            b'b' => {
                cx.back(packet);
                None
            }
            b'h' => {
                std::mem::forget(packet); // held, as far as the chain can tell
                None
            }
            _ => Some(packet),
        }
    });
    let mut bench = Bench::new(vec![pass(), decide]);
    let filter: TraceFilter = Arc::new(|packet: &Packet| packet.data() != b"n");
    let session = TraceSession::new(3, Some(filter), 100);
    bench.chain.trace(&mut bench.env, Some(session.clone()));
    bench.run(0, Direction::ToServer, &[b"n", b"d", b"b", b"f", b"z"]);
    assert_eq!(session.remaining(), 0);
    let records: Vec<TraceRecord> = std::iter::from_fn(|| session.pop()).collect();
    let of = |id| {
        let lines = records.iter().filter(|record| record.id == id);
        lines
            .map(|record| (record.stage, record.event))
            .collect::<Vec<_>>()
    };
    let received = |record: &(Option<u8>, TraceEvent)| {
        matches!(
            record.1,
            TraceEvent::Received {
                port: 0,
                len: 1,
                ..
            }
        )
    };
    let dropped = of(1);
    assert!(received(&dropped[0]), "{dropped:?}");
    assert_eq!(dropped[1], (Some(0), TraceEvent::Forward));
    assert!(
        matches!(dropped[2], (Some(1), TraceEvent::Note(note)) if note.to_string() == "saw byte=100")
    );
    assert_eq!(
        dropped[3],
        (Some(1), TraceEvent::Dropped { reason: "second" })
    );
    assert_eq!(dropped.len(), 4, "the reason is the last line");
    let back = of(2);
    assert_eq!(
        back[3..],
        [
            (Some(1), TraceEvent::Back),
            (Some(0), TraceEvent::Forward),
            (None, TraceEvent::Sent { port: 0 }),
        ]
    );
    assert_eq!(of(3).last(), Some(&(None, TraceEvent::Sent { port: 1 })));
    assert!(of(4).is_empty(), "three were asked for");

    bench
        .chain
        .trace(&mut bench.env, Some(TraceSession::new(1, None, 100)));
    let session = TraceSession::new(1, None, 100);
    bench.chain.trace(&mut bench.env, Some(session.clone()));
    bench.run(0, Direction::ToServer, &[b"h"]);
    let last = std::iter::from_fn(|| session.pop())
        .last()
        .expect("records");
    assert_eq!((last.stage, last.event), (Some(1), TraceEvent::Held));
}

#[test]
fn a_trace_that_nobody_reads_loses_lines_and_not_packets() {
    let mut bench = Bench::new(vec![pass()]);
    let session = TraceSession::new(50, None, 10);
    bench.chain.trace(&mut bench.env, Some(session.clone()));
    assert_eq!(
        bench.run(0, Direction::ToServer, &[&b"x"[..]; 50]).len(),
        50
    );
    assert_eq!(session.lost(), 150 - 10);
    bench.time.advance(1);
    bench.run(0, Direction::ToServer, &[b"x"]);
    bench.time.advance(2_000_000_000);
    bench.run(0, Direction::ToServer, &[b"x"]);
    assert!(
        bench.env.traced.is_none(),
        "a finished trace costs nothing any more"
    );
    bench.assert_conserved();
}

#[test]
fn cores_forward_between_ring_ports_until_they_are_stopped() {
    two_cores(2);
}

#[test]
fn a_core_without_a_queue_hands_packets_to_one_that_has_it() {
    two_cores(1);
}

/// Two packet cores on ring ports, with everything a real core does; the servers' port has that many
/// queues.
fn two_cores(server_queues: u16) {
    const PACKETS: usize = 20_000;
    let pool = pool(8191);
    let hub = Hub::new();
    let telemetry = Telemetry::new(1e9);
    let ring = |slots| MbufRing::create(eal(), &unique("cl"), slots).expect("a ring");
    let (inward, outward): (Vec<_>, Vec<_>) = (0..2).map(|_| (ring(1024), ring(1024))).unzip();
    let back: Vec<MbufRing> = (0..2).map(|_| ring(1024)).collect();
    let spec = |name: &str, queues| PortSpec {
        queues,
        ..PortSpec::new(&unique(name), Device::Ring { slots: 0 })
    };
    let clients = Port::open_rings(eal(), &spec("cli", 2), &pool, inward.clone(), back.clone())
        .expect("clients");
    let with_queue = usize::from(server_queues);
    let servers = Port::open_rings(
        eal(),
        &spec("srv", server_queues),
        &pool,
        back[..with_queue].to_vec(),
        outward[..with_queue].to_vec(),
    )
    .expect("servers");
    let handover = (server_queues == 1).then(|| ring(1024));
    let cpus = available_cpus();
    let mut cores = Vec::new();
    for core in 0..2u16 {
        let (handle, control) = CoreHandle::new(&hub);
        let port = |index: u16, port: &Port, direction| CorePort {
            index,
            side: CorePortSide::One(direction),
            queues: port.rx_queue(core).zip(port.tx_queue(core)),
            handover: handover
                .clone()
                .filter(|_| index == 1)
                .map(|ring| match core {
                    0 => Handover::From(ring),
                    _ => Handover::Into(ring),
                }),
            counters: telemetry.port(port.name(), core),
        };
        let ports = vec![
            port(0, &clients, Direction::ToServer),
            port(1, &servers, Direction::ToClient),
        ];
        let act: Act = Box::new(|cx, packet| {
            if packet.data()[0] == 0 {
                cx.drop(packet, 0);
                return None;
            }
            Some(packet)
        });
        let shard = Box::new(Test {
            name: "a",
            act,
            held: Arc::default(),
            log: Arc::default(),
        });
        let index = usize::from(core);
        let stage = ChainStage {
            name: "a".into(),
            shard,
            counters: telemetry.stage("a", "test", index, REASONS, &[]),
        };
        let egress = EgressTable::new(&[(Side::Client, None), (Side::Server, None)]);
        let env = Env::new(EnvConfig {
            core: index,
            pool: pool.clone(),
            clock: Clock::system(),
            seed: 1,
            timers: 16,
            counters: telemetry.core(index),
            chain_counters: telemetry.stage("chain", "chain", index, CHAIN_REASONS, &[]),
        });
        let chain = Chain::new(vec![stage], egress);
        let body = CoreLoop::new(control, ports, chain, env, 32, IdlePolicy::Adaptive);
        let cpu = cpus[index % cpus.len()];
        let thread =
            LcoreThread::spawn(eal(), "core", cpu, move || drop(body.run())).expect("a thread");
        cores.push((handle, thread));
    }
    let (mut sent, mut got) = (0, 0);
    let mut batch = Batch::new();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while got < PACKETS * 9 / 10 {
        assert!(
            std::time::Instant::now() < deadline,
            "{got} of {PACKETS} packets after a minute"
        );
        // Never more on the way than the rings hold, or a busy machine would make them drop.
        if sent < PACKETS
            && sent < got + got / 8 + 256
            && let Some(packet) = Packet::from_bytes(&pool, &[(sent % 10) as u8; 60])
        {
            batch.push(packet).expect("room");
            sent += inward[sent % 2].enqueue(&mut batch);
            batch.clear();
        }
        for ring in &outward {
            got += ring.dequeue(&mut batch);
            batch.clear();
        }
    }
    let session = TraceSession::new(1, None, 16);
    for (handle, _) in &cores {
        handle
            .send(Command::Trace(Some(session.clone())))
            .expect("room");
        handle.send(Command::Detach { port: 0 }).expect("room");
    }
    for (handle, thread) in cores {
        let mut queues = 0;
        loop {
            match handle.retired() {
                Some(Retired::Queues { port: 0, .. }) => queues += 1,
                Some(Retired::Detached { port: 0 }) => break,
                Some(other) => panic!("{other:?}"),
                None => std::thread::yield_now(),
            }
        }
        assert_eq!(queues, 1);
        handle.stop();
        thread.join().expect("no panic");
    }
    let snapshot = telemetry.snapshot();
    assert_eq!(snapshot.port(clients.name()).rx_packets, PACKETS as u64);
    assert_eq!(snapshot.port(servers.name()).tx_packets, got as u64);
    let stage = &snapshot.stage("a").expect("the stage").total;
    assert_eq!(stage.dropped.get("first") as usize, PACKETS - got);
    drop((clients, servers, inward, outward, back, handover));
    assert_eq!(pool.in_use(), 0);
}
