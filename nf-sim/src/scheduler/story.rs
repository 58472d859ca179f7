//! What comes in changes over time: to see when the scheduler notices, and what it does.

use nf_core::sched::Status;
use nf_core::sched::policy::{Policy, Settings, Thresholds};
use nf_core::sched::runtime::{Config, Event, Group, Job, Send};
use nf_core::sched::virtual_cores::{Execute, VirtualCores};
use nf_core::sched::{ActorId, ActorSpec};
use workload::random::Random;

use super::item::{Item, Items};
use super::outcome::Samples;

/// Time after the end for the rest to be done, nanoseconds.
const SETTLE_NS: u64 = 1_000_000_000;

/// Messages that come in at a rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stream {
    /// For whom; `None` for what is only forwarded.
    pub actor: Option<usize>,
    /// Messages a second.
    pub rate: f64,
    /// How long one takes, microseconds.
    pub service_us: f64,
}

/// What comes in up to a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// When it ends, milliseconds.
    pub until_ms: u64,
    /// What comes in.
    pub streams: Vec<Stream>,
}

/// Cores, actors that run on one core at a time, and what happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// Packet cores.
    pub packet_cores: usize,
    /// Worker cores.
    pub workers: usize,
    /// Names of the actors.
    pub actors: Vec<&'static str>,
    /// What is too slow.
    pub thresholds: Thresholds,
    /// What comes in, one phase after the other.
    pub phases: Vec<Phase>,
    /// What chance follows from.
    pub seed: u64,
}

/// A message that was executed.
#[derive(Debug, Clone, Copy)]
struct Done {
    arrived: u64,
    latency: u32,
    transit: bool,
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct Told {
    done: Vec<Done>,
    /// What the scheduler did.
    pub events: Vec<Event>,
    /// The actors at the end.
    pub actors: Vec<Status>,
    /// Messages that came in.
    pub offered: u64,
    /// Messages that found no room on the way in.
    pub refused: u64,
}

impl Told {
    /// Latency of what was only forwarded and arrived between these times, milliseconds.
    pub fn transit(&self, from_ms: f64, to_ms: f64) -> Samples {
        let within = |done: &&Done| {
            let at = done.arrived as f64 / 1e6;
            done.transit && at >= from_ms && at < to_ms
        };
        Samples::of(
            self.done
                .iter()
                .filter(within)
                .map(|done| done.latency)
                .collect(),
        )
    }

    /// Messages that were executed.
    pub fn executed(&self) -> u64 {
        self.done.len() as u64
    }

    /// Messages that ended at an actor without being executed.
    pub fn lost(&self) -> u64 {
        self.actors.iter().flat_map(|actor| actor.losses).sum()
    }
}

struct Driver(Vec<Done>);

impl Execute<Items> for Driver {
    fn execute(&mut self, job: &mut Job<Items>, sends: &mut Vec<Send<Item>>, _: u64) -> u64 {
        let takes = job.messages.iter().map(|item| item.service).sum();
        sends.extend(job.messages.drain(..).map(Send::Out));
        takes
    }

    fn leaves(&mut self, item: Item, now: u64) {
        self.0.push(Done {
            arrived: item.arrived,
            latency: u32::try_from(now.saturating_sub(item.arrived)).unwrap_or(u32::MAX),
            transit: item.to.is_none(),
        });
    }
}

impl Story {
    /// Lets it happen.
    pub fn tell(&self) -> Result<Told, String> {
        let settings = Settings::default();
        let config = Config {
            packet_cores: self.packet_cores,
            workers: self.workers,
            stripes: 1024,
            settings: settings.clone(),
            ..Config::default()
        };
        let policy = Policy::new(settings, self.thresholds);
        let mut machine = VirtualCores::<Items>::new(config, policy);
        let register = |name: &&str| {
            let registered = machine.scheduler.register(ActorSpec::new(*name), ());
            registered.map_err(|error| error.to_string())
        };
        let actors: Vec<ActorId> = self.actors.iter().map(register).collect::<Result<_, _>>()?;
        let mut driver = Driver(Vec::new());
        let mut random = Random::named(self.seed, "story", 0);
        let (mut offered, mut refused, mut begin) = (0, 0, 0.0);
        for phase in &self.phases {
            let end = phase.until_ms as f64 * 1e6;
            let mut gap = |stream: &Stream| 1e9 / stream.rate * random.exponential();
            let mut next: Vec<f64> = phase.streams.iter().map(|one| begin + gap(one)).collect();
            loop {
                let soonest = next
                    .iter()
                    .enumerate()
                    .min_by(|(_, a), (_, b)| a.total_cmp(b));
                let Some((index, at)) = soonest.map(|(index, at)| (index, *at)) else {
                    break;
                };
                let Some(stream) = phase.streams.get(index).filter(|_| at < end) else {
                    break;
                };
                machine.run_until(at as u64, &mut driver);
                let item = Item {
                    to: stream.actor.and_then(|actor| actors.get(actor).copied()),
                    key: offered,
                    number: offered,
                    arrived: at as u64,
                    service: (stream.service_us * 1e3) as u64,
                    class: index as u8,
                    group: Group::Fcfs,
                };
                offered += 1;
                refused += u64::from(machine.arrive(0, item, &mut driver).is_err());
                next[index] = at + gap(stream);
            }
            begin = end;
        }
        machine.run_until(begin as u64 + SETTLE_NS, &mut driver);
        Ok(Told {
            done: driver.0,
            events: machine.manager.events().cloned().collect(),
            actors: machine.manager.status(machine.core(0)),
            offered,
            refused,
        })
    }
}
