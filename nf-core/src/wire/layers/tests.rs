//! Tests of the parser on real byte vectors.

use super::*;
use crate::wire::Tci;
use std::net::{Ipv4Addr, Ipv6Addr};

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

fn frame(parts: &[&[u8]]) -> Vec<u8> {
    [&[&MACS[..]], parts].concat().concat()
}

/// A DNS query, 4 bytes of data, then padding.
fn ipv4_udp() -> Vec<u8> {
    frame(&[
        &[0x08, 0x00],
        &[
            0x45, 0, 0, 32, 0, 1, 0x40, 0, 64, 17, 0x26, 0xc9, 10, 0, 0, 1, 10, 0, 0, 2,
        ],
        &[0xc0, 0, 0, 53, 0, 12, 0, 0],
        b"data",
        &[0; 14],
    ])
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = [0; 40];
    ipv6::Repr {
        source: Ipv6Addr::LOCALHOST,
        destination: Ipv6Addr::LOCALHOST,
        next_header: next,
        payload_len: payload.len() as u16,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
    }
    .emit(&mut header)
    .unwrap();
    frame(&[&[0x86, 0xdd], &header, payload])
}

#[test]
fn is_small() {
    assert_eq!(size_of::<Layers>(), 24);
}

#[test]
fn udp_over_ipv4() {
    let frame = ipv4_udp();
    let layers = Layers::parse(&frame).unwrap();
    assert_eq!((layers.link_len(), layers.tag_count()), (14, 0));
    assert_eq!(
        (layers.ethertype(), layers.ip_version()),
        (ethertype::IPV4, 4)
    );
    assert_eq!(
        (layers.protocol(), layers.transport()),
        (17, Transport::Udp)
    );
    assert_eq!((layers.transport_at(), layers.transport_len()), (34, 12));
    assert_eq!(
        (layers.payload_at(), layers.payload_len(), layers.end()),
        (42, 4, 46)
    );
    assert_eq!(layers.payload(&frame), b"data");
    assert_eq!(layers.ip_packet(&frame), &frame[14..46]);
    assert_eq!(
        layers.ipv4(&frame).unwrap().source(),
        Ipv4Addr::new(10, 0, 0, 1)
    );
    assert_eq!(layers.ports(&frame), Some((0xc000, 53)));
    assert_eq!(layers.udp(&frame).unwrap().destination_port(), 53);
    assert!(layers.tcp(&frame).is_none() && layers.ipv6(&frame).is_none());
    assert!(layers.arp(&frame).is_none() && layers.icmp(&frame).is_none());
    assert_eq!(layers.problem(), None);
}

#[test]
fn tags_nest_twice() {
    let plain = ipv4_udp();
    let tagged = [&plain[..12], &[0x81, 0, 0x20, 5], &plain[12..]].concat();
    let layers = Layers::parse(&tagged).unwrap();
    assert_eq!(
        (layers.link_len(), layers.outer_tag()),
        (18, Some(Tci(0x2005)))
    );
    assert_eq!(
        (layers.inner_tag(), layers.payload(&tagged)),
        (None, &b"data"[..])
    );

    let double = [&plain[..12], &[0x88, 0xa8, 0, 6], &tagged[12..]].concat();
    let layers = Layers::parse(&double).unwrap();
    assert_eq!((layers.link_len(), layers.outer_tag()), (22, Some(Tci(6))));
    assert_eq!(
        (layers.inner_tag(), layers.payload(&double)),
        (Some(Tci(0x2005)), &b"data"[..])
    );

    // A third tag is no longer followed.
    let triple = [&plain[..12], &[0x88, 0xa8, 0, 7], &double[12..]].concat();
    let layers = Layers::parse(&triple).unwrap();
    assert_eq!(
        (layers.ethertype(), layers.ip_version()),
        (ethertype::VLAN, 0)
    );
    assert_eq!(layers.payload_len(), triple.len() - 22);
}

#[test]
fn udp_length_below_the_packet_bounds_the_data() {
    let mut frame = ipv4_udp();
    frame[39] = 10;
    let layers = Layers::parse(&frame).unwrap();
    assert_eq!(
        (layers.payload(&frame), layers.transport_len()),
        (&b"da"[..], 12)
    );
}

