//! The command line: what can be asked for, and the help that teaches it.

pub mod file;
mod flags;
mod manual;
mod rpc;
#[cfg(test)]
mod tests;
mod texts;
mod workloads;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::profile::Spacing;
use crate::profile::values::{Mac, Port, VlanId};
use crate::units::{Rate, Time};
use texts::{address, cores, ramp, size, spacing, values};

pub use flags::{port_configs, profile, told};
pub use manual::manual;
pub use rpc::RpcArgs;
pub use texts::spacing_text;
pub use workloads::{LaedgeArgs, PlaceArgs, PresetsArgs, ServeArgs, ServiceArgs};

/// Sends packets at exact times, follows what becomes of them, and says honestly how well it did so.
#[derive(Debug, Parser)]
#[command(
    name = "pktgen",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "First steps:
  pktgen run --self-test                         a second of your own machine, no ports needed
  pktgen run --port tap:pg0 --rate 100kpps       onto a TAP interface that appears for the run
  pktgen run profile.json --report run.html      a profile, and a page with plots
  pktgen rfc2544 profile.json                    throughput, latency, loss, back-to-back
  pktgen serve --servers 127.0.1.101+6           six servers of 15 workers, emulated
  pktgen rpc --servers 127.0.1.101+6 --rate 50k  requests to them, and their latency

Profiles and every field of the output are described in docs/pktgen.md."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Say more on standard error; twice for DPDK's own words too.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

/// What pktgen can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send what a profile, or the flags, describe, and report what came back.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Turn packets around: the far end for a generator, answering ARP and ping on the way.
    #[command(after_help = "Examples:
  pktgen echo --port af_packet:veth1
  pktgen echo --port memif:/run/sluice/m.sock --address 198.19.0.1")]
    Echo(EchoArgs),
    /// Measure throughput, latency, frame loss and back-to-back frames as RFC 2544 describes.
    #[command(after_help = "Examples:
  pktgen rfc2544 --port memif:/run/a.sock --port memif:/run/b.sock
  pktgen rfc2544 profile.json --sizes 64,512,1518 --trial 2s --report table.html

The trial times are shorter than the RFC's (60 s and more) so that a first answer comes in minutes;
for a measurement by the letter use --trial 60s --latency-trial 120s --bursts 50 --burst-time 2s.")]
    Rfc2544(RfcArgs),
    /// Send requests in one or several schemes, and report throughput and latency.
    #[command(after_help = RPC_EXAMPLES)]
    Rpc(RpcArgs),
    /// Emulate servers: many workers on one core, whose work takes drawn times.
    #[command(after_help = "Examples:
  pktgen serve --servers 127.0.1.101+6
  pktgen serve --servers 10.0.1.101+6 --workers 15,15,15,8,8,8 --service-time 'bimodal(90%:25us,10%:250us)'
  pktgen serve --servers 10.0.1.101+6 --event 5s:0:kill --event 12s:0:up")]
    Serve(ServeArgs),
    /// Coordinate as LÆDGE does: ask two servers while two are idle.
    #[command(after_help = "Examples:
  pktgen laedge --listen 127.0.2.1 --servers 127.0.1.101+5
  pktgen laedge --listen 10.0.0.50 --servers 10.0.1.101+5 --slots-per-server 15")]
    Laedge(LaedgeArgs),
    /// List the presets of workloads, with what they draw against what was published.
    Presets(PresetsArgs),
    /// Check a profile without starting anything; every mistake is told at once.
    Check {
        /// The profile.
        profile: PathBuf,
    },
    /// Print the JSON schema of profiles, for editors.
    Schema,
    /// Print completions for a shell: `pktgen completions bash > /etc/bash_completion.d/pktgen`.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page: `pktgen man | man -l -`.
    Man,
}

