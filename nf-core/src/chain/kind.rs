//! A kind of stage as its crate writes it: constants, the type of its settings, and what to do with
//! them. What every kind does alike with its settings is done here, once.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{BuildContext, BuildError, ReloadError, StageControl, StageKind};
use crate::check::{CheckContext, JsonPath, Problems, check_settings, read_checked};
use crate::telemetry::CounterDesc;

/// A kind of stage whose settings are a Rust type. Every one of them is a [`StageKind`]: its schema
/// and the check of its shape come from the type.
pub trait StageType: Send + Sync {
    /// The word in the config, snake case.
    const NAME: &'static str;

    /// What it does, in one line, for `sluice schema` and error messages.
    const SUMMARY: &'static str;

    /// Reasons for which it drops packets, snake case, the same for every stage of the kind.
    const REASONS: &'static [&'static str] = &[];

    /// Its counters, which are the same for every stage of the kind.
    const COUNTERS: &'static [CounterDesc] = &[];

    /// What stands under `config` in the configuration file.
    type Settings: DeserializeOwned + JsonSchema;

    /// Adds every mistake that the schema cannot tell to `problems`, with paths below `path`. Called
    /// for settings of the right shape.
    fn check(
        settings: &Self::Settings,
        path: &JsonPath,
        context: &CheckContext,
        problems: &mut Problems,
    ) {
        let _ = (settings, path, context, problems);
    }

    /// Builds the control side of one stage from settings that passed [`check`](Self::check).
    fn build(
        settings: Self::Settings,
        context: &BuildContext,
    ) -> Result<Box<dyn StageControl>, BuildError>;
}

impl<T: StageType> StageKind for T {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn summary(&self) -> &'static str {
        T::SUMMARY
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T::Settings>()
    }

    fn check(
        &self,
        config: &Value,
        path: &JsonPath,
        context: &CheckContext,
        problems: &mut Problems,
    ) {
        let meaning = |settings: &T::Settings, path: &JsonPath, problems: &mut Problems| {
            T::check(settings, path, context, problems);
        };
        check_settings(config, path, problems, meaning);
    }

    fn counters(&self) -> &'static [CounterDesc] {
        T::COUNTERS
    }

    fn reasons(&self) -> &'static [&'static str] {
        T::REASONS
    }

    fn build(
        &self,
        config: &Value,
        context: &BuildContext,
    ) -> Result<Box<dyn StageControl>, BuildError> {
        T::build(read_checked(config).map_err(BuildError)?, context)
    }
}

/// Reads the settings that [`StageControl::reload`] is given.
pub fn read_reloaded<T: DeserializeOwned>(config: &Value) -> Result<T, ReloadError> {
    read_checked(config).map_err(ReloadError::Refused)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::testing::{BenchOptions, check};

    /// Nothing is left out but what may be.
    struct Least;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct LeastSettings {
        #[schemars(range(max = 9))]
        digit: u8,
    }

    impl StageType for Least {
        const NAME: &'static str = "least";
        const SUMMARY: &'static str = "is never built";
        type Settings = LeastSettings;

        fn check(
            settings: &LeastSettings,
            path: &JsonPath,
            context: &CheckContext,
            problems: &mut Problems,
        ) {
            if settings.digit == 0 {
                let name = context.ports.first().map_or("none", |port| &port.name);
                problems.error(&path.key("digit"), format!("no digit for port {name}"));
            }
        }

        fn build(
            settings: LeastSettings,
            _: &BuildContext,
        ) -> Result<Box<dyn StageControl>, BuildError> {
            Err(BuildError(format!("built with {}", settings.digit)))
        }
    }

    #[test]
    fn a_kind_is_what_its_type_says() {
        let kind: &dyn StageKind = &Least;
        assert_eq!((kind.name(), kind.summary()), ("least", "is never built"));
        assert!(kind.reasons().is_empty() && kind.counters().is_empty());
        let mut generator = SchemaGenerator::default();
        kind.schema(&mut generator);
        let digit = generator.definitions()["LeastSettings"].pointer("/properties/digit/maximum");
        assert_eq!(digit, Some(&json!(9)));
    }

    #[test]
    fn the_meaning_of_settings_is_checked_behind_their_shape() {
        let told = |config: Value| check(&Least, &config, &BenchOptions::default()).to_string();
        assert_eq!(told(json!({ "digit": 3 })), "");
        assert!(told(json!({ "digit": 30 })).starts_with("error at $.digit\n"));
        assert!(told(json!({})).contains("digit"));
        assert_eq!(
            told(json!({ "digit": 0 })),
            "error at $.digit\n  no digit for port clients"
        );
    }

    #[test]
    fn settings_of_a_reload_that_cannot_be_read_are_refused() {
        let read = |config: Value| read_reloaded::<LeastSettings>(&config);
        assert_eq!(
            read(json!({ "digit": 3 })).map(|read| read.digit).ok(),
            Some(3)
        );
        assert!(matches!(read(json!({})), Err(ReloadError::Refused(_))));
    }
}
