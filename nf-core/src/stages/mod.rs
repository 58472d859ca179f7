//! The built-in stages.

pub mod acl;

use crate::chain::StageRegistry;

/// Adds the kinds of this folder to a program's registry.
pub fn register(registry: &mut StageRegistry) {
    registry.add(acl::AclKind);
}
