//! Servers whose workers do not work: several servers with many workers each, on one core.
//!
//! A request that finds a worker free ends when its drawn service time has passed; nobody spins. The
//! waiting line is first come, first served. Dropped clones, echoed fields and the reported load are the
//! server library's.

mod health;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use nf_clone::server::{Answering, Config, Fcfs, Received, Request, Server};
use serde::Serialize;

use crate::endpoint::{Datagram, Endpoint, Network};
use crate::payload::{Answer, Ask, RESPONSE_LEN};
use crate::presets::{Errors, Outcome};
use crate::random::Random;
use crate::service::ServiceTime;

pub use health::Health;

/// Answers that leave later than this after their time count as late, nanoseconds.
pub const LATE_NS: u64 = 100_000;

/// One server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where it receives. An answer leaves from the address that its request came to.
    pub addresses: Vec<SocketAddr>,
    /// Its number, as the appliance knows it.
    pub sid: u16,
    /// Requests that it works on at a time, at least 1.
    pub workers: u32,
    /// Requests that may wait. Those beyond are dropped.
    pub queue: usize,
    /// Whether clones that find others waiting are dropped.
    pub drop_clones: bool,
    /// How long requests take.
    pub service: ServiceTime,
    /// How often they fail.
    pub errors: Errors,
    /// Payload bytes in a packet of an answer.
    pub packet_payload: usize,
}

impl ServerConfig {
    /// A server of 15 workers with a line of 65,536 that drops clones, and whose requests never fail.
    pub fn new(sid: u16, addresses: Vec<SocketAddr>, service: ServiceTime) -> ServerConfig {
        ServerConfig {
            addresses,
            sid,
            workers: 15,
            queue: 65_536,
            drop_clones: true,
            service,
            errors: Errors::NONE,
            packet_payload: nf_clone::message::DEFAULT_PACKET_PAYLOAD,
        }
    }
}

/// What one server has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ServerCounters {
    /// Requests taken, clones included.
    pub requests: u64,
    /// Of these, clones.
    pub clones: u64,
    /// Clones dropped because others were waiting.
    pub clones_dropped: u64,
    /// Answers sent.
    pub answers: u64,
    /// Of these, those that reported an empty line.
    pub answers_idle: u64,
    /// Of these, those that told of a failure.
    pub failures: u64,
    /// Of these, those that left more than [`LATE_NS`] after their time: whoever runs the emulator was busy
    /// elsewhere.
    pub answers_late: u64,
    /// How late the latest one was, nanoseconds.
    pub greatest_lateness_ns: u64,
    /// Requests dropped because the line was full.
    pub queue_full: u64,
    /// Datagrams lost on purpose: the server was killed, hung, or set to drop.
    pub lost: u64,
    /// Pings answered.
    pub pings: u64,
    /// Datagrams that were no requests.
    pub malformed: u64,
    /// Answers that the network did not take.
    pub refused: u64,
    /// Time that workers have worked, summed over the workers, nanoseconds.
    pub busy_ns: u64,
    /// The longest the line has been.
    pub longest_queue: u64,
    /// Requests waiting now.
    pub waiting: u64,
    /// Requests being worked on now.
    pub working: u64,
}

impl ServerCounters {
    /// The share of the answers that reported an empty line.
    pub fn idle_share(&self) -> f64 {
        self.answers_idle as f64 / self.answers.max(1) as f64
    }

    /// Adds the numbers of `other`; of extremes, the greater.
    pub fn add(&mut self, other: &ServerCounters) {
        self.requests += other.requests;
        self.clones += other.clones;
        self.clones_dropped += other.clones_dropped;
        self.answers += other.answers;
        self.answers_idle += other.answers_idle;
        self.failures += other.failures;
        self.answers_late += other.answers_late;
        self.greatest_lateness_ns = self.greatest_lateness_ns.max(other.greatest_lateness_ns);
        self.queue_full += other.queue_full;
        self.lost += other.lost;
        self.pings += other.pings;
        self.malformed += other.malformed;
        self.refused += other.refused;
        self.busy_ns += other.busy_ns;
        self.longest_queue = self.longest_queue.max(other.longest_queue);
        self.waiting += other.waiting;
        self.working += other.working;
    }
}

/// A request at a server.
#[derive(Debug, Clone)]
struct Job {
    request: Request,
    /// The address it came to.
    to: SocketAddr,
    ask: Ask,
    arrived: u64,
}

/// A request that a worker has.
#[derive(Debug)]
struct Running {
    job: Job,
    server: u32,
    /// Of the server, when it was begun; another one by now means that it will never end.
    generation: u32,
    started: u64,
    service_ns: u64,
}

