//! Any JSON value as people read it: lists of objects are tables, objects are keys and values.

use serde_json::{Map, Value};

use crate::table::Table;

/// The value as text, with a final line end.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(members) if members.is_empty() => "done\n".into(),
        Value::Object(members) => members_text(members, 0),
        Value::Array(items) => list_text(items, 0),
        other => format!("{}\n", cell(other)),
    }
}

fn members_text(members: &Map<String, Value>, indent: usize) -> String {
    let pad = " ".repeat(indent);
    let simple = |value: &Value| !(value.is_object() || value.is_array()) || is_short(value);
    let width = members
        .iter()
        .filter(|(_, value)| simple(value))
        .map(|(key, _)| key.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (key, value) in members {
        match value {
            value if simple(value) => text += &format!("{pad}{key:width$}  {}\n", cell(value)),
            Value::Object(inner) => {
                text += &format!("{pad}{key}:\n{}", members_text(inner, indent + 2))
            }
            Value::Array(items) => {
                text += &format!("{pad}{key}:\n{}", list_text(items, indent + 2))
            }
            _ => {}
        }
    }
    text
}

fn list_text(items: &[Value], indent: usize) -> String {
    let pad = " ".repeat(indent);
    let flat = items.iter().all(|item| {
        item.as_object()
            .is_some_and(|members| members.values().all(is_short))
    });
    if items.is_empty() {
        return format!("{pad}none\n");
    }
    if !flat {
        return items
            .iter()
            .map(|item| match item {
                Value::Object(members) => format!("{pad}-\n{}", members_text(members, indent + 2)),
                other => format!("{pad}{}\n", cell(other)),
            })
            .collect();
    }
    let mut keys: Vec<&str> = Vec::new();
    for key in items
        .iter()
        .filter_map(Value::as_object)
        .flat_map(Map::keys)
    {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let is_number = |key: &str| {
        items
            .iter()
            .all(|item| item[key].is_number() || item[key].is_null())
    };
    let headings: Vec<String> = keys
        .iter()
        .map(|key| {
            if is_number(key) {
                format!(">{key}")
            } else {
                (*key).to_owned()
            }
        })
        .collect();
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(&headings);
    for item in items {
        table.row(keys.iter().map(|key| cell(&item[*key])));
    }
    table
        .to_string()
        .lines()
        .map(|line| format!("{pad}{line}\n"))
        .collect()
}

/// Whether a value fits into one cell.
fn is_short(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => {
            items.len() <= 4
                && items
                    .iter()
                    .all(|item| !item.is_object() && !item.is_array())
        }
        _ => true,
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => format!("{float:.3}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_of_objects_is_a_table() {
        let rules = json!([
            {"rule": 1, "source": "10.0.0.0/8", "hits": 12},
            {"rule": 2, "source": null, "hits": 3456, "log": true},
        ]);
        let table =
            "rule  source      hits  log\n   1  10.0.0.0/8    12  -\n   2  -           3456  yes\n";
        assert_eq!(text(&rules), table);
    }

    #[test]
    fn an_object_is_keys_and_values() {
        let value =
            json!({"running": true, "file": "/tmp/x", "rates": {"a": 1.5}, "list": [{"x": 1}]});
        let expected = "running  yes\nfile     /tmp/x\nrates:\n  a  1.500\nlist:\n  x\n  1\n";
        assert_eq!(text(&value), expected);
        assert_eq!(text(&json!({})), "done\n");
        assert_eq!(text(&json!(null)), "");
        assert_eq!(text(&json!([])), "none\n");
        assert_eq!(text(&json!(["a", "b"])), "a\nb\n");
    }
}
