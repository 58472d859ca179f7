//! The wheel against a sorted map that does the same the slow way.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3_600_000_000_000;
const NONE: [u64; 0] = [];

fn expired(wheel: &mut Wheel<u64>, now: u64) -> Vec<u64> {
    let mut tokens = Vec::new();
    wheel.poll(now, |timer| tokens.push(timer.payload));
    tokens
}

#[test]
fn expires_at_its_tick_and_not_before() {
    let mut wheel = Wheel::new(4, 1024);
    wheel.insert(10 * 1024, 1).unwrap();
    wheel.insert(10 * 1024 + 1, 2).unwrap();
    assert_eq!(expired(&mut wheel, 10 * 1024 - 1), NONE);
    assert_eq!(expired(&mut wheel, 10 * 1024), [1]);
    assert_eq!(expired(&mut wheel, 11 * 1024 - 1), NONE);
    assert_eq!(expired(&mut wheel, 11 * 1024), [2]);
    assert!(wheel.is_empty());
}

#[test]
fn tells_what_expired() {
    let mut wheel = Wheel::new(1, 1);
    let id = wheel.insert(77, "x").unwrap();
    let timer = wheel.pop(100).unwrap();
    assert_eq!(
        timer,
        Timer {
            id,
            deadline: 77,
            payload: "x"
        }
    );
    assert_eq!(wheel.pop(100), None);
}

#[test]
fn a_full_wheel_says_so_and_recovers() {
    let mut wheel = Wheel::new(2, 1);
    let first = wheel.insert(5, 1).unwrap();
    wheel.insert(5, 2).unwrap();
    let full = wheel.insert(5, 3).unwrap_err();
    assert_eq!(full.to_string(), "all 2 timers of the core are in use");
    assert_eq!(wheel.cancel(first), Some(1));
    wheel.insert(5, 4).unwrap();
    assert_eq!(expired(&mut wheel, 5), [2, 4]);
    assert_eq!(
        Wheel::new(0, 1).insert(1, ()),
        Err(WheelFull { capacity: 0 })
    );
}

#[test]
fn an_old_id_cancels_nothing() {
    let mut wheel = Wheel::new(1, 1);
    let old = wheel.insert(5, 1).unwrap();
    assert_eq!(wheel.cancel(old), Some(1));
    assert_eq!(wheel.cancel(old), None);
    let new = wheel.insert(6, 2).unwrap();
    assert_eq!(wheel.cancel(old), None, "the place is another timer's now");
    assert_eq!(expired(&mut wheel, 6), [2]);
    assert_eq!(wheel.cancel(new), None);
    assert_eq!(
        wheel.cancel(TimerId {
            index: 99,
            generation: 0
        }),
        None
    );
}

#[test]
fn order_of_insertion_within_a_tick_survives_moving_down() {
    let mut wheel = Wheel::new(8, 1);
    wheel.insert(5000, 1).unwrap();
    wheel.insert(5000, 2).unwrap();
    expired(&mut wheel, 4990);
    wheel.insert(5000, 3).unwrap();
    wheel.insert(4995, 0).unwrap();
    assert_eq!(expired(&mut wheel, 10_000), [0, 1, 2, 3]);
}

#[test]
fn one_jump_over_hours_keeps_the_order() {
    let mut wheel = Wheel::new(8, 1024);
    for (deadline, token) in [
        (90 * HOUR, 4),
        (1, 0),
        (3 * HOUR, 2),
        (65_000, 1),
        (50 * HOUR, 3),
    ] {
        wheel.insert(deadline, token).unwrap();
    }
    assert_eq!(expired(&mut wheel, 1000 * HOUR), [0, 1, 2, 3, 4]);
}

#[test]
fn a_timer_that_sets_itself_anew_does_not_hold_the_poll_up() {
    let mut wheel = Wheel::new(2, 1024);
    wheel.insert(0, ()).unwrap();
    for now in [1024, 2048, 1_048_576] {
        let mut rounds = 0;
        while wheel.pop(now).is_some() {
            wheel.insert(now, ()).unwrap();
            rounds += 1;
        }
        assert_eq!(rounds, 1, "at {now}");
    }
}

#[test]
fn the_end_of_time_is_reached() {
    for resolution in [1, 1024] {
        let mut wheel = Wheel::new(2, resolution);
        wheel.insert(u64::MAX, 1).unwrap();
        wheel.insert(u64::MAX - 1, 0).unwrap();
        assert_eq!(expired(&mut wheel, u64::MAX / 2), NONE);
        let mut tokens = expired(&mut wheel, u64::MAX);
        tokens.sort_unstable();
        assert_eq!(tokens, [0, 1]);
    }
}

#[test]
fn a_clock_that_goes_back_does_no_harm() {
    let mut wheel = Wheel::new(2, 1);
    wheel.insert(100, 1).unwrap();
    assert_eq!(expired(&mut wheel, 90), NONE);
    assert_eq!(expired(&mut wheel, 10), NONE);
    wheel.insert(20, 2).unwrap();
    assert_eq!(expired(&mut wheel, 95), [2]);
    assert_eq!(expired(&mut wheel, 100), [1]);
}