#[derive(Debug)]
struct Host {
    config: ServerConfig,
    core: Server,
    answering: Answering,
    line: Fcfs<Job>,
    busy: u32,
    health: Health,
    generation: u32,
    random: Random,
    counters: ServerCounters,
}

/// Emulated servers.
#[derive(Debug)]
pub struct Emulator {
    hosts: Vec<Host>,
    /// Sorted by address.
    by_address: Vec<(SocketAddr, usize)>,
    /// When which request ends; equal times in the order in which they were begun.
    ends: BinaryHeap<Reverse<(u64, u64, u32)>>,
    begun: u64,
    running: Vec<Option<Running>>,
    free: Vec<u32>,
    payload: Vec<u8>,
    packet: Vec<u8>,
}

impl Emulator {
    /// The servers. What they draw follows from the seed, for each of them by its number.
    pub fn new(servers: Vec<ServerConfig>, seed: u64) -> Result<Emulator, String> {
        if servers.is_empty() {
            return Err("at least one server is needed".into());
        }
        let mut by_address = Vec::new();
        let mut hosts = Vec::new();
        for (index, config) in servers.into_iter().enumerate() {
            if config.workers == 0 {
                return Err(format!("server {} has no workers", config.sid));
            }
            if config.addresses.is_empty() {
                return Err(format!("server {} has no address", config.sid));
            }
            by_address.extend(config.addresses.iter().map(|address| (*address, index)));
            let mut core = Config::new(config.sid);
            core.drop_clones = config.drop_clones;
            core.packet_payload = config.packet_payload;
            let core = Server::new(core).map_err(|error| error.to_string())?;
            hosts.push(Host {
                answering: core.answering(),
                core,
                line: Fcfs::new(config.queue),
                busy: 0,
                health: Health::Up,
                generation: 0,
                random: Random::named(seed, "server", config.sid.into()),
                counters: ServerCounters::default(),
                config,
            });
        }
        by_address.sort_unstable();
        for pair in by_address.windows(2) {
            if let [(a, _), (b, _)] = pair
                && a == b
            {
                return Err(format!("two servers have the address {a}"));
            }
        }
        Ok(Emulator {
            hosts,
            by_address,
            ends: BinaryHeap::new(),
            begun: 0,
            running: Vec::new(),
            free: Vec::new(),
            payload: Vec::new(),
            packet: Vec::new(),
        })
    }

    /// How many servers there are.
    pub fn servers(&self) -> usize {
        self.hosts.len()
    }

    /// Requests a second that all servers together can serve.
    pub fn capacity(&self) -> f64 {
        self.hosts
            .iter()
            .map(|host| host.config.service.capacity(host.config.workers.into()))
            .sum()
    }

    /// What a server has counted, by its place in the list it was made from.
    pub fn counters(&self, server: usize) -> Option<ServerCounters> {
        let host = self.hosts.get(server)?;
        let core = host.core.counters();
        Some(ServerCounters {
            requests: core.reads + core.writes,
            clones: core.clones,
            clones_dropped: core.clones_dropped,
            pings: core.pings,
            malformed: core.malformed,
            waiting: host.line.len() as u64,
            working: host.busy.into(),
            ..host.counters
        })
    }

    /// The sum over all servers.
    pub fn total(&self) -> ServerCounters {
        let mut total = ServerCounters::default();
        for server in 0..self.hosts.len() {
            if let Some(counters) = self.counters(server) {
                total.add(&counters);
            }
        }
        total
    }

    /// Lets all requests end whose time has come.
    fn advance(&mut self, now: u64, network: &mut dyn Network) {
        while let Some(&Reverse((at, _, slot))) = self.ends.peek()
            && at <= now
        {
            self.ends.pop();
            let Some(running) = self.running.get_mut(slot as usize).and_then(Option::take) else {
                continue;
            };
            self.free.push(slot);
            let server = running.server;
            let Some(host) = self.hosts.get_mut(server as usize) else {
                continue;
            };
            if host.generation != running.generation {
                continue;
            }
            let late = now - at;
            let greatest = host.counters.greatest_lateness_ns.max(late);
            host.counters.greatest_lateness_ns = greatest;
            host.counters.answers_late += u64::from(late > LATE_NS);
            host.answer(at, running, &mut self.payload, &mut self.packet, network);
            // The next one begins where the last one ended, however late we are.
            match host.line.pop() {
                Some(job) => self.begin(server, job, at),
                None => host.busy -= 1,
            }
        }
    }

