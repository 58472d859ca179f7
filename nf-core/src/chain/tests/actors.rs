//! Stages that the scheduler moves about: real loops on ring ports, packet cores and workers.

use std::time::{Duration, Instant};

use super::*;
use crate::dpdk::tests::{eal, unique};
use crate::dpdk::{Device, LcoreThread, MbufRing, Port, PortSpec, available_cpus};
use crate::sched::policy::{Place, Policy, Settings, Thresholds};
use crate::sched::runtime::{Config, Event, Manager, Order, Scheduler};
use crate::sched::{ActorId, ActorSpec, Failure};

/// A stage that stamps each packet with how many it has seen, and holds every hundredth for a while.
struct Counting {
    seen: u32,
    works_ns: u64,
    held: Option<Packet>,
    /// At which packet it fails, and how.
    fails: Option<(u32, Fails)>,
}

#[derive(Debug, Clone, Copy)]
enum Fails {
    Panics,
    Loops,
}

impl Stage for Counting {
    fn process(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        let mut works = 0;
        batch.sift(|mut packet| {
            self.seen += 1;
            works += self.works_ns;
            match self.fails {
                Some((at, Fails::Panics)) if at == self.seen => panic!("on purpose"),
                Some((at, Fails::Loops)) if at == self.seen => loop {
                    cx.checkpoint();
                },
                _ => {}
            }
            packet.data_mut()[8..12].copy_from_slice(&self.seen.to_be_bytes());
            if self.seen.is_multiple_of(100) && self.held.is_none() {
                cx.timer(20_000, 7).expect("a timer");
                self.held = Some(packet);
                return None;
            }
            Some(packet)
        });
        let until = Instant::now() + Duration::from_nanos(works);
        while works > 0 && Instant::now() < until {
            std::hint::spin_loop();
        }
    }

    fn on_timer(&mut self, cx: &mut Cx<'_>, token: u64) {
        assert_eq!(token, 7);
        if let Some(packet) = self.held.take() {
            cx.emit(Direction::ToServer, packet);
        }
    }
}

type Core = (CoreHandle, LcoreThread<()>);

/// Two ring ports, one packet core, a worker, and a chain of two stages that are actors.
struct Rig {
    pool: Mempool,
    telemetry: Telemetry,
    scheduler: Scheduler<ChainWork>,
    actors: Vec<ActorId>,
    cores: Vec<Core>,
    vitals: Vec<Arc<Vitals>>,
    ports: [Port; 2],
    inward: MbufRing,
    outward: MbufRing,
    sent: u32,
    lost: usize,
    batch: Batch,
    /// (number, count of stage a, count of stage b) of what came out.
    got: Vec<[u32; 3]>,
}

