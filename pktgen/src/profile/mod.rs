//! What a run is asked to do: the JSON profile and its checks.
//!
//! The port section has the types of the appliance's configuration, so that a port that works in one
//! works in the other; only `side` may be left out, since a generator has no sides.

pub mod packet;
pub mod stream;
pub mod values;

use std::path::{Path, PathBuf};

use nf_core::check::{JsonPath, Problems};
use nf_core::control::config::{EalConfig, Identifier, Idle, MempoolConfig, PortConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use stream::{FlowOrder, Spacing, Stream};

use crate::units::{Rate, Time};

/// A profile: what to send, where, how fast, for how long, and what to look for.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// The schema of this file, for editors; not read.
    #[serde(rename = "$schema")]
    pub schema: Option<String>,
    /// Name in reports, and part of DPDK's file prefix.
    pub name: Option<Identifier>,
    /// What this profile is for.
    pub description: Option<String>,
    /// DPDK's environment, as in the appliance's configuration.
    pub eal: EalConfig,
    /// Which processors do what.
    pub cores: Cores,
    /// The pool of packet buffers, as in the appliance's configuration. Jumbo frames enlarge its data room
    /// by themselves.
    pub mempool: MempoolConfig,
    /// The ports, as in the appliance's configuration; `side` and `peer` are not needed.
    pub ports: Vec<PortConfig>,
    /// Line rates of ports that do not know their own, such as `{"port0": "10Gbit/s"}`; for rates
    /// in percent.
    pub line_rates: std::collections::BTreeMap<String, Rate>,
    /// What is sent; one stream of 64-byte UDP packets by default.
    pub streams: Vec<Stream>,
    /// What is done with what is received.
    pub receive: Receive,
    /// How long to send; 10 s by default, unless `packets` is given.
    pub duration: Option<Time>,
    /// How many packets to send in all; no limit by default.
    pub packets: Option<u64>,
    /// Seed of everything random: the same seed repeats a run exactly. A new one each run by default;
    /// it is printed.
    pub seed: Option<u64>,
    /// A packet that leaves later than this after its intended time counts as late.
    pub late_after: Time,
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            schema: None,
            name: None,
            description: None,
            eal: EalConfig {
                dpdk_telemetry: false,
                ..EalConfig::default()
            },
            cores: Cores::default(),
            mempool: MempoolConfig::default(),
            ports: Vec::new(),
            line_rates: Default::default(),
            streams: Vec::new(),
            receive: Receive::default(),
            duration: None,
            packets: None,
            seed: None,
            late_after: Time(std::time::Duration::from_micros(10)),
        }
    }
}

impl Profile {
    /// How many bytes the streams' prefixes have, each length once; 0 also without streams.
    pub fn prefixes(&self) -> Vec<usize> {
        let lengths = self.streams.iter().map(|stream| {
            let prefix = stream.packet.prefix_bytes().unwrap_or_default();
            prefix.len()
        });
        let mut lengths: Vec<usize> = lengths.collect();
        if lengths.is_empty() {
            lengths.push(0);
        }
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }
}

/// Which processors do what.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cores {
    /// Processors that send. Each takes its share of every stream's rate and flows.
    pub transmit: Vec<u16>,
    /// Processors that receive. One that also sends does both in turn.
    pub receive: Vec<u16>,
    /// What a processor does between packets: `poll` keeps time to a fraction of a microsecond,
    /// `adaptive` sleeps where there is time to, and is some 50 µs late for it.
    pub idle: Idle,
    /// Most packets handed to a port, or taken from it, at once; 1 to 64.
    pub burst: u16,
}

impl Default for Cores {
    fn default() -> Self {
        let (transmit, receive) = match nf_core::dpdk::available_cpus().as_slice() {
            [] => (0, 0),
            [only] => (*only, *only),
            // The first processor is left to the operating system and to the display.
            [_, second] => (*second, *second),
            [_, second, third, ..] => (*second, *third),
        };
        Cores {
            transmit: vec![transmit as u16],
            receive: vec![receive as u16],
            idle: Idle::Poll,
            burst: 32,
        }
    }
}

/// What is done with what is received.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Receive {
    /// The ports to receive on; all by default.
    pub ports: Option<Vec<Identifier>>,
    /// How far back, in sequence numbers of a flow, duplicates and late packets can be told apart;
    /// by default as far as 32 MiB of memory reach, at most 65 536.
    pub window: Option<u64>,
    /// Check IP, UDP, TCP and ICMP checksums of what is received, and count the broken apart.
    pub verify_checksums: bool,
    /// Answer ARP and neighbour requests for the streams' source addresses, as the hosts that they
    /// stand for would.
    pub answer_neighbours: bool,
    /// How long to wait for packets under way when the sending is over.
    pub settle: Time,
}

