//! What the appliance itself says to clients: how many groups there are, and why a request was refused.

use nf_core::chain::Cx;
use nf_core::packet::{Direction, NO_PORT, Packet};
use nf_core::wire::{Ethernet, Layers, fill_ipv4_checksum, fill_transport_checksum};

use super::counts::{Count, Reason};
use super::format::Message;
use super::shard::Turn;
use crate::wire::{HEADER_LEN, Header, Kind};

/// Most such messages a second of one core.
const PER_SECOND: u32 = 10_000;

/// Tells the sender of a request what groups and tables there are, and why the request was refused, if it
/// was. No longer than the request, so that nobody can be flooded by way of us.
#[cold]
pub(crate) fn send(
    turn: &mut Turn<'_>,
    cx: &mut Cx<'_>,
    packet: &Packet,
    layers: &Layers,
    message: &Message,
    refused: Option<u16>,
) {
    if !turn.work.replies.take(turn.now, PER_SECOND) {
        return;
    }
    let Some(mut reply) = cx.copy(packet) else {
        return;
    };
    // The request's own headers, turned around, before a header of ours and nothing else.
    let spare = reply.len().saturating_sub(layers.payload_at() + HEADER_LEN);
    let body = reply
        .trim_back(spare)
        .then(|| reply.data_mut().get_mut(layers.payload_at()..))
        .flatten()
        .and_then(|rest| rest.first_chunk_mut::<HEADER_LEN>());
    let Some(body) = body else {
        return cx.drop(reply, Reason::NoBuffer as usize);
    };
    *body = Header {
        idx: turn.version.filters.given.tables(),
        swid: turn.version.switch_id,
        grp: turn.version.groups.len() as u32,
        load: refused.unwrap_or(0),
        cfg_gen: turn.version.cfg_gen,
        client_id: message.client,
        client_seq: message.seq,
        ..Header::new(match refused {
            Some(_) => Kind::Nack,
            None => Kind::Config,
        })
    }
    .encode();
    turn_around(&mut reply, layers);
    cx.count(Count::ConfigSent as usize, 1);
    reply.meta_mut().egress = reply.meta().port;
    if reply.meta().port == NO_PORT {
        return cx.drop(reply, Reason::NoBuffer as usize);
    }
    cx.emit(Direction::ToClient, reply);
}

/// Exchanges the addresses of a frame whose payload has become a header alone, and sets its lengths and
/// checksums.
fn turn_around(reply: &mut Packet, layers: &Layers) {
    let frame = reply.data_mut();
    if let Some(mut link) = Ethernet::new_mut(frame) {
        link.swap();
    }
    let udp_len = (layers.payload_at() - layers.transport_at() + HEADER_LEN) as u16;
    let ip_len = udp_len + (layers.transport_at() - layers.network_at()) as u16;
    if let Some(mut header) = layers.ipv4_mut(frame) {
        header.swap_addresses();
        header.set_total_len(ip_len);
        header.set_ttl(64);
    }
    if let Some(mut header) = layers.ipv6_mut(frame) {
        header.swap_addresses();
        header.set_payload_len(udp_len);
        header.set_hop_limit(64);
    }
    if let Some(mut header) = layers.udp_mut(frame) {
        let (source, destination) = (header.source_port(), header.destination_port());
        header.set_source_port(destination);
        header.set_destination_port(source);
        header.set_length(udp_len);
    }
    let layers = Layers::parse_lax(frame, frame.len());
    fill_ipv4_checksum(frame, &layers);
    fill_transport_checksum(frame, &layers);
}
