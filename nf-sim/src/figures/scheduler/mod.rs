//! Figures of the scheduler of actors: disciplines compared, and the hybrid under what changes.

mod adapt;
mod loads;
mod slowdown;
mod table;

use std::fmt::Write;

use workload::report::picture;
use workload::report::svg::{Axis, COLOURS, Plot, Scale, Series};

use super::{Drawn, Panel, Settings, Verdict};
use crate::scheduler::{Outcome, Trial};
use crate::sweep::sweep;

pub(super) use adapt::figure_adapt;
pub(super) use loads::figure_loads;
pub(super) use slowdown::figure_slowdown;
pub(super) use table::figure_table;

/// Runs trials; their order is kept.
fn run(settings: &Settings, trials: &[Trial]) -> Result<Vec<Outcome>, String> {
    let outcomes = sweep(settings.eal, settings.threads, trials, Trial::run);
    outcomes.into_iter().collect()
}

/// A number for an axis.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Lines over something that goes evenly; the values by powers of ten.
struct Lines {
    title: String,
    x: &'static str,
    y: &'static str,
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Lines {
    fn csv(&self, command: &str, seed: u64) -> String {
        let mut csv = format!("# seed {seed}, {command}\nline,x,y\n");
        for (line, points) in &self.lines {
            for (x, y) in points {
                let _ = writeln!(csv, "\"{line}\",{x},{y:.3}");
            }
        }
        csv
    }

    /// One row for each line, one column for each x.
    fn table(&self) -> String {
        let mut table = format!("{}: {}\n{:<30}", self.title, self.y, self.x);
        let xs = self.lines.iter().map(|(_, points)| points);
        let longest = xs.max_by_key(|points| points.len());
        for (x, _) in longest.into_iter().flatten() {
            let _ = write!(table, " {:>9}", number(*x));
        }
        table.push('\n');
        for (line, points) in &self.lines {
            let _ = write!(table, "{line:<30}");
            for (_, y) in points {
                let _ = write!(table, " {y:>9.1}");
            }
            table.push('\n');
        }
        table
    }

    fn panel(&self, settings: &Settings, name: &str, suffix: &str) -> Panel {
        let command = settings.command(name);
        let series = self
            .lines
            .iter()
            .enumerate()
            .map(|(index, (name, points))| {
                let shown = points.iter().copied().filter(|(_, y)| *y > 0.0);
                Series {
                    name: name.clone(),
                    colour: index % COLOURS,
                    points: shown.collect(),
                    spread: Vec::new(),
                }
            });
        let plot = Plot {
            title: self.title.clone(),
            x: Axis {
                label: self.x,
                scale: Scale::Linear,
                format: number,
            },
            y: Axis {
                label: self.y,
                scale: Scale::Log,
                format: number,
            },
            series: series.collect(),
            dots: true,
        };
        let caption = format!("{}: seed {}, {command}", self.title, settings.seed);
        Panel {
            suffix: suffix.to_owned(),
            csv: self.csv(&command, settings.seed),
            pictures: vec![(String::new(), picture(&plot.render_captioned(&caption)))],
            table: self.table(),
        }
    }
}

/// Something must be at most so many times something else.
fn at_most(of: String, found: f64, factor: f64, reference: (&str, f64)) -> Verdict {
    let (name, value) = reference;
    Verdict::new(
        of,
        format!("at most {factor} of {name}, {value:.1}"),
        format!("{found:.1}, {:.2} of it", found / value.max(1e-9)),
        found <= factor * value,
    )
}

#[cfg(test)]
mod tests;
