//! What is fuzzed: one function a target, each over arbitrary bytes, each with the properties that
//! must hold whatever the bytes are. The tests of `nf-core` replay the corpora through them.
//!
//! `cargo xtask fuzz` looks for more. What it finds becomes a file of the target's corpus, next to the
//! seeds, which `WRITE_CORPUS=1 cargo test -p nf-core --test fuzz_corpus` writes.

use std::{
    hint::black_box,
    net::{Ipv4Addr, Ipv6Addr},
};

use nf_core::wire::{
    Ethernet, FiveTuple, Fragment, Layers, MacAddr, Transport, Verdict, arp,
    check_transport_checksum, check_transport_checksum_of, fill_ipv4_checksum,
    fill_transport_checksum, flow_hash, icmp, icmpv6, ipv4_checksum_ok, neighbor, rewrite,
    rewrite::End, swap_five_tuple, symmetric_flow_hash, transport_checksum_of, turn_around, vlan,
};

/// A target: a function over arbitrary bytes.
pub type Target = fn(&[u8]);

/// Every target with the name of its binary and of its corpus.
pub const TARGETS: [(&str, Target); 3] = [
    ("layers", layers),
    ("rewrites", rewrites),
    ("replies", replies),
];

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xfe]);

/// Parses `data` as a frame, and reads everything that can be read.
pub fn layers(data: &[u8]) {
    let lax = Layers::parse_lax(data, data.len());
    match Layers::parse(data) {
        Ok(layers) => {
            assert_eq!(layers, lax);
            assert_eq!(lax.problem(), None);
        }
        Err(problem) => assert_eq!(lax.problem(), Some(problem)),
    }
    check_offsets(data, &lax);

    // Half of the bytes as the head of a packet of this length: what parses, parses the same.
    let (head, rest) = data.split_at(data.len() / 2);
    let of_head = Layers::parse_lax(head, data.len());
    check_offsets(head, &of_head);
    if of_head.problem().is_none() {
        assert_eq!(of_head, lax);
        let rest = || rest.chunks(7);
        let verdict = check_transport_checksum_of(&lax, head, rest());
        assert_eq!(verdict, check_transport_checksum(data, &lax));
        let whole = transport_checksum_of(&lax, data, [].into_iter());
        assert_eq!(transport_checksum_of(&lax, head, rest()), whole);
    }

    black_box(flow_hash(data, &lax));
    let tuple = FiveTuple::of(data, &lax);
    assert_eq!(tuple.is_some(), lax.ip_version() != 0);
    for (head, lax) in [(data, &lax), (head, &of_head)] {
        let (mut turned, mut directly) = (head.to_vec(), head.to_vec());
        assert_eq!(
            turn_around(&mut directly, data.len()),
            swap_five_tuple(&mut turned, lax)
        );
        assert_eq!(directly, turned);
    }
    let mut turned = data.to_vec();
    if swap_five_tuple(&mut turned, &lax) {
        assert_eq!(
            symmetric_flow_hash(data, &lax),
            symmetric_flow_hash(&turned, &lax)
        );
        assert_eq!(FiveTuple::of(&turned, &lax), tuple.map(FiveTuple::reversed));
        assert_eq!(
            check_transport_checksum(data, &lax),
            check_transport_checksum(&turned, &lax)
        );
        assert_eq!(
            ipv4_checksum_ok(data, &lax),
            ipv4_checksum_ok(&turned, &lax)
        );
        swap_five_tuple(&mut turned, &lax);
        assert_eq!(turned, data);
    }
    // Layers of another frame give nonsense, but nothing worse.
    for length in [0, 13, 14, 33, 40, 54] {
        let cut = data.get(..length).unwrap_or(data);
        black_box(FiveTuple::of(cut, &lax));
        black_box(flow_hash(cut, &lax));
        black_box((lax.payload(cut), lax.ip_packet(cut), lax.ipv4_options(cut)));
        black_box(check_transport_checksum(cut, &lax));
    }
}

