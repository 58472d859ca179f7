//! Where in a JSON document something stands, written as people write it: `$.ports[0].device.mac`.

use std::fmt;

/// A place in a JSON document. Displays as `$.ports[0].device.interface`; a key that is not a plain
/// name is quoted: `$.chain[1]["odd key"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Step {
    Key(String),
    Index(usize),
}

impl JsonPath {
    /// The whole document, `$`.
    pub fn root() -> Self {
        Self::default()
    }

    /// The member `key` of the object at this path.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// The element `index` (from 0) of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = Vec::with_capacity(self.0.len() + 1);
        steps.extend_from_slice(&self.0);
        steps.push(step);
        Self(steps)
    }

    /// What this place is in; nothing for the whole document.
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Self(rest.to_vec()))
    }

    /// True when `self` is `outer` or lies inside it.
    pub fn is_within(&self, outer: &JsonPath) -> bool {
        self.0.starts_with(&outer.0)
    }

    /// The value at this path, if the document has one.
    pub fn find<'a>(&self, document: &'a serde_json::Value) -> Option<&'a serde_json::Value> {
        self.0.iter().try_fold(document, |value, step| match step {
            Step::Key(key) => value.get(key.as_str()),
            Step::Index(index) => value.get(*index),
        })
    }

    /// The same place as seen from `outer`; `None` when it does not lie in there.
    pub(super) fn below(&self, outer: &JsonPath) -> Option<Self> {
        let rest = self.0.strip_prefix(outer.0.as_slice())?;
        Some(Self(rest.to_vec()))
    }

    /// The place in the whole document of this one, which counts from `outer`.
    pub(super) fn of(&self, outer: &JsonPath) -> Self {
        Self([outer.0.as_slice(), self.0.as_slice()].concat())
    }

    /// The number of the last step, where that is into a list.
    pub(super) fn last_index(&self) -> Option<usize> {
        match self.0.last() {
            Some(Step::Index(index)) => Some(*index),
            _ => None,
        }
    }

    /// Takes what stands here out of the document; in a list, the elements behind it move up.
    pub(super) fn take_out_of(&self, document: &mut serde_json::Value) {
        let Some((last, outer)) = self.0.split_last() else {
            return;
        };
        let holder = outer.iter().try_fold(document, |value, step| match step {
            Step::Key(key) => value.get_mut(key.as_str()),
            Step::Index(index) => value.get_mut(*index),
        });
        match (last, holder) {
            (Step::Key(key), Some(serde_json::Value::Object(members))) => {
                members.shift_remove(key);
            }
            (Step::Index(index), Some(serde_json::Value::Array(items))) if *index < items.len() => {
                items.remove(*index);
            }
            _ => {}
        }
    }

    /// The place in the document as numbers, one for each step, which sort as the document reads.
    /// What does not stand there comes last in what it would stand in.
    pub(super) fn order_in(&self, document: &serde_json::Value) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.0.len());
        let mut value = Some(document);
        for step in &self.0 {
            let (number, next) = match (step, value) {
                (Step::Key(key), Some(serde_json::Value::Object(members))) => {
                    let number = members.keys().position(|other| other == key);
                    (number, members.get(key.as_str()))
                }
                (Step::Index(index), Some(value)) => (Some(*index), value.get(*index)),
                _ => (None, None),
            };
            order.push(number.unwrap_or(usize::MAX));
            value = next;
        }
        order
    }

    /// The last key on the way, for messages: `interface` of `$.ports[0].device.interface`.
    pub fn last_key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
    }
}

/// True for a key that can follow a dot without quotes.
fn is_plain(key: &str) -> bool {
    let mut characters = key.chars();
    characters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '$')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.0 {
            match step {
                Step::Key(key) if is_plain(key) => write!(f, ".{key}")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl serde::Serialize for JsonPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn displays_as_people_write_it() {
        let path = JsonPath::root()
            .key("ports")
            .index(0)
            .key("device")
            .key("interface");
        assert_eq!(path.to_string(), "$.ports[0].device.interface");
        assert_eq!(JsonPath::root().to_string(), "$");
        assert_eq!(
            JsonPath::root().key("odd key").to_string(),
            "$[\"odd key\"]"
        );
        assert_eq!(JsonPath::root().key("").to_string(), "$[\"\"]");
        assert_eq!(JsonPath::root().key("$schema").to_string(), "$.$schema");
    }

    #[test]
    fn finds_the_value() {
        let document = json!({ "ports": [{ "name": "a" }] });
        let path = JsonPath::root().key("ports").index(0).key("name");
        assert_eq!(path.find(&document), Some(&json!("a")));
        assert_eq!(JsonPath::root().key("ports").index(1).find(&document), None);
        assert_eq!(path.last_key(), Some("name"));
        assert_eq!(
            JsonPath::root().key("ports").index(1).last_key(),
            Some("ports")
        );
    }

    #[test]
    fn sorts_as_the_document_reads() {
        let document = json!({ "b": [1, 2], "a": { "x": 1 } });
        let root = JsonPath::root();
        let mut paths = [
            root.key("a").key("y"),
            root.key("a").key("x"),
            root.key("c"),
            root.key("b").index(1),
            root.key("a"),
            root.key("b").index(0),
            root.clone(),
        ];
        paths.sort_by_cached_key(|path| path.order_in(&document));
        let sorted: Vec<String> = paths.iter().map(JsonPath::to_string).collect();
        assert_eq!(
            sorted,
            ["$", "$.b[0]", "$.b[1]", "$.a", "$.a.x", "$.a.y", "$.c"]
        );
    }

    #[test]
    fn knows_what_it_lies_within() {
        let port = JsonPath::root().key("ports").index(1);
        assert!(port.key("mtu").is_within(&port));
        assert!(port.is_within(&port));
        assert!(!JsonPath::root().key("ports").index(10).is_within(&port));
    }
}
