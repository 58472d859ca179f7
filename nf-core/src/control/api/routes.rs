//! Every route of the API, in one table.

use serde::Serialize;

/// HTTP methods that routes use. Where there is GET, there is HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the words say it")]
pub enum Method {
    Get,
    Post,
    Put,
}

/// Through which door a route is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// The TCP address and the control socket.
    Both,
    /// The control socket only.
    Socket,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Index,
    Metrics,
    Health,
    Version,
    Chain,
    Ports,
    Drops,
    Cores,
    Memory,
    Config,
    Stage,
    Trace,
    Sched,
    Reload,
    Check,
    StageCommand,
    Push,
    Pull,
    PortUp,
    PortDown,
    TraceStart,
    TraceStop,
    Log,
}

/// One route.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path; `{name}` stands for any one segment.
    pub path: &'static str,
    /// Where it answers.
    pub door: Door,
    /// What it gives or does, in a few words.
    pub summary: &'static str,
    #[serde(skip)]
    pub(super) operation: Operation,
}

const fn get(path: &'static str, operation: Operation, summary: &'static str) -> Route {
    Route {
        method: Method::Get,
        path,
        door: Door::Both,
        summary,
        operation,
    }
}

const fn post(path: &'static str, operation: Operation, summary: &'static str) -> Route {
    Route {
        method: Method::Post,
        path,
        door: Door::Socket,
        summary,
        operation,
    }
}

/// All routes.
pub const ROUTES: &[Route] = &[
    get("/", Operation::Index, "this list"),
    get("/metrics", Operation::Metrics, "metrics for Prometheus"),
    get(
        "/healthz",
        Operation::Health,
        "200 when all is well, else 503, with the problems",
    ),
    get("/api/v1", Operation::Index, "this list"),
    get(
        "/api/v1/version",
        Operation::Version,
        "versions of Sluice and DPDK, name, uptime",
    ),
    get(
        "/api/v1/chain",
        Operation::Chain,
        "stages with their counts, costs and states",
    ),
    get(
        "/api/v1/ports",
        Operation::Ports,
        "ports with link, counts and device statistics",
    ),
    get(
        "/api/v1/drops",
        Operation::Drops,
        "dropped packets by stage or port and reason",
    ),
    get(
        "/api/v1/cores",
        Operation::Cores,
        "packet cores: busy share, polls, transit times",
    ),
    get(
        "/api/v1/memory",
        Operation::Memory,
        "packet pool and huge pages",
    ),
    get(
        "/api/v1/config",
        Operation::Config,
        "the configuration in force, secrets hidden",
    ),
    get("/api/v1/stages/{name}", Operation::Stage, "one stage"),
    get(
        "/api/v1/trace",
        Operation::Trace,
        "records of the running or last packet trace",
    ),
    get(
        "/api/v1/sched",
        Operation::Sched,
        "where each stage's shards run, what they cost, and what was moved why",
    ),
    post(
        "/api/v1/reload",
        Operation::Reload,
        "take over the configuration file, or the body",
    ),
    post(
        "/api/v1/check",
        Operation::Check,
        "what is wrong with the configuration in the body",
    ),
    post(
        "/api/v1/stages/{name}/{verb}",
        Operation::StageCommand,
        "a command of a stage",
    ),
    post(
        "/api/v1/sched/{name}/push",
        Operation::Push,
        "move an actor to a worker core: `{\"worker\": 0}`, or the least busy one",
    ),
    post(
        "/api/v1/sched/{name}/pull",
        Operation::Pull,
        "move an actor back to the packet cores",
    ),
    post(
        "/api/v1/ports/{name}/up",
        Operation::PortUp,
        "take a port into use",
    ),
    post(
        "/api/v1/ports/{name}/down",
        Operation::PortDown,
        "take a port out of use",
    ),
    post(
        "/api/v1/trace/start",
        Operation::TraceStart,
        "trace the next packets",
    ),
    post("/api/v1/trace/stop", Operation::TraceStop, "end the trace"),
    Route {
        method: Method::Put,
        path: "/api/v1/log",
        door: Door::Socket,
        summary: "change the level of the log",
        operation: Operation::Log,
    },
];
