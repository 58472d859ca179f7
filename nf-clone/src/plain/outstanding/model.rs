//! All interleavings of replies and requests at one slot, by `loom`; run through
//! `tests/plain_model.rs`. The table has sets of one slot here.

use loom::sync::Arc;
use loom::thread;

use super::*;

const KEY: Key = Key { tag: 8, check: 3 };
const OTHER: Key = Key { tag: 16, check: 4 };

fn ask(key: Key, digest: u32, live: &ServerSet) -> Ask<'_> {
    Ask {
        key,
        digest,
        first: 0,
        second: Some(1),
        fixed: false,
        repeatable: true,
        clone: true,
        expect: Expect::Answer,
        live,
    }
}

fn everybody() -> ServerSet {
    (0..3).collect()
}

/// Answers that passed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Passed {
    /// Because they won.
    won: u32,
    /// Because the request was not known.
    unknown: u32,
    /// Because another core held the slot for too long.
    contended: u32,
}

impl Passed {
    fn of(answers: &[Known]) -> Passed {
        let count = |what: fn(&Known) -> bool| answers.iter().filter(|known| what(known)).count();
        Passed {
            won: count(|known| matches!(known, Known::Yes(verdict) if verdict.forwards())) as u32,
            unknown: count(|known| *known == Known::No) as u32,
            contended: count(|known| *known == Known::Contended) as u32,
        }
    }

    fn all(self) -> u32 {
        self.won + self.unknown + self.contended
    }
}

/// Two servers answer a cloned request, on a core each, while a third core does `meanwhile`; how many
/// answers passed, and how long the servers' queues are then.
fn race(
    age: u64,
    meanwhile: impl Fn(&Table, &Loads) + Clone + Send + Sync + 'static,
    check: fn(passed: Passed, loads: [u64; 2]),
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let shared = Arc::new((Table::new(0, 10, 100), Loads::new(3)));
        let live = everybody();
        let asked = shared.0.request(0, &ask(KEY, 1, &live), &shared.1);
        assert!(matches!(asked, Asked::Both(_)));
        let replies = [0, 1].map(|server| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (table, loads) = &*shared;
                table.reply(age, &KEY, server, Part::Whole, loads)
            })
        });
        meanwhile(&shared.0, &shared.1);
        let passed = Passed::of(&replies.map(|reply| reply.join().unwrap()));
        check(passed, [0, 1].map(|server| shared.1.outstanding(server)));
    });
}

/// One server won, and an answer passed beside it only if it waited for the slot in vain.
fn one_won(passed: Passed) {
    assert!(passed.won <= 1 && passed.unknown == 0, "{passed:?}");
    assert!(passed.all() >= 1, "{passed:?}");
    assert!(passed.won == 1 || passed.contended > 0, "{passed:?}");
}

#[test]
fn of_two_answers_exactly_one_passes() {
    race(
        1,
        |_, _| {},
        |passed, loads| {
            assert_eq!((passed.won, passed.all(), loads), (1, 1, [0, 0]));
        },
    );
}

/// The model notices when a reply is read, judged and written in steps.
#[test]
#[should_panic(expected = "both or none passed")]
fn two_steps_instead_of_one_exchange_are_noticed() {
    loom::model(|| {
        let shared = Arc::new((Table::new(0, 10, 100), Loads::new(3)));
        let live = everybody();
        let _ = shared.0.request(0, &ask(KEY, 1, &live), &shared.1);
        let replies = [0, 1].map(|server| {
            let shared = shared.clone();
            thread::spawn(move || {
                let slot = &shared.0.slots[0];
                let word = slot.word();
                let mut entry = word.entry();
                let (verdict, _) = entry.reply(server, Part::Whole);
                slot.word.store(word.with(&entry).0, Ordering::Release);
                verdict.forwards()
            })
        });
        let passed = replies.map(|reply| reply.join().unwrap());
        assert!(passed[0] != passed[1], "both or none passed");
    });
}

