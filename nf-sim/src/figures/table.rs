//! Figures that are not of latency over throughput: numbers by something else, as a picture and CSV.

use std::fmt::Write;

use workload::report::picture;
use workload::report::svg::{Axis, COLOURS, Plot, Scale, Series};

use super::{Panel, Settings};

/// Lines of values.
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What the horizontal axis shows.
    pub x: &'static str,
    /// What the vertical axis shows.
    pub y: &'static str,
    /// Whether the vertical axis goes by powers of ten, and the horizontal one begins at its least value.
    pub log: bool,
    /// The lines, by name.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// A number with as many digits as it needs.
fn number(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.01 {
        format!("{value:.0e}")
    } else {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl Chart {
    /// The picture, the numbers and a table.
    pub fn panel(&self, settings: &Settings, name: &str, suffix: &str) -> Panel {
        let command = settings.command(name);
        let mut csv = format!("# seed {}, {command}\nline,x,y\n", settings.seed);
        let mut table = format!(
            "{}\n{:<28} {:>14} {:>14}\n",
            self.title, "line", self.x, self.y
        );
        for (line, points) in &self.lines {
            for (x, y) in points {
                let _ = writeln!(csv, "\"{}\",{x},{y}", line.replace('"', "\"\""));
                let _ = writeln!(table, "{line:<28} {:>14} {:>14}", number(*x), number(*y));
            }
        }
        // What is nothing has no place on a scale of powers of ten.
        let shown = |points: &[(f64, f64)]| {
            let points = points.iter().copied();
            points
                .filter(|(_, y)| !self.log || *y > 0.0)
                .collect::<Vec<_>>()
        };
        let mut series: Vec<Series> = self
            .lines
            .iter()
            .enumerate()
            .map(|(index, (name, points))| Series {
                name: name.clone(),
                colour: index % COLOURS,
                points: shown(points),
                spread: Vec::new(),
            })
            .collect();
        if series.iter().all(|series| series.points.is_empty()) {
            // All of them nothing: a flat line at the bottom says so.
            for (series, (_, points)) in series.iter_mut().zip(&self.lines) {
                series.points = points.iter().map(|(x, _)| (*x, 1e-9)).collect();
            }
        }
        let plot = Plot {
            title: self.title.clone(),
            x: Axis {
                label: self.x,
                scale: if self.log { Scale::Span } else { Scale::Linear },
                format: number,
            },
            y: Axis {
                label: self.y,
                scale: if self.log { Scale::Log } else { Scale::Linear },
                format: number,
            },
            series,
            dots: self.lines.iter().all(|(_, points)| points.len() < 40),
        };
        let caption = format!("{}: seed {}, {command}", self.title, settings.seed);
        Panel {
            suffix: suffix.to_owned(),
            csv,
            pictures: vec![(String::new(), picture(&plot.render_captioned(&caption)))],
            table,
        }
    }
}
