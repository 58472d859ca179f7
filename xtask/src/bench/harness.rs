//! Ours and the peer in turn: A B, B A, A B, ... Every pair gives a ratio, and the median of the
//! ratios is what counts, because two runs a minute apart on a shared machine say nothing.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::Rate;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Pairs of runs.
    pub pairs: usize,
    /// How long each run is watched.
    pub window: Duration,
}

/// Whether more or less of the unit is better. The ratio is turned so that higher is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Throughput.
    Higher,
    /// Time, instructions, error.
    Lower,
}

/// What is compared with what.
#[derive(Debug, Clone)]
pub struct Case {
    /// The name of the bench: what one asks for on the command line.
    pub bench: &'static str,
    /// What distinguishes this case within the bench.
    pub case: String,
    /// The unit of both figures.
    pub unit: &'static str,
    /// The peer, with what it was told to do.
    pub peer_name: String,
    /// Which way is better.
    pub better: Better,
}

/// What one run gave.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// In the case's unit.
    value: f64,
    /// The same by the wall clock, where the unit is by processor time.
    wall: Option<f64>,
}

impl From<f64> for Sample {
    fn from(value: f64) -> Sample {
        Sample { value, wall: None }
    }
}

impl From<Rate> for Sample {
    fn from(rate: Rate) -> Sample {
        Sample {
            value: rate.cpu_mpps,
            wall: Some(rate.wall_mpps),
        }
    }
}

/// What came of a case.
#[derive(Debug, Clone)]
pub struct Outcome {
    case: Case,
    ours: Vec<Sample>,
    peer: Vec<Sample>,
    ratios: Vec<f64>,
}

/// The middle value; of an even number, the mean of the two in the middle. NaN for none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// Runs both sides in turn.
pub fn compare<T: Into<Sample>>(
    case: &Case,
    pairs: usize,
    mut ours: impl FnMut() -> Result<T>,
    mut peer: impl FnMut() -> Result<T>,
) -> Result<Outcome> {
    let mut outcome = Outcome::new(case.clone());
    for pair in 0..pairs {
        eprint!(
            "\r{} {}: pair {} of {pairs} ",
            case.bench,
            case.case,
            pair + 1
        );
        let _ = std::io::stderr().flush();
        let (our_value, peer_value) = if pair % 2 == 0 {
            let our_value = ours()?;
            (our_value, peer()?)
        } else {
            let peer_value = peer()?;
            (ours()?, peer_value)
        };
        outcome.add(our_value, peer_value);
    }
    eprint!("\r{:70}\r", "");
    Ok(outcome)
}

impl Outcome {
    /// An outcome without runs.
    pub fn new(case: Case) -> Outcome {
        Outcome {
            case,
            ours: Vec::new(),
            peer: Vec::new(),
            ratios: Vec::new(),
        }
    }

    /// Adds the two figures of a pair.
    pub fn add(&mut self, ours: impl Into<Sample>, peer: impl Into<Sample>) {
        let (ours, peer) = (ours.into(), peer.into());
        self.ours.push(ours);
        self.peer.push(peer);
        self.ratios.push(match self.case.better {
            Better::Higher => ours.value / peer.value,
            Better::Lower => peer.value / ours.value,
        });
    }

    /// The median of the pairs' ratios.
    pub fn ratio(&self) -> f64 {
        median(&self.ratios)
    }

    /// One JSON object, on one line.
    pub fn json(&self) -> Value {
        let least = self.ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self
            .ratios
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        let middle = |samples: &[Sample]| {
            rounded(median(
                &samples
                    .iter()
                    .map(|sample| sample.value)
                    .collect::<Vec<_>>(),
            ))
        };
        let mut object = json!({
            "bench": self.case.bench,
            "case": self.case.case,
            "ours": middle(&self.ours),
            "peer": middle(&self.peer),
            "peer_name": self.case.peer_name,
            "unit": self.case.unit,
            "ratio": rounded(self.ratio()),
            "pairs": self.ratios.len(),
            "min": rounded(least),
            "max": rounded(most),
        });
        for (key, samples) in [("ours_wall", &self.ours), ("peer_wall", &self.peer)] {
            let wall: Vec<f64> = samples.iter().filter_map(|sample| sample.wall).collect();
            if !wall.is_empty() {
                object[key] = json!(rounded(median(&wall)));
            }
        }
        object
    }

