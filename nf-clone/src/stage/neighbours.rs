//! Mode `inline`: the questions that somebody on the link has for the service's addresses, and what can be
//! learnt of servers from what they say.

use std::net::IpAddr;

use nf_core::chain::Cx;
use nf_core::packet::Packet;
use nf_core::wire::{Layers, MacAddr, Transport, arp, icmp, icmpv6, neighbor};

use super::counts::{Count, Reason};
use super::shard::Turn;
use crate::groups::MAX_SERVERS;

/// The least Ethernet frame without its check sequence.
const MIN_FRAME: usize = 60;

impl Turn<'_> {
    /// A frame that is neither of the service's nor anybody's datagram: answered if it asks for a VIP, else
    /// it goes on.
    #[cold]
    pub(super) fn neighbour(
        &mut self,
        cx: &mut Cx<'_>,
        packet: Packet,
        layers: &Layers,
    ) -> Option<Packet> {
        let frame = packet.data();
        let here = self
            .version
            .interfaces
            .get(usize::from(packet.meta().port))
            .map(|interface| interface.mac);
        let Some(mac) = here else {
            return self.pass_by(cx, packet);
        };
        if let Some(message) = layers.arp(frame) {
            let sender = IpAddr::V4(message.sender_ip());
            self.learn(sender, message.sender_mac());
            let target = IpAddr::V4(message.target_ip());
            if !self.version.is_vip(target) {
                return self.pass_by(cx, packet);
            }
            if message.operation() != arp::REQUEST {
                cx.drop(packet, Reason::Consumed as usize);
                return None;
            }
            let mut reply = [0; 64];
            let length = arp::write_reply(frame, layers, mac, &mut reply);
            return self.answer(cx, packet, length.and_then(|length| reply.get(..length)));
        }
        match layers.transport() {
            Transport::Icmpv6 => self.neighbour6(cx, packet, layers, mac),
            Transport::Icmp if self.is_to_vip(&packet, layers) => {
                self.echo(cx, packet, |frame| icmp::answer_echo(frame, layers, mac))
            }
            _ => self.pass_by(cx, packet),
        }
    }

    fn neighbour6(
        &mut self,
        cx: &mut Cx<'_>,
        packet: Packet,
        layers: &Layers,
        mac: MacAddr,
    ) -> Option<Packet> {
        let message = match packet.is_contiguous() {
            true => neighbor::parse(packet.data(), layers),
            false => None,
        };
        match message {
            Some(neighbor::Message::Solicit {
                target,
                source,
                link,
            }) => {
                if let Some(link) = link {
                    self.learn(IpAddr::V6(source), link);
                }
                if !self.version.is_vip(IpAddr::V6(target)) {
                    return self.pass_by(cx, packet);
                }
                let mut advert = [0; 128];
                let frame = packet.data();
                let length = neighbor::write_advert(frame, layers, mac, false, &mut advert);
                self.answer(cx, packet, length.and_then(|length| advert.get(..length)))
            }
            Some(neighbor::Message::Advert { target, link, .. }) => {
                if let Some(link) = link {
                    self.learn(IpAddr::V6(target), link);
                }
                if self.is_to_vip(&packet, layers) {
                    cx.drop(packet, Reason::Consumed as usize);
                    return None;
                }
                self.pass_by(cx, packet)
            }
            _ if self.is_to_vip(&packet, layers) => match self.version.vip6 {
                Some(own) => self.echo(cx, packet, |frame| {
                    icmpv6::answer_echo(frame, layers, mac, own)
                }),
                None => self.pass_by(cx, packet),
            },
            _ => self.pass_by(cx, packet),
        }
    }

    fn is_to_vip(&self, packet: &Packet, layers: &Layers) -> bool {
        super::edit::destination(packet.data(), layers)
            .is_some_and(|address| self.version.is_vip(address))
    }

    fn pass_by(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        cx.count(Count::Passthrough as usize, 1);
        Some(packet)
    }

    /// Somebody says where it is; noted if it is a server.
    fn learn(&self, who: IpAddr, mac: MacAddr) {
        if !mac.is_unicast() {
            return;
        }
        for sid in 0..MAX_SERVERS {
            let sid = sid as u8;
            if self
                .version
                .server(sid)
                .is_some_and(|server| server.address == who)
            {
                self.shared.servers.set_mac(sid, mac.0);
            }
        }
    }

    /// Turns an echo request to a VIP into its answer; other ICMP to it ends.
    fn echo(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        answer: impl FnOnce(&mut [u8]) -> bool,
    ) -> Option<Packet> {
        if !cx.ensure_writable(&mut packet) {
            cx.drop(packet, Reason::NoBuffer as usize);
            return None;
        }
        match answer(packet.data_mut()) {
            true => {
                packet.meta_mut().egress = packet.meta().port;
                cx.back(packet);
            }
            false => cx.drop(packet, Reason::Consumed as usize),
        }
        None
    }

    /// Answers with other bytes.
    fn answer(&mut self, cx: &mut Cx<'_>, packet: Packet, bytes: Option<&[u8]>) -> Option<Packet> {
        let port = packet.meta().port;
        let Some(bytes) = bytes else {
            cx.drop(packet, Reason::BadNeighbour as usize);
            return None;
        };
        let mut frame = [0; 128];
        let length = bytes.len().max(MIN_FRAME);
        if let Some(room) = frame.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        let answer = frame
            .get(..length)
            .and_then(|frame| super::probes::packet_of(cx, frame));
        if let Some(mut answer) = answer {
            cx.count(Count::NeighbourAnswers as usize, 1);
            answer.meta_mut().egress = port;
            cx.emit(cx.direction().reverse(), answer);
        }
        cx.drop(packet, Reason::Consumed as usize);
        None
    }
}
