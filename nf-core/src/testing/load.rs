//! A stage on a core that never pauses, while the test changes it from the control side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::bench::{BenchOptions, Shared};
use super::{eal, pool};
use crate::chain::{Direction, Env, Output, StageControl, StageKind};
use crate::clock::Clock;
use crate::dpdk::{LcoreThread, available_cpus};
use crate::packet::{Batch, Packet};
use crate::telemetry::StageSnapshot;

/// Packets in the pool.
const PACKETS: u32 = 1023;

/// Packets in each burst that the stage is given.
const BURST: usize = 16;

/// A stage between the ports of a [`StageBench`](super::StageBench), on a core of its own and in
/// real time, that is given packets to the servers without a pause.
pub struct UnderLoad {
    control: Box<dyn StageControl>,
    shared: Shared,
    stop: Arc<AtomicBool>,
    core: LcoreThread<Load>,
}

/// What a core did until it was stopped.
#[derive(Debug, Default)]
pub struct Load {
    /// Packets given to the stage, by frame.
    pub given: Vec<u64>,
    /// Packets that left, by port.
    pub sent: [u64; 2],
    /// Bursts given.
    pub bursts: u64,
    /// The longest that the chain took for a burst.
    pub longest: Duration,
    /// What the stage has counted.
    pub counted: StageSnapshot,
}

impl std::fmt::Debug for UnderLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnderLoad").finish_non_exhaustive()
    }
}

/// Counts what leaves by each port, and frees it.
#[derive(Default)]
struct Tally([u64; 2]);

impl Output for Tally {
    fn send(&mut self, _: &mut Env, port: u16, batch: &mut Batch) {
        if let Some(count) = self.0.get_mut(usize::from(port)) {
            *count += batch.len() as u64;
        }
        batch.clear();
    }
}

impl UnderLoad {
    /// Starts a stage of that kind; its core is given these frames in turn.
    pub fn start(kind: &dyn StageKind, config: &Value, frames: Vec<Vec<u8>>) -> UnderLoad {
        let shared = Shared::new(pool(PACKETS), Clock::system());
        let options = BenchOptions::default();
        let mut control = shared.build(kind, config, &options);
        let counts = (kind.reasons(), kind.counters());
        let mut core = shared.core(0, control.shard(0), counts, &mut [], &options);
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, pool) = (stop.clone(), shared.pool.clone());
        let cpu = available_cpus().last().copied().unwrap_or(0);
        let body = move || {
            let mut load = Load {
                given: vec![0; frames.len()],
                ..Load::default()
            };
            // What it says by itself is not counted.
            core.chain.start(&mut core.env, &mut Tally::default());
            let (mut out, mut batch) = (Tally::default(), Batch::new());
            while !stopped.load(Ordering::Relaxed) {
                core.refresh();
                for n in 0..BURST {
                    let n = n % frames.len();
                    if let Some(packet) = Packet::from_bytes(&pool, &frames[n]) {
                        load.given[n] += u64::from(batch.push(packet).is_ok());
                    }
                }
                let start = Instant::now();
                let direction = Direction::ToServer;
                core.chain
                    .run(&mut core.env, 0, direction, &mut batch, &mut out);
                load.longest = load.longest.max(start.elapsed());
                load.bursts += 1;
            }
            load.sent = out.0;
            load
        };
        let core = LcoreThread::spawn(eal(), "load", cpu, body).expect("a thread");
        UnderLoad {
            control,
            shared,
            stop,
            core,
        }
    }

    /// The stage's control side.
    pub fn control(&mut self) -> &mut dyn StageControl {
        &mut *self.control
    }

    /// Ends it, and tells what the core did. Checks that every packet is back in the pool and that
    /// every published version was freed.
    pub fn stop(self) -> Load {
        self.stop.store(true, Ordering::Relaxed);
        let mut load = self.core.join().expect("the core did not panic");
        load.counted = self.shared.counted();
        drop(self.control);
        self.shared.assert_nothing_left();
        load
    }
}
