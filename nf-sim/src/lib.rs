//! A rack in virtual time: hosts, links and appliances, which run the stages and the host programs that
//! production runs. One seed, one world.
//!
//! A [`Scenario`](scenario::Scenario) describes a world; a [`World`](world::World) lets its time pass, event
//! by event, in a total order that follows from the scenario alone. Appliances run real chains over real
//! packets, built from the settings that an appliance's configuration has; hosts run
//! [`workload::Endpoint`]s, the same that the load generator runs on sockets and ports.

pub mod cli;
pub mod engine;
mod environment;
pub mod explore;
pub mod figures;
pub mod kinds;
pub mod node;
pub mod program;
pub mod random;
pub mod rig;
pub mod scenario;
pub mod scheduler;
pub mod sweep;
#[cfg(test)]
pub mod testing;
pub mod world;

pub use environment::start_eal;
