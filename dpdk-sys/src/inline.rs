//! The hottest `static inline` functions of DPDK, in Rust.
//!
//! A call through the C shim costs about 1.2 ns, a third of a small burst on a ring port. The
//! layouts come from bindgen, so these follow the headers of the installed release.

use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, Ordering};

// Both the struct and the exported table of that name.
use crate::bindings::{rte_eth_fp_ops, rte_mbuf};
use crate::{sluice_rx_callbacks, sluice_tx_callbacks};

#[inline(always)]
fn fp_ops(port: u16) -> *const rte_eth_fp_ops {
    // `cast` first: the header declares the table without a length.
    (&raw const rte_eth_fp_ops)
        .cast::<rte_eth_fp_ops>()
        .wrapping_add(port as usize)
}

/// Receives up to `count` packets, as `rte_eth_rx_burst` does; returns how many.
///
/// The function pointer is read anew each time: `rte_eth_dev_stop` swaps dummies in. The callback
/// check is what lets packet capture by other DPDK tools work.
///
/// # Safety
/// `port` is a configured port, `queue` one of its receive queues, used by this thread alone, and
/// `mbufs` has room for `count` pointers.
#[inline(always)]
pub unsafe fn eth_rx_burst(port: u16, queue: u16, mbufs: *mut *mut rte_mbuf, count: u16) -> u16 {
    // SAFETY: the port is configured (caller), so its row and the queue's entries are filled.
    unsafe {
        let ops = fp_ops(port);
        let data = *(*ops).rxq.data.add(queue as usize);
        let received = (*ops).rx_pkt_burst.unwrap_unchecked()(data, mbufs, count);
        let callbacks: *mut c_void =
            AtomicPtr::from_ptr((*ops).rxq.clbk.add(queue as usize)).load(Ordering::Relaxed);
        if callbacks.is_null() {
            received
        } else {
            sluice_rx_callbacks(port, queue, mbufs, received, count, callbacks)
        }
    }
}

/// Sends up to `count` packets, as `rte_eth_tx_burst` does; returns how many the port took over.
///
/// # Safety
/// `port` is a configured port, `queue` one of its transmit queues, used by this thread alone, and
/// `mbufs` holds `count` owned packets; those below the returned count are the port's afterwards.
#[inline(always)]
pub unsafe fn eth_tx_burst(port: u16, queue: u16, mbufs: *mut *mut rte_mbuf, count: u16) -> u16 {
    // SAFETY: as above.
    unsafe {
        let ops = fp_ops(port);
        let data = *(*ops).txq.data.add(queue as usize);
        let callbacks: *mut c_void =
            AtomicPtr::from_ptr((*ops).txq.clbk.add(queue as usize)).load(Ordering::Relaxed);
        let count = if callbacks.is_null() {
            count
        } else {
            sluice_tx_callbacks(port, queue, mbufs, count, callbacks)
        };
        (*ops).tx_pkt_burst.unwrap_unchecked()(data, mbufs, count)
    }
}

/// The time-stamp counter, in cycles of `rte_get_tsc_hz`.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub fn rdtsc() -> u64 {
    // SAFETY: every x86_64 processor has the instruction.
    unsafe { core::arch::x86_64::_rdtsc() }
}
