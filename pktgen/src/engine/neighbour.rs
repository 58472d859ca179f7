//! ARP and neighbour discovery, as far as a generator needs them: it answers for the hosts whose
//! addresses it sends from, and asks for its gateways before a run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nf_core::wire::{Layers, MacAddr, arp, neighbor};

use crate::profile::packet::Packet as Spec;
use crate::profile::stream::Stream;
use crate::template::Sequence;

/// Longest answer: an advertisement with tags.
pub const ANSWER_BYTES: usize = 128;

/// The addresses that a port answers for.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    mac: MacAddr,
    ranges: Vec<(IpAddr, IpAddr)>,
}

fn first_mac(spec: &Spec) -> Option<MacAddr> {
    let value = spec.ethernet.source.as_ref()?.sequence.value(0, 0);
    let [.., a, b, c, d, e, f] = value.to_be_bytes();
    Some(MacAddr([a, b, c, d, e, f]))
}

fn bounds(sequence: &Sequence, address: impl Fn(u128) -> IpAddr) -> Vec<(IpAddr, IpAddr)> {
    match sequence {
        Sequence::One(value) => vec![(address(*value), address(*value))],
        Sequence::List { values, .. } => values
            .iter()
            .map(|&value| (address(value), address(value)))
            .collect(),
        Sequence::Range {
            from, step, count, ..
        } => {
            let last = from + step * u128::from(count.saturating_sub(1));
            vec![(address(*from), address(last))]
        }
    }
}

impl Hosts {
    /// The hosts that `streams` stand for, on a port with address `mac`.
    pub fn of<'a>(streams: impl IntoIterator<Item = &'a Stream>, mac: [u8; 6]) -> Hosts {
        let mut hosts = Hosts {
            mac: MacAddr(mac),
            ranges: Vec::new(),
        };
        for stream in streams {
            if stream.replay.is_some() {
                continue;
            }
            hosts.mac = first_mac(&stream.packet).unwrap_or(hosts.mac);
            let default = Default::default();
            if let Some(ip) = &stream.packet.ipv6 {
                hosts
                    .ranges
                    .extend(bounds(&ip.source.sequence, |v| Ipv6Addr::from(v).into()));
            } else if stream.packet.ethernet.ether_type.is_none() {
                let ip = stream.packet.ipv4.as_ref().unwrap_or(&default);
                let address = |value| Ipv4Addr::from(value as u32).into();
                hosts.ranges.extend(bounds(&ip.source.sequence, address));
            }
        }
        hosts
    }

    /// Also answers for `address`.
    pub fn add(&mut self, address: IpAddr) {
        self.ranges.push((address, address));
    }

    fn has(&self, address: IpAddr) -> bool {
        self.ranges
            .iter()
            .any(|(from, to)| match (from, to, address) {
                (IpAddr::V4(from), IpAddr::V4(to), IpAddr::V4(ip)) => (from..=to).contains(&&ip),
                (IpAddr::V6(from), IpAddr::V6(to), IpAddr::V6(ip)) => (from..=to).contains(&&ip),
                _ => false,
            })
    }

    /// Writes the answer to `frame` into `out` and returns its length; `None` if it is no request
    /// for one of the hosts.
    pub fn answer(&self, frame: &[u8], layers: &Layers, out: &mut [u8]) -> Option<usize> {
        if let Some(request) = layers.arp(frame) {
            let own = self.has(request.target_ip().into());
            return if own {
                arp::write_reply(frame, layers, self.mac, out)
            } else {
                None
            };
        }
        match neighbor::parse(frame, layers)? {
            neighbor::Message::Solicit { target, .. } if self.has(target.into()) => {
                neighbor::write_advert(frame, layers, self.mac, false, out)
            }
            _ => None,
        }
    }
}

/// A gateway to be found before a run.
#[derive(Debug, Clone)]
pub struct Question {
    /// The gateway.
    pub gateway: IpAddr,
    /// Who asks.
    pub source: IpAddr,
    /// Its MAC address.
    pub mac: MacAddr,
}

