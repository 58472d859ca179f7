//! `sluice ctl` and the commands that need no appliance, as a user types them.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Endpoint, Need, Sluice, cargo_binary, require, wait_for};

fn sluice(args: &[&str]) -> Output {
    Command::new(cargo_binary("sluice"))
        .args(args)
        .env_remove("SLUICE_SOCKET")
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `sluice ctl` for one appliance.
struct Ctl<'a>(&'a Sluice<'a>);

impl Ctl<'_> {
    fn run(&self, args: &str) -> Output {
        self.words(&args.split_whitespace().collect::<Vec<_>>())
    }

    fn words(&self, args: &[&str]) -> Output {
        let Endpoint::Unix(socket) = self.0.control() else {
            panic!("no socket")
        };
        let mut words = vec!["ctl", "--socket", socket.to_str().unwrap()];
        words.extend(args);
        sluice(&words)
    }

    fn ok(&self, args: &str) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args}: {}{}",
            out(&output),
            err(&output)
        );
        out(&output)
    }

    fn json(&self, args: &str) -> Value {
        let text = self.ok(&format!("--json {args}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args}: {error}: {text}"))
    }

    fn refused(&self, args: &str) -> String {
        let output = self.run(args);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{args}: {}{}",
            out(&output),
            err(&output)
        );
        err(&output)
    }
}

fn config() -> Value {
    let port = |name: &str, side: &str, seeds: u32| json!({"name": name, "side": side, "device": {"type": "ring", "seed_packets": seeds}});
    json!({
        "ports": [port("clients", "client", 64), port("servers", "server", 64)],
        "chain": [{"stage": "pass", "name": "one"}, {"stage": "acl", "config": {"rules": []}}],
    })
}

#[test]
fn every_part_is_shown() {
    require!(Need::HugePages(70));
    let appliance = Sluice::start(config());
    let ctl = Ctl(&appliance);
    for (part, word) in [
        ("chain", "one"),
        ("ports", "clients"),
        ("drops", "dropped"),
        ("cores", "running"),
        ("memory", "huge pages"),
        ("config", "\"chain\""),
        ("version", "DPDK"),
        ("health", "well"),
        ("stage one", "cycles_per_packet"),
        ("ports servers", "net_ring"),
        ("chain acl", "acl"),
    ] {
        let text = ctl.ok(&format!("show {part}"));
        assert!(text.contains(word), "{part}: {text}");
        let json = ctl.json(&format!("show {part}"));
        assert!(json.is_object() || json.is_array(), "{part}: {json}");
    }
    assert!(ctl.refused("show stage two").contains("\"one\""));
    assert!(ctl.refused("show ports nowhere").contains("clients"));
}

