//! Eight services of the fleet, one call each.

use crate::distribution::Distribution;

/// Where a call's time goes for the most part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The server's own work.
    Application,
    /// Waiting in queues.
    Queueing,
    /// The RPC stack.
    Stack,
}

/// A service and what is called there.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// The preset's name.
    pub name: &'static str,
    /// What the call does, and who calls whom.
    pub summary: &'static str,
    /// Its size.
    pub bytes: f64,
    /// Where its time goes.
    pub dominant: Component,
    /// Median of the time at the server, nanoseconds. Not published: ours.
    pub median_ns: f64,
    /// The 95th percentile over the median. Published are the range, 1.86 to 10.6, and that F1 has the
    /// largest; the others are ours.
    pub p95_over_median: f64,
}

impl Service {
    /// The times at the server: log-normal through the median and the 95th percentile.
    pub fn time(&self) -> Distribution {
        Distribution::LogNormal {
            median: self.median_ns,
            sigma: self.p95_over_median.ln() / 1.644_853_627,
            cap: f64::INFINITY,
        }
    }
}

const fn entry(
    name: &'static str,
    bytes: f64,
    dominant: Component,
    median_us: f64,
    p95_over_median: f64,
    summary: &'static str,
) -> Service {
    Service {
        name,
        summary,
        bytes,
        dominant,
        median_ns: median_us * 1e3,
        p95_over_median,
    }
}

use Component::{Application, Queueing, Stack};

/// The eight services.
pub const SERVICES: &[Service] = &[
    entry(
        "svc-bigtable",
        1000.0,
        Application,
        200.0,
        4.0,
        "Bigtable from a key-value store: search a value",
    ),
    entry(
        "svc-network-disk",
        32_000.0,
        Application,
        500.0,
        4.0,
        "network disk from Bigtable: read from an SSD",
    ),
    entry(
        "svc-ssd-cache",
        400.0,
        Queueing,
        100.0,
        6.0,
        "SSD cache from BigQuery: look up streaming data",
    ),
    entry(
        "svc-video-metadata",
        32_000.0,
        Queueing,
        300.0,
        6.0,
        "video metadata from video search: get metadata",
    ),
    entry(
        "svc-spanner",
        800.0,
        Application,
        1000.0,
        4.0,
        "Spanner from a network information service: read rows",
    ),
    entry(
        "svc-f1",
        75.0,
        Application,
        2000.0,
        10.6,
        "F1 from F1: process a data packet",
    ),
    entry(
        "svc-ml-inference",
        512.0,
        Application,
        5000.0,
        3.0,
        "ML inference from its client: infer",
    ),
    entry(
        "svc-kv-store",
        128.0,
        Stack,
        25.0,
        1.86,
        "in-memory key-value store from a recommendation service: search a value",
    ),
];

/// The service of this preset's name.
pub fn service(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}
