//! The appliance: a checked configuration brought to life.
//!
//! [`Appliance`] owns the environment, ports, cores and stage controls. It lives on the control
//! thread; the packet cores know nothing of it but their inboxes.

mod cores;
mod ports;
mod reload;
mod sched_metrics;
mod scheduling;
mod shared;
mod start;
mod trace;
mod views;
mod watchdog;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::chain::{BuildError, CommandError, StageControl, StageRegistry};
use crate::clock::Clock;
use crate::control::config::Checked;
use crate::dpdk::{DpdkError, Eal, EalError, LcoreError, Mempool, PortError};
use crate::publish::Hub;
use crate::telemetry::{DeviceFacts, Facts, Telemetry};

use cores::Cores;
use ports::Ports;
use scheduling::Scheduling;
use trace::Trace;

pub use reload::{ReloadFailure, ReloadReport};
pub use sched_metrics::sched_families;
pub use scheduling::{MoveError, NumberedEvent, SchedView, WorkerView};
pub use shared::SharedAppliance;
pub use trace::{TraceError, TraceView, TracedPacket};
pub use views::{
    CoreView, DropView, Health, LatencyView, MemoryView, PortView, StageView, VersionInfo,
};

/// How long the cores may take to answer before they are given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often rates and shares are taken anew.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Sets the level of the program's own log; given by the program, which owns the subscriber.
pub type SetLogLevel = Box<dyn Fn(&str) -> Result<(), String> + Send>;

/// Why the appliance did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// DPDK's environment.
    #[error(transparent)]
    Eal(#[from] EalError),
    /// The packet pool.
    #[error(
        "no packet pool of {packets} packets: {error}; is eal.memory_mb ({memory_mib} MiB) enough?"
    )]
    Mempool {
        /// Packets asked for.
        packets: u32,
        /// Memory given, MiB.
        memory_mib: u32,
        /// What DPDK said.
        error: DpdkError,
    },
    /// A port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A ring between cores.
    #[error("no ring between cores: {0}")]
    Ring(DpdkError),
    /// A stage.
    #[error("stage {stage:?}: {error}")]
    Stage {
        /// The stage's name.
        stage: String,
        /// Why.
        error: BuildError,
    },
    /// A stage's kind is not known, which the check would have said.
    #[error("stage {0:?} is of a kind that this program does not know")]
    UnknownKind(String),
    /// A packet core or a worker.
    #[error(transparent)]
    Core(#[from] LcoreError),
    /// The thread that watches them.
    #[error("no thread for the watchdog: {0}")]
    Watchdog(std::io::Error),
}

