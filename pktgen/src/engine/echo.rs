//! The other end: turns packets around.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nf_core::dpdk::{LcoreThread, Mempool, RxQueue, TxQueue};
use nf_core::packet::{Batch, Packet};
use nf_core::telemetry::{Block, Counter, View, Writer};
use nf_core::wire::{Layers, MacAddr, icmp, icmpv6, swap_five_tuple};

use super::Engine;
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
struct Echo {
    rx: RxQueue,
    tx: TxQueue,
    /// Buffers for answers, and for packets that are shared.
    pool: Mempool,
    mac: [u8; 6],
    hosts: Hosts,
    counters: Writer<EchoCounters>,
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

/// A core's loop.
fn run(mut echoes: Vec<Echo>, adaptive: bool, stop: &AtomicBool) {
    let mut batch = Batch::new();
    let mut empty = 0u32;
    while !stop.load(Ordering::Relaxed) {
        let mut busy = false;
        for echo in &mut echoes {
            busy |= echo.poll(&mut batch);
        }
        empty = if busy { 0 } else { empty.saturating_add(1) };
        if adaptive && empty > 1000 {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

impl Echo {
    fn poll(&mut self, batch: &mut Batch) -> bool {
        if self.rx.burst(batch, Batch::CAPACITY) == 0 {
            return false;
        }
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
            let sent = self.tx.burst(batch);
            self.counters.returned.add(sent as u64);
            if batch.is_empty() {
                break;
            }
            std::hint::spin_loop();
        }
        self.counters.dropped.add(batch.len() as u64);
        batch.clear();
        true
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

/// A running echo on all ports of an engine.
pub struct EchoHandle {
    threads: Vec<LcoreThread<()>>,
    views: Vec<View<EchoCounters>>,
    stop: Arc<AtomicBool>,
}

impl EchoHandle {
    /// Turns around what comes to the ports of `engine`, on its transmit cores; answers neighbours for
    /// `addresses`.
    pub fn start(
        engine: &Engine,
        addresses: &[std::net::IpAddr],
        adaptive: bool,
    ) -> Result<EchoHandle, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut handle = EchoHandle {
            threads: Vec::new(),
            views: Vec::new(),
            stop,
        };
        let cores = &engine.profile.cores.transmit;
        for (number, &cpu) in (0u16..).zip(cores) {
            let mut echoes = Vec::new();
            for port in &engine.ports {
                // Cores share out a port's queues; each needs one to send on.
                for queue in (number..port.spec().queues).step_by(cores.len()) {
                    let (Some(rx), Some(tx)) = (port.rx_queue(queue), port.tx_queue(queue)) else {
                        return Err(format!("port `{}`: a queue is in use", port.name()));
                    };
                    let mut hosts = Hosts::of([], port.mac());
                    addresses.iter().for_each(|&address| hosts.add(address));
                    let counters = Writer::new(EchoCounters::default());
                    handle.views.push(counters.view());
                    echoes.push(Echo {
                        rx,
                        tx,
                        pool: engine.receive_pool.clone(),
                        mac: port.mac(),
                        hosts,
                        counters,
                    });
                }
            }
            let stop = Arc::clone(&handle.stop);
            let name = format!("echo-{cpu}");
            let thread = LcoreThread::spawn(engine.eal, &name, usize::from(cpu), move || {
                run(echoes, adaptive, &stop);
            });
            handle
                .threads
                .push(thread.map_err(|error| error.to_string())?);
        }
        Ok(handle)
    }

    /// What was counted so far.
    pub fn snapshot(&self) -> EchoSnapshot {
        let mut total = EchoSnapshot::default();
        for view in &self.views {
            let one = view.snapshot();
            total.received += one.received;
            total.returned += one.returned;
            total.dropped += one.dropped;
            total.ignored += one.ignored;
            total.neighbours += one.neighbours;
        }
        total
    }

    /// Ends it, and gives the final counts.
    pub fn stop(mut self) -> EchoSnapshot {
        self.end();
        self.snapshot()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join();
        }
    }
}

impl Drop for EchoHandle {
    fn drop(&mut self) {
        self.end();
    }
}
