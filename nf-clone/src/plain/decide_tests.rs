//! Decisions packet by packet, and a small world of clients and servers that loses, delays and
//! repeats datagrams.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::*;
use crate::groups::ServerSet;
use crate::plain::matcher::Protocol;
use crate::plain::service::{Rules, Standing};
use proptest::prelude::*;

fn plain() -> Plain {
    Plain::new(&Limits::default(), [1, 2])
}

fn ruled(numbers: &[u8], change: impl FnOnce(&mut Rules)) -> Service {
    let mut rules = Rules::new(0, Protocol::Memcached);
    change(&mut rules);
    Service {
        rules,
        members: numbers.iter().copied().collect(),
    }
}

/// All are up.
fn up(service: &Service) -> Standing {
    service.standing(&service.members, &ServerSet::EMPTY)
}

fn servers(numbers: &[u8]) -> Service {
    ruled(numbers, |_| {})
}

fn client(port: u16) -> Client {
    Client::new("192.0.2.1".parse().unwrap(), port)
}

fn framed(id: u16, command: &str) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([0, 0, 0, 1, 0, 0]);
    bytes.extend(command.as_bytes());
    bytes
}

fn ask(plain: &Plain, service: &Service, now: u64, bytes: &[u8]) -> Decision {
    ask_of(plain, service, &up(service), now, bytes)
}

fn ask_of(
    plain: &Plain,
    service: &Service,
    standing: &Standing,
    now: u64,
    bytes: &[u8],
) -> Decision {
    let request = plain.read_request(service, &client(7), bytes);
    let asking = Asking {
        service,
        standing,
        candidates: standing.candidates(0),
        may_clone: true,
    };
    plain.on_request(now, &request, &asking)
}

fn answer(plain: &Plain, service: &Service, now: u64, server: u8, bytes: &[u8]) -> Answer {
    let reply = plain.read_reply(service, &client(7), bytes).unwrap();
    plain.on_reply(now, &reply, server)
}

#[test]
fn idle_servers_get_a_read_twice_and_busy_ones_once() {
    let (plain, service) = (plain(), servers(&[1, 2]));
    let both = ask(&plain, &service, 0, &framed(1, "get a\r\n"));
    assert!(matches!(
        both,
        Decision::Clone {
            first: 1,
            second: 2,
            ..
        }
    ));
    let single = ask(&plain, &service, 0, &framed(2, "get a\r\n"));
    assert_eq!(single, Decision::Single(1, Single::Busy));
    // The less busy of the two.
    let single = ask(&plain, &service, 0, &framed(3, "get a\r\n"));
    assert_eq!(single, Decision::Single(2, Single::Busy));
    let threshold = ruled(&[1, 2], |rules| rules.idle_threshold = 2);
    let both = ask(&plain, &threshold, 0, &framed(4, "get a\r\n"));
    assert!(matches!(both, Decision::Clone { .. }));
    assert_eq!(
        answer(&plain, &service, 0, 2, &framed(1, "END\r\n")),
        Answer::Forward(Verdict::First)
    );
    assert_eq!(
        answer(&plain, &service, 0, 1, &framed(1, "END\r\n")),
        Answer::Filter(Verdict::Slower)
    );
    assert_eq!(
        answer(&plain, &service, 0, 1, &framed(9, "END\r\n")),
        Answer::Unknown
    );
}

#[test]
fn an_answer_of_many_datagrams_counts_as_load_until_its_first() {
    let (plain, mut service) = (plain(), servers(&[1, 2]));
    service.rules.protocol = Protocol::Flow { many: true };
    let both = ask(&plain, &service, 0, b"what");
    assert!(matches!(both, Decision::Clone { .. }));
    for (server, forwards) in [(2, true), (1, false)] {
        for _ in 0..4 {
            let reply = answer(&plain, &service, 0, server, b"much");
            assert_eq!(reply.forwards(), forwards);
            assert_eq!(plain.loads().outstanding(server), 0);
        }
    }
}

