//! Publishing with real threads, and its rules one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use super::*;

const ALIVE: u64 = 0x600d_600d_600d_600d;
const DEAD: u64 = 0xdead_dead_dead_dead;

/// What happened to all payloads of a test.
struct Tally {
    made: AtomicUsize,
    dropped: AtomicUsize,
    dropped_elsewhere: AtomicUsize,
    home: ThreadId,
}

impl Tally {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            made: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            dropped_elsewhere: AtomicUsize::new(0),
            home: thread::current().id(),
        })
    }

    fn payload(self: &Arc<Self>, number: u64) -> Payload {
        self.made.fetch_add(1, Ordering::Relaxed);
        let words = Box::new([number; 32]);
        Payload {
            alive: AtomicU64::new(ALIVE),
            words,
            tally: Arc::clone(self),
        }
    }

    fn left(&self) -> usize {
        self.made.load(Ordering::SeqCst) - self.dropped.load(Ordering::SeqCst)
    }

    fn dropped_elsewhere(&self) -> usize {
        self.dropped_elsewhere.load(Ordering::SeqCst)
    }
}

/// Counts its drops, and poisons its memory in them.
struct Payload {
    alive: AtomicU64,
    words: Box<[u64; 32]>,
    tally: Arc<Tally>,
}

impl Payload {
    /// The number it was made with, after a look at every word.
    fn checked(&self) -> u64 {
        assert_eq!(
            self.alive.load(Ordering::Relaxed),
            ALIVE,
            "freed under a reader"
        );
        let number = self.words[0];
        assert!(
            self.words.iter().all(|word| *word == number),
            "torn or freed under a reader"
        );
        number
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        assert_eq!(
            self.alive.swap(DEAD, Ordering::Relaxed),
            ALIVE,
            "freed twice"
        );
        self.words.fill(DEAD);
        self.tally.dropped.fetch_add(1, Ordering::SeqCst);
        if thread::current().id() != self.tally.home {
            self.tally.dropped_elsewhere.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn readers_see_versions_when_they_refresh() {
    let hub = Hub::new();
    let publisher = Publisher::new(&hub, 10);
    let mut reader = publisher.reader();
    assert_eq!((*reader.get(), reader.version()), (10, 0));
    assert_eq!(publisher.publish(11), 1);
    assert_eq!(
        (*reader.get(), publisher.lagging()),
        (10, 1),
        "still at the old one"
    );
    assert!(reader.refresh());
    assert_eq!((*reader.get(), reader.version()), (11, 1));
    assert!(!reader.refresh(), "nothing new");
    assert_eq!(publisher.lagging(), 0);
    assert_eq!(
        publisher.reader().version(),
        1,
        "a new reader starts at the newest"
    );
    assert_eq!(publisher.with_newest(|value| *value), 11);
}

#[test]
fn a_version_is_freed_when_the_last_reader_has_passed() {
    let tally = Tally::new();
    let hub = Hub::new();
    let publisher = Publisher::new(&hub, tally.payload(0));
    let (mut fast, mut slow) = (publisher.reader(), publisher.reader());
    for number in 1..=5 {
        publisher.publish(tally.payload(number));
        fast.refresh();
    }
    assert_eq!(
        (publisher.pending(), tally.left()),
        (5, 6),
        "the slow reader holds them"
    );
    assert_eq!(slow.get().checked(), 0);
    slow.refresh();
    assert_eq!(tally.left(), 6, "a reader frees nothing");
    hub.reclaim();
    assert_eq!((publisher.pending(), tally.left()), (0, 1));
    assert_eq!(hub.pending(), 0);
}

#[test]
fn without_readers_nothing_is_held() {
    let tally = Tally::new();
    let publisher = Publisher::new(&Hub::new(), tally.payload(0));
    publisher.publish(tally.payload(1));
    assert_eq!((publisher.pending(), tally.left()), (0, 1));
    drop(publisher);
    assert_eq!(tally.left(), 0);
}

#[test]
fn a_reader_that_goes_away_holds_nothing() {
    let tally = Tally::new();
    let publisher = Publisher::new(&Hub::new(), tally.payload(0));
    let reader = publisher.reader();
    publisher.publish(tally.payload(1));
    assert_eq!(publisher.pending(), 1);
    thread::spawn(move || drop(reader)).join().unwrap();
    assert_eq!(tally.left(), 2);
    publisher.reclaim();
    assert_eq!((publisher.pending(), tally.left()), (0, 1));
    assert_eq!(tally.dropped_elsewhere(), 0);
    assert_eq!(publisher.wait_adopted(Duration::ZERO), Ok(()));
}

#[test]
fn readers_outlive_the_publisher_and_the_hub_frees() {
    let tally = Tally::new();
    let hub = Hub::new();
    let publisher = Publisher::new(&hub, tally.payload(0));
    let mut reader = publisher.reader();
    publisher.publish(tally.payload(1));
    drop(publisher);
    hub.reclaim();
    assert_eq!(reader.get().checked(), 0);
    assert!(reader.refresh());
    hub.reclaim();
    assert_eq!((reader.get().checked(), tally.left()), (1, 1));
    assert!(!reader.refresh());
    thread::spawn(move || drop(reader)).join().unwrap();
    assert_eq!(tally.left(), 1, "not by the reader's thread");
    hub.reclaim();
    assert_eq!((tally.left(), tally.dropped_elsewhere()), (0, 0));
}

#[test]
fn the_last_reader_frees_when_nobody_else_is_left() {
    let tally = Tally::new();
    let hub = Hub::new();
    let publisher = Publisher::new(&hub, tally.payload(0));
    let reader = publisher.reader();
    publisher.publish(tally.payload(1));
    drop((publisher, hub));
    assert_eq!((reader.get().checked(), tally.left()), (0, 2));
    drop(reader);
    assert_eq!(tally.left(), 0);
}

#[test]
fn a_watch_tells_of_every_publisher_once() {
    let hub = Hub::new();
    let (one, two) = (Publisher::new(&hub, 1), Publisher::new(&hub, 2));
    let mut watch = hub.watch();
    assert!(!watch.changed());
    one.publish(3);
    two.publish(4);
    assert!(watch.changed());
    assert!(!watch.changed());
    two.publish(5);
    assert!(watch.changed());
}

#[test]
fn a_stuck_reader_is_named_and_waited_for_no_longer_than_asked() {
    let publisher = Publisher::new(&Hub::new(), 0);
    let mut reader = publisher.reader();
    publisher.publish(1);
    let start = Instant::now();
    let error = publisher
        .wait_adopted(Duration::from_millis(20))
        .unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(
        error,
        NotAdopted {
            version: 1,
            lagging: 1
        }
    );
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(10));
            reader.refresh();
        });
        assert_eq!(publisher.wait_adopted(Duration::from_secs(10)), Ok(()));
    });
    assert_eq!(publisher.pending(), 0);
}

