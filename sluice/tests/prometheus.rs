//! A real Prometheus scrapes a real appliance, and has nothing to complain about.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Body, Endpoint, Need, Process, Sluice, free_port, require, wait_for};

/// How long it scrapes, every second.
const SCRAPES: f64 = 60.0;

fn start() -> Sluice<'static> {
    let port = |name: &str, side: &str| json!({"name": name, "side": side, "device": {"type": "ring", "seed_packets": 64}});
    Sluice::start(json!({
        "ports": [port("clients", "client"), port("servers", "server")],
        "chain": [{"stage": "pass", "name": "one"}, {"stage": "acl", "config": {"rules": []}}],
    }))
}

#[test]
fn promtool_is_content() {
    require!(Need::HugePages(70), Need::Command("promtool"));
    let sluice = start();
    // Device counters are sampled every second.
    std::thread::sleep(Duration::from_millis(1500));
    let text = sluice.get("/metrics").text();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
    for series in [
        "sluice_stage_input_packets_total",
        "sluice_port_up",
        "sluice_mempool_packets",
    ] {
        assert!(text.contains(series), "{series}");
    }
}

#[test]
fn prometheus_scrapes_without_a_warning() {
    require!(Need::HugePages(70), Need::Command("prometheus"));
    let sluice = start();
    let Endpoint::Tcp(target) = sluice.http() else {
        panic!("no address")
    };
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: sluice\n  static_configs:\n  \
         - targets: [\"{target}\"]\n"
    );
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ))
        .arg(format!("--web.listen-address={address}"));
    let mut prometheus = Process::spawn("prometheus", &mut command).unwrap();
    prometheus
        .wait_for_log("Server is ready", Duration::from_secs(30))
        .unwrap();

    let ask = |query: &str| -> Option<f64> {
        let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/api/v1/query?query={query}");
        let endpoint = Endpoint::Tcp(address);
        let answer = testkit::http::request(&endpoint, "GET", &path, Body::Empty).ok()?;
        let answer: Value = serde_json::from_slice(&answer.body).ok()?;
        answer["data"]["result"][0]["value"][1]
            .as_str()?
            .parse()
            .ok()
    };
    let limit = Duration::from_secs(150);
    wait_for("enough scrapes", limit, || {
        (ask("count_over_time(up[10m])")? >= SCRAPES).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", prometheus.log()));
    assert_eq!(
        ask("min_over_time(up[10m])"),
        Some(1.0),
        "every scrape succeeded"
    );
    assert!(ask("count({__name__=~\"sluice_.+\"})").unwrap() > 50.0);
    let rate = ask("sum(rate(sluice_stage_input_packets_total{stage=\"one\"}[10s]))").unwrap();
    assert!(rate > 1000.0, "{rate}");
    assert!(ask("max(scrape_samples_post_metric_relabeling)").unwrap() < 2000.0);

    let log = prometheus.log();
    let complaints: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("level=warn") || line.contains("level=error"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
