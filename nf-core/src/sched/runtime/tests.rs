//! The scheduler on virtual cores: order, exactly once, every way an actor can go.

use std::collections::HashMap;

use super::super::actor::{ActorId, ActorSpec, Message, Work};
use super::super::policy::{Helping, Place, Policy, Settings, Thresholds};
use super::super::virtual_cores::{Execute, VirtualCores};
use super::manage::Event;
use super::{Config, Group, Job, Running, Send, Way};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

#[derive(Debug, Clone)]
struct Item {
    to: Option<ActorId>,
    key: u64,
    number: u64,
    arrived: u64,
    service: u64,
    /// To whom the actor sends it on.
    then: Option<ActorId>,
}

impl Message for Item {
    fn actor(&self) -> Option<ActorId> {
        self.to
    }
    fn key(&self) -> u64 {
        self.key
    }
    fn arrived_ns(&self) -> u64 {
        self.arrived
    }
    fn bytes(&self) -> u32 {
        64
    }
}

struct Test;

impl Work for Test {
    type Message = Item;
    /// How many messages it has handled: its state, which has to move with it.
    type Body = u64;
    type Shared = ();
}

/// Checks what is executed.
#[derive(Default)]
struct Judge {
    /// Last number by actor and key.
    last: HashMap<(ActorId, u64), u64>,
    handled: HashMap<ActorId, u64>,
    by_group: HashMap<(ActorId, Group), u64>,
    sojourns: Vec<u64>,
    left: Vec<Item>,
    out_of_order: u64,
    /// Until when a message of the key is executed.
    busy: HashMap<(ActorId, u64), u64>,
}

impl Execute<Test> for Judge {
    fn execute(&mut self, job: &mut Job<Test>, sends: &mut Vec<Send<Item>>, now: u64) -> u64 {
        let group = job.group();
        let mut takes = 0;
        for item in job.messages.drain(..) {
            let begins = now + takes;
            takes += item.service;
            self.sojourns.push(now + takes - item.arrived);
            let Some(actor) = job.actor else {
                sends.push(Send::Out(item));
                continue;
            };
            let last = self.last.insert((actor, item.key), item.number);
            self.out_of_order += u64::from(last.is_some_and(|last| item.number <= last));
            let busy = self.busy.insert((actor, item.key), now + takes);
            assert!(busy.is_none_or(|until| until <= begins), "two at once");
            *self.handled.entry(actor).or_default() += 1;
            *self.by_group.entry((actor, group)).or_default() += 1;
            if let Running::Exclusive(count) = &mut job.running {
                **count += 1;
                assert_eq!(
                    **count, self.handled[&actor],
                    "the state is the actor's own"
                );
            }
            let then = item.then;
            let item = Item {
                to: then,
                then: None,
                ..item
            };
            sends.push(match then {
                Some(next) => Send::To(next, item),
                None => Send::Out(item),
            });
        }
        takes
    }

    fn leaves(&mut self, message: Item, _: u64) {
        self.left.push(message);
    }
}

impl Judge {
    fn in_group(&self, actor: ActorId, group: Group) -> u64 {
        self.by_group.get(&(actor, group)).copied().unwrap_or(0)
    }
}

/// Nothing is decided by itself.
const CALM: Thresholds = Thresholds {
    mean_ns: f64::INFINITY,
    tail_ns: f64::INFINITY,
};

fn calm() -> Policy {
    let settings = Settings {
        // Infinite thresholds are always far off: nothing may be pulled either.
        migration: false,
        ..Settings::default()
    };
    Policy::new(settings, CALM)
}

fn cores(packet_cores: usize, workers: usize) -> Config {
    Config {
        packet_cores,
        workers,
        ..Config::default()
    }
}

