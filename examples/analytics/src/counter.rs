//! Counts words over a sliding window, and reports now and then.
//!
//! Words that are said again and again are counted in a [`Cache`], which knows nothing of the window; it is
//! emptied into the window's objects before each report and before the actor goes elsewhere.

use nf_core::chain::actor::{Actor, ActorCx};
use nf_core::packet::Packet;
use nf_core::sched::ActorId;
use nf_core::sched::dmo::cache::{Cache, Put};
use nf_core::sched::dmo::{DmoError, Region};
use nf_core::telemetry::CounterDesc;
use zerocopy::IntoBytes;

use crate::tuples::{self, Entry, Head, MOST_ENTRIES, Word};
use crate::window::Window;
use crate::{Settings, kind};

pub(crate) const REASONS: &[&str] = &["counted", "malformed"];
const COUNTED: usize = 0;
const MALFORMED: usize = 1;

pub(crate) const COUNTERS: &[CounterDesc] = &[
    CounterDesc {
        name: "words",
        help: "Words counted.",
    },
    CounterDesc {
        name: "words_lost",
        help: "Words not counted for want of memory.",
    },
    CounterDesc {
        name: "reports_cut",
        help: "Reports that were not sent whole for want of packets.",
    },
];
const WORDS: usize = 0;
const LOST: usize = 1;
const CUT: usize = 2;

const REPORT: u64 = 1;

/// The second of the three.
#[derive(Debug)]
pub struct Counter {
    slot_ns: u64,
    report_ns: u64,
    ranker: ActorId,
    cache: Cache<Word, u32>,
}

impl Counter {
    /// Reports to that ranker.
    pub fn new(settings: &Settings, ranker: ActorId) -> Counter {
        Counter {
            slot_ns: settings.slot_ns,
            report_ns: settings.report_ns.max(1),
            ranker,
            cache: Cache::new(settings.cached),
        }
    }

    /// Counts in the window what was counted beside it. What has no room stays where it is.
    fn empty_cache(&mut self, region: &mut Region) -> Result<(), DmoError> {
        let window = Window::open(region)?;
        let mut outcome = Ok(());
        self.cache.drain(|word, count| {
            outcome = window.add(region, word, *count);
            outcome.is_ok()
        });
        outcome
    }

    fn count(&mut self, cx: &mut ActorCx<'_>, word: Word) {
        cx.count(WORDS, 1);
        let Put::InPlaceOf(old, count) = self.cache.change(word, 0, |count| count + 1) else {
            return;
        };
        let region = cx.region_mut();
        let added = Window::open(region).and_then(|window| window.add(region, &old, count));
        if added.is_err() {
            cx.count(LOST, u64::from(count));
        }
    }

    fn report(&mut self, cx: &mut ActorCx<'_>) -> Result<(), DmoError> {
        let (now, slot_ns) = (cx.now(), self.slot_ns);
        // What is in the cache was said before the slot ended, or close to it.
        self.empty_cache(cx.region_mut())?;
        let window = Window::open(cx.region())?;
        window.advance(cx.region_mut(), now, slot_ns)?;
        let number = window.next_report(cx.region_mut())?;
        let (mut entries, mut total) = (Vec::new(), 0);
        window.for_each(cx.region(), |word, count| {
            entries.push(Entry::new(word, count));
            total += count;
        })?;
        let parts = entries.len().div_ceil(MOST_ENTRIES).max(1);
        let mut rest = &entries[..];
        for part in 1..=parts {
            let (these, later) = rest.split_at(rest.len().min(MOST_ENTRIES));
            rest = later;
            let head = Head::new(number, these.len(), part == parts, total);
            let Some(mut message) = cx.alloc() else {
                cx.count(CUT, 1);
                break;
            };
            let (head, these) = (head.as_bytes(), these.as_bytes());
            match message.append(head.len() + these.len()) {
                Some(room) => {
                    let (first, second) = room.split_at_mut(head.len());
                    first.copy_from_slice(head);
                    second.copy_from_slice(these);
                    cx.send(self.ranker, kind::REPORT, u64::from(number), message);
                }
                None => {
                    cx.count(CUT, 1);
                    cx.drop(message, MALFORMED);
                    break;
                }
            }
            cx.checkpoint();
        }
        Ok(())
    }
}

impl Actor for Counter {
    fn init(&mut self, cx: &mut ActorCx<'_>) -> Result<(), DmoError> {
        let (seed, now) = ([cx.random(), cx.random()], cx.now());
        Window::new(cx.region_mut(), seed, now)?;
        cx.timer(self.report_ns, REPORT);
        Ok(())
    }

    fn exec(&mut self, cx: &mut ActorCx<'_>, message: Packet) {
        let Some(words) = tuples::words(message.data()) else {
            return cx.drop(message, MALFORMED);
        };
        for word in words {
            self.count(cx, *word);
        }
        cx.drop(message, COUNTED);
    }

    fn on_timer(&mut self, cx: &mut ActorCx<'_>, _token: u64) {
        if self.report(cx).is_err() {
            cx.count(CUT, 1);
        }
        cx.timer(self.report_ns, REPORT);
    }

    fn on_suspend(&mut self, region: &mut Region) -> Result<(), DmoError> {
        self.empty_cache(region)
    }
}