    /// A row of the table for people.
    pub fn row(&self) -> [String; 8] {
        let json = self.json();
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| {
            json[key]
                .as_f64()
                .map_or("-".to_owned(), |value| format!("{value}"))
        };
        [
            text("bench"),
            text("case"),
            number("ours"),
            number("peer"),
            text("unit"),
            number("ratio"),
            format!("{}..{}", number("min"), number("max")),
            text("peer_name"),
        ]
    }
}

/// Four significant digits.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a decimal exponent is small"
    )]
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// Heads of the columns of [`Outcome::row`].
const HEAD: [&str; 8] = [
    "bench", "case", "ours", "peer", "unit", "ratio", "min..max", "peer is",
];

/// Outcomes as a table in Markdown.
pub fn markdown(outcomes: &[Outcome]) -> String {
    let line = |cells: [String; 8]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(HEAD.map(str::to_owned)) + "|---|---|--:|--:|---|--:|---|---|\n";
    for outcome in outcomes {
        text += &line(outcome.row());
    }
    text
}

/// Prints outcomes as a table.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(outcomes.iter().map(Outcome::row));
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(better: Better) -> Case {
        Case {
            bench: "forward",
            case: "null-32".to_owned(),
            unit: "Mpps",
            peer_name: "testpmd".to_owned(),
            better,
        }
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_ratio_is_the_median_of_ratios_and_not_the_ratio_of_medians() {
        let mut outcome = Outcome::new(case(Better::Higher));
        for (ours, peer) in [(10.0, 10.0), (1.0, 2.0), (30.0, 10.0)] {
            outcome.add(ours, peer);
        }
        assert_eq!(outcome.ratio(), 1.0);
        let json = outcome.json();
        assert_eq!(json["ours"], 10.0);
        assert_eq!(
            (json["min"].as_f64(), json["max"].as_f64()),
            (Some(0.5), Some(3.0))
        );
    }

    #[test]
    fn higher_is_better_also_for_times() {
        let mut outcome = Outcome::new(case(Better::Lower));
        outcome.add(2.0, 4.0);
        assert_eq!(outcome.ratio(), 2.0);
    }

    #[test]
    fn markdown_has_a_row_for_each_outcome() {
        let mut outcome = Outcome::new(case(Better::Higher));
        outcome.add(3.0, 2.0);
        let text = markdown(&[outcome]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[2],
            "| forward | null-32 | 3 | 2 | Mpps | 1.5 | 1.5..1.5 | testpmd |"
        );
        let columns = |line: &str| line.matches('|').count();
        assert!(lines.iter().all(|line| columns(line) == columns(lines[0])));
    }

    #[test]
    fn order_alternates() {
        let order = std::cell::RefCell::new(String::new());
        let outcome = compare(
            &case(Better::Higher),
            3,
            || {
                order.borrow_mut().push('o');
                Ok(1.0)
            },
            || {
                order.borrow_mut().push('p');
                Ok(1.0)
            },
        );
        assert_eq!(outcome.unwrap().ratio(), 1.0);
        assert_eq!(order.into_inner(), "oppoop");
    }

    #[test]
    fn four_digits() {
        assert_eq!(rounded(123_456.0), 123_500.0);
        assert_eq!(rounded(0.001_234_56), 0.001_235);
        assert_eq!(rounded(0.0), 0.0);
    }

    #[test]
    fn rates_also_say_what_the_wall_clock_saw() {
        let rate = |cpu_mpps, wall_mpps| Rate {
            cpu_mpps,
            wall_mpps,
        };
        let mut outcome = Outcome::new(case(Better::Higher));
        outcome.add(rate(20.0, 11.0), rate(10.0, 9.0));
        let json = outcome.json();
        assert_eq!(
            (&json["ratio"], &json["ours_wall"]),
            (&json!(2.0), &json!(11.0))
        );
        outcome = Outcome::new(case(Better::Higher));
        outcome.add(1.0, 1.0);
        assert!(outcome.json().get("ours_wall").is_none());
    }
}
