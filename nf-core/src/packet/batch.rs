//! A burst of owned packets in a fixed array.

use std::fmt;
use std::mem::MaybeUninit;
use std::slice;

use super::packet::Packet;
use crate::dpdk::{MAX_BURST, Mempool};

/// Up to 64 owned packets, filled in place by a port and drained in place by the next stage.
pub struct Batch {
    len: usize,
    /// The first `len` are initialised.
    slots: [MaybeUninit<Packet>; MAX_BURST],
}

impl Batch {
    /// Most packets a batch holds.
    pub const CAPACITY: usize = MAX_BURST;

    /// An empty batch.
    pub const fn new() -> Batch {
        Batch {
            len: 0,
            slots: [const { MaybeUninit::uninit() }; MAX_BURST],
        }
    }

    /// Packets in the batch.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is room for none.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.len == MAX_BURST
    }

    /// Appends a packet; gives it back when the batch is full.
    #[inline(always)]
    pub fn push(&mut self, packet: Packet) -> Result<(), Packet> {
        match self.slots.get_mut(self.len) {
            Some(slot) => {
                slot.write(packet);
                self.len += 1;
                Ok(())
            }
            None => Err(packet),
        }
    }

    /// Fills the batch up with `count` empty packets from `pool`, all or none; false when the pool has
    /// fewer or the batch less room. Their metadata is left over from earlier packets: reset it
    /// before a stage sees them.
    #[inline(always)]
    pub fn alloc(&mut self, pool: &Mempool, count: usize) -> bool {
        if count > MAX_BURST - self.len {
            return false;
        }
        // SAFETY: there is room for `count` behind the first `len`.
        unsafe {
            if !pool.alloc_bulk_raw(self.raw_slots().add(self.len), count as u32) {
                return false;
            }
        }
        self.len += count;
        true
    }

    /// Takes the last packet.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<Packet> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: the slot was initialised and is given up by the shorter length.
        Some(unsafe { self.slots[self.len].assume_init_read() })
    }

    /// The packets.
    #[inline(always)]
    pub fn as_slice(&self) -> &[Packet] {
        // SAFETY: the first `len` slots are initialised.
        unsafe { slice::from_raw_parts(self.slots.as_ptr().cast(), self.len) }
    }

    /// The packets, for writing.
    #[inline(always)]
    pub fn as_mut_slice(&mut self) -> &mut [Packet] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.slots.as_mut_ptr().cast(), self.len) }
    }

    /// Iterates over the packets.
    #[inline(always)]
    pub fn iter(&self) -> slice::Iter<'_, Packet> {
        self.as_slice().iter()
    }

    /// Iterates over the packets, for writing.
    #[inline(always)]
    pub fn iter_mut(&mut self) -> slice::IterMut<'_, Packet> {
        self.as_mut_slice().iter_mut()
    }

    /// Keeps the packets for which `keep` returns them, in order. A packet that it does not return
    /// went elsewhere: dropped with a reason, turned around, held.
    #[inline(always)]
    pub fn sift(&mut self, mut keep: impl FnMut(Packet) -> Option<Packet>) {
        let len = std::mem::replace(&mut self.len, 0);
        let mut sifting = Sifting {
            batch: self,
            next: 0,
            kept: 0,
            len,
        };
        while sifting.next < len {
            // SAFETY: next < len, each slot is read once; `kept <= next`, so no unread slot is
            // overwritten.
            unsafe {
                let packet = sifting
                    .batch
                    .slots
                    .get_unchecked(sifting.next)
                    .assume_init_read();
                sifting.next += 1;
                if let Some(packet) = keep(packet) {
                    sifting
                        .batch
                        .slots
                        .get_unchecked_mut(sifting.kept)
                        .write(packet);
                    sifting.kept += 1;
                }
            }
        }
    }

    /// Takes all packets out, in order.
    #[inline(always)]
    pub fn drain(&mut self) -> Drain<'_> {
        let len = std::mem::replace(&mut self.len, 0);
        Drain {
            batch: self,
            next: 0,
            len,
        }
    }

    /// Frees all packets.
    #[inline(always)]
    pub fn clear(&mut self) {
        if self.len != 0 {
            self.free();
        }
    }

    #[inline(never)]
    fn free(&mut self) {
        let len = std::mem::replace(&mut self.len, 0);
        // SAFETY: the first `len` slots hold owned packets, which are given up.
        unsafe { dpdk_sys::rte_pktmbuf_free_bulk(self.raw_slots(), len as u32) }
    }

    /// Moves packets from the front of `other` to the end of this batch, as many as fit, in order.
    #[inline]
    pub fn append(&mut self, other: &mut Batch) {
        let room = MAX_BURST - self.len;
        let count = room.min(other.len);
        // SAFETY: `count` initialised slots move to free slots; the rest closes up in `other`.
        unsafe {
            let from = other.slots.as_ptr();
            self.slots
                .as_mut_ptr()
                .add(self.len)
                .copy_from_nonoverlapping(from, count);
            self.len += count;
            other.forget_front(count);
        }
    }

    /// The slots as DPDK sees them.
    #[inline(always)]
    pub(crate) fn raw_slots(&mut self) -> *mut *mut dpdk_sys::rte_mbuf {
        self.slots.as_mut_ptr().cast()
    }

    /// Says how many slots hold owned packets.
    ///
    /// # Safety
    /// The first `len` slots are initialised, and what was in the batch before is no longer owned.
    #[inline(always)]
    pub(crate) unsafe fn set_len(&mut self, len: usize) {
        self.len = len;
    }

    /// Gives up the first `count` packets without freeing them, and closes up.
    ///
    /// # Safety
    /// Somebody else owns them now; `count <= len`.
    #[inline(always)]
    pub(crate) unsafe fn forget_front(&mut self, count: usize) {
        let rest = self.len - count;
        self.len = rest;
        if rest != 0 {
            // SAFETY: `count + rest` slots are initialised; the ranges may overlap.
            unsafe {
                let start = self.slots.as_mut_ptr();
                start.copy_from(start.add(count), rest);
            }
        }
    }
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Packet;
    type IntoIter = slice::Iter<'a, Packet>;

    fn into_iter(self) -> slice::Iter<'a, Packet> {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Batch {
    type Item = &'a mut Packet;
    type IntoIter = slice::IterMut<'a, Packet>;

    fn into_iter(self) -> slice::IterMut<'a, Packet> {
        self.iter_mut()
    }
}

