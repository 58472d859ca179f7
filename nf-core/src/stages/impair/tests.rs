//! The whole stage on a bench: what goes in, what comes out, when, and that nothing is lost but by
//! its counters.

use serde_json::{Value, json};

use super::ImpairKind;
use crate::chain::{CommandError, ReloadError, StageKind};
use crate::packet::Packet;
use crate::testing::{BenchOptions, Frame, Sent, StageBench, check, hostile, notes};

const MS: u64 = 1_000_000;

/// Distinct frames, numbered in their first bytes of data.
fn frames(range: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    let data = |n: u32| [n.to_be_bytes(), [0xaa; 4]].concat();
    range
        .map(|n| {
            Frame::udp("10.0.0.1:1000", "10.0.1.1:2000")
                .payload(&data(n))
                .build()
        })
        .collect()
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[42..46].try_into().unwrap())
}

fn numbers(sent: &[Sent]) -> Vec<u32> {
    sent.iter().map(|sent| number(&sent.bytes)).collect()
}

fn bench(config: Value) -> StageBench {
    StageBench::new(&ImpairKind, config)
}

#[test]
fn without_settings_nothing_happens() {
    let mut bench = bench(json!({}));
    let frames = frames(0..200);
    let sent = bench.run(StageBench::CLIENTS, &frames);
    assert!(sent.iter().map(|s| &s.bytes).eq(&frames));
    bench.assert_conserved();
}

#[test]
fn lost_packets_are_counted_by_direction() {
    let mut bench = bench(json!({ "to_server": { "loss": { "every_nth": 4 } } }));
    let sent = bench.run(StageBench::CLIENTS, &frames(0..100));
    assert_eq!(
        numbers(&sent),
        (0..100).filter(|n| n % 4 != 3).collect::<Vec<_>>()
    );
    assert_eq!(bench.run(StageBench::SERVERS, &frames(0..100)).len(), 100);
    assert_eq!(bench.dropped("loss"), 25);
    bench.assert_conserved();
}

#[test]
fn the_same_seed_gives_the_same_again() {
    let config = json!({ "seed": 5, "both": {
        "loss": { "probability": 0.1 }, "duplicate": { "probability": 0.1 },
        "corrupt": { "probability": 0.1 }, "reorder": { "probability": 0.1, "packets": 3 },
        "delay": { "time": { "exponential": { "mean_us": 300.0 } }, "keep_order": false },
    } });
    let run = |config: &Value, clients_first: bool| {
        let mut bench = bench(config.clone());
        let mut sent = Vec::new();
        for n in 0..20 {
            let batch = frames(n * 50..n * 50 + 50);
            let mut ports = [StageBench::CLIENTS, StageBench::SERVERS];
            if !clients_first {
                ports.reverse();
            }
            for port in ports {
                sent.extend(bench.run(port, &batch));
            }
            sent.extend(bench.advance(MS));
        }
        sent.extend(bench.advance(100 * MS));
        bench.assert_conserved();
        sent
    };
    let first = run(&config, true);
    assert_eq!(first, run(&config, true));
    // What happens in one direction does not depend on the other.
    let of = |sent: &[Sent], port| -> Vec<Sent> {
        sent.iter().filter(|s| s.port == port).cloned().collect()
    };
    let swapped = run(&config, false);
    for port in [StageBench::CLIENTS, StageBench::SERVERS] {
        assert_eq!(of(&first, port), of(&swapped, port));
    }
    assert_ne!(numbers(&of(&first, 0)), numbers(&of(&first, 1)));
    let mut other = config.clone();
    other["seed"] = json!(6);
    assert_ne!(first, run(&other, true));
}

#[test]
fn every_core_has_chances_of_its_own() {
    let options = BenchOptions {
        cores: 2,
        ..BenchOptions::default()
    };
    let config = json!({ "seed": 1, "both": { "loss": { "probability": 0.5 } } });
    let mut bench = StageBench::with(&ImpairKind, config, options);
    let sent: Vec<_> = (0..2)
        .map(|core| numbers(&bench.run_on(core, StageBench::CLIENTS, &frames(0..200))))
        .collect();
    assert_ne!(sent[0], sent[1]);
    bench.assert_conserved();
}

