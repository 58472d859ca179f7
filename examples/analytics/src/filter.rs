//! Drops words that nobody is interested in. Without state, so that it can be anywhere.

use std::sync::Arc;

use nf_core::chain::actor::{Actor, ActorCx};
use nf_core::packet::Packet;
use nf_core::sched::ActorId;

use crate::tuples::{self, HEAD, WORD};
use crate::{Settings, kind};

pub(crate) const REASONS: &[&str] = &["malformed", "uninteresting", "no_buffer"];
const MALFORMED: usize = 0;
const UNINTERESTING: usize = 1;
const NO_BUFFER: usize = 2;

/// The first of the three.
#[derive(Debug)]
pub struct Filter {
    prefix: Arc<[u8]>,
    counter: ActorId,
}

impl Filter {
    /// Sends what is of interest to that counter.
    pub fn new(settings: &Settings, counter: ActorId) -> Filter {
        Filter {
            prefix: settings.prefix.clone(),
            counter,
        }
    }

    /// Moves the words that are of interest to the front; how many there are, or `None` for a payload that is
    /// none of ours.
    fn sift(&self, payload: &mut [u8]) -> Option<usize> {
        let count = tuples::words(payload)?.len();
        let mut kept = 0;
        for at in 0..count {
            let from = HEAD + at * WORD;
            if payload.get(from..)?.starts_with(&self.prefix) {
                payload.copy_within(from..from + WORD, HEAD + kept * WORD);
                kept += 1;
            }
        }
        payload
            .get_mut(4..6)?
            .copy_from_slice(&(kept as u16).to_be_bytes());
        Some(kept)
    }
}

impl Actor for Filter {
    fn exec(&mut self, cx: &mut ActorCx<'_>, mut message: Packet) {
        if !cx.ensure_writable(&mut message) {
            return cx.drop(message, NO_BUFFER);
        }
        let sifted = match cx.decapsulate(&mut message) {
            Some(_) => self.sift(message.data_mut()),
            None => None,
        };
        match sifted {
            None => cx.drop(message, MALFORMED),
            Some(0) => cx.drop(message, UNINTERESTING),
            Some(_) => cx.send(self.counter, kind::TUPLES, 0, message),
        }
    }
}
