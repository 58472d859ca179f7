//! The one core that decides, and carries it out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::super::actor::{ActorId, Cell, Failure, Gate, Loss, Neighbours, Status, Work};
use super::super::policy::{
    Action, ActorView, Decision, GroupView, Place, Policy, PortView, Rule, Settings, Thresholds,
    View, WorkerView,
};
use super::super::stats::Utilisation;
use super::job::Running;
use super::migrate::{Ended, Migration, Parcel, Way};
use super::packet::PacketCore;
use super::shared::{EVENTS, Group, Live, ROLE_DRR, ROLE_FCFS, Scheduler, Shared, WorkerBlock};
use super::worker::ToWorker;

/// Over what time the use of cores is measured, nanoseconds.
const WINDOW_NS: u64 = 10_000_000;

/// Over what time rates of actors are measured, nanoseconds, at least…
const RATE_NS: u64 = 10_000_000;

/// …and so many messages: of an actor that gets few, but long ones, most windows would have none…
const RATE_MESSAGES: u64 = 32;

/// …but not for longer than this.
const RATE_AT_MOST_NS: u64 = 300_000_000;

/// A worker with actors that has not begun a turn for so long gets no others, nanoseconds.
const WORKER_SILENT_NS: u64 = 50_000_000;

/// What cores tell the one that manages.
pub(super) enum FromCore<W: Work> {
    /// An actor has arrived at its worker.
    Started(ActorId),
    /// An actor has come back.
    Returned(Arc<Parcel<W>>),
    /// An actor cannot change sides.
    Refused(Arc<Parcel<W>>),
    /// An actor was taken out of service.
    Failed(ActorId, Failure),
}

/// Something that the scheduler did, and why.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// It decided.
    Decided {
        /// When, nanoseconds.
        at: u64,
        /// What, and for which reason.
        #[serde(flatten)]
        decision: Decision,
        /// Name of the actor, if it is about one.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<Arc<str>>,
    },
    /// An actor was taken out of service. Its messages end from then on; a stage's packets pass it.
    Failed {
        /// When, nanoseconds.
        at: u64,
        /// Name of the actor.
        name: Arc<str>,
        /// Why.
        failure: Failure,
    },
    /// A migration ended.
    Migrated {
        /// When, nanoseconds.
        at: u64,
        /// Name of the actor.
        name: Arc<str>,
        /// Where it went.
        way: Way,
        /// How it ended.
        ended: Ended,
        /// How long each phase took, nanoseconds.
        phases_ns: [u64; 4],
    },
}

/// What the managing core may be asked to do.
#[derive(Debug, Clone)]
pub enum Order {
    /// Move an actor to a worker, the least busy one if none is said.
    Push(ActorId, Option<u16>),
    /// Move an actor to the packet cores.
    Pull(ActorId),
    /// Take an actor out of service for good.
    Delete(ActorId),
    /// Decide by these from now on.
    Set(Box<(Settings, Thresholds)>),
}

#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    at: u64,
    messages: u64,
    busy_ns: u64,
    rate: f64,
    /// Share of one core.
    busy: f64,
}

/// Decides and moves. It belongs to packet core 0, which never leaves the first group.
pub struct Manager<W: Work> {
    shared: Arc<Shared<W>>,
    policy: Policy,
    next: u64,
    cores: Vec<Utilisation>,
    workers: Vec<Utilisation>,
    rates: Vec<Rate>,
    migration: Option<Migration<W>>,
    /// What somebody asked for by hand.
    wanted: VecDeque<(ActorId, Way)>,
    /// Actors that somebody wants in the other group: whether under round robin.
    regroup: Vec<(ActorId, bool)>,
    upgrading: Vec<ActorId>,
    /// Deleted, and not taken apart yet.
    closing: Vec<Arc<Cell<W>>>,
    /// Actors on workers that have neighbours, for the step that is going on.
    away: Vec<(Neighbours, u16)>,
    events: VecDeque<Event>,
    moves: u64,
}

impl<W: Work> Manager<W> {
    /// The manager of a scheduler.
    pub fn new(scheduler: &Scheduler<W>, policy: Policy) -> Manager<W> {
        let shared = scheduler.shared.clone();
        Manager {
            cores: vec![Utilisation::new(WINDOW_NS); shared.blocks.len()],
            workers: vec![Utilisation::new(WINDOW_NS); shared.workers.len()],
            shared,
            policy,
            next: 0,
            rates: Vec::new(),
            migration: None,
            wanted: VecDeque::new(),
            regroup: Vec::new(),
            upgrading: Vec::new(),
            closing: Vec::new(),
            away: Vec::new(),
            events: VecDeque::new(),
            moves: 0,
        }
    }

    /// The policy.
    pub fn policy(&mut self) -> &mut Policy {
        &mut self.policy
    }

