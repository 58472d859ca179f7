//! A stream: which packets, how many flows, at what rate and spacing.

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;

use nf_core::control::config::Identifier;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::packet::Packet;
use crate::schedule;
use crate::template::{Combine, IMIX, SizeOrder, Sizes};
use crate::units::{Rate, Time};

/// Packets of one kind that a port sends at one rate.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stream {
    /// Name in reports; `stream0`, `stream1`, ... by default.
    pub name: Option<Identifier>,
    /// The port that sends it; the first port by default.
    pub port: Option<Identifier>,
    /// Headers and payload.
    pub packet: Packet,
    /// Frame sizes in bytes, check sequence included: one (`64`), a list in order (`[64, 1518]`),
    /// `"imix"` (7 × 64, 4 × 594, 1 × 1518), a range (`{"from": 64, "to": 1518, "step": 1, "order":
    /// "increment"}`, order `increment` or `random`), or weights (`{"weights": {"64": 7, "1518": 1}}`).
    pub size: Size,
    /// How many flows to send, of those that the ranges of the header fields give; all by default.
    pub flows: Option<u64>,
    /// How several varying fields make flows.
    pub combine: Combine,
    /// In which order flows take turns.
    pub flow_order: FlowOrder,
    /// How fast.
    pub rate: Rate,
    /// How the packets are spaced.
    pub spacing: Spacing,
    /// A rate to start at, and how long to take from there to `rate`. Not with percent or `max`.
    pub ramp: Option<Ramp>,
    /// Frames of a capture file instead of `packet`, `size`, `flows` and `spacing`. They carry no
    /// signature, so they are counted but not followed.
    pub replay: Option<Replay>,
    /// Send through this router: its MAC address is asked for (ARP, neighbour discovery) before the
    /// run, and becomes the destination address.
    pub gateway: Option<IpAddr>,
}

impl Default for Stream {
    fn default() -> Self {
        Stream {
            name: None,
            port: None,
            packet: Packet::default(),
            size: Size(Sizes::fixed(64)),
            flows: None,
            combine: Combine::Product,
            flow_order: FlowOrder::RoundRobin,
            rate: Rate::Packets(10_000.0),
            spacing: Spacing::Constant,
            ramp: None,
            replay: None,
            gateway: None,
        }
    }
}

/// In which order flows take turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlowOrder {
    /// One packet of each flow, round and round.
    #[default]
    RoundRobin,
    /// The flow of each packet is drawn at random.
    Random,
}

/// How packets are spaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// Equal gaps.
    #[default]
    Constant,
    /// Independent, exponentially distributed gaps.
    Poisson,
    /// Packets in bursts.
    Burst(Burst),
}

/// Bursts of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// Packets in a burst.
    pub packets: u32,
    /// Gap between the packets of a burst; 0 by default, back to back.
    #[serde(default)]
    pub gap: Time,
}

impl Spacing {
    /// In the terms of a schedule.
    pub fn schedule(self) -> schedule::Spacing {
        match self {
            Spacing::Constant => schedule::Spacing::Constant,
            Spacing::Poisson => schedule::Spacing::Poisson,
            Spacing::Burst(burst) => schedule::Spacing::Burst {
                packets: burst.packets,
                gap_ns: burst.gap.nanoseconds(),
            },
        }
    }
}

/// A changing rate at the start of a run.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// The rate to start at, in the unit of `rate`.
    pub from: Rate,
    /// How long until `rate` is reached.
    pub over: Time,
}

/// Frames of a capture file.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// A pcap or pcapng file of Ethernet frames. A relative path counts from the profile's folder.
    #[schemars(with = "String")]
    pub file: PathBuf,
    /// How the frames are timed.
    #[serde(default)]
    pub timing: Timing,
    /// Speed of the recorded timing: 2 is twice as fast.
    #[serde(default = "one")]
    pub speed: f64,
    /// Start again at the end.
    #[serde(default, rename = "loop")]
    pub repeat: bool,
}

fn one() -> f64 {
    1.0
}

/// How replayed frames are timed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// As recorded, divided by `speed`.
    #[default]
    Recorded,
    /// By the stream's `rate`.
    Rate,
}

