//! Runs a script, and says what must hold at its end.

use nf_clone::wire::HEADER_LEN;
use nf_core::chain::StagePort;
use nf_core::check::Side;
use nf_core::packet::Packet;
use nf_core::testing::{BenchOptions, Sent, StageBench, hostile};
use serde_json::{Value, json};

use super::frames::{self, Edits};
use super::judge::{self, Seen};
use super::rack::{OUR_MACS, PACKETS, Rack, SIDS, own_pool};
use super::steps::{Step, Steps};

/// Frames remembered of each side.
const REMEMBERED: usize = 24;

/// Most virtual time of a script, nanoseconds: every millisecond is a turn of the loop.
const MOST_TIME: u64 = 800_000_000;

/// Bytes before a datagram's payload, with a tag and over IPv6.
const MOST_HEADERS: usize = 66;

/// Bytes that fit into one buffer, whatever its headroom.
const FITS: usize = 1900;

/// Runs a script.
pub fn script(rack: &Rack, steps: Steps<'_>) {
    let mut run = Run::new(rack);
    for step in steps {
        run.step(step);
    }
    run.end();
}

struct Run {
    rack: Rack,
    benches: Vec<StageBench>,
    /// What came out: on the side of clients, of servers.
    out: [Vec<Vec<u8>>; 2],
    edits: Edits,
    /// Frames of a burst that is not full yet, and the port by which they come.
    burst: Vec<(Vec<u8>, Edits)>,
    burst_port: u16,
    /// Packets taken from the pools, so that there are few.
    hoards: Vec<Vec<Packet>>,
    time_left: u64,
    /// Whether every packet that left could be seen, and was read before.
    all_seen: bool,
    /// Whether the settings are still those of the start.
    is_first: bool,
    stamped_requests: u64,
}

