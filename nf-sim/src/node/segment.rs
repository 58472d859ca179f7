//! A learning switch: passes a frame on to where its destination was last heard of, at once, or to all
//! others where it was not.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use nf_core::wire::{Ethernet, MacAddr};
use serde::Serialize;

use crate::engine::{Fabric, FrameId};

/// A fast hash of one number, the same in every run.
#[derive(Debug, Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    #[inline]
    fn write_u16(&mut self, number: u16) {
        self.write_u64(u64::from(number));
    }

    #[inline]
    fn write_u128(&mut self, number: u128) {
        self.write_u64(number as u64);
        self.write_u64((number >> 64) as u64);
    }
}

/// A map whose hashes are the same in every run.
pub(super) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// What a segment has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SegmentCounters {
    /// Frames passed on to one port.
    pub forwarded: u64,
    /// Frames passed on to all ports.
    pub flooded: u64,
    /// Frames whose destination is where they came from, which are too short to have one, or which came
    /// while the segment was down.
    pub dropped: u64,
}

/// A learning switch.
#[derive(Debug)]
pub struct Segment {
    /// Its number among the nodes.
    pub node: u32,
    /// Its name.
    pub name: String,
    /// What it has done.
    pub counters: SegmentCounters,
    ports: u16,
    up: bool,
    stations: NumberMap<u64, u16>,
}

/// Stations a segment remembers; those that come later are flooded to.
const STATIONS: usize = 65_536;

fn key(mac: MacAddr) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

impl Segment {
    /// A segment without ports.
    pub fn new(node: u32, name: &str) -> Segment {
        Segment {
            node,
            name: name.to_owned(),
            counters: SegmentCounters::default(),
            ports: 0,
            up: true,
            stations: NumberMap::default(),
        }
    }

    /// One port more; its number.
    pub fn add_port(&mut self) -> u16 {
        self.ports += 1;
        self.ports - 1
    }

    /// It is up, or down. Going down it loses what it has learnt.
    pub fn set_up(&mut self, up: bool) {
        self.up = up;
        self.stations.clear();
    }

    /// A frame has arrived.
    pub fn arrive(&mut self, port: u16, frame: FrameId, fabric: &mut Fabric) {
        let link = Ethernet::new(fabric.frames.bytes(frame));
        let Some(link) = link.filter(|_| self.up) else {
            self.counters.dropped += 1;
            return fabric.frames.free(frame);
        };
        let (to, from) = (link.destination(), link.source());
        if from.is_unicast() {
            let room = self.stations.len() < STATIONS;
            match self.stations.get_mut(&key(from)) {
                Some(known) => *known = port,
                None if room => {
                    self.stations.insert(key(from), port);
                }
                None => {}
            }
        }
        let known = match to.is_multicast() {
            true => None,
            false => self.stations.get(&key(to)).copied(),
        };
        match known {
            Some(out) if out == port => {
                self.counters.dropped += 1;
                fabric.frames.free(frame);
            }
            Some(out) => {
                self.counters.forwarded += 1;
                fabric.transmit(self.node, out, fabric.now, frame);
            }
            None => {
                self.counters.flooded += 1;
                for out in (0..self.ports).filter(|&out| out != port) {
                    let copy = fabric.frames.copy(frame);
                    fabric.transmit(self.node, out, fabric.now, copy);
                }
                fabric.frames.free(frame);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Link, LinkSettings};

    /// A segment with three ports, whose links lead to nodes 10, 11 and 12.
    fn world() -> (Segment, Fabric) {
        let mut segment = Segment::new(0, "s");
        let mut fabric = Fabric::default();
        for end in 0..3 {
            let port = segment.add_port();
            let link = Link::new("l", (10 + end, 0), LinkSettings::default(), 1, "l");
            fabric.add_link((0, port), link);
        }
        (segment, fabric)
    }

    fn pass(
        segment: &mut Segment,
        fabric: &mut Fabric,
        port: u16,
        from: u8,
        to: MacAddr,
    ) -> Vec<u32> {
        let frame = fabric.frames.alloc();
        let bytes = fabric.frames.buffer(frame);
        bytes.extend_from_slice(&to.0);
        bytes.extend_from_slice(&[2, 0, 0, 0, 0, from, 8, 0]);
        segment.arrive(port, frame, fabric);
        let mut reached = Vec::new();
        while let Some(delivery) = fabric.at_once() {
            reached.push(delivery.node);
            fabric.frames.free(delivery.frame);
        }
        assert_eq!(fabric.frames.in_use(), 0);
        reached
    }

    #[test]
    fn it_floods_until_it_has_heard_of_a_station_and_again_when_it_moves() {
        let (mut segment, mut fabric) = world();
        let mac = |n| MacAddr([2, 0, 0, 0, 0, n]);
        assert_eq!(pass(&mut segment, &mut fabric, 0, 1, mac(2)), [11, 12]);
        assert_eq!(pass(&mut segment, &mut fabric, 1, 2, mac(1)), [10]);
        assert_eq!(pass(&mut segment, &mut fabric, 0, 1, mac(2)), [11]);
        assert_eq!(
            pass(&mut segment, &mut fabric, 2, 2, mac(1)),
            [10],
            "it moved"
        );
        assert_eq!(pass(&mut segment, &mut fabric, 0, 1, mac(2)), [12]);
        assert_eq!(
            pass(&mut segment, &mut fabric, 2, 9, mac(2)),
            [0u32; 0],
            "on the same side"
        );
        assert_eq!(
            pass(&mut segment, &mut fabric, 0, 1, MacAddr::BROADCAST),
            [11, 12]
        );
        segment.set_up(false);
        assert_eq!(
            pass(&mut segment, &mut fabric, 0, 1, mac(2)),
            [0u32; 0],
            "down"
        );
        segment.set_up(true);
        assert_eq!(pass(&mut segment, &mut fabric, 0, 1, mac(2)), [11, 12]);
        let expected = SegmentCounters {
            forwarded: 4,
            flooded: 3,
            dropped: 2,
        };
        assert_eq!(segment.counters, expected);
    }
}
