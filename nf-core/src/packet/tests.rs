//! Ownership, room, segments and sharing of packets.

use super::{Batch, Direction, Meta, NO_PORT, Packet};
use crate::dpdk::tests::{eal, pool, unique};
use crate::dpdk::{MAX_BURST, Mempool};

fn packet(pool: &Mempool, bytes: &[u8]) -> Packet {
    Packet::from_bytes(pool, bytes).expect("a packet")
}

#[test]
fn headroom_and_tailroom_push_and_pull() {
    let pool = pool(63);
    let mut p = packet(&pool, b"payload");
    assert_eq!(p.headroom(), 128);
    p.prepend(4).expect("headroom").copy_from_slice(b"head");
    p.append(4).expect("tailroom").copy_from_slice(b"tail");
    assert_eq!(p.data(), b"headpayloadtail");
    assert_eq!(p.len(), 15);
    assert!(p.trim_front(4) && p.trim_back(4));
    assert_eq!(p.data(), b"payload");
    assert!(
        p.prepend(129).is_none() && p.append(4096).is_none(),
        "no more than there is room for"
    );
    assert!(
        !p.trim_front(8) && !p.trim_back(8),
        "no more than there is data"
    );
    assert_eq!(p.data(), b"payload");
    assert!(p.prepend(128).is_some());
    assert_eq!(p.headroom(), 0);
}

#[test]
fn a_length_can_be_set_with_room_to_write_beyond() {
    let pool = pool(63);
    let mut p = packet(&pool, b"payload");
    let room = p.set_len(60, 64).expect("one segment with room");
    assert_eq!(room.len(), 64);
    room.fill(7);
    assert_eq!((p.len(), p.data()), (60, &[7; 60][..]));
    let all = p.tailroom() + 60;
    assert!(p.set_len(0, all + 1).is_none() && p.set_len(all + 1, 0).is_none());
    assert_eq!(p.len(), 60, "unchanged");
    assert_eq!(p.set_len(all, 0).expect("all of it").len(), all);
    let mut jumbo = packet(&pool, &[0; 9000]);
    assert!(jumbo.set_len(60, 64).is_none() && jumbo.len() == 9000);
}

