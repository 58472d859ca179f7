//! What a reload changes, and what of that a running appliance can take over.

use serde_json::Value;

use super::{Checked, Config};
use crate::check::JsonPath;

/// One difference between the running and the new configuration.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Change {
    /// Where.
    pub path: JsonPath,
    /// What runs now; `None` where there was nothing.
    pub from: Option<Value>,
    /// What the new configuration wants; `None` where there shall be nothing.
    pub to: Option<Value>,
}

/// The settings of one stage that differ. The stage itself says which of them it can take over.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct StageChange {
    /// The stage's own name.
    pub stage: String,
    /// The new settings.
    pub config: Value,
    /// What differs in them.
    pub changes: Vec<Change>,
}

/// What a reload would do.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct ReloadPlan {
    /// What the appliance takes over while it runs.
    pub live: Vec<Change>,
    /// Settings of stages; each stage decides.
    pub stages: Vec<StageChange>,
    /// What only a restart can change.
    pub needs_restart: Vec<Change>,
}

impl ReloadPlan {
    /// True when nothing differs.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.stages.is_empty() && self.needs_restart.is_empty()
    }
}

/// What differs between the configuration that runs and a new one. Defaults count as if they were
/// written: to write one down is no change.
pub fn diff(running: &Checked, new: &Checked) -> ReloadPlan {
    let root = JsonPath::root();
    let mut changes = Vec::new();
    compare(
        Some(&plain(running.config())),
        Some(&plain(new.config())),
        &root,
        &mut changes,
    );

    let mut plan = ReloadPlan::default();
    let chain = root.key("chain");
    let same_stages = stage_names(running.config()) == stage_names(new.config());
    for change in changes {
        let is_live = |path: JsonPath| change.path.is_within(&path);
        let scheduler = root.key("scheduler");
        let live = [
            root.key("log").key("level"),
            scheduler.key("policy"),
            scheduler.key("slo_mean_us"),
            scheduler.key("slo_tail_us"),
        ];
        if live.into_iter().any(is_live) || is_text(&change.path) {
            plan.live.push(change);
        } else if !change.path.is_within(&chain) {
            plan.needs_restart.push(change);
        } else if same_stages {
            let index = (0..new.config().chain.len())
                .find(|index| change.path.is_within(&chain.index(*index)));
            let entry = index.and_then(|index| new.config().chain.get(index));
            match entry {
                Some(entry) => stage_change(&mut plan.stages, entry, change),
                None => plan.needs_restart.push(change),
            }
        }
    }
    if !same_stages {
        // Element by element, a stage put in first would look as if all had changed.
        plan.needs_restart.push(Change {
            path: chain,
            from: Some(stage_names(running.config()).into()),
            to: Some(stage_names(new.config()).into()),
        });
    }
    plan
}

fn stage_change(stages: &mut Vec<StageChange>, entry: &super::ChainEntry, change: Change) {
    match stages.iter_mut().find(|other| other.stage == entry.name()) {
        Some(other) => other.changes.push(change),
        None => stages.push(StageChange {
            stage: entry.name().to_owned(),
            config: entry.config.clone(),
            changes: vec![change],
        }),
    }
}

/// The configuration with its secrets as they are, or a changed one would not be seen, and without
/// what stands for itself: the schema is for editors.
fn plain(config: &Config) -> Value {
    let mut config = config.clone();
    config.schema = None;
    let secrets: Vec<Option<String>> = config
        .ports
        .iter()
        .map(|port| match &port.device {
            super::Device::Memif(memif) => memif.secret.as_ref().map(fingerprint),
            _ => None,
        })
        .collect();
    let mut value = serde_json::to_value(&config).unwrap_or_default();
    let ports = value.get_mut("ports").and_then(Value::as_array_mut);
    for (port, secret) in ports.into_iter().flatten().zip(secrets) {
        if let (Some(secret), Some(place)) = (secret, port.pointer_mut("/device/secret")) {
            *place = secret.into();
        }
    }
    value
}

/// Tells one secret from another without showing either.
fn fingerprint(secret: &super::Secret) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    secret.reveal().hash(&mut hasher);
    format!("*** ({:04x})", hasher.finish() & 0xffff)
}

/// A description is only ever shown.
fn is_text(path: &JsonPath) -> bool {
    let parts = path.to_string();
    path.last_key() == Some("description") && !parts.contains(".config")
}

/// Kind and name of each stage, in order.
fn stage_names(config: &Config) -> Vec<String> {
    let label = |entry: &super::ChainEntry| match entry.name() == entry.stage {
        true => entry.stage.clone(),
        false => format!("{} ({})", entry.name(), entry.stage),
    };
    config.chain.iter().map(label).collect()
}

