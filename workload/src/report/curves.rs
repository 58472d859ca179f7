//! Latency-throughput curves: a plot of several schemes, the table under it, CSV.

use std::fmt::Write;

use super::svg::{Axis, COLOURS, Plot, Scale, Series, escape};
use super::{card, figure, notes, page, picture, table};
use crate::format::{nanoseconds, si};
use crate::statistics::Interval;
use crate::sweep::{Point, Sweep};

/// A value of latency that is plotted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Percentile {
    /// The median.
    P50,
    /// The 99th percentile.
    P99,
    /// The 99.9th percentile.
    P999,
}

impl Percentile {
    fn label(self) -> &'static str {
        match self {
            Percentile::P50 => "median latency",
            Percentile::P99 => "99th percentile of latency",
            Percentile::P999 => "99.9th percentile of latency",
        }
    }

    fn of(self, point: &Point) -> Interval {
        match self {
            Percentile::P50 => point.p50_ns,
            Percentile::P99 => point.p99_ns,
            Percentile::P999 => point.p99_9_ns,
        }
    }
}

fn caption(sweep: &Sweep) -> String {
    format!("{}: seed {}, {}", sweep.title, sweep.seed, sweep.command)
}

/// A percentile over the throughput, as an `svg` element for a page.
pub fn plot(sweep: &Sweep, percentile: Percentile) -> String {
    let series = sweep.curves.iter().enumerate().map(|(index, curve)| {
        let measured = || curve.points.iter().filter(|point| point.completed > 0);
        let x = |point: &Point| point.throughput_rps.mean;
        Series {
            name: curve.name.clone(),
            colour: index % COLOURS,
            points: measured()
                .map(|point| (x(point), percentile.of(point).mean))
                .collect(),
            spread: measured()
                .filter_map(|point| {
                    let interval = percentile.of(point);
                    let half = interval.half_width?;
                    // Below half of the mean a log scale would show nothing else.
                    let least = (interval.mean - half).max(interval.mean / 2.0);
                    Some((x(point), least, interval.mean + half))
                })
                .collect(),
        }
    });
    Plot {
        title: format!("{}: {}", sweep.title, percentile.label()),
        x: Axis {
            label: "requests answered a second",
            scale: Scale::Linear,
            format: |v| si(v).trim().to_owned(),
        },
        y: Axis {
            label: percentile.label(),
            scale: Scale::Log,
            format: nanoseconds,
        },
        series: series.collect(),
        dots: true,
    }
    .render_captioned(&caption(sweep))
}

/// The plot as a file of its own.
pub fn plot_file(sweep: &Sweep, percentile: Percentile) -> String {
    picture(&plot(sweep, percentile))
}

fn interval(value: Interval, format: fn(f64) -> String) -> String {
    if value.repetitions == 0 {
        return "-".into();
    }
    match value.half_width {
        Some(half) => format!("{} ± {}", format(value.mean), format(half)),
        None => format(value.mean),
    }
}

fn percent(share: f64) -> String {
    if share == 0.0 {
        "0".into()
    } else {
        format!("{:.3} %", share * 100.0)
    }
}

const HEAD: [&str; 12] = [
    "Scheme",
    "Load",
    "Offered",
    "Answered",
    "p50",
    "p90",
    "p99",
    "p99.9",
    "Max",
    "Lost",
    "Redundant",
    "Cloned",
];

fn row(name: &str, point: &Point) -> Vec<String> {
    let load = point
        .load
        .map_or("-".into(), |load| format!("{:.0} %", load * 100.0));
    vec![
        name.to_owned(),
        load,
        si(point.offered_rps.mean),
        si(point.throughput_rps.mean),
        interval(point.p50_ns, nanoseconds),
        interval(point.p90_ns, nanoseconds),
        interval(point.p99_ns, nanoseconds),
        interval(point.p99_9_ns, nanoseconds),
        nanoseconds(point.max_ns as f64),
        percent(point.lost),
        percent(point.redundant),
        percent(point.cloned),
    ]
}

