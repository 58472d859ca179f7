//! Plots as inline SVG. Colours come from the page's style, so that they follow its theme.

use std::fmt::Write;

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from zero.
    Linear,
    /// Evenly, from the least value, a whole number, to the greatest: one mark each.
    Span,
    /// By powers of ten.
    Log,
    /// Percentiles, by powers of ten of what lies above: 0, 90, 99, 99.9, ...
    Percentile,
}

/// An axis.
pub struct Axis {
    /// What it shows, with the unit.
    pub label: &'static str,
    /// How it is divided.
    pub scale: Scale,
    /// Writes a tick's value.
    pub format: fn(f64) -> String,
}

/// A line of a plot.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Its name, for the legend.
    pub name: String,
    /// Which of the page's colours, from 0.
    pub colour: usize,
    /// Points, x ascending.
    pub points: Vec<(f64, f64)>,
    /// Between which values of y a point may lie: x, least, greatest. Drawn as a thin upright line.
    pub spread: Vec<(f64, f64, f64)>,
}

/// A plot of lines.
pub struct Plot {
    /// What it shows, in words, for those who cannot see it.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
    /// Marks each point.
    pub dots: bool,
}

/// Colours that the page's style has for lines.
pub const COLOURS: usize = 8;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;
const CAPTION_LINE: f64 = 15.0;
const LEGEND_LINE: f64 = 15.0;

/// With at most so many powers of ten, a log scale has marks between them.
const FEW_POWERS: f64 = 2.0;

/// Letters that fit on a line of the caption.
const CAPTION_LETTERS: usize = 118;

/// Breaks text into lines of a caption.
fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < CAPTION_LETTERS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A scale with its ends: maps values to 0..1 and knows its ticks.
struct Mapped {
    scale: Scale,
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Mapped {
    fn new(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Mapped {
        let finite = values.filter(|v| v.is_finite());
        let greatest = finite.clone().fold(f64::NEG_INFINITY, f64::max);
        match scale {
            Scale::Linear => {
                let greatest = if greatest > 0.0 { greatest } else { 1.0 };
                let rough = greatest / 5.0;
                let power = 10f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0]
                    .into_iter()
                    .map(|m| m * power)
                    .find(|step| *step >= rough)
                    .unwrap_or(rough);
                let count = (greatest / step).ceil().max(1.0) as usize;
                let ticks: Vec<f64> = (0..=count).map(|i| i as f64 * step).collect();
                let to = ticks.last().copied().unwrap_or(1.0);
                Mapped {
                    scale,
                    from: 0.0,
                    to,
                    ticks,
                }
            }
            Scale::Span => {
                let least = finite.fold(f64::INFINITY, f64::min);
                let from = if least.is_finite() {
                    least.floor()
                } else {
                    0.0
                };
                let to = greatest.ceil().max(from + 1.0);
                Mapped {
                    scale,
                    from,
                    to,
                    ticks: (0..=((to - from) as u32).min(30))
                        .map(|i| from + f64::from(i))
                        .collect(),
                }
            }
            Scale::Log => {
                let least = finite.filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
                let (least, greatest) = if least.is_finite() {
                    (least, greatest)
                } else {
                    (1.0, 10.0)
                };
                let from = least.log10().floor();
                let to = greatest.log10().ceil().max(from + 1.0);
                let powers = (from as i32..=to as i32).map(|p| 10f64.powi(p));
                if to - from > FEW_POWERS {
                    return Mapped {
                        scale,
                        from,
                        to,
                        ticks: powers.collect(),
                    };
                }
                // So few powers say little: 1, 2 and 5 of each, from the one below to the one above.
                let all: Vec<f64> = powers.flat_map(|p| [p, 2.0 * p, 5.0 * p]).collect();
                let first = all
                    .iter()
                    .rposition(|t| *t <= least * 1.000_001)
                    .unwrap_or(0);
                let last = all.iter().position(|t| *t >= greatest * 0.999_999);
                let last = last.unwrap_or(all.len() - 1).max(first + 1);
                let ticks = all.get(first..=last).unwrap_or(&all).to_vec();
                let ends = (ticks.first().copied(), ticks.last().copied());
                Mapped {
                    scale,
                    from: ends.0.map_or(from, f64::log10),
                    to: ends.1.map_or(to, f64::log10),
                    ticks,
                }
            }
            Scale::Percentile => {
                let nines = -(1.0 - greatest.min(1.0 - 1e-12)).log10();
                let to = nines.ceil().max(1.0);
                let ticks = (0..=to as i32).map(|n| 1.0 - 10f64.powi(-n)).collect();
                Mapped {
                    scale,
                    from: 0.0,
                    to,
                    ticks,
                }
            }
        }
    }

    fn place(&self, value: f64) -> f64 {
        let value = match self.scale {
            Scale::Linear | Scale::Span => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).log10(),
            Scale::Percentile => -(1.0 - value.min(1.0 - 1e-12)).log10(),
        };
        ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }
}

