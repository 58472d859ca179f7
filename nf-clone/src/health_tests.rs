//! Servers that die, hang, are slow, far away, and come back.

use super::*;

const PACE: Pace = Pace {
    interval_ns: 10_000_000,
    fail: 3,
    restore: 5,
    silence_ns: 50_000_000,
};

/// What a server is like for a while.
#[derive(Clone, Copy)]
struct Like {
    pongs: bool,
    requests_per_ms: u64,
    answers: bool,
}

const WELL: Like = Like {
    pongs: true,
    requests_per_ms: 100,
    answers: true,
};
const DEAD: Like = Like {
    pongs: false,
    requests_per_ms: 100,
    answers: false,
};
const HUNG: Like = Like {
    pongs: true,
    ..DEAD
};

struct World {
    health: Health,
    pace: Pace,
    seen: Now,
    pings: u64,
}

impl World {
    fn new(pace: Pace) -> World {
        let seen = Now {
            now: 1,
            forwarded: 0,
            answered: 0,
            ponged: 0,
        };
        World {
            health: Health::new(),
            pace,
            seen,
            pings: 0,
        }
    }

    /// Runs for so many milliseconds; gives when (ms from now) it changed, and to what.
    fn run(&mut self, ms: u64, like: Like) -> Vec<(u64, Option<Cause>)> {
        let mut changes = Vec::new();
        for at in 0..ms {
            let outcome = self.health.step(&self.pace, &self.seen);
            if let Some(change) = outcome.change {
                changes.push((at, change));
            }
            self.pings += u64::from(outcome.ping.is_some());
            if let (Some(ping), true) = (outcome.ping, like.pongs) {
                self.seen.ponged = ping;
            }
            self.seen.now += STEP_NS;
            // Nothing is sent to a server that is down.
            let requests = match self.health.down() {
                None => like.requests_per_ms,
                Some(_) => 0,
            };
            self.seen.forwarded += requests;
            self.seen.answered += if like.answers { requests } else { 0 };
        }
        changes
    }
}

#[test]
fn f22_a_dead_server_under_load_is_found_within_50_ms() {
    let mut world = World::new(PACE);
    assert_eq!(world.run(500, WELL), []);
    let changes = world.run(500, DEAD);
    let [(after, Some(Cause::Pings))] = changes[..] else {
        panic!("{changes:?}");
    };
    assert!(after < 50, "{after} ms");
}

#[test]
fn f22_a_dead_server_without_load_is_found_too() {
    let idle = Like {
        requests_per_ms: 0,
        ..WELL
    };
    let mut world = World::new(PACE);
    assert_eq!(world.run(500, idle), []);
    let changes = world.run(
        500,
        Like {
            pongs: false,
            ..idle
        },
    );
    assert_eq!(changes.len(), 1);
    assert!(changes[0].0 <= 40, "{changes:?}");
}

#[test]
fn f22_five_answers_in_a_row_bring_it_back() {
    let mut world = World::new(PACE);
    world.run(100, DEAD);
    assert_eq!(world.health.down(), Some(Cause::Pings));
    // Every other ping is answered: never five in a row.
    for _ in 0..20 {
        assert_eq!(world.run(10, WELL), []);
        assert_eq!(world.run(10, DEAD), []);
    }
    let changes = world.run(200, WELL);
    let [(after, None)] = changes[..] else {
        panic!("{changes:?}");
    };
    assert!((40..=70).contains(&after), "{after} ms");
}

#[test]
fn x06_a_server_that_hangs_is_found_by_its_silence() {
    let mut world = World::new(PACE);
    assert_eq!(world.run(500, WELL), []);
    let changes = world.run(900, HUNG);
    let [(after, Some(Cause::Silence))] = changes[..] else {
        panic!("{changes:?}");
    };
    assert!(after <= 70, "{after} ms");
    // It is tried again after a second, and found out again.
    let changes = world.run(1000, HUNG);
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes[1].0 - changes[0].0 <= 70, "{changes:?}");
    // The next time only after two seconds.
    assert_eq!(world.run(1100, HUNG), []);
    let changes = world.run(2000, WELL);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(world.health.down(), None);
}

#[test]
fn x06_without_a_limit_a_silent_server_that_answers_pings_stays() {
    let mut world = World::new(Pace {
        silence_ns: 0,
        ..PACE
    });
    assert_eq!(world.run(5000, HUNG), []);
}

#[test]
fn x06_a_slow_server_is_not_a_dead_one() {
    // A tenth of the answers, but some in every window.
    let mut world = World::new(PACE);
    for _ in 0..100 {
        let slow = Like {
            answers: false,
            ..WELL
        };
        assert_eq!(world.run(9, slow), []);
        assert_eq!(world.run(1, WELL), []);
    }
}

