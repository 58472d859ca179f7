//! Actors on real cores between ring ports: one packet core whose chain is a dispatch stage, and workers.

use std::time::{Duration, Instant};

use super::{eal, pool, unique};
use crate::chain::actor::{Actors, Side};
use crate::chain::{
    Body, CHAIN_COUNTERS, CHAIN_REASONS, Chain, ChainStage, ChainWork, CoreHandle, CoreLoop,
    CorePort, CorePortSide, Direction, EgressTable, Env, EnvConfig, IdlePolicy, WorkerLoop,
};
use crate::check::Side as PortSide;
use crate::clock::Clock;
use crate::dpdk::{Device, LcoreThread, MbufRing, Mempool, Port, PortSpec, available_cpus};
use crate::packet::{Batch, Packet};
use crate::publish::Hub;
use crate::sched::policy::{Pin, Place, Policy, Settings, Thresholds};
use crate::sched::runtime::{Config, Event, Manager, Scheduler};
use crate::sched::{ActorId, ActorSpec};
use crate::telemetry::{StageSnapshot, Telemetry};

/// How long something may take, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Name of the stage that dispatches.
const DISPATCH: &str = "dispatch";

/// A running packet core with a dispatch stage between two ring ports, worker cores, and their actors. Nothing
/// is moved but by hand.
pub struct ActorBench {
    /// The actors.
    pub actors: Actors,
    pool: Mempool,
    telemetry: Telemetry,
    scheduler: Scheduler<ChainWork>,
    cores: Vec<(CoreHandle, LcoreThread<()>)>,
    ports: Vec<Port>,
    ways: [(MbufRing, MbufRing); 2],
    batch: Batch,
}

impl std::fmt::Debug for ActorBench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActorBench").finish_non_exhaustive()
    }
}

impl ActorBench {
    /// Index of the port to the clients.
    pub const CLIENTS: u16 = 0;
    /// Index of the port to the servers.
    pub const SERVERS: u16 = 1;

    /// With so many worker cores, and room for 64 actors.
    pub fn new(workers: usize) -> ActorBench {
        ActorBench::with(workers, 64)
    }

    /// With room for `most` actors, one of which is the dispatch stage.
    pub fn with(workers: usize, most: usize) -> ActorBench {
        let (pool, hub, telemetry) = (pool(8191), Hub::new(), Telemetry::new(1e9));
        let ring = || MbufRing::create(eal(), &unique("ab"), 1024).expect("a ring");
        let ways = [(ring(), ring()), (ring(), ring())];
        let open = |(rx, tx): &(MbufRing, MbufRing)| {
            let spec = PortSpec::new(&unique("ab"), Device::Ring { slots: 0 });
            Port::open_rings(eal(), &spec, &pool, vec![rx.clone()], vec![tx.clone()])
                .expect("a port")
        };
        let ports: Vec<Port> = ways.iter().map(open).collect();
        let policy = {
            let settings = Settings {
                migration: false,
                ..Settings::default()
            };
            let never = Thresholds {
                mean_ns: f64::INFINITY,
                tail_ns: f64::INFINITY,
            };
            Policy::new(settings, never)
        };
        let config = Config {
            workers,
            actors: most,
            settings: policy.settings().clone(),
            ..Config::default()
        };
        let (scheduler, packet_cores, worker_cores) = Scheduler::new(config, &hub);
        let actors = Actors::new(&scheduler, &hub, &telemetry);
        let env = |core: usize| {
            let chain = telemetry.stage("chain", "chain", core, CHAIN_REASONS, CHAIN_COUNTERS);
            Env::new(EnvConfig {
                core,
                pool: pool.clone(),
                clock: Clock::system(),
                seed: 1 + core as u64,
                counters: telemetry.core(core),
                chain_counters: chain,
            })
        };
        let cpus = available_cpus();
        let mut cores = Vec::new();
        let mut manager = Some(Manager::new(&scheduler, policy));
        for mut core in packet_cores {
            let (handle, control) = CoreHandle::new(&hub);
            let counters = telemetry.stage(DISPATCH, DISPATCH, 0, &[], &[]);
            let stage = ChainStage::new(DISPATCH, 0, actors.dispatch(), counters, 16);
            let spec = ActorSpec {
                pin: Pin::Packet,
                ..ActorSpec::new(DISPATCH)
            };
            let body = Body::Stage(Box::new(stage.as_actor(0, &hub)));
            let id = scheduler.register(spec, body).expect("room");
            core.refresh();
            let egress = EgressTable::new(&[(PortSide::Client, None), (PortSide::Server, None)]);
            let chain = Chain::of_actors(core.handle(id).into_iter().collect(), egress);
            let sides = [Direction::ToServer, Direction::ToClient];
            let core_ports = (0u16..).zip(&ports).zip(sides);
            let core_ports = core_ports.map(|((index, port), direction)| CorePort {
                index,
                side: CorePortSide::One(direction),
                queues: port.rx_queue(0).zip(port.tx_queue(0)),
                handover: None,
                counters: telemetry.port(port.name(), 0),
            });
            let idle = IdlePolicy::Adaptive;
            let body = CoreLoop::new(control, core_ports.collect(), chain, env(0), 32, idle)
                .with_scheduler(core, manager.take());
            let run = move || drop(body.run());
            let thread = LcoreThread::spawn(eal(), "core", cpus[0], run).expect("a core");
            cores.push((handle, thread));
        }
        for (worker, core) in worker_cores.into_iter().enumerate() {
            let (handle, control) = CoreHandle::new(&hub);
            let body = WorkerLoop::new(control, core, env(1 + worker), IdlePolicy::Adaptive);
            let cpu = cpus[(1 + worker) % cpus.len()];
            let thread = LcoreThread::spawn(eal(), "worker", cpu, move || body.run());
            cores.push((handle, thread.expect("a core")));
        }
        ActorBench {
            actors,
            pool,
            telemetry,
            scheduler,
            cores,
            ports,
            ways,
            batch: Batch::new(),
        }
    }

