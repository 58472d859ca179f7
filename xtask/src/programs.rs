//! The programs as they are shipped: built for release, with DPDK linked in.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::run::{cargo, run};

static AS_THEY_ARE: AtomicBool = AtomicBool::new(false);

/// From now on [`build`] does nothing: what is there is used.
pub fn take_as_they_are() {
    AS_THEY_ARE.store(true, Ordering::Relaxed);
}

/// Builds them.
pub fn build() -> Result<()> {
    if AS_THEY_ARE.load(Ordering::Relaxed) {
        return Ok(());
    }
    eprintln!(
        "building sluice, pktgen and nf-sim for release (the first time this takes some minutes)"
    );
    run(cargo()
        .args([
            "build",
            "--locked",
            "--release",
            "-p",
            "sluice",
            "-p",
            "pktgen",
            "-p",
            "nf-sim",
        ])
        .args(["--features", "sluice/static,pktgen/static,nf-sim/static"])
        // Beside us, wherever that is.
        .arg("--target-dir")
        .arg(target_folder()?))?;
    Ok(())
}

/// Where cargo puts what it builds; we are in `PROFILE/xtask` of it.
pub fn target_folder() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    Ok(here
        .ancestors()
        .nth(2)
        .context("not in a target folder")?
        .to_path_buf())
}

/// Where the programs are.
pub fn folder() -> Result<PathBuf> {
    Ok(target_folder()?.join("release"))
}

/// Where the program `name` is.
pub fn path(name: &str) -> Result<PathBuf> {
    Ok(folder()?.join(name))
}
