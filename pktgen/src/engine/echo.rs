//! The other end: turns packets around.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nf_core::dpdk::{Mempool, RxQueue, TxQueue};
use nf_core::packet::{Batch, Packet};
use nf_core::telemetry::{Block, Counter, Writer};
use nf_core::wire::{Layers, MacAddr, icmp, icmpv6, swap_five_tuple};

use super::neighbour::{ANSWER_BYTES, Hosts};

/// What an echo counts.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct EchoCounters {
    /// Packets received.
    pub received: Counter,
    /// Packets sent back.
    pub returned: Counter,
    /// Packets that the port did not take back.
    pub dropped: Counter,
    /// Packets that were no IP and no question, and were left.
    pub ignored: Counter,
    /// ARP and neighbour requests answered.
    pub neighbours: Counter,
}

/// The numbers of [`EchoCounters`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct EchoSnapshot {
    /// Packets received.
    pub received: u64,
    /// Packets sent back.
    pub returned: u64,
    /// Packets that the port did not take back.
    pub dropped: u64,
    /// Packets left alone.
    pub ignored: u64,
    /// ARP and neighbour requests answered.
    pub neighbours: u64,
}

impl Block for EchoCounters {
    type Snapshot = EchoSnapshot;

    fn snapshot(&self) -> EchoSnapshot {
        EchoSnapshot {
            returned: self.returned.get(),
            dropped: self.dropped.get(),
            ignored: self.ignored.get(),
            neighbours: self.neighbours.get(),
            received: self.received.get(),
        }
    }
}

/// Turns around what comes to one queue.
pub struct Echo {
    /// Where packets come from.
    pub rx: RxQueue,
    /// Where they go back to.
    pub tx: TxQueue,
    /// Buffers for answers, and for packets that are shared.
    pub pool: Mempool,
    /// The port's address.
    pub mac: [u8; 6],
    /// Addresses that it answers neighbours for.
    pub hosts: Hosts,
    /// Counters.
    pub counters: Writer<EchoCounters>,
    /// Sleeps when nothing comes.
    pub adaptive: bool,
    /// Ends it.
    pub stop: Arc<AtomicBool>,
}

/// What becomes of a packet.
enum Turn {
    /// It goes back as it is now.
    Back,
    /// This goes back instead.
    Answer(Packet),
    /// Nothing goes back.
    Nothing,
}

impl Echo {
    /// Runs until told to stop.
    pub fn run(mut self) {
        let mut batch = Batch::new();
        let mut empty = 0u32;
        while !self.stop.load(Ordering::Relaxed) {
            if self.rx.burst(&mut batch, Batch::CAPACITY) == 0 {
                empty = empty.saturating_add(1);
                if self.adaptive && empty > 1000 {
                    std::thread::sleep(Duration::from_micros(50));
                }
                continue;
            }
            empty = 0;
            self.counters.received.add(batch.len() as u64);
            let mut gone = 0;
            batch.sift(|mut packet| match self.turn(&mut packet) {
                Turn::Back => Some(packet),
                Turn::Answer(answer) => Some(answer),
                Turn::Nothing => {
                    gone += 1;
                    None
                }
            });
            self.counters.ignored.add(gone);
            // A full queue empties while one waits a little; what then is left is dropped.
            for _ in 0..1000 {
                let sent = self.tx.burst(&mut batch);
                self.counters.returned.add(sent as u64);
                if batch.is_empty() {
                    break;
                }
                std::hint::spin_loop();
            }
            self.counters.dropped.add(batch.len() as u64);
            batch.clear();
        }
    }

    fn turn(&self, packet: &mut Packet) -> Turn {
        if !packet.ensure_writable(&self.pool) {
            return Turn::Nothing;
        }
        let length = packet.len();
        let frame = packet.data_mut();
        let layers = Layers::parse_lax(frame, length);
        let mut out = [0; ANSWER_BYTES];
        if let Some(length) = self.hosts.answer(frame, &layers, &mut out) {
            self.counters.neighbours.add(1);
            let answer = out.get(..length.max(60)).unwrap_or_default();
            return Packet::from_bytes(&self.pool, answer).map_or(Turn::Nothing, Turn::Answer);
        }
        let mac = MacAddr(self.mac);
        if icmp::answer_echo(frame, &layers, mac) {
            return Turn::Back;
        }
        if let Some(header) = layers.ipv6(frame) {
            let address = header.destination();
            if icmpv6::answer_echo(frame, &layers, mac, address) {
                return Turn::Back;
            }
        }
        if layers.arp(frame).is_some() || frame.len() < 14 {
            return Turn::Nothing;
        }
        // A packet to everybody does not come from everybody; our own address goes in its place.
        let group = frame.first().is_some_and(|byte| byte & 1 == 1);
        swap_five_tuple(frame, &layers);
        if let Some(source) = frame.get_mut(6..12)
            && group
        {
            source.copy_from_slice(&self.mac);
        }
        Turn::Back
    }
}
