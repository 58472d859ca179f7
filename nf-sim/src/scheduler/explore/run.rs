//! One run of a plan, and what must hold of it.

use std::collections::HashMap;

use nf_core::sched::policy::{Place, Policy, Settings, Thresholds};
use nf_core::sched::runtime::{Config, Group, Job, Send, Way};
use nf_core::sched::virtual_cores::{Execute, VirtualCores};
use nf_core::sched::{ActorId, ActorSpec, Loss};
use workload::random::Random;

use super::super::item::{Item, Items};
use super::plan::{Deed, Plan};

/// Time for what is left to be done, nanoseconds: longer than any stall, and any migration that nobody answers.
const SETTLE_NS: u64 = 600_000_000;

/// Nothing is decided by itself: neither limit is ever on the wrong side.
const CALM: Thresholds = Thresholds {
    mean_ns: 1e12,
    tail_ns: 1e12,
};

/// Everything is soon too slow.
const STRICT: Thresholds = Thresholds {
    mean_ns: 20_000.0,
    tail_ns: 60_000.0,
};

/// What was seen of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What must not be.
    pub wrong: Vec<String>,
    /// Messages that came in.
    pub offered: u64,
    /// Messages that were executed and left.
    pub left: u64,
    /// Messages that ended, with a count for each reason.
    pub lost: u64,
    /// Migrations that were carried out.
    pub migrations: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Inside,
    Left,
    Lost,
}

/// Watches over every message.
struct Watch {
    actors: Vec<ActorId>,
    states: Vec<State>,
    /// Last message of a key at an actor, by where it came from.
    last: HashMap<(usize, Option<usize>, u64), u64>,
    /// Until when a key is executed at an actor.
    busy: HashMap<(usize, u64), u64>,
    /// From which actor to which a message goes: by number.
    routes: Vec<(Option<usize>, Option<usize>)>,
    wrong: Vec<String>,
}

impl Watch {
    fn complain(&mut self, what: String) {
        if self.wrong.len() < 10 {
            self.wrong.push(what);
        }
    }

    fn ends(&mut self, number: u64, as_what: State, now: u64) {
        let before = self.states.get_mut(number as usize);
        let before = before.map(|state| std::mem::replace(state, as_what));
        if before != Some(State::Inside) {
            self.complain(format!(
                "message {number} ended again at {now}: {before:?}, then {as_what:?}"
            ));
        }
    }
}

impl Execute<Items> for Watch {
    fn execute(&mut self, job: &mut Job<Items>, sends: &mut Vec<Send<Item>>, now: u64) -> u64 {
        let at = job
            .actor
            .and_then(|id| self.actors.iter().position(|own| *own == id));
        let mut takes = 0;
        for item in job.messages.drain(..) {
            let (begins, number) = (now + takes, item.number);
            takes += item.service;
            let Some(at) = at else {
                self.complain(format!("message {number} reached no actor"));
                continue;
            };
            let (from, then) = self
                .routes
                .get(number as usize)
                .copied()
                .unwrap_or_default();
            let last = self.last.insert((at, from, item.key), number);
            if let Some(last) = last.filter(|last| *last >= number) {
                self.complain(format!(
                    "actor {at}, key {}: message {number} after {last}, at {now}",
                    item.key
                ));
            }
            let busy = self.busy.insert((at, item.key), now + takes);
            if busy.is_some_and(|until| until > begins) {
                self.complain(format!(
                    "actor {at}, key {}: two at once, at {begins}",
                    item.key
                ));
            }
            let next = then.and_then(|then| self.actors.get(then).copied());
            if let Some(route) = self.routes.get_mut(number as usize) {
                *route = (Some(at), None);
            }
            let item = Item { to: next, ..item };
            sends.push(match next {
                Some(next) => Send::To(next, item),
                None => Send::Out(item),
            });
        }
        takes
    }

    fn leaves(&mut self, item: Item, now: u64) {
        self.ends(item.number, State::Left, now);
    }

    fn lost(&mut self, item: Item, _: Loss, now: u64) {
        self.ends(item.number, State::Lost, now);
    }
}

fn machine(plan: &Plan) -> VirtualCores<Items> {
    let settings = Settings {
        control_period_us: if plan.decides { 500 } else { 50 },
        grouping: plan.decides,
        migration: plan.decides,
        hold_off_samples: 100,
        hold_off_ms: 1,
        cool_down_ms: 2,
        ..Settings::default()
    };
    let config = Config {
        packet_cores: plan.packet_cores,
        workers: plan.workers,
        central: plan.central,
        stripes: 64,
        stripe_depth: plan.stripe_depth,
        channel: plan.channel,
        settings: settings.clone(),
        drain_limit_ns: 200_000,
        commit_limit_ns: 20_000_000,
        ..Config::default()
    };
    let thresholds = if plan.decides { STRICT } else { CALM };
    VirtualCores::new(config, Policy::new(settings, thresholds))
}

fn register(plan: &Plan, machine: &VirtualCores<Items>) -> Result<Vec<ActorId>, String> {
    let register = |(n, actor): (usize, &super::plan::Actor)| {
        let spec = ActorSpec {
            mailbox: actor.mailbox,
            hold_back: actor.hold_back,
            ..ActorSpec::new(format!("actor{n}"))
        };
        let registered = match actor.exclusive {
            true => machine.scheduler.register(spec, ()),
            false => machine.scheduler.register_shared(spec, ()),
        };
        registered.map_err(|error| error.to_string())
    };
    plan.actors.iter().enumerate().map(register).collect()
}

