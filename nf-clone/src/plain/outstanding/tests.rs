//! The table: what it keeps, what it gives up, and what several cores do to it at once.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::*;
use proptest::prelude::*;

const TIMEOUT: u64 = 100;
const FORGET: u64 = 1_000;

fn table(slots_log2: u32) -> (Table, Loads) {
    (Table::new(slots_log2, TIMEOUT, FORGET), Loads::new(8))
}

fn key(number: u64) -> Key {
    Key {
        tag: number,
        check: number as u32,
    }
}

fn everybody() -> ServerSet {
    (0..=255).collect()
}

fn ask(number: u64, live: &ServerSet) -> Ask<'_> {
    Ask {
        key: key(number),
        digest: number as u32,
        first: 1,
        second: Some(2),
        fixed: false,
        repeatable: true,
        clone: true,
        expect: Expect::Answer,
        live,
    }
}

fn reply(table: &Table, loads: &Loads, now: u64, number: u64, server: u8) -> Known {
    table.reply(now, &key(number), server, Part::Whole, loads)
}

#[test]
fn one_answer_passes_and_the_loads_follow() {
    let live = everybody();
    let (table, loads) = table(6);
    assert!(matches!(
        table.request(0, &ask(5, &live), &loads),
        Asked::Both(_)
    ));
    assert_eq!([1, 2].map(|s| loads.outstanding(s)), [1, 1]);
    assert_eq!(reply(&table, &loads, 1, 5, 2), Known::Yes(Verdict::First));
    assert_eq!([1, 2].map(|s| loads.outstanding(s)), [1, 0]);
    assert_eq!(reply(&table, &loads, 2, 5, 1), Known::Yes(Verdict::Slower));
    assert_eq!([1, 2].map(|s| loads.outstanding(s)), [0, 0]);
    assert_eq!(reply(&table, &loads, 2, 6, 1), Known::No);
}

#[test]
fn keys_are_compared_whole() {
    let live = everybody();
    let (table, loads) = table(6);
    let _ = table.request(0, &ask(5, &live), &loads);
    for other in [
        Key {
            tag: 5 | 1 << 60,
            check: 5,
        },
        Key { tag: 5, check: 6 },
    ] {
        assert_eq!(table.reply(0, &other, 1, Part::Whole, &loads), Known::No);
    }
}

#[test]
fn x01_lost_answers_stop_counting_and_are_forgotten() {
    let live = everybody();
    let (table, loads) = table(6);
    let _ = table.request(0, &ask(5, &live), &loads);
    let mut cursor = 0;
    assert_eq!(
        table.sweep(TIMEOUT - 1, &mut cursor, 64, &loads),
        Swept::default()
    );
    let swept = table.sweep(TIMEOUT, &mut cursor, 64, &loads);
    assert_eq!(
        swept,
        Swept {
            given_up: 1,
            forgotten: 0
        }
    );
    assert_eq!([1, 2].map(|s| loads.outstanding(s)), [0, 0]);
    // Given up is not forgotten: the two late answers are one.
    assert_eq!(reply(&table, &loads, 500, 5, 1), Known::Yes(Verdict::First));
    assert_eq!(
        reply(&table, &loads, 500, 5, 2),
        Known::Yes(Verdict::Slower)
    );
    assert_eq!(table.occupied(), 1);
    assert_eq!(table.sweep(FORGET, &mut cursor, 64, &loads).forgotten, 1);
    assert_eq!(table.occupied(), 0);
    assert_eq!([1, 2].map(|s| loads.outstanding(s)), [0, 0]);
}

#[test]
fn what_is_forgotten_passes_even_before_the_sweep() {
    let live = everybody();
    let (table, loads) = table(6);
    let _ = table.request(0, &ask(5, &live), &loads);
    assert_eq!(reply(&table, &loads, FORGET, 5, 1), Known::No);
    // The slot is taken again, and what it counted goes.
    let _ = table.request(FORGET, &ask(5, &live), &loads);
    assert_eq!([1, 2].map(|s| loads.outstanding(s)), [1, 1]);
}

