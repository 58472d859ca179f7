//! `sluice schema`: the configuration's schema, or the page about it.

use std::io::Write;
use std::process::ExitCode;

use nf_core::control::config;

use crate::cli::SchemaArgs;
use crate::failure::Failure;

/// Runs the command.
pub fn run(args: &SchemaArgs) -> Result<ExitCode, Failure> {
    let registry = sluice::registry();
    let text = match args.markdown {
        true => config::page::page(&registry),
        false => config::schema::schema_text(&registry),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
