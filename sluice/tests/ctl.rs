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

/// The migrations among the last events; a stage that fills a core is warned about besides.
fn moves(ctl: &Ctl<'_>) -> Vec<Value> {
    let events = ctl.json("sched events --count 1000");
    let events = events.as_array().unwrap().iter();
    let moves = events.filter(|event| event["event"] == "migrated");
    moves.cloned().collect()
}

#[test]
fn ip58_a_stage_is_pushed_and_pulled_and_everything_shows_it() {
    require!(Need::HugePages(70));
    let mut config = config();
    config["cores"] = json!({"workers": [0]});
    // No latency is too much, so that only hands move anything.
    config["scheduler"] = json!({
        "slo_mean_us": 1_000_000.0, "slo_tail_us": 1_000_000.0, "policy": {"migration": false},
        "stages": {"one": {"pin": "packet"}},
    });
    let appliance = Sluice::start(config);
    let ctl = Ctl(&appliance);
    let actor = |name: &str| {
        let sched = ctl.json("sched");
        let actors = sched["actors"].as_array().unwrap().iter();
        actors
            .clone()
            .find(|actor| actor["name"] == name)
            .unwrap()
            .clone()
    };
    let line = |name: &str| {
        let text = ctl.ok("sched");
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{name} is not in {text}"))
            .to_owned()
    };
    assert_eq!(actor("acl")["place"]["group"], "fcfs");
    assert!(line("acl").contains("fcfs") && line("one").contains("packet"));
    assert!(moves(&ctl).is_empty());
    let place = |place: &str| {
        let series = format!("sluice_sched_actor_place{{actor=\"acl\",{place}}}");
        appliance.metric(&series).unwrap_or(0.0)
    };
    assert_eq!(place("place=\"fcfs\""), 1.0);

    let said = ctl.ok("sched push acl --worker 0 --wait");
    assert_eq!(said, "acl: worker 0\n");
    assert_eq!(actor("acl")["place"], json!({"group": "worker", "core": 0}));
    assert!(line("acl").contains("worker 0"), "{}", line("acl"));
    let events = ctl.ok("sched events --count 1000");
    assert!(
        events.contains("Z  acl moved to worker 0 in ") && events.contains("(prepare "),
        "{events}"
    );
    let pushed = moves(&ctl);
    assert_eq!(pushed.len(), 1, "{pushed:?}");
    assert_eq!(
        (&pushed[0]["name"], &pushed[0]["way"], &pushed[0]["ended"]),
        (&json!("acl"), &json!({"push": 0}), &json!("done"))
    );
    assert_eq!(
        (
            place("place=\"worker\",worker=\"0\""),
            place("place=\"fcfs\"")
        ),
        (1.0, 0.0)
    );
    let value = |series: &str| {
        appliance
            .metric(series)
            .unwrap_or_else(|| panic!("no {series}"))
    };
    assert_eq!(
        value("sluice_sched_migrations_total{way=\"push\",outcome=\"done\"}"),
        1.0
    );
    assert_eq!(value("sluice_sched_group_actors{group=\"worker\"}"), 1.0);
    // Packets go by way of the worker, which says how busy it is.
    let handled = "sluice_sched_actor_messages_total{actor=\"acl\"}";
    let before = value(handled);
    wait_for("packets at the worker", Duration::from_secs(10), || {
        let busy = value("sluice_sched_worker_busy_ratio{worker=\"0\"}");
        (value(handled) > before && busy > 0.0).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", ctl.ok("sched")));
    let socket = appliance.control().clone();
    let Endpoint::Unix(socket) = socket else {
        panic!("no socket")
    };
    let top = |page: &str| {
        let path = socket.to_str().unwrap();
        let words = [
            "top",
            "--once",
            "--socket",
            path,
            "--interval",
            "0.3",
            "--page",
            page,
        ];
        out(&sluice(&words))
    };
    for page in ["sched", "overview"] {
        let picture = top(page);
        for part in ["acl", "worker 0", "acl moved to worker 0", " %"] {
            assert!(
                picture.contains(part),
                "{page}: {part} is not in\n{picture}"
            );
        }
    }

    let refusal = ctl.refused("sched push alc");
    for part in ["\"alc\"", "one", "acl", "did you mean \"acl\"?"] {
        assert!(refusal.contains(part), "{part} is not in {refusal}");
    }
    assert!(
        ctl.refused("sched push acl --worker 3")
            .contains("no worker 3")
    );
    assert!(
        ctl.refused("sched push one")
            .contains("has to stay on the packet cores")
    );
    assert_eq!(ctl.ok("sched pull acl --wait"), "acl: fcfs\n");
    assert_eq!(place("place=\"fcfs\""), 1.0);
    assert_eq!(moves(&ctl)[1]["way"], json!({"pull": 0}));
}

#[test]
fn ip61_a_reload_changes_the_schedulers_parameters_and_the_metrics_say_so() {
    require!(Need::HugePages(70));
    let mut config = config();
    config["scheduler"] = json!({"slo_mean_us": 50.0});
    let appliance = Sluice::start(config);
    let ctl = Ctl(&appliance);
    let parameter = |name: &str| {
        let series = format!("sluice_sched_parameter{{parameter=\"{name}\"}}");
        appliance.metric(&series)
    };
    assert_eq!(parameter("hysteresis"), Some(0.2));
    assert_eq!(parameter("slo_mean_seconds"), Some(50e-6));
    let path = appliance.config_file();
    let mut document: Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    document["scheduler"] =
        json!({"slo_mean_us": 75.0, "policy": {"hysteresis": 0.3, "helping": "strict"}});
    std::fs::write(path, document.to_string()).unwrap();
    assert!(ctl.ok("reload").contains("$.scheduler"));
    assert_eq!(parameter("hysteresis"), Some(0.3));
    assert_eq!(parameter("helping_strict"), Some(1.0));
    assert_eq!(
        appliance.metric("sluice_sched_threshold_mean_seconds"),
        Some(75e-6)
    );
    assert!(ctl.refused("sched push acl").contains("cores.workers"));
}

#[test]
fn whoever_follows_the_scheduler_is_told_of_each_move() {
    use std::io::BufRead;
    require!(Need::HugePages(70));
    let mut config = config();
    config["cores"] = json!({"workers": [0]});
    config["scheduler"] = json!({
        "slo_mean_us": 1_000_000.0, "slo_tail_us": 1_000_000.0, "policy": {"migration": false},
    });
    let appliance = Sluice::start(config);
    let ctl = Ctl(&appliance);
    let Endpoint::Unix(socket) = appliance.control() else {
        panic!("no socket")
    };
    let mut follower = Command::new(cargo_binary("sluice"))
        .args(["ctl", "--json", "--socket", socket.to_str().unwrap()])
        .args(["sched", "events", "--follow"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    ctl.ok("sched push acl --wait");
    ctl.ok("sched pull acl --wait");
    let lines = std::io::BufReader::new(follower.stdout.take().unwrap()).lines();
    let events = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let moves = events.filter(|event| event["event"] == "migrated");
    let ways: Vec<Value> = moves.take(2).map(|event| event["way"].clone()).collect();
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_eq!(ways, [json!({"push": 0}), json!({"pull": 0})]);
}

#[test]
fn without_a_scheduler_there_is_nothing_to_move() {
    require!(Need::HugePages(70));
    let appliance = Sluice::start(config());
    let ctl = Ctl(&appliance);
    for command in [
        "sched",
        "sched events",
        "sched push acl",
        "sched pull acl --wait",
    ] {
        assert!(
            ctl.refused(command).contains("without a scheduler"),
            "{command}"
        );
    }
    assert!(!appliance.get("/metrics").text().contains("sluice_sched"));
}

#[test]
fn ip58_a_stage_that_fails_is_shown_out_of_service_with_the_reason() {
    require!(Need::HugePages(70));
    let mut config = config();
    config["chain"] = json!([
        {"stage": "pass", "name": "one"},
        {"stage": "work", "name": "fragile", "config": {"fault": {"kind": "panic", "at_packet": 1000}}},
    ]);
    config["cores"] = json!({"workers": [0]});
    config["scheduler"] = json!({"policy": {"migration": false}});
    let appliance = Sluice::builder(config).unhealthy_too().start();
    let ctl = Ctl(&appliance);
    let place = "sluice_sched_actor_place{actor=\"fragile\",place=\"out_of_service\"}";
    wait_for("the end of the stage", Duration::from_secs(10), || {
        (appliance.metric(place)? > 0.0).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", ctl.ok("sched")));
    wait_for("the event", Duration::from_secs(10), || {
        let events = ctl.ok("sched events --count 1000");
        events
            .contains("fragile taken out of service: it panicked")
            .then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", ctl.ok("sched events")));
    assert!(ctl.ok("sched").contains("out of service"));
    assert_eq!(
        appliance.metric("sluice_sched_failures_total{failure=\"panic\"}"),
        Some(1.0)
    );
    let refusal = ctl.refused("sched push fragile");
    assert!(refusal.contains("taken out of service"), "{refusal}");
}
