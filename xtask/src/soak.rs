//! `cargo xtask soak`: very many requests through a real appliance while everything happens that may.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use clone_rig::soak;
use clone_rig::{Links, Mode};

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

/// Runs it; an error when an answer was wrong, lost, or there twice.
pub fn run_all(options: &Options) -> Result<()> {
    let What::Clone(options) = &options.what;
    let programs = match &options.programs {
        Some(folder) => folder.clone(),
        None => {
            programs::build()?;
            programs::folder()?
        }
    };
    if !setup::is_root() {
        eprintln!("network namespaces need root: going on with sudo");
        let mut arguments: Vec<String> = std::env::args().skip(1).collect();
        if options.programs.is_none() {
            arguments.extend(["--programs".to_owned(), programs.display().to_string()]);
        }
        run(Command::new("sudo")
            .arg(std::env::current_exe()?)
            .args(arguments))?;
        return Ok(());
    }
    clone(options, programs)
}

fn clone(options: &CloneOptions, programs: PathBuf) -> Result<()> {
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
        links: match options.links {
            LinksName::Tap => Links::Tap,
            LinksName::Veth => Links::Veth,
        },
        disturbed: !options.undisturbed,
        program: Some(programs.join("sluice")),
    };
    let outcome = soak::run(&what, &mut |line| {
        println!("{line}");
        match interrupt.is_set() {
            true => Err("stopped".to_owned()),
            false => Ok(()),
        }
    });
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
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = tally.answered as f64 / outcome.took.as_secs_f64();
    println!("in {:.1?}, {rate:.0} a second", outcome.took);
    println!("longest time to an answer: {:.1?}", tally.longest);
    if let Err(error) = tally.check() {
        bail!(error);
    }
    println!("\nEvery request had its one right answer.");
    Ok(())
}
