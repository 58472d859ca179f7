//! Which branch of a choice (`oneOf`, `anyOf`) a value was meant to be.

use serde_json::{Map, Value};

use super::words::Kind;
use super::{JsonPath, Problems, Shape, closest, describe, list};

/// What a choice comes to for one value.
pub(super) enum Choice<'a> {
    /// This branch was meant.
    Branch(&'a Value),
    /// It is an object that does not say, or says wrongly, which of the branches it is.
    Refused(Refusal<'a>),
    /// No branch takes values of this type (or, among fixed values, this value).
    Kind,
    /// Several branches take values of this type and nothing tells them apart.
    Any,
}

/// An object that fits none of the branches, by its tag.
pub(super) enum Refusal<'a> {
    /// It has no tag.
    NoTag { tag: &'a str, words: Vec<&'a str> },
    /// It has a tag that no branch has.
    UnknownTag { tag: &'a str, words: Vec<&'a str> },
    /// It has not exactly one of these keys.
    NotOneKey { keys: Vec<&'a str> },
}

impl Refusal<'_> {
    pub(super) fn tell(
        &self,
        path: &JsonPath,
        object: &Map<String, Value>,
        problems: &mut Problems,
    ) {
        match self {
            Self::NoTag { tag, words } => {
                let problem = problems.error(path, format!("the key {tag:?} is missing"));
                problem.allowed(list(words.iter().copied()));
                // "kind": "tap" is a mistake in the key.
                if let Some((key, _)) = object
                    .iter()
                    .find(|(_, value)| value.as_str().is_some_and(|text| words.contains(&text)))
                {
                    problem
                        .found(format_args!("{key:?}"))
                        .help(format_args!("did you mean {tag:?}?"));
                }
            }
            Self::UnknownTag { tag, words } => {
                let value = object.get(*tag).unwrap_or(&Value::Null);
                let problem = problems.error(&path.key(tag), format!("unknown {tag}"));
                problem
                    .found(describe(value))
                    .allowed(list(words.iter().copied()));
                if let Some(near) = value
                    .as_str()
                    .and_then(|v| closest(v, words.iter().copied()))
                {
                    problem.help(format_args!("did you mean {near:?}?"));
                }
            }
            Self::NotOneKey { keys } => {
                let problem =
                    problems.error(path, "this must have exactly one key that says what it is");
                let found: Vec<&str> = object.keys().map(String::as_str).collect();
                match found.as_slice() {
                    [] => problem.found("an empty object"),
                    _ => problem.found(format_args!(
                        "the keys {}",
                        list(found.iter().copied().take(8))
                    )),
                };
                problem.allowed(format_args!(
                    "one of the keys {}",
                    list(keys.iter().copied())
                ));
                if let [only] = found.as_slice()
                    && let Some(near) = closest(only, keys.iter().copied())
                {
                    problem.help(format_args!("did you mean {near:?}?"));
                }
            }
        }
    }
}

/// The branches of a schema that is nothing but a choice.
pub(super) fn branches(schema: &Value) -> Option<&[Value]> {
    let has_own_members = schema.get("properties").is_some() || schema.get("allOf").is_some();
    if has_own_members {
        None
    } else {
        alternatives(schema)
    }
}

/// The branches of a choice.
pub(super) fn alternatives(schema: &Value) -> Option<&[Value]> {
    let branches = schema
        .get("oneOf")
        .or_else(|| schema.get("anyOf"))?
        .as_array()?;
    Some(branches)
}

/// The branches that describe objects.
pub(super) fn objects<'a>(shape: &'a Shape, branches: &'a [Value]) -> Vec<&'a Value> {
    branches
        .iter()
        .filter(|branch| takes(shape, branch, Kind::Object))
        .collect()
}

/// What tells these kinds of objects apart, in words.
pub(super) fn object_words(shape: &Shape, branches: &[&Value]) -> Option<String> {
    if let Some(tag) = common_tag(shape, branches) {
        let words = list(
            branches
                .iter()
                .filter_map(|branch| tag_word(shape, branch, tag)),
        );
        return Some(format!("an object whose {tag:?} is {words}"));
    }
    let keys: Option<Vec<&str>> = branches
        .iter()
        .map(|branch| only_key(shape, branch))
        .collect();
    Some(format!("an object with one of the keys {}", list(keys?)))
}

