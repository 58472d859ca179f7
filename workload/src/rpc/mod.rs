//! Clients that send requests and measure how long the answers take, in every scheme.
//!
//! In an open loop the send times are fixed beforehand: an answer that is missing delays nothing, and
//! latency counts from the time a request was meant to be sent.

mod config;
mod measure;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;

use nf_clone::client::{BeginError, Client as Core, Due, Event, Request};
use nf_clone::message::Outgoing;

use crate::arrival::{Arrival, Arrivals};
use crate::endpoint::{Datagram, Endpoint, Network};
use crate::payload::{Answer, Ask, REQUEST_LEN};
use crate::presets::Outcome;
use crate::random::Random;
use crate::scheme::{Scheme, Targets};
use crate::service::DrawMode;

pub use config::{Appliance, ClientConfig, Retry, SOURCE_PORTS};
pub use measure::{Counts, Latency, Measured, RunSummary, Times};

/// Requests sent in one call, so that answers are looked at between.
const AT_ONCE: u32 = 32;

/// Answers after which the time for hedging is taken anew.
const HEDGE_EVERY: u64 = 200;

/// A request under way.
#[derive(Debug, Clone, Copy, Default)]
struct Flight {
    intended: u64,
    sent: u64,
    ask: Ask,
    len: usize,
    /// Meant to be sent while it was measured.
    measured: bool,
    /// The server that was asked, where the client chooses; for the second copy to go elsewhere.
    server: usize,
}

/// A second copy that is due unless the answer comes before.
#[derive(Debug, Clone, Copy)]
struct Hedge {
    at: u64,
    seq: u32,
    token: u64,
    message: Outgoing,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    core: Core,
    targets: Targets,
    arrivals: Option<Arrivals>,
    /// Requests that a closed loop has to send now.
    wanted: u32,
    /// By token.
    flights: Vec<Flight>,
    free: Vec<u32>,
    /// CLIENT_SEQ by token while under way, to know whether a hedge's request still is.
    seqs: Vec<Option<u32>>,
    hedges: VecDeque<Hedge>,
    /// From the actual send time, warm-up included: what a quantile for hedging is taken from.
    answers: Times,
    /// `None` until enough is known.
    hedge_after_ns: Option<u64>,
    choice: Random,
    sizes: Random,
    bases: Random,
    next_source: usize,
    measured: Measured,
    /// The first and the last CLIENT_SEQ of the requests that count; they follow one another.
    measured_seqs: Option<(u32, u32)>,
    out: Out,
    finished: bool,
}

/// Room to build packets in.
#[derive(Debug, Default)]
struct Out {
    payload: Vec<u8>,
    packet: Vec<u8>,
    not_taken: u64,
}

impl Out {
    fn send(
        &mut self,
        message: &Outgoing,
        ask: Ask,
        (from, to): (SocketAddr, SocketAddr),
        network: &mut dyn Network,
    ) {
        self.payload.resize(message.len(), 0);
        ask.write(&mut self.payload);
        for index in 0..message.packets() {
            message.encode(index, &self.payload, &mut self.packet);
            if !network.send(from, to, &self.packet) {
                self.not_taken += 1;
            }
        }
    }
}

impl Client {
    /// A client that starts at its time.
    pub fn new(config: ClientConfig) -> Result<Client, String> {
        let targets = config.cluster.targets(config.scheme)?;
        if config.sources.is_empty() {
            return Err("a client needs an address to send from".into());
        }
        if !(0.0..=1.0).contains(&config.writes) {
            return Err(format!(
                "the share of writes is from 0 to 1, found {}",
                config.writes
            ));
        }
        let named = |name| Random::named(config.seed, name, config.index.into());
        let core = Core::new(config.core(), named("header").next_u64())
            .map_err(|error| error.to_string())?;
        let arrivals = Arrivals::new(
            config.arrival,
            config.rate,
            config.seed,
            config.index.into(),
        )
        .map_err(|error| error.to_string())?;
        let wanted = match config.arrival {
            Arrival::Closed { outstanding } => outstanding,
            _ => 0,
        };
        Ok(Client {
            core,
            targets,
            arrivals,
            wanted,
            flights: Vec::new(),
            free: Vec::new(),
            seqs: Vec::new(),
            hedges: VecDeque::new(),
            answers: Times::default(),
            hedge_after_ns: match config.hedge_quantile {
                None => Some(config.hedge_after_ns),
                Some(_) => None,
            },
            choice: named("server"),
            sizes: named("size"),
            bases: named("base"),
            next_source: 0,
            measured: Measured {
                window_ns: config.duration_ns,
                ..Measured::default()
            },
            measured_seqs: None,
            out: Out::default(),
            finished: false,
            config,
        })
    }

