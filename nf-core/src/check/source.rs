//! The text of a JSON file: where each member stands, which keys stand twice, and what is wrong
//! with text that is not JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{JsonPath, Problems};

/// A JSON document and the places of its members in the text.
#[derive(Clone, Debug)]
pub struct Source {
    document: Value,
    /// Line and column, both from 1, of each member's key and each element.
    positions: BTreeMap<JsonPath, (usize, usize)>,
}

impl Source {
    /// Reads a text. Text that is not JSON is an error, and so are keys that stand twice in one
    /// object: readers of JSON silently take the last.
    pub fn read(text: &str, problems: &mut Problems) -> Option<Self> {
        // Editors of some systems put this mark at the start of a file.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document = match serde_json::from_str(text) {
            Ok(document) => document,
            Err(error) => {
                syntax(text, &error, problems);
                return None;
            }
        };
        let mut scan = Scan::new(text);
        scan.value(&JsonPath::root());
        for (path, position) in scan.twice {
            let first = scan.positions.get(&path).copied().unwrap_or((1, 1));
            let problem = problems.error(&path, "this key stands in the object twice");
            problem.position = Some(position);
            problem.help(format_args!("it stands in line {} already", first.0));
        }
        Some(Self {
            document,
            positions: scan.positions,
        })
    }

    /// The document.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Adds to each problem the position of what it is about, or of what that would be in.
    pub fn locate(&self, problems: &mut Problems) {
        for problem in problems
            .iter_mut()
            .filter(|problem| problem.position.is_none())
        {
            let mut path = Some(problem.path.clone());
            while let Some(place) = path {
                if let Some(position) = self.positions.get(&place) {
                    problem.position = Some(*position);
                    break;
                }
                path = place.parent();
            }
        }
    }
}

/// Tells why a text is not JSON, with the line and a mark below the place.
fn syntax(text: &str, error: &serde_json::Error, problems: &mut Problems) {
    let (line, column) = (error.line().max(1), error.column().max(1));
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    let shown = text.lines().nth(line - 1).unwrap_or_default();
    // serde_json counts columns in bytes.
    let before = shown.get(..(column - 1).min(shown.len())).unwrap_or(shown);
    let rest = shown.get(before.len()..).unwrap_or_default();
    let problem = problems.error(&JsonPath::root(), format!("this is not JSON: {said}"));
    problem.position = Some((line, before.chars().count() + 1));
    if text.trim().is_empty() {
        problem.found("an empty file").allowed("one JSON object");
        return;
    }
    /// Most of a line that a message shows, in characters before and behind the place.
    const AROUND: usize = 30;
    let skip = before.chars().count().saturating_sub(AROUND);
    let start: String = before.chars().skip(skip).collect();
    let end: String = rest.chars().take(AROUND).collect();
    let excerpt = format!("{start}{end}");
    if !excerpt.trim().is_empty() {
        problem.found(excerpt.trim());
    }
    let help = match said {
        "trailing comma" => Some("remove the comma before the closing bracket"),
        "key must be a string" if rest.starts_with("//") || rest.starts_with("/*") => {
            Some("JSON has no comments; a \"description\" may say what they said")
        }
        "key must be a string" if rest.starts_with('\'') => {
            Some("strings are put in double quotes")
        }
        "key must be a string" => Some("put the key in double quotes"),
        "expected value" if rest.starts_with('/') || rest.starts_with('#') => {
            Some("JSON has no comments; a \"description\" may say what they said")
        }
        "expected value" if rest.starts_with('\'') => Some("strings are put in double quotes"),
        "expected `,` or `}`" | "expected `,` or `]`" if rest.starts_with(['/', '#']) => {
            Some("JSON has no comments; a \"description\" may say what they said")
        }
        "expected `,` or `}`" | "expected `,` or `]`" => {
            Some("a comma is missing before this, or in the line above")
        }
        "trailing characters" => Some("the file must hold one JSON object and nothing behind it"),
        _ if said.starts_with("EOF") => {
            Some("the file ends too early; a closing bracket is missing")
        }
        _ => None,
    };
    if let Some(help) = help {
        problem.help(help);
    }
}

