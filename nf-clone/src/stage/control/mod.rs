//! The control side: the settings, and the servers' coming and going.

mod commands;
mod places;
mod show;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nf_core::chain::{
    BuildContext, BuildError, Claims, CommandError, ReloadError, Stage, StageControl, StagePort,
    read_reloaded,
};
use nf_core::clock::{Bucket, Clock};
use nf_core::packet::Batch;
use nf_core::publish::Publisher;
use serde_json::Value;

use super::config::{CloneConfig, Mode, OnServerFail, ServerConfig, StateScope, WireFormat};
use super::epoch;
use super::plain::Sweep;
use super::services;
use super::shard::{CloneShard, Work};
use super::version::{Filters, Made, Shared, Version};
use crate::groups::ServerSet;
use crate::id::{CompatIds, IdSource, next_epoch};
use crate::messages::Messages;
use crate::plain::Plain;
use crate::random::Random;
use crate::servers::{Bar, CoreServers, ServerTotals, Servers};
use places::{groups, placed};

/// How long the answers of a server that has been removed still pass, nanoseconds.
const FAREWELL_NS: u64 = 10_000_000_000;

/// The control side.
#[derive(Debug)]
pub(super) struct CloneControl {
    config: CloneConfig,
    ports: Vec<StagePort>,
    cores: usize,
    clock: Clock,
    claims: Claims,
    shared: Arc<Shared>,
    publisher: Publisher<Version>,
    made: Made,
    /// The SIDs that groups are made of. A place keeps its SID when its server is removed, so that there
    /// are as many groups as before.
    places: Vec<u8>,
    /// Servers that have been removed, and until when their answers pass.
    leaving: Vec<(ServerConfig, u64)>,
    /// Who was live when the groups were last made; what matters when they shrink.
    live: ServerSet,
    /// Of drained servers: what was sent and answered when last looked at, and since when it is that.
    drained: BTreeMap<u8, (ServerTotals, u64)>,
    /// The same for all cores, so that their ids lie beside each other.
    before_first: u64,
}

impl CloneControl {
    pub fn new(config: CloneConfig, context: &BuildContext) -> Result<CloneControl, BuildError> {
        can_offload(&config, &context.ports).map_err(BuildError)?;
        let epoch =
            epoch::begin(config.epoch_file.as_deref(), &context.clock).map_err(BuildError)?;
        let (tables, slots_log2) = match config.wire {
            // It has no filter.
            WireFormat::None => (1, 10),
            WireFormat::V1 | WireFormat::Compat28 => (config.tables, config.slots_log2),
        };
        let filters = Filters::new(tables, slots_log2)
            .ok_or_else(|| BuildError("not enough memory for the filter tables".into()))?;
        let now = context.clock.wall_clock().unix_ns(context.clock.now());
        let made = Made {
            filters: Arc::new(filters),
            epoch,
            cfg_gen: 1,
            instance: crate::id::hashed_index(now ^ u64::from(epoch) << 48) as u32,
        };
        let servers = Arc::new(Servers::new());
        for server in &config.servers {
            servers.configure(server.sid, true);
            let unresolved = config.mode == Mode::Inline && server.mac.is_none();
            servers.bar(server.sid, Bar::Unresolved, unresolved);
        }
        let mut places: Vec<u8> = config.servers.iter().map(|server| server.sid).collect();
        places.sort_unstable();
        let live = servers.configured();
        let shared = Arc::new(Shared {
            servers,
            cores: (0..context.cores).map(|_| CoreServers::default()).collect(),
            wants_epoch: AtomicBool::new(false),
            plain: (config.wire == WireFormat::None)
                .then(|| Plain::new(&services::limits(&config), secret(&context.clock))),
        });
        let version = Version::new(
            &config,
            &config.servers,
            &groups(&config, &places, &live),
            (&context.ports, context.cores),
            made.clone(),
        );
        claim(&context.claims, &config.ports(), true);
        Ok(CloneControl {
            publisher: Publisher::new(&context.hub, version),
            ports: context.ports.clone(),
            cores: context.cores,
            clock: context.clock.clone(),
            claims: context.claims.clone(),
            shared,
            made,
            places,
            leaving: Vec::new(),
            live,
            drained: BTreeMap::new(),
            before_first: before_first(&context.clock),
            config,
        })
    }

