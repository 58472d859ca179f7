//! Each rule at its boundary.

use super::*;
use crate::sched::stats::Estimate;

const MS: u64 = 1_000_000;
const THRESHOLDS: Thresholds = Thresholds {
    mean_ns: 10_000.0,
    tail_ns: 50_000.0,
};

fn estimate(mean: f64, deviation: f64) -> Estimate {
    Estimate {
        mean,
        deviation,
        samples: 10_000,
    }
}

/// An actor on the packet cores that takes `service` ns with no deviation, `rate` times a second.
fn actor(index: u16, place: Place, service: f64, rate: f64) -> ActorView {
    ActorView {
        actor: index,
        place,
        pin: Pin::Free,
        in_transition: false,
        exclusive: true,
        service: estimate(service, 0.0),
        rate,
        busy: service * rate / 1e9,
        waiting: 0,
        mailbox: 1024,
        near: None,
    }
}

/// Something to look at, to be changed by each test.
struct Scene {
    now: u64,
    latency: Estimate,
    fcfs: GroupView,
    drr: GroupView,
    workers: Vec<WorkerView>,
    actors: Vec<ActorView>,
    ports: Vec<PortView>,
    migrating: bool,
}

impl Scene {
    fn new(actors: Vec<ActorView>) -> Scene {
        let group = |cores| GroupView {
            cores,
            utilisation: 0.5,
        };
        let worker = WorkerView {
            utilisation: 0.1,
            alive: true,
        };
        Scene {
            now: 0,
            latency: estimate(9_000.0, 1_000.0),
            fcfs: group(4),
            drr: group(0),
            workers: vec![worker; 2],
            actors,
            ports: Vec::new(),
            migrating: false,
        }
    }

    fn view(&self) -> View<'_> {
        View {
            now: self.now,
            latency: self.latency,
            fcfs: self.fcfs,
            drr: self.drr,
            workers: &self.workers,
            actors: &self.actors,
            ports: &self.ports,
            migrating: self.migrating,
        }
    }

    /// What a policy says that has waited out its first hold-off.
    fn decide(&mut self) -> Vec<Decision> {
        self.decide_with(&mut policy())
    }

    fn decide_with(&mut self, policy: &mut Policy) -> Vec<Decision> {
        let latency = std::mem::replace(&mut self.latency, estimate(9_000.0, 10_500.0));
        policy.step(&self.view());
        self.latency = latency;
        self.now += 6 * MS;
        policy.step(&self.view())
    }
}

fn policy() -> Policy {
    Policy::new(Settings::default(), THRESHOLDS)
}

fn actions(decisions: &[Decision]) -> Vec<Action> {
    decisions.iter().map(|decision| decision.action).collect()
}

fn fcfs(index: u16, service: f64) -> ActorView {
    actor(index, Place::Fcfs, service, 1000.0)
}

fn tail(ns: f64) -> Estimate {
    // The mean stays between its thresholds.
    estimate(9_000.0, (ns - 9_000.0) / 3.0)
}

#[test]
fn ip14_the_actor_whose_service_is_most_dispersed_is_downgraded() {
    let mut wide = fcfs(1, 2_000.0);
    wide.service.deviation = 4_000.0;
    let mut scene = Scene::new(vec![fcfs(0, 3_000.0), wide, fcfs(2, 5_000.0)]);
    scene.latency = tail(50_001.0);
    let mut policy = policy();
    assert_eq!(scene.decide_with(&mut policy), [], "it may be chance");
    scene.actors[1].service.samples += 16_384;
    let decisions = policy.step(&scene.view());
    assert_eq!(
        actions(&decisions),
        [Action::Downgrade { actor: 1 }],
        "its mean is the least, but not its tail"
    );
    let decision = decisions[0];
    assert_eq!((decision.rule, decision.limit), (Rule::Tail, 50_000.0));
    assert!((decision.measured - 50_001.0).abs() < 1.0);
    assert!(decision.resets_latency());
}

