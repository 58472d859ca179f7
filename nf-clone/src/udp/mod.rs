//! Clients and servers over kernel UDP sockets, IPv4 and IPv6: no privileges, no DPDK.

mod client;
mod server;

use std::time::{Duration, Instant};

pub use client::{Answer, CallError, Client, Completion, Options, Sources};
pub use server::{Call, Server, Settings, Totals};

/// More than any UDP payload.
const LARGEST: usize = 1 << 16;

/// Nanoseconds since the clock was made.
#[derive(Debug, Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn new() -> Clock {
        Clock(Instant::now())
    }

    fn now(&self) -> u64 {
        self.0.elapsed().as_nanos().min(u64::MAX.into()) as u64
    }

    fn after(&self, delay: Duration) -> u64 {
        let delay = delay.as_nanos().min(u64::MAX.into()) as u64;
        self.now().saturating_add(delay)
    }
}

/// Whether an error of a receive call only says that nothing has come.
fn is_nothing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
