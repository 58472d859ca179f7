//! The data path of the `route` stage: what kind of packet it is, and where each kind goes.
//!
//! A burst is looked at once to sort it and to collect destinations, which are then looked up
//! together; a second pass sends every packet where its route leads.

use std::net::Ipv6Addr;
use std::sync::Arc;

use super::config::Mode;
use super::held::HeldPackets;
use super::neighbours::Neighbours;
use super::reasons::{Count, Reason};
use super::turn::Turn;
use super::version::{Interface, Version};
use crate::chain::{Claims, Cx, Stage};
use crate::clock::Bucket;
use crate::packet::{Batch, Packet};
use crate::publish::Reader;
use crate::wire::{Ethernet, Ipv4, Ipv6, Malformed, checksum, ethernet, ethertype, ipv4, ipv6};

/// Tokens of the stage's timers.
const POLL: u64 = 0;
const HOUSEKEEPING: u64 = 1;

/// How often a core with held packets looks whether another core has heard the answer.
const POLL_NS: u64 = 1_000_000;

/// How often announcements are looked for.
const HOUSEKEEPING_NS: u64 = 100_000_000;

/// What a shard has besides the version: passed on with it to where packets are handled.
#[derive(Debug)]
pub(super) struct Work {
    pub neighbours: Arc<Neighbours>,
    pub held: HeldPackets,
    pub requests: Bucket,
    pub icmp: Bucket,
    pub claims: Claims,
}

/// The shard of one core.
#[derive(Debug)]
pub struct RouteShard {
    version: Reader<Version>,
    work: Work,
    polling: bool,
    /// The core that announces addresses is the first.
    announces: bool,
    housekeeping: bool,
    announced: u64,
    to4: Box<[u32; Batch::CAPACITY]>,
    to6: Box<[[u8; 16]; Batch::CAPACITY]>,
}

/// What the first look says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// IPv4, to be looked up.
    V4,
    /// IPv6, to be looked up.
    V6,
    /// IPv6 to a link-local address.
    Near6,
    /// IPv6 to a group.
    Group6,
    Arp,
    Drop(Reason),
}

impl RouteShard {
    pub(super) fn new(
        version: Reader<Version>,
        neighbours: Arc<Neighbours>,
        held_packets: usize,
        core: usize,
        claims: Claims,
    ) -> RouteShard {
        RouteShard {
            version,
            work: Work {
                neighbours,
                held: HeldPackets::new(held_packets),
                requests: Bucket::new(),
                icmp: Bucket::new(),
                claims,
            },
            polling: false,
            announces: core == 0,
            housekeeping: false,
            announced: 0,
            to4: Box::new([0; Batch::CAPACITY]),
            to6: Box::new([[0; 16]; Batch::CAPACITY]),
        }
    }

    fn poll_later(&mut self, cx: &mut Cx<'_>) {
        if !self.polling && !self.work.held.is_empty() {
            self.polling = cx.timer(POLL_NS, POLL).is_some();
        }
    }

    fn forward(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        let version = self.version.get();
        let mut seen = [Seen::Drop(Reason::Truncated); Batch::CAPACITY];
        let (mut count4, mut count6) = (0, 0);
        for (packet, seen) in batch.iter().zip(&mut seen) {
            let slots = (self.to4.get_mut(count4), self.to6.get_mut(count6));
            let (Some(to4), Some(to6)) = slots else { break };
            *seen = look(version, packet, to4, to6);
            count4 += usize::from(*seen == Seen::V4);
            count6 += usize::from(*seen == Seen::V6);
        }
        let (mut hops4, mut hops6) = ([0u64; Batch::CAPACITY], [0u64; Batch::CAPACITY]);
        if let (Some(fib), Some(to)) = (&version.fib4, self.to4.get(..count4))
            && count4 > 0
        {
            fib.lookup(to, &mut hops4);
        }
        if let (Some(fib), Some(to)) = (&version.fib6, self.to6.get(..count6))
            && count6 > 0
        {
            fib.lookup(to, &mut hops6);
        }
        let mut turn = Turn::new(version, &mut self.work);
        let (mut seen, mut hops4, mut hops6) = (seen.iter(), hops4.iter(), hops6.iter());
        batch.sift(|packet| match *seen.next()? {
            Seen::V4 => {
                let hop = version.hop(hops4.next().copied().unwrap_or(0));
                turn.route4(cx, packet, hop)
            }
            Seen::V6 => {
                let hop = version.hop(hops6.next().copied().unwrap_or(0));
                turn.route6(cx, packet, hop)
            }
            Seen::Near6 => turn.near6(cx, packet),
            Seen::Group6 => turn.group6(cx, packet),
            Seen::Arp => turn.arp(cx, packet),
            Seen::Drop(reason) => turn.drop(cx, packet, reason),
        });
        let forwarded = turn.forwarded;
        cx.count(Count::Forwarded as usize, forwarded);
    }
}

impl Stage for RouteShard {
    fn start(&mut self, cx: &mut Cx<'_>) {
        if self.announces && self.version.get().mode == Mode::Router {
            self.on_timer(cx, HOUSEKEEPING);
        }
    }

    fn process(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        if self.version.get().mode == Mode::Wire {
            return;
        }
        if self.announces && !self.housekeeping {
            self.housekeeping = cx.timer(0, HOUSEKEEPING).is_some();
        }
        self.forward(cx, batch);
        self.poll_later(cx);
    }