#[test]
fn ip15_nobody_is_downgraded_who_does_not_stand_out() {
    let actors = (0..4).map(|n| fcfs(n, 10_000.0 + 3_000.0 * f64::from(n)));
    let mut scene = Scene::new(actors.collect());
    scene.latency = tail(500_000.0);
    assert_eq!(scene.decide(), []);
    // Nor the only one.
    let mut scene = Scene::new(vec![fcfs(0, 10_000.0)]);
    scene.latency = tail(500_000.0);
    assert_eq!(scene.decide(), []);
    // Nor is anyone compared with an actor of which hardly anything is known.
    let mut scene = Scene::new(vec![fcfs(0, 10_000.0), fcfs(1, 10.0)]);
    scene.actors[1].service.samples = 3;
    scene.latency = tail(500_000.0);
    assert_eq!(scene.decide(), []);
}

#[test]
fn ip16_the_least_dispersed_is_upgraded_below_the_lower_threshold() {
    let drr = |index, service| actor(index, Place::Drr, service, 100.0);
    let mut scene = Scene::new(vec![fcfs(0, 10_000.0), drr(1, 90_000.0), drr(2, 15_000.0)]);
    scene.drr.cores = 1;
    scene.latency = tail(39_999.0);
    let decisions = scene.decide();
    assert_eq!(actions(&decisions), [Action::Upgrade { actor: 2 }]);
    assert_eq!(
        (decisions[0].rule, decisions[0].limit),
        (Rule::TailLow, 40_000.0)
    );
    // What stands out from the group stays where it is.
    scene.actors.pop();
    scene.now = 0;
    assert_eq!(scene.decide(), []);
}

#[test]
fn ip17_between_the_thresholds_nothing_moves() {
    let drr = actor(1, Place::Drr, 12_000.0, 10.0);
    let away = actor(2, Place::Worker(0), 12_000.0, 10.0);
    for ns in [40_000.0, 45_000.0, 50_000.0] {
        let mut scene = Scene::new(vec![fcfs(0, 10_000.0), fcfs(3, 1_000.0), drr, away]);
        scene.drr.cores = 1;
        scene.latency = tail(ns);
        assert_eq!(scene.decide(), [], "{ns}");
    }
    for mean in [8_000.0, 10_000.0] {
        let mut scene = Scene::new(vec![fcfs(0, 10_000.0), away]);
        scene.latency = estimate(mean, (45_000.0 - mean) / 3.0);
        assert_eq!(scene.decide(), [], "{mean}");
    }
}

#[test]
fn ip18_after_a_move_nothing_is_judged_before_enough_was_seen() {
    let mut scene = Scene::new(vec![fcfs(0, 1_000.0), fcfs(1, 30_000.0), fcfs(2, 60_000.0)]);
    let mut policy = policy();
    scene.latency = tail(90_000.0);
    scene.latency.samples = 0;
    assert_eq!(policy.step(&scene.view()), [], "the first hold-off");
    scene.now += 6 * MS;
    scene.latency.samples = 1_999;
    assert_eq!(policy.step(&scene.view()), [], "too few messages");
    scene.latency.samples = 2_000;
    assert_eq!(
        actions(&policy.step(&scene.view())),
        [Action::Downgrade { actor: 2 }]
    );

    scene.actors[2].place = Place::Drr;
    scene.drr.cores = 1;
    scene.now += 4 * MS;
    assert_eq!(policy.step(&scene.view()), [], "too soon");
    scene.now += MS;
    assert_eq!(
        actions(&policy.step(&scene.view())),
        [Action::Downgrade { actor: 1 }]
    );

    // With few messages it is judged after a second.
    scene.actors[1].place = Place::Drr;
    scene.latency = tail(30_000.0);
    scene.latency.samples = 10;
    scene.actors[1].service = estimate(1_500.0, 0.0);
    scene.now += 999 * MS;
    assert_eq!(policy.step(&scene.view()), []);
    scene.now += MS;
    assert_eq!(
        actions(&policy.step(&scene.view())),
        [Action::Upgrade { actor: 1 }]
    );
}

