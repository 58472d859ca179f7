//! The programs that hosts run, by kind.

mod echo;
pub mod rpc;
mod ticker;

use std::any::Any;
use std::collections::BTreeMap;

use nf_core::check::{JsonPath, Problems, check_shape};
use nf_core::wire::InterfaceAddr;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;
use workload::Endpoint;

pub use echo::Echo;
pub use ticker::{Ticker, TickerResults};

/// A program on a host, and what it has to say of its run.
pub trait Program: Endpoint + Any + Send {
    /// What it has measured so far.
    fn results(&self) -> Value {
        Value::Null
    }
}

/// A program, or why there is none.
pub type Built = Result<Box<dyn Program>, String>;

/// What a program is built from, beside its settings.
#[derive(Debug, Clone, Copy)]
pub struct ProgramContext<'a> {
    /// The host's name.
    pub host: &'a str,
    /// The host's addresses.
    pub addresses: &'a [InterfaceAddr],
    /// Seed of its chance: that of the host, another in each of its lives.
    pub seed: u64,
    /// How often the host has started before.
    pub life: u32,
}

/// A kind of program: what `"kind": NAME` refers to.
pub trait ProgramKind: Send + Sync {
    /// The word in the scenario, snake case.
    fn name(&self) -> &'static str;

    /// What it does, in one line.
    fn summary(&self) -> &'static str;

    /// JSON schema of its settings.
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;

    /// Adds every mistake in its settings to `problems`, with paths below `path`.
    fn check(&self, settings: &Value, path: &JsonPath, problems: &mut Problems);

    /// Builds it from settings that passed the check; says why it cannot.
    fn build(&self, settings: &Value, context: &ProgramContext<'_>) -> Built;
}

/// A kind of program whose settings are a type.
pub struct Kind<T> {
    /// The word in the scenario, snake case.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Adds the mistakes that the type does not show.
    pub check: fn(&T, &JsonPath, &mut Problems),
    /// Builds it; says why it cannot.
    pub build: fn(T, &ProgramContext<'_>) -> Built,
}

impl<T: DeserializeOwned + JsonSchema> ProgramKind for Kind<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }

    fn check(&self, settings: &Value, path: &JsonPath, problems: &mut Problems) {
        if let Some(read) = check_shape::<T>(settings, path, problems) {
            (self.check)(&read, path, problems);
        }
    }

    fn build(&self, settings: &Value, context: &ProgramContext<'_>) -> Built {
        let read = T::deserialize(settings).map_err(|error| error.to_string())?;
        (self.build)(read, context)
    }
}

/// The kinds of programs there are, by name.
#[derive(Default)]
pub struct ProgramRegistry(BTreeMap<&'static str, Box<dyn ProgramKind>>);

impl ProgramRegistry {
    /// No kinds yet.
    pub fn new() -> ProgramRegistry {
        ProgramRegistry::default()
    }

    /// Adds a kind; one of the same name is replaced.
    pub fn add(&mut self, kind: impl ProgramKind + 'static) -> &mut ProgramRegistry {
        self.0.insert(kind.name(), Box::new(kind));
        self
    }

    /// The kind of that name.
    pub fn get(&self, name: &str) -> Option<&dyn ProgramKind> {
        self.0.get(name).map(|kind| &**kind)
    }

    /// All kinds, by name.
    pub fn iter(&self) -> impl Iterator<Item = &dyn ProgramKind> {
        self.0.values().map(|kind| &**kind)
    }
}

impl std::fmt::Debug for ProgramRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The kinds that come with the simulator.
pub fn builtin() -> ProgramRegistry {
    let mut registry = ProgramRegistry::new();
    registry
        .add(echo::kind())
        .add(ticker::kind())
        .add(rpc::client())
        .add(rpc::server())
        .add(rpc::laedge());
    registry
}

/// The host's first address of any version, for programs that need no more.
pub(crate) fn first_address(context: &ProgramContext<'_>) -> Result<std::net::IpAddr, String> {
    let first = context.addresses.first();
    first
        .map(InterfaceAddr::address)
        .ok_or_else(|| format!("the host {} has no address", context.host))
}