#[test]
fn without_pings_silence_tells_and_time_brings_back() {
    let mut world = World::new(Pace {
        interval_ns: 0,
        ..PACE
    });
    assert_eq!(world.run(200, WELL), []);
    let changes = world.run(100, DEAD);
    let [(after, Some(Cause::Silence))] = changes[..] else {
        panic!("{changes:?}");
    };
    assert!(after <= 60, "{after} ms");
    assert_eq!(world.pings, 0);
    let changes = world.run(2000, WELL);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].1, None);
}

/// A server so far away, and so many requests a step without an answer, for a while; gives when it
/// changed, and whether to up.
fn far(
    health: &mut Health,
    pace: &Pace,
    (round_trip_ms, requests): (u64, u64),
    (from_ms, ms): (u64, u64),
) -> Vec<(u64, bool)> {
    let mut under_way = std::collections::VecDeque::new();
    let mut seen = Now {
        now: 0,
        forwarded: 0,
        answered: 0,
        ponged: health.heard,
    };
    let mut changes = Vec::new();
    for at in from_ms..from_ms + ms {
        seen.now = at * STEP_NS;
        while under_way.front().is_some_and(|(due, _)| *due <= at) {
            seen.ponged = under_way.pop_front().map_or(0, |(_, number)| number);
        }
        let outcome = health.step(pace, &seen);
        if let Some(change) = outcome.change {
            changes.push((at, change.is_none()));
        }
        if let Some(number) = outcome.ping {
            under_way.push_back((at + round_trip_ms, number));
        }
        seen.forwarded += requests;
    }
    changes
}

#[test]
fn f22_a_server_farther_away_than_the_interval_is_up() {
    for round_trip_ms in [1, 9, 10, 11, 30, 44] {
        let changes = far(&mut Health::new(), &PACE, (round_trip_ms, 0), (1, 3000));
        assert_eq!(changes, [], "{round_trip_ms} ms");
    }
    // So far that it has not answered when judgement comes: up when it has answered five of the pings
    // that were sent from its first answer on.
    for round_trip_ms in [60, 200, 600] {
        let changes = far(&mut Health::new(), &PACE, (round_trip_ms, 0), (1, 5000));
        let [(_, false), (up, true)] = changes[..] else {
            panic!("{round_trip_ms} ms: {changes:?}");
        };
        assert!(
            up < 2 * round_trip_ms + 60,
            "{round_trip_ms} ms: {changes:?}"
        );
    }
}

#[test]
fn f22_a_server_that_dies_far_away_is_found_too_and_one_that_moves_away_is_not() {
    let mut health = Health::new();
    assert_eq!(far(&mut health, &PACE, (40, 0), (1, 2000)), []);
    let changes = far(&mut health, &PACE, (1_000_000, 0), (2001, 1000));
    let [(down, false)] = changes[..] else {
        panic!("{changes:?}");
    };
    assert!(down < 2001 + 150, "{changes:?}");
    // A little farther than it was.
    let mut health = Health::new();
    assert_eq!(far(&mut health, &PACE, (4, 0), (1, 2000)), []);
    assert_eq!(far(&mut health, &PACE, (12, 0), (2001, 2000)), []);
}

#[test]
fn f22_a_server_under_load_is_not_down_because_its_pings_take_longer_than_a_step() {
    // It answers no requests for a while, which makes it a suspect, and pings after 5 ms.
    let mut health = Health::new();
    let pace = Pace {
        silence_ns: 0,
        ..PACE
    };
    assert_eq!(far(&mut health, &pace, (5, 100), (1, 1000)), []);
    assert!(health.is_suspect());
}

#[test]
fn x06_answers_to_a_server_that_had_the_number_before_do_not_count() {
    let mut health = Health::new();
    let mut seen = Now {
        now: 1,
        forwarded: 0,
        answered: 0,
        ponged: 5000,
    };
    let mut changes = Vec::new();
    for _ in 0..200 {
        changes.extend(health.step(&PACE, &seen).change);
        seen.now += STEP_NS;
    }
    assert_eq!(changes, [Some(Cause::Pings)]);
}

#[test]
fn x13_time_that_stands_still_or_jumps_does_no_harm() {
    let mut world = World::new(PACE);
    world.run(100, WELL);
    for _ in 0..1000 {
        assert_eq!(world.health.step(&world.pace, &world.seen).change, None);
    }
    // An hour passes in which nothing ran: one missed ping at most.
    world.seen.now += 3_600_000_000_000;
    assert_eq!(world.run(100, WELL), []);
}