/// Adds the innermost differences between two values.
fn compare(from: Option<&Value>, to: Option<&Value>, path: &JsonPath, changes: &mut Vec<Change>) {
    match (from, to) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for (key, value) in old {
                compare(Some(value), new.get(key), &path.key(key), changes);
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                compare(None, Some(value), &path.key(key), changes);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(Some(old), Some(new), &path.index(index), changes);
            }
        }
        (old, new) if old == new => {}
        (old, new) => changes.push(Change {
            path: path.clone(),
            from: old.cloned(),
            to: new.cloned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::config::check::tests::{checked, minimal};
    use serde_json::json;

    fn plan(edit: impl FnOnce(&mut Value)) -> ReloadPlan {
        let mut new = minimal();
        edit(&mut new);
        diff(&checked(&minimal()), &checked(&new))
    }

    fn paths(changes: &[Change]) -> Vec<String> {
        changes
            .iter()
            .map(|change| change.path.to_string())
            .collect()
    }

    #[test]
    fn nothing_changes_when_a_default_is_written_down() {
        let plan = plan(|new| {
            new["log"] = json!({ "level": "info" });
            new["$schema"] = json!("schema.json");
        });
        assert!(plan.is_empty(), "{plan:?}");
    }

    #[test]
    fn the_log_level_and_descriptions_change_live() {
        let plan = plan(|new| {
            new["log"] = json!({ "level": "debug" });
            new["description"] = json!("the edge of rack 4");
            new["ports"][0]["description"] = json!("clients");
        });
        assert_eq!(
            paths(&plan.live),
            ["$.ports[0].description", "$.log.level", "$.description"]
        );
        assert_eq!((plan.stages.len(), plan.needs_restart.len()), (0, 0));
    }

    #[test]
    fn ip61_how_the_scheduler_decides_changes_live_and_whether_there_is_one_does_not() {
        let with = |scheduler: Value| {
            let mut document = minimal();
            document["scheduler"] = scheduler;
            checked(&document)
        };
        let plan = diff(
            &with(json!({})),
            &with(json!({ "slo_mean_us": 10, "policy": { "hysteresis": 0.3 } })),
        );
        assert_eq!(
            paths(&plan.live),
            ["$.scheduler.slo_mean_us", "$.scheduler.policy.hysteresis"]
        );
        assert!(plan.needs_restart.is_empty(), "{plan:?}");
        let plan = diff(&checked(&minimal()), &with(json!({})));
        assert_eq!(paths(&plan.needs_restart), ["$.scheduler"]);
    }

    #[test]
    fn the_ground_needs_a_restart() {
        let plan = plan(|new| {
            new["eal"] = json!({ "memory_mb": 512 });
            new["cores"] = json!({ "packet": [1, 2] });
            new["mempool"] = json!({ "cache": 128 });
            new["ports"][0]["mtu"] = json!(1400);
            new["ports"][1]["mtu"] = json!(1400);
            new["telemetry"] = json!({ "http": null });
            new["log"] = json!({ "format": "json" });
        });
        let expected = [
            "$.eal.memory_mb",
            "$.cores.packet",
            "$.mempool.cache",
            "$.ports[0].mtu",
            "$.ports[1].mtu",
            "$.telemetry.http",
            "$.log.format",
        ];
        assert_eq!(paths(&plan.needs_restart), expected);
        assert_eq!(
            (&plan.needs_restart[0].from, &plan.needs_restart[0].to),
            (&Some(json!(256)), &Some(json!(512)))
        );
        assert!(plan.live.is_empty() && plan.stages.is_empty());
    }

    #[test]
    fn a_stage_decides_on_its_own_settings() {
        let plan =
            plan(|new| new["chain"][1]["config"] = json!({ "limit": 2, "description": "x" }));
        assert_eq!(plan.stages.len(), 1);
        let change = &plan.stages[0];
        assert_eq!(change.stage, "second");
        assert_eq!(change.config, json!({ "limit": 2, "description": "x" }));
        let expected = ["$.chain[1].config.limit", "$.chain[1].config.description"];
        assert_eq!(paths(&change.changes), expected);
        assert!(plan.needs_restart.is_empty());
    }

    #[test]
    fn other_stages_need_a_restart() {
        let plan = plan(|new| {
            new["chain"] = json!([{ "stage": "any", "name": "third" }, { "stage": "any" }]);
            new["log"] = json!({ "level": "warn" });
        });
        assert_eq!(paths(&plan.live), ["$.log.level"]);
        assert_eq!(paths(&plan.needs_restart), ["$.chain"]);
        assert_eq!(
            plan.needs_restart[0].from,
            Some(json!(["any", "second (any)"]))
        );
        assert_eq!(
            plan.needs_restart[0].to,
            Some(json!(["third (any)", "any"]))
        );
    }

    #[test]
    fn a_changed_secret_is_seen_and_not_shown() {
        let with = |secret: &str| {
            let mut config = minimal();
            config["ports"][0]["device"] = json!({
                "type": "memif", "role": "server", "socket": "/run/m.sock", "secret": secret,
            });
            checked(&config)
        };
        let plan = diff(&with("sesame"), &with("mellon"));
        assert_eq!(paths(&plan.needs_restart), ["$.ports[0].device.secret"]);
        let shown = serde_json::to_string(&plan).unwrap();
        assert!(
            !shown.contains("sesame") && !shown.contains("mellon"),
            "{shown}"
        );
    }
}
