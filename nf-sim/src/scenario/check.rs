//! Every mistake of a scenario at once, each with its place and what is allowed.

use std::collections::BTreeMap;

use nf_core::check::{
    CheckContext, JsonPath, PortFacts, Problems, Source, check_shape, closest, list,
};

use super::{ApplianceSpec, FaultAction, Scenario};
use crate::kinds::Kinds;

/// What the rest of a check needs to know.
struct Names<'a> {
    /// Ends that links may have: hosts, segments, ports of appliances.
    ends: Vec<String>,
    nodes: BTreeMap<&'a str, Option<&'a ApplianceSpec>>,
    links: Vec<String>,
}

/// Reads a scenario from its text. `None` when it has mistakes; those are in `problems`, with their lines.
pub fn read(text: &str, kinds: &Kinds, problems: &mut Problems) -> Option<Scenario> {
    let source = Source::read(text, problems)?;
    let path = JsonPath::root();
    let scenario = check_shape::<Scenario>(source.document(), &path, problems);
    if let Some(scenario) = &scenario {
        check(scenario, kinds, problems);
    }
    source.locate(problems);
    problems.sort(source.document());
    scenario.filter(|_| !problems.has_errors())
}

/// Adds every mistake beyond the shape to `problems`.
pub fn check(scenario: &Scenario, kinds: &Kinds, problems: &mut Problems) {
    let root = JsonPath::root();
    let names = names(scenario, &root, problems);
    for (index, host) in scenario.hosts.iter().enumerate() {
        let path = root.key("hosts").index(index);
        if host.addresses.is_empty() {
            problems.error(&path.key("addresses"), "a host needs an address");
        }
        let path = path.key("program");
        match kinds.programs.get(&host.program.kind) {
            Some(kind) => kind.check(&host.program.settings, &path.key("settings"), problems),
            None => {
                let known = kinds.programs.iter().map(|kind| kind.name());
                unknown(
                    "program",
                    &host.program.kind,
                    &path.key("kind"),
                    known,
                    problems,
                );
            }
        }
    }
    for (index, appliance) in scenario.appliances.iter().enumerate() {
        check_appliance(
            appliance,
            kinds,
            &root.key("appliances").index(index),
            problems,
        );
    }
    check_links(scenario, &names, &root.key("links"), problems);
    for (index, fault) in scenario.faults.iter().enumerate() {
        let path = root.key("faults").index(index).key("what");
        check_fault(&fault.what, &names, &path, problems);
    }
}

fn unknown<'a>(
    what: &str,
    word: &str,
    path: &JsonPath,
    known: impl Iterator<Item = &'a str>,
    problems: &mut Problems,
) {
    let problem = problems.error(path, format!("there is no such {what}"));
    problem.found(format_args!("{word:?}"));
    let known: Vec<&str> = known.collect();
    let allowed = list(known.iter().copied());
    if !allowed.is_empty() {
        problem.allowed(allowed);
    }
    if let Some(near) = closest(word, known) {
        problem.help(format_args!("did you mean {near:?}?"));
    }
}

/// Notes a name; that of something else is a mistake.
fn note(
    name: &str,
    path: JsonPath,
    seen: &mut BTreeMap<String, JsonPath>,
    problems: &mut Problems,
) {
    if let Some(other) = seen.get(name) {
        problems
            .error(&path, "something else has this name")
            .found(format_args!("{name:?}"))
            .help(format_args!("the other is {other}"));
        return;
    }
    if name.is_empty() || name.contains(':') {
        problems
            .error(&path, "not a name")
            .found(format_args!("{name:?}"))
            .allowed("any text without a colon");
    }
    seen.insert(name.to_owned(), path);
}

fn names<'a>(scenario: &'a Scenario, root: &JsonPath, problems: &mut Problems) -> Names<'a> {
    let mut names = Names {
        ends: Vec::new(),
        nodes: BTreeMap::new(),
        links: scenario.links.iter().map(|link| link.name()).collect(),
    };
    let mut seen = BTreeMap::new();
    for (index, host) in scenario.hosts.iter().enumerate() {
        note(
            &host.name,
            root.key("hosts").index(index).key("name"),
            &mut seen,
            problems,
        );
        names.ends.push(host.name.clone());
        names.nodes.insert(&host.name, None);
    }
    for (index, segment) in scenario.segments.iter().enumerate() {
        note(
            &segment.name,
            root.key("segments").index(index).key("name"),
            &mut seen,
            problems,
        );
        names.ends.push(segment.name.clone());
        names.nodes.insert(&segment.name, None);
    }
    for (index, appliance) in scenario.appliances.iter().enumerate() {
        note(
            &appliance.name,
            root.key("appliances").index(index).key("name"),
            &mut seen,
            problems,
        );
        let ends = appliance
            .ports
            .iter()
            .map(|port| format!("{}:{}", appliance.name, port.name));
        names.ends.extend(ends);
        names.nodes.insert(&appliance.name, Some(appliance));
    }
    names
}

