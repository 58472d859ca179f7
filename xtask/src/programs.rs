//! The programs as they are shipped: built for release, with DPDK linked in.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::run::{cargo, run};

/// Builds them.
pub fn build() -> Result<()> {
    eprintln!("building sluice and pktgen for release (the first time this takes some minutes)");
    run(cargo()
        .args([
            "build",
            "--locked",
            "--release",
            "-p",
            "sluice",
            "-p",
            "pktgen",
        ])
        .args(["--features", "sluice/static,pktgen/static"]))?;
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
