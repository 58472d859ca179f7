//! `eal`: DPDK's environment abstraction layer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// DPDK's environment: memory, huge pages, its logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EalConfig {
    /// Memory that DPDK takes at start, in MiB. It holds the packet buffers and the rings of the
    /// ports; `sluice check` says how much the packet buffers need.
    #[schemars(range(min = 32, max = 1048576))]
    pub memory_mb: u32,
    /// Whether that memory comes from huge pages. Without them everything works, at about a third
    /// of the speed.
    pub hugepages: Hugepages,
    /// Keep no files for the memory: needs no hugetlbfs mount, leaves nothing behind, and any
    /// number of appliances run side by side. Turn it off to attach DPDK secondary processes such
    /// as `dpdk-pdump`.
    pub in_memory: bool,
    /// What DPDK's own libraries may write to the log.
    pub dpdk_log_level: DpdkLogLevel,
    /// DPDK's own telemetry socket, for `dpdk-telemetry.py`.
    pub dpdk_telemetry: bool,
    /// Further arguments for DPDK, for what Sluice has no key for, such as `"--huge-dir"`,
    /// `"/mnt/huge"`.
    #[schemars(length(max = 64))]
    pub extra_args: Vec<String>,
}

impl Default for EalConfig {
    fn default() -> Self {
        Self {
            memory_mb: 256,
            hugepages: Hugepages::Auto,
            in_memory: true,
            dpdk_log_level: DpdkLogLevel::Warning,
            dpdk_telemetry: true,
            extra_args: Vec::new(),
        }
    }
}

/// Whether DPDK's memory comes from huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hugepages {
    /// Huge pages if enough are free, else ordinary memory with a loud warning.
    Auto,
    /// Huge pages, or do not start.
    Required,
    /// Ordinary memory. For tests.
    Off,
}

/// DPDK's log levels, from silence to everything.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
#[allow(missing_docs)] // DPDK's own words; prose beside them would only bloat the schema
pub enum DpdkLogLevel {
    Emergency = 1,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

impl DpdkLogLevel {
    /// DPDK's number for the level (`RTE_LOG_EMERG` = 1 to `RTE_LOG_DEBUG` = 8).
    pub fn number(self) -> u32 {
        self as u32
    }
}
