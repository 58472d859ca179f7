//! The common case does what the way of all packets does: the same frames through both, of which one is
//! forced by tracing, come out the same and are counted the same.

use nf_core::testing::hostile;
use serde_json::json;

use super::*;
use crate::wire::Flags;

/// Two benches with the same settings; the second traces.
struct Twins {
    fast: StageBench,
    slow: StageBench,
    folder: tempfile::TempDir,
}

impl Twins {
    fn new(make: impl Fn(Value) -> StageBench, more: Value) -> Twins {
        let folder = tempfile::tempdir().expect("a folder");
        let own = |name: &str| {
            let file = folder.path().join(name);
            make(merged(json!({ "epoch_file": file }), more.clone()))
        };
        let (fast, mut slow) = (own("fast"), own("slow"));
        slow.trace(u32::MAX);
        Twins { fast, slow, folder }
    }

    fn run(&mut self, port: u16, frames: &[Vec<u8>]) -> Vec<Sent> {
        let fast = self.fast.run(port, frames);
        let slow = self.slow.run(port, frames);
        assert_eq!(sorted(&fast), sorted(&slow));
        fast
    }

    fn end(self) {
        let counters = |bench: &StageBench| -> Vec<(&'static str, u64)> {
            bench.counters().custom.iter().collect()
        };
        assert_eq!(counters(&self.fast), counters(&self.slow));
        let drops = |bench: &StageBench| -> Vec<(&'static str, u64)> {
            bench.counters().dropped.iter().collect()
        };
        assert_eq!(drops(&self.fast), drops(&self.slow));
        self.fast.assert_conserved();
        self.slow.assert_conserved();
        drop(self.folder);
    }
}

/// In a burst, what is unusual is handled after the rest, so that it may change places with clones.
fn sorted(sent: &[Sent]) -> Vec<(u16, Vec<u8>)> {
    let mut sent: Vec<_> = sent
        .iter()
        .map(|sent| (sent.port, sent.bytes.clone()))
        .collect();
    sent.sort();
    sent
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[test]
fn ordinary_and_odd_messages_fare_the_same_both_ways() {
    for (gateway_mode, more) in [
        (true, json!({})),
        (false, json!({})),
        (false, json!({ "rewrite_resp_src": true })),
        (
            true,
            json!({ "policy": "netclone+jsq", "jsq_probe": 0.0, "slots_log2": 10 }),
        ),
        (
            true,
            json!({ "policy": "jsq", "jsq_probe": 0.0, "filter": false }),
        ),
        (
            true,
            json!({ "filter_mode": "winner", "verify_checksums": false }),
        ),
        (true, json!({ "slot_index": "hash", "idle_threshold": 2 })),
        (false, json!({ "clone_copy": "split", "bad_input": "pass" })),
    ] {
        let make = |more: Value| match gateway_mode {
            true => gateway(6, more),
            false => inline(6, more),
        };
        let mut twins = Twins::new(make, more);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut flying: Vec<(u16, Vec<u8>)> = Vec::new();
        for seq in 0..3000u32 {
            let odd = random.below(8) == 0;
            let header = Header {
                grp: random.below(if odd { 32 } else { 30 }) as u32,
                idx: random.below(if odd { 3 } else { 2 }) as u8,
                flags: Flags(if odd { random.below(16) as u8 } else { 0 }),
                swid: if odd { random.below(3) as u16 } else { 0 },
                cfg_gen: random.below(if odd { 3 } else { 2 }) as u16,
                client_id: 9,
                client_seq: seq,
                req_id: if odd { 9 << 32 | u64::from(seq) } else { 0 },
                ..Header::new(Kind::Request)
            };
            let mut frame = request_with(header);
            if random.below(40) == 0 {
                let at = 14 + random.below(frame.len() as u64 - 14) as usize;
                frame[at] ^= 1 << random.below(8);
            }
            for sent in twins.run(CLIENTS, &[frame]) {
                if sent.port == SERVERS && Layers::parse(&sent.bytes).is_ok() {
                    let ip = destination(&sent.bytes);
                    if let Some(sid) = (0..6).find(|&sid| server_ip(sid) == ip) {
                        flying.push((sid, sent.bytes));
                    }
                }
            }
            while flying.len() > 20 {
                let (sid, request) = flying.swap_remove(random.below(20) as usize);
                let load = random.below(4).saturating_sub(1) as u16;
                let Ok((seen, _)) =
                    Header::decode(Layers::parse(&request).expect("a frame").payload(&request))
                else {
                    continue;
                };
                if seen.kind != Kind::Request {
                    continue;
                }
                let mut answer = match random.below(10) {
                    0 => response_of(&request, (sid + 1) % 6, load),
                    _ => response_of(&request, sid, load),
                };
                if random.below(40) == 0 {
                    let at = 14 + random.below(answer.len() as u64 - 14) as usize;
                    answer[at] ^= 1 << random.below(8);
                }
                twins.run(SERVERS, &[answer]);
            }
        }
        twins.end();
    }
}

/// An answer to a request whose checksum may be wrong.
fn response_of(request: &[u8], sid: u16, load: u16) -> Vec<u8> {
    let layers = Layers::parse(request).expect("a frame");
    let (seen, _) = Header::decode(layers.payload(request)).expect("a message");
    let (source_port, _) = layers.ports(request).expect("ports");
    let client = layers.ipv4(request).expect("IPv4").source();
    let header = Header {
        kind: Kind::Response,
        sid,
        load,
        ..seen
    };
    let mut payload = header.encode().to_vec();
    payload.extend(b"ABCDEFGH");
    Frame::udp(
        &format!("{}:9043", server_ip(sid)),
        &format!("{client}:{source_port}"),
    )
    .macs(server_mac(sid), OUR_MACS[1])
    .payload(&payload)
    .build()
}

#[test]
fn broken_frames_fare_the_same_both_ways() {
    for wire in ["gateway", "inline"] {
        let make = |more: Value| match wire {
            "gateway" => gateway(6, more),
            _ => inline(6, more),
        };
        let mut twins = Twins::new(make, json!({ "l4_ports": [9043, 53, 80] }));
        for port in [CLIENTS, SERVERS] {
            twins.run(port, &hostile::samples(port));
            for frame in hostile::mutated(port, 5, 2000) {
                twins.run(port, &[frame]);
            }
        }
        twins.end();
    }
}

#[test]
fn x04_without_a_buffer_for_the_clone_both_ways_take_one_id_and_one_of_the_budget() {
    let more = json!({ "clone_budget_pps": 1000 });
    let mut twins = Twins::new(|more| gateway(6, more), more);
    for seq in 0..20 {
        let hoard: Vec<_> = [&twins.fast, &twins.slow]
            .into_iter()
            .flat_map(|bench| {
                // One is left, for the request itself.
                let few = bench.pool().available() - u32::from(seq % 2 == 0);
                let take = if seq % 2 == 0 { few } else { 0 };
                (0..take).map_while(|_| nf_core::packet::Packet::alloc(bench.pool()))
            })
            .collect();
        let copies = twins.run(CLIENTS, &[request(7, seq)]).len();
        assert_eq!(copies, if hoard.is_empty() { 2 } else { 1 });
    }
    assert_eq!(twins.fast.counter("req_unclone_nomem"), 10);
    twins.end();
}
