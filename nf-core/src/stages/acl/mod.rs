//! The `acl` stage: ordered rules over addresses, protocol and ports; the first that matches a
//! packet decides whether it goes on.
//!
//! Rules are matched by DPDK's packet classifier, a burst at a time. A changed list becomes a new
//! `Table`, which is published to the cores while they run.

mod config;
mod control;
pub mod rule;
mod stage;
mod table;
#[cfg(test)]
mod tests;

pub use config::AclConfig;
pub use stage::{COUNTERS, REASONS};

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use crate::chain::{BuildContext, BuildError, StageControl, StageKind};
use crate::check::{CheckContext, JsonPath, Problems, check_settings, read_checked};
use crate::telemetry::CounterDesc;

/// The kind `acl`.
#[derive(Debug, Clone, Copy, Default)]
pub struct AclKind;

impl StageKind for AclKind {
    fn name(&self) -> &'static str {
        "acl"
    }

    fn summary(&self) -> &'static str {
        "allows and denies packets by an ordered list of rules over the 5-tuple"
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<AclConfig>()
    }

    fn check(&self, config: &Value, path: &JsonPath, _: &CheckContext, problems: &mut Problems) {
        check_settings(config, path, problems, AclConfig::check);
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
        Ok(Box::new(control::AclControl::new(config, context)?))
    }
}
