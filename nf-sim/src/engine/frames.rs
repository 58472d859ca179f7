//! Frames on their way: buffers that are used again, so that a run allocates only while it grows.

/// A frame in a [`Frames`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameId(pub u32);

/// All frames of a world.
#[derive(Debug, Default)]
pub struct Frames {
    buffers: Vec<Vec<u8>>,
    free: Vec<u32>,
}

impl Frames {
    /// An empty frame.
    #[inline]
    pub fn alloc(&mut self) -> FrameId {
        match self.free.pop() {
            Some(index) => FrameId(index),
            None => {
                self.buffers.push(Vec::with_capacity(256));
                FrameId(self.buffers.len() as u32 - 1)
            }
        }
    }

    /// A copy of a frame.
    pub fn copy(&mut self, frame: FrameId) -> FrameId {
        let copy = self.alloc();
        let bytes = self.take(frame);
        self.buffer(copy).extend_from_slice(&bytes);
        self.put(frame, bytes);
        copy
    }

    /// The frame's bytes.
    #[inline]
    pub fn bytes(&self, frame: FrameId) -> &[u8] {
        self.buffers
            .get(frame.0 as usize)
            .map_or(&[], Vec::as_slice)
    }

    /// The frame's bytes, for writing.
    #[inline]
    pub fn buffer(&mut self, frame: FrameId) -> &mut Vec<u8> {
        &mut self.buffers[frame.0 as usize]
    }

    /// Takes the bytes out for a while; [`put`](Self::put) brings them back.
    #[inline]
    pub fn take(&mut self, frame: FrameId) -> Vec<u8> {
        std::mem::take(self.buffer(frame))
    }

    /// Brings back what was [taken](Self::take).
    #[inline]
    pub fn put(&mut self, frame: FrameId, bytes: Vec<u8>) {
        *self.buffer(frame) = bytes;
    }

    /// The frame has ended.
    #[inline]
    pub fn free(&mut self, frame: FrameId) {
        self.buffer(frame).clear();
        self.free.push(frame.0);
    }

    /// Frames that have not ended.
    pub fn in_use(&self) -> usize {
        self.buffers.len() - self.free.len()
    }

    /// Buffers there are: the most frames that were on their way at a time.
    pub fn buffers(&self) -> usize {
        self.buffers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again() {
        let mut frames = Frames::default();
        let first = frames.alloc();
        frames.buffer(first).extend_from_slice(b"one");
        let copy = frames.copy(first);
        assert_eq!(
            (frames.bytes(first), frames.bytes(copy)),
            (&b"one"[..], &b"one"[..])
        );
        assert_eq!(frames.in_use(), 2);
        frames.free(first);
        let again = frames.alloc();
        assert_eq!(again, first);
        assert_eq!(frames.bytes(again), b"", "what was there is gone");
        frames.free(again);
        frames.free(copy);
        assert_eq!((frames.in_use(), frames.buffers()), (0, 2));
    }
}
