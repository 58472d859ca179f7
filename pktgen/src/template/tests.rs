//! Every frame that a template writes is judged by an independent parser.

use std::collections::HashSet;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::signature::Signature;

const MACS: MacDefaults = MacDefaults {
    source: [2, 0, 0, 0, 0, 1],
    destination: [2, 0, 0, 0, 0, 2],
};

fn packet(spec: Value) -> Packet {
    serde_json::from_value(spec).unwrap()
}

fn compile(spec: Value, sizes: &[u16], flows: Option<u64>) -> Template {
    Template::compile(&packet(spec), sizes, flows, Combine::Product, &MACS, 1).unwrap()
}

fn frame(template: &Template, size: usize, flow: u32, sequence: u32, stamp: u64) -> Vec<u8> {
    let size = template.size(size).unwrap();
    // What lay in the buffer before must not matter, but for the filler.
    let mut frame = vec![0xee; size.length.max(size.room())];
    template.write_filler(&mut frame[..size.length]);
    let tag = 0x0700_0000 | flow;
    assert!(template.write(&mut frame, size, flow, tag, sequence, stamp));
    frame.truncate(size.length);
    frame
}

/// Checks everything that can be checked about a frame: that it parses to its end, its lengths, and its
/// checksums by full recomputation.
fn judge(bytes: &[u8]) {
    let sliced = SlicedPacket::from_ethernet(bytes).unwrap();
    let (header_sum, payload_len) = match sliced.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            assert_eq!(
                header.header_checksum(),
                header.to_header().calc_header_checksum()
            );
            (
                Some((header.source(), header.destination())),
                ip.payload().payload.len(),
            )
        }
        NetSlice::Ipv6(ip) => (None, ip.payload().payload.len()),
        NetSlice::Arp(_) => panic!("ARP"),
    };
    match sliced.transport.as_ref().unwrap() {
        TransportSlice::Udp(udp) => {
            assert_eq!(usize::from(udp.length()), payload_len);
            let header = udp.to_header();
            let expected = match (sliced.net.as_ref().unwrap(), header_sum) {
                (_, Some((source, destination))) => header
                    .calc_checksum_ipv4_raw(source, destination, udp.payload())
                    .unwrap(),
                (NetSlice::Ipv6(ip), _) => {
                    let (source, destination) = (ip.header().source(), ip.header().destination());
                    header
                        .calc_checksum_ipv6_raw(source, destination, udp.payload())
                        .unwrap()
                }
                _ => unreachable!(),
            };
            assert!(
                udp.checksum() == expected || udp.checksum() == 0,
                "UDP checksum"
            );
        }
        TransportSlice::Tcp(tcp) => {
            let header = tcp.to_header();
            let expected = match (sliced.net.as_ref().unwrap(), header_sum) {
                (_, Some((source, destination))) => header
                    .calc_checksum_ipv4_raw(source, destination, tcp.payload())
                    .unwrap(),
                (NetSlice::Ipv6(ip), _) => header
                    .calc_checksum_ipv6_raw(
                        ip.header().source(),
                        ip.header().destination(),
                        tcp.payload(),
                    )
                    .unwrap(),
                _ => unreachable!(),
            };
            assert_eq!(tcp.checksum(), expected, "TCP checksum");
        }
        TransportSlice::Icmpv4(icmp) => {
            assert_eq!(
                icmp.checksum(),
                icmp.icmp_type().calc_checksum(icmp.payload())
            );
        }
        TransportSlice::Igmp(_) => panic!("IGMP"),
        TransportSlice::Icmpv6(icmp) => {
            let NetSlice::Ipv6(ip) = sliced.net.as_ref().unwrap() else {
                unreachable!()
            };
            let (source, destination) = (ip.header().source(), ip.header().destination());
            assert!(
                icmp.is_checksum_valid(source, destination),
                "ICMPv6 checksum"
            );
        }
    }
}

fn specs() -> Vec<Value> {
    let v4 = json!({"source": {"from": "10.0.0.1", "count": 5}, "destination": "10.9.0.1"});
    let v6 = json!({"source": {"from": "2001:2::1", "count": 7, "step": 3}, "flow_label": [0, 9]});
    let ports = json!({"source_port": {"from": 1, "count": 3}, "destination_port": [53, 123]});
    let mut specs = vec![
        json!({}),
        json!({"ipv4": v4, "udp": ports}),
        json!({"ipv4": v4, "udp": {"checksum": false}}),
        json!({"ipv4": v4, "tcp": {"source_port": {"from": 1, "count": 3}, "flags": "SA"}}),
        json!({"ipv4": v4, "icmp": {"identifier": [1, 2], "sequence": {"from": 0, "to": 9}}}),
        json!({"ipv6": v6, "udp": ports}),
        json!({"ipv6": v6, "tcp": {"sequence": {"from": 4294967290u32, "count": 6}}}),
        json!({"ipv6": v6, "icmp": {"kind": "echo_reply"}}),
        json!({"ipv4": {"ttl": [1, 64, 255], "dscp": 46, "identification": [0, 65535],
               "dont_fragment": false}}),
        json!({"ethernet": {"source": {"from": "02:00:00:00:00:fe", "count": 4},
                            "destination": ["02:00:00:00:01:00", "02:00:00:00:02:00"]}}),
    ];
    let tagged: Vec<Value> = specs
        .iter()
        .cloned()
        .map(|mut spec| {
            spec["vlans"] = json!([
                {"id": {"from": 10, "count": 2}, "tpid": 34984, "priority": 5}, {"id": 4095}
            ]);
            spec
        })
        .collect();
    specs.extend(tagged);
    for (i, payload) in [
        json!("counter"),
        json!("random"),
        json!({"hex": "deadbeef01"}),
    ]
    .into_iter()
    .enumerate()
    {
        for spec in specs.iter_mut().skip(i).step_by(4) {
            spec["payload"] = payload.clone();
        }
    }
    specs
}

