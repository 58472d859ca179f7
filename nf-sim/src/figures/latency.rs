//! Figures 7 and 14: the 99th percentile over load, for several distributions of service times.

use workload::report::curves::Percentile;
use workload::scheme::Scheme;
use workload::service::DrawMode;

use super::curves::{Curves, Line, curves};
use super::model;
use super::{Drawn, Settings, Verdict};
use crate::rig::Rig;

const BASELINE: &str = "baseline";
const C_CLONE: &str = "c-clone";
const NETCLONE: &str = "netclone";

/// Service times of a figure.
#[derive(Clone, Copy)]
struct Service {
    time: &'static str,
    jitter: &'static str,
    draw: DrawMode,
}

const fn service(time: &'static str, jitter: &'static str) -> Service {
    Service {
        time,
        jitter,
        draw: DrawMode::Independent,
    }
}

const EXP_25: &str = "exp(25us)";
const BIMODAL_25: &str = "bimodal(90%:25us,10%:250us)";
const HIGH: &str = "1%x15";
const LOW: &str = "0.1%x15";

fn rig(scheme: Scheme, service: Service) -> Rig {
    let mut rig = Rig::new(scheme, 1.0);
    rig.service = service.time.into();
    rig.jitter = service.jitter.into();
    rig.draw = service.draw;
    rig
}

/// Baseline, C-Clone and NetClone with these service times.
fn three(settings: &Settings, name: &str, title: &str, service: Service) -> Result<Curves, String> {
    let lines = [
        Line::new(BASELINE, rig(Scheme::Baseline, service)),
        // Its two copies are more than the servers can serve from 0.5 on.
        Line::new(C_CLONE, rig(Scheme::CClone, service)).up_to(0.5),
        Line::new(NETCLONE, rig(Scheme::NetClone, service)),
    ];
    let capacity = rig(Scheme::Baseline, service).capacity()?;
    curves(
        settings,
        (name, title),
        capacity,
        &settings.loads(&model::LOADS),
        &lines,
    )
}

fn gain(curves: &Curves, least: f64) -> Verdict {
    let of = "p99 of the baseline over that of netclone, mean over the loads";
    Verdict::at_least(of, least, curves.gain(BASELINE, NETCLONE))
}

/// NetClone is no better than the baseline above load 0.8.
fn no_gain_above(curves: &Curves, load: f64) -> Option<Verdict> {
    let (than, of) = (curves.p99(BASELINE, load)?, curves.p99(NETCLONE, load)?);
    let gain = than / of;
    Some(Verdict::new(
        format!("p99 of the baseline over that of netclone at load {load}"),
        "none: at most 1, or 1.05 as ten runs are apart",
        format!("{gain:.2}"),
        gain <= 1.05,
    ))
}

pub(super) fn figure_7a(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let curves = three(settings, name, title, service(EXP_25, HIGH))?;
    let mut verdicts = vec![gain(&curves, 1.3)];
    verdicts.extend(curves.against(BASELINE, &model::EXP_BASELINE, 0.1));
    verdicts.extend(curves.against(C_CLONE, &model::EXP_C_CLONE, 0.1));
    verdicts.extend(curves.against(NETCLONE, &model::EXP_NETCLONE, 0.1));
    if let Some(p99) = curves.p99(C_CLONE, 0.5) {
        let of = "p99 of c-clone at load 0.5, which is more than it can serve, us";
        verdicts.push(Verdict::at_least(of, 300.0, Some(p99)));
    }
    Ok(Drawn {
        panels: vec![curves.p99_panel("")],
        verdicts,
    })
}

pub(super) fn figure_7b(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let curves = three(&settings.repeated(), name, title, service(BIMODAL_25, HIGH))?;
    let mut verdicts = vec![gain(&curves, 1.15)];
    for load in settings.loads(&model::LOADS) {
        let (Some(than), Some(of)) = (curves.p99(BASELINE, load), curves.p99(NETCLONE, load))
        else {
            continue;
        };
        if load > 0.85 {
            verdicts.push(Verdict::near(
                format!("p99 of netclone over that of the baseline at load {load}"),
                1.02,
                0.2,
                Some(of / than),
            ));
            continue;
        }
        // One request in 100 takes 375 us or more, and the next shorter time is 250 us: the 99th percentile lies
        // exactly between the two, and chance says of each run which it is. The mean of ten lies between.
        verdicts.push(Verdict::new(
            format!("p99 of baseline at load {load}, us"),
            "254 to 379 within 10 %: it lies between two modes",
            format!("{than:.1}"),
            (229.0..=417.0).contains(&than),
        ));
        if let Some(expected) = model::at(&model::BIMODAL_NETCLONE, load) {
            let name = format!("p99 of netclone at load {load}, us");
            verdicts.push(Verdict::near(name, expected, 0.1, Some(of)));
        }
    }
    Ok(Drawn {
        panels: vec![curves.p99_panel("")],
        verdicts,
    })
}

