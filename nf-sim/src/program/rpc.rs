//! The clients, servers and coordinator of RPC workloads, as the load generator runs them too.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use nf_core::check::{JsonPath, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use workload::arrival::Arrival;
use workload::distribution::{Distribution, Unit};
use workload::emulator::{Emulator, ServerConfig};
use workload::laedge::{Laedge, LaedgeConfig};
use workload::rpc::{Appliance, Client, ClientConfig, Retry};
use workload::scheme::{Cluster, Scheme};
use workload::service::{DrawMode, Jitter, ServiceTime};

use super::{Kind, Program, ProgramContext, first_address};

/// The port of NetClone's messages, where the appliance decides.
pub const CLONE_PORT: u16 = nf_clone::wire::DEFAULT_PORT;

/// The port of the same messages where the appliance only forwards.
pub const PLAIN_PORT: u16 = 9044;

/// The first source port of a client.
const FIRST_SOURCE: u16 = 20_000;

/// Service times in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSettings {
    /// Of the work itself: `exp(25us)`, `bimodal(90%:25us,10%:250us)`, a preset's name.
    pub time: String,
    /// Of everything else, `SHARExFACTOR` such as `1%x15`, or `none`.
    #[serde(default = "no_jitter")]
    pub jitter: String,
}

fn no_jitter() -> String {
    "none".into()
}

impl ServiceSettings {
    /// Reads them.
    pub fn read(&self) -> Result<ServiceTime, String> {
        let time = Distribution::parse(&self.time, Unit::Time)?;
        Ok(ServiceTime::new(time, self.jitter.parse::<Jitter>()?))
    }

    fn check(&self, path: &JsonPath, problems: &mut Problems) {
        if let Err(why) = Distribution::parse(&self.time, Unit::Time) {
            problems.error(&path.key("time"), why);
        }
        words::<Jitter>(&self.jitter, &path.key("jitter"), problems);
    }
}

/// A setting in words must be readable as a `T`.
fn words<T: FromStr<Err = String>>(text: &str, path: &JsonPath, problems: &mut Problems) {
    if let Err(why) = text.parse::<T>() {
        problems.error(path, why);
    }
}

/// An emulated server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Its number, as the appliance knows it.
    pub sid: u16,
    /// How long requests take.
    pub service: ServiceSettings,
    /// Requests that it works on at a time.
    #[serde(default = "default_workers")]
    #[schemars(range(min = 1, max = 65536))]
    pub workers: u32,
    /// Requests that may wait.
    #[serde(default = "default_queue")]
    pub queue: usize,
    /// Whether clones that find others waiting are dropped.
    #[serde(default = "yes")]
    pub drop_clones: bool,
}

fn default_workers() -> u32 {
    15
}

fn default_queue() -> usize {
    65_536
}

fn yes() -> bool {
    true
}

