//! Incremental updates equal a recomputation from nothing by `etherparse`.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use nf_core::wire::{
    Fragment, Layers, Transport, Verdict, check_transport_checksum, check_transport_checksum_of,
    fill_ipv4_checksum, fill_transport_checksum, ipv4_checksum_ok,
    rewrite::{self, End},
    swap_five_tuple, transport_checksum_of, turn_around,
};
use proptest::{collection::vec, prelude::*};

use crate::frames::{Extension, Inner, Net, Piece, Plan, inner, net, plan, whole_plan};

#[derive(Clone, Debug)]
enum Edit {
    Address(End, [u8; 16]),
    Port(End, u16),
    Decrement,
    Ttl(u8),
    Dscp(u8),
    Swap,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Source), Just(End::Destination)]
}

/// Edits, with the numbers that carries are wrong about more often than chance has them.
fn edit() -> impl Strategy<Value = Edit> {
    let word = || prop_oneof![any::<u16>(), Just(0), Just(0xffff), Just(1), Just(0xfffe)];
    let address = prop_oneof![any::<[u8; 16]>(), Just([0; 16]), Just([0xff; 16])];
    prop_oneof![
        (end(), address).prop_map(|(end, address)| Edit::Address(end, address)),
        (end(), word()).prop_map(|(end, port)| Edit::Port(end, port)),
        Just(Edit::Decrement),
        any::<u8>().prop_map(Edit::Ttl),
        any::<u8>().prop_map(Edit::Dscp),
        Just(Edit::Swap),
    ]
}

fn apply(frame: &mut [u8], layers: &Layers, edit: &Edit) {
    match *edit {
        Edit::Address(end, address) => {
            let [a, b, c, d, ..] = address;
            rewrite::set_ipv4(frame, layers, end, Ipv4Addr::new(a, b, c, d));
            rewrite::set_ipv6(frame, layers, end, Ipv6Addr::from(address));
        }
        Edit::Port(end, port) => {
            rewrite::set_port(frame, layers, end, port);
        }
        Edit::Decrement => {
            rewrite::decrement_ttl(frame, layers);
        }
        Edit::Ttl(ttl) => {
            rewrite::set_ttl(frame, layers, ttl);
        }
        Edit::Dscp(dscp) => {
            rewrite::set_dscp(frame, layers, dscp);
        }
        Edit::Swap => {
            swap_five_tuple(frame, layers);
        }
    }
}

/// Every checksum of a whole packet is the one that the other implementation computes.
fn assert_recomputed(frame: &[u8]) {
    let other = SlicedPacket::from_ethernet(frame).expect("the other parser");
    let (mut v4, mut v6) = (None, None);
    match &other.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header().to_header();
            assert_eq!(
                header.header_checksum,
                header.calc_header_checksum(),
                "IPv4 header"
            );
            v4 = Some((header.source, header.destination));
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header().to_header();
            v6 = Some((header.source, header.destination));
        }
        _ => {}
    }
    match &other.transport {
        Some(TransportSlice::Udp(udp)) => {
            let header = udp.to_header();
            let expected = match (v4, v6) {
                (Some(_), _) if header.checksum == 0 => Ok(0),
                (Some((from, to)), _) => header.calc_checksum_ipv4_raw(from, to, udp.payload()),
                (_, Some((from, to))) => header.calc_checksum_ipv6_raw(from, to, udp.payload()),
                _ => unreachable!(),
            };
            assert_eq!(header.checksum, expected.unwrap(), "UDP");
        }
        Some(TransportSlice::Tcp(tcp)) => {
            let header = tcp.to_header();
            let expected = match (v4, v6) {
                (Some((from, to)), _) => header.calc_checksum_ipv4_raw(from, to, tcp.payload()),
                (_, Some((from, to))) => header.calc_checksum_ipv6_raw(from, to, tcp.payload()),
                _ => unreachable!(),
            };
            assert_eq!(header.checksum, expected.unwrap(), "TCP");
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            let expected = icmp.icmp_type().calc_checksum(icmp.payload());
            assert_eq!(icmp.checksum(), expected, "ICMP");
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            let (from, to) = v6.unwrap();
            let expected = icmp.icmp_type().calc_checksum(from, to, icmp.payload());
            assert_eq!(icmp.checksum(), expected.unwrap(), "ICMPv6");
        }
        _ => {}
    }
}

