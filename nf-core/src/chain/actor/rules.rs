//! Which packets are an actor's: rules over what a packet says of its flow, the first that matches.

use std::net::IpAddr;

use crate::packet::Packet;
use crate::sched::ActorId;
use crate::wire::Layers;

/// Bytes that a payload has to have at some place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Magic {
    /// Where, from the beginning of the transport payload, bytes.
    pub at: u16,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What a packet has to be like. What is not said matches anything; a packet of which something is said that it
/// does not have (a later fragment has no ports) does not match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// Index of the port that received it.
    pub port: Option<u16>,
    /// VLAN, 0 to 4095: of the tag that the port took off, else of the outermost in the frame.
    pub vlan: Option<u16>,
    /// IP protocol, as 17 for UDP.
    pub protocol: Option<u8>,
    /// Destination address.
    pub destination: Option<IpAddr>,
    /// Destination port, UDP or TCP.
    pub destination_port: Option<u16>,
    /// Bytes of the payload; in the packet's first segment.
    pub magic: Option<Magic>,
}

impl Match {
    /// UDP to that port.
    pub fn udp(destination_port: u16) -> Match {
        Match {
            protocol: Some(crate::wire::protocol::UDP),
            destination_port: Some(destination_port),
            ..Match::default()
        }
    }

    /// Whether a packet is like that; `layers` are its headers.
    pub fn matches(&self, packet: &Packet, layers: &Layers) -> bool {
        let frame = packet.data();
        let is = |wanted: Option<u16>, found: Option<u16>| wanted.is_none() || wanted == found;
        let tag = || layers.outer_tag().map(|tag| tag.id());
        let vlan = || packet.stripped_vlan().map(|tci| tci & 0xfff).or_else(tag);
        let destination = || match layers.ipv4(frame) {
            Some(header) => Some(IpAddr::from(header.destination())),
            None => layers
                .ipv6(frame)
                .map(|header| IpAddr::from(header.destination())),
        };
        let has_ip = layers.is_ipv4() || layers.is_ipv6();
        is(self.port, Some(packet.meta().port))
            && self
                .protocol
                .is_none_or(|wanted| has_ip && layers.protocol() == wanted)
            && (self.destination_port.is_none()
                || is(
                    self.destination_port,
                    layers.ports(frame).map(|(_, port)| port),
                ))
            && (self.vlan.is_none() || is(self.vlan, vlan()))
            && self
                .destination
                .is_none_or(|wanted| destination() == Some(wanted))
            && self.magic.as_ref().is_none_or(|magic| {
                let from = usize::from(magic.at);
                let payload = layers.payload(frame);
                payload.get(from..from + magic.bytes.len()) == Some(&*magic.bytes)
            })
    }
}

/// Rules, first first.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules(pub Vec<(Match, ActorId)>);

impl Rules {
    /// Whose a packet is.
    pub fn actor(&self, packet: &Packet) -> Option<ActorId> {
        let layers = Layers::parse_lax(packet.data(), packet.len());
        let rule = self
            .0
            .iter()
            .find(|(rule, _)| rule.matches(packet, &layers));
        rule.map(|(_, actor)| *actor)
    }
}
