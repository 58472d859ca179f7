//! How a profile writes the values of a field: one value, a list, or a range.
//!
//! `"10.0.0.1"`, `["10.0.0.1", "10.0.0.9"]`, `{"from": "10.0.0.1", "to": "10.0.0.254"}`,
//! `{"from": 1024, "count": 1000, "step": 2, "order": "random"}`, or in short `"10.0.0.1-10.0.0.254"`
//! and `"1024+1000"`, as on the command line.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::template::Sequence;

/// A kind of field: how its values are written, and how many bits they have.
pub trait Kind {
    /// Name used in the schema and in messages.
    const NAME: &'static str;
    /// Width of a value in bits.
    const BITS: u32;
    /// Reads one value.
    fn parse(value: &Value) -> Option<u128>;
    /// An example for messages.
    const EXAMPLE: &'static str;
}

macro_rules! number_kind {
    ($(#[$doc:meta])* $kind:ident, $name:literal, $bits:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $kind;

        impl Kind for $kind {
            const NAME: &'static str = $name;
            const BITS: u32 = $bits;
            const EXAMPLE: &'static str = $example;

            fn parse(value: &Value) -> Option<u128> {
                value.as_u64().map(u128::from).filter(|v| v >> $bits == 0)
            }
        }
    };
}

number_kind!(
    /// A UDP or TCP port.
    Port, "port (0 to 65535)", 16, "4789"
);
number_kind!(
    /// A VLAN identifier.
    VlanId, "VLAN id (0 to 4095)", 12, "100"
);
number_kind!(
    /// A 16-bit number.
    Word, "number (0 to 65535)", 16, "1"
);
number_kind!(
    /// An IPv6 flow label.
    FlowLabel, "flow label (0 to 1048575)", 20, "0"
);
number_kind!(
    /// A 32-bit number.
    Long, "number (0 to 4294967295)", 32, "0"
);
number_kind!(
    /// An 8-bit number.
    Byte, "number (0 to 255)", 8, "64"
);

/// A MAC address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mac;

/// Reads `02:00:00:00:00:01` (or with dashes) as a 48-bit number.
pub fn parse_mac(text: &str) -> Option<u128> {
    let mut value = 0;
    let mut count = 0;
    for part in text.split([':', '-']) {
        if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        value = value << 8 | u128::from_str_radix(part, 16).ok()?;
        count += 1;
    }
    (count == 6).then_some(value)
}

impl Kind for Mac {
    const NAME: &'static str = "MAC address";
    const BITS: u32 = 48;
    const EXAMPLE: &'static str = "\"02:00:00:00:00:01\"";

    fn parse(value: &Value) -> Option<u128> {
        parse_mac(value.as_str()?)
    }
}

/// An IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct V4;

impl Kind for V4 {
    const NAME: &'static str = "IPv4 address";
    const BITS: u32 = 32;
    const EXAMPLE: &'static str = "\"198.18.0.1\"";

    fn parse(value: &Value) -> Option<u128> {
        let address: Ipv4Addr = value.as_str()?.parse().ok()?;
        Some(u128::from(u32::from(address)))
    }
}

/// An IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct V6;

impl Kind for V6 {
    const NAME: &'static str = "IPv6 address";
    const BITS: u32 = 128;
    const EXAMPLE: &'static str = "\"2001:2::1\"";

    fn parse(value: &Value) -> Option<u128> {
        let address: Ipv6Addr = value.as_str()?.parse().ok()?;
        Some(u128::from(address))
    }
}

/// Values of a field of kind `K`.
#[derive(Debug, Clone, PartialEq)]
pub struct Values<K> {
    /// The values themselves.
    pub sequence: Sequence,
    kind: PhantomData<K>,
}

impl<K: Kind> Values<K> {
    /// A single value.
    pub fn one(value: u128) -> Values<K> {
        Values {
            sequence: Sequence::One(value),
            kind: PhantomData,
        }
    }

    /// Reads the JSON form; the error says what was found and what is allowed.
    pub fn from_json(value: &Value) -> Result<Values<K>, String> {
        let sequence = match value {
            Value::Array(items) => {
                let values = items
                    .iter()
                    .map(parse::<K>)
                    .collect::<Result<Vec<_>, _>>()?;
                if values.is_empty() {
                    return Err(format!(
                        "an empty list of values; give at least one {}",
                        K::NAME
                    ));
                }
                Sequence::List {
                    values,
                    shuffled: false,
                }
            }
            Value::Object(_) => range::<K>(value)?,
            // The short form of the command line is welcome here too.
            Value::String(text) if K::parse(value).is_none() && text.contains(['-', '+', ',']) => {
                return Values::from_text(text);
            }
            one => Sequence::One(parse::<K>(one)?),
        };
        Ok(Values {
            sequence,
            kind: PhantomData,
        })
    }

    /// Reads the form used on the command line: a value, `FROM-TO`, `FROM+COUNT`, or a comma-separated list.
    pub fn from_text(text: &str) -> Result<Values<K>, String> {
        // Never a text with these separators again, so this does not go round and round.
        let scalar = |text: &str| match text.trim().parse::<u64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(text.trim()),
        };
        if text.contains(',') {
            return Values::from_json(&text.split(',').map(scalar).collect());
        }
        // A MAC address may itself be written with dashes.
        if K::parse(&scalar(text)).is_none() {
            if let Some((from, count)) = text.split_once('+') {
                let range = serde_json::json!({"from": scalar(from), "count": scalar(count)});
                return Values::from_json(&range);
            }
            if let Some((from, to)) = text.split_once('-') {
                let range = serde_json::json!({"from": scalar(from), "to": scalar(to)});
                return Values::from_json(&range);
            }
        }
        Values::from_json(&scalar(text))
    }
}

