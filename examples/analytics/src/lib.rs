//! Real-time analytics of three actors, after iPipe (SIGCOMM 2019, section 4): which words are said most,
//! over a sliding window.
//!
//! *filter* takes datagrams of [`tuples`] and drops those that nobody is interested in; *counter* counts the
//! others over the last few slots of time, and reports now and then; *ranker* keeps the first few of a report
//! and sends them, as a datagram, to whoever gathers them from all such appliances. Any of the three can be
//! moved at any time. The worked example of docs/actors.md.

mod counter;
mod filter;
mod ranker;
pub mod tuples;
mod window;

use std::sync::Arc;

use nf_core::chain::actor::{ActorError, Actors, Magic, Match, NewActor, Transfer, Udp};
use nf_core::sched::ActorId;

pub use counter::Counter;
pub use filter::Filter;
pub use ranker::Ranker;
pub use window::{SLOTS, Window};

/// Kinds of messages between the actors.
pub mod kind {
    /// Tuples to be counted: filter to counter.
    pub const TUPLES: u32 = 1;
    /// A part of a report: counter to ranker.
    pub const REPORT: u32 = 2;
}

/// What the three are set to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// UDP port that tuples are sent to.
    pub port: u16,
    /// What a word begins with that is of interest.
    pub prefix: Arc<[u8]>,
    /// Length of one of the [`SLOTS`] of the window, nanoseconds.
    pub slot_ns: u64,
    /// Time between two reports, nanoseconds.
    pub report_ns: u64,
    /// Words that the ranker keeps; at most [`tuples::MOST_ENTRIES`].
    pub top: usize,
    /// Words that the counter counts outside of its objects, until it reports.
    pub cached: usize,
    /// Who gathers the ranks, and the port by which it is reached.
    pub gatherer: (Udp, u16),
    /// How counter and ranker get to another core.
    pub transfer: Transfer,
}

/// The three.
#[derive(Debug, Clone, Copy)]
pub struct Analytics {
    /// Stateless.
    pub filter: ActorId,
    /// A window of counts.
    pub counter: ActorId,
    /// The first few.
    pub ranker: ActorId,
}

/// Makes the actors, last first, so that each knows where to send; and gives the first one its packets.
///
/// # Errors
///
/// Those of [`Actors::create`] and [`Actors::register`]. What was made by then stays.
pub fn deploy(actors: &Actors, settings: &Settings) -> Result<Analytics, ActorError> {
    let of = settings.clone();
    let ranker = NewActor {
        reasons: ranker::REASONS,
        memory: 64 << 10,
        transfer: settings.transfer,
        ..NewActor::new("ranker")
    };
    let ranker = actors.create(ranker, move || Box::new(Ranker::new(&of)))?;
    let of = settings.clone();
    let counter = NewActor {
        reasons: counter::REASONS,
        counters: counter::COUNTERS,
        memory: 16 << 20,
        transfer: settings.transfer,
        ..NewActor::new("counter")
    };
    let counter = actors.create(counter, move || Box::new(Counter::new(&of, ranker)))?;
    let of = settings.clone();
    let filter = NewActor {
        reasons: filter::REASONS,
        memory: 0,
        ..NewActor::new("filter")
    };
    let filter = actors.create(filter, move || Box::new(Filter::new(&of, counter)))?;
    let magic = Magic {
        at: 0,
        bytes: tuples::MAGIC.to_vec(),
    };
    let ours = Match {
        magic: Some(magic),
        ..Match::udp(settings.port)
    };
    actors.register(filter, &[ours])?;
    Ok(Analytics {
        filter,
        counter,
        ranker,
    })
}
