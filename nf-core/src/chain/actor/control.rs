//! How actors come to be, get their packets, are moved, and go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use super::Actor;
use super::body::ActorBody;
use super::dispatch::Shard;
use super::rules::{Match, Rules};
use crate::chain::actors::{Body, ChainWork};
use crate::chain::stage::Stage;
use crate::publish::{Hub, Publisher};
use crate::sched::policy::Pin;
use crate::sched::runtime::{Order, Scheduler, TableFull};
use crate::sched::{ActorId, ActorSpec, Status};
use crate::telemetry::{CounterDesc, Telemetry};

/// How an actor's memory gets to the other side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transfer {
    /// The memory changes hands, and the code with it; nothing is copied.
    #[default]
    Handoff,
    /// The objects are copied, with checksums, into memory that the worker takes; the code is made anew. For
    /// workers with memory of their own (NUMA); and to see that an actor's state is where it says.
    Copy,
}

/// Where an actor is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// On the packet cores.
    Packet,
    /// On that worker core, from 0; the least busy one if none is said.
    Worker(Option<u16>),
}

/// What an actor is like.
#[derive(Debug, Clone)]
pub struct NewActor {
    /// For people, in metrics and in the log; no other actor's or stage's.
    pub name: Arc<str>,
    /// Where it has to stay.
    pub pin: Pin,
    /// Messages that wait for it at most.
    pub mailbox: usize,
    /// Messages that wait at most while it is moved.
    pub hold_back: usize,
    /// Bytes that its objects take at most, with their slots of the table; 0 for one without state.
    pub memory: usize,
    /// Packets that it may have in hand; a message beyond that is dropped as `over_quota`.
    pub packets: u64,
    /// Timers at a time.
    pub timers: usize,
    /// How its memory gets to the other side.
    pub transfer: Transfer,
    /// The packet core by which packets that it makes leave, and which calls it in time; from 0.
    pub home: u16,
    /// Reasons for which it drops packets, snake case.
    pub reasons: &'static [&'static str],
    /// Its own counters.
    pub counters: &'static [CounterDesc],
}

impl NewActor {
    /// With the usual limits: a mailbox of 1024, 1 MiB of memory, 1024 packets, 64 timers.
    pub fn new(name: impl Into<Arc<str>>) -> NewActor {
        NewActor {
            name: name.into(),
            pin: Pin::Free,
            mailbox: 1024,
            hold_back: 8192,
            memory: 1 << 20,
            packets: 1024,
            timers: 64,
            transfer: Transfer::Handoff,
            home: 0,
            reasons: &[],
            counters: &[],
        }
    }
}

/// Why something could not be done with an actor.
#[derive(Debug, Error)]
pub enum ActorError {
    /// There is one of that name.
    #[error("there is an actor {0:?} already")]
    Exists(Arc<str>),
    /// There is none of that id, or not any more.
    #[error("there is no actor {0}")]
    Unknown(ActorId),
    /// It has to stay where it is.
    #[error("{name:?} is pinned to the {} cores", if *.pin == Pin::Packet { "packet" } else { "worker" })]
    Pinned {
        /// Its name.
        name: Arc<str>,
        /// Where to.
        pin: Pin,
    },
    /// There is no such worker.
    #[error("there is no worker {worker}; there are {workers}, counted from 0")]
    NoWorker {
        /// The number.
        worker: u16,
        /// How many there are.
        workers: usize,
    },
    /// There is no such packet core.
    #[error("there is no packet core {core}; there are {cores}, counted from 0")]
    NoCore {
        /// The number.
        core: u16,
        /// How many there are.
        cores: usize,
    },
    /// The table of actors is full.
    #[error(transparent)]
    Full(#[from] TableFull),
    /// Too much waits already.
    #[error("the scheduler has too many orders already")]
    Busy,
}

/// The actors of an appliance, for control threads. A handle: clones are the same. Actors themselves must not
/// keep one, or nothing is ever freed.
#[derive(Clone)]
pub struct Actors(Arc<Inner>);

struct Inner {
    scheduler: Scheduler<ChainWork>,
    telemetry: Telemetry,
    rules: Publisher<Rules>,
    /// Those that were created here, by name.
    known: Mutex<HashMap<Arc<str>, ActorId>>,
}

impl std::fmt::Debug for Actors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actors")
            .field("known", &*self.known())
            .finish_non_exhaustive()
    }
}