impl Rig {
    fn new(policy: Policy, works_ns: [u64; 2], fails: Option<(u32, Fails)>) -> Rig {
        let (pool, hub, telemetry) = (pool(8191), Hub::new(), Telemetry::new(1e9));
        let ring = || MbufRing::create(eal(), &unique("ac"), 1024).expect("a ring");
        let (inward, outward, unused) = (ring(), ring(), ring());
        let open = |rx: &MbufRing, tx: &MbufRing| {
            let spec = PortSpec::new(&unique("ac"), Device::Ring { slots: 0 });
            Port::open_rings(eal(), &spec, &pool, vec![rx.clone()], vec![tx.clone()])
                .expect("a port")
        };
        let opened = [open(&inward, &unused), open(&unused, &outward)];
        let config = Config {
            workers: 1,
            settings: policy.settings().clone(),
            ..Config::default()
        };
        let (scheduler, packet_cores, worker_cores) = Scheduler::new(config, &hub);
        let actors: Vec<ActorId> = NAMES[..2]
            .iter()
            .zip(works_ns)
            .enumerate()
            .map(|(position, (name, works_ns))| {
                let shard = Counting {
                    seen: 0,
                    works_ns,
                    held: None,
                    fails: fails.filter(|_| position == 0),
                };
                let counters = telemetry.stage(name, "test", 0, REASONS, &[]);
                let stage = ChainStage::new(*name, 0, Box::new(shard), counters, 16)
                    .as_actor(position as u8, &hub);
                let body = Body::Stage(Box::new(stage));
                scheduler
                    .register(ActorSpec::new(*name), body)
                    .expect("room")
            })
            .collect();
        let env = |core: usize| {
            Env::new(EnvConfig {
                core,
                pool: pool.clone(),
                clock: Clock::system(),
                seed: 1,
                counters: telemetry.core(core),
                chain_counters: telemetry.stage(
                    "chain",
                    "chain",
                    core,
                    CHAIN_REASONS,
                    CHAIN_COUNTERS,
                ),
            })
        };
        let cpus = available_cpus();
        let (mut cores, mut vitals) = (Vec::new(), Vec::new());
        let mut policy = Some(policy);
        for mut packet_core in packet_cores {
            packet_core.refresh();
            let (handle, control) = CoreHandle::new(&hub);
            let sides = [Direction::ToServer, Direction::ToClient];
            let ports = opened.iter().zip(sides).enumerate();
            let ports = ports.map(|(index, (port, direction))| CorePort {
                index: index as u16,
                side: CorePortSide::One(direction),
                queues: port.rx_queue(0).zip(port.tx_queue(0)),
                handover: None,
                counters: telemetry.port(port.name(), 0),
            });
            let actors = actors.iter().map(|id| packet_core.handle(*id).expect("it"));
            let egress = EgressTable::new(&[(Side::Client, None), (Side::Server, None)]);
            let chain = Chain::of_actors(actors.collect(), egress);
            let env = env(0);
            vitals.push(env.vitals());
            let manager = policy.take().map(|policy| Manager::new(&scheduler, policy));
            let body = CoreLoop::new(
                control,
                ports.collect(),
                chain,
                env,
                32,
                IdlePolicy::Adaptive,
            )
            .with_scheduler(packet_core, manager);
            let thread =
                LcoreThread::spawn(eal(), "core", cpus[0], move || drop(body.run())).expect("it");
            cores.push((handle, thread));
        }
        for (worker, core) in worker_cores.into_iter().enumerate() {
            let (handle, control) = CoreHandle::new(&hub);
            let env = env(1 + worker);
            vitals.push(env.vitals());
            let body = WorkerLoop::new(control, core, env, IdlePolicy::Adaptive);
            let cpu = cpus[(1 + worker) % cpus.len()];
            let thread = LcoreThread::spawn(eal(), "worker", cpu, move || body.run()).expect("it");
            cores.push((handle, thread));
        }
        Rig {
            pool,
            telemetry,
            scheduler,
            actors,
            cores,
            vitals,
            ports: opened,
            inward,
            outward,
            sent: 0,
            lost: 0,
            batch: Batch::new(),
            got: Vec::new(),
        }
    }

    /// Sends and receives for a moment, never more than `window` packets on the way.
    fn turn(&mut self, window: usize) {
        while (self.sent as usize) < self.got.len() + self.lost + window
            && let Some(mut packet) = Packet::from_bytes(&self.pool, &[0; 60])
        {
            packet.data_mut()[..4].copy_from_slice(&self.sent.to_be_bytes());
            self.batch.push(packet).expect("room");
            let taken = self.inward.enqueue(&mut self.batch);
            self.batch.clear();
            if taken == 0 {
                break;
            }
            self.sent += 1;
        }
        if self.outward.dequeue(&mut self.batch) == 0 {
            self.scheduler.clear_graveyard();
            let stages = self.telemetry.snapshot().stages;
            let drops = stages.iter().map(|stage| stage.total.dropped.sum());
            self.lost = drops.sum::<u64>() as usize;
            std::thread::yield_now();
        }
        for packet in self.batch.drain() {
            let word = |at: usize| {
                let bytes = packet.data().get(at..at + 4).expect("a word");
                u32::from_be_bytes(bytes.try_into().expect("four bytes"))
            };
            self.got.push([word(0), word(8), 0]);
        }
    }

    fn place(&self, actor: usize) -> Option<Place> {
        self.scheduler.status()[actor].place
    }

    /// Until that holds, or it is too late.
    fn until(&mut self, what: &str, window: usize, mut holds: impl FnMut(&Rig) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds(self) {
            assert!(
                Instant::now() < deadline,
                "{what}: {:?}",
                self.scheduler.status()
            );
            self.turn(window);
        }
    }

