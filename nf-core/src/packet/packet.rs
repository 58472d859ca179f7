//! An owned packet.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::label::Label;
use super::meta::Meta;
use crate::dpdk::{Mbuf, Mempool};

/// An owned packet: one mbuf chain and its [`Meta`].
///
/// As large as a pointer, and `Option<Packet>` too. Moving it moves ownership, dropping it frees the
/// mbufs. On the data path a stage does not drop packets this way but hands them to
/// [`Cx::drop`](crate::chain::Cx::drop), so that each has a counted reason.
#[repr(transparent)]
pub struct Packet(Mbuf);

const _: () = assert!(size_of::<Meta>() == 32 && size_of::<Option<Packet>>() == 8);
// The label is the private area's other half.
const _: () = assert!(size_of::<Label>() == 32 && align_of::<Label>() <= 32);

impl Packet {
    /// An empty packet from `pool` with fresh metadata; `None` when the pool is exhausted.
    pub fn alloc(pool: &Mempool) -> Option<Packet> {
        let mut packet = Packet(pool.alloc()?);
        packet.reset_meta(Meta::default());
        Some(packet)
    }

    /// A packet with a copy of `bytes`, over several segments where one does not hold them; `None`
    /// when the pool is exhausted.
    pub fn from_bytes(pool: &Mempool, bytes: &[u8]) -> Option<Packet> {
        let mut packet = Packet::alloc(pool)?;
        let mut rest = bytes;
        let mut tail: Option<Packet> = None;
        loop {
            let segment = tail.as_mut().unwrap_or(&mut packet);
            let take = rest.len().min(segment.tailroom());
            let (now, later) = rest.split_at(take);
            segment.append(take)?.copy_from_slice(now);
            rest = later;
            if let Some(done) = tail.take() {
                packet.0.chain(done.0).ok()?;
            }
            if rest.is_empty() {
                return Some(packet);
            }
            tail = Some(Packet::alloc(pool)?);
        }
    }

    /// Whether all bytes are in one segment, so that [`Mbuf::data`] is the whole packet.
    #[inline(always)]
    pub fn is_contiguous(&self) -> bool {
        self.segment_count() == 1
    }

    /// Copies bytes from `offset` on into `out`, over segment borders; returns how many there were.
    pub fn copy_out(&self, mut offset: usize, out: &mut [u8]) -> usize {
        let mut filled = 0;
        for segment in self.segments() {
            if let Some(rest) = segment.get(offset..) {
                let take = rest.len().min(out.len() - filled);
                out[filled..filled + take].copy_from_slice(&rest[..take]);
                filled += take;
                offset = 0;
                if filled == out.len() {
                    break;
                }
            } else {
                offset -= segment.len();
            }
        }
        filled
    }

    /// The packet's metadata.
    #[inline(always)]
    pub fn meta(&self) -> &Meta {
        // SAFETY: the private area is zeroed with the pool and written by us alone; zero is valid.
        unsafe { self.0.private().cast::<Meta>().as_ref() }
    }

    /// The packet's metadata, for writing.
    #[inline(always)]
    pub fn meta_mut(&mut self) -> &mut Meta {
        // SAFETY: as above, and `&mut self` is the only handle.
        unsafe { self.0.private().cast::<Meta>().as_mut() }
    }

    /// Replaces the metadata.
    #[inline(always)]
    pub fn reset_meta(&mut self, meta: Meta) {
        // SAFETY: as above; the old value needs no drop.
        unsafe { self.0.private().cast::<Meta>().write(meta) }
    }

    /// What it is as a message; means nothing of a packet that nobody has made one.
    #[inline(always)]
    pub fn label(&self) -> &Label {
        // SAFETY: the half of the private area behind the metadata is zeroed with the pool and written by
        // us alone; a label is nothing but numbers, so that all bytes are valid, and aligned as the area is.
        unsafe { self.0.private().cast::<Label>().add(1).as_ref() }
    }

    /// The same, for writing.
    #[inline(always)]
    pub fn label_mut(&mut self) -> &mut Label {
        // SAFETY: as above, and `&mut self` is the only handle.
        unsafe { self.0.private().cast::<Label>().add(1).as_mut() }
    }

    /// A deep copy with the same metadata, which no other packet shares; `None` when the pool is
    /// exhausted.
    pub fn copy(&self, pool: &Mempool) -> Option<Packet> {
        let mut copy = Packet(self.0.copy(pool)?);
        copy.reset_meta(*self.meta());
        Some(copy)
    }

    /// A second packet over the same bytes, with a copy of the metadata. Neither may be written until
    /// [`Packet::ensure_writable`] has made it its own.
    pub fn share(&self, pool: &Mempool) -> Option<Packet> {
        let mut shared = Packet(self.0.share(pool)?);
        shared.reset_meta(*self.meta());
        Some(shared)
    }

    /// Divides a packet into its first `headers` bytes and a payload, and makes a second one with headers
    /// of its own before the same payload (the scheme of DPDK's multicast example). The first segment of
    /// both may be written, the payload of neither. `None`, with the packet as it was, when the pool is
    /// exhausted, or the headers are not in the first segment or do not fit into one.
    pub fn split(&mut self, pool: &Mempool, headers: usize) -> Option<Packet> {
        let first = self.with_own_headers(pool, headers)?;
        let second = self.with_own_headers(pool, headers)?;
        *self = first;
        Some(second)
    }

    fn with_own_headers(&self, pool: &Mempool, headers: usize) -> Option<Packet> {
        let bytes = self.data().get(..headers)?;
        let mut packet = Packet::alloc(pool)?;
        packet.append(headers)?.copy_from_slice(bytes);
        let mut payload = self.0.share(pool)?;
        if payload.len() > headers {
            // Where the first segment is headers only, it stays as an empty one.
            if !payload.trim_front(headers) {
                return None;
            }
            packet.0.chain(payload).ok()?;
        }
        packet.take_tx_offload(self);
        packet.reset_meta(*self.meta());
        Some(packet)
    }

    /// Makes sure that writing changes this packet alone: a shared or indirect buffer is replaced by
    /// a copy. False, with the packet unchanged, when the pool is exhausted.
    #[inline(always)]
    #[must_use]
    pub fn ensure_writable(&mut self, pool: &Mempool) -> bool {
        self.0.is_writable() || self.unshare(pool)
    }

    #[cold]
    fn unshare(&mut self, pool: &Mempool) -> bool {
        match self.copy(pool) {
            Some(copy) => {
                *self = copy;
                true
            }
            None => false,
        }
    }
}

impl Default for Meta {
    fn default() -> Meta {
        Meta::received(0, 0, super::Direction::ToServer)
    }
}

impl Deref for Packet {
    type Target = Mbuf;

    #[inline(always)]
    fn deref(&self) -> &Mbuf {
        &self.0
    }
}

impl DerefMut for Packet {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Mbuf {
        &mut self.0
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("mbuf", &self.0)
            .field("meta", self.meta())
            .finish()
    }
}

impl From<Packet> for Mbuf {
    fn from(packet: Packet) -> Mbuf {
        packet.0
    }
}
