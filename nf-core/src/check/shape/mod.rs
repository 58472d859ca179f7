//! Does a JSON value have the shape that a JSON schema asks for? All mistakes at once, in words.
//!
//! Reads the part of JSON Schema (2020-12) that `schemars` generates from Rust types. Where a
//! schema offers a choice, the value's tag, its one key or its type says which branch was meant,
//! and only that branch is checked: nobody is ever told that something "matches none of" a list.

mod choice;
mod meaning;
mod words;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use self::choice::Choice;
use self::words::{Bounds, Kind};
use super::{Format, JsonPath, Problem, Problems, closest, describe, list};

/// Reads `value` as a `T`. Every way in which it does not have the shape of a `T` is added to
/// `problems`, with its path below `path`; then the answer is `None`.
pub fn check_shape<T: DeserializeOwned + JsonSchema>(
    value: &Value,
    path: &JsonPath,
    problems: &mut Problems,
) -> Option<T> {
    let (errors, before) = (problems.errors(), problems.len());
    Shape::of::<T>().check(value, path, problems);
    let known = problems.iter().skip(before);
    let known = known
        .filter_map(|problem| problem.path.below(path))
        .collect();
    // What a type checks beyond its schema shows itself here.
    let read = meaning::read(value, path, known, problems);
    read.filter(|_| problems.errors() == errors)
}

/// A JSON schema, ready to check values with.
#[derive(Clone, Debug)]
pub struct Shape {
    root: Value,
}

impl Shape {
    /// The shape of a Rust type, as serde reads it.
    pub fn of<T: JsonSchema>() -> Self {
        Self::from_schema(schemars::schema_for!(T).to_value())
    }

    /// The shape that this schema describes; its references point into itself.
    pub fn from_schema(root: Value) -> Self {
        Self { root }
    }

    /// Gives the schema at this pointer (RFC 6901) other words for what it allows.
    #[must_use]
    pub fn with_words(mut self, pointer: &str, words: String) -> Self {
        if let Some(Value::Object(schema)) = self.root.pointer_mut(pointer) {
            schema.insert(words::OWN_WORDS.to_owned(), words.into());
        }
        self
    }

    /// The schema.
    pub fn schema(&self) -> &Value {
        &self.root
    }

    /// What the whole value may be, in words.
    pub fn allowed(&self) -> String {
        self.words(&self.root)
    }

    /// What the value under `schema`, a part of this one, may be, in words.
    pub fn allowed_by(&self, schema: &Value) -> String {
        self.words(schema)
    }

    /// Adds every mistake in `value` to `problems`. Gives back what is usable of it: unknown keys
    /// and members with mistakes are left out, unusable elements of lists are null.
    pub fn check(&self, value: &Value, path: &JsonPath, problems: &mut Problems) -> Option<Value> {
        Walk {
            shape: self,
            problems,
        }
        .value(&self.root, value, path)
    }

    /// Follows references until there is none. A reference that leads nowhere allows everything.
    pub(crate) fn resolve<'a>(&'a self, mut schema: &'a Value) -> &'a Value {
        /// More than any schema of ours has; ends a circle.
        const MOST: usize = 32;
        for _ in 0..MOST {
            let Some(target) = schema.get("$ref").and_then(Value::as_str) else {
                return schema;
            };
            let Some(pointer) = target.strip_prefix('#') else {
                return &Value::Bool(true);
            };
            let Some(next) = self.root.pointer(pointer) else {
                return &Value::Bool(true);
            };
            schema = next;
        }
        &Value::Bool(true)
    }
}

/// The members an object may have, put together from all parts of its schema.
#[derive(Default)]
struct Members<'a> {
    known: Vec<(&'a str, &'a Value)>,
    required: Vec<&'a str>,
    /// Other keys are mistakes.
    closed: bool,
    /// The schema of other keys' values.
    others: Option<&'a Value>,
}

/// A value for a message, unless it is a secret.
fn shown(schema: &Value, value: &Value) -> String {
    if schema.get("writeOnly").and_then(Value::as_bool) == Some(true) {
        return "a secret, not shown here".to_owned();
    }
    describe(value)
}

/// One check of one value.
struct Walk<'a, 'p> {
    shape: &'a Shape,
    problems: &'p mut Problems,
}

