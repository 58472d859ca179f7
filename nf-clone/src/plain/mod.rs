//! `wire: none`: cloning for services that were not changed for it.
//!
//! A client sends an ordinary request to a service's address. A matcher ([`Protocol`]) says what it
//! is; the transaction's id in the client's own protocol, with client and service, is the key under
//! which it is noted in a [`Table`]. A request that only reads goes to two servers if both are idle,
//! any other to one. Replies find the request by the same key: the first server's go to the client,
//! the other's are filtered. How busy a server is, is what the table knows of it ([`Loads`]):
//! requests sent to it and not answered.
//!
//! Everything here is decisions: no packets, no clock (nanoseconds are handed in), no allocation
//! after [`Plain::new`], and the same decisions for the same calls.
//!
//! **What it promises.** Of the replies of two servers to one request, exactly one server's reach the
//! client, however many cores see them. An answer to an older request is never taken for one to a
//! newer request with the same id while the table knows of it. What the table does not know passes.
//!
//! **What it cannot know.** Whether the servers hold the same data; whether a read has effects at the
//! server that its protocol does not show; requests that reach the servers another way (they are load
//! that is not seen); whether a reply that was filtered was better than the one that won.

mod decide;
mod dns;
mod flow;
mod key;
mod matcher;
mod memcached;
pub mod outstanding;
mod service;
mod silence;

pub use self::decide::{Answer, Asking, Counter, Decision, Limits, Plain, Reply, Request, Single};
pub use self::key::Client;
pub use self::matcher::{Class, NAMES, Protocol};
pub use self::outstanding::{Loads, Part, Swept, Table, Ticket, Verdict};
pub use self::service::{Candidates, Rules, Service, Standing, Writes};
pub use self::silence::{Judge, Patience, Silence};