/// The header checksum, and that of the transport unless the last destination is hidden.
fn assert_still_right(plan: &Plan, frame: &[u8], layers: &Layers) {
    if !plan.is_source_routed() {
        assert_recomputed(frame);
    }
    assert!(layers.is_ipv6() || ipv4_checksum_ok(frame, layers));
    let expected = match (&plan.inner, &plan.net) {
        (Inner::Other(_), _) => Verdict::Unknown,
        _ if plan.is_source_routed() => Verdict::Unknown,
        (
            Inner::Udp {
                checksum: false, ..
            },
            Net::V4 { .. },
        ) => Verdict::Absent,
        _ => Verdict::Good,
    };
    assert_eq!(check_transport_checksum(frame, layers), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn incremental_equals_recomputed(plan in whole_plan(), edits in vec(edit(), 0..6)) {
        let mut frame = plan.frame();
        let layers = Layers::parse(&frame).expect("sound");
        assert_still_right(&plan, &frame, &layers);
        for edit in edits {
            apply(&mut frame, &layers, &edit);
            prop_assert_eq!(Layers::parse(&frame), Ok(layers));
            assert_still_right(&plan, &frame, &layers);
        }
    }

    #[test]
    fn full_computation_equals_the_other(plan in whole_plan(), junk in any::<u16>()) {
        let frame = plan.frame();
        let layers = Layers::parse(&frame).expect("sound");
        let mut filled = frame.clone();
        if let Some(mut header) = layers.ipv4_mut(&mut filled) {
            header.set_checksum(junk);
        }
        let had_none = check_transport_checksum(&frame, &layers) == Verdict::Absent;
        match layers.transport() {
            Transport::Udp => layers.udp_mut(&mut filled).unwrap().set_checksum(junk),
            Transport::Tcp => layers.tcp_mut(&mut filled).unwrap().set_checksum(junk),
            Transport::Icmp => layers.icmp_mut(&mut filled).unwrap().set_checksum(junk),
            Transport::Icmpv6 => layers.icmpv6_mut(&mut filled).unwrap().set_checksum(junk),
            Transport::None => {}
        }
        let before = filled.clone();
        prop_assert_eq!(fill_ipv4_checksum(&mut filled, &layers), layers.is_ipv4());
        let told = fill_transport_checksum(&mut filled, &layers);
        prop_assert_eq!(told, layers.transport() != Transport::None && !plan.is_source_routed());
        if !told {
            let at = layers.transport_at();
            prop_assert_eq!(&filled[at..], &before[at..]);
        } else if !had_none {
            prop_assert_eq!(filled, frame);
        } else {
            assert_recomputed(&filled);
        }
    }

    #[test]
    fn a_changed_byte_is_noticed(plan in whole_plan(), at in any::<prop::sample::Index>()) {
        let mut frame = plan.frame();
        let layers = Layers::parse(&frame).expect("sound");
        let good = check_transport_checksum(&frame, &layers) == Verdict::Good;
        let covered = layers.payload_len();
        if good && covered > 0 {
            frame[layers.payload_at() + at.index(covered)] ^= 0x10;
            prop_assert_eq!(check_transport_checksum(&frame, &layers), Verdict::Bad);
        }
    }

    #[test]
    fn segments_do_not_matter(
        plan in whole_plan(),
        cuts in vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let frame = plan.frame();
        let whole = Layers::parse(&frame).expect("sound");
        let verdict = check_transport_checksum(&frame, &whole);
        let (head, mut rest) = frame.split_at(whole.payload_at());
        let layers = Layers::parse_head(head, frame.len()).expect("the head has every header");
        prop_assert_eq!(layers, whole);
        let mut segments = vec![];
        for cut in cuts {
            let (segment, remainder) = rest.split_at(cut.index(rest.len() + 1));
            segments.push(segment);
            rest = remainder;
        }
        segments.push(rest);
        let each = || segments.iter().copied();
        prop_assert_eq!(check_transport_checksum_of(&layers, head, each()), verdict);
        prop_assert_eq!(
            transport_checksum_of(&layers, head, each()),
            transport_checksum_of(&whole, &frame, std::iter::empty())
        );
        if verdict == Verdict::Good && whole.payload_len() > 0 {
            // A packet whose end is missing cannot be judged.
            let missing = check_transport_checksum_of(&layers, head, std::iter::empty());
            prop_assert_eq!(missing, Verdict::Unknown);
        }
    }

    #[test]
    fn swapping_twice_changes_nothing(plan in plan()) {
        let frame = plan.frame();
        let layers = Layers::parse(&frame).expect("sound");
        let mut swapped = frame.clone();
        prop_assert_eq!(swap_five_tuple(&mut swapped, &layers), !plan.is_source_routed());
        prop_assert_eq!(&swapped[..6], &frame[6..12]);
        let mut directly = frame.clone();
        prop_assert_eq!(turn_around(&mut directly, frame.len()), !plan.is_source_routed());
        prop_assert_eq!(&directly, &swapped, "without finding all layers first");
        if plan.piece == Piece::Whole {
            assert_still_right(&plan, &swapped, &layers);
        }
        swap_five_tuple(&mut swapped, &layers);
        prop_assert_eq!(swapped, frame);
    }

    /// A datagram cut into two fragments, each rewritten on its own, is right when put together.
    #[test]
    fn fragments_are_right_when_put_together(
        addresses in any::<[[u8; 4]; 2]>(),
        inner in inner(),
        payload in vec(any::<u8>(), 1..100),
        edits in vec(edit(), 1..4),
    ) {
        let net = Net::V4 { addresses, options: 0, class: 0, ttl: 64, id: 7 };
        let plan =
            Plan { tags: vec![], net, piece: Piece::Whole, inner, payload, padding: 0 };
        let whole = plan.frame();
        // The longest transport header is 60 bytes; the first fragment has all of it.
        if whole.len() <= 34 + 64 {
            return Ok(());
        }
        let (first, later) = whole[34..].split_at(64);
        let fragment = |flags: u16, data: &[u8]| {
            let mut frame = [&whole[..34], data].concat();
            frame[16..18].copy_from_slice(&(20 + data.len() as u16).to_be_bytes());
            frame[20..22].copy_from_slice(&flags.to_be_bytes());
            frame
        };
        let mut fragments = [fragment(0x2000, first), fragment(8, later)];
        for frame in &mut fragments {
            let layers = Layers::parse(frame).expect("sound");
            prop_assert_ne!(layers.fragment(), Fragment::None);
            let verdict = check_transport_checksum(frame, &layers);
            // The first fragment does say that there is no checksum.
            prop_assert!(matches!(verdict, Verdict::Unknown | Verdict::Absent));
            fill_ipv4_checksum(frame, &layers);
            for edit in &edits {
                apply(frame, &layers, edit);
            }
            prop_assert!(ipv4_checksum_ok(frame, &layers));
        }
        let mut together = [&fragments[0][..], &fragments[1][34..]].concat();
        together[16..18].copy_from_slice(&whole[16..18]);
        together[20..22].copy_from_slice(&whole[20..22]);
        let layers = Layers::parse(&together).expect("sound");
        fill_ipv4_checksum(&mut together, &layers);
        assert_still_right(&plan, &together, &layers);
    }

    /// Each port in turn takes the value that makes the UDP checksum come out as zero.
    #[test]
    fn a_udp_checksum_of_zero_is_sent_as_ones(net in net(), payload in vec(any::<u8>(), 0..9)) {
        let inner = Inner::Udp { ports: (0, 0), checksum: true, spare: 0 };
        let plan = Plan { tags: vec![], net, piece: Piece::Whole, inner, payload, padding: 0 };
        if plan.is_source_routed() {
            return Ok(());
        }
        let mut frame = plan.frame();
        let layers = Layers::parse(&frame).expect("sound");
        for end in [End::Source, End::Destination] {
            rewrite::set_port(&mut frame, &layers, end, 0);
            let checksum = layers.udp(&frame).unwrap().checksum();
            rewrite::set_port(&mut frame, &layers, end, checksum);
            prop_assert_eq!(layers.udp(&frame).unwrap().checksum(), 0xffff);
            assert_recomputed(&frame);
        }
    }
}

#[test]
fn a_udp_checksum_of_zero_over_ipv6_is_invalid_and_stays_so() {
    let net = Net::V6 {
        addresses: [[1; 16], [2; 16]],
        hop_by_hop: false,
        chain: vec![],
        class: 0,
        ttl: 9,
    };
    let inner = Inner::Udp {
        ports: (1, 2),
        checksum: true,
        spare: 0,
    };
    let plan = Plan {
        tags: vec![],
        net,
        piece: Piece::Whole,
        inner,
        payload: vec![1, 2, 3],
        padding: 0,
    };
    let mut frame = plan.frame();
    let layers = Layers::parse(&frame).unwrap();
    layers.udp_mut(&mut frame).unwrap().set_checksum(0);
    assert_eq!(check_transport_checksum(&frame, &layers), Verdict::Bad);
    rewrite::set_port(&mut frame, &layers, End::Source, 7);
    rewrite::set_ipv6(&mut frame, &layers, End::Source, Ipv6Addr::LOCALHOST);
    assert_eq!(layers.udp(&frame).unwrap().checksum(), 0);
    assert!(fill_transport_checksum(&mut frame, &layers));
    assert_recomputed(&frame);
}

/// The sum covers the last destination, not the stop that the fixed header names.
#[test]
fn a_stop_on_the_way_is_not_covered() {
    let net = Net::V6 {
        addresses: [[1; 16], [2; 16]],
        hop_by_hop: false,
        chain: vec![Extension::Routing {
            units: 2,
            segments_left: 1,
        }],
        class: 0,
        ttl: 9,
    };
    let inner = Inner::Tcp {
        ports: (1, 2),
        options: 0,
        flags: 0,
    };
    let plan = Plan {
        tags: vec![],
        net,
        piece: Piece::Whole,
        inner,
        payload: vec![],
        padding: 0,
    };
    let mut frame = plan.frame();
    let layers = Layers::parse(&frame).unwrap();
    let before = layers.tcp(&frame).unwrap().checksum();
    assert!(rewrite::set_ipv6(
        &mut frame,
        &layers,
        End::Destination,
        Ipv6Addr::LOCALHOST
    ));
    assert_eq!(
        layers.ipv6(&frame).unwrap().destination(),
        Ipv6Addr::LOCALHOST
    );
    assert_eq!(layers.tcp(&frame).unwrap().checksum(), before);
    assert!(rewrite::set_ipv6(
        &mut frame,
        &layers,
        End::Source,
        Ipv6Addr::LOCALHOST
    ));
    assert_ne!(layers.tcp(&frame).unwrap().checksum(), before);
}

#[test]
fn the_last_hop_is_not_taken_twice() {
    for net in [
        Net::V4 {
            addresses: [[1; 4]; 2],
            options: 0,
            class: 0,
            ttl: 1,
            id: 0,
        },
        Net::V6 {
            addresses: [[1; 16]; 2],
            hop_by_hop: false,
            chain: vec![],
            class: 0,
            ttl: 1,
        },
    ] {
        let inner = Inner::Other(132);
        let plan = Plan {
            tags: vec![],
            net,
            piece: Piece::Whole,
            inner,
            payload: vec![0],
            padding: 0,
        };
        let mut frame = plan.frame();
        let layers = Layers::parse(&frame).unwrap();
        assert_eq!(rewrite::decrement_ttl(&mut frame, &layers), Some(0));
        assert_eq!(rewrite::decrement_ttl(&mut frame, &layers), None);
        assert_still_right(&plan, &frame, &layers);
    }
}
