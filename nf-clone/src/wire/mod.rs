//! Message formats: [`v1`], which everything here speaks, and [`compat28`], the header of the paper's
//! public prototype.

pub mod compat28;
pub mod v1;

pub use v1::{Flags, HEADER_LEN, Header, Kind, View, WireError};

/// The UDP port of NetClone messages when nothing else is configured.
///
/// Below 32768, so that it is nobody's ephemeral port: a message is known by its port alone.
pub const DEFAULT_PORT: u16 = 9043;

/// SID when no server is meant.
pub const NO_SERVER: u16 = 0xffff;

/// LOAD of a server whose waiting queue is longer than the field can say.
pub const MAX_LOAD: u16 = 0xfffe;

/// LOAD of a server that wants no further requests.
pub const DRAINING: u16 = 0xffff;
