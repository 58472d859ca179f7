//! The shapes that hold whatever the seed, from short runs.

use nf_core::sched::policy::Helping;

use super::super::{Settings, find};
use crate::scheduler::{Discipline, Outcome, Trial, Workload};
use crate::testing::{eal, kinds};

const HYBRID: Discipline = Discipline::Hybrid(Helping::Half);

fn settings(requests: u64, threads: usize) -> Settings {
    Settings {
        requests,
        repetitions: 1,
        loads: None,
        seed: 1,
        threads,
        kinds: kinds(),
        eal: eal(),
    }
}

fn ran(workload: &Workload, discipline: Discipline, cores: usize) -> Outcome {
    let trial = Trial::new(workload, discipline, cores, 0.9);
    let outcome = trial.run().unwrap();
    assert_eq!((outcome.done, outcome.lost), (trial.requests, 0));
    outcome
}

#[test]
fn ip60_actors_that_are_alike_are_served_as_they_come() {
    for cores in [4, 12] {
        let [fcfs, hybrid] =
            [Discipline::Fcfs, HYBRID].map(|one| ran(&Workload::alike(), one, cores));
        assert_eq!(hybrid.regrouped, 0);
        assert_eq!(hybrid.fingerprint(), fcfs.fingerprint());
        let drr = ran(&Workload::alike(), Discipline::Drr, cores);
        assert!(drr.short_p99() > fcfs.short_p99());
    }
}

#[test]
fn ip60_the_short_class_gains_where_classes_differ() {
    let workload = Workload::two("90 % 16 us, 10 % 176 us", 0.1, [16.0, 176.0]);
    for cores in [4, 12] {
        let p99 = |discipline| ran(&workload, discipline, cores).short_p99();
        let (fcfs, drr, hybrid) = (p99(Discipline::Fcfs), p99(Discipline::Drr), p99(HYBRID));
        assert!(hybrid <= 0.6 * fcfs, "{hybrid} of {fcfs}");
        assert!(hybrid <= 1.3 * drr, "{hybrid} of {drr}");
        let turns = p99(Discipline::RoundRobin);
        assert!(turns > fcfs && drr < fcfs, "{turns} {fcfs} {drr}");
    }
}

#[test]
fn ip60_rules_taken_by_the_letter_are_worse_than_none() {
    let workload = Workload::two("90 % 16 us, 10 % 176 us", 0.1, [16.0, 176.0]);
    let p99 = |discipline| ran(&workload, discipline, 12).all.latency_us(0.99);
    let (fcfs, naive) = (p99(Discipline::Fcfs), p99(Discipline::Naive));
    assert!(naive > 3.0 * fcfs, "{naive} of {fcfs}");
}

#[test]
fn classes_within_an_actor_cannot_be_told_apart() {
    let workload = Workload::two("90 % 16 us, 10 % 176 us", 0.1, [16.0, 176.0]).mixed();
    let [fcfs, hybrid] = [Discipline::Fcfs, HYBRID].map(|one| ran(&workload, one, 12));
    assert_eq!(hybrid.fingerprint(), fcfs.fingerprint());
}

#[test]
fn threads_and_repetition_change_nothing() {
    let mut once = settings(3_000, 1);
    once.loads = Some(vec![0.9]);
    let twice = Settings {
        threads: 2,
        ..once.clone()
    };
    for name in ["ipipe-scheduler", "ipipe-slowdown"] {
        let figure = find(name).unwrap();
        let csv = |settings| {
            let panels = figure.draw(settings).unwrap().panels;
            panels
                .into_iter()
                .map(|panel| panel.csv)
                .collect::<Vec<_>>()
        };
        assert_eq!(csv(&once), csv(&twice));
    }
}

#[test]
fn bip8_actors_go_and_come_back_as_load_does() {
    let drawn = find("ipipe-adapt").unwrap().draw(&settings(1, 2)).unwrap();
    for verdict in &drawn.verdicts {
        assert!(verdict.ok, "{verdict}\n{}", drawn.panels[0].table);
    }
}