#[test]
fn writes_go_where_the_user_says_and_nowhere_else() {
    let plain = plain();
    let set = framed(1, "set a 0 0 1\r\nx\r\n");
    for (writes, decision) in [
        (Writes::Drop, Decision::Refuse),
        (Writes::Pass, Decision::Pass),
        (Writes::Server(3), Decision::Single(3, Single::Write)),
    ] {
        let service = ruled(&[1, 2, 3], |rules| rules.writes = writes);
        assert_eq!(ask(&plain, &service, 0, &set), decision);
    }
    // Whoever is up, and even if nobody is.
    let service = ruled(&[], |rules| rules.writes = Writes::Server(3));
    let other = framed(2, "delete a\r\n");
    assert_eq!(
        ask(&plain, &service, 0, &other),
        Decision::Single(3, Single::Write)
    );
    assert_eq!(
        answer(&plain, &service, 0, 3, &framed(2, "DELETED\r\n")),
        Answer::Forward(Verdict::First)
    );
}

#[test]
fn what_is_not_cloned_says_why() {
    let plain = plain();
    let get = |id| framed(id, "get a\r\n");
    let alone = servers(&[5]);
    assert_eq!(
        ask(&plain, &alone, 0, &get(1)),
        Decision::Single(5, Single::Alone)
    );
    let off = ruled(&[1, 2], |rules| rules.cloning = false);
    assert_eq!(
        ask(&plain, &off, 0, &get(2)),
        Decision::Single(1, Single::Alone)
    );
    let two = servers(&[3, 4]);
    assert_eq!(
        ask(&plain, &two, 0, b"bad"),
        Decision::Single(3, Single::Malformed)
    );
    let once = ask(&plain, &two, 0, &framed(3, "stats\r\n"));
    assert_eq!(once, Decision::Single(3, Single::Once));
    let none = servers(&[]);
    assert_eq!(ask(&plain, &none, 0, &get(4)), Decision::NoServer);
    let request = plain.read_request(&two, &client(7), &get(5));
    let asking = Asking {
        service: &two,
        standing: &up(&two),
        candidates: up(&two).candidates(0),
        may_clone: false,
    };
    let single = plain.on_request(0, &request, &asking);
    assert_eq!(single, Decision::Single(3, Single::NoBuffer));
}

#[test]
fn x04_a_clone_without_a_buffer_is_taken_back() {
    let (plain, service) = (plain(), servers(&[1, 2]));
    let Decision::Clone { ticket, .. } = ask(&plain, &service, 0, &framed(1, "get a\r\n")) else {
        panic!("not cloned");
    };
    plain.retract(&ticket);
    assert_eq!([1, 2].map(|s| plain.loads().outstanding(s)), [1, 0]);
}

#[test]
fn x06_a_server_that_is_down_is_tried_with_clones() {
    let plain = plain();
    let live: ServerSet = [1].into_iter().collect();
    let service = servers(&[1, 2]);
    let down = [2].into_iter().collect();
    let standing = service.standing(&live, &down);
    let mut trials = 0;
    for id in 0..100 {
        // One a millisecond.
        let now = u64::from(id) * 1_000_000;
        match ask_of(&plain, &service, &standing, now, &framed(id, "get a\r\n")) {
            Decision::Clone {
                first: 1,
                second: 2,
                ..
            } => trials += 1,
            decision => assert_eq!(decision, Decision::Single(1, Single::Alone)),
        }
        let reply = answer(&plain, &service, now, 1, &framed(id, "END\r\n"));
        assert_eq!(reply, Answer::Forward(Verdict::First));
    }
    assert_eq!(trials, 10);
}

