//! The server against hand-made requests.

use std::time::Duration;

use super::*;
use crate::client;

fn from() -> SocketAddr {
    "10.0.0.11:50000".parse().expect("an address")
}

fn server(config: Config) -> Server {
    Server::new(config).expect("settings that can be")
}

/// A request as the appliance sends it on.
fn asked(clo: u8) -> Header {
    Header {
        clo,
        idx: 1,
        swid: 9,
        sid: 3,
        grp: 7,
        cfg_gen: 2,
        req_id: 0x0001_0000_0000_0007,
        client_id: 0xaa,
        client_seq: 5,
        flags: Flags::RETX,
        ..Header::new(Kind::Request)
    }
}

fn receive(server: &mut Server, header: Header, waiting: usize) -> Option<Request> {
    match server.receive(0, from(), &header.encode(), waiting) {
        Received::Request { request, .. } => Some(request),
        _ => None,
    }
}

#[test]
fn f11_answers_echo_all_but_server_and_load() {
    let mut server = server(Config::new(1));
    for clo in 0..=2 {
        let request = receive(&mut server, asked(clo), 0).expect("taken");
        let message = server.answering().answer(&request, 4, 8).expect("short");
        let expected = Header {
            kind: Kind::Response,
            sid: 1,
            load: 4,
            ..asked(clo)
        };
        assert_eq!(message.first_header(), expected);
    }
    let write = Header {
        kind: Kind::WriteRequest,
        ..asked(0)
    };
    let request = receive(&mut server, write, 0).expect("taken");
    let message = server.answering().answer(&request, 4, 8).expect("short");
    let expected = Header {
        kind: Kind::WriteResponse,
        sid: 1,
        load: 4,
        ..asked(0)
    };
    assert_eq!(message.first_header(), expected);
    let counters = server.counters();
    assert_eq!(
        (counters.reads, counters.clones, counters.writes),
        (3, 1, 1)
    );
}

#[test]
fn f11_only_clones_are_dropped_and_only_behind_others() {
    for clo in 0..=2 {
        for waiting in [0, 1, 2, 1000] {
            let mut server = server(Config::new(1));
            let message = asked(clo).encode();
            let received = server.receive(0, from(), &message, waiting);
            let is_dropped = received == Received::CloneDropped;
            assert_eq!(is_dropped, clo == 2 && waiting > 0, "{clo} {waiting}");
            assert_eq!(server.counters().clones_dropped, u64::from(is_dropped));
        }
    }
    let mut server = server(Config {
        drop_clones: false,
        ..Config::new(1)
    });
    assert!(receive(&mut server, asked(2), 10).is_some());
}

#[test]
fn x03_any_number_of_dropped_clones_leaves_nothing_behind() {
    let mut server = server(Config::new(1));
    let mut message = asked(2).encode();
    for n in 0..10_000_000u64 {
        message[24..32].copy_from_slice(&(1 << 48 | n).to_be_bytes());
        let received = server.receive(n, from(), &message, 1);
        assert_eq!(received, Received::CloneDropped);
    }
    assert_eq!(server.counters().clones_dropped, 10_000_000);
    // The original of one of them, and a clone that finds nobody waiting.
    message[5] = 1;
    assert!(matches!(
        server.receive(0, from(), &message, 1),
        Received::Request { .. }
    ));
    message[5] = 2;
    assert!(matches!(
        server.receive(0, from(), &message, 0),
        Received::Request { .. }
    ));
}

#[test]
fn f11_pings_are_answered_with_server_and_load() {
    let mut server = server(Config::new(1));
    let ping = Header {
        kind: Kind::Ping,
        ..asked(0)
    };
    for (draining, load) in [(false, 3), (true, 0xffff)] {
        server.set_draining(draining);
        let pong = Header {
            kind: Kind::Pong,
            sid: 1,
            load,
            ..ping
        };
        let ping = ping.encode();
        let received = server.receive(0, from(), &ping, 3);
        assert_eq!(received, Received::Ping(pong.encode()));
    }
}

#[test]
fn f11_a_draining_server_serves_what_comes() {
    let mut server = server(Config::new(1));
    server.set_draining(true);
    let request = receive(&mut server, asked(1), 0).expect("taken");
    let message = server
        .answering()
        .answer(&request, server.load(0), 0)
        .expect("short");
    assert_eq!(message.first_header().load, 0xffff);
}

#[test]
fn b03_what_is_not_for_servers_is_malformed() {
    let mut server = server(Config::new(1));
    for kind in [
        Kind::Response,
        Kind::WriteResponse,
        Kind::Pong,
        Kind::Config,
        Kind::Nack,
    ] {
        let message = Header::new(kind).encode();
        let received = server.receive(0, from(), &message, 0);
        assert_eq!(
            received,
            Received::Malformed(Malformed::NotForServers(kind))
        );
    }
    let no_id = Header {
        req_id: 0,
        ..asked(1)
    }
    .encode();
    assert_eq!(
        server.receive(0, from(), &no_id, 0),
        Received::Malformed(Malformed::NoId)
    );
    assert_eq!(server.counters().malformed, 6);
    assert!(Server::new(Config::new(0xffff)).is_err());
    assert!(
        Server::new(Config {
            packet_payload: 0,
            ..Config::new(1)
        })
        .is_err()
    );
}

