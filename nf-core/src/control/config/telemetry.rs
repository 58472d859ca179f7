//! `telemetry`: metrics and states for reading.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Metrics and states for reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// The address of the HTTP server for `/metrics`, `/healthz` and `/api/v1`, or `null` for
    /// none. It only reads, but to everybody who can reach it.
    #[schemars(with = "Option<String>", extend("format" = "socket-address"))]
    pub http: Option<SocketAddr>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            http: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464)),
        }
    }
}
