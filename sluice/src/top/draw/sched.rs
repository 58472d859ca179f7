//! The page of the scheduler, and its parts of the overview.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row};

use super::{BAD, DIM, bad_rate, bar, rate, right, table};
use crate::sched::{Actor, Event, Sched, percent, time};
use crate::units::{duration, grouped, nanos};

/// Latency against its limits, the actors, the workers, and what was done last.
pub fn page(frame: &mut Frame<'_>, area: Rect, sched: &Sched, scroll: usize) {
    let want =
        |rows: usize| Constraint::Length((rows.max(1) + 2).min(usize::from(u16::MAX)) as u16);
    let [head, actor_area, core_area, move_area] = Layout::vertical([
        Constraint::Length(2),
        want(sched.actors.len()),
        want(sched.packet_cores.len() + sched.workers.len()),
        Constraint::Min(5),
    ])
    .areas(area);
    frame.render_widget(latency(sched), head);
    actors(frame, actor_area, sched);
    cores(frame, core_area, sched);
    moves(frame, move_area, sched, scroll);
}

fn latency(sched: &Sched) -> Paragraph<'static> {
    let [mean, tail] = sched.latency_text();
    let over = |is: f64, limit: f64| if is > limit { BAD } else { Default::default() };
    let (latency, limits) = (&sched.latency, &sched.thresholds);
    Paragraph::new(Line::from(vec![
        Span::raw(" Latency: "),
        Span::styled(mean, over(latency.mean, limits.mean_ns)),
        Span::raw(", "),
        Span::styled(tail, over(latency.tail(), limits.tail_ns)),
    ]))
}

/// Where each actor is, and what it costs.
pub fn actors(frame: &mut Frame<'_>, area: Rect, sched: &Sched) {
    let rows = sched.actors.iter().map(|actor: &Actor| {
        let measured = |ns: f64| match actor.messages {
            0 => right("-"),
            _ => right(time(ns)),
        };
        Row::new([
            Cell::from(actor.name.clone()),
            Cell::from(actor.place_text()).style(match actor.out_of_service {
                true => BAD,
                false => Default::default(),
            }),
            measured(actor.service.mean),
            measured(actor.service.deviation),
            measured(actor.sojourn.tail()),
            rate(actor.rate),
            right(percent(actor.load)),
            right(grouped(actor.waiting)),
            bad_rate(actor.lost_rate),
        ])
    });
    let headings = [
        "Actor",
        "place",
        ">µ",
        ">σ",
        ">soj. µ+3σ",
        ">/s",
        ">load",
        ">waits",
        ">lost/s",
    ];
    let widths = [
        Constraint::Min(8),
        Constraint::Length(15),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(10),
        Constraint::Length(6),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Length(6),
    ];
    table(frame, area, &headings, &widths, rows.collect(), 0);
}

fn cores(frame: &mut Frame<'_>, area: Rect, sched: &Sched) {
    let packet = sched.packet_cores.iter().enumerate().map(|(core, group)| {
        Row::new([
            Cell::from(format!("packet {core}")),
            Cell::from(group.clone()),
        ])
    });
    let workers = sched.workers.iter().map(|worker| {
        Row::new([
            Cell::from(format!("worker {}", worker.worker)),
            Cell::from("worker"),
            Cell::from(Line::from(bar(worker.busy_share))),
            right(worker.actors.to_string()),
        ])
    });
    let headings = ["Core", "group", "busy", ">actors"];
    let widths = [
        Constraint::Length(12),
        Constraint::Length(8),
        Constraint::Min(18),
        Constraint::Length(7),
    ];
    let rows = packet.chain(workers).collect();
    table(frame, area, &headings, &widths, rows, 0);
}

/// What was decided and moved, the newest first.
pub fn moves(frame: &mut Frame<'_>, area: Rect, sched: &Sched, scroll: usize) {
    let rows = sched.latest().into_iter().map(|event: &Event| {
        let style = match event.is_bad() {
            true => BAD,
            false => Default::default(),
        };
        Row::new([
            right(ago(sched.now_ns.saturating_sub(event.at))),
            Cell::from(event.text()).style(style),
        ])
    });
    let mut rows: Vec<Row<'static>> = rows.collect();
    if rows.is_empty() {
        rows.push(Row::new([Cell::from(""), Cell::from("nothing yet")]).style(DIM));
    }
    let widths = [Constraint::Length(11), Constraint::Min(20)];
    table(
        frame,
        area,
        &[">Ago", "what the scheduler did"],
        &widths,
        rows,
        scroll,
    );
}

fn ago(ns: u64) -> String {
    match ns {
        0..60_000_000_000 => nanos(ns),
        _ => duration(ns as f64 / 1e9),
    }
}
