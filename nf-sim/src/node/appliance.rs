//! An appliance: packet cores with real chains over real packets, and the control side of their stages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nf_core::chain::{
    BuildContext, CHAIN_REASONS, Chain, ChainStage, Claims, CorePortSide, Direction, EgressTable,
    Env, EnvConfig, StageControl, StageKind, StagePort,
};
use nf_core::check::Side;
use nf_core::clock::{Clock, VirtualClock};
use nf_core::dpdk::{Eal, Mempool, TxChecksums};
use nf_core::publish::Hub;
use nf_core::telemetry::{Snapshot, Telemetry};
use nf_core::wire::{Layers, flow_hash};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::core::{Around, Core};
use super::{Identity, port_mac};
use crate::engine::{Fabric, FrameId, What};
use crate::kinds::Kinds;
use crate::random::seed_of;
use crate::scenario::{ApplianceSpec, Steering};

/// Bytes of a buffer, headroom included: that of a default appliance.
const DATA_ROOM: u16 = 2176;

/// Buffers of the pool that a core keeps at hand, where its thread has an lcore id.
const CACHE: u32 = 64;

/// What an appliance has done beside its stages, in all its lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ApplianceCounters {
    /// Packets that cores received.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// Bursts that cores took.
    pub bursts: u64,
    /// Frames dropped because too many waited for a core.
    pub queue_full: u64,
    /// Frames dropped for want of a buffer.
    pub no_buffer: u64,
    /// Frames that arrived while it was down.
    pub while_down: u64,
    /// Nanoseconds for which its cores were busy, summed.
    pub busy_ns: u64,
    /// Most frames that waited for a core.
    pub most_waiting: u64,
}

/// An appliance could not be built.
#[derive(Debug, Error)]
#[error("{node}: {why}")]
pub struct BuildFailed {
    /// The node.
    pub node: String,
    /// Why.
    pub why: String,
}

/// An appliance.
pub struct Appliance {
    /// Who it is.
    pub identity: Identity,
    /// Its description.
    pub spec: ApplianceSpec,
    /// What it has done.
    pub counters: ApplianceCounters,
    /// What could not be: an appliance that did not start again, a packet that was lost or leaked.
    pub violations: Vec<String>,
    seed: u64,
    kinds: Arc<Kinds>,
    eal: &'static Eal,
    clock: VirtualClock,
    pool: Mempool,
    telemetry: Telemetry,
    ports: Vec<StagePort>,
    sides: Vec<CorePortSide>,
    running: Option<Running>,
    outbox: Vec<(u16, FrameId)>,
    /// Packets that stages held when the appliance died.
    lost_with: u64,
    /// The control side does nothing until then.
    stalled_until: u64,
}

/// An appliance that is up.
struct Running {
    // Cores before what their stages read, and all of them before the pool.
    cores: Vec<Core>,
    controls: Vec<(String, Box<dyn StageControl>)>,
    hub: Hub,
}

impl std::fmt::Debug for Appliance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appliance")
            .field("name", &self.spec.name)
            .finish_non_exhaustive()
    }
}

