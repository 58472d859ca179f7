//! `cargo xtask bench`: how fast we are, always beside a peer, in the same minute on the same cores.
//!
//! Throughput is packets by the *processor time* of the thread that handles them, since on a shared
//! machine the wall clock also measures the neighbours.

mod clone;
mod cpu;
mod forward;
mod generator;
mod harness;
mod latency;
mod locked;
mod memif;
mod ours;
mod schedulable;
mod sim;
mod spacing;
mod stages;
mod start;
mod statistics;
mod testpmd;
mod traffic;

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use crate::programs;
use harness::{Better, Case, Effort, Outcome, compare};
use testpmd::Testpmd;

/// The processor of packet threads, ours and the peers'.
const PACKET_CORE: usize = 1;
/// The processor of everything else.
const MAIN_CORE: usize = 0;
/// How long a run goes on before it is watched.
const WARM_UP: Duration = Duration::from_millis(300);

/// What `bench` takes.
#[derive(Args)]
pub struct Options {
    /// Only this one; see `--list`. Some run only when they are named.
    name: Option<String>,
    /// Names the benches.
    #[arg(long)]
    list: bool,
    /// One JSON object a line on standard output instead of a table.
    #[arg(long)]
    json: bool,
    /// A table in Markdown on standard output, as in docs/performance.md.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Measure the programs as they are, without building them first.
    #[arg(long)]
    no_build: bool,
    /// Pairs of runs, ours and the peer's.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// How long each run is watched.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

/// What every contender is started by: before whatever else the machine is doing, where we may say so.
fn favour() -> Vec<&'static str> {
    if crate::setup::is_root() {
        vec!["nice", "-n", "-20"]
    } else {
        vec!["nice", "-n", "0"]
    }
}

/// Where the kernel weighs sessions before it weighs processes (`sched_autogroup_enabled`), "nice" says nothing
/// to other sessions: then our session goes first, until this is dropped.
struct Favoured;

impl Favoured {
    const FILE: &'static str = "/proc/self/autogroup";

    fn session() -> Favoured {
        if crate::setup::is_root() {
            let _ = std::fs::write(Self::FILE, "-20");
        }
        Favoured
    }
}

impl Drop for Favoured {
    fn drop(&mut self) {
        if crate::setup::is_root() {
            let _ = std::fs::write(Self::FILE, "0");
        }
    }
}

/// A rate of packets.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Millions a second of the thread's processor time.
    pub cpu_mpps: f64,
    /// Millions a second of wall-clock time.
    pub wall_mpps: f64,
}