#[test]
fn ip24_the_first_downgrade_gets_a_core_and_the_last_upgrade_gives_it_back() {
    let mut scene = Scene::new(vec![fcfs(0, 1_000.0), fcfs(1, 60_000.0)]);
    let mut policy = policy();
    scene.latency = tail(90_000.0);
    let first = scene.decide_with(&mut policy);
    assert_eq!(actions(&first), [Action::Downgrade { actor: 1 }]);
    scene.actors[1].place = Place::Drr;
    let next = policy.step(&scene.view());
    assert_eq!(actions(&next), [Action::CoreToDrr]);
    assert_eq!(next[0].rule, Rule::FirstDrrCore);
    (scene.fcfs.cores, scene.drr.cores) = (3, 1);
    scene.actors[1].place = Place::Fcfs;
    assert_eq!(
        policy.step(&scene.view()),
        [],
        "one core in ten milliseconds"
    );
    scene.now += 10 * MS;
    scene.latency = tail(45_000.0);
    let back = policy.step(&scene.view());
    assert_eq!(actions(&back), [Action::CoreToFcfs]);
    assert_eq!(back[0].rule, Rule::NoDrrActor);
}

fn scaled(fcfs_group: (u32, f64), drr_group: (u32, f64)) -> Vec<Action> {
    let group = |(cores, utilisation)| GroupView { cores, utilisation };
    let mut scene = Scene::new(vec![fcfs(0, 1_000.0), actor(1, Place::Drr, 1e5, 10.0)]);
    (scene.fcfs, scene.drr) = (group(fcfs_group), group(drr_group));
    scene.latency = tail(45_000.0);
    actions(&policy().step(&scene.view()))
}

#[test]
fn ip25_cores_change_groups_exactly_at_the_limits() {
    let just_below = |x: f64| x - 1e-9;
    assert_eq!(
        scaled((4, just_below(0.75)), (2, 0.95)),
        [Action::CoreToDrr]
    );
    assert_eq!(scaled((4, 0.75), (2, 0.95)), [], "three could not carry it");
    assert_eq!(scaled((4, 0.5), (2, just_below(0.95))), [], "not full");
    assert_eq!(
        scaled((4, 0.95), (2, just_below(0.5))),
        [Action::CoreToFcfs]
    );
    assert_eq!(scaled((4, 0.95), (2, 0.5)), []);
    assert_eq!(scaled((4, just_below(0.95)), (2, 0.1)), []);
    // One core each: neither can leave.
    assert_eq!(scaled((1, 0.0), (1, 1.0)), []);
    assert_eq!(scaled((1, 1.0), (1, 0.0)), []);
    // Both full: nobody has anything to give.
    assert_eq!(scaled((4, 1.0), (4, 1.0)), []);
}

#[test]
fn ip26_the_last_core_stays_with_first_come_first_served() {
    assert_eq!(scaled((1, 0.0), (0, 0.0)), [], "it does both in turn");
    assert_eq!(scaled((2, 0.0), (0, 0.0)), [Action::CoreToDrr]);
    assert_eq!(scaled((1, 0.0), (3, 1.0)), []);
}

