//! What a check of a configuration needs: where a mistake is, what it is, and what would have been
//! right.
//!
//! Every mistake is collected, none stops the check. A part of the configuration is checked in two
//! steps: its *shape* against the JSON schema generated from its Rust type ([`check_shape`]), then
//! its *meaning* by code that looks at whatever had the right shape; [`check_settings`] does both.

mod context;
mod format;
mod path;
mod problem;
mod settings;
mod shape;
mod source;
mod suggest;

pub use context::{CheckContext, HugepagePool, Machine, PortFacts, Side};
pub use format::{Format, parse_mac, parse_mode, parse_pci};
pub use path::JsonPath;
pub use problem::{Problem, Problems, Severity, describe};
pub use settings::{check_settings, read_checked, read_settings};
pub use shape::{Shape, check_shape};
pub use source::Source;
pub use suggest::{closest, list};
