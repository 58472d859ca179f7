//! ICMP for IPv4 (RFC 792).

use std::{borrow::Borrow, net::Ipv4Addr};

use super::{
    Ethernet, Fragment, Layers, MacAddr, Transport,
    bytes::header_view,
    checksum::{self, Delta},
    common::{message_fields, quote},
    ethernet, ipv4, transport,
};

/// Bytes of the header that every message has: type, code, checksum and four that depend on it.
pub const HEADER_LEN: usize = 8;

/// Message types.
pub mod kind {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench, deprecated (RFC 6633).
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
}

header_view! {
    /// A view of an ICMP header.
    Icmp, HEADER_LEN
}

message_fields!(Icmp);

impl<B: Borrow<[u8; HEADER_LEN]>> Icmp<B> {
    /// Whether this message reports an error, so that no error may be sent about it (RFC 1122,
    /// section 3.2.2).
    #[inline]
    pub fn is_error(&self) -> bool {
        matches!(
            self.kind(),
            kind::UNREACHABLE
                | kind::SOURCE_QUENCH
                | kind::REDIRECT
                | kind::TIME_EXCEEDED
                | kind::PARAMETER_PROBLEM
        )
    }
}

/// What an error message reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The TTL ran out here.
    TimeExceeded,
    /// The destination cannot be reached, for the reason in [`mod@unreachable`].
    Unreachable(u8),
    /// The packet is too long for the next link and must not be fragmented (RFC 1191).
    FragmentationNeeded {
        /// The next link's MTU, in bytes of IP packet.
        mtu: u16,
    },
    /// The IP header is wrong at this byte.
    ParameterProblem {
        /// The offset in the IP header.
        pointer: u8,
    },
}

/// Codes of "destination unreachable" (RFC 792, RFC 1812).
pub mod unreachable {
    /// No route to the network.
    pub const NETWORK: u8 = 0;
    /// The host does not answer ARP.
    pub const HOST: u8 = 1;
    /// The host does not speak the protocol.
    pub const PROTOCOL: u8 = 2;
    /// Nobody listens on the port.
    pub const PORT: u8 = 3;
    /// The packet must not be fragmented; use [`FragmentationNeeded`](super::Error).
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Forbidden by a rule.
    pub const PROHIBITED: u8 = 13;
}

/// An error message is at most this long, from its IP header on (RFC 1812, section 4.3.2.3).
pub const MAX_ERROR_LEN: usize = 576;

/// The code points of error messages: precedence "internetwork control" (RFC 1812, section
/// 4.3.2.5).
const ERROR_TRAFFIC_CLASS: u8 = 0xc0;

/// The TTL of messages that originate here.
const TTL: u8 = 64;

/// Whether an error may be sent about this packet: not about a header whose checksum is wrong, an
/// error message, a later fragment, anything sent to a group (on the link or in IP), or from an
/// address that is no single host's (RFC 1122, section 3.2.2; RFC 1812, section 4.3.2.7). The
/// caller knows the broadcast addresses of its networks; here only 255.255.255.255 is known.
#[inline]
pub fn may_report(frame: &[u8], layers: &Layers) -> bool {
    let (Some(link), Some(header)) = (Ethernet::new(frame), layers.ipv4(frame)) else {
        return false;
    };
    let eligible = match layers.transport() {
        Transport::Icmp => layers
            .icmp(frame)
            .is_some_and(|message| !message.is_error()),
        // The message is cut short, so it may have been an error.
        _ => layers.protocol() != ipv4::protocol::ICMP,
    };
    eligible
        && layers.fragment() != Fragment::Later
        && link.source().is_unicast()
        && !link.destination().is_multicast()
        && !header.destination().is_multicast()
        && !header.destination().is_broadcast()
        && is_host(header.source())
        && transport::ipv4_checksum_ok(frame, layers)
}

/// Whether an address can be a single host's elsewhere (RFC 1812, section 5.3.7).
fn is_host(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first != 127 && first < 224
}

/// Writes the error about `frame` as a whole frame, with its tags and as much of its IP packet as
/// fits (at least header and eight bytes). It is sent by `mac` and `address` to where the packet
/// came from. Returns its length; `None` without room, or if none may be sent
/// ([`may_report`]).
#[inline]
pub fn write_error(
    frame: &[u8],
    layers: &Layers,
    error: Error,
    mac: MacAddr,
    address: Ipv4Addr,
    out: &mut [u8],
) -> Option<usize> {
    if !may_report(frame, layers) {
        return None;
    }
    let offender = layers.ipv4(frame)?;
    let at = ethernet::write_answer(frame, layers, Ethernet::new(frame)?.source(), mac, out)?;
    let message = at + ipv4::HEADER_LEN;
    let end = quote(
        layers.ip_packet(frame),
        offender.header_len(),
        MAX_ERROR_LEN - ipv4::HEADER_LEN - HEADER_LEN,
        out,
        message + HEADER_LEN,
    )?;

    let (kind, code, rest) = match error {
        Error::TimeExceeded => (kind::TIME_EXCEEDED, 0, 0),
        Error::Unreachable(code) => (kind::UNREACHABLE, code, 0),
        Error::FragmentationNeeded { mtu } => (
            kind::UNREACHABLE,
            unreachable::FRAGMENTATION_NEEDED,
            u32::from(mtu),
        ),
        Error::ParameterProblem { pointer } => {
            (kind::PARAMETER_PROBLEM, 0, u32::from(pointer) << 24)
        }
    };
    let mut header = Icmp::new_mut(out.get_mut(message..)?)?;
    header.set_kind(kind, code);
    header.set_checksum(0);
    header.set_rest(rest);
    let sum = checksum::of(out.get(message..end)?);
    Icmp::new_mut(out.get_mut(message..)?)?.set_checksum(sum);

    ipv4::Repr {
        source: address,
        destination: offender.source(),
        protocol: ipv4::protocol::ICMP,
        payload_len: (end - message) as u16,
        ttl: TTL,
        traffic_class: ERROR_TRAFFIC_CLASS,
        // Not to be fragmented, so it needs no identification (RFC 6864).
        identification: 0,
        dont_fragment: true,
    }
    .emit(out.get_mut(at..)?)?;
    Some(end)
}

