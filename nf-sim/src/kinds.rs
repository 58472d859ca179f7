//! The kinds of stages and programs a world may be made of.

use nf_core::chain::StageRegistry;

use crate::program::{self, ProgramRegistry};

/// The kinds of stages and programs a world may be made of.
#[derive(Debug)]
pub struct Kinds {
    /// Stages of appliances.
    pub stages: StageRegistry,
    /// Programs of hosts.
    pub programs: ProgramRegistry,
}

impl Kinds {
    /// All that come with Sluice.
    pub fn all() -> Kinds {
        let mut stages = nf_core::stages::builtin();
        stages.add(nf_clone::stage::CloneKind);
        Kinds {
            stages,
            programs: program::builtin(),
        }
    }
}