/// The report: plots, the table under them, and the result itself.
pub fn html(sweep: &Sweep) -> String {
    let mut body = format!("<h1>{}</h1>\n", escape(&sweep.title));
    let _ = writeln!(
        body,
        "<p class=\"soft\">{}</p>\n<p class=\"soft\">seed {}, <code>{}</code>, version {}</p>",
        escape(&sweep.workload),
        sweep.seed,
        escape(&sweep.command),
        escape(sweep.version)
    );
    notes(&mut body, &sweep.notes);
    body.push_str("<div class=\"cards\">\n");
    if let Some(capacity) = sweep.capacity_rps {
        let value = format!("{}rps", si(capacity));
        card(&mut body, "Capacity", &value, "of the servers");
    }
    if let Some(objective) = sweep.objective {
        for curve in &sweep.curves {
            let value = curve
                .knee
                .map_or("-".into(), |knee| format!("{}rps", si(knee.answered)));
            let under = format!("with p99 of at most {}", nanoseconds(objective.p99_ns));
            card(&mut body, &curve.name, &value, &under);
        }
    }
    body.push_str("</div>\n");
    for percentile in [Percentile::P99, Percentile::P50, Percentile::P999] {
        let label = percentile.label();
        let title = format!("{}{}", label[..1].to_uppercase(), &label[1..]);
        figure(&mut body, &title, &plot(sweep, percentile));
    }
    let rows: Vec<Vec<String>> = sweep
        .curves
        .iter()
        .flat_map(|curve| curve.points.iter().map(|point| row(&curve.name, point)))
        .collect();
    table(&mut body, "Load points", &HEAD, &rows);
    page(&sweep.title, &body, sweep)
}

/// One line of a table for people: as wide as [`TEXT_HEAD`].
pub fn text_row(name: &str, point: &Point) -> String {
    let load = point
        .load
        .map_or("-".into(), |load| format!("{:.0} %", load * 100.0));
    format!(
        "{name:<20} {load:>6} {:>12} {:>12} {:>9} {:>9} {:>20} {:>9} {:>9} {:>9} {:>9} {:>9}",
        si(point.offered_rps.mean),
        si(point.throughput_rps.mean),
        interval(
            Interval {
                half_width: None,
                ..point.p50_ns
            },
            nanoseconds
        ),
        interval(
            Interval {
                half_width: None,
                ..point.p90_ns
            },
            nanoseconds
        ),
        interval(point.p99_ns, nanoseconds),
        interval(
            Interval {
                half_width: None,
                ..point.p99_9_ns
            },
            nanoseconds
        ),
        nanoseconds(point.max_ns as f64),
        percent(point.lost),
        percent(point.redundant),
        percent(point.cloned),
    )
}

/// The head of the table of [`text_row`].
pub const TEXT_HEAD: &str = "scheme                 load      offered     answered       p50       p90                  p99     p99.9       max      lost redundant    cloned";

/// What stands below the table: knees, gains over the first scheme, notes.
pub fn text_summary(sweep: &Sweep) -> String {
    let mut text = String::new();
    if let Some(objective) = sweep.objective {
        for curve in &sweep.curves {
            let best = curve.knee.map_or("no point meets it".into(), |knee| {
                format!(
                    "{}rps answered, p99 {}",
                    si(knee.answered),
                    nanoseconds(knee.p99_ns)
                )
            });
            let _ = writeln!(
                text,
                "Knee       {}, p99 of at most {}: {best}",
                curve.name,
                nanoseconds(objective.p99_ns)
            );
        }
    }
    if let Some((first, others)) = sweep.curves.split_first() {
        for other in others {
            if let Some(gain) = sweep.p99_gain(&first.name, &other.name) {
                let _ = writeln!(
                    text,
                    "Gain       p99 of {} is {gain:.2} times that of {} on average over the loads",
                    first.name, other.name
                );
            }
        }
    }
    for note in &sweep.notes {
        let _ = writeln!(text, "Note       {note}");
    }
    let _ = writeln!(text, "Seed       {} ({})", sweep.seed, sweep.command);
    text
}

