//! Clients on a real network: one run.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use workload::Scheme;
use workload::rpc::{Client, Counts, Measured};
use workload::scheme::Targets;

use super::plan::Plan;
use super::sweep::{Run, Runner};
use crate::endpoints::Ticker;
use crate::endpoints::group::Group;
use crate::endpoints::place::{Bound, Place};
use crate::text::grouped;
use crate::units::si;

/// From the start of a run to the first request, so that all clients are there.
const BEFORE: Duration = Duration::from_millis(20);

/// How often progress is told.
const TELL: Duration = Duration::from_secs(1);

/// Runs clients over a [`Place`].
pub struct Live<'a> {
    /// What is run.
    pub plan: &'a Plan,
    /// Where.
    pub place: &'a Place,
    /// Raised when the user wants to end it.
    pub stop: Arc<AtomicBool>,
    /// No progress.
    pub quiet: bool,
}

/// Counts of all clients so far, each in its own slot.
type Slots = Arc<[Mutex<Counts>]>;

fn put(slots: &Slots, index: usize, counts: Counts) {
    if let Some(slot) = slots.get(index) {
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}

fn sum(slots: &Slots, value: fn(&Counts) -> u64) -> u64 {
    let slots = slots.iter();
    slots
        .map(|slot| value(&slot.lock().unwrap_or_else(PoisonError::into_inner)))
        .sum()
}

impl Live<'_> {
    /// The addresses that a client sends from.
    fn sources(&self, index: u32) -> Result<Vec<SocketAddr>, String> {
        let ports = 0..self.plan.source_ports;
        if self.place.is_shared() {
            // The kernel has free ports.
            return Ok(ports.map(|_| SocketAddr::new(self.plan.from, 0)).collect());
        }
        let host = next_host(self.plan.from, index)
            .ok_or_else(|| format!("there is no address {index} after {}", self.plan.from))?;
        Ok(ports
            .map(|port| SocketAddr::new(host, 20_000 + port % 40_000))
            .collect())
    }

    fn client(
        &self,
        run: &Run,
        index: u32,
        sources: Vec<SocketAddr>,
        start: u64,
    ) -> Result<Client, String> {
        let mut config = self.plan.client.clone();
        config.index = index;
        config.seed = run.seed;
        config.scheme = run.scheme;
        config.arrival = run.arrival;
        config.rate = run.rate / f64::from(self.plan.clients);
        config.start = start;
        config.sources = sources;
        // Answers to an earlier run must not be taken for this one's.
        config.client_id = nf_clone::client::fresh_client_id();
        Client::new(config)
    }

    fn tell(&self, run: &Run, slots: &Slots, before: u64, since: f64) -> u64 {
        let answered = sum(slots, |counts| counts.answered_in_time);
        eprintln!(
            "{:6.1} s  {}: {}rps answered, {} answers in all, {} not sent",
            since,
            run.title,
            si((answered - before) as f64 / TELL.as_secs_f64()),
            grouped(answered),
            grouped(sum(slots, |counts| counts.unsent)),
        );
        answered
    }

    /// One thread for each client, over sockets.
    fn on_threads(
        &self,
        run: &Run,
        slots: &Slots,
        bound: Vec<Bound>,
        ticker: Ticker,
        start: u64,
    ) -> Result<Vec<(Client, f64)>, String> {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for (index, bound) in (0u32..).zip(bound) {
                let client = self.client(run, index, bound.addresses.clone(), start)?;
                let (stop, slots) = (Arc::clone(&self.stop), Arc::clone(slots));
                threads.push(scope.spawn(move || {
                    bound.run(client, ticker, move |client: &mut Client, _| {
                        put(&slots, index as usize, client.progress());
                        !client.is_finished() && !stop.load(Ordering::Relaxed)
                    })
                }));
            }
            let teller = scope.spawn(|| self.watch(run, slots, &done));
            let clients: Result<Vec<(Client, f64)>, String> = threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err("a client has panicked".into()))
                })
                .collect();
            done.store(true, Ordering::Relaxed);
            teller.thread().unpark();
            let _ = teller.join();
            clients
        })
    }

    fn watch(&self, run: &Run, slots: &Slots, done: &AtomicBool) {
        let begin = Instant::now();
        let (mut next, mut before) = (begin + TELL, 0);
        while !done.load(Ordering::Relaxed) {
            let now = Instant::now();
            if now < next {
                std::thread::park_timeout(next - now);
                continue;
            }
            next += TELL;
            if !self.quiet {
                before = self.tell(run, slots, before, begin.elapsed().as_secs_f64());
            }
        }
    }
}

