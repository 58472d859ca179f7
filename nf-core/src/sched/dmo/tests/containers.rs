//! Containers against the standard library's, with moves in the middle of what is done to them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::sched::dmo::log::DmoLog;
use crate::sched::dmo::map::DmoMap;
use crate::sched::dmo::ring::DmoRing;
use crate::sched::dmo::skiplist::DmoSkipList;
use crate::sched::dmo::vector::DmoVec;
use crate::sched::dmo::{DmoError, Place};

/// How the region is moved between two steps.
#[derive(Debug, Clone, Copy)]
enum Move {
    Copy(usize),
    HandOver,
    Abort,
}

#[derive(Debug, Clone)]
enum Step<S> {
    Do(S),
    Move(Move),
}

/// Steps, one in twenty of which is a move.
fn steps<S: std::fmt::Debug + Clone + 'static>(
    step: impl Strategy<Value = S> + 'static,
    most: usize,
) -> impl Strategy<Value = Vec<Step<S>>> {
    let moves = prop_oneof![
        (128_usize..3000).prop_map(Move::Copy),
        Just(Move::HandOver),
        Just(Move::Abort),
    ];
    let step = prop_oneof![19 => step.prop_map(Step::Do), 1 => moves.prop_map(Step::Move)];
    prop::collection::vec(step, 1..most)
}

fn moved(mut region: Region, way: Move) -> Region {
    let before = contents(&region);
    let there = match way {
        Move::Copy(frame) => copy(&mut region, frame).unwrap(),
        Move::HandOver => region.hand_over().unwrap(),
        Move::Abort => {
            let mut outgoing = region.start_copy(9).unwrap();
            outgoing.fill(&region, &mut [0; 500]).unwrap();
            region.abort_copy(outgoing);
            region
        }
    };
    assert_eq!(there.place(), Place::Local);
    assert_eq!(contents(&there), before);
    there
}

#[derive(Debug, Clone)]
enum VectorStep {
    Push(u64),
    Pop(usize),
    Set(usize, u64),
    Get(usize),
}

fn vector_step() -> impl Strategy<Value = VectorStep> {
    use VectorStep::{Get, Pop, Push, Set};
    prop_oneof![
        6 => any::<u64>().prop_map(Push),
        1 => (0_usize..9).prop_map(Pop),
        1 => (any::<usize>(), any::<u64>()).prop_map(|(at, value)| Set(at, value)),
        1 => any::<usize>().prop_map(Get),
    ]
}

#[derive(Debug, Clone)]
enum MapStep {
    Insert(u16, u64),
    Remove(u16),
    Update(u16),
    RemoveMany(u16),
}

fn map_step() -> impl Strategy<Value = MapStep> {
    use MapStep::{Insert, Remove, RemoveMany, Update};
    prop_oneof![
        20 => (any::<u16>(), any::<u64>()).prop_map(|(key, value)| Insert(key % 600, value)),
        6 => any::<u16>().prop_map(|key| Remove(key % 600)),
        3 => any::<u16>().prop_map(|key| Update(key % 600)),
        1 => any::<u16>().prop_map(|key| RemoveMany(key % 600)),
    ]
}

#[derive(Debug, Clone)]
enum ListStep {
    Insert([u8; 3], Vec<u8>),
    Remove([u8; 3]),
    PopFirst,
    From([u8; 3]),
}

fn list_step() -> impl Strategy<Value = ListStep> {
    use ListStep::{From, Insert, PopFirst, Remove};
    let key = || (0_u8..9, 0_u8..9, 0_u8..4).prop_map(|(a, b, c)| [a, b, c]);
    let pair = (key(), prop::collection::vec(any::<u8>(), 0..50));
    prop_oneof![
        8 => pair.prop_map(|(key, value)| Insert(key, value)),
        4 => key().prop_map(Remove),
        1 => Just(PopFirst),
        1 => key().prop_map(From),
    ]
}

#[derive(Debug, Clone)]
enum QueueStep {
    Push(Vec<u8>),
    Trim(u64),
    Get(u64),
}

