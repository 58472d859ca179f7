//! Moves of regions and of single objects: by handoff and by copy, to the end and not.

use proptest::prelude::*;

use super::*;
use crate::sched::dmo::incoming::IncomingObject;
use crate::sched::dmo::{Commit, Detached, DmoError, LEAST_FRAME, Place, Receipt, SLOT_BYTES};

/// A region with objects of all sizes, with holes.
fn used_region() -> Region {
    let mut region = region();
    let mut ids = Vec::new();
    for n in 0..300_usize {
        let bytes: Vec<u8> = (0..n * n % 977).map(|at| (at * 7 + n) as u8).collect();
        ids.push(region.alloc_value(&bytes[..]).unwrap());
    }
    let large: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
    region.alloc_value(&large[..]).unwrap();
    for id in ids.iter().step_by(3) {
        region.free(*id).unwrap();
    }
    region
}

#[test]
fn ip36_ip40_ids_and_bytes_stay_in_both_modes() {
    for frame in [
        None,
        Some(LEAST_FRAME),
        Some(LEAST_FRAME + 13),
        Some(1500),
        Some(1 << 20),
    ] {
        let mut source = used_region();
        let theirs = Region::new(actor(9), 1000).alloc(1).unwrap();
        assert!(source.get(theirs).is_err());
        let before = contents(&source);
        source.set_root(before[5].0).unwrap();
        assert!(
            source
                .set_root(ObjectId::new(source.owner_word(), 1, 99))
                .is_err()
        );
        let (used, violations) = (source.used(), source.violations());
        let mut there = match frame {
            None => source.hand_over().unwrap(),
            Some(frame) => copy(&mut source, frame).unwrap(),
        };
        assert_eq!(source.place(), Place::Remote);
        assert_eq!(there.place(), Place::Local);
        assert_eq!(contents(&there), before);
        assert_eq!(there.root(), before[5].0);
        assert_eq!((there.used(), there.violations()), (used, violations));
        assert_eq!(there.quota(), 16 << 20);
        assert_eq!(violations, 1, "a figure that goes with the actor");
        for (id, _) in &before {
            assert_eq!(source.get(*id), Err(DmoError::Remote));
        }
        // Both go on alike: the same new ids, and the same stale ones.
        let mut twin = used_region();
        for _ in 0..200 {
            assert_eq!(there.alloc(40), twin.alloc(40));
        }
    }
}

#[test]
fn ip36_a_stale_id_is_stale_after_a_copy() {
    let mut region = region();
    let old = region.alloc(8).unwrap();
    region.free(old).unwrap();
    let mut there = copy(&mut region, 256).unwrap();
    assert_eq!(there.get(old), Err(DmoError::Stale { id: old }));
    for _ in 0..100 {
        assert_ne!(there.alloc(8).unwrap(), old);
    }
}

#[test]
fn ip40_an_empty_region_can_be_copied() {
    let mut source = region();
    let there = copy(&mut source, LEAST_FRAME).unwrap();
    assert_eq!(there.objects(), 0);
    assert!(copy(&mut source, 1000).is_err(), "it is elsewhere");
}

#[test]
fn ip36_no_moment_has_two_live_copies() {
    let mut source = used_region();
    let id = contents(&source)[0].0;
    let mut outgoing = source.start_copy(5).unwrap();
    let mut incoming = Incoming::new(usize::MAX);
    let mut frame = vec![0; 4096];
    loop {
        let len = outgoing.fill(&source, &mut frame).unwrap();
        assert_eq!(source.get(id), Err(DmoError::Moving));
        if incoming.accept(&frame[..len]).unwrap() {
            break;
        }
    }
    let arrived = incoming.finish().unwrap();
    // Complete there, and not given up here: nobody can use it.
    assert_eq!(source.get(id), Err(DmoError::Moving));
    let commit = source.commit_copy(outgoing, &arrived.receipt()).unwrap();
    assert_eq!(source.get(id), Err(DmoError::Remote));
    let mut other = region();
    let wrong = other.start_copy(6).unwrap();
    let wrong = finish(&mut other, wrong);
    let arrived = arrived.activate(&wrong).unwrap_err();
    let there = arrived.activate(&commit).unwrap();
    assert!(there.get(id).is_ok());
}

fn finish(region: &mut Region, mut outgoing: super::super::outgoing::Outgoing) -> Commit {
    let mut incoming = Incoming::new(usize::MAX);
    let mut frame = [0; 1024];
    while !outgoing.is_done() {
        let len = outgoing.fill(region, &mut frame).unwrap();
        incoming.accept(&frame[..len]).unwrap();
    }
    let receipt = incoming.finish().unwrap().receipt();
    region.commit_copy(outgoing, &receipt).unwrap()
}

