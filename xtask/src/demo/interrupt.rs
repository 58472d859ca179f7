//! Ctrl-C during the demo: noticed between and inside the steps, so that the guards clean up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use testkit::{Process, wait_for};

/// Whether the user wants to stop.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes over the signals that ask a program to stop.
    pub fn install() -> Result<Interrupt> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // A second one, when cleaning up hangs, ends us at once.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))
                .context("signal handler")?;
            signal_hook::flag::register(signal, Arc::clone(&flag)).context("signal handler")?;
        }
        Ok(Interrupt(flag))
    }

    /// Whether a signal has come.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails if a signal has come.
    pub fn check(&self) -> Result<()> {
        if self.is_set() {
            bail!("stopped");
        }
        Ok(())
    }

    /// Waits for a process to end, and gives its output. Fails if it does, or if a signal comes.
    pub fn wait(&self, process: &mut Process, limit: Duration) -> Result<String> {
        let status = wait_for("the end of a program", limit, || {
            if self.is_set() {
                return Some(Err(anyhow!("stopped")));
            }
            process.ended().map(Ok)
        })
        .map_err(|error| anyhow!("{error}; its output:\n{}", process.log()))??;
        if !status.success() {
            bail!("it failed ({status}); its output:\n{}", process.log());
        }
        Ok(process.log())
    }
}
