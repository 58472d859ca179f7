//! What runs actors: packet cores, worker cores, and the one core that decides.
//!
//! Nothing in here runs by itself. Whoever drives a core asks it for work ([`PacketCore::begin`]),
//! executes it, and says when it is done ([`PacketCore::finish`]); time is what the driver says it is.
//! So threads drive it in the appliance and an event queue in the simulator, and what they drive is the same.

mod job;
mod lease;
mod manage;
mod migrate;
mod packet;
mod post;
mod shared;
#[cfg(test)]
mod tests;
mod worker;

pub use self::job::{Job, Running, Send};
pub use self::lease::{Handle, Lease};
pub use self::manage::{Event, Manager, Order};
pub use self::migrate::{Ended, Phase, Way};
pub use self::packet::PacketCore;
pub use self::post::Lost;
pub use self::shared::{Config, Group, Scheduler, TableFull};
pub use self::worker::WorkerCore;