#[test]
fn ports_go_down_and_up() {
    require!(Need::HugePages(70));
    let appliance = Sluice::start(config());
    let ctl = Ctl(&appliance);
    let state = |wanted: &str| {
        wait_for(wanted, Duration::from_secs(5), || {
            (ctl.json("show ports")[1]["state"] == wanted).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {}", ctl.json("show ports")));
    };
    ctl.ok("port down servers");
    state("down");
    ctl.ok("port up servers");
    state("attached");
    let refusal = ctl.refused("port up sideways");
    assert!(
        refusal.contains("clients") && refusal.contains("servers"),
        "{refusal}"
    );
}

#[test]
fn a_reload_takes_over_what_it_can_and_names_what_it_cannot() {
    require!(Need::HugePages(70));
    let appliance = Sluice::start(config());
    let ctl = Ctl(&appliance);
    assert!(ctl.ok("reload").contains("nothing has changed"));
    let path = appliance.config_file();
    let mut document: Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();

    document["log"] = json!({"level": "debug"});
    std::fs::write(path, document.to_string()).unwrap();
    assert!(ctl.ok("reload").contains("$.log"), "the level changes live");

    std::fs::write(path, "{ \"ports\": [ {\"name\": 7} ], \"chian\": [] }").unwrap();
    let refusal = ctl.refused("reload");
    for part in ["$.ports[0].name", "chian", "found:", "allowed:"] {
        assert!(refusal.contains(part), "{part} is not in {refusal}");
    }
    assert_eq!(
        ctl.json("show config")["log"]["level"],
        "debug",
        "the old one stays in force"
    );

    // Another file than the one it was started with.
    let other = appliance.folder().join("other.json");
    document["mempool"] = json!({"packets": 16384});
    std::fs::write(&other, document.to_string()).unwrap();
    let refusal = ctl.refused(&format!("reload {}", other.display()));
    assert!(
        refusal.contains("restart") && refusal.contains("$.mempool"),
        "{refusal}"
    );
    assert!(ctl.refused("reload /nonexistent").contains("/nonexistent"));
}

#[test]
fn packets_are_traced_stage_by_stage() {
    require!(Need::HugePages(70));
    let appliance = Sluice::start(config());
    let ctl = Ctl(&appliance);
    assert!(ctl.ok("trace show").contains("no packet has been followed"));
    let text = ctl.ok("trace start --count 5 --wait");
    assert!(
        text.contains("packet 1 ") && text.contains("packet 5 "),
        "{text}"
    );
    let first = text.split("\n\n").next().unwrap();
    for part in ["port ", " bytes", "udp ", "one ", "acl ", "sent by port "] {
        assert!(first.contains(part), "{part} is not in {first}");
    }
    let (one, acl) = (first.find("one ").unwrap(), first.find("acl ").unwrap());
    let towards_server = first.contains("→");
    assert_eq!(
        towards_server,
        one < acl,
        "requests pass the stages in order: {first}"
    );
    let trace = ctl.json("trace show --id 3");
    assert_eq!(trace["packets"].as_array().unwrap().len(), 1);
    ctl.ok("trace stop");
    assert!(!ctl.ok("trace show").contains("waiting"));
}

#[test]
fn stages_take_commands() {
    require!(Need::HugePages(70));
    let appliance = Sluice::start(config());
    let ctl = Ctl(&appliance);
    let refusal = ctl.refused("acl frobnicate");
    assert!(
        refusal.contains("frobnicate") && refusal.contains("there is"),
        "{refusal}"
    );
    let refusal = ctl.refused("two list");
    assert!(
        refusal.contains("one") && refusal.contains("acl"),
        "{refusal}"
    );
    assert!(ctl.refused("acl list rule").contains("KEY=VALUE"));
    assert!(
        ctl.ok("one").contains("pass"),
        "a stage's name alone shows it"
    );
    ctl.ok("log debug");
}

#[test]
fn without_an_appliance_the_status_is_3() {
    let output = sluice(&["ctl", "--socket", "/nonexistent/x.sock", "show"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        err(&output).contains("/nonexistent/x.sock"),
        "{}",
        err(&output)
    );
    let output = sluice(&["top", "--once", "--url", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(3), "{}", err(&output));
    assert_eq!(sluice(&["ctl", "log", "loud"]).status.code(), Some(2));
    assert_eq!(sluice(&[]).status.code(), Some(2));
}

#[test]
fn a_check_tells_every_mistake_and_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.json");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "{\n \"nmae\": \"x\",\n \"ports\": []\n}").unwrap();
    let output = sluice(&["check", "--elsewhere", path]);
    assert_eq!(output.status.code(), Some(1));
    let text = out(&output);
    for part in ["nmae", "$.ports", "line 2", "2 errors"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let json: Value =
        serde_json::from_str(&out(&sluice(&["check", "--elsewhere", "--json", path]))).unwrap();
    assert_eq!(
        (&json["ok"], json["problems"].as_array().unwrap().len()),
        (&json!(false), 2)
    );
    let port = json!({"name": "a", "side": "any", "device": {"type": "null"}});
    std::fs::write(&file, json!({"ports": [port]}).to_string()).unwrap();
    let output = sluice(&["check", "--elsewhere", path]);
    assert!(output.status.success(), "{}", out(&output));
    assert_eq!(sluice(&["check", "/nonexistent"]).status.code(), Some(1));
}

#[test]
fn a_piece_that_needs_nothing() {
    let schema: Value = serde_json::from_str(&out(&sluice(&["schema"]))).unwrap();
    assert!(schema["properties"]["ports"].is_object());
    assert!(out(&sluice(&["schema", "--markdown"])).starts_with("# "));
    assert!(out(&sluice(&["stages"])).contains("acl: "));
    let kinds: Value = serde_json::from_str(&out(&sluice(&["stages", "--json"]))).unwrap();
    let acl = kinds
        .as_array()
        .unwrap()
        .iter()
        .find(|kind| kind["kind"] == "acl")
        .unwrap();
    assert!(
        acl["drop_reasons"]
            .as_array()
            .unwrap()
            .contains(&json!("denied")),
        "{acl}"
    );
    for shell in ["bash", "zsh", "fish"] {
        assert!(out(&sluice(&["completions", shell])).contains("sluice"));
    }
    assert!(out(&sluice(&["man"])).contains(".TH"));
    let folder = tempfile::tempdir().unwrap();
    assert!(
        sluice(&["man", "--dir", folder.path().to_str().unwrap()])
            .status
            .success()
    );
    assert!(folder.path().join("sluice-ctl.1").exists());
    let help = out(&sluice(&["--help"]));
    assert!(
        help.contains("A first appliance") && help.contains("Exit status"),
        "{help}"
    );
}
#[test]
fn a_trace_follows_only_what_passes_its_filter() {
    require!(Need::HugePages(70));
    let appliance = Sluice::start(config());
    let ctl = Ctl(&appliance);
    ctl.ok("trace start --count 10000 --filter tcp");
    let text = ctl.ok("trace show");
    assert!(
        text.contains("no packet") && text.contains("waiting for 10000 more"),
        "{text}"
    );
    assert!(
        ctl.ok("trace start --count 2 --filter udp --wait")
            .contains("2 packets")
    );
    let wrong = ctl.words(&["trace", "start", "-f", "udp prot 53"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(err(&wrong).contains("udp prot 53"), "{}", err(&wrong));
}
