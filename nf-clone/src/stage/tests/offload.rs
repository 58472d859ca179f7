//! `udp_csum: offload`: what leaves is the same, but ports fill in the checksums.

use nf_core::chain::ReloadError;
use nf_core::dpdk::TxChecksums;
use nf_core::packet::Packet;

use super::*;
use crate::wire::Flags;

/// Ports that fill in all checksums.
fn offering(mut options: BenchOptions) -> BenchOptions {
    for port in &mut options.ports {
        port.tx_checksums = Some(TxChecksums::ALL);
    }
    options
}

/// Two benches with the same settings: one mends checksums, the other leaves them.
fn gateways(config: &Value) -> [StageBench; 2] {
    ["incremental", "offload"].map(|how| {
        let config = merged(config.clone(), json!({ "udp_csum": how }));
        gateway_with(offering(options(1)), config)
    })
}

/// What leaves is the same from both; whether each packet's checksum was left is told.
fn same(benches: &mut [StageBench; 2], port: u16, frame: &[u8]) -> (Vec<Sent>, Vec<bool>) {
    let [mended, left] = benches.each_mut().map(|bench| bench.run(port, &[frame]));
    let bytes = |sent: &[Sent]| -> Vec<(u16, Vec<u8>)> {
        sent.iter().map(|s| (s.port, s.bytes.clone())).collect()
    };
    assert_eq!(bytes(&mended), bytes(&left));
    assert!(mended.iter().all(|sent| !sent.leaves_checksums));
    let how = left.iter().map(|sent| sent.leaves_checksums).collect();
    (left, how)
}

#[test]
fn f19_ports_fill_in_the_checksums_of_whatever_was_rewritten() {
    let mut benches = gateways(&settings(4, json!({ "verify_checksums": false })));
    let (pair, how) = same(&mut benches, CLIENTS, &request(0, 1));
    assert_eq!(how, [true, true], "the original and the clone");
    for (at, sent) in pair.iter().enumerate() {
        let sid = servers_of(&pair)[at];
        let (_, how) = same(&mut benches, SERVERS, &response(&sent.bytes, sid, 0));
        assert_eq!(how, [true][..1 - at], "the first answer only");
    }
    // A server with a queue: to one server alone.
    for bench in &mut benches {
        says(bench, 1, 5);
    }
    assert_eq!(same(&mut benches, CLIENTS, &request(0, 2)).1, [true]);
    // The way of all packets: several packets, an id of the client's own, a tag.
    let long = |pkt| {
        request_with(Header {
            grp: 1,
            client_id: 0xaa,
            client_seq: 3,
            req_id: 0xaa_0000_0003,
            flags: Flags::CID,
            pkt_idx: pkt,
            pkt_cnt: 2,
            ..Header::new(Kind::Request)
        })
    };
    for pkt in [0, 1] {
        let (_, how) = same(&mut benches, CLIENTS, &long(pkt));
        assert!(!how.is_empty() && how.iter().all(|left| *left), "{how:?}");
    }
    let write = message_from(
        &format!("{CLIENT}:50000"),
        &format!("{}:9043", server_ip(2)),
        Header::new(Kind::WriteRequest),
    );
    assert_eq!(same(&mut benches, CLIENTS, &write).1, [true]);
    // There is no checksum, and none to be filled in.
    let without = patched(&request(5, 4), 0, &[]);
    let (_, how) = same(&mut benches, CLIENTS, &without);
    assert!(how.iter().all(|left| !left), "{how:?}");
    // What is none of ours is not touched.
    let other = Frame::udp(&format!("{CLIENT}:5"), &format!("{}:6", server_ip(0)))
        .macs(CLIENT_MAC, OUR_MACS[0])
        .payload(b"other")
        .build();
    assert_eq!(same(&mut benches, CLIENTS, &other).1, [false]);
    for bench in benches {
        check_invariants(&bench);
        bench.assert_conserved();
    }
}

#[test]
fn f19_shared_payloads_and_services_without_a_header_too() {
    let config = settings(4, json!({ "clone_copy": "split" }));
    let mut benches = gateways(&config);
    assert_eq!(
        same(&mut benches, CLIENTS, &request(0, 1)).1,
        [true, true],
        "headers of their own"
    );
    benches.into_iter().for_each(StageBench::assert_conserved);

    let service = json!({ "port": 11211, "server_port": 11300, "protocol": "memcached" });
    let mut benches = gateways(&plain::plain_settings(3, service, json!({})));
    let (sent, how) = same(&mut benches, CLIENTS, &plain::get(7));
    assert_eq!(how, [true, true]);
    let (_, how) = same(&mut benches, SERVERS, &plain::answer(&sent[0]));
    assert_eq!(how, [true]);
    benches.into_iter().for_each(StageBench::assert_conserved);
}

