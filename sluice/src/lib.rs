//! The kinds of stages that the program `sluice` knows.

use nf_core::chain::StageRegistry;

/// The stages of the framework, and those of the network functions.
pub fn registry() -> StageRegistry {
    let mut kinds = nf_core::stages::builtin();
    kinds.add(nf_clone::stage::CloneKind);
    kinds
}
