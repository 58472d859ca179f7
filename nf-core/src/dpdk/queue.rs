//! Receive and transmit queues: one owner each.

use super::MAX_BURST;
use dpdk_sys::BurstQueue;

use super::port::PortHandle;
use crate::packet::Batch;

/// A receive queue. There is one value per queue, so that one core polls it.
#[derive(Debug)]
pub struct RxQueue {
    raw: BurstQueue,
    /// What it receives is not in this core's cache.
    cold: bool,
    handle: PortHandle,
}

/// A transmit queue. There is one value per queue, so that one core fills it.
#[derive(Debug)]
pub struct TxQueue {
    raw: BurstQueue,
    /// The port fills in checksums that packets leave to it.
    fills_in: bool,
    handle: PortHandle,
}

// SAFETY: the pointers lead to the port's own memory, which the handle keeps; one thread at a time
// uses them, through `&mut self`.
unsafe impl Send for RxQueue {}
// SAFETY: as above.
unsafe impl Send for TxQueue {}

impl RxQueue {
    pub(super) fn new(port: u16, queue: u16, cold: bool, handle: PortHandle) -> RxQueue {
        // SAFETY: the port hands out queues of its own, after it was started; the handle keeps it so.
        let raw = unsafe { BurstQueue::receive(port, queue) };
        RxQueue { raw, cold, handle }
    }

    /// Asks for the start of each packet that was received, if it is not at hand; for a core that is
    /// going to read them.
    #[inline(always)]
    pub fn prefetch(&self, batch: &Batch) {
        if self.cold {
            for packet in batch {
                packet.prefetch();
            }
        }
    }

    /// Receives up to `max` (at most 64) packets into the empty `batch`; returns how many came.
    /// What the batch held before is freed.
    #[inline(always)]
    pub fn burst(&mut self, batch: &mut Batch, max: usize) -> usize {
        batch.clear();
        let max = max.min(MAX_BURST) as u16;
        // SAFETY: the queue was set up, this value is its only user (the handle keeps the port
        // open), and the batch has room for 64. The port hands over ownership of what it returns.
        unsafe {
            let received = self.raw.rx_burst(batch.raw_slots(), max);
            batch.set_len(usize::from(received));
            usize::from(received)
        }
    }

    /// The queue's number on its port.
    pub fn queue(&self) -> u16 {
        self.raw.queue()
    }
}

impl TxQueue {
    pub(super) fn new(port: u16, queue: u16, fills_in: bool, handle: PortHandle) -> TxQueue {
        // SAFETY: the port hands out queues of its own, after it was started; the handle keeps it so.
        let raw = unsafe { BurstQueue::transmit(port, queue) };
        TxQueue {
            raw,
            fills_in,
            handle,
        }
    }

    /// Sends the batch; returns how many packets the port took. Those it did not take stay in the
    /// batch, in order: for want of room, or because the first of them asks for what the port does not do.
    #[inline(always)]
    pub fn burst(&mut self, batch: &mut Batch) -> usize {
        let len = batch.len() as u16;
        // SAFETY: as for receive; the first `sent` packets belong to the port afterwards.
        unsafe {
            let ready = match self.fills_in {
                true => self.raw.tx_prepare(batch.raw_slots(), len),
                false => len,
            };
            let sent = self.raw.tx_burst(batch.raw_slots(), ready);
            batch.forget_front(usize::from(sent));
            usize::from(sent)
        }
    }

    /// The queue's number on its port.
    pub fn queue(&self) -> u16 {
        self.raw.queue()
    }
}

impl Drop for RxQueue {
    fn drop(&mut self) {
        self.handle.return_rx(self.raw.queue());
    }
}

impl Drop for TxQueue {
    fn drop(&mut self) {
        self.handle.return_tx(self.raw.queue());
    }
}
