//! A region that is copied through a small ring, between two threads that also have other things to
//! say.

use std::thread;

use super::*;
use crate::sched::channel::{
    Consumer, Envelope, Kind, Producer, SendError, Settings, channel, handoff,
};
use crate::sched::dmo::incoming::IncomingObject;
use crate::sched::dmo::{Commit, DmoError, Place, Receipt};

const OBJECTS: usize = 10_000;

fn envelope(kind: Kind) -> Envelope {
    Envelope {
        kind,
        to: actor(7),
        from: actor(1),
        arrived: 0,
    }
}

/// Sends, whatever it takes.
fn send(tx: &mut Producer, kind: Kind, payload: &[u8]) {
    while let Err(error) = tx.send(&envelope(kind), payload, 0) {
        assert_eq!(error, SendError::Full);
        thread::yield_now();
    }
}

fn receive(rx: &mut Consumer) -> (Kind, Vec<u8>) {
    loop {
        if let Some(message) = rx.recv() {
            return (message.envelope.kind, message.payload.to_vec());
        }
        thread::yield_now();
    }
}

fn large_region() -> Region {
    let mut region = Region::new(actor(7), 64 << 20);
    for n in 0..OBJECTS {
        // Mostly small, some larger than the ring.
        let len = if n % 1000 == 999 {
            20_000
        } else {
            n * 37 % 400
        };
        let bytes: Vec<u8> = (0..len).map(|at| (at ^ n) as u8).collect();
        region.alloc_value(&bytes[..]).unwrap();
    }
    region
}

#[test]
fn ip36_ip40_ip41_ten_thousand_objects_go_over_a_small_ring() {
    let settings = Settings {
        bytes: 8192,
        batch: 8,
        ..Settings::default()
    };
    let (mut packet, mut worker) = channel(settings);
    let mut source = large_region();
    let before = contents(&source);
    assert_eq!(before.len(), OBJECTS);

    let destination = thread::spawn(move || {
        let mut incoming = Incoming::new(64 << 20);
        let mut numbers = Vec::new();
        let mut note = |payload: Vec<u8>| {
            numbers.push(u32::from_ne_bytes(payload.try_into().unwrap()));
        };
        loop {
            match receive(&mut worker.rx) {
                (Kind::Data, payload) => note(payload),
                (_, frame) => {
                    if incoming.accept(&frame).unwrap() {
                        break;
                    }
                }
            }
        }
        let arrived = incoming.finish().unwrap();
        send(&mut worker.tx, Kind::Control, &arrived.receipt().encode());
        worker.tx.flush();
        let commit = loop {
            match receive(&mut worker.rx) {
                (Kind::Data, payload) => note(payload),
                (_, commit) => break Commit::decode(&commit).unwrap(),
            }
        };
        let region = arrived.activate(&commit).unwrap();
        (region, numbers, worker.rx.stats())
    });

    let mut outgoing = source.start_copy(1).unwrap();
    let mut frame = vec![0; packet.tx.most_payload()];
    let mut sent = 0_u32;
    while !outgoing.is_done() {
        let len = outgoing.fill(&source, &mut frame).unwrap();
        send(&mut packet.tx, Kind::Migrate, &frame[..len]);
        // Messages for other actors go on meanwhile.
        for _ in 0..sent % 4 {
            send(&mut packet.tx, Kind::Data, &sent.to_ne_bytes());
        }
        sent += 1;
    }
    packet.tx.flush();
    let (_, receipt) = receive(&mut packet.rx);
    let receipt = Receipt::decode(&receipt).unwrap();
    assert_eq!(receipt.objects as usize, OBJECTS);
    let commit = source.commit_copy(outgoing, &receipt).unwrap();
    assert_eq!(source.place(), Place::Remote);
    send(&mut packet.tx, Kind::Control, &commit.encode());
    packet.tx.flush();

    let (there, numbers, stats) = destination.join().unwrap();
    assert_eq!(contents(&there), before);
    let expected = (0..sent).flat_map(|number| (0..number % 4).map(move |_| number));
    assert_eq!(
        numbers,
        expected.collect::<Vec<_>>(),
        "none lost, all in order"
    );
    assert!(numbers.len() > 1000);
    assert_eq!((stats.lost, stats.unverified), (0, 0));
}