fn parse<K: Kind>(value: &Value) -> Result<u128, String> {
    K::parse(value).ok_or_else(|| {
        format!(
            "found {value}; expected {} {}, such as {}",
            if K::NAME.starts_with("IP") { "an" } else { "a" },
            K::NAME,
            K::EXAMPLE
        )
    })
}

/// Reads a range or an ordered list.
fn range<K: Kind>(value: &Value) -> Result<Sequence, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        from: Option<Value>,
        to: Option<Value>,
        count: Option<u64>,
        step: Option<u64>,
        list: Option<Vec<Value>>,
        #[serde(default)]
        order: Order,
    }
    let raw: Raw = Raw::deserialize(value).map_err(|error| error.to_string())?;
    let shuffled = raw.order == Order::Random;
    if let Some(items) = raw.list {
        if raw.from.is_some() || raw.to.is_some() || raw.count.is_some() || raw.step.is_some() {
            return Err("`list` stands alone or with `order`".into());
        }
        let values = items
            .iter()
            .map(parse::<K>)
            .collect::<Result<Vec<_>, _>>()?;
        if values.is_empty() {
            return Err(format!(
                "an empty list of values; give at least one {}",
                K::NAME
            ));
        }
        return Ok(Sequence::List { values, shuffled });
    }
    let Some(from) = raw.from else {
        return Err("a range needs `from`, and `to` or `count`".into());
    };
    let from = parse::<K>(&from)?;
    let step = u128::from(raw.step.unwrap_or(1));
    if step == 0 {
        return Err("`step` is at least 1".into());
    }
    let limit = if K::BITS == 128 {
        u128::MAX
    } else {
        (1 << K::BITS) - 1
    };
    let room = (limit - from) / step;
    let count = match (raw.to, raw.count) {
        (Some(to), None) => {
            let to = parse::<K>(&to)?;
            let Some(span) = to.checked_sub(from) else {
                return Err("`to` lies below `from`".into());
            };
            u64::try_from(span / step).unwrap_or(u64::MAX - 1) + 1
        }
        (None, Some(0)) => return Err("`count` is at least 1".into()),
        (None, Some(count)) if u128::from(count - 1) > room => {
            return Err(format!(
                "{count} values in steps of {step} run past the last {}; at most {} fit",
                K::NAME,
                room + 1
            ));
        }
        (None, Some(count)) => count,
        _ => return Err("a range needs exactly one of `to` and `count`".into()),
    };
    Ok(Sequence::Range {
        from,
        step,
        count,
        shuffled,
    })
}

/// In which order the values are visited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Upwards, or as listed.
    #[default]
    Increment,
    /// In a random order fixed by the seed; every value once before any comes again.
    Random,
}

impl<'de, K: Kind> Deserialize<'de> for Values<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Values::from_json(&value).map_err(D::Error::custom)
    }
}

