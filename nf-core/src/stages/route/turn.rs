//! One packet at a time: routed, held for its next hop, reported to its sender, answered.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::neighbours::{Key, Learned, Step};
use super::reasons::{Count, Reason};
use super::stage::Work;
use super::version::{Hop, Interface, Version};
use crate::chain::{Cx, Note};
use crate::packet::Packet;
use crate::wire::{
    Ethernet, Ipv4, Ipv6, Layers, MacAddr, arp, ethernet, icmp, icmpv6, ipv6, neighbor,
};

/// The shortest Ethernet frame, without its checksum.
const MIN_FRAME: usize = 60;

/// A version and a shard's own state, for the packets of one batch or timer.
pub(super) struct Turn<'a> {
    pub version: &'a Version,
    pub work: &'a mut Work,
    /// The neighbour of the last packet: most packets of a burst share it.
    last: Option<(Key, MacAddr)>,
    /// Packets routed.
    pub forwarded: u64,
}

impl<'a> Turn<'a> {
    pub fn new(version: &'a Version, work: &'a mut Work) -> Turn<'a> {
        Turn {
            version,
            work,
            last: None,
            forwarded: 0,
        }
    }

    #[cold]
    pub fn drop(&mut self, cx: &mut Cx<'_>, packet: Packet, reason: Reason) -> Option<Packet> {
        cx.drop(packet, reason as usize);
        None
    }

    /// Sends an IPv4 packet with a sound header where its route leads.
    #[inline(always)]
    pub fn route4(&mut self, cx: &mut Cx<'_>, mut packet: Packet, hop: Hop) -> Option<Packet> {
        let header = packet.data().get(ethernet::HEADER_LEN..);
        let Some(header) = header.and_then(Ipv4::new) else {
            return self.drop(cx, packet, Reason::Truncated);
        };
        let (ttl, len) = (header.ttl(), header.total_len());
        let key = match hop {
            Hop::Via(key) => key,
            Hop::Link(port) => Key::new(port, IpAddr::V4(header.destination())),
            _ => return self.no_way4(cx, packet, hop),
        };
        if ttl <= 1 {
            self.error4(cx, &packet, icmp::Error::TimeExceeded);
            return self.drop(cx, packet, Reason::TtlExceeded);
        }
        let mtu = self.version.interface(key.port).map_or(0, |port| port.mtu);
        if len > mtu {
            return self.too_long4(cx, packet, key, mtu);
        }
        if !cx.ensure_writable(&mut packet) {
            return self.drop(cx, packet, Reason::NoBuffer);
        }
        let header = packet.data_mut().get_mut(ethernet::HEADER_LEN..);
        if let Some(mut header) = header.and_then(Ipv4::new_mut) {
            header.rewrite_ttl(ttl - 1);
        }
        self.send(cx, packet, key)
    }

    /// Sends an IPv6 packet with a sound fixed header where its route leads.
    #[inline(always)]
    pub fn route6(&mut self, cx: &mut Cx<'_>, mut packet: Packet, hop: Hop) -> Option<Packet> {
        let header = packet.data().get(ethernet::HEADER_LEN..);
        let Some(header) = header.and_then(Ipv6::new) else {
            return self.drop(cx, packet, Reason::Truncated);
        };
        let hop_limit = header.hop_limit();
        let len = ipv6::HEADER_LEN + usize::from(header.payload_len());
        let near = header.source().is_unicast_link_local();
        let key = match hop {
            Hop::Via(key) if !near => key,
            Hop::Link(port) if !near => Key::new(port, IpAddr::V6(header.destination())),
            Hop::Own => return self.own6(cx, packet),
            _ if near => {
                let error = icmpv6::unreachable::BEYOND_SCOPE;
                self.error6(cx, &packet, icmpv6::Error::Unreachable(error));
                return self.drop(cx, packet, Reason::LinkLocal);
            }
            Hop::Blackhole => return self.drop(cx, packet, Reason::Blackhole),
            _ => {
                let error = icmpv6::unreachable::NO_ROUTE;
                self.error6(cx, &packet, icmpv6::Error::Unreachable(error));
                return self.drop(cx, packet, Reason::NoRoute);
            }
        };
        if hop_limit <= 1 {
            self.error6(cx, &packet, icmpv6::Error::TimeExceeded);
            return self.drop(cx, packet, Reason::TtlExceeded);
        }
        let mtu = self.version.interface(key.port).map_or(0, |port| port.mtu);
        if len > usize::from(mtu) {
            let error = icmpv6::Error::PacketTooBig { mtu: mtu.into() };
            self.error6(cx, &packet, error);
            return self.drop(cx, packet, Reason::TooBig);
        }
        if !cx.ensure_writable(&mut packet) {
            return self.drop(cx, packet, Reason::NoBuffer);
        }
        let header = packet.data_mut().get_mut(ethernet::HEADER_LEN..);
        if let Some(mut header) = header.and_then(Ipv6::new_mut) {
            header.set_hop_limit(hop_limit - 1);
        }
        self.send(cx, packet, key)
    }

    #[cold]
    fn no_way4(&mut self, cx: &mut Cx<'_>, packet: Packet, hop: Hop) -> Option<Packet> {
        match hop {
            Hop::Own => self.own4(cx, packet),
            Hop::Broadcast => self.drop(cx, packet, Reason::Broadcast),
            Hop::Blackhole => self.drop(cx, packet, Reason::Blackhole),
            _ => {
                let error = icmp::Error::Unreachable(icmp::unreachable::NETWORK);
                self.error4(cx, &packet, error);
                self.drop(cx, packet, Reason::NoRoute)
            }
        }
    }

    /// Sends a packet to a next hop whose MAC address may have to be found first.
    #[inline(always)]
    pub fn send(&mut self, cx: &mut Cx<'_>, packet: Packet, key: Key) -> Option<Packet> {
        if let Some((last, mac)) = self.last
            && last == key
        {
            return Some(self.address(cx, packet, key, mac));
        }
        let (now, version) = (cx.now(), self.version);
        let may_ask = self.work.requests.has(now, version.requests_per_second);
        match self.work.neighbours.step(key, now, &version.pace, may_ask) {
            Step::Send(mac) => {
                self.last = Some((key, mac));
                Some(self.address(cx, packet, key, mac))
            }
            step => self.send_slowly(cx, packet, key, step, may_ask),
        }
    }

    #[cold]
    fn send_slowly(
        &mut self,
        cx: &mut Cx<'_>,
        packet: Packet,
        key: Key,
        step: Step,
        may_ask: bool,
    ) -> Option<Packet> {
        match step {
            Step::Send(mac) => return Some(self.address(cx, packet, key, mac)),
            Step::SendAndAsk(mac) => {
                self.ask(cx, key, Some(mac));
                return Some(self.address(cx, packet, key, mac));
            }
            Step::WaitAndAsk => self.ask(cx, key, None),
            Step::Wait => {}
            Step::Unreachable => return self.unreachable(cx, packet),
            Step::Refuse => {
                if !may_ask {
                    cx.count(Count::RequestsLimited as usize, 1);
                }
                return self.drop(cx, packet, Reason::ResolveLimit);
            }
        }
        cx.note(&packet, || {
            Note::new("held")
                .with("neighbour", key.address())
                .with("port", key.port)
        });
        let limit = self.version.held_per_neighbour;
        match self.work.held.push(key, packet, limit) {
            Some(packet) => self.drop(cx, packet, Reason::ResolveLimit),
            None => None,
        }
    }

    #[cold]
    fn unreachable(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        let version = packet
            .data()
            .get(ethernet::HEADER_LEN)
            .map(|byte| byte >> 4);
        if version == Some(4) {
            let error = icmp::Error::Unreachable(icmp::unreachable::HOST);
            self.error4(cx, &packet, error);
        } else {
            let error = icmpv6::Error::Unreachable(icmpv6::unreachable::ADDRESS);
            self.error6(cx, &packet, error);
        }
        self.drop(cx, packet, Reason::Unresolved)
    }

    /// Puts the MAC addresses of the next link into a packet and chooses its port.
    #[inline(always)]
    fn address(&mut self, cx: &mut Cx<'_>, mut packet: Packet, key: Key, mac: MacAddr) -> Packet {
        self.forwarded += 1;
        set_addresses(self.version, &mut packet, key.port, mac);
        cx.note(&packet, || {
            Note::new("routed")
                .with("port", key.port)
                .with("neighbour", key.address())
                .with("mac", mac.0)
        });
        packet
    }

    /// Asks for a neighbour: everybody, or the one station where it was.
    fn ask(&mut self, cx: &mut Cx<'_>, key: Key, at: Option<MacAddr>) {
        let version = self.version;
        let Some(here) = version.interface(key.port) else {
            return;
        };
        let mut frame = [0; 96];
        let length = match key.address() {
            IpAddr::V4(target) => {
                let Some(source) = here.source4(target).or_else(|| version.reporter4(key.port))
                else {
                    return;
                };
                let to = at.unwrap_or(MacAddr::BROADCAST);
                arp::write_request(&mut frame, to, here.mac, source, target)
            }
            IpAddr::V6(target) => {
                let Some(source) = here.source6(target) else {
                    return;
                };
                neighbor::write_solicit(&mut frame, at, here.mac, source, target)
            }
        };
        let frame = length.and_then(|length| frame.get(..length.max(MIN_FRAME)));
        if let Some(frame) = frame {
            self.work
                .requests
                .take(cx.now(), version.requests_per_second);
            if emit(cx, here, key.port, frame) {
                cx.count(Count::Requests as usize, 1);
            }
        }
    }

    /// Looks whether held packets can go, or never will.
    pub fn poll(&mut self, cx: &mut Cx<'_>) {
        let (now, version) = (cx.now(), self.version);
        let mut index = 0;
        while let Some(key) = self.work.held.key(index) {
            let may_ask = self.work.requests.has(now, version.requests_per_second);
            match self.work.neighbours.step(key, now, &version.pace, may_ask) {
                Step::Send(mac) => self.release(cx, key, mac),
                Step::SendAndAsk(mac) => {
                    self.ask(cx, key, Some(mac));
                    self.release(cx, key, mac);
                }
                Step::WaitAndAsk => {
                    self.ask(cx, key, None);
                    index += 1;
                }
                Step::Wait => index += 1,
                step => self.give_up(cx, key, step),
            }
        }
    }

    /// Sends what was held for a neighbour.
    fn release(&mut self, cx: &mut Cx<'_>, key: Key, mac: MacAddr) {
        let version = self.version;
        let mut released = 0;
        self.work.held.take(key, |mut packet| {
            set_addresses(version, &mut packet, key.port, mac);
            released += 1;
            let direction = packet.meta().direction;
            cx.emit(direction, packet);
        });
        cx.count(Count::Forwarded as usize, released);
    }

    /// Drops what was held for a neighbour, and says so to the senders.
    fn give_up(&mut self, cx: &mut Cx<'_>, key: Key, step: Step) {
        // One at a time, since telling the sender needs the rest of the shard.
        loop {
            let Some(packet) = self.work.held.take_one(key) else {
                return;
            };
            match step {
                Step::Unreachable => drop(self.unreachable(cx, packet)),
                _ => drop(self.drop(cx, packet, Reason::ResolveLimit)),
            }
        }
    }

    /// A neighbour has said where it is.
    pub fn learn(&mut self, cx: &mut Cx<'_>, key: Key, mac: MacAddr, how: (bool, bool)) {
        if !mac.is_unicast() {
            return;
        }
        let neighbours = &self.work.neighbours;
        match neighbours.learn(key, mac, cx.now(), &self.version.pace, how) {
            Learned::Resolved => {
                cx.count(Count::Learned as usize, 1);
                self.release(cx, key, mac);
            }
            Learned::Added => cx.count(Count::Learned as usize, 1),
            Learned::Full => cx.count(Count::TableFull as usize, 1),
            // The packets behind this one in the burst may be for its new place.
            Learned::Confirmed => self.last = None,
            Learned::Ignored => {}
        }
    }

    /// Reports an error to the sender of an IPv4 packet, if the rules and the limit allow it.
    pub fn error4(&mut self, cx: &mut Cx<'_>, packet: &Packet, error: icmp::Error) {
        let port = packet.meta().port;
        let (version, data) = (self.version, packet.data());
        let layers = Layers::parse_lax(data, packet.len());
        let (Some(here), Some(source)) = (version.interface(port), version.reporter4(port)) else {
            return;
        };
        if !icmp::may_report(data, &layers) || !self.may_report(cx) {
            return;
        }
        let mut out = [0; ethernet::HEADER_LEN + icmp::MAX_ERROR_LEN];
        let length = icmp::write_error(data, &layers, error, here.mac, source, &mut out);
        self.report(cx, here, port, length.and_then(|length| out.get(..length)));
    }

    /// The same for IPv6.
    pub fn error6(&mut self, cx: &mut Cx<'_>, packet: &Packet, error: icmpv6::Error) {
        let port = packet.meta().port;
        let (version, data) = (self.version, packet.data());
        let layers = Layers::parse_lax(data, packet.len());
        let (Some(here), Some(source)) = (version.interface(port), version.reporter6(port)) else {
            return;
        };
        if !icmpv6::may_report(data, &layers, error) || !self.may_report(cx) {
            return;
        }
        let mut out = [0; ethernet::HEADER_LEN + icmpv6::MAX_ERROR_LEN];
        let length = icmpv6::write_error(data, &layers, error, here.mac, source, &mut out);
        self.report(cx, here, port, length.and_then(|length| out.get(..length)));
    }

    fn may_report(&mut self, cx: &mut Cx<'_>) -> bool {
        let may = self.work.icmp.take(cx.now(), self.version.icmp_per_second);
        if !may {
            cx.count(Count::IcmpLimited as usize, 1);
        }
        may
    }

    fn report(&mut self, cx: &mut Cx<'_>, here: &Interface, port: u16, frame: Option<&[u8]>) {
        if frame.is_some_and(|frame| emit(cx, here, port, frame)) {
            cx.count(Count::IcmpErrors as usize, 1);
        }
    }

    /// Says to everybody on every link that is up where the router's addresses are.
    pub fn announce(&mut self, cx: &mut Cx<'_>) {
        let interfaces = self.version.interfaces.iter().enumerate();
        for (port, here) in interfaces.filter(|(_, here)| here.up) {
            let port = port as u16;
            let mut frame = [0; 96];
            for (address, _) in &here.v4 {
                arp::write_announcement(&mut frame, here.mac, *address);
                emit(cx, here, port, frame.get(..MIN_FRAME).unwrap_or_default());
            }
            let own = here.v6.iter().map(|own| own.0).chain(here.link_local);
            for address in own {
                let length = neighbor::write_announcement(&mut frame, here.mac, address, true);
                if let Some(frame) = length.and_then(|length| frame.get(..length)) {
                    emit(cx, here, port, frame);
                }
            }
        }
    }

    /// Fragments an IPv4 packet for its next link, or says that it must be shorter.
    #[cold]
    fn too_long4(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        key: Key,
        mtu: u16,
    ) -> Option<Packet> {
        // A port could only compute over one fragment.
        if packet.leaves_checksums() {
            if !cx.ensure_writable(&mut packet) {
                return self.drop(cx, packet, Reason::NoBuffer);
            }
            packet.settle_checksums();
        }
        let header = packet.data().get(ethernet::HEADER_LEN..);
        let Some(header) = header.and_then(Ipv4::new) else {
            return self.drop(cx, packet, Reason::Truncated);
        };
        if header.dont_fragment() || mtu < MIN_MTU {
            self.error4(cx, &packet, icmp::Error::FragmentationNeeded { mtu });
            return self.drop(cx, packet, Reason::TooBig);
        }
        let mut at = 0;
        loop {
            match super::fragment::next(cx, &packet, mtu, &mut at) {
                Ok(Some(fragment)) => {
                    cx.count(Count::Fragments as usize, 1);
                    let direction = packet.meta().direction;
                    if let Some(fragment) = self.send(cx, fragment, key) {
                        cx.emit(direction, fragment);
                    }
                }
                Ok(None) => return self.drop(cx, packet, Reason::Fragmented),
                Err(()) => return self.drop(cx, packet, Reason::NoBuffer),
            }
        }
    }

    /// The port that a packet came in by.
    pub fn interface_of(&self, packet: &Packet) -> Option<&'a Interface> {
        self.version.interface(packet.meta().port)
    }
}

