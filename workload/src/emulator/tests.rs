//! Emulated servers in virtual time.

use nf_clone::wire::{Header, Kind};

use super::*;
use crate::distribution::Distribution;
use crate::service::Jitter;

/// What was sent: from, to, header, payload.
#[derive(Default)]
struct Sent(Vec<(SocketAddr, SocketAddr, Header, Vec<u8>)>);

impl Network for Sent {
    fn send(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
        let (header, at) = Header::decode(payload).expect("a message");
        self.0.push((from, to, header, payload[at..].to_vec()));
        true
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn client() -> SocketAddr {
    address("10.0.0.11:50000")
}

fn server(index: usize) -> SocketAddr {
    address(&format!("10.0.1.{}:9043", 101 + index))
}

/// Servers with these numbers of workers; every request takes 10 us.
fn emulator(workers: &[u32]) -> Emulator {
    emulator_with(workers, |_| {})
}

fn emulator_with(workers: &[u32], change: impl Fn(&mut ServerConfig)) -> Emulator {
    let service = ServiceTime::new(Distribution::Constant(10_000.0), Jitter::NONE);
    let servers = workers.iter().enumerate().map(|(index, workers)| {
        let addresses = vec![
            server(index),
            address(&format!("10.0.1.{}:9044", 101 + index)),
        ];
        let mut config = ServerConfig::new(index as u16, addresses, service.clone());
        config.workers = *workers;
        change(&mut config);
        config
    });
    Emulator::new(servers.collect(), 1).unwrap()
}

fn ask(emulator: &mut Emulator, now: u64, index: usize, clo: u8, seq: u32, sent: &mut Sent) {
    ask_for(emulator, now, (index, clo, seq), Ask::default(), sent);
}

fn ask_for(
    emulator: &mut Emulator,
    now: u64,
    (index, clo, seq): (usize, u8, u32),
    ask: Ask,
    sent: &mut Sent,
) {
    let header = Header {
        clo,
        idx: 1,
        swid: 7,
        req_id: 1000 + u64::from(seq),
        client_id: 0xaa,
        client_seq: seq,
        ..Header::new(Kind::Request)
    };
    let mut bytes = header.encode().to_vec();
    let mut payload = [0; 16];
    ask.write(&mut payload);
    bytes.extend_from_slice(&payload);
    let datagram = Datagram {
        from: client(),
        to: server(index),
        payload: &bytes,
    };
    emulator.on_datagram(now, datagram, sent);
}

fn run(emulator: &mut Emulator, until: u64, sent: &mut Sent) {
    while let Some(at) = emulator.next_time().filter(|at| *at <= until) {
        emulator.on_time(at, sent);
    }
}

#[test]
fn f26_workers_work_at_the_same_time_and_the_line_is_fcfs() {
    let mut emulator = emulator(&[2]);
    let mut sent = Sent::default();
    for seq in 0..5 {
        ask(&mut emulator, 0, 0, 0, seq, &mut sent);
    }
    assert_eq!(emulator.counters(0).unwrap().waiting, 3);
    assert_eq!(emulator.next_time(), Some(10_000));
    run(&mut emulator, 10_000, &mut sent);
    let seqs: Vec<u32> = sent.0.iter().map(|s| s.2.client_seq).collect();
    assert_eq!(seqs, [0, 1]);
    // Before the worker takes its next: 3 wait, then 2.
    let loads: Vec<u16> = sent.0.iter().map(|s| s.2.load).collect();
    assert_eq!(loads, [3, 2]);
    run(&mut emulator, 30_000, &mut sent);
    let seqs: Vec<u32> = sent.0.iter().map(|s| s.2.client_seq).collect();
    assert_eq!(seqs, [0, 1, 2, 3, 4]);
    let last = Answer::read(&sent.0[4].3).unwrap();
    assert_eq!((last.waited_ns, last.service_ns), (20_000, 10_000));
    let counters = emulator.counters(0).unwrap();
    assert_eq!((counters.answers, counters.answers_idle), (5, 2));
    assert_eq!((counters.busy_ns, counters.longest_queue), (50_000, 3));
    assert_eq!(emulator.next_time(), None);
}

#[test]
fn f26_answers_echo_and_leave_from_where_the_request_came() {
    let mut emulator = emulator(&[1, 1]);
    let mut sent = Sent::default();
    let asked = Ask {
        base_ns: 3_000,
        response_bytes: 500,
        kind: 0,
    };
    ask_for(&mut emulator, 0, (1, 2, 5), asked, &mut sent);
    run(&mut emulator, 3_000, &mut sent);
    let (from, to, header, payload) = &sent.0[0];
    assert_eq!((*from, *to), (server(1), client()));
    assert_eq!(
        (header.kind, header.sid, header.clo),
        (Kind::Response, 1, 2)
    );
    assert_eq!((header.req_id, header.swid, header.idx), (1005, 7, 1));
    assert_eq!((header.client_id, header.client_seq), (0xaa, 5));
    assert_eq!(payload.len(), 500);
    assert_eq!(
        Answer::read(payload).unwrap().service_ns,
        3_000,
        "request-bound"
    );
}

#[test]
fn f26_a_clone_is_dropped_only_when_others_wait() {
    for (drop_clones, answered) in [(true, 2), (false, 3)] {
        let mut emulator = emulator_with(&[1], |config| config.drop_clones = drop_clones);
        let mut sent = Sent::default();
        ask(&mut emulator, 0, 0, 1, 0, &mut sent);
        // The worker is busy, nobody waits: the clone is taken.
        ask(&mut emulator, 0, 0, 2, 1, &mut sent);
        // Now one waits.
        ask(&mut emulator, 0, 0, 2, 2, &mut sent);
        run(&mut emulator, 100_000, &mut sent);
        assert_eq!(sent.0.len(), answered, "drop_clones {drop_clones}");
        let counters = emulator.counters(0).unwrap();
        assert_eq!(counters.clones_dropped, u64::from(drop_clones));
    }
}

#[test]
fn f26_servers_may_differ_in_workers() {
    let mut emulator = emulator(&[15, 8]);
    assert!((emulator.capacity() - 23.0 * 1e5).abs() < 1.0);
    let mut sent = Sent::default();
    for seq in 0..40 {
        ask(&mut emulator, 0, seq % 2, 0, seq as u32, &mut sent);
    }
    assert_eq!(emulator.counters(0).unwrap().waiting, 5);
    assert_eq!(emulator.counters(1).unwrap().waiting, 12);
    assert_eq!(emulator.total().working, 23);
}

#[test]
fn f26_throughput_is_exact_though_nobody_looks_in_time() {
    let mut emulator = emulator(&[3]);
    let mut sent = Sent::default();
    for seq in 0..300 {
        ask(&mut emulator, 0, 0, 0, seq, &mut sent);
    }
    // Only called every 137 us, as a busy machine would.
    let mut now = 0;
    while emulator.next_time().is_some() {
        now += 137_000;
        emulator.on_time(now, &mut sent);
    }
    assert_eq!(sent.0.len(), 300);
    let counters = emulator.counters(0).unwrap();
    assert_eq!(counters.busy_ns, 3_000_000);
    // And it says that nobody looked.
    assert!(counters.answers_late > 50, "{counters:?}");
    assert!((100_000..137_000).contains(&counters.greatest_lateness_ns));
    assert!(now < 1_000_000 + 2 * 137_000, "{now}");
}

#[test]
fn f26_killed_hung_slow_dropping_and_back() {
    let mut sent = Sent::default();
    let mut one = emulator(&[1]);
    let mut seq = 0;
    let mut try_one = |one: &mut Emulator, now: u64, sent: &mut Sent| {
        let before = sent.0.len();
        seq += 1;
        ask(one, now, 0, 0, seq, sent);
        run(one, now + 200_000, sent);
        sent.0.len() - before
    };
    assert_eq!(try_one(&mut one, 0, &mut sent), 1);
    // Killed with one at work and one waiting: both are gone for good.
    ask(&mut one, 1_000_000, 0, 0, 100, &mut sent);
    ask(&mut one, 1_000_000, 0, 0, 101, &mut sent);
    one.set_health(0, Health::Killed);
    assert_eq!(try_one(&mut one, 1_000_000, &mut sent), 0);
    assert_eq!(one.counters(0).unwrap().lost, 3);
    one.set_health(0, Health::Up);
    assert_eq!(try_one(&mut one, 2_000_000, &mut sent), 1);
    // Hung: requests pile up.
    ask(&mut one, 3_000_000, 0, 0, 102, &mut sent);
    one.set_health(0, Health::Hung);
    assert_eq!(try_one(&mut one, 3_000_000, &mut sent), 0);
    assert_eq!(try_one(&mut one, 3_000_000, &mut sent), 0);
    assert_eq!(one.counters(0).unwrap().waiting, 2);
    one.set_health(0, Health::Up);
    assert_eq!(one.counters(0).unwrap().waiting, 0);
    assert_eq!(try_one(&mut one, 4_000_000, &mut sent), 1);
    one.set_health(0, Health::Slow(10.0));
    assert_eq!(try_one(&mut one, 5_000_000, &mut sent), 1);
    let slow = Answer::read(&sent.0.last().unwrap().3).unwrap();
    assert_eq!(slow.service_ns, 100_000);
    one.set_health(0, Health::Drops(1.0));
    assert_eq!(try_one(&mut one, 6_000_000, &mut sent), 0);
    one.set_health(0, Health::Draining);
    assert_eq!(try_one(&mut one, 7_000_000, &mut sent), 1);
    assert_eq!(sent.0.last().unwrap().2.load, 0xffff);
    assert!(!one.set_health(1, Health::Up));
    for text in ["up", "drain", "kill", "hang", "slow:10", "drop:5%"] {
        assert_eq!(text.parse::<Health>().unwrap().to_string(), text);
    }
    for text in ["", "slow", "slow:x", "drop:200%", "dead"] {
        assert!(text.parse::<Health>().is_err(), "{text}");
    }
}

#[test]
fn f26_pings_are_answered_by_who_is_well() {
    let mut emulator = emulator(&[1]);
    for (health, answers) in [(Health::Up, 1), (Health::Hung, 0), (Health::Killed, 0)] {
        emulator.set_health(0, health);
        let mut sent = Sent::default();
        let ping = Header::new(Kind::Ping).encode();
        let datagram = Datagram {
            from: client(),
            to: server(0),
            payload: &ping,
        };
        emulator.on_datagram(0, datagram, &mut sent);
        assert_eq!(sent.0.len(), answers, "{health}");
    }
}

#[test]
fn a_full_line_and_rubbish_are_counted() {
    let mut emulator = emulator_with(&[1], |config| config.queue = 2);
    let mut sent = Sent::default();
    for seq in 0..6 {
        ask(&mut emulator, 0, 0, 0, seq, &mut sent);
    }
    let datagram = Datagram {
        from: client(),
        to: server(0),
        payload: b"rubbish",
    };
    emulator.on_datagram(0, datagram, &mut sent);
    let counters = emulator.counters(0).unwrap();
    assert_eq!((counters.queue_full, counters.malformed), (3, 1));
}

#[test]
fn f26_same_seed_same_answers() {
    let draw = |seed| {
        let service = ServiceTime::new(Distribution::Exponential(25_000.0), Jitter::default());
        let config = ServerConfig::new(0, vec![server(0)], service);
        let mut emulator = Emulator::new(vec![config], seed).unwrap();
        let mut sent = Sent::default();
        for seq in 0..100 {
            ask(&mut emulator, u64::from(seq) * 100, 0, 0, seq, &mut sent);
        }
        run(&mut emulator, u64::MAX, &mut sent);
        sent.0.into_iter().map(|s| s.3).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn servers_that_cannot_be_are_refused() {
    let service = ServiceTime::new(Distribution::Constant(1.0), Jitter::NONE);
    let right = ServerConfig::new(0, vec![server(0)], service);
    let refuse = |servers: Vec<ServerConfig>| Emulator::new(servers, 1).unwrap_err();
    assert!(refuse(vec![]).contains("at least one server"));
    assert!(refuse(vec![right.clone(), right.clone()]).contains("two servers have"));
    let mut wrong = right.clone();
    wrong.workers = 0;
    assert!(refuse(vec![wrong]).contains("no workers"));
    let mut wrong = right.clone();
    wrong.addresses.clear();
    assert!(refuse(vec![wrong]).contains("no address"));
    let mut wrong = right;
    wrong.sid = 0xffff;
    assert!(refuse(vec![wrong]).contains("65535"));
}
