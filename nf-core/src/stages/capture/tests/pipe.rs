//! A named pipe: readers come, go, are slow, and come back.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::reader::{read, read_partly};
use super::{bench, data, folder, frame, frames, wait};
use crate::testing::StageBench;

fn open(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .unwrap()
}

/// Reads until so many packets are there.
fn read_packets(pipe: &mut File, bytes: &mut Vec<u8>, packets: usize) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let (sections, _) = read_partly(bytes);
        if sections
            .iter()
            .map(|section| section.packets.len())
            .sum::<usize>()
            >= packets
        {
            return;
        }
        assert!(Instant::now() < until, "{} bytes so far", bytes.len());
        let mut piece = [0; 65_536];
        match pipe.read(&mut piece) {
            Ok(0) => panic!("the pipe was closed"),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn read_to_end(pipe: &mut File, bytes: &mut Vec<u8>) {
    loop {
        match pipe.read_to_end(bytes) {
            Ok(_) => return,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn readers_come_and_go() {
    let folder = folder();
    let path = folder.path().join("live.pipe");
    let mut bench = bench(json!({ "pipe": path }));
    let made = fs::symlink_metadata(&path).unwrap();
    assert!(made.file_type().is_fifo());
    assert_eq!(made.permissions().mode() & 0o777, 0o600);
    wait(&mut bench, |status| status["state"] == "waiting_for_reader");
    // Nobody wants these.
    assert_eq!(bench.run(StageBench::CLIENTS, &frames(0..10)).len(), 10);
    assert_eq!(bench.counter("packets"), 0);

    for round in 1..=3 {
        let mut pipe = open(&path);
        wait(&mut bench, |status| status["state"] == "capturing");
        let mut bytes = Vec::new();
        let wanted = frames(round * 100..round * 100 + 20);
        bench.run(StageBench::CLIENTS, &wanted);
        read_packets(&mut pipe, &mut bytes, 20);
        let sections = read(&bytes);
        assert_eq!(
            sections.len(),
            1,
            "every reader gets a whole stream of its own"
        );
        assert_eq!(sections[0].interfaces.len(), 3);
        assert_eq!(data(&sections[0]), wanted);
        drop(pipe);
        // The next packets find out that it is gone; nobody dies of it.
        let until = Instant::now() + Duration::from_secs(10);
        while bench.control().status()["state"] != "waiting_for_reader" {
            assert!(Instant::now() < until);
            assert_eq!(bench.run(StageBench::CLIENTS, &frames(0..1)).len(), 1);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    let mut pipe = open(&path);
    wait(&mut bench, |status| status["state"] == "capturing");
    bench.run(StageBench::SERVERS, &frames(0..5));
    bench.command("stop", json!({})).unwrap();
    let mut bytes = Vec::new();
    read_to_end(&mut pipe, &mut bytes);
    let section = &read(&bytes)[0];
    assert_eq!((section.packets.len(), section.statistics.len()), (5, 3));
    assert!(!path.exists(), "a pipe of our own is removed");
    bench.assert_conserved();
}

#[test]
fn a_slow_reader_costs_captured_packets_and_no_others() {
    let folder = folder();
    let path = folder.path().join("live.pipe");
    let mut bench = bench(json!({ "pipe": path, "buffer_bytes": 65_536 }));
    let mut pipe = open(&path);
    wait(&mut bench, |status| status["state"] == "capturing");
    let large: Vec<_> = (0..50).map(|n| frame(n, 5000)).collect();
    let mut rounds = 0;
    while bench.counter("missed") == 0 || rounds < 20 {
        assert_eq!(bench.run(StageBench::CLIENTS, &large).len(), 50);
        std::thread::sleep(Duration::from_millis(2));
        rounds += 1;
        assert!(rounds < 2000);
    }
    // What was captured is whole all the same.
    let mut bytes = Vec::new();
    let captured = bench.counter("packets") as usize;
    read_packets(&mut pipe, &mut bytes, captured);
    let section = &read(&bytes)[0];
    assert_eq!(section.packets.len(), captured);
    assert!(
        section
            .packets
            .iter()
            .all(|packet| large.contains(&packet.data))
    );
    bench.command("stop", json!({})).unwrap();
    bench.assert_conserved();
}

#[test]
fn a_pipe_that_was_there_stays() {
    let folder = folder();
    let path = folder.path().join("live.pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o640);
    let cwd = rustix::fs::CWD;
    rustix::fs::mknodat(cwd, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    // Also when it is given as a file.
    for key in ["pipe", "file"] {
        let mut bench = bench(json!({ key: path }));
        let mut pipe = open(&path);
        wait(&mut bench, |status| status["state"] == "capturing");
        bench.run(StageBench::CLIENTS, &frames(0..3));
        bench.command("stop", json!({})).unwrap();
        let mut bytes = Vec::new();
        read_to_end(&mut pipe, &mut bytes);
        assert_eq!(read(&bytes)[0].packets.len(), 3);
        bench.assert_conserved();
        assert!(path.exists());
    }
}
