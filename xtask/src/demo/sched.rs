//! The story of a stage that turns slow: it is found out and moved, the others keep their latency, and it comes
//! back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use testkit::{Body, Echo, Netns, Process, Sluice, Traffic, wait_for};

use super::{Demo, say};
use crate::topology::{CLIENT, Hosts, SERVER, route_config};

/// Where the packets go that cost something.
const HEAVY_PORT: u16 = 7000;

/// How long the scheduler may take for a move that the story waits for.
const PATIENCE: Duration = Duration::from_secs(20);

fn config(work: &Value) -> Value {
    json!({
        "name": "sched",
        "cores": { "packet": [1], "workers": [0], "control": 0, "idle": "adaptive" },
        "ports": [
            { "name": "clients", "side": "client", "device": { "type": "tap", "interface": "clients" } },
            { "name": "servers", "side": "server", "device": { "type": "tap", "interface": "servers" } },
        ],
        "chain": [
            { "stage": "work", "name": "inspection", "config": work },
            { "stage": "route", "config": route_config("clients", "servers") },
        ],
        "scheduler": {
            "slo_mean_us": 200, "slo_tail_us": 1_000_000, "watchdog_ms": 500,
            "policy": { "hold_off_samples": 100, "hold_off_at_most_ms": 300, "cool_down_ms": 300 },
        },
    })
}

/// Half of the packets for one port take that long.
fn heavy(us: u32) -> Value {
    json!({ "filter": format!("udp port {HEAVY_PORT}"), "times": [{ "share": 0.5, "us": us }] })
}

impl Demo {
    pub(super) fn tell_sched(&mut self) -> Result<()> {
        self.heading("A router with a stage before it that inspects some packets")?;
        say(&format!(
            "client {CLIENT} ── tap ── [ inspection → route ] ── tap ── server {SERVER}\n\
             packet core 1 runs both stages; worker core 0 waits"
        ));
        let hosts = Hosts::new().map_err(|error| anyhow!(error))?;
        let middle = Netns::try_new("appliance").map_err(|error| anyhow!(error))?;
        let config = self.write_config("sched.json", &config(&heavy(0)))?;
        let sluice = Sluice::builder(config)
            .program(self.programs.join("sluice"))
            .netns(&middle)
            .try_start()
            .map_err(|error| anyhow!(error))?;
        hosts
            .adopt(&middle, "clients", "servers")
            .map_err(|error| anyhow!(error))?;
        hosts.reach().map_err(|error| anyhow!(error))?;
        say(&places(&sluice));
        let quiet = self.pings(&hosts)?;
        say(&format!("ping through it: {quiet}"));

        self.heading("Packets come that take half a millisecond to inspect")?;
        let address = |host, port| SocketAddr::new(std::net::IpAddr::V4(host), port);
        let echo = Echo::start(&hosts.server, address(SERVER, HEAVY_PORT));
        let traffic = Traffic::start(
            &hosts.client,
            address(CLIENT, 0),
            address(SERVER, HEAVY_PORT),
            200,
            Duration::from_micros(1500),
        );
        let began = Instant::now();
        set_work(&sluice, &heavy(500))?;
        wait_until(&sluice, "worker")?;
        say(&format!(
            "after {:.0?} the scheduler has moved the stage to the worker:",
            began.elapsed()
        ));
        say(&events(&sluice));
        say(&places(&sluice));
        say(&format!(
            "ping meanwhile, which goes through both stages: {}",
            self.pings(&hosts)?
        ));

        self.heading("They are no more")?;
        let began = Instant::now();
        set_work(&sluice, &heavy(0))?;
        wait_until(&sluice, "fcfs")?;
        say(&format!("after {:.0?} it is back:", began.elapsed()));
        say(&events(&sluice));
        say(&places(&sluice));
        say(&format!("ping through it: {}", self.pings(&hosts)?));
        let (sent, damaged) = (traffic.sent(), traffic.damaged());
        if damaged > 0 {
            bail!("{damaged} of {sent} datagrams came back damaged");
        }
        drop((traffic, echo));
        let drops = sluice.json("/api/v1/drops");
        let by_chain = drops.as_array().map_or(0, |drops| {
            let chain = drops.iter().filter(|drop| drop["stage"] == "chain");
            chain.filter_map(|drop| drop["packets"].as_u64()).sum()
        });
        say(&format!(
            "{sent} datagrams were inspected on the way; {by_chain} packets were dropped by the moves"
        ));
        Ok(())
    }

