//! What is generated from the configuration's types is committed, and up to date; the examples are
//! right. `SLUICE_BLESS=1` writes the generated files anew.

use std::fs;
use std::path::PathBuf;

use nf_core::control::config::{Checker, page, schema::schema_text};
use serde_json::Value;
use sluice::registry;

fn at_root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}

fn is_up_to_date(path: &str, generated: &str) {
    let file = at_root(path);
    if std::env::var_os("SLUICE_BLESS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, generated).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let first = committed
        .lines()
        .zip(generated.lines())
        .find(|(old, new)| old != new);
    assert!(
        committed == generated,
        "{path} is not what the types say; SLUICE_BLESS=1 cargo test -p sluice --test generated \
         writes it anew. First difference: {first:?}"
    );
}

#[test]
fn the_schema_is_up_to_date() {
    is_up_to_date("configs/schema.json", &schema_text(&registry()));
}

#[test]
fn the_page_is_up_to_date() {
    is_up_to_date("docs/config.md", &page(&registry()));
}

#[test]
fn every_example_is_right() {
    let stages = registry();
    let mut names = Vec::new();
    for entry in fs::read_dir(at_root("configs")).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if name == "schema.json" || file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let outcome = Checker::new(&stages).check_text(&text);
        assert!(outcome.problems.is_empty(), "{name}:\n{}", outcome.problems);
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            document["$schema"], "schema.json",
            "{name} names its schema"
        );
        assert!(
            document["description"].is_string(),
            "{name} says what it is for"
        );
        names.push(name);
    }
    assert!(names.len() >= 5, "examples: {names:?}");
}

/// Everything an editor needs of the schema: choices told apart by a constant, no key unexplained.
#[test]
fn the_schema_tells_choices_apart() {
    let schema: Value = serde_json::from_str(&schema_text(&registry())).unwrap();
    let devices = schema
        .pointer("/$defs/Device/oneOf")
        .and_then(Value::as_array)
        .unwrap();
    assert_eq!(devices.len(), 8);
    for device in devices {
        assert!(
            device["properties"]["type"]["const"].is_string(),
            "{device:#}"
        );
        assert_eq!(device["additionalProperties"], false, "{device:#}");
        for (key, property) in device["properties"].as_object().unwrap() {
            assert!(
                key == "type" || property["description"].is_string(),
                "{key}"
            );
        }
    }
    if let Some(stages) = schema
        .pointer("/$defs/ChainEntry/oneOf")
        .and_then(Value::as_array)
    {
        for stage in stages {
            assert!(
                stage["properties"]["stage"]["const"].is_string(),
                "{stage:#}"
            );
        }
    }
}