fn check_appliance(
    appliance: &ApplianceSpec,
    kinds: &Kinds,
    path: &JsonPath,
    problems: &mut Problems,
) {
    let ports: Vec<PortFacts> = appliance
        .ports
        .iter()
        .map(|port| PortFacts {
            name: port.name.clone(),
            side: port.side,
            mtu: port.mtu.into(),
            // What is sent here is what a wire would carry.
            checksum_offload: false,
        })
        .collect();
    let mut seen = BTreeMap::new();
    for (index, port) in appliance.ports.iter().enumerate() {
        let path = path.key("ports").index(index);
        note(&port.name, path.key("name"), &mut seen, problems);
        if let Some(peer) = &port.peer
            && !ports.iter().any(|port| port.name == *peer)
        {
            let known = ports.iter().map(|port| port.name.as_str());
            unknown("port", peer, &path.key("peer"), known, problems);
        }
    }
    let mut seen = BTreeMap::new();
    for (position, entry) in appliance.chain.iter().enumerate() {
        let path = path.key("chain").index(position);
        note(entry.name(), path.clone(), &mut seen, problems);
        let Some(kind) = kinds.stages.get(&entry.stage) else {
            let known = kinds.stages.iter().map(|kind| kind.name());
            unknown("stage", &entry.stage, &path.key("stage"), known, problems);
            continue;
        };
        let context = CheckContext {
            machine: None,
            ports: ports.clone(),
            packet_cores: appliance.cores.into(),
            stage: entry.name().to_owned(),
            position,
            chain: appliance
                .chain
                .iter()
                .map(|entry| entry.stage.clone())
                .collect(),
        };
        kind.check(&entry.config, &path.key("config"), &context, problems);
    }
}

fn check_links(scenario: &Scenario, names: &Names<'_>, path: &JsonPath, problems: &mut Problems) {
    let mut seen = BTreeMap::new();
    let mut used: BTreeMap<&str, JsonPath> = BTreeMap::new();
    let segments = || {
        scenario
            .segments
            .iter()
            .map(|segment| segment.name.as_str())
    };
    for (index, link) in scenario.links.iter().enumerate() {
        let path = path.index(index);
        let name = link.name();
        let place = if link.name.is_some() {
            path.key("name")
        } else {
            path.clone()
        };
        if let Some(other) = seen.insert(name.clone(), place.clone()) {
            problems
                .error(&place, "another link has this name")
                .found(format_args!("{name:?}"))
                .help(format_args!(
                    "the other is {other}; give this one a \"name\" of its own"
                ));
        }
        for (at, end) in link.between.iter().enumerate() {
            let path = path.key("between").index(at);
            if !names.ends.contains(end) {
                unknown(
                    "end of a link",
                    end,
                    &path,
                    names.ends.iter().map(String::as_str),
                    problems,
                );
            } else if !segments().any(|segment| segment == end)
                && let Some(other) = used.insert(end, path.clone())
            {
                problems
                    .error(&path, "this end has a link already")
                    .found(format_args!("{end:?}"))
                    .help(format_args!("the other is {other}; put a segment between"));
            }
        }
    }
}

fn check_fault(action: &FaultAction, names: &Names<'_>, path: &JsonPath, problems: &mut Problems) {
    let nodes = || names.nodes.keys().copied();
    let is_node = |node: &str, path: JsonPath, problems: &mut Problems| {
        if !names.nodes.contains_key(node) {
            unknown("node", node, &path, nodes(), problems);
        }
    };
    match action {
        FaultAction::Crash { node, .. }
        | FaultAction::Stall { node, .. }
        | FaultAction::Health { node, .. } => is_node(node, path.key("node"), problems),
        FaultAction::Partition { nodes, .. } => {
            for (index, node) in nodes.iter().enumerate() {
                is_node(node, path.key("nodes").index(index), problems);
            }
        }
        FaultAction::LinkDown { link, .. } | FaultAction::LinkChange { link, .. } => {
            if !names.links.contains(link) {
                let known = names.links.iter().map(String::as_str);
                unknown("link", link, &path.key("link"), known, problems);
            }
        }
        FaultAction::ClockStep { node, .. } => {
            appliance_of(node, names, path, problems).map_or((), |_| ())
        }
        FaultAction::Command { node, stage, .. } | FaultAction::Reload { node, stage, .. } => {
            let Some(appliance) = appliance_of(node, names, path, problems) else {
                return;
            };
            let known = appliance.chain.iter().map(|entry| entry.name());
            if !known.clone().any(|name| name == stage) {
                unknown("stage", stage, &path.key("stage"), known, problems);
            }
        }
    }
}

