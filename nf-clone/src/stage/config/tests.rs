//! Settings and their mistakes.

use nf_core::check::{JsonPath, Problems, check_settings};
use serde_json::{Value, json};

use super::*;

fn two() -> Value {
    json!({
        "vip": ["10.0.0.100"],
        "servers": [{ "sid": 0, "ip": "10.0.1.101" }, { "sid": 1, "ip": "10.0.1.102" }],
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut config = two();
    config[key] = value;
    config
}

fn problems(config: &Value) -> String {
    let mut problems = Problems::new();
    let meaning = |config: &CloneConfig, path: &JsonPath, problems: &mut Problems| {
        config.check(path, None, problems);
    };
    check_settings(config, &JsonPath::root(), &mut problems, meaning);
    problems.to_string()
}

#[test]
fn the_least_settings_are_enough() {
    assert_eq!(problems(&two()), "");
}

#[test]
fn b15_every_mistake_is_told_where_it_is() {
    let server = |sid: u8, ip: &str| json!({ "sid": sid, "ip": ip });
    for (key, value, told) in [
        (
            "servers",
            json!([server(0, "10.0.1.1")]),
            "$.servers\n  cloning needs two servers",
        ),
        (
            "servers",
            json!([server(0, "10.0.1.1"), server(0, "10.0.1.2")]),
            "$.servers[1].sid\n  another server has this number",
        ),
        (
            "servers",
            json!([server(0, "10.0.1.1"), server(1, "10.0.1.1")]),
            "$.servers[1].ip\n  another server has this address",
        ),
        (
            "servers",
            json!([server(0, "10.0.1.1"), server(1, "10.0.0.100")]),
            "$.servers[1].ip\n  a VIP",
        ),
        (
            "servers",
            json!([server(0, "10.0.1.1"), server(1, "fd00::1")]),
            "there is no VIP of this IP version",
        ),
        (
            "groups",
            json!([[0, 0]]),
            "$.groups[0]\n  both servers of the group are the same",
        ),
        (
            "groups",
            json!([[0, 7]]),
            "$.groups[0][1]\n  there is no such server",
        ),
        ("slots_log2", json!(9), "$.slots_log2"),
        ("slots_log2", json!(25), "$.slots_log2"),
        ("tables", json!(17), "$.tables"),
        ("switch_id", json!(0), "$.switch_id"),
        (
            "l4_ports",
            json!([40000]),
            "$.l4_ports[0]\n  clients may use this port",
        ),
        (
            "l4_ports",
            json!([9043, 9043]),
            "$.l4_ports[1]\n  the port stands here twice",
        ),
        ("l4_ports", json!([]), "$.l4_ports"),
        (
            "vip",
            json!(["10.0.0.1", "10.0.0.2"]),
            "$.vip[1]\n  there is a VIP",
        ),
        ("policy", json!("netclon"), "$.policy"),
        ("mode", json!("one-arm"), "$.mode"),
        (
            "filter",
            json!(false),
            "$.filter\n  clients will get both answers",
        ),
        ("nonsense", json!(1), "nonsense"),
    ] {
        let told_all = problems(&with(key, value));
        assert!(
            told_all.contains(told),
            "{key}: {told_all:?} lacks {told:?}"
        );
    }
    let mut winner = with("filter_mode", json!("winner"));
    winner["slots_log2"] = json!(12);
    assert!(problems(&winner).contains("$.slots_log2\n  too few slots"));
}

#[test]
fn groups_are_auto_or_a_list() {
    let read = |value: Value| serde_json::from_value::<Groups>(value);
    assert_eq!(read(json!("auto")).ok(), Some(Groups::Auto));
    assert_eq!(read(json!([[0, 1]])).ok(), Some(Groups::List(vec![[0, 1]])));
    assert!(read(json!("none")).is_err());
    assert_eq!(serde_json::to_value(Groups::Auto).ok(), Some(json!("auto")));
}
