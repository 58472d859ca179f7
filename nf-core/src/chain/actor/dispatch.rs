//! What a core runs of a `dispatch` stage: hands packets to actors, by rules; everything else passes untouched.

use super::rules::Rules;
use crate::chain::{Cx, Stage};
use crate::packet::{Batch, Label};
use crate::publish::Reader;

/// What one core owns of it.
pub(super) struct Shard(pub Reader<Rules>);

impl Stage for Shard {
    fn process(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        let rules = self.0.get();
        if rules.0.is_empty() {
            return;
        }
        batch.sift(|packet| match rules.actor(&packet) {
            None => Some(packet),
            Some(actor) => {
                let flow = u64::from(packet.meta().flow_hash);
                cx.send(actor, Label::NETWORK, flow, packet);
                None
            }
        });
    }

    fn refresh(&mut self) {
        self.0.refresh();
    }
}
