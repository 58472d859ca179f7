//! Progress while a run goes on: a small display on a terminal, else a line a second.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Gauge, Paragraph, Sparkline};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use crate::engine::{Observer, Progress};
use crate::result::Sample;
use crate::text;
use crate::units::{nanoseconds, si};

/// Lines of the display.
const HEIGHT: u16 = 9;
/// Moments that the sparkline shows.
const HISTORY: usize = 120;

/// How progress is shown.
enum View {
    Quiet,
    Lines,
    Display(Terminal<CrosstermBackend<std::io::Stdout>>),
}

/// Watches a run: shows it, keeps samples for the report, and passes on the user's wish to end it.
pub struct Watcher {
    view: View,
    stop: Arc<AtomicBool>,
    /// Length of the run if it is known, seconds.
    length_s: Option<f64>,
    title: String,
    series: Vec<Sample>,
    /// Seconds between samples.
    step_s: f64,
    sampled: Progress,
    shown: Progress,
    next_line: Instant,
    history: VecDeque<u64>,
}

impl Watcher {
    /// A watcher of a run of `length_s` seconds. The display is used if `display` and standard output is a
    /// terminal; else lines go to standard error, unless `quiet`.
    pub fn new(
        title: String,
        length_s: Option<f64>,
        quiet: bool,
        display: bool,
        stop: Arc<AtomicBool>,
    ) -> Watcher {
        let view = if quiet {
            View::Quiet
        } else if display && std::io::stdout().is_terminal() {
            let viewport = Viewport::Inline(HEIGHT);
            let backend = CrosstermBackend::new(std::io::stdout());
            Terminal::with_options(backend, TerminalOptions { viewport })
                .map_or(View::Lines, View::Display)
        } else {
            View::Lines
        };
        Watcher {
            view,
            stop,
            length_s,
            title,
            series: Vec::new(),
            step_s: length_s.map_or(1.0, |length| (length / 200.0).clamp(0.1, 10.0)),
            sampled: Progress::default(),
            shown: Progress::default(),
            next_line: Instant::now() + Duration::from_secs(1),
            history: VecDeque::with_capacity(HISTORY),
        }
    }

    /// The samples, and the terminal as it was.
    pub fn finish(mut self) -> Vec<Sample> {
        if let View::Display(terminal) = &mut self.view {
            let _ = terminal.clear();
            let _ = terminal.show_cursor();
        }
        self.series
    }
}

