//! Emulated servers on a real network.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nf_clone::udp;
use serde::Serialize;
use workload::emulator::{Emulator, Health, ServerConfig, ServerCounters};
use workload::payload::{Answer, Ask, RESPONSE_LEN};
use workload::presets::Errors;
use workload::random::Random;
use workload::service::ServiceTime;

use super::{plan, read};
use crate::cli::ServeArgs;
use crate::endpoints::Ticker;
use crate::endpoints::place::Place;
use crate::text::grouped;
use crate::units::{Time, si};

/// How often progress is told, nanoseconds.
const TELL_NS: u64 = 1_000_000_000;

/// What `pktgen serve` tells at its end.
#[derive(Debug, Serialize)]
pub struct ServeResult {
    /// `serve`.
    pub kind: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// How long it ran.
    pub seconds: f64,
    /// Seed of the service times.
    pub seed: u64,
    /// What the servers did, in words.
    pub workload: String,
    /// Requests a second that they can serve.
    pub capacity_rps: f64,
    /// The share of the answers that reported an empty line.
    pub idle_share: f64,
    /// The share of the time that the emulator was busy; with more than half of it, its own delay shows.
    pub busy: Option<f64>,
    /// Sums over all servers.
    pub total: ServerCounters,
    /// Each of them.
    pub servers: Vec<ServerResult>,
}

/// One server.
#[derive(Debug, Serialize)]
pub struct ServerResult {
    /// Its number at the appliance.
    pub sid: u16,
    /// Where it received.
    pub addresses: Vec<SocketAddr>,
    /// Its workers.
    pub workers: u32,
    /// The share of its answers that reported an empty line.
    pub idle_share: f64,
    /// The share of the time that its workers worked.
    pub utilization: f64,
    /// What it counted.
    #[serde(flatten)]
    pub counters: ServerCounters,
}

/// A server's health changes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Event {
    at_ns: u64,
    server: usize,
    health: Health,
}

fn events(texts: &[String], servers: usize) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    for text in texts {
        let told = |error: String| format!("--event: {text:?}: {error}");
        let mut parts = text.splitn(3, ':');
        let (Some(at), Some(server), Some(health)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(told("expected TIME:SERVER:HEALTH such as 5s:0:kill".into()));
        };
        let server: usize = server
            .parse()
            .map_err(|_| told(format!("{server:?} is not a server's place in the list")))?;
        if server >= servers {
            return Err(told(format!(
                "there are {servers} servers, counted from 0; found {server}"
            )));
        }
        events.push(Event {
            at_ns: at.parse::<Time>().map_err(told)?.nanoseconds(),
            server,
            health: health.parse().map_err(told)?,
        });
    }
    // Those at the same time in the order given.
    events.sort_by_key(|event| event.at_ns);
    Ok(events)
}

/// The servers that the flags describe.
fn configs(args: &ServeArgs, service: &ServiceTime) -> Result<Vec<ServerConfig>, String> {
    let hosts = args
        .fleet
        .servers
        .as_deref()
        .ok_or("where: give the servers' addresses, --servers 127.0.1.101+6")?;
    let hosts = read::hosts(hosts).map_err(|error| format!("--servers: {error}"))?;
    let workers = plan::workers(&args.service, hosts.len())?;
    let errors = match args.errors.as_str() {
        "fleet" => Errors::FLEET,
        text => Errors {
            share: read::share(text).map_err(|error| format!("--errors: {error}"))?,
            ..Errors::FLEET
        },
    };
    let ports = &args.fleet.udp_ports;
    let mut configs = Vec::new();
    for ((index, host), workers) in (0u16..).zip(hosts).zip(workers) {
        let sid = args
            .fleet
            .first_sid
            .checked_add(index)
            .filter(|sid| *sid < nf_clone::wire::NO_SERVER)
            .ok_or("--first-sid: the servers' numbers go beyond 65534")?;
        let addresses = ports.iter().map(|port| SocketAddr::new(host, *port));
        let mut config = ServerConfig::new(sid, addresses.collect(), service.clone());
        config.workers = workers;
        config.queue = args.fleet.queue;
        config.drop_clones = !args.fleet.no_drop;
        config.errors = errors;
        configs.push(config);
    }
    Ok(configs)
}

