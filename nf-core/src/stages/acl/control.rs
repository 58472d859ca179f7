//! The control side of the `acl` stage: the list of rules, its changes, and who counts what.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::config::{AclConfig, check_rule};
use super::rule::{Probe, Protocol, Rule, RuleDirection, first_match};
use super::stage::AclShard;
use super::table::{Fallbacks, MAX_PROTOCOLS, Table};
use crate::chain::{
    BuildContext, BuildError, CommandError, Direction, ReloadError, Stage, StageControl,
    read_arguments, read_reloaded,
};
use crate::check::{JsonPath, Problems};
use crate::dpdk::Eal;
use crate::publish::Publisher;
use crate::telemetry::CounterSet;

/// How long a command waits until all cores act on the new rules, before it says that they do not
/// yet. A core takes them over at its next turn, some microseconds later.
const FENCE: Duration = Duration::from_millis(20);

/// Replaced versions that may wait to be freed before publishing waits for the cores.
const MAX_PENDING: usize = 16;

const VERBS: [&str; 6] = ["show", "list", "add", "delete", "replace", "test"];

/// A rule in force.
#[derive(Debug, Clone)]
struct Entry {
    rule: Rule,
    /// Where its hits are counted.
    slot: u32,
    /// What the slot had counted before the rule got it.
    base: u64,
}

/// The control side.
#[derive(Debug)]
pub struct AclControl {
    eal: &'static Eal,
    entries: Vec<Entry>,
    fallbacks: Fallbacks,
    max_rules: usize,
    publisher: Publisher<Table>,
    /// By core.
    hits: Vec<Arc<CounterSet>>,
    /// Slots that no rule has, the longest unused first: the cores may still count a hit or two for
    /// the rule that had it last.
    free: VecDeque<u32>,
}

impl AclControl {
    /// Builds the first version.
    pub fn new(config: AclConfig, context: &BuildContext) -> Result<AclControl, BuildError> {
        let max_rules = config.max_rules as usize;
        // Room for a whole new list beside the old one.
        let slots = max_rules.saturating_mul(2);
        let fallbacks = fallbacks(&config);
        let mut free: VecDeque<u32> = (0..slots as u32).collect();
        let entries: Vec<Entry> = config
            .rules
            .into_iter()
            .zip(std::iter::from_fn(|| free.pop_front()))
            .map(|(rule, slot)| Entry {
                rule,
                slot,
                base: 0,
            })
            .collect();
        let table = build(context.eal, &entries, fallbacks).map_err(BuildError)?;
        Ok(AclControl {
            eal: context.eal,
            entries,
            fallbacks,
            max_rules,
            publisher: Publisher::new(&context.hub, table),
            hits: (0..context.cores)
                .map(|_| Arc::new(CounterSet::new(slots)))
                .collect(),
            free,
        })
    }

    fn counted(&self, slot: u32) -> u64 {
        let of = |set: &Arc<CounterSet>| set.get(slot as usize).unwrap_or(0);
        self.hits.iter().map(of).sum()
    }

    /// Makes these the rules in force. Rules that stay the same keep their counters.
    fn install(&mut self, rules: Vec<Rule>, fallbacks: Fallbacks) -> Result<(), String> {
        if rules.len() > self.max_rules {
            return Err(format!(
                "{} rules, and there is room for {}: raise max_rules and restart",
                rules.len(),
                self.max_rules
            ));
        }
        // Most lists are the old one with a change in one place: what stands before and behind it
        // is found without a search.
        let kept_front = count_equal(self.entries.iter(), rules.iter());
        let rest = self.entries.len().min(rules.len()) - kept_front;
        let kept_back = count_equal(self.entries.iter().rev(), rules.iter().rev()).min(rest);
        let old_middle = kept_front..self.entries.len() - kept_back;
        let mut spare: Vec<Option<Entry>> = self
            .entries
            .get(old_middle)
            .unwrap_or_default()
            .iter()
            .cloned()
            .map(Some)
            .collect();
        let mut fresh = Vec::new();
        let new_back = rules.len() - kept_back;
        let mut entries = Vec::with_capacity(rules.len());
        for (index, rule) in rules.into_iter().enumerate() {
            let old = if index < kept_front {
                self.entries.get(index).cloned()
            } else if index >= new_back {
                let from_end = new_back + kept_back - index;
                self.entries.get(self.entries.len() - from_end).cloned()
            } else {
                let same = |entry: &&mut Option<Entry>| {
                    entry.as_ref().is_some_and(|entry| entry.rule == rule)
                };
                spare.iter_mut().find(same).and_then(Option::take)
            };
            let entry = match old {
                Some(entry) => entry,
                None => {
                    let slot = self.free.pop_front().ok_or("no counter is free")?;
                    fresh.push(slot);
                    let base = self.counted(slot);
                    Entry { rule, slot, base }
                }
            };
            entries.push(entry);
        }
        match build(self.eal, &entries, fallbacks) {
            Ok(table) => {
                self.publisher.publish(table);
                if self.publisher.pending() > MAX_PENDING {
                    // A core that is stuck keeps memory; it must not keep all of it.
                    let _ = self.publisher.wait_adopted(FENCE);
                }
                let gone = spare.into_iter().flatten().map(|entry| entry.slot);
                self.free.extend(gone);
                self.entries = entries;
                self.fallbacks = fallbacks;
                Ok(())
            }
            Err(problem) => {
                self.free.extend(fresh);
                Err(problem)
            }
        }
    }

