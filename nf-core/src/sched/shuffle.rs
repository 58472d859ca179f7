//! What comes in, shared by the packet cores: stripes of keys, each handled by one core at a time.
//!
//! Network cards for servers have no queue that several cores can take from, so it is made here. Each
//! message goes to a *stripe*, by its key. A stripe with messages stands in a queue of ready stripes;
//! a core takes the stripe, handles one message and gives it back. Idle cores
//! take stripes of others. So nothing waits behind a long handler that another core could run, as
//! in ZygOS, and messages of one key stay in order.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;

use super::actor::Message;
use super::turn::Turn;

/// Something that a core of the first come, first served group can take up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    /// A stripe with messages.
    Stripe(u32),
    /// An actor, by its place in the table, with messages in its mailbox.
    Actor(u16),
}

struct Stripe<M> {
    messages: ArrayQueue<M>,
    turn: Turn,
}

/// The stripes of all sources, and the queues of those that are ready.
pub(super) struct Shuffle<M> {
    stripes: Box<[Stripe<M>]>,
    ready: Box<[ArrayQueue<Ready>]>,
    per_source: usize,
    steals: AtomicU64,
}

impl<M: Message> Shuffle<M> {
    /// For `sources` that put messages in, with `per_source` stripes of `depth` messages each, `queues`
    /// queues of ready ones (one that all cores share, behind a core that does nothing but receive; or one
    /// for each core), and room for the tokens of `actors`.
    pub fn new(
        sources: usize,
        per_source: usize,
        depth: usize,
        queues: usize,
        actors: usize,
    ) -> Shuffle<M> {
        let (sources, per_source) = (sources.max(1), per_source.max(1));
        let stripe = |_| Stripe {
            messages: ArrayQueue::new(depth.max(1)),
            turn: Turn::new(),
        };
        // Void tokens of actors that were taken out of the queue may stand in it as well.
        let tokens = sources * per_source + 4 * actors;
        Shuffle {
            stripes: (0..sources * per_source).map(stripe).collect(),
            ready: (0..queues.max(1))
                .map(|_| ArrayQueue::new(tokens))
                .collect(),
            per_source,
            steals: AtomicU64::new(0),
        }
    }

    fn index(&self, source: usize, key: u64) -> usize {
        // Fibonacci hashing: the high bits of the product depend on all bits of the key.
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        source * self.per_source + (mixed as usize % self.per_source)
    }

    /// Whether nothing of the key's stripe waits or is executed. Stays so until that source puts something in.
    pub fn is_idle(&self, source: usize, key: u64) -> bool {
        let stripe = self.stripes.get(self.index(source, key));
        stripe.is_some_and(|stripe| stripe.turn.is_idle())
    }

    /// Puts a message in; gives it back when its stripe is full.
    pub fn put(&self, source: usize, message: M) -> Result<(), M> {
        let index = self.index(source, message.key());
        let Some(stripe) = self.stripes.get(index) else {
            return Err(message);
        };
        stripe.messages.push(message)?;
        if stripe.turn.arrived() {
            self.make_ready(source, Ready::Stripe(index as u32));
        }
        Ok(())
    }

    /// Puts a token where `core` looks first. There is room for all tokens that can be.
    pub fn make_ready(&self, core: usize, ready: Ready) {
        if let Some(queue) = self.ready.get(core % self.ready.len()) {
            let _has_room = queue.push(ready);
            debug_assert!(_has_room.is_ok(), "one token for each stripe and actor");
        }
    }

    /// Whether something is ready, of `core`'s own or another's.
    #[inline]
    pub fn has_ready(&self, core: usize) -> bool {
        let own = core % self.ready.len();
        !self.ready[own].is_empty() || self.ready.iter().any(|queue| !queue.is_empty())
    }

    /// The next that is ready, of `core`'s own if there is one, else of another's.
    pub fn take(&self, core: usize) -> Option<Ready> {
        let queues = self.ready.len();
        let own = core % queues;
        if let Some(ready) = self.ready[own].pop() {
            return Some(ready);
        }
        for step in 1..queues {
            if let Some(ready) = self.ready[(own + step) % queues].pop() {
                self.steals.fetch_add(1, Ordering::Relaxed);
                return Some(ready);
            }
        }
        None
    }

    /// The first message of a stripe that was [taken](Shuffle::take); it stays taken until it is [given
    /// back](Shuffle::give_back).
    pub fn first(&self, stripe: u32) -> Option<M> {
        let stripe = self.stripes.get(stripe as usize)?;
        stripe.turn.begin().then(|| stripe.messages.pop())?
    }

