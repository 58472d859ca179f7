//! `control`: the socket through which a running appliance is changed.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FileMode;

/// The socket through which a running appliance is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ControlConfig {
    /// The path of the Unix socket that `sluice ctl` and `sluice top` use. Left out, it is
    /// `/run/sluice/NAME.sock` with the appliance's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(min = 1))]
    pub socket: Option<PathBuf>,
    /// Who may use the socket: its file permissions, in octal. Who can write to it can change
    /// everything.
    pub mode: FileMode,
    /// The group that the socket belongs to: its name in `/etc/group`, or its number. Left out, it is
    /// the group of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(min = 1))]
    pub group: Option<String>,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            socket: None,
            mode: FileMode::from_bits(0o660),
            group: None,
        }
    }
}

impl ControlConfig {
    /// The path of the socket of the appliance called `name`.
    pub fn socket_path(&self, name: &str) -> PathBuf {
        self.socket
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("/run/sluice/{name}.sock")))
    }
}
