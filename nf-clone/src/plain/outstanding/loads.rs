//! How many requests each server has to answer.

use crate::groups::MAX_SERVERS;
use crate::sync::{AtomicU64, Ordering};

/// One server's count, on cache lines of its own: every core changes it.
#[derive(Debug)]
#[repr(align(128))]
struct Load(AtomicU64);

/// Requests outstanding at each server, as far as the table knows: asked, less answered, less given
/// up. Shared by all packet cores, because each core sees only some of the answers.
#[derive(Debug)]
pub struct Loads(Box<[Load]>);

impl Default for Loads {
    fn default() -> Self {
        Loads::new(MAX_SERVERS)
    }
}

impl Loads {
    /// Nothing is outstanding at any of `servers` servers.
    #[must_use]
    pub fn new(servers: usize) -> Loads {
        Loads((0..servers).map(|_| Load(AtomicU64::new(0))).collect())
    }

    /// Requests outstanding at `server`. Soft: other cores change it.
    #[inline]
    #[must_use]
    pub fn outstanding(&self, server: u8) -> u64 {
        self.0
            .get(usize::from(server))
            .map_or(0, |load| load.0.load(Ordering::Relaxed))
    }

    /// Adds `by`. What is subtracted was added before by whoever wrote the entry, so the count
    /// never passes zero.
    #[inline]
    pub(super) fn shift(&self, server: u8, by: i8) {
        if let Some(load) = self.0.get(usize::from(server)) {
            let amount = u64::from(by.unsigned_abs());
            if by >= 0 {
                load.0.fetch_add(amount, Ordering::Relaxed);
            } else {
                load.0.fetch_sub(amount, Ordering::Relaxed);
            }
        }
    }
}
