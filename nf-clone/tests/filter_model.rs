//! All interleavings of answers at a slot of the filter, by `loom`. Empty unless compiled with
//! `--cfg sluice_loom`, as `cargo xtask test` does:
//! `cargo rustc -p nf-clone --test filter_model -- --cfg sluice_loom`.
#![cfg(sluice_loom)]
// The modules are compiled here once more, and this file uses a part of them.
#![allow(dead_code)]

#[path = "../src/filter.rs"]
mod filter;
#[path = "../src/sync.rs"]
mod sync;

use filter::{Filter, Verdict};
use loom::sync::Arc;
use loom::thread;

/// Runs the answers of each thread in every interleaving and gives each time how many answers of each
/// request passed.
fn passes(threads: &'static [&'static [u64]], check: fn(passed: [usize; 3])) {
    loom::model(move || {
        let filter = Arc::new(Filter::new(1, 0).expect("memory"));
        let running: Vec<_> = threads
            .iter()
            .map(|answers| {
                let filter = filter.clone();
                thread::spawn(move || {
                    let passes = |&&id: &&u64| {
                        filter.respond(0, 0, id).expect("a table") != Verdict::Filtered
                    };
                    answers.iter().filter(passes).copied().collect::<Vec<_>>()
                })
            })
            .collect();
        let mut passed = [0; 3];
        for thread in running {
            for id in thread.join().expect("the thread ends") {
                passed[id as usize] += 1;
            }
        }
        check(passed);
    });
}

#[test]
fn f23_of_a_lone_pair_exactly_one_passes() {
    passes(&[&[1], &[1]], |passed| assert_eq!(passed, [0, 1, 0]));
}

#[test]
fn f23_with_a_collider_one_or_two_pass_but_never_none() {
    passes(&[&[1], &[1], &[2]], |[_, pair, collider]| {
        assert!((1..=2).contains(&pair));
        assert_eq!(collider, 1);
    });
}

#[test]
fn f23_of_two_colliding_pairs_at_most_two_are_redundant() {
    passes(&[&[1, 2], &[1, 2]], |[_, first, second]| {
        assert!(first >= 1 && second >= 1);
        assert!(first + second <= 4);
    });
    passes(&[&[1, 2], &[2, 1]], |[_, first, second]| {
        assert!(first >= 1 && second >= 1);
    });
}

#[test]
fn f17_of_two_answers_in_packets_one_server_is_complete() {
    loom::model(|| {
        let filter = Arc::new(Filter::new(1, 0).expect("memory"));
        let answer = |sid| {
            let filter = filter.clone();
            thread::spawn(move || {
                (0..2)
                    .filter(|&packet| {
                        filter.respond_packet(0, 0, 1, sid, packet, 2) != Some(Verdict::Filtered)
                    })
                    .count()
            })
        };
        let (one, other) = (answer(1), answer(2));
        let passed = [one, other].map(|thread| thread.join().expect("the thread ends"));
        assert!(passed == [2, 0] || passed == [0, 2], "{passed:?}");
    });
}
