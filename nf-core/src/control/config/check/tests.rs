//! What a configuration means: every mistake, with its place and what is allowed.

use super::*;
use crate::chain::{BuildContext, BuildError, StageControl, StageType};
use proptest::prelude::*;
use serde_json::json;

/// A kind of stage with settings of its own, one of whose types has the name of one of ours.
pub(in crate::control::config) struct Wall;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // only its schema is used
pub(in crate::control::config) struct WallConfig {
    /// The bricks, from the ground up.
    #[serde(default)]
    bricks: Vec<LogConfig>,
    /// The way through.
    #[serde(default)]
    gate: Option<Gate>,
    /// What is on top.
    #[serde(default)]
    roof: Option<Roof>,
    /// What holds them.
    #[serde(default)]
    mortar: Option<Mortar>,
}

/// A gate.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(dead_code)]
enum Gate {
    /// There is none.
    None {},
    /// It swings.
    Swing {
        /// How far it opens, in degrees.
        angle: u8,
    },
}

/// A roof.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Roof {
    /// How steep, in degrees.
    #[serde(default)]
    pitch: Option<u8>,
}

/// One brick.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct LogConfig {
    /// How wide, in millimetres.
    #[schemars(range(min = 10))]
    width_mm: u16,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)]
enum Mortar {
    /// Sets slowly.
    Lime,
    /// Sets fast.
    Cement,
}

impl StageType for Wall {
    const NAME: &'static str = "wall";
    const SUMMARY: &'static str = "stands in the way";
    type Settings = WallConfig;

    fn build(_: WallConfig, _: &BuildContext) -> Result<Box<dyn StageControl>, BuildError> {
        Err(BuildError("only for checks".to_owned()))
    }
}

/// A kind of stage that takes any settings.
struct Any;

impl StageType for Any {
    const NAME: &'static str = "any";
    const SUMMARY: &'static str = "takes any settings";
    type Settings = Value;

    fn build(_: Value, _: &BuildContext) -> Result<Box<dyn StageControl>, BuildError> {
        Err(BuildError("only for checks".to_owned()))
    }
}

pub(in crate::control::config) fn registry() -> StageRegistry {
    let mut registry = StageRegistry::new();
    registry.add(Any).add(Wall);
    registry
}

/// A small configuration without a mistake.
pub(in crate::control::config) fn minimal() -> Value {
    json!({
        "ports": [
            { "name": "a", "side": "client", "device": { "type": "null" } },
            { "name": "b", "side": "server", "device": { "type": "ring" } },
        ],
        "chain": [{ "stage": "any" }, { "stage": "any", "name": "second", "config": {} }],
    })
}

/// Checks a configuration that must be right.
pub(in crate::control::config) fn checked(document: &Value) -> Checked {
    let outcome = Checker::new(&registry()).check_value(document);
    outcome
        .config
        .unwrap_or_else(|| panic!("{}", outcome.problems))
}

/// One of everything, without a mistake.
fn full() -> Value {
    json!({
        "$schema": "schema.json", "name": "edge", "description": "all of it",
        "eal": { "memory_mb": 512, "hugepages": "required", "in_memory": true,
                 "dpdk_log_level": "notice", "dpdk_telemetry": false,
                 "extra_args": ["--huge-unlink"] },
        "cores": { "packet": [2, 3], "workers": [1], "control": 0, "idle": "adaptive", "burst": 64 },
        "scheduler": { "slo_mean_us": 20, "slo_tail_us": 80.5, "policy": { "helping": "strict" },
                       "stages": { "s": { "pin": "worker", "mailbox": 64, "hold_back": 128 } } },
        "mempool": { "packets": 131072, "data_room_bytes": 2176, "cache": 0 },
        "ports": [
            { "name": "p", "side": "client", "peer": "t", "queues": 2,
              "device": { "type": "pci", "address": "01:00.0", "driver_args": "a=1,b=2" },
              "rss": "destination", "offloads": { "checksum": true, "vlan_strip": true } },
            { "name": "t", "side": "server", "mtu": 1400, "promiscuous": false,
              "device": { "type": "tap", "interface": "t0", "mac": "02:00:00:00:00:01" } },
            { "name": "m", "side": "any", "rx_descriptors": 256, "tx_descriptors": 512, "peer": "t",
              "device": { "type": "memif", "role": "client", "socket": "/run/m.sock", "id": 3,
                          "secret": "x", "zero_copy": true, "abstract": true } },
            { "name": "x", "side": "any", "peer": "k",
              "device": { "type": "af_xdp", "interface": "e0", "start_queue": 1, "force_copy": true } },
            { "name": "k", "side": "any", "peer": "x",
              "device": { "type": "af_packet", "interface": "e1", "qdisc_bypass": true } },
            { "name": "r", "side": "any", "device": { "type": "ring" } },
            { "name": "n", "side": "any", "device": { "type": "null", "packet_bytes": 60, "copy": true } },
        ],
        "chain": [{ "stage": "any", "name": "s", "description": "d", "config": { "x": [1] } }],
        "telemetry": { "http": null },
        "control": { "socket": "/tmp/e.sock", "mode": "0600" },
        "log": { "level": "trace", "format": "json" },
    })
}