impl Actors {
    /// Of that scheduler, none yet.
    pub fn new(scheduler: &Scheduler<ChainWork>, hub: &Hub, telemetry: &Telemetry) -> Actors {
        Actors(Arc::new(Inner {
            scheduler: scheduler.clone(),
            telemetry: telemetry.clone(),
            rules: Publisher::new(hub, Rules::default()),
            known: Mutex::default(),
        }))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Arc<str>, ActorId>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an actor. `make` is called now, and whenever it is made anew. It begins on the packet cores, with
    /// [`Actor::init`], or on a worker if it is pinned there; from then on messages reach it.
    ///
    /// # Errors
    ///
    /// [`ActorError::Exists`], [`ActorError::Full`], [`ActorError::NoCore`] for its home, and
    /// [`ActorError::NoWorker`] if it is pinned to workers and there are none.
    pub fn create(
        &self,
        new: NewActor,
        make: impl Fn() -> Box<dyn Actor> + Send + 'static,
    ) -> Result<ActorId, ActorError> {
        let scheduler = &self.0.scheduler;
        let (cores, workers) = scheduler.cores();
        if usize::from(new.home) >= cores {
            let core = new.home;
            return Err(ActorError::NoCore { core, cores });
        }
        if new.pin == Pin::Worker && workers == 0 {
            let worker = 0;
            return Err(ActorError::NoWorker { worker, workers });
        }
        let mut known = self.known();
        if known.contains_key(&new.name) {
            return Err(ActorError::Exists(new.name));
        }
        scheduler.clear_graveyard();
        let counters = self.0.telemetry.stage(
            &new.name,
            "actor",
            usize::from(new.home),
            new.reasons,
            new.counters,
        );
        let spec = ActorSpec {
            pin: new.pin,
            mailbox: new.mailbox,
            hold_back: new.hold_back,
            attended_by: Some(new.home),
            ..ActorSpec::new(new.name.clone())
        };
        let make = Box::new(make);
        let id = scheduler.register_with(spec, |id| {
            Body::Actor(Box::new(ActorBody::new(id, &new, make, counters)))
        })?;
        known.insert(new.name.clone(), id);
        if new.pin == Pin::Worker && !scheduler.order(Order::Push(id, None)) {
            return Err(ActorError::Busy);
        }
        Ok(id)
    }

    /// Gives packets to an actor: those that are like one of these, and that no rule before takes. Rules that it
    /// had before are gone.
    ///
    /// # Errors
    ///
    /// [`ActorError::Unknown`].
    pub fn register(&self, id: ActorId, rules: &[Match]) -> Result<(), ActorError> {
        let known = self.known();
        self.status(id)?;
        let mut all = self.0.rules.with_newest(Rules::clone);
        all.0.retain(|(_, actor)| *actor != id);
        all.0.extend(rules.iter().map(|rule| (rule.clone(), id)));
        self.0.rules.publish(all);
        drop(known);
        Ok(())
    }

    /// Takes an actor out of service. Packets that were its pass, messages for it end as `actor_gone`.
    ///
    /// # Errors
    ///
    /// [`ActorError::Unknown`], [`ActorError::Busy`].
    pub fn delete(&self, id: ActorId) -> Result<(), ActorError> {
        self.register(id, &[])?;
        match self.0.scheduler.order(Order::Delete(id)) {
            true => {
                self.known().retain(|_, known| *known != id);
                Ok(())
            }
            false => Err(ActorError::Busy),
        }
    }

    /// Has an actor moved. It goes when no other is on its way; nothing happens if it is there.
    ///
    /// # Errors
    ///
    /// [`ActorError::Unknown`], [`ActorError::Pinned`], [`ActorError::NoWorker`], [`ActorError::Busy`].
    pub fn migrate(&self, id: ActorId, to: Side) -> Result<(), ActorError> {
        let Status { name, pin, .. } = self.status(id)?;
        let (_, workers) = self.0.scheduler.cores();
        let order = match (to, pin) {
            (Side::Packet, Pin::Worker) | (Side::Worker(_), Pin::Packet) => {
                return Err(ActorError::Pinned { name, pin });
            }
            (Side::Packet, _) => Order::Pull(id),
            (Side::Worker(worker), _) if usize::from(worker.unwrap_or(0)) >= workers => {
                let worker = worker.unwrap_or(0);
                return Err(ActorError::NoWorker { worker, workers });
            }
            (Side::Worker(worker), _) => Order::Push(id, worker),
        };
        match self.0.scheduler.order(order) {
            true => Ok(()),
            false => Err(ActorError::Busy),
        }
    }

    /// The actor of that name.
    pub fn find(&self, name: &str) -> Option<ActorId> {
        self.known().get(name).copied()
    }

    /// What there is to know of an actor.
    ///
    /// # Errors
    ///
    /// [`ActorError::Unknown`].
    pub fn status(&self, id: ActorId) -> Result<Status, ActorError> {
        let all = self.0.scheduler.status();
        let found = all.into_iter().find(|actor| actor.id == id);
        found.ok_or(ActorError::Unknown(id))
    }

    /// What a core runs to hand packets to actors, by the rules that are registered: a stage of a chain.
    pub fn dispatch(&self) -> Box<dyn Stage> {
        Box::new(Shard(self.0.rules.reader()))
    }
}
