//! `sluice top`: as text for scripts, and on a terminal.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Endpoint, Need, Sluice, cargo_binary, require};

fn start() -> Sluice<'static> {
    let port = |name: &str, side: &str| json!({"name": name, "side": side, "device": {"type": "ring", "seed_packets": 64}});
    Sluice::start(json!({
        "ports": [port("clients", "client"), port("servers", "server")],
        "chain": [{"stage": "pass", "name": "one"}],
    }))
}

fn top(args: &[&str]) -> String {
    let output = Command::new(cargo_binary("sluice"))
        .arg("top")
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn one_picture_as_text() {
    require!(Need::HugePages(70));
    let sluice = start();
    let Endpoint::Unix(socket) = sluice.control() else {
        panic!("no socket")
    };
    let socket = socket.to_str().unwrap();
    let text = top(&["--once", "--socket", socket, "--interval", "0.5"]);
    for part in [
        "→ to server",
        "one",
        "clients",
        "servers",
        "ring",
        " %",
        "Dropped by",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let text = top(&[
        "--once", "--socket", socket, "--page", "cores", "--width", "100",
    ]);
    assert!(
        text.contains("busy") && !text.contains("Dropped by"),
        "{text}"
    );

    let Endpoint::Tcp(address) = sluice.http() else {
        panic!("no address")
    };
    let rates: Value =
        serde_json::from_str(&top(&["--json", "--url", &address.to_string()])).unwrap();
    assert!(
        rates["flow"][0]["packets"].as_f64().unwrap() > 1000.0,
        "{rates}"
    );
    assert!(
        rates["stages"][0]["input"][1].as_f64().unwrap() > 1000.0,
        "{rates}"
    );
}

#[test]
fn on_a_terminal_it_draws_and_obeys() {
    require!(Need::HugePages(70), Need::Command("script"));
    let sluice = start();
    let Endpoint::Unix(socket) = sluice.control() else {
        panic!("no socket")
    };
    let program = cargo_binary("sluice");
    let line = format!(
        "stty rows 24 cols 80; {} top --socket {} --interval 0.2",
        program.display(),
        socket.display()
    );
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    // To the page of the drops, pause, go on, end.
    for key in ["4", "p", "p", "q"] {
        keys.write_all(key.as_bytes()).unwrap();
        keys.flush().unwrap();
        std::thread::sleep(Duration::from_millis(400));
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for part in ["Overview", "clients", "reason", "PAUSED", "\u{1b}[?1049l"] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}
