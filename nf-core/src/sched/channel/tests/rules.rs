//! The rules of the ring, one by one, on one thread.

use std::collections::{HashSet, VecDeque};

use proptest::prelude::*;

use super::*;

#[test]
fn ip41_messages_wrap_at_every_offset() {
    let mut places = HashSet::new();
    for len in 0..=96 {
        let (mut tx, mut rx) = ring(small(512));
        assert_eq!(tx.most_payload(), 96);
        for number in 0..300 {
            places.insert(tx.ring.place(tx.head));
            // Others in between, so that each length comes to each place.
            let len = match number % 3 {
                2 => number as usize * 31 % 97,
                _ => len,
            };
            tx.send(&ENVELOPE, &payload(number, len), 0).unwrap();
            expect(&mut rx, number, len);
        }
        assert!(rx.recv().is_none());
        assert_eq!(rx.stats().lost + rx.stats().unverified, 0);
    }
    // No message ends at words 1 to 3, since none crosses the end and none is shorter than 4.
    assert_eq!(
        places.len(),
        61,
        "all others were the first word of a message"
    );
}

#[test]
fn ip41_a_message_that_would_straddle_the_end_begins_anew() {
    let (mut tx, mut rx) = ring(small(512));
    // 5 messages of 12 words leave 4 of the 64.
    for number in 0..5 {
        tx.send(&ENVELOPE, &payload(number, 64), 0).unwrap();
        expect(&mut rx, number, 64);
    }
    assert_eq!(tx.ring.place(tx.head), 60);
    tx.send(&ENVELOPE, &payload(5, 8), 0).unwrap();
    assert_eq!(tx.ring.place(tx.head), 5, "it is at the beginning");
    expect(&mut rx, 5, 8);
    assert_eq!(rx.tail, 69);
}

#[test]
fn ip41_no_bytes_and_the_most_there_can_be() {
    for bytes in [LEAST_RING, 512, 4096] {
        let (mut tx, mut rx) = ring(small(bytes));
        let most = tx.most_payload();
        assert_eq!(most, bytes / 4 - HEADER_BYTES);
        for number in 0..100 {
            let len = if number % 2 == 0 { 0 } else { most };
            tx.send(&ENVELOPE, &payload(number, len), 0).unwrap();
            expect(&mut rx, number, len);
        }
        let bytes = most + 1;
        let refused = tx.send(&ENVELOPE, &vec![0; bytes], 0);
        assert_eq!(refused, Err(SendError::TooLarge { bytes, most }));
        assert!(rx.recv().is_none());
    }
}

#[test]
fn ip41_a_full_ring_says_so_and_loses_nothing() {
    let (mut tx, mut rx) = ring(small(1024));
    let mut sent = 0;
    while tx.send(&ENVELOPE, &payload(sent, 30), 0).is_ok() {
        sent += 1;
    }
    // 8 words each; a word stays free.
    assert_eq!(sent, 15);
    for _ in 0..100 {
        assert_eq!(tx.send(&ENVELOPE, &[0; 30], 0), Err(SendError::Full));
    }
    assert_eq!(tx.stats().full, 101);
    for number in 0..sent {
        expect(&mut rx, number, 30);
    }
    assert!(rx.recv().is_none());
    tx.send(&ENVELOPE, &payload(sent, 1), 0).unwrap();
    expect(&mut rx, sent, 1);
}

#[test]
fn ip41_credit_comes_at_half() {
    let (mut tx, mut rx) = ring(small(1024));
    while tx.send(&ENVELOPE, &[0; 32], 0).is_ok() {}
    for _ in 0..7 {
        rx.recv().unwrap();
        assert_eq!(rx.stats().credits, 0);
        assert_eq!(tx.send(&ENVELOPE, &[0; 32], 0), Err(SendError::Full));
    }
    rx.recv().unwrap();
    assert_eq!(rx.stats().credits, 1, "64 of 128 words");
    assert_eq!(tx.send(&ENVELOPE, &[0; 32], 0), Ok(()));
}