#[test]
fn a_constant_delay_is_exact_and_held_packets_are_counted() {
    let mut bench = bench(json!({ "both": { "delay": { "time": { "constant_us": 5000.0 } } } }));
    assert!(bench.run(StageBench::CLIENTS, &frames(0..100)).is_empty());
    bench.advance(2 * MS);
    assert!(bench.run(StageBench::SERVERS, &frames(100..150)).is_empty());
    bench.check_conserved();
    assert_eq!(bench.counters().held(), 150);
    assert!(bench.advance(2 * MS).is_empty());
    // A tick of the timer wheel later than 5 ms at the most.
    assert_eq!(
        numbers(&bench.advance(1100 * 1000)),
        (0..100).collect::<Vec<_>>()
    );
    assert_eq!(bench.counters().held(), 50);
    let sent = bench.advance(2 * MS);
    assert_eq!(numbers(&sent), (100..150).collect::<Vec<_>>());
    assert!(sent.iter().all(|sent| sent.port == StageBench::CLIENTS));
    assert_eq!(bench.counter("delayed"), 150);
    let counters = bench.counters();
    assert_eq!((counters.forward, counters.back), ([100, 50], [0, 0]));
    bench.assert_conserved();
}

#[test]
fn order_is_kept_where_it_shall_be() {
    for keep_order in [true, false] {
        let mut bench = bench(json!({ "seed": 3, "both": { "delay": {
            "time": { "uniform": { "min_us": 0.0, "max_us": 5000.0 } }, "keep_order": keep_order,
        } } }));
        let mut sent = Vec::new();
        for n in 0..40 {
            sent.extend(bench.run(StageBench::CLIENTS, &frames(n * 10..n * 10 + 10)));
            sent.extend(bench.advance(500_000));
        }
        sent.extend(bench.advance(20 * MS));
        let order = numbers(&sent);
        assert_eq!(order.len(), 400);
        assert_eq!(order.is_sorted(), keep_order);
        bench.assert_conserved();
    }
}

/// Packets without delay do not leave before delayed ones that came earlier, also within a batch.
#[test]
fn a_delay_of_nothing_keeps_its_place() {
    let mut bench = bench(json!({ "seed": 3, "both": {
        "delay": { "time": { "normal": { "mean_us": 0.0, "deviation_us": 50.0 } } },
        "duplicate": { "probability": 0.3, "copies": 3 },
    } }));
    let mut sent = Vec::new();
    for n in 0..200 {
        sent.extend(bench.run(StageBench::CLIENTS, &frames(n * 5..n * 5 + 5)));
        sent.extend(bench.advance(37_000));
    }
    sent.extend(bench.advance(MS));
    assert!(numbers(&sent).is_sorted());
    assert_eq!(sent.len() as u64, 1000 + bench.counter("duplicated"));
    bench.assert_conserved();
}

#[test]
fn a_delay_has_its_distribution() {
    let mut bench = bench(json!({ "seed": 11, "both": { "delay": {
        "time": { "exponential": { "mean_us": 20_000.0 } }, "keep_order": false } } }));
    let total = 3000;
    for chunk in frames(0..total).chunks(64) {
        bench.run(StageBench::CLIENTS, chunk);
    }
    // How many have left after each step, against the distribution function (Kolmogorov-Smirnov).
    let (mut left, mut distance) = (0usize, 0.0f64);
    for step in 1..=200 {
        left += bench.advance(MS).len();
        let expected = 1.0 - (-f64::from(step) / 20.0).exp();
        distance = distance.max((left as f64 / f64::from(total) - expected).abs());
    }
    let critical = 1.628 / f64::from(total).sqrt();
    assert!(
        distance < critical,
        "distance {distance}, critical {critical}"
    );
    bench.advance(400 * MS);
    bench.assert_conserved();
}

#[test]
fn a_full_batch_doubles_and_keeps_its_order() {
    for copies in [1, 8] {
        let mut bench =
            bench(json!({ "both": { "duplicate": { "probability": 1.0, "copies": copies } } }));
        let sent = bench.run(StageBench::CLIENTS, &frames(0..64));
        let expected: Vec<u32> = (0..64).flat_map(|n| vec![n; copies + 1]).collect();
        assert_eq!(numbers(&sent), expected);
        let counters = bench.counters();
        assert_eq!(counters.originated, [64 * copies as u64, 0]);
        bench.assert_conserved();
    }
}

