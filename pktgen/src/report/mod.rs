//! Results as one self-contained page: no script, no font, no picture from elsewhere, light or dark
//! as the reader's system is.

use std::fmt::Write;

use workload::report::svg::{Axis, Bar, Plot, Scale, Series, bars, escape};
use workload::report::{card, figure, notes, page, table};

use crate::result::RunResult;
use crate::rfc2544::Rfc2544Result;
use crate::text::grouped;
use crate::units::{nanoseconds, si};
use crate::verdict::Limit;

fn seconds(value: f64) -> String {
    let text = format!("{value:.1}");
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

fn percentile(value: f64) -> String {
    let percent = value * 100.0;
    let text = format!("{percent:.6}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn share(value: f64) -> String {
    if value == 0.0 {
        "0".into()
    } else {
        format!("{:.4} %", value * 100.0)
    }
}

fn time_axis() -> Axis {
    Axis {
        label: "since the start",
        scale: Scale::Linear,
        format: seconds,
    }
}

fn rate_plot(result: &RunResult) -> String {
    let series = |name: &str, colour, value: fn(&crate::result::Sample) -> f64| Series {
        name: name.into(),
        colour,
        points: result
            .series
            .iter()
            .map(|sample| (sample.t_s, value(sample)))
            .collect(),
        ..Series::default()
    };
    Plot {
        title: "Rate over time".into(),
        x: time_axis(),
        y: Axis {
            label: "packets per second",
            scale: Scale::Linear,
            format: |v| si(v),
        },
        series: vec![
            series("sent", 0, |s| s.tx_pps),
            series("received", 1, |s| s.rx_pps),
        ],
        dots: false,
    }
    .render()
}

fn latency_plot(result: &RunResult) -> String {
    let series = |name: &str, colour, value: fn(&crate::result::Sample) -> u64| Series {
        name: name.into(),
        colour,
        points: result
            .series
            .iter()
            .filter(|sample| sample.max_ns > 0)
            .map(|sample| (sample.t_s, value(sample) as f64))
            .collect(),
        ..Series::default()
    };
    Plot {
        title: "Latency over time".into(),
        x: time_axis(),
        y: Axis {
            label: "latency",
            scale: Scale::Log,
            format: nanoseconds,
        },
        series: vec![
            series("median", 0, |s| s.p50_ns),
            series("p99", 1, |s| s.p99_ns),
            series("max", 4, |s| s.max_ns),
        ],
        dots: false,
    }
    .render()
}

fn percentile_plot(result: &RunResult) -> String {
    let points = result
        .latency_curve
        .iter()
        .map(|&(share, ns)| (share, ns as f64))
        .collect();
    Plot {
        title: "Latency by percentile".into(),
        x: Axis {
            label: "packets at most as late",
            scale: Scale::Percentile,
            format: percentile,
        },
        y: Axis {
            label: "latency",
            scale: Scale::Log,
            format: nanoseconds,
        },
        series: vec![Series {
            name: "latency".into(),
            colour: 0,
            points,
            ..Series::default()
        }],
        dots: false,
    }
    .render()
}

/// The page of a run.
pub fn run(result: &RunResult) -> String {
    let mut body = format!("<h1>{}</h1>\n", escape(&result.name));
    let (sent, loss) = (&result.sent, &result.loss);
    let _ = writeln!(
        body,
        "<p class=\"soft\">pktgen {}, {}, seed {}</p>",
        result.version,
        seconds(result.duration_seconds),
        result.seed
    );
    let good = if result.verdict.limit == Limit::None {
        " good"
    } else {
        ""
    };
    let _ = writeln!(
        body,
        "<div class=\"verdict{good}\"><strong>{}</strong>{}</div>",
        escape(result.verdict.headline()),
        escape(&result.verdict.reasons.join(" "))
    );
    notes(&mut body, &result.notes);
    body.push_str("<div class=\"cards\">\n");
    let asked = match (result.asked.packets_per_second, sent.rate_error) {
        (Some(pps), Some(error)) => {
            format!("asked {}pps, error {:+.4} %", si(pps), error * 100.0)
        }
        (Some(pps), None) => format!("asked {}pps", si(pps)),
        (None, _) => "as fast as possible".into(),
    };
    card(
        &mut body,
        "Sent",
        &format!("{}pps", si(sent.packets_per_second)),
        &asked,
    );
    card(
        &mut body,
        "On the wire",
        &format!("{}bit/s", si(sent.bits_per_second_l1)),
        &format!("{}bit/s of frames", si(sent.bits_per_second)),
    );
    card(
        &mut body,
        "Received",
        &format!("{}pps", si(result.received.packets_per_second)),
        &format!("{} packets", grouped(result.received.packets)),
    );
    card(
        &mut body,
        "Lost",
        &share(loss.loss_ratio),
        &format!(
            "{} of {}",
            grouped(loss.lost_packets),
            grouped(sent.tracked_packets)
        ),
    );
    card(
        &mut body,
        "Out of order",
        &grouped(loss.reordered_packets),
        &format!("{} duplicated", grouped(loss.duplicate_packets)),
    );
    if let Some(latency) = &result.latency {
        let of = |ns: u64| nanoseconds(ns as f64);
        card(
            &mut body,
            "Median latency",
            &of(latency.p50_ns),
            &format!(
                "least {}, mean {}",
                of(latency.min_ns),
                nanoseconds(latency.mean_ns)
            ),
        );
        card(
            &mut body,
            "99th percentile",
            &of(latency.p99_ns),
            &format!(
                "99.9th {}, 99.99th {}",
                of(latency.p99_9_ns),
                of(latency.p99_99_ns)
            ),
        );
        card(
            &mut body,
            "Greatest latency",
            &of(latency.max_ns),
            "from the intended send time",
        );
    }
    if let Some(jitter) = &result.jitter {
        card(
            &mut body,
            "Jitter",
            &nanoseconds(jitter.mean_ns),
            &format!("worst flow {}", nanoseconds(jitter.max_ns as f64)),
        );
    }
    card(
        &mut body,
        "Left late",
        &share(sent.late_packets as f64 / sent.packets.max(1) as f64),
        &format!("{} slots missed", grouped(sent.missed_slots)),
    );
    body.push_str("</div>\n");
    figure(&mut body, "Rate over time", &rate_plot(result));
    figure(&mut body, "Latency by percentile", &percentile_plot(result));
    figure(&mut body, "Latency over time", &latency_plot(result));
    run_tables(&mut body, result);
    page(&format!("pktgen: {}", result.name), &body, result)
}

fn run_tables(body: &mut String, result: &RunResult) {
    let streams: Vec<Vec<String>> = result
        .streams
        .iter()
        .map(|stream| {
            vec![
                stream.name.clone(),
                stream.port.clone(),
                stream.rate.clone(),
                format!("{}pps", si(stream.packets_per_second)),
                grouped(u64::from(stream.flows)),
                format!("{:.0}", stream.mean_frame_bytes),
                grouped(stream.packets),
                stream.lost_packets.map_or("-".into(), grouped),
            ]
        })
        .collect();
    let head = [
        "Stream",
        "Port",
        "Asked",
        "Sent",
        "Flows",
        "Mean frame",
        "Packets",
        "Lost",
    ];
    table(body, "Streams", &head, &streams);
    let flows: Vec<Vec<String>> = result
        .flows
        .worst
        .iter()
        .map(|flow| {
            vec![
                flow.flow.to_string(),
                flow.stream.clone(),
                grouped(flow.sent),
                grouped(flow.lost),
                grouped(u64::from(flow.duplicates)),
                grouped(u64::from(flow.reordered)),
                grouped(u64::from(flow.greatest_lag)),
                nanoseconds(flow.jitter_ns as f64),
            ]
        })
        .collect();
    if !flows.is_empty() {
        let head = [
            "Flow",
            "Stream",
            "Sent",
            "Lost",
            "Duplicated",
            "Reordered",
            "Greatest lag",
            "Jitter",
        ];
        table(body, "Flows to which most happened", &head, &flows);
    }
    let ports: Vec<Vec<String>> = result
        .ports
        .iter()
        .map(|port| {
            vec![
                port.name.clone(),
                port.driver.clone(),
                port.mac.clone(),
                port.link_mbps
                    .map_or("-".into(), |mbps| format!("{mbps} Mbit/s")),
                grouped(port.tx_packets),
                grouped(port.rx_packets),
                grouped(port.rx_missed + port.rx_no_buffer),
            ]
        })
        .collect();
    let head = [
        "Port",
        "Driver",
        "MAC",
        "Link",
        "Sent",
        "Received",
        "Dropped by the port",
    ];
    table(body, "Ports", &head, &ports);
    let cores: Vec<Vec<String>> = result
        .cores
        .iter()
        .map(|core| {
            vec![
                core.cpu.to_string(),
                format!("{:.0} %", core.transmit_busy * 100.0),
                format!("{:.0} %", core.receive_busy * 100.0),
            ]
        })
        .collect();
    table(
        body,
        "Cores",
        &["Processor", "Busy sending", "Busy receiving"],
        &cores,
    );
}

/// The page of an RFC 2544 measurement.
pub fn rfc2544(result: &Rfc2544Result) -> String {
    let mut body = format!("<h1>{}: RFC 2544</h1>\n", escape(&result.name));
    let settings = &result.settings;
    let _ = writeln!(
        body,
        "<p class=\"soft\">pktgen {}, loss limit {}, trials of {}, confirmed over {}, seed {}</p>",
        result.version,
        share(settings.loss_limit),
        seconds(settings.trial_seconds),
        seconds(settings.latency_seconds),
        result.seed
    );
    if result.interrupted {
        body.push_str("<p>Ended early: sizes that were not finished are left out.</p>\n");
    }
    if result.sizes.iter().any(|size| size.generator_limited) {
        body.push_str(
            "<div class=\"verdict\"><strong>The generator was the limit for the sizes marked with \
             &gt;.</strong>The device under test may do better there.</div>\n",
        );
    }
    notes(&mut body, &result.notes);
    let throughput: Vec<Bar> = result
        .sizes
        .iter()
        .map(|size| {
            let more = if size.generator_limited { "> " } else { "" };
            Bar {
                name: size.size.to_string(),
                value: size.throughput_pps,
                label: format!("{more}{}pps", si(size.throughput_pps)),
                limit: settings
                    .line_rate
                    .map(|line| line / ((f64::from(size.size) + 20.0) * 8.0))
                    // An outline far above the bars would only press them flat.
                    .filter(|limit| *limit < size.throughput_pps * 5.0),
            }
        })
        .collect();
    let axis = Axis {
        label: "packets per second",
        scale: Scale::Linear,
        format: |v| si(v),
    };
    let title = "Throughput by frame size (outline: line rate)";
    figure(
        &mut body,
        title,
        &bars(
            "Throughput by frame size",
            "frame size, bytes",
            &axis,
            &throughput,
        ),
    );
    figure(
        &mut body,
        "Latency at the throughput",
        &size_latency_plot(result),
    );
    if result.sizes.iter().any(|size| !size.frame_loss.is_empty()) {
        figure(&mut body, "Frame loss", &loss_plot(result));
    }
    let rows: Vec<Vec<String>> = result.sizes.iter().map(size_row).collect();
    let head = [
        "Frame",
        "Throughput",
        "Of frames",
        "Of line rate",
        "Loss",
        "p50",
        "p99",
        "p99.9",
        "Max",
        "Back-to-back",
        "Trials",
    ];
    table(&mut body, "By frame size", &head, &rows);
    page(&format!("pktgen: {}, RFC 2544", result.name), &body, result)
}

fn size_row(size: &crate::rfc2544::SizeResult) -> Vec<String> {
    let of = |value: fn(&crate::latency::Summary) -> u64| {
        size.latency
            .as_ref()
            .map_or("-".into(), |l| nanoseconds(value(l) as f64))
    };
    let more = if size.generator_limited { "> " } else { "" };
    let burst = if size.back_to_back_limited {
        "≥ "
    } else {
        ""
    };
    vec![
        format!("{} B", size.size),
        format!("{more}{}pps", si(size.throughput_pps)),
        format!("{}bit/s", si(size.throughput_bps)),
        size.throughput_of_line
            .map_or("-".into(), |s| format!("{:.1} %", s * 100.0)),
        share(size.loss_ratio),
        of(|l| l.p50_ns),
        of(|l| l.p99_ns),
        of(|l| l.p99_9_ns),
        of(|l| l.max_ns),
        size.back_to_back_frames
            .map_or("-".into(), |f| format!("{burst}{}", grouped(f as u64))),
        size.trials.to_string(),
    ]
}

fn size_latency_plot(result: &Rfc2544Result) -> String {
    let series = |name: &str, colour, value: fn(&crate::latency::Summary) -> u64| Series {
        name: name.into(),
        colour,
        points: result
            .sizes
            .iter()
            .filter_map(|s| Some((f64::from(s.size), value(s.latency.as_ref()?) as f64)))
            .collect(),
        ..Series::default()
    };
    Plot {
        title: "Latency at the throughput, by frame size".into(),
        x: Axis {
            label: "frame size, bytes",
            scale: Scale::Linear,
            format: |v| format!("{v}"),
        },
        y: Axis {
            label: "latency",
            scale: Scale::Log,
            format: nanoseconds,
        },
        series: vec![
            series("median", 0, |l| l.p50_ns),
            series("p99", 1, |l| l.p99_ns),
            series("max", 4, |l| l.max_ns),
        ],
        dots: true,
    }
    .render()
}

fn loss_plot(result: &Rfc2544Result) -> String {
    let series = result.sizes.iter().enumerate().map(|(index, size)| {
        let mut points: Vec<(f64, f64)> = size
            .frame_loss
            .iter()
            .map(|p| (p.percent, p.loss_ratio * 100.0))
            .collect();
        points.reverse();
        Series {
            name: format!("{} B", size.size),
            colour: index % 7,
            points,
            ..Series::default()
        }
    });
    Plot {
        title: "Frame loss by offered rate".into(),
        x: Axis {
            label: "offered, share of the highest rate",
            scale: Scale::Linear,
            format: |v| format!("{v} %"),
        },
        y: Axis {
            label: "lost",
            scale: Scale::Linear,
            format: |v| format!("{v:.0} %"),
        },
        series: series.collect(),
        dots: true,
    }
    .render()
}

#[cfg(test)]
mod documented;
#[cfg(test)]
mod tests;
