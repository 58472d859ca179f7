//! ICMP for IPv6 (RFC 4443).

use std::{borrow::Borrow, net::Ipv6Addr};

use super::{
    Ethernet, Fragment, Layers, MacAddr, Transport,
    bytes::header_view,
    checksum::{Delta, Sum},
    common::{message_fields, quote},
    ethernet, ipv4, ipv6,
};

/// Bytes of the header that every message has: type, code, checksum and four that depend on it.
pub const HEADER_LEN: usize = 8;

/// Message types.
pub mod kind {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Router solicitation (RFC 4861).
    pub const ROUTER_SOLICIT: u8 = 133;
    /// Router advertisement (RFC 4861).
    pub const ROUTER_ADVERT: u8 = 134;
    /// Neighbor solicitation (RFC 4861).
    pub const NEIGHBOR_SOLICIT: u8 = 135;
    /// Neighbor advertisement (RFC 4861).
    pub const NEIGHBOR_ADVERT: u8 = 136;
    /// Redirect (RFC 4861).
    pub const REDIRECT: u8 = 137;
}

header_view! {
    /// A view of an ICMPv6 header.
    Icmpv6, HEADER_LEN
}

message_fields!(Icmpv6);

impl<B: Borrow<[u8; HEADER_LEN]>> Icmpv6<B> {
    /// Whether no error may be sent about this message: errors have types below 128, and redirects
    /// count as errors (RFC 4443, section 2.4 (e)).
    #[inline]
    pub fn is_error(&self) -> bool {
        self.kind() < 128 || self.kind() == kind::REDIRECT
    }
}

/// What an error message reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The hop limit ran out here.
    TimeExceeded,
    /// The destination cannot be reached, for the reason in [`mod@unreachable`].
    Unreachable(u8),
    /// The packet is too long for the next link.
    PacketTooBig {
        /// The next link's MTU, in bytes of IP packet.
        mtu: u32,
    },
    /// A header field is wrong.
    ParameterProblem {
        /// 0: erroneous field, 1: unknown next header, 2: unknown option.
        code: u8,
        /// The offset in the IP packet.
        pointer: u32,
    },
}

/// Codes of "destination unreachable" (RFC 4443, section 3.1).
pub mod unreachable {
    /// No route.
    pub const NO_ROUTE: u8 = 0;
    /// Forbidden by a rule.
    pub const PROHIBITED: u8 = 1;
    /// The source address has a smaller scope than the destination.
    pub const BEYOND_SCOPE: u8 = 2;
    /// The host does not answer neighbor solicitations.
    pub const ADDRESS: u8 = 3;
    /// Nobody listens on the port.
    pub const PORT: u8 = 4;
}

/// An error message is at most this long, from its IP header on: the least MTU (RFC 4443, section
/// 2.4 (c)).
pub const MAX_ERROR_LEN: usize = 1280;

/// The hop limit of messages that originate here, neighbor discovery excepted.
const HOP_LIMIT: u8 = 64;

/// Whether `error` may be sent about this packet (RFC 4443, section 2.4 (e)): not about an error
/// message or a redirect, nor about a packet to a group or from an address that is no single
/// node's. Only "packet too big" and an unknown option may be reported of packets to a group. Later
/// fragments are not reported either: what they are part of cannot be seen.
#[inline]
pub fn may_report(frame: &[u8], layers: &Layers, error: Error) -> bool {
    let (Some(link), Some(header)) = (Ethernet::new(frame), layers.ipv6(frame)) else {
        return false;
    };
    // A chain of headers that could not be followed may end in an error message.
    if layers
        .problem()
        .is_some_and(|problem| !problem.is_transport())
    {
        return false;
    }
    let eligible = match layers.transport() {
        Transport::Icmpv6 => layers
            .icmpv6(frame)
            .is_some_and(|message| !message.is_error()),
        // The message is cut short, so it may have been an error.
        _ => layers.protocol() != ipv4::protocol::ICMPV6,
    };
    let of_groups = matches!(
        error,
        Error::PacketTooBig { .. } | Error::ParameterProblem { code: 2, .. }
    );
    let to_group = link.destination().is_multicast() || header.destination().is_multicast();
    eligible
        && layers.fragment() != Fragment::Later
        && link.source().is_unicast()
        && is_node(header.source())
        && (of_groups || !to_group)
}

