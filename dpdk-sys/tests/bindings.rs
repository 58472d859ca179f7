//! The bindings against the library that is installed: what Rust reads and writes by offset, what the
//! Rust bursts do, and the pool behind both.
//!
//! EAL runs once, on normal pages and without devices, so the tests need no right and no hardware.

use std::ffi::{CStr, CString, c_char};
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, OnceLock};

use dpdk_sys::mbuf::{self, SIZE};
use dpdk_sys::*;

const PRIVATE: usize = 64;
const ROOM: u16 = 2048 + SLUICE_PKTMBUF_HEADROOM as u16;
/// One socket for all that a test asks for.
const ANY_SOCKET: i32 = -1;

/// EAL, for one test at a time: its control plane is not thread-safe.
fn eal() -> MutexGuard<'static, ()> {
    static EAL: OnceLock<Mutex<()>> = OnceLock::new();
    let turn = EAL.get_or_init(|| {
        let prefix = format!("--file-prefix=bindings{}", std::process::id());
        let args = [
            "bindings",
            "--no-huge",
            "--no-pci",
            "--no-shconf",
            "--no-telemetry",
            "--iova-mode=va",
            "--log-level=error",
            "-m",
            "64",
            &prefix,
        ];
        // EAL keeps pointers to its arguments for ever.
        let mut pointers: Vec<*mut c_char> = args
            .iter()
            .map(|arg| CString::new(*arg).expect("no zero byte").into_raw())
            .collect();
        pointers.push(null_mut());
        // SAFETY: that many C strings and a terminating null, none of which is ever freed.
        let code = unsafe { rte_eal_init(args.len() as i32, pointers.leak().as_mut_ptr()) };
        assert!(code >= 0, "EAL did not start: {code}");
        // SAFETY: EAL runs, and the folder's name is a C string of its own.
        let folder = unsafe { CStr::from_ptr(rte_eal_get_runtime_dir()) };
        let _ = std::fs::remove_dir_all(folder.to_str().expect("a path"));
        Mutex::new(())
    });
    turn.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn pool(name: &str, packets: u32) -> *mut rte_mempool {
    let name = CString::new(name).expect("no zero byte");
    // SAFETY: EAL runs; the name is copied.
    let pool = unsafe {
        rte_pktmbuf_pool_create(name.as_ptr(), packets, 0, PRIVATE as u16, ROOM, ANY_SOCKET)
    };
    assert!(!pool.is_null(), "no pool");
    pool
}

/// Frees a pool that has all its packets back.
fn free(pool: *mut rte_mempool) {
    // SAFETY: a live pool, which nothing uses any more.
    unsafe {
        assert_eq!(rte_mempool_in_use_count(pool), 0, "packets are missing");
        rte_mempool_free(pool);
    }
}

#[test]
fn the_library_is_the_one_of_the_headers() {
    // SAFETY: a static string, which needs no EAL.
    let version = unsafe { CStr::from_ptr(rte_version()) };
    let expected = format!("DPDK {SLUICE_DPDK_YEAR}.{SLUICE_DPDK_MONTH:02}.");
    let version = version.to_str().expect("plain text");
    assert!(version.starts_with(&expected), "{version}, not {expected}");
}

#[test]
fn fields_are_where_c_writes_them() {
    let _turn = eal();
    let pool = pool("fields", 15);
    // SAFETY: fresh packets of this test, which are freed at its end.
    unsafe {
        let packet = sluice_pktmbuf_alloc(pool);
        let start = u16::try_from(SLUICE_PKTMBUF_HEADROOM).expect("small");
        assert_eq!(
            mbuf::buf_addr(packet),
            packet.byte_add(SIZE + PRIVATE).cast()
        );
        assert_eq!(
            (mbuf::buf_len(packet), mbuf::data_off(packet)),
            (ROOM, start)
        );
        assert_eq!((mbuf::refcnt(packet), mbuf::nb_segs(packet)), (1, 1));
        assert_eq!((mbuf::data_len(packet), mbuf::pkt_len(packet)), (0, 0));
        assert_eq!((mbuf::ol_flags(packet), mbuf::port(packet)), (0, u16::MAX));
        assert_eq!((mbuf::pool(packet), mbuf::next(packet)), (pool, null_mut()));
        assert_eq!(usize::from(mbuf::priv_size(packet)), PRIVATE);

        let data = sluice_pktmbuf_prepend(packet, 100);
        let offset = usize::from(mbuf::data_off(packet));
        assert_eq!(offset, usize::from(start) - 100);
        assert_eq!(data, mbuf::buf_addr(packet).byte_add(offset).cast());
        assert_eq!((mbuf::data_len(packet), mbuf::pkt_len(packet)), (100, 100));
        assert_eq!(sluice_pktmbuf_trim(packet, 30), 0);
        assert_eq!((mbuf::data_len(packet), mbuf::pkt_len(packet)), (70, 70));

        sluice_mbuf_refcnt_update(packet, 2);
        assert_eq!(mbuf::refcnt(packet), 3);
        sluice_mbuf_refcnt_update(packet, -2);

        let tail = sluice_pktmbuf_alloc(pool);
        sluice_pktmbuf_prepend(tail, 5);
        assert_eq!(sluice_pktmbuf_chain(packet, tail), 0);
        assert_eq!((mbuf::nb_segs(packet), mbuf::next(packet)), (2, tail));
        assert_eq!((mbuf::data_len(packet), mbuf::pkt_len(packet)), (70, 75));
        assert_eq!(sluice_pktmbuf_linearize(packet), 0);
        assert_eq!((mbuf::nb_segs(packet), mbuf::data_len(packet)), (1, 75));
        sluice_pktmbuf_free(packet);
    }
    free(pool);
}

