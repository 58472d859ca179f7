//! One frame of every interesting shape: the seeds of the garbage test and of the fuzzer's corpora.

use crate::frames::{Extension, Inner, Net, Piece, Plan};

fn v4(options: usize, ttl: u8) -> Net {
    Net::V4 {
        addresses: [[10, 0, 0, 2], [10, 1, 0, 1]],
        options,
        class: 0,
        ttl,
        id: 7,
    }
}

fn v6(hop_by_hop: bool, chain: Vec<Extension>) -> Net {
    let mut addresses = [[0; 16]; 2];
    for (i, address) in addresses.iter_mut().enumerate() {
        address[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        address[15] = i as u8 + 1;
    }
    Net::V6 {
        addresses,
        hop_by_hop,
        chain,
        class: 0,
        ttl: 64,
    }
}

fn plan(net: Net, inner: Inner) -> Plan {
    let payload = b"0123456789abcde".to_vec();
    Plan {
        tags: vec![],
        net,
        piece: Piece::Whole,
        inner,
        payload,
        padding: 0,
    }
}

/// The frames with their names.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let udp = || Inner::Udp {
        ports: (49_152, 53),
        checksum: true,
        spare: 0,
    };
    let tcp = || Inner::Tcp {
        ports: (49_152, 80),
        options: 5,
        flags: 1,
    };
    let echo = || Inner::Echo {
        id: 1,
        sequence: 2,
        reply: false,
    };
    let chain = || {
        vec![
            Extension::Options(1),
            Extension::Routing {
                units: 0,
                segments_left: 0,
            },
            Extension::Atomic,
            Extension::Authentication(3),
        ]
    };
    let mut seeds: Vec<(&str, Vec<u8>)> = vec![
        ("ipv4_udp", plan(v4(0, 64), udp()).frame()),
        (
            "ipv4_udp_empty",
            Plan {
                payload: vec![],
                padding: 18,
                ..plan(v4(0, 1), udp())
            }
            .frame(),
        ),
        (
            "ipv4_udp_no_checksum",
            plan(
                v4(0, 64),
                Inner::Udp {
                    ports: (1, 2),
                    checksum: false,
                    spare: 3,
                },
            )
            .frame(),
        ),
        ("ipv4_options_tcp", plan(v4(10, 64), tcp()).frame()),
        ("ipv4_echo", plan(v4(0, 64), echo()).frame()),
        (
            "ipv4_echo_reply",
            plan(
                v4(0, 64),
                Inner::Echo {
                    id: 1,
                    sequence: 2,
                    reply: true,
                },
            )
            .frame(),
        ),
        ("ipv4_gre", plan(v4(0, 64), Inner::Other(47)).frame()),
        (
            "ipv4_fragment_first",
            Plan {
                piece: Piece::First,
                ..plan(v4(0, 64), udp())
            }
            .frame(),
        ),
        (
            "ipv4_fragment_later",
            Plan {
                piece: Piece::Later,
                ..plan(v4(0, 64), udp())
            }
            .frame(),
        ),
        ("ipv6_udp", plan(v6(false, vec![]), udp()).frame()),
        ("ipv6_tcp", plan(v6(false, vec![]), tcp()).frame()),
        ("ipv6_echo", plan(v6(false, vec![]), echo()).frame()),
        (
            "ipv6_no_next",
            plan(v6(false, vec![]), Inner::Other(59)).frame(),
        ),
        (
            "ipv6_extensions_udp",
            plan(v6(true, chain()), udp()).frame(),
        ),
        (
            "ipv6_source_routed_tcp",
            plan(
                v6(
                    false,
                    vec![Extension::Routing {
                        units: 2,
                        segments_left: 1,
                    }],
                ),
                tcp(),
            )
            .frame(),
        ),
        (
            "ipv6_fragment_first",
            Plan {
                piece: Piece::First,
                ..plan(v6(true, vec![Extension::Options(0)]), udp())
            }
            .frame(),
        ),
        (
            "ipv6_fragment_later",
            Plan {
                piece: Piece::Later,
                ..plan(v6(false, vec![]), udp())
            }
            .frame(),
        ),
        (
            "vlan_ipv4_udp",
            Plan {
                tags: vec![(false, 5)],
                ..plan(v4(0, 64), udp())
            }
            .frame(),
        ),
        (
            "qinq_ipv6_echo",
            Plan {
                tags: vec![(true, 6), (false, 5)],
                ..plan(v6(false, vec![]), echo())
            }
            .frame(),
        ),
        ("arp_request", arp_request()),
        ("neighbor_solicit", neighbor_solicit()),
        ("ipv4_authentication", ipv4_authentication()),
        ("ipv4_time_exceeded", time_exceeded()),
    ];
    seeds.extend(malformed(
        &plan(v4(0, 64), udp()).frame(),
        &plan(v6(false, vec![]), tcp()).frame(),
    ));
    // A third tag is data.
    let mut triple = seeds[18].1.clone();
    triple.splice(12..12, [0x88, 0xa8, 0, 7]);
    seeds.push(("triple_tag", triple));
    seeds
        .into_iter()
        .map(|(name, frame)| (name.to_owned(), frame))
        .collect()
}

