//! `cargo xtask soak`: very many requests through a real appliance while everything happens that may.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use clone_rig::soak;
use clone_rig::{Links, Mode, plain};

use crate::demo::Interrupt;
use crate::programs;
use crate::run::run;
use crate::setup;

/// What `soak` takes.
#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The clone stage: servers killed, drained, removed and added, settings changed, the appliance killed.
    Clone(CloneOptions),
    /// The clone stage before three real memcached that know nothing of it: killed, hanging, drained, back
    /// empty, the appliance killed.
    CloneMemcached(MemcachedOptions),
}

/// What `soak clone` takes.
#[derive(Args)]
pub struct CloneOptions {
    /// Requests, at least; they go on until everything has happened.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Servers.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(3..=100))]
    servers: u8,
    /// Clients, each a thread with a socket.
    #[arg(long, default_value_t = 4)]
    clients: u64,
    /// Requests that each client has in flight.
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    /// How the appliance stands between clients and servers.
    #[arg(long, value_enum, default_value_t = ModeName::Gateway)]
    mode: ModeName,
    /// What its ports are.
    #[arg(long, value_enum, default_value_t = LinksName::Tap)]
    links: LinksName,
    /// Nothing happens but requests.
    #[arg(long)]
    undisturbed: bool,
    /// Take the programs from this folder instead of building them.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

/// What `soak clone-memcached` takes.
#[derive(Args)]
pub struct MemcachedOptions {
    /// Requests, at least; they go on until everything has happened.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Clients, each a thread with a socket.
    #[arg(long, default_value_t = 3)]
    clients: usize,
    /// Requests that each client has in flight.
    #[arg(long, default_value_t = 4)]
    in_flight: usize,
    /// After so long a client asks again, milliseconds.
    #[arg(long, default_value_t = 250)]
    patience_ms: u64,
    /// What the appliance's ports are.
    #[arg(long, value_enum, default_value_t = LinksName::Veth)]
    links: LinksName,
    /// Nothing happens but requests.
    #[arg(long)]
    undisturbed: bool,
    /// Take the programs from this folder instead of building them.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeName {
    Gateway,
    Gateway6,
    Inline,
}

#[derive(Clone, Copy, ValueEnum)]
enum LinksName {
    Tap,
    Veth,
}

impl From<LinksName> for Links {
    fn from(name: LinksName) -> Links {
        match name {
            LinksName::Tap => Links::Tap,
            LinksName::Veth => Links::Veth,
        }
    }
}

/// Runs it; an error when an answer was wrong, lost, or there twice.
pub fn run_all(options: &Options) -> Result<()> {
    let given = match &options.what {
        What::Clone(options) => &options.programs,
        What::CloneMemcached(options) => &options.programs,
    };
    let programs = match given {
        Some(folder) => folder.clone(),
        None => {
            programs::build()?;
            programs::folder()?
        }
    };
    if !setup::is_root() {
        eprintln!("network namespaces need root: going on with sudo");
        let mut arguments: Vec<String> = std::env::args().skip(1).collect();
        if given.is_none() {
            arguments.extend(["--programs".to_owned(), programs.display().to_string()]);
        }
        run(Command::new("sudo")
            .arg(std::env::current_exe()?)
            .args(arguments))?;
        return Ok(());
    }
    let program = programs.join("sluice");
    match &options.what {
        What::Clone(options) => clone(options, program),
        What::CloneMemcached(options) => clone_memcached(options, program),
    }
}

/// Prints what happens, until Ctrl-C.
fn teller(interrupt: &Interrupt) -> impl FnMut(&str) -> Result<(), String> + '_ {
    |line| {
        println!("{line}");
        match interrupt.is_set() {
            true => Err("stopped".to_owned()),
            false => Ok(()),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn rate(answered: u64, took: Duration) -> f64 {
    answered as f64 / took.as_secs_f64()
}

fn clone_memcached(options: &MemcachedOptions, program: PathBuf) -> Result<()> {
    let interrupt = Interrupt::install()?;
    let what = plain::soak::Options {
        requests: options.requests,
        plan: plain::Plan {
            clients: options.clients.max(1),
            in_flight: options.in_flight.clamp(1, 10_000),
            patience: Duration::from_millis(options.patience_ms.max(1)),
            ..plain::Plan::default()
        },
        links: options.links.into(),
        disturbed: !options.undisturbed,
        program: Some(program),
    };
    let outcome = plain::soak::run(&what, &mut teller(&interrupt));
    let outcome = outcome.map_err(|error| anyhow!(error))?;
    println!();
    print!("{}", outcome.table());
    let all = outcome.all();
    println!(
        "\nin {:.1?}, {:.0} answers a second; since its last start the appliance has cloned {} requests and kept {} \
         datagrams of slower servers",
        outcome.took,
        rate(all.answered(), outcome.took),
        outcome.cloned,
        outcome.slower,
    );
    if let Err(error) = outcome.check() {
        bail!(error);
    }
    match all.missed {
        0 => println!("Every request had its one right answer."),
        _ => println!(
            "Every request had its one right answer, a miss of the empty server's being one."
        ),
    }
    Ok(())
}

fn clone(options: &CloneOptions, program: PathBuf) -> Result<()> {
    let interrupt = Interrupt::install()?;
    let what = soak::Options {
        requests: options.requests,
        servers: options.servers,
        clients: options.clients.max(1),
        in_flight: options.in_flight.max(1),
        mode: match options.mode {
            ModeName::Gateway => Mode::Gateway,
            ModeName::Gateway6 => Mode::Gateway6,
            ModeName::Inline => Mode::Inline,
        },
        links: options.links.into(),
        disturbed: !options.undisturbed,
        program: Some(program),
    };
    let outcome = soak::run(&what, &mut teller(&interrupt));
    let outcome = outcome.map_err(|error| anyhow!(error))?;
    let tally = &outcome.tally;
    println!();
    for (count, meaning) in [
        (tally.sent, "requests"),
        (tally.answered, "answered"),
        (tally.wrong, "answered wrongly"),
        (tally.lost, "lost"),
        (tally.twice, "answered twice, to the caller"),
        (tally.strange, "datagrams that made no sense"),
        (
            tally.redundant,
            "second answers that came as far as a client",
        ),
        (tally.retransmissions, "requests sent again"),
        (tally.cloned, "answers to cloned requests"),
        (tally.by_clone, "of these, by the clone's server"),
    ] {
        println!("{count:12} {meaning}");
    }
    let rate = rate(tally.answered, outcome.took);
    println!("in {:.1?}, {rate:.0} a second", outcome.took);
    println!("longest time to an answer: {:.1?}", tally.longest);
    if let Err(error) = tally.check() {
        bail!(error);
    }
    println!("\nEvery request had its one right answer.");
    Ok(())
}
