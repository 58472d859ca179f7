//! Captures of a running appliance: live through a named pipe into tshark, and into a file.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Need, Process, Sluice, require, wait_for};

/// Packets go round between two ring ports for ever.
fn start(capture: &Value) -> Sluice<'static> {
    let port = |name: &str, side: &str| json!({"name": name, "side": side, "device": {"type": "ring", "seed_packets": 64}});
    Sluice::start(json!({
        "ports": [port("clients", "client"), port("servers", "server")],
        "chain": [{"stage": "capture", "name": "cap", "config": capture}],
    }))
}

fn command(sluice: &Sluice<'_>, verb: &str, arguments: &Value) -> Value {
    let answer = sluice.post(&format!("/api/v1/stages/cap/{verb}"), arguments);
    assert_eq!(answer.status, 200, "{verb}: {}", answer.text());
    answer.json()
}

fn passed(sluice: &Sluice<'_>) -> u64 {
    let chain = sluice.json("/api/v1/chain");
    let input = &chain[0]["input"];
    input["to_server"].as_u64().unwrap() + input["to_client"].as_u64().unwrap()
}

fn state(sluice: &Sluice<'_>, wanted: &str) -> Value {
    wait_for(wanted, Duration::from_secs(10), || {
        let status = command(sluice, "status", &json!({}));
        (status["state"] == wanted).then_some(status)
    })
    .unwrap()
}

fn tshark(arguments: &[&str], input: &Path) -> Output {
    Command::new("tshark")
        .arg(arguments[0])
        .arg(input)
        .args(&arguments[1..])
        .output()
        .unwrap()
}

#[test]
fn tshark_reads_the_pipe_while_packets_flow() {
    require!(Need::HugePages(70), Need::Command("tshark"));
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("cap.pipe");
    let sluice = start(&json!({ "pipe": pipe, "max_packets_per_second": 2000 }));
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    state(&sluice, "waiting_for_reader");
    // Twice: a reader that is content goes away, the next one gets a stream of its own.
    for _ in 0..2 {
        let output = tshark(
            &[
                "-i",
                "-c",
                "500",
                "-T",
                "fields",
                "-e",
                "frame.interface_name",
            ],
            &pipe,
        );
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(told.lines().count(), 500);
        for port in ["clients", "servers"] {
            assert!(told.lines().any(|line| line == port), "nothing of {port}");
        }
        state(&sluice, "waiting_for_reader");
    }
    // A reader that is killed in the middle changes nothing for the packets.
    let mut reader = Command::new("cat");
    reader.arg(&pipe).stdout(std::process::Stdio::null());
    let reader = Process::spawn("reader", &mut reader).unwrap();
    state(&sluice, "capturing");
    drop(reader);
    state(&sluice, "waiting_for_reader");
    let before = passed(&sluice);
    wait_for("packets that flow", Duration::from_secs(5), || {
        (passed(&sluice) > before + 10_000).then_some(())
    })
    .unwrap();
    assert_eq!(sluice.json("/api/v1/drops"), json!([]));
    assert_eq!(
        sluice.json("/api/v1/memory")["in_use"],
        128,
        "no packet is lost"
    );
    let (status, _) = sluice.stop();
    assert!(status.success());
    assert!(!pipe.exists(), "the pipe goes with the appliance");
}

#[test]
fn captures_start_and_stop_by_command_under_load() {
    require!(Need::HugePages(70), Need::Command("capinfos"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.pcapng");
    let sluice = start(&json!({}));
    assert_eq!(command(&sluice, "status", &json!({}))["state"], "idle");
    for n in 1..=5u64 {
        command(
            &sluice,
            "start",
            &json!({ "file": file, "max_packets": n * 1000, "snap_bytes": 64 }),
        );
        let status = state(&sluice, "finished");
        assert_eq!(
            (&status["packets"], &status["reason"]),
            (&json!(n * 1000), &json!("max_packets"))
        );
        let output = Command::new("capinfos")
            .args(["-Mc"])
            .arg(&file)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            told.contains(&format!("Number of packets:   {}", n * 1000)),
            "{output:?}"
        );
    }
    // As fast as it goes: what is not missed is in the file.
    command(&sluice, "start", &json!({ "file": file }));
    std::thread::sleep(Duration::from_millis(300));
    let status = command(&sluice, "stop", &json!({}));
    assert!(status["packets"].as_u64().unwrap() > 1000, "{status}");
    let output = Command::new("capinfos")
        .args(["-Mc"])
        .arg(&file)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        told.contains(&format!("Number of packets:   {}\n", status["packets"])),
        "{told}"
    );
    let refused = sluice.post(
        "/api/v1/stages/cap/start",
        &json!({ "file": "/no/such/folder/a.pcapng" }),
    );
    assert_ne!(refused.status, 200);
    assert!(
        refused.text().contains("the folder does not exist"),
        "{}",
        refused.text()
    );
    assert_eq!(sluice.json("/api/v1/drops"), json!([]));
    assert_eq!(sluice.json("/api/v1/memory")["in_use"], 128);
}

/// The packet trace takes filters of the same language.
#[test]
fn a_trace_follows_only_what_its_filter_wants() {
    require!(Need::HugePages(70));
    let sluice = start(&json!({}));
    let refused = sluice.post(
        "/api/v1/trace/start",
        &json!({ "count": 3, "filter": "udp prot 5" }),
    );
    assert_ne!(refused.status, 200);
    assert!(
        refused.text().contains("syntax error"),
        "{}",
        refused.text()
    );
    for (filter, wanted) in [("not udp", 0), ("udp and less 100", 3)] {
        let started = sluice.post(
            "/api/v1/trace/start",
            &json!({ "count": 3, "filter": filter }),
        );
        assert_eq!(started.status, 200, "{}", started.text());
        let before = passed(&sluice);
        wait_for("packets that flow", Duration::from_secs(5), || {
            (passed(&sluice) > before + 10_000).then_some(())
        })
        .unwrap();
        let shown = wait_for("the lines of the trace", Duration::from_secs(5), || {
            let shown = sluice.json("/api/v1/trace");
            (shown["packets"].as_array()?.len() == wanted).then_some(shown)
        })
        .unwrap();
        assert_eq!(shown["remaining"], 3 - wanted, "{filter}");
    }
}
