//! The pattern for tests over real DPDK: one EAL a process, a pool and ports of its own a test.

use super::{Device, LcoreThread, MbufRing, Mempool, Port, PortSpec, with_lcore};
use crate::packet::{Batch, Packet};
pub(crate) use crate::testing::{eal, pool, unique};

/// A ring port wired to itself.
fn loop_port(pool: &Mempool) -> Port {
    let spec = PortSpec::new(&unique("loop"), Device::Ring { slots: 256 });
    Port::open(eal(), &spec, pool).expect("a ring port")
}

#[test]
fn packets_cross_a_ring_port_and_nothing_leaks() {
    let pool = pool(1023);
    {
        let port = loop_port(&pool);
        let (mut rx, mut tx) = (port.rx_queue(0).expect("rx"), port.tx_queue(0).expect("tx"));
        let mut batch = Batch::new();
        for n in 0..10u8 {
            batch
                .push(Packet::from_bytes(&pool, &[n; 60]).expect("a packet"))
                .expect("room");
        }
        assert_eq!(tx.burst(&mut batch), 10);
        assert!(batch.is_empty());
        assert_eq!(rx.burst(&mut batch, 4), 4);
        assert_eq!(
            batch.iter().map(|p| p.data()[0]).collect::<Vec<_>>(),
            [0, 1, 2, 3]
        );
        assert_eq!(rx.burst(&mut batch, 64), 6);
        assert_eq!(port.stats().rx_packets, 10);
        drop(tx);
        tx = port
            .tx_queue(0)
            .expect("returned queues can be taken again");
        assert_eq!(tx.burst(&mut batch), 6);
    }
    assert_eq!(
        pool.in_use(),
        0,
        "the ring's packets were freed with the port"
    );
}

#[test]
fn a_queue_is_handed_out_once() {
    let pool = pool(255);
    let port = loop_port(&pool);
    let first = port.rx_queue(0);
    assert!(first.is_some());
    assert!(port.rx_queue(0).is_none());
    assert!(port.rx_queue(1).is_none(), "there is no such queue");
    assert!(!port.is_idle());
    drop(first);
    assert!(port.is_idle());
}

