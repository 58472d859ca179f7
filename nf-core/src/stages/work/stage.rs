//! The data path of `work`, and its control side.

use serde_json::Value;

use super::config::{FaultKind, WorkConfig, WorkTime};
use crate::chain::{
    BuildContext, BuildError, Cx, ReloadError, Stage, StageControl, StageType, read_reloaded,
};
use crate::check::{CheckContext, JsonPath, Problems};
use crate::filter::Filter;
use crate::packet::{Batch, Packet};
use crate::publish::{Publisher, Reader};
use crate::telemetry::CounterDesc;

/// The kind `work`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work;

const COUNTERS: &[CounterDesc] = &[CounterDesc {
    name: "worked",
    help: "Packets that time was spent on.",
}];

/// Index of the counter.
const WORKED: usize = 0;

/// The settings as the cores use them.
struct Plan {
    filter: Option<Filter>,
    config: WorkConfig,
}

impl Plan {
    fn new(config: WorkConfig) -> Result<Plan, String> {
        let filter = config.filter.as_deref().map(Filter::compile).transpose();
        Ok(Plan {
            filter: filter.map_err(|error| error.to_string())?,
            config,
        })
    }
}

impl StageType for Work {
    const NAME: &'static str = "work";
    const SUMMARY: &'static str =
        "spends processor time on packets, to stand in for a stage with such service times";
    const COUNTERS: &'static [CounterDesc] = COUNTERS;
    type Settings = WorkConfig;

    fn check(config: &WorkConfig, path: &JsonPath, _: &CheckContext, problems: &mut Problems) {
        config.check(path, problems);
    }

    fn build(
        config: WorkConfig,
        context: &BuildContext,
    ) -> Result<Box<dyn StageControl>, BuildError> {
        let plan = Plan::new(config).map_err(BuildError)?;
        Ok(Box::new(Control(Publisher::new(&context.hub, plan))))
    }
}

struct Control(Publisher<Plan>);

impl StageControl for Control {
    fn shard(&mut self, _core: usize) -> Box<dyn Stage> {
        Box::new(Shard {
            plan: self.0.reader(),
            seen: 0,
        })
    }

    fn reload(&mut self, config: &Value) -> Result<(), ReloadError> {
        let plan = Plan::new(read_reloaded(config)?).map_err(ReloadError::Refused)?;
        self.0.publish(plan);
        Ok(())
    }
}

struct Shard {
    plan: Reader<Plan>,
    /// Packets since the settings came into force.
    seen: u64,
}

/// A number from 0 to 1, but never 0.
fn unit(cx: &mut Cx<'_>) -> f64 {
    ((cx.random() >> 11) + 1) as f64 / (1u64 << 53) as f64
}

/// What a packet costs, nanoseconds.
fn cost(cx: &mut Cx<'_>, times: &[WorkTime]) -> u64 {
    let mut drawn = unit(cx);
    for time in times {
        if drawn <= time.share {
            let factor = match time.exponential {
                true => -unit(cx).ln(),
                false => 1.0,
            };
            return (time.us * 1e3 * factor) as u64;
        }
        drawn -= time.share;
    }
    0
}

impl Shard {
    fn work(&mut self, cx: &mut Cx<'_>, packet: &Packet) {
        let plan = self.plan.get();
        if plan
            .filter
            .as_ref()
            .is_some_and(|filter| !filter.matches(packet))
        {
            return;
        }
        self.seen += 1;
        if let Some(fault) = plan.config.fault
            && fault.at_packet == self.seen
        {
            fail(cx, fault.kind);
        }
        let ns = cost(cx, &plan.config.times);
        if ns > 0 {
            cx.spend(ns);
            cx.count(WORKED, 1);
        }
    }
}

/// Does what it was asked to do: fails.
#[cold]
#[expect(clippy::panic, reason = "what it is for")]
fn fail(cx: &Cx<'_>, kind: FaultKind) {
    match kind {
        FaultKind::Panic => panic!("the stage `work` was told to panic"),
        FaultKind::Loop => loop {
            cx.checkpoint();
            std::hint::spin_loop();
        },
        FaultKind::Hang => loop {
            std::hint::spin_loop();
        },
    }
}

impl Stage for Shard {
    fn process(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        batch.sift(|packet| {
            self.work(cx, &packet);
            Some(packet)
        });
    }

    fn refresh(&mut self) {
        if self.plan.refresh() {
            self.seen = 0;
        }
    }
}