    /// Publishes what the settings are now.
    fn publish(&mut self) {
        let now = self.clock.now();
        self.leaving.retain(|(_, until)| *until > now);
        let servers: Vec<ServerConfig> = self
            .config
            .servers
            .iter()
            .chain(self.leaving.iter().map(|(server, _)| server))
            .cloned()
            .collect();
        self.live = self.alive();
        let groups = groups(&self.config, &self.places, &self.live);
        let before = self.publisher.with_newest(|version| version.groups.len());
        if before != groups.len() {
            self.made.cfg_gen = self.made.cfg_gen.checked_add(1).unwrap_or(1);
        }
        self.publisher.publish(Version::new(
            &self.config,
            &servers,
            &groups,
            (&self.ports, self.cores),
            self.made.clone(),
        ));
    }

    /// The servers that count when groups shrink: those that are up.
    fn alive(&self) -> ServerSet {
        let mut alive = self.shared.servers.configured();
        let down: Vec<u8> = alive
            .iter()
            .filter(|&sid| self.shared.servers.is_barred(sid, Bar::Down))
            .collect();
        for sid in down {
            alive.remove(sid);
        }
        alive
    }

    /// Makes these the settings, which passed their check.
    fn apply(&mut self, config: CloneConfig) -> Result<(), String> {
        can_offload(&config, &self.ports)?;
        let old = &self.config;
        let refilter = (old.tables, old.slots_log2, old.filter_mode, old.slot_index)
            != (
                config.tables,
                config.slots_log2,
                config.filter_mode,
                config.slot_index,
            );
        if refilter {
            let filters = Filters::new(config.tables, config.slots_log2)
                .ok_or("not enough memory for the filter tables")?;
            self.roll_epoch(config.epoch_file.as_deref())?;
            self.made.filters = Arc::new(filters);
        }
        let until = self.clock.now().saturating_add(FAREWELL_NS);
        for server in &self.config.servers {
            let stays = config
                .servers
                .iter()
                .any(|other| other.sid == server.sid && other.ip == server.ip);
            if !stays {
                self.shared.servers.configure(server.sid, false);
                let reused = config.servers.iter().any(|other| other.sid == server.sid);
                if !reused {
                    self.leaving.push((server.clone(), until));
                }
            }
        }
        self.leaving
            .retain(|(left, _)| !config.servers.iter().any(|other| other.sid == left.sid));
        for server in &config.servers {
            let is_new = !self.shared.servers.configured().has(server.sid);
            self.shared.servers.configure(server.sid, true);
            if is_new {
                let unresolved = config.mode == Mode::Inline && server.mac.is_none();
                self.shared
                    .servers
                    .bar(server.sid, Bar::Unresolved, unresolved);
            }
        }
        self.places = placed(&self.places, &config);
        if self.config.ports() != config.ports() {
            claim(&self.claims, &self.config.ports(), false);
            claim(&self.claims, &config.ports(), true);
        }
        self.config = config;
        self.publish();
        Ok(())
    }

    fn roll_epoch(&mut self, file: Option<&Path>) -> Result<(), String> {
        let epoch = next_epoch(self.made.epoch);
        if let Some(file) = file {
            epoch::store(file, epoch)?;
        }
        self.made.epoch = epoch;
        Ok(())
    }
}

/// Where ids may begin: of all that there are, the first sixteenth.
const FIRST_IDS: u64 = (1 << 36) - 1;

/// After which id the first is given: in virtual time, where every run is the same, 0. Anywhere else a
/// random one, so that ids of the last run, whose answers may still come, are not given again even if the
/// epoch should be the same, and where there are no epochs.
fn before_first(clock: &Clock) -> u64 {
    match clock {
        Clock::Virtual(_) => 0,
        Clock::Tsc(_) | Clock::Kernel(_) => Random::fresh_seed(),
    }
}

