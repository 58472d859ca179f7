//! Properties of `nf_core::wire`, against an independent implementation and against garbage.

mod frames;
mod garbage;
mod parse;
mod rewrite;
mod seeds;
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::hint::black_box;

use nf_core::wire::{FiveTuple, Layers, flow_hash, rewrite as edit, swap_five_tuple};

/// What a chain does to every packet.
fn touch(frame: &mut [u8], layers: &Layers) {
    black_box(FiveTuple::of(frame, layers));
    black_box(flow_hash(frame, layers));
    black_box((
        layers.payload(frame),
        layers.ip_packet(frame),
        layers.ipv4_options(frame),
    ));
    edit::decrement_ttl(frame, layers);
    edit::set_port(frame, layers, edit::End::Source, 1);
    edit::set_ipv4(frame, layers, edit::End::Source, [10, 0, 0, 1].into());
    edit::set_ipv6(frame, layers, edit::End::Destination, [1; 16].into());
    swap_five_tuple(frame, layers);
}
