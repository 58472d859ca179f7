//! What a scrape shows of a scheduler whose cores run in virtual time.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::sched::policy::{Action, Decision, Helping, Policy, Settings};
use crate::sched::runtime::{Config, Job, Order, Send};
use crate::sched::virtual_cores::{Execute, VirtualCores};
use crate::sched::{ActorId, ActorSpec, Message};
use crate::telemetry::Telemetry;

const MS: u64 = 1_000_000;

/// A message for an actor that takes a microsecond.
struct Item(ActorId, u64);

impl Message for Item {
    fn actor(&self) -> Option<ActorId> {
        Some(self.0)
    }
    fn key(&self) -> u64 {
        0
    }
    fn arrived_ns(&self) -> u64 {
        self.1
    }
    fn bytes(&self) -> u32 {
        64
    }
}

struct Test;

impl Work for Test {
    type Message = Item;
    type Body = ();
    type Shared = ();
}

struct Cpu;

impl Execute<Test> for Cpu {
    fn execute(&mut self, job: &mut Job<Test>, _: &mut Vec<Send<Item>>, _: u64) -> u64 {
        1_000 * job.messages.drain(..).count() as u64
    }
    fn leaves(&mut self, _: Item, _: u64) {}
}

struct Rig {
    machine: VirtualCores<Test>,
    metrics: Arc<SchedMetrics<Test>>,
    telemetry: Telemetry,
    actor: ActorId,
}

/// A packet core, a worker, one actor, and nobody who decides.
fn rig() -> Rig {
    let config = SchedulerConfig {
        slo_mean_us: 50.0,
        policy: Settings {
            migration: false,
            ..Settings::default()
        },
        ..SchedulerConfig::default()
    };
    let thresholds = config.thresholds();
    let size = Config {
        packet_cores: 1,
        workers: 1,
        ..Config::default()
    };
    let policy = Policy::new(config.policy.clone(), thresholds);
    let machine = VirtualCores::new(size, policy);
    let actor = machine.scheduler.register(ActorSpec::new("acl"), ());
    let metrics = SchedMetrics::new(machine.scheduler.clone(), 1, &config, thresholds);
    let (metrics, telemetry) = (Arc::new(metrics), Telemetry::new(1e9));
    telemetry.add_source(metrics.clone());
    Rig {
        actor: actor.unwrap(),
        machine,
        metrics,
        telemetry,
    }
}

impl Rig {
    /// Messages come for a millisecond, one every ten microseconds.
    fn work(&mut self) {
        let end = self.machine.now() + MS;
        while self.machine.now() < end {
            let now = self.machine.now();
            let item = Item(self.actor, now);
            assert!(self.machine.arrive(0, item, &mut Cpu).is_ok());
            self.machine.run_until(now + 10_000, &mut Cpu);
        }
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(event) = self.machine.scheduler.take_event() {
            self.metrics.count(&event);
        }
    }

    fn value(&self, series: &str) -> Option<f64> {
        let text = self.telemetry.render();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
    }

    fn is(&self, series: &str, value: f64) {
        let found = self.value(series).unwrap_or_else(|| {
            panic!("{series} is not in\n{}", self.telemetry.render());
        });
        assert!(
            (found - value).abs() <= 1e-9,
            "{series}: {found}, not {value}"
        );
    }

    fn place(&self) -> Vec<String> {
        let text = self.telemetry.render();
        let places = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("sluice_sched_actor_place{actor=\"acl\",")?;
            rest.strip_suffix(" 1").map(str::to_owned)
        });
        places.collect()
    }
}

