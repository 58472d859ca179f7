//! What a type checks beyond its schema: the form of an address, a range's order.
//!
//! Deserialising ends at the first mistake. So what is known to be wrong is taken out, and the rest is read
//! again, until nothing new is found; what is wrong only because something was taken out is not told.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::check::{JsonPath, Problems, describe};

/// How often a value is read at the most.
const READINGS: usize = 100;

/// Reads `value` as a `T`. What is wrong besides the places `known`, which count from `value`, is added to
/// `problems`, with its path below `path`. `None` if anything is wrong.
pub(super) fn read<T: DeserializeOwned>(
    value: &Value,
    path: &JsonPath,
    mut known: Vec<JsonPath>,
    problems: &mut Problems,
) -> Option<T> {
    let mut error = match serde_path_to_error::deserialize::<_, T>(value) {
        Ok(read) => return Some(read),
        Err(error) => error,
    };
    let mut rest = Rest {
        value: value.clone(),
        gone: HashMap::new(),
    };
    for _ in 0..READINGS {
        let (here, place) = rest.place(error.path());
        // A known mistake in here, or what was taken out of it, explains this one.
        if !known.iter().any(|known| known.is_within(&place)) {
            let problem = problems.error(&place.of(path), error.inner().to_string());
            problem.found = place.find(value).map(describe);
            known.push(place.clone());
        }
        if place.parent().is_none() {
            break;
        }
        rest.take_out(&here, &place);
        error = match serde_path_to_error::deserialize::<_, T>(&rest.value) {
            Ok(_) => break,
            Err(error) => error,
        };
    }
    None
}

/// A document from which places were taken out.
struct Rest {
    value: Value,
    /// By list: the elements taken out, by their numbers in the whole document, in order.
    gone: HashMap<JsonPath, Vec<usize>>,
}

impl Rest {
    /// A place in here, and the same place in the whole document.
    fn place(&self, path: &serde_path_to_error::Path) -> (JsonPath, JsonPath) {
        let (mut here, mut whole) = (JsonPath::root(), JsonPath::root());
        for segment in path {
            match segment {
                Segment::Seq { index } => {
                    let gone = self.gone.get(&whole).map_or(&[][..], Vec::as_slice);
                    let number = gone
                        .iter()
                        .fold(*index, |number, gone| number + usize::from(*gone <= number));
                    (here, whole) = (here.index(*index), whole.index(number));
                }
                Segment::Map { key } => (here, whole) = (here.key(key), whole.key(key)),
                // A variant is a key only where its content stands below its name.
                Segment::Enum { variant } if here.key(variant).find(&self.value).is_some() => {
                    (here, whole) = (here.key(variant), whole.key(variant));
                }
                _ => {}
            }
        }
        (here, whole)
    }

    fn take_out(&mut self, here: &JsonPath, whole: &JsonPath) {
        if let (Some(list), Some(number)) = (whole.parent(), whole.last_index()) {
            let gone = self.gone.entry(list).or_default();
            gone.insert(gone.partition_point(|other| *other < number), number);
        }
        here.take_out_of(&mut self.value);
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::json;

    use crate::check::{JsonPath, Problems, check_shape};
    use crate::wire::Prefix;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only read")]
    struct Rule {
        action: bool,
        #[schemars(with = "Option<String>")]
        prefix: Option<Prefix>,
        #[schemars(with = "Vec<String>")]
        #[serde(default)]
        more: Vec<Prefix>,
    }

    fn places(value: serde_json::Value) -> Vec<String> {
        let mut problems = Problems::new();
        let path = JsonPath::root().key("rules");
        assert!(check_shape::<Vec<Rule>>(&value, &path, &mut problems).is_none());
        problems.sort(&json!({ "rules": value }));
        problems
            .iter()
            .map(|problem| problem.path.to_string())
            .collect()
    }

    #[test]
    fn every_mistake_beyond_the_schema_is_told() {
        let rules = json!([
            { "action": true, "prefix": "10.0.0.0/33" },
            { "action": true, "prefix": "10.0.0.0/8", "more": ["x", "::/0", "y"] },
            { "action": true, "prefix": "z" },
        ]);
        let expected = [
            "$.rules[0].prefix",
            "$.rules[1].more[0]",
            "$.rules[1].more[2]",
            "$.rules[2].prefix",
        ];
        assert_eq!(places(rules), expected);
    }

    #[test]
    fn also_beside_mistakes_that_the_schema_shows() {
        let rules = json!([
            { "action": 1, "prefix": "a" },
            { "prefix": "b" },
            { "action": true, "prefix": "c" },
        ]);
        let expected = [
            "$.rules[0].action",
            "$.rules[0].prefix",
            "$.rules[1]",
            "$.rules[1].prefix",
            "$.rules[2].prefix",
        ];
        assert_eq!(places(rules), expected);
    }
}
