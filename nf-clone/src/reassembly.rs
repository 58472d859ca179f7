//! Messages of several packets put together again, in bounded memory.
//!
//! Which packets belong together is the key's to say. Packets may come in any order and more than once. A
//! message whose packets do not all come is forgotten after a time, or when too many others are begun.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// What became of a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Added<'a> {
    /// It was the last: the whole payload.
    Complete(&'a [u8]),
    /// Others are missing.
    Waiting,
    /// This packet was there already.
    Repeated,
    /// PKT_CNT is not what the message's earlier packets say.
    CountChanged,
    /// The message would become longer than allowed.
    TooLong,
}

/// Messages begun and not complete, by key.
#[derive(Debug)]
pub struct Reassembler<K> {
    begun: HashMap<K, Partial>,
    /// Oldest first. Entries whose message is complete stay until their turn comes.
    order: VecDeque<(u64, K)>,
    /// Buffers to use again.
    spare: Vec<Partial>,
    complete: Vec<u8>,
    limits: Limits,
    forgotten: u64,
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages begun at a time, at least 1; the oldest goes when one more comes.
    pub messages: usize,
    /// Bytes of a message.
    pub message_bytes: usize,
    /// How long a message's packets are waited for, from the first that came.
    pub timeout: Duration,
}

impl Default for Limits {
    /// 1024 messages of at most 1 MiB, 1 second.
    fn default() -> Limits {
        Limits {
            messages: 1024,
            message_bytes: 1 << 20,
            timeout: Duration::from_secs(1),
        }
    }
}

#[derive(Debug, Default)]
struct Partial {
    born: u64,
    missing: u8,
    /// Where each packet's bytes are in `data`.
    packets: Vec<Option<(u32, u32)>>,
    data: Vec<u8>,
    in_order: bool,
}

impl<K: Copy + Eq + Hash> Reassembler<K> {
    /// Nothing yet.
    pub fn new(limits: Limits) -> Reassembler<K> {
        Reassembler {
            begun: HashMap::new(),
            order: VecDeque::new(),
            spare: Vec::new(),
            complete: Vec::new(),
            limits: Limits {
                messages: limits.messages.max(1),
                ..limits
            },
            forgotten: 0,
        }
    }

    /// Messages begun and not complete.
    pub fn len(&self) -> usize {
        self.begun.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    /// Messages given up, late ones and those that had to make room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The payload of the message that was complete last.
    pub fn last(&self) -> &[u8] {
        &self.complete
    }

    /// Takes packet `idx` of `cnt` of a message. `idx` is below `cnt`.
    pub fn add(&mut self, now: u64, key: K, idx: u8, cnt: u8, payload: &[u8]) -> Added<'_> {
        self.expire(now);
        if !self.begun.contains_key(&key) {
            self.begin(now, key, cnt);
        }
        let Some(partial) = self.begun.get_mut(&key) else {
            return Added::Waiting;
        };
        if partial.packets.len() != usize::from(cnt) {
            return Added::CountChanged;
        }
        let at = partial.data.len();
        let next = cnt.wrapping_sub(partial.missing);
        let Some(packet) = partial.packets.get_mut(usize::from(idx)) else {
            return Added::CountChanged;
        };
        if packet.is_some() {
            return Added::Repeated;
        }
        if at + payload.len() > self.limits.message_bytes {
            return Added::TooLong;
        }
        *packet = Some((at as u32, payload.len() as u32));
        partial.data.extend_from_slice(payload);
        partial.in_order &= idx == next;
        partial.missing -= 1;
        if partial.missing > 0 {
            return Added::Waiting;
        }
        let Some(mut partial) = self.begun.remove(&key) else {
            return Added::Waiting;
        };
        if partial.in_order {
            std::mem::swap(&mut self.complete, &mut partial.data);
        } else {
            self.complete.clear();
            for &(at, len) in partial.packets.iter().flatten() {
                let bytes = partial.data.get(at as usize..(at + len) as usize);
                self.complete.extend_from_slice(bytes.unwrap_or_default());
            }
        }
        self.spare.push(partial);
        Added::Complete(&self.complete)
    }

