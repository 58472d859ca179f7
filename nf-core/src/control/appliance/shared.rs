//! The appliance behind the API: one lock, and copies of what must never wait for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use super::{Appliance, Health, MoveError, PortCommandError, ReloadFailure};
use crate::chain::CommandError;
use crate::control::api::{ApiError, Backend, Change, Read};
use crate::control::config::Checker;
use crate::telemetry::Telemetry;

/// A running appliance, for the control thread and the API's threads.
#[derive(Debug)]
pub struct SharedAppliance {
    appliance: Mutex<Appliance>,
    telemetry: Telemetry,
    health: Mutex<Health>,
}

impl SharedAppliance {
    /// Takes the appliance over.
    pub fn new(appliance: Appliance) -> SharedAppliance {
        let (telemetry, health) = (appliance.telemetry(), appliance.health());
        SharedAppliance {
            appliance: Mutex::new(appliance),
            telemetry,
            health: Mutex::new(health),
        }
    }

    /// The appliance; waits for a change that is under way.
    pub fn lock(&self) -> MutexGuard<'_, Appliance> {
        self.appliance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// One turn of the control thread's housekeeping; left out while a change is under way.
    pub fn tick(&self) {
        let Ok(mut appliance) = self.appliance.try_lock() else {
            return;
        };
        appliance.tick();
        let health = appliance.health();
        drop(appliance);
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }
}

fn value(view: impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(view).map_err(|error| ApiError::busy(error.to_string()))
}

impl Backend for SharedAppliance {
    fn metrics(&self) -> String {
        self.telemetry.render()
    }

    fn health(&self) -> (bool, Value) {
        let health = self
            .health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        (health.ok, serde_json::to_value(health).unwrap_or_default())
    }

    fn read(&self, what: Read) -> Result<Value, ApiError> {
        let mut appliance = self.lock();
        match what {
            Read::Version => value(appliance.version()),
            Read::Chain => value(appliance.chain()),
            Read::Ports => value(appliance.ports()),
            Read::Drops => value(appliance.drops()),
            Read::Cores => value(appliance.cores()),
            Read::Memory => value(appliance.memory()),
            Read::Config => Ok(appliance.config()),
            Read::Trace => value(appliance.trace_show()),
            Read::Sched => value(appliance.sched()),
            Read::Stage(name) => {
                let mut chain = appliance.chain();
                let known: Vec<String> = chain.iter().map(|stage| stage.name.clone()).collect();
                match chain.iter().position(|stage| stage.name == name) {
                    Some(index) => value(chain.swap_remove(index)),
                    None => Err(ApiError::unknown("stage", &name, &known)),
                }
            }
        }
    }

    fn change(&self, change: Change) -> Result<Value, ApiError> {
        let mut appliance = self.lock();
        match change {
            Change::Reload(text) => {
                let reloaded = match text {
                    Some(text) => appliance.reload(&text),
                    None => appliance.reload_file(),
                };
                reloaded.map_err(refuse_reload).and_then(value)
            }
            Change::Check(text) => {
                let outcome = Checker::new(appliance.registry()).check_text(&text);
                Ok(json!({ "ok": outcome.config.is_some(), "problems": value(&outcome.problems)? }))
            }
            Change::Stage {
                name,
                verb,
                arguments,
            } => {
                let known: Vec<String> = appliance.stage_names();
                if !known.contains(&name) {
                    return Err(ApiError::unknown("stage", &name, &known));
                }
                appliance
                    .stage_command(&name, &verb, &arguments)
                    .map_err(|error| match error {
                        CommandError::Unknown { verb, known } => {
                            ApiError::unknown("command", &verb, &known)
                        }
                        CommandError::Arguments(text) => ApiError::bad_request(text),
                        CommandError::Failed(text) => ApiError::refused(text),
                    })
            }
            Change::Push { actor, worker } => moved(appliance.push_actor(&actor, worker)),
            Change::Pull(actor) => moved(appliance.pull_actor(&actor)),
            Change::PortUp(name) => done(appliance.port_up(&name)),
            Change::PortDown(name) => done(appliance.port_down(&name)),
            Change::TraceStart { count, filter } => {
                let started = appliance.trace_start(count, filter.as_deref());
                started
                    .map(|()| json!({ "tracing": count }))
                    .map_err(|error| ApiError::bad_request(error.to_string()))
            }
            Change::TraceStop => {
                appliance.trace_stop();
                Ok(json!({ "tracing": 0 }))
            }
            Change::LogLevel(level) => match appliance.set_log_level(&level) {
                Ok(()) => Ok(json!({ "level": level })),
                Err(error) => Err(ApiError::bad_request(error)),
            },
        }
    }
}

fn done(result: Result<(), PortCommandError>) -> Result<Value, ApiError> {
    match result {
        Ok(()) => Ok(json!({ "ok": true })),
        Err(PortCommandError::Unknown { name, known }) => {
            Err(ApiError::unknown("port", &name, &known))
        }
        Err(error) => Err(ApiError::refused(error.to_string())),
    }
}

fn moved(result: Result<(), MoveError>) -> Result<Value, ApiError> {
    match result {
        Ok(()) => Ok(json!({ "ok": true })),
        Err(MoveError::Unknown { name, known }) => Err(ApiError::unknown("actor", &name, &known)),
        Err(error) => Err(ApiError::refused(error.to_string())),
    }
}

fn refuse_reload(error: ReloadFailure) -> ApiError {
    let refused = ApiError::refused(error.to_string());
    match error {
        ReloadFailure::Invalid(problems) => refused.with("problems", &problems),
        ReloadFailure::NeedsRestart(paths) => refused.with("needs_restart", paths),
        _ => refused,
    }
}
