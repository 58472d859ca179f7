//! `nf-sim figure`.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

use nf_core::check::closest;
use nf_core::dpdk::Eal;

use super::{FigureArgs, STATUS_FOUND, print, write};
use crate::figures::{FIGURES, Figure, Settings, find};
use crate::kinds::Kinds;

/// The figures of these names.
fn chosen(names: &[String]) -> Result<Vec<&'static Figure>, String> {
    if names.iter().any(|name| name == "all") {
        return Ok(FIGURES.iter().collect());
    }
    let figures = names.iter().map(|name| {
        find(name).ok_or_else(|| {
            let near = closest(name, FIGURES.iter().map(|figure| figure.name));
            let hint = near.map_or(String::new(), |near| format!(", did you mean {near:?}?"));
            format!("there is no figure {name:?}{hint}")
        })
    });
    figures.collect()
}

pub(super) fn figure(
    args: &FigureArgs,
    eal: impl FnOnce() -> Result<&'static Eal, String>,
) -> Result<ExitCode, String> {
    if args.names.is_empty() {
        let mut text = String::new();
        for figure in FIGURES {
            let _ = writeln!(text, "{:<14} {}", figure.name, figure.title);
        }
        return print(&text);
    }
    let figures = chosen(&args.names)?;
    if args.requests == 0 || args.repetitions == 0 {
        return Err("at least one request and one repetition are needed".into());
    }
    if let Some(load) = args
        .loads
        .iter()
        .flatten()
        .find(|load| !(**load > 0.0 && **load <= 2.0))
    {
        return Err(format!("a load is above 0 and at most 2, found {load}"));
    }
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let threads = args
        .threads
        .unwrap_or_else(|| nf_core::dpdk::available_cpus().len());
    let settings = Settings {
        requests: args.requests,
        repetitions: args.repetitions,
        loads: args.loads.clone(),
        seed: args.seed,
        threads,
        kinds: Arc::new(Kinds::all()),
        eal: eal()?,
    };
    let mut missed = 0;
    for figure in figures {
        let drawn = figure.draw(&settings)?;
        for panel in &drawn.panels {
            if !args.quiet {
                print(&format!("{}\n", panel.table))?;
            }
            let Some(folder) = &args.out else { continue };
            let stem = format!("{}{}", figure.name, panel.suffix);
            write(&folder.join(format!("{stem}.csv")), &panel.csv)?;
            for (suffix, svg) in &panel.pictures {
                write(&folder.join(format!("{stem}{suffix}.svg")), svg)?;
            }
        }
        for verdict in &drawn.verdicts {
            print(&format!("{}: {verdict}\n", figure.name))?;
        }
        missed += drawn.verdicts.iter().filter(|verdict| !verdict.ok).count();
    }
    Ok(match missed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(STATUS_FOUND),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_chosen_by_name() {
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            chosen(&names).map(|figures| figures.len())
        };
        assert_eq!(names(&["netclone-7a", "NETCLONE-e31"]), Ok(2));
        assert_eq!(names(&["all"]), Ok(FIGURES.len()));
        let error = names(&["netclone-7e"]).unwrap_err();
        assert!(error.contains("did you mean"), "{error}");
    }
}
