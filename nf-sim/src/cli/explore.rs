//! `nf-sim explore`.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nf_core::dpdk::Eal;

use super::{ExploreArgs, STATUS_FOUND, print, write};
use crate::explore::{Failure, Plan, explore as look, invariants, run};
use crate::kinds::Kinds;
use crate::scheduler::explore as scheduler;
use crate::sweep::sweep;

/// Runs where neither their number nor a time is given.
const RUNS: u64 = 100;

/// Runs that are begun together, between two looks at the time.
const TOGETHER: u64 = 16;

/// The numbers of `--keep`.
fn numbers(text: &str) -> Result<Vec<usize>, String> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let numbers = parts.map(|part| {
        part.parse()
            .map_err(|_| format!("--keep takes numbers with commas between, found {part:?}"))
    });
    numbers.collect()
}

pub(super) fn explore(
    args: &ExploreArgs,
    eal: impl FnOnce() -> Result<&'static Eal, String>,
) -> Result<ExitCode, String> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let first = args.seed.unwrap_or(now.as_secs());
    let kinds = Arc::new(Kinds::all());
    let keep = args.keep.as_deref().map(numbers).transpose()?;
    if args.scheduler {
        return of_scheduler(args, first, keep);
    }
    let eal = eal()?;
    if let Some(keep) = keep {
        let plan = Plan::new(first);
        let explored = run(&plan, Some(&keep), invariants, &kinds, eal)?;
        return told(args, &plan, &keep, &explored.wrong);
    }
    let begun = Instant::now();
    let most = args.runs.unwrap_or(match args.seconds {
        Some(_) => u64::MAX,
        None => RUNS,
    });
    let time = args.seconds.map(Duration::from_secs);
    let threads = args
        .threads
        .unwrap_or_else(|| nf_core::dpdk::available_cpus().len());
    let mut runs = 0;
    while runs < most && time.is_none_or(|time| begun.elapsed() < time) {
        let seeds: Vec<u64> = (runs..most.min(runs.saturating_add(TOGETHER)))
            .map(|run| first.wrapping_add(run))
            .collect();
        runs += seeds.len() as u64;
        for failure in sweep(eal, threads, &seeds, |&seed| {
            look(seed, invariants, &kinds, eal)
        }) {
            if let Some(failure) = failure? {
                let plan = Plan::new(failure.seed);
                let status = told(args, &plan, &failure.keep, &failure.wrong)?;
                print(&again(&failure))?;
                return Ok(status);
            }
        }
    }
    print(&format!(
        "{runs} runs from seed {first} on, {:.0} s: nothing that must not be\n",
        begun.elapsed().as_secs_f64()
    ))
}

/// The same for the scheduler of actors; on one thread, as runs are short.
fn of_scheduler(
    args: &ExploreArgs,
    first: u64,
    keep: Option<Vec<usize>>,
) -> Result<ExitCode, String> {
    if let Some(keep) = keep {
        let plan = scheduler::Plan::new(first);
        let wrong = scheduler::run(&plan, Some(&keep))?.wrong;
        return told_of_scheduler(&plan, &keep, &wrong);
    }
    let begun = Instant::now();
    let time = args.seconds.map(Duration::from_secs);
    let runs = args.runs.unwrap_or(match time {
        Some(_) => u64::MAX,
        None => RUNS,
    });
    let mut ran = 0;
    while ran < runs && time.is_none_or(|time| begun.elapsed() < time) {
        if let Some(failure) = scheduler::explore(first.wrapping_add(ran))? {
            let status = told_of_scheduler(&failure.plan, &failure.keep, &failure.wrong)?;
            print(&format!("to see it again: {}\n", failure.command()))?;
            return Ok(status);
        }
        ran += 1;
    }
    print(&format!(
        "{ran} runs from seed {first} on, {:.0} s: nothing that must not be\n",
        begun.elapsed().as_secs_f64()
    ))
}

fn told_of_scheduler(
    plan: &scheduler::Plan,
    keep: &[usize],
    wrong: &[String],
) -> Result<ExitCode, String> {
    let mut text = format!("seed {}: {}\n", plan.seed, plan.words());
    for &index in keep {
        if let Some(event) = plan.events.get(index) {
            let event = serde_json::to_string(event).map_err(|error| error.to_string())?;
            let _ = writeln!(text, "  event {index}: {event}");
        }
    }
    for wrong in wrong {
        let _ = writeln!(text, "  WRONG: {wrong}");
    }
    print(&text)?;
    Ok(match wrong.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(STATUS_FOUND),
    })
}

/// How to see a failure again.
fn again(failure: &Failure) -> String {
    format!("to see it again: {}\n", failure.command)
}

/// Tells what is wrong with a run, if anything is.
fn told(
    args: &ExploreArgs,
    plan: &Plan,
    keep: &[usize],
    wrong: &[String],
) -> Result<ExitCode, String> {
    let mut text = format!("seed {}: {}\n", plan.seed, plan.words());
    for &index in keep {
        if let Some(fault) = plan.faults.get(index) {
            let fault = serde_json::to_string(fault).map_err(|error| error.to_string())?;
            let _ = writeln!(text, "  fault {index}: {fault}");
        }
    }
    for wrong in wrong {
        let _ = writeln!(text, "  WRONG: {wrong}");
    }
    if wrong.is_empty() {
        text.push_str("  nothing that must not be\n");
    }
    print(&text)?;
    if let Some(path) = &args.scenario {
        let scenario = plan.scenario(Some(keep))?;
        let json = serde_json::to_string_pretty(&scenario).map_err(|error| error.to_string())?;
        write(path, &format!("{json}\n"))?;
    }
    Ok(match wrong.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(STATUS_FOUND),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        assert_eq!(numbers("0,3, 12"), Ok(vec![0, 3, 12]));
        assert_eq!(numbers(""), Ok(vec![]));
        assert!(numbers("1,x").is_err());
    }
}