/// Walks over a text that is known to be JSON. On anything else it stops early, and never fails.
struct Scan<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    /// Of the next character, from 1; counted along, since a whole document may be one line.
    column: usize,
    positions: BTreeMap<JsonPath, (usize, usize)>,
    twice: Vec<(JsonPath, (usize, usize))>,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        let positions = BTreeMap::new();
        Self {
            text,
            at: 0,
            line: 1,
            column: 1,
            positions,
            twice: Vec::new(),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self) {
        match self.peek() {
            Some(b'\n') => (self.line, self.column) = (self.line + 1, 1),
            // The further bytes of a character in UTF-8 all are of this form.
            Some(byte) if byte & 0xc0 == 0x80 => {}
            _ => self.column += 1,
        }
        self.at += 1;
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.advance();
        }
    }

    fn position(&self) -> (usize, usize) {
        (self.line, self.column)
    }

    /// A value. serde_json has bounded how deep values may nest.
    fn value(&mut self, path: &JsonPath) {
        self.space();
        let position = self.position();
        self.positions.entry(path.clone()).or_insert(position);
        match self.peek() {
            Some(b'{') => self.object(path),
            Some(b'[') => self.list(path),
            Some(b'"') => {
                self.string();
            }
            _ => {
                while self
                    .peek()
                    .is_some_and(|b| !matches!(b, b',' | b']' | b'}') && !b.is_ascii_whitespace())
                {
                    self.advance();
                }
            }
        }
    }

    fn object(&mut self, path: &JsonPath) {
        self.advance();
        let mut keys = BTreeSet::new();
        loop {
            self.space();
            match self.peek() {
                Some(b',') => self.advance(),
                Some(b'"') => {
                    let position = self.position();
                    let place = path.key(&self.string());
                    if keys.insert(place.clone()) {
                        self.positions.insert(place.clone(), position);
                    } else {
                        self.twice.push((place.clone(), position));
                    }
                    self.space();
                    if self.peek() != Some(b':') {
                        return;
                    }
                    self.advance();
                    self.value(&place);
                }
                Some(b'}') => return self.advance(),
                _ => return,
            }
        }
    }

    fn list(&mut self, path: &JsonPath) {
        self.advance();
        for index in 0.. {
            self.space();
            match self.peek() {
                Some(b']') => return self.advance(),
                None => return,
                _ => {}
            }
            let before = self.at;
            self.value(&path.index(index));
            self.space();
            if self.peek() == Some(b',') {
                self.advance();
            } else if self.at == before {
                return;
            }
        }
    }

    fn string(&mut self) -> String {
        let start = self.at;
        self.advance();
        while let Some(byte) = self.peek() {
            self.advance();
            match byte {
                b'\\' => self.advance(),
                b'"' => break,
                _ => {}
            }
        }
        let literal = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(literal).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let mut problems = Problems::new();
        Source::read(text, &mut problems);
        problems.to_string()
    }

    #[test]
    fn a_document_in_one_long_line_is_read_in_no_time() {
        let text = format!("[{}1]", "1,".repeat(300_000));
        let begun = std::time::Instant::now();
        assert_eq!(told(&text), "");
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
    }

    #[test]
    fn problems_get_their_line_and_column() {
        let text = "{\n  \"ports\": [\n    { \"näme\": 1, \"mtu\": 2 },\n    3\n  ]\n}\n";
        let mut problems = Problems::new();
        let source = Source::read(text, &mut problems).unwrap();
        let ports = JsonPath::root().key("ports");
        problems.error(&ports.index(0).key("mtu"), "a");
        problems.error(&ports.index(1), "b");
        problems.error(&ports.index(0).key("device").key("type"), "c");
        problems.error(&JsonPath::root(), "d");
        source.locate(&mut problems);
        let positions: Vec<_> = problems.iter().map(|p| p.position.unwrap()).collect();
        assert_eq!(positions, [(3, 18), (4, 5), (3, 5), (1, 1)]);
    }

    #[test]
    fn keys_that_stand_twice() {
        let text = "{ \"a\": { \"b\": 1,\n \"\\u0062\": [2], \"c\": 3 }, \"b\": 4 }";
        assert_eq!(
            told(text),
            "error at $.a.b (line 2, column 2)\n  this key stands in the object twice\n  \
             help:    it stands in line 1 already"
        );
    }

    #[test]
    fn text_that_is_not_json() {
        assert_eq!(
            told("{\n  \"a\": 1,\n}"),
            "error at $ (line 3, column 1)\n  this is not JSON: trailing comma\n  found:   }\n  \
             help:    remove the comma before the closing bracket"
        );
        assert_eq!(
            told("{ 'a': 1 }"),
            "error at $ (line 1, column 3)\n  this is not JSON: key must be a string\n  \
             found:   { 'a': 1 }\n  help:    strings are put in double quotes"
        );
        assert_eq!(
            told("{\n  // ports\n  \"a\": 1 }"),
            "error at $ (line 2, column 3)\n  this is not JSON: key must be a string\n  \
             found:   // ports\n  help:    JSON has no comments; a \"description\" may say what \
             they said"
        );
        assert_eq!(
            told("{ \"a\": 1\n  \"b\": 2 }"),
            "error at $ (line 2, column 3)\n  this is not JSON: expected `,` or `}`\n  \
             found:   \"b\": 2 }\n  help:    a comma is missing before this, or in the line above"
        );
        assert_eq!(
            told(" \n"),
            "error at $ (line 2, column 1)\n  this is not JSON: EOF while parsing a value\n  \
             found:   an empty file\n  allowed: one JSON object"
        );
    }

    #[test]
    fn a_byte_order_mark_is_no_mistake() {
        assert_eq!(told("\u{feff}{}"), "");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}", braces in "[\\[\\]{}:,\"\\\\a\n ]{0,60}") {
            told(&text);
            told(&braces);
            let mut scan = Scan::new(&braces);
            scan.value(&JsonPath::root());
        }
    }
}
