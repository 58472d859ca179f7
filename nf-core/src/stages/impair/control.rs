//! The control side of `impair`: checks settings, publishes them to the cores, runs its commands.

use std::hash::{BuildHasher, Hasher, RandomState};

use serde_json::{Map, Value, json};

use super::config::ImpairConfig;
use super::plan::Plan;
use super::shard::{COUNTERS, ImpairShard, REASONS};
use crate::chain::{
    BuildContext, BuildError, CommandError, ReloadError, Stage, StageControl, StageType,
    read_reloaded,
};
use crate::check::{CheckContext, JsonPath, Problems, read_settings};
use crate::publish::Publisher;
use crate::telemetry::CounterDesc;

const VERBS: &[&str] = &["set", "clear", "reseed", "status"];

/// The kind `impair`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImpairKind;

impl StageType for ImpairKind {
    const NAME: &'static str = "impair";
    const SUMMARY: &'static str =
        "loses, duplicates, corrupts, delays and reorders packets and limits their rate";
    const REASONS: &'static [&'static str] = REASONS;
    const COUNTERS: &'static [CounterDesc] = COUNTERS;
    type Settings = ImpairConfig;

    fn check(config: &ImpairConfig, path: &JsonPath, _: &CheckContext, problems: &mut Problems) {
        config.check(path, problems);
    }

    fn build(
        config: ImpairConfig,
        context: &BuildContext,
    ) -> Result<Box<dyn StageControl>, BuildError> {
        let seed = config.seed.unwrap_or_else(fresh_seed);
        let plan = Plan::new(&config, seed, 0).map_err(|error| BuildError(error.to_string()))?;
        if config.seed.is_none() {
            tracing::info!(stage = context.name, seed, "impairments by a seed of today");
        }
        Ok(Box::new(ImpairControl {
            most: config.max_held as usize,
            publisher: Publisher::new(&context.hub, plan),
            config,
            seed,
            epoch: 0,
        }))
    }
}

/// A seed that nobody chose; short enough to be copied by hand.
fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 32
}

struct ImpairControl {
    config: ImpairConfig,
    seed: u64,
    epoch: u64,
    most: usize,
    publisher: Publisher<Plan>,
}

impl ImpairControl {
    /// Takes over settings; chance starts anew when they name another seed.
    fn take_over(&mut self, config: ImpairConfig) -> Result<(), String> {
        let seed = config.seed.unwrap_or(self.seed);
        let epoch = self.epoch + u64::from(seed != self.seed);
        let plan = Plan::new(&config, seed, epoch).map_err(|error| error.to_string())?;
        self.publisher.publish(plan);
        (self.config, self.seed, self.epoch) = (config, seed, epoch);
        Ok(())
    }

    /// Settings with other values at some places: `"to_server.loss.probability": 0.1`.
    fn set(&mut self, arguments: &Value) -> Result<(), CommandError> {
        let changes = arguments.as_object().filter(|changes| !changes.is_empty());
        let changes = changes.ok_or_else(|| {
            CommandError::Arguments(
                "say what to set, such as both.loss.probability=0.01 (null takes it away)".into(),
            )
        })?;
        let mut document = json!(self.config);
        for (place, value) in changes {
            put(&mut document, place, value.clone()).map_err(CommandError::Arguments)?;
        }
        let config =
            read_settings(&document, ImpairConfig::check).map_err(CommandError::Arguments)?;
        if config.max_held != self.config.max_held {
            return Err(CommandError::Failed(
                "max_held needs a restart to change".into(),
            ));
        }
        self.take_over(config).map_err(CommandError::Arguments)
    }
}

/// Puts a value at a place such as `to_server.loss`; null takes it away.
fn put(document: &mut Value, place: &str, value: Value) -> Result<(), String> {
    let (parents, key) = match place.rsplit_once('.') {
        Some((parents, key)) => (Some(parents), key),
        None => (None, place),
    };
    let mut inside = document;
    for parent in parents.into_iter().flat_map(|path| path.split('.')) {
        let members = inside
            .as_object_mut()
            .ok_or_else(|| format!("{place:?} leads into something that has no keys"))?;
        let next = members.entry(parent).or_insert(Value::Null);
        if next.is_null() {
            *next = Value::Object(Map::new());
        }
        inside = next;
    }
    let members = inside
        .as_object_mut()
        .ok_or_else(|| format!("{place:?} leads into something that has no keys"))?;
    if value.is_null() {
        members.shift_remove(key);
    } else {
        members.insert(key.to_owned(), value);
    }
    Ok(())
}

impl StageControl for ImpairControl {
    fn shard(&mut self, core: usize) -> Box<dyn Stage> {
        Box::new(ImpairShard::new(self.publisher.reader(), core, self.most))
    }

    fn reload(&mut self, config: &Value) -> Result<(), ReloadError> {
        let config: ImpairConfig = read_reloaded(config)?;
        ReloadError::unless_fixed(&[("max_held", config.max_held != self.config.max_held)])?;
        self.take_over(config).map_err(ReloadError::Refused)
    }

    fn command(&mut self, verb: &str, arguments: &Value) -> Result<Value, CommandError> {
        match verb {
            "set" => self.set(arguments)?,
            "clear" => {
                let config = ImpairConfig {
                    seed: self.config.seed,
                    max_held: self.config.max_held,
                    ..ImpairConfig::default()
                };
                self.take_over(config).map_err(CommandError::Failed)?;
            }
            "reseed" => {
                let seed = match arguments.get("seed") {
                    None => self.seed,
                    Some(seed) => seed.as_u64().ok_or_else(|| {
                        CommandError::Arguments("seed is a whole number from 0 on".into())
                    })?,
                };
                let plan = Plan::new(&self.config, seed, self.epoch + 1);
                let plan = plan.map_err(|error| CommandError::Failed(error.to_string()))?;
                self.publisher.publish(plan);
                self.seed = seed;
                self.epoch += 1;
            }
            "status" => {}
            _ => return Err(CommandError::unknown(verb, VERBS)),
        }
        Ok(self.status())
    }

    fn status(&self) -> Value {
        let mut config = json!(self.config);
        if let Some(members) = config.as_object_mut() {
            members.shift_remove("seed");
        }
        json!({ "seed": self.seed, "config": config })
    }
}
