//! The demo tells its story to the end, and leaves nothing behind, also when it is stopped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use testkit::{Need, Process, require, skip};

const LIMIT: Duration = Duration::from_secs(120);

/// One at a time: each takes two processors.
static TURN: Mutex<()> = Mutex::new(());

/// Starts the demo with the programs that cargo has put beside it.
fn start(story: &str) -> Result<Process, String> {
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let programs: PathBuf = xtask.parent().map(Path::to_path_buf).unwrap_or_default();
    for name in ["sluice", "pktgen"] {
        if !programs.join(name).is_file() {
            return Err(format!("{name} is not built: `cargo build -p {name}`"));
        }
    }
    let mut command = Command::new(xtask);
    command.args(["demo", story, "--programs"]).arg(programs);
    Process::spawn("the demo", &mut command).map_err(|error| error.to_string())
}

/// Namespaces of the process `pid`.
fn namespaces(pid: u32) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/var/run/netns") else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.contains(&format!("-{pid}-")))
        .collect()
}

#[test]
fn to_the_end() {
    require!(
        Need::Root,
        Need::Tun,
        Need::Command("memcached"),
        Need::Command("ping"),
        Need::Cpus(2)
    );
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut demo = match start("tour") {
        Ok(demo) => demo,
        Err(reason) => skip!(reason),
    };
    let status = demo.wait(LIMIT).unwrap();
    let log = demo.log();
    assert!(status.success(), "{status}:\n{log}");
    for text in [
        "0% packet loss",
        "checksum",
        "VALUE greeting",
        "denied",
        "sent by port",
        "sluice_port_receive_packets_total",
        "Received",
        "Where to go next",
    ] {
        assert!(log.contains(text), "no {text:?} in:\n{log}");
    }
    assert_eq!(namespaces(demo.pid()), [""; 0]);
}

#[test]
fn cloning_to_the_end() {
    require!(Need::Root, Need::Tun, Need::Cpus(2));
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut demo = match start("clone") {
        Ok(demo) => demo,
        Err(reason) => skip!(reason),
    };
    let status = demo.wait(LIMIT).unwrap();
    let log = demo.log();
    assert!(status.success(), "{status}:\n{log}");
    for text in [
        "the self-test has passed",
        "baseline",
        "c-clone",
        "netclone",
        "nothing goes there any more",
        "gets its share",
        " 0 of the requests lost",
        "Where to go next",
    ] {
        assert!(log.contains(text), "no {text:?} in:\n{log}");
    }
    assert_eq!(namespaces(demo.pid()), [""; 0]);
}

#[test]
fn a_slow_stage_to_the_end() {
    require!(Need::Root, Need::Tun, Need::Cpus(2));
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut demo = match start("sched") {
        Ok(demo) => demo,
        Err(reason) => skip!(reason),
    };
    let status = demo.wait(LIMIT).unwrap();
    let log = demo.log();
    assert!(status.success(), "{status}:\n{log}");
    for text in [
        "moved the stage to the worker",
        "decided: push inspection",
        "decided: pull inspection",
        " 0 packets were dropped by the moves",
        "Where to go next",
    ] {
        assert!(log.contains(text), "no {text:?} in:\n{log}");
    }
    assert_eq!(namespaces(demo.pid()), [""; 0]);
}

#[test]
fn stopped_in_the_middle() {
    require!(
        Need::Root,
        Need::Tun,
        Need::Command("memcached"),
        Need::Command("ping"),
        Need::Cpus(2)
    );
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut demo = match start("tour") {
        Ok(demo) => demo,
        Err(reason) => skip!(reason),
    };
    demo.wait_for_log("checksum", LIMIT).unwrap();
    assert!(!namespaces(demo.pid()).is_empty());
    demo.signal(Signal::INT);
    let status = demo.wait(Duration::from_secs(30)).unwrap();
    assert!(!status.success());
    assert!(
        demo.log()
            .contains("everything that the demo made is removed"),
        "{}",
        demo.log()
    );
    assert_eq!(namespaces(demo.pid()), [""; 0]);
}