    /// Everything comes out, all is stopped, and no packet is left anywhere.
    fn end(mut self) -> (Vec<[u32; 3]>, Telemetry) {
        let sent = self.sent as usize;
        self.until("the rest", 0, |rig| rig.got.len() + rig.lost == sent);
        for (handle, _) in &self.cores {
            handle.stop();
        }
        for (_, thread) in self.cores {
            thread.join().expect("no panic");
        }
        let snapshot = self.telemetry.snapshot();
        for stage in &snapshot.stages {
            assert_eq!(stage.total.held(), 0, "{}", stage.name);
        }
        drop((self.scheduler, self.ports, self.inward, self.outward));
        assert_eq!(self.pool.in_use(), 0);
        (self.got, self.telemetry)
    }
}

/// Nothing is decided by itself.
fn calm() -> Policy {
    let settings = Settings {
        migration: false,
        ..Settings::default()
    };
    let never = Thresholds {
        mean_ns: f64::INFINITY,
        tail_ns: f64::INFINITY,
    };
    Policy::new(settings, never)
}

#[test]
fn ip33_stages_move_to_a_worker_and_back_under_load() {
    let mut rig = Rig::new(calm(), [0, 0], None);
    rig.until("the start", 256, |rig| rig.got.len() > 1000);
    let mut there = [false; 2];
    for round in 0..60 {
        let which = round % 2;
        let actor = rig.actors[which];
        let (order, goal) = match there[which] {
            false => (Order::Push(actor, None), Place::Worker(0)),
            true => (Order::Pull(actor), Place::Fcfs),
        };
        there[which] = !there[which];
        assert!(rig.scheduler.order(order));
        rig.until("a move", 256, |rig| rig.place(which) == Some(goal));
        let enough = rig.got.len() + 500;
        rig.until("traffic", 256, |rig| rig.got.len() >= enough);
        if goal == Place::Fcfs {
            // It is inline again, though packets came all the time: nothing waits for it any more.
            let mut idle = 0;
            rig.until("inline", 256, |rig| {
                let waiting = rig.scheduler.status()[which].waiting;
                idle = if waiting == 0 { idle + 1 } else { 0 };
                idle > 100
            });
        }
    }
    let (got, telemetry) = rig.end();
    // The last stage's count: one state, never two, never anew. What it held comes later than it was counted.
    let mut counts: Vec<u32> = got.iter().map(|packet| packet[1]).collect();
    let late = counts.windows(2).filter(|two| two[1] < two[0]).count();
    assert!(late <= got.len() / 100 + 1, "{late} of {}", got.len());
    counts.sort_unstable();
    assert!(counts.iter().copied().eq(1..=got.len() as u32));
    // Of the others the order is that of the ports.
    let numbers = got.iter().map(|packet| packet[0]);
    let out_of_order = numbers.clone().zip(numbers.skip(1));
    let out_of_order = out_of_order.filter(|(one, two)| two < one).count();
    assert!(out_of_order <= got.len() / 50 + 2, "{out_of_order}");
    let drops = telemetry
        .snapshot()
        .stage("chain")
        .map(|chain| chain.total.dropped.sum());
    assert_eq!(drops, Some(0));
}

/// A stage that fails, here or at a worker: everybody else goes on, and what it had in its hands is counted.
fn fails(how: Fails, at_worker: bool) {
    let mut rig = Rig::new(calm(), [0, 0], Some((3_000, how)));
    let actor = rig.actors[0];
    if at_worker {
        rig.scheduler.order(Order::Push(actor, None));
    }
    rig.until("the start", 64, |rig| rig.got.len() > 2_000);
    // What a watchdog does.
    let failed = |rig: &Rig| {
        for vitals in &rig.vitals {
            if let Some(run) = vitals.running()
                && matches!(how, Fails::Loops)
                && run.actor == actor
                && rig.got.len() > 2_900
            {
                vitals.condemn(run);
            }
        }
        rig.place(0).is_none()
    };
    rig.until("the failure", 64, failed);
    let enough = rig.got.len() + 3_000;
    rig.until("traffic after it", 64, |rig| rig.got.len() >= enough);
    let event = std::iter::from_fn(|| rig.scheduler.take_event()).find_map(|event| match event {
        Event::Failed { name, failure, .. } => Some((name, failure)),
        _ => None,
    });
    let expected = match how {
        Fails::Panics => Failure::Panic("on purpose".into()),
        Fails::Loops => Failure::Overrun,
    };
    assert_eq!(event, Some(("a".into(), expected)));
    let (got, telemetry) = rig.end();
    let chain = telemetry
        .snapshot()
        .stage("chain")
        .map(|chain| chain.total.clone());
    let chain = chain.expect("the chain");
    assert!(chain.custom.get("bypassed") >= 2_900, "{chain:?}");
    // The other stage has counted every packet that came out.
    let mut counts: Vec<u32> = got.iter().map(|packet| packet[1]).collect();
    counts.sort_unstable();
    assert!(counts.iter().copied().eq(1..=got.len() as u32));
}

