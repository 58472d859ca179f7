//! Commands of the `clone` stage.

use std::time::Duration;

use nf_core::chain::{CommandError, read_arguments};
use nf_core::check::{JsonPath, read_settings};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::config::{CloneConfig, FilterMode, PolicyName, ServerConfig};
use super::CloneControl;
use crate::servers::{Bar, ServerTotals};

/// How long a command waits until all cores act on a change.
const FENCE: Duration = Duration::from_millis(20);

const VERBS: [&str; 8] = [
    "servers", "show", "add", "remove", "drain", "restore", "policy", "selftest",
];

impl CloneControl {
    pub(super) fn run_command(
        &mut self,
        verb: &str,
        arguments: &Value,
    ) -> Result<Value, CommandError> {
        match verb {
            "servers" => Ok(self.servers()),
            "show" => Ok(self.show()),
            "add" => self.add(arguments),
            "remove" => self.remove(arguments),
            "drain" => self.set_drained(arguments, true),
            "restore" => self.set_drained(arguments, false),
            "policy" => self.policy(arguments),
            "selftest" => Ok(self.selftest()),
            _ => Err(CommandError::unknown(verb, &VERBS)),
        }
    }

    /// Changes the settings by a command, and waits until the cores follow.
    fn change(&mut self, config: CloneConfig) -> Result<Value, CommandError> {
        let value =
            serde_json::to_value(&config).map_err(|e| CommandError::Failed(e.to_string()))?;
        let checked = read_settings(&value, |config: &CloneConfig, path: &JsonPath, problems| {
            config.check(path, None, problems);
        });
        self.apply(checked.map_err(CommandError::Arguments)?)
            .map_err(CommandError::Failed)?;
        self.publisher.wait_adopted(FENCE).ok();
        Ok(self.servers())
    }

    fn add(&mut self, arguments: &Value) -> Result<Value, CommandError> {
        let server: ServerConfig = read_arguments(arguments)?;
        let mut config = self.config.clone();
        config.servers.push(server);
        self.change(config)
    }

    fn remove(&mut self, arguments: &Value) -> Result<Value, CommandError> {
        let sid = self.sid_of(arguments)?;
        let mut config = self.config.clone();
        config.servers.retain(|server| server.sid != sid);
        self.change(config)
    }

    fn set_drained(&mut self, arguments: &Value, drained: bool) -> Result<Value, CommandError> {
        let sid = self.sid_of(arguments)?;
        let servers = &self.shared.servers;
        servers.bar(sid, Bar::Drained, drained);
        if drained {
            let totals = ServerTotals::sum(self.shared.cores.iter(), sid);
            self.drained.insert(sid, (totals, self.clock.now()));
        } else {
            self.drained.remove(&sid);
            servers.bar(sid, Bar::Unwilling, false);
            servers.reset(sid);
        }
        Ok(self.servers())
    }

    fn sid_of(&self, arguments: &Value) -> Result<u8, CommandError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Which {
            sid: u8,
        }
        let Which { sid } = read_arguments(arguments)?;
        if !self.config.servers.iter().any(|server| server.sid == sid) {
            let known: Vec<String> = self
                .config
                .servers
                .iter()
                .map(|server| server.sid.to_string())
                .collect();
            return Err(CommandError::Arguments(format!(
                "there is no server {sid}: {}",
                known.join(", ")
            )));
        }
        Ok(sid)
    }

    fn policy(&mut self, arguments: &Value) -> Result<Value, CommandError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Change {
            policy: Option<PolicyName>,
            filter: Option<bool>,
            filter_mode: Option<FilterMode>,
            idle_threshold: Option<u16>,
            jsq_probe: Option<f64>,
            state_max_age_us: Option<u64>,
            clone_budget_pps: Option<u32>,
        }
        let change: Change = read_arguments(arguments)?;
        let mut config = self.config.clone();
        if let Some(policy) = change.policy {
            config.policy = policy;
        }
        if let Some(filter) = change.filter {
            config.filter = filter;
        }
        if let Some(mode) = change.filter_mode {
            config.filter_mode = mode;
        }
        if let Some(threshold) = change.idle_threshold {
            config.idle_threshold = threshold;
        }
        if let Some(probe) = change.jsq_probe {
            config.jsq_probe = probe;
        }
        if let Some(age) = change.state_max_age_us {
            config.state_max_age_us = age;
        }
        if let Some(budget) = change.clone_budget_pps {
            config.clone_budget_pps = budget;
        }
        self.change(config)?;
        let config = &self.config;
        Ok(json!({
            "policy": config.policy,
            "filter": config.filter,
            "filter_mode": config.filter_mode,
            "idle_threshold": config.idle_threshold,
            "jsq_probe": config.jsq_probe,
            "state_max_age_us": config.state_max_age_us,
            "clone_budget_pps": config.clone_budget_pps,
        }))
    }
}
