//! The `route` stage over real packets.

mod changes;
mod errors;
mod forwarding;
mod neighbours;

use serde_json::{Value, json};

use super::RouteKind;
use crate::testing::{Frame, Sent, StageBench};
use crate::wire::{Ethernet, Ipv4, Ipv6, Layers, MacAddr, arp, neighbor};

const C: u16 = StageBench::CLIENTS;
const S: u16 = StageBench::SERVERS;
const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// 10.0.0.0/24 and fd00::/64 behind port 0, 10.0.1.0/24 and fd00:1::/64 behind port 1.
fn addresses() -> Value {
    json!({ "clients": ["10.0.0.1/24", "fd00::1/64"], "servers": ["10.0.1.1/24", "fd00:1::1/64"] })
}

/// Host 2 of each network, at [`Frame::host_mac`] of its port.
fn hosts() -> Value {
    let (client, server) = (Frame::host_mac(C), Frame::host_mac(S));
    json!([
        { "address": "10.0.0.2", "mac": client }, { "address": "fd00::2", "mac": client },
        { "address": "10.0.1.2", "mac": server }, { "address": "fd00:1::2", "mac": server },
    ])
}

/// A router with those addresses and other settings.
fn router(more: Value) -> StageBench {
    StageBench::new(&RouteKind, config(more))
}

fn config(more: Value) -> Value {
    let mut config = json!({ "addresses": addresses(), "announce": false });
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
        config.extend(more);
    }
    config
}

/// A router that knows host 2 on both sides.
fn with_hosts() -> StageBench {
    router(json!({ "neighbours": hosts() }))
}

/// A host's answer to an ARP request or solicitation that the router sent out of `port`; `None` for
/// other frames.
fn answer_of(sent: &Sent, mac: MacAddr) -> Option<Vec<u8>> {
    let layers = Layers::parse(&sent.bytes).ok()?;
    let mut out = vec![0; 128];
    let length = match neighbor::parse(&sent.bytes, &layers) {
        Some(neighbor::Message::Solicit { .. }) => {
            neighbor::write_advert(&sent.bytes, &layers, mac, false, &mut out)?
        }
        _ => arp::write_reply(&sent.bytes, &layers, mac, &mut out)?,
    };
    out.truncate(length);
    Some(out)
}

fn ipv4(frame: &[u8]) -> Ipv4<&[u8; 20]> {
    Ipv4::new(&frame[14..]).expect("an IPv4 header")
}

fn ipv6(frame: &[u8]) -> Ipv6<&[u8; 40]> {
    Ipv6::new(&frame[14..]).expect("an IPv6 header")
}

fn macs(frame: &[u8]) -> (MacAddr, MacAddr) {
    let link = Ethernet::new(frame).expect("a link header");
    (link.source(), link.destination())
}

/// Runs each frame by itself and checks what it is dropped for; nothing may leave.
fn dropped_for(bench: &mut StageBench, port: u16, cases: &[(&str, Vec<u8>)]) {
    for (reason, frame) in cases {
        let before = bench.dropped(reason);
        let sent = bench.run(port, &[frame]);
        assert_eq!(
            bench.dropped(reason),
            before + 1,
            "{reason}: {:?}",
            bench.counters().dropped
        );
        assert!(sent.is_empty(), "{reason}: {sent:?}");
    }
}
