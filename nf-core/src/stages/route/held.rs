//! Packets that wait for their next hop's MAC address.

use super::neighbours::Key;
use crate::packet::Packet;

#[derive(Debug)]
struct Held {
    key: Key,
    /// `None` only while packets are taken out.
    packet: Option<Packet>,
}

/// Packets of one core, in the order they came. Its memory is fixed.
#[derive(Debug)]
pub struct HeldPackets {
    packets: Vec<Held>,
    keys: Vec<(Key, u32)>,
}

/// Most neighbours a core waits for at a time.
const MAX_KEYS: usize = 256;

impl HeldPackets {
    /// Room for that many packets.
    pub fn new(packets: usize) -> HeldPackets {
        HeldPackets {
            packets: Vec::with_capacity(packets),
            keys: Vec::with_capacity(MAX_KEYS),
        }
    }

    /// Packets held.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// The neighbour of that number, from 0, that packets wait for.
    pub fn key(&self, index: usize) -> Option<Key> {
        self.keys.get(index).map(|(key, _)| *key)
    }

    /// Keeps a packet. Gives back the one for which there is no room: the oldest for the same
    /// neighbour when there are `limit` already (RFC 1122, section 2.3.2.2: save the latest), else
    /// this one.
    pub fn push(&mut self, key: Key, packet: Packet, limit: usize) -> Option<Packet> {
        let slot = self.keys.iter().position(|(own, _)| *own == key);
        let waiting = slot.and_then(|slot| self.keys.get_mut(slot));
        if let Some((_, count)) = waiting {
            if *count as usize >= limit {
                let oldest = self.packets.iter().position(|held| held.key == key);
                let oldest = oldest.map(|oldest| self.packets.remove(oldest));
                let packet = Some(packet);
                self.packets.push(Held { key, packet });
                return oldest.and_then(|held| held.packet);
            }
            if self.packets.len() == self.packets.capacity() {
                return Some(packet);
            }
            *count += 1;
        } else {
            let full = self.packets.len() == self.packets.capacity();
            if full || self.keys.len() == self.keys.capacity() {
                return Some(packet);
            }
            self.keys.push((key, 1));
        }
        let packet = Some(packet);
        self.packets.push(Held { key, packet });
        None
    }

    /// Takes the oldest packet for a neighbour out.
    pub fn take_one(&mut self, key: Key) -> Option<Packet> {
        let oldest = self.packets.iter().position(|held| held.key == key);
        if let Some(slot) = self.keys.iter().position(|(own, _)| *own == key) {
            match self.keys.get_mut(slot) {
                Some((_, count)) if *count > 1 => *count -= 1,
                _ => drop(self.keys.swap_remove(slot)),
            }
        }
        self.packets.remove(oldest?).packet
    }

    /// Takes all packets for a neighbour out, in order.
    pub fn take(&mut self, key: Key, mut each: impl FnMut(Packet)) {
        let Some(slot) = self.keys.iter().position(|(own, _)| *own == key) else {
            return;
        };
        self.keys.swap_remove(slot);
        self.packets.retain_mut(|held| {
            if held.key != key {
                return true;
            }
            if let Some(packet) = held.packet.take() {
                each(packet);
            }
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pool;

    #[test]
    fn the_latest_packets_are_kept_in_order() {
        let pool = pool(127);
        let packet = |n: u8| Packet::from_bytes(&pool, &[n]).expect("a packet");
        let key = |n: u8| Key::new(0, std::net::IpAddr::V4([10, 0, 0, n].into()));
        let first = |packet: Packet| packet.data().first().copied();
        let mut held = HeldPackets::new(5);
        for n in 0..3 {
            assert!(held.push(key(1), packet(n), 3).is_none());
        }
        assert!(held.push(key(2), packet(9), 3).is_none());
        assert_eq!(
            held.push(key(1), packet(3), 3).and_then(first),
            Some(0),
            "the oldest"
        );
        assert!(held.push(key(2), packet(10), 3).is_none());
        assert_eq!(
            held.push(key(2), packet(11), 3).and_then(first),
            Some(11),
            "no room at all"
        );
        assert_eq!(held.push(key(3), packet(12), 3).and_then(first), Some(12));
        let mut taken = Vec::new();
        held.take(key(1), |packet| taken.extend(first(packet)));
        assert_eq!((taken, held.len()), (vec![1, 2, 3], 2));
        assert_eq!((held.key(0), held.key(1)), (Some(key(2)), None));
        drop(held);
        assert_eq!(pool.in_use(), 0);
    }
}
