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
    seeds
}

#[test]
fn b01_corpora_replay() {
    for (name, target) in targets::TARGETS {
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
    for (name, target) in targets::TARGETS {
        let own: Vec<&Vec<u8>> = seeds
            .iter()
            .filter(|(of, ..)| *of == name)
            .map(|(.., input)| input)
            .collect();
        let mut pick = |bound: usize| random.below(bound.max(1) as u32) as usize;
        for _ in 0..executions / 3 {
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
            target(&bytes);
        }
    }
}
