//! `sluice run`: start the appliance, serve its control side, stop it on a signal.

use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use nf_core::check::Machine;
use nf_core::control::api::{Server, ServerConfig};
use nf_core::control::appliance::{Appliance, SharedAppliance};
use nf_core::control::config::{Checked, Checker, Config, LogFormat};
use rustix::fs::Access;
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::failure::Failure;
use sluice::registry;

/// Turns of the control thread's housekeeping.
const TICK: Duration = Duration::from_millis(100);

/// Runs the appliance of a configuration file until SIGINT or SIGTERM.
pub fn run(path: &Path) -> Result<(), Failure> {
    let checked = read(path)?;
    Ok(start(checked, path)?)
}

fn start(checked: Checked, path: &Path) -> anyhow::Result<()> {
    let set_level = start_log(checked.config())?;
    let _lock = lock_instance(checked.config())?;
    warn_if_unprivileged(checked.config());
    pin_control(usize::from(checked.config().cores.control));

    let name = checked.config().name.to_string();
    let appliance = Appliance::start(checked, Some(path.to_owned()), registry(), set_level)?;
    tracing::info!(name, "running");
    let server = ServerConfig::new(appliance.checked().config());
    let appliance = Arc::new(SharedAppliance::new(appliance));
    let served = serve(&appliance, &server);
    appliance.lock().stop();
    served
}

/// Reads and checks the file; every mistake at once on standard error.
fn read(path: &Path) -> Result<Checked, Failure> {
    let text = crate::check::read(path)?;
    let registry = registry();
    let outcome = Checker::new(&registry)
        .on_machine(Machine::detect())
        .check_text(&text);
    if !outcome.problems.is_empty() {
        eprintln!("{}", outcome.problems);
    }
    match outcome.config {
        Some(checked) => Ok(checked),
        None => Err(Failure::bad_config(format!(
            "{}: the configuration has {}",
            path.display(),
            match outcome.problems.errors() {
                1 => "a mistake".to_owned(),
                errors => format!("{errors} mistakes"),
            }
        ))),
    }
}

/// The program's log on standard error; returns what changes its level.
fn start_log(config: &Config) -> anyhow::Result<nf_core::control::appliance::SetLogLevel> {
    let filter = EnvFilter::try_new(config.log.level.as_str())?;
    let (filter, handle) = reload::Layer::<EnvFilter, Registry>::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match config.log.format {
        LogFormat::Text => registry
            .with(fmt::layer().with_ansi(colours).with_writer(std::io::stderr))
            .try_init()?,
        LogFormat::Json => registry
            .with(fmt::layer().json().with_writer(std::io::stderr))
            .try_init()?,
    }
    Ok(Box::new(move |level| {
        let filter = EnvFilter::try_new(level)
            .map_err(|error| format!("{level:?} is no log level: {error}"))?;
        handle.reload(filter).map_err(|error| error.to_string())
    }))
}

/// Where appliances' names are locked, besides beside their control sockets: instances of one name
/// with different sockets would still share DPDK's run-time folder.
const LOCKS: &str = "/run/sluice";

/// A lock of an instance's name; the file goes with it.
struct InstanceLock {
    path: PathBuf,
    _file: File,
}

impl Drop for InstanceLock {
    fn drop(&mut self) {
        // While the lock is still held: who takes it next makes a file of its own.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Takes the locks of this instance's name, so that a second one is told so in one sentence.
fn lock_instance(config: &Config) -> anyhow::Result<Vec<InstanceLock>> {
    let beside = config
        .control
        .socket_path(&config.name)
        .with_extension("lock");
    let common = Path::new(LOCKS).join(format!("{}.lock", &*config.name));
    let mut locks = vec![lock(&beside, config)?];
    // Without root, the folder may be closed to us; then so is the other instance's folder.
    if common != beside && may_write(Path::new(LOCKS)) {
        locks.push(lock(&common, config)?);
    }
    Ok(locks)
}

/// Whether files can be made in a folder, which is made if it is not there.
fn may_write(folder: &Path) -> bool {
    std::fs::create_dir_all(folder).is_ok()
        && rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

fn lock(path: &Path, config: &Config) -> anyhow::Result<InstanceLock> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    }
    loop {
        let file = File::create(path)
            .with_context(|| format!("the lock {} cannot be made", path.display()))?;
        if file.try_lock().is_err() {
            bail!(
                "an appliance named {:?} runs already (it holds {}); give this one another \"name\"",
                &*config.name,
                path.display()
            );
        }
        // Another one may have removed the file between the two calls: then this is no lock.
        let inode = |found: std::io::Result<std::fs::Metadata>| {
            found.map(|found| (found.dev(), found.ino())).ok()
        };
        if inode(std::fs::metadata(path)) == inode(file.metadata()) {
            return Ok(InstanceLock {
                path: path.to_owned(),
                _file: file,
            });
        }
    }
}

fn warn_if_unprivileged(config: &Config) {
    if !rustix::process::geteuid().is_root() {
        tracing::info!(
            ports = config.ports.len(),
            "not running as root: ports need the capabilities listed in docs/security.md"
        );
    }
}

/// The control side stays off the packet cores, and every thread it starts as well.
fn pin_control(cpu: usize) {
    if cpu < CpuSet::MAX_CPU {
        let mut set = CpuSet::new();
        set.set(cpu);
        if let Err(error) = sched_setaffinity(None, &set) {
            tracing::warn!(cpu, %error, "the control thread could not be pinned to its CPU");
        }
    }
}

/// The control thread's loop.
fn serve(appliance: &Arc<SharedAppliance>, config: &ServerConfig) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let server = Server::start(config, appliance.clone())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tracing::info!(http = ?server.http(), socket = %config.socket.display(), "ready");
        loop {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                _ = hangup.recv() => reload_by_signal(appliance),
                _ = ticks.tick() => appliance.tick(),
            }
        }
        server.stop().await;
        Ok(())
    })
}

/// SIGHUP reads the configuration file again.
fn reload_by_signal(appliance: &SharedAppliance) {
    match appliance.lock().reload_file() {
        Ok(report) => tracing::info!(changed = ?report.changed, "reloaded"),
        Err(error) => tracing::error!(%error, "not reloaded; the old configuration stays in force"),
    }
}