    /// Its settings.
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Whether it is done: all was sent, and answered or given up.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.core.in_flight()
    }

    /// What it has measured so far.
    pub fn measured(&self) -> Measured {
        let mut measured = self.measured.clone();
        let counters = self.core.counters();
        measured.counts.late = counters.late;
        measured.counts.retransmissions = counters.retransmissions;
        measured.counts.refused = counters.refused;
        measured.counts.malformed = counters.malformed + counters.unknown;
        measured.counts.not_taken = self.out.not_taken;
        measured
    }

    /// The counts so far, without the distributions.
    pub fn progress(&self) -> Counts {
        self.measured.counts
    }

    fn window(&self) -> (u64, u64) {
        let begin = self.config.start + self.config.warm_up_ns;
        (begin, begin + self.config.duration_ns)
    }

    /// When the next request is meant to be sent, before sending ends.
    fn next_send(&self) -> Option<u64> {
        let at = match &self.arrivals {
            Some(arrivals) => self.config.start.saturating_add(arrivals.peek()),
            None if self.wanted > 0 => self.config.start,
            None => return None,
        };
        (at < self.config.end()).then_some(at)
    }

    fn source(&mut self) -> SocketAddr {
        let sources = &self.config.sources;
        let source = sources.get(self.next_source % sources.len().max(1));
        self.next_source = self.next_source.wrapping_add(1);
        source.copied().unwrap_or_else(unspecified)
    }

    /// Sends a message to who the scheme names; where that is the client's choice, not to `not`. Returns the
    /// server chosen.
    fn send(
        &mut self,
        message: &Outgoing,
        ask: Ask,
        not: Option<usize>,
        network: &mut dyn Network,
    ) -> usize {
        let from = self.source();
        let servers = match &self.targets {
            Targets::One(address) => {
                self.out.send(message, ask, (from, *address), network);
                return 0;
            }
            Targets::Servers(servers) => servers,
        };
        let n = servers.len();
        let first = match not {
            Some(not) if n > 1 => other(not, n, &mut self.choice),
            _ => self.choice.below(n as u64) as usize,
        };
        let address = |index: usize| servers.get(index).copied().unwrap_or_else(unspecified);
        self.out.send(message, ask, (from, address(first)), network);
        if self.config.scheme == Scheme::CClone {
            let second = other(first, n, &mut self.choice);
            self.out
                .send(message, ask, (from, address(second)), network);
        }
        first
    }

    /// Begins a request that was meant to be sent at `intended`.
    fn begin(&mut self, now: u64, intended: u64, network: &mut dyn Network) {
        let (begin, end) = self.window();
        let measured = (begin..end).contains(&intended);
        self.measured.counts.offered += u64::from(measured);
        let config = &self.config;
        let len = config.request_bytes.sample_whole(&mut self.sizes) as usize;
        let response = config.response_bytes.sample_whole(&mut self.sizes);
        let (base_ns, kind) = match config.draw {
            DrawMode::Independent => (0, 0),
            DrawMode::RequestBound => (config.service.base(&mut self.bases), 0),
            DrawMode::KindBound => (0, config.service.kind(&mut self.bases)),
        };
        let flight = Flight {
            intended,
            sent: now,
            ask: Ask {
                base_ns,
                response_bytes: u32::try_from(response).unwrap_or(u32::MAX),
                kind,
            },
            len: len.max(REQUEST_LEN),
            measured,
            server: 0,
        };
        let token = self
            .free
            .last()
            .copied()
            .unwrap_or(self.flights.len() as u32);
        let request = if config.writes > 0.0 && self.sizes.chance(config.writes) {
            Request::write(flight.len, token.into())
        } else {
            Request::read(flight.len, token.into())
        };
        let (seq, message) = match self.core.begin(now, request) {
            Ok(begun) => begun,
            Err(BeginError::WindowFull | BeginError::TooLong(_)) => {
                self.measured.counts.unsent += u64::from(measured);
                return;
            }
        };
        let server = self.send(&message, flight.ask, None, network);
        let flight = Flight { server, ..flight };
        self.free.pop();
        match self.flights.get_mut(token as usize) {
            Some(place) => *place = flight,
            None => self.flights.push(flight),
        }
        match self.seqs.get_mut(token as usize) {
            Some(place) => *place = Some(seq),
            None => self.seqs.push(Some(seq)),
        }
        if measured {
            let first = self.measured_seqs.map_or(seq, |(first, _)| first);
            self.measured_seqs = Some((first, seq));
            self.measured.lateness.record(now.saturating_sub(intended));
        }
        if let Some(after) = self.hedge_after_ns
            && self.config.scheme == Scheme::Hedge
        {
            self.hedges.push_back(Hedge {
                at: now.saturating_add(after),
                seq,
                token: token.into(),
                message,
            });
        }
    }

    /// Sends what is due, up to a limit.
    fn send_due(&mut self, now: u64, network: &mut dyn Network) {
        for _ in 0..AT_ONCE {
            let Some(at) = self.next_send().filter(|at| *at <= now) else {
                return;
            };
            match &mut self.arrivals {
                Some(arrivals) => {
                    arrivals.advance();
                    self.begin(now, at, network);
                }
                None => {
                    if now >= self.config.end() {
                        self.wanted = 0;
                        return;
                    }
                    self.wanted -= 1;
                    self.begin(now, now, network);
                }
            }
        }
    }

    /// A request is no longer under way.
    fn done(&mut self, token: u64) {
        self.free.push(token as u32);
        if let Some(seq) = self.seqs.get_mut(token as usize) {
            *seq = None;
        }
        if self.config.arrival.is_closed() {
            self.wanted += 1;
        }
    }

    /// An answer more to take the time for hedging from.
    fn learn(&mut self, now: u64, token: u64) {
        let (Some(quantile), Some(flight)) =
            (self.config.hedge_quantile, self.flights.get(token as usize))
        else {
            return;
        };
        self.answers.record(now.saturating_sub(flight.sent));
        if self.answers.len().is_multiple_of(HEDGE_EVERY) {
            self.hedge_after_ns = Some(self.answers.quantile(quantile));
        }
    }

    fn hedge_due(&mut self, now: u64, network: &mut dyn Network) {
        while let Some(hedge) = self.hedges.front().copied() {
            let answered = self.seqs.get(hedge.token as usize) != Some(&Some(hedge.seq));
            if !answered && hedge.at > now {
                return;
            }
            self.hedges.pop_front();
            if let Some(flight) = self.flights.get(hedge.token as usize).copied()
                && !answered
            {
                self.measured.counts.hedged += 1;
                self.send(&hedge.message, flight.ask, Some(flight.server), network);
            }
        }
    }

    fn core_due(&mut self, now: u64, network: &mut dyn Network) {
        while let Some(due) = self.core.poll(now) {
            match due {
                Due::Resend { token, message, .. } => {
                    let flight = self.flights.get(token as usize).copied();
                    let flight = flight.unwrap_or_default();
                    let server = self.send(&message, flight.ask, Some(flight.server), network);
                    if let Some(flight) = self.flights.get_mut(token as usize) {
                        flight.server = server;
                    }
                }
                Due::GivenUp { token, .. } => self.done(token),
            }
        }
    }

    fn check_finished(&mut self, now: u64) {
        let end = self.config.end();
        let over = now >= end && (self.next_send().is_none());
        if over && (self.core.in_flight() == 0 || now >= end + self.config.settle_ns) {
            self.finished = true;
        }
    }
}

