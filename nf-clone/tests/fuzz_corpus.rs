//! Replays the fuzzer's corpora: what it once found, and a message of every kind; and a great many
//! messages that are made from those by chance.
#![cfg(feature = "stage")]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::PathBuf;

use nf_clone::random::Random;
use nf_clone::wire::{Header, Kind, compat28};

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

/// A message of every kind, by target and name.
fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for kind in [
        Kind::Request,
        Kind::Response,
        Kind::WriteRequest,
        Kind::Ping,
        Kind::Config,
        Kind::Nack,
    ] {
        let header = Header {
            grp: 7,
            req_id: 1 << 48 | 7,
            client_seq: 5,
            ..Header::new(kind)
        };
        let name = format!("v1_{kind:?}").to_lowercase();
        seeds.push((
            "headers",
            name,
            [&header.encode()[..], b"ABCDEFGH"].concat(),
        ));
    }
    let mut words = [0; compat28::HEADER_LEN];
    words[7] = 7;
    seeds.push(("headers", "compat28".into(), words.to_vec()));

    let framed = |part: [u8; 2], text: &[u8]| {
        [&[0, 0x12, 0x34, 0, part[0], 0, part[1], 0, 0][..], text].concat()
    };
    let mut binary = vec![0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    binary.extend([0; 12]);
    binary.push(b'k');
    for (name, message) in [
        ("get", &b"get key\r\n"[..]),
        ("gets_of_two", b"gets key other\r\n"),
        ("meta", b"mg key v t f c Otoken\r\n"),
        ("meta_quiet", b"mg key v q\r\n"),
        ("meta_touch", b"mg key T30\r\n"),
        ("set", b"set key 0 0 1\r\nx\r\n"),
        ("two_commands", b"get a\r\nget b\r\n"),
        ("version", b"version\r\n"),
        ("binary", &binary),
        ("value", b"VALUE key 0 1\r\nx\r\nEND\r\n"),
    ] {
        seeds.push((
            "matchers",
            format!("memcached_{name}"),
            framed([0, 1], message),
        ));
    }
    for (name, part) in [("part", [2, 4]), ("of_none", [0, 0]), ("beyond", [4, 4])] {
        seeds.push(("matchers", format!("memcached_{name}"), framed(part, b"")));
    }
    let dns = |head: [u8; 10], rest: &[u8]| [&[1, 0xab, 0xcd][..], &head, rest].concat();
    let question = b"\x03wWw\x07example\0\0\x01\0\x01";
    for (name, message) in [
        ("query", dns([1, 0, 0, 1, 0, 0, 0, 0, 0, 0], question)),
        ("update", dns([0x28, 0, 0, 1, 0, 0, 0, 0, 0, 0], question)),
        ("reply", dns([0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0], question)),
        (
            "compressed",
            dns([1, 0, 0, 1, 0, 0, 0, 0, 0, 0], b"\xc0\x0c\0\x01\0\x01"),
        ),
        ("no_question", dns([0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0], b"")),
    ] {
        seeds.push(("matchers", format!("dns_{name}"), message));
    }
    for (name, flow) in [("flow", 2), ("flow_many", 0x80 | 1)] {
        seeds.push(("matchers", name.into(), vec![flow, 1, 2, 3]));
    }
    for (name, events) in [
        // Asked, answered by both.
        ("pair", &[0, 0x60, 7, 1, 3, 0, 0, 1, 3, 0, 1, 1][..]),
        // The id again before the second answer; then late answers.
        (
            "again",
            &[
                0, 0x60, 7, 1, 3, 0, 0, 1, 0, 0xc0, 9, 0, 3, 0, 1, 200, 6, 0, 8, 255, 3, 0, 2, 0,
            ],
        ),
        // A retransmission, a clone taken back, a server that dies.
        (
            "retry",
            &[
                0, 0x60, 7, 1, 0, 0x60, 7, 1, 7, 0, 0, 0, 7, 0, 0x81, 0, 0, 0x60, 90, 1, 4, 0, 3, 1,
            ],
        ),
        // Answers of many datagrams, a write in between.
        (
            "many",
            &[
                1, 0x20, 33, 1, 3, 0, 0x41, 1, 3, 0, 0x82, 1, 2, 0, 5, 1, 3, 0, 0xc1, 1, 3, 0, 1, 1,
            ],
        ),
    ] {
        seeds.push(("decisions", name.into(), events.to_vec()));
    }
    for (name, settings) in [
        ("v1_gateway", [0, 0, 0, 0, 0, 0, 0, 0]),
        ("v1_inline", [8, 0, 0, 0, 0, 0, 0, 0]),
        ("v1_inline_bursts", [8, 0x10, 0, 0x11, 0, 0, 0, 0]),
        ("v1_inline_ipv6_shrink", [0x18, 1, 0, 0x50, 0, 0, 0, 0]),
        ("v1_gateway_ipv6_pings", [0x10, 0x60, 0, 0x10, 0, 0, 0, 0]),
        ("v1_cores", [0x48, 0x80, 2, 0x8f, 1, 0, 0, 0]),
        ("v1_no_vip", [0xa8, 4, 5, 0, 0x7d, 0, 0, 0]),
        ("v1_split", [8, 4, 0x98, 0x20, 0x30, 0x10, 0, 0]),
        ("compat28_gateway", [4, 0, 0, 0, 0, 0, 0, 0]),
        ("compat28_inline", [12, 8, 0, 3, 0x30, 0, 0, 0]),
        ("memcached_gateway", [5, 0, 0, 0, 0, 0, 0, 0]),
        ("memcached_inline", [13, 1, 0, 1, 0x20, 6, 0, 0]),
        ("dns_gateway", [6, 0, 0, 1, 0, 4, 0, 0]),
        ("dns_inline", [14, 4, 0x18, 0, 0, 1, 0, 0]),
        ("flow", [7, 0, 0, 0, 0, 8, 0, 0]),
        ("flow_ipv6", [0x1f, 0, 0x80, 0, 0, 0, 0, 0]),
    ] {
        seeds.push(("process", name.into(), script(settings)));
    }
    seeds
}