impl Default for Receive {
    fn default() -> Self {
        Receive {
            ports: None,
            window: None,
            verify_checksums: true,
            answer_neighbours: true,
            settle: Time(std::time::Duration::from_millis(200)),
        }
    }
}

/// Reads a profile file; `Err` holds every mistake found. Relative paths in it are made absolute.
pub fn load(path: &Path) -> Result<Profile, Problems> {
    let mut problems = Problems::new();
    let root = JsonPath::root();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.error(&root, format!("{} cannot be read: {error}", path.display()));
            return Err(problems);
        }
    };
    let value: Value = match serde_json::from_str(&text) {
        Ok(value) => value,
        Err(error) => {
            problems.error(&root, format!("{} is not JSON: {error}", path.display()));
            return Err(problems);
        }
    };
    let mut profile = parse(&value, &mut problems);
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    for stream in &mut profile.streams {
        if let Some(replay) = &mut stream.replay {
            replay.file = folder.join(&replay.file);
        }
    }
    if problems.has_errors() {
        Err(problems)
    } else {
        Ok(profile)
    }
}

/// Reads a profile. Mistakes are added to `problems`, each with its place; what could not be read is left
/// at its default.
pub fn parse(value: &Value, problems: &mut Problems) -> Profile {
    let root = JsonPath::root();
    let mut profile = Profile::default();
    let Some(object) = value.as_object() else {
        problems
            .error(&root, "a profile is a JSON object")
            .found_value(value);
        return profile;
    };
    for (key, value) in object {
        let at = root.key(key);
        match key.as_str() {
            "$schema" => {}
            "name" => read(value, &at, problems, &mut profile.name),
            "description" => read(value, &at, problems, &mut profile.description),
            "eal" => {
                // A generator opens no telemetry socket unless told to.
                let mut eal = value.clone();
                if let Some(eal) = eal.as_object_mut() {
                    eal.entry("dpdk_telemetry").or_insert(Value::Bool(false));
                }
                read(&eal, &at, problems, &mut profile.eal);
            }
            "cores" => read(value, &at, problems, &mut profile.cores),
            "mempool" => read(value, &at, problems, &mut profile.mempool),
            "ports" => each(value, &at, problems, |value, at, problems| {
                let mut value = value.clone();
                if let Some(port) = value.as_object_mut() {
                    port.entry("side").or_insert(Value::from("any"));
                }
                let mut port: Option<PortConfig> = None;
                read(&value, at, problems, &mut port);
                profile.ports.extend(port);
            }),
            "line_rates" => read(value, &at, problems, &mut profile.line_rates),
            "streams" => each(value, &at, problems, |value, at, problems| {
                let mut stream = Stream::default();
                read(value, at, problems, &mut stream);
                profile.streams.push(stream);
            }),
            "receive" => read(value, &at, problems, &mut profile.receive),
            "duration" => read(value, &at, problems, &mut profile.duration),
            "packets" => read(value, &at, problems, &mut profile.packets),
            "seed" => read(value, &at, problems, &mut profile.seed),
            "late_after" => read(value, &at, problems, &mut profile.late_after),
            _ => {
                let known = [
                    "name",
                    "description",
                    "eal",
                    "cores",
                    "mempool",
                    "ports",
                    "line_rates",
                    "streams",
                    "receive",
                    "duration",
                    "packets",
                    "seed",
                    "late_after",
                ];
                problems
                    .error(&at, format!("there is no key `{key}` here"))
                    .allowed(known.join(", "));
            }
        }
    }
    profile
}

fn read<T: DeserializeOwned>(value: &Value, at: &JsonPath, problems: &mut Problems, into: &mut T) {
    match T::deserialize(value) {
        Ok(read) => *into = read,
        Err(error) => {
            problems.error(at, error.to_string());
        }
    }
}

fn each(
    value: &Value,
    at: &JsonPath,
    problems: &mut Problems,
    mut read: impl FnMut(&Value, &JsonPath, &mut Problems),
) {
    match value.as_array() {
        Some(items) => {
            for (i, item) in items.iter().enumerate() {
                read(item, &at.index(i), problems);
            }
        }
        None => {
            problems.error(at, "a list is expected").found_value(value);
        }
    }
}

