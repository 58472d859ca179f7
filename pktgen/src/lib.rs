//! A packet generator: sends packets at exact times, follows what becomes of them, and says
//! honestly how well it did so itself.
//!
//! The parts without DPDK, each of which can be tested alone: [`schedule`] (when a packet is meant to
//! leave), [`departures`] (when it did), [`template`] (what it looks like), [`signature`] (what it says about itself),
//! [`tracker`] (loss, duplication, reordering, jitter), [`latency`] (distributions), [`pcap`]
//! (captures for replay), [`profile`] (what a run is asked to do).

pub use workload::{random, schedule};

pub mod cli;
pub mod commands;
pub mod departures;
pub mod endpoints;
pub mod engine;
pub mod latency;
pub mod live;
pub mod pcap;
pub mod profile;
pub mod report;
pub mod result;
pub mod rfc2544;
pub mod rpc;
pub mod signature;
pub mod stats;
pub mod template;
pub mod text;
pub mod tracker;
pub mod units;
pub mod verdict;
