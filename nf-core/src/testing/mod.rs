//! For tests of stages, here and in function crates (feature `testing`): a stage between ports that
//! are not there, in virtual time, over real packets.
//!
//! [`StageBench`] drives a stage through the same chain code as a packet core does: frames go in by
//! a port, frames come out by ports, timers expire when the test lets time pass, and what the
//! control side publishes is taken over between batches. At its end
//! [`assert_conserved`](StageBench::assert_conserved) checks that no packet was lost or leaked.
//! [`Frame`] builds frames with right checksums, and [`hostile`] wrong ones of every kind. [`UnderLoad`]
//! keeps a stage busy on a core of its own while the test changes it. [`ActorBench`] runs actors on real cores.
//!
//! ```no_run
//! # fn kind() -> impl nf_core::chain::StageKind { nf_core::stages::acl::AclKind }
//! use nf_core::testing::{Frame, StageBench};
//! use serde_json::json;
//!
//! let mut bench = StageBench::new(&kind(), json!({ "default": "allow" }));
//! let request = Frame::udp("10.0.0.1:1000", "10.0.0.2:53").payload(b"who?").build();
//! let sent = bench.run(StageBench::CLIENTS, &[request.as_slice()]);
//! assert_eq!((sent[0].port, &sent[0].bytes), (StageBench::SERVERS, &request));
//! bench.assert_conserved();
//! ```

mod actors;
mod bench;
mod eal;
mod frame;
pub mod hostile;
mod load;
mod port;

pub use actors::ActorBench;
pub use bench::{BenchOptions, Sent, StageBench, check, notes};
pub use eal::{eal, pool, unique};
pub use frame::Frame;
pub use load::{Load, UnderLoad};
