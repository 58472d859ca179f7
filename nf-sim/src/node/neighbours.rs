//! Who is behind which MAC address, as a host knows it; and the frames that wait to be told.

use std::net::IpAddr;

use nf_core::wire::MacAddr;

use super::segment::NumberMap;
use crate::engine::FrameId;

/// Frames that wait for all neighbours together.
const WAITING: usize = 1024;

/// A neighbour is asked for again after this time, nanoseconds.
const ASK_AGAIN_NS: u64 = 10_000_000;

/// The neighbours of a host. What was learnt stays until something else is heard.
#[derive(Debug, Default)]
pub struct Neighbours {
    known: NumberMap<u128, MacAddr>,
    asked: NumberMap<u128, u64>,
    waiting: Vec<(u128, FrameId)>,
    released: Vec<FrameId>,
}

/// An address as a number; those of IPv4 are mapped into IPv6.
#[inline]
pub fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => 0xffff_0000_0000 | u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Neighbours {
    /// A neighbour's MAC address.
    #[inline]
    pub fn get(&self, address: IpAddr) -> Option<MacAddr> {
        self.known.get(&key(address)).copied()
    }

    /// Learns, or corrects, a MAC address. Gives the frames that waited for it.
    pub fn learn(&mut self, address: IpAddr, mac: MacAddr) -> &mut Vec<FrameId> {
        let key = key(address);
        self.known.insert(key, mac);
        self.asked.remove(&key);
        let released = &mut self.released;
        self.waiting.retain(|&(wanted, frame)| {
            if wanted == key {
                released.push(frame);
            }
            wanted != key
        });
        released
    }

    /// Keeps a frame until its neighbour is known; gives it back when too many wait.
    pub fn wait(&mut self, address: IpAddr, frame: FrameId) -> Result<(), FrameId> {
        if self.waiting.len() >= WAITING {
            return Err(frame);
        }
        self.waiting.push((key(address), frame));
        Ok(())
    }

    /// Whether the neighbour is to be asked for now.
    pub fn ask(&mut self, address: IpAddr, now: u64) -> bool {
        let asked = self.asked.entry(key(address)).or_insert(0);
        if now < *asked {
            return false;
        }
        *asked = now.saturating_add(ASK_AGAIN_NS);
        true
    }

    /// Frames that wait.
    pub fn waiting(&mut self) -> impl Iterator<Item = FrameId> {
        self.waiting.drain(..).map(|(_, frame)| frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_wait_for_their_own_neighbour() {
        let mut neighbours = Neighbours::default();
        let (a, b) = ("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        for (address, frame) in [(a, 1), (b, 2), (a, 3)] {
            assert_eq!(neighbours.wait(address, FrameId(frame)), Ok(()));
        }
        assert!(neighbours.ask(a, 0) && !neighbours.ask(a, 9_999_999) && neighbours.ask(b, 5));
        assert!(neighbours.ask(a, 10_000_000));
        assert_eq!(neighbours.get(a), None);
        let released: Vec<_> = neighbours.learn(a, mac).drain(..).collect();
        assert_eq!(released, [FrameId(1), FrameId(3)]);
        assert_eq!((neighbours.get(a), neighbours.get(b)), (Some(mac), None));
        assert_eq!(neighbours.waiting().collect::<Vec<_>>(), [FrameId(2)]);
    }

    #[test]
    fn only_so_many_wait() {
        let mut neighbours = Neighbours::default();
        let address = "10.0.0.1".parse().unwrap();
        let refused = (0..2_000).filter(|&n| neighbours.wait(address, FrameId(n)).is_err());
        assert_eq!(refused.count(), 2_000 - WAITING);
    }
}