#[test]
fn ip28_the_heaviest_actor_is_pushed_when_the_mean_is_too_long() {
    let mut scene = Scene::new(vec![
        actor(0, Place::Fcfs, 1_000.0, 400_000.0),
        actor(1, Place::Fcfs, 50_000.0, 1_000.0),
        actor(2, Place::Drr, 9_000.0, 20_000.0),
    ]);
    scene.drr.cores = 1;
    scene.latency = estimate(10_001.0, 12_000.0);
    scene.workers[0].utilisation = 0.7;
    let decisions = scene.decide();
    let push = |actor, worker| [Action::Push { actor, worker }];
    assert_eq!(
        actions(&decisions),
        push(0, 1),
        "service time by rate; the idler worker"
    );
    assert_eq!(
        (decisions[0].rule, decisions[0].measured),
        (Rule::Mean, 10_001.0)
    );

    scene.now = 0;
    scene.actors[0].pin = Pin::Packet;
    assert_eq!(
        actions(&scene.decide()),
        push(2, 1),
        "the pinned one is left"
    );
    scene.now = 0;
    scene.actors[2].in_transition = true;
    scene.actors[1].near = Some(0);
    assert_eq!(
        actions(&scene.decide()),
        push(1, 0),
        "where its neighbour is"
    );
    scene.now = 0;
    scene.workers[0].utilisation = 0.95;
    assert_eq!(actions(&scene.decide()), push(1, 1), "unless that is full");
    scene.now = 0;
    scene
        .workers
        .iter_mut()
        .for_each(|worker| worker.alive = false);
    assert_eq!(scene.decide(), [], "nowhere to go");
}

#[test]
fn transit_alone_cannot_be_helped_by_moving_anybody() {
    let mut scene = Scene::new(vec![actor(0, Place::Fcfs, 1_000.0, 0.0)]);
    scene.latency = estimate(90_000.0, 1_000.0);
    let mut policy = policy();
    for _ in 0..1000 {
        scene.now += MS;
        assert_eq!(policy.step(&scene.view()), []);
    }
}

#[test]
fn ip29_an_actor_is_pushed_when_its_mailbox_is_half_full() {
    let mut scene = Scene::new(vec![
        fcfs(0, 1_000.0),
        actor(1, Place::Drr, 1_000.0, 10.0),
        actor(2, Place::Drr, 90_000.0, 10_000.0),
    ]);
    scene.drr.cores = 1;
    scene.latency = tail(45_000.0);
    scene.actors[1].waiting = 512;
    assert_eq!(scene.decide(), [], "half is not more than half");
    scene.actors[1].waiting = 513;
    scene.now = 0;
    let mut policy = policy();
    let decisions = policy.step(&scene.view());
    assert_eq!(
        actions(&decisions),
        [Action::Push {
            actor: 1,
            worker: 0
        }],
        "that one, not the heaviest, and without waiting for a hold-off"
    );
    assert_eq!(
        (decisions[0].rule, decisions[0].limit),
        (Rule::Mailbox, 512.0)
    );
}

#[test]
fn ip30_the_lightest_actor_is_pulled_when_there_is_room() {
    let away = |index, rate| actor(index, Place::Worker(0), 1_000.0, rate);
    let mut scene = Scene::new(vec![
        fcfs(0, 1_000.0),
        away(1, 700_000.0),
        away(2, 400_000.0),
    ]);
    scene.latency = estimate(7_999.0, (45_000.0 - 7_999.0) / 3.0);
    let decisions = scene.decide();
    assert_eq!(actions(&decisions), [Action::Pull { actor: 2 }]);
    assert_eq!(decisions[0].rule, Rule::MeanLow);
    // 0.71 and 0.4 of four cores: over 0.8.
    scene.now = 0;
    scene.fcfs.utilisation = 0.71;
    assert_eq!(scene.decide(), [], "no room");
    scene.now = 0;
    scene.fcfs.utilisation = 0.5;
    scene.actors[2].pin = Pin::Worker;
    assert_eq!(actions(&scene.decide()), [Action::Pull { actor: 1 }]);
    scene.now = 0;
    scene.actors[1].busy = 0.801;
    assert_eq!(
        scene.decide(),
        [],
        "it has one core at a time, however many there are"
    );
    scene.now = 0;
    scene.actors[1].exclusive = false;
    assert_eq!(actions(&scene.decide()), [Action::Pull { actor: 1 }]);
    scene.now = 0;
    scene.actors[1].pin = Pin::Worker;
    assert_eq!(scene.decide(), []);
}

