//! The calls on objects, with every way in which each of them fails.

use proptest::prelude::*;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::*;
use crate::sched::dmo::outgoing::Outgoing;
use crate::sched::dmo::{
    Detached, DmoError, MOST_BYTES, MOST_SLOTS, Place, RESTING_SLOTS, SLOT_BYTES,
};

#[test]
fn ip08_dmo_malloc_gives_zeroed_bytes() {
    let mut region = region();
    for len in [0, 1, 15, 16, 17, 1000, 3 << 20] {
        let id = region.alloc(len).unwrap();
        assert_eq!(region.get(id).unwrap(), vec![0; len]);
        region.get_mut(id).unwrap().fill(0xee);
        region.free(id).unwrap();
        let again = region.alloc(len).unwrap();
        assert!(region.get(again).unwrap().iter().all(|byte| *byte == 0));
    }
    assert_eq!(region.objects(), 7);
    assert_eq!(
        region.alloc(MOST_BYTES + 1),
        Err(DmoError::TooLarge {
            bytes: MOST_BYTES + 1
        })
    );
    assert!(matches!(
        region.alloc(usize::MAX),
        Err(DmoError::TooLarge { .. })
    ));
}

#[test]
fn ip08_dmo_free_ends_an_id() {
    let mut region = region();
    let id = region.alloc(100).unwrap();
    region.free(id).unwrap();
    let stale = Err(DmoError::Stale { id });
    assert_eq!(region.free(id), stale);
    assert_eq!(region.get(id).map(|_| ()), stale);
    assert_eq!(region.get_mut(id).map(|_| ()), stale);
    assert_eq!(region.set(id, 0, 0, 0), stale);
    assert_eq!(region.resize(id, 5), stale);
    let other = region.alloc(100).unwrap();
    assert_eq!(region.copy(other, 0, id, 0, 0), stale);
    assert_eq!(region.move_bytes(id, 0, other, 0, 0), stale);
    assert_eq!(region.violations(), 0);
    assert_eq!(region.get(ObjectId::NONE), Err(DmoError::NoObject));
    let never = ObjectId::new(other.owner_word(), 5000, 1);
    assert_eq!(region.get(never), Err(DmoError::Unknown { id: never }));
    let no_serial = ObjectId::new(other.owner_word(), id.slot() as u32, 0);
    assert!(
        region.get(no_serial).is_err(),
        "a free slot is nobody's object"
    );
}

#[test]
fn ip08_dmo_mmset_checks_bounds() {
    let mut region = region();
    let id = region.alloc(10).unwrap();
    region.set(id, 2, 0xab, 3).unwrap();
    assert_eq!(
        region.get(id).unwrap(),
        [0, 0, 0xab, 0xab, 0xab, 0, 0, 0, 0, 0]
    );
    region.set(id, 10, 1, 0).unwrap();
    for (at, len) in [
        (11, 0),
        (10, 1),
        (0, 11),
        (5, 6),
        (usize::MAX, 1),
        (1, usize::MAX),
    ] {
        let size = 10;
        assert_eq!(
            region.set(id, at, 1, len),
            Err(DmoError::Bounds { id, at, len, size })
        );
    }
    assert_eq!(region.write(id, 8, &[1, 2]), Ok(()));
    assert!(matches!(
        region.write(id, 9, &[1, 2]),
        Err(DmoError::Bounds { .. })
    ));
    assert_eq!(
        region.get(id).unwrap(),
        [0, 0, 0xab, 0xab, 0xab, 0, 0, 0, 1, 2]
    );
}

