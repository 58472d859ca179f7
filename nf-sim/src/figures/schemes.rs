//! Figures 8, 10, 15 and E-26: other schemes beside NetClone.

use workload::scheme::Scheme;

use super::curves::{Curves, Line, curves};
use super::{Drawn, Settings, Verdict, model};
use crate::rig::Rig;

/// A latency that only a queue that grows without end has, microseconds.
const OVERLOADED_US: f64 = 1_000.0;

pub(super) fn figure_8(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let rig = |scheme| Rig {
        workers: vec![15; 5],
        ..Rig::new(scheme, 1.0)
    };
    let laedge = |slots, coordinator_ns| Rig {
        slots_per_server: slots,
        coordinator_ns,
        ..rig(Scheme::Laedge)
    };
    let lines = [
        Line::new("c-clone", rig(Scheme::CClone)).up_to(0.5),
        Line::new("laedge, 1 slot", laedge(1, 200)).up_to(0.2),
        Line::new("laedge, 15 slots, 0.2 us", laedge(15, 200)),
        Line::new("laedge, 15 slots, 0.5 us", laedge(15, 500)).up_to(0.5),
        Line::new("laedge, 15 slots, 1 us", laedge(15, 1_000)).up_to(0.3),
        Line::new("netclone", rig(Scheme::NetClone)),
    ];
    let capacity = rig(Scheme::Baseline).capacity()?;
    let loads = settings.loads(&[0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
    let mut curves = curves(settings, (name, title), capacity, &loads, &lines)?;
    let ceilings = [200.0, 500.0, 1_000.0].map(|ns| format!("{:.1}", 1e3 / ns));
    curves.sweep.notes.push(format!(
        "the coordinator takes in at most {} million packets a second at 0.2, 0.5 and 1 us each",
        ceilings.join(", ")
    ));
    let share = |line: &str| curves.best(line) / capacity;
    let within = |line: &str, load: f64| {
        curves
            .p99(line, load)
            .is_some_and(|p99| p99 < OVERLOADED_US)
    };
    // The highest load at which a line still holds.
    let holds = |line: &str| {
        let held = loads.iter().copied().filter(|&load| within(line, load));
        held.fold(0.0, f64::max)
    };
    let verdicts = vec![
        Verdict::new(
            "most answered a second, as shares of the capacity",
            "netclone above c-clone above laedge with the slots of its program",
            format!(
                "netclone {:.2}, c-clone {:.2}, laedge {:.2}",
                share("netclone"),
                share("c-clone"),
                share("laedge, 1 slot")
            ),
            settings.loads.is_some()
                || (share("netclone") > share("c-clone")
                    && share("c-clone") > share("laedge, 1 slot")),
        ),
        Verdict::new(
            "laedge with 1 slot saturates at",
            "a load of 0.02 to 0.1",
            format!("{:.3}", share("laedge, 1 slot")),
            settings.loads.is_some() || (0.02..=0.1).contains(&share("laedge, 1 slot")),
        ),
        Verdict::new(
            "laedge with 15 slots holds up to load",
            "the less, the longer the coordinator takes for a packet",
            format!(
                "{:.2} at 0.2 us, {:.2} at 0.5 us, {:.2} at 1 us",
                holds("laedge, 15 slots, 0.2 us"),
                holds("laedge, 15 slots, 0.5 us"),
                holds("laedge, 15 slots, 1 us")
            ),
            settings.loads.is_some()
                || (holds("laedge, 15 slots, 0.2 us") > holds("laedge, 15 slots, 0.5 us")
                    && holds("laedge, 15 slots, 0.5 us") > holds("laedge, 15 slots, 1 us")),
        ),
    ];
    Ok(Drawn {
        panels: vec![curves.p99_panel("")],
        verdicts,
    })
}

/// Baseline, RackSched, NetClone, and both, on these servers.
fn four(
    settings: &Settings,
    (name, title): (&str, &str),
    service: &str,
    workers: &[u32],
) -> Result<Curves, String> {
    let rig = |scheme| Rig {
        workers: workers.to_vec(),
        service: service.into(),
        ..Rig::new(scheme, 1.0)
    };
    let schemes = [
        Scheme::Baseline,
        Scheme::RackSched,
        Scheme::NetClone,
        Scheme::NetCloneRackSched,
    ];
    let lines = schemes.map(|scheme| Line::new(scheme.name(), rig(scheme)));
    let capacity = rig(Scheme::Baseline).capacity()?;
    curves(
        settings,
        (name, title),
        capacity,
        &settings.loads(&model::LOADS),
        &lines,
    )
}

pub(super) fn figure_10(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    const EXP: &str = "exp(25us)";
    const BIMODAL: &str = "bimodal(90%:25us,10%:250us)";
    let equal = [15; 6];
    let unequal = [15, 15, 15, 8, 8, 8];
    let both = "netclone+racksched";
    let draw = |service, workers: &[u32]| four(settings, (name, title), service, workers);
    let exp_equal = draw(EXP, &equal)?;
    let exp_unequal = draw(EXP, &unequal)?;
    let bimodal_equal = draw(BIMODAL, &equal)?;
    let bimodal_unequal = draw(BIMODAL, &unequal)?;
    let mut verdicts = vec![
        Verdict::near(
            "equal, Exp(25): p99 of the baseline over that of netclone+racksched, mean over the loads",
            1.71,
            0.1,
            exp_equal.gain("baseline", both),
        ),
        Verdict::near(
            "equal, Exp(25): p99 of the baseline over that of racksched, mean over the loads",
            1.09,
            0.1,
            exp_equal.gain("baseline", "racksched"),
        ),
    ];
    for (load, expected) in [(0.5, 110.0), (0.7, 135.0), (0.9, 158.0)] {
        if let Some(p99) = exp_unequal.p99(both, load) {
            let of = format!("unequal, Exp(25): p99 of {both} at load {load}, us");
            verdicts.push(Verdict::near(of, expected, 0.15, Some(p99)));
        }
    }
    for line in ["baseline", "netclone"] {
        if let Some(p99) = exp_unequal.p99(line, 0.8) {
            let of = format!(
                "unequal, Exp(25): p99 of {line} at load 0.8, where its small servers are overloaded, us"
            );
            verdicts.push(Verdict::at_least(of, OVERLOADED_US, Some(p99)));
        }
    }
    if let Some(p99) = exp_unequal.p99("racksched", 0.9) {
        verdicts.push(Verdict::new(
            "unequal, Exp(25): p99 of racksched at load 0.9, us",
            format!("below {OVERLOADED_US}"),
            format!("{p99:.1}"),
            p99 < OVERLOADED_US,
        ));
    }
    Ok(Drawn {
        panels: vec![
            exp_equal.p99_panel("-exp25-equal"),
            exp_unequal.p99_panel("-exp25-unequal"),
            bimodal_equal.p99_panel("-bimodal-equal"),
            bimodal_unequal.p99_panel("-bimodal-unequal"),
        ],
        verdicts,
    })
}

pub(super) fn figure_15(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let rig = |scheme| Rig {
        clients: 1,
        // With every answer twice, 2.5 million a second are soon too many.
        client_receive_ns: 400,
        ..Rig::new(scheme, 1.0)
    };
    let schemes = [Scheme::Baseline, Scheme::NetClone, Scheme::NetCloneNoFilter];
    let lines = schemes.map(|scheme| Line::new(scheme.name(), rig(scheme)));
    let capacity = rig(Scheme::Baseline).capacity()?;
    let loads = settings.loads(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75]);
    let mut curves = curves(settings, (name, title), capacity, &loads, &lines)?;
    for scheme in schemes {
        for &load in &loads {
            let runs = curves.runs(scheme.name(), load);
            let busy: f64 =
                runs.iter().map(|run| run.client_busy).sum::<f64>() / runs.len().max(1) as f64;
            let note = format!(
                "{scheme} at load {load}: the client's receiver is busy for {:.0} %",
                busy * 100.0
            );
            curves.sweep.notes.push(note);
        }
    }
    let ratio = |of: &str, than: &str, load| Some(curves.p99(of, load)? / curves.p99(than, load)?);
    let mut verdicts = Vec::new();
    for (load, than, expected, ok) in [
        (
            0.1,
            "netclone",
            "no harm at low load (0.9 to 1.1)",
            (0.9, 1.1),
        ),
        (
            0.2,
            "netclone",
            "no harm at low load (0.9 to 1.1)",
            (0.9, 1.1),
        ),
        (
            0.6,
            "baseline",
            "worse than the baseline at high load (over 1.1)",
            (1.1, f64::INFINITY),
        ),
        (
            0.7,
            "baseline",
            "worse than the baseline at high load (over 1.1)",
            (1.1, f64::INFINITY),
        ),
    ] {
        if let Some(found) = ratio("netclone-nofilter", than, load) {
            verdicts.push(Verdict::new(
                format!("p99 without the filter over that of {than} at load {load}"),
                expected,
                format!("{found:.2}"),
                found >= ok.0 && found <= ok.1,
            ));
        }
    }
    let redundant = |line: &str| -> u64 {
        let runs = loads.iter().flat_map(|&load| curves.runs(line, load));
        runs.map(|run| run.measured.counts.redundant).sum()
    };
    verdicts.push(Verdict::new(
        "redundant answers at the client",
        "none with the filter, many without",
        format!(
            "{} and {}",
            redundant("netclone"),
            redundant("netclone-nofilter")
        ),
        redundant("netclone") == 0 && redundant("netclone-nofilter") > 0,
    ));
    Ok(Drawn {
        panels: vec![curves.p99_panel("")],
        verdicts,
    })
}

pub(super) fn figure_e26(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let schemes = [
        Scheme::Baseline,
        Scheme::NetClone,
        Scheme::AlwaysClone,
        Scheme::NetCloneNoDrop,
    ];
    let lines = schemes.map(|scheme| Line::new(scheme.name(), Rig::new(scheme, 1.0)));
    let capacity = Rig::new(Scheme::Baseline, 1.0).capacity()?;
    let loads = settings.loads(&model::LOADS);
    let mut curves = curves(settings, (name, title), capacity, &loads, &lines)?;
    let dropped = |curves: &Curves, line: &str, load| {
        let runs = curves.runs(line, load);
        let clones: u64 = runs.iter().map(|run| run.servers.clones).sum();
        let dropped: u64 = runs.iter().map(|run| run.servers.clones_dropped).sum();
        let all = clones + dropped;
        (all > 0).then(|| dropped as f64 / all as f64)
    };
    let mut verdicts = Vec::new();
    for (load, p99, share) in [
        (0.5, 97.0, 0.27),
        (0.7, 131.0, 0.63),
        (0.8, 159.0, 0.77),
        (0.9, 313.0, 0.89),
    ] {
        let line = Scheme::AlwaysClone.name();
        if let Some(found) = curves.p99(line, load) {
            let of = format!("p99 of {line} at load {load}, us");
            let within = 0.1 + model::spread(load, p99);
            verdicts.push(Verdict::near(of, p99, within, Some(found)));
            let of = format!("share of the clones that servers drop, {line} at load {load}");
            verdicts.push(Verdict::near(of, share, 0.1, dropped(&curves, line, load)));
        }
    }
    if let Some(found) = curves.p99(Scheme::NetCloneNoDrop.name(), 0.9) {
        verdicts.push(Verdict::near(
            "p99 of netclone-nodrop at load 0.9, us",
            276.0,
            0.1 + model::spread(0.9, 276.0),
            Some(found),
        ));
    }
    for scheme in schemes {
        for &load in &loads {
            if let Some(share) = dropped(&curves, scheme.name(), load) {
                let note = format!(
                    "{scheme} at load {load}: servers drop {:.1} % of the clones",
                    share * 100.0
                );
                curves.sweep.notes.push(note);
            }
        }
    }
    if verdicts.is_empty() {
        let found = dropped(
            &curves,
            Scheme::NetCloneNoDrop.name(),
            loads.first().copied().unwrap_or(0.0),
        );
        let text = format!("{:.2}", found.unwrap_or(0.0));
        verdicts.push(Verdict::new(
            "share of the clones dropped without dropping",
            "0",
            text,
            found.is_none_or(|share| share == 0.0),
        ));
    }
    Ok(Drawn {
        panels: vec![curves.p99_panel("")],
        verdicts,
    })
}
