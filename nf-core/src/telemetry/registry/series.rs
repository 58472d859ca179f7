//! Blocks of counters across restarts of their core.

use crate::telemetry::{Block, View, Writer};

/// Blocks that count the same thing one after the other: after a core is started again, the new
/// block begins at zero and the sum goes on.
pub(super) struct Series<B: Block> {
    ended: B::Snapshot,
    pub(super) live: Vec<View<B>>,
}

impl<B: Block<Snapshot: Default>> Default for Series<B> {
    fn default() -> Self {
        Self {
            ended: B::Snapshot::default(),
            live: Vec::new(),
        }
    }
}

impl<B: Block<Snapshot: Clone>> Series<B> {
    pub(super) fn add(&mut self, block: B) -> Writer<B> {
        let writer = Writer::new(block);
        self.live.push(writer.view());
        writer
    }

    /// The sum; blocks whose writing end is gone are folded into it for good.
    pub(super) fn total(&mut self, merge: impl Fn(&mut B::Snapshot, &B::Snapshot)) -> B::Snapshot {
        for view in std::mem::take(&mut self.live) {
            match view.into_final() {
                Ok(last) => merge(&mut self.ended, &last),
                Err(view) => self.live.push(view),
            }
        }
        let mut total = self.ended.clone();
        for view in &self.live {
            merge(&mut total, &view.snapshot());
        }
        total
    }
}
