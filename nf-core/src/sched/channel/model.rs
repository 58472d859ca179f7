//! All interleavings of a producer and a consumer, by `loom`:
//! `cargo xtask test --package nf-core` runs it, through `tests/channel_model.rs`.
//!
//! A message that is read before all of it was written shows as a wrong payload. Each pair of
//! orderings that the checker can tell is weakened in turn to show that the model notices. It
//! cannot tell [`Pair::Credit`]: that one keeps reads from being done late, and the checker does
//! every read in its place.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use loom::thread;

use super::order::{Pair, strength::WEAKENED};
use super::*;

/// One model at a time: which pair is weakened is global.
static ONE: Mutex<()> = Mutex::new(());

fn explore(weakened: Option<Pair>, model: fn()) -> std::thread::Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    *WEAKENED.lock().unwrap_or_else(PoisonError::into_inner) = weakened;
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    catch_unwind(AssertUnwindSafe(|| builder.check(model)))
}

fn settings(bytes: usize, batch: u32) -> Settings {
    Settings {
        bytes,
        checksum: false,
        batch,
        batch_ns: u64::MAX,
        looks: 0,
    }
}

fn envelope(number: u64) -> Envelope {
    let actor = |index| ActorId {
        index,
        generation: 1,
    };
    Envelope {
        kind: Kind::Data,
        to: actor(number as u16 + 1),
        from: actor(7),
        arrived: number as u32 + 100,
    }
}

/// Sends and receives so many messages; the ring has room for three, so that the second lap
/// overwrites what was read.
fn pass(messages: u64, batch: u32, payload: bool) {
    let bytes = if payload { 256 } else { LEAST_RING };
    let (mut tx, mut rx) = ring(settings(bytes, batch));
    let content = move |number: u64| -> Vec<u8> {
        if payload {
            (number + 5).to_ne_bytes().to_vec()
        } else {
            Vec::new()
        }
    };
    let producer = thread::spawn(move || {
        for number in 0..messages {
            while tx.send(&envelope(number), &content(number), 0).is_err() {
                thread::yield_now();
            }
        }
        tx.flush();
    });
    let mut number = 0;
    while number < messages {
        match rx.recv() {
            Some(message) => {
                assert_eq!(message.sequence, number);
                assert_eq!(message.envelope, envelope(number));
                assert_eq!(message.payload, content(number));
                number += 1;
            }
            None => thread::yield_now(),
        }
    }
    assert_eq!(rx.stats().unverified, 0);
    producer.join().unwrap();
}

fn one_by_one() {
    pass(2, 1, true);
}

fn in_a_batch() {
    pass(3, 2, true);
}

fn around_the_ring() {
    pass(5, 1, false);
}

/// A message does not verify, so everything begins anew.
fn begins_anew() {
    let (mut tx, mut rx) = ring(settings(256, 1));
    tx.send(&envelope(0), &[1; 8], 0).unwrap();
    tx.ring.publish(0, 0xdead_beef);
    let producer = thread::spawn(move || {
        let mut number = 1;
        // The first of them may be lost still; there is room for them.
        while number < 4 {
            tx.send(&envelope(number), &(number + 5).to_ne_bytes(), 0)
                .unwrap();
            number += 1;
        }
    });
    // No yielding: the checker takes it for a promise that what was seen before is not seen again.
    for _ in 0..4 {
        if let Some(message) = rx.recv() {
            assert_eq!(message.payload, (message.sequence + 5).to_ne_bytes());
            assert_eq!(message.envelope, envelope(message.sequence));
        }
    }
    assert_eq!(
        rx.stats().broken,
        1,
        "what is found after a new beginning is right"
    );
    producer.join().unwrap();
}

#[test]
fn ip41_no_interleaving_delivers_half_a_message() {
    explore(None, one_by_one).unwrap();
    explore(None, in_a_batch).unwrap();
}

#[test]
fn ip41_no_interleaving_takes_an_old_lap_for_a_message() {
    explore(None, around_the_ring).unwrap();
}

#[test]
fn ip41_no_interleaving_begins_anew_at_the_wrong_place() {
    explore(None, begins_anew).unwrap();
}

#[test]
fn publishing_needs_release_and_acquire() {
    explore(Some(Pair::Publish), one_by_one).unwrap_err();
    explore(Some(Pair::Publish), in_a_batch).unwrap_err();
}

#[test]
fn a_new_beginning_needs_release_and_acquire() {
    explore(Some(Pair::Restart), begins_anew).unwrap_err();
}
