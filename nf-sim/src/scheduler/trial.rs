//! One workload under one discipline at one load.

use nf_core::sched::policy::{Action, Policy, Thresholds};
use nf_core::sched::runtime::{Config, Event, Group, Job, Send};
use nf_core::sched::virtual_cores::{Execute, VirtualCores};
use nf_core::sched::{ActorId, ActorSpec};
use workload::random::Random;

use super::item::{Item, Items};
use super::naive::Naive;
use super::outcome::{OfClass, Samples};
use super::{Discipline, Outcome, Workload};

/// Stripes of what comes in: so many that messages seldom wait for others of their stripe.
const STRIPES: usize = 4096;

/// Messages that a stripe takes.
const STRIPE_DEPTH: usize = 256;

/// The mailbox of an actor where nothing is to be lost.
const MAILBOX: usize = 1 << 17;

/// Messages of an actor's mailbox where actors are moved to workers when it fills.
const MAILBOX_OF_MIGRATION: usize = 1024;

/// Of the messages, so many warm up: the first tenth.
const WARM_UP: u64 = 10;

/// Time that passes after the last message for the rest to be done, nanoseconds.
const SETTLE_NS: u64 = 2_000_000_000;

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// What comes in.
    pub workload: Workload,
    /// Who shares the cores how.
    pub discipline: Discipline,
    /// Packet cores.
    pub packet_cores: usize,
    /// Worker cores; without any, no actor is moved to one.
    pub workers: usize,
    /// Share of the packet cores' time that the messages take.
    pub load: f64,
    /// Threshold of the tail, as a multiple of the mean time of a message.
    pub tail: f64,
    /// Threshold of the mean, likewise.
    pub mean: f64,
    /// Messages that come in.
    pub requests: u64,
    /// What chance follows from.
    pub seed: u64,
}

impl Trial {
    /// Without workers, with a tail threshold of five times the mean time of a message.
    pub fn new(
        workload: &Workload,
        discipline: Discipline,
        packet_cores: usize,
        load: f64,
    ) -> Trial {
        Trial {
            workload: workload.clone(),
            discipline,
            packet_cores,
            workers: 0,
            load,
            tail: 5.0,
            mean: 2.0,
            requests: 100_000,
            seed: 1,
        }
    }

    fn machine(&self) -> VirtualCores<Items> {
        let mean_ns = self.workload.mean_us() * 1e3;
        let settings = self.discipline.settings(self.workers > 0);
        let thresholds = Thresholds {
            mean_ns: self.mean * mean_ns,
            tail_ns: self.tail * mean_ns,
        };
        let config = Config {
            packet_cores: self.packet_cores,
            workers: self.workers,
            stripes: STRIPES,
            stripe_depth: STRIPE_DEPTH,
            settings: settings.clone(),
            quanta: self.discipline.quanta(mean_ns),
            ..Config::default()
        };
        VirtualCores::new(config, Policy::new(settings, thresholds))
    }

    fn register(&self, machine: &mut VirtualCores<Items>) -> Result<Vec<ActorId>, String> {
        let mailbox = match self.workers {
            0 => MAILBOX,
            _ => MAILBOX_OF_MIGRATION,
        };
        let register = |n| {
            let spec = ActorSpec {
                mailbox,
                ..ActorSpec::new(format!("actor{n}"))
            };
            let scheduler = &machine.scheduler;
            let id = scheduler
                .register_shared(spec, ())
                .map_err(|e| e.to_string())?;
            if self.discipline.begins_with_round_robin() {
                machine.manager.regroup(id, true);
            }
            Ok(id)
        };
        (0..self.workload.actors()).map(register).collect()
    }