/// The frame sizes of a stream.
#[derive(Debug, Clone)]
pub struct Size(pub Sizes);

impl PartialEq for Size {
    fn eq(&self, other: &Size) -> bool {
        format!("{:?}", self.0) == format!("{:?}", other.0)
    }
}

/// Smallest and largest frame size, check sequence included.
pub const FRAME_SIZES: std::ops::RangeInclusive<u16> = 64..=16_128;

impl Size {
    /// Reads the JSON form.
    pub fn from_json(value: &serde_json::Value) -> Result<Size, String> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            One(u16),
            Word(String),
            List(Vec<u16>),
            Object(Object),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Object {
            from: Option<u16>,
            to: Option<u16>,
            #[serde(default)]
            step: Option<u16>,
            #[serde(default)]
            order: Option<super::values::Order>,
            weights: Option<std::collections::BTreeMap<u16, u32>>,
        }
        let wrong = || {
            format!(
                "found {value}; expected a frame size, a list of them, \"imix\", \
                 {{\"from\", \"to\", \"step\", \"order\"}} or {{\"weights\": {{\"64\": 7, ...}}}}"
            )
        };
        // An object's own message says which key is wrong.
        let raw = if value.is_object() {
            Raw::Object(Object::deserialize(value).map_err(|error| error.to_string())?)
        } else {
            Raw::deserialize(value).map_err(|_| wrong())?
        };
        let seed = 0x517e;
        let sizes = match raw {
            Raw::One(size) => Some(Sizes::fixed(size)),
            Raw::Word(word) if word == "imix" => Sizes::weighted(&IMIX, seed),
            Raw::Word(_) => return Err(wrong()),
            Raw::List(sizes) => Sizes::list(&sizes),
            Raw::Object(Object {
                from: Some(from),
                to: Some(to),
                step,
                order,
                weights: None,
            }) => {
                let order = match order {
                    Some(super::values::Order::Random) => SizeOrder::Random,
                    _ => SizeOrder::Cyclic,
                };
                Sizes::range(from, to, step.unwrap_or(1), order)
            }
            Raw::Object(Object {
                weights: Some(weights),
                from: None,
                to: None,
                step: None,
                order: None,
            }) => {
                let weights: Vec<(u16, u32)> = weights.into_iter().collect();
                Sizes::weighted(&weights, seed)
            }
            Raw::Object(_) => return Err(wrong()),
        };
        let sizes = sizes.ok_or_else(|| format!("{value} gives no frame size"))?;
        match sizes
            .distinct
            .iter()
            .find(|size| !FRAME_SIZES.contains(size))
        {
            Some(size) => Err(format!(
                "a frame of {size} bytes; frame sizes are {} to {} bytes with the check sequence",
                FRAME_SIZES.start(),
                FRAME_SIZES.end()
            )),
            None => Ok(Size(sizes)),
        }
    }

    /// Reads the form used on the command line: `64`, `64,128,1518`, `64-1518`, `imix`.
    pub fn from_text(text: &str) -> Result<Size, String> {
        let number = |part: &str| {
            part.trim()
                .parse::<u16>()
                .map_err(|_| format!("{part:?} is not a frame size"))
        };
        let value = if text.contains(',') {
            text.split(',')
                .map(number)
                .collect::<Result<Vec<u16>, _>>()?
                .into()
        } else if let Some((from, to)) = text.split_once('-') {
            serde_json::json!({"from": number(from)?, "to": number(to)?})
        } else if text == "imix" {
            text.into()
        } else {
            number(text)?.into()
        };
        Size::from_json(&value)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Size::from_json(&value).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({ "type": "integer", "minimum": 64, "maximum": 16128 });
        let order = generator.subschema_for::<super::values::Order>();
        json_schema!({
            "anyOf": [
                one,
                { "const": "imix" },
                { "type": "array", "items": one, "minItems": 1 },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "from": one, "to": one, "step": { "type": "integer", "minimum": 1 },
                        "order": order,
                        "weights": {
                            "type": "object",
                            "additionalProperties": { "type": "integer", "minimum": 0 }
                        }
                    }
                }
            ]
        })
    }
}
