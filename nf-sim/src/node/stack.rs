//! A host's network stack: datagrams in frames with right checksums, and ARP and neighbor discovery.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use nf_core::wire::{
    Ethernet, InterfaceAddr, Layers, MacAddr, Transport, Verdict, arp, check_transport_checksum,
    checksum, ethernet, ethertype, ipv4, ipv4_checksum_ok, ipv6, neighbor, protocol, udp,
};
use serde::Serialize;

use super::neighbours::{Neighbours, key};
use super::segment::NumberHasher;
use crate::engine::{Fabric, FrameId};
use crate::scenario::HostSpec;

/// What a stack has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StackCounters {
    /// Datagrams handed to the program.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Frames for another station.
    pub not_ours: u64,
    /// Frames whose headers make no sense.
    pub malformed: u64,
    /// Packets with a wrong checksum.
    pub bad_checksum: u64,
    /// Packets to an address or port that the program has not.
    pub no_port: u64,
    /// Packets of other protocols.
    pub other_protocol: u64,
    /// Datagrams that could not be sent: no way there, too long, or too much waited.
    pub unsendable: u64,
    /// Questions for our MAC address that were answered.
    pub answered: u64,
    /// Questions for a neighbour's MAC address.
    pub asked: u64,
}

/// A datagram in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it came to.
    pub to: SocketAddr,
    /// Where in the frame its payload lies.
    pub payload: Range<usize>,
}

/// The port of a host; it has one.
pub const PORT: u16 = 0;

/// Hops that packets of hosts may take.
const HOPS: u8 = 64;

/// The largest frame that hosts send, bytes: an IP packet of 9600 and its link header.
const LARGEST: usize = 9614;

/// A host's network stack.
#[derive(Debug)]
pub struct Stack {
    /// What it has done.
    pub counters: StackCounters,
    node: u32,
    mac: MacAddr,
    addresses: Vec<InterfaceAddr>,
    gateways: Vec<IpAddr>,
    neighbours: Neighbours,
    sockets: HashSet<(u128, u16), BuildHasherDefault<NumberHasher>>,
    identification: u16,
}

impl Stack {
    /// The stack of a host with these sockets.
    pub fn new(node: u32, mac: MacAddr, spec: &HostSpec, sockets: Vec<SocketAddr>) -> Stack {
        let mut neighbours = Neighbours::default();
        for (&address, &mac) in &spec.neighbours {
            neighbours.learn(address, mac);
        }
        Stack {
            counters: StackCounters::default(),
            node,
            mac,
            addresses: spec.addresses.clone(),
            gateways: spec.gateways.clone(),
            neighbours,
            sockets: sockets
                .into_iter()
                .map(|own| (key(own.ip()), own.port()))
                .collect(),
            identification: 0,
        }
    }

    /// Whether the network card takes the frame in.
    #[inline]
    pub fn takes(&mut self, frame: &[u8]) -> bool {
        let takes = Ethernet::new(frame).is_some_and(|link| {
            link.destination() == self.mac || link.destination().is_multicast()
        });
        self.counters.not_ours += u64::from(!takes);
        takes
    }

    /// The host is going: frames that wait go with it.
    pub fn end(&mut self, fabric: &mut Fabric) {
        for frame in self.neighbours.waiting() {
            fabric.frames.free(frame);
        }
    }

    /// Reads a frame. Gives the datagram in it, if it is one for the program; answers questions.
    #[inline]
    pub fn receive(&mut self, frame: &[u8], fabric: &mut Fabric) -> Option<Received> {
        let Ok(layers) = Layers::parse(frame) else {
            self.counters.malformed += 1;
            return None;
        };
        if layers.transport() != Transport::Udp {
            self.receive_other(frame, &layers, fabric);
            return None;
        }
        let checked = !layers.is_ipv4() || ipv4_checksum_ok(frame, &layers);
        if !checked || check_transport_checksum(frame, &layers) == Verdict::Bad {
            self.counters.bad_checksum += 1;
            return None;
        }
        let (source, destination): (IpAddr, IpAddr) = if let Some(header) = layers.ipv4(frame) {
            (header.source().into(), header.destination().into())
        } else if let Some(header) = layers.ipv6(frame) {
            (header.source().into(), header.destination().into())
        } else {
            return None;
        };
        let (source_port, destination_port) = layers.ports(frame)?;
        let to = SocketAddr::new(destination, destination_port);
        if !self.sockets.contains(&(key(destination), destination_port)) {
            self.counters.no_port += 1;
            return None;
        }
        self.counters.received += 1;
        let at = layers.payload_at();
        Some(Received {
            from: SocketAddr::new(source, source_port),
            to,
            payload: at..at + layers.payload_len(),
        })
    }

