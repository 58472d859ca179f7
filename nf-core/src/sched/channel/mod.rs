//! Messages between the sides: rings of bytes with a header of 32 bytes and lazy credit.
//!
//! After iPipe (Liu et al., SIGCOMM 2019, section 3.4). A channel has two rings, one per direction,
//! each with one producer and one consumer; nothing is locked and nobody waits.
//!
//! - **A message is valid when its length is not 0.** The producer writes everything else first. A
//!   *batch* becomes valid at once, with the length of its first message ([`Producer`] says when).
//! - **Checksum**: CRC32C of header and payload. It is needed where bytes can arrive out of order
//!   or the other side is another process, and can be left out between threads. What does not
//!   verify is looked at again, [`Settings::looks`] times; then it is passed over if its successor
//!   is behind it, and otherwise the ring begins anew. What was lost is counted by the messages'
//!   numbers.
//! - **Credit is lazy**: the consumer says how far it is when it has consumed half of the ring,
//!   when it finds nothing, and when it comes to the ring's end. Without the last two a producer
//!   could wait for ever behind a ring that is half consumed. It says a position, not a difference:
//!   if it is lost, the next one makes up for it.
//! - **A message is at most a quarter of the ring**, and is never divided: the rest of the ring is
//!   left out where it does not fit before the end. Larger payloads are refused
//!   ([`SendError::TooLarge`]); objects and regions are cut by
//!   [`Outgoing::fill`](super::dmo::outgoing::Outgoing::fill).
//! - **Full is an answer** ([`SendError::Full`]), and what to do about it is the caller's business.
//!
//! In `handoff` mode the payload is not in the ring at all: a value goes beside it ([`handoff`]).
//!
//! The memory is the caller's thread's: let the consumer make the channel, so that it lies on its
//! node.

mod consumer;
#[cfg(not(sluice_loom))]
pub mod handoff;
mod header;
mod order;
mod producer;
mod ring;
mod sync;

#[cfg(all(test, sluice_loom))]
mod model;
#[cfg(all(test, not(sluice_loom)))]
mod tests;

pub use self::consumer::{Consumer, ConsumerStats, Received};
pub use self::header::{Envelope, HEADER_BYTES, Kind, elapsed};
pub use self::producer::{Producer, ProducerStats};

use self::ring::Ring;
use self::sync::Arc;
use super::ActorId;

/// The smallest ring, bytes.
pub const LEAST_RING: usize = 4 * HEADER_BYTES;

/// The largest ring, bytes.
pub const MOST_RING: usize = 1 << 30;

/// How a ring works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Its size, bytes; rounded up to a power of two from [`LEAST_RING`] to [`MOST_RING`].
    pub bytes: usize,
    /// Whether messages have a checksum.
    pub checksum: bool,
    /// Messages of a batch at most.
    pub batch: u32,
    /// How long a message waits for others, nanoseconds.
    pub batch_ns: u64,
    /// How often a message that does not verify is looked at again.
    pub looks: u32,
}

impl Default for Settings {
    /// 1 MiB, with checksum, batches of 32 messages or 5 µs.
    fn default() -> Settings {
        Settings {
            bytes: 1 << 20,
            checksum: true,
            batch: 32,
            batch_ns: 5_000,
            looks: 1000,
        }
    }
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no room now.
    #[error("the ring is full")]
    Full,
    /// There never is room for such a message.
    #[error("{bytes} bytes are more than a message can have ({most}): cut it")]
    TooLarge {
        /// Bytes of payload.
        bytes: usize,
        /// The most there can be, bytes.
        most: usize,
    },
    /// The consumer is gone.
    #[error("nobody receives any more")]
    Closed,
}

/// One direction.
pub fn ring(settings: Settings) -> (Producer, Consumer) {
    let bytes = settings.bytes.clamp(LEAST_RING, MOST_RING);
    let ring = Arc::new(Ring::new(bytes.next_power_of_two() / 8));
    (
        Producer::new(Arc::clone(&ring), settings),
        Consumer::new(ring, settings),
    )
}

/// One end of a channel.
pub struct End {
    /// To the other end.
    pub tx: Producer,
    /// From the other end.
    pub rx: Consumer,
}

/// A channel between a packet core and a worker core: both directions.
pub fn channel(settings: Settings) -> (End, End) {
    let (there, at_worker) = ring(settings);
    let (back, at_packet) = ring(settings);
    (
        End {
            tx: there,
            rx: at_packet,
        },
        End {
            tx: back,
            rx: at_worker,
        },
    )
}
