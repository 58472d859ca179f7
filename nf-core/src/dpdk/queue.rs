//! Receive and transmit queues: one owner each.

use super::MAX_BURST;
use super::port::PortHandle;
use crate::packet::Batch;

/// A receive queue. There is one value per queue, so that one core polls it.
#[derive(Debug)]
pub struct RxQueue {
    port: u16,
    queue: u16,
    handle: PortHandle,
}

/// A transmit queue. There is one value per queue, so that one core fills it.
#[derive(Debug)]
pub struct TxQueue {
    port: u16,
    queue: u16,
    handle: PortHandle,
}

impl RxQueue {
    pub(super) fn new(port: u16, queue: u16, handle: PortHandle) -> RxQueue {
        RxQueue {
            port,
            queue,
            handle,
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
            let received = dpdk_sys::eth_rx_burst(self.port, self.queue, batch.raw_slots(), max);
            batch.set_len(usize::from(received));
            usize::from(received)
        }
    }

    /// The queue's number on its port.
    pub fn queue(&self) -> u16 {
        self.queue
    }
}

impl TxQueue {
    pub(super) fn new(port: u16, queue: u16, handle: PortHandle) -> TxQueue {
        TxQueue {
            port,
            queue,
            handle,
        }
    }

    /// Sends the batch; returns how many packets the port took. Those it did not take stay in the
    /// batch, in order.
    #[inline(always)]
    pub fn burst(&mut self, batch: &mut Batch) -> usize {
        let len = batch.len();
        // SAFETY: as for receive; the first `sent` packets belong to the port afterwards.
        unsafe {
            let sent = dpdk_sys::eth_tx_burst(self.port, self.queue, batch.raw_slots(), len as u16);
            batch.forget_front(usize::from(sent));
            usize::from(sent)
        }
    }

    /// The queue's number on its port.
    pub fn queue(&self) -> u16 {
        self.queue
    }
}

impl Drop for RxQueue {
    fn drop(&mut self) {
        self.handle.return_rx(self.queue);
    }
}

impl Drop for TxQueue {
    fn drop(&mut self) {
        self.handle.return_tx(self.queue);
    }
}
