//! Ports: DPDK ethdevs behind one name, whatever is behind them.

use std::ffi::{CStr, CString};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use thiserror::Error;

use super::eal::{Eal, overhear, reason};
use super::error::DpdkError;
use super::memif;
use super::mempool::Mempool;
use super::queue::{RxQueue, TxQueue};
use super::ring::MbufRing;

/// What is behind a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// A NIC that is bound to vfio-pci (or another user-space driver), or a bifurcated one.
    Pci {
        /// Address, "0000:01:00.0".
        address: String,
    },
    /// A TAP interface of the kernel, created with the port and gone with it.
    Tap {
        /// Interface name, at most 15 bytes.
        interface: String,
        /// MAC address of the kernel's side, "02:00:00:00:00:01"; DPDK's choice when `None`.
        mac: Option<String>,
    },
    /// Shared memory to another process.
    Memif {
        /// Listens when true, connects when false.
        server: bool,
        /// Socket path, or abstract name.
        socket: String,
        /// Whether the socket is in the abstract namespace.
        abstract_socket: bool,
        /// Interface id on the socket.
        id: u32,
        /// Shared secret, at most 24 bytes.
        secret: Option<String>,
        /// Let the peer read our packet memory (client side only).
        zero_copy: bool,
        /// Bytes of a shared buffer.
        buffer_bytes: u32,
        /// MAC address of the port; random when `None`.
        mac: Option<String>,
    },
    /// A kernel interface through AF_XDP sockets.
    AfXdp {
        /// Interface name.
        interface: String,
        /// First queue of the interface.
        start_queue: u16,
        /// Copy mode even where zero copy is possible.
        force_copy: bool,
    },
    /// A kernel interface through AF_PACKET rings.
    AfPacket {
        /// Interface name.
        interface: String,
        /// Bytes of a frame slot of the shared ring.
        frame_bytes: u32,
        /// Frame slots.
        frames: u32,
        /// Skip the kernel's queueing discipline on transmit.
        qdisc_bypass: bool,
    },
    /// Software rings; transmit is wired to receive.
    Ring {
        /// Slots of each ring, a power of two.
        slots: u32,
    },
    /// Packets from and to capture files.
    Pcap {
        /// File to receive from.
        rx_file: Option<PathBuf>,
        /// File to send to; what is sent is dropped when `None`.
        tx_file: Option<PathBuf>,
        /// Start again at the end of `rx_file`.
        repeat: bool,
    },
    /// Receives empty packets without end, frees what is sent.
    Null {
        /// Bytes of a received packet.
        packet_bytes: u16,
        /// Copy the bytes, as a device would.
        copy: bool,
    },
}

impl Device {
    /// Whether its driver copies what it receives into mbufs, on the receiving core: then the bytes are in
    /// that core's cache already. Else a NIC, the kernel or another core has written them.
    fn copies(&self) -> bool {
        match self {
            Device::Pci { .. } | Device::Ring { .. } | Device::AfXdp { .. } => false,
            Device::Tap { .. }
            | Device::Memif { .. }
            | Device::AfPacket { .. }
            | Device::Pcap { .. }
            | Device::Null { .. } => true,
        }
    }
}

/// What receive-side scaling hashes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rss {
    /// Addresses and ports of both ends.
    #[default]
    FiveTuple,
    /// Destination address and port only, where the NIC can.
    Destination,
    /// No spreading.
    Off,
}

/// How to open a port.
#[derive(Debug, Clone)]
pub struct PortSpec {
    /// Our name for it.
    pub name: String,
    /// What is behind it.
    pub device: Device,
    /// Receive and transmit queues each.
    pub queues: u16,
    /// Descriptors of each receive queue.
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue.
    pub tx_descriptors: u16,
    /// Largest layer-3 packet, bytes.
    pub mtu: u16,
    /// Receive what is addressed to others.
    pub promiscuous: bool,
    /// What receive-side scaling hashes over, with more than one queue.
    pub rss: Rss,
    /// Ask for receive and transmit checksum offloads, where offered.
    pub checksum_offload: bool,
    /// Ask for VLAN stripping, where offered.
    pub vlan_strip: bool,
}

impl PortSpec {
    /// A port of one queue with usual settings.
    pub fn new(name: &str, device: Device) -> PortSpec {
        PortSpec {
            name: name.to_owned(),
            device,
            queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: 1500,
            promiscuous: true,
            rss: Rss::FiveTuple,
            checksum_offload: false,
            vlan_strip: false,
        }
    }
}