#[test]
fn ip45_a_stage_that_panics_is_taken_out_of_service_and_its_packets_pass() {
    fails(Fails::Panics, false);
}

#[test]
fn ip45_a_stage_that_panics_at_a_worker_is_taken_out_of_service() {
    fails(Fails::Panics, true);
}

#[test]
fn ip44_a_stage_that_loops_is_ended_at_its_next_checkpoint() {
    fails(Fails::Loops, false);
}

#[test]
fn ip44_a_stage_that_loops_at_a_worker_is_ended_at_its_next_checkpoint() {
    fails(Fails::Loops, true);
}

#[test]
fn a_stage_that_is_deleted_is_passed_from_then_on() {
    for at_worker in [false, true] {
        let mut rig = Rig::new(calm(), [0, 0], None);
        let actor = rig.actors[0];
        if at_worker {
            rig.scheduler.order(Order::Push(actor, None));
            rig.until("the move", 64, |rig| rig.place(0) == Some(Place::Worker(0)));
        }
        rig.until("the start", 64, |rig| rig.got.len() > 1_000);
        rig.scheduler.order(Order::Delete(actor));
        rig.until("the end", 64, |rig| rig.place(0).is_none());
        let enough = rig.got.len() + 1_000;
        rig.until("traffic after it", 64, |rig| rig.got.len() >= enough);
        rig.end();
    }
}

#[test]
fn ip11_sojourn_counts_from_the_arrival_in_the_receive_ring() {
    // 50 µs a packet, and always 300 of them on the way: a burst takes 32 times that, and those behind it wait.
    let mut rig = Rig::new(calm(), [50_000, 0], None);
    rig.until("long waits", 300, |rig| {
        let status = rig.scheduler.status().swap_remove(0);
        let service = status.service.mean;
        rig.got.len() > 2_000
            && status.sojourn.mean > 48.0 * service
            && rig.scheduler.latency().mean > 48.0 * service
    });
    rig.end();
}

#[test]
fn ip63_each_inline_stage_is_told_its_own_time() {
    let mut rig = Rig::new(calm(), [0, 30_000], None);
    // A thread that the kernel has kept waiting counts for whoever ran, but soon fades.
    rig.until("times apart", 64, |rig| {
        let [light, heavy] = [0, 1].map(|n| rig.scheduler.status()[n].service.mean);
        rig.got.len() > 1_000 && heavy > 28_000.0 && light < heavy / 4.0
    });
    rig.end();
}

#[test]
fn ip42_a_worker_without_work_sleeps_and_wakes_when_something_comes() {
    let mut rig = Rig::new(calm(), [0, 0], None);
    let turns = |rig: &Rig| rig.telemetry.snapshot().cores[&1].loops;
    rig.until("sleep", 0, |rig| {
        rig.telemetry.snapshot().cores[&1].sleeps > 0
    });
    let before = turns(&rig);
    std::thread::sleep(Duration::from_millis(500));
    let asleep = turns(&rig) - before;
    assert!(asleep < 100, "{asleep} turns in half a second");
    rig.scheduler.order(Order::Push(rig.actors[0], None));
    rig.until("the move", 64, |rig| rig.place(0) == Some(Place::Worker(0)));
    let enough = rig.got.len() + 1_000;
    rig.until("traffic", 64, |rig| rig.got.len() >= enough);
    assert!(turns(&rig) > before + asleep + 10);
    rig.end();
}