/// A batch that is being sifted. Whatever ends it, also a panic, what was not looked at yet closes up behind
/// what was kept.
struct Sifting<'a> {
    batch: &'a mut Batch,
    next: usize,
    kept: usize,
    len: usize,
}

impl Drop for Sifting<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.next < self.len {
            // SAFETY: the slots from `next` to `len` hold packets that were not taken out; `kept <= next`.
            unsafe {
                let slots = self.batch.slots.as_mut_ptr();
                slots
                    .add(self.kept)
                    .copy_from(slots.add(self.next), self.len - self.next);
            }
        }
        self.batch.len = self.kept + self.len - self.next;
    }
}

/// Takes packets out of a batch; those not taken are freed.
pub struct Drain<'a> {
    batch: &'a mut Batch,
    next: usize,
    len: usize,
}

impl Iterator for Drain<'_> {
    type Item = Packet;

    #[inline(always)]
    fn next(&mut self) -> Option<Packet> {
        if self.next == self.len {
            return None;
        }
        // SAFETY: slots from `next` to `len` are initialised and not yet taken.
        let packet = unsafe { self.batch.slots[self.next].assume_init_read() };
        self.next += 1;
        Some(packet)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.len - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        for packet in self.by_ref() {
            drop(packet);
        }
    }
}
