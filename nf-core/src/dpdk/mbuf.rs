//! One owned mbuf chain.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use dpdk_sys::mbuf as raw;
use dpdk_sys::rte_mbuf;

use super::mempool::Mempool;

/// Bytes behind each mbuf that belong to us: one cache line.
pub const PRIVATE_BYTES: usize = 64;

/// An owned chain of mbufs; dropping it frees it.
///
/// As large as a pointer, and `Option<Mbuf>` too, so that a receive burst can write straight into an
/// array of them.
#[repr(transparent)]
pub struct Mbuf(NonNull<rte_mbuf>);

// SAFETY: an mbuf is plain memory with one owner; pools are thread-safe.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Takes over a raw mbuf; `None` for null.
    ///
    /// # Safety
    /// The pointer is null or an initialised mbuf that nobody else owns.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(mbuf: *mut rte_mbuf) -> Option<Mbuf> {
        NonNull::new(mbuf).map(Mbuf)
    }

    /// Gives up ownership.
    #[inline(always)]
    pub(crate) fn into_raw(self) -> *mut rte_mbuf {
        ManuallyDrop::new(self).0.as_ptr()
    }

    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut rte_mbuf {
        self.0.as_ptr()
    }

    /// Length of the packet over all segments, bytes.
    #[inline(always)]
    pub fn len(&self) -> usize {
        // SAFETY: owned and initialised, here and below.
        unsafe { raw::pkt_len(self.as_ptr()) as usize }
    }

    /// Whether the packet has no data.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of segments, at least 1.
    #[inline(always)]
    pub fn segment_count(&self) -> u16 {
        // SAFETY: owned.
        unsafe { raw::nb_segs(self.as_ptr()) }
    }

    #[inline(always)]
    fn data_start(&self) -> *mut u8 {
        // SAFETY: the data offset lies within the buffer.
        unsafe {
            raw::buf_addr(self.as_ptr())
                .cast::<u8>()
                .add(raw::data_off(self.as_ptr()) as usize)
        }
    }

    /// Data of the first segment.
    #[inline(always)]
    pub fn data(&self) -> &[u8] {
        // SAFETY: data_off + data_len <= buf_len is the mbuf's invariant.
        unsafe {
            std::slice::from_raw_parts(self.data_start(), raw::data_len(self.as_ptr()) as usize)
        }
    }

    /// Data of the first segment, for writing. See [`Mbuf::is_writable`].
    #[inline(always)]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` is the only handle to this mbuf. Buffers shared with
        // other mbufs are told by `is_writable`.
        unsafe {
            std::slice::from_raw_parts_mut(self.data_start(), raw::data_len(self.as_ptr()) as usize)
        }
    }

    /// Asks the processor for the start of the data, to be read soon.
    #[inline(always)]
    pub fn prefetch(&self) {
        // SAFETY: a hint, which reads nothing; every x86_64 processor has the instruction.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(self.data_start().cast::<i8>());
        }
    }

    /// Data of each segment in order.
    pub fn segments(&self) -> Segments<'_> {
        Segments {
            next: self.as_ptr(),
            _owner: std::marker::PhantomData,
        }
    }

    /// Free bytes before the data of the first segment.
    #[inline]
    pub fn headroom(&self) -> usize {
        // SAFETY: owned.
        unsafe { raw::data_off(self.as_ptr()) as usize }
    }

    /// Free bytes behind the data of the last segment.
    #[inline]
    pub fn tailroom(&self) -> usize {
        let last = self.last();
        // SAFETY: a segment of the owned chain.
        unsafe {
            let used = raw::data_off(last) as usize + raw::data_len(last) as usize;
            (raw::buf_len(last) as usize).saturating_sub(used)
        }
    }

    fn last(&self) -> *mut rte_mbuf {
        let mut segment = self.as_ptr();
        loop {
            // SAFETY: `next` links the segments of the owned chain and ends in null.
            let next = unsafe { raw::next(segment) };
            if next.is_null() {
                return segment;
            }
            segment = next;
        }
    }

    /// Grows the data by `count` bytes at the front; `None` when the headroom is too small.
    #[inline]
    pub fn prepend(&mut self, count: usize) -> Option<&mut [u8]> {
        if count > self.headroom() {
            return None;
        }
        let mbuf = self.as_ptr();
        // SAFETY: the headroom suffices, so offset and lengths stay within the buffer.
        unsafe {
            raw::set_data_off(mbuf, raw::data_off(mbuf) - count as u16);
            raw::set_data_len(mbuf, raw::data_len(mbuf).checked_add(count as u16)?);
            raw::set_pkt_len(mbuf, raw::pkt_len(mbuf) + count as u32);
        }
        self.data_mut().get_mut(..count)
    }

    /// Cuts `count` bytes from the front; false (and unchanged) when the first segment is shorter.
    #[inline]
    pub fn trim_front(&mut self, count: usize) -> bool {
        let mbuf = self.as_ptr();
        // SAFETY: checked against the first segment's length.
        unsafe {
            let len = raw::data_len(mbuf);
            if count > len as usize {
                return false;
            }
            raw::set_data_len(mbuf, len - count as u16);
            raw::set_data_off(mbuf, raw::data_off(mbuf) + count as u16);
            raw::set_pkt_len(mbuf, raw::pkt_len(mbuf) - count as u32);
        }
        true
    }

    /// Grows the data by `count` bytes at the end; `None` when the tailroom is too small.
    #[inline]
    pub fn append(&mut self, count: usize) -> Option<&mut [u8]> {
        if count > self.tailroom() {
            return None;
        }
        let (mbuf, last) = (self.as_ptr(), self.last());
        // SAFETY: the tailroom suffices; the new bytes lie in the last segment's buffer.
        unsafe {
            let old = raw::data_len(last);
            raw::set_data_len(last, old + count as u16);
            raw::set_pkt_len(mbuf, raw::pkt_len(mbuf) + count as u32);
            let start = raw::buf_addr(last)
                .cast::<u8>()
                .add(raw::data_off(last) as usize + old as usize);
            Some(std::slice::from_raw_parts_mut(start, count))
        }
    }

    /// Makes a packet of one segment `len` bytes long, whatever its length was, and lends `room` bytes
    /// from its start on, for writing in larger moves than its length: those behind `len` are not
    /// part of it. `None`, and unchanged, for a packet of several segments, or without that room.
    #[inline(always)]
    pub fn set_len(&mut self, len: usize, room: usize) -> Option<&mut [u8]> {
        let mbuf = self.as_ptr();
        let room = room.max(len);
        // SAFETY: owned; `room` bytes from the data's start lie within the buffer, and so does `len`.
        unsafe {
            let start = raw::data_off(mbuf) as usize;
            if raw::nb_segs(mbuf) != 1 || room > (raw::buf_len(mbuf) as usize).wrapping_sub(start) {
                return None;
            }
            raw::set_data_len(mbuf, len as u16);
            raw::set_pkt_len(mbuf, len as u32);
            Some(std::slice::from_raw_parts_mut(
                raw::buf_addr(mbuf).cast::<u8>().add(start),
                room,
            ))
        }
    }

    /// Cuts `count` bytes from the end; false (and unchanged) when the last segment is shorter.
    #[inline]
    pub fn trim_back(&mut self, count: usize) -> bool {
        let (mbuf, last) = (self.as_ptr(), self.last());
        // SAFETY: checked against the last segment's length.
        unsafe {
            let len = raw::data_len(last);
            if count > len as usize {
                return false;
            }
            raw::set_data_len(last, len - count as u16);
            raw::set_pkt_len(mbuf, raw::pkt_len(mbuf) - count as u32);
        }
        true
    }

    /// Whether writing to the first segment changes no other packet: its buffer is its own and
    /// nobody else holds a reference.
    #[inline]
    pub fn is_writable(&self) -> bool {
        let shared = dpdk_sys::SLUICE_MBUF_F_INDIRECT | dpdk_sys::SLUICE_MBUF_F_EXTERNAL;
        // SAFETY: owned.
        unsafe { raw::refcnt(self.as_ptr()) == 1 && raw::ol_flags(self.as_ptr()) & shared == 0 }
    }

    /// Whether writing to any segment changes no other packet: [`is_writable`](Self::is_writable)
    /// for the whole chain.
    pub fn is_exclusive(&self) -> bool {
        let shared = dpdk_sys::SLUICE_MBUF_F_INDIRECT | dpdk_sys::SLUICE_MBUF_F_EXTERNAL;
        let mut segment = self.as_ptr();
        while !segment.is_null() {
            // SAFETY: a segment of the owned chain, which ends in null.
            unsafe {
                if raw::refcnt(segment) != 1 || raw::ol_flags(segment) & shared != 0 {
                    return false;
                }
                segment = raw::next(segment);
            }
        }
        true
    }

    /// The byte at `offset`, in whatever segment it is, for writing; `None` behind the end. See
    /// [`is_exclusive`](Self::is_exclusive).
    pub fn byte_mut(&mut self, mut offset: usize) -> Option<&mut u8> {
        let mut segment = self.as_ptr();
        while !segment.is_null() {
            // SAFETY: a segment of the owned chain, which ends in null; the byte lies within its
            // data, and `&mut self` is the only handle to it.
            unsafe {
                let len = raw::data_len(segment) as usize;
                if offset < len {
                    let start = raw::buf_addr(segment).cast::<u8>();
                    return Some(&mut *start.add(raw::data_off(segment) as usize + offset));
                }
                offset -= len;
                segment = raw::next(segment);
            }
        }
        None
    }

    /// A deep copy in `pool`, as many segments as it takes; `None` when the pool is exhausted.
    pub fn copy(&self, pool: &Mempool) -> Option<Mbuf> {
        // SAFETY: copies data and offload metadata into fresh mbufs that the caller owns.
        let copy = unsafe {
            Mbuf::from_raw(dpdk_sys::rte_pktmbuf_copy(
                self.as_ptr(),
                pool.as_ptr(),
                0,
                u32::MAX,
            ))
        }?;
        Some(copy)
    }

    /// A second packet over the same bytes (indirect mbuf, reference counted); neither may then be
    /// written, see [`Mbuf::is_writable`]. `None` when the pool is exhausted.
    pub fn share(&self, pool: &Mempool) -> Option<Mbuf> {
        // SAFETY: attaches fresh mbufs to the buffers and raises their counts. DPDK leaves the count
        // of the direct mbuf above 1, so that `is_writable` is false on both sides.
        unsafe { Mbuf::from_raw(dpdk_sys::rte_pktmbuf_clone(self.as_ptr(), pool.as_ptr())) }
    }

    /// Moves all segments into the first one; false when they do not fit.
    pub fn linearize(&mut self) -> bool {
        // SAFETY: owned.
        unsafe { dpdk_sys::sluice_pktmbuf_linearize(self.as_ptr()) == 0 }
    }

    /// Appends the segments of `tail`; gives it back when there would be too many segments.
    pub fn chain(&mut self, tail: Mbuf) -> Result<(), Mbuf> {
        let tail = tail.into_raw();
        // SAFETY: both are owned; on success `self` owns the tail.
        match unsafe { dpdk_sys::sluice_pktmbuf_chain(self.as_ptr(), tail) } {
            0 => Ok(()),
            // SAFETY: DPDK left it alone, and it came from a live `Mbuf`.
            _ => Err(Mbuf(unsafe { NonNull::new_unchecked(tail) })),
        }
    }

    /// Offload flags, `RTE_MBUF_F_*`.
    #[inline]
    pub fn offload_flags(&self) -> u64 {
        // SAFETY: owned.
        unsafe { raw::ol_flags(self.as_ptr()) }
    }

    /// Sets the offload flags. Those that say who owns the buffer are kept as they are.
    #[inline]
    pub fn set_offload_flags(&mut self, flags: u64) {
        let owner = dpdk_sys::SLUICE_MBUF_F_INDIRECT | dpdk_sys::SLUICE_MBUF_F_EXTERNAL;
        // SAFETY: owned.
        unsafe {
            raw::set_ol_flags(
                self.as_ptr(),
                flags & !owner | raw::ol_flags(self.as_ptr()) & owner,
            )
        }
    }

    /// The port's RSS hash, where it computed one.
    #[inline]
    pub fn rss_hash(&self) -> Option<u32> {
        (self.offload_flags() & dpdk_sys::SLUICE_MBUF_F_RX_RSS_HASH != 0)
            // SAFETY: owned.
            .then(|| unsafe { raw::rss(self.as_ptr()) })
    }

    /// The VLAN tag that the port stripped.
    #[inline]
    pub fn stripped_vlan(&self) -> Option<u16> {
        (self.offload_flags() & dpdk_sys::SLUICE_MBUF_F_RX_VLAN_STRIPPED != 0)
            // SAFETY: owned.
            .then(|| unsafe { raw::vlan_tci(self.as_ptr()) })
    }

    /// Header lengths for transmit offloads, as [`set_tx_offload`](Self::set_tx_offload) puts them there.
    #[inline]
    pub fn tx_offload(&self) -> u64 {
        // SAFETY: owned.
        unsafe { raw::tx_offload(self.as_ptr()) }
    }

    /// Header lengths for transmit offloads, bytes: bits 0-6 layer 2, bits 7-15 layer 3, bits 16-23 layer 4.
    /// The last is for segmentation, but the TAP driver asks for it with checksums, too.
    #[inline]
    pub fn set_tx_offload(&mut self, l2_len: u8, l3_len: u16, l4_len: u8) {
        // SAFETY: owned.
        unsafe {
            raw::set_tx_offload(
                self.as_ptr(),
                u64::from(l2_len & 0x7f) | u64::from(l3_len & 0x1ff) << 7 | u64::from(l4_len) << 16,
            );
        }
    }

    /// Asks the sending port for what `other` asks for.
    #[inline]
    pub(crate) fn take_tx_offload(&mut self, other: &Mbuf) {
        self.set_offload_flags(other.offload_flags());
        // SAFETY: owned; header lengths are plain numbers.
        unsafe { raw::set_tx_offload(self.as_ptr(), other.tx_offload()) };
    }

    /// The private area, as the bytes that were left there.
    #[inline(always)]
    pub(crate) fn private(&self) -> NonNull<[u8; PRIVATE_BYTES]> {
        // SAFETY: every pool of ours reserves the area right behind the struct.
        unsafe { NonNull::new_unchecked(self.as_ptr().byte_add(raw::SIZE).cast()) }
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: owned, and gone afterwards.
        unsafe { dpdk_sys::sluice_pktmbuf_free(self.as_ptr()) }
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf")
            .field("len", &self.len())
            .field("segments", &self.segment_count())
            .finish()
    }
}

/// Iterator over the segments' data.
pub struct Segments<'a> {
    next: *mut rte_mbuf,
    _owner: std::marker::PhantomData<&'a Mbuf>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.next.is_null() {
            return None;
        }
        // SAFETY: a segment of a chain that is borrowed for 'a.
        unsafe {
            let segment = self.next;
            self.next = raw::next(segment);
            let start = raw::buf_addr(segment)
                .cast::<u8>()
                .add(raw::data_off(segment) as usize);
            Some(std::slice::from_raw_parts(
                start,
                raw::data_len(segment) as usize,
            ))
        }
    }
}
