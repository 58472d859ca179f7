//! Figures 13 and E-25: what the appliance believes of the servers.

use serde_json::json;
use workload::scheme::Scheme;

use super::curves::{Curves, Line, curves};
use super::table::Chart;
use super::{Drawn, Settings, Verdict, model};
use crate::rig::Rig;
use crate::scenario::Steering;

pub(super) fn figure_13a(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    const EXPECTED: [f64; 9] = [1.00, 1.00, 0.98, 0.90, 0.80, 0.68, 0.56, 0.42, 0.25];
    let rig = Rig::new(Scheme::NetClone, 1.0);
    let capacity = rig.capacity()?;
    let loads = settings.loads(&model::LOADS);
    let lines = [Line::new("netclone", rig)];
    let curves = curves(settings, (name, title), capacity, &loads, &lines)?;
    let mut points = Vec::new();
    let mut verdicts = Vec::new();
    for &load in &loads {
        let runs = curves.runs("netclone", load);
        let idle =
            runs.iter().map(|run| run.servers.idle_share()).sum::<f64>() / runs.len().max(1) as f64;
        points.push((load, idle));
        let place = model::LOADS
            .iter()
            .position(|known| (known - load).abs() < 1e-6);
        if let Some(expected) = place.and_then(|place| EXPECTED.get(place)) {
            verdicts.push(Verdict::new(
                format!("share of the answers that report an empty queue at load {load}"),
                format!("{expected} within 0.05"),
                format!("{idle:.3}"),
                (idle - expected).abs() <= 0.05,
            ));
        }
    }
    let chart = Chart {
        title: title.to_owned(),
        x: "load",
        y: "share of the answers",
        log: false,
        lines: vec![("netclone".into(), points)],
    };
    Ok(Drawn {
        panels: vec![chart.panel(settings, name, "")],
        verdicts,
    })
}

pub(super) fn figure_13b(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let settings = settings.repeated();
    let schemes = [Scheme::Baseline, Scheme::NetClone];
    let lines = schemes.map(|scheme| Line::new(scheme.name(), Rig::new(scheme, 1.0)));
    let capacity = Rig::new(Scheme::Baseline, 1.0).capacity()?;
    let curves = curves(&settings, (name, title), capacity, &[0.9], &lines)?;
    let told = |line: &str| {
        let p99: Vec<f64> = curves
            .runs(line, 0.9)
            .iter()
            .map(|run| run.measured.latency.quantile(0.99) as f64 / 1e3)
            .collect();
        let deviation = workload::statistics::deviation(&p99).unwrap_or(0.0);
        let better = curves.runs(line, 0.9).len();
        (p99, deviation, better)
    };
    let ((baseline, of_baseline, _), (netclone, of_netclone, runs)) =
        (told("baseline"), told("netclone"));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (than, of) = (mean(&baseline), mean(&netclone));
    let worse = baseline
        .iter()
        .zip(&netclone)
        .filter(|(than, of)| of > than)
        .count();
    let lines = [("baseline", baseline), ("netclone", netclone)].map(|(name, values)| {
        let points = values
            .iter()
            .enumerate()
            .map(|(run, p99)| (run as f64 + 1.0, *p99));
        (name.to_owned(), points.collect())
    });
    let chart = Chart {
        title: format!("{title}: 99th percentile of latency of each"),
        x: "run",
        y: "microseconds",
        log: false,
        lines: lines.into(),
    };
    Ok(Drawn {
        panels: vec![chart.panel(&settings, name, ""), curves.p99_panel("-mean")],
        verdicts: vec![Verdict::new(
            "p99 of netclone at load 0.9, mean of ten runs",
            "at most 10 % above that of the baseline",
            format!(
                "{of:.0} ± {of_netclone:.0} us against {than:.0} ± {of_baseline:.0} us; worse in {worse} of {runs} runs"
            ),
            of <= than * 1.1,
        )],
    })
}