#[test]
fn every_flow_at_every_size_parses_with_right_checksums() {
    let sizes = [64, 65, 99, 100, 101, 127, 128, 512, 1518, 9018];
    for spec in specs() {
        let packet = packet(spec.clone());
        let least = Template::compile(&packet, &[9018], None, Combine::Product, &MACS, 1).unwrap();
        let headers = least.payload_offset() + 4;
        let sizes: Vec<u16> = sizes
            .iter()
            .copied()
            .filter(|&s| usize::from(s) >= headers)
            .collect();
        let template = compile(spec.clone(), &sizes, None);
        for (index, &size) in sizes.iter().enumerate() {
            for flow in 0..template.flows() {
                let stamp = 0x1234_5678_9abc_def0 ^ u64::from(flow);
                let frame = frame(&template, index, flow, 0xffff_fff0 + flow % 16, stamp);
                assert_eq!(frame.len() + 4, usize::from(size));
                judge(&frame);
                let signature = Signature::read(&frame[template.payload_offset()..]);
                if template.sizes()[index].tracked {
                    let signature = signature.unwrap();
                    assert_eq!((signature.run, signature.flow), (7, flow), "{spec}");
                    assert_eq!(signature.sent_ns, stamp);
                } else {
                    assert!(usize::from(size) < template.least_tracked_size());
                }
            }
        }
    }
}

#[test]
fn a_plain_64_byte_frame_has_room_for_the_signature() {
    let template = compile(json!({}), &[64], None);
    assert_eq!(template.least_tracked_size(), 64);
    let frame = frame(&template, 0, 0, 1, 2);
    assert_eq!(frame.len(), 60);
    assert!(Signature::read(&frame[42..]).is_some());
    // IPv6 needs 84 bytes, a tag 4 more.
    assert_eq!(
        compile(json!({"ipv6": {}}), &[84], None).least_tracked_size(),
        84
    );
    let tagged = compile(json!({"vlans": [{"id": 1}]}), &[64], None);
    assert_eq!(
        (tagged.least_tracked_size(), tagged.sizes()[0].tracked),
        (68, false)
    );
}

/// The addresses, ports and tags of a frame.
fn key(frame: &[u8]) -> Vec<u8> {
    frame[..42]
        .iter()
        .enumerate()
        .filter(|(i, _)| ![24, 25, 40, 41].contains(i))
        .map(|x| *x.1)
        .collect()
}

#[test]
fn ranges_give_exactly_the_flows_they_say_up_to_a_million() {
    let spec = json!({
        "ipv4": {
            "source": {"from": "10.0.0.0", "count": 1000, "order": "random"},
            "destination": {"from": "11.0.0.0", "count": 10, "step": 65536}
        },
        "udp": {"source_port": {"from": 1000, "count": 100, "order": "random"}}
    });
    let template = compile(spec.clone(), &[64], None);
    assert_eq!(template.flows(), 1_000_000);
    let mut seen = HashSet::new();
    let size = template.size(0).unwrap();
    let mut buffer = vec![0; size.room()];
    for flow in 0..1_000_000 {
        template.write(&mut buffer, size, flow, 0, 0, 0);
        let word = |at: usize| u64::from(u16::from_be_bytes([buffer[at], buffer[at + 1]]));
        seen.insert(word(28) << 48 | word(30) << 32 | word(32) << 16 | word(34));
    }
    assert_eq!(seen.len(), 1_000_000);
    assert!(!template.write(&mut buffer, size, 1_000_000, 0, 0, 0));
    // Fewer flows than combinations are distinct too.
    let some = compile(spec, &[64], Some(54_321));
    let seen: HashSet<_> = (0..54_321)
        .map(|f| key(&frame(&some, 0, f, 0, 0)))
        .collect();
    assert_eq!(seen.len(), 54_321);
}

