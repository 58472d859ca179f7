//! The command line: what can be asked for, and the help that teaches it.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::engine::ports;
use crate::profile::packet::Packet;
use crate::profile::stream::{Size, Stream};
use crate::profile::values::{Kind, Mac, Port, V4, V6, Values, VlanId};
use crate::profile::{Profile, Spacing};
use crate::schedule;
use crate::units::{Rate, Time};

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

fn values<K: Kind>(text: &str) -> Result<String, String> {
    Values::<K>::from_text(text).map(|_| text.to_owned())
}

fn address(text: &str) -> Result<String, String> {
    if text.contains(':') {
        values::<V6>(text)
    } else {
        values::<V4>(text)
    }
}

fn size(text: &str) -> Result<String, String> {
    Size::from_text(text).map(|_| text.to_owned())
}

fn spacing(text: &str) -> Result<Spacing, String> {
    let wrong =
        || format!("{text:?} is not a spacing; expected constant, poisson or burst:PACKETS");
    let value = match text.split_once(':') {
        None if text != "burst" => json!(text),
        Some(("burst", packets)) => {
            let packets: u32 = packets.parse().map_err(|_| wrong())?;
            if packets == 0 {
                return Err(wrong());
            }
            json!({"burst": {"packets": packets}})
        }
        _ => return Err(wrong()),
    };
    serde_json::from_value(value).map_err(|_| wrong())
}

fn ramp(text: &str) -> Result<String, String> {
    let (from, over) = text
        .split_once(',')
        .ok_or("expected RATE,TIME such as 10kpps,5s")?;
    from.parse::<Rate>()?;
    over.parse::<Time>()?;
    Ok(text.to_owned())
}

