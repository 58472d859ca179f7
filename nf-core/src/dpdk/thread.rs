//! Threads that may run the data path: pinned, and registered with EAL.
//!
//! An unregistered thread has no lcore id, so every pool operation misses the per-lcore cache and
//! costs about twice as much.

use std::mem;
use std::thread::JoinHandle;

use thiserror::Error;

use super::eal::Eal;
use super::error::DpdkError;

/// Why a data-path thread did not start.
#[derive(Debug, Error)]
pub enum LcoreError {
    /// The operating system gave no thread.
    #[error("no thread for core {cpu}: {error}")]
    Spawn {
        /// CPU number.
        cpu: usize,
        /// The system's words.
        error: std::io::Error,
    },
    /// The thread ended before it was ready.
    #[error("the thread of core {cpu} ended while it started")]
    Ended {
        /// CPU number.
        cpu: usize,
    },
    /// EAL has no lcore id left.
    #[error("core {cpu}: {error}")]
    Register {
        /// CPU number.
        cpu: usize,
        /// What DPDK said.
        error: DpdkError,
    },
}

/// A running data-path thread.
#[derive(Debug)]
pub struct LcoreThread<T> {
    handle: JoinHandle<Option<T>>,
    /// CPU it is pinned to.
    pub cpu: usize,
    /// The operating system's thread id, for `top -H` and `/proc`.
    pub tid: i32,
}

/// CPUs that this process may use.
pub fn available_cpus() -> Vec<usize> {
    // SAFETY: a plain bit set, zero is valid.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: a valid out pointer of that size.
    if unsafe { libc::sched_getaffinity(0, mem::size_of_val(&set), &mut set) } != 0 {
        return vec![0];
    }
    // SAFETY: the index is below the set's size.
    (0..libc::CPU_SETSIZE as usize)
        .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) })
        .collect()
}

/// Pins the calling thread; false when the CPU is not ours to use.
pub(crate) fn pin(cpu: usize) -> bool {
    if cpu >= libc::CPU_SETSIZE as usize {
        return false;
    }
    // SAFETY: a plain bit set; the index was checked.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, mem::size_of_val(&set), &set) == 0
    }
}

/// What `rte_lcore_id` says of a thread without an id.
const NO_LCORE: u32 = u32::MAX;

/// Runs `body` on the calling thread, which is registered with EAL meanwhile unless it was before. Where
/// EAL has no lcore id left, it runs without.
pub fn with_lcore<R>(_eal: &'static Eal, body: impl FnOnce() -> R) -> R {
    /// Unregisters the thread, also when `body` panics.
    struct Registered;

    impl Drop for Registered {
        fn drop(&mut self) {
            // SAFETY: made on a registered thread, and never sent to another.
            unsafe { dpdk_sys::rte_thread_unregister() };
        }
    }

    // SAFETY: reads a thread-local of DPDK's; the thread unregisters before it ends.
    let registered =
        unsafe { dpdk_sys::sluice_lcore_id() == NO_LCORE && dpdk_sys::rte_thread_register() >= 0 };
    let _registered = registered.then(|| Registered);
    body()
}

impl<T: Send + 'static> LcoreThread<T> {
    /// Starts `body` on a thread that is pinned to `cpu` and registered with EAL.
    ///
    /// A CPU that cannot be pinned to is logged, not refused: containers often allow no pinning.
    pub fn spawn(
        _eal: &'static Eal,
        name: &str,
        cpu: usize,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> Result<LcoreThread<T>, LcoreError> {
        let (ready, started) = std::sync::mpsc::channel();
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                if !pin(cpu) {
                    tracing::warn!(cpu, "the thread could not be pinned to its CPU");
                }
                // SAFETY: EAL runs; the thread unregisters before it ends.
                let code = unsafe { dpdk_sys::rte_thread_register() };
                if code < 0 {
                    let error = DpdkError::from_rte_errno("rte_thread_register");
                    let _ = ready.send(Err(LcoreError::Register { cpu, error }));
                    return None;
                }
                // SAFETY: a plain system call.
                let tid = unsafe { libc::gettid() };
                let _ = ready.send(Ok(tid));
                let result = body();
                // SAFETY: registered above, on this thread.
                unsafe { dpdk_sys::rte_thread_unregister() };
                Some(result)
            })
            .map_err(|error| LcoreError::Spawn { cpu, error })?;
        match started.recv() {
            Ok(Ok(tid)) => Ok(LcoreThread { handle, cpu, tid }),
            Ok(Err(error)) => {
                let _ = handle.join();
                Err(error)
            }
            Err(_) => Err(LcoreError::Ended { cpu }),
        }
    }

    /// Waits for the body's end; `None` when it panicked.
    pub fn join(self) -> Option<T> {
        self.handle.join().ok().flatten()
    }

    /// Whether the body has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}
