//! Taking over a changed configuration: what can change live does, what cannot is named, and a
//! mistake changes nothing.

use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

use super::Appliance;
use super::trace::TraceError;
use crate::chain::{ReloadError, TraceFilter};
use crate::check::Problems;
use crate::control::config::Checker;
use crate::filter::Filter;
use crate::packet::Packet;

/// What a reload did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReloadReport {
    /// JSON paths that changed and are in force.
    pub changed: Vec<String>,
}

/// Why a reload changed nothing.
#[derive(Debug, Error)]
pub enum ReloadFailure {
    /// There is no file to read again.
    #[error("the appliance was not started from a file; send the configuration itself")]
    NoFile,
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// The system's words.
        error: std::io::Error,
    },
    /// The configuration has mistakes.
    #[error("the configuration has {}; the old one stays in force", mistakes(.0))]
    Invalid(Problems),
    /// It changes what can only change with a restart.
    #[error("these changes need a restart, nothing was changed: {}", .0.join(", "))]
    NeedsRestart(Vec<String>),
    /// A stage refused its new settings.
    #[error("stage {stage:?} refused its new settings: {error}")]
    Stage {
        /// The stage.
        stage: String,
        /// Why.
        error: ReloadError,
    },
}

fn mistakes(problems: &Problems) -> String {
    match problems.errors() {
        1 => "a mistake".to_owned(),
        errors => format!("{errors} mistakes"),
    }
}

/// A filter for the trace, compiled from tcpdump's language.
pub(super) fn compile_filter(expression: &str) -> Result<TraceFilter, TraceError> {
    let filter = Filter::compile(expression).map_err(|error| TraceError::Filter {
        filter: error.expression,
        message: error.message,
    })?;
    Ok(Arc::new(move |packet: &Packet| filter.matches(packet)))
}

impl Appliance {
    /// Reads the configuration file again and takes it over.
    pub fn reload_file(&mut self) -> Result<ReloadReport, ReloadFailure> {
        let path = self.source.clone().ok_or(ReloadFailure::NoFile)?;
        let text = std::fs::read_to_string(&path).map_err(|error| ReloadFailure::Read {
            path: path.display().to_string(),
            error,
        })?;
        self.reload(&text)
    }

    /// Takes over a configuration, or leaves everything as it is.
    pub fn reload(&mut self, text: &str) -> Result<ReloadReport, ReloadFailure> {
        let outcome = Checker::new(&self.registry).check_text(text);
        let Some(checked) = outcome.config else {
            return Err(ReloadFailure::Invalid(outcome.problems));
        };
        let plan = crate::control::config::diff(&self.checked, &checked);
        if !plan.needs_restart.is_empty() {
            let paths = plan
                .needs_restart
                .iter()
                .map(|change| change.path.to_string());
            return Err(ReloadFailure::NeedsRestart(paths.collect()));
        }
        for (done, change) in plan.stages.iter().enumerate() {
            let Err(error) = self.reload_stage(&change.stage, &change.config) else {
                continue;
            };
            // Those that had taken theirs over go back, which they accepted before.
            for change in plan.stages.iter().take(done) {
                let running = self
                    .checked
                    .config()
                    .chain
                    .iter()
                    .find(|entry| entry.name() == change.stage);
                if let Some(config) = running.map(|entry| entry.config.clone())
                    && let Err(error) = self.reload_stage(&change.stage, &config)
                {
                    tracing::error!(stage = change.stage, %error, "the old settings were refused");
                }
            }
            return Err(ReloadFailure::Stage {
                stage: change.stage.clone(),
                error,
            });
        }
        let level = checked.config().log.level.as_str();
        if level != self.checked.config().log.level.as_str()
            && let Err(error) = self.set_log_level(level)
        {
            tracing::warn!(%error, "the log level stays");
        }
        let scheduler = &checked.config().scheduler;
        if let (Some(scheduling), Some(config)) = (&mut self.scheduling, scheduler)
            && self.checked.config().scheduler.as_ref() != Some(config)
        {
            scheduling.set(config);
        }
        self.checked = checked;
        let live = plan
            .live
            .iter()
            .chain(plan.stages.iter().flat_map(|stage| &stage.changes));
        Ok(ReloadReport {
            changed: live.map(|change| change.path.to_string()).collect(),
        })
    }

    fn reload_stage(&mut self, name: &str, config: &serde_json::Value) -> Result<(), ReloadError> {
        match self.stages.iter_mut().find(|stage| stage.name == name) {
            Some(stage) => stage.control.reload(config),
            None => Err(ReloadError::Refused(format!("there is no stage {name:?}"))),
        }
    }
}
