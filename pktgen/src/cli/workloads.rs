//! The command line of the RPC workloads: `pktgen rpc`, `pktgen serve`, `pktgen laedge`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use workload::Scheme;
use workload::arrival::Arrival;
use workload::service::{DrawMode, Jitter};

use super::OutputArgs;
use super::texts::cores;
use crate::units::Time;

/// Where datagrams come and go.
#[derive(Debug, Clone, Default, Args)]
pub struct PlaceArgs {
    /// A DPDK port, as KIND:WHAT, instead of the kernel's sockets.
    #[arg(long, value_name = "DEVICE", help_heading = "Transport")]
    pub port: Option<String>,
    /// Send through this router; its MAC address is asked for. Without one, every address is asked for.
    #[arg(
        long,
        value_name = "ADDRESS",
        requires = "port",
        conflicts_with = "next_hop",
        help_heading = "Transport"
    )]
    pub gateway: Option<IpAddr>,
    /// Send everything to this MAC address.
    #[arg(
        long,
        value_name = "MAC",
        requires = "port",
        help_heading = "Transport"
    )]
    pub next_hop: Option<String>,
    /// Processor that runs the DPDK port.
    #[arg(long, value_name = "CPU", value_parser = cores, requires = "port", help_heading = "Transport")]
    pub core: Option<u16>,
    /// Memory for DPDK, MiB.
    #[arg(
        long,
        value_name = "MIB",
        requires = "port",
        help_heading = "Transport"
    )]
    pub memory: Option<u32>,
}

/// How long requests take.
#[derive(Debug, Clone, Default, Args)]
pub struct ServiceArgs {
    /// Service times: const(10us), exp(25us), bimodal(90%:25us,10%:250us), lognormal(median=10us,p99=1ms),
    /// quantiles(...), or a preset; see `pktgen presets`.
    #[arg(
        long,
        value_name = "DISTRIBUTION",
        default_value = "exp(25us)",
        help_heading = "Workload"
    )]
    pub service_time: String,
    /// Of how many requests the time is multiplied by how much: SHARExFACTOR, or none.
    #[arg(
        long,
        value_name = "JITTER",
        default_value = "1%x15",
        help_heading = "Workload"
    )]
    pub jitter: Jitter,
    /// Divide all service times by this.
    #[arg(
        long,
        value_name = "DIVISOR",
        default_value_t = 1.0,
        help_heading = "Workload"
    )]
    pub time_scale: f64,
    /// Workers of each server; a list for servers that differ: 15,15,15,8,8,8.
    #[arg(
        long,
        value_name = "COUNTS",
        value_delimiter = ',',
        default_value = "15",
        help_heading = "Workload"
    )]
    pub workers: Vec<u32>,
}

