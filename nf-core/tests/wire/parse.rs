//! Parsing agrees with `etherparse`, an independent implementation, on every offset and field.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use nf_core::wire::{Fragment, Layers, Malformed, Transport};
use proptest::prelude::*;

use crate::frames::{Piece, Plan, plan};

/// Where `part` starts in `whole`.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

/// Compares what both parsers found in `frame`. Fragments are left to us: the other one parses no
/// transport header in them.
pub fn compare(frame: &[u8], layers: &Layers, other: &SlicedPacket<'_>) {
    let tags: Vec<u16> = other.vlan_ids().iter().map(|id| id.value()).collect();
    let ours: Vec<u16> = [layers.outer_tag(), layers.inner_tag()]
        .into_iter()
        .flatten()
        .map(|tag| tag.id())
        .collect();
    assert_eq!(ours, tags);

    let fragmented = other.is_ip_payload_fragmented();
    assert_eq!(layers.fragment() != Fragment::None, fragmented);
    match &other.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = layers.ipv4(frame).expect("IPv4");
            assert_eq!(header.source(), ip.header().source_addr());
            assert_eq!(header.destination(), ip.header().destination_addr());
            assert_eq!(header.header_len(), ip.header().slice().len());
            assert_eq!(header.total_len(), ip.header().total_len());
            assert_eq!(header.ttl(), ip.header().ttl());
            assert_eq!(header.dscp(), ip.header().dcp().value());
            assert_eq!(header.ecn(), ip.header().ecn().value());
            assert_eq!(header.identification(), ip.header().identification());
            assert_eq!(header.dont_fragment(), ip.header().dont_fragment());
            assert_eq!(header.checksum(), ip.header().header_checksum());
            assert_eq!(layers.ipv4_options(frame), ip.header().options());
            assert_eq!(layers.network_at(), offset(frame, ip.header().slice()));
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = layers.ipv6(frame).expect("IPv6");
            assert_eq!(header.source(), ip.header().source_addr());
            assert_eq!(header.destination(), ip.header().destination_addr());
            assert_eq!(header.traffic_class(), ip.header().traffic_class());
            assert_eq!(header.flow_label(), ip.header().flow_label().value());
            assert_eq!(header.hop_limit(), ip.header().hop_limit());
            assert_eq!(header.payload_len(), ip.header().payload_length());
            assert_eq!(layers.network_at(), offset(frame, ip.header().slice()));
        }
        Some(NetSlice::Arp(_)) => assert!(layers.is_arp()),
        None => assert_eq!(layers.ip_version(), 0),
    }
    if let Some(payload) = other.ip_payload() {
        assert_eq!(layers.protocol(), payload.ip_number.0);
        assert_eq!(layers.transport_at(), offset(frame, payload.payload));
        assert_eq!(layers.transport_len(), payload.payload.len());
    }
    let data = match &other.transport {
        Some(TransportSlice::Udp(udp)) => {
            assert_eq!(layers.transport(), Transport::Udp);
            assert_eq!(
                layers.ports(frame),
                Some((udp.source_port(), udp.destination_port()))
            );
            assert_eq!(layers.udp(frame).unwrap().checksum(), udp.checksum());
            assert_eq!(layers.udp(frame).unwrap().length(), udp.length());
            udp.payload()
        }
        Some(TransportSlice::Tcp(tcp)) => {
            assert_eq!(layers.transport(), Transport::Tcp);
            assert_eq!(
                layers.ports(frame),
                Some((tcp.source_port(), tcp.destination_port()))
            );
            let header = layers.tcp(frame).unwrap();
            assert_eq!(header.sequence(), tcp.sequence_number());
            assert_eq!(header.acknowledgement(), tcp.acknowledgment_number());
            assert_eq!(header.header_len(), tcp.header_slice().len());
            assert_eq!(header.window(), tcp.window_size());
            assert_eq!(header.checksum(), tcp.checksum());
            assert_eq!(header.urgent(), tcp.urgent_pointer());
            let flags = [
                tcp.fin(),
                tcp.syn(),
                tcp.rst(),
                tcp.psh(),
                tcp.ack(),
                tcp.urg(),
            ];
            let flags = flags.into_iter().chain([tcp.ece(), tcp.cwr()]).enumerate();
            assert_eq!(
                header.flags(),
                flags.map(|(i, set)| u8::from(set) << i).sum::<u8>()
            );
            tcp.payload()
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            let header = layers.icmp(frame).expect("ICMP");
            assert_eq!(
                (header.kind(), header.code()),
                (icmp.type_u8(), icmp.code_u8())
            );
            assert_eq!(header.rest().to_be_bytes(), icmp.bytes5to8());
            assert_eq!(layers.payload_at(), layers.transport_at() + 8);
            return;
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            let header = layers.icmpv6(frame).expect("ICMPv6");
            assert_eq!(
                (header.kind(), header.code()),
                (icmp.type_u8(), icmp.code_u8())
            );
            assert_eq!(header.rest().to_be_bytes(), icmp.bytes5to8());
            assert_eq!(layers.payload_at(), layers.transport_at() + 8);
            return;
        }
        _ => {
            assert!(fragmented || layers.transport() == Transport::None);
            return;
        }
    };
    assert_eq!(layers.payload(frame), data);
    assert_eq!(layers.payload_at(), offset(frame, data));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn sound_frames_parse_the_same(plan in plan()) {
        let frame = plan.frame();
        let other = SlicedPacket::from_ethernet(&frame).expect("the other parser");
        let layers = Layers::parse(&frame).expect("ours");
        compare(&frame, &layers, &other);
        prop_assert_eq!(layers.is_source_routed(), plan.is_source_routed());
    }

    /// A byte or two changed: where both parse, they agree; where ours fails, the other fails too,
    /// but for what it does not check.
    #[test]
    fn damaged_frames_parse_the_same(
        plan in plan(),
        damage in prop::collection::vec((0usize..80, any::<u8>()), 1..3),
    ) {
        let mut frame = plan.frame();
        for (at, value) in damage {
            let at = 12 + at % (frame.len() - 12);
            frame[at] = value;
        }
        let layers = Layers::parse_lax(&frame, frame.len());
        if !is_common_ground(&frame, &layers) {
            return Ok(());
        }
        match (SlicedPacket::from_ethernet(&frame), layers.problem()) {
            (Ok(other), None) => compare(&frame, &layers, &other),
            (Err(_), Some(_)) => {}
            (Ok(_), Some(problem)) => {
                // Ours checks the transport header of first fragments and refuses a UDP length of
                // zero and chains without end.
                prop_assert!(
                    layers.fragment() == Fragment::First && problem.is_transport()
                        || problem == Malformed::BadUdpLength
                        || problem == Malformed::TooManyExtensions,
                    "{:?}", problem
                );
            }
            (Err(error), None) => {
                // The other wants exactly 20 bytes of an ICMP timestamp (types 13 and 14).
                let is_timestamp = layers
                    .icmp(&frame)
                    .is_some_and(|message| matches!(message.kind(), 13 | 14));
                prop_assert!(is_timestamp, "{:?}, but ours parses {:?}", error, layers);
            }
        }
    }

    #[test]
    fn no_prefix_of_a_frame_parses(plan in plan()) {
        let frame = plan.frame();
        let end = Layers::parse(&frame).expect("sound").end();
        for length in 0..end {
            prop_assert_eq!(
                Layers::parse(&frame[..length]), Err(Malformed::Truncated), "{} of {}", length, end);
        }
        prop_assert!(Layers::parse(&frame[..end]).is_ok());
    }

    /// With the IP lengths made right for what is left, the transport header itself is cut short.
    #[test]
    fn short_transport_headers_give_a_reason(plan in plan()) {
        let frame = plan.frame();
        let layers = Layers::parse(&frame).expect("sound");
        for length in layers.transport_at()..layers.payload_at() {
            let mut cut = frame[..length].to_vec();
            shorten(&mut cut, &layers);
            prop_assert_eq!(Layers::parse(&cut), Err(Malformed::TransportTruncated));
            let lax = Layers::parse_lax(&cut, cut.len());
            prop_assert_eq!(lax.protocol(), layers.protocol());
            prop_assert_eq!(lax.transport_at(), layers.transport_at());
        }
    }

    #[test]
    fn any_bytes_parse_or_give_a_reason(data in prop::collection::vec(any::<u8>(), 0..200)) {
        crate::targets::layers(&data);
        crate::targets::rewrites(&data);
        crate::targets::replies(&data);
    }
}

