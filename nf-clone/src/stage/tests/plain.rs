//! `wire: none`: unmodified clients and servers of memcached and DNS.

use nf_core::testing::hostile;
use serde_json::json;

use super::*;

pub(super) fn plain_settings(n: u16, service: Value, more: Value) -> Value {
    let services = json!({ "wire": "none", "services": [service] });
    settings(n, merged(services, more))
}

pub(super) fn memcached(n: u16, more: Value) -> StageBench {
    let service = json!({ "port": 11211, "protocol": "memcached" });
    gateway_on(1, plain_settings(n, service, more))
}

pub(super) fn framed(id: u16, part: [u16; 2], text: &str) -> Vec<u8> {
    let words = [id, part[0], part[1], 0];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend(text.as_bytes());
    bytes
}

/// A client's command.
pub(super) fn command(port: u16, id: u16, text: &str) -> Vec<u8> {
    datagram(port, &framed(id, [0, 1], text))
}

pub(super) fn datagram(port: u16, payload: &[u8]) -> Vec<u8> {
    Frame::udp(&format!("{CLIENT}:{port}"), &format!("{VIP}:11211"))
        .macs(CLIENT_MAC, OUR_MACS[0])
        .payload(payload)
        .build()
}

pub(super) fn get(id: u16) -> Vec<u8> {
    command(40000, id, "get key\r\n")
}

/// What the server that a request reached answers.
pub(super) fn answer_with(request: &[u8], payload: &[u8]) -> Vec<u8> {
    let layers = Layers::parse(request).expect("a request");
    let (from, to) = layers.ports(request).expect("ports");
    let last = destination(request).rsplit('.').next().map(str::to_owned);
    let sid = last
        .and_then(|last| last.parse::<u16>().ok())
        .expect("a number")
        - 101;
    Frame::udp(
        &format!("{}:{to}", destination(request)),
        &format!("{}:{from}", source(request)),
    )
    .macs(server_mac(sid), OUR_MACS[1])
    .payload(payload)
    .build()
}

pub(super) fn answer(sent: &Sent) -> Vec<u8> {
    answer_part(sent, [0, 1], "END\r\n")
}

pub(super) fn answer_part(sent: &Sent, part: [u16; 2], text: &str) -> Vec<u8> {
    let id = u16::from_be_bytes(payload(&sent.bytes)[..2].try_into().expect("two bytes"));
    answer_with(&sent.bytes, &framed(id, part, text))
}

/// The payload of a sound frame.
pub(super) fn payload(frame: &[u8]) -> Vec<u8> {
    let layers = Layers::parse(frame).expect("a sound frame");
    assert!(!layers.is_ipv4() || ipv4_checksum_ok(frame, &layers));
    assert_eq!(check_transport_checksum(frame, &layers), Verdict::Good);
    layers.payload(frame).to_vec()
}

/// That a frame is the service's answer to the client's port.
pub(super) fn assert_from_service(sent: &Sent, service: u16, client: u16) {
    assert_eq!(sent.port, CLIENTS);
    assert_eq!(
        (
            source(&sent.bytes).as_str(),
            destination(&sent.bytes).as_str()
        ),
        (VIP, CLIENT)
    );
    let layers = Layers::parse(&sent.bytes).expect("a sound frame");
    assert_eq!(layers.ports(&sent.bytes), Some((service, client)));
    payload(&sent.bytes);
}

pub(super) fn no_load(bench: &mut StageBench) {
    let status = bench.control().status();
    assert_eq!(status["requests"]["in_use"], 0, "{status}");
}

#[test]
fn f05_f08_a_read_goes_to_two_idle_servers_and_the_first_answer_comes_from_the_service() {
    let mut bench = memcached(3, json!({}));
    for id in 0..100 {
        let request = get(id);
        let sent = bench.run(CLIENTS, std::slice::from_ref(&request));
        let to = servers_of(&sent);
        assert_eq!(to.len(), 2);
        assert_ne!(to[0], to[1]);
        for sent in &sent {
            assert_eq!(
                payload(&sent.bytes),
                payload(&request),
                "not a byte changes"
            );
        }
        let fast = usize::from(id % 2 == 0);
        let back = bench.run(SERVERS, &[answer(&sent[fast])]);
        assert_eq!(back.len(), 1);
        assert_from_service(&back[0], 11211, 40000);
        assert_eq!(bench.run(SERVERS, &[answer(&sent[1 - fast])]).len(), 0);
    }
    for (name, count) in [
        ("req_total", 100),
        ("req_cloned", 100),
        ("plain_cloned", 100),
        ("plain_first", 100),
        ("plain_slower", 100),
        ("resp_total", 200),
        ("resp_filtered", 100),
        ("req_single", 0),
    ] {
        assert_eq!(bench.counter(name), count, "{name}");
    }
    assert_eq!(bench.dropped("filtered"), 100);
    check_invariants(&bench);
    bench.assert_conserved();
}

