//! `cargo xtask demo`: a real appliance between two hosts, with real traffic through it.
//!
//! Everything lives in network namespaces of its own and in processes that end with their guards;
//! nothing of the machine's own network is touched.

mod clone;
mod interrupt;
mod sched;
mod transfer;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use testkit::{Memcached, Netns, Process, Sluice};

use crate::programs;
use crate::run::run;
use crate::setup;
use crate::topology::{CLIENT, CLIENT_GATEWAY, Hosts, SERVER, SERVER_GATEWAY, route_config};
pub use interrupt::Interrupt;

/// Denied by the access list.
const DENIED_PORT: u16 = 2323;
const MEMCACHED_PORT: u16 = 11211;
const PKTGEN_RATE: &str = "100kpps";
const TRANSFER_BYTES: usize = 64 * 1024 * 1024;

/// Of some hundred lines, those that are shown.
const SHOWN_METRICS: &[&str] = &[
    "sluice_port_receive_packets_total",
    "sluice_port_transmit_packets_total",
    "sluice_stage_input_packets_total",
    "sluice_stage_dropped",
    "sluice_core_busy_seconds_total",
];

/// What `demo` takes.
#[derive(Args)]
pub struct Options {
    /// What is shown.
    #[arg(value_enum, default_value_t = Story::Tour)]
    story: Story,
    /// Take the programs from this folder instead of building them.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

/// What a demo shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Story {
    /// A router with an access list, and the load generator.
    Tour,
    /// Requests cloned to two servers (NetClone), beside other schemes.
    Clone,
    /// A stage that turns slow, is moved off the packet core, and comes back.
    Sched,
}

/// Tells the story.
pub fn run_all(options: &Options) -> Result<()> {
    let programs = match &options.programs {
        Some(folder) => folder.clone(),
        None => {
            programs::build()?;
            programs::folder()?
        }
    };
    if !setup::is_root() {
        // Namespaces and TAP interfaces need root; the build must not be root's.
        let myself = std::env::current_exe()?;
        eprintln!("network namespaces need root: going on with sudo");
        run(Command::new("sudo")
            .arg(myself)
            .args(["demo", options.story.name(), "--programs"])
            .arg(programs))?;
        return Ok(());
    }
    let interrupt = Interrupt::install()?;
    let start = Instant::now();
    let mut demo = Demo {
        step: 0,
        interrupt,
        folder: folder()?,
        programs,
    };
    let result = match options.story {
        Story::Tour => demo.tell(),
        Story::Clone => demo.tell_clone(),
        Story::Sched => demo.tell_sched(),
    };
    if demo.interrupt.is_set() {
        eprintln!("\nstopped; everything that the demo made is removed");
        return Err(anyhow!("interrupted"));
    }
    result?;
    match options.story {
        Story::Tour => demo.farewell(start.elapsed()),
        Story::Clone => demo.farewell_clone(start.elapsed()),
        Story::Sched => demo.farewell_sched(start.elapsed()),
    }
    Ok(())
}

impl Story {
    fn name(self) -> &'static str {
        match self {
            Story::Tour => "tour",
            Story::Clone => "clone",
            Story::Sched => "sched",
        }
    }
}

