//! The control side: the settings, the servers' coming and going, and what is shown of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nf_core::chain::{
    BuildContext, BuildError, Claims, CommandError, ReloadError, Stage, StageControl, StagePort,
    read_arguments,
};
use nf_core::check::{JsonPath, read_checked, read_settings};
use nf_core::clock::{Bucket, Clock};
use nf_core::packet::Batch;
use nf_core::publish::Publisher;
use serde::Deserialize;
use serde_json::{Value, json};

use super::config::{
    CloneConfig, FilterMode, Groups, Mode, OnServerFail, PolicyName, ServerConfig, StateScope,
    WireFormat,
};
use super::epoch;
use super::plain::Sweep;
use super::services;
use super::shard::{CloneShard, Work};
use super::version::{Filters, Made, Shared, Version};
use crate::groups::{MAX_SERVERS, ServerSet};
use crate::id::{CompatIds, IdSource, next_epoch};
use crate::messages::Messages;
use crate::plain::Plain;
use crate::random::Random;
use crate::servers::{Bar, CoreServers, ServerTotals, Servers};

/// How long a command waits until all cores act on a change.
const FENCE: Duration = Duration::from_millis(20);

/// How long the answers of a server that has been removed still pass, nanoseconds.
const FAREWELL_NS: u64 = 10_000_000_000;

/// A drained server that has answered no request for so long has nothing more to answer, nanoseconds. That
/// more went to it than was answered means nothing: it drops clones without a word.
const QUIET_NS: u64 = 1_000_000_000;

const VERBS: [&str; 8] = [
    "servers", "show", "add", "remove", "drain", "restore", "policy", "selftest",
];

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
}

impl CloneControl {
    pub fn new(config: CloneConfig, context: &BuildContext) -> Result<CloneControl, BuildError> {
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

    /// Changes the settings by a command, and waits until the cores follow.
    fn change(&mut self, config: CloneConfig) -> Result<Value, CommandError> {
        let value =
            serde_json::to_value(&config).map_err(|e| CommandError::Failed(e.to_string()))?;
        let checked = read_settings(&value, |config: &CloneConfig, path: &JsonPath, problems| {
            config.check(path, None, problems);
        });
        self.apply(checked.map_err(CommandError::Arguments)?)
            .map_err(CommandError::Failed)?;
        self.publisher.wait_adopted(FENCE).ok();
        Ok(self.servers())
    }

    fn add(&mut self, arguments: &Value) -> Result<Value, CommandError> {
        let server: ServerConfig = read_arguments(arguments)?;
        let mut config = self.config.clone();
        config.servers.push(server);
        self.change(config)
    }

    fn remove(&mut self, arguments: &Value) -> Result<Value, CommandError> {
        let sid = self.sid_of(arguments)?;
        let mut config = self.config.clone();
        config.servers.retain(|server| server.sid != sid);
        self.change(config)
    }

    fn set_drained(&mut self, arguments: &Value, drained: bool) -> Result<Value, CommandError> {
        let sid = self.sid_of(arguments)?;
        let servers = &self.shared.servers;
        servers.bar(sid, Bar::Drained, drained);
        if drained {
            let totals = ServerTotals::sum(self.shared.cores.iter(), sid);
            self.drained.insert(sid, (totals, self.clock.now()));
        } else {
            self.drained.remove(&sid);
            servers.bar(sid, Bar::Unwilling, false);
            servers.reset(sid);
        }
        Ok(self.servers())
    }

    fn sid_of(&self, arguments: &Value) -> Result<u8, CommandError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Which {
            sid: u8,
        }
        let Which { sid } = read_arguments(arguments)?;
        if !self.config.servers.iter().any(|server| server.sid == sid) {
            let known: Vec<String> = self
                .config
                .servers
                .iter()
                .map(|server| server.sid.to_string())
                .collect();
            return Err(CommandError::Arguments(format!(
                "there is no server {sid}: {}",
                known.join(", ")
            )));
        }
        Ok(sid)
    }