#[test]
fn an_idle_box_pulls_everything_back() {
    let mut scene = Scene::new(vec![actor(0, Place::Worker(1), 1_000.0, 0.0)]);
    scene.latency = Estimate::default();
    let mut policy = policy();
    policy.step(&scene.view());
    scene.now += 1_000 * MS;
    assert_eq!(
        actions(&policy.step(&scene.view())),
        [Action::Pull { actor: 0 }]
    );
}

#[test]
fn ip31_one_migration_at_a_time() {
    let mut scene = Scene::new(vec![fcfs(0, 1_000.0), actor(1, Place::Drr, 1_000.0, 10.0)]);
    scene.drr.cores = 1;
    scene.latency = estimate(20_000.0, 8_000.0);
    scene.actors[1].waiting = 1_000;
    scene.migrating = true;
    assert_eq!(scene.decide(), []);
    scene.migrating = false;
    scene.now = 0;
    assert_eq!(
        actions(&scene.decide()).len(),
        1,
        "the mailbox and the mean ask at once"
    );
}

#[test]
fn ip18_an_actor_that_was_pushed_is_not_pulled_before_its_cool_down() {
    let mut scene = Scene::new(vec![fcfs(0, 1_000.0)]);
    let mut policy = policy();
    scene.latency = estimate(10_001.0, 12_000.0);
    assert_eq!(
        actions(&scene.decide_with(&mut policy)),
        [Action::Push {
            actor: 0,
            worker: 0
        }]
    );
    scene.actors[0].place = Place::Worker(0);
    scene.latency = estimate(1_000.0, 10.0);
    scene.now += 99 * MS;
    assert_eq!(policy.step(&scene.view()), []);
    scene.now += MS;
    assert_eq!(
        actions(&policy.step(&scene.view())),
        [Action::Pull { actor: 0 }]
    );
}

#[test]
fn a_downgrade_is_tried_before_a_push() {
    let mut scene = Scene::new(vec![fcfs(0, 1_000.0), fcfs(1, 60_000.0)]);
    scene.latency = estimate(40_000.0, 40_000.0);
    assert_eq!(actions(&scene.decide()), [Action::Downgrade { actor: 1 }]);
}

#[test]
fn ip53_an_actor_that_fills_a_core_raises_one_alarm() {
    let mut scene = Scene::new(vec![actor(0, Place::Fcfs, 1_000.0, 901_000.0)]);
    let mut policy = policy();
    let decisions = policy.step(&scene.view());
    assert_eq!(actions(&decisions), [Action::Alarm { actor: 0 }]);
    assert!((decisions[0].measured - 0.901).abs() < 1e-9 && !decisions[0].resets_latency());
    assert_eq!(policy.step(&scene.view()), [], "told already");
    for busy in [0.85, 0.95] {
        scene.actors[0].busy = busy;
        assert_eq!(policy.step(&scene.view()), [], "hardly better");
    }
    scene.actors[0].busy = 0.7;
    policy.step(&scene.view());
    scene.actors[0].busy = 0.95;
    assert_eq!(
        policy.step(&scene.view()).len(),
        1,
        "again, after it was better"
    );
    scene.actors[0].exclusive = false;
    assert_eq!(
        Policy::new(Settings::default(), THRESHOLDS).step(&scene.view()),
        []
    );
}

fn pushes_in(
    scene: &mut Scene,
    policy: &mut Policy,
    ms: u64,
    mut each: impl FnMut(&mut Scene),
) -> Vec<(u64, Rule)> {
    let end = scene.now + ms * MS;
    let mut pushes = Vec::new();
    while scene.now < end {
        scene.now += MS;
        each(scene);
        for decision in policy.step(&scene.view()) {
            if matches!(decision.action, Action::Push { .. }) {
                pushes.push((scene.now / MS, decision.rule));
            }
        }
    }
    pushes
}