/// The secret of the hashes of `wire: none`; in virtual time, where every run is the same, none.
fn secret(clock: &Clock) -> [u64; 2] {
    match clock {
        Clock::Virtual(_) => [1, 2],
        Clock::Tsc(_) | Clock::Kernel(_) => [Random::fresh_seed(), Random::fresh_seed()],
    }
}

/// Whether the ports do what `udp_csum` leaves to them; those without a device are asked when they have one.
fn can_offload(config: &CloneConfig, ports: &[StagePort]) -> Result<(), String> {
    match config.lacks_offload(ports) {
        None => Ok(()),
        Some((port, offered)) => Err(format!(
            "udp_csum: \"offload\" needs ports that fill in the checksums of IPv4 and UDP, and port {:?} \
             offers: {offered}",
            port.name
        )),
    }
}

fn claim(claims: &Claims, ports: &[u16], claimed: bool) {
    for &port in ports {
        claims.set_udp(port, claimed);
    }
}

impl StageControl for CloneControl {
    fn shard(&mut self, core: usize) -> Box<dyn Stage> {
        let loads = match self.config.state_scope {
            StateScope::Shared => self.shared.servers.clone(),
            StateScope::PerCore => Arc::new(Servers::new()),
        };
        let ttl_ns = u64::from(self.config.msg_ttl_us) * 1000;
        let work = Work {
            core,
            cores: self.cores.max(1) as u64,
            loads,
            ids: IdSource::starting_after(
                core.min(usize::from(u8::MAX)) as u8,
                self.before_first & FIRST_IDS,
            ),
            compat_ids: CompatIds::starting_at(
                core as u32,
                self.cores.max(1) as u32,
                self.before_first as u32,
            ),
            epoch: self.made.epoch,
            messages: Messages::new(self.config.msg_table_log2, ttl_ns),
            budget: Bucket::new(),
            replies: Bucket::new(),
            looks: Vec::with_capacity(Batch::CAPACITY),
            sweep: Sweep::new(core, self.cores, &self.config),
        };
        Box::new(CloneShard::new(
            self.publisher.reader(),
            self.shared.clone(),
            work,
        ))
    }

    fn reload(&mut self, config: &Value) -> Result<(), ReloadError> {
        let config: CloneConfig = read_reloaded(config)?;
        let old = &self.config;
        ReloadError::unless_fixed(&[
            ("wire", old.wire != config.wire),
            ("mode", old.mode != config.mode),
            ("state_scope", old.state_scope != config.state_scope),
            (
                "msg_table_log2",
                old.msg_table_log2 != config.msg_table_log2,
            ),
            ("epoch_file", old.epoch_file != config.epoch_file),
            ("requests_log2", old.requests_log2 != config.requests_log2),
            (
                "answer_timeout_us",
                old.answer_timeout_us != config.answer_timeout_us,
            ),
            ("forget_us", old.forget_us != config.forget_us),
        ])?;
        self.apply(config).map_err(ReloadError::Refused)
    }

    fn command(&mut self, verb: &str, arguments: &Value) -> Result<Value, CommandError> {
        self.run_command(verb, arguments)
    }

    fn status(&self) -> Value {
        self.summary()
    }

    fn tick(&mut self) {
        let mut publish = false;
        if self.shared.wants_epoch.swap(false, Ordering::Relaxed) {
            let file = self.config.epoch_file.clone();
            // Without a file the next start takes its epoch from the time of day all the same.
            publish |= self.roll_epoch(file.as_deref()).is_ok();
        }
        if self.config.on_server_fail == OnServerFail::Shrink && self.alive() != self.live {
            publish = true;
        }
        let now = self.clock.now();
        for (sid, (last, since)) in &mut self.drained {
            let totals = ServerTotals::sum(self.shared.cores.iter(), *sid);
            if totals != *last {
                (*last, *since) = (totals, now);
            }
        }
        if self.leaving.iter().any(|(_, until)| *until <= now) {
            publish = true;
        }
        if publish {
            self.publish();
        }
    }

    fn ports_changed(&mut self, ports: &[StagePort]) {
        if self.ports != ports {
            self.ports = ports.to_vec();
            if let Err(why) = can_offload(&self.config, ports) {
                tracing::warn!("{why}: checksums are mended here meanwhile");
            }
            self.publish();
        }
    }
}