#[test]
fn c_reads_what_the_fields_were_set_to() {
    let _turn = eal();
    let pool = pool("setters", 15);
    let flags = SLUICE_MBUF_F_RX_VLAN_STRIPPED | SLUICE_MBUF_F_RX_RSS_HASH;
    // SAFETY: as above; offsets and lengths stay within the buffer.
    unsafe {
        let packet = sluice_pktmbuf_alloc(pool);
        mbuf::set_data_off(packet, 40);
        mbuf::set_data_len(packet, 60);
        mbuf::set_pkt_len(packet, 60);
        let data: *mut u8 = mbuf::buf_addr(packet).cast::<u8>().add(40);
        for n in 0..60 {
            data.add(n).write(n as u8);
        }
        mbuf::set_ol_flags(packet, flags);
        mbuf::set_vlan_tci(packet, 0x2abc);
        mbuf::set_rss(packet, 0x1234_5678);
        mbuf::set_packet_type(packet, 0x0211);
        mbuf::set_port(packet, 7);
        mbuf::set_tx_offload(packet, 14 | 20 << 7);

        // C copies bytes and metadata field by field.
        let copy = rte_pktmbuf_copy(packet, pool, 10, u32::MAX);
        assert!(!copy.is_null());
        assert_eq!((mbuf::data_len(copy), mbuf::pkt_len(copy)), (50, 50));
        let copied = mbuf::buf_addr(copy)
            .cast::<u8>()
            .add(usize::from(mbuf::data_off(copy)));
        assert_eq!((copied.read(), copied.add(49).read()), (10, 59));
        assert_eq!(mbuf::ol_flags(copy), flags);
        assert_eq!((mbuf::vlan_tci(copy), mbuf::port(copy)), (0x2abc, 7));
        assert_eq!(mbuf::rss(copy), 0x1234_5678);
        assert_eq!(mbuf::packet_type(copy), 0x0211);
        assert_eq!(mbuf::tx_offload(copy), 14 | 20 << 7);
        sluice_pktmbuf_free(copy);

        // A second holder: the first free only takes it away.
        mbuf::set_refcnt(packet, 2);
        sluice_pktmbuf_free(packet);
        assert_eq!(
            (mbuf::refcnt(packet), rte_mempool_in_use_count(pool)),
            (1, 1)
        );
        sluice_pktmbuf_free(packet);
    }
    free(pool);
}

#[test]
fn a_pool_gives_what_it_has_and_gets_it_back() {
    let _turn = eal();
    let pool = pool("round", 63);
    // SAFETY: the array has room for what is asked for, and every packet is freed once.
    unsafe {
        for _ in 0..3 {
            let mut packets = [null_mut::<rte_mbuf>(); 63];
            assert_eq!(sluice_pktmbuf_alloc_bulk(pool, packets.as_mut_ptr(), 63), 0);
            assert_eq!(
                (
                    rte_mempool_in_use_count(pool),
                    rte_mempool_avail_count(pool)
                ),
                (63, 0)
            );
            assert!(sluice_pktmbuf_alloc(pool).is_null(), "exhausted");
            sluice_pktmbuf_free(packets[62]);
            let mut two = [null_mut::<rte_mbuf>(); 2];
            assert!(
                sluice_pktmbuf_alloc_bulk(pool, two.as_mut_ptr(), 2) < 0,
                "all or none"
            );
            rte_pktmbuf_free_bulk(packets.as_mut_ptr(), 62);
            assert_eq!(
                (
                    rte_mempool_in_use_count(pool),
                    rte_mempool_avail_count(pool)
                ),
                (0, 63)
            );
        }
    }
    free(pool);
}

