//! `cargo xtask measure-service-times`: how long a real memcached and a real Redis take for a request, as
//! distributions that the emulated servers draw from (`workload/src/presets/measured.txt`).
//!
//! A server of one thread holds a million objects with keys of 16 bytes and values of 64. One request at a
//! time goes to it over a Unix socket: a GET of one object, or a SCAN, which reads 100 at once (a `get` of
//! 100 keys, an `MGET`). Measured is from the first byte written to the last byte read, by a client that
//! polls: what lies between is the server's work and the kernel's for it.

mod store;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use workload::distribution::{Distribution, Unit};
use workload::quantile::QuantileTable;
use workload::random::Random;

use crate::run::heading;
use store::{Kind, STORES, Store};

/// Where the figures' service times come from.
const FILE: &str = "workload/src/presets/measured.txt";

/// Objects that a SCAN reads.
const SCANNED: u64 = 100;

/// Of the requests, those that are SCANs.
const SCANS: f64 = 0.2;

/// The skew of the objects' popularity (Zipf).
const SKEW: f64 = 0.99;

/// Requests before it is measured, as a share of those measured.
const WARM_UP: f64 = 0.1;

/// The quantiles that are written.
const QUANTILES: [f64; 15] = [
    0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995,
];

/// Longer times than this quantile are cut to it: one request in 10,000 says more about the machine's
/// scheduler than about the store.
const CAP: f64 = 0.9999;

/// What `measure-service-times` takes.
#[derive(Args)]
pub struct Options {
    /// Requests to each store.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    requests: u64,
    /// Objects that a store holds.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    objects: u64,
    /// Of which objects are read, and what is a SCAN.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the distributions to this file (workload/src/presets/measured.txt is the one that the
    /// presets are read from) instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Measures all stores.
pub fn run_all(options: &Options) -> Result<()> {
    let mut text = head(options)?;
    let popularity = Zipf::new(options.objects, SKEW);
    for kind in STORES {
        heading(kind.name());
        let times = measure(kind, options, &popularity)?;
        for (what, mut times) in [("get", times.gets), ("scan", times.scans)] {
            let table = table(&mut times)?;
            eprintln!(
                "{what}: {} requests, mean {:.1} us, median {:.1} us, p99 {:.1} us",
                times.len(),
                table.mean() / 1e3,
                table.quantile(0.5) / 1e3,
                table.quantile(0.99) / 1e3
            );
            let table = Distribution::Quantiles(table).text(Unit::Time);
            let _ = writeln!(text, "{}-{what} {table}", kind.name());
        }
    }
    match &options.out {
        Some(path) => fs::write(path, text).with_context(|| path.display().to_string()),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

/// What the file says of itself.
fn head(options: &Options) -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, name)| name);
    let versions: Vec<String> = STORES
        .iter()
        .map(|kind| kind.version())
        .collect::<Result<_>>()?;
    Ok(format!(
        "# Times of requests to real stores, one at a time over a Unix socket. Written by, not by hand:\n\
         # cargo xtask measure-service-times --requests {} --objects {} --seed {} --out {FILE}\n\
         # {} on {}\n",
        options.requests,
        options.objects,
        options.seed,
        versions.join(", "),
        cpu.trim()
    ))
}

/// Nanoseconds of the requests of each kind.
#[derive(Default)]
struct Times {
    gets: Vec<u64>,
    scans: Vec<u64>,
}

fn measure(kind: Kind, options: &Options, popularity: &Zipf) -> Result<Times> {
    let mut store = Store::start(kind)?;
    store.fill(options.objects)?;
    let mut random = Random::named(options.seed, "requests", 0);
    let mut times = Times::default();
    let warm_up = (options.requests as f64 * WARM_UP) as u64;
    for number in 0..warm_up + options.requests {
        let scan = random.chance(SCANS);
        let count = if scan { SCANNED } else { 1 };
        // Objects of similar popularity are not neighbours.
        let first = popularity.draw(&mut random).wrapping_mul(387_420_489) % options.objects;
        let request = store.request((first..first + count).map(|key| key % options.objects));
        let begin = Instant::now();
        store.exchange(&request, count)?;
        let took = begin.elapsed().as_nanos() as u64;
        if number >= warm_up {
            match scan {
                true => times.scans.push(took),
                false => times.gets.push(took),
            }
        }
    }
    Ok(times)
}

/// The quantiles of times, which it sorts.
fn table(times: &mut [u64]) -> Result<QuantileTable> {
    times.sort_unstable();
    let at = |p: f64| times.get((p * times.len() as f64) as usize).copied();
    let (Some(cap), true) = (at(CAP), times.len() >= 100) else {
        bail!("{} requests are too few for quantiles", times.len());
    };
    let points: Vec<(f64, f64)> = QUANTILES
        .into_iter()
        .filter_map(|p| Some((p, at(p)? as f64)))
        .collect();
    QuantileTable::new(&points, cap as f64).map_err(|error| anyhow!(error))
}

/// Objects by popularity: the one of rank r is asked for as often as r to the power of -skew says.
struct Zipf {
    /// The share of the requests for this rank and those before.
    up_to: Vec<f64>,
}

impl Zipf {
    fn new(objects: u64, skew: f64) -> Zipf {
        let mut sum = 0.0;
        let mut up_to: Vec<f64> = (1..=objects)
            .map(|rank| {
                sum += (rank as f64).powf(-skew);
                sum
            })
            .collect();
        up_to.iter_mut().for_each(|share| *share /= sum);
        Zipf { up_to }
    }

    /// A rank, from 0.
    fn draw(&self, random: &mut Random) -> u64 {
        let at = random.unit();
        self.up_to.partition_point(|share| *share < at) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popular_objects_are_drawn_as_often_as_zipf_says() {
        let zipf = Zipf::new(1_000, SKEW);
        let mut random = Random::new(1, 1);
        let mut counts = vec![0u32; 1_000];
        for _ in 0..1_000_000 {
            counts[zipf.draw(&mut random) as usize] += 1;
        }
        let ratio = f64::from(counts[0]) / f64::from(counts[9]);
        assert!((ratio / 10f64.powf(SKEW) - 1.0).abs() < 0.05, "{ratio}");
        assert!(counts.iter().all(|count| *count > 0));
    }

    #[test]
    fn tables_of_times_are_read_again() {
        let mut times: Vec<u64> = (1..=20_000).rev().collect();
        let table = table(&mut times).unwrap();
        assert!((table.quantile(0.5) - 10_001.0).abs() < 1e-3);
        assert_eq!(table.cap(), 19_999.0);
        let text = Distribution::Quantiles(table).text(Unit::Time);
        assert!(Distribution::parse(&text, Unit::Time).is_ok(), "{text}");
        assert!(super::table(&mut [1, 2, 3]).is_err());
    }
}
