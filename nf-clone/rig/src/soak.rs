//! Many requests while everything happens that may: a server is killed and comes back,
//! another is drained, one leaves and returns, settings change, the appliance is killed and restarted.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::Sluice;

use crate::bed::{Bed, Links, Mode};
use crate::control::{command, reload, self_test, show, state};
use crate::load::{Load, Plan, Tally};
use crate::servers::Servers;

/// Without an answer for so long, something is stuck.
const STALL: Duration = Duration::from_secs(60);

/// What a soak takes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requests, at least: they go on until everything has happened.
    pub requests: u64,
    /// Servers, at least 3.
    pub servers: u8,
    /// Clients.
    pub clients: u64,
    /// Requests that each client has in flight.
    pub in_flight: usize,
    /// How the appliance stands.
    pub mode: Mode,
    /// What its ports are.
    pub links: Links,
    /// Whether anything happens but requests.
    pub disturbed: bool,
    /// The program `sluice`, if not the one beside the caller.
    pub program: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What became of the requests.
    pub tally: Tally,
    /// How long they took.
    pub took: Duration,
}

/// What happens, after which part of all requests (thousandths).
const STORY: [(u64, Step); 9] = [
    (100, Step::Kill(1)),
    (250, Step::Revive(1)),
    (350, Step::Drain(2)),
    (450, Step::Restore(2)),
    (550, Step::RestartAppliance),
    (650, Step::MoreTables),
    (750, Step::Remove(0)),
    (850, Step::Add(0)),
    (920, Step::OtherPolicy),
];

#[derive(Debug, Clone, Copy)]
enum Step {
    Kill(u8),
    Revive(u8),
    Drain(u8),
    Restore(u8),
    RestartAppliance,
    MoreTables,
    Remove(u8),
    Add(u8),
    OtherPolicy,
}

/// Runs a soak. `say` is told what happens, about once a second, and may end it by an error.
///
/// # Errors
/// Whatever went wrong besides answers, which [`Tally::check`] judges.
pub fn run(
    options: &Options,
    say: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Result<Outcome, String> {
    let bed = Bed::new(options.mode, options.links, options.servers.max(3))?;
    let mut sluice = bed.start(&bed.stage(), options.program.clone())?;
    let mut servers = Servers::start(&bed, 4)?;
    self_test(&sluice)?;
    say(&format!(
        "{} servers, {} clients with {} requests in flight each",
        bed.servers(),
        options.clients,
        options.in_flight
    ))?;
    let start = Instant::now();
    let plan = Plan {
        clients: options.clients,
        in_flight: options.in_flight,
        ..Plan::default()
    };
    let load = Load::start(&bed, plan)?;
    if options.disturbed {
        for (part, step) in STORY {
            reach(&load, options.requests * part / 1000, options.requests, say)?;
            let text = happen(step, &bed, &mut sluice, &mut servers)?;
            say(&format!("{:9} answers: {text}", load.answered()))?;
        }
    }
    reach(&load, options.requests, options.requests, say)?;
    let tally = load.end()?;
    Ok(Outcome {
        tally,
        took: start.elapsed(),
    })
}

/// Waits until that many answers are there.
fn reach(
    load: &Load,
    target: u64,
    all: u64,
    say: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Result<(), String> {
    let (mut last, mut moved, mut told) = (load.answered(), Instant::now(), Instant::now());
    while load.answered() < target && !load.is_done() {
        std::thread::sleep(Duration::from_millis(20));
        let now = load.answered();
        if now != last {
            (last, moved) = (now, Instant::now());
        } else if moved.elapsed() > STALL {
            return Err(format!("no answer for {STALL:?}, {now} of {all} so far"));
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            say(&format!("{now:9} answers"))?;
        }
    }
    Ok(())
}

fn happen(
    step: Step,
    bed: &Bed,
    sluice: &mut Sluice<'_>,
    servers: &mut Servers<'_>,
) -> Result<String, String> {
    match step {
        Step::Kill(sid) => {
            servers.kill(sid);
            state(sluice, sid, "down")?;
            Ok(format!("server {sid} killed, and found to be down"))
        }
        Step::Revive(sid) => {
            servers.start_one(sid)?;
            state(sluice, sid, "up")?;
            Ok(format!("server {sid} started again, and found to be up"))
        }
        Step::Drain(sid) => {
            command(sluice, "drain", &json!({ "sid": sid }))?;
            state(sluice, sid, "drained")?;
            Ok(format!("server {sid} drained"))
        }
        Step::Restore(sid) => {
            command(sluice, "restore", &json!({ "sid": sid }))?;
            state(sluice, sid, "up")?;
            Ok(format!("server {sid} restored"))
        }
        Step::RestartAppliance => {
            let before = show(sluice)["epoch"].clone();
            bed.restart(sluice)?;
            let after = show(sluice)["epoch"].clone();
            if before == after {
                return Err(format!("a new start with the old epoch {before}"));
            }
            Ok(format!(
                "appliance killed (SIGKILL) and started again, epoch {before} to {after}"
            ))
        }
        Step::MoreTables => {
            reload(sluice, |stage| stage["tables"] = json!(4))?;
            Ok("settings reloaded with four filter tables".to_owned())
        }
        Step::Remove(sid) => {
            command(sluice, "remove", &json!({ "sid": sid }))?;
            Ok(format!("server {sid} removed"))
        }
        Step::Add(sid) => {
            let server = json!({ "sid": sid, "ip": bed.server(sid) });
            command(sluice, "add", &server)?;
            state(sluice, sid, "up")?;
            Ok(format!("server {sid} added"))
        }
        Step::OtherPolicy => {
            command(sluice, "policy", &json!({ "policy": "netclone+jsq" }))?;
            Ok("policy changed to netclone+jsq".to_owned())
        }
    }
}