fn cores(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a processor number"))
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

/// Reads `--port` arguments.
pub fn port_configs(texts: &[String]) -> Result<Vec<nf_core::control::config::PortConfig>, String> {
    texts
        .iter()
        .enumerate()
        .map(|(index, text)| match text.split_once('=') {
            Some((name, device)) if !name.contains(':') => ports::parse(name, device),
            _ => ports::parse(&format!("port{index}"), text),
        })
        .collect()
}

fn read_values<K: Kind>(text: &Option<String>) -> Result<Option<Values<K>>, String> {
    text.as_deref().map(Values::from_text).transpose()
}

impl TrafficArgs {
    /// Lays the flags over `profile`: those about packets and timing over each of its streams, or over
    /// the default stream.
    pub fn apply(&self, profile: &mut Profile) -> Result<(), String> {
        if !self.port.is_empty() {
            profile.ports = port_configs(&self.port)?;
            for stream in &mut profile.streams {
                stream.port = None;
            }
        }
        if self.self_test {
            profile.ports = vec![
                ports::parse("left", "ring")?,
                ports::parse("right", "ring")?,
            ];
            for stream in &mut profile.streams {
                // Whatever the profile calls its ports, there are two of them here.
                stream.port = None;
            }
            profile.receive.ports = None;
            profile.line_rates.clear();
        }
        if !self.tx_cores.is_empty() {
            profile.cores.transmit.clone_from(&self.tx_cores);
        }
        if !self.rx_cores.is_empty() {
            profile.cores.receive.clone_from(&self.rx_cores);
        }
        profile.eal.memory_mb = self.memory.unwrap_or(profile.eal.memory_mb);
        if self.duration.is_some() || self.count.is_some() {
            profile.duration = self.duration;
            profile.packets = self.count;
        }
        profile.seed = self.seed.or(profile.seed);
        profile.receive.verify_checksums &= !self.no_verify;
        profile.receive.settle = self.settle.unwrap_or(profile.receive.settle);
        if profile.streams.is_empty() {
            profile.streams.push(Stream::default());
        }
        for stream in &mut profile.streams {
            self.apply_stream(stream)?;
        }
        Ok(())
    }

    fn apply_stream(&self, stream: &mut Stream) -> Result<(), String> {
        if let Some(file) = &self.replay {
            let timing = if self.rate.is_some() {
                "rate"
            } else {
                "recorded"
            };
            let replay = json!({
                "file": file, "speed": self.speed.unwrap_or(1.0), "loop": self.repeat,
                "timing": timing
            });
            stream.replay = serde_json::from_value(replay).ok();
            stream.packet = Packet::default();
            stream.flows = None;
        }
        if let Some(rate) = self.rate {
            stream.rate = rate;
        }
        stream.spacing = self.spacing.unwrap_or(stream.spacing);
        if let Some(size) = &self.size {
            stream.size = Size::from_text(size)?;
        }
        stream.flows = self.flows.or(stream.flows);
        stream.gateway = self.gateway.or(stream.gateway);
        if let Some((from, over)) = self.ramp.as_deref().and_then(|ramp| ramp.split_once(',')) {
            stream.ramp = Some(crate::profile::stream::Ramp {
                from: from.parse()?,
                over: over.parse()?,
            });
        }
        let packet = &mut stream.packet;
        if let Some(mac) = read_values(&self.src_mac)? {
            packet.ethernet.source = Some(mac);
        }
        if let Some(mac) = read_values(&self.dst_mac)? {
            packet.ethernet.destination = Some(mac);
        }
        if !self.vlan.is_empty() {
            packet.vlans = Vec::new();
            for (index, id) in self.vlan.iter().enumerate() {
                let outer = index == 0 && self.vlan.len() > 1;
                packet.vlans.push(crate::profile::packet::Vlan {
                    id: Values::<VlanId>::from_text(id)?,
                    priority: 0,
                    tpid: if outer { 0x88a8 } else { 0x8100 },
                });
            }
        }
        self.apply_addresses(packet)?;
        self.apply_transport(packet)
    }

    fn apply_addresses(&self, packet: &mut Packet) -> Result<(), String> {
        let families: Vec<bool> = [&self.src, &self.dst]
            .into_iter()
            .flatten()
            .map(|text| text.contains(':'))
            .collect();
        match families.as_slice() {
            [] => return Ok(()),
            [true, false] | [false, true] => {
                return Err("--src and --dst must both be IPv4, or both IPv6".into());
            }
            [true, ..] => {
                packet.ipv4 = None;
                let ip = packet.ipv6.get_or_insert_default();
                if let Some(source) = read_values(&self.src)? {
                    ip.source = source;
                }
                if let Some(destination) = read_values(&self.dst)? {
                    ip.destination = destination;
                }
            }
            _ => {
                packet.ipv6 = None;
                let ip = packet.ipv4.get_or_insert_default();
                if let Some(source) = read_values(&self.src)? {
                    ip.source = source;
                }
                if let Some(destination) = read_values(&self.dst)? {
                    ip.destination = destination;
                }
            }
        }
        Ok(())
    }

    fn apply_transport(&self, packet: &mut Packet) -> Result<(), String> {
        if let Some(protocol) = self.protocol {
            let keep = (packet.udp.take(), packet.tcp.take(), packet.icmp.take());
            match protocol {
                Protocol::Udp => packet.udp = Some(keep.0.unwrap_or_default()),
                Protocol::Tcp => packet.tcp = Some(keep.1.unwrap_or_default()),
                Protocol::Icmp => packet.icmp = Some(keep.2.unwrap_or_default()),
            }
        }
        let (source, destination) = (read_values(&self.src_port)?, read_values(&self.dst_port)?);
        if source.is_none() && destination.is_none() {
            return Ok(());
        }
        if packet.icmp.is_some() {
            return Err("--src-port and --dst-port have no place in ICMP".into());
        }
        if let Some(tcp) = &mut packet.tcp {
            tcp.source_port = source.unwrap_or_else(|| tcp.source_port.clone());
            tcp.destination_port = destination.unwrap_or_else(|| tcp.destination_port.clone());
        } else {
            let udp = packet.udp.get_or_insert_default();
            udp.source_port = source.unwrap_or_else(|| udp.source_port.clone());
            udp.destination_port = destination.unwrap_or_else(|| udp.destination_port.clone());
        }
        Ok(())
    }
}

/// The manual page.
pub fn manual() -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let command = Cli::command();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    // One page for everything: the commands follow as sections of their own.
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        let name = format!("pktgen {}", sub.get_name());
        let sub = sub
            .clone()
            .bin_name(name.clone())
            .display_name(name.clone());
        page.extend(format!(".SH \"{}\"\n", name.to_uppercase()).as_bytes());
        let man = clap_mangen::Man::new(sub);
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        man.render_extra_section(&mut page)?;
    }
    Ok(page)
}

/// A spacing in the words of the command line.
pub fn spacing_text(spacing: schedule::Spacing) -> String {
    match spacing {
        schedule::Spacing::Constant => "constant".into(),
        schedule::Spacing::Poisson => "Poisson".into(),
        schedule::Spacing::Burst { packets, .. } => format!("bursts of {packets}"),
    }
}

/// The profile that a file and flags describe; every mistake as text.
pub fn profile(traffic: &TrafficArgs) -> Result<Profile, String> {
    let mut problems = nf_core::check::Problems::new();
    let mut profile = match &traffic.profile {
        Some(path) => crate::profile::load(path).map_err(|problems| told(&problems))?,
        None => crate::profile::parse(&Value::Object(Default::default()), &mut problems),
    };
    traffic.apply(&mut profile)?;
    crate::profile::check(&profile, &mut problems);
    if problems.has_errors() {
        Err(told(&problems))
    } else {
        Ok(profile)
    }
}

