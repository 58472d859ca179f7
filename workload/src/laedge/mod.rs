//! The coordinator of LÆDGE: it knows which servers are idle, and asks two of them when two are.
//!
//! Every request and every answer passes it, redundant answers too: each one frees a server. What finds no
//! server idle waits in a line, and goes to the server that is free next, as a single copy.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use nf_clone::wire::{Kind, View};
use serde::Serialize;

use crate::endpoint::{Datagram, Endpoint, Network};
use crate::random::Random;

/// A coordinator's settings.
#[derive(Debug, Clone)]
pub struct LaedgeConfig {
    /// Where clients send to, and servers answer to.
    pub address: SocketAddr,
    /// The servers.
    pub servers: Vec<SocketAddr>,
    /// Requests that a server has at a time: 1 as in the paper's program, the number of its workers to be
    /// fair. A server with a free slot counts as idle.
    pub slots_per_server: u32,
    /// Requests that may wait. Those beyond are dropped.
    pub queue: usize,
    /// A slot whose answer has not come after this time is free again, nanoseconds.
    pub slot_timeout_ns: u64,
    /// Seed of its choices.
    pub seed: u64,
}

impl LaedgeConfig {
    /// One slot a server, a line of 65,536, slots free after a second.
    pub fn new(address: SocketAddr, servers: Vec<SocketAddr>) -> LaedgeConfig {
        LaedgeConfig {
            address,
            servers,
            slots_per_server: 1,
            queue: 65_536,
            slot_timeout_ns: 1_000_000_000,
            seed: 1,
        }
    }
}

/// What it has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LaedgeCounters {
    /// Datagrams that came.
    pub packets: u64,
    /// Requests that came.
    pub requests: u64,
    /// Requests sent to two servers.
    pub cloned: u64,
    /// Requests sent to one, at once or after they had waited.
    pub single: u64,
    /// Requests that had to wait.
    pub queued: u64,
    /// Requests dropped because the line was full.
    pub queue_full: u64,
    /// Requests that were under way already: sent again by the client.
    pub repeated: u64,
    /// First answers, which went to the client.
    pub answers: u64,
    /// Second answers.
    pub redundant: u64,
    /// Answers to nothing that is under way.
    pub stale: u64,
    /// Slots freed because no answer came.
    pub timeouts: u64,
    /// Datagrams that it could not use: no message, several packets, not from a server.
    pub malformed: u64,
    /// Datagrams that the network did not take.
    pub refused: u64,
    /// The longest the line has been.
    pub longest_queue: u64,
}

/// A client's request: CLIENT_ID and CLIENT_SEQ.
type Key = (u32, u32);

/// A request at one or two servers.
#[derive(Debug)]
struct Asked {
    client: SocketAddr,
    /// Servers whose answers are outstanding.
    at: [Option<usize>; 2],
    answered: bool,
}

/// A request that waits.
#[derive(Debug)]
struct Waiting {
    key: Key,
    client: SocketAddr,
    bytes: Vec<u8>,
}

/// The coordinator.
#[derive(Debug)]
pub struct Laedge {
    config: LaedgeConfig,
    /// Sorted by address.
    by_address: Vec<(SocketAddr, usize)>,
    /// Free slots by server.
    free: Vec<u32>,
    /// Servers with a free slot, in no order, and where each stands in it.
    idle: Vec<usize>,
    place: Vec<Option<usize>>,
    asked: HashMap<Key, Asked>,
    line: VecDeque<Waiting>,
    /// Keys of the line, so that what is sent again does not wait twice.
    waiting: HashMap<Key, ()>,
    /// When slots become free without an answer, oldest first.
    deadlines: VecDeque<(u64, Key, usize)>,
    spare: Vec<Vec<u8>>,
    random: Random,
    counters: LaedgeCounters,
}

