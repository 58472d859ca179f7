//! All interleavings of a publisher and its readers, by `loom`:
//! `cargo xtask test --package nf-core` runs it, through `tests/publish_model.rs`.
//!
//! The payload's contents are a cell whose accesses `loom` tracks: a read that does not happen
//! after the write of the contents, or a drop that does not happen after every read, fails. Each
//! pair of orderings is weakened in turn to show that the model notices.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::order::{Pair, strength::WEAKENED};
use super::*;

struct Payload {
    content: UnsafeCell<u64>,
    dropped: Arc<AtomicUsize>,
}

// SAFETY: the cell is written before the payload is shared and in its drop only; whether that is
// true is what the model checks.
unsafe impl Sync for Payload {}
// SAFETY: as above.
unsafe impl Send for Payload {}

impl Payload {
    fn new(content: u64, dropped: &Arc<AtomicUsize>) -> Self {
        let payload = Self {
            content: UnsafeCell::new(0),
            dropped: Arc::clone(dropped),
        };
        // SAFETY: nobody else has it yet.
        payload.content.with_mut(|cell| unsafe { *cell = content });
        payload
    }

    fn content(&self) -> u64 {
        // SAFETY: see above; `loom` fails the model before a conflicting access is made.
        self.content.with(|cell| unsafe { *cell })
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        // SAFETY: as above.
        self.content.with_mut(|cell| unsafe { *cell = u64::MAX });
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// One model at a time: which pair is weakened is global.
static ONE: Mutex<()> = Mutex::new(());

fn explore(weakened: Option<Pair>, model: fn()) -> std::thread::Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    *WEAKENED.lock().unwrap_or_else(PoisonError::into_inner) = weakened;
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    catch_unwind(AssertUnwindSafe(|| builder.check(model)))
}

/// Two readers, one of which refreshes twice and the other of which goes away; two versions.
fn publisher_and_two_readers() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let hub = Hub::new();
    let publisher = Publisher::new(&hub, Payload::new(0, &dropped));
    let readers = [1, 2].map(|refreshes| {
        let mut reader = publisher.reader();
        thread::spawn(move || {
            let mut last = reader.get().content();
            for _ in 0..refreshes {
                reader.refresh();
                let now = reader.get().content();
                assert_eq!(now, reader.version());
                assert!(now >= last);
                last = now;
            }
        })
    });
    publisher.publish(Payload::new(1, &dropped));
    publisher.publish(Payload::new(2, &dropped));
    for reader in readers {
        reader.join().unwrap();
    }
    publisher.reclaim();
    assert_eq!(dropped.load(Ordering::Relaxed), 2, "all but the newest");
    drop(publisher);
    assert_eq!(dropped.load(Ordering::Relaxed), 3, "leaked");
}

/// The publisher goes away before the reader.
fn publisher_goes_first() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let hub = Hub::new();
    let publisher = Publisher::new(&hub, Payload::new(0, &dropped));
    let mut reader = publisher.reader();
    let thread = thread::spawn(move || {
        reader.refresh();
        reader.get().content();
    });
    publisher.publish(Payload::new(1, &dropped));
    drop(publisher);
    hub.reclaim();
    thread.join().unwrap();
    hub.reclaim();
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
}

/// A core that has seen the hub's generation change takes over what changed.
fn a_change_is_not_overlooked() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let hub = Hub::new();
    let publisher = Publisher::new(&hub, Payload::new(0, &dropped));
    let mut reader = publisher.reader();
    let mut watch = hub.watch();
    let thread = thread::spawn(move || {
        if watch.changed() {
            reader.refresh();
            assert_eq!(reader.get().content(), 1);
        }
    });
    publisher.publish(Payload::new(1, &dropped));
    thread.join().unwrap();
}

#[test]
fn no_interleaving_reads_what_is_freed_or_leaks() {
    explore(None, publisher_and_two_readers).unwrap();
}

#[test]
fn no_interleaving_frees_early_when_the_publisher_goes_first() {
    explore(None, publisher_goes_first).unwrap();
}

#[test]
fn no_interleaving_overlooks_a_change() {
    explore(None, a_change_is_not_overlooked).unwrap();
}

#[test]
fn publishing_needs_release_and_acquire() {
    explore(Some(Pair::Publish), publisher_and_two_readers).unwrap_err();
}

#[test]
fn passing_needs_release_and_acquire() {
    explore(Some(Pair::Pass), publisher_and_two_readers).unwrap_err();
}

#[test]
fn announcing_needs_release_and_acquire() {
    explore(Some(Pair::Announce), a_change_is_not_overlooked).unwrap_err();
}