    fn is_ours(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.address() == address)
    }

    #[cold]
    fn receive_other(&mut self, frame: &[u8], layers: &Layers, fabric: &mut Fabric) {
        if let Some(packet) = layers.arp(frame) {
            if !packet.is_ethernet_ipv4() {
                return;
            }
            let (sender, mac) = (packet.sender_ip().into(), packet.sender_mac());
            let asks =
                packet.operation() == arp::REQUEST && self.is_ours(packet.target_ip().into());
            if mac.is_unicast() && !packet.sender_ip().is_unspecified() {
                self.learn(sender, mac, fabric);
            }
            if asks {
                self.counters.answered += 1;
                self.say(fabric, |mac, out| arp::write_reply(frame, layers, mac, out));
            }
            return;
        }
        match neighbor::parse(frame, layers) {
            Some(neighbor::Message::Solicit {
                target,
                source,
                link,
            }) if self.is_ours(target.into()) => {
                if let Some(mac) = link {
                    self.learn(source.into(), mac, fabric);
                }
                self.counters.answered += 1;
                self.say(fabric, |mac, out| {
                    neighbor::write_advert(frame, layers, mac, false, out)
                });
            }
            Some(neighbor::Message::Advert {
                target,
                link: Some(mac),
                ..
            }) => {
                self.learn(target.into(), mac, fabric);
            }
            Some(_) => {}
            None => self.counters.other_protocol += 1,
        }
    }

    /// Learns where a neighbour is and sends what has waited for that.
    fn learn(&mut self, address: IpAddr, mac: MacAddr, fabric: &mut Fabric) {
        for frame in self.neighbours.learn(address, mac).drain(..) {
            if let Some(to) = fabric.frames.buffer(frame).first_chunk_mut() {
                *to = mac.0;
            }
            fabric.transmit(self.node, PORT, fabric.now, frame);
        }
    }

    /// Sends a frame that `write` writes, of at most 128 bytes, if it does.
    fn say(
        &mut self,
        fabric: &mut Fabric,
        write: impl FnOnce(MacAddr, &mut [u8]) -> Option<usize>,
    ) {
        let mut out = [0; 128];
        if let Some(bytes) = write(self.mac, &mut out).and_then(|len| out.get(..len)) {
            let frame = fabric.frames.alloc();
            fabric.frames.buffer(frame).extend_from_slice(bytes);
            fabric.transmit(self.node, PORT, fabric.now, frame);
        }
    }

    /// Whose MAC address a packet to `address` gets.
    #[inline]
    fn next_hop(&self, address: IpAddr) -> Option<IpAddr> {
        if self
            .addresses
            .iter()
            .any(|own| own.network().contains(address))
        {
            return Some(address);
        }
        let mut gateways = self.gateways.iter();
        gateways
            .find(|gateway| gateway.is_ipv4() == address.is_ipv4())
            .copied()
    }

    /// Sends a datagram at `at`, now or later; false if it could not be sent. It waits while the next
    /// hop's MAC address is asked for.
    #[inline]
    pub fn send(
        &mut self,
        fabric: &mut Fabric,
        at: u64,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
    ) -> bool {
        let Some(hop) = self.next_hop(to.ip()) else {
            self.counters.unsendable += 1;
            return false;
        };
        let known = self.neighbours.get(hop);
        let frame = fabric.frames.alloc();
        let buffer = fabric.frames.buffer(frame);
        self.identification = self.identification.wrapping_add(1);
        let macs = (self.mac, known.unwrap_or(MacAddr::ZERO));
        if write_datagram(buffer, macs, self.identification, from, to, payload).is_none() {
            fabric.frames.free(frame);
            self.counters.unsendable += 1;
            return false;
        }
        self.counters.sent += 1;
        match known {
            Some(_) => fabric.transmit(self.node, PORT, at, frame),
            None => self.send_later(fabric, hop, frame),
        }
        true
    }

    #[cold]
    fn send_later(&mut self, fabric: &mut Fabric, hop: IpAddr, frame: FrameId) {
        if let Err(frame) = self.neighbours.wait(hop, frame) {
            fabric.frames.free(frame);
            self.counters.unsendable += 1;
        }
        if !self.neighbours.ask(hop, fabric.now) {
            return;
        }
        self.counters.asked += 1;
        let mut own = self.addresses.iter().map(InterfaceAddr::address);
        match hop {
            IpAddr::V4(hop) => {
                let own = own.find_map(|own| match own {
                    IpAddr::V4(own) => Some(own),
                    IpAddr::V6(_) => None,
                });
                if let Some(own) = own {
                    self.say(fabric, |mac, out| {
                        arp::write_request(out, MacAddr::BROADCAST, mac, own, hop)
                    });
                }
            }
            IpAddr::V6(hop) => {
                let own = own.find_map(|own| match own {
                    IpAddr::V4(_) => None,
                    IpAddr::V6(own) => Some(own),
                });
                if let Some(own) = own {
                    self.say(fabric, |mac, out| {
                        neighbor::write_solicit(out, None, mac, own, hop)
                    });
                }
            }
        }
    }
}

