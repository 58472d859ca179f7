//! `cores`: which processors do what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which processors do what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CoresConfig {
    /// The processors that move packets. Each runs the whole chain for its own queues, alone: put
    /// nothing else on them.
    #[schemars(length(min = 1, max = 128), inner(range(min = 0, max = 1023)))]
    pub packet: Vec<u16>,
    /// The processors that run stages which `scheduler` has moved
    /// off the packet cores. None are needed without a scheduler.
    #[schemars(length(max = 128), inner(range(min = 0, max = 1023)))]
    pub workers: Vec<u16>,
    /// The processor for everything else: metrics, commands, logs. It may be one of the packet
    /// cores on a small machine, at the price of short pauses.
    #[schemars(range(min = 0, max = 1023))]
    pub control: u16,
    /// What a packet core or a worker does when there is nothing to do.
    pub idle: Idle,
    /// Most packets that are taken from a queue and passed through the chain together. More is
    /// faster under load, less reacts sooner.
    #[schemars(range(min = 1, max = 64))]
    pub burst: u16,
}

impl Default for CoresConfig {
    fn default() -> Self {
        Self {
            packet: vec![1],
            workers: Vec::new(),
            control: 0,
            idle: Idle::Poll,
            burst: 32,
        }
    }
}

/// What a packet core does when there are no packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Idle {
    /// Keep asking: the shortest latency, and the processor is always busy.
    Poll,
    /// Sleep for short and growing times: for laptops, tests and shared machines.
    Adaptive,
}
