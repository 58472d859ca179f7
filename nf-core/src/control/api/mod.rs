//! The HTTP API of a running appliance.
//!
//! Two doors lead to the same routes: a TCP address that only reads, and a Unix socket with file
//! permissions that reads and changes. Every route stands in [`ROUTES`]; the router, the index that
//! `/` answers and the page `docs/api.md` follow that table.
//!
//! Nobody who talks to the API can hold up the appliance: connections, heads, bodies and times are
//! limited, what may take long runs on threads of its own, and packet cores are not involved.

mod answer;
mod backend;
mod error;
mod patient;
mod routes;
mod server;
mod socket;
#[cfg(test)]
mod tests;

pub use backend::{Backend, Change, Read};
pub use error::ApiError;
pub use routes::{Door, Method, ROUTES, Route};
pub use server::{Limits, ServeError, Server, ServerConfig};
pub use socket::SocketError;