/// Problems as text.
pub fn told(problems: &nf_core::check::Problems) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<Profile, String> {
        let cli = Cli::try_parse_from([&["pktgen", "run"], args].concat())
            .map_err(|error| error.to_string())?;
        let Command::Run(run) = cli.command else {
            return Err("not run".into());
        };
        profile(&run.traffic)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_make_a_profile() {
        let profile = run(&[
            "--port",
            "tap:pg0",
            "--port",
            "far=null",
            "--rate",
            "1Mpps",
            "--size",
            "imix",
            "--src",
            "10.0.0.1+100",
            "--dst",
            "10.0.1.1",
            "--src-port",
            "1000-1009",
            "--vlan",
            "7",
            "--vlan",
            "8",
            "--spacing",
            "burst:4",
            "--ramp",
            "1kpps,2s",
            "-d",
            "3s",
            "--seed",
            "9",
            "--tx-cores",
            "0,1",
            "--rx-cores",
            "0",
            "--gateway",
            "10.0.0.254",
        ])
        .unwrap();
        assert_eq!(
            (&*profile.ports[0].name, &*profile.ports[1].name),
            ("port0", "far")
        );
        let stream = &profile.streams[0];
        assert_eq!(stream.rate, Rate::Packets(1e6));
        assert_eq!(stream.packet.vlans.len(), 2);
        assert_eq!(stream.packet.vlans[0].tpid, 0x88a8);
        assert_eq!(
            stream.packet.ipv4.as_ref().unwrap().source.sequence.len(),
            100
        );
        assert_eq!(
            stream
                .packet
                .udp
                .as_ref()
                .unwrap()
                .source_port
                .sequence
                .len(),
            10
        );
        assert_eq!(profile.cores.transmit, [0, 1]);
        assert_eq!(profile.duration.unwrap().nanoseconds(), 3_000_000_000);
    }

    #[test]
    fn ipv6_and_other_transports() {
        let profile = run(&[
            "--self-test",
            "--src",
            "2001:2::1+5",
            "--protocol",
            "tcp",
            "--dst-port",
            "443",
        ])
        .unwrap();
        let packet = &profile.streams[0].packet;
        assert!(packet.ipv4.is_none() && packet.ipv6.is_some());
        assert_eq!(
            packet.tcp.as_ref().unwrap().destination_port,
            Values::one(443)
        );
    }

    #[test]
    fn flags_override_every_stream_of_a_profile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        let profile = json!({
            "ports": [{"name": "a", "device": {"type": "null"}}], "duration": "1s",
            "streams": [{"port": "a"}, {"rate": "5kpps", "spacing": "poisson"}]
        });
        std::fs::write(&path, profile.to_string()).unwrap();
        let path = path.to_str().unwrap();
        let profile = run(&[path, "--rate", "7kpps", "-n", "10"]).unwrap();
        assert!(profile.streams.iter().all(|s| s.rate == Rate::Packets(7e3)));
        assert_eq!(profile.streams[1].spacing, Spacing::Poisson);
        assert_eq!((profile.duration, profile.packets), (None, Some(10)));
        // The same profile tests itself, whatever its ports are.
        assert_eq!(
            &*run(&[path, "--self-test"]).unwrap().ports[1].name,
            "right"
        );
    }

    #[test]
    fn mistakes_are_told_before_anything_starts() {
        for (args, expected) in [
            (&["--rate", "fast"][..], "is not a rate"),
            (&["--size", "63"], "frame sizes are 64"),
            (&["--port", "tup:x"], "there is no device `tup:x`"),
            (&["--src", "10.0.0.256"], "IPv4 address"),
            (
                &["--src", "10.0.0.1", "--dst", "::1", "--self-test"],
                "must both be IPv4",
            ),
            (&["--spacing", "burst"], "burst:PACKETS"),
            (&["--ramp", "5s"], "RATE,TIME"),
            (
                &["--protocol", "icmp", "--src-port", "1", "--self-test"],
                "no place in ICMP",
            ),
            (&[], "no port to send on"),
            (&["/nowhere.json"], "cannot be read"),
        ] {
            let error = run(args).unwrap_err();
            assert!(error.contains(expected), "{args:?}: {error}");
        }
    }

    #[test]
    fn the_manual_covers_every_command() {
        let page = String::from_utf8(manual().unwrap()).unwrap();
        for command in [
            "RUN",
            "ECHO",
            "RFC2544",
            "CHECK",
            "SCHEMA",
            "COMPLETIONS",
            "MAN",
        ] {
            assert!(
                page.contains(&format!(".SH \"PKTGEN {command}\"")),
                "{command}"
            );
        }
    }
}