/// A fixed sequence of numbers that look random.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Sends items from `from` to `until`, one every `gap` on average, `make` says what.
fn load(
    machine: &mut VirtualCores<Test>,
    judge: &mut Judge,
    until: u64,
    gap: u64,
    dice: &mut Dice,
    mut make: impl FnMut(&mut Dice, u64) -> Item,
) -> u64 {
    let (mut now, mut sent) = (machine.now(), 0);
    while now < until {
        now += 1 + dice.below(2 * gap);
        machine.run_until(now, judge);
        let item = Item {
            arrived: now,
            number: now, // grows
            ..make(dice, sent)
        };
        machine.arrive(0, item, judge).expect("room");
        sent += 1;
    }
    sent
}

fn item(to: ActorId, key: u64, service: u64) -> Item {
    Item {
        to: Some(to),
        key,
        number: 0,
        arrived: 0,
        service,
        then: None,
    }
}

fn register(machine: &VirtualCores<Test>, name: &str) -> ActorId {
    machine.scheduler.register(ActorSpec::new(name), 0).unwrap()
}

fn settle(machine: &mut VirtualCores<Test>, judge: &mut Judge) {
    machine.run_until(machine.now() + 200 * MS, judge);
}

#[test]
fn ip01_messages_reach_their_actor_and_transit_goes_through() {
    let mut machine = VirtualCores::<Test>::new(cores(2, 0), calm());
    let mut judge = Judge::default();
    let actor = register(&machine, "a");
    for n in 0..10 {
        let to = (n % 2 == 0).then_some(actor);
        let sent = Item {
            to,
            ..item(actor, n, US)
        };
        machine.arrive(0, sent, &mut judge).unwrap();
    }
    machine.run_until(MS, &mut judge);
    assert_eq!(judge.handled[&actor], 5);
    assert_eq!(judge.left.len(), 10);
}

#[test]
fn ip06_a_message_for_an_earlier_generation_reaches_nobody() {
    let mut machine = VirtualCores::<Test>::new(cores(1, 0), calm());
    let mut judge = Judge::default();
    let actor = register(&machine, "a");
    let stale = ActorId {
        generation: actor.generation.wrapping_sub(1),
        ..actor
    };
    machine.arrive(0, item(stale, 1, US), &mut judge).unwrap();
    machine.run_until(MS, &mut judge);
    assert_eq!(judge.handled.get(&actor), None);
}

#[test]
fn ip03_an_exclusive_actor_is_never_on_two_cores_and_keeps_up() {
    // Its share is 0.9 of a core; four cores offer to help.
    let mut machine = VirtualCores::<Test>::new(cores(4, 0), calm());
    let (mut judge, mut dice) = (Judge::default(), Dice(7));
    let actor = register(&machine, "a");
    let sent = load(
        &mut machine,
        &mut judge,
        50 * MS,
        10 * US,
        &mut dice,
        |dice, _| item(actor, dice.below(100), 9 * US),
    );
    settle(&mut machine, &mut judge);
    // The judge asserts the count in the state, which two cores at once could not keep.
    assert_eq!((judge.handled[&actor], judge.out_of_order), (sent, 0));
}

#[test]
fn ip04_an_actor_of_several_cores_runs_on_several() {
    let mut machine = VirtualCores::<Test>::new(cores(4, 0), calm());
    let (mut judge, mut dice) = (Judge::default(), Dice(3));
    let actor = machine
        .scheduler
        .register_shared(ActorSpec::new("s"), ())
        .unwrap();
    // 3.2 cores' worth of work, done as it comes.
    let sent = load(
        &mut machine,
        &mut judge,
        50 * MS,
        10 * US,
        &mut dice,
        |dice, _| item(actor, dice.below(1000), 32 * US),
    );
    machine.run_until(machine.now() + MS, &mut judge);
    assert_eq!(judge.handled[&actor], sent);
    assert_eq!(judge.out_of_order, 0, "keys stay in order");
}

#[test]
fn ip67_an_actors_message_to_another_runs_without_a_round_robin_core() {
    for packet_cores in [1, 3] {
        let mut machine = VirtualCores::<Test>::new(cores(packet_cores, 0), calm());
        let mut judge = Judge::default();
        let (first, second) = (register(&machine, "1"), register(&machine, "2"));
        for n in 0..100 {
            let sent = Item {
                then: Some(second),
                number: n,
                ..item(first, 5, US)
            };
            machine.arrive(0, sent, &mut judge).unwrap();
        }
        machine.run_until(10 * MS, &mut judge);
        assert_eq!((judge.handled[&first], judge.handled[&second]), (100, 100));
        assert_eq!(judge.left.len(), 100);
    }
}