impl Run {
    fn new(rack: &Rack) -> Run {
        let count = if rack.twins { 2 } else { 1 };
        let mut benches: Vec<StageBench> = (0..count)
            .map(|n| rack.bench(own_pool(n), n == 1))
            .collect();
        let begun: Vec<Vec<Sent>> = benches.iter_mut().map(StageBench::sent_at_start).collect();
        let mut run = Run {
            rack: *rack,
            benches,
            out: [Vec::new(), Vec::new()],
            edits: Edits::default(),
            burst: Vec::new(),
            burst_port: 0,
            hoards: (0..count).map(|_| Vec::new()).collect(),
            time_left: MOST_TIME,
            all_seen: true,
            is_first: true,
            stamped_requests: 0,
        };
        run.take(begun);
        run
    }

    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Ask(with) => {
                let port = u16::from(with[0] >> 7);
                self.give(port, frames::ask(&self.rack, with));
            }
            Step::Answer(with) => {
                self.flush();
                let which = usize::from(with[0]);
                if let Some(asked) = nth(&self.out[1], which)
                    && let Some(frame) = frames::answer(&self.rack, asked, with)
                {
                    self.give(StageBench::SERVERS, frame);
                }
            }
            Step::Replay(with) => {
                self.flush();
                let side = usize::from(with[0] & 1);
                if let Some(frame) = nth(&self.out[side], with[1].into()) {
                    self.give(u16::from(with[2] & 1), frame.clone());
                }
            }
            Step::Sample(with) => {
                let port = u16::from(with[0] & 1);
                SAMPLES.with(|samples| {
                    if let Some(frame) = nth(&samples[usize::from(port)], with[1].into()) {
                        self.give(port, frame.clone());
                    }
                });
            }
            Step::Raw(with, bytes) => {
                let mut frame = bytes.to_vec();
                if with[2] & 1 == 0 {
                    // An Ethernet header that is in order, and an IP packet of these bytes.
                    let kind: [u8; 2] = if with[2] & 2 == 0 {
                        [8, 0]
                    } else {
                        [0x86, 0xdd]
                    };
                    let to = OUR_MACS[usize::from(with[1] & 1)];
                    let from = Rack::client_mac(0);
                    frame.splice(..0, to.0.into_iter().chain(from.0).chain(kind));
                }
                self.give(u16::from(with[1] & 1), frame);
            }
            Step::Patch(with) => self.edits.patch(with),
            Step::Shape(with) => self.edits.shape(with),
            Step::Time(with) => {
                self.flush();
                let ns = [
                    1_000,
                    100_000,
                    1_000_000,
                    2_500_000,
                    6_000_000,
                    30_000_000,
                    110_000_000,
                    500_000_000,
                ][usize::from(with[0] % 8)];
                let ns = ns.min(self.time_left);
                self.time_left -= ns;
                let sent = self
                    .benches
                    .iter_mut()
                    .map(|bench| bench.advance(ns))
                    .collect();
                self.take(sent);
            }
            Step::Control(with) => {
                self.flush();
                self.control(with);
            }
            Step::Scarce(with) => {
                self.flush();
                self.scarce(with);
            }
        }
    }

    /// A frame comes in by a port.
    fn give(&mut self, port: u16, frame: Vec<u8>) {
        let edits = std::mem::take(&mut self.edits);
        let frame = edits.apply(frame);
        // No port cuts a packet in its headers. Where one comes that way, the message's own header is put
        // together if the packet fits into one buffer; else it passes unread.
        let unread = match frame.len() {
            0..FITS => MOST_HEADERS,
            _ => MOST_HEADERS + HEADER_LEN,
        };
        if edits.pieces.is_some_and(|at| at < unread) {
            self.all_seen = false;
        }
        if self.burst_port != port {
            self.flush();
        }
        self.burst_port = port;
        self.burst.push((frame, edits));
        let full = if self.rack.twins { 1 } else { self.rack.burst };
        if self.burst.len() >= full {
            self.flush();
        }
    }

    /// Hands over the burst.
    fn flush(&mut self) {
        let burst = std::mem::take(&mut self.burst);
        if burst.is_empty() {
            return;
        }
        let port = self.burst_port;
        // One core for each flow, as RSS has it.
        let core = burst.first().map_or(0, |(frame, _)| frame.len()) % self.rack.cores;
        let mut others = Vec::new();
        let mut given = 0;
        let mut all = Vec::new();
        for bench in &mut self.benches {
            let pool = bench.pool().clone();
            let packets: Vec<Packet> = burst
                .iter()
                .filter_map(|(frame, edits)| packet(&pool, frame, edits, &mut others))
                .collect();
            given = packets.len();
            all.push(bench.run_packets(core, port, packets));
        }
        for (other, bytes) in others {
            let held: Vec<u8> = other.segments().flatten().copied().collect();
            assert_eq!(held, bytes, "who shares a buffer sees no change");
        }
        let seen = Seen {
            rack: &self.rack,
            frames: &burst,
        };
        if given > 0
            && let Some(sent) = all.first()
        {
            seen.judge(sent);
        }
        self.take(all);
    }

    /// What the benches sent: the same, and remembered.
    fn take(&mut self, all: Vec<Vec<Sent>>) {
        if let [one, other] = &all[..] {
            judge::assert_same(one, other);
        }
        let Some(sent) = all.into_iter().next() else {
            return;
        };
        for sent in sent {
            self.stamped_requests += u64::from(judge::is_stamped_request(&self.rack, &sent.bytes));
            let Some(out) = self.out.get_mut(usize::from(sent.port)) else {
                continue;
            };
            if out.len() == REMEMBERED {
                out.remove(0);
            }
            out.push(sent.bytes);
        }
    }

    fn control(&mut self, with: [u8; 7]) {
        let [what, first, second, third, fourth, ..] = with;
        let sid = SIDS[usize::from(first % 4)];
        let which = json!({ "sid": sid });
        match what % 8 {
            0 => self.command("drain", &which),
            1 => self.command("restore", &which),
            2 | 3 => {
                self.is_first = false;
                let mut places = vec![0, 1, 2, 3];
                if fourth & 1 != 0 {
                    places.remove(usize::from(fourth >> 1) % 4);
                }
                let settings = self.rack.reloaded([first, second, third]).settings(&places);
                let results = self.benches.iter_mut().map(|bench| bench.reload(&settings));
                let results: Vec<bool> = results.map(|result| result.is_ok()).collect();
                assert!(results.iter().all(|result| *result == results[0]));
                if results[0] {
                    self.rack = self.rack.reloaded([first, second, third]);
                }
            }
            4 => {
                let mut ports: Vec<StagePort> = [Side::Client, Side::Server]
                    .into_iter()
                    .zip(["clients", "servers"])
                    .zip(0..)
                    .map(|((side, name), index)| BenchOptions::port(index, name, side))
                    .collect();
                for (port, mac) in ports.iter_mut().zip(OUR_MACS) {
                    port.mac = mac.0;
                    port.up = first & 1 == 0;
                }
                for bench in &mut self.benches {
                    bench.set_ports(ports.clone());
                }
            }
            5 => self.command("selftest", &Value::Null),
            6 => self.command("show", &which),
            _ => {
                for bench in &mut self.benches {
                    let _ = bench.control().status();
                }
            }
        }
    }

    fn command(&mut self, verb: &str, arguments: &Value) {
        let results = self.benches.iter_mut();
        let results: Vec<bool> = results
            .map(|bench| bench.command(verb, arguments.clone()).is_ok())
            .collect();
        assert!(results.iter().all(|result| *result == results[0]));
    }

    fn scarce(&mut self, with: [u8; 7]) {
        let [what, few, ..] = with;
        let few = u32::from(few % 8);
        match what % 4 {
            0 | 1 => {
                for (bench, hoard) in self.benches.iter().zip(&mut self.hoards) {
                    let pool = bench.pool();
                    while pool.available() > few
                        && let Some(packet) = Packet::alloc(pool)
                    {
                        hoard.push(packet);
                    }
                }
            }
            2 => self.hoards.iter_mut().for_each(Vec::clear),
            _ => {
                self.all_seen = false;
                let room = match few {
                    7 => usize::MAX,
                    few => few as usize,
                };
                self.benches
                    .iter_mut()
                    .for_each(|bench| bench.set_room(room));
            }
        }
    }

    fn end(mut self) {
        self.flush();
        self.hoards.clear();
        let counted: Vec<_> = self.benches.iter().map(StageBench::counters).collect();
        if let [one, other] = &counted[..] {
            assert!(
                one.custom.iter().eq(other.custom.iter()),
                "{one:?}\n{other:?}"
            );
            assert!(
                one.dropped.iter().eq(other.dropped.iter()),
                "{one:?}\n{other:?}"
            );
        }
        let Some(first) = counted.first() else {
            return;
        };
        let sums = judge::Sums {
            counted: first,
            servers: self.benches[0].command("servers", Value::Null).ok(),
            rack: &self.rack,
            is_first: self.is_first,
            stamped_requests: self.all_seen.then_some(self.stamped_requests),
        };
        sums.judge();
        for bench in self.benches {
            bench.assert_conserved();
        }
    }
}

