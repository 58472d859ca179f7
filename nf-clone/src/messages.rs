//! Requests of several packets: all of them follow what the first packet's decision was.
//!
//! Packets of one request come from one client socket, so receive-side scaling takes all of them to one
//! core, and the table is the core's own. Entries end by time alone: the answer may come on another core.

/// What was decided for the packets of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where the original goes.
    pub first: u8,
    /// Where the clone goes, if there is one.
    pub clone: Option<u8>,
}

/// What the table says of a later packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// This was decided.
    Route(Route),
    /// The message had another number of packets before.
    OtherCount,
    /// Nothing is known: the packet goes to its first candidate.
    Unknown,
}

/// Entries side by side that a message may be in.
const WAYS: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: u64,
    expires: u64,
    route: Route,
    packets: u8,
    used: bool,
}

const FREE: Entry = Entry {
    key: 0,
    expires: 0,
    route: Route {
        first: 0,
        clone: None,
    },
    packets: 0,
    used: false,
};

/// The messages of a core whose first packet was cloned, or did not go to its first candidate.
pub struct Messages {
    sets: Box<[[Entry; WAYS]]>,
    ttl_ns: u64,
    expired: u64,
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages")
            .field("entries", &(self.sets.len() * WAYS))
            .finish_non_exhaustive()
    }
}

impl Messages {
    /// Room for 2^`log2` messages, each for `ttl_ns` nanoseconds.
    pub fn new(log2: u8, ttl_ns: u64) -> Messages {
        let sets = (1usize << log2).div_ceil(WAYS).next_power_of_two();
        Messages {
            sets: vec![[FREE; WAYS]; sets].into_boxed_slice(),
            ttl_ns,
            expired: 0,
        }
    }

    /// How long entries made from now on live, nanoseconds.
    pub fn set_ttl(&mut self, ttl_ns: u64) {
        self.ttl_ns = ttl_ns;
    }

    #[inline]
    fn set(&mut self, key: u64) -> Option<&mut [Entry; WAYS]> {
        let at = crate::id::hashed_index(key) as usize & (self.sets.len() - 1);
        self.sets.get_mut(at)
    }

    /// Remembers what was decided for the message `key` of `packets` packets. False when there is no room:
    /// then it must go the way that later packets take by themselves.
    pub fn insert(&mut self, now: u64, key: u64, packets: u8, route: Route) -> bool {
        let expires = now.saturating_add(self.ttl_ns);
        let Some(set) = self.set(key) else {
            return false;
        };
        let place = set
            .iter()
            .position(|entry| entry.used && entry.key == key)
            .or_else(|| {
                set.iter()
                    .position(|entry| !entry.used || entry.expires <= now)
            });
        let Some(entry) = place.and_then(|at| set.get_mut(at)) else {
            return false;
        };
        let was_expired = entry.used && entry.key != key;
        *entry = Entry {
            key,
            expires,
            route,
            packets,
            used: true,
        };
        self.expired += u64::from(was_expired);
        true
    }

    /// What was decided for a message.
    pub fn find(&mut self, now: u64, key: u64, packets: u8) -> Found {
        let Some(set) = self.set(key) else {
            return Found::Unknown;
        };
        let Some(entry) = set.iter_mut().find(|entry| entry.used && entry.key == key) else {
            return Found::Unknown;
        };
        if entry.expires <= now {
            *entry = FREE;
            self.expired += 1;
            return Found::Unknown;
        }
        match entry.packets == packets {
            true => Found::Route(entry.route),
            false => Found::OtherCount,
        }
    }

    /// Entries that ended by time since the last call.
    pub fn take_expired(&mut self) -> u64 {
        std::mem::take(&mut self.expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLONED: Route = Route {
        first: 3,
        clone: Some(1),
    };

    #[test]
    fn f16_later_packets_follow_the_first() {
        let mut table = Messages::new(10, 1000);
        assert!(table.insert(0, 42, 3, CLONED));
        for now in [0, 500, 999] {
            assert_eq!(table.find(now, 42, 3), Found::Route(CLONED));
        }
        assert_eq!(table.find(0, 43, 3), Found::Unknown);
        assert_eq!(table.find(1000, 42, 3), Found::Unknown, "expired");
        assert_eq!(table.take_expired(), 1);
    }

    #[test]
    fn b10_a_message_that_changes_its_size_is_noticed() {
        let mut table = Messages::new(10, 1000);
        assert!(table.insert(0, 42, 3, CLONED));
        assert_eq!(table.find(0, 42, 4), Found::OtherCount);
    }

    #[test]
    fn b16_a_flood_fills_the_table_and_no_more() {
        let mut table = Messages::new(6, 1000);
        let inserted = (0..100_000)
            .filter(|&key| table.insert(0, key, 2, CLONED))
            .count();
        assert_eq!(inserted, 64);
        // What is old makes room.
        assert!(table.insert(1000, 1 << 40, 2, CLONED));
        assert_eq!(table.take_expired(), 1);
    }

    #[test]
    fn a_repeated_first_packet_decides_again() {
        let mut table = Messages::new(4, 1000);
        let single = Route {
            first: 1,
            clone: None,
        };
        assert!(table.insert(0, 7, 2, CLONED) && table.insert(10, 7, 2, single));
        assert_eq!(table.find(20, 7, 2), Found::Route(single));
    }
}