/// Where the demo leaves what is worth looking at afterwards.
fn folder() -> Result<PathBuf> {
    let folder = programs::target_folder()?.join("demo");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

struct Demo {
    step: u32,
    interrupt: Interrupt,
    /// Where it leaves what is worth looking at.
    folder: PathBuf,
    /// Where `sluice` and `pktgen` are.
    programs: PathBuf,
}

fn say(text: &str) {
    for line in text.lines() {
        println!("   {line}");
    }
}

impl Demo {
    fn heading(&mut self, text: &str) -> Result<()> {
        self.interrupt.check()?;
        self.step += 1;
        println!("\n{}. {text}", self.step);
        Ok(())
    }

    fn tell(&mut self) -> Result<()> {
        self.heading("Two hosts, and an appliance between them")?;
        say(&format!(
            "client {CLIENT} ── tap ── [ capture → acl → route ] ── tap ── server {SERVER}\n\
             \x20               {CLIENT_GATEWAY}       sluice       {SERVER_GATEWAY}"
        ));
        let hosts = Hosts::new().map_err(|error| anyhow!(error))?;
        let middle = Netns::try_new("appliance").map_err(|error| anyhow!(error))?;
        let capture = self.folder.join("demo.pcapng");
        let config = self.write_config("appliance.json", &appliance_config(&capture))?;
        let started = Instant::now();
        let sluice = Sluice::builder(config)
            .program(self.programs.join("sluice"))
            .netns(&middle)
            .try_start()
            .map_err(|error| anyhow!(error))?;
        hosts
            .adopt(&middle, "clients", "servers")
            .map_err(|error| anyhow!(error))?;
        say(&format!(
            "sluice is up after {:.2?}; both hosts have their interface",
            started.elapsed()
        ));

        self.ping(&hosts)?;
        self.transfer(&hosts)?;
        self.memcached(&hosts)?;
        self.access_list(&hosts, &sluice)?;
        self.trace(&hosts, &sluice)?;
        self.metrics(&sluice)?;
        drop(sluice);
        let size = fs::metadata(&capture).map(|data| data.len()).unwrap_or(0);
        say(&format!(
            "and all of it was captured: {} ({size} bytes)",
            capture.display()
        ));
        self.generator()
    }

    fn write_config(&self, name: &str, config: &Value) -> Result<Value> {
        let file = self.folder.join(name);
        fs::write(&file, format!("{config:#}\n")).with_context(|| file.display().to_string())?;
        say(&format!("config: {}", file.display()));
        Ok(config.clone())
    }

    fn ping(&mut self, hosts: &Hosts) -> Result<()> {
        self.heading("ping, from kernel to kernel, routed by sluice")?;
        hosts.reach().map_err(|error| anyhow!(error))?;
        let mut command = hosts.client.command("ping");
        command.args(["-n", "-c5", "-i0.2", "-W1", &SERVER.to_string()]);
        let mut ping = Process::spawn("ping", &mut command)?;
        say(&self.interrupt.wait(&mut ping, Duration::from_secs(15))?);
        Ok(())
    }

    fn transfer(&mut self, hosts: &Hosts) -> Result<()> {
        self.heading("A TCP transfer, verified by checksum")?;
        let transfer = transfer::run(hosts, TRANSFER_BYTES, &self.interrupt)?;
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let gigabits = transfer.bytes as f64 * 8e-9 / transfer.took.as_secs_f64();
        say(&format!(
            "{} MiB in {:.2?} ({gigabits:.2} Gbit/s); checksum {:016x} at both ends",
            transfer.bytes >> 20,
            transfer.took,
            transfer.checksum
        ));
        Ok(())
    }

    fn memcached(&mut self, hosts: &Hosts) -> Result<()> {
        self.heading("A real memcached behind it")?;
        let address = SocketAddr::from((SERVER, MEMCACHED_PORT));
        let _server = Memcached::start(Some(&hosts.server), address).map_err(|e| anyhow!(e))?;
        let stream = hosts
            .client
            .run(|| TcpStream::connect_timeout(&address, Duration::from_secs(5)))
            .context("memcached could not be reached through the appliance")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        let mut ask = |request: &str, lines: usize| -> Result<Vec<String>> {
            writer.write_all(request.as_bytes())?;
            let mut answer = Vec::new();
            for _ in 0..lines {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                answer.push(line.trim_end().to_owned());
            }
            Ok(answer)
        };
        say("> set greeting 0 0 5\n> hello");
        say(&ask("set greeting 0 0 5\r\nhello\r\n", 1)?.join("\n"));
        say("> get greeting");
        let answer = ask("get greeting\r\n", 3)?;
        say(&answer.join("\n"));
        if answer != ["VALUE greeting 0 5", "hello", "END"] {
            bail!("memcached's answer was not what was stored");
        }
        let (start, mut count) = (Instant::now(), 0u32);
        while start.elapsed() < Duration::from_secs(1) {
            self.interrupt.check()?;
            ask("get greeting\r\n", 3)?;
            count += 1;
        }
        say(&format!(
            "{count} more gets in a second, one after the other"
        ));
        Ok(())
    }

    fn access_list(&mut self, hosts: &Hosts, sluice: &Sluice<'_>) -> Result<()> {
        self.heading(&format!("The access list denies TCP port {DENIED_PORT}"))?;
        let address = SocketAddr::from((SERVER, DENIED_PORT));
        let listener = hosts.server.run(|| std::net::TcpListener::bind(address))?;
        let connected = hosts
            .client
            .run(|| TcpStream::connect_timeout(&address, Duration::from_millis(1500)));
        drop(listener);
        if connected.is_ok() {
            bail!("the client could connect to the denied port");
        }
        say("a server listens there, and the client cannot connect; sluice says why:");
        say("$ sluice ctl show drops");
        say(&self.ctl(sluice, &["ctl", "show", "drops"])?);
        Ok(())
    }

    fn trace(&mut self, hosts: &Hosts, sluice: &Sluice<'_>) -> Result<()> {
        self.heading("What happened to a packet, stage by stage")?;
        self.ctl(sluice, &["ctl", "trace", "start", "--count", "2"])?;
        hosts.reach().map_err(|error| anyhow!(error))?;
        say("$ sluice ctl trace show");
        say(&self.ctl(sluice, &["ctl", "trace", "show"])?);
        Ok(())
    }

    /// Runs a command of `sluice` that talks to the appliance, and gives what it prints.
    fn ctl(&self, sluice: &Sluice<'_>, args: &[&str]) -> Result<String> {
        let testkit::Endpoint::Unix(socket) = sluice.control() else {
            bail!("the appliance has no control socket");
        };
        let mut command = Command::new(self.programs.join("sluice"));
        command.args(args).env("SLUICE_SOCKET", socket);
        let mut process = Process::spawn("sluice", &mut command)?;
        self.interrupt.wait(&mut process, Duration::from_secs(10))
    }

    fn metrics(&mut self, sluice: &Sluice<'_>) -> Result<()> {
        self.heading("The live metrics, as Prometheus scrapes them")?;
        let text = sluice.get("/metrics").text();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| SHOWN_METRICS.iter().any(|start| line.starts_with(start)))
            .filter(|line| !line.ends_with(" 0"))
            .collect();
        say(&lines.join("\n"));
        say(&format!("... {} lines in all", text.lines().count()));
        Ok(())
    }

    fn generator(&mut self) -> Result<()> {
        self.heading("pktgen loads a second appliance over shared memory (memif)")?;
        say("pktgen ── memif ── [ sluice ] ── memif ── back to pktgen");
        let folder = tempfile::tempdir()?;
        let sockets = ["a", "b"].map(|name| folder.path().join(name));
        let config = self.write_config("memif.json", &memif_config(&sockets))?;
        let netns = Netns::try_new("memif").map_err(|error| anyhow!(error))?;
        let sluice = Sluice::builder(config)
            .program(self.programs.join("sluice"))
            .netns(&netns)
            .try_start()
            .map_err(|error| anyhow!(error))?;
        let report = self.folder.join("pktgen.html");
        let mut command = netns.command(self.programs.join("pktgen"));
        command.arg("run");
        for socket in &sockets {
            command
                .arg("--port")
                .arg(format!("memif:{}", socket.display()));
        }
        command.args([
            "--rate",
            PKTGEN_RATE,
            "--duration",
            "5s",
            "--memory",
            "128",
            "--quiet",
        ]);
        command.arg("--report").arg(&report);
        say(&format!(
            "$ pktgen run --port memif:A --port memif:B --rate {PKTGEN_RATE} --duration 5s"
        ));
        let mut pktgen = Process::spawn("pktgen", &mut command)?;
        say(&self.interrupt.wait(&mut pktgen, Duration::from_secs(40))?);
        say("and the appliance's own view:");
        say(&self.ctl(&sluice, &["ctl", "show", "ports"])?);
        Ok(())
    }

    fn farewell(&self, took: Duration) {
        println!("\nDone in {took:.0?}; namespaces, interfaces and processes are gone again.\n");
        println!("Where to go next:");
        for (what, command) in [
            (
                "the config of the demo, to play with",
                self.folder.join("appliance.json").display().to_string(),
            ),
            (
                "pktgen's report, for a browser",
                self.folder.join("pktgen.html").display().to_string(),
            ),
            (
                "the capture, for Wireshark",
                self.folder.join("demo.pcapng").display().to_string(),
            ),
            (
                "requests cloned to two servers",
                "cargo xtask demo clone".to_owned(),
            ),
            ("a first chain of your own", "README.md".to_owned()),
            ("all settings", "docs/config.md".to_owned()),
            ("a stage of your own", "docs/writing-a-stage.md".to_owned()),
            ("everything tested", "cargo xtask test".to_owned()),
        ] {
            println!("   {what:38} {command}");
        }
    }
}

