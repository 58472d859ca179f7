//! What end-to-end tests (and the developer commands) share: network namespaces, child processes,
//! an appliance under test with its HTTP client, and the rule for tests that cannot run.
//!
//! Every guard cleans up when dropped, also when a test panics. Names carry the process id, and the
//! first namespace that a process makes sweeps what a killed process left behind.
//!
//! ```no_run
//! use testkit::{Need, Netns, Sluice};
//!
//! # fn test() {
//! testkit::require!(Need::Root, Need::Tun);
//! let clients = Netns::new("clients");
//! let tap = testkit::interface_name("c");
//! let config = serde_json::json!({
//!     "ports": [
//!         { "name": "clients", "side": "client", "device": { "type": "tap", "interface": tap } },
//!     ],
//!     "chain": [],
//! });
//! let sluice = Sluice::start(config);
//! clients.adopt(&tap, &["10.0.1.2/24"]);
//! assert!(clients.command("ping").args(["-c1", "10.0.1.1"]).status().unwrap().success());
//! assert_eq!(sluice.get("/healthz").status, 200);
//! # }
//! ```

pub mod ends;
pub mod frames;
pub mod http;
pub mod memcached;
pub mod need;
pub mod netns;
pub mod offload;
pub mod process;
pub mod sluice;
pub mod traffic;
pub mod wait;

pub use ends::Ends;
pub use frames::FrameSocket;
pub use http::{Body, Endpoint, Response};
pub use memcached::Memcached;
pub use need::{Need, check_needs, free_port, skipped};
pub use netns::{Netns, interface_name};
pub use offload::compute_checksums;
pub use process::{Process, cargo_binary};
pub use sluice::{Sluice, SluiceBuilder};
pub use traffic::{Echo, Traffic};
pub use wait::wait_for;