/// Turns an echo request into its reply, in place and without reading the data: only the head of a
/// packet in segments is needed. The reply comes from `mac` and from the address that was asked.
/// `false`, and nothing changed, if it is no request, a fragment, or not from one station to
/// one other. A wrong checksum stays wrong: the caller has checked it, or leaves that to the
/// receiver.
#[inline]
pub fn answer_echo(frame: &mut [u8], layers: &Layers, mac: MacAddr) -> bool {
    let (Some(link), Some(header), Some(message)) =
        (Ethernet::new(frame), layers.ipv4(frame), layers.icmp(frame))
    else {
        return false;
    };
    let asker = link.source();
    let answerable = message.kind() == kind::ECHO_REQUEST
        && layers.fragment() == Fragment::None
        && asker.is_unicast()
        && !link.destination().is_multicast()
        && is_host(header.source())
        && is_host(header.destination());
    if !answerable {
        return false;
    }
    if let Some(mut link) = Ethernet::new_mut(frame) {
        link.set_destination(asker);
        link.set_source(mac);
    }
    if let Some(mut header) = layers.ipv4_mut(frame) {
        header.swap_addresses();
        header.rewrite_ttl(TTL);
    }
    if let Some(mut message) = layers.icmp_mut(frame) {
        let before = u16::from_be_bytes([message.kind(), message.code()]);
        message.set_kind(kind::ECHO_REPLY, 0);
        message.update_checksum(Delta::new().word(before, 0));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Verdict, check_transport_checksum, ipv4_checksum_ok};

    const HERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const THERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);

    /// An echo request of `length` data bytes from 10.0.0.2 to 10.1.0.1.
    fn request(length: usize) -> Vec<u8> {
        let mut frame = vec![0; 42 + length];
        ethernet::write(&mut frame, HERE, THERE, 0x0800).unwrap();
        let repr = ipv4::Repr {
            source: Ipv4Addr::new(10, 0, 0, 2),
            destination: Ipv4Addr::new(10, 1, 0, 1),
            protocol: 1,
            payload_len: 8 + length as u16,
            ttl: 1,
            traffic_class: 0,
            identification: 9,
            dont_fragment: false,
        };
        repr.emit(&mut frame[14..]).unwrap();
        let mut message = Icmp::new_mut(&mut frame[34..]).unwrap();
        message.set_kind(kind::ECHO_REQUEST, 0);
        message.set_echo(0x1234, 5);
        for (i, byte) in frame[42..].iter_mut().enumerate() {
            *byte = i as u8;
        }
        let layers = Layers::parse(&frame).unwrap();
        assert!(transport::fill_transport_checksum(&mut frame, &layers));
        frame
    }

    fn assert_sound(frame: &[u8]) -> Layers {
        let layers = Layers::parse(frame).unwrap();
        assert!(ipv4_checksum_ok(frame, &layers));
        assert_eq!(check_transport_checksum(frame, &layers), Verdict::Good);
        layers
    }

    #[test]
    fn fields() {
        let bytes = [3, 4, 0x12, 0x34, 0, 0, 0x05, 0xdc];
        let message = Icmp::new(&bytes).unwrap();
        assert_eq!(
            (message.kind(), message.code(), message.checksum()),
            (3, 4, 0x1234)
        );
        assert_eq!(
            (message.rest(), message.identifier(), message.sequence()),
            (1500, 0, 1500)
        );
        assert!(message.is_error());
        assert!(Icmp::new(&bytes[..7]).is_none());
    }

    #[test]
    fn echo_turns_in_place() {
        for length in [0, 1, 56, 1473] {
            let mut frame = request(length);
            let layers = Layers::parse(&frame).unwrap();
            let before = frame.clone();
            assert!(answer_echo(&mut frame, &layers, HERE));
            let layers = assert_sound(&frame);
            assert_eq!(frame[..12], [THERE.0, HERE.0].concat()[..]);
            let header = layers.ipv4(&frame).unwrap();
            assert_eq!(header.source(), Ipv4Addr::new(10, 1, 0, 1));
            assert_eq!(
                (header.destination(), header.ttl()),
                (Ipv4Addr::new(10, 0, 0, 2), 64)
            );
            let message = layers.icmp(&frame).unwrap();
            assert_eq!(
                (message.kind(), message.identifier(), message.sequence()),
                (0, 0x1234, 5)
            );
            assert_eq!(frame[42..], before[42..]);
            // A reply is not answered again.
            assert!(!answer_echo(&mut frame, &layers, HERE));
        }
    }

    #[test]
    fn echo_to_groups_and_in_fragments_is_not_answered() {
        for (at, value) in [
            (0, 3),
            (6, 3),
            (20, 0x20),
            (26, 0),
            (26, 224),
            (30, 224),
            (34, 13),
        ] {
            let mut frame = request(8);
            frame[at] = value;
            let before = frame.clone();
            let layers = Layers::parse(&frame).unwrap();
            assert!(!answer_echo(&mut frame, &layers, HERE), "byte {at}");
            assert_eq!(frame, before);
        }
    }

    #[test]
    fn errors_quote_and_verify() {
        for (error, first) in [
            (Error::TimeExceeded, [11, 0, 0, 0, 0, 0]),
            (Error::Unreachable(unreachable::HOST), [3, 1, 0, 0, 0, 0]),
            (
                Error::FragmentationNeeded { mtu: 1400 },
                [3, 4, 0, 0, 0x05, 0x78],
            ),
            (
                Error::ParameterProblem { pointer: 20 },
                [12, 0, 20, 0, 0, 0],
            ),
        ] {
            for length in [0, 1, 57, 600] {
                let mut frame = request(length);
                // Tags are kept, padding is not quoted.
                frame.splice(12..12, [0x81, 0, 0, 9]);
                frame.extend([0xee; 6]);
                let layers = Layers::parse(&frame).unwrap();
                let mut out = [0xaa; 1500];
                let written = write_error(&frame, &layers, error, HERE, ROUTER, &mut out).unwrap();
                let quoted = (28 + length).min(548);
                assert_eq!(written, 18 + 28 + quoted);
                assert!(out[written..].iter().all(|byte| *byte == 0xaa));
                let answer = assert_sound(&out[..written]);
                assert_eq!(answer.outer_tag(), layers.outer_tag());
                assert_eq!(out[..12], [THERE.0, HERE.0].concat()[..]);
                let header = answer.ipv4(&out).unwrap();
                assert_eq!((header.source(), header.ttl()), (ROUTER, 64));
                assert_eq!(header.destination(), Ipv4Addr::new(10, 0, 0, 2));
                assert_eq!(out[38..40], first[..2]);
                assert_eq!(out[42..46], first[2..]);
                assert_eq!(out[46..written], frame[18..18 + quoted]);
                // No error about an error.
                assert!(!may_report(&out[..written], &answer));
            }
        }
    }

    #[test]
    fn errors_need_room_for_header_and_eight_bytes() {
        let frame = request(100);
        let layers = Layers::parse(&frame).unwrap();
        let mut out = [0; 1500];
        for room in 0..14 + 28 + 28 {
            let out = &mut out[..room];
            assert_eq!(
                write_error(&frame, &layers, Error::TimeExceeded, HERE, ROUTER, out),
                None
            );
        }
        let out = &mut out[..14 + 28 + 28];
        let written = write_error(&frame, &layers, Error::TimeExceeded, HERE, ROUTER, out);
        assert_eq!(written, Some(70));
        assert_sound(&out[..70]);
    }

    #[test]
    fn what_must_not_be_reported() {
        let good = request(8);
        assert!(may_report(&good, &Layers::parse(&good).unwrap()));
        let report = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = good.clone();
            edit(&mut frame);
            let layers = Layers::parse_lax(&frame, frame.len());
            transport::fill_ipv4_checksum(&mut frame, &layers);
            may_report(&frame, &layers)
        };
        assert!(report(&|_| ()));
        assert!(report(&|frame| frame[20] = 0x20), "a first fragment");
        assert!(!report(&|frame| frame[21] = 1), "a later fragment");
        let of_udp = |frame: &mut Vec<u8>| (frame[21], frame[23]) = (1, 17);
        assert!(!report(&of_udp), "a later fragment of what is no error");
        for kind in [3, 4, 5, 11, 12] {
            assert!(!report(&|frame| frame[34] = kind), "an error");
        }
        assert!(!report(&|frame| frame[17] = 24), "a message cut short");
        assert!(!report(&|frame| frame[0] = 0xff), "a group on the link");
        assert!(!report(&|frame| frame[6] = 1), "from a group on the link");
        assert!(!report(&|frame| frame[30] = 224), "to a group");
        assert!(!report(&|frame| frame[30..34].fill(255)), "to everybody");
        for first in [0, 127, 224, 240, 255] {
            assert!(!report(&|frame| frame[26] = first), "from {first}/8");
        }
        let mut wrong = good.clone();
        wrong[24] ^= 1;
        assert!(
            !may_report(&wrong, &Layers::parse(&wrong).unwrap()),
            "wrong checksum"
        );
    }
}
