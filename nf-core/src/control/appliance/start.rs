//! From a checked configuration to running cores.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::cores::Cores;
use super::ports::Ports;
use super::scheduling::{Scheduling, Worker};
use super::trace::Trace;
use super::watchdog::{Watchdog, Watched};
use super::{Appliance, SetLogLevel, StageSlot, StartError};
use crate::chain::actor::Actors;
use crate::chain::{
    Body, BuildContext, CHAIN_COUNTERS, CHAIN_REASONS, Chain, ChainStage, ChainWork, Claims,
    CoreHandle, CoreLoop, CorePort, CorePortSide, Direction, EgressTable, Env, EnvConfig, Handover,
    IdlePolicy, StageRegistry, WorkerLoop,
};
use crate::check::Side;
use crate::clock::Clock;
use crate::control::config::{Checked, Config, Device, DpdkLogLevel, Hugepages, Idle};
use crate::dpdk::{Eal, EalConfig, HugepagePolicy, LcoreThread, LogLevel, MbufRing, Mempool};
use crate::publish::Hub;
use crate::sched::policy::{Pin, Policy};
use crate::sched::runtime::{
    self as sched, Handle, Manager, Order, PacketCore, Scheduler, WorkerCore,
};
use crate::sched::{ActorSpec, Neighbours};
use crate::telemetry::Telemetry;

/// Timers that a shard of a stage may have at a time.
const TIMERS_PER_SHARD: usize = 65_536;

/// Packets on their way to a worker core, or back to a packet core, at most.
const WAY_SLOTS: usize = 2048;

/// Actors besides the shards of stages, at a time.
const MORE_ACTORS: usize = 256;

/// Packets that may wait between a core and one that owns a queue.
const HANDOVER_SLOTS: u32 = 1024;

/// Name of the pseudo-stage whose counters are the chain's own drops.
pub(super) const CHAIN_STAGE: &str = "chain";

fn eal_config(config: &Config) -> EalConfig {
    let pci = config.ports.iter().filter_map(|port| match &port.device {
        Device::Pci(pci) => Some(match &pci.driver_args {
            Some(args) => format!("{},{args}", pci.address.as_str()),
            None => pci.address.as_str().to_owned(),
        }),
        _ => None,
    });
    let zero_copy = |port: &&crate::control::config::PortConfig| matches!(&port.device, Device::Memif(memif) if memif.zero_copy);
    EalConfig {
        prefix: config.name.to_string(),
        memory_mib: config.eal.memory_mb,
        hugepages: match config.eal.hugepages {
            Hugepages::Auto => HugepagePolicy::Auto,
            Hugepages::Required => HugepagePolicy::Required,
            Hugepages::Off => HugepagePolicy::Off,
        },
        in_memory: config.eal.in_memory,
        pci: pci.collect(),
        extra_args: config.eal.extra_args.clone(),
        log_level: match config.eal.dpdk_log_level {
            level if level >= DpdkLogLevel::Debug => LogLevel::Debug,
            level if level >= DpdkLogLevel::Info => LogLevel::Info,
            level if level >= DpdkLogLevel::Warning => LogLevel::Warning,
            _ => LogLevel::Error,
        },
        telemetry: config.eal.dpdk_telemetry,
        single_file_segments: config.ports.iter().any(|port| zero_copy(&port)),
    }
}

