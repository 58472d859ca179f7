//! RPC workloads, the programs themselves: clients, emulated servers and the coordinator, over sockets and
//! over ports.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Need, Netns, Process, Sluice};

const PKTGEN: &str = env!("CARGO_BIN_EXE_pktgen");

const LIMIT: Duration = Duration::from_secs(60);

/// One after the other: they share two processors.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// Starts `pktgen serve`, and waits until it is there.
fn serve(mut command: Command, flags: &str) -> Process {
    command.arg("serve").args(words(flags)).arg("--json");
    let mut process = Process::spawn("serve", &mut command).expect("pktgen starts");
    process.wait_for_log("capacity", LIMIT).expect("it serves");
    process
}

/// Ends a program and gives the JSON that it has printed last.
fn end(mut process: Process) -> Value {
    process.terminate(LIMIT).expect("it ends");
    let log = process.log();
    let line = log.lines().rfind(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {log}"))
}

/// Runs `pktgen rpc` to its end.
fn rpc(mut command: Command, flags: &str) -> Value {
    command
        .arg("rpc")
        .args(words(flags))
        .args(words("--json --quiet --seed 5"));
    if !flags.contains("--settle") {
        command.args(["--settle", "10s"]);
    }
    let output = command.output().expect("pktgen starts");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("{error}: {text}\n{said}")
    })
}

fn pktgen() -> Command {
    Command::new(PKTGEN)
}

fn curve<'a>(result: &'a Value, name: &str) -> &'a Value {
    let curves = result["curves"].as_array().unwrap();
    let found = curves.iter().find(|curve| curve["name"] == name);
    &found.unwrap_or_else(|| panic!("no curve {name}: {result}"))["points"][0]
}

/// All that was asked was answered, each once, at the rate asked for.
fn assert_whole(point: &Value, rate: f64) {
    assert_eq!(point["lost"], 0.0, "{point}");
    let offered = point["offered_rps"]["mean"].as_f64().unwrap();
    assert!((offered / rate - 1.0).abs() < 0.25, "{point}");
    let run = &point["runs"][0];
    assert_eq!(
        run["counts"]["completed"], run["counts"]["offered"],
        "{point}"
    );
    assert_eq!(run["latency"]["count"], run["counts"]["offered"], "{point}");
    assert_eq!(run["counts"]["malformed"], 0, "{point}");
}