/// Everything that can happen to actors at once, and nothing may be lost, doubled or overtaken.
fn moved_about(packet_cores: usize, workers: usize, central: bool, seed: u64) -> u64 {
    let config = Config {
        central,
        drain_limit_ns: 100 * US,
        ..cores(packet_cores, workers)
    };
    let mut machine = VirtualCores::<Test>::new(config, calm());
    let (mut judge, mut dice) = (Judge::default(), Dice(seed));
    let actors: Vec<ActorId> = (0..4)
        .map(|n| register(&machine, &format!("a{n}")))
        .collect();
    let (mut sent, mut at) = (0, vec![None; actors.len()]);
    for _ in 0..150 {
        let which = dice.below(4) as usize;
        if !machine.manager.is_migrating() {
            let way = match at[which] {
                None => Way::Push(dice.below(workers as u64) as u16),
                Some(worker) => Way::Pull(worker),
            };
            at[which] = match way {
                Way::Push(worker) => Some(worker),
                Way::Pull(_) => None,
            };
            machine.manager.migrate(actors[which], way);
        }
        let until = machine.now() + 200 * US + dice.below(2 * MS);
        sent += load(
            &mut machine,
            &mut judge,
            until,
            6 * US,
            &mut dice,
            |dice, _| {
                let to = actors[dice.below(4) as usize];
                let then = (dice.below(3) == 0).then(|| actors[dice.below(4) as usize]);
                Item {
                    then,
                    ..item(to, dice.below(20), dice.below(6 * US))
                }
            },
        );
    }
    settle(&mut machine, &mut judge);
    assert_eq!(judge.left.len() as u64, sent, "seed {seed}");
    let migrations = machine.manager.migrations();
    assert!(migrations > 30, "{migrations}");
    migrations
}

#[test]
fn ip33_nothing_is_lost_or_doubled_across_random_migrations_under_load() {
    let mut migrations = 0;
    for seed in 1..=24 {
        migrations += moved_about(1, 1, true, seed);
        migrations += moved_about(3, 2, true, seed);
        migrations += moved_about(4, 2, false, seed);
    }
    assert!(migrations > 3_000, "{migrations}");
}

#[test]
fn ip05_keys_stay_in_order_while_their_actor_moves() {
    for seed in 1..=20 {
        let mut machine = VirtualCores::<Test>::new(cores(3, 2), calm());
        let (mut judge, mut dice) = (Judge::default(), Dice(seed));
        let actor = register(&machine, "a");
        let mut there = None;
        let mut sent = 0;
        for _ in 0..60 {
            if !machine.manager.is_migrating() {
                let way = there.take().map_or_else(
                    || {
                        there = Some(dice.below(2) as u16);
                        Way::Push(there.unwrap_or(0))
                    },
                    Way::Pull,
                );
                machine.manager.migrate(actor, way);
            }
            let until = machine.now() + dice.below(3 * MS);
            sent += load(
                &mut machine,
                &mut judge,
                until,
                5 * US,
                &mut dice,
                |dice, _| item(actor, dice.below(10), 2 * US + dice.below(4 * US)),
            );
        }
        settle(&mut machine, &mut judge);
        assert_eq!(
            (judge.handled[&actor], judge.out_of_order),
            (sent, 0),
            "seed {seed}"
        );
    }
}