#[test]
fn x13_a_core_whose_clock_is_behind_does_no_harm() {
    let live = everybody();
    let (table, loads) = table(6);
    let _ = table.request(5_000, &ask(5, &live), &loads);
    assert_eq!(table.sweep(0, &mut 0, 64, &loads), Swept::default());
    assert_eq!(reply(&table, &loads, 0, 5, 1), Known::Yes(Verdict::First));
}

#[test]
fn b16_a_flood_fills_the_table_and_requests_pass_unrecorded() {
    let live = everybody();
    let (table, loads) = table(6);
    let outcomes: Vec<_> = (0..10_000)
        .map(|number| table.request(0, &ask(number, &live), &loads))
        .collect();
    assert_eq!(
        outcomes
            .iter()
            .filter(|o| matches!(o, Asked::Both(_)))
            .count(),
        64
    );
    assert_eq!(
        outcomes.iter().filter(|o| **o == Asked::Full).count(),
        10_000 - 64
    );
    assert_eq!(loads.outstanding(1), 64);
    // Others get in when those had their time, without a sweep.
    assert!(matches!(
        table.request(TIMEOUT, &ask(77_777, &live), &loads),
        Asked::Both(_)
    ));
    assert_eq!(loads.outstanding(1), 64);
    assert_eq!(
        reply(&table, &loads, TIMEOUT, 77_777, 1),
        Known::Yes(Verdict::First)
    );
}

#[test]
fn the_least_useful_entry_goes_first() {
    let live = everybody();
    let (table, loads) = table(3);
    // Eight slots: unanswered 0 to 3, answered by one 4 to 6, settled 7.
    for number in 0..8 {
        let _ = table.request(number, &ask(number, &live), &loads);
        if number >= 4 {
            reply(&table, &loads, number, number, 1);
        }
    }
    reply(&table, &loads, 8, 7, 2);
    let known = |now, number| reply(&table, &loads, now, number, 2) != Known::No;
    let _ = table.request(20, &ask(100, &live), &loads);
    assert!(!known(20, 7));
    assert_eq!(table.request(20, &ask(101, &live), &loads), Asked::Full);
    for expected in [4, 5, 6, 0, 1] {
        assert!(matches!(
            table.request(110, &ask(200 + expected, &live), &loads),
            Asked::Both(_)
        ));
        assert!(
            (0..7)
                .filter(|n| *n < 4)
                .all(|n| n <= expected || expected >= 4 || known(110, n))
        );
    }
    assert_eq!(table.occupied(), 8);
}

#[test]
fn the_same_request_again_is_a_retransmission_and_another_one_follows() {
    let live = everybody();
    let (table, loads) = table(6);
    let single = Ask {
        clone: false,
        ..ask(5, &live)
    };
    assert_eq!(table.request(0, &single, &loads), Asked::First);
    assert_eq!(table.request(1, &single, &loads), Asked::Retry(2));
    let other = Ask {
        digest: 99,
        ..single
    };
    assert_eq!(table.request(2, &other, &loads), Asked::Follow(1));
    let unrepeatable = Ask {
        repeatable: false,
        ..other
    };
    assert_eq!(table.request(3, &unrepeatable, &loads), Asked::Follow(1));
    assert_eq!(loads.outstanding(1), 3);
    assert_eq!(table.occupied(), 1);
}

#[test]
fn an_id_is_free_again_when_everybody_has_answered() {
    let live = everybody();
    let (table, loads) = table(6);
    for now in 0..1000 {
        let asked = table.request(
            now,
            &Ask {
                digest: now as u32,
                ..ask(5, &live)
            },
            &loads,
        );
        assert!(matches!(asked, Asked::Both(_)));
        assert_eq!(reply(&table, &loads, now, 5, 1), Known::Yes(Verdict::First));
        assert_eq!(
            reply(&table, &loads, now, 5, 2),
            Known::Yes(Verdict::Slower)
        );
    }
    assert_eq!(table.occupied(), 1);
}

