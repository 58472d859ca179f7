//! Settings of a stage: their shape and their meaning in one go.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{JsonPath, Problems, check_shape};

/// Reads `value` as settings and has `meaning` look at what their shape cannot say. Every mistake is
/// added to `problems`; `None` when the shape was wrong, so that there was nothing to look at.
pub fn check_settings<T: DeserializeOwned + JsonSchema>(
    value: &Value,
    path: &JsonPath,
    problems: &mut Problems,
    meaning: impl FnOnce(&T, &JsonPath, &mut Problems),
) -> Option<T> {
    let settings = check_shape(value, path, problems)?;
    meaning(&settings, path, problems);
    Some(settings)
}

/// Settings without mistakes, or all mistakes in one line.
pub fn read_settings<T: DeserializeOwned + JsonSchema>(
    value: &Value,
    meaning: impl FnOnce(&T, &JsonPath, &mut Problems),
) -> Result<T, String> {
    let mut problems = Problems::new();
    let settings = check_settings(value, &JsonPath::root(), &mut problems, meaning);
    settings.filter(|_| !problems.has_errors()).ok_or_else(|| {
        let each: Vec<String> = problems.iter().map(|p| p.to_string()).collect();
        each.join("; ").replace("\n ", ",")
    })
}

/// Settings that have passed their check.
pub fn read_checked<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Range {
        from: u8,
        to: u8,
    }

    impl Range {
        fn check(&self, path: &JsonPath, problems: &mut Problems) {
            if self.from > self.to {
                problems.error(&path.key("to"), "ends before it begins");
            } else if self.from == self.to {
                problems.warning(path, "one number only");
            }
        }
    }

    fn read(value: Value) -> Result<Range, String> {
        read_settings(&value, Range::check)
    }

    #[test]
    fn the_meaning_is_looked_at_where_the_shape_is_right() {
        let mut problems = Problems::new();
        let path = JsonPath::root().key("config");
        let backwards = json!({ "from": 2, "to": 1 });
        let range = check_settings(&backwards, &path, &mut problems, Range::check);
        assert_eq!(range, Some(Range { from: 2, to: 1 }));
        assert_eq!(
            problems.to_string(),
            "error at $.config.to\n  ends before it begins"
        );
        let never = |_: &Range, _: &JsonPath, _: &mut Problems| panic!("the shape is wrong");
        assert!(check_settings(&json!({ "from": 2 }), &path, &mut problems, never).is_none());
        assert_eq!(problems.errors(), 2);
    }

    #[test]
    fn all_mistakes_stand_in_one_line() {
        let backwards = read(json!({ "from": 2, "to": 1 })).unwrap_err();
        assert_eq!(backwards, "error at $.to, ends before it begins");
        let shape = read(json!({ "from": 300, "to": "x" })).unwrap_err();
        assert_eq!(shape.matches("error at").count(), 2, "{shape}");
        assert!(shape.contains("; ") && !shape.contains('\n'), "{shape}");
    }

    #[test]
    fn a_warning_is_no_reason_to_refuse() {
        assert_eq!(
            read(json!({ "from": 1, "to": 1 })),
            Ok(Range { from: 1, to: 1 })
        );
    }

    #[test]
    fn checked_settings_are_only_read() {
        let backwards: Range = read_checked(&json!({ "from": 2, "to": 1 })).unwrap();
        assert_eq!((backwards.from, backwards.to), (2, 1));
        assert!(read_checked::<Range>(&json!({ "from": 2 })).is_err());
    }
}
