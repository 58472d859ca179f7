//! What the API needs of the appliance behind it.

use serde_json::Value;

use super::ApiError;

/// What can be read, and may have to wait for a change that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Program, DPDK, instance.
    Version,
    /// The stages with their counts.
    Chain,
    /// The ports.
    Ports,
    /// Every drop by stage or port and reason.
    Drops,
    /// The packet cores.
    Cores,
    /// Packet pool and huge pages.
    Memory,
    /// The configuration in force, secrets hidden.
    Config,
    /// One stage, by its name.
    Stage(String),
    /// The records of the last trace.
    Trace,
    /// Where stages run, and why.
    Sched,
}

/// What can be changed or asked for through the control socket only.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Take over a configuration: this text, or the file the appliance was started with.
    Reload(Option<String>),
    /// Say what is wrong with a configuration, without taking it over.
    Check(String),
    /// A command of a stage.
    Stage {
        /// The stage's name.
        name: String,
        /// What to do.
        verb: String,
        /// With what.
        arguments: Value,
    },
    /// Move an actor to a worker core.
    Push {
        /// Its name.
        actor: String,
        /// Which worker; the least busy one if none is said.
        worker: Option<u16>,
    },
    /// Move an actor back to the packet cores.
    Pull(String),
    /// Take a port into use.
    PortUp(String),
    /// Take a port out of use.
    PortDown(String),
    /// Trace the next packets.
    TraceStart {
        /// How many.
        count: u32,
        /// Which, by a filter expression.
        filter: Option<String>,
    },
    /// End the trace.
    TraceStop,
    /// Change the least important messages that are logged.
    LogLevel(String),
}

/// The appliance, as the API sees it. Every method may be called from any thread at any time.
pub trait Backend: Send + Sync + 'static {
    /// All metrics in the Prometheus text format. Waits for no change.
    fn metrics(&self) -> String;

    /// Whether all is well (`true`), and an object that says what is not. Must not wait at all.
    fn health(&self) -> (bool, Value);

    /// Reads; may wait for a change that is under way.
    fn read(&self, what: Read) -> Result<Value, ApiError>;

    /// Changes; may take its time.
    fn change(&self, change: Change) -> Result<Value, ApiError>;
}