/// A port that cannot do what was asked.
#[derive(Debug, Error)]
pub enum PortCommandError {
    /// There is none of that name.
    #[error("there is no port {name:?}; there is {}", .known.join(", "))]
    Unknown {
        /// The name given.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// It did not come up.
    #[error(transparent)]
    Open(#[from] PortError),
}

/// A stage of the running chain, as the control side sees it.
struct StageSlot {
    name: String,
    kind: String,
    control: Box<dyn StageControl>,
}

/// A running appliance.
pub struct Appliance {
    checked: Checked,
    /// Where the configuration came from, for a reload without a document.
    source: Option<PathBuf>,
    registry: StageRegistry,
    eal: &'static Eal,
    clock: Clock,
    hub: Hub,
    telemetry: Telemetry,
    started: Instant,
    stages: Vec<StageSlot>,
    cores: Cores,
    scheduling: Option<Scheduling>,
    ports: Ports,
    // Behind ports and cores, whose packets come from it.
    pool: Mempool,
    trace: Trace,
    set_log_level: SetLogLevel,
    sampled: Instant,
    stopped: bool,
}

impl std::fmt::Debug for Appliance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appliance")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

impl Appliance {
    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.checked.config().name
    }

    /// The configuration that is in force.
    pub fn checked(&self) -> &Checked {
        &self.checked
    }

    /// The kinds of stages it knows.
    pub fn registry(&self) -> &StageRegistry {
        &self.registry
    }

    /// The counters, which can be read without the appliance.
    pub fn telemetry(&self) -> Telemetry {
        self.telemetry.clone()
    }

    /// All metrics in Prometheus' text format.
    pub fn metrics(&self) -> String {
        self.telemetry.render()
    }

    /// The configuration in force as a document, secrets hidden.
    pub fn config(&self) -> serde_json::Value {
        let mut document = self.checked.document().clone();
        hide_secrets(&mut document);
        document
    }

    /// What the control thread does some ten times a second: watches ports, collects traces, frees
    /// old versions, samples rates.
    pub fn tick(&mut self) {
        self.hub.reclaim();
        self.trace.collect();
        let changed = self.ports.watch(self.eal, &self.pool, &self.cores);
        if changed {
            let ports = self.ports.stage_ports();
            for stage in &mut self.stages {
                stage.control.ports_changed(&ports);
            }
        }
        for stage in &mut self.stages {
            stage.control.tick();
        }
        if let Some(scheduling) = &mut self.scheduling {
            scheduling.collect();
        }
        if self.sampled.elapsed() >= SAMPLE_EVERY {
            self.sampled = Instant::now();
            self.sample();
        }
    }

    /// Takes rates, device counters and the like.
    fn sample(&mut self) {
        self.cores.sample(&self.telemetry);
        if let Some(scheduling) = &mut self.scheduling {
            scheduling.sample();
        }
        self.ports.sample();
        let devices = self.ports.list.iter().map(|slot| DeviceFacts {
            port: slot.spec.name.clone(),
            bytes: [slot.stats.rx_bytes, slot.stats.tx_bytes],
            missed: slot.stats.rx_missed,
            no_mbuf: slot.stats.rx_no_mbuf,
            errors: [slot.stats.rx_errors, slot.stats.tx_errors],
            losses: slot.losses,
            up: slot.in_service(),
        });
        self.telemetry.set_facts(Facts {
            info: [
                self.name().to_owned(),
                env!("CARGO_PKG_VERSION").to_owned(),
                self.eal.version(),
            ],
            mempool: [
                u64::from(self.pool.packets()),
                u64::from(self.pool.in_use()),
            ],
            devices: devices.collect(),
        });
    }

    /// The stages' names, client side first.
    pub fn stage_names(&self) -> Vec<String> {
        self.stages.iter().map(|stage| stage.name.clone()).collect()
    }

    /// Runs a command of a stage.
    pub fn stage_command(
        &mut self,
        name: &str,
        verb: &str,
        arguments: &serde_json::Value,
    ) -> Result<serde_json::Value, CommandError> {
        let Some(index) = self.stages.iter().position(|stage| stage.name == name) else {
            let names = self.stage_names().join(", ");
            return Err(CommandError::Arguments(format!(
                "there is no stage {name:?}; there is {names}"
            )));
        };
        self.stages[index].control.command(verb, arguments)
    }

    /// What a stage says of itself; `None` when there is none of that name.
    pub fn stage_status(&self, name: &str) -> Option<serde_json::Value> {
        self.stages
            .iter()
            .find(|stage| stage.name == name)
            .map(|stage| stage.control.status())
    }

    /// Takes a port into service again.
    pub fn port_up(&mut self, name: &str) -> Result<(), PortCommandError> {
        self.ports.set_up(name, self.eal, &self.pool, &self.cores)
    }

    /// Takes a port out of service: its device is closed, what is sent to it is dropped as
    /// `port_down`.
    pub fn port_down(&mut self, name: &str) -> Result<(), PortCommandError> {
        self.ports.set_down(name, &self.cores)
    }

    /// Sets the level of the log, e.g. "debug" or "info,dpdk=error".
    pub fn set_log_level(&self, level: &str) -> Result<(), String> {
        (self.set_log_level)(level)
    }

    /// Traces the next `count` packets that pass the filter (tcpdump's language).
    pub fn trace_start(&mut self, count: u32, filter: Option<&str>) -> Result<(), TraceError> {
        let session = self.trace.start(count, filter)?;
        self.cores.trace(Some(&session));
        Ok(())
    }

    /// Ends the trace; what was collected can still be shown.
    pub fn trace_stop(&mut self) {
        self.trace.collect();
        self.cores.trace(None);
        self.trace.stop();
    }

    /// What the trace has collected so far.
    pub fn trace_show(&mut self) -> TraceView {
        self.trace.collect();
        self.trace.show(&self.stage_names(), &self.ports.names())
    }

    /// Stops the cores, flushes the stages, closes the ports. Idempotent.
    pub fn stop(&mut self) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        tracing::info!("stopping");
        let chains = self.cores.stop(PATIENCE);
        let mut scheduling = self.scheduling.take();
        if let Some(scheduling) = &mut scheduling {
            scheduling.stop(PATIENCE);
        }
        for stage in &mut self.stages {
            stage.control.stop();
        }
        drop((chains, scheduling));
        self.sample();
        let snapshot = self.telemetry.snapshot();
        for slot in &self.ports.list {
            let counts = snapshot.port(&slot.spec.name);
            tracing::info!(
                port = slot.spec.name,
                rx_packets = counts.rx_packets,
                tx_packets = counts.tx_packets,
                tx_full = counts.tx_full,
                port_down = counts.port_down,
                rx_missed = slot.stats.rx_missed,
                "port closed"
            );
        }
        self.ports.close();
        self.hub.reclaim();
        let left = self.pool.in_use();
        if left > 0 {
            tracing::warn!(packets = left, "packets were not given back to the pool");
        }
        tracing::info!("stopped");
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Replaces every value of a key `secret`.
fn hide_secrets(document: &mut serde_json::Value) {
    match document {
        serde_json::Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                if key == "secret" && value.is_string() {
                    *value = "(hidden)".into();
                } else {
                    hide_secrets(value);
                }
            }
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(hide_secrets),
        _ => {}
    }
}
