//! The chain: kinds of stages, their names, and each stage's own check of its settings.

use std::collections::BTreeMap;

use super::draft::Draft;
use crate::chain::StageRegistry;
use crate::check::{CheckContext, JsonPath, Machine, PortFacts, Problems, closest};

pub(super) fn check(
    draft: &Draft<'_>,
    kinds: &StageRegistry,
    machine: Option<&Machine>,
    problems: &mut Problems,
) {
    names(draft, problems);
    let ports: Vec<PortFacts> = draft
        .ports
        .iter()
        .filter_map(|port| {
            Some(PortFacts {
                name: port.name.as_ref()?.to_string(),
                side: port.side?,
                mtu: u32::from(port.mtu?),
                checksum_offload: port.checksum_offload,
            })
        })
        .collect();
    let chain: Vec<String> = draft
        .chain
        .iter()
        .map(|entry| entry.stage.clone().unwrap_or_default())
        .collect();
    for (position, entry) in draft.chain.iter().enumerate() {
        let Some(stage) = &entry.stage else { continue };
        let Some(kind) = kinds.get(stage) else {
            unknown(stage, &entry.path.key("stage"), kinds, problems);
            continue;
        };
        let Some(config) = &entry.config else {
            continue;
        };
        let context = CheckContext {
            machine: machine.cloned(),
            ports: ports.clone(),
            packet_cores: draft.core_count(),
            stage: entry.name().unwrap_or(stage).to_owned(),
            position,
            chain: chain.clone(),
        };
        kind.check(config, &entry.path.key("config"), &context, problems);
    }
}

fn unknown(stage: &str, path: &JsonPath, kinds: &StageRegistry, problems: &mut Problems) {
    let problem = problems.error(path, "unknown stage");
    problem.found(format_args!("{stage:?}"));
    problem.allowed(known(kinds));
    if let Some(near) = closest(stage, kinds.iter().map(|kind| kind.name())) {
        problem.help(format_args!("did you mean {near:?}?"));
    }
}

/// The stages there are, in words.
pub(super) fn known(kinds: &StageRegistry) -> String {
    let each: Vec<String> = kinds
        .iter()
        .map(|kind| format!("\"{}\" ({})", kind.name(), kind.summary()))
        .collect();
    if each.is_empty() {
        "none: this program has no stages".to_owned()
    } else {
        each.join(", ")
    }
}

fn names(draft: &Draft<'_>, problems: &mut Problems) {
    let mut first: BTreeMap<&str, &JsonPath> = BTreeMap::new();
    for entry in &draft.chain {
        let Some(name) = entry.name() else { continue };
        match first.get(name) {
            Some(other) => {
                let own = matches!(entry.name, Some(Some(_)));
                let place = if own {
                    entry.path.key("name")
                } else {
                    entry.path.clone()
                };
                problems
                    .error(&place, "two stages have this name")
                    .found(format_args!("{name:?}"))
                    .help(format_args!(
                        "the other is {other}; give this one a \"name\" of its own"
                    ));
            }
            None => {
                first.insert(name, &entry.path);
            }
        }
    }
}
