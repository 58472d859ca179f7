//! The scheduler as the control side sees it: worker cores, where each stage runs, and what happened.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Appliance;
use super::cores::join_in_time;
use super::sched_metrics::SchedMetrics;
use super::watchdog::Watchdog;
use crate::chain::{ChainWork, CoreHandle};
use crate::clock::Clock;
use crate::control::config::SchedulerConfig;
use crate::dpdk::LcoreThread;
use crate::sched::Status;
use crate::sched::policy::{Pin, Place, Thresholds};
use crate::sched::runtime::{Event, Group, Order, Scheduler};
use crate::sched::stats::Estimate;

/// Events that are kept.
const EVENTS: usize = 1000;

/// A running worker core.
pub(super) struct Worker {
    pub handle: CoreHandle,
    pub cpu: usize,
    pub tid: i32,
    thread: Option<LcoreThread<()>>,
    busy_ns: u64,
    busy_share: f64,
}

impl Worker {
    pub fn new(handle: CoreHandle, thread: LcoreThread<()>) -> Worker {
        Worker {
            handle,
            cpu: thread.cpu,
            tid: thread.tid,
            thread: Some(thread),
            busy_ns: 0,
            busy_share: 0.0,
        }
    }
}

/// The scheduler of a running appliance.
pub(super) struct Scheduling {
    pub scheduler: Scheduler<ChainWork>,
    pub workers: Vec<Worker>,
    clock: Clock,
    thresholds: Thresholds,
    events: VecDeque<NumberedEvent>,
    happened: u64,
    pub watchdog: Option<Watchdog>,
    sampled: u64,
    pub metrics: Arc<SchedMetrics<ChainWork>>,
}

/// Where everything runs, and why.
#[derive(Debug, Clone, Serialize)]
pub struct SchedView {
    /// Nanoseconds since the clock's start, as the events have it.
    pub now_ns: u64,
    /// Latency of the operations of the first come, first served group since the last change, nanoseconds.
    pub latency: Estimate,
    /// What is too much, nanoseconds.
    pub thresholds: Thresholds,
    /// What each packet core does.
    pub packet_cores: Vec<Group>,
    /// The worker cores.
    pub workers: Vec<WorkerView>,
    /// The actors: every shard of a stage is one.
    pub actors: Vec<Status>,
    /// What happened, oldest first.
    pub events: Vec<NumberedEvent>,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
pub struct NumberedEvent {
    /// How many had happened before: by this a reader knows which it has seen.
    pub number: u64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// A worker core.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerView {
    /// Its number, from 0.
    pub worker: usize,
    /// CPU it is pinned to.
    pub cpu: usize,
    /// The operating system's thread id.
    pub tid: i32,
    /// Busy share over the last second, 0 to 1.
    pub busy_share: f64,
    /// Actors that are there.
    pub actors: usize,
}

/// Why an actor was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// There is no scheduler.
    #[error("the appliance runs without a scheduler; add \"scheduler\": {{}} to its configuration")]
    NoScheduler,
    /// There is no such actor.
    #[error("there is no actor {name:?}; there is {}", .known.join(", "))]
    Unknown {
        /// The name given.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// There is no worker at all.
    #[error("the appliance has no worker core; name some in cores.workers")]
    NoWorkers,
    /// There is no such worker.
    #[error("there is no worker {worker}; there are {workers}, counted from 0")]
    NoWorker {
        /// The number given.
        worker: u16,
        /// How many there are.
        workers: usize,
    },
    /// It is on another worker.
    #[error("{name} is on worker {worker}; pull it back first")]
    Elsewhere {
        /// The actor.
        name: String,
        /// Where it is.
        worker: u16,
    },
    /// It is no more.
    #[error("{name} was taken out of service; it runs again after a restart of the appliance")]
    OutOfService {
        /// The actor.
        name: String,
    },
    /// It has to stay where it is.
    #[error(
        "{name} has to stay on the {} cores: the configuration says so at scheduler.stages",
        match .pin { Pin::Worker => "worker", _ => "packet" }
    )]
    Pinned {
        /// The actor.
        name: String,
        /// Where it has to stay.
        pin: Pin,
    },
    /// Too much waits already.
    #[error("the scheduler has too many orders already")]
    Busy,
}

