//! Rules that change while packets flow, what is told of them, and wrong settings.

use std::time::Instant;

use super::*;
use crate::testing::{BenchOptions, UnderLoad, check, notes};

#[test]
fn rules_change_while_the_stage_runs() {
    let mut bench =
        bench(json!({ "rules": [ { "action": "deny", "protocol": "tcp", "name": "no-tcp" } ] }));
    let tcp = [Frame::tcp("10.0.0.1:9", "10.0.0.2:80")];
    assert_eq!(passes(&mut bench, C, &tcp), [false]);
    let rule = json!({ "action": "allow", "protocol": "tcp", "destination_ports": 80, "at": 1 });
    let done = bench.command("add", rule).expect("added");
    assert_eq!(done["rules"], 2);
    assert_eq!(passes(&mut bench, C, &tcp), [true]);
    let shown = bench.command("show", Value::Null).expect("shown");
    assert_eq!(
        (
            &shown["rules"][0]["hits"],
            &shown["rules"][1]["hits"],
            &shown["rules"][1]["name"]
        ),
        (&json!(1), &json!(1), &json!("no-tcp")),
        "a rule that stays keeps its counter"
    );
    bench
        .command("delete", json!({ "name": "no-tcp" }))
        .expect("deleted");
    bench
        .command("delete", json!({ "number": 1 }))
        .expect("deleted");
    bench
        .command("replace", json!({ "rules": [ { "action": "deny" } ] }))
        .expect("replaced");
    assert_eq!(passes(&mut bench, C, &tcp), [false]);
    bench
        .reload(&json!({ "rules": [], "default": "allow" }))
        .expect("reloaded");
    assert_eq!(passes(&mut bench, C, &tcp), [true]);
    bench.assert_conserved();
}

#[test]
fn commands_refuse_what_they_do_not_understand_and_change_nothing() {
    let mut bench =
        bench(json!({ "max_rules": 2, "rules": [ { "action": "deny", "name": "a" } ] }));
    let before = bench.command("show", Value::Null).expect("shown");
    for (verb, arguments, message) in [
        ("frob", json!({}), "there is no command"),
        ("add", json!({}), "missing field `action`"),
        ("add", json!({ "action": "drop" }), "unknown variant `drop`"),
        (
            "add",
            json!({ "action": "deny", "at": 3 }),
            "there is no place 3: 1 to 2",
        ),
        (
            "add",
            json!({ "action": "deny", "name": "a" }),
            "another rule has the name",
        ),
        (
            "add",
            json!({ "action": "deny", "protocol": "gre", "source_ports": 1 }),
            "have no ports",
        ),
        (
            "add",
            json!({ "action": "deny", "source": "10.0.0.1/8" }),
            "host bits",
        ),
        ("delete", json!({}), "say which rule"),
        ("delete", json!({ "number": 0 }), "there is no such rule"),
        ("delete", json!({ "number": 2 }), "there is no such rule"),
        (
            "replace",
            json!({ "rules": [{ "action": "deny" }, { "action": "deny" }, { "action": "deny" }] }),
            "room for 2",
        ),
        (
            "test",
            json!({ "source": "10.0.0.1", "destination": "::1", "protocol": "tcp" }),
            "different IP versions",
        ),
        (
            "test",
            json!({ "source": "10.0.0.1", "destination": "10.0.0.1", "protocol": "icmp", "source_port": 1 }),
            "no ports",
        ),
    ] {
        let error = bench
            .command(verb, arguments.clone())
            .expect_err(verb)
            .to_string();
        assert!(error.contains(message), "{verb} {arguments}: {error}");
    }
    assert_eq!(bench.command("show", Value::Null).expect("shown"), before);
    let error = bench
        .reload(&json!({ "max_rules": 3 }))
        .expect_err("needs a restart");
    assert!(error.to_string().contains("max_rules"));
    bench.assert_conserved();
}

#[test]
fn a_test_says_which_rule_would_decide() {
    let mut bench = bench(json!({ "default": "deny", "rules": [
        { "action": "allow", "protocol": "tcp", "destination_ports": 80, "name": "web" } ] }));
    let mut test = |port: u16| {
        bench
            .command(
                "test",
                json!({ "source": "10.0.0.1", "destination": "10.0.0.2", "protocol": "tcp",
                "source_port": 9, "destination_port": port }),
            )
            .expect("tested")
    };
    let hit = test(80);
    assert_eq!(
        (&hit["action"], &hit["rule"]["number"], &hit["rule"]["name"]),
        (&json!("allow"), &json!(1), &json!("web"))
    );
    assert_eq!(test(81), json!({ "action": "deny", "rule": null }));
    bench.assert_conserved();
}