#[test]
fn ip41_credit_comes_when_nothing_is_there() {
    let (mut tx, mut rx) = ring(small(1024));
    tx.send(&ENVELOPE, &[0; 32], 0).unwrap();
    rx.recv().unwrap();
    assert_eq!(rx.ring.credit(), 0);
    assert!(rx.recv().is_none());
    assert_eq!(rx.ring.credit(), 8);
    assert!(rx.recv().is_none());
    assert_eq!(rx.stats().credits, 1, "once is enough");
}

#[test]
fn ip41_credit_comes_at_the_end_of_the_ring() {
    let (mut tx, mut rx) = ring(small(1024));
    for number in 0..2 {
        for at in 0..5 {
            tx.send(&ENVELOPE, &payload(number * 5 + at, 64), 0)
                .unwrap();
        }
        (0..5).for_each(|at| expect(&mut rx, number * 5 + at, 64));
    }
    // 120 of 128 words; the credit at half was for 72.
    assert_eq!(rx.ring.credit(), 72);
    tx.send(&ENVELOPE, &payload(10, 64), 0).unwrap();
    expect(&mut rx, 10, 64);
    assert_eq!(
        rx.ring.credit(),
        128,
        "given at the end, not at half nor when idle"
    );
}

#[test]
fn ip41_credit_that_is_lost_is_made_up_for() {
    let (mut tx, mut rx) = ring(small(1024));
    while tx.send(&ENVELOPE, &[0; 32], 0).is_ok() {}
    while rx.recv().is_some() {}
    rx.ring.set_credit(0);
    assert_eq!(tx.send(&ENVELOPE, &[0; 32], 0), Err(SendError::Full));
    assert!(rx.recv().is_none());
    assert_eq!(tx.send(&ENVELOPE, &[0; 32], 0), Ok(()));
}

#[test]
fn ip41_a_stopped_consumer_stops_only_the_producer() {
    let (mut tx, mut rx) = ring(Settings {
        batch: 32,
        ..small(4096)
    });
    let mut sent = 0;
    for attempt in 0..10_000 {
        if tx.send(&ENVELOPE, &payload(sent, 100), attempt).is_ok() {
            sent += 1;
        }
    }
    for number in 0..sent {
        expect(&mut rx, number, 100);
    }
    assert_eq!(tx.stats().sent, sent);
    drop(rx);
    assert!(tx.is_closed());
    while tx.send(&ENVELOPE, &[0; 100], 0).is_ok() {}
    assert_eq!(tx.send(&ENVELOPE, &[0; 100], 0), Err(SendError::Closed));
}

#[test]
fn ip41_a_gone_producer_leaves_its_messages() {
    let (mut tx, mut rx) = ring(Settings::default());
    tx.send(&ENVELOPE, &payload(0, 5), 0).unwrap();
    assert!(!rx.is_closed());
    drop(tx);
    assert!(rx.is_closed());
    expect(&mut rx, 0, 5);
    assert!(rx.recv().is_none());
}

#[test]
fn ip41_a_batch_is_published_when_full_late_or_at_the_end_of_the_turn() {
    let (mut tx, mut rx) = ring(Settings::default());
    for number in 0..31 {
        tx.send(&ENVELOPE, &payload(number, 9), 1000).unwrap();
        assert!(rx.recv().is_none());
    }
    tx.send(&ENVELOPE, &payload(31, 9), 1000).unwrap();
    (0..32).for_each(|number| expect(&mut rx, number, 9));
    assert_eq!(tx.stats().flushes, 1);

    tx.send(&ENVELOPE, &payload(32, 9), 2000).unwrap();
    tx.poll(6999);
    assert!(rx.recv().is_none());
    tx.poll(7000);
    expect(&mut rx, 32, 9);

    tx.send(&ENVELOPE, &payload(33, 9), 8000).unwrap();
    assert_eq!(tx.pending(), 1);
    tx.flush();
    assert_eq!(tx.pending(), 0);
    expect(&mut rx, 33, 9);
}

