//! The page `docs/config.md`, written from the schema, so that it says what the program does.

use std::fmt::Write;

use serde_json::{Value, json};

use super::schema::schema;
use crate::chain::StageRegistry;
use crate::check::Shape;

/// An example that is short and whole; a test checks it.
pub const EXAMPLE: &str = r#"{
  "$schema": "schema.json",
  "name": "edge",
  "cores": { "packet": [1], "control": 0, "idle": "adaptive" },
  "ports": [
    { "name": "clients", "side": "client", "device": { "type": "tap", "interface": "sluice0" } },
    { "name": "servers", "side": "server", "device": { "type": "tap", "interface": "sluice1" } }
  ]
}
"#;

const START: &str = "\
# The configuration file

One JSON file says the whole appliance: its ports, its cores, its chain of stages, its metrics.
This one makes a wire between two TAP interfaces; everything it leaves out has a default.

";

const BELOW_EXAMPLE: &str = "\
- `sluice check FILE` tells every mistake at once, each with its place, what was found and what is
  allowed, and starts nothing. `sluice run FILE` does the same check first.
- `\"$schema\"` lets an editor complete keys, show what they mean and mark mistakes while you type.
  The schema is `configs/schema.json`; `sluice schema` prints it.
- A key that Sluice does not know is a mistake, never ignored. JSON has no comments, but the
  appliance, each port and each stage can have a `description`.
- The unit is part of a key's name: `memory_mb` is in MiB, `packet_bytes` in bytes.
- `configs/` has examples, each of which runs.
";

const RELOAD: &str = "\
## What a reload changes

`sluice ctl reload` reads the file again and checks it. A file with a mistake changes nothing: what
runs keeps running, and the answer says why. Otherwise:

| what differs | what happens |
|---|---|
| `log.level`, any `description`; of `scheduler` its `policy`, `slo_mean_us`, `slo_tail_us` | changes at once |
| `chain[].config` | the stage takes over what it can while packets flow, and names what it cannot |
| anything else, also which stages there are | stays as it is; the answer names it, and a restart changes it |
";

/// The page, in Markdown, for a program with these kinds of stages.
pub fn page(stages: &StageRegistry) -> String {
    let shape = Shape::from_schema(schema(stages));
    let mut page = String::from(START);
    let mut writer = Writer {
        shape: &shape,
        page: &mut page,
    };
    writer.line(&format!("```json\n{EXAMPLE}```\n"));
    writer.line(BELOW_EXAMPLE);
    writer.root();
    writer.line(RELOAD);
    // One line end at the end, and no two blank lines anywhere.
    let mut tidy = String::with_capacity(page.len());
    let mut blank = false;
    for line in page.trim_end().lines() {
        if !(blank && line.is_empty()) {
            tidy.push_str(line.trim_end());
            tidy.push('\n');
        }
        blank = line.is_empty();
    }
    tidy
}

struct Writer<'a, 'p> {
    shape: &'a Shape,
    page: &'p mut String,
}