/// What a server that hung has to say afterwards is none of the client's, who may have the id in use again.
#[test]
fn x06_a_server_that_is_only_tried_never_answers_the_client() {
    let limits = Limits::default();
    let (plain, service) = (plain(), servers(&[1, 2]));
    let old = ask(&plain, &service, 0, &framed(5, "get a\r\n"));
    assert!(matches!(old, Decision::Clone { .. }));
    let reply = |now, server, id| answer(&plain, &service, now, server, &framed(id, "END\r\n"));
    assert_eq!(reply(0, 1, 5), Answer::Forward(Verdict::First));
    // Server 2 hangs until nobody knows of the request, and the id is in use by another.
    let (live, down) = ([1].into_iter().collect(), [2].into_iter().collect());
    let standing = service.standing(&live, &down);
    let now = limits.forget + 1;
    let answers = plain.silence().answers(2);
    assert_eq!(reply(now, 2, 5), Answer::Unknown);
    assert_eq!(plain.silence().answers(2), answers, "nothing it is back by");
    let new = ask_of(&plain, &service, &standing, now, &framed(5, "get b\r\n"));
    assert!(matches!(
        new,
        Decision::Clone {
            first: 1,
            second: 2,
            ..
        }
    ));
    assert_eq!(reply(now, 2, 5), Answer::Filter(Verdict::Stale));
    assert_eq!(plain.silence().answers(2), answers + 1);
    assert_eq!(reply(now, 1, 5), Answer::Forward(Verdict::First));
    assert_eq!([1, 2].map(|s| plain.loads().outstanding(s)), [0, 0]);
}

#[test]
fn x06_a_trial_without_a_buffer_is_no_load() {
    let (plain, service) = (plain(), servers(&[1, 2]));
    let (live, down) = ([1].into_iter().collect(), [2].into_iter().collect());
    let standing = service.standing(&live, &down);
    let both = ask_of(&plain, &service, &standing, 0, &framed(1, "get a\r\n"));
    let Decision::Clone { ticket, .. } = both else {
        panic!("{both:?}");
    };
    plain.retract(&ticket);
    assert_eq!([1, 2].map(|s| plain.loads().outstanding(s)), [1, 0]);
}

#[test]
fn x06_what_nobody_knows_of_a_server_that_is_down_is_too_late() {
    assert_eq!(Answer::Unknown.of_server_that_is_down(), Answer::TooLate);
    assert!(!Answer::TooLate.forwards());
    for answer in [
        Answer::Contended,
        Answer::Forward(Verdict::First),
        Answer::Filter(Verdict::Slower),
    ] {
        assert_eq!(answer.of_server_that_is_down(), answer);
    }
}

#[test]
fn b08_services_and_clients_do_not_share_ids() {
    let (plain, service) = (plain(), servers(&[1, 2]));
    let bytes = framed(1, "get a\r\n");
    let _ = ask(&plain, &service, 0, &bytes);
    let other = ruled(&[1, 2], |rules| rules.number = 1);
    let reply = framed(1, "END\r\n");
    let stranger = plain.read_reply(&service, &client(8), &reply).unwrap();
    assert_eq!(plain.on_reply(0, &stranger, 1), Answer::Unknown);
    assert_eq!(answer(&plain, &other, 0, 1, &reply), Answer::Unknown);
    // A server that was not asked cannot take the place of one that was.
    assert_eq!(
        answer(&plain, &service, 0, 3, &reply),
        Answer::Filter(Verdict::NotAsked)
    );
    assert_eq!(
        answer(&plain, &service, 0, 1, &reply),
        Answer::Forward(Verdict::First)
    );
}

#[test]
fn every_counter_has_a_name_of_its_own() {
    let mut names: Vec<_> = Counter::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names.get(Counter::GivenUp as usize),
        Some(&"plain_given_up")
    );
    assert!(names.iter().all(|name| name.starts_with("plain_")));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Counter::ALL.len());
}

/// A datagram on its way to server or client.
#[derive(Debug, Clone)]
struct Flight {
    client: usize,
    server: u8,
    id: u16,
    value: u64,
}

/// What a client waits for.
#[derive(Debug, Clone, Copy)]
struct Wait {
    id: u16,
    value: u64,
    since: u64,
}

/// Clients that wait for each answer before they ask again, with few ids; servers that take their time;
/// a network that loses and repeats. Time in microseconds.
struct World {
    plain: Plain,
    service: Service,
    random: u64,
    now: u64,
    flights: BTreeMap<(u64, u64), Flight>,
    queues: HashMap<u8, VecDeque<Flight>>,
    busy_until: HashMap<u8, u64>,
    waits: Vec<Option<Wait>>,
    asked: u64,
    flown: u64,
    right: u64,
    wrong: u64,
    twice: u64,
    loss: u64,
    ids: u16,
}

