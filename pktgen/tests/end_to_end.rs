//! The program itself, on the kinds of port that a machine without special hardware has.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Need, Netns, Process, Sluice};

const PKTGEN: &str = env!("CARGO_BIN_EXE_pktgen");

/// Runs keep time and share two processors: one after the other. Their rates are so low that queues of
/// a few hundred packets outlast the pauses of a busy machine.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs to the end of the program and gives its JSON, with what it said if there is none.
fn output(command: &mut Command) -> Value {
    let output = command.output().expect("pktgen starts");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!(
            "{error}: {text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// Nothing lost, doubled or broken, and latency measured for each packet.
fn assert_clean(result: &Value) {
    let sent = result["sent"]["packets"].as_u64().unwrap();
    assert!(sent > 0, "{result}");
    assert_eq!(result["sent"]["tracked_packets"], sent, "{result}");
    assert_eq!(result["received"]["unique_packets"], sent, "{result}");
    assert_eq!(result["loss"]["lost_packets"], 0, "{result}");
    assert_eq!(result["loss"]["duplicate_packets"], 0, "{result}");
    assert_eq!(result["received"]["corrupted_packets"], 0, "{result}");
    assert_eq!(result["latency"]["count"], sent, "{result}");
}

#[test]
fn it_tests_itself_and_writes_a_page() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let mut command = Command::new(PKTGEN);
    command.args([
        "run",
        "--self-test",
        "--rate",
        "100kpps",
        "-d",
        "500ms",
        "--json",
        "--quiet",
    ]);
    command.args([
        "--seed",
        "7",
        "--spacing",
        "poisson",
        "--size",
        "imix",
        "--src-port",
        "1+100",
    ]);
    command.arg("--report").arg(&page);
    let result = output(&mut command);
    assert_clean(&result);
    assert_eq!(
        (&result["kind"], &result["seed"]),
        (&json!("run"), &json!(7))
    );
    assert_eq!(result["flows"]["count"], 100);
    assert!(
        result["latency_hdr"]
            .as_str()
            .unwrap()
            .starts_with("HISTFAAA")
    );
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("Latency by percentile"));
}

#[test]
fn departures_go_to_a_file() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("departures");
    let mut command = Command::new(PKTGEN);
    command.args([
        "run",
        "--self-test",
        "--rate",
        "10kpps",
        "--count",
        "1000",
        "--json",
        "--quiet",
    ]);
    command.arg("--departures").arg(&file);
    assert_clean(&output(&mut command));
    let times = |bytes: Vec<u8>| -> Vec<u64> {
        let (numbers, rest) = bytes.as_chunks();
        assert!(rest.is_empty());
        numbers.iter().copied().map(u64::from_le_bytes).collect()
    };
    let all = times(std::fs::read(&file).unwrap());
    assert_eq!(all.len(), 1000);
    // The last is due after 99.9 ms.
    assert!((99_900_000..10_000_000_000).contains(&all[999]), "{all:?}");
    command.args(["--departures-count", "10"]);
    assert_clean(&output(&mut command));
    assert_eq!(times(std::fs::read(&file).unwrap()).len(), 10);
}

