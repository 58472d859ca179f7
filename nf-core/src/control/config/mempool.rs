//! `mempool`: the pool of packet buffers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The pool of packet buffers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MempoolConfig {
    /// How many packet buffers there are. Enough to fill every descriptor of every queue, and the
    /// caches of the cores besides; `sluice check` says the least number.
    #[schemars(range(min = 256, max = 16777216))]
    pub packets: u32,
    /// Room for packet data in one buffer, in bytes, of which the first 128 are kept free for
    /// headers to be put in front. A longer packet takes several buffers.
    #[schemars(range(min = 256, max = 65535))]
    pub data_room_bytes: u32,
    /// How many free buffers each core may keep for itself; 0 turns that off. At most 2/3 of
    /// `packets`.
    #[schemars(range(min = 0, max = 512))]
    pub cache: u32,
}

impl Default for MempoolConfig {
    fn default() -> Self {
        Self {
            packets: 16384,
            data_room_bytes: 2176,
            cache: 256,
        }
    }
}
