//! A value against the schema of its type: every mistake, in words.

use super::*;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Lamp {
    #[schemars(length(min = 1, max = 8))]
    name: String,
    #[schemars(range(min = 1, max = 100))]
    #[serde(default)]
    watts: Option<u16>,
    #[serde(default)]
    colour: Colour,
    #[serde(default)]
    power: Option<Power>,
    #[serde(default)]
    when: Option<When>,
    #[serde(default)]
    share: Option<Share>,
    #[serde(default)]
    levels: Vec<u8>,
    #[serde(default)]
    labels: BTreeMap<String, u32>,
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    chance: f64,
}

#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Colour {
    /// With documentation, the generator writes another schema.
    #[default]
    White,
    /// Red.
    Red,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Power {
    Mains(Mains),
    Battery { cells: u8 },
    None,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Mains {
    volts: u32,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum When {
    Always,
    Never,
    After { seconds: u32 },
    Every(u32),
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Share {
    Number(u32),
    Name(String),
}

fn told(value: Value) -> String {
    let mut problems = Problems::new();
    let lamp = check_shape::<Lamp>(&value, &JsonPath::root(), &mut problems);
    assert_eq!(lamp.is_none(), problems.has_errors(), "{value} {problems}");
    problems.to_string()
}

#[test]
fn right_values_are_read() {
    for value in [
        json!({ "name": "a" }),
        json!({ "name": "a", "watts": null, "colour": "red", "levels": [1, 2], "chance": 1 }),
        json!({ "name": "a", "power": { "type": "mains", "volts": 230 }, "labels": { "x": 1 } }),
        json!({ "name": "a", "power": { "type": "battery", "cells": 3 }, "when": "never" }),
        json!({ "name": "a", "power": { "type": "none" }, "when": { "after": { "seconds": 3 } } }),
        json!({ "name": "a", "when": { "every": 3 }, "share": 3 }),
        json!({ "name": "a", "share": "all" }),
    ] {
        assert_eq!(told(value), "");
    }
}

#[test]
fn every_mistake_at_once() {
    let value = json!({
        "nmae": "a", "watts": 0, "colour": "rde", "power": { "type": "mains", "volt": 1 },
        "levels": [1, "2", 256], "labels": { "x": -1 }, "chance": 1.5,
    });
    let expected = r#"error at $.nmae
  unknown key
  found:   "nmae"
  allowed: the keys "name", "watts", "colour", "power", "when", "share", "levels", "labels", "chance"
  help:    did you mean "name"?

error at $.watts
  the number is too small
  found:   0
  allowed: a whole number from 1 to 100

error at $.colour
  unknown word
  found:   "rde"
  allowed: "white" or "red"
  help:    did you mean "red"?

error at $.power.volt
  unknown key
  found:   "volt"
  allowed: the keys "type", "volts"
  help:    did you mean "volts"?

error at $.power
  the key "volts" is missing
  allowed: a whole number from 0 to 4294967295

error at $.levels[1]
  this is not a whole number
  found:   "2"
  allowed: a whole number from 0 to 255

error at $.levels[2]
  the number is too large
  found:   256
  allowed: a whole number from 0 to 255

error at $.labels.x
  the number is too small
  found:   -1
  allowed: a whole number from 0 to 4294967295

error at $.chance
  the number is too large
  found:   1.5
  allowed: a number from 0 to 1

error at $
  the key "name" is missing
  allowed: a string of 1 to 8 characters"#;
    assert_eq!(told(value), expected);
}

#[track_caller]
fn one(key: &str, value: Value, expected: &str) {
    assert_eq!(told(json!({ "name": "a", key: value })), expected);
}

#[test]
fn a_choice_is_told_by_its_tag() {
    one(
        "power",
        json!({ "type": "main", "volts": "x" }),
        "error at $.power.type\n  unknown type\n  found:   \"main\"\n  \
         allowed: \"mains\", \"battery\" or \"none\"\n  help:    did you mean \"mains\"?",
    );
    one(
        "power",
        json!({ "typ": "mains", "volts": 1 }),
        "error at $.power\n  the key \"type\" is missing\n  found:   \"typ\"\n  \
         allowed: \"mains\", \"battery\" or \"none\"\n  help:    did you mean \"type\"?",
    );
    one(
        "power",
        json!({ "type": 3 }),
        "error at $.power.type\n  unknown type\n  found:   3\n  \
         allowed: \"mains\", \"battery\" or \"none\"",
    );
    one(
        "power",
        json!([]),
        "error at $.power\n  this is not an object\n  found:   an empty list\n  \
         allowed: an object whose \"type\" is \"mains\", \"battery\" or \"none\"",
    );
}

#[test]
fn a_choice_is_told_by_its_only_key() {
    one(
        "when",
        json!({ "aftr": { "seconds": 1 } }),
        "error at $.when\n  this must have exactly one key that says what it is\n  found:   the \
         keys \"aftr\"\n  allowed: one of the keys \"after\" or \"every\"\n  \
         help:    did you mean \"after\"?",
    );
    one(
        "when",
        json!({ "after": { "seconds": "1" } }),
        "error at $.when.after.seconds\n  this is not a whole number\n  found:   \"1\"\n  \
         allowed: a whole number from 0 to 4294967295",
    );
    one(
        "when",
        json!("nevr"),
        "error at $.when\n  unknown word\n  found:   \"nevr\"\n  allowed: \"always\" or \"never\"\n  help:    did you mean \"never\"?",
    );
}

#[test]
fn a_choice_is_told_by_its_type() {
    one(
        "share",
        json!(true),
        "error at $.share\n  this is not a whole number or a string\n  found:   true\n  \
         allowed: a whole number from 0 to 4294967295, or a string",
    );
}

#[test]
fn types_and_lengths() {
    one(
        "levels",
        json!("1"),
        "error at $.levels\n  this is not a list\n  found:   \"1\"\n  allowed: a list of elements, each a whole number from 0 to 255",
    );
    one(
        "watts",
        json!(1.0),
        "error at $.watts\n  this is not a whole number\n  found:   1.0\n  allowed: a whole number from 1 to 100",
    );
    one(
        "name",
        json!(""),
        "error at $.name\n  the text is empty\n  found:   \"\"\n  allowed: a string of 1 to 8 characters",
    );
    one(
        "name",
        json!("123456789"),
        "error at $.name\n  the text is too long\n  found:   \"123456789\"\n  allowed: a string of 1 to 8 characters",
    );
    assert_eq!(
        told(json!(5))
            .lines()
            .take(3)
            .collect::<Vec<_>>()
            .join("\n"),
        "error at $\n  this is not an object\n  found:   5"
    );
}

#[derive(Debug)]
struct Even;

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match u32::deserialize(d)? {
            n if n % 2 == 0 => Ok(Self),
            _ => Err(serde::de::Error::custom("the number is odd")),
        }
    }
}

impl JsonSchema for Even {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Even".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer" })
    }
}

