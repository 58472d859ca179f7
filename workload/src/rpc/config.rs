//! What a client is told before it begins.

use std::net::SocketAddr;
use std::time::Duration;

use crate::arrival::Arrival;
use crate::distribution::Distribution;
use crate::payload::{REQUEST_LEN, RESPONSE_LEN};
use crate::scheme::{Cluster, Scheme};
use crate::service::{DrawMode, ServiceTime};

/// Source ports that a client uses unless set otherwise.
pub const SOURCE_PORTS: u16 = 64;

/// When requests are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How long the first answer is waited for; each further wait is twice as long.
    pub timeout: Duration,
    /// How often a request is sent again before it is given up.
    pub retries: u32,
}

/// What an appliance has, as clients need to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appliance {
    /// Groups; n(n-1) with n servers.
    pub groups: u32,
    /// Filter tables, 1 to 16.
    pub tables: u8,
}

/// One client.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Tells clients apart that share a seed, from 0.
    pub index: u32,
    /// Seed of everything random.
    pub seed: u64,
    /// CLIENT_ID; must differ from every other client's. Not 0.
    pub client_id: u32,
    /// The addresses it sends from, each request from the next: many ports spread over the appliance's
    /// cores.
    pub sources: Vec<SocketAddr>,
    /// The scheme.
    pub scheme: Scheme,
    /// Where everybody is.
    pub cluster: Cluster,
    /// What the appliance has. Ignored by schemes that go to the servers.
    pub appliance: Appliance,
    /// How requests follow one another.
    pub arrival: Arrival,
    /// Requests a second of this client; ignored by a closed loop.
    pub rate: f64,
    /// When it starts, on the clock that the endpoint is called with, nanoseconds.
    pub start: u64,
    /// How long it sends before it measures, nanoseconds.
    pub warm_up_ns: u64,
    /// How long it measures, nanoseconds.
    pub duration_ns: u64,
    /// How long it waits at the end for answers under way, nanoseconds.
    pub settle_ns: u64,
    /// Who draws the service times.
    pub draw: DrawMode,
    /// What is drawn from when the client does.
    pub service: ServiceTime,
    /// Payload bytes of requests.
    pub request_bytes: Distribution,
    /// Payload bytes of responses.
    pub response_bytes: Distribution,
    /// The share of the requests that are writes, which are never cloned.
    pub writes: f64,
    /// When requests are sent again; never when `None`.
    pub retry: Option<Retry>,
    /// After which time [`Scheme::Hedge`] asks a second server, nanoseconds.
    pub hedge_after_ns: u64,
    /// Instead, once some answers have come: after the time that this share of them took.
    pub hedge_quantile: Option<f64>,
    /// Payload bytes in a packet. Longer requests go in several.
    pub packet_payload: usize,
    /// The last 2^n requests are remembered; at most as many can be under way: 1 to 24.
    pub window_log2: u8,
}

impl ClientConfig {
    /// A client that sends Poisson arrivals of the least size at `rate` for a second after a warm-up of a
    /// tenth, and sends nothing again.
    pub fn new(scheme: Scheme, cluster: Cluster, service: ServiceTime, rate: f64) -> ClientConfig {
        let servers = cluster.servers.len() as u32;
        ClientConfig {
            index: 0,
            seed: 1,
            client_id: 1,
            sources: Vec::new(),
            scheme,
            appliance: Appliance {
                groups: nf_clone::client::Config::groups_of(servers).max(1),
                tables: 2,
            },
            cluster,
            arrival: Arrival::Poisson,
            rate,
            start: 0,
            warm_up_ns: 100_000_000,
            duration_ns: 1_000_000_000,
            settle_ns: 100_000_000,
            draw: DrawMode::Independent,
            service,
            request_bytes: Distribution::Constant(REQUEST_LEN as f64),
            response_bytes: Distribution::Constant(RESPONSE_LEN as f64),
            writes: 0.0,
            retry: None,
            hedge_after_ns: 1_000_000,
            hedge_quantile: None,
            packet_payload: nf_clone::message::DEFAULT_PACKET_PAYLOAD,
            window_log2: 20,
        }
    }

    /// When sending ends.
    pub fn end(&self) -> u64 {
        self.start + self.warm_up_ns + self.duration_ns
    }

    /// The settings of the client library.
    pub(super) fn core(&self) -> nf_clone::client::Config {
        let mut core = nf_clone::client::Config::new(self.appliance.groups);
        core.client_id = self.client_id;
        core.tables = self.appliance.tables;
        core.window_log2 = self.window_log2;
        core.packet_payload = self.packet_payload;
        core.backoff = 2;
        match self.retry {
            Some(retry) => {
                core.timeout = retry.timeout;
                core.retries = retry.retries;
            }
            None => {
                // Whoever has not answered at the end is lost; the library need not decide it before.
                let all = self.warm_up_ns + self.duration_ns + self.settle_ns;
                core.timeout = Duration::from_nanos(all.saturating_mul(2).max(1));
                core.retries = 0;
            }
        }
        core
    }
}