/// Why a port did not open.
#[derive(Debug, Error)]
pub enum PortError {
    /// DPDK made no device.
    #[error("port {port:?}: no device came up for {device}: {why}{hint}")]
    NoDevice {
        /// Our name.
        port: String,
        /// DPDK's device string.
        device: String,
        /// What DPDK said, or the call that failed and its errno.
        why: String,
        /// What may help.
        hint: String,
    },
    /// The device has fewer queues than asked for.
    #[error("port {port:?}: {asked} queues were asked for, and the device has {has}")]
    Queues {
        /// Our name.
        port: String,
        /// Queues asked for.
        asked: u16,
        /// Queues the device has.
        has: u16,
    },
    /// The device cannot take packets of that size.
    #[error(
        "port {port:?}: an mtu of {asked} was asked for, and the device takes at most {most} with this \
         version of DPDK"
    )]
    Mtu {
        /// Our name.
        port: String,
        /// Bytes asked for.
        asked: u16,
        /// The most it takes, bytes.
        most: u16,
    },
    /// Another process listens on a memif server's socket.
    #[error("port {port:?}: another process listens on the memif socket {socket} already")]
    SocketTaken {
        /// Our name.
        port: String,
        /// Path of the socket.
        socket: String,
    },
    /// A set-up call failed.
    #[error("port {port:?}: {error}")]
    Setup {
        /// Our name.
        port: String,
        /// The call and its errno.
        error: DpdkError,
    },
    /// A setting that DPDK cannot take.
    #[error("port {port:?}: {what} must not contain {character:?}")]
    Character {
        /// Our name.
        port: String,
        /// Which setting.
        what: &'static str,
        /// The character.
        character: char,
    },
}

/// State of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkState {
    /// Carrier.
    pub up: bool,
    /// Full duplex.
    pub full_duplex: bool,
    /// Mbit/s, `None` when unknown.
    pub speed_mbps: Option<u32>,
}

/// The device's own counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets the device dropped because the receive queue was full.
    pub rx_missed: u64,
    /// Broken packets.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Receives that failed because the pool was exhausted.
    pub rx_no_mbuf: u64,
}