/// Whether an address can be a single node's elsewhere.
fn is_node(address: Ipv6Addr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}

/// Writes the error about `frame` as a whole frame, with its tags and as much of its IP packet as
/// fits (at least the fixed header and eight bytes). It is sent by `mac` and `address` to where the
/// packet came from. Returns its length; `None` without room, or if none may be sent
/// ([`may_report`]).
#[inline]
pub fn write_error(
    frame: &[u8],
    layers: &Layers,
    error: Error,
    mac: MacAddr,
    address: Ipv6Addr,
    out: &mut [u8],
) -> Option<usize> {
    if !may_report(frame, layers, error) {
        return None;
    }
    let offender = layers.ipv6(frame)?.source();
    let at = ethernet::write_answer(frame, layers, Ethernet::new(frame)?.source(), mac, out)?;
    let message = at + ipv6::HEADER_LEN;
    let end = quote(
        layers.ip_packet(frame),
        ipv6::HEADER_LEN,
        MAX_ERROR_LEN - ipv6::HEADER_LEN - HEADER_LEN,
        out,
        message + HEADER_LEN,
    )?;

    let (kind, code, rest) = match error {
        Error::TimeExceeded => (kind::TIME_EXCEEDED, 0, 0),
        Error::Unreachable(code) => (kind::UNREACHABLE, code, 0),
        Error::PacketTooBig { mtu } => (kind::PACKET_TOO_BIG, 0, mtu),
        Error::ParameterProblem { code, pointer } => (kind::PARAMETER_PROBLEM, code, pointer),
    };
    let mut header = Icmpv6::new_mut(out.get_mut(message..)?)?;
    header.set_kind(kind, code);
    header.set_rest(rest);
    finish(out, at, end, address, offender, HOP_LIMIT)
}

/// Writes the IPv6 header at `at` in front of the message that ends at `end`, and its checksum.
/// Returns `end`.
#[inline]
pub(super) fn finish(
    out: &mut [u8],
    at: usize,
    end: usize,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
) -> Option<usize> {
    let message = at + ipv6::HEADER_LEN;
    let length = u16::try_from(end.checked_sub(message)?).ok()?;
    ipv6::Repr {
        source,
        destination,
        next_header: ipv4::protocol::ICMPV6,
        payload_len: length,
        hop_limit,
        traffic_class: 0,
        flow_label: 0,
    }
    .emit(out.get_mut(at..)?)?;
    Icmpv6::new_mut(out.get_mut(message..)?)?.set_checksum(0);
    let mut sum = Sum::new();
    sum.add_ipv6_pseudo(source, destination, ipv4::protocol::ICMPV6, length.into());
    sum.add_bytes(out.get(message..end)?);
    Icmpv6::new_mut(out.get_mut(message..)?)?.set_checksum(sum.checksum());
    Some(end)
}

