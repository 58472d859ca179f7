//! Rings of packets between cores, or between two ports of one process.

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;

use super::MAX_BURST;
use super::eal::Eal;
use super::error::DpdkError;
use crate::packet::Batch;

/// A multi-producer, multi-consumer ring of packets; what it holds at the end is freed with it.
#[derive(Debug, Clone)]
pub struct MbufRing(Arc<Raw>);

#[derive(Debug)]
struct Raw {
    ring: NonNull<dpdk_sys::rte_ring>,
    eal: &'static Eal,
}

// SAFETY: created with multi-producer and multi-consumer synchronisation; or with neither, for a
// port's queues, of which there is one of either kind and each is used by one thread at a time.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

impl MbufRing {
    /// A ring of `slots` (a power of two) of which `slots - 1` can be used.
    pub fn create(eal: &'static Eal, name: &str, slots: u32) -> Result<MbufRing, DpdkError> {
        MbufRing::with_flags(eal, name, slots, 0)
    }

    /// A ring with one producer and one consumer, which does without atomic read-modify-writes: a third
    /// of what a burst through a ring port costs. For a queue pair of a port and nothing else: the
    /// queues are not cloned, and the ring must not leave this room.
    pub(super) fn create_for_queue_pair(
        eal: &'static Eal,
        name: &str,
        slots: u32,
    ) -> Result<MbufRing, DpdkError> {
        let flags = dpdk_sys::SLUICE_RING_SP_ENQ | dpdk_sys::SLUICE_RING_SC_DEQ;
        MbufRing::with_flags(eal, name, slots, flags)
    }

    fn with_flags(
        eal: &'static Eal,
        name: &str,
        slots: u32,
        flags: u32,
    ) -> Result<MbufRing, DpdkError> {
        let invalid = DpdkError {
            call: "rte_ring_create",
            errno: libc::EINVAL,
        };
        let name = CString::new(name).map_err(|_| invalid)?;
        // SAFETY: a valid C string; the size is checked by DPDK.
        let raw =
            eal.control(|| unsafe { dpdk_sys::rte_ring_create(name.as_ptr(), slots, -1, flags) });
        let ring = NonNull::new(raw).ok_or_else(|| DpdkError::from_rte_errno("rte_ring_create"))?;
        Ok(MbufRing(Arc::new(Raw { ring, eal })))
    }

    /// Moves as many packets as fit into the ring; the others stay in the batch. Returns how many.
    pub fn enqueue(&self, batch: &mut Batch) -> usize {
        let len = batch.len() as u32;
        // SAFETY: the batch holds `len` owned packets, the first `sent` of which the ring owns now.
        unsafe {
            let sent =
                dpdk_sys::sluice_ring_enqueue_burst(self.as_ptr(), batch.raw_slots().cast(), len);
            batch.forget_front(sent as usize);
            sent as usize
        }
    }

    /// Takes up to 64 packets into the empty batch; what it held before is freed.
    pub fn dequeue(&self, batch: &mut Batch) -> usize {
        batch.clear();
        // SAFETY: the batch has room for 64, and owns what comes.
        unsafe {
            let count = dpdk_sys::sluice_ring_dequeue_burst(
                self.as_ptr(),
                batch.raw_slots().cast(),
                MAX_BURST as u32,
            );
            batch.set_len(count as usize);
            count as usize
        }
    }

    /// Packets in the ring.
    pub fn len(&self) -> usize {
        // SAFETY: the ring lives.
        unsafe { dpdk_sys::sluice_ring_count(self.as_ptr()) as usize }
    }

    /// Whether the ring is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn as_ptr(&self) -> *mut dpdk_sys::rte_ring {
        self.0.ring.as_ptr()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let mut slots = [std::ptr::null_mut(); MAX_BURST];
        loop {
            // SAFETY: the last holder is going; what is left in the ring is ours to free.
            let count = unsafe {
                dpdk_sys::sluice_ring_dequeue_burst(
                    self.ring.as_ptr(),
                    slots.as_mut_ptr(),
                    MAX_BURST as u32,
                )
            };
            if count == 0 {
                break;
            }
            // SAFETY: as above.
            unsafe { dpdk_sys::rte_pktmbuf_free_bulk(slots.as_mut_ptr().cast(), count) };
        }
        // SAFETY: nobody uses the ring any more.
        self.eal
            .control(|| unsafe { dpdk_sys::rte_ring_free(self.ring.as_ptr()) });
    }
}
