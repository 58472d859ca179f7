//! Stages, chains of them, and the loop of a packet core.

pub mod actor;
mod actors;
#[allow(clippy::module_inception)]
mod chain;
mod claims;
mod core_loop;
mod cx;
mod egress;
mod guard;
mod kind;
mod note;
mod registry;
mod ring_wait;
mod shard;
mod stage;
mod trace;

#[cfg(test)]
mod tests;

pub use crate::packet::Direction;
pub use actors::{Body, ChainWork, Mail, WorkerLoop};
pub use chain::{CHAIN_COUNTERS, CHAIN_REASONS, Chain};
pub use claims::Claims;
pub use core_loop::{
    Command, CoreControl, CoreHandle, CoreLoop, CorePort, CorePortSide, Handover, IdlePolicy,
    Retired,
};
pub use cx::{Cx, Env, EnvConfig};
pub use egress::{EgressTable, Output};
pub use guard::{Run, Vitals, is_guarded};
pub use kind::{StageType, read_reloaded};
pub use note::{Note, NoteValue};
pub use registry::{
    BuildContext, BuildError, CommandError, ReloadError, StageControl, StageKind, StagePort,
    StageRegistry, read_arguments,
};
pub use shard::ChainStage;
pub use stage::Stage;
pub use trace::{TraceEvent, TraceFilter, TraceRecord, TraceSession, Traced};
