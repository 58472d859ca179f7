//! A service behind the `clone` stage on real interfaces: clients and servers on kernel UDP sockets in
//! network namespaces, and an appliance between them. Every answer is checked, and every request counted
//! to its end.

mod bed;
pub mod control;
mod load;
pub mod plain;
mod servers;
pub mod soak;
mod work;

pub use bed::{Bed, Links, Mode};
pub use load::{Load, Plan, Tally};
pub use servers::{Servers, Service};
