//! Clients against emulated servers, in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use nf_clone::wire::{Header, Kind};

use super::*;
use crate::distribution::Distribution;
use crate::emulator::{Emulator, Health, ServerConfig};
use crate::laedge::{Laedge, LaedgeConfig};
use crate::scheme::Cluster;
use crate::service::{Jitter, ServiceTime};

/// How long a datagram takes, nanoseconds.
const DELAY: u64 = 2_000;

/// A switch that forwards between endpoints, and plays the appliance for the service's address: it clones
/// every request to the two servers of its group.
#[derive(Default)]
struct Wire {
    now: u64,
    sent: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    packets: HashMap<u64, (SocketAddr, SocketAddr, Vec<u8>)>,
    /// Everything that was sent.
    log: Vec<(u64, SocketAddr, SocketAddr, Header)>,
    /// Lets only the first answer through.
    filters: bool,
    answered: std::collections::HashSet<u64>,
    ids: u64,
    /// Loses every n-th datagram.
    lose: Option<u64>,
}

impl Network for Wire {
    fn send(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
        let (header, at) = Header::decode(payload).expect("a message");
        self.log.push((self.now, from, to, header));
        if to != service() && from.port() != 9043 {
            return self.push(from, to, payload.to_vec());
        }
        let body = &payload[at..];
        if header.kind == Kind::Request {
            self.ids += 1;
            let n = servers().len() as u32;
            let (a, r) = (header.grp / (n - 1), header.grp % (n - 1));
            let b = r + u32::from(r >= a);
            for (clo, server) in [(1, a), (2, b)] {
                let header = Header {
                    clo,
                    req_id: self.ids,
                    swid: 1,
                    ..header
                };
                let to = SocketAddr::new(servers()[server as usize].ip(), 9043);
                self.push(from, to, [&header.encode()[..], body].concat());
            }
            return true;
        }
        if self.filters && !self.answered.insert(header.req_id) {
            return true;
        }
        self.push(service(), to, payload.to_vec())
    }
}

impl Wire {
    fn push(&mut self, from: SocketAddr, to: SocketAddr, payload: Vec<u8>) -> bool {
        self.sent += 1;
        if self.lose.is_some_and(|nth| self.sent.is_multiple_of(nth)) {
            return true;
        }
        self.queue.push(Reverse((self.now + DELAY, self.sent)));
        self.packets.insert(self.sent, (from, to, payload));
        true
    }

