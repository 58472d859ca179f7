//! `cargo xtask lint`: all checks that run nothing. Every one of them runs, then the failures are named.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{cargo, heading, root, run};
use crate::{deps, pages, tidy};

type Check = (&'static str, fn() -> Result<()>);

const CHECKS: &[Check] = &[
    ("formatting", formatting),
    ("house rules", tidy::check),
    ("pages", pages::check),
    ("clippy", clippy),
    ("documentation", documentation),
    ("dependencies", dependencies),
    ("monitoring rules", monitoring),
];

/// Runs them all.
pub fn run_all() -> Result<()> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        heading(name);
        if let Err(error) = check() {
            eprintln!("error: {error:#}");
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        eprintln!("\nlint: all {} checks passed", CHECKS.len());
        return Ok(());
    }
    bail!(
        "lint: {} of {} checks failed: {}",
        failed.len(),
        CHECKS.len(),
        failed.join(", ")
    )
}

fn formatting() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"])).map(|_| ())
}

fn clippy() -> Result<()> {
    // What hosts need of a function is built without the appliance there; the whole workspace never is.
    run(cargo().args([
        "clippy",
        "--package=nf-clone",
        "--package=sluice-clone",
        "--no-default-features",
        "--all-targets",
        "--locked",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))?;
    // The feature `static` changes how dpdk-sys is linked and no line of Rust, so one pass sees all.
    run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))
    .map(|_| ())
}

fn documentation() -> Result<()> {
    run(cargo()
        .args(["doc", "--workspace", "--no-deps", "--locked", "--quiet"])
        .env("RUSTDOCFLAGS", "-D warnings"))
    .map(|_| ())
}

fn dependencies() -> Result<()> {
    deps::check_licences()?;
    if testkit::need::find_program("cargo-deny").is_none() {
        eprintln!(
            "NOTE: cargo-deny is not installed, so bans and sources were not checked, only licences \
             (`cargo install cargo-deny` takes some minutes)"
        );
        return Ok(());
    }
    // Advisories need the network, and change without us: `cargo deny check advisories` by hand.
    run(cargo().args([
        "deny",
        "--workspace",
        "check",
        "licenses",
        "bans",
        "sources",
    ]))
    .map(|_| ())
}

fn monitoring() -> Result<()> {
    let folder = root().join("docs/monitoring");
    let mut rules: Vec<PathBuf> = Vec::new();
    if let Ok(entries) = fs::read_dir(&folder) {
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_yaml = path
                .extension()
                .is_some_and(|end| end == "yml" || end == "yaml");
            if is_yaml
                && fs::read_to_string(&path)?
                    .lines()
                    .any(|line| line.starts_with("groups:"))
            {
                rules.push(path);
            }
        }
    }
    if rules.is_empty() {
        eprintln!("no alert rules in {}", folder.display());
        return Ok(());
    }
    rules.sort();
    run(Command::new("promtool")
        .args(["check", "rules"])
        .args(&rules))
    .context("promtool comes with Debian's package prometheus")?;
    Ok(())
}