fn carry_out(deed: Deed, plan: &Plan, machine: &mut VirtualCores<Items>, actors: &[ActorId]) {
    match deed {
        Deed::Migrate { actor, worker } => {
            let status = machine.manager.status(machine.core(0));
            let place = status.get(actor).and_then(|status| status.place);
            let way = match place {
                Some(Place::Worker(worker)) => Way::Pull(worker),
                Some(_) => Way::Push(worker),
                None => return,
            };
            if let Some(id) = actors.get(actor) {
                machine.manager.migrate(*id, way);
            }
        }
        Deed::Regroup { actor, round_robin } => {
            if let Some(id) = actors.get(actor) {
                machine.manager.regroup(*id, round_robin);
            }
        }
        Deed::Stall { core, for_us } => machine.stall(core, for_us * 1_000),
        Deed::Kill { worker } => {
            let until = plan.busy_us * 1_000 + SETTLE_NS;
            let core = plan.packet_cores + worker;
            machine.stall(core, until.saturating_sub(machine.now()));
        }
    }
}

/// Runs a plan with only these of its events (all for `None`).
pub fn run(plan: &Plan, keep: Option<&[usize]>) -> Result<Seen, String> {
    let mut machine = machine(plan);
    let actors = register(plan, &machine)?;
    let mut watch = Watch {
        actors: actors.clone(),
        states: Vec::new(),
        last: HashMap::new(),
        busy: HashMap::new(),
        routes: Vec::new(),
        wrong: Vec::new(),
    };
    let mut random = Random::named(plan.seed, "messages", 0);
    let kept = |index: usize| keep.is_none_or(|keep| keep.contains(&index));
    let mut events = plan
        .events
        .iter()
        .enumerate()
        .filter(|(index, _)| kept(*index))
        .peekable();
    let (mut at, mut refused) = (0.0, 0);
    let end = plan.busy_us * 1_000;
    loop {
        at += plan.gap_ns as f64 * random.exponential();
        let now = at as u64;
        while let Some((_, event)) = events.next_if(|(_, event)| event.at_us * 1_000 <= now) {
            machine.run_until(event.at_us * 1_000, &mut watch);
            carry_out(event.deed, plan, &mut machine, &actors);
        }
        if now >= end {
            break;
        }
        machine.run_until(now, &mut watch);
        let to = random.below(plan.actors.len() as u64) as usize;
        let then = random
            .chance(plan.sent_on)
            .then(|| random.below(plan.actors.len() as u64) as usize);
        let number = watch.states.len() as u64;
        watch.states.push(State::Inside);
        watch.routes.push((None, then));
        let key = random.below(plan.keys);
        let item = Item {
            to: actors.get(to).copied(),
            key,
            number,
            arrived: now,
            service: 1 + random.below(plan.actors.get(to).map_or(1, |actor| actor.service_ns)),
            class: 0,
            group: Group::Fcfs,
        };
        // Messages of a flow come in at one core, as a network card has it.
        let core = key as usize % plan.packet_cores;
        if machine.arrive(core, item, &mut watch).is_err() {
            refused += 1;
            watch.ends(number, State::Lost, now);
        }
    }
    // Once for all but those that were killed, and then for what they had, as long as there is less of it.
    let inside = |watch: &Watch| {
        let of = |state: &&State| **state == State::Inside;
        watch.states.iter().filter(of).count()
    };
    machine.run_until(end + SETTLE_NS, &mut watch);
    loop {
        let before = inside(&watch);
        machine.run_until(machine.now() + SETTLE_NS, &mut watch);
        if [0, before].contains(&inside(&watch)) {
            break;
        }
    }
    Ok(judge(plan, &machine, watch, refused))
}

/// What must hold in the end.
fn judge(plan: &Plan, machine: &VirtualCores<Items>, mut watch: Watch, refused: u64) -> Seen {
    let count = |state| watch.states.iter().filter(|own| **own == state).count() as u64;
    let (offered, left, lost) = (
        watch.states.len() as u64,
        count(State::Left),
        count(State::Lost),
    );
    let inside = count(State::Inside);
    let status = machine.manager.status(machine.core(0));
    let waiting: usize = status.iter().map(|status| status.waiting).sum();
    let counted: u64 = status.iter().flat_map(|status| status.losses).sum();
    if inside > 0 {
        let first = watch
            .states
            .iter()
            .position(|state| *state == State::Inside);
        watch.complain(format!(
            "{inside} of {offered} messages are still inside, the first {first:?}; {waiting} wait at actors, {} at stripes; {status:?}",
            machine.scheduler.waiting()
        ));
    }
    if machine.manager.is_migrating() {
        let phases: Vec<_> = status.iter().filter_map(|status| status.phase).collect();
        watch.complain(format!("a migration has not ended: {phases:?}"));
    }
    if counted + refused != lost {
        watch.complain(format!(
            "{lost} messages lost, {counted} counted with actors, {refused} refused"
        ));
    }
    if plan.has_room() && lost > 0 {
        let killed = plan
            .events
            .iter()
            .any(|event| matches!(event.deed, Deed::Kill { .. }));
        // What is held back for as long as a worker does not answer may be more than there is room for.
        if !killed && plan.of_light_load() {
            watch.complain(format!(
                "{lost} messages lost although there is room for all"
            ));
        }
    }
    Seen {
        wrong: watch.wrong,
        offered,
        left,
        lost,
        migrations: machine.manager.migrations(),
    }
}

impl Plan {
    /// Fewer messages come in, altogether, than an actor's mailbox takes.
    fn of_light_load(&self) -> bool {
        self.busy_us * 1_000 / self.gap_ns < 4096
    }
}
