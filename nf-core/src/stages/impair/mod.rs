//! `impair`: a bad network at line rate. Loses, duplicates, corrupts, delays and reorders packets
//! and limits their rate, by direction, by chance from a seed: the same seed and the same packets
//! give the same impairments.
//!
//! A packet that passes the direction's filter meets, in this order: loss, duplication, corruption,
//! the link of limited rate, the delay, and reordering. Copies meet what comes after duplication on
//! their own.

mod chance;
mod config;
mod control;
mod corrupt;
mod delay;
mod held;
mod link;
mod loss;
mod plan;
mod shard;
#[cfg(test)]
mod tests;

pub use config::{
    Corrupt, CorruptPlace, Delay, DelayTime, Duplicate, GilbertElliott, ImpairConfig,
    ImpairDirection, LogNormal, Loss, MeanTime, NormalTime, Pareto, Rate, Reorder, UniformTime,
};
pub use control::ImpairKind;