#[test]
fn mistakes_end_with_a_sentence_and_a_status() {
    let run = |args: &[&str]| {
        let output = Command::new(PKTGEN).args(args).output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (status, said) = run(&["run"]);
    assert_eq!(status, Some(1));
    assert!(
        said.contains("no port to send on") && said.contains("--self-test"),
        "{said}"
    );
    let (status, said) = run(&["run", "--port", "memif:/nowhere/at/all.sock"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("is the socket's folder there"), "{said}");
    assert_eq!(run(&["run", "--rate", "quick"]).0, Some(2));
    assert_eq!(run(&["run", "--departures-count", "5"]).0, Some(2));
    let (status, said) = run(&["run", "--self-test", "--departures", "/nowhere/file"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("/nowhere/file"), "{said}");
    let (status, _) = run(&["check", "/nowhere.json"]);
    assert_eq!(status, Some(1));
}

#[test]
fn schema_completions_and_manual_are_printed() {
    for (args, expected) in [
        (&["schema"][..], "\"streams\""),
        (&["completions", "bash"], "_pktgen"),
        (&["completions", "zsh"], "#compdef pktgen"),
        (&["man"], ".TH"),
    ] {
        let output = Command::new(PKTGEN).args(args).output().unwrap();
        assert!(output.status.success());
        assert!(
            String::from_utf8_lossy(&output.stdout).contains(expected),
            "{args:?}"
        );
    }
}

#[test]
fn through_a_veth_pair() {
    let _turn = turn();
    testkit::require!(Need::Root);
    let netns = Netns::new("pgveth");
    netns.ip(&["link", "add", "pg0", "type", "veth", "peer", "name", "pg1"]);
    for name in ["pg0", "pg1"] {
        netns.ip(&["link", "set", name, "up"]);
    }
    let mut command = netns.command(PKTGEN);
    command.args([
        "run",
        "--port",
        "a=af_packet:pg0",
        "--port",
        "b=af_packet:pg1",
    ]);
    command.args([
        "--rate", "3kpps", "-d", "1s", "--json", "--quiet", "--settle", "1s",
    ]);
    command.args(["--src-port", "1000+50", "--size", "64,512,1514"]);
    let result = output(&mut command);
    assert_clean(&result);
    assert_eq!(result["sent"]["packets"], 3_000);
    assert_eq!(result["flows"]["with_reordering"], 0);
}

#[test]
fn an_echo_in_another_process_turns_packets_around() {
    let _turn = turn();
    testkit::require!(Need::Root);
    // Each in a namespace of its own: DPDK's AF_PACKET driver names its fan-out groups by process and
    // interface number so loosely that two processes in one namespace can collide.
    let (here, there) = (Netns::new("pgecho-a"), Netns::new("pgecho-b"));
    here.join(("pg0", &[]), &there, ("pg1", &[]));
    let mut command = there.command(PKTGEN);
    command.args([
        "echo",
        "--port",
        "af_packet:pg1",
        "--cores",
        "0",
        "--address",
        "198.18.9.9",
    ]);
    command.args(["--adaptive", "--json"]);
    let mut echo = Process::spawn("pktgen echo", &mut command).unwrap();
    // The gateway's answer comes from the echo, so the run starts only when that is there.
    let mut command = here.command(PKTGEN);
    command.args(["run", "--port", "af_packet:pg0", "--gateway", "198.18.9.9"]);
    command.args([
        "--rate", "5kpps", "-d", "1s", "--json", "--quiet", "--settle", "1s",
    ]);
    let result = output(&mut command);
    assert_clean(&result);
    let status = echo.terminate(Duration::from_secs(10)).unwrap();
    assert!(status.success(), "{status}: {}", echo.log());
    let log = echo.log();
    let told: Value = log
        .lines()
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap_or_else(|| panic!("no JSON in {log}"));
    assert!(told["returned"].as_u64().unwrap() >= 5_000, "{told}");
    assert!(told["neighbours"].as_u64().unwrap() >= 1, "{told}");
}

/// An appliance that passes packets between two memif ports.
fn memif_appliance(folder: &std::path::Path, chain: Value) -> (Value, Vec<String>) {
    let socket = folder.join("data.sock");
    let port = |name: &str, side: &str, id: u32| {
        json!({"name": name, "side": side,
               "device": {"type": "memif", "role": "server", "socket": socket, "id": id}})
    };
    let config = json!({
        "name": "pgmemif",
        "cores": {"packet": [0], "control": 1, "idle": "adaptive"},
        "ports": [port("clients", "client", 0), port("servers", "server", 1)],
        "chain": chain
    });
    let devices =
        [("a", 0), ("b", 1)].map(|(name, id)| format!("{name}=memif:{}#{id}", socket.display()));
    (config, devices.to_vec())
}

#[test]
fn through_an_appliance_over_memif() {
    let _turn = turn();
    testkit::require!(Need::Root);
    let folder = tempfile::tempdir().unwrap();
    let (config, devices) = memif_appliance(folder.path(), json!([]));
    let sluice = Sluice::start(config);
    for round in 0..2 {
        let mut command = Command::new(PKTGEN);
        for device in &devices {
            command.args(["--port", device]);
        }
        let mut run = Command::new(PKTGEN);
        run.arg("run").args(command.get_args());
        run.args([
            "--rate", "5kpps", "-d", "1s", "--json", "--quiet", "--settle", "1s",
        ]);
        run.args(["--src-port", "1000+10", "--size", "imix"]);
        let result = output(&mut run);
        assert_clean(&result);
        assert_eq!(
            result["sent"]["packets"], 5_000,
            "round {round}: {}",
            result["verdict"]
        );
    }
    drop(sluice);
}

#[test]
fn rfc_2544_against_an_appliance() {
    let _turn = turn();
    testkit::require!(Need::Root);
    let folder = tempfile::tempdir().unwrap();
    let (config, devices) = memif_appliance(folder.path(), json!([]));
    let _sluice = Sluice::start(config);
    let page = folder.path().join("table.html");
    let mut run = Command::new(PKTGEN);
    run.arg("rfc2544");
    for device in &devices {
        run.args(["--port", device]);
    }
    run.args([
        "--sizes",
        "64,1518",
        "--trial",
        "200ms",
        "--latency-trial",
        "300ms",
    ]);
    run.args([
        "--max-rate",
        "20kpps",
        "--bursts",
        "1",
        "--burst-time",
        "50ms",
    ]);
    run.args([
        "--loss-limit",
        "0.001",
        "--json",
        "--quiet",
        "--settle",
        "500ms",
    ]);
    run.arg("--report").arg(&page);
    let result = output(&mut run);
    assert_eq!(result["kind"], "rfc2544");
    assert_eq!(result["sizes"].as_array().unwrap().len(), 2);
    for size in result["sizes"].as_array().unwrap() {
        // Twenty thousand packets a second are little for anything but a stalled machine.
        assert!(size["throughput_pps"].as_f64().unwrap() > 1_000.0, "{size}");
        assert!(size["latency"]["count"].as_u64().unwrap() > 0, "{size}");
    }
    assert!(
        std::fs::read_to_string(page)
            .unwrap()
            .contains("By frame size")
    );
}

#[test]
fn through_tap_ports_of_an_appliance() {
    let _turn = turn();
    testkit::require!(Need::Root, Need::Tun);
    let netns = Netns::new("pgtap");
    let tap = |name: &str, side: &str, interface: &str| json!({"name": name, "side": side, "device": {"type": "tap", "interface": interface}});
    let (one, two) = (testkit::interface_name("a"), testkit::interface_name("b"));
    let config = json!({
        "name": "pgtap",
        "cores": {"packet": [0], "control": 1, "idle": "adaptive"},
        "ports": [tap("clients", "client", &one), tap("servers", "server", &two)],
        "chain": []
    });
    let _sluice = Sluice::builder(config).netns(&netns).start();
    for name in [&one, &two] {
        // No router solicitations or the like from the kernel in between.
        netns.ip(&["link", "set", "dev", name, "addrgenmode", "none", "up"]);
    }
    let mut run = netns.command(PKTGEN);
    run.arg("run");
    for (name, interface) in [("a", &one), ("b", &two)] {
        run.args(["--port", &format!("{name}=af_packet:{interface}")]);
    }
    run.args([
        "--rate", "2kpps", "-d", "1s", "--json", "--quiet", "--settle", "2s",
    ]);
    let result = output(&mut run);
    let sent = result["sent"]["packets"].as_u64().unwrap();
    assert_eq!(sent, 2_000);
    assert_eq!(result["received"]["unique_packets"], sent, "{result}");
}