impl Command {
    /// The command's name and the file that it takes flags from, if it does.
    fn file(&self) -> Option<(&'static str, &Path)> {
        match self {
            Command::Rpc(args) => Some(("rpc", args.config.as_deref()?)),
            Command::Serve(args) => Some(("serve", args.config.as_deref()?)),
            Command::Laedge(args) => Some(("laedge", args.config.as_deref()?)),
            _ => None,
        }
    }
}

const RPC_EXAMPLES: &str = "Examples (servers: pktgen serve --servers 127.0.1.101+6):
  pktgen rpc --servers 127.0.1.101+6 --rate 50k
  pktgen rpc --servers 127.0.1.101+6 --scheme baseline,c-clone --load 10%,30%,50% --report rpc.html
  pktgen rpc --servers 10.0.1.101+6 --vip 10.0.0.100 --scheme baseline,netclone --load sweep \\
    --repetitions 10 --objective 200us
  pktgen rpc --servers 10.0.1.101+6 --capacity measured --find-knee --objective 500us
  pktgen rpc --config rpc.json --scheme M4 --json

Rates:     50k  1.5M  100000                      (requests a second)
Times:     25us  1ms  10s
Arrivals:  poisson  constant  burst:32  on-off:1ms/10%  closed:64";

const RUN_EXAMPLES: &str = "Rates:     1Mpps  10kpps  1Gbit/s (frames)  1Gbit/s L1 (with preamble and gap)  40%  max
Sizes:     64  64,512,1518  64-1518  imix          (with the 4-byte check sequence, as RFC 2544)
Values:    10.0.0.1  10.0.0.1-10.0.0.254  10.0.0.1+1000  10.0.0.1,10.0.0.9  (also ports, MACs, VLANs)
Devices:   tap:NAME  memif:SOCKET[#ID]  memif-server:SOCKET[#ID]  af_packet:NAME  af_xdp:NAME
           pci:ADDRESS  pcap:FROM,TO  ring  null

Examples:
  pktgen run --self-test --rate 2Mpps --duration 5s
  pktgen run --port memif:/run/a.sock --port memif:/run/b.sock --rate 1Mpps --spacing poisson
  pktgen run --port af_packet:veth0 --src 10.0.0.10+250 --dst 10.0.1.1 --gateway 10.0.0.1 --size imix
  pktgen run --port pci:0000:01:00.0 --rate 100% --size 64 --src-port 1024+10000 --report run.html
  pktgen run --port tap:pg0 --replay web.pcap --loop --speed 2 --duration 1min
  pktgen run profile.json --rate 2Mpps --json    (flags override the profile, in every stream)";

/// Which transport header the flags give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP, without a connection behind it.
    Tcp,
    /// ICMP or ICMPv6 echo requests.
    Icmp,
}

