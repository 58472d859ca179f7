//! Stages as actors: how a chain runs shards that the scheduler may put elsewhere.
//!
//! A shard is an actor. As long as it belongs to the packet cores' first come, first served group, its own core
//! has it in hand and runs it inline, as if there were no scheduler. When the scheduler wants it elsewhere, the
//! core gives it back at the top of its loop, and from then on sends it packets; what comes
//! back goes on through the rest of the chain on the core that received it. So a stage knows nothing of where
//! it runs, and packets of a flow leave in the order they came.

mod execute;
mod mail;
mod slot;
mod worker_loop;

pub use self::mail::{Body, ChainWork, Mail};
pub use self::worker_loop::WorkerLoop;

pub(super) use self::execute::{Sends, execute};
pub(super) use self::mail::account_for_lost;
pub(super) use self::slot::Slot;
