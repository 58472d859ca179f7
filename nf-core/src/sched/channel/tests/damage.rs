//! Bytes that are not what was sent, and messages that are missing.

use proptest::prelude::*;

use super::*;

/// Changes a word of the ring; gives what it was.
fn damage(ring: &Ring, place: usize, change: u64) -> u64 {
    let word = ring.first(place);
    ring.set(place, word ^ change);
    word
}

#[test]
fn ip41_a_corrupted_byte_anywhere_is_noticed() {
    // Header of 32 bytes and 20 of payload.
    for byte in 0..52 {
        let (mut tx, mut rx) = ring(small(512));
        tx.send(&ENVELOPE, &payload(0, 20), 0).unwrap();
        let original = damage(&tx.ring, byte / 8, 0x40 << (byte % 8 * 8));
        for look in 1..=3 {
            assert!(rx.recv().is_none(), "byte {byte}");
            assert_eq!(rx.stats().unverified, look);
            assert_eq!(rx.stats().broken, 0);
        }
        // It was not complete yet: now it is.
        tx.ring.set(byte / 8, original);
        expect(&mut rx, 0, 20);
    }
}

#[test]
fn ip41_a_message_that_never_verifies_is_passed_over() {
    let (mut tx, mut rx) = ring(small(1024));
    for number in 0..4 {
        tx.send(&ENVELOPE, &payload(number, 30), 0).unwrap();
    }
    expect(&mut rx, 0, 30);
    damage(&tx.ring, 8 + 5, 1);
    for _ in 0..3 {
        assert!(rx.recv().is_none());
    }
    expect(&mut rx, 2, 30);
    expect(&mut rx, 3, 30);
    let stats = rx.stats();
    assert_eq!((stats.lost, stats.broken, stats.restarts), (1, 1, 0));
}

#[test]
fn ip41_a_wrong_length_makes_everything_begin_anew() {
    for change in [8, 1 << 20, 1 << 48] {
        let (mut tx, mut rx) = ring(small(1024));
        for number in 0..4 {
            tx.send(&ENVELOPE, &payload(number, 30), 0).unwrap();
        }
        expect(&mut rx, 0, 30);
        damage(&tx.ring, 8, change);
        for _ in 0..10 {
            assert!(rx.recv().is_none());
        }
        assert_eq!(rx.stats().restarts, 1);
        // The producer does not know yet: what it sends now is lost too, and counted.
        tx.send(&ENVELOPE, &payload(4, 30), 0).unwrap();
        for number in 5..100 {
            tx.send(&ENVELOPE, &payload(number, 30), 0).unwrap();
            expect(&mut rx, number, 30);
        }
        assert_eq!(rx.stats().lost, 4);
        assert_eq!(tx.stats().restarts, 1);
    }
}

#[test]
fn ip41_a_full_ring_that_is_broken_comes_free() {
    let (mut tx, mut rx) = ring(small(1024));
    while tx.send(&ENVELOPE, &payload(0, 30), 0).is_ok() {}
    let sent = tx.sequence;
    damage(&tx.ring, 0, 0xffff);
    for _ in 0..10 {
        assert!(rx.recv().is_none());
    }
    while tx.send(&ENVELOPE, &payload(sent, 30), 0).is_err() {}
    expect(&mut rx, sent, 30);
    assert_eq!(rx.stats().lost, sent);
}

#[test]
fn ip41_a_sequence_gap_is_counted() {
    for checksum in [true, false] {
        let (mut tx, mut rx) = ring(Settings {
            checksum,
            ..small(1024)
        });
        tx.send(&ENVELOPE, &payload(0, 3), 0).unwrap();
        tx.sequence += 4;
        tx.send(&ENVELOPE, &payload(5, 3), 0).unwrap();
        expect(&mut rx, 0, 3);
        expect(&mut rx, 5, 3);
        assert_eq!(rx.stats().lost, 4);
    }
}

#[test]
fn ip41_an_old_or_absurd_number_is_no_message() {
    for jump in [u64::MAX, 1000, u64::MAX / 2] {
        let (mut tx, mut rx) = ring(Settings {
            checksum: false,
            ..small(1024)
        });
        tx.send(&ENVELOPE, &payload(0, 3), 0).unwrap();
        expect(&mut rx, 0, 3);
        tx.sequence = tx.sequence.wrapping_add(jump).min(u64::MAX - 1);
        tx.send(&ENVELOPE, &payload(1, 3), 0).unwrap();
        assert!(rx.recv().is_none());
        assert_eq!(rx.stats().unverified, 1);
    }
}

#[test]
fn values_of_lost_messages_are_dropped() {
    let (mut tx, mut rx) = handoff::ring(small(1024), 8);
    for value in 0..4 {
        tx.send(&ENVELOPE, &[1; 30], value, 0).unwrap();
    }
    assert_eq!(rx.recv().unwrap().1, Some(0));
    damage(&tx.messages().ring, 8 + 5, 1);
    for _ in 0..3 {
        assert!(rx.recv().is_none());
    }
    assert_eq!(rx.recv().unwrap().1, Some(2), "each with its own value");
    assert_eq!(rx.recv().unwrap().1, Some(3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn ip41_damage_delivers_no_wrong_message(
        lens in prop::collection::vec(0_usize..200, 1..60),
        damages in prop::collection::vec((0_usize..60, 0_usize..128, 1_u64..), 1..10),
    ) {
        let (mut tx, mut rx) = ring(small(1024));
        let mut received = 0;
        for (turn, len) in lens.iter().enumerate() {
            let number = tx.sequence;
            let _ = tx.send(&ENVELOPE, &payload(number, *len), 0);
            for (_, place, change) in damages.iter().filter(|(at, ..)| *at == turn) {
                damage(&tx.ring, *place, *change);
            }
            for _ in 0..5 {
                if let Some(message) = rx.recv() {
                    received += 1;
                    let (sequence, len) = (message.sequence, message.payload.len());
                    prop_assert_eq!(message.payload, payload(sequence, len));
                }
            }
        }
        // Once the damage has ended, it goes on: at the latest when something more is sent.
        for _ in 0..200 {
            let number = tx.sequence;
            let _ = tx.send(&ENVELOPE, &payload(number, 7), 0);
            tx.flush();
            while rx.recv().is_some() {
                received += 1;
            }
        }
        prop_assert_eq!(received, rx.stats().received);
        prop_assert_eq!(received + rx.stats().lost, tx.sequence);
    }
}