#[test]
fn an_exhausted_pool_makes_no_copies_and_loses_nothing() {
    let options = BenchOptions {
        packets: 255,
        ..BenchOptions::default()
    };
    let config = json!({ "max_held": 300, "both": {
        "duplicate": { "probability": 1.0, "copies": 3 },
        "delay": { "time": { "constant_us": 1000.0 } },
    } });
    let mut bench = StageBench::with(&ImpairKind, config, options);
    for n in 0..3 {
        assert!(
            bench
                .run(StageBench::CLIENTS, &frames(n * 60..n * 60 + 20))
                .is_empty()
        );
    }
    // 60 packets and 180 copies fit; of the next 15, each with 3 copies, some do not.
    bench.run(StageBench::CLIENTS, &frames(0..15));
    assert!(bench.counter("no_buffer") > 0);
    assert_eq!(
        bench.counter("duplicated") + bench.counter("no_buffer"),
        225
    );
    let sent = bench.advance(10 * MS);
    assert_eq!(sent.len() as u64, 75 + bench.counter("duplicated"));
    bench.assert_conserved();
}

#[test]
fn shared_packets_are_copied_before_they_are_corrupted() {
    let mut bench = bench(json!({ "seed": 1, "both": {
        "corrupt": { "probability": 1.0, "bits": 3, "where": "payload" } } }));
    let frame = Frame::udp("10.0.0.1:1", "10.0.0.2:2")
        .payload_len(1000)
        .build();
    let original = Packet::from_bytes(bench.pool(), &frame).unwrap();
    let shared = original.share(bench.pool()).unwrap();
    let sent = bench.run_packets(0, StageBench::CLIENTS, vec![shared]);
    assert_eq!(original.data(), frame);
    let flipped: u32 = sent[0]
        .bytes
        .iter()
        .zip(&frame)
        .map(|(a, b)| (a ^ b).count_ones())
        .sum();
    assert_eq!((flipped, bench.counter("corrupted")), (3, 1));
    assert_eq!(sent[0].bytes[..42], frame[..42]);
    drop(original);
    bench.assert_conserved();
}

#[test]
fn packets_in_segments_are_impaired_like_others() {
    let mut bench = bench(json!({ "seed": 1, "both": {
        "corrupt": { "probability": 1.0, "bits": 1 },
        "duplicate": { "probability": 1.0 },
        "delay": { "time": { "constant_us": 100.0 } } } }));
    let frame = Frame::udp("10.0.0.1:1", "10.0.0.2:2")
        .payload_len(8000)
        .build();
    assert!(
        bench
            .run(StageBench::CLIENTS, &vec![frame.clone(); 10])
            .is_empty()
    );
    let sent = bench.advance(2 * MS);
    assert_eq!(sent.len(), 20);
    for sent in sent {
        let flipped: u32 = sent
            .bytes
            .iter()
            .zip(&frame)
            .map(|(a, b)| (a ^ b).count_ones())
            .sum();
        assert_eq!((sent.bytes.len(), flipped), (frame.len(), 1));
    }
    bench.assert_conserved();
}

#[test]
fn later_packets_go_ahead() {
    let mut bench = bench(json!({ "seed": 9, "both": {
        "reorder": { "probability": 0.05, "packets": 3, "delay_us": 50_000.0 } } }));
    let sent = bench.run(StageBench::CLIENTS, &frames(0..1000));
    let order = numbers(&sent);
    let reordered = bench.counter("reordered");
    assert!((25..80).contains(&reordered), "{reordered}");
    // Each packet that was held back left behind the third that came after it.
    let mut late = 0;
    for (place, n) in order.iter().enumerate() {
        let ahead = order[..place].iter().filter(|other| *other > n).count();
        assert!(ahead <= 3, "packet {n} is overtaken by {ahead}");
        late += u64::from(ahead > 0);
    }
    // Those at the very end still wait; neighbours that were both held back may keep their order.
    assert!(
        late + 3 >= reordered * 9 / 10 && late <= reordered,
        "{late} of {reordered}"
    );
    let rest = bench.advance(60 * MS);
    assert_eq!(order.len() + rest.len(), 1000);
    bench.assert_conserved();
}

