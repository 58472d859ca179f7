//! The JSON schema of a configuration file, for editors: it completes keys, shows what they mean
//! and marks mistakes while one types.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Config;
use crate::chain::StageRegistry;

/// The schema (JSON Schema, 2020-12) of a configuration whose chain has these kinds of stages.
pub fn schema(stages: &StageRegistry) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    // The root's own definitions first, then those of the stages' settings, in one namespace.
    let mut root = generator.root_schema_for::<Config>().to_value();
    let base = root
        .pointer("/$defs/ChainEntry")
        .cloned()
        .unwrap_or_default();
    let entries: Vec<Value> = stages
        .iter()
        .map(|kind| {
            let config = kind.schema(&mut generator).to_value();
            chain_entry(&base, kind.name(), kind.summary(), config)
        })
        .collect();
    let definitions = generator.take_definitions(true);
    if let Some(own) = root.get_mut("$defs").and_then(Value::as_object_mut) {
        for (name, definition) in definitions {
            own.entry(name).or_insert(definition);
        }
        if !entries.is_empty() {
            own.insert("ChainEntry".to_owned(), json!({ "oneOf": entries }));
        }
        own.sort_keys();
    }
    root
}

/// The schema of a chain's entry for one kind of stage: told from the others by its `stage`.
fn chain_entry(base: &Value, name: &str, summary: &str, config: Value) -> Value {
    let mut entry = base.as_object().cloned().unwrap_or_else(Map::new);
    entry.insert("description".to_owned(), summary.into());
    if let Some(properties) = entry.get_mut("properties").and_then(Value::as_object_mut) {
        let text = properties
            .get("stage")
            .and_then(|s| s.get("description"))
            .cloned();
        let mut stage = json!({ "const": name });
        if let (Some(text), Some(stage)) = (text, stage.as_object_mut()) {
            stage.insert("description".to_owned(), text);
        }
        properties.insert("stage".to_owned(), stage);
        properties.insert("config".to_owned(), config);
    }
    Value::Object(entry)
}

/// The schema as the text of a file.
pub fn schema_text(stages: &StageRegistry) -> String {
    // Serialising a value into a string cannot fail.
    serde_json::to_string_pretty(&schema(stages)).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{JsonPath, Problems, Shape};
    use crate::control::config::check::tests::registry;

    fn told(document: &Value) -> String {
        let mut problems = Problems::new();
        Shape::from_schema(schema(&registry())).check(document, &JsonPath::root(), &mut problems);
        problems.to_string()
    }

    /// Stages' types may have the names of ours: both keep their own schema.
    #[test]
    fn an_editor_can_check_stages_settings() {
        let document = |config: Value| {
            json!({
                "ports": [{ "name": "a", "side": "any", "device": { "type": "null" } }],
                "chain": [{ "stage": "wall", "config": config }, { "stage": "any" }],
                "log": { "level": "info" },
            })
        };
        assert_eq!(
            told(&document(
                json!({ "bricks": [{ "width_mm": 20 }], "mortar": "lime" })
            )),
            ""
        );
        assert_eq!(
            told(&document(json!({ "bricks": [{ "width_mm": 5 }] }))),
            "error at $.chain[0].config.bricks[0].width_mm\n  the number is too small\n  found:   \
             5\n  allowed: a whole number from 10 to 65535"
        );
        assert_eq!(
            told(&document(json!({ "mortar": "glue" }))),
            "error at $.chain[0].config.mortar\n  unknown word\n  found:   \"glue\"\n  \
             allowed: \"lime\" or \"cement\""
        );
    }

    #[test]
    fn a_chain_is_told_apart_by_its_stages() {
        let document = json!({
            "ports": [{ "name": "a", "side": "any", "device": { "type": "null" } }],
            "chain": [{ "stage": "wal" }],
        });
        assert_eq!(
            told(&document),
            "error at $.chain[0].stage\n  unknown stage\n  found:   \"wal\"\n  allowed: \"any\" or \
             \"wall\"\n  help:    did you mean \"wall\"?"
        );
    }
}
