//! `capture`: packets that pass this place of the chain go to a pcapng file or a named pipe, too.
//!
//! A core copies what is wanted of a packet into a bounded ring of bytes of its own (`ring`); a
//! thread of the control side takes it from there and writes it (`writer`). The core never
//! waits: when its ring is full, the packet is counted as missed, and goes on all the same.

mod config;
mod control;
mod limit;
mod output;
mod pcapng;
mod ring;
mod session;
mod shard;
mod writer;

#[cfg(test)]
mod tests;

pub use config::{CaptureConfig, CaptureDirection};
pub use control::CaptureKind;