    fn policy(&mut self, arguments: &Value) -> Result<Value, CommandError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Change {
            policy: Option<PolicyName>,
            filter: Option<bool>,
            filter_mode: Option<FilterMode>,
            idle_threshold: Option<u16>,
            jsq_probe: Option<f64>,
            state_max_age_us: Option<u64>,
            clone_budget_pps: Option<u32>,
        }
        let change: Change = read_arguments(arguments)?;
        let mut config = self.config.clone();
        if let Some(policy) = change.policy {
            config.policy = policy;
        }
        if let Some(filter) = change.filter {
            config.filter = filter;
        }
        if let Some(mode) = change.filter_mode {
            config.filter_mode = mode;
        }
        if let Some(threshold) = change.idle_threshold {
            config.idle_threshold = threshold;
        }
        if let Some(probe) = change.jsq_probe {
            config.jsq_probe = probe;
        }
        if let Some(age) = change.state_max_age_us {
            config.state_max_age_us = age;
        }
        if let Some(budget) = change.clone_budget_pps {
            config.clone_budget_pps = budget;
        }
        self.change(config)?;
        let config = &self.config;
        Ok(json!({
            "policy": config.policy,
            "filter": config.filter,
            "filter_mode": config.filter_mode,
            "idle_threshold": config.idle_threshold,
            "jsq_probe": config.jsq_probe,
            "state_max_age_us": config.state_max_age_us,
            "clone_budget_pps": config.clone_budget_pps,
        }))
    }

    /// What is known of each server.
    fn servers(&self) -> Value {
        let live = self.shared.servers.live();
        let now = self.clock.now();
        let each = self.config.servers.iter().map(|server| {
            let sid = server.sid;
            let totals = ServerTotals::sum(self.shared.cores.iter(), sid);
            let heard = self.shared.servers.heard(sid);
            let age_us = (heard.at_us != 0).then(|| (now / 1000).saturating_sub(heard.at_us));
            json!({
                "sid": sid,
                "ip": server.ip,
                "state": self.state(sid, totals),
                "live": live.has(sid),
                "load": heard.load,
                "last_seen_us": age_us,
                "fwd_orig": totals.originals,
                "fwd_clone": totals.clones,
                "resp": totals.responses,
                "answers_pings": self.shared.servers.ponged(sid) > 0,
                "mac": self.mac(sid, server),
            })
        });
        json!({ "servers": each.collect::<Vec<_>>() })
    }

    fn mac(&self, sid: u8, server: &ServerConfig) -> Option<String> {
        let known = self.shared.servers.mac(sid).map(nf_core::wire::MacAddr);
        server.mac.or(known).map(|mac| mac.to_string())
    }

    /// A word for what a server is now.
    fn state(&self, sid: u8, totals: ServerTotals) -> &'static str {
        let servers = &self.shared.servers;
        if servers.is_barred(sid, Bar::Down) {
            "down"
        } else if servers.is_barred(sid, Bar::Drained) {
            let quiet = self.drained.get(&sid).is_none_or(|&(last, since)| {
                last == totals && self.clock.now().saturating_sub(since) >= QUIET_NS
            });
            let answered = totals.originals.wrapping_add(totals.clones) == totals.responses;
            if quiet || answered {
                "drained"
            } else {
                "draining"
            }
        } else if servers.is_barred(sid, Bar::Unwilling) {
            "unwilling"
        } else if servers.is_barred(sid, Bar::Unresolved) {
            "unresolved"
        } else {
            "up"
        }
    }

    /// Whether answers come back through us: without, cloning works and filtering never happens.
    fn selftest(&self) -> Value {
        let pings = self
            .publisher
            .with_newest(|version| version.pace.interval_ns != 0)
            && !self.config.vip.is_empty();
        let missing: Vec<u8> = self
            .config
            .servers
            .iter()
            .map(|server| server.sid)
            .filter(|&sid| self.shared.servers.ponged(sid) == 0)
            .collect();
        let result = match (pings, missing.is_empty()) {
            (false, _) => "off",
            (true, true) => "passed",
            (true, false) => "waiting",
        };
        json!({ "result": result, "no_pong_from": missing })
    }

    fn show(&self) -> Value {
        let mut shown = self.status();
        if let (Value::Object(into), Value::Object(servers)) = (&mut shown, self.servers()) {
            into.extend(servers);
        }
        shown
    }
}