/// Chooses by the value's type, then by what tells the remaining branches apart.
pub(super) fn choose<'a>(shape: &'a Shape, branches: &'a [Value], value: &Value) -> Choice<'a> {
    let kind = Kind::of(value);
    let fitting: Vec<&Value> = branches
        .iter()
        .filter(|branch| takes(shape, branch, kind))
        .collect();
    match (fitting.as_slice(), value) {
        ([], _) => {
            // Only null and one other: say what is wrong with it as that other.
            let mut others = branches.iter().filter(|b| !takes_only_null(shape, b));
            match (others.next(), others.next()) {
                (Some(only), None) => Choice::Branch(only),
                _ => Choice::Kind,
            }
        }
        ([only], _) => Choice::Branch(only),
        (several, Value::Object(object)) => choose_among(shape, several, object),
        (several, _) => {
            let fixed = |branch: &&&Value| {
                shape
                    .fixed_values(branch)
                    .is_some_and(|values| values.contains(&value))
            };
            match several.iter().find(fixed) {
                Some(branch) => Choice::Branch(branch),
                None if several.iter().all(|b| shape.fixed_values(b).is_some()) => Choice::Kind,
                None => Choice::Any,
            }
        }
    }
}

/// Chooses among the branches that describe objects.
pub(super) fn choose_object<'a>(
    shape: &'a Shape,
    branches: &'a [Value],
    object: &Map<String, Value>,
) -> Choice<'a> {
    let fitting: Vec<&Value> = branches
        .iter()
        .filter(|branch| takes(shape, branch, Kind::Object))
        .collect();
    match fitting.as_slice() {
        [] => Choice::Kind,
        [only] => Choice::Branch(only),
        several => choose_among(shape, several, object),
    }
}

fn choose_among<'a>(
    shape: &'a Shape,
    branches: &[&'a Value],
    object: &Map<String, Value>,
) -> Choice<'a> {
    if let Some(tag) = common_tag(shape, branches) {
        let words: Vec<&str> = branches
            .iter()
            .filter_map(|branch| tag_word(shape, branch, tag))
            .collect();
        return match object.get(tag) {
            None => Choice::Refused(Refusal::NoTag { tag, words }),
            Some(value) => {
                let meant = branches
                    .iter()
                    .find(|branch| tag_word(shape, branch, tag) == value.as_str());
                match meant {
                    Some(branch) if value.is_string() => Choice::Branch(branch),
                    _ => Choice::Refused(Refusal::UnknownTag { tag, words }),
                }
            }
        };
    }
    let keys: Option<Vec<&str>> = branches
        .iter()
        .map(|branch| only_key(shape, branch))
        .collect();
    if let Some(keys) = keys {
        let mut meant = branches
            .iter()
            .zip(&keys)
            .filter(|(_, key)| object.contains_key(**key));
        return match (meant.next(), meant.next()) {
            (Some((branch, _)), None) => Choice::Branch(branch),
            _ => Choice::Refused(Refusal::NotOneKey { keys }),
        };
    }
    Choice::Any
}

/// The key whose fixed word differs from branch to branch.
fn common_tag<'a>(shape: &'a Shape, branches: &[&'a Value]) -> Option<&'a str> {
    let first = shape.resolve(branches.first()?);
    let properties = first.get("properties")?.as_object()?;
    properties
        .keys()
        .find(|key| {
            branches
                .iter()
                .all(|branch| tag_word(shape, branch, key).is_some())
        })
        .map(String::as_str)
}

fn tag_word<'a>(shape: &'a Shape, branch: &'a Value, tag: &str) -> Option<&'a str> {
    shape
        .resolve(branch)
        .get("properties")?
        .get(tag)?
        .get("const")?
        .as_str()
}

/// The key of a branch that is an object of exactly one key (serde's externally tagged enums).
fn only_key<'a>(shape: &'a Shape, branch: &'a Value) -> Option<&'a str> {
    let branch = shape.resolve(branch);
    let mut keys = branch.get("properties")?.as_object()?.keys();
    let closed = branch.get("additionalProperties").and_then(Value::as_bool) == Some(false);
    match (keys.next(), keys.next()) {
        (Some(key), None) if closed => Some(key),
        _ => None,
    }
}

fn takes(shape: &Shape, branch: &Value, kind: Kind) -> bool {
    let branch = shape.resolve(branch);
    if let Some(inner) = branches(branch) {
        return inner.iter().any(|branch| takes(shape, branch, kind));
    }
    let kinds = Kind::allowed(branch);
    kinds.is_empty() || kinds.iter().any(|allowed| allowed.admits(kind))
}

fn takes_only_null(shape: &Shape, branch: &Value) -> bool {
    shape.resolve(branch).get("type").and_then(Value::as_str) == Some("null")
}
