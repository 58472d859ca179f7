//! Groups of candidate servers: which two a request may go to.
//!
//! Every *ordered* pair of distinct servers is a group (NetClone 3.3): a request that is not cloned
//! goes to the first of the two, so with unordered pairs one server would get more than another. Group
//! numbers keep their meaning while servers come and go: a server that cannot be chosen is replaced,
//! pair by pair, by one that can.

/// Most servers.
pub const MAX_SERVERS: usize = 256;

/// Number of groups of `n` servers: n(n − 1).
pub const fn count(n: usize) -> usize {
    n * n.saturating_sub(1)
}

/// The positions of a group's servers among `n`; `group` is below [`count`].
pub const fn pair(group: usize, n: usize) -> (usize, usize) {
    let others = n - 1;
    let (first, rest) = (group / others, group % others);
    (first, rest + (rest >= first) as usize)
}

/// The group of two different servers among `n`.
pub const fn number(first: usize, second: usize, n: usize) -> usize {
    let rest = if second < first { second } else { second - 1 };
    first * (n - 1) + rest
}

/// A set of servers by SID, small enough to be copied for every burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerSet([u64; MAX_SERVERS / 64]);

impl ServerSet {
    /// Nobody.
    pub const EMPTY: ServerSet = ServerSet([0; MAX_SERVERS / 64]);

    /// The words of the set, 64 servers each.
    pub const fn from_words(words: [u64; MAX_SERVERS / 64]) -> ServerSet {
        ServerSet(words)
    }

    /// Whether the server is in it.
    #[inline(always)]
    pub const fn has(&self, sid: u8) -> bool {
        self.0[(sid >> 6) as usize] >> (sid & 63) & 1 != 0
    }

    /// Adds a server.
    pub const fn insert(&mut self, sid: u8) {
        self.0[(sid >> 6) as usize] |= 1 << (sid & 63);
    }

    /// Removes a server.
    pub const fn remove(&mut self, sid: u8) {
        self.0[(sid >> 6) as usize] &= !(1 << (sid & 63));
    }

    /// Those that are in both.
    #[inline(always)]
    #[must_use]
    pub const fn and(&self, other: &ServerSet) -> ServerSet {
        let (a, b) = (&self.0, &other.0);
        ServerSet([a[0] & b[0], a[1] & b[1], a[2] & b[2], a[3] & b[3]])
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; MAX_SERVERS / 64]
    }

    /// All of them, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|&sid| self.has(sid))
    }

    /// The `n`th, from 0, lowest first.
    pub(crate) fn nth(&self, mut n: usize) -> Option<u8> {
        for (at, &word) in self.0.iter().enumerate() {
            let here = word.count_ones() as usize;
            if n < here {
                let mut rest = word;
                for _ in 0..n {
                    rest &= rest - 1;
                }
                return Some((at * 64) as u8 + rest.trailing_zeros() as u8);
            }
            n -= here;
        }
        None
    }

    /// One of them but not `partner`, chosen by `turn`; all of them equally often as `turn` runs.
    fn rotate(&self, turn: usize, partner: Option<u8>) -> Option<u8> {
        let mut others = *self;
        if let Some(partner) = partner {
            others.remove(partner);
        }
        match others.len() {
            0 => None,
            n => others.nth(turn % n),
        }
    }
}

impl FromIterator<u8> for ServerSet {
    fn from_iter<I: IntoIterator<Item = u8>>(servers: I) -> ServerSet {
        let mut set = ServerSet::EMPTY;
        for sid in servers {
            set.insert(sid);
        }
        set
    }
}

/// The candidates of a group when only the servers of `live` can be chosen. Both are the same if there
/// is only one; `None` if there is nobody.
#[inline(always)]
pub fn candidates(pair: (u8, u8), group: usize, live: &ServerSet) -> Option<(u8, u8)> {
    if live.has(pair.0) && live.has(pair.1) {
        return Some(pair);
    }
    replace(pair, group, live)
}