#[test]
fn ip08_dmo_mmcpy_refuses_overlap() {
    let mut region = region();
    let a = region.alloc_value(b"abcdefgh").unwrap();
    let b = region.alloc(4).unwrap();
    region.copy(b, 1, a, 2, 3).unwrap();
    assert_eq!(region.get(b).unwrap(), b"\0cde");
    region.copy(a, 4, a, 0, 4).unwrap();
    assert_eq!(
        region.get(a).unwrap(),
        b"abcdabcd",
        "apart within one object"
    );
    assert_eq!(region.copy(a, 1, a, 0, 2), Err(DmoError::Overlap { id: a }));
    region.copy(a, 1, a, 1, 0).unwrap();
    assert!(matches!(region.copy(b, 2, a, 0, 3), Err(DmoError::Bounds { id, .. }) if id == b));
    assert!(matches!(region.copy(b, 0, a, 6, 3), Err(DmoError::Bounds { id, .. }) if id == a));
    assert!(matches!(
        region.copy(a, 1, a, 0, 8),
        Err(DmoError::Bounds { .. })
    ));
    assert_eq!(
        region.get(a).unwrap(),
        b"abcdabcd",
        "an error changes nothing"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn ip08_dmo_mmmove_is_overlap_safe(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        to in 0_usize..70, from in 0_usize..70, len in 0_usize..70,
    ) {
        let mut region = region();
        let id = region.alloc_value(&bytes[..]).unwrap();
        let mut expected = bytes.clone();
        if to + len <= bytes.len() && from + len <= bytes.len() {
            expected.copy_within(from..from + len, to);
            prop_assert_eq!(region.move_bytes(id, to, id, from, len), Ok(()));
        } else {
            let moved = region.move_bytes(id, to, id, from, len);
            let is_refused = matches!(moved, Err(DmoError::Bounds { .. }));
            prop_assert!(is_refused);
        }
        prop_assert_eq!(region.get(id).unwrap(), &expected[..]);
    }
}

#[test]
fn ip36_a_stale_id_is_refused_for_long() {
    let mut region = region();
    let first = region.alloc(8).unwrap();
    region.free(first).unwrap();
    for _ in 0..RESTING_SLOTS * 255 {
        let id = region.alloc(8).unwrap();
        assert_ne!(id, first);
        assert!(matches!(
            region.get(first),
            Err(DmoError::Stale { .. } | DmoError::Unknown { .. })
        ));
        region.free(id).unwrap();
    }
    assert!(
        region.used() <= (RESTING_SLOTS as usize + 2) * SLOT_BYTES,
        "the slots are used again"
    );
}

#[test]
fn ip36_resize_keeps_id_and_bytes() {
    let mut region = region();
    let id = region.alloc_value(b"0123456789").unwrap();
    for len in [12, 200, 11, 2 << 20, 5, 0, 7] {
        let before = region.get(id).unwrap().to_vec();
        region.resize(id, len).unwrap();
        let now = region.get(id).unwrap();
        let both = before.len().min(len);
        assert_eq!(now.len(), len);
        assert_eq!(now[..both], before[..both]);
        assert!(
            now[both..].iter().all(|byte| *byte == 0),
            "new bytes are zero"
        );
        assert_eq!(region.bytes(), len as u64);
    }
    let (used, quota) = (region.used(), region.quota());
    assert!(matches!(
        region.resize(id, quota),
        Err(DmoError::Quota { .. })
    ));
    assert_eq!(region.used(), used);
}

#[test]
fn ip37_another_actors_object_is_refused_and_counted() {
    let (mut mine, mut theirs) = (region(), Region::new(actor(8), 1 << 20));
    let secret = theirs.alloc_value(b"secret").unwrap();
    let own = mine.alloc(6).unwrap();
    let foreign = DmoError::Foreign {
        id: secret,
        actor: actor(7),
    };
    assert_eq!(mine.get(secret), Err(foreign));
    assert_eq!(mine.get_mut(secret), Err(foreign));
    assert_eq!(mine.free(secret), Err(foreign));
    assert_eq!(mine.set(secret, 0, 0, 1), Err(foreign));
    assert_eq!(mine.copy(own, 0, secret, 0, 6), Err(foreign));
    assert_eq!(mine.move_bytes(secret, 0, own, 0, 6), Err(foreign));
    assert_eq!(mine.pair_mut(own, secret).err(), Some(foreign));
    assert_eq!(mine.view::<u32>(secret), Err(foreign));
    assert_eq!(mine.resize(secret, 1), Err(foreign));
    assert_eq!(mine.detach(secret).err(), Some(foreign));
    assert_eq!(mine.violations(), 10);
    assert_eq!(theirs.get(secret).unwrap(), b"secret");
    assert_eq!(mine.get(own).unwrap(), [0; 6]);

    // The next actor in the same place of the table is another actor.
    let mut successor = Region::new(
        ActorId {
            index: 8,
            generation: 4,
        },
        1 << 20,
    );
    let theirs_now = successor.alloc(6).unwrap();
    assert_eq!(theirs_now.index(), secret.index());
    assert!(matches!(
        successor.get(secret),
        Err(DmoError::Foreign { .. })
    ));
}

#[test]
fn ip47_beyond_the_quota_allocation_fails_and_changes_nothing() {
    let mut region = Region::new(actor(1), 10_000);
    let mut ids = Vec::new();
    let error = loop {
        match region.alloc(1000) {
            Ok(id) => ids.push(id),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, DmoError::Quota { asked: 1024, .. }),
        "{error}"
    );
    assert_eq!(ids.len(), 9, "each takes 1024 bytes and a slot");
    assert!(region.used() <= region.quota());
    let used = region.used();
    assert!(region.alloc(1000).is_err());
    assert_eq!((region.used(), region.objects()), (used, 9));
    for id in &ids {
        region.set(*id, 0, 1, 1000).unwrap();
    }
    region.free(ids[4]).unwrap();
    assert!(region.alloc(1000).is_ok(), "what is freed can be had again");
}

#[test]
fn ip47_objects_of_no_length_are_bounded_too() {
    let mut region = Region::new(actor(1), 100 * SLOT_BYTES);
    let count = std::iter::from_fn(|| region.alloc(0).ok()).count();
    assert_eq!(count, 100);
    assert!(matches!(region.alloc(0), Err(DmoError::Quota { .. })));
}

#[test]
fn ip47_all_of_the_quota_serves_after_any_history() {
    let mut region = Region::new(actor(1), 256 << 10);
    for size in [100, 100_000, 1000, 10_000, 200] {
        let ids: Vec<_> = std::iter::from_fn(|| region.alloc(size).ok()).collect();
        // A block is at most a quarter larger, a slot at most its bytes for every object there ever
        // was.
        let block = size + size / 4 + 16 + SLOT_BYTES;
        let slots = region.entries().len() * SLOT_BYTES;
        assert!(
            ids.len() >= (region.quota() - slots) / block,
            "{size}: {}",
            ids.len()
        );
        for id in ids {
            region.free(id).unwrap();
        }
    }
}

#[test]
fn ip47_equal_shares_are_those_of_the_paper() {
    assert_eq!(Region::equal_share(1000, 100, 9), 100);
    assert_eq!(Region::equal_share(100, 1000, 9), 0);
    assert_eq!(Region::equal_share(1000, 0, 0), 1000);
}

#[test]
fn a_warm_region_does_not_ask_the_system() {
    let mut region = region();
    region.reserve(500, 32).unwrap();
    let kept = region.kept();
    assert_eq!(kept, 32 * 512);
    for _ in 0..100 {
        let ids: Vec<_> = (0..32).map(|_| region.alloc(500).unwrap()).collect();
        assert_eq!(region.kept(), 0);
        ids.into_iter().for_each(|id| region.free(id).unwrap());
        assert_eq!(region.kept(), kept, "all came from what was kept");
    }
}

#[derive(Debug, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Counter {
    next: ObjectId,
    count: u64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(32))]
