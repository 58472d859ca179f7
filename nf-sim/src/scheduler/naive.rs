//! The published rules taken by the letter, to see what becomes of them.

use nf_core::sched::ActorId;
use nf_core::sched::Status;
use nf_core::sched::policy::Place;
use nf_core::sched::runtime::Group;
use nf_core::sched::stats::{Ewma, GROUP_WEIGHT};

use super::item::Item;

/// What a move back is below, as a share of the threshold.
const LOW: f64 = 0.8;

/// Moves an actor in every step in which the tail is on the wrong side of a threshold.
#[derive(Debug)]
pub(super) struct Naive {
    tail_ns: f64,
    latency: Ewma,
}

impl Naive {
    pub fn new(tail_ns: f64) -> Naive {
        Naive {
            tail_ns,
            latency: Ewma::new(GROUP_WEIGHT),
        }
    }

    /// A message has been executed.
    pub fn left(&mut self, item: &Item, now: u64) {
        if item.group == Group::Fcfs {
            self.latency.add(now.saturating_sub(item.arrived) as f64);
        }
    }

    /// Who is to change groups, and whether to round robin. `actors` are in the order of `status`.
    pub fn step(&self, status: &[Status], actors: &[ActorId]) -> Option<(ActorId, bool)> {
        let latency = self.latency.estimate();
        let tail = latency.tail();
        let at = |place: Place| {
            let of_group = move |(status, _): &(&Status, &ActorId)| status.place == Some(place);
            status.iter().zip(actors).filter(of_group)
        };
        let by_latency = |(a, _): &(&Status, &ActorId), (b, _): &(&Status, &ActorId)| {
            a.sojourn.tail().total_cmp(&b.sojourn.tail())
        };
        if latency.samples > 0 && tail > self.tail_ns {
            let (_, worst) = at(Place::Fcfs).max_by(by_latency)?;
            return Some((*worst, true));
        }
        if tail < LOW * self.tail_ns {
            let (_, best) = at(Place::Drr).min_by(by_latency)?;
            return Some((*best, false));
        }
        None
    }
}