fn check_offsets(head: &[u8], layers: &Layers) {
    assert!(matches!(layers.link_len(), 0 | 14 | 18 | 22));
    assert!(layers.link_len() <= head.len());
    assert!(layers.transport_at() <= head.len());
    assert!(layers.payload_at() <= head.len());
    assert!(layers.payload_at() >= layers.transport_at());
    assert!(layers.payload_at() + layers.payload_len() <= layers.end().max(layers.payload_at()));
    assert_eq!(layers.outer_tag().is_some(), layers.link_len() > 14);
    assert_eq!(layers.ipv4(head).is_some(), layers.is_ipv4());
    assert_eq!(layers.ipv6(head).is_some(), layers.is_ipv6());
    assert_eq!(
        layers.udp(head).is_some(),
        layers.transport() == Transport::Udp
    );
    assert_eq!(
        layers.tcp(head).is_some(),
        layers.transport() == Transport::Tcp
    );
    assert_eq!(
        layers.icmp(head).is_some(),
        layers.transport() == Transport::Icmp
    );
    assert_eq!(
        layers.icmpv6(head).is_some(),
        layers.transport() == Transport::Icmpv6
    );
    assert_eq!(layers.arp(head).is_some(), layers.is_arp());
    if layers.transport() != Transport::None {
        assert_ne!(layers.fragment(), Fragment::Later);
        assert_eq!(layers.problem(), None);
    }
    if let Some(header) = layers.ipv4(head) {
        assert_eq!(layers.ipv4_options(head).len(), header.header_len() - 20);
    }
}

/// Takes 24 bytes of `data` as edits, the rest as a frame, and edits it: checksums that were right
/// stay right, and a full computation agrees.
pub fn rewrites(data: &[u8]) {
    let Some((edits, frame)) = data.split_first_chunk::<24>() else {
        return;
    };
    let (flags, address) = (edits[0], *edits.last_chunk::<16>().expect("24 bytes"));
    let port = u16::from_be_bytes([edits[1], edits[2]]);
    let mut frame = frame.to_vec();
    let layers = Layers::parse_lax(&frame, frame.len());
    if flags & 0x80 != 0 {
        fill_ipv4_checksum(&mut frame, &layers);
        if fill_transport_checksum(&mut frame, &layers) {
            assert_eq!(check_transport_checksum(&frame, &layers), Verdict::Good);
        }
    }
    let before = (
        ipv4_checksum_ok(&frame, &layers),
        check_transport_checksum(&frame, &layers),
    );

    let end = if flags & 1 == 0 {
        End::Source
    } else {
        End::Destination
    };
    let [a, b, c, d, ..] = address;
    rewrite::set_ipv4(&mut frame, &layers, end, Ipv4Addr::new(a, b, c, d));
    rewrite::set_ipv6(&mut frame, &layers, end, Ipv6Addr::from(address));
    if flags & 2 != 0 {
        rewrite::set_port(&mut frame, &layers, end, port);
    }
    if flags & 4 != 0 {
        rewrite::decrement_ttl(&mut frame, &layers);
    }
    if flags & 8 != 0 {
        rewrite::set_ttl(&mut frame, &layers, edits[3]);
    }
    if flags & 16 != 0 {
        rewrite::set_dscp(&mut frame, &layers, edits[4]);
    }
    let after = (
        ipv4_checksum_ok(&frame, &layers),
        check_transport_checksum(&frame, &layers),
    );
    assert_eq!(before, after);

    // A full computation yields the same bytes wherever they were right.
    let incremental = frame.clone();
    if before.0 {
        fill_ipv4_checksum(&mut frame, &layers);
    }
    if before.1 == Verdict::Good {
        fill_transport_checksum(&mut frame, &layers);
        let canonical = transport_checksum_of(&layers, &incremental, [].into_iter());
        // 0x0000 and 0xffff are the same number, and a sender may have chosen the other.
        if !matches!(canonical, Some(0 | 0xffff)) {
            assert_eq!(frame, incremental);
        }
    }

    // Tags do not concern what they enclose.
    let mut tagged = [&[0; 4], &frame[..]].concat();
    if vlan::push(&mut tagged, 0x88a8, vlan::Tci(port)) {
        assert_eq!(vlan::pop(&mut tagged), Some((0x88a8, vlan::Tci(port))));
        assert_eq!(tagged[4..], frame);
    }
    vlan::pop(&mut frame);
}