/// The client repeats its request meanwhile: one more server is asked, or one of the two again.
#[test]
fn of_two_answers_one_passes_while_the_client_retransmits() {
    race(
        1,
        |table, loads| {
            let asked = table.request(1, &ask(KEY, 1, &everybody()), loads);
            assert!(asked != Asked::Full);
        },
        |passed, _| one_won(passed),
    );
}

/// The client uses the id for something else meanwhile.
#[test]
fn of_two_answers_one_passes_while_the_id_is_used_again() {
    race(
        1,
        |table, loads| {
            let asked = table.request(1, &ask(KEY, 2, &everybody()), loads);
            assert!(asked != Asked::Full);
        },
        |passed, _| one_won(passed),
    );
}

/// A request of somebody else wants the slot, which is not to be had before both have answered.
#[test]
fn a_stranger_does_not_change_who_wins() {
    race(
        1,
        |table, loads| {
            let asked = table.request(1, &ask(OTHER, 1, &everybody()), loads);
            assert!(matches!(asked, Asked::Full | Asked::Both(_)));
        },
        |passed, loads| {
            assert_eq!((passed.won, passed.all()), (1, 1));
            assert!(loads == [0, 0] || loads == [1, 1], "{loads:?}");
        },
    );
}

/// The same when the request is late and its slot may be had: never no answer at all, and the loads
/// are the stranger's alone.
#[test]
fn an_entry_that_goes_away_meanwhile_loses_no_answer() {
    race(
        20,
        |table, loads| {
            let asked = table.request(20, &ask(OTHER, 1, &everybody()), loads);
            assert!(matches!(asked, Asked::Both(_) | Asked::Contended));
        },
        |passed, loads| {
            assert!(passed.won <= 1 && passed.all() >= 1, "{passed:?}");
            assert!(loads.iter().all(|load| *load <= 1), "{loads:?}");
        },
    );
}

/// The sweep gives the request up, or forgets it, meanwhile: what is subtracted is subtracted once.
#[test]
fn the_sweep_and_the_answers_agree_on_the_loads() {
    for now in [20, 100] {
        race(
            20,
            move |table, loads| {
                table.sweep(now, &mut 0, 1, loads);
            },
            |passed, loads| {
                assert!(passed.won <= 1 && passed.all() >= 1, "{passed:?}");
                assert_eq!(loads, [0, 0]);
            },
        );
    }
}

/// A clone that cannot be sent is taken back while the first server answers.
#[test]
fn taking_a_clone_back_and_an_answer_agree() {
    loom::model(|| {
        let shared = Arc::new((Table::new(0, 10, 100), Loads::new(3)));
        let live = everybody();
        let Asked::Both(ticket) = shared.0.request(0, &ask(KEY, 1, &live), &shared.1) else {
            panic!("not cloned");
        };
        let other = shared.clone();
        let reply = thread::spawn(move || other.0.reply(1, &KEY, 0, Part::Whole, &other.1));
        shared.0.retract(&ticket, &shared.1);
        assert_eq!(reply.join().unwrap(), Known::Yes(Verdict::First));
        assert_eq!([0, 1].map(|server| shared.1.outstanding(server)), [0, 0]);
    });
}

/// Two cores that get the same request at once and two that ask for different ones: each is told
/// something sensible, and the loads are what the table says.
#[test]
fn requests_that_meet_at_a_slot_leave_it_whole() {
    for other in [KEY, OTHER] {
        loom::model(move || {
            let shared = Arc::new((Table::new(0, 10, 100), Loads::new(3)));
            let second = shared.clone();
            let thread = thread::spawn(move || {
                let live = everybody();
                second.0.request(1, &ask(other, 1, &live), &second.1)
            });
            let live = everybody();
            let first = shared.0.request(1, &ask(KEY, 1, &live), &shared.1);
            let second = thread.join().unwrap();
            let both = |asked: &Asked| matches!(asked, Asked::Both(_));
            assert!(both(&first) || both(&second), "{first:?} {second:?}");
            shared.0.sweep(11, &mut 0, 1, &shared.1);
            assert_eq!([0, 1].map(|server| shared.1.outstanding(server)), [0, 0]);
        });
    }
}