#[test]
fn ip32_a_migration_goes_through_its_phases() {
    let mut machine = VirtualCores::<Test>::new(cores(2, 1), calm());
    let (mut judge, mut dice) = (Judge::default(), Dice(1));
    let actor = register(&machine, "a");
    machine.manager.migrate(actor, Way::Push(0));
    load(
        &mut machine,
        &mut judge,
        5 * MS,
        10 * US,
        &mut dice,
        |_, _| item(actor, 1, US),
    );
    settle(&mut machine, &mut judge);
    assert!(judge.in_group(actor, Group::Worker) > 0);
    let status = machine.manager.status(machine.core(0));
    assert_eq!(status[0].place, Some(Place::Worker(0)));
    assert!(status[0].messages > 0, "its books went with it");
    let migrated = machine.manager.events().find_map(|event| match event {
        Event::Migrated {
            name,
            way,
            phases_ns,
            ..
        } => Some((name.clone(), *way, *phases_ns)),
        Event::Decided { .. } | Event::Failed { .. } => None,
    });
    let (name, way, _) = migrated.expect("told");
    assert_eq!((&*name, way), ("a", Way::Push(0)));
}

#[test]
fn ip34_a_worker_that_does_not_answer_gets_nothing() {
    let config = Config {
        commit_limit_ns: 2 * MS,
        ..cores(2, 1)
    };
    let mut machine = VirtualCores::<Test>::new(config, calm());
    let (mut judge, mut dice) = (Judge::default(), Dice(1));
    let actor = register(&machine, "a");
    machine.stall(2, 50 * MS);
    machine.manager.migrate(actor, Way::Push(0));
    let sent = load(
        &mut machine,
        &mut judge,
        10 * MS,
        10 * US,
        &mut dice,
        |dice, _| item(actor, dice.below(5), US),
    );
    machine.run_until(12 * MS, &mut judge);
    assert_eq!((judge.handled[&actor], judge.out_of_order), (sent, 0));
    assert_eq!(judge.in_group(actor, Group::Worker), 0);
    settle(&mut machine, &mut judge);
    // The late worker found an empty parcel, and the next attempt works.
    machine.manager.migrate(actor, Way::Push(0));
    let until = machine.now() + 5 * MS;
    let more = load(
        &mut machine,
        &mut judge,
        until,
        10 * US,
        &mut dice,
        |dice, _| item(actor, dice.below(5), US),
    );
    settle(&mut machine, &mut judge);
    assert_eq!(
        (judge.handled[&actor], judge.out_of_order),
        (sent + more, 0)
    );
    assert!(judge.in_group(actor, Group::Worker) > 0);
}

#[test]
fn ip35_too_much_held_back_is_counted() {
    let mut machine = VirtualCores::<Test>::new(cores(1, 1), calm());
    let mut judge = Judge::default();
    let spec = ActorSpec {
        hold_back: 10,
        ..ActorSpec::new("a")
    };
    let actor = machine.scheduler.register(spec, 0).unwrap();
    machine.stall(1, 20 * MS);
    machine.manager.migrate(actor, Way::Push(0));
    machine.run_until(MS, &mut judge);
    for n in 0..25 {
        let sent = Item {
            number: n,
            ..item(actor, 1, US)
        };
        machine.arrive(0, sent, &mut judge).unwrap();
    }
    machine.run_until(60 * MS, &mut judge);
    assert_eq!(judge.handled[&actor], 10, "the oldest");
    let status = machine.manager.status(machine.core(0));
    assert_eq!(status[0].losses, [0, 15, 0, 0]);
}

fn dispersed(helping: Helping, packet_cores: usize) -> (VirtualCores<Test>, Judge, Vec<ActorId>) {
    let settings = Settings {
        helping,
        migration: false,
        ..Settings::default()
    };
    let thresholds = Thresholds {
        mean_ns: 1e12,
        tail_ns: 150_000.0,
    };
    let config = Config {
        settings: settings.clone(),
        quanta: super::super::drr::QuantumTable::uniform(30_000.0),
        ..cores(packet_cores, 0)
    };
    let mut machine = VirtualCores::<Test>::new(config, Policy::new(settings, thresholds));
    let (mut judge, mut dice) = (Judge::default(), Dice(11));
    let actors: Vec<ActorId> = (0..5)
        .map(|n| {
            let spec = ActorSpec::new(format!("a{n}"));
            machine.scheduler.register_shared(spec, ()).unwrap()
        })
        .collect();
    let gap = 32 * US * 10 / 9 / packet_cores as u64;
    load(
        &mut machine,
        &mut judge,
        400 * MS,
        gap,
        &mut dice,
        |dice, _| {
            // A tenth takes eleven times as long.
            let long = dice.below(10) == 0;
            let to = if long {
                actors[4]
            } else {
                actors[dice.below(4) as usize]
            };
            item(to, dice.next(), if long { 176 * US } else { 16 * US })
        },
    );
    (machine, judge, actors)
}

