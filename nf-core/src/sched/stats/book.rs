//! The books of one actor: what its messages cost, and how long they took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{ACTOR_WEIGHT, Estimate, Ewma, Spread};

/// What has to be known of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Booked {
    /// How many messages were handled together.
    pub messages: u64,
    /// How long the handler took for them all, nanoseconds.
    pub service_ns: u64,
    /// From the arrival of a message to its end, nanoseconds, the mean over them.
    pub sojourn_ns: u64,
    /// Bytes of all messages together.
    pub bytes: u64,
}

/// Written by whoever runs the actor, and by one core at a time: the books move with the actor.
///
/// Service time is what a handler takes. Sojourn is that and all waiting before it. They are kept
/// apart: by sojourn all actors of a group look alike, because they share one queue, and the
/// wrong one would be moved.
#[derive(Debug)]
pub struct Book {
    service: Ewma,
    sojourn: Ewma,
    bytes: Ewma,
    shared: Arc<Shared>,
}

/// The same for the core that decides.
#[derive(Debug, Clone)]
pub struct BookReader(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    service: [AtomicU64; 2],
    sojourn: [AtomicU64; 2],
    bytes: AtomicU64,
    messages: AtomicU64,
    busy_ns: AtomicU64,
}

impl Default for Book {
    fn default() -> Book {
        Book::new()
    }
}

impl Book {
    /// Empty books.
    pub fn new() -> Book {
        Book {
            service: Ewma::new(ACTOR_WEIGHT),
            sojourn: Ewma::new(ACTOR_WEIGHT),
            bytes: Ewma::new(ACTOR_WEIGHT),
            shared: Arc::default(),
        }
    }

    /// For the core that decides.
    pub fn reader(&self) -> BookReader {
        BookReader(self.shared.clone())
    }

    /// Enters an execution.
    #[inline]
    pub fn enter(&mut self, booked: Booked) {
        let Booked {
            messages,
            service_ns,
            sojourn_ns,
            bytes,
        } = booked;
        if messages == 0 {
            return;
        }
        let each = messages as f64;
        self.service.add_mean(service_ns as f64 / each, messages);
        self.sojourn.add_many(sojourn_ns as f64, messages);
        self.bytes.add_many(bytes as f64 / each, messages);
        self.show(messages, service_ns);
    }

    fn show(&self, messages: u64, service_ns: u64) {
        let shared = &*self.shared;
        store(&shared.service, &self.service);
        store(&shared.sojourn, &self.sojourn);
        set(&shared.bytes, self.bytes.mean().to_bits());
        // One writer at a time: no read-modify-write is needed.
        set(&shared.messages, get(&shared.messages) + messages);
        set(&shared.busy_ns, get(&shared.busy_ns) + service_ns);
    }

    /// Enters what many bursts have come to: service times by message, how long messages took from arrival to the
    /// end on average, and their length.
    pub fn enter_spread(&mut self, service: Spread, sojourn_ns: f64, bytes: f64) {
        if service.count == 0 {
            return;
        }
        self.service.add_spread(service);
        self.sojourn.add_many(sojourn_ns, service.count);
        self.bytes.add_many(bytes, service.count);
        self.show(service.count, (service.mean * service.count as f64) as u64);
    }

    /// Mean service time of a message, nanoseconds.
    #[inline]
    pub fn service_ns(&self) -> f64 {
        self.service.mean()
    }

    /// Mean bytes of a message.
    #[inline]
    pub fn message_bytes(&self) -> f64 {
        self.bytes.mean()
    }
}

impl BookReader {
    /// Service time of a message, nanoseconds.
    pub fn service(&self) -> Estimate {
        self.estimate(&self.0.service)
    }

    /// From arrival to end of a message, nanoseconds.
    pub fn sojourn(&self) -> Estimate {
        self.estimate(&self.0.sojourn)
    }

    /// Mean bytes of a message.
    pub fn message_bytes(&self) -> f64 {
        f64::from_bits(get(&self.0.bytes))
    }

    /// Messages handled so far.
    pub fn messages(&self) -> u64 {
        get(&self.0.messages)
    }

    /// Time spent on them, nanoseconds.
    pub fn busy_ns(&self) -> u64 {
        get(&self.0.busy_ns)
    }

    fn estimate(&self, cells: &[AtomicU64; 2]) -> Estimate {
        Estimate {
            mean: f64::from_bits(get(&cells[0])),
            deviation: f64::from_bits(get(&cells[1])).sqrt(),
            samples: self.messages(),
        }
    }
}

// Each cell is right by itself; a reader may see one of this execution and one of the last, which
// differ by one sample.
fn get(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Relaxed)
}

fn set(cell: &AtomicU64, value: u64) {
    cell.store(value, Ordering::Relaxed);
}

#[inline]
fn store(cells: &[AtomicU64; 2], ewma: &Ewma) {
    set(&cells[0], ewma.mean().to_bits());
    // The root is left to the reader, which asks far less often.
    set(&cells[1], ewma.variance().to_bits());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ip09_service_and_sojourn_are_kept_apart() {
        let mut book = Book::new();
        let reader = book.reader();
        for _ in 0..500 {
            book.enter(Booked {
                messages: 4,
                service_ns: 400,
                sojourn_ns: 9_000,
                bytes: 512,
            });
        }
        let (service, sojourn) = (reader.service(), reader.sojourn());
        assert!((service.mean - 100.0).abs() < 1e-6 && service.deviation < 1e-3);
        assert!((sojourn.mean - 9_000.0).abs() < 1e-6);
        assert!((reader.message_bytes() - 128.0).abs() < 1e-6);
        assert_eq!((reader.messages(), reader.busy_ns()), (2_000, 200_000));
        assert_eq!(service.samples, 2_000);
    }

    #[test]
    fn nothing_handled_is_no_sample() {
        let mut book = Book::new();
        book.enter(Booked {
            messages: 0,
            service_ns: 5,
            sojourn_ns: 5,
            bytes: 0,
        });
        assert_eq!(book.reader().service(), Estimate::default());
    }
}
