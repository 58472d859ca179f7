//! What must never be, whatever happens to a rack.

use workload::rpc::Measured;

use super::plan::{Mode, Plan};
use crate::rig::{APPLIANCE, clone_counters, measured};
use crate::world::World;

/// What was seen of a run.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What the clients measured, together.
    pub measured: Measured,
    /// What the stage `clone` counted, in all lives of the appliance.
    pub clone: Vec<(&'static str, u64)>,
    /// Frames that links doubled.
    pub doubled: u64,
    /// How often the appliance started.
    pub lives: u32,
    /// Hash of everything that happened.
    pub trace_hash: u64,
    /// Frames that reached a host or an appliance.
    pub delivered: u64,
    /// What the world itself found wrong: packets lost or leaked, versions not freed.
    pub violations: Vec<String>,
}

impl Seen {
    /// Ends a world and tells what was seen of it.
    pub fn of(world: World) -> Seen {
        let clone = clone_counters(&world);
        let life = world
            .appliance(APPLIANCE)
            .map_or(0, |appliance| appliance.identity.life);
        let (trace_hash, delivered, measured) =
            (world.trace_hash(), world.delivered(), measured(&world));
        let outcome = world.finish();
        let doubled = outcome
            .links
            .iter()
            .map(|link| link.there.duplicated + link.back.duplicated);
        Seen {
            measured,
            clone: clone.custom.iter().collect(),
            doubled: doubled.sum(),
            lives: life + 1,
            trace_hash,
            delivered,
            violations: outcome.violations,
        }
    }

    fn counted(&self, name: &str) -> u64 {
        let mut counters = self.clone.iter();
        counters
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, count)| *count)
    }

    /// What is wrong with it.
    pub fn wrong(&self, plan: &Plan) -> Vec<String> {
        let mut wrong = self.violations.clone();
        let counts = &self.measured.counts;
        // Never are all answers of a request dropped: with nothing lost on the way each is answered, and with
        // something lost each whose client asks again.
        if counts.lost() > 0 {
            let how = match plan.mode {
                Mode::Quiet => "although nothing was lost on the way",
                Mode::Loud => "although their clients asked again",
            };
            let (lost, offered) = (counts.lost(), counts.offered);
            wrong.push(format!(
                "{lost} of {offered} requests were never answered, {how}"
            ));
        }
        if counts.unsent > 0 {
            wrong.push(format!("{} requests were not sent", counts.unsent));
        }
        // A collision lets two answers too many through at most, a frame that a link has doubled one, and so
        // does a request that was sent again, or an answer from before a start.
        let excused = 2 * self.counted("slot_overwrite")
            + self.doubled
            + 2 * counts.retransmissions
            + self.counted("resp_stale_epoch")
            + self.counted("resp_bad_idx");
        if counts.redundant > excused {
            let redundant = counts.redundant;
            wrong.push(format!(
                "{redundant} redundant answers, of which {excused} are explained"
            ));
        }
        let requests = self.counted("req_total");
        let parts = ["req_cloned", "req_single", "req_rejected"].map(|name| self.counted(name));
        if requests != parts.iter().sum::<u64>() {
            wrong.push(format!("req_total is {requests}, its parts {parts:?}"));
        }
        let (first, filtered) = (self.counted("resp_first"), self.counted("resp_filtered"));
        if filtered > first {
            wrong.push(format!(
                "{filtered} answers were filtered, but only {first} were first"
            ));
        }
        wrong
    }
}
