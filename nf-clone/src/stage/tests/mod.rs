//! Tests of the stage: a rack of servers behind it, in gateway mode before a `route` stage and in mode
//! `inline`, in virtual time over real packets.

mod common_case;
mod control;
mod failures;
mod filtering;
mod golden;
mod hostile;
mod inline;
mod offload;
mod other_traffic;
mod plain;
mod plain_failures;
mod requests;

use nf_core::packet::Packet;
use nf_core::testing::{BenchOptions, Frame, Sent, StageBench};
use nf_core::wire::{Layers, MacAddr, Verdict, check_transport_checksum, ipv4_checksum_ok};
use serde_json::{Value, json};

use super::CloneKind;
use crate::wire::{Header, Kind};

const CLIENTS: u16 = StageBench::CLIENTS;
const SERVERS: u16 = StageBench::SERVERS;

/// The client of the golden vectors.
const CLIENT: &str = "10.0.0.11";
const VIP: &str = "10.0.0.100";
const CLIENT_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const OUR_MACS: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 1, 0]), MacAddr([2, 0, 0, 0, 1, 1])];

fn server_ip(sid: u16) -> String {
    format!("10.0.1.{}", 101 + sid)
}

fn server_mac(sid: u16) -> MacAddr {
    MacAddr([2, 0, 0, 0, 2, sid as u8])
}

fn merged(mut into: Value, more: Value) -> Value {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
    into
}

/// Settings with `n` servers, and what else is given. No pings, so that nothing moves by itself.
fn settings(n: u16, more: Value) -> Value {
    let servers: Vec<Value> = (0..n)
        .map(|sid| json!({ "sid": sid, "ip": server_ip(sid) }))
        .collect();
    let plain = json!({ "vip": [VIP], "servers": servers, "probe_interval_us": 0 });
    merged(plain, more)
}

/// The same for mode `inline`, with MAC addresses.
fn inline_settings(n: u16, more: Value) -> Value {
    let servers: Vec<Value> = (0..n)
        .map(|sid| json!({ "sid": sid, "ip": server_ip(sid), "mac": server_mac(sid).to_string() }))
        .collect();
    settings(
        n,
        merged(json!({ "mode": "inline", "servers": servers }), more),
    )
}

fn options(cores: usize) -> BenchOptions {
    let mut options = BenchOptions {
        cores,
        ..BenchOptions::default()
    };
    for (port, mac) in options.ports.iter_mut().zip(OUR_MACS) {
        port.mac = mac.0;
    }
    options
}

/// A bench in gateway mode: this stage and a router that knows everybody.
fn gateway_on(cores: usize, config: Value) -> StageBench {
    gateway_with(options(cores), config)
}

fn gateway_with(options: BenchOptions, config: Value) -> StageBench {
    let neighbour = |ip: String, mac: MacAddr| json!({ "address": ip, "mac": mac.to_string() });
    let mut neighbours = vec![neighbour(CLIENT.into(), CLIENT_MAC)];
    neighbours.extend((0..40).map(|sid| neighbour(server_ip(sid), server_mac(sid))));
    let route = json!({
        "addresses": { "clients": ["10.0.0.1/24", "10.0.0.100/24"], "servers": ["10.0.1.1/24"] },
        "neighbours": neighbours,
        "announce": false,
    });
    let options = BenchOptions {
        behind: vec![("route", route)],
        ..options
    };
    StageBench::with(&CloneKind, config, options)
}

fn gateway(n: u16, more: Value) -> StageBench {
    gateway_on(1, settings(n, more))
}

/// A bench in mode `inline`.
fn inline(n: u16, more: Value) -> StageBench {
    StageBench::with(&CloneKind, inline_settings(n, more), options(1))
}

/// A request of the client with these fields.
fn request_with(header: Header) -> Vec<u8> {
    message_from(&format!("{CLIENT}:50000"), &format!("{VIP}:9043"), header)
}

fn message_from(source: &str, destination: &str, header: Header) -> Vec<u8> {
    let mut payload = header.encode().to_vec();
    payload.extend(b"ABCDEFGH");
    Frame::udp(source, destination)
        .macs(CLIENT_MAC, OUR_MACS[0])
        .payload(&payload)
        .build()
}

/// An ordinary request: group and client's number.
fn request(grp: u32, client_seq: u32) -> Vec<u8> {
    request_with(Header {
        grp,
        client_id: 0xaa,
        client_seq,
        ..Header::new(Kind::Request)
    })
}

