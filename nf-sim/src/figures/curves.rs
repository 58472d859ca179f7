//! Latency over throughput: several lines, each at several loads, each repeated.

use workload::report::curves::{Percentile, TEXT_HEAD, csv, plot_file, text_row, text_summary};
use workload::sweep::{Curve, Point, Sweep};

use super::model::{self, Row};
use super::{Panel, Settings, Verdict};
use crate::rig::{Rig, Run};

/// One line: a rack, whose rate follows from the load.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// The rack.
    pub rig: Rig,
    /// Of these loads, those at which it runs; a scheme that broke down long before shows nothing more.
    pub up_to: f64,
}

impl Line {
    /// A line of this rack at all loads.
    pub fn new(name: impl Into<String>, rig: Rig) -> Line {
        Line {
            name: name.into(),
            rig,
            up_to: f64::INFINITY,
        }
    }

    /// At loads up to this only.
    #[must_use]
    pub fn up_to(mut self, load: f64) -> Line {
        self.up_to = load;
        self
    }
}

/// Lines that were run.
#[derive(Debug)]
pub struct Curves {
    /// What the plot shows.
    pub sweep: Sweep,
    /// By line and load, the repetitions.
    pub runs: Vec<Vec<Vec<Run>>>,
}

/// Runs lines. Loads are shares of `capacity`, requests a second.
pub fn curves(
    settings: &Settings,
    (name, title): (&str, &str),
    capacity: f64,
    loads: &[f64],
    lines: &[Line],
) -> Result<Curves, String> {
    let mut rigs = Vec::new();
    for line in lines {
        for (place, &load) in loads.iter().enumerate() {
            if load > line.up_to + 1e-9 {
                continue;
            }
            for repetition in 0..settings.repetitions_at(load) {
                let mut rig = line.rig.clone();
                rig.rate = load * capacity;
                // Alike for all lines, but other chances at each load.
                rig.seed = settings.seed + repetition + 1_000 * place as u64;
                rigs.push(rig.requests(settings.requests));
            }
        }
    }
    let mut runs = settings.run(&rigs)?.into_iter();
    let mut drawn = Vec::new();
    let mut all = Vec::new();
    for line in lines {
        let mut points = Vec::new();
        let mut of_line = Vec::new();
        for &load in loads.iter().filter(|&&load| load <= line.up_to + 1e-9) {
            let repetitions = settings.repetitions_at(load) as usize;
            let of_point: Vec<Run> = runs.by_ref().take(repetitions).collect();
            let measured: Vec<_> = of_point.iter().map(|run| run.measured.clone()).collect();
            points.push(Point::of(Some(load), &measured));
            of_line.push(of_point);
        }
        drawn.push(Curve {
            name: line.name.clone(),
            points,
            knee: None,
        });
        all.push(of_line);
    }
    let rig = lines.first().map(|line| &line.rig);
    let workload = rig.map_or(String::new(), |rig| {
        format!(
            "{} servers of {:?} workers, {}, jitter {}, {} us a hop, simulated",
            rig.workers.len(),
            rig.workers,
            rig.service,
            rig.jitter,
            rig.hop_ns as f64 / 1e3
        )
    });
    Ok(Curves {
        sweep: Sweep {
            kind: "nf-sim",
            version: env!("CARGO_PKG_VERSION"),
            title: title.to_owned(),
            command: settings.command(name),
            seed: settings.seed,
            workload,
            capacity_rps: Some(capacity),
            objective: None,
            notes: Vec::new(),
            curves: drawn,
        },
        runs: all,
    })
}

impl Curves {
    /// The picture of the 99th percentile, the table and the numbers.
    pub fn panel(&self, suffix: &str, percentiles: &[(&str, Percentile)]) -> Panel {
        let mut table = format!("{}\n{TEXT_HEAD}\n", self.sweep.title);
        for curve in &self.sweep.curves {
            for point in &curve.points {
                table.push_str(&text_row(&curve.name, point));
                table.push('\n');
            }
        }
        table.push_str(&text_summary(&self.sweep));
        let pictures = percentiles
            .iter()
            .map(|(name, percentile)| ((*name).to_owned(), plot_file(&self.sweep, *percentile)));
        Panel {
            suffix: suffix.to_owned(),
            csv: csv(&self.sweep),
            pictures: pictures.collect(),
            table,
        }
    }

    /// The panel with the picture of the 99th percentile alone.
    pub fn p99_panel(&self, suffix: &str) -> Panel {
        self.panel(suffix, &[("", Percentile::P99)])
    }

    fn points(&self, line: &str) -> &[Point] {
        let mut curves = self.sweep.curves.iter();
        curves
            .find(|curve| curve.name == line)
            .map_or(&[], |curve| &curve.points)
    }

    /// The loads at which a line ran.
    pub fn loads(&self, line: &str) -> Vec<f64> {
        self.points(line)
            .iter()
            .filter_map(|point| point.load)
            .collect()
    }

    /// The point of a line at a load.
    pub fn point(&self, line: &str, load: f64) -> Option<&Point> {
        let near = |point: &&Point| point.load.is_some_and(|own| (own - load).abs() < 1e-6);
        self.points(line).iter().find(near)
    }

    /// A line's 99th percentile at a load, microseconds.
    pub fn p99(&self, line: &str, load: f64) -> Option<f64> {
        let point = self.point(line, load).filter(|point| point.completed > 0)?;
        Some(point.p99_ns.mean / 1e3)
    }

    /// The most requests a second that a line answered at any load.
    pub fn best(&self, line: &str) -> f64 {
        let answered = self
            .points(line)
            .iter()
            .map(|point| point.throughput_rps.mean);
        answered.fold(0.0, f64::max)
    }

    /// How many times smaller the 99th percentile of `of` is than that of `than`, on average over the loads.
    pub fn gain(&self, than: &str, of: &str) -> Option<f64> {
        self.sweep.p99_gain(than, of)
    }

    /// The repetitions of a line at a load.
    pub fn runs(&self, line: &str, load: f64) -> &[Run] {
        let index = self
            .sweep
            .curves
            .iter()
            .position(|curve| curve.name == line);
        let found = index.and_then(|index| {
            let near = |point: &Point| point.load.is_some_and(|own| (own - load).abs() < 1e-6);
            let place = self.sweep.curves.get(index)?.points.iter().position(near)?;
            self.runs.get(index)?.get(place)
        });
        found.map_or(&[], Vec::as_slice)
    }

    /// A line's 99th percentiles against a row of the model, at every load that both have. At 0.9 the spread
    /// between runs is allowed for: 25 us either way.
    pub fn against(&self, line: &str, row: &Row, share: f64) -> Vec<Verdict> {
        let pairs = self.points(line).iter().filter_map(|point| {
            let load = point.load?;
            Some((load, model::at(row, load)?))
        });
        pairs
            .map(|(load, expected)| {
                let of = format!("p99 of {line} at load {load}, us");
                let within = share + model::spread(load, expected);
                Verdict::near(of, expected, within, self.p99(line, load))
            })
            .collect()
    }
}