/// `pktgen rpc`.
#[derive(Debug, Clone, Args)]
pub struct RpcArgs {
    /// A JSON file with these flags: {"scheme": ["baseline", "netclone"], "duration": "10s"}. Flags given here
    /// override it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Schemes to compare, by name or as M0 to M9, H: baseline, c-clone, laedge, racksched, netclone,
    /// netclone+racksched, netclone-nofilter, always-clone, netclone-nodrop, netclone-percore, hedge.
    #[arg(
        long,
        value_name = "SCHEMES",
        value_delimiter = ',',
        default_value = "baseline",
        help_heading = "Schemes"
    )]
    pub scheme: Vec<Scheme>,
    /// Servers: addresses as 10.0.1.101+6, or ADDRESS:PORT separated by commas.
    #[arg(long, value_name = "ADDRESSES", help_heading = "Schemes")]
    pub servers: Option<String>,
    /// UDP port of servers and coordinator where none is given: the one that the appliance only routes.
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 9044,
        help_heading = "Schemes"
    )]
    pub direct_port: u16,
    /// The service's address at the appliance, ADDRESS or ADDRESS:PORT; port 9043 unless given.
    #[arg(long, value_name = "ADDRESS", help_heading = "Schemes")]
    pub vip: Option<String>,
    /// The LÆDGE coordinator's address.
    #[arg(long, value_name = "ADDRESS", help_heading = "Schemes")]
    pub coordinator: Option<String>,
    /// Groups of the appliance; n(n-1) for n servers unless given.
    #[arg(long, value_name = "COUNT", help_heading = "Schemes")]
    pub groups: Option<u32>,
    /// Filter tables of the appliance.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 2,
        help_heading = "Schemes"
    )]
    pub tables: u8,
    /// A shell command to run before each scheme, such as one that sets the appliance's policy; it finds the
    /// scheme's name in PKTGEN_SCHEME.
    #[arg(long, value_name = "COMMAND", help_heading = "Schemes")]
    pub prepare: Option<String>,
    /// `hedge`: ask another server after this time, or after a percentile of the latency so far.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "p95",
        help_heading = "Schemes"
    )]
    pub hedge_after: String,
    /// Requests a second, of all clients together: 100k, or several points 50k,100k,150k.
    #[arg(
        long,
        value_name = "RATES",
        value_delimiter = ',',
        conflicts_with = "load",
        help_heading = "Load"
    )]
    pub rate: Vec<String>,
    /// Load points as shares of the capacity: 50%, 10%,50%,90%, or sweep for 10% to 90% and 95%.
    #[arg(
        long,
        value_name = "SHARES",
        value_delimiter = ',',
        help_heading = "Load"
    )]
    pub load: Vec<String>,
    /// The servers' capacity in requests a second; `declared` computes it from --workers and
    /// --service-time, `measured` runs a closed loop first.
    #[arg(
        long,
        value_name = "RATE",
        default_value = "declared",
        help_heading = "Load"
    )]
    pub capacity: String,
    /// Search the best throughput with a 99th percentile of at most --objective, instead of running load
    /// points.
    #[arg(
        long,
        requires = "objective",
        conflicts_with = "load",
        help_heading = "Load"
    )]
    pub find_knee: bool,
    /// A bound on the 99th percentile of latency; the report tells each scheme's best throughput under it.
    #[arg(long, value_name = "TIME", help_heading = "Load")]
    pub objective: Option<Time>,
    /// How requests follow one another: poisson, constant, burst:REQUESTS, on-off:TIME/SHARE, or
    /// closed:REQUESTS under way of each client.
    #[arg(
        long,
        value_name = "ARRIVAL",
        default_value = "poisson",
        help_heading = "Load"
    )]
    pub arrival: Arrival,
    /// How long each load point is measured.
    #[arg(
        short,
        long,
        value_name = "TIME",
        default_value = "10s",
        help_heading = "Load"
    )]
    pub duration: Time,
    /// How long is sent before it is measured.
    #[arg(long, value_name = "TIME", default_value = "1s", help_heading = "Load")]
    pub warm_up: Time,
    /// How long is waited at the end for answers under way.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "500ms",
        help_heading = "Load"
    )]
    pub settle: Time,
    /// How often each load point is run.
    #[arg(long, value_name = "COUNT", default_value_t = 1, help_heading = "Load")]
    pub repetitions: u32,
    /// What servers and, for shares of a declared capacity, the clients go by.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Who draws the service times: independent (each server), or request-bound (the client).
    #[arg(
        long,
        value_name = "MODE",
        default_value = "independent",
        help_heading = "Workload"
    )]
    pub draw: DrawMode,
    /// Payload bytes of requests: a number, or a distribution such as fleet-size-small.
    #[arg(
        long,
        value_name = "DISTRIBUTION",
        default_value = "16",
        help_heading = "Workload"
    )]
    pub request_size: String,
    /// Payload bytes of responses.
    #[arg(
        long,
        value_name = "DISTRIBUTION",
        default_value = "24",
        help_heading = "Workload"
    )]
    pub response_size: String,
    /// Share of the requests that are writes, which are never cloned.
    #[arg(
        long,
        value_name = "SHARE",
        default_value = "0%",
        help_heading = "Workload"
    )]
    pub writes: String,
    /// Send a request again when no answer has come after this time.
    #[arg(long, value_name = "TIME", help_heading = "Clients")]
    pub timeout: Option<Time>,
    /// How often, each time after twice the wait.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 3,
        requires = "timeout",
        help_heading = "Clients"
    )]
    pub retries: u32,
    /// Clients, each on a thread of its own; they share the rate.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1,
        help_heading = "Clients"
    )]
    pub clients: u32,
    /// The clients' address; the kernel's choice unless given. With --port, the first client's, and the
    /// others' follow it.
    #[arg(long, value_name = "ADDRESS", help_heading = "Clients")]
    pub from: Option<IpAddr>,
    /// Source ports of each client.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = workload::rpc::SOURCE_PORTS,
        help_heading = "Clients"
    )]
    pub source_ports: u16,
    /// Where the datagrams go.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Seed of everything random; the one printed repeats the clients' part of a run.
    #[arg(long, help_heading = "Load")]
    pub seed: Option<u64>,
    /// How to tell.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Write the load points as comma-separated values.
    #[arg(long, value_name = "FILE.csv", help_heading = "Output")]
    pub csv: Option<PathBuf>,
    /// Write the plot of the 99th percentile.
    #[arg(long, value_name = "FILE.svg", help_heading = "Output")]
    pub svg: Option<PathBuf>,
    /// What the report is about.
    #[arg(long, value_name = "TEXT", help_heading = "Output")]
    pub title: Option<String>,
}