/// All frames of a region.
fn frames(region: &mut Region) -> Vec<Vec<u8>> {
    let mut outgoing = region.start_copy(1).unwrap();
    let mut all = Vec::new();
    let mut frame = vec![0; 1000];
    while !outgoing.is_done() {
        let len = outgoing.fill(region, &mut frame).unwrap();
        all.push(frame[..len].to_vec());
    }
    assert_eq!(outgoing.fill(region, &mut frame), Ok(0));
    region.abort_copy(outgoing);
    all
}

#[test]
fn ip36_an_abort_at_any_frame_makes_it_local_again() {
    let mut source = used_region();
    let before = contents(&source);
    let count = frames(&mut source).len();
    assert!(count > 100);
    for stop in (0..=count).step_by(7) {
        let mut outgoing = source.start_copy(stop as u32).unwrap();
        let mut frame = vec![0; 1000];
        for _ in 0..stop {
            outgoing.fill(&source, &mut frame).unwrap();
        }
        assert_eq!(source.place(), Place::Moving);
        source.abort_copy(outgoing);
        assert_eq!(contents(&source), before);
    }
    assert!(copy(&mut source, 1000).is_ok());
}

#[test]
fn ip36_a_wrong_receipt_commits_nothing() {
    let mut source = used_region();
    let mut outgoing = source.start_copy(1).unwrap();
    let mut incoming = Incoming::new(usize::MAX);
    let mut frame = vec![0; 1000];
    let early = Receipt {
        transfer: 1,
        objects: 0,
        bytes: 0,
        digest: 0,
        id: ObjectId::NONE,
    };
    let (kept, error) = source.commit_copy(outgoing, &early).unwrap_err();
    assert_eq!(error, TransferError::Incomplete);
    outgoing = kept;
    while !outgoing.is_done() {
        let len = outgoing.fill(&source, &mut frame).unwrap();
        incoming.accept(&frame[..len]).unwrap();
    }
    let right = incoming.finish().unwrap().receipt();
    for wrong in [
        Receipt {
            transfer: 2,
            ..right
        },
        Receipt {
            objects: 0,
            ..right
        },
        Receipt { bytes: 1, ..right },
        Receipt { digest: 9, ..right },
        Receipt {
            id: contents(&used_region())[0].0,
            ..right
        },
    ] {
        let (kept, error) = source.commit_copy(outgoing, &wrong).unwrap_err();
        assert_eq!(error, TransferError::Receipt);
        outgoing = kept;
    }
    source.abort_copy(outgoing);
    assert_eq!(contents(&source), contents(&used_region()));
}

#[test]
fn what_arrives_damaged_is_refused() {
    let good = frames(&mut used_region());
    let accept = |frames: &[Vec<u8>]| -> Result<bool, TransferError> {
        let mut incoming = Incoming::new(usize::MAX);
        let mut done = false;
        for frame in frames {
            done = incoming.accept(frame)?;
        }
        if !done {
            return Err(incoming.finish().unwrap_err());
        }
        Ok(done)
    };
    assert_eq!(accept(&good), Ok(true));
    for lost in 0..good.len() {
        let mut some = good.clone();
        some.remove(lost);
        assert!(accept(&some).is_err(), "frame {lost} lost");
        let mut twice = good.clone();
        twice.insert(lost, good[lost].clone());
        assert!(accept(&twice).is_err(), "frame {lost} twice");
        if lost > 0 {
            let mut swapped = good.clone();
            swapped.swap(lost, lost - 1);
            assert!(accept(&swapped).is_err(), "frame {lost} too early");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_damaged_byte_is_noticed(
        frame in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        change in 1_u8..,
    ) {
        let mut frames = frames(&mut used_region());
        let frame = frame.index(frames.len());
        let at = at.index(frames[frame].len());
        frames[frame][at] ^= change;
        let mut incoming = Incoming::new(usize::MAX);
        let accepted = frames.iter().try_for_each(|frame| incoming.accept(frame).map(|_| ()));
        prop_assert!(accepted.is_err());
    }

    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 1..300)) {
        prop_assert!(Incoming::new(usize::MAX).accept(&noise).is_err());
        prop_assert!(Receipt::decode(&noise).is_err());
        prop_assert!(Commit::decode(&noise).is_err());
    }
}

