//! Pools that only the driver of one port allocates from.
//!
//! A driver that shares its buffers with the kernel (AF_XDP's) leaves those behind that wait for packets
//! when its port is closed. From a pool of its own they can be told from packets that are still on their
//! way, and taken back.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::eal::Eal;
use super::error::DpdkError;
use super::mempool::Mempool;
use super::xdp_sockets::XdpSockets;

/// A pool for a port's driver alone; freed with its last holder.
///
/// It must outlive every packet that was received into it.
#[derive(Debug, Clone)]
pub struct DriverPool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Mempool,
    /// An open port uses it.
    taken: AtomicBool,
    /// What its driver opened with it.
    sockets: Mutex<XdpSockets>,
}

/// Number of the next pool, for a name of its own.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl DriverPool {
    /// A pool of `packets` mbufs; the sizes are those of [`Mempool::create`].
    pub fn create(
        eal: &'static Eal,
        packets: u32,
        data_room: u16,
        cache: u32,
    ) -> Result<DriverPool, DpdkError> {
        let name = format!("driver_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let pool = Mempool::create(eal, &name, packets, data_room, cache)?;
        Ok(DriverPool(Arc::new(Inner {
            pool,
            taken: AtomicBool::new(false),
            sockets: Mutex::default(),
        })))
    }

    /// Mbufs in use: by the driver, and by packets on their way.
    pub fn in_use(&self) -> u32 {
        self.0.pool.in_use()
    }

    /// The pool, for the driver of one port; `None` while another port has it.
    pub(super) fn take(&self) -> Option<Mempool> {
        let taken = self.0.taken.swap(true, Ordering::AcqRel);
        (!taken).then(|| self.0.pool.clone())
    }

    /// Opens a port that took the pool, and remembers the sockets that its driver opens.
    pub(super) fn watch<T>(&self, open: impl FnOnce() -> T) -> T {
        static OPENING: Mutex<()> = Mutex::new(());
        // One at a time, so that the sockets are this port's.
        let _one = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        let before = XdpSockets::open_now();
        let opened = open();
        *self.sockets() = XdpSockets::open_now().without(&before);
        opened
    }

    fn sockets(&self) -> std::sync::MutexGuard<'_, XdpSockets> {
        self.0
            .sockets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The port that took the pool is closed, and what its driver has kept goes back.
    ///
    /// # Safety
    /// The pool was [taken](Self::take), by a port that is closed by now and gave it to nothing but its
    /// driver.
    pub(super) unsafe fn give_back(&self) {
        // The kernel has to let go of the buffers before they are used again.
        let sockets = std::mem::take(&mut *self.sockets());
        // SAFETY: the driver has closed the port; and only it has allocated from the pool, which is
        // private here.
        unsafe {
            sockets.close();
            self.0.pool.take_back();
        }
        self.0.taken.store(false, Ordering::Release);
    }
}