fn queue_step() -> impl Strategy<Value = QueueStep> {
    use QueueStep::{Get, Push, Trim};
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..90).prop_map(Push),
        1 => (0_u64..12).prop_map(Trim),
        1 => (0_u64..30).prop_map(Get),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn ip38_a_vector_survives_moves(steps in steps(vector_step(), 1500)) {
        let mut region = region();
        let root = DmoVec::<u64>::new(&mut region).unwrap().id();
        let mut model = Vec::new();
        for step in steps {
            // Opened each time, as a handler does that remembers the id only.
            let vector = DmoVec::<u64>::open(&region, root).unwrap();
            match step {
                Step::Move(way) => region = moved(region, way),
                Step::Do(VectorStep::Push(value)) => {
                    vector.push(&mut region, value).unwrap();
                    model.push(value);
                }
                Step::Do(VectorStep::Pop(times)) => for _ in 0..times {
                    prop_assert_eq!(vector.pop(&mut region).unwrap(), model.pop());
                },
                Step::Do(VectorStep::Set(at, value)) => {
                    let at = at % (model.len() + 1);
                    prop_assert_eq!(vector.set(&mut region, at, value).unwrap(), at < model.len());
                    if let Some(slot) = model.get_mut(at) {
                        *slot = value;
                    }
                }
                Step::Do(VectorStep::Get(at)) => {
                    let at = at % (model.len() + 1);
                    prop_assert_eq!(vector.get(&region, at).unwrap(), model.get(at).copied());
                }
            }
            prop_assert_eq!(vector.len(&region).unwrap(), model.len());
        }
        let vector = DmoVec::<u64>::open(&region, root).unwrap();
        let mut all = Vec::new();
        vector.for_each(&region, |value| all.push(value)).unwrap();
        prop_assert_eq!(all, model);
        vector.destroy(&mut region).unwrap();
        prop_assert_eq!(region.objects(), 0);
    }

    #[test]
    fn ip38_a_map_survives_moves(steps in steps(map_step(), 1200), depth in 0_u32..6) {
        let mut region = region();
        let root = DmoMap::<u16, u64>::with_depth(&mut region, [1, 2], depth).unwrap().id();
        let mut model = HashMap::new();
        for step in steps {
            let map = DmoMap::<u16, u64>::open(&region, root).unwrap();
            match step {
                Step::Move(way) => region = moved(region, way),
                Step::Do(MapStep::Insert(key, value)) => {
                    let old = map.insert(&mut region, key, value).unwrap();
                    prop_assert_eq!(old, model.insert(key, value));
                }
                Step::Do(MapStep::Remove(key)) => {
                    prop_assert_eq!(map.remove(&mut region, &key).unwrap(), model.remove(&key));
                }
                Step::Do(MapStep::Update(key)) => {
                    let expected = model.get_mut(&key).map(|value: &mut u64| {
                        *value = value.wrapping_add(1);
                        *value
                    });
                    let updated = map.update(&mut region, &key, |value| value.wrapping_add(1));
                    prop_assert_eq!(updated.unwrap(), expected);
                }
                Step::Do(MapStep::RemoveMany(from)) => for key in from..from + 150 {
                    prop_assert_eq!(map.remove(&mut region, &key).unwrap(), model.remove(&key));
                },
            }
            prop_assert_eq!(map.len(&region).unwrap(), model.len());
        }
        let map = DmoMap::<u16, u64>::open(&region, root).unwrap();
        prop_assert!(map.sound_depth(&region).unwrap().is_some());
        let mut all = HashMap::new();
        map.for_each(&region, |key, value| assert!(all.insert(key, value).is_none())).unwrap();
        prop_assert_eq!(&all, &model);
        for key in 0..600 {
            prop_assert_eq!(map.get(&region, &key).unwrap(), model.get(&key).copied());
        }
        map.destroy(&mut region).unwrap();
        prop_assert_eq!(region.objects(), 0);
    }

    #[test]
    fn ip38_a_skip_list_survives_moves(steps in steps(list_step(), 600)) {
        let mut region = region();
        let root = DmoSkipList::<[u8; 3]>::new(&mut region, 42).unwrap().id();
        let mut model = BTreeMap::new();
        for step in steps {
            let list = DmoSkipList::<[u8; 3]>::open(&region, root).unwrap();
            match step {
                Step::Move(way) => {
                    region = moved(region, way);
                    prop_assert!(list.is_sound(&region).unwrap());
                }
                Step::Do(ListStep::Insert(key, value)) => {
                    let replaced = list.insert(&mut region, key, &value).unwrap();
                    prop_assert_eq!(replaced, model.insert(key, value).is_some());
                }
                Step::Do(ListStep::Remove(key)) => {
                    let removed = list.remove(&mut region, &key).unwrap();
                    prop_assert_eq!(removed, model.remove(&key).is_some());
                }
                Step::Do(ListStep::PopFirst) => {
                    let first = model.pop_first().map(|(key, _)| key);
                    prop_assert_eq!(list.pop_first(&mut region).unwrap(), first);
                }
                Step::Do(ListStep::From(key)) => {
                    let mut some = Vec::new();
                    list.for_each(&region, Some(&key), |key, value| {
                        some.push((key, value.to_vec()));
                        some.len() < 10
                    }).unwrap();
                    let expected: Vec<_> = model.range(key..).take(10)
                        .map(|(key, value)| (*key, value.clone())).collect();
                    prop_assert_eq!(some, expected);
                    let value = list.get(&region, &key).unwrap();
                    prop_assert_eq!(value, model.get(&key).map(|value| &value[..]));
                }
            }
            prop_assert_eq!(list.len(&region).unwrap(), model.len());
        }
        let list = DmoSkipList::<[u8; 3]>::open(&region, root).unwrap();
        prop_assert!(list.is_sound(&region).unwrap());
        prop_assert_eq!(region.objects(), 1 + 2 * model.len());
        list.destroy(&mut region).unwrap();
        prop_assert_eq!(region.objects(), 0);
    }

    #[test]
    fn ip38_a_log_survives_moves(steps in steps(queue_step(), 400)) {
        let mut region = region();
        let root = DmoLog::new(&mut region, 256, 2000).unwrap().id();
        let mut model = VecDeque::new();
        let (mut first, mut next) = (0, 0);
        for step in steps {
            let log = DmoLog::open(&region, root).unwrap();
            match step {
                Step::Move(way) => region = moved(region, way),
                Step::Do(QueueStep::Push(record)) => match log.append(&mut region, &record) {
                    Ok(number) => {
                        prop_assert_eq!(number, next);
                        next += 1;
                        model.push_back(record);
                    }
                    Err(error) => {
                        prop_assert_eq!(error, DmoError::Full);
                        let bytes: usize = model.iter().map(Vec::len).sum();
                        prop_assert!(bytes > 600, "{} bytes are not full", bytes);
                    }
                },
                Step::Do(QueueStep::Trim(count)) => {
                    first = (first + count).min(next);
                    log.trim(&mut region, first).unwrap();
                    model.drain(..model.len() - (next - first) as usize);
                }
                Step::Do(QueueStep::Get(back)) => {
                    let number = next.saturating_sub(back);
                    let expected = number.checked_sub(first)
                        .and_then(|at| model.get(at as usize)).map(|record| &record[..]);
                    prop_assert_eq!(log.get(&region, number).unwrap(), expected);
                }
            }
            prop_assert_eq!(log.range(&region).unwrap(), first..next);
        }
        let log = DmoLog::open(&region, root).unwrap();
        let mut all = Vec::new();
        log.for_each(&region, 0, |number, record| {
            all.push((number, record.to_vec()));
            true
        }).unwrap();
        prop_assert_eq!(all, (first..).zip(model).collect::<Vec<_>>());
        log.destroy(&mut region).unwrap();
        prop_assert_eq!(region.objects(), 0);
    }

    #[test]
    fn ip38_a_ring_survives_moves(steps in steps(vector_step(), 300)) {
        let mut region = region();
        let root = DmoRing::<u64>::new(&mut region, 10).unwrap().id();
        let mut model = VecDeque::new();
        for step in steps {
            let ring = DmoRing::<u64>::open(&region, root).unwrap();
            match step {
                Step::Move(way) => region = moved(region, way),
                Step::Do(VectorStep::Push(value)) if model.len() < 10 => {
                    ring.push(&mut region, value).unwrap();
                    model.push_back(value);
                }
                Step::Do(VectorStep::Push(value)) => {
                    prop_assert_eq!(ring.push(&mut region, value), Err(DmoError::Full));
                }
                Step::Do(VectorStep::Pop(times)) => for _ in 0..times {
                    prop_assert_eq!(ring.pop(&mut region).unwrap(), model.pop_front());
                },
                Step::Do(VectorStep::Set(_, value)) => {
                    let expected = if model.len() == 10 { model.pop_front() } else { None };
                    prop_assert_eq!(ring.push_over(&mut region, value).unwrap(), expected);
                    model.push_back(value);
                }
                Step::Do(VectorStep::Get(at)) => {
                    let at = at % 12;
                    prop_assert_eq!(ring.get(&region, at).unwrap(), model.get(at).copied());
                }
            }
            prop_assert_eq!(ring.len(&region).unwrap(), model.len());
        }
        let ring = DmoRing::<u64>::open(&region, root).unwrap();
        ring.destroy(&mut region).unwrap();
        prop_assert_eq!(region.objects(), 0);
    }
}