/// Emulates servers until the time is over, or `stop` is raised.
pub fn serve(args: &ServeArgs, seed: u64, stop: &Arc<AtomicBool>) -> Result<ServeResult, String> {
    let service = plan::service(&args.service)?;
    let configs = configs(args, &service)?;
    let events = events(&args.fleet.event, configs.len())?;
    let duration = args.duration.map(Time::nanoseconds);
    if args.fleet.workers_spin {
        return spin(args, configs, seed, stop);
    }
    // To hear what is wrong before a port is opened.
    let emulator = Emulator::new(configs.clone(), seed)?;
    let capacity_rps = emulator.capacity();
    let addresses: Vec<SocketAddr> = configs
        .iter()
        .flat_map(|config| config.addresses.iter().copied())
        .collect();
    let place = Place::open(&args.place)?;
    let bound = place.bind(&addresses, &[])?;
    if !args.output.quiet {
        eprintln!(
            "{} servers from {} on, capacity {}rps ({service})",
            configs.len(),
            addresses.first().map_or(String::new(), ToString::to_string),
            si(capacity_rps)
        );
    }
    let ticker = Ticker::start();
    let mut due = events.into_iter().peekable();
    let (mut next, mut before) = (TELL_NS, ServerCounters::default());
    let (quiet, stop) = (args.output.quiet, Arc::clone(stop));
    let (emulator, busy) = bound.run(emulator, ticker, move |emulator: &mut Emulator, now| {
        while let Some(event) = due.next_if(|event| event.at_ns <= now) {
            emulator.set_health(event.server, event.health);
            if !quiet {
                eprintln!(
                    "{:6.1} s  server {}: {}",
                    now as f64 / 1e9,
                    event.server,
                    event.health
                );
            }
        }
        if now >= next {
            next += TELL_NS;
            let total = emulator.total();
            if !quiet && total != before {
                eprintln!("{}", progress(now, &before, &total));
            }
            before = total;
        }
        !stop.load(Ordering::Relaxed) && duration.is_none_or(|end| now < end)
    })?;
    let seconds = ticker.now() as f64 / 1e9;
    place.close();
    let of = |index: usize| emulator.counters(index).unwrap_or_default();
    let counters: Vec<ServerCounters> = (0..configs.len()).map(of).collect();
    let mut result = result(args, configs, &counters, seed, seconds);
    result.busy = Some(busy);
    Ok(result)
}

fn progress(now: u64, before: &ServerCounters, total: &ServerCounters) -> String {
    let answers = total.answers - before.answers;
    let idle = total.answers_idle - before.answers_idle;
    format!(
        "{:6.1} s  {}rps answered, {:.1} % of them with an empty line; {} waiting, {} working, {} clones \
         dropped",
        now as f64 / 1e9,
        si(answers as f64),
        idle as f64 / answers.max(1) as f64 * 100.0,
        grouped(total.waiting),
        grouped(total.working),
        grouped(total.clones_dropped - before.clones_dropped),
    )
}

fn result(
    args: &ServeArgs,
    configs: Vec<ServerConfig>,
    counters: &[ServerCounters],
    seed: u64,
    seconds: f64,
) -> ServeResult {
    let mut total = ServerCounters::default();
    counters.iter().for_each(|one| total.add(one));
    let capacity_rps = configs
        .iter()
        .map(|config| config.service.capacity(config.workers.into()))
        .sum();
    let workload = configs.first().map_or(String::new(), |config| {
        let how = if args.fleet.workers_spin {
            "spinning"
        } else {
            "virtual"
        };
        format!("{how} workers, service times {}", config.service)
    });
    let servers = configs
        .into_iter()
        .zip(counters)
        .map(|(config, counters)| ServerResult {
            sid: config.sid,
            addresses: config.addresses,
            workers: config.workers,
            idle_share: counters.idle_share(),
            utilization: counters.busy_ns as f64 / 1e9 / seconds / f64::from(config.workers),
            counters: *counters,
        });
    ServeResult {
        kind: "serve",
        version: env!("CARGO_PKG_VERSION"),
        seconds,
        seed,
        workload,
        capacity_rps,
        idle_share: total.idle_share(),
        busy: None,
        total,
        servers: servers.collect(),
    }
}

/// Burns a processor for a time.
fn burn(ns: u64) {
    let begin = Instant::now();
    while (begin.elapsed().as_nanos() as u64) < ns {
        std::hint::spin_loop();
    }
}

