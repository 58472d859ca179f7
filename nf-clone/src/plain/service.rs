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

/// A service and its servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// What the settings say.
    pub rules: Rules,
    /// Its servers.
    pub members: ServerSet,
}

/// Who of a service's servers is asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Those that take requests.
    pub live: ServerSet,
    /// Those that don't answer, and are tried now and then.
    pub down: ServerSet,
}

impl Service {
    /// Who is asked, when the servers in `live` can be chosen, and those in `down` could if they
    /// answered. When none is live, those that are down are asked: nothing is lost by it, and the
    /// first to come back is noticed at once.
    #[inline]
    #[must_use]
    pub fn standing(&self, live: &ServerSet, down: &ServerSet) -> Standing {
        let (live, down) = (self.members.and(live), self.members.and(down));
        match live.is_empty() {
            false => Standing { live, down },
            true => Standing {
                live: down,
                down: ServerSet::EMPTY,
            },
        }
    }
}

impl Standing {
    /// Two different live servers, each ordered pair as likely as any other; one if there is one, and
    /// `None` if there is none. `random` is 64 evenly distributed bits.
    #[inline]
    #[must_use]
    pub fn candidates(&self, random: u64) -> Option<Candidates> {
        let count = self.live.len() as u64;
        // Multiplying the halves is even enough: at most 256 servers out of 2^32 numbers.
        let first = ((random >> 32) * count) >> 32;
        let second = ((random & 0xffff_ffff) * count.saturating_sub(1)) >> 32;
        let second = if second >= first { second + 1 } else { second };
        Some(Candidates {
            first: self.live.nth(first as usize)?,
            second: self.live.nth(second as usize),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn standing(servers: &[u8]) -> Standing {
        Standing {
            live: servers.iter().copied().collect(),
            down: ServerSet::EMPTY,
        }
    }

    #[test]
    fn pairs_are_different_and_even() {
        let standing = standing(&[3, 5, 9]);
        let mut counts: HashMap<(u8, u8), u32> = HashMap::new();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..60_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let pair = standing.candidates(random).unwrap();
            let second = pair.second.unwrap();
            assert_ne!(pair.first, second);
            *counts.entry((pair.first, second)).or_default() += 1;
        }
        assert_eq!(counts.len(), 6);
        let even = |count: &u32| (9_500..10_500).contains(count);
        assert!(counts.values().all(even), "{counts:?}");
    }

    #[test]
    fn one_server_has_no_partner_and_none_is_none() {
        for random in [0, u64::MAX, 1 << 32, 0xffff_ffff] {
            let alone = Candidates {
                first: 4,
                second: None,
            };
            assert_eq!(standing(&[4]).candidates(random), Some(alone));
            assert_eq!(standing(&[]).candidates(random), None);
            let pair = standing(&[4, 7]).candidates(random).unwrap();
            assert_eq!(u32::from(pair.first) + u32::from(pair.second.unwrap()), 11);
        }
    }

    #[test]
    fn x07_servers_that_are_down_are_left_out_unless_all_are() {
        let service = Service {
            rules: Rules::new(0, Protocol::Dns),
            members: [1, 2, 3].into_iter().collect(),
        };
        let [live, down]: [ServerSet; 2] =
            [[1, 3, 9], [2, 7, 8]].map(|servers| servers.into_iter().collect());
        let now = service.standing(&live, &down);
        assert_eq!(now.live.iter().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(now.down.iter().collect::<Vec<_>>(), [2]);
        let nobody = [9].into_iter().collect();
        let now = service.standing(&nobody, &down);
        assert_eq!(now.live.iter().collect::<Vec<_>>(), [2]);
        assert!(now.down.is_empty());
        assert!(service.standing(&nobody, &nobody).live.is_empty());
    }
}