#[test]
fn an_exhausted_pool_gives_nothing_and_recovers() {
    let pool = pool(63);
    let mut held: Vec<Packet> = std::iter::from_fn(|| Packet::alloc(&pool)).collect();
    assert_eq!(held.len(), 63);
    assert!(Packet::alloc(&pool).is_none());
    assert!(Packet::from_bytes(&pool, b"x").is_none());
    held.pop();
    assert!(Packet::alloc(&pool).is_some());
    drop(held);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn the_tail_that_a_port_does_not_take_stays_in_the_batch_in_order() {
    let pool = pool(1023);
    let ring = MbufRing::create(eal(), &unique("small"), 8).expect("a ring");
    let mut batch = Batch::new();
    for n in 0..10u8 {
        batch
            .push(Packet::from_bytes(&pool, &[n]).expect("a packet"))
            .expect("room");
    }
    assert_eq!(ring.enqueue(&mut batch), 7);
    assert_eq!(
        batch.iter().map(|p| p.data()[0]).collect::<Vec<_>>(),
        [7, 8, 9]
    );
    drop(ring);
    batch.clear();
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_null_port_opens_and_closes_and_opens_again() {
    let pool = pool(4095);
    for _ in 0..3 {
        let spec = PortSpec::new(
            &unique("nul"),
            Device::Null {
                packet_bytes: 64,
                copy: false,
            },
        );
        let port = Port::open(eal(), &spec, &pool).expect("a null port");
        let mut rx = port.rx_queue(0).expect("rx");
        let mut batch = Batch::new();
        assert_eq!(rx.burst(&mut batch, 32), 32);
        assert_eq!(batch.as_slice()[0].len(), 64);
    }
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn every_queue_of_an_endless_capture_file_receives_the_whole_file() {
    let pool = pool(8191);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("three.pcap");
    // The classic format: magic, version 2.4, no limit, Ethernet; then three frames of 60 bytes.
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    for number in 0..3u8 {
        for word in [0u32, 0, 60, 60] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&[number; 60]);
    }
    std::fs::write(&file, bytes).expect("a file");
    let spec = PortSpec {
        queues: 2,
        ..PortSpec::new(
            &unique("pc"),
            Device::Pcap {
                rx_file: Some(file),
                tx_file: None,
                repeat: true,
            },
        )
    };
    {
        let port = Port::open(eal(), &spec, &pool).expect("a pcap port");
        for queue in 0..2 {
            let mut rx = port.rx_queue(queue).expect("rx");
            let mut tx = port.tx_queue(queue).expect("tx");
            let mut batch = Batch::new();
            assert_eq!(rx.burst(&mut batch, 6), 6);
            let numbers: Vec<u8> = batch.iter().map(|packet| packet.data()[0]).collect();
            assert_eq!(numbers, [0, 1, 2, 0, 1, 2], "queue {queue}");
            assert_eq!(tx.burst(&mut batch), 6);
        }
    }
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_missing_interface_is_one_clear_error() {
    let pool = pool(255);
    let device = Device::AfPacket {
        interface: "nosuchif0".into(),
        frame_bytes: 2048,
        frames: 512,
        qdisc_bypass: false,
    };
    let error =
        Port::open(eal(), &PortSpec::new(&unique("afp"), device), &pool).expect_err("no interface");
    assert!(
        error
            .to_string()
            .contains("is there an interface \"nosuchif0\""),
        "{error}"
    );
    let error = Port::open(
        eal(),
        &PortSpec::new(
            "a,b",
            Device::Null {
                packet_bytes: 64,
                copy: false,
            },
        ),
        &pool,
    )
    .expect_err("commas separate DPDK's arguments");
    assert!(
        error.to_string().contains("name must not contain ','"),
        "{error}"
    );
}

#[test]
fn lcore_threads_are_registered_and_pinned() {
    let cpu = super::available_cpus()[0];
    let thread = LcoreThread::spawn(eal(), "test-lcore", cpu, || {
        // SAFETY: a plain getter.
        let lcore = unsafe { dpdk_sys::sluice_lcore_id() };
        (lcore, super::available_cpus())
    })
    .expect("a thread");
    assert!(thread.tid > 0);
    let (lcore, cpus) = thread.join().expect("no panic");
    assert_ne!(lcore, dpdk_sys::SLUICE_LCORE_ID_ANY);
    assert_eq!(cpus, [cpu]);
}

#[test]
fn what_a_driver_keeps_of_its_pool_is_taken_back_and_packets_on_their_way_are_not() {
    const KEPT: u32 = 100;
    let pool = pool(1023);
    let cpu = super::available_cpus()[0];
    let cores_pool = pool.clone();
    // As a packet core does, with a cache of free packets that were never filled.
    let thread = LcoreThread::spawn(eal(), "driver", cpu, move || {
        let mut kept = [std::ptr::null_mut(); KEPT as usize];
        // SAFETY: room for as many; what is allocated is given up like a driver does.
        assert!(unsafe { cores_pool.alloc_bulk_raw(kept.as_mut_ptr(), KEPT) });
        let packet = |n: u8| Packet::from_bytes(&cores_pool, &[n; 60]).expect("a packet");
        let mut on_their_way: Vec<Packet> = (0..10).map(packet).collect();
        on_their_way.truncate(5);
        on_their_way
    })
    .expect("a thread");
    let on_their_way = thread.join().expect("no panic");
    assert_eq!(pool.in_use(), KEPT + 5);
    // SAFETY: nobody allocates from the pool any more.
    assert_eq!(unsafe { pool.take_back() }, KEPT);
    assert_eq!(pool.in_use(), 5);
    // SAFETY: as above.
    assert_eq!(unsafe { pool.take_back() }, 0, "nothing twice");
    for (n, packet) in on_their_way.iter().enumerate() {
        assert_eq!(packet.data(), [n as u8; 60]);
    }
    drop(on_their_way);
    assert_eq!(pool.in_use(), 0);
    // Every buffer is there once.
    let mut all = std::collections::HashSet::new();
    let packets: Vec<Packet> = std::iter::from_fn(|| Packet::alloc(&pool)).collect();
    for packet in &packets {
        assert!(all.insert(packet.data().as_ptr()));
    }
}

#[test]
fn any_thread_can_be_an_lcore_for_a_while() {
    // SAFETY: reads a thread-local of DPDK's.
    let id = || unsafe { dpdk_sys::sluice_lcore_id() };
    let ids = || {
        let inside = with_lcore(eal(), || (id(), with_lcore(eal(), id)));
        (inside, id())
    };
    let ((outer, inner), after) = std::thread::scope(|scope| {
        let ids = scope.spawn(ids).join();
        ids.expect("no panic")
    });
    assert_ne!(outer, u32::MAX);
    assert_eq!(
        (inner, after),
        (outer, u32::MAX),
        "registered once, and given up"
    );
}
