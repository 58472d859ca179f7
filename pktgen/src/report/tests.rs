//! The pages stand alone, whatever is put into them.

use super::*;
use crate::latency::{Latency, Summary};
use crate::random::Random;
use crate::result::*;
use crate::rfc2544::{LossPoint, Settings, SizeResult};
use crate::verdict::Verdict;
use nf_core::telemetry::Block;

/// A run as it might have been, with a stall in its middle.
pub fn example() -> RunResult {
    let latency = Latency::default();
    let mut random = Random::new(1, 1);
    for i in 0..500_000u32 {
        let stall = if i % 100 == 0 {
            random.below(2_000_000)
        } else {
            0
        };
        latency.record(9_000 + (random.exponential() * 4_000.0) as u64 + stall);
    }
    let latency = latency.snapshot();
    let series = (1..=100).map(|i| {
        let t_s = f64::from(i) / 10.0;
        let dip = if (45..52).contains(&i) { 0.6 } else { 1.0 };
        Sample {
            t_s,
            tx_pps: 1e6 + random.exponential() * 300.0,
            rx_pps: 1e6 * dip - random.exponential() * 900.0,
            tx_bps: 512e6,
            rx_bps: 512e6 * dip,
            p50_ns: 11_000 + random.below(900),
            p99_ns: if dip < 1.0 {
                30_000_000
            } else {
                29_000 + random.below(9_000)
            },
            max_ns: if dip < 1.0 {
                45_000_000
            } else {
                210_000 + random.below(900_000)
            },
        }
    });
    let series = series.collect();
    RunResult {
        kind: "run",
        version: "0.1.0",
        name: "edge <script>alert(1)</script>".into(),
        seed: 42,
        duration_seconds: 10.0,
        interrupted: false,
        notes: vec!["stream0: a note & more".into()],
        asked: Asked {
            packets_per_second: Some(1e6),
            duration_s: Some(10.0),
            packets: None,
        },
        sent: Sent {
            packets: 10_000_000,
            bytes: 640_000_000,
            packets_per_second: 1e6,
            bits_per_second: 512e6,
            bits_per_second_l1: 672e6,
            rate_error: Some(0.0000012),
            tracked_packets: 10_000_000,
            late_packets: 1_200,
            late_after_ns: 10_000,
            missed_slots: 0,
            dropped_packets: 0,
            refused_packets: 0,
            pool_empty: 0,
            lateness: None,
        },
        received: Received {
            packets: 9_999_000,
            bytes: 639_936_000,
            packets_per_second: 999_900.0,
            bits_per_second: 511_948_800.0,
            unique_packets: 9_998_990,
            foreign_packets: 3,
            stale_packets: 0,
            corrupted_packets: 0,
            untracked_packets: 0,
            neighbour_requests: 1,
        },
        loss: Loss {
            lost_packets: 1010,
            loss_ratio: 1.01e-4,
            duplicate_packets: 10,
            reordered_packets: 512,
            reordered_ratio: 5.12e-5,
            too_late_packets: 0,
            greatest_lag: 90,
        },
        latency: latency.summary(),
        latency_curve: latency.curve(),
        latency_hdr: None,
        jitter: Some(Jitter {
            mean_ns: 4_010.0,
            max_ns: 9_200,
        }),
        flows: Flows {
            count: 1000,
            sent: 1000,
            with_loss: 12,
            with_duplicates: 1,
            with_reordering: 30,
            window: 65_536,
            worst: vec![FlowReport {
                flow: 7,
                stream: "web".into(),
                sent: 10_000,
                received: 9_900,
                lost: 100,
                duplicates: 2,
                reordered: 9,
                greatest_lag: 90,
                jitter_ns: 9_200,
            }],
        },
        streams: vec![StreamReport {
            name: "web".into(),
            port: "clients".into(),
            rate: "1 Mpps".into(),
            flows: 1000,
            mean_frame_bytes: 64.0,
            packets: 10_000_000,
            packets_per_second: 1e6,
            lost_packets: Some(1010),
        }],
        ports: vec![PortReport {
            name: "clients".into(),
            driver: "net_memif".into(),
            mac: "02:00:00:00:00:01".into(),
            link_mbps: Some(10_000),
            rx_packets: 9_999_000,
            tx_packets: 10_000_000,
            rx_missed: 0,
            rx_no_buffer: 0,
            rx_errors: 0,
            tx_errors: 0,
        }],
        cores: vec![CoreReport {
            cpu: 1,
            transmit_busy: 0.31,
            receive_busy: 0.24,
        }],
        series,
        verdict: Verdict {
            limit: Limit::Network,
            reasons: vec!["1010 packets (0.01 %) were sent and did not come back.".into()],
        },
    }
}

