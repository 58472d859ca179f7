//! What an entry says, alone and against a client and its servers that are simulated.

use super::*;
use proptest::prelude::*;

fn everybody() -> ServerSet {
    (0..=255).collect()
}

fn choice(live: &ServerSet, first: u8, second: u8) -> Choice<'_> {
    Choice {
        first,
        second: Some(second),
        fixed: false,
        live,
        expect: Expect::Answer,
    }
}

fn same_load(_: u8) -> u64 {
    0
}

fn verdict(entry: &mut Entry, server: u8) -> Verdict {
    entry.reply(server, Part::Whole).0
}

#[test]
fn the_first_of_two_answers_wins_and_the_other_loses() {
    for (fast, slow) in [(1, 2), (2, 1)] {
        let (mut entry, shift) = Entry::pair(1, 2, Expect::Answer);
        assert_eq!(shift.iter().collect::<Vec<_>>(), [(1, 1), (2, 1)]);
        let (first, shift) = entry.reply(fast, Part::Whole);
        assert_eq!(
            (first, shift.iter().next()),
            (Verdict::First, Some((fast, -1)))
        );
        assert!(!entry.is_settled());
        let (second, shift) = entry.reply(slow, Part::Whole);
        assert_eq!(
            (second, shift.iter().next()),
            (Verdict::Slower, Some((slow, -1)))
        );
        assert!(entry.is_settled() && !entry.is_pending());
    }
}

#[test]
fn x02_duplicates_of_either_answer_are_filtered() {
    let (mut entry, _) = Entry::pair(1, 2, Expect::Answer);
    assert_eq!(verdict(&mut entry, 1), Verdict::First);
    assert_eq!(verdict(&mut entry, 1), Verdict::Duplicate);
    assert_eq!(verdict(&mut entry, 2), Verdict::Slower);
    assert_eq!(verdict(&mut entry, 2), Verdict::Slower);
    assert_eq!(verdict(&mut entry, 1), Verdict::Duplicate);
    assert_eq!(verdict(&mut entry, 3), Verdict::NotAsked);
}

#[test]
fn answers_of_many_datagrams_are_never_mixed() {
    let (mut entry, _) = Entry::pair(1, 2, Expect::Answer);
    // In any order within one server: the winner is who was heard first at all.
    assert_eq!(entry.reply(2, Part::Later).0, Verdict::First);
    assert_eq!(entry.reply(1, Part::First).0, Verdict::Slower);
    assert_eq!(entry.reply(2, Part::First).0, Verdict::Further);
    assert_eq!(entry.reply(1, Part::Later).0, Verdict::Slower);
    assert_eq!(entry.reply(2, Part::Later).0, Verdict::Further);
    assert!(!entry.is_settled(), "where they end is not known");
    assert!(!entry.is_pending());
}

#[test]
fn answers_that_do_not_say_where_they_end_are_never_mixed_nor_cut() {
    let live = everybody();
    let (mut entry, _) = Entry::pair(1, 2, Expect::Answers);
    assert_eq!(verdict(&mut entry, 2), Verdict::First);
    for _ in 0..9 {
        assert_eq!(verdict(&mut entry, 1), Verdict::Slower);
        assert_eq!(verdict(&mut entry, 2), Verdict::Further);
    }
    assert!(!entry.is_pending());
    assert_eq!(entry.follow(&choice(&live, 1, 2)).0, 2);
}

#[test]
fn a_slower_answer_is_not_taken_for_one_to_the_next_request_of_the_same_id() {
    let live = everybody();
    let (mut entry, _) = Entry::pair(1, 2, Expect::Answer);
    assert_eq!(verdict(&mut entry, 1), Verdict::First);
    // The client is content and uses the id again; 2 has not answered yet.
    let (target, _) = entry.follow(&choice(&live, 2, 1));
    assert_eq!(target, 1, "not whose old answer is still to come");
    assert_eq!(verdict(&mut entry, 2), Verdict::Stale);
    assert_eq!(verdict(&mut entry, 1), Verdict::First);
    assert!(entry.is_settled());
}

#[test]
fn where_only_the_slower_server_is_left_its_answers_are_taken_in_order() {
    let mut live = everybody();
    let (mut entry, _) = Entry::pair(1, 2, Expect::Answer);
    verdict(&mut entry, 1);
    live.remove(1);
    let only = Choice {
        second: None,
        ..choice(&live, 2, 2)
    };
    assert_eq!(entry.follow(&only).0, 2);
    assert_eq!(verdict(&mut entry, 2), Verdict::Stale);
    assert_eq!(verdict(&mut entry, 2), Verdict::First);
    assert!(entry.is_settled());
}

#[test]
fn debts_that_cannot_be_counted_do_not_hide_the_only_server() {
    let mut live = everybody();
    let (mut entry, _) = Entry::pair(1, 2, Expect::Answer);
    verdict(&mut entry, 1);
    entry.reply(2, Part::First);
    live.remove(1);
    let only = Choice {
        second: None,
        ..choice(&live, 2, 2)
    };
    assert_eq!(entry.follow(&only).0, 2);
    assert_eq!(verdict(&mut entry, 2), Verdict::First);
}

