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

use crate::chain::{BuildContext, BuildError, StageControl, StageType};
use crate::check::{CheckContext, JsonPath, Problems};
use crate::telemetry::CounterDesc;

/// The kind `acl`.
#[derive(Debug, Clone, Copy, Default)]
pub struct AclKind;

impl StageType for AclKind {
    const NAME: &'static str = "acl";
    const SUMMARY: &'static str =
        "allows and denies packets by an ordered list of rules over the 5-tuple";
    const REASONS: &'static [&'static str] = REASONS;
    const COUNTERS: &'static [CounterDesc] = COUNTERS;
    type Settings = AclConfig;

    fn check(config: &AclConfig, path: &JsonPath, _: &CheckContext, problems: &mut Problems) {
        config.check(path, problems);
    }

    fn build(
        config: AclConfig,
        context: &BuildContext,
    ) -> Result<Box<dyn StageControl>, BuildError> {
        Ok(Box::new(control::AclControl::new(config, context)?))
    }
}
