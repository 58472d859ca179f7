//! The whole stage on a bench: what is captured, what is written, and that packets go on whatever
//! happens to the capture.

mod pipe;
mod reader;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use self::reader::{Section, number, read, text};
use super::CaptureKind;
use super::output::{Files, Output};
use super::session::Session;
use super::writer::{Job, Order, SharedReport, State, Writer, with};
use crate::chain::{CommandError, ReloadError, StageKind};
use crate::clock::{Clock, VirtualClock};
use crate::packet::Packet;
use crate::testing::{BenchOptions, Frame, StageBench, check, hostile};

const MS: u64 = 1_000_000;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn frame(n: u32, len: usize) -> Vec<u8> {
    let payload = [&n.to_be_bytes()[..], &vec![0x5a; len]].concat();
    Frame::udp("10.0.0.1:1000", "10.0.1.1:53")
        .payload(&payload)
        .build()
}

fn frames(range: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    range.map(|n| frame(n, 20)).collect()
}

fn bench(config: Value) -> StageBench {
    StageBench::new(&CaptureKind, config)
}

/// Waits until the status is as wanted; fails after ten seconds.
fn wait(bench: &mut StageBench, wanted: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let status = bench.control().status();
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < until, "still {status}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn one(path: &Path) -> Section {
    let mut sections = read(&fs::read(path).unwrap());
    assert_eq!(sections.len(), 1);
    sections.remove(0)
}

fn data(section: &Section) -> Vec<Vec<u8>> {
    section
        .packets
        .iter()
        .map(|packet| packet.data.clone())
        .collect()
}

