//! Frame lengths: which there are, and in which order they are sent.
//!
//! A frame size counts the Ethernet header and the 4-byte check sequence, as RFC 2544 and data sheets
//! do; the packet handed to a port is 4 bytes shorter, because the port adds the check sequence.

use crate::random::Random;

/// Bytes of the Ethernet frame check sequence, counted in a frame size but not handed to the port.
pub const FCS_BYTES: u32 = 4;

/// Preamble, start delimiter and inter-frame gap: what a frame occupies on the wire besides itself.
pub const L1_OVERHEAD_BYTES: u32 = 20;

/// The classic Internet mix: 7 frames of 64, 4 of 594 and 1 of 1518 bytes out of 12.
pub const IMIX: [(u16, u32); 3] = [(64, 7), (594, 4), (1518, 1)];

/// In which order the deck of sizes is dealt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeOrder {
    /// Round and round.
    Cyclic,
    /// Each packet's size is drawn independently.
    Random,
}

/// The frame sizes of a stream: distinct sizes, and a deck that holds each as often as its weight.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Distinct frame sizes with check sequence, ascending.
    pub distinct: Vec<u16>,
    /// Indices into `distinct`.
    deck: Vec<u16>,
    order: SizeOrder,
}

/// The largest deck: more cards would say the ratio no better.
const MAX_DECK: u64 = 65_536;

impl Sizes {
    /// One size.
    pub fn fixed(size: u16) -> Sizes {
        Sizes {
            distinct: vec![size],
            deck: vec![0],
            order: SizeOrder::Cyclic,
        }
    }

    /// Sizes by weight. The deck is shuffled by `seed`, so that a mix does not come in blocks; each
    /// round of the deck holds the exact proportions. `None` without weight, or with more than
    /// 65 536 cards in the deck.
    pub fn weighted(weights: &[(u16, u32)], seed: u64) -> Option<Sizes> {
        let mut distinct: Vec<u16> = weights.iter().filter(|w| w.1 > 0).map(|w| w.0).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let divisor = weights.iter().fold(0, |a, w| gcd(a, w.1)).max(1);
        let cards: u64 = weights.iter().map(|w| u64::from(w.1 / divisor)).sum();
        if cards == 0 || cards > MAX_DECK {
            return None;
        }
        let mut deck = Vec::with_capacity(cards as usize);
        for &(size, weight) in weights {
            if let Ok(index) = distinct.binary_search(&size) {
                deck.extend(std::iter::repeat_n(
                    index as u16,
                    (weight / divisor) as usize,
                ));
            }
        }
        Random::new(seed, 0x512e).shuffle(&mut deck);
        Some(Sizes {
            distinct,
            deck,
            order: SizeOrder::Cyclic,
        })
    }

    /// The sizes listed, in the order listed. `None` for an empty list.
    pub fn list(sizes: &[u16]) -> Option<Sizes> {
        let mut distinct = sizes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let deck: Vec<u16> = sizes
            .iter()
            .filter_map(|size| distinct.binary_search(size).ok().map(|i| i as u16))
            .collect();
        (!deck.is_empty()).then_some(Sizes {
            distinct,
            deck,
            order: SizeOrder::Cyclic,
        })
    }

    /// Every size from `from` to `to` in steps of `step`. `None` for an empty range.
    pub fn range(from: u16, to: u16, step: u16, order: SizeOrder) -> Option<Sizes> {
        let distinct: Vec<u16> = (from..=to).step_by(usize::from(step.max(1))).collect();
        let deck = (0..distinct.len() as u16).collect();
        (!distinct.is_empty()).then_some(Sizes {
            distinct,
            deck,
            order,
        })
    }

    /// The largest frame size.
    pub fn largest(&self) -> u16 {
        self.distinct.last().copied().unwrap_or(0)
    }

    /// Mean frame size in bytes over a round of the deck.
    pub fn mean(&self) -> f64 {
        let total: u64 = self
            .deck
            .iter()
            .filter_map(|&i| self.distinct.get(usize::from(i)))
            .map(|&size| u64::from(size))
            .sum();
        total as f64 / self.deck.len().max(1) as f64
    }

    /// Whether all frames are of one size.
    pub fn is_fixed(&self) -> bool {
        self.distinct.len() == 1
    }

    /// A dealer of size indices, seeded.
    pub fn dealer(&self, seed: u64) -> Dealer {
        Dealer {
            deck: self.deck.clone(),
            position: 0,
            order: self.order,
            random: Random::new(seed, 0x51de),
        }
    }
}

/// Deals sizes as indices into [`Sizes::distinct`].
#[derive(Debug, Clone)]
pub struct Dealer {
    deck: Vec<u16>,
    position: usize,
    order: SizeOrder,
    random: Random,
}

impl Dealer {
    /// The next packet's size.
    #[inline]
    pub fn deal(&mut self) -> usize {
        let index = match self.order {
            _ if self.deck.len() == 1 => return 0,
            SizeOrder::Cyclic => {
                let position = self.position;
                self.position = if position + 1 < self.deck.len() {
                    position + 1
                } else {
                    0
                };
                position
            }
            SizeOrder::Random => self.random.below(self.deck.len() as u64) as usize,
        };
        self.deck.get(index).map_or(0, |&size| usize::from(size))
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dealt(sizes: &Sizes, count: usize) -> Vec<u16> {
        let mut dealer = sizes.dealer(1);
        (0..count).map(|_| sizes.distinct[dealer.deal()]).collect()
    }

    #[test]
    fn imix_has_its_exact_proportions_and_is_mixed() {
        let sizes = Sizes::weighted(&IMIX, 5).unwrap();
        let dealt = dealt(&sizes, 1200);
        let count = |size| dealt.iter().filter(|&&s| s == size).count();
        assert_eq!((count(64), count(594), count(1518)), (700, 400, 100));
        assert!(dealt[..7] != [64; 7]);
        assert!((sizes.mean() - (7.0 * 64.0 + 4.0 * 594.0 + 1518.0) / 12.0).abs() < 1e-9);
        assert_eq!(sizes.largest(), 1518);
    }

    #[test]
    fn large_weights_are_reduced() {
        let sizes = Sizes::weighted(&[(64, 5_000_000), (128, 2_500_000)], 1).unwrap();
        assert_eq!(sizes.deck.len(), 3);
        assert!(Sizes::weighted(&[(64, 5_000_001), (128, 2_500_000)], 1).is_none());
        assert!(Sizes::weighted(&[], 1).is_none());
        assert!(Sizes::weighted(&[(64, 0)], 1).is_none());
    }

    #[test]
    fn lists_keep_their_order_and_ranges_step() {
        let list = Sizes::list(&[1518, 64, 64]).unwrap();
        assert_eq!(dealt(&list, 4), [1518, 64, 64, 1518]);
        let range = Sizes::range(64, 70, 3, SizeOrder::Cyclic).unwrap();
        assert_eq!(dealt(&range, 4), [64, 67, 70, 64]);
        assert!(Sizes::range(70, 64, 1, SizeOrder::Cyclic).is_none());
    }

    #[test]
    fn a_random_range_reaches_every_size() {
        let range = Sizes::range(64, 127, 1, SizeOrder::Random).unwrap();
        let mut dealt = dealt(&range, 5000);
        dealt.sort_unstable();
        dealt.dedup();
        assert_eq!(dealt.len(), 64);
    }
}
