//! `sluice check`: every mistake of a configuration at once.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use nf_core::check::Machine;
use nf_core::control::config::Checker;
use serde_json::{Value, json};

use crate::cli::CheckArgs;
use crate::failure::Failure;

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let text = read(&args.config)?;
    let registry = sluice::registry();
    let mut checker = Checker::new(&registry);
    if !args.elsewhere {
        checker = checker.on_machine(Machine::detect());
    }
    let problems = checker.check_text(&text).problems;
    let ok = !problems.has_errors();
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", json!({ "ok": ok, "problems": problems }))?;
    } else {
        let counted = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        if !problems.is_empty() {
            writeln!(out, "{problems}\n")?;
        }
        let name = args.config.display();
        match (problems.errors(), problems.warnings()) {
            (0, 0) => writeln!(out, "{name}: no problem found")?,
            (0, warnings) => writeln!(out, "{name}: can run, {}", counted(warnings, "warning"))?,
            (errors, warnings) => {
                let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
                writeln!(out, "{name}: cannot run, {errors}, {warnings}")?;
            }
        }
    }
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The text of a file, or of standard input for `-`.
pub fn read(path: &Path) -> Result<String, Failure> {
    nf_core::console::read(path).map_err(Failure::new)
}

/// A problem that came as JSON, as it is told for one found here.
pub fn problem_text(problem: &Value) -> String {
    let word = |key: &str| problem[key].as_str();
    let (Some(severity), Some(path)) = (word("severity"), word("path")) else {
        return match problem.as_str() {
            Some(text) => text.to_owned(),
            None => problem.to_string(),
        };
    };
    let mut text = format!("{severity} at {path}");
    if let (Some(line), Some(column)) = (
        problem["position"][0].as_u64(),
        problem["position"][1].as_u64(),
    ) {
        text += &format!(" (line {line}, column {column})");
    }
    text += &format!("\n  {}", word("message").unwrap_or_default());
    for (label, key) in [
        ("found:  ", "found"),
        ("allowed:", "allowed"),
        ("help:   ", "help"),
    ] {
        if let Some(value) = word(key) {
            text += &format!("\n  {label} {value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use nf_core::check::{JsonPath, Problems};

    #[test]
    fn a_problem_reads_the_same_from_json() {
        let mut problems = Problems::new();
        let path = JsonPath::root().key("ports").index(1);
        let problem = problems.error(&path, "there is no such device");
        problem
            .found("\"tab\"")
            .allowed("\"tap\"")
            .help("did you mean \"tap\"?");
        problem.position = Some((3, 7));
        for problem in &problems {
            let json = serde_json::to_value(problem).unwrap();
            assert_eq!(problem_text(&json), problem.to_string());
        }
    }
}