/// The least MTU of an IPv4 link (RFC 791).
const MIN_MTU: u16 = 68;

#[inline(always)]
fn set_addresses(version: &Version, packet: &mut Packet, port: u16, mac: MacAddr) {
    if let (Some(mut link), Some(out)) = (
        Ethernet::new_mut(packet.data_mut()),
        version.interface(port),
    ) {
        link.set_destination(mac);
        link.set_source(out.mac);
    }
    packet.meta_mut().egress = port;
}

/// Sends a frame of the router's own out of a port; false when there is no packet for it.
fn emit(cx: &mut Cx<'_>, here: &Interface, port: u16, frame: &[u8]) -> bool {
    let Some(mut packet) = cx.alloc() else {
        return false;
    };
    match packet.append(frame.len()) {
        Some(room) => room.copy_from_slice(frame),
        None => {
            cx.drop(packet, Reason::NoBuffer as usize);
            return false;
        }
    }
    packet.meta_mut().egress = port;
    cx.emit(here.towards, packet);
    true
}

/// Source and destination of an IPv4 packet.
pub(super) fn addresses4(data: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let header = Ipv4::new(data.get(ethernet::HEADER_LEN..)?)?;
    Some((header.source(), header.destination()))
}

/// The same for IPv6.
pub(super) fn addresses6(data: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let header = Ipv6::new(data.get(ethernet::HEADER_LEN..)?)?;
    Some((header.source(), header.destination()))
}