/// A name that no other pool of the process has.
fn pool_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("sim{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Appliance {
    /// An appliance that is down; `index` is its place in the scenario.
    pub fn new(
        node: u32,
        index: usize,
        spec: ApplianceSpec,
        seed: u64,
        kinds: Arc<Kinds>,
        eal: &'static Eal,
    ) -> Result<Appliance, BuildFailed> {
        let failed = |why: String| BuildFailed {
            node: spec.name.clone(),
            why,
        };
        let pool = Mempool::create(
            eal,
            &pool_name(),
            spec.pool,
            DATA_ROOM,
            CACHE.min(spec.pool / 4),
        );
        let pool =
            pool.map_err(|error| failed(format!("no pool of {} packets: {error}", spec.pool)))?;
        let ports = spec
            .ports
            .iter()
            .enumerate()
            .map(|(number, port)| StagePort {
                name: port.name.clone(),
                side: port.side,
                mac: port.mac.unwrap_or(port_mac(index, number)).0,
                mtu: port.mtu,
                up: true,
                tx_checksums: Some(TxChecksums::default()),
            });
        let clock = VirtualClock::new();
        clock.advance(spec.clock_offset_ns);
        Ok(Appliance {
            identity: Identity { node, life: 0 },
            counters: ApplianceCounters::default(),
            violations: Vec::new(),
            seed,
            kinds,
            eal,
            clock,
            pool,
            telemetry: Telemetry::new(1e9),
            ports: ports.collect(),
            sides: spec.ports.iter().map(|port| side_of(port.side)).collect(),
            running: None,
            outbox: Vec::with_capacity(256),
            lost_with: 0,
            stalled_until: 0,
            spec,
        })
    }

    /// Starts it from its settings, which knows nothing of earlier lives.
    pub fn start(&mut self, fabric: &mut Fabric) -> Result<(), BuildFailed> {
        self.set_clock(fabric.now);
        let running = self.build().map_err(|why| BuildFailed {
            node: self.spec.name.clone(),
            why,
        })?;
        let cores = running.cores.len();
        self.running = Some(running);
        for core in 0..cores {
            self.with_core(core, fabric, |core, around| core.start(around));
        }
        self.tick_later(fabric);
        Ok(())
    }

    fn build(&self) -> Result<Running, String> {
        let hub = Hub::new();
        let claims = Claims::default();
        let clock = Clock::Virtual(self.clock.clone());
        let cores = usize::from(self.spec.cores);
        let mut controls = Vec::new();
        let mut stages: Vec<(&dyn StageKind, Vec<_>)> = Vec::new();
        for entry in &self.spec.chain {
            let kind = self.kinds.stages.get(&entry.stage);
            let kind = kind.ok_or_else(|| format!("there is no stage {:?}", entry.stage))?;
            let context = BuildContext {
                name: entry.name().to_owned(),
                ports: self.ports.clone(),
                cores,
                eal: self.eal,
                pool: self.pool.clone(),
                clock: clock.clone(),
                hub: hub.clone(),
                claims: claims.clone(),
                actors: None,
            };
            let built = kind.build(&entry.config, &context);
            let mut control = built.map_err(|error| format!("stage {}: {error}", entry.name()))?;
            stages.push((kind, (0..cores).map(|core| control.shard(core)).collect()));
            controls.push((entry.name().to_owned(), control));
        }
        let mut shards: Vec<Vec<ChainStage>> = (0..cores).map(|_| Vec::new()).collect();
        for ((kind, of_cores), (name, _)) in stages.into_iter().zip(&controls) {
            for (core, (shard, chain)) in of_cores.into_iter().zip(&mut shards).enumerate() {
                let counters =
                    self.telemetry
                        .stage(name, kind.name(), core, kind.reasons(), kind.counters());
                let timers = self.spec.timers as usize;
                chain.push(ChainStage::new(name, core, shard, counters, timers));
            }
        }
        let life = format!("life {}", self.identity.life);
        let seed = seed_of(self.seed, &life);
        let cores = shards.into_iter().enumerate().map(|(core, stages)| {
            let env = Env::new(EnvConfig {
                core,
                pool: self.pool.clone(),
                clock: clock.clone(),
                seed: seed_of(seed, &format!("core {core}")),
                counters: self.telemetry.core(core),
                chain_counters: self
                    .telemetry
                    .stage("chain", "chain", core, CHAIN_REASONS, &[]),
            });
            Core::new(
                core,
                Chain::new(stages, self.egress()),
                env,
                hub.watch(),
                self.ports.len(),
            )
        });
        Ok(Running {
            cores: cores.collect(),
            controls,
            hub,
        })
    }

    fn egress(&self) -> EgressTable {
        let index = |name: &String| self.ports.iter().position(|port| port.name == *name);
        let ports = self.spec.ports.iter().map(|port| {
            let peer = port.peer.as_ref().and_then(index);
            (port.side, peer.map(|peer| peer as u16))
        });
        EgressTable::new(&ports.collect::<Vec<_>>())
    }

    #[inline]
    fn set_clock(&self, now: u64) {
        self.clock
            .advance_to(now.saturating_add(self.spec.clock_offset_ns));
    }

    fn tick_later(&self, fabric: &mut Fabric) {
        let Identity { node, life } = self.identity;
        let at = fabric
            .now
            .saturating_add(self.spec.tick_us.saturating_mul(1_000));
        fabric.events.push(at, What::Tick, node, life, 0, 0);
    }

    #[inline]
    fn with_core(
        &mut self,
        core: usize,
        fabric: &mut Fabric,
        run: impl FnOnce(&mut Core, &mut Around<'_>),
    ) {
        self.set_clock(fabric.now);
        let mut around = Around {
            identity: self.identity,
            spec: &self.spec,
            sides: &self.sides,
            counters: &mut self.counters,
            outbox: &mut self.outbox,
            fabric,
        };
        let cores = self.running.as_mut().map(|running| &mut running.cores);
        if let Some(core) = cores.and_then(|cores| cores.get_mut(core)) {
            run(core, &mut around);
        }
    }

    /// A frame has arrived at a port.
    #[inline]
    pub fn arrive(&mut self, port: u16, frame: FrameId, fabric: &mut Fabric) {
        if self.running.is_none() {
            self.counters.while_down += 1;
            return fabric.frames.free(frame);
        }
        let core = match self.spec.cores {
            0 | 1 => 0,
            cores => {
                let side = self.sides.get(usize::from(port));
                let hash = steer(fabric.frames.bytes(frame), self.spec.steering, side);
                hash as usize % usize::from(cores)
            }
        };
        self.with_core(core, fabric, |core, around| {
            core.arrive(port, frame, around)
        });
    }

    /// A core looks at its queues.
    pub fn poll(&mut self, core: u32, fabric: &mut Fabric) {
        self.with_core(core as usize, fabric, Core::poll);
    }

    /// Timers of a core may be due.
    pub fn expire(&mut self, core: u32, fabric: &mut Fabric) {
        self.with_core(core as usize, fabric, Core::expire);
    }

    /// The control side ticks.
    pub fn tick(&mut self, fabric: &mut Fabric) {
        self.set_clock(fabric.now);
        let stalled = self.stalled_until > fabric.now;
        if let Some(running) = self.running.as_mut().filter(|_| !stalled) {
            for (_, control) in &mut running.controls {
                control.tick();
            }
            running.hub.reclaim();
        }
        self.tick_later(fabric);
    }

    /// A core does nothing until then, or the whole appliance.
    pub fn stall(&mut self, core: Option<u16>, until: u64) {
        if core.is_none() {
            self.stalled_until = self.stalled_until.max(until);
        }
        let cores = self
            .running
            .iter_mut()
            .flat_map(|running| &mut running.cores);
        for (index, stalled) in cores.enumerate() {
            if core.is_none_or(|core| usize::from(core) == index) {
                stalled.stall(until);
            }
        }
    }

    /// Its time of day is set.
    pub fn step_clock(&mut self, by_ns: i64) {
        self.clock.step_wall(by_ns);
    }

    fn control(&mut self, stage: &str) -> Result<&mut Box<dyn StageControl>, String> {
        let running = self.running.as_mut().ok_or("the appliance is down")?;
        let mut controls = running.controls.iter_mut();
        let found = controls
            .find(|(name, _)| name == stage)
            .map(|(_, control)| control);
        found.ok_or_else(|| format!("there is no stage {stage:?}"))
    }

    /// Runs a command of a stage.
    pub fn command(&mut self, stage: &str, verb: &str, arguments: &Value) -> Result<Value, String> {
        let control = self.control(stage)?;
        control
            .command(verb, arguments)
            .map_err(|error| error.to_string())
    }

    /// Gives a stage new settings.
    pub fn reload(&mut self, stage: &str, settings: &Value) -> Result<(), String> {
        let control = self.control(stage)?;
        control.reload(settings).map_err(|error| error.to_string())
    }

    /// What a stage's control side shows of itself.
    pub fn status(&mut self, stage: &str) -> Option<Value> {
        self.control(stage).ok().map(|control| control.status())
    }

    /// A port's link went down or came back.
    pub fn link_changed(&mut self, port: u16, up: bool) {
        if let Some(port) = self.ports.get_mut(usize::from(port)) {
            port.up = up;
        }
        for (_, control) in self
            .running
            .iter_mut()
            .flat_map(|running| &mut running.controls)
        {
            control.ports_changed(&self.ports);
        }
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// All counters of its stages, of all its lives.
    pub fn snapshot(&self) -> Snapshot {
        self.telemetry.snapshot()
    }

    /// Buffers of its pool that are in use.
    pub fn in_use(&self) -> u32 {
        self.pool.in_use()
    }

    /// It dies. Whether everything was accounted for shows in [`violations`](Self::violations).
    pub fn crash(&mut self, fabric: &mut Fabric) {
        self.check_conserved();
        self.identity.life += 1;
        if let Some(Running {
            mut cores,
            controls,
            hub,
        }) = self.running.take()
        {
            let stages = cores.iter().flat_map(|core| core.chain.stages());
            self.lost_with += stages.map(|stage| stage.shard.held() as u64).sum::<u64>();
            for core in &mut cores {
                core.end(fabric);
            }
            drop((cores, controls));
            hub.reclaim();
            if hub.pending() != 0 {
                self.violations.push(format!(
                    "{} published versions were not freed",
                    hub.pending()
                ));
            }
        }
        let left = self.pool.in_use();
        if left != 0 {
            self.violations
                .push(format!("{left} packets are not back in the pool"));
        }
    }

    /// Packets in and made = packets out, dropped and held, stage by stage; and those in use are those
    /// held. What does not add up shows in [`violations`](Self::violations).
    pub fn check_conserved(&mut self) {
        let Some(running) = &self.running else { return };
        let stages = running.cores.iter().flat_map(|core| core.chain.stages());
        let held: u64 = stages.map(|stage| stage.shard.held() as u64).sum();
        let snapshot = self.telemetry.snapshot();
        let mut counted = 0;
        for entry in snapshot.stages.iter().filter(|entry| entry.name != "chain") {
            let total = &entry.total;
            let came: u64 = total.input.iter().chain(&total.originated).sum();
            let went: u64 =
                total.forward.iter().chain(&total.back).sum::<u64>() + total.dropped.sum();
            if went > came {
                let text = format!("stage {}: {came} packets came, {went} went", entry.name);
                self.violations.push(text);
            }
            counted += came.saturating_sub(went);
        }
        if counted != held + self.lost_with {
            let lost = self.lost_with;
            self.violations.push(format!(
                "by their counters the stages hold {counted} packets, by themselves {held}, and {lost} went \
                 when the appliance died"
            ));
        }
        let in_use = u64::from(self.pool.in_use());
        if in_use != held {
            self.violations.push(format!(
                "{in_use} packets are in use, and {held} held by stages"
            ));
        }
    }
}

fn side_of(side: Side) -> CorePortSide {
    match side {
        Side::Client => CorePortSide::One(Direction::ToServer),
        Side::Server => CorePortSide::One(Direction::ToClient),
        Side::Any => CorePortSide::Classified,
    }
}

/// Which core a frame is for, as a hash. It came by a port of this side.
fn steer(frame: &[u8], steering: Steering, side: Option<&CorePortSide>) -> u32 {
    let Ok(layers) = Layers::parse(frame) else {
        return 0;
    };
    if steering == Steering::FiveTuple {
        return flow_hash(frame, &layers);
    }
    let from_client = side == Some(&CorePortSide::One(Direction::ToServer));
    let ports = layers.ports(frame).unwrap_or_default();
    let port = if from_client { ports.0 } else { ports.1 };
    let address = if let Some(header) = layers.ipv4(frame) {
        let address = match from_client {
            true => header.source(),
            false => header.destination(),
        };
        u64::from(address.to_bits())
    } else if let Some(header) = layers.ipv6(frame) {
        let address = match from_client {
            true => header.source(),
            false => header.destination(),
        };
        let bits = address.to_bits();
        (bits >> 64) as u64 ^ bits as u64
    } else {
        0
    };
    let key = address ^ u64::from(port) << 32;
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}