#[test]
fn nobody_waits_for_ever_to_be_overtaken() {
    let mut bench = bench(json!({ "both": {
        "reorder": { "probability": 1.0, "packets": 10, "delay_us": 5000.0 } } }));
    assert!(bench.run(StageBench::CLIENTS, &frames(0..5)).is_empty());
    assert!(bench.advance(4 * MS).is_empty());
    assert_eq!(numbers(&bench.advance(2 * MS)), [0, 1, 2, 3, 4]);
    bench.assert_conserved();
}

#[test]
fn reordering_goes_together_with_delay() {
    let mut bench = bench(json!({ "seed": 4, "both": {
        "delay": { "time": { "constant_us": 10_000.0 } },
        "reorder": { "probability": 0.2, "packets": 2 } } }));
    let mut sent = Vec::new();
    for n in 0..100 {
        sent.extend(bench.run(StageBench::CLIENTS, &frames(n..n + 1)));
        sent.extend(bench.advance(MS));
    }
    sent.extend(bench.advance(100 * MS));
    let order = numbers(&sent);
    assert_eq!(order.len(), 100);
    assert!(!order.is_sorted(), "later packets went ahead");
    for (place, n) in order.iter().enumerate() {
        assert!(order[..place].iter().filter(|other| *other > n).count() <= 2);
    }
    bench.assert_conserved();
}

#[test]
fn a_link_of_limited_rate_spaces_packets_and_drops_behind_its_queue() {
    let frame_len = frames(0..1)[0].len() as u64;
    // One frame a millisecond.
    let mut bench = bench(json!({ "both": { "rate": {
        "bits_per_second": frame_len * 8 * 1000, "burst_bytes": 0, "queue_packets": 10 } } }));
    assert!(bench.run(StageBench::CLIENTS, &frames(0..64)).is_empty());
    assert_eq!(bench.dropped("queue_full"), 54);
    for n in 0..10 {
        bench.check_conserved();
        assert_eq!(numbers(&bench.advance(MS + 2000)), [n], "one a millisecond");
    }
    assert!(bench.advance(10 * MS).is_empty());
    bench.assert_conserved();
}

#[test]
fn no_more_is_held_than_may_be() {
    let mut bench = bench(json!({ "max_held": 100, "both": {
        "delay": { "time": { "constant_us": 1000.0 } } } }));
    assert!(bench.run(StageBench::CLIENTS, &frames(0..150)).is_empty());
    assert_eq!(bench.dropped("held_full"), 50);
    assert_eq!(
        numbers(&bench.advance(2 * MS)),
        (0..100).collect::<Vec<_>>()
    );
    bench.assert_conserved();
}

/// Thousands that are due at one moment leave in order, and the chain takes on all of them.
#[test]
fn a_great_many_leave_at_once() {
    let options = BenchOptions {
        packets: 16_383,
        ..BenchOptions::default()
    };
    let config = json!({ "both": { "delay": { "time": { "constant_us": 2000.0 } } } });
    let mut bench = StageBench::with(&ImpairKind, config, options);
    for chunk in frames(0..10_000).chunks(2000) {
        assert!(bench.run(StageBench::CLIENTS, chunk).is_empty());
    }
    let sent = bench.advance(20 * MS);
    assert!(
        numbers(&sent).into_iter().eq(0..10_000),
        "{} left",
        sent.len()
    );
    bench.assert_conserved();
}

#[test]
fn the_filter_chooses() {
    let mut bench = bench(json!({ "both": {
        "filter": "udp dst port 53", "loss": { "probability": 1.0 } } }));
    let dns = Frame::udp("10.0.0.1:1000", "10.0.0.2:53").build();
    let web = Frame::tcp("10.0.0.1:1000", "10.0.0.2:80").build();
    let sent = bench.run(StageBench::CLIENTS, &[&dns, &web, &dns, &web]);
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|sent| sent.bytes == web));
    assert_eq!(bench.dropped("loss"), 2);
    bench.assert_conserved();
}

