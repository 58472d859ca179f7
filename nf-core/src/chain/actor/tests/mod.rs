//! Actors on real cores: one packet core, a worker, ring ports.

mod calls;
mod life;
mod moves;
mod objects;
mod rules;

use std::sync::{Arc, Mutex};

use super::*;
use crate::packet::Label;
use crate::testing::{ActorBench, Frame};

/// UDP port of the first test actor.
const PORT: u16 = 7000;

/// A message from a client, with a number and a word.
fn request(port: u16, number: u32, word: u32) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.extend(word.to_be_bytes());
    let there = format!("10.0.0.2:{port}");
    Frame::udp("10.0.0.1:1000", &there)
        .payload(&payload)
        .build()
}

/// The numbers of a frame's payload.
fn numbers(frame: &[u8]) -> Vec<u32> {
    let layers = crate::wire::Layers::parse_lax(frame, frame.len());
    let chunks = layers.payload(frame).chunks_exact(4);
    chunks
        .map(|word| u32::from_be_bytes(word.try_into().expect("four")))
        .collect()
}

/// The same of a message.
fn words(message: &Packet) -> Vec<u32> {
    numbers(message.data())
}

/// Writes into the second number of a frame, which stays right without a checksum.
fn answer(message: &mut Packet, word: u32) {
    let frame = message.data_mut();
    let layers = crate::wire::Layers::parse_lax(frame, frame.len());
    let at = layers.payload_at() + 4;
    frame[at..at + 4].copy_from_slice(&word.to_be_bytes());
}

/// An actor made of a closure.
struct Does<F>(F);

impl<F: FnMut(&mut ActorCx<'_>, Packet) + Send> Actor for Does<F> {
    fn exec(&mut self, cx: &mut ActorCx<'_>, message: Packet) {
        (self.0)(cx, message);
    }
}

/// What actors tell the test.
type Told<T> = Arc<Mutex<Vec<T>>>;

fn tell<T>(told: &Told<T>, what: T) {
    told.lock().expect("told").push(what);
}