    /// Runs the endpoints until none has anything to do.
    fn run(&mut self, endpoints: &mut [&mut dyn Endpoint]) {
        let owners: HashMap<SocketAddr, usize> = endpoints
            .iter()
            .enumerate()
            .flat_map(|(index, e)| e.addresses().into_iter().map(move |a| (a, index)))
            .collect();
        loop {
            let timed = endpoints
                .iter()
                .enumerate()
                .filter_map(|(index, e)| Some((e.next_time()?, index)))
                .min();
            let packet = self.queue.peek().map(|entry| entry.0.0);
            match (timed, packet) {
                (Some((at, index)), packet) if packet.is_none_or(|p| at < p) => {
                    self.now = self.now.max(at);
                    endpoints[index].on_time(self.now, self);
                }
                (_, Some(at)) => {
                    self.now = self.now.max(at);
                    let Some(Reverse((_, number))) = self.queue.pop() else {
                        continue;
                    };
                    let (from, to, payload) = self.packets.remove(&number).unwrap();
                    let datagram = Datagram {
                        from,
                        to,
                        payload: &payload,
                    };
                    if let Some(&owner) = owners.get(&to) {
                        endpoints[owner].on_datagram(self.now, datagram, self);
                    }
                }
                _ => return,
            }
        }
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn service() -> SocketAddr {
    address("10.0.0.100:9043")
}

fn coordinator() -> SocketAddr {
    address("10.0.0.50:9044")
}

fn servers() -> Vec<SocketAddr> {
    (101..104)
        .map(|last| address(&format!("10.0.1.{last}:9044")))
        .collect()
}

fn exp25() -> ServiceTime {
    ServiceTime::new(Distribution::Exponential(25_000.0), Jitter::default())
}

fn emulator(service: &ServiceTime) -> Emulator {
    let configs = servers().into_iter().zip(0u16..).map(|(address, sid)| {
        let both = vec![address, SocketAddr::new(address.ip(), 9043)];
        ServerConfig::new(sid, both, service.clone())
    });
    Emulator::new(configs.collect(), 7).unwrap()
}

fn config(scheme: Scheme, rate: f64) -> ClientConfig {
    let cluster = Cluster {
        service: Some(service()),
        coordinator: Some(coordinator()),
        servers: servers(),
    };
    let mut config = ClientConfig::new(scheme, cluster, exp25(), rate);
    config.sources = (50_000..50_008)
        .map(|port| address(&format!("10.0.0.11:{port}")))
        .collect();
    config.warm_up_ns = 10_000_000;
    config.duration_ns = 100_000_000;
    config.settle_ns = 20_000_000;
    config
}

/// Runs one client of a scheme at a rate; what it measured, and all that was sent.
fn run(config: ClientConfig) -> (Measured, Wire, Emulator) {
    run_with(config, |_| {})
}

fn run_with(config: ClientConfig, change: impl Fn(&mut Wire)) -> (Measured, Wire, Emulator) {
    let mut wire = Wire {
        filters: config.scheme != Scheme::NetCloneNoFilter,
        ..Wire::default()
    };
    change(&mut wire);
    let mut client = Client::new(config).unwrap();
    let mut emulator = emulator(&exp25());
    let mut laedge = LaedgeConfig::new(coordinator(), servers());
    laedge.slots_per_server = 15;
    let mut laedge = Laedge::new(laedge).unwrap();
    wire.run(&mut [&mut client, &mut emulator, &mut laedge]);
    assert!(client.is_finished());
    (client.measured(), wire, emulator)
}

#[test]
fn f25_baseline_asks_one_server_at_random() {
    let (measured, wire, emulator) = run(config(Scheme::Baseline, 300_000.0));
    assert!((measured.offered() / 300_000.0 - 1.0).abs() < 0.02);
    assert_eq!(measured.counts.completed, measured.counts.offered);
    assert_eq!((measured.counts.lost(), measured.counts.redundant), (0, 0));
    let requests = wire.log.iter().filter(|s| s.3.kind == Kind::Request);
    for server in servers() {
        let share = requests.clone().filter(|s| s.2 == server).count() as f64
            / requests.clone().count() as f64;
        assert!((share - 1.0 / 3.0).abs() < 0.02, "{server}: {share}");
    }
    // One request in 100 takes 15 times as long: far from the median, and the client sees it.
    let latency = measured.latency.summary().unwrap();
    assert!((19_000..25_000).contains(&latency.p50_ns), "{latency:?}");
    assert!((110_000..190_000).contains(&latency.p99_ns), "{latency:?}");
    assert!(latency.p99_9_ns > latency.p99_ns);
    let service = measured.service.summary().unwrap();
    assert!(
        (service.mean_ns / 28_500.0 - 1.0).abs() < 0.03,
        "{service:?}"
    );
    assert_eq!(emulator.total().clones, 0);
}

#[test]
fn f25_c_clone_asks_two_distinct_servers_always() {
    let (measured, wire, emulator) = run(config(Scheme::CClone, 100_000.0));
    let mut asked: HashMap<u32, Vec<SocketAddr>> = HashMap::new();
    for sent in wire.log.iter().filter(|s| s.3.kind == Kind::Request) {
        assert_eq!(sent.3.clo, 0, "ordinary requests");
        asked.entry(sent.3.client_seq).or_default().push(sent.2);
    }
    assert!(asked.values().all(|to| to.len() == 2 && to[0] != to[1]));
    // Each answered twice, counted once, and the client throws the second one away.
    assert_eq!(measured.counts.completed, measured.counts.offered);
    let redundant = measured.counts.redundant;
    // Those of the last requests may come after the client has finished.
    let all = measured.counts.completed;
    assert!(
        (all - 50..=all).contains(&redundant),
        "{redundant} of {all}"
    );
    assert_eq!(emulator.total().clones_dropped, 0);
    // The faster of two.
    assert!(measured.latency.quantile(0.5) < 16_500);
}

#[test]
fn f25_laedge_goes_through_the_coordinator() {
    let (measured, wire, _) = run(config(Scheme::Laedge, 100_000.0));
    assert_eq!(measured.counts.completed, measured.counts.offered);
    assert_eq!(measured.counts.redundant, 0, "the coordinator keeps them");
    let from_clients =
        |s: &&(u64, SocketAddr, SocketAddr, Header)| s.1.ip() == address("10.0.0.11:1").ip();
    assert!(
        wire.log
            .iter()
            .filter(from_clients)
            .all(|s| s.2 == coordinator())
    );
    assert!(
        measured.latency.quantile(0.5) < 21_000,
        "two copies, four hops"
    );
}

#[test]
fn f25_netclone_schemes_go_to_the_service_with_group_and_table() {
    for scheme in [
        Scheme::RackSched,
        Scheme::NetClone,
        Scheme::NetCloneRackSched,
        Scheme::AlwaysClone,
        Scheme::NetCloneNoDrop,
        Scheme::NetClonePerCore,
    ] {
        let (measured, wire, emulator) = run(config(scheme, 50_000.0));
        let requests: Vec<_> = wire
            .log
            .iter()
            .filter(|s| s.1.ip() == address("10.0.0.11:1").ip())
            .collect();
        assert!(requests.iter().all(|s| s.2 == service()));
        let groups: std::collections::HashSet<u32> = requests.iter().map(|s| s.3.grp).collect();
        assert_eq!(groups.len(), 6, "{scheme}");
        assert!(
            requests
                .iter()
                .all(|s| s.3.idx < 2 && s.3.clo == 0 && s.3.req_id == 0)
        );
        assert_eq!(measured.counts.completed, measured.counts.offered);
        assert_eq!(measured.counts.redundant, 0, "filtered");
        assert_eq!(measured.counts.cloned, measured.counts.completed);
        assert!(measured.counts.by_clone > measured.counts.completed / 3);
        assert!(emulator.total().clones > 0);
    }
}

#[test]
fn f25_without_the_filter_the_client_removes_the_slower_answer() {
    let (measured, _, _) = run(config(Scheme::NetCloneNoFilter, 50_000.0));
    assert_eq!(measured.counts.completed, measured.counts.offered);
    let redundant = measured.counts.redundant;
    assert!(
        redundant > measured.counts.completed * 9 / 10,
        "{redundant}"
    );
}

#[test]
fn f25_hedge_asks_another_server_only_when_the_answer_is_late() {
    let mut hedge = config(Scheme::Hedge, 50_000.0);
    hedge.hedge_after_ns = 100_000;
    let (measured, wire, _) = run(hedge);
    let mut asked: HashMap<u32, Vec<SocketAddr>> = HashMap::new();
    for sent in wire.log.iter().filter(|s| s.3.kind == Kind::Request) {
        asked.entry(sent.3.client_seq).or_default().push(sent.2);
    }
    let twice = asked.values().filter(|to| to.len() == 2);
    assert!(twice.clone().all(|to| to[0] != to[1]));
    // Exp(25) is over 96 us in 2.1 % of the cases, and 0.75 % more by jitter.
    let share = twice.count() as f64 / asked.len() as f64;
    assert!((0.022..0.036).contains(&share), "{share}");
    assert!(
        measured.latency.quantile(0.999) < 260_000,
        "{:?}",
        measured.latency.summary()
    );
}

#[test]
fn f25_hedge_can_follow_a_quantile_of_the_latency() {
    let mut hedge = config(Scheme::Hedge, 50_000.0);
    hedge.hedge_quantile = Some(0.95);
    hedge.warm_up_ns = 60_000_000;
    let (measured, _, _) = run(hedge);
    let share = measured.counts.hedged as f64 / (measured.counts.offered as f64 * 1.3);
    assert!((0.03..0.07).contains(&share), "{share}");
    assert!(
        measured.latency.quantile(0.999) < 300_000,
        "{:?}",
        measured.latency.summary()
    );
}

#[test]
fn an_open_loop_is_not_delayed_by_answers_that_are_missing() {
    let config = config(Scheme::Baseline, 100_000.0);
    let mut wire = Wire::default();
    let mut client = Client::new(config.clone()).unwrap();
    let mut emulator = emulator(&exp25());
    for server in 0..3 {
        emulator.set_health(server, Health::Hung);
    }
    wire.run(&mut [&mut client, &mut emulator]);
    let measured = client.measured();
    assert!((measured.offered() / 100_000.0 - 1.0).abs() < 0.03);
    assert_eq!(measured.counts.completed, 0);
    assert_eq!(measured.counts.lost(), measured.counts.offered);
    // The same times as with answers.
    let (_, answered, _) = run(config);
    let times = |wire: &Wire| -> Vec<u64> {
        let requests = wire.log.iter().filter(|s| s.3.kind == Kind::Request);
        requests.map(|s| s.0).collect()
    };
    assert_eq!(times(&wire), times(&answered));
}

#[test]
fn latency_counts_from_the_intended_time_when_the_client_was_held_up() {
    let mut wire = Wire::default();
    let mut client = Client::new(config(Scheme::Baseline, 100_000.0)).unwrap();
    // Nobody calls the client for 50 ms: 5000 requests leave late.
    wire.now = 50_000_000;
    let mut emulator = emulator(&exp25());
    wire.run(&mut [&mut client, &mut emulator]);
    let measured = client.measured();
    assert_eq!(measured.counts.lost(), 0);
    assert!(measured.latency.quantile(0.9) > 25_000_000);
    assert!(measured.latency.quantile(0.9) > 3 * measured.latency_sent.quantile(0.9));
    assert!(measured.lateness.quantile(1.0) > 30_000_000);
}

#[test]
fn a_closed_loop_keeps_its_number_of_requests_under_way() {
    let mut closed = config(Scheme::Baseline, 0.0);
    closed.arrival = Arrival::Closed { outstanding: 6 };
    let (measured, _, emulator) = run(closed);
    // Six at a time, 28.5 us of service and 4 us of wire each.
    let rate = 6.0 / 32.5e-6;
    assert!(
        (measured.throughput() / rate - 1.0).abs() < 0.05,
        "{}",
        measured.throughput()
    );
    assert!(emulator.total().longest_queue == 0);
}

#[test]
fn the_warm_up_is_cut() {
    let config = config(Scheme::Baseline, 100_000.0);
    let (measured, wire, _) = run(config.clone());
    let inside = wire
        .log
        .iter()
        .filter(|s| s.3.kind == Kind::Request && (10_000_000..110_000_000).contains(&s.0));
    assert_eq!(measured.counts.offered, inside.count() as u64);
    assert_eq!(measured.latency.len(), measured.counts.completed);
    assert!(wire.log.len() as u64 > 2 * measured.counts.offered);
    assert!(config.end() == 110_000_000);
}

#[test]
fn what_is_lost_is_sent_again_or_counted() {
    let mut once = config(Scheme::Baseline, 50_000.0);
    let (measured, _, _) = run_with(once.clone(), |wire| wire.lose = Some(50));
    let share = measured.counts.lost() as f64 / measured.counts.offered as f64;
    assert!(
        (0.03..0.05).contains(&share),
        "{share}: one in 50, both ways"
    );
    once.retry = Some(Retry {
        timeout: Duration::from_millis(2),
        retries: 3,
    });
    let (measured, _, _) = run_with(once, |wire| wire.lose = Some(50));
    assert_eq!(measured.counts.lost(), 0);
    assert!(measured.counts.retransmissions > 100);
    assert!(
        measured.latency.quantile(1.0) > 2_000_000,
        "they count in the tail"
    );
}

#[test]
fn f26_request_bound_times_belong_to_the_request() {
    let mut bound = config(Scheme::CClone, 20_000.0);
    bound.draw = DrawMode::RequestBound;
    bound.service = ServiceTime::new(Distribution::Exponential(50_000.0), Jitter::NONE);
    let mut wire = Wire::default();
    let mut client = Client::new(bound).unwrap();
    let none = ServiceTime::new(Distribution::Constant(1.0), Jitter::NONE);
    let mut emulator = emulator(&none);
    wire.run(&mut [&mut client, &mut emulator]);
    // Both copies take the client's time, so two are no faster than one.
    let median = client.measured().latency.quantile(0.5);
    assert!((34_000..43_000).contains(&median), "{median}");
}

#[test]
fn f26_a_kind_belongs_to_the_request_and_its_time_to_the_server() {
    let text = "mix(90%:const(10us),10%:exp(1ms))";
    let mix = ServiceTime::new(
        Distribution::parse(text, crate::distribution::Unit::Time).unwrap(),
        Jitter::NONE,
    );
    let mut kinds = config(Scheme::CClone, 20_000.0);
    kinds.draw = DrawMode::KindBound;
    kinds.service = mix.clone();
    let mut wire = Wire::default();
    let mut client = Client::new(kinds).unwrap();
    let mut emulator = emulator(&mix);
    wire.run(&mut [&mut client, &mut emulator]);
    // Both copies of one request in ten are long, but the client gets the shorter one: of two exponential
    // times, half as long on average. Were the kind drawn by servers, one in 100 would be long.
    let latency = client.measured().latency;
    assert!(latency.quantile(0.85) < 50_000);
    let beyond = latency.quantile(0.95);
    assert!((200_000..550_000).contains(&beyond), "{beyond}");
}

#[test]
fn sizes_ports_and_writes_are_as_asked() {
    let mut sized = config(Scheme::Baseline, 20_000.0);
    sized.request_bytes =
        Distribution::parse("mix(50%:100B,50%:3000B)", crate::distribution::Unit::Bytes).unwrap();
    sized.response_bytes = Distribution::Constant(5_000.0);
    sized.writes = 0.25;
    let (measured, wire, emulator) = run(sized);
    assert_eq!(measured.counts.completed, measured.counts.offered);
    let several = wire.log.iter().filter(|s| s.3.pkt_cnt == 3);
    assert!(
        several.count() > 1000,
        "requests of 3000 bytes go in three packets"
    );
    let writes = wire
        .log
        .iter()
        .filter(|s| s.3.kind == Kind::WriteRequest && s.3.pkt_idx == 0);
    let share = writes.count() as f64 / emulator.total().requests as f64;
    assert!((0.22..0.28).contains(&share), "{share}");
    let ports: std::collections::HashSet<u16> = wire
        .log
        .iter()
        .filter(|s| s.3.kind == Kind::Request)
        .map(|s| s.1.port())
        .collect();
    assert_eq!(ports.len(), 8);
    assert!(
        wire.log
            .iter()
            .any(|s| s.3.kind == Kind::Response && s.3.pkt_cnt == 4)
    );
}

#[test]
fn several_clients_add_up() {
    let mut wire = Wire::default();
    let mut clients: Vec<Client> = (0..3)
        .map(|index| {
            let mut config = config(Scheme::Baseline, 30_000.0);
            config.index = index;
            config.client_id = 10 + index;
            config.sources = vec![address(&format!("10.0.0.{}:50000", 11 + index))];
            Client::new(config).unwrap()
        })
        .collect();
    let mut emulator = emulator(&exp25());
    let mut endpoints: Vec<&mut dyn Endpoint> = vec![&mut emulator];
    endpoints.extend(clients.iter_mut().map(|client| client as &mut dyn Endpoint));
    wire.run(&mut endpoints);
    let mut sum = Measured::default();
    for client in &clients {
        sum.add(&client.measured());
    }
    assert!((sum.offered() / 90_000.0 - 1.0).abs() < 0.03);
    assert!((sum.throughput() / 90_000.0 - 1.0).abs() < 0.03);
    assert_eq!(sum.latency.len(), sum.counts.offered);
    let summary = sum.summary();
    assert_eq!(summary.lost, 0);
    assert_eq!(summary.seconds, 0.1);
}

#[test]
fn same_seed_same_packets() {
    let log = |seed| {
        let mut config = config(Scheme::NetClone, 50_000.0);
        config.seed = seed;
        config.duration_ns = 10_000_000;
        run(config).1.log
    };
    assert_eq!(log(1), log(1));
    assert_ne!(log(1), log(2));
}

#[test]
fn clients_that_cannot_be_are_refused() {
    let refused = |change: fn(&mut ClientConfig)| {
        let mut config = config(Scheme::NetClone, 1000.0);
        change(&mut config);
        Client::new(config).unwrap_err()
    };
    assert!(refused(|c| c.sources.clear()).contains("address to send from"));
    assert!(refused(|c| c.writes = 2.0).contains("writes"));
    assert!(refused(|c| c.rate = 0.0).contains("rate"));
    assert!(refused(|c| c.cluster.service = None).contains("service's address"));
    assert!(refused(|c| c.client_id = 0).contains("client_id"));
    assert!(refused(|c| c.appliance.tables = 0).contains("tables"));
}
