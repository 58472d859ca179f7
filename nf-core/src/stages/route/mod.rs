//! The `route` stage: an IPv4 and IPv6 router between the ports, or a bump in the wire.
//!
//! Cores look prefixes up in DPDK's tables and neighbours in a table of their own making, both of
//! which change while they look. Everything else is per core. `docs/stages/route.md` says what it
//! does with which packet.

mod commands;
mod config;
mod control;
mod fragment;
mod held;
mod hops;
mod neighbours;
mod own;
mod reasons;
mod stage;
mod tables;
#[cfg(test)]
mod tests;
mod turn;
mod version;

pub use config::{Limits, Mode, NeighbourConfig, RouteConfig, RouteConfigEntry, Timers};
pub use reasons::{COUNTERS, REASONS};

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use crate::chain::{BuildContext, BuildError, StageControl, StageKind};
use crate::check::{CheckContext, JsonPath, Problems, check_settings, read_checked};
use crate::telemetry::CounterDesc;

/// The kind `route`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RouteKind;

impl StageKind for RouteKind {
    fn name(&self) -> &'static str {
        "route"
    }

    fn summary(&self) -> &'static str {
        "routes IPv4 and IPv6 between the ports by longest prefix, or passes everything to the peer port"
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<RouteConfig>()
    }

    fn check(
        &self,
        config: &Value,
        path: &JsonPath,
        context: &CheckContext,
        problems: &mut Problems,
    ) {
        check_settings(
            config,
            path,
            problems,
            |config: &RouteConfig, path, problems| {
                config.check(path, context, problems);
            },
        );
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
        Ok(Box::new(control::RouteControl::new(config, context)?))
    }
}