/// A request of several packets, as a client makes it.
fn long_request(payload: &[u8]) -> Vec<Vec<u8>> {
    let config = client::Config {
        packet_payload: 10,
        ..client::Config::new(6)
    };
    let mut client = client::Client::new(config, 1).expect("settings that can be");
    let request = client::Request::read(payload.len(), 0);
    let (_, message) = client.begin(0, request).expect("room");
    let packets = (0..message.packets()).map(|packet| {
        let mut bytes = Vec::new();
        message.encode(packet, payload, &mut bytes);
        bytes
    });
    packets.collect()
}

#[test]
fn f16_long_requests_are_put_together() {
    let mut server = server(Config::new(1));
    let packets = long_request(b"a request of three packets");
    for packet in [&packets[2], &packets[0], &packets[2]] {
        assert_eq!(server.receive(0, from(), packet, 0), Received::Part);
    }
    let received = server.receive(0, from(), &packets[1], 0);
    let Received::Request { request, payload } = received else {
        panic!("not complete");
    };
    assert_eq!(payload, b"a request of three packets");
    assert_eq!((request.header.pkt_idx, request.header.pkt_cnt), (0, 3));
    let answer = server.answering().answer(&request, 0, 5).expect("short");
    assert_eq!(
        (answer.first_header().pkt_idx, answer.first_header().pkt_cnt),
        (0, 1)
    );
    assert_eq!(server.counters().repeated, 1);
}

#[test]
fn f16_original_and_clone_are_not_mixed_and_a_late_clone_is_dropped_whole() {
    let mut server = server(Config::new(1));
    let mut packets = long_request(b"two packets here");
    assert_eq!(packets.len(), 2);
    let original = packets.clone();
    packets.iter_mut().for_each(|packet| packet[5] = 2);
    assert_eq!(server.receive(0, from(), &original[0], 0), Received::Part);
    assert_eq!(server.receive(0, from(), &packets[1], 0), Received::Part);
    assert_eq!(
        server.receive(0, from(), &packets[0], 1),
        Received::CloneDropped
    );
    assert!(matches!(
        server.receive(0, from(), &original[1], 1),
        Received::Request { .. }
    ));
}

#[test]
fn f16_requests_that_stay_incomplete_are_forgotten() {
    let limits = Limits {
        timeout: Duration::from_nanos(100),
        ..Limits::default()
    };
    let mut server = server(Config {
        reassembly: limits,
        ..Config::new(1)
    });
    let packets = long_request(b"two packets here");
    assert_eq!(server.receive(0, from(), &packets[0], 0), Received::Part);
    assert_eq!(server.receive(101, from(), &packets[1], 0), Received::Part);
    assert_eq!(server.counters().incomplete, 1);
}

#[test]
fn b10_packet_counts_that_cannot_be_are_malformed() {
    let mut server = server(Config::new(1));
    let mut packets = long_request(b"two packets here");
    server.receive(0, from(), &packets[0], 0);
    packets[1][19] = 3;
    let received = server.receive(0, from(), &packets[1], 0);
    assert_eq!(received, Received::Malformed(Malformed::CountChanged));
    packets[1][4] = 0;
    let received = server.receive(0, from(), &packets[1], 0);
    assert_eq!(
        received,
        Received::Malformed(Malformed::SeveralWithoutClientId)
    );
}

#[test]
fn f17_long_answers_name_a_table_for_each_packet_only_when_deterministic() {
    for (ordered, deterministic) in [(false, false), (false, true), (true, false), (true, true)] {
        let config = Config {
            packet_payload: 10,
            ordered,
            deterministic,
            ..Config::new(1)
        };
        let mut server = server(config);
        let request = receive(&mut server, asked(1), 0).expect("taken");
        let message = server
            .answering()
            .answer(&request, 0, 35)
            .expect("4 packets");
        let expected = if ordered && deterministic {
            [0, 1, 2, 3]
        } else {
            [1; 4]
        };
        let tables: Vec<u8> = (0..4).map(|packet| message.header(packet).idx).collect();
        assert_eq!(tables, expected);
        assert_eq!(message.first_header().flags.has(Flags::DET), deterministic);
        // One packet is filtered as all are.
        let short = server.answering().answer(&request, 0, 5).expect("short");
        assert_eq!(short.first_header().idx, 1);
    }
}

proptest::proptest! {
    #[test]
    fn f11_no_datagrams_are_too_odd(datagrams: Vec<Vec<u8>>, fields: [u8; 37]) {
        let mut server = server(Config::new(1));
        for datagram in &datagrams {
            server.receive(0, from(), datagram, 1);
        }
        for kind in 1..=8 {
            let mut datagram = [&asked(1).encode()[..3], &fields].concat();
            datagram[3] = kind;
            server.receive(0, from(), &datagram, 1);
        }
    }
}
