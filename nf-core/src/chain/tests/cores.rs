//! Loops of packet cores on ring ports, with everything that a real core does.

use super::*;
use crate::dpdk::tests::{eal, unique};
use crate::dpdk::{Device, LcoreThread, MbufRing, Port, PortSpec, available_cpus};

#[test]
fn cores_forward_between_ring_ports_until_they_are_stopped() {
    two_cores(2);
}

#[test]
fn a_core_without_a_queue_hands_packets_to_one_that_has_it() {
    two_cores(1);
}

/// Without stages packets go straight to the port that they leave by, whichever way that is found, and
/// those for which there is none are counted.
#[test]
fn without_stages_packets_pass_untouched_or_are_counted() {
    let pair = [(Side::Client, None), (Side::Server, None)];
    let peers = [(Side::Any, Some(1)), (Side::Server, None)];
    let alone = [(Side::Client, None)];
    let to_server = CorePortSide::One(Direction::ToServer);
    for (table, side, expected) in [
        (&pair[..], to_server, 10),
        (&peers, CorePortSide::Classified, 10),
        (&alone, to_server, 0),
        (&alone, CorePortSide::Classified, 0),
    ] {
        let (pool, hub, telemetry) = (pool(1023), Hub::new(), Telemetry::new(1e9));
        let ring = || MbufRing::create(eal(), &unique("ws"), 64).expect("a ring");
        let (inward, outward, unused) = (ring(), ring(), ring());
        let open = |rx: &MbufRing, tx: &MbufRing| {
            let spec = PortSpec::new(&unique("ws"), Device::Ring { slots: 0 });
            Port::open_rings(eal(), &spec, &pool, vec![rx.clone()], vec![tx.clone()])
                .expect("a port")
        };
        let opened = [open(&inward, &unused), open(&unused, &outward)];
        let ports = opened
            .iter()
            .zip([side, CorePortSide::One(Direction::ToClient)]);
        let ports = ports.enumerate().map(|(index, (port, side))| CorePort {
            index: index as u16,
            side,
            queues: port.rx_queue(0).zip(port.tx_queue(0)),
            handover: None,
            counters: telemetry.port(port.name(), 0),
        });
        let env = Env::new(EnvConfig {
            core: 0,
            pool: pool.clone(),
            clock: Clock::system(),
            seed: 1,
            counters: telemetry.core(0),
            chain_counters: telemetry.stage("chain", "chain", 0, CHAIN_REASONS, &[]),
        });
        let (handle, control) = CoreHandle::new(&hub);
        let chain = Chain::new(Vec::new(), EgressTable::new(table));
        let body = CoreLoop::new(
            control,
            ports.collect(),
            chain,
            env,
            32,
            IdlePolicy::Adaptive,
        );
        let mut batch = Batch::new();
        for n in 0..10 {
            let packet = Packet::from_bytes(&pool, &[n; 60]).expect("a packet");
            batch.push(packet).expect("room");
        }
        assert_eq!(inward.enqueue(&mut batch), 10);
        let cpu = available_cpus().last().copied().unwrap_or(0);
        let thread =
            LcoreThread::spawn(eal(), "core", cpu, move || drop(body.run())).expect("a thread");
        let no_egress = || {
            let snapshot = telemetry.snapshot();
            let chain = snapshot.stage("chain").expect("the chain");
            chain.total.dropped.get("no_egress")
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let mut got = Vec::new();
        while got.len() as u64 + no_egress() < 10 {
            assert!(std::time::Instant::now() < deadline, "{table:?} {side:?}");
            outward.dequeue(&mut batch);
            got.extend(batch.drain().map(|packet| packet.data()[0]));
        }
        handle.stop();
        thread.join().expect("no panic");
        assert_eq!(
            got,
            (0..expected).collect::<Vec<u8>>(),
            "{table:?} {side:?}"
        );
        let transit = &telemetry.snapshot().cores[&0].transit;
        assert!(
            transit.iter().all(|way| way.count() == 0),
            "nobody looked at them"
        );
        drop((opened, inward, outward, unused));
        assert_eq!(pool.in_use(), 0);
    }
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
        let counters = telemetry.stage("a", "test", index, REASONS, &[]);
        let stage = ChainStage::new("a", index, shard, counters, 16);
        let egress = EgressTable::new(&[(Side::Client, None), (Side::Server, None)]);
        let env = Env::new(EnvConfig {
            core: index,
            pool: pool.clone(),
            clock: Clock::system(),
            seed: 1,
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
