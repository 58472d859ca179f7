//! `cargo xtask fuzz`: looks for inputs that break what the fuzz targets promise.
//!
//! The targets are functions in `*/fuzz`, guided by libFuzzer through cargo-fuzz and a nightly compiler, both
//! of which are installed if they are missing. New inputs are kept under `target/fuzz`; `--keep` puts those that
//! reach something new into the corpora of the repository, which ordinary tests replay.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::run::{heading, root, run};

/// The packages that have targets.
const PACKAGES: [&str; 2] = ["nf-core", "nf-clone"];

/// What `fuzz` takes.
#[derive(Args)]
pub struct Options {
    /// Targets; all of them if none is named.
    targets: Vec<String>,
    /// Inputs for each target; 0 for no end.
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// Seconds for each target; 0 for no end.
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// Names the targets, and runs none.
    #[arg(long)]
    list: bool,
    /// Afterwards, adds inputs to the repository's corpora that reach something new.
    #[arg(long)]
    keep: bool,
    /// What else is looked for.
    #[arg(long, value_enum, default_value_t = Sanitizer::Address)]
    sanitizer: Sanitizer,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sanitizer {
    /// Accesses to memory that is not there; about half as fast.
    Address,
    /// Only what the targets themselves check.
    None,
}

/// A target: its package and its name.
struct Target {
    package: &'static str,
    name: String,
}

impl Target {
    /// The corpus in the repository.
    fn corpus(&self) -> PathBuf {
        root()
            .join(self.package)
            .join("fuzz/corpus")
            .join(&self.name)
    }

    /// What was found on this machine.
    fn found(&self) -> PathBuf {
        let folder = root().join("target/fuzz/corpus");
        folder.join(self.package).join(&self.name)
    }

    /// `cargo fuzz run TARGET CORPORA -- MORE`.
    fn cargo_fuzz(&self, sanitizer: Sanitizer, corpora: &[&Path], more: &[String]) -> Command {
        let mut command = nightly();
        command
            .args(["fuzz", "run", "--sanitizer"])
            .arg(match sanitizer {
                Sanitizer::Address => "address",
                Sanitizer::None => "none",
            })
            .arg("--target-dir")
            .arg(root().join("target/fuzz"))
            .arg(&self.name)
            .args(corpora)
            .arg("--")
            .args(more)
            // DPDK keeps what it has until the process ends.
            .env("ASAN_OPTIONS", "detect_leaks=0")
            .current_dir(root().join(self.package));
        command
    }
}

/// Runs the targets, one after the other; an error when one found something.
pub fn run_all(options: &Options) -> Result<()> {
    let mut targets = all()?;
    if options.list {
        for target in targets {
            println!("{} ({})", target.name, target.package);
        }
        return Ok(());
    }
    for name in &options.targets {
        if !targets.iter().any(|target| target.name == *name) {
            let known: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
            bail!("there is no target {name:?}: {}", known.join(", "));
        }
    }
    targets.retain(|target| options.targets.is_empty() || options.targets.contains(&target.name));
    ensure_tools()?;
    let mut failed = Vec::new();
    for target in &targets {
        heading(&format!("{} of {}", target.name, target.package));
        if let Err(error) = fuzz(target, options) {
            eprintln!("error: {error:#}");
            failed.push(target.name.as_str());
        }
    }
    if failed.is_empty() {
        eprintln!("\nfuzz: nothing found in {} targets", targets.len());
        return Ok(());
    }
    bail!("fuzz: something found, or not run: {}", failed.join(", "))
}

/// Runs one target.
fn fuzz(target: &Target, options: &Options) -> Result<()> {
    let (found, corpus) = (target.found(), target.corpus());
    fs::create_dir_all(&found).with_context(|| found.display().to_string())?;
    let limit = |name: &str, number: u64| (number != 0).then(|| format!("-{name}={number}"));
    let limits = [
        limit("runs", options.runs),
        limit("max_total_time", options.seconds),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    run(&mut target.cargo_fuzz(options.sanitizer, &[&found, &corpus], &limits))?;
    if options.keep {
        let merge = [
            "-set_cover_merge=1".to_owned(),
            "-use_counters=0".to_owned(),
        ];
        run(&mut target.cargo_fuzz(options.sanitizer, &[&corpus, &found], &merge))?;
    }
    Ok(())
}

/// Every target of every package.
fn all() -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for package in PACKAGES {
        let folder = root().join(package).join("fuzz/fuzz_targets");
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()))
            .collect();
        names.sort();
        targets.extend(names.into_iter().map(|name| Target { package, name }));
    }
    Ok(targets)
}

/// The nightly compiler's cargo: only it has the sanitizers.
fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]);
    // Of the toolchain that runs us.
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    command
}

/// Installs the compiler and cargo-fuzz if they are missing.
fn ensure_tools() -> Result<()> {
    let works =
        |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !works(nightly().arg("--version")) {
        eprintln!("missing, will be installed with rustup: the nightly compiler");
        run(Command::new("rustup").args(["toolchain", "install", "nightly", "--profile=minimal"]))
            .context("fuzzing needs rustup, and the nightly compiler")?;
    }
    if !works(nightly().args(["fuzz", "--version"])) {
        eprintln!("missing, will be installed with cargo: cargo-fuzz");
        run(nightly().args(["install", "cargo-fuzz", "--locked"]))?;
    }
    Ok(())
}