impl Scheduling {
    pub fn new(
        scheduler: Scheduler<ChainWork>,
        packet_cores: usize,
        clock: Clock,
        config: &SchedulerConfig,
    ) -> Scheduling {
        let thresholds = config.thresholds();
        let metrics = SchedMetrics::new(scheduler.clone(), packet_cores, config, thresholds);
        Scheduling {
            metrics: Arc::new(metrics),
            scheduler,
            workers: Vec::new(),
            clock,
            thresholds,
            events: VecDeque::new(),
            happened: 0,
            watchdog: None,
            sampled: 0,
        }
    }

    /// Takes over what has happened, for the log.
    pub fn collect(&mut self) {
        self.scheduler.clear_graveyard();
        while let Some(event) = self.scheduler.take_event() {
            match &event {
                Event::Decided { decision, name, .. } => tracing::info!(
                    actor = name.as_deref(),
                    action = ?decision.action,
                    rule = ?decision.rule,
                    measured = decision.measured,
                    limit = decision.limit,
                    "the scheduler decided"
                ),
                Event::Failed { name, failure, .. } => tracing::error!(
                    actor = &**name,
                    ?failure,
                    "a stage was taken out of service; its packets pass it"
                ),
                Event::Migrated {
                    name,
                    way,
                    ended,
                    phases_ns,
                    ..
                } => tracing::info!(
                    actor = &**name,
                    ?way,
                    ?ended,
                    took_us = phases_ns.iter().sum::<u64>() / 1000,
                    "a stage was moved"
                ),
            }
            if self.events.len() == EVENTS {
                self.events.pop_front();
            }
            self.metrics.count(&event);
            let number = self.happened;
            self.happened += 1;
            self.events.push_back(NumberedEvent { number, event });
        }
    }

    /// Takes rates since the last call.
    pub fn sample(&mut self) {
        let now = self.clock.now();
        let past = now.saturating_sub(self.sampled).max(1);
        self.sampled = now;
        let busy = self.scheduler.workers_busy_ns();
        for (worker, busy_ns) in self.workers.iter_mut().zip(busy) {
            let spent = busy_ns.saturating_sub(worker.busy_ns);
            worker.busy_share = (spent as f64 / past as f64).min(1.0);
            worker.busy_ns = busy_ns;
        }
        let shares = self.workers.iter().map(|worker| worker.busy_share);
        self.metrics.set_shares(shares.collect());
    }

    /// Decides by other parameters from now on.
    pub fn set(&mut self, config: &SchedulerConfig) {
        self.thresholds = config.thresholds();
        let set = Box::new((config.policy.clone(), self.thresholds));
        match self.scheduler.order(Order::Set(set)) {
            true => self.metrics.set(config, self.thresholds),
            false => tracing::warn!("the scheduler is busy; its new parameters are not in force"),
        }
    }