#[test]
fn e06_an_actor_slower_than_usual_by_a_fifth_for_three_samples_is_overloaded() {
    let mut scene = Scene::new(vec![fcfs(0, 1_000.0), fcfs(1, 2_000.0)]);
    scene.latency = tail(45_000.0);
    let mut policy = policy();
    assert_eq!(pushes_in(&mut scene, &mut policy, 1_000, |_| ()), []);
    // Two samples are a coincidence.
    scene.actors[0].service.mean = 1_500.0;
    assert_eq!(pushes_in(&mut scene, &mut policy, 100, |_| ()), []);
    scene.actors[0].service.mean = 1_000.0;
    assert_eq!(pushes_in(&mut scene, &mut policy, 200, |_| ()), []);
    scene.actors[0].service.mean = 1_500.0;
    let pushes = pushes_in(&mut scene, &mut policy, 200, |_| ());
    assert_eq!(pushes.len(), 1, "{pushes:?}");
    assert_eq!(pushes[0].1, Rule::Overload);
    // 19 % is not a fifth, and slow changes are followed.
    let mut scene = Scene::new(vec![fcfs(0, 1_000.0)]);
    scene.latency = tail(45_000.0);
    let mut policy = Policy::new(Settings::default(), THRESHOLDS);
    pushes_in(&mut scene, &mut policy, 200, |_| ());
    scene.actors[0].service.mean = 1_190.0;
    assert_eq!(pushes_in(&mut scene, &mut policy, 2_000, |_| ()), []);
    let creeping = |scene: &mut Scene| scene.actors[0].service.mean *= 1.0001;
    assert_eq!(pushes_in(&mut scene, &mut policy, 5_000, creeping), []);
}

#[test]
fn e06_an_actor_that_is_slower_but_fast_enough_is_left_alone() {
    let mut scene = Scene::new(vec![fcfs(0, 1_000.0)]);
    scene.latency = estimate(2_000.0, 14_333.0);
    let mut policy = policy();
    pushes_in(&mut scene, &mut policy, 500, |_| ());
    scene.actors[0].service.mean = 2_000.0;
    assert_eq!(pushes_in(&mut scene, &mut policy, 500, |_| ()), []);
}

fn port(received: u64, waiting: u32, capacity: f64) -> PortView {
    PortView {
        received,
        waiting,
        capacity,
    }
}

#[test]
fn e07_transit_that_waits_below_the_ports_rate_is_starved() {
    let mut scene = Scene::new(vec![
        actor(0, Place::Fcfs, 90_000.0, 5_000.0),
        fcfs(1, 10.0),
    ]);
    scene.latency = tail(45_000.0);
    scene.ports = vec![port(0, 0, 1e6)];
    let mut policy = policy();
    let starving = |scene: &mut Scene| {
        let received = scene.ports[0].received + 500; // half a million a second
        scene.ports[0] = port(received, 64, 1e6);
    };
    let pushes = pushes_in(&mut scene, &mut policy, 250, starving);
    assert_eq!(pushes.len(), 1, "{pushes:?}");
    assert_eq!(pushes[0].1, Rule::Starvation);
    assert!(
        (150..=210).contains(&pushes[0].0),
        "three samples of 50 ms: {pushes:?}"
    );
}

#[test]
fn e08_a_full_port_is_not_starved() {
    for capacity in [1e6, 0.0] {
        let mut scene = Scene::new(vec![actor(0, Place::Fcfs, 90_000.0, 5_000.0)]);
        scene.latency = tail(45_000.0);
        scene.ports = vec![port(0, 0, capacity)];
        let mut policy = policy();
        let full = |scene: &mut Scene| {
            let received = scene.ports[0].received + 990;
            scene.ports[0] = port(received, 500, capacity);
        };
        assert_eq!(pushes_in(&mut scene, &mut policy, 2_000, full), []);
        // Nor is one whose ring is empty in between, however little it receives.
        let idle = |scene: &mut Scene| {
            let received = scene.ports[0].received + 10;
            scene.ports[0] = port(received, 63, capacity);
        };
        assert_eq!(pushes_in(&mut scene, &mut policy, 2_000, idle), []);
    }
}