pub(super) fn figure_e25(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    // As in the model, a core hears the answers to its own requests only, and there are no pings, whose answers
    // would correct what it has not heard for long.
    let rig = |scheme, cores: u16, mut settings: serde_json::Value| Rig {
        cores,
        steering: Steering::Client,
        clone: {
            settings["probe_interval_us"] = json!(0);
            settings
        },
        ..Rig::new(scheme, 1.0)
    };
    let own = json!({ "state_scope": "per-core" });
    let lines = [
        Line::new("netclone, shared", rig(Scheme::NetClone, 16, json!({}))),
        Line::new(
            "netclone, each core",
            rig(Scheme::NetClonePerCore, 16, json!({})),
        ),
        Line::new(
            "+racksched, shared",
            rig(Scheme::NetCloneRackSched, 16, json!({})),
        ),
        Line::new(
            "+racksched, each core",
            rig(Scheme::NetCloneRackSched, 16, own.clone()),
        ),
        Line::new(
            "+racksched, each core, probe 0.1",
            rig(
                Scheme::NetCloneRackSched,
                16,
                json!({ "state_scope": "per-core", "jsq_probe": 0.1 }),
            ),
        ),
    ];
    let capacity = Rig::new(Scheme::Baseline, 1.0).capacity()?;
    let loads = settings.loads(&[0.2, 0.3, 0.5, 0.7]);
    let drawn = curves(settings, (name, title), capacity, &loads, &lines)?;
    let mut verdicts = Vec::new();
    // 99th percentiles at loads 0.2, 0.3, 0.5, 0.7, and the share of the requests that are cloned at 0.3.
    let model: [(&str, [Option<f64>; 4], f64); 5] = [
        (
            "netclone, shared",
            [Some(64.0), Some(69.0), Some(106.0), Some(138.0)],
            0.97,
        ),
        (
            "netclone, each core",
            [None, Some(72.0), Some(110.0), Some(138.0)],
            0.95,
        ),
        (
            "+racksched, shared",
            [Some(64.0), Some(68.0), Some(103.0), Some(129.0)],
            0.98,
        ),
        (
            "+racksched, each core",
            [Some(98.0), Some(103.0), Some(119.0), Some(135.0)],
            0.65,
        ),
        (
            "+racksched, each core, probe 0.1",
            [Some(66.0), Some(84.0), Some(116.0), Some(135.0)],
            0.85,
        ),
    ];
    for (line, row, cloned) in model {
        for (load, expected) in [0.2, 0.3, 0.5, 0.7].into_iter().zip(row) {
            if let (Some(expected), Some(found)) = (expected, drawn.p99(line, load)) {
                let of = format!("p99 of {line} at load {load}, 16 cores, us");
                verdicts.push(Verdict::near(of, expected, 0.1, Some(found)));
            }
        }
        if let Some(point) = drawn.point(line, 0.3) {
            let of = format!("share of the requests cloned, {line}, load 0.3");
            verdicts.push(Verdict::near(of, cloned, 0.1, Some(point.cloned)));
        }
    }
    let cores = [1, 2, 4, 8, 16];
    let by_cores: Vec<Line> = cores
        .iter()
        .flat_map(|&cores| {
            [
                Line::new(
                    format!("shared {cores}"),
                    rig(Scheme::NetClone, cores, json!({})),
                ),
                Line::new(
                    format!("own {cores}"),
                    rig(Scheme::NetClonePerCore, cores, json!({})),
                ),
            ]
        })
        .collect();
    let load = 0.5;
    let stale = curves(settings, (name, title), capacity, &[load], &by_cores)?;
    let dropped = |curves: &Curves, line: &str| {
        let runs = curves.runs(line, load);
        let clones: u64 = runs.iter().map(|run| run.servers.clones).sum();
        let dropped: u64 = runs.iter().map(|run| run.servers.clones_dropped).sum();
        dropped as f64 / (clones + dropped).max(1) as f64
    };
    let line = |name: &str, word: &str| {
        let points = cores.iter().map(|&cores| {
            (
                f64::from(cores),
                dropped(&stale, &format!("{word} {cores}")),
            )
        });
        (name.to_owned(), points.collect())
    };
    let chart = Chart {
        title: format!("{title}: clones that servers drop at load {load}"),
        x: "cores",
        y: "share of the clones",
        log: false,
        lines: vec![line("shared", "shared"), line("kept by each core", "own")],
    };
    Ok(Drawn {
        panels: vec![drawn.p99_panel(""), chart.panel(settings, name, "-drops")],
        verdicts,
    })
}
