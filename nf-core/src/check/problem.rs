//! Mistakes and doubts found in a configuration, collected and told.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::JsonPath;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration can be used, but probably does not do what was meant, or only slowly.
    Warning,
}

/// One problem: where, what, what was found, what would have been right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the configuration can be used in spite of it.
    pub severity: Severity,
    /// Where in the document.
    pub path: JsonPath,
    /// What is wrong, as one short sentence without a full stop.
    pub message: String,
    /// What stands there, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What may stand there, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// What to do about it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Line and column in the file, both from 1, where the text is at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<(usize, usize)>,
}

impl Problem {
    /// Says what was found, as text.
    pub fn found(&mut self, found: impl fmt::Display) -> &mut Self {
        self.found = Some(found.to_string());
        self
    }

    /// Says what was found, as JSON (long values are shortened).
    pub fn found_value(&mut self, found: &Value) -> &mut Self {
        self.found(describe(found))
    }

    /// Says what would have been right.
    pub fn allowed(&mut self, allowed: impl fmt::Display) -> &mut Self {
        self.allowed = Some(allowed.to_string());
        self
    }

    /// Says what to do about it.
    pub fn help(&mut self, help: impl fmt::Display) -> &mut Self {
        self.help = Some(help.to_string());
        self
    }
}

impl fmt::Display for Problem {
    /// One block of lines, without a final line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity} at {}", self.path)?;
        if let Some((line, column)) = self.position {
            write!(f, " (line {line}, column {column})")?;
        }
        write!(f, "\n  {}", self.message)?;
        for (label, text) in [
            ("found:  ", &self.found),
            ("allowed:", &self.allowed),
            ("help:   ", &self.help),
        ] {
            if let Some(text) = text {
                write!(f, "\n  {label} {text}")?;
            }
        }
        Ok(())
    }
}

/// All problems of one configuration, in the order they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an error; say more about it on what is returned.
    pub fn error(&mut self, path: &JsonPath, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, path, message.into())
    }

    /// Adds a warning; say more about it on what is returned.
    pub fn warning(&mut self, path: &JsonPath, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Warning, path, message.into())
    }

    fn add(&mut self, severity: Severity, path: &JsonPath, message: String) -> &mut Problem {
        let index = self.0.len();
        self.0.push(Problem {
            severity,
            path: path.clone(),
            message,
            found: None,
            allowed: None,
            help: None,
            position: None,
        });
        &mut self.0[index]
    }

    /// Moves the problems of `other` to the end of these.
    pub fn append(&mut self, mut other: Problems) {
        self.0.append(&mut other.0);
    }

    /// Keeps the first `most` problems and says how many were left out: who has more of them than
    /// that has made the same one again and again.
    pub fn limit(&mut self, most: usize) {
        if self.len() <= most {
            return;
        }
        let rest = self.0.split_off(most);
        let message = format!("{} more problems are left out here", rest.len());
        match rest
            .iter()
            .any(|problem| problem.severity == Severity::Error)
        {
            true => self.error(&JsonPath::root(), message),
            false => self.warning(&JsonPath::root(), message),
        };
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// Puts them into the order of the document: what comes first in the file is told first.
    pub fn sort(&mut self, document: &Value) {
        self.0
            .sort_by_cached_key(|problem| problem.path.order_in(document));
    }

    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Problem> {
        self.0.iter_mut()
    }

    /// How many, of either severity.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nothing at all was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many errors.
    pub fn errors(&self) -> usize {
        self.0
            .iter()
            .filter(|p| p.severity == Severity::Error)
            .count()
    }

    /// How many warnings.
    pub fn warnings(&self) -> usize {
        self.len() - self.errors()
    }

    /// True when the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|p| p.severity == Severity::Error)
    }

    /// True when there is an error at `path` or inside it.
    pub fn has_errors_within(&self, path: &JsonPath) -> bool {
        self.0
            .iter()
            .any(|p| p.severity == Severity::Error && p.path.is_within(path))
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    /// One block a problem, a blank line between two.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A JSON value for a message: strings quoted, long ones cut, lists and objects only outlined.
pub fn describe(value: &Value) -> String {
    /// Longest piece of a user's text that a message repeats, in characters.
    const LONGEST: usize = 60;
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => {
            let length = s.chars().count();
            if length <= LONGEST {
                return Value::from(s.as_str()).to_string();
            }
            let start: String = s.chars().take(LONGEST).collect();
            format!("{}... ({length} characters)", Value::from(start))
        }
        Value::Array(items) => match items.len() {
            0 => "an empty list".to_owned(),
            1 => "a list of 1 element".to_owned(),
            n => format!("a list of {n} elements"),
        },
        Value::Object(members) if members.is_empty() => "an empty object".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Problems {
        let mut problems = Problems::new();
        let mtu = JsonPath::root().key("ports").index(0).key("mtu");
        problems
            .error(&mtu, "the number is too small")
            .found(10)
            .allowed("a whole number from 68");
        problems
            .warning(&JsonPath::root().key("eal"), "no huge pages")
            .help("reserve some");
        problems
    }

    #[test]
    fn one_block_a_problem() {
        let expected = "error at $.ports[0].mtu\n  the number is too small\n  found:   10\n  \
                        allowed: a whole number from 68\n\nwarning at $.eal\n  no huge pages\n  \
                        help:    reserve some";
        assert_eq!(sample().to_string(), expected);
    }

    #[test]
    fn machines_read_json() {
        assert_eq!(
            serde_json::to_value(sample()).unwrap(),
            json!([
                { "severity": "error", "path": "$.ports[0].mtu", "found": "10",
                  "message": "the number is too small", "allowed": "a whole number from 68" },
                { "severity": "warning", "path": "$.eal", "message": "no huge pages",
                  "help": "reserve some" },
            ])
        );
    }

    #[test]
    fn beyond_a_limit_they_are_counted() {
        let mut problems = sample();
        problems.limit(2);
        assert_eq!(problems.len(), 2);
        problems.limit(1);
        assert_eq!((problems.errors(), problems.warnings()), (1, 1));
        assert!(
            problems
                .to_string()
                .ends_with("at $\n  1 more problems are left out here")
        );
    }

    #[test]
    fn counts_by_severity() {
        let problems = sample();
        assert_eq!(
            (problems.len(), problems.errors(), problems.warnings()),
            (2, 1, 1)
        );
        assert!(problems.has_errors_within(&JsonPath::root().key("ports")));
        assert!(!problems.has_errors_within(&JsonPath::root().key("eal")));
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(
            describe(&json!("é".repeat(61))),
            format!("\"{}\"... (61 characters)", "é".repeat(60))
        );
        assert_eq!(describe(&json!("a\"b\n")), r#""a\"b\n""#);
        assert_eq!(describe(&json!([1])), "a list of 1 element");
        assert_eq!(describe(&json!({})), "an empty object");
    }
}
