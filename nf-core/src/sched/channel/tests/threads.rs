//! A producer and a consumer that really run at the same time.

use std::thread;

use super::*;

/// A small generator for lengths: the same on both sides.
fn len_of(number: u64, most: usize) -> usize {
    let mixed = (number ^ 0x5bd1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    mixed as usize % (most + 1)
}

fn exchange(settings: Settings, messages: u64) {
    let (mut tx, mut rx) = ring(settings);
    let most = tx.most_payload();
    let producer = thread::spawn(move || {
        for number in 0..messages {
            let bytes = payload(number, len_of(number, most));
            while let Err(error) = tx.send(&ENVELOPE, &bytes, number) {
                assert_eq!(error, SendError::Full);
                thread::yield_now();
            }
        }
        tx.flush();
        tx.stats()
    });
    let mut number = 0;
    while number < messages {
        match rx.recv() {
            Some(message) => {
                assert_eq!(message.sequence, number);
                assert_eq!(message.payload, payload(number, len_of(number, most)));
                number += 1;
            }
            None => thread::yield_now(),
        }
    }
    let sent = producer.join().unwrap();
    let received = rx.stats();
    assert_eq!((sent.sent, received.received), (messages, messages));
    assert_eq!((received.lost, received.unverified), (0, 0));
}

#[test]
fn ip41_two_threads_lose_nothing() {
    for (bytes, checksum) in [(512, true), (512, false), (4096, true), (64 << 10, false)] {
        let settings = Settings {
            bytes,
            checksum,
            batch: 4,
            ..Settings::default()
        };
        exchange(settings, 20_000);
    }
}

#[test]
fn ip41_a_restart_between_threads_goes_on() {
    let (mut tx, mut rx) = ring(small(1024));
    let ring = Arc::clone(&tx.ring);
    const LAST: u64 = 20_000;
    let producer = thread::spawn(move || {
        while tx.sequence < LAST {
            let number = tx.sequence;
            if tx.send(&ENVELOPE, &payload(number, 20), 0).is_err() {
                thread::yield_now();
            }
        }
        // What the consumer loses at the very end is made known only by a further message.
        while !tx.is_closed() {
            let number = tx.sequence;
            let _ = tx.send(&ENVELOPE, &payload(number, 20), 0);
            thread::yield_now();
        }
    });
    let mut turns = 0_u64;
    loop {
        turns += 1;
        if turns.is_multiple_of(997) {
            // Where a message begins, or is.
            let place = ring.place(turns * 7);
            ring.set(place, 0xdead_beef_dead_beef);
        }
        match rx.recv() {
            Some(message) => {
                assert_eq!(message.payload, payload(message.sequence, 20));
                if message.sequence >= LAST {
                    break;
                }
            }
            None => thread::yield_now(),
        }
    }
    let stats = rx.stats();
    assert!(stats.received > LAST / 2, "{stats:?}");
    drop(rx);
    producer.join().unwrap();
}
