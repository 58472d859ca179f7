//! `sluice`: runs an appliance, checks its configuration, watches and changes it.

mod check;
mod cli;
mod client;
mod ctl;
mod failure;
mod instance;
mod pages;
mod panics;
mod run;
mod sched;
mod schema;
mod stages;
mod table;
mod top;
mod units;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => {
            panics::end_the_process();
            run::run(&args.config).map(|()| ExitCode::SUCCESS)
        }
        Command::Check(args) => check::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Stages(args) => stages::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Ctl(args) => ctl::run(&args),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man { dir } => pages::manual(dir.as_deref()),
    };
    result.unwrap_or_else(|failure| failure.tell())
}
