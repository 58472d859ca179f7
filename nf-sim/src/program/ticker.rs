//! Sends a numbered datagram every so often and counts what comes back.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use workload::{Datagram, Endpoint, Network};

use super::{Kind, Program, first_address};

/// Sends a numbered datagram every so often and counts what comes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TickerSettings {
    /// Where to, ADDRESS:PORT.
    pub to: SocketAddr,
    /// Nanoseconds from one datagram to the next.
    #[schemars(range(min = 1))]
    pub every_ns: u64,
    /// Datagrams to send; 0: without end.
    #[serde(default)]
    pub count: u64,
    /// Bytes of payload.
    #[serde(default = "default_bytes")]
    #[schemars(range(min = 16, max = 1472))]
    pub bytes: usize,
    /// Own UDP ports, used in turn.
    #[serde(default = "default_ports")]
    #[schemars(range(min = 1, max = 1024))]
    pub ports: u16,
}

fn default_bytes() -> usize {
    64
}

fn default_ports() -> u16 {
    1
}

/// The first of its own ports.
const FIRST_PORT: u16 = 50_000;

/// What it has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickerResults {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams that came back.
    pub received: u64,
    /// Of those, with a lower number than one before.
    pub late: u64,
    /// Of those, not as they were sent.
    pub wrong: u64,
    /// Shortest time from sending to receiving, nanoseconds.
    pub shortest_ns: u64,
    /// Longest time from sending to receiving, nanoseconds.
    pub longest_ns: u64,
}

/// The program.
#[derive(Debug)]
pub struct Ticker {
    settings: TickerSettings,
    own: Vec<SocketAddr>,
    next: Option<u64>,
    highest: u64,
    results: TickerResults,
    payload: Vec<u8>,
}

pub(super) fn kind() -> Kind<TickerSettings> {
    Kind {
        name: "ticker",
        summary: "sends a numbered datagram every so often and counts what comes back",
        check: |_, _, _| {},
        build: |settings, context| {
            let address = first_address(context)?;
            let own = (0..settings.ports)
                .map(|port| SocketAddr::new(address, FIRST_PORT.saturating_add(port)))
                .collect();
            Ok(Box::new(Ticker {
                payload: vec![0; settings.bytes],
                settings,
                own,
                next: Some(0),
                highest: 0,
                results: TickerResults::default(),
            }))
        },
    }
}

impl Ticker {
    /// What it has seen so far.
    pub fn seen(&self) -> TickerResults {
        self.results
    }
}

impl Endpoint for Ticker {
    fn addresses(&self) -> Vec<SocketAddr> {
        self.own.clone()
    }

    fn on_datagram(&mut self, now: u64, datagram: Datagram<'_>, _: &mut dyn Network) {
        let results = &mut self.results;
        let head = datagram
            .payload
            .split_first_chunk()
            .and_then(|(number, rest)| {
                let sent = rest.first_chunk()?;
                Some((u64::from_be_bytes(*number), u64::from_be_bytes(*sent)))
            });
        let Some((number, sent)) = head.filter(|_| datagram.payload.len() == self.payload.len())
        else {
            results.wrong += 1;
            return;
        };
        let took = now.saturating_sub(sent);
        results.shortest_ns = match results.received {
            0 => took,
            _ => results.shortest_ns.min(took),
        };
        results.longest_ns = results.longest_ns.max(took);
        results.received += 1;
        results.late += u64::from(number < self.highest);
        self.highest = self.highest.max(number);
    }

    fn on_time(&mut self, now: u64, network: &mut dyn Network) {
        let number = self.results.sent;
        let Some(&from) = self
            .own
            .get((number % self.own.len().max(1) as u64) as usize)
        else {
            self.next = None;
            return;
        };
        if let Some((head, rest)) = self.payload.split_first_chunk_mut()
            && let Some(sent) = rest.first_chunk_mut()
        {
            *head = number.to_be_bytes();
            *sent = now.to_be_bytes();
        }
        network.send(from, self.settings.to, &self.payload);
        self.results.sent += 1;
        let goes_on = self.settings.count == 0 || self.results.sent < self.settings.count;
        self.next = goes_on.then(|| now.saturating_add(self.settings.every_ns));
    }

    fn next_time(&self) -> Option<u64> {
        self.next
    }
}

impl Program for Ticker {
    fn results(&self) -> Value {
        serde_json::to_value(self.results).unwrap_or(Value::Null)
    }
}