impl Observer for Watcher {
    fn progress(&mut self, progress: &Progress) -> bool {
        if progress.elapsed_s - self.sampled.elapsed_s >= self.step_s * 0.99 {
            self.series.push(Sample::between(&self.sampled, progress));
            self.sampled = progress.clone();
        }
        match &mut self.view {
            View::Quiet => {}
            View::Lines => {
                if Instant::now() >= self.next_line {
                    self.next_line += Duration::from_secs(1);
                    let sample = Sample::between(&self.shown, progress);
                    let _ = writeln!(std::io::stderr(), "{}", text::line(&sample, progress));
                    self.shown = progress.clone();
                }
            }
            View::Display(terminal) => {
                let sample = Sample::between(&self.shown, progress);
                if self.history.len() == HISTORY {
                    self.history.pop_front();
                }
                self.history.push_back(sample.tx_pps as u64);
                let (title, length, history) = (&self.title, self.length_s, &self.history);
                let _ =
                    terminal.draw(|frame| draw(frame, title, length, &sample, progress, history));
                self.shown = progress.clone();
            }
        }
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Draws the display.
fn draw(
    frame: &mut Frame<'_>,
    title: &str,
    length_s: Option<f64>,
    sample: &Sample,
    progress: &Progress,
    history: &VecDeque<u64>,
) {
    let [gauge, body, plot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(6),
        Constraint::Min(1),
    ])
    .areas(frame.area());
    let label = match length_s {
        Some(length) => format!(
            "{title}  {:.1} of {length:.1} s",
            progress.elapsed_s.min(length)
        ),
        None => format!("{title}  {:.1} s", progress.elapsed_s),
    };
    let ratio = length_s.map_or(0.0, |length| progress.elapsed_s / length.max(1e-9));
    let bar = Gauge::default()
        .gauge_style(Style::new().fg(Color::Blue))
        .label(label);
    frame.render_widget(bar.ratio(ratio.clamp(0.0, 1.0)), gauge);
    frame.render_widget(Paragraph::new(lines(sample, progress)), body);
    render_history(frame, plot, history);
}

fn render_history(frame: &mut Frame<'_>, area: Rect, history: &VecDeque<u64>) {
    let width = usize::from(area.width);
    let recent: Vec<u64> = history.iter().rev().take(width).rev().copied().collect();
    frame.render_widget(
        Sparkline::default()
            .data(recent)
            .style(Style::new().fg(Color::Green)),
        area,
    );
}

fn lines(sample: &Sample, progress: &Progress) -> Vec<Line<'static>> {
    let (sent, received) = (&progress.sent, &progress.received);
    let word = |word: &'static str| Span::from(format!("{word:<10}")).bold();
    let warn = |text: String, bad: bool| {
        if bad {
            Span::from(text).fg(Color::Yellow)
        } else {
            Span::from(text)
        }
    };
    let missing = sent.tracked.saturating_sub(received.unique);
    let cores = progress
        .work
        .iter()
        .map(|(cpu, work)| {
            let busy = work.transmit_share() + work.receive_share();
            format!("core {cpu} {:.0} % busy", busy * 100.0)
        })
        .collect::<Vec<_>>()
        .join("  ");
    vec![
        Line::from(vec![
            word("sending"),
            Span::from(format!(
                "{}pps  {}bit/s  {} packets",
                si(sample.tx_pps),
                si(sample.tx_bps),
                text::grouped(sent.packets)
            )),
        ]),
        Line::from(vec![
            word("receiving"),
            Span::from(format!(
                "{}pps  {}bit/s  {} packets",
                si(sample.rx_pps),
                si(sample.rx_bps),
                text::grouped(received.packets)
            )),
        ]),
        Line::from(vec![
            word("missing"),
            warn(
                format!(
                    "{} not back yet  {} duplicated  {} reordered",
                    text::grouped(missing),
                    text::grouped(received.duplicates),
                    text::grouped(received.reordered)
                ),
                received.duplicates + received.reordered > 0,
            ),
        ]),
        Line::from(vec![
            word("latency"),
            Span::from(format!(
                "p50 {}  p99 {}  max {}",
                nanoseconds(sample.p50_ns as f64),
                nanoseconds(sample.p99_ns as f64),
                nanoseconds(sample.max_ns as f64)
            )),
        ]),
        Line::from(vec![
            word("schedule"),
            warn(
                format!(
                    "{} left late  {} refused by the port",
                    text::grouped(sent.late),
                    text::grouped(sent.refused)
                ),
                sent.late > sent.packets / 100,
            ),
        ]),
        Line::from(vec![word("cores"), Span::from(cores)]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::backend::TestBackend;

    #[test]
    fn the_display_shows_what_matters() {
        let mut progress = Progress {
            elapsed_s: 2.5,
            ..Progress::default()
        };
        progress.sent.packets = 2_500_000;
        progress.sent.tracked = 2_500_000;
        progress.received.packets = 2_499_990;
        progress.received.unique = 2_499_990;
        progress.sent.late = 12;
        let sample = Sample {
            tx_pps: 1e6,
            rx_pps: 999_990.0,
            p50_ns: 12_000,
            ..Sample::default()
        };
        let mut terminal = Terminal::new(TestBackend::new(78, HEIGHT)).unwrap();
        let history: VecDeque<u64> = (0..200).collect();
        terminal
            .draw(|frame| draw(frame, "test", Some(10.0), &sample, &progress, &history))
            .unwrap();
        let screen = format!("{}", terminal.backend());
        for expected in [
            "2.5 of 10.0 s",
            "1 Mpps",
            "2 500 000 packets",
            "10 not back yet",
            "p50 12.0 µs",
            "12 left late",
        ] {
            assert!(
                screen.contains(expected),
                "{expected} is missing in\n{screen}"
            );
        }
    }

    #[test]
    fn samples_are_kept_and_the_user_can_stop() {
        let stop = Arc::new(AtomicBool::new(false));
        let mut watcher = Watcher::new("t".into(), Some(1.0), true, false, Arc::clone(&stop));
        for tenth in 1..=10 {
            let mut progress = Progress {
                elapsed_s: f64::from(tenth) / 10.0,
                ..Progress::default()
            };
            progress.sent.packets = tenth as u64 * 100;
            assert!(watcher.progress(&progress));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(!watcher.progress(&Progress::default()));
        let series = watcher.finish();
        assert_eq!(series.len(), 10);
        assert!(
            series.iter().all(|s| (s.tx_pps - 1000.0).abs() < 1e-6),
            "{series:?}"
        );
    }
}