#[test]
fn a_file_holds_what_passed() {
    let folder = folder();
    let path = folder.path().join("a.pcapng");
    let mut bench = bench(json!({ "file": path }));
    let (there, back) = (frames(0..100), frames(100..130));
    let sent = bench.run(StageBench::CLIENTS, &there);
    assert!(
        sent.iter().map(|s| &s.bytes).eq(&there),
        "packets go on untouched"
    );
    bench.advance(5 * MS);
    bench.run(StageBench::SERVERS, &back);
    let stopped = bench.command("stop", json!({})).unwrap();
    assert_eq!(stopped["state"], "finished");
    assert_eq!(
        (&stopped["packets"], &stopped["missed"]),
        (&json!(130), &json!(0))
    );
    assert_eq!(stopped["bytes"], fs::metadata(&path).unwrap().len());

    let section = one(&path);
    assert!(text(&section.options, 4).starts_with("Sluice "));
    assert!(text(&section.options, 3).starts_with("Linux "));
    let names: Vec<_> = section
        .interfaces
        .iter()
        .map(|i| text(&i.options, 2))
        .collect();
    assert_eq!(names, ["clients", "servers", "sluice"]);
    for interface in &section.interfaces {
        assert_eq!((interface.link, interface.snap), (1, 262_144));
        assert_eq!(interface.options[&9], [9], "nanoseconds");
    }
    assert_eq!(section.interfaces[0].options[&6], Frame::port_mac(0).0);
    assert_eq!(data(&section), [there, back].concat());
    for (n, packet) in section.packets.iter().enumerate() {
        let to_server = n < 100;
        assert_eq!(packet.interface, u32::from(!to_server));
        assert_eq!(packet.original as usize, packet.data.len());
        assert_eq!(number(&packet.options, 2), if to_server { 1 } else { 2 });
        assert_eq!(number(&packet.options, 5), n as u64);
        // In virtual time the clock's zero is 1970.
        assert_eq!(packet.ns, if to_server { 0 } else { 5 * MS });
    }
    assert_eq!(section.statistics.len(), 3);
    for (interface, count) in [(0, 100), (1, 30), (2, 0)] {
        let statistics = &section.statistics[interface];
        assert_eq!(statistics.interface as usize, interface);
        let counts = [4, 5, 6, 8].map(|code| number(&statistics.options, code));
        assert_eq!(counts, [count, 0, count, count]);
    }
    assert_eq!(bench.counter("packets"), 130);
    bench.assert_conserved();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn filter_direction_and_snap_length_choose() {
    let folder = folder();
    let path = folder.path().join("a.pcapng");
    let mut bench = bench(json!({
        "file": path, "filter": "udp dst port 53", "direction": "to_server", "snap_bytes": 50,
    }));
    let web = Frame::tcp("10.0.0.1:1000", "10.0.1.1:80").build();
    bench.run(
        StageBench::CLIENTS,
        &[frame(1, 500), web.clone(), frame(2, 0)],
    );
    bench.run(StageBench::SERVERS, &[frame(3, 500)]);
    bench.command("stop", json!({})).unwrap();
    let section = one(&path);
    assert_eq!(data(&section), [&frame(1, 500)[..50], &frame(2, 0)[..]]);
    assert_eq!(section.packets[0].original, 546);
    assert_eq!(section.interfaces[0].snap, 50);
    assert_eq!(section.interfaces[0].options[&11], b"\0udp dst port 53");
    let counts = [4, 5, 6, 8].map(|code| number(&section.statistics[0].options, code));
    assert_eq!(counts, [3, 0, 2, 2]);
    bench.assert_conserved();
}

#[test]
fn limits_end_a_capture() {
    let folder = folder();
    let path = folder.path().join("a.pcapng");
    let mut bench = bench(json!({ "enabled": false }));
    for (limit, reason) in [
        (json!({ "max_packets": 70 }), "max_packets"),
        (json!({ "max_bytes": 5000 }), "max_bytes"),
        (json!({ "max_seconds": 1 }), "max_seconds"),
    ] {
        let mut arguments = limit.clone();
        arguments["file"] = json!(path);
        bench.command("start", arguments).unwrap();
        let sent = bench.run(StageBench::CLIENTS, &frames(0..200));
        assert_eq!(sent.len(), 200);
        let status = wait(&mut bench, |status| status["state"] == "finished");
        assert_eq!(status["reason"], reason);
        let (section, len) = (one(&path), fs::metadata(&path).unwrap().len());
        assert_eq!(section.statistics.len(), 3);
        match reason {
            "max_packets" => assert_eq!(data(&section), frames(0..70)),
            "max_bytes" => assert!((4000..=5000).contains(&len), "{len}"),
            _ => assert_eq!(section.packets.len(), 200),
        }
        // The core is idle again after the control side's next tick.
        bench.advance(200 * MS);
        let before = bench.counter("packets");
        bench.run(StageBench::CLIENTS, &frames(0..10));
        assert_eq!(bench.counter("packets"), before);
    }
    bench.assert_conserved();
}

#[test]
fn no_more_a_second_than_allowed() {
    let folder = folder();
    let path = folder.path().join("a.pcapng");
    let mut bench = bench(json!({ "file": path, "max_packets_per_second": 1000 }));
    for _ in 0..100 {
        bench.run(StageBench::CLIENTS, &frames(0..50));
        bench.advance(10 * MS);
    }
    // A second's worth and what may come at once.
    let packets = bench.counter("packets");
    assert!((1080..=1100).contains(&packets), "{packets}");
    assert_eq!(bench.counter("limited"), 5000 - packets);
    let status = bench.command("stop", json!({})).unwrap();
    assert_eq!(status["limited"], 5000 - packets);
    let section = one(&path);
    assert_eq!(number(&section.statistics[0].options, 5), 5000 - packets);
    bench.assert_conserved();
}

/// Nobody takes anything out of the ring: what does not fit is missed, and goes on all the same.
#[test]
fn a_full_buffer_misses_packets_and_forwards_them() {
    let folder = folder();
    let path = folder.path().join("a.pcapng");
    let mut bench = bench(json!({ "file": path, "buffer_bytes": 65_536 }));
    let large: Vec<_> = (0..64).map(|n| frame(n, 8000)).collect();
    let sent = bench.run(StageBench::CLIENTS, &large);
    assert_eq!(sent.len(), 64);
    let (captured, missed) = (bench.counter("packets"), bench.counter("missed"));
    assert_eq!(captured + missed, 64);
    assert!(missed > 0, "{captured} captured");
    let status = bench.command("stop", json!({})).unwrap();
    assert_eq!(
        (&status["packets"], &status["missed"]),
        (&json!(captured), &json!(missed))
    );
    let section = one(&path);
    assert_eq!(number(&section.statistics[0].options, 5), missed);
    // It recovers.
    bench.command("start", json!({})).unwrap();
    bench.run(StageBench::CLIENTS, &frames(0..10));
    bench.command("stop", json!({})).unwrap();
    assert_eq!(data(&one(&path)), frames(0..10));
    bench.assert_conserved();
}

#[test]
fn commands_start_and_stop() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let mut bench = bench(json!({ "enabled": false, "file": path("a.pcapng"), "snap_bytes": 60 }));
    assert_eq!(bench.command("status", json!({})).unwrap()["state"], "idle");
    bench.run(StageBench::CLIENTS, &frames(0..10));
    assert!(!path("a.pcapng").exists(), "idle until told");
    let refused = bench.command("stop", json!({})).unwrap_err();
    assert!(refused.to_string().contains("no capture"), "{refused}");
    for (file, snap) in [("a.pcapng", 60), ("b.pcapng", 20)] {
        let arguments = match file {
            "a.pcapng" => json!({}),
            _ => json!({ "file": path(file), "snap_bytes": 20 }),
        };
        let status = bench.command("start", arguments).unwrap();
        assert_eq!(status["state"], "capturing");
        assert_eq!(status["path"], json!(path(file)));
        let again = bench.command("start", json!({})).unwrap_err();
        assert!(again.to_string().contains("stop it first"), "{again}");
        bench.run(StageBench::CLIENTS, &frames(0..10));
        let status = bench.command("stop", json!({})).unwrap();
        assert_eq!(status["packets"], 10);
        assert!(
            one(&path(file))
                .packets
                .iter()
                .all(|packet| packet.data.len() == snap)
        );
        bench.run(StageBench::CLIENTS, &frames(0..10));
    }
    for wrong in [
        json!({ "file": path("x"), "pipe": path("y") }),
        json!({ "file": null }),
        json!({ "filter": "udp prot" }),
        json!({ "buffer_bytes": 100_000 }),
        json!({ "enabled": true }),
        json!({ "nonsense": 1 }),
        json!([]),
    ] {
        let error = bench.command("start", wrong.clone()).unwrap_err();
        assert!(
            matches!(error, CommandError::Arguments(_)),
            "{wrong}: {error}"
        );
    }
    let unknown = bench.command("go", json!({})).unwrap_err();
    assert!(matches!(unknown, CommandError::Unknown { known, .. } if known.contains(&"start")));
    assert_eq!(bench.counter("packets"), 20);
    bench.assert_conserved();
}