    /// What happened, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    /// How many actors have been moved to or from a worker.
    pub fn migrations(&self) -> u64 {
        self.moves
    }

    /// Asks for a migration; it begins when no other is under way.
    pub fn migrate(&mut self, id: ActorId, way: Way) {
        self.wanted.push_back((id, way));
    }

    /// Asks for an actor of the packet cores to be put under round robin, or back to first come, first
    /// served; done in the next step that decides, if it is on the packet cores then. It stays there
    /// only as long as nothing else is decided: see [`grouping`](super::super::policy::Settings::grouping).
    pub fn regroup(&mut self, id: ActorId, round_robin: bool) {
        self.regroup.push((id, round_robin));
    }

    /// Whether a migration is under way or asked for.
    pub fn is_migrating(&self) -> bool {
        self.migration.is_some() || !self.wanted.is_empty()
    }

    /// When it wants to be called again, nanoseconds.
    pub fn next_ns(&self) -> u64 {
        self.next
    }

    /// One step, to be called by the driver of core 0 between two jobs, at [`next_ns`](Manager::next_ns) or
    /// as often as it likes.
    pub fn step(&mut self, core: &mut PacketCore<W>, ports: &[PortView], now: u64) {
        self.hear(core, now);
        self.obey(core);
        self.take_apart(core);
        self.advance(core, now);
        if now < self.next {
            return;
        }
        self.next = now + self.policy.settings().control_period_us * 1000;
        self.finish_upgrades(core);
        self.regroup_as_asked(core, now);
        self.measure(now);
        let (actors, workers) = (self.actors(core, now), self.worker_views(now));
        let view = View {
            now,
            latency: self.shared.latency(),
            fcfs: self.group(Group::Fcfs),
            drr: self.group(Group::Drr),
            workers: &workers,
            actors: &actors,
            ports,
            migrating: self.is_migrating(),
        };
        for decision in self.policy.step(&view) {
            self.carry_out(decision, core, now);
        }
        self.advance(core, now);
    }

    fn hear(&mut self, core: &PacketCore<W>, now: u64) {
        if self.shared.has_news.swap(0, Ordering::AcqRel) == 0 {
            return;
        }
        let news = {
            let mut list = self
                .shared
                .to_manager
                .lock()
                .unwrap_or_else(|e| e.into_inner());
            std::mem::take(&mut *list)
        };
        for news in news {
            let migration = self.migration.as_mut();
            match (news, migration) {
                (FromCore::Started(id), Some(migration)) if migration.id() == id => {
                    migration.answered = true;
                }
                (FromCore::Returned(parcel), Some(migration)) if migration.is(&parcel) => {
                    migration.answered = true;
                }
                (FromCore::Refused(parcel), Some(migration)) if migration.is(&parcel) => {
                    migration.refused = true;
                }
                (FromCore::Failed(id, failure), _) => {
                    if let Some(cell) = core.cell(id.index) {
                        let name = cell.spec.name.clone();
                        self.tell(Event::Failed {
                            at: now,
                            name,
                            failure,
                        });
                    }
                }
                _ => {}
            }
        }
    }

    /// Does what it was asked to.
    fn obey(&mut self, core: &PacketCore<W>) {
        while let Some(order) = self.shared.orders.pop() {
            match order {
                Order::Push(id, worker) => {
                    let least = || self.least_used_worker();
                    if let Some(worker) = worker.or_else(least) {
                        self.migrate(id, Way::Push(worker));
                    }
                }
                Order::Pull(id) => {
                    let cell = core.cell(id.index).filter(|cell| cell.id == id);
                    if let Some(Gate::Open(Place::Worker(worker))) = cell.map(|cell| cell.gate()) {
                        self.migrate(id, Way::Pull(worker));
                    }
                }
                Order::Delete(id) => self.delete(id, core),
                Order::Set(set) => {
                    let (settings, thresholds) = *set;
                    self.shared.live.publish(Live {
                        helping: settings.helping,
                        drr_burst: settings.drr_burst,
                        ..self.shared.live.with_newest(Live::clone)
                    });
                    self.policy.set(settings, thresholds);
                }
            }
        }
    }

    /// Closes the actor's gate. What it is made of goes when its turn is free: at once if it is idle, else when
    /// whoever runs it is through.
    fn delete(&mut self, id: ActorId, core: &PacketCore<W>) {
        if let Some(cell) = core.cell(id.index).filter(|cell| cell.id == id)
            && cell.gate() != Gate::Closed
        {
            let gate = cell.gate();
            cell.set_gate(Gate::Closed);
            if let Gate::Open(Place::Worker(worker)) = gate {
                // If its way is full, it buries it as soon as a message comes.
                drop(self.shared.send_to_worker(worker, ToWorker::Close(id)));
            }
            self.shared
                .tell_manager(FromCore::Failed(id, Failure::Deleted));
            self.closing.push(cell);
            self.shared.stir();
        }
    }

