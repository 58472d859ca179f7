//! Packets for the router itself: ARP, neighbor discovery, echo requests, and what it cannot serve.

use std::net::IpAddr;

use super::neighbours::Key;
use super::reasons::{Count, Reason};
use super::turn::{Turn, addresses4, addresses6};
use crate::chain::{Cx, Note};
use crate::packet::{LOCAL_PORT, Packet};
use crate::wire::{
    Fragment, Layers, Transport, Verdict, arp, check_transport_checksum_of, icmp, icmpv6, neighbor,
};

impl Turn<'_> {
    /// An ARP packet: who asks for an own address is answered, and remembered as well as who
    /// answers.
    #[cold]
    pub fn arp(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        let data = packet.data();
        let layers = Layers::parse_lax(data, packet.len());
        let Some(message) = layers.arp(data) else {
            return self.drop(cx, packet, Reason::Truncated);
        };
        let is_request = message.operation() == arp::REQUEST;
        let sense = message.is_ethernet_ipv4()
            && message.sender_mac().is_unicast()
            && (is_request || message.operation() == arp::REPLY);
        let (Some(here), true) = (self.interface_of(&packet), sense) else {
            return self.drop(cx, packet, Reason::BadArp);
        };
        let (sender, target) = (
            IpAddr::V4(message.sender_ip()),
            IpAddr::V4(message.target_ip()),
        );
        let (mac, port) = (message.sender_mac(), packet.meta().port);
        let for_us = here.is_own(target);
        cx.note(&packet, || {
            Note::new(if is_request {
                "arp request"
            } else {
                "arp reply"
            })
            .with("sender", sender)
            .with("mac", mac.0)
            .with("target", target)
        });
        if here.is_own(sender) {
            if mac != here.mac {
                cx.count(Count::Conflicts as usize, 1);
            }
            return self.drop(cx, packet, Reason::Consumed);
        }
        if here.is_on_link(sender) {
            // RFC 826: who is known is updated; who speaks to us is added.
            self.learn(
                cx,
                Key::new(port, sender),
                mac,
                (is_request && for_us, true),
            );
        }
        if !is_request {
            return self.drop(cx, packet, Reason::Consumed);
        }
        if !for_us {
            return self.drop(cx, packet, Reason::NotOurAddress);
        }
        let mut reply = [0; 64];
        let length = arp::write_reply(packet.data(), &layers, here.mac, &mut reply);
        match length.and_then(|length| reply.get(..length)) {
            Some(reply) => self.answer(cx, packet, reply, Count::ArpReplies),
            None => self.drop(cx, packet, Reason::BadArp),
        }
    }

    /// IPv6 to a group: neighbor discovery is for us, all else is not routed.
    #[cold]
    pub fn group6(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        let layers = Layers::parse_lax(packet.data(), packet.len());
        if is_discovery(&packet, &layers) {
            return self.discovery(cx, packet, &layers);
        }
        self.drop(cx, packet, Reason::Multicast)
    }

    /// IPv6 to the own link-local address.
    #[cold]
    pub fn near6(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        self.own6(cx, packet)
    }

    fn discovery(&mut self, cx: &mut Cx<'_>, packet: Packet, layers: &Layers) -> Option<Packet> {
        let message = match packet.is_contiguous() {
            true => neighbor::parse(packet.data(), layers),
            false => None,
        };
        let (Some(here), Some(message)) = (self.interface_of(&packet), message) else {
            return self.drop(cx, packet, Reason::BadNd);
        };
        let port = packet.meta().port;
        match message {
            neighbor::Message::Solicit {
                target,
                source,
                link,
            } => {
                let for_us = here.is_own(target.into());
                cx.note(&packet, || {
                    Note::new("neighbor solicitation")
                        .with("sender", IpAddr::V6(source))
                        .with("target", IpAddr::V6(target))
                });
                if let (Some(mac), true) = (link, here.is_on_link(source.into()))
                    && !here.is_own(source.into())
                {
                    self.learn(cx, Key::new(port, source.into()), mac, (for_us, true));
                }
                if !for_us {
                    return self.drop(cx, packet, Reason::NotOurAddress);
                }
                let mut advert = [0; 128];
                let length =
                    neighbor::write_advert(packet.data(), layers, here.mac, true, &mut advert);
                match length.and_then(|length| advert.get(..length)) {
                    Some(advert) => self.answer(cx, packet, advert, Count::Adverts),
                    None => self.drop(cx, packet, Reason::BadNd),
                }
            }
            neighbor::Message::Advert {
                target,
                link,
                overrides,
                ..
            } => {
                let key = Key::new(port, target.into());
                cx.note(&packet, || {
                    Note::new("neighbor advertisement").with("target", IpAddr::V6(target))
                });
                if here.is_own(target.into()) {
                    if link.is_some_and(|mac| mac != here.mac) {
                        cx.count(Count::Conflicts as usize, 1);
                    }
                } else if here.is_on_link(target.into()) {
                    // The answer to a request to one station need not repeat the MAC address.
                    let known = self.work.neighbours.get(key).map(|known| known.mac);
                    if let Some(mac) = link.or(known) {
                        self.learn(cx, key, mac, (false, overrides));
                    }
                }
                self.drop(cx, packet, Reason::Consumed)
            }
            _ => self.drop(cx, packet, Reason::Consumed),
        }
    }

    /// An IPv4 packet to an own address.
    #[cold]
    pub fn own4(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let layers = Layers::parse_lax(packet.data(), packet.len());
        let Some(here) = self.interface_of(&packet) else {
            return self.drop(cx, packet, Reason::NoService);
        };
        let from_us = |packet: &Packet| {
            addresses4(packet.data()).is_none_or(|(source, _)| self.is_any_own(source.into()))
        };
        if from_us(&packet) {
            return self.drop(cx, packet, Reason::MartianSource);
        }
        if layers.fragment() != Fragment::None {
            return self.drop(cx, packet, Reason::NoService);
        }
        if self.is_claimed(&packet, &layers) {
            return Some(hand_on(packet));
        }
        match layers.transport() {
            Transport::Icmp => {
                let kind = layers.icmp(packet.data()).map(|message| message.kind());
                if !is_sound(&packet, &layers) {
                    return self.drop(cx, packet, Reason::BadChecksum);
                }
                if kind != Some(icmp::kind::ECHO_REQUEST) {
                    return self.drop(cx, packet, Reason::Consumed);
                }
                if !cx.ensure_writable(&mut packet) {
                    return self.drop(cx, packet, Reason::NoBuffer);
                }
                match icmp::answer_echo(packet.data_mut(), &layers, here.mac) {
                    true => self.back(cx, packet, Count::EchoReplies),
                    false => self.drop(cx, packet, Reason::NoService),
                }
            }
            transport => {
                let code = match transport {
                    Transport::None => icmp::unreachable::PROTOCOL,
                    _ => icmp::unreachable::PORT,
                };
                self.error4(cx, &packet, icmp::Error::Unreachable(code));
                self.drop(cx, packet, Reason::NoService)
            }
        }
    }

    /// An IPv6 packet to an own address.
    #[cold]
    pub fn own6(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        let layers = Layers::parse_lax(packet.data(), packet.len());
        let addresses = addresses6(packet.data());
        let (Some(here), Some((source, own))) = (self.interface_of(&packet), addresses) else {
            return self.drop(cx, packet, Reason::NoService);
        };
        if self.is_any_own(source.into()) {
            return self.drop(cx, packet, Reason::MartianSource);
        }
        if is_discovery(&packet, &layers) {
            return self.discovery(cx, packet, &layers);
        }
        if layers.fragment() != Fragment::None {
            return self.drop(cx, packet, Reason::NoService);
        }
        if self.is_claimed(&packet, &layers) {
            return Some(hand_on(packet));
        }
        match layers.transport() {
            Transport::Icmpv6 => {
                let kind = layers.icmpv6(packet.data()).map(|message| message.kind());
                if !is_sound(&packet, &layers) {
                    return self.drop(cx, packet, Reason::BadChecksum);
                }
                if kind != Some(icmpv6::kind::ECHO_REQUEST) {
                    return self.drop(cx, packet, Reason::Consumed);
                }
                if !cx.ensure_writable(&mut packet) {
                    return self.drop(cx, packet, Reason::NoBuffer);
                }
                match icmpv6::answer_echo(packet.data_mut(), &layers, here.mac, own) {
                    true => self.back(cx, packet, Count::EchoReplies),
                    false => self.drop(cx, packet, Reason::NoService),
                }
            }
            transport => {
                if transport != Transport::None {
                    let code = icmpv6::unreachable::PORT;
                    self.error6(cx, &packet, icmpv6::Error::Unreachable(code));
                }
                self.drop(cx, packet, Reason::NoService)
            }
        }
    }

    /// Whether another stage serves a UDP port of the packet, the destination's or, for answers to what
    /// that stage has asked, the source's.
    fn is_claimed(&self, packet: &Packet, layers: &Layers) -> bool {
        let claims = &self.work.claims;
        layers.transport() == Transport::Udp
            && layers
                .ports(packet.data())
                .is_some_and(|(source, destination)| {
                    claims.has_udp(destination) || claims.has_udp(source)
                })
    }

    fn is_any_own(&self, address: IpAddr) -> bool {
        self.version
            .interfaces
            .iter()
            .any(|interface| interface.is_own(address))
    }

    /// Turns a request into its answer, which has other bytes.
    fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        bytes: &[u8],
        count: Count,
    ) -> Option<Packet> {
        if !cx.ensure_writable(&mut packet) {
            return self.drop(cx, packet, Reason::NoBuffer);
        }
        let (old, new) = (packet.len(), bytes.len());
        let fits = packet.is_contiguous() && (new <= old || packet.append(new - old).is_some());
        let room = packet.data_mut().get_mut(..new).filter(|_| fits);
        match room {
            Some(room) => {
                room.copy_from_slice(bytes);
                // What followed the request was padding at best.
                let padding = packet.data_mut().get_mut(new..).unwrap_or_default();
                padding.fill(0);
                let spare = old.saturating_sub(new.max(60));
                packet.trim_back(spare);
                self.back(cx, packet, count)
            }
            None => self.drop(cx, packet, Reason::NoBuffer),
        }
    }

    fn back(&mut self, cx: &mut Cx<'_>, mut packet: Packet, count: Count) -> Option<Packet> {
        packet.meta_mut().egress = packet.meta().port;
        cx.count(count as usize, 1);
        cx.back(packet);
        None
    }
}

/// Lets a packet to an own address go on to the stage that has claimed it.
fn hand_on(mut packet: Packet) -> Packet {
    packet.meta_mut().egress = LOCAL_PORT;
    packet
}

fn is_discovery(packet: &Packet, layers: &Layers) -> bool {
    layers
        .icmpv6(packet.data())
        .is_some_and(|message| neighbor::is_neighbor_discovery(message.kind()))
}

/// Whether the transport checksum is right, over all segments.
fn is_sound(packet: &Packet, layers: &Layers) -> bool {
    let mut segments = packet.segments();
    let head = segments.next().unwrap_or_default();
    check_transport_checksum_of(layers, head, segments) == Verdict::Good
}
