//! The picture on a terminal.

mod sched;
#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::rates::{DropRate, Flow, Picture, PortRate, StageRate};
use crate::cli::PageName;
use crate::sched::Sched;
use crate::units::{duration, grouped, nanos, short};

/// The pages in order, with their titles.
const PAGES: [(PageName, &str); 6] = [
    (PageName::Overview, "Overview"),
    (PageName::Stages, "Stages"),
    (PageName::Ports, "Ports"),
    (PageName::Drops, "Drops"),
    (PageName::Cores, "Cores"),
    (PageName::Sched, "Scheduler"),
];

/// The pages that there are: that of the scheduler only where there is one.
pub fn pages(picture: Option<&Picture>) -> &'static [(PageName, &'static str)] {
    match picture.is_some_and(|picture| picture.sched.is_some()) {
        true => &PAGES,
        false => &PAGES[..PAGES.len() - 1],
    }
}

/// What is shown, and how.
#[derive(Debug)]
pub struct Screen {
    /// The latest rates; `None` before the first look.
    pub picture: Option<Picture>,
    /// Which page.
    pub page: PageName,
    /// Rows scrolled past.
    pub scroll: usize,
    /// Whether the picture stands still.
    pub paused: bool,
    /// Why there is no newer picture.
    pub trouble: Option<String>,
    /// Seconds between two looks.
    pub interval: f64,
    /// Whether there are keys to tell about.
    pub interactive: bool,
}

/// Moves of the scheduler that the overview wants to show.
const MOVES: usize = 5;

const DIM: Style = Style::new().fg(Color::DarkGray);
const GOOD: Style = Style::new().fg(Color::Green);
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let foot = u16::from(screen.interactive);
    let [title, tabs, body, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(foot),
    ])
    .areas(frame.area());
    frame.render_widget(title_line(screen), title);
    frame.render_widget(tab_line(screen), tabs);
    if screen.interactive {
        let text = " q quit  p pause  Tab page  ↑↓ scroll  +- interval";
        frame.render_widget(Paragraph::new(Span::styled(text, DIM)), keys);
    }
    let Some(picture) = &screen.picture else {
        let text = screen.trouble.as_deref().unwrap_or("looking ...");
        frame.render_widget(Paragraph::new(text), body);
        return;
    };
    match screen.page {
        PageName::Overview => overview(frame, body, picture),
        PageName::Stages => stages(frame, body, &picture.stages, screen.scroll),
        PageName::Ports => ports(frame, body, &picture.ports, screen.scroll),
        PageName::Drops => drops(frame, body, &picture.drops, screen.scroll),
        PageName::Cores => cores(frame, body, picture, screen.scroll),
        PageName::Sched => match &picture.sched {
            Some(sched) => sched::page(frame, body, sched, screen.scroll),
            None => frame.render_widget(Paragraph::new(" no scheduler"), body),
        },
    }
}

/// How many rows the page of a picture has, for scrolling.
pub fn rows(picture: &Picture, page: PageName) -> usize {
    match page {
        PageName::Overview => 0,
        PageName::Stages => picture.stages.len(),
        PageName::Ports => picture.ports.len(),
        PageName::Drops => picture.drops.len(),
        PageName::Cores => {
            let workers = picture
                .sched
                .as_ref()
                .map_or(0, |sched| sched.workers.len());
            picture.cores.len() + workers
        }
        PageName::Sched => picture
            .sched
            .as_ref()
            .map_or(0, |sched| sched.latest().len()),
    }
}

fn title_line(screen: &Screen) -> Line<'static> {
    let mut spans = Vec::new();
    if let Some(picture) = &screen.picture {
        spans.push(Span::styled(format!(" {}", picture.name), HEAD));
        let up = duration(picture.uptime_seconds);
        spans.push(Span::raw(format!("  {}  up {up}  ", picture.versions)));
        spans.push(match picture.problems.as_slice() {
            [] => Span::styled("ok", GOOD),
            [only] => Span::styled(only.clone(), BAD),
            [first, ..] => {
                Span::styled(format!("{} problems: {first}", picture.problems.len()), BAD)
            }
        });
    } else {
        spans.push(Span::styled(" sluice top", HEAD));
    }
    if screen.paused {
        spans.push(Span::styled("  PAUSED", Style::new().fg(Color::Yellow)));
    }
    if let (Some(trouble), true) = (&screen.trouble, screen.picture.is_some()) {
        spans.push(Span::styled(format!("  {trouble}"), BAD));
    }
    Line::from(spans)
}

fn tab_line(screen: &Screen) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    for (index, (page, title)) in pages(screen.picture.as_ref()).iter().enumerate() {
        let style = if *page == screen.page {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            DIM
        };
        spans.push(Span::styled(format!(" {} {title} ", index + 1), style));
    }
    spans.push(Span::styled(format!("   every {} s", screen.interval), DIM));
    Line::from(spans)
}