impl Laedge {
    /// A coordinator whose servers are all idle.
    pub fn new(config: LaedgeConfig) -> Result<Laedge, String> {
        if config.servers.len() < 2 {
            return Err("a coordinator needs at least two servers".into());
        }
        if config.slots_per_server == 0 {
            return Err("a server has at least one slot".into());
        }
        if config.slot_timeout_ns == 0 {
            return Err("the time after which a slot is free again is more than 0".into());
        }
        let mut by_address: Vec<_> = config.servers.iter().copied().zip(0..).collect();
        by_address.sort_unstable();
        for pair in by_address.windows(2) {
            if let [(a, _), (b, _)] = pair
                && a == b
            {
                return Err(format!("two servers have the address {a}"));
            }
        }
        let n = config.servers.len();
        Ok(Laedge {
            by_address,
            free: vec![config.slots_per_server; n],
            idle: (0..n).collect(),
            place: (0..n).map(Some).collect(),
            asked: HashMap::new(),
            line: VecDeque::new(),
            waiting: HashMap::new(),
            deadlines: VecDeque::new(),
            spare: Vec::new(),
            random: Random::named(config.seed, "laedge", 0),
            counters: LaedgeCounters::default(),
            config,
        })
    }

    /// What it has counted.
    pub fn counters(&self) -> LaedgeCounters {
        self.counters
    }

    /// Requests that wait for a server.
    pub fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Takes a slot of a server.
    fn take(&mut self, server: usize) {
        let Some(free) = self.free.get_mut(server) else {
            return;
        };
        *free = free.saturating_sub(1);
        if *free > 0 {
            return;
        }
        if let Some(place) = self.place.get_mut(server).and_then(Option::take) {
            self.idle.swap_remove(place);
            if let Some(moved) = self.idle.get(place).copied()
                && let Some(at) = self.place.get_mut(moved)
            {
                *at = Some(place);
            }
        }
    }

    /// Gives a slot of a server back.
    fn give(&mut self, server: usize) {
        if let Some(free) = self.free.get_mut(server) {
            *free += 1;
        }
        if let Some(place) = self.place.get_mut(server)
            && place.is_none()
        {
            *place = Some(self.idle.len());
            self.idle.push(server);
        }
    }

    /// An idle server, at random, which is not idle any more if that was its last slot.
    fn choose(&mut self, not: Option<usize>) -> Option<usize> {
        let others = self.idle.len() as u64 - u64::from(not.is_some());
        let mut drawn = self.random.below(others) as usize;
        if let Some(place) = not.and_then(|server| self.place.get(server).copied().flatten())
            && drawn >= place
        {
            drawn += 1;
        }
        self.idle.get(drawn).copied()
    }

    fn send(
        &mut self,
        now: u64,
        key: Key,
        servers: [Option<usize>; 2],
        client: SocketAddr,
        bytes: &[u8],
        network: &mut dyn Network,
    ) {
        for server in servers.into_iter().flatten() {
            self.take(server);
            let deadline = now.saturating_add(self.config.slot_timeout_ns);
            self.deadlines.push_back((deadline, key, server));
            if let Some(address) = self.config.servers.get(server)
                && !network.send(self.config.address, *address, bytes)
            {
                self.counters.refused += 1;
            }
        }
        match servers[1] {
            Some(_) => self.counters.cloned += 1,
            None => self.counters.single += 1,
        }
        let asked = Asked {
            client,
            at: servers,
            answered: false,
        };
        self.asked.insert(key, asked);
    }

    fn on_request(
        &mut self,
        now: u64,
        key: Key,
        write: bool,
        datagram: Datagram<'_>,
        network: &mut dyn Network,
    ) {
        self.counters.requests += 1;
        if self.asked.contains_key(&key) || self.waiting.contains_key(&key) {
            self.counters.repeated += 1;
            return;
        }
        let servers = match self.idle.len() {
            0 => {
                if self.line.len() >= self.config.queue {
                    self.counters.queue_full += 1;
                    return;
                }
                let mut bytes = self.spare.pop().unwrap_or_default();
                bytes.clear();
                bytes.extend_from_slice(datagram.payload);
                self.line.push_back(Waiting {
                    key,
                    client: datagram.from,
                    bytes,
                });
                self.waiting.insert(key, ());
                self.counters.queued += 1;
                let longest = self.counters.longest_queue.max(self.line.len() as u64);
                self.counters.longest_queue = longest;
                return;
            }
            1 => [self.choose(None), None],
            // Writes are never cloned.
            _ if write => [self.choose(None), None],
            _ => {
                let first = self.choose(None);
                [first, self.choose(first)]
            }
        };
        self.send(now, key, servers, datagram.from, datagram.payload, network);
    }

