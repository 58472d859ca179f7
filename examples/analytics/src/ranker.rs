//! Keeps the first few words of a report, all in one object, and sends them to whoever gathers them.

use nf_core::chain::actor::{Actor, ActorCx, Udp};
use nf_core::packet::Packet;
use nf_core::sched::dmo::{DmoError, ObjectId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Settings;
use crate::tuples::{self, Entry, Head, MOST_ENTRIES};

pub(crate) const REASONS: &[&str] = &["ranked", "malformed", "no_room"];
const RANKED: usize = 0;
const MALFORMED: usize = 1;
const NO_ROOM: usize = 2;

/// The one object: the first few so far, and behind them room for a part of the report.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Ranks {
    /// Which report they are of.
    number: u32,
    count: u32,
    entries: [Entry; 2 * MOST_ENTRIES],
}

/// The last of the three.
#[derive(Debug)]
pub struct Ranker {
    top: usize,
    gatherer: Udp,
    port: u16,
}

impl Ranker {
    /// Sends to whom the settings say.
    pub fn new(settings: &Settings) -> Ranker {
        let (gatherer, port) = settings.gatherer;
        Ranker {
            top: settings.top.min(MOST_ENTRIES),
            gatherer,
            port,
        }
    }

    /// Takes a part of a report in: sorts it among those that are there, and keeps the first few.
    fn merge(&self, cx: &mut ActorCx<'_>, head: Head, part: &[Entry]) -> Result<(), DmoError> {
        let root = cx.region().root();
        let ranks: &mut Ranks = cx.region_mut().view_mut(root)?;
        if ranks.number != head.number() {
            // A new report; if the one before was cut, it is forgotten.
            (ranks.number, ranks.count) = (head.number(), 0);
        }
        let begin = ranks.count as usize;
        let room = ranks.entries.get_mut(begin..).unwrap_or_default();
        let taken = part.len().min(room.len());
        for (to, from) in room.iter_mut().zip(part) {
            *to = *from;
        }
        let end = begin + taken;
        if let Some(entries) = ranks.entries.get_mut(..end) {
            entries.sort_unstable_by(Entry::ranks);
        }
        ranks.count = end.min(self.top) as u32;
        Ok(())
    }

    /// Sends the ranks of a report.
    fn emit(&self, cx: &mut ActorCx<'_>, head: Head) -> Result<(), DmoError> {
        let Some(mut message) = cx.alloc() else {
            return Ok(()); // counted; the next report has them
        };
        let root = cx.region().root();
        let ranks: &Ranks = cx.region().view(root)?;
        let entries = ranks
            .entries
            .get(..ranks.count as usize)
            .unwrap_or_default();
        let head = Head::new(head.number(), entries.len(), true, head.total());
        let (head, entries) = (head.as_bytes(), entries.as_bytes());
        let written = message.append(head.len() + entries.len()).map(|room| {
            let (first, second) = room.split_at_mut(head.len());
            first.copy_from_slice(head);
            second.copy_from_slice(entries);
        });
        match written {
            Some(()) if cx.encapsulate(&mut message, &self.gatherer).is_ok() => {
                cx.tx(message, self.port);
            }
            _ => cx.drop(message, NO_ROOM),
        }
        Ok(())
    }
}

impl Actor for Ranker {
    fn init(&mut self, cx: &mut ActorCx<'_>) -> Result<(), DmoError> {
        let ranks: ObjectId = cx.dmo_alloc(size_of::<Ranks>())?;
        cx.region_mut().set_root(ranks)
    }

    fn exec(&mut self, cx: &mut ActorCx<'_>, message: Packet) {
        let Some((head, part)) = tuples::report(message.data()) else {
            return cx.drop(message, MALFORMED);
        };
        let merged = self.merge(cx, head, part);
        cx.drop(message, RANKED);
        if merged.is_ok() && head.is_last() {
            // It fails only if the actor's one object were not there.
            let _sent = self.emit(cx, head);
        }
    }
}
