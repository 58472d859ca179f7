//! The built-in stages.

use crate::chain::StageRegistry;

/// The kinds of stages that come with the framework.
pub fn builtin() -> StageRegistry {
    StageRegistry::new()
}