/// Checks what the single sections cannot: names that refer to each other, what excludes each other.
pub fn check(profile: &Profile, problems: &mut Problems) {
    let root = JsonPath::root();
    let streams = root.key("streams");
    let known: Vec<&str> = profile.ports.iter().map(|port| &*port.name).collect();
    let port_exists = |name: &str, at: &JsonPath, problems: &mut Problems| {
        if !known.contains(&name) {
            problems
                .error(at, format!("there is no port `{name}`"))
                .allowed(known.join(", "));
        }
    };
    if profile.ports.is_empty() {
        problems
            .error(&root.key("ports"), "no port to send on")
            .help(
                "add one here, or say --port, such as --port tap:pg0; `pktgen help devices` \
                   lists the kinds. To try pktgen alone, say --self-test",
            );
    }
    for (i, port) in profile.ports.iter().enumerate() {
        if profile.ports[..i]
            .iter()
            .any(|other| other.name == port.name)
        {
            problems.error(
                &root.key("ports").index(i).key("name"),
                format!("a second port named `{}`", &*port.name),
            );
        }
    }
    for (name, rate) in &profile.line_rates {
        let at = root.key("line_rates").key(name);
        port_exists(name, &at, problems);
        if !matches!(rate, Rate::Bits(..)) {
            problems
                .error(&at, "a line rate is in bits per second")
                .allowed("\"10Gbit/s\"");
        }
    }
    for (i, name) in profile.receive.ports.iter().flatten().enumerate() {
        port_exists(name, &root.key("receive").key("ports").index(i), problems);
    }
    for (i, stream) in profile.streams.iter().enumerate() {
        check_stream(stream, &streams.index(i), problems);
        if let Some(port) = &stream.port {
            port_exists(port, &streams.index(i).key("port"), problems);
        }
    }
    if profile.cores.transmit.is_empty() {
        problems.error(
            &root.key("cores").key("transmit"),
            "no processor to send with",
        );
    }
    if profile.cores.receive.is_empty() {
        problems.error(
            &root.key("cores").key("receive"),
            "no processor to receive with",
        );
    }
    for (key, cores) in [
        ("transmit", &profile.cores.transmit),
        ("receive", &profile.cores.receive),
    ] {
        for (i, core) in cores.iter().enumerate() {
            if cores[..i].contains(core) {
                let at = root.key("cores").key(key).index(i);
                problems.error(&at, format!("processor {core} stands here twice"));
            }
        }
    }
    if !(1..=64).contains(&profile.cores.burst) {
        problems
            .error(
                &root.key("cores").key("burst"),
                "a burst is 1 to 64 packets",
            )
            .found(profile.cores.burst);
    }
}

fn check_stream(stream: &Stream, at: &JsonPath, problems: &mut Problems) {
    if let Spacing::Burst(burst) = stream.spacing
        && burst.packets == 0
    {
        let at = at.key("spacing").key("burst").key("packets");
        problems.error(&at, "a burst has at least 1 packet");
    }
    if let Some(ramp) = stream.ramp {
        let same_unit = match (ramp.from, stream.rate) {
            (Rate::Packets(_), Rate::Packets(_)) => true,
            (Rate::Bits(_, from), Rate::Bits(_, to)) => from == to,
            _ => false,
        };
        if !same_unit {
            problems
                .error(
                    &at.key("ramp").key("from"),
                    "a ramp starts in the unit of the stream's rate",
                )
                .found(ramp.from)
                .allowed(format!(
                    "packets or bits per second, as `rate`, which is {}",
                    stream.rate
                ));
        }
    }
    if let Some(replay) = &stream.replay {
        let replay_at = at.key("replay");
        if !(replay.speed.is_finite() && replay.speed > 0.0) {
            problems
                .error(&replay_at.key("speed"), "a speed is more than 0")
                .found(replay.speed);
        }
        if stream.packet != Default::default() || stream.flows.is_some() {
            problems.error(
                &replay_at,
                "a replay sends the frames of its file: `packet` and `flows` have no place beside it",
            );
        }
    }
}