#[test]
fn each_problem_has_its_word() {
    let change = |at: usize, value: u8| {
        let mut frame = ipv4_udp();
        frame[at] = value;
        Layers::parse(&frame).unwrap_err().as_str()
    };
    assert_eq!(change(14, 0x65), "bad_version");
    assert_eq!(change(14, 0x44), "bad_header_length");
    assert_eq!(change(17, 19), "bad_total_length");
    assert_eq!(change(16, 1), "truncated");
    assert_eq!(change(17, 27), "transport_truncated");
    assert_eq!(change(39, 7), "bad_udp_length");
    assert_eq!(change(39, 13), "bad_udp_length");
    assert_eq!(change(23, 6), "transport_truncated");

    let mut tcp = [0; 20];
    assert_eq!(
        Layers::parse(&ipv6(6, &tcp)),
        Err(Malformed::BadTcpHeaderLength)
    );
    tcp[12] = 0x60;
    assert_eq!(
        Layers::parse(&ipv6(6, &tcp)),
        Err(Malformed::TransportTruncated)
    );
    tcp[12] = 0x50;
    assert!(Layers::parse(&ipv6(6, &tcp)).is_ok());

    assert_eq!(
        Layers::parse(&ipv6(60, &[59, 1, 0, 0, 0, 0, 0, 0])),
        Err(Malformed::BadExtension)
    );
    assert_eq!(
        Layers::parse(&ipv6(60, &[59])),
        Err(Malformed::BadExtension)
    );
    let hop_by_hop = [&[0, 0, 1, 4, 0, 0, 0, 0], &[59, 0, 1, 4, 0, 0, 0, 0][..]].concat();
    assert_eq!(
        Layers::parse(&ipv6(60, &hop_by_hop)),
        Err(Malformed::MisplacedHopByHop)
    );
    // An authentication header has 12 bytes at least.
    let short = [59, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    assert_eq!(
        Layers::parse(&ipv6(51, &short)),
        Err(Malformed::BadExtension)
    );
    let nine = [60, 0, 1, 4, 0, 0, 0, 0].repeat(9);
    assert_eq!(
        Layers::parse(&ipv6(60, &nine)),
        Err(Malformed::TooManyExtensions)
    );
    let mut ended = nine.clone();
    ended[64] = 59;
    assert_eq!(
        Layers::parse(&ipv6(60, &ended)),
        Err(Malformed::TooManyExtensions)
    );
    let mut eight = nine[..64].to_vec();
    eight[56] = 59;
    assert!(Layers::parse(&ipv6(60, &eight)).is_ok());
}

#[test]
fn lax_keeps_what_was_understood() {
    let mut frame = ipv4_udp();
    frame[39] = 7;
    let layers = Layers::parse_lax(&frame, frame.len());
    assert_eq!(layers.problem(), Some(Malformed::BadUdpLength));
    assert!(layers.problem().unwrap().is_transport());
    assert_eq!((layers.ip_version(), layers.protocol()), (4, 17));
    assert_eq!(
        (layers.transport(), layers.ports(&frame)),
        (Transport::None, None)
    );

    let layers = Layers::parse_lax(&frame[..20], 20);
    assert_eq!(layers.problem(), Some(Malformed::Truncated));
    assert_eq!(
        (layers.ethertype(), layers.ip_version()),
        (ethertype::IPV4, 0)
    );
    assert_eq!((layers.ip_len(), layers.transport_len()), (0, 0));
}

#[test]
fn head_of_a_longer_packet() {
    let mut frame = ipv4_udp();
    frame[16..18].copy_from_slice(&9000u16.to_be_bytes());
    frame[38..40].copy_from_slice(&8980u16.to_be_bytes());
    assert_eq!(Layers::parse(&frame), Err(Malformed::Truncated));
    assert_eq!(Layers::parse_head(&frame, 9013), Err(Malformed::Truncated));
    let layers = Layers::parse_head(&frame, 9014).unwrap();
    assert_eq!(
        (layers.payload_len(), layers.payload(&frame).len()),
        (8972, 18)
    );
    // The headers themselves have to be at hand.
    assert_eq!(
        Layers::parse_head(&frame[..41], 9014),
        Err(Malformed::TransportTruncated)
    );
    assert_eq!(
        Layers::parse_head(&frame[..33], 9014),
        Err(Malformed::Truncated)
    );
}

#[test]
fn fragments() {
    let mut frame = ipv4_udp();
    frame[20] = 0x20;
    let layers = Layers::parse(&frame).unwrap();
    assert_eq!(
        (layers.fragment(), layers.transport()),
        (Fragment::First, Transport::Udp)
    );
    // The datagram is longer than its first fragment.
    frame[38] = 5;
    let layers = Layers::parse(&frame).unwrap();
    assert_eq!(
        (layers.transport(), layers.payload_len()),
        (Transport::Udp, 4)
    );
    frame[21] = 1;
    let layers = Layers::parse(&frame).unwrap();
    assert_eq!(
        (layers.fragment(), layers.transport()),
        (Fragment::Later, Transport::None)
    );
    assert_eq!(
        (layers.payload_at(), layers.payload_len(), layers.protocol()),
        (34, 12, 17)
    );
}

#[test]
fn extension_chain() {
    let chain = [
        &[43, 0, 1, 4, 0, 0, 0, 0][..],                     // hop-by-hop
        &[44, 2, 4, 1, 0, 0, 0, 0],                         // routing, one segment left
        &[0; 16],                                           // its address
        &[51, 0, 0, 0, 0, 0, 0, 1],                         // atomic fragment
        &[17, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0], // authentication
        &[0, 1, 0, 2, 0, 8, 0, 0],                          // UDP
    ]
    .concat();
    let layers = Layers::parse(&ipv6(0, &chain)).unwrap();
    assert_eq!(
        (layers.transport(), layers.protocol()),
        (Transport::Udp, 17)
    );
    assert_eq!((layers.transport_at(), layers.payload_len()), (54 + 56, 0));
    assert_eq!(
        (layers.fragment(), layers.is_source_routed()),
        (Fragment::None, true)
    );

    let later = ipv6(44, &[17, 0, 0, 9, 0, 0, 0, 1, 0xaa, 0xbb]);
    let layers = Layers::parse(&later).unwrap();
    assert_eq!(
        (layers.fragment(), layers.transport()),
        (Fragment::Later, Transport::None)
    );
    assert_eq!(
        (layers.payload(&later), layers.protocol()),
        (&[0xaa, 0xbb][..], 17)
    );
}

#[test]
fn every_prefix_of_a_frame_gives_a_reason() {
    let frame = ipv4_udp();
    for length in 0..46 {
        assert_eq!(
            Layers::parse(&frame[..length]),
            Err(Malformed::Truncated),
            "{length}"
        );
    }
    assert!(Layers::parse(&frame[..46]).is_ok());
}

/// The quick recognition of the common shape says what the parser of every shape says.
#[test]
fn the_common_shape_is_no_special_case() {
    let mut tcp = [0; 40];
    tcp[12] = 0x60;
    let tcp_over_ipv4 = {
        let mut frame = ipv4_udp();
        frame.truncate(34);
        frame.extend(tcp);
        (frame[17], frame[23]) = (60, 6);
        frame
    };
    let udp_over_ipv6 = ipv6(17, &[0, 1, 0, 2, 0, 10, 0, 0, 1, 2]);
    let seeds = [ipv4_udp(), tcp_over_ipv4, udp_over_ipv6, ipv6(6, &tcp)];
    for seed in &seeds {
        assert!(common::parse(seed, seed.len()).is_some());
    }
    let mut recognised = 0;
    let mut compare = |frame: &[u8], packet_len: usize| {
        if let Some(layers) = common::parse(frame, packet_len) {
            assert_eq!(layers, Layers::parse_any(frame, packet_len), "{frame:02x?}");
            recognised += 1;
        }
    };
    for seed in &seeds {
        for length in 0..=seed.len() {
            compare(&seed[..length], length);
            compare(&seed[..length], seed.len());
        }
        // Every value of every byte of the headers, alone and beside another change.
        for at in 12..seed.len().min(76) {
            for value in 0..=255 {
                let mut frame = seed.clone();
                frame[at] = value;
                compare(&frame, frame.len());
                compare(&frame, frame.len() + 1000);
                for other in [16, 17, 19, 38, 39, 46, 58, 59, 66] {
                    let mut frame = frame.clone();
                    if let Some(byte) = frame.get_mut(other) {
                        *byte = byte.wrapping_sub(1);
                    }
                    compare(&frame, frame.len());
                }
            }
        }
    }
    assert!(recognised > 100_000, "{recognised}");
}