    /// What ping says of two hundred round trips.
    fn pings(&mut self, hosts: &Hosts) -> Result<String> {
        let mut command = hosts.client.command("ping");
        command.args(["-n", "-q", "-c200", "-i0.01", "-W1", &SERVER.to_string()]);
        let mut ping = Process::spawn("ping", &mut command)?;
        let text = self.interrupt.wait(&mut ping, Duration::from_secs(30))?;
        let line = text.lines().find(|line| line.starts_with("rtt"));
        Ok(line.context(text.clone())?.to_owned())
    }

    pub(super) fn farewell_sched(&self, took: Duration) {
        println!("\nDone in {took:.0?}; namespaces, interfaces and processes are gone again.\n");
        println!("Where to go next:");
        println!(
            "  the config of the demo, to play with:  {}",
            self.folder.join("sched.json").display()
        );
        println!("  how it decides, and when to leave it off:  docs/scheduler.md");
    }
}

/// Gives the inspecting stage other settings, while packets flow.
fn set_work(sluice: &Sluice<'_>, work: &Value) -> Result<()> {
    let mut document: Value = serde_json::from_slice(&std::fs::read(sluice.config_file())?)?;
    document["chain"][0]["config"] = work.clone();
    std::fs::write(sluice.config_file(), document.to_string())?;
    let answer = sluice.request(sluice.control(), "POST", "/api/v1/reload", Body::Empty);
    if answer.status != 200 {
        bail!("the reload was refused: {}", answer.text());
    }
    Ok(())
}

fn wait_until(sluice: &Sluice<'_>, group: &str) -> Result<()> {
    let there = || {
        let sched = sluice.json("/api/v1/sched");
        (sched["actors"][0]["place"]["group"] == group).then_some(())
    };
    wait_for("the move", PATIENCE, there)
        .map_err(|error| anyhow!("{error}: {}", sluice.json("/api/v1/sched")))
}

/// Where each stage runs, a line each.
fn places(sluice: &Sluice<'_>) -> String {
    let sched = sluice.json("/api/v1/sched");
    let line = |actor: &Value| {
        let place = match actor["place"]["group"].as_str() {
            Some("fcfs") => "packet core, inline".to_owned(),
            Some("worker") => format!("worker {}", actor["place"]["core"]),
            other => other.unwrap_or("on its way").to_owned(),
        };
        let mean = actor["service"]["mean"].as_f64().unwrap_or(0.0) / 1e3;
        let name = actor["name"].as_str().unwrap_or("?");
        format!("  {name:<12} {place:<22} service time {mean:.1} µs")
    };
    let actors = sched["actors"].as_array();
    let lines: Vec<String> = actors.into_iter().flatten().map(line).collect();
    lines.join("\n")
}

/// The last decision about a stage, with its reason, and the last move.
fn events(sluice: &Sluice<'_>) -> String {
    let sched = sluice.json("/api/v1/sched");
    let events = sched["events"].as_array().cloned().unwrap_or_default();
    let of_stage = |event: &&Value| event["name"] == "inspection";
    let events: Vec<&Value> = events.iter().filter(of_stage).collect();
    let decided = events.iter().rfind(|event| {
        event["event"] == "decided" && matches!(event["action"].as_str(), Some("push" | "pull"))
    });
    let moved = events.iter().rfind(|event| event["event"] == "migrated");
    let mut lines = Vec::new();
    if let Some(event) = decided {
        let us = |key: &str| event[key].as_f64().unwrap_or(0.0) / 1e3;
        lines.push(format!(
            "  decided: {} {}, by the rule {:?}: {:.0} µs, limit {:.0} µs",
            event["action"].as_str().unwrap_or("?"),
            event["name"].as_str().unwrap_or("?"),
            event["rule"].as_str().unwrap_or("?"),
            us("measured"),
            us("limit"),
        ));
    }
    if let Some(event) = moved {
        let phases = event["phases_ns"].as_array().cloned().unwrap_or_default();
        let us: f64 = phases.iter().filter_map(Value::as_f64).sum::<f64>() / 1e3;
        lines.push(format!("  moved in {us:.0} µs, under traffic"));
    }
    lines.join("\n")
}