impl World {
    fn new(seed: u64, numbers: &[u8], clients: usize, loss: u64, ids: u16) -> World {
        World {
            plain: Plain::new(
                &Limits {
                    slots_log2: 8,
                    ..Limits::default()
                },
                [seed, 3],
            ),
            service: servers(numbers),
            random: seed | 1,
            now: 0,
            flights: BTreeMap::new(),
            queues: HashMap::new(),
            busy_until: HashMap::new(),
            waits: vec![None; clients],
            asked: 0,
            flown: 0,
            right: 0,
            wrong: 0,
            twice: 0,
            loss,
            ids,
        }
    }

    fn dice(&mut self, sides: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % sides
    }

    fn client(number: usize) -> Client {
        Client::new("192.0.2.9".parse().unwrap(), number as u16)
    }

    fn send(&mut self, client: usize, wait: Wait) {
        let bytes = framed(wait.id, &format!("get k{}\r\n", wait.value));
        let request = self
            .plain
            .read_request(&self.service, &World::client(client), &bytes);
        let standing = up(&self.service);
        let random = self.dice(u64::MAX).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let asking = Asking {
            service: &self.service,
            standing: &standing,
            candidates: standing.candidates(random),
            may_clone: true,
        };
        let targets = match self.plain.on_request(self.now * 1000, &request, &asking) {
            Decision::Clone {
                first,
                second,
                ticket,
            } => {
                if self.dice(20) == 0 {
                    self.plain.retract(&ticket);
                    vec![first]
                } else {
                    vec![first, second]
                }
            }
            Decision::Single(server, _) => vec![server],
            other => panic!("{other:?}"),
        };
        for server in targets {
            if self.dice(1000) < self.loss {
                continue;
            }
            let flight = Flight {
                client,
                server,
                id: wait.id,
                value: wait.value,
            };
            let queue = self.queues.entry(server).or_default();
            queue.push_back(flight);
        }
    }

    fn step(&mut self) {
        self.now += 10;
        for client in 0..self.waits.len() {
            match self.waits[client] {
                None => {
                    self.asked += 1;
                    let id = self.dice(u64::from(self.ids)) as u16;
                    let wait = Wait {
                        id,
                        value: self.asked,
                        since: self.now,
                    };
                    self.waits[client] = Some(wait);
                    self.send(client, wait);
                }
                Some(mut wait) if self.now - wait.since >= 5_000 => {
                    wait.since = self.now;
                    self.waits[client] = Some(wait);
                    self.send(client, wait);
                }
                Some(_) => {}
            }
        }
        for server in self.service.members.iter().collect::<Vec<_>>() {
            let free = self
                .busy_until
                .get(&server)
                .is_none_or(|until| *until <= self.now);
            let waiting = self.queues.get_mut(&server).and_then(VecDeque::pop_front);
            match waiting {
                Some(flight) if free => {
                    let slow = self.dice(50) == 0;
                    let done = self.now + if slow { 1_500 } else { 20 + self.dice(60) };
                    self.busy_until.insert(server, done);
                    if self.dice(1000) >= self.loss {
                        self.flown += 1;
                        self.flights.insert((done, self.flown), flight);
                    }
                }
                Some(flight) => self.queues.entry(server).or_default().push_front(flight),
                None => {}
            }
        }
        while let Some(entry) = self.flights.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let flight = entry.remove();
            self.arrive(&flight);
        }
        let mut cursor = self.now as usize;
        let _ = self.plain.sweep(self.now * 1000, &mut cursor, 8);
    }

    fn arrive(&mut self, flight: &Flight) {
        let bytes = framed(flight.id, "END\r\n");
        let client = World::client(flight.client);
        let reply = self
            .plain
            .read_reply(&self.service, &client, &bytes)
            .unwrap();
        if !self
            .plain
            .on_reply(self.now * 1000, &reply, flight.server)
            .forwards()
        {
            return;
        }
        match self.waits[flight.client] {
            Some(wait) if wait.id == flight.id && wait.value == flight.value => {
                self.right += 1;
                self.waits[flight.client] = None;
            }
            Some(wait) if wait.id == flight.id => self.wrong += 1,
            _ => self.twice += 1,
        }
    }
}

