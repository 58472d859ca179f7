//! What a function crate gives to the appliance: the kind of its stage, and the stage's control side.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

use super::actor::Actors;
use super::{Claims, Stage};
use crate::check::{CheckContext, JsonPath, Problems, Side};
use crate::clock::Clock;
use crate::dpdk::{Eal, Mempool, TxChecksums};
use crate::publish::Hub;
use crate::telemetry::CounterDesc;

/// A kind of stage: what `"stage": NAME` in the config refers to. This is how the framework sees
/// it; a stage's crate writes a [`StageType`](super::StageType).
pub trait StageKind: Send + Sync {
    /// The word in the config, snake case.
    fn name(&self) -> &'static str;

    /// What it does, in one line, for `sluice schema` and error messages.
    fn summary(&self) -> &'static str;

    /// JSON schema of its settings.
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;

    /// Adds every mistake in its settings to `problems`, with paths below `path`.
    fn check(
        &self,
        config: &Value,
        path: &JsonPath,
        context: &CheckContext,
        problems: &mut Problems,
    );

    /// Its counters, which are the same for every stage of the kind.
    fn counters(&self) -> &'static [CounterDesc] {
        &[]
    }

    /// Reasons for which it drops packets, snake case, the same for every stage of the kind.
    fn reasons(&self) -> &'static [&'static str];

    /// Builds the control side of one stage from settings that passed [`check`](Self::check).
    fn build(
        &self,
        config: &Value,
        context: &BuildContext,
    ) -> Result<Box<dyn StageControl>, BuildError>;
}

/// A port as stages see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagePort {
    /// Its name in the config; its index in the list is what [`Meta::egress`](crate::packet::Meta)
    /// means.
    pub name: String,
    /// Who is behind it.
    pub side: Side,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Largest layer-3 packet, bytes.
    pub mtu: u16,
    /// Whether it is attached and has carrier.
    pub up: bool,
    /// The checksums that packets may leave to it, none but those that its settings ask for (see
    /// [`Packet::leave_udp_checksum`](crate::packet::Packet::leave_udp_checksum)); `None` while there is
    /// no device.
    pub tx_checksums: Option<TxChecksums>,
}

/// What a stage may use when it is built.
#[derive(Debug, Clone)]
pub struct BuildContext {
    /// The stage's own name.
    pub name: String,
    /// The ports, by index.
    pub ports: Vec<StagePort>,
    /// Number of packet cores: how many shards will be asked for.
    pub cores: usize,
    /// The running environment.
    pub eal: &'static Eal,
    /// The packet pool.
    pub pool: Mempool,
    /// The clock whose nanoseconds the stage sees.
    pub clock: Clock,
    /// Announces to the cores that something was published.
    pub hub: Hub,
    /// Ports of the appliance's own addresses that stages serve; one set for the chain.
    pub claims: Claims,
    /// For a stage that makes actors, or sends to them; `None` in an appliance without a scheduler.
    pub actors: Option<Actors>,
}

/// A stage could not be built.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct BuildError(pub String);

/// New settings could not be taken over; the old ones are still in force.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// These settings can only change with a restart.
    #[error("needs a restart to change: {}", .0.join(", "))]
    NeedsRestart(Vec<String>),
    /// The settings were refused.
    #[error("{0}")]
    Refused(String),
}

impl ReloadError {
    /// Refuses changes of settings that are fixed until a restart: each with its key, and whether it
    /// is to change.
    pub fn unless_fixed(settings: &[(&str, bool)]) -> Result<(), ReloadError> {
        let changed = settings.iter().filter(|(_, changed)| *changed);
        let keys: Vec<String> = changed.map(|(key, _)| (*key).to_owned()).collect();
        match keys.is_empty() {
            true => Ok(()),
            false => Err(ReloadError::NeedsRestart(keys)),
        }
    }
}

/// A command was refused; nothing was changed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The stage has no such verb.
    #[error("there is no command {verb:?} here; there is {}", .known.join(", "))]
    Unknown {
        /// The verb given.
        verb: String,
        /// The verbs there are.
        known: Vec<&'static str>,
    },
    /// The arguments are wrong.
    #[error("{0}")]
    Arguments(String),
    /// It could not be done.
    #[error("{0}")]
    Failed(String),
}

impl CommandError {
    /// There is no such verb, but these.
    pub fn unknown(verb: &str, known: &[&'static str]) -> CommandError {
        CommandError::Unknown {
            verb: verb.to_owned(),
            known: known.to_vec(),
        }
    }
}

/// Reads a command's arguments; `null` counts as none.
pub fn read_arguments<T: DeserializeOwned>(arguments: &Value) -> Result<T, CommandError> {
    let none = Value::Object(Map::new());
    let arguments = if arguments.is_null() {
        &none
    } else {
        arguments
    };
    serde_path_to_error::deserialize(arguments)
        .map_err(|error| CommandError::Arguments(error.to_string()))
}

/// The control side of one stage. Lives on the control thread; may open files, start threads and
/// wait, shortly.
pub trait StageControl: Send {
    /// The shard of one core. Called once per core at start, and again when a core starts anew.
    fn shard(&mut self, core: usize) -> Box<dyn Stage>;

    /// Takes over new settings, which passed the kind's check, or leaves all as it is.
    fn reload(&mut self, config: &Value) -> Result<(), ReloadError> {
        let _ = config;
        Err(ReloadError::NeedsRestart(vec![
            "all of its settings".into(),
        ]))
    }

    /// Runs `sluice ctl STAGE VERB ...`.
    fn command(&mut self, verb: &str, arguments: &Value) -> Result<Value, CommandError> {
        let _ = arguments;
        Err(CommandError::unknown(verb, &[]))
    }

    /// What the API shows of it.
    fn status(&self) -> Value {
        Value::Null
    }

    /// Called by the control thread some ten times a second.
    fn tick(&mut self) {}

    /// A port went, came back, or changed its link or address.
    fn ports_changed(&mut self, ports: &[StagePort]) {
        let _ = ports;
    }

    /// The cores have stopped: write out what is buffered.
    fn stop(&mut self) {}
}

/// The kinds of stages that a program knows, by name.
#[derive(Default)]
pub struct StageRegistry(BTreeMap<&'static str, Box<dyn StageKind>>);

impl StageRegistry {
    /// No kinds yet.
    pub fn new() -> StageRegistry {
        StageRegistry::default()
    }

    /// Adds a kind; one of the same name is replaced.
    pub fn add(&mut self, kind: impl StageKind + 'static) -> &mut StageRegistry {
        self.0.insert(kind.name(), Box::new(kind));
        self
    }

    /// The kind of that name.
    pub fn get(&self, name: &str) -> Option<&dyn StageKind> {
        self.0.get(name).map(|kind| &**kind)
    }

    /// All kinds, by name.
    pub fn iter(&self) -> impl Iterator<Item = &dyn StageKind> {
        self.0.values().map(|kind| &**kind)
    }
}

impl std::fmt::Debug for StageRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