/// Configures and starts a port with one queue pair.
///
/// # Safety
/// The port exists, and `pool` outlives it.
unsafe fn start(port: u16, pool: *mut rte_mempool) {
    // SAFETY: the caller's promise; a plain struct for which zero means default.
    unsafe {
        let conf: rte_eth_conf = std::mem::zeroed();
        assert_eq!(rte_eth_dev_configure(port, 1, 1, &conf), 0);
        let any = u32::MAX;
        let (rx, tx) = (std::ptr::null(), std::ptr::null());
        assert_eq!(rte_eth_rx_queue_setup(port, 0, 64, any, rx, pool), 0);
        assert_eq!(rte_eth_tx_queue_setup(port, 0, 64, any, tx), 0);
        assert_eq!(rte_eth_dev_start(port), 0);
    }
}

#[test]
fn bursts_cross_a_ring_in_order_and_tell_what_did_not_fit() {
    let _turn = eal();
    let pool = pool("burst", 127);
    // SAFETY: EAL runs; the port is closed before its ring and pool, and packets are owned by one
    // place at a time: this test, the ring, or the pool.
    unsafe {
        let ring = rte_ring_create(c"bursts".as_ptr(), 32, ANY_SOCKET, 0);
        assert!(!ring.is_null());
        let mut rings = [ring];
        let rings = rings.as_mut_ptr();
        let port = rte_eth_from_rings(c"bursts".as_ptr(), rings, 1, rings, 1, 0);
        let port = u16::try_from(port).expect("a port");
        start(port, pool);
        let (rx, tx) = (BurstQueue::receive(port, 0), BurstQueue::transmit(port, 0));
        assert_eq!((rx.queue(), tx.queue()), (0, 0));

        let mut got = [null_mut::<rte_mbuf>(); 64];
        assert_eq!(rx.rx_burst(got.as_mut_ptr(), 64), 0, "nothing was sent");
        let mut sent = [null_mut::<rte_mbuf>(); 40];
        assert_eq!(sluice_pktmbuf_alloc_bulk(pool, sent.as_mut_ptr(), 40), 0);
        assert_eq!(
            tx.tx_burst(sent.as_mut_ptr(), 40),
            31,
            "a ring of 32 holds 31"
        );
        assert_eq!(sluice_ring_count(ring), 31);
        assert_eq!(rx.rx_burst(got.as_mut_ptr(), 8), 8);
        assert_eq!(rx.rx_burst(got.as_mut_ptr().add(8), 56), 23);
        assert_eq!(got[..31], sent[..31]);
        rte_pktmbuf_free_bulk(sent.as_mut_ptr(), 40);

        let mut stats = rte_eth_stats::default();
        assert_eq!(rte_eth_stats_get(port, &mut stats), 0);
        assert_eq!((stats.ipackets, stats.opackets), (31, 31));
        assert_eq!(rte_eth_dev_stop(port), 0);
        // Once stopped, dummies take the place of the functions that the bursts call.
        assert_eq!(rx.rx_burst(got.as_mut_ptr(), 64), 0);
        assert_eq!(rte_vdev_uninit(c"net_ring_bursts".as_ptr()), 0);
        rte_ring_free(ring);
    }
    free(pool);
}

#[test]
fn bursts_of_a_device_bring_and_take_packets() {
    let _turn = eal();
    let pool = pool("null", 127);
    // SAFETY: as above; what is sent is the port's, which frees it.
    unsafe {
        let name = c"net_null_bindings";
        assert_eq!(rte_vdev_init(name.as_ptr(), c"size=200,copy=1".as_ptr()), 0);
        let mut port = 0;
        assert_eq!(rte_eth_dev_get_port_by_name(name.as_ptr(), &mut port), 0);
        start(port, pool);
        let (rx, tx) = (BurstQueue::receive(port, 0), BurstQueue::transmit(port, 0));
        let mut packets = [null_mut::<rte_mbuf>(); 32];
        for _ in 0..10 {
            assert_eq!(rx.rx_burst(packets.as_mut_ptr(), 32), 32);
            for packet in packets {
                assert_eq!((mbuf::pkt_len(packet), mbuf::port(packet)), (200, port));
            }
            assert_eq!(rte_mempool_in_use_count(pool), 32);
            assert_eq!(tx.tx_burst(packets.as_mut_ptr(), 32), 32);
            assert_eq!(rte_mempool_in_use_count(pool), 0, "sent is freed");
        }
        let mut stats = rte_eth_stats::default();
        assert_eq!(rte_eth_stats_get(port, &mut stats), 0);
        assert_eq!((stats.ipackets, stats.opackets), (320, 320));
        assert_eq!(rte_eth_dev_stop(port), 0);
        assert_eq!(rte_vdev_uninit(name.as_ptr()), 0);
    }
    free(pool);
}
