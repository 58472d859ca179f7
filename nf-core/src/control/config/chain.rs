//! `chain`: the stages, each with its own settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Identifier;

/// One stage of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChainEntry {
    /// The kind of stage.
    pub stage: String,
    /// The stage's own name, in commands and metrics. Left out, it is the kind; two stages of one
    /// kind need names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Identifier>,
    /// What this stage is for, in your own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The stage's settings; its own page describes them.
    #[serde(default = "empty_object")]
    pub config: Value,
}

impl ChainEntry {
    /// The stage's own name.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.stage)
    }
}

fn empty_object() -> Value {
    Value::Object(Map::new())
}