/// Servers whose workers are threads that really work.
fn spin(
    args: &ServeArgs,
    configs: Vec<ServerConfig>,
    seed: u64,
    stop: &AtomicBool,
) -> Result<ServeResult, String> {
    if let [_, _, ..] = args.fleet.udp_ports.as_slice() {
        return Err(
            "--workers-spin: a server has one UDP port, such as --udp-ports 9043 for NetClone's schemes \
             or 9044 for the others"
                .into(),
        );
    }
    if !args.fleet.event.is_empty() {
        return Err("--workers-spin: servers that really work have no --event".into());
    }
    let mut servers = Vec::new();
    for config in &configs {
        let address = config
            .addresses
            .first()
            .ok_or("--udp-ports: one is needed")?;
        let mut settings = udp::Settings::new(config.sid, config.workers as usize);
        settings.server.drop_clones = config.drop_clones;
        settings.queue = config.queue;
        let random = Mutex::new(Random::named(seed, "server", config.sid.into()));
        let (service, errors) = (config.service.clone(), config.errors);
        let server = udp::Server::start(address, settings, move |call, answer| {
            let ask = Ask::read(call.payload);
            let (service_ns, outcome) = {
                let mut random = random.lock().unwrap_or_else(PoisonError::into_inner);
                (service.draw(&ask, &mut random), errors.draw(&mut random))
            };
            burn(service_ns);
            answer.resize((ask.response_bytes as usize).max(RESPONSE_LEN), 0);
            let told = Answer {
                service_ns,
                waited_ns: 0,
                outcome,
            };
            told.write(answer);
        });
        servers.push(server.map_err(|error| format!("{address}: {error}"))?);
    }
    let begin = Instant::now();
    let end = args.duration.map(|time| begin + time.0);
    while !stop.load(Ordering::Relaxed) && end.is_none_or(|end| Instant::now() < end) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let seconds = begin.elapsed().as_secs_f64();
    let counters: Vec<ServerCounters> = servers
        .iter()
        .map(|server| {
            let totals = server.totals();
            ServerCounters {
                requests: totals.received.reads + totals.received.writes,
                clones: totals.received.clones,
                clones_dropped: totals.received.clones_dropped,
                answers: totals.answered,
                queue_full: totals.overflowed,
                pings: totals.received.pings,
                malformed: totals.received.malformed,
                refused: totals.unsent,
                waiting: server.waiting() as u64,
                ..ServerCounters::default()
            }
        })
        .collect();
    Ok(result(args, configs, &counters, seed, seconds))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(flags: &str) -> ServeArgs {
        let line = format!("pktgen serve {flags}");
        match Cli::try_parse_from(line.split_whitespace())
            .unwrap()
            .command
        {
            Command::Serve(args) => args,
            _ => unreachable!("not serve"),
        }
    }

    #[test]
    fn f26_flags_describe_servers() {
        let args = args(
            "--servers 10.0.1.101+3 --workers 15,15,8 --first-sid 4 --no-drop --errors fleet --queue 9",
        );
        let service = plan::service(&args.service).unwrap();
        let configs = configs(&args, &service).unwrap();
        let sids: Vec<u16> = configs.iter().map(|config| config.sid).collect();
        assert_eq!(sids, [4, 5, 6]);
        assert_eq!(configs[2].workers, 8);
        assert_eq!(configs[1].addresses.len(), 2);
        assert_eq!(configs[1].addresses[1].to_string(), "10.0.1.102:9044");
        assert!(!configs[0].drop_clones && configs[0].queue == 9);
        assert_eq!(configs[0].errors, Errors::FLEET);
    }

    #[test]
    fn f26_events_are_read_and_sorted() {
        let texts = ["12s:0:up", "5s:1:kill", "6s:0:slow:10"].map(String::from);
        let events = events(&texts, 2).unwrap();
        let at: Vec<u64> = events
            .iter()
            .map(|event| event.at_ns / 1_000_000_000)
            .collect();
        assert_eq!(at, [5, 6, 12]);
        assert_eq!(events[1].health, Health::Slow(10.0));
    }

    #[test]
    fn f26_mistakes_name_their_flag() {
        let stop = Arc::new(AtomicBool::new(true));
        for (flags, expected) in [
            ("", "--servers"),
            ("--servers 10.0.0.x", "--servers:"),
            ("--servers 10.0.0.1+2 --workers 1,2,3", "--workers:"),
            ("--servers 10.0.0.1 --errors x", "--errors:"),
            ("--servers 10.0.0.1 --event 5s", "TIME:SERVER:HEALTH"),
            (
                "--servers 10.0.0.1 --event 5s:1:kill",
                "there are 1 servers",
            ),
            ("--servers 10.0.0.1 --event 5s:0:dead", "health"),
            ("--servers 10.0.0.1+2 --first-sid 65534", "--first-sid"),
            ("--servers 127.0.0.1 --workers-spin", "--udp-ports"),
            ("--servers 192.0.2.1", "192.0.2.1:9043"),
            ("--servers 127.0.0.1 --udp-ports 7,7", "two servers have"),
        ] {
            let error = serve(&args(flags), 1, &stop).unwrap_err();
            assert!(error.contains(expected), "{flags}: {error}");
        }
    }
}
