//! What lies between the nodes: links, the frames on them, and the events to come.

use std::collections::VecDeque;

use nf_core::wire::{Ethernet, ethertype};

use super::frames::{FrameId, Frames};
use super::link::Link;
use super::queue::{EventQueue, What};
use super::trace::TraceHash;

/// A frame that reaches a port of a node now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The node.
    pub node: u32,
    /// Its port.
    pub port: u16,
    /// The frame.
    pub frame: FrameId,
}

/// Links, frames, events and time.
#[derive(Debug, Default)]
pub struct Fabric {
    /// Nanoseconds since the world began.
    pub now: u64,
    /// What will happen.
    pub events: EventQueue,
    /// Frames on their way.
    pub frames: Frames,
    /// Both directions of every link.
    pub links: Vec<Link>,
    /// By node and port, the link that leads away.
    outgoing: Vec<Vec<Option<u32>>>,
    /// What arrives at this very moment over links without delay.
    at_once: VecDeque<Delivery>,
    /// Of every delivery and event.
    pub trace: TraceHash,
}

impl Fabric {
    /// Adds one direction of a link, which leads away from a port.
    pub fn add_link(&mut self, from: (u32, u16), link: Link) -> u32 {
        let (node, port) = (from.0 as usize, usize::from(from.1));
        if self.outgoing.len() <= node {
            self.outgoing.resize(node + 1, Vec::new());
        }
        if self.outgoing[node].len() <= port {
            self.outgoing[node].resize(port + 1, None);
        }
        let index = self.links.len() as u32;
        self.outgoing[node][port] = Some(index);
        self.links.push(link);
        index
    }

    /// The link that leads away from a port.
    pub fn link_of(&self, node: u32, port: u16) -> Option<u32> {
        let ports = self.outgoing.get(node as usize)?;
        ports.get(usize::from(port)).copied().flatten()
    }

    /// Sends a frame out of a port at `at`, which is now or later. Without a link it ends here.
    #[inline]
    pub fn transmit(&mut self, node: u32, port: u16, at: u64, frame: FrameId) {
        let link = self.link_of(node, port);
        let Some(link) = link.and_then(|index| self.links.get_mut(index as usize)) else {
            return self.frames.free(frame);
        };
        let passage = link.send(at, self.frames.bytes(frame).len());
        let (node, port) = (link.node, link.port);
        let Some(arrives) = passage.arrives else {
            return self.frames.free(frame);
        };
        if let Some(again) = passage.again {
            let copy = self.frames.copy(frame);
            self.deliver(again, node, port, copy);
        }
        if passage.flipped.is_some() && is_arp(self.frames.bytes(frame)) {
            return self.frames.free(frame);
        }
        if let Some(bit) = passage.flipped
            && let Some(byte) = self.frames.buffer(frame).get_mut((bit / 8) as usize)
        {
            *byte ^= 1 << (bit % 8);
        }
        self.deliver(arrives, node, port, frame);
    }

    #[inline]
    fn deliver(&mut self, at: u64, node: u32, port: u16, frame: FrameId) {
        if at == self.now {
            self.at_once.push_back(Delivery { node, port, frame });
        } else {
            self.events.push(at, What::Arrive, node, 0, port, frame.0);
        }
    }

    /// What arrives at this very moment, over links without delay.
    #[inline]
    pub fn at_once(&mut self) -> Option<Delivery> {
        self.at_once.pop_front()
    }
}

fn is_arp(frame: &[u8]) -> bool {
    Ethernet::new(frame).is_some_and(|link| link.ethertype() == ethertype::ARP)
}

#[cfg(test)]
mod tests {
    use super::super::LinkSettings;
    use super::*;

    fn fabric(settings: LinkSettings) -> Fabric {
        let mut fabric = Fabric::default();
        fabric.add_link((0, 1), Link::new("l", (1, 2), settings, 1, "l"));
        fabric
    }

    fn frame(fabric: &mut Fabric) -> FrameId {
        let frame = fabric.frames.alloc();
        fabric.frames.buffer(frame).extend_from_slice(&[0; 64]);
        frame
    }

    #[test]
    fn a_frame_arrives_at_the_other_end() {
        let mut fabric = fabric(LinkSettings {
            delay_ns: 7,
            ..LinkSettings::default()
        });
        let sent = frame(&mut fabric);
        fabric.transmit(0, 1, 5, sent);
        let event = fabric.events.pop(100).unwrap();
        assert_eq!(
            (event.at, event.what, event.node, event.port, event.argument),
            (12, What::Arrive, 1, 2, sent.0)
        );
    }

    #[test]
    fn without_delay_it_arrives_at_once() {
        let mut fabric = fabric(LinkSettings::default());
        let frame = frame(&mut fabric);
        fabric.transmit(0, 1, 0, frame);
        let (node, port) = (1, 2);
        assert_eq!(fabric.at_once(), Some(Delivery { node, port, frame }));
        assert!(fabric.events.is_empty());
    }

    #[test]
    fn duplicates_are_frames_of_their_own_and_one_bit_is_turned_over() {
        let mut fabric = fabric(LinkSettings {
            duplicate: 1.0,
            corrupt: 1.0,
            ..LinkSettings::default()
        });
        let sent = frame(&mut fabric);
        fabric.transmit(0, 1, 0, sent);
        let (copy, original) = (fabric.at_once().unwrap(), fabric.at_once().unwrap());
        assert_eq!(original.frame, sent);
        assert_ne!(copy.frame, sent);
        let ones = |frame| -> u32 {
            fabric
                .frames
                .bytes(frame)
                .iter()
                .map(|b| b.count_ones())
                .sum()
        };
        assert_eq!((ones(copy.frame), ones(sent)), (0, 1));
    }

    #[test]
    fn where_no_link_leads_frames_end() {
        let mut fabric = fabric(LinkSettings::default());
        for (node, port) in [(0, 0), (0, 9), (7, 0)] {
            let frame = frame(&mut fabric);
            fabric.transmit(node, port, 0, frame);
        }
        assert_eq!(fabric.frames.in_use(), 0);
    }
}
