//! Running endpoints of workloads: their datagrams go over kernel sockets, or over DPDK ports.

pub mod frames;
pub mod group;
pub mod place;
pub mod port;
pub mod sockets;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use workload::{Datagram, Endpoint, Network};

/// Longest sleep, so that a wish to end is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(10);

/// Below this a sleep would be longer than what it waits for: the loop polls instead.
const SHORTEST_SLEEP: Duration = Duration::from_micros(20);

/// A sleep ends this much before what it waits for; the rest is polled for.
const SLEEP_LESS: Duration = Duration::from_micros(10);

/// How often the caller is asked whether to go on.
const ASK_EVERY_NS: u64 = 5_000_000;

/// Calls of an endpoint in a row before answers are looked at.
const CALLS: usize = 16;

/// Datagrams that have arrived.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    messages: Vec<(SocketAddr, SocketAddr, std::ops::Range<usize>)>,
}

impl Inbox {
    /// Adds a datagram.
    pub fn push(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.messages.push((from, to, begin..self.bytes.len()));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
    }

    /// In the order in which they arrived.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.messages.iter().map(|(from, to, range)| Datagram {
            from: *from,
            to: *to,
            payload: self.bytes.get(range.clone()).unwrap_or_default(),
        })
    }
}

/// Carries datagrams.
pub trait Transport: Network {
    /// Puts what has arrived into the inbox; when there is nothing, waits up to `wait` for the first.
    fn receive(&mut self, inbox: &mut Inbox, wait: Duration) -> Result<(), String>;

    /// Sends what was held back to make a burst.
    fn flush(&mut self) {}
}

/// The clock of endpoints: nanoseconds since it was made. Copies tell the same time.
#[derive(Debug, Clone, Copy)]
pub struct Ticker(Instant);

impl Ticker {
    /// A clock that is at 0 now.
    pub fn start() -> Ticker {
        Ticker(Instant::now())
    }

    /// The time.
    pub fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Runs an endpoint until `go_on` says no. It is asked every few milliseconds, with the time. Returns the
/// share of the time that was not spent waiting.
pub fn drive<E: Endpoint>(
    transport: &mut dyn Transport,
    endpoint: &mut E,
    ticker: Ticker,
    mut go_on: impl FnMut(&mut E, u64) -> bool,
) -> Result<f64, String> {
    // Else the kernel lets a sleep end up to 50 us late, to wake several sleepers at once.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let mut inbox = Inbox::default();
    let mut ask = 0;
    let (begin, mut idle) = (ticker.now(), 0);
    loop {
        let mut now = ticker.now();
        if now >= ask {
            if !go_on(endpoint, now) {
                let all = (now - begin).max(1);
                return Ok(1.0 - idle as f64 / all as f64);
            }
            ask = now + ASK_EVERY_NS;
        }
        for _ in 0..CALLS {
            if endpoint.next_time().is_none_or(|at| at > now) {
                break;
            }
            endpoint.on_time(now, as_network(transport));
            now = ticker.now();
        }
        transport.flush();
        let wait = endpoint.next_time().map_or(LONGEST_SLEEP, |at| {
            Duration::from_nanos(at.saturating_sub(now)).min(LONGEST_SLEEP)
        });
        let wait = if wait < SHORTEST_SLEEP {
            Duration::ZERO
        } else {
            wait - SLEEP_LESS
        };
        inbox.clear();
        transport.receive(&mut inbox, wait)?;
        if inbox.is_empty() && wait.is_zero() {
            // Others may want the processor.
            std::thread::yield_now();
        }
        if inbox.is_empty() || !wait.is_zero() {
            idle += ticker.now().saturating_sub(now);
        }
        for datagram in inbox.iter() {
            endpoint.on_datagram(ticker.now(), datagram, as_network(transport));
        }
    }
}

fn as_network(transport: &mut dyn Transport) -> &mut dyn Network {
    transport
}
