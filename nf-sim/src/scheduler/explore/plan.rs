//! What a seed gives: cores, actors, what comes in, and what happens to them.

use serde::Serialize;
use workload::random::Random;

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Deed {
    /// Somebody asks for an actor to be moved: back if it is at a worker, else to this one.
    Migrate {
        /// By number.
        actor: usize,
        /// By number.
        worker: u16,
    },
    /// Somebody asks for an actor to change groups.
    Regroup {
        /// By number.
        actor: usize,
        /// Whether to round robin.
        round_robin: bool,
    },
    /// A core does nothing for a while. Workers count on from the packet cores.
    Stall {
        /// By number.
        core: usize,
        /// Microseconds.
        for_us: u64,
    },
    /// A worker does nothing any more, until everything else is over.
    Kill {
        /// By number.
        worker: usize,
    },
}

/// A deed and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Microseconds.
    pub at_us: u64,
    /// What.
    #[serde(flatten)]
    pub deed: Deed,
}

/// An actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// It runs on one core at a time.
    pub exclusive: bool,
    /// Messages that its mailbox takes.
    pub mailbox: usize,
    /// Messages that are held back for it.
    pub hold_back: usize,
    /// A message of it takes up to so many nanoseconds.
    pub service_ns: u64,
}

/// Everything that a run follows from.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Packet cores.
    pub packet_cores: usize,
    /// Worker cores.
    pub workers: usize,
    /// One queue for what comes in, or one for each packet core.
    pub central: bool,
    /// Messages that a stripe of what comes in takes.
    pub stripe_depth: usize,
    /// Messages on the way to a worker.
    pub channel: usize,
    /// The actors.
    pub actors: Vec<Actor>,
    /// Keys of each actor.
    pub keys: u64,
    /// Share of messages that an actor sends on to another.
    pub sent_on: f64,
    /// Between two messages that come in, on average, nanoseconds.
    pub gap_ns: u64,
    /// For how long they come in, microseconds.
    pub busy_us: u64,
    /// Whether the scheduler decides by itself, besides what is asked for.
    pub decides: bool,
    /// What happens, by number.
    pub events: Vec<Event>,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Plan {
        let mut random = Random::named(seed, "scheduler", 0);
        let mut between = |from: u64, to: u64| from + random.below(to - from + 1);
        let packet_cores = between(1, 6) as usize;
        let workers = between(1, 3) as usize;
        let tight = between(0, 2) == 0;
        let count = between(1, 6) as usize;
        let actors: Vec<Actor> = (0..count)
            .map(|_| Actor {
                exclusive: between(0, 2) > 0,
                mailbox: if tight { between(1, 64) } else { 8192 } as usize,
                hold_back: if tight { between(1, 64) } else { 65_536 } as usize,
                service_ns: [1_000, 5_000, 20_000, 200_000][between(0, 3) as usize],
            })
            .collect();
        let busy_us = 30_000;
        let events = (0..between(0, 24)).map(|_| {
            let actor = between(0, count as u64 - 1) as usize;
            let deed = match between(0, 9) {
                0..=4 => Deed::Migrate {
                    actor,
                    worker: between(0, workers as u64 - 1) as u16,
                },
                5 | 6 => Deed::Regroup {
                    actor,
                    round_robin: between(0, 1) == 0,
                },
                7 | 8 => Deed::Stall {
                    core: between(0, (packet_cores + workers) as u64 - 1) as usize,
                    for_us: [50, 1_000, 10_000, 150_000][between(0, 3) as usize],
                },
                _ => Deed::Kill {
                    worker: between(0, workers as u64 - 1) as usize,
                },
            };
            let at_us = between(0, busy_us);
            Event { at_us, deed }
        });
        let mut events: Vec<Event> = events.collect();
        events.sort_by_key(|event| event.at_us);
        Plan {
            seed,
            packet_cores,
            workers,
            central: between(0, 1) == 0,
            stripe_depth: if tight { 4 } else { 4096 },
            channel: if tight {
                between(2, 64) as usize
            } else {
                65_536
            },
            actors,
            keys: [1, 4, 20, 1_000][between(0, 3) as usize],
            sent_on: [0.0, 0.3, 0.9][between(0, 2) as usize],
            gap_ns: [1_000, 3_000, 10_000, 40_000][between(0, 3) as usize],
            busy_us,
            decides: between(0, 1) == 0,
            events,
        }
    }

    /// Nothing but migrations of actors under load, one after the other, with room for everything.
    pub fn of_migrations(seed: u64, busy_us: u64) -> Plan {
        let mut random = Random::named(seed, "migrations", 0);
        let actor = |n| Actor {
            exclusive: n % 2 == 0,
            mailbox: 8192,
            hold_back: 65_536,
            service_ns: 3_000,
        };
        let events = (0..busy_us / 50).map(|n| Event {
            at_us: n * 50,
            deed: Deed::Migrate {
                actor: random.below(4) as usize,
                worker: random.below(2) as u16,
            },
        });
        Plan {
            seed,
            packet_cores: 3,
            workers: 2,
            central: seed.is_multiple_of(2),
            stripe_depth: 4096,
            channel: 65_536,
            events: events.collect(),
            actors: (0..4).map(actor).collect(),
            keys: 20,
            sent_on: 0.3,
            gap_ns: 4_000,
            busy_us,
            decides: false,
        }
    }

    /// Whether every queue has room for all that can come.
    pub fn has_room(&self) -> bool {
        self.stripe_depth >= 4096
    }

    /// What it is, in a line.
    pub fn words(&self) -> String {
        let shared = self.actors.iter().filter(|actor| !actor.exclusive).count();
        format!(
            "{} packet cores, {} workers, {} actors ({shared} of several cores), {} keys, every {} ns, {}{}{} events",
            self.packet_cores,
            self.workers,
            self.actors.len(),
            self.keys,
            self.gap_ns,
            if self.has_room() { "" } else { "tight, " },
            if self.decides { "decides, " } else { "" },
            self.events.len(),
        )
    }
}