    fn begin(&mut self, now: u64, key: K, cnt: u8) {
        while self.begun.len() >= self.limits.messages {
            let Some((born, key)) = self.order.pop_front() else {
                break;
            };
            self.forget(born, &key);
        }
        let mut partial = self.spare.pop().unwrap_or_default();
        partial.born = now;
        partial.missing = cnt;
        partial.in_order = true;
        partial.packets.clear();
        partial.packets.resize(cnt.into(), None);
        partial.data.clear();
        // Those complete behind one that is not would pile up.
        if self.order.len() >= 2 * self.limits.messages {
            let begun = &self.begun;
            self.order
                .retain(|(born, key)| begun.get(key).is_some_and(|p| p.born == *born));
        }
        self.order.push_back((now, key));
        self.begun.insert(key, partial);
    }

    /// Forgets what is older than the timeout. Done by [`add`](Self::add) too.
    pub fn expire(&mut self, now: u64) {
        let timeout = self.limits.timeout.as_nanos() as u64;
        while let Some(&(born, key)) = self.order.front() {
            let is_live = self.begun.get(&key).is_some_and(|p| p.born == born);
            if is_live && now.saturating_sub(born) <= timeout {
                return;
            }
            self.order.pop_front();
            self.forget(born, &key);
        }
    }

    fn forget(&mut self, born: u64, key: &K) {
        if self.begun.get(key).is_some_and(|p| p.born == born)
            && let Some(partial) = self.begun.remove(key)
        {
            self.spare.push(partial);
            self.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(messages: usize, message_bytes: usize) -> Limits {
        Limits {
            messages,
            message_bytes,
            timeout: Duration::from_nanos(100),
        }
    }

    proptest! {
        #[test]
        fn f16_any_order_with_repeats_gives_the_message(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 2..30),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let mut reassembler = Reassembler::new(limits(4, 1 << 16));
            let cnt = pieces.len() as u8;
            let mut done = false;
            let whole = pieces.concat();
            let mut seen = std::collections::HashSet::new();
            for idx in order.iter().map(|i| i.index(pieces.len())).chain(0..pieces.len()) {
                if done {
                    break;
                }
                let first = seen.insert(idx);
                match reassembler.add(0, 7u32, idx as u8, cnt, &pieces[idx]) {
                    Added::Complete(bytes) => {
                        prop_assert_eq!(bytes, &whole[..]);
                        prop_assert_eq!(seen.len(), pieces.len());
                        done = true;
                    }
                    Added::Waiting => prop_assert!(first),
                    Added::Repeated => prop_assert!(!first),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            prop_assert!(done && reassembler.is_empty());
        }
    }

    #[test]
    fn b10_a_count_that_changes_is_refused() {
        let mut reassembler = Reassembler::new(limits(4, 100));
        assert_eq!(reassembler.add(0, 1, 0, 3, b"a"), Added::Waiting);
        assert_eq!(reassembler.add(0, 1, 1, 2, b"b"), Added::CountChanged);
        assert_eq!(reassembler.add(0, 1, 3, 4, b"b"), Added::CountChanged);
        assert_eq!(reassembler.add(0, 1, 1, 3, b"b"), Added::Waiting);
        assert_eq!(reassembler.add(0, 1, 2, 3, b"c"), Added::Complete(b"abc"));
    }

    #[test]
    fn f16_what_is_not_complete_in_time_is_forgotten() {
        let mut reassembler = Reassembler::new(limits(4, 100));
        reassembler.add(0, 1, 0, 2, b"old");
        reassembler.add(50, 2, 0, 2, b"a");
        assert_eq!(reassembler.add(101, 1, 1, 2, b"!"), Added::Waiting);
        assert_eq!((reassembler.len(), reassembler.forgotten()), (2, 1));
        assert_eq!(reassembler.add(101, 2, 1, 2, b"b"), Added::Complete(b"ab"));
        reassembler.expire(202);
        assert_eq!((reassembler.len(), reassembler.forgotten()), (0, 2));
    }

    #[test]
    fn f16_memory_is_bounded() {
        let mut reassembler = Reassembler::new(limits(4, 5));
        for key in 0..1000 {
            reassembler.add(0, key, 0, 2, b"a");
            assert!(reassembler.len() <= 4 && reassembler.order.len() <= 8);
        }
        assert_eq!(reassembler.forgotten(), 996);
        assert_eq!(reassembler.add(0, 999, 1, 2, b"bcdef"), Added::TooLong);
        assert_eq!(
            reassembler.add(0, 999, 1, 2, b"bcde"),
            Added::Complete(b"abcde")
        );
        for key in 1000..2000 {
            reassembler.add(0, key, 0, 2, b"a");
            reassembler.add(0, key, 1, 2, b"a");
            assert!(reassembler.len() <= 4 && reassembler.order.len() <= 8);
        }
        assert!(reassembler.spare.len() <= 5);
    }
}
