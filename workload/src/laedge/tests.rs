//! The coordinator's choices, its line, and its slots.

use std::collections::HashSet;

use nf_clone::wire::Header;

use super::*;

#[derive(Default)]
struct Sent(Vec<(SocketAddr, Header)>);

impl Network for Sent {
    fn send(&mut self, _: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
        self.0.push((to, Header::decode(payload).unwrap().0));
        true
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn server(index: usize) -> SocketAddr {
    address(&format!("10.0.1.{}:9044", 101 + index))
}

fn client() -> SocketAddr {
    address("10.0.0.11:50000")
}

fn coordinator(servers: usize, slots: u32) -> Laedge {
    let servers = (0..servers).map(server).collect();
    let mut config = LaedgeConfig::new(address("10.0.0.50:9044"), servers);
    config.slots_per_server = slots;
    config.queue = 4;
    Laedge::new(config).unwrap()
}

fn deliver(laedge: &mut Laedge, from: SocketAddr, kind: Kind, seq: u32, sent: &mut Sent) {
    let header = Header {
        client_id: 9,
        client_seq: seq,
        ..Header::new(kind)
    };
    let datagram = Datagram {
        from,
        to: address("10.0.0.50:9044"),
        payload: &header.encode(),
    };
    laedge.on_datagram(0, datagram, sent);
}

/// The servers that a request was sent to.
fn targets(sent: &Sent, seq: u32) -> Vec<SocketAddr> {
    let to = sent
        .0
        .iter()
        .filter(|s| s.1.client_seq == seq && s.0 != client());
    to.map(|s| s.0).collect()
}

#[test]
fn f25_laedge_asks_two_idle_servers_then_one_then_lets_wait() {
    let mut laedge = coordinator(3, 1);
    let mut sent = Sent::default();
    for seq in 0..4 {
        deliver(&mut laedge, client(), Kind::Request, seq, &mut sent);
    }
    let asked: Vec<usize> = (0..4).map(|seq| targets(&sent, seq).len()).collect();
    assert_eq!(asked, [2, 1, 0, 0]);
    let all: HashSet<_> = sent.0.iter().map(|s| s.0).collect();
    assert_eq!(all.len(), 3, "distinct servers");
    // The first answer goes to the client, and frees a server for who waits: a single copy, to it.
    let [first, second] = targets(&sent, 0)[..] else {
        panic!("two servers");
    };
    deliver(&mut laedge, first, Kind::Response, 0, &mut sent);
    assert_eq!(sent.0.iter().filter(|s| s.0 == client()).count(), 1);
    assert_eq!(targets(&sent, 2), [first]);
    // The redundant one does not, but frees its server too.
    deliver(&mut laedge, second, Kind::Response, 0, &mut sent);
    assert_eq!(sent.0.iter().filter(|s| s.0 == client()).count(), 1);
    assert_eq!(targets(&sent, 3), [second]);
    let counters = laedge.counters();
    assert_eq!(
        (counters.cloned, counters.single, counters.queued),
        (1, 3, 2)
    );
    assert_eq!((counters.answers, counters.redundant), (1, 1));
}

#[test]
fn f25_laedge_with_a_slot_for_each_worker_keeps_cloning() {
    let mut laedge = coordinator(2, 15);
    let mut sent = Sent::default();
    for seq in 0..15 {
        deliver(&mut laedge, client(), Kind::Request, seq, &mut sent);
        assert_eq!(targets(&sent, seq).len(), 2);
    }
    deliver(&mut laedge, client(), Kind::Request, 15, &mut sent);
    assert_eq!(laedge.waiting(), 1);
}

#[test]
fn f25_laedge_bounds_its_line_and_ignores_what_is_sent_again() {
    let mut laedge = coordinator(2, 1);
    let mut sent = Sent::default();
    for seq in [0, 0, 1, 1, 2, 3, 4, 5] {
        deliver(&mut laedge, client(), Kind::Request, seq, &mut sent);
    }
    let counters = laedge.counters();
    assert_eq!((counters.repeated, counters.queue_full), (2, 1));
    assert_eq!((laedge.waiting(), counters.longest_queue), (4, 4));
}

#[test]
fn laedge_chooses_evenly_and_never_clones_writes() {
    let mut laedge = coordinator(4, 1);
    let mut counts = [0u32; 4];
    for seq in 0..4000 {
        let mut sent = Sent::default();
        deliver(&mut laedge, client(), Kind::Request, seq, &mut sent);
        for to in targets(&sent, seq) {
            let index = (0..4).position(|index| server(index) == to).unwrap();
            counts[index] += 1;
            deliver(&mut laedge, to, Kind::Response, seq, &mut sent);
        }
    }
    assert!(
        counts.iter().all(|n| (1800..2200).contains(n)),
        "{counts:?}"
    );
    let mut sent = Sent::default();
    deliver(&mut laedge, client(), Kind::WriteRequest, 5000, &mut sent);
    assert_eq!(targets(&sent, 5000).len(), 1);
}

#[test]
fn laedge_frees_the_slots_of_servers_that_never_answer() {
    let mut laedge = coordinator(2, 1);
    let mut sent = Sent::default();
    for seq in 0..2 {
        deliver(&mut laedge, client(), Kind::Request, seq, &mut sent);
    }
    let [a, b] = targets(&sent, 0)[..] else {
        panic!("two servers");
    };
    assert_eq!(laedge.next_time(), Some(1_000_000_000));
    laedge.on_time(1_000_000_000, &mut sent);
    assert_eq!(targets(&sent, 1).len(), 1);
    assert_eq!(laedge.counters().timeouts, 2);
    // Too late, or from nowhere, or not a message.
    deliver(&mut laedge, a, Kind::Response, 0, &mut sent);
    deliver(&mut laedge, b, Kind::Response, 0, &mut sent);
    deliver(&mut laedge, server(9), Kind::Response, 1, &mut sent);
    deliver(&mut laedge, a, Kind::Ping, 1, &mut sent);
    let counters = laedge.counters();
    assert_eq!((counters.stale, counters.malformed), (2, 2));
    assert_eq!(counters.answers, 0);
}

#[test]
fn coordinators_that_cannot_be_are_refused() {
    let new = |servers: Vec<SocketAddr>, slots| {
        let mut config = LaedgeConfig::new(client(), servers);
        config.slots_per_server = slots;
        Laedge::new(config).unwrap_err()
    };
    assert!(new(vec![server(0)], 1).contains("two servers"));
    assert!(new(vec![server(0), server(0)], 1).contains("the address"));
    assert!(new(vec![server(0), server(1)], 0).contains("slot"));
}
