//! `cargo xtask test`: everything that is tested, with one line of totals at the end.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::run::{cargo, heading, root, run, shown};

/// A test run that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Tests that are compiled once more for the model checker loom: package and test.
const MODELS: &[(&str, &str)] = &[
    ("nf-core", "publish_model"),
    ("nf-core", "channel_model"),
    ("nf-clone", "filter_model"),
    ("nf-clone", "plain_model"),
];

/// What `test` takes.
#[derive(Args)]
pub struct Options {
    /// Only this package: `nf-core`, `sluice`, ...
    #[arg(short, long)]
    package: Option<String>,
    /// Fail where a test cannot run on this machine, as in CI.
    #[arg(long)]
    no_skip: bool,
    /// Only tests whose name contains this.
    filter: Option<String>,
    /// More for the test programs, such as `-- --nocapture`.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// What came of one or more test programs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    /// Of those, the ones that only said why they could not run.
    not_really_passed: u64,
    failed: u64,
    /// What was said by each test that could not run.
    skipped: Vec<String>,
    failures: Vec<String>,
}

/// Runs the tests.
pub fn run_all(options: &Options) -> Result<()> {
    let mut totals = Totals::default();
    heading("programs");
    // End-to-end tests of one program start the other, which cargo would not build for them.
    run(cargo().args(["build", "--locked", "-p", "sluice", "-p", "pktgen"]))?;

    heading("unit, property, corpus and end-to-end tests");
    let mut command = cargo();
    command.args(["test", "--locked", "--no-fail-fast"]);
    match &options.package {
        Some(package) => command.args(["-p", package]),
        None => command.arg("--workspace"),
    };
    command.args(&options.filter);
    if !options.rest.is_empty() {
        command.arg("--").args(&options.rest);
    }
    watch(command, options, &mut totals)?;

    for (package, test) in MODELS {
        if options
            .package
            .as_deref()
            .is_none_or(|wanted| wanted == *package)
        {
            heading(&format!("all interleavings: {test} of {package}"));
            match build_model(package, test) {
                Ok(mut command) => {
                    command.args(&options.filter).args(&options.rest);
                    watch(command, options, &mut totals)?;
                }
                Err(error) => {
                    totals.failed += 1;
                    totals.failures.push(format!("{test}: {error:#}"));
                }
            }
        }
    }

    for failure in &totals.failures {
        println!("failed: {failure}");
    }
    for skip in &totals.skipped {
        println!("skipped: {skip}");
    }
    println!("{}", totals.line());
    if totals.failed > 0 {
        bail!("{} tests failed", totals.failed);
    }
    Ok(())
}

impl Totals {
    fn line(&self) -> String {
        let skipped = self.skipped.len() as u64;
        let passed = self.passed.saturating_sub(self.not_really_passed);
        let mut line = format!("{passed} passed, {} failed", self.failed);
        if skipped > 0 {
            line += &format!(", {skipped} skipped");
        }
        line
    }

    /// Takes in one line of a test program's output.
    fn take_line(&mut self, line: &str) {
        if let Some(at) = line.find("SKIPPED: ") {
            // The harness counts such a test as passed, and may have begun the line.
            self.skipped.push(line[at + "SKIPPED: ".len()..].to_owned());
            self.not_really_passed += 1;
        } else if let Some(rest) = line.strip_prefix("test result: ") {
            let count = |word: &str| -> u64 {
                rest.split([';', '.'])
                    .filter_map(|part| part.trim().strip_suffix(word))
                    .find_map(|number| number.trim().parse().ok())
                    .unwrap_or(0)
            };
            self.passed += count("passed");
            self.failed += count("failed");
        } else if let Some(name) = line.strip_prefix("test ") {
            if let Some(name) = name.strip_suffix("... FAILED") {
                self.failures.push(name.trim().to_owned());
            } else if let Some((name, reason)) = name.split_once("... ignored") {
                self.skipped
                    .push(format!("{}: ignored{reason}", name.trim()));
            }
        }
    }
}

/// Lines that would hide the one that matters.
fn is_noise(line: &str) -> bool {
    (line.starts_with("test ") && line.ends_with("... ok"))
        || line.is_empty()
        || line.starts_with("running ")
        || line.starts_with("test result: ok. 0 passed; 0 failed; 0 ignored")
}

/// Compiles a test for the model checker and gives the command that runs it. Only this one test is
/// compiled with the flag, so nothing else has to be compiled twice.
fn build_model(package: &str, test: &str) -> Result<Command> {
    let mut command = cargo();
    command.args(["rustc", "--locked", "-p", package, "--test", test]);
    command.args([
        "--message-format=json-render-diagnostics",
        "--",
        "--cfg",
        "sluice_loom",
    ]);
    eprintln!("$ {}", shown(&command));
    let output = command.stderr(Stdio::inherit()).output().context("cargo")?;
    if !output.status.success() {
        bail!("it does not compile");
    }
    let program = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| Some(message.get("executable")?.as_str()?.to_owned()))
        .context("cargo names no program")?;
    let mut command = Command::new(program);
    command.current_dir(root());
    Ok(command)
}

/// Runs one or more test programs, shows their output as it comes, and adds up.
fn watch(mut command: Command, options: &Options, totals: &mut Totals) -> Result<()> {
    if options.no_skip {
        command.env("SLUICE_NO_SKIP", "1");
    }
    eprintln!("$ {}", shown(&command));
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("the tests could not be started")?;
    let (sender, lines) = mpsc::channel();
    let mut readers = Vec::new();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as _),
        child.stderr.take().map(|stream| Box::new(stream) as _),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        readers.push(thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            }
        }));
    }
    drop(sender);

    let mut seen = Totals::default();
    let mut hangs = false;
    loop {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => {
                seen.take_line(&line);
                if !is_noise(&line) {
                    let _ = writeln!(std::io::stdout(), "{line}");
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if start.elapsed() > LIMIT && !hangs {
            hangs = true;
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
    }
    for reader in readers {
        let _ = reader.join();
    }
    let status = child.wait().context("the tests")?;
    if hangs {
        seen.failed += 1;
        seen.failures.push(format!(
            "`{}` was still running after {LIMIT:?}",
            shown(&command)
        ));
    } else if !status.success() && seen.failed == 0 {
        // It did not compile, or a test program died.
        seen.failed += 1;
        seen.failures
            .push(format!("`{}`: {status}", shown(&command)));
    }
    totals.passed += seen.passed;
    totals.not_really_passed += seen.not_really_passed;
    totals.failed += seen.failed;
    totals.skipped.append(&mut seen.skipped);
    totals.failures.append(&mut seen.failures);
    eprintln!("took {:.0?}", start.elapsed());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_added_over_programs() {
        let mut totals = Totals::default();
        for line in [
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test a::d ... ignored, needs a NIC",
            "SKIPPED: a::e: not root",
            "test a::f ... SKIPPED: a::f: not root",
            "test result: FAILED. 4 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
            "test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s",
        ] {
            totals.take_line(line);
        }
        assert_eq!(totals.failures, ["a::c"]);
        assert_eq!(totals.line(), "9 passed, 1 failed, 3 skipped");
    }
}
