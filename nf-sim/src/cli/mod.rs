//! The command line.

mod explore;
mod figure;
mod pages;
mod run;
mod speed;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use nf_core::check::Problems;
use nf_core::dpdk::{Eal, HugepagePolicy};

use crate::kinds::Kinds;
use crate::scenario::{Scenario, check};

/// End with this status if something that must not be was found.
pub(crate) const STATUS_FOUND: u8 = 3;

/// Runs a rack in virtual time: the same stages and host programs as in production, every run from one seed.
#[derive(Debug, Parser)]
#[command(
    name = "nf-sim",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Scenarios, figures and what they can and cannot tell are described in docs/nf-sim.md."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Say more on standard error; twice for DPDK's own words too.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// MiB of memory for packets.
    #[arg(long, default_value_t = 256, global = true, value_name = "MIB")]
    pub memory: u32,
    /// Use normal pages even where huge pages are free; slower, same results.
    #[arg(long, global = true)]
    pub no_hugepages: bool,
}

/// What nf-sim can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario and print what came of it.
    Run(RunArgs),
    /// Check a scenario without running it; every mistake is told at once.
    Check {
        /// The scenario; - for standard input.
        scenario: PathBuf,
    },
    /// Print the JSON schema of scenarios, for editors.
    Schema,
    /// Draw figures of the NetClone paper, and those that it lacks, with a verdict on each.
    #[command(after_help = "Examples:
  nf-sim figure                                    the names there are
  nf-sim figure netclone-7a --out figures
  nf-sim figure all --requests 100000 --repetitions 1")]
    Figure(FigureArgs),
    /// Run random racks under random faults and look for what must never be.
    #[command(after_help = "Examples:
  nf-sim explore --runs 1000
  nf-sim explore --seconds 600 --seed 12345
  nf-sim explore --scheduler --runs 10000
What fails is made smaller, and the command is printed that shows it again.")]
    Explore(ExploreArgs),
    /// Measure how many packets a second one core simulates, with six servers of 15 workers.
    Speed(SpeedArgs),
    /// Print completions for a shell.
    #[command(after_help = "Examples:
  nf-sim completions bash > /etc/bash_completion.d/nf-sim
  nf-sim completions zsh  > /usr/local/share/zsh/site-functions/_nf-sim")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, for `man -l`.
    Man {
        /// Write the pages of this program and of each of its commands into this folder instead.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The scenario; - for standard input.
    pub scenario: PathBuf,
    /// Another seed than the scenario's.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Write all of what came of it as JSON to this file; - for standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write every number of it as a line NODE,NAME,VALUE to this file; - for standard output.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

/// Arguments of `figure`.
#[derive(Debug, Args)]
pub struct FigureArgs {
    /// Names of figures, or `all`; none: say which there are.
    pub names: Vec<String>,
    /// Folder for NAME.csv and NAME.svg; made if it is not there.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Requests measured at each point.
    #[arg(long, default_value_t = 400_000)]
    pub requests: u64,
    /// Repetitions of each point, each with another seed.
    #[arg(long, default_value_t = 2)]
    pub repetitions: u64,
    /// Loads as shares of the capacity, instead of the figure's own.
    #[arg(long, value_delimiter = ',', value_name = "LOAD")]
    pub loads: Option<Vec<f64>>,
    /// Seed of the first repetition.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads to spread the runs over; by default one for each processor. It changes no result.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Say the verdicts only, without the tables.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Arguments of `explore`.
#[derive(Debug, Args)]
pub struct ExploreArgs {
    /// The first seed; each further run has the next one. Left out, one by the time of day.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Runs; without this and --seconds, 100.
    #[arg(long)]
    pub runs: Option<u64>,
    /// Seconds after which no further run is begun.
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Look at the scheduler of actors: random cores, actors and misfortune instead of racks.
    #[arg(long, conflicts_with = "scenario")]
    pub scheduler: bool,
    /// Of the first seed's faults, only these, by number; for showing a failure again.
    #[arg(long, value_name = "NUMBERS")]
    pub keep: Option<String>,
    /// Threads to spread the runs over; by default one for each processor.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Write the scenario of a failure, with the faults that are needed, to this file.
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
}

/// Arguments of `speed`.
#[derive(Debug, Args)]
pub struct SpeedArgs {
    /// Requests to simulate.
    #[arg(long, default_value_t = 500_000)]
    pub requests: u64,
    /// Load as a share of what the servers can serve.
    #[arg(long, default_value_t = 0.5)]
    pub load: f64,
    /// The scheme.
    #[arg(long, default_value = "netclone")]
    pub scheme: workload::scheme::Scheme,
    /// Print the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log(cli.verbose);
    let eal = || start(&cli);
    let result = match &cli.command {
        Command::Run(args) => run::run(args, eal),
        Command::Check { scenario } => run::check(scenario),
        Command::Schema => print(&format!("{:#}\n", Scenario::schema().to_value())),
        Command::Figure(args) => figure::figure(args, eal),
        Command::Explore(args) => explore::explore(args, eal),
        Command::Speed(args) => speed::speed(args, eal),
        Command::Completions { shell } => pages::completions(*shell),
        Command::Man { dir } => pages::manual(dir.as_deref()),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("nf-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: &Cli) -> Result<&'static Eal, String> {
    let hugepages = match cli.no_hugepages {
        true => HugepagePolicy::Off,
        false => HugepagePolicy::Auto,
    };
    crate::start_eal(cli.memory, hugepages).map_err(|error| error.to_string())
}

/// Warnings by default, more on demand, on standard error.
fn log(verbose: u8) {
    let level = match verbose {
        // What is missing for speed is no news in virtual time.
        0 => "error",
        1 => "info,dpdk=warn",
        _ => "debug",
    };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .try_init();
}

/// Writes to standard output; a reader that has gone away is no failure.
pub(crate) fn print(text: &str) -> Result<ExitCode, String> {
    nf_core::console::print(text).map(|()| ExitCode::SUCCESS)
}

/// Writes a file; `-` is standard output.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), String> {
    if path == Path::new("-") {
        return print(text).map(|_| ());
    }
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads and checks a scenario; says every mistake.
pub(crate) fn read(path: &Path, kinds: &Kinds) -> Result<Scenario, String> {
    let text = nf_core::console::read(path)?;
    let mut problems = Problems::new();
    let scenario = check::read(&text, kinds, &mut problems);
    if !problems.is_empty() {
        eprintln!("{problems}\n");
    }
    scenario.ok_or_else(|| match problems.errors() {
        1 => format!("{}: 1 error", path.display()),
        errors => format!("{}: {errors} errors", path.display()),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