/// A little of everything that may happen to a stage with these settings.
fn script(settings: [u8; 8]) -> Vec<u8> {
    let ask = |how: u8, group: u8, seq: u8| [0, how, group, 0, seq & 3, seq, 0, 0];
    let answer = |which: u8, load: u8| [4, which, 0, load, 0, 0, 0, 0];
    let mut steps = vec![settings];
    // Two answers, one of which is one too many, and a busy server.
    for seq in 0..4 {
        steps.extend([ask(0, seq * 3, seq), answer(0, 0), answer(1, seq)]);
    }
    // A clone comes in again, and an answer; something wrong with a request, and with an answer.
    steps.extend([[8, 1, 0, 0, 0, 0, 0, 0], [8, 0, 0, 1, 0, 0, 0, 0]]);
    steps.extend([[10, 3, 6, 1, 0, 0, 0, 0], ask(0, 0, 5)]);
    steps.extend([[10, 2, 6, 1, 1, 0, 0, 0], answer(0, 0)]);
    // In pieces, in a VLAN, in a buffer that is somebody else's too.
    for what in [
        [11, 0, 60, 0, 0, 0, 0, 0],
        [11, 3, 101, 0, 0, 0, 0, 0],
        [11, 2, 0, 0, 0, 0, 0, 0],
    ] {
        steps.extend([what, ask(0, 1, 6), answer(0, 0)]);
    }
    // Two packets of one request and of its answer, with a number of the client's own.
    steps.extend([
        [0, 1, 2, 0x10, 1, 7, 0x40, 0],
        [0, 1, 2, 0x10, 0x21, 7, 0x40, 0],
    ]);
    steps.extend([[4, 0, 0, 0, 0x11, 0, 0, 0], [4, 1, 0, 0, 0x10, 0, 0, 0]]);
    // A write, a message of a client's that only servers send, other traffic.
    steps.extend([
        [0, 0x40, 1, 0, 0, 8, 0, 202],
        answer(0, 0),
        [0, 0, 1, 0, 0, 9, 0, 201],
    ]);
    steps.extend([[9, 0, 0, 0, 0, 0, 0, 0], [9, 1, 40, 0, 0, 0, 0, 0]]);
    // No buffers, and no room; then they are back.
    steps.extend([
        [15, 0, 1, 0, 0, 0, 0, 0],
        ask(0, 4, 10),
        [15, 2, 0, 0, 0, 0, 0, 0],
    ]);
    steps.extend([
        [15, 3, 1, 0, 0, 0, 0, 0],
        ask(0, 5, 11),
        [15, 3, 7, 0, 0, 0, 0, 0],
    ]);
    // A server is drained, one goes, others settings come, all are silent.
    steps.extend([
        [14, 0, 1, 0, 0, 0, 0, 0],
        ask(0, 0, 12),
        [14, 1, 1, 0, 0, 0, 0, 0],
    ]);
    steps.extend([
        [14, 2, settings[1], settings[2], settings[4], 5, 0, 0],
        ask(0, 6, 13),
    ]);
    steps.extend([
        answer(0, 0),
        [14, 2, 1, 0, 1, 0, 0, 0],
        ask(0, 7, 14),
        answer(0, 1),
    ]);
    steps.extend([
        [13, 5, 0, 0, 0, 0, 0, 0],
        ask(0, 8, 15),
        [13, 6, 0, 0, 0, 0, 0, 0],
    ]);
    steps.extend([ask(0, 9, 16), answer(0, 0), answer(3, 0)]);
    steps.concat()
}