/// `pktgen serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// A JSON file with these flags. Flags given here override it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One server at each of these addresses: 10.0.1.101+6.
    #[arg(long, value_name = "ADDRESSES", help_heading = "Servers")]
    pub servers: Option<String>,
    /// UDP ports of each: that of NetClone, and the one that the appliance only routes.
    #[arg(
        long,
        value_name = "PORTS",
        value_delimiter = ',',
        default_value = "9043,9044",
        help_heading = "Servers"
    )]
    pub udp_ports: Vec<u16>,
    /// The first server's number at the appliance; the others follow.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        help_heading = "Servers"
    )]
    pub first_sid: u16,
    /// Requests that may wait at each.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 65_536,
        help_heading = "Servers"
    )]
    pub queue: usize,
    /// Never drop a clone (ablation M8).
    #[arg(long, help_heading = "Servers")]
    pub no_drop: bool,
    /// Real threads that work all the service time, instead of virtual ones. Each server has one UDP port
    /// then.
    #[arg(long, conflicts_with = "port", help_heading = "Servers")]
    pub workers_spin: bool,
    /// Make a server ill, or well again: TIME:SERVER:HEALTH with up, drain, kill, hang, slow:FACTOR,
    /// drop:SHARE; again for more: 5s:0:kill, 12s:0:up. Servers count from 0.
    #[arg(long, value_name = "EVENT", help_heading = "Servers")]
    pub event: Vec<String>,
    /// Share of the requests that fail, or fleet for 1.9 % as in the study.
    #[arg(
        long,
        value_name = "SHARE",
        default_value = "0%",
        help_heading = "Workload"
    )]
    pub errors: String,
    /// What they do.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Where the datagrams go.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Seed of the service times.
    #[arg(long, help_heading = "Workload")]
    pub seed: Option<u64>,
    /// End after this time; else at Ctrl-C.
    #[arg(short, long, value_name = "TIME")]
    pub duration: Option<Time>,
    /// Print one JSON object at the end, and nothing else on standard output.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// No progress.
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

/// `pktgen laedge`.
#[derive(Debug, Clone, Args)]
pub struct LaedgeArgs {
    /// A JSON file with these flags. Flags given here override it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients send to, and servers answer to: ADDRESS or ADDRESS:PORT; port 9044 unless given.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Servers: addresses as 10.0.1.101+6, or ADDRESS:PORT separated by commas; port 9044 unless given.
    #[arg(long, value_name = "ADDRESSES")]
    pub servers: Option<String>,
    /// Requests that a server has at a time: 1 as in the paper's program, the number of its workers to be
    /// fair.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub slots_per_server: u32,
    /// Requests that may wait.
    #[arg(long, value_name = "COUNT", default_value_t = 65_536)]
    pub queue: usize,
    /// A slot whose answer has not come after this time is free again.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub slot_timeout: Time,
    /// Where the datagrams go.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Seed of its choices.
    #[arg(long)]
    pub seed: Option<u64>,
    /// End after this time; else at Ctrl-C.
    #[arg(short, long, value_name = "TIME")]
    pub duration: Option<Time>,
    /// Print one JSON object at the end, and nothing else on standard output.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// No progress.
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

/// `pktgen presets`.
#[derive(Debug, Clone, Args)]
pub struct PresetsArgs {
    /// Draws from each preset.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
    pub samples: u32,
    /// Seed of the draws.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