#[test]
fn what_cannot_be_written_is_said_when_it_starts() {
    let folder = folder();
    let secret = folder.path().join("secret");
    fs::write(&secret, "do not touch").unwrap();
    symlink(&secret, folder.path().join("link")).unwrap();
    let mut bench = bench(json!({}));
    for (file, words) in [
        ("/no/such/folder/a.pcapng", "the folder does not exist"),
        ("/dev/null", "it is not a file"),
        ("/tmp", "Is a directory"),
        (
            folder.path().join("link").to_str().unwrap(),
            "symbolic link",
        ),
    ] {
        let error = bench
            .command("start", json!({ "file": file }))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(words) && error.contains(file),
            "{file}: {error}"
        );
    }
    let error = bench
        .command("start", json!({ "pipe": secret }))
        .unwrap_err()
        .to_string();
    assert!(error.contains("something else of that name"), "{error}");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "do not touch");
    bench.assert_conserved();
}

#[test]
fn files_follow_each_other_and_the_oldest_go() {
    let folder = folder();
    let path = folder.path().join("row.pcapng");
    let mut bench = bench(json!({ "file": path, "max_file_bytes": 10_000, "files": 3 }));
    for n in 0..30 {
        bench.run(StageBench::CLIENTS, &frames(n * 30..n * 30 + 30));
        wait(&mut bench, |status| status["packets"] == (n + 1) * 30);
    }
    let status = bench.command("stop", json!({})).unwrap();
    let mut files: Vec<PathBuf> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 3, "{files:?}");
    let count = status["files"].as_u64().unwrap();
    assert!(count > 8, "{count} files");
    let mut all = Vec::new();
    for (n, file) in files.iter().enumerate() {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(
            name.starts_with(&format!("row_{:05}_20", count as usize - 2 + n)),
            "{name}"
        );
        assert!(name.ends_with(".pcapng"));
        let section = one(file);
        assert!(fs::metadata(file).unwrap().len() <= 10_000);
        assert_eq!(section.statistics.len(), 3);
        all.extend(data(&section));
    }
    assert_eq!(
        all,
        frames(900 - all.len() as u32..900),
        "the last ones, without a gap"
    );
    bench.assert_conserved();
}

#[test]
fn traced_packets_are_commented() {
    let folder = folder();
    let path = folder.path().join("a.pcapng");
    let mut bench = bench(json!({ "file": path }));
    let session = bench.trace(1);
    bench.run(StageBench::CLIENTS, &frames(0..2));
    bench.command("stop", json!({})).unwrap();
    let section = one(&path);
    assert_eq!(text(&section.packets[0].options, 1), "trace 1");
    assert!(!section.packets[1].options.contains_key(&1));
    assert!(
        crate::testing::notes(&session)
            .iter()
            .any(|note| note == "captured bytes=66")
    );
    bench.assert_conserved();
}

