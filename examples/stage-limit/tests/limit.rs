//! What `limit` does, on a bench without ports and in virtual time.

use nf_core::chain::ReloadError;
use nf_core::check::{JsonPath, Problems};
use nf_core::testing::{BenchOptions, Frame, StageBench, check, hostile, notes};
use serde_json::{Value, json};
use stage_limit::Limit;

const SECOND: u64 = 1_000_000_000;

fn requests(source: &str, count: usize) -> Vec<Vec<u8>> {
    let request = Frame::udp(&format!("{source}:1000"), "10.0.1.1:53")
        .payload(b"who?")
        .build();
    vec![request; count]
}

#[test]
fn what_is_over_the_limit_is_dropped_and_counted() {
    let mut bench = StageBench::new(&Limit, json!({ "packets_per_second": 100 }));
    let sent = bench.run(StageBench::CLIENTS, &requests("10.0.0.1", 25));
    assert_eq!(
        sent.len(),
        10,
        "a tenth of the limit in a tenth of a second"
    );
    assert_eq!(bench.dropped("over_limit"), 15);
    let sent = bench.run(StageBench::CLIENTS, &requests("10.0.0.2", 5));
    assert_eq!(sent.len(), 5, "another source has its own count");
    bench.advance(SECOND / 10 + SECOND / 100);
    let sent = bench.run(StageBench::CLIENTS, &requests("10.0.0.1", 5));
    assert_eq!(sent.len(), 5, "a new window");
    bench.assert_conserved();
}

#[test]
fn marked_packets_go_on_with_a_right_checksum() {
    let settings = json!({ "packets_per_second": 10, "mark": 8 });
    let mut bench = StageBench::new(&Limit, settings);
    let sent = bench.run(StageBench::CLIENTS, &requests("10.0.0.1", 3));
    let dscps: Vec<u8> = sent.iter().map(|sent| dscp(&sent.bytes)).collect();
    assert_eq!(dscps, [0, 8, 8]);
    assert_eq!(bench.counter("marked_packets"), 2);
    bench.assert_conserved();
}

fn dscp(frame: &[u8]) -> u8 {
    let layers = nf_core::wire::Layers::parse(frame).expect("well-formed");
    assert!(nf_core::wire::ipv4_checksum_ok(frame, &layers));
    layers.ipv4(frame).expect("IPv4").dscp()
}

#[test]
fn responses_other_protocols_and_exempt_sources_are_not_limited() {
    let settings = json!({ "packets_per_second": 10, "exempt": ["10.0.0.0/24", "fd00::/64"] });
    let mut bench = StageBench::new(&Limit, settings);
    let responses = requests("10.9.9.9", 20);
    assert_eq!(bench.run(StageBench::SERVERS, &responses).len(), 20);
    let arp = vec![vec![0xff; 60]; 20];
    assert_eq!(bench.run(StageBench::CLIENTS, &arp).len(), 20);
    let exempt = requests("10.0.0.1", 20);
    assert_eq!(bench.run(StageBench::CLIENTS, &exempt).len(), 20);
    assert_eq!(bench.counter("exempt_packets"), 20);
    bench.assert_conserved();
}

#[test]
fn new_settings_are_taken_over_between_two_bursts() {
    let mut bench = StageBench::new(&Limit, json!({ "packets_per_second": 10 }));
    assert_eq!(
        bench
            .run(StageBench::CLIENTS, &requests("10.0.0.1", 3))
            .len(),
        1
    );
    bench
        .reload(&json!({ "packets_per_second": 1000 }))
        .expect("right settings");
    assert_eq!(
        bench
            .run(StageBench::CLIENTS, &requests("10.0.0.1", 3))
            .len(),
        3
    );
    assert_eq!(bench.control().status()["version"], 1);
    let refused = bench.reload(&json!({ "packets_per_second": "many" }));
    assert!(matches!(refused, Err(ReloadError::Refused(_))));
    assert_eq!(
        bench.control().status()["settings"]["packets_per_second"],
        1000
    );
    bench.assert_conserved();
}

#[test]
fn a_trace_says_why() {
    let mut bench = StageBench::new(&Limit, json!({ "packets_per_second": 10 }));
    let session = bench.trace(2);
    bench.run(StageBench::CLIENTS, &requests("10.0.0.1", 2));
    let notes = notes(&session);
    assert!(
        notes.contains(&"over the limit source=10.0.0.1 sent=2".to_owned()),
        "{notes:?}"
    );
    assert!(
        notes.contains(&"dropped over_limit".to_owned()),
        "{notes:?}"
    );
    bench.assert_conserved();
}

#[test]
fn frames_of_every_kind_are_survived() {
    let settings = json!({ "packets_per_second": 10, "mark": 1 });
    let mut bench = StageBench::new(&Limit, settings);
    for port in [StageBench::CLIENTS, StageBench::SERVERS] {
        let frames = hostile::truncated(port).chain(hostile::mutated(port, 1, 10_000));
        for frame in frames {
            assert_eq!(bench.run(port, &[frame]).len(), 1, "none is dropped");
        }
    }
    bench.assert_conserved();
}

fn problems(config: &Value, cores: usize) -> Problems {
    let options = BenchOptions {
        cores,
        ..BenchOptions::default()
    };
    check(&Limit, config, &options)
}

#[test]
fn mistakes_are_told_with_their_place() {
    let config = json!({ "packets_per_second": 5, "exemt": [] });
    let text = problems(&config, 1).to_string();
    assert!(text.contains("error at $.packets_per_second"), "{text}");
    assert!(text.contains("error at $.exemt"), "{text}");
    let twice = json!({ "packets_per_second": 50, "exempt": ["10.0.0.0/8", "10.0.0.0/8"] });
    let found = problems(&twice, 1);
    let place = JsonPath::root().key("exempt").index(1);
    assert!(
        found.errors() == 1 && found.has_errors_within(&place),
        "{found}"
    );
    let right = json!({ "packets_per_second": 50 });
    assert!(problems(&right, 1).is_empty());
    let several = problems(&right, 2);
    assert_eq!((several.errors(), several.warnings()), (0, 1));
}

#[test]
fn the_settings_on_the_page_are_right() {
    let page = include_str!("../../../docs/writing-a-stage.md");
    let after = page.split("```json\n").nth(1).expect("a block of JSON");
    let block = after.split("```").next().expect("its end");
    let entry: Value = serde_json::from_str(block).expect("JSON");
    assert!(problems(&entry["config"], 1).is_empty());
}
