//! How a command ends that could not do what it was asked.

use std::process::ExitCode;

/// A sentence for standard error, and the exit status.
#[derive(Debug)]
pub struct Failure {
    /// What is said; nothing when it was said already.
    message: String,
    status: u8,
}

impl Failure {
    /// Refused or failed: status 1.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            status: 1,
        }
    }

    /// The configuration has mistakes: status 2.
    pub fn bad_config(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            status: 2,
        }
    }

    /// No appliance answers: status 3.
    pub fn nobody(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            status: 3,
        }
    }

    /// Standard output was closed by its reader (`| head`): nothing to say.
    fn is_closed_pipe(error: &std::io::Error) -> bool {
        error.kind() == std::io::ErrorKind::BrokenPipe
    }

    /// Says it, and gives the status.
    pub fn tell(&self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("sluice: {}", self.message);
        }
        ExitCode::from(self.status)
    }

    /// What is said.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        let quiet = Failure::is_closed_pipe(&error);
        Failure::new(if quiet {
            String::new()
        } else {
            error.to_string()
        })
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure::new(format!("unexpected JSON: {error}"))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::new(format!("{error:#}"))
    }
}
