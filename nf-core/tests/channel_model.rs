//! The module `sched::channel` once more, compiled with the model checker's primitives, with its
//! models. Empty unless compiled with `--cfg sluice_loom`, as `cargo xtask test` does: `cargo rustc
//! -p nf-core --test channel_model -- --cfg sluice_loom`. A test of its own, so that nothing else
//! has to be compiled again.
#![cfg(sluice_loom)]

#[path = "../src/sched/channel/mod.rs"]
#[allow(dead_code, missing_docs, unused_imports)]
mod channel;

/// As the scheduler's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActorId {
    /// Place in the table.
    pub index: u16,
    /// How often the place had been given away before.
    pub generation: u16,
}