pub(super) fn figure_7c(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let curves = three(settings, name, title, service("exp(50us)", HIGH))?;
    let mut verdicts = vec![gain(&curves, 1.3)];
    verdicts.extend(no_gain_above(&curves, 0.9));
    Ok(Drawn {
        panels: vec![curves.p99_panel("")],
        verdicts,
    })
}

pub(super) fn figure_7d(
    settings: &Settings,
    name: &'static str,
    _: &'static str,
) -> Result<Drawn, String> {
    let bimodal = three(
        &settings.repeated(),
        name,
        "Bimodal(90 %: 50 us, 10 %: 500 us)",
        service("bimodal(90%:50us,10%:500us)", HIGH),
    )?;
    let exponential = three(settings, name, "Exp(500 us)", service("exp(500us)", HIGH))?;
    let mut verdicts = vec![gain(&bimodal, 1.15), gain(&exponential, 1.3)];
    verdicts.extend(no_gain_above(&bimodal, 0.9));
    verdicts.extend(no_gain_above(&exponential, 0.9));
    Ok(Drawn {
        panels: vec![
            bimodal.p99_panel("-bimodal"),
            exponential.p99_panel("-exp500"),
        ],
        verdicts,
    })
}

pub(super) fn figure_14(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let exponential = three(settings, name, title, service(EXP_25, LOW))?;
    let bimodal = three(settings, name, title, service(BIMODAL_25, LOW))?;
    let mut verdicts = vec![gain(&exponential, 1.2)];
    verdicts.extend(exponential.against(BASELINE, &model::LOW_BASELINE, 0.1));
    verdicts.extend(exponential.against(NETCLONE, &model::LOW_NETCLONE, 0.1));
    // The 99th percentile of the bimodal times is the mode of 250 us itself; beyond it lies the gain.
    let beyond: Vec<f64> = settings
        .loads(&[0.1, 0.2, 0.3, 0.4, 0.5])
        .into_iter()
        .filter_map(|load| {
            let (than, of) = (
                bimodal.point(BASELINE, load)?,
                bimodal.point(NETCLONE, load)?,
            );
            Some(than.p99_9_ns.mean / of.p99_9_ns.mean)
        })
        .collect();
    let mean = (!beyond.is_empty()).then(|| beyond.iter().sum::<f64>() / beyond.len() as f64);
    let of = "bimodal: p99.9 of the baseline over that of netclone, mean over loads up to 0.5";
    verdicts.push(Verdict::at_least(of, 1.0, mean));
    Ok(Drawn {
        panels: vec![
            exponential.p99_panel("-exp25"),
            bimodal.panel(
                "-bimodal",
                &[("", Percentile::P99), ("-p999", Percentile::P999)],
            ),
        ],
        verdicts,
    })
}

pub(super) fn figure_e29(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let bound = |time, jitter| Service {
        time,
        jitter,
        draw: DrawMode::RequestBound,
    };
    let high = three(settings, name, title, bound(EXP_25, HIGH))?;
    let bimodal = three(settings, name, title, bound(BIMODAL_25, HIGH))?;
    let low = three(settings, name, title, bound(EXP_25, LOW))?;
    let mut verdicts = high.against(NETCLONE, &model::BOUND_NETCLONE, 0.1);
    verdicts.push(Verdict::near(
        "p99 of the baseline over that of netclone, mean over the loads",
        1.10,
        0.1,
        high.gain(BASELINE, NETCLONE),
    ));
    verdicts.push(Verdict::near(
        "the same with one in 1000",
        1.0,
        0.1,
        low.gain(BASELINE, NETCLONE),
    ));
    Ok(Drawn {
        panels: vec![
            high.p99_panel("-exp25"),
            bimodal.p99_panel("-bimodal"),
            low.p99_panel("-exp25-low"),
        ],
        verdicts,
    })
}