    /// Takes apart what was deleted, as soon as nobody runs it.
    fn take_apart(&mut self, core: &mut PacketCore<W>) {
        self.closing.retain(|cell| {
            if cell.is_buried() {
                return false; // by whoever had it
            }
            if cell.in_flight.load(Ordering::Acquire) > 0 || !cell.turn.seize() {
                return true;
            }
            let body = Running::of(&mut cell.own().held);
            if let Some(body) = body {
                let mut graveyard = self
                    .shared
                    .graveyard
                    .lock()
                    .unwrap_or_else(|e| e.into_inner());
                graveyard.push((cell.id, body));
            }
            for message in std::iter::from_fn(|| cell.mailbox.pop()) {
                core.post.lose(cell, Loss::Gone, message);
            }
            // It stays seized: nothing runs it any more.
            false
        });
    }

    fn least_used_worker(&self) -> Option<u16> {
        let workers = self.workers.iter().enumerate();
        let least = workers.min_by(|(_, a), (_, b)| a.share().total_cmp(&b.share()));
        least.map(|(index, _)| index as u16)
    }

    fn advance(&mut self, core: &mut PacketCore<W>, now: u64) {
        if self.migration.is_none()
            && let Some((id, way)) = self.wanted.pop_front()
            && let Some(cell) = core.cell(id.index).filter(|cell| cell.id == id)
        {
            self.migration = Migration::begin(cell, way, &self.shared, now);
        }
        let Some(migration) = &mut self.migration else {
            return;
        };
        let Some(ended) = migration.step(core, now) else {
            return;
        };
        let starts = migration.began;
        let ends = [starts[1], starts[2], starts[3], now];
        let event = Event::Migrated {
            at: now,
            name: migration.cell.spec.name.clone(),
            way: migration.way,
            ended,
            phases_ns: std::array::from_fn(|n| ends[n].saturating_sub(starts[n])),
        };
        self.moves += u64::from(ended == Ended::Done);
        migration.cell.set_phase(None);
        self.shared.stir();
        self.migration = None;
        self.tell(event);
    }

