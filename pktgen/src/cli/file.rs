//! Flags from a file: its keys are the flags' names, and the command line goes before.

use std::path::Path;

use clap::{ArgMatches, Command, FromArgMatches, Parser};
use serde_json::Value;

use super::Cli;

/// One value as it would be written on the command line.
fn word(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(format!("a text or a number is expected, found {value}")),
    }
}

/// The arguments that a file stands for, without those that `given` has from the command line.
fn arguments(file: &Value, command: &Command, given: &ArgMatches) -> Result<Vec<String>, String> {
    let Value::Object(keys) = file else {
        return Err("the file is no JSON object".into());
    };
    let mut arguments = Vec::new();
    for (key, value) in keys {
        let flag = key.replace('_', "-");
        let argument = command
            .get_arguments()
            .find(|argument| argument.get_long() == Some(&flag));
        let Some(argument) = argument.filter(|_| flag != "config") else {
            let names: Vec<String> = command
                .get_arguments()
                .filter_map(|argument| argument.get_long())
                .filter(|name| *name != "config")
                .map(|name| name.replace('-', "_"))
                .collect();
            return Err(format!(
                "there is no key {key:?}; there are {}",
                names.join(", ")
            ));
        };
        let source = given.value_source(argument.get_id().as_str());
        if source == Some(clap::parser::ValueSource::CommandLine) {
            continue;
        }
        let takes_many = matches!(argument.get_action(), clap::ArgAction::Append);
        match value {
            Value::Bool(true) => arguments.push(format!("--{flag}")),
            Value::Bool(false) | Value::Null => {}
            // Lists that are not separated by commas: the flag again and again.
            Value::Array(items) if takes_many && argument.get_value_delimiter().is_none() => {
                for item in items {
                    let item = word(item).map_err(|error| format!("{key}: {error}"))?;
                    arguments.push(format!("--{flag}={item}"));
                }
            }
            Value::Array(items) => {
                let items: Result<Vec<String>, String> = items.iter().map(word).collect();
                let items = items.map_err(|error| format!("{key}: {error}"))?;
                arguments.push(format!("--{flag}={}", items.join(",")));
            }
            one => {
                let one = word(one).map_err(|error| format!("{key}: {error}"))?;
                arguments.push(format!("--{flag}={one}"));
            }
        }
    }
    Ok(arguments)
}

/// Reads the command line `line` anew, with the flags that the file at `path` has for the command `name` put
/// before its own.
pub fn with_file(line: &[String], name: &str, path: &Path) -> Result<Cli, String> {
    let told = |error: String| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
    let file: Value = serde_json::from_str(&text).map_err(|error| told(error.to_string()))?;
    let command = <Cli as clap::CommandFactory>::command();
    let given = command
        .clone()
        .try_get_matches_from(line)
        .map_err(|error| error.to_string())?;
    let (Some(of), Some(given)) = (
        command.find_subcommand(name),
        given.subcommand_matches(name),
    ) else {
        return Err(told(format!("there is no command {name}")));
    };
    let mut extended = line.to_vec();
    let place = line.iter().position(|word| word == name);
    let place = place.map_or(line.len(), |place| place + 1);
    let more = arguments(&file, of, given).map_err(told)?;
    extended.splice(place..place, more);
    let matches = command
        .try_get_matches_from(&extended)
        .map_err(|error| told(error.to_string()))?;
    Cli::from_arg_matches(&matches).map_err(|error| told(error.to_string()))
}

/// The command line of this process, files included.
pub fn parse() -> Result<Cli, String> {
    let cli = Cli::parse();
    let Some((name, path)) = cli.command.file() else {
        return Ok(cli);
    };
    let line: Vec<String> = std::env::args().collect();
    with_file(&line, name, path)
}
