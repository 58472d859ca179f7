//! The stage `clone`: the data path and control side of NetClone.
//!
//! Of a burst, each packet is looked at once: `shard` says what it is, `request` and `response` what
//! becomes of it by the decisions of this crate's other modules. What they look into is one published
//! `version`; what cores change together is in [`crate::servers`] and [`crate::filter`].

mod config;
mod control;
mod counts;
mod directory;
mod edit;
mod epoch;
mod fast;
mod format;
mod neighbours;
mod plain;
mod probes;
mod replies;
mod request;
mod response;
mod services;
mod shard;
#[cfg(test)]
mod tests;
mod version;

pub use config::{
    CloneConfig, CloneCopy, FilterMode, Groups, Mode, OnServerFail, PassOrDrop, PolicyName,
    ServerConfig, SlotIndex, StateScope, WireFormat,
};
pub use counts::{COUNTERS, REASONS};
pub use services::{ProtocolName, ServiceConfig, Writes};

use nf_core::chain::{BuildContext, BuildError, StageControl, StageKind};
use nf_core::check::{CheckContext, JsonPath, Problems, check_settings, read_checked};
use nf_core::telemetry::CounterDesc;
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

/// The kind `clone`.
#[derive(Debug, Clone, Copy, Default)]
pub struct CloneKind;

impl StageKind for CloneKind {
    fn name(&self) -> &'static str {
        "clone"
    }

    fn summary(&self) -> &'static str {
        "clones requests to two idle servers and lets only the faster answer through"
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<CloneConfig>()
    }

    fn check(
        &self,
        config: &Value,
        path: &JsonPath,
        context: &CheckContext,
        problems: &mut Problems,
    ) {
        let meaning = |config: &CloneConfig, path: &JsonPath, problems: &mut Problems| {
            config.check(path, Some(context), problems);
        };
        check_settings(config, path, problems, meaning);
    }

    fn counters(&self) -> &'static [CounterDesc] {
        COUNTERS
    }

    fn reasons(&self) -> &'static [&'static str] {
        REASONS
    }

    fn build(
        &self,
        config: &Value,
        context: &BuildContext,
    ) -> Result<Box<dyn StageControl>, BuildError> {
        let config = read_checked(config).map_err(BuildError)?;
        Ok(Box::new(control::CloneControl::new(config, context)?))
    }
}