/// One of each problem.
fn malformed(udp: &[u8], tcp: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let change = |frame: &[u8], edits: &[(usize, u8)]| {
        let mut frame = frame.to_vec();
        for (at, value) in edits {
            frame[*at] = *value;
        }
        frame
    };
    vec![
        ("bad_truncated", udp[..udp.len() - 1].to_vec()),
        ("bad_version", change(udp, &[(14, 0x65)])),
        ("bad_header_length", change(udp, &[(14, 0x44)])),
        ("bad_total_length", change(udp, &[(17, 19)])),
        ("bad_transport_truncated", change(udp, &[(17, 27)])),
        ("bad_udp_length", change(udp, &[(39, 7)])),
        ("bad_tcp_header_length", change(tcp, &[(66, 0x40)])),
        ("bad_extension", change(tcp, &[(20, 60), (55, 9)])),
        ("bad_hop_by_hop", change(tcp, &[(20, 60), (54, 0), (55, 0)])),
        ("bad_extensions", too_many(tcp)),
    ]
}

fn too_many(tcp: &[u8]) -> Vec<u8> {
    let mut frame = tcp[..54].to_vec();
    frame[20] = 60;
    frame.extend([60, 0, 1, 4, 0, 0, 0, 0].repeat(9));
    frame[19] = 72;
    frame
}

fn arp_request() -> Vec<u8> {
    let mut frame = vec![0; 60];
    let (mac, ip) = ([2, 0, 0, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let target = [10, 0, 0, 254].into();
    nf_core::wire::arp::write_request(
        &mut frame,
        nf_core::wire::MacAddr::BROADCAST,
        mac,
        ip,
        target,
    )
    .unwrap();
    frame
}

fn neighbor_solicit() -> Vec<u8> {
    let mut frame = vec![0; 86];
    let (source, target) = ("fe80::1".parse().unwrap(), "fe80::fe".parse().unwrap());
    let mac = [2, 0, 0, 0, 0, 1].into();
    nf_core::wire::neighbor::write_solicit(&mut frame, None, mac, source, target).unwrap();
    frame
}

/// UDP behind an authentication header.
fn ipv4_authentication() -> Vec<u8> {
    let mut frame = plan(v4(0, 64), Inner::Other(51)).frame();
    frame.truncate(34);
    frame.extend([17, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 2, 0, 8, 0, 0]);
    frame[17] = 40;
    let layers = nf_core::wire::Layers::parse(&frame).unwrap();
    nf_core::wire::fill_ipv4_checksum(&mut frame, &layers);
    frame
}

fn time_exceeded() -> Vec<u8> {
    let frame = plan(
        v4(0, 1),
        Inner::Udp {
            ports: (1, 2),
            checksum: true,
            spare: 0,
        },
    )
    .frame();
    let layers = nf_core::wire::Layers::parse(&frame).unwrap();
    let mut out = vec![0; 200];
    let error = nf_core::wire::icmp::Error::TimeExceeded;
    let length = nf_core::wire::icmp::write_error(
        &frame,
        &layers,
        error,
        [2, 0, 0, 0, 0, 9].into(),
        [10, 0, 0, 254].into(),
        &mut out,
    )
    .unwrap();
    out.truncate(length);
    out
}