#[test]
fn the_least_configuration_gets_the_defaults() {
    let outcome = Checker::new(&registry()).check_value(&minimal());
    assert_eq!(outcome.problems.to_string(), "");
    let checked = outcome.config.unwrap();
    assert_eq!(&*checked.config().name, "sluice");
    assert_eq!(checked.config().cores.packet, [1]);
    assert_eq!(checked.config().ports[0].queue_pairs(3), 3);
    assert_eq!(checked.config().chain[0].name(), "any");
    assert_eq!(checked.peers(), [Some(1), Some(0)]);
    assert_eq!(checked.memory().least_packets, 2 * 2048 + 384 + 32);
    assert_eq!(
        checked.config().control.socket_path("edge").to_str(),
        Some("/run/sluice/edge.sock")
    );
}

#[test]
fn everything_can_be_said_without_a_mistake() {
    let outcome = Checker::new(&registry()).check_value(&full());
    assert!(outcome.config.is_some(), "{}", outcome.problems);
}

#[test]
fn a_configuration_reads_back_as_itself() {
    for document in [minimal(), full()] {
        let checked = checked(&document);
        let mut written = serde_json::to_value(checked.config()).unwrap();
        if let Some(secret) = written.pointer_mut("/ports/2/device/secret") {
            assert_eq!(secret, "***");
            *secret = "x".into();
        }
        let again = Checker::new(&registry()).check_value(&written);
        assert_eq!(again.config.unwrap().config(), checked.config());
    }
}

#[test]
fn peers_are_told_from_names_and_sides() {
    let peers = |ports: Value| {
        let document = json!({ "ports": ports, "mempool": { "packets": 65536 } });
        checked(&document).peers().to_vec()
    };
    let device = json!({ "type": "null" });
    let port = |name: &str, side: &str| json!({ "name": name, "side": side, "device": device });
    let to = |name: &str, side: &str, peer: &str| json!({ "name": name, "side": side, "peer": peer, "device": device });
    assert_eq!(peers(json!([port("a", "any")])), [Some(0)]);
    assert_eq!(
        peers(json!([to("a", "client", "b"), port("b", "server")])),
        [Some(1), Some(0)]
    );
    assert_eq!(
        peers(json!([
            port("a", "client"),
            port("b", "client"),
            port("c", "server")
        ])),
        [Some(2), Some(2), None]
    );
    assert_eq!(
        peers(json!([
            to("a", "client", "c"),
            to("b", "client", "d"),
            port("c", "server"),
            port("d", "server"),
        ])),
        [Some(2), Some(3), Some(0), Some(1)]
    );
    assert_eq!(
        peers(json!([
            port("a", "any"),
            port("b", "any"),
            port("c", "any")
        ])),
        [None; 3]
    );
}

#[test]
fn a_capture_file_without_end_has_a_queue_for_each_core() {
    let device = json!({ "type": "pcap", "rx_file": "/tmp/x.pcap", "loop": true });
    let port = |name: &str, side: &str, device: &Value| json!({ "name": name, "side": side, "device": device });
    let of = |device: &Value| {
        Checker::new(&registry()).check_value(&json!({
            "cores": { "packet": [0, 1] },
            "ports": [port("a", "client", device), port("b", "server", device)],
        }))
    };
    let checked = of(&device).config.expect("no mistake");
    assert_eq!(checked.config().ports[0].queue_pairs(2), 2);
    for once in [
        json!({ "type": "pcap", "rx_file": "/tmp/x.pcap" }),
        json!({ "type": "pcap", "rx_file": "/tmp/x.pcap", "loop": true, "tx_file": "/tmp/y.pcap" }),
    ] {
        let outcome = of(&once);
        assert!(outcome.problems.to_string().contains("one queue only"));
    }
}

/// Megabytes of nonsense are refused in a moment.
#[test]
fn long_lists_take_no_long_time() {
    let port = minimal()["ports"][0].clone();
    let document = json!({
        "ports": vec![port; 20_000],
        "chain": vec![json!({ "stage": "any" }); 20_000],
        "cores": { "packet": vec![1; 200_000] },
    });
    let start = std::time::Instant::now();
    let outcome = Checker::new(&registry()).check_value(&document);
    assert!(outcome.config.is_none());
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    let of = |path: &str| outcome.problems.iter().find(|p| p.path.to_string() == path);
    for path in ["$.ports", "$.chain", "$.cores.packet"] {
        assert_eq!(
            of(path).map(|p| p.message.as_str()),
            Some("the list is too long"),
            "{path}"
        );
    }
}

/// All places in a document.
fn places(value: &Value, path: &JsonPath, found: &mut Vec<JsonPath>) {
    found.push(path.clone());
    match value {
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(i, item)| places(item, &path.index(i), found));
        }
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(key, member)| places(member, &path.key(key), found));
        }
        _ => {}
    }
}

