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
mod passage;
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
    ServerConfig, SlotIndex, StateScope, UdpChecksum, WireFormat,
};
pub use counts::{COUNTERS, REASONS};
pub use services::{ProtocolName, ServiceConfig, Writes};

use nf_core::chain::{BuildContext, BuildError, StageControl, StageType};
use nf_core::check::{CheckContext, JsonPath, Problems};
use nf_core::telemetry::CounterDesc;

/// The kind `clone`.
#[derive(Debug, Clone, Copy, Default)]
pub struct CloneKind;

impl StageType for CloneKind {
    const NAME: &'static str = "clone";
    const SUMMARY: &'static str =
        "clones requests to two idle servers and lets only the faster answer through";
    const REASONS: &'static [&'static str] = REASONS;
    const COUNTERS: &'static [CounterDesc] = COUNTERS;
    type Settings = CloneConfig;

    fn check(
        config: &CloneConfig,
        path: &JsonPath,
        context: &CheckContext,
        problems: &mut Problems,
    ) {
        config.check(path, Some(context), problems);
    }

    fn build(
        config: CloneConfig,
        context: &BuildContext,
    ) -> Result<Box<dyn StageControl>, BuildError> {
        Ok(Box::new(control::CloneControl::new(config, context)?))
    }
}