/// One line a point, with a head; times in microseconds, half widths of the 95 % interval behind the
/// percentiles.
pub fn csv(sweep: &Sweep) -> String {
    let mut text = format!(
        "# seed {}, {}\n",
        sweep.seed,
        sweep.command.replace('\n', " ")
    );
    text.push_str(
        "scheme,load,offered_rps,throughput_rps,p50_us,p90_us,p99_us,p99_half_width_us,p99_9_us,\
         p99_9_half_width_us,max_us,p99_sent_us,completed,lost,redundant,cloned,repetitions\n",
    );
    for curve in &sweep.curves {
        for point in &curve.points {
            let us = |interval: Interval| interval.mean / 1e3;
            let half = |interval: Interval| {
                interval
                    .half_width
                    .map_or(String::new(), |half| format!("{:.3}", half / 1e3))
            };
            let _ = writeln!(
                text,
                "{},{},{:.1},{:.1},{:.3},{:.3},{:.3},{},{:.3},{},{:.3},{:.3},{},{:.6},{:.6},{:.6},{}",
                field(&curve.name),
                point.load.map_or(String::new(), |load| format!("{load}")),
                point.offered_rps.mean,
                point.throughput_rps.mean,
                us(point.p50_ns),
                us(point.p90_ns),
                us(point.p99_ns),
                half(point.p99_ns),
                us(point.p99_9_ns),
                half(point.p99_9_ns),
                point.max_ns as f64 / 1e3,
                us(point.p99_sent_ns),
                point.completed,
                point.lost,
                point.redundant,
                point.cloned,
                point.offered_rps.repetitions,
            );
        }
    }
    text
}

/// A field of CSV (RFC 4180), quoted where it has to be.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::tests::sweep;

    #[test]
    fn every_plot_names_its_seed_and_its_command() {
        let sweep = sweep();
        for percentile in [Percentile::P50, Percentile::P99, Percentile::P999] {
            let svg = plot(&sweep, percentile);
            assert!(svg.contains("seed 42, pktgen rpc --seed 42"), "{svg}");
            assert!(svg.contains("baseline") && svg.contains("netclone"));
            assert!(svg.contains("class=\"spread c1\""));
            assert!(!svg.contains("NaN"));
        }
        let file = plot_file(&sweep, Percentile::P99);
        assert!(file.starts_with("<svg xmlns=") && file.contains("<style>"));
    }

    #[test]
    fn the_page_has_the_table_and_is_safe() {
        let html = html(&sweep());
        assert!(html.contains("Exp(25) &lt;test&gt;") && !html.contains("<test>"));
        assert_eq!(html.matches("<svg").count(), 3);
        assert_eq!(html.matches("<tr>").count(), 7);
        assert!(html.contains("with p99 of at most 50.0 µs"));
        assert!(!html.contains("http:") && !html.contains("<script"));
    }

    #[test]
    fn csv_has_a_line_for_each_point() {
        let mut sweep = sweep();
        sweep.curves[1].name = "netclone, T = 2".into();
        let csv = csv(&sweep);
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 2 + 6);
        assert!(lines[0].starts_with("# seed 42, pktgen rpc"));
        let columns = lines[1].split(',').count();
        assert!(
            lines[2..5]
                .iter()
                .all(|line| line.split(',').count() == columns)
        );
        assert!(lines[5].starts_with("\"netclone, T = 2\",0.1,"));
    }

    #[test]
    fn text_lines_up() {
        let sweep = sweep();
        let line = text_row(&sweep.curves[0].name, &sweep.curves[0].points[0]);
        assert_eq!(
            line.chars().count(),
            TEXT_HEAD.chars().count(),
            "\n{TEXT_HEAD}\n{line}"
        );
        let summary = text_summary(&sweep);
        assert!(summary.contains("Knee       netclone") && summary.contains("Gain"));
    }
}