fn replace(value: &mut Value, path: &JsonPath, place: &JsonPath, new: &Value) {
    if path == place {
        *value = new.clone();
        return;
    }
    match value {
        Value::Array(items) => items
            .iter_mut()
            .enumerate()
            .for_each(|(i, item)| replace(item, &path.index(i), place, new)),
        Value::Object(members) => members
            .iter_mut()
            .for_each(|(key, member)| replace(member, &path.key(key), place, new)),
        _ => {}
    }
}

fn remove(value: &mut Value, path: &JsonPath, place: &JsonPath) {
    match value {
        Value::Array(items) => {
            let mut index = 0;
            items.retain(|_| {
                index += 1;
                path.index(index - 1) != *place
            });
            items
                .iter_mut()
                .enumerate()
                .for_each(|(i, item)| remove(item, &path.index(i), place));
        }
        Value::Object(members) => {
            members.retain(|key, _| path.key(key) != *place);
            members
                .iter_mut()
                .for_each(|(key, member)| remove(member, &path.key(key), place));
        }
        _ => {}
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("type".to_owned()),
        Just("name".to_owned()),
        Just("ports".to_owned()),
        Just("chain".to_owned()),
        Just("config".to_owned()),
        Just("device".to_owned()),
        Just("tap".to_owned()),
        Just("null".to_owned()),
        Just("client".to_owned()),
        ".{0,20}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_i64..70_000).prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((word.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Whatever is told must have a place that can be shown, and must agree with the outcome.
fn check_whatever(document: &Value) {
    let registry = registry();
    for checker in [
        Checker::new(&registry),
        Checker::new(&registry).on_machine(Machine::default()),
    ] {
        let outcome = checker.check_value(document);
        assert_eq!(outcome.config.is_none(), outcome.problems.has_errors());
        assert_eq!(
            outcome.problems.to_string().is_empty(),
            outcome.problems.is_empty()
        );
        let text = serde_json::to_string_pretty(document).unwrap();
        let of_text = checker.check_text(&text);
        assert_eq!(of_text.problems.len(), outcome.problems.len());
        assert!(
            of_text
                .problems
                .iter()
                .all(|problem| problem.position.is_some())
        );
        if let Some(checked) = &outcome.config {
            assert!(crate::control::config::diff(checked, checked).is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_value_is_checked(document in any_json()) {
        check_whatever(&document);
    }

    #[test]
    fn any_change_of_a_right_one_is_checked(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any_json(), 0..4), 1..5),
    ) {
        let mut document = full();
        for (index, new, what) in edits {
            let mut found = Vec::new();
            places(&document, &JsonPath::root(), &mut found);
            let place = index.get(&found).clone();
            match what {
                0 => remove(&mut document, &JsonPath::root(), &place),
                _ => replace(&mut document, &JsonPath::root(), &place, &new),
            }
        }
        check_whatever(&document);
    }

    /// What the schema and the checks let pass, serde reads: nobody ever sees serde's own words.
    #[test]
    fn numbers_at_the_limits(mtu in 0_u64..70_000, burst in 0_u64..100, id in any::<u64>()) {
        let mut document = full();
        document["ports"][1]["mtu"] = mtu.into();
        document["cores"]["burst"] = burst.into();
        document["ports"][2]["device"]["id"] = id.into();
        let outcome = Checker::new(&registry()).check_value(&document);
        let right = (68..=65521).contains(&mtu)
            && (1..=64).contains(&burst)
            && id <= u64::from(u32::MAX);
        prop_assert_eq!(outcome.config.is_some(), right, "{}", outcome.problems);
    }
}

#[test]
fn workers_and_the_scheduler_need_each_other() {
    let told = |edit: &dyn Fn(&mut Value)| {
        let mut document = minimal();
        edit(&mut document);
        let outcome = Checker::new(&registry()).check_value(&document);
        outcome.problems.to_string()
    };
    let alone = told(&|document| document["cores"] = json!({ "workers": [0] }));
    assert!(alone.contains("$.cores.workers"), "{alone}");
    assert!(alone.contains("\"scheduler\": {}"), "{alone}");
    let same = told(&|document| {
        document["cores"] = json!({ "packet": [1], "workers": [0, 1, 0] });
        document["scheduler"] = json!({});
    });
    assert!(
        same.contains("$.cores.workers[1]") && same.contains("$.cores.workers[2]"),
        "{same}"
    );
    let shared = told(&|document| {
        document["cores"] = json!({ "packet": [1], "workers": [1], "idle": "adaptive" });
        document["scheduler"] = json!({});
    });
    assert!(
        shared.contains("warning") && !shared.contains("error"),
        "{shared}"
    );
    let misnamed = told(&|document| {
        document["scheduler"] = json!({ "stages": { "secnd": { "pin": "packet" } } });
    });
    assert!(misnamed.contains("$.scheduler.stages.secnd"), "{misnamed}");
    assert!(misnamed.contains("did you mean \"second\"?"), "{misnamed}");
    let wrong = told(&|document| {
        document["scheduler"] = json!({ "policy": { "hysteresis": 2, "helping": "some" } });
    });
    assert!(wrong.contains("$.scheduler.policy.hysteresis"), "{wrong}");
    assert!(wrong.contains("$.scheduler.policy.helping"), "{wrong}");
}
