//! Packets, batches of them, and what travels with each.

mod batch;
mod checksums;
mod direction;
mod label;
mod meta;
#[allow(clippy::module_inception)]
mod packet;

#[cfg(test)]
mod tests;

pub use batch::{Batch, Drain};
pub use direction::Direction;
pub use label::Label;
pub use meta::{LOCAL_PORT, Meta, NO_PORT};
pub use packet::Packet;