#[test]
fn settings_change_while_packets_are_held() {
    let mut bench = bench(json!({ "seed": 1, "both": {
        "delay": { "time": { "constant_us": 5000.0 } } } }));
    bench.run(StageBench::CLIENTS, &frames(0..10));
    bench
        .reload(&json!({ "seed": 1, "both": { "loss": { "probability": 1.0 } } }))
        .unwrap();
    assert!(bench.run(StageBench::CLIENTS, &frames(10..20)).is_empty());
    assert_eq!(bench.dropped("loss"), 10);
    bench.reload(&json!({})).unwrap();
    assert_eq!(
        numbers(&bench.run(StageBench::CLIENTS, &frames(20..30))),
        (20..30).collect::<Vec<_>>()
    );
    assert_eq!(numbers(&bench.advance(6 * MS)), (0..10).collect::<Vec<_>>());
    let error = bench.reload(&json!({ "max_held": 5 })).unwrap_err();
    assert!(matches!(error, ReloadError::NeedsRestart(keys) if keys == ["max_held"]));
    bench.assert_conserved();
}

#[test]
fn commands_set_clear_and_repeat() {
    let mut bench = bench(json!({ "seed": 77 }));
    let status = bench
        .command("set", json!({ "to_server.loss.probability": 0.5 }))
        .unwrap();
    assert_eq!(status["seed"], 77);
    assert_eq!(status["config"]["to_server"]["loss"]["probability"], 0.5);
    let first = numbers(&bench.run(StageBench::CLIENTS, &frames(0..200)));
    assert!((60..140).contains(&first.len()));
    let second = numbers(&bench.run(StageBench::CLIENTS, &frames(0..200)));
    assert_ne!(first, second);
    bench.command("reseed", json!({})).unwrap();
    assert_eq!(
        numbers(&bench.run(StageBench::CLIENTS, &frames(0..200))),
        first
    );
    assert_eq!(
        bench.command("reseed", json!({ "seed": 78 })).unwrap()["seed"],
        78
    );
    assert_ne!(
        numbers(&bench.run(StageBench::CLIENTS, &frames(0..200))),
        first
    );
    for wrong in [
        json!({}),
        json!({ "to_server.loss.probability": 1.5 }),
        json!({ "to_server.loss.every_nth": 2 }), // beside the probability
        json!({ "both": { "loss": { "every_nth": 2 } } }), // beside to_server
        json!({ "seed.x": 1 }),
        json!({ "to_server.filter": "udp prot" }),
        json!({ "max_held": 1 }),
    ] {
        assert!(bench.command("set", wrong.clone()).is_err(), "{wrong}");
    }
    let status = bench.command("status", json!({})).unwrap();
    assert_eq!(
        status["config"]["to_server"],
        json!({ "loss": { "probability": 0.5 } })
    );
    bench
        .command("set", json!({ "to_server.loss": null }))
        .unwrap();
    assert_eq!(bench.run(StageBench::CLIENTS, &frames(0..100)).len(), 100);
    bench
        .command(
            "set",
            json!({ "both": { "loss": { "every_nth": 1 } }, "to_server": null }),
        )
        .unwrap();
    assert!(bench.run(StageBench::CLIENTS, &frames(0..100)).is_empty());
    bench.command("clear", json!({})).unwrap();
    assert_eq!(bench.run(StageBench::CLIENTS, &frames(0..100)).len(), 100);
    let unknown = bench.command("break", json!({})).unwrap_err();
    assert!(matches!(unknown, CommandError::Unknown { known, .. } if known.contains(&"set")));
    bench.assert_conserved();
}

#[test]
fn the_trace_tells_what_was_done() {
    let mut bench = bench(json!({ "seed": 1, "both": {
        "duplicate": { "probability": 1.0 }, "corrupt": { "probability": 1.0, "where": "anywhere" },
        "delay": { "time": { "constant_us": 100.0 } } } }));
    let session = bench.trace(1);
    bench.run(StageBench::CLIENTS, &frames(0..1));
    bench.advance(MS);
    let told = notes(&session).join("\n");
    for what in [
        "duplicated copies=1",
        "corrupted bits=1",
        "delayed for=100.000us",
    ] {
        assert!(told.contains(what), "{what} in\n{told}");
    }
    bench.assert_conserved();
}

