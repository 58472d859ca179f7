//! LÆDGE's coordinator on a real network.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;
use workload::laedge::{Laedge, LaedgeConfig, LaedgeCounters};

use super::read;
use crate::cli::LaedgeArgs;
use crate::endpoints::Ticker;
use crate::endpoints::place::Place;
use crate::units::{Time, si};

/// The UDP port that an appliance only routes.
const PORT: u16 = 9044;

/// How often progress is told, nanoseconds.
const TELL_NS: u64 = 1_000_000_000;

/// What `pktgen laedge` tells at its end.
#[derive(Debug, Serialize)]
pub struct LaedgeResult {
    /// `laedge`.
    pub kind: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// How long it ran.
    pub seconds: f64,
    /// Seed of its choices.
    pub seed: u64,
    /// Requests that a server had at a time.
    pub slots_per_server: u32,
    /// The most datagrams that came in a second.
    pub peak_packets_per_second: u64,
    /// The share of the time that it was busy.
    pub busy: f64,
    /// What it counted.
    #[serde(flatten)]
    pub counters: LaedgeCounters,
}

/// Coordinates until the time is over, or `stop` is raised.
pub fn coordinate(
    args: &LaedgeArgs,
    seed: u64,
    stop: &Arc<AtomicBool>,
) -> Result<LaedgeResult, String> {
    let listen = args.listen.as_deref().ok_or("where: give --listen")?;
    let listen = read::address(listen, PORT).map_err(|error| format!("--listen: {error}"))?;
    let servers = args.servers.as_deref().ok_or("who: give --servers")?;
    let servers = read::addresses(servers, PORT).map_err(|error| format!("--servers: {error}"))?;
    let place = Place::open(&args.place)?;
    let bound = place.bind(&[listen], &servers)?;
    let address = bound.addresses.first().copied().unwrap_or(listen);
    let mut config = LaedgeConfig::new(address, servers);
    config.slots_per_server = args.slots_per_server;
    config.queue = args.queue;
    config.slot_timeout_ns = args.slot_timeout.nanoseconds();
    config.seed = seed;
    let laedge = Laedge::new(config)?;
    let duration = args.duration.map(Time::nanoseconds);
    let ticker = Ticker::start();
    let (mut next, mut before) = (TELL_NS, LaedgeCounters::default());
    let peak = Arc::new(AtomicU64::new(0));
    let (quiet, stop, highest) = (args.output.quiet, Arc::clone(stop), Arc::clone(&peak));
    let (laedge, busy) = bound.run(laedge, ticker, move |laedge: &mut Laedge, now| {
        if now >= next {
            next += TELL_NS;
            let counters = laedge.counters();
            let packets = counters.packets - before.packets;
            highest.fetch_max(packets, Ordering::Relaxed);
            if !quiet && packets > 0 {
                eprintln!(
                    "{:6.1} s  {}pps in, {}rps answered, {} waiting",
                    now as f64 / 1e9,
                    si(packets as f64),
                    si((counters.answers - before.answers) as f64),
                    laedge.waiting()
                );
            }
            before = counters;
        }
        !stop.load(Ordering::Relaxed) && duration.is_none_or(|end| now < end)
    })?;
    let seconds = ticker.now() as f64 / 1e9;
    place.close();
    Ok(LaedgeResult {
        kind: "laedge",
        version: env!("CARGO_PKG_VERSION"),
        seconds,
        seed,
        slots_per_server: args.slots_per_server,
        peak_packets_per_second: peak.load(Ordering::Relaxed),
        busy,
        counters: laedge.counters(),
    })
}
