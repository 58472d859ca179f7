//! Pools of mbufs.

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;

use super::eal::Eal;
use super::error::DpdkError;
use super::mbuf::{Mbuf, PRIVATE_BYTES};

/// A pool of mbufs, shared by whoever holds it and freed with the last holder.
///
/// Every pool reserves the private area in which a packet's metadata lives.
#[derive(Debug, Clone)]
pub struct Mempool(Arc<Raw>);

#[derive(Debug)]
struct Raw {
    pool: NonNull<dpdk_sys::rte_mempool>,
    packets: u32,
    data_room: u16,
    cache: u32,
    eal: &'static Eal,
}

// SAFETY: mempools are multi-producer and multi-consumer; each lcore has its own cache.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

impl Mempool {
    /// A pool of `packets` mbufs with `data_room` bytes each (headroom of 128 included) and a cache
    /// of `cache` mbufs per lcore (at most 512 and 2/3 of `packets`).
    ///
    /// `name` is at most 25 characters and unique in the process.
    pub fn create(
        eal: &'static Eal,
        name: &str,
        packets: u32,
        data_room: u16,
        cache: u32,
    ) -> Result<Mempool, DpdkError> {
        let invalid = DpdkError {
            call: "rte_pktmbuf_pool_create",
            errno: libc::EINVAL,
        };
        let name = CString::new(name).map_err(|_| invalid)?;
        // SAFETY: a valid C string; sizes are checked by DPDK.
        let raw = eal.control(|| unsafe {
            dpdk_sys::rte_pktmbuf_pool_create(
                name.as_ptr(),
                packets,
                cache,
                PRIVATE_BYTES as u16,
                data_room,
                -1,
            )
        });
        let Some(pool) = NonNull::new(raw) else {
            return Err(DpdkError::from_rte_errno("rte_pktmbuf_pool_create"));
        };
        Ok(Mempool(Arc::new(Raw {
            pool,
            packets,
            data_room,
            cache,
            eal,
        })))
    }

    /// One empty packet, or `None` when the pool is exhausted.
    #[inline]
    pub fn alloc(&self) -> Option<Mbuf> {
        // SAFETY: the pool lives as long as `self`; the mbuf is fresh and ours.
        unsafe { Mbuf::from_raw(dpdk_sys::sluice_pktmbuf_alloc(self.as_ptr())) }
    }

    /// Fills `out` with `count` fresh mbuf pointers, all or none.
    ///
    /// # Safety
    /// `out` has room for `count` pointers; on success the caller owns them.
    #[inline]
    pub(crate) unsafe fn alloc_bulk_raw(
        &self,
        out: *mut *mut dpdk_sys::rte_mbuf,
        count: u32,
    ) -> bool {
        // SAFETY: the caller's promise.
        unsafe { dpdk_sys::sluice_pktmbuf_alloc_bulk(self.as_ptr(), out, count) == 0 }
    }

    /// Takes back what a driver has kept: some (AF_XDP's) leave the buffers that wait for packets behind
    /// when their port is closed. Returns how many it were.
    ///
    /// Packets of the pool that are on their way meanwhile stay what they are.
    ///
    /// # Safety
    /// Only ports that are closed by now have allocated from the pool, directly or through a stage.
    pub(crate) unsafe fn take_back(&self) -> u32 {
        // SAFETY: the pool lives; what it was allocated for is the caller's promise.
        let count = self
            .0
            .eal
            .control(|| unsafe { dpdk_sys::sluice_pktmbuf_pool_take_back(self.as_ptr()) });
        u32::try_from(count).unwrap_or(0)
    }

    /// Mbufs that are in use. Those in the caches of lcores count as free.
    pub fn in_use(&self) -> u32 {
        // SAFETY: the pool lives.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.as_ptr()) }
    }

    /// Mbufs that are free.
    pub fn available(&self) -> u32 {
        // SAFETY: the pool lives.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.as_ptr()) }
    }

    /// Mbufs in total.
    pub fn packets(&self) -> u32 {
        self.0.packets
    }

    /// Bytes of a buffer, headroom included.
    pub fn data_room(&self) -> u16 {
        self.0.data_room
    }

    /// Mbufs that each lcore's cache holds.
    pub fn cache(&self) -> u32 {
        self.0.cache
    }

    pub(crate) fn as_ptr(&self) -> *mut dpdk_sys::rte_mempool {
        self.0.pool.as_ptr()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: the last holder is going; ports hold a clone for as long as they are open, and
        // packets must not outlive their pool (the owner of both sees to it).
        self.eal
            .control(|| unsafe { dpdk_sys::rte_mempool_free(self.pool.as_ptr()) });
    }
}
