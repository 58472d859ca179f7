//! `cargo xtask`: the commands of developers and newcomers. Builds without DPDK.

mod bench;
mod demo;
mod deps;
mod fuzz;
mod lint;
mod measure;
mod packages;
mod pages;
mod programs;
mod run;
mod setup;
mod soak;
mod test;
mod tidy;
mod topology;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::packages::Purpose;

/// Developer and newcomer commands of Sluice.
///
/// Start with `cargo xtask demo`; before sending a change, run `cargo xtask lint` and `cargo xtask test`.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A real appliance between two hosts, with real traffic through it; cleans up after itself.
    Demo(demo::Options),
    /// Installs what is missing on Debian, reserves huge pages, checks for TAP support.
    ///
    /// The other commands do the part of it that they need by themselves.
    Setup(setup::Options),
    /// Formatting, clippy, documentation, licences of dependencies, alert rules, house rules.
    Lint,
    /// Unit, property, fuzz-corpus, model and end-to-end tests, with a total at the end.
    Test(test::Options),
    /// Very many requests while everything happens that may; counts what was wrong, lost, answered twice.
    Soak(soak::Options),
    /// How long a real memcached and a real Redis take for a request, for emulated servers to draw from.
    ///
    /// The machine should have nothing else to do.
    MeasureServiceTimes(measure::Options),
    /// Looks for inputs that break something, with cargo-fuzz; what is known is replayed by `test`.
    Fuzz(fuzz::Options),
    /// Speed, in turn with dpdk-testpmd and other peers, as ratios.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(options) => {
            setup::ensure(Purpose::Demo).and_then(|()| demo::run_all(&options))
        }
        Command::Setup(options) => setup::run(&options),
        Command::Lint => setup::ensure(Purpose::Lint).and_then(|()| lint::run_all()),
        Command::Test(options) => {
            setup::ensure(Purpose::Test).and_then(|()| test::run_all(&options))
        }
        Command::Soak(options) => {
            setup::ensure(Purpose::Demo).and_then(|()| soak::run_all(&options))
        }
        Command::MeasureServiceTimes(options) => {
            setup::ensure(Purpose::Measure).and_then(|()| measure::run_all(&options))
        }
        Command::Fuzz(options) => {
            setup::ensure(Purpose::Build).and_then(|()| fuzz::run_all(&options))
        }
        Command::Bench(options) => {
            setup::ensure(Purpose::Bench).and_then(|()| bench::run_all(&options))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
