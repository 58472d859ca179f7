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

use crate::chain::{BuildContext, BuildError, StageControl, StageType};
use crate::check::{CheckContext, JsonPath, Problems};
use crate::telemetry::CounterDesc;

/// The kind `route`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RouteKind;

impl StageType for RouteKind {
    const NAME: &'static str = "route";
    const SUMMARY: &'static str = "routes IPv4 and IPv6 between the ports by longest prefix, or \
                                   passes everything to the peer port";
    const REASONS: &'static [&'static str] = REASONS;
    const COUNTERS: &'static [CounterDesc] = COUNTERS;
    type Settings = RouteConfig;

    fn check(
        config: &RouteConfig,
        path: &JsonPath,
        context: &CheckContext,
        problems: &mut Problems,
    ) {
        config.check(path, context, problems);
    }

    fn build(
        config: RouteConfig,
        context: &BuildContext,
    ) -> Result<Box<dyn StageControl>, BuildError> {
        Ok(Box::new(control::RouteControl::new(config, context)?))
    }
}