#[test]
fn ip58_an_actor_its_core_and_its_group_are_shown() {
    let mut rig = rig();
    rig.work();
    rig.is("sluice_sched_actor_messages_total{actor=\"acl\"}", 100.0);
    rig.is("sluice_sched_actor_busy_seconds_total{actor=\"acl\"}", 1e-4);
    rig.is(
        "sluice_sched_actor_service_mean_seconds{actor=\"acl\"}",
        1e-6,
    );
    rig.is(
        "sluice_sched_actor_service_deviation_seconds{actor=\"acl\"}",
        0.0,
    );
    rig.is(
        "sluice_sched_actor_sojourn_mean_seconds{actor=\"acl\"}",
        1e-6,
    );
    rig.is("sluice_sched_actor_message_mean_bytes{actor=\"acl\"}", 64.0);
    rig.is("sluice_sched_actor_mailbox_messages{actor=\"acl\"}", 1024.0);
    rig.is(
        "sluice_sched_actor_lost_messages_total{actor=\"acl\",reason=\"mailbox_full\"}",
        0.0,
    );
    rig.is("sluice_sched_core_group{core=\"0\",group=\"fcfs\"}", 1.0);
    rig.is("sluice_sched_core_group{core=\"0\",group=\"drr\"}", 0.0);
    for (group, cores, actors) in [("fcfs", 1.0, 1.0), ("drr", 0.0, 0.0), ("worker", 1.0, 0.0)] {
        rig.is(
            &format!("sluice_sched_group_cores{{group=\"{group}\"}}"),
            cores,
        );
        rig.is(
            &format!("sluice_sched_group_actors{{group=\"{group}\"}}"),
            actors,
        );
    }
    let text = rig.telemetry.render();
    assert!(
        text.contains("sluice_sched_group_load_cores{group=\"drr\"} 0\n"),
        "no sign before a zero: {text}"
    );
    rig.is("sluice_sched_latency_mean_seconds", 1e-6);
    rig.is("sluice_sched_latency_samples", 100.0);
    rig.is("sluice_sched_threshold_mean_seconds", 50e-6);
    assert_eq!(rig.place(), ["place=\"fcfs\",worker=\"\"}"]);
}

#[test]
fn ip58_decisions_are_counted_with_their_rule() {
    let rig = rig();
    let count = "sluice_sched_decisions_total{action=\"push\",rule=\"mean\"}";
    rig.is(count, 0.0);
    let decided = |action, rule| Event::Decided {
        at: 0,
        decision: Decision {
            action,
            rule,
            measured: 2.0,
            limit: 1.0,
        },
        name: None,
    };
    let push = Action::Push {
        actor: 0,
        worker: 0,
    };
    rig.metrics.count(&decided(push, Rule::Mean));
    rig.metrics.count(&decided(push, Rule::Mean));
    rig.metrics
        .count(&decided(Action::CoreToDrr, Rule::GroupFull));
    rig.is(count, 2.0);
    rig.is(
        "sluice_sched_decisions_total{action=\"core_to_drr\",rule=\"group_full\"}",
        1.0,
    );
}

