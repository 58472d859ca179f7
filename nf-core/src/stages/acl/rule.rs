//! Rules as a config writes them, and what they mean: the plain scan that says which rule comes
//! first. The classifier on the data path gives the same answer faster.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::packet::Direction;
use crate::wire::Prefix;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It goes on.
    #[default]
    Allow,
    /// It is dropped.
    Deny,
}

impl Action {
    /// The word in the config.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Allow => "allow",
            Action::Deny => "deny",
        }
    }
}

/// Packets of which direction a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum RuleDirection {
    /// Those that go to the servers.
    ToServer,
    /// Those that go to the clients.
    ToClient,
    /// All.
    #[default]
    Both,
}

impl RuleDirection {
    /// Whether a packet of that direction is meant; `None` for all.
    pub const fn only(self) -> Option<Direction> {
        match self {
            RuleDirection::ToServer => Some(Direction::ToServer),
            RuleDirection::ToClient => Some(Direction::ToClient),
            RuleDirection::Both => None,
        }
    }
}

/// An IP protocol: a name, or its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protocol(pub u8);

/// The names that a config may use for protocols (IANA's, in lower case).
const PROTOCOLS: [(&str, u8); 10] = [
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ospf", 89),
    ("sctp", 132),
];

impl Protocol {
    /// Whether its packets have ports that a rule can look at.
    pub const fn has_ports(self) -> bool {
        matches!(self.0, 6 | 17)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PROTOCOLS.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match PROTOCOLS.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => serializer.serialize_str(name),
            None => serializer.serialize_u8(self.0),
        }
    }
}

/// A string or a small number, before it is known to mean something.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word<'a> {
    Number(u16),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Protocol, D::Error> {
        let expected = || {
            let names: Vec<_> = PROTOCOLS.iter().map(|(name, _)| *name).collect();
            de::Error::custom(format!(
                "not a protocol: 0 to 255, or one of {}",
                names.join(", ")
            ))
        };
        match Word::deserialize(deserializer).map_err(|_| expected())? {
            Word::Number(number) => u8::try_from(number).map(Protocol).map_err(|_| expected()),
            Word::Text(text) => PROTOCOLS
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, number)| Protocol(*number))
                .ok_or_else(expected),
        }
    }
}

impl JsonSchema for Protocol {
    fn schema_name() -> Cow<'static, str> {
        "Protocol".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An IP protocol: a name, or its number, 0 to 255.",
            "anyOf": [
                { "type": "string", "enum": PROTOCOLS.map(|(name, _)| name) },
                { "type": "integer", "minimum": 0, "maximum": 255 }
            ]
        })
    }
}

/// A port, or a range of ports with both ends included: `80` or `"8000-8999"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ports {
    /// The first.
    pub from: u16,
    /// The last; not below the first.
    pub to: u16,
}

impl Ports {
    /// Whether `port` is among them.
    pub const fn contains(self, port: u16) -> bool {
        self.from <= port && port <= self.to
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from == self.to {
            true => self.from.fmt(f),
            false => write!(f, "{}-{}", self.from, self.to),
        }
    }
}

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.from == self.to {
            true => serializer.serialize_u16(self.from),
            false => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ports, D::Error> {
        let expected = || {
            de::Error::custom("not a port or range of ports: write 80 or \"8000-8999\", 0 to 65535")
        };
        let number = |text: &str| -> Option<u16> {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        };
        let (from, to) = match Word::deserialize(deserializer).map_err(|_| expected())? {
            Word::Number(number) => (number, number),
            Word::Text(text) => {
                let (from, to) = text.split_once('-').unwrap_or((&text, &text));
                number(from).zip(number(to)).ok_or_else(expected)?
            }
        };
        if from > to {
            return Err(de::Error::custom(format!(
                "the range ends before it starts: {to}-{from} was meant?"
            )));
        }
        Ok(Ports { from, to })
    }
}

impl JsonSchema for Ports {
    fn schema_name() -> Cow<'static, str> {
        "Ports".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A port, or a range like \"8000-8999\" with both ends included.",
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": 65535 },
                { "type": "string", "pattern": "^[0-9]{1,5}(-[0-9]{1,5})?$" }
            ]
        })
    }
}

/// One rule. What it does not name it does not look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A name for commands, traces and the list of counters; no two rules have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What becomes of a packet that matches.
    pub action: Action,
    /// Packets of which direction are meant.
    #[serde(default)]
    pub direction: RuleDirection,
    /// Where the packet is from, like 10.0.0.0/8 or fd00::/8. A single host is 10.0.0.1/32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Prefix>,
    /// Where it goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Prefix>,
    /// Its protocol, after IPv6 extension headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Its source port. Only TCP and UDP packets have ports, later fragments have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<Ports>,
    /// Its destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_ports: Option<Ports>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Which way the packet goes.
    pub direction: Direction,
    /// Where it is from.
    pub source: IpAddr,
    /// Where it goes to, an address of the same version.
    pub destination: IpAddr,
    /// Its protocol.
    pub protocol: u8,
    /// Source and destination port, where it has them.
    pub ports: Option<(u16, u16)>,
}

impl Rule {
    /// Whether the rule looks at ports.
    pub const fn needs_ports(&self) -> bool {
        self.source_ports.is_some() || self.destination_ports.is_some()
    }

    /// Whether packets of that IP version can match.
    pub fn is_for(&self, ipv4: bool) -> bool {
        let fits = |prefix: &Option<Prefix>| prefix.is_none_or(|prefix| prefix.is_ipv4() == ipv4);
        fits(&self.source) && fits(&self.destination)
    }

    /// Whether the packet matches.
    pub fn matches(&self, probe: &Probe) -> bool {
        let within =
            |prefix: Option<Prefix>, address| prefix.is_none_or(|prefix| prefix.contains(address));
        let among = |ports: Option<Ports>, port| ports.is_none_or(|ports| ports.contains(port));
        let direction = self.direction.only();
        direction.is_none_or(|direction| direction == probe.direction)
            && self.protocol.is_none_or(|own| own.0 == probe.protocol)
            && within(self.source, probe.source)
            && within(self.destination, probe.destination)
            && match probe.ports {
                Some((source, destination)) => {
                    among(self.source_ports, source) && among(self.destination_ports, destination)
                }
                None => !self.needs_ports(),
            }
    }
}

/// The index of the first rule that matches.
pub fn first_match<'a>(rules: impl IntoIterator<Item = &'a Rule>, probe: &Probe) -> Option<usize> {
    rules.into_iter().position(|rule| rule.matches(probe))
}