#[test]
fn several_cores_go_into_one_file_in_order() {
    let folder = folder();
    let path = folder.path().join("a.pcapng");
    let options = BenchOptions {
        cores: 3,
        ..BenchOptions::default()
    };
    let mut bench = StageBench::with(&CaptureKind, json!({ "file": path }), options);
    for n in 0..60 {
        bench.run_on(
            n as usize % 3,
            StageBench::CLIENTS,
            &frames(n * 5..n * 5 + 5),
        );
        bench.advance(MS / 10);
    }
    bench.command("stop", json!({})).unwrap();
    let section = one(&path);
    assert_eq!(section.packets.len(), 300);
    let mut numbers: Vec<u64> = section
        .packets
        .iter()
        .map(|p| number(&p.options, 5))
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 300, "every packet has a number of its own");
    bench.assert_conserved();
}

#[test]
fn segments_are_put_together() {
    let folder = folder();
    let path = folder.path().join("a.pcapng");
    let mut bench = bench(json!({ "file": path, "snap_bytes": 3000 }));
    let long = frame(1, 8000);
    let packet = Packet::from_bytes(bench.pool(), &long).unwrap();
    assert!(packet.segment_count() > 3);
    bench.run_packets(0, StageBench::CLIENTS, vec![packet]);
    bench.command("stop", json!({})).unwrap();
    assert_eq!(data(&one(&path)), [&long[..3000]]);
    bench.assert_conserved();
}

#[test]
fn a_reload_takes_over() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let mut bench = bench(json!({ "file": path("a") }));
    bench.run(StageBench::CLIENTS, &frames(0..5));
    bench
        .reload(&json!({ "file": path("b"), "snap_bytes": 30 }))
        .unwrap();
    bench.run(StageBench::CLIENTS, &frames(5..9));
    let refused = bench
        .reload(&json!({ "file": "/no/such/folder/x" }))
        .unwrap_err();
    assert!(matches!(refused, ReloadError::Refused(_)));
    let fixed = bench
        .reload(&json!({ "file": path("b"), "buffer_bytes": 70_000 }))
        .unwrap_err();
    assert!(matches!(fixed, ReloadError::NeedsRestart(keys) if keys == ["buffer_bytes"]));
    bench.reload(&json!({ "enabled": false })).unwrap();
    bench.run(StageBench::CLIENTS, &frames(0..5));
    assert_eq!(data(&one(&path("a"))), frames(0..5));
    // What a person started goes on when the settings change.
    bench
        .command("start", json!({ "file": path("c") }))
        .unwrap();
    bench.reload(&json!({ "file": path("d") })).unwrap();
    bench.run(StageBench::CLIENTS, &frames(0..7));
    bench.command("stop", json!({})).unwrap();
    assert_eq!(data(&one(&path("c"))), frames(0..7));
    assert!(!path("d").exists());
    bench.assert_conserved();
}

/// A full disk ends the capture, says so, and costs no packet.
#[test]
fn a_full_disk_is_told() {
    let clock = VirtualClock::new();
    let config = serde_json::from_value(json!({ "file": "/dev/full" })).unwrap();
    let session = std::sync::Arc::new(Session::new(1, &config, 1, 1, 0).unwrap());
    let report = SharedReport::default();
    let (orders, receiver) = std::sync::mpsc::channel();
    let writer = Writer::new(
        receiver,
        report.clone(),
        Clock::Virtual(clock),
        Vec::new(),
        1,
    );
    let thread = std::thread::spawn(move || writer.run());
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let job = Job {
        session: session.clone(),
        output: Output::Files(Files::over(full)),
        max_packets: None,
        max_bytes: None,
        max_time: None,
    };
    orders.send(Order::Start(Box::new(job))).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while with(&report, |report| report.state) != State::Failed {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(1));
    }
    let reason = with(&report, |report| report.reason.clone()).unwrap();
    assert!(reason.contains("No space left on device"), "{reason}");
    assert!(!session.wants(crate::packet::Direction::ToServer));
    orders.send(Order::Quit).unwrap();
    thread.join().unwrap();
}

