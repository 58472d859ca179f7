//! The check of a configuration: every mistake at once, and a [`Checked`] one if there is none.
//!
//! First the shape, against the schema of the types. Then the meaning, field by field, of whatever
//! had the right shape: a mistake in one place hides none in another, and causes none.

mod chain;
mod devices;
mod draft;
mod machine;
mod peers;
mod ports;
mod rest;
mod scheduler;
mod sizes;

use serde_json::Value;

use self::draft::Draft;
use super::Config;
use crate::chain::StageRegistry;
use crate::check::{JsonPath, Machine, Problems, Shape, Source};

pub use sizes::MemoryNeed;

/// A configuration that has been checked: only [`Checker`] makes one.
#[derive(Clone, Debug)]
pub struct Checked {
    config: Config,
    document: Value,
    peers: Vec<Option<usize>>,
    memory: MemoryNeed,
}

impl Checked {
    /// The configuration, with every default filled in.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The document as it was written.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// For each port, in order, the index of the port to which its packets go unless a stage says
    /// otherwise; `None` where only a stage can say.
    pub fn peers(&self) -> &[Option<usize>] {
        &self.peers
    }

    /// What the packet buffers need.
    pub fn memory(&self) -> &MemoryNeed {
        &self.memory
    }
}

/// What a check found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The configuration, unless there is an error.
    pub config: Option<Checked>,
    /// Errors and warnings.
    pub problems: Problems,
}

/// Problems that are told one by one. Every real configuration has fewer; a file of nonsense has
/// hundreds of thousands, which would take longer to tell than anybody wants to wait.
const MOST_PROBLEMS: usize = 1000;

/// Checks configurations.
pub struct Checker<'a> {
    stages: &'a StageRegistry,
    machine: Option<Machine>,
}

impl<'a> Checker<'a> {
    /// A checker that knows these kinds of stages, and nothing of the machine: for configurations
    /// that will run elsewhere, or that run already.
    pub fn new(stages: &'a StageRegistry) -> Self {
        Self {
            stages,
            machine: None,
        }
    }

    /// Checks as well that the configuration can run on this machine.
    #[must_use]
    pub fn on_machine(mut self, machine: Machine) -> Self {
        self.machine = Some(machine);
        self
    }

    /// Checks the text of a configuration file. Problems have their line and column.
    pub fn check_text(&self, text: &str) -> Outcome {
        let mut problems = Problems::new();
        let Some(source) = Source::read(text, &mut problems) else {
            return Outcome {
                config: None,
                problems,
            };
        };
        let checked = self.check_into(source.document(), &mut problems);
        source.locate(&mut problems);
        Outcome {
            config: checked,
            problems,
        }
    }

    /// Checks a configuration that has been read already.
    pub fn check_value(&self, document: &Value) -> Outcome {
        let mut problems = Problems::new();
        let config = self.check_into(document, &mut problems);
        Outcome { config, problems }
    }

    /// The shape of a configuration, with the stages that there are.
    fn shape(&self) -> Shape {
        Shape::of::<Config>().with_words(
            "/$defs/ChainEntry/properties/stage",
            chain::known(self.stages),
        )
    }

    fn check_into(&self, document: &Value, problems: &mut Problems) -> Option<Checked> {
        let root = JsonPath::root();
        let usable = self.shape().check(document, &root, problems);
        let draft = Draft::read(document, usable.as_ref());
        let machine = self.machine.as_ref();

        rest::check(&draft, problems);
        machine::check(&draft, machine, problems);
        scheduler::check(&draft, machine, problems);
        ports::check(&draft, problems);
        devices::check(&draft, machine, problems);
        let peers = peers::resolve(&draft, problems);
        let memory = sizes::check(&draft, problems);
        chain::check(&draft, self.stages, machine, problems);

        problems.limit(MOST_PROBLEMS);
        problems.sort(document);
        if problems.has_errors() {
            return None;
        }
        match serde_json::from_value::<Config>(document.clone()) {
            Ok(config) => Some(Checked {
                config,
                document: document.clone(),
                peers,
                memory: memory?,
            }),
            // Not reachable as long as the schema says all that the types want; if it does not,
            // the user still gets a reason.
            Err(error) => {
                problems.error(&root, error.to_string());
                None
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
