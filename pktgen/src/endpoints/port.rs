//! Datagrams over a DPDK port, with as much of a host's manners as that needs: it answers ARP, neighbour
//! solicitations and ping, and asks for the MAC addresses that it sends to.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use nf_core::dpdk::{Mempool, RxQueue, TxQueue};
use nf_core::packet::{Batch, Packet};
use nf_core::wire::{Layers, MacAddr, icmp, icmpv6};
use workload::Network;

use super::{Inbox, Transport, frames};
use crate::engine::neighbour::{ANSWER_BYTES, Hosts, Question};

/// Shortest frame without check sequence.
const SHORTEST: usize = 60;

/// Between two questions for the same address.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Longest wait for an address that has to be known.
const PATIENCE: Duration = Duration::from_secs(5);

/// A sleep when nothing has come and there is time.
const NAP: Duration = Duration::from_micros(50);

/// Hosts whose MAC addresses are remembered.
const MOST_NEIGHBOURS: usize = 65_536;

/// How often a burst is offered to a port that does not take it.
const OFFERS: u32 = 1000;

/// Where frames go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// All to this MAC address.
    Fixed(MacAddr),
    /// To this router, unless the receiver's own address is known.
    Gateway(IpAddr),
    /// To the receiver, who is asked for.
    Direct,
}

/// What a port is made of.
pub struct Queues {
    /// Receives.
    pub rx: RxQueue,
    /// Sends.
    pub tx: TxQueue,
    /// Buffers to send.
    pub pool: Mempool,
    /// The port's address.
    pub mac: [u8; 6],
    /// Longest frame without check sequence.
    pub longest: usize,
}

/// One queue of a port.
pub struct PortTransport {
    queues: Queues,
    mac: MacAddr,
    hosts: Hosts,
    addresses: HashSet<SocketAddr>,
    /// Who asks, by family.
    asker: (Option<IpAddr>, Option<IpAddr>),
    route: Route,
    neighbours: HashMap<IpAddr, MacAddr>,
    asked: HashMap<IpAddr, Instant>,
    incoming: Batch,
    outgoing: Batch,
    /// Of wrong checksums, once.
    warned: bool,
}

impl PortTransport {
    /// A transport with these addresses.
    pub fn new(queues: Queues, addresses: &[SocketAddr], route: Route) -> PortTransport {
        let mut hosts = Hosts::of([], queues.mac);
        let own: HashSet<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        own.iter().for_each(|address| hosts.add(*address));
        let first = |v6: bool| {
            let mut ips = addresses.iter().map(SocketAddr::ip);
            ips.find(|ip| ip.is_ipv6() == v6)
        };
        PortTransport {
            mac: MacAddr(queues.mac),
            hosts,
            addresses: addresses.iter().copied().collect(),
            asker: (first(false), first(true)),
            route,
            neighbours: HashMap::new(),
            asked: HashMap::new(),
            incoming: Batch::new(),
            outgoing: Batch::new(),
            warned: false,
            queues,
        }
    }

    /// Whom to ask for to reach `to`.
    fn hop(&self, to: IpAddr) -> IpAddr {
        match self.route {
            Route::Gateway(gateway) if !self.neighbours.contains_key(&to) => gateway,
            _ => to,
        }
    }

    fn mac_of(&self, to: IpAddr) -> Option<MacAddr> {
        match self.route {
            Route::Fixed(mac) => Some(mac),
            _ => self.neighbours.get(&self.hop(to)).copied(),
        }
    }

    fn ask(&mut self, whom: IpAddr) {
        let now = Instant::now();
        if self
            .asked
            .get(&whom)
            .is_some_and(|at| now.duration_since(*at) < ASK_EVERY)
        {
            return;
        }
        let asker = if whom.is_ipv4() {
            self.asker.0
        } else {
            self.asker.1
        };
        let Some(source) = asker else { return };
        if self.asked.len() >= MOST_NEIGHBOURS {
            self.asked.clear();
        }
        self.asked.insert(whom, now);
        let question = Question {
            gateway: whom,
            source,
            mac: self.mac,
        };
        let mut frame = [0; ANSWER_BYTES];
        if let Some(length) = question.write(&mut frame) {
            self.push(frame.get(..length.max(SHORTEST)).unwrap_or_default());
        }
    }

    /// Puts a frame into the burst.
    fn push(&mut self, frame: &[u8]) -> bool {
        Packet::from_bytes(&self.queues.pool, frame).is_some_and(|packet| self.queue(packet))
    }

    fn queue(&mut self, packet: Packet) -> bool {
        if self.outgoing.is_full() {
            self.flush();
        }
        self.outgoing.push(packet).is_ok()
    }

    /// Remembers who is behind a MAC address.
    fn learn(&mut self, ip: IpAddr, mac: MacAddr) {
        let room = self.neighbours.len() < MOST_NEIGHBOURS || self.neighbours.contains_key(&ip);
        if room && mac.is_unicast() {
            self.neighbours.insert(ip, mac);
        }
    }