impl Rate {
    fn new(packets: u64, cpu_ns: u64, wall: Duration) -> Result<Rate> {
        if packets == 0 || cpu_ns == 0 {
            bail!("no packet was forwarded");
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of seconds fit a double")]
        Ok(Rate {
            cpu_mpps: packets as f64 * 1e3 / cpu_ns as f64,
            wall_mpps: packets as f64 / 1e6 / wall.as_secs_f64(),
        })
    }
}

type Bench = fn(Effort, &mut Report) -> Result<()>;

const BENCHES: &[(&str, &str, Bench)] = &[
    (
        "forward",
        "ports to ports through an empty chain, against testpmd io",
        forward::forward,
    ),
    (
        "rewrite",
        "a five-tuple swap with right checksums, against testpmd 5tswap",
        forward::rewrite,
    ),
    (
        "stages",
        "instructions that one more empty stage costs",
        stages::stages,
    ),
    (
        "schedulable",
        "what a scheduler costs while every stage is inline, against none",
        schedulable::schedulable,
    ),
    (
        "route",
        "a route among 1000 for every packet, beside testpmd macswap",
        forward::route,
    ),
    (
        "acl",
        "1000 access rules for every packet, beside testpmd macswap",
        forward::acl,
    ),
    (
        "clone",
        "the clone stage by class of packet, against testpmd 5tswap",
        clone::clone,
    ),
    (
        "clone-sizes",
        "the clone stage by class and size of frame, against testpmd 5tswap",
        clone::sizes,
    ),
    (
        "clone-copy",
        "clones by full copy against shared payloads, by size of frame",
        clone::copy,
    ),
    (
        "clone-cores",
        "the clone stage on two cores, and its locked instructions",
        clone::cores,
    ),
    (
        "clone-latency",
        "what the clone stage adds over memif, against an empty chain",
        clone::latency,
    ),
    (
        "sim",
        "packets that the simulated rack carries in a second",
        sim::sim,
    ),
    (
        "memif",
        "two processes over shared memory, against two testpmds",
        memif::memif,
    ),
    (
        "tap",
        "round trips through TAP ports, against Linux routing",
        latency::tap,
    ),
    (
        "veth",
        "round trips through AF_PACKET and AF_XDP, against Linux routing",
        latency::veth,
    ),
    (
        "pktgen-tx",
        "pktgen at full speed, against testpmd txonly and flowgen",
        generator::transmit,
    ),
    (
        "pktgen-rate",
        "how exactly pktgen keeps rates and Poisson spacing",
        spacing::rate,
    ),
    (
        "start",
        "from start to the first packet forwarded, against testpmd",
        start::start,
    ),
    (
        "self",
        "testpmd against itself: what the harness makes of equals (1.0)",
        bench_self,
    ),
];

/// What only runs when it is asked for: it takes long, or says nothing of us.
const BY_NAME: &[&str] = &[
    "clone-sizes",
    "clone-copy",
    "clone-cores",
    "clone-latency",
    "self",
];

/// Takes outcomes as they come.
pub struct Report {
    json: bool,
    outcomes: Vec<Outcome>,
}

impl Report {
    fn add(&mut self, outcome: Outcome) {
        if self.json {
            println!("{}", outcome.json());
        } else {
            eprint!("{}", harness::table(std::slice::from_ref(&outcome)));
        }
        self.outcomes.push(outcome);
    }
}

/// Runs the benches.
pub fn run_all(options: &Options) -> Result<()> {
    if options.list {
        for (name, what, _) in BENCHES {
            let when = if BY_NAME.contains(name) {
                " (by name)"
            } else {
                ""
            };
            println!("{name:14} {what}{when}");
        }
        return Ok(());
    }
    if options.no_build {
        programs::take_as_they_are();
    }
    let effort = Effort {
        pairs: options.pairs.into(),
        window: Duration::try_from_secs_f64(options.seconds)?,
    };
    // What is built is built before anything goes first.
    programs::build()?;
    let _favoured = Favoured::session();
    let mut report = Report {
        json: options.json,
        outcomes: Vec::new(),
    };
    let mut failed = Vec::new();
    let mut any = false;
    for (name, _, bench) in BENCHES {
        let wanted = options
            .name
            .as_ref()
            .map_or(!BY_NAME.contains(name), |wanted| wanted == name);
        if !wanted {
            continue;
        }
        any = true;
        if let Err(error) = bench(effort, &mut report) {
            eprintln!("error: {name}: {error:#}");
            failed.push(*name);
        }
    }
    if !any {
        let names: Vec<&str> = BENCHES.iter().map(|(name, _, _)| *name).collect();
        bail!("there is no such bench; there are: {}", names.join(", "));
    }
    if options.markdown {
        print!("{}", harness::markdown(&report.outcomes));
    } else if !options.json {
        println!("\n{}", harness::table(&report.outcomes));
    }
    if !failed.is_empty() {
        bail!("these benches could not be run: {}", failed.join(", "));
    }
    Ok(())
}

fn bench_self(effort: Effort, report: &mut Report) -> Result<()> {
    let case = |name: &str, unit, better| Case {
        bench: "self",
        case: name.to_owned(),
        unit,
        peer_name: "itself".to_owned(),
        better,
    };
    let null = Testpmd::new(&["net_null0", "net_null1"], "io");
    let ring = Testpmd {
        start: "start tx_first 16".to_owned(),
        ..Testpmd::new(&["net_ring0", "net_ring1"], "io")
    };
    for (name, testpmd) in [("null", null), ("ring", ring)] {
        let measure = || testpmd.measure(effort.window);
        let case = case(name, "cpu-Mpps", Better::Higher);
        report.add(compare(&case, effort.pairs, measure, measure)?);
    }
    let measure = || memif::two_testpmds(effort.window);
    let both = case("memif", "cpu-Mpps", Better::Higher);
    report.add(compare(&both, effort.pairs, measure, measure)?);
    let measure = || Ok(latency::through_linux(effort.window)?[0].p50);
    let linux = case("veth-udp-p50-linux", "us", Better::Lower);
    report.add(compare(&linux, effort.pairs, measure, measure)?);
    let first = case("tap-first-packet", "s", Better::Lower);
    report.add(compare(
        &first,
        effort.pairs,
        start::of_testpmd,
        start::of_testpmd,
    )?);
    Ok(())
}