/// Turns an echo request into its reply, in place and without reading the data: only the head of a
/// packet in segments is needed. The reply comes from `mac` and `address`, the node's own, which is
/// also what was asked unless that was a group (RFC 4443, section 4.2). `false`, and nothing
/// changed, if it is no request, a fragment, source-routed, or not from one station. A wrong
/// checksum stays wrong: the caller has checked it, or leaves that to the receiver.
#[inline]
pub fn answer_echo(frame: &mut [u8], layers: &Layers, mac: MacAddr, address: Ipv6Addr) -> bool {
    let (Some(link), Some(header), Some(message)) = (
        Ethernet::new(frame),
        layers.ipv6(frame),
        layers.icmpv6(frame),
    ) else {
        return false;
    };
    let asker = link.source();
    let (from, to) = (header.source(), header.destination());
    let answerable = message.kind() == kind::ECHO_REQUEST
        && layers.fragment() == Fragment::None
        && !layers.is_source_routed()
        && asker.is_unicast()
        && is_node(from);
    if !answerable {
        return false;
    }
    if let Some(mut link) = Ethernet::new_mut(frame) {
        link.set_destination(asker);
        link.set_source(mac);
    }
    if let Some(mut header) = layers.ipv6_mut(frame) {
        header.set_source(address);
        header.set_destination(from);
        header.set_hop_limit(HOP_LIMIT);
    }
    if let Some(mut message) = layers.icmpv6_mut(frame) {
        let before = u16::from_be_bytes([message.kind(), message.code()]);
        let after = u16::from_be_bytes([kind::ECHO_REPLY, 0]);
        message.set_kind(kind::ECHO_REPLY, 0);
        // The asker's address moves from source to destination, which the sum does not notice.
        message.update_checksum(Delta::new().word(before, after).ipv6(to, address));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Verdict, check_transport_checksum};

    const HERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const THERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);
    const ASKER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
    const ASKED: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);

    fn request_to(asked: Ipv6Addr, length: usize) -> Vec<u8> {
        let mut frame = vec![0; 62 + length];
        ethernet::write(&mut frame, HERE, THERE, 0x86dd).unwrap();
        for (i, byte) in frame[62..].iter_mut().enumerate() {
            *byte = i as u8;
        }
        let mut message = Icmpv6::new_mut(&mut frame[54..]).unwrap();
        message.set_kind(kind::ECHO_REQUEST, 0);
        message.set_echo(0x1234, 5);
        assert_eq!(
            finish(&mut frame, 14, 62 + length, ASKER, asked, 1),
            Some(62 + length)
        );
        frame
    }

    fn request(length: usize) -> Vec<u8> {
        request_to(ASKED, length)
    }

    fn assert_sound(frame: &[u8]) -> Layers {
        let layers = Layers::parse(frame).unwrap();
        assert_eq!(check_transport_checksum(frame, &layers), Verdict::Good);
        layers
    }

    #[test]
    fn fields() {
        let bytes = [0x80, 0, 0x12, 0x34, 0x86, 0xdd, 0, 7];
        let message = Icmpv6::new(&bytes).unwrap();
        assert_eq!(
            (message.kind(), message.code(), message.checksum()),
            (128, 0, 0x1234)
        );
        assert_eq!((message.identifier(), message.sequence()), (0x86dd, 7));
        assert_eq!(message.rest(), 0x86dd_0007);
        assert!(!message.is_error());
        assert!(Icmpv6::new(&bytes[..7]).is_none());
    }

    #[test]
    fn echo_turns_in_place() {
        for (asked, length) in [(ASKED, 0), (ASKED, 1), (ASKED, 1453), (ROUTER, 57)] {
            let mut frame = request_to(asked, length);
            let layers = assert_sound(&frame);
            let before = frame.clone();
            assert!(answer_echo(&mut frame, &layers, HERE, ASKED));
            let layers = assert_sound(&frame);
            assert_eq!(frame[..12], [THERE.0, HERE.0].concat()[..]);
            let header = layers.ipv6(&frame).unwrap();
            assert_eq!((header.source(), header.destination()), (ASKED, ASKER));
            assert_eq!(header.hop_limit(), 64);
            let message = layers.icmpv6(&frame).unwrap();
            assert_eq!(
                (message.kind(), message.rest()),
                (kind::ECHO_REPLY, 0x1234_0005)
            );
            assert_eq!(frame[62..], before[62..]);
            assert!(!answer_echo(&mut frame, &layers, HERE, ASKED));
        }
    }

    #[test]
    fn echo_to_a_group_is_answered_by_the_own_address() {
        let mut frame = request_to("ff02::1".parse().unwrap(), 9);
        frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
        let layers = assert_sound(&frame);
        assert!(answer_echo(&mut frame, &layers, HERE, ASKED));
        let layers = assert_sound(&frame);
        assert_eq!(layers.ipv6(&frame).unwrap().source(), ASKED);
        assert_eq!(frame[6..12], HERE.0);
    }

    #[test]
    fn echo_from_groups_is_not_answered() {
        for (at, value) in [(6, 3), (22, 0xff), (54, 129)] {
            let mut frame = request(8);
            frame[at] = value;
            let before = frame.clone();
            let layers = Layers::parse(&frame).unwrap();
            assert!(!answer_echo(&mut frame, &layers, HERE, ASKED), "byte {at}");
            assert_eq!(frame, before);
        }
    }

    #[test]
    fn errors_quote_and_verify() {
        for (error, first) in [
            (Error::TimeExceeded, [3, 0, 0, 0, 0, 0]),
            (Error::Unreachable(unreachable::ADDRESS), [1, 3, 0, 0, 0, 0]),
            (
                Error::PacketTooBig { mtu: 66_000 },
                [2, 0, 0, 1, 0x01, 0xd0],
            ),
            (
                Error::ParameterProblem {
                    code: 1,
                    pointer: 40,
                },
                [4, 1, 0, 0, 0, 40],
            ),
        ] {
            for length in [0, 1, 57, 1400] {
                let mut frame = request(length);
                frame.splice(12..12, [0x81, 0, 0, 9]);
                frame.extend([0xee; 6]);
                let layers = Layers::parse(&frame).unwrap();
                let mut out = [0xaa; 1500];
                let written = write_error(&frame, &layers, error, HERE, ROUTER, &mut out).unwrap();
                let quoted = (48 + length).min(1232);
                assert_eq!(written, 18 + 48 + quoted);
                assert!(out[written..].iter().all(|byte| *byte == 0xaa));
                let answer = assert_sound(&out[..written]);
                assert_eq!(answer.outer_tag(), layers.outer_tag());
                assert_eq!(out[..12], [THERE.0, HERE.0].concat()[..]);
                let header = answer.ipv6(&out).unwrap();
                assert_eq!((header.source(), header.destination()), (ROUTER, ASKER));
                assert_eq!(header.hop_limit(), 64);
                assert_eq!(out[58..60], first[..2]);
                assert_eq!(out[62..66], first[2..]);
                assert_eq!(out[66..written], frame[18..18 + quoted]);
                assert!(!may_report(&out[..written], &answer, error));
            }
        }
    }

    #[test]
    fn errors_need_room_for_header_and_eight_bytes() {
        let frame = request(100);
        let layers = Layers::parse(&frame).unwrap();
        let mut out = [0; 1500];
        for room in 0..14 + 48 + 48 {
            let out = &mut out[..room];
            assert_eq!(
                write_error(&frame, &layers, Error::TimeExceeded, HERE, ROUTER, out),
                None
            );
        }
        let out = &mut out[..14 + 48 + 48];
        let written = write_error(&frame, &layers, Error::TimeExceeded, HERE, ROUTER, out);
        assert_eq!(written, Some(110));
        assert_sound(&out[..110]);
    }

    #[test]
    fn what_must_not_be_reported() {
        let too_big = Error::PacketTooBig { mtu: 1280 };
        let report = |error: Error, edit: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = request(8);
            edit(&mut frame);
            let layers = Layers::parse_lax(&frame, frame.len());
            may_report(&frame, &layers, error)
        };
        let expired = Error::TimeExceeded;
        assert!(report(expired, &|_| ()));
        for kind in [0, 1, 4, 127, 137] {
            assert!(!report(expired, &|frame| frame[54] = kind), "an error");
        }
        assert!(report(expired, &|frame| frame[54] = 128));
        assert!(
            !report(expired, &|frame| frame[19] = 4),
            "a message cut short"
        );
        assert!(
            !report(expired, &|frame| frame[6] = 1),
            "from a group on the link"
        );
        assert!(!report(expired, &|frame| frame[22] = 0xff), "from a group");
        assert!(
            !report(expired, &|frame| frame[22..38].fill(0)),
            "from nobody"
        );
        let broken = |frame: &mut Vec<u8>| {
            frame[20] = 60;
            frame[55] = 9;
        };
        assert!(!report(expired, &broken), "a chain that cannot be followed");
        assert!(!report(expired, &|frame| {
            frame[20] = 44;
            frame[54..62].copy_from_slice(&[17, 0, 0, 8, 0, 0, 0, 1]);
        }));
        for at in [0, 38] {
            let group = |frame: &mut Vec<u8>| frame[at] = 0xff;
            assert!(!report(expired, &group));
            assert!(!report(
                Error::ParameterProblem {
                    code: 1,
                    pointer: 0
                },
                &group
            ));
            assert!(report(
                Error::ParameterProblem {
                    code: 2,
                    pointer: 0
                },
                &group
            ));
            assert!(report(too_big, &group));
        }
    }
}