#[test]
fn ip14_in_a_whole_the_dispersed_actor_is_downgraded_and_gets_a_core() {
    let (machine, judge, actors) = dispersed(Helping::Half, 4);
    assert!(judge.in_group(actors[4], Group::Drr) > 100);
    for short in &actors[..4] {
        assert_eq!(judge.in_group(*short, Group::Drr), 0);
    }
    let first: Vec<String> = machine
        .manager
        .events()
        .filter_map(|event| match event {
            Event::Decided { decision, .. } => Some(format!("{:?}", decision.action)),
            Event::Migrated { .. } | Event::Failed { .. } => None,
        })
        .take(2)
        .collect();
    assert_eq!(first, ["Downgrade { actor: 4 }", "CoreToDrr"]);
}

#[test]
fn ip27_one_core_does_both_in_turn() {
    let (_, judge, actors) = dispersed(Helping::Half, 1);
    assert!(judge.in_group(actors[4], Group::Drr) > 100);
    assert!(judge.in_group(actors[0], Group::Fcfs) > 100);
}

#[test]
fn ip52_strict_groups_do_not_help_each_other() {
    // A core of its own, and nothing for it to do: only with helping is it used.
    let busy = |helping| {
        let (_, judge, actors) = dispersed(helping, 2);
        judge.in_group(actors[4], Group::Drr)
    };
    let [strict, half, full] = [Helping::Strict, Helping::Half, Helping::Full].map(busy);
    assert!(strict > 0 && half > 0 && full > 0, "{strict} {half} {full}");
}

#[test]
fn an_actor_changes_groups_when_somebody_asks_for_it() {
    let settings = Settings {
        grouping: false,
        migration: false,
        ..Settings::default()
    };
    // Every latency is over this threshold, and below that: nothing is decided by it, either way.
    for tail_ns in [0.0, f64::INFINITY] {
        let thresholds = Thresholds { tail_ns, ..CALM };
        let policy = Policy::new(settings.clone(), thresholds);
        let mut machine = VirtualCores::<Test>::new(cores(2, 0), policy);
        let (mut judge, mut dice) = (Judge::default(), Dice(1));
        let actors = [register(&machine, "a"), register(&machine, "b")];
        let mut some_load = |machine: &mut VirtualCores<Test>, judge: &mut Judge| {
            let until = machine.now() + 20 * MS;
            load(machine, judge, until, 10 * US, &mut dice, |dice, n| {
                let which = (n % 2) as usize;
                let takes = US + which as u64 * 10 * US;
                item(actors[which], dice.below(10), takes)
            })
        };
        some_load(&mut machine, &mut judge);
        assert_eq!(judge.in_group(actors[1], Group::Drr), 0);
        machine.manager.regroup(actors[1], true);
        some_load(&mut machine, &mut judge);
        assert_eq!(judge.in_group(actors[0], Group::Drr), 0);
        let under_drr = judge.in_group(actors[1], Group::Drr);
        assert!(under_drr > 500, "{under_drr}");
        let status = machine.manager.status(machine.core(0));
        assert_eq!(status[1].place, Some(Place::Drr));
        machine.manager.regroup(actors[1], false);
        some_load(&mut machine, &mut judge);
        let status = machine.manager.status(machine.core(0));
        assert_eq!(status[1].place, Some(Place::Fcfs));
        assert_eq!(judge.out_of_order, 0);
    }
}

