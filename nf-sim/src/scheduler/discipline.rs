//! What is compared: the hybrid in its variants, and what it is made of.

use nf_core::sched::drr::QuantumTable;
use nf_core::sched::policy::{Helping, Settings};

/// A way to share packet cores among actors. All of them are the scheduler of the appliance, set up
/// accordingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// First come, first served.
    Fcfs,
    /// One message of each actor in turn: what deficit round robin comes to if nothing is taken from the deficit.
    RoundRobin,
    /// Deficit round robin for all.
    Drr,
    /// The hybrid without what makes it stable: the actor with the longest latency is moved, not that with the
    /// longest service times; nobody compares actors, and nothing is awaited after a move.
    Naive,
    /// The hybrid.
    Hybrid(Helping),
}

/// A quantum that is worth any message.
const WHATEVER_NS: f64 = 1e12;

impl Discipline {
    /// All of them.
    pub const ALL: [Discipline; 7] = [
        Discipline::Fcfs,
        Discipline::RoundRobin,
        Discipline::Drr,
        Discipline::Naive,
        Discipline::Hybrid(Helping::Strict),
        Discipline::Hybrid(Helping::Half),
        Discipline::Hybrid(Helping::Full),
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Discipline::Fcfs => "fcfs",
            Discipline::RoundRobin => "round-robin",
            Discipline::Drr => "drr",
            Discipline::Naive => "naive",
            Discipline::Hybrid(Helping::Strict) => "hybrid-strict",
            Discipline::Hybrid(Helping::Half) => "hybrid",
            Discipline::Hybrid(Helping::Full) => "hybrid-full",
        }
    }

    /// The scheduler's parameters.
    pub fn settings(self, migration: bool) -> Settings {
        let settings = Settings {
            migration,
            ..Settings::default()
        };
        match self {
            Discipline::Hybrid(helping) => Settings {
                helping,
                ..settings
            },
            Discipline::Naive => Settings {
                grouping: false,
                helping: Helping::Strict,
                ..settings
            },
            Discipline::Fcfs => Settings {
                grouping: false,
                ..settings
            },
            Discipline::Drr => Settings {
                grouping: false,
                helping: Helping::Full,
                ..settings
            },
            Discipline::RoundRobin => Settings {
                drr_burst: 1,
                ..Discipline::Drr.settings(migration)
            },
        }
    }

    /// What a turn is worth, where it should be worth this, nanoseconds.
    pub fn quanta(self, quantum_ns: f64) -> QuantumTable {
        QuantumTable::uniform(match self {
            Discipline::RoundRobin => WHATEVER_NS,
            _ => quantum_ns,
        })
    }

    /// Whether all actors begin under round robin.
    pub fn begins_with_round_robin(self) -> bool {
        matches!(self, Discipline::Drr | Discipline::RoundRobin)
    }
}