#[test]
fn a_client_that_does_not_wait_stays_with_one_server() {
    let live = everybody();
    let (mut entry, _) = Entry::pair(1, 2, Expect::Answer);
    assert_eq!(entry.follow(&choice(&live, 3, 4)).0, 1);
    assert_eq!(entry.follow(&choice(&live, 4, 3)).0, 1);
    assert_eq!(verdict(&mut entry, 2), Verdict::Stale);
    for _ in 0..3 {
        assert!(verdict(&mut entry, 1).forwards());
    }
    assert_eq!(verdict(&mut entry, 1), Verdict::Duplicate);
    assert!(entry.is_settled());
}

#[test]
fn a_retransmission_asks_another_server_and_any_answer_is_good() {
    let live = everybody();
    for answers in [1, 2] {
        let (mut entry, _) = Entry::single(1, Expect::Answer);
        let (target, shift) = entry.retry(&choice(&live, 1, 2), same_load);
        assert_eq!((target, shift.iter().next()), (2, Some((2, 1))));
        assert_eq!(verdict(&mut entry, answers), Verdict::First);
        assert_eq!(verdict(&mut entry, 3 - answers), Verdict::Slower);
    }
}

#[test]
fn x06_a_retransmission_avoids_a_server_that_is_down() {
    let mut live = everybody();
    live.remove(1);
    let (mut entry, _) = Entry::pair(1, 2, Expect::Answer);
    assert_eq!(entry.retry(&choice(&live, 3, 4), same_load).0, 2);
    live.remove(2);
    let (target, shift) = entry.retry(&choice(&live, 3, 4), same_load);
    assert_eq!(target, 3);
    // Whoever is not in the entry any more is nobody's load.
    let total: i8 = shift.iter().map(|(_, by)| by).sum();
    assert!(entry.holds(3) && total <= 0, "{shift:?}");
}

#[test]
fn retransmissions_to_both_go_to_the_less_busy() {
    let live = everybody();
    let (entry, _) = Entry::pair(1, 2, Expect::Answer);
    for (loads, target) in [([3, 1], 2), ([1, 3], 1), ([2, 2], 1)] {
        let load = |server: u8| loads[usize::from(server) - 1];
        assert_eq!(entry.clone().retry(&choice(&live, 3, 4), load).0, target);
    }
}

#[test]
fn a_write_goes_where_writes_go_whatever_is_outstanding() {
    let live = everybody();
    let (mut entry, _) = Entry::pair(1, 2, Expect::Answer);
    let fixed = Choice {
        second: None,
        fixed: true,
        ..choice(&live, 9, 9)
    };
    assert_eq!(entry.follow(&fixed).0, 9);
    assert!(
        !verdict(&mut entry, 1).forwards(),
        "an answer to the read before"
    );
    assert!(!verdict(&mut entry, 2).forwards());
    assert_eq!(verdict(&mut entry, 9), Verdict::First);
}

#[test]
fn a_clone_that_was_not_sent_is_taken_back() {
    let (mut entry, _) = Entry::pair(1, 2, Expect::Answer);
    assert_eq!(entry.retract().iter().collect::<Vec<_>>(), [(2, -1)]);
    assert_eq!(verdict(&mut entry, 1), Verdict::First);
    assert!(entry.is_settled());
    assert_eq!(entry.retract().iter().count(), 0);
}

#[test]
fn what_may_be_silent_is_nobodys_load_and_its_answer_passes() {
    let (mut entry, shift) = Entry::single(1, Expect::Perhaps);
    assert_eq!(shift.iter().count(), 0);
    assert!(!entry.is_settled());
    assert_eq!(verdict(&mut entry, 1), Verdict::First);
}

#[test]
fn the_second_answer_to_a_repeated_request_is_not_taken_for_one_to_the_next() {
    let live = everybody();
    let (mut entry, _) = Entry::pair(1, 2, Expect::Answer);
    assert_eq!(entry.retry(&choice(&live, 3, 4), same_load).0, 1);
    assert_eq!(verdict(&mut entry, 1), Verdict::First);
    assert_eq!(entry.clone().reply(1, Part::Whole).0, Verdict::Duplicate);
    // 1 and 2 owe an answer each; 3 does not.
    assert_eq!(entry.follow(&choice(&live, 1, 3)).0, 3);
    assert!(!verdict(&mut entry, 1).forwards());
    assert!(!verdict(&mut entry, 2).forwards());
    assert_eq!(verdict(&mut entry, 3), Verdict::First);
}

#[test]
fn after_answers_of_many_datagrams_the_client_stays_with_who_gave_them() {
    let live = everybody();
    let (mut entry, _) = Entry::pair(1, 2, Expect::Answer);
    for _ in 0..3 {
        assert_eq!(entry.reply(1, Part::First).0, Verdict::First);
        assert_eq!(entry.reply(1, Part::Later).0, Verdict::Further);
        assert!(!entry.reply(2, Part::Later).0.forwards());
        assert_eq!(entry.follow(&choice(&live, 2, 1)).0, 1);
    }
}