impl Appliance {
    /// Starts everything the configuration says. `source` is where it was read from.
    ///
    /// On an error, what was already started is stopped again.
    pub fn start(
        checked: Checked,
        source: Option<PathBuf>,
        registry: StageRegistry,
        set_log_level: SetLogLevel,
    ) -> Result<Appliance, StartError> {
        let config = checked.config().clone();
        let eal = Eal::init(&eal_config(&config))?;
        let clock = Clock::system();
        let hub = Hub::new();
        let telemetry = Telemetry::new(clock.cycles_hz());
        let cores = config.cores.packet.len();

        let memory_mib = config.eal.memory_mb;
        let (packets, cache) = (config.mempool.packets, config.mempool.cache);
        let data_room = config.mempool.data_room_bytes.min(u32::from(u16::MAX)) as u16;
        let pool = Mempool::create(eal, "packets", packets, data_room, cache).map_err(|error| {
            StartError::Mempool {
                packets,
                memory_mib,
                error,
            }
        })?;
        let ports = Ports::open(eal, &pool, &config.ports, cores)?;

        let scheduler = new_scheduler(&config, &hub);
        let actors = scheduler
            .as_ref()
            .map(|(scheduler, ..)| Actors::new(scheduler, &hub, &telemetry));
        let claims = Claims::default();
        let mut stages = Vec::new();
        for entry in &config.chain {
            let name = entry.name().to_owned();
            let Some(kind) = registry.get(&entry.stage) else {
                return Err(StartError::UnknownKind(name));
            };
            let context = BuildContext {
                name: name.clone(),
                ports: ports.stage_ports(),
                cores,
                eal,
                pool: pool.clone(),
                clock: clock.clone(),
                hub: hub.clone(),
                claims: claims.clone(),
                actors: actors.clone(),
            };
            let control =
                kind.build(&entry.config, &context)
                    .map_err(|error| StartError::Stage {
                        stage: name.clone(),
                        error,
                    })?;
            stages.push(StageSlot {
                name,
                kind: entry.stage.clone(),
                control,
            });
        }

        let mut appliance = Appliance {
            checked,
            source,
            registry,
            eal,
            clock,
            hub,
            telemetry,
            started: Instant::now(),
            stages,
            cores: Cores::default(),
            scheduling: None,
            ports,
            pool,
            trace: Trace::default(),
            set_log_level,
            sampled: Instant::now(),
            stopped: false,
        };
        appliance.start_cores(&config, scheduler)?;
        appliance.sample();
        Ok(appliance)
    }

    fn start_cores(
        &mut self,
        config: &Config,
        scheduler: Option<NewScheduler>,
    ) -> Result<(), StartError> {
        let peers = self
            .checked
            .peers()
            .iter()
            .map(|peer| peer.map(|peer| peer as u16));
        let sides: Vec<(Side, Option<u16>)> = config
            .ports
            .iter()
            .map(|port| port.side)
            .zip(peers)
            .collect();
        let cores = config.cores.packet.len();
        // A port with fewer queues than cores: the others hand packets over to core 0, which has one.
        let mut rings = Vec::new();
        for (index, slot) in self.ports.list.iter().enumerate() {
            let needed = usize::from(slot.spec.queues) < cores;
            let ring = needed
                .then(|| MbufRing::create(self.eal, &format!("handover{index}"), HANDOVER_SLOTS));
            rings.push(ring.transpose().map_err(StartError::Ring)?);
        }
        let mut watched = Vec::new();
        let (mut manager, packet_cores) = self.start_scheduler(config, scheduler, &mut watched)?;
        let mut packet_cores = packet_cores.into_iter();
        for (core, &cpu) in config.cores.packet.iter().enumerate() {
            let (handle, control) = CoreHandle::new(&self.hub);
            let mut ports = Vec::new();
            for (index, slot) in self.ports.list.iter().enumerate() {
                let own: Vec<u16> = (0..slot.spec.queues)
                    .filter(|queue| usize::from(*queue) % cores == core)
                    .collect();
                let side = match slot.config.side {
                    Side::Client => CorePortSide::One(Direction::ToServer),
                    Side::Server => CorePortSide::One(Direction::ToClient),
                    Side::Any => CorePortSide::Classified,
                };
                let port = |queue: Option<u16>, handover| {
                    let open = self.ports.port(index);
                    let pair = queue
                        .zip(open)
                        .and_then(|(queue, port)| port.rx_queue(queue).zip(port.tx_queue(queue)));
                    let number = queue.unwrap_or(core as u16);
                    CorePort {
                        index: index as u16,
                        side,
                        queues: pair,
                        handover,
                        counters: self.telemetry.port(&slot.spec.name, number),
                    }
                };
                let ring = rings.get(index).cloned().flatten();
                if own.is_empty() {
                    ports.push(port(None, ring.map(Handover::Into)));
                    continue;
                }
                for (nth, queue) in own.into_iter().enumerate() {
                    let source = ring
                        .clone()
                        .filter(|_| nth == 0 && core == 0)
                        .map(Handover::From);
                    ports.push(port(Some(queue), source));
                }
            }
            let stages: Vec<ChainStage> = self.shards(core);
            let egress = EgressTable::new(&sides);
            let env = self.env(core);
            let vitals = env.vitals();
            let idle = idle_policy(config);
            let burst = usize::from(config.cores.burst);
            let body = match packet_cores.next() {
                None => {
                    let chain = Chain::new(stages, egress);
                    CoreLoop::new(control, ports, chain, env, burst, idle)
                }
                Some(mut packet_core) => {
                    let actors = self.register(config, core, stages, &mut packet_core);
                    let chain = Chain::of_actors(actors, egress);
                    CoreLoop::new(control, ports, chain, env, burst, idle)
                        .with_scheduler(packet_core, manager.take())
                }
            };
            let thread = LcoreThread::spawn(
                self.eal,
                &format!("packet-{core}"),
                usize::from(cpu),
                move || body.run(),
            )?;
            watched.push(Watched::new(
                format!("packet core {core}"),
                vitals,
                thread.tid,
            ));
            tracing::debug!(core, cpu, tid = thread.tid, "packet core started");
            self.cores.add(handle, thread);
        }
        if let (Some(scheduling), Some(scheduler)) = (&mut self.scheduling, &config.scheduler) {
            let budget = Duration::from_millis(u64::from(scheduler.watchdog_ms));
            let watchdog = Watchdog::start(watched, budget).map_err(StartError::Watchdog)?;
            scheduling.watchdog = Some(watchdog);
        }
        Ok(())
    }
}