fn appliance_config(capture: &std::path::Path) -> Value {
    json!({
        "name": "demo",
        "eal": { "memory_mb": 128 },
        "cores": { "packet": [1], "control": 0, "idle": "adaptive" },
        "ports": [
            { "name": "clients", "side": "client", "device": { "type": "tap", "interface": "clients" } },
            { "name": "servers", "side": "server", "device": { "type": "tap", "interface": "servers" } },
        ],
        "chain": [
            { "stage": "capture", "config": { "file": capture, "snap_bytes": 128 } },
            { "stage": "acl", "config": { "rules": [
                { "action": "deny", "protocol": "tcp", "destination_ports": DENIED_PORT },
            ] } },
            { "stage": "route", "config": route_config("clients", "servers") },
        ],
    })
}

fn memif_config(sockets: &[PathBuf; 2]) -> Value {
    json!({
        "name": "demo-memif",
        "eal": { "memory_mb": 128 },
        // On two processors pktgen has the other one.
        "cores": { "packet": [0], "control": 0 },
        "ports": [
            { "name": "a", "side": "client",
              "device": { "type": "memif", "role": "server", "socket": sockets[0] } },
            { "name": "b", "side": "server",
              "device": { "type": "memif", "role": "server", "socket": sockets[1] } },
        ],
        "chain": [],
    })
}
