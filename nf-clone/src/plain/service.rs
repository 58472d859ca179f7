//! One service in front of which the appliance stands: its protocol, its servers, and who of them is
//! asked.

use super::matcher::Protocol;
use crate::groups::ServerSet;

/// Where a request goes that is not known to be a read.
///
/// Spreading writes over servers that do not tell each other about them makes the servers differ, and
/// nobody notices. A write is therefore never balanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Writes {
    /// Nowhere: dropped and counted, so that the client's timeout shows the mistake. For servers
    /// that are filled in their own way.
    #[default]
    Drop,
    /// Past this stage, with the address it came with. For a machine that owns the address and takes
    /// the writes.
    Pass,
    /// To this server, always: one that tells the others. When it is down, so are writes.
    Server(u8),
}

/// Whom a request may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidates {
    /// The server that is asked.
    pub first: u8,
    /// A different one, asked too if both are idle.
    pub second: Option<u8>,
}

/// What the settings say of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Tells services apart in the keys of their transactions. Stays with the service.
    pub number: u16,
    /// How its messages are read.
    pub protocol: Protocol,
    /// Where writes go.
    pub writes: Writes,
    /// Whether reads are cloned.
    pub cloning: bool,
    /// Whether a read that is not cloned goes to the less busy candidate rather than the first.
    pub shorter: bool,
    /// A server with at most this many requests outstanding is idle.
    pub idle_threshold: u64,
}

impl Rules {
    /// Reads are cloned when both servers have nothing to do, or go to the less busy one; writes are
    /// dropped.
    #[must_use]
    pub fn new(number: u16, protocol: Protocol) -> Rules {
        Rules {
            number,
            protocol,
            writes: Writes::default(),
            cloning: true,
            shorter: true,
            idle_threshold: 0,
        }
    }
}

/// A service and the servers it has now. Made anew whenever its servers or their health change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What the settings say.
    pub rules: Rules,
    /// Servers that take requests.
    pool: Vec<u8>,
    /// Servers that are down, and tried now and then.
    down: Vec<u8>,
    live: ServerSet,
}

impl Service {
    /// A service of `servers`, of which those in `live` are asked. When none is, all are: nothing is
    /// lost by it, and the first to come back is noticed at once.
    #[must_use]
    pub fn new(rules: Rules, servers: &[u8], live: &ServerSet) -> Service {
        let (mut pool, mut down): (Vec<u8>, Vec<u8>) =
            servers.iter().partition(|server| live.has(**server));
        if pool.is_empty() {
            pool = std::mem::take(&mut down);
        }
        Service {
            rules,
            live: pool.iter().copied().collect(),
            pool,
            down,
        }
    }

    /// Servers that take requests.
    #[must_use]
    pub fn pool(&self) -> &[u8] {
        &self.pool
    }

    /// Servers that don't.
    #[must_use]
    pub fn down(&self) -> &[u8] {
        &self.down
    }

    /// The pool as a set.
    #[must_use]
    pub fn live(&self) -> &ServerSet {
        &self.live
    }

    /// Two different servers of the pool, each pair as likely as any other; one if there is one, and
    /// `None` if there is none. `random` is 64 evenly distributed bits.
    #[inline]
    #[must_use]
    pub fn candidates(&self, random: u64) -> Option<Candidates> {
        let count = self.pool.len() as u64;
        // Multiplying the halves is even enough: at most 256 servers out of 2^32 numbers.
        let first = ((random >> 32) * count) >> 32;
        let first_server = *self.pool.get(first as usize)?;
        let second = ((random & 0xffff_ffff) * count.saturating_sub(1)) >> 32;
        let second = if second >= first { second + 1 } else { second };
        Some(Candidates {
            first: first_server,
            second: self.pool.get(second as usize).copied(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn all() -> ServerSet {
        (0..=255).collect()
    }

    #[test]
    fn pairs_are_different_and_even() {
        let service = Service::new(Rules::new(0, Protocol::Memcached), &[3, 5, 9], &all());
        let mut counts: HashMap<(u8, u8), u32> = HashMap::new();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..60_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let pair = service.candidates(random).unwrap();
            let second = pair.second.unwrap();
            assert_ne!(pair.first, second);
            *counts.entry((pair.first, second)).or_default() += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(
            counts.values().all(|count| (9_500..10_500).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn one_server_has_no_partner_and_none_is_none() {
        for random in [0, u64::MAX, 1 << 32, 0xffff_ffff] {
            let one = Service::new(Rules::new(0, Protocol::Dns), &[4], &all());
            let alone = Candidates {
                first: 4,
                second: None,
            };
            assert_eq!(one.candidates(random), Some(alone));
            let none = Service::new(Rules::new(0, Protocol::Dns), &[], &all());
            assert_eq!(none.candidates(random), None);
            let two = Service::new(Rules::new(0, Protocol::Dns), &[4, 7], &all());
            let pair = two.candidates(random).unwrap();
            assert_eq!(u32::from(pair.first) + u32::from(pair.second.unwrap()), 11);
        }
    }

    #[test]
    fn x07_servers_that_are_down_are_left_out_unless_all_are() {
        let live: ServerSet = [1, 3].into_iter().collect();
        let service = Service::new(Rules::new(0, Protocol::Dns), &[1, 2, 3], &live);
        assert_eq!((service.pool(), service.down()), (&[1, 3][..], &[2][..]));
        let service = Service::new(Rules::new(0, Protocol::Dns), &[1, 2, 3], &ServerSet::EMPTY);
        assert_eq!((service.pool(), service.down()), (&[1, 2, 3][..], &[][..]));
        assert!(service.live().has(2));
    }
}
