//! What the rack stands on: the order of events, frames on their way, links, and the hash of all that
//! happened.

mod fabric;
mod frames;
mod link;
mod queue;
mod trace;

pub use fabric::{Delivery, Fabric};
pub use frames::{FrameId, Frames};
pub use link::{Link, LinkCounters, LinkSettings};
pub use queue::{Event, EventQueue, What};
pub use trace::TraceHash;