#[cold]
fn replace((first, second): (u8, u8), group: usize, live: &ServerSet) -> Option<(u8, u8)> {
    let keep = |sid: u8| live.has(sid).then_some(sid);
    let partner = keep(second);
    let first = match keep(first) {
        Some(first) => first,
        // Nobody but the partner is left: it gets everything.
        None => live.rotate(group, partner).or(partner)?,
    };
    let second = match partner {
        Some(second) => second,
        // Another turn than for the first, or pairs of two dead servers would all become neighbours.
        None => live
            .rotate(group / MAX_SERVERS + group, Some(first))
            .unwrap_or(first),
    };
    Some((first, second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f03_every_ordered_pair_is_one_group() {
        for n in 2..=MAX_SERVERS {
            let mut seen = vec![false; n * n];
            let (mut first, mut second) = (vec![0; n], vec![0; n]);
            for group in 0..count(n) {
                let (a, b) = pair(group, n);
                assert!(a != b && a < n && b < n, "group {group} of {n}: {a}, {b}");
                assert_eq!(number(a, b, n), group);
                assert!(!std::mem::replace(&mut seen[a * n + b], true));
                first[a] += 1;
                second[b] += 1;
            }
            assert!(first.iter().chain(&second).all(|&times| times == n - 1));
        }
        let counts = [2, 3, 4, 5, 6, 16, 256].map(count);
        assert_eq!(counts, [2, 6, 12, 20, 30, 240, 65_280]);
    }

    #[test]
    fn f03_the_worked_example() {
        // Six servers, group 7: first 1, second 3.
        assert_eq!(pair(7, 6), (1, 3));
    }

    #[test]
    fn sets_know_their_members() {
        let set: ServerSet = [0, 63, 64, 200, 255].into_iter().collect();
        assert_eq!(set.len(), 5);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 200, 255]);
        for (n, sid) in set.iter().enumerate() {
            assert_eq!(set.nth(n), Some(sid));
        }
        assert_eq!(set.nth(5), None);
    }

    /// How often each server is first when some are dead, over all groups.
    fn shares(n: usize, live: &ServerSet) -> Vec<usize> {
        let mut shares = vec![0; n];
        for group in 0..count(n) {
            let (a, b) = pair(group, n);
            let (a, b) = candidates((a as u8, b as u8), group, live).expect("somebody lives");
            assert!(live.has(a) && live.has(b));
            assert!(a != b || live.len() == 1, "group {group} has {a} twice");
            shares[usize::from(a)] += 1;
        }
        shares
    }

    #[test]
    fn f22_the_load_of_the_dead_is_shared_by_the_living() {
        for n in [3, 6, 16, 40] {
            for dead in 0..n {
                let live: ServerSet = (0..n).filter(|&s| s != dead).map(|s| s as u8).collect();
                let shares = shares(n, &live);
                assert_eq!(shares[dead], 0);
                let (least, most) = (0..n)
                    .filter(|&s| s != dead)
                    .fold((usize::MAX, 0), |(least, most), s| {
                        (least.min(shares[s]), most.max(shares[s]))
                    });
                assert!(most - least <= 2, "{n} servers, {dead} dead: {shares:?}");
            }
        }
    }

    #[test]
    fn f22_groups_of_the_living_keep_their_pair() {
        let live: ServerSet = [0, 1, 3, 4, 5].into_iter().collect();
        for group in 0..count(6) {
            let (a, b) = pair(group, 6);
            let now = candidates((a as u8, b as u8), group, &live).expect("somebody lives");
            if a != 2 {
                assert_eq!(usize::from(now.0), a);
            }
            if b != 2 {
                assert_eq!(usize::from(now.1), b);
            }
        }
    }

    #[test]
    fn x07_one_left_and_nobody_left() {
        let one: ServerSet = [4].into_iter().collect();
        for group in 0..count(6) {
            let (a, b) = pair(group, 6);
            let pair = (a as u8, b as u8);
            assert_eq!(candidates(pair, group, &one), Some((4, 4)));
            assert_eq!(candidates(pair, group, &ServerSet::EMPTY), None);
        }
    }
}