/// An open, started port.
///
/// Queues are handed out once each and keep the device open until they are dropped.
#[derive(Debug)]
pub struct Port {
    spec: PortSpec,
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

/// DPDK's device name and arguments for a device; the name is unique by our port name.
fn vdev(spec: &PortSpec) -> Result<Option<(String, String)>, PortError> {
    let text = |what: &'static str, value: &str| match value
        .chars()
        .find(|c| matches!(c, ',' | '=' | '[' | ']' | '\0'))
    {
        Some(character) => Err(PortError::Character {
            port: spec.name.clone(),
            what,
            character,
        }),
        None => Ok(value.to_owned()),
    };
    let path = |what, value: &PathBuf| text(what, &value.to_string_lossy());
    let name = text("name", &spec.name)?;
    let mut args: Vec<String> = Vec::new();
    let driver = match &spec.device {
        Device::Pci { .. } | Device::Ring { .. } => return Ok(None),
        Device::Tap { interface, mac } => {
            args.push(format!("iface={}", text("interface", interface)?));
            if let Some(mac) = mac {
                args.push(format!("mac={}", text("mac", mac)?));
            }
            "net_tap"
        }
        Device::Memif {
            server,
            socket,
            abstract_socket,
            id,
            secret,
            zero_copy,
            buffer_bytes,
            mac,
        } => {
            args.push(format!(
                "role={}",
                if *server { "server" } else { "client" }
            ));
            args.push(format!("id={id}"));
            args.push(format!("socket={}", text("socket", socket)?));
            args.push(format!(
                "socket-abstract={}",
                if *abstract_socket { "yes" } else { "no" }
            ));
            args.push(format!("bsize={buffer_bytes}"));
            args.push(format!(
                "rsize={}",
                spec.rx_descriptors
                    .max(spec.tx_descriptors)
                    .max(2)
                    .ilog2()
                    .min(14)
            ));
            if let Some(mac) = mac {
                args.push(format!("mac={}", text("mac", mac)?));
            }
            if let Some(secret) = secret {
                args.push(format!("secret={}", text("secret", secret)?));
            }
            if *zero_copy && !server {
                args.push("zero-copy=yes".into());
            }
            "net_memif"
        }
        Device::AfXdp {
            interface,
            start_queue,
            force_copy,
        } => {
            args.push(format!("iface={}", text("interface", interface)?));
            args.push(format!("start_queue={start_queue}"));
            args.push(format!("queue_count={}", spec.queues));
            if *force_copy {
                args.push("force_copy=1".into());
            }
            "net_af_xdp"
        }
        Device::AfPacket {
            interface,
            frame_bytes,
            frames,
            qdisc_bypass,
        } => {
            args.push(format!("iface={}", text("interface", interface)?));
            args.push(format!("qpairs={}", spec.queues));
            // The driver takes the slots for one array, so a block is filled by whole ones; the kernel
            // wants whole pages.
            let mut block = *frame_bytes;
            while block % 4096 != 0 {
                block += frame_bytes;
            }
            args.push(format!("blocksz={block}"));
            args.push(format!("framesz={frame_bytes}"));
            args.push(format!("framecnt={frames}"));
            args.push(format!("qdisc_bypass={}", u8::from(*qdisc_bypass)));
            "net_af_packet"
        }
        Device::Pcap {
            rx_file,
            tx_file,
            repeat,
        } => {
            match rx_file {
                Some(file) => args.push(format!("rx_pcap={}", path("rx_file", file)?)),
                None => args.push("rx_iface=".into()),
            }
            if let Some(file) = tx_file {
                args.push(format!("tx_pcap={}", path("tx_file", file)?));
            }
            if *repeat && rx_file.is_some() {
                args.push("infinite_rx=1".into());
            }
            args.retain(|arg| arg != "rx_iface=");
            "net_pcap"
        }
        Device::Null { packet_bytes, copy } => {
            args.push(format!("size={packet_bytes}"));
            args.push(format!("copy={}", u8::from(*copy)));
            "net_null"
        }
    };
    Ok(Some((format!("{driver}_{name}"), args.join(","))))
}

fn hint(device: &Device) -> String {
    match device {
        Device::Tap { .. } => {
            "; a TAP needs /dev/net/tun, CAP_NET_ADMIN and a free interface name".into()
        }
        Device::AfPacket { interface, .. } => {
            format!(
                "; is there an interface {interface:?} in this network namespace, and CAP_NET_RAW?"
            )
        }
        Device::AfXdp { interface, .. } => {
            format!(
                "; is there an interface {interface:?} here, with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF?"
            )
        }
        Device::Pci { address } => {
            format!("; is {address} bound to vfio-pci (`dpdk-devbind.py --status`)?")
        }
        Device::Memif { .. } => "; is the socket's folder there and writable?".into(),
        Device::Pcap { .. } => "; are the files there?".into(),
        Device::Ring { .. } | Device::Null { .. } => String::new(),
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
                    why,
                    hint,
                },
                (error, _) => error,
            },
        )
    }

    fn open_quietly(eal: &'static Eal, spec: &PortSpec, pool: &Mempool) -> Result<Port, PortError> {
        if let Device::Ring { slots } = spec.device {
            let rings = (0..spec.queues)
                .map(|queue| {
                    MbufRing::create_for_queue_pair(eal, &format!("{}_{queue}", spec.name), slots)
                })
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| PortError::Setup {
                    port: spec.name.clone(),
                    error,
                })?;
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
        let fail = |error| PortError::Setup {
            port: spec.name.clone(),
            error,
        };
        let name = CString::new(spec.name.as_str()).map_err(|_| PortError::Character {
            port: spec.name.clone(),
            what: "name",
            character: '\0',
        })?;
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
            return Err(fail(DpdkError::from_rte_errno("rte_eth_from_rings")));
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
        }));
        eal.control(|| configure(spec, id, pool))?;
        Ok(Port {
            spec: spec.clone(),
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
        Some(TxQueue::new(self.id(), queue, self.handle.clone()))
    }

    /// Whether no queue is handed out.
    pub fn is_idle(&self) -> bool {
        lock(&self.handle.0.rx_taken)
            .iter()
            .chain(lock(&self.handle.0.tx_taken).iter())
            .all(|taken| !taken)
    }

    /// The link's state, without waiting.
    pub fn link(&self) -> LinkState {
        let mut speed = 0;
        // SAFETY: an open port.
        let bits = self
            .handle
            .0
            .eal
            .control(|| unsafe { dpdk_sys::sluice_link_get(self.id(), &mut speed) });
        LinkState {
            up: bits > 0 && bits & 1 != 0,
            full_duplex: bits > 0 && bits & 2 != 0,
            speed_mbps: (speed != 0 && speed != u32::MAX).then_some(speed),
        }
    }

    /// The port's MAC address.
    pub fn mac(&self) -> [u8; 6] {
        let mut address = dpdk_sys::rte_ether_addr::default();
        // SAFETY: an open port and a valid out pointer.
        self.handle
            .0
            .eal
            .control(|| unsafe { dpdk_sys::rte_eth_macaddr_get(self.id(), &mut address) });
        address.addr_bytes
    }

    /// The device's counters.
    pub fn stats(&self) -> PortStats {
        let mut stats = dpdk_sys::rte_eth_stats::default();
        // SAFETY: as above.
        self.handle
            .0
            .eal
            .control(|| unsafe { dpdk_sys::rte_eth_stats_get(self.id(), &mut stats) });
        PortStats {
            rx_packets: stats.ipackets,
            tx_packets: stats.opackets,
            rx_bytes: stats.ibytes,
            tx_bytes: stats.obytes,
            rx_missed: stats.imissed,
            rx_errors: stats.ierrors,
            tx_errors: stats.oerrors,
            rx_no_mbuf: stats.rx_nombuf,
        }
    }

    /// The driver's extended counters by name.
    pub fn xstats(&self) -> Vec<(String, u64)> {
        let id = self.id();
        self.handle.0.eal.control(|| {
            // SAFETY: asking for the number only.
            let count = unsafe { dpdk_sys::rte_eth_xstats_get(id, std::ptr::null_mut(), 0) };
            let count = usize::try_from(count).unwrap_or(0);
            let mut values = vec![dpdk_sys::rte_eth_xstat::default(); count];
            // SAFETY: the name struct is plain bytes, zero is valid.
            let mut names: Vec<dpdk_sys::rte_eth_xstat_name> =
                vec![unsafe { std::mem::zeroed() }; count];
            // SAFETY: both arrays have `count` entries.
            let (got, named) = unsafe {
                (
                    dpdk_sys::rte_eth_xstats_get(id, values.as_mut_ptr(), count as u32),
                    dpdk_sys::rte_eth_xstats_get_names(id, names.as_mut_ptr(), count as u32),
                )
            };
            let valid = usize::try_from(got.min(named)).unwrap_or(0).min(count);
            values[..valid]
                .iter()
                .filter_map(|entry| {
                    let name = names.get(usize::try_from(entry.id).ok()?)?;
                    // SAFETY: DPDK terminates the names.
                    let name = unsafe { CStr::from_ptr(name.name.as_ptr()) };
                    Some((name.to_string_lossy().into_owned(), entry.value))
                })
                .collect()
        })
    }

    /// The driver's name.
    pub fn driver(&self) -> String {
        let info = self.handle.0.eal.control(|| device_info(self.id()));
        match info {
            // SAFETY: a static string of the driver.
            Ok(info) if !info.driver_name.is_null() => unsafe { CStr::from_ptr(info.driver_name) }
                .to_string_lossy()
                .into_owned(),
            _ => String::new(),
        }
    }

    /// Sets the link up or down, where the device can.
    pub fn set_link(&self, up: bool) -> Result<(), DpdkError> {
        let id = self.id();
        self.handle.0.eal.control(|| {
            // SAFETY: an open port.
            let code = unsafe {
                if up {
                    dpdk_sys::rte_eth_dev_set_link_up(id)
                } else {
                    dpdk_sys::rte_eth_dev_set_link_down(id)
                }
            };
            DpdkError::check("rte_eth_dev_set_link", code).map(|_| ())
        })
    }
}