#[test]
fn b01_corpora_replay() {
    for (name, target, _) in targets::TARGETS {
        let mut replayed = 0;
        for entry in fs::read_dir(corpus(name)).expect("the corpus is in the repository") {
            target(&fs::read(entry.expect("readable").path()).expect("readable"));
            replayed += 1;
        }
        assert!(replayed > 0, "{name}");
    }
}

/// Every seed is in its corpus. With `WRITE_CORPUS=1` it is put there.
#[test]
fn corpora_have_every_seed() {
    for (target, name, input) in seeds() {
        let path = corpus(target).join(&name);
        if std::env::var_os("WRITE_CORPUS").is_some() {
            fs::create_dir_all(corpus(target)).expect("writable");
            fs::write(&path, &input).expect("writable");
        }
        assert_eq!(fs::read(&path).ok(), Some(input), "{target}/{name}");
    }
}

/// Seeds with bytes changed, cut out, repeated and joined, by chance but always the same;
/// `FUZZ_EXECUTIONS` says how many.
#[test]
fn b01_what_is_made_from_seeds_by_chance_does_no_harm() {
    let executions = std::env::var("FUZZ_EXECUTIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(200_000_u64);
    let seeds = seeds();
    let mut random = Random::new(11);
    let mut bytes = Vec::new();
    for (name, target, cost) in targets::TARGETS {
        let own: Vec<&Vec<u8>> = seeds
            .iter()
            .filter(|(of, ..)| *of == name)
            .map(|(.., input)| input)
            .collect();
        let mut pick = |bound: usize| random.below(bound.max(1) as u32) as usize;
        for _ in 0..executions / 3 / cost {
            bytes.clear();
            bytes.extend_from_slice(own[pick(own.len())]);
            for _ in 0..1 + pick(6) {
                let (at, length) = (pick(bytes.len()), pick(24));
                match pick(6) {
                    0 => bytes.truncate(at),
                    1 => bytes.extend_from_slice(own[pick(own.len())]),
                    2 if at < bytes.len() => bytes[at] = pick(256) as u8,
                    3 if at < bytes.len() => bytes[at] ^= 1 << pick(8),
                    4 => (0..length).for_each(|_| bytes.push(pick(256) as u8)),
                    _ => {
                        let end = (at + length).min(bytes.len());
                        let piece = bytes.get(at..end).unwrap_or_default().to_vec();
                        bytes.extend(piece);
                    }
                }
                bytes.truncate(600);
            }
            if name == "process" {
                let size = bytes.len();
                let seed = pick(usize::MAX) as u32;
                let size =
                    targets::process::mutate(&mut bytes, size, size, seed, |_, size, _| size);
                bytes.truncate(size);
            }
            target(&bytes);
        }
    }
}