/// What a server answers to a request that reached it.
fn response(request: &[u8], sid: u16, load: u16) -> Vec<u8> {
    response_with(request, sid, |header| Header { load, ..header })
}

fn response_with(request: &[u8], sid: u16, change: impl Fn(Header) -> Header) -> Vec<u8> {
    let seen = header(request);
    let kind = match seen.kind {
        Kind::WriteRequest => Kind::WriteResponse,
        Kind::Ping => Kind::Pong,
        _ => Kind::Response,
    };
    let header = change(Header { kind, sid, ..seen });
    let layers = Layers::parse(request).expect("a request");
    let (source_port, destination_port) = layers.ports(request).expect("ports");
    let ip = layers.ipv4(request).expect("IPv4");
    let (source, destination) = (ip.source(), ip.destination());
    let mut payload = header.encode().to_vec();
    payload.extend(b"ABCDEFGH");
    Frame::udp(
        &format!("{destination}:{destination_port}"),
        &format!("{source}:{source_port}"),
    )
    .macs(server_mac(sid), OUR_MACS[1])
    .payload(&payload)
    .build()
}

/// Makes a server say that so many requests wait.
fn says(bench: &mut StageBench, sid: u16, load: u16) {
    let header = Header {
        sid,
        load,
        swid: 1,
        ..Header::new(Kind::Response)
    };
    let mut payload = header.encode().to_vec();
    payload.extend(b"ABCDEFGH");
    let frame = Frame::udp(
        &format!("{}:9043", server_ip(sid)),
        &format!("{CLIENT}:50000"),
    )
    .macs(server_mac(sid), OUR_MACS[1])
    .payload(&payload)
    .build();
    bench.run(SERVERS, &[frame]);
}

/// The message in a frame, whose checksums must be right.
fn header(frame: &[u8]) -> Header {
    let layers = Layers::parse(frame).expect("a sound frame");
    assert!(
        !layers.is_ipv4() || ipv4_checksum_ok(frame, &layers),
        "IPv4 checksum"
    );
    assert_eq!(check_transport_checksum(frame, &layers), Verdict::Good);
    Header::decode(layers.payload(frame)).expect("a message").0
}

/// Where a frame goes.
fn destination(frame: &[u8]) -> String {
    let layers = Layers::parse(frame).expect("a sound frame");
    layers.ipv4(frame).expect("IPv4").destination().to_string()
}

fn source(frame: &[u8]) -> String {
    let layers = Layers::parse(frame).expect("a sound frame");
    layers.ipv4(frame).expect("IPv4").source().to_string()
}

/// The servers that frames went to, by SID.
fn servers_of(sent: &[Sent]) -> Vec<u16> {
    let sid = |sent: &Sent| {
        assert_eq!(sent.port, SERVERS);
        let ip = destination(&sent.bytes);
        let last = ip.rsplit('.').next().expect("a number");
        last.parse::<u16>().expect("a number") - 101
    };
    sent.iter().map(sid).collect()
}

/// Changes bytes of the NetClone header without mending checksums, and without making them wrong: the UDP
/// checksum is taken out.
fn patched(frame: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let layers = Layers::parse(&frame).expect("a sound frame");
    let (udp, payload) = (layers.transport_at(), layers.payload_at());
    frame[payload + at..payload + at + bytes.len()].copy_from_slice(bytes);
    frame[udp + 6..udp + 8].fill(0);
    frame
}

/// A stage on one core of whose packets only one is left, and those that are taken.
fn with_one_buffer(config: Value) -> (StageBench, Vec<Packet>) {
    let options = BenchOptions {
        packets: 63,
        ..options(1)
    };
    let bench = StageBench::with(&CloneKind, config, options);
    let mut taken: Vec<_> = std::iter::from_fn(|| Packet::alloc(bench.pool())).collect();
    drop(taken.pop());
    (bench, taken)
}

/// The sum rules of the counters.
fn check_invariants(bench: &StageBench) {
    let count = |name: &str| bench.counter(name);
    assert_eq!(
        count("req_total"),
        count("req_cloned") + count("req_single") + count("req_rejected"),
        "requests"
    );
    let answers = [
        "resp_first",
        "resp_filtered",
        "resp_uncloned",
        "resp_unfiltered",
        "resp_stale_epoch",
        "resp_bad_idx",
        "resp_unstamped",
    ];
    let answers: u64 = answers.into_iter().map(count).sum();
    assert!(answers <= count("resp_total"), "responses");
    bench.check_conserved();
}