fn find_or_create(spec: &PortSpec) -> Result<(u16, Option<CString>), PortError> {
    let zero = |_| PortError::Character {
        port: spec.name.clone(),
        what: "device",
        character: '\0',
    };
    let vdev = vdev(spec)?;
    let (lookup, created) = match (&vdev, &spec.device) {
        (Some((name, args)), _) => {
            let c_name = CString::new(name.as_str()).map_err(zero)?;
            let c_args = CString::new(args.as_str()).map_err(zero)?;
            // SAFETY: valid C strings, copied by DPDK.
            let code = unsafe { dpdk_sys::rte_vdev_init(c_name.as_ptr(), c_args.as_ptr()) };
            if code < 0 {
                return Err(no_device(
                    spec,
                    format!("{name},{args}"),
                    DpdkError::from_return("rte_vdev_init", code),
                ));
            }
            (c_name.clone(), Some(c_name))
        }
        (None, Device::Pci { address }) => (CString::new(address.as_str()).map_err(zero)?, None),
        (None, _) => (CString::new(spec.name.as_str()).map_err(zero)?, None),
    };
    let mut id = 0;
    // SAFETY: a valid C string and out pointer. A driver whose probe failed leaves no port behind
    // and no error in `rte_vdev_init`, so every port is looked up by name.
    let code = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(lookup.as_ptr(), &mut id) };
    if code < 0 {
        if let Some(name) = &created {
            // SAFETY: the device that was just created.
            unsafe { dpdk_sys::rte_vdev_uninit(name.as_ptr()) };
        }
        let error = DpdkError::from_return("rte_eth_dev_get_port_by_name", code);
        return Err(no_device(
            spec,
            lookup.to_string_lossy().into_owned(),
            error,
        ));
    }
    Ok((id, created))
}