/// Makes the IP header's length end with the frame.
fn shorten(frame: &mut [u8], layers: &Layers) {
    let length = frame.len() - layers.network_at();
    if let Some(mut header) = layers.ipv4_mut(frame) {
        header.set_total_len(length as u16);
    }
    if let Some(mut header) = layers.ipv6_mut(frame) {
        header.set_payload_len(length as u16 - 40);
    }
}

/// Whether both parsers mean to read the frame in the same way. The other one knows tags of type
/// 0x9100 and MACsec and a third tag, takes IPv6 packets of length zero to be jumbograms, and goes
/// on reading extension headers in later fragments, and ICMP over the wrong version of IP; ours knows three extension headers more.
fn is_common_ground(frame: &[u8], layers: &Layers) -> bool {
    let ethertype = layers.ethertype();
    let other_link = matches!(ethertype, 0x8100 | 0x88a8 | 0x9100 | 0x88e5 | 0x0806);
    let jumbo = layers
        .ipv6(frame)
        .is_some_and(|header| header.payload_len() == 0)
        || layers.network_at() + 6 <= frame.len()
            && ethertype == 0x86dd
            && frame[layers.network_at() + 4..][..2] == [0, 0];
    let later_chain = layers.fragment() == Fragment::Later
        && matches!(layers.protocol(), 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140);
    let foreign_icmp = matches!((layers.ip_version(), layers.protocol()), (4, 58) | (6, 1));
    !other_link && !foreign_icmp && !jumbo && !later_chain && !knows_more(frame, layers)
}

/// Whether the chain has mobility, HIP or Shim6 anywhere: any such byte in the headers will do. IGMP
/// too is a transport header to the other parser.
fn knows_more(frame: &[u8], layers: &Layers) -> bool {
    let from = layers.network_at().min(frame.len());
    let chain = &frame[from..frame.len().min(from + 300)];
    layers.ethertype() == 0x86dd && chain.iter().any(|byte| matches!(byte, 135 | 139 | 140))
        || layers.protocol() == 2
}

#[test]
fn plans_cover_every_piece() {
    // Guards the generator: a strategy that never makes a fragment would prove nothing.
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let plans: Vec<Plan> = (0..500)
        .map(|_| plan().new_tree(&mut runner).unwrap().current())
        .collect();
    for piece in [Piece::Whole, Piece::First, Piece::Later] {
        assert!(plans.iter().any(|plan| plan.piece == piece));
    }
    assert!(plans.iter().any(Plan::is_source_routed));
    assert!(plans.iter().any(|plan| plan.payload.is_empty()));
    assert!((0..=2).all(|count| plans.iter().any(|plan| plan.tags.len() == count)));
}