#[test]
fn what_no_host_sends_passes_unharmed() {
    let folder = folder();
    let path = folder.path().join("a.pcapng");
    let mut bench = bench(json!({ "file": path, "filter": "not ip6 or len < 1000" }));
    let mut frames: Vec<_> = hostile::truncated(0).collect();
    frames.extend(hostile::mutated(0, 5, 500));
    for chunk in frames.chunks(64) {
        let sent = bench.run(StageBench::CLIENTS, chunk);
        assert!(sent.iter().map(|sent| &sent.bytes).eq(chunk));
        let captured = bench.counter("packets");
        wait(&mut bench, |status| status["packets"] == captured);
    }
    bench.command("stop", json!({})).unwrap();
    let section = one(&path);
    assert_eq!(section.packets.len() as u64, bench.counter("packets"));
    let filter = crate::filter::Filter::compile("not ip6 or len < 1000").unwrap();
    let wanted = frames
        .into_iter()
        .filter(|frame| filter.matches_bytes(frame, frame.len() as u32));
    assert!(data(&section).into_iter().eq(wanted));
    bench.assert_conserved();
}

/// Wireshark's own tools read our files.
#[test]
fn wiresharks_tools_agree() {
    testkit::require!(
        testkit::Need::Command("capinfos"),
        testkit::Need::Command("tshark")
    );
    let folder = folder();
    let path = folder.path().join("a.pcapng");
    let mut bench = bench(json!({ "file": path, "snap_bytes": 60, "filter": "udp or icmp" }));
    bench.run(StageBench::CLIENTS, &frames(0..40));
    bench.advance(1500 * MS);
    bench.run(
        StageBench::SERVERS,
        &[Frame::ping("10.0.1.1", "10.0.0.1").build()],
    );
    bench.command("stop", json!({})).unwrap();
    bench.assert_conserved();
    let output = Command::new("capinfos").arg(&path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in [
        "Number of packets:   41",
        "Number of interfaces in file: 3",
        "Name = clients",
        "Filter string = udp or icmp",
        "Number of stat entries = 1",
        "Time precision = nanoseconds (9)",
        "Capture application: Sluice",
    ] {
        assert!(told.contains(line), "{line} in\n{told}");
    }
    let output = Command::new("tshark")
        .args(["-r", path.to_str().unwrap(), "-T", "fields"])
        .args([
            "-e",
            "frame.interface_name",
            "-e",
            "frame.time_epoch",
            "-e",
            "frame.len",
        ])
        .args([
            "-e",
            "frame.cap_len",
            "-e",
            "frame.packet_flags_direction",
            "-e",
            "frame.packet_id",
        ])
        .args(["-e", "ip.src"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Vec<&str>> = told
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(lines.len(), 41, "{output:?}");
    assert_eq!(lines[0][..4], ["clients", "0.000000000", "66", "60"]);
    assert_eq!(lines[39][5..], ["39", "10.0.0.1"]);
    assert_eq!(lines[40][..2], ["servers", "1.500000000"]);
    assert_eq!(lines[40][6], "10.0.1.1");
    assert_ne!(lines[0][4], lines[40][4], "directions");
}

#[test]
fn mistakes_are_told_with_their_places() {
    for (config, place) in [
        (json!({ "file": "/tmp/a", "pipe": "/tmp/b" }), "$.pipe"),
        (json!({ "enabled": true }), "$"),
        (json!({ "file": "" }), "$.file"),
        (json!({ "file": "/tmp/a/" }), "$.file"),
        (json!({ "file": "/tmp/a\0b" }), "$.file"),
        (json!({ "filter": "udp prot 5" }), "$.filter"),
        (json!({ "snap_bytes": 5 }), "$.snap_bytes"),
        (json!({ "max_packets": 0 }), "$.max_packets"),
        (
            json!({ "pipe": "/tmp/p", "max_file_bytes": 10_000 }),
            "$.max_file_bytes",
        ),
        (json!({ "file": "/tmp/a", "files": 3 }), "$.files"),
        (json!({ "direction": "up" }), "$.direction"),
        (json!({ "buffer_bytes": 10 }), "$.buffer_bytes"),
        (json!({ "snaplen": 10 }), "$"),
    ] {
        let problems = check(&CaptureKind, &config, &BenchOptions::default());
        let told: Vec<String> = problems
            .iter()
            .map(|p| format!("{}: {}", p.path, p.message))
            .collect();
        assert_eq!(told.len(), 1, "{config}: {told:?}");
        assert!(told[0].starts_with(place), "{config}: {told:?}");
    }
    assert!(CaptureKind.reasons().is_empty(), "a capture drops nothing");
}
