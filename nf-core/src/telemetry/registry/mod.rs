//! All blocks of counters of one appliance, summed and rendered on the control side.

mod facts;
mod families;
mod render;
mod series;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use facts::{DeviceFacts, Facts};
pub use snapshot::{PortEntry, Snapshot, StageEntry};

use super::{
    CoreCounters, CoreSnapshot, CounterDesc, Family, PortCounters, PortSnapshot, Source,
    StageCounters, StageSnapshot, Writer,
};
use families::{custom_family, fixed_families};
use series::Series;

struct Stage {
    name: String,
    kind: String,
    counters: &'static [CounterDesc],
    cores: BTreeMap<usize, Series<StageCounters>>,
}

#[derive(Default)]
struct Inner {
    stages: Vec<Stage>,
    cores: BTreeMap<usize, Series<CoreCounters>>,
    ports: BTreeMap<(String, u16), Series<PortCounters>>,
    sources: Vec<Arc<dyn Source>>,
    facts: Facts,
}

/// All counters of one appliance. A handle: clones are the same set.
#[derive(Clone)]
pub struct Telemetry {
    inner: Arc<Mutex<Inner>>,
    tsc_hz: f64,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("tsc_hz", &self.tsc_hz)
            .finish_non_exhaustive()
    }
}

impl Telemetry {
    /// No counters yet. `tsc_hz` is how many of the cycles given to the counters make a second.
    pub fn new(tsc_hz: f64) -> Self {
        Self {
            inner: Arc::default(),
            tsc_hz,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters of a stage on a core. `name` is the stage's in the config, `kind` that of its
    /// type. Asked for again, the counts go on from where they were.
    pub fn stage(
        &self,
        name: &str,
        kind: &str,
        core: usize,
        reasons: &'static [&'static str],
        counters: &'static [CounterDesc],
    ) -> Writer<StageCounters> {
        let mut inner = self.lock();
        let known = inner.stages.iter().position(|stage| stage.name == name);
        let index = known.unwrap_or_else(|| {
            inner.stages.push(Stage {
                name: name.to_owned(),
                kind: String::new(),
                counters: &[],
                cores: BTreeMap::new(),
            });
            inner.stages.len() - 1
        });
        let stage = &mut inner.stages[index];
        kind.clone_into(&mut stage.kind);
        stage.counters = counters;
        stage
            .cores
            .entry(core)
            .or_default()
            .add(StageCounters::new(reasons, counters))
    }

    /// The counters of a core's loop. Asked for again, the counts go on from where they were.
    pub fn core(&self, core: usize) -> Writer<CoreCounters> {
        self.lock()
            .cores
            .entry(core)
            .or_default()
            .add(CoreCounters::default())
    }

    /// The counters of a port's queue pair. Asked for again, the counts go on.
    pub fn port(&self, port: &str, queue: u16) -> Writer<PortCounters> {
        let mut inner = self.lock();
        inner
            .ports
            .entry((port.to_owned(), queue))
            .or_default()
            .add(PortCounters::default())
    }

    /// Replaces what was sampled.
    pub fn set_facts(&self, facts: Facts) {
        self.lock().facts = facts;
    }

    /// Adds a source of further metrics.
    pub fn add_source(&self, source: Arc<dyn Source>) {
        self.lock().sources.push(source);
    }

    /// All numbers as they are now. Sums never go back, also across restarts of cores.
    pub fn snapshot(&self) -> Snapshot {
        let mut inner = self.lock();
        let stages = inner.stages.iter_mut().map(|stage| {
            let mut total = StageSnapshot::default();
            let mut cores = BTreeMap::new();
            for (core, series) in &mut stage.cores {
                let own = series.total(StageSnapshot::merge);
                total.merge(&own);
                cores.insert(*core, own);
            }
            StageEntry {
                name: stage.name.clone(),
                kind: stage.kind.clone(),
                total,
                cores,
            }
        });
        let stages = stages.collect();
        let cores = inner
            .cores
            .iter_mut()
            .map(|(core, series)| (*core, series.total(CoreSnapshot::merge)))
            .collect();
        let ports = inner
            .ports
            .iter_mut()
            .map(|((port, queue), series)| PortEntry {
                port: port.clone(),
                queue: *queue,
                counters: series.total(PortSnapshot::merge),
            });
        let ports = ports.collect();
        Snapshot {
            stages,
            cores,
            ports,
        }
    }

    /// The families this appliance has, with those of its stages and sources.
    pub fn families(&self) -> Vec<Family> {
        let mut families = fixed_families();
        let inner = self.lock();
        for stage in &inner.stages {
            families.extend(
                stage
                    .counters
                    .iter()
                    .map(|desc| custom_family(&stage.kind, desc)),
            );
        }
        families.extend(inner.sources.iter().flat_map(|source| source.families()));
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families.dedup_by(|a, b| a.name == b.name);
        families
    }

    /// The families every appliance has, whatever its chain.
    pub fn fixed_families() -> Vec<Family> {
        fixed_families()
    }

    /// The families of the counters that a stage of this kind declares.
    pub fn stage_families(kind: &str, counters: &[CounterDesc]) -> Vec<Family> {
        counters
            .iter()
            .map(|desc| custom_family(kind, desc))
            .collect()
    }
}
