//! The pipeline on real cores, with actors moved about while it runs, against a reference.

use std::collections::HashMap;

use analytics::tuples::{self, Entry, Word};
use analytics::{Analytics, Settings, deploy};
use nf_core::chain::actor::{Side, Transfer, Udp};
use nf_core::testing::{ActorBench, Frame};
use nf_core::wire::{Layers, MacAddr};

const PORT: u16 = 6000;
const GATHERER: &str = "10.0.0.9:6001";
const TOP: usize = 10;

fn settings(slot_ns: u64, transfer: Transfer) -> Settings {
    let gatherer = Udp {
        source_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        destination_mac: MacAddr([2, 0, 0, 0, 0, 9]),
        source: "10.0.0.2:6000".parse().expect("an address"),
        destination: GATHERER.parse().expect("an address"),
        ttl: 64,
    };
    Settings {
        port: PORT,
        prefix: (*b"#").into(),
        slot_ns,
        report_ns: 2_000_000,
        top: TOP,
        cached: 32,
        gatherer: (gatherer, ActorBench::SERVERS),
        transfer,
    }
}

/// Numbers that look as if by chance.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// What clients send, and what should come of it.
struct Source {
    random: Random,
    interesting: HashMap<Word, u64>,
    total: u64,
    packets: u64,
}

impl Source {
    /// A datagram of some words, and what it adds to the counts.
    fn frame(&mut self) -> (Vec<u8>, Vec<Word>) {
        let count = 1 + self.random.below(20);
        let words = (0..count).map(|_| {
            // Some words are said much more than others.
            let which = self.random.below(200) * self.random.below(200) / 200;
            let mark = if self.random.below(3) == 0 { "" } else { "#" };
            tuples::word(&format!("{mark}word{which}"))
        });
        let words: Vec<Word> = words.collect();
        let frame = Frame::udp("10.0.0.1:1000", &format!("10.0.0.2:{PORT}"))
            .payload(&tuples::payload(&words))
            .build();
        (frame, words)
    }

    /// Sends one, if there is room.
    fn send(&mut self, bench: &mut ActorBench) -> bool {
        let (frame, words) = self.frame();
        if !bench.send(ActorBench::CLIENTS, &frame) {
            return false;
        }
        self.packets += 1;
        for word in words.into_iter().filter(|word| word[0] == b'#') {
            *self.interesting.entry(word).or_default() += 1;
            self.total += 1;
        }
        true
    }

    /// The reference: the words said most.
    fn top(&self) -> Vec<Entry> {
        let entries = self.interesting.iter();
        let mut entries: Vec<Entry> = entries
            .map(|(word, count)| Entry::new(*word, *count))
            .collect();
        entries.sort_by(Entry::ranks);
        entries.truncate(TOP);
        entries
    }
}

/// Ranks that arrived at the gatherer.
#[derive(Debug, Clone, PartialEq)]
struct Arrived {
    number: u32,
    total: u64,
    top: Vec<Entry>,
}

fn arrived(bench: &mut ActorBench) -> Vec<Arrived> {
    let frames = bench.received(ActorBench::SERVERS);
    let read = frames.iter().map(|frame| {
        let layers = Layers::parse(frame).expect("sound");
        let header = layers.ipv4(frame).expect("IPv4");
        let port = layers.ports(frame).expect("UDP").1;
        assert_eq!(format!("{}:{port}", header.destination()), GATHERER);
        let (head, top) = tuples::report(layers.payload(frame)).expect("ranks");
        Arrived {
            number: head.number(),
            total: head.total(),
            top: top.to_vec(),
        }
    });
    read.collect()
}

