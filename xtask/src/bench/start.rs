//! From the start of the program to the first packet that comes out on the other side.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use serde_json::json;
use testkit::{Netns, Process, wait_for};

use super::harness::{Better, Case, Effort, compare};
use super::{MAIN_CORE, PACKET_CORE, Report, ours};
use crate::programs;

const TAPS: [&str; 2] = ["tap-in", "tap-out"];
const LIMIT: Duration = Duration::from_secs(20);

/// Two TAP ports, nothing between; against testpmd, which does the same.
pub fn start(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    let case = Case {
        bench: "start",
        case: "tap-first-packet".to_owned(),
        unit: "s",
        peer_name: "testpmd io".to_owned(),
        better: Better::Lower,
    };
    report.add(compare(&case, effort.pairs, of_ours, of_testpmd)?);
    Ok(())
}

fn of_ours() -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let devices = TAPS.map(|tap| json!({ "type": "tap", "interface": tap }));
    let mut config = ours::config(&devices, json!([]));
    config["name"] = json!(format!("start-{}", std::process::id()));
    config["control"] = json!({ "socket": folder.path().join("control.sock") });
    let file = folder.path().join("config.json");
    fs::write(&file, config.to_string())?;
    first_packet(|netns| {
        let mut command = netns.command(programs::path("sluice")?);
        command.arg("run").arg(&file);
        Ok(command)
    })
}

pub fn of_testpmd() -> Result<f64> {
    first_packet(|netns| {
        let mut command = netns.command("dpdk-testpmd");
        command.args(["-l", &format!("{MAIN_CORE},{PACKET_CORE}")]);
        command.args([
            "--in-memory",
            "--no-pci",
            "--iova-mode=va",
            "--no-telemetry",
        ]);
        for (number, tap) in TAPS.iter().enumerate() {
            command.args(["--vdev", &format!("net_tap{number},iface={tap}")]);
        }
        command.args([
            "--",
            "--nb-cores=1",
            "--burst=32",
            "--rxd=1024",
            "--txd=1024",
        ]);
        command.args([
            "--total-num-mbufs=16384",
            "--mbcache=256",
            "--forward-mode=io",
        ]);
        // It stops when it can read a line, so it gets an input that stays silent.
        command.stdin(std::process::Stdio::piped());
        Ok(command)
    })
}

/// Starts a forwarder in a namespace of its own and sends broadcasts into its first interface, every
/// millisecond from the moment when it is there, until something comes out of the second.
fn first_packet(command: impl FnOnce(&Netns) -> Result<Command>) -> Result<f64> {
    let netns = Netns::new("start");
    let mut command = command(&netns)?;
    let start = Instant::now();
    let mut process = Process::spawn("forwarder", &mut command)?;
    // Kept open until the end.
    let _stdin = process.stdin();
    let pid = process.pid();
    let interface = wait_for("the first interface", LIMIT, || {
        if let Some(status) = process.ended() {
            return Some(Err(format!("it ended: {status}")));
        }
        received(pid, TAPS[0]).map(|_| Ok(()))
    });
    if let Err(error) = interface.and_then(|result| result) {
        bail!("{error}; its output:\n{}", process.log());
    }
    netns.ip(&["addr", "add", "10.99.0.1/24", "brd", "+", "dev", TAPS[0]]);
    let socket = netns.run(|| -> std::io::Result<UdpSocket> {
        let socket = UdpSocket::bind("10.99.0.1:0")?;
        socket.set_broadcast(true)?;
        Ok(socket)
    })?;
    while start.elapsed() < LIMIT {
        // Fails until the interface is up.
        let _ = socket.send_to(&[0; 18], "10.99.0.255:9");
        thread::sleep(Duration::from_millis(1));
        if received(pid, TAPS[1]).is_some_and(|count| count > 0) {
            return Ok(start.elapsed().as_secs_f64());
        }
    }
    Err(anyhow!(
        "no packet came through within {LIMIT:?}; its output:\n{}",
        process.log()
    ))
}

/// Packets that the kernel has received from an interface of the namespace of `pid`.
fn received(pid: u32, interface: &str) -> Option<u64> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    parse_received(&table, interface)
}

fn parse_received(table: &str, interface: &str) -> Option<u64> {
    let line = table
        .lines()
        .find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table() {
        let table = "Inter-|   Receive\n face |bytes    packets errs\n\
            \x20   lo:       0       1    0\ntap-in: 1000      12    0    0\n";
        assert_eq!(parse_received(table, "tap-in"), Some(12));
        assert_eq!(parse_received(table, "lo"), Some(1));
        assert_eq!(parse_received(table, "tap"), None);
    }
}