fn overview(frame: &mut Frame<'_>, area: Rect, picture: &Picture) {
    // Rows that each part would like, its heading included.
    let want = |rows: usize| (rows.max(1) + 2).min(u16::MAX as usize) as u16;
    let [flows, rest] = Layout::vertical([Constraint::Length(3), Constraint::Min(0)]).areas(area);
    frame.render_widget(
        Paragraph::new(vec![
            flow_line("→ to server", &picture.flow[0]),
            flow_line("← to client", &picture.flow[1]),
        ]),
        flows,
    );
    let sched = picture.sched.as_ref();
    let of_sched = |of: fn(&Sched) -> usize| sched.map_or(0, |sched| want(of(sched)));
    let wants = [
        want(picture.stages.len()),
        of_sched(|sched| sched.actors.len()),
        want(picture.ports.len()),
        want(rows(picture, PageName::Cores)),
        of_sched(|sched| sched.latest().len().min(MOVES)),
        want(picture.drops.len()),
    ];
    let [
        stage_area,
        actor_area,
        port_area,
        core_area,
        move_area,
        drop_area,
    ] = Layout::vertical(share(wants, rest.height).map(Constraint::Length)).areas(rest);
    stages(frame, stage_area, &picture.stages, 0);
    ports(frame, port_area, &picture.ports, 0);
    cores(frame, core_area, picture, 0);
    drops(frame, drop_area, &picture.drops, 0);
    if let Some(sched) = sched {
        sched::actors(frame, actor_area, sched);
        sched::moves(frame, move_area, sched, 0);
    }
}

/// Shares out `height` rows: everybody gets what they want, or else the greediest give way first, but
/// keep 3 rows (heading, one row, gap) as long as there are any.
fn share<const N: usize>(mut wants: [u16; N], height: u16) -> [u16; N] {
    while wants.iter().sum::<u16>() > height {
        let Some(greediest) = wants.iter_mut().max() else {
            break;
        };
        if *greediest == 0 {
            break;
        }
        *greediest -= 1;
    }
    wants
}

fn flow_line(label: &str, flow: &Flow) -> Line<'static> {
    let bits = flow
        .bits
        .map_or_else(|| "-".into(), |bits| format!("{}bit/s", short(bits)));
    let time = |ns: Option<u64>| ns.map_or_else(|| "-".into(), nanos);
    Line::from(vec![
        Span::raw(format!(" {label} ")),
        Span::styled(format!("{:>9}pps", short(flow.packets)), HEAD),
        Span::raw(format!("  {bits:>12}")),
        Span::raw(format!(
            "   transit p50 {:>8}  p99 {:>8}",
            time(flow.p50_ns),
            time(flow.p99_ns)
        )),
    ])
}

fn right(text: impl Into<String>) -> Cell<'static> {
    Cell::from(Line::from(text.into()).right_aligned())
}

fn rate(value: f64) -> Cell<'static> {
    right(short(value))
}

fn bits(value: Option<f64>) -> Cell<'static> {
    right(value.map_or_else(|| "-".to_owned(), |bits| format!("{}b", short(bits))))
}

fn bad_rate(value: f64) -> Cell<'static> {
    let style = if value > 0.0 { BAD } else { Style::new() };
    right(short(value)).style(style)
}

/// A table with a heading, scrolled; `headings` that begin with `>` are of numbers.
fn table(
    frame: &mut Frame<'_>,
    area: Rect,
    headings: &[&str],
    widths: &[Constraint],
    rows: Vec<Row<'static>>,
    scroll: usize,
) {
    let room = usize::from(area.height).saturating_sub(1);
    let scroll = scroll.min(rows.len().saturating_sub(room));
    let more = rows.len().saturating_sub(scroll + room);
    let head = headings
        .iter()
        .map(|heading| match heading.strip_prefix('>') {
            Some(heading) => right(heading),
            None => Cell::from((*heading).to_owned()),
        });
    let head = Row::new(head).style(HEAD.fg(Color::Cyan));
    let mut rows: Vec<Row<'static>> = rows.into_iter().skip(scroll).take(room).collect();
    if more > 0 && rows.len() > 1 {
        rows.pop();
        let text = format!("… {} more", more + 1);
        rows.push(Row::new([Cell::from(text)]).style(DIM));
    }
    let table = Table::new(rows, widths.iter().copied())
        .header(head)
        .column_spacing(1);
    let inset = Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(1),
        ..area
    };
    frame.render_widget(table, inset);
}

fn stages(frame: &mut Frame<'_>, area: Rect, stages: &[StageRate], scroll: usize) {
    let rows = stages.iter().map(|stage| {
        Row::new([
            Cell::from(stage.name.clone()),
            rate(stage.input[0]),
            rate(stage.input[1]),
            rate(stage.back),
            rate(stage.made),
            bad_rate(stage.dropped),
            right(grouped(stage.held)),
            right(format!("{:.0}", stage.cycles_per_packet)),
            right(format!("{:.1}", stage.mean_batch)),
        ])
    });
    let headings = [
        "Stage", ">→ /s", ">← /s", ">back/s", ">made/s", ">drops/s", ">held", ">cyc/pkt", ">batch",
    ];
    let number = Constraint::Length(7);
    let widths = [
        Constraint::Min(10),
        number,
        number,
        number,
        number,
        number,
        number,
        number,
        Constraint::Length(5),
    ];
    let mut rows: Vec<Row<'static>> = rows.collect();
    if rows.is_empty() {
        rows.push(Row::new([Cell::from("(no stage)")]).style(DIM));
    }
    table(frame, area, &headings, &widths, rows, scroll);
}

