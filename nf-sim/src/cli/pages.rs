//! Completions for shells, and manual pages.

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, print};

/// Prints completions.
pub(super) fn completions(shell: Shell) -> Result<ExitCode, String> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "nf-sim", &mut text);
    print(&String::from_utf8_lossy(&text))
}

/// Prints the manual page of the program, or writes those of every command into a folder.
pub(super) fn manual(folder: Option<&Path>) -> Result<ExitCode, String> {
    let Some(folder) = folder else {
        let mut text = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut text)
            .map_err(|error| error.to_string())?;
        return print(&String::from_utf8_lossy(&text));
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}
