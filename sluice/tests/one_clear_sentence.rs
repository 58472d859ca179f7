//! An appliance that cannot start says why in one sentence: no backtrace, no noise before it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Ends, Need, Process, Sluice, cargo_binary, interface_name, require, sluice};

/// How a failed start looked.
struct Failure {
    status: i32,
    output: String,
    /// What stands behind `sluice: `.
    sentence: String,
}

/// A folder that everybody may read.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new()
        .prefix("sluice-fail-")
        .tempdir()
        .unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// Runs the appliance with this text as its configuration, which must not work.
fn fails_with_text(text: &str, nobody: bool) -> Failure {
    let folder = open_folder();
    let file = folder.path().join("config.json");
    std::fs::write(&file, text).unwrap();
    let mut program = cargo_binary("sluice");
    if nobody {
        // The build folder may be closed to others.
        let copy = folder.path().join("sluice");
        std::fs::copy(&program, &copy).unwrap();
        program = copy;
    }
    let mut command = Command::new(if nobody {
        "setpriv".into()
    } else {
        program.clone()
    });
    if nobody {
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--inh-caps=-all",
        ]);
        command.arg(&program);
    }
    command.arg("run").arg(&file).env("RUST_BACKTRACE", "1");
    let mut process = Process::spawn("sluice", &mut command).unwrap();
    let status = process.wait(Duration::from_secs(20)).unwrap();
    let output = process.log();
    let status = status
        .code()
        .unwrap_or_else(|| panic!("{status}: {output}"));
    let sentences: Vec<&str> = output
        .lines()
        .filter_map(|line| line.strip_prefix("sluice: "))
        .collect();
    assert_eq!(sentences.len(), 1, "{output}");
    assert!(
        output.lines().last().unwrap().starts_with("sluice: "),
        "{output}"
    );
    for noise in ["panicked", "backtrace", " dpdk: ", "EAL:", "stack"] {
        assert!(!output.contains(noise), "{noise}: {output}");
    }
    Failure {
        status,
        sentence: sentences[0].to_owned(),
        output,
    }
}

fn fails(config: Value, nobody: bool) -> Failure {
    let folder = open_folder();
    let socket = folder.path().join("control.sock");
    let config = sluice::complete(
        config,
        ([127, 0, 0, 1], testkit::free_port()).into(),
        &socket,
    );
    fails_with_text(&format!("{config:#}"), nobody)
}

fn null_config() -> Value {
    let port = |name: &str, side: &str| json!({ "name": name, "side": side, "device": { "type": "null" } });
    json!({ "ports": [port("a", "client"), port("b", "server")], "chain": [] })
}

fn with_device(device: Value) -> Value {
    let mut config = null_config();
    config["ports"][1]["device"] = device;
    config
}

#[test]
fn a_second_instance_of_the_same_name() {
    let mut config = null_config();
    let name = format!("twice-{}", std::process::id());
    config["name"] = json!(name);
    // With another socket and another address: the name is DPDK's prefix.
    let first = Sluice::start(config.clone());
    let failure = fails(config.clone(), false);
    assert_eq!(failure.status, 1);
    assert!(
        failure
            .sentence
            .contains(&format!("named {name:?} runs already")),
        "{}",
        failure.sentence
    );
    assert_eq!(first.get("/healthz").status, 200);
    assert!(first.stop().0.success());
    // The name is free again.
    drop(Sluice::start(config));
}

#[test]
fn huge_pages_that_are_required_and_not_there() {
    let mut config = null_config();
    config["eal"] = json!({ "hugepages": "required", "memory_mb": 1_000_000 });
    let failure = fails(config, false);
    assert_eq!(failure.status, 2);
    assert!(failure.output.contains("huge pages"), "{}", failure.output);
    assert!(failure.output.contains("1000000"), "{}", failure.output);
}

#[test]
fn a_tap_without_the_right_to() {
    require!(Need::Root, Need::Tun, Need::Command("setpriv"));
    let tap = json!({ "type": "tap", "interface": interface_name("n") });
    let failure = fails(with_device(tap), true);
    assert!(
        failure.status == 1 || failure.status == 2,
        "{}",
        failure.output
    );
    assert!(
        failure.output.contains("CAP_NET_ADMIN"),
        "{}",
        failure.output
    );
}

#[test]
fn an_interface_that_is_not_there() {
    require!(Need::Root);
    for kind in ["af_packet", "af_xdp"] {
        let failure = fails(
            with_device(json!({ "type": kind, "interface": "nosuch0" })),
            false,
        );
        assert_eq!(failure.status, 1);
        assert!(
            failure.sentence.contains("\"b\"") && failure.sentence.contains("\"nosuch0\""),
            "{}",
            failure.sentence
        );
    }
}

#[test]
fn a_tap_whose_name_is_taken() {
    require!(Need::Root, Need::Tun);
    let failure = fails(
        with_device(json!({ "type": "tap", "interface": "lo" })),
        false,
    );
    assert_eq!(failure.status, 1);
    assert!(
        failure.sentence.contains("interface name"),
        "{}",
        failure.sentence
    );
}

