//! The control side's end.

use std::fmt;
use std::time::{Duration, Instant};

use super::hub::{Hub, Reclaim};
use super::reader::Reader;
use super::shared::Shared;
use super::sync::Arc;

/// Not every reader has taken over a version in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{lagging} of the cores had not taken over version {version} in time")]
pub struct NotAdopted {
    /// The version waited for.
    pub version: u64,
    /// Readers that were still at an older one.
    pub lagging: usize,
}

/// Publishes versions of a value to [`Reader`]s and frees those no reader sees any more.
///
/// Values are dropped by whoever calls [`publish`](Self::publish), [`reclaim`](Self::reclaim) or
/// [`Hub::reclaim`], or drops the publisher; never by a reader, unless it outlives both the
/// publisher and the hub.
pub struct Publisher<T: Send + Sync + 'static> {
    hub: Hub,
    shared: Arc<Shared<T>>,
}

impl<T: Send + Sync + 'static> Publisher<T> {
    /// A publisher whose first version, number 0, is `value`.
    pub fn new(hub: &Hub, value: T) -> Self {
        let shared = Arc::new(Shared::new(value));
        hub.add(Box::new(Arc::clone(&shared)));
        Self {
            hub: hub.clone(),
            shared,
        }
    }

    /// A reader, at the newest version, for a core that exists or is about to.
    pub fn reader(&self) -> Reader<T> {
        Reader::register(Arc::clone(&self.shared))
    }

    /// Makes `value` the newest version and returns its number. Does not wait: a core takes it
    /// over at its next turn. Frees what can be freed.
    ///
    /// Until the slowest core turns, replaced versions pile up ([`pending`](Self::pending)); who
    /// publishes large values in quick succession calls [`wait_adopted`](Self::wait_adopted) in
    /// between.
    pub fn publish(&self, value: T) -> u64 {
        let number = self.shared.publish(value);
        self.hub.announce();
        self.reclaim();
        number
    }

    /// Frees every replaced version that no reader can see any more.
    pub fn reclaim(&self) {
        self.shared.reclaim();
    }

    /// Versions replaced and not freed yet.
    pub fn pending(&self) -> usize {
        self.shared.pending()
    }

    /// Number of the newest version.
    pub fn version(&self) -> u64 {
        self.shared.newest()
    }

    /// Looks at the newest version. Publishing waits meanwhile, readers do not; `look` must not
    /// use this publisher.
    pub fn with_newest<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.shared.with_newest(look)
    }

    /// Readers that are still at an older version than the newest.
    pub fn lagging(&self) -> usize {
        self.shared.lagging(self.shared.newest())
    }

    /// The fence: waits until every reader is at the version that is newest now, or a later one,
    /// then frees the older ones. Only the caller waits, and it sleeps.
    pub fn wait_adopted(&self, timeout: Duration) -> Result<(), NotAdopted> {
        let version = self.shared.newest();
        let start = Instant::now();
        let mut pause = Duration::from_micros(20);
        loop {
            let lagging = self.shared.lagging(version);
            if lagging == 0 {
                self.reclaim();
                return Ok(());
            }
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(NotAdopted { version, lagging });
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(2));
        }
    }
}

impl<T: Send + Sync + 'static> Drop for Publisher<T> {
    fn drop(&mut self) {
        self.shared.close();
        // What readers still see stays with the hub until they are gone.
        self.shared.reclaim();
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("version", &self.version())
            .field("pending", &self.pending())
            .finish()
    }
}