    /// What is wrong, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let lost = self.watchdog.as_ref().map_or_else(Vec::new, Watchdog::lost);
        let lost = lost
            .into_iter()
            .map(|core| format!("{core} is lost to a stage that does not end"));
        let actors = self.scheduler.status().into_iter();
        let failed = actors.filter(|actor| actor.out_of_service);
        let failed =
            failed.map(|actor| format!("{} was taken out of service; packets pass it", actor.name));
        lost.chain(failed).collect()
    }

    fn view(&self, packet_cores: usize) -> SchedView {
        let actors = self.scheduler.status();
        let at = |worker: usize| {
            let place = Some(Place::Worker(worker as u16));
            actors.iter().filter(|actor| actor.place == place).count()
        };
        let workers = self.workers.iter().enumerate();
        SchedView {
            now_ns: self.clock.now(),
            latency: self.scheduler.latency(),
            thresholds: self.thresholds,
            packet_cores: (0..packet_cores)
                .map(|core| self.scheduler.group(core))
                .collect(),
            workers: workers
                .map(|(number, worker)| WorkerView {
                    worker: number,
                    cpu: worker.cpu,
                    tid: worker.tid,
                    busy_share: worker.busy_share,
                    actors: at(number),
                })
                .collect(),
            actors,
            events: self.events.iter().cloned().collect(),
        }
    }

    /// Stops the workers; the stages that are there stay in the scheduler's hands.
    pub fn stop(&mut self, patience: Duration) {
        for worker in &self.workers {
            worker.handle.stop();
        }
        for (number, worker) in self.workers.iter_mut().enumerate() {
            if let Some(thread) = worker.thread.take() {
                join_in_time(thread, patience, &format!("worker {number}"));
            }
        }
        self.collect();
        self.metrics.close();
    }
}

impl Appliance {
    /// Where everything runs; `None` without a scheduler.
    pub fn sched(&mut self) -> Option<SchedView> {
        let cores = self.cores.list.len();
        let scheduling = self.scheduling.as_mut()?;
        scheduling.collect();
        Some(scheduling.view(cores))
    }

    /// Has an actor moved to a worker, the least busy one if none is said. One that is there stays there.
    pub fn push_actor(&mut self, name: &str, worker: Option<u16>) -> Result<(), MoveError> {
        let actor = self.actor(name)?;
        let workers = self.scheduling.as_ref().map_or(0, |it| it.workers.len());
        let wanted = worker.unwrap_or(0);
        if workers == 0 {
            return Err(MoveError::NoWorkers);
        }
        if usize::from(wanted) >= workers {
            return Err(MoveError::NoWorker {
                worker: wanted,
                workers,
            });
        }
        stays(&actor, Pin::Packet)?;
        match actor.place {
            Some(Place::Worker(at)) if worker.is_none_or(|wanted| wanted == at) => Ok(()),
            Some(Place::Worker(at)) => Err(MoveError::Elsewhere {
                name: name.to_owned(),
                worker: at,
            }),
            _ => self.order(Order::Push(actor.id, worker)),
        }
    }

    /// Has an actor moved back to the packet cores. One that is there stays there.
    pub fn pull_actor(&mut self, name: &str) -> Result<(), MoveError> {
        let actor = self.actor(name)?;
        stays(&actor, Pin::Worker)?;
        self.order(Order::Pull(actor.id))
    }

    fn order(&mut self, order: Order) -> Result<(), MoveError> {
        let scheduling = self.scheduling.as_ref().ok_or(MoveError::NoScheduler)?;
        match scheduling.scheduler.order(order) {
            true => Ok(()),
            false => Err(MoveError::Busy),
        }
    }

    fn actor(&self, name: &str) -> Result<Status, MoveError> {
        let scheduling = self.scheduling.as_ref().ok_or(MoveError::NoScheduler)?;
        let actors = scheduling.scheduler.status();
        let found = actors.iter().find(|actor| &*actor.name == name);
        found.cloned().ok_or_else(|| MoveError::Unknown {
            name: name.to_owned(),
            known: actors.iter().map(|actor| actor.name.to_string()).collect(),
        })
    }
}

/// Refuses to move an actor that has to stay there, or is no more.
fn stays(actor: &Status, pin: Pin) -> Result<(), MoveError> {
    if actor.out_of_service {
        return Err(MoveError::OutOfService {
            name: actor.name.to_string(),
        });
    }
    match actor.pin == pin {
        true => Err(MoveError::Pinned {
            name: actor.name.to_string(),
            pin,
        }),
        false => Ok(()),
    }
}