#[test]
fn ip41_a_batch_that_fills_the_ring_is_published() {
    let (mut tx, mut rx) = ring(Settings {
        batch: 1000,
        ..small(1024)
    });
    let mut sent = 0;
    while tx.send(&ENVELOPE, &payload(sent, 30), 0).is_ok() {
        sent += 1;
    }
    (0..sent).for_each(|number| expect(&mut rx, number, 30));
}

#[test]
fn a_channel_has_both_directions() {
    let (mut packet, mut worker) = channel(small(512));
    packet.tx.send(&ENVELOPE, b"there", 0).unwrap();
    worker.tx.send(&ENVELOPE, b"back", 0).unwrap();
    assert_eq!(worker.rx.recv().unwrap().payload, b"there");
    assert_eq!(packet.rx.recv().unwrap().payload, b"back");
}

#[test]
fn ip40_values_go_beside_the_ring() {
    let (mut tx, mut rx) = handoff::ring(small(512), 2);
    tx.send(&ENVELOPE, b"a", Box::new(1), 0).unwrap();
    tx.messages().send(&ENVELOPE, b"plain", 0).unwrap();
    tx.send(&ENVELOPE, b"b", Box::new(2), 0).unwrap();
    let (value, error) = tx.send(&ENVELOPE, b"c", Box::new(3), 0).unwrap_err();
    assert_eq!((*value, error), (3, SendError::Full));
    let mut seen = Vec::new();
    while let Some((message, value)) = rx.recv() {
        seen.push((message.payload.to_vec(), value.map(|value| *value)));
    }
    let expected = [(&b"a"[..], Some(1)), (b"plain", None), (b"b", Some(2))];
    assert_eq!(seen, expected.map(|(bytes, value)| (bytes.to_vec(), value)));
    let (value, error) = tx.send(&ENVELOPE, &[0; 97], Box::new(4), 0).unwrap_err();
    assert_eq!(
        (*value, error),
        (
            4,
            SendError::TooLarge {
                bytes: 97,
                most: 96
            }
        )
    );
    tx.send(&ENVELOPE, b"d", Box::new(5), 0).unwrap();
    let (_, value) = rx.recv().unwrap();
    assert_eq!(
        value,
        Some(Box::new(5)),
        "what was refused left nothing behind"
    );
}

#[derive(Debug, Clone)]
enum Step {
    Send(usize),
    Receive,
    Flush,
    Time(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..=224).prop_map(Step::Send),
        4 => Just(Step::Receive),
        1 => Just(Step::Flush),
        1 => (0_u64..6000).prop_map(Step::Time),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn ip41_a_ring_is_a_queue(
        steps in prop::collection::vec(step(), 1..400),
        checksum: bool,
        batch in 1_u32..40,
    ) {
        let settings = Settings { checksum, batch, ..small(1024) };
        let (mut tx, mut rx) = ring(settings);
        let mut queue = VecDeque::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Send(len) => {
                    let number = tx.sequence;
                    if tx.send(&ENVELOPE, &payload(number, len), now).is_ok() {
                        queue.push_back((number, len));
                    }
                }
                Step::Receive => {
                    let published = queue.len() - tx.pending();
                    if published == 0 {
                        prop_assert!(rx.recv().is_none());
                    } else if let Some((number, len)) = queue.pop_front() {
                        expect(&mut rx, number, len);
                    }
                }
                Step::Flush => tx.flush(),
                Step::Time(passes) => {
                    now += passes;
                    tx.poll(now);
                }
            }
        }
        tx.flush();
        for (number, len) in queue {
            expect(&mut rx, number, len);
        }
        prop_assert!(rx.recv().is_none());
        prop_assert_eq!(rx.stats().lost, 0);
    }
}