#[test]
fn ip39_ip41_one_object_goes_over_a_ring_to_a_pinned_actor() {
    let (mut packet, mut worker) = channel(Settings {
        bytes: 1024,
        ..Settings::default()
    });
    let pinned = thread::spawn(move || {
        let mut region = Region::new(actor(30), 1 << 20);
        let mut incoming = IncomingObject::default();
        let receipt = loop {
            let (_, frame) = receive(&mut worker.rx);
            if let Some(receipt) = incoming.accept(&mut region, &frame).unwrap() {
                break receipt;
            }
        };
        assert_eq!(region.get(receipt.id), Err(DmoError::Moving));
        send(&mut worker.tx, Kind::Control, &receipt.encode());
        worker.tx.flush();
        let (_, commit) = receive(&mut worker.rx);
        let id = incoming
            .activate(&mut region, &Commit::decode(&commit).unwrap())
            .unwrap();
        region.get(id).unwrap().to_vec()
    });
    let mut source = region();
    let table: Vec<u8> = (0..50_000_u32).map(|at| (at * 3) as u8).collect();
    let id = source.alloc_value(&table[..]).unwrap();
    let mut outgoing = source.start_copy_of(id, 5).unwrap();
    let mut frame = vec![0; packet.tx.most_payload()];
    while !outgoing.is_done() {
        let len = outgoing.fill(&source, &mut frame).unwrap();
        send(&mut packet.tx, Kind::Migrate, &frame[..len]);
    }
    packet.tx.flush();
    let receipt = Receipt::decode(&receive(&mut packet.rx).1).unwrap();
    let commit = source.commit_copy(outgoing, &receipt).unwrap();
    send(&mut packet.tx, Kind::Control, &commit.encode());
    packet.tx.flush();
    assert_eq!(pinned.join().unwrap(), table);
    assert_eq!(source.objects(), 0);
}

#[test]
fn ip36_a_copy_that_loses_a_frame_is_aborted_and_succeeds_the_second_time() {
    let (mut packet, mut worker) = channel(Settings {
        bytes: 16 << 10,
        batch: 1,
        ..Settings::default()
    });
    let mut source = region();
    for n in 0..200_usize {
        source.alloc_value(&vec![n as u8; n * 11][..]).unwrap();
    }
    let before = contents(&source);
    let mut frame = vec![0; packet.tx.most_payload()];
    let mut result = None;
    for transfer in 1..=2 {
        let mut outgoing = source.start_copy(transfer).unwrap();
        let mut incoming = Incoming::new(usize::MAX);
        let mut count = 0;
        let arrived = loop {
            let len = outgoing.fill(&source, &mut frame).unwrap();
            send(&mut packet.tx, Kind::Migrate, &frame[..len]);
            let (_, frame) = receive(&mut worker.rx);
            count += 1;
            if transfer == 1 && count == 5 {
                continue;
            }
            match incoming.accept(&frame) {
                Ok(true) => break Ok(incoming.finish().unwrap()),
                Ok(false) => {}
                Err(error) => break Err(error),
            }
        };
        match arrived {
            Err(error) => {
                assert_eq!((transfer, error), (1, TransferError::Gap));
                source.abort_copy(outgoing);
                assert_eq!(contents(&source), before, "it is local again");
            }
            Ok(arrived) => {
                assert_eq!(arrived.owner(), source.owner());
                let late = Receipt {
                    transfer: 1,
                    ..arrived.receipt()
                };
                let (outgoing, _) = source.commit_copy(outgoing, &late).unwrap_err();
                let commit = source.commit_copy(outgoing, &arrived.receipt()).unwrap();
                result = Some(arrived.activate(&commit).unwrap());
            }
        }
    }
    assert_eq!(contents(&result.unwrap()), before);
}

#[test]
fn ip36_a_destination_that_dies_leaves_the_source_as_it_was() {
    let (mut packet, worker) = channel(Settings {
        bytes: 8192,
        ..Settings::default()
    });
    let mut source = large_region();
    let before = contents(&source);
    let died = thread::spawn(move || {
        let mut rx = worker.rx;
        let mut incoming = Incoming::new(usize::MAX);
        for _ in 0..20 {
            incoming.accept(&receive(&mut rx).1).unwrap();
        }
    });
    let mut outgoing = source.start_copy(1).unwrap();
    let mut frame = vec![0; packet.tx.most_payload()];
    'all: while !outgoing.is_done() {
        let len = outgoing.fill(&source, &mut frame).unwrap();
        loop {
            match packet.tx.send(&envelope(Kind::Migrate), &frame[..len], 0) {
                Ok(()) => break,
                Err(SendError::Full) => thread::yield_now(),
                Err(_) => break 'all,
            }
        }
    }
    assert!(!outgoing.is_done() && packet.tx.is_closed());
    source.abort_copy(outgoing);
    assert_eq!(contents(&source), before);
    died.join().unwrap();
}

#[test]
fn ip40_a_region_goes_beside_the_ring_by_handoff() {
    let (mut tx, mut rx) = handoff::ring(
        Settings {
            bytes: 512,
            ..Settings::default()
        },
        1,
    );
    let mut source = large_region();
    let before = contents(&source);
    let worker = thread::spawn(move || {
        loop {
            if let Some((_, Some(region))) = rx.recv() {
                break region;
            }
            thread::yield_now();
        }
    });
    let region = source.hand_over().unwrap();
    let sent = tx.send(&envelope(Kind::Migrate), &[], region, 0);
    assert!(sent.is_ok());
    tx.messages().flush();
    let there: Region = worker.join().unwrap();
    assert_eq!(
        (source.place(), there.place()),
        (Place::Remote, Place::Local)
    );
    assert_eq!(contents(&there), before);
}
