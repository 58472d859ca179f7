//! Ports: DPDK ethdevs behind one name, whatever is behind them.

mod arguments;
mod device;
mod error;
mod setup;
mod spec;
mod stats;

use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

pub use device::Device;
pub use error::PortError;
pub use spec::{PortSpec, Rss, TxChecksums};
pub use stats::{LinkState, PortStats};

use super::driver_pool::DriverPool;
use super::eal::{Eal, overhear, reason};
use super::error::DpdkError;
use super::memif;
use super::mempool::Mempool;
use super::queue::{RxQueue, TxQueue};
use super::ring::MbufRing;
use setup::{configure, find_or_create};

/// An open, started port.
///
/// Queues are handed out once each and keep the device open until they are dropped.
#[derive(Debug)]
pub struct Port {
    spec: PortSpec,
    tx_checksums: TxChecksums,
    handle: PortHandle,
}

/// Shared by a port and its queues; the last one closes the device.
#[derive(Debug, Clone)]
pub struct PortHandle(Arc<Open>);

#[derive(Debug)]
struct Open {
    eal: &'static Eal,
    id: u16,
    name: String,
    vdev: Option<CString>,
    rx_taken: Mutex<Vec<bool>>,
    tx_taken: Mutex<Vec<bool>>,
    /// The rings behind a ring port, freed after it.
    _rings: Vec<MbufRing>,
    /// Receive queues draw from it, so it outlives them.
    _pool: Mempool,
    /// The same pool, where only the driver allocates from it.
    driver_pool: OnceLock<DriverPool>,
}

fn lock(taken: &Mutex<Vec<bool>>) -> MutexGuard<'_, Vec<bool>> {
    taken
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl PortHandle {
    pub(super) fn return_rx(&self, queue: u16) {
        if let Some(slot) = lock(&self.0.rx_taken).get_mut(usize::from(queue)) {
            *slot = false;
        }
    }

    pub(super) fn return_tx(&self, queue: u16) {
        if let Some(slot) = lock(&self.0.tx_taken).get_mut(usize::from(queue)) {
            *slot = false;
        }
    }
}

impl Port {
    /// Creates the device, configures `spec.queues` queue pairs on `pool` and starts it.
    pub fn open(eal: &'static Eal, spec: &PortSpec, pool: &Mempool) -> Result<Port, PortError> {
        overhear(
            || Port::open_quietly(eal, spec, pool),
            |error, lines| match (error, reason(lines)) {
                (
                    PortError::NoDevice {
                        port, device, hint, ..
                    },
                    Some(why),
                ) => PortError::NoDevice {
                    port,
                    device,
                    hint: error::hint_for(&why).map_or(hint, str::to_owned),
                    why,
                },
                (error, _) => error,
            },
        )
    }

    /// The same on a pool from which only the port's driver allocates: what it keeps of it when the
    /// port is closed is taken back. The pool can then be used for the next opening.
    pub fn open_with(
        eal: &'static Eal,
        spec: &PortSpec,
        pool: &DriverPool,
    ) -> Result<Port, PortError> {
        let Some(mempool) = pool.take() else {
            return Err(PortError::PoolTaken {
                port: spec.name.clone(),
            });
        };
        match pool.watch(|| Port::open(eal, spec, &mempool)) {
            Ok(port) => {
                port.handle.0.driver_pool.get_or_init(|| pool.clone());
                Ok(port)
            }
            Err(error) => {
                // SAFETY: taken above, and the port that failed to open is closed.
                unsafe { pool.give_back() };
                Err(error)
            }
        }
    }