    /// Runs it.
    pub fn run(&self) -> Result<Outcome, String> {
        let mut machine = self.machine();
        let actors = self.register(&mut machine)?;
        let mut driver = Driver::new(self);
        let mut random = Random::named(self.seed, self.workload.name, 0);
        let gap_ns = self.workload.mean_us() * 1e3 / (self.load * self.packet_cores as f64);
        let period = machine.manager.policy().settings().control_period_us * 1_000;
        let (mut at, mut next_step, mut refused) = (0.0, period, 0);
        machine.run_until(0, &mut driver); // what was asked for is done before anything comes in
        for number in 0..self.requests {
            at += gap_ns * random.exponential();
            let now = at as u64;
            machine.run_until(now, &mut driver);
            if now >= next_step && self.discipline == Discipline::Naive {
                let status = machine.manager.status(machine.core(0));
                if let Some((actor, round_robin)) = driver.naive.step(&status, &actors) {
                    machine.manager.regroup(actor, round_robin);
                }
                next_step = now + period;
            }
            let (class, actor, service) = self.workload.draw(&mut random);
            let item = Item {
                to: actors.get(actor).copied(),
                key: random.next_u64(),
                number,
                arrived: now,
                service,
                class: class as u8,
                group: Group::Fcfs,
            };
            refused += u64::from(machine.arrive(0, item, &mut driver).is_err());
        }
        let under_load = machine.manager.status(machine.core(0));
        machine.run_until(machine.now() + SETTLE_NS, &mut driver);
        Ok(Outcome {
            under_load,
            ..driver.outcome(self, &machine, refused)
        })
    }
}

/// Executes, and measures what leaves.
struct Driver {
    measured_from: u64,
    naive: Naive,
    latency: Vec<Vec<u32>>,
    slowdown: Vec<Vec<u32>>,
    done: u64,
}

impl Driver {
    fn new(trial: &Trial) -> Driver {
        let classes = trial.workload.classes.len();
        Driver {
            measured_from: trial.requests / WARM_UP,
            naive: Naive::new(trial.tail * trial.workload.mean_us() * 1e3),
            latency: vec![Vec::new(); classes],
            slowdown: vec![Vec::new(); classes],
            done: 0,
        }
    }

    fn outcome(self, trial: &Trial, machine: &VirtualCores<Items>, refused: u64) -> Outcome {
        let of = |latency: Vec<u32>, slowdown: Vec<u32>| OfClass {
            latency: Samples::of(latency),
            slowdown: Samples::of(slowdown),
        };
        let all = of(self.latency.concat(), self.slowdown.concat());
        let classes = self.latency.into_iter().zip(self.slowdown);
        let actors = machine.manager.status(machine.core(0));
        let lost: u64 = actors.iter().flat_map(|actor| actor.losses).sum();
        let events: Vec<Event> = machine.manager.events().cloned().collect();
        let regrouped = events.iter().filter(|event| match event {
            Event::Decided { decision, .. } => matches!(
                decision.action,
                Action::Downgrade { .. } | Action::Upgrade { .. }
            ),
            Event::Migrated { .. } | Event::Failed { .. } => false,
        });
        Outcome {
            classes: classes
                .map(|(latency, slowdown)| of(latency, slowdown))
                .collect(),
            all,
            offered: trial.requests,
            done: self.done,
            lost: lost + refused,
            under_load: Vec::new(),
            actors,
            regrouped: regrouped.count() as u64,
            events,
        }
    }
}

impl Execute<Items> for Driver {
    fn execute(&mut self, job: &mut Job<Items>, sends: &mut Vec<Send<Item>>, _: u64) -> u64 {
        let group = job.group();
        let mut takes = 0;
        for item in job.messages.drain(..) {
            takes += item.service;
            sends.push(Send::Out(Item { group, ..item }));
        }
        takes
    }

    fn leaves(&mut self, item: Item, now: u64) {
        self.done += 1;
        self.naive.left(&item, now);
        if item.number < self.measured_from {
            return;
        }
        let class = usize::from(item.class);
        let latency = now.saturating_sub(item.arrived);
        let slowdown = latency * 1_000 / item.service.max(1);
        let lists = [(&mut self.latency, latency), (&mut self.slowdown, slowdown)];
        for (list, value) in lists {
            if let Some(list) = list.get_mut(class) {
                list.push(u32::try_from(value).unwrap_or(u32::MAX));
            }
        }
    }
}