#[test]
fn a_trace_names_the_rule() {
    let mut bench = bench(json!({ "default": "deny", "rules": [
        { "action": "deny", "protocol": "udp" }, { "action": "allow", "protocol": "tcp" } ] }));
    let session = bench.trace(10);
    passes(
        &mut bench,
        C,
        &[
            Frame::udp("10.0.0.1:9", "10.0.0.2:80"),
            Frame::tcp("10.0.0.1:9", "10.0.0.2:80"),
            Frame::ping("10.0.0.1", "10.0.0.2"),
        ],
    );
    let lines = notes(&session);
    for line in [
        "denied rule=1",
        "dropped denied",
        "allowed rule=2",
        "denied by=default",
        "dropped default_denied",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line}: {lines:?}");
    }
    bench.assert_conserved();
}

#[test]
fn wrong_settings_are_all_told_with_their_place() {
    let rules = json!([
        { "action": "allow", "source": "10.0.0.0/8", "destination": "fd00::/8" },
        { "action": "allow", "protocol": "icmp", "destination_ports": 80, "name": "x" },
        { "action": "deny", "name": "x" },
        { "action": "deny", "name": "with blank" },
    ]);
    let problems = check(
        &AclKind,
        &json!({ "rules": rules, "max_rules": 3 }),
        &BenchOptions::default(),
    );
    let found: Vec<_> = problems
        .iter()
        .map(|p| (p.path.to_string(), p.message.clone()))
        .collect();
    for (path, message) in [
        ("$.rules", "more rules than there is room for"),
        (
            "$.rules[0].destination",
            "source and destination are of different IP versions",
        ),
        (
            "$.rules[1].destination_ports",
            "packets of this protocol have no ports to look at",
        ),
        ("$.rules[2].name", "another rule has this name"),
        ("$.rules[3].name", "not a name"),
    ] {
        assert!(
            found.contains(&(path.into(), message.into())),
            "{path}: {found:?}"
        );
    }
    for (config, path) in [
        (json!({ "rule": [] }), "$"),
        (json!({ "rules": [ {} ] }), "$.rules[0]"),
        (
            json!({ "rules": [ { "action": "drop" } ] }),
            "$.rules[0].action",
        ),
        (
            json!({ "rules": [ { "action": "deny", "protocol": "tpc" } ] }),
            "$.rules[0].protocol",
        ),
        (
            json!({ "rules": [ { "action": "deny", "protocol": 256 } ] }),
            "$.rules[0].protocol",
        ),
        (
            json!({ "rules": [ { "action": "deny", "source_ports": "9-1" } ] }),
            "$.rules[0].source_ports",
        ),
        (
            json!({ "rules": [ { "action": "deny", "source_ports": 65536 } ] }),
            "$.rules[0].source_ports",
        ),
        (
            json!({ "rules": [ { "action": "deny", "source": "10.0.0.1/8" } ] }),
            "$.rules[0].source",
        ),
        (json!({ "max_rules": 0 }), "$.max_rules"),
    ] {
        let problems = check(&AclKind, &config, &BenchOptions::default());
        assert!(
            problems
                .iter()
                .any(|p| p.path.to_string().starts_with(path)),
            "{config}: {problems:?}"
        );
    }
}

/// A core runs packets through the stage without a pause while the rules change 100 000 times: no
/// packet is lost, no version is leaked, and no burst waits for the control side.
#[test]
fn a_hundred_thousand_changes_under_load() {
    const CHANGES: u64 = 100_000;
    let frames = [
        Frame::udp("10.0.0.1:9", "10.0.0.2:80"),
        Frame::udp("[fd00::1]:9", "[fd00::2]:80"),
    ];
    let frames = frames.map(|frame| frame.build()).to_vec();
    let mut under_load = UnderLoad::start(&AclKind, &json!({}), frames);
    let control = under_load.control();
    let start = Instant::now();
    let rule = |n: u64| {
        let mut rule = json!({ "action": if n.is_multiple_of(4) { "deny" } else { "allow" }, "protocol": "udp",
            "destination_ports": n % 50 + 50 });
        rule["destination"] = json!(if n % 6 < 3 {
            "10.0.0.2/32"
        } else {
            "fd00::2/128"
        });
        rule
    };
    for n in 0..CHANGES {
        // Commands wait until the core follows, new settings do not.
        match n % 20 {
            0 => drop(control.command("add", &rule(n)).expect("added")),
            1 => drop(
                control
                    .command("delete", &json!({ "number": 1 }))
                    .expect("deleted"),
            ),
            _ => {
                let rules: Vec<Value> = (0..n % 3).map(|more| rule(n + more)).collect();
                control
                    .reload(&json!({ "rules": rules }))
                    .expect("reloaded");
            }
        }
    }
    let took = start.elapsed();
    let load = under_load.stop();
    let given: u64 = load.given.iter().sum();
    let (forwarded, total) = (load.sent[1], load.counted);
    assert_eq!(total.input[0], given);
    assert_eq!(total.forward[0], forwarded);
    assert_eq!(forwarded + total.dropped.sum(), given, "nothing is lost");
    assert!(
        total.dropped.get("denied") > 0 && forwarded > 0,
        "both kinds of rule were seen: {total:?}"
    );
    assert!(load.bursts > CHANGES / 100, "the core kept running");
    let longest = load.longest;
    println!("{CHANGES} changes in {took:?}, longest burst {longest:?}, {given} packets");
}
