//! `cargo xtask setup`: the machine's side of things. Everything it does is said first, nothing is
//! asked, and what is already there is left alone.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::packages::{self, Package, Purpose};
use crate::run::{heading, run as call, shown};

/// Huge pages of 2 MiB that the end-to-end tests and benchmarks want.
const HUGE_PAGES: u64 = 1024;
/// At most this part of the memory goes to huge pages.
const SHARE_OF_MEMORY: u64 = 4;
const NR_HUGE_PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
const TUN: &str = "/dev/net/tun";
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// What `setup` takes.
#[derive(Args)]
pub struct Options {
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Huge pages of 2 MiB to have at least (fewer on small machines); never lowered.
    #[arg(long, default_value_t = HUGE_PAGES)]
    huge_pages: u64,
}

/// Does all of it.
pub fn run(options: &Options) -> Result<()> {
    use Purpose::{Bench, Build, Demo, Lint, Measure, Test};
    heading("packages");
    let missing = packages::missing(&[Build, Lint, Test, Demo, Bench, Measure]);
    if missing.is_empty() {
        eprintln!("all {} are there", packages::PACKAGES.len());
    } else if options.dry_run {
        eprintln!("would install: {}", names(&missing));
    } else {
        install(&missing)?;
    }
    heading("huge pages");
    huge_pages(options.huge_pages, options.dry_run)?;
    eprintln!(
        "{} huge pages of 2 MiB are reserved",
        read_number(NR_HUGE_PAGES).unwrap_or(0)
    );
    heading("TAP");
    tun(options.dry_run)?;
    if Path::new(TUN).exists() {
        eprintln!("{TUN} is there");
    }
    Ok(())
}

/// Does what `purpose` needs, silently where nothing is missing.
pub fn ensure(purpose: Purpose) -> Result<()> {
    let missing = packages::missing(&[Purpose::Build, purpose]);
    if !missing.is_empty() {
        heading("packages");
        install(&missing)?;
    }
    if matches!(purpose, Purpose::Test | Purpose::Demo | Purpose::Bench) {
        // Tests that need either of these say so themselves, so a failure here is not the end.
        for result in [huge_pages(HUGE_PAGES, false), tun(false)] {
            if let Err(error) = result {
                eprintln!("warning: {error:#}");
            }
        }
    }
    Ok(())
}

fn names(packages: &[&Package]) -> String {
    packages
        .iter()
        .map(|package| package.name)
        .collect::<Vec<_>>()
        .join(" ")
}

fn install(missing: &[&Package]) -> Result<()> {
    let names = names(missing);
    if testkit::need::find_program("apt-get").is_none() {
        bail!(
            "these packages of Debian 12 are missing and there is no apt-get here: {names}; install \
             their equivalents by hand"
        );
    }
    eprintln!("missing, will be installed with apt-get: {names}");
    let _policy = NoServices::new()?;
    let by_hand = || format!("is this machine offline? To do it by hand: apt-get install {names}");
    apt_get(&["update"]).with_context(by_hand)?;
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(missing.iter().map(|package| package.name));
    apt_get(&args).with_context(by_hand)?;
    for service in missing.iter().filter_map(|package| package.service) {
        // Where systemd runs, the package has enabled it for the next start of the machine.
        if Path::new("/run/systemd/system").exists() {
            call(&mut privileged(
                "systemctl",
                &["disable", "--now", service],
            )?)?;
        }
    }
    let still: Vec<&Package> = missing
        .iter()
        .copied()
        .filter(|package| !package.is_present())
        .collect();
    if !still.is_empty() {
        bail!(
            "apt-get was content, but this is still missing: {}",
            self::names(&still)
        );
    }
    Ok(())
}

/// Its output is long and tells nobody anything, unless it fails.
fn apt_get(args: &[&str]) -> Result<()> {
    let options = [
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=120",
    ];
    let mut command = privileged("env", &[&options, args].concat())?;
    eprintln!("$ {}", shown(&command));
    let output = command
        .stdin(Stdio::null())
        .output()
        .context("apt-get could not be started")?;
    if output.status.success() {
        return Ok(());
    }
    eprintln!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    bail!("`apt-get {}` failed ({})", args.join(" "), output.status)
}

/// A command run as root: directly, or by sudo.
fn privileged(program: &str, args: &[&str]) -> Result<Command> {
    if is_root() {
        let mut command = Command::new(program);
        command.args(args);
        return Ok(command);
    }
    if testkit::need::find_program("sudo").is_none() {
        bail!(
            "this needs root, and there is no sudo here: run `{program} {}` as root",
            args.join(" ")
        );
    }
    let mut command = Command::new("sudo");
    command.arg(program).args(args);
    Ok(command)
}

/// Whether we are root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// While it lives, installing a package starts no service; where the machine has its own policy, that is kept.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn new() -> Result<NoServices> {
        if Path::new(POLICY).exists() {
            return Ok(NoServices { ours: false });
        }
        call(&mut privileged(
            "sh",
            &[
                "-c",
                &format!("printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}"),
            ],
        )?)?;
        Ok(NoServices { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Ok(mut command) = privileged("rm", &["-f", POLICY])
        {
            let _ = call(&mut command);
        }
    }
}

fn read_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn total_memory_kib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// How many pages to reserve: as many as wanted, but no more than the share of the memory.
fn affordable(wanted: u64, memory_kib: u64) -> u64 {
    wanted.min(memory_kib / SHARE_OF_MEMORY / 2048)
}

fn huge_pages(wanted: u64, dry_run: bool) -> Result<()> {
    let there = read_number(NR_HUGE_PAGES).context(
        "this kernel has no huge pages of 2 MiB: set `\"hugepages\": \"off\"` in configs",
    )?;
    let target = affordable(wanted, total_memory_kib().unwrap_or(0));
    if there >= target {
        return Ok(());
    }
    if dry_run {
        eprintln!("would raise the huge pages of 2 MiB from {there} to {target}");
        return Ok(());
    }
    eprintln!("raising the huge pages of 2 MiB from {there} to {target}, until the next boot");
    // Compaction first: on a machine that has run for a while the memory is in small pieces.
    let script = format!(
        "echo 1 > /proc/sys/vm/compact_memory 2>/dev/null; echo {target} > {NR_HUGE_PAGES}"
    );
    call(&mut privileged("sh", &["-c", &script])?)
        .context("huge pages could not be reserved (a container without privileges?)")?;
    let got = read_number(NR_HUGE_PAGES).unwrap_or(0);
    if got < target {
        eprintln!("warning: the kernel found memory for {got} of {target} huge pages only");
    }
    Ok(())
}

fn tun(dry_run: bool) -> Result<()> {
    if Path::new(TUN).exists() {
        return Ok(());
    }
    if dry_run {
        eprintln!("would load the kernel module tun and make /dev/net/tun");
        return Ok(());
    }
    eprintln!("/dev/net/tun is missing: loading the kernel module tun");
    let script = "modprobe tun 2>/dev/null; [ -c /dev/net/tun ] || \
                  { mkdir -p /dev/net && mknod /dev/net/tun c 10 200 && chmod 666 /dev/net/tun; }";
    call(&mut privileged("sh", &["-c", script])?)
        .context("TAP ports will not work: /dev/net/tun could not be made")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_machines_keep_most_of_their_memory() {
        const GIB: u64 = 1024 * 1024;
        assert_eq!(affordable(1024, 32 * GIB), 1024);
        assert_eq!(affordable(1024, 8 * GIB), 1024);
        assert_eq!(affordable(1024, 4 * GIB), 512);
        assert_eq!(affordable(1024, 0), 0);
    }
}
