//! The built-in stages.

pub mod acl;
pub mod capture;
mod dispatch;
pub mod impair;
mod plain;
pub mod route;
pub mod work;

use crate::chain::StageRegistry;

pub use dispatch::Dispatch;
pub use plain::{NoSettings, Pass, Swap};

/// The kinds of stages that come with the framework.
pub fn builtin() -> StageRegistry {
    let mut registry = StageRegistry::new();
    registry
        .add(Pass)
        .add(Swap)
        .add(acl::AclKind)
        .add(capture::CaptureKind)
        .add(Dispatch)
        .add(impair::ImpairKind)
        .add(route::RouteKind)
        .add(work::Work);
    registry
}