/// A client that sends requests and measures how long the answers take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// The scheme, by name or short name: `baseline`, `netclone`, `M1`.
    pub scheme: String,
    /// The service's address and port, which the appliance owns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_address: Option<SocketAddr>,
    /// The coordinator's address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<SocketAddr>,
    /// The servers' own addresses and ports, in the order of their numbers.
    pub servers: Vec<SocketAddr>,
    /// Requests a second.
    #[schemars(range(min = 0.001, max = 1e9))]
    pub rate: f64,
    /// How they follow one another: `poisson`, `constant`, `burst:32`, `on-off:1ms/10%`, `closed:16`.
    #[serde(default = "poisson")]
    pub arrival: String,
    /// When it begins, microseconds of its clock.
    #[serde(default)]
    pub start_us: u64,
    /// How long it sends before it measures, microseconds.
    #[serde(default)]
    pub warm_up_us: u64,
    /// How long it measures, microseconds.
    pub measure_us: u64,
    /// How long it waits at the end for answers under way, microseconds.
    #[serde(default = "default_settle")]
    pub settle_us: u64,
    /// Service times, where the client draws them for its requests; else each server draws for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_bound: Option<ServiceSettings>,
    /// A mixture of service times of which the client says which part a request is; the servers, which have the
    /// same mixture, draw how long that takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_bound: Option<ServiceSettings>,
    /// Payload bytes of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_bytes: Option<String>,
    /// Payload bytes of responses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<String>,
    /// The share of the requests that are writes, which are never cloned.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub writes: f64,
    /// After how many microseconds a request is sent again for the first time; 0: never.
    #[serde(default)]
    pub timeout_us: u64,
    /// How often it is sent again at most.
    #[serde(default)]
    pub retries: u32,
    /// After how many microseconds scheme `hedge` asks a second server.
    #[serde(default = "default_hedge")]
    pub hedge_after_us: u64,
    /// Groups of the appliance; 0: each ordered pair of servers.
    #[serde(default)]
    pub groups: u32,
    /// Filter tables of the appliance.
    #[serde(default = "default_tables")]
    #[schemars(range(min = 1, max = 16))]
    pub tables: u8,
    /// Source ports, used in turn.
    #[serde(default = "default_ports")]
    #[schemars(range(min = 1, max = 40000))]
    pub source_ports: u16,
    /// The last 2^n requests are remembered, and at most as many can be under way.
    #[serde(default = "default_window")]
    #[schemars(range(min = 1, max = 24))]
    pub window_log2: u8,
}

fn poisson() -> String {
    "poisson".into()
}

fn default_settle() -> u64 {
    100_000
}

fn default_hedge() -> u64 {
    1_000
}

fn default_tables() -> u8 {
    2
}

fn default_ports() -> u16 {
    workload::rpc::SOURCE_PORTS
}

fn default_window() -> u8 {
    20
}

/// LÆDGE's coordinator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LaedgeSettings {
    /// The servers' addresses and ports.
    pub servers: Vec<SocketAddr>,
    /// Requests that a server has at a time.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 65536))]
    pub slots_per_server: u32,
    /// Requests that may wait.
    #[serde(default = "default_queue")]
    pub queue: usize,
    /// Microseconds after which a slot without an answer is free again.
    #[serde(default = "default_slot_timeout")]
    pub slot_timeout_us: u64,
}

fn one() -> u32 {
    1
}

fn default_slot_timeout() -> u64 {
    1_000_000
}

impl ClientSettings {
    fn check(&self, path: &JsonPath, problems: &mut Problems) {
        words::<Scheme>(&self.scheme, &path.key("scheme"), problems);
        words::<Arrival>(&self.arrival, &path.key("arrival"), problems);
        for (key, service) in [
            ("request_bound", &self.request_bound),
            ("kind_bound", &self.kind_bound),
        ] {
            if let Some(service) = service {
                service.check(&path.key(key), problems);
            }
        }
        if self.request_bound.is_some() && self.kind_bound.is_some() {
            let both = "a time that came with the request leaves nothing to draw for its kind";
            problems.error(&path.key("kind_bound"), both);
        }
        for (key, text) in [
            ("request_bytes", &self.request_bytes),
            ("response_bytes", &self.response_bytes),
        ] {
            if let Some(text) = text
                && let Err(why) = Distribution::parse(text, Unit::Bytes)
            {
                problems.error(&path.key(key), why);
            }
        }
        if let Ok(scheme) = self.scheme.parse::<Scheme>()
            && let Err(why) = self.cluster().targets(scheme)
        {
            problems.error(path, why);
        }
    }

    fn cluster(&self) -> Cluster {
        Cluster {
            service: self.service_address,
            coordinator: self.coordinator,
            servers: self.servers.clone(),
        }
    }

