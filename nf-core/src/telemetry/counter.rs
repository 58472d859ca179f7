//! Single-writer counters and the two ends of a block of them.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count that one thread advances and any thread reads.
///
/// Adding is a load and a store, not a locked addition: about a tenth of its cost. Two threads
/// that add to the same counter would lose counts; [`Writer`] sees to it that there is only one.
#[derive(Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`; wraps after 2^64.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        let value = self.0.load(Ordering::Relaxed).wrapping_add(n);
        self.0.store(value, Ordering::Relaxed);
    }

    /// Raises the value to `n` if it is less.
    #[inline(always)]
    pub fn raise(&self, n: u64) {
        if n > self.0.load(Ordering::Relaxed) {
            self.0.store(n, Ordering::Relaxed);
        }
    }

    /// The value now.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// Two counters: index 0 counts what goes to the server, index 1 what goes to the client.
#[derive(Debug, Default)]
pub struct ByDirection([Counter; 2]);

impl ByDirection {
    /// Values of the `direction` label, by index.
    pub const LABELS: [&'static str; 2] = ["to_server", "to_client"];

    /// Adds `n` to the counter of `direction`: 0 to the server, any other to the client.
    #[inline(always)]
    pub fn add(&self, direction: usize, n: u64) {
        self.0[usize::from(direction != 0)].add(n);
    }

    /// Both values.
    pub fn get(&self) -> [u64; 2] {
        [self.0[0].get(), self.0[1].get()]
    }
}

const PER_LINE: usize = 16;

/// Two cache lines, because the prefetcher of current processors fetches lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([Counter; PER_LINE]);

/// A number of counters that is known at run time, on cache lines of their own.
#[derive(Debug)]
pub struct CounterSet {
    lines: Box<[Line]>,
    len: usize,
}

impl CounterSet {
    /// `len` counters at zero.
    pub fn new(len: usize) -> Self {
        Self {
            lines: (0..len.div_ceil(PER_LINE))
                .map(|_| Line::default())
                .collect(),
            len,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds `n` to counter `index`; false if there is no such counter.
    #[inline(always)]
    pub fn add(&self, index: usize, n: u64) -> bool {
        match self.lines.get(index / PER_LINE) {
            Some(line) if index < self.len => {
                line.0[index % PER_LINE].add(n);
                true
            }
            _ => false,
        }
    }

    /// The value of counter `index`, if there is one.
    #[inline]
    pub fn get(&self, index: usize) -> Option<u64> {
        let line = self.lines.get(index / PER_LINE);
        line.filter(|_| index < self.len)
            .map(|line| line.0[index % PER_LINE].get())
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.lines
            .iter()
            .flat_map(|line| &line.0)
            .take(self.len)
            .map(Counter::get)
    }
}

/// A block of counters that can be copied out as plain numbers.
pub trait Block: Send + Sync {
    /// The plain numbers.
    type Snapshot;

    /// The values now. Each is exact; those of one packet may be seen apart.
    fn snapshot(&self) -> Self::Snapshot;
}

/// The writing end of a block: the one place its counters are advanced from.
///
/// It can move to another thread, but not be shared or copied. `Deref` gives the block.
pub struct Writer<B> {
    block: Arc<B>,
    // Cell: not Sync, so that a reference to it cannot reach a second thread.
    _one_thread: PhantomData<Cell<()>>,
}

impl<B: Block> Writer<B> {
    /// The writing end of a new block.
    pub fn new(block: B) -> Self {
        Self {
            block: Arc::new(block),
            _one_thread: PhantomData,
        }
    }

    /// A reading end.
    pub fn view(&self) -> View<B> {
        View(Arc::clone(&self.block))
    }
}

impl<B> Deref for Writer<B> {
    type Target = B;

    #[inline(always)]
    fn deref(&self) -> &B {
        &self.block
    }
}

impl<B: fmt::Debug> fmt::Debug for Writer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writer").field(&self.block).finish()
    }
}

/// A reading end of a block; it can only be looked at.
pub struct View<B>(Arc<B>);

impl<B: Block> View<B> {
    /// The values now.
    pub fn snapshot(&self) -> B::Snapshot {
        self.0.snapshot()
    }

    /// The final values if the writing end and every other view are gone, else the view back.
    pub fn into_final(self) -> Result<B::Snapshot, Self> {
        // `try_unwrap` synchronises with the drop of the writing end, so its last additions are
        // in the snapshot.
        Arc::try_unwrap(self.0)
            .map(|block| block.snapshot())
            .map_err(Self)
    }
}

impl<B> Clone for View<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> fmt::Debug for View<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Block for Counter {
        type Snapshot = u64;
        fn snapshot(&self) -> u64 {
            self.get()
        }
    }

    #[test]
    fn adds_and_raises() {
        let counter = Counter::new();
        counter.add(3);
        counter.add(4);
        assert_eq!(counter.get(), 7);
        counter.raise(5);
        assert_eq!(counter.get(), 7);
        counter.raise(9);
        assert_eq!(counter.get(), 9);
        counter.add(u64::MAX);
        assert_eq!(counter.get(), 8, "wraps");
    }

    #[test]
    fn set_refuses_an_unknown_index() {
        let set = CounterSet::new(17);
        assert!(set.add(0, 1));
        assert!(set.add(16, 2));
        assert!(!set.add(17, 3), "within the last line, but not a counter");
        assert!(!set.add(usize::MAX, 3));
        assert_eq!((set.get(16), set.get(17)), (Some(2), None));
        let values: Vec<_> = set.iter().collect();
        assert_eq!(values.len(), 17);
        assert_eq!(values.iter().sum::<u64>(), 3);
        assert!(!CounterSet::new(0).add(0, 1));
    }

    #[test]
    fn lines_are_not_shared_between_sets() {
        assert_eq!(align_of::<Line>(), 128);
        assert_eq!(size_of::<Line>(), 128);
    }

    #[test]
    fn a_view_sees_what_another_thread_wrote_and_ends_with_the_writer() {
        let writer = Writer::new(Counter::new());
        let view = writer.view();
        let view = view.into_final().expect_err("the writer is alive");
        let thread = std::thread::spawn(move || {
            for _ in 0..1000 {
                writer.add(2);
            }
        });
        let mut last = 0;
        while last < 2000 {
            let now = view.snapshot();
            assert!(now >= last);
            last = now;
            std::thread::yield_now();
        }
        thread.join().unwrap();
        assert_eq!(view.into_final().unwrap(), 2000);
    }
}
