//! Settings of the `acl` stage.

use std::collections::{BTreeSet, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule::{Action, Rule};
use super::table::MAX_PROTOCOLS;
use crate::check::{JsonPath, Problems};

/// What the `acl` stage does: the first rule that matches a packet decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AclConfig {
    /// The rules, in the order in which they are asked.
    pub rules: Vec<Rule>,
    /// What becomes of a packet that no rule matches.
    pub default: Action,
    /// What becomes of packets that are not IP, ARP above all.
    pub non_ip: Action,
    /// What becomes of packets with contradictory or cut-off headers. Where they are allowed, rules
    /// still look at what could be read of them.
    pub malformed: Action,
    /// Room for rules, 1 to 65536. Changes with a restart.
    #[schemars(range(min = 1, max = 65536))]
    pub max_rules: u32,
}

impl Default for AclConfig {
    fn default() -> AclConfig {
        AclConfig {
            rules: Vec::new(),
            default: Action::Allow,
            non_ip: Action::Allow,
            malformed: Action::Deny,
            max_rules: 8192,
        }
    }
}

impl AclConfig {
    /// Adds every mistake beyond the shape to `problems`.
    pub fn check(&self, path: &JsonPath, problems: &mut Problems) {
        let rules = path.key("rules");
        if self.rules.len() > self.max_rules as usize {
            problems
                .error(&rules, "more rules than there is room for")
                .found(format_args!("{} rules", self.rules.len()))
                .allowed(format_args!("up to {} rules", self.max_rules))
                .help("raise max_rules");
        }
        let mut names = HashMap::new();
        let mut protocols = BTreeSet::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let path = rules.index(index);
            check_rule(rule, &path, problems);
            if let Some(name) = &rule.name
                && let Some(first) = names.insert(name, index)
            {
                problems
                    .error(&path.key("name"), "another rule has this name")
                    .found(format_args!("{name:?}"))
                    .help(format_args!("see {}", rules.index(first)));
            }
            protocols.extend(rule.protocol.map(|protocol| protocol.0));
        }
        if protocols.len() > MAX_PROTOCOLS {
            problems
                .error(&rules, "the rules name too many different protocols")
                .found(format_args!("{} protocols", protocols.len()))
                .allowed(format_args!("up to {MAX_PROTOCOLS} protocols"));
        }
    }
}

/// Adds what is wrong with one rule by itself.
pub(super) fn check_rule(rule: &Rule, path: &JsonPath, problems: &mut Problems) {
    if let (Some(source), Some(destination)) = (rule.source, rule.destination)
        && source.is_ipv4() != destination.is_ipv4()
    {
        problems
            .error(
                &path.key("destination"),
                "source and destination are of different IP versions",
            )
            .found(format_args!("{source} and {destination}"))
            .help("no packet can match; write one rule for each version");
    }
    if let (Some(protocol), true) = (rule.protocol, rule.needs_ports())
        && !protocol.has_ports()
    {
        let key = match rule.source_ports {
            Some(_) => "source_ports",
            None => "destination_ports",
        };
        problems
            .error(
                &path.key(key),
                "packets of this protocol have no ports to look at",
            )
            .found(format_args!("protocol {protocol}"))
            .allowed("ports with protocol tcp, udp, or none named");
    }
    if let Some(name) = &rule.name {
        let fits =
            (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            problems
                .error(&path.key("name"), "not a name")
                .found(format_args!("{name:?}"))
                .allowed("1 to 64 visible ASCII characters, no blanks");
        }
    }
}