impl<'a> Writer<'a, '_> {
    fn line(&mut self, text: &str) {
        self.page.push_str(text);
        self.page.push('\n');
    }

    /// The top of the file: keys that stand for themselves in one table, then a part for each
    /// section.
    fn root(&mut self) {
        let root = self.shape.schema();
        let members = members(root);
        let is_section = |schema: &Value| {
            let schema = self.shape.resolve(schema);
            has_members(schema) || schema.get("items").is_some()
        };
        let (sections, plain): (Vec<_>, Vec<_>) = members
            .into_iter()
            .partition(|(_, schema)| is_section(schema));
        self.line("## At the top\n");
        self.table(&plain, root);
        for (key, schema) in sections {
            self.section(key, schema);
        }
    }

    fn section(&mut self, key: &str, schema: &'a Value) {
        let resolved = self.shape.resolve(schema);
        self.line(&format!("## `{key}`\n"));
        self.line(&paragraph(schema));
        match resolved.get("items") {
            None => self.object(resolved, ""),
            Some(items) => {
                let entry = self.shape.resolve(items);
                self.line(&format!(
                    "A list of {}; each has these keys:\n",
                    count(resolved)
                ));
                match entry.get("oneOf").and_then(Value::as_array) {
                    None => self.object(entry, ""),
                    Some(stages) => self.stages(stages),
                }
            }
        }
    }

    /// A table of an object's keys, then a part for each key that is a choice of objects.
    fn object(&mut self, schema: &'a Value, prefix: &str) {
        let mut rows = Vec::new();
        self.flatten(schema, prefix, &mut rows);
        let rows: Vec<(&str, &Value)> = rows.iter().map(|(k, s)| (k.as_str(), *s)).collect();
        self.table(&rows, schema);
        for (key, schema) in members(schema) {
            let schema = self.shape.resolve(schema);
            let kinds = schema.get("oneOf").and_then(Value::as_array);
            if let Some(kinds) = kinds.filter(|kinds| kinds.iter().all(has_members)) {
                self.kinds(key, kinds);
            }
        }
    }

    /// The keys of an object, those of small objects in it as `outer.inner`.
    fn flatten(&self, schema: &'a Value, prefix: &str, rows: &mut Vec<(String, &'a Value)>) {
        for (key, member) in members(schema) {
            let resolved = self.inner(member);
            if has_members(resolved) && resolved.get("oneOf").is_none() {
                self.flatten(resolved, &format!("{prefix}{key}."), rows);
            } else {
                rows.push((format!("{prefix}{key}"), member));
            }
        }
    }

    /// The kinds of a `device`, told apart by their `type`.
    fn kinds(&mut self, key: &str, kinds: &'a [Value]) {
        for kind in kinds {
            let tag = members(kind)
                .into_iter()
                .find_map(|(tag, schema)| Some((tag, schema.get("const")?.as_str()?)));
            let Some((tag, word)) = tag else { continue };
            self.line(&format!("### `{key}` with `\"{tag}\": \"{word}\"`\n"));
            self.line(&paragraph(kind));
            let rows: Vec<_> = members(kind)
                .into_iter()
                .filter(|(other, _)| *other != tag)
                .collect();
            if rows.is_empty() {
                self.line("No other keys.\n");
            } else {
                self.table(&rows, kind);
            }
        }
    }

    /// The entries of a chain: what they have in common, then the settings of each kind of stage.
    fn stages(&mut self, stages: &'a [Value]) {
        let Some(first) = stages.first() else { return };
        let word = |stage: &'a Value| {
            stage
                .pointer("/properties/stage/const")
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let words: Vec<Value> = stages.iter().map(|stage| word(stage).into()).collect();
        let text = first
            .pointer("/properties/stage/description")
            .cloned()
            .unwrap_or_default();
        let kind = json!({ "enum": words, "description": text });
        let config = json!({
            "type": "object",
            "default": {},
            "description": "The stage's settings, as below.",
        });
        let rows: Vec<(&str, &Value)> = members(first)
            .into_iter()
            .map(|(key, schema)| match key {
                "stage" => (key, &kind),
                "config" => (key, &config),
                _ => (key, schema),
            })
            .collect();
        let mut table = String::new();
        Writer {
            shape: self.shape,
            page: &mut table,
        }
        .table(&rows, first);
        self.line(&table);
        for stage in stages {
            self.line(&format!(
                "### `config` of `\"stage\": \"{}\"`\n",
                word(stage)
            ));
            self.line(&sentence(&paragraph(stage)));
            if let Some(config) = stage.pointer("/properties/config") {
                self.settings(config);
            }
        }
    }

    /// The settings of a stage, with a table for each kind of object in them.
    fn settings(&mut self, schema: &'a Value) {
        let mut waiting = vec![(String::new(), self.inner(schema))];
        let mut told: Vec<&Value> = Vec::new();
        while let Some((title, schema)) = waiting.pop() {
            if told.contains(&schema) {
                continue;
            }
            told.push(schema);
            if !title.is_empty() {
                self.line(&format!("{title}:\n"));
            }
            let mut rows = Vec::new();
            self.flatten(schema, "", &mut rows);
            // The tag of a choice is in the title already.
            rows.retain(|(_, schema)| schema.get("const").is_none());
            if rows.is_empty() {
                let nothing = if title.is_empty() {
                    "It has no settings."
                } else {
                    "No other keys."
                };
                self.line(&format!("{nothing}\n"));
                continue;
            }
            let borrowed: Vec<(&str, &Value)> = rows
                .iter()
                .map(|(key, schema)| (key.as_str(), *schema))
                .collect();
            self.table(&borrowed, schema);
            for (key, schema) in rows.iter().rev() {
                waiting.extend(self.objects_in(key, schema).into_iter().rev());
            }
        }
    }

    /// The objects that a key's value is, or consists of, each with a line that says which it is.
    fn objects_in(&self, key: &str, schema: &'a Value) -> Vec<(String, &'a Value)> {
        let schema = self.inner(schema);
        let (each, schema) = match schema.get("items").or(schema.get("additionalProperties")) {
            Some(items) if items.is_object() => ("Each of ", self.inner(items)),
            _ => ("", schema),
        };
        if has_members(schema) {
            return vec![(format!("{each}`{key}`"), schema)];
        }
        let branches = schema.get("oneOf").or_else(|| schema.get("anyOf"));
        let branches = branches.and_then(Value::as_array).into_iter().flatten();
        let branches = branches
            .map(|branch| self.inner(branch))
            .filter(|branch| has_members(branch));
        branches
            .map(|branch| {
                let tag = members(branch)
                    .into_iter()
                    .find_map(|(tag, schema)| Some((tag, schema.get("const")?.as_str()?)));
                let what = match tag {
                    Some((tag, word)) => format!(" with `\"{tag}\": \"{word}\"`"),
                    None => String::new(),
                };
                (format!("{each}`{key}`{what}"), branch)
            })
            .collect()
    }

    /// The schema behind references, and behind the choice between a value and none.
    fn inner(&self, schema: &'a Value) -> &'a Value {
        let schema = self.shape.resolve(schema);
        let branches = schema
            .get("anyOf")
            .and_then(Value::as_array)
            .map(Vec::as_slice);
        match branches {
            Some([value, none] | [none, value])
                if none.get("type").and_then(Value::as_str) == Some("null") =>
            {
                self.shape.resolve(value)
            }
            _ => schema,
        }
    }

    fn table(&mut self, rows: &[(&str, &Value)], object: &Value) {
        let required: Vec<&str> = object
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        self.line("| key | value | default | meaning |\n|---|---|---|---|");
        for (key, schema) in rows {
            let default = match schema.get("default") {
                _ if required.contains(key) => "required".to_owned(),
                Some(Value::Null) | None => String::new(),
                Some(default) => format!("`{default}`"),
            };
            let value = self.shape.allowed_by(schema);
            let meaning = self.meaning(schema);
            let _ = writeln!(
                self.page,
                "| `{key}` | {} | {} | {} |",
                code(&cell(&value)),
                cell(&default),
                cell(&meaning)
            );
        }
        self.line("");
    }

    /// What a key means, and what each of its words means.
    fn meaning(&self, schema: &Value) -> String {
        let mut text = one_line(schema);
        let choice = self.shape.resolve(schema);
        let branches = choice.get("oneOf").or_else(|| choice.get("anyOf"));
        let words = branches.and_then(Value::as_array).into_iter().flatten();
        for branch in words.map(|branch| self.shape.resolve(branch)) {
            let inner = branch.get("oneOf").and_then(Value::as_array);
            let each = inner.map_or_else(|| vec![branch], |inner| inner.iter().collect());
            for word in each {
                if let Some(name) = word.get("const").and_then(Value::as_str)
                    && word.get("description").is_some()
                {
                    let _ = write!(text, "<br>`{name}`: {}", one_line(word));
                }
            }
        }
        text.trim().to_owned()
    }
}

