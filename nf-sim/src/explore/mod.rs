//! Random racks under random faults, looked at for what must never be. What fails is made smaller: faults are
//! taken away, one at a time, as long as it still fails.

mod invariants;
mod plan;

use std::sync::Arc;

use nf_core::dpdk::Eal;
use serde::Serialize;

use crate::kinds::Kinds;
use crate::scenario::{Fault, Scenario};
use crate::world::World;

pub use invariants::Seen;
pub use plan::{Mode, Plan};

/// What a run is held to. Gives what is wrong.
pub type Check = fn(&Plan, &Seen) -> Vec<String>;

/// A run that failed, made as small as it could be.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What is wrong.
    pub wrong: Vec<String>,
    /// Of the faults that its seed gives, the ones that are needed, by number.
    pub keep: Vec<usize>,
    /// Those faults.
    pub faults: Vec<Fault>,
    /// The command that shows it again.
    pub command: String,
}

/// What a run showed: what is wrong, and what was seen.
#[derive(Debug)]
pub struct Explored {
    /// What is wrong.
    pub wrong: Vec<String>,
    /// What was seen.
    pub seen: Seen,
}

/// Runs the plan of a seed with only these of its faults (all for `None`).
pub fn run(
    plan: &Plan,
    keep: Option<&[usize]>,
    check: Check,
    kinds: &Arc<Kinds>,
    eal: &'static Eal,
) -> Result<Explored, String> {
    let seen = look(plan.scenario(keep)?, kinds, eal)?;
    let wrong = check(plan, &seen);
    Ok(Explored { wrong, seen })
}

fn look(scenario: Scenario, kinds: &Arc<Kinds>, eal: &'static Eal) -> Result<Seen, String> {
    let mut world = World::new(scenario, kinds, eal).map_err(|error| error.to_string())?;
    world.run();
    Ok(Seen::of(world))
}

/// The invariants that every run is held to.
pub fn invariants(plan: &Plan, seen: &Seen) -> Vec<String> {
    seen.wrong(plan)
}

/// Runs the plan of a seed; `None` when nothing is wrong, else the failure, made as small as it could be.
pub fn explore(
    seed: u64,
    check: Check,
    kinds: &Arc<Kinds>,
    eal: &'static Eal,
) -> Result<Option<Failure>, String> {
    let plan = Plan::new(seed);
    let first = run(&plan, None, check, kinds, eal)?;
    if first.wrong.is_empty() {
        return Ok(None);
    }
    let mut keep: Vec<usize> = (0..plan.faults.len()).collect();
    let mut wrong = first.wrong;
    // Until no single fault can be spared any more.
    let mut at = 0;
    while at < keep.len() {
        let mut fewer = keep.clone();
        fewer.remove(at);
        let without = run(&plan, Some(&fewer), check, kinds, eal)?;
        if without.wrong.is_empty() {
            at += 1;
        } else {
            (keep, wrong, at) = (fewer, without.wrong, 0);
        }
    }
    let faults = keep
        .iter()
        .filter_map(|&index| plan.faults.get(index).cloned());
    let kept: Vec<String> = keep.iter().map(usize::to_string).collect();
    Ok(Some(Failure {
        seed,
        wrong,
        faults: faults.collect(),
        command: match kept.len() == plan.faults.len() {
            true => format!("nf-sim explore --seed {seed} --runs 1"),
            false => format!(
                "nf-sim explore --seed {seed} --runs 1 --keep '{}'",
                kept.join(",")
            ),
        },
        keep,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::FaultAction;
    use crate::testing::{eal, kinds};

    #[test]
    fn x01_random_faults_break_nothing() {
        for seed in 1..=25 {
            let failure = explore(seed, invariants, &kinds(), eal()).unwrap();
            assert!(failure.is_none(), "{failure:#?}");
        }
    }

    #[test]
    fn a_run_can_be_had_again() {
        let plan = Plan::new(4);
        let hash = || {
            run(&plan, None, invariants, &kinds(), eal())
                .unwrap()
                .seen
                .trace_hash
        };
        assert_eq!(hash(), hash());
    }

    /// Pretends that a crash of the appliance were wrong.
    fn no_crash(plan: &Plan, seen: &Seen) -> Vec<String> {
        assert!(seen.measured.counts.offered > 0 && !plan.faults.is_empty());
        match seen.lives > 1 {
            true => vec!["the appliance died".into()],
            false => Vec::new(),
        }
    }

    #[test]
    fn a_failure_is_made_smaller_until_nothing_can_be_spared() {
        let is_crash = |fault: &Fault| matches!(&fault.what, FaultAction::Crash { node, .. } if node == crate::rig::APPLIANCE);
        let of_interest = |seed: &u64| {
            let plan = Plan::new(*seed);
            plan.faults.len() > 2 && plan.faults.iter().filter(|fault| is_crash(fault)).count() == 1
        };
        let seed = (1..1_000)
            .find(of_interest)
            .expect("a seed with one crash among several faults");
        let failure = explore(seed, no_crash, &kinds(), eal())
            .unwrap()
            .expect("a failure");
        assert_eq!(failure.faults.len(), 1, "{failure:#?}");
        assert!(is_crash(&failure.faults[0]), "{failure:#?}");
        let keep = format!("--seed {seed} --runs 1 --keep '{}'", failure.keep[0]);
        assert!(failure.command.ends_with(&keep), "{}", failure.command);
    }

    #[test]
    fn a_filter_that_is_off_is_found() {
        let plan = Plan::new(1);
        let mut scenario = plan.scenario(Some(&[])).unwrap();
        scenario.appliances[0].chain[0].config["filter"] = serde_json::json!(false);
        let seen = look(scenario, &kinds(), eal()).unwrap();
        let wrong = seen.wrong(&plan);
        assert!(
            wrong.iter().any(|wrong| wrong.contains("redundant")),
            "{wrong:?}"
        );
    }
}
