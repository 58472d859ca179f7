//! Frames that nobody who follows the rules sends, with right checksums.

use zerocopy::IntoBytes;

use super::*;
use crate::sched::dmo::incoming::IncomingObject;
use crate::sched::dmo::record::{Begin, Head, Writer, kind};
use crate::sched::dmo::{DmoError, MOST_SLOTS};

const OWNER: u32 = 7 << 16 | 3;

fn head(kind: u32, slot: u32, serial: u8, size: u32, at: u32) -> Head {
    Head {
        crc: 0,
        kind,
        id: ObjectId::new(OWNER, slot, serial),
        size,
        at,
        len: 0,
        transfer: 1,
    }
}

fn part(slot: u32, serial: u8, size: u32, at: u32) -> Head {
    head(kind::PART, slot, serial, size, at)
}

fn frame(records: &[(Head, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let mut writer = Writer::new(&mut bytes);
    for (head, payload) in records {
        writer.put(*head, payload).unwrap();
    }
    let written = writer.written;
    bytes.truncate(written);
    bytes
}

/// Of a region with three slots, one object of four bytes, and two free slots.
fn begin() -> Begin {
    Begin {
        quota: 1000,
        bytes: 4,
        violations: 0,
        root: ObjectId::NONE,
        slots: 3,
        objects: 1,
    }
}

fn accept(begin: Begin, records: &[(Head, &[u8])]) -> Result<bool, TransferError> {
    let first = [(head(kind::BEGIN, 0, 0, 0, 0), begin.as_bytes())];
    let mut incoming = Incoming::new(1 << 20);
    incoming.accept(&frame(&first))?;
    incoming.accept(&frame(records))
}

fn index(slot: u32, serial: u8) -> u32 {
    ObjectId::new(0, slot, serial).index()
}

#[test]
fn what_follows_the_rules_is_accepted_so_far() {
    let free = [index(2, 9), index(0, 1)];
    let records = [
        (head(kind::FREE, 0, 0, 0, 0), free.as_bytes()),
        (part(1, 5, 4, 0), b"ab"),
        (part(1, 5, 4, 2), b"cd"),
    ];
    assert_eq!(accept(begin(), &records), Ok(false));
}

#[test]
fn forged_regions_are_refused() {
    for slots in [MOST_SLOTS + 1, u32::MAX, 32] {
        let error = accept(Begin { slots, ..begin() }, &[]).unwrap_err();
        assert_eq!(
            error,
            TransferError::Object(DmoError::NoSlot),
            "more than the quota is for"
        );
    }
    for quota in [2 << 20, u64::MAX] {
        let error = accept(Begin { quota, ..begin() }, &[]).unwrap_err();
        assert!(matches!(
            error,
            TransferError::Object(DmoError::Quota { .. })
        ));
    }
    let again = begin();
    let again = [(head(kind::BEGIN, 0, 0, 0, 0), again.as_bytes())];
    assert_eq!(accept(begin(), &again), Err(TransferError::Unexpected));
}

#[test]
fn forged_free_slots_are_refused() {
    let free = |list: &[u32], at| {
        let records = [(head(kind::FREE, 0, 0, 0, at), list.as_bytes())];
        accept(begin(), &records)
    };
    assert_eq!(free(&[index(0, 1)], 0), Ok(false));
    assert_eq!(
        free(&[index(0, 1), index(0, 1)], 0),
        Err(TransferError::Gap),
        "twice"
    );
    assert_eq!(
        free(&[index(3, 1)], 0),
        Err(TransferError::Gap),
        "beyond the table"
    );
    assert_eq!(
        free(&[index(0, 0)], 0),
        Err(TransferError::Gap),
        "never used"
    );
    assert_eq!(
        free(&[index(0, 1)], 1),
        Err(TransferError::Gap),
        "not the first"
    );
    let odd = [(head(kind::FREE, 0, 0, 0, 0), &[0_u8; 5][..])];
    assert_eq!(accept(begin(), &odd), Err(TransferError::Gap));
    let used = [
        (part(1, 5, 0, 0), &b""[..]),
        (head(kind::FREE, 0, 0, 0, 0), &index(1, 5).to_ne_bytes()),
    ];
    assert_eq!(
        accept(begin(), &used),
        Err(TransferError::Gap),
        "it has an object"
    );
}

#[test]
fn forged_objects_are_refused() {
    let gap = Err(TransferError::Gap);
    assert_eq!(
        accept(begin(), &[(part(3, 5, 4, 0), b"abcd")]),
        gap,
        "beyond the table"
    );
    assert_eq!(
        accept(begin(), &[(part(1, 0, 4, 0), b"abcd")]),
        gap,
        "no such use"
    );
    assert_eq!(
        accept(begin(), &[(part(1, 5, 4, 1), b"bcd")]),
        gap,
        "no beginning"
    );
    assert_eq!(
        accept(begin(), &[(part(1, 5, 4, 0), b"abcde")]),
        gap,
        "too much"
    );
    assert_eq!(
        accept(begin(), &[(part(1, 5, 4, 0), b"")]),
        gap,
        "it would never end"
    );
    let twice = [
        (part(1, 5, 4, 0), &b"abcd"[..]),
        (part(1, 5, 4, 0), b"abcd"),
    ];
    assert_eq!(accept(begin(), &twice), gap);
    let other = [(part(1, 5, 4, 0), &b"ab"[..]), (part(2, 5, 4, 2), b"cd")];
    assert_eq!(accept(begin(), &other), gap, "another one in between");
    let size = [(part(1, 5, 4, 0), &b"ab"[..]), (part(1, 5, 9, 2), b"cd")];
    assert_eq!(accept(begin(), &size), gap, "another size");
    for size in [1000, 1 << 30, u32::MAX] {
        let error = accept(begin(), &[(part(1, 5, size, 0), b"abcd")]).unwrap_err();
        assert!(matches!(error, TransferError::Object(_)), "{error}");
    }
    let foreign = Head {
        id: ObjectId::new(OWNER + 1, 1, 5),
        ..part(1, 5, 4, 0)
    };
    assert_eq!(
        accept(begin(), &[(foreign, b"abcd")]),
        Err(TransferError::Unexpected)
    );
    let transfer = Head {
        transfer: 2,
        ..part(1, 5, 4, 0)
    };
    assert_eq!(
        accept(begin(), &[(transfer, b"abcd")]),
        Err(TransferError::Unexpected)
    );
}

#[test]
fn an_end_that_is_none_is_refused() {
    let end = (head(kind::END, 0, 0, 0, 0), &b""[..]);
    assert_eq!(
        accept(begin(), &[end]),
        Err(TransferError::Gap),
        "an object is missing"
    );
    let object = (part(1, 5, 4, 0), &b"abcd"[..]);
    assert_eq!(
        accept(begin(), &[object, end]),
        Err(TransferError::Gap),
        "free slots are"
    );
    let free = [index(2, 9), index(0, 1)];
    let free = (head(kind::FREE, 0, 0, 0, 0), free.as_bytes());
    assert_eq!(
        accept(begin(), &[free, object, end]),
        Err(TransferError::Gap),
        "the digest is"
    );
    let unknown = (head(0, 0, 0, 0, 0), &b""[..]);
    assert_eq!(accept(begin(), &[unknown]), Err(TransferError::Unexpected));
    let early = Incoming::new(1 << 20).accept(&frame(&[object]));
    assert_eq!(early, Err(TransferError::Unexpected), "nothing has begun");
}

#[test]
fn forged_single_objects_are_refused() {
    let attempt = |records: &[(Head, &[u8])]| {
        let mut to = Region::new(actor(9), 1000);
        let mut incoming = IncomingObject::default();
        let result = incoming.accept(&mut to, &frame(records));
        incoming.discard(&mut to);
        assert_eq!(
            (to.objects(), to.leaving()),
            (0, 0),
            "nothing is left behind"
        );
        result.map(|receipt| receipt.is_some())
    };
    let one = (head(kind::ONE, 1, 5, 4, 0), &b""[..]);
    assert_eq!(attempt(&[one, (part(1, 5, 4, 0), b"ab")]), Ok(false));
    assert_eq!(attempt(&[one, one]), Err(TransferError::Unexpected));
    assert_eq!(
        attempt(&[(part(1, 5, 4, 0), b"ab")]),
        Err(TransferError::Unexpected)
    );
    assert_eq!(
        attempt(&[one, (part(1, 5, 4, 1), b"b")]),
        Err(TransferError::Gap)
    );
    assert_eq!(
        attempt(&[one, (part(2, 5, 4, 0), b"ab")]),
        Err(TransferError::Gap)
    );
    let end = (head(kind::END, 0, 0, 0, 0), &b""[..]);
    assert_eq!(attempt(&[one, end]), Err(TransferError::Gap));
    let large = (head(kind::ONE, 1, 5, u32::MAX, 0), &b""[..]);
    assert!(matches!(attempt(&[large]), Err(TransferError::Object(_))));
}