    fn tell(&mut self, event: Event) {
        drop(self.shared.events.force_push(event.clone()));
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn measure(&mut self, now: u64) {
        for (used, block) in self.cores.iter_mut().zip(&self.shared.blocks) {
            used.sample(now, block.busy_ns.load(Ordering::Relaxed));
        }
        for (used, block) in self.workers.iter_mut().zip(&self.shared.workers) {
            used.sample(now, block.busy_ns.load(Ordering::Relaxed));
        }
    }

    fn group(&self, group: Group) -> GroupView {
        let of_group = |(core, _): &(usize, &Utilisation)| self.shared.role(*core) == group;
        let used: Vec<f64> = self
            .cores
            .iter()
            .enumerate()
            .filter(of_group)
            .map(|(_, used)| used.share())
            .collect();
        GroupView {
            cores: used.len() as u32,
            utilisation: used.iter().sum::<f64>() / used.len().max(1) as f64,
        }
    }

    fn worker_views(&self, now: u64) -> Vec<WorkerView> {
        let view = |(used, block): (&Utilisation, &WorkerBlock)| {
            let silent = now.saturating_sub(block.seen_ns.load(Ordering::Relaxed));
            WorkerView {
                utilisation: used.share(),
                alive: block.active.load(Ordering::Acquire) == 0 || silent < WORKER_SILENT_NS,
            }
        };
        self.workers
            .iter()
            .zip(&self.shared.workers)
            .map(view)
            .collect()
    }

    fn actors(&mut self, core: &PacketCore<W>, now: u64) -> Vec<ActorView> {
        self.away.clear();
        self.away
            .extend(core.cells().filter_map(|cell| match cell.gate() {
                Gate::Open(Place::Worker(worker)) => Some((cell.spec.neighbours?, worker)),
                _ => None,
            }));
        let mut views = Vec::new();
        for cell in core.cells() {
            let index = usize::from(cell.id.index);
            if self.rates.len() <= index {
                self.rates.resize(index + 1, Rate::default());
            }
            let rate = &mut self.rates[index];
            let messages = cell.books.messages();
            let past = now.saturating_sub(rate.at);
            let new = messages.saturating_sub(rate.messages);
            if (past >= RATE_NS && new >= RATE_MESSAGES) || past >= RATE_AT_MOST_NS {
                let busy_ns = cell.books.busy_ns();
                let busy = busy_ns.saturating_sub(rate.busy_ns);
                rate.rate = new as f64 * 1e9 / past as f64;
                rate.busy = busy as f64 / past as f64;
                (rate.at, rate.messages, rate.busy_ns) = (now, messages, busy_ns);
                cell.set_rate(rate.rate, rate.busy);
            }
            let (place, moving) = match cell.gate() {
                Gate::Open(place) => (place, false),
                Gate::Hold | Gate::Closed => (Place::Fcfs, true),
            };
            if cell.gate() == Gate::Closed {
                continue;
            }
            views.push(ActorView {
                actor: cell.id.index,
                place,
                pin: cell.spec.pin,
                in_transition: moving || self.upgrading.contains(&cell.id),
                exclusive: cell.exclusive,
                service: cell.books.service(),
                rate: rate.rate,
                busy: rate.busy,
                waiting: cell.waiting() as u32,
                mailbox: cell.mailbox.capacity() as u32,
                near: cell.spec.neighbours.and_then(|here| {
                    let beside = |there: &&(Neighbours, u16)| there.0.is_beside(here);
                    self.away.iter().find(beside).map(|(_, worker)| *worker)
                }),
            });
        }
        views
    }

    fn carry_out(&mut self, decision: Decision, core: &mut PacketCore<W>, now: u64) {
        let named = match decision.action {
            Action::Downgrade { actor } | Action::Upgrade { actor } => Some(actor),
            Action::Push { actor, .. } | Action::Pull { actor } => Some(actor),
            Action::Alarm { actor } => Some(actor),
            Action::CoreToDrr | Action::CoreToFcfs => None,
        };
        let cell = named.and_then(|actor| core.cell(actor));
        if decision.resets_latency() {
            self.shared.period.fetch_add(1, Ordering::AcqRel);
        }
        match (decision.action, &cell) {
            (Action::Downgrade { .. }, Some(cell)) => {
                cell.set_gate(Gate::Open(Place::Drr));
                self.shared.stir();
            }
            (Action::Upgrade { .. }, Some(cell)) => self.upgrading.push(cell.id),
            (Action::Push { worker, .. }, Some(cell)) => {
                self.wanted.push_back((cell.id, Way::Push(worker)));
            }
            (Action::Pull { .. }, Some(cell)) => {
                if let Gate::Open(Place::Worker(worker)) = cell.gate() {
                    self.wanted.push_back((cell.id, Way::Pull(worker)));
                }
            }
            (Action::CoreToDrr, _) => self.move_core(ROLE_FCFS, ROLE_DRR),
            (Action::CoreToFcfs, _) => self.move_core(ROLE_DRR, ROLE_FCFS),
            _ => {}
        }
        let name = cell.map(|cell: Arc<Cell<W>>| cell.spec.name.clone());
        self.tell(Event::Decided {
            at: now,
            decision,
            name,
        });
    }

    fn regroup_as_asked(&mut self, core: &mut PacketCore<W>, now: u64) {
        for (id, round_robin) in std::mem::take(&mut self.regroup) {
            let cell = core.cell(id.index).filter(|cell| cell.id == id);
            let actor = id.index;
            let action = match (cell.map(|cell| cell.gate()), round_robin) {
                (Some(Gate::Open(Place::Fcfs)), true) => Action::Downgrade { actor },
                (Some(Gate::Open(Place::Drr)), false) => Action::Upgrade { actor },
                _ => continue,
            };
            let decision = Decision {
                action,
                rule: Rule::Asked,
                measured: 0.0,
                limit: 0.0,
            };
            self.carry_out(decision, core, now);
        }
    }

    /// Moves the last core of a group to the other. Core 0 stays.
    fn move_core(&mut self, from: u8, to: u8) {
        let cores = self.shared.roles.iter().enumerate().skip(1).rev();
        let last = cores
            .into_iter()
            .find(|(_, role)| role.load(Ordering::Acquire) == from);
        if let Some((core, role)) = last {
            role.store(to, Ordering::Release);
            if let Some(used) = self.cores.get_mut(core) {
                used.reset();
            }
        }
    }

    /// Actors on their way to the first group go over when nothing waits for them.
    fn finish_upgrades(&mut self, core: &PacketCore<W>) {
        let table = |id: &ActorId| core.cell(id.index).filter(|cell| cell.id == *id);
        self.upgrading.retain(|id| {
            let Some(cell) = table(id) else {
                return false;
            };
            if cell.gate() != Gate::Open(Place::Drr) {
                return false;
            }
            // What arrives between this look and the change goes to the mailbox, and from there, in order, to
            // whichever group has the token: nothing can overtake it.
            let quiet = cell.mailbox.is_empty() && cell.in_flight.load(Ordering::Acquire) == 0;
            if quiet {
                cell.set_gate(Gate::Open(Place::Fcfs));
            }
            !quiet
        });
    }

    /// The actors, in the order of the table.
    pub fn status(&self, core: &PacketCore<W>) -> Vec<Status> {
        core.cells().map(|cell| cell.status()).collect()
    }
}
