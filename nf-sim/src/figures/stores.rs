//! Figures 11 and 12: GETs and SCANs of Redis and memcached, with times measured of the real ones.
//!
//! A SCAN is one at every server, so the client says what a request is; how long that takes is drawn by each
//! server from what was measured (`cargo xtask measure-service-times`).

use workload::scheme::Scheme;
use workload::service::DrawMode;

use super::curves::{Curves, Line, curves};
use super::{Drawn, Settings, Verdict, model};
use crate::rig::Rig;

const SCHEMES: [Scheme; 3] = [Scheme::Baseline, Scheme::CClone, Scheme::NetClone];

/// SCANs in a hundred requests, and what of the server's own is added to the measured times.
const PANELS: [(&str, u32, &str); 4] = [
    ("-99-1", 1, "none"),
    ("-90-10", 10, "none"),
    ("-99-1-jitter", 1, "1%x15"),
    ("-90-10-jitter", 10, "1%x15"),
];

fn three(
    settings: &Settings,
    (name, title): (&str, &str),
    store: &str,
    scans: u32,
    jitter: &str,
) -> Result<Curves, String> {
    let gets = 100 - scans;
    let rig = |scheme| Rig {
        workers: vec![8; 6],
        service: format!("mix({gets}%:{store}-get,{scans}%:{store}-scan)"),
        jitter: jitter.into(),
        draw: DrawMode::KindBound,
        ..Rig::new(scheme, 1.0)
    };
    let lines = SCHEMES.map(|scheme| {
        let line = Line::new(scheme.name(), rig(scheme));
        match scheme {
            // Its two copies are more than the servers can serve from 0.5 on.
            Scheme::CClone => line.up_to(0.6),
            _ => line,
        }
    });
    let capacity = rig(Scheme::Baseline).capacity()?;
    let title = match jitter {
        "none" => format!("{title}: {gets} % GET, {scans} % SCAN"),
        _ => format!("{title}: {gets} % GET, {scans} % SCAN, one in 100 takes 15 times as long"),
    };
    let loads = settings.loads(&model::LOADS);
    curves(settings, (name, &title), capacity, &loads, &lines)
}

/// Gains of `netclone` over the baseline, by load.
fn gains(curves: &Curves) -> Vec<(f64, f64)> {
    let loads = curves.loads(Scheme::NetClone.name());
    let gain = |load| {
        let than = curves.p99(Scheme::Baseline.name(), load)?;
        Some((load, than / curves.p99(Scheme::NetClone.name(), load)?))
    };
    loads.into_iter().filter_map(gain).collect()
}

/// What the shape of every panel is held to.
fn shape(curves: &Curves, of: &str, verdicts: &mut Vec<Verdict>) {
    let low: Vec<(f64, f64)> = gains(curves)
        .into_iter()
        .filter(|(load, _)| *load <= 0.5)
        .collect();
    let text: Vec<String> = low.iter().map(|(_, gain)| format!("{gain:.2}")).collect();
    verdicts.push(Verdict::new(
        format!("{of}: p99 of the baseline over that of netclone up to load 0.5"),
        "above 1 everywhere",
        text.join(" "),
        !low.is_empty() && low.iter().all(|(_, gain)| *gain > 1.0),
    ));
    for load in [0.1, 0.2] {
        let (Some(c_clone), Some(netclone)) =
            (curves.p99("c-clone", load), curves.p99("netclone", load))
        else {
            continue;
        };
        let of = format!("{of}: p99 of c-clone over that of netclone at load {load}");
        verdicts.push(Verdict::near(of, 1.0, 0.2, Some(c_clone / netclone)));
    }
    if curves.loads("netclone").iter().any(|load| *load > 0.85) {
        let share = curves.best("c-clone") / curves.best("netclone");
        verdicts.push(Verdict::new(
            format!("{of}: most answered a second by c-clone over that of netclone"),
            "about half (at most 0.6)",
            format!("{share:.2}"),
            share <= 0.6,
        ));
    }
}

fn figure(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
    store: &str,
) -> Result<Drawn, String> {
    let mut panels = Vec::new();
    let mut verdicts = Vec::new();
    let mut best = Vec::new();
    for (suffix, scans, jitter) in PANELS {
        let curves = three(settings, (name, title), store, scans, jitter)?;
        let word = match jitter {
            "none" => format!("{}/{scans}, as measured", 100 - scans),
            _ => format!("{}/{scans}, jitter {jitter}", 100 - scans),
        };
        shape(&curves, &word, &mut verdicts);
        let most = gains(&curves)
            .iter()
            .fold(0.0, |most: f64, (_, gain)| most.max(*gain));
        best.push(most);
        panels.push(curves.p99_panel(suffix));
    }
    // The few SCANs of 99/1 are what the others wait for; of 90/10 the 99th percentile is a SCAN itself.
    if let (None, [few, many, few_jitter, many_jitter]) = (&settings.loads, best.as_slice()) {
        verdicts.push(Verdict::new(
            "greatest gain of any load: 99/1 and 90/10 as measured, 99/1 and 90/10 with jitter",
            "more with 99/1 than with 90/10",
            format!("{few:.2} and {many:.2}, {few_jitter:.2} and {many_jitter:.2}"),
            few > many && few_jitter > many_jitter,
        ));
    }
    Ok(Drawn { panels, verdicts })
}

pub(super) fn figure_11(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    figure(settings, name, title, "redis")
}

pub(super) fn figure_12(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    figure(settings, name, title, "memcached")
}
