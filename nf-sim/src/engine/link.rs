//! One direction of a link: what it does to a frame, and when the frame arrives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use workload::random::Random;

use crate::random::{chance, stream_of};

/// How a link behaves, alike in both directions unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinkSettings {
    /// Nanoseconds from the last bit's departure to its arrival.
    pub delay_ns: u64,
    /// Megabits a second; 0: serialisation takes no time.
    pub mbit_per_s: u64,
    /// Bytes that wait for their turn to be sent; what comes beyond is dropped. Only with a bandwidth.
    pub queue_bytes: u64,
    /// Probability that a frame is lost.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub loss: f64,
    /// Probability that a frame arrives twice.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub duplicate: f64,
    /// Probability that a frame is held back, so that later ones overtake it.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub reorder: f64,
    /// Most nanoseconds for which it is held back; uniform from 1.
    pub reorder_ns: u64,
    /// Probability that a bit of an IP packet is turned over unnoticed by the frame's check sequence. ARP,
    /// which has no checksum of its own, is lost instead.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub corrupt: f64,
}

impl Default for LinkSettings {
    fn default() -> LinkSettings {
        LinkSettings {
            delay_ns: 0,
            mbit_per_s: 0,
            queue_bytes: 1_000_000,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_ns: 10_000,
            corrupt: 0.0,
        }
    }
}

/// What one direction of a link has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LinkCounters {
    /// Frames given to it.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Dropped while it was down.
    pub down: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Dropped because too much waited.
    pub queue_full: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// Sent with a bit turned over.
    pub corrupted: u64,
}

/// One direction of a link.
#[derive(Debug)]
pub struct Link {
    /// Its name in the scenario.
    pub name: String,
    /// The node it leads to.
    pub node: u32,
    /// The port of that node.
    pub port: u16,
    /// How it behaves.
    pub settings: LinkSettings,
    /// How many faults hold it down.
    pub down: u32,
    /// What it has done.
    pub counters: LinkCounters,
    random: Random,
    free_at: u64,
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// When it arrives; `None` if it does not.
    pub arrives: Option<u64>,
    /// When a second one arrives.
    pub again: Option<u64>,
    /// The bit that was turned over.
    pub flipped: Option<u64>,
}

const LOST: Passage = Passage {
    arrives: None,
    again: None,
    flipped: None,
};

/// Bytes of the link header, in which nothing is turned over.
const ETHERNET_HEADER: usize = nf_core::wire::ethernet::HEADER_LEN;

/// Bytes of a frame's life on an Ethernet beside its own: preamble, check sequence, gap.
const ETHERNET_OVERHEAD: u64 = 24;

impl Link {
    /// A link that leads to that port. Its chance follows from `seed` and `stream`, its name there.
    pub fn new(
        name: &str,
        to: (u32, u16),
        settings: LinkSettings,
        seed: u64,
        stream: &str,
    ) -> Link {
        Link {
            name: name.to_owned(),
            node: to.0,
            port: to.1,
            settings,
            down: 0,
            counters: LinkCounters::default(),
            random: stream_of(seed, stream),
            free_at: 0,
        }
    }

    /// Sends a frame of `len` bytes at `at`.
    #[inline]
    pub fn send(&mut self, at: u64, len: usize) -> Passage {
        let settings = &self.settings;
        self.counters.frames += 1;
        self.counters.bytes += len as u64;
        if self.down > 0 {
            self.counters.down += 1;
            return LOST;
        }
        let mut sent = at;
        if settings.mbit_per_s > 0 {
            let wait = self.free_at.saturating_sub(at);
            // One megabit a second is one bit in 1000 ns.
            if wait.saturating_mul(settings.mbit_per_s) / 8_000 > settings.queue_bytes {
                self.counters.queue_full += 1;
                return LOST;
            }
            let bits = (len as u64 + ETHERNET_OVERHEAD) * 8;
            sent = at + wait + (bits * 1_000).div_ceil(settings.mbit_per_s);
            self.free_at = sent;
        }
        let random = &mut self.random;
        if chance(random, settings.loss) {
            self.counters.lost += 1;
            return LOST;
        }
        let mut arrives = sent.saturating_add(settings.delay_ns);
        if chance(random, settings.reorder) {
            self.counters.reordered += 1;
            arrives = arrives.saturating_add(1 + random.below(settings.reorder_ns));
        }
        let flipped = chance(random, settings.corrupt).then(|| {
            self.counters.corrupted += 1;
            let link = ETHERNET_HEADER.min(len) as u64;
            link * 8 + random.below((len as u64 - link) * 8)
        });
        let again = chance(random, settings.duplicate).then(|| {
            self.counters.duplicated += 1;
            arrives
        });
        Passage {
            arrives: Some(arrives),
            again,
            flipped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(settings: LinkSettings) -> Link {
        Link::new("l", (1, 0), settings, 3, "l")
    }

    #[test]
    fn delay_and_serialisation_add_up_and_frames_wait_for_each_other() {
        let mut link = link(LinkSettings {
            delay_ns: 1_000,
            mbit_per_s: 10_000,
            ..LinkSettings::default()
        });
        // (101 + 24) * 8 bits at 10 Gbit/s: 100 ns.
        let arrivals: Vec<_> = (0..3).map(|_| link.send(0, 101).arrives).collect();
        assert_eq!(arrivals, [Some(1_100), Some(1_200), Some(1_300)]);
        assert_eq!(link.send(10_000, 101).arrives, Some(11_100));
    }

    #[test]
    fn what_does_not_fit_the_queue_is_dropped() {
        let mut link = link(LinkSettings {
            mbit_per_s: 1_000,
            queue_bytes: 1_000,
            ..LinkSettings::default()
        });
        let sent = (0..100).filter(|_| link.send(0, 226).arrives.is_some());
        // 250 bytes each on the wire: the sixth would wait behind 1250 bytes.
        assert_eq!(sent.count(), 5);
        assert_eq!(link.counters.queue_full, 95);
        assert!(link.send(10_000, 226).arrives.is_some(), "it has drained");
    }

    #[test]
    fn chance_acts_as_often_as_said() {
        let mut link = link(LinkSettings {
            loss: 0.1,
            duplicate: 0.2,
            reorder: 0.3,
            reorder_ns: 50,
            corrupt: 0.05,
            ..LinkSettings::default()
        });
        let mut late = 0u64;
        for _ in 0..100_000 {
            let passage = link.send(100, 64);
            late = late.max(passage.arrives.map_or(0, |at| at - 100));
            assert!(
                passage
                    .flipped
                    .is_none_or(|bit| (14 * 8..512).contains(&bit))
            );
        }
        let counted = &link.counters;
        let near = |count: u64, of: f64| (count as f64 / of - 1.0).abs() < 0.05;
        assert!(near(counted.lost, 10_000.0), "{counted:?}");
        assert!(near(counted.duplicated, 18_000.0), "{counted:?}");
        assert!(near(counted.reordered, 27_000.0), "{counted:?}");
        assert!(near(counted.corrupted, 4_500.0), "{counted:?}");
        assert_eq!(late, 50);
    }

    #[test]
    fn a_link_that_is_down_takes_nothing() {
        let mut link = link(LinkSettings::default());
        link.down = 1;
        assert_eq!(link.send(0, 64), LOST);
        link.down = 0;
        assert_eq!(link.send(5, 64).arrives, Some(5));
        assert_eq!((link.counters.down, link.counters.frames), (1, 2));
    }
}