#[test]
fn ip38_a_map_gives_its_directory_back() {
    let mut region = region();
    let map = DmoMap::<u32, u32>::new(&mut region, [7, 8]).unwrap();
    for key in 0..20_000 {
        map.insert(&mut region, key, !key).unwrap();
    }
    let depth = map.sound_depth(&region).unwrap().unwrap();
    assert!((8..=12).contains(&depth), "{depth}");
    let buckets = region.objects();
    for key in 0..20_000 {
        assert_eq!(map.remove(&mut region, &key).unwrap(), Some(!key));
    }
    assert_eq!(map.sound_depth(&region).unwrap(), Some(0));
    assert!(buckets > 300 && region.objects() == 3, "{buckets}");
}

#[test]
fn ip47_a_container_without_quota_stays_as_it_was() {
    let mut region = Region::new(actor(1), 40_000);
    let map = DmoMap::<u32, u64>::new(&mut region, [0, 0]).unwrap();
    let vector = DmoVec::<u64>::new(&mut region).unwrap();
    let list = DmoSkipList::<u32>::new(&mut region, 0).unwrap();
    let log = DmoLog::new(&mut region, 512, usize::MAX).unwrap();
    let mut count = 0_u32;
    let error = loop {
        let turn = map
            .insert(&mut region, count, 1)
            .map(|_| ())
            .and_then(|()| vector.push(&mut region, 2))
            .and_then(|()| list.insert(&mut region, count, b"three").map(|_| ()))
            .and_then(|()| log.append(&mut region, b"four").map(|_| ()));
        if let Err(error) = turn {
            break error;
        }
        count += 1;
    };
    assert!(matches!(error, DmoError::Quota { .. }), "{error}");
    assert!(count > 100);
    assert!(map.sound_depth(&region).unwrap().is_some());
    assert!(list.is_sound(&region).unwrap());
    for (len, name) in [
        (map.len(&region).unwrap(), "map"),
        (vector.len(&region).unwrap(), "vector"),
        (list.len(&region).unwrap(), "list"),
        (log.range(&region).unwrap().count(), "log"),
    ] {
        assert!(
            len == count as usize || len == count as usize + 1,
            "{name}: {len}"
        );
    }
    let before = (map.len(&region), list.len(&region));
    let failed = (10_000..10_100).filter(|key| list.insert(&mut region, *key, &[1; 400]).is_err());
    assert!(failed.count() > 50);
    assert!(list.is_sound(&region).unwrap());
    assert_eq!(map.len(&region), before.0);
    // And all of it can be freed.
    map.destroy(&mut region).unwrap();
    vector.destroy(&mut region).unwrap();
    list.destroy(&mut region).unwrap();
    log.destroy(&mut region).unwrap();
    assert_eq!(region.objects(), 0);
}