    /// Finds the MAC addresses of those to whom will be sent.
    pub fn resolve(&mut self, targets: &[SocketAddr]) -> Result<(), String> {
        let mut missing: Vec<IpAddr> = match self.route {
            Route::Fixed(_) => Vec::new(),
            Route::Gateway(gateway) => vec![gateway],
            Route::Direct => targets.iter().map(SocketAddr::ip).collect(),
        };
        missing.sort_unstable();
        missing.dedup();
        let deadline = Instant::now() + PATIENCE;
        let mut inbox = Inbox::default();
        while !missing.is_empty() {
            if Instant::now() >= deadline {
                let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
                return Err(format!(
                    "{} did not answer within {} s; is it there, and in the same network as {}? Else give \
                     --gateway or --next-hop",
                    names.join(", "),
                    PATIENCE.as_secs(),
                    self.asker
                        .0
                        .or(self.asker.1)
                        .map_or("us".into(), |ip| ip.to_string())
                ));
            }
            missing.iter().for_each(|ip| self.ask(*ip));
            self.flush();
            self.receive(&mut inbox, NAP)?;
            inbox.clear();
            missing.retain(|ip| !self.neighbours.contains_key(ip));
        }
        Ok(())
    }

    fn take(&mut self, packet: &mut Packet, inbox: &mut Inbox) {
        if !packet.is_contiguous() {
            return;
        }
        let length = packet.len();
        let layers = Layers::parse_lax(packet.data(), length);
        let frame = packet.data();
        if let Some((from, to, payload)) = frames::read(frame, &layers) {
            if self.addresses.contains(&to) {
                inbox.push(from, to, payload);
                // Whoever forwarded this knows the way back.
                if !self.neighbours.contains_key(&from.ip())
                    && let Some(source) = frame.get(6..12).and_then(|mac| mac.first_chunk())
                {
                    self.learn(from.ip(), MacAddr(*source));
                }
            }
            return;
        }
        if layers.udp(frame).is_some() && !self.warned {
            self.warned = true;
            tracing::warn!(
                "a datagram came with a wrong checksum and was dropped; if the sender is a kernel behind a \
                 veth pair, let it compute them: ethtool -K INTERFACE tx off"
            );
        }
        let mut out = [0; ANSWER_BYTES];
        if let Some(length) = self.hosts.answer(frame, &layers, &mut out) {
            self.push(out.get(..length.max(SHORTEST)).unwrap_or_default());
            return;
        }
        if let Some(arp) = layers.arp(frame) {
            self.learn(arp.sender_ip().into(), arp.sender_mac());
            return;
        }
        if let Some(nf_core::wire::neighbor::Message::Advert {
            target,
            link: Some(link),
            ..
        }) = nf_core::wire::neighbor::parse(frame, &layers)
        {
            self.learn(target.into(), link);
            return;
        }
        let ours = |ip: IpAddr| self.addresses.iter().any(|address| address.ip() == ip);
        let target: Option<IpAddr> = match (layers.ipv4(frame), layers.ipv6(frame)) {
            (Some(header), _) => Some(header.destination().into()),
            (_, Some(header)) => Some(header.destination().into()),
            _ => None,
        };
        let Some(target) = target.filter(|target| ours(*target)) else {
            return;
        };
        let mut copy = frame.to_vec();
        let answered = match target {
            IpAddr::V4(_) => icmp::answer_echo(&mut copy, &layers, self.mac),
            IpAddr::V6(address) => icmpv6::answer_echo(&mut copy, &layers, self.mac, address),
        };
        if answered {
            self.push(&copy);
        }
    }
}

impl Network for PortTransport {
    fn send(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
        let Some(mac) = self.mac_of(to.ip()) else {
            let hop = self.hop(to.ip());
            self.ask(hop);
            return false;
        };
        let length = frames::headers(to) + payload.len();
        if length > self.queues.longest {
            return false;
        }
        let Some(mut packet) = Packet::alloc(&self.queues.pool) else {
            return false;
        };
        // What lies in the buffer from before pads short frames; nobody reads it.
        let Some(frame) = packet.append(length.max(SHORTEST)) else {
            return false;
        };
        let (frame, padding) = frame.split_at_mut(length.min(frame.len()));
        padding.fill(0);
        if frames::write(frame, (self.mac, mac), from, to, payload).is_none() {
            return false;
        }
        self.queue(packet)
    }
}

impl Transport for PortTransport {
    fn receive(&mut self, inbox: &mut Inbox, wait: Duration) -> Result<(), String> {
        let mut incoming = std::mem::take(&mut self.incoming);
        if self.queues.rx.burst(&mut incoming, Batch::CAPACITY) == 0 {
            self.incoming = incoming;
            if wait >= NAP {
                std::thread::sleep(NAP);
            }
            return Ok(());
        }
        for packet in incoming.iter_mut() {
            self.take(packet, inbox);
        }
        incoming.clear();
        self.incoming = incoming;
        Ok(())
    }

    fn flush(&mut self) {
        for _ in 0..OFFERS {
            if self.outgoing.is_empty() {
                return;
            }
            self.queues.tx.burst(&mut self.outgoing);
        }
        // A port that takes nothing for so long loses it.
        self.outgoing.clear();
    }
}