impl Appliance {
    /// The shards of all stages for a packet core.
    fn shards(&mut self, core: usize) -> Vec<ChainStage> {
        let shard = |stage: &mut StageSlot| {
            let kind = self.registry.get(&stage.kind);
            let (reasons, counters) =
                kind.map_or((&[][..], &[][..]), |kind| (kind.reasons(), kind.counters()));
            let counters = self
                .telemetry
                .stage(&stage.name, &stage.kind, core, reasons, counters);
            let shard = stage.control.shard(core);
            ChainStage::new(&stage.name, core, shard, counters, TIMERS_PER_SHARD)
        };
        self.stages.iter_mut().map(shard).collect()
    }

    /// What a core runs stages with; workers count on from the packet cores.
    fn env(&self, core: usize) -> Env {
        Env::new(EnvConfig {
            core,
            pool: self.pool.clone(),
            clock: self.clock.clone(),
            seed: seed(core),
            counters: self.telemetry.core(core),
            chain_counters: self.telemetry.stage(
                CHAIN_STAGE,
                CHAIN_STAGE,
                core,
                CHAIN_REASONS,
                CHAIN_COUNTERS,
            ),
        })
    }

    /// Starts the worker cores, if the configuration wants a scheduler. Gives what decides, and the packet cores'
    /// ends of it.
    #[expect(clippy::type_complexity, reason = "used once, at once taken apart")]
    fn start_scheduler(
        &mut self,
        config: &Config,
        scheduler: Option<NewScheduler>,
        watched: &mut Vec<Watched>,
    ) -> Result<(Option<Manager<ChainWork>>, Vec<PacketCore<ChainWork>>), StartError> {
        let (Some(scheduler_config), Some((scheduler, packet_cores, worker_cores))) =
            (&config.scheduler, scheduler)
        else {
            return Ok((None, Vec::new()));
        };
        let cores = config.cores.packet.len();
        let thresholds = scheduler_config.thresholds();
        let policy = Policy::new(scheduler_config.policy.clone(), thresholds);
        let manager = Manager::new(&scheduler, policy);
        let clock = self.clock.clone();
        let mut scheduling = Scheduling::new(scheduler, cores, clock, scheduler_config);
        self.telemetry.add_source(scheduling.metrics.clone());
        for (core, &cpu) in worker_cores.into_iter().zip(&config.cores.workers) {
            let (handle, control) = CoreHandle::new(&self.hub);
            let worker = core.worker();
            let env = self.env(cores + worker);
            let vitals = env.vitals();
            let body = WorkerLoop::new(control, core, env, idle_policy(config));
            let (name, cpu) = (format!("worker-{worker}"), usize::from(cpu));
            let thread = LcoreThread::spawn(self.eal, &name, cpu, move || body.run())?;
            watched.push(Watched::new(format!("worker {worker}"), vitals, thread.tid));
            tracing::debug!(worker, cpu, tid = thread.tid, "worker core started");
            scheduling.workers.push(Worker::new(handle, thread));
        }
        self.scheduling = Some(scheduling);
        Ok((Some(manager), packet_cores))
    }

