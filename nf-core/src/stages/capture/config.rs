//! The settings of `capture`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{JsonPath, Problems};
use crate::filter::check_filter;

/// Longest piece of a packet that is captured, bytes; as of tcpdump and Wireshark.
pub(super) const LONGEST_SNAP: u32 = 262_144;

const fn longest_snap() -> u32 {
    LONGEST_SNAP
}

const fn buffer_bytes() -> u32 {
    4 << 20
}

/// The settings of a `capture` stage. `start` takes the same, but `enabled` and `buffer_bytes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureConfig {
    /// Whether a capture starts with the appliance. Left out, it does if there is a `file` or a
    /// `pipe`. `sluice ctl STAGE start` starts one at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The pcapng file to write; one that exists is overwritten. A named pipe is used as `pipe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(min = 1))]
    pub file: Option<PathBuf>,
    /// The named pipe to write to; made if it does not exist. Wireshark opens it live; without a
    /// reader nothing is captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(min = 1))]
    pub pipe: Option<PathBuf>,
    /// Which packets are captured, in tcpdump's language: `"tcp port 80"`. Left out, all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Which way the captured packets go.
    #[serde(default)]
    pub direction: CaptureDirection,
    /// How many bytes of each packet are kept.
    #[serde(default = "longest_snap")]
    #[schemars(range(min = 14, max = LONGEST_SNAP))]
    pub snap_bytes: u32,
    /// The capture ends after this many packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_packets: Option<u64>,
    /// The capture ends before it has written more than this many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4096))]
    pub max_bytes: Option<u64>,
    /// The capture ends after this many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub max_seconds: Option<u32>,
    /// No more than this many packets a second are captured, over all cores; the rest is counted as
    /// limited. A tenth of it may come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_packets_per_second: Option<u32>,
    /// Start another file before one has more than this many bytes. Files then are called
    /// `NAME_00001_20260131235959.pcapng`, with a number and the time (UTC) of their start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4096))]
    pub max_file_bytes: Option<u64>,
    /// Keep this many of the files, and remove the oldest beyond. Left out, all are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub files: Option<u32>,
    /// Bytes of each packet core's buffer: what the core captures faster than it is written. A full
    /// buffer means missed packets. Changes with a restart only.
    #[serde(default = "buffer_bytes")]
    #[schemars(range(min = 65_536, max = 1_073_741_824))]
    pub buffer_bytes: u32,
}

/// Which way captured packets go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaptureDirection {
    /// Either way.
    #[default]
    Both,
    /// To the servers.
    ToServer,
    /// To the clients.
    ToClient,
}

impl CaptureConfig {
    /// Whether a capture starts with the appliance.
    pub fn starts(&self) -> bool {
        self.enabled.unwrap_or_else(|| self.target().is_some())
    }

    /// Where the capture goes.
    pub fn target(&self) -> Option<&Path> {
        self.file.as_deref().or(self.pipe.as_deref())
    }

    /// Adds what the schema cannot say.
    pub(super) fn check(&self, path: &JsonPath, problems: &mut Problems) {
        if let (Some(_), Some(pipe)) = (&self.file, &self.pipe) {
            problems
                .error(&path.key("pipe"), "a capture goes to one place only")
                .found(format_args!("{pipe:?} beside \"file\""))
                .allowed("\"file\" or \"pipe\"");
        }
        if self.enabled == Some(true) && self.target().is_none() {
            problems
                .error(path, "it does not say where the capture goes")
                .allowed("\"file\" or \"pipe\", or \"enabled\": false");
        }
        for (key, target) in [("file", &self.file), ("pipe", &self.pipe)] {
            let Some(target) = target else { continue };
            let text = target.to_string_lossy();
            if text.contains('\0') {
                problems
                    .error(&path.key(key), "a path has no zero byte")
                    .found(format_args!("{target:?}"));
            } else if text.ends_with('/') {
                problems
                    .error(&path.key(key), "this is a folder, not a file in it")
                    .found(format_args!("{target:?}"));
            }
        }
        if let Some(filter) = &self.filter {
            check_filter(filter, &path.key("filter"), "tcp port 80", problems);
        }
        if self.max_file_bytes.is_some() && self.pipe.is_some() {
            problems
                .error(
                    &path.key("max_file_bytes"),
                    "a pipe has no next file to go on in",
                )
                .allowed("\"max_file_bytes\" together with \"file\"");
        }
        if self.files.is_some() && self.max_file_bytes.is_none() {
            problems
                .error(
                    &path.key("files"),
                    "there is one file only as long as nothing says when to start another",
                )
                .allowed("\"files\" together with \"max_file_bytes\"");
        }
    }
}
