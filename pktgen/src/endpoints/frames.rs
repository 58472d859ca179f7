//! Datagrams in Ethernet frames: what a kernel's stack would do, for ports without one.

use std::net::{IpAddr, SocketAddr};

use nf_core::wire::{
    Layers, MacAddr, Verdict, check_transport_checksum, ethernet, fill_transport_checksum, ipv4,
    ipv6, udp,
};

/// Hops that datagrams may take.
const TTL: u8 = 64;

/// Bytes of all headers before a datagram between these addresses.
pub fn headers(to: SocketAddr) -> usize {
    let ip = match to {
        SocketAddr::V4(_) => ipv4::HEADER_LEN,
        SocketAddr::V6(_) => ipv6::HEADER_LEN,
    };
    ethernet::HEADER_LEN + ip + udp::HEADER_LEN
}

/// Writes the frame of a datagram over `frame`, which has as many bytes as it needs: [`headers`] and the
/// payload. `None` if the addresses are of two families, or it is too long.
pub fn write(
    frame: &mut [u8],
    (source, destination): (MacAddr, MacAddr),
    from: SocketAddr,
    to: SocketAddr,
    payload: &[u8],
) -> Option<()> {
    let length = u16::try_from(payload.len()).ok()?;
    let datagram = length.checked_add(udp::HEADER_LEN as u16)?;
    let (kind, at) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = ipv4::Repr {
                source: from,
                destination: to,
                protocol: ipv4::protocol::UDP,
                payload_len: datagram,
                ttl: TTL,
                traffic_class: 0,
                identification: 0,
                dont_fragment: true,
            };
            let rest = frame.get_mut(ethernet::HEADER_LEN..)?;
            (ethernet::ethertype::IPV4, header.emit(rest)?)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = ipv6::Repr {
                source: from,
                destination: to,
                next_header: ipv4::protocol::UDP,
                payload_len: datagram,
                hop_limit: TTL,
                traffic_class: 0,
                flow_label: 0,
            };
            let rest = frame.get_mut(ethernet::HEADER_LEN..)?;
            (ethernet::ethertype::IPV6, header.emit(rest)?)
        }
        _ => return None,
    };
    ethernet::write(frame, destination, source, kind)?;
    let rest = frame.get_mut(ethernet::HEADER_LEN + at..)?;
    let at = udp::write(rest, from.port(), to.port(), length)?;
    rest.get_mut(at..)?
        .get_mut(..payload.len())?
        .copy_from_slice(payload);
    let layers = Layers::parse(frame).ok()?;
    fill_transport_checksum(frame, &layers).then_some(())
}

/// The datagram of a frame: from, to, payload. `None` for what is no whole UDP datagram, or is broken.
pub fn read<'a>(frame: &'a [u8], layers: &Layers) -> Option<(SocketAddr, SocketAddr, &'a [u8])> {
    layers.udp(frame)?;
    if !matches!(
        check_transport_checksum(frame, layers),
        Verdict::Good | Verdict::Absent
    ) {
        return None;
    }
    let (from, to): (IpAddr, IpAddr) = match (layers.ipv4(frame), layers.ipv6(frame)) {
        (Some(header), _) => (header.source().into(), header.destination().into()),
        (_, Some(header)) => (header.source().into(), header.destination().into()),
        _ => return None,
    };
    let (source, destination) = layers.ports(frame)?;
    Some((
        SocketAddr::new(from, source),
        SocketAddr::new(to, destination),
        layers.payload(frame),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACS: (MacAddr, MacAddr) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));

    fn frame(from: &str, to: &str, payload: &[u8]) -> Option<Vec<u8>> {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let mut frame = vec![0; headers(to) + payload.len()];
        write(&mut frame, MACS, from, to, payload)?;
        Some(frame)
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (from, to) in [
            ("10.0.0.11:20000", "10.0.1.101:9043"),
            ("[2001:2::1]:20000", "[2001:2::2]:9043"),
        ] {
            for payload in [&b""[..], b"x", &[7; 1400]] {
                let frame = frame(from, to, payload).unwrap();
                let layers = Layers::parse(&frame).unwrap();
                let (f, t, found) = read(&frame, &layers).unwrap();
                assert_eq!((f.to_string(), t.to_string()), (from.into(), to.into()));
                assert_eq!(found, payload);
                let peer = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
                assert!(peer.transport.is_some());
            }
        }
    }

    #[test]
    fn what_cannot_be_is_not_written_and_what_is_broken_not_read() {
        assert!(frame("10.0.0.1:1", "[2001:2::2]:2", b"x").is_none());
        assert!(frame("10.0.0.1:1", "10.0.0.2:2", &[0; 65_530]).is_none());
        let mut frame = frame("10.0.0.1:1", "10.0.0.2:2", b"payload").unwrap();
        let last = frame.len() - 1;
        frame[last] ^= 1;
        let layers = Layers::parse(&frame).unwrap();
        assert!(read(&frame, &layers).is_none());
        for length in 0..frame.len() {
            let layers = Layers::parse_lax(&frame[..length], length);
            assert!(read(&frame[..length], &layers).is_none(), "{length}");
        }
    }
}