    /// Makes actors of a packet core's shards.
    fn register(
        &self,
        config: &Config,
        core: usize,
        stages: Vec<ChainStage>,
        packet_core: &mut PacketCore<ChainWork>,
    ) -> Vec<Handle<ChainWork>> {
        let (Some(scheduling), Some(scheduler_config)) = (&self.scheduling, &config.scheduler)
        else {
            return Vec::new();
        };
        let scheduler = &scheduling.scheduler;
        let ids: Vec<_> = (0u8..)
            .zip(stages)
            .filter_map(|(position, stage)| {
                let placement = scheduler_config.stage(&stage.name);
                let name = match config.cores.packet.len() {
                    1 => stage.name.clone(),
                    _ => format!("{}@{core}", stage.name),
                };
                let spec = ActorSpec {
                    pin: placement.pin,
                    mailbox: placement.mailbox as usize,
                    hold_back: placement.hold_back as usize,
                    neighbours: Some(Neighbours {
                        line: core as u16,
                        position: u16::from(position),
                    }),
                    ..ActorSpec::new(name)
                };
                let body = Body::Stage(Box::new(stage.as_actor(position, &self.hub)));
                // There is room: the table is as large as the chains together.
                scheduler.register(spec, body).ok()
            })
            .collect();
        packet_core.refresh();
        let pinned = scheduler.status().into_iter();
        for actor in pinned.filter(|actor| actor.pin == Pin::Worker && ids.contains(&actor.id)) {
            scheduler.order(Order::Push(actor.id, None));
        }
        ids.into_iter()
            .filter_map(|id| packet_core.handle(id))
            .collect()
    }
}

/// A scheduler, and its cores before they have threads.
type NewScheduler = (
    Scheduler<ChainWork>,
    Vec<PacketCore<ChainWork>>,
    Vec<WorkerCore<ChainWork>>,
);

/// The scheduler that the configuration wants.
fn new_scheduler(config: &Config, hub: &Hub) -> Option<NewScheduler> {
    let cores = config.cores.packet.len();
    let size = sched::Config {
        packet_cores: cores,
        workers: config.cores.workers.len(),
        actors: cores * config.chain.len() + MORE_ACTORS,
        // What comes in goes through the chains, not through stripes.
        stripes: 1,
        stripe_depth: 1,
        channel: WAY_SLOTS,
        settings: config.scheduler.as_ref()?.policy.clone(),
        ..sched::Config::default()
    };
    Some(Scheduler::new(size, hub))
}

fn idle_policy(config: &Config) -> IdlePolicy {
    match config.cores.idle {
        Idle::Poll => IdlePolicy::Poll,
        Idle::Adaptive => IdlePolicy::Adaptive,
    }
}

/// Another seed for every core and start.
fn seed(core: usize) -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_usize(core);
    hasher.finish()
}