#[test]
fn sleeping_until_the_next_expiry_misses_nothing() {
    let mut wheel = Wheel::new(4, 1024);
    assert_eq!(wheel.next_expiry(), None);
    wheel.insert(5 * HOUR, 1).unwrap();
    let (mut wakes, mut now) = (0, 0);
    while !wheel.is_empty() {
        let next = wheel.next_expiry().unwrap();
        assert!(next > now && next < 5 * HOUR + 1024);
        now = next;
        expired(&mut wheel, now);
        wakes += 1;
    }
    assert!(now >= 5 * HOUR);
    assert!(wakes <= LEVELS, "{wakes} wake-ups");
}

/// What it should do: sorted by tick, then by insertion.
struct Model {
    shift: u32,
    capacity: usize,
    polled: u64,
    sequence: u64,
    timers: BTreeMap<(u64, u64), u64>,
}

impl Model {
    fn insert(&mut self, deadline: u64, token: u64) -> Option<(u64, u64)> {
        if self.timers.len() == self.capacity {
            return None;
        }
        let tick = u128::from(deadline).div_ceil(1 << self.shift) as u64;
        let tick = tick.max(self.polled + 1);
        self.sequence += 1;
        self.timers.insert((tick, self.sequence), token);
        Some((tick, self.sequence))
    }

    fn poll(&mut self, now: u64) -> Vec<u64> {
        self.polled = self.polled.max(now >> self.shift);
        let later = self.timers.split_off(&(self.polled + 1, 0));
        std::mem::replace(&mut self.timers, later)
            .into_values()
            .collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert {
        after: u64,
    },
    /// Inserts while timers are being popped, one for each that has expired.
    Rearm {
        advance: u64,
        after: u64,
    },
    Cancel {
        which: prop::sample::Index,
    },
    Advance {
        by: u64,
    },
    /// To the time the wheel says is the next, or just before it.
    ToNext {
        before: bool,
    },
}

/// Short and long times alike: uniform in the number of bits.
fn time(bits: u32) -> impl Strategy<Value = u64> {
    (0..=bits, any::<u64>()).prop_map(|(bits, x)| x & ((1u64 << bits) - 1))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => time(45).prop_map(|after| Step::Insert { after }),
        // Few distinct values, so that many fall into one tick.
        3 => (0u64..4).prop_map(|after| Step::Insert { after: after * 4096 }),
        1 => (time(30), time(20)).prop_map(|(advance, after)| Step::Rearm { advance, after }),
        3 => any::<prop::sample::Index>().prop_map(|which| Step::Cancel { which }),
        4 => time(46).prop_map(|by| Step::Advance { by }),
        2 => any::<bool>().prop_map(|before| Step::ToNext { before }),
    ];
    prop::collection::vec(step, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn does_what_a_sorted_map_does(steps in steps(), shift in 0u32..12, start in time(50)) {
        let capacity = 64;
        let mut wheel = Wheel::new(capacity, 1 << shift);
        let timers = BTreeMap::new();
        let mut model = Model { shift, capacity, polled: 0, sequence: 0, timers };
        let mut ids = Vec::new();
        let mut now = start;
        let mut token = 0;
        for step in steps {
            token += 1;
            match step {
                Step::Insert { after } => {
                    let ours = wheel.insert(now + after, token);
                    let theirs = model.insert(now + after, token);
                    prop_assert_eq!(ours.is_ok(), theirs.is_some());
                    ids.extend(ours.ok().zip(theirs));
                }
                Step::Rearm { advance, after } => {
                    now += advance;
                    let theirs = model.poll(now);
                    let mut ours = Vec::new();
                    while let Some(timer) = wheel.pop(now) {
                        ours.push(timer.payload);
                        // Both have room: one has just left. The model's are gone already.
                        let again = timer.payload + 1_000_000;
                        ids.extend(
                            wheel.insert(now + after, again).ok().zip(
                                model.insert(now + after, again)),
                        );
                    }
                    prop_assert_eq!(ours, theirs);
                }
                Step::Cancel { which } if !ids.is_empty() => {
                    let (ours, theirs) = *which.get(&ids);
                    prop_assert_eq!(wheel.cancel(ours), model.timers.remove(&theirs));
                }
                Step::Cancel { .. } => {}
                Step::Advance { by } => {
                    now += by;
                    prop_assert_eq!(expired(&mut wheel, now), model.poll(now));
                }
                Step::ToNext { before } => {
                    if let Some(next) = wheel.next_expiry() {
                        now = now.max(next - u64::from(before && next > 0));
                        prop_assert_eq!(expired(&mut wheel, now), model.poll(now));
                    }
                }
            }
            prop_assert_eq!(wheel.len(), model.timers.len());
            let first = model.timers.keys().next().map(|(tick, _)| tick << shift);
            prop_assert_eq!(wheel.next_expiry().is_some(), first.is_some());
            if let (Some(ours), Some(first)) = (wheel.next_expiry(), first) {
                prop_assert!(ours <= first, "would sleep through a timer");
            }
        }
        let rest = expired(&mut wheel, u64::MAX);
        prop_assert_eq!(rest, model.timers.into_values().collect::<Vec<_>>());
    }
}
