//! A core's end.

use std::fmt;
use std::ptr::NonNull;

use super::shared::{Shared, Slot, Version};
use super::sync::Arc;

/// A core's view of what a [`Publisher`](super::Publisher) publishes.
///
/// It stays at one version until it is refreshed. The borrow of [`get`](Self::get) ends before
/// [`refresh`](Self::refresh) can be called, so nothing of an old version can be kept:
///
/// ```compile_fail,E0502
/// # use nf_core::publish::{Hub, Publisher};
/// let publisher = Publisher::new(&Hub::new(), 1);
/// let mut reader = publisher.reader();
/// let old = reader.get();
/// reader.refresh();
/// println!("{old}");
/// ```
pub struct Reader<T> {
    /// Valid as long as `slot` says that the reader is at this version.
    version: NonNull<Version<T>>,
    slot: Arc<Slot>,
    shared: Arc<Shared<T>>,
}

// SAFETY: the pointer is a shared reference in all but lifetime: `T: Sync` is what sending one
// needs. `T: Send`, because the last reader frees the value if publisher and hub are gone.
unsafe impl<T: Send + Sync> Send for Reader<T> {}

impl<T: Send + Sync> Reader<T> {
    pub(super) fn register(shared: Arc<Shared<T>>) -> Self {
        let (slot, version) = shared.register();
        // SAFETY: only a publisher registers readers, so it is not closed and the pointer not
        // null.
        let version = unsafe { NonNull::new_unchecked(version.cast_mut()) };
        Self {
            version,
            slot,
            shared,
        }
    }

    /// The value, as of the last [`refresh`](Self::refresh).
    #[inline(always)]
    pub fn get(&self) -> &T {
        // SAFETY: the slot holds this version's number, or a lower one while `refresh` runs, so it
        // is not freed; versions are never written to once published.
        unsafe { &self.version.as_ref().value }
    }

    /// Number of the version.
    #[inline]
    pub fn version(&self) -> u64 {
        // SAFETY: as in `get`.
        unsafe { self.version.as_ref().number }
    }

    /// Takes over the newest version; whether there was one. Two loads and at most a store.
    #[inline]
    pub fn refresh(&mut self) -> bool {
        let newest = self.shared.current().cast_mut();
        // Null cannot be: that takes every slot to be given up, and this one is in use.
        let Some(newest) = NonNull::new(newest).filter(|newest| *newest != self.version) else {
            return false;
        };
        self.version = newest;
        // Not before the pointer is replaced: from here on the old version may be freed.
        self.slot.pass(self.version());
        true
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.slot.leave();
    }
}

impl<T: fmt::Debug + Send + Sync> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("version", &self.version())
            .field("value", self.get())
            .finish()
    }
}
