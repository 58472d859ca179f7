//! Replays the fuzzer's corpora: what it once found, and one frame of every shape.

#[path = "wire/frames.rs"]
#[allow(dead_code)]
mod frames;
#[path = "wire/seeds.rs"]
mod seeds;
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::{fs, path::PathBuf};

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

/// What a target's corpus has for a frame: the bytes that the target reads before it, then the
/// frame.
fn input(target: &str, frame: &[u8]) -> Vec<u8> {
    let mut edits = [0x5a; 24];
    edits[0] = 0xff;
    match target {
        "layers" => frame.to_vec(),
        "rewrites" => [&edits[..], frame].concat(),
        _ => [&[0xff], frame].concat(),
    }
}

#[test]
fn corpora_replay() {
    for (name, target) in targets::TARGETS {
        let mut replayed = 0;
        for entry in fs::read_dir(corpus(name)).expect("the corpus is in the repository") {
            target(&fs::read(entry.expect("readable").path()).expect("readable"));
            replayed += 1;
        }
        assert!(replayed >= seeds::seeds().len(), "{name}: {replayed}");
    }
}

/// Every seed is in every corpus. With `WRITE_CORPUS=1` it is put there.
#[test]
fn corpora_have_every_seed() {
    for (target, _) in targets::TARGETS {
        for (name, frame) in seeds::seeds() {
            let (path, input) = (corpus(target).join(&name), input(target, &frame));
            if std::env::var_os("WRITE_CORPUS").is_some() {
                fs::create_dir_all(corpus(target)).expect("writable");
                fs::write(&path, &input).expect("writable");
            }
            assert_eq!(fs::read(&path).ok(), Some(input), "{target}/{name}");
        }
    }
}
