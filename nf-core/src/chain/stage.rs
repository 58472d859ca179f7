//! A network function's piece of the data path.

use super::{Cx, Direction};
use crate::packet::{Batch, Packet};

/// One shard of a stage: what one packet core owns of it.
///
/// It edits a batch in place. What it leaves in the batch goes forward. Everything else it hands to
/// the [`Cx`]: answers go [`back`](Cx::back), packets of its own are [emitted](Cx::emit), what ends
/// here is [dropped](Cx::drop) for a reason. A packet it keeps in `self` is held, and must leave by
/// one of these ways later.
///
/// A shard sees the world through its `Cx` only: it opens no file, reads no clock, starts no thread
/// and touches no global, so that a test, the simulator and the scheduler can drive it.
pub trait Stage: Send {
    /// Called once, on the shard's own core, before the first turn of its loop and before any packet:
    /// to set timers, and to send what has to be said without being asked. What is
    /// [emitted](Cx::emit) goes through the rest of the chain and out, as from a timer; the port may
    /// have no carrier yet.
    fn start(&mut self, cx: &mut Cx<'_>) {
        let _ = cx;
    }

    /// Handles a batch of packets that all go in [`cx.direction()`](Cx::direction). Never empty.
    fn process(&mut self, cx: &mut Cx<'_>, batch: &mut Batch);

    /// A timer that this shard set has expired; `token` is the one it gave.
    fn on_timer(&mut self, cx: &mut Cx<'_>, token: u64) {
        let _ = (cx, token);
    }

    /// Something was published since the last turn of the loop: refresh every reader here.
    fn refresh(&mut self) {}

    /// Which way a packet goes that came in by a port for both sides. The first stage of the chain
    /// that knows decides.
    fn classify(&self, packet: &Packet) -> Option<Direction> {
        let _ = packet;
        None
    }

    /// Packets the shard holds now, where it knows; tests compare it with the counters.
    fn held(&self) -> usize {
        0
    }
}