#[test]
fn what_only_the_type_knows_is_told_with_its_path() {
    #[derive(Debug, Deserialize, JsonSchema)]
    struct Numbers {
        #[allow(dead_code)]
        even: Vec<Even>,
    }
    let mut problems = Problems::new();
    let path = JsonPath::root().key("config");
    assert!(check_shape::<Numbers>(&json!({ "even": [2, 3] }), &path, &mut problems).is_none());
    assert_eq!(
        problems.to_string(),
        "error at $.config.even[1]\n  the number is odd\n  found:   3"
    );
}

#[test]
fn what_is_usable_is_given_back() {
    let mut problems = Problems::new();
    let shape = Shape::of::<Lamp>();
    let value = json!({ "name": "a", "watts": "x", "nmae": 1, "levels": [1, "x", 2] });
    let usable = shape.check(&value, &JsonPath::root(), &mut problems);
    assert_eq!(usable, Some(json!({ "name": "a", "levels": [1, null, 2] })));
}

#[test]
fn the_same_twice_in_a_set() {
    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code)]
    struct Sets {
        set: std::collections::BTreeSet<String>,
    }
    let mut problems = Problems::new();
    let value = json!({ "set": ["a", "b", "a"] });
    assert!(check_shape::<Sets>(&value, &JsonPath::root(), &mut problems).is_none());
    assert_eq!(
        problems.to_string(),
        "error at $.set[2]\n  the same stands in this list twice\n  found:   \"a\"\n  \
         help:    it stands at $.set[0] already"
    );
}
