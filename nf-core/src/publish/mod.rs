//! Versions handed to cores without stopping them.
//!
//! The control side owns a [`Publisher`] of some value: a rule set, a routing table. Every core
//! has a [`Reader`] of it and looks through a plain pointer. A new version is put beside the old
//! one; each core takes it over at the top of its loop ([`Reader::refresh`]), and the control side
//! frees the old one when the last core has let go of it. No core waits, locks, or frees anything,
//! and none executes an atomic read-modify-write. A [`Hub`] tells a core with one load whether
//! there is anything to take over at all.
//!
//! It is the lazy scheme of LATR (Kumar et al., ASPLOS 2018), applied to whole values:
//!
//! | LATR | here |
//! |---|---|
//! | a core's TLB, a private copy of the page tables | the pointer in a core's [`Reader`] |
//! | invalidation written to memory instead of an interrupt | [`Publisher::publish`] |
//! | sweep at the scheduler's tick | [`Reader::refresh`] at the top of the loop |
//! | the core's bit cleared in the entry's mask | the version number in the reader's slot |
//! | physical page not reused until all have swept | version not freed until all have passed |
//! | background thread that frees pages | [`Publisher::reclaim`], [`Hub::reclaim`] |
//! | freed after two ticks | never by time: nothing forces a core's loop to turn |
//! | queue full: interrupt and wait | no queue: a core that is stuck only delays the freeing |
//! | `mprotect` and the like must not be lazy | [`Publisher::wait_adopted`] is the fence |
//!
//! Publishing is lazy: for the rest of a loop's turn, other cores still act on the old version.
//! Where that matters (a rule that closes a hole, say), the caller waits with
//! [`Publisher::wait_adopted`] before it reports success.

mod hub;
mod order;
mod publisher;
mod reader;
mod shared;
mod sync;

#[cfg(all(test, sluice_loom))]
mod model;
#[cfg(all(test, not(sluice_loom)))]
mod stress;

pub use self::hub::{Hub, Watch};
pub use self::publisher::{NotAdopted, Publisher};
pub use self::reader::Reader;
