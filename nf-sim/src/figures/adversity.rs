//! Figures E-30 and E-31: answers that are lost, doubled or late, and hosts that are far away.

use serde_json::json;
use workload::report::curves::Percentile;
use workload::scheme::Scheme;

use super::curves::{Line, curves};
use super::{Drawn, Settings, Verdict, model};
use crate::rig::Rig;

pub(super) fn figure_e30(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let conditions = [
        ("nothing", json!({})),
        ("loss 1e-4", json!({ "loss": 1e-4 })),
        ("loss 1e-3", json!({ "loss": 1e-3 })),
        ("loss 1e-2", json!({ "loss": 1e-2 })),
        ("duplicates 1e-3", json!({ "duplicate": 1e-3 })),
        (
            "reordering 0.1 by 10 us",
            json!({ "reorder": 0.1, "reorder_ns": 10_000 }),
        ),
    ];
    let lines = conditions.map(|(word, link)| {
        let rig = Rig {
            server_links: link,
            timeout_us: 5_000,
            retries: 6,
            settle_us: 400_000,
            ..Rig::new(Scheme::NetClone, 1.0)
        };
        Line::new(word, rig)
    });
    let capacity = Rig::new(Scheme::NetClone, 1.0).capacity()?;
    let loads = settings.loads(&[0.1, 0.3, 0.5, 0.7]);
    let drawn = curves(settings, (name, title), capacity, &loads, &lines)?;
    let mut verdicts = Vec::new();
    for line in &lines {
        let runs: Vec<_> = loads
            .iter()
            .flat_map(|&load| drawn.runs(&line.name, load))
            .collect();
        let lost: u64 = runs.iter().map(|run| run.measured.counts.lost()).sum();
        let again: u64 = runs
            .iter()
            .map(|run| run.measured.counts.retransmissions)
            .sum();
        let redundant: u64 = runs.iter().map(|run| run.measured.counts.redundant).sum();
        let completed: u64 = runs.iter().map(|run| run.measured.counts.completed).sum();
        verdicts.push(Verdict::new(
            format!("{}: requests lost whose client tries again", line.name),
            "none",
            format!("{lost} of {completed}; sent again {again} times"),
            lost == 0,
        ));
        // A doubled answer counts as the slower one, and the slower one gets through: one for each. A request
        // that was sent again may be answered twice as well.
        let share = redundant as f64 / completed.max(1) as f64;
        let most = if line.name.starts_with("duplicates") {
            3e-3
        } else {
            1e-4
        } + again as f64 / completed.max(1) as f64;
        verdicts.push(Verdict::new(
            format!("{}: redundant answers a request", line.name),
            format!("at most {most:.1e}"),
            format!("{share:.1e}"),
            share <= most,
        ));
    }
    Ok(Drawn {
        panels: vec![drawn.panel("", &[("", Percentile::P99), ("-p999", Percentile::P999)])],
        verdicts,
    })
}

pub(super) fn figure_e31(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let hops = [1, 5, 10, 20];
    let lines: Vec<Line> = hops
        .iter()
        .flat_map(|&hop| {
            [Scheme::Baseline, Scheme::NetClone].map(|scheme| {
                let rig = Rig {
                    hop_ns: hop * 1_000,
                    ..Rig::new(scheme, 1.0)
                };
                Line::new(format!("{scheme}, {hop} us a hop"), rig)
            })
        })
        .collect();
    let capacity = Rig::new(Scheme::NetClone, 1.0).capacity()?;
    let loads = settings.loads(&model::LOADS);
    let drawn = curves(settings, (name, title), capacity, &loads, &lines)?;
    let gain = |hop: u64, load: f64| {
        let than = drawn.p99(&format!("baseline, {hop} us a hop"), load)?;
        Some(than / drawn.p99(&format!("netclone, {hop} us a hop"), load)?)
    };
    let load = loads.first().copied().unwrap_or(0.1);
    let mut verdicts = Vec::new();
    if (load - 0.1).abs() < 1e-6 {
        for (hop, expected) in [(1, 2.3), (20, 1.6)] {
            let of =
                format!("p99 of the baseline over that of netclone at load 0.1, {hop} us a hop");
            verdicts.push(Verdict::near(of, expected, 0.1, gain(hop, load)));
        }
    }
    let gains: Vec<f64> = hops.iter().filter_map(|&hop| gain(hop, load)).collect();
    let found: Vec<String> = gains.iter().map(|gain| format!("{gain:.2}")).collect();
    verdicts.push(Verdict::new(
        format!("the same at 1, 5, 10 and 20 us, load {load}"),
        "the less, the farther",
        found.join(" "),
        gains
            .windows(2)
            .all(|pair| matches!(pair, [near, far] if far < near)),
    ));
    Ok(Drawn {
        panels: vec![drawn.p99_panel("")],
        verdicts,
    })
}