struct Wide([u8; 32]);

#[test]
fn a_view_is_in_place_and_checked() {
    let mut region = region();
    let a = region.alloc(size_of::<Counter>() + 5).unwrap();
    let b = region.alloc(size_of::<Counter>() - 1).unwrap();
    region.view_mut::<Counter>(a).unwrap().count = 5;
    region.view_mut::<Counter>(a).unwrap().next = b;
    let counter = region.view::<Counter>(a).unwrap();
    assert_eq!((counter.next, counter.count), (b, 5));
    assert_eq!(region.view::<Counter>(b), Err(DmoError::Layout { id: b }));
    assert!(
        matches!(region.slice::<u64>(b), Err(DmoError::Layout { .. })),
        "15 bytes"
    );
    let words = region.alloc(32).unwrap();
    region.slice_mut::<u64>(words).unwrap()[3] = 9;
    assert_eq!(region.slice::<u64>(words).unwrap(), [0, 0, 0, 9]);
    // Alignment is guaranteed up to a granule, and never assumed beyond.
    let wide = (0..8).map(|_| region.alloc(32).unwrap());
    let wide: Vec<_> = wide.collect();
    for id in wide {
        let aligned = region.get(id).unwrap().as_ptr().addr().is_multiple_of(32);
        assert_eq!(region.view::<Wide>(id).is_ok(), aligned);
        assert!(region.view::<u128>(id).is_ok());
    }
}

#[test]
fn two_objects_can_be_written_at_once() {
    let mut region = region();
    let (a, b) = (region.alloc(4).unwrap(), region.alloc(4).unwrap());
    let (left, right) = region.pair_mut(a, b).unwrap();
    left.fill(1);
    right.copy_from_slice(left);
    assert_eq!(region.get(b).unwrap(), [1; 4]);
    assert_eq!(
        region.pair_mut(a, a).err(),
        Some(DmoError::SameObject { id: a })
    );
}

#[test]
fn ip36_a_region_that_is_not_local_serves_nothing() {
    let mut region = region();
    let id = region.alloc(8).unwrap();
    let outgoing = region.start_copy(1).unwrap();
    assert_eq!(region.place(), Place::Moving);
    assert_eq!(region.get(id), Err(DmoError::Moving));
    assert_eq!(region.alloc(1), Err(DmoError::Moving));
    assert_eq!(region.free(id), Err(DmoError::Moving));
    assert_eq!(region.start_copy(2).err(), Some(DmoError::Moving));
    assert_eq!(region.hand_over().err(), Some(DmoError::Moving));
    region.abort_copy(outgoing);
    assert_eq!(region.get(id).unwrap(), [0; 8]);
    let there = region.hand_over().unwrap();
    assert_eq!(region.place(), Place::Remote);
    assert_eq!(region.get(id), Err(DmoError::Remote));
    assert_eq!(region.alloc(1), Err(DmoError::Remote));
    assert_eq!(region.used(), 0);
    assert_eq!(there.get(id).unwrap(), [0; 8]);
}

#[test]
fn ip47_there_are_no_more_slots_than_ids_can_name() {
    let mut region = Region::new(actor(1), usize::MAX);
    assert_eq!(region.grow(MOST_SLOTS + 1), Err(DmoError::NoSlot));
    assert_eq!(region.used(), 0);
}

#[test]
fn what_goes_from_core_to_core_can() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<Region>();
    is_send::<Detached>();
    is_send::<Outgoing>();
    is_send::<Incoming>();
    // So that several cores may read at once, behind a lock.
    is_sync::<Region>();
}