/// Writes a frame with a UDP datagram. `None` if it is too long, or the versions of IP differ.
#[inline]
fn write_datagram(
    buffer: &mut Vec<u8>,
    (own, next): (MacAddr, MacAddr),
    identification: u16,
    from: SocketAddr,
    to: SocketAddr,
    payload: &[u8],
) -> Option<()> {
    let payload_len = u16::try_from(payload.len()).ok()?;
    let udp_len = payload_len.checked_add(udp::HEADER_LEN as u16)?;
    let ip_len = if to.is_ipv4() {
        ipv4::HEADER_LEN
    } else {
        ipv6::HEADER_LEN
    };
    let headers = ethernet::HEADER_LEN + ip_len + udp::HEADER_LEN;
    if headers + payload.len() > LARGEST {
        return None;
    }
    buffer.clear();
    buffer.resize(headers, 0);
    let mut sum = checksum::Sum::new();
    match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet::write(buffer, next, own, ethertype::IPV4)?;
            let header = ipv4::Repr {
                source,
                destination,
                protocol: protocol::UDP,
                payload_len: udp_len,
                ttl: HOPS,
                traffic_class: 0,
                identification,
                dont_fragment: false,
            };
            header.emit(buffer.get_mut(ethernet::HEADER_LEN..)?)?;
            sum.add_ipv4_pseudo(source, destination, protocol::UDP, udp_len);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ethernet::write(buffer, next, own, ethertype::IPV6)?;
            let header = ipv6::Repr {
                source,
                destination,
                next_header: protocol::UDP,
                payload_len: udp_len,
                hop_limit: HOPS,
                traffic_class: 0,
                flow_label: 0,
            };
            header.emit(buffer.get_mut(ethernet::HEADER_LEN..)?)?;
            sum.add_ipv6_pseudo(source, destination, protocol::UDP, udp_len.into());
        }
        _ => return None,
    }
    let at = ethernet::HEADER_LEN + ip_len;
    udp::write(buffer.get_mut(at..)?, from.port(), to.port(), payload_len)?;
    buffer.extend_from_slice(payload);
    sum.add_bytes(buffer.get(at..)?);
    let field = buffer.get_mut(at + 6..)?.first_chunk_mut()?;
    *field = sum.udp_checksum().to_be_bytes();
    Some(())
}