    fn rules(&self) -> Vec<Rule> {
        self.entries
            .iter()
            .map(|entry| entry.rule.clone())
            .collect()
    }

    /// Installs and waits until the cores follow.
    fn change(&mut self, rules: Vec<Rule>) -> Result<Value, CommandError> {
        self.install(rules, self.fallbacks)
            .map_err(CommandError::Failed)?;
        let in_force = self.publisher.wait_adopted(FENCE).is_ok();
        Ok(json!({
            "rules": self.entries.len(),
            "version": self.publisher.version(),
            "in_force": in_force,
        }))
    }

    fn show_entry(&self, index: usize, entry: &Entry) -> Value {
        let mut shown = json!({
            "number": index + 1,
            "hits": self.counted(entry.slot).wrapping_sub(entry.base),
        });
        if let (Value::Object(into), Ok(Value::Object(rule))) =
            (&mut shown, serde_json::to_value(&entry.rule))
        {
            into.extend(rule);
        }
        shown
    }

    fn show(&self) -> Value {
        let entries = self.entries.iter().enumerate();
        json!({
            "default": self.fallbacks.default,
            "non_ip": self.fallbacks.non_ip,
            "malformed": self.fallbacks.malformed,
            "version": self.publisher.version(),
            "max_rules": self.max_rules,
            "rules": entries
                .map(|(index, entry)| self.show_entry(index, entry))
                .collect::<Vec<_>>(),
        })
    }

    fn add(&mut self, arguments: &Value) -> Result<Value, CommandError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Place {
            /// The number that the rule shall have; at the end without.
            at: Option<usize>,
        }
        // The rule's own keys stand beside the place, as they are easy to type.
        let mut rule = arguments.as_object().cloned().unwrap_or_default();
        let place = rule.remove("at").map(|at| json!({ "at": at }));
        let Place { at } = read_arguments(&place.unwrap_or_default())?;
        let rule: Rule = read_arguments(&Value::Object(rule))?;
        let mut rules = self.rules();
        let at = at.unwrap_or(rules.len() + 1);
        if at == 0 || at > rules.len() + 1 {
            return Err(CommandError::Arguments(format!(
                "there is no place {at}: 1 to {}",
                rules.len() + 1
            )));
        }
        rules.insert(at - 1, rule);
        check_rules(&rules)?;
        self.change(rules)
    }

    fn delete(&mut self, arguments: &Value) -> Result<Value, CommandError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Delete {
            number: Option<usize>,
            name: Option<String>,
        }
        let index = match read_arguments(arguments)? {
            Delete {
                number: Some(number),
                name: None,
            } => number
                .checked_sub(1)
                .filter(|&index| index < self.entries.len()),
            Delete {
                number: None,
                name: Some(name),
            } => self
                .entries
                .iter()
                .position(|entry| entry.rule.name.as_ref() == Some(&name)),
            _ => {
                return Err(CommandError::Arguments(
                    "say which rule: either \"number\" or \"name\"".into(),
                ));
            }
        };
        let Some(index) = index else {
            return Err(CommandError::Failed(format!(
                "there is no such rule; there are {} rules",
                self.entries.len()
            )));
        };
        let mut rules = self.rules();
        rules.remove(index);
        self.change(rules)
    }

    fn replace(&mut self, arguments: &Value) -> Result<Value, CommandError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Replace {
            rules: Vec<Rule>,
        }
        let Replace { rules } = read_arguments(arguments)?;
        check_rules(&rules)?;
        self.change(rules)
    }

    fn test(&self, arguments: &Value) -> Result<Value, CommandError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Test {
            source: IpAddr,
            destination: IpAddr,
            protocol: Protocol,
            source_port: Option<u16>,
            destination_port: Option<u16>,
            #[serde(default)]
            direction: Option<RuleDirection>,
        }
        let test: Test = read_arguments(arguments)?;
        if test.source.is_ipv4() != test.destination.is_ipv4() {
            return Err(CommandError::Arguments(
                "source and destination are of different IP versions".into(),
            ));
        }
        let ports = match (test.source_port, test.destination_port) {
            (None, None) => None,
            _ if !test.protocol.has_ports() => {
                return Err(CommandError::Arguments(format!(
                    "packets of protocol {} have no ports to look at",
                    test.protocol
                )));
            }
            (from, to) => Some((from.unwrap_or(0), to.unwrap_or(0))),
        };
        let direction = test.direction.and_then(RuleDirection::only);
        let probe = Probe {
            direction: direction.unwrap_or(Direction::ToServer),
            source: test.source,
            destination: test.destination,
            protocol: test.protocol.0,
            ports,
        };
        let found = first_match(self.entries.iter().map(|entry| &entry.rule), &probe);
        Ok(
            match found.and_then(|index| self.entries.get(index).map(|entry| (index, entry))) {
                Some((index, entry)) => json!({
                    "action": entry.rule.action,
                    "rule": self.show_entry(index, entry),
                }),
                None => json!({ "action": self.fallbacks.default, "rule": Value::Null }),
            },
        )
    }
}