/// The pairs of candidates.
fn groups(config: &CloneConfig, places: &[u8], live: &ServerSet) -> Box<[(u8, u8)]> {
    let shrinks = config.on_server_fail == OnServerFail::Shrink;
    let counts = |sid: u8| !shrinks || live.has(sid);
    match &config.groups {
        Groups::List(list) => list
            .iter()
            .filter(|[first, second]| counts(*first) && counts(*second))
            .map(|[first, second]| (*first, *second))
            .collect(),
        Groups::Auto => {
            let sids: Vec<u8> = places.iter().copied().filter(|&sid| counts(sid)).collect();
            match sids[..] {
                [] => Box::default(),
                // The only one is its own partner.
                [only] => Box::new([(only, only)]),
                _ => (0..crate::groups::count(sids.len()))
                    .map(|group| {
                        let (first, second) = crate::groups::pair(group, sids.len());
                        (sids[first], sids[second])
                    })
                    .collect(),
            }
        }
    }
}

/// The places of groups under new settings: who stays keeps its place, who is new takes one that is
/// free, or a further one.
fn placed(places: &[u8], config: &CloneConfig) -> Vec<u8> {
    let exists = |sid: u8| config.servers.iter().any(|server| server.sid == sid);
    if config.on_server_fail == OnServerFail::Shrink {
        let mut sids: Vec<u8> = config.servers.iter().map(|server| server.sid).collect();
        sids.sort_unstable();
        return sids;
    }
    let mut places = places.to_vec();
    for server in &config.servers {
        if places.contains(&server.sid) {
            continue;
        }
        match places.iter().position(|&sid| !exists(sid)) {
            Some(free) => places[free] = server.sid,
            None => places.push(server.sid),
        }
    }
    places.truncate(MAX_SERVERS);
    places
}

/// The secret of the hashes of `wire: none`; in virtual time, where every run is the same, none.
fn secret(clock: &Clock) -> [u64; 2] {
    match clock {
        Clock::Virtual(_) => [1, 2],
        Clock::Tsc(_) | Clock::Kernel(_) => [Random::fresh_seed(), Random::fresh_seed()],
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
            ids: IdSource::new(core.min(usize::from(u8::MAX)) as u8),
            compat_ids: CompatIds::new(core as u32, self.cores.max(1) as u32),
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
        let config: CloneConfig = read_checked(config).map_err(ReloadError::Refused)?;
        let old = &self.config;
        let fixed = [
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
        ];
        let fixed: Vec<String> = fixed
            .iter()
            .filter(|(_, changed)| *changed)
            .map(|(key, _)| (*key).to_owned())
            .collect();
        if !fixed.is_empty() {
            return Err(ReloadError::NeedsRestart(fixed));
        }
        self.apply(config).map_err(ReloadError::Refused)
    }

    fn command(&mut self, verb: &str, arguments: &Value) -> Result<Value, CommandError> {
        match verb {
            "servers" => Ok(self.servers()),
            "show" => Ok(self.show()),
            "add" => self.add(arguments),
            "remove" => self.remove(arguments),
            "drain" => self.set_drained(arguments, true),
            "restore" => self.set_drained(arguments, false),
            "policy" => self.policy(arguments),
            "selftest" => Ok(self.selftest()),
            _ => Err(CommandError::Unknown {
                verb: verb.to_owned(),
                known: VERBS.to_vec(),
            }),
        }
    }

    fn status(&self) -> Value {
        let (groups, filter) = self.publisher.with_newest(|version| {
            (
                version.groups.len(),
                version.filters.given.bytes() + version.filters.chosen.bytes(),
            )
        });
        json!({
            "policy": self.config.policy,
            "filter": self.config.filter,
            "mode": self.config.mode,
            "vip": self.config.vip,
            "l4_ports": self.config.l4_ports,
            "switch_id": self.config.switch_id,
            "epoch": self.made.epoch,
            "cfg_gen": self.made.cfg_gen,
            "groups": groups,
            "live": self.shared.servers.live().len(),
            "configured": self.config.servers.len(),
            "filter_bytes": filter,
            "selftest": self.selftest(),
            "requests": self.shared.plain.as_ref().map(|plain| {
                json!({ "slots": plain.table().slots(), "in_use": plain.table().occupied() })
            }),
        })
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
            self.publish();
        }
    }
}