#[test]
fn an_address_for_reading_that_is_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut config = null_config();
    config["telemetry"] = json!({ "http": address });
    let failure = fails(config, false);
    assert_eq!(failure.status, 1);
    assert!(
        failure.sentence.contains(&address) && failure.sentence.contains("telemetry.http"),
        "{}",
        failure.sentence
    );
}

#[test]
fn a_folder_for_the_socket_that_cannot_be_written() {
    let mut config = null_config();
    config["control"] = json!({ "socket": "/proc/nosuch/control.sock" });
    let failure = fails(config, false);
    assert_eq!(failure.status, 1);
    assert!(
        failure.sentence.contains("/proc/nosuch"),
        "{}",
        failure.sentence
    );
}

#[test]
fn a_memif_socket_that_another_appliance_has() {
    require!(Need::Root);
    let folder = open_folder();
    let memif = json!({
        "type": "memif", "role": "server", "socket": folder.path().join("m.sock"),
    });
    let first = Sluice::start(with_device(memif.clone()));
    let failure = fails(with_device(memif), false);
    assert_eq!(failure.status, 1);
    assert!(
        failure.sentence.contains("m.sock") && failure.sentence.contains("another process"),
        "{}",
        failure.sentence
    );
    // It was not disturbed, and its socket is still there.
    assert_eq!(first.get("/healthz").status, 200);
    assert!(folder.path().join("m.sock").exists());
}

#[test]
fn a_capture_file_that_is_not_there() {
    let failure = fails(
        with_device(json!({ "type": "pcap", "rx_file": "/nosuch/in.pcap" })),
        false,
    );
    assert_eq!(failure.status, 1);
    assert!(
        failure.sentence.contains("/nosuch/in.pcap"),
        "{}",
        failure.sentence
    );
}

#[test]
fn a_file_that_is_not_there() {
    let missing = PathBuf::from("/nosuch/config.json");
    let output = Command::new(cargo_binary("sluice"))
        .arg("run")
        .arg(&missing)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.starts_with("sluice: /nosuch/config.json: "), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn every_mistake_of_a_configuration_at_once() {
    let failure = fails_with_text(
        r#"{
            "name": "no spaces, please",
            "cores": { "packet": [] },
            "mempool": { "packets": "many" },
            "ports": [
                { "name": "a", "side": "cleint", "device": { "type": "null" } },
                { "name": "b", "side": "server", "device": { "type": "tab" } },
                { "name": "b", "side": "server", "device": { "type": "null" }, "mtoo": 1500 }
            ],
            "chain": [{ "stage": "pas" }]
        }"#,
        false,
    );
    assert_eq!(failure.status, 2);
    for place in [
        "$.name",
        "$.cores.packet",
        "$.mempool.packets",
        "$.ports[0].side",
        "$.ports[1].device",
        "$.ports[2].mtoo",
        "$.chain[0].stage",
    ] {
        assert!(
            failure.output.contains(place),
            "{place}: {}",
            failure.output
        );
    }
    let count = failure.output.matches("error at ").count();
    assert!(
        failure.sentence.contains(&format!("{count} mistakes")),
        "{}",
        failure.output
    );
    // Broken syntax is one mistake.
    let failure = fails_with_text("{ \"name\": ", false);
    assert_eq!(failure.status, 2);
    assert!(
        failure.sentence.ends_with("has a mistake"),
        "{}",
        failure.sentence
    );
}

/// A namespace without IPv6 and without anything else: the sentence is the same.
#[test]
fn an_interface_of_another_namespace() {
    require!(Need::Root);
    let ends = Ends::new();
    let middle = testkit::Netns::quiet("middle");
    ends.join(&middle, 1500);
    let device = json!({ "type": "af_packet", "interface": ends.client_interface });
    let failure = fails(with_device(device), false);
    assert!(
        failure.sentence.contains("in this network namespace"),
        "{}",
        failure.sentence
    );
}

/// The build, where DPDK is not installed: asked of the build script that cargo made for this test.
#[test]
fn dpdk_that_is_not_installed() {
    let scripts = cargo_binary("sluice").with_file_name("build");
    let newest = std::fs::read_dir(&scripts)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("dpdk-sys-")
        })
        .map(|path| path.join("build-script-build"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max();
    let (_, script) = newest.unwrap_or_else(|| panic!("no build script in {}", scripts.display()));
    let folder = open_folder();
    let output = Command::new(script)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../dpdk-sys"))
        .env("OUT_DIR", folder.path())
        .env("TARGET", "x86_64-unknown-linux-gnu")
        .env("HOST", "x86_64-unknown-linux-gnu")
        .env("PKG_CONFIG_LIBDIR", "/nonexistent")
        .env_remove("PKG_CONFIG_PATH")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    let text = text.trim();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.starts_with("error: DPDK") && text.contains("libdpdk-dev"),
        "{text}"
    );
}