fn appliance_of<'a>(
    node: &str,
    names: &Names<'a>,
    path: &JsonPath,
    problems: &mut Problems,
) -> Option<&'a ApplianceSpec> {
    let found = names.nodes.get(node).copied().flatten();
    if found.is_none() {
        let appliances = names.nodes.iter().filter(|(_, spec)| spec.is_some());
        let known: Vec<&str> = appliances.map(|(name, _)| *name).collect();
        unknown(
            "appliance",
            node,
            &path.key("node"),
            known.iter().copied(),
            problems,
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{rack, route};

    fn problems(value: &Value) -> String {
        let mut problems = Problems::new();
        let kinds = Kinds::all();
        let scenario = read(&value.to_string(), &kinds, &mut problems);
        assert_eq!(scenario.is_none(), problems.has_errors());
        problems.to_string()
    }

    #[test]
    fn a_good_scenario_has_no_problem() {
        let mut value = rack(2, route());
        value["faults"] = json!([
            { "at_us": 1, "what": { "action": "crash", "node": "sw", "for_us": 1 } },
            { "at_us": 1, "what": { "action": "clock_step", "node": "sw", "by_ns": -1 } },
            { "at_us": 1, "what": { "action": "reload", "node": "sw", "stage": "route", "settings": {} } },
            { "at_us": 1, "what": { "action": "partition", "nodes": ["near", "client1"] } },
            { "at_us": 1, "what": { "action": "link_down", "link": "client1-near" } },
            { "at_us": 1, "what": { "action": "health", "node": "server", "health": "slow:10" } },
        ]);
        assert_eq!(problems(&value), "");
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let fault = |what: Value| json!([{ "at_us": 1, "what": what }]);
        for (pointer, wrong, told) in [
            ("/duration_us", json!(0), "$.duration_us"),
            ("/hosts/0/name", json!("sw"), "something else has this name"),
            ("/hosts/0/name", json!("a:b"), "not a name"),
            ("/hosts/0/addresses", json!([]), "a host needs an address"),
            (
                "/hosts/0/addresses",
                json!(["10.0.0.300/24"]),
                "$.hosts[0].addresses[0]",
            ),
            (
                "/hosts/0/program/kind",
                json!("tiker"),
                "did you mean \"ticker\"?",
            ),
            (
                "/hosts/0/program/settings/every_ns",
                json!(0),
                "$.hosts[0].program.settings.every_ns",
            ),
            (
                "/hosts/0/program",
                json!({ "kind": "rpc_server", "settings":
                { "sid": 0, "service": { "time": "exp(25)" } } }),
                "$.hosts[0].program.settings.service.time",
            ),
            (
                "/hosts/0/program",
                json!({ "kind": "rpc_client", "settings":
                { "scheme": "netclone", "servers": [], "rate": 1, "measure_us": 1 } }),
                "needs the service's address",
            ),
            (
                "/appliances/0/chain/0/stage",
                json!("rout"),
                "did you mean \"route\"?",
            ),
            (
                "/appliances/0/chain/0/config",
                json!({ "mode": "x" }),
                "$.appliances[0].chain[0].config.mode",
            ),
            (
                "/appliances/0/ports/0/peer",
                json!("x"),
                "there is no such port",
            ),
            (
                "/links/0/between/0",
                json!("client9"),
                "$.links[0].between[0]",
            ),
            (
                "/links/0/between/0",
                json!("server"),
                "this end has a link already",
            ),
            (
                "/links/0/link",
                json!({ "loss": 1.5 }),
                "$.links[0].link.loss",
            ),
            ("/links/0/link", json!({ "los": 0.5 }), "los"),
            (
                "/faults",
                fault(json!({ "action": "crash", "node": "x" })),
                "$.faults[0].what.node",
            ),
            (
                "/faults",
                fault(json!({ "action": "crush", "node": "sw" })),
                "$.faults[0].what.action",
            ),
            (
                "/faults",
                fault(json!({ "action": "link_down", "link": "x" })),
                "there is no such link",
            ),
            (
                "/faults",
                fault(json!({ "action": "clock_step", "node": "server", "by_ns": 1 })),
                "there is no such appliance",
            ),
            (
                "/faults",
                fault(json!({ "action": "command", "node": "sw", "stage": "x", "verb": "y" })),
                "there is no such stage",
            ),
            (
                "/faults",
                fault(json!({ "action": "health", "node": "server", "health": "ill" })),
                "is not a server's health",
            ),
        ] {
            let mut value = rack(2, route());
            value["faults"] = json!([]);
            match value.pointer_mut(pointer) {
                Some(place) => *place = wrong,
                None => {
                    let (parent, key) = pointer.rsplit_once('/').unwrap();
                    value.pointer_mut(parent).unwrap()[key] = wrong;
                }
            }
            let all = problems(&value);
            assert!(all.contains(told), "{pointer}: {all:?} lacks {told:?}");
        }
    }

    #[test]
    fn text_that_is_no_json_is_told() {
        let mut problems = Problems::new();
        assert!(read("{ \"name\": ", &Kinds::all(), &mut problems).is_none());
        assert!(problems.has_errors());
    }
}