#[test]
fn a_stall_does_not_shorten_what_is_being_executed() {
    let mut machine = VirtualCores::<Test>::new(cores(1, 0), calm());
    let mut judge = Judge::default();
    let actor = register(&machine, "a");
    machine.arrive(0, item(actor, 1, MS), &mut judge).unwrap();
    machine.arrive(0, item(actor, 2, US), &mut judge).unwrap();
    machine.stall(0, 10 * US);
    machine.run_until(MS - 1, &mut judge);
    assert_eq!(judge.left.len(), 0, "it takes a millisecond");
    machine.run_until(MS, &mut judge);
    assert_eq!(judge.left.len(), 1);
    machine.stall(0, 5 * MS);
    machine.run_until(6 * MS, &mut judge);
    // The second was begun at once when the first was over; nothing begins in the stall.
    machine.arrive(0, item(actor, 3, US), &mut judge).unwrap();
    machine.run_until(6 * MS - 1, &mut judge);
    assert_eq!(judge.left.len(), 2);
}

/// An actor of several cores, of which there are four; its messages take 3.2 of them, of few keys or many.
fn of_several_cores(keys: u64, round_robin: bool, by_another: bool) {
    let settings = Settings {
        grouping: false,
        migration: false,
        ..Settings::default()
    };
    let mut machine = VirtualCores::<Test>::new(cores(4, 0), Policy::new(settings, CALM));
    let (mut judge, mut dice) = (Judge::default(), Dice(3));
    let spec = |name| ActorSpec::new(name);
    let actor = machine.scheduler.register_shared(spec("s"), ()).unwrap();
    let sender = machine.scheduler.register_shared(spec("t"), ()).unwrap();
    machine.manager.regroup(actor, round_robin);
    let sent = load(
        &mut machine,
        &mut judge,
        50 * MS,
        10 * US,
        &mut dice,
        |dice, _| match by_another {
            // What it takes is what the sender takes too.
            true => Item {
                then: Some(actor),
                ..item(sender, dice.below(keys), 16 * US)
            },
            false => item(actor, dice.below(keys), 32 * US),
        },
    );
    machine.run_until(machine.now() + 2 * MS, &mut judge);
    let why = format!("{keys} keys, round robin {round_robin}, by another {by_another}");
    assert_eq!(judge.handled[&actor], sent, "{why}");
    assert_eq!(judge.out_of_order, 0, "{why}");
    let group = match round_robin {
        true => Group::Drr,
        false => Group::Fcfs,
    };
    assert_eq!(judge.in_group(actor, group), sent, "{why}");
}

#[test]
fn ip22_an_actor_of_several_cores_runs_on_several_from_its_mailbox_too() {
    for keys in [16, 1_000] {
        of_several_cores(keys, false, true);
        of_several_cores(keys, true, false);
        of_several_cores(keys, true, true);
    }
}

#[test]
fn ip05_keys_stay_in_order_while_an_actor_of_several_cores_moves_about() {
    for seed in 1..=20 {
        let mut machine = VirtualCores::<Test>::new(cores(3, 2), calm());
        let (mut judge, mut dice) = (Judge::default(), Dice(seed));
        let spec = ActorSpec::new("s");
        let actor = machine.scheduler.register_shared(spec, ()).unwrap();
        let (mut there, mut sent) = (None, 0);
        for _ in 0..60 {
            if dice.below(2) == 0 {
                machine.manager.regroup(actor, dice.below(2) == 0);
            } else if !machine.manager.is_migrating() {
                let way = match there.take() {
                    Some(worker) => Way::Pull(worker),
                    None => {
                        let worker = dice.below(2) as u16;
                        there = Some(worker);
                        Way::Push(worker)
                    }
                };
                machine.manager.migrate(actor, way);
            }
            let until = machine.now() + dice.below(3 * MS);
            sent += load(
                &mut machine,
                &mut judge,
                until,
                5 * US,
                &mut dice,
                |dice, _| item(actor, dice.below(10), 2 * US + dice.below(4 * US)),
            );
        }
        settle(&mut machine, &mut judge);
        assert_eq!(
            (judge.handled[&actor], judge.out_of_order),
            (sent, 0),
            "seed {seed}"
        );
        let groups = [Group::Fcfs, Group::Drr, Group::Worker];
        assert!(groups.iter().all(|group| judge.in_group(actor, *group) > 0));
    }
}