/// The address `index` after `first`.
fn next_host(first: std::net::IpAddr, index: u32) -> Option<std::net::IpAddr> {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    Some(match first {
        IpAddr::V4(first) => IpAddr::V4(Ipv4Addr::from(u32::from(first).checked_add(index)?)),
        IpAddr::V6(first) => {
            IpAddr::V6(Ipv6Addr::from(u128::from(first).checked_add(index.into())?))
        }
    })
}

impl Runner for Live<'_> {
    fn prepare(&mut self, scheme: Scheme) -> Result<(), String> {
        let Some(command) = &self.plan.prepare else {
            return Ok(());
        };
        let status = Command::new("/bin/sh")
            .args(["-c", command])
            .env("PKTGEN_SCHEME", scheme.name())
            // Standard output is the results'.
            .stdout(std::process::Stdio::null())
            .status()
            .map_err(|error| format!("--prepare: {error}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!(
                "--prepare for {scheme}: {command:?} ended with {status}"
            ))
        }
    }

    fn run(&mut self, run: &Run) -> Result<Option<Measured>, String> {
        let all = self.plan.clients;
        let slots: Slots = (0..all).map(|_| Mutex::default()).collect();
        let sources = (0..all)
            .map(|index| self.sources(index))
            .collect::<Result<Vec<_>, String>>()?;
        let targets = match self.plan.client.cluster.targets(run.scheme)? {
            Targets::One(address) => vec![address],
            Targets::Servers(servers) => servers,
        };
        let before = u64::try_from(BEFORE.as_nanos()).unwrap_or(0);
        let clients = if self.place.is_shared() {
            let bound = sources
                .iter()
                .map(|sources| self.place.bind(sources, &targets))
                .collect::<Result<Vec<Bound>, String>>()?;
            let ticker = Ticker::start();
            self.on_threads(run, &slots, bound, ticker, before)?
        } else {
            let bound = self.place.bind(&sources.concat(), &targets)?;
            let ticker = Ticker::start();
            let members = (0u32..)
                .zip(sources)
                .map(|(index, sources)| self.client(run, index, sources, before))
                .collect::<Result<Vec<Client>, String>>()?;
            let (stop, told) = (Arc::clone(&self.stop), Arc::clone(&slots));
            let done = AtomicBool::new(false);
            let group = std::thread::scope(|scope| {
                let teller = scope.spawn(|| self.watch(run, &slots, &done));
                let group = bound.run(
                    Group::new(members),
                    ticker,
                    move |group: &mut Group<Client>, _| {
                        for (index, client) in group.members().iter().enumerate() {
                            put(&told, index, client.progress());
                        }
                        let finished = group.members().iter().all(Client::is_finished);
                        !finished && !stop.load(Ordering::Relaxed)
                    },
                );
                done.store(true, Ordering::Relaxed);
                teller.thread().unpark();
                group
            });
            let (group, busy) = group?;
            let members = group.into_members();
            members.into_iter().map(|client| (client, busy)).collect()
        };
        if !clients.iter().all(|(client, _)| client.is_finished()) {
            return Ok(None);
        }
        let mut measured = Measured::default();
        for (client, busy) in &clients {
            let mut one = client.measured();
            one.client_busy = Some(*busy);
            measured.add(&one);
        }
        Ok(Some(measured))
    }
}