#[test]
fn jumbo_frames_span_segments_and_read_as_one() {
    let pool = pool(63);
    let bytes: Vec<u8> = (0..9000u32).map(|n| n as u8).collect();
    let mut p = packet(&pool, &bytes);
    assert!(!p.is_contiguous());
    assert_eq!(p.len(), 9000);
    assert_eq!(p.segments().map(<[u8]>::len).sum::<usize>(), 9000);
    let mut out = vec![0; 9000];
    assert_eq!(p.copy_out(0, &mut out), 9000);
    assert_eq!(out, bytes);
    let mut part = [0; 100];
    assert_eq!(p.copy_out(2000, &mut part), 100, "over a segment border");
    assert_eq!(part[..], bytes[2000..2100]);
    assert_eq!(p.copy_out(8950, &mut part), 50);
    assert_eq!(p.copy_out(9000, &mut part), 0);
    assert!(p.append(3).is_some(), "in the last segment");
    assert_eq!(p.len(), 9003);
    assert!(
        !p.linearize(),
        "9000 bytes do not fit in one buffer of 2048"
    );
    drop(p);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn small_segments_can_be_linearized() {
    let pool = pool(63);
    let mut p = packet(&pool, b"one ");
    p.chain(crate::dpdk::Mbuf::from(packet(&pool, b"two")))
        .expect("chains");
    assert_eq!(p.segment_count(), 2);
    assert!(p.linearize());
    assert_eq!(p.data(), b"one two");
    drop(p);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_shared_packet_is_copied_before_it_is_written() {
    let pool = pool(63);
    let mut original = packet(&pool, b"shared bytes");
    original.meta_mut().trace = 7;
    let mut twin = original.share(&pool).expect("a second packet");
    assert_eq!(twin.meta().trace, 7, "metadata travels along");
    assert!(!original.is_writable() && !twin.is_writable());
    assert!(twin.ensure_writable(&pool));
    twin.data_mut()[..6].copy_from_slice(b"SHARED");
    assert_eq!(original.data(), b"shared bytes");
    assert_eq!(twin.data(), b"SHARED bytes");
    assert!(
        original.is_writable(),
        "the last holder owns the bytes again"
    );
    drop((original, twin));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_split_packet_has_headers_of_its_own_and_a_shared_payload() {
    let pool = pool(64);
    let bytes: Vec<u8> = (0..9000u32).map(|n| n as u8).collect();
    for len in [42, 43, 1500, 9000] {
        let mut first = packet(&pool, &bytes[..len]);
        first.meta_mut().flow_hash = 77;
        let mut second = first.split(&pool, 42).expect("two packets");
        assert!(first.is_writable() && second.is_writable());
        first.data_mut()[0] = 0xaa;
        second.data_mut()[0] = 0xbb;
        for (packet, mark) in [(&first, 0xaa), (&second, 0xbb)] {
            let whole: Vec<u8> = packet.segments().flatten().copied().collect();
            assert_eq!((whole[0], &whole[1..]), (mark, &bytes[1..len]));
            assert_eq!((packet.len(), packet.meta().flow_hash), (len, 77));
        }
        drop((first, second));
        assert_eq!(pool.in_use(), 0);
    }
    let mut short = packet(&pool, &bytes[..20]);
    assert!(short.split(&pool, 42).is_none());
    assert_eq!(short.data(), &bytes[..20]);
}

#[test]
fn a_shared_packet_stays_as_it_is_when_the_pool_is_empty() {
    let pool = pool(3);
    let original = packet(&pool, b"bytes");
    let mut twin = original.share(&pool).expect("a second packet");
    let _last = packet(&pool, b"x");
    assert!(!twin.ensure_writable(&pool));
    assert_eq!(twin.data(), b"bytes");
    drop(original);
}

#[test]
fn copies_are_independent_in_bytes_and_metadata() {
    let pool = pool(63);
    let mut p = packet(&pool, b"abc");
    p.meta_mut().user = 9;
    let mut copy = p.copy(&pool).expect("a copy");
    copy.data_mut()[0] = b'X';
    copy.meta_mut().user = 1;
    assert_eq!((p.data(), p.meta().user), (&b"abc"[..], 9));
}

#[test]
fn fresh_metadata_has_no_egress_and_no_trace() {
    let meta = Meta::received(42, 3, Direction::ToClient);
    assert_eq!(
        (meta.ingress_ns, meta.port, meta.egress, meta.trace),
        (42, 3, NO_PORT, 0)
    );
}

#[test]
fn sift_keeps_order_and_hands_out_ownership() {
    let pool = pool(255);
    let mut batch = Batch::new();
    for n in 0..MAX_BURST as u8 {
        batch.push(packet(&pool, &[n])).expect("room");
    }
    assert!(batch.push(packet(&pool, &[0])).is_err(), "64 and no more");
    let mut taken = Vec::new();
    batch.sift(|p| {
        if p.data()[0] % 3 == 0 {
            taken.push(p);
            None
        } else {
            Some(p)
        }
    });
    assert_eq!((batch.len(), taken.len()), (42, 22));
    assert!(batch.iter().all(|p| p.data()[0] % 3 != 0));
    assert!(
        batch
            .as_slice()
            .windows(2)
            .all(|w| w[0].data()[0] < w[1].data()[0])
    );
    let half: Vec<Packet> = batch.drain().take(21).collect();
    assert!(batch.is_empty());
    assert_eq!(
        pool.in_use(),
        22 + 21,
        "what a drain did not hand out was freed"
    );
    drop((half, taken));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn bulk_allocation_gives_all_or_none() {
    let pool = pool(63);
    let mut batch = Batch::new();
    assert!(batch.alloc(&pool, 40) && batch.alloc(&pool, 23));
    assert_eq!(batch.len(), 63);
    assert!(batch.iter().all(|p| p.is_empty() && p.is_writable()));
    assert!(!batch.alloc(&pool, 1), "the pool is empty");
    assert!(!batch.alloc(&pool, 2), "the batch has no room");
    batch.clear();
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn append_moves_what_fits() {
    let pool = pool(255);
    let fill = |count: usize| {
        let mut batch = Batch::new();
        for n in 0..count {
            batch.push(packet(&pool, &[n as u8])).expect("room");
        }
        batch
    };
    let (mut a, mut b) = (fill(60), fill(10));
    a.append(&mut b);
    assert_eq!((a.len(), b.len()), (64, 6));
    assert_eq!(b.as_slice()[0].data(), [4]);
}

#[test]
fn pools_have_the_private_area_and_unique_names() {
    let name = unique("dup");
    let _first = Mempool::create(eal(), &name, 63, 2176, 0).expect("a pool");
    assert!(Mempool::create(eal(), &name, 63, 2176, 0).is_err());
}