    /// The client's configuration.
    fn config(&self, context: &ProgramContext<'_>) -> Result<ClientConfig, String> {
        let address = first_address(context)?;
        let (draw, service) = match (&self.request_bound, &self.kind_bound) {
            (Some(service), _) => (DrawMode::RequestBound, service.read()?),
            (None, Some(service)) => (DrawMode::KindBound, service.read()?),
            (None, None) => (
                DrawMode::Independent,
                ServiceTime::new(Distribution::Constant(1_000.0), Jitter::NONE),
            ),
        };
        let mut config =
            ClientConfig::new(self.scheme.parse()?, self.cluster(), service, self.rate);
        let bytes = |text: &Option<String>, default: Distribution| match text {
            Some(text) => Distribution::parse(text, Unit::Bytes),
            None => Ok(default),
        };
        config.draw = draw;
        config.seed = context.seed;
        // Another one in each life, as of a program that draws it when it starts.
        config.client_id = (context.seed >> 32) as u32 | 1;
        config.sources = (0..self.source_ports)
            .map(|port| SocketAddr::new(address, FIRST_SOURCE.saturating_add(port)))
            .collect();
        config.appliance = Appliance {
            groups: match self.groups {
                0 => config.appliance.groups,
                groups => groups,
            },
            tables: self.tables,
        };
        config.arrival = self.arrival.parse()?;
        config.start = self.start_us.saturating_mul(1_000);
        config.warm_up_ns = self.warm_up_us.saturating_mul(1_000);
        config.duration_ns = self.measure_us.saturating_mul(1_000);
        config.settle_ns = self.settle_us.saturating_mul(1_000);
        config.request_bytes = bytes(&self.request_bytes, config.request_bytes)?;
        config.response_bytes = bytes(&self.response_bytes, config.response_bytes)?;
        config.writes = self.writes;
        config.retry = (self.timeout_us > 0).then_some(Retry {
            timeout: Duration::from_micros(self.timeout_us),
            retries: self.retries,
        });
        config.hedge_after_ns = self.hedge_after_us.saturating_mul(1_000);
        config.window_log2 = self.window_log2;
        Ok(config)
    }
}

pub(super) fn client() -> Kind<ClientSettings> {
    Kind {
        name: "rpc_client",
        summary: "sends requests in one of the compared schemes and measures how long the answers take",
        check: ClientSettings::check,
        build: |settings, context| Ok(Box::new(Client::new(settings.config(context)?)?)),
    }
}

pub(super) fn server() -> Kind<ServerSettings> {
    Kind {
        name: "rpc_server",
        summary: "an emulated server with many workers",
        check: |settings, path, problems| settings.service.check(&path.key("service"), problems),
        build: |settings, context| {
            let address = first_address(context)?;
            let addresses = [CLONE_PORT, PLAIN_PORT].map(|port| SocketAddr::new(address, port));
            let mut config =
                ServerConfig::new(settings.sid, addresses.to_vec(), settings.service.read()?);
            config.workers = settings.workers;
            config.queue = settings.queue;
            config.drop_clones = settings.drop_clones;
            Ok(Box::new(Emulator::new(vec![config], context.seed)?))
        },
    }
}

pub(super) fn laedge() -> Kind<LaedgeSettings> {
    Kind {
        name: "laedge",
        summary: "LÆDGE's coordinator, which asks two servers when two are idle",
        check: |_, _, _| {},
        build: |settings, context| {
            let address = SocketAddr::new(first_address(context)?, PLAIN_PORT);
            let mut config = LaedgeConfig::new(address, settings.servers);
            config.slots_per_server = settings.slots_per_server;
            config.queue = settings.queue;
            config.slot_timeout_ns = settings.slot_timeout_us.saturating_mul(1_000);
            config.seed = context.seed;
            Ok(Box::new(Laedge::new(config)?))
        },
    }
}

fn told(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

impl Program for Client {
    fn results(&self) -> Value {
        told(&self.measured().summary())
    }
}

impl Program for Emulator {
    fn results(&self) -> Value {
        told(&self.total())
    }
}

impl Program for Laedge {
    fn results(&self) -> Value {
        json!({ "counters": told(&self.counters()), "waiting": self.waiting() })
    }
}
