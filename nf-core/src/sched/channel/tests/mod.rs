//! What a ring promises: whole messages, in order, and an answer when there is none or no room.

mod damage;
mod rules;
mod threads;

use super::*;

const ENVELOPE: Envelope = Envelope {
    kind: Kind::Data,
    to: actor(3),
    from: actor(4),
    arrived: 99,
};

const fn actor(index: u16) -> ActorId {
    ActorId {
        index,
        generation: 1,
    }
}

/// Publishes every message at once.
fn small(bytes: usize) -> Settings {
    Settings {
        bytes,
        batch: 1,
        looks: 3,
        ..Settings::default()
    }
}

/// Bytes that say which message they are.
fn payload(number: u64, len: usize) -> Vec<u8> {
    let seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..len)
        .map(|at| (seed >> (at % 8 * 8)) as u8 ^ at as u8)
        .collect()
}

/// Takes one message out and checks that it is the one.
fn expect(rx: &mut Consumer, number: u64, len: usize) {
    let message = rx.recv().expect("there is a message");
    assert_eq!(message.sequence, number);
    assert_eq!(message.envelope, ENVELOPE);
    assert_eq!(message.payload, payload(number, len));
}