#[test]
fn f19_tags_that_come_and_go_are_counted_in() {
    let servers: Vec<Value> = (0..2)
        .map(|sid| {
            json!({ "sid": sid, "ip": server_ip(sid), "mac": server_mac(sid).to_string(), "vlan": 7 })
        })
        .collect();
    let config = inline_settings(2, json!({ "servers": servers, "rewrite_resp_src": true }));
    let mut benches = ["incremental", "offload"].map(|how| {
        let config = merged(config.clone(), json!({ "udp_csum": how }));
        StageBench::with(&CloneKind, config, offering(options(1)))
    });
    let (sent, how) = same(&mut benches, CLIENTS, &request(0, 1));
    assert_eq!(how, [true, true]);
    assert_eq!(Layers::parse(&sent[0].bytes).expect("sound").tag_count(), 1);
    let answer = Frame::udp(
        &format!("{}:9043", server_ip(0)),
        &format!("{CLIENT}:50000"),
    )
    .macs(server_mac(0), OUR_MACS[1])
    .vlan(7)
    .payload(&{
        let header = Header {
            kind: Kind::Response,
            sid: 0,
            ..header(&sent[0].bytes)
        };
        header.encode()
    })
    .build();
    let (sent, how) = same(&mut benches, SERVERS, &answer);
    assert_eq!(how, [true]);
    assert_eq!(Layers::parse(&sent[0].bytes).expect("sound").tag_count(), 0);
}

#[test]
fn b13_damage_is_found_before_a_checksum_would_cover_it() {
    let config = settings(4, json!({ "verify_checksums": false }));
    let mut benches = gateways(&config);
    let mut damaged = request(0, 1);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let [mended, left] = benches
        .each_mut()
        .map(|bench| bench.run(CLIENTS, &[&damaged]));
    assert_eq!(
        (mended.len(), left.len()),
        (2, 0),
        "only one was told not to look"
    );
    let bench = &mut benches[1];
    assert_eq!(
        (bench.counter("csum_bad"), bench.dropped("csum_bad")),
        (1, 1)
    );
    // The port's word is enough, if it is a good one.
    let good = dpdk_sys_flags::IP_GOOD | dpdk_sys_flags::L4_GOOD;
    for (flags, passes) in [(good, true), (dpdk_sys_flags::IP_GOOD, false)] {
        for group in [0, 1] {
            let mut frame = request(group, 9);
            frame[last] ^= 1;
            let mut packet = Packet::from_bytes(bench.pool(), &frame).expect("a packet");
            packet.set_offload_flags(flags);
            let sent = bench.run_packets(0, CLIENTS, vec![packet]);
            assert_eq!(!sent.is_empty(), passes, "{flags:#x}");
        }
    }
    benches.into_iter().for_each(StageBench::assert_conserved);
}

/// RTE_MBUF_F_RX_IP_CKSUM_GOOD and RTE_MBUF_F_RX_L4_CKSUM_GOOD.
mod dpdk_sys_flags {
    pub const IP_GOOD: u64 = 1 << 7;
    pub const L4_GOOD: u64 = 1 << 8;
}

#[test]
fn b15_ports_that_cannot_are_refused_by_name() {
    let config = settings(4, json!({ "udp_csum": "offload" }));
    let mut plain = options(1);
    plain.behind = vec![("route", json!({}))];
    let told = nf_core::testing::check(&CloneKind, &config, &plain).to_string();
    assert!(
        told.contains(
            "error at $.udp_csum\n  \"offload\" needs ports that fill in checksums\n  found:   port \
             \"clients\" is not asked to"
        ),
        "{told}"
    );
    let told = nf_core::testing::check(&CloneKind, &config, &offering(plain)).to_string();
    assert!(!told.contains("udp_csum"), "{told}");
}

#[test]
fn b15_a_reload_is_refused_and_a_port_that_loses_it_is_done_without() {
    let config = |how: &str| settings(4, json!({ "udp_csum": how }));
    let mut bench = gateway(4, json!({}));
    let refused = bench.reload(&config("offload")).expect_err("no port does");
    let ReloadError::Refused(why) = refused else {
        panic!("{refused}");
    };
    assert_eq!(
        why,
        "udp_csum: \"offload\" needs ports that fill in the checksums of IPv4 and UDP, and port \"clients\" \
         offers: none"
    );
    let left = |bench: &mut StageBench, seq| -> Vec<bool> {
        let sent = bench.run(CLIENTS, &[request(0, seq)]);
        sent.iter().map(|sent| sent.leaves_checksums).collect()
    };
    assert_eq!(left(&mut bench, 1), [false, false]);

    let mut ports = offering(options(1)).ports;
    bench.set_ports(ports.clone());
    bench.reload(&config("offload")).expect("now they do");
    assert_eq!(left(&mut bench, 2), [true, true]);
    // A port without a device, which sends nothing, is no reason.
    ports[0].tx_checksums = None;
    bench.set_ports(ports.clone());
    assert_eq!(left(&mut bench, 3), [true, true]);
    ports[0].tx_checksums = Some(TxChecksums {
        udp: false,
        ..TxChecksums::ALL
    });
    bench.set_ports(ports);
    assert_eq!(left(&mut bench, 4), [false, false]);
    bench.reload(&config("incremental")).expect("always");
    assert_eq!(left(&mut bench, 5), [false, false]);
    bench.assert_conserved();
}