#[test]
fn ip47_the_destination_has_a_limit() {
    let frames = frames(&mut used_region());
    let error = Incoming::new(1 << 20).accept(&frames[0]).unwrap_err();
    assert!(
        matches!(error, TransferError::Object(DmoError::Quota { .. })),
        "{error}"
    );
}

#[test]
fn ip39_one_object_goes_to_another_actor_by_handoff() {
    let (mut from, mut to) = (region(), Region::new(actor(20), 4096));
    let id = from.alloc_value(b"memtable").unwrap();
    let used = from.used();
    let new = from.migrate(id, &mut to).unwrap();
    assert_eq!(new.actor(), actor(20));
    assert_eq!(to.get(new).unwrap(), b"memtable");
    assert_eq!(from.get(id), Err(DmoError::Stale { id }));
    assert_eq!(from.used(), used - 16, "the block is the new owner's");
    assert_eq!(to.used(), 16 + SLOT_BYTES);
    assert_eq!((from.objects(), to.objects()), (0, 1));

    let large = from.alloc(8000).unwrap();
    let error = from.migrate(large, &mut to).unwrap_err();
    assert!(matches!(error, DmoError::Quota { .. }));
    assert_eq!(
        from.get(large).unwrap(),
        vec![0; 8000],
        "it is where it was"
    );
    assert_eq!(to.objects(), 1);
    to.free(new).unwrap();
    assert!(to.alloc(2000).is_ok(), "the books are right");
}

#[test]
fn ip39_an_object_between_two_owners_is_nobodys() {
    let (mut from, mut to) = (region(), Region::new(actor(20), 4096));
    let id = from.alloc_value(b"log").unwrap();
    let detached: Detached = from.detach(id).unwrap();
    assert_eq!(from.get(id), Err(DmoError::Moving));
    assert_eq!(from.free(id), Err(DmoError::Moving));
    assert_eq!(
        from.start_copy(1).err(),
        Some(DmoError::Leaving { count: 1 })
    );
    let departed = to.adopt(detached).unwrap();
    from.settle(departed).unwrap();
    assert_eq!(from.settle(departed), Err(DmoError::Stale { id }));
    assert!(from.start_copy(1).is_ok());
}

fn copy_object(
    from: &mut Region,
    id: ObjectId,
    to: &mut Region,
    frame: usize,
) -> Result<ObjectId, TransferError> {
    let mut outgoing = from.start_copy_of(id, 3)?;
    let mut incoming = IncomingObject::default();
    let mut buffer = vec![0; frame];
    let receipt = loop {
        let len = outgoing.fill(from, &mut buffer)?;
        assert_eq!(from.get(id), Err(DmoError::Moving));
        match incoming.accept(to, &buffer[..len]) {
            Ok(Some(receipt)) => break receipt,
            Ok(None) => assert_ne!(len, 0),
            Err(error) => {
                incoming.discard(to);
                from.abort_copy(outgoing);
                return Err(error);
            }
        }
    };
    assert_eq!(
        to.get(receipt.id),
        Err(DmoError::Moving),
        "not given up yet"
    );
    let commit = from
        .commit_copy(outgoing, &receipt)
        .map_err(|(_, error)| error)?;
    assert_eq!(from.get(id), Err(DmoError::Stale { id }));
    incoming.activate(to, &commit)
}

#[test]
fn ip39_one_object_goes_to_another_actor_by_copy() {
    for len in [0_usize, 1, 64, 5000] {
        let (mut from, mut to) = (region(), Region::new(actor(20), 16 << 10));
        let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let id = from.alloc_value(&bytes[..]).unwrap();
        let other = from.alloc_value(b"stays").unwrap();
        let new = copy_object(&mut from, id, &mut to, 150).unwrap();
        assert_eq!(to.get(new).unwrap(), bytes);
        assert_eq!(from.get(other).unwrap(), b"stays");
        assert_eq!(from.objects(), 1);
        assert!(from.start_copy(1).is_ok() && to.start_copy(1).is_ok());
    }
    let (mut from, mut to) = (region(), Region::new(actor(20), 4096));
    let id = from.alloc(5000).unwrap();
    let error = copy_object(&mut from, id, &mut to, 150).unwrap_err();
    assert!(matches!(
        error,
        TransferError::Object(DmoError::Quota { .. })
    ));
    assert_eq!(from.get(id).unwrap(), vec![0; 5000]);
    assert_eq!((to.objects(), to.leaving()), (0, 0));
}