impl StageControl for AclControl {
    fn shard(&mut self, core: usize) -> Box<dyn Stage> {
        while self.hits.len() <= core {
            let slots = self.max_rules.saturating_mul(2);
            self.hits.push(Arc::new(CounterSet::new(slots)));
        }
        let hits = self.hits.get(core).cloned();
        let hits = hits.unwrap_or_else(|| Arc::new(CounterSet::new(0)));
        Box::new(AclShard::new(self.publisher.reader(), hits))
    }

    fn reload(&mut self, config: &Value) -> Result<(), ReloadError> {
        let config: AclConfig = read_reloaded(config)?;
        let resized = config.max_rules as usize != self.max_rules;
        ReloadError::unless_fixed(&[("max_rules", resized)])?;
        let fallbacks = fallbacks(&config);
        self.install(config.rules, fallbacks)
            .map_err(ReloadError::Refused)
    }

    fn command(&mut self, verb: &str, arguments: &Value) -> Result<Value, CommandError> {
        match verb {
            "show" | "list" => Ok(self.show()),
            "add" => self.add(arguments),
            "delete" => self.delete(arguments),
            "replace" => self.replace(arguments),
            "test" => self.test(arguments),
            _ => Err(CommandError::unknown(verb, &VERBS)),
        }
    }

    fn status(&self) -> Value {
        self.show()
    }

    fn tick(&mut self) {
        self.publisher.reclaim();
    }
}

fn fallbacks(config: &AclConfig) -> Fallbacks {
    Fallbacks {
        default: config.default,
        non_ip: config.non_ip,
        malformed: config.malformed,
    }
}

fn build(eal: &'static Eal, entries: &[Entry], fallbacks: Fallbacks) -> Result<Table, String> {
    let rules = entries.iter().map(|entry| (&entry.rule, entry.slot));
    Table::build(eal, rules, fallbacks)
        .map_err(|error| format!("the rules do not fit into memory: {error}"))
}

fn count_equal<'a>(
    old: impl Iterator<Item = &'a Entry>,
    new: impl Iterator<Item = &'a Rule>,
) -> usize {
    old.zip(new)
        .take_while(|(entry, rule)| entry.rule == **rule)
        .count()
}

/// The checks that a config's rules pass, for rules that a command brings.
fn check_rules(rules: &[Rule]) -> Result<(), CommandError> {
    let mut problems = Problems::new();
    let path = JsonPath::root().key("rules");
    let mut names = std::collections::HashSet::new();
    let mut protocols = std::collections::HashSet::new();
    for (index, rule) in rules.iter().enumerate() {
        check_rule(rule, &path.index(index), &mut problems);
        protocols.extend(rule.protocol);
        if let Some(name) = rule.name.as_ref().filter(|name| !names.insert(*name)) {
            return Err(CommandError::Arguments(format!(
                "another rule has the name {name:?}"
            )));
        }
    }
    if protocols.len() > MAX_PROTOCOLS {
        return Err(CommandError::Arguments(format!(
            "the rules name {} different protocols, and up to {MAX_PROTOCOLS} are allowed",
            protocols.len()
        )));
    }
    match problems.iter().next() {
        Some(problem) => Err(CommandError::Arguments(problem.to_string())),
        None => Ok(()),
    }
}
