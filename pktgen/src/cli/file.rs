//! Flags from a file: its keys are the flags' names, and the command line goes before.

use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, FromArgMatches, Parser};
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
        let is_given = |argument: &Arg| {
            let source = given.value_source(argument.get_id().as_str());
            source == Some(ValueSource::CommandLine)
        };
        let excludes = |one: &Arg, other: &Arg| {
            let conflicts = command.get_arg_conflicts_with(one);
            conflicts
                .iter()
                .any(|found| found.get_id() == other.get_id())
        };
        // What cannot stand beside a flag of the command line gives way to it too.
        let gives_way = command
            .get_arguments()
            .filter(|other| is_given(other))
            .any(|other| excludes(argument, other) || excludes(other, argument));
        if is_given(argument) || gives_way {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli;

    fn read(file: &Value, flags: &str) -> Result<cli::RpcArgs, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rpc.json");
        std::fs::write(&path, file.to_string()).unwrap();
        let line: Vec<String> = format!("pktgen rpc {flags}")
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        match with_file(&line, "rpc", &path)?.command {
            cli::Command::Rpc(args) => Ok(args),
            _ => Err("not rpc".into()),
        }
    }

    #[test]
    fn keys_are_flags_and_the_command_line_goes_before() {
        let file = json!({
            "scheme": ["baseline", "M4"], "rate": ["50k", 60000], "clients": 3, "find_knee": false,
            "service_time": "bimodal(90%:25us,10%:250us)", "title": "two words", "workers": [15, 8]
        });
        let args = read(&file, "--clients 2").unwrap();
        assert_eq!(args.schemes.scheme.len(), 2);
        assert_eq!(args.load.rate, ["50k", "60000"]);
        assert_eq!(
            (args.clients.clients, &args.service.workers[..]),
            (2, &[15, 8][..])
        );
        assert_eq!(args.service.service_time, "bimodal(90%:25us,10%:250us)");
        assert_eq!(args.report.title.as_deref(), Some("two words"));
        // Rates and loads exclude one another.
        let args = read(&file, "--load 50%").unwrap();
        assert!(args.load.rate.is_empty() && args.load.load == ["50%"]);
        let args = read(&json!({"load": "sweep"}), "--rate 1k").unwrap();
        assert!(args.load.load.is_empty() && args.load.rate == ["1k"]);
    }

    #[test]
    fn mistakes_name_the_file_and_the_key() {
        for (file, expected) in [
            (json!({"loads": "sweep"}), "there is no key \"loads\""),
            (json!({"config": "x"}), "there is no key \"config\""),
            (json!([1]), "no JSON object"),
            (json!({"rate": [[1]]}), "rate: a text or a number"),
            (json!({"clients": "many"}), "--clients"),
        ] {
            let error = read(&file, "").unwrap_err();
            assert!(
                error.contains(expected) && error.contains("rpc.json"),
                "{error}"
            );
        }
    }
}