/// Without losses: every request has one right answer, and nothing else comes, even for clients that
/// use one id for everything.
#[test]
fn no_wrong_no_lost_no_duplicate_answer_in_a_world_without_loss() {
    for (seed, numbers, clients, ids) in [
        (1, &[1, 2, 3][..], 2, 1),
        (2, &[1, 2, 3][..], 8, 2),
        (3, &[1, 2][..], 1, 1),
        (4, &[1, 2, 3, 4, 5, 6][..], 3, 1000),
    ] {
        let mut world = World::new(seed, numbers, clients, 0, ids);
        for _ in 0..30_000 {
            world.step();
        }
        assert_eq!((world.wrong, world.twice), (0, 0), "{seed}");
        let waiting = world.waits.iter().flatten().count() as u64;
        assert_eq!(world.right, world.asked - waiting);
        assert!(world.right > 3_000, "{}", world.right);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// With losses and retransmissions, clients that use one id for everything included: all get their
    /// answer in the end, and never one to another question.
    #[test]
    fn x01_lost_datagrams_cost_time_and_nothing_else(
        seed: u64,
        count in 3..6_usize,
        clients in 1..6_usize,
        loss in 1..100_u64,
        ids in 1..100_u16,
    ) {
        let numbers: Vec<u8> = (0..count as u8).collect();
        let mut world = World::new(seed, &numbers, clients, loss, ids);
        // One client, and a tenth lost: each loss is a retransmission, 500 steps later.
        for _ in 0..60_000 {
            world.step();
        }
        prop_assert_eq!(world.wrong, 0);
        prop_assert!(world.right > 100, "{}", world.right);
        prop_assert_eq!(world.twice, 0);
        // Nothing new: everybody is answered, and the loads are nobody's.
        for _ in 0..10_000 {
            world.now += 100;
            if world.waits.iter().all(Option::is_none) {
                break;
            }
            let before = world.waits.clone();
            world.step();
            for (wait, before) in world.waits.iter_mut().zip(before) {
                if before.is_none() {
                    *wait = None;
                }
            }
        }
        let end = (world.now + 10_000_000) * 1000;
        let _ = world.plain.sweep(end, &mut 0, world.plain.table().slots());
        for server in 0..=255 {
            prop_assert_eq!(world.plain.loads().outstanding(server), 0);
        }
    }

    /// Bytes from outside, in both directions: no panic, and never a forward to a server that the
    /// service does not have.
    #[test]
    fn b01_any_bytes_go_to_a_server_of_the_service_or_nowhere(
        packets in proptest::collection::vec(
            (any::<bool>(), 0..4_u16, proptest::collection::vec(any::<u8>(), 0..60)), 0..100),
        which in 0..3_usize,
        writes in 0..3_u8,
    ) {
        let plain = plain();
        let protocol = Protocol::by_name(crate::plain::NAMES[which], false).unwrap();
        let mut service = ruled(&[1, 2, 3], |rules| rules.protocol = protocol);
        service.rules.writes = [Writes::Drop, Writes::Pass, Writes::Server(2)][usize::from(writes)];
        for (time, (is_reply, port, bytes)) in packets.iter().enumerate() {
            let now = time as u64 * 1_000_000;
            if *is_reply {
                if let Some(reply) = plain.read_reply(&service, &client(*port), bytes) {
                    let _ = plain.on_reply(now, &reply, 1 + (port % 3) as u8);
                }
                continue;
            }
            let request = plain.read_request(&service, &client(*port), bytes);
            let asking = Asking {
                service: &service,
                standing: &up(&service),
                candidates: up(&service).candidates(now.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                may_clone: true,
            };
            match plain.on_request(now, &request, &asking) {
                Decision::Clone { first, second, .. } => {
                    prop_assert!(first != second);
                    prop_assert!((1..=3).contains(&first) && (1..=3).contains(&second));
                }
                Decision::Single(server, _) => prop_assert!((1..=3).contains(&server)),
                Decision::Pass => prop_assert_eq!(service.rules.writes, Writes::Pass),
                Decision::Refuse => prop_assert_eq!(service.rules.writes, Writes::Drop),
                Decision::NoServer => prop_assert!(false),
            }
        }
    }
}