/// The packet that a frame comes as; `None` when there is no buffer. Who shares it goes to `others`.
fn packet(
    pool: &nf_core::dpdk::Mempool,
    frame: &[u8],
    edits: &Edits,
    others: &mut Vec<(Packet, Vec<u8>)>,
) -> Option<Packet> {
    // What a port delivers has at least a byte, and came in one piece or in several, none of them empty.
    let pieces = edits.pieces.filter(|&at| at > 0 && at < frame.len());
    let packet = match pieces {
        Some(at) => {
            let (head, tail) = frame.split_at(at);
            let mut packet = Packet::from_bytes(pool, head)?;
            packet.chain(Packet::from_bytes(pool, tail)?.into()).ok()?;
            packet
        }
        None => Packet::from_bytes(pool, frame)?,
    };
    if edits.shared {
        others.push((packet.share(pool)?, frame.to_vec()));
    }
    Some(packet)
}

fn nth<T>(items: &[T], which: usize) -> Option<&T> {
    // From the newest on.
    let at = which.checked_rem(items.len())?;
    items.iter().rev().nth(at)
}

thread_local! {
    static SAMPLES: [Vec<Vec<u8>>; 2] = [hostile::samples(0), hostile::samples(1)];
}

const _: () = assert!(PACKETS > 64);