    /// Gives a stripe back.
    pub fn give_back(&self, index: u32) {
        let Some(stripe) = self.stripes.get(index as usize) else {
            return;
        };
        let more = !stripe.messages.is_empty();
        if more {
            stripe.turn.end_queued();
        }
        if more || stripe.turn.end() {
            self.make_ready(index as usize / self.per_source, Ready::Stripe(index));
        }
    }

    /// Messages that wait, as far as can be said while cores work.
    pub fn len(&self) -> usize {
        self.stripes
            .iter()
            .map(|stripe| stripe.messages.len())
            .sum()
    }

    /// How often a core took what was another's.
    pub fn steals(&self) -> u64 {
        self.steals.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Item(u64, u64);

    impl Message for Item {
        fn actor(&self) -> Option<crate::sched::actor::ActorId> {
            None
        }
        fn key(&self) -> u64 {
            self.0
        }
        fn arrived_ns(&self) -> u64 {
            0
        }
        fn bytes(&self) -> u32 {
            0
        }
    }

    #[test]
    fn ip51_what_is_behind_a_long_message_is_stolen() {
        let shuffle = Shuffle::new(2, 64, 16, 2, 0);
        (0..8).for_each(|key| shuffle.put(0, Item(key, 0)).unwrap());
        // Core 0 is inside the handler of the first.
        let Some(Ready::Stripe(long)) = shuffle.take(0) else {
            panic!()
        };
        let first = shuffle.first(long).unwrap();
        // Core 1 gets all others, and not what is of the same stripe.
        let mut stolen = Vec::new();
        while let Some(Ready::Stripe(stripe)) = shuffle.take(1) {
            assert_ne!(stripe, long);
            stolen.extend(shuffle.first(stripe));
            shuffle.give_back(stripe);
        }
        assert_eq!(stolen.len() + 1 + shuffle.len(), 8);
        assert!(stolen.iter().all(|item| item.0 != first.0));
        assert!(shuffle.steals() > 0);
        shuffle.give_back(long);
    }

    #[test]
    fn a_stripe_is_with_one_core_and_comes_back_while_it_has_messages() {
        let shuffle = Shuffle::new(1, 1, 4, 2, 0);
        (0..4).for_each(|n| shuffle.put(0, Item(7, n)).unwrap());
        assert_eq!(shuffle.put(0, Item(7, 4)), Err(Item(7, 4)), "full");
        for n in 0..4 {
            let core = n as usize % 2;
            assert_eq!(shuffle.take(core), Some(Ready::Stripe(0)));
            assert_eq!(shuffle.first(0), Some(Item(7, n)));
            assert_eq!(shuffle.take(1 - core), None, "nobody else has it");
            shuffle.give_back(0);
        }
        assert_eq!(shuffle.take(0), None);
    }

    #[test]
    fn ip50_behind_a_dispatcher_all_cores_share_one_queue() {
        let shuffle = Shuffle::new(1, 64, 4, 1, 0);
        (0..6).for_each(|key| shuffle.put(0, Item(key, 0)).unwrap());
        let taken = (0..3).filter(|core| shuffle.take(*core).is_some()).count();
        assert_eq!((taken, shuffle.steals()), (3, 0));
    }

    #[test]
    fn ip05_keys_stay_in_order_under_stealing() {
        const KEYS: u64 = 50;
        const EACH: u64 = 2_000;
        let shuffle = std::sync::Arc::new(Shuffle::new(1, 32, 64, 4, 0));
        let seen: Vec<std::sync::atomic::AtomicU64> = (0..KEYS).map(|_| 0.into()).collect();
        let seen = std::sync::Arc::new(seen);
        let left = std::sync::Arc::new(AtomicU64::new(KEYS * EACH));
        let threads: Vec<_> = (0..3)
            .map(|core| {
                let (shuffle, seen, left) = (shuffle.clone(), seen.clone(), left.clone());
                std::thread::spawn(move || {
                    while left.load(Ordering::Acquire) > 0 {
                        let Some(Ready::Stripe(stripe)) = shuffle.take(core) else {
                            std::thread::yield_now();
                            continue;
                        };
                        if let Some(Item(key, n)) = shuffle.first(stripe) {
                            let before = seen[key as usize].fetch_add(1, Ordering::Relaxed);
                            assert_eq!(before, n, "key {key}");
                            left.fetch_sub(1, Ordering::Release);
                        }
                        shuffle.give_back(stripe);
                    }
                })
            })
            .collect();
        for n in 0..EACH {
            for key in 0..KEYS {
                let mut item = Item(key, n);
                while let Err(back) = shuffle.put(0, item) {
                    item = back;
                    std::thread::yield_now();
                }
            }
        }
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}
