//! Results for people, as plain text.

use std::fmt::Write;

use crate::engine::Progress;
use crate::latency::Summary;
use crate::result::{RunResult, Sample};
use crate::rfc2544::{Rfc2544Result, SizeResult};
use crate::units::{nanoseconds, si};

pub use workload::format::grouped;

/// One line of progress.
pub fn line(sample: &Sample, progress: &Progress) -> String {
    let mut text = format!(
        "{:6.1} s  tx {:>11}pps {:>11}bit/s  rx {:>11}pps",
        progress.elapsed_s,
        si(sample.tx_pps),
        si(sample.tx_bps),
        si(sample.rx_pps),
    );
    if progress.received.latency.count() > 0 {
        let _ = write!(
            text,
            "  p50 {}  p99 {}",
            nanoseconds(sample.p50_ns as f64),
            nanoseconds(sample.p99_ns as f64)
        );
    }
    if progress.sent.late > 0 {
        let _ = write!(text, "  late {}", grouped(progress.sent.late));
    }
    text
}

fn latency(text: &mut String, summary: &Summary) {
    let of = |ns: u64| nanoseconds(ns as f64);
    let _ = writeln!(
        text,
        "Latency    min {}  mean {}  p50 {}  p90 {}  p99 {}  p99.9 {}  p99.99 {}  max {}\n           \
         from the intended send time, over {} packets",
        of(summary.min_ns),
        nanoseconds(summary.mean_ns),
        of(summary.p50_ns),
        of(summary.p90_ns),
        of(summary.p99_ns),
        of(summary.p99_9_ns),
        of(summary.p99_99_ns),
        of(summary.max_ns),
        grouped(summary.count),
    );
}

/// The summary of a run.
pub fn run(result: &RunResult) -> String {
    let mut text = String::new();
    let (sent, received, loss) = (&result.sent, &result.received, &result.loss);
    let _ = writeln!(
        text,
        "Sent       {} packets in {:.3} s: {}pps, {}bit/s of frames, {}bit/s on the wire",
        grouped(sent.packets),
        result.duration_seconds,
        si(sent.packets_per_second),
        si(sent.bits_per_second),
        si(sent.bits_per_second_l1),
    );
    if let (Some(asked), Some(error)) = (result.asked.packets_per_second, sent.rate_error) {
        let _ = writeln!(
            text,
            "           asked {}pps, error {:+.4} %",
            si(asked),
            error * 100.0
        );
    }
    if let Some(lateness) = &sent.lateness {
        let _ = writeln!(
            text,
            "           {} left late (> {}; p50 {}, p99 {}, max {} behind), {} slots missed, {} dropped",
            grouped(sent.late_packets),
            nanoseconds(sent.late_after_ns as f64),
            nanoseconds(lateness.p50_ns as f64),
            nanoseconds(lateness.p99_ns as f64),
            nanoseconds(lateness.max_ns as f64),
            grouped(sent.missed_slots),
            grouped(sent.dropped_packets),
        );
    }
    let _ = writeln!(
        text,
        "Received   {} packets: {}pps, {}bit/s of frames",
        grouped(received.packets),
        si(received.packets_per_second),
        si(received.bits_per_second),
    );
    let others = [
        (received.foreign_packets, "without a signature"),
        (received.stale_packets, "of another run"),
        (received.corrupted_packets, "corrupted"),
        (received.untracked_packets, "not followed"),
    ];
    for (count, what) in others.into_iter().filter(|other| other.0 > 0) {
        let _ = writeln!(text, "           {} {what}", grouped(count));
    }
    if sent.tracked_packets > 0 {
        let _ = writeln!(
            text,
            "Flows      {} followed: {} packets lost ({:.4} %), {} duplicated, {} reordered, {} too late",
            grouped(u64::from(result.flows.count)),
            grouped(loss.lost_packets),
            loss.loss_ratio * 100.0,
            grouped(loss.duplicate_packets),
            grouped(loss.reordered_packets),
            grouped(loss.too_late_packets),
        );
    }
    if let Some(summary) = &result.latency {
        latency(&mut text, summary);
    }
    if let Some(jitter) = &result.jitter {
        let _ = writeln!(
            text,
            "Jitter     {} mean, {} worst flow (RFC 3550)",
            nanoseconds(jitter.mean_ns),
            nanoseconds(jitter.max_ns as f64)
        );
    }
    for core in &result.cores {
        let _ = writeln!(
            text,
            "Core {:<5} sending {:.0} % of the time, receiving {:.0} %",
            core.cpu,
            core.transmit_busy * 100.0,
            core.receive_busy * 100.0
        );
    }
    for note in &result.notes {
        let _ = writeln!(text, "Note       {note}");
    }
    let _ = writeln!(text, "Verdict    {}", result.verdict.headline());
    for reason in &result.verdict.reasons {
        let _ = writeln!(text, "           {reason}");
    }
    let _ = writeln!(
        text,
        "Seed       {} (--seed {} repeats this run)",
        result.seed, result.seed
    );
    text
}

/// One row of the RFC 2544 table.
pub fn row(result: &SizeResult) -> String {
    let more = if result.generator_limited { ">" } else { " " };
    let latency = result.latency.map_or_else(
        || "-".to_owned(),
        |l| {
            format!(
                "{} / {}",
                nanoseconds(l.p50_ns as f64),
                nanoseconds(l.p99_ns as f64)
            )
        },
    );
    let burst = result.back_to_back_frames.map_or_else(
        || "-".to_owned(),
        |frames| {
            let more = if result.back_to_back_limited {
                "≥ "
            } else {
                ""
            };
            format!("{more}{}", grouped(frames as u64))
        },
    );
    let line = result
        .throughput_of_line
        .map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
    format!(
        "{:>6} {more}{:>12}pps {:>12}bit/s {:>8} {:>22} {:>14} {:>7}",
        result.size,
        si(result.throughput_pps),
        si(result.throughput_bps),
        line,
        latency,
        burst,
        result.trials
    )
}

/// The head of the RFC 2544 table.
pub const ROW_HEAD: &str = " frame    throughput             of frames      of line     latency p50 / p99   back-to-back  trials";

/// What stands below the table.
pub fn rfc2544(result: &Rfc2544Result) -> String {
    let mut text = String::new();
    if result.sizes.iter().any(|size| size.generator_limited) {
        let _ = writeln!(
            text,
            "> : the generator, its port or its receiving was the limit; the device may do better."
        );
    }
    if result.interrupted {
        let _ = writeln!(text, "Ended early: sizes not finished are left out.");
    }
    for note in &result.notes {
        let _ = writeln!(text, "Note: {note}");
    }
    let _ = writeln!(text, "Seed {}", result.seed);
    text
}
