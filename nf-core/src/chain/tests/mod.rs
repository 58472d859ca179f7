//! Chains over real packets: a bench of closures in virtual time, on which no packet may be lost.

mod actors;
mod cores;
mod start;
mod trace;
mod ways;

use std::sync::{Arc, Mutex};

use super::*;
use crate::check::Side;
use crate::clock::{Clock, VirtualClock};
use crate::dpdk::Mempool;
use crate::dpdk::tests::pool;
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
        let stages = acts.into_iter().zip(NAMES).map(|(act, name)| {
            let shard = Test {
                name,
                act,
                held: held.clone(),
                log: log.clone(),
            };
            let counters = telemetry.stage(name, "test", 0, REASONS, &[]);
            ChainStage::new(name, 0, Box::new(shard), counters, 16)
        });
        let egress = EgressTable::new(&[(Side::Client, None), (Side::Server, None)]);
        let chain = Chain::new(stages.collect(), egress);
        let env = Env::new(EnvConfig {
            core: 0,
            pool: pool.clone(),
            clock: Clock::Virtual(time.clone()),
            seed: 7,
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
