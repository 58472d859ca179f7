//! What the policy answers.

use serde::Serialize;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Action {
    /// From first come, first served to round robin.
    Downgrade {
        /// Index of the actor.
        actor: u16,
    },
    /// From round robin to first come, first served.
    Upgrade {
        /// Index of the actor.
        actor: u16,
    },
    /// From the packet cores to a worker.
    Push {
        /// Index of the actor.
        actor: u16,
        /// Index of the worker.
        worker: u16,
    },
    /// From a worker to the packet cores.
    Pull {
        /// Index of the actor.
        actor: u16,
    },
    /// A core of the first come, first served group goes to the round-robin group.
    CoreToDrr,
    /// A core of the round-robin group goes to the first come, first served group.
    CoreToFcfs,
    /// An actor that runs on one core at a time needs more than one: it should be split.
    Alarm {
        /// Index of the actor.
        actor: u16,
    },
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The tail of the group is over its threshold, nanoseconds.
    Tail,
    /// The tail is well below its threshold, nanoseconds.
    TailLow,
    /// The mean of the group is over its threshold, nanoseconds.
    Mean,
    /// The mean is well below its threshold, nanoseconds, and there is room.
    MeanLow,
    /// The actor's mailbox is longer than it may be, messages.
    Mailbox,
    /// Transit traffic waits although the port could carry more, packets waiting.
    Starvation,
    /// The actor is slower than usual, nanoseconds.
    Overload,
    /// There is no core yet for actors under round robin, cores.
    FirstDrrCore,
    /// There is no actor under round robin any more, actors.
    NoDrrActor,
    /// A group's cores are full, share.
    GroupFull,
    /// An actor fills one core, share.
    OneCore,
    /// Somebody asked for it by hand.
    Asked,
}

/// A decision and what led to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Decision {
    /// What is to be done.
    #[serde(flatten)]
    pub action: Action,
    /// Why.
    pub rule: Rule,
    /// What was measured, in the unit of the rule.
    pub measured: f64,
    /// The limit it was compared with.
    pub limit: f64,
}

impl Decision {
    /// Whether latencies measured before it say nothing about after it, so that they are to be forgotten.
    pub fn resets_latency(&self) -> bool {
        match self.action {
            Action::Downgrade { .. } | Action::Upgrade { .. } => true,
            Action::Push { .. } | Action::Pull { .. } => true,
            Action::CoreToDrr | Action::CoreToFcfs | Action::Alarm { .. } => false,
        }
    }
}