fn no_device(spec: &PortSpec, device: String, error: DpdkError) -> PortError {
    PortError::NoDevice {
        port: spec.name.clone(),
        device,
        why: error.to_string(),
        hint: hint(&spec.device),
    }
}

fn device_info(id: u16) -> Result<dpdk_sys::rte_eth_dev_info, DpdkError> {
    let mut info = dpdk_sys::rte_eth_dev_info::default();
    // SAFETY: an existing port and a valid out pointer.
    let code = unsafe { dpdk_sys::rte_eth_dev_info_get(id, &mut info) };
    DpdkError::check("rte_eth_dev_info_get", code).map(|_| info)
}

/// Configures and starts; the caller holds the control lock.
fn configure(spec: &PortSpec, id: u16, pool: &Mempool) -> Result<(), PortError> {
    let fail = |error| PortError::Setup {
        port: spec.name.clone(),
        error,
    };
    let info = device_info(id).map_err(fail)?;
    let has = info.max_rx_queues.min(info.max_tx_queues);
    if spec.queues > has {
        return Err(PortError::Queues {
            port: spec.name.clone(),
            asked: spec.queues,
            has,
        });
    }
    let most = most_mtu(&info);
    let told = match &spec.device {
        // These drivers claim 1518 bytes, and take whatever fits into the slots of their rings.
        Device::AfPacket { .. } | Device::Memif { .. } => spec.mtu.min(most),
        _ if spec.mtu > most => {
            return Err(PortError::Mtu {
                port: spec.name.clone(),
                asked: spec.mtu,
                most,
            });
        }
        _ => spec.mtu,
    };
    let conf = device_conf(spec, &info, told, pool);
    let (rx_offloads, tx_offloads) = (conf.rxmode.offloads, conf.txmode.offloads);
    let check = |call, code| DpdkError::check(call, code).map_err(fail);
    // SAFETY: here and below: an existing port, and structs that live through the calls.
    unsafe {
        check(
            "rte_eth_dev_configure",
            dpdk_sys::rte_eth_dev_configure(id, spec.queues, spec.queues, &conf),
        )?;
        let (mut rx, mut tx) = (spec.rx_descriptors, spec.tx_descriptors);
        check(
            "rte_eth_dev_adjust_nb_rx_tx_desc",
            dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(id, &mut rx, &mut tx),
        )?;
        for queue in 0..spec.queues {
            let rxconf = dpdk_sys::rte_eth_rxconf {
                offloads: rx_offloads,
                ..info.default_rxconf
            };
            let txconf = dpdk_sys::rte_eth_txconf {
                offloads: tx_offloads,
                ..info.default_txconf
            };
            check(
                "rte_eth_rx_queue_setup",
                dpdk_sys::rte_eth_rx_queue_setup(id, queue, rx, u32::MAX, &rxconf, pool.as_ptr()),
            )?;
            check(
                "rte_eth_tx_queue_setup",
                dpdk_sys::rte_eth_tx_queue_setup(id, queue, tx, u32::MAX, &txconf),
            )?;
        }
        check("rte_eth_dev_start", dpdk_sys::rte_eth_dev_start(id))?;
        if told != 1500 {
            // Many virtual devices have no MTU of their own; -ENOTSUP is no failure then.
            let code = dpdk_sys::rte_eth_dev_set_mtu(id, told);
            if code < 0 && code != -libc::ENOTSUP {
                check("rte_eth_dev_set_mtu", code)?;
            }
        }
        if spec.promiscuous {
            dpdk_sys::rte_eth_promiscuous_enable(id);
        } else {
            dpdk_sys::rte_eth_promiscuous_disable(id);
            dpdk_sys::rte_eth_allmulticast_enable(id);
        }
    }
    Ok(())
}