#[test]
fn f04_f07_a_busy_server_is_not_cloned_to_and_its_answers_make_it_idle() {
    let mut bench = memcached(2, json!({ "policy": "netclone+jsq" }));
    let first = bench.run(CLIENTS, &[get(1)]);
    assert_eq!(servers_of(&first).len(), 2);
    let busy = bench.run(CLIENTS, &[get(2), get(3)]);
    let mut to = servers_of(&busy);
    to.sort_unstable();
    assert_eq!(to, [0, 1], "one to each: the less busy");
    assert_eq!(bench.counter("plain_busy"), 2);
    let answers: Vec<_> = first.iter().chain(&busy).map(answer).collect();
    assert_eq!(bench.run(SERVERS, &answers).len(), 3);
    assert_eq!(servers_of(&bench.run(CLIENTS, &[get(4)])).len(), 2);
    bench.assert_conserved();
}

#[test]
fn f13_policies_mean_the_same_as_with_a_header() {
    for (policy, copies) in [("jsq", 1), ("random", 1), ("always", 2)] {
        let mut bench = memcached(3, json!({ "policy": policy }));
        for id in 0..10 {
            assert_eq!(bench.run(CLIENTS, &[get(id)]).len(), copies, "{policy}");
        }
    }
}

#[test]
fn f14_writes_are_dropped_passed_on_or_sent_to_the_one_server_that_takes_them() {
    let set = command(40000, 9, "set key 0 0 1\r\nx\r\n");
    let mut bench = memcached(3, json!({}));
    assert_eq!(bench.run(CLIENTS, std::slice::from_ref(&set)).len(), 0);
    assert_eq!(bench.dropped("write_refused"), 1);
    assert_eq!(bench.counter("plain_write_refused"), 1);
    check_invariants(&bench);
    bench.assert_conserved();

    let service = json!({ "port": 11211, "protocol": "memcached", "writes": { "server": 2 } });
    let mut bench = gateway_on(1, plain_settings(3, service, json!({})));
    for id in 0..20 {
        let set = command(40000, id, "set key 0 0 1\r\nx\r\n");
        let sent = bench.run(CLIENTS, &[set]);
        assert_eq!(servers_of(&sent), [2]);
        assert_eq!(bench.run(SERVERS, &[answer(&sent[0])]).len(), 1);
    }
    assert_eq!(bench.counter("plain_write"), 20);
    check_invariants(&bench);
    bench.assert_conserved();

    let service = json!({ "port": 11211, "protocol": "memcached", "writes": "pass" });
    let config = plain_settings(3, service, json!({ "mode": "inline" }));
    let mut bench = StageBench::with(&CloneKind, config, options(1));
    let sent = bench.run(CLIENTS, std::slice::from_ref(&set));
    assert_eq!((sent.len(), sent[0].port), (1, SERVERS));
    assert_eq!(sent[0].bytes, set, "untouched");
    bench.assert_conserved();
}

#[test]
fn f17_answers_of_many_datagrams_are_all_of_one_server() {
    let mut bench = memcached(2, json!({}));
    let sent = bench.run(CLIENTS, &[get(5)]);
    let parts = |server: usize| (0..4).map(move |n| (server, [n, 4]));
    // Both servers' datagrams, interleaved; the second server's come first.
    let mixed = parts(1).zip(parts(0)).flat_map(|(a, b)| [a, b]);
    let frames: Vec<_> = mixed
        .map(|(server, part)| answer_part(&sent[server], part, &format!("from {server}")))
        .collect();
    let back = bench.run(SERVERS, &frames);
    assert_eq!(back.len(), 4);
    for (n, back) in back.iter().enumerate() {
        assert_from_service(back, 11211, 40000);
        let payload = payload(&back.bytes);
        assert_eq!(&payload[8..], b"from 1");
        assert_eq!(payload[2..4], (n as u16).to_be_bytes());
    }
    assert_eq!(bench.counter("plain_further"), 3);
    bench.assert_conserved();
}