#[test]
fn a_container_is_opened_as_what_it_is() {
    let mut region = region();
    let map = DmoMap::<u32, u64>::new(&mut region, [0, 0]).unwrap().id();
    let vector = DmoVec::<u64>::new(&mut region).unwrap().id();
    let list = DmoSkipList::<u32>::new(&mut region, 0).unwrap().id();
    let ring = DmoRing::<u32>::new(&mut region, 5).unwrap().id();
    let log = DmoLog::new(&mut region, 100, 100).unwrap().id();
    let layout = |id| Some(DmoError::Layout { id });
    assert_eq!(DmoVec::<u64>::open(&region, map).err(), layout(map));
    assert_eq!(DmoVec::<u32>::open(&region, vector).err(), layout(vector));
    assert_eq!(DmoMap::<u32, u32>::open(&region, map).err(), layout(map));
    assert_eq!(DmoSkipList::<u64>::open(&region, list).err(), layout(list));
    assert_eq!(DmoRing::<u64>::open(&region, ring).err(), layout(ring));
    assert_eq!(DmoLog::open(&region, vector).err(), layout(vector));
    assert_eq!(
        DmoLog::open(&region, ObjectId::NONE).err(),
        Some(DmoError::NoObject)
    );
    assert!(DmoLog::open(&region, log).is_ok());
}

#[test]
fn ip38_a_map_that_cannot_grow_lengthens_its_buckets_and_shortens_them() {
    let mut region = region();
    let map = DmoMap::<u32, u32>::with_depth(&mut region, [7, 8], 1).unwrap();
    for key in 0..1000 {
        map.insert(&mut region, key, key).unwrap();
    }
    assert_eq!(map.sound_depth(&region).unwrap(), Some(1));
    assert!(region.objects() > 15);
    let mut region = copy(&mut region, 300).unwrap();
    for key in 0..1000 {
        assert_eq!(map.remove(&mut region, &key).unwrap(), Some(key));
    }
    assert!(region.objects() <= 4, "at most two buckets are left");
}

#[test]
fn ip38_a_vector_keeps_one_spare_chunk() {
    let mut region = region();
    let vector = DmoVec::<u64>::new(&mut region).unwrap();
    for round in 0..3 {
        for value in 0..2000 {
            vector.push(&mut region, value + round).unwrap();
        }
        assert_eq!(region.objects(), 2 + 4);
        for value in (0..2000).rev() {
            assert_eq!(vector.pop(&mut region).unwrap(), Some(value + round));
        }
        assert_eq!(vector.pop(&mut region).unwrap(), None);
        assert_eq!(region.objects(), 2 + 1);
    }
}
