//! What the policy is shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::stats::Estimate;

/// Where an actor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case", tag = "group", content = "core")]
pub enum Place {
    /// First come, first served, on the packet cores.
    Fcfs,
    /// Under deficit round robin, on packet cores of that group.
    Drr,
    /// On a worker core, by its index.
    Worker(u16),
}

/// Where an actor has to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// It may be anywhere.
    #[default]
    Free,
    /// On the packet cores.
    Packet,
    /// On the worker cores.
    Worker,
}

/// An actor as measured. Times in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct ActorView {
    /// Its index in the table of actors.
    pub actor: u16,
    /// Where it runs.
    pub place: Place,
    /// Where it has to stay.
    pub pin: Pin,
    /// It is on its way from one place to another, or being killed: not to be touched.
    pub in_transition: bool,
    /// It runs on one core at a time.
    pub exclusive: bool,
    /// Service time of a message.
    pub service: Estimate,
    /// Messages a second.
    pub rate: f64,
    /// Share of one core that it has used of late, as measured; by this its load is told.
    pub busy: f64,
    /// Messages that wait in its mailbox.
    pub waiting: u32,
    /// Messages that its mailbox takes.
    pub mailbox: u32,
    /// The worker on which its neighbour in the chain runs: there its messages need no way of their own.
    pub near: Option<u16>,
}

impl ActorView {
    /// Share of one core that it uses. Not the product of service time and rate, which are of different times: one
    /// handler that the kernel interrupted would count as many.
    pub fn load(&self) -> f64 {
        self.busy
    }

    /// Mean and three deviations of its service time: by this actors are compared.
    pub fn dispersion(&self) -> f64 {
        self.service.tail()
    }
}

/// A group of packet cores.
#[derive(Debug, Clone, Copy, Default)]
pub struct GroupView {
    /// How many cores it has.
    pub cores: u32,
    /// Mean of their smoothed use, 0 to 1.
    pub utilisation: f64,
}

/// A worker core.
#[derive(Debug, Clone, Copy)]
pub struct WorkerView {
    /// Its smoothed use, 0 to 1.
    pub utilisation: f64,
    /// It takes messages: it is neither stopped nor stuck.
    pub alive: bool,
}

/// A port, sampled for starved traffic.
#[derive(Debug, Clone, Copy)]
pub struct PortView {
    /// Packets received so far.
    pub received: u64,
    /// Packets that wait in its receive ring now.
    pub waiting: u32,
    /// Packets a second that it could receive; 0 if nobody knows, and then the most seen so far is taken.
    pub capacity: f64,
}

/// Everything that was measured.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Now, nanoseconds.
    pub now: u64,
    /// Latency of operations of the first come, first served group, with all waiting, since the last
    /// [reset](super::Decision::resets_latency).
    pub latency: Estimate,
    /// The first come, first served group.
    pub fcfs: GroupView,
    /// The round-robin group.
    pub drr: GroupView,
    /// Worker cores.
    pub workers: &'a [WorkerView],
    /// Actors, in the order of the table.
    pub actors: &'a [ActorView],
    /// Ports.
    pub ports: &'a [PortView],
    /// A migration is under way.
    pub migrating: bool,
}
