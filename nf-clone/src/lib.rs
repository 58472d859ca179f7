//! NetClone: a request goes to two idle servers, and only the faster response comes back (Kim,
//! SIGCOMM 2023).
//!
//! Two halves: what hosts need ([`wire`], [`client`], [`server`]) knows nothing of the appliance and runs
//! anywhere; the feature `stage` adds what the appliance runs.

pub mod client;
pub mod message;
pub mod random;
pub mod reassembly;
pub mod server;
pub mod udp;
pub mod wire;

#[cfg(feature = "stage")]
pub mod decide;
#[cfg(feature = "stage")]
pub mod filter;
#[cfg(feature = "stage")]
pub mod groups;
#[cfg(feature = "stage")]
pub mod health;
#[cfg(feature = "stage")]
pub mod id;
#[cfg(feature = "stage")]
pub mod messages;
#[cfg(feature = "stage")]
pub mod plain;
#[cfg(feature = "stage")]
mod round_trip;
#[cfg(feature = "stage")]
pub mod servers;
#[cfg(feature = "stage")]
pub mod stage;
#[cfg(feature = "stage")]
mod sync;