    fn open_quietly(eal: &'static Eal, spec: &PortSpec, pool: &Mempool) -> Result<Port, PortError> {
        if let Device::Ring { slots } = spec.device {
            let rings = (0..spec.queues)
                .map(|queue| {
                    MbufRing::create_for_queue_pair(eal, &format!("{}_{queue}", spec.name), slots)
                })
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| PortError::setup(spec, error))?;
            return Port::open_rings(eal, spec, pool, rings.clone(), rings);
        }
        if let Device::Memif {
            server: true,
            socket,
            abstract_socket: false,
            ..
        } = &spec.device
            && memif::is_taken(socket)
        {
            return Err(PortError::SocketTaken {
                port: spec.name.clone(),
                socket: socket.clone(),
            });
        }
        let (id, vdev_name) = eal.control(|| find_or_create(spec))?;
        Port::start(eal, spec, pool, id, vdev_name, Vec::new())
    }

    /// A port that receives from `rx` and sends to `tx`, one ring a queue: how two ports of one
    /// process are wired together, and how tests stand in for a network.
    pub fn open_rings(
        eal: &'static Eal,
        spec: &PortSpec,
        pool: &Mempool,
        rx: Vec<MbufRing>,
        tx: Vec<MbufRing>,
    ) -> Result<Port, PortError> {
        let name = CString::new(spec.name.as_str())
            .map_err(|_| PortError::character(spec, "name", '\0'))?;
        let rx_pointers: Vec<_> = rx.iter().map(MbufRing::as_ptr).collect();
        let tx_pointers: Vec<_> = tx.iter().map(MbufRing::as_ptr).collect();
        // SAFETY: arrays of the given lengths of live rings, which the port keeps alive.
        let id = eal.control(|| unsafe {
            dpdk_sys::rte_eth_from_rings(
                name.as_ptr(),
                rx_pointers.as_ptr(),
                rx_pointers.len() as u32,
                tx_pointers.as_ptr(),
                tx_pointers.len() as u32,
                0,
            )
        });
        if id < 0 {
            return Err(PortError::setup(
                spec,
                DpdkError::from_rte_errno("rte_eth_from_rings"),
            ));
        }
        let vdev_name = CString::new(format!("net_ring_{}", spec.name)).ok();
        Port::start(
            eal,
            spec,
            pool,
            id as u16,
            vdev_name,
            rx.into_iter().chain(tx).collect(),
        )
    }

    fn start(
        eal: &'static Eal,
        spec: &PortSpec,
        pool: &Mempool,
        id: u16,
        vdev: Option<CString>,
        rings: Vec<MbufRing>,
    ) -> Result<Port, PortError> {
        // From here on, dropping the handle closes the device again.
        let handle = PortHandle(Arc::new(Open {
            eal,
            id,
            name: spec.name.clone(),
            vdev,
            rx_taken: Mutex::new(vec![false; usize::from(spec.queues)]),
            tx_taken: Mutex::new(vec![false; usize::from(spec.queues)]),
            _rings: rings,
            _pool: pool.clone(),
            driver_pool: OnceLock::new(),
        }));
        let tx_checksums = eal.control(|| configure(spec, id, pool))?;
        Ok(Port {
            spec: spec.clone(),
            tx_checksums,
            handle,
        })
    }

    /// Our name.
    pub fn name(&self) -> &str {
        &self.handle.0.name
    }

    /// How it was opened.
    pub fn spec(&self) -> &PortSpec {
        &self.spec
    }

    /// The checksums that it fills in.
    pub fn tx_checksums(&self) -> TxChecksums {
        self.tx_checksums
    }

    /// DPDK's port id.
    pub fn id(&self) -> u16 {
        self.handle.0.id
    }

    /// The receive queue of that number, once: `None` while another holder has it.
    pub fn rx_queue(&self, queue: u16) -> Option<RxQueue> {
        let mut taken = lock(&self.handle.0.rx_taken);
        let slot = taken.get_mut(usize::from(queue)).filter(|slot| !**slot)?;
        *slot = true;
        let cold = !self.spec.device.copies();
        Some(RxQueue::new(self.id(), queue, cold, self.handle.clone()))
    }

    /// The transmit queue of that number, once: `None` while another holder has it.
    pub fn tx_queue(&self, queue: u16) -> Option<TxQueue> {
        let mut taken = lock(&self.handle.0.tx_taken);
        let slot = taken.get_mut(usize::from(queue)).filter(|slot| !**slot)?;
        *slot = true;
        let fills_in = self.tx_checksums != TxChecksums::default();
        Some(TxQueue::new(
            self.id(),
            queue,
            fills_in,
            self.handle.clone(),
        ))
    }

    /// Whether no queue is handed out.
    pub fn is_idle(&self) -> bool {
        lock(&self.handle.0.rx_taken)
            .iter()
            .chain(lock(&self.handle.0.tx_taken).iter())
            .all(|taken| !taken)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let id = self.id;
        self.eal.control(|| {
            // SAFETY: the last user of the port is going; stop, close, and remove what we created.
            unsafe {
                dpdk_sys::rte_eth_dev_stop(id);
                match &self.vdev {
                    // Removing a virtual device closes its port.
                    Some(name) => {
                        if dpdk_sys::rte_vdev_uninit(name.as_ptr()) != 0 {
                            dpdk_sys::rte_eth_dev_close(id);
                        }
                    }
                    None => {
                        dpdk_sys::rte_eth_dev_close(id);
                    }
                }
            }
        });
        if let Some(pool) = self.driver_pool.get() {
            // SAFETY: this port took it, and has just been closed.
            unsafe { pool.give_back() };
        }
    }
}
