//! `sluice ctl`: look into a running appliance and change it.

mod arguments;
mod packet;
mod sched;
mod show;
mod trace;
mod value;

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::{CtlArgs, CtlCommand, SchedCommand, UpDown};
use crate::client::{Endpoint, segment};
use crate::failure::Failure;
use crate::instance;

/// Runs the command.
pub fn run(args: &CtlArgs) -> Result<ExitCode, Failure> {
    let endpoint = instance::find(&args.target)?;
    if let CtlCommand::Sched {
        command: Some(SchedCommand::Events {
            count,
            follow: true,
        }),
    } = &args.command
    {
        sched::follow(&endpoint, *count, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (answer, text) = command(&endpoint, &args.command)?;
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{answer:#}")?,
        false => out.write_all(text.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The answer as it came, and as people read it.
fn command(endpoint: &Endpoint, command: &CtlCommand) -> Result<(Value, String), Failure> {
    match command {
        CtlCommand::Show { what, only } => show::run(endpoint, *what, only.as_deref()),
        CtlCommand::Reload { file } => {
            let body = file
                .as_deref()
                .map(crate::check::read)
                .transpose()?
                .unwrap_or_default();
            let answer = endpoint.change("POST", "/api/v1/reload", &body)?;
            let text = reloaded(&answer);
            Ok((answer, text))
        }
        CtlCommand::Port { state, port } => {
            let state = match state {
                UpDown::Up => "up",
                UpDown::Down => "down",
            };
            let path = format!("/api/v1/ports/{}/{state}", segment(port));
            let answer = endpoint.change("POST", &path, "")?;
            Ok((answer, format!("port {port}: {state}\n")))
        }
        CtlCommand::Trace(command) => trace::run(endpoint, command),
        CtlCommand::Sched { command } => sched::run(endpoint, command.as_ref()),
        CtlCommand::Log { level } => {
            let answer =
                endpoint.change("PUT", "/api/v1/log", &json!({ "level": level }).to_string())?;
            Ok((answer, format!("log level: {level}\n")))
        }
        CtlCommand::Stage {
            name,
            verb,
            arguments,
        } => stage(endpoint, name, verb, arguments),
        CtlCommand::Named(words) => match words.as_slice() {
            [name, verb, arguments @ ..] => stage(endpoint, name, verb, arguments),
            [name] => show::stage(endpoint, name),
            [] => Err(Failure::new(
                "a command is missing; see `sluice ctl --help`",
            )),
        },
    }
}

/// A command of a stage.
fn stage(
    endpoint: &Endpoint,
    name: &str,
    verb: &str,
    words: &[String],
) -> Result<(Value, String), Failure> {
    let arguments = arguments::parse(words).map_err(Failure::new)?;
    let path = format!("/api/v1/stages/{}/{}", segment(name), segment(verb));
    let answer = endpoint.change("POST", &path, &arguments.to_string())?;
    let text = value::text(&answer);
    Ok((answer, text))
}

fn reloaded(answer: &Value) -> String {
    let changed: Vec<&str> = answer["changed"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match changed.as_slice() {
        [] => "reloaded; nothing has changed\n".into(),
        changed => format!("reloaded; changed:\n  {}\n", changed.join("\n  ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_names_what_changed() {
        assert_eq!(
            reloaded(&json!({"changed": []})),
            "reloaded; nothing has changed\n"
        );
        let text = reloaded(&json!({"changed": ["$.log.level", "$.chain[0].config"]}));
        assert_eq!(
            text,
            "reloaded; changed:\n  $.log.level\n  $.chain[0].config\n"
        );
    }
}
