//! The safe side of DPDK: EAL, memory pools, mbufs, ports, queues and threads.
//!
//! This is the room of `unsafe`: nothing above it touches raw bindings.

mod acl;
mod driver_pool;
mod eal;
mod error;
mod fib;
mod mbuf;
mod memif;
mod mempool;
mod port;
mod queue;
mod ring;
mod thread;
mod watch;
mod xdp_sockets;

pub use acl::{Acl, AclField, AclRule};
pub use driver_pool::DriverPool;
pub use eal::{Eal, EalConfig, EalError, HugepagePolicy, LogLevel, hugepages_free_bytes};
pub use error::DpdkError;
pub use fib::{Fib4, Fib6, MAX_HOP, NO_HOP};
pub use mbuf::Mbuf;
pub use memif::memif_server_listens;
pub use mempool::Mempool;
pub use port::{Device, LinkState, Port, PortError, PortSpec, PortStats, Rss, TxChecksums};
pub use queue::{RxQueue, TxQueue};
pub use ring::MbufRing;
pub use thread::{LcoreError, LcoreThread, available_cpus, with_lcore};
pub use watch::{TapWatch, interface_index};

/// Most packets in one burst, and the size of a [`Batch`](crate::packet::Batch).
pub const MAX_BURST: usize = 64;

#[cfg(test)]
pub(crate) mod tests;