impl Question {
    /// What `stream`, sent by a port with address `mac`, has to ask.
    pub fn of(stream: &Stream, mac: [u8; 6]) -> Option<Question> {
        let gateway = stream.gateway?;
        let packet = &stream.packet;
        let source = match (gateway, &packet.ipv4, &packet.ipv6) {
            (IpAddr::V4(_), Some(ip), _) => {
                Ipv4Addr::from(ip.source.sequence.value(0, 0) as u32).into()
            }
            (IpAddr::V6(_), _, Some(ip)) => Ipv6Addr::from(ip.source.sequence.value(0, 0)).into(),
            (IpAddr::V4(_), None, None) => {
                let ip = crate::profile::packet::Ipv4::default();
                Ipv4Addr::from(ip.source.sequence.value(0, 0) as u32).into()
            }
            // A gateway of the other family is asked from no address.
            (IpAddr::V4(_), None, Some(_)) => Ipv4Addr::UNSPECIFIED.into(),
            (IpAddr::V6(_), _, None) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mac = first_mac(packet).unwrap_or(MacAddr(mac));
        Some(Question {
            gateway,
            source,
            mac,
        })
    }

    /// Writes the question into `out` and returns its length.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        match (self.gateway, self.source) {
            (IpAddr::V4(gateway), IpAddr::V4(source)) => {
                arp::write_request(out, MacAddr::BROADCAST, self.mac, source, gateway)
            }
            (IpAddr::V6(gateway), IpAddr::V6(source)) => {
                neighbor::write_solicit(out, None, self.mac, source, gateway)
            }
            _ => None,
        }
    }

    /// The gateway's MAC address, if `frame` tells it.
    pub fn answered(&self, frame: &[u8], layers: &Layers) -> Option<[u8; 6]> {
        if let Some(reply) = layers.arp(frame) {
            let right = reply.operation() == arp::REPLY && self.gateway == reply.sender_ip();
            return right.then(|| reply.sender_mac().0);
        }
        match neighbor::parse(frame, layers)? {
            neighbor::Message::Advert {
                target,
                link: Some(link),
                ..
            } if self.gateway == target => Some(link.0),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stream(spec: serde_json::Value) -> Stream {
        serde_json::from_value(spec).unwrap()
    }

    const PORT: [u8; 6] = [2, 0, 0, 0, 0, 1];

    #[test]
    fn it_answers_for_its_hosts_alone() {
        let streams = [
            stream(json!({"packet": {"ipv4": {"source": {"from": "10.0.0.10", "count": 5}}}})),
            stream(json!({"packet": {"ipv6": {"source": ["2001:2::5", "2001:2::9"]}}})),
        ];
        let hosts = Hosts::of(&streams, PORT);
        let router = MacAddr([2, 0, 0, 0, 0, 9]);
        let asked = |target: IpAddr| {
            let mut frame = [0; 128];
            let source = if target.is_ipv4() {
                "10.0.0.1"
            } else {
                "fe80::1"
            };
            let question = Question {
                gateway: target,
                source: source.parse().unwrap(),
                mac: router,
            };
            let length = question.write(&mut frame).unwrap();
            let frame = &frame[..length];
            let mut out = [0; ANSWER_BYTES];
            let layers = Layers::parse(frame).unwrap();
            let length = hosts.answer(frame, &layers, &mut out)?;
            let reply = &out[..length];
            question.answered(reply, &Layers::parse(reply).unwrap())
        };
        for (target, known) in [
            ("10.0.0.10", true),
            ("10.0.0.14", true),
            ("10.0.0.15", false),
            ("2001:2::5", true),
            ("2001:2::6", false),
        ] {
            assert_eq!(
                asked(target.parse().unwrap()),
                known.then_some(PORT),
                "{target}"
            );
        }
    }

    #[test]
    fn questions_come_from_the_streams_own_host() {
        let stream = stream(json!({
            "gateway": "10.0.0.1",
            "packet": {"ethernet": {"source": "02:00:00:00:00:77"}, "ipv4": {"source": "10.0.0.5"}}
        }));
        let question = Question::of(&stream, PORT).unwrap();
        assert_eq!(question.source, "10.0.0.5".parse::<IpAddr>().unwrap());
        assert_eq!(question.mac.0[5], 0x77);
    }
}