fn members(schema: &Value) -> Vec<(&str, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(key, schema)| (key.as_str(), schema))
        .collect()
}

fn has_members(schema: &Value) -> bool {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .is_some_and(|members| !members.is_empty())
}

/// How many elements a list has.
fn count(schema: &Value) -> String {
    let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_u64);
    match (limit("minItems"), limit("maxItems")) {
        (None | Some(0), Some(most)) => format!("at most {most}"),
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        _ => "any number".to_owned(),
    }
}

/// The description of a schema, its line breaks gone.
fn one_line(schema: &Value) -> String {
    let text = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The description of a schema, in lines of at most 100 characters.
fn paragraph(schema: &Value) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for word in one_line(schema).split(' ') {
        let width = word.chars().count();
        if length > 0 && length + 1 + width > 100 {
            lines.push('\n');
            length = 0;
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += width;
    }
    lines.push('\n');
    lines
}

/// A summary as a sentence.
fn sentence(summary: &str) -> String {
    let mut characters = summary.trim().chars();
    let first = characters
        .next()
        .map(|c| c.to_uppercase().to_string())
        .unwrap_or_default();
    let rest = characters.as_str();
    let stop = if rest.ends_with('.') { "" } else { "." };
    format!("{first}{rest}{stop}\n")
}

/// Text for the cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Sets quoted words as code.
fn code(text: &str) -> String {
    let mut parts = text.split('"');
    let mut set = parts.next().unwrap_or_default().to_owned();
    while let (Some(word), Some(rest)) = (parts.next(), parts.next()) {
        let _ = write!(set, "`\"{word}\"`{rest}");
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::config::Checker;

    #[test]
    fn the_example_is_right() {
        let stages = StageRegistry::new();
        let outcome = Checker::new(&stages).check_text(EXAMPLE);
        assert_eq!(outcome.problems.to_string(), "");
        assert!(outcome.config.is_some());
    }

    #[test]
    fn each_stage_has_its_tables() {
        let page = page(&crate::control::config::check::tests::registry());
        let expected = r#"| `stage` | `"any"` or `"wall"` | required | The kind of stage. |"#;
        assert!(
            page.contains(expected),
            "{}",
            page.split("## `chain`").nth(1).unwrap()
        );
        let expected = r#"### `config` of `"stage": "wall"`

Stands in the way.

| key | value | default | meaning |
|---|---|---|---|
| `bricks` | a list of objects |  | The bricks, from the ground up. |
| `gate` | an object whose `"type"` is `"none"` or `"swing"` |  | The way through. |
| `roof.pitch` | a whole number from 0 to 255 |  | How steep, in degrees. |
| `mortar` | `"lime"` or `"cement"` |  | What holds them.<br>`lime`: Sets slowly.<br>`cement`: Sets fast. |

Each of `bricks`:

| key | value | default | meaning |
|---|---|---|---|
| `width_mm` | a whole number from 10 to 65535 | required | How wide, in millimetres. |

`gate` with `"type": "none"`:

No other keys.

`gate` with `"type": "swing"`:

| key | value | default | meaning |
|---|---|---|---|
| `angle` | a whole number from 0 to 255 | required | How far it opens, in degrees. |
"#;
        assert!(
            page.contains(expected),
            "{}",
            page.split("## `chain`").nth(1).unwrap()
        );
    }

    #[test]
    fn every_key_has_a_meaning() {
        let page = page(&StageRegistry::new());
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            assert!(!line.ends_with("|  |"), "{line}");
        }
        for key in ["memory_mb", "offloads.checksum", "rx_file", "zero_copy"] {
            assert!(page.contains(&format!("| `{key}` |")), "{key}");
        }
    }
}
