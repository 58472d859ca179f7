//! Arguments of a stage's command: `KEY=VALUE ...`, or one JSON object.

use serde_json::{Map, Value};

/// The arguments as an object.
pub fn parse(words: &[String]) -> Result<Value, String> {
    if let [only] = words
        && only.trim_start().starts_with(['{', '['])
    {
        let value = serde_json::from_str(only);
        return value.map_err(|error| format!("the arguments are not JSON: {error}"));
    }
    let mut object = Map::new();
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            return Err(format!("{word:?} is not of the form KEY=VALUE"));
        };
        if key.is_empty() {
            return Err(format!("{word:?} has no key before its `=`"));
        }
        if object.insert(key.to_owned(), parse_value(value)).is_some() {
            return Err(format!("{key:?} is given twice"));
        }
    }
    Ok(Value::Object(object))
}

/// A number, true, false, null, a list, an object or a quoted string is what it is in JSON;
/// anything else is a string as it stands.
fn parse_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(words: &[&str]) -> Result<Value, String> {
        parse(
            &words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn words_become_an_object() {
        assert_eq!(of(&[]), Ok(json!({})));
        assert_eq!(
            of(&[
                "a=1",
                "b=10.0.0.0/8",
                "c=true",
                "d=x=y",
                "e=",
                "f=\"7\"",
                "g=[1,2]",
                "h=1.2.3"
            ]),
            Ok(json!({
                "a": 1, "b": "10.0.0.0/8", "c": true, "d": "x=y", "e": "", "f": "7", "g": [1, 2],
                "h": "1.2.3"
            }))
        );
        assert_eq!(of(&[r#"{"a": {"b": 1}}"#]), Ok(json!({"a": {"b": 1}})));
    }

    #[test]
    fn mistakes_are_told() {
        assert!(of(&["all"]).unwrap_err().contains("KEY=VALUE"));
        assert!(of(&["=1"]).unwrap_err().contains("no key"));
        assert!(of(&["a=1", "a=2"]).unwrap_err().contains("twice"));
        assert!(of(&["{a"]).unwrap_err().contains("not JSON"));
    }
}