fn ports(frame: &mut Frame<'_>, area: Rect, ports: &[PortRate], scroll: usize) {
    let rows = ports.iter().map(|port| {
        let (state, style) = match (port.state.as_str(), port.link_up) {
            ("attached", true) => match port.speed_mbps {
                Some(speed) => (
                    format!("up {}", short(speed as f64 * 1e6).replace(' ', "")),
                    GOOD,
                ),
                None => ("up".to_owned(), GOOD),
            },
            ("attached", false) => ("no link".to_owned(), BAD),
            (state, _) => (state.to_owned(), BAD),
        };
        Row::new([
            Cell::from(port.name.clone()),
            Cell::from(port.device.clone()),
            Cell::from(state).style(style),
            rate(port.rx_packets),
            bits(port.rx_bits),
            rate(port.tx_packets),
            bits(port.tx_bits),
            bad_rate(port.dropped),
        ])
    });
    let headings = [
        "Port",
        "device",
        "link",
        ">rx pps",
        ">rx bit/s",
        ">tx pps",
        ">tx bit/s",
        ">drops/s",
    ];
    let number = Constraint::Length(9);
    let widths = [
        Constraint::Min(10),
        Constraint::Length(9),
        Constraint::Length(9),
        number,
        number,
        number,
        number,
        Constraint::Length(7),
    ];
    table(frame, area, &headings, &widths, rows.collect(), scroll);
}

fn drops(frame: &mut Frame<'_>, area: Rect, drops: &[DropRate], scroll: usize) {
    let mut rows: Vec<Row<'static>> = drops
        .iter()
        .map(|drop| {
            Row::new([
                Cell::from(drop.place.clone()),
                Cell::from(drop.reason.clone()),
                bad_rate(drop.rate),
                right(grouped(drop.total)),
            ])
        })
        .collect();
    if rows.is_empty() {
        rows.push(Row::new([Cell::from("none").style(GOOD)]));
    }
    let widths = [
        Constraint::Min(16),
        Constraint::Length(24),
        Constraint::Length(9),
        Constraint::Length(18),
    ];
    table(
        frame,
        area,
        &["Dropped by", "reason", ">/s", ">total"],
        &widths,
        rows,
        scroll,
    );
}

fn cores(frame: &mut Frame<'_>, area: Rect, picture: &Picture, scroll: usize) {
    let time = |ns: Option<u64>| right(ns.map_or_else(|| "-".into(), nanos));
    let packet = picture.cores.iter().map(|core| {
        let busy = match core.running {
            true => Line::from(bar(core.busy)),
            false => Line::styled("ENDED", BAD),
        };
        Row::new([
            right(core.core.to_string()),
            right(core.cpu.to_string()),
            Cell::from(busy),
            right(format!("{:.0} %", core.polls_full * 100.0)),
            time(core.p50_ns[0]),
            time(core.p99_ns[0]),
            time(core.p50_ns[1]),
            time(core.p99_ns[1]),
        ])
    });
    let workers = picture.sched.iter().flat_map(|sched| &sched.workers);
    let workers = workers.map(|worker| {
        Row::new([
            right(format!("w{}", worker.worker)),
            right(worker.cpu.to_string()),
            Cell::from(Line::from(bar(worker.busy_share))),
        ])
    });
    let headings = [
        ">Core", ">cpu", "busy", ">full", ">→ p50", ">→ p99", ">← p50", ">← p99",
    ];
    let number = Constraint::Length(8);
    let widths = [
        Constraint::Length(4),
        Constraint::Length(3),
        Constraint::Min(18),
        Constraint::Length(6),
        number,
        number,
        number,
        number,
    ];
    let rows = packet.chain(workers).collect();
    table(frame, area, &headings, &widths, rows, scroll);
}

/// A share as a bar of twelve places and a number.
fn bar(share: f64) -> Vec<Span<'static>> {
    const PLACES: usize = 12;
    let share = if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let full = (share * PLACES as f64).round() as usize;
    let color = match share {
        0.9.. => Color::Red,
        0.7.. => Color::Yellow,
        _ => Color::Green,
    };
    vec![
        Span::styled("█".repeat(full), Style::new().fg(color)),
        Span::styled("·".repeat(PLACES - full), DIM),
        Span::raw(format!(" {:>3.0} %", share * 100.0)),
    ]
}

/// The screen as text, for `--once`: no colours, no blanks at the ends of lines, no blank last lines.
pub fn as_text(screen: &Screen, width: u16, height: u16) -> String {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| draw(frame, screen));
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..height {
        let line: String = (0..width)
            .filter_map(|x| buffer.cell((x, y)))
            .map(|cell| cell.symbol())
            .collect();
        text += line.trim_end();
        text.push('\n');
    }
    format!("{}\n", text.trim_end())
}