/// The JSON schema of a profile.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Profile).to_value();
    // Here alone a port needs no side.
    if let Some(required) = schema
        .pointer_mut("/$defs/PortConfig/required")
        .and_then(Value::as_array_mut)
    {
        required.retain(|key| key != "side");
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(value: Value) -> String {
        let mut problems = Problems::new();
        let profile = parse(&value, &mut problems);
        check(&profile, &mut problems);
        problems.iter().map(|p| p.to_string() + "\n").collect()
    }

    fn port() -> Value {
        json!({"name": "a", "device": {"type": "ring"}})
    }

    #[test]
    fn a_full_profile_is_read() {
        let value = json!({
            "name": "full", "description": "everything at once",
            "eal": {"memory_mb": 128}, "cores": {"transmit": [1, 2], "receive": [3], "burst": 16},
            "ports": [port(), {"name": "b", "device": {"type": "memif", "role": "client",
                      "socket": "/tmp/m.sock"}}],
            "line_rates": {"a": "25Gbit/s"},
            "streams": [
                {"name": "one", "port": "b", "size": "imix", "rate": "40%", "spacing": "poisson",
                 "packet": {"ipv4": {"source": {"from": "10.0.0.1", "count": 100}}, "udp": {}}},
                {"size": {"weights": {"64": 7, "1518": 1}}, "rate": "1Gbit/s L1",
                 "spacing": {"burst": {"packets": 8, "gap": "1us"}},
                 "ramp": {"from": "10Mbit/s L1", "over": "5s"}, "gateway": "10.0.0.1"},
                {"replay": {"file": "x.pcap", "speed": 2.0, "loop": true}}
            ],
            "receive": {"ports": ["b"], "window": 1024, "settle": "1s"},
            "duration": "3s", "packets": 1000, "seed": 7, "late_after": "20us"
        });
        assert_eq!(problems(value.clone()), "");
        let profile = parse(&value, &mut Problems::new());
        assert_eq!(profile.streams.len(), 3);
        assert_eq!(profile.ports.len(), 2);
        assert_eq!(profile.duration.unwrap().nanoseconds(), 3_000_000_000);
        assert!(!profile.eal.dpdk_telemetry);
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_place() {
        let told = problems(json!({
            "prots": [],
            "ports": [port(), port(), {"name": "c", "device": {"type": "rong"}}],
            "line_rates": {"zz": "10Gbit/s", "a": "1Mpps"},
            "streams": [
                {"port": "nowhere", "rate": "fast"},
                {"port": "nowhere"},
                {"spacing": {"burst": {"packets": 0}}},
                {"rate": "1Mpps", "ramp": {"from": "1Mbit/s", "over": "1s"}},
                {"replay": {"file": "x", "speed": -1.0}, "flows": 3},
                {"size": 63}, {"size": {"from": 64}}, {"packet": {"udp": {"port": 1}}}
            ],
            "receive": {"ports": ["q"]},
            "cores": {"transmit": [], "receive": [1, 1], "burst": 65},
            "duration": "long"
        }));
        for expected in [
            "$.prots",
            "$.ports[1].name",
            "$.ports[2]",
            "rong",
            "$.line_rates.zz",
            "$.line_rates.a",
            "$.streams[0]",
            "\"fast\" is not a rate",
            "$.streams[1].port",
            "$.streams[2].spacing.burst.packets",
            "$.streams[3].ramp.from",
            "$.streams[4].replay.speed",
            "$.streams[4].replay\n",
            "$.streams[5]",
            "64 to 16128 bytes",
            "$.streams[6]",
            "$.streams[7]",
            "unknown field `port`",
            "$.receive.ports[0]",
            "$.cores.transmit",
            "$.cores.receive[1]",
            "$.cores.burst",
            "$.duration",
        ] {
            assert!(told.contains(expected), "{expected} is missing in:\n{told}");
        }
    }

    #[test]
    fn no_ports_says_what_to_do() {
        assert!(problems(json!({})).contains("--self-test"));
    }

    #[test]
    fn frame_sizes_in_every_form() {
        use stream::Size;
        for (text, count) in [("64", 1), ("64,128,64", 2), ("64-70", 7), ("imix", 3)] {
            assert_eq!(
                Size::from_text(text).unwrap().0.distinct.len(),
                count,
                "{text}"
            );
        }
        for text in ["", "63", "imixx", "70-64", "64-", "20000"] {
            assert!(Size::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_schema_knows_the_sections() {
        let schema = schema();
        for key in ["ports", "streams", "cores", "receive", "duration"] {
            assert!(schema["properties"][key].is_object(), "{key}");
        }
        let required = schema["$defs"]["PortConfig"]["required"]
            .as_array()
            .unwrap();
        assert!(required.contains(&json!("name")) && !required.contains(&json!("side")));
    }
}