#[test]
fn servers_on_another_port_are_asked_there_and_answer_from_the_services() {
    let service = json!({ "port": 11211, "protocol": "memcached", "server_port": 21211 });
    let mut bench = gateway_on(1, plain_settings(2, service, json!({})));
    let sent = bench.run(CLIENTS, &[get(5)]);
    for sent in &sent {
        let layers = Layers::parse(&sent.bytes).expect("a sound frame");
        assert_eq!(layers.ports(&sent.bytes), Some((40000, 21211)));
        payload(&sent.bytes);
    }
    let back = bench.run(SERVERS, &[answer(&sent[0]), answer(&sent[1])]);
    assert_eq!(back.len(), 1);
    assert_from_service(&back[0], 11211, 40000);
    bench.assert_conserved();
}

#[test]
fn dns_queries_are_cloned_and_updates_are_not() {
    let service = json!({ "port": 53, "protocol": "dns" });
    let mut bench = gateway_on(1, plain_settings(2, service, json!({})));
    let query = |flags: u16, name: &[u8]| {
        let mut bytes = [0x1234, flags, 1, 0, 0, 0]
            .iter()
            .flat_map(|word: &u16| word.to_be_bytes())
            .collect::<Vec<_>>();
        bytes.extend(name);
        bytes.extend([0, 0, 1, 0, 1]);
        bytes
    };
    let asked = |payload: &[u8]| {
        Frame::udp(&format!("{CLIENT}:5353"), &format!("{VIP}:53"))
            .macs(CLIENT_MAC, OUR_MACS[0])
            .payload(payload)
            .build()
    };
    let sent = bench.run(CLIENTS, &[asked(&query(0x0100, b"\x03wWw\x02Ab"))]);
    assert_eq!(servers_of(&sent).len(), 2);
    let reply = query(0x8180, b"\x03www\x02ab");
    let answers = [0, 1].map(|n: usize| answer_with(&sent[n].bytes, &reply));
    let back = bench.run(SERVERS, &answers);
    assert_eq!(back.len(), 1);
    assert_from_service(&back[0], 53, 5353);
    let update = bench.run(CLIENTS, &[asked(&query(0x2800, b"\x02ab"))]);
    assert_eq!((update.len(), bench.dropped("write_refused")), (0, 1));
    bench.assert_conserved();
}

#[test]
fn a_service_over_ipv6_in_mode_inline() {
    let config = json!({
        "wire": "none", "mode": "inline", "vip": ["fd00::100"],
        "servers": [
            { "sid": 0, "ip": "fd00::1", "mac": server_mac(0).to_string() },
            { "sid": 1, "ip": "fd00::2", "mac": server_mac(1).to_string() },
        ],
        "services": [{ "port": 11211, "protocol": "memcached", "server_port": 21211 }],
    });
    let mut bench = StageBench::with(&CloneKind, config, options(1));
    let request = Frame::udp("[fd00::9]:40000", "[fd00::100]:11211")
        .payload(&framed(3, [0, 1], "get key\r\n"))
        .build();
    let sent = bench.run(CLIENTS, &[request]);
    assert_eq!(sent.len(), 2);
    let mut macs: Vec<_> = sent.iter().map(|sent| sent.bytes[..6].to_vec()).collect();
    macs.sort();
    assert_eq!(macs, [server_mac(0).0, server_mac(1).0]);
    let answers = sent.iter().map(|sent| {
        payload(&sent.bytes);
        let layers = Layers::parse(&sent.bytes).expect("a sound frame");
        let server = layers.ipv6(&sent.bytes).expect("IPv6").destination();
        Frame::udp(&format!("[{server}]:21211"), "[fd00::9]:40000")
            .payload(&framed(3, [0, 1], "END\r\n"))
            .build()
    });
    let back = bench.run(SERVERS, &answers.collect::<Vec<_>>());
    assert_eq!(back.len(), 1);
    let layers = Layers::parse(&back[0].bytes).expect("a sound frame");
    let header = layers.ipv6(&back[0].bytes).expect("IPv6");
    assert_eq!(header.source().to_string(), "fd00::100");
    assert_eq!(layers.ports(&back[0].bytes), Some((11211, 40000)));
    payload(&back[0].bytes);
    bench.assert_conserved();
}

