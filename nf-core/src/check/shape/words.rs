//! What a schema allows, in words.

use serde_json::Value;

use super::{Format, Shape, choice, describe};

/// The keyword of a schema that knows better words for what it allows.
pub(super) const OWN_WORDS: &str = "x-allowed";

/// The types of JSON, with whole numbers told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    List,
    Object,
}

impl Kind {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_f64() => Self::Number,
            Value::Number(_) => Self::Integer,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Object,
        }
    }

    /// The types that a schema allows; none means all. A schema of fixed values allows theirs.
    pub(super) fn allowed(schema: &Value) -> Vec<Self> {
        let named = |name: &Value| {
            Some(match name.as_str()? {
                "null" => Self::Null,
                "boolean" => Self::Boolean,
                "integer" => Self::Integer,
                "number" => Self::Number,
                "string" => Self::Text,
                "array" => Self::List,
                "object" => Self::Object,
                _ => return None,
            })
        };
        match schema.get("type") {
            Some(Value::Array(names)) => names.iter().filter_map(named).collect(),
            Some(name) => named(name).into_iter().collect(),
            None => match (schema.get("const"), schema.get("enum")) {
                (Some(value), _) => vec![Self::of(value)],
                (None, Some(Value::Array(values))) => values.iter().map(Self::of).collect(),
                _ => Vec::new(),
            },
        }
    }

    pub(super) fn admits(self, kind: Self) -> bool {
        self == kind || (self == Self::Number && kind == Self::Integer)
    }

    fn words(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// The types a schema allows, in words; null only where nothing else is.
pub(super) fn kind_words(shape: &Shape, schema: &Value) -> String {
    let mut kinds = Vec::new();
    gather_kinds(shape, schema, &mut kinds);
    if kinds.len() > 1 {
        kinds.retain(|kind| *kind != Kind::Null);
    }
    let words: Vec<&str> = kinds.into_iter().map(Kind::words).collect();
    words.join(" or ")
}

fn gather_kinds(shape: &Shape, schema: &Value, kinds: &mut Vec<Kind>) {
    let schema = shape.resolve(schema);
    match choice::branches(schema) {
        Some(branches) => branches
            .iter()
            .for_each(|branch| gather_kinds(shape, branch, kinds)),
        None => {
            for kind in Kind::allowed(schema) {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
        }
    }
}

/// Fixed values for a message: `"a", "b" or 3`.
pub(super) fn values(values: &[&Value]) -> String {
    let texts: Vec<String> = values
        .iter()
        .filter(|value| !value.is_null())
        .map(|value| describe(value))
        .collect();
    match texts.as_slice() {
        [] => "null".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Keys for a message: `"a", "b", "c"`.
pub(super) fn keys(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    quoted.join(", ")
}

/// The two limits of a length, by their keywords.
pub(super) fn limits(schema: &Value, least: &str, most: &str) -> (u64, Option<u64>) {
    let limit = |keyword| schema.get(keyword).and_then(Value::as_u64);
    (limit(least).unwrap_or(0), limit(most))
}

/// A limit of a number, and whether the limit itself is outside.
#[derive(Clone, Copy)]
struct Limit {
    at: f64,
    excluded: bool,
}

/// The limits of a number.
pub(super) struct Bounds {
    least: Option<Limit>,
    most: Option<Limit>,
    whole: bool,
}

impl Bounds {
    pub(super) fn of_number(schema: &Value) -> Self {
        let limit = |included: &str, excluded: &str| {
            let at = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
            at(included)
                .map(|at| Limit {
                    at,
                    excluded: false,
                })
                .or_else(|| at(excluded).map(|at| Limit { at, excluded: true }))
        };
        let mut bounds = Self {
            least: limit("minimum", "exclusiveMinimum"),
            most: limit("maximum", "exclusiveMaximum"),
            whole: Kind::allowed(schema).contains(&Kind::Integer),
        };
        // Rust's own widths, which the generator leaves to the format where they are large.
        let width = match schema.get("format").and_then(Value::as_str) {
            Some("uint8") => Some((0.0, f64::from(u8::MAX))),
            Some("uint16") => Some((0.0, f64::from(u16::MAX))),
            Some("uint32") => Some((0.0, f64::from(u32::MAX))),
            Some("int8") => Some((f64::from(i8::MIN), f64::from(i8::MAX))),
            Some("int16") => Some((f64::from(i16::MIN), f64::from(i16::MAX))),
            Some("int32") => Some((f64::from(i32::MIN), f64::from(i32::MAX))),
            _ => None,
        };
        if let Some((least, most)) = width {
            bounds.least.get_or_insert(Limit {
                at: least,
                excluded: false,
            });
            bounds.most.get_or_insert(Limit {
                at: most,
                excluded: false,
            });
        }
        bounds
    }

    /// What is wrong with a number, if anything. Limits of ours are far below 2^53, so comparing
    /// as floating point is exact where it matters.
    pub(super) fn objection(&self, value: &Value) -> Option<&'static str> {
        let number = value.as_f64()?;
        let below = |l: &Limit| number < l.at || (l.excluded && number <= l.at);
        let above = |l: &Limit| number > l.at || (l.excluded && number >= l.at);
        if self.least.as_ref().is_some_and(below) {
            return Some("the number is too small");
        }
        if self.most.as_ref().is_some_and(above) {
            return Some("the number is too large");
        }
        None
    }

    fn words(&self) -> String {
        let what = if self.whole {
            "a whole number"
        } else {
            "a number"
        };
        match (&self.least, &self.most) {
            (None, None) => what.to_owned(),
            (Some(l), None) if l.excluded => format!("{what} above {}", l.at),
            (Some(l), None) => format!("{what} of at least {}", l.at),
            (None, Some(m)) if m.excluded => format!("{what} below {}", m.at),
            (None, Some(m)) => format!("{what} of at most {}", m.at),
            (Some(l), Some(m)) => match (l.excluded, m.excluded) {
                (false, false) => format!("{what} from {} to {}", l.at, m.at),
                (true, false) => format!("{what} above {}, at most {}", l.at, m.at),
                (false, true) => format!("{what} from {} to below {}", l.at, m.at),
                (true, true) => format!("{what} above {} and below {}", l.at, m.at),
            },
        }
    }
}

impl Shape {
    /// The values a schema fixes, if it allows nothing but fixed values (null apart).
    pub(super) fn fixed_values<'a>(&'a self, schema: &'a Value) -> Option<Vec<&'a Value>> {
        let schema = self.resolve(schema);
        if let Some(value) = schema.get("const") {
            return Some(vec![value]);
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return Some(values.iter().collect());
        }
        let branches = choice::branches(schema)?;
        let mut values = Vec::new();
        for branch in branches {
            values.extend(self.fixed_values(branch)?);
        }
        Some(values)
    }

    /// What `schema` allows, in words.
    pub(super) fn words(&self, schema: &Value) -> String {
        // Null is worth a word only where it says something else than leaving the key out.
        let null_matters = schema
            .get("default")
            .is_some_and(|default| !default.is_null());
        let schema = self.resolve(schema);
        if let Some(words) = schema.get(OWN_WORDS).and_then(Value::as_str) {
            return words.to_owned();
        }
        let words = self.words_without_null(schema);
        if null_matters && Kind::allowed(schema).len() > 1 && self.takes_null(schema) {
            return format!("{words}, or null");
        }
        words
    }

    fn takes_null(&self, schema: &Value) -> bool {
        Kind::allowed(schema).contains(&Kind::Null)
    }

    fn words_without_null(&self, schema: &Value) -> String {
        if let Some(fixed) = self.fixed_values(schema) {
            return values(&fixed);
        }
        if let Some(branches) = choice::branches(schema) {
            let mut each: Vec<String> = Vec::new();
            let objects = choice::objects(self, branches);
            let mut told = false;
            if objects.len() > 1
                && let Some(words) = choice::object_words(self, &objects)
            {
                each.push(words);
                told = true;
            }
            for branch in branches.iter().map(|branch| self.resolve(branch)) {
                if told && Kind::allowed(branch) == [Kind::Object] {
                    continue;
                }
                let words = self.words_without_null(branch);
                if words != "null" && !each.contains(&words) {
                    each.push(words);
                }
            }
            return each.join(", or ");
        }
        let mut kinds = Kind::allowed(schema);
        if kinds.len() > 1 {
            kinds.retain(|kind| *kind != Kind::Null);
        }
        let words: Vec<String> = kinds
            .into_iter()
            .map(|kind| match kind {
                Kind::Integer | Kind::Number => Bounds::of_number(schema).words(),
                Kind::Text => text_words(schema),
                Kind::List => self.list_words(schema),
                Kind::Object => object_words(schema),
                Kind::Null | Kind::Boolean => kind.words().to_owned(),
            })
            .collect();
        if words.is_empty() {
            "anything".to_owned()
        } else {
            words.join(" or ")
        }
    }

    fn list_words(&self, schema: &Value) -> String {
        let (least, most) = limits(schema, "minItems", "maxItems");
        let count = match (least, most) {
            (0, None) => "a list".to_owned(),
            (0, Some(most)) => format!("a list of at most {most}"),
            (least, None) => format!("a list of at least {least}"),
            (least, Some(most)) if least == most => format!("a list of {least}"),
            (least, Some(most)) => format!("a list of {least} to {most}"),
        };
        match schema.get("items").filter(|items| items.is_object()) {
            Some(items) => {
                let resolved = self.resolve(items);
                let each = match Kind::allowed(resolved).as_slice() {
                    [Kind::Object] => "objects".to_owned(),
                    _ => format!("elements, each {}", self.words(items)),
                };
                // "a list of objects", "a list of 1 to 64 objects"
                if most.is_none() && least == 0 {
                    format!("{count} of {each}")
                } else {
                    format!("{count} {each}")
                }
            }
            None => count,
        }
    }
}

fn text_words(schema: &Value) -> String {
    let format = schema
        .get("format")
        .and_then(Value::as_str)
        .and_then(Format::from_name);
    if let Some(format) = format {
        return format.allowed().to_owned();
    }
    match limits(schema, "minLength", "maxLength") {
        (0, None) => "a string".to_owned(),
        (1, None) => "a string that is not empty".to_owned(),
        (0, Some(most)) => format!("a string of at most {most} characters"),
        (least, None) => format!("a string of at least {least} characters"),
        (least, Some(most)) => format!("a string of {least} to {most} characters"),
    }
}

fn object_words(schema: &Value) -> String {
    match schema.get("properties").and_then(Value::as_object) {
        Some(properties) if !properties.is_empty() => {
            let names: Vec<&str> = properties.keys().map(String::as_str).collect();
            match names.as_slice() {
                [only] => format!("an object with the key {only:?}"),
                names => format!("an object with the keys {}", keys(names)),
            }
        }
        _ => "an object".to_owned(),
    }
}