/// What to send, and where. Flags override the profile.
#[derive(Debug, Clone, Default, Args)]
pub struct TrafficArgs {
    /// A profile; see `configs/pktgen` for some and docs/pktgen.md for all of it.
    pub profile: Option<PathBuf>,
    /// Two ring ports of this process, wired to each other, instead of real ones.
    #[arg(long, conflicts_with = "port")]
    pub self_test: bool,
    /// A port, as KIND:WHAT or NAME=KIND:WHAT; again for more. The first one sends, all receive. Replaces
    /// the profile's ports.
    #[arg(long, value_name = "DEVICE", help_heading = "Ports and processors")]
    pub port: Vec<String>,
    /// Processors that send, separated by commas.
    #[arg(long, value_name = "CPUS", value_delimiter = ',', value_parser = cores,
          help_heading = "Ports and processors")]
    pub tx_cores: Vec<u16>,
    /// Processors that receive; one that also sends does both in turn.
    #[arg(long, value_name = "CPUS", value_delimiter = ',', value_parser = cores,
          help_heading = "Ports and processors")]
    pub rx_cores: Vec<u16>,
    /// Memory for DPDK, MiB.
    #[arg(long, value_name = "MIB", help_heading = "Ports and processors")]
    pub memory: Option<u32>,
    /// Source MAC addresses.
    #[arg(long, value_parser = values::<Mac>, value_name = "MACS", help_heading = "Packets")]
    pub src_mac: Option<String>,
    /// Destination MAC addresses.
    #[arg(long, value_parser = values::<Mac>, value_name = "MACS", help_heading = "Packets")]
    pub dst_mac: Option<String>,
    /// VLAN identifiers of a tag; again for an inner tag.
    #[arg(long, value_parser = values::<VlanId>, value_name = "IDS", help_heading = "Packets")]
    pub vlan: Vec<String>,
    /// Source addresses, IPv4 or IPv6.
    #[arg(long, value_parser = address, value_name = "ADDRESSES", help_heading = "Packets")]
    pub src: Option<String>,
    /// Destination addresses.
    #[arg(long, value_parser = address, value_name = "ADDRESSES", help_heading = "Packets")]
    pub dst: Option<String>,
    /// Transport header.
    #[arg(long, value_name = "PROTOCOL", help_heading = "Packets")]
    pub protocol: Option<Protocol>,
    /// Source ports.
    #[arg(long, value_parser = values::<Port>, value_name = "PORTS", help_heading = "Packets")]
    pub src_port: Option<String>,
    /// Destination ports.
    #[arg(long, value_parser = values::<Port>, value_name = "PORTS", help_heading = "Packets")]
    pub dst_port: Option<String>,
    /// Frame sizes, with the check sequence.
    #[arg(long, value_parser = size, value_name = "BYTES", help_heading = "Packets")]
    pub size: Option<String>,
    /// How many flows, of those that the ranges give.
    #[arg(long, value_name = "FLOWS", help_heading = "Packets")]
    pub flows: Option<u64>,
    /// Ask this router for its MAC address, and send through it.
    #[arg(long, value_name = "ADDRESS", help_heading = "Packets")]
    pub gateway: Option<std::net::IpAddr>,
    /// Frames of a capture file instead, at their recorded times.
    #[arg(long, value_name = "FILE", help_heading = "Packets")]
    pub replay: Option<PathBuf>,
    /// Speed of the replay; 2 is twice as fast.
    #[arg(
        long,
        value_name = "FACTOR",
        requires = "replay",
        help_heading = "Packets"
    )]
    pub speed: Option<f64>,
    /// Start the replay again at its end.
    #[arg(long = "loop", requires = "replay", help_heading = "Packets")]
    pub repeat: bool,
    /// How fast.
    #[arg(long, value_name = "RATE", help_heading = "Timing")]
    pub rate: Option<Rate>,
    /// How the packets are spaced: constant, poisson or burst:PACKETS.
    #[arg(long, value_parser = spacing, value_name = "SPACING", help_heading = "Timing")]
    pub spacing: Option<Spacing>,
    /// Start at a rate and reach --rate after a time, such as 10kpps,5s.
    #[arg(long, value_parser = ramp, value_name = "RATE,TIME", help_heading = "Timing")]
    pub ramp: Option<String>,
    /// How long to send; 10s unless --count is given.
    #[arg(short, long, value_name = "TIME", help_heading = "Timing")]
    pub duration: Option<Time>,
    /// How many packets to send in all.
    #[arg(short = 'n', long, value_name = "PACKETS", help_heading = "Timing")]
    pub count: Option<u64>,
    /// Seed of everything random; the one printed repeats a run.
    #[arg(long, help_heading = "Timing")]
    pub seed: Option<u64>,
    /// Do not verify checksums of received packets.
    #[arg(long, help_heading = "Receiving")]
    pub no_verify: bool,
    /// How long to wait for packets under way at the end.
    #[arg(long, value_name = "TIME", help_heading = "Receiving")]
    pub settle: Option<Time>,
}

