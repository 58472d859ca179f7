//! Workloads: when requests are sent, how large they are, how long they take, who answers them, and how
//! the clients behave that send them.
//!
//! Everything here is without input and output: a load generator runs it on sockets and ports, a simulator
//! in virtual time.

pub mod arrival;
pub mod distribution;
pub mod emulator;
pub mod endpoint;
pub mod format;
pub mod laedge;
pub mod payload;
pub mod presets;
pub mod quantile;
pub mod random;
pub mod report;
pub mod rpc;
pub mod schedule;
pub mod scheme;
pub mod service;
pub mod statistics;
pub mod sweep;

pub use endpoint::{Datagram, Endpoint, Network};
pub use scheme::Scheme;
