//! Frames with right lengths and checksums, written as a test reads them.

use std::net::{IpAddr, SocketAddr};

use crate::wire::{
    Layers, MacAddr, checksum, ethernet, ethertype, fill_ipv4_checksum, fill_transport_checksum,
    icmp, icmpv6, ipv4, ipv6, protocol, tcp, udp,
};

/// A frame to be built. What is not said gets a plain value: MAC addresses of the bench's client
/// host and client port, TTL 64, no payload.
#[derive(Debug, Clone)]
pub struct Frame {
    to: MacAddr,
    from: MacAddr,
    tags: Vec<(u16, u16)>,
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    /// DF and MF bits and the fragment's offset in units of eight bytes.
    flags: u16,
    identification: u16,
    options: Vec<u8>,
    /// Kind and whole header, but for its first byte, of each.
    extensions: Vec<(u8, Vec<u8>)>,
    protocol: u8,
    header: Vec<u8>,
    payload: Vec<u8>,
    pad_to: usize,
}

impl Frame {
    /// MAC address of a host behind a port of the [bench](super::StageBench).
    pub const fn host_mac(port: u16) -> MacAddr {
        MacAddr([2, 0, 0, 0, 1, port as u8])
    }

    /// MAC address of a port of the [bench](super::StageBench).
    pub const fn port_mac(port: u16) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, port as u8])
    }

    /// An IP packet of any protocol; addresses of one version, like `10.0.0.1` or `fd00::1`.
    pub fn ip(source: &str, destination: &str, protocol: u8) -> Frame {
        Frame {
            to: Self::port_mac(0),
            from: Self::host_mac(0),
            tags: Vec::new(),
            source: source.parse().expect("a source address"),
            destination: destination.parse().expect("a destination address"),
            ttl: 64,
            flags: 0,
            identification: 0,
            options: Vec::new(),
            extensions: Vec::new(),
            protocol,
            header: Vec::new(),
            payload: Vec::new(),
            pad_to: 0,
        }
    }

    fn between(source: &str, destination: &str, protocol: u8) -> (Frame, u16, u16) {
        let source: SocketAddr = source.parse().expect("source ADDRESS:PORT");
        let destination: SocketAddr = destination.parse().expect("destination ADDRESS:PORT");
        let frame = Frame::ip(
            &source.ip().to_string(),
            &destination.ip().to_string(),
            protocol,
        );
        (frame, source.port(), destination.port())
    }

    /// A UDP datagram; ends like `10.0.0.1:53` or `[fd00::1]:53`.
    pub fn udp(source: &str, destination: &str) -> Frame {
        let (mut frame, from, to) = Frame::between(source, destination, protocol::UDP);
        frame.header = [from.to_be_bytes(), to.to_be_bytes(), [0; 2], [0; 2]].concat();
        frame
    }

    /// A TCP segment with the ACK flag; ends like `10.0.0.1:80` or `[fd00::1]:80`.
    pub fn tcp(source: &str, destination: &str) -> Frame {
        let (mut frame, from, to) = Frame::between(source, destination, protocol::TCP);
        frame.header = vec![0; tcp::HEADER_LEN];
        frame.header[..2].copy_from_slice(&from.to_be_bytes());
        frame.header[2..4].copy_from_slice(&to.to_be_bytes());
        frame.header[12..14].copy_from_slice(&[0x50, 0x10]);
        frame
    }

    /// An echo request of ICMP or ICMPv6, by the addresses' version.
    pub fn ping(source: &str, destination: &str) -> Frame {
        let mut frame = Frame::ip(source, destination, 0);
        let kind = match frame.source {
            IpAddr::V4(_) => {
                frame.protocol = protocol::ICMP;
                icmp::kind::ECHO_REQUEST
            }
            IpAddr::V6(_) => {
                frame.protocol = protocol::ICMPV6;
                icmpv6::kind::ECHO_REQUEST
            }
        };
        frame.header = vec![kind, 0, 0, 0, 0x12, 0x34, 0, 1];
        frame
    }

    /// Between these stations.
    #[must_use]
    pub fn macs(mut self, from: MacAddr, to: MacAddr) -> Frame {
        (self.from, self.to) = (from, to);
        self
    }

    /// From the host behind a port of the bench to that port.
    #[must_use]
    pub fn at(self, port: u16) -> Frame {
        self.macs(Self::host_mac(port), Self::port_mac(port))
    }

    /// With one more VLAN tag, of type 0x8100, inside those there are.
    #[must_use]
    pub fn vlan(mut self, id: u16) -> Frame {
        self.tags.push((ethertype::VLAN, id));
        self
    }

    /// With this TTL or hop limit.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Frame {
        self.ttl = ttl;
        self
    }

    /// With these IPv4 flags and fragment offset (as the header has them); over IPv6 with a fragment
    /// header of that offset and M bit.
    #[must_use]
    pub fn fragment(mut self, flags: u16) -> Frame {
        self.flags = flags;
        if self.source.is_ipv6() {
            let more = u16::from(flags & ipv4::MORE_FRAGMENTS != 0);
            let [a, b] = ((flags & ipv4::FRAGMENT_OFFSET) << 3 | more).to_be_bytes();
            self.extensions
                .push((ipv6::next_header::FRAGMENT, vec![0, a, b, 0, 0, 0, 7]));
        }
        self
    }

    /// With this IPv4 identification.
    #[must_use]
    pub fn identification(mut self, value: u16) -> Frame {
        self.identification = value;
        self
    }

    /// With these IPv4 options, padded with zeros to a multiple of four bytes.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Frame {
        self.options = options.to_vec();
        self.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// With one more IPv6 extension header of this kind: `rest` is all of it but its first byte.
    #[must_use]
    pub fn extension(mut self, kind: u8, rest: &[u8]) -> Frame {
        self.extensions.push((kind, rest.to_vec()));
        self
    }

    /// With this data behind the last header.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Frame {
        self.payload = payload.to_vec();
        self
    }

    /// With `len` bytes of data.
    #[must_use]
    pub fn payload_len(mut self, len: usize) -> Frame {
        self.payload = (0..len).map(|n| n as u8).collect();
        self
    }

    /// With zeros behind the packet up to this length, as Ethernet pads short frames.
    #[must_use]
    pub fn pad_to(mut self, len: usize) -> Frame {
        self.pad_to = len;
        self
    }

    /// The frame's bytes.
    pub fn build(&self) -> Vec<u8> {
        let mut out = vec![0; 1 << 17];
        let kind = match self.source {
            IpAddr::V4(_) => ethertype::IPV4,
            IpAddr::V6(_) => ethertype::IPV6,
        };
        let mut at = ethernet::write(&mut out, self.to, self.from, kind).expect("room");
        if let Some(&(first, _)) = self.tags.first() {
            out[12..14].copy_from_slice(&first.to_be_bytes());
        }
        for (n, (_, id)) in self.tags.iter().enumerate() {
            let next = self.tags.get(n + 1).map_or(kind, |tag| tag.0);
            out[at..at + 2].copy_from_slice(&id.to_be_bytes());
            out[at + 2..at + 4].copy_from_slice(&next.to_be_bytes());
            at += 4;
        }
        let network = at;
        let mut body = Vec::new();
        for (n, (_, rest)) in self.extensions.iter().enumerate() {
            let next = self.extensions.get(n + 1);
            body.push(next.map_or(self.protocol, |next| next.0));
            body.extend_from_slice(rest);
        }
        body.extend_from_slice(&self.header);
        body.extend_from_slice(&self.payload);
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let repr = ipv4::Repr {
                    source,
                    destination,
                    protocol: self.protocol,
                    payload_len: (self.options.len() + body.len()) as u16,
                    ttl: self.ttl,
                    traffic_class: 0,
                    identification: self.identification,
                    dont_fragment: false,
                };
                at += repr.emit(&mut out[at..]).expect("room");
                let mut header = crate::wire::Ipv4::new_mut(&mut out[network..]).expect("a header");
                header.set_flags(self.flags);
                header.set_version_and_header_len(ipv4::HEADER_LEN + self.options.len());
                out[at..at + self.options.len()].copy_from_slice(&self.options);
                at += self.options.len();
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let first = self.extensions.first();
                let repr = ipv6::Repr {
                    source,
                    destination,
                    next_header: first.map_or(self.protocol, |first| first.0),
                    payload_len: body.len() as u16,
                    hop_limit: self.ttl,
                    traffic_class: 0,
                    flow_label: 0,
                };
                at += repr.emit(&mut out[at..]).expect("room");
            }
            _ => panic!("addresses of different versions"),
        }
        out[at..at + body.len()].copy_from_slice(&body);
        at += body.len();
        out.truncate(at);
        if self.protocol == protocol::UDP && self.header.len() == udp::HEADER_LEN {
            let header = at - self.payload.len() - udp::HEADER_LEN;
            let length = (udp::HEADER_LEN + self.payload.len()) as u16;
            out[header + 4..header + 6].copy_from_slice(&length.to_be_bytes());
        }
        let layers = Layers::parse_lax(&out, at);
        fill_ipv4_checksum(&mut out, &layers);
        if layers.transport() == crate::wire::Transport::Icmp {
            let start = layers.transport_at();
            let sum = checksum::of(&out[start..]);
            out[start + 2..start + 4].copy_from_slice(&sum.to_be_bytes());
        } else {
            fill_transport_checksum(&mut out, &layers);
        }
        out.resize(at.max(self.pad_to), 0);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Verdict, check_transport_checksum, ipv4_checksum_ok};

    #[test]
    fn frames_are_well_formed() {
        for frame in [
            Frame::udp("10.0.0.1:1", "10.0.0.2:2").payload(b"abc"),
            Frame::tcp("10.0.0.1:1", "10.0.0.2:2").options(&[1, 1, 1]),
            Frame::ping("10.0.0.1", "10.0.0.2").vlan(5).vlan(6),
            Frame::udp("[fd00::1]:1", "[fd00::2]:2").payload(b"abc"),
            Frame::tcp("[fd00::1]:1", "[fd00::2]:2").extension(60, &[0, 0, 0, 0, 0, 0, 0]),
            Frame::ping("fd00::1", "fd00::2").pad_to(100),
        ] {
            let bytes = frame.build();
            let layers = Layers::parse(&bytes).expect("well-formed");
            assert_eq!(
                check_transport_checksum(&bytes, &layers),
                Verdict::Good,
                "{frame:?}"
            );
            assert!(!layers.is_ipv4() || ipv4_checksum_ok(&bytes, &layers));
        }
    }
}
