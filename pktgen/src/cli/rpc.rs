//! The command line of `pktgen rpc`, a group of flags to a struct.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use workload::Scheme;
use workload::arrival::Arrival;
use workload::service::DrawMode;

use super::OutputArgs;
use super::workloads::{PlaceArgs, ServiceArgs};
use crate::units::Time;

/// `pktgen rpc`.
#[derive(Debug, Clone, Args)]
pub struct RpcArgs {
    /// A JSON file with these flags: {"scheme": ["baseline", "netclone"], "duration": "10s"}. Flags given here
    /// override it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What is compared, and where it is.
    #[command(flatten)]
    pub schemes: SchemeArgs,
    /// How much is asked, when and how long.
    #[command(flatten)]
    pub load: LoadArgs,
    /// What servers and, for shares of a declared capacity, the clients go by.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// What requests are.
    #[command(flatten)]
    pub requests: RequestArgs,
    /// Who asks.
    #[command(flatten)]
    pub clients: ClientArgs,
    /// Where the datagrams go.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// How to tell.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What else to write.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// What is compared, and where it is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Schemes")]
pub struct SchemeArgs {
    /// Schemes to compare, by name or as M0 to M9, H: baseline, c-clone, laedge, racksched, netclone,
    /// netclone+racksched, netclone-nofilter, always-clone, netclone-nodrop, netclone-percore, hedge.
    #[arg(
        long,
        value_name = "SCHEMES",
        value_delimiter = ',',
        default_value = "baseline"
    )]
    pub scheme: Vec<Scheme>,
    /// Servers: addresses as 10.0.1.101+6, or ADDRESS:PORT separated by commas.
    #[arg(long, value_name = "ADDRESSES")]
    pub servers: Option<String>,
    /// UDP port of servers and coordinator where none is given: the one that the appliance only routes.
    #[arg(long, value_name = "PORT", default_value_t = 9044)]
    pub direct_port: u16,
    /// The service's address at the appliance, ADDRESS or ADDRESS:PORT; port 9043 unless given.
    #[arg(long, value_name = "ADDRESS")]
    pub vip: Option<String>,
    /// The LÆDGE coordinator's address.
    #[arg(long, value_name = "ADDRESS")]
    pub coordinator: Option<String>,
    /// Groups of the appliance; n(n-1) for n servers unless given.
    #[arg(long, value_name = "COUNT")]
    pub groups: Option<u32>,
    /// Filter tables of the appliance.
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub tables: u8,
    /// A shell command to run before each scheme, such as one that sets the appliance's policy; it finds the
    /// scheme's name in PKTGEN_SCHEME.
    #[arg(long, value_name = "COMMAND")]
    pub prepare: Option<String>,
    /// `hedge`: ask another server after this time, or after a percentile of the latency so far.
    #[arg(long, value_name = "TIME", default_value = "p95")]
    pub hedge_after: String,
}

/// How much is asked, when and how long.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Load")]
pub struct LoadArgs {
    /// Requests a second, of all clients together: 100k, or several points 50k,100k,150k.
    #[arg(
        long,
        value_name = "RATES",
        value_delimiter = ',',
        conflicts_with = "load"
    )]
    pub rate: Vec<String>,
    /// Load points as shares of the capacity: 50%, 10%,50%,90%, or sweep for 10% to 90% and 95%.
    #[arg(long, value_name = "SHARES", value_delimiter = ',')]
    pub load: Vec<String>,
    /// The servers' capacity in requests a second; `declared` computes it from --workers and
    /// --service-time, `measured` runs a closed loop first.
    #[arg(long, value_name = "RATE", default_value = "declared")]
    pub capacity: String,
    /// Search the best throughput with a 99th percentile of at most --objective, instead of running load
    /// points.
    #[arg(long, requires = "objective", conflicts_with = "load")]
    pub find_knee: bool,
    /// A bound on the 99th percentile of latency; the report tells each scheme's best throughput under it.
    #[arg(long, value_name = "TIME")]
    pub objective: Option<Time>,
    /// How requests follow one another: poisson, constant, burst:REQUESTS, on-off:TIME/SHARE, or
    /// closed:REQUESTS under way of each client.
    #[arg(long, value_name = "ARRIVAL", default_value = "poisson")]
    pub arrival: Arrival,
    /// How long each load point is measured.
    #[arg(short, long, value_name = "TIME", default_value = "10s")]
    pub duration: Time,
    /// How long is sent before it is measured.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub warm_up: Time,
    /// How long is waited at the end for answers under way.
    #[arg(long, value_name = "TIME", default_value = "500ms")]
    pub settle: Time,
    /// How often each load point is run.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub repetitions: u32,
    /// Seed of everything random; the one printed repeats the clients' part of a run.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// What requests are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Workload")]
pub struct RequestArgs {
    /// Who draws the service times: independent (each server), request-bound (the client), or kind-bound
    /// (the client says which part of a mixture, each server draws how long that takes).
    #[arg(long, value_name = "MODE", default_value = "independent")]
    pub draw: DrawMode,
    /// Payload bytes of requests: a number, or a distribution such as fleet-size-small.
    #[arg(long, value_name = "DISTRIBUTION", default_value = "16")]
    pub request_size: String,
    /// Payload bytes of responses.
    #[arg(long, value_name = "DISTRIBUTION", default_value = "24")]
    pub response_size: String,
    /// Share of the requests that are writes, which are never cloned.
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    pub writes: String,
}

/// Who asks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Clients")]
pub struct ClientArgs {
    /// Send a request again when no answer has come after this time.
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<Time>,
    /// How often, each time after twice the wait.
    #[arg(long, value_name = "COUNT", default_value_t = 3, requires = "timeout")]
    pub retries: u32,
    /// Clients, each on a thread of its own; they share the rate.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub clients: u32,
    /// The clients' address; the kernel's choice unless given. With --port, the first client's, and the
    /// others' follow it.
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<IpAddr>,
    /// Source ports of each client.
    #[arg(long, value_name = "COUNT", default_value_t = workload::rpc::SOURCE_PORTS)]
    pub source_ports: u16,
}

/// What else to write.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct ReportArgs {
    /// Write the load points as comma-separated values.
    #[arg(long, value_name = "FILE.csv")]
    pub csv: Option<PathBuf>,
    /// Write the plot of the 99th percentile.
    #[arg(long, value_name = "FILE.svg")]
    pub svg: Option<PathBuf>,
    /// What the report is about.
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
}