#[test]
fn f25_baseline_c_clone_laedge_and_hedge_over_sockets() {
    let _turn = turn();
    let servers = serve(
        pktgen(),
        "--servers 127.71.1.1+3 --service-time const(500us) --jitter none",
    );
    let mut command = pktgen();
    command.args(words(
        "laedge --listen 127.71.2.1 --servers 127.71.1.1+3 --slots-per-server 15 --json",
    ));
    let coordinator = Process::spawn("laedge", &mut command).unwrap();
    let result = rpc(
        pktgen(),
        "--servers 127.71.1.1+3 --coordinator 127.71.2.1 --scheme M0,c-clone,laedge,hedge \
         --rate 400 -d 1s --warm-up 200ms --clients 2 --source-ports 4 --hedge-after 30s --timeout 3s",
    );
    let mut medians = Vec::new();
    for name in ["baseline", "c-clone", "laedge", "hedge"] {
        let point = curve(&result, name);
        assert_whole(point, 400.0);
        let latency = &point["runs"][0]["latency"];
        assert!(latency["min_ns"].as_u64().unwrap() >= 500_000, "{point}");
        // As the servers tell.
        let service = &point["runs"][0]["service"];
        assert_eq!(service["min_ns"], service["max_ns"], "{service}");
        medians.push(point["redundant"].as_f64().unwrap());
    }
    let [baseline, c_clone, laedge, hedge] = medians[..] else {
        panic!("four schemes");
    };
    // The client gets every second answer with C-Clone; with LÆDGE the coordinator does.
    assert!((0.8..=1.0).contains(&c_clone), "{c_clone}");
    assert_eq!((baseline, laedge, hedge), (0.0, 0.0, 0.0));
    let coordinator = end(coordinator);
    assert!(
        coordinator["cloned"].as_u64().unwrap() > 100,
        "{coordinator}"
    );
    assert!(
        coordinator["redundant"].as_u64().unwrap() > 100,
        "{coordinator}"
    );
    let servers = end(servers);
    assert_eq!(servers["servers"].as_array().unwrap().len(), 3);
    let total = &servers["total"];
    assert_eq!(
        (&total["clones"], &total["malformed"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(total["requests"], total["answers"]);
    assert!(servers["idle_share"].as_f64().unwrap() > 0.5, "{servers}");
}

#[test]
fn f25_netclone_clients_speak_to_the_service() {
    let _turn = turn();
    // Without an appliance in between, a server is the service.
    let servers = serve(
        pktgen(),
        "--servers 127.72.1.1 --service-time exp(100us) --jitter none --errors 50%",
    );
    let result = rpc(
        pktgen(),
        "--vip 127.72.1.1 --groups 6 --scheme M3,M4,M5,M6,M7,M8,M9 --rate 300 -d 300ms --warm-up 50ms \
         --writes 30% --request-size cap(exp(300B),1400B) --response-size 3000 --draw request-bound",
    );
    for name in [
        "racksched",
        "netclone",
        "netclone+racksched",
        "netclone-nofilter",
        "always-clone",
        "netclone-nodrop",
        "netclone-percore",
    ] {
        let point = curve(&result, name);
        assert_eq!(point["lost"], 0.0, "{name}: {point}");
        let failed = point["runs"][0]["counts"]["failed"].as_array().unwrap();
        assert!(
            failed.iter().any(|count| count.as_u64() > Some(0)),
            "{point}"
        );
    }
    assert_eq!(end(servers)["total"]["malformed"], 0);
}

#[test]
fn f26_servers_fall_ill_and_come_back() {
    let _turn = turn();
    let servers = serve(
        pktgen(),
        "--servers 127.73.1.1+2 --workers 4,2 --event 0s:0:kill --event 0s:1:slow:3 \
         --service-time const(100us) --jitter none",
    );
    let result = rpc(
        pktgen(),
        "--servers 127.73.1.1+2 --workers 4,2 --service-time const(100us) --rate 200 -d 1s --warm-up 0s \
         --settle 3s",
    );
    let point = curve(&result, "baseline");
    let lost = point["lost"].as_f64().unwrap();
    assert!(
        (0.3..0.7).contains(&lost),
        "half of them went to a dead server: {point}"
    );
    assert_eq!(
        point["runs"][0]["service"]["min_ns"],
        point["runs"][0]["service"]["max_ns"]
    );
    assert_eq!(point["runs"][0]["service"]["min_ns"], 300_000);
    let servers = end(servers);
    assert!(servers["servers"][0]["lost"].as_u64().unwrap() > 0);
    assert_eq!(servers["servers"][1]["workers"], 2);
}

#[test]
fn f26_workers_that_really_work() {
    let _turn = turn();
    let mut command = pktgen();
    command.args(words(
        "serve --servers 127.74.1.1 --udp-ports 9044 --workers 2 --workers-spin \
         --service-time const(200us) --jitter none --json -d 60s",
    ));
    let servers = Process::spawn("spin", &mut command).unwrap();
    // What is sent before it listens is sent again.
    let result = rpc(
        pktgen(),
        "--servers 127.74.1.1 --rate 50 -d 1s --warm-up 1s --timeout 200ms --retries 6",
    );
    let point = curve(&result, "baseline");
    assert_eq!(point["lost"], 0.0, "{point}");
    assert!(point["runs"][0]["latency"]["min_ns"].as_u64().unwrap() >= 200_000);
    assert!(end(servers)["total"]["answers"].as_u64().unwrap() >= 50);
}

#[test]
fn loads_knees_reports_and_files() {
    let _turn = turn();
    let servers = serve(
        pktgen(),
        "--servers 127.75.1.1+2 --workers 1 --service-time const(2ms) --jitter none",
    );
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let config = json!({
        "servers": "127.75.1.1+2", "workers": 1, "service_time": "const(2ms)", "jitter": "none",
        "scheme": ["baseline", "c-clone"], "load": ["10%", "30%"], "duration": "500ms",
        "warm_up": "50ms", "objective": "1s", "repetitions": 2, "rate": null, "csv": path("a.csv"),
        "svg": path("a.svg"), "title": "A <title>"
    });
    std::fs::write(path("rpc.json"), config.to_string()).unwrap();
    let flags = format!(
        "--config {} --report {} --load 20%",
        path("rpc.json"),
        path("a.html")
    );
    let result = rpc(pktgen(), &flags);
    assert_eq!(
        (&result["kind"], &result["seed"]),
        (&json!("rpc"), &json!(5))
    );
    assert_eq!(result["capacity_rps"], 1000.0);
    let points = result["curves"][1]["points"].as_array().unwrap();
    assert_eq!(points.len(), 1, "the command line goes before the file");
    assert_eq!(points[0]["load"], 0.2);
    assert_eq!(points[0]["runs"].as_array().unwrap().len(), 2);
    assert!(points[0]["p99_ns"]["half_width"].is_number());
    // A machine that stands still answers too little to have one.
    let knee = &result["curves"][0]["knee"];
    assert!(
        knee.is_null() || knee["answered"].as_f64() > Some(100.0),
        "{knee}"
    );
    let page = std::fs::read_to_string(path("a.html")).unwrap();
    assert!(page.contains("A &lt;title&gt;") && page.contains("seed 5, pktgen rpc --config"));
    assert!(
        std::fs::read_to_string(path("a.csv"))
            .unwrap()
            .lines()
            .count()
            == 4
    );
    assert!(
        std::fs::read_to_string(path("a.svg"))
            .unwrap()
            .starts_with("<svg")
    );
    // The capacity by a closed loop: 2 workers, 2 ms.
    let measured = rpc(
        pktgen(),
        "--servers 127.75.1.1+2 --workers 1 --capacity measured --load 30% -d 1s --warm-up 100ms",
    );
    let capacity = measured["capacity_rps"].as_f64().unwrap();
    assert!((100.0..1010.0).contains(&capacity), "{capacity}");
    end(servers);
}

#[test]
fn mistakes_end_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.json");
    std::fs::write(&file, r#"{"schemes": "M0"}"#).unwrap();
    let file = format!("rpc --config {}", file.display());
    for (flags, status, expected) in [
        ("rpc --rate 1k", 1, "--servers"),
        (
            "rpc --servers 127.0.0.1 --rate 1k --scheme M99",
            2,
            "there is no scheme",
        ),
        (
            &*file,
            2,
            "there is no key \"schemes\"; there are scheme, servers",
        ),
        ("rpc --config /nowhere.json", 2, "/nowhere.json"),
        (
            "serve --servers 127.0.0.1 --service-time slow",
            1,
            "--service-time",
        ),
        (
            "serve --servers 127.0.0.1 --port ring --gateway 1.2.3.4 --next-hop 02:00:00:00:00:01",
            2,
            "cannot be used with",
        ),
        ("laedge --listen 127.0.0.1", 1, "--servers"),
        (
            "laedge --listen 127.0.0.1 --servers 127.0.0.2",
            1,
            "two servers",
        ),
    ] {
        let output = pktgen().args(words(flags)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{flags}: {said}");
        assert_eq!(output.status.code(), Some(status), "{flags}: {said}");
    }
}

#[test]
fn presets_draw_what_was_published() {
    let output = pktgen()
        .args(words("presets --samples 200000 --json"))
        .output()
        .unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = result["checks"].as_array().unwrap();
    assert!(checks.len() > 30);
    assert!(
        checks
            .iter()
            .any(|check| check["preset"] == "fleet-size-req")
    );
}

/// Clients on a DPDK port, servers on the kernel's sockets at the other end of a veth pair; and the other
/// way round.
#[test]
fn f25_clients_and_servers_on_ports() {
    let _turn = turn();
    testkit::require!(Need::Root);
    let (here, there) = (Netns::new("rpc-a"), Netns::new("rpc-b"));
    here.join(
        ("pg0", &[]),
        &there,
        ("pg1", &["10.71.0.1/16", "10.71.0.2/16"]),
    );
    testkit::compute_checksums(&there, "pg1");
    let servers = serve(
        there.command(PKTGEN),
        "--servers 10.71.0.1+2 --service-time const(300us) --jitter none",
    );
    let result = rpc(
        here.command(PKTGEN),
        "--port af_packet:pg0 --core 0 --from 10.71.0.20 --clients 2 --source-ports 3 \
         --servers 10.71.0.1+2 --scheme M0,M1 --rate 300 -d 1s --warm-up 200ms --timeout 2s",
    );
    for name in ["baseline", "c-clone"] {
        assert_whole(curve(&result, name), 300.0);
    }
    end(servers);

    let (here, there) = (Netns::new("rpc-c"), Netns::new("rpc-d"));
    here.join(("pg0", &[]), &there, ("pg1", &["10.72.0.9/16"]));
    testkit::compute_checksums(&there, "pg1");
    let servers = serve(
        here.command(PKTGEN),
        "--port af_packet:pg0 --core 0 --servers 10.72.0.1+2 --service-time const(300us) --jitter none",
    );
    let result = rpc(
        there.command(PKTGEN),
        "--servers 10.72.0.1+2 --rate 300 -d 1s --warm-up 200ms --timeout 2s --response-size 4000",
    );
    assert_whole(curve(&result, "baseline"), 300.0);
    let mut ping = there.command("ping");
    ping.args(["-c", "2", "-i", "0.2", "-W", "5", "10.72.0.2"]);
    assert!(ping.output().unwrap().status.success(), "it answers ping");
    end(servers);
}

/// Both on DPDK ports, which share memory.
#[test]
fn f25_clients_and_servers_over_memif() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("m.sock");
    let flags = format!(
        "--port memif-server:{} --core 1 --servers 10.73.0.1+2 --service-time const(300us) --jitter none",
        socket.display()
    );
    let servers = serve(pktgen(), &flags);
    let flags = format!(
        "--port memif:{} --core 0 --from 10.73.0.50 --servers 10.73.0.1+2 --scheme M0,M1 --rate 300 -d 1s \
         --warm-up 200ms --timeout 2s",
        socket.display()
    );
    let result = rpc(pktgen(), &flags);
    for name in ["baseline", "c-clone"] {
        assert_whole(curve(&result, name), 300.0);
    }
    end(servers);
}

/// Four servers behind an appliance that clones, clients before it; each scheme with the appliance's policy
/// that it needs, set on the way.
#[test]
fn f25_every_scheme_through_an_appliance() {
    let _turn = turn();
    testkit::require!(Need::Root, Need::Tun);
    let (clients, servers) = (Netns::quiet("rpc-c"), Netns::quiet("rpc-s"));
    let (one, two) = (testkit::interface_name("c"), testkit::interface_name("s"));
    let tap = |name: &str, side: &str, interface: &str| json!({"name": name, "side": side, "device": {"type": "tap", "interface": interface}});
    let list: Vec<Value> = (0..4)
        .map(|sid| json!({"sid": sid, "ip": format!("10.2.0.{}", 100 + sid)}))
        .collect();
    let sluice = Sluice::start(json!({
        "ports": [tap("clients", "client", &one), tap("servers", "server", &two)],
        "chain": [
            {"stage": "clone", "config": {"vip": ["10.1.9.1"], "l4_ports": [9043], "servers": list}},
            {"stage": "route", "config": {"addresses": {
                "clients": ["10.1.0.1/24", "10.1.9.1/32"], "servers": ["10.2.0.1/24"]
            }}}
        ]
    }));
    clients.adopt(&one, &["10.1.0.2/24"]);
    clients.ip(&["route", "add", "default", "via", "10.1.0.1"]);
    let addresses: Vec<String> = [50, 100, 101, 102, 103]
        .iter()
        .map(|last| format!("10.2.0.{last}/24"))
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    servers.adopt(&two, &addresses);
    servers.ip(&["route", "add", "default", "via", "10.2.0.1"]);
    let emulator = serve(
        servers.command(PKTGEN),
        "--servers 10.2.0.100+4 --service-time exp(500us) --jitter none",
    );
    let mut command = servers.command(PKTGEN);
    command.args(words(
        "laedge --listen 10.2.0.50 --servers 10.2.0.100+4 --slots-per-server 15 --json",
    ));
    let coordinator = Process::spawn("laedge", &mut command).unwrap();
    let script = sluice.folder().join("prepare.sh");
    let ctl = testkit::cargo_binary("sluice");
    let socket = sluice.folder().join("control.sock");
    std::fs::write(
        &script,
        format!(
            "case $PKTGEN_SCHEME in\n\
             racksched) how='policy=jsq filter=true' ;;\n\
             netclone+racksched) how='policy=netclone+jsq filter=true' ;;\n\
             netclone-nofilter) how='policy=netclone filter=false' ;;\n\
             always-clone) how='policy=always filter=true' ;;\n\
             *) how='policy=netclone filter=true' ;;\n\
             esac\n\
             exec {} ctl --socket {} clone policy $how\n",
            ctl.display(),
            socket.display()
        ),
    )
    .unwrap();
    let mut command = clients.command(PKTGEN);
    command.args(["rpc", "--prepare", &format!("sh {}", script.display())]);
    command.args(words(
        "--servers 10.2.0.100+4 --vip 10.1.9.1 --coordinator 10.2.0.50 --scheme M0,M1,M2,M3,M4,M5,M6,M7 \
         --rate 300 -d 1s --warm-up 300ms --timeout 2s --settle 10s --clients 2 --source-ports 4 --seed 5 \
         --json --quiet",
    ));
    let output = command.output().expect("pktgen starts");
    let result: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    for (name, cloned, redundant) in [
        ("baseline", 0.0..0.01, 0.0..0.05),
        ("c-clone", 0.0..0.01, 0.5..1.01),
        ("laedge", 0.0..0.01, 0.0..0.05),
        ("racksched", 0.0..0.01, 0.0..0.05),
        ("netclone", 0.3..1.01, 0.0..0.05),
        ("netclone+racksched", 0.3..1.01, 0.0..0.05),
        ("netclone-nofilter", 0.3..1.01, 0.3..1.01),
        ("always-clone", 0.9..1.01, 0.0..0.05),
    ] {
        let point = curve(&result, name);
        assert_whole(point, 300.0);
        for (key, range) in [("cloned", cloned), ("redundant", redundant)] {
            let found = point[key].as_f64().unwrap();
            assert!(range.contains(&found), "{name}: {key} {found}: {point}");
        }
    }
    end(coordinator);
    let served = end(emulator);
    assert!(
        served["total"]["clones"].as_u64().unwrap() > 500,
        "{served}"
    );
    // The appliance asked whether the servers are there.
    assert!(served["total"]["pings"].as_u64().unwrap() > 0, "{served}");
}
