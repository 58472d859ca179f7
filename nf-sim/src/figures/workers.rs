//! Figures 9 and E-27: how many servers, and how many workers they have.

use workload::scheme::Scheme;

use super::curves::{Curves, Line, curves};
use super::{Drawn, Settings, Verdict, model};
use crate::rig::Rig;

fn two(
    settings: &Settings,
    name: &str,
    title: &str,
    workers: &[u32],
    loads: &[f64],
) -> Result<Curves, String> {
    let rig = |scheme| Rig {
        workers: workers.to_vec(),
        ..Rig::new(scheme, 1.0)
    };
    let lines =
        [Scheme::Baseline, Scheme::NetClone].map(|scheme| Line::new(scheme.name(), rig(scheme)));
    curves(
        settings,
        (name, title),
        rig(Scheme::Baseline).capacity()?,
        loads,
        &lines,
    )
}

pub(super) fn figure_9(
    settings: &Settings,
    name: &'static str,
    _: &'static str,
) -> Result<Drawn, String> {
    let loads = settings.loads(&model::LOADS);
    let mut panels = Vec::new();
    let mut verdicts = Vec::new();
    let mut best = Vec::new();
    for servers in [2usize, 4, 6] {
        let title = format!("{servers} servers of 15 workers, Exp(25 us)");
        let curves = two(settings, name, &title, &vec![15; servers], &loads)?;
        let low = loads.iter().filter(|&&load| load <= 0.5);
        let lower = low.clone().all(|&load| {
            match (curves.p99("netclone", load), curves.p99("baseline", load)) {
                (Some(of), Some(than)) => of < than,
                _ => false,
            }
        });
        let found = low.map(|&load| {
            let gain = curves
                .p99("baseline", load)
                .zip(curves.p99("netclone", load));
            format!("{:.2}", gain.map_or(0.0, |(than, of)| than / of))
        });
        verdicts.push(Verdict::new(
            format!("{servers} servers: p99 of the baseline over that of netclone up to load 0.5"),
            "above 1 everywhere",
            found.collect::<Vec<_>>().join(" "),
            lower,
        ));
        best.push(curves.best("netclone") / servers as f64);
        panels.push(curves.p99_panel(&format!("-{servers}")));
    }
    let (least, most) = best
        .iter()
        .fold((f64::INFINITY, 0.0f64), |(least, most), &best| {
            (least.min(best), most.max(best))
        });
    verdicts.push(Verdict::new(
        "most answered a second by a server, with 2, 4 and 6 of them",
        "the same within 5 %: it scales",
        format!("{least:.0} to {most:.0}"),
        most / least < 1.05,
    ));
    Ok(Drawn { panels, verdicts })
}

/// The load up to which NetClone's 99th percentile is the lower one, between the loads that were run.
fn break_even(curves: &Curves, loads: &[f64]) -> f64 {
    let mut last = (0.0, f64::INFINITY);
    for &load in loads {
        let Some((of, than)) = curves
            .p99("netclone", load)
            .zip(curves.p99("baseline", load))
        else {
            continue;
        };
        let ratio = than / of;
        if ratio < 1.0 {
            // Straight between the two, in the logarithm of the ratio.
            let (before, now) = (f64::min(last.1, 10.0).ln(), ratio.ln());
            return last.0 + (load - last.0) * before / (before - now);
        }
        last = (load, ratio);
    }
    last.0
}

pub(super) fn figure_e27(
    settings: &Settings,
    name: &'static str,
    _: &'static str,
) -> Result<Drawn, String> {
    let own: Vec<f64> = (2..=18).map(|step| f64::from(step) * 0.05).collect();
    let loads = settings.loads(&own);
    let mut panels = Vec::new();
    let mut verdicts = Vec::new();
    for (workers, expected) in [(1u32, 0.35), (2, 0.4), (4, 0.5), (8, 0.65), (15, 0.75)] {
        let title = format!("Six servers of {workers} workers, Exp(25 us)");
        let curves = two(settings, name, &title, &[workers; 6], &loads)?;
        let found = break_even(&curves, &loads);
        verdicts.push(Verdict::new(
            format!("{workers} workers: netclone's p99 beats the baseline's up to load"),
            format!("about {expected}, within 0.1"),
            format!("{found:.2}"),
            settings.loads.is_some() || (found - expected).abs() <= 0.1,
        ));
        panels.push(curves.p99_panel(&format!("-{workers}")));
    }
    Ok(Drawn { panels, verdicts })
}