/// Takes a byte of `data` as the room for the answer, the rest as a frame, and answers it in every
/// way: what is written is a sound packet, and no error is sent about an error.
pub fn replies(data: &[u8]) {
    let Some((room, frame)) = data.split_first() else {
        return;
    };
    let layers = Layers::parse_lax(frame, frame.len());
    let mut buffer = [0; 1600];
    let size = if *room == 0xff {
        buffer.len()
    } else {
        usize::from(*room)
    };
    let out = &mut buffer[..size];
    let ipv4 = Ipv4Addr::new(10, 0, 0, 254);
    let ipv6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xfe);

    if let Some(length) = arp::write_reply(frame, &layers, MAC, out) {
        assert!(
            Layers::parse(&out[..length])
                .expect("a sound reply")
                .is_arp()
        );
    }
    for error in [
        icmp::Error::TimeExceeded,
        icmp::Error::Unreachable(*room),
        icmp::Error::FragmentationNeeded { mtu: 1280 },
        icmp::Error::ParameterProblem { pointer: *room },
    ] {
        if let Some(length) = icmp::write_error(frame, &layers, error, MAC, ipv4, out) {
            let answer = check_answer(frame, &out[..length]);
            assert!(!icmp::may_report(&out[..length], &answer));
            assert!(answer.ip_len() <= icmp::MAX_ERROR_LEN);
        }
    }
    for error in [
        icmpv6::Error::TimeExceeded,
        icmpv6::Error::Unreachable(*room),
        icmpv6::Error::PacketTooBig { mtu: 1280 },
        icmpv6::Error::ParameterProblem {
            code: 2,
            pointer: 9,
        },
    ] {
        if let Some(length) = icmpv6::write_error(frame, &layers, error, MAC, ipv6, out) {
            let answer = check_answer(frame, &out[..length]);
            assert!(!icmpv6::may_report(&out[..length], &answer, error));
            assert!(answer.ip_len() <= icmpv6::MAX_ERROR_LEN);
        }
    }
    if let Some(message) = neighbor::parse(frame, &layers) {
        let written = neighbor::write_advert(frame, &layers, MAC, true, out);
        if let Some(length) = written {
            assert!(matches!(message, neighbor::Message::Solicit { .. }));
            let answer = check_answer(frame, &out[..length]);
            assert!(neighbor::parse(&out[..length], &answer).is_some());
        }
    }

    let verdict = check_transport_checksum(frame, &layers);
    let mut turned = frame.to_vec();
    if icmp::answer_echo(&mut turned, &layers, MAC)
        || icmpv6::answer_echo(&mut turned, &layers, MAC, ipv6)
    {
        assert_eq!(check_transport_checksum(&turned, &layers), verdict);
        assert!(!icmp::answer_echo(&mut turned, &layers, MAC));
        assert!(!icmpv6::answer_echo(&mut turned, &layers, MAC, ipv6));
    } else {
        assert_eq!(turned, frame);
    }
}

/// The answer has right checksums and goes from here to a single station.
fn check_answer(frame: &[u8], answer: &[u8]) -> Layers {
    let layers = Layers::parse(answer).expect("a sound answer");
    assert_eq!(layers.problem(), None);
    assert!(layers.is_ipv6() || ipv4_checksum_ok(answer, &layers));
    assert_eq!(check_transport_checksum(answer, &layers), Verdict::Good);
    let link = Ethernet::new(answer).expect("parsed");
    assert_eq!(link.source(), MAC);
    // Only an advertisement goes to a group.
    if layers
        .icmpv6(answer)
        .is_none_or(|message| message.kind() < 128)
    {
        assert_eq!(
            Some(link.destination()),
            Ethernet::new(frame).map(|link| link.source())
        );
        assert!(link.destination().is_unicast());
    }
    layers
}