/// A measurement as it might have been.
pub fn rfc_example() -> Rfc2544Result {
    let sizes = crate::rfc2544::FRAME_SIZES
        .into_iter()
        .enumerate()
        .map(|(i, size)| {
            let pps = 6.2e6f64.min(9.4e9 / ((f64::from(size) + 20.0) * 8.0));
            let scale = 1.0 + i as f64 * 0.3;
            SizeResult {
                size,
                throughput_pps: pps,
                throughput_bps: pps * f64::from(size) * 8.0,
                throughput_of_line: Some(pps * (f64::from(size) + 20.0) * 8.0 / 10e9),
                generator_limited: i == 0,
                loss_ratio: 0.0,
                latency: Some(Summary {
                    count: 1000,
                    min_ns: 5_000,
                    mean_ns: 12_000.0 * scale,
                    p50_ns: (11_000.0 * scale) as u64,
                    p90_ns: 15_000,
                    p99_ns: (40_000.0 * scale) as u64,
                    p99_9_ns: 90_000,
                    p99_99_ns: 300_000,
                    max_ns: (900_000.0 * scale) as u64,
                }),
                back_to_back_frames: Some(1.2e6 / scale),
                back_to_back_limited: i > 4,
                frame_loss: [100.0, 90.0, 80.0, 70.0]
                    .map(|percent: f64| LossPoint {
                        percent,
                        packets_per_second: pps * percent / 100.0,
                        loss_ratio: ((percent - 75.0) / 150.0 / scale).max(0.0),
                    })
                    .to_vec(),
                trials: 14,
            }
        });
    Rfc2544Result {
        kind: "rfc2544",
        version: "0.1.0",
        name: "edge".into(),
        seed: 42,
        settings: Settings {
            line_rate: Some(10e9),
            ..Settings::default()
        },
        interrupted: false,
        notes: Vec::new(),
        sizes: sizes.collect(),
    }
}

/// Checks that a page needs nothing but itself, and that what came from outside is text.
fn stands_alone(page: &str) {
    for outside in [
        "http://", "https://", "src=", "href=", "@import", "url(", "<script", "<link",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf\""));
    // Every element that is opened is closed.
    for element in [
        "svg", "table", "tr", "td", "th", "div", "figure", "h2", "p", "text", "path",
    ] {
        let open = page.matches(&format!("<{element}>")).count()
            + page.matches(&format!("<{element} ")).count();
        let closed = page.matches(&format!("</{element}>")).count();
        assert_eq!(open, closed, "{element}");
    }
}

#[test]
fn the_page_of_a_run_stands_alone() {
    let page = run(&example());
    stands_alone(&page);
    for expected in [
        "&lt;script&gt;",
        "1010 packets",
        "Latency by percentile",
        "99.9 %",
        "net_memif",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert_eq!(page.matches("<svg").count(), 3);
}

#[test]
fn a_run_of_which_nothing_came_back_has_a_page_too() {
    let mut result = example();
    result.latency = None;
    result.latency_curve.clear();
    result.series.clear();
    result.jitter = None;
    let page = run(&result);
    stands_alone(&page);
    assert!(page.contains("nothing was measured"));
}

#[test]
fn the_page_of_rfc_2544_stands_alone() {
    let page = rfc2544(&rfc_example());
    stands_alone(&page);
    assert_eq!(page.matches("<rect class=\"bar\"").count(), 7);
    assert!(page.contains("1518 B") && page.contains("&gt; 6.2 Mpps"));
}

/// Writes the pages into the folder that `PKTGEN_PAGES` names, to be looked at.
#[test]
fn pages_to_look_at() {
    if let Some(folder) = std::env::var_os("PKTGEN_PAGES") {
        let folder = std::path::PathBuf::from(folder);
        std::fs::write(folder.join("run.html"), run(&example())).unwrap();
        std::fs::write(folder.join("rfc2544.html"), rfc2544(&rfc_example())).unwrap();
    }
}