#[test]
fn e09_a_full_mailbox_goes_before_the_mean_and_that_before_overload() {
    let mut scene = Scene::new(vec![
        actor(0, Place::Fcfs, 9_000.0, 50_000.0),
        actor(1, Place::Drr, 1_000.0, 10.0),
    ]);
    scene.drr.cores = 1;
    scene.latency = tail(45_000.0);
    scene.ports = vec![port(0, 0, 1e6)];
    let mut policy = policy();
    let starving = |scene: &mut Scene| {
        let received = scene.ports[0].received + 1;
        scene.ports[0] = port(received, 99, 1e6);
    };
    // All three become true in the same step.
    pushes_in(&mut scene, &mut policy, 130, starving);
    scene.now = 199 * MS;
    scene.latency = estimate(30_000.0, 5_000.0);
    scene.actors[1].waiting = 1_000;
    let rules: Vec<Rule> = (0..3)
        .flat_map(|_| {
            scene.now += 60 * MS;
            starving(&mut scene);
            let decisions = policy.step(&scene.view());
            for decision in &decisions {
                if let Action::Push { actor, worker } = decision.action {
                    scene.actors[usize::from(actor)].place = Place::Worker(worker);
                }
            }
            scene.actors[1].waiting = 0;
            decisions.into_iter().filter(|d| d.resets_latency())
        })
        .map(|decision| decision.rule)
        .collect();
    assert_eq!(rules, [Rule::Mailbox, Rule::Mean], "{rules:?}");
}

#[test]
fn ip61_parameters_change_while_it_runs() {
    let mut scene = Scene::new(vec![fcfs(0, 1_000.0), fcfs(1, 60_000.0)]);
    scene.latency = tail(45_000.0);
    let mut policy = policy();
    assert_eq!(scene.decide_with(&mut policy), []);
    let thresholds = Thresholds {
        tail_ns: 44_000.0,
        ..THRESHOLDS
    };
    policy.set(Settings::default(), thresholds);
    assert_eq!(policy.thresholds(), thresholds);
    assert_eq!(
        actions(&policy.step(&scene.view())),
        [Action::Downgrade { actor: 1 }]
    );
}

#[test]
fn the_defaults_are_what_a_config_may_leave_out() {
    let read: Settings = serde_json::from_str("{}").unwrap();
    assert_eq!(read, Settings::default());
    assert!(serde_json::from_str::<Settings>(r#"{ "hysterisis": 0.1 }"#).is_err());
}

#[test]
fn ip15_who_stands_out_a_little_is_believed_after_a_while() {
    // As it looks after one message that takes long.
    let at = |seen: u64| {
        let mut doubtful = fcfs(0, 3_000.0);
        doubtful.service.deviation = 20_000.0;
        doubtful.service.samples = seen;
        let mut scene = Scene::new(vec![doubtful, fcfs(1, 3_000.0)]);
        scene.now = 100 * MS;
        scene.latency = tail(60_000.0);
        scene
    };
    let mut policy = policy();
    policy.step(&Scene::new(vec![fcfs(1, 3_000.0)]).view());
    assert_eq!(actions(&policy.step(&at(1_000).view())), []);
    assert_eq!(actions(&policy.step(&at(17_383).view())), []);
    // In between it looked like the other: it begins anew.
    let mut alike = at(17_400);
    alike.actors[0].service.deviation = 0.0;
    assert_eq!(actions(&policy.step(&alike.view())), []);
    assert_eq!(actions(&policy.step(&at(17_500).view())), []);
    let downgrade = [Action::Downgrade { actor: 0 }];
    assert_eq!(actions(&policy.step(&at(33_884).view())), downgrade);
    // One whose mean stands out is believed at once.
    let mut long = at(10);
    long.actors[0].service = estimate(7_000.0, 0.0);
    long.actors[0].service.samples = 8;
    let mut policy = self::policy();
    policy.step(&Scene::new(vec![fcfs(1, 3_000.0)]).view());
    assert_eq!(actions(&policy.step(&long.view())), downgrade);
}