/// Ranker, counter and filter go to and fro while tuples come in; in the end the ranks are those of the reference.
fn runs_while_actors_move(transfer: Transfer) {
    let mut bench = ActorBench::new(2);
    // So long that nothing is forgotten while the test runs.
    let settings = settings(1_000_000_000_000, transfer);
    let Analytics {
        filter,
        counter,
        ranker,
    } = deploy(&bench.actors, &settings).expect("room");
    let mut source = Source {
        random: Random(42),
        interesting: HashMap::new(),
        total: 0,
        packets: 0,
    };
    let mut got: Vec<Arrived> = Vec::new();
    let mut turn = |bench: &mut ActorBench, source: &mut Source| {
        // Never more than the mailboxes take.
        let done = bench.counted("filter");
        let passed = done.dropped.sum();
        let counted = bench.counted("counter").dropped.sum();
        if source.packets < passed + counted + 200 {
            source.send(bench);
        }
        got.extend(arrived(bench));
        got.len()
    };
    for round in 0..12 {
        for actor in [ranker, counter, filter] {
            let away = bench.place(actor) != Some(nf_core::sched::policy::Place::Fcfs);
            let side = if away {
                Side::Packet
            } else {
                Side::Worker(Some(round % 2))
            };
            bench.move_to(actor, side, |bench| {
                turn(bench, &mut source);
            });
            let enough = turn(&mut bench, &mut source) + 2;
            bench.until("ranks", |bench| turn(bench, &mut source) >= enough);
        }
    }
    assert!(source.total > 1000, "{}", source.total);
    let total = source.total;
    bench.until("all words", |bench| {
        got.extend(arrived(bench));
        got.last().is_some_and(|last| last.total == total)
    });
    let last = got.last().expect("ranks");
    assert_eq!(last.top, source.top());
    // Every report arrived once, in order, and none took anything back.
    assert!(
        got.iter()
            .map(|ranks| ranks.number)
            .eq(1..=got.len() as u32)
    );
    assert!(got.is_sorted_by_key(|ranks| ranks.total));
    assert_eq!(bench.counted("counter").custom.get("words"), total);
    assert_eq!(bench.counted("chain").dropped.sum(), 0);
    for actor in ["filter", "counter", "ranker"] {
        bench.until("rest", |bench| bench.counted(actor).held() == 0);
    }
    bench.end();
}

#[test]
fn ip55_analytics_ranks_as_the_reference_while_its_actors_are_handed_over() {
    runs_while_actors_move(Transfer::Handoff);
}

#[test]
fn ip55_analytics_ranks_as_the_reference_while_its_actors_are_copied() {
    runs_while_actors_move(Transfer::Copy);
}

#[test]
fn ip55_words_are_forgotten_when_the_window_has_passed() {
    let mut bench = ActorBench::new(1);
    let Analytics { counter, .. } =
        deploy(&bench.actors, &settings(10_000_000, Transfer::Copy)).expect("room");
    let frame = Frame::udp("10.0.0.1:1000", &format!("10.0.0.2:{PORT}"))
        .payload(&tuples::payload(&[tuples::word("#now"); 3]))
        .build();
    bench.until("room", |bench| bench.send(ActorBench::CLIENTS, &frame));
    let (mut got, mut was_there) = (Vec::new(), false);
    bench.move_to(counter, Side::Worker(None), |_| {});
    bench.until("the word, and its end", |bench| {
        got.extend(arrived(bench));
        let there = |ranks: &Arrived| ranks.top == [Entry::new(tuples::word("#now"), 3)];
        was_there = was_there || got.iter().any(there);
        was_there
            && got
                .last()
                .is_some_and(|last| last.top.is_empty() && last.total == 0)
    });
    bench.end();
}

#[test]
fn what_is_not_for_the_pipeline_is_dropped_or_passes() {
    let mut bench = ActorBench::new(0);
    deploy(&bench.actors, &settings(1_000_000_000, Transfer::Handoff)).expect("room");
    let to = format!("10.0.0.2:{PORT}");
    let send = |bench: &mut ActorBench, payload: &[u8]| {
        let frame = Frame::udp("10.0.0.1:1000", &to).payload(payload).build();
        bench.until("room", |bench| bench.send(ActorBench::CLIENTS, &frame));
        frame
    };
    // More words than there are, and none that begins as it should.
    send(&mut bench, b"RTA1\x00\x09\x00\x00#word");
    send(&mut bench, &tuples::payload(&[tuples::word("word")]));
    let other = send(&mut bench, b"RTA2");
    bench.until("both drops", |bench| {
        let dropped = bench.counted("filter").dropped;
        (dropped.get("malformed"), dropped.get("uninteresting")) == (1, 1)
    });
    let mut passed = false;
    bench.until("the other", |bench| {
        passed |= bench.received(ActorBench::SERVERS).contains(&other);
        passed
    });
    bench.end();
}
