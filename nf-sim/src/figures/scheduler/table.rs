//! Disciplines compared at load 0.9: who pays for what.

use std::fmt::Write;

use nf_core::sched::policy::Helping;

use super::{Drawn, Lines, Settings, Verdict, at_most, run};
use crate::scheduler::{Discipline, Outcome, Trial, Workload};

/// Load at which they are compared, as a share of the packet cores.
const LOAD: f64 = 0.9;

const CORES: [usize; 2] = [12, 4];

const HYBRID: Discipline = Discipline::Hybrid(Helping::Half);
const STRICT: Discipline = Discipline::Hybrid(Helping::Strict);

/// The workloads: alike, and with longer and rarer tasks.
fn workloads() -> Vec<Workload> {
    vec![
        Workload::alike(),
        Workload::two("90 % 16 us, 10 % 176 us", 0.1, [16.0, 176.0]),
        Workload::two("99.5 % 5 us, 0.5 % 500 us", 0.005, [5.0, 500.0]),
        Workload::two("99.9 % 16 us, 0.1 % 16 ms", 0.001, [16.0, 16_000.0]),
    ]
}

/// What came of one workload on so many cores.
struct Row {
    workload: &'static str,
    cores: usize,
    classes: usize,
    outcomes: Vec<(Discipline, Outcome)>,
}

impl Row {
    fn of(&self, discipline: Discipline) -> Option<&Outcome> {
        let found = self.outcomes.iter().find(|(own, _)| *own == discipline);
        found.map(|(_, outcome)| outcome)
    }

    fn short(&self, discipline: Discipline) -> f64 {
        self.of(discipline).map_or(0.0, Outcome::short_p99)
    }

    fn long(&self, discipline: Discipline) -> f64 {
        self.of(discipline).map_or(0.0, |outcome| outcome.p99(1))
    }

    fn all(&self, discipline: Discipline) -> f64 {
        self.of(discipline)
            .map_or(0.0, |outcome| outcome.all.latency_us(0.99))
    }

    fn name(&self) -> String {
        format!("{}, {} cores", self.workload, self.cores)
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let name = self.name();
        let fcfs = self.short(Discipline::Fcfs);
        let (drr, hybrid) = (self.short(Discipline::Drr), self.short(HYBRID));
        let naive = self.all(Discipline::Naive);
        let mut verdicts = vec![Verdict::new(
            format!("p99 of all, naive rules, {name}, us"),
            format!(
                "2 times that of fcfs or more, {:.0}",
                self.all(Discipline::Fcfs)
            ),
            format!("{naive:.0}"),
            naive >= 2.0 * self.all(Discipline::Fcfs),
        )];
        if self.classes == 1 {
            let of = format!("p99, hybrid, actors alike, {name}, us");
            verdicts.push(at_most(of, hybrid, 1.05, ("fcfs", fcfs)));
            verdicts.push(Verdict::new(
                format!("actors that changed groups, {name}"),
                "none",
                format!("{}", self.of(HYBRID).map_or(0, |outcome| outcome.regrouped)),
                self.of(HYBRID)
                    .is_some_and(|outcome| outcome.regrouped == 0),
            ));
            return verdicts;
        }
        let of = |what: &str| format!("p99 of the short class, {what}, {name}, us");
        verdicts.push(at_most(of("hybrid"), hybrid, 0.6, ("fcfs", fcfs)));
        let better = fcfs.min(drr);
        verdicts.push(at_most(
            of("hybrid"),
            hybrid,
            1.3,
            ("the better of fcfs and drr", better),
        ));
        let turns = self.short(Discipline::RoundRobin);
        verdicts.push(Verdict::new(
            of("one message each in turn"),
            format!("more than drr, {drr:.0}"),
            format!("{turns:.0}"),
            turns > drr,
        ));
        // Strict groups leave cores idle that the other group lacks: one class pays for it.
        let (short, long) = (
            self.short(STRICT) / hybrid,
            self.long(STRICT) / self.long(HYBRID),
        );
        verdicts.push(Verdict::new(
            format!("p99 with strict groups, {name}"),
            "1.3 times or more with one class or the other",
            format!("short {short:.2}, long {long:.2} of the hybrid that helps"),
            short.max(long) >= 1.3,
        ));
        let [paid, before] = [HYBRID, Discipline::Fcfs].map(|discipline| self.long(discipline));
        verdicts.push(Verdict::new(
            format!("p99 of the long class, hybrid, {name}, us"),
            format!("more than with fcfs, {before:.0}: it pays for the short one"),
            format!("{paid:.0}"),
            paid > before,
        ));
        verdicts
    }
}

