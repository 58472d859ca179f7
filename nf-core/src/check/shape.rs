//! Does a JSON value have the shape that a JSON schema asks for? All mistakes at once, in words.
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{JsonPath, Problems};

/// Reads `value` as a `T`. Every way in which it does not have the shape of a `T` is added to
/// `problems`, with its path below `path`; then the answer is `None`.
pub fn check_shape<T: DeserializeOwned + JsonSchema>(
    value: &Value,
    path: &JsonPath,
    problems: &mut Problems,
) -> Option<T> {
    match T::deserialize(value) {
        Ok(read) => Some(read),
        Err(error) => {
            problems.error(path, error.to_string()).found_value(value);
            None
        }
    }
}