/// How to tell the results.
#[derive(Debug, Clone, Default, Args)]
pub struct OutputArgs {
    /// Print one JSON object at the end, and nothing else on standard output.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Write a self-contained page with plots.
    #[arg(long, value_name = "FILE.html", help_heading = "Output")]
    pub report: Option<PathBuf>,
    /// No progress.
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

/// `pktgen run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What to send.
    #[command(flatten)]
    pub traffic: TrafficArgs,
    /// How to tell.
    #[command(flatten)]
    pub output: OutputArgs,
    /// End with status 3 if a larger share of packets is lost; 0 for any loss.
    #[arg(long, value_name = "RATIO", help_heading = "Receiving")]
    pub max_loss: Option<f64>,
    /// Write when each packet left: 64-bit little-endian numbers, nanoseconds since the start.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub departures: Option<PathBuf>,
    /// Of how many packets, the first ones; each takes 8 bytes of memory on every core that sends.
    #[arg(long, value_name = "PACKETS", default_value_t = 1_000_000, requires = "departures",
          value_parser = clap::value_parser!(u32).range(1..=100_000_000), help_heading = "Output")]
    pub departures_count: u32,
}

/// `pktgen echo`.
#[derive(Debug, Args)]
pub struct EchoArgs {
    /// A profile, of which the ports and cores count.
    pub profile: Option<PathBuf>,
    /// A port, as KIND:WHAT or NAME=KIND:WHAT; again for more.
    #[arg(long, value_name = "DEVICE")]
    pub port: Vec<String>,
    /// Processors; each takes a queue of every port.
    #[arg(long, value_name = "CPUS", value_delimiter = ',', value_parser = cores)]
    pub cores: Vec<u16>,
    /// Answer ARP and neighbour requests for this address; again for more.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Vec<std::net::IpAddr>,
    /// End after this time; else at Ctrl-C.
    #[arg(short, long, value_name = "TIME")]
    pub duration: Option<Time>,
    /// Sleep when nothing comes, instead of polling.
    #[arg(long)]
    pub adaptive: bool,
    /// Memory for DPDK, MiB.
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u32>,
    /// How to tell.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `pktgen rfc2544`.
#[derive(Debug, Args)]
pub struct RfcArgs {
    /// What to send; size, rate and duration are the search's.
    #[command(flatten)]
    pub traffic: TrafficArgs,
    /// How to tell.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Frame sizes; those of RFC 2544 by default.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "BYTES",
        help_heading = "Search"
    )]
    pub sizes: Vec<u16>,
    /// Share of packets that may be lost.
    #[arg(
        long,
        default_value_t = 0.0,
        value_name = "RATIO",
        help_heading = "Search"
    )]
    pub loss_limit: f64,
    /// Length of a trial of the search.
    #[arg(
        long,
        default_value = "5s",
        value_name = "TIME",
        help_heading = "Search"
    )]
    pub trial: Time,
    /// Length of the trial that confirms the throughput and measures latency.
    #[arg(
        long,
        default_value = "10s",
        value_name = "TIME",
        help_heading = "Search"
    )]
    pub latency_trial: Time,
    /// How closely to search, as a share of the rate.
    #[arg(
        long,
        default_value_t = 0.01,
        value_name = "RATIO",
        help_heading = "Search"
    )]
    pub resolution: f64,
    /// Highest rate to try, in packets per second, where the line rate is higher or not known.
    #[arg(
        long,
        default_value = "20Mpps",
        value_name = "RATE",
        help_heading = "Search"
    )]
    pub max_rate: Rate,
    /// Repetitions of the back-to-back burst; 0 leaves it out.
    #[arg(long, default_value_t = 5, help_heading = "Search")]
    pub bursts: u32,
    /// Longest burst.
    #[arg(
        long,
        default_value = "1s",
        value_name = "TIME",
        help_heading = "Search"
    )]
    pub burst_time: Time,
    /// Leave out the frame loss curve.
    #[arg(long, help_heading = "Search")]
    pub no_loss_curve: bool,
}