    /// A worker takes a request.
    fn begin(&mut self, server: u32, job: Job, now: u64) {
        let Some(host) = self.hosts.get_mut(server as usize) else {
            return;
        };
        let mut service_ns = host.config.service.draw(&job.ask, &mut host.random);
        if let Health::Slow(factor) = host.health {
            service_ns = (service_ns as f64 * factor) as u64;
        }
        let running = Some(Running {
            job,
            server,
            generation: host.generation,
            started: now,
            service_ns,
        });
        let slot = self.free.pop().unwrap_or(self.running.len() as u32);
        match self.running.get_mut(slot as usize) {
            Some(place) => *place = running,
            None => self.running.push(running),
        }
        self.begun += 1;
        let end = now.saturating_add(service_ns);
        self.ends.push(Reverse((end, self.begun, slot)));
    }
}

impl Host {
    fn answer(
        &mut self,
        now: u64,
        running: Running,
        payload: &mut Vec<u8>,
        packet: &mut Vec<u8>,
        network: &mut dyn Network,
    ) {
        let Running { job, .. } = running;
        self.counters.busy_ns += now - running.started;
        let outcome = self.config.errors.draw(&mut self.random);
        let len = (job.ask.response_bytes as usize).max(RESPONSE_LEN);
        // The load is what waits before this worker takes its next request.
        let load = self.core.load(self.line.len());
        let message = self
            .answering
            .answer(&job.request, load, len)
            .or_else(|_| self.answering.answer(&job.request, load, RESPONSE_LEN));
        let Ok(message) = message else { return };
        payload.resize(message.len(), 0);
        let answer = Answer {
            service_ns: running.service_ns,
            waited_ns: running.started.saturating_sub(job.arrived),
            outcome,
        };
        answer.write(payload);
        self.counters.answers += 1;
        self.counters.answers_idle += u64::from(load == 0);
        self.counters.failures += u64::from(outcome != Outcome::Ok);
        for index in 0..message.packets() {
            message.encode(index, payload, packet);
            if !network.send(job.to, job.request.from, packet) {
                self.counters.refused += 1;
            }
        }
    }

    /// Takes a datagram; the request that a free worker has to begin at once.
    fn receive(
        &mut self,
        now: u64,
        datagram: Datagram<'_>,
        network: &mut dyn Network,
    ) -> Option<Job> {
        let lost = match self.health {
            Health::Killed => true,
            Health::Drops(share) => self.random.chance(share),
            _ => false,
        };
        if lost {
            self.counters.lost += 1;
            return None;
        }
        let waiting = self.line.len();
        let (from, to) = (datagram.from, datagram.to);
        match self.core.receive(now, from, datagram.payload, waiting) {
            Received::Request { request, payload } => {
                let job = Job {
                    request,
                    to,
                    ask: Ask::read(payload),
                    arrived: now,
                };
                let hung = self.health == Health::Hung;
                if self.busy < self.config.workers && !hung {
                    self.busy += 1;
                    return Some(job);
                }
                if self.line.push(job).is_err() {
                    self.counters.queue_full += 1;
                }
                let longest = self.counters.longest_queue.max(self.line.len() as u64);
                self.counters.longest_queue = longest;
            }
            Received::Ping(pong) if self.health != Health::Hung => {
                if !network.send(to, from, &pong) {
                    self.counters.refused += 1;
                }
            }
            // Counted by the library, or silent as it should be.
            Received::Ping(_)
            | Received::Part
            | Received::CloneDropped
            | Received::Malformed(_) => {}
        }
        None
    }
}

impl Endpoint for Emulator {
    fn addresses(&self) -> Vec<SocketAddr> {
        self.by_address
            .iter()
            .map(|(address, _)| *address)
            .collect()
    }

    fn on_datagram(&mut self, now: u64, datagram: Datagram<'_>, network: &mut dyn Network) {
        self.advance(now, network);
        let found = self
            .by_address
            .binary_search_by(|(address, _)| address.cmp(&datagram.to));
        let Some(&(_, index)) = found.ok().and_then(|place| self.by_address.get(place)) else {
            return;
        };
        let job = self
            .hosts
            .get_mut(index)
            .and_then(|host| host.receive(now, datagram, network));
        if let Some(job) = job {
            self.begin(index as u32, job, now);
        }
    }

    fn on_time(&mut self, now: u64, network: &mut dyn Network) {
        self.advance(now, network);
    }

    fn next_time(&self) -> Option<u64> {
        self.ends.peek().map(|Reverse((at, _, _))| *at)
    }
}
