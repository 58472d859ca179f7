//! The settings as the data path uses them: one version, published to the cores.

use super::config::{Corrupt, Delay, Duplicate, ImpairConfig, Loss, Rate, Reorder};
use crate::filter::{Filter, FilterError};
use crate::packet::Direction;

/// Longest wait of a packet that is held back for others to go ahead, where none is set.
const OVERTAKING_NS: u64 = 10_000_000;

/// The settings of both directions.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Where chance starts.
    pub seed: u64,
    /// Another number: start chance anew.
    pub epoch: u64,
    /// By direction.
    pub lanes: [Option<LanePlan>; 2],
}

/// The settings of one direction.
#[derive(Debug)]
pub(super) struct LanePlan {
    pub filter: Option<Filter>,
    pub loss: Option<Loss>,
    pub duplicate: Option<Duplicate>,
    pub corrupt: Option<Corrupt>,
    pub rate: Option<Rate>,
    pub delay: Option<Delay>,
    pub reorder: Option<ReorderPlan>,
}

/// Which packets are overtaken, and by how much.
#[derive(Debug)]
pub(super) struct ReorderPlan {
    pub probability: f64,
    pub packets: Option<u64>,
    pub wait_ns: u64,
}

impl Plan {
    /// Compiles what has to be.
    pub fn new(config: &ImpairConfig, seed: u64, epoch: u64) -> Result<Plan, FilterError> {
        let mut lanes = [None, None];
        for direction in Direction::ALL {
            let Some(own) = config.of(direction) else {
                continue;
            };
            let lane = LanePlan {
                filter: own.filter.as_deref().map(Filter::compile).transpose()?,
                loss: own.loss.clone(),
                duplicate: own.duplicate.clone(),
                corrupt: own.corrupt.clone(),
                rate: own.rate.clone(),
                delay: own.delay.clone(),
                reorder: own.reorder.as_ref().map(ReorderPlan::new),
            };
            lanes[direction as usize] = lane.does_something().then_some(lane);
        }
        Ok(Plan { seed, epoch, lanes })
    }
}

impl LanePlan {
    fn does_something(&self) -> bool {
        self.loss.is_some()
            || self.duplicate.is_some()
            || self.corrupt.is_some()
            || self.rate.is_some()
            || self.delay.is_some()
            || self.reorder.is_some()
    }
}

impl ReorderPlan {
    fn new(config: &Reorder) -> ReorderPlan {
        ReorderPlan {
            probability: config.probability,
            packets: config.packets.map(u64::from),
            wait_ns: config
                .delay_us
                .map_or(OVERTAKING_NS, |us| (us * 1000.0) as u64),
        }
    }
}