#[test]
fn what_comes_in_for_round_robin_does_not_wait_for_a_core_to_sort_it() {
    let mut machine = VirtualCores::<Test>::new(cores(2, 0), calm());
    let mut judge = Judge::default();
    let actors = ["long", "short"].map(|name| register(&machine, name));
    for actor in actors {
        machine.manager.regroup(actor, true);
    }
    machine.run_until(MS, &mut judge);
    // One core is kept by a long message; the other has many of them to choose from before the short one.
    for n in 0..40 {
        let long = item(actors[0], n, 100 * US);
        let number = machine.now() + n;
        let long = Item { number, ..long };
        machine.arrive(0, long, &mut judge).unwrap();
    }
    let short = Item {
        arrived: machine.now(),
        ..item(actors[1], 99, US)
    };
    machine.arrive(0, short, &mut judge).unwrap();
    machine.run_until(machine.now() + 250 * US, &mut judge);
    assert_eq!(judge.handled.get(&actors[1]), Some(&1));
}

#[test]
fn ip02_a_mailbox_is_bounded_and_what_finds_no_room_is_counted() {
    let mut machine = VirtualCores::<Test>::new(cores(1, 0), calm());
    let (mut judge, mut dice) = (Judge::default(), Dice(5));
    let spec = ActorSpec {
        mailbox: 16,
        ..ActorSpec::new("a")
    };
    let actor = machine.scheduler.register(spec, 0).unwrap();
    machine.manager.regroup(actor, true);
    machine.run_until(MS, &mut judge);
    // Twice what it can do.
    let until = 20 * MS;
    let sent = load(
        &mut machine,
        &mut judge,
        until,
        10 * US,
        &mut dice,
        |dice, _| item(actor, dice.below(5), 20 * US),
    );
    settle(&mut machine, &mut judge);
    let status = machine.manager.status(machine.core(0)).swap_remove(0);
    assert!(status.losses[0] > 100, "{:?}", status.losses);
    assert_eq!(judge.handled[&actor] + status.losses[0], sent);
    assert_eq!(judge.out_of_order, 0, "first in, first out");
}

#[test]
fn ip12_the_groups_latency_is_that_of_first_come_first_served_alone() {
    let mut machine = VirtualCores::<Test>::new(cores(2, 0), calm());
    let (mut judge, mut dice) = (Judge::default(), Dice(5));
    let (short, long) = (register(&machine, "short"), register(&machine, "long"));
    machine.manager.regroup(long, true);
    machine.run_until(MS, &mut judge);
    load(
        &mut machine,
        &mut judge,
        100 * MS,
        100 * US,
        &mut dice,
        |dice, _| match dice.below(10) {
            0 => item(long, 1, 500 * US),
            _ => item(short, 2, US),
        },
    );
    let latency = machine.scheduler.latency();
    assert!(latency.samples > 500 && judge.in_group(long, Group::Drr) > 50);
    // A short one may wait behind a long one that an idle core has taken up, but is never as long itself.
    assert!(latency.mean < 250_000.0, "{latency:?}");
}

#[test]
fn ip23_an_upgrade_with_messages_waiting_keeps_their_order() {
    for seed in 1..=10 {
        let mut machine = VirtualCores::<Test>::new(cores(3, 0), calm());
        let (mut judge, mut dice) = (Judge::default(), Dice(seed));
        let actor = register(&machine, "a");
        let mut sent = 0;
        for round in 0..40 {
            machine.manager.regroup(actor, round % 2 == 0);
            let until = machine.now() + dice.below(3 * MS);
            sent += load(
                &mut machine,
                &mut judge,
                until,
                8 * US,
                &mut dice,
                |dice, _| item(actor, dice.below(4), 2 * US + dice.below(6 * US)),
            );
        }
        settle(&mut machine, &mut judge);
        assert_eq!(
            (judge.handled[&actor], judge.out_of_order),
            (sent, 0),
            "{seed}"
        );
        assert!(judge.in_group(actor, Group::Drr) > 100);
        assert!(judge.in_group(actor, Group::Fcfs) > 100);
    }
}