impl<K: Kind> JsonSchema for Values<K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        K::NAME.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let scalar = json_schema!({
            "type": if K::parse(&Value::from(0u64)).is_some() { "integer" } else { "string" },
            "description": K::NAME
        });
        let order = generator.subschema_for::<Order>();
        json_schema!({
            "description": format!("{}: one, a list, or a range", K::NAME),
            "anyOf": [
                scalar,
                { "type": "array", "items": scalar, "minItems": 1 },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "from": scalar, "to": scalar, "count": { "type": "integer", "minimum": 1 },
                        "step": { "type": "integer", "minimum": 1 },
                        "list": { "type": "array", "items": scalar, "minItems": 1 },
                        "order": order
                    }
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn v4(value: Value) -> Result<Sequence, String> {
        Values::<V4>::from_json(&value).map(|v| v.sequence)
    }

    #[test]
    fn one_list_range() {
        assert_eq!(v4(json!("10.0.0.1")), Ok(Sequence::One(0x0a00_0001)));
        let list = Sequence::List {
            values: vec![0x0a00_0001, 0x0a00_0009],
            shuffled: false,
        };
        assert_eq!(v4(json!(["10.0.0.1", "10.0.0.9"])), Ok(list));
        let range = |count, step, shuffled| {
            Ok(Sequence::Range {
                from: 0x0a00_0001,
                step,
                count,
                shuffled,
            })
        };
        assert_eq!(
            v4(json!({"from": "10.0.0.1", "to": "10.0.0.254"})),
            range(254, 1, false)
        );
        let spec = json!({"from": "10.0.0.1", "count": 9, "step": 256, "order": "random"});
        assert_eq!(v4(spec), range(9, 256, true));
    }

    #[test]
    fn mistakes_are_named() {
        for (spec, expected) in [
            (json!("10.0.0"), "expected an IPv4 address"),
            (json!(7), "expected an IPv4 address"),
            (json!("10.0.0.1-nowhere"), "expected an IPv4 address"),
            (json!("1-2-3"), "expected an IPv4 address"),
            (json!([]), "empty list"),
            (json!({"from": "10.0.0.9", "to": "10.0.0.1"}), "below"),
            (json!({"from": "10.0.0.9"}), "exactly one of"),
            (json!({"to": "10.0.0.9"}), "needs `from`"),
            (json!({"from": "10.0.0.9", "count": 0}), "at least 1"),
            (
                json!({"from": "255.255.255.255", "count": 2}),
                "at most 1 fit",
            ),
            (
                json!({"from": "10.0.0.9", "count": 2, "stp": 1}),
                "unknown field `stp`",
            ),
            (
                json!({"from": "10.0.0.1", "count": 2, "step": 0}),
                "`step` is at least 1",
            ),
            (
                json!({"from": "10.0.0.1", "count": 2, "order": "up"}),
                "unknown variant `up`",
            ),
        ] {
            let error = v4(spec.clone()).unwrap_err();
            assert!(error.contains(expected), "{spec}: {error}");
        }
        assert!(Values::<Port>::from_json(&json!(65536)).is_err());
        assert!(Values::<VlanId>::from_json(&json!(4096)).is_err());
        assert!(Values::<Mac>::from_json(&json!("02:00:00:00:00")).is_err());
    }

    #[test]
    fn the_command_line_form() {
        let port = |text| Values::<Port>::from_text(text).map(|v| v.sequence);
        assert_eq!(port("53"), Ok(Sequence::One(53)));
        let range = Sequence::Range {
            from: 1024,
            step: 1,
            count: 1000,
            shuffled: false,
        };
        assert_eq!(port("1024-2023"), Ok(range.clone()));
        assert_eq!(port("1024+1000"), Ok(range));
        assert_eq!(
            port("1,2"),
            Ok(Sequence::List {
                values: vec![1, 2],
                shuffled: false
            })
        );
        assert!(port("70000").is_err());
        let mac = Values::<Mac>::from_text("02-00-00-00-00-01").unwrap();
        assert_eq!(mac.sequence, Sequence::One(0x0200_0000_0001));
        let v4 = Values::<V4>::from_text("10.0.0.1-10.0.1.0").unwrap();
        assert_eq!(v4.sequence.len(), 256);
    }
}
