//! The command line of the RPC workloads' other sides, `pktgen serve` and `pktgen laedge`, and what they
//! share with `pktgen rpc`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use workload::service::Jitter;

use super::texts::cores;
use crate::units::Time;

/// Where datagrams come and go.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Transport")]
pub struct PlaceArgs {
    /// A DPDK port, as KIND:WHAT, instead of the kernel's sockets.
    #[arg(long, value_name = "DEVICE")]
    pub port: Option<String>,
    /// Send through this router; its MAC address is asked for. Without one, every address is asked for.
    #[arg(
        long,
        value_name = "ADDRESS",
        requires = "port",
        conflicts_with = "next_hop"
    )]
    pub gateway: Option<IpAddr>,
    /// Send everything to this MAC address.
    #[arg(long, value_name = "MAC", requires = "port")]
    pub next_hop: Option<String>,
    /// Processor that runs the DPDK port.
    #[arg(long, value_name = "CPU", value_parser = cores, requires = "port")]
    pub core: Option<u16>,
    /// Memory for DPDK, MiB.
    #[arg(long, value_name = "MIB", requires = "port")]
    pub memory: Option<u32>,
}

/// How long requests take.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Workload")]
pub struct ServiceArgs {
    /// Service times: const(10us), exp(25us), bimodal(90%:25us,10%:250us), lognormal(median=10us,p99=1ms),
    /// quantiles(...), or a preset; see `pktgen presets`.
    #[arg(long, value_name = "DISTRIBUTION", default_value = "exp(25us)")]
    pub service_time: String,
    /// Of how many requests the time is multiplied by how much: SHARExFACTOR, or none.
    #[arg(long, value_name = "JITTER", default_value = "1%x15")]
    pub jitter: Jitter,
    /// Divide all service times by this.
    #[arg(long, value_name = "DIVISOR", default_value_t = 1.0)]
    pub time_scale: f64,
    /// Workers of each server; a list for servers that differ: 15,15,15,8,8,8.
    #[arg(
        long,
        value_name = "COUNTS",
        value_delimiter = ',',
        default_value = "15"
    )]
    pub workers: Vec<u32>,
}

/// `pktgen serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// A JSON file with these flags. Flags given here override it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Who answers.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// What they do.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Share of the requests that fail, or fleet for 1.9 % as in the study.
    #[arg(
        long,
        value_name = "SHARE",
        default_value = "0%",
        help_heading = "Workload"
    )]
    pub errors: String,
    /// Seed of the service times.
    #[arg(long, help_heading = "Workload")]
    pub seed: Option<u64>,
    /// Where the datagrams go.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// End after this time; else at Ctrl-C.
    #[arg(short, long, value_name = "TIME")]
    pub duration: Option<Time>,
    /// How to tell.
    #[command(flatten)]
    pub output: ResultArgs,
}

/// The servers of `pktgen serve`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Servers")]
pub struct FleetArgs {
    /// One server at each of these addresses: 10.0.1.101+6.
    #[arg(long, value_name = "ADDRESSES")]
    pub servers: Option<String>,
    /// UDP ports of each: that of NetClone, and the one that the appliance only routes.
    #[arg(
        long,
        value_name = "PORTS",
        value_delimiter = ',',
        default_value = "9043,9044"
    )]
    pub udp_ports: Vec<u16>,
    /// The first server's number at the appliance; the others follow.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub first_sid: u16,
    /// Requests that may wait at each.
    #[arg(long, value_name = "COUNT", default_value_t = 65_536)]
    pub queue: usize,
    /// Never drop a clone (ablation M8).
    #[arg(long)]
    pub no_drop: bool,
    /// Real threads that work all the service time, instead of virtual ones. Each server has one UDP port
    /// then.
    #[arg(long, conflicts_with = "port")]
    pub workers_spin: bool,
    /// Make a server ill, or well again: TIME:SERVER:HEALTH with up, drain, kill, hang, slow:FACTOR,
    /// drop:SHARE; again for more: 5s:0:kill, 12s:0:up. Servers count from 0.
    #[arg(long, value_name = "EVENT")]
    pub event: Vec<String>,
}

/// How `serve` and `laedge` tell what there was.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct ResultArgs {
    /// Print one JSON object at the end, and nothing else on standard output.
    #[arg(long)]
    pub json: bool,
    /// No progress.
    #[arg(short, long)]
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
    /// How to tell.
    #[command(flatten)]
    pub output: ResultArgs,
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