/// The largest layer-3 packet that the device takes, as ethdev works it out when it checks an MTU.
fn most_mtu(info: &dpdk_sys::rte_eth_dev_info) -> u16 {
    let known = info.max_mtu != u16::MAX && info.max_rx_pktlen > u32::from(info.max_mtu);
    let around = match known {
        true => info.max_rx_pktlen - u32::from(info.max_mtu),
        false => 18, // Ethernet's header and check sequence
    };
    let most = info.max_rx_pktlen.saturating_sub(around);
    u16::try_from(most).unwrap_or(u16::MAX).min(info.max_mtu)
}

/// Offloads are asked for only where they are offered. `MBUF_FAST_FREE` never: packets may be
/// shared, chained, or from another pool.
fn device_conf(
    spec: &PortSpec,
    info: &dpdk_sys::rte_eth_dev_info,
    mtu: u16,
    pool: &Mempool,
) -> dpdk_sys::rte_eth_conf {
    use dpdk_sys as d;
    // SAFETY: a plain C struct for which zero means default.
    let mut conf: d::rte_eth_conf = unsafe { std::mem::zeroed() };
    let mut rx = 0;
    let mut tx = d::SLUICE_TX_OFFLOAD_MULTI_SEGS;
    if spec.checksum_offload {
        rx |= d::SLUICE_RX_OFFLOAD_IPV4_CKSUM
            | d::SLUICE_RX_OFFLOAD_UDP_CKSUM
            | d::SLUICE_RX_OFFLOAD_TCP_CKSUM;
        tx |= d::SLUICE_TX_OFFLOAD_IPV4_CKSUM
            | d::SLUICE_TX_OFFLOAD_UDP_CKSUM
            | d::SLUICE_TX_OFFLOAD_TCP_CKSUM;
    }
    if spec.vlan_strip {
        rx |= d::SLUICE_RX_OFFLOAD_VLAN_STRIP;
        tx |= d::SLUICE_TX_OFFLOAD_VLAN_INSERT;
    }
    let frame = u32::from(spec.mtu) + 14 + 8 + 4;
    if frame + d::SLUICE_PKTMBUF_HEADROOM > u32::from(pool.data_room()) {
        rx |= d::SLUICE_RX_OFFLOAD_SCATTER;
    }
    if spec.queues > 1 && spec.rss != Rss::Off {
        let mut hash = d::SLUICE_RSS_IP | d::SLUICE_RSS_UDP | d::SLUICE_RSS_TCP;
        hash &= info.flow_type_rss_offloads;
        let narrow = d::SLUICE_RSS_L3_DST_ONLY | d::SLUICE_RSS_L4_DST_ONLY;
        if spec.rss == Rss::Destination {
            hash |= narrow & info.flow_type_rss_offloads;
            if info.flow_type_rss_offloads & narrow != narrow {
                tracing::warn!(
                    port = spec.name,
                    "the device cannot hash over the destination alone; packets are spread by the 5-tuple"
                );
            }
        }
        if hash == 0 {
            tracing::warn!(
                port = spec.name,
                "the device cannot be told how to spread packets over queues"
            );
        } else {
            conf.rxmode.mq_mode = d::SLUICE_MQ_RX_RSS as _;
            conf.rx_adv_conf.rss_conf.rss_hf = hash;
            rx |= d::SLUICE_RX_OFFLOAD_RSS_HASH;
        }
    }
    conf.rxmode.mtu = u32::from(mtu.max(info.min_mtu));
    conf.rxmode.offloads = rx & info.rx_offload_capa;
    conf.txmode.offloads = tx & info.tx_offload_capa;
    conf
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
    }
}