/// An index below `n` (at least 2) that is not `not`.
fn other(not: usize, n: usize, random: &mut Random) -> usize {
    let drawn = random.below(n as u64 - 1) as usize;
    drawn + usize::from(drawn >= not)
}

fn unspecified() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}

impl Endpoint for Client {
    fn addresses(&self) -> Vec<SocketAddr> {
        self.config.sources.clone()
    }

    fn on_datagram(&mut self, now: u64, datagram: Datagram<'_>, network: &mut dyn Network) {
        let (begin, end) = self.window();
        let answer = match self.core.on_datagram(now, datagram.payload) {
            Event::Response(response) => {
                (response.token, response.clo, Answer::read(response.payload))
            }
            Event::Redundant { seq, .. } => {
                let measured = self.measured_seqs.is_some_and(|(first, last)| {
                    seq.wrapping_sub(first) <= last.wrapping_sub(first)
                });
                self.measured.counts.redundant += u64::from(measured);
                return;
            }
            // Counted by the library. What is refused is sent again when `next_time` says so.
            _ => return,
        };
        let (token, clo, answer) = answer;
        self.learn(now, token);
        let counts = &mut self.measured.counts;
        counts.answered_in_time += u64::from((begin..end).contains(&now));
        if let Some(flight) = self.flights.get(token as usize).filter(|f| f.measured) {
            counts.completed += 1;
            counts.cloned += u64::from(clo > 0);
            counts.by_clone += u64::from(clo == 2);
            self.measured
                .latency
                .record(now.saturating_sub(flight.intended));
            self.measured
                .latency_sent
                .record(now.saturating_sub(flight.sent));
            if let Some(answer) = answer {
                self.measured.service.record(answer.service_ns);
                self.measured.waited.record(answer.waited_ns);
                let kind = match answer.outcome {
                    Outcome::Ok => None,
                    Outcome::Cancelled => counts.failed.get_mut(0),
                    Outcome::NotFound => counts.failed.get_mut(1),
                    Outcome::Other => counts.failed.get_mut(2),
                };
                if let Some(count) = kind {
                    *count += 1;
                }
            }
        }
        self.done(token);
        if self.config.arrival.is_closed() {
            self.send_due(now, network);
        }
        if now >= end {
            self.check_finished(now);
        }
    }

    fn on_time(&mut self, now: u64, network: &mut dyn Network) {
        self.send_due(now, network);
        self.hedge_due(now, network);
        self.core_due(now, network);
        if self.config.arrival.is_closed() {
            self.send_due(now, network);
        }
        self.check_finished(now);
    }

    fn next_time(&self) -> Option<u64> {
        if self.finished {
            return None;
        }
        let end = self.config.end();
        // At the end, to see whether all is done; and when nothing more is waited for.
        let waits = self.next_send().is_none() && self.core.in_flight() > 0;
        let over = if waits {
            end + self.config.settle_ns
        } else {
            end
        };
        [
            self.next_send(),
            self.core.next_time(),
            self.hedges.front().map(|hedge| hedge.at),
            Some(over),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