#[test]
fn ip32_every_phase_of_a_migration_is_shown() {
    let mut rig = rig();
    rig.work();
    // The worker is busy with something else, and cannot take the actor over.
    rig.machine.stall(1, MS);
    assert!(rig.machine.scheduler.order(Order::Push(rig.actor, Some(0))));
    let phase = |rig: &Rig| {
        let shown = |name: &&&str| {
            rig.value(&format!("sluice_sched_migration_phase{{phase=\"{name}\"}}")) == Some(1.0)
        };
        let all = ["prepare", "ready", "gone", "clean"];
        all.iter()
            .filter(shown)
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    assert!(phase(&rig).is_empty());
    let now = rig.machine.now();
    rig.machine.run_until(now + MS / 2, &mut Cpu);
    assert_eq!(
        (phase(&rig), rig.place()),
        (
            vec!["gone".to_owned()],
            vec!["place=\"moving\",worker=\"\"}".to_owned()]
        )
    );
    rig.machine.run_until(now + 3 * MS, &mut Cpu);
    rig.collect();
    assert!(phase(&rig).is_empty());
    assert_eq!(rig.place(), ["place=\"worker\",worker=\"0\"}"]);
    rig.is(
        "sluice_sched_migrations_total{way=\"push\",outcome=\"done\"}",
        1.0,
    );
    rig.is(
        "sluice_sched_migrations_total{way=\"push\",outcome=\"rolled_back\"}",
        0.0,
    );
    for phase in ["prepare", "ready", "gone", "clean"] {
        rig.is(
            &format!("sluice_sched_migration_phase_seconds_count{{phase=\"{phase}\"}}"),
            1.0,
        );
    }
    let gone = rig
        .value("sluice_sched_migration_phase_seconds_sum{phase=\"gone\"}")
        .unwrap();
    assert!(
        (5e-4..2e-3).contains(&gone),
        "as long as the worker was busy: {gone}"
    );
    assert!(rig.machine.scheduler.order(Order::Pull(rig.actor)));
    rig.machine.run_until(now + 6 * MS, &mut Cpu);
    rig.collect();
    rig.is(
        "sluice_sched_migrations_total{way=\"pull\",outcome=\"done\"}",
        1.0,
    );
    assert_eq!(rig.place(), ["place=\"fcfs\",worker=\"\"}"]);
}

#[test]
fn ip44_an_actor_that_is_out_of_service_is_nowhere_else() {
    let mut rig = rig();
    rig.is("sluice_sched_failures_total{failure=\"deleted\"}", 0.0);
    assert!(rig.machine.scheduler.order(Order::Delete(rig.actor)));
    rig.machine.run_until(MS, &mut Cpu);
    rig.collect();
    assert_eq!(rig.place(), ["place=\"out_of_service\",worker=\"\"}"]);
    rig.is("sluice_sched_failures_total{failure=\"deleted\"}", 1.0);
    rig.is("sluice_sched_group_actors{group=\"fcfs\"}", 0.0);
}

#[test]
fn ip43_workers_report_their_load_and_the_scrape_shows_it() {
    let mut rig = rig();
    assert!(rig.machine.scheduler.order(Order::Push(rig.actor, None)));
    rig.machine.run_until(MS, &mut Cpu);
    rig.work();
    let busy = "sluice_sched_worker_busy_seconds_total{worker=\"0\"}";
    let seconds = rig.value(busy).unwrap();
    assert!((0.9e-4..=1.1e-4).contains(&seconds), "{seconds}");
    rig.is("sluice_sched_worker_actors{worker=\"0\"}", 1.0);
    rig.is("sluice_sched_group_actors{group=\"worker\"}", 1.0);
    rig.is("sluice_sched_worker_busy_ratio{worker=\"0\"}", 0.0);
    rig.metrics.set_shares(vec![0.25]);
    rig.is("sluice_sched_worker_busy_ratio{worker=\"0\"}", 0.25);
}

#[test]
fn ip61_every_parameter_is_shown_and_follows_a_change() {
    let rig = rig();
    let parameter = |name: &str| format!("sluice_sched_parameter{{parameter=\"{name}\"}}");
    let shown = |rig: &Rig| {
        let text = rig.telemetry.render();
        let lines = text.lines();
        lines
            .filter(|line| line.starts_with("sluice_sched_parameter{"))
            .count()
    };
    let mut config = SchedulerConfig::default();
    let document = serde_json::to_value(&config.policy).unwrap();
    let outside = serde_json::to_value(&config).unwrap();
    let outside = outside.as_object().unwrap().values();
    let outside = outside.filter(|value| value.is_number()).count();
    assert_eq!(shown(&rig), document.as_object().unwrap().len() + outside);
    assert!(outside >= 3, "both latencies and the factor");
    rig.is(&parameter("hysteresis"), 0.2);
    rig.is(&parameter("control_period_seconds"), 500e-6);
    rig.is(&parameter("cool_down_seconds"), 0.1);
    rig.is(&parameter("migration"), 0.0);
    rig.is(&parameter("helping_half"), 1.0);
    rig.is(&parameter("slo_mean_seconds"), 50e-6);
    config.policy.hysteresis = 0.5;
    config.policy.helping = Helping::Strict;
    config.slo_mean_us = 7.0;
    rig.metrics.set(&config, config.thresholds());
    rig.is(&parameter("hysteresis"), 0.5);
    rig.is(&parameter("migration"), 1.0);
    rig.is(&parameter("helping_strict"), 1.0);
    assert_eq!(rig.value(&parameter("helping_half")), None);
    rig.is("sluice_sched_threshold_mean_seconds", 7e-6);
}

#[test]
fn every_family_is_listed_named_by_the_rules_and_there_once() {
    let rig = rig();
    let text = rig.telemetry.render();
    let of_type = |line: &str| {
        Some(
            line.strip_prefix("# TYPE sluice_sched_")?
                .split(' ')
                .next()?
                .to_owned(),
        )
    };
    let rendered: BTreeSet<String> = text.lines().filter_map(of_type).collect();
    let families = sched_families();
    let listed = families
        .iter()
        .map(|family| family.name.replace("sluice_sched_", ""));
    assert_eq!(rendered, listed.collect());
    for family in &families {
        let counts = family.kind == crate::telemetry::Kind::Counter;
        assert_eq!(family.name.ends_with("_total"), counts, "{}", family.name);
        assert!(family.help.ends_with('.'), "{}", family.name);
    }
    let mut series = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (labels, _) = line.rsplit_once(' ').unwrap();
        assert!(series.insert(labels), "{labels} twice");
    }
}

#[test]
fn a_stopped_scheduler_is_let_go_of() {
    let rig = rig();
    rig.metrics.close();
    assert!(!rig.telemetry.render().contains("sluice_sched"));
}