    /// Sends a frame into a port; false if it has no room, or there are no packets.
    pub fn send(&mut self, port: u16, frame: &[u8]) -> bool {
        // Some are for those who answer.
        if self.pool.available() < 1024 {
            return false;
        }
        let (Some(packet), Some((inward, _))) = (
            Packet::from_bytes(&self.pool, frame),
            self.ways.get(usize::from(port)),
        ) else {
            return false;
        };
        drop(self.batch.push(packet));
        let taken = inward.enqueue(&mut self.batch);
        self.batch.clear();
        taken > 0
    }

    /// What has left by a port since.
    pub fn received(&mut self, port: u16) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let Some((_, outward)) = self.ways.get(usize::from(port)) else {
            return frames;
        };
        while outward.dequeue(&mut self.batch) > 0 {
            let packets = self.batch.drain();
            frames.extend(packets.map(|packet| packet.segments().flatten().copied().collect()));
        }
        frames
    }

    /// Waits until that holds; panics with `what` if it takes too long.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut ActorBench) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            let status = self.scheduler.status();
            assert!(Instant::now() < deadline, "{what}: {status:?}");
            self.scheduler.clear_graveyard();
            std::thread::yield_now();
        }
    }

    /// Where an actor is; `None` while it is moved, and when it is no more.
    pub fn place(&self, actor: ActorId) -> Option<Place> {
        self.actors
            .status(actor)
            .ok()
            .and_then(|status| status.place)
    }

    /// Has an actor moved, and waits until it is there; `meanwhile` is called again and again.
    pub fn move_to(
        &mut self,
        actor: ActorId,
        side: Side,
        mut meanwhile: impl FnMut(&mut ActorBench),
    ) {
        self.actors.migrate(actor, side).expect("it can be moved");
        self.until("a move", |bench| {
            meanwhile(bench);
            match bench.place(actor) {
                Some(Place::Worker(at)) => match side {
                    Side::Worker(worker) => worker.is_none_or(|worker| worker == at),
                    Side::Packet => false,
                },
                Some(_) => side == Side::Packet,
                None => false,
            }
        });
    }

    /// What an actor, or the chain itself as `chain`, has counted.
    pub fn counted(&self, name: &str) -> StageSnapshot {
        let snapshot = self.telemetry.snapshot();
        let entry = snapshot.stage(name);
        entry.map(|entry| entry.total.clone()).unwrap_or_default()
    }

    /// The oldest event of the scheduler's that nobody has taken.
    pub fn take_event(&self) -> Option<Event> {
        self.scheduler.take_event()
    }

    /// Stops everything; no packet may be left anywhere, nor be unaccounted for.
    pub fn end(mut self) {
        for (handle, _) in &self.cores {
            handle.stop();
        }
        for (_, thread) in self.cores.drain(..) {
            thread.join().expect("no panic");
        }
        drop((self.received(0), self.received(1)));
        let ActorBench {
            actors,
            pool,
            scheduler,
            ports,
            ways,
            ..
        } = self;
        drop((actors, scheduler, ports, ways));
        assert_eq!(pool.in_use(), 0, "every packet is back in the pool");
    }
}
