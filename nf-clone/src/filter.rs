//! The response filter: of the two answers to a cloned request, the first goes through.
//!
//! A slot holds the id of a request of which one answer has passed. The next answer with that id is the
//! slower one: it ends here, and empties the slot. Another id overwrites what is there, on purpose
//! (NetClone 3.5): nothing gets stuck, and what it costs is a redundant answer now and then, never a lost
//! one.
//!
//! The two answers may come on two cores at once. Each does **one** atomic exchange, so exactly one of
//! them finds its own id. The slot is then emptied by compare-and-exchange, not by a store, or it
//! could take away what a third answer has put there meanwhile. No other data is published through a
//! slot, so relaxed ordering is enough. `tests/filter_model.rs` goes through all interleavings.

use super::sync::{AtomicU64, Ordering};

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The first: it goes on, and is remembered.
    First,
    /// The first, and the slot held another request's id: of that one, the slower answer will pass too.
    Overwrote,
    /// The slower one: it ends.
    Filtered,
}

/// Filter tables: `tables` times 2^`slots_log2` slots of 8 bytes, shared by all cores.
pub struct Filter {
    slots: Box<[AtomicU64]>,
    tables: u8,
    slots_log2: u8,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter")
            .field("tables", &self.tables)
            .field("slots_log2", &self.slots_log2)
            .finish_non_exhaustive()
    }
}

impl Filter {
    /// Empty tables; `None` if there is not that much memory.
    pub fn new(tables: u8, slots_log2: u8) -> Option<Filter> {
        let len = usize::from(tables) << slots_log2;
        let mut slots = Vec::new();
        slots.try_reserve_exact(len).ok()?;
        slots.resize_with(len, || AtomicU64::new(0));
        Some(Filter {
            slots: slots.into_boxed_slice(),
            tables,
            slots_log2,
        })
    }

    /// Number of tables.
    #[inline(always)]
    pub fn tables(&self) -> u8 {
        self.tables
    }

    /// Slots of a table, as a power of two.
    pub fn slots_log2(&self) -> u8 {
        self.slots_log2
    }

    /// Bytes of all tables.
    pub fn bytes(&self) -> usize {
        self.slots.len() * size_of::<AtomicU64>()
    }

    /// The slot of an index in a table; `None` if there is no such table.
    #[inline(always)]
    fn slot(&self, table: u8, index: u64) -> Option<&AtomicU64> {
        if table >= self.tables {
            return None;
        }
        let mask = (1 << self.slots_log2) - 1;
        let at = usize::from(table) << self.slots_log2 | index as usize & mask;
        self.slots.get(at)
    }

    /// An answer to the cloned request `id`, not 0, has come. `index` is reduced to the size of a
    /// table. `None` if there is no such table.
    #[inline(always)]
    pub fn respond(&self, table: u8, index: u64, id: u64) -> Option<Verdict> {
        let slot = self.slot(table, index)?;
        let before = slot.swap(id, Ordering::Relaxed);
        if before == id {
            // It may be another's already; then there is nothing to empty.
            let _ = slot.compare_exchange(id, 0, Ordering::Relaxed, Ordering::Relaxed);
            return Some(Verdict::Filtered);
        }
        Some(match before {
            0 => Verdict::First,
            _ => Verdict::Overwrote,
        })
    }

    /// A packet of an answer of `packets` packets has come from the server `sid`: of a request's two
    /// answers, all packets of one pass and all of the other end, so that the client cannot get a mix.
    ///
    /// The first packet of an answer decides. A packet that finds neither its request nor is the first
    /// passes: the slot has been taken by another request, or the first packet was lost. As long as the
    /// packets of an answer come in their order, all of one server pass whatever collides; if they do not
    /// *and* a request collides meanwhile, neither answer may be whole, and the client asks again.
    ///
    /// `tag` is what tells requests of the same slot apart, 48 bits, see [`winner_tag`].
    #[inline]
    pub fn respond_packet(
        &self,
        table: u8,
        index: u64,
        tag: u64,
        sid: u8,
        packet: u8,
        packets: u8,
    ) -> Option<Verdict> {
        let slot = self.slot(table, index)?;
        let mut before = slot.load(Ordering::Relaxed);
        loop {
            let entry = Winner::of(before);
            let (after, verdict) = match entry {
                Some(entry) if entry.tag == tag && entry.sid == sid => {
                    return Some(Verdict::First);
                }
                Some(entry) if entry.tag == tag => {
                    let left = entry.left - 1;
                    let after = match left {
                        0 => 0,
                        left => Winner { left, ..entry }.word(),
                    };
                    (after, Verdict::Filtered)
                }
                _ if packet != 0 => return Some(Verdict::First),
                other => {
                    let left = packets.max(1);
                    let verdict = match other {
                        Some(_) => Verdict::Overwrote,
                        None => Verdict::First,
                    };
                    (Winner { tag, sid, left }.word(), verdict)
                }
            };
            match slot.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(verdict),
                Err(now) => before = now,
            }
        }
    }
}

/// What a slot of the winner filter holds: `tag:48 | sid:8 | left:8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Winner {
    tag: u64,
    /// Who answered first.
    sid: u8,
    /// Packets of the other's answer that have yet to come, at least 1; so the word is never 0.
    left: u8,
}

impl Winner {
    #[inline(always)]
    const fn of(word: u64) -> Option<Winner> {
        if word == 0 {
            return None;
        }
        Some(Winner {
            tag: word >> 16,
            sid: (word >> 8) as u8,
            left: word as u8,
        })
    }

    #[inline(always)]
    const fn word(self) -> u64 {
        self.tag << 16 | (self.sid as u64) << 8 | self.left as u64
    }
}