#[test]
fn a_value_may_publish_when_it_is_dropped() {
    struct Echo(Arc<Publisher<u32>>);
    impl Drop for Echo {
        fn drop(&mut self) {
            self.0.publish(1);
        }
    }
    let hub = Hub::new();
    let log = Arc::new(Publisher::new(&hub, 0));
    let publisher = Publisher::new(&hub, Echo(Arc::clone(&log)));
    let reader = publisher.reader();
    publisher.publish(Echo(Arc::clone(&log)));
    drop(reader);
    hub.reclaim();
    assert_eq!(log.version(), 1);
}

/// 10^5 versions while two readers run, and others come and go.
#[test]
fn a_hundred_thousand_versions_under_load() {
    const VERSIONS: u64 = 100_000;
    let tally = Tally::new();
    let hub = Hub::new();
    let publisher = Publisher::new(&hub, tally.payload(0));
    let done = Arc::new(AtomicBool::new(false));
    let core = |lifetime: Option<usize>| {
        let mut reader = publisher.reader();
        let mut watch = hub.watch();
        let done = Arc::clone(&done);
        thread::spawn(move || {
            reader.refresh();
            let (mut last, mut turns, mut taken) = (reader.get().checked(), 0, 0);
            loop {
                let finished = done.load(Ordering::Acquire);
                if watch.changed() {
                    reader.refresh();
                    taken += 1;
                }
                let number = reader.get().checked();
                assert!(number >= last, "went back");
                last = number;
                turns += 1;
                if finished || lifetime.is_some_and(|lifetime| turns >= lifetime) {
                    return (last, taken);
                }
                if turns % 64 == 0 {
                    thread::yield_now();
                }
            }
        })
    };
    let steady = [core(None), core(None)];
    let mut passing = Vec::new();
    let mut most = 0;
    for number in 1..=VERSIONS {
        assert_eq!(publisher.publish(tally.payload(number)), number);
        most = most.max(publisher.pending());
        if number % 2_000 == 0 {
            passing.push(core(Some(500)));
        }
        if publisher.pending() > 1_000 {
            publisher.wait_adopted(Duration::from_secs(60)).unwrap();
        }
    }
    publisher.wait_adopted(Duration::from_secs(60)).unwrap();
    done.store(true, Ordering::Release);
    for thread in steady {
        let (last, taken) = thread.join().unwrap();
        assert_eq!(last, VERSIONS, "the last version was overlooked");
        assert!(
            taken > 50,
            "the readers did not run while versions were published"
        );
    }
    for thread in passing {
        thread.join().unwrap();
    }
    hub.reclaim();
    assert!(most > 0);
    assert_eq!((publisher.pending(), tally.left()), (0, 1));
    drop(publisher);
    assert_eq!(tally.left(), 0, "leaked");
    assert_eq!(
        tally.dropped_elsewhere(),
        0,
        "a reader's thread has freed something"
    );
}