#[test]
fn lockstep_advances_all_fields_together() {
    let spec = packet(json!({
        "ipv4": {"source": {"from": "10.0.0.0", "count": 4}},
        "udp": {"source_port": {"from": 0, "count": 6}}
    }));
    let compile = |flows| Template::compile(&spec, &[64], flows, Combine::Lockstep, &MACS, 1);
    let template = compile(None).unwrap();
    assert_eq!(template.flows(), 12);
    for flow in 0..12 {
        let frame = frame(&template, 0, flow, 0, 0);
        assert_eq!(
            (u32::from(frame[29]), u32::from(frame[35])),
            (flow % 4, flow % 6)
        );
    }
    assert_eq!(
        compile(Some(13)).unwrap_err(),
        TemplateError::Flows {
            asked: 13,
            distinct: 12
        }
    );
}

#[test]
fn too_many_flows_are_refused_with_a_way_out() {
    let spec = packet(json!({
        "ipv4": {"source": {"from": "10.0.0.0", "to": "10.255.255.255"}}
    }));
    let error = Template::compile(&spec, &[64], None, Combine::Product, &MACS, 1).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("16777216 flows; at most 1048576"),
        "{error}"
    );
    let flows = Some(1 << 20);
    assert!(Template::compile(&spec, &[64], flows, Combine::Product, &MACS, 1).is_ok());
}

#[test]
fn contradictions_are_refused() {
    for (spec, expected) in [
        (json!({"ipv4": {}, "ipv6": {}}), "exclude each other"),
        (json!({"udp": {}, "tcp": {}}), "exclude each other"),
        (json!({"ipv6": {}, "udp": {"checksum": false}}), "RFC 8200"),
        (
            json!({"ethernet": {"ether_type": 0x88b5}, "udp": {}}),
            "`ether_type`",
        ),
        (json!({"ipv4": {"protocol": 47}, "tcp": {}}), "`protocol`"),
        (json!({"ipv4": {"dscp": 64}}), "0 to 63"),
        (json!({"tcp": {"flags": "SX"}}), "letters of FSRPAUEC"),
        (json!({"vlans": [{"id": 1, "priority": 8}]}), "0 to 7"),
        (json!({"payload": {"hex": "abc"}}), "hexadecimal"),
    ] {
        let packet = packet(spec.clone());
        let error =
            Template::compile(&packet, &[128], None, Combine::Product, &MACS, 1).unwrap_err();
        assert!(error.to_string().contains(expected), "{spec}: {error}");
    }
    let error = Template::compile(
        &packet(json!({"ipv6": {}})),
        &[64],
        None,
        Combine::Product,
        &MACS,
        1,
    );
    assert_eq!(
        error.unwrap_err(),
        TemplateError::Size {
            size: 64,
            least: 66
        }
    );
}

#[test]
fn raw_ethernet_and_raw_ip_work() {
    let raw = compile(json!({"ethernet": {"ether_type": 0x88b5}}), &[64], None);
    let bytes = frame(&raw, 0, 0, 5, 6);
    assert_eq!(bytes[12..14], [0x88, 0xb5]);
    assert_eq!(Signature::read(&bytes[14..]).unwrap().sequence, 5);
    let gre = compile(json!({"ipv4": {"protocol": 47}}), &[64], None);
    let bytes = frame(&gre, 0, 0, 5, 6);
    assert_eq!(bytes[23], 47);
    assert_eq!(Signature::read(&bytes[34..]).unwrap().sent_ns, 6);
}

proptest! {
    #[test]
    fn any_signature_has_right_checksums(
        which in 0usize..20, size in 88u16..1600, flow: u32, sequence: u32, stamp: u64,
    ) {
        let spec = specs().swap_remove(which);
        let packet = packet(spec.clone());
        // Not every size holds every header; those that do must be right.
        if let Ok(template) =
            Template::compile(&packet, &[size], None, Combine::Product, &MACS, 1)
        {
            judge(&frame(&template, 0, flow % template.flows(), sequence, stamp));
        }
    }
}

#[test]
fn a_prefix_comes_before_the_signature_and_is_in_the_checksum() {
    for header in ["ipv4", "ipv6"] {
        let spec = json!({ header: {}, "udp": {}, "prefix": "4e431a01ffee", "payload": "counter" });
        let template = compile(spec, &[128, 80], None);
        let payload = template.payload_offset() - 6;
        for size in 0..2 {
            let bytes = frame(&template, size, 0, 77, 0x1234_5678_9abc_def0);
            judge(&bytes);
            assert_eq!(
                bytes[payload..payload + 6],
                [0x4e, 0x43, 0x1a, 0x01, 0xff, 0xee]
            );
            let tracked = template.size(size).unwrap().tracked;
            let signature = Signature::read(&bytes[payload + 6..]);
            assert_eq!(signature.map(|s| s.sequence), tracked.then_some(77));
        }
    }
    for wrong in ["4", "4e43zz", "4e431a"] {
        let packet = packet(json!({ "prefix": wrong }));
        let compiled = Template::compile(&packet, &[128], None, Combine::Product, &MACS, 1);
        assert_eq!(compiled.err(), Some(TemplateError::Prefix), "{wrong}");
    }
}