/// The least `slots_log2` of the winner filter: index and tag together are the whole id.
pub const WINNER_SLOTS_LOG2: u8 = 16;

/// What tells requests of one slot apart under the winner filter. `index` is the whole one, of which
/// the slot's number is the low bits: the rest, 48 bits with 2^16 slots, is exact.
#[inline(always)]
pub const fn winner_tag(index: u64, slots_log2: u8) -> u64 {
    index >> slots_log2 & 0xffff_ffff_ffff
}

#[cfg(all(test, not(sluice_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(tables: u8, slots_log2: u8) -> Filter {
        Filter::new(tables, slots_log2).expect("memory")
    }

    fn slot(filter: &Filter, table: u8, index: u64) -> u64 {
        filter
            .slot(table, index)
            .expect("a table")
            .load(Ordering::Relaxed)
    }

    #[test]
    fn f08_the_second_response_ends_and_empties_the_slot() {
        let filter = filter(2, 10);
        assert_eq!(filter.respond(1, 7, 7), Some(Verdict::First));
        assert_eq!(slot(&filter, 1, 7), 7);
        assert_eq!(filter.respond(1, 7, 7), Some(Verdict::Filtered));
        assert_eq!(slot(&filter, 1, 7), 0);
    }

    #[test]
    fn f09_another_id_overwrites_and_no_response_is_lost() {
        let filter = filter(1, 10);
        assert_eq!(filter.respond(0, 5, 5), Some(Verdict::First));
        assert_eq!(filter.respond(0, 5, 1029), Some(Verdict::Overwrote));
        // The slower answer to the first one leaks, and takes the slot back.
        assert_eq!(filter.respond(0, 5, 5), Some(Verdict::Overwrote));
        assert_eq!(filter.respond(0, 5, 1029), Some(Verdict::Overwrote));
    }

    #[test]
    fn f10_tables_are_independent() {
        // The example of NetClone 3.5: request 7 in the second of three tables; request 8 falls into
        // the same slot of another table.
        let filter = filter(3, 10);
        assert_eq!(filter.respond(1, 3, 7), Some(Verdict::First));
        assert_eq!(filter.respond(2, 3, 8), Some(Verdict::First));
        assert_eq!(filter.respond(1, 3, 7), Some(Verdict::Filtered));
        assert_eq!((slot(&filter, 1, 3), slot(&filter, 2, 3)), (0, 8));
        assert_eq!(filter.respond(2, 3, 8), Some(Verdict::Filtered));
        assert_eq!(filter.respond(3, 3, 8), None, "there are three tables");
    }

    #[test]
    fn x03_ten_million_orphans_do_no_harm() {
        // A server dropped the clone of each request: fingerprints stay until they are overwritten.
        let filter = filter(2, 10);
        for id in 1..=10_000_000u64 {
            let verdict = filter.respond((id & 1) as u8, id, id);
            assert_ne!(verdict, Some(Verdict::Filtered), "{id}");
        }
        // And a pair is filtered as ever.
        assert_eq!(filter.respond(0, 2, 20_000_000), Some(Verdict::Overwrote));
        assert_eq!(filter.respond(0, 2, 20_000_000), Some(Verdict::Filtered));
    }

    #[test]
    fn f17_the_winner_filter_never_mixes_two_servers() {
        let filter = filter(1, 16);
        let answer = |sid, packet| filter.respond_packet(0, 9, 77, sid, packet, 3);
        assert_eq!(answer(4, 0), Some(Verdict::First));
        assert_eq!(answer(2, 0), Some(Verdict::Filtered));
        assert_eq!(answer(2, 1), Some(Verdict::Filtered));
        assert_eq!(answer(4, 1), Some(Verdict::First));
        assert_eq!(answer(4, 2), Some(Verdict::First));
        assert_eq!(answer(2, 2), Some(Verdict::Filtered));
        assert_eq!(slot(&filter, 0, 9), 0);
    }

    #[test]
    fn f17_one_packet_is_filtered_by_winner_as_by_id() {
        let filter = filter(1, 16);
        assert_eq!(
            filter.respond_packet(0, 9, 77, 4, 0, 1),
            Some(Verdict::First)
        );
        assert_eq!(
            filter.respond_packet(0, 9, 77, 2, 0, 1),
            Some(Verdict::Filtered)
        );
        assert_eq!(slot(&filter, 0, 9), 0);
    }

    #[test]
    fn tag_and_slot_are_the_whole_index() {
        let (a, b) = (0x1234_5678_9abc_def0u64, 0x1234_5679_9abc_def0);
        assert_ne!(winner_tag(a, 16), winner_tag(b, 16));
        assert_eq!(winner_tag(a, 16) << 16 | a & 0xffff, a);
    }

    proptest! {
        /// However the packets of two answers and of a colliding request interleave: of each request
        /// all packets of one server pass.
        #[test]
        fn f17_some_server_is_always_complete(
            order in Just((0..4u8).flat_map(|answer| [answer; 4]).collect::<Vec<_>>())
                .prop_shuffle(),
            collide: bool,
        ) {
            let filter = filter(1, 16);
            let (mut sent, mut passed) = ([0; 4], [0; 4]);
            // Answers 0 and 1 are of one request, 2 and 3 of another; each keeps its order.
            for answer in order {
                let request = answer / 2;
                let index = if collide { 0 } else { u64::from(request) };
                let packet = &mut sent[usize::from(answer)];
                let verdict = filter.respond_packet(
                    0, index, u64::from(request) + 1, answer % 2, *packet, 4,
                );
                *packet += 1;
                passed[usize::from(answer)] += u8::from(verdict != Some(Verdict::Filtered));
            }
            for pair in passed.chunks(2) {
                prop_assert!(pair.contains(&4), "{passed:?}");
            }
        }
    }
}