/// Runs it: each workload on each number of cores under each discipline.
fn rows(settings: &Settings) -> Result<Vec<Row>, String> {
    let workloads = workloads();
    let load = settings.loads(&[LOAD]).first().copied().unwrap_or(LOAD);
    let mut trials = Vec::new();
    for workload in &workloads {
        for cores in CORES {
            trials.extend(Discipline::ALL.map(|discipline| Trial {
                requests: settings.requests,
                seed: settings.seed,
                ..Trial::new(workload, discipline, cores, load)
            }));
        }
    }
    let mut outcomes = run(settings, &trials)?.into_iter();
    let mut rows = Vec::new();
    for workload in &workloads {
        for cores in CORES {
            let of_row = Discipline::ALL.into_iter().zip(outcomes.by_ref());
            rows.push(Row {
                workload: workload.name,
                cores,
                classes: workload.classes.len(),
                outcomes: of_row.collect(),
            });
        }
    }
    Ok(rows)
}

fn table(rows: &[Row]) -> (String, String) {
    let mut text = format!("p99, us, short class (long class)\n{:<36}", "");
    let mut csv = String::from(
        "workload,cores,discipline,short_p99_us,long_p99_us,all_p99_us,all_mean_us,regrouped\n",
    );
    for discipline in Discipline::ALL {
        let _ = write!(text, " {:>20}", discipline.name());
    }
    text.push('\n');
    for row in rows {
        let _ = write!(text, "{:<36}", row.name());
        for (discipline, outcome) in &row.outcomes {
            let long = match row.classes {
                1 => String::new(),
                _ => format!(" ({:.0})", outcome.p99(1)),
            };
            let cell = format!("{:.0}{long}", outcome.short_p99());
            let _ = write!(text, " {cell:>20}");
            let _ = writeln!(
                csv,
                "\"{}\",{},{},{:.1},{:.1},{:.1},{:.1},{}",
                row.workload,
                row.cores,
                discipline.name(),
                outcome.short_p99(),
                outcome.p99(1),
                outcome.all.latency_us(0.99),
                outcome.all.mean_us(),
                outcome.regrouped,
            );
        }
        text.push('\n');
    }
    (text, csv)
}

pub(crate) fn figure_table(
    settings: &Settings,
    name: &'static str,
    title: &'static str,
) -> Result<Drawn, String> {
    let rows = rows(settings)?;
    let lines = Discipline::ALL.map(|discipline| {
        let of_row = |(n, row): (usize, &Row)| (n as f64 + 1.0, row.short(discipline));
        let points = rows.iter().enumerate().map(of_row).collect();
        (discipline.name().to_owned(), points)
    });
    let chart = Lines {
        title: title.to_owned(),
        x: "row of the table",
        y: "p99 of the short class, us",
        lines: lines.into(),
    };
    let mut panel = chart.panel(settings, name, "");
    let (text, csv) = table(&rows);
    panel.table = format!("{title}\n{text}");
    panel.csv = format!(
        "# seed {}, {}\n{csv}",
        settings.seed,
        settings.command(name)
    );
    Ok(Drawn {
        panels: vec![panel],
        verdicts: rows.iter().flat_map(Row::verdicts).collect(),
    })
}
