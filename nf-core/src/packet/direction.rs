//! Which way a packet goes through a chain.

use std::fmt;

/// Which way a packet goes through a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Direction {
    /// From the client side to the server side.
    ToServer = 0,
    /// From the server side to the client side.
    ToClient = 1,
}

impl Direction {
    /// Both, for tables by direction.
    pub const ALL: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

    /// The other way.
    #[inline(always)]
    pub fn reverse(self) -> Direction {
        match self {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        }
    }

    /// The word used in configs, metrics and traces.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::ToServer => "to_server",
            Direction::ToClient => "to_client",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