#[test]
fn b08_only_servers_answer_and_from_their_side() {
    let mut bench = memcached(2, json!({}));
    let sent = bench.run(CLIENTS, &[get(5)]);
    // Somebody among the clients pretends to be a server.
    assert_eq!(bench.run(CLIENTS, &[answer(&sent[0])]).len(), 0);
    assert_eq!(bench.counter("bad_direction"), 1);
    // A host that is no server, and a server's other port: none of the service's.
    let stranger = Frame::udp("10.0.1.150:11211", &format!("{CLIENT}:40000"))
        .macs(server_mac(49), OUR_MACS[1])
        .payload(&framed(5, [0, 1], "END\r\n"))
        .build();
    let other = Frame::udp("10.0.1.101:11212", &format!("{CLIENT}:40000"))
        .macs(server_mac(0), OUR_MACS[1])
        .payload(&framed(5, [0, 1], "END\r\n"))
        .build();
    let passed = bench.run(SERVERS, &[stranger, other]);
    assert_eq!(passed.len(), 2);
    assert!(passed.iter().all(|sent| source(&sent.bytes) != VIP));
    // The real answers still count.
    assert_eq!(
        bench
            .run(SERVERS, &[answer(&sent[0]), answer(&sent[1])])
            .len(),
        1
    );
    bench.assert_conserved();
}

#[test]
fn b12_b13_what_is_damaged_or_cannot_be_from_there_ends() {
    let mut bench = memcached(2, json!({}));
    let mut damaged = get(1);
    let last = damaged.len() - 3;
    damaged[last] ^= 1;
    let land = Frame::udp(&format!("{VIP}:40000"), &format!("{VIP}:11211"))
        .payload(&framed(1, [0, 1], "get key\r\n"))
        .macs(CLIENT_MAC, OUR_MACS[0])
        .build();
    let dying = Frame::udp(&format!("{CLIENT}:40000"), &format!("{VIP}:11211"))
        .payload(&framed(1, [0, 1], "get key\r\n"))
        .macs(CLIENT_MAC, OUR_MACS[0])
        .ttl(1)
        .build();
    for (frame, reason) in [
        (damaged, "csum_bad"),
        (land, "bad_source"),
        (dying, "ttl_expired"),
    ] {
        assert_eq!(bench.run(CLIENTS, &[frame]).len(), 0, "{reason}");
        assert_eq!(bench.dropped(reason), 1, "{reason}");
    }
    bench.assert_conserved();
}

#[test]
fn b01_malformed_requests_go_to_one_server_which_throws_them_away() {
    let mut bench = memcached(2, json!({}));
    for length in 0..8 {
        let sent = bench.run(CLIENTS, &[datagram(40000, &[0; 8][..length])]);
        assert_eq!(sent.len(), 1, "{length}");
    }
    assert_eq!(bench.counter("plain_malformed"), 8);
    // What a server sends that is no reply passes, from the service.
    let sent = bench.run(CLIENTS, &[get(1)]);
    let back = bench.run(SERVERS, &[answer_with(&sent[0].bytes, b"huh")]);
    assert_from_service(&back[0], 11211, 40000);
    assert_eq!(bench.counter("plain_unreadable"), 1);
    bench.assert_conserved();
}

#[test]
fn b01_hostile_frames_are_survived() {
    for protocol in ["memcached", "dns", "flow"] {
        let service = json!({ "port": 9043, "protocol": protocol });
        let mut bench = gateway_on(1, plain_settings(3, service, json!({})));
        for port in [CLIENTS, SERVERS] {
            let frames: Vec<_> = hostile::samples(9043)
                .into_iter()
                .chain(hostile::truncated(9043))
                .chain(hostile::mutated(9043, 5, 2000))
                .collect();
            bench.run(port, &frames);
        }
        bench.check_conserved();
        bench.assert_conserved();
    }
}

#[test]
fn f02_other_traffic_is_none_of_its_business() {
    let mut bench = memcached(2, json!({}));
    let tcp = Frame::tcp(&format!("{CLIENT}:40000"), "10.0.1.101:11211")
        .macs(CLIENT_MAC, OUR_MACS[0])
        .build();
    let direct = Frame::udp(&format!("{CLIENT}:40000"), "10.0.1.101:11211")
        .macs(CLIENT_MAC, OUR_MACS[0])
        .payload(&framed(1, [0, 1], "set key 0 0 1\r\nx\r\n"))
        .build();
    let elsewhere = Frame::udp(&format!("{CLIENT}:40000"), "10.0.1.101:99")
        .macs(CLIENT_MAC, OUR_MACS[0])
        .payload(b"x")
        .build();
    assert_eq!(bench.run(CLIENTS, &[tcp, direct, elsewhere]).len(), 3);
    assert_eq!(bench.counter("passthrough"), 3);
    assert_eq!(bench.counter("req_total"), 0);
    bench.assert_conserved();
}
