//! Services that know nothing of cloning behind the stage (`wire: none`): real servers, and clients that
//! tell a right answer from a wrong one, a miss, and one too many.

mod clients;
pub mod memcached;
pub mod soak;

use serde_json::{Value, json};

pub use clients::{Clients, Judgement, Plan, Speaks, Tally};

use crate::bed::Bed;

/// The settings of the stage for one service on the servers of a bed.
pub fn settings(bed: &Bed, port: u16, protocol: &str) -> Value {
    let mut stage = bed.stage();
    for (key, value) in [
        ("wire", json!("none")),
        ("policy", json!("netclone+jsq")),
        ("services", json!([{ "port": port, "protocol": protocol }])),
        ("idle_threshold", json!(2)),
    ] {
        stage[key] = value;
    }
    stage
}