#[test]
fn survives_what_no_host_sends() {
    let mut bench = bench(json!({ "seed": 1, "both": {
        "filter": "not udp port 9", "loss": { "probability": 0.1 },
        "duplicate": { "probability": 0.2 }, "corrupt": { "probability": 0.5, "bits": 64 },
        "rate": { "bits_per_second": 10_000_000_000u64 }, "reorder": { "probability": 0.1, "packets": 2 },
        "delay": { "time": { "exponential": { "mean_us": 100.0 } }, "keep_order": false } } }));
    for frame in hostile::truncated(0)
        .step_by(3)
        .chain(hostile::mutated(1, 3, 2000))
    {
        bench.run(StageBench::CLIENTS, &[&frame]);
        bench.run(StageBench::SERVERS, &[&frame]);
        bench.advance(20_000);
    }
    // Held jumbo frames are several buffers: counted when all have left.
    bench.advance(1000 * MS);
    bench.assert_conserved();
}

fn problems(config: Value) -> Vec<String> {
    check(&ImpairKind, &config, &BenchOptions::default())
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect()
}

#[test]
fn mistakes_are_told_with_their_places() {
    for (config, place) in [
        (
            json!({ "both": { "loss": { "probability": 1.01 } } }),
            "$.both.loss.probability",
        ),
        (
            json!({ "both": { "loss": { "probability": -0.1 } } }),
            "$.both.loss.probability",
        ),
        (
            json!({ "both": { "loss": { "gilbert_elliott": { "p": 2, "r": 0.5 } } } }),
            "$.both.loss.gilbert_elliott.p",
        ),
        (
            json!({ "both": { "loss": { "every_nth": 0 } } }),
            "$.both.loss.every_nth",
        ),
        (json!({ "both": { "loss": { "often": 1 } } }), "$.both.loss"),
        (
            json!({ "to_client": { "filter": "udp prot 5" } }),
            "$.to_client.filter",
        ),
        (json!({ "both": {}, "to_client": {} }), "$.to_client"),
        (
            json!({ "both": { "reorder": { "probability": 0.1 } } }),
            "$.both.reorder",
        ),
        (
            json!({ "both": { "delay": { "time": { "uniform": { "min_us": 5, "max_us": 4 } } } } }),
            "$.both.delay.time.uniform.max_us",
        ),
        (
            json!({ "both": { "delay": { "time": { "constant_us": 1e9 } } } }),
            "$.both.delay.time.constant_us",
        ),
        (
            json!({ "both": { "duplicate": { "probability": 0.1, "copies": 9 } } }),
            "$.both.duplicate.copies",
        ),
        (
            json!({ "both": { "corrupt": { "probability": 0.1, "where": "here" } } }),
            "$.both.corrupt.where",
        ),
        (
            json!({ "both": { "rate": { "bits_per_second": 10 } } }),
            "$.both.rate.bits_per_second",
        ),
        (json!({ "max_held": 0 }), "$.max_held"),
        (json!({ "sed": 1 }), "$"),
    ] {
        let told = problems(config.clone());
        assert_eq!(told.len(), 1, "{config}: {told:?}");
        assert!(told[0].starts_with(place), "{config}: {told:?}");
    }
    let syntax = problems(json!({ "both": { "filter": "udp prot 5" } }));
    assert!(syntax[0].contains("syntax error"), "{syntax:?}");
    assert_eq!(
        problems(json!({ "both": { "loss": { "gilbert_elliott": { "p": 0.1, "r": 0.0 } } } }))
            .len(),
        1
    );
    assert_eq!(ImpairKind.reasons(), ["loss", "queue_full", "held_full"]);
}

#[test]
fn damage_is_not_covered_by_a_checksum_that_the_port_would_compute() {
    let mut options = BenchOptions::default();
    for port in &mut options.ports {
        port.tx_checksums = Some(crate::dpdk::TxChecksums::ALL);
    }
    let config = json!({ "seed": 1, "both": { "corrupt": { "probability": 1.0 } } });
    let mut bench = StageBench::with(&ImpairKind, config, options);
    let frame = Frame::udp("10.0.0.1:1", "10.0.0.2:2")
        .payload_len(100)
        .build();
    let mut packet = Packet::from_bytes(bench.pool(), &frame).unwrap();
    assert!(packet.leave_udp_checksum(14, 20));
    let sent = bench.run_packets(0, StageBench::CLIENTS, vec![packet]);
    assert!(!sent[0].leaves_checksums);
    assert_eq!(sent[0].bytes[..42], frame[..42], "the checksum of before");
    assert_ne!(sent[0].bytes, frame);
    bench.assert_conserved();
}
