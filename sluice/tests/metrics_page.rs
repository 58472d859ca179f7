//! `docs/metrics.md` lists exactly the metrics there are, and the dashboard and the alerts use only
//! those. `SLUICE_BLESS=1` writes the page anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use nf_core::chain::CHAIN_REASONS;
use nf_core::control::appliance::sched_families;
use nf_core::telemetry::{Family, Telemetry};
use serde_json::Value;
use testkit::{Need, require};

const HEAD: &str = "\
# Metrics

Every metric of a Sluice appliance, as `GET /metrics` gives them. This page is generated from the program;
`SLUICE_BLESS=1 cargo test -p sluice --test metrics_page` writes it anew.

Units are base units: seconds, bytes, packets; a counter ends in `_total`. Labels take few values, all known at start:
`stage` and `port` are names of the configuration, `direction` is `to_server` or `to_client`, `core` and `queue` count
from 0, `reason` is a word of the tables below, the same as in traces and in `sluice ctl show drops`. Never is an
address of a client a label.

What is asked most often:

| question | query |
|---|---|
| packets a second into the chain | `sum by (direction) (rate(sluice_stage_input_packets_total{stage=\"NAME\"}[1m]))` |
| what is dropped, and why | `sum by (stage, reason) (rate(sluice_stage_dropped_packets_total[1m])) > 0` |
| how busy a core is | `rate(sluice_core_busy_seconds_total[1m])` |
| 99 % of packets pass within | `histogram_quantile(0.99, sum by (le, direction) (rate(sluice_transit_seconds_bucket[1m])))` |
| where a stage runs | `sluice_sched_actor_place == 1` |
| cycles of a stage per packet | `sum by (stage) (rate(sluice_stage_cycles_total[1m])) / sum by (stage) (rate(sluice_stage_input_packets_total[1m]))` |

The processor's own view of a packet core's load says nothing: a polling core is always at 100 %.
";

const SCHED: &str = "\
An actor is a shard of a stage, called as the stage, and `STAGE@CORE` where there are several packet cores. `group` is
`fcfs`, `drr` or `worker`; `worker` counts from 0. Worker cores are among the cores above as well: their numbers count
on from those of the packet cores.

";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    for (ending, unit) in [
        ("_seconds", "seconds"),
        ("_bytes", "bytes"),
        ("_packets", "packets"),
        ("_cycles", "cycles"),
        ("_hertz", "hertz"),
        ("_messages", "messages"),
        ("_cores", "cores"),
    ] {
        if name.ends_with(ending) {
            return unit;
        }
    }
    ""
}

fn table(text: &mut String, families: &[Family]) {
    text.push_str("| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n");
    for family in families {
        let labels: Vec<String> = family
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let (name, kind, help) = (&family.name, family.kind.name(), &family.help);
        let (labels, unit) = (labels.join(", "), unit(name));
        writeln!(text, "| `{name}` | {kind} | {labels} | {unit} | {help} |").unwrap();
    }
}

fn page() -> String {
    let mut text = format!("{HEAD}\n## Of every appliance\n\n");
    table(&mut text, &sorted(Telemetry::fixed_families()));
    text.push_str("\n## Of an appliance with a scheduler\n\n");
    text.push_str(SCHED);
    table(&mut text, &sorted(sched_families()));
    text.push_str("\n## Of the kinds of stages\n");
    for kind in sluice::registry().iter() {
        let families = Telemetry::stage_families(kind.name(), kind.counters());
        if !families.is_empty() {
            writeln!(text, "\n### `{}`\n", kind.name()).unwrap();
            table(&mut text, &sorted(families));
        }
    }
    text.push_str("\n## Reasons of drops\n\n| where | metric | reasons |\n|---|---|---|\n");
    let mut row = |place: &str, metric: &str, reasons: &[&str]| {
        let reasons: Vec<String> = reasons.iter().map(|reason| format!("`{reason}`")).collect();
        writeln!(text, "| {place} | `{metric}` | {} |", reasons.join(", ")).unwrap();
    };
    let of_stages = "sluice_stage_dropped_packets_total";
    row("the chain itself, stage `chain`", of_stages, CHAIN_REASONS);
    for kind in sluice::registry()
        .iter()
        .filter(|kind| !kind.reasons().is_empty())
    {
        row(
            &format!("stages of kind `{}`", kind.name()),
            of_stages,
            kind.reasons(),
        );
    }
    row(
        "ports",
        "sluice_port_dropped_packets_total",
        &["tx_full", "port_down"],
    );
    text
}

fn sorted(mut families: Vec<Family>) -> Vec<Family> {
    families.sort_by(|a, b| a.name.cmp(&b.name));
    families
}

/// Every name that `/metrics` may give, with the endings of histograms.
fn series() -> BTreeSet<String> {
    let mut families = Telemetry::fixed_families();
    families.extend(sched_families());
    for kind in sluice::registry().iter() {
        families.extend(Telemetry::stage_families(kind.name(), kind.counters()));
    }
    families
        .iter()
        .flat_map(|family| match family.kind.name() {
            "histogram" => ["_bucket", "_sum", "_count"]
                .map(|end| format!("{}{end}", family.name))
                .to_vec(),
            _ => vec![family.name.clone().into_owned()],
        })
        .collect()
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("sluice_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_page_is_what_the_program_says() {
    let path = root().join("docs/metrics.md");
    let page = page();
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page,
        "docs/metrics.md is not what the program says; \
         SLUICE_BLESS=1 cargo test -p sluice --test metrics_page writes it anew"
    );
    let known = series();
    let unknown: Vec<String> = named(HEAD)
        .into_iter()
        .filter(|name| !known.contains(name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_dashboard_uses_metrics_that_exist() {
    let text = std::fs::read_to_string(root().join("docs/monitoring/dashboard.json")).unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    let known = series();
    let mut expressions = 0;
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            expressions += 1;
            let expression = target["expr"].as_str().unwrap();
            let names = named(expression);
            assert!(!names.is_empty(), "{expression}");
            for name in names {
                assert!(
                    known.contains(&name),
                    "{name} of panel {} does not exist",
                    panel["title"]
                );
            }
        }
    }
    assert!(expressions >= 12, "{expressions}");
}

#[test]
fn the_alerts_use_metrics_that_exist() {
    let text = std::fs::read_to_string(root().join("docs/monitoring/alerts.yml")).unwrap();
    let known = series();
    let names = named(&text);
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(known.contains(&name), "{name} of the alerts does not exist");
    }
}

#[test]
fn promtool_takes_the_alerts_and_their_tests() {
    require!(Need::Command("promtool"));
    for args in [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts.test.yml"],
    ] {
        let output = Command::new("promtool")
            .args(args)
            .current_dir(root().join("docs/monitoring"))
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
    }
}

#[test]
fn promtool_understands_the_dashboards_queries() {
    require!(Need::Command("promtool"));
    let text = std::fs::read_to_string(root().join("docs/monitoring/dashboard.json")).unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    let targets = board["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    let rules: Vec<Value> = targets
        .enumerate()
        .map(|(number, target)| {
            let expression = target["expr"].as_str().unwrap();
            let expression = expression
                .replace("$__rate_interval", "1m")
                .replace("$instance", ".*");
            serde_json::json!({"record": format!("query:{number}"), "expr": expression})
        })
        .collect();
    // JSON is YAML as well.
    let rules = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, rules.to_string()).unwrap();
    let output = Command::new("promtool")
        .args(["check", "rules"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
