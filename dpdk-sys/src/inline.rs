//! The hottest `static inline` functions of DPDK, in Rust.
//!
//! A call through the C shim costs about 1.2 ns, a third of a small burst on a ring port. The
//! layouts come from bindgen, so these follow the headers of the installed release.

use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, Ordering};

// Both the struct and the exported table of that name.
use crate::bindings::{rte_eth_fp_ops, rte_mbuf};
use crate::{sluice_rx_callbacks, sluice_tx_callbacks, sluice_tx_prepare};

#[inline(always)]
fn fp_ops(port: u16) -> *const rte_eth_fp_ops {
    // `cast` first: the header declares the table without a length.
    (&raw const rte_eth_fp_ops)
        .cast::<rte_eth_fp_ops>()
        .wrapping_add(port as usize)
}

/// Where a started queue's bursts find what they need, without the three dependent loads from the
/// port table that `rte_eth_rx_burst` makes each time: they are a fifth of a small burst.
///
/// The burst function itself is read anew each time, because `rte_eth_dev_stop` swaps dummies in; the
/// callback check is what lets packet capture by other DPDK tools work.
#[derive(Debug, Clone, Copy)]
pub struct BurstQueue {
    ops: *const rte_eth_fp_ops,
    data: *mut c_void,
    callbacks: *mut *mut c_void,
    port: u16,
    queue: u16,
}

impl BurstQueue {
    /// A receive queue.
    ///
    /// # Safety
    /// `port` is a started port and `queue` one of its receive queues. The value is not used after
    /// the port is stopped or configured anew.
    pub unsafe fn receive(port: u16, queue: u16) -> BurstQueue {
        let ops = fp_ops(port);
        // SAFETY: the port is started, so its row and the queue's entries are filled.
        unsafe {
            BurstQueue {
                ops,
                data: *(*ops).rxq.data.add(queue as usize),
                callbacks: (*ops).rxq.clbk.add(queue as usize),
                port,
                queue,
            }
        }
    }

    /// A transmit queue.
    ///
    /// # Safety
    /// As for [`receive`](Self::receive), with one of its transmit queues.
    pub unsafe fn transmit(port: u16, queue: u16) -> BurstQueue {
        let ops = fp_ops(port);
        // SAFETY: as above.
        unsafe {
            BurstQueue {
                ops,
                data: *(*ops).txq.data.add(queue as usize),
                callbacks: (*ops).txq.clbk.add(queue as usize),
                port,
                queue,
            }
        }
    }

    /// The queue's number on its port.
    pub fn queue(&self) -> u16 {
        self.queue
    }

    /// Receives up to `count` packets, as `rte_eth_rx_burst` does; returns how many.
    ///
    /// # Safety
    /// This is a receive queue, used by this thread alone, and `mbufs` has room for `count` pointers.
    #[inline(always)]
    pub unsafe fn rx_burst(&self, mbufs: *mut *mut rte_mbuf, count: u16) -> u16 {
        // SAFETY: the caller's promises, here and at the queue's making.
        unsafe {
            let received = (*self.ops).rx_pkt_burst.unwrap_unchecked()(self.data, mbufs, count);
            let callbacks = AtomicPtr::from_ptr(self.callbacks).load(Ordering::Relaxed);
            if callbacks.is_null() {
                received
            } else {
                sluice_rx_callbacks(self.port, self.queue, mbufs, received, count, callbacks)
            }
        }
    }

    /// Sends up to `count` packets, as `rte_eth_tx_burst` does; returns how many the port took over.
    ///
    /// # Safety
    /// This is a transmit queue, used by this thread alone, and `mbufs` holds `count` owned packets;
    /// those below the returned count are the port's afterwards.
    #[inline(always)]
    pub unsafe fn tx_burst(&self, mbufs: *mut *mut rte_mbuf, count: u16) -> u16 {
        // SAFETY: as above.
        unsafe {
            let callbacks = AtomicPtr::from_ptr(self.callbacks).load(Ordering::Relaxed);
            let count = if callbacks.is_null() {
                count
            } else {
                sluice_tx_callbacks(self.port, self.queue, mbufs, count, callbacks)
            };
            (*self.ops).tx_pkt_burst.unwrap_unchecked()(self.data, mbufs, count)
        }
    }

    /// Makes packets that leave checksums to the port what its driver wants, as `rte_eth_tx_prepare`
    /// does; returns how many, from the first on, may be sent.
    ///
    /// # Safety
    /// As for [`tx_burst`](Self::tx_burst), but the packets stay the caller's.
    #[inline(always)]
    pub unsafe fn tx_prepare(&self, mbufs: *mut *mut rte_mbuf, count: u16) -> u16 {
        // SAFETY: as above.
        unsafe { sluice_tx_prepare(self.port, self.queue, mbufs, count) }
    }
}

/// The time-stamp counter, in cycles of `rte_get_tsc_hz`.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub fn rdtsc() -> u64 {
    // SAFETY: every x86_64 processor has the instruction.
    unsafe { core::arch::x86_64::_rdtsc() }
}
