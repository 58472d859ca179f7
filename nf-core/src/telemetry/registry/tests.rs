//! Sums over cores and restarts, and the page that Prometheus reads.

use std::collections::BTreeSet;

use super::*;
use crate::telemetry::{Collection, Kind};

const REASONS: &[&str] = &["denied"];
const COUNTERS: &[CounterDesc] = &[CounterDesc {
    name: "lookups",
    help: "Rules looked up.",
}];

struct Info;

impl Source for Info {
    fn families(&self) -> Vec<Family> {
        vec![Family::new(
            "sluice_build_info",
            "The build.",
            Kind::Gauge,
            &["version"],
        )]
    }

    fn collect(&self, out: &mut Collection) {
        out.gauge(&self.families()[0], &["1"], 1.0);
    }
}

fn full() -> (Telemetry, Vec<Box<dyn std::any::Any>>) {
    let telemetry = Telemetry::new(1e9);
    let mut writers: Vec<Box<dyn std::any::Any>> = Vec::new();
    for core in [1, 2] {
        let stage = telemetry.stage("front", "acl", core, REASONS, COUNTERS);
        stage.input.add(0, 10);
        stage.forward.add(0, 7);
        stage.dropped(0, 2);
        stage.custom.add(0, 10);
        stage.batch_size.record(10);
        writers.push(Box::new(stage));
        let own = telemetry.core(core);
        own.polls.add(10);
        own.polls_empty.add(6);
        own.polls_full.add(1);
        own.busy_cycles.add(1_500_000_000);
        own.transit[0].record(1500);
        writers.push(Box::new(own));
        let port = telemetry.port("clients", core as u16 - 1);
        port.rx_packets.add(10);
        port.tx_full.add(3);
        writers.push(Box::new(port));
    }
    telemetry.add_source(Arc::new(Info));
    telemetry.set_facts(Facts {
        info: ["edge", "0.1.0", "DPDK"].map(str::to_owned),
        mempool: [100, 7],
        devices: vec![DeviceFacts {
            port: "clients".into(),
            bytes: [640, 0],
            up: true,
            ..DeviceFacts::default()
        }],
    });
    (telemetry, writers)
}

#[test]
fn sums_cores_and_renders() {
    let (telemetry, _writers) = full();
    let text = telemetry.render();
    for line in [
        "sluice_stage_input_packets_total{stage=\"front\",direction=\"to_server\"} 20",
        "sluice_stage_dropped_packets_total{stage=\"front\",reason=\"denied\"} 4",
        "sluice_stage_held_packets{stage=\"front\"} 2",
        "sluice_stage_batch_packets_bucket{stage=\"front\",le=\"8\"} 0",
        "sluice_stage_batch_packets_bucket{stage=\"front\",le=\"16\"} 2",
        "sluice_acl_lookups_total{stage=\"front\"} 20",
        "sluice_core_polls_total{core=\"1\",result=\"partial\"} 3",
        "sluice_core_busy_seconds_total{core=\"2\"} 1.5",
        "sluice_transit_seconds_bucket{direction=\"to_server\",le=\"0.000001\"} 0",
        "sluice_transit_seconds_bucket{direction=\"to_server\",le=\"0.000002\"} 2",
        "sluice_transit_seconds_sum{direction=\"to_server\"} 0.000003",
        "sluice_port_receive_packets_total{port=\"clients\",queue=\"1\"} 10",
        "sluice_port_dropped_packets_total{port=\"clients\",queue=\"0\",reason=\"tx_full\"} 3",
        "sluice_build_info{version=\"1\"} 1",
        "sluice_mempool_in_use_packets 7",
        "sluice_port_receive_bytes_total{port=\"clients\"} 640",
        "sluice_port_up{port=\"clients\"} 1",
        "sluice_info{name=\"edge\",version=\"0.1.0\",dpdk=\"DPDK\"} 1",
        "sluice_tsc_hertz 1000000000",
    ] {
        assert!(text.lines().any(|l| l == line), "missing {line} in\n{text}");
    }
}

#[test]
fn every_sample_is_of_a_listed_family_and_there_once() {
    let (telemetry, _writers) = full();
    let text = telemetry.render();
    let rendered: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect();
    let listed: BTreeSet<_> = telemetry
        .families()
        .into_iter()
        .map(|family| family.name.into_owned())
        .collect();
    assert_eq!(rendered, listed);
    let mut series = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (labels, _) = line.rsplit_once(' ').unwrap();
        assert!(series.insert(labels), "{labels} twice");
    }
}

#[test]
fn names_follow_the_conventions() {
    let (telemetry, _writers) = full();
    for family in telemetry.families() {
        assert!(family.name.starts_with("sluice_"), "{}", family.name);
        let total = family.name.ends_with("_total");
        assert_eq!(total, family.kind == Kind::Counter, "{}", family.name);
        assert!(family.help.ends_with('.'), "{}", family.name);
        let wrong = [
            "ms",
            "us",
            "ns",
            "milliseconds",
            "nanoseconds",
            "count",
            "sum",
        ];
        let words: Vec<&str> = family.name.split('_').collect();
        assert!(
            !words.iter().any(|word| wrong.contains(word)),
            "{}",
            family.name
        );
    }
}

#[test]
fn counts_survive_restarts_of_cores() {
    let telemetry = Telemetry::new(1e9);
    for run in 1..=5 {
        let core = telemetry.core(3);
        let port = telemetry.port("p", 0);
        let stage = telemetry.stage("s", "acl", 3, REASONS, COUNTERS);
        core.loops.add(10);
        port.rx_packets.add(10);
        stage.input.add(1, 10);
        stage.custom.add(0, 1);
        let seen = telemetry.snapshot();
        assert_eq!(seen.cores[&3].loops, run * 10);
        drop((core, port, stage));
        let seen = telemetry.snapshot();
        assert_eq!(seen.cores[&3].loops, run * 10);
        assert_eq!(seen.port("p").rx_packets, run * 10);
        assert_eq!(seen.stage("s").unwrap().total.input[1], run * 10);
        assert_eq!(seen.stage("s").unwrap().total.custom.get("lookups"), run);
    }
    let inner = telemetry.lock();
    assert!(
        inner.cores[&3].live.is_empty(),
        "ended blocks are folded and freed"
    );
    assert!(inner.stages[0].cores[&3].live.is_empty());
}

#[test]
fn custom_names_are_made_fit_for_prometheus() {
    let desc = CounterDesc {
        name: "hits",
        help: "Hits.",
    };
    assert_eq!(
        custom_family("kv-cache", &desc).name,
        "sluice_kv_cache_hits_total"
    );
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    use std::io::Write;
    use std::process::{Command, Stdio};

    let (telemetry, _writers) = full();
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED: promtool is not installed (package prometheus)");
        return;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(telemetry.render().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