    fn on_answer(&mut self, now: u64, key: Key, datagram: Datagram<'_>, network: &mut dyn Network) {
        let found = self
            .by_address
            .binary_search_by(|(address, _)| address.cmp(&datagram.from));
        let Some(server) = found
            .ok()
            .and_then(|place| self.by_address.get(place))
            .map(|entry| entry.1)
        else {
            self.counters.malformed += 1;
            return;
        };
        let Some(asked) = self.asked.get_mut(&key) else {
            self.counters.stale += 1;
            return;
        };
        let Some(copy) = asked.at.iter_mut().find(|copy| **copy == Some(server)) else {
            self.counters.stale += 1;
            return;
        };
        *copy = None;
        let last = asked.at == [None, None];
        if asked.answered {
            self.counters.redundant += 1;
        } else {
            asked.answered = true;
            self.counters.answers += 1;
            if !network.send(datagram.to, asked.client, datagram.payload) {
                self.counters.refused += 1;
            }
        }
        if last {
            self.asked.remove(&key);
        }
        self.freed(now, server, network);
    }

    /// A server has a slot free: what waits longest goes there.
    fn freed(&mut self, now: u64, server: usize, network: &mut dyn Network) {
        self.give(server);
        if let Some(next) = self.line.pop_front() {
            self.waiting.remove(&next.key);
            let to = [Some(server), None];
            self.send(now, next.key, to, next.client, &next.bytes, network);
            self.spare.push(next.bytes);
        }
    }

    /// Forgets deadlines whose answers have come, from the oldest on.
    fn skip_answered(&mut self) {
        while let Some((_, key, server)) = self.deadlines.front() {
            let outstanding = self
                .asked
                .get(key)
                .is_some_and(|asked| asked.at.contains(&Some(*server)));
            if outstanding {
                return;
            }
            self.deadlines.pop_front();
        }
    }
}

impl Endpoint for Laedge {
    fn addresses(&self) -> Vec<SocketAddr> {
        vec![self.config.address]
    }

    fn on_datagram(&mut self, now: u64, datagram: Datagram<'_>, network: &mut dyn Network) {
        self.counters.packets += 1;
        let view = match View::new(datagram.payload) {
            Ok(view) if view.pkt_cnt() == 1 => view,
            _ => {
                self.counters.malformed += 1;
                return;
            }
        };
        let key = (view.client_id(), view.client_seq());
        match view.kind() {
            Kind::Request => self.on_request(now, key, false, datagram, network),
            Kind::WriteRequest => self.on_request(now, key, true, datagram, network),
            Kind::Response | Kind::WriteResponse => self.on_answer(now, key, datagram, network),
            _ => self.counters.malformed += 1,
        }
        self.skip_answered();
    }

    fn on_time(&mut self, now: u64, network: &mut dyn Network) {
        while let Some(&(deadline, key, server)) = self.deadlines.front()
            && deadline <= now
        {
            self.deadlines.pop_front();
            let Some(asked) = self.asked.get_mut(&key) else {
                continue;
            };
            let Some(copy) = asked.at.iter_mut().find(|copy| **copy == Some(server)) else {
                continue;
            };
            *copy = None;
            if asked.at == [None, None] {
                self.asked.remove(&key);
            }
            self.counters.timeouts += 1;
            self.freed(now, server, network);
        }
        self.skip_answered();
    }

    fn next_time(&self) -> Option<u64> {
        self.deadlines.front().map(|(deadline, _, _)| *deadline)
    }
}