    fn on_timer(&mut self, cx: &mut Cx<'_>, token: u64) {
        let version = self.version.get();
        let mut turn = Turn::new(version, &mut self.work);
        match token {
            POLL => {
                turn.poll(cx);
                self.polling = false;
                self.poll_later(cx);
            }
            _ => {
                if self.announced != version.announcement {
                    self.announced = version.announcement;
                    turn.announce(cx);
                }
                self.housekeeping = cx.timer(HOUSEKEEPING_NS, HOUSEKEEPING).is_some();
            }
        }
    }

    fn refresh(&mut self) {
        self.version.refresh();
    }

    fn held(&self) -> usize {
        self.work.held.len()
    }
}

/// The first look; an address to be looked up goes to its place.
#[inline(always)]
fn look(version: &Version, packet: &Packet, to4: &mut u32, to6: &mut [u8; 16]) -> Seen {
    let data = packet.data();
    let Some(link) = Ethernet::new(data) else {
        return Seen::Drop(Reason::Truncated);
    };
    let Some(here) = version.interface(packet.meta().port) else {
        return Seen::Drop(Reason::NotForUs);
    };
    let to = link.destination();
    let to_us = to == here.mac;
    if !to_us && !to.is_multicast() {
        return Seen::Drop(Reason::NotForUs);
    }
    if packet.stripped_vlan().is_some_and(|tag| tag & 0xfff != 0) {
        return Seen::Drop(Reason::Vlan);
    }
    let rest = data.get(ethernet::HEADER_LEN..).unwrap_or_default();
    let len = packet.len() - ethernet::HEADER_LEN;
    match link.ethertype() {
        ethertype::IPV4 => look4(rest, len, to_us, to4),
        ethertype::IPV6 => look6(rest, len, to_us, here, to6),
        ethertype::ARP => Seen::Arp,
        ethertype::VLAN | ethertype::QINQ => Seen::Drop(Reason::Vlan),
        _ => Seen::Drop(Reason::UnknownEthertype),
    }
}

/// `bytes` is the packet from its IPv4 header on, as far as its first segment goes, `len` how much
/// there is in all.
#[inline(always)]
fn look4(bytes: &[u8], len: usize, to_us: bool, to: &mut u32) -> Seen {
    let wrong = |problem| Seen::Drop(Reason::of(problem));
    let Some(header) = Ipv4::new(bytes) else {
        return wrong(Malformed::Truncated);
    };
    if header.version() != 4 {
        return wrong(Malformed::BadVersion);
    }
    let (header_len, total_len) = (header.header_len(), usize::from(header.total_len()));
    if header_len < ipv4::HEADER_LEN {
        return wrong(Malformed::BadHeaderLength);
    }
    if total_len < header_len {
        return wrong(Malformed::BadTotalLength);
    }
    let Some(whole) = bytes.get(..header_len).filter(|_| total_len <= len) else {
        return wrong(Malformed::Truncated);
    };
    if !checksum::ipv4_header_is_valid(whole) {
        return Seen::Drop(Reason::BadChecksum);
    }
    // RFC 1812, sections 5.3.7 and 4.2.2.11.
    let source = header.source().octets()[0];
    if source == 0 || source == 127 || source >= 224 {
        return Seen::Drop(Reason::MartianSource);
    }
    let destination = header.destination();
    match destination.octets()[0] {
        224..=239 => Seen::Drop(Reason::Multicast),
        0 | 127 | 240..=255 => Seen::Drop(match destination.is_broadcast() {
            true => Reason::Broadcast,
            false => Reason::MartianDestination,
        }),
        _ if !to_us => Seen::Drop(Reason::LinkBroadcast),
        _ => {
            *to = destination.to_bits();
            Seen::V4
        }
    }
}

/// The same for IPv6.
#[inline(always)]
fn look6(bytes: &[u8], len: usize, to_us: bool, here: &Interface, to: &mut [u8; 16]) -> Seen {
    let wrong = |problem| Seen::Drop(Reason::of(problem));
    let Some(header) = Ipv6::new(bytes) else {
        return wrong(Malformed::Truncated);
    };
    if header.version() != 6 {
        return wrong(Malformed::BadVersion);
    }
    if ipv6::HEADER_LEN + usize::from(header.payload_len()) > len {
        return wrong(Malformed::Truncated);
    }
    let (source, destination) = (header.source(), header.destination());
    if source.is_multicast() || source.is_loopback() {
        return Seen::Drop(Reason::MartianSource);
    }
    if destination.is_multicast() {
        return Seen::Group6;
    }
    // RFC 4291, sections 2.5.2, 2.5.3 and 2.5.5.2.
    if source.is_unspecified() || is_mapped(source) {
        return Seen::Drop(Reason::MartianSource);
    }
    if destination.is_unspecified() || destination.is_loopback() || is_mapped(destination) {
        return Seen::Drop(Reason::MartianDestination);
    }
    if !to_us {
        return Seen::Drop(Reason::LinkBroadcast);
    }
    if destination.is_unicast_link_local() {
        return match here.link_local == Some(destination) {
            true => Seen::Near6,
            false => Seen::Drop(Reason::LinkLocal),
        };
    }
    *to = destination.octets();
    Seen::V6
}

fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}