/// Text for HTML and SVG.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

/// The start of a drawing: its title, and the lines and numbers of the upright axis; with room above it.
fn begin(title: &str, axis: &Axis, y: &Mapped, caption: &[String], above: f64) -> String {
    let height = above + HEIGHT + caption.len() as f64 * CAPTION_LINE;
    let mut svg = format!(
        "<svg viewBox=\"0 {} {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
        0.0 - above,
        escape(title)
    );
    for (index, line) in caption.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<text class=\"caption\" x=\"6\" y=\"{:.1}\">{}</text>",
            HEIGHT + (index as f64 + 0.6) * CAPTION_LINE,
            escape(line)
        );
    }
    for &tick in &y.ticks {
        let at = down(y, tick);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0,
            escape(&(axis.format)(tick))
        );
    }
    svg
}

/// How far down the drawing a value of the upright axis stands.
fn down(y: &Mapped, value: f64) -> f64 {
    HEIGHT - BOTTOM - y.place(value) * (HEIGHT - TOP - BOTTOM)
}

impl Plot {
    /// The plot as an `svg` element; a sentence instead if there is nothing to show.
    pub fn render(&self) -> String {
        self.render_captioned("")
    }

    /// The same, with a text below: where the picture comes from.
    pub fn render_captioned(&self, caption: &str) -> String {
        if self.series.iter().all(|series| series.points.is_empty()) {
            return format!(
                "<p class=\"empty\">{}: nothing was measured.</p>",
                escape(&self.title)
            );
        }
        let points = || {
            self.series
                .iter()
                .flat_map(|series| series.points.iter().copied())
        };
        let x = Mapped::new(
            self.x.scale,
            points().map(|p| p.0).collect::<Vec<_>>().into_iter(),
        );
        let heights = points().map(|p| p.1).chain(
            self.series
                .iter()
                .flat_map(|series| series.spread.iter().flat_map(|s| [s.1, s.2])),
        );
        let y = Mapped::new(self.y.scale, heights.collect::<Vec<_>>().into_iter());
        let right = |value: f64| LEFT + x.place(value) * (WIDTH - LEFT - RIGHT);
        let down = |value| down(&y, value);

        let legend = self.legend();
        let above = legend.len().saturating_sub(1) as f64 * LEGEND_LINE;
        let mut svg = begin(&self.title, &self.y, &y, &wrap(caption), above);
        for &tick in &x.ticks {
            let at = right(tick);
            let base = HEIGHT - BOTTOM;
            // The last one would stand half outside.
            let (place, anchor) = if at > WIDTH - RIGHT - 20.0 {
                (WIDTH - 2.0, "end")
            } else {
                (at, "middle")
            };
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{base}\" y2=\"{:.1}\"/>\
                 <text class=\"tick\" x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                base + 5.0,
                base + 20.0,
                escape(&(self.x.format)(tick))
            );
        }
        let _ = writeln!(
            svg,
            "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <text class=\"axis\" x=\"{:.1}\" y=\"16\">{}</text>",
            WIDTH - RIGHT,
            HEIGHT - 6.0,
            escape(self.x.label),
            6.0,
            escape(self.y.label)
        );
        for series in &self.series {
            let mut path = String::new();
            for (index, &(px, py)) in series.points.iter().enumerate() {
                let command = if index == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{command}{:.1} {:.1}", right(px), down(py));
            }
            let (name, colour) = (escape(&series.name), series.colour);
            let _ = writeln!(
                svg,
                "<path class=\"line c{colour}\" d=\"{path}\"><title>{name}</title></path>"
            );
            for &(px, least, greatest) in &series.spread {
                let _ = writeln!(
                    svg,
                    "<path class=\"spread c{colour}\" d=\"M{0:.1} {1:.1}L{0:.1} {2:.1}\"/>",
                    right(px),
                    down(least),
                    down(greatest)
                );
            }
            if self.dots {
                for &(px, py) in &series.points {
                    let _ = writeln!(
                        svg,
                        "<circle class=\"dot c{colour}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\">\
                         <title>{name}: {} at {}</title></circle>",
                        right(px),
                        down(py),
                        escape(&(self.y.format)(py)),
                        escape(&(self.x.format)(px))
                    );
                }
            }
        }
        for (row, names) in legend.iter().enumerate() {
            let width: f64 = names.iter().map(|series| legend_width(series)).sum();
            let (mut at, down) = (
                WIDTH - RIGHT - width,
                12.0 - above + row as f64 * LEGEND_LINE,
            );
            for series in names {
                let _ = writeln!(
                    svg,
                    "<line class=\"line c{}\" x1=\"{at:.1}\" x2=\"{:.1}\" y1=\"{down}\" y2=\"{down}\"/>\
                     <text class=\"legend\" x=\"{:.1}\" y=\"{}\">{}</text>",
                    series.colour,
                    at + 18.0,
                    at + 23.0,
                    down + 4.0,
                    escape(&series.name)
                );
                at += legend_width(series);
            }
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// The lines of the legend, right-aligned above the plot, beside what the upright axis shows.
    fn legend(&self) -> Vec<Vec<&Series>> {
        let room = WIDTH - RIGHT - LEFT - self.y.label.chars().count() as f64 * 7.0;
        let mut rows: Vec<Vec<&Series>> = vec![Vec::new()];
        let mut used = 0.0;
        for series in &self.series {
            let width = legend_width(series);
            if used > 0.0 && used + width > room {
                rows.push(Vec::new());
                used = 0.0;
            }
            used += width;
            if let Some(row) = rows.last_mut() {
                row.push(series);
            }
        }
        rows
    }
}

/// How wide a name stands in the legend, its line and the gap behind it included.
fn legend_width(series: &Series) -> f64 {
    series.name.chars().count() as f64 * 7.0 + 30.0
}

/// A bar of a chart.
pub struct Bar {
    /// What stands below it.
    pub name: String,
    /// Its height.
    pub value: f64,
    /// What stands on it.
    pub label: String,
    /// An outline behind it, such as what would be possible.
    pub limit: Option<f64>,
}

/// A chart of bars, evenly divided from zero.
pub fn bars(title: &str, x: &str, y: &Axis, bars: &[Bar]) -> String {
    if bars.is_empty() {
        return format!(
            "<p class=\"empty\">{}: nothing was measured.</p>",
            escape(title)
        );
    }
    let heights = bars
        .iter()
        .flat_map(|bar| [Some(bar.value), bar.limit])
        .flatten();
    let scale = Mapped::new(Scale::Linear, heights.collect::<Vec<_>>().into_iter());
    let base = HEIGHT - BOTTOM;
    let down = |value| down(&scale, value);
    let mut svg = begin(title, y, &scale, &[], 0.0);
    let _ = writeln!(
        svg,
        "<text class=\"axis\" x=\"6\" y=\"16\">{}</text>",
        escape(y.label)
    );
    let slot = (WIDTH - LEFT - RIGHT) / bars.len() as f64;
    let width = (slot * 0.6).min(64.0);
    for (index, bar) in bars.iter().enumerate() {
        let middle = LEFT + slot * (index as f64 + 0.5);
        let left = middle - width / 2.0;
        if let Some(limit) = bar.limit {
            let top = down(limit);
            let _ = writeln!(
                svg,
                "<rect class=\"outline\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
                 height=\"{:.1}\" rx=\"2\"/>",
                base - top
            );
        }
        let top = down(bar.value);
        let _ = writeln!(
            svg,
            "<rect class=\"bar\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
             height=\"{:.1}\" rx=\"2\"><title>{} bytes: {}</title></rect>\
             <text class=\"value\" x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text class=\"tick\" x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            base - top,
            escape(&bar.name),
            escape(&bar.label),
            top - 6.0,
            escape(&bar.label),
            base + 20.0,
            escape(&bar.name)
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        WIDTH - RIGHT,
        HEIGHT - 6.0,
        escape(x)
    );
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>, x: Scale, y: Scale) -> String {
        let axis = |scale| Axis {
            label: "axis",
            scale,
            format: |v| format!("{v}"),
        };
        let series = Series {
            name: "a <b>".into(),
            colour: 0,
            spread: points.iter().map(|&(x, y)| (x, y / 2.0, y * 2.0)).collect(),
            points,
        };
        Plot {
            title: "t".into(),
            x: axis(x),
            y: axis(y),
            series: vec![series],
            dots: true,
        }
        .render()
    }

    #[test]
    fn lines_stay_inside_the_plot() {
        for scale in [Scale::Linear, Scale::Log, Scale::Span] {
            let svg = plot(
                vec![(0.0, 1e-9), (0.5, 3.0), (0.9999, 1e9)],
                Scale::Percentile,
                scale,
            );
            for pair in svg.split("cx=\"").skip(1) {
                let x: f64 = pair.split('"').next().unwrap().parse().unwrap();
                assert!((LEFT..=WIDTH - RIGHT).contains(&x), "{x}");
            }
            assert!(svg.contains("a &lt;b&gt;") && !svg.contains("a <b>"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
        }
    }

    #[test]
    fn captions_stand_below_and_are_wrapped() {
        let axis = || Axis {
            label: "axis",
            scale: Scale::Linear,
            format: |v| format!("{v}"),
        };
        let series = |index| Series {
            name: format!("a scheme of a long name {index}"),
            points: vec![(1.0, 1.0)],
            ..Series::default()
        };
        let plot = Plot {
            title: "t".into(),
            x: axis(),
            y: axis(),
            series: (0..6).map(series).collect(),
            dots: false,
        };
        let svg = plot.render_captioned(&"seed 1, command <x> ".repeat(12));
        assert_eq!(svg.matches("class=\"caption\"").count(), 3);
        // The legend has several lines, all above the plot.
        assert!(svg.contains("command &lt;x&gt;") && svg.contains("viewBox=\"0 -15 760 360\""));
        for pair in svg.split("class=\"legend\"").skip(1) {
            let y = pair
                .split("y=\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap();
            assert!(y.parse::<f64>().unwrap() < TOP, "{y}");
        }
        for pair in svg.split("class=\"legend\" x=\"").skip(1) {
            let x: f64 = pair.split('"').next().unwrap().parse().unwrap();
            assert!(x > LEFT, "{x}");
        }
    }

    #[test]
    fn nothing_measured_is_said_in_words() {
        assert!(plot(vec![], Scale::Linear, Scale::Log).contains("nothing was measured"));
        let zeros = plot(vec![(0.0, 0.0), (1.0, 0.0)], Scale::Linear, Scale::Log);
        assert!(!zeros.contains("NaN"));
        let axis = Axis {
            label: "y",
            scale: Scale::Linear,
            format: |v| format!("{v}"),
        };
        assert!(bars("b", "x", &axis, &[]).contains("nothing was measured"));
    }

    #[test]
    fn ticks_are_round_and_reach_the_top() {
        for greatest in [0.7, 1.0, 3.2, 14.88e6, 999.0] {
            let mapped = Mapped::new(Scale::Linear, [greatest].into_iter());
            assert!(
                mapped.to >= greatest && mapped.to <= greatest * 1.6,
                "{greatest}"
            );
            assert!((3..=7).contains(&mapped.ticks.len()), "{:?}", mapped.ticks);
        }
        let log = Mapped::new(Scale::Log, [900.0, 2e6].into_iter());
        assert_eq!(log.ticks, [100.0, 1e3, 1e4, 1e5, 1e6, 1e7]);
        for (least, greatest, ticks) in [
            (64.0, 244.0, &[50.0, 100.0, 200.0, 500.0][..]),
            (100.0, 1000.0, &[100.0, 200.0, 500.0, 1000.0]),
            (30.0, 30.0, &[20.0, 50.0]),
            (20.0, 20.0, &[20.0, 50.0]),
        ] {
            let log = Mapped::new(Scale::Log, [least, greatest].into_iter());
            assert_eq!(log.ticks, ticks);
            assert!((0.0..=1.0).contains(&log.place(greatest)));
        }
    }
}