fn a_place() -> impl Strategy<Value = Place> {
    (0..3_u8, any::<u8>(), 0..8_u8, 0..8_u8, 0..8_u8).prop_map(
        |(role, server, pending, owes, wanted)| Place {
            role: [Role::Nobody, Role::Racer, Role::Debtor][usize::from(role)],
            server,
            pending,
            owes,
            wanted,
        },
    )
}

/// What happens to one id of one client. Servers are 0 to 3.
#[derive(Debug, Clone)]
enum Event {
    Ask {
        same: bool,
        first: u8,
        other: u8,
        clone: bool,
        fixed: bool,
        quiet: bool,
    },
    Answer {
        server: u8,
        part: u8,
    },
    GiveUp,
    Retract,
    Dies {
        server: u8,
    },
    Lives {
        server: u8,
    },
}

fn an_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (any::<bool>(), 0..4_u8, 1..4_u8, any::<bool>(), 0..8_u8).prop_map(
            |(same, first, offset, clone, kind)| Event::Ask {
                same, first, other: (first + offset) % 4, clone, fixed: kind == 0, quiet: kind == 1,
            }
        ),
        6 => (0..4_u8, 0..8_u8).prop_map(|(server, part)| Event::Answer { server, part }),
        1 => Just(Event::GiveUp),
        1 => Just(Event::Retract),
        1 => (0..4_u8).prop_map(|server| Event::Dies { server }),
        1 => (0..4_u8).prop_map(|server| Event::Lives { server }),
    ]
}

proptest! {
    #[test]
    fn a_word_gives_back_what_was_put_in(
        winner in proptest::option::of(0..2_u8),
        places in [a_place(), a_place()],
        generation: u64,
    ) {
        let entry = Entry { winner, places };
        let taken = Word(generation).taken();
        prop_assert!(taken.is_busy() && !taken.is_live() && !taken.is_free());
        prop_assert_ne!(taken.generation(), Word(generation).generation());
        let word = taken.with(&entry);
        prop_assert!(word.is_live());
        prop_assert_eq!(word.generation(), taken.generation());
        prop_assert_eq!(word.entry(), entry);
        prop_assert!(word.freed().is_free());
    }

    /// Loads add up whatever happens, and end at zero; and of the answers to a request that no later
    /// one has followed, those of one server at most reach the client.
    #[test]
    fn loads_add_up_and_one_server_wins(events in proptest::collection::vec(an_event(), 1..40)) {
        let mut live: ServerSet = (0..4).collect();
        let mut loads = [0_i32; 4];
        let mut entry = Entry::default();
        let mut winners: Vec<u8> = Vec::new();
        for event in events {
            let shift = match event {
                Event::Ask { same, first, other, clone, fixed, quiet } => {
                    let expect = if quiet { Expect::Perhaps } else { Expect::Answer };
                    let choice = Choice { first, second: Some(other), fixed, live: &live, expect };
                    if entry.is_settled() {
                        let cloned = clone && !fixed && !quiet;
                        let (new, shift) =
                            if cloned { Entry::pair(first, other, Expect::Answer) } else { Entry::single(first, expect) };
                        entry = new;
                        winners.clear();
                        shift
                    } else if same && !fixed && !entry.is_answered() {
                        entry.retry(&choice, |server| loads[usize::from(server)] as u64).1
                    } else {
                        winners.clear();
                        let (target, shift) = entry.follow(&choice);
                        prop_assert!(!fixed || target == first);
                        shift
                    }
                }
                Event::Answer { server, part } => {
                    let part = match part { 0 => Part::First, 1 => Part::Later, _ => Part::Whole };
                    let before = entry.is_answered();
                    let (verdict, shift) = entry.reply(server, part);
                    prop_assert_eq!(verdict == Verdict::First, !before && entry.is_answered());
                    if verdict.forwards() && !winners.contains(&server) {
                        winners.push(server);
                    }
                    shift
                }
                Event::GiveUp => entry.give_up(),
                Event::Retract => entry.retract(),
                Event::Dies { server } => { live.remove(server); Shift::default() }
                Event::Lives { server } => { live.insert(server); Shift::default() }
            };
            for (server, by) in shift.iter() {
                loads[usize::from(server)] += i32::from(by);
            }
            prop_assert!(winners.len() <= 1, "{winners:?}");
            prop_assert!(loads.iter().all(|load| *load >= 0), "{loads:?}");
            for place in entry.places {
                prop_assert!(place.pending <= place.owes && place.wanted <= place.owes);
                prop_assert!(place.role != Role::Nobody || place == Place::default());
            }
            let held: i32 = entry.places.iter().map(|place| i32::from(place.pending)).sum();
            prop_assert_eq!(loads.iter().sum::<i32>(), held);
            prop_assert_eq!(Word(0).taken().with(&entry).entry(), entry);
        }
        for (server, by) in entry.give_up().iter() {
            loads[usize::from(server)] += i32::from(by);
        }
        prop_assert_eq!(loads, [0; 4]);
    }
}