#[test]
fn x04_a_clone_is_taken_back_only_from_its_own_request() {
    let live = everybody();
    let (table, loads) = table(6);
    let Asked::Both(old) = table.request(0, &ask(5, &live), &loads) else {
        panic!("not cloned");
    };
    table.retract(&old, &loads);
    assert_eq!([1, 2].map(|s| loads.outstanding(s)), [1, 0]);
    assert_eq!(reply(&table, &loads, 1, 5, 1), Known::Yes(Verdict::First));
    let _ = table.request(2, &ask(5, &live), &loads);
    table.retract(&old, &loads);
    assert_eq!([1, 2].map(|s| loads.outstanding(s)), [1, 1]);
    table.retract(
        &Ticket {
            slot: usize::MAX,
            generation: 0,
        },
        &loads,
    );
}

/// Two cores bring the answers of two servers, a third asks and sweeps. A client's id is used again and
/// again; of the answers to each request one server's pass.
#[test]
fn x02_cores_that_race_let_one_answer_pass() {
    const ROUNDS: u64 = 20_000;
    const KEYS: u64 = 4;
    let live = everybody();
    let table = Table::new(3, u64::MAX, u64::MAX);
    let loads = Loads::new(8);
    let passed: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let barrier = Barrier::new(3);
    thread::scope(|scope| {
        for server in [1, 2] {
            let (table, loads, passed, barrier) = (&table, &loads, &passed, &barrier);
            scope.spawn(move || {
                for _ in 0..ROUNDS / 100 {
                    barrier.wait();
                    for number in 0..KEYS {
                        match reply(table, loads, 0, number, server) {
                            Known::Yes(verdict) if verdict.forwards() => {
                                passed[number as usize].fetch_add(1, Ordering::Relaxed);
                            }
                            Known::Yes(_) => {}
                            unknown => panic!("{unknown:?}"),
                        }
                    }
                    barrier.wait();
                }
            });
        }
        for round in 0..ROUNDS / 100 {
            for number in 0..KEYS {
                let asked = table.request(0, &ask(number, &live), &loads);
                assert!(matches!(asked, Asked::Both(_)), "{asked:?}");
            }
            barrier.wait();
            let mut cursor = 0;
            for _ in 0..10 {
                table.sweep(0, &mut cursor, 8, &loads);
            }
            barrier.wait();
            for count in &passed {
                assert_eq!(count.load(Ordering::Relaxed), round + 1);
            }
        }
    });
    assert_eq!([1, 2].map(|s| loads.outstanding(s)), [0, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any calls in any order: loads return to zero, the table stays within its memory.
    #[test]
    fn x03_loads_return_to_zero_whatever_happens(
        steps in proptest::collection::vec((0..40_u64, 0..5_u8, 0..6_u8, 0..40_u64), 1..400),
    ) {
        let live = everybody();
        let (table, loads) = table(4);
        let (mut now, mut cursor) = (0, 0);
        for (number, what, server, wait) in steps {
            now += wait;
            let first = server;
            let request = Ask { first, second: Some((server + 1) % 6), ..ask(number, &live) };
            match what {
                0 => drop(table.request(now, &request, &loads)),
                1 => if let Asked::Both(ticket) = table.request(now, &request, &loads) {
                    table.retract(&ticket, &loads);
                },
                2 => drop(table.request(now, &Ask { digest: wait as u32, clone: false, ..request }, &loads)),
                3 => drop(table.sweep(now, &mut cursor, 3, &loads)),
                _ => drop(reply(&table, &loads, now, number, server)),
            }
            prop_assert!((0..8).all(|server| loads.outstanding(server) < 1000));
        }
        prop_assert!(table.occupied() <= table.slots());
        table.sweep(now + FORGET, &mut cursor, table.slots(), &loads);
        prop_assert_eq!(table.occupied(), 0);
        for server in 0..8 {
            prop_assert_eq!(loads.outstanding(server), 0);
        }
    }
}