impl<'a> Walk<'a, '_> {
    fn value(&mut self, schema: &'a Value, value: &Value, path: &JsonPath) -> Option<Value> {
        let schema = self.shape.resolve(schema);
        if schema == &Value::Bool(false) {
            self.problems
                .error(path, "nothing may stand here")
                .found_value(value);
            return None;
        }
        if let Some(branches) = choice::branches(schema) {
            return self.choice(schema, branches, value, path);
        }
        if let Some(words) = self.shape.fixed_values(schema) {
            if words.contains(&value) {
                return Some(value.clone());
            }
            self.unknown_value(&words, value, path);
            return None;
        }
        let kind = Kind::of(value);
        let kinds = Kind::allowed(schema);
        if !kinds.is_empty() && !kinds.iter().any(|allowed| allowed.admits(kind)) {
            self.wrong_kind(schema, value, path);
            return None;
        }
        match value {
            Value::Number(_) => self.number(schema, value, path),
            Value::String(text) => self.text(schema, text, path),
            Value::Array(items) => self.list(schema, items, path),
            Value::Object(members) => self.object(schema, members, path),
            Value::Null | Value::Bool(_) => Some(value.clone()),
        }
    }

    /// An error at `path` that says what is allowed by `schema`.
    fn refuse(
        &mut self,
        schema: &'a Value,
        path: &JsonPath,
        message: impl Into<String>,
    ) -> &mut Problem {
        let allowed = self.shape.words(schema);
        self.problems.error(path, message).allowed(allowed)
    }

    fn wrong_kind(&mut self, schema: &'a Value, value: &Value, path: &JsonPath) {
        let message = format!("this is not {}", words::kind_words(self.shape, schema));
        let found = shown(schema, value);
        self.refuse(schema, path, message).found(found);
    }

    fn unknown_value(&mut self, words: &[&Value], value: &Value, path: &JsonPath) {
        let texts: Vec<&str> = words.iter().filter_map(|word| word.as_str()).collect();
        let problem = match value {
            Value::String(_) => self.problems.error(path, "unknown word"),
            _ if texts.len() == words.len() => self
                .problems
                .error(path, "this is not one of the words that may stand here"),
            _ => self
                .problems
                .error(path, "this is not one of the values that may stand here"),
        };
        problem.found_value(value).allowed(words::values(words));
        if let Some(near) = value.as_str().and_then(|text| closest(text, texts)) {
            problem.help(format_args!("did you mean {near:?}?"));
        }
    }

    fn number(&mut self, schema: &'a Value, value: &Value, path: &JsonPath) -> Option<Value> {
        if let Some(message) = Bounds::of_number(schema).objection(value) {
            self.refuse(schema, path, message).found_value(value);
            return None;
        }
        let step = schema.get("multipleOf").and_then(Value::as_f64);
        if let (Some(step), Some(number)) = (step, value.as_f64())
            && number % step != 0.0
        {
            self.refuse(
                schema,
                path,
                format!("the number is not a multiple of {step}"),
            )
            .found_value(value);
            return None;
        }
        Some(value.clone())
    }

    fn text(&mut self, schema: &'a Value, text: &str, path: &JsonPath) -> Option<Value> {
        let value = Value::from(text);
        let format = schema
            .get("format")
            .and_then(Value::as_str)
            .and_then(Format::from_name);
        if let Some(format) = format
            && let Err(message) = format.check(text)
        {
            self.problems
                .error(path, message)
                .found_value(&value)
                .allowed(format.allowed());
            return None;
        }
        let (least, most) = words::limits(schema, "minLength", "maxLength");
        let length = text.chars().count() as u64;
        let message = if length < least && length == 0 {
            "the text is empty"
        } else if length < least {
            "the text is too short"
        } else if most.is_some_and(|most| length > most) {
            "the text is too long"
        } else {
            return Some(value);
        };
        self.refuse(schema, path, message)
            .found(shown(schema, &value));
        None
    }

    fn list(&mut self, schema: &'a Value, items: &[Value], path: &JsonPath) -> Option<Value> {
        let (least, most) = words::limits(schema, "minItems", "maxItems");
        let length = items.len() as u64;
        let message = if length < least && length == 0 {
            Some("the list is empty")
        } else if length < least {
            Some("the list is too short")
        } else if most.is_some_and(|most| length > most) {
            Some("the list is too long")
        } else {
            None
        };
        if let Some(message) = message {
            let found = match length {
                0 => "an empty list".to_owned(),
                1 => "1 element".to_owned(),
                n => format!("{n} elements"),
            };
            self.refuse(schema, path, message).found(found);
        }
        let places = schema.get("prefixItems").and_then(Value::as_array);
        let each = schema.get("items").filter(|items| items.is_object());
        // What is beyond the longest list allowed is not looked at: it has been refused as a whole.
        let looked_at = usize::try_from(most.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let cleaned = items
            .iter()
            .take(looked_at)
            .enumerate()
            .map(
                |(index, item)| match places.and_then(|places| places.get(index)).or(each) {
                    Some(schema) => self
                        .value(schema, item, &path.index(index))
                        .unwrap_or(Value::Null),
                    None => item.clone(),
                },
            );
        let cleaned: Vec<Value> = cleaned.collect();
        if schema.get("uniqueItems").and_then(Value::as_bool) == Some(true) {
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            for (index, item) in items.iter().enumerate() {
                let first = *seen.entry(item.to_string()).or_insert(index);
                if first != index {
                    self.problems
                        .error(&path.index(index), "the same stands in this list twice")
                        .found_value(item)
                        .help(format_args!("it stands at {} already", path.index(first)));
                }
            }
        }
        Some(Value::Array(cleaned))
    }

    fn object(
        &mut self,
        schema: &'a Value,
        object: &Map<String, Value>,
        path: &JsonPath,
    ) -> Option<Value> {
        let mut members = Members::default();
        if !self.collect(schema, object, path, &mut members) {
            return None;
        }
        let mut cleaned = Map::new();
        for (key, value) in object {
            let place = path.key(key);
            let known = members
                .known
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, s)| *s);
            match known.or(members.others) {
                Some(schema) => {
                    if let Some(value) = self.value(schema, value, &place) {
                        cleaned.insert(key.clone(), value);
                    }
                }
                None if members.closed => self.unknown_key(key, object, &members, &place),
                None => {
                    cleaned.insert(key.clone(), value.clone());
                }
            }
        }
        for key in &members.required {
            if !object.contains_key(*key) {
                let problem = format!("the key {key:?} is missing");
                let schema = members.known.iter().find(|(name, _)| name == key);
                match schema {
                    Some((_, schema)) => self.refuse(schema, path, problem),
                    None => self.problems.error(path, problem),
                };
            }
        }
        Some(Value::Object(cleaned))
    }

    fn unknown_key(
        &mut self,
        key: &str,
        object: &Map<String, Value>,
        members: &Members<'_>,
        place: &JsonPath,
    ) {
        let names: Vec<&str> = members.known.iter().map(|(name, _)| *name).collect();
        let problem = self.problems.error(place, "unknown key");
        problem.found(format_args!("{key:?}"));
        match names.as_slice() {
            [] => problem.allowed("no keys at all"),
            [only] => problem.allowed(format_args!("the key {only:?}")),
            _ => problem.allowed(format_args!("the keys {}", words::keys(&names))),
        };
        // A key that is there already was not meant.
        let absent = names
            .iter()
            .copied()
            .filter(|name| !object.contains_key(*name));
        if let Some(near) = closest(key, absent) {
            problem.help(format_args!("did you mean {near:?}?"));
        }
    }

    /// Gathers what `schema`, with everything it is put together from, says of an object's
    /// members. False when the object does not say which kind of object it is; that is told.
    fn collect(
        &mut self,
        schema: &'a Value,
        object: &Map<String, Value>,
        path: &JsonPath,
        members: &mut Members<'a>,
    ) -> bool {
        let schema = self.shape.resolve(schema);
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            members
                .known
                .extend(properties.iter().map(|(name, s)| (name.as_str(), s)));
        }
        if let Some(required) = schema.get("required").and_then(Value::as_array) {
            members
                .required
                .extend(required.iter().filter_map(Value::as_str));
        }
        for keyword in ["additionalProperties", "unevaluatedProperties"] {
            match schema.get(keyword) {
                Some(Value::Bool(false)) => members.closed = true,
                Some(others @ Value::Object(_)) => members.others = Some(others),
                _ => {}
            }
        }
        let mut known = true;
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            for part in parts {
                known &= self.collect(part, object, path, members);
            }
        }
        if let Some(branches) = choice::alternatives(schema) {
            match choice::choose_object(self.shape, branches, object) {
                Choice::Branch(branch) => known &= self.collect(branch, object, path, members),
                Choice::Refused(refusal) => {
                    refusal.tell(path, object, self.problems);
                    known = false;
                }
                Choice::Any | Choice::Kind => {}
            }
        }
        known
    }

    fn choice(
        &mut self,
        schema: &'a Value,
        branches: &'a [Value],
        value: &Value,
        path: &JsonPath,
    ) -> Option<Value> {
        match choice::choose(self.shape, branches, value) {
            Choice::Branch(branch) => self.value(branch, value, path),
            Choice::Refused(refusal) => {
                if let Value::Object(object) = value {
                    refusal.tell(path, object, self.problems);
                }
                None
            }
            Choice::Kind => {
                match self.shape.fixed_values(schema) {
                    Some(words) => self.unknown_value(&words, value, path),
                    None => self.wrong_kind(schema, value, path),
                }
                None
            }
            // Nothing tells the branches apart: tell what is wrong by the one that fits best.
            Choice::Any => {
                let mut best: Option<(Option<Value>, Problems)> = None;
                for branch in branches {
                    let mut problems = Problems::new();
                    let read = Walk {
                        shape: self.shape,
                        problems: &mut problems,
                    }
                    .value(branch, value, path);
                    if best
                        .as_ref()
                        .is_none_or(|(_, fewest)| problems.len() < fewest.len())
                    {
                        best = Some((read, problems));
                    }
                }
                let (read, problems) = best?;
                self.problems.append(problems);
                read
            }
        }
    }
}

#[cfg(test)]
mod tests;
